//! UDP (RFC 768), straight between packets and rings: one copy in, one out.

mod output;

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use smoltcp::wire::UdpPacket;
use strait_abi::{
    Errno,
    address::{INET_LEN, encode_inet},
    net::RecordHeader,
    session::status,
    socket as c,
};
use zerocopy::IntoBytes;

use self::output::{Step, send_next};
use super::{Port, Shared, addressing::bound_source, ancillary, checksum, icmp, icmp6, ip, ports::spread};
use crate::{core::Core, socket::SocketId};

const UDP: u16 = c::IPPROTO_UDP as u16;
const UDP_HEADER: usize = 8;
/// Header and address of a record at most.
const HEAD: usize = RecordHeader::BYTES + INET_LEN.next_multiple_of(8);
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
            let device = core.links.arrived_on;
            let fit = binding.fit(target, device)?;
            let endpoint = &shared.endpoints[core.sockets[binding.id].state];
            if group && target.is_multicast() && !endpoint.hears(target, device) {
                return None;
            }
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
