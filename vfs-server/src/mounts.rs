//! Which file systems there are. A new one is a module and a line in
//! [`MOUNTS`].

use alloc::{boxed::Box, string::String};

use strait_pd::Environment;

use crate::{archive, file_system::FileSystem};

/// Makes a file system from what the PD was given.
pub type Opener = fn(&Environment) -> Result<Box<dyn FileSystem>, String>;

/// Path of the directory that it covers, and the file system. The first is
/// the root.
pub const MOUNTS: &[(&str, Opener)] = &[("/", archive::open)];
