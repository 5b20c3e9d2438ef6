//! What an address of a client means on its socket: of which version it is,
//! whether it is this host, whether the socket may use it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use strait_abi::{
    Address, Errno,
    address::{AF_INET, AF_INET6, AF_UNSPEC, INET_LEN, decode_inet},
    socket as c,
};

use super::{Endpoint, ip};
use crate::{
    core::Core,
    link::{ETH_INDEX, LOOPBACK_INDEX, Links},
    policy,
    socket::SocketId,
};

/// The unspecified address of a socket's domain.
pub fn any(core: &Core, id: SocketId) -> IpAddr {
    if is_6(core, id) { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

pub fn is_6(core: &Core, id: SocketId) -> bool {
    core.sockets[id].domain == AF_INET6
}

/// The address of a socket of `domain` in a client's bytes: EINVAL if it is too
/// short for that, EAFNOSUPPORT if it is of another family (Linux looks in that
/// order).
fn decode(domain: u16, bytes: &[u8]) -> Result<SocketAddr, Errno> {
    let least = if domain == AF_INET6 { 24 } else { 16 };
    if bytes.len() < least {
        return Err(Errno::EINVAL);
    }
    if bytes[..2] == domain.to_ne_bytes() { decode_inet(bytes) } else { Err(Errno::EAFNOSUPPORT) }
}

/// [`decode`] where the family is that of the socket whatever the bytes say.
#[cold]
fn decode_as(domain: u16, bytes: &[u8]) -> Result<SocketAddr, Errno> {
    let mut own = [0; INET_LEN];
    let n = bytes.len().min(INET_LEN);
    own[..n].copy_from_slice(&bytes[..n]);
    own[..2].copy_from_slice(&domain.to_ne_bytes());
    decode(domain, &own[..n])
}

/// [`decode`] where AF_UNSPEC stands for the socket's family.
fn decode_unspecified(domain: u16, bytes: &[u8]) -> Result<SocketAddr, Errno> {
    if bytes.starts_with(&AF_UNSPEC.to_ne_bytes()) { decode_as(domain, bytes) } else { decode(domain, bytes) }
}

/// What Linux asks of the address of an echo socket of IPv6: that it is whole.
fn whole(bytes: &[u8]) -> Result<&[u8], Errno> {
    if bytes.len() < INET_LEN { Err(Errno::EINVAL) } else { Ok(bytes) }
}

/// The destination that comes with a datagram of a socket. `None` if AF_UNSPEC
/// stands for the peer. `by_4` says what is wrong with it if it goes by IPv4,
/// which Linux sees before it looks closer.
#[inline]
pub fn decode_to_send(
    domain: u16,
    endpoint: &Endpoint,
    bytes: &[u8],
    by_4: Result<(), Errno>,
) -> Result<Option<SocketAddr>, Errno> {
    let family = bytes.first_chunk().map(|b| u16::from_ne_bytes(*b)).ok_or(Errno::EINVAL)?;
    let four = || if endpoint.only6 { Err(Errno::ENETUNREACH) } else { by_4 };
    if let Some(raw) = &endpoint.raw {
        return match (domain, raw.ping) {
            (AF_INET6, true) => decode(domain, whole(bytes)?),
            (_, true) => decode(domain, bytes),
            (_, false) => decode_unspecified(domain, bytes),
        }
        .map(Some);
    }
    match (domain, family) {
        (AF_INET, _) => decode_unspecified(domain, bytes).map(Some),
        (_, AF_UNSPEC) => Ok(None),
        (_, AF_INET) => four().and_then(|()| decode(family, bytes)).map(Some),
        (_, AF_INET6) => {
            let to = decode(family, bytes)?;
            let own = to.ip().is_unspecified() && endpoint.local.is_some_and(|local| local.is_ipv4());
            if own || is_mapped(to) {
                four()?;
            }
            Ok(Some(to))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// The destination that connect(2) and sendto(2) of a socket of `domain` mean:
/// the unspecified address stands for this host (ip(7)).
#[inline]
pub fn destination(links: &Links, domain: u16, endpoint: &Endpoint, address: SocketAddr) -> Result<SocketAddr, Errno> {
    match address {
        SocketAddr::V4(v4) if domain != AF_INET6 => match v4.ip().is_unspecified() {
            true => Ok(SocketAddr::new(this_host(links, endpoint), v4.port())),
            false => Ok(address),
        },
        _ => destination6(links, domain, endpoint, address),
    }
}

/// Where the unspecified IPv4 address leads to: to the socket's own.
fn this_host(links: &Links, endpoint: &Endpoint) -> IpAddr {
    let own = endpoint.local.and_then(|local| bound_source(links, AF_INET, local.ip())).filter(IpAddr::is_ipv4);
    own.unwrap_or(Ipv4Addr::LOCALHOST.into())
}

fn destination6(links: &Links, domain: u16, endpoint: &Endpoint, address: SocketAddr) -> Result<SocketAddr, Errno> {
    let SocketAddr::V6(v6) = address else {
        // Linux: an IPv4 destination on a socket for both.
        return match address.ip() {
            _ if endpoint.only6 => Err(Errno::ENETUNREACH),
            ip if ip.is_unspecified() => Ok(SocketAddr::new(this_host(links, endpoint), address.port())),
            _ => Ok(address),
        };
    };
    if domain != AF_INET6 {
        return Err(Errno::EAFNOSUPPORT);
    }
    let ip = match v6.ip().to_ipv4_mapped() {
        Some(_) if endpoint.only6 => return Err(Errno::ENETUNREACH),
        Some(ip) if ip.is_unspecified() => this_host(links, endpoint),
        Some(ip) => ip.into(),
        // Bound to an IPv4 address, it means this host there.
        None if v6.ip().is_unspecified() => match endpoint.local {
            Some(local) if local.is_ipv4() => Ipv4Addr::LOCALHOST.into(),
            _ => IpAddr::V6(Ipv6Addr::LOCALHOST),
        },
        None if ip::needs_scope(*v6.ip()) && !matches!(v6.scope_id(), 0 | ETH_INDEX) => return Err(Errno::ENETUNREACH),
        None => IpAddr::V6(*v6.ip()),
    };
    Ok(SocketAddr::new(ip, v6.port()))
}

/// The peer that connect(2) of a socket means, which its client may reach.
pub fn to_connect(core: &Core, id: SocketId, endpoint: &Endpoint, address: &Address) -> Result<SocketAddr, Errno> {
    let (socket, bytes) = (&core.sockets[id], address.as_bytes());
    let dual = socket.domain == AF_INET6 && socket.kind == c::SOCK_DGRAM && endpoint.raw.is_none();
    let peer = match address.family() {
        Some(AF_INET) if dual && endpoint.only6 => return Err(Errno::EAFNOSUPPORT),
        // Linux: a stream socket for both takes mapped addresses only.
        Some(AF_INET) if dual => decode(AF_INET, bytes)?,
        Some(family) if endpoint.raw.is_some() && socket.domain == AF_INET6 && family != AF_INET6 => {
            return Err(Errno::EAFNOSUPPORT);
        }
        _ => decode(socket.domain, bytes)?,
    };
    if let SocketAddr::V6(v6) = peer
        && v6.ip().is_unicast_link_local()
        && v6.scope_id() == 0
        && socket.options.device == 0
    {
        // A link-local address says nothing without its link.
        return Err(Errno::EINVAL);
    }
    let peer = destination(&core.links, socket.domain, endpoint, peer)?;
    policy::may_connect(core, id, peer)?;
    // With a name of IPv4 it is no socket of IPv6.
    match endpoint.local {
        Some(local) if local.is_ipv4() && peer.is_ipv6() => Err(Errno::EAFNOSUPPORT),
        _ => Ok(peer),
    }
}

/// The address that comes with bind(2), as it is written.
pub fn decode_to_bind(core: &Core, id: SocketId, endpoint: &Endpoint, address: &Address) -> Result<SocketAddr, Errno> {
    let (socket, bytes) = (&core.sockets[id], address.as_bytes());
    let ping = endpoint.raw.is_some_and(|raw| raw.ping);
    let raw = endpoint.raw.is_some() && !ping;
    if socket.domain != AF_INET6 {
        if raw {
            // Linux does not look at the family.
            return decode_as(AF_INET, bytes);
        }
        let unspecified = address.family() == Some(AF_UNSPEC);
        let address = decode_unspecified(AF_INET, bytes)?;
        // Linux: AF_UNSPEC counts as AF_INET, for any address only.
        return if unspecified && !address.ip().is_unspecified() { Err(Errno::EAFNOSUPPORT) } else { Ok(address) };
    }
    let address = match decode(AF_INET6, if ping { whole(bytes)? } else { bytes }) {
        Err(_) if raw => return Err(Errno::EINVAL),
        other => other?,
    };
    // Linux: a stream may have a group's address of IPv4 only.
    let group = address.ip().is_multicast() && socket.kind == c::SOCK_STREAM;
    if group || endpoint.only6 && is_mapped(address) { Err(Errno::EINVAL) } else { Ok(address) }
}

fn is_mapped(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some())
}

/// The address that bind(2) of a socket means; EADDRNOTAVAIL if it is not this
/// host's.
pub fn to_bind(core: &Core, id: SocketId, address: SocketAddr) -> Result<IpAddr, Errno> {
    let ip = address.ip().to_canonical();
    if let (SocketAddr::V6(v6), IpAddr::V6(ip)) = (address, ip)
        && ip::needs_scope(ip)
    {
        // A link-local address says nothing without its link.
        let device = core.sockets[id].options.device;
        match (v6.scope_id(), device) {
            (0, 0) => return Err(Errno::EINVAL),
            (0, _) | (ETH_INDEX | LOOPBACK_INDEX, _) => {}
            _ => return Err(Errno::ENODEV),
        }
        if v6.scope_id() == LOOPBACK_INDEX && !ip.is_multicast() {
            return Err(Errno::EADDRNOTAVAIL);
        }
    }
    let there = ip.is_unspecified() || core.links.is_local(ip) || is_group(&core.links, ip);
    if there { Ok(ip) } else { Err(Errno::EADDRNOTAVAIL) }
}

/// The source that a socket bound to an address has: those of IPv4 have none if
/// that is many's. (On one of IPv6 it is a source all the same, as on Linux, which
/// no packet can have.)
pub fn bound_source(links: &Links, domain: u16, ip: IpAddr) -> Option<IpAddr> {
    let many = is_group(links, ip) && (domain != AF_INET6 || ip.is_ipv6());
    (!ip.is_unspecified() && !many).then_some(ip)
}

/// Whether packets to an address go to many.
pub fn is_group(links: &Links, ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(a) => a.is_multicast() || links.is_broadcast(a),
        IpAddr::V6(a) => a.is_multicast(),
    }
}
