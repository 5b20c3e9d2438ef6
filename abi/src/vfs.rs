//! The session with `vfs_server`: a memory region `<client>_vfs` and a channel.
//!
//! Nothing here is a protected procedure call: an operation on a file may have
//! to wait for a disk. The client *submits* a [`Command`] and later takes its
//! [`Completion`], in any order; data and paths lie in the region's data area
//! and belong to the server from submission to completion.
//!
//! ```text
//! offset 0     u32 version, u32 epoch         written by the server
//!        64    u32 command head, u32 completion tail   by the server
//!        128   u32 command tail, u32 completion head   by the client
//!        192   u32 signal to the server       see strait_ring::signal
//!        256   u32 signal to the client
//!        320   256 u64: readiness of pipes    by the server
//!        2368  u64, 64 u64: event bitmap      see strait_ring::bitmap
//!        4096  64 commands of 64 bytes
//!        8192  64 completions of 32 bytes
//!        12288 data area, laid out by the client
//! ```
//!
//! Whoever has more than [`ENTRIES`] operations under way waits for itself:
//! the server takes a command only when its completion has a place.
//!
//! A client that writes impossible indices loses its open files and what it
//! had under way; the `epoch` tells it so, and it may begin again.

mod constants;
pub mod heap;
mod queue;
mod request;
pub mod token;

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use strait_ring::{PAGE, SharedMemory, bitmap::Bitmap, signal::Signal};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use constants::*;
pub use queue::{Receiver, Sender};
pub use request::{Handle, ROOT, Request};

/// Version of this layout and of the operations; see [`Request::Hello`].
pub const VERSION: u32 = 2;
/// Places in each of the two rings.
pub const ENTRIES: u32 = 64;
/// Longest path in bytes; more give ENAMETOOLONG (PATH_MAX without the NUL).
pub const PATH_MAX: usize = 4095;
/// Longest name between two slashes.
pub const NAME_MAX: usize = 255;
/// Most bytes that one read or write moves; longer ones are cut short.
pub const MAX_IO: usize = 256 * 1024;
/// Most files that one client may have open: handles are less.
pub const MAX_OPEN: usize = 256;
/// As the position of a read or write: that of the open file description,
/// which moves on. For descriptions that several clients share.
pub const CURRENT: u64 = u64::MAX;

const VERSION_AT: usize = 0;
const EPOCH_AT: usize = 4;
const COMMAND_HEAD: usize = 64;
const COMPLETION_TAIL: usize = 68;
const COMMAND_TAIL: usize = 128;
const COMPLETION_HEAD: usize = 132;
const TO_SERVER: usize = 192;
const TO_CLIENT: usize = 256;
const READINESS: usize = 320;
const EVENTS: usize = READINESS + MAX_OPEN * 8;
const COMMANDS: usize = PAGE;
const COMPLETIONS: usize = 2 * PAGE;
/// Where the data area begins.
pub const DATA: usize = 3 * PAGE;

/// Least size of a session region.
pub const MIN_BYTES: usize = 16 * PAGE;
/// Greatest size of a session region.
pub const MAX_BYTES: usize = 65536 * PAGE;

/// One operation, as it lies in the command ring. What the fields mean says
/// [`Request`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Command {
    /// Chosen by the client, returned in the completion.
    pub id: u32,
    /// Which operation.
    pub op: u16,
    /// Zero.
    pub reserved: u16,
    /// An open file, or the directory that a path begins at.
    pub file: u32,
    /// O_RDONLY, ...
    pub flags: u32,
    /// Position in the file.
    pub offset: u64,
    /// A path, or where data goes to or comes from.
    pub buffer: Buffer,
    /// A second path.
    pub second: Buffer,
    /// Permission bits of what is created.
    pub mode: u32,
    /// The directory that the second path begins at.
    pub directory2: u32,
    /// Zero.
    pub reserved2: [u32; 4],
}

/// Bytes in the data area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Buffer {
    /// Where they begin, from the start of the region.
    pub offset: u32,
    /// How many.
    pub len: u32,
}

/// The end of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Completion {
    /// The command's.
    pub id: u32,
    /// Zero.
    pub reserved: u32,
    /// What the operation gives, or an errno below zero.
    pub result: i64,
    /// More of it; see [`Request`].
    pub extra: [u64; 2],
}

const _: () = assert!(EVENTS.is_multiple_of(64) && EVENTS + 64 + 512 <= COMMANDS);
const _: () = assert!(size_of::<Command>() == 64 && size_of::<Completion>() == 32);
const _: () = assert!(ENTRIES as usize * size_of::<Command>() <= PAGE);
const _: () = assert!(ENTRIES.is_power_of_two());

/// The region, seen from either side.
#[derive(Clone, Copy)]
pub struct VfsRegion {
    memory: SharedMemory,
    version: &'static AtomicU32,
    epoch: &'static AtomicU32,
    to_server: &'static AtomicU32,
    to_client: &'static AtomicU32,
    events: Bitmap<'static>,
}

impl VfsRegion {
    /// The session in `memory`. `None` if its size is out of range.
    pub fn new(memory: SharedMemory) -> Option<Self> {
        if memory.len() < MIN_BYTES || memory.len() > MAX_BYTES {
            return None;
        }
        Some(Self {
            memory,
            version: memory.cell(VERSION_AT)?,
            epoch: memory.cell(EPOCH_AT)?,
            to_server: memory.cell(TO_SERVER)?,
            to_client: memory.cell(TO_CLIENT)?,
            events: Bitmap::new(memory.cell(EVENTS)?, memory.cell(EVENTS + 64)?),
        })
    }

    /// The whole region.
    pub fn memory(&self) -> SharedMemory {
        self.memory
    }

    /// Server: says which version it speaks.
    pub fn set_version(&self) {
        self.version.store(VERSION, Ordering::Release);
    }

    /// Server: says that open files and operations under way are lost.
    pub fn next_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// Client: a number that changes when the server dropped all it had.
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The signal by which the client wakes the server.
    pub fn to_server(&self) -> Signal<'static> {
        Signal(self.to_server)
    }

    /// The signal by which the server wakes the client.
    pub fn to_client(&self) -> Signal<'static> {
        Signal(self.to_client)
    }

    /// What poll(2) says of the open pipe `file`, and [`readiness`]; written by
    /// the server. `None` from [`MAX_OPEN`] on.
    pub fn readiness(&self, file: Handle) -> Option<&'static AtomicU64> {
        let file = usize::try_from(file).ok().filter(|f| *f < MAX_OPEN)?;
        self.memory.cell(READINESS + file * 8)
    }

    /// Pipes whose readiness changed, for the client.
    pub fn events(&self) -> Bitmap<'static> {
        self.events
    }

    /// Client's end of the command ring.
    pub fn command_sender(&self) -> Option<Sender<Command>> {
        Sender::new(self.memory, COMMANDS, COMMAND_TAIL, COMMAND_HEAD)
    }

    /// Server's end of the command ring.
    pub fn command_receiver(&self) -> Option<Receiver<Command>> {
        Receiver::new(self.memory, COMMANDS, COMMAND_TAIL, COMMAND_HEAD)
    }

    /// Server's end of the completion ring.
    pub fn completion_sender(&self) -> Option<Sender<Completion>> {
        Sender::new(self.memory, COMPLETIONS, COMPLETION_TAIL, COMPLETION_HEAD)
    }

    /// Client's end of the completion ring.
    pub fn completion_receiver(&self) -> Option<Receiver<Completion>> {
        Receiver::new(self.memory, COMPLETIONS, COMPLETION_TAIL, COMPLETION_HEAD)
    }

    /// The offset and length of `buffer` if it lies in the data area.
    pub fn check(&self, buffer: Buffer) -> Option<(usize, usize)> {
        let (offset, len) = (buffer.offset as usize, buffer.len as usize);
        (offset >= DATA && offset.checked_add(len)? <= self.memory.len()).then_some((offset, len))
    }
}

/// What stat(2) says, in the data area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs)] // the fields are those of POSIX's struct stat
pub struct Stat {
    pub ino: u64,
    pub size: u64,
    pub blocks: u64,
    pub atime: i64,
    pub mtime: i64,
    pub ctime: i64,
    pub atime_nsec: u32,
    pub mtime_nsec: u32,
    pub ctime_nsec: u32,
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u32,
    pub block_size: u32,
    pub dev: u32,
    pub reserved: [u32; 10],
}

/// Bytes of a [`Stat`].
pub const STAT_BYTES: usize = 128;
const _: () = assert!(size_of::<Stat>() == STAT_BYTES);

/// Head of one directory entry in the data area. The name and a NUL follow,
/// then zeros up to `len`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EntryHeader {
    /// Number of the file.
    pub ino: u64,
    /// Where to go on reading behind this entry.
    pub next: u64,
    /// Bytes of the whole record, a multiple of 8.
    pub len: u16,
    /// [`kind`].
    pub kind: u8,
    /// Bytes of the name.
    pub name_len: u8,
    /// Zero.
    pub reserved: [u8; 4],
}

impl EntryHeader {
    /// Bytes of the header.
    pub const BYTES: usize = 24;

    /// Bytes of the record of a name of `name` bytes.
    pub const fn record(name: usize) -> usize {
        (Self::BYTES + name + 1).next_multiple_of(8)
    }
}

const _: () = assert!(size_of::<EntryHeader>() == EntryHeader::BYTES);

/// What the server counts, in the data area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Counters {
    /// Open files of the calling client.
    pub open: u64,
    /// Most that it ever had.
    pub open_peak: u64,
    /// Open files of all clients.
    pub open_all: u64,
    /// Commands of the calling client.
    pub commands: u64,
    /// Bytes that it read.
    pub bytes_read: u64,
    /// Times that it broke the protocol.
    pub misbehaved: u64,
    /// Notifications that it was sent.
    pub notified: u64,
    /// Times the server was woken.
    pub wakeups: u64,
    /// Bytes that it wrote.
    pub bytes_written: u64,
    /// Pages of file content that are its own.
    pub pages: u64,
    /// Files and directories that are its own.
    pub inodes: u64,
    /// Open files that it gave away and nobody has got yet, or that it was handed
    /// and has not opened.
    pub exports: u64,
    /// Pages of file content of all clients.
    pub pages_all: u64,
    /// Most there ever were.
    pub pages_peak: u64,
    /// Open file descriptions of all clients.
    pub descriptions: u64,
    /// Files and directories of all clients.
    pub inodes_all: u64,
    /// Open files on their way, of all clients.
    pub exports_all: u64,
    /// Pipes, and FIFOs that are open.
    pub pipes: u64,
}

/// What statvfs(3) says, in the data area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs)] // the fields are those of POSIX's struct statvfs
pub struct StatVfs {
    pub bsize: u64,
    pub frsize: u64,
    pub blocks: u64,
    pub bfree: u64,
    pub bavail: u64,
    pub files: u64,
    pub ffree: u64,
    pub favail: u64,
    pub fsid: u64,
    /// [`ST_RDONLY`].
    pub flag: u64,
    pub namemax: u64,
    pub reserved: u64,
}

/// Bytes of [`Counters`].
pub const COUNTERS_BYTES: usize = size_of::<Counters>();
