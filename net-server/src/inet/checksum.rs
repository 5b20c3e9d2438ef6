//! The internet checksum (RFC 1071) of packets as they pass.

use smoltcp::wire::{IpProtocol, Ipv4Packet};

/// The checksum of the parts one after the other; all but the last must have an
/// even length. 0 if they contain a right checksum.
pub fn of(parts: &[&[u8]]) -> u16 {
    let sum = parts.iter().fold(0, |sum, part| add(sum, part));
    // Fold the halves onto each other; the carries stay in.
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    // Summed in memory order, which the one's complement sum does not mind.
    u16::from_be(!(sum as u16))
}

/// Adds 16-bit words in one's complement, eight bytes at a time (RFC 1071, 2).
fn add(sum: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let (blocks, words) = words.as_chunks::<4>();
    let (mut sum, mut carry) = (sum, false);
    for block in blocks {
        for word in block {
            (sum, carry) = add_with_carry(sum, u64::from_ne_bytes(*word), carry);
        }
    }
    for word in words {
        (sum, carry) = add_with_carry(sum, u64::from_ne_bytes(*word), carry);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    (sum, carry) = add_with_carry(sum, u64::from_ne_bytes(last), carry);
    // The end-around carry; it cannot carry again beyond this.
    let (sum, again) = sum.overflowing_add(carry.into());
    sum + u64::from(again)
}

#[inline(always)]
fn add_with_carry(a: u64, b: u64, carry: bool) -> (u64, bool) {
    let (sum, c1) = a.overflowing_add(b);
    let (sum, c2) = sum.overflowing_add(carry.into());
    (sum, c1 | c2)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071, word by word.
    fn plain(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    proptest! {
        #[test]
        fn as_the_plain_sum(bytes in proptest::collection::vec(any::<u8>(), 0..300), high: bool, cut in 0usize..150) {
            let bytes: alloc::vec::Vec<u8> = if high { bytes.iter().map(|b| b | 0xf0).collect() } else { bytes };
            let (a, b) = bytes.split_at((2 * cut).min(bytes.len() & !1));
            prop_assert_eq!(of(&[a, b]), plain(&bytes));
        }
    }
}
