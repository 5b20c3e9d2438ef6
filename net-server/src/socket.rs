//! The part of a socket that all families share.

use alloc::{boxed::Box, collections::VecDeque};

use strait_abi::{Errno, socket as c};
use strait_ring::{
    PAGE,
    arena::Arena,
    paged::{RING_BYTES, ServerConsumer, ServerProducer, Slot},
};

/// A socket's number in the server.
pub type SocketId = usize;

/// Default and greatest SO_RCVBUF and SO_SNDBUF, in bytes: what a ring spans.
pub const DEFAULT_BUFFER: u32 = 64 * 1024;
/// See [`DEFAULT_BUFFER`].
pub const MAX_BUFFER: u32 = RING_BYTES - 2 * PAGE as u32;
const MIN_BUFFER: u32 = PAGE as u32;

/// A socket.
pub struct Socket {
    /// The session that owns it.
    pub session: usize,
    /// Place of its family in the registry.
    pub family: usize,
    /// AF number that it was made with.
    pub domain: u16,
    /// SOCK_STREAM, ...
    pub kind: u16,
    /// IPPROTO_TCP, ..., as the family chose it.
    pub protocol: u16,
    /// The client has it open.
    pub open: bool,
    /// Its place in the session region while it has one.
    pub slot: Option<u16>,
    /// Its rings while it has a slot.
    pub rings: Option<Box<Rings>>,
    /// The status word last published.
    pub status: u32,
    /// SO_ERROR.
    pub error: Option<Errno>,
    /// Its port was chosen for it, and counts against its owner's quota.
    pub ephemeral: bool,
    /// Generic options.
    pub options: Options,
    /// For listeners.
    pub queue: Option<ConnectionQueue>,
    /// The family's own.
    pub state: usize,
}

/// The two rings of a socket.
pub struct Rings {
    /// Their shared words.
    pub slot: &'static Slot,
    /// To the client.
    pub rx: ServerProducer,
    /// From the client.
    pub tx: ServerConsumer,
    /// How much room the client gets: grows while it uses it up.
    pub window: u32,
}

impl Rings {
    /// Lets the client write more, up to `most` bytes that are not yet taken.
    /// Returns whether to tell it: if it waits and has room now.
    ///
    /// That is also so if the room was given earlier, at a time when the client
    /// was not seen to wait: it may have looked just before.
    pub fn grant(&mut self, arena: &mut Arena, most: u32) -> bool {
        let (room, wanted) = (self.tx.room(), self.tx.wanted());
        if wanted == 0 && room >= self.window {
            // All of it is there yet.
            return false;
        }
        if room < self.window / 4 {
            self.window = (2 * self.window).min(most);
        }
        self.tx.grant(self.window.max(wanted.min(most)), arena);
        (room == 0 || wanted != 0) && self.tx.room() > 0
    }
}

/// Connections on their way to accept(2): one design for all families.
pub struct ConnectionQueue {
    /// As listen(2) said.
    pub backlog: u32,
    /// Connections whose handshake goes on, in the order of their beginning.
    pub incomplete: VecDeque<SocketId>,
    /// Connections that can be accepted.
    pub complete: VecDeque<SocketId>,
}

impl ConnectionQueue {
    /// Whether accept(2) has more than enough to do: new connections wait
    /// outside (Linux: full when there are more than the backlog).
    pub fn full(&self) -> bool {
        self.complete.len() as u64 > u64::from(self.backlog)
    }

    /// Whether as many handshakes go on as may.
    pub fn busy(&self) -> bool {
        self.incomplete.len() as u64 > u64::from(self.backlog.max(8))
    }

    /// A handshake ended, well or not.
    pub fn leave(&mut self, id: SocketId) {
        // Most end in the order in which they began.
        if let Some(at) = self.incomplete.iter().position(|i| *i == id) {
            self.incomplete.remove(at);
        }
    }
}

/// Options at level SOL_SOCKET.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub reuse_address: bool,
    pub broadcast: bool,
    pub keep_alive: bool,
    /// `(on, seconds)`.
    pub linger: (bool, u32),
    pub send_buffer: u32,
    pub receive_buffer: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            reuse_address: false,
            broadcast: false,
            keep_alive: false,
            linger: (false, 0),
            send_buffer: DEFAULT_BUFFER,
            receive_buffer: DEFAULT_BUFFER,
        }
    }
}

/// An `int` option value; EINVAL if it is too short.
pub fn int(value: &[u8]) -> Result<i32, Errno> {
    value.first_chunk().map(|b| i32::from_ne_bytes(*b)).ok_or(Errno::EINVAL)
}

/// Stores an `int` option value; returns the bytes used, cut to what fits
/// (getsockopt(2)).
pub fn put_int(into: &mut [u8], value: i32) -> usize {
    let n = into.len().min(4);
    into[..n].copy_from_slice(&value.to_ne_bytes()[..n]);
    n
}

impl Socket {
    /// Sets a generic option. ENOPROTOOPT if it is not one.
    pub fn set_option(&mut self, name: i32, value: &[u8]) -> Result<(), Errno> {
        // As Linux: the doubled value is kept and reported, within bounds.
        let size = |v: &[u8]| Ok::<_, Errno>((int(v)?.max(0) as u32).saturating_mul(2).clamp(MIN_BUFFER, MAX_BUFFER));
        let o = &mut self.options;
        match name {
            c::SO_REUSEADDR => o.reuse_address = int(value)? != 0,
            c::SO_BROADCAST => o.broadcast = int(value)? != 0,
            c::SO_KEEPALIVE => o.keep_alive = int(value)? != 0,
            c::SO_SNDBUF => o.send_buffer = size(value)?,
            c::SO_RCVBUF => o.receive_buffer = size(value)?,
            c::SO_LINGER => {
                let seconds = value.get(4..).ok_or(Errno::EINVAL).and_then(int)?;
                o.linger = (int(value)? != 0, seconds.max(0) as u32);
            }
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    /// Reads a generic option.
    pub fn get_option(&self, name: i32, into: &mut [u8]) -> Result<usize, Errno> {
        let o = &self.options;
        let value = match name {
            c::SO_REUSEADDR => o.reuse_address.into(),
            c::SO_BROADCAST => o.broadcast.into(),
            c::SO_KEEPALIVE => o.keep_alive.into(),
            c::SO_SNDBUF => o.send_buffer as i32,
            c::SO_RCVBUF => o.receive_buffer as i32,
            c::SO_TYPE => self.kind.into(),
            c::SO_DOMAIN => self.domain.into(),
            c::SO_PROTOCOL => self.protocol.into(),
            c::SO_ACCEPTCONN => self.queue.is_some().into(),
            c::SO_LINGER => {
                let n = put_int(into, o.linger.0.into());
                return Ok(n + put_int(&mut into[n..], o.linger.1 as i32));
            }
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(put_int(into, value))
    }
}
