//! What an address of a client means on its socket: of which version it is,
//! whether it is this host, whether the socket may use it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use strait_abi::{
    Address, Errno,
    address::{AF_INET, AF_INET6, AF_UNSPEC, decode_inet},
};

use super::{Endpoint, ip};
use crate::{
    core::Core,
    link::{ETH_INDEX, LOOPBACK_INDEX, Links},
    socket::SocketId,
};

/// The unspecified address of a socket's domain.
pub fn any(core: &Core, id: SocketId) -> IpAddr {
    if is_6(core, id) { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

pub fn is_6(core: &Core, id: SocketId) -> bool {
    core.sockets[id].domain == AF_INET6
}

/// The address in bytes that came with a datagram of a socket of `domain`: on one
/// of AF_INET, AF_UNSPEC counts as that (Linux).
#[inline]
pub fn decode(domain: u16, bytes: &[u8]) -> Result<SocketAddr, Errno> {
    match decode_inet(bytes) {
        Err(Errno::EAFNOSUPPORT) => decode_unspecified(domain, bytes),
        other => other,
    }
}

#[cold]
fn decode_unspecified(domain: u16, bytes: &[u8]) -> Result<SocketAddr, Errno> {
    match bytes.first_chunk::<16>() {
        Some(bytes) if domain == AF_INET && bytes[..2] == AF_UNSPEC.to_ne_bytes() => {
            let mut bytes = *bytes;
            bytes[..2].copy_from_slice(&AF_INET.to_ne_bytes());
            decode_inet(&bytes)
        }
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// The destination that connect(2) and sendto(2) of a socket of `domain` mean:
/// the unspecified address stands for this host (ip(7)).
#[inline]
pub fn destination(domain: u16, endpoint: &Endpoint, address: SocketAddr) -> Result<SocketAddr, Errno> {
    match address {
        SocketAddr::V4(mut v4) if domain != AF_INET6 => {
            if v4.ip().is_unspecified() {
                v4.set_ip(Ipv4Addr::LOCALHOST);
            }
            Ok(v4.into())
        }
        _ => destination6(domain, endpoint, address),
    }
}

pub fn destination6(domain: u16, endpoint: &Endpoint, address: SocketAddr) -> Result<SocketAddr, Errno> {
    let SocketAddr::V6(v6) = address else {
        // Linux: an IPv4 destination on a socket for both.
        let kept = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port());
        return match address.ip() {
            _ if endpoint.only6 => Err(Errno::ENETUNREACH),
            ip if ip.is_unspecified() => Ok(kept),
            _ => Ok(address),
        };
    };
    if domain != AF_INET6 {
        return Err(Errno::EAFNOSUPPORT);
    }
    let ip = match v6.ip().to_ipv4_mapped() {
        Some(_) if endpoint.only6 => return Err(Errno::ENETUNREACH),
        Some(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
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

/// The address that bind(2) of a socket means.
pub fn to_bind(core: &Core, id: SocketId, endpoint: &Endpoint, address: &Address) -> Result<SocketAddr, Errno> {
    let address = match address.to_inet() {
        // Linux: AF_UNSPEC counts as AF_INET, for any address only.
        Err(Errno::EAFNOSUPPORT) => decode(core.sockets[id].domain, address.as_bytes())
            .ok()
            .filter(|a| a.ip().is_unspecified())
            .ok_or(Errno::EAFNOSUPPORT)?,
        other => other?,
    };
    match address {
        SocketAddr::V4(_) if !is_6(core, id) => Ok(address),
        SocketAddr::V6(v6) if is_6(core, id) => {
            let ip = *v6.ip();
            if let Some(v4) = ip.to_ipv4_mapped() {
                return if endpoint.only6 { Err(Errno::EINVAL) } else { Ok(SocketAddr::new(v4.into(), v6.port())) };
            }
            if ip::needs_scope(ip) {
                // Linux: a link-local address says nothing without its link.
                match v6.scope_id() {
                    0 => return Err(Errno::EINVAL),
                    ETH_INDEX | LOOPBACK_INDEX => {}
                    _ => return Err(Errno::ENODEV),
                }
                if v6.scope_id() == LOOPBACK_INDEX && !ip.is_multicast() {
                    return Err(Errno::EADDRNOTAVAIL);
                }
            }
            Ok(SocketAddr::new(ip.into(), v6.port()))
        }
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// Whether packets to an address go to many.
pub fn is_group(links: &Links, ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(a) => a.is_multicast() || links.is_broadcast(a),
        IpAddr::V6(a) => a.is_multicast(),
    }
}
