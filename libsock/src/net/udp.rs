//! UDP.

use core::{net::SocketAddr, time::Duration};

use strait_abi::{
    Address, Errno,
    socket::{MSG_PEEK, SO_BROADCAST, SO_RCVTIMEO, SO_SNDTIMEO, SOCK_DGRAM, SOL_SOCKET},
};

use super::{Error, Owned, ToAddresses, each};
use crate::{Process, posix::Fd};

/// A socket for datagrams.
pub struct UdpSocket(pub(super) Owned);

impl UdpSocket {
    /// A socket at the first address that can be bound.
    pub fn bind(process: &Process, at: impl ToAddresses) -> Result<Self, Error> {
        each(process, at, |address| {
            let owned = Owned::new(process, address, SOCK_DGRAM)?;
            process.bind(owned.fd, &Address::from(*address))?;
            Ok(Self(owned))
        })
    }

    /// Its descriptor, which stays its property.
    pub fn fd(&self) -> Fd {
        self.0.fd
    }

    /// Receives and sends from now on from and to this address only.
    pub fn connect(&self, to: impl ToAddresses) -> Result<(), Error> {
        each(&self.0.process, to, |address| self.0.process.connect(self.0.fd, &Address::from(*address)))
    }

    /// Sends a datagram to the first of the addresses.
    pub fn send_to(&self, data: &[u8], to: impl ToAddresses) -> Result<usize, Error> {
        let to = *to.addresses(&self.0.process)?.first().ok_or(Errno::EINVAL)?;
        Ok(self.0.process.sendto(self.0.fd, data, 0, &Address::from(to))?)
    }

    /// Receives a datagram; what does not fit is lost.
    pub fn recv_from(&self, into: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        self.receive(into, 0)
    }

    /// Receives a datagram without taking it away.
    pub fn peek_from(&self, into: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        self.receive(into, MSG_PEEK)
    }

    fn receive(&self, into: &mut [u8], flags: u32) -> Result<(usize, SocketAddr), Error> {
        let (n, from) = self.0.process.recvfrom(self.0.fd, into, flags)?;
        Ok((n, from.to_inet()?))
    }

    /// Sends a datagram to the connected address.
    pub fn send(&self, data: &[u8]) -> Result<usize, Error> {
        Ok(self.0.process.send(self.0.fd, data, 0)?)
    }

    /// Receives a datagram from the connected address.
    pub fn recv(&self, into: &mut [u8]) -> Result<usize, Error> {
        Ok(self.0.process.recv(self.0.fd, into, 0)?)
    }

    /// The address at this end.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.0.local_addr()
    }

    /// The connected address.
    pub fn peer_addr(&self) -> Result<SocketAddr, Error> {
        self.0.peer_addr()
    }

    /// Another handle to the same socket.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Whether operations give EAGAIN instead of waiting.
    pub fn set_nonblocking(&self, on: bool) -> Result<(), Error> {
        Ok(self.0.process.set_nonblocking(self.0.fd, on)?)
    }

    /// How long receiving waits before it gives EAGAIN; `None` without limit.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.0.set_timeout(SO_RCVTIMEO, timeout)
    }

    /// How long sending waits before it gives EAGAIN; `None` without limit.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.0.set_timeout(SO_SNDTIMEO, timeout)
    }

    /// Whether it may send to broadcast addresses.
    pub fn set_broadcast(&self, on: bool) -> Result<(), Error> {
        Ok(self.0.process.set_option(self.0.fd, SOL_SOCKET, SO_BROADCAST, on.into())?)
    }

    /// Takes the pending error (SO_ERROR).
    pub fn take_error(&self) -> Result<Option<Errno>, Error> {
        self.0.take_error()
    }
}
