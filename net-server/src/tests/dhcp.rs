//! Leases (RFC 2131 4.4.5): got, renewed at T1, asked of everyone at T2, lost at
//! their end; and what happens without a carrier.

extern crate std;

use core::net::{Ipv4Addr, SocketAddr};
use std::{vec, vec::Vec};

use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, IpProtocol, UdpPacket};
use strait_abi::{Errno, net::Request, session::status, socket as c};

use super::world::{PEER_IP, SERVER_IP, SERVER_MAC, World};
use crate::inet::ip;

const LEASE: u32 = 100;

fn world() -> World {
    World::with_settings(2 << 20, &[("ipv4.mode", "dhcp"), ("ipv6.mode", "off")])
}

/// What a client asked: kind, its own address, transaction, and whether of
/// everyone.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Asked {
    kind: DhcpMessageType,
    own: Ipv4Addr,
    transaction: u32,
    everyone: bool,
}

fn asked(w: &mut World) -> Vec<Asked> {
    let frames = w.sent();
    let dhcp = frames.iter().filter(|f| f[12..14] == [8, 0] && f[23] == 17 && f[36..38] == [0, 67]);
    dhcp.map(|f| {
        let packet = DhcpPacket::new_checked(&f[42..]).unwrap();
        let repr = DhcpRepr::parse(&packet).unwrap();
        Asked {
            kind: repr.message_type,
            own: repr.client_ip,
            transaction: repr.transaction_id,
            everyone: f[..6] == [255; 6],
        }
    })
    .collect()
}

fn answer(w: &mut World, transaction: u32, kind: DhcpMessageType) {
    let repr = DhcpRepr {
        message_type: kind,
        transaction_id: transaction,
        secs: 0,
        client_hardware_address: EthernetAddress(SERVER_MAC),
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: SERVER_IP.into(),
        server_ip: PEER_IP.into(),
        router: Some(PEER_IP.into()),
        subnet_mask: Some([255, 255, 255, 0].into()),
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: false,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(PEER_IP.into()),
        parameter_request_list: None,
        dns_servers: None,
        max_size: None,
        lease_duration: Some(LEASE),
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    let mut packet = vec![0; 28 + repr.buffer_len()];
    repr.emit(&mut DhcpPacket::new_unchecked(&mut packet[28..])).unwrap();
    let len = packet.len() - 20;
    let mut udp = UdpPacket::new_unchecked(&mut packet[20..]);
    udp.set_src_port(67);
    udp.set_dst_port(68);
    udp.set_len(len as u16);
    udp.set_checksum(0);
    ip::write_header(&mut packet, PEER_IP.into(), SERVER_IP.into(), IpProtocol::Udp, 64);
    let mut frame = SERVER_MAC.to_vec();
    frame.extend([2, 0, 0, 0, 0, 2, 8, 0]);
    frame.extend(packet);
    w.inject(&frame);
}

fn lease(w: &mut World) {
    let first = asked(w)[0];
    assert_eq!((first.kind, first.everyone), (DhcpMessageType::Discover, true));
    answer(w, first.transaction, DhcpMessageType::Offer);
    w.step(1_000_000);
    let second = asked(w)[0];
    assert_eq!((second.kind, second.everyone), (DhcpMessageType::Request, true));
    answer(w, second.transaction, DhcpMessageType::Ack);
    w.step(1_000_000);
}

fn has_address(w: &World) -> bool {
    w.server.core.links.is_local(core::net::IpAddr::from(SERVER_IP))
}

#[test]
fn a_lease_is_renewed_and_ends() {
    let mut w = world();
    w.elapse(20);
    lease(&mut w);
    assert!(has_address(&w));
    // T1: its server is asked.
    w.elapse(49_000);
    assert_eq!(asked(&mut w), []);
    w.elapse(3000);
    let renewal = asked(&mut w)[0];
    assert_eq!((renewal.kind, renewal.own, renewal.everyone), (DhcpMessageType::Request, SERVER_IP.into(), false));
    answer(&mut w, renewal.transaction, DhcpMessageType::Ack);
    w.elapse(45_000);
    assert!(has_address(&w));
    asked(&mut w);
    // Nobody answers any more: T2 asks everyone.
    w.elapse(48_000);
    let all = asked(&mut w);
    assert!(all.iter().any(|a| !a.everyone) && all.last().unwrap().everyone, "{all:?}");
    assert!(has_address(&w));
    // The end.
    let mut s = w.socket(c::SOCK_DGRAM);
    w.elapse(15_000);
    assert!(!has_address(&w));
    w.send(&mut s, Some(SocketAddr::from((PEER_IP, 9))), b"x");
    w.step(1000);
    assert_eq!(w.error(&s), Some(Errno::ENETUNREACH));
    w.elapse(10_000);
    let again = *asked(&mut w).last().unwrap();
    assert_eq!(again.kind, DhcpMessageType::Discover);
    answer(&mut w, again.transaction, DhcpMessageType::Offer);
    w.step(1_000_000);
    let request = asked(&mut w)[0];
    answer(&mut w, request.transaction, DhcpMessageType::Nak);
    w.step(1_000_000);
    assert!(!has_address(&w));
}

#[test]
fn a_carrier_that_goes_with_a_frame() {
    let mut w = world();
    w.elapse(1000);
    w.unplug_with(&[0; 60]);
    w.elapse(500);
    assert_eq!(w.server.core.links.state(), (true, false));
}

#[test]
fn a_carrier_that_goes_and_comes() {
    let mut w = world();
    w.elapse(20);
    lease(&mut w);
    w.elapse(5000);
    asked(&mut w);
    let mut s = w.socket(c::SOCK_DGRAM);
    let peer = SocketAddr::from((PEER_IP, 9));
    // A connection that is being made to someone who does not answer.
    let t = w.socket(c::SOCK_STREAM);
    assert_eq!(w.connect(&t, "10.0.2.77:9"), Err(Errno::EINPROGRESS));
    w.plug(false);
    w.elapse(200);
    assert_eq!(w.server.core.links.state(), (true, false));
    w.send(&mut s, Some(peer), b"x");
    w.step(1000);
    assert_eq!(w.error(&s), Some(Errno::ENETDOWN));
    assert!(w.status(t.handle) & status::ERR != 0);
    assert_eq!(w.error(&t), Some(Errno::EHOSTUNREACH));
    let u = w.socket(c::SOCK_STREAM);
    assert_eq!(w.connect(&u, "10.0.2.2:9"), Err(Errno::ENETDOWN));
    assert_eq!(w.connect(&u, "127.0.0.1:9"), Err(Errno::EINPROGRESS), "loopback has none");
    w.elapse(1000);
    w.plug(true);
    w.elapse(200);
    assert_eq!(w.server.core.links.state(), (true, true));
    lease(&mut w);
    assert!(has_address(&w));
    w.send(&mut s, Some(peer), b"x");
    w.elapse(20);
    assert!(w.sent().iter().any(|f| f[12..14] == [8, 0] && f[36..38] == [0, 9]));
    w.call(&Request::Close { socket: s.handle }).unwrap();
}
