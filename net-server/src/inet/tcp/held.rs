//! Acknowledgements are cumulative: of many that come one after the other only
//! the last says something. So one that carries nothing else waits until the
//! next segment of the turn, and is forgotten if that acknowledges more.
//!
//! One that repeats a number is never forgotten, since repetition is a signal
//! (RFC 5681, 3.2). The window that a forgotten one announced is outdated as
//! well: its successor has a newer one.

use smoltcp::wire::TcpPacket;

use super::Tuple;

/// An IPv6 header and the longest TCP header.
const MOST: usize = 40 + 60;
/// The flags of a segment that only acknowledges.
const ACK: u8 = 0x10;

/// One acknowledgement, or none.
pub struct Held {
    /// Whose it is.
    tuple: Option<Tuple>,
    number: i32,
    len: usize,
    packet: [u8; MOST],
}

impl Held {
    pub fn new() -> Self {
        Self { tuple: None, number: 0, len: 0, packet: [0; MOST] }
    }

    /// Keeps the segment, whose TCP header is at `header` of the packet, if it
    /// only acknowledges. What was kept before must have been taken.
    #[inline]
    pub fn hold(&mut self, tuple: &Tuple, packet: &[u8], header: usize) -> bool {
        let tcp = TcpPacket::new_unchecked(&packet[header..]);
        let ends = header + usize::from(tcp.header_len()) == packet.len();
        let Some(into) = self.packet.get_mut(..packet.len()).filter(|_| ends && packet[header + 13] == ACK) else {
            return false;
        };
        into.copy_from_slice(packet);
        self.tuple = Some(*tuple);
        self.number = tcp.ack_number().0;
        self.len = packet.len();
        true
    }

    /// Whether there is nothing to do before `tcp` is looked at. Forgets what
    /// is kept if that acknowledges more of the same connection.
    #[inline]
    pub fn superseded(&mut self, tuple: &Tuple, tcp: &TcpPacket<&[u8]>) -> bool {
        let Some(held) = &self.tuple else { return true };
        let plain = tcp.ack() && !tcp.syn() && !tcp.rst();
        let newer = plain && held == tuple && tcp.ack_number().0.wrapping_sub(self.number) > 0;
        if newer {
            self.tuple = None;
        }
        newer
    }

    /// What is kept, and its length.
    #[inline]
    pub fn take(&mut self) -> Option<(Tuple, [u8; MOST], usize)> {
        Some((self.tuple.take()?, self.packet, self.len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{IpAddr, Ipv4Addr, SocketAddr};

    fn tuple(port: u16) -> Tuple {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Tuple { local: SocketAddr::new(ip, 7), remote: SocketAddr::new(ip, port) }
    }

    /// A packet with a segment of these flags, number and bytes of data.
    fn packet(flags: u8, number: u32, data: usize) -> alloc::vec::Vec<u8> {
        let mut bytes = alloc::vec![0; 40 + data];
        bytes[28..32].copy_from_slice(&number.to_be_bytes());
        bytes[32] = 5 << 4;
        bytes[33] = flags;
        bytes
    }

    fn superseded(held: &mut Held, port: u16, packet: &[u8]) -> bool {
        held.superseded(&tuple(port), &TcpPacket::new_unchecked(&packet[20..]))
    }

    #[test]
    fn keeps_what_only_acknowledges() {
        let mut held = Held::new();
        assert!(held.take().is_none());
        for refused in [packet(ACK, 1, 1), packet(ACK | 1, 1, 0), packet(ACK | 2, 1, 0), packet(4, 1, 0)] {
            assert!(!held.hold(&tuple(1), &refused, 20));
        }
        let kept = packet(ACK, 1, 0);
        assert!(held.hold(&tuple(1), &kept, 20));
        let (whose, bytes, len) = held.take().unwrap();
        assert!(whose == tuple(1) && bytes[..len] == kept[..]);
        assert!(held.take().is_none());
    }

    #[test]
    fn forgets_it_for_a_later_one_only() {
        let mut held = Held::new();
        assert!(superseded(&mut held, 1, &packet(ACK, 5, 0)), "nothing is kept");
        // Numbers wrap.
        for (number, later) in [(5, 6), (u32::MAX, 3)] {
            assert!(held.hold(&tuple(1), &packet(ACK, number, 0), 20));
            assert!(!superseded(&mut held, 2, &packet(ACK, later, 0)), "another connection");
            assert!(!superseded(&mut held, 1, &packet(ACK, number, 0)), "a repetition");
            assert!(!superseded(&mut held, 1, &packet(ACK, number.wrapping_sub(1), 9)), "an old one");
            assert!(!superseded(&mut held, 1, &packet(ACK | 4, later, 0)), "a reset");
            assert!(superseded(&mut held, 1, &packet(ACK, later, 9)), "data");
            assert!(held.take().is_none());
        }
    }
}
