//! Datagrams on their way out: what a record of the ring asks for, and what is
//! wrong with that, in the order of Linux.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use smoltcp::wire::{IpProtocol, UdpPacket};
use strait_abi::{
    Errno,
    address::{AF_INET6, INET_LEN},
    net::RecordHeader,
    socket as c,
};
use strait_ring::Misbehaved;
use zerocopy::FromBytes;

use super::{HEAD, UDP_HEADER};
use crate::{
    core::Core,
    inet::{
        Port, Shared,
        addressing::{bound_source, decode_to_send, destination},
        ancillary::{self, Own, Wishes},
        checksum,
        ip::{self, V4_HEADER, V6_HEADER},
        raw::Way,
    },
    policy,
    socket::SocketId,
};

/// What became of the first record of a ring.
pub enum Step {
    /// There is none.
    Empty,
    Sent,
    /// It was taken, and its error becomes SO_ERROR.
    Failed(Errno),
    /// It was taken, and the call gets the error that was pending.
    Pending,
    /// It stays: there is no buffer for it.
    NoBuffer,
    /// It stays: the socket has no port yet.
    Unbound,
    /// It is no record.
    Misbehaved(Misbehaved),
}

/// Sends the first record of the ring. If `called`, the last one is that of a
/// call, which gets what is wrong with the socket as well (Linux:
/// sock_alloc_send_pskb).
pub fn send_next(shared: &mut Shared, core: &mut Core, id: SocketId, called: bool) -> Step {
    let Core { now, links, sockets, sessions, .. } = core;
    let Some(socket) = sockets.get_mut(id) else { return Step::Empty };
    let Some(rings) = socket.rings.as_deref_mut() else { return Step::Empty };
    let available = match rings.tx.available() {
        Ok(0) => return Step::Empty,
        Ok(n) => n,
        Err(error) => return Step::Misbehaved(error),
    };
    let endpoint = &shared.endpoints[socket.state];
    let local = match endpoint.local {
        Some(local) if endpoint.port != Port::None || socket.kind == c::SOCK_RAW => local,
        None if socket.kind == c::SOCK_RAW => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
        _ => return Step::Unbound,
    };
    let session = &mut sessions[socket.session];
    let arena = &mut session.arena;
    // Both in one piece: most records are longer than that.
    let mut head = [0; HEAD];
    let n = HEAD.min(available as usize);
    let read = rings.tx.copy(0, &mut head[..n]);
    let header = RecordHeader::read_from_prefix(&head).ok().filter(|_| read.is_some());
    let whole = header.and_then(|(h, _)| Some((h, h.total()?))).filter(|(_, total)| *total <= available);
    let Some((record, total)) = whole else {
        // Nobody can tell where the next one begins: all of it is thrown away.
        rings.tx.consume(available, arena);
        return Step::Misbehaved(Misbehaved);
    };
    let name = &head[RecordHeader::BYTES..][..usize::from(record.address).min(INET_LEN)];
    let mut pending = false;
    let result = (|| {
        let mut buffer = [0; ancillary::MOST];
        let control = buffer.get_mut(..record.control.into()).ok_or(Errno::EINVAL)?;
        let mut own = Own::default();
        if record.control != 0 {
            // The record was checked to lie in the ring.
            let _ = rings.tx.copy(record.control_offset(), control);
            own = Own::of(control);
        }
        if socket.domain != AF_INET6 || endpoint.raw.is_some() {
            own.by_4()?;
        }
        let to = match name {
            [] => None,
            name => decode_to_send(socket.domain, endpoint, name, own.by_4())?,
        };
        let to = match to {
            Some(to) if to.port() == 0 && endpoint.raw.is_none() => return Err(Errno::EINVAL),
            Some(to) => {
                let to = destination(links, socket.domain, endpoint, to)?;
                policy::may_send(&session.policy, socket.protocol, to)?;
                to
            }
            None => {
                let peer = endpoint.peer.ok_or(Errno::EDESTADDRREQ)?;
                if peer.is_ipv4() && name.is_empty() {
                    own.by_4()?;
                }
                peer
            }
        };
        let (target, port) = (to.ip(), to.port());
        // Linux: by AF_UNSPEC a peer of IPv4 is looked for by IPv6.
        let lost = match target {
            IpAddr::V4(ip) if !name.is_empty() && name[..2] == [0; 2] && socket.domain == AF_INET6 => {
                Some(ip.to_ipv6_mapped().into())
            }
            _ => None,
        };
        let wishes = match control {
            [] => Wishes::default(),
            control => ancillary::wishes(links, socket.domain, control, lost.unwrap_or(target))?,
        };
        if lost.is_some() {
            return Err(Errno::ENETUNREACH);
        }
        let (header, mut hops, tos) = if target.is_ipv4() {
            (V4_HEADER, endpoint.ip.ttl, endpoint.ip.tos)
        } else {
            (V6_HEADER, endpoint.hops, endpoint.ip.class)
        };
        let (natural, route) = if target.is_multicast() {
            let (source, route, few) = endpoint.path_to_group(links, target)?;
            hops = few;
            (source, route)
        } else {
            links.path_to(target)?
        };
        let mut route = route;
        let source = match local.ip() {
            ip if ip == natural || ip.is_unspecified() && ip.is_ipv6() => None,
            // With a name of IPv4 it is none of IPv6. (The other way round it
            // can be, unless bind(2) made it one of IPv6 only.)
            ip if ip.is_ipv4() && target.is_ipv6() => return Err(Errno::EAFNOSUPPORT),
            ip if ip.is_ipv4() != target.is_ipv4() => None,
            ip => bound_source(links, socket.domain, ip),
        };
        let source = if wishes.unbound { None } else { wishes.source.or(source) };
        if let Some(source) = source {
            route = Shared::may_leave(links, source, route, target)?;
        }
        let source = source.unwrap_or(natural);
        let (hops, tos) = (wishes.ttl.unwrap_or(hops), wishes.tos.unwrap_or(tos));
        Shared::may_take(&socket.options, own.dont_route, route, target)?;
        if matches!(target, IpAddr::V4(t) if links.is_broadcast(t)) && !socket.options.broadcast {
            return Err(Errno::EACCES);
        }
        let (data, offset) = (record.data as usize, record.data_offset());
        let carries = usize::from(u16::MAX) - UDP_HEADER - if header == V4_HEADER { header } else { 0 };
        if own.too_long || endpoint.raw.is_none() && data > carries {
            return Err(Errno::EMSGSIZE);
        }
        if called && total == available {
            if let Some(errno) = socket.error {
                pending = true;
                return Err(errno);
            }
            if endpoint.shut.1 {
                return Err(Errno::EPIPE);
            }
        }
        if own.only_asked {
            return Ok(());
        }
        if let Some(raw) = &endpoint.raw {
            if data > usize::from(u16::MAX) {
                return Err(Errno::EMSGSIZE);
            }
            // What is looked at and what is sent are the same bytes.
            let mut bytes = alloc::vec![0; data];
            let _ = rings.tx.copy(offset, &mut bytes);
            raw.check(&bytes, target, links.mtu_of(route))?;
            let protocol = u8::try_from(socket.protocol);
            let protocol = if target.is_ipv6() { protocol.map_err(|_| Errno::EINVAL)? } else { socket.protocol as u8 };
            let identification = links.identification() as u16;
            let way = Way { source, target, protocol, hops, tos, identifier: local.port(), identification };
            let prefix = raw.prefix(target);
            return links.emit_on(*now, route, prefix + data, |packet| {
                packet[prefix..].copy_from_slice(&bytes);
                raw.complete(packet, &way);
            });
        }
        links.emit_on(*now, route, header + UDP_HEADER + data, |packet| {
            ip::write_header(packet, source, target, IpProtocol::Udp, hops);
            if tos != 0 {
                ip::set_tos(packet, tos);
            }
            let mut udp = UdpPacket::new_unchecked(&mut packet[header..]);
            udp.set_src_port(local.port());
            udp.set_dst_port(port);
            udp.set_len((UDP_HEADER + data) as u16);
            udp.set_checksum(0);
            // The record was checked to lie in the ring.
            let _ = rings.tx.copy(offset, &mut packet[header + UDP_HEADER..]);
            let sum = checksum::transport(packet);
            // 0 would mean "none" (RFC 768).
            let sum = if sum == 0 { 0xffff } else { sum };
            UdpPacket::new_unchecked(&mut packet[header..]).set_checksum(sum);
        })
    })();
    match result {
        Err(Errno::ENOBUFS) => return Step::NoBuffer,
        _ => rings.tx.consume(total, arena),
    }
    match result {
        Ok(()) => Step::Sent,
        Err(_) if pending => Step::Pending,
        Err(errno) => Step::Failed(errno),
    }
}
