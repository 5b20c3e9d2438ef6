//! The runtime's memory functions against plain loops.

use alloc::vec::Vec;
use core::hint::black_box;

unsafe extern "C" {
    fn memcpy(d: *mut u8, s: *const u8, n: usize) -> *mut u8;
    fn memmove(d: *mut u8, s: *const u8, n: usize) -> *mut u8;
    fn memset(d: *mut u8, c: i32, n: usize) -> *mut u8;
    fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32;
}

const SPAN: usize = 1200;

fn pattern(salt: usize) -> Vec<u8> {
    (0..SPAN).map(|i| black_box((i * 131 + salt * 17 + (i >> 8)) as u8)).collect()
}

fn lengths() -> impl Iterator<Item = usize> {
    (0..=200).chain([255, 256, 257, 320, 321, 511, 512, 700, 1000])
}

fn slow_eq(a: &[u8], b: &[u8]) -> bool {
    (0..a.len()).all(|i| black_box(a[i]) == black_box(b[i]))
}

/// Returns how many checks failed.
pub fn check() -> usize {
    let mut bad = 0;
    for n in lengths() {
        for (d, s) in [(0, 0), (1, 0), (0, 1), (7, 3), (33, 40), (40, 33), (64, 0), (0, 64), (100, 99), (99, 100)] {
            let source = pattern(1);
            let mut apart = pattern(2);
            let mut expect = apart.clone();
            for i in 0..n {
                expect[d + i] = black_box(source[s + i]);
            }
            // SAFETY: both vectors are SPAN long and n + 100 does not exceed it.
            let r = unsafe { memcpy(apart.as_mut_ptr().add(d), source.as_ptr().add(s), n) };
            bad += usize::from(!slow_eq(&apart, &expect) || r as usize != apart.as_ptr() as usize + d);

            let mut within = pattern(3);
            let mut expect = within.clone();
            let old = within.clone();
            for i in 0..n {
                expect[d + i] = black_box(old[s + i]);
            }
            let p = within.as_mut_ptr();
            // SAFETY: as above, in one vector.
            unsafe { memmove(p.add(d), p.add(s), n) };
            bad += usize::from(!slow_eq(&within, &expect));
        }
        for d in [0, 1, 5, 16, 31] {
            let mut v = pattern(4);
            let mut expect = v.clone();
            for i in 0..n {
                expect[d + i] = black_box(0xa5);
            }
            // SAFETY: d + n is below SPAN.
            unsafe { memset(v.as_mut_ptr().add(d), 0x1a5, n) };
            bad += usize::from(!slow_eq(&v, &expect));

            let a = pattern(5);
            let mut b = a.clone();
            // SAFETY: d + n is below SPAN.
            let compare = |b: &[u8]| unsafe { memcmp(a.as_ptr().add(d), b.as_ptr().add(d), n) };
            bad += usize::from(compare(&b) != 0);
            for at in [0, n / 2, n.saturating_sub(1)] {
                if at < n {
                    let old = b[d + at];
                    b[d + at] = old ^ 0x80;
                    let expect_less = old < b[d + at];
                    let r = compare(&b);
                    bad += usize::from(if expect_less { r >= 0 } else { r <= 0 });
                    b[d + at] = old;
                }
            }
        }
    }
    bad
}

/// Whether unaligned accesses work: the image is built to rely on them.
pub fn unaligned_works() -> bool {
    let bytes = pattern(6);
    // SAFETY: inside the vector.
    let word = unsafe { bytes.as_ptr().add(3).cast::<u64>().read_unaligned() };
    word == u64::from_le_bytes(core::array::from_fn(|i| bytes[3 + i]))
}
