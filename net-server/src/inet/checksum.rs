//! The internet checksum (RFC 1071) of packets as they pass.

/// The checksum of some bytes; 0 if they contain a right one.
pub fn of(bytes: &[u8]) -> u16 {
    fold(add(0, bytes))
}

/// The checksum of an IPv4 header without options.
#[inline]
pub fn of_header(header: &[u8; 20]) -> u16 {
    fold(header.as_chunks::<4>().0.iter().fold(0, |sum, word| sum + u64::from(u32::from_ne_bytes(*word))))
}

/// Folds the halves onto each other until the carries are in, and complements.
#[inline]
fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    // Summed in memory order, which the one's complement sum does not mind.
    u16::from_be(!(sum as u16))
}

/// Adds the bytes, which begin at an even place, in one's complement (RFC 1071,
/// 2): a chain of additions with carry, which compilers turn into one
/// instruction for each eight bytes. Adding 32-bit halves without carry took
/// half as many again.
#[inline]
fn add(mut sum: u64, bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<256>();
    for block in blocks {
        sum = add_words(sum, block.as_chunks().0);
    }
    let (blocks, rest) = rest.as_chunks::<32>();
    for block in blocks {
        sum = add_words(sum, block.as_chunks().0);
    }
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        sum = add_words(sum, &[*word]);
    }
    if rest.is_empty() {
        return sum;
    }
    let last = match bytes.last_chunk::<8>() {
        // Without the part of it that was added already.
        Some(last) => (u64::from_le_bytes(*last) >> (64 - 8 * rest.len())).to_le(),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)).to_le(),
    };
    add_words(sum, &[last.to_ne_bytes()])
}

#[inline(always)]
fn add_words(mut sum: u64, words: &[[u8; 8]]) -> u64 {
    let mut carry = false;
    for word in words {
        (sum, carry) = sum.carrying_add(u64::from_ne_bytes(*word), carry);
    }
    end_around(sum, carry)
}

/// A sum that carried is not all ones, so this does not carry again.
#[inline]
fn end_around(sum: u64, carry: bool) -> u64 {
    let (sum, again) = sum.overflowing_add(carry.into());
    sum + u64::from(again)
}

/// The checksum of a packet's payload with the pseudo header of RFC 793, RFC 768
/// and RFC 8200 8.1. The packet's lengths must be right, and an IPv6 packet must
/// have no extension headers.
#[inline]
pub fn transport(packet: &[u8]) -> u16 {
    if packet[0] >> 4 == 4 { transport4(packet) } else { transport6(packet) }
}

fn transport6(packet: &[u8]) -> u16 {
    let (head, body) = packet.split_at(40);
    let len = body.len();
    let pseudo = u32::from_ne_bytes([0, head[6], (len >> 8) as u8, len as u8]);
    fold(add(add(u64::from(pseudo), &head[8..]), body))
}

fn transport4(packet: &[u8]) -> u16 {
    let header = usize::from(packet[0] & 0xf) * 4;
    let (head, body) = packet.split_at(header);
    let len = body.len();
    let pseudo = u32::from_ne_bytes([0, head[9], (len >> 8) as u8, len as u8]);
    fold(add(add(u64::from(pseudo), &head[12..20]), body))
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
        fn as_the_plain_sum(bytes in proptest::collection::vec(any::<u8>(), 20..600), high: bool) {
            let bytes: alloc::vec::Vec<u8> = if high { bytes.iter().map(|b| b | 0xf0).collect() } else { bytes };
            prop_assert_eq!(of(&bytes), plain(&bytes));
            prop_assert_eq!(of(&bytes[..7]), plain(&bytes[..7]));
            prop_assert_eq!(of_header(bytes.first_chunk().unwrap()), plain(&bytes[..20]));
            // The pseudo header in front, as RFC 768 has it.
            let len = bytes.len() as u16 - 20;
            let mut all = alloc::vec![0, bytes[9], (len >> 8) as u8, len as u8];
            all.extend(&bytes[12..]);
            let mut packet = bytes.clone();
            packet[0] = 0x45;
            prop_assert_eq!(transport(&packet), plain(&all));
            if bytes.len() > 48 {
                packet[0] = 0x60;
                let len = bytes.len() as u16 - 40;
                let mut all = alloc::vec![0, bytes[6], (len >> 8) as u8, len as u8];
                all.extend(&bytes[8..]);
                prop_assert_eq!(transport(&packet), plain(&all));
            }
        }
    }
}
