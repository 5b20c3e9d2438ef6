//! Descriptor queues in the layout of sDDF's network class
//! (`include/sddf/network/queue.h`), so that either end may be an sDDF
//! component.
//!
//! ```text
//! offset 0  u16 tail                written by the producer, free-running
//!        2  u16 head                written by the consumer, free-running
//!        4  u32 consumer_signalled  see `signal`
//!        8  16-byte descriptors, `capacity` of them, index = counter % capacity
//! descriptor: u64 io_or_offset, u16 len, 6 bytes zero
//! ```
//!
//! A link is two queues of equal capacity, *free* (empty buffers) and *active*
//! (full ones), for each direction. The capacity is a power of two and is
//! never read from shared memory.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    Misbehaved, SharedMemory,
    signal::Signal,
    sync::{AtomicU16, AtomicU32, Ordering},
};

/// Size of a packet buffer (sDDF's `NET_BUFFER_SIZE`).
pub const BUFFER_SIZE: usize = 2048;
const HEADER: usize = 8;

/// One buffer in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Descriptor {
    /// Where the buffer begins: offset in the data region.
    pub offset: u64,
    /// Bytes of data in it.
    pub len: u16,
    /// Zero (newer sDDF keeps an id here that drivers ignore).
    pub reserved: [u8; 6],
}

const _: () = assert!(size_of::<Descriptor>() == 16);

impl Descriptor {
    /// A descriptor of `len` bytes at `offset`.
    pub const fn new(offset: u64, len: u16) -> Self {
        Self { offset, len, reserved: [0; 6] }
    }
}

/// Bytes that a queue of `capacity` descriptors takes.
pub const fn queue_bytes(capacity: u16) -> usize {
    HEADER + capacity as usize * size_of::<Descriptor>()
}

/// Largest capacity, a power of two, whose queue fits in `bytes`; `None` if
/// not even one descriptor does.
pub const fn capacity_for(bytes: usize) -> Option<u16> {
    if bytes < HEADER + size_of::<Descriptor>() {
        return None;
    }
    let n = (bytes - HEADER) / size_of::<Descriptor>();
    let n = if n > 1 << 15 { 1 << 15 } else { n };
    Some(1 << n.ilog2())
}

struct Queue {
    tail: &'static AtomicU16,
    head: &'static AtomicU16,
    signalled: &'static AtomicU32,
    memory: SharedMemory,
    mask: u16,
}

impl Queue {
    fn new(memory: SharedMemory, capacity: u16) -> Option<Self> {
        if !capacity.is_power_of_two() || capacity > 1 << 15 || memory.len() < queue_bytes(capacity) {
            return None;
        }
        Some(Self {
            tail: memory.cell(0)?,
            head: memory.cell(2)?,
            signalled: memory.cell(4)?,
            memory,
            mask: capacity - 1,
        })
    }
}

impl Queue {
    fn slot(&self, index: u16) -> usize {
        HEADER + usize::from(index & self.mask) * size_of::<Descriptor>()
    }
}

/// The end that puts descriptors in.
pub struct Producer {
    queue: Queue,
    tail: u16,
    head: u16,
}

/// The end that takes descriptors out.
pub struct Consumer {
    queue: Queue,
    tail: u16,
    head: u16,
}

impl Producer {
    /// Producer of the queue at the beginning of `memory`; goes on where the
    /// last one stopped. `None` if the queue does not fit or `capacity` is no
    /// power of two.
    pub fn new(memory: SharedMemory, capacity: u16) -> Option<Self> {
        let queue = Queue::new(memory, capacity)?;
        let (tail, head) = (queue.tail.load(Ordering::Relaxed), queue.head.load(Ordering::Acquire));
        Some(Self { queue, tail, head })
    }
}

impl Producer {
    /// Descriptors that can be put now, by the peer's last word.
    pub fn room(&mut self) -> Result<u16, Misbehaved> {
        let head = self.queue.head.load(Ordering::Acquire);
        // The peer's head moves from our last view of it up to our tail.
        if head.wrapping_sub(self.head) > self.tail.wrapping_sub(self.head) {
            return Err(Misbehaved);
        }
        self.head = head;
        Ok(self.queue.mask + 1 - self.tail.wrapping_sub(head))
    }

    /// Puts one descriptor; it is seen after [`publish`](Self::publish).
    /// `Ok(false)` if the queue is full.
    pub fn put(&mut self, descriptor: Descriptor) -> Result<bool, Misbehaved> {
        if self.tail.wrapping_sub(self.head) > self.queue.mask && self.room()? == 0 {
            return Ok(false);
        }
        let at = self.queue.slot(self.tail);
        self.queue.memory.write(at, descriptor.as_bytes()).ok_or(Misbehaved)?;
        self.tail = self.tail.wrapping_add(1);
        Ok(true)
    }

    /// Makes what was put visible. Returns whether the peer must be notified.
    #[must_use]
    pub fn publish(&mut self) -> bool {
        if self.queue.tail.load(Ordering::Relaxed) == self.tail {
            return false;
        }
        self.queue.tail.store(self.tail, Ordering::Release);
        Signal(self.queue.signalled).raise()
    }

    /// Whether the consumer has asked to be notified.
    pub fn consumer_waits(&self) -> bool {
        Signal(self.queue.signalled).armed()
    }
}

impl Consumer {
    /// Consumer of the queue at the beginning of `memory`. See
    /// [`Producer::new`].
    pub fn new(memory: SharedMemory, capacity: u16) -> Option<Self> {
        let queue = Queue::new(memory, capacity)?;
        let head = queue.head.load(Ordering::Relaxed);
        Some(Self { queue, tail: head, head })
    }
}

impl Consumer {
    /// Descriptors that can be taken now.
    pub fn available(&mut self) -> Result<u16, Misbehaved> {
        let tail = self.queue.tail.load(Ordering::Acquire);
        let n = tail.wrapping_sub(self.head);
        if n > self.queue.mask + 1 || tail.wrapping_sub(self.tail) > n {
            return Err(Misbehaved);
        }
        self.tail = tail;
        Ok(n)
    }

    /// Takes one descriptor, if there is one. Its fields are whatever the peer
    /// wrote: validate them.
    pub fn take(&mut self) -> Result<Option<Descriptor>, Misbehaved> {
        if self.head == self.tail && self.available()? == 0 {
            return Ok(None);
        }
        let mut raw = [0; size_of::<Descriptor>()];
        self.queue.memory.read(self.queue.slot(self.head), &mut raw).ok_or(Misbehaved)?;
        self.head = self.head.wrapping_add(1);
        let descriptor = Descriptor::read_from_bytes(&raw).map_err(|_| Misbehaved)?;
        Ok(Some(descriptor))
    }

    /// Gives the places of taken descriptors back to the producer. Call it
    /// after each batch.
    pub fn release(&mut self) {
        self.queue.head.store(self.head, Ordering::Release);
    }

    /// Asks to be notified of the next descriptor; look once more afterwards.
    pub fn request_signal(&mut self) {
        Signal(self.queue.signalled).arm();
    }

    /// Asks not to be notified.
    pub fn cancel_signal(&mut self) {
        Signal(self.queue.signalled).disarm();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::memory::leak_for_tests;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn capacities() {
        assert_eq!(capacity_for(23), None);
        assert_eq!(capacity_for(24), Some(1));
        assert_eq!(capacity_for(0x4000), Some(512));
        assert!(Producer::new(leak_for_tests(4096), 256).is_none());
        assert!(Producer::new(leak_for_tests(8192), 300).is_none());
    }

    #[test]
    fn signals_once_until_armed() {
        let m = leak_for_tests(4096);
        let (mut p, mut c) = (Producer::new(m, 4).unwrap(), Consumer::new(m, 4).unwrap());
        assert!(!p.publish());
        p.put(Descriptor::new(0, 1)).unwrap();
        assert!(p.publish());
        p.put(Descriptor::new(0, 2)).unwrap();
        assert!(!p.publish());
        c.request_signal();
        p.put(Descriptor::new(0, 3)).unwrap();
        assert!(p.publish());
    }

    #[test]
    fn impossible_indices_are_refused() {
        let m = leak_for_tests(4096);
        let (mut p, mut c) = (Producer::new(m, 8).unwrap(), Consumer::new(m, 8).unwrap());
        let tail: &AtomicU16 = m.cell(0).unwrap();
        let head: &AtomicU16 = m.cell(2).unwrap();
        tail.store(9, Ordering::Relaxed);
        assert_eq!(c.take(), Err(Misbehaved));
        tail.store(8, Ordering::Relaxed);
        assert_eq!(c.available(), Ok(8));
        tail.store(7, Ordering::Relaxed);
        assert_eq!(c.available(), Err(Misbehaved));
        head.store(1, Ordering::Relaxed);
        assert_eq!(p.room(), Err(Misbehaved));
    }

    proptest! {
        #[test]
        fn behaves_as_a_queue(ops in proptest::collection::vec(0u8..4, 0..2000), log in 0u32..4) {
            let capacity = 1u16 << log;
            let m = leak_for_tests(4096);
            // Begin shortly before the 16-bit counters wrap.
            m.cell::<AtomicU16>(0).unwrap().store(65_300, Ordering::Relaxed);
            m.cell::<AtomicU16>(2).unwrap().store(65_300, Ordering::Relaxed);
            let (mut p, mut c) = (Producer::new(m, capacity).unwrap(), Consumer::new(m, capacity).unwrap());
            let (mut model, mut hidden) = (VecDeque::new(), VecDeque::new());
            let mut released = 0usize;
            let mut held = 0usize;
            for (n, op) in ops.into_iter().enumerate() {
                match op {
                    0 => {
                        let full = model.len() + hidden.len() + held >= capacity.into();
                        prop_assert_eq!(p.put(Descriptor::new(n as u64, 5)).unwrap(), !full);
                        if !full { hidden.push_back(n as u64); }
                    }
                    1 => { let _ = p.publish(); model.append(&mut hidden); }
                    2 => {
                        let got = c.take().unwrap().map(|d| d.offset);
                        prop_assert_eq!(got, model.pop_front());
                        held += usize::from(got.is_some());
                    }
                    _ => { c.release(); released += held; held = 0; }
                }
            }
            prop_assert!(released + held < 2000);
        }
    }
}
