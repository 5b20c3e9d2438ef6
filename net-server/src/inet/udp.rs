//! UDP (RFC 768), straight between packets and rings: one copy in, one out.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use smoltcp::wire::{IpProtocol, UdpPacket};
use strait_abi::{
    Errno,
    address::{AF_INET6, INET_LEN, encode_inet},
    net::RecordHeader,
    session::status,
    socket as c,
};
use strait_ring::Misbehaved;
use zerocopy::{FromBytes, IntoBytes};

use super::{
    Port, Shared,
    addressing::{bound_source, decode_to_send},
    ancillary::{self, Own, Wishes},
    checksum, destination, icmp, icmp6,
    ip::{self, V4_HEADER, V6_HEADER},
    ports::spread,
    raw::Way,
};
use crate::{core::Core, policy, socket::SocketId};

const UDP: u16 = c::IPPROTO_UDP as u16;
const UDP_HEADER: usize = 8;
/// Bytes of a record with the longest datagram.
const MAX_RECORD: u32 = 65_535 + 64 + ancillary::MOST as u32;
/// Datagrams that one socket may send in one turn.
const BURST: usize = 64;

/// How much better a socket fits that is connected to the sender.
const PEER: u8 = 32;

/// Whether `from` is the peer of a socket: one without port is any port (Linux:
/// compute_score).
pub fn speaks(peer: SocketAddr, from: SocketAddr) -> bool {
    peer == from || peer.port() == 0 && peer.ip() == from.ip()
}

/// Sockets to look after at the end of the turn.
#[derive(Default)]
pub struct Udp {
    dirty: Vec<SocketId>,
    /// Those that had their share and have more.
    served: Vec<SocketId>,
    /// Those of this turn; kept for its memory.
    turn: Vec<SocketId>,
}

/// Lets the client write as much as it wants and may. Returns whether it waits
/// for that.
pub fn grant(core: &mut Core, id: SocketId) -> bool {
    let Some((rings, arena, options)) = core.rings(id) else { return false };
    // The longest datagram must fit, whatever SO_SNDBUF says.
    rings.grant(arena, options.send_buffer.max(MAX_RECORD))
}

/// connect(2) on a datagram socket: only what it sends to and hears from.
pub fn connect(shared: &mut Shared, core: &mut Core, id: SocketId, peer: SocketAddr) -> Result<(), Errno> {
    let (state, ip) = (core.sockets[id].state, peer.ip());
    let endpoint = &shared.endpoints[state];
    let domain = core.sockets[id].domain;
    let bound = endpoint.local.and_then(|local| bound_source(&core.links, domain, local.ip()));
    // One of IPv6 does not come from there by IPv4.
    let bound = bound.filter(|bound| bound.is_ipv4() == ip.is_ipv4());
    let source = match ip.is_multicast() {
        true => endpoint.path_to_group(&core.links, ip)?.0,
        false => Shared::way(core, id, bound, ip)?.0,
    };
    if matches!(ip, IpAddr::V4(a) if core.links.is_broadcast(a)) && !core.sockets[id].options.broadcast {
        return Err(Errno::EACCES);
    }
    if core.sockets[id].kind == c::SOCK_RAW && endpoint.local.is_none() {
        shared.endpoints[state].local = Some(SocketAddr::new(source, 0));
    }
    shared.settle_address(core, id, source);
    shared.endpoints[state].peer = Some(peer);
    update_status(shared, core, id);
    Ok(())
}

/// connect(2) with AF_UNSPEC (Linux: __udp_disconnect).
pub fn disconnect(shared: &mut Shared, core: &mut Core, id: SocketId) {
    core.sockets[id].options.device = 0;
    shared.share(core, id);
    shared.forget_name(core, id, true);
    let endpoint = &mut shared.endpoints[core.sockets[id].state];
    endpoint.peer = None;
    if endpoint.port == Port::None
        && let Some(local) = &mut endpoint.local
    {
        local.set_port(0);
    }
    update_status(shared, core, id);
}

/// Publishes the status that follows from connect(2) and shutdown(2).
pub fn update_status(shared: &Shared, core: &mut Core, id: SocketId) {
    let endpoint = &shared.endpoints[core.sockets[id].state];
    let (read, write) = endpoint.shut;
    let mut word = status::OUT;
    word |= if endpoint.peer.is_some() { status::CONNECTED } else { 0 };
    word |= if read { status::IN | status::RDHUP } else { 0 };
    word |= if write { status::WRSHUT } else { 0 };
    word |= if read && write { status::HUP } else { 0 };
    core.set_status(id, word);
}

impl Udp {
    /// The client moved data in the rings.
    pub fn touch(&mut self, shared: &mut Shared, core: &Core, id: SocketId) {
        let endpoint = &mut shared.endpoints[core.sockets[id].state];
        if !core::mem::replace(&mut endpoint.dirty, true) {
            self.dirty.push(id);
        }
    }

    /// A datagram arrived, in a valid packet for this host.
    pub fn input(&mut self, shared: &mut Shared, core: &mut Core, packet: &[u8], group: bool) -> bool {
        let header = ip::header_len(packet);
        let Ok(udp) = UdpPacket::new_checked(&packet[header..]) else { return false };
        // A checksum of 0 means that there is none, which IPv6 does not allow.
        let (source, target) = ip::addresses(packet);
        let right = match udp.checksum() {
            0 => source.is_ipv4(),
            _ => checksum::transport(&packet[..header + usize::from(udp.len())]) == 0,
        };
        if !right {
            return false;
        }
        let from = SocketAddr::new(source, udp.src_port());
        let to = SocketAddr::new(target, udp.dst_port());
        // The best match takes it; a broadcast goes to all that match.
        let rank = |shared: &Shared, core: &Core, binding: &super::ports::Binding| {
            if !binding.takes(target) {
                return None;
            }
            let socket = &core.sockets[binding.id];
            let endpoint = &shared.endpoints[socket.state];
            if socket.options.device != 0 && socket.options.device != core.links.arrived_on
                || group && target.is_multicast() && !endpoint.hears(target, core.links.arrived_on)
            {
                return None;
            }
            let fit = binding.fit(target) + if socket.options.device != 0 { 2 } else { 0 };
            match endpoint.peer {
                Some(peer) if !speaks(peer, from) => None,
                Some(peer) => Some(fit + PEER + u8::from(peer.port() != 0)),
                None => Some(fit),
            }
        };
        let bindings = shared.ports.at(UDP, to.port());
        let matches = bindings.iter().filter_map(|b| rank(shared, core, b).map(|r| (r, b)));
        if group {
            let all: Vec<SocketId> = matches.map(|(_, b)| b.id).collect();
            let mut taken = false;
            for id in all {
                taken |= deliver(shared, core, id, from, packet, udp.payload());
            }
            return taken;
        }
        match matches.clone().max_by_key(|(r, _)| *r) {
            Some((rank, best)) => {
                let id = if best.sharing.port && rank < PEER {
                    spread(best, matches.filter(|(r, _)| *r == rank).map(|(_, b)| b), || shared.hash(from))
                } else {
                    best.id
                };
                deliver(shared, core, id, from, packet, udp.payload())
            }
            None => {
                match source {
                    IpAddr::V4(_) => icmp::port_unreachable(core, packet),
                    IpAddr::V6(_) => icmp6::port_unreachable(core, packet),
                }
                false
            }
        }
    }

    /// See [`Family::settle`](crate::family::Family::settle).
    pub fn settle(&mut self, shared: &mut Shared, core: &mut Core) -> bool {
        if self.dirty.is_empty() {
            return false;
        }
        let mut more = false;
        core::mem::swap(&mut self.dirty, &mut self.turn);
        for i in 0..self.turn.len() {
            let id = self.turn[i];
            let Some(socket) = core.sockets.get(id) else { continue };
            if socket.kind == c::SOCK_STREAM {
                continue;
            }
            shared.endpoints[socket.state].dirty = false;
            if let Some((rings, arena, _)) = core.rings(id)
                && let Err(error) = rings.rx.reclaim(arena)
            {
                core.punish(id, error);
                continue;
            }
            let before = core.rings(id).map(|(rings, ..)| rings.tx.head());
            let left = self.transmit(shared, core, id);
            if grant(core, id) {
                core.event(id);
            }
            if left != Left::Nothing {
                // Those that could send nothing come first the next time.
                let sent = core.rings(id).map(|(rings, ..)| rings.tx.head()) != before;
                let endpoint = &mut shared.endpoints[core.sockets[id].state];
                if !core::mem::replace(&mut endpoint.dirty, true) {
                    if sent { self.served.push(id) } else { self.dirty.push(id) }
                }
                // For want of a buffer it goes on when one comes back, or when
                // what this host sent to itself has arrived.
                more |= left == Left::Some;
            }
        }
        self.turn.clear();
        self.dirty.append(&mut self.served);
        more
    }

    /// Sends the datagrams in the tx ring, and tells what became of the last. One
    /// for which there is no buffer goes out later. The socket gets a port before
    /// anything is looked at (Linux: inet_send_prepare).
    pub fn send(&mut self, shared: &mut Shared, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        // Room for the next one is granted at the end of the turn.
        self.touch(shared, core, id);
        if core.sockets[id].kind != c::SOCK_RAW && shared.autobind(core, id).is_err() {
            discard(core, id);
            return Err(Errno::EAGAIN);
        }
        let mut result = Ok(());
        for turn in 0..BURST {
            let step = match send_next(shared, core, id, true) {
                // It was taken before the call came.
                Step::Empty if turn == 0 => return core.take_error(id).map_or(Ok(()), Err),
                Step::Empty | Step::NoBuffer | Step::Unbound => break,
                Step::Pending => {
                    return core.take_error(id).map_or(Ok(()), Err);
                }
                Step::Misbehaved(error) => {
                    core.punish(id, error);
                    return Err(Errno::EPROTO);
                }
                Step::Sent => Ok(()),
                Step::Failed(errno) => Err(errno),
            };
            // Those before it had their call.
            if let Err(errno) = core::mem::replace(&mut result, step) {
                core.set_error(id, errno);
            }
        }
        result
    }

    /// Sends the datagrams in the tx ring. Returns what is left.
    pub fn transmit(&mut self, shared: &mut Shared, core: &mut Core, id: SocketId) -> Left {
        for _ in 0..BURST {
            if !core.spend(core.sockets[id].session, 1) {
                let waits = core.rings(id).is_some_and(|(rings, ..)| rings.tx.available() != Ok(0));
                return if waits { Left::Some } else { Left::Nothing };
            }
            match send_next(shared, core, id, false) {
                Step::Sent | Step::Pending => {}
                Step::Empty => return Left::Nothing,
                Step::NoBuffer => return Left::NoBuffer,
                Step::Failed(errno) => core.set_error(id, errno),
                Step::Misbehaved(error) => {
                    core.punish(id, error);
                    return Left::Nothing;
                }
                Step::Unbound => {
                    if let Err(errno) = shared.autobind(core, id) {
                        // All ports are in use: what waits is lost.
                        discard(core, id);
                        core.set_error(id, errno);
                        return Left::Nothing;
                    }
                }
            }
        }
        Left::Some
    }
}

/// What is left in a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    Nothing,
    /// Others have their turn first.
    Some,
    /// There is no buffer for it.
    NoBuffer,
}

/// Throws away what waits to be sent.
fn discard(core: &mut Core, id: SocketId) {
    if let Some((rings, arena, _)) = core.rings(id) {
        rings.tx.consume(u32::MAX, arena);
    }
}

/// What became of the first record of a ring.
enum Step {
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

/// Header and address of a record at most.
const HEAD: usize = RecordHeader::BYTES + INET_LEN.next_multiple_of(8);

/// Sends the first record of the ring. If `called`, the last one is that of a
/// call, which gets what is wrong with the socket as well (Linux:
/// sock_alloc_send_pskb).
fn send_next(shared: &mut Shared, core: &mut Core, id: SocketId, called: bool) -> Step {
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
        if let Some(source) = wishes.source.or(source) {
            route = Shared::may_leave(links, source, route, target)?;
        }
        let source = wishes.source.or(source).unwrap_or(natural);
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

/// Puts a datagram into the client's ring; it is lost if there is no room.
pub fn deliver(shared: &Shared, core: &mut Core, id: SocketId, from: SocketAddr, packet: &[u8], data: &[u8]) -> bool {
    let socket = &core.sockets[id];
    let domain = socket.domain;
    let endpoint = &shared.endpoints[socket.state];
    if endpoint.ip.receive == 0 {
        return push(core, id, ip::present(domain, from), &[], data);
    }
    let control = ancillary::received(core.now, &core.links, &socket.options, endpoint, domain, packet);
    push(core, id, ip::present(domain, from), control.as_slice(), data)
}

/// Puts a record into the client's ring; it is lost if there is no room.
#[inline]
pub fn push(core: &mut Core, id: SocketId, from: SocketAddr, control: &[u8], data: &[u8]) -> bool {
    let Some((rings, arena, options)) = core.rings(id) else { return false };
    // Header and address in one piece.
    let mut head = [0; HEAD];
    let Some((first, name)) = head.split_first_chunk_mut::<{ RecordHeader::BYTES }>() else { return false };
    let Some(name) = name.first_chunk_mut() else { return false };
    let header = RecordHeader {
        data: data.len() as u32,
        address: encode_inet(from, name) as u16,
        control: control.len() as u16,
    };
    first.copy_from_slice(header.as_bytes());
    let Some(total) = header.total() else { return false };
    let head = &head[..header.control_offset() as usize];
    if let Err(error) = rings.rx.reclaim(arena) {
        core.punish(id, error);
        return false;
    }
    let (plain, full) = ([head, data], [head, control, data]);
    let parts: &[&[u8]] = if control.is_empty() { &plain } else { &full };
    // Into an empty buffer one goes, however long it is (Linux).
    let limit = if rings.rx.used() == 0 { u32::MAX } else { options.receive_buffer };
    if !rings.rx.push_record(arena, limit, total as usize, parts) {
        return false;
    }
    rings.rx.publish();
    core.event(id);
    true
}
