//! Port forwarding: from 127.0.0.1 in the namespace where the run was started
//! to the system, as QEMU's `hostfwd` does.
//!
//! No magic: a socket belongs to the namespace that it was made in. The
//! listening ones are made before the process moves to the new namespace, the
//! connecting ones after. End of file is relayed for each direction by itself.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;
use tokio::time::timeout;

const HTTP: u16 = 80;
const ECHO: u16 = 7;

/// Bytes that one direction of a connection may hold back.
const BUFFER: usize = 64 * 1024;
/// After this time without a datagram a UDP session is forgotten.
const UDP_IDLE: Duration = Duration::from_secs(60);
/// Most UDP sessions at once; datagrams of further ones are dropped.
const UDP_SESSIONS: usize = 512;
/// Pause after a failing accept (too many open files, say).
const BACK_OFF: Duration = Duration::from_millis(100);

/// The forwarded ports, open but not served yet.
pub struct Ports {
    tcp: Vec<(TcpListener, u16)>,
    udp: Vec<(UdpSocket, u16)>,
}

fn refused(port: u16) -> String {
    format!("cannot open 127.0.0.1:{port}; end what uses it, or choose HTTP_PORT, ECHO_PORT and FORWARD")
}

impl Ports {
    /// Opens the ports that are not 0. `more` are pairs of a port here and one
    /// of the system.
    pub fn bind(http: u16, echo: u16, more: &[(u16, u16)]) -> Result<Self> {
        let mut ports = Self { tcp: Vec::new(), udp: Vec::new() };
        let both = more.iter().copied().chain([(echo, ECHO)]).filter(|(port, _)| *port != 0);
        for (port, to) in both.clone().chain((http != 0).then_some((http, HTTP))) {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| refused(port))?;
            listener.set_nonblocking(true)?;
            ports.tcp.push((listener, to));
        }
        for (port, to) in both {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| refused(port))?;
            socket.set_nonblocking(true)?;
            ports.udp.push((socket, to));
        }
        Ok(ports)
    }

    /// Forwards to `guest` as long as the process lives.
    pub fn serve(self, guest: Ipv4Addr) -> Result<()> {
        if self.tcp.is_empty() && self.udp.is_empty() {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let guard = runtime.enter();
        for (listener, port) in self.tcp {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            runtime.spawn(forward_tcp(listener, (guest, port).into()));
        }
        for (socket, port) in self.udp {
            let socket = tokio::net::UdpSocket::from_std(socket)?;
            runtime.spawn(forward_udp(Arc::new(socket), (guest, port).into()));
        }
        drop(guard);
        thread::Builder::new().name("relay".into()).spawn(move || runtime.block_on(std::future::pending::<()>()))?;
        Ok(())
    }
}

async fn forward_tcp(listener: tokio::net::TcpListener, to: SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((near, _)) => {
                tokio::spawn(async move {
                    // What ends one side ends the other; there is nobody to
                    // report an error to.
                    let _ = forward_connection(near, to).await;
                });
            }
            Err(_) => tokio::time::sleep(BACK_OFF).await,
        }
    }
}

async fn forward_connection(mut near: TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut far = TcpStream::connect(to).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER, BUFFER).await?;
    Ok(())
}

type Sessions = Arc<Mutex<HashMap<SocketAddr, Arc<tokio::net::UdpSocket>>>>;

fn lock(sessions: &Sessions) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, Arc<tokio::net::UdpSocket>>> {
    sessions.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A session for each source address, with a socket of its own.
async fn forward_udp(near: Arc<tokio::net::UdpSocket>, to: SocketAddr) {
    let sessions = Sessions::default();
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((n, from)) = near.recv_from(&mut buffer).await else {
            // An ICMP error of an earlier answer; the next call is clear of it.
            continue;
        };
        let known = lock(&sessions).get(&from).cloned();
        let far = match known {
            Some(far) => far,
            None if lock(&sessions).len() >= UDP_SESSIONS => continue,
            None => match open_udp(to).await {
                Ok(far) => {
                    lock(&sessions).insert(from, far.clone());
                    tokio::spawn(answer_udp(near.clone(), far.clone(), from, sessions.clone()));
                    far
                }
                Err(_) => continue,
            },
        };
        let _ = far.send(&buffer[..n]).await;
    }
}

async fn open_udp(to: SocketAddr) -> io::Result<Arc<tokio::net::UdpSocket>> {
    let socket = tokio::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect(to).await?;
    Ok(Arc::new(socket))
}

/// The way back, until nothing came for a while.
async fn answer_udp(
    near: Arc<tokio::net::UdpSocket>,
    far: Arc<tokio::net::UdpSocket>,
    client: SocketAddr,
    sessions: Sessions,
) {
    let mut buffer = vec![0; 65_536];
    while let Ok(received) = timeout(UDP_IDLE, far.recv(&mut buffer)).await {
        if let Ok(n) = received {
            let _ = near.send_to(&buffer[..n], client).await;
        }
    }
    lock(&sessions).remove(&client);
}

#[cfg(test)]
mod tests;
