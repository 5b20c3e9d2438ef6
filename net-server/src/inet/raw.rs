//! Raw sockets (raw(7), RFC 3542 3) and ICMP sockets of type SOCK_DGRAM, by
//! which anyone may ping (icmp(7)).
//!
//! A raw socket gets a copy of every packet of its protocol, also of those that
//! belong to somebody else; an ICMP socket gets the replies to its own echo
//! requests, which it knows by their identifier, its "port".

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use strait_abi::{Errno, socket as c};

use super::{
    Inet, checksum,
    ip::{self, V4_HEADER, V6_HEADER},
    is_6, udp,
};
use crate::{
    core::Core,
    socket::{SocketId, int, put_int},
};

const ICMP: u8 = c::IPPROTO_ICMP as u8;
const ICMPV6: u8 = c::IPPROTO_ICMPV6 as u8;
/// Types of echo messages.
const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY6: u8 = 129;
const ECHO_REQUEST6: u8 = 128;
/// Bytes of the header of an echo message.
const ECHO_HEADER: usize = 8;
/// Bytes of a `struct icmp6_filter`.
const FILTER6: usize = 32;

/// What a raw or ICMP socket has besides.
#[derive(Debug, Clone, Copy)]
pub struct Raw {
    /// Type SOCK_DGRAM.
    pub ping: bool,
    /// IP_HDRINCL, IPV6_HDRINCL: the client writes the IP header.
    header: bool,
    /// ICMP_FILTER: a bit for each type that is not wanted.
    filter: u32,
    /// ICMPV6_FILTER, as well.
    filter6: [u8; FILTER6],
    /// IPV6_CHECKSUM: where the checksum lies.
    checksum: Option<u16>,
}

impl Raw {
    /// For socket(2) of a protocol.
    pub fn new(protocol: u16, ping: bool, six: bool) -> Self {
        Self {
            ping,
            header: !ping && i32::from(protocol) == c::IPPROTO_RAW,
            filter: 0,
            filter6: [0; FILTER6],
            checksum: (six && protocol == u16::from(ICMPV6)).then_some(2),
        }
    }

    /// Bytes of IP header that are put before the data.
    pub fn prefix(&self, target: IpAddr) -> usize {
        if self.header { 0 } else { ip::header_for(target) }
    }

    /// Whether the data can be sent at all, by an interface with this MTU.
    pub fn check(&self, data: &[u8], target: IpAddr, mtu: usize) -> Result<(), Errno> {
        let request = if target.is_ipv4() { ECHO_REQUEST } else { ECHO_REQUEST6 };
        let good = if self.ping {
            data.len() >= ECHO_HEADER && data[..2] == [request, 0]
        } else if self.header {
            if data.len() > mtu {
                return Err(Errno::EMSGSIZE);
            }
            // Nothing leaves that is not of that version.
            match (target, data.first().copied().unwrap_or(0)) {
                (IpAddr::V4(_), first) => {
                    let header = usize::from(first & 0xf) * 4;
                    first >> 4 == 4 && (V4_HEADER..=data.len()).contains(&header)
                }
                (IpAddr::V6(_), first) => first >> 4 == 6 && data.len() >= V6_HEADER,
            }
        } else {
            self.checksum.is_none_or(|at| target.is_ipv4() || usize::from(at) + 2 <= data.len())
        };
        if good { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Completes a packet whose data is in place: IP header, checksums,
    /// identifier.
    pub fn complete(&self, packet: &mut [u8], way: &Way) {
        if self.header {
            if let IpAddr::V4(source) = way.source {
                complete_header4(packet, source, way.identification);
            }
            return;
        }
        ip::write_header(packet, way.source, way.target, way.protocol.into(), way.hops);
        if way.tos != 0 {
            ip::set_tos(packet, way.tos);
        }
        let header = ip::header_len(packet);
        if self.ping {
            packet[header + 4..header + 6].copy_from_slice(&way.identifier.to_be_bytes());
            packet[header + 2..header + 4].fill(0);
            let sum = if header == V6_HEADER { checksum::transport(packet) } else { checksum::of(&packet[header..]) };
            packet[header + 2..header + 4].copy_from_slice(&sum.to_be_bytes());
        } else if let Some(at) = self.checksum.filter(|_| header == V6_HEADER) {
            let at = header + usize::from(at);
            packet[at..at + 2].fill(0);
            let sum = checksum::transport(packet);
            packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
    }

    fn wants(&self, protocol: u8, body: &[u8]) -> bool {
        let Some(kind) = body.first() else { return true };
        match protocol {
            ICMP => *kind >= 32 || self.filter & 1 << kind == 0,
            ICMPV6 => self.filter6[usize::from(kind / 32) * 4..]
                .first_chunk()
                .is_none_or(|word| u32::from_ne_bytes(*word) & 1 << (kind % 32) == 0),
            _ => true,
        }
    }
}

/// As Linux: length, checksum, and source and identification if there is none.
fn complete_header4(packet: &mut [u8], source: Ipv4Addr, identification: u16) {
    let len = packet.len() as u16;
    let header = usize::from(packet[0] & 0xf) * 4;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    if packet[4..6] == [0; 2] {
        packet[4..6].copy_from_slice(&identification.to_be_bytes());
    }
    if packet[12..16] == [0; 4] {
        packet[12..16].copy_from_slice(&source.octets());
    }
    packet[10..12].fill(0);
    let sum = checksum::of(&packet[..header]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// What goes into the header of a packet.
pub struct Way {
    pub source: IpAddr,
    pub target: IpAddr,
    pub protocol: u8,
    pub hops: u8,
    pub tos: u8,
    /// Of an echo request.
    pub identifier: u16,
    /// Of a packet that came with its header.
    pub identification: u16,
}

impl Inet {
    /// A packet for this host arrived: raw sockets get copies. Returns whether
    /// there was one for it.
    #[cold]
    pub(super) fn copy_to_raw(&mut self, core: &mut Core, packet: &[u8]) -> bool {
        let header = ip::header_len(packet);
        let protocol = if packet[0] >> 4 == 4 { packet[9] } else { packet[6] };
        let (source, target) = ip::addresses(packet);
        let body = &packet[header..];
        let mut wanted = Vec::new();
        for &id in &self.raws {
            let Some(socket) = core.sockets.get(id) else { continue };
            let endpoint = &self.shared.endpoints[socket.state];
            let Some(raw) = &endpoint.raw else { continue };
            let six = is_6(core, id);
            let fits = |address: Option<SocketAddr>, ip: IpAddr| {
                address.is_none_or(|a| a.ip().is_unspecified() || a.ip() == ip)
            };
            let takes = socket.protocol == u16::from(protocol)
                && six == source.is_ipv6()
                && fits(endpoint.local, target)
                && fits(endpoint.peer, source)
                && (socket.options.device == 0 || socket.options.device == core.links.arrived_on)
                && raw.wants(protocol, body)
                && !(six && raw.checksum.is_some() && checksum::transport(packet) != 0);
            if takes {
                wanted.push(id);
            }
        }
        let mut taken = false;
        for id in wanted {
            // IPv4 comes with its header (raw(7)), IPv6 does not (RFC 3542).
            let data = if source.is_ipv4() { packet } else { body };
            taken |= udp::deliver(&self.shared, core, id, SocketAddr::new(source, 0), packet, data);
        }
        taken
    }

    /// A right ICMP message arrived: a reply goes to the ICMP socket with its
    /// identifier.
    pub(super) fn pong(&mut self, core: &mut Core, packet: &[u8]) -> bool {
        let (source, target) = ip::addresses(packet);
        let body = &packet[ip::header_len(packet)..];
        let Some(&[kind, _, _, _, high, low, _, _]) = body.first_chunk::<ECHO_HEADER>() else { return false };
        let (protocol, reply) = if source.is_ipv4() { (ICMP, ECHO_REPLY) } else { (ICMPV6, ECHO_REPLY6) };
        if kind != reply {
            return false;
        }
        let bindings = self.shared.ports.at(protocol.into(), u16::from_be_bytes([high, low]));
        let Some(id) = bindings.iter().find(|b| b.takes(target)).map(|b| b.id) else { return false };
        let device = core.sockets[id].options.device;
        if device != 0 && device != core.links.arrived_on {
            return false;
        }
        udp::deliver(&self.shared, core, id, SocketAddr::new(source, 0), packet, body)
    }

    /// setsockopt(2) of what only raw sockets have; `None` for the rest.
    pub(super) fn set_raw(
        &mut self,
        core: &mut Core,
        id: SocketId,
        level: i32,
        name: i32,
        value: &[u8],
    ) -> Option<Result<(), Errno>> {
        let (six, protocol) = (is_6(core, id), core.sockets[id].protocol as u8);
        let raw = self.endpoint(core, id).raw.as_mut().filter(|raw| !raw.ping)?;
        Some(match (level, name) {
            (c::IPPROTO_IP, c::IP_HDRINCL) if !six => {
                raw.header = super::options::small_int(value) != 0;
                Ok(())
            }
            (c::IPPROTO_IPV6, c::IPV6_HDRINCL) if six => int(value).map(|on| raw.header = on != 0),
            (c::SOL_RAW, c::ICMP_FILTER) if !six => match protocol {
                ICMP => {
                    let mut word = raw.filter.to_ne_bytes();
                    let n = value.len().min(4);
                    word[..n].copy_from_slice(&value[..n]);
                    raw.filter = u32::from_ne_bytes(word);
                    Ok(())
                }
                _ => Err(Errno::EOPNOTSUPP),
            },
            (c::SOL_ICMPV6, c::ICMPV6_FILTER) if six => match protocol {
                ICMPV6 => {
                    let n = value.len().min(FILTER6);
                    raw.filter6[..n].copy_from_slice(&value[..n]);
                    Ok(())
                }
                _ => Err(Errno::EOPNOTSUPP),
            },
            (c::SOL_RAW | c::IPPROTO_IPV6, c::IPV6_CHECKSUM) if six => match int(value) {
                Err(errno) => Err(errno),
                Ok(_) if protocol == ICMPV6 && level == c::IPPROTO_IPV6 => Err(Errno::EINVAL),
                Ok(at) if at < 0 => {
                    raw.checksum = None;
                    Ok(())
                }
                Ok(at) if at % 2 == 1 || at > i32::from(u16::MAX) => Err(Errno::EINVAL),
                Ok(at) => {
                    raw.checksum = Some(at as u16);
                    Ok(())
                }
            },
            _ => return None,
        })
    }

    /// getsockopt(2) of what only raw sockets have; `None` for the rest.
    pub(super) fn get_raw(
        &mut self,
        core: &mut Core,
        id: SocketId,
        level: i32,
        name: i32,
        value: &mut [u8],
    ) -> Option<Result<usize, Errno>> {
        let (six, protocol) = (is_6(core, id), core.sockets[id].protocol as u8);
        let raw = self.endpoint(core, id).raw.as_ref().filter(|raw| !raw.ping)?;
        Some(match (level, name) {
            (c::IPPROTO_IP, c::IP_HDRINCL) if !six => Ok(put_int(value, raw.header.into())),
            (c::IPPROTO_IPV6, c::IPV6_HDRINCL) if six => Ok(put_int(value, raw.header.into())),
            (c::SOL_RAW, c::ICMP_FILTER) if !six => match protocol {
                ICMP => Ok(put_int(value, raw.filter as i32)),
                _ => Err(Errno::EOPNOTSUPP),
            },
            (c::SOL_ICMPV6, c::ICMPV6_FILTER) if six => match (protocol, value.get_mut(..FILTER6)) {
                (ICMPV6, Some(into)) => {
                    into.copy_from_slice(&raw.filter6);
                    Ok(FILTER6)
                }
                _ => Err(Errno::EOPNOTSUPP),
            },
            (c::SOL_RAW | c::IPPROTO_IPV6, c::IPV6_CHECKSUM) if six => {
                Ok(put_int(value, raw.checksum.map_or(-1, i32::from)))
            }
            _ => return None,
        })
    }
}
