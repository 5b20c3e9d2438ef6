//! Shared memory between protection domains that do not trust each other.
//!
//! All `unsafe` that touches shared memory is in this crate; the others build
//! on its safe types:
//!
//! | module | what |
//! |---|---|
//! | [`memory`] | a mapped region: bounds-checked copies and atomic cells |
//! | [`signal`] | "notify me only if I sleep", sDDF's protocol |
//! | [`bitmap`] | a doorbell for each of many sockets |
//! | [`net_queue`] | descriptor queues in the layout of sDDF's network class |
//! | [`paged`] | byte rings that grow and shrink by pages |
//! | [`arena`] | the pages of a region, handed out by a server |
//! | [`bytes`] | a small contiguous byte ring, for logs |
//!
//! One rule runs through all of it: an index that a peer writes is read once,
//! compared with a private copy of what it can be, and refused
//! ([`Misbehaved`]) if it makes no sense. Payload bytes are copied out before
//! anything is decided on them.

#![cfg_attr(not(any(test, loom)), no_std)]

extern crate alloc;

pub mod arena;
pub mod bitmap;
pub mod bytes;
#[cfg(not(loom))]
pub mod memory;
#[cfg(loom)]
#[path = "memory_model.rs"]
pub mod memory;
pub mod net_queue;
pub mod paged;
pub mod signal;
mod sync;

pub use memory::SharedMemory;

/// The peer wrote an index or a descriptor that cannot be. What it asked for
/// is not done; how to go on is the caller's choice (usually: fail the one
/// socket, or close the session).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misbehaved;

impl core::fmt::Display for Misbehaved {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the peer wrote an impossible index into shared memory")
    }
}

impl core::error::Error for Misbehaved {}

/// Bytes in a page: the unit in which regions are mapped and rings grow.
#[cfg(not(loom))]
pub const PAGE: usize = 4096;
/// Small enough for loom to try everything.
#[cfg(loom)]
pub const PAGE: usize = 8;
