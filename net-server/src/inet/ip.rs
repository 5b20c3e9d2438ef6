//! IP headers: version 4 (RFC 791) and version 6 (RFC 8200).
//!
//! Behind [`normalise6`] an IPv6 packet has no extension headers, so that
//! everything else finds the transport header at a fixed place.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use core::ops::Range;

use smoltcp::wire::{IpProtocol, Ipv4Packet};
use strait_abi::address::AF_INET6;

use super::{
    checksum,
    fragment::{Key, Piece},
};
use crate::link::ETH_INDEX;

/// Bytes of an IPv4 header without options.
pub const V4_HEADER: usize = 20;
/// Bytes of an IPv6 header.
pub const V6_HEADER: usize = 40;
/// The number of the fragment header.
const FRAGMENT: u8 = 44;
/// Extension headers that are looked into; a packet with more is dropped.
const MAX_EXTENSIONS: usize = 8;

/// Where the transport header of a packet begins that was found valid.
#[inline]
pub fn header_len(packet: &[u8]) -> usize {
    if packet[0] >> 4 == 4 { usize::from(packet[0] & 0xf) * 4 } else { V6_HEADER }
}

/// Bytes of the header that a packet to `address` gets.
#[inline]
pub fn header_for(address: IpAddr) -> usize {
    if address.is_ipv4() { V4_HEADER } else { V6_HEADER }
}

fn v4(packet: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3])
}

fn v6(packet: &[u8], at: usize) -> Ipv6Addr {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&packet[at..at + 16]);
    bytes.into()
}

/// Source and destination of a packet that was found valid.
#[inline]
pub fn addresses(packet: &[u8]) -> (IpAddr, IpAddr) {
    if packet[0] >> 4 == 4 {
        (v4(packet, 12).into(), v4(packet, 16).into())
    } else {
        (v6(packet, 8).into(), v6(packet, 24).into())
    }
}

/// Writes the header before what fills the rest of `packet`: without options,
/// never to be fragmented. Both addresses are of one version.
#[inline]
pub fn write_header(packet: &mut [u8], source: IpAddr, target: IpAddr, protocol: IpProtocol, ttl: u8) {
    match (source, target) {
        (IpAddr::V4(s), IpAddr::V4(t)) => write_header4(packet, s.octets(), t.octets(), protocol, ttl),
        (IpAddr::V6(s), IpAddr::V6(t)) => write_header6(packet, s, t, protocol, ttl),
        _ => debug_assert!(false, "addresses of two versions"),
    }
}

/// [`write_header`] for IPv4.
pub fn write_header4(packet: &mut [u8], source: [u8; 4], target: [u8; 4], protocol: IpProtocol, ttl: u8) {
    // Version 4, five words; DSCP, ECN and identification 0; do not fragment.
    let mut header = [0x45, 0, 0, 0, 0, 0, 0x40, 0, ttl, protocol.into(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header[2..4].copy_from_slice(&(packet.len() as u16).to_be_bytes());
    header[12..16].copy_from_slice(&source);
    header[16..].copy_from_slice(&target);
    let sum = checksum::of_header(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    packet[..V4_HEADER].copy_from_slice(&header);
}

/// [`write_header`] for IPv6.
pub fn write_header6(packet: &mut [u8], source: Ipv6Addr, target: Ipv6Addr, protocol: IpProtocol, hops: u8) {
    let len = (packet.len() - V6_HEADER) as u16;
    // Version 6; traffic class and flow label 0.
    packet[..4].copy_from_slice(&[0x60, 0, 0, 0]);
    packet[4..6].copy_from_slice(&len.to_be_bytes());
    packet[6..8].copy_from_slice(&[protocol.into(), hops]);
    packet[8..24].copy_from_slice(&source.octets());
    packet[24..40].copy_from_slice(&target.octets());
}

/// Sets the type of service or traffic class in a header that is complete but
/// for that.
#[cold]
pub fn set_tos(packet: &mut [u8], tos: u8) {
    let Some(header) = packet.first_chunk_mut::<V4_HEADER>() else { return };
    if header[0] >> 4 == 6 {
        header[0] = 0x60 | tos >> 4;
        header[1] = tos << 4 | header[1] & 0xf;
        return;
    }
    header[1] = tos;
    seal(header);
}

/// Sets the time to live or hop limit in such a header.
#[cold]
pub fn set_hops(packet: &mut [u8], hops: u8) {
    let Some(header) = packet.first_chunk_mut::<V4_HEADER>() else { return };
    if header[0] >> 4 == 6 {
        header[7] = hops;
        return;
    }
    header[8] = hops;
    seal(header);
}

/// Makes the checksum of an IPv4 header right.
fn seal(header: &mut [u8; V4_HEADER]) {
    header[10..12].fill(0);
    let sum = checksum::of_header(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Whether this is an IPv4 packet that we take, with a right checksum; returns
/// its length without padding.
pub fn valid4(packet: &[u8]) -> Option<usize> {
    let ip = Ipv4Packet::new_checked(packet).ok()?;
    let source = ip.src_addr();
    let sum = match ip.header_len() {
        20 => checksum::of_header(packet.first_chunk()?),
        header => checksum::of(&packet[..usize::from(header)]),
    };
    let good = ip.version() == 4 && sum == 0 && !source.is_multicast() && !source.is_broadcast();
    good.then_some(usize::from(ip.total_len()))
}

/// Whether a valid IPv4 packet is a fragment: more is to come, or it is not the
/// first.
#[inline]
pub fn is_fragment4(packet: &[u8]) -> bool {
    u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff != 0
}

/// What [`is_fragment4`] found.
pub fn fragment4(packet: &[u8]) -> (Key, Piece<'_>) {
    let (source, target) = addresses(packet);
    let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let key = Key { source, target, protocol: packet[9], identification: word(4).into() };
    let offset = usize::from(word(6) & 0x1fff) * 8;
    (key, Piece { offset, more: word(6) & 0x2000 != 0, data: &packet[header_len(packet)..] })
}

/// What [`normalise6`] made of a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet6 {
    /// Where in its bytes it lies now.
    Whole(Range<usize>),
    /// The fragment header (RFC 8200 4.5) begins here; what follows it ends
    /// there.
    Fragment(Range<usize>),
}

/// A fragment of an IPv6 packet, whose fragment header begins `range`. `None`
/// for fragments in fragments.
pub fn fragment6(packet: &[u8], range: Range<usize>) -> Option<(Key, Piece<'_>)> {
    let (source, target) = addresses(packet);
    let (header, data) = packet.get(range)?.split_first_chunk::<8>()?;
    let place = u16::from_be_bytes([header[2], header[3]]);
    let identification = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    let key = Key { source, target, protocol: header[0], identification };
    (header[0] != FRAGMENT).then_some((key, Piece { offset: (place & 0xfff8).into(), more: place & 1 != 0, data }))
}

/// Takes the extension headers out of an IPv6 packet, so that it is a header
/// with the transport protocol's number and what follows. Stops at a fragment
/// header (but not that of a fragment that is the whole, RFC 6946). `None` for
/// what is not to be processed: a source route that is not at its end, an
/// option that asks to be known (RFC 8200 4.2), a chain that is too long or
/// cut off.
pub fn normalise6(packet: &mut [u8]) -> Option<Packet6> {
    if packet.len() < V6_HEADER || packet[0] >> 4 != 6 || packet[8] == 0xff {
        return None;
    }
    let end = V6_HEADER + usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    if end > packet.len() {
        return None;
    }
    let (mut next, mut at) = (packet[6], V6_HEADER);
    for count in 0..=MAX_EXTENSIONS {
        let (hop_by_hop, destination, routing) = (0, 60, 43);
        if ![hop_by_hop, destination, routing, FRAGMENT].contains(&next) {
            break;
        }
        let rest = packet.get(at..end)?;
        let len = if next == FRAGMENT { 8 } else { (usize::from(*rest.get(1)?) + 1) * 8 };
        let header = rest.get(..len)?;
        let good = match next {
            // Only in front (RFC 8200 4.1).
            0 => count == 0 && known_options(&header[2..]),
            60 => known_options(&header[2..]),
            // Segments left.
            43 => header[3] == 0,
            // Offset, and whether there is more.
            _ if u16::from_be_bytes([header[2], header[3]]) & 0xfff9 != 0 => return Some(Packet6::Fragment(at..end)),
            _ => true,
        };
        if !good || count == MAX_EXTENSIONS {
            return None;
        }
        (next, at) = (header[0], at + len);
    }
    let start = at - V6_HEADER;
    if start > 0 {
        packet.copy_within(..V6_HEADER, start);
        packet[start + 4..start + 6].copy_from_slice(&((end - at) as u16).to_be_bytes());
        packet[start + 6] = next;
    }
    Some(Packet6::Whole(start..end))
}

/// Whether every option is known or may be skipped (RFC 8200 4.2).
fn known_options(mut options: &[u8]) -> bool {
    while let Some(&kind) = options.first() {
        // Pad1 is a byte by itself.
        let len = match (kind, options.get(1)) {
            (0, _) => 1,
            (_, Some(len)) => 2 + usize::from(*len),
            (_, None) => return false,
        };
        // Router alert (5) concerns routers; the upper two bits of others tell
        // what to do with a packet when they are not known.
        if kind >> 6 != 0 || len > options.len() {
            return false;
        }
        options = &options[len..];
    }
    true
}

/// An address as numbers, to be hashed.
pub fn words(address: SocketAddr) -> (u128, u16) {
    let ip = match address.ip() {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => a.into(),
    };
    (ip, address.port())
}

/// The address as a socket of `domain` shows it: IPv4 mapped into IPv6 (RFC
/// 4291 2.5.5.2) on AF_INET6 sockets, a link-local one with its interface.
#[inline]
pub fn present(domain: u16, address: SocketAddr) -> SocketAddr {
    if domain == AF_INET6 { present6(address) } else { address }
}

fn present6(address: SocketAddr) -> SocketAddr {
    let (ip, port) = (address.ip(), address.port());
    match ip {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), port),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, if needs_scope(ip) { ETH_INDEX } else { 0 }).into(),
    }
}

/// Whether an address means something only together with an interface: a
/// link-local one, or a group of that scope.
pub fn needs_scope(ip: Ipv6Addr) -> bool {
    let bytes = ip.octets();
    bytes[0] == 0xfe && bytes[1] & 0xc0 == 0x80 || bytes[0] == 0xff && matches!(bytes[1] & 0xf, 1 | 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};
    use proptest::prelude::*;

    /// A packet with these headers between IPv6 header and eight bytes of UDP.
    fn packet(first: u8, extensions: &[u8]) -> Vec<u8> {
        let mut p = vec![0; V6_HEADER];
        p[0] = 0x60;
        p[4..6].copy_from_slice(&(extensions.len() as u16 + 8).to_be_bytes());
        p[6] = first;
        p[23] = 1;
        p[39] = 2;
        p.extend(extensions);
        p.extend([1, 2, 3, 4, 0, 8, 0, 0]);
        p
    }

    fn normalised(first: u8, extensions: &[u8]) -> Option<Vec<u8>> {
        let mut p = packet(first, extensions);
        match normalise6(&mut p)? {
            Packet6::Whole(range) => Some(p[range].to_vec()),
            Packet6::Fragment(_) => None,
        }
    }

    #[test]
    fn extension_headers_are_taken_out() {
        let plain = packet(17, &[]);
        assert_eq!(normalised(17, &[]), Some(plain.clone()));
        // Hop-by-hop with padding and router alert, destination options.
        assert_eq!(normalised(0, &[60, 0, 5, 2, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0]), Some(plain.clone()));
        // A source route at its end, a fragment that is the whole.
        assert_eq!(normalised(43, &[17, 0, 0, 0, 0, 0, 0, 0]), Some(plain.clone()));
        assert_eq!(normalised(44, &[17, 0, 0, 0, 1, 2, 3, 4]), Some(plain));
    }

    #[test]
    fn hostile_chains_are_dropped() {
        let mut many = vec![];
        for _ in 0..20 {
            many.extend([60, 0, 1, 4, 0, 0, 0, 0]);
        }
        for (first, extensions) in [
            // First and later fragments.
            (44, &[17, 0, 0, 1, 0, 0, 0, 0][..]),
            (44, &[17, 0, 0, 8, 0, 0, 0, 0]),
            // A source route with somewhere to go.
            (43, &[17, 0, 0, 1, 0, 0, 0, 0]),
            // Unknown options that must be known; an option past the end.
            (0, &[17, 0, 0xc2, 4, 0, 0, 0, 0]),
            (60, &[17, 0, 1, 200, 0, 0, 0, 0]),
            (60, &[17, 0, 1, 3, 0, 0, 0, 1]),
            // Hop-by-hop not in front, headers longer than the packet, a chain
            // without end.
            (60, &[0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0]),
            (60, &[17, 200, 1, 4, 0, 0, 0, 0]),
            (60, &many),
        ] {
            assert_eq!(normalised(first, extensions), None, "{first} {extensions:?}");
        }
        let mut short = packet(17, &[]);
        short.pop();
        assert_eq!(normalise6(&mut short), None);
    }

    proptest! {
        #[test]
        fn any_bytes(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), next in 0u8..70) {
            if bytes.len() > 7 {
                bytes[0] = 0x60;
                bytes[4] = 0;
                bytes[6] = next;
            }
            match normalise6(&mut bytes) {
                Some(Packet6::Whole(range)) => {
                    let p = &bytes[range];
                    let len = usize::from(u16::from_be_bytes([p[4], p[5]]));
                    prop_assert_eq!(p.len(), V6_HEADER + len);
                    let _ = addresses(p);
                }
                Some(Packet6::Fragment(range)) => {
                    let _ = fragment6(&bytes, range);
                }
                None => {}
            }
        }
    }

    #[test]
    fn addresses_as_a_socket_shows_them() {
        let show = |domain, text: &str| alloc::format!("{}", present(domain, text.parse().unwrap()));
        assert_eq!(show(2, "10.0.2.2:80"), "10.0.2.2:80");
        assert_eq!(show(AF_INET6, "10.0.2.2:80"), "[::ffff:10.0.2.2]:80");
        assert_eq!(show(AF_INET6, "[fe80::1]:80"), "[fe80::1%2]:80");
        assert_eq!(show(AF_INET6, "[2001:db8::1]:80"), "[2001:db8::1]:80");
    }
}
