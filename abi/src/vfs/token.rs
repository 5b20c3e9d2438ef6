//! Tokens: what `vfs_server` lets a client carry to `net_server`, so that the
//! two servers never call each other.
//!
//! `vfs_server` says with a token "this client may bind to, or connect to, the
//! socket node N", or "this is the open file N". The client shows it to
//! `net_server`, which believes it because of its code: a keyed hash
//! (SipHash-2-4) whose key only the two servers have. It lies in a region that
//! they share, written by `vfs_server` before it makes the first token, so a
//! token that is genuine is never seen before its key.
//!
//! ```text
//! region `vfs_tokens`
//! offset 0     u32 1 when the key is there    written by vfs_server
//!        8     u64 epoch of the rights        by vfs_server
//!        64    the key, 16 bytes              by vfs_server
//!        128   64 u64: codes of the names of its clients   by vfs_server
//!        640   u64, 64 u64: exports with news   see strait_ring::bitmap
//!        4096  64 * 64 u64: the fates of exports   by net_server
//! ```
//!
//! The right to connect holds as long as the *epoch*: `vfs_server` begins a new
//! one when a socket node or directory is removed, renamed or gets other
//! permissions.
//!
//! An *export* is an open file on its way to another client: one of
//! [`MAX_EXPORTS`] places of the client that gives it away. Its number has the
//! place and a generation, and is never used again. Its *fate*, a word for each
//! place, says how many messages carry it, who was handed it, and whether
//! nobody will be; so whatever clients do with tokens, also with old ones,
//! nothing overflows and no news is lost.
//!
//! Numbers of socket nodes are hashes under the same key: they are never used
//! again, and a server that was restarted knows none of an earlier life.

use core::{
    hash::Hasher,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use siphasher::sip::SipHasher24;
use strait_ring::{PAGE, SharedMemory, bitmap::Bitmap};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Errno;

/// Name of the region.
pub const REGION: &str = "vfs_tokens";
/// Least size of the region.
pub const REGION_BYTES: usize = FATES + MAX_CLIENTS * MAX_EXPORTS * 8;
/// Most open files that one client may have given away and nobody has got yet.
pub const MAX_EXPORTS: usize = 64;
/// Most clients of `vfs_server`.
pub const MAX_CLIENTS: usize = 64;

/// A socket node that its client has just made: to be bound.
pub const BIND: u32 = 1;
/// A socket node that its client may connect to.
pub const CONNECT: u32 = 2;
/// An open file, for whoever shows it first.
pub const FILE: u32 = 3;

const READY: usize = 0;
const EPOCH: usize = 8;
const KEY: usize = 64;
const NAMES: usize = 128;
const NEWS: usize = NAMES + MAX_CLIENTS * 8;
const FATES: usize = PAGE;

const _: () = assert!(NEWS.is_multiple_of(64) && NEWS + 64 + 512 <= FATES);
const _: () = assert!(strait_pd::MAX_CHANNELS <= MAX_CLIENTS && MAX_CLIENTS * MAX_EXPORTS <= 4096);

/// A token, as clients carry it. Its bytes are the client's to forge: only
/// [`Verifier::check`] and [`Issuer::check`] say what it is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Token {
    /// [`BIND`], [`CONNECT`] or [`FILE`].
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
    /// Which socket node or export.
    pub node: u64,
    /// The code.
    pub mac: u64,
}

/// Bytes of a [`Token`].
pub const TOKEN_BYTES: usize = size_of::<Token>();

/// Number of an export: a generation, and the place of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Export(u64);

impl Export {
    const PLACE: u32 = 12;
    /// Greatest generation.
    pub const LAST: u64 = (1 << 40) - 1;

    /// The export of a client at one of its [`MAX_EXPORTS`] places.
    pub const fn new(generation: u64, client: usize, place: usize) -> Self {
        Self(generation << Self::PLACE | ((client % MAX_CLIENTS) * MAX_EXPORTS + place % MAX_EXPORTS) as u64)
    }

    /// That of a token whose code is right.
    pub const fn of(token: &Token) -> Self {
        Self(token.node)
    }

    /// What its token has.
    pub const fn number(self) -> u64 {
        self.0
    }

    fn generation(self) -> u64 {
        self.0 >> Self::PLACE & Self::LAST
    }

    fn cell(self) -> usize {
        (self.0 & ((1 << Self::PLACE) - 1)) as usize
    }

    /// The client that gave it away.
    pub fn client(self) -> usize {
        self.cell() / MAX_EXPORTS
    }

    /// Its place there.
    pub fn place(self) -> usize {
        self.cell() % MAX_EXPORTS
    }
}

/// What `net_server` knows of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fate {
    /// Messages that carry it.
    pub carried: u16,
    /// The client that got it last.
    pub receiver: Option<usize>,
    /// No message carries it any more and nobody got it.
    pub lost: bool,
}

impl Fate {
    const GENERATION: u32 = 24;

    fn decode(word: u64) -> (u64, Self) {
        let receiver = (word >> 16 & 0x7f) as usize;
        let fate = Self { carried: word as u16, receiver: receiver.checked_sub(1), lost: word >> 23 & 1 != 0 };
        (word >> Self::GENERATION, fate)
    }

    fn encode(self, generation: u64) -> u64 {
        let receiver = self.receiver.map_or(0, |client| client as u64 + 1);
        generation << Self::GENERATION | u64::from(self.lost) << 23 | receiver << 16 | u64::from(self.carried)
    }
}

type Key = [u64; 2];

/// The code of a token; `epoch` is 0 where it means nothing.
fn mac(key: Key, kind: u32, node: u64, client: &str, epoch: u64) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(key[0], key[1]);
    hasher.write(&kind.to_le_bytes());
    hasher.write(&node.to_le_bytes());
    hasher.write(&epoch.to_le_bytes());
    hasher.write(client.as_bytes());
    hasher.finish()
}

/// The code of a client's name. No kind of token is 0.
fn name_code(key: Key, client: &str) -> u64 {
    mac(key, 0, 0, client, 0)
}

/// What both ends have.
struct Shared {
    memory: SharedMemory,
    ready: &'static AtomicU32,
    epoch: &'static AtomicU64,
    news: Bitmap<'static>,
    fates: &'static [AtomicU64; MAX_CLIENTS * MAX_EXPORTS],
}

impl Shared {
    fn new(memory: SharedMemory) -> Option<Self> {
        Some(Self {
            memory,
            ready: memory.cell(READY)?,
            epoch: memory.cell(EPOCH)?,
            news: Bitmap::new(memory.cell(NEWS)?, memory.cell(NEWS + 64)?),
            fates: memory.cell(FATES)?,
        })
    }

    fn epoch_of(&self, kind: u32) -> u64 {
        if kind == CONNECT { self.epoch.load(Ordering::Acquire) } else { 0 }
    }

    fn check(&self, key: Key, token: &Token, kind: u32, client: &str) -> Result<u64, Errno> {
        let code = mac(key, kind, token.node, client, self.epoch_of(kind));
        let genuine = token.reserved == 0 && token.kind == kind && token.mac == code;
        if genuine { Ok(token.node) } else { Err(Errno::EACCES) }
    }

    /// What the export's word says, and of which generation.
    fn fate(&self, export: Export) -> (u64, Fate) {
        Fate::decode(self.fates[export.cell()].load(Ordering::Acquire))
    }
}

/// `vfs_server`'s end.
pub struct Issuer {
    shared: Shared,
    key: Key,
    generation: u64,
}

impl Issuer {
    /// Shares `key` by way of `memory`; `None` if that is too small. The key
    /// must be unpredictable and new at each start. `clients` are the names of
    /// the server's clients, in their order.
    pub fn new<'a>(memory: SharedMemory, key: [u64; 2], clients: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let shared = Shared::new(memory)?;
        memory.write(KEY, key.as_bytes())?;
        let mut names = [0; MAX_CLIENTS];
        for (code, client) in names.iter_mut().zip(clients) {
            *code = name_code(key, client);
        }
        memory.write(NAMES, names.as_bytes())?;
        // What an earlier life of this server gave away is no more.
        shared.news.take(|_| {});
        let latest = |latest: u64, word: &AtomicU64| latest.max(Fate::decode(word.load(Ordering::Acquire)).0);
        let generation = shared.fates.iter().fold(0, latest);
        shared.ready.store(1, Ordering::Release);
        Some(Self { shared, key, generation })
    }

    /// The number that stands for a socket node in tokens.
    pub fn socket_node(&self, device: u32, inode: u64) -> u64 {
        // No kind of token is 0.
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&device.to_le_bytes());
        bytes[4..].copy_from_slice(&inode.to_le_bytes());
        let mut hasher = SipHasher24::new_with_keys(self.key[0], self.key[1]);
        hasher.write(&bytes);
        hasher.finish()
    }

    /// A token for `client`, or with [`FILE`] for anybody, which has no name.
    pub fn issue(&self, kind: u32, node: u64, client: &str) -> Token {
        Token { kind, reserved: 0, node, mac: mac(self.key, kind, node, client, self.shared.epoch_of(kind)) }
    }

    /// What `token` is for; EACCES if it is not genuine.
    pub fn check(&self, token: &Token, kind: u32, client: &str) -> Result<u64, Errno> {
        self.shared.check(self.key, token, kind, client)
    }

    /// Rights to socket nodes have changed: those to connect must be asked for
    /// again.
    pub fn revoke(&self) {
        self.shared.epoch.fetch_add(1, Ordering::Release);
    }

    /// A new export of a client at a place that is free, with its token.
    /// ETOOMANYREFS when there are no more numbers.
    pub fn export(&mut self, client: usize, place: usize) -> Result<(Export, Token), Errno> {
        self.generation = Some(self.generation + 1).filter(|g| *g <= Export::LAST).ok_or(Errno::ETOOMANYREFS)?;
        let export = Export::new(self.generation, client, place);
        Ok((export, self.issue(FILE, export.number(), "")))
    }

    /// Calls `f` with each export that was handed over or lost.
    pub fn take_news(&self, mut f: impl FnMut(Export, Fate)) {
        self.shared.news.take(|cell| {
            if let Some(word) = self.shared.fates.get(cell) {
                let (generation, fate) = Fate::decode(word.load(Ordering::Acquire));
                f(Export::new(generation, cell / MAX_EXPORTS, cell % MAX_EXPORTS), fate);
            }
        });
    }

    /// Whether a message carries the export.
    pub fn is_carried(&self, export: Export) -> bool {
        let (generation, fate) = self.shared.fate(export);
        generation == export.generation() && fate.carried != 0
    }
}

/// `net_server`'s end.
pub struct Verifier(Shared);

impl Verifier {
    /// The verifier of the tokens whose key is, or will be, in `memory`;
    /// `None` if that is too small.
    pub fn new(memory: SharedMemory) -> Option<Self> {
        Shared::new(memory).map(Self)
    }

    fn key(&self) -> Option<Key> {
        let mut key: Key = [0; 2];
        if self.0.ready.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.0.memory.read(KEY, key.as_mut_bytes())?;
        Some(key)
    }

    /// What `token` is for: the number of a socket node or export. `client`
    /// is the name of the client that shows it, empty for [`FILE`]. EACCES if
    /// it is not genuine, or the right to connect of an earlier epoch.
    pub fn check(&self, token: &Token, kind: u32, client: &str) -> Result<u64, Errno> {
        self.0.check(self.key().ok_or(Errno::EACCES)?, token, kind, client)
    }

    /// Changes the fate of an export. `None` for one of an earlier generation.
    fn change(&self, export: Export, f: impl FnOnce(&mut Fate)) -> Option<Fate> {
        let (generation, mut fate) = self.0.fate(export);
        if generation > export.generation() {
            return None;
        }
        if generation < export.generation() {
            fate = Fate::default();
        }
        f(&mut fate);
        // Nobody else writes it.
        self.0.fates[export.cell()].store(fate.encode(export.generation()), Ordering::Release);
        Some(fate)
    }

    /// A message carries the export of a token from here on. EBADF if it is no
    /// genuine token of a file; ETOOMANYREFS if too many messages do.
    pub fn take(&self, token: &Token) -> Result<(), Errno> {
        self.check(token, FILE, "").map_err(|_| Errno::EBADF)?;
        let mut room = true;
        self.change(Export::of(token), |fate| match fate.carried.checked_add(1) {
            Some(more) => fate.carried = more,
            None => room = false,
        })
        .ok_or(Errno::EBADF)?;
        if room { Ok(()) } else { Err(Errno::ETOOMANYREFS) }
    }

    /// The message that was to carry it is not sent: the client has it still.
    pub fn refuse(&self, token: &Token) {
        self.change(Export::of(token), |fate| fate.carried = fate.carried.saturating_sub(1));
    }

    /// A client got it with its message. If `vfs_server` does not know the
    /// client, nobody did. Returns whether `vfs_server` has something to do.
    pub fn hand_over(&self, token: &Token, client: &str) -> bool {
        let Some(receiver) = self.find(client) else { return self.lose(token) };
        let handed = self.change(Export::of(token), |fate| {
            fate.carried = fate.carried.saturating_sub(1);
            fate.receiver = Some(receiver);
        });
        if handed.is_some() {
            self.0.news.set(Export::of(token).cell());
        }
        false
    }

    /// Its message is gone and nobody got it. Returns whether `vfs_server` has
    /// something to do.
    pub fn lose(&self, token: &Token) -> bool {
        let changed = self.change(Export::of(token), |fate| {
            fate.carried = fate.carried.saturating_sub(1);
            fate.lost |= fate.carried == 0 && fate.receiver.is_none();
        });
        let lost = changed.is_some_and(|fate| fate.lost);
        if lost {
            self.0.news.set(Export::of(token).cell());
        }
        lost
    }

    fn find(&self, client: &str) -> Option<usize> {
        let mut names = [0u64; MAX_CLIENTS];
        self.0.memory.read(NAMES, names.as_mut_bytes())?;
        let code = name_code(self.key()?, client);
        names.iter().position(|name| *name == code)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;
    use strait_ring::memory::leak_for_tests;

    #[test]
    fn only_what_was_issued_is_believed() {
        let memory = leak_for_tests(REGION_BYTES);
        let verifier = Verifier::new(memory).unwrap();
        assert_eq!(verifier.check(&Token::default(), 0, ""), Err(Errno::EACCES));
        let issuer = Issuer::new(memory, [1, 2], []).unwrap();
        let node = issuer.socket_node(1, 7);
        assert_ne!(node, issuer.socket_node(2, 7));
        let token = issuer.issue(CONNECT, node, "echo");
        assert_eq!(verifier.check(&token, CONNECT, "echo"), Ok(node));
        for (token, kind, client) in [
            (token, CONNECT, "httpd"),
            (token, BIND, "echo"),
            (Token { kind: BIND, ..token }, BIND, "echo"),
            (Token { node: node ^ 1, ..token }, CONNECT, "echo"),
            (Token { mac: token.mac ^ 1 << 40, ..token }, CONNECT, "echo"),
            (Token { reserved: 1, ..token }, CONNECT, "echo"),
        ] {
            assert_eq!(verifier.check(&token, kind, client), Err(Errno::EACCES));
        }
        // After a restart of the server, nothing of before counts.
        let issuer = Issuer::new(memory, [1, 3], []).unwrap();
        assert_eq!(verifier.check(&token, CONNECT, "echo"), Err(Errno::EACCES));
        assert_ne!(issuer.socket_node(1, 7), node);
        assert!(Verifier::new(leak_for_tests(PAGE)).is_none());
    }

    #[test]
    fn the_right_to_connect_is_of_an_epoch() {
        let memory = leak_for_tests(REGION_BYTES);
        let (issuer, verifier) = (Issuer::new(memory, [1, 2], []).unwrap(), Verifier::new(memory).unwrap());
        let tokens = [BIND, CONNECT, FILE].map(|kind| (kind, issuer.issue(kind, 9, "a")));
        assert!(tokens.iter().all(|(kind, token)| verifier.check(token, *kind, "a") == Ok(9)));
        issuer.revoke();
        for (kind, token) in &tokens {
            assert_eq!(verifier.check(token, *kind, "a").is_ok(), *kind != CONNECT);
        }
        assert_eq!(verifier.check(&issuer.issue(CONNECT, 9, "a"), CONNECT, "a"), Ok(9));
    }

    fn news(issuer: &Issuer) -> Vec<(Export, Fate)> {
        let mut all = Vec::new();
        issuer.take_news(|export, fate| all.push((export, fate)));
        all
    }

    #[test]
    fn the_fate_of_an_export_is_told() {
        let memory = leak_for_tests(REGION_BYTES);
        let verifier = Verifier::new(memory).unwrap();
        let mut issuer = Issuer::new(memory, [1, 2], ["a", "b"]).unwrap();
        let (export, token) = issuer.export(1, 63).unwrap();
        assert_eq!((export.client(), export.place()), (1, 63));
        assert_eq!(verifier.take(&Token { mac: 0, ..token }), Err(Errno::EBADF));
        // One message that is not sent, then two that carry it.
        verifier.take(&token).unwrap();
        assert!(issuer.is_carried(export));
        verifier.refuse(&token);
        assert!(!issuer.is_carried(export));
        for _ in 0..2 {
            verifier.take(&token).unwrap();
        }
        assert!(!verifier.lose(&token));
        assert_eq!(news(&issuer), []);
        assert!(!verifier.hand_over(&token, "a"));
        assert_eq!(news(&issuer), [(export, Fate { carried: 0, receiver: Some(0), lost: false })]);
        // Who is no client gets nothing.
        let (next, other) = issuer.export(1, 63).unwrap();
        verifier.take(&other).unwrap();
        assert!(verifier.hand_over(&other, "c"));
        assert_eq!(news(&issuer), [(next, Fate { carried: 0, receiver: None, lost: true })]);
        // A token of before is worth nothing, and tells nothing.
        assert_eq!(verifier.take(&token), Err(Errno::EBADF));
        assert!(!verifier.lose(&token));
        assert_eq!(news(&issuer), []);
        // Neither after a restart.
        let mut issuer = Issuer::new(memory, [1, 3], ["a"]).unwrap();
        assert!(issuer.export(1, 63).unwrap().0 > next);
    }

    #[test]
    fn no_replay_hides_what_is_genuine() {
        let memory = leak_for_tests(REGION_BYTES);
        let verifier = Verifier::new(memory).unwrap();
        let mut issuer = Issuer::new(memory, [1, 2], ["a"]).unwrap();
        let old: Vec<_> = (0..MAX_EXPORTS).map(|place| issuer.export(0, place).unwrap().1).collect();
        let (export, token) = issuer.export(0, 5).unwrap();
        verifier.take(&token).unwrap();
        verifier.lose(&token);
        for round in 0..100_000 {
            let replayed = &old[round % MAX_EXPORTS];
            if verifier.take(replayed).is_ok() {
                verifier.lose(replayed);
            }
        }
        let lost: Vec<_> = news(&issuer).into_iter().filter(|(e, _)| e.place() == 5).collect();
        assert_eq!(lost, [(export, Fate { carried: 0, receiver: None, lost: true })]);
    }

    #[test]
    fn too_many_messages_carry_no_more() {
        let memory = leak_for_tests(REGION_BYTES);
        let verifier = Verifier::new(memory).unwrap();
        let mut issuer = Issuer::new(memory, [1, 2], ["a"]).unwrap();
        let (_, token) = issuer.export(0, 0).unwrap();
        (0..u16::MAX).for_each(|_| verifier.take(&token).unwrap());
        assert_eq!(verifier.take(&token), Err(Errno::ETOOMANYREFS));
        assert_eq!((1..u16::MAX).filter(|_| verifier.lose(&token)).count(), 0);
        assert!(verifier.lose(&token));
    }
}
