//! UDP (RFC 768), straight between packets and rings: one copy in, one out.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use smoltcp::wire::{IpProtocol, Ipv4Packet, UdpPacket};
use strait_abi::{Address, Errno, net::RecordHeader, session::status, socket as c};
use zerocopy::{FromBytes, IntoBytes};

use super::{Shared, checksum, destination, icmp};
use crate::{core::Core, socket::SocketId};

const UDP: u16 = c::IPPROTO_UDP as u16;
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
/// Bytes of a record with the longest datagram.
const MAX_RECORD: u32 = 65_507 + 64;
/// Datagrams that one socket may send in one turn.
const BURST: usize = 64;

/// Sockets to look after at the end of the turn.
#[derive(Default)]
pub struct Udp {
    dirty: Vec<SocketId>,
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
    let source = core.links.source_for(peer.ip())?;
    if matches!(peer.ip(), IpAddr::V4(a) if core.links.is_broadcast(a)) && !core.sockets[id].options.broadcast {
        return Err(Errno::EACCES);
    }
    let state = core.sockets[id].state;
    match shared.endpoints[state].local {
        None => shared.bind(core, id, SocketAddr::new(source, 0))?,
        Some(local) if local.ip().is_unspecified() => {
            shared.ports.narrow(UDP, local.port(), id, source);
            shared.endpoints[state].local = Some(SocketAddr::new(source, local.port()));
        }
        Some(_) => {}
    }
    shared.endpoints[state].peer = Some(peer);
    Ok(())
}

/// Publishes the status that follows from shutdown(2).
pub fn update_status(shared: &Shared, core: &mut Core, id: SocketId) {
    let (read, write) = shared.endpoints[core.sockets[id].state].shut;
    let mut word = status::OUT;
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

    /// A datagram arrived, in a valid IPv4 packet for this host.
    pub fn input(&mut self, shared: &mut Shared, core: &mut Core, packet: &[u8], group: bool) -> bool {
        let ip = Ipv4Packet::new_unchecked(packet);
        let header = usize::from(ip.header_len());
        let Ok(udp) = UdpPacket::new_checked(&packet[header..]) else { return false };
        // A checksum of 0 means that there is none.
        if udp.checksum() != 0 && checksum::transport(&packet[..header + usize::from(udp.len())]) != 0 {
            return false;
        }
        let from = SocketAddr::new(ip.src_addr().into(), udp.src_port());
        let to = SocketAddr::new(ip.dst_addr().into(), udp.dst_port());
        // The best match takes it; a broadcast goes to all that match.
        let rank = |shared: &Shared, core: &Core, binding: &super::ports::Binding| {
            let address = binding.address;
            if !(address.is_unspecified() || address == to.ip() || group) {
                return None;
            }
            let endpoint = &shared.endpoints[core.sockets[binding.id].state];
            match endpoint.peer {
                Some(peer) if peer != from => None,
                Some(_) => Some(2),
                None => Some(u8::from(!address.is_unspecified())),
            }
        };
        let bindings = shared.ports.at(UDP, to.port());
        let matches = bindings.iter().filter_map(|b| rank(shared, core, b).map(|r| (r, b.id)));
        if group {
            let all: Vec<SocketId> = matches.map(|(_, id)| id).collect();
            let mut taken = false;
            for id in all {
                taken |= deliver(core, id, from, udp.payload());
            }
            return taken;
        }
        match matches.max_by_key(|(r, _)| *r).map(|(_, id)| id) {
            Some(id) => deliver(core, id, from, udp.payload()),
            None => {
                icmp::port_unreachable(core, packet);
                false
            }
        }
    }

    /// See [`Family::settle`](crate::family::Family::settle).
    pub fn settle(&mut self, shared: &mut Shared, core: &mut Core) -> bool {
        let mut more = false;
        core::mem::swap(&mut self.dirty, &mut self.turn);
        for i in 0..self.turn.len() {
            let id = self.turn[i];
            let Some(socket) = core.sockets.get(id) else { continue };
            if socket.protocol != UDP {
                continue;
            }
            shared.endpoints[socket.state].dirty = false;
            if let Some((rings, arena, _)) = core.rings(id)
                && let Err(error) = rings.rx.reclaim(arena)
            {
                core.punish(id, error);
                continue;
            }
            let stopped = self.transmit(shared, core, id);
            if grant(core, id) {
                core.event(id);
            }
            if stopped {
                self.touch(shared, core, id);
                // For want of a buffer it goes on when one comes back.
                more |= core.links.room();
            }
        }
        self.turn.clear();
        more
    }

    /// Sends the datagrams in the tx ring. Returns whether some are left.
    pub fn transmit(&mut self, shared: &mut Shared, core: &mut Core, id: SocketId) -> bool {
        for _ in 0..BURST {
            let available = match core.rings(id).map(|(rings, ..)| rings.tx.available()) {
                Some(Ok(n)) if n > 0 => n,
                Some(Err(error)) => {
                    core.punish(id, error);
                    return false;
                }
                _ => return false,
            };
            if !core.links.room() {
                return true;
            }
            match self.send_one(shared, core, id, available) {
                Ok(total) => {
                    if let Some((rings, arena, _)) = core.rings(id) {
                        rings.tx.consume(total, arena);
                    }
                }
                // The ring holds no record: all of it is thrown away.
                Err(Errno::EPROTO) => {
                    if let Some((rings, arena, _)) = core.rings(id) {
                        rings.tx.consume(available, arena);
                    }
                    core.punish(id, strait_ring::Misbehaved);
                }
                Err(_) => return true,
            }
        }
        true
    }

    /// Sends the first record of the ring, `available` bytes at most. Returns
    /// its size; errors of the datagram itself become SO_ERROR.
    fn send_one(&mut self, shared: &mut Shared, core: &mut Core, id: SocketId, available: u32) -> Result<u32, Errno> {
        let mut raw = [0; RecordHeader::BYTES];
        let (rings, ..) = core.rings(id).ok_or(Errno::EPROTO)?;
        rings.tx.copy(0, &mut raw).ok_or(Errno::EPROTO)?;
        let record = RecordHeader::read_from_bytes(&raw).map_err(|_| Errno::EPROTO)?;
        let total = record.total().filter(|t| *t <= available).ok_or(Errno::EPROTO)?;
        let mut address = Address::EMPTY;
        let name = address.resize(record.address.into()).map_err(|_| Errno::EPROTO)?;
        rings.tx.copy(RecordHeader::BYTES as u32, name).ok_or(Errno::EPROTO)?;
        if let Err(errno) = self.send_record(shared, core, id, &record, &address) {
            if errno == Errno::ENOBUFS {
                return Err(errno);
            }
            core.set_error(id, errno);
        }
        Ok(total)
    }

    fn send_record(
        &mut self,
        shared: &mut Shared,
        core: &mut Core,
        id: SocketId,
        record: &RecordHeader,
        address: &Address,
    ) -> Result<(), Errno> {
        let state = core.sockets[id].state;
        let to = if address.as_bytes().is_empty() {
            shared.endpoints[state].peer.ok_or(Errno::EDESTADDRREQ)?
        } else {
            destination(address)?
        };
        if to.port() == 0 {
            return Err(Errno::EINVAL);
        }
        let source = core.links.source_for(to.ip())?;
        if matches!(to.ip(), IpAddr::V4(a) if core.links.is_broadcast(a)) && !core.sockets[id].options.broadcast {
            return Err(Errno::EACCES);
        }
        if shared.endpoints[state].local.is_none() {
            shared.bind(core, id, SocketAddr::new(super::ANY, 0))?;
        }
        let local = shared.endpoints[state].local.ok_or(Errno::EINVAL)?;
        let source = if local.ip().is_unspecified() { source } else { local.ip() };
        let (IpAddr::V4(source), IpAddr::V4(target)) = (source, to.ip()) else { return Err(Errno::EAFNOSUPPORT) };
        let ttl = shared.endpoints[state].ttl;
        let (data, offset) = (record.data as usize, record.data_offset());
        let len = IP_HEADER + UDP_HEADER + data;
        if len > core.links.mtu() {
            return Err(Errno::EMSGSIZE);
        }
        let socket = core.sockets.get(id).and_then(|s| s.rings.as_deref()).ok_or(Errno::EPROTO)?;
        let ring = &socket.tx;
        core.links.emit(core.now, len, |packet| {
            write_header(packet, source.octets(), target.octets(), IpProtocol::Udp, ttl);
            let mut udp = UdpPacket::new_unchecked(&mut packet[IP_HEADER..]);
            udp.set_src_port(local.port());
            udp.set_dst_port(to.port());
            udp.set_len((UDP_HEADER + data) as u16);
            udp.set_checksum(0);
            // The record was checked to lie in the ring.
            let _ = ring.copy(offset, udp.payload_mut());
            let sum = checksum::transport(packet);
            // 0 would mean "none" (RFC 768).
            let sum = if sum == 0 { 0xffff } else { sum };
            UdpPacket::new_unchecked(&mut packet[IP_HEADER..]).set_checksum(sum);
        })
    }
}

/// Writes an IPv4 header without options, for a packet that fills `packet`.
pub fn write_header(packet: &mut [u8], source: [u8; 4], target: [u8; 4], protocol: IpProtocol, ttl: u8) {
    let len = packet.len() as u16;
    let mut ip = Ipv4Packet::new_unchecked(&mut *packet);
    ip.set_version(4);
    ip.set_header_len(IP_HEADER as u8);
    ip.set_dscp(0);
    ip.set_ecn(0);
    ip.set_total_len(len);
    ip.set_ident(0);
    ip.clear_flags();
    ip.set_dont_frag(true);
    ip.set_frag_offset(0);
    ip.set_hop_limit(ttl);
    ip.set_next_header(protocol);
    ip.set_src_addr(source.into());
    ip.set_dst_addr(target.into());
    ip.set_checksum(0);
    let sum = packet.first_chunk().map_or(0, checksum::of_header);
    Ipv4Packet::new_unchecked(packet).set_checksum(sum);
}

/// Puts a datagram into the client's ring; it is lost if there is no room.
fn deliver(core: &mut Core, id: SocketId, from: SocketAddr, data: &[u8]) -> bool {
    let Some((rings, arena, options)) = core.rings(id) else { return false };
    // Header and address in one piece.
    let name = Address::from(from);
    let name = name.as_bytes();
    let header = RecordHeader { data: data.len() as u32, address: name.len() as u16, control: 0 };
    let mut head = [0; 40];
    head[..RecordHeader::BYTES].copy_from_slice(header.as_bytes());
    head[RecordHeader::BYTES..][..name.len()].copy_from_slice(name);
    let head = &head[..header.data_offset() as usize];
    let parts: [&[u8]; 3] = [head, data, &[0; 8][..data.len().next_multiple_of(8) - data.len()]];
    if let Err(error) = rings.rx.reclaim(arena) {
        core.punish(id, error);
        return false;
    }
    if !rings.rx.push_all(arena, options.receive_buffer, &parts) {
        return false;
    }
    rings.rx.publish();
    core.event(id);
    true
}
