//! What name servers said, for as long as it holds (RFC 1035, 7.4; RFC 2308).

use alloc::{collections::BTreeMap, vec::Vec};

use super::lookup::Outcome;

/// Answers that are remembered: enough for a component's peers.
const MAX_ENTRIES: usize = 64;
/// Most seconds for which anything is believed: a day, as RFC 8767 advises at
/// least to cap.
const MAX_TTL: u32 = 86_400;
/// The same for "there is nothing" (RFC 2308, 5: hours are too long).
const MAX_NEGATIVE_TTL: u32 = 900;

/// Lower-case name in wire format, and kind of records.
type Key = (Vec<u8>, u16);

/// See the module. Time is in nanoseconds.
#[derive(Default)]
pub struct Cache(BTreeMap<Key, (u64, Outcome)>);

fn key(name: &[u8], kind: u16) -> Key {
    (name.to_ascii_lowercase(), kind)
}

impl Cache {
    /// What is known.
    pub fn get(&self, name: &[u8], kind: u16, now: u64) -> Option<&Outcome> {
        self.0.get(&key(name, kind)).filter(|(until, _)| *until > now).map(|(_, outcome)| outcome)
    }

    /// Remembers an outcome. If there is no more place, what would be forgotten
    /// first is.
    pub fn put(&mut self, name: &[u8], kind: u16, now: u64, outcome: &Outcome) {
        let seconds = match outcome {
            Outcome::Found(records) => records.ttl.min(MAX_TTL),
            Outcome::Absent { ttl, .. } => (*ttl).min(MAX_NEGATIVE_TTL),
        };
        let key = key(name, kind);
        if seconds == 0 {
            self.0.remove(&key);
            return;
        }
        if self.0.len() >= MAX_ENTRIES && !self.0.contains_key(&key) {
            let first = self.0.iter().min_by_key(|(_, (until, _))| *until).map(|(key, _)| key.clone());
            first.map(|key| self.0.remove(&key));
        }
        self.0.insert(key, (now + u64::from(seconds) * 1_000_000_000, outcome.clone()));
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::message::Records;

    const SECOND: u64 = 1_000_000_000;

    fn found(ttl: u32) -> Outcome {
        Outcome::Found(Records { ttl, ..Records::default() })
    }

    #[test]
    fn an_answer_holds_for_its_time() {
        let mut cache = Cache::default();
        cache.put(b"\x01A\0", 1, 5, &found(10));
        assert_eq!(cache.get(b"\x01a\0", 1, 5 + 10 * SECOND - 1), Some(&found(10)));
        assert_eq!(cache.get(b"\x01a\0", 1, 5 + 10 * SECOND), None);
        assert_eq!(cache.get(b"\x01a\0", 28, 5), None);
        // What holds for no time takes the place of what was known.
        cache.put(b"\x01a\0", 1, 5, &found(0));
        assert_eq!(cache.get(b"\x01a\0", 1, 5), None);
        cache.put(b"\x01b\0", 1, 0, &found(u32::MAX));
        cache.put(b"\x01c\0", 1, 0, &Outcome::Absent { exists: true, ttl: u32::MAX });
        assert!(
            cache.get(b"\x01b\0", 1, 86_399 * SECOND).is_some() && cache.get(b"\x01b\0", 1, 86_400 * SECOND).is_none()
        );
        assert!(cache.get(b"\x01c\0", 1, 899 * SECOND).is_some() && cache.get(b"\x01c\0", 1, 900 * SECOND).is_none());
    }

    #[test]
    fn it_never_grows_beyond_its_places() {
        let mut cache = Cache::default();
        for i in 0..1000u32 {
            cache.put(&i.to_be_bytes(), 1, 0, &found(i + 1));
            assert!(cache.0.len() <= MAX_ENTRIES);
        }
        // Those that hold longest stayed.
        assert!(cache.get(&999u32.to_be_bytes(), 1, 0).is_some() && cache.get(&0u32.to_be_bytes(), 1, 0).is_none());
    }
}
