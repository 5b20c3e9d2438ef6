//! One doorbell for each of up to 4,096 sockets; taking the rung ones costs by
//! their number, not by the number of sockets.

use crate::sync::{AtomicU64, Ordering};

/// Most bits in one bitmap.
pub const MAX_BITS: usize = 64 * 64;

/// A two-level bitmap in shared memory: bit `w` of the summary stands for
/// word `w`.
#[derive(Clone, Copy)]
pub struct Bitmap<'a> {
    summary: &'a AtomicU64,
    words: &'a [AtomicU64; 64],
}

impl<'a> Bitmap<'a> {
    /// The bitmap made of these cells.
    pub fn new(summary: &'a AtomicU64, words: &'a [AtomicU64; 64]) -> Self {
        Self { summary, words }
    }

    /// Producer: sets bit `index` (modulo [`MAX_BITS`]), after what it stands
    /// for was published.
    #[inline]
    pub fn set(&self, index: usize) {
        let word = (index / 64) % 64;
        self.words[word].fetch_or(1 << (index % 64), Ordering::Release);
        self.summary.fetch_or(1 << word, Ordering::Release);
    }

    /// Whether a bit may be set.
    #[inline]
    pub fn any(&self) -> bool {
        self.summary.load(Ordering::Acquire) != 0
    }

    /// Consumer: clears all set bits and calls `f` with the index of each, at
    /// most [`MAX_BITS`] times.
    pub fn take(&self, mut f: impl FnMut(usize)) {
        if !self.any() {
            return;
        }
        let mut summary = self.summary.swap(0, Ordering::Acquire);
        while summary != 0 {
            let word = summary.trailing_zeros() as usize;
            summary &= summary - 1;
            let mut bits = self.words[word].swap(0, Ordering::Acquire);
            while bits != 0 {
                f(word * 64 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn takes_each_set_bit_once() {
        let summary = AtomicU64::new(0);
        let words = [const { AtomicU64::new(0) }; 64];
        let b = Bitmap::new(&summary, &words);
        for i in [0, 63, 64, 4095, 64, 1000] {
            b.set(i);
        }
        let mut got = Vec::new();
        b.take(|i| got.push(i));
        assert_eq!(got, [0, 63, 64, 1000, 4095]);
        b.take(|_| panic!("empty"));
    }
}
