//! The Ethernet driver: a PD between a network device and `net_server`.
//!
//! ```text
//!              free  -->                       post_rx -->
//!  net_server  active <--   [ EthDriver ]      poll_rx <--   device
//!              active -->                      submit_tx -->
//!              free  <--                       poll_tx <--
//! ```
//!
//! The server's side is sDDF's network queues (`strait_ring::net_queue`). At
//! this link a descriptor carries the *offset* of a buffer in the data region
//! of its direction, never an address: the server needs no physical addresses,
//! and what it can point the device at is bounded by construction. Buffers are
//! 2048 bytes and begin at multiples of 2048.
//!
//! | module | what |
//! |---|---|
//! | [`device`] | what the driver asks of a device |
//! | [`driver`] | the component: validation, batches, signals, interrupts |
//! | [`slots`] | which buffers are where |
//! | `virtio` | virtio-net by virtio-mmio, modern and legacy (feature `virtio`) |
//!
//! Limits: one queue pair, no checksum or segmentation offload yet (its place
//! is the virtio header, see `virtio`), frames of up to 1,518 bytes.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod device;
pub mod driver;
pub mod slots;
#[cfg(feature = "virtio")]
pub mod virtio;

pub use device::NetDevice;
pub use driver::{Counters, EthDriver};

#[cfg(test)]
mod tests;
