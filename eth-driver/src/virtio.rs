//! virtio-net (virtio 1.2, 5.1) over any transport of `virtio-drivers`, modern
//! or legacy.
//!
//! Each frame is two chained descriptors: the virtio header, in memory of the
//! driver alone, and the frame, in the data region shared with the server. So
//! buffers are plain frames for both sides, and what a header may carry later
//! (checksum and segmentation offload: `flags`, `csum_start`, `gso_size`; the
//! bits to accept are VIRTIO_NET_F_CSUM and following in [`Features`]) never
//! touches the server's memory.
//!
//! Not negotiated on purpose: VIRTIO_F_EVENT_IDX, with which the crate's
//! `should_notify` misses the kick of a batch that crosses the 16-bit wrap and
//! its interrupt suppression does nothing; VIRTIO_F_INDIRECT_DESC, which
//! allocates for each frame.
//!
//! The device is not trusted to name buffers: the identifier of a used chain
//! must be the head of one that is outstanding, else the queue is given up
//! (nothing that follows could be told apart), and a used length is checked.

#![allow(unsafe_code)]

use alloc::boxed::Box;
use core::ptr::NonNull;
use core::slice;

use strait_ring::SharedMemory;
use strait_ring::net_queue::BUFFER_SIZE;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{DeviceType, Transport};
use virtio_drivers::{BufferDirection, Error, Hal, PAGE_SIZE};

use crate::device::{NetDevice, Received};

const RX: u16 = 0;
const TX: u16 = 1;

/// Descriptors of each queue; a frame takes two.
const QUEUE_SIZE: usize = 256;
const CHAINS: usize = QUEUE_SIZE / 2;

/// Length of the virtio header, and of the legacy one, which ends before
/// `num_buffers`.
const HEADER: usize = 12;
const HEADER_LEGACY: usize = 10;
/// Distance of two headers in memory.
const HEADER_STRIDE: usize = 16;

/// Marks a descriptor that is not the head of an outstanding chain.
const NONE: u16 = u16::MAX;

bitflags::bitflags! {
    /// The feature bits that the driver accepts.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Features: u64 {
        const MAC = 1 << 5;
        const STATUS = 1 << 16;
        const VERSION_1 = 1 << 32;
    }
}

/// Offsets in the configuration space.
const CONFIG_MAC: usize = 0;
const CONFIG_STATUS: usize = 6;
const STATUS_LINK_UP: u8 = 1;

/// One direction: a queue, its headers and its data region.
struct Direction<H: Hal> {
    /// On the heap, as it holds 4 KiB.
    queue: Box<VirtQueue<H, QUEUE_SIZE>>,
    index: u16,
    headers: NonNull<u8>,
    header_len: usize,
    data: SharedMemory,
    /// By head descriptor: the chain's buffer and length, or [`NONE`].
    chains: Box<[(u16, u16); QUEUE_SIZE]>,
    pending: usize,
    /// The device broke the rules; nothing more is taken from it.
    broken: bool,
}

impl<H: Hal> Direction<H> {
    fn new<T: Transport>(transport: &mut T, index: u16, header_len: usize, data: SharedMemory) -> Result<Self, Error> {
        let queue = Box::new(VirtQueue::new(transport, index, false, false)?);
        let pages = (QUEUE_SIZE * HEADER_STRIDE).div_ceil(PAGE_SIZE);
        let (paddr, headers) = H::dma_alloc(pages, BufferDirection::Both);
        if paddr == 0 {
            return Err(Error::DmaError);
        }
        Ok(Self {
            queue,
            index,
            headers,
            header_len,
            data,
            chains: Box::new([(NONE, 0); QUEUE_SIZE]),
            pending: 0,
            broken: false,
        })
    }

    fn room(&self) -> usize {
        if self.broken { 0 } else { CHAINS - self.pending }
    }

    /// The header that goes with a buffer.
    fn header_of(&self, slot: u16) -> &'static mut [u8] {
        let at = usize::from(slot) % QUEUE_SIZE * HEADER_STRIDE;
        // SAFETY: inside the pages allocated in `new` (the remainder is below
        // QUEUE_SIZE), which live as long as the program, and zeroed there.
        // Headers of two buffers in flight may be the same bytes: for sending
        // all are zero and only read; for receiving the device writes what
        // nobody reads. No reference outlives the call it is made for.
        unsafe { slice::from_raw_parts_mut(self.headers.as_ptr().add(at), self.header_len) }
    }

    /// The first `len` bytes of a buffer.
    fn frame(&self, slot: u16, len: usize) -> Option<&'static mut [u8]> {
        // SAFETY: the driver holds this buffer (`Slots` lets each be taken
        // once) and only forms the slice to name it to the queue, which passes
        // its address to `Hal::share` and neither reads nor writes it.
        let bytes = unsafe { self.data.exclusive(usize::from(slot) * BUFFER_SIZE, len) }?;
        // SAFETY: the region stays mapped until the program ends.
        Some(unsafe { slice::from_raw_parts_mut(bytes.as_mut_ptr(), len) })
    }

    fn add(&mut self, slot: u16, len: u16) {
        if self.room() == 0 {
            return;
        }
        let Some(frame) = self.frame(slot, len.into()) else { return };
        let header = self.header_of(slot);
        // SAFETY: header and frame stay valid for ever and are not accessed
        // until `take` has got the chain back.
        let head = unsafe {
            if self.index == RX {
                self.queue.add(&[], &mut [header, frame])
            } else {
                self.queue.add(&[header, frame], &mut [])
            }
        };
        if let Ok(head) = head {
            self.chains[usize::from(head)] = (slot, len);
            self.pending += 1;
        }
    }

    /// Takes a chain that the device has used: its buffer and how many bytes
    /// the device says it wrote.
    fn take(&mut self) -> Option<(u16, u32)> {
        if self.broken {
            return None;
        }
        let head = self.queue.peek_used()?;
        let (slot, len) = self.chains.get(usize::from(head)).copied().unwrap_or((NONE, 0));
        let frame = if slot == NONE { None } else { self.frame(slot, len.into()) };
        let Some(frame) = frame else {
            self.broken = true;
            return None;
        };
        let header = self.header_of(slot);
        // SAFETY: the buffers that `add` put into this chain.
        let used = unsafe {
            if self.index == RX {
                self.queue.pop_used(head, &[], &mut [header, frame])
            } else {
                self.queue.pop_used(head, &[header, frame], &mut [])
            }
        };
        let Ok(used) = used else {
            // The device changed the entry between the two looks.
            self.broken = true;
            return None;
        };
        self.chains[usize::from(head)] = (NONE, 0);
        self.pending -= 1;
        Some((slot, used))
    }
}

/// A virtio-net device.
pub struct VirtioNet<H: Hal, T: Transport> {
    transport: T,
    rx: Direction<H>,
    tx: Direction<H>,
    mac: [u8; 6],
    has_status: bool,
}

impl<H: Hal, T: Transport> VirtioNet<H, T> {
    /// Starts the device. `rx_data` and `tx_data` are the data regions, whose
    /// physical addresses `H` knows.
    pub fn new(mut transport: T, rx_data: SharedMemory, tx_data: SharedMemory) -> Result<Self, Error> {
        if transport.device_type() != DeviceType::Network {
            return Err(Error::Unsupported);
        }
        let features = transport.begin_init(Features::all());
        let header_len = if features.contains(Features::VERSION_1) { HEADER } else { HEADER_LEGACY };
        let mut mac = [0; 6];
        if features.contains(Features::MAC) {
            for (i, octet) in mac.iter_mut().enumerate() {
                *octet = transport.read_config_space(CONFIG_MAC + i)?;
            }
        } else {
            // Locally administered; there is one device.
            mac = [0x02, 0, 0, 0, 0, 1];
        }
        let rx = Direction::new(&mut transport, RX, header_len, rx_data)?;
        let tx = Direction::new(&mut transport, TX, header_len, tx_data)?;
        transport.finish_init();
        Ok(Self { transport, rx, tx, mac, has_status: features.contains(Features::STATUS) })
    }
}

impl<H: Hal, T: Transport> NetDevice for VirtioNet<H, T> {
    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn link_up(&self) -> bool {
        // Without the feature the link is taken as up (virtio 1.2, 5.1.4.2).
        !self.has_status || self.transport.read_config_space::<u8>(CONFIG_STATUS).is_ok_and(|s| s & STATUS_LINK_UP != 0)
    }

    fn ack_interrupt(&mut self) {
        self.transport.ack_interrupt();
    }

    fn rx_room(&self) -> usize {
        self.rx.room()
    }

    fn rx_posted(&self) -> usize {
        self.rx.pending
    }

    fn post_rx(&mut self, slot: u16) {
        self.rx.add(slot, BUFFER_SIZE as u16);
    }

    fn poll_rx(&mut self) -> Option<Received> {
        let (slot, used) = self.rx.take()?;
        let len = (used as usize).checked_sub(self.rx.header_len).filter(|n| *n <= BUFFER_SIZE).unwrap_or(0);
        Some(Received { slot, len: len as u16 })
    }

    fn rx_ready(&self) -> bool {
        !self.rx.broken && self.rx.queue.can_pop()
    }

    fn tx_room(&self) -> usize {
        self.tx.room()
    }

    fn submit_tx(&mut self, slot: u16, len: u16) {
        self.tx.add(slot, len);
    }

    fn poll_tx(&mut self) -> Option<u16> {
        self.tx.take().map(|(slot, _)| slot)
    }

    fn tx_ready(&self) -> bool {
        !self.tx.broken && self.tx.queue.can_pop()
    }

    fn tx_pending(&self) -> usize {
        self.tx.pending
    }

    fn kick(&mut self, rx: bool, tx: bool) {
        for (wanted, direction) in [(rx, &self.rx), (tx, &self.tx)] {
            if wanted && direction.queue.should_notify() {
                self.transport.notify(direction.index);
            }
        }
    }

    fn set_rx_interrupt(&mut self, enabled: bool) {
        self.rx.queue.set_dev_notify(enabled);
    }

    fn set_tx_interrupt(&mut self, enabled: bool) {
        self.tx.queue.set_dev_notify(enabled);
    }
}
