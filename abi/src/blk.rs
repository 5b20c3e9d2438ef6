//! The link between a block driver and its one client: the regions `blk_queue`
//! and `blk_data`, and a channel.
//!
//! The client puts a [`Request`] into a ring and later takes a [`Response`], in
//! any order; data lies in `blk_data` and belongs to the driver in between.
//! sDDF's block class does the same, but counts in blocks of 4,096 bytes; a FAT
//! volume keeps things in neighbouring sectors of 512 whose order on the disk
//! matters, so sectors are the unit here.
//!
//! ```text
//! blk_queue:
//! offset 0     u32 request head, u32 response tail   written by the driver
//!        64    u32 request tail, u32 response head   by the client
//!        128   u32 signal to the driver              see strait_ring::signal
//!        192   u32 signal to the client
//!        4096  64 requests of 32 bytes
//!        8192  64 responses of 16 bytes
//! ```
//!
//! A request that was answered is done as far as the device is concerned; it
//! survives a loss of power once a [`code::FLUSH`] that was put after its answer
//! is answered, too.

use core::sync::atomic::AtomicU32;

use strait_ring::{PAGE, SharedMemory, signal::Signal};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use crate::vfs::{ENTRIES, Receiver, Sender};

/// Bytes of a sector, the unit of everything here.
pub const SECTOR: usize = 512;
/// Most sectors of one request.
pub const MAX_SECTORS: u32 = 256;
/// Bytes of the region `blk_queue`.
pub const QUEUE_BYTES: usize = 3 * PAGE;

/// Label of a call: reply words are the size of the disk in sectors, and
/// [`READ_ONLY`] or 0.
pub const GET_DISK: u64 = 0;
/// In the second word of [`GET_DISK`]: writing is refused.
pub const READ_ONLY: u64 = 1;

/// Label of a call: reply words are counts since the start: sectors read,
/// sectors written, flushes, failures of the device, requests refused,
/// impossible queue indices, interrupts, notifications sent.
pub const GET_COUNTERS: u64 = 1;

/// What a [`Request`] wants.
pub mod code {
    /// Sectors of the disk into the data region.
    pub const READ: u16 = 0;
    /// Sectors of the data region onto the disk.
    pub const WRITE: u16 = 1;
    /// What was written so far onto what survives a loss of power.
    pub const FLUSH: u16 = 2;
}

/// What became of a [`Request`].
pub mod status {
    /// Done.
    pub const OK: u32 = 0;
    /// The device failed. Parts may have been done.
    pub const IO_ERROR: u32 = 1;
    /// The request made no sense: an unknown code, sectors that the disk does
    /// not have, a buffer outside the data region. Nothing was done.
    pub const REFUSED: u32 = 2;
    /// The disk cannot be written. Nothing was done.
    pub const READ_ONLY: u32 = 3;
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Request {
    /// Chosen by the client, returned in the response.
    pub id: u32,
    /// [`code`].
    pub code: u16,
    /// Zero.
    pub reserved: u16,
    /// First sector.
    pub sector: u64,
    /// Where the data is, from the start of the data region; a multiple of
    /// [`SECTOR`].
    pub offset: u32,
    /// How many sectors: 1 to [`MAX_SECTORS`]; 0 for a flush.
    pub count: u32,
    /// Zero.
    pub reserved2: [u32; 2],
}

/// The end of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Response {
    /// The request's.
    pub id: u32,
    /// [`status`].
    pub status: u32,
    /// Zero.
    pub reserved: [u32; 2],
}

const _: () = assert!(size_of::<Request>() == 32 && size_of::<Response>() == 16);
const _: () = assert!(ENTRIES as usize * size_of::<Request>() <= PAGE);

const REQUEST_HEAD: usize = 0;
const RESPONSE_TAIL: usize = 4;
const REQUEST_TAIL: usize = 64;
const RESPONSE_HEAD: usize = 68;
const TO_DRIVER: usize = 128;
const TO_CLIENT: usize = 192;
const REQUESTS: usize = PAGE;
const RESPONSES: usize = 2 * PAGE;

/// The driver's end.
pub struct DriverEnd {
    /// Requests, from the client.
    pub requests: Receiver<Request>,
    /// Responses, to the client.
    pub responses: Sender<Response>,
    /// The client wakes the driver by this.
    pub wake: Signal<'static>,
    /// The driver wakes the client by this.
    pub peer: Signal<'static>,
}

/// The client's end.
pub struct ClientEnd {
    /// Requests, to the driver.
    pub requests: Sender<Request>,
    /// Responses, from the driver.
    pub responses: Receiver<Response>,
    /// The driver wakes the client by this.
    pub wake: Signal<'static>,
    /// The client wakes the driver by this.
    pub peer: Signal<'static>,
}

impl DriverEnd {
    /// The driver's end of the queues in `memory`, the region `blk_queue`.
    /// `None` if it has less than [`QUEUE_BYTES`] bytes.
    pub fn new(memory: SharedMemory) -> Option<Self> {
        Some(Self {
            requests: Receiver::new(memory, REQUESTS, REQUEST_TAIL, REQUEST_HEAD)?,
            responses: Sender::new(memory, RESPONSES, RESPONSE_TAIL, RESPONSE_HEAD)?,
            wake: signal(memory, TO_DRIVER)?,
            peer: signal(memory, TO_CLIENT)?,
        })
    }
}

impl ClientEnd {
    /// The client's end; see [`DriverEnd::new`].
    pub fn new(memory: SharedMemory) -> Option<Self> {
        Some(Self {
            requests: Sender::new(memory, REQUESTS, REQUEST_TAIL, REQUEST_HEAD)?,
            responses: Receiver::new(memory, RESPONSES, RESPONSE_TAIL, RESPONSE_HEAD)?,
            wake: signal(memory, TO_CLIENT)?,
            peer: signal(memory, TO_DRIVER)?,
        })
    }
}

fn signal(memory: SharedMemory, at: usize) -> Option<Signal<'static>> {
    if memory.len() < QUEUE_BYTES {
        return None;
    }
    memory.cell::<AtomicU32>(at).map(Signal)
}
