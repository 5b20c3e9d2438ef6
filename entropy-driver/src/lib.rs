//! Random words from a hardware source, for the other PDs.
//!
//! A small pool is kept filled; a call takes from it and erases what it took,
//! so no word is given out twice. When the pool is too small for a call, the
//! driver waits for the device a bounded time and then answers "not now".
//! The protocol is `strait_abi::entropy`.
//!
//! The words are what the source delivers: whoever wants a stream of random
//! numbers seeds a generator with them.

#![no_std]
#![deny(unsafe_code)]

use strait_abi::entropy::{BAD_REQUEST, GET_WORDS, MAX_WORDS, NOT_NOW, OK};
use strait_pd::{Channel, ChannelSet, Component, Message};

#[cfg(feature = "virtio")]
pub mod virtio;

/// Words that the pool holds.
const POOL: usize = 128;
/// Below this the device is asked for more after a call.
const LOW: usize = 64;
/// Looks at the device before a call gives up.
const PATIENCE: usize = 100_000;

/// A source of random bytes.
pub trait EntropySource {
    /// Begins to fetch bytes; without effect if it has begun already.
    fn begin(&mut self);

    /// Copies fetched bytes into `into` and returns how many, if the fetch has
    /// ended. What does not fit is lost.
    fn poll(&mut self, into: &mut [u8]) -> Option<usize>;

    /// Clears the reason of the interrupt, if the source raises any.
    fn ack_interrupt(&mut self) {}
}

/// The component.
pub struct EntropyDriver<S> {
    source: S,
    pool: [u64; POOL],
    len: usize,
}

impl<S: EntropySource> EntropyDriver<S> {
    /// A driver of `source`, which begins to fill the pool.
    pub fn new(mut source: S) -> Self {
        source.begin();
        Self { source, pool: [0; POOL], len: 0 }
    }

    /// Moves what the source has into the pool; returns whether it had any.
    fn refill(&mut self) -> bool {
        let mut bytes = [0; POOL * 8];
        let room = (POOL - self.len) * 8;
        let Some(n) = self.source.poll(&mut bytes[..room]) else { return false };
        for chunk in bytes[..n.min(room)].chunks_exact(8) {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.pool[self.len] = u64::from_le_bytes(word);
            self.len += 1;
        }
        true
    }

    /// Makes sure of `count` words in the pool.
    fn gather(&mut self, count: usize) -> bool {
        for _ in 0..PATIENCE {
            if self.len >= count {
                return true;
            }
            self.source.begin();
            if !self.refill() {
                core::hint::spin_loop();
            }
        }
        self.len >= count
    }
}

impl<S: EntropySource> Component for EntropyDriver<S> {
    fn notified(&mut self, _: ChannelSet) -> Option<Channel> {
        self.source.ack_interrupt();
        self.refill();
        None
    }

    fn protected(&mut self, _: Channel, message: &mut Message) {
        let count = match (message.label, message.words()) {
            (GET_WORDS, &[n, ..]) if n >= 1 && n <= MAX_WORDS as u64 => n as usize,
            _ => return message.set(BAD_REQUEST, &[]),
        };
        if !self.gather(count) {
            return message.set(NOT_NOW, &[]);
        }
        self.len -= count;
        let taken = &mut self.pool[self.len..self.len + count];
        message.set(OK, taken);
        taken.fill(0);
        if self.len < LOW {
            self.source.begin();
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{collections::HashSet, vec, vec::Vec};

    /// Counts up; delivers on every `delay`th look.
    struct Source {
        next: u64,
        delay: usize,
        looks: usize,
        begun: bool,
    }

    impl EntropySource for Source {
        fn begin(&mut self) {
            self.begun = true;
        }
        fn poll(&mut self, into: &mut [u8]) -> Option<usize> {
            self.looks += 1;
            if !self.begun || self.delay == 0 || !self.looks.is_multiple_of(self.delay) {
                return None;
            }
            self.begun = false;
            let n = into.len().min(67);
            for chunk in into[..n].chunks_mut(8) {
                self.next += 1;
                chunk.copy_from_slice(&self.next.to_le_bytes()[..chunk.len()]);
            }
            Some(n)
        }
    }

    fn driver(delay: usize) -> EntropyDriver<Source> {
        EntropyDriver::new(Source { next: 0, delay, looks: 0, begun: false })
    }

    fn get(d: &mut EntropyDriver<Source>, n: u64) -> (u64, Vec<u64>) {
        let mut m = Message::from_words(GET_WORDS, &[n]);
        d.protected(Channel::new(1).unwrap(), &mut m);
        (m.label, m.words().to_vec())
    }

    #[test]
    fn no_word_twice_and_none_invented() {
        let mut d = driver(3);
        let mut seen = HashSet::new();
        for n in [1, 32, 5, 32, 32, 7, 32, 32, 32] {
            let (label, words) = get(&mut d, n);
            assert_eq!((label, words.len() as u64), (OK, n));
            for w in words {
                assert!(w != 0 && seen.insert(w));
            }
        }
    }

    #[test]
    fn a_silent_source_is_not_waited_for_for_ever() {
        assert_eq!(get(&mut driver(0), 4), (NOT_NOW, vec![]));
    }

    #[test]
    fn requests_without_sense_are_refused() {
        let mut d = driver(1);
        for n in [0, 33, u64::MAX] {
            assert_eq!(get(&mut d, n), (BAD_REQUEST, vec![]));
        }
        let mut m = Message::new(GET_WORDS);
        d.protected(Channel::new(1).unwrap(), &mut m);
        assert_eq!(m.label, BAD_REQUEST);
    }
}
