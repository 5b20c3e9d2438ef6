//! `vfs_server`: files for the other protection domains.
//!
//! ```text
//!  client --- region <client>_vfs, channel --- [ session ]
//!  client --- region <client>_vfs, channel --- [ session ] -- tree -- file systems
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`server`] | the component: wakes, serves the sessions in turns |
//! | [`session`] | one client: its open files, its commands |
//! | [`tree`] | mounts and the walk along a path |
//! | [`file_system`] | what a file system provides |
//! | [`mounts`] | which file systems there are and where: one line each |
//! | [`archive`] | the read-only boot archive |
//! | [`tar`] | reader of its format |
//!
//! The boundary is that of `strait_abi::vfs`: commands and completions, no
//! protected call, so that a file system which waits for a disk changes
//! nothing for clients. Sessions are found in the configuration: each region
//! `<client>_vfs` together with the channel to `<client>`.
//!
//! Limits: read-only; no symbolic links; one user, who owns everything.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod archive;
pub mod file_system;
pub mod mounts;
pub mod server;
pub mod session;
pub mod tar;
pub mod tree;

pub use server::{StartError, VfsServer, start};
