//! TCP and UDP.

use core::net::SocketAddr;

use embedded_io::ErrorType;
use embedded_io_async::{Read, Write};
use strait_abi::Errno;

use super::{Async, resolve};
use crate::{
    Process,
    net::{self, Error, ToAddresses},
};

/// A socket that takes in connections.
pub type TcpListener = Async<net::TcpListener>;
/// A connection.
pub type TcpStream = Async<net::TcpStream>;
/// A socket for datagrams.
pub type UdpSocket = Async<net::UdpSocket>;

impl Async<net::TcpListener> {
    /// Listens at the first address that can be bound.
    pub fn bind(process: &Process, at: impl ToAddresses) -> Result<Self, Error> {
        Self::new(net::TcpListener::bind(process, at)?)
    }

    /// Waits for the next connection.
    pub async fn accept(&self) -> Result<(TcpStream, SocketAddr), Error> {
        let (stream, peer) = self.until(net::TcpListener::accept).await?;
        Ok((Async::new(stream)?, peer))
    }
}

impl Async<net::TcpStream> {
    /// Connects.
    pub async fn connect(process: &Process, to: SocketAddr) -> Result<Self, Error> {
        let stream = Self::new(net::TcpStream::begin_connect(process, &to)?)?;
        stream.until(|inner| Ok(process.connected(inner.fd())?)).await?;
        Ok(stream)
    }

    /// Connects to `port` of the host called `host`: to the first of its
    /// addresses that answers.
    pub async fn connect_host(process: &Process, host: &str, port: u16) -> Result<Self, Error> {
        let mut last = Error::System(Errno::EHOSTUNREACH);
        for ip in resolve(process, host).await? {
            match Self::connect(process, SocketAddr::new(ip, port)).await {
                Err(e) => last = e,
                done => return done,
            }
        }
        Err(last)
    }
}

impl ErrorType for Async<net::TcpStream> {
    type Error = Error;
}

impl ErrorType for &Async<net::TcpStream> {
    type Error = Error;
}

impl Read for &Async<net::TcpStream> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        self.until(|mut stream| embedded_io::Read::read(&mut stream, into)).await
    }
}

impl Write for &Async<net::TcpStream> {
    async fn write(&mut self, from: &[u8]) -> Result<usize, Error> {
        self.until(|mut stream| embedded_io::Write::write(&mut stream, from)).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl Read for Async<net::TcpStream> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        (&*self).read(into).await
    }
}

impl Write for Async<net::TcpStream> {
    async fn write(&mut self, from: &[u8]) -> Result<usize, Error> {
        (&*self).write(from).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl Async<net::UdpSocket> {
    /// A socket at the first address that can be bound.
    pub fn bind(process: &Process, at: impl ToAddresses) -> Result<Self, Error> {
        Self::new(net::UdpSocket::bind(process, at)?)
    }

    /// Receives a datagram; what does not fit is lost.
    pub async fn recv_from(&self, into: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        self.until(|socket| socket.recv_from(into)).await
    }

    /// Sends a datagram.
    pub async fn send_to(&self, data: &[u8], to: SocketAddr) -> Result<usize, Error> {
        self.until(|socket| socket.send_to(data, to)).await
    }

    /// Receives a datagram from the connected address.
    pub async fn recv(&self, into: &mut [u8]) -> Result<usize, Error> {
        self.until(|socket| socket.recv(into)).await
    }

    /// Sends a datagram to the connected address.
    pub async fn send(&self, data: &[u8]) -> Result<usize, Error> {
        self.until(|socket| socket.send(data)).await
    }
}
