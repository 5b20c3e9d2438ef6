//! Control data: descriptors (SCM_RIGHTS) and identities (SCM_CREDENTIALS).
//!
//! Between a client and the server the value of an SCM_RIGHTS item is a
//! sequence of words of four bytes: a socket is its handle, with [`NONBLOCK`]
//! if its description has O_NONBLOCK; a file is [`FILE`] and then number and
//! code of a token of `vfs_server` (16 bytes). To a client, [`LOST`] stands for
//! a descriptor that it has no place for.

use alloc::vec::Vec;

use strait_abi::{
    Errno,
    control::{Item, items, put},
    rights::{FILE, LOST, MAX_BYTES, NONBLOCK, TOKEN_BYTES},
    socket::{SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET},
};

use super::endpoint::Writer;
use crate::{core::Core, share::Flight};

/// Who a client is (`struct ucred`): its place in the system description, as a
/// process, and the user and group that the settings make it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    pub process: u32,
    pub user: u32,
    pub group: u32,
}

impl Credentials {
    /// Bytes of a `struct ucred`.
    pub const BYTES: usize = 12;

    pub fn of(core: &Core, session: usize) -> Self {
        let (user, group) = core.sessions.get(session).map_or((u32::MAX, u32::MAX), |s| s.identity);
        Self { process: session as u32 + 1, user, group }
    }

    /// What Linux says of who is not known: no process, and the user and group
    /// that stand for those that have no number here.
    const UNKNOWN: Self = Self { process: 0, user: 65534, group: 65534 };

    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (at, word) in [self.process, self.user, self.group].into_iter().enumerate() {
            bytes[4 * at..4 * at + 4].copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }
}

/// A descriptor in a message.
#[derive(Debug)]
pub enum Right {
    /// A socket, and whether its description has O_NONBLOCK.
    Socket(Flight, bool),
    /// An open file: who it is charged to, its first word and its token.
    File(usize, u32, [u8; 16]),
}

impl Right {
    /// What it takes in an item.
    fn bytes(&self) -> usize {
        4 + if matches!(self, Self::File(..)) { TOKEN_BYTES } else { 0 }
    }
}

/// What goes with a message.
#[derive(Debug, Default)]
pub struct Control {
    pub rights: Vec<Right>,
    /// Its sender said that this is who it is.
    pub from: Writer,
}

impl Control {
    /// Takes what a client of `session` sends. EBADF for a handle that it has
    /// not, EPERM for an identity that is not its own, EINVAL for what is no
    /// control data, ETOOMANYREFS if too many of its descriptors are on their
    /// way.
    pub fn take(core: &mut Core, session: usize, bytes: &[u8]) -> Result<Self, Errno> {
        let mut control = Self::default();
        for item in items(bytes) {
            let taken = item.and_then(|item| control.take_item(core, session, item));
            if let Err(errno) = taken {
                control.refuse(core);
                return Err(errno);
            }
        }
        Ok(control)
    }

    fn take_item(&mut self, core: &mut Core, session: usize, item: Item<'_>) -> Result<(), Errno> {
        match (item.level, item.kind) {
            (SOL_SOCKET, SCM_RIGHTS) => self.take_rights(core, session, item.value),
            (SOL_SOCKET, SCM_CREDENTIALS) if item.value.len() == Credentials::BYTES => {
                self.from = Some(session as u8);
                if item.value == Credentials::of(core, session).to_bytes() { Ok(()) } else { Err(Errno::EPERM) }
            }
            (SOL_SOCKET, _) => Err(Errno::EINVAL),
            // Linux: not for this layer.
            _ => Ok(()),
        }
    }

    fn take_rights(&mut self, core: &mut Core, session: usize, value: &[u8]) -> Result<(), Errno> {
        let before: usize = self.rights.iter().map(Right::bytes).sum();
        if before + value.len() > MAX_BYTES {
            return Err(Errno::EINVAL);
        }
        let mut rest = value;
        while let Some((word, after)) = rest.split_first_chunk() {
            let word = u32::from_ne_bytes(*word);
            rest = after;
            if word & FILE != 0 {
                let (token, after) = rest.split_first_chunk().ok_or(Errno::EINVAL)?;
                rest = after;
                core.take_file(token)?;
                if let Err(errno) = core.charge_flight(session) {
                    core.refuse_file(token);
                    return Err(errno);
                }
                self.rights.push(Right::File(session, word, *token));
            } else {
                let handle = u16::try_from(word & !NONBLOCK).map_err(|_| Errno::EBADF)?;
                let id = core.find(session, handle)?;
                let flight = core.take_off(id, session)?;
                self.rights.push(Right::Socket(flight, word & NONBLOCK != 0));
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Nobody takes it: the message is gone.
    pub fn lose(self, core: &mut Core) {
        self.end(core, true);
    }

    /// It is not sent: the client keeps its files' tokens, perhaps for another
    /// try.
    pub fn refuse(self, core: &mut Core) {
        self.end(core, false);
    }

    fn end(self, core: &mut Core, sent: bool) {
        for right in self.rights {
            match right {
                Right::Socket(flight, _) => core.land(flight),
                Right::File(session, _, token) => {
                    core.discharge_flight(session);
                    if sent {
                        core.lose_file(&token);
                    } else {
                        core.refuse_file(&token);
                    }
                }
            }
        }
    }

    /// The descriptors for a session, as an item behind the first `used` bytes
    /// of `into`: they become its handles, and are left here only if `peek`
    /// says so.
    pub fn give(&mut self, core: &mut Core, session: usize, peek: bool, into: &mut [u8], used: &mut usize) {
        if self.rights.is_empty() {
            return;
        }
        let mut value = [0; MAX_BYTES];
        let mut len = 0;
        let mut add = |bytes: &[u8]| {
            // It came in as many bytes at most.
            if let Some(place) = value.get_mut(len..len + bytes.len()) {
                place.copy_from_slice(bytes);
                len += bytes.len();
            }
        };
        for right in &self.rights {
            match right {
                Right::Socket(flight, nonblocking) => {
                    let flag = if *nonblocking { NONBLOCK } else { 0 };
                    let word = core.adopt(flight.socket, session).map_or(LOST, |handle| u32::from(handle) | flag);
                    add(&word.to_ne_bytes());
                }
                Right::File(_, word, token) => {
                    add(&word.to_ne_bytes());
                    add(token);
                }
            }
        }
        put(into, used, Item { level: SOL_SOCKET, kind: SCM_RIGHTS, value: &value[..len] });
        if !peek {
            for right in core::mem::take(&mut self.rights) {
                match right {
                    Right::Socket(flight, _) => core.land(flight),
                    Right::File(from, _, token) => {
                        core.discharge_flight(from);
                        core.hand_file(&token, session);
                    }
                }
            }
        }
    }
}

/// Who sent a message, as an item behind the first `used` bytes of `into`.
pub fn identity(core: &Core, writer: Writer, into: &mut [u8], used: &mut usize) {
    let who = writer.map_or(Credentials::UNKNOWN, |session| Credentials::of(core, session.into()));
    let value = who.to_bytes();
    put(into, used, Item { level: SOL_SOCKET, kind: SCM_CREDENTIALS, value: &value });
}
