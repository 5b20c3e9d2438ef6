//! Rings of fixed-size records with one producer and one consumer.
//!
//! Positions are free-running 32-bit counters; each is written by one side. A
//! record is copied out before anything is decided on it, and a position that
//! cannot be is refused.

use core::{marker::PhantomData, sync::atomic::AtomicU32, sync::atomic::Ordering};

use strait_ring::{Misbehaved, SharedMemory};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::ENTRIES;

struct Ring<T> {
    memory: SharedMemory,
    at: usize,
    tail: &'static AtomicU32,
    head: &'static AtomicU32,
    record: PhantomData<T>,
}

impl<T> Ring<T> {
    fn new(memory: SharedMemory, at: usize, tail: usize, head: usize) -> Option<Self> {
        Some(Self { memory, at, tail: memory.cell(tail)?, head: memory.cell(head)?, record: PhantomData })
    }

    fn slot(&self, position: u32) -> usize {
        self.at + (position % ENTRIES) as usize * size_of::<T>()
    }
}

/// The end that puts records in.
pub struct Sender<T> {
    ring: Ring<T>,
    tail: u32,
    head: u32,
}

/// The end that takes records out.
pub struct Receiver<T> {
    ring: Ring<T>,
    tail: u32,
    head: u32,
}

impl<T: IntoBytes + Immutable> Sender<T> {
    pub(crate) fn new(memory: SharedMemory, at: usize, tail: usize, head: usize) -> Option<Self> {
        let ring = Ring::new(memory, at, tail, head)?;
        let (tail, head) = (ring.tail.load(Ordering::Relaxed), ring.head.load(Ordering::Acquire));
        Some(Self { ring, tail, head })
    }

    /// Records that can be put now.
    pub fn room(&mut self) -> Result<u32, Misbehaved> {
        let head = self.ring.head.load(Ordering::Acquire);
        // The peer's head moves from our last view of it up to our tail.
        let used = self.tail.wrapping_sub(head);
        if used > ENTRIES || head.wrapping_sub(self.head) > self.tail.wrapping_sub(self.head) {
            return Err(Misbehaved);
        }
        self.head = head;
        Ok(ENTRIES - used)
    }

    /// Puts one record; it is seen after [`publish`](Self::publish).
    /// `Ok(false)` if the ring is full.
    pub fn put(&mut self, record: &T) -> Result<bool, Misbehaved> {
        if self.tail.wrapping_sub(self.head) >= ENTRIES && self.room()? == 0 {
            return Ok(false);
        }
        self.ring.memory.write(self.ring.slot(self.tail), record.as_bytes()).ok_or(Misbehaved)?;
        self.tail = self.tail.wrapping_add(1);
        Ok(true)
    }

    /// Makes what was put visible. Returns whether there was anything.
    pub fn publish(&mut self) -> bool {
        if self.ring.tail.load(Ordering::Relaxed) == self.tail {
            return false;
        }
        self.ring.tail.store(self.tail, Ordering::Release);
        true
    }

    /// After [`Misbehaved`]: takes the peer's head as right from here on, as
    /// if it had taken everything.
    pub fn resynchronise(&mut self) {
        self.tail = self.ring.head.load(Ordering::Acquire);
        self.head = self.tail;
        self.ring.tail.store(self.tail, Ordering::Release);
    }
}

impl<T: FromBytes + IntoBytes> Receiver<T> {
    pub(crate) fn new(memory: SharedMemory, at: usize, tail: usize, head: usize) -> Option<Self> {
        let ring = Ring::new(memory, at, tail, head)?;
        let head = ring.head.load(Ordering::Relaxed);
        Some(Self { ring, tail: head, head })
    }

    /// Records that can be taken now.
    pub fn available(&mut self) -> Result<u32, Misbehaved> {
        let tail = self.ring.tail.load(Ordering::Acquire);
        let n = tail.wrapping_sub(self.head);
        if n > ENTRIES || tail.wrapping_sub(self.tail) > n {
            return Err(Misbehaved);
        }
        self.tail = tail;
        Ok(n)
    }

    /// Takes one record, if there is one. Its fields are whatever the peer
    /// wrote: validate them.
    pub fn take(&mut self) -> Result<Option<T>, Misbehaved> {
        if self.head == self.tail && self.available()? == 0 {
            return Ok(None);
        }
        let mut record = T::new_zeroed();
        self.ring.memory.read(self.ring.slot(self.head), record.as_mut_bytes()).ok_or(Misbehaved)?;
        self.head = self.head.wrapping_add(1);
        Ok(Some(record))
    }

    /// Gives the places of taken records back to the producer. Call it after
    /// each batch.
    pub fn release(&mut self) {
        self.ring.head.store(self.head, Ordering::Release);
    }

    /// After [`Misbehaved`]: forgets what is in the ring and goes on where the
    /// peer is.
    pub fn resynchronise(&mut self) {
        self.head = self.ring.tail.load(Ordering::Acquire);
        self.tail = self.head;
        self.release();
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::{collections::VecDeque, vec::Vec};
    use strait_ring::{PAGE, memory::leak_for_tests};

    type Pair = (Sender<[u32; 8]>, Receiver<[u32; 8]>);

    fn pair() -> (SharedMemory, Pair) {
        let m = leak_for_tests(2 * PAGE);
        // Begin shortly before the counters wrap.
        for at in [0, 64] {
            m.cell::<AtomicU32>(at).unwrap().store(u32::MAX - 70, Ordering::Relaxed);
        }
        (m, (Sender::new(m, PAGE, 0, 64).unwrap(), Receiver::new(m, PAGE, 0, 64).unwrap()))
    }

    proptest! {
        #[test]
        fn behaves_as_a_queue(ops in proptest::collection::vec(0u8..8, 0..2000)) {
            let (_, (mut s, mut r)) = pair();
            let (mut hidden, mut seen, mut held) = (VecDeque::new(), VecDeque::new(), 0u32);
            for (n, op) in ops.into_iter().enumerate() {
                match op {
                    0..4 => {
                        let full = hidden.len() + seen.len() + held as usize == ENTRIES as usize;
                        prop_assert_eq!(s.put(&[n as u32; 8]), Ok(!full));
                        if !full { hidden.push_back(n as u32); }
                    }
                    4 => { prop_assert_eq!(s.publish(), !hidden.is_empty()); seen.append(&mut hidden); }
                    5..7 => {
                        let got = r.take().unwrap();
                        prop_assert_eq!(got, seen.pop_front().map(|n| [n; 8]));
                        held += u32::from(got.is_some());
                    }
                    _ => { r.release(); held = 0; }
                }
            }
        }

        #[test]
        fn any_index_is_survived(words in proptest::collection::vec((any::<bool>(), any::<u32>()), 0..100)) {
            let (m, (mut s, mut r)) = pair();
            for (which, word) in words {
                m.cell::<AtomicU32>(if which { 0 } else { 64 }).unwrap().store(word, Ordering::Relaxed);
                if s.put(&[1; 8]).is_err() || s.room().is_err() { s.resynchronise(); }
                s.publish();
                let got: Vec<_> = core::iter::from_fn(|| match r.take() {
                    Ok(record) => record,
                    Err(Misbehaved) => { r.resynchronise(); None }
                }).collect();
                prop_assert!(got.len() <= ENTRIES as usize);
            }
        }
    }
}
