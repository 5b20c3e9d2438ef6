//! ARP (RFC 826), with the checks of a host that is not to be fooled easily:
//! only requests for and replies to our addresses teach us anything.
//!
//! A new address is announced, and defended when another host shows that it has
//! it too (RFC 5227 2.3, 2.4 b). It is not probed for first: that takes seven
//! seconds, in which the system could not be reached.

use core::net::Ipv4Addr;

use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, Ipv4Cidr};

use super::{ETH_HEADER, Links, ipv6::NEVER};

const SECOND: u64 = 1_000_000_000;
/// Announcements of a new address, and the time between them (RFC 5227 1.1).
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCE_INTERVAL: u64 = 2 * SECOND;
/// An address is defended once in this time.
const DEFEND_INTERVAL: u64 = 10 * SECOND;

/// What is known of our own addresses' standing.
pub struct Claims {
    left: u8,
    at: u64,
    defended: u64,
}

impl Claims {
    pub fn new() -> Self {
        Self { left: 0, at: NEVER, defended: 0 }
    }

    pub fn deadline(&self) -> u64 {
        if self.left > 0 { self.at } else { NEVER }
    }
}

impl Links {
    fn emit_arp(&mut self, repr: ArpRepr, to: EthernetAddress) {
        let mut bytes = [0; ETH_HEADER + 28];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
        frame.set_dst_addr(to);
        frame.set_src_addr(self.tx.mac);
        frame.set_ethertype(EthernetProtocol::Arp);
        repr.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
        self.emit_frame(&bytes);
    }

    fn arp_request(&mut self, source: Ipv4Addr, target: Ipv4Addr, to: EthernetAddress) {
        let repr = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: self.tx.mac,
            source_protocol_addr: source,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: target,
        };
        self.emit_arp(repr, to);
    }

    pub(super) fn solicit4(&mut self, target: Ipv4Addr, to: Option<EthernetAddress>) {
        let addresses = self.ipv4.addresses();
        let own = addresses.iter().find(|a| a.contains_addr(&target)).or(addresses.first());
        if let Some(own) = own.map(Ipv4Cidr::address) {
            self.arp_request(own, target, to.unwrap_or(EthernetAddress::BROADCAST));
        }
    }

    /// The addresses changed or the link is there again: tells everyone.
    pub(super) fn announce_ipv4(&mut self, now: u64) {
        (self.claims.left, self.claims.at) = (ANNOUNCEMENTS, now);
        self.schedule();
    }

    pub(super) fn tick_arp(&mut self, now: u64) {
        if self.claims.left == 0 || self.claims.at > now {
            return;
        }
        self.claims.left -= 1;
        self.claims.at = now + ANNOUNCE_INTERVAL;
        for at in 0..self.ipv4.addresses().len() {
            let own = self.ipv4.addresses()[at].address();
            self.arp_request(own, own, EthernetAddress::BROADCAST);
        }
    }

    /// Takes in an ARP packet.
    pub(super) fn arp(&mut self, now: u64, payload: &[u8]) {
        let repr = ArpPacket::new_checked(payload).and_then(|p| ArpRepr::parse(&p));
        let Ok(ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: mac,
            source_protocol_addr: ip,
            target_protocol_addr: target,
            ..
        }) = repr
        else {
            self.counters.rx_dropped += 1;
            return;
        };
        if !mac.is_unicast() || mac == self.tx.mac {
            return;
        }
        let addresses = self.ipv4.addresses();
        if addresses.iter().any(|a| a.address() == ip) {
            self.conflict(now, ip);
            return;
        }
        let ours = addresses.iter().any(|a| a.address() == target);
        if !ours || !addresses.iter().any(|a| a.contains_addr(&ip)) {
            return;
        }
        self.learn(ip.into(), mac, now);
        if operation == ArpOperation::Request {
            let reply = ArpRepr::EthernetIpv4 {
                operation: ArpOperation::Reply,
                source_hardware_addr: self.tx.mac,
                source_protocol_addr: target,
                target_hardware_addr: mac,
                target_protocol_addr: ip,
            };
            self.emit_arp(reply, mac);
        }
    }

    /// Another host has our address.
    fn conflict(&mut self, now: u64, own: Ipv4Addr) {
        if now < self.claims.defended.saturating_add(DEFEND_INTERVAL) && self.claims.defended != 0 {
            return;
        }
        self.claims.defended = now;
        self.duplicates.push(own.into());
        self.arp_request(own, own, EthernetAddress::BROADCAST);
    }
}
