//! The interfaces as clients see them: `lo` and `eth0`.

use core::net::IpAddr;

use strait_abi::interface as i;

use super::{ETH_INDEX, LOOPBACK_INDEX, LOOPBACK_MTU, Links};

/// How many there are.
const COUNT: u32 = 2;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    pub index: u32,
    pub name: &'static str,
    /// IFF_UP and the like.
    pub flags: u32,
    /// In bytes.
    pub mtu: u32,
    /// ARPHRD_ETHER or ARPHRD_LOOPBACK.
    pub kind: u16,
    pub hardware: [u8; 6],
}

/// An interface, or an address of one with its prefix.
pub type Entry = (Interface, Option<(IpAddr, u8)>);

impl Links {
    /// The interface with an index.
    pub fn interface(&self, index: u32) -> Option<Interface> {
        match index {
            LOOPBACK_INDEX => Some(Interface {
                index,
                name: "lo",
                flags: i::IFF_UP | i::IFF_LOOPBACK | i::IFF_RUNNING,
                mtu: LOOPBACK_MTU as u32,
                kind: i::ARPHRD_LOOPBACK,
                hardware: [0; 6],
            }),
            ETH_INDEX => {
                let (up, running) = self.state();
                let mut flags = i::IFF_BROADCAST | i::IFF_MULTICAST;
                flags |= if up { i::IFF_UP } else { 0 };
                flags |= if up && running { i::IFF_RUNNING } else { 0 };
                let (mtu, hardware) = (self.tx.mtu as u32, self.tx.mac.0);
                Some(Interface { index, name: "eth0", flags, mtu, kind: i::ARPHRD_ETHER, hardware })
            }
            _ => None,
        }
    }

    /// The interface with a name.
    pub fn interface_named(&self, name: &str) -> Option<Interface> {
        (1..=COUNT).filter_map(|index| self.interface(index)).find(|i| i.name == name)
    }

    /// The addresses of an interface with their prefixes.
    pub fn addresses(&self, index: u32) -> impl Iterator<Item = (IpAddr, u8)> {
        let loopback: [(IpAddr, u8); 2] = [([127, 0, 0, 1].into(), 8), (core::net::Ipv6Addr::LOCALHOST.into(), 128)];
        let four = self.ipv4.addresses().iter().map(|c| (IpAddr::V4(c.address()), c.prefix_len()));
        let six = self.ipv6.valid().map(|a| (IpAddr::V6(a.cidr.address()), a.cidr.prefix_len()));
        let eth = four.chain(six).filter(move |_| index == ETH_INDEX);
        loopback.into_iter().filter(move |_| index == LOOPBACK_INDEX).chain(eth)
    }

    /// What [`Request::Interface`](strait_abi::net::Request::Interface) lists:
    /// each interface, then its addresses. Returns how many there are as well.
    pub fn entry(&self, at: usize) -> (usize, Option<Entry>) {
        let all = (1..=COUNT).filter_map(|index| self.interface(index)).flat_map(|interface| {
            let addresses = self.addresses(interface.index).map(Some);
            core::iter::once(None).chain(addresses).map(move |address| (interface, address))
        });
        let (mut count, mut found) = (0, None);
        for entry in all {
            if count == at {
                found = Some(entry);
            }
            count += 1;
        }
        (count, found)
    }
}
