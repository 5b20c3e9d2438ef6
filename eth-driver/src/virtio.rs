//! virtio-net (virtio 1.2, 5.1) over any transport of `virtio-drivers`, modern
//! or legacy.
//!
//! The virtio header of each frame lies in memory of the driver alone
//! ([`strait_virtio`]), so buffers are plain frames for both
//! sides, and what a header may carry later (checksum and segmentation offload:
//! `flags`, `csum_start`, `gso_size`; the bits to accept are
//! VIRTIO_NET_F_CSUM and following in [`Features`]) never touches the server's
//! memory. All headers are zero.
//!
//! A frame is a chain of two descriptors: its header and itself. Only address
//! and length of the frame change, so giving the device one is three stores.

use core::fmt;

use strait_ring::SharedMemory;
use strait_ring::net_queue::BUFFER_SIZE;
use strait_virtio::queue::{Part, QUEUE_BYTES, Virtqueue};
use virtio_drivers::transport::{DeviceType, InterruptStatus, Transport};

use crate::device::{NetDevice, Received};

const RX: u16 = 0;
const TX: u16 = 1;

/// Length of the virtio header, and of the legacy one, which ends before
/// `num_buffers`.
const HEADER: u32 = 12;
const HEADER_LEGACY: u32 = 10;

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

/// Bytes of memory that the driver needs for itself.
pub const DRIVER_BYTES: usize = 2 * QUEUE_BYTES;

/// Why a device does not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartError {
    /// It is another kind of device.
    NotNetwork,
    /// The driver's memory has less than [`DRIVER_BYTES`] bytes.
    NoMemory,
    /// The device has no usable queue of this number.
    NoQueue(u16),
    /// Its configuration cannot be read.
    NoConfiguration,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNetwork => write!(f, "it is no network device"),
            Self::NoMemory => write!(f, "the driver's memory needs {DRIVER_BYTES} bytes; enlarge eth_driver_dma"),
            Self::NoQueue(n) => write!(f, "it has no usable queue {n}"),
            Self::NoConfiguration => write!(f, "its configuration cannot be read"),
        }
    }
}

/// Memory for the driver's queues, and where frames are.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Memory of the driver and the device alone.
    pub own: SharedMemory,
    /// Its physical address, a multiple of 4096.
    pub own_paddr: u64,
    /// Physical address of the receive data region.
    pub rx_data_paddr: u64,
    /// Physical address of the transmit data region.
    pub tx_data_paddr: u64,
}

/// A header and a frame.
type Queue = Virtqueue<2>;

/// A virtio-net device.
pub struct VirtioNet<T> {
    transport: T,
    rx: Queue,
    tx: Queue,
    rx_data: u64,
    tx_data: u64,
    header_len: u32,
    mac: [u8; 6],
    has_status: bool,
}

fn start_queue<T: Transport>(
    transport: &mut T,
    index: u16,
    memory: Memory,
    header: fn(u64, u32) -> Part,
    header_len: u32,
) -> Result<Queue, StartError> {
    let offset = usize::from(index) * QUEUE_BYTES;
    let own = memory.own.slice(offset, QUEUE_BYTES).ok_or(StartError::NoMemory)?;
    let queue: Queue = strait_virtio::start(transport, index, own, memory.own_paddr + offset as u64)
        .ok_or(StartError::NoQueue(index))?;
    for chain in queue.chains() {
        queue.set(chain, 0, header(queue.own(chain).1, header_len), false);
    }
    Ok(queue)
}

#[inline]
fn push(queue: &mut Queue, slot: u16, frame: Part) {
    if let Some(chain) = queue.begin(slot) {
        queue.set(chain, 1, frame, true);
    }
}

impl<T: Transport> VirtioNet<T> {
    /// Starts the device.
    pub fn new(mut transport: T, memory: Memory) -> Result<Self, StartError> {
        if transport.device_type() != DeviceType::Network {
            return Err(StartError::NotNetwork);
        }
        let features = transport.begin_init(Features::all());
        let header_len = if features.contains(Features::VERSION_1) { HEADER } else { HEADER_LEGACY };
        // Locally administered, for a device that has no address.
        let mut mac = [0x02, 0, 0, 0, 0, 1];
        if features.contains(Features::MAC) {
            for (i, octet) in mac.iter_mut().enumerate() {
                *octet = transport.read_config_space(CONFIG_MAC + i).map_err(|_| StartError::NoConfiguration)?;
            }
        }
        let rx = start_queue(&mut transport, RX, memory, Part::write, header_len)?;
        let tx = start_queue(&mut transport, TX, memory, Part::read, header_len)?;
        transport.finish_init();
        Ok(Self {
            transport,
            rx,
            tx,
            rx_data: memory.rx_data_paddr,
            tx_data: memory.tx_data_paddr,
            header_len,
            mac,
            has_status: features.contains(Features::STATUS),
        })
    }
}

impl<T: Transport> NetDevice for VirtioNet<T> {
    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn link_up(&self) -> bool {
        // Without the feature the link is taken as up (virtio 1.2, 5.1.4.2).
        !self.has_status || self.transport.read_config_space::<u8>(CONFIG_STATUS).is_ok_and(|s| s & STATUS_LINK_UP != 0)
    }

    fn ack_interrupt(&mut self) -> bool {
        self.transport.ack_interrupt().contains(InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT)
    }

    fn rx_room(&self) -> usize {
        self.rx.room()
    }

    fn rx_posted(&self) -> usize {
        self.rx.outstanding()
    }

    fn post_rx(&mut self, slot: u16) {
        let paddr = self.rx_data + u64::from(slot) * BUFFER_SIZE as u64;
        push(&mut self.rx, slot, Part::write(paddr, BUFFER_SIZE as u32));
    }

    fn poll_rx(&mut self) -> Option<Received> {
        let done = self.rx.pop()?;
        let len = done.len.checked_sub(self.header_len).filter(|n| *n <= BUFFER_SIZE as u32).unwrap_or(0);
        Some(Received { slot: done.token, len: len as u16 })
    }

    fn rx_ready(&self) -> bool {
        self.rx.ready()
    }

    fn tx_room(&self) -> usize {
        self.tx.room()
    }

    fn submit_tx(&mut self, slot: u16, len: u16) {
        let paddr = self.tx_data + u64::from(slot) * BUFFER_SIZE as u64;
        push(&mut self.tx, slot, Part::read(paddr, len.into()));
    }

    fn poll_tx(&mut self) -> Option<u16> {
        self.tx.pop().map(|done| done.token)
    }

    fn tx_ready(&self) -> bool {
        self.tx.ready()
    }

    fn tx_pending(&self) -> usize {
        self.tx.outstanding()
    }

    fn kick(&mut self, rx: bool, tx: bool) {
        if rx && self.rx.publish() {
            self.transport.notify(RX);
        }
        if tx && self.tx.publish() {
            self.transport.notify(TX);
        }
    }

    fn set_rx_interrupt(&mut self, enabled: bool) {
        self.rx.set_interrupt(enabled);
    }

    fn set_tx_interrupt(&mut self, enabled: bool) {
        self.tx.set_interrupt(enabled);
    }
}
