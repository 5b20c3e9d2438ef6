//! The driver against a device whose clock the test moves.

extern crate std;

use super::*;
use proptest::prelude::*;
use std::{boxed::Box, cell::RefCell, rc::Rc, sync::Mutex, vec::Vec};
use strait_pd::Pd;

#[derive(Default)]
struct World {
    notified: Mutex<Vec<Channel>>,
    acks: Mutex<usize>,
}

impl Pd for World {
    fn notify(&self, channel: Channel) {
        self.notified.lock().unwrap().push(channel);
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
struct Clock {
    now: u64,
    deadline: Option<u64>,
}

#[derive(Clone, Default)]
struct Device(Rc<RefCell<Clock>>);

impl TimerDevice for Device {
    fn now(&self) -> u64 {
        self.0.borrow().now
    }
    fn arm(&mut self, deadline: Option<u64>) {
        self.0.borrow_mut().deadline = deadline;
    }
}

const IRQ: u8 = 0;

fn setup() -> (&'static World, Device, TimerDriver<Device>) {
    let world: &'static World = Box::leak(Box::default());
    let device = Device::default();
    (world, device.clone(), TimerDriver::new(world, device, channel(IRQ)))
}

fn channel(id: u8) -> Channel {
    Channel::new(id).unwrap()
}

fn set(t: &mut TimerDriver<Device>, id: u8, ns: u64) {
    let mut m = Message::from_words(SET_TIMEOUT, &[ns]);
    t.protected(channel(id), &mut m);
    assert_eq!((m.label, m.words().len()), (0, 0));
}

/// Lets the interrupt happen if it is due; returns who was notified.
fn advance(world: &World, device: &Device, t: &mut TimerDriver<Device>, to: u64) -> Vec<Channel> {
    device.0.borrow_mut().now = to;
    let due = device.0.borrow().deadline.is_some_and(|d| d <= to);
    let mut irq = ChannelSet::EMPTY;
    irq.insert(channel(IRQ));
    let last = if due { t.notified(irq) } else { None };
    let mut all: Vec<_> = world.notified.lock().unwrap().drain(..).chain(last).collect();
    all.sort();
    all
}

#[test]
fn a_timeout_fires_once_and_the_device_rests() {
    let (world, device, mut t) = setup();
    assert_eq!(device.0.borrow().deadline, None);
    set(&mut t, 3, 100);
    assert_eq!(advance(world, &device, &mut t, 99), []);
    assert_eq!(advance(world, &device, &mut t, 100), [channel(3)]);
    assert_eq!(*world.acks.lock().unwrap(), 1);
    assert_eq!(device.0.borrow().deadline, None);
}

#[test]
fn calls_without_sense_are_refused() {
    let (_, _, mut t) = setup();
    for mut m in [Message::new(SET_TIMEOUT), Message::new(7)] {
        t.protected(channel(1), &mut m);
        assert_eq!(m.label, BAD_REQUEST);
    }
    let mut m = Message::new(GET_TIME);
    t.protected(channel(1), &mut m);
    assert_eq!(m.words(), [0]);
}

#[test]
fn the_greatest_timeout_cancels() {
    let (world, device, mut t) = setup();
    set(&mut t, 1, 10);
    set(&mut t, 2, 20);
    set(&mut t, 1, u64::MAX);
    assert_eq!(device.0.borrow().deadline, Some(20));
    assert_eq!(advance(world, &device, &mut t, 30), [channel(2)]);
}

proptest! {
    /// Against a list of deadlines: the same channels at the same times.
    #[test]
    fn as_a_list_of_deadlines(steps in proptest::collection::vec((1u8..6, 0u64..50, 0u64..30), 0..200)) {
        let (world, device, mut t) = setup();
        let mut model = [None; 8];
        let mut now = 0;
        for (id, timeout, pass) in steps {
            set(&mut t, id, timeout);
            model[usize::from(id)] = Some(now + timeout);
            prop_assert_eq!(device.0.borrow().deadline, model.iter().flatten().min().copied());
            now += pass;
            let mut expect = Vec::new();
            for (i, d) in model.iter_mut().enumerate() {
                if d.is_some_and(|d| d <= now) {
                    *d = None;
                    expect.push(channel(i as u8));
                }
            }
            prop_assert_eq!(advance(world, &device, &mut t, now), expect);
        }
    }
}
