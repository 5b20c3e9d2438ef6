//! One buffer or several: what send(2) and sendmsg(2) have in common, and
//! recv(2) and recvmsg(2). One buffer costs nothing extra.

use core::ops::Range;

/// Bytes to send.
pub trait Gather {
    /// How many.
    fn len(&self) -> usize;

    /// Shows `f` the bytes of `range` in pieces, each with its distance from
    /// the beginning of `range`, until it gives `None`.
    fn each(&self, range: Range<usize>, f: impl FnMut(usize, &[u8]) -> Option<()>) -> Option<()>;
}

/// Room for what is received.
pub trait Scatter {
    /// How much.
    fn len(&self) -> usize;

    /// As [`Gather::each`], to be filled.
    fn each_mut(&mut self, range: Range<usize>, f: impl FnMut(usize, &mut [u8]) -> Option<()>) -> Option<()>;
}

impl Gather for [u8] {
    #[inline]
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    #[inline]
    fn each(&self, range: Range<usize>, mut f: impl FnMut(usize, &[u8]) -> Option<()>) -> Option<()> {
        f(0, self.get(range)?)
    }
}

impl Scatter for [u8] {
    #[inline]
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    #[inline]
    fn each_mut(&mut self, range: Range<usize>, mut f: impl FnMut(usize, &mut [u8]) -> Option<()>) -> Option<()> {
        f(0, self.get_mut(range)?)
    }
}

impl Gather for [&[u8]] {
    fn len(&self) -> usize {
        self.iter().map(|part| part.len()).sum()
    }

    fn each(&self, range: Range<usize>, mut f: impl FnMut(usize, &[u8]) -> Option<()>) -> Option<()> {
        let mut begin = 0;
        for part in self {
            if let Some((from, to)) = overlap(&range, begin, part.len()) {
                f(begin + from - range.start, part.get(from..to)?)?;
            }
            begin += part.len();
        }
        (range.end <= begin).then_some(())
    }
}

impl Scatter for [&mut [u8]] {
    fn len(&self) -> usize {
        self.iter().map(|part| part.len()).sum()
    }

    fn each_mut(&mut self, range: Range<usize>, mut f: impl FnMut(usize, &mut [u8]) -> Option<()>) -> Option<()> {
        let mut begin = 0;
        for part in self {
            let len = part.len();
            if let Some((from, to)) = overlap(&range, begin, len) {
                f(begin + from - range.start, part.get_mut(from..to)?)?;
            }
            begin += len;
        }
        (range.end <= begin).then_some(())
    }
}

/// Which bytes of a part of `len` bytes, the first of which is byte `begin` of
/// the whole, lie in `range`.
fn overlap(range: &Range<usize>, begin: usize, len: usize) -> Option<(usize, usize)> {
    let from = range.start.saturating_sub(begin);
    let to = range.end.saturating_sub(begin).min(len);
    (from < to).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_are_as_the_whole(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..6),
                                  a in 0usize..50, b in 0usize..50) {
            let whole = parts.concat();
            let range = a.min(b).min(whole.len())..a.max(b).min(whole.len());
            let slices: Vec<&[u8]> = parts.iter().map(|p| &p[..]).collect();
            prop_assert_eq!(Gather::len(&slices[..]), whole.len());
            let mut got = vec![0; range.len()];
            slices.each(range.clone(), |at, bytes| { got[at..at + bytes.len()].copy_from_slice(bytes); Some(()) });
            prop_assert_eq!(&got[..], &whole[range.clone()]);

            let mut into: Vec<Vec<u8>> = parts.iter().map(|p| vec![0; p.len()]).collect();
            let mut slices: Vec<&mut [u8]> = into.iter_mut().map(|p| &mut p[..]).collect();
            slices.each_mut(range.clone(), |at, bytes| { bytes.copy_from_slice(&got[at..at + bytes.len()]); Some(()) });
            let mut expected = vec![0; whole.len()];
            expected[range.clone()].copy_from_slice(&whole[range]);
            prop_assert_eq!(into.concat(), expected);
            prop_assert_eq!(whole.each(0..whole.len() + 1, |_, _| Some(())), None);
        }
    }
}
