//! The component.
//!
//! Order of an interrupt: clear its reason in the device, move everything,
//! then acknowledge it to the kernel: what happens in between raises it anew
//! (the line is level triggered). While the driver moves frames the device
//! raises none; when it allows them again it looks once more, so that none
//! that fell in between waits for the next.
//!
//! Signals (`strait_ring::signal`): the server is notified once for a batch,
//! and only if it asked. The driver asks to be notified of frames to send; of
//! new receive buffers only when the device runs low, since it finds them at
//! the next interrupt anyway. Buffers of sent frames are collected on every
//! turn; the device raises an interrupt for them only while the server waits
//! for one.

use strait_abi::eth;
use strait_pd::{Channel, ChannelSet, Component, Message, PdRef};
use strait_ring::net_queue::{Consumer, Descriptor, Producer};

use crate::device::{MAX_FRAME, MTU, NetDevice};
use crate::slots::Slots;

/// What has happened since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames received and passed on.
    pub rx_frames: u64,
    /// Frames given to the device.
    pub tx_frames: u64,
    /// Frames received and dropped: no room towards the server, or the device
    /// reported an impossible length.
    pub rx_dropped: u64,
    /// Descriptors of the server that were refused.
    pub bad_descriptors: u64,
    /// Queue indices of the server that cannot be.
    pub bad_indices: u64,
    /// Interrupts.
    pub interrupts: u64,
    /// Notifications sent to the server.
    pub signals: u64,
}

/// The four queues of the link to the server and the sizes of its data
/// regions.
pub struct Link {
    /// Empty receive buffers, from the server.
    pub rx_free: Consumer,
    /// Received frames, to the server.
    pub rx_active: Producer,
    /// Frames to send, from the server.
    pub tx_active: Consumer,
    /// Their buffers, back to the server.
    pub tx_free: Producer,
    /// Size of the receive data region in bytes.
    pub rx_bytes: usize,
    /// Size of the transmit data region in bytes.
    pub tx_bytes: usize,
    /// The server.
    pub server: Channel,
}

/// The driver of one device for one server.
pub struct EthDriver<D> {
    pd: PdRef,
    device: D,
    irq: Channel,
    server: Channel,
    rx_free: Consumer,
    rx_active: Producer,
    tx_active: Consumer,
    tx_free: Producer,
    rx_slots: Slots,
    tx_slots: Slots,
    counters: Counters,
    /// Whether the server was asked to signal new receive buffers.
    rx_free_armed: bool,
    /// Whether sent frames raise the interrupt.
    tx_interrupt: bool,
}

impl<D: NetDevice> EthDriver<D> {
    /// A driver of `device`, whose interrupt is `irq`.
    pub fn new(pd: PdRef, device: D, irq: Channel, link: Link) -> Self {
        let Link { rx_free, rx_active, tx_active, tx_free, rx_bytes, tx_bytes, server } = link;
        let mut driver = Self {
            pd,
            device,
            irq,
            server,
            rx_free,
            rx_active,
            tx_active,
            tx_free,
            rx_slots: Slots::new(rx_bytes),
            tx_slots: Slots::new(tx_bytes),
            counters: Counters::default(),
            // Fresh memory means "signal".
            rx_free_armed: true,
            tx_interrupt: false,
        };
        driver.device.set_tx_interrupt(false);
        if driver.run() {
            pd.notify(driver.server);
        }
        driver
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The device, for tests.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// Device to server: received frames.
    fn receive(&mut self) -> bool {
        let mut any = false;
        let mut repost = false;
        // Bounded: each round takes a buffer from the device, and only those
        // of a device that lies about lengths go back here.
        for _ in 0..self.device.rx_posted() {
            let Some(frame) = self.device.poll_rx() else { break };
            if frame.len == 0 || frame.len > MAX_FRAME {
                self.counters.rx_dropped += 1;
                self.device.post_rx(frame.slot);
                repost = true;
                continue;
            }
            let offset = self.rx_slots.give(frame.slot);
            match self.rx_active.put(Descriptor::new(offset, frame.len)) {
                Ok(true) => {
                    self.counters.rx_frames += 1;
                    any = true;
                }
                // More buffers in the queue than the server gave: the loss is
                // its own.
                Ok(false) => self.counters.rx_dropped += 1,
                Err(_) => self.counters.bad_indices += 1,
            }
        }
        if repost {
            self.device.kick(true, false);
        }
        any
    }

    /// Server to device: empty receive buffers, once a quarter is missing.
    fn refill(&mut self) -> bool {
        let room = self.device.rx_room();
        if room * 3 < self.device.rx_posted() {
            return false;
        }
        let mut any = false;
        for _ in 0..room {
            match self.rx_free.take() {
                Ok(Some(d)) => match self.rx_slots.take(d.offset) {
                    Some(slot) => {
                        self.device.post_rx(slot);
                        any = true;
                    }
                    None => self.counters.bad_descriptors += 1,
                },
                Ok(None) => break,
                Err(_) => {
                    self.counters.bad_indices += 1;
                    break;
                }
            }
        }
        self.rx_free.release();
        any
    }

    /// Device to server: buffers of sent frames.
    fn collect(&mut self) -> bool {
        let mut any = false;
        while let Some(slot) = self.device.poll_tx() {
            any |= self.return_tx(slot);
        }
        any
    }

    fn return_tx(&mut self, slot: u16) -> bool {
        let offset = self.tx_slots.give(slot);
        match self.tx_free.put(Descriptor::new(offset, 0)) {
            // If it is full, as for received frames.
            Ok(done) => done,
            Err(_) => {
                self.counters.bad_indices += 1;
                false
            }
        }
    }

    /// Server to device: frames to send. Whether any was submitted, and
    /// whether any was refused and its buffer returned.
    fn transmit(&mut self) -> (bool, bool) {
        let (mut submitted, mut returned) = (false, false);
        for _ in 0..self.device.tx_room() {
            let d = match self.tx_active.take() {
                Ok(Some(d)) => d,
                Ok(None) => break,
                Err(_) => {
                    self.counters.bad_indices += 1;
                    break;
                }
            };
            match self.tx_slots.take(d.offset) {
                None => self.counters.bad_descriptors += 1,
                Some(slot) if d.len == 0 || d.len > MAX_FRAME => {
                    self.counters.bad_descriptors += 1;
                    returned |= self.return_tx(slot);
                }
                Some(slot) => {
                    self.device.submit_tx(slot, d.len);
                    self.counters.tx_frames += 1;
                    submitted = true;
                }
            }
        }
        self.tx_active.release();
        (submitted, returned)
    }

    /// Moves what can be moved in all four directions. Returns whether to
    /// notify the server.
    fn turn(&mut self) -> bool {
        let collected = self.collect();
        let received = self.receive();
        let refilled = self.refill();
        let (submitted, returned) = self.transmit();
        if refilled || submitted {
            self.device.kick(refilled, submitted);
        }
        let signal = received && self.rx_active.publish();
        ((collected || returned) && self.tx_free.publish()) || signal
    }

    /// Asks everyone who can bring work for a wake-up.
    fn arm(&mut self) {
        self.device.set_rx_interrupt(true);
        let room = self.device.tx_room() > 0;
        if room {
            self.tx_active.request_signal();
        }
        // Sent frames matter only while something waits for their buffers.
        let wanted = !room || (self.device.tx_pending() > 0 && self.tx_free.consumer_waits());
        if wanted != self.tx_interrupt {
            self.tx_interrupt = wanted;
            self.device.set_tx_interrupt(wanted);
        }
        let low = self.device.rx_posted() <= self.device.rx_room();
        if low {
            self.rx_free.request_signal();
        } else if self.rx_free_armed {
            self.rx_free.cancel_signal();
        }
        self.rx_free_armed = low;
    }

    /// Whether there is work that no wake-up will announce. Work behind an
    /// impossible index is none.
    fn missed(&mut self) -> bool {
        self.device.rx_ready()
            || (self.device.tx_room() > 0 && self.tx_active.available().is_ok_and(|n| n > 0))
            || (self.tx_interrupt && self.device.tx_ready())
            || (self.rx_free_armed && self.device.rx_room() > 0 && self.rx_free.available().is_ok_and(|n| n > 0))
    }

    /// Moves until there is nothing to move and the wake-ups are asked for.
    /// Returns whether to notify the server.
    ///
    /// It ends: each turn moves buffers that the server must first give again,
    /// and the server has the lower priority.
    fn run(&mut self) -> bool {
        let mut signal = false;
        loop {
            self.device.set_rx_interrupt(false);
            signal |= self.turn();
            self.arm();
            if !self.missed() {
                break;
            }
        }
        self.counters.signals += u64::from(signal);
        signal
    }
}

impl<D: NetDevice> Component for EthDriver<D> {
    fn notified(&mut self, channels: ChannelSet) -> Option<Channel> {
        let interrupt = channels.contains(self.irq);
        let mut changed = false;
        if interrupt {
            self.counters.interrupts += 1;
            changed = self.device.ack_interrupt();
        }
        // Nothing in the queues tells the server of that; it asks.
        let signal = self.run() || changed;
        if interrupt {
            self.pd.irq_ack(self.irq);
        }
        signal.then_some(self.server)
    }

    fn protected(&mut self, _: Channel, message: &mut Message) {
        match message.label {
            eth::GET_LINK => {
                let mut mac = [0; 8];
                mac[..6].copy_from_slice(&self.device.mac());
                message.set(0, &[u64::from_le_bytes(mac), self.device.link_up().into(), MTU.into()]);
            }
            eth::GET_COUNTERS => {
                let c = &self.counters;
                message.set(
                    0,
                    &[
                        c.rx_frames,
                        c.tx_frames,
                        c.rx_dropped,
                        c.bad_descriptors,
                        c.bad_indices,
                        c.interrupts,
                        c.signals,
                    ],
                );
            }
            _ => message.set(u64::MAX >> 12, &[]),
        }
    }
}
