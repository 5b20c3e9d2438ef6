//! Packets that are longer than the MTU, in pieces (RFC 791 3.2, RFC 8200 4.5).

use crate::inet::ip::{V4_HEADER, V6_HEADER};

/// Bytes of the fragment header of IPv6.
const EXTENSION: usize = 8;
/// Its number.
const FRAGMENT: u8 = 44;

/// The fragments of a packet, in order.
pub struct Fragments<'a> {
    header: &'a [u8],
    data: &'a [u8],
    /// Bytes of data in each but the last.
    each: usize,
    offset: usize,
}

/// One of them.
pub struct Fragment<'a> {
    header: &'a [u8],
    data: &'a [u8],
    offset: usize,
    more: bool,
}

impl<'a> Fragments<'a> {
    /// Those of a packet whose header has neither options nor extensions.
    /// `None` if the MTU leaves no room for data.
    pub fn new(packet: &'a [u8], mtu: usize) -> Option<Self> {
        let v6 = packet.first()? >> 4 == 6;
        let (header, data) = packet.split_at_checked(if v6 { V6_HEADER } else { V4_HEADER })?;
        let room = mtu.checked_sub(header.len() + if v6 { EXTENSION } else { 0 })?;
        // All but the last in units of eight.
        let each = room & !7;
        (each > 0).then_some(Self { header, data, each, offset: 0 })
    }
}

impl<'a> Iterator for Fragments<'a> {
    type Item = Fragment<'a>;

    fn next(&mut self) -> Option<Fragment<'a>> {
        let rest = self.data.get(self.offset..).filter(|rest| !rest.is_empty())?;
        let data = &rest[..rest.len().min(self.each)];
        let fragment = Fragment { header: self.header, data, offset: self.offset, more: data.len() < rest.len() };
        self.offset += data.len();
        Some(fragment)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.data.len().saturating_sub(self.offset).div_ceil(self.each);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Fragments<'_> {}

impl Fragment<'_> {
    fn is_v6(&self) -> bool {
        self.header.len() == V6_HEADER
    }

    /// Bytes of it as a packet.
    pub fn len(&self) -> usize {
        self.header.len() + if self.is_v6() { EXTENSION } else { 0 } + self.data.len()
    }

    /// Writes it to `packet`, which has that length.
    pub fn write(&self, identification: u32, packet: &mut [u8]) {
        let at = packet.len() - self.data.len();
        packet[..self.header.len()].copy_from_slice(self.header);
        packet[at..].copy_from_slice(self.data);
        if self.is_v6() {
            packet[4..6].copy_from_slice(&((EXTENSION + self.data.len()) as u16).to_be_bytes());
            let next = core::mem::replace(&mut packet[6], FRAGMENT);
            packet[V6_HEADER..V6_HEADER + 2].copy_from_slice(&[next, 0]);
            let place = self.offset as u16 | u16::from(self.more);
            packet[V6_HEADER + 2..V6_HEADER + 4].copy_from_slice(&place.to_be_bytes());
            packet[V6_HEADER + 4..at].copy_from_slice(&identification.to_be_bytes());
        } else {
            let len = packet.len() as u16;
            packet[2..4].copy_from_slice(&len.to_be_bytes());
            packet[4..6].copy_from_slice(&(identification as u16).to_be_bytes());
            let place = (self.offset / 8) as u16 | u16::from(self.more) << 13;
            packet[6..8].copy_from_slice(&place.to_be_bytes());
            packet[10..12].fill(0);
            let sum = crate::inet::checksum::of(&packet[..V4_HEADER]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
    }
}
