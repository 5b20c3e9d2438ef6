//! What is said about multicast memberships on the wire.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use smoltcp::wire::IpProtocol;

use super::{
    Links,
    groups::{Told, Version},
};
use crate::inet::{checksum, ip};

/// Kinds of records of IGMPv3 and MLDv2: the group is heard from all sources,
/// it is so from now on, or from none any more.
fn record(told: Told) -> u8 {
    match told {
        Told::Member => 2,
        Told::Left => 3,
        Told::Joined => 4,
    }
}

impl Links {
    /// A report of IGMP: in version 3 to the routers (RFC 3376 4.2), before
    /// that to the group.
    pub(super) fn report4(&mut self, now: u64, group: Ipv4Addr, told: Told, version: Version) {
        let g = group.octets();
        let (to, mut message): (Ipv4Addr, Vec<u8>) = match (version, told) {
            (Version::Third, _) => {
                let mut m = alloc::vec![0x22, 0, 0, 0, 0, 0, 0, 1, record(told), 0, 0, 0];
                m.extend(g);
                (Ipv4Addr::new(224, 0, 0, 22), m)
            }
            // Version 1 knows no farewell.
            (Version::First, Told::Left) => return,
            (_, Told::Left) => {
                let mut m = alloc::vec![0x17, 0, 0, 0];
                m.extend(g);
                (Ipv4Addr::new(224, 0, 0, 2), m)
            }
            (_, _) => {
                let mut m = alloc::vec![if version == Version::First { 0x12 } else { 0x16 }, 0, 0, 0];
                m.extend(g);
                (group, m)
            }
        };
        let sum = checksum::of(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let Ok((source, route)) = self.path(to) else { return };
        // A header with a router alert (RFC 2113).
        let header = ip::V4_HEADER + 4;
        let _ = self.emit_on(now, route, header + message.len(), |packet| {
            ip::write_header4(packet, source.octets(), to.octets(), IpProtocol::Igmp, 1);
            packet[0] = 0x46;
            packet[20..24].copy_from_slice(&[0x94, 4, 0, 0]);
            packet[10..12].fill(0);
            let sum = checksum::of(&packet[..header]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
            packet[header..].copy_from_slice(&message);
        });
    }

    /// A report of MLD: in version 2 to the routers (RFC 3810 5.2), before that
    /// to the group (RFC 2710).
    pub(super) fn report6(&mut self, now: u64, group: Ipv6Addr, told: Told, version: Version) {
        let (to, mut message) = match (version, told) {
            (Version::Third, _) => (
                Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16),
                alloc::vec![143, 0, 0, 0, 0, 0, 0, 1, record(told), 0, 0, 0],
            ),
            (_, Told::Left) => (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2), alloc::vec![132, 0, 0, 0, 0, 0, 0, 0]),
            (_, _) => (group, alloc::vec![131, 0, 0, 0, 0, 0, 0, 0]),
        };
        message.extend(group.octets());
        // Without an address as yet it comes from none (RFC 3590).
        let source = self.ipv6.valid().map(|a| a.cidr.address()).find(Ipv6Addr::is_unicast_link_local);
        if let Ok(route) = self.route6(to) {
            let from = source.unwrap_or(Ipv6Addr::UNSPECIFIED);
            self.emit_icmpv6_on(now, route, (from, to), 1, true, &mut message);
        }
    }
}
