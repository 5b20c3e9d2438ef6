//! The echo service (RFC 862) over TCP and UDP, IPv4 and IPv6: sends back what it gets.
//!
//! An example of a server with many connections in one event loop. Flow control
//! needs no buffers of its own: from a connection it takes in only what the way
//! back has room for, so a peer that does not read is not read from. When a
//! peer has sent all, the rest goes back and then the end of file.
//!
//! Settings: `port`, where it listens, 7 if not given; `groups`, multicast groups
//! whose datagrams it sends back too.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{boxed::Box, vec};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use strait_abi::log::Logger;
use strait_libsock::{
    Address, Errno, Event, Process, StartError,
    posix::{
        AF_INET6, Fd, IP_ADD_MEMBERSHIP, IPPROTO_IP, IPPROTO_IPV6, IPV6_JOIN_GROUP, MSG_DONTWAIT, SO_REUSEADDR,
        SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET,
    },
};
use strait_pd::Environment;

/// Tokens below are descriptors of connections.
const LISTENER: usize = usize::MAX;
const DATAGRAMS: usize = usize::MAX - 1;
/// Turns that one connection gets before the others have theirs.
const TURNS: usize = 16;
/// Bytes of a connection moved at once.
const PIECE: usize = 16384;
/// No datagram is longer.
const DATAGRAM: usize = 65536;
const DEFAULT_PORT: u16 = 7;
/// A burst of connects that may come before the first is accepted.
const BACKLOG: i32 = 256;

/// Runs the service.
pub fn main(env: Environment) -> ! {
    let log = Logger::new(&env);
    match Echo::new(&env) {
        Ok(mut echo) => {
            log.line(format_args!("echo on port {}, TCP and UDP", echo.port));
            let error = echo.run();
            log.line(format_args!("stopped: {error}"));
        }
        Err(e) => log.line(format_args!("cannot start: {e}")),
    }
    loop {
        env.pd.wait();
    }
}

/// Why the service does not start.
#[derive(Debug)]
pub enum Failure {
    /// There is no network to use.
    Start(StartError),
    /// The setting `port` is no port number.
    Port,
    /// The setting `groups` is no list of addresses.
    Groups,
    /// Making the sockets failed.
    Socket(Errno),
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Start(e) => e.fmt(f),
            Self::Port => f.write_str("the setting `port` must be a number from 1 to 65535"),
            Self::Groups => f.write_str("the setting `groups` must be a list of multicast addresses"),
            Self::Socket(e) => e.fmt(f),
        }
    }
}

impl From<Errno> for Failure {
    fn from(e: Errno) -> Self {
        Self::Socket(e)
    }
}

/// Joins a group on the network, which may have no address yet.
fn join(process: &Process, fd: Fd, group: IpAddr) -> Result<(), Errno> {
    let index = process.if_nametoindex("eth0")?.to_ne_bytes();
    match group {
        // struct ip_mreqn: group, address, interface.
        IpAddr::V4(group) => {
            process.setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &[group.octets(), [0; 4], index].concat())
        }
        // struct ipv6_mreq: group, interface.
        IpAddr::V6(group) => {
            process.setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &[&group.octets()[..], &index].concat())
        }
    }
}

/// The service.
pub struct Echo {
    process: Process,
    port: u16,
    listener: Fd,
    datagrams: Fd,
    datagram: Box<[u8]>,
    /// Length of the datagram, if it waits for room.
    waiting: Option<usize>,
    /// Where the last datagram came from.
    from: Address,
}

/// What is left to do for a connection.
enum Next {
    /// Nothing until its next event.
    Wait,
    /// More, after the others.
    Again,
    /// It is over.
    Close,
}

impl Echo {
    /// Makes the sockets.
    pub fn new(env: &Environment) -> Result<Self, Failure> {
        let port = match env.config.setting("port") {
            Some(text) => text.parse().ok().filter(|port| *port != 0).ok_or(Failure::Port)?,
            None => DEFAULT_PORT,
        };
        let process = Process::new(env).map_err(Failure::Start)?;
        process.defer_notify(true);
        let address = Address::from(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
        let open = |kind: u16| process.socket(AF_INET6, u32::from(kind) | SOCK_NONBLOCK, 0);
        let listener = open(SOCK_STREAM)?;
        process.set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1)?;
        process.bind(listener, &address)?;
        process.listen(listener, BACKLOG)?;
        let datagrams = open(SOCK_DGRAM)?;
        process.bind(datagrams, &address)?;
        for group in env.config.setting("groups").into_iter().flat_map(|list| list.split(',')) {
            join(&process, datagrams, group.parse().map_err(|_| Failure::Groups)?)?;
        }
        process.watch(listener, LISTENER)?;
        process.watch(datagrams, DATAGRAMS)?;
        Ok(Self {
            process,
            port,
            listener,
            datagrams,
            datagram: vec![0; DATAGRAM].into_boxed_slice(),
            waiting: None,
            from: Address::EMPTY,
        })
    }

    /// Serves until the network is gone.
    pub fn run(&mut self) -> Errno {
        let mut events = [Event::default(); 64];
        loop {
            if let Err(e) = self.turn(&mut events) {
                return e;
            }
        }
    }

    /// Waits for events and handles them.
    pub fn turn(&mut self, events: &mut [Event]) -> Result<(), Errno> {
        let n = self.process.wait_events(events, None)?;
        for event in &events[..n] {
            match event.token {
                LISTENER => self.accept(),
                DATAGRAMS => self.echo_datagrams(),
                fd => self.serve(fd as Fd),
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        loop {
            match self.process.accept4(self.listener, SOCK_NONBLOCK) {
                Ok((fd, _)) => {
                    // Its data may be there already: watching gives an event.
                    if self.process.watch(fd, fd as usize).is_err() {
                        let _ = self.process.close(fd);
                    }
                }
                // The peer went away while it waited.
                Err(Errno::ECONNABORTED) => {}
                // No more, or no room for more: those who wait stay queued,
                // and `serve` comes back here when a place is free.
                Err(_) => return,
            }
        }
    }

    fn serve(&mut self, fd: Fd) {
        match self.echo_stream(fd) {
            Next::Wait => {}
            // After the others: watching it anew gives an event.
            Next::Again => drop(self.process.watch(fd, fd as usize)),
            Next::Close => {
                // What was sent still goes out, then the end of file.
                let _ = self.process.close(fd);
                // There is a place for one that could not be accepted.
                self.accept();
            }
        }
    }

    fn echo_stream(&mut self, fd: Fd) -> Next {
        for _ in 0..TURNS {
            match self.process.splice(fd, fd, PIECE) {
                // The peer has sent all and everything is on its way back.
                Ok(0) => return Next::Close,
                Ok(_) => {}
                Err(Errno::EAGAIN) => return Next::Wait,
                Err(_) => return Next::Close,
            }
        }
        Next::Again
    }

    fn echo_datagrams(&mut self) {
        for _ in 0..TURNS {
            let n = match self.waiting.take() {
                Some(n) => n,
                None => {
                    match self.process.recv_into(self.datagrams, &mut self.datagram, MSG_DONTWAIT, &mut self.from) {
                        Ok(n) => n,
                        Err(Errno::EAGAIN) => return,
                        // An earlier answer did not arrive: its receiver's business.
                        Err(_) => continue,
                    }
                }
            };
            let sent = self.process.sendto(self.datagrams, &self.datagram[..n], MSG_DONTWAIT, &self.from);
            if sent == Err(Errno::EAGAIN) {
                self.waiting = Some(n);
                return;
            }
        }
        let _ = self.process.watch(self.datagrams, DATAGRAMS);
    }
}

#[cfg(test)]
mod tests;
