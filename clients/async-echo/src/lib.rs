//! The echo service (RFC 862) once more, with async: one task for each
//! connection, one for datagrams.
//!
//! Compare `clients/echo`, which does the same in an event loop of its own, in
//! fewer instructions and with more code. A connection on which nothing comes
//! for [`IDLE`] is closed, if the component has a channel to `timer_driver`.
//!
//! Setting `port`: where it listens, 7007 if not given.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec;
use core::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use strait_abi::log::Logger;
use strait_libsock::{
    Errno, Process,
    aio::{Executor, Read, TcpListener, TcpStream, UdpSocket, Write, sleep, timeout},
    net::Error,
};
use strait_pd::Environment;

/// How long a connection may be silent.
pub const IDLE: Duration = Duration::from_secs(300);
/// How long nobody is accepted when there is no place for one more.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a connection moved at once.
const PIECE: usize = 4096;
/// No datagram is longer.
const DATAGRAM: usize = 65536;
const DEFAULT_PORT: u16 = 7007;

/// Runs the service.
pub fn main(env: Environment) -> ! {
    let log = Logger::new(&env);
    let port = match env.config.setting("port").map(str::parse) {
        None => DEFAULT_PORT,
        Some(Ok(port)) => port,
        Some(Err(_)) => {
            log.line(format_args!("the setting `port` must be a number from 1 to 65535"));
            DEFAULT_PORT
        }
    };
    match Process::new(&env) {
        Ok(process) => {
            let executor = Executor::new(&process);
            let error = executor.block_on(serve(&process, &executor, port));
            log.line(format_args!("stopped: {error}"));
        }
        Err(e) => log.line(format_args!("cannot start: {e}")),
    }
    loop {
        env.pd.wait();
    }
}

/// Serves until something fails that is not one connection's fault.
pub async fn serve(process: &Process, executor: &Executor, port: u16) -> Error {
    let at = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let sockets = TcpListener::bind(process, at).and_then(|l| Ok((l, UdpSocket::bind(process, at)?)));
    let (listener, socket) = match sockets {
        Ok(sockets) => sockets,
        Err(e) => return e,
    };
    drop(executor.spawn(datagrams(socket)));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(executor.spawn(connection(process.clone(), stream))),
            // One that went away before it was taken.
            Err(Error::System(Errno::ECONNABORTED)) => {}
            Err(Error::System(Errno::EMFILE | Errno::ENOBUFS)) => {
                if let Err(e) = sleep(process, PAUSE).await {
                    return e.into();
                }
            }
            Err(e) => return e,
        }
    }
}

/// Sends back what comes, to the end of file, an error or silence.
async fn connection(process: Process, mut stream: TcpStream) {
    let mut buffer = vec![0; PIECE];
    loop {
        let read = match timeout(&process, IDLE, stream.read(&mut buffer)).await {
            // Without a timer it stays as long as its peer wants.
            Err(Errno::ENOSYS) => stream.read(&mut buffer).await,
            Err(_) => return,
            Ok(read) => read,
        };
        match read {
            Ok(n @ 1..) => {
                if stream.write_all(&buffer[..n]).await.is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
}

/// Sends back every datagram. Errors tell of one that was lost.
async fn datagrams(socket: UdpSocket) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        if let Ok((n, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..n], from).await;
        }
    }
}

#[cfg(test)]
mod tests;
