//! A small contiguous byte ring, for logs.
//!
//! ```text
//! offset 0  u32 tail, 4 u32 head, 8 u32 signalled (see `signal`), 12 u32 lost
//!       64  data; the capacity is the largest power of two that fits
//! ```
//!
//! What does not fit is dropped and counted: a log never blocks its writer.

use crate::{
    Misbehaved, SharedMemory,
    signal::Signal,
    sync::{AtomicU32, Ordering},
};

const HEADER: usize = 64;

struct Ring {
    tail: &'static AtomicU32,
    head: &'static AtomicU32,
    signalled: &'static AtomicU32,
    lost: &'static AtomicU32,
    data: SharedMemory,
    mask: u32,
}

impl Ring {
    fn new(memory: SharedMemory) -> Option<Self> {
        let capacity = 1usize << memory.len().checked_sub(HEADER)?.checked_ilog2()?.min(30);
        Some(Self {
            tail: memory.cell(0)?,
            head: memory.cell(4)?,
            signalled: memory.cell(8)?,
            lost: memory.cell(12)?,
            data: memory.slice(HEADER, capacity)?,
            mask: capacity as u32 - 1,
        })
    }
}

/// The end that writes.
pub struct Writer {
    ring: Ring,
    tail: u32,
}

/// The end that reads.
pub struct Reader {
    ring: Ring,
    head: u32,
}

impl Writer {
    /// Writer of the ring in `memory`; `None` if it is too small.
    pub fn new(memory: SharedMemory) -> Option<Self> {
        let ring = Ring::new(memory)?;
        let tail = ring.tail.load(Ordering::Relaxed);
        Some(Self { ring, tail })
    }

    /// Appends all of `bytes`, or nothing if they do not fit. Returns whether
    /// the reader must be notified.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        let used = self.tail.wrapping_sub(self.ring.head.load(Ordering::Acquire)) as usize;
        let capacity = self.ring.mask as usize + 1;
        // A reader that lies about its head harms only its own view.
        if used > capacity || bytes.len() > capacity - used {
            self.ring.lost.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let at = (self.tail & self.ring.mask) as usize;
        let (a, b) = bytes.split_at(bytes.len().min(capacity - at));
        if self.ring.data.write(at, a).is_none() || self.ring.data.write(0, b).is_none() {
            return false;
        }
        self.tail = self.tail.wrapping_add(bytes.len() as u32);
        self.ring.tail.store(self.tail, Ordering::Release);
        Signal(self.ring.signalled).raise()
    }
}

impl Reader {
    /// Reader of the ring in `memory`; `None` if it is too small.
    pub fn new(memory: SharedMemory) -> Option<Self> {
        let ring = Ring::new(memory)?;
        let head = ring.head.load(Ordering::Relaxed);
        Some(Self { ring, head })
    }

    /// Moves up to `into.len()` bytes into `into`; returns how many. On
    /// [`Misbehaved`] the ring is taken as empty from here on.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, Misbehaved> {
        let tail = self.ring.tail.load(Ordering::Acquire);
        let used = tail.wrapping_sub(self.head) as usize;
        let capacity = self.ring.mask as usize + 1;
        if used > capacity {
            self.head = tail;
            self.ring.head.store(tail, Ordering::Release);
            return Err(Misbehaved);
        }
        let n = used.min(into.len());
        let at = (self.head & self.ring.mask) as usize;
        let (a, b) = into[..n].split_at_mut(n.min(capacity - at));
        self.ring.data.read(at, a).ok_or(Misbehaved)?;
        self.ring.data.read(0, b).ok_or(Misbehaved)?;
        self.head = self.head.wrapping_add(n as u32);
        self.ring.head.store(self.head, Ordering::Release);
        Ok(n)
    }

    /// How many writes were dropped, by the writer's word.
    pub fn lost(&self) -> u32 {
        self.ring.lost.load(Ordering::Relaxed)
    }

    /// Asks to be notified of the next bytes; read once more afterwards.
    pub fn request_signal(&mut self) {
        Signal(self.ring.signalled).arm();
    }

    /// Asks not to be notified.
    pub fn cancel_signal(&mut self) {
        Signal(self.ring.signalled).disarm();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::memory::leak_for_tests;

    #[test]
    fn whole_writes_or_none() {
        let m = leak_for_tests(64 + 64);
        let (mut w, mut r) = (Writer::new(m).unwrap(), Reader::new(m).unwrap());
        assert!(w.write(&[1; 40]));
        assert!(!w.write(&[2; 40]));
        let mut b = [0; 100];
        assert_eq!(r.read(&mut b), Ok(40));
        assert_eq!(r.lost(), 1);
        w.write(&[3; 64]);
        assert_eq!(r.read(&mut b), Ok(64));
        assert_eq!(b[..64], [3; 64]);
        m.cell::<AtomicU32>(0).unwrap().store(9999, Ordering::Relaxed);
        assert_eq!(r.read(&mut b), Err(Misbehaved));
        assert_eq!(r.read(&mut b), Ok(0));
    }
}
