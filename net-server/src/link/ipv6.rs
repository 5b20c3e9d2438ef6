//! The IPv6 addresses of the Ethernet port, and its ways.

use alloc::vec::Vec;
use core::net::Ipv6Addr;

use smoltcp::wire::Ipv6Cidr;

/// Addresses that the port has at most: its own and those that routers
/// announce.
#[cfg(test)]
const MAX_ADDRESSES: usize = 16;

/// One address of the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address6 {
    /// It, with the prefix that is on the link.
    pub cidr: Ipv6Cidr,
    /// It is used only where no better one is there (RFC 4862 5.5.4).
    pub deprecated: bool,
}

/// See the module.
pub struct Ipv6 {
    addresses: Vec<Address6>,
    gateway: Option<Ipv6Addr>,
}

impl Ipv6 {
    pub fn new() -> Self {
        Self { addresses: Vec::new(), gateway: None }
    }

    #[cfg(test)]
    /// Adds an address. False if there is no place for it.
    pub fn add(&mut self, cidr: Ipv6Cidr) -> bool {
        let room = self.addresses.len() < MAX_ADDRESSES;
        if room && !self.has(cidr.address()) {
            self.addresses.push(Address6 { cidr, deprecated: false });
        }
        room
    }

    /// Whether the port has this address.
    pub fn has(&self, address: Ipv6Addr) -> bool {
        self.addresses.iter().any(|a| a.cidr.address() == address)
    }

    /// The neighbour that takes packets to `destination`.
    pub fn next_hop(&self, destination: Ipv6Addr) -> Option<Ipv6Addr> {
        if self.addresses.iter().any(|a| a.cidr.contains_addr(&destination)) {
            return Some(destination);
        }
        self.gateway
    }

    /// The address that packets to `destination` come from (RFC 6724, 5: the
    /// rules that concern one interface without mobility).
    pub fn source_for(&self, destination: Ipv6Addr) -> Option<Ipv6Addr> {
        let wanted = scope(destination);
        let key = |a: &Address6| {
            let ip = a.cidr.address();
            let own = scope(ip);
            // 2: the smallest scope that reaches it, else the largest.
            let reach = if own >= wanted { 32 - i32::from(own) } else { i32::from(own) - 32 };
            let common = (u128::from(ip) ^ u128::from(destination)).leading_zeros().min(a.cidr.prefix_len().into());
            (ip == destination, reach, !a.deprecated, label(ip) == label(destination), common)
        };
        // Of equals the first.
        self.addresses.iter().rev().max_by_key(|a| key(a)).map(|a| a.cidr.address())
    }
}

/// The scope of an address (RFC 6724 3.1), as in a group's second byte.
fn scope(ip: Ipv6Addr) -> u8 {
    let bytes = ip.octets();
    match bytes {
        [0xff, b, ..] => b & 0xf,
        _ if ip.is_unicast_link_local() || ip.is_loopback() => 2,
        _ => 14,
    }
}

/// The label of an address in the policy table of RFC 6724, 2.1.
fn label(ip: Ipv6Addr) -> u8 {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => 0,
        [0, 0, 0, 0, 0, 0xffff, ..] => 4,
        [0x2002, ..] => 2,
        [0x2001, 0, ..] => 5,
        [a, ..] if a >> 9 == 0x7e => 13,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_by_rfc_6724() {
        let mut port = Ipv6::new();
        let at = |text: &str| text.parse::<Ipv6Addr>().unwrap();
        assert_eq!(port.source_for(at("2001:db8::1")), None);
        for cidr in ["fe80::1/64", "2001:db8:1::1/64", "2001:db8:2::1/64", "fd00::1/64"] {
            assert!(port.add(cidr.parse().unwrap()));
        }
        for (destination, source) in [
            ("fe80::2", "fe80::1"),
            ("ff02::1", "fe80::1"),
            ("2001:db8:1::2", "2001:db8:1::1"),
            ("2001:db8:2::2", "2001:db8:2::1"),
            ("ff0e::1", "2001:db8:1::1"),
            // By label.
            ("fd11::1", "fd00::1"),
            ("2001:db8:2::1", "2001:db8:2::1"),
        ] {
            assert_eq!(port.source_for(at(destination)), Some(at(source)), "{destination}");
        }
        port.addresses[1].deprecated = true;
        assert_eq!(port.source_for(at("2001:db8:1::2")), Some(at("2001:db8:2::1")));
    }
}
