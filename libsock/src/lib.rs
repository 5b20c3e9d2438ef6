//! Sockets for components.
//!
//! | layer | for whom |
//! |---|---|
//! | [`posix`] | descriptor calls with the errors of Linux: ports of existing code, and the base of the rest |
//! | [`Process::wait_events`] | servers that run an event loop over many sockets |
//! | [`aio`] | async tasks: the types of `net`, awaited, and an executor that sleeps on the PD's channels |
//! | [`callbacks`] | components that live in their `notified` handler: connected, recv, ... per socket |
//! | [`net`] | `TcpStream`, `TcpListener`, `UdpSocket`, `UnixStream`, ... as in `std` |
//! | [`fs`] | `File` as in `std::fs` |
//! | [`resolve`] | names to addresses and back: DNS, hosts, services, `getaddrinfo` |
//!
//! All of them work on a [`Process`], made once from the PD's
//! [`Environment`](strait_pd::Environment). There are no globals; clones of a
//! `Process` are the same process.
//!
//! Data moves through memory that the PD shares with `net_server`: sending and
//! receiving make no system call as long as there is data and room. Waiting
//! sleeps on the PD's notifications, all of them: notifications on channels
//! that are not the library's are kept for
//! [`Process::take_foreign_notifications`].
//!
//! Limits: one thread. Calls with a timeout need a channel to `timer_driver`,
//! see [`Process::new`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod aio;
mod ask;
pub mod callbacks;
mod control;
mod counters;
mod datagram;
mod descriptor;
mod event;
#[cfg(any(test, feature = "fake"))]
#[doc(hidden)]
pub mod fake;
mod file;
pub mod fs;
mod local;
pub mod net;
mod object;
mod parts;
pub mod posix;
mod process;
mod reached;
pub mod resolve;
mod rights;
mod session;
mod socket;
mod stream;
#[cfg(test)]
mod tests;
mod vfs;
mod wait;

/// The traits that reading and writing go by.
pub use embedded_io as io;
pub use event::Event;
pub use process::{Process, StartError};
pub use strait_abi::{Address, Errno};
