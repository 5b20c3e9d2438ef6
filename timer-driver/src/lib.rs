//! The timer: one pending timeout for each client, and the time.
//!
//! The protocol is sDDF's (`strait_abi::timer`): protected procedure calls to
//! ask for the time or set a timeout relative to now, a notification when it
//! expires. A new timeout replaces the one that is pending; one of `u64::MAX`
//! only takes it back.
//!
//! There is no periodic tick: the device is armed for the earliest timeout and
//! off when there is none.
//!
//! Limits: a client has one timeout, so a component with many deadlines keeps
//! them in order itself and asks for the first.

#![no_std]
#![forbid(unsafe_code)]

use strait_abi::timer::{GET_TIME, SET_TIMEOUT};
use strait_pd::{Channel, ChannelSet, Component, MAX_CHANNELS, Message, PdRef};

/// Label of the reply to a call that makes no sense.
pub const BAD_REQUEST: u64 = 1;

/// A clock that can raise one interrupt.
pub trait TimerDevice {
    /// Nanoseconds since some point in the past.
    fn now(&self) -> u64;

    /// Raises the interrupt once [`now`](Self::now) has reached `deadline`, at
    /// once if it has already; `None`: not at all. Takes the place of the
    /// deadline before.
    fn arm(&mut self, deadline: Option<u64>);
}

/// The component.
pub struct TimerDriver<D> {
    pd: PdRef,
    device: D,
    irq: Channel,
    /// Channels with a pending timeout.
    pending: ChannelSet,
    deadlines: [u64; MAX_CHANNELS],
    /// What the device is armed for.
    armed: Option<u64>,
}

impl<D: TimerDevice> TimerDriver<D> {
    /// A timer on `device`, whose interrupt is `irq`.
    pub fn new(pd: PdRef, mut device: D, irq: Channel) -> Self {
        device.arm(None);
        Self { pd, device, irq, pending: ChannelSet::EMPTY, deadlines: [0; MAX_CHANNELS], armed: None }
    }

    fn first(&self) -> Option<u64> {
        self.pending.iter().map(|c| self.deadlines[c.index()]).min()
    }

    fn rearm(&mut self) {
        let first = self.first();
        if first != self.armed {
            self.armed = first;
            self.device.arm(first);
        }
    }

    fn set(&mut self, channel: Channel, timeout: u64) {
        let deadline = self.device.now().saturating_add(timeout);
        if deadline == u64::MAX {
            self.pending.remove(channel);
        } else {
            self.deadlines[channel.index()] = deadline;
            self.pending.insert(channel);
        }
        self.rearm();
    }
}

impl<D: TimerDevice> Component for TimerDriver<D> {
    fn notified(&mut self, channels: ChannelSet) -> Option<Channel> {
        if !channels.contains(self.irq) {
            return None;
        }
        let now = self.device.now();
        let mut last = None;
        for channel in self.pending.iter() {
            if self.deadlines[channel.index()] <= now {
                self.pending.remove(channel);
                if let Some(previous) = last.replace(channel) {
                    self.pd.notify(previous);
                }
            }
        }
        // The device was armed for a deadline that is over: arm or stop it
        // before the interrupt is let through again.
        self.armed = self.first();
        self.device.arm(self.armed);
        self.pd.irq_ack(self.irq);
        last
    }

    fn protected(&mut self, channel: Channel, message: &mut Message) {
        match (message.label, message.words()) {
            (GET_TIME, _) => message.set(0, &[self.device.now()]),
            (SET_TIMEOUT, &[timeout, ..]) => {
                self.set(channel, timeout);
                message.set(0, &[]);
            }
            _ => message.set(BAD_REQUEST, &[]),
        }
    }
}

#[cfg(test)]
mod tests;
