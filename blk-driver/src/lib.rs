//! The block driver: a PD between a disk and `vfs_server`.
//!
//! ```text
//!               requests  -->                     submit -->
//!  vfs_server                  [ BlkDriver ]                   disk
//!               responses <--                     poll   <--
//! ```
//!
//! The client's side is `strait_abi::blk`. A request names its buffer by an
//! *offset* in the data region, never by an address: the client needs no
//! physical addresses, and what it can point the device at is bounded by
//! construction. The driver checks sectors and buffer of each request before
//! the device sees it, and has no mapping of the data.
//!
//! | module | what |
//! |---|---|
//! | [`device`] | what the driver asks of a disk |
//! | [`driver`] | the component: validation, signals, interrupts |
//! | `virtio` | virtio-blk by virtio-mmio, modern and legacy (feature `virtio`) |
//!
//! Limits: one client, one disk, sectors of 512 bytes, no discard.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod device;
pub mod driver;
#[cfg(feature = "virtio")]
pub mod virtio;

pub use device::{BlockDevice, Operation};
pub use driver::{BlkDriver, Counters};

#[cfg(test)]
mod tests;
