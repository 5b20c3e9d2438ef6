//! What crosses the boundary between a client and the servers: messages,
//! shared layouts, error numbers, socket addresses, readiness bits.
//!
//! Numbers are those of Linux on aarch64 and x86-64 (`asm-generic`), so that a
//! C library on top needs no translation.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod address;
pub mod blk;
pub mod control;
pub mod end;
pub mod entropy;
mod errno;
pub mod eth;
pub mod heap;
pub mod interface;
pub mod log;
pub mod net;
pub mod policy;
pub mod rights;
pub mod session;
pub mod socket;
pub mod timer;
pub mod vfs;

pub use address::Address;
pub use errno::Errno;
