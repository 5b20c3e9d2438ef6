//! What the virtio drivers share: a virtqueue of chains of a fixed form.
//!
//! Used by `eth_driver` (a header and a frame) and `blk_driver` (a header, the
//! data, a status byte). Not virtio-drivers' own queue: that one wants
//! references to the buffers, which the drivers need not even map and which
//! other PDs may write; with two descriptors to a frame it costs five times the
//! instructions; and its kick after a batch is wrong with VIRTIO_F_EVENT_IDX.
//! virtio-drivers gives the transport ([`start`], feature `transport`).
//!
//! `entropy_driver` has one small buffer of its own and one request at a time:
//! there virtio-drivers' queue does well.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod queue;
#[cfg(feature = "transport")]
mod start;

pub use queue::{Layout, MAX_SIZE, QUEUE_BYTES, Virtqueue};
#[cfg(feature = "transport")]
pub use start::start;
