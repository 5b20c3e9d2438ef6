//! The IPv4 addresses of the Ethernet port, and its ways.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use smoltcp::wire::{EthernetAddress, Ipv4Cidr};
use strait_abi::Errno;

use super::{Ipv4Config, Route};

/// Addresses that the port has at most.
pub const MAX_ADDRESSES: usize = 8;
/// Everyone on loopback, 127.0.0.1/8.
const LOOPBACK_BROADCAST: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);
/// Routes beside those that follow from the addresses.
pub const MAX_ROUTES: usize = 32;

/// A way to other networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route4 {
    /// Where it leads.
    pub prefix: Ipv4Cidr,
    /// The neighbour that takes the packets; without one the destinations are
    /// neighbours themselves.
    pub gateway: Option<Ipv4Addr>,
}

/// See the module.
pub struct Ipv4 {
    /// The first is the one that packets come from unless the way says
    /// otherwise.
    addresses: Vec<Ipv4Cidr>,
    /// Of the lease or the configuration.
    gateway: Option<Ipv4Addr>,
    dns: Vec<Ipv4Addr>,
    /// Added by route ioctls.
    routes: Vec<Route4>,
    // What follows is for every packet.
    own: Ipv4Addr,
    broadcast: Ipv4Addr,
    mask: u32,
    /// One address, no routes, and the link works: the first network is all
    /// that must be looked at before the gateway.
    simple: bool,
    usable: Result<(), Errno>,
}

impl Ipv4 {
    pub fn new() -> Self {
        Self {
            addresses: Vec::new(),
            gateway: None,
            dns: Vec::new(),
            routes: Vec::new(),
            own: Ipv4Addr::LOCALHOST,
            broadcast: Ipv4Addr::BROADCAST,
            mask: u32::MAX,
            simple: false,
            usable: Ok(()),
        }
    }

    /// Sets or removes the first address with its gateway and name servers.
    pub fn configure(&mut self, config: Option<Ipv4Config>) {
        if !self.addresses.is_empty() {
            self.addresses.remove(0);
        }
        match config {
            Some(config) => {
                self.addresses.retain(|a| a.address() != config.address.address());
                self.addresses.insert(0, config.address);
                (self.gateway, self.dns) = (config.gateway, config.dns);
            }
            None => {
                // What remains is no lease's.
                (self.gateway, self.dns) = (None, Vec::new());
            }
        }
        self.changed();
    }

    /// Whether and why not the link can be used.
    pub fn set_usable(&mut self, usable: Result<(), Errno>) {
        self.usable = usable;
        self.changed();
    }

    /// Changes the first address or its prefix (SIOCSIFADDR, SIOCSIFNETMASK).
    pub fn set_first(&mut self, cidr: Ipv4Cidr) {
        match self.addresses.first_mut() {
            Some(first) => *first = cidr,
            None => self.addresses.push(cidr),
        }
        self.changed();
    }

    /// Adds an address. ENOBUFS if there is no place.
    pub fn add(&mut self, cidr: Ipv4Cidr) -> Result<(), Errno> {
        if self.addresses.iter().any(|a| a.address() == cidr.address()) {
            return Err(Errno::EEXIST);
        }
        if self.addresses.len() >= MAX_ADDRESSES {
            return Err(Errno::ENOBUFS);
        }
        self.addresses.push(cidr);
        self.changed();
        Ok(())
    }

    fn changed(&mut self) {
        let first = self.addresses.first();
        self.own = first.map_or(Ipv4Addr::LOCALHOST, Ipv4Cidr::address);
        self.broadcast = first.and_then(Ipv4Cidr::broadcast).unwrap_or(Ipv4Addr::BROADCAST);
        self.mask = first.map_or(u32::MAX, |c| u32::from(c.netmask()));
        self.simple = self.addresses.len() == 1 && self.routes.is_empty() && self.usable.is_ok();
    }

    pub fn addresses(&self) -> &[Ipv4Cidr] {
        &self.addresses
    }

    pub fn dns(&self) -> &[Ipv4Addr] {
        &self.dns
    }

    /// Whether `address` is one of this host's.
    #[inline]
    pub fn has(&self, address: Ipv4Addr) -> bool {
        address == self.own || address.is_loopback() || !self.simple && self.has_other(address)
    }

    fn has_other(&self, address: Ipv4Addr) -> bool {
        self.addresses.iter().any(|a| a.address() == address)
    }

    /// Whether `address` is a broadcast address of this host's networks.
    #[inline]
    pub fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        address == self.broadcast
            || address.is_broadcast()
            || address == LOOPBACK_BROADCAST
            || !self.simple && self.addresses.iter().any(|a| a.broadcast() == Some(address))
    }

    /// The address that packets to `d` come from, and their way.
    #[inline]
    pub fn path(&self, d: Ipv4Addr) -> Result<(Ipv4Addr, Route), Errno> {
        if self.simple && (u32::from(d) ^ u32::from(self.own)) & self.mask == 0 {
            if d == self.own {
                return Ok((d, Route::Loopback));
            }
            if d != self.broadcast {
                return Ok((self.own, Route::Neighbor(IpAddr::V4(d))));
            }
        }
        self.long_path(d)
    }

    fn long_path(&self, d: Ipv4Addr) -> Result<(Ipv4Addr, Route), Errno> {
        if d.is_loopback() {
            return Ok((Ipv4Addr::LOCALHOST, Route::Loopback));
        }
        if self.has_other(d) {
            return Ok((d, Route::Loopback));
        }
        self.usable?;
        let Some(first) = self.addresses.first().map(Ipv4Cidr::address) else {
            // As Linux: what has no address yet may still call everyone, which
            // is how it gets one. The families have no use for that.
            return Err(Errno::ENETUNREACH);
        };
        if d.is_multicast() {
            let [_, b, c, e] = d.octets();
            return Ok((first, Route::Group(EthernetAddress([0x01, 0x00, 0x5e, b & 0x7f, c, e]))));
        }
        if self.is_broadcast(d) {
            let own = self.addresses.iter().find(|a| a.broadcast() == Some(d));
            return Ok((own.map_or(first, Ipv4Cidr::address), Route::GroupAndSelf(EthernetAddress::BROADCAST)));
        }
        let hop = self.next_hop(d).ok_or(Errno::ENETUNREACH)?;
        let own = self.addresses.iter().find(|a| a.contains_addr(&hop));
        Ok((own.map_or(first, Ipv4Cidr::address), Route::Neighbor(hop.into())))
    }

    /// The neighbour that takes packets to `d`: that of the longest prefix, and
    /// of equal ones the first.
    fn next_hop(&self, d: Ipv4Addr) -> Option<Ipv4Addr> {
        let connected = self.addresses.iter().map(|a| (*a, None));
        let added = self.routes.iter().map(|r| (r.prefix, r.gateway));
        let default = self.gateway.map(|g| (Ipv4Cidr::new(Ipv4Addr::UNSPECIFIED, 0), Some(g)));
        let ways = connected.chain(added).chain(default).filter(|(prefix, _)| prefix.contains_addr(&d));
        let best = ways.reduce(|a, b| if b.0.prefix_len() > a.0.prefix_len() { b } else { a });
        best.map(|(_, gateway)| gateway.unwrap_or(d))
    }

    /// SIOCADDRT. EEXIST if it is there, ENETUNREACH if its gateway is no
    /// neighbour, ENOBUFS if there are too many.
    pub fn add_route(&mut self, route: Route4) -> Result<(), Errno> {
        if self.routes.contains(&route) {
            return Err(Errno::EEXIST);
        }
        if route.gateway.is_some_and(|g| !self.addresses.iter().any(|a| a.contains_addr(&g))) {
            return Err(Errno::ENETUNREACH);
        }
        if self.routes.len() >= MAX_ROUTES {
            return Err(Errno::ENOBUFS);
        }
        self.routes.push(route);
        self.changed();
        Ok(())
    }

    /// SIOCDELRT: without a gateway, the first one to that prefix. ESRCH if
    /// there is none.
    pub fn remove_route(&mut self, prefix: Ipv4Cidr, gateway: Option<Ipv4Addr>) -> Result<(), Errno> {
        let at = self.routes.iter().position(|r| r.prefix == prefix && (gateway.is_none() || r.gateway == gateway));
        if let Some(at) = at {
            self.routes.remove(at);
        } else if prefix.prefix_len() == 0
            && let Some(own) = self.gateway
            && gateway.is_none_or(|g| g == own)
        {
            self.gateway = None;
        } else {
            return Err(Errno::ESRCH);
        }
        self.changed();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    fn port(addresses: &[&str]) -> Ipv4 {
        let mut port = Ipv4::new();
        port.configure(Some(Ipv4Config {
            address: addresses[0].parse().unwrap(),
            gateway: Some(at("10.0.2.2")),
            dns: Vec::new(),
        }));
        for a in &addresses[1..] {
            port.add(a.parse().unwrap()).unwrap();
        }
        port
    }

    fn way(port: &Ipv4, d: &str) -> (Ipv4Addr, Route) {
        port.path(at(d)).unwrap()
    }

    #[test]
    fn ways_of_one_address_and_of_several() {
        for mut port in [port(&["10.0.2.15/24"]), port(&["10.0.2.15/24", "192.168.7.1/16"])] {
            let own = at("10.0.2.15");
            assert_eq!(way(&port, "10.0.2.15"), (own, Route::Loopback));
            assert_eq!(way(&port, "127.1.2.3"), (at("127.0.0.1"), Route::Loopback));
            assert_eq!(way(&port, "10.0.2.7"), (own, Route::Neighbor(at("10.0.2.7").into())));
            assert_eq!(way(&port, "9.9.9.9"), (own, Route::Neighbor(at("10.0.2.2").into())));
            for d in ["10.0.2.255", "255.255.255.255"] {
                assert_eq!(way(&port, d), (own, Route::GroupAndSelf(EthernetAddress::BROADCAST)));
            }
            let group = Route::Group(EthernetAddress([1, 0, 0x5e, 0x7f, 1, 2]));
            assert_eq!(way(&port, "224.255.1.2"), (own, group));
            // Longer prefixes first, and routes can go again.
            let route = Route4 { prefix: "9.9.0.0/16".parse().unwrap(), gateway: Some(at("10.0.2.9")) };
            port.add_route(route).unwrap();
            assert_eq!(port.add_route(route), Err(Errno::EEXIST));
            assert_eq!(way(&port, "9.9.9.9").1, Route::Neighbor(at("10.0.2.9").into()));
            assert_eq!(way(&port, "9.8.9.9").1, Route::Neighbor(at("10.0.2.2").into()));
            port.remove_route(route.prefix, None).unwrap();
            assert_eq!(port.remove_route(route.prefix, None), Err(Errno::ESRCH));
            let far = Route4 { gateway: Some(at("11.0.0.1")), ..route };
            assert_eq!(port.add_route(far), Err(Errno::ENETUNREACH));
            // Without a default route.
            port.remove_route("0.0.0.0/0".parse().unwrap(), None).unwrap();
            assert_eq!(port.path(at("9.9.9.9")), Err(Errno::ENETUNREACH));
            port.set_usable(Err(Errno::ENETDOWN));
            assert_eq!(port.path(at("10.0.2.7")), Err(Errno::ENETDOWN));
            assert_eq!(way(&port, "10.0.2.15"), (own, Route::Loopback));
        }
        let port = port(&["10.0.2.15/24", "192.168.7.1/16"]);
        assert_eq!(way(&port, "192.168.9.9"), (at("192.168.7.1"), Route::Neighbor(at("192.168.9.9").into())));
        assert_eq!(way(&port, "192.168.7.1"), (at("192.168.7.1"), Route::Loopback));
        assert_eq!(way(&port, "192.168.255.255"), (at("192.168.7.1"), Route::GroupAndSelf(EthernetAddress::BROADCAST)));
        assert!(port.has(at("192.168.7.1")) && !port.has(at("192.168.7.2")));
    }
}
