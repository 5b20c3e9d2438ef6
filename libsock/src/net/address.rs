//! What can be connected or bound to.

use alloc::{vec, vec::Vec};
use core::net::{IpAddr, SocketAddr};

use strait_abi::Errno;

use super::Error;
use crate::Process;

/// An address, or a name that is resolved by DNS: as `std::net::ToSocketAddrs`.
pub trait ToAddresses {
    /// All addresses, best first.
    fn addresses(&self, process: &Process) -> Result<Vec<SocketAddr>, Error>;
}

impl ToAddresses for SocketAddr {
    fn addresses(&self, _: &Process) -> Result<Vec<SocketAddr>, Error> {
        Ok(vec![*self])
    }
}

impl ToAddresses for (IpAddr, u16) {
    fn addresses(&self, _: &Process) -> Result<Vec<SocketAddr>, Error> {
        Ok(vec![SocketAddr::new(self.0, self.1)])
    }
}

/// A host name and a port.
impl ToAddresses for (&str, u16) {
    fn addresses(&self, process: &Process) -> Result<Vec<SocketAddr>, Error> {
        let ips = process.resolve(self.0)?;
        Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, self.1)).collect())
    }
}

/// `"10.0.2.2:80"`, `"[::1]:80"` or `"example.org:80"`.
impl ToAddresses for str {
    fn addresses(&self, process: &Process) -> Result<Vec<SocketAddr>, Error> {
        if let Ok(address) = self.parse::<SocketAddr>() {
            return Ok(vec![address]);
        }
        let (host, port) = self.rsplit_once(':').ok_or(Errno::EINVAL)?;
        (host, port.parse().map_err(|_| Errno::EINVAL)?).addresses(process)
    }
}

impl<T: ToAddresses + ?Sized> ToAddresses for &T {
    fn addresses(&self, process: &Process) -> Result<Vec<SocketAddr>, Error> {
        (**self).addresses(process)
    }
}

impl ToAddresses for [SocketAddr] {
    fn addresses(&self, _: &Process) -> Result<Vec<SocketAddr>, Error> {
        Ok(self.to_vec())
    }
}
