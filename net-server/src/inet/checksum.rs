//! The internet checksum (RFC 1071) of packets as they pass.

use smoltcp::wire::{IpProtocol, Ipv4Packet};

/// The checksum of the parts one after the other; all but the last must have an
/// even length. 0 if they contain a right checksum.
pub fn of(parts: &[&[u8]]) -> u16 {
    let mut sum = internet_checksum::Checksum::new();
    for part in parts {
        sum.add_bytes(part);
    }
    u16::from_be_bytes(sum.checksum())
}

/// The checksum of an IPv4 packet's payload with the pseudo header of RFC 793
/// and RFC 768. The packet's lengths must be right.
pub fn transport(packet: &[u8]) -> u16 {
    let ip = Ipv4Packet::new_unchecked(packet);
    let header = usize::from(ip.header_len());
    let len = packet.len() - header;
    let protocol = match ip.next_header() {
        IpProtocol::Tcp => 6,
        _ => 17,
    };
    let rest = [0, protocol, (len >> 8) as u8, len as u8];
    of(&[&packet[12..20], &rest, &packet[header..]])
}
