//! A disk for tests, which loses what was not flushed.

use alloc::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    vec::Vec,
};
use core::cell::RefCell;

use strait_abi::blk::SECTOR;

use super::{Content, Disk, End};

#[derive(Debug)]
enum Request {
    Read(u64, usize),
    Write(u64, Vec<u8>),
    Flush,
}

#[derive(Default)]
struct State {
    /// What survives.
    durable: Vec<u8>,
    /// Writes that have ended but were not flushed, in order.
    volatile: Vec<(u64, Vec<u8>)>,
    requests: VecDeque<(u32, Request)>,
    ended: VecDeque<(End, Vec<u8>)>,
    read_only: bool,
    fail_writes: bool,
    fail_reads: bool,
    flushes: usize,
    /// Decides in which order requests are served: a number like random.
    order: u64,
}

/// The disk, and at the same time the hand that moves it.
#[derive(Clone, Default)]
pub struct FakeDisk(Rc<RefCell<State>>);

/// The next of a sequence of numbers that look random (xorshift).
pub fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

impl FakeDisk {
    /// A disk that holds `image`.
    pub fn new(image: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.0.borrow_mut().durable = image;
        disk.0.borrow_mut().order = 1;
        disk
    }

    /// Requests end in an order that follows from `seed`, not 0; with 1 in
    /// that of their begin.
    pub fn shuffle(&self, seed: u64) {
        self.0.borrow_mut().order = seed;
    }

    /// Whether it refuses to be written.
    pub fn set_read_only(&self, read_only: bool) {
        self.0.borrow_mut().read_only = read_only;
    }

    /// Whether reads and writes fail.
    pub fn set_failing(&self, reads: bool, writes: bool) {
        let mut state = self.0.borrow_mut();
        (state.fail_reads, state.fail_writes) = (reads, writes);
    }

    /// Flushes so far.
    pub fn flushes(&self) -> usize {
        self.0.borrow().flushes
    }

    /// Requests that have not ended.
    pub fn waiting(&self) -> usize {
        self.0.borrow().requests.len()
    }

    /// Serves one request; whether there was one.
    pub fn step(&self) -> bool {
        let state = &mut *self.0.borrow_mut();
        if state.requests.is_empty() {
            return false;
        }
        let at = if state.order == 1 { 0 } else { next_random(&mut state.order) as usize % state.requests.len() };
        let Some((tag, request)) = state.requests.remove(at) else { return false };
        let mut data = Vec::new();
        let ok = match request {
            Request::Read(sector, count) => {
                data = alloc::vec![0; count * SECTOR];
                let from = sector as usize * SECTOR;
                data.copy_from_slice(&state.durable[from..from + count * SECTOR]);
                for (at, bytes) in &state.volatile {
                    overlay(&mut data, sector, *at, bytes);
                }
                !state.fail_reads
            }
            Request::Write(..) if state.fail_writes => false,
            Request::Write(sector, bytes) => {
                state.volatile.push((sector, bytes));
                true
            }
            Request::Flush => {
                state.flushes += 1;
                let State { durable, volatile, .. } = state;
                for (sector, bytes) in volatile.drain(..) {
                    overlay(durable, 0, sector, &bytes);
                }
                true
            }
        };
        state.ended.push_back((End { tag, ok }, data));
        true
    }

    /// Serves all requests.
    pub fn run(&self) {
        while self.step() {}
    }

    /// The power goes: what is on the disk then. Of what was not flushed, even
    /// of requests that have not ended, some sectors have arrived.
    pub fn crash(&self, seed: u64) -> Vec<u8> {
        let state = self.0.borrow();
        let mut image = state.durable.clone();
        let mut seed = seed | 1;
        let begun = state.requests.iter().filter_map(|(_, r)| match r {
            Request::Write(sector, bytes) => Some((*sector, bytes)),
            _ => None,
        });
        let mut versions: BTreeMap<u64, Vec<&[u8]>> = BTreeMap::new();
        for (sector, bytes) in state.volatile.iter().map(|(s, b)| (*s, b)).chain(begun) {
            for (at, content) in (sector..).zip(bytes.chunks_exact(SECTOR)) {
                versions.entry(at).or_default().push(content);
            }
        }
        for (sector, contents) in versions {
            // None of them, or any.
            let which = next_random(&mut seed) as usize % (contents.len() + 1);
            if let Some(content) = contents.get(which) {
                overlay(&mut image, 0, sector, content);
            }
        }
        image
    }
}

/// Puts `bytes`, which belong at sector `at`, into `into`, which begins at
/// sector `first`.
fn overlay(into: &mut [u8], first: u64, at: u64, bytes: &[u8]) {
    for (sector, content) in (at..).zip(bytes.chunks_exact(SECTOR)) {
        let Some(offset) = sector.checked_sub(first).map(|n| n as usize * SECTOR) else { continue };
        if let Some(place) = into.get_mut(offset..offset + SECTOR) {
            place.copy_from_slice(content);
        }
    }
}

impl Disk for FakeDisk {
    fn capacity(&self) -> u64 {
        (self.0.borrow().durable.len() / SECTOR) as u64
    }

    fn read_only(&self) -> bool {
        self.0.borrow().read_only
    }

    fn room(&mut self) -> usize {
        let state = self.0.borrow();
        32 - state.requests.len() - state.ended.len()
    }

    fn read(&mut self, tag: u32, sector: u64, count: usize) {
        assert!(self.room() > 0 && count > 0 && sector + count as u64 <= self.capacity());
        self.0.borrow_mut().requests.push_back((tag, Request::Read(sector, count)));
    }

    fn write(&mut self, tag: u32, sector: u64, data: &[Content]) {
        assert!(self.room() > 0 && !data.is_empty() && sector + data.len() as u64 <= self.capacity());
        let bytes = data.iter().flat_map(|content| content.iter().copied()).collect();
        self.0.borrow_mut().requests.push_back((tag, Request::Write(sector, bytes)));
    }

    fn flush(&mut self, tag: u32) {
        assert!(self.room() > 0);
        let mut state = self.0.borrow_mut();
        let writes = state.requests.iter().any(|(_, r)| matches!(r, Request::Write(..)));
        assert!(!writes, "a flush does not concern writes that have not ended");
        state.requests.push_back((tag, Request::Flush));
    }

    fn poll(&mut self, data: &mut Vec<u8>) -> Option<End> {
        let (end, bytes) = self.0.borrow_mut().ended.pop_front()?;
        *data = bytes;
        Some(end)
    }

    fn submit(&mut self) {}

    fn arm(&mut self) -> bool {
        !self.0.borrow().ended.is_empty()
    }
}
