//! Multicast options of datagram sockets: which groups they hear and how they
//! send to groups (ip(7), ipv6(7), RFC 3493 5.2, RFC 3678 4 without sources).
//!
//! Membership belongs to the host: with IP_MULTICAST_ALL, which is the default
//! as on Linux, a socket hears every group that any socket joined.

use alloc::{boxed::Box, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use strait_abi::{Errno, address::decode_inet, socket as c};

use super::{Endpoint, Inet, Shared, is_6, options::small_int};
use crate::{
    core::Core,
    link::{ETH_INDEX, LOOPBACK_INDEX, Links, Route},
    socket::{SocketId, int},
};

/// Groups of IPv4 that one socket may join (Linux: igmp_max_memberships). A
/// session has a share of all besides.
const MAX_MEMBERSHIPS: usize = 20;

/// How a socket deals with groups.
#[derive(Debug, Clone)]
pub struct Multicast {
    /// IP_MULTICAST_TTL and IPV6_MULTICAST_HOPS.
    hops: [u8; 2],
    /// IP_MULTICAST_LOOP and IPV6_MULTICAST_LOOP.
    back: [bool; 2],
    /// IP_MULTICAST_ALL and IPV6_MULTICAST_ALL.
    all: [bool; 2],
    /// IP_MULTICAST_IF and IPV6_MULTICAST_IF; 0 if it is not set.
    interface: [u32; 2],
    /// What IP_MULTICAST_IF said beside.
    source: Ipv4Addr,
    /// Groups joined, where, and by which session.
    groups: Vec<(IpAddr, u32, usize)>,
}

static DEFAULT: Multicast = Multicast {
    hops: [1; 2],
    back: [true; 2],
    all: [true; 2],
    interface: [0; 2],
    source: Ipv4Addr::UNSPECIFIED,
    groups: Vec::new(),
};

impl Multicast {
    fn is_member(&self, group: IpAddr, interface: u32) -> bool {
        self.groups.iter().any(|(g, i, _)| (*g, *i) == (group, interface))
    }
}

/// The place of a version in the pairs of [`Multicast`].
fn version(ip: IpAddr) -> usize {
    usize::from(ip.is_ipv6())
}

impl Endpoint {
    fn multicast(&self) -> &Multicast {
        self.multicast.as_deref().unwrap_or(&DEFAULT)
    }

    fn multicast_mut(&mut self) -> &mut Multicast {
        self.multicast.get_or_insert_with(|| Box::new(DEFAULT.clone()))
    }

    /// Whether a socket that is bound so that a group reaches it wants to hear
    /// it.
    pub fn hears(&self, group: IpAddr, interface: u32) -> bool {
        let own = self.multicast();
        own.all[version(group)] || own.is_member(group, interface)
    }

    /// How a packet to a group goes: its source, way and hop limit.
    #[cold]
    pub fn path_to_group(&self, links: &Links, group: IpAddr) -> Result<(IpAddr, Route, u8), Errno> {
        let (own, v) = (self.multicast(), version(group));
        let hops = own.hops[v];
        if own.interface[v] == LOOPBACK_INDEX {
            let source = match group {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
            return Ok((source, Route::Loopback, hops));
        }
        let (source, route) = links.path_to(group)?;
        let source = match source {
            IpAddr::V4(_) if !own.source.is_unspecified() => own.source.into(),
            source => source,
        };
        let back = own.back[v] && links.hears(group, ETH_INDEX);
        let route = match route {
            // Not beyond this host.
            Route::Group(_) if hops == 0 => Route::Back,
            Route::Group(mac) if back => Route::GroupAndSelf(mac),
            route => route,
        };
        Ok((source, route, hops))
    }
}

/// A membership as setsockopt(2) asks for it.
struct Wish {
    group: IpAddr,
    /// 0 if it is left open.
    interface: u32,
    /// Which address the interface has, if that says which it is.
    address: Ipv4Addr,
}

fn word(value: &[u8], at: usize) -> Option<[u8; 4]> {
    value.get(at..at + 4)?.try_into().ok()
}

/// `struct ip_mreq` or `struct ip_mreqn`.
fn mreq(value: &[u8]) -> Result<Wish, Errno> {
    let (Some(group), Some(address)) = (word(value, 0), word(value, 4)) else { return Err(Errno::EINVAL) };
    let interface = word(value, 8).map_or(0, u32::from_ne_bytes);
    Ok(Wish { group: IpAddr::V4(group.into()), interface, address: address.into() })
}

/// `struct ipv6_mreq`.
fn mreq6(value: &[u8]) -> Result<Wish, Errno> {
    let group = value.first_chunk::<16>().ok_or(Errno::EINVAL)?;
    let interface = word(value, 16).map(u32::from_ne_bytes).ok_or(Errno::EINVAL)?;
    Ok(Wish { group: IpAddr::V6((*group).into()), interface, address: Ipv4Addr::UNSPECIFIED })
}

/// `struct group_req`: the group is a `sockaddr_storage` at 8.
fn group_req(value: &[u8], six: bool) -> Result<Wish, Errno> {
    if value.len() < 136 {
        return Err(Errno::EINVAL);
    }
    let interface = word(value, 0).map_or(0, u32::from_ne_bytes);
    let group = decode_inet(&value[8..]).map_err(|_| Errno::EADDRNOTAVAIL)?.ip();
    if group.is_ipv6() != six {
        return Err(Errno::EADDRNOTAVAIL);
    }
    Ok(Wish { group, interface, address: Ipv4Addr::UNSPECIFIED })
}

impl Wish {
    /// The interface that is meant; ENODEV if there is none.
    fn interface(&self, links: &Links) -> Result<u32, Errno> {
        match self.interface {
            LOOPBACK_INDEX | ETH_INDEX => return Ok(self.interface),
            0 => {}
            _ => return Err(Errno::ENODEV),
        }
        if !self.address.is_unspecified() {
            return interface_of(links, self.address).ok_or(Errno::ENODEV);
        }
        // Where a packet to the group would go.
        match self.group {
            IpAddr::V4(group) => links.path(group).map(|_| ETH_INDEX).map_err(|_| Errno::ENODEV),
            IpAddr::V6(_) => {
                if links.ipv6.enabled {
                    Ok(ETH_INDEX)
                } else {
                    Err(Errno::ENODEV)
                }
            }
        }
    }
}

/// The interface that has an address.
fn interface_of(links: &Links, address: Ipv4Addr) -> Option<u32> {
    match address {
        a if a.is_loopback() => Some(LOOPBACK_INDEX),
        a => links.is_local(a.into()).then_some(ETH_INDEX),
    }
}

impl Inet {
    /// setsockopt(2) of the options of this module; `None` if it is not one.
    pub(super) fn set_multicast(
        &mut self,
        core: &mut Core,
        id: SocketId,
        level: i32,
        name: i32,
        value: &[u8],
    ) -> Option<Result<(), Errno>> {
        let stream = Self::is_tcp(core, id);
        match (level, name) {
            (c::IPPROTO_IP, c::IP_MULTICAST_TTL..=c::IP_DROP_MEMBERSHIP | c::IP_MULTICAST_ALL) => {}
            (c::IPPROTO_IPV6, c::IPV6_MULTICAST_IF..=c::IPV6_LEAVE_GROUP | c::IPV6_MULTICAST_ALL) if is_6(core, id) => {
            }
            (c::IPPROTO_IP, c::MCAST_JOIN_GROUP | c::MCAST_LEAVE_GROUP | c::IP_MULTICAST_IF) => {}
            (c::IPPROTO_IPV6, c::MCAST_JOIN_GROUP | c::MCAST_LEAVE_GROUP) if is_6(core, id) => {}
            _ => return None,
        }
        // Linux: what streams cannot have is wrong in one version and unknown
        // in the other; membership is a matter of protocol.
        let refused = match (level, name) {
            _ if !stream => None,
            (c::IPPROTO_IP, c::IP_MULTICAST_TTL | c::IP_MULTICAST_IF) => Some(Errno::EINVAL),
            (c::IPPROTO_IPV6, c::IPV6_MULTICAST_HOPS | c::IPV6_MULTICAST_IF) => Some(Errno::ENOPROTOOPT),
            (_, c::IP_ADD_MEMBERSHIP | c::IP_DROP_MEMBERSHIP) if level == c::IPPROTO_IP => Some(Errno::EPROTO),
            (_, c::IPV6_JOIN_GROUP | c::IPV6_LEAVE_GROUP) if level == c::IPPROTO_IPV6 => Some(Errno::EPROTO),
            (_, c::MCAST_JOIN_GROUP | c::MCAST_LEAVE_GROUP) => Some(Errno::EPROTO),
            _ => None,
        };
        Some(match refused {
            Some(errno) => Err(errno),
            None if level == c::IPPROTO_IP => self.set_multicast4(core, id, name, value),
            None => self.set_multicast6(core, id, name, value),
        })
    }

    fn set_multicast4(&mut self, core: &mut Core, id: SocketId, name: i32, value: &[u8]) -> Result<(), Errno> {
        let number = if value.is_empty() { Err(Errno::EINVAL) } else { Ok(small_int(value)) };
        match name {
            c::IP_MULTICAST_TTL => {
                let hops = match number? {
                    -1 => 1,
                    n => u8::try_from(n).map_err(|_| Errno::EINVAL)?,
                };
                self.endpoint(core, id).multicast_mut().hops[0] = hops;
            }
            c::IP_MULTICAST_LOOP => self.endpoint(core, id).multicast_mut().back[0] = number? != 0,
            c::IP_MULTICAST_ALL => {
                let all = match number? {
                    n @ 0..=1 => n != 0,
                    _ => return Err(Errno::EINVAL),
                };
                self.endpoint(core, id).multicast_mut().all[0] = all;
            }
            c::IP_MULTICAST_IF => {
                let wish = match value.len() {
                    0..4 => return Err(Errno::EINVAL),
                    4..8 => Wish {
                        group: Ipv4Addr::UNSPECIFIED.into(),
                        interface: 0,
                        address: word(value, 0).unwrap_or_default().into(),
                    },
                    _ => mreq(value)?,
                };
                let interface = match wish.interface {
                    0 if wish.address.is_unspecified() => 0,
                    0 => interface_of(&core.links, wish.address).ok_or(Errno::EADDRNOTAVAIL)?,
                    n @ (LOOPBACK_INDEX | ETH_INDEX) => n,
                    _ => return Err(Errno::EADDRNOTAVAIL),
                };
                let own = self.endpoint(core, id).multicast_mut();
                (own.interface[0], own.source) = (interface, wish.address);
            }
            c::IP_ADD_MEMBERSHIP => self.join(core, id, &mreq(value)?)?,
            c::IP_DROP_MEMBERSHIP => self.leave(core, id, &mreq(value)?)?,
            c::MCAST_JOIN_GROUP => self.join(core, id, &group_req(value, false)?)?,
            c::MCAST_LEAVE_GROUP => self.leave(core, id, &group_req(value, false)?)?,
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    fn set_multicast6(&mut self, core: &mut Core, id: SocketId, name: i32, value: &[u8]) -> Result<(), Errno> {
        let flag = |value| match int(value)? {
            n @ 0..=1 => Ok(n != 0),
            _ => Err(Errno::EINVAL),
        };
        match name {
            c::IPV6_MULTICAST_HOPS => {
                let hops = match int(value)? {
                    -1 => 1,
                    n => u8::try_from(n).map_err(|_| Errno::EINVAL)?,
                };
                self.endpoint(core, id).multicast_mut().hops[1] = hops;
            }
            c::IPV6_MULTICAST_LOOP => self.endpoint(core, id).multicast_mut().back[1] = flag(value)?,
            c::IPV6_MULTICAST_ALL => self.endpoint(core, id).multicast_mut().all[1] = flag(value)?,
            c::IPV6_MULTICAST_IF => {
                let interface = int(value)?;
                if !matches!(interface as u32, 0 | LOOPBACK_INDEX | ETH_INDEX) {
                    return Err(Errno::ENODEV);
                }
                self.endpoint(core, id).multicast_mut().interface[1] = interface as u32;
            }
            c::IPV6_JOIN_GROUP => self.join(core, id, &mreq6(value)?)?,
            c::IPV6_LEAVE_GROUP => self.leave(core, id, &mreq6(value)?)?,
            c::MCAST_JOIN_GROUP => self.join(core, id, &group_req(value, true)?)?,
            c::MCAST_LEAVE_GROUP => self.leave(core, id, &group_req(value, true)?)?,
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    fn join(&mut self, core: &mut Core, id: SocketId, wish: &Wish) -> Result<(), Errno> {
        if !wish.group.is_multicast() {
            return Err(Errno::EINVAL);
        }
        let interface = wish.interface(&core.links)?;
        let own = self.endpoint(core, id).multicast_mut();
        if own.is_member(wish.group, interface) {
            return Err(Errno::EADDRINUSE);
        }
        if wish.group.is_ipv4() && own.groups.iter().filter(|g| g.0.is_ipv4()).count() >= MAX_MEMBERSHIPS {
            return Err(Errno::ENOBUFS);
        }
        let session = core.sockets[id].session;
        core.links.join(core.now, wish.group, interface, session)?;
        self.endpoint(core, id).multicast_mut().groups.push((wish.group, interface, session));
        Ok(())
    }

    fn leave(&mut self, core: &mut Core, id: SocketId, wish: &Wish) -> Result<(), Errno> {
        if !wish.group.is_multicast() {
            return Err(Errno::EINVAL);
        }
        let interface = wish.interface(&core.links)?;
        let own = self.endpoint(core, id).multicast_mut();
        let here = |g: &(IpAddr, u32, usize)| (g.0, g.1) == (wish.group, interface);
        let at = own.groups.iter().position(here).ok_or(Errno::EADDRNOTAVAIL)?;
        let (group, interface, session) = own.groups.remove(at);
        core.links.leave(core.now, group, interface, session);
        Ok(())
    }

    /// getsockopt(2) of the options of this module; `None` if it is not one.
    /// The bytes of the value and how many there are.
    pub(super) fn get_multicast(&mut self, core: &Core, id: SocketId, level: i32, name: i32) -> Option<[u8; 4]> {
        let six = is_6(core, id);
        let own = self.endpoint(core, id).multicast();
        let number = match (level, name) {
            (c::IPPROTO_IP, c::IP_MULTICAST_TTL) => own.hops[0].into(),
            (c::IPPROTO_IP, c::IP_MULTICAST_LOOP) => own.back[0].into(),
            (c::IPPROTO_IP, c::IP_MULTICAST_ALL) => own.all[0].into(),
            (c::IPPROTO_IP, c::IP_MULTICAST_IF) => return Some(own.source.octets()),
            (c::IPPROTO_IPV6, c::IPV6_MULTICAST_HOPS) if six => own.hops[1].into(),
            (c::IPPROTO_IPV6, c::IPV6_MULTICAST_LOOP) if six => own.back[1].into(),
            (c::IPPROTO_IPV6, c::IPV6_MULTICAST_ALL) if six => own.all[1].into(),
            (c::IPPROTO_IPV6, c::IPV6_MULTICAST_IF) if six => own.interface[1] as i32,
            _ => return None,
        };
        Some(i32::to_ne_bytes(number))
    }
}

impl Shared {
    /// The socket is closed: it leaves its groups.
    pub fn leave_all(&mut self, core: &mut Core, id: SocketId) {
        let state = core.sockets[id].state;
        if let Some(own) = self.endpoints[state].multicast.take() {
            for (group, interface, session) in own.groups {
                core.links.leave(core.now, group, interface, session);
            }
        }
    }
}
