//! Passes TCP connections on: for each one that it accepts it makes one to
//! another host, and carries bytes both ways, urgent ones (RFC 9293, 3.8.5) in
//! their place, until both sides have ended. A connection that fails ends the
//! other by a reset, so each side learns what became of it.
//!
//! An example of callbacks ([`strait_libsock::callbacks`]): all six are used, and
//! the component does nothing but dispatch them. Flow control needs no buffers:
//! what the one side has no room for stays with the other.
//!
//! Settings: `port`, where it listens (7300); `to`, the address and port that
//! connections go to (`10.0.2.2:7007`).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::rc::Rc;
use core::{
    cell::Cell,
    fmt,
    net::{Ipv6Addr, SocketAddr},
};

use strait_abi::log::Logger;
use strait_libsock::{
    Address, Errno, Process, StartError,
    callbacks::{Callbacks, Exception, Reason},
    posix::{
        AF_INET, AF_INET6, Fd, MSG_DONTWAIT, MSG_OOB, MSG_PEEK, SHUT_WR, SO_LINGER, SO_REUSEADDR, SOCK_NONBLOCK,
        SOCK_STREAM, SOL_SOCKET,
    },
};
use strait_pd::Environment;

const DEFAULT_PORT: u16 = 7300;
/// The host as QEMU's user network has it, and a port of it.
const DEFAULT_TARGET: &str = "10.0.2.2:7007";
const BACKLOG: i32 = 16;
/// Bytes moved at once.
const PIECE: usize = 16384;

/// Runs the service.
pub fn main(env: Environment) -> ! {
    let log = Rc::new(Logger::new(&env));
    match start(&env, &log) {
        Ok((process, port, to)) => {
            log.line(format_args!("connections to TCP port {port} go to {to}"));
            let error = loop {
                if let Err(e) = process.dispatch_events(None) {
                    break e;
                }
            };
            log.line(format_args!("stopped: {error}"));
        }
        Err(e) => log.line(format_args!("cannot start: {e}")),
    }
    loop {
        env.pd.wait();
    }
}

/// Why it cannot start.
#[derive(Debug)]
pub enum Failure {
    /// No session.
    Start(StartError),
    /// The setting `port` is no port.
    Port,
    /// The setting `to` is no address with a port.
    Target,
    /// The port cannot be used.
    Socket(Errno),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(e) => e.fmt(f),
            Self::Port => f.write_str("the setting `port` must be a number from 1 to 65535"),
            Self::Target => f.write_str("the setting `to` must be an address with a port, as 10.0.2.2:7007"),
            Self::Socket(e) => e.fmt(f),
        }
    }
}

impl From<Errno> for Failure {
    fn from(e: Errno) -> Self {
        Self::Socket(e)
    }
}

/// Listens. From here on it lives in its callbacks.
pub fn start(env: &Environment, log: &Rc<Logger>) -> Result<(Process, u16, SocketAddr), Failure> {
    let port = match env.config.setting("port") {
        Some(text) => text.parse().ok().filter(|port| *port != 0).ok_or(Failure::Port)?,
        None => DEFAULT_PORT,
    };
    let to: SocketAddr = env.config.setting("to").unwrap_or(DEFAULT_TARGET).parse().map_err(|_| Failure::Target)?;
    let process = Process::new(env).map_err(Failure::Start)?;
    let listener = process.socket(AF_INET6, u32::from(SOCK_STREAM) | SOCK_NONBLOCK, 0)?;
    process.set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1)?;
    process.bind(listener, &Address::from(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))))?;
    process.listen(listener, BACKLOG)?;
    let relay = Relay { listener, to, log: log.clone() };
    process.set_callbacks(listener, Some(Rc::new(Door(Rc::new(relay)))))?;
    Ok((process, port, to))
}

struct Relay {
    listener: Fd,
    to: SocketAddr,
    log: Rc<Logger>,
}

/// The callbacks of the listener.
struct Door(Rc<Relay>);

impl Callbacks for Door {
    fn newconn(&self, process: &Process, _: Fd) {
        self.0.accept(process);
    }
}

impl Relay {
    /// Takes all who wait; those for whom there is no place stay in the queue.
    fn accept(self: &Rc<Self>, process: &Process) {
        let family = if self.to.is_ipv4() { AF_INET } else { AF_INET6 };
        // First the socket for the way on: whoever is accepted has both.
        while let Ok(far) = process.socket(family, u32::from(SOCK_STREAM) | SOCK_NONBLOCK, 0) {
            match process.accept4(self.listener, SOCK_NONBLOCK) {
                Ok((near, _)) => {
                    if let Err(e) = self.connect(process, near, far) {
                        self.log.line(format_args!("no connection to {}: {e}", self.to));
                        let _ = process.close(far);
                        reset(process, near);
                    }
                }
                Err(e) => {
                    let _ = process.close(far);
                    // Or it went away while it waited.
                    if e != Errno::ECONNABORTED {
                        return;
                    }
                }
            }
        }
    }

    /// Begins the connection that goes with `near`.
    fn connect(self: &Rc<Self>, process: &Process, near: Fd, far: Fd) -> Result<(), Errno> {
        let ends = Rc::new(Pair {
            relay: self.clone(),
            near,
            far,
            standing: Cell::new(false),
            ended: Cell::default(),
            closed: Cell::default(),
        });
        match process.connect(far, &Address::from(self.to)) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(e) => return Err(e),
        }
        [near, far].iter().try_for_each(|fd| process.set_callbacks(*fd, Some(ends.clone())))
    }
}

/// Closes with a reset.
fn reset(process: &Process, fd: Fd) {
    // Without waiting: l_onoff, l_linger.
    let _ = process.setsockopt(fd, SOL_SOCKET, SO_LINGER, &[1u32.to_ne_bytes(), [0; 4]].concat());
    let _ = process.close(fd);
}

/// Two connections, one of which goes on in the other.
struct Pair {
    relay: Rc<Relay>,
    /// Who came to us.
    near: Fd,
    /// To whom we went.
    far: Fd,
    /// Both are connected.
    standing: Cell<bool>,
    /// The ends that have sent all, and it went out.
    ended: Cell<[bool; 2]>,
    /// Those whose connection is over, which says nothing of what is not carried.
    closed: Cell<[bool; 2]>,
}

impl Pair {
    fn other(&self, fd: Fd) -> Fd {
        if fd == self.near { self.far } else { self.near }
    }

    fn place(&self, fd: Fd) -> usize {
        usize::from(fd == self.far)
    }

    /// Carries what has come from `from` as far as there is room on the other
    /// side.
    fn carry(&self, process: &Process, from: Fd) {
        if !self.standing.get() {
            return;
        }
        loop {
            match self.step(process, from) {
                Ok(true) => {}
                Ok(false) => return self.end(process, from),
                // News will come of what is missing.
                Err(Errno::EAGAIN) => return,
                // `disconnected` says so, unless it has said another thing.
                Err(e) if self.closed.get()[self.place(from)] => return self.fail(process, from, e),
                Err(_) => return,
            }
        }
    }

    /// Moves a piece; false at the end.
    fn step(&self, process: &Process, from: Fd) -> Result<bool, Errno> {
        let (to, mut urgent) = (self.other(from), [0]);
        if process.sockatmark(from)? && process.recv(from, &mut urgent, MSG_OOB | MSG_PEEK | MSG_DONTWAIT).is_ok() {
            process.send(to, &urgent, MSG_OOB | MSG_DONTWAIT)?;
            process.recv(from, &mut urgent, MSG_OOB)?;
        }
        Ok(process.splice(from, to, PIECE)? != 0)
    }

    /// `from` has sent all.
    fn end(&self, process: &Process, from: Fd) {
        let mut ended = self.ended.get();
        if core::mem::replace(&mut ended[self.place(from)], true) {
            return;
        }
        self.ended.set(ended);
        let _ = process.shutdown(self.other(from), SHUT_WR);
        if ended == [true; 2] {
            // What was sent goes out, then the end of file.
            let _ = process.close(self.near);
            let _ = process.close(self.far);
            self.relay.accept(process);
        }
    }

    /// The connection `fd` has failed: so does the other.
    fn fail(&self, process: &Process, fd: Fd, e: Errno) {
        let log = &self.relay.log;
        if fd == self.far && !self.standing.get() {
            log.line(format_args!("no connection to {}: {e}", self.relay.to));
        } else {
            log.line(format_args!("{} has failed: {e}", if fd == self.far { "the far side" } else { "the near side" }));
        }
        let _ = process.close(fd);
        reset(process, self.other(fd));
        self.relay.accept(process);
    }
}

impl Callbacks for Pair {
    fn connected(&self, process: &Process, fd: Fd) {
        if fd == self.far {
            self.standing.set(true);
            self.carry(process, self.near);
        }
    }

    fn disconnected(&self, process: &Process, fd: Fd, reason: Reason) {
        match reason {
            // What ends well ends by `recv`, when all is carried.
            Reason::Closed => {
                let mut closed = self.closed.get();
                closed[self.place(fd)] = true;
                self.closed.set(closed);
            }
            Reason::Failed(e) => self.fail(process, fd, e),
        }
    }

    fn recv(&self, process: &Process, fd: Fd, _: usize) {
        self.carry(process, fd);
    }

    fn xmit(&self, process: &Process, fd: Fd, _: usize) {
        self.carry(process, self.other(fd));
    }

    fn exception(&self, process: &Process, fd: Fd, _: Exception) {
        self.carry(process, fd);
    }
}

#[cfg(test)]
mod tests;
