//! The queues and buffers that lead to and from the Ethernet driver.
//!
//! Every buffer has one owner at a time. What the driver returns is checked
//! against that: an offset that is not a buffer's, a buffer that was not out,
//! or a length beyond its end is counted and dropped.

use alloc::{vec, vec::Vec};

use smoltcp::wire::EthernetAddress;
use strait_ring::{
    SharedMemory,
    net_queue::{BUFFER_SIZE, Consumer, Descriptor, Producer},
};

/// The buffers of one data region and who owns each.
struct Buffers {
    memory: SharedMemory,
    /// Owned by the driver (or the device).
    out: Vec<bool>,
}

impl Buffers {
    fn new(memory: SharedMemory, capacity: u16) -> Self {
        let count = (memory.len() / BUFFER_SIZE).min(usize::from(capacity));
        Self { memory, out: vec![false; count] }
    }

    /// The buffer at `offset`, now ours again. `None` if the driver did not
    /// have it.
    #[inline]
    fn returned(&mut self, offset: u64) -> Option<u16> {
        let index = usize::try_from(offset).ok()?.checked_div(BUFFER_SIZE)?;
        if !offset.is_multiple_of(BUFFER_SIZE as u64) || !self.out.get(index).copied()? {
            return None;
        }
        self.out[index] = false;
        Some(index as u16)
    }

    #[inline]
    fn bytes(&mut self, index: u16, len: usize) -> Option<&mut [u8]> {
        if len > BUFFER_SIZE || *self.out.get(usize::from(index))? {
            return None;
        }
        // SAFETY: the buffer is ours by the protocol of the queues (it is not
        // out), and `&mut self` makes it ours alone in this program. The
        // driver maps the region read-only; the device writes only to buffers
        // that are out. A driver that programs the device otherwise can write
        // to any memory of the machine where there is no IOMMU, so nothing is
        // promised against that.
        unsafe { self.memory.exclusive(usize::from(index) * BUFFER_SIZE, len) }
    }

    #[inline]
    fn descriptor(&mut self, index: u16, len: u16) -> Descriptor {
        self.out[usize::from(index)] = true;
        Descriptor::new(u64::from(index) * BUFFER_SIZE as u64, len)
    }
}

/// The receiving half.
pub struct EthRx {
    free: Producer,
    active: Consumer,
    buffers: Buffers,
    /// Descriptors that made no sense.
    pub bad: u64,
}

/// A received frame, to be given back.
pub struct Received {
    index: u16,
    len: u16,
}

impl EthRx {
    /// All buffers of `data` go to the driver.
    pub fn new(free: Producer, active: Consumer, data: SharedMemory, capacity: u16) -> Self {
        let mut rx = Self { free, active, buffers: Buffers::new(data, capacity), bad: 0 };
        for index in 0..rx.buffers.out.len() as u16 {
            rx.give_back(Received { index, len: 0 });
        }
        rx
    }

    /// The next frame, if one came.
    #[inline]
    pub fn take(&mut self) -> Option<Received> {
        // Each turn of the loop consumes a descriptor, and the driver cannot
        // add more than the capacity before it is seen below.
        for _ in 0..64 {
            let descriptor = match self.active.take() {
                Ok(Some(d)) => d,
                Ok(None) => return None,
                Err(_) => {
                    self.bad += 1;
                    return None;
                }
            };
            match self.buffers.returned(descriptor.offset) {
                Some(index) if usize::from(descriptor.len) <= BUFFER_SIZE => {
                    return Some(Received { index, len: descriptor.len });
                }
                Some(index) => {
                    self.bad += 1;
                    self.give_back(Received { index, len: 0 });
                }
                None => self.bad += 1,
            }
        }
        None
    }

    /// The bytes of a frame.
    #[inline]
    pub fn bytes(&mut self, frame: &Received) -> Option<&mut [u8]> {
        self.buffers.bytes(frame.index, usize::from(frame.len))
    }

    /// Returns the buffer to the driver.
    #[inline]
    pub fn give_back(&mut self, frame: Received) {
        let descriptor = self.buffers.descriptor(frame.index, 0);
        // The queue has a place for each buffer; it is full only if the driver
        // broke its indices, and then the buffer is lost with the driver.
        if self.free.put(descriptor) != Ok(true) {
            self.bad += 1;
        }
    }

    /// Makes returned buffers visible to the driver. Returns whether it must be
    /// notified.
    pub fn flush(&mut self) -> bool {
        self.active.release();
        self.free.publish()
    }

    /// Before sleeping: asks to be notified of frames. Returns whether some
    /// came already.
    pub fn arm(&mut self) -> bool {
        self.active.request_signal();
        if self.active.available().unwrap_or(0) == 0 {
            return false;
        }
        self.active.cancel_signal();
        true
    }
}

/// The sending half.
pub struct EthTx {
    active: Producer,
    free: Consumer,
    buffers: Buffers,
    spare: Vec<u16>,
    pub mac: EthernetAddress,
    /// Largest IP packet, and how large it may be made.
    pub mtu: usize,
    /// See `mtu`.
    pub most: usize,
    /// Descriptors that made no sense.
    pub bad: u64,
}

/// A buffer of ours that will be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    index: u16,
    len: u16,
}

impl EthTx {
    pub fn new(
        active: Producer,
        mut free: Consumer,
        data: SharedMemory,
        capacity: u16,
        mac: EthernetAddress,
        mtu: usize,
    ) -> Self {
        let buffers = Buffers::new(data, capacity);
        let spare = (0..buffers.out.len() as u16).rev().collect();
        // Returned buffers are looked for when they are needed.
        free.cancel_signal();
        Self { active, free, buffers, spare, mac, mtu, most: mtu, bad: 0 }
    }

    #[cold]
    fn collect(&mut self) {
        for _ in 0..self.buffers.out.len() {
            match self.free.take() {
                Ok(Some(descriptor)) => match self.buffers.returned(descriptor.offset) {
                    Some(index) => self.spare.push(index),
                    None => self.bad += 1,
                },
                Ok(None) => break,
                Err(_) => {
                    self.bad += 1;
                    break;
                }
            }
        }
        self.free.release();
    }

    /// Buffers that can be allocated now.
    #[inline]
    pub fn room(&mut self) -> usize {
        if self.spare.is_empty() {
            self.collect();
        }
        self.spare.len()
    }

    /// Whether there are `frames` buffers.
    pub fn room_for(&mut self, frames: usize) -> bool {
        if self.spare.len() < frames {
            self.collect();
        }
        self.spare.len() >= frames
    }

    /// Buffers there are, wherever they are.
    pub fn buffers(&self) -> usize {
        self.buffers.out.len()
    }

    /// A buffer for a frame of `len` bytes.
    #[inline]
    pub fn alloc(&mut self, len: usize) -> Option<Frame> {
        if len > BUFFER_SIZE || self.room() == 0 {
            return None;
        }
        Some(Frame { index: self.spare.pop()?, len: len as u16 })
    }

    /// Its bytes.
    #[inline]
    pub fn bytes(&mut self, frame: &Frame) -> Option<&mut [u8]> {
        self.buffers.bytes(frame.index, usize::from(frame.len))
    }

    /// Does not send it after all.
    #[inline]
    pub fn give_back(&mut self, frame: Frame) {
        self.spare.push(frame.index);
    }

    /// Hands it to the driver; see [`flush`](Self::flush).
    #[inline]
    pub fn submit(&mut self, frame: Frame) {
        let descriptor = self.buffers.descriptor(frame.index, frame.len);
        if self.active.put(descriptor) != Ok(true) {
            self.bad += 1;
        }
    }

    /// Makes submitted frames visible to the driver. Returns whether it must
    /// be notified.
    pub fn flush(&mut self) -> bool {
        self.active.publish()
    }

    /// Asks to be notified when buffers come back. Returns whether there are
    /// some already.
    pub fn want_buffers(&mut self) -> bool {
        self.free.request_signal();
        if self.room() == 0 {
            return false;
        }
        self.free.cancel_signal();
        true
    }
}
