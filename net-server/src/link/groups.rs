//! Multicast groups that this host belongs to, and telling routers and switches
//! so: IGMPv3 (RFC 3376) and MLDv2 (RFC 3810), or the older versions for as long
//! as a querier that speaks them is there.
//!
//! A group is joined for all its sources; filters by source are not supported.
//! However many queries come, each group has one timer.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hashbrown::HashMap;
use strait_abi::Errno;

use super::{ETH_INDEX, LOOPBACK_INDEX, ipv6::NEVER};
use crate::hash::Keyed;

/// Groups that all sessions may have together, on all interfaces.
const MAX_GROUPS: usize = 256;
/// And one session at least: as many as Linux lets one socket join.
const LEAST: usize = 20;
/// Reports of a new membership, and the longest time between them (RFC 3376
/// 8.1, 8.11).
const ROBUSTNESS: u8 = 2;
const UNSOLICITED: u64 = SECOND;
/// How long a querier that speaks an older version counts (RFC 3376 8.12, with
/// the default query interval).
const OLDER: u64 = 260 * SECOND;
const SECOND: u64 = 1_000_000_000;
/// The longest time a querier may give for answers.
const MAX_RESPONSE: u64 = 120 * SECOND;

/// The interface of the Ethernet port's groups.
pub const ETH_GROUPS: u32 = ETH_INDEX;

const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// What is to be told about a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It was joined.
    Joined,
    /// It is joined, as a querier asked.
    Member,
    /// It was left.
    Left,
}

/// In which words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// IGMPv1.
    First,
    /// IGMPv2, MLDv1.
    Second,
    /// IGMPv3, MLDv2.
    Third,
}

/// Who belongs to a group: a session, or [`PORT`].
pub type Member = usize;
/// The Ethernet port itself, for what IPv6 needs. It has no more groups than
/// addresses.
pub const PORT: Member = usize::MAX;

struct Group {
    /// How many sockets of whom.
    members: Vec<(Member, u32)>,
    /// When to report it; [`NEVER`] if not.
    at: u64,
    /// Reports left of a new membership.
    left: u8,
    told: Told,
}

/// See the module.
pub struct Groups {
    groups: HashMap<(IpAddr, u32), Group, Keyed>,
    /// Groups that one session may have.
    share: usize,
    /// Groups that were left and about whom that is still to be said.
    departed: Vec<IpAddr>,
    /// Until when a querier of IGMPv1, of IGMPv2, of MLDv1 counts.
    older: [u64; 3],
    /// The state of a generator for delays; nothing depends on their being
    /// unpredictable.
    delay: u64,
    next: u64,
}

/// Whether memberships of a group are told (RFC 3376, 6; RFC 3810, 6).
fn is_told(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(g) => g != ALL_HOSTS,
        IpAddr::V6(g) => g != ALL_NODES && g.octets()[1] & 0xf > 1,
    }
}

impl Groups {
    pub fn new(seed: u64) -> Self {
        Self {
            groups: HashMap::with_hasher(Keyed::default()),
            share: MAX_GROUPS,
            departed: Vec::new(),
            older: [0; 3],
            delay: seed | 1,
            next: NEVER,
        }
    }

    /// Divides the groups between so many sessions.
    pub fn share(&mut self, sessions: usize) {
        self.share = (MAX_GROUPS / sessions.max(1)).max(LEAST);
    }

    /// Whether packets to a group that come by an interface are for this host.
    pub fn hears(&self, group: IpAddr, interface: u32) -> bool {
        group == ALL_HOSTS || group == ALL_NODES || self.groups.contains_key(&(group, interface))
    }

    fn within(&mut self, most: u64) -> u64 {
        // xorshift64 (Marsaglia).
        self.delay ^= self.delay << 13;
        self.delay ^= self.delay >> 7;
        self.delay ^= self.delay << 17;
        self.delay % most.max(1)
    }

    /// One more socket joins a group; the port is there once. ENOBUFS if its
    /// session has too many groups.
    pub fn join(&mut self, now: u64, group: IpAddr, interface: u32, who: Member) -> Result<(), Errno> {
        let is_member = |g: &Group| g.members.iter().any(|(member, _)| *member == who);
        let known = self.groups.get_mut(&(group, interface));
        if let Some((_, sockets)) = known.and_then(|g| g.members.iter_mut().find(|(member, _)| *member == who)) {
            *sockets += u32::from(who != PORT);
            return Ok(());
        }
        if who != PORT && self.groups.values().filter(|g| is_member(g)).count() >= self.share {
            return Err(Errno::ENOBUFS);
        }
        let told = interface != LOOPBACK_INDEX && is_told(group);
        let at = if told { now } else { NEVER };
        let new = || Group { members: Vec::new(), at, left: ROBUSTNESS, told: Told::Joined };
        let group_entry = self.groups.entry((group, interface)).or_insert_with(new);
        group_entry.members.push((who, 1));
        if group_entry.members.len() == 1 {
            self.departed.retain(|g| *g != group);
            self.next = self.next.min(at);
        }
        Ok(())
    }

    /// One socket less. EADDRNOTAVAIL if who it is of is no member.
    pub fn leave(&mut self, now: u64, group: IpAddr, interface: u32, who: Member) -> Result<(), Errno> {
        let known = self.groups.get_mut(&(group, interface)).ok_or(Errno::EADDRNOTAVAIL)?;
        let at = known.members.iter().position(|(member, _)| *member == who).ok_or(Errno::EADDRNOTAVAIL)?;
        known.members[at].1 -= 1;
        if known.members[at].1 == 0 {
            known.members.swap_remove(at);
        }
        if known.members.is_empty() {
            self.groups.remove(&(group, interface));
            if interface != LOOPBACK_INDEX && is_told(group) && self.departed.len() < MAX_GROUPS {
                self.departed.push(group);
                self.next = now;
            }
        }
        Ok(())
    }

    /// The link is there again: everything is told anew.
    pub fn restart(&mut self, now: u64) {
        for ((group, interface), g) in &mut self.groups {
            if *interface != LOOPBACK_INDEX && is_told(*group) {
                (g.at, g.left, g.told) = (now, ROBUSTNESS, Told::Joined);
            }
        }
        self.next = now;
    }

    /// A querier asks about one group or all; answers within `most` nanoseconds.
    fn asked(&mut self, now: u64, version6: bool, group: Option<IpAddr>, most: u64) {
        let most = most.min(MAX_RESPONSE);
        let members: Vec<(IpAddr, u32)> = self
            .groups
            .keys()
            .filter(|(g, i)| *i != LOOPBACK_INDEX && g.is_ipv6() == version6 && is_told(*g))
            .filter(|(g, _)| group.is_none_or(|asked| asked == *g))
            .copied()
            .collect();
        for key in members {
            let at = now + self.within(most);
            if let Some(g) = self.groups.get_mut(&key) {
                if g.at == NEVER {
                    g.told = Told::Member;
                }
                g.at = g.at.min(at);
                self.next = self.next.min(g.at);
            }
        }
    }

    /// An IGMP message, with a right checksum. `None` if it makes no sense.
    pub fn igmp(&mut self, now: u64, body: &[u8]) -> Option<()> {
        let [kind, code, _, _, a, b, c, d] = *body.first_chunk::<8>()?;
        let group = Ipv4Addr::new(a, b, c, d);
        match kind {
            0x11 => {
                let group = (!group.is_unspecified()).then_some(IpAddr::V4(group));
                let most = match (body.len(), code) {
                    (8, 0) => {
                        self.older[0] = now + OLDER;
                        10 * SECOND
                    }
                    (8, _) => {
                        self.older[1] = now + OLDER;
                        u64::from(code) * SECOND / 10
                    }
                    (12.., _) => u64::from(floating(code.into(), 8)) * SECOND / 10,
                    _ => return None,
                };
                self.asked(now, false, group, most);
            }
            0x12 | 0x16 => self.heard(group.into()),
            // Reports of the third version are for routers.
            0x17 | 0x22 => {}
            _ => return None,
        }
        Some(())
    }

    /// An MLD query (RFC 3810 5.1, 8.1).
    pub fn query6(&mut self, now: u64, body: &[u8]) -> Option<()> {
        let code = u16::from_be_bytes([*body.get(4)?, *body.get(5)?]);
        let group = Ipv6Addr::from(<[u8; 16]>::try_from(body.get(8..24)?).ok()?);
        let milliseconds = match body.len() {
            24 => {
                self.older[2] = now + OLDER;
                code.into()
            }
            28.. => floating(code, 16),
            _ => return None,
        };
        let group = (!group.is_unspecified()).then_some(IpAddr::V6(group));
        self.asked(now, true, group, u64::from(milliseconds) * 1_000_000);
        Some(())
    }

    /// Another host reported a group, in MLDv1.
    pub fn reported6(&mut self, body: &[u8]) -> Option<()> {
        let group = Ipv6Addr::from(<[u8; 16]>::try_from(body.get(8..24)?).ok()?);
        self.heard(group.into());
        Some(())
    }

    /// In the older versions one report for a group is enough (RFC 2236, 3).
    fn heard(&mut self, group: IpAddr) {
        if let Some(g) = self.groups.get_mut(&(group, ETH_GROUPS))
            && g.told == Told::Member
        {
            g.at = NEVER;
        }
    }

    fn version(&self, now: u64, group: IpAddr) -> Version {
        match group {
            IpAddr::V4(_) if self.older[0] > now => Version::First,
            IpAddr::V4(_) if self.older[1] > now => Version::Second,
            IpAddr::V6(_) if self.older[2] > now => Version::Second,
            _ => Version::Third,
        }
    }

    /// When something is to be told; [`NEVER`] if nothing is.
    pub fn deadline(&self) -> u64 {
        self.next
    }

    /// What is to be told now.
    pub fn due(&mut self, now: u64) -> Vec<(IpAddr, Told, Version)> {
        if self.next > now {
            return Vec::new();
        }
        let mut due: Vec<_> = core::mem::take(&mut self.departed).into_iter().map(|g| (g, Told::Left)).collect();
        self.next = NEVER;
        let delay = self.within(UNSOLICITED);
        for ((group, _), g) in &mut self.groups {
            if g.at <= now {
                due.push((*group, g.told));
                g.left = if g.told == Told::Joined { g.left.saturating_sub(1) } else { 0 };
                g.at = if g.left > 0 { now + delay } else { NEVER };
            }
            self.next = self.next.min(g.at);
        }
        due.into_iter().map(|(group, told)| (group, told, self.version(now, group))).collect()
    }
}

/// A time in a byte or two: from half its range on with an exponent (RFC 3376
/// 4.1.1, RFC 3810 5.1.3).
fn floating(code: u16, bits: u32) -> u32 {
    if code < 1 << (bits - 1) {
        return code.into();
    }
    let mantissa_bits = bits - 4;
    let exponent = u32::from(code >> mantissa_bits) & 7;
    let mantissa = u32::from(code) & ((1 << mantissa_bits) - 1);
    (mantissa | 1 << mantissa_bits) << (exponent + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const G: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 1, 2, 3));

    fn query(code: u8, group: [u8; 4], third: bool) -> Vec<u8> {
        let mut q = alloc::vec![0x11, code, 0, 0];
        q.extend(group);
        if third {
            q.extend([2, 125, 0, 0]);
        }
        q
    }

    #[test]
    fn times_with_an_exponent() {
        assert_eq!(floating(100, 8), 100);
        assert_eq!(floating(0x80, 8), 128);
        assert_eq!(floating(0xff, 8), 31 << 10);
        assert_eq!(floating(10_000, 16), 10_000);
        assert_eq!(floating(0x8000, 16), 32768);
    }

    #[test]
    fn a_membership_is_told_and_asked_for() {
        let mut g = Groups::new(7);
        assert!(!g.hears(G, 2));
        g.join(0, G, 2, 0).unwrap();
        g.join(0, G, 2, 0).unwrap();
        assert!(g.hears(G, 2) && !g.hears(G, 1) && g.hears(ALL_NODES.into(), 1));
        assert_eq!(g.due(0), [(G, Told::Joined, Version::Third)]);
        let again = g.deadline();
        assert!(again <= UNSOLICITED);
        assert_eq!(g.due(again), [(G, Told::Joined, Version::Third)]);
        assert_eq!(g.deadline(), NEVER);
        // A query of the third version, then ten of them at once.
        for _ in 0..10 {
            g.igmp(again, &query(100, [0; 4], true)).unwrap();
        }
        let at = g.deadline();
        assert!(at <= again + 10 * SECOND);
        assert_eq!(g.due(at), [(G, Told::Member, Version::Third)]);
        assert_eq!(g.deadline(), NEVER);
        // One of the second; another host answers first.
        g.igmp(at, &query(100, [239, 1, 2, 3], false)).unwrap();
        g.igmp(at, &[0x16, 0, 0, 0, 239, 1, 2, 3]).unwrap();
        assert_eq!(g.due(at + 20 * SECOND), []);
        // About another group.
        g.igmp(at, &query(100, [239, 9, 9, 9], true)).unwrap();
        assert_eq!(g.deadline(), NEVER);
        g.leave(at, G, 2, 0).unwrap();
        assert_eq!(g.deadline(), NEVER);
        g.leave(at, G, 2, 0).unwrap();
        assert_eq!(g.due(at), [(G, Told::Left, Version::Second)]);
        assert_eq!(g.leave(at, G, 2, 0), Err(Errno::EADDRNOTAVAIL));
        assert_eq!(g.igmp(0, &query(100, [0; 4], true)[..11]), None);
        assert_eq!(g.igmp(0, &[0x11, 0, 0]), None);
    }

    #[test]
    fn each_session_has_its_share_and_the_port_what_it_needs() {
        let mut g = Groups::new(7);
        g.share(4);
        let group = |n: u32| IpAddr::from(Ipv4Addr::from(0xef00_0000 | n));
        for session in 0..4 {
            for n in 0..64 {
                g.join(0, group(n + session as u32), 2, session).unwrap();
                // Another socket, and the same group elsewhere.
                g.join(0, group(n + session as u32), 2, session).unwrap();
            }
            assert_eq!(g.join(0, group(1000), 2, session), Err(Errno::ENOBUFS));
        }
        g.join(0, group(1000), 2, PORT).unwrap();
        g.join(0, group(1000), 2, PORT).unwrap();
        g.leave(0, group(1000), 2, PORT).unwrap();
        assert!(!g.hears(group(1000), 2));
        assert_eq!(g.leave(0, group(1000), 2, PORT), Err(Errno::EADDRNOTAVAIL));
        // It is heard as long as anyone is there.
        assert_eq!(g.leave(0, group(0), 2, 1), Err(Errno::EADDRNOTAVAIL));
        for session in [0, 1] {
            assert!(g.hears(group(1), 2));
            g.leave(0, group(1), 2, session).unwrap();
            g.leave(0, group(1), 2, session).unwrap();
        }
        assert!(!g.hears(group(1), 2));
        g.join(0, group(1000), 2, 1).unwrap();
        g.share(1000);
        assert_eq!(g.share, LEAST);
    }

    #[test]
    fn groups_have_an_end() {
        let mut g = Groups::new(7);
        for n in 0..MAX_GROUPS as u32 {
            g.join(0, Ipv4Addr::from(0xef00_0000 | n).into(), 2, 0).unwrap();
        }
        assert_eq!(g.join(0, G, 2, 0), Err(Errno::ENOBUFS));
        assert_eq!(g.due(0).len(), MAX_GROUPS);
        // Nothing is said of loopback and of all hosts.
        let mut g = Groups::new(7);
        g.join(0, G, 1, 0).unwrap();
        g.join(0, ALL_HOSTS.into(), 2, 0).unwrap();
        g.join(0, ALL_NODES.into(), 2, 0).unwrap();
        assert_eq!(g.deadline(), NEVER);
    }
}
