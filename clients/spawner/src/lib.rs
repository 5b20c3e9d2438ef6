//! Takes TCP connections, opens a file for each, and hands both to a worker: one
//! message over a local socket with the two descriptors (SCM_RIGHTS). Then it
//! closes its own; the worker answers.
//!
//! An example of two components that share no more than they hand over: the
//! worker has neither a socket of the network of its own (`families` of its
//! policy) nor a right to the file, which the spawner makes for itself alone; and
//! the spawner sees nothing of what the worker sends. Whoever has no descriptor
//! of a connection or file cannot reach it.
//!
//! Settings: `port`, where it listens (7100); `file`, what is handed over
//! (`/tmp/spawner.txt`); `worker`, the name of the worker's socket
//! (`/tmp/worker`).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{string::String, vec::Vec};
use core::{
    fmt::{self, Write},
    net::{Ipv6Addr, SocketAddr},
};

use strait_abi::{
    control::{Item, put, space},
    log::Logger,
    vfs::open,
};
use strait_libsock::{
    Address, Errno, Process, StartError,
    posix::{AF_INET6, AF_UNIX, Fd, SCM_RIGHTS, SO_REUSEADDR, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET},
};
use strait_pd::Environment;

const DEFAULT_PORT: u16 = 7100;
const BACKLOG: i32 = 8;
/// Lines of the file.
const LINES: usize = 2000;

/// Runs the service.
pub fn main(env: Environment) -> ! {
    let log = Logger::new(&env);
    match Spawner::new(&env) {
        Ok(mut spawner) => {
            log.line(format_args!("connections on TCP port {} go to {}", spawner.port, spawner.worker));
            loop {
                match spawner.serve_one() {
                    Ok(()) | Err(Errno::ECONNABORTED) => {}
                    Err(e) => log.line(format_args!("a connection is lost: {e}")),
                }
            }
        }
        Err(e) => log.line(format_args!("cannot start: {e}")),
    }
    loop {
        env.pd.wait();
    }
}

/// Why it cannot start.
pub enum Failure {
    /// No session.
    Start(StartError),
    /// The setting `port` is no port.
    Port,
    /// The port cannot be used.
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

/// Makes the file, which nobody else may read.
fn make_file(process: &Process, name: &str) -> Result<(), Errno> {
    let fd = process.open(name, open::WRONLY | open::CREAT | open::TRUNC, 0o600)?;
    let mut text = String::new();
    for line in 0..LINES {
        text.clear();
        // Writing to a string does not fail.
        let _ = writeln!(text, "line {line} of what the spawner alone may open");
        process.write(fd, text.as_bytes())?;
    }
    process.close(fd)
}

/// The service.
pub struct Spawner<'a> {
    process: Process,
    listener: Fd,
    port: u16,
    file: &'a str,
    worker: &'a str,
    /// The connection to the worker, once it stands.
    connection: Option<Fd>,
}

impl<'a> Spawner<'a> {
    /// Listens.
    pub fn new(env: &'a Environment) -> Result<Self, Failure> {
        let port = match env.config.setting("port") {
            Some(text) => text.parse().ok().filter(|port| *port != 0).ok_or(Failure::Port)?,
            None => DEFAULT_PORT,
        };
        let process = Process::new(env).map_err(Failure::Start)?;
        let listener = process.socket(AF_INET6, SOCK_STREAM.into(), 0)?;
        process.set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1)?;
        process.bind(listener, &Address::from(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))))?;
        process.listen(listener, BACKLOG)?;
        let file = env.config.setting("file").unwrap_or("/tmp/spawner.txt");
        make_file(&process, file)?;
        Ok(Self {
            process,
            listener,
            port,
            file,
            worker: env.config.setting("worker").unwrap_or("/tmp/worker"),
            connection: None,
        })
    }

    /// Takes one connection and hands it over.
    pub fn serve_one(&mut self) -> Result<(), Errno> {
        let (peer, _) = self.process.accept(self.listener)?;
        let file = self.process.open(self.file, open::RDONLY, 0);
        let result = file.and_then(|file| {
            let result = self.hand_over(&[peer, file]);
            self.process.close(file)?;
            result
        });
        self.process.close(peer)?;
        result
    }

    /// Sends descriptors to the worker. One that was restarted is connected to
    /// anew.
    fn hand_over(&mut self, fds: &[Fd]) -> Result<(), Errno> {
        let value: Vec<u8> = fds.iter().flat_map(|fd| fd.to_ne_bytes()).collect();
        let mut control = alloc::vec![0; space(value.len())];
        put(&mut control, &mut 0, Item { level: SOL_SOCKET, kind: SCM_RIGHTS, value: &value });
        for last in [false, true] {
            let connection = match self.connection {
                Some(fd) => fd,
                None => *self.connection.insert(self.connect()?),
            };
            match self.process.sendmsg(connection, &[b"serve"], None, &control, 0) {
                Err(Errno::EPIPE | Errno::ECONNRESET) if !last => {
                    self.connection = None;
                    self.process.close(connection)?;
                }
                other => return other.map(|_| ()),
            }
        }
        Err(Errno::EPIPE)
    }

    fn connect(&self) -> Result<Fd, Errno> {
        let name = [&AF_UNIX.to_ne_bytes()[..], self.worker.as_bytes()].concat();
        let fd = self.process.socket(AF_UNIX, SOCK_SEQPACKET.into(), 0)?;
        match self.process.connect(fd, &Address::from_bytes(&name)?) {
            Ok(()) => Ok(fd),
            Err(e) => {
                self.process.close(fd)?;
                Err(e)
            }
        }
    }
}
