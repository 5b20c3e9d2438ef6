//! A timerfd as a timer with one deadline.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustix::event::epoll::EventFlags;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use strait_pd::{Channel, PdRef};
use strait_timer_driver::TimerDevice;

use crate::process::Start;

const SECOND: u64 = 1_000_000_000;

pub struct Timer {
    pd: PdRef,
    fd: Arc<OwnedFd>,
}

impl Timer {
    /// A timer that raises `irq`.
    pub fn new(start: &Start, irq: Channel) -> Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)
            .context("cannot create a timer")?;
        let fd = Arc::new(fd);
        start.interrupt(irq, fd.clone())?.enable(EventFlags::IN);
        Ok(Self { pd: start.env.pd, fd })
    }
}

impl TimerDevice for Timer {
    fn now(&self) -> u64 {
        self.pd.now()
    }

    fn arm(&mut self, deadline: Option<u64>) {
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        // A value of zero would mean "never".
        let at =
            deadline.map_or(never, |t| Timespec { tv_sec: (t / SECOND) as i64, tv_nsec: (t.max(1) % SECOND) as _ });
        // Setting it also takes back an expiry that was not read: what the
        // interrupt looks at is the new deadline.
        let new = Itimerspec { it_interval: never, it_value: at };
        if let Err(e) = timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &new) {
            panic!("setting the timer failed: {e}");
        }
    }
}
