//! Neighbour discovery (RFC 4861), duplicate address detection and address
//! configuration (RFC 4862), name servers of routers (RFC 8106).
//!
//! Not done: redirects (a host that believes them can be led anywhere), and of
//! a router's advice its hop limit, its timers and its MTU.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use rand_chacha::rand_core::Rng;
use smoltcp::wire::{EthernetAddress, IpProtocol, Ipv6Cidr};
use strait_abi::Errno;

use super::{
    Links, Route,
    groups::{ETH_GROUPS, PORT},
    ipv6::{NEVER, Origin, PrefixInfo, State, ends, link_local, solicited_node},
};
use crate::inet::{
    checksum,
    ip::{self, V6_HEADER},
};

const SECOND: u64 = 1_000_000_000;
/// Time that answers to a question for an address may take (RFC 4861, 10:
/// RETRANS_TIMER).
const RETRANS: u64 = SECOND;
/// Router solicitations, and the time between them (RFC 4861, 10).
const SOLICITATIONS: u8 = 3;
const SOLICIT_INTERVAL: u64 = 4 * SECOND;
/// Longest random delay before the first question, in nanoseconds (RFC 4862
/// 5.4.2 has one second).
const DELAY: u64 = SECOND / 2;
/// Options that are looked at in one message.
const MAX_OPTIONS: usize = 32;

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;
const MLD_QUERY: u8 = 130;
const MLD_REPORT: u8 = 131;

const SOURCE_LINK: u8 = 1;
const TARGET_LINK: u8 = 2;
const PREFIX: u8 = 3;
const DNS: u8 = 25;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// The options of a message, the whole of each. `None` if one has no length or
/// goes past the end.
fn options(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let len = usize::from(*bytes.get(1)?) * 8;
        if len == 0 || len > bytes.len() || found.len() == MAX_OPTIONS {
            return None;
        }
        let (option, rest) = bytes.split_at(len);
        found.push(option);
        bytes = rest;
    }
    Some(found)
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    Some(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?.into())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn hardware(options: &[&[u8]], kind: u8) -> Option<EthernetAddress> {
    let option = options.iter().find(|o| o[0] == kind)?;
    let mac = EthernetAddress::from_bytes(option.get(2..8)?);
    mac.is_unicast().then_some(mac)
}

impl Links {
    /// Begins, or begins anew after the link was down: every address is asked
    /// for, then routers are.
    pub fn start_ipv6(&mut self, now: u64) {
        if !self.ipv6.enabled {
            return;
        }
        let own = Ipv6Cidr::new(link_local(self.tx.mac), 64);
        let at = now + self.random() % DELAY;
        self.ipv6.add(own, Origin::LinkLocal, at);
        for a in &mut self.ipv6.addresses {
            a.state = State::Tentative { at, asked: false };
        }
        self.ipv6.routers.clear();
        self.ipv6.solicitations = if self.ipv6.autoconf { SOLICITATIONS } else { 0 };
        // When the link-local address can be used.
        self.ipv6.solicit_at = NEVER;
        self.schedule();
    }

    /// Adds an IPv6 address to the port, to be used when nobody else has it.
    pub fn add_ipv6(&mut self, now: u64, cidr: Ipv6Cidr, origin: Origin) -> bool {
        let added = self.ipv6.add(cidr, origin, now);
        self.schedule();
        added
    }

    /// Does what is due.
    pub(super) fn tick_ipv6(&mut self, now: u64) {
        for ended in self.ipv6.expire(now) {
            self.leave_node(now, ended);
            self.changed = true;
        }
        for at in 0..self.ipv6.addresses.len() {
            let a = &mut self.ipv6.addresses[at];
            let (address, origin) = (a.cidr.address(), a.origin);
            match a.state {
                State::Tentative { at: due, asked: false } if due <= now => {
                    a.state = State::Tentative { at: now + RETRANS, asked: true };
                    let group = solicited_node(address);
                    // Before the question: answers come to the group.
                    let _ = self.groups.join(now, group.into(), ETH_GROUPS, PORT);
                    self.send_groups(now);
                    self.neighbor_solicitation(now, Ipv6Addr::UNSPECIFIED, address, None);
                }
                State::Tentative { at: due, asked: true } if due <= now => {
                    a.state = State::Valid;
                    self.changed = true;
                    if origin == Origin::LinkLocal {
                        self.ipv6.solicit_at = now;
                    }
                }
                _ => {}
            }
        }
        if self.ipv6.solicitations > 0 && self.ipv6.solicit_at <= now {
            self.ipv6.solicitations -= 1;
            self.ipv6.solicit_at = now + SOLICIT_INTERVAL;
            self.router_solicitation(now);
        }
    }

    /// Takes an address away. EADDRNOTAVAIL if it is not there.
    pub fn remove_ipv6(&mut self, now: u64, address: Ipv6Addr) -> Result<(), Errno> {
        let all = &mut self.ipv6.addresses;
        let at = all.iter().position(|a| a.cidr.address() == address).ok_or(Errno::EADDRNOTAVAIL)?;
        all.remove(at);
        self.leave_node(now, address);
        self.changed = true;
        Ok(())
    }

    /// An address is gone, and its group with it unless another has the same.
    fn leave_node(&mut self, now: u64, address: Ipv6Addr) {
        let group = solicited_node(address);
        if self.ipv6.addresses.iter().all(|a| solicited_node(a.cidr.address()) != group) {
            let _ = self.groups.leave(now, group.into(), ETH_GROUPS, PORT);
            self.send_groups(now);
        }
    }

    /// Someone else has an address that we were about to use, or use.
    fn duplicate(&mut self, now: u64, address: Ipv6Addr) {
        let Some(at) = self.ipv6.addresses.iter().position(|a| a.cidr.address() == address) else { return };
        if matches!(self.ipv6.addresses[at].state, State::Tentative { .. }) {
            let lost = self.ipv6.addresses.remove(at);
            self.duplicates.push(address.into());
            if lost.origin == Origin::LinkLocal {
                // RFC 4862 5.4.5: nothing works without it.
                self.ipv6.solicitations = 0;
            }
            self.leave_node(now, address);
            self.changed = true;
        }
    }

    /// A message for the link itself arrived, in a valid packet with a right
    /// checksum and without extension headers. False if it is none, or not to
    /// be believed.
    pub fn icmpv6(&mut self, now: u64, packet: &[u8]) -> bool {
        let (IpAddr::V6(source), IpAddr::V6(target)) = ip::addresses(packet) else { return false };
        let (hops, body) = (packet[7], &packet[V6_HEADER..]);
        let [kind, code, ..] = *body else { return false };
        // Only a neighbour can send 255 (RFC 4861 11.2).
        let near = hops == 255 && code == 0;
        let done = match kind {
            NEIGHBOR_SOLICITATION if near => self.solicited(now, source, target, body),
            NEIGHBOR_ADVERTISEMENT if near => self.advertised(now, target, body),
            ROUTER_ADVERTISEMENT if near => self.router(now, source, body),
            MLD_QUERY if hops == 1 && source.is_unicast_link_local() => self.groups.query6(now, body),
            MLD_REPORT if hops == 1 => self.groups.reported6(body),
            // Believed from nobody.
            REDIRECT | ROUTER_SOLICITATION => Some(()),
            _ => None,
        };
        self.schedule();
        done.is_some()
    }

    /// A neighbour solicitation (RFC 4861 7.1.1, 7.2.3).
    fn solicited(&mut self, now: u64, source: Ipv6Addr, to: Ipv6Addr, body: &[u8]) -> Option<()> {
        let wanted = address(body, 8).filter(|a| !a.is_multicast())?;
        let options = options(&body[24..])?;
        let mac = hardware(&options, SOURCE_LINK);
        if source.is_unspecified() {
            if !to.is_multicast() || mac.is_some() {
                return None;
            }
            // Another one is about to take the address.
            self.duplicate(now, wanted);
        }
        if !self.ipv6.has(wanted) {
            return Some(());
        }
        if let (Some(mac), false) = (mac, source.is_unspecified()) {
            self.learn(source.into(), mac, now);
        }
        // Solicited, overrides; to all if nobody can be addressed.
        let (target, flags) = if source.is_unspecified() { (ALL_NODES, 0x20) } else { (source, 0x60) };
        self.neighbor_advertisement(now, wanted, target, flags);
        Some(())
    }

    fn neighbor_advertisement(&mut self, now: u64, own: Ipv6Addr, target: Ipv6Addr, flags: u8) {
        let mut message = [0; 32];
        message[0] = NEIGHBOR_ADVERTISEMENT;
        message[4] = flags;
        message[8..24].copy_from_slice(&own.octets());
        message[24..26].copy_from_slice(&[TARGET_LINK, 1]);
        message[26..].copy_from_slice(&self.tx.mac.0);
        self.emit_icmpv6(now, own, target, 255, &mut message);
    }

    /// A neighbour advertisement (RFC 4861 7.1.2, 7.2.5).
    fn advertised(&mut self, now: u64, to: Ipv6Addr, body: &[u8]) -> Option<()> {
        let (flags, whose) = (*body.get(4)?, address(body, 8).filter(|a| !a.is_multicast())?);
        let options = options(&body[24..])?;
        let (router, solicited, over) = (flags & 0x80 != 0, flags & 0x40 != 0, flags & 0x20 != 0);
        if solicited && to.is_multicast() {
            return None;
        }
        if self.ipv6.addresses.iter().any(|a| a.cidr.address() == whose) {
            self.duplicate(now, whose);
            return Some(());
        }
        // One who was asked by unicast may leave out what is known (RFC 4861 4.4).
        let known = self.neighbors.known(whose.into());
        let mac = hardware(&options, TARGET_LINK).or(known.flatten().filter(|_| solicited));
        if let Some(mac) = mac {
            match known {
                // Nobody asked.
                None => {}
                // Another address, and not meant to replace the known one.
                Some(Some(old)) if old != mac && !over => {}
                Some(_) => {
                    self.learn(whose.into(), mac, now);
                    for router in self.ipv6.routers.iter_mut().filter(|r| r.what.address == whose) {
                        router.what.silent = false;
                    }
                    if !router && self.ipv6.note_router(now, whose, 0, 0) {
                        self.changed = true;
                    }
                }
            }
        }
        Some(())
    }

    /// A router advertisement (RFC 4861 6.1.2, 6.3.4).
    fn router(&mut self, now: u64, source: Ipv6Addr, body: &[u8]) -> Option<()> {
        if !self.ipv6.enabled || !self.ipv6.autoconf || !source.is_unicast_link_local() || body.len() < 16 {
            return None;
        }
        let options = options(&body[16..])?;
        let preference = match body[5] >> 3 & 3 {
            1 => 1,
            3 => -1,
            _ => 0,
        };
        let lifetime = u16::from_be_bytes([body[6], body[7]]);
        self.changed |= self.ipv6.note_router(now, source, preference, lifetime);
        if lifetime > 0 {
            self.ipv6.solicitations = 0;
        }
        if let Some(mac) = hardware(&options, SOURCE_LINK) {
            self.learn(source.into(), mac, now);
        }
        for option in options {
            match option[0] {
                PREFIX if option.len() == 32 => {
                    let info = PrefixInfo {
                        prefix: address(option, 16)?,
                        len: option[2],
                        on_link: option[3] & 0x80 != 0,
                        autonomous: option[3] & 0x40 != 0,
                        valid: word(option, 4)?,
                        preferred: word(option, 8)?,
                    };
                    self.prefix(now, info);
                }
                DNS if option.len() >= 24 => {
                    let lifetime = word(option, 4)?;
                    for server in option[8..].chunks_exact(16) {
                        let server = address(server, 0)?;
                        if !server.is_multicast() && !server.is_unspecified() && !server.is_loopback() {
                            self.changed |= self.ipv6.note_server(now, server, lifetime);
                        }
                    }
                }
                _ => {}
            }
        }
        Some(())
    }

    fn prefix(&mut self, now: u64, info: PrefixInfo) {
        let (address, changed) = self.ipv6.announce(now, self.tx.mac, info);
        self.changed |= changed;
        if let Some(cidr) = address
            && self.ipv6.add(cidr, Origin::Announced, now)
        {
            self.ipv6.set_lifetimes(cidr.address(), ends(now, info.preferred), ends(now, info.valid), now);
        }
    }

    /// Asks for the hardware address of a neighbour: all who might have it, or
    /// the one who had it.
    pub(super) fn solicit6(&mut self, now: u64, target: Ipv6Addr, to: Option<EthernetAddress>) {
        if let Some(source) = self.ipv6.source_for(target) {
            self.neighbor_solicitation(now, source, target, to);
        }
    }

    fn neighbor_solicitation(&mut self, now: u64, source: Ipv6Addr, wanted: Ipv6Addr, to: Option<EthernetAddress>) {
        let mut message = [0; 32];
        message[0] = NEIGHBOR_SOLICITATION;
        message[8..24].copy_from_slice(&wanted.octets());
        message[24..26].copy_from_slice(&[SOURCE_LINK, 1]);
        message[26..].copy_from_slice(&self.tx.mac.0);
        // Without an address there is nothing to link (RFC 4861 4.3).
        let len = if source.is_unspecified() { 24 } else { 32 };
        match to {
            Some(mac) => self.emit_icmpv6_on(now, Route::Group(mac), (source, wanted), 255, false, &mut message[..len]),
            None => self.emit_icmpv6(now, source, solicited_node(wanted), 255, &mut message[..len]),
        }
    }

    fn router_solicitation(&mut self, now: u64) {
        let mut message = [0; 16];
        message[0] = ROUTER_SOLICITATION;
        message[8..10].copy_from_slice(&[SOURCE_LINK, 1]);
        message[10..].copy_from_slice(&self.tx.mac.0);
        if let Some(source) = self.ipv6.source_for(ALL_ROUTERS) {
            self.emit_icmpv6(now, source, ALL_ROUTERS, 255, &mut message);
        }
    }

    fn emit_icmpv6(&mut self, now: u64, source: Ipv6Addr, target: Ipv6Addr, hops: u8, message: &mut [u8]) {
        if let Ok(route) = self.route6(target) {
            self.emit_icmpv6_on(now, route, (source, target), hops, false, message);
        }
    }

    /// Sends an ICMPv6 message, with a router alert (RFC 2711) if asked; its
    /// checksum is filled in.
    pub(super) fn emit_icmpv6_on(
        &mut self,
        now: u64,
        route: Route,
        (source, target): (Ipv6Addr, Ipv6Addr),
        hops: u8,
        alert: bool,
        message: &mut [u8],
    ) {
        let mut packet = alloc::vec![0; V6_HEADER + message.len()];
        packet[V6_HEADER..].copy_from_slice(message);
        ip::write_header6(&mut packet, source, target, IpProtocol::Icmpv6, hops);
        let sum = checksum::transport(&packet);
        packet[V6_HEADER + 2..V6_HEADER + 4].copy_from_slice(&sum.to_be_bytes());
        if alert {
            // Router alert for MLD, padding; the header counts them.
            packet.splice(V6_HEADER..V6_HEADER, [58, 0, 5, 2, 0, 0, 1, 0]);
            let len = (packet.len() - V6_HEADER) as u16;
            packet[4..6].copy_from_slice(&len.to_be_bytes());
            packet[6] = 0;
        }
        let _ = self.emit_on(now, route, packet.len(), |into| into.copy_from_slice(&packet));
    }

    pub(super) fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }
}
