//! timerfd_create(2): timers to wait for, on the channel to `timer_driver`.
//!
//! There is one clock: time since the start. CLOCK_REALTIME is the same here,
//! as on a machine whose clock nobody has set.

use alloc::{
    collections::BTreeMap,
    rc::{Rc, Weak},
};
use core::{
    cell::{Cell, RefCell},
    time::Duration,
};

use strait_abi::{
    Errno,
    socket::{
        CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_REALTIME, O_NONBLOCK, O_RDWR, POLLIN, TFD_TIMER_ABSTIME,
        TFD_TIMER_CANCEL_ON_SET,
    },
    vfs::Stat,
};
use strait_pd::PdRef;

use super::{NEW, put_word};
use crate::{
    Process,
    descriptor::Fd,
    object::{Description, Flags, Watchers, stat_of},
    parts::Scatter,
    process::nanos,
};

/// `struct itimerspec`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ITimerSpec {
    /// Between expirations after the first; zero for only one.
    pub interval: Duration,
    /// Until the first expiration, or its time; zero for no timer.
    pub value: Duration,
}

/// The timers of a process that run, in the order in which they expire.
pub struct Timers {
    pd: PdRef,
    due: RefCell<BTreeMap<(u64, usize), Weak<TimerFd>>>,
    next_id: Cell<usize>,
}

impl Timers {
    pub fn new(pd: PdRef) -> Self {
        Self { pd, due: RefCell::default(), next_id: Cell::new(0) }
    }

    /// When the next one expires.
    pub fn next(&self) -> Option<u64> {
        self.due.borrow().first_key_value().map(|((at, _), _)| *at)
    }

    /// Tells those who watch timers that have expired.
    pub fn expire(&self) {
        let now = self.pd.now();
        while self.next().is_some_and(|at| at <= now) {
            let Some((_, timer)) = self.due.borrow_mut().pop_first() else { return };
            if let Some(timer) = timer.upgrade() {
                timer.look();
            }
        }
    }
}

/// A timer.
pub struct TimerFd {
    me: Weak<Self>,
    id: usize,
    timers: Rc<Timers>,
    /// The next expiration; `None` if it does not run.
    next: Cell<Option<u64>>,
    /// Nanoseconds; 0 for none.
    interval: Cell<u64>,
    /// Expirations not yet read.
    expired: Cell<u64>,
    flags: Flags,
    watchers: Watchers,
}

impl TimerFd {
    /// Counts the expirations up to now.
    fn look(&self) {
        let (now, interval) = (self.timers.pd.now(), self.interval.get());
        let Some(at) = self.next.get().filter(|at| *at <= now) else { return };
        let times = (now - at).checked_div(interval).map_or(1, |n| n.saturating_add(1));
        let next = (interval != 0).then(|| at.saturating_add(interval.saturating_mul(times)));
        self.expired.set(self.expired.get().saturating_add(times));
        self.run(next);
        self.watchers.wake();
    }

    fn run(&self, next: Option<u64>) {
        let mut due = self.timers.due.borrow_mut();
        if let Some(before) = self.next.replace(next) {
            due.remove(&(before, self.id));
        }
        if let Some(next) = next {
            due.insert((next, self.id), self.me.clone());
        }
    }

    fn get(&self) -> ITimerSpec {
        self.look();
        let left = self.next.get().map_or(0, |at| at.saturating_sub(self.timers.pd.now()).max(1));
        ITimerSpec { interval: Duration::from_nanos(self.interval.get()), value: Duration::from_nanos(left) }
    }

    fn set(&self, flags: u32, new: ITimerSpec) {
        let now = self.timers.pd.now();
        let value = nanos(new.value);
        let first = if flags & TFD_TIMER_ABSTIME != 0 { value } else { now.saturating_add(value) };
        self.interval.set(if value == 0 { 0 } else { nanos(new.interval) });
        self.expired.set(0);
        self.run((value != 0).then_some(first));
    }
}

impl Drop for TimerFd {
    fn drop(&mut self) {
        if let Some(at) = self.next.get()
            && let Ok(mut due) = self.timers.due.try_borrow_mut()
        {
            due.remove(&(at, self.id));
        }
    }
}

impl Process {
    /// timerfd_create(2). `clock` is CLOCK_MONOTONIC, CLOCK_BOOTTIME or
    /// CLOCK_REALTIME, which are the same: [`now`](Self::now). Flags:
    /// TFD_NONBLOCK, TFD_CLOEXEC.
    ///
    /// Waiting for it needs the channel to `timer_driver` (ENOSYS).
    pub fn timerfd_create(&self, clock: i32, flags: u32) -> Result<Fd, Errno> {
        if flags & !NEW != 0 || !matches!(clock, CLOCK_REALTIME | CLOCK_MONOTONIC | CLOCK_BOOTTIME) {
            return Err(Errno::EINVAL);
        }
        let timers = self.timers();
        let id = timers.next_id.get();
        timers.next_id.set(id.wrapping_add(1));
        let timer = Rc::new_cyclic(|me: &Weak<TimerFd>| TimerFd {
            me: me.clone(),
            id,
            timers: timers.clone(),
            next: Cell::new(None),
            interval: Cell::new(0),
            expired: Cell::new(0),
            flags: Flags::new(O_RDWR | flags & O_NONBLOCK),
            watchers: Watchers::default(),
        });
        self.enter_local(timer, flags)
    }

    /// timerfd_settime(2): sets the timer, which forgets what expired before,
    /// and returns what it was. Flags: TFD_TIMER_ABSTIME (`value` is a time of
    /// [`now`](Self::now)), TFD_TIMER_CANCEL_ON_SET (nobody sets the clock).
    pub fn timerfd_settime(&self, fd: Fd, flags: u32, new: ITimerSpec) -> Result<ITimerSpec, Errno> {
        if flags & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
            return Err(Errno::EINVAL);
        }
        let object = self.object(fd)?;
        let timer = object.description().as_timer().ok_or(Errno::EINVAL)?;
        let old = timer.get();
        timer.set(flags, new);
        Ok(old)
    }

    /// timerfd_gettime(2): the time that is left, and the interval.
    pub fn timerfd_gettime(&self, fd: Fd) -> Result<ITimerSpec, Errno> {
        let object = self.object(fd)?;
        object.description().as_timer().map(TimerFd::get).ok_or(Errno::EINVAL)
    }
}

impl Description for TimerFd {
    fn readv(&self, process: &Process, parts: &mut [&mut [u8]]) -> Result<usize, Errno> {
        if Scatter::len(parts) < 8 {
            return Err(Errno::EINVAL);
        }
        let expired = process.local_call(self.flags.may_wait(), true, || {
            self.look();
            match self.expired.take() {
                0 => Err(Errno::EAGAIN),
                n => Ok(n),
            }
        })?;
        put_word(parts, expired)
    }

    fn writev(&self, _: &Process, _: &[&[u8]]) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    fn poll(&self) -> u16 {
        self.look();
        if self.expired.get() != 0 { POLLIN } else { 0 }
    }

    fn watchers(&self) -> Option<&Watchers> {
        Some(&self.watchers)
    }

    fn timed(&self) -> bool {
        true
    }

    fn as_timer(&self) -> Option<&TimerFd> {
        Some(self)
    }

    fn stat(&self, _: &Process) -> Result<Stat, Errno> {
        Ok(stat_of(0o600))
    }

    fn flags(&self) -> u32 {
        self.flags.get()
    }

    fn set_flags(&self, flags: u32) -> Result<(), Errno> {
        self.flags.set(flags)
    }
}
