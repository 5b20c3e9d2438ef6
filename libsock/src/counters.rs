//! What `net_server` counts about itself.

use strait_abi::{
    Errno,
    net::{Counters, Request},
};

use crate::Process;

impl Process {
    /// The server's counters; `sockets` and `pages` are those of this process.
    pub fn counters(&self) -> Result<Counters, Errno> {
        self.net()?.call(&Request::Counters, |reply| Counters::decode(reply.bytes))
    }
}
