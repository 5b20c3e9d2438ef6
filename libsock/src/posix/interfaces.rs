//! Interfaces and their addresses: if_nametoindex(3), getifaddrs(3),
//! SIOCGIFCONF (netdevice(7)).

use alloc::{string::String, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use strait_abi::{
    Errno,
    interface::{Entry, IFF_BROADCAST, IFREQ_BYTES, NAME_BYTES},
    net::Request,
};

use super::AF_INET;
use crate::Process;

/// Entries that are asked for at most: more the server never has.
const MAX_ENTRIES: u16 = 256;

/// An interface, or one of its addresses: what getifaddrs(3) lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The interface's index, from 1.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// IFF_UP and the like.
    pub flags: u32,
    /// In bytes.
    pub mtu: u32,
    /// ARPHRD_ETHER or ARPHRD_LOOPBACK.
    pub kind: u16,
    /// Its hardware address.
    pub hardware: [u8; 6],
    /// An address of it; `None` in the entry of the interface itself (AF_PACKET
    /// in C).
    pub address: Option<IpAddr>,
    /// Bits of the address that are its network's.
    pub prefix: u8,
}

impl InterfaceAddress {
    fn new(entry: &Entry<'_>) -> Result<Self, Errno> {
        let address = match *entry.address {
            [] => None,
            [a, b, c, d] => Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d))),
            ref bytes => {
                let bytes: [u8; 16] = bytes.try_into().map_err(|_| Errno::EPROTO)?;
                Some(IpAddr::V6(Ipv6Addr::from(bytes)))
            }
        };
        let most = if matches!(address, Some(IpAddr::V4(_))) { 32 } else { 128 };
        if entry.prefix > most || entry.name.len() >= NAME_BYTES {
            return Err(Errno::EPROTO);
        }
        Ok(Self {
            index: entry.index,
            name: entry.name.into(),
            flags: entry.flags,
            mtu: entry.mtu,
            kind: entry.kind,
            hardware: entry.hardware,
            address,
            prefix: entry.prefix,
        })
    }

    /// Its network mask.
    pub fn netmask(&self) -> Option<IpAddr> {
        let prefix = u32::from(self.prefix);
        Some(match self.address? {
            IpAddr::V4(_) => Ipv4Addr::from(u32::MAX.checked_shl(32 - prefix).unwrap_or(0)).into(),
            IpAddr::V6(_) => Ipv6Addr::from(u128::MAX.checked_shl(128 - prefix).unwrap_or(0)).into(),
        })
    }

    /// The broadcast address of its network.
    pub fn broadcast(&self) -> Option<Ipv4Addr> {
        match (self.address?, self.netmask()?) {
            (IpAddr::V4(ip), IpAddr::V4(mask)) if self.flags & IFF_BROADCAST != 0 && self.prefix < 31 => {
                Some(Ipv4Addr::from(u32::from(ip) | !u32::from(mask)))
            }
            _ => None,
        }
    }
}

impl Process {
    /// getifaddrs(3): each interface, then its addresses. ENOSYS without a
    /// session with the network server.
    pub fn getifaddrs(&self) -> Result<Vec<InterfaceAddress>, Errno> {
        let net = self.net()?;
        let mut found: Vec<InterfaceAddress> = Vec::new();
        let mut expected = None;
        for at in 0..MAX_ENTRIES {
            let entry = net.call(&Request::Interface { at }, |reply| {
                let entry = if reply.bytes.is_empty() { None } else { Some(Entry::decode(reply.bytes)?) };
                Ok((reply.value, entry.as_ref().map(InterfaceAddress::new).transpose()?))
            })?;
            match entry {
                (_, None) => break,
                // It changed meanwhile: what there is now, from the beginning.
                (count, Some(_)) if expected.is_some_and(|e| e != count) => return self.getifaddrs_again(at),
                (count, Some(entry)) => {
                    expected = Some(count);
                    found.push(entry);
                }
            }
        }
        Ok(found)
    }

    fn getifaddrs_again(&self, tried: u16) -> Result<Vec<InterfaceAddress>, Errno> {
        // Only after something was there, so this ends with the changes.
        if tried == 0 { Err(Errno::EAGAIN) } else { self.getifaddrs() }
    }

    /// if_nametoindex(3). ENODEV if there is no such interface.
    pub fn if_nametoindex(&self, name: &str) -> Result<u32, Errno> {
        let all = self.getifaddrs()?;
        all.iter().find(|i| i.name == name).map(|i| i.index).ok_or(Errno::ENODEV)
    }

    /// if_indextoname(3). ENXIO if there is no such interface.
    pub fn if_indextoname(&self, index: u32) -> Result<String, Errno> {
        let all = self.getifaddrs()?;
        all.into_iter().find(|i| i.index == index).map(|i| i.name).ok_or(Errno::ENXIO)
    }

    /// if_nameindex(3): index and name of each interface.
    pub fn if_nameindex(&self) -> Result<Vec<(u32, String)>, Errno> {
        let all = self.getifaddrs()?;
        Ok(all.into_iter().filter(|i| i.address.is_none()).map(|i| (i.index, i.name)).collect())
    }

    /// SIOCGIFCONF: a C `struct ifreq` for each IPv4 address, as many as `into`
    /// has room for. Returns the bytes used; those that all need if `into` is
    /// empty.
    pub fn interface_configuration(&self, into: &mut [u8]) -> Result<usize, Errno> {
        let all = self.getifaddrs()?;
        let four = all.iter().filter_map(|i| match i.address {
            Some(IpAddr::V4(ip)) => Some((&i.name, ip)),
            _ => None,
        });
        if into.is_empty() {
            return Ok(four.count() * IFREQ_BYTES);
        }
        let mut used = 0;
        for ((name, ip), request) in four.zip(into.chunks_exact_mut(IFREQ_BYTES)) {
            request.fill(0);
            request[..name.len()].copy_from_slice(name.as_bytes());
            request[NAME_BYTES..NAME_BYTES + 2].copy_from_slice(&AF_INET.to_ne_bytes());
            request[NAME_BYTES + 4..NAME_BYTES + 8].copy_from_slice(&ip.octets());
            used += IFREQ_BYTES;
        }
        Ok(used)
    }
}
