//! Disks, and what lies between them and a file system: a cache that never
//! waits.
//!
//! | module | what |
//! |---|---|
//! | [`Disk`] | what is asked of a disk |
//! | [`client`] | a disk behind a block driver's link (`strait_abi::blk`) |
//! | [`cache`] | sectors in memory, transactions, write-back |
//! | [`epoch`] | which changes are written in which order |
//! | [`lru`] | sectors that are as on the disk, the oldest of which is dropped |

pub mod cache;
pub mod client;
pub mod epoch;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod lru;

use alloc::{rc::Rc, vec::Vec};

use strait_abi::{Errno, blk::SECTOR};

/// What one sector holds.
pub type Content = Rc<[u8; SECTOR]>;

/// What an operation gives that cannot go on before the disk has delivered or
/// written something: it left nothing behind, and is run again from its
/// beginning when [`FileSystem::service`] says so. No client ever sees it.
///
/// [`FileSystem::service`]: crate::file_system::FileSystem::service
pub const NOT_READY: Errno = Errno::ERESTART;

/// Most sectors of one request.
pub const MAX_RUN: usize = 32;

/// The end of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// As given with the request.
    pub tag: u32,
    /// Whether it was done.
    pub ok: bool,
}

/// A disk of sectors of 512 bytes. Requests end in any order; a tag is used
/// again only after its end.
pub trait Disk {
    /// Its size in sectors.
    fn capacity(&self) -> u64;

    /// Whether it cannot be written.
    fn read_only(&self) -> bool;

    /// Requests that may be begun now.
    fn room(&mut self) -> usize;

    /// Begins to read `count` sectors, 1 to [`MAX_RUN`]. Only with
    /// [`room`](Self::room), as the others.
    fn read(&mut self, tag: u32, sector: u64, count: usize);

    /// Begins to write sectors, 1 to [`MAX_RUN`].
    fn write(&mut self, tag: u32, sector: u64, data: &[Content]);

    /// Begins to make durable what was written before.
    fn flush(&mut self, tag: u32);

    /// Takes the end of a request; of a read, the data is put into `data`.
    fn poll(&mut self, data: &mut Vec<u8>) -> Option<End>;

    /// Lets the disk know of what was begun.
    fn submit(&mut self);

    /// Asks for a wake-up when a request ends. Whether one has already.
    fn arm(&mut self) -> bool;
}
