//! Making, naming and joining sockets.

use alloc::rc::Rc;

use strait_abi::{
    Address, Errno,
    address::AF_UNSPEC,
    net::{Reply, Request},
    session::status,
    socket::{SHUT_RDWR, SHUT_WR, SOCK_CLOEXEC, SOCK_NONBLOCK},
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
        socket.net.call(&Request::Bind { socket: socket.handle, address: address.as_bytes() }, |_| Ok(()))
    }

    /// listen(2). A negative backlog counts as 0.
    pub fn listen(&self, fd: Fd, backlog: i32) -> Result<(), Errno> {
        let socket = self.socket_of(fd)?;
        socket.net.call(&Request::Listen { socket: socket.handle, backlog: backlog.max(0) as u32 }, |_| Ok(()))?;
        socket.listening.set(true);
        Ok(())
    }

    /// accept(2): the new descriptor and the peer's address.
    pub fn accept(&self, fd: Fd) -> Result<(Fd, Address), Errno> {
        self.accept4(fd, 0)
    }

    /// accept4(2). `flags` are SOCK_NONBLOCK and SOCK_CLOEXEC.
    pub fn accept4(&self, fd: Fd, flags: u32) -> Result<(Fd, Address), Errno> {
        if flags & !FLAGS != 0 {
            return Err(Errno::EINVAL);
        }
        let listener = self.socket_of(fd)?;
        if !listener.is_connected_type() {
            return Err(Errno::EOPNOTSUPP);
        }
        if !listener.listening.get() {
            return Err(Errno::EINVAL);
        }
        self.table().borrow_mut().check_free()?;
        let attempt = || {
            // Nobody waits: no need to ask the server.
            if listener.status() & (status::IN | status::ERR | status::HUP) == 0 {
                return Err(Errno::EAGAIN);
            }
            listener
                .net
                .call(&Request::Accept { socket: listener.handle }, |reply| Ok((reply.value, address_of(reply)?)))
        };
        let (handle, peer) = match attempt() {
            Err(Errno::EAGAIN) if listener.flags.may_wait() => self.until(listener.receive_timeout.get(), attempt)?,
            done => done?,
        };
        let socket = Socket::new(&listener.net, handle, listener.family, listener.kind, listener.protocol)?;
        socket.inherit(&listener);
        Ok((self.enter(socket, flags)?, peer))
    }

    /// connect(2). On a stream socket that may not wait: EINPROGRESS, and later
    /// an event with POLLOUT (connected) or POLLERR (see SO_ERROR).
    pub fn connect(&self, fd: Fd, address: &Address) -> Result<(), Errno> {
        let socket = self.socket_of(fd)?;
        let disconnects = address.family() == Some(AF_UNSPEC);
        let begins = disconnects || socket.status() & status::CONNECTED == 0;
        let attempt = || {
            self.with_right(&socket, address, |named| {
                socket.net.call(&Request::Connect { socket: socket.handle, address: named.as_bytes() }, |_| Ok(()))
            })
        };
        let result = match attempt() {
            // unix(7) on Linux: the queue of the listener is full.
            Err(Errno::EAGAIN) if socket.is_local() && socket.flags.may_wait() => {
                self.until(socket.send_timeout.get(), attempt)
            }
            other => other,
        };
        if begins && matches!(result, Ok(()) | Err(Errno::EINPROGRESS)) {
            socket.begin();
        }
        match result {
            Ok(()) => {
                socket.connecting.set(false);
                if socket.is_local() && !socket.is_connected_type() && socket.has_peer.get() {
                    socket.purge();
                }
                socket.has_peer.set(!disconnects);
                Ok(())
            }
            Err(e @ (Errno::EINPROGRESS | Errno::EALREADY)) => {
                socket.connecting.set(true);
                if !socket.flags.may_wait() {
                    return Err(e);
                }
                self.wait_connected(&socket)
            }
            Err(e) => Err(e),
        }
    }

    fn wait_connected(&self, socket: &Socket) -> Result<(), Errno> {
        let result = self.until(socket.send_timeout.get(), || {
            let status = socket.status();
            if status & status::ERR != 0 {
                socket.check_error()?;
            }
            if status & status::CONNECTED != 0 {
                Ok(())
            } else if status & status::HUP != 0 {
                // Failed, and somebody else took the error.
                Err(Errno::ECONNABORTED)
            } else {
                Err(Errno::EAGAIN)
            }
        });
        match result {
            Err(Errno::EAGAIN) => Err(Errno::EINPROGRESS),
            done => {
                socket.connecting.set(false);
                done
            }
        }
    }

    /// shutdown(2).
    pub fn shutdown(&self, fd: Fd, how: u8) -> Result<(), Errno> {
        let socket = self.socket_of(fd)?;
        if how > SHUT_RDWR {
            return Err(Errno::EINVAL);
        }
        socket.net.call(&Request::Shutdown { socket: socket.handle, how }, |_| Ok(()))?;
        if how != SHUT_WR && socket.is_inet() {
            // It listens no more.
            socket.listening.set(false);
        }
        Ok(())
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
