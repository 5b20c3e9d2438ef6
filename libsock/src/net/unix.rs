//! Local sockets (unix(7)), shaped like those of `std::os::unix::net`.
//!
//! Names in the file system need a session with `vfs_server`; abstract names
//! and pairs do not. Descriptors are passed with
//! [`sendmsg`](crate::Process::sendmsg) on [`fd`](super::Descriptor::fd).

use core::{fmt, time::Duration};

use strait_abi::{
    Address, Errno,
    address::AF_UNIX,
    socket::{MSG_PEEK, SHUT_RD, SHUT_RDWR, SHUT_WR, SO_RCVTIMEO, SO_SNDTIMEO, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_STREAM},
};

use super::{Error, Owned, Shutdown};
use crate::Process;

/// Bytes of a name at most (`sun_path`), with the zero behind a path.
const NAME: usize = 108;
const BACKLOG: i32 = 128;

/// The address of a local socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UnixAddr(Address);

impl UnixAddr {
    /// A name in the file system. EINVAL if it is empty, has a zero in it or
    /// more than 107 bytes.
    pub fn from_pathname(path: impl AsRef<[u8]>) -> Result<Self, Errno> {
        let path = path.as_ref();
        if path.is_empty() || path.contains(&0) || path.len() >= NAME {
            return Err(Errno::EINVAL);
        }
        Self::new(&[path, &[0]])
    }

    /// A name that is in no file system, of up to 107 bytes.
    pub fn from_abstract_name(name: impl AsRef<[u8]>) -> Result<Self, Errno> {
        if name.as_ref().len() >= NAME {
            return Err(Errno::EINVAL);
        }
        Self::new(&[&[0], name.as_ref()])
    }

    fn new(parts: &[&[u8]; 2]) -> Result<Self, Errno> {
        let mut address = Address::EMPTY;
        let bytes = address.resize(2 + parts[0].len() + parts[1].len())?;
        let (family, name) = bytes.split_at_mut(2);
        family.copy_from_slice(&AF_UNIX.to_ne_bytes());
        let (first, second) = name.split_at_mut(parts[0].len());
        first.copy_from_slice(parts[0]);
        second.copy_from_slice(parts[1]);
        Ok(Self(address))
    }

    fn name(&self) -> &[u8] {
        self.0.as_bytes().get(2..).unwrap_or_default()
    }

    /// The name in the file system, if it is one.
    pub fn as_pathname(&self) -> Option<&[u8]> {
        let path = self.name().split(|b| *b == 0).next()?;
        (!path.is_empty()).then_some(path)
    }

    /// The abstract name, if it is one.
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        self.name().strip_prefix(&[0])
    }

    /// Whether the socket has no name.
    pub fn is_unnamed(&self) -> bool {
        self.name().is_empty()
    }
}

impl fmt::Debug for UnixAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.as_pathname(), self.as_abstract_name()) {
            (Some(path), _) => write!(f, "\"{}\"", path.escape_ascii()),
            (None, Some(name)) => write!(f, "@\"{}\"", name.escape_ascii()),
            _ => f.write_str("(unnamed)"),
        }
    }
}

fn pair(process: &Process, kind: u16) -> Result<(Owned, Owned), Error> {
    let (a, b) = process.socketpair(AF_UNIX, u32::from(kind) | SOCK_CLOEXEC, 0)?;
    Ok((Owned::from(process, a), Owned::from(process, b)))
}

/// What the three types have in common.
macro_rules! common {
    ($type:ident) => {
        impl $type {
            /// The address at this end.
            pub fn local_addr(&self) -> Result<UnixAddr, Error> {
                Ok(UnixAddr(self.0.process.getsockname(self.0.fd)?))
            }

            /// Another handle to the same socket.
            pub fn try_clone(&self) -> Result<Self, Error> {
                Ok(Self(self.0.try_clone()?))
            }

            /// Whether operations give EAGAIN instead of waiting.
            pub fn set_nonblocking(&self, on: bool) -> Result<(), Error> {
                Ok(self.0.process.set_nonblocking(self.0.fd, on)?)
            }

            /// Takes the pending error (SO_ERROR).
            pub fn take_error(&self) -> Result<Option<Errno>, Error> {
                self.0.take_error()
            }
        }
    };
}

/// What those have in common through which data goes.
macro_rules! connected {
    ($type:ident) => {
        common!($type);

        impl $type {
            /// The address at the other end.
            pub fn peer_addr(&self) -> Result<UnixAddr, Error> {
                Ok(UnixAddr(self.0.process.getpeername(self.0.fd)?))
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

            /// How long reading waits before it gives EAGAIN; `None` without
            /// limit.
            pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
                self.0.set_timeout(SO_RCVTIMEO, timeout)
            }

            /// How long writing waits before it gives EAGAIN; `None` without
            /// limit.
            pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
                self.0.set_timeout(SO_SNDTIMEO, timeout)
            }
        }
    };
}

/// A connection to another component, or to this one.
pub struct UnixStream(pub(super) Owned);

connected!(UnixStream);

impl UnixStream {
    /// Connects to the socket that is called `path`.
    pub fn connect(process: &Process, path: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::connect_addr(process, &UnixAddr::from_pathname(path)?)
    }

    /// Connects.
    pub fn connect_addr(process: &Process, to: &UnixAddr) -> Result<Self, Error> {
        let stream = Self::unconnected(process)?;
        stream.try_connect(to)?;
        Ok(stream)
    }

    pub(crate) fn unconnected(process: &Process) -> Result<Self, Errno> {
        Owned::of(process, AF_UNIX, SOCK_STREAM).map(Self)
    }

    pub(crate) fn try_connect(&self, to: &UnixAddr) -> Result<(), Errno> {
        self.0.process.connect(self.0.fd, &to.0)
    }

    /// Two ends of a connection.
    pub fn pair(process: &Process) -> Result<(Self, Self), Error> {
        pair(process, SOCK_STREAM).map(|(a, b)| (Self(a), Self(b)))
    }
}

/// A local socket that takes in connections.
pub struct UnixListener(pub(super) Owned);

common!(UnixListener);

impl UnixListener {
    /// Listens under the name `path`, which must not exist yet.
    pub fn bind(process: &Process, path: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::bind_addr(process, &UnixAddr::from_pathname(path)?)
    }

    /// Listens.
    pub fn bind_addr(process: &Process, at: &UnixAddr) -> Result<Self, Error> {
        let listener = Self(Owned::of(process, AF_UNIX, SOCK_STREAM)?);
        process.bind(listener.0.fd, &at.0)?;
        process.listen(listener.0.fd, BACKLOG)?;
        Ok(listener)
    }

    /// Waits for the next connection.
    pub fn accept(&self) -> Result<(UnixStream, UnixAddr), Error> {
        let (fd, peer) = self.0.process.accept4(self.0.fd, SOCK_CLOEXEC)?;
        Ok((UnixStream(Owned::from(&self.0.process, fd)), UnixAddr(peer)))
    }
}

/// A local socket for datagrams, none of which is lost.
pub struct UnixDatagram(pub(super) Owned);

connected!(UnixDatagram);

impl UnixDatagram {
    /// A socket without a name.
    pub fn unbound(process: &Process) -> Result<Self, Error> {
        Ok(Self(Owned::of(process, AF_UNIX, SOCK_DGRAM)?))
    }

    /// A socket called `path`, which must not exist yet.
    pub fn bind(process: &Process, path: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::bind_addr(process, &UnixAddr::from_pathname(path)?)
    }

    /// A socket with a name.
    pub fn bind_addr(process: &Process, at: &UnixAddr) -> Result<Self, Error> {
        let socket = Self::unbound(process)?;
        process.bind(socket.0.fd, &at.0)?;
        Ok(socket)
    }

    /// Two sockets that are connected to each other.
    pub fn pair(process: &Process) -> Result<(Self, Self), Error> {
        pair(process, SOCK_DGRAM).map(|(a, b)| (Self(a), Self(b)))
    }

    /// Sends from now on to this socket, and receives from no other.
    pub fn connect(&self, path: impl AsRef<[u8]>) -> Result<(), Error> {
        self.connect_addr(&UnixAddr::from_pathname(path)?)
    }

    /// See [`connect`](Self::connect).
    pub fn connect_addr(&self, to: &UnixAddr) -> Result<(), Error> {
        Ok(self.0.process.connect(self.0.fd, &to.0)?)
    }

    /// Sends a datagram to the socket called `path`.
    pub fn send_to(&self, data: &[u8], path: impl AsRef<[u8]>) -> Result<usize, Error> {
        self.send_to_addr(data, &UnixAddr::from_pathname(path)?)
    }

    /// Sends a datagram.
    pub fn send_to_addr(&self, data: &[u8], to: &UnixAddr) -> Result<usize, Error> {
        Ok(self.0.process.sendto(self.0.fd, data, 0, &to.0)?)
    }

    /// Sends a datagram to the connected socket.
    pub fn send(&self, data: &[u8]) -> Result<usize, Error> {
        Ok(self.0.process.send(self.0.fd, data, 0)?)
    }

    /// Receives a datagram; what does not fit is lost.
    pub fn recv_from(&self, into: &mut [u8]) -> Result<(usize, UnixAddr), Error> {
        let (n, from) = self.0.process.recvfrom(self.0.fd, into, 0)?;
        Ok((n, UnixAddr(from)))
    }

    /// Receives a datagram from the connected socket.
    pub fn recv(&self, into: &mut [u8]) -> Result<usize, Error> {
        Ok(self.0.process.recv(self.0.fd, into, 0)?)
    }

    /// Receives a datagram without taking it away.
    pub fn peek(&self, into: &mut [u8]) -> Result<usize, Error> {
        Ok(self.0.process.recv(self.0.fd, into, MSG_PEEK)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use alloc::format;
    use embedded_io::{Read, Write};

    #[test]
    fn names() {
        let path = UnixAddr::from_pathname("/tmp/s").unwrap();
        assert_eq!(path.0.as_bytes(), b"\x01\0/tmp/s\0");
        assert_eq!((path.as_pathname(), path.as_abstract_name()), (Some(&b"/tmp/s"[..]), None));
        let name = UnixAddr::from_abstract_name("a\0b").unwrap();
        assert_eq!(name.0.as_bytes(), b"\x01\0\0a\0b");
        assert_eq!((name.as_pathname(), name.as_abstract_name()), (None, Some(&b"a\0b"[..])));
        assert_eq!(format!("{path:?} {name:?}"), "\"/tmp/s\" @\"a\\x00b\"");
        let none = UnixAddr(Address::from_bytes(&[1, 0]).unwrap());
        assert!(none.is_unnamed() && !name.is_unnamed());
        assert_eq!(format!("{none:?} {:?}", UnixAddr(Address::EMPTY)), "(unnamed) (unnamed)");
        for bad in [&b""[..], b"a\0b", &[b'x'; 108]] {
            assert_eq!(UnixAddr::from_pathname(bad), Err(Errno::EINVAL));
        }
        assert!(UnixAddr::from_pathname([b'x'; 107]).is_ok() && UnixAddr::from_abstract_name([0; 107]).is_ok());
        assert_eq!(UnixAddr::from_abstract_name([0; 108]), Err(Errno::EINVAL));
    }

    #[test]
    fn connections_and_datagrams() {
        let (fake, env) = Fake::new(512, &[]);
        let p = Process::new(&env).unwrap();
        let at = UnixAddr::from_abstract_name("door").unwrap();
        let listener = UnixListener::bind_addr(&p, &at).unwrap();
        assert_eq!(listener.local_addr().unwrap(), at);
        fake.then(|f| {
            f.serve(|s| s.arrive(0, Address::from_bytes(&[1, 0]).unwrap()));
        });
        let (mut stream, from) = listener.accept().unwrap();
        assert!(from.is_unnamed());
        fake.serve(|s| s.push(1, b"ping"));
        let mut bytes = [0; 8];
        assert_eq!(stream.read(&mut bytes), Ok(4));
        stream.write_all(b"pong").unwrap();
        assert_eq!(fake.serve(|s| s.take(1)), b"pong");
        let socket = UnixDatagram::unbound(&p).unwrap();
        assert_eq!(socket.send_to_addr(b"x", &at), Ok(1));
        assert_eq!(fake.serve(|s| s.take_datagram(2).unwrap()), (at.0, b"x".to_vec()));
        fake.serve(|s| s.push_datagram(2, &at.0, b"abc"));
        assert_eq!(socket.peek(&mut bytes), Ok(3));
        assert_eq!(socket.recv_from(&mut bytes), Ok((3, at)));
    }
}
