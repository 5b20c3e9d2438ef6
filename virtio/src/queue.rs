//! A split virtqueue (virtio 1.2, 2.7) whose chains all have the same number of
//! descriptors, `PARTS`, a power of two.
//!
//! Because of that chain `n` is the descriptors from `PARTS * n` on, for ever,
//! and its links are written once, at the start. A driver writes what stays the
//! same in each request then too, and for a request only what changes: for a
//! frame that is three stores. A batch is made visible, and the device asked
//! whether it wants to be told, once.
//!
//! Each chain has `8 * PARTS` bytes of the queue's own memory for headers and
//! the like ([`Virtqueue::own`]). Other buffers are named by physical address;
//! the driver needs no mapping of them.
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

/// Most chains: no driver has fewer than two descriptors in one.
const CHAINS: usize = MAX / 2;

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
    /// The chains' own bytes, 8 for each descriptor.
    pub own: usize,
    /// All of it.
    pub bytes: usize,
}

impl Layout {
    /// The layout for `size` descriptors.
    pub const fn new(size: u16) -> Self {
        let n = size as usize;
        let avail = n * DESC_BYTES;
        let used = (avail + 2 * (n + 3)).next_multiple_of(PAGE);
        let own = (used + 8 * n + 6).next_multiple_of(64);
        Self { avail, used, own, bytes: (own + 8 * n).next_multiple_of(PAGE) }
    }
}

/// Bytes that a queue takes at most. The rings are overlaid as arrays of
/// [`MAX_SIZE`] entries, so every queue gets that much.
pub const QUEUE_BYTES: usize = Layout::new(MAX_SIZE).bytes;

/// One part of a chain: `len` bytes at the physical address `paddr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Where.
    pub paddr: u64,
    /// How many.
    pub len: u32,
    /// Whether the device writes them; it reads them otherwise. Those come
    /// first (virtio 1.2, 2.7.4.2).
    pub device_writes: bool,
}

impl Part {
    /// Bytes that the device reads.
    pub const fn read(paddr: u64, len: u32) -> Self {
        Self { paddr, len, device_writes: false }
    }

    /// Bytes that the device writes.
    pub const fn write(paddr: u64, len: u32) -> Self {
        Self { paddr, len, device_writes: true }
    }
}

/// One queue. A request is known to the caller by a number, its token.
pub struct Virtqueue<const PARTS: usize> {
    descriptors: &'static [AtomicU64; 2 * MAX],
    avail_flags: &'static AtomicU16,
    avail_index: &'static AtomicU16,
    avail_ring: &'static [AtomicU16; MAX],
    used_flags: &'static AtomicU16,
    used_index: &'static AtomicU16,
    used_ring: &'static [AtomicU32; 2 * MAX],
    mask: u16,
    /// By chain: the token it carries, or [`NONE`].
    tokens: Box<[u16; CHAINS]>,
    /// Chains that are not outstanding.
    free: Box<[u8; CHAINS]>,
    free_len: usize,
    outstanding: usize,
    next_avail: u16,
    next_used: u16,
    used_seen: u16,
    broken: bool,
    own: SharedMemory,
    own_paddr: u64,
}

/// A chain that [`Virtqueue::begin`] gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain(usize);

/// A request that the device is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// The caller's number.
    pub token: u16,
    /// How many bytes the device says that it wrote: anything.
    pub len: u32,
    /// Its chain, whose own bytes hold what the device wrote there until it
    /// is used again.
    pub chain: Chain,
}

impl<const PARTS: usize> Virtqueue<PARTS> {
    /// Bytes of its own that each chain has.
    pub const OWN: usize = 8 * PARTS;

    /// A queue of `size` descriptors (a power of two from `PARTS` to
    /// [`MAX_SIZE`]) in `memory`, which is at the physical address `paddr`.
    /// `None` if it does not fit.
    pub fn new(memory: SharedMemory, paddr: u64, size: u16) -> Option<Self> {
        const { assert!(PARTS.is_power_of_two() && PARTS >= 2 && PARTS <= MAX) };
        if !size.is_power_of_two() || !(PARTS..=MAX).contains(&usize::from(size)) || memory.len() < QUEUE_BYTES {
            return None;
        }
        let layout = Layout::new(size);
        for at in (0..QUEUE_BYTES).step_by(PAGE) {
            memory.write(at, &[0; PAGE])?;
        }
        let chains = usize::from(size) / PARTS;
        let mut free = Box::new([0; CHAINS]);
        for (chain, place) in free.iter_mut().enumerate().take(chains) {
            *place = chain as u8;
        }
        Some(Self {
            descriptors: memory.cell(0)?,
            avail_flags: memory.cell(layout.avail)?,
            avail_index: memory.cell(layout.avail + 2)?,
            avail_ring: memory.cell(layout.avail + 4)?,
            used_flags: memory.cell(layout.used)?,
            used_index: memory.cell(layout.used + 2)?,
            used_ring: memory.cell(layout.used + 4)?,
            mask: size - 1,
            tokens: Box::new([NONE; CHAINS]),
            free,
            free_len: chains,
            outstanding: 0,
            next_avail: 0,
            next_used: 0,
            used_seen: 0,
            broken: false,
            own: memory.slice(layout.own, Self::OWN * chains)?,
            own_paddr: paddr + layout.own as u64,
        })
    }

    /// All chains, to write into them what stays the same. Only before the
    /// first request.
    pub fn chains(&self) -> impl Iterator<Item = Chain> + use<PARTS> {
        (0..(usize::from(self.mask) + 1) / PARTS).map(Chain)
    }

    /// The chain's own bytes: offset in [`own_memory`](Self::own_memory), and
    /// physical address.
    #[inline]
    pub fn own(&self, chain: Chain) -> (usize, u64) {
        let offset = chain.0 * Self::OWN;
        (offset, self.own_paddr + offset as u64)
    }

    /// The memory that all chains' own bytes lie in.
    pub fn own_memory(&self) -> SharedMemory {
        self.own
    }

    /// Sets descriptor number `index` (below `PARTS`) of the chain; `last`: the
    /// chain ends with it, whatever follows.
    #[inline]
    pub fn set(&self, chain: Chain, index: usize, part: Part, last: bool) {
        let at = (chain.0 * PARTS + index % PARTS) % MAX;
        let flags = if part.device_writes { FLAG_WRITE } else { 0 } | if last { 0 } else { FLAG_NEXT };
        let next = if last { 0 } else { at as u64 + 1 };
        self.descriptors[2 * at].store(part.paddr, Ordering::Relaxed);
        self.descriptors[2 * at + 1].store(u64::from(part.len) | flags << 32 | next << 48, Ordering::Relaxed);
    }

    /// Requests that can be begun now.
    #[inline]
    pub fn room(&self) -> usize {
        if self.broken { 0 } else { self.free_len }
    }

    /// Requests that the device has.
    #[inline]
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Whether the device named a chain that it did not have. Nothing comes
    /// back any more.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Takes a chain for a request that is known as `token` (not 65,535); the
    /// caller then sets what changes in it. The device sees it after
    /// [`publish`](Self::publish). `None` without [`room`](Self::room).
    #[inline]
    pub fn begin(&mut self, token: u16) -> Option<Chain> {
        if self.room() == 0 {
            return None;
        }
        self.free_len -= 1;
        let chain = usize::from(self.free[self.free_len % CHAINS]) % CHAINS;
        self.tokens[chain] = token;
        self.avail_ring[usize::from(self.next_avail & self.mask) % MAX]
            .store((PARTS * chain) as u16, Ordering::Relaxed);
        self.next_avail = self.next_avail.wrapping_add(1);
        self.outstanding += 1;
        Some(Chain(chain))
    }

    /// Makes what was begun visible; returns whether the device wants to be
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

    /// Takes back a request that the device is done with.
    #[inline]
    pub fn pop(&mut self) -> Option<Done> {
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
        let chain = id as usize / PARTS % CHAINS;
        let token = self.tokens[chain];
        // What is beyond the queue's size was never begun, so has no token.
        if !id.is_multiple_of(PARTS as u32) || id >= MAX as u32 || token == NONE {
            self.broken = true;
            return None;
        }
        self.tokens[chain] = NONE;
        self.free[self.free_len % CHAINS] = chain as u8;
        self.free_len += 1;
        self.outstanding -= 1;
        self.next_used = self.next_used.wrapping_add(1);
        Some(Done { token, len, chain: Chain(chain) })
    }

    /// Whether requests that the device is done with raise the interrupt. After
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
    type Raw = (u64, u32, u16);

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
        fn take(&mut self) -> Option<(u16, Vec<Raw>)> {
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

    fn pair<const PARTS: usize>(size: u16) -> (Virtqueue<PARTS>, Device) {
        let memory = leak_for_tests(QUEUE_BYTES);
        let queue = Virtqueue::new(memory, PADDR, size).unwrap();
        (queue, Device { memory, layout: Layout::new(size), size, avail: 0, used: 0 })
    }

    #[test]
    fn layout_as_legacy_devices_expect() {
        let l = Layout::new(256);
        assert_eq!((l.avail, l.used), (4096, 8192));
        assert!(l.used + 6 + 8 * 256 <= l.own && l.own + 256 * 8 <= l.bytes);
        assert_eq!(QUEUE_BYTES, 16384);
    }

    #[test]
    fn flags() {
        let (mut q, d) = pair::<2>(8);
        assert!(q.publish());
        d.memory.write(d.layout.used, &[1, 0]).unwrap();
        assert!(!q.publish());
        q.set_interrupt(false);
        assert_eq!(d.get(d.layout.avail), [1, 0]);
        q.set_interrupt(true);
        assert_eq!(d.get(d.layout.avail), [0, 0]);
    }

    #[test]
    fn sizes_without_sense_are_refused() {
        let memory = leak_for_tests(QUEUE_BYTES);
        for size in [0, 1, 2, 3, 6, 257, 512] {
            assert!(Virtqueue::<4>::new(memory, PADDR, size).is_none(), "{size}");
        }
        assert!(Virtqueue::<4>::new(leak_for_tests(QUEUE_BYTES - 64), PADDR, 8).is_none());
        assert_eq!(Virtqueue::<4>::new(memory, PADDR, 4).unwrap().room(), 1);
    }

    /// Chains are what was begun, come back in any order, and once. The last
    /// part of every other chain is left out.
    fn behaves<const PARTS: usize>(log: u32, ops: Vec<(u8, prop::sample::Index)>) -> Result<(), TestCaseError> {
        let size = (PARTS as u16) << log;
        let (mut q, mut d) = pair::<PARTS>(size);
        let (mut model, mut held) = (VecDeque::new(), Vec::new());
        let mut token = 0u16;
        let parts = |token: u16| if token.is_multiple_of(2) { PARTS } else { PARTS - 1 };
        for (op, index) in ops {
            match op {
                0 => {
                    prop_assert_eq!(q.room() + q.outstanding(), usize::from(size) / PARTS);
                    token = (token + 1) % 60000;
                    let Some(chain) = q.begin(token) else {
                        prop_assert_eq!(q.room(), 0);
                        continue;
                    };
                    let (offset, paddr) = q.own(chain);
                    q.own_memory().write(offset, &token.to_le_bytes()).unwrap();
                    q.set(chain, 0, Part::read(paddr, 2), parts(token) == 1);
                    for n in 1..parts(token) {
                        q.set(chain, n, Part::write(u64::from(token) * 2048, n as u32), n + 1 == parts(token));
                    }
                    let _ = q.publish();
                    model.push_back(token);
                }
                1 => {
                    if let Some((head, chain)) = d.take() {
                        let token = model.pop_front().unwrap();
                        prop_assert_eq!(chain.len(), parts(token));
                        let more = u16::from(chain.len() > 1);
                        prop_assert_eq!((chain[0].1, chain[0].2), (2, more));
                        let own = (chain[0].0 - PADDR) as usize;
                        prop_assert_eq!(own, d.layout.own + usize::from(head) * 8);
                        prop_assert_eq!(u16::from_le_bytes(d.get(own)), token);
                        for (n, part) in chain.iter().enumerate().skip(1) {
                            let more = u16::from(n + 1 < chain.len());
                            prop_assert_eq!(*part, (u64::from(token) * 2048, n as u32, 2 | more));
                        }
                        held.push((head, token));
                    } else {
                        prop_assert!(model.is_empty());
                    }
                }
                _ => {
                    if !held.is_empty() {
                        let (head, token) = held.swap_remove(index.index(held.len()));
                        d.give(head.into(), 77);
                        prop_assert!(q.ready());
                        let done = q.pop().unwrap();
                        prop_assert_eq!((done.token, done.len), (token, 77));
                    }
                    prop_assert!(!q.ready());
                    prop_assert_eq!(q.pop(), None);
                }
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn chains(ops in proptest::collection::vec((0u8..3, any::<prop::sample::Index>()), 0..2000), log in 0u32..6, long: bool) {
            if long { behaves::<4>(log, ops)? } else { behaves::<2>(log, ops)? }
        }

        /// Whatever a device writes into the used ring, no token comes back
        /// that is not outstanding.
        #[test]
        fn lies(ids in proptest::collection::vec((any::<u32>(), 0u32..20, any::<bool>()), 1..50)) {
            let (mut q, mut d) = pair::<2>(16);
            for token in 0..8 { q.begin(token); }
            let mut seen = Vec::new();
            for (wild, tame, which) in ids {
                d.give(if which { tame } else { wild }, wild);
                while let Some(done) = q.pop() {
                    prop_assert!(done.token < 8 && !seen.contains(&done.token));
                    seen.push(done.token);
                }
            }
        }
    }
}
