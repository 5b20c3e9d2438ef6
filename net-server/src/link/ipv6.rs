//! The IPv6 addresses of the Ethernet port and its ways: what the configuration
//! says and what routers announce (RFC 4861, RFC 4862), with their lifetimes.
//!
//! Anyone on the link can pretend to be a router, so everything has a bound; a
//! flood of announcements fills the tables and changes nothing else.

use alloc::vec::Vec;
use core::net::Ipv6Addr;

use smoltcp::wire::{EthernetAddress, Ipv6Cidr};
use strait_abi::Errno;

/// Addresses that the port has at most, and those that follow from announced
/// prefixes.
pub const MAX_ADDRESSES: usize = 16;
/// See [`MAX_ADDRESSES`].
pub const MAX_ANNOUNCED: usize = 8;
/// Announced prefixes, routers and name servers that are remembered.
pub const MAX_PREFIXES: usize = 16;
/// See [`MAX_PREFIXES`].
pub const MAX_ROUTERS: usize = 4;
/// See [`MAX_PREFIXES`].
pub const MAX_SERVERS: usize = 3;
/// Routes that were added by hand.
pub const MAX_ROUTES: usize = 32;
/// The time that never comes.
pub const NEVER: u64 = u64::MAX;
/// Less than this is not left of a valid address by an announcement that
/// nobody signed (RFC 4862 5.5.3 e).
const TWO_HOURS: u64 = 7200 * SECOND;
const SECOND: u64 = 1_000_000_000;

/// Where an address comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Made from the hardware address.
    LinkLocal,
    /// Configured.
    Static,
    /// Made from a prefix that a router announced.
    Announced,
}

/// Whether an address may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody has it as far as known; asked at the given time, or asked, with
    /// answers awaited until then (RFC 4862 5.4).
    Tentative {
        /// When to go on.
        at: u64,
        /// Whether the question was asked.
        asked: bool,
    },
    /// It is used.
    Valid,
}

/// One address of the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address6 {
    /// It, with its prefix.
    pub cidr: Ipv6Cidr,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether it may be used.
    pub state: State,
    /// From then on it is used only where no better one is there.
    pub preferred_until: u64,
    /// From then on it is not there.
    pub valid_until: u64,
    /// `preferred_until` has come.
    pub deprecated: bool,
}

/// Something announced, until a time.
#[derive(Debug, Clone, Copy)]
pub struct Announced<T> {
    /// It.
    pub what: T,
    /// Its end.
    pub until: u64,
}

/// A default router.
#[derive(Debug, Clone, Copy)]
pub struct Router {
    /// Its link-local address.
    pub address: Ipv6Addr,
    /// 1, 0 or -1 (RFC 4191 2.1).
    pub preference: i8,
    /// It did not answer when it was asked for its hardware address.
    pub silent: bool,
}

/// A way to other networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route6 {
    /// Where it leads.
    pub prefix: Ipv6Cidr,
    /// The neighbour that takes the packets; without one the destinations are
    /// neighbours themselves.
    pub gateway: Option<Ipv6Addr>,
}

/// See the module.
pub struct Ipv6 {
    /// Whether there is IPv6 on the port, and whether routers are listened to.
    pub enabled: bool,
    /// See `enabled`.
    pub autoconf: bool,
    pub addresses: Vec<Address6>,
    pub prefixes: Vec<Announced<Ipv6Cidr>>,
    pub routers: Vec<Announced<Router>>,
    pub servers: Vec<Announced<Ipv6Addr>>,
    /// Configured name servers.
    pub dns: Vec<Ipv6Addr>,
    /// Configured and added routes.
    pub routes: Vec<Route6>,
    /// Whether and why not the link can be used.
    pub usable: Result<(), Errno>,
    /// Router solicitations still to be sent, and when.
    pub solicitations: u8,
    /// See `solicitations`.
    pub solicit_at: u64,
}

/// The link-local address of a hardware address (RFC 4291, appendix A).
pub fn link_local(mac: EthernetAddress) -> Ipv6Addr {
    with_interface("fe80::".parse().unwrap_or(Ipv6Addr::UNSPECIFIED), mac)
}

/// A prefix of 64 bits with the interface identifier of a hardware address.
fn with_interface(prefix: Ipv6Addr, mac: EthernetAddress) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    let mut bytes = prefix.octets();
    bytes[8..].copy_from_slice(&[a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    bytes.into()
}

/// The group whose members are asked for an address (RFC 4291 2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// Whether the prefix of a cidr may be announced: neither a group nor
/// link-local.
fn announceable(prefix: Ipv6Addr) -> bool {
    !prefix.is_multicast() && !prefix.is_unicast_link_local() && !prefix.is_loopback() && !prefix.is_unspecified()
}

/// A prefix as a router announces it (RFC 4861 4.6.2); lifetimes in seconds,
/// of which the greatest means for ever.
#[derive(Debug, Clone, Copy)]
pub struct PrefixInfo {
    pub prefix: Ipv6Addr,
    pub len: u8,
    pub on_link: bool,
    pub autonomous: bool,
    pub valid: u32,
    pub preferred: u32,
}

/// The end of a lifetime that begins now.
pub fn ends(now: u64, seconds: u32) -> u64 {
    if seconds == u32::MAX { NEVER } else { now + u64::from(seconds) * SECOND }
}

/// Sets, adds or removes something announced; whether that changed what there
/// is.
fn note<T: Copy>(
    list: &mut Vec<Announced<T>>,
    most: usize,
    what: T,
    now: u64,
    until: u64,
    same: impl Fn(&T) -> bool,
) -> bool {
    match list.iter().position(|a| same(&a.what)) {
        Some(at) if until <= now => {
            list.remove(at);
            true
        }
        Some(at) => {
            list[at] = Announced { what, until };
            false
        }
        None if until <= now || list.len() >= most => false,
        None => {
            list.push(Announced { what, until });
            true
        }
    }
}

impl Ipv6 {
    pub fn new() -> Self {
        Self {
            enabled: false,
            autoconf: false,
            addresses: Vec::new(),
            prefixes: Vec::new(),
            routers: Vec::new(),
            servers: Vec::new(),
            dns: Vec::new(),
            routes: Vec::new(),
            usable: Ok(()),
            solicitations: 0,
            solicit_at: NEVER,
        }
    }

    /// Whether the port has this address and may use it.
    pub fn has(&self, address: Ipv6Addr) -> bool {
        self.addresses.iter().any(|a| a.cidr.address() == address && a.state == State::Valid)
    }

    /// The addresses that may be used.
    pub fn valid(&self) -> impl Iterator<Item = &Address6> {
        self.addresses.iter().filter(|a| a.state == State::Valid)
    }

    /// Adds an address, tentative until `at`. False if there is no place for it
    /// or it is there.
    pub fn add(&mut self, cidr: Ipv6Cidr, origin: Origin, at: u64) -> bool {
        let there = self.addresses.iter().any(|a| a.cidr.address() == cidr.address());
        let announced = self.addresses.iter().filter(|a| a.origin == Origin::Announced).count();
        let full = self.addresses.len() >= MAX_ADDRESSES || origin == Origin::Announced && announced >= MAX_ANNOUNCED;
        if there || full {
            return false;
        }
        let state = State::Tentative { at, asked: false };
        let (preferred_until, valid_until) = (NEVER, NEVER);
        self.addresses.push(Address6 { cidr, origin, state, preferred_until, valid_until, deprecated: false });
        true
    }

    /// The neighbour that takes packets to `destination`.
    pub fn next_hop(&self, destination: Ipv6Addr) -> Option<Ipv6Addr> {
        if destination.is_unicast_link_local() {
            return Some(destination);
        }
        // An address by itself says nothing about its neighbours when a router
        // announced it (RFC 5942).
        let configured = self.valid().filter(|a| a.origin == Origin::Static).map(|a| (a.cidr, None));
        let announced = self.prefixes.iter().map(|p| (p.what, None));
        let routes = self.routes.iter().map(|r| (r.prefix, r.gateway));
        let ways = configured.chain(announced).chain(routes).filter(|(prefix, _)| prefix.contains_addr(&destination));
        let best = ways.reduce(|a, b| if b.0.prefix_len() > a.0.prefix_len() { b } else { a });
        match best {
            Some((_, gateway)) => Some(gateway.unwrap_or(destination)),
            None => {
                let best = self.routers.iter().rev().max_by_key(|r| (!r.what.silent, r.what.preference));
                best.map(|r| r.what.address)
            }
        }
    }

    /// The address that packets to `destination` come from (RFC 6724, 5: the
    /// rules that concern one interface without mobility).
    pub fn source_for(&self, destination: Ipv6Addr) -> Option<Ipv6Addr> {
        let wanted = scope(destination);
        let key = |a: &Address6| {
            let ip = a.cidr.address();
            let own = scope(ip);
            // 2: the smallest scope that reaches it, else the largest.
            let reach = if own >= wanted { 32 - i32::from(own) } else { i32::from(own) - 32 };
            let common = (u128::from(ip) ^ u128::from(destination)).leading_zeros().min(a.cidr.prefix_len().into());
            (ip == destination, reach, !a.deprecated, label(ip) == label(destination), common)
        };
        let mut best = None;
        for a in self.valid() {
            // Of equals the first.
            if best.is_none_or(|(k, _)| key(a) > k) {
                best = Some((key(a), a.cidr.address()));
            }
        }
        best.map(|(_, address)| address)
    }

    /// A router announced a prefix. Returns an address to be added, if one
    /// follows, and whether the ways changed.
    pub fn announce(&mut self, now: u64, mac: EthernetAddress, info: PrefixInfo) -> (Option<Ipv6Cidr>, bool) {
        let PrefixInfo { prefix, len, on_link, autonomous, valid, preferred } = info;
        if !announceable(prefix) || len == 0 || len > 128 || preferred > valid {
            return (None, false);
        }
        let mask = u128::MAX << (128 - u32::from(len));
        let prefix = Ipv6Addr::from(u128::from(prefix) & mask);
        let cidr = Ipv6Cidr::new(prefix, len);
        let mut changed = false;
        if on_link {
            changed = note(&mut self.prefixes, MAX_PREFIXES, cidr, now, ends(now, valid), |p| *p == cidr);
        }
        if !autonomous || len != 64 {
            return (None, changed);
        }
        let address = with_interface(prefix, mac);
        let known = self.addresses.iter_mut().find(|a| a.cidr.address() == address);
        let (valid_until, preferred_until) = (ends(now, valid), ends(now, preferred));
        match known {
            Some(a) if a.origin == Origin::Announced => {
                a.preferred_until = preferred_until;
                a.deprecated = preferred_until <= now;
                if valid_until >= a.valid_until || valid_until > now.saturating_add(TWO_HOURS) {
                    a.valid_until = valid_until;
                } else if a.valid_until > now.saturating_add(TWO_HOURS) {
                    a.valid_until = now + TWO_HOURS;
                }
                (None, changed)
            }
            Some(_) => (None, changed),
            None if valid == 0 => (None, changed),
            None => (Some(Ipv6Cidr::new(address, 64)), changed),
        }
    }

    /// Gives the address that [`announce`](Self::announce) asked for its
    /// lifetimes.
    pub fn set_lifetimes(&mut self, address: Ipv6Addr, preferred_until: u64, valid_until: u64, now: u64) {
        if let Some(a) = self.addresses.iter_mut().find(|a| a.cidr.address() == address) {
            (a.preferred_until, a.valid_until) = (preferred_until, valid_until);
            a.deprecated = preferred_until <= now;
        }
    }

    /// A router announced itself, for so many seconds.
    pub fn note_router(&mut self, now: u64, address: Ipv6Addr, preference: i8, lifetime: u16) -> bool {
        // A router has no eternity: 65,535 are seconds.
        let until = now + u64::from(lifetime) * SECOND;
        let router = Router { address, preference, silent: false };
        note(&mut self.routers, MAX_ROUTERS, router, now, until, |r| r.address == address)
    }

    /// A router announced a name server.
    pub fn note_server(&mut self, now: u64, address: Ipv6Addr, lifetime: u32) -> bool {
        note(&mut self.servers, MAX_SERVERS, address, now, ends(now, lifetime), |a| *a == address)
    }

    /// Forgets what routers said whose time is over. Returns the addresses that
    /// ended with it.
    pub fn expire(&mut self, now: u64) -> Vec<Ipv6Addr> {
        self.prefixes.retain(|p| p.until > now);
        self.routers.retain(|r| r.until > now);
        self.servers.retain(|s| s.until > now);
        let mut ended = Vec::new();
        for a in &mut self.addresses {
            a.deprecated = a.preferred_until <= now;
            if a.valid_until <= now {
                ended.push(a.cidr.address());
            }
        }
        self.addresses.retain(|a| a.valid_until > now);
        ended
    }

    /// When something is due; [`NEVER`] if nothing is.
    pub fn deadline(&self) -> u64 {
        let addresses = self.addresses.iter().flat_map(|a| {
            let state = match a.state {
                State::Tentative { at, .. } => at,
                State::Valid => NEVER,
            };
            [state, if a.deprecated { NEVER } else { a.preferred_until }, a.valid_until]
        });
        let announced = self.prefixes.iter().map(|p| p.until).chain(self.routers.iter().map(|r| r.until));
        let solicit = if self.solicitations > 0 { self.solicit_at } else { NEVER };
        addresses.chain(announced).chain(self.servers.iter().map(|s| s.until)).chain([solicit]).min().unwrap_or(NEVER)
    }
}

/// The scope of an address (RFC 6724 3.1), as in a group's second byte.
fn scope(ip: Ipv6Addr) -> u8 {
    match ip.octets() {
        [0xff, b, ..] => b & 0xf,
        _ if ip.is_unicast_link_local() || ip.is_loopback() => 2,
        // Site-local, which QEMU's user network still announces.
        [0xfe, b, ..] if b & 0xc0 == 0xc0 => 5,
        _ => 14,
    }
}

/// The label of an address in the policy table of RFC 6724, 2.1.
fn label(ip: Ipv6Addr) -> u8 {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => 0,
        [0, 0, 0, 0, 0, 0xffff, ..] => 4,
        [0x2002, ..] => 2,
        [0x2001, 0, ..] => 5,
        [0, 0, 0, 0, 0, 0, ..] => 3,
        [0x3ffe, ..] => 12,
        [a, ..] if a >> 6 == 0x3fb => 11,
        [a, ..] if a >> 9 == 0x7e => 13,
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
