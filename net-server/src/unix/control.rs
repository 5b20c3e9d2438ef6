//! Control data: descriptors (SCM_RIGHTS) and identities (SCM_CREDENTIALS).
//!
//! Between a client and the server the value of an SCM_RIGHTS item is a
//! sequence of words of four bytes: a socket is its handle, with [`NONBLOCK`]
//! if its description has O_NONBLOCK; a file is [`FILE`] and then number and
//! code of a token of `vfs_server` (16 bytes).

use alloc::vec::Vec;

use strait_abi::{
    Errno,
    control::{Item, items, put, space},
    rights::{FILE, MAX_BYTES, NONBLOCK},
    socket::{SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET},
};

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

/// What goes with a message.
#[derive(Debug)]
pub struct Control {
    pub rights: Vec<Right>,
    pub from: Credentials,
}

impl Control {
    /// Nothing but who sends.
    pub fn plain(core: &Core, session: usize) -> Self {
        Self { rights: Vec::new(), from: Credentials::of(core, session) }
    }

    /// Takes what a client of `session` sends. EBADF for a handle that it has
    /// not, EPERM for an identity that is not its own, EINVAL for what is no
    /// control data, ETOOMANYREFS if too many of its descriptors are on their
    /// way.
    pub fn take(core: &mut Core, session: usize, bytes: &[u8]) -> Result<Self, Errno> {
        let mut control = Self::plain(core, session);
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
                if item.value == self.from.to_bytes() { Ok(()) } else { Err(Errno::EPERM) }
            }
            (SOL_SOCKET, _) => Err(Errno::EINVAL),
            // Linux: not for this layer.
            _ => Ok(()),
        }
    }

    fn take_rights(&mut self, core: &mut Core, session: usize, value: &[u8]) -> Result<(), Errno> {
        if value.len() + 4 * self.rights.len() > MAX_BYTES {
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
    pub fn drop(self, core: &mut Core) {
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

    /// Hands it to a session: descriptors become its handles and are left here
    /// only if `peek` says so. Those that it has no place for are dropped.
    /// Returns the bytes used of `into`.
    pub fn give(&mut self, core: &mut Core, session: usize, peek: bool, credentials: bool, into: &mut [u8]) -> usize {
        let mut used = 0;
        let mut value = [0; MAX_BYTES];
        let mut len = 0;
        let mut add = |bytes: &[u8]| {
            if let Some(place) = value.get_mut(len..len + bytes.len()) {
                place.copy_from_slice(bytes);
                len += bytes.len();
            }
        };
        for right in &self.rights {
            match right {
                Right::Socket(flight, nonblocking) => {
                    if let Ok(handle) = core.adopt(flight.socket, session) {
                        let word = u32::from(handle) | if *nonblocking { NONBLOCK } else { 0 };
                        add(&word.to_ne_bytes());
                    }
                }
                Right::File(_, word, token) => {
                    add(&word.to_ne_bytes());
                    add(token);
                }
            }
        }
        if !self.rights.is_empty() {
            put(into, &mut used, Item { level: SOL_SOCKET, kind: SCM_RIGHTS, value: &value[..len] });
        }
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
        if credentials {
            put(into, &mut used, self.credentials(&mut [0; Credentials::BYTES]));
        }
        used
    }

    fn credentials<'a>(&self, bytes: &'a mut [u8; Credentials::BYTES]) -> Item<'a> {
        *bytes = self.from.to_bytes();
        Item { level: SOL_SOCKET, kind: SCM_CREDENTIALS, value: bytes }
    }

    /// What a record says of it, where its descriptors are not handed over yet:
    /// a word of zero for each. Returns the bytes used of `into`.
    pub fn announce(&self, credentials: bool, into: &mut [u8; ANNOUNCED]) -> usize {
        let mut used = 0;
        if !self.rights.is_empty() {
            let value = [0; MAX_BYTES];
            let len = (4 * self.rights.len()).min(MAX_BYTES);
            put(into, &mut used, Item { level: SOL_SOCKET, kind: SCM_RIGHTS, value: &value[..len] });
        }
        if credentials {
            put(into, &mut used, self.credentials(&mut [0; Credentials::BYTES]));
        }
        used
    }
}

/// Most bytes of control data in a record to a client.
pub const ANNOUNCED: usize = space(MAX_BYTES) + space(Credentials::BYTES);
