//! Hashing that a peer cannot predict: tables are keyed by addresses and ports
//! that it chooses.

use core::{
    hash::{BuildHasher, Hasher},
    sync::atomic::{AtomicU64, Ordering},
};

use siphasher::sip::SipHasher13;

static KEY: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

/// Sets the key of every table made from here on. Once, before any is made.
pub fn set_key(key: [u64; 2]) {
    KEY[0].store(key[0], Ordering::Relaxed);
    KEY[1].store(key[1], Ordering::Relaxed);
}

/// SipHash-1-3 with the key of this boot.
#[derive(Clone, Copy)]
pub struct Keyed([u64; 2]);

impl Default for Keyed {
    fn default() -> Self {
        Self([KEY[0].load(Ordering::Relaxed), KEY[1].load(Ordering::Relaxed)])
    }
}

impl BuildHasher for Keyed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0[0], self.0[1])
    }
}

/// A keyed hash of some words.
pub fn keyed(key: [u64; 2], words: &[u64]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(key[0], key[1]);
    for w in words {
        hasher.write_u64(*w);
    }
    hasher.finish()
}
