//! Which buffers of a data region the driver holds.

use alloc::vec::Vec;
use strait_ring::net_queue::BUFFER_SIZE;

/// A set of buffer numbers: those that the peer has handed over and not got
/// back. A buffer that is in the set already is refused, so that no two
/// frames share one.
pub struct Slots {
    held: Vec<u64>,
    count: usize,
}

impl Slots {
    /// The buffers of a data region of `bytes` bytes, none held.
    pub fn new(bytes: usize) -> Self {
        let count = (bytes / BUFFER_SIZE).min(usize::from(u16::MAX));
        Self { held: alloc::vec![0; count.div_ceil(64)], count }
    }

    /// How many buffers the region has.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether the region has none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes the buffer at `offset` into the set and returns its number;
    /// `None` if there is no buffer at that offset or it is held already.
    #[inline]
    pub fn take(&mut self, offset: u64) -> Option<u16> {
        let slot = offset / BUFFER_SIZE as u64;
        if !offset.is_multiple_of(BUFFER_SIZE as u64) || slot >= self.count as u64 {
            return None;
        }
        let (word, bit) = (&mut self.held[slot as usize / 64], 1 << (slot % 64));
        if *word & bit != 0 {
            return None;
        }
        *word |= bit;
        Some(slot as u16)
    }

    /// Removes the buffer from the set and returns its offset.
    #[inline]
    pub fn give(&mut self, slot: u16) -> u64 {
        if let Some(word) = self.held.get_mut(usize::from(slot) / 64) {
            *word &= !(1 << (slot % 64));
        }
        u64::from(slot) * BUFFER_SIZE as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_taken_once_and_only_if_it_exists() {
        let mut s = Slots::new(70 * BUFFER_SIZE + 5);
        assert_eq!(s.len(), 70);
        assert_eq!(s.take(69 * 2048), Some(69));
        assert_eq!(s.take(69 * 2048), None);
        assert_eq!(s.take(70 * 2048), None);
        assert_eq!(s.take(2047), None);
        assert_eq!(s.take(u64::MAX), None);
        assert_eq!(s.take(u64::MAX - 2047), None);
        assert_eq!(s.give(69), 69 * 2048);
        assert_eq!(s.take(69 * 2048), Some(69));
    }
}
