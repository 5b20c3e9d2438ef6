//! Tells what `net_server` counts, and `vfs_server` if it has a session with it:
//! whoever connects to TCP port 15 (the `netstat` service of old) gets a line
//! `name value` for each counter, and the connection ends.
//!
//! An example of a server that serves one connection after the other with
//! blocking calls. It never waits for a peer: an answer is smaller than what a
//! socket takes at once. Its own sockets are counted like all others.
//!
//! Setting `port`: where it listens, 15 if not given.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::String;
use core::{
    fmt::{self, Write},
    net::{Ipv6Addr, SocketAddr},
};

use strait_abi::{log::Logger, net, vfs};
use strait_libsock::{
    Address, Errno, Process, StartError,
    posix::{AF_INET6, Fd, SHUT_WR, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET},
};
use strait_pd::Environment;

const DEFAULT_PORT: u16 = 15;
const BACKLOG: i32 = 8;

/// Runs the service.
pub fn main(env: Environment) -> ! {
    let log = Logger::new(&env);
    match start(&env) {
        Ok((process, listener, port)) => {
            log.line(format_args!("counters on TCP port {port}"));
            loop {
                if let Err(e) = serve(&process, listener) {
                    log.line(format_args!("stopped: {e}"));
                    break;
                }
            }
        }
        Err(e) => log.line(format_args!("cannot start: {e}")),
    }
    loop {
        env.pd.wait();
    }
}

enum Failure {
    Start(StartError),
    Port,
    Socket(Errno),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(e) => e.fmt(f),
            Self::Port => f.write_str("the setting `port` must be a number from 1 to 65535"),
            Self::Socket(e) => e.fmt(f),
        }
    }
}

impl From<Errno> for Failure {
    fn from(e: Errno) -> Self {
        Self::Socket(e)
    }
}

fn start(env: &Environment) -> Result<(Process, Fd, u16), Failure> {
    let port = match env.config.setting("port") {
        Some(text) => text.parse().ok().filter(|port| *port != 0).ok_or(Failure::Port)?,
        None => DEFAULT_PORT,
    };
    let process = Process::new(env).map_err(Failure::Start)?;
    let listener = process.socket(AF_INET6, SOCK_STREAM.into(), 0)?;
    process.set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1)?;
    process.bind(listener, &Address::from(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))))?;
    process.listen(listener, BACKLOG)?;
    Ok((process, listener, port))
}

/// Serves one connection.
fn serve(process: &Process, listener: Fd) -> Result<(), Errno> {
    let peer = match process.accept(listener) {
        Ok((peer, _)) => peer,
        // The peer went away while it waited.
        Err(Errno::ECONNABORTED) => return Ok(()),
        Err(e) => return Err(e),
    };
    // A peer that is gone meanwhile is its own business.
    let _ = answer(process, peer);
    process.close(peer)
}

fn answer(process: &Process, peer: Fd) -> Result<(), Errno> {
    let text = report(&process.counters()?, process.file_counters().ok().as_ref());
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        rest = &rest[process.send(peer, rest, 0)?..];
    }
    process.shutdown(peer, SHUT_WR)
}

/// One line for each counter of a whole server.
pub fn report(net: &net::Counters, files: Option<&vfs::Counters>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: u64| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name} {value}");
    };
    line("sockets_all", net.sockets_all.into());
    line("pages_all", net.pages_all.into());
    line("buffer_bytes", net.buffer_bytes);
    line("rx_frames", net.rx_frames);
    line("tx_frames", net.tx_frames);
    line("rx_dropped", net.rx_dropped);
    line("tx_dropped", net.tx_dropped);
    line("bad_descriptors", net.bad_descriptors);
    line("misbehaved", net.misbehaved);
    line("notify_driver", net.notify_driver);
    line("notify_clients", net.notify_clients);
    line("wakeups", net.wakeups);
    line("netstat_pages_peak", net.pages_peak.into());
    line("flying_all", net.flying_all.into());
    if let Some(files) = files {
        line("files_descriptions", files.descriptions);
        line("files_exports", files.exports_all);
        line("files_pipes", files.pipes);
        line("files_inodes", files.inodes_all);
        line("files_pages", files.pages_all);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_counter() {
        let net = net::Counters { sockets_all: 3, buffer_bytes: u64::MAX, ..Default::default() };
        let text = report(&net, None);
        assert!(text.starts_with("sockets_all 3\npages_all 0\nbuffer_bytes 18446744073709551615\n"));
        let files = vfs::Counters { pages_all: 5, ..Default::default() };
        let text = report(&net, Some(&files));
        assert!(text.ends_with("files_pages 5\n"));
        assert!(text.lines().all(|line| line.split(' ').count() == 2));
    }
}
