//! ICMP (RFC 792, RFC 1122 3.2.2): echo, and errors in both directions.

use core::net::SocketAddr;

use smoltcp::wire::{Icmpv4DstUnreachable, Icmpv4Message, Icmpv4Packet, IpProtocol, Ipv4Packet};
use strait_abi::Errno;

use super::{Inet, checksum, ip::write_header4, udp};
use crate::core::Core;

const IP_HEADER: usize = 20;
const ICMP_HEADER: usize = 8;
/// What an error quotes at most (RFC 1812 4.3.2.3: no more than 576 bytes in
/// all).
const QUOTE: usize = 576 - IP_HEADER - ICMP_HEADER;

/// A message arrived, in a valid IPv4 packet for this host.
pub fn input(inet: &mut Inet, core: &mut Core, packet: &[u8], group: bool) -> bool {
    let ip = Ipv4Packet::new_unchecked(packet);
    let header = usize::from(ip.header_len());
    let body = &packet[header..];
    let Ok(icmp) = Icmpv4Packet::new_checked(body) else { return false };
    if checksum::of(body) != 0 {
        return false;
    }
    match icmp.msg_type() {
        Icmpv4Message::EchoRequest if !group => {
            let (from, to) = (ip.src_addr(), ip.dst_addr());
            // As long as the request, in fragments if need be.
            let Ok((_, route)) = core.links.path(from) else { return false };
            let _ = core.links.emit_on(core.now, route, IP_HEADER + body.len(), |reply| {
                reply[IP_HEADER..].copy_from_slice(body);
                let mut icmp = Icmpv4Packet::new_unchecked(&mut reply[IP_HEADER..]);
                icmp.set_msg_type(Icmpv4Message::EchoReply);
                complete(reply, to.octets(), from.octets());
            });
            true
        }
        Icmpv4Message::DstUnreachable => {
            let errno = match Icmpv4DstUnreachable::from(icmp.msg_code()) {
                Icmpv4DstUnreachable::PortUnreachable | Icmpv4DstUnreachable::ProtoUnreachable => Errno::ECONNREFUSED,
                Icmpv4DstUnreachable::NetUnreachable => Errno::ENETUNREACH,
                // A smaller MTU is no failure.
                Icmpv4DstUnreachable::FragRequired => return true,
                _ => Errno::EHOSTUNREACH,
            };
            failed(inet, core, icmp.data(), errno).is_some()
        }
        Icmpv4Message::EchoReply => inet.pong(core, packet),
        _ => false,
    }
}

/// An error came back for a packet of ours, the beginning of which is `quote`.
fn failed(inet: &mut Inet, core: &mut Core, quote: &[u8], errno: Errno) -> Option<()> {
    if quote.len() < IP_HEADER || quote[0] >> 4 != 4 {
        return None;
    }
    let ip = Ipv4Packet::new_unchecked(quote);
    let ports = quote.get(usize::from(ip.header_len()).max(IP_HEADER)..)?.first_chunk::<4>()?;
    let local = SocketAddr::new(ip.src_addr().into(), u16::from_be_bytes([ports[0], ports[1]]));
    let remote = SocketAddr::new(ip.dst_addr().into(), u16::from_be_bytes([ports[2], ports[3]]));
    report(inet, core, ip.next_header(), local, remote, errno)
}

/// Tells who sent a packet of `protocol` that it failed.
pub fn report(
    inet: &mut Inet,
    core: &mut Core,
    protocol: IpProtocol,
    local: SocketAddr,
    remote: SocketAddr,
    errno: Errno,
) -> Option<()> {
    match protocol {
        IpProtocol::Tcp => inet.tcp.fail(&mut inet.shared, core, local, remote, errno),
        IpProtocol::Udp => {
            // Only a connected socket learns of it (udp(7)).
            let shared = &inet.shared;
            let bindings = shared.ports.at(17, local.port());
            let to =
                |id: usize| shared.endpoints[core.sockets[id].state].peer.is_some_and(|peer| udp::speaks(peer, remote));
            let id = bindings.iter().filter(|b| b.takes(local.ip())).map(|b| b.id).find(|id| to(*id))?;
            core.set_error(id, errno);
        }
        _ => return None,
    }
    Some(())
}

/// Tells the sender of a datagram that nobody listens at its port.
pub fn port_unreachable(core: &mut Core, packet: &[u8]) {
    let ip = Ipv4Packet::new_unchecked(packet);
    let (from, to) = (ip.src_addr(), ip.dst_addr());
    if from.is_unspecified() || core.links.is_broadcast(from) {
        return;
    }
    let quote = &packet[..packet.len().min(QUOTE)];
    let _ = core.links.emit(core.now, IP_HEADER + ICMP_HEADER + quote.len(), |reply| {
        let body = &mut reply[IP_HEADER..];
        body[..ICMP_HEADER].fill(0);
        body[ICMP_HEADER..].copy_from_slice(quote);
        let mut icmp = Icmpv4Packet::new_unchecked(&mut body[..]);
        icmp.set_msg_type(Icmpv4Message::DstUnreachable);
        icmp.set_msg_code(Icmpv4DstUnreachable::PortUnreachable.into());
        complete(reply, to.octets(), from.octets());
    });
}

/// Writes the IP header before a message, and the message's checksum.
fn complete(packet: &mut [u8], source: [u8; 4], target: [u8; 4]) {
    write_header4(packet, source, target, IpProtocol::Icmp, 64);
    let body = &mut packet[IP_HEADER..];
    Icmpv4Packet::new_unchecked(&mut *body).set_checksum(0);
    let sum = checksum::of(body);
    Icmpv4Packet::new_unchecked(body).set_checksum(sum);
}
