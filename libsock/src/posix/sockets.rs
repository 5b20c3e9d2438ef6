//! Making, naming and joining sockets.

use alloc::rc::Rc;

use strait_abi::{
    Address, Errno,
    address::AF_UNSPEC,
    net::{Reply, Request},
    session::status,
    socket::{SHUT_RDWR, SOCK_CLOEXEC, SOCK_NONBLOCK},
};

use crate::{
    Process,
    descriptor::{Fd, Object},
    socket::Socket,
};

/// Beyond it are flags (SOCK_TYPE_MASK).
const TYPES: u16 = 0xf;
const FLAGS: u32 = SOCK_NONBLOCK | SOCK_CLOEXEC;

fn kind_and_flags(kind: u32) -> Result<(u16, u32), Errno> {
    let flags = kind & FLAGS;
    let kind = u16::try_from(kind & !FLAGS).ok().filter(|kind| *kind <= TYPES).ok_or(Errno::EINVAL)?;
    Ok((kind, flags))
}

fn address_of(reply: Reply<'_>) -> Result<Address, Errno> {
    Address::from_bytes(reply.bytes).map_err(|_| Errno::EPROTO)
}

impl Process {
    /// socket(2). `kind` may include SOCK_NONBLOCK and SOCK_CLOEXEC.
    pub fn socket(&self, family: u16, kind: u32, protocol: u16) -> Result<Fd, Errno> {
        let (kind, flags) = kind_and_flags(kind)?;
        let net = self.net()?;
        self.table().borrow_mut().check_free()?;
        let handle = net.call(&Request::Socket { family, kind, protocol }, |reply| Ok(reply.value))?;
        self.enter(Socket::new(net, handle, family, kind, protocol)?, flags)
    }

    /// socketpair(2): two sockets that are connected to each other.
    pub fn socketpair(&self, family: u16, kind: u32, protocol: u16) -> Result<(Fd, Fd), Errno> {
        let (kind, flags) = kind_and_flags(kind)?;
        let net = self.net()?;
        let both = net.call(&Request::SocketPair { family, kind, protocol }, |reply| Ok(reply.value))?;
        let new = |handle| Socket::new(net, handle, family, kind, protocol);
        let (first, second) = (new(both & 0xffff)?, new(both >> 16)?);
        first.has_peer.set(true);
        second.has_peer.set(true);
        let first = self.enter(first, flags)?;
        let second = self.enter(second, flags).inspect_err(|_| {
            let _ = self.close(first);
        })?;
        Ok((first, second))
    }

    fn enter(&self, socket: Rc<Socket>, flags: u32) -> Result<Fd, Errno> {
        socket.flags.change(flags, SOCK_NONBLOCK);
        self.table().borrow_mut().insert(Object::Socket(socket), flags & SOCK_CLOEXEC != 0, 0)
    }

    /// bind(2).
    pub fn bind(&self, fd: Fd, address: &Address) -> Result<(), Errno> {
        let socket = self.socket_of(fd)?;
        if socket.is_local() {
            return self.bind_local(&socket, address);
        }
        socket.reached.clear();
        socket.net.call(&Request::Bind { socket: socket.handle, address: address.as_bytes() }, |_| Ok(()))
    }

    /// listen(2). A negative backlog counts as the greatest that there is
    /// (Linux).
    pub fn listen(&self, fd: Fd, backlog: i32) -> Result<(), Errno> {
        let socket = self.socket_of(fd)?;
        socket.net.call(&Request::Listen { socket: socket.handle, backlog: backlog as u32 }, |_| Ok(()))
    }

    /// accept(2): the new descriptor and the peer's address.
    pub fn accept(&self, fd: Fd) -> Result<(Fd, Address), Errno> {
        self.accept4(fd, 0)
    }

    /// accept4(2). `flags` are SOCK_NONBLOCK and SOCK_CLOEXEC.
    pub fn accept4(&self, fd: Fd, flags: u32) -> Result<(Fd, Address), Errno> {
        self.object(fd)?;
        if flags & !FLAGS != 0 {
            return Err(Errno::EINVAL);
        }
        let listener = self.socket_of(fd)?;
        if !listener.is_connected_type() {
            return Err(Errno::EOPNOTSUPP);
        }
        if !listener.is_listening() {
            return Err(Errno::EINVAL);
        }
        self.table().borrow_mut().check_free()?;
        let attempt = || {
            // Nobody waits: no need to ask the server.
            if listener.status() & (status::IN | status::ERR | status::HUP) == 0 {
                return Err(Errno::EAGAIN);
            }
            let request = Request::Accept { socket: listener.handle };
            let taken = listener.net.call(&request, |reply| Ok((reply.value, address_of(reply)?)));
            // Linux: nobody comes any more (shutdown(2) of a local listener).
            let over = listener.status() & status::RDHUP != 0 && listener.flags.may_wait();
            if over && taken == Err(Errno::EAGAIN) { Err(Errno::EINVAL) } else { taken }
        };
        let (handle, peer) = self.attempt(listener.flags.may_wait(), listener.receive_timeout.get(), attempt)?;
        let socket = Socket::new(&listener.net, handle, listener.family, listener.kind, listener.protocol)?;
        socket.inherit(&listener);
        Ok((self.enter(socket, flags)?, peer))
    }

    /// connect(2). On a stream socket that may not wait: EINPROGRESS, and later
    /// an event with POLLOUT (connected) or POLLERR (see SO_ERROR).
    pub fn connect(&self, fd: Fd, address: &Address) -> Result<(), Errno> {
        let socket = self.socket_of(fd)?;
        self.connect_socket(&socket, address, socket.flags.may_wait())
    }

    pub(super) fn connect_socket(&self, socket: &Socket, address: &Address, may_wait: bool) -> Result<(), Errno> {
        let disconnects = address.family() == Some(AF_UNSPEC);
        let begins = disconnects || socket.status() & status::CONNECTED == 0;
        let attempt = || {
            self.with_right(socket, address, |named| {
                socket.net.call(&Request::Connect { socket: socket.handle, address: named.as_bytes() }, |_| Ok(()))
            })
        };
        // unix(7) on Linux: EAGAIN is for a listener whose queue is full.
        let first = self.attempt(socket.is_local() && may_wait, socket.send_timeout.get(), attempt);
        if begins && matches!(first, Ok(()) | Err(Errno::EINPROGRESS)) {
            socket.begin();
        }
        let under_way = |result: &Result<(), Errno>| matches!(result, Err(Errno::EINPROGRESS | Errno::EALREADY));
        let begun = under_way(&first) || socket.connecting.get();
        let result = match first {
            Err(e) if under_way(&first) && may_wait => {
                let over = || if socket.is_opening() { Err(Errno::EAGAIN) } else { Ok(()) };
                match self.until(socket.send_timeout.get(), over) {
                    // The server says what came of it.
                    Ok(()) => attempt(),
                    Err(Errno::EAGAIN) => Err(e),
                    Err(other) => Err(other),
                }
            }
            other => other,
        };
        if let Err(e) = result
            && begun
            && socket.is_new()
            && socket.failure.get().is_none()
        {
            // For callbacks.
            socket.failure.set(Some(e));
        }
        socket.connecting.set(under_way(&result));
        socket.reached.clear();
        if socket.is_inet() && socket.is_stream() && socket.is_new() {
            socket.purge();
        }
        if result.is_ok() {
            socket.has_peer.set(!disconnects);
        }
        result
    }

    /// shutdown(2).
    pub fn shutdown(&self, fd: Fd, how: u8) -> Result<(), Errno> {
        let socket = self.socket_of(fd)?;
        if how > SHUT_RDWR {
            return Err(Errno::EINVAL);
        }
        socket.net.call(&Request::Shutdown { socket: socket.handle, how }, |_| Ok(()))
    }

    /// getsockname(2).
    pub fn getsockname(&self, fd: Fd) -> Result<Address, Errno> {
        let socket = self.socket_of(fd)?;
        socket.net.call(&Request::LocalAddress { socket: socket.handle }, address_of)
    }

    /// getpeername(2).
    pub fn getpeername(&self, fd: Fd) -> Result<Address, Errno> {
        let socket = self.socket_of(fd)?;
        socket.net.call(&Request::PeerAddress { socket: socket.handle }, address_of)
    }
}
