//! The descriptor calls of POSIX, as methods of [`Process`](crate::Process).
//!
//! They behave as on Linux, errors included; what C passes by pointer and
//! length is a slice, and what it returns through `errno` is the `Err`. A call
//! that would wait sleeps, or gives EAGAIN if the descriptor is non-blocking.
//! Where the data needs no waiting, sending and receiving make no system call.
//!
//! Differences: there are no signals (sending after the peer has gone gives
//! EPIPE, as with MSG_NOSIGNAL); datagrams leave when the server gets to them, so
//! an error that only sending shows comes with the next call on the socket, but
//! for the first datagram to a destination and for those with control data.

mod control;
mod description;
mod files;
mod interfaces;
pub(crate) mod io;
mod message;
pub(crate) mod nodes;
pub(crate) mod options;
mod poll;
mod sendfile;
mod sockets;

pub use crate::descriptor::{DEFAULT_LIMIT, Fd};
pub use crate::file::RawEntry;
pub use crate::local::{EpollEvent, ITimerSpec};
pub use interfaces::InterfaceAddress;
pub use message::{Incoming, Outgoing, Received};
pub use poll::{FD_SETSIZE, FdSet, PollFd};
pub use strait_abi::{address::*, socket::*};
