//! What the servers count about themselves.

use strait_abi::{
    Errno,
    net::{Counters, Request},
    vfs,
};

use crate::Process;

impl Process {
    /// The counters of `net_server`; `sockets` and `pages` are those of this process.
    pub fn counters(&self) -> Result<Counters, Errno> {
        self.net()?.call(&Request::Counters, |reply| Counters::decode(reply.bytes))
    }

    /// The counters of `vfs_server`. ENOSYS without a session with it.
    pub fn file_counters(&self) -> Result<vfs::Counters, Errno> {
        self.vfs()?.get(self.waiter(), |into| vfs::Request::Counters { into })
    }
}
