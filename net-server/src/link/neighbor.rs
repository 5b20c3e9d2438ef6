//! Which MAC address a neighbour has (by ARP or neighbour discovery), each for
//! itself.
//!
//! A destination that does not answer costs three requests and a queue of a
//! few frames, and delays nobody else.

use alloc::vec::Vec;
use core::net::IpAddr;

use hashbrown::HashMap;
use smoltcp::wire::EthernetAddress;

use super::eth::Frame;
use crate::hash::Keyed;

/// Neighbours remembered at most.
const MAX_ENTRIES: usize = 512;
/// Frames that wait for one neighbour: the longest datagram in its fragments.
const MAX_WAITING: usize = 48;
/// And for all: a client that sends to many dead hosts must not hold the
/// buffers of the others. One of so many.
const WAITING_SHARE: usize = 4;
/// Time between requests, and how many there are (RFC 1122 2.3.2.1).
const RETRY: u64 = 1_000_000_000;
const TRIES: u8 = 3;
/// After this an entry is confirmed again by a unicast request.
const FRESH: u64 = 60_000_000_000;

enum State {
    Incomplete { tries: u8, next: u64, waiting: Vec<Frame> },
    Known { mac: EthernetAddress, confirmed: u64, probes: u8, next: u64 },
}

/// The table.
pub struct Neighbors {
    entries: HashMap<IpAddr, State, Keyed>,
    next: Option<u64>,
    /// Frames that wait, for all neighbours together.
    waiting: usize,
    /// How many may.
    most: usize,
    /// The last one found, and until when it needs no confirmation: most
    /// packets go where the one before went.
    last: Option<(IpAddr, EthernetAddress, u64)>,
}

/// What becomes of a frame.
pub enum Resolution {
    /// Send it there.
    Known(EthernetAddress, Frame),
    /// It waits; if `solicit`, a request must go out.
    Parked {
        /// Whether this is the first frame that waits.
        solicit: bool,
    },
    /// No place to wait.
    Refused {
        /// The frame, to be given back.
        frame: Frame,
        /// Whether a request must go out nevertheless.
        solicit: bool,
    },
}

/// What is due.
#[derive(Default)]
pub struct Due {
    /// Requests to send, to the given MAC address or to all.
    pub solicit: Vec<(IpAddr, Option<EthernetAddress>)>,
    /// Neighbours given up, with what waited for them.
    pub failed: Vec<(IpAddr, Vec<Frame>)>,
}

impl Neighbors {
    /// An empty table, for a link with so many buffers.
    pub fn new(buffers: usize) -> Self {
        let most = buffers / WAITING_SHARE;
        Self { entries: HashMap::with_hasher(Keyed::default()), next: None, waiting: 0, most, last: None }
    }

    fn wake_at(&mut self, at: u64) {
        self.next = Some(self.next.map_or(at, |n| n.min(at)));
    }

    /// Finds the way for `frame`, or keeps it.
    pub fn resolve(&mut self, ip: IpAddr, now: u64, frame: Frame) -> Resolution {
        if let Some((last, mac, until)) = self.last
            && last == ip
            && now <= until
        {
            return Resolution::Known(mac, frame);
        }
        let full = self.waiting >= self.most;
        match self.entries.get_mut(&ip) {
            Some(State::Known { mac, confirmed, probes, next }) => {
                if *probes == 0 && now.saturating_sub(*confirmed) > FRESH {
                    *next = now;
                    *probes = 1;
                    let mac = *mac;
                    self.wake_at(now);
                    return Resolution::Known(mac, frame);
                }
                self.last = Some((ip, *mac, *confirmed + FRESH));
                Resolution::Known(*mac, frame)
            }
            Some(State::Incomplete { waiting, .. }) => {
                if full || waiting.len() == MAX_WAITING {
                    return Resolution::Refused { frame, solicit: false };
                }
                waiting.push(frame);
                self.waiting += 1;
                Resolution::Parked { solicit: false }
            }
            None => {
                if self.entries.len() >= MAX_ENTRIES && !self.evict() {
                    return Resolution::Refused { frame, solicit: false };
                }
                // Without a place for the frame the neighbour is asked for
                // nevertheless: the next frame finds it.
                let (waiting, answer) = if full {
                    (Vec::new(), Resolution::Refused { frame, solicit: true })
                } else {
                    self.waiting += 1;
                    (alloc::vec![frame], Resolution::Parked { solicit: true })
                };
                self.entries.insert(ip, State::Incomplete { tries: 1, next: now + RETRY, waiting });
                self.wake_at(now + RETRY);
                answer
            }
        }
    }

    /// Makes room: an entry goes for which nothing waits, the one that was
    /// confirmed longest ago or never.
    fn evict(&mut self) -> bool {
        let oldest = self
            .entries
            .iter()
            .filter_map(|(ip, s)| match s {
                State::Known { confirmed, .. } => Some((*confirmed, *ip)),
                State::Incomplete { waiting, .. } => waiting.is_empty().then_some((0, *ip)),
            })
            .min();
        oldest.is_some_and(|(_, ip)| self.entries.remove(&ip).is_some())
    }

    /// A neighbour showed its address. Returns the frames that waited for it.
    pub fn learn(&mut self, ip: IpAddr, mac: EthernetAddress, now: u64) -> Vec<Frame> {
        self.last = None;
        let known = State::Known { mac, confirmed: now, probes: 0, next: 0 };
        if self.entries.len() >= MAX_ENTRIES && !self.entries.contains_key(&ip) && !self.evict() {
            return Vec::new();
        }
        match self.entries.insert(ip, known) {
            Some(State::Incomplete { waiting, .. }) => {
                self.waiting -= waiting.len();
                waiting
            }
            _ => Vec::new(),
        }
    }

    /// Whether there is an entry for a neighbour, and what hardware address it
    /// has.
    pub fn known(&self, ip: IpAddr) -> Option<Option<EthernetAddress>> {
        self.entries.get(&ip).map(|state| match state {
            State::Known { mac, .. } => Some(*mac),
            State::Incomplete { .. } => None,
        })
    }

    /// Forgets everyone, as the link is gone. Returns what waited for whom.
    pub fn clear(&mut self) -> Vec<(IpAddr, Vec<Frame>)> {
        (self.last, self.next, self.waiting) = (None, None, 0);
        let waiting = self.entries.drain().filter_map(|(ip, state)| match state {
            State::Incomplete { waiting, .. } => Some((ip, waiting)),
            State::Known { .. } => None,
        });
        waiting.collect()
    }

    /// When [`tick`](Self::tick) is due.
    pub fn deadline(&self) -> Option<u64> {
        self.next
    }

    /// What is due by now.
    pub fn tick(&mut self, now: u64) -> Due {
        let mut due = Due::default();
        self.last = None;
        let mut soonest: Option<u64> = None;
        self.entries.retain(|ip, state| {
            let (count, next, limit) = match state {
                State::Incomplete { tries, next, .. } => (tries, next, TRIES),
                State::Known { probes: 0, .. } => return true,
                State::Known { probes, next, .. } => (probes, next, TRIES + 1),
            };
            if *next <= now {
                if *count >= limit {
                    let waiting = match state {
                        State::Incomplete { waiting, .. } => core::mem::take(waiting),
                        State::Known { .. } => Vec::new(),
                    };
                    self.waiting -= waiting.len();
                    due.failed.push((*ip, waiting));
                    return false;
                }
                *count += 1;
                *next = now + RETRY;
                let at = *next;
                soonest = Some(soonest.map_or(at, |s| s.min(at)));
                let mac = match state {
                    State::Known { mac, .. } => Some(*mac),
                    State::Incomplete { .. } => None,
                };
                due.solicit.push((*ip, mac));
            } else {
                soonest = Some(soonest.map_or(*next, |s| s.min(*next)));
            }
            true
        });
        self.next = soonest;
        due
    }
}
