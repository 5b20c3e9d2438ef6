//! TCP.

use core::{net::SocketAddr, time::Duration};

use strait_abi::{
    Address, Errno,
    socket::{
        IP_TTL, IPPROTO_IP, IPPROTO_TCP, MSG_PEEK, SHUT_RD, SHUT_RDWR, SHUT_WR, SO_RCVTIMEO, SO_REUSEADDR, SO_SNDTIMEO,
        SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET, TCP_NODELAY,
    },
};

use super::{Error, Owned, ToAddresses, each};
use crate::{Process, posix::Fd};

/// Connections that may wait to be accepted, as in std.
const BACKLOG: i32 = 128;

/// Which halves of a connection to shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Receiving.
    Read,
    /// Sending: the peer sees the end of file.
    Write,
    /// Both.
    Both,
}

/// A connection.
pub struct TcpStream(pub(super) Owned);

impl TcpStream {
    /// Connects to the first address that answers.
    pub fn connect(process: &Process, to: impl ToAddresses) -> Result<Self, Error> {
        each(process, to, |address| Self::connect_one(process, address, None))
    }

    /// Connects; ETIMEDOUT if it takes longer than `timeout`.
    pub fn connect_timeout(process: &Process, to: &SocketAddr, timeout: Duration) -> Result<Self, Error> {
        match Self::connect_one(process, to, Some(timeout)) {
            Err(Errno::EINPROGRESS) => Err(Errno::ETIMEDOUT.into()),
            other => Ok(other?),
        }
    }

    fn connect_one(process: &Process, to: &SocketAddr, timeout: Option<Duration>) -> Result<Self, Errno> {
        let owned = Owned::new(process, to, SOCK_STREAM)?;
        process.set_timeout(owned.fd, SO_SNDTIMEO, timeout)?;
        process.connect(owned.fd, &Address::from(*to))?;
        process.set_timeout(owned.fd, SO_SNDTIMEO, None)?;
        Ok(Self(owned))
    }

    /// Begins to connect, without waiting for the end.
    pub(crate) fn begin_connect(process: &Process, to: &SocketAddr) -> Result<Self, Errno> {
        let owned = Owned::new(process, to, SOCK_STREAM)?;
        process.set_nonblocking(owned.fd, true)?;
        match process.connect(owned.fd, &Address::from(*to)) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(Self(owned)),
            Err(e) => Err(e),
        }
    }

    /// Its descriptor, which stays its property.
    pub fn fd(&self) -> Fd {
        self.0.fd
    }

    /// The address at this end.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.0.local_addr()
    }

    /// The address at the other end.
    pub fn peer_addr(&self) -> Result<SocketAddr, Error> {
        self.0.peer_addr()
    }

    /// Shuts down one half or both.
    pub fn shutdown(&self, how: Shutdown) -> Result<(), Error> {
        let how = match how {
            Shutdown::Read => SHUT_RD,
            Shutdown::Write => SHUT_WR,
            Shutdown::Both => SHUT_RDWR,
        };
        Ok(self.0.process.shutdown(self.0.fd, how)?)
    }

    /// Another handle to the same connection.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Receives without taking the bytes away.
    pub fn peek(&self, into: &mut [u8]) -> Result<usize, Error> {
        Ok(self.0.process.recv(self.0.fd, into, MSG_PEEK)?)
    }

    /// Whether operations give EAGAIN instead of waiting.
    pub fn set_nonblocking(&self, on: bool) -> Result<(), Error> {
        Ok(self.0.process.set_nonblocking(self.0.fd, on)?)
    }

    /// How long reading waits before it gives EAGAIN; `None` without limit.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.0.set_timeout(SO_RCVTIMEO, timeout)
    }

    /// How long writing waits before it gives EAGAIN; `None` without limit.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.0.set_timeout(SO_SNDTIMEO, timeout)
    }

    /// The timeout of reading.
    pub fn read_timeout(&self) -> Result<Option<Duration>, Error> {
        Ok(self.0.process.timeout(self.0.fd, SO_RCVTIMEO)?)
    }

    /// The timeout of writing.
    pub fn write_timeout(&self) -> Result<Option<Duration>, Error> {
        Ok(self.0.process.timeout(self.0.fd, SO_SNDTIMEO)?)
    }

    /// Whether small pieces are sent at once (TCP_NODELAY).
    pub fn set_nodelay(&self, on: bool) -> Result<(), Error> {
        Ok(self.0.process.set_option(self.0.fd, IPPROTO_TCP, TCP_NODELAY, on.into())?)
    }

    /// See [`set_nodelay`](Self::set_nodelay).
    pub fn nodelay(&self) -> Result<bool, Error> {
        Ok(self.0.process.option(self.0.fd, IPPROTO_TCP, TCP_NODELAY)? != 0)
    }

    /// The time to live of packets (IP_TTL).
    pub fn set_ttl(&self, ttl: u32) -> Result<(), Error> {
        Ok(self.0.process.set_option(self.0.fd, IPPROTO_IP, IP_TTL, ttl as i32)?)
    }

    /// Takes the pending error (SO_ERROR).
    pub fn take_error(&self) -> Result<Option<Errno>, Error> {
        self.0.take_error()
    }
}

/// A socket that takes in connections.
pub struct TcpListener(pub(super) Owned);

impl TcpListener {
    /// Listens at the first address that can be bound (with SO_REUSEADDR, as
    /// std does).
    pub fn bind(process: &Process, at: impl ToAddresses) -> Result<Self, Error> {
        each(process, at, |address| {
            let owned = Owned::new(process, address, SOCK_STREAM)?;
            process.set_option(owned.fd, SOL_SOCKET, SO_REUSEADDR, 1)?;
            process.bind(owned.fd, &Address::from(*address))?;
            process.listen(owned.fd, BACKLOG)?;
            Ok(Self(owned))
        })
    }

    /// Waits for the next connection.
    pub fn accept(&self) -> Result<(TcpStream, SocketAddr), Error> {
        let (fd, peer) = self.0.process.accept4(self.0.fd, SOCK_CLOEXEC)?;
        let stream = TcpStream(Owned::from(&self.0.process, fd));
        Ok((stream, peer.to_inet()?))
    }

    /// The connections, one after the other, without end.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming(self)
    }

    /// Its descriptor, which stays its property.
    pub fn fd(&self) -> Fd {
        self.0.fd
    }

    /// The address that it listens at.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.0.local_addr()
    }

    /// Another handle to the same listener.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Whether accepting gives EAGAIN instead of waiting.
    pub fn set_nonblocking(&self, on: bool) -> Result<(), Error> {
        Ok(self.0.process.set_nonblocking(self.0.fd, on)?)
    }

    /// Takes the pending error (SO_ERROR).
    pub fn take_error(&self) -> Result<Option<Errno>, Error> {
        self.0.take_error()
    }
}

/// See [`TcpListener::incoming`].
pub struct Incoming<'a>(&'a TcpListener);

impl Iterator for Incoming<'_> {
    type Item = Result<TcpStream, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.accept().map(|(stream, _)| stream))
    }
}
