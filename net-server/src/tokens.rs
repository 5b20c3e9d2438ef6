//! Tokens of `vfs_server` that clients show: names in the file system, and
//! open files in messages.

use strait_abi::Errno;

use crate::core::Core;

impl Core {
    /// The node that a token lets the session bind to; EACCES if it does not.
    pub fn check_bind(&self, _session: usize, _token: [u64; 2]) -> Result<u64, Errno> {
        Err(Errno::EACCES)
    }

    /// The node that a token lets the session connect to; EACCES if it does
    /// not.
    pub fn check_connect(&self, _session: usize, _token: [u64; 2]) -> Result<u64, Errno> {
        Err(Errno::EACCES)
    }

    /// EBADF if a client did not get this token for an open file.
    pub fn check_file(&self, _token: &[u8; 16]) -> Result<(), Errno> {
        Err(Errno::EBADF)
    }

    /// The open file of a token will not arrive anywhere.
    pub fn release_file(&mut self, _token: &[u8; 16]) {}
}
