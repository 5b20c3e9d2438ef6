//! Address families: a table of operations registered under AF numbers.
//!
//! A new family is one module with an implementation of [`Family`] and one line
//! in [`register_all`]. The engine and the session transport know no family; a
//! number that nobody registered gives EAFNOSUPPORT.

use alloc::{boxed::Box, vec::Vec};

use strait_abi::{Address, Errno};

use crate::{core::Core, socket::SocketId};

/// Registers every family. The one place that names them.
pub fn register_all(registry: &mut Registry, core: &mut Core) {
    use strait_abi::address::{AF_INET, AF_INET6};
    registry.register(&[AF_INET, AF_INET6], Box::new(crate::inet::Inet::new(core)));
    registry.register(&[strait_abi::address::AF_PACKET], Box::new(crate::packet::Packet::default()));
    registry.register(&[strait_abi::address::AF_UNIX], Box::new(crate::unix::Unix::new(core)));
}

/// A family of another crate.
pub struct Further {
    /// What the setting that switches it on calls it.
    pub name: &'static str,
    /// Registers it.
    pub register: fn(&mut Registry, &mut Core),
}

/// A receive of a client, see
/// [`Request::Receive`](strait_abi::net::Request::Receive).
#[derive(Debug, Clone, Copy)]
pub struct Receive {
    /// Bytes behind the head that it has peeked at.
    pub offset: u32,
    /// Bytes that it has room for.
    pub most: u32,
    /// Bits of [`receive`](strait_abi::net::receive).
    pub how: u8,
}

/// What a family does. Every call returns at once: what must wait gives EAGAIN
/// or EINPROGRESS and is told by the socket's status later.
///
/// The generic part of a socket (owner, rings, options, error, connection
/// queue) is in [`Core::sockets`](crate::core::Core); a family keeps its own
/// part under `Socket::state`.
pub trait Family {
    /// A socket of this family was made: checks kind and protocol, sets up the
    /// family's part and the first status.
    fn create(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno>;

    /// bind(2).
    fn bind(&mut self, core: &mut Core, id: SocketId, address: &Address) -> Result<(), Errno>;

    /// listen(2); the engine has set up the connection queue.
    fn listen(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno>;

    /// connect(2). EINPROGRESS if the status will tell.
    fn connect(&mut self, core: &mut Core, id: SocketId, address: &Address) -> Result<(), Errno>;

    /// A connection was taken from the queue and has its rings now. Its peer, also
    /// if it is over.
    fn accepted(&mut self, core: &mut Core, id: SocketId) -> Address;

    /// shutdown(2).
    fn shutdown(&mut self, core: &mut Core, id: SocketId, read: bool, write: bool) -> Result<(), Errno>;

    /// The client closed the socket. The family calls
    /// [`Core::remove`](crate::core::Core::remove) when nothing of it is needed
    /// any more, here or later.
    fn close(&mut self, core: &mut Core, id: SocketId);

    /// What was in the rings of a socket is lost: its home closed it, and none of
    /// the others that hold it has pages for that. So datagrams may be; a stream
    /// must not have a gap.
    fn broken(&mut self, _core: &mut Core, _id: SocketId) {}

    /// getsockname(2).
    fn local_address(&self, core: &Core, id: SocketId) -> Result<Address, Errno>;

    /// getpeername(2).
    fn peer_address(&self, core: &Core, id: SocketId) -> Result<Address, Errno>;

    /// setsockopt(2) for what the engine does not know; ENOPROTOOPT for what
    /// the family does not either. The engine also tells of generic options
    /// that it has set: ENOPROTOOPT is no error then.
    fn set_option(&mut self, core: &mut Core, id: SocketId, level: i32, name: i32, value: &[u8]) -> Result<(), Errno>;

    /// getsockopt(2) for what the engine does not know. Returns the bytes used.
    fn get_option(
        &mut self,
        core: &mut Core,
        id: SocketId,
        level: i32,
        name: i32,
        value: &mut [u8],
    ) -> Result<usize, Errno>;

    /// socketpair(2): joins two new sockets.
    fn pair(&mut self, _core: &mut Core, _first: SocketId, _second: SocketId) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// ioctl(2) for what the engine does not know. `answer` holds a copy of the
    /// argument; returns how much of it goes back.
    fn ioctl(
        &mut self,
        _core: &mut Core,
        _id: SocketId,
        _request: u32,
        _argument: &[u8],
        _answer: &mut [u8],
    ) -> Result<usize, Errno> {
        Err(Errno::ENOTTY)
    }

    /// See [`Request::SendUrgent`](strait_abi::net::Request::SendUrgent).
    fn send_urgent(&mut self, _core: &mut Core, _id: SocketId, _bytes: u32) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// See [`Request::ReceiveUrgent`](strait_abi::net::Request::ReceiveUrgent).
    fn receive_urgent(&mut self, _core: &mut Core, _id: SocketId, _peek: bool) -> Result<Option<u8>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// See [`Request::SendControl`](strait_abi::net::Request::SendControl).
    fn send_control(&mut self, _core: &mut Core, _id: SocketId, _bytes: u32, _control: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// See [`Request::Receive`](strait_abi::net::Request::Receive). Puts the
    /// answer in `answer`, and returns the bytes used of it.
    fn receive(&mut self, _core: &mut Core, _id: SocketId, _ask: Receive, _answer: &mut [u8]) -> Result<usize, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// See [`Request::Send`](strait_abi::net::Request::Send): a doorbell that can
    /// say at once what is wrong.
    fn send(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        self.doorbell(core, id);
        Ok(())
    }

    /// listen(2) once more; the engine has changed the backlog.
    fn relisten(&mut self, _core: &mut Core, _id: SocketId) {}

    /// The client moved data in the rings of the socket.
    fn doorbell(&mut self, core: &mut Core, id: SocketId);

    /// An IP packet arrived. The family may change it. Returns whether it was
    /// for this family.
    fn input(&mut self, core: &mut Core, packet: &mut [u8]) -> bool;

    /// Ends a turn: moves data between rings and protocol, sends what can be
    /// sent, tells clients what changed. Bounded work; returns whether some is
    /// left over.
    fn settle(&mut self, core: &mut Core) -> bool;

    /// When [`tick`](Self::tick) is due, in nanoseconds.
    fn deadline(&self) -> Option<u64>;

    /// Does what is due at `core.now`.
    fn tick(&mut self, core: &mut Core);

    /// The addresses of the interfaces changed.
    fn addresses_changed(&mut self, core: &mut Core);
}

/// The families, by AF number.
#[derive(Default)]
pub struct Registry {
    families: Vec<Box<dyn Family>>,
    numbers: Vec<(u16, usize)>,
}

impl Registry {
    /// Makes `family` the one for these AF numbers.
    pub fn register(&mut self, numbers: &[u16], family: Box<dyn Family>) {
        for &n in numbers {
            debug_assert!(self.index(n).is_err(), "family {n} is registered twice");
            self.numbers.push((n, self.families.len()));
        }
        self.families.push(family);
    }

    /// The place of the family for `number`; EAFNOSUPPORT without one.
    pub fn index(&self, number: u16) -> Result<usize, Errno> {
        self.numbers.iter().find(|(n, _)| *n == number).map(|(_, i)| *i).ok_or(Errno::EAFNOSUPPORT)
    }

    /// The family at a place that [`index`](Self::index) gave.
    pub fn get(&mut self, index: usize) -> &mut dyn Family {
        &mut *self.families[index]
    }

    /// All families.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Box<dyn Family>> {
        self.families.iter_mut()
    }

    /// The earliest deadline of all.
    pub fn deadline(&self) -> Option<u64> {
        self.families.iter().filter_map(|f| f.deadline()).min()
    }
}
