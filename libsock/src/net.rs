//! Types shaped like those of `std::net`, over the descriptor calls.
//!
//! What differs from std: whoever makes a socket gives the
//! [`Process`](crate::Process), and reading and writing are the traits of
//! `embedded-io`, implemented for the types and for shared references to them.
//! Sockets wait unless made non-blocking; dropping the last handle closes.

mod address;
mod error;
mod stream;
mod tcp;
mod udp;
mod unix;

pub use address::ToAddresses;
pub use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
pub use error::Error;
pub use tcp::{Incoming, Shutdown, TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixAddr, UnixDatagram, UnixListener, UnixStream};

use core::time::Duration;

use strait_abi::{
    Errno,
    address::{AF_INET, AF_INET6},
    socket::{SO_ERROR, SOCK_CLOEXEC, SOL_SOCKET},
};

use crate::{
    Process,
    posix::{Fd, PollFd},
};

/// What owns a descriptor of a process.
pub trait Descriptor {
    /// The process.
    fn process(&self) -> &Process;

    /// The descriptor, which stays its property.
    fn fd(&self) -> Fd;
}

macro_rules! descriptor {
    ($($type:ty),*) => {$(
        impl Descriptor for $type {
            fn process(&self) -> &Process {
                &self.0.process
            }

            fn fd(&self) -> Fd {
                self.0.fd
            }
        }
    )*};
}

descriptor!(OwnedFd, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream);

/// A descriptor of any kind (a pipe, an eventfd, a file) that is closed when it
/// goes away.
pub struct OwnedFd(Owned);

impl OwnedFd {
    /// Takes `fd` over.
    pub fn new(process: &Process, fd: Fd) -> Self {
        Self(Owned::from(process, fd))
    }

    /// Another handle to the same object.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self(self.0.try_clone()?))
    }
}

/// A descriptor that is closed when it goes away.
struct Owned {
    process: Process,
    fd: Fd,
}

impl Owned {
    fn new(process: &Process, address: &SocketAddr, kind: u16) -> Result<Self, Errno> {
        Self::of(process, if address.is_ipv4() { AF_INET } else { AF_INET6 }, kind)
    }

    fn of(process: &Process, family: u16, kind: u16) -> Result<Self, Errno> {
        let fd = process.socket(family, u32::from(kind) | SOCK_CLOEXEC, 0)?;
        Ok(Self::from(process, fd))
    }

    fn from(process: &Process, fd: Fd) -> Self {
        Self { process: process.clone(), fd }
    }

    fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self::from(&self.process, self.process.dup(self.fd)?))
    }

    fn local_addr(&self) -> Result<SocketAddr, Error> {
        Ok(self.process.getsockname(self.fd)?.to_inet()?)
    }

    fn peer_addr(&self) -> Result<SocketAddr, Error> {
        Ok(self.process.getpeername(self.fd)?.to_inet()?)
    }

    fn take_error(&self) -> Result<Option<Errno>, Error> {
        let raw = self.process.option(self.fd, SOL_SOCKET, SO_ERROR)?;
        Ok((raw != 0).then(|| Errno::from_raw(raw as u64)))
    }

    fn set_timeout(&self, name: i32, timeout: Option<Duration>) -> Result<(), Error> {
        if timeout == Some(Duration::ZERO) {
            // As std has it.
            return Err(Errno::EINVAL.into());
        }
        Ok(self.process.set_timeout(self.fd, name, timeout)?)
    }

    fn ready(&self, events: u16) -> Result<bool, Error> {
        Ok(self.process.poll(&mut [PollFd::new(self.fd, events)], 0)? != 0)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.process.close(self.fd);
    }
}

/// Does `f` with each address until one succeeds; the last error otherwise.
fn each<T>(
    process: &Process,
    addresses: impl ToAddresses,
    mut f: impl FnMut(&SocketAddr) -> Result<T, Errno>,
) -> Result<T, Error> {
    let mut last = Errno::EINVAL;
    for address in addresses.addresses(process)? {
        match f(&address) {
            Ok(result) => return Ok(result),
            Err(e) => last = e,
        }
    }
    Err(last.into())
}
