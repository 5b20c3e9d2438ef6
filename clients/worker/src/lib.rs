//! Serves what a spawner hands over: each message on its local socket brings
//! two descriptors (SCM_RIGHTS), a connection and a file, and the file goes to
//! the connection. See the crate `strait-spawner`.
//!
//! The node of its socket is for its user and group, and it serves one user
//! only: anybody else could hold it by a connection on which nothing comes.
//!
//! Settings: `socket`, the name of its socket (`/tmp/worker`); `serves`, the
//! number of the user (SO_PEERCRED), without which it serves whoever can connect.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;
use core::{fmt, time::Duration};

use strait_abi::{control::items, log::Logger};
use strait_libsock::{
    Address, Errno, Process, StartError,
    posix::{AF_UNIX, Fd, SCM_RIGHTS, SHUT_WR, SO_PEERCRED, SOCK_SEQPACKET, SOL_SOCKET},
};
use strait_pd::Environment;

const BACKLOG: i32 = 8;
/// How long it waits after something went wrong.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a file that are sent in one step.
const STEP: usize = 64 * 1024;

/// Runs the service.
pub fn main(env: Environment) -> ! {
    let log = Logger::new(&env);
    match Worker::new(&env) {
        Ok(worker) => {
            log.line(format_args!("serves at {}", worker.name));
            loop {
                if let Err(e) = worker.serve_spawner(&log) {
                    // Nobody's mistake stops it for good.
                    log.line(format_args!("a spawner is lost: {e}"));
                    let _ = worker.process.sleep(PAUSE);
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
    /// The name cannot be used.
    Socket(Errno),
    /// The setting `serves` is no number.
    User,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(e) => e.fmt(f),
            Self::Socket(e) => e.fmt(f),
            Self::User => f.write_str("the setting `serves` must be the number of a user"),
        }
    }
}

impl From<Errno> for Failure {
    fn from(e: Errno) -> Self {
        Self::Socket(e)
    }
}

/// The service.
pub struct Worker<'a> {
    process: Process,
    listener: Fd,
    name: &'a str,
    /// The user that is served; anybody if there is none.
    serves: Option<u32>,
}

impl<'a> Worker<'a> {
    /// Binds and listens.
    pub fn new(env: &'a Environment) -> Result<Self, Failure> {
        let name = env.config.setting("socket").unwrap_or("/tmp/worker");
        let serves = env.config.setting("serves").map(str::parse).transpose().map_err(|_| Failure::User)?;
        let process = Process::new(env).map_err(Failure::Start)?;
        let listener = process.socket(AF_UNIX, SOCK_SEQPACKET.into(), 0)?;
        // Whoever may write to the node may connect: its group, too.
        let before = process.umask(0o007);
        // An earlier incarnation may have left it.
        let _ = process.unlink(name);
        let bound =
            process.bind(listener, &Address::from_bytes(&[&AF_UNIX.to_ne_bytes()[..], name.as_bytes()].concat())?);
        process.umask(before);
        bound?;
        process.listen(listener, BACKLOG)?;
        Ok(Self { process, listener, name, serves })
    }

    /// Serves one spawner until it goes.
    fn serve_spawner(&self, log: &Logger) -> Result<(), Errno> {
        let (spawner, _) = self.process.accept(self.listener)?;
        let result = self.serve_messages(spawner, log);
        self.process.close(spawner)?;
        result
    }

    fn serve_messages(&self, spawner: Fd, log: &Logger) -> Result<(), Errno> {
        // struct ucred: process, user, group.
        let mut who = [0; 12];
        self.process.getsockopt(spawner, SOL_SOCKET, SO_PEERCRED, &mut who)?;
        let user = u32::from_ne_bytes([who[4], who[5], who[6], who[7]]);
        if self.serves.is_some_and(|served| served != user) {
            log.line(format_args!("the user {user} is not served"));
            return Ok(());
        }
        while let Some(fds) = self.receive(spawner)? {
            let result = match &fds[..] {
                &[connection, file] => self.serve(connection, file),
                // Not what was agreed, or no room for them.
                _ => Err(Errno::EPROTO),
            };
            if let Err(e) = result {
                log.line(format_args!("a connection is lost: {e}"));
            }
            for fd in fds {
                self.process.close(fd)?;
            }
        }
        Ok(())
    }

    /// The descriptors of the next message; `None` at the end.
    fn receive(&self, spawner: Fd) -> Result<Option<Vec<Fd>>, Errno> {
        let (mut data, mut control) = ([0; 16], [0; 64]);
        let got = match self.process.recvmsg(spawner, &mut [&mut data], &mut control, 0) {
            Err(Errno::ECONNRESET) => return Ok(None),
            other => other?,
        };
        if got.bytes == 0 {
            return Ok(None);
        }
        let rights = items(&control[..got.control])
            .filter_map(Result::ok)
            .filter(|item| (item.level, item.kind) == (SOL_SOCKET, SCM_RIGHTS));
        let words = rights.flat_map(|item| item.value.chunks_exact(4));
        Ok(Some(words.filter_map(|w| w.try_into().ok().map(i32::from_ne_bytes)).collect()))
    }

    fn serve(&self, connection: Fd, file: Fd) -> Result<(), Errno> {
        while self.process.sendfile(connection, file, None, STEP)? != 0 {}
        self.process.shutdown(connection, SHUT_WR)
    }
}
