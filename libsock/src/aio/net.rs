//! TCP, UDP and local sockets.

use core::{net::SocketAddr, time::Duration};

use embedded_io::ErrorType;
use embedded_io_async::{Read, Write};
use strait_abi::Errno;

use super::{Async, resolve, sleep};
use crate::{
    Process,
    net::{self, Error, ToAddresses, UnixAddr},
};

/// A socket that takes in connections.
pub type TcpListener = Async<net::TcpListener>;
/// A connection.
pub type TcpStream = Async<net::TcpStream>;
/// A socket for datagrams.
pub type UdpSocket = Async<net::UdpSocket>;
/// A local socket that takes in connections.
pub type UnixListener = Async<net::UnixListener>;
/// A local connection.
pub type UnixStream = Async<net::UnixStream>;
/// A local socket for datagrams.
pub type UnixDatagram = Async<net::UnixDatagram>;

/// How long a local connect that finds the queue full waits before it tries
/// again: nobody tells when there is a place (unix(7)).
const FULL: Duration = Duration::from_millis(10);

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

macro_rules! stream {
    ($($type:ty),*) => {$(
        impl ErrorType for Async<$type> {
            type Error = Error;
        }

        impl ErrorType for &Async<$type> {
            type Error = Error;
        }

        impl Read for &Async<$type> {
            async fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
                self.until(|mut stream| embedded_io::Read::read(&mut stream, into)).await
            }
        }

        impl Write for &Async<$type> {
            async fn write(&mut self, from: &[u8]) -> Result<usize, Error> {
                self.until(|mut stream| embedded_io::Write::write(&mut stream, from)).await
            }

            async fn flush(&mut self) -> Result<(), Error> {
                Ok(())
            }
        }

        impl Read for Async<$type> {
            async fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
                (&*self).read(into).await
            }
        }

        impl Write for Async<$type> {
            async fn write(&mut self, from: &[u8]) -> Result<usize, Error> {
                (&*self).write(from).await
            }

            async fn flush(&mut self) -> Result<(), Error> {
                Ok(())
            }
        }
    )*};
}

stream!(net::OwnedFd, net::TcpStream, net::UnixStream);

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

impl Async<net::UnixListener> {
    /// Listens.
    pub fn bind(process: &Process, at: &UnixAddr) -> Result<Self, Error> {
        Self::new(net::UnixListener::bind_addr(process, at)?)
    }

    /// Waits for the next connection.
    pub async fn accept(&self) -> Result<(UnixStream, UnixAddr), Error> {
        let (stream, peer) = self.until(net::UnixListener::accept).await?;
        Ok((Async::new(stream)?, peer))
    }
}

impl Async<net::UnixStream> {
    /// Connects.
    pub async fn connect(process: &Process, to: &UnixAddr) -> Result<Self, Error> {
        let stream = Self::new(net::UnixStream::unconnected(process)?)?;
        loop {
            match stream.get_ref().try_connect(to) {
                Err(Errno::EAGAIN) => sleep(process, FULL).await?,
                Err(e) => return Err(e.into()),
                Ok(()) => return Ok(stream),
            }
        }
    }

    /// Two ends of a connection.
    pub fn pair(process: &Process) -> Result<(Self, Self), Error> {
        let (a, b) = net::UnixStream::pair(process)?;
        Ok((Self::new(a)?, Self::new(b)?))
    }
}

impl Async<net::UnixDatagram> {
    /// A socket with a name.
    pub fn bind(process: &Process, at: &UnixAddr) -> Result<Self, Error> {
        Self::new(net::UnixDatagram::bind_addr(process, at)?)
    }

    /// Receives a datagram; what does not fit is lost.
    pub async fn recv_from(&self, into: &mut [u8]) -> Result<(usize, UnixAddr), Error> {
        self.until(|socket| socket.recv_from(into)).await
    }

    /// Sends a datagram.
    pub async fn send_to(&self, data: &[u8], to: &UnixAddr) -> Result<usize, Error> {
        self.until(|socket| socket.send_to_addr(data, to)).await
    }

    /// Receives a datagram from the connected socket.
    pub async fn recv(&self, into: &mut [u8]) -> Result<usize, Error> {
        self.until(|socket| socket.recv(into)).await
    }

    /// Sends a datagram to the connected socket.
    pub async fn send(&self, data: &[u8]) -> Result<usize, Error> {
        self.until(|socket| socket.send(data)).await
    }
}
