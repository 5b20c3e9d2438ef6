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
//!        64    the key, 16 bytes              by vfs_server
//!        128   u32 tail of the releases       by net_server
//!        192   u32 head of the releases       by vfs_server
//!        4096  4096 releases of 8 bytes: numbers of open files
//! ```
//!
//! A *release* says that an open file was on its way to another client and
//! will not arrive. There are never more of them than
//! [`MAX_EXPORTS`] for each of at most 62 clients, so the ring never
//! overflows.
//!
//! Numbers of socket nodes are hashes under the same key: they are never used
//! again, and a server that was restarted knows none of an earlier life.

use core::{
    hash::Hasher,
    sync::atomic::{AtomicU32, Ordering},
};

use siphasher::sip::SipHasher24;
use strait_ring::{PAGE, SharedMemory};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Errno;

/// Name of the region.
pub const REGION: &str = "vfs_tokens";
/// Least size of the region.
pub const REGION_BYTES: usize = RELEASES + ENTRIES as usize * 8;
/// Most open files that one client may have given away and nobody has taken
/// yet.
pub const MAX_EXPORTS: usize = 64;

/// A socket node that its client has just made: to be bound.
pub const BIND: u32 = 1;
/// A socket node that its client may connect to.
pub const CONNECT: u32 = 2;
/// An open file, for whoever shows it first.
pub const FILE: u32 = 3;

const READY: usize = 0;
const KEY: usize = 64;
const TAIL: usize = 128;
const HEAD: usize = 192;
const RELEASES: usize = PAGE;
const ENTRIES: u32 = 4096;

const _: () = assert!(MAX_EXPORTS * strait_pd::MAX_CHANNELS <= ENTRIES as usize);

/// A token, as clients carry it. Its bytes are the client's to forge: only
/// [`Verifier::check`] and [`Issuer::check`] say what it is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Token {
    /// [`BIND`], [`CONNECT`] or [`FILE`].
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
    /// Which socket node or open file.
    pub node: u64,
    /// The code.
    pub mac: u64,
}

/// Bytes of a [`Token`].
pub const TOKEN_BYTES: usize = size_of::<Token>();

type Key = [u64; 2];

fn mac(key: Key, kind: u32, node: u64, client: &str) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(key[0], key[1]);
    hasher.write(&kind.to_le_bytes());
    hasher.write(&node.to_le_bytes());
    hasher.write(client.as_bytes());
    hasher.finish()
}

fn check(key: Key, token: &Token, kind: u32, client: &str) -> Result<u64, Errno> {
    let genuine = token.reserved == 0 && token.kind == kind && token.mac == mac(key, kind, token.node, client);
    if genuine { Ok(token.node) } else { Err(Errno::EACCES) }
}

fn cells(memory: SharedMemory) -> Option<[&'static AtomicU32; 3]> {
    if memory.len() < REGION_BYTES {
        return None;
    }
    Some([memory.cell(READY)?, memory.cell(TAIL)?, memory.cell(HEAD)?])
}

/// `vfs_server`'s end.
pub struct Issuer {
    memory: SharedMemory,
    tail: &'static AtomicU32,
    head: &'static AtomicU32,
    key: Key,
}

impl Issuer {
    /// Shares `key` by way of `memory`; `None` if that is too small. The key
    /// must be unpredictable and new at each start.
    pub fn new(memory: SharedMemory, key: [u64; 2]) -> Option<Self> {
        let [ready, tail, head] = cells(memory)?;
        memory.write(KEY, key.as_bytes())?;
        // What an earlier life of this server gave away is no more.
        head.store(tail.load(Ordering::Acquire), Ordering::Relaxed);
        ready.store(1, Ordering::Release);
        Some(Self { memory, tail, head, key })
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
        Token { kind, reserved: 0, node, mac: mac(self.key, kind, node, client) }
    }

    /// What `token` is for; EACCES if it is not genuine.
    pub fn check(&self, token: &Token, kind: u32, client: &str) -> Result<u64, Errno> {
        check(self.key, token, kind, client)
    }

    /// The number of an open file that will not arrive, if there is one.
    pub fn take_release(&mut self) -> Option<u64> {
        let head = self.head.load(Ordering::Relaxed);
        if self.tail.load(Ordering::Acquire) == head {
            return None;
        }
        let mut node = [0; 8];
        self.memory.read(place(head), &mut node)?;
        self.head.store(head.wrapping_add(1), Ordering::Release);
        Some(u64::from_ne_bytes(node))
    }
}

fn place(position: u32) -> usize {
    RELEASES + (position % ENTRIES) as usize * 8
}

/// `net_server`'s end.
pub struct Verifier {
    memory: SharedMemory,
    ready: &'static AtomicU32,
    tail: &'static AtomicU32,
    head: &'static AtomicU32,
}

impl Verifier {
    /// The verifier of the tokens whose key is, or will be, in `memory`;
    /// `None` if that is too small.
    pub fn new(memory: SharedMemory) -> Option<Self> {
        let [ready, tail, head] = cells(memory)?;
        Some(Self { memory, ready, tail, head })
    }

    /// What `token` is for: the number of a socket node or open file. `client`
    /// is the name of the client that shows it, empty for [`FILE`]. EACCES if
    /// it is not genuine.
    pub fn check(&self, token: &Token, kind: u32, client: &str) -> Result<u64, Errno> {
        if self.ready.load(Ordering::Acquire) == 0 {
            return Err(Errno::EACCES);
        }
        let mut key: Key = [0; 2];
        self.memory.read(KEY, key.as_mut_bytes()).ok_or(Errno::EACCES)?;
        check(key, token, kind, client)
    }

    /// The open file of a [`FILE`] token that was checked is not going to
    /// arrive anywhere.
    pub fn release(&mut self, token: &Token) {
        let tail = self.tail.load(Ordering::Relaxed);
        // Full only if `vfs_server` does not run any more.
        if tail.wrapping_sub(self.head.load(Ordering::Acquire)) < ENTRIES
            && self.memory.write(place(tail), &token.node.to_ne_bytes()).is_some()
        {
            self.tail.store(tail.wrapping_add(1), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strait_ring::memory::leak_for_tests;

    #[test]
    fn only_what_was_issued_is_believed() {
        let memory = leak_for_tests(REGION_BYTES);
        let verifier = Verifier::new(memory).unwrap();
        assert_eq!(verifier.check(&Token::default(), 0, ""), Err(Errno::EACCES));
        let issuer = Issuer::new(memory, [1, 2]).unwrap();
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
        let issuer = Issuer::new(memory, [1, 3]).unwrap();
        assert_eq!(verifier.check(&token, CONNECT, "echo"), Err(Errno::EACCES));
        assert_ne!(issuer.socket_node(1, 7), node);
        assert!(Verifier::new(leak_for_tests(PAGE)).is_none());
    }

    #[test]
    fn releases_arrive_in_order_and_never_overflow() {
        let memory = leak_for_tests(REGION_BYTES);
        let (mut verifier, mut issuer) = (Verifier::new(memory).unwrap(), Issuer::new(memory, [1, 2]).unwrap());
        assert_eq!(issuer.take_release(), None);
        for round in 0..3 {
            for node in 0..5000 {
                verifier.release(&issuer.issue(FILE, round << 32 | node, ""));
            }
            for node in 0..u64::from(ENTRIES) {
                assert_eq!(issuer.take_release(), Some(round << 32 | node));
            }
            assert_eq!(issuer.take_release(), None);
        }
    }
}
