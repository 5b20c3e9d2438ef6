//! ICMPv6 (RFC 4443): echo, and errors in both directions.
//!
//! A packet that was too big changes nothing: paths whose MTU is smaller than
//! the link's are not supported.

use core::net::{IpAddr, SocketAddr};

use smoltcp::wire::{Icmpv6DstUnreachable, Icmpv6Message, Icmpv6Packet, IpProtocol};
use strait_abi::Errno;

use super::{
    Inet, checksum, icmp,
    ip::{self, V6_HEADER},
};
use crate::core::Core;

const ICMP_HEADER: usize = 8;
/// What an error quotes at most: no error is longer than the least MTU of IPv6
/// (RFC 4443, 3.1).
const QUOTE: usize = 1280 - V6_HEADER - ICMP_HEADER;

/// A message arrived, in a valid IPv6 packet for this host.
pub fn input(inet: &mut Inet, core: &mut Core, packet: &[u8], group: bool) -> bool {
    let body = &packet[V6_HEADER..];
    if checksum::transport(packet) != 0 {
        return false;
    }
    // Groups and neighbours (RFC 2710, RFC 4861, RFC 3810).
    if matches!(body.first(), Some(130..=137 | 143)) {
        return core.links.icmpv6(core.now, packet);
    }
    let Ok(message) = Icmpv6Packet::new_checked(body) else { return false };
    match message.msg_type() {
        Icmpv6Message::EchoRequest => {
            let (from, mut to) = ip::addresses(packet);
            if from.is_unspecified() {
                return false;
            }
            let Ok((own, route)) = core.links.path_to(from) else { return false };
            if group {
                // The answer comes from an address of the interface (RFC 4443, 4.2).
                to = own;
            }
            let _ = core.links.emit_on(core.now, route, packet.len(), |reply| {
                reply[V6_HEADER..].copy_from_slice(body);
                reply[V6_HEADER] = Icmpv6Message::EchoReply.into();
                complete(reply, to, from);
            });
            true
        }
        Icmpv6Message::DstUnreachable => {
            let errno = match Icmpv6DstUnreachable::from(message.msg_code()) {
                Icmpv6DstUnreachable::NoRoute => Errno::ENETUNREACH,
                Icmpv6DstUnreachable::PortUnreachable => Errno::ECONNREFUSED,
                Icmpv6DstUnreachable::AddrUnreachable | Icmpv6DstUnreachable::BeyondScope => Errno::EHOSTUNREACH,
                _ => Errno::EACCES,
            };
            failed(inet, core, &body[ICMP_HEADER..], errno).is_some()
        }
        Icmpv6Message::TimeExceeded => failed(inet, core, &body[ICMP_HEADER..], Errno::EHOSTUNREACH).is_some(),
        Icmpv6Message::ParamProblem => failed(inet, core, &body[ICMP_HEADER..], Errno::EPROTO).is_some(),
        Icmpv6Message::EchoReply => inet.pong(core, packet),
        _ => false,
    }
}

/// An error came back for a packet of ours, the beginning of which is `quote`.
fn failed(inet: &mut Inet, core: &mut Core, quote: &[u8], errno: Errno) -> Option<()> {
    // We send no extension headers.
    let ports = quote.get(V6_HEADER..)?.first_chunk::<4>()?;
    if quote[0] >> 4 != 6 {
        return None;
    }
    let (source, target) = ip::addresses(quote);
    let local = SocketAddr::new(source, u16::from_be_bytes([ports[0], ports[1]]));
    let remote = SocketAddr::new(target, u16::from_be_bytes([ports[2], ports[3]]));
    icmp::report(inet, core, IpProtocol::from(quote[6]), local, remote, errno)
}

/// Tells the sender of a datagram that nobody listens at its port.
pub fn port_unreachable(core: &mut Core, packet: &[u8]) {
    let (from, to) = ip::addresses(packet);
    let quote = &packet[..packet.len().min(QUOTE)];
    let _ = core.links.emit(core.now, V6_HEADER + ICMP_HEADER + quote.len(), |reply| {
        let body = &mut reply[V6_HEADER..];
        body[..ICMP_HEADER].fill(0);
        body[0] = Icmpv6Message::DstUnreachable.into();
        body[1] = Icmpv6DstUnreachable::PortUnreachable.into();
        body[ICMP_HEADER..].copy_from_slice(quote);
        complete(reply, to, from);
    });
}

/// Writes the IP header before a message, and the message's checksum.
fn complete(packet: &mut [u8], source: IpAddr, target: IpAddr) {
    ip::write_header(packet, source, target, IpProtocol::Icmpv6, 64);
    packet[V6_HEADER + 2..V6_HEADER + 4].fill(0);
    let sum = checksum::transport(packet);
    packet[V6_HEADER + 2..V6_HEADER + 4].copy_from_slice(&sum.to_be_bytes());
}
