//! The conformance suite: what POSIX, the RFCs and the manual pages of Linux
//! say of sockets and files, as cases that run in three worlds.
//!
//! ```text
//!   cases/*   --- written against ---   posix::Posix
//!                                        |        |
//!                          strait.rs: libsock    linux/: the kernel
//! ```
//!
//! Linux is the oracle: a case that fails there is wrong. Where Strait differs
//! for good, the case says why and checks both ([`case::Case::differs`]); the
//! table of these is `docs/differences.md`.
//!
//! Everything happens over loopback, in one thread, with sockets that do not
//! wait. Each case has ports of its own and leaves no descriptor behind.
//!
//! Two run it, one after the other: one who may do anything, as root, and one who
//! was granted nothing ([`Who`]). A line for each case that begins and for each
//! that fails, and the last line of each is `N passed, N failed`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod case;
pub mod cases;
pub mod files;
pub mod posix;
mod run;
mod strait;
pub mod test;

pub use run::{Tally, Who, count, differences, run};
pub use strait::main;
