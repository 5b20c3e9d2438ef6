//! Reassembly of IP fragments (RFC 791 3.2, RFC 8200 4.5).
//!
//! Everything here comes from anybody on the wire, so all of it is bounded: a
//! number of datagrams at once, of pieces of each, of bytes of all. Fragments
//! that overlap end their datagram (RFC 5722, which Linux applies to IPv4 as
//! well): no host has reason to send them. Out of room, the oldest datagram
//! goes first.

use alloc::{collections::VecDeque, vec::Vec};
use core::net::IpAddr;

/// How long a datagram may be incomplete, in nanoseconds (RFC 8200 says 60 s,
/// Linux waits 30 for IPv4).
const PATIENCE: u64 = 30_000_000_000;
/// Datagrams that may be incomplete at once.
const DATAGRAMS: usize = 32;
/// Bytes of all of them.
const BYTES: usize = 512 * 1024;
/// Gaps in one of them.
const GAPS: usize = 32;
/// Bytes of the longest datagram, without its first header.
const LONGEST: usize = 65_535 - 20;

/// What the fragments of one datagram have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub source: IpAddr,
    pub target: IpAddr,
    /// IPv4 only: two protocols may use one number.
    pub protocol: u8,
    pub identification: u32,
}

/// A fragment: where its bytes belong and whether more follow.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// In bytes, a multiple of 8.
    pub offset: usize,
    pub more: bool,
    pub data: &'a [u8],
}

struct Datagram {
    key: Key,
    deadline: u64,
    data: Vec<u8>,
    /// The parts that are there, in order, neither touching nor overlapping.
    parts: Vec<(usize, usize)>,
    /// Known with the last fragment.
    total: Option<usize>,
}

/// The datagrams of which something is missing, oldest first.
#[derive(Default)]
pub struct Fragments {
    datagrams: VecDeque<Datagram>,
    bytes: usize,
}

impl Datagram {
    /// Takes in a piece; `None` if the datagram makes no sense with it.
    fn add(&mut self, piece: Piece<'_>) -> Option<()> {
        let end = piece.offset.checked_add(piece.data.len()).filter(|end| *end <= LONGEST)?;
        // All but the last end where the next one can begin.
        if piece.data.is_empty() || piece.more && end % 8 != 0 {
            return None;
        }
        let known = self.parts.last().map_or(0, |(_, end)| *end);
        match (self.total, piece.more) {
            (None, false) if end >= known => self.total = Some(end),
            (None, false) => return None,
            (Some(total), false) if total != end => return None,
            (Some(total), true) if end >= total => return None,
            _ => {}
        }
        let at = self.parts.partition_point(|(begin, _)| *begin <= piece.offset);
        let before = at.checked_sub(1).map(|i| self.parts[i]);
        let after = self.parts.get(at).copied();
        // What is there in full is no overlap but a repetition.
        if before.is_some_and(|(_, e)| e >= end) {
            return Some(());
        }
        if before.is_some_and(|(_, e)| e > piece.offset) || after.is_some_and(|(b, _)| b < end) {
            return None;
        }
        if self.data.len() < end {
            self.data.try_reserve(end - self.data.len()).ok()?;
            self.data.resize(end, 0);
        }
        self.data[piece.offset..end].copy_from_slice(piece.data);
        let joins_before = before.is_some_and(|(_, e)| e == piece.offset);
        let joins_after = after.is_some_and(|(b, _)| b == end);
        match (joins_before, joins_after) {
            (true, true) => {
                self.parts[at - 1].1 = self.parts[at].1;
                self.parts.remove(at);
            }
            (true, false) => self.parts[at - 1].1 = end,
            (false, true) => self.parts[at].0 = piece.offset,
            (false, false) if self.parts.len() > GAPS => return None,
            (false, false) => self.parts.insert(at, (piece.offset, end)),
        }
        Some(())
    }

    fn complete(&self) -> bool {
        self.total.is_some_and(|total| self.parts == [(0, total)])
    }
}

impl Fragments {
    /// Takes in a fragment. Returns the data of its datagram once it is whole.
    pub fn input(&mut self, now: u64, key: Key, piece: Piece<'_>) -> Option<Vec<u8>> {
        self.expire(now);
        let at = match self.datagrams.iter().position(|d| d.key == key) {
            Some(at) => at,
            None => {
                if self.datagrams.len() >= DATAGRAMS {
                    self.remove(0);
                }
                let deadline = now.saturating_add(PATIENCE);
                self.datagrams.push_back(Datagram { key, deadline, data: Vec::new(), parts: Vec::new(), total: None });
                self.datagrams.len() - 1
            }
        };
        let datagram = &mut self.datagrams[at];
        let before = datagram.data.len();
        let good = datagram.add(piece).is_some();
        self.bytes += datagram.data.len() - before;
        if !good {
            self.remove(at);
            return None;
        }
        if self.datagrams[at].complete() {
            return self.remove(at).map(|d| d.data);
        }
        while self.bytes > BYTES {
            self.remove(0);
        }
        None
    }

    fn remove(&mut self, at: usize) -> Option<Datagram> {
        let datagram = self.datagrams.remove(at)?;
        self.bytes -= datagram.data.len();
        Some(datagram)
    }

    /// Forgets what stayed incomplete for too long.
    fn expire(&mut self, now: u64) {
        while self.datagrams.front().is_some_and(|d| d.deadline <= now) {
            self.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use core::net::Ipv4Addr;
    use proptest::prelude::*;

    fn key(identification: u32) -> Key {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Key { source: ip, target: ip, protocol: 17, identification }
    }

    fn piece(offset: usize, more: bool, data: &[u8]) -> Piece<'_> {
        Piece { offset, more, data }
    }

    proptest! {
        #[test]
        fn any_order_and_repetition_gives_the_datagram(
            units in 1usize..200, tail in 1usize..8, each in 1usize..20,
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..60),
        ) {
            let whole: Vec<u8> = (0..units * 8 + tail).map(|i| i as u8).collect();
            let n = whole.len().div_ceil(each * 8);
            let pieces: Vec<_> = whole.chunks(each * 8).enumerate()
                .map(|(i, data)| piece(i * each * 8, i + 1 < n, data)).collect();
            let mut fragments = Fragments::default();
            let mut got = None;
            let mut seen = vec![false; n];
            // Those of a strange order first, the rest in order; few gaps.
            for i in order.iter().map(|i| i.index(n)).take(GAPS).chain(0..n) {
                if got.is_none() {
                    seen[i] = true;
                    got = fragments.input(0, key(1), pieces[i]);
                    prop_assert_eq!(got.is_some(), seen.iter().all(|s| *s));
                }
            }
            prop_assert_eq!(got, Some(whole));
            prop_assert_eq!((fragments.bytes, fragments.datagrams.len()), (0, 0));
        }

        #[test]
        fn nonsense_is_bounded(
            pieces in proptest::collection::vec((0u32..60, 0usize..8200, any::<bool>(), 0usize..1500), 0..400),
        ) {
            let mut fragments = Fragments::default();
            for (id, unit, more, len) in pieces {
                let _ = fragments.input(0, key(id), piece(unit * 8, more, &vec![0; len]));
                prop_assert!(fragments.datagrams.len() <= DATAGRAMS && fragments.bytes <= BYTES);
                let bytes: usize = fragments.datagrams.iter().map(|d| d.data.len()).sum();
                prop_assert_eq!(bytes, fragments.bytes);
                prop_assert!(fragments.datagrams.iter().all(|d| d.parts.len() <= GAPS + 1));
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_taken_apart_comes_together(
            len in 1usize..65_000, mtu in 576usize..1500, identification: u32, v6: bool, next in 17u8..19,
        ) {
            use crate::{inet::ip, link::fragment as link};
            let header = if v6 { ip::V6_HEADER } else { ip::V4_HEADER };
            let mut packet: Vec<u8> = (0..header + len).map(|i| (i / 7) as u8).collect();
            let (a, b): (IpAddr, IpAddr) = if v6 {
                ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap())
            } else {
                ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap())
            };
            ip::write_header(&mut packet, a, b, next.into(), 64);
            let split = link::Fragments::new(&packet, mtu).unwrap();
            let (mut fragments, mut got, n) = (Fragments::default(), None, split.len());
            let mut count = 0;
            for fragment in split {
                prop_assert!(got.is_none() && fragment.len() <= mtu);
                count += 1;
                let mut bytes = vec![0; fragment.len()];
                fragment.write(identification, &mut bytes);
                let (key, piece) = if v6 {
                    match ip::normalise6(&mut bytes).unwrap() {
                        // The only one.
                        ip::Packet6::Whole(range) => {
                            prop_assert_eq!(&bytes[range], &packet[..]);
                            return Ok(());
                        }
                        ip::Packet6::Fragment(range) => ip::fragment6(&bytes, range).unwrap(),
                    }
                } else {
                    prop_assert_eq!(ip::valid4(&bytes), Some(bytes.len()));
                    if n == 1 {
                        prop_assert!(!ip::is_fragment4(&bytes));
                        return Ok(());
                    }
                    ip::fragment4(&bytes)
                };
                prop_assert_eq!((key.source, key.target, key.protocol), (a, b, next));
                got = fragments.input(0, key, piece);
            }
            prop_assert_eq!(count, n);
            prop_assert_eq!(&got.unwrap()[..], &packet[header..]);
        }
    }

    #[test]
    fn an_overlap_ends_the_datagram() {
        for second in [piece(8, false, &[0; 8]), piece(0, true, &[0; 16]), piece(16, true, &[0; 16])] {
            let mut fragments = Fragments::default();
            assert!(fragments.input(0, key(1), piece(0, true, &[0; 16])).is_none());
            assert!(fragments.input(0, key(1), piece(16, false, &[0; 8])).is_some());
            assert!(fragments.input(0, key(1), piece(8, true, &[0; 16])).is_none());
            assert!(fragments.input(0, key(1), second).is_none());
            assert!(fragments.datagrams.is_empty(), "{second:?}");
        }
    }

    #[test]
    fn one_that_stays_incomplete_is_forgotten() {
        let mut fragments = Fragments::default();
        assert!(fragments.input(0, key(1), piece(0, true, &[0; 8])).is_none());
        assert!(fragments.input(PATIENCE - 1, key(2), piece(0, true, &[0; 8])).is_none());
        assert_eq!(fragments.datagrams.len(), 2);
        assert!(fragments.input(PATIENCE, key(1), piece(8, false, &[0; 8])).is_none());
        assert!(fragments.input(PATIENCE, key(2), piece(8, false, &[0; 8])).is_some());
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        let mut fragments = Fragments::default();
        for bad in [
            piece(65_528, false, &[0; 8]),
            piece(0, true, &[0; 7]),
            piece(0, true, &[]),
            piece(usize::MAX, false, &[0]),
        ] {
            assert!(fragments.input(0, key(1), bad).is_none());
            assert!(fragments.datagrams.is_empty(), "{bad:?}");
        }
        // The end moves, or data lies beyond it.
        assert!(fragments.input(0, key(1), piece(16, false, &[0; 8])).is_none());
        assert!(fragments.input(0, key(1), piece(24, true, &[0; 8])).is_none());
        assert!(fragments.datagrams.is_empty());
    }
}
