//! A split virtqueue (virtio 1.2, 2.7) for frames: each chain is a header
//! descriptor and a frame descriptor, and never anything else.
//!
//! Because of that everything but address and length of the frame is written
//! once, at the start: chain `n` is the descriptors `2n` (its header, in the
//! driver's memory) and `2n + 1`. Giving the device a frame is three stores,
//! and a batch is made visible, and the device asked whether it wants to be
//! told, once.
//!
//! Frames are named by physical address; the driver needs no mapping of them.
//!
//! The device is not trusted to name chains: an entry of the used ring that is
//! no outstanding chain makes the queue *broken* for good, since nothing that
//! follows could be told apart.
//!
//! Limits: little endian processors; no EVENT_IDX and no indirect descriptors;
//! devices that are coherent with the processor's caches.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

use strait_ring::{PAGE, SharedMemory};

/// Most descriptors in a queue.
pub const MAX_SIZE: u16 = 256;
const MAX: usize = MAX_SIZE as usize;

/// Distance of two headers in memory.
pub const HEADER_STRIDE: usize = 16;

const DESC_BYTES: usize = 16;
const FLAG_NEXT: u64 = 1;
const FLAG_WRITE: u64 = 2;
const AVAIL_NO_INTERRUPT: u16 = 1;
const USED_NO_NOTIFY: u16 = 1;

/// Marks a chain that is not outstanding.
const NONE: u16 = u16::MAX;

/// Where the parts of a queue of `size` descriptors lie in its memory; this is
/// the legacy layout, which is a valid modern one too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The available ring ("driver area").
    pub avail: usize,
    /// The used ring ("device area").
    pub used: usize,
    /// The headers.
    pub headers: usize,
    /// All of it.
    pub bytes: usize,
}

impl Layout {
    /// The layout for `size` descriptors.
    pub const fn new(size: u16) -> Self {
        let n = size as usize;
        let avail = n * DESC_BYTES;
        let used = (avail + 2 * (n + 3)).next_multiple_of(PAGE);
        let headers = (used + 8 * n + 6).next_multiple_of(64);
        Self { avail, used, headers, bytes: (headers + n / 2 * HEADER_STRIDE).next_multiple_of(PAGE) }
    }
}

/// Bytes that a queue takes at most. The rings are overlaid as arrays of
/// [`MAX_SIZE`] entries, so every queue gets that much.
pub const QUEUE_BYTES: usize = Layout::new(MAX_SIZE).bytes;

/// Who reads and who writes the frames of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The device writes them.
    Receive,
    /// The device reads them.
    Transmit,
}

/// One queue. Frames are known to the caller by a number, the slot.
pub struct Virtqueue {
    descriptors: &'static [AtomicU64; 2 * MAX],
    avail_flags: &'static AtomicU16,
    avail_index: &'static AtomicU16,
    avail_ring: &'static [AtomicU16; MAX],
    used_flags: &'static AtomicU16,
    used_index: &'static AtomicU16,
    used_ring: &'static [AtomicU32; 2 * MAX],
    mask: u16,
    frame_flags: u64,
    /// By chain: the slot it carries, or [`NONE`].
    slots: Box<[u16; MAX / 2]>,
    /// Chains that are not outstanding.
    free: Box<[u8; MAX / 2]>,
    free_len: usize,
    outstanding: usize,
    next_avail: u16,
    next_used: u16,
    used_seen: u16,
    broken: bool,
}

impl Virtqueue {
    /// A queue of `size` descriptors (a power of two from 2 to [`MAX_SIZE`]) in
    /// `memory`, which is at the physical address `paddr`. `None` if it does
    /// not fit.
    pub fn new(memory: SharedMemory, paddr: u64, size: u16, direction: Direction, header_len: u32) -> Option<Self> {
        if !size.is_power_of_two() || !(2..=MAX_SIZE).contains(&size) || memory.len() < QUEUE_BYTES {
            return None;
        }
        let layout = Layout::new(size);
        for at in (0..QUEUE_BYTES).step_by(PAGE) {
            memory.write(at, &[0; PAGE])?;
        }
        let chains = size / 2;
        let write = if direction == Direction::Receive { FLAG_WRITE } else { 0 };
        let descriptors: &[AtomicU64; 2 * MAX] = memory.cell(0)?;
        let mut free = Box::new([0; MAX / 2]);
        for chain in 0..usize::from(chains) {
            let header = paddr + (layout.headers + chain * HEADER_STRIDE) as u64;
            let next = 2 * chain as u64 + 1;
            descriptors[4 * chain].store(header, Ordering::Relaxed);
            descriptors[4 * chain + 1]
                .store(u64::from(header_len) | (FLAG_NEXT | write) << 32 | next << 48, Ordering::Relaxed);
            free[chain] = chain as u8;
        }
        Some(Self {
            descriptors,
            avail_flags: memory.cell(layout.avail)?,
            avail_index: memory.cell(layout.avail + 2)?,
            avail_ring: memory.cell(layout.avail + 4)?,
            used_flags: memory.cell(layout.used)?,
            used_index: memory.cell(layout.used + 2)?,
            used_ring: memory.cell(layout.used + 4)?,
            mask: size - 1,
            frame_flags: write << 32,
            slots: Box::new([NONE; MAX / 2]),
            free,
            free_len: chains.into(),
            outstanding: 0,
            next_avail: 0,
            next_used: 0,
            used_seen: 0,
            broken: false,
        })
    }

    /// Frames that can be pushed now.
    #[inline]
    pub fn room(&self) -> usize {
        if self.broken { 0 } else { self.free_len }
    }

    /// Frames that the device has.
    #[inline]
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Gives the device a frame; it sees it after [`publish`](Self::publish).
    /// Without [`room`](Self::room) nothing happens.
    #[inline]
    pub fn push(&mut self, slot: u16, paddr: u64, len: u16) {
        if self.room() == 0 {
            return;
        }
        self.free_len -= 1;
        let chain = usize::from(self.free[self.free_len % (MAX / 2)]) % (MAX / 2);
        self.slots[chain] = slot;
        self.descriptors[4 * chain + 2].store(paddr, Ordering::Relaxed);
        self.descriptors[4 * chain + 3].store(u64::from(len) | self.frame_flags, Ordering::Relaxed);
        self.avail_ring[usize::from(self.next_avail & self.mask) % MAX].store(2 * chain as u16, Ordering::Relaxed);
        self.next_avail = self.next_avail.wrapping_add(1);
        self.outstanding += 1;
    }

    /// Makes what was pushed visible; returns whether the device wants to be
    /// told.
    #[inline]
    #[must_use]
    pub fn publish(&mut self) -> bool {
        self.avail_index.store(self.next_avail, Ordering::Release);
        // The index before, the flag after (virtio 1.2, 2.7.13.4.1).
        fence(Ordering::SeqCst);
        self.used_flags.load(Ordering::Relaxed) & USED_NO_NOTIFY == 0
    }

    /// Whether [`pop`](Self::pop) has something.
    #[inline]
    pub fn ready(&self) -> bool {
        !self.broken && self.used_index.load(Ordering::Acquire) != self.next_used
    }

    /// Takes back a frame that the device is done with: its slot, and how many
    /// bytes, with the header, the device says it wrote.
    #[inline]
    pub fn pop(&mut self) -> Option<(u16, u32)> {
        if self.next_used == self.used_seen {
            self.used_seen = self.used_index.load(Ordering::Acquire);
            if self.next_used == self.used_seen {
                return None;
            }
        }
        if self.broken {
            return None;
        }
        let at = 2 * (usize::from(self.next_used & self.mask) % MAX);
        let id = self.used_ring[at].load(Ordering::Relaxed);
        let len = self.used_ring[at + 1].load(Ordering::Relaxed);
        let chain = id as usize / 2 % (MAX / 2);
        let slot = self.slots[chain];
        // What is beyond the queue's size was never pushed, so has no slot.
        if !id.is_multiple_of(2) || id >= MAX as u32 || slot == NONE {
            self.broken = true;
            return None;
        }
        self.slots[chain] = NONE;
        self.free[self.free_len % (MAX / 2)] = chain as u8;
        self.free_len += 1;
        self.outstanding -= 1;
        self.next_used = self.next_used.wrapping_add(1);
        Some((slot, len))
    }

    /// Whether frames that the device is done with raise the interrupt. After
    /// enabling, look once more.
    #[inline]
    pub fn set_interrupt(&mut self, enabled: bool) {
        self.avail_flags.store(if enabled { 0 } else { AVAIL_NO_INTERRUPT }, Ordering::Relaxed);
        if enabled {
            // The flag before, the index after.
            fence(Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::{collections::VecDeque, vec::Vec};
    use strait_ring::memory::leak_for_tests;

    const PADDR: u64 = 0x7000_0000;

    /// A descriptor: address, length, flags.
    type Part = (u64, u32, u16);

    /// The device's side, by the text of the specification.
    struct Device {
        memory: SharedMemory,
        layout: Layout,
        size: u16,
        avail: u16,
        used: u16,
    }

    impl Device {
        fn get<const N: usize>(&self, at: usize) -> [u8; N] {
            let mut b = [0; N];
            self.memory.read(at, &mut b).unwrap();
            b
        }

        /// Takes a chain: its head and its descriptors.
        fn take(&mut self) -> Option<(u16, Vec<Part>)> {
            if u16::from_le_bytes(self.get(self.layout.avail + 2)) == self.avail {
                return None;
            }
            let head = u16::from_le_bytes(self.get(self.layout.avail + 4 + 2 * usize::from(self.avail % self.size)));
            self.avail = self.avail.wrapping_add(1);
            let (mut chain, mut at) = (Vec::new(), head);
            loop {
                let d: [u8; 16] = self.get(16 * usize::from(at));
                let flags = u16::from_le_bytes([d[12], d[13]]);
                chain.push((
                    u64::from_le_bytes(d[..8].try_into().unwrap()),
                    u32::from_le_bytes(d[8..12].try_into().unwrap()),
                    flags,
                ));
                if flags & 1 == 0 {
                    return Some((head, chain));
                }
                at = u16::from_le_bytes([d[14], d[15]]);
            }
        }

        fn give(&mut self, id: u32, len: u32) {
            let at = self.layout.used + 4 + 8 * usize::from(self.used % self.size);
            self.memory.write(at, &id.to_le_bytes()).unwrap();
            self.memory.write(at + 4, &len.to_le_bytes()).unwrap();
            self.used = self.used.wrapping_add(1);
            self.memory.write(self.layout.used + 2, &self.used.to_le_bytes()).unwrap();
        }
    }

    fn pair(size: u16, direction: Direction) -> (Virtqueue, Device) {
        let memory = leak_for_tests(QUEUE_BYTES);
        let queue = Virtqueue::new(memory, PADDR, size, direction, 12).unwrap();
        (queue, Device { memory, layout: Layout::new(size), size, avail: 0, used: 0 })
    }

    #[test]
    fn layout_as_legacy_devices_expect() {
        let l = Layout::new(256);
        assert_eq!((l.avail, l.used), (4096, 8192));
        assert!(l.used + 6 + 8 * 256 <= l.headers && l.headers + 128 * 16 <= l.bytes);
        assert_eq!(QUEUE_BYTES, 16384);
    }

    #[test]
    fn flags() {
        let (mut q, d) = pair(8, Direction::Transmit);
        assert!(q.publish());
        d.memory.write(d.layout.used, &[1, 0]).unwrap();
        assert!(!q.publish());
        q.set_interrupt(false);
        assert_eq!(d.get(d.layout.avail), [1, 0]);
        q.set_interrupt(true);
        assert_eq!(d.get(d.layout.avail), [0, 0]);
    }

    proptest! {
        /// Chains are what was pushed, come back in any order, and once.
        #[test]
        fn chains(ops in proptest::collection::vec((0u8..3, any::<prop::sample::Index>()), 0..2000), log in 1u32..9, rx: bool) {
            let size = 1u16 << log;
            let (mut q, mut d) = pair(size, if rx { Direction::Receive } else { Direction::Transmit });
            let w = if rx { 2 } else { 0 };
            let (mut model, mut held) = (VecDeque::new(), Vec::new());
            let mut slot = 0u16;
            for (op, index) in ops {
                match op {
                    0 => {
                        prop_assert_eq!(q.room() + q.outstanding(), usize::from(size / 2));
                        if q.room() > 0 {
                            slot = (slot + 1) % 60000;
                            q.push(slot, u64::from(slot) * 2048, slot % 1500 + 1);
                            let _ = q.publish();
                            model.push_back(slot);
                        }
                    }
                    1 => if let Some((head, chain)) = d.take() {
                        let slot = model.pop_front().unwrap();
                        prop_assert_eq!(chain.len(), 2);
                        let header = PADDR + d.layout.headers as u64 + u64::from(head) / 2 * 16;
                        prop_assert_eq!(chain[0], (header, 12, 1 | w));
                        prop_assert_eq!(chain[1], (u64::from(slot) * 2048, u32::from(slot % 1500 + 1), w));
                        held.push((head, slot));
                    } else { prop_assert!(model.is_empty()); },
                    _ => {
                        if !held.is_empty() {
                            let (head, slot) = held.swap_remove(index.index(held.len()));
                            d.give(head.into(), 77);
                            prop_assert!(q.ready());
                            prop_assert_eq!(q.pop(), Some((slot, 77)));
                        }
                        prop_assert!(!q.ready());
                        prop_assert_eq!(q.pop(), None);
                    }
                }
            }
        }

        /// Whatever a device writes into the used ring, no slot comes back
        /// that is not outstanding.
        #[test]
        fn lies(ids in proptest::collection::vec((any::<u32>(), 0u32..20, any::<bool>()), 1..50)) {
            let (mut q, mut d) = pair(16, Direction::Receive);
            for slot in 0..8 { q.push(slot, 0, 1); }
            let mut seen = Vec::new();
            for (wild, tame, which) in ids {
                d.give(if which { tame } else { wild }, wild);
                while let Some((slot, _)) = q.pop() {
                    prop_assert!(slot < 8 && !seen.contains(&slot));
                    seen.push(slot);
                }
            }
        }
    }
}
