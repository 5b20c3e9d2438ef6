//! virtio-blk (virtio 1.2, 5.2) over any transport of `virtio-drivers`, modern
//! or legacy.
//!
//! A request is a chain of a header, the data and a status byte. Header and
//! status lie in memory of the driver alone, the data in the shared region,
//! which is named by physical address and not mapped here: that is why the
//! queue is `strait_virtio`'s, which eth_driver uses too, and not the `VirtIOBlk`
//! of virtio-drivers. That one wants `&mut [u8]` of memory that the client may
//! write at any time, and its flush waits.
//!
//! The device is not trusted to keep to its queue (`strait_virtio`), but to
//! write only where it is told: there is no IOMMU.

use core::fmt;

use alloc::collections::VecDeque;
use strait_abi::blk::SECTOR;
use strait_ring::SharedMemory;
use strait_virtio::queue::{Part, QUEUE_BYTES, Virtqueue};
use virtio_drivers::transport::{DeviceType, Transport};

use crate::device::{BlockDevice, Operation};

const QUEUE: u16 = 0;

/// A header: u32 type, u32 zero, u64 sector.
const HEADER: usize = 16;
const STATUS_AT: usize = HEADER;
const TYPE_IN: u32 = 0;
const TYPE_OUT: u32 = 1;
const TYPE_FLUSH: u32 = 4;
const STATUS_OK: u8 = 0;
/// What no device answers.
const STATUS_NONE: u8 = 0xff;

/// Offset in the configuration space: the size in sectors of 512 bytes.
const CONFIG_CAPACITY: usize = 0;

/// Bytes of memory that the driver needs for itself.
pub const DRIVER_BYTES: usize = QUEUE_BYTES;

bitflags::bitflags! {
    /// The feature bits that the driver accepts.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Features: u64 {
        const RO = 1 << 5;
        const FLUSH = 1 << 9;
        const VERSION_1 = 1 << 32;
    }
}

/// Why a device does not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartError {
    /// It is another kind of device.
    NotBlock,
    /// The driver's memory has less than [`DRIVER_BYTES`] bytes.
    NoMemory,
    /// The device has no usable queue.
    NoQueue,
    /// Its configuration cannot be read.
    NoConfiguration,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBlock => write!(f, "it is no block device"),
            Self::NoMemory => write!(f, "the driver's memory needs {DRIVER_BYTES} bytes; enlarge blk_driver_dma"),
            Self::NoQueue => write!(f, "it has no usable queue"),
            Self::NoConfiguration => write!(f, "its configuration cannot be read"),
        }
    }
}

/// Memory for the driver's queue, and where data is.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Memory of the driver and the device alone.
    pub own: SharedMemory,
    /// Its physical address, a multiple of 4096.
    pub own_paddr: u64,
    /// Physical address of the data region.
    pub data_paddr: u64,
}

/// Header, data, status, and one place that stays empty.
type Queue = Virtqueue<4>;

/// A virtio-blk device.
pub struct VirtioBlk<T> {
    transport: T,
    queue: Queue,
    data: u64,
    capacity: u64,
    read_only: bool,
    /// Whether the device has a cache that is flushed on request.
    has_cache: bool,
    /// Flushes that there was nothing to do for.
    flushed: VecDeque<u16>,
}

impl<T: Transport> VirtioBlk<T> {
    /// Starts the device.
    pub fn new(mut transport: T, memory: Memory) -> Result<Self, StartError> {
        if transport.device_type() != DeviceType::Block {
            return Err(StartError::NotBlock);
        }
        let features = transport.begin_init(Features::all());
        let word = |at| transport.read_config_space::<u32>(at).map_err(|_| StartError::NoConfiguration);
        let capacity = u64::from(word(CONFIG_CAPACITY)?) | u64::from(word(CONFIG_CAPACITY + 4)?) << 32;
        let own = memory.own.slice(0, QUEUE_BYTES).ok_or(StartError::NoMemory)?;
        let queue: Queue =
            strait_virtio::start(&mut transport, QUEUE, own, memory.own_paddr).ok_or(StartError::NoQueue)?;
        for chain in queue.chains() {
            queue.set(chain, 0, Part::read(queue.own(chain).1, HEADER as u32), false);
        }
        transport.finish_init();
        Ok(Self {
            transport,
            queue,
            data: memory.data_paddr,
            capacity,
            read_only: features.contains(Features::RO),
            has_cache: features.contains(Features::FLUSH),
            flushed: VecDeque::new(),
        })
    }
}

impl<T: Transport> BlockDevice for VirtioBlk<T> {
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn ack_interrupt(&mut self) {
        self.transport.ack_interrupt();
    }

    fn broken(&self) -> bool {
        self.queue.is_broken()
    }

    fn room(&self) -> usize {
        self.queue.room()
    }

    fn submit(&mut self, token: u16, operation: Operation) {
        let data = |offset: u32, count: u32| (self.data + u64::from(offset), count * SECTOR as u32);
        let (kind, sector, data) = match operation {
            Operation::Read { sector, offset, count } => {
                let (paddr, len) = data(offset, count);
                (TYPE_IN, sector, Some(Part::write(paddr, len)))
            }
            Operation::Write { sector, offset, count } => {
                let (paddr, len) = data(offset, count);
                (TYPE_OUT, sector, Some(Part::read(paddr, len)))
            }
            // Without a cache, what is written is written.
            Operation::Flush if !self.has_cache => return self.flushed.push_back(token),
            Operation::Flush => (TYPE_FLUSH, 0, None),
        };
        let Some(chain) = self.queue.begin(token) else { return };
        let (offset, paddr) = self.queue.own(chain);
        let mut own = [0; HEADER + 1];
        own[..4].copy_from_slice(&kind.to_le_bytes());
        own[8..16].copy_from_slice(&sector.to_le_bytes());
        own[STATUS_AT] = STATUS_NONE;
        // Inside by construction.
        let _ = self.queue.own_memory().write(offset, &own);
        let status = Part::write(paddr + STATUS_AT as u64, 1);
        match data {
            Some(data) => {
                self.queue.set(chain, 1, data, false);
                self.queue.set(chain, 2, status, true);
            }
            None => self.queue.set(chain, 1, status, true),
        }
    }

    fn poll(&mut self) -> Option<(u16, bool)> {
        if let Some(token) = self.flushed.pop_front() {
            return Some((token, true));
        }
        let done = self.queue.pop()?;
        let mut status = [STATUS_NONE];
        let _ = self.queue.own_memory().read(self.queue.own(done.chain).0 + STATUS_AT, &mut status);
        Some((done.token, status[0] == STATUS_OK))
    }

    fn ready(&self) -> bool {
        !self.flushed.is_empty() || self.queue.ready()
    }

    fn kick(&mut self) {
        if self.queue.publish() {
            self.transport.notify(QUEUE);
        }
    }

    fn set_interrupt(&mut self, enabled: bool) {
        self.queue.set_interrupt(enabled);
    }
}
