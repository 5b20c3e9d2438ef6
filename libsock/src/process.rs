//! The object that everything hangs on.

use alloc::{format, rc::Rc, string::String};
use core::{cell::RefCell, fmt, time::Duration};

use strait_abi::{Errno, log::Logger, session::SessionRegion, vfs::VfsRegion};
use strait_pd::{ChannelSet, ConfigError, Environment, PdRef};
use strait_ring::{SharedMemory, signal::Signal};

use crate::{
    aio::Reactor,
    callbacks::Dispatcher,
    descriptor::{Fd, Object, Table},
    local::Timers,
    posix::nodes::Files,
    resolve::Names,
    session::Net,
    socket::Socket,
    vfs::Vfs,
    wait::{Deadline, Waiter},
};

/// The client side of all sessions of a PD, and its descriptors.
///
/// A clone is the same process.
#[derive(Clone)]
pub struct Process(Rc<Inner>);

struct Inner {
    pd: PdRef,
    waiter: Waiter,
    timers: Rc<Timers>,
    net: Option<Rc<Net>>,
    vfs: Option<Rc<Vfs>>,
    table: RefCell<Table>,
    files: Files,
    /// The PD's name.
    name: String,
    names: RefCell<Names>,
    dispatcher: Rc<Dispatcher>,
    reactor: Reactor,
}

/// Why a process cannot be made of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartError {
    /// There is a session region but no channel, or the other way round.
    Config(ConfigError),
    /// The session region is too small or too large.
    SessionSize,
    /// The server of this name refuses the session: EPROTO if it speaks another
    /// version.
    Refused(&'static str, Errno),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(e) => e.fmt(f),
            Self::SessionSize => f.write_str("the regions `<pd>_net` and `<pd>_vfs` must have 64 KiB to 256 MiB"),
            Self::Refused(server, Errno::EPROTO) => {
                write!(f, "{server} speaks another version of the protocol; rebuild the image")
            }
            Self::Refused(server, e) => write!(f, "{server} refuses the session: {e}"),
        }
    }
}

impl core::error::Error for StartError {}

impl Process {
    /// The process of the PD that `env` describes. It uses, as far as the
    /// system description has them:
    ///
    /// - the region `<pd>_net` and the channel to `net_server`: sockets.
    ///   Without both of them, sockets give EAFNOSUPPORT;
    /// - the region `<pd>_vfs` and the channel to `vfs_server`: files. Without
    ///   both of them, files give ENOSYS;
    /// - the channel to `timer_driver`: calls with a timeout (SO_RCVTIMEO,
    ///   poll, ...). Without it, they give ENOSYS where they would sleep. One
    ///   timeout is pending on the channel at a time: do not use it otherwise.
    pub fn new(env: &Environment) -> Result<Self, StartError> {
        let net = match (env.region(&format!("{}_net", env.config.name)), env.channel("net_server")) {
            (Ok(region), Ok(channel)) => {
                let region = SessionRegion::new(SharedMemory::attach(region)).ok_or(StartError::SessionSize)?;
                Some(Rc::new(Net::open(env.pd, channel, region).map_err(|e| StartError::Refused("net_server", e))?))
            }
            (Err(_), Err(_)) => None,
            (Err(e), _) | (_, Err(e)) => return Err(StartError::Config(e)),
        };
        let vfs = match (env.region(&format!("{}_vfs", env.config.name)), env.channel("vfs_server")) {
            (Ok(region), Ok(channel)) => {
                let vfs = VfsRegion::new(SharedMemory::attach(region)).and_then(|r| Vfs::new(env.pd, channel, r));
                Some(Rc::new(vfs.ok_or(StartError::SessionSize)?))
            }
            (Err(_), Err(_)) => None,
            (Err(e), _) | (_, Err(e)) => return Err(StartError::Config(e)),
        };
        let waiter = Waiter::new(env.pd, env.channel("timer_driver").ok(), net.clone());
        if let Some(vfs) = &vfs {
            waiter.add_own(vfs.channel());
            vfs.hello(&waiter).map_err(|e| StartError::Refused("vfs_server", e))?;
        }
        Ok(Self(Rc::new(Inner {
            pd: env.pd,
            waiter,
            net,
            vfs,
            table: RefCell::new(Table::new()),
            files: Files::default(),
            name: env.config.name.clone(),
            names: RefCell::default(),
            dispatcher: Rc::default(),
            reactor: Reactor::default(),
            timers: Rc::new(Timers::new(env.pd)),
        })))
    }

    /// The life of a component that does one thing: `work`, with a process and a log,
    /// and then it sleeps. If it cannot begin, or ends with an error, the log says so.
    pub fn run<E: fmt::Display>(env: &Environment, work: impl FnOnce(&Self, &Logger) -> Result<(), E>) -> ! {
        let log = Logger::new(env);
        match Self::new(env) {
            Ok(process) => {
                if let Err(e) = work(&process, &log) {
                    log.line(format_args!("stopped: {e}"));
                }
            }
            Err(e) => log.line(format_args!("cannot start: {e}")),
        }
        loop {
            env.pd.wait();
        }
    }

    /// Puts notifications of the server off until the process sleeps next, and
    /// then spends one system call for both. For event loops: what a turn of
    /// the loop sends, leaves when the turn is over. Whoever does not sleep
    /// for long calls [`flush`](Self::flush).
    pub fn defer_notify(&self, defer: bool) {
        if let Some(net) = &self.0.net {
            net.set_defer(defer);
        }
    }

    /// Sends a notification that was put off.
    pub fn flush(&self) {
        if let Some(net) = &self.0.net {
            net.flush();
        }
    }

    /// Takes the notifications that arrived for channels that are not the
    /// library's while it slept.
    pub fn take_foreign_notifications(&self) -> ChannelSet {
        self.0.waiter.take_foreign()
    }

    /// Sleeps for `duration`. ENOSYS without a channel to `timer_driver`.
    pub fn sleep(&self, duration: Duration) -> Result<(), Errno> {
        let deadline = self.0.waiter.deadline(Some(nanos(duration)));
        loop {
            match self.0.waiter.sleep(deadline) {
                Err(Errno::EAGAIN) => return Ok(()),
                other => other?,
            }
        }
    }

    /// Time since some fixed point in the past; monotonic.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.0.pd.now())
    }

    /// How many descriptors there can be (RLIMIT_NOFILE); 1,024 at first.
    /// Those in use stay.
    pub fn set_descriptor_limit(&self, limit: usize) {
        self.0.table.borrow_mut().set_limit(limit);
    }

    pub(crate) fn waiter(&self) -> &Waiter {
        &self.0.waiter
    }

    pub(crate) fn files(&self) -> &Files {
        &self.0.files
    }

    pub(crate) fn timers(&self) -> &Rc<Timers> {
        &self.0.timers
    }

    pub(crate) fn table(&self) -> &RefCell<Table> {
        &self.0.table
    }

    pub(crate) fn reactor(&self) -> &Reactor {
        &self.0.reactor
    }

    pub(crate) fn dispatcher(&self) -> &Rc<Dispatcher> {
        &self.0.dispatcher
    }

    pub(crate) fn names(&self) -> &RefCell<Names> {
        &self.0.names
    }

    /// The PD's name.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// The session; EAFNOSUPPORT without one.
    pub(crate) fn net(&self) -> Result<&Rc<Net>, Errno> {
        self.0.net.as_ref().ok_or(Errno::EAFNOSUPPORT)
    }

    /// The session with the file server; ENOSYS without one.
    pub(crate) fn vfs(&self) -> Result<&Rc<Vfs>, Errno> {
        self.0.vfs.as_ref().ok_or(Errno::ENOSYS)
    }

    /// What `fd` stands for.
    #[inline]
    pub(crate) fn object(&self, fd: Fd) -> Result<Object, Errno> {
        Ok(self.0.table.borrow().get(fd)?.object.clone())
    }

    /// The socket that `fd` stands for; ENOTSOCK if it is another object.
    #[inline]
    pub(crate) fn socket_of(&self, fd: Fd) -> Result<Rc<Socket>, Errno> {
        match &self.0.table.borrow().get(fd)?.object {
            Object::Socket(socket) => Ok(socket.clone()),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    /// The signals of all servers that can change what somebody waits for.
    fn signals(&self) -> Signals {
        let net = self.0.net.as_ref().map(|net| net.region().to_client());
        // Only pipes change by themselves.
        let vfs = self.0.vfs.as_ref().filter(|vfs| vfs.has_pipes()).map(|vfs| vfs.region().to_client());
        Signals { net, vfs }
    }

    /// Does `attempt`; if it gives EAGAIN and the caller `waits`, as
    /// [`until`](Self::until). Mostly the first one does, and waiting costs nothing.
    #[inline]
    pub(crate) fn attempt<T>(
        &self,
        waits: bool,
        timeout: Option<u64>,
        mut attempt: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match attempt() {
            Err(Errno::EAGAIN) if waits => self.until(timeout, attempt),
            done => done,
        }
    }

    /// Does `attempt` until it gives something else than EAGAIN, sleeping in
    /// between. EAGAIN after `timeout` nanoseconds.
    pub(crate) fn until<T>(&self, timeout: Option<u64>, attempt: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
        self.until_timed(timeout, false, attempt)
    }

    /// The same. If `timed`, also the timers of the process (timerfd) can
    /// change the outcome.
    pub(crate) fn until_timed<T>(
        &self,
        timeout: Option<u64>,
        timed: bool,
        mut attempt: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let waiter = &self.0.waiter;
        let deadline: Option<Deadline> = waiter.deadline(timeout);
        let signal = self.signals();
        loop {
            signal.arm();
            let outcome = match attempt() {
                Err(Errno::EAGAIN) => {
                    let timer = if timed { self.0.timers.next() } else { None };
                    let earlier = timer.filter(|at| deadline.is_none_or(|deadline| *at < deadline));
                    match waiter.sleep(earlier.or(deadline)) {
                        Ok(()) => continue,
                        // A timer has expired, perhaps not one that matters.
                        Err(Errno::EAGAIN) if earlier.is_some() => {
                            self.0.timers.expire();
                            continue;
                        }
                        Err(e) => Err(e),
                    }
                }
                done => done,
            };
            signal.disarm();
            return outcome;
        }
    }
}

/// See [`Process::signals`].
struct Signals {
    net: Option<Signal<'static>>,
    vfs: Option<Signal<'static>>,
}

impl Signals {
    fn arm(&self) {
        self.net.iter().chain(&self.vfs).for_each(|signal| signal.arm());
    }

    fn disarm(&self) {
        self.net.iter().chain(&self.vfs).for_each(|signal| signal.disarm());
    }
}

/// A duration in nanoseconds, as far as they fit.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
