//! ioctl(2) on interfaces and routes (netdevice(7), `linux/route.h`,
//! `linux/ipv6_route.h`), for sockets of any family.
//!
//! What cannot be changed is refused with EOPNOTSUPP, never ignored: hardware
//! and broadcast addresses, anything of loopback. SIOCGIFCONF has no fixed size: the client library
//! makes its answer from the list of interfaces. Whether the client may change
//! anything was asked before (`policy`).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::wire::{Ipv4Cidr, Ipv6Cidr};
use strait_abi::{
    Errno,
    address::{AF_INET, AF_INET6},
    interface::{self as i, IFREQ_BYTES, RTF_GATEWAY, RTF_HOST},
    socket as c,
};

use super::{
    ETH_INDEX, Links,
    interface::Interface,
    ipv4::Route4,
    ipv6::{MAX_ROUTES, Origin, Route6},
};

/// Where the value of an `ifreq` begins.
const VALUE: usize = i::NAME_BYTES;
/// What SIOCGIFTXQLEN says (Linux: of a network card).
const QUEUE: i32 = 1000;
/// Flags that can be set on Linux and not here: IFF_NOARP, IFF_PROMISC,
/// IFF_ALLMULTI.
const FIXED: u32 = 0x80 | 0x100 | 0x200;

/// Answers a request in `answer`, which holds the argument; returns how much of
/// it goes back. ENOTTY if it is none of these.
pub fn ioctl(
    links: &mut Links,
    now: u64,
    domain: u16,
    request: u32,
    argument: &[u8],
    answer: &mut [u8],
) -> Result<usize, Errno> {
    let six = domain == AF_INET6;
    match request {
        c::SIOCADDRT | c::SIOCDELRT => {
            let add = request == c::SIOCADDRT;
            if six { links.route_request6(argument, add) } else { links.route_request4(argument, add) }?;
            links.changed = true;
            Ok(0)
        }
        c::SIOCSIFADDR | c::SIOCDIFADDR if six => {
            links.address_request6(now, argument, request == c::SIOCSIFADDR)?;
            Ok(0)
        }
        c::SIOCGIFNAME => {
            let index = word(argument, VALUE)?;
            let name = links.interface(index).ok_or(Errno::ENODEV)?.name.as_bytes();
            let into = answer.get_mut(..IFREQ_BYTES).ok_or(Errno::EFAULT)?;
            into[..VALUE].fill(0);
            into[..name.len()].copy_from_slice(name);
            Ok(IFREQ_BYTES)
        }
        c::SIOCGIFINDEX
        | c::SIOCGIFFLAGS
        | c::SIOCGIFADDR
        | c::SIOCGIFDSTADDR
        | c::SIOCGIFNETMASK
        | c::SIOCGIFBRDADDR
        | c::SIOCGIFMTU
        | c::SIOCGIFHWADDR
        | c::SIOCGIFMETRIC
        | c::SIOCGIFTXQLEN => {
            let interface = named(links, argument)?;
            let value = answer.get_mut(VALUE..IFREQ_BYTES).ok_or(Errno::EFAULT)?;
            links.get(&interface, request, value)?;
            Ok(IFREQ_BYTES)
        }
        c::SIOCSIFFLAGS | c::SIOCSIFADDR | c::SIOCSIFNETMASK | c::SIOCSIFBRDADDR | c::SIOCSIFMTU | c::SIOCSIFHWADDR => {
            let interface = named(links, argument)?;
            links.set(now, &interface, request, &argument[VALUE..IFREQ_BYTES])?;
            Ok(0)
        }
        _ => Err(Errno::ENOTTY),
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32, Errno> {
    let bytes = bytes.get(at..at + 4).ok_or(Errno::EFAULT)?;
    Ok(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

fn named(links: &Links, argument: &[u8]) -> Result<Interface, Errno> {
    let argument = argument.get(..IFREQ_BYTES).ok_or(Errno::EFAULT)?;
    i::name(argument).and_then(|name| links.interface_named(name)).ok_or(Errno::ENODEV)
}

/// The address in a `sockaddr_in`.
fn address(value: &[u8]) -> Result<Ipv4Addr, Errno> {
    match value.first_chunk::<8>() {
        Some([f, g, _, _, a, b, c, d]) if u16::from_ne_bytes([*f, *g]) == AF_INET => Ok(Ipv4Addr::new(*a, *b, *c, *d)),
        Some(_) => Err(Errno::EINVAL),
        None => Err(Errno::EFAULT),
    }
}

fn put(value: &mut [u8], bytes: &[u8]) {
    value.fill(0);
    value[..bytes.len()].copy_from_slice(bytes);
}

/// A `sockaddr_in`.
fn put_address(value: &mut [u8], ip: Ipv4Addr) {
    put(value, &AF_INET.to_ne_bytes());
    value[4..8].copy_from_slice(&ip.octets());
}

/// The prefix length of a network mask; EINVAL if it is none.
fn prefix_of(mask: Ipv4Addr) -> Result<u8, Errno> {
    let mask = u32::from(mask);
    if mask.leading_ones() + mask.trailing_zeros() < 32 { Err(Errno::EINVAL) } else { Ok(mask.leading_ones() as u8) }
}

/// The prefix of an address that came without (RFC 791 3.2, as Linux).
fn class(ip: Ipv4Addr) -> u8 {
    match ip.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        _ => 24,
    }
}

fn unicast(ip: Ipv4Addr) -> bool {
    !(ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() || ip.is_loopback())
}

impl Links {
    fn get(&self, interface: &Interface, request: u32, value: &mut [u8]) -> Result<(), Errno> {
        let first = self.addresses(interface.index).find_map(|(ip, prefix)| match ip {
            IpAddr::V4(ip) => Some(Ipv4Cidr::new(ip, prefix)),
            IpAddr::V6(_) => None,
        });
        let own = || first.ok_or(Errno::EADDRNOTAVAIL);
        match request {
            c::SIOCGIFINDEX => put(value, &interface.index.to_ne_bytes()),
            c::SIOCGIFFLAGS => put(value, &(interface.flags as u16).to_ne_bytes()),
            c::SIOCGIFMTU => put(value, &interface.mtu.to_ne_bytes()),
            c::SIOCGIFMETRIC => put(value, &0i32.to_ne_bytes()),
            c::SIOCGIFTXQLEN => put(value, &QUEUE.to_ne_bytes()),
            c::SIOCGIFHWADDR => {
                put(value, &interface.kind.to_ne_bytes());
                value[2..8].copy_from_slice(&interface.hardware);
            }
            c::SIOCGIFNETMASK => put_address(value, own()?.netmask()),
            c::SIOCGIFBRDADDR => {
                let broadcast = own()?.broadcast().filter(|_| interface.index == ETH_INDEX);
                put_address(value, broadcast.unwrap_or(Ipv4Addr::UNSPECIFIED));
            }
            _ => put_address(value, own()?.address()),
        }
        Ok(())
    }

    fn set(&mut self, now: u64, interface: &Interface, request: u32, value: &[u8]) -> Result<(), Errno> {
        if interface.index != ETH_INDEX {
            return Err(Errno::EOPNOTSUPP);
        }
        match request {
            c::SIOCSIFFLAGS => {
                let flags = u32::from(u16::from_ne_bytes([value[0], value[1]]));
                if flags & FIXED != 0 {
                    return Err(Errno::EOPNOTSUPP);
                }
                let (up, running) = self.state();
                let wanted = flags & i::IFF_UP != 0;
                if wanted != up {
                    self.set_state(now, wanted, running);
                }
            }
            c::SIOCSIFADDR => {
                let ip = address(value)?;
                if ip.is_unspecified() {
                    self.ipv4.configure(None);
                } else if unicast(ip) {
                    self.ipv4.set_first(Ipv4Cidr::new(ip, class(ip)));
                    self.announce_ipv4(now);
                } else {
                    return Err(Errno::EINVAL);
                }
                self.changed = true;
            }
            c::SIOCSIFNETMASK => {
                let prefix = prefix_of(address(value)?)?;
                let first = *self.ipv4.addresses().first().ok_or(Errno::EADDRNOTAVAIL)?;
                self.ipv4.set_first(Ipv4Cidr::new(first.address(), prefix));
                self.changed = true;
            }
            c::SIOCSIFMTU => self.set_mtu(now, word(value, 0)? as usize)?,
            _ => return Err(Errno::EOPNOTSUPP),
        }
        Ok(())
    }

    /// `struct rtentry`: destination at 8, gateway at 24, mask at 40, flags at
    /// 56. The interface's name behind that is a pointer of the client's and is
    /// not looked at: there is one interface that has routes.
    fn route_request4(&mut self, argument: &[u8], add: bool) -> Result<(), Errno> {
        let argument = argument.get(..58).ok_or(Errno::EFAULT)?;
        let flags = u16::from_ne_bytes([argument[56], argument[57]]);
        let destination = address(&argument[8..])?;
        let prefix = match flags & RTF_HOST {
            0 => prefix_of(Ipv4Addr::new(argument[44], argument[45], argument[46], argument[47]))?,
            _ => 32,
        };
        let cidr = Ipv4Cidr::new(destination, prefix);
        if cidr.network().address() != destination || destination.is_multicast() {
            return Err(Errno::EINVAL);
        }
        let gateway = match flags & RTF_GATEWAY {
            0 => None,
            _ => Some(address(&argument[24..]).ok().filter(|g| unicast(*g)).ok_or(Errno::EINVAL)?),
        };
        if add {
            self.state().0.then_some(()).ok_or(Errno::ENETDOWN)?;
            self.ipv4.add_route(Route4 { prefix: cidr, gateway })
        } else {
            self.ipv4.remove_route(cidr, gateway)
        }
    }

    /// `struct in6_rtmsg`: destination at 0, gateway at 32, prefix length at
    /// 52, flags at 72, interface at 76.
    fn route_request6(&mut self, argument: &[u8], add: bool) -> Result<(), Errno> {
        let argument = argument.get(..80).ok_or(Errno::EFAULT)?;
        let ip = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&argument[at..at + 16]).unwrap_or_default());
        let (destination, gateway) = (ip(0), ip(32));
        let prefix = u16::from_ne_bytes([argument[52], argument[53]]);
        if prefix > 128 || destination.is_multicast() || gateway.is_multicast() {
            return Err(Errno::EINVAL);
        }
        if !matches!(word(argument, 76)?, 0 | ETH_INDEX) {
            return Err(Errno::ENODEV);
        }
        let mask = if prefix == 0 { 0 } else { u128::MAX << (128 - prefix) };
        let destination = Ipv6Addr::from(u128::from(destination) & mask);
        let gateway = (word(argument, 72)? & u32::from(RTF_GATEWAY) != 0).then_some(gateway);
        let route = Route6 { prefix: Ipv6Cidr::new(destination, prefix as u8), gateway };
        let routes = &mut self.ipv6.routes;
        let known =
            routes.iter().position(|r| r.prefix == route.prefix && (!add && gateway.is_none() || r.gateway == gateway));
        match (add, known) {
            (true, Some(_)) => return Err(Errno::EEXIST),
            (true, None) if routes.len() >= MAX_ROUTES => return Err(Errno::ENOBUFS),
            (true, None) => routes.push(route),
            (false, Some(at)) => {
                routes.remove(at);
            }
            (false, None) => return Err(Errno::ESRCH),
        }
        Ok(())
    }

    /// `struct in6_ifreq`: address, prefix length, interface.
    fn address_request6(&mut self, now: u64, argument: &[u8], add: bool) -> Result<(), Errno> {
        let argument = argument.get(..24).ok_or(Errno::EFAULT)?;
        let ip = Ipv6Addr::from(<[u8; 16]>::try_from(&argument[..16]).unwrap_or_default());
        let (prefix, index) = (word(argument, 16)?, word(argument, 20)?);
        if self.interface(index).is_none() {
            return Err(Errno::ENODEV);
        }
        if index != ETH_INDEX {
            return Err(Errno::EOPNOTSUPP);
        }
        if !add {
            return self.remove_ipv6(now, ip);
        }
        if prefix > 128 || ip.is_multicast() || ip.is_unspecified() || ip.is_loopback() {
            return Err(Errno::EINVAL);
        }
        if self.ipv6.addresses.iter().any(|a| a.cidr.address() == ip) {
            return Err(Errno::EEXIST);
        }
        if !self.ipv6.enabled || !self.add_ipv6(now, Ipv6Cidr::new(ip, prefix as u8), Origin::Static) {
            return Err(Errno::ENOBUFS);
        }
        Ok(())
    }
}
