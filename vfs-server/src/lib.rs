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
//! | [`session`] | one client: its handles, its commands |
//! | [`shared`] | what all sessions work on |
//! | [`open_files`] | open file descriptions, and those on their way to another client |
//! | [`pipe`] | FIFOs that are open, and pipes |
//! | [`tree`] | mounts, the walk along a path, rights, operations on names |
//! | [`file_system`] | what a file system provides |
//! | [`mounts`] | which file systems there are: one line each |
//! | [`ramfs`] | in memory, for reading and writing |
//! | [`fat`] | FAT on a disk |
//! | [`disk`] | the disk of `blk_driver`, and the cache before it |
//! | [`pool`] | what clients may fill, by client |
//! | [`archive`] | the read-only boot archive |
//! | [`tar`] | reader of its format |
//! | [`identity`] | clients as users, permission bits |
//!
//! The boundary is that of `strait_abi::vfs`: commands and completions, no
//! protected call, so that a file system which waits for a disk changes
//! nothing for clients. (The one call there is says that a client has ended:
//! `strait_abi::end`.) Sessions are found in the configuration: each region
//! `<client>_vfs` together with the channel to `<client>`.
//!
//! No operation waits. One that needs the disk is answered later: it is undone
//! and run again from its beginning when the disk has delivered (see
//! [`file_system::FileSystem::finish`]); other clients are served meanwhile.
//!
//! What clients do to each other through files is what permission bits allow.
//! Each is a user of its own; the superuser only if the settings say so. Each
//! has a share of the memory, and pays for what it writes.
//!
//! `net_server` learns of socket nodes and open files by tokens that clients
//! carry (`strait_abi::vfs::token`); the two servers never call each other.
//!
//! Limits: times count from the start of the machine, and reading does not
//! change them; owners cannot be changed; no locks. Only what is on a disk is kept
//! when the machine stops.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod archive;
pub mod disk;
pub mod fat;
pub mod file_system;
pub mod identity;
pub mod mounts;
pub mod open_files;
pub mod pipe;
pub mod pool;
pub mod ramfs;
pub mod server;
pub mod session;
pub mod shared;
pub mod tar;
pub mod tree;

pub use server::{StartError, VfsServer, start, start_with};

/// What a file system in a crate of its own works with.
///
/// It implements [`FileSystem`](api::FileSystem), and the program that starts the
/// server hands its [`Opener`](api::Opener) with a name to [`start_with`]. It answers
/// every call at once, or with [`NOT_READY`](api::NOT_READY). What clients can make
/// it hold they pay for in the [`Pool`](api::Pool). `vfs-server/file-systems/zeros`
/// is one.
pub mod api {
    pub use crate::{
        disk::NOT_READY,
        file_system::{Entry, FileSystem, New, Node, Window},
        identity::Caller,
        mounts::Opener,
        pool::{Amount, Charge, Page, Pool},
    };
    pub use strait_pd::Environment;
}
