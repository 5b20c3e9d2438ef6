//! The event loop: accepts, gives each connection its turn, ends those that
//! take too long.

use alloc::{boxed::Box, string::String, vec, vec::Vec};
use core::{fmt, net::Ipv6Addr, net::SocketAddr, time::Duration};

use strait_libsock::{
    Address, Errno, Event, Process, StartError,
    posix::{AF_INET6, Fd, SO_REUSEADDR, SO_SNDBUF, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET},
};
use strait_pd::Environment;

use crate::{
    connection::{Connection, Next, Phase},
    request::MAX_HEAD,
};

/// Tokens below are descriptors of connections.
const LISTENER: usize = usize::MAX;
const DEFAULT_PORT: u16 = 80;
const BACKLOG: i32 = 128;
/// Bytes on their way to one client (Linux counts the option twice).
const SEND_BUFFER: i32 = 16 * 1024;
/// How often it is looked who takes too long.
const TICK: Duration = Duration::from_secs(1);

const SECOND: u64 = 1_000_000_000;

/// How long a connection may stay in a phase without anything moving (a
/// request: in all), in nanoseconds.
const fn patience(phase: Phase) -> u64 {
    match phase {
        Phase::Idle => 15 * SECOND,
        Phase::Receiving => 10 * SECOND,
        Phase::Sending => 30 * SECOND,
        Phase::Lingering => 2 * SECOND,
    }
}

/// Why the service does not start.
#[derive(Debug)]
pub enum Failure {
    /// There is no network, or there are no files.
    Start(StartError),
    /// The setting `port` is no port number.
    Port,
    /// The setting `root` names no directory that can be opened.
    Root(String, Errno),
    /// Making the socket failed.
    Socket(Errno),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(e) => e.fmt(f),
            Self::Port => f.write_str("the setting `port` must be a number from 1 to 65535"),
            Self::Root(root, Errno::ENOSYS) => {
                write!(f, "no files to serve from `{root}`: give httpd a session with vfs_server in microkit.system")
            }
            Self::Root(root, e) => write!(f, "cannot serve `{root}`, see the setting `root`: {e}"),
            Self::Socket(e) => write!(f, "cannot listen: {e}"),
        }
    }
}

impl core::error::Error for Failure {}

/// The service.
pub struct Server {
    process: Process,
    port: u16,
    root: String,
    listener: Fd,
    /// By descriptor.
    connections: Vec<Option<Box<Connection>>>,
    open: usize,
    buffer: Box<[u8]>,
    next_tick: Duration,
    /// There is a timer.
    timed: bool,
}

impl Server {
    /// Makes the listening socket.
    pub fn new(env: &Environment) -> Result<Self, Failure> {
        let port = match env.config.setting("port") {
            Some(text) => text.parse().ok().filter(|port| *port != 0).ok_or(Failure::Port)?,
            None => DEFAULT_PORT,
        };
        let root: String = env.config.setting("root").unwrap_or("/").into();
        let process = Process::new(env).map_err(Failure::Start)?;
        match process.stat(&root) {
            Ok(stat) if stat.mode & strait_abi::vfs::mode::FORMAT == strait_abi::vfs::mode::DIRECTORY => {}
            Ok(_) => return Err(Failure::Root(root, Errno::ENOTDIR)),
            Err(e) => return Err(Failure::Root(root, e)),
        }
        process.defer_notify(true);
        let listener = listen(&process, port).map_err(Failure::Socket)?;
        let next_tick = process.now() + TICK;
        Ok(Self {
            process,
            port,
            root,
            listener,
            connections: Vec::new(),
            open: 0,
            buffer: vec![0; MAX_HEAD].into_boxed_slice(),
            next_tick,
            timed: true,
        })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory that it serves.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Open connections.
    pub fn connections(&self) -> usize {
        self.open
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
        let timeout = (self.timed && self.open > 0).then(|| self.next_tick.saturating_sub(self.process.now()));
        let n = match self.process.wait_events(events, timeout) {
            Err(Errno::ENOSYS) if timeout.is_some() => {
                // Without a timer nobody can be told to hurry.
                self.timed = false;
                return Ok(());
            }
            other => other?,
        };
        if n == 0 {
            // Nobody here waits for them, but they end the waiting.
            let _ = self.process.take_foreign_notifications();
        }
        for event in &events[..n] {
            match event.token {
                LISTENER => self.accept(),
                fd => self.serve(fd),
            }
        }
        if self.timed && self.process.now() >= self.next_tick {
            self.tick();
        }
        Ok(())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.process.now().as_nanos()).unwrap_or(u64::MAX)
    }

    fn accept(&mut self) {
        loop {
            match self.process.accept4(self.listener, SOCK_NONBLOCK) {
                Ok((fd, _)) => self.enter(fd),
                // The peer went away while it waited.
                Err(Errno::ECONNABORTED) => {}
                Err(Errno::EAGAIN) => return,
                // No room for more: somebody who is idle must go. If nobody is,
                // those who wait stay queued until a connection ends.
                Err(_) => {
                    if !self.drop_idle() {
                        return;
                    }
                }
            }
        }
    }

    fn enter(&mut self, fd: Fd) {
        let now = self.now();
        // All connections share the session's memory: one that takes nothing
        // must not hold so much of it that others get none.
        let _ = self.process.set_option(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER);
        // Its data may be there already: watching gives an event.
        let watched = self.process.watch(fd, fd as usize);
        let Ok(at) = usize::try_from(fd) else { return };
        if watched.is_err() {
            let _ = self.process.close(fd);
            return;
        }
        if self.connections.len() <= at {
            self.connections.resize_with(at + 1, || None);
        }
        self.connections[at] = Some(Box::new(Connection::new(fd, now)));
        self.open += 1;
    }

    fn serve(&mut self, fd: usize) {
        let now = self.now();
        let Some(Some(connection)) = self.connections.get_mut(fd) else { return };
        match connection.go_on(&self.process, &self.root, &mut self.buffer, now) {
            Next::Wait => {}
            // After the others: watching it anew gives an event.
            Next::Again => drop(self.process.watch(fd as Fd, fd)),
            Next::Close => {
                self.close(fd);
                // There is a place for one that could not be accepted.
                self.accept();
            }
        }
    }

    fn close(&mut self, fd: usize) {
        if let Some(mut connection) = self.connections.get_mut(fd).and_then(Option::take) {
            connection.end(&self.process);
            let _ = self.process.close(fd as Fd);
            self.open -= 1;
        }
    }

    /// Closes the connection that has been idle for longest, if one is.
    fn drop_idle(&mut self) -> bool {
        let idle = self.connections.iter().enumerate().filter_map(|(fd, c)| {
            let c = c.as_ref().filter(|c| matches!(c.phase(), Phase::Idle | Phase::Lingering))?;
            Some((c.since, fd))
        });
        let Some((_, fd)) = idle.min() else { return false };
        self.close(fd);
        true
    }

    /// Ends those who take too long.
    fn tick(&mut self) {
        self.next_tick = self.process.now() + TICK;
        let now = self.now();
        for fd in 0..self.connections.len() {
            let Some(connection) = &mut self.connections[fd] else { continue };
            if now.saturating_sub(connection.since) < patience(connection.phase()) {
                continue;
            }
            let next = match connection.phase() {
                Phase::Receiving => connection.time_out(&self.process, &self.root, &mut self.buffer, now),
                _ => Next::Close,
            };
            match next {
                Next::Wait => {}
                Next::Again => drop(self.process.watch(fd as Fd, fd)),
                Next::Close => self.close(fd),
            }
        }
        // There may be places now.
        self.accept();
    }
}

fn listen(process: &Process, port: u16) -> Result<Fd, Errno> {
    let listener = process.socket(AF_INET6, u32::from(SOCK_STREAM) | SOCK_NONBLOCK, 0)?;
    process.set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1)?;
    process.bind(listener, &Address::from(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))))?;
    process.listen(listener, BACKLOG)?;
    process.watch(listener, LISTENER)?;
    Ok(listener)
}
