//! The driver between a client and a disk that the tests play.
//!
//! The disk raises its interrupt as real ones do: when an operation ends while
//! interrupts are allowed. The driver runs only when it is interrupted or
//! notified, so a lost wake-up shows as a request that is never answered.

extern crate std;

use super::*;
use crate::device::MAX_REQUESTS;
use proptest::prelude::*;
use std::{boxed::Box, collections::VecDeque, sync::Mutex, vec, vec::Vec};
use strait_abi::blk::{self, ClientEnd, DriverEnd, ENTRIES, MAX_SECTORS, Request, Response, SECTOR, code, status};
use strait_pd::{Channel, ChannelSet, Component, Message, Pd};
use strait_ring::{SharedMemory, memory::leak_for_tests};

const CAPACITY: u64 = 1000;
const DATA: usize = 64 * SECTOR;
const DEVICE_ROOM: usize = 5;

#[derive(Default)]
struct World {
    acks: Mutex<usize>,
}

impl Pd for World {
    fn notify(&self, _: Channel) {}
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
struct Disk {
    under_way: VecDeque<(u16, Operation)>,
    ended: VecDeque<(u16, bool)>,
    all: Vec<Operation>,
    interrupt: bool,
    line: bool,
    kicks: usize,
    unkicked: bool,
    read_only: bool,
    broken: bool,
}

impl Disk {
    /// The operation at `index` ends.
    fn end(&mut self, index: usize, ok: bool) -> bool {
        let Some((token, _)) = self.under_way.remove(index) else { return false };
        self.ended.push_back((token, ok));
        self.line |= self.interrupt;
        true
    }
}

impl BlockDevice for Disk {
    fn capacity(&self) -> u64 {
        CAPACITY
    }
    fn read_only(&self) -> bool {
        self.read_only
    }
    fn ack_interrupt(&mut self) {
        self.line = false;
    }
    fn broken(&self) -> bool {
        self.broken
    }
    fn room(&self) -> usize {
        if self.broken { 0 } else { DEVICE_ROOM - self.under_way.len() - self.ended.len() }
    }
    fn submit(&mut self, token: u16, operation: Operation) {
        assert!(self.room() > 0 && usize::from(token) < MAX_REQUESTS);
        assert!(!self.under_way.iter().any(|(t, _)| *t == token), "a token twice");
        if let Operation::Read { sector, offset, count } | Operation::Write { sector, offset, count } = operation {
            assert!(count > 0 && sector + u64::from(count) <= CAPACITY);
            assert!(offset as usize + count as usize * SECTOR <= DATA && (offset as usize).is_multiple_of(SECTOR));
        }
        self.under_way.push_back((token, operation));
        self.all.push(operation);
        self.unkicked = true;
    }
    fn poll(&mut self) -> Option<(u16, bool)> {
        self.ended.pop_front()
    }
    fn ready(&self) -> bool {
        !self.ended.is_empty()
    }
    fn kick(&mut self) {
        self.kicks += 1;
        self.unkicked = false;
    }
    fn set_interrupt(&mut self, enabled: bool) {
        self.interrupt = enabled;
    }
}

const IRQ: u8 = 0;
const CLIENT: u8 = 1;

fn channel(id: u8) -> Channel {
    Channel::new(id).unwrap()
}

struct Bench {
    world: &'static World,
    driver: BlkDriver<Disk>,
    client: ClientEnd,
    memory: SharedMemory,
}

impl Bench {
    fn new(disk: Disk) -> Self {
        let world: &'static World = Box::leak(Box::default());
        let memory = leak_for_tests(blk::QUEUE_BYTES);
        let link = DriverEnd::new(memory).unwrap();
        let driver = BlkDriver::new(world, disk, channel(IRQ), channel(CLIENT), link, DATA);
        Self { world, driver, client: ClientEnd::new(memory).unwrap(), memory }
    }

    fn disk(&mut self) -> &mut Disk {
        self.driver.device_mut()
    }

    fn notified(&mut self, id: u8) -> bool {
        let mut set = ChannelSet::EMPTY;
        set.insert(channel(id));
        let to_client = self.driver.notified(set).is_some();
        assert!(!self.disk().unkicked, "the disk was not told");
        assert!(self.disk().interrupt, "the driver sleeps with its interrupt off");
        to_client
    }

    /// Lets the driver run if its interrupt is raised; whether it signalled.
    fn interrupt(&mut self) -> bool {
        self.disk().line && self.notified(IRQ)
    }

    fn send(&mut self, requests: &[Request]) {
        for request in requests {
            assert!(self.client.requests.put(request).unwrap());
        }
        self.client.requests.publish();
        if self.client.peer.raise() {
            self.notified(CLIENT);
        }
    }

    fn answers(&mut self) -> Vec<(u32, u32)> {
        let mut all = vec![];
        while let Some(Response { id, status, .. }) = self.client.responses.take().unwrap() {
            all.push((id, status));
        }
        self.client.responses.release();
        all
    }
}

fn request(id: u32, code: u16, sector: u64, offset: u32, count: u32) -> Request {
    Request { id, code, sector, offset, count, ..Request::default() }
}

#[test]
fn a_batch_is_one_kick_and_one_signal() {
    let mut b = Bench::new(Disk::default());
    b.send(&[request(7, code::READ, 999, 512, 1), request(8, code::WRITE, 0, 0, 64), request(9, code::FLUSH, 0, 0, 0)]);
    assert_eq!(b.disk().kicks, 1);
    assert_eq!(
        b.disk().all,
        [
            Operation::Read { sector: 999, offset: 512, count: 1 },
            Operation::Write { sector: 0, offset: 0, count: 64 },
            Operation::Flush
        ]
    );
    b.disk().end(1, true);
    b.disk().end(1, true);
    b.disk().end(0, false);
    assert!(b.interrupt());
    assert_eq!(b.answers(), [(8, status::OK), (9, status::OK), (7, status::IO_ERROR)]);
    assert_eq!(*b.world.acks.lock().unwrap(), 1);
    // The client has not asked again: no signal.
    b.send(&[request(1, code::READ, 0, 0, 1)]);
    b.disk().end(0, true);
    assert!(!b.interrupt());
    b.client.wake.arm();
    b.send(&[request(2, code::READ, 0, 0, 1)]);
    b.disk().end(0, true);
    assert!(b.interrupt());
    assert_eq!(b.answers().len(), 2);
}

#[test]
fn what_makes_no_sense_is_refused_and_never_reaches_the_disk() {
    let mut b = Bench::new(Disk::default());
    let bad = [
        request(0, code::READ, CAPACITY, 0, 1),
        request(0, code::READ, CAPACITY - 1, 0, 2),
        request(0, code::READ, u64::MAX, 0, 1),
        request(0, code::READ, 0, 0, 0),
        request(0, code::READ, 0, 0, 65),
        request(0, code::READ, 0, 0, MAX_SECTORS + 1),
        request(0, code::READ, 0, 0, u32::MAX),
        request(0, code::WRITE, 0, 63 * 512 + 512, 1),
        request(0, code::WRITE, 0, 1, 1),
        request(0, code::WRITE, 0, u32::MAX - 511, 1),
        request(0, code::FLUSH, 1, 0, 0),
        request(0, 3, 0, 0, 1),
        Request { reserved: 1, ..request(0, code::READ, 0, 0, 1) },
        Request { reserved2: [0, 1], ..request(0, code::READ, 0, 0, 1) },
    ];
    b.send(&bad);
    assert_eq!(b.answers(), vec![(0, status::REFUSED); bad.len()]);
    assert!(b.disk().all.is_empty());
    assert_eq!(b.driver.counters().refused, bad.len() as u64);

    let mut b = Bench::new(Disk { read_only: true, ..Disk::default() });
    b.send(&[request(4, code::WRITE, 0, 0, 1), request(5, code::READ, 0, 0, 1)]);
    assert_eq!(b.answers(), [(4, status::READ_ONLY)]);
    assert_eq!(b.disk().all.len(), 1);
}

#[test]
fn a_disk_that_breaks_fails_everything() {
    let mut b = Bench::new(Disk::default());
    b.send(&[request(1, code::READ, 0, 0, 1), request(2, code::FLUSH, 0, 0, 0)]);
    b.disk().broken = true;
    b.disk().line = true;
    assert!(b.interrupt());
    assert_eq!(b.answers(), [(1, status::IO_ERROR), (2, status::IO_ERROR)]);
    b.send(&[request(3, code::READ, 0, 0, 1)]);
    assert_eq!(b.answers(), [(3, status::IO_ERROR)]);
    assert_eq!(b.disk().all.len(), 2);
}

#[test]
fn calls() {
    let mut b = Bench::new(Disk { read_only: true, ..Disk::default() });
    let mut m = Message::new(blk::GET_DISK);
    b.driver.protected(channel(CLIENT), &mut m);
    assert_eq!((m.label, m.words()), (0, &[CAPACITY, blk::READ_ONLY][..]));
    m.set(blk::GET_COUNTERS, &[]);
    b.driver.protected(channel(CLIENT), &mut m);
    assert_eq!((m.label, m.words().len()), (0, 8));
    m.set(77, &[1; 64]);
    b.driver.protected(channel(CLIENT), &mut m);
    assert!(m.label != 0 && m.words().is_empty());
}

proptest! {
    /// Every request is answered once, whatever order the disk works in and
    /// however late the client takes answers, with wake-ups alone.
    #[test]
    fn every_request_is_answered_once(ops in proptest::collection::vec((0u8..4, 0usize..6), 1..400)) {
        let mut b = Bench::new(Disk::default());
        let (mut next, mut answered, mut unanswered) = (0u32, Vec::new(), 0u32);
        for (op, n) in ops {
            match op {
                0 => for _ in 0..n {
                    if unanswered < ENTRIES {
                        next += 1;
                        unanswered += 1;
                        b.send(&[request(next, (next % 3) as u16, 0, 0, u32::from(next % 3 != 2))]);
                    }
                },
                1 => { b.disk().end(n, true); }
                2 => { b.interrupt(); }
                _ => {
                    let got = b.answers();
                    unanswered -= got.len() as u32;
                    answered.extend(got);
                    // Places became free, which the driver is told of.
                    b.notified(CLIENT);
                }
            }
        }
        for _ in 0..next {
            b.disk().end(0, true);
            b.interrupt();
            answered.extend(b.answers());
            b.notified(CLIENT);
        }
        answered.extend(b.answers());
        answered.sort_unstable();
        prop_assert_eq!(answered, (1..=next).map(|id| (id, status::OK)).collect::<Vec<_>>());
    }

    /// A client that writes anything: no panic, and the disk (which asserts so)
    /// gets only what makes sense.
    #[test]
    fn a_hostile_client_does_no_harm(
        ops in proptest::collection::vec((0u8..4, any::<u64>(), any::<u32>(), 0u16..4), 1..300),
    ) {
        let mut b = Bench::new(Disk::default());
        for (op, raw, word, code) in ops {
            match op {
                0 => {
                    let _ = b.client.requests.put(&request(word, code, raw % 1100, word % 70 * 512, word % 70));
                    b.client.requests.publish();
                }
                1 => { let _ = b.memory.write(raw as usize % 256 / 4 * 4, &word.to_le_bytes()); }
                2 => { b.disk().end(raw as usize % 5, raw % 7 != 0); }
                _ => { let _ = b.memory.write(4096 + raw as usize % 8100, &word.to_le_bytes()); }
            }
            b.notified(if raw % 5 == 0 { IRQ } else { CLIENT });
        }
    }
}
