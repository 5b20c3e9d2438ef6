//! The part of a socket that all families share.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::sync::atomic::Ordering;

use strait_abi::{
    Errno,
    address::{AF_INET, AF_INET6},
    session::SessionRegion,
    socket as c,
};
use strait_ring::{
    PAGE,
    arena::Arena,
    paged::{RING_BYTES, ServerConsumer, ServerProducer, Slot},
};

use crate::{core::Core, share::Alias};

/// A socket's number in the server.
pub type SocketId = usize;

/// Default and greatest SO_RCVBUF and SO_SNDBUF, in bytes: what a ring spans.
pub const DEFAULT_BUFFER: u32 = 64 * 1024;
/// See [`DEFAULT_BUFFER`].
pub const MAX_BUFFER: u32 = RING_BYTES - 2 * PAGE as u32;
/// The least values of both, as Linux has them.
const MIN_SEND_BUFFER: u32 = 4608;
const MIN_RECEIVE_BUFFER: u32 = 2304;

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
    /// Somebody has it open: a client, or a message on its way.
    pub open: bool,
    /// The client of `session` has a handle of it.
    pub held: bool,
    /// It is a connection in a queue.
    pub waits: bool,
    /// Further sessions that hold it.
    pub aliases: Vec<Alias>,
    /// Messages on their way that carry it.
    pub flying: u32,
    /// Its client is gone: what is on its way from it is not waited for.
    pub abandoned: bool,
    /// Its place in the session region while it has one.
    pub slot: Option<u16>,
    /// Its rings while it has a slot.
    pub rings: Option<Box<Rings>>,
    /// Positions where the next ones begin, to the client and from it: marks in a
    /// stream are positions, too.
    pub resume: (u32, u32),
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
    /// How much room the client gets: grows while it uses it up. 0 at first,
    /// and when it was taken back: then it gets some when it asks, or has none.
    pub window: u32,
    /// How far the client had written when it was looked at last.
    pub written: u32,
    /// Where it began to write.
    pub since: u32,
    /// They came to the client's memory, and it has not called for them yet
    /// (Request::Acquire): it does not know where they go on.
    pub unseen: bool,
}

impl Rings {
    /// Empty rings of a slot of a session, at these positions.
    pub fn new(region: &SessionRegion, slot: &'static Slot, (rx, tx): (u32, u32)) -> Box<Self> {
        slot.reset();
        let memory = region.memory();
        let since = tx;
        let (rx, tx) = (ServerProducer::resumed(memory, slot, rx), ServerConsumer::resumed(memory, slot, tx));
        Box::new(Self { slot, rx, tx, window: 0, written: 0, since, unseen: false })
    }

    /// Gives all pages back.
    pub fn close(&mut self, arena: &mut Arena) {
        self.rx.close(arena);
        self.tx.close(arena);
    }

    /// The rings go elsewhere: says how far the client got in these, see
    /// [`share`](crate::share).
    pub fn freeze(&self) {
        self.slot.rx_mark.store(self.rx.head(), Ordering::Relaxed);
        self.slot.tx_limit.store(self.tx.tail(), Ordering::Release);
    }

    /// Lets the client write more, up to `most` bytes that are not yet taken.
    /// Returns whether to tell it: if it waits and has room now.
    ///
    /// That is also so if the room was given earlier, at a time when the client
    /// was not seen to wait: it may have looked just before.
    pub fn grant(&mut self, arena: &mut Arena, most: u32) -> bool {
        self.grant_within(arena, most, most)
    }

    /// [`grant`](Self::grant) where only `left` of the `most` bytes are left.
    pub fn grant_within(&mut self, arena: &mut Arena, most: u32, left: u32) -> bool {
        self.grant_behind(arena, 0, most, left)
    }

    /// The same behind `before` bytes that wait to be taken.
    pub fn grant_behind(&mut self, arena: &mut Arena, before: u32, most: u32, left: u32) -> bool {
        let (room, wanted) = (self.tx.room(), self.tx.wanted());
        if wanted == 0 && room >= self.window && room != 0 {
            // All of it is there yet.
            return false;
        }
        if self.window == 0 {
            self.window = PAGE as u32;
        } else if room < self.window / 4 {
            self.window = (2 * self.window).min(most);
        }
        self.tx.grant(self.window.max(before + wanted.min(left)).min(left), arena);
        (room == 0 || wanted != 0) && self.tx.room() > 0
    }
}

/// Connections on their way to accept(2): one design for all families. Those that
/// do not stand yet are no sockets: a family that has such keeps them itself.
pub struct ConnectionQueue {
    /// As listen(2) said.
    pub backlog: u32,
    /// Connections that can be accepted.
    pub complete: VecDeque<SocketId>,
}

impl ConnectionQueue {
    /// Whether accept(2) has more than enough to do: new connections wait
    /// outside (Linux: full when there are more than the backlog).
    pub fn full(&self) -> bool {
        self.complete.len() as u64 > u64::from(self.backlog)
    }
}

/// Which form the time of arrival has in control data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamp {
    /// SO_TIMESTAMP: seconds and microseconds.
    Micros,
    /// SO_TIMESTAMPNS: seconds and nanoseconds.
    Nanos,
}

/// Options at level SOL_SOCKET (socket(7)).
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub reuse_address: bool,
    pub reuse_port: bool,
    pub broadcast: bool,
    pub keep_alive: bool,
    pub oob_inline: bool,
    /// SO_DONTROUTE: only to neighbours.
    pub dont_route: bool,
    /// `(on, seconds)`.
    pub linger: (bool, u32),
    pub send_buffer: u32,
    pub receive_buffer: u32,
    /// SO_RCVLOWAT; the client library keeps to it.
    pub receive_low: u32,
    /// SO_RCVTIMEO and SO_SNDTIMEO, each a `struct timeval`; kept for whoever
    /// gets the socket in a message.
    pub timeouts: [[u8; 16]; 2],
    /// SO_TIMESTAMP, SO_TIMESTAMPNS.
    pub timestamp: Option<Timestamp>,
    /// SO_BINDTODEVICE: the interface's index; 0 for any.
    pub device: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            reuse_address: false,
            reuse_port: false,
            broadcast: false,
            keep_alive: false,
            oob_inline: false,
            dont_route: false,
            linger: (false, 0),
            send_buffer: DEFAULT_BUFFER,
            receive_buffer: DEFAULT_BUFFER,
            receive_low: 1,
            timeouts: [[0; 16]; 2],
            timestamp: None,
            device: 0,
        }
    }
}

/// Bytes of an interface's name with its end (Linux: IFNAMSIZ).
const INTERFACE_NAME: usize = 16;

/// What recvmsg(2) says of a message that arrived at `now`: type and value of the
/// item, if it is wanted. The time is that since the start of the board: there
/// is no clock that knows the date.
pub fn time_of_arrival(options: &Options, now: u64) -> Option<(i32, [u8; 16])> {
    let (kind, unit) = match options.timestamp? {
        Timestamp::Micros => (c::SCM_TIMESTAMP, 1000),
        Timestamp::Nanos => (c::SCM_TIMESTAMPNS, 1),
    };
    let mut value = [0; 16];
    value[..8].copy_from_slice(&(now / 1_000_000_000).to_ne_bytes());
    value[8..].copy_from_slice(&(now % 1_000_000_000 / unit).to_ne_bytes());
    Some((kind, value))
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

impl Core {
    /// setsockopt(2) at level SOL_SOCKET. ENOPROTOOPT if the option is not a
    /// generic one or cannot be set; ENODEV for an interface that is not there.
    pub fn set_option(&mut self, id: SocketId, name: i32, value: &[u8]) -> Result<(), Errno> {
        if name == c::SO_BINDTODEVICE {
            let name = &value[..value.len().min(INTERFACE_NAME - 1)];
            let name = name.split(|b| *b == 0).next().unwrap_or_default();
            let index = if name.is_empty() { Some(0) } else { self.links.index_of(name) };
            self.sockets[id].options.device = index.ok_or(Errno::ENODEV)?;
            return Ok(());
        }
        self.sockets[id].set_option(name, value)
    }

    /// getsockopt(2) at level SOL_SOCKET. Returns the bytes used.
    pub fn get_option(&self, id: SocketId, name: i32, into: &mut [u8]) -> Result<usize, Errno> {
        if name == c::SO_BINDTODEVICE {
            let Some(name) = self.links.name_of(self.sockets[id].options.device) else { return Ok(0) };
            let bytes = into.get_mut(..=name.len()).ok_or(Errno::EINVAL)?;
            bytes.fill(0);
            bytes[..name.len()].copy_from_slice(name);
            return Ok(name.len() + 1);
        }
        self.sockets[id].get_option(name, into)
    }
}

impl Socket {
    /// Sets a generic option. ENOPROTOOPT if it is not one, or one that only
    /// can be read.
    fn set_option(&mut self, name: i32, value: &[u8]) -> Result<(), Errno> {
        let number = int(value)?;
        let on = number != 0;
        // As Linux: what is asked is cut at the most (a negative size counts as
        // a great one), doubled, and reported so.
        let size = (number as u32).min(MAX_BUFFER / 2).saturating_mul(2);
        let inet = matches!(self.domain, AF_INET | AF_INET6);
        let stream = inet && self.kind == c::SOCK_STREAM;
        let o = &mut self.options;
        match name {
            c::SO_REUSEADDR => o.reuse_address = on,
            // Linux since 6.14, sk_setsockopt.
            c::SO_REUSEPORT if on && !inet => return Err(Errno::EOPNOTSUPP),
            c::SO_REUSEPORT => o.reuse_port = on,
            c::SO_BROADCAST => o.broadcast = on,
            c::SO_KEEPALIVE => o.keep_alive = on,
            c::SO_OOBINLINE => o.oob_inline = on,
            c::SO_DONTROUTE => o.dont_route = on,
            c::SO_SNDBUF => o.send_buffer = size.max(MIN_SEND_BUFFER),
            c::SO_RCVBUF => {
                o.receive_buffer = size.max(MIN_RECEIVE_BUFFER);
                if stream {
                    o.receive_low = o.receive_low.min(o.receive_buffer / 2);
                }
            }
            c::SO_RCVLOWAT => {
                let low = if number < 0 { i32::MAX } else { number.max(1) } as u32;
                // More than that would never be there (Linux: tcp_set_rcvlowat).
                o.receive_low = if stream { low.min(o.receive_buffer / 2) } else { low };
            }
            c::SO_RCVTIMEO | c::SO_SNDTIMEO => {
                let place = &mut o.timeouts[usize::from(name == c::SO_SNDTIMEO)];
                *place = *value.first_chunk().ok_or(Errno::EINVAL)?;
            }
            c::SO_LINGER => {
                let seconds = value.get(4..).ok_or(Errno::EINVAL).and_then(int)?;
                o.linger = (on, if on { seconds.max(0) as u32 } else { o.linger.1 });
            }
            // Streams have no place for it. (By AF_UNIX Linux takes it all the same.)
            c::SO_TIMESTAMP | c::SO_TIMESTAMPNS if inet && self.kind == c::SOCK_STREAM => {
                return Err(Errno::ENOPROTOOPT);
            }
            c::SO_TIMESTAMP => o.timestamp = on.then_some(Timestamp::Micros),
            c::SO_TIMESTAMPNS => o.timestamp = on.then_some(Timestamp::Nanos),
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    /// Reads a generic option.
    fn get_option(&self, name: i32, into: &mut [u8]) -> Result<usize, Errno> {
        let o = &self.options;
        let value = match name {
            c::SO_REUSEADDR => o.reuse_address.into(),
            c::SO_REUSEPORT => o.reuse_port.into(),
            c::SO_BROADCAST => o.broadcast.into(),
            c::SO_KEEPALIVE => o.keep_alive.into(),
            c::SO_OOBINLINE => o.oob_inline.into(),
            c::SO_DONTROUTE => o.dont_route.into(),
            c::SO_SNDBUF => o.send_buffer as i32,
            c::SO_RCVBUF => o.receive_buffer as i32,
            c::SO_RCVLOWAT => o.receive_low as i32,
            // It cannot be set (socket(7)).
            c::SO_SNDLOWAT => 1,
            c::SO_TIMESTAMP => (o.timestamp == Some(Timestamp::Micros)).into(),
            c::SO_TIMESTAMPNS => (o.timestamp == Some(Timestamp::Nanos)).into(),
            c::SO_TYPE => self.kind.into(),
            c::SO_DOMAIN => self.domain.into(),
            c::SO_PROTOCOL => self.protocol.into(),
            c::SO_ACCEPTCONN => self.queue.is_some().into(),
            c::SO_RCVTIMEO | c::SO_SNDTIMEO => {
                let time = o.timeouts[usize::from(name == c::SO_SNDTIMEO)];
                let n = into.len().min(time.len());
                into[..n].copy_from_slice(&time[..n]);
                return Ok(n);
            }
            c::SO_LINGER => {
                let n = put_int(into, o.linger.0.into());
                return Ok(n + put_int(&mut into[n..], o.linger.1 as i32));
            }
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(put_int(into, value))
    }
}
