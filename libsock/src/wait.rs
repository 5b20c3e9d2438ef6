//! Sleeping: on the servers' notifications and on the timer's, without losing
//! anybody else's.

use alloc::rc::Rc;
use core::cell::Cell;

use strait_abi::{Errno, timer};
use strait_pd::{Channel, ChannelSet, Message, PdRef};

use crate::session::Net;

/// A point in time, in nanoseconds of [`Pd::now`](strait_pd::Pd::now).
pub type Deadline = u64;

/// The one place where the process sleeps.
pub struct Waiter {
    pd: PdRef,
    timer: Option<Channel>,
    /// The deadline that the timer is set to; 0 if it is not.
    timer_set: Cell<Deadline>,
    /// Channels whose notifications are the library's own.
    own: Cell<ChannelSet>,
    foreign: Cell<ChannelSet>,
    net: Option<Rc<Net>>,
}

impl Waiter {
    pub fn new(pd: PdRef, timer: Option<Channel>, net: Option<Rc<Net>>) -> Self {
        let mut own = ChannelSet::EMPTY;
        if let Some(channel) = timer {
            own.insert(channel);
        }
        if let Some(net) = &net {
            own.insert(net.channel());
        }
        Self { pd, timer, timer_set: Cell::new(0), own: Cell::new(own), foreign: Cell::new(ChannelSet::EMPTY), net }
    }

    /// Notifications on `channel` are the library's from here on.
    pub fn add_own(&self, channel: Channel) {
        let mut own = self.own.get();
        own.insert(channel);
        self.own.set(own);
    }

    /// Whether a sleep can end by time.
    pub fn has_timer(&self) -> bool {
        self.timer.is_some()
    }

    /// The deadline that is `timeout` nanoseconds away.
    pub fn deadline(&self, timeout: Option<u64>) -> Option<Deadline> {
        timeout.map(|t| self.pd.now().saturating_add(t))
    }

    /// Sleeps until notified. EAGAIN at or after `deadline`; ENOSYS if there
    /// is a deadline and no timer. Whoever waits for a condition arms the
    /// server's signal, looks at the condition, sleeps, and begins again: it
    /// may be woken for another reason.
    pub fn sleep(&self, deadline: Option<Deadline>) -> Result<(), Errno> {
        if let Some(deadline) = deadline {
            self.set_timer(deadline)?;
        }
        let notify = self.net.as_ref().and_then(|net| net.take_deferred());
        let woken = match notify {
            Some(channel) => self.pd.notify_and_wait(channel),
            None => self.pd.wait(),
        };
        self.note(woken);
        Ok(())
    }

    fn set_timer(&self, deadline: Deadline) -> Result<(), Errno> {
        let now = self.pd.now();
        if now >= deadline {
            return Err(Errno::EAGAIN);
        }
        let timer = self.timer.ok_or(Errno::ENOSYS)?;
        // An earlier deadline that is still to come wakes us soon enough: the
        // timer is set again then.
        if self.timer_set.get() <= now || self.timer_set.get() > deadline {
            self.pd.call(timer, &mut Message::from_words(timer::SET_TIMEOUT, &[deadline - now]));
            self.timer_set.set(deadline);
        }
        Ok(())
    }

    /// Notifications that somebody else took: only the library's own matter.
    pub fn note_own(&self, woken: ChannelSet) {
        self.note(ChannelSet(woken.0 & self.own.get().0));
    }

    fn note(&self, woken: ChannelSet) {
        if self.timer.is_some_and(|timer| woken.contains(timer)) {
            self.timer_set.set(0);
        }
        let foreign = woken.0 & !self.own.get().0;
        if foreign != 0 {
            self.foreign.set(self.foreign.get().union(ChannelSet(foreign)));
        }
    }

    /// Whether notifications wait that are not the library's.
    pub fn has_foreign(&self) -> bool {
        !self.foreign.get().is_empty()
    }

    /// Takes them.
    pub fn take_foreign(&self) -> ChannelSet {
        self.foreign.replace(ChannelSet::EMPTY)
    }
}
