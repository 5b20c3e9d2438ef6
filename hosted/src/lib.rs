//! The hosted world: the system of `microkit.system` as Linux processes.
//!
//! ```text
//!   supervisor --- one process per PD, its regions mapped where the
//!       |          description says; channels and calls by futex
//!       +- network namespace: TAP strait0, DHCP server, port forwarding
//! ```
//!
//! The components are the same crates as on seL4 and read the same
//! configurations. [`main`] is all that a binary needs: it gives the table of
//! programs that `program_image` elements may name.
//!
//! | module | what |
//! |---|---|
//! | `cli` | the command line |
//! | `supervisor`, `topology`, `manifest` | starting the processes, their end |
//! | `process`, `world` | one PD: mapping, [`strait_pd::Pd`], a server's loop |
//! | `fault` | how a PD ended |
//! | `control` | notifications and protected calls between processes |
//! | `memory` | memory files and mappings |
//! | `heap` | no PD takes more than its heap on seL4 has |
//! | `interrupt`, [`devices`] | devices: TAP, timer, entropy, console |
//! | `net` | namespace, TAP, DHCP, port forwarding |
//!
//! Differences to seL4, by design: priorities are not enforced, the control
//! region is not protected from a hostile PD, device regions do not exist, and
//! the end of a PD that is nested in no other ends the run.

#![deny(unsafe_code)]

mod cli;
mod control;
pub mod devices;
#[allow(unsafe_code)]
mod fault;
#[allow(unsafe_code)]
mod heap;
mod interrupt;
mod manifest;
#[allow(unsafe_code)]
mod memory;
mod net;
#[allow(unsafe_code)]
mod process;
mod supervisor;
mod topology;
mod world;

pub use cli::main;
pub use interrupt::Interrupt;
pub use process::{Program, Start};
pub use supervisor::Running;
