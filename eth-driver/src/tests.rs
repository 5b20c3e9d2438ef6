//! The driver between a server and a device that the tests play.
//!
//! The device raises its interrupt as real ones do: when work is added while
//! interrupts are allowed. The driver runs only when it is interrupted or
//! notified, so a lost wake-up shows as work that stays undone.

extern crate std;

use super::*;
use crate::device::{MAX_FRAME, Received};
use crate::driver::Link;
use proptest::prelude::*;
use std::{boxed::Box, collections::VecDeque, sync::Mutex, vec, vec::Vec};
use strait_abi::eth;
use strait_pd::{Channel, ChannelSet, Component, Message, Pd};
use strait_ring::memory::leak_for_tests;
use strait_ring::net_queue::{BUFFER_SIZE, Consumer, Descriptor, Producer, queue_bytes};

const CAPACITY: u16 = 16;
const BUFFERS: usize = 16;
const DEVICE_ROOM: usize = 8;

#[derive(Default)]
struct World {
    acks: Mutex<usize>,
    notified: Mutex<usize>,
}

impl Pd for World {
    fn notify(&self, _: Channel) {
        *self.notified.lock().unwrap() += 1;
    }
    fn irq_ack(&self, _: Channel) {
        *self.acks.lock().unwrap() += 1;
    }
    fn call(&self, _: Channel, _: &mut Message) {}
    fn wait(&self) -> ChannelSet {
        ChannelSet::EMPTY
    }
    fn poll(&self) -> ChannelSet {
        ChannelSet::EMPTY
    }
    fn now(&self) -> u64 {
        0
    }
    fn debug_write(&self, _: &[u8]) {}
}

#[derive(Default)]
struct Device {
    posted: VecDeque<u16>,
    received: VecDeque<Received>,
    /// Submitted, not yet sent.
    submitted: VecDeque<u16>,
    sent: VecDeque<u16>,
    /// All frames that were ever submitted.
    wire: Vec<(u16, u16)>,
    rx_interrupt: bool,
    tx_interrupt: bool,
    line: bool,
    /// The carrier changed.
    changed: bool,
    kicks: usize,
    /// What was posted or submitted and not kicked yet.
    unkicked: (bool, bool),
}

impl Device {
    /// A frame arrives; `false` if there is no buffer for it.
    fn arrive(&mut self, len: u16) -> bool {
        let Some(slot) = self.posted.pop_front() else { return false };
        self.received.push_back(Received { slot, len });
        self.line |= self.rx_interrupt;
        true
    }

    /// The oldest submitted frame is sent.
    fn send_one(&mut self) -> bool {
        let Some(slot) = self.submitted.pop_front() else { return false };
        self.sent.push_back(slot);
        self.line |= self.tx_interrupt;
        true
    }
}

impl NetDevice for Device {
    fn mac(&self) -> [u8; 6] {
        [2, 0, 0, 0, 0, 9]
    }
    fn link_up(&self) -> bool {
        true
    }
    fn ack_interrupt(&mut self) -> bool {
        self.line = false;
        core::mem::take(&mut self.changed)
    }
    fn rx_room(&self) -> usize {
        DEVICE_ROOM - self.rx_posted()
    }
    fn rx_posted(&self) -> usize {
        self.posted.len() + self.received.len()
    }
    fn post_rx(&mut self, slot: u16) {
        assert!(self.rx_room() > 0 && usize::from(slot) < BUFFERS);
        assert!(!self.posted.contains(&slot) && !self.received.iter().any(|r| r.slot == slot), "posted twice");
        self.posted.push_back(slot);
        self.unkicked.0 = true;
    }
    fn poll_rx(&mut self) -> Option<Received> {
        self.received.pop_front()
    }
    fn rx_ready(&self) -> bool {
        !self.received.is_empty()
    }
    fn tx_room(&self) -> usize {
        DEVICE_ROOM - self.tx_pending()
    }
    fn submit_tx(&mut self, slot: u16, len: u16) {
        assert!(self.tx_room() > 0 && usize::from(slot) < BUFFERS);
        assert!((1..=MAX_FRAME).contains(&len));
        assert!(!self.submitted.contains(&slot) && !self.sent.contains(&slot), "submitted twice");
        self.submitted.push_back(slot);
        self.wire.push((slot, len));
        self.unkicked.1 = true;
    }
    fn poll_tx(&mut self) -> Option<u16> {
        self.sent.pop_front()
    }
    fn tx_ready(&self) -> bool {
        !self.sent.is_empty()
    }
    fn tx_pending(&self) -> usize {
        self.submitted.len() + self.sent.len()
    }
    fn kick(&mut self, rx: bool, tx: bool) {
        self.kicks += 1;
        self.unkicked.0 &= !rx;
        self.unkicked.1 &= !tx;
    }
    fn set_rx_interrupt(&mut self, enabled: bool) {
        self.rx_interrupt = enabled;
    }
    fn set_tx_interrupt(&mut self, enabled: bool) {
        self.tx_interrupt = enabled;
    }
}

const IRQ: u8 = 0;
const SERVER: u8 = 1;

fn channel(id: u8) -> Channel {
    Channel::new(id).unwrap()
}

/// The server's ends and the driver.
struct Bench {
    world: &'static World,
    driver: EthDriver<Device>,
    rx_free: Producer,
    rx_active: Consumer,
    tx_active: Producer,
    tx_free: Consumer,
}

impl Bench {
    fn new() -> Self {
        let world: &'static World = Box::leak(Box::default());
        let memory: [_; 4] = core::array::from_fn(|_| leak_for_tests(queue_bytes(CAPACITY)));
        let link = Link {
            rx_free: Consumer::new(memory[0], CAPACITY).unwrap(),
            rx_active: Producer::new(memory[1], CAPACITY).unwrap(),
            tx_active: Consumer::new(memory[2], CAPACITY).unwrap(),
            tx_free: Producer::new(memory[3], CAPACITY).unwrap(),
            rx_bytes: BUFFERS * BUFFER_SIZE,
            tx_bytes: BUFFERS * BUFFER_SIZE,
            server: channel(SERVER),
        };
        Self {
            world,
            driver: EthDriver::new(world, Device::default(), channel(IRQ), link),
            rx_free: Producer::new(memory[0], CAPACITY).unwrap(),
            rx_active: Consumer::new(memory[1], CAPACITY).unwrap(),
            tx_active: Producer::new(memory[2], CAPACITY).unwrap(),
            tx_free: Consumer::new(memory[3], CAPACITY).unwrap(),
        }
    }

    fn notified(&mut self, id: u8) -> bool {
        let mut set = ChannelSet::EMPTY;
        set.insert(channel(id));
        let to_server = self.driver.notified(set).is_some();
        let device = self.driver.device_mut();
        assert_eq!(device.unkicked, (false, false), "the device was not told");
        assert!(device.rx_interrupt, "the driver sleeps with its interrupt off");
        to_server
    }

    /// Lets the driver run if it was woken; returns whether it was, and
    /// whether it signalled the server.
    fn wake(&mut self, signalled: bool) -> (bool, bool) {
        let (mut woken, mut server) = (signalled, false);
        if signalled {
            server |= self.notified(SERVER);
        }
        if self.driver.device_mut().line {
            woken = true;
            server |= self.notified(IRQ);
        }
        (woken, server)
    }

    fn give(&mut self, slots: impl IntoIterator<Item = u64>) -> bool {
        for slot in slots {
            assert!(self.rx_free.put(Descriptor::new(slot * 2048, 0)).unwrap());
        }
        self.rx_free.publish()
    }

    fn send(&mut self, descriptors: &[Descriptor]) -> bool {
        for d in descriptors {
            assert!(self.tx_active.put(*d).unwrap());
        }
        self.tx_active.publish()
    }

    fn taken(&mut self) -> Vec<Descriptor> {
        let mut all = vec![];
        while let Some(d) = self.rx_active.take().unwrap() {
            all.push(d);
        }
        self.rx_active.release();
        all
    }

    fn freed(&mut self) -> Vec<u64> {
        let mut all = vec![];
        while let Some(d) = self.tx_free.take().unwrap() {
            all.push(d.offset / 2048);
        }
        self.tx_free.release();
        all
    }
}

#[test]
fn a_batch_is_one_kick_and_one_signal() {
    let mut b = Bench::new();
    let woken = b.give(0..8);
    assert!(woken);
    b.wake(woken);
    assert_eq!(b.driver.device_mut().kicks, 1);
    for len in [60, 61, 62] {
        assert!(b.driver.device_mut().arrive(len));
    }
    assert_eq!(b.wake(false), (true, true));
    assert_eq!(b.taken().iter().map(|d| d.len).collect::<Vec<_>>(), [60, 61, 62]);
    assert_eq!(*b.world.acks.lock().unwrap(), 1);
    // The server has not asked again: no signal.
    assert!(b.driver.device_mut().arrive(63));
    assert_eq!(b.wake(false), (true, false));
    b.rx_active.request_signal();
    assert_eq!(b.rx_active.available(), Ok(1));
    assert!(b.driver.device_mut().arrive(64));
    assert_eq!(b.wake(false), (true, true));
}

#[test]
fn sent_frames_interrupt_only_a_waiting_server() {
    let mut b = Bench::new();
    b.tx_free.cancel_signal();
    let signal = b.send(&[Descriptor::new(0, 60)]);
    b.wake(signal);
    assert!(b.driver.device_mut().send_one());
    assert_eq!(b.wake(false), (false, false));
    // The next frame brings the buffer back along.
    let signal = b.send(&[Descriptor::new(2048, 60)]);
    assert!(signal);
    b.wake(signal);
    assert_eq!(b.freed(), [0]);
    b.tx_free.request_signal();
    // The driver learns of the wish on its next turn.
    let signal = b.send(&[Descriptor::new(4096, 60)]);
    b.wake(signal);
    assert!(b.driver.device_mut().send_one());
    assert_eq!(b.wake(false), (true, true));
    assert_eq!(b.freed(), [1]);
}

#[test]
fn more_frames_than_the_device_takes_go_out_in_the_end() {
    let mut b = Bench::new();
    b.tx_free.cancel_signal();
    let frames: Vec<_> = (0..16).map(|n| Descriptor::new(n * 2048, 60)).collect();
    let signal = b.send(&frames);
    b.wake(signal);
    while b.driver.device_mut().send_one() {
        b.wake(false);
    }
    assert_eq!(b.driver.device_mut().wire.len(), 16);
}

#[test]
fn nonsense_is_counted_and_dropped() {
    let mut b = Bench::new();
    let bad = [
        Descriptor::new(1, 60),
        Descriptor::new(16 * 2048, 60),
        Descriptor::new(u64::MAX - 2047, 60),
        Descriptor::new(0, 0),
        Descriptor::new(0, MAX_FRAME + 1),
        Descriptor::new(2048, 60),
        Descriptor::new(2048, 60),
    ];
    let signal = b.send(&bad);
    b.wake(signal);
    assert_eq!(b.driver.device_mut().wire, [(1, 60)]);
    assert_eq!(b.driver.counters().bad_descriptors, 6);
    // A buffer whose length alone was wrong comes back.
    assert_eq!(b.freed(), [0, 0]);
    // A device that lies about a length: the buffer is used again.
    let signal = b.give(0..1);
    b.wake(signal);
    for len in [0, MAX_FRAME + 1, u16::MAX] {
        assert!(b.driver.device_mut().arrive(len));
        b.wake(false);
    }
    assert!(b.taken().is_empty());
    assert_eq!(b.driver.counters().rx_dropped, 3);
    assert!(b.driver.device_mut().arrive(60));
    b.wake(false);
    assert_eq!(b.taken(), [Descriptor::new(0, 60)]);
}

#[test]
fn a_change_of_the_carrier_is_told() {
    let mut b = Bench::new();
    b.driver.device_mut().line = true;
    assert_eq!(b.wake(false), (true, false), "an interrupt for nothing");
    b.driver.device_mut().line = true;
    b.driver.device_mut().changed = true;
    assert_eq!(b.wake(false), (true, true));
}

#[test]
fn calls() {
    let mut b = Bench::new();
    let mut m = Message::new(eth::GET_LINK);
    b.driver.protected(channel(SERVER), &mut m);
    assert_eq!((m.label, m.words()), (0, &[u64::from_le_bytes([2, 0, 0, 0, 0, 9, 0, 0]), 1, 1500][..]));
    m.set(eth::GET_COUNTERS, &[]);
    b.driver.protected(channel(SERVER), &mut m);
    assert_eq!((m.label, m.words().len()), (0, 7));
    m.set(77, &[1; 64]);
    b.driver.protected(channel(SERVER), &mut m);
    assert!(m.label != 0 && m.words().is_empty());
}

proptest! {
    /// An honest server, frames at any time: everything arrives, in order, and
    /// once, with wake-ups alone.
    #[test]
    fn nothing_is_lost(ops in proptest::collection::vec((0u8..5, 0u64..6), 1..400)) {
        let mut b = Bench::new();
        let mut rx_home: VecDeque<u64> = (0..BUFFERS as u64).collect();
        let mut tx_home: VecDeque<u64> = (0..BUFFERS as u64).collect();
        let (mut arrived, mut taken, mut sent) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = 0u16;
        for (op, n) in ops {
            match op {
                0 => {
                    let slots: Vec<_> = (0..n).filter_map(|_| rx_home.pop_front()).collect();
                    let signal = b.give(slots);
                    b.wake(signal);
                }
                1 => {
                    let mut batch = vec![];
                    for _ in 0..n {
                        if let Some(slot) = tx_home.pop_front() {
                            next = next % MAX_FRAME + 1;
                            batch.push(Descriptor::new(slot * 2048, next));
                            sent.push((slot as u16, next));
                        }
                    }
                    let signal = b.send(&batch);
                    b.wake(signal);
                }
                2 => for _ in 0..n {
                    next = next % MAX_FRAME + 1;
                    if b.driver.device_mut().arrive(next) { arrived.push(next); }
                }
                3 => for _ in 0..n { b.driver.device_mut().send_one(); }
                _ => {
                    for d in b.taken() {
                        taken.push(d.len);
                        rx_home.push_back(d.offset / 2048);
                    }
                    tx_home.extend(b.freed());
                    b.rx_active.request_signal();
                }
            }
            if op != 2 || n % 2 == 0 {
                b.wake(false);
            }
        }
        // Let everything come to rest.
        b.wake(false);
        while b.driver.device_mut().send_one() { b.wake(false); }
        taken.extend(b.taken().iter().map(|d| d.len));
        prop_assert_eq!(taken, arrived);
        prop_assert_eq!(&b.driver.device_mut().wire, &sent);
        // Buffers of sent frames are back, or wait in the device for the next turn.
        tx_home.extend(b.freed());
        let waiting = b.driver.device_mut().sent.len();
        prop_assert_eq!(tx_home.len() + waiting, BUFFERS);
    }

    /// A server that writes anything: no panic (the device asserts that it
    /// never gets a buffer twice or one that does not exist).
    #[test]
    fn a_hostile_server_does_no_harm(
        ops in proptest::collection::vec((0u8..4, any::<u64>(), any::<u16>(), 0u64..20), 1..300),
    ) {
        let mut b = Bench::new();
        for (op, raw, len, slot) in ops {
            let offset = if raw % 3 == 0 { raw } else { slot * 2048 };
            match op {
                0 => { let _ = b.rx_free.put(Descriptor::new(offset, len)); let _ = b.rx_free.publish(); }
                1 => {
                    let len = if raw % 2 == 0 { len % 1600 } else { len };
                    let _ = b.tx_active.put(Descriptor::new(offset, len));
                    let _ = b.tx_active.publish();
                }
                2 => { b.driver.device_mut().arrive(len % 1600); }
                _ => { b.driver.device_mut().send_one(); }
            }
            b.notified(if raw % 5 == 0 { IRQ } else { SERVER });
        }
    }
}
