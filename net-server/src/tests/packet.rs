//! AF_PACKET.

extern crate std;

use std::{vec, vec::Vec};

use strait_abi::{
    Address, Errno,
    address::{AF_INET, AF_PACKET},
    net::Request,
    socket as c,
};

use super::{
    tcp::peer_addr,
    world::{ClientSocket, PEER_IP, SERVER_IP, SERVER_MAC, World},
};

const ETH_P_ALL: u16 = 3;
const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn make(w: &mut World, kind: u16, protocol: u16) -> Result<ClientSocket, Errno> {
    let request = Request::Socket { family: AF_PACKET, kind, protocol: protocol.to_be() };
    w.call(&request).map(|(handle, _)| w.attached(handle as u16))
}

fn address(protocol: u16, device: u32, mac: &[u8]) -> Address {
    let mut bytes = vec![17, 0];
    bytes.extend(protocol.to_be_bytes());
    bytes.extend(device.to_ne_bytes());
    bytes.extend([0, 0, 0, mac.len() as u8]);
    bytes.extend(mac);
    bytes.resize(20, 0);
    Address::from_bytes(&bytes).unwrap()
}

fn bind(w: &mut World, s: &ClientSocket, address: Address) -> Result<(), Errno> {
    w.call(&Request::Bind { socket: s.handle, address: address.as_bytes() }).map(|_| ())
}

fn send(w: &mut World, s: &mut ClientSocket, to: Address, data: &[u8]) -> Result<(), Errno> {
    w.send_message(s, to, &[], data);
    w.call(&Request::Send { socket: s.handle }).map(|_| ())
}

/// What came: type of the frame, interface, kind, data.
fn got(w: &mut World, s: &mut ClientSocket) -> Vec<(u16, u32, u8, Vec<u8>)> {
    for _ in 0..5 {
        w.step(1_000_000);
    }
    core::iter::from_fn(|| {
        let (from, data) = w.receive(s)?;
        let b = from.as_bytes();
        assert_eq!((b.len(), b[0], b[11]), (20, 17, 6));
        Some((u16::from_be_bytes([b[2], b[3]]), u32::from(b[4]), b[10], data))
    })
    .collect()
}

#[test]
fn frames_are_seen_as_they_pass() {
    let mut w = World::new();
    let mut all = make(&mut w, c::SOCK_RAW, ETH_P_ALL).unwrap();
    let mut arp = make(&mut w, c::SOCK_DGRAM, ARP).unwrap();
    let mut none = make(&mut w, c::SOCK_RAW, 0).unwrap();
    let mut lo = make(&mut w, c::SOCK_DGRAM, ETH_P_ALL).unwrap();
    bind(&mut w, &lo, address(0, 1, &[])).unwrap();
    let mut u = w.socket(c::SOCK_DGRAM);
    w.send(&mut u, Some(peer_addr(9)), b"to the wire");
    let seen = got(&mut w, &mut all);
    let kinds: Vec<_> = seen.iter().map(|(t, device, kind, _)| (*t, *device, *kind)).collect();
    // Our question, the answer, what was to be sent; port unreachable comes back.
    assert_eq!(kinds[..3], [(ARP, 2, 4), (ARP, 2, 0), (IPV4, 2, 4)]);
    assert_eq!(seen[2].3[..14], [&PEER_MAC[..], &SERVER_MAC, &[8, 0]].concat());
    assert_eq!(seen[2].3[42..], *b"to the wire");
    // One type: what comes in, without its header.
    let seen = got(&mut w, &mut arp);
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].2, &seen[0].3[14..18]), (0, &PEER_IP[..]));
    assert_eq!((got(&mut w, &mut none).len(), got(&mut w, &mut lo).len()), (0, 0));
    // Loopback is another interface.
    w.send(&mut u, Some("127.0.0.1:9".parse().unwrap()), b"home");
    let seen = got(&mut w, &mut lo);
    assert_eq!((seen[0].1, seen[0].2, seen[1].2, &seen[0].3[28..]), (1, 4, 0, &b"home"[..]));
    for s in [all, arp, none, lo] {
        w.call(&Request::Close { socket: s.handle }).unwrap();
    }
    assert!(w.server.core.links.tap.is_none());
}

#[test]
fn frames_are_sent_as_they_are() {
    let mut w = World::new();
    let mut raw = make(&mut w, c::SOCK_RAW, 0x88b5).unwrap();
    let mut other = make(&mut w, c::SOCK_RAW, ETH_P_ALL).unwrap();
    let frame = [&PEER_MAC[..], &[2, 0, 0, 0, 0, 7], &[0x88, 0xb5], b"anything"].concat();
    assert_eq!(send(&mut w, &mut raw, address(0, 2, &[]), &frame), Ok(()));
    assert_eq!(got(&mut w, &mut other), [(0x88b5, 2, 4, frame.clone())]);
    assert_eq!(w.seen.last(), Some(&frame));
    // The server writes the header.
    let mut cooked = make(&mut w, c::SOCK_DGRAM, 0).unwrap();
    assert_eq!(send(&mut w, &mut cooked, address(0x88b6, 2, &PEER_MAC), b"data"), Ok(()));
    w.step(0);
    assert_eq!(w.seen.last(), Some(&[&PEER_MAC[..], &SERVER_MAC, &[0x88, 0xb6], b"data"].concat()));
    // Bound, it needs no address.
    bind(&mut w, &raw, address(0, 2, &[])).unwrap();
    assert_eq!(send(&mut w, &mut raw, Address::EMPTY, &frame), Ok(()));
    let mut sockets = [raw, cooked, other];
    for (s, to, data, errno) in [
        (0, address(0, 2, &[]), &frame[..13], Errno::EINVAL),
        (0, address(0, 9, &[]), &frame, Errno::ENXIO),
        (0, address(0, 2, &[]), &[0; 1515], Errno::EMSGSIZE),
        (1, Address::EMPTY, b"x", Errno::ENXIO),
        (1, address(1, 2, &[]), b"x", Errno::EINVAL),
        (2, Address::from_bytes(&[17, 0, 0, 0]).unwrap(), b"x", Errno::EINVAL),
    ] {
        assert_eq!(send(&mut w, &mut sockets[s], to, data), Err(errno));
    }
    // A packet to this host itself.
    let mut u = w.socket(c::SOCK_DGRAM);
    w.bind(&u, "0.0.0.0:7").unwrap();
    let mut probe = make(&mut w, c::SOCK_DGRAM, ETH_P_ALL).unwrap();
    w.send(&mut u, Some(core::net::SocketAddr::from((SERVER_IP, 7))), b"again");
    let packet = got(&mut w, &mut probe).remove(0).3;
    assert!(w.receive(&mut u).is_some());
    assert_eq!(send(&mut w, &mut sockets[1], address(IPV4, 1, &[]), &packet), Ok(()));
    w.step(0);
    w.step(0);
    assert_eq!(w.receive(&mut u).unwrap().1, b"again");
}

#[test]
fn calls_that_make_no_sense_there() {
    let mut w = World::new();
    assert_eq!(make(&mut w, c::SOCK_STREAM, 0).err(), Some(Errno::ESOCKTNOSUPPORT));
    let s = make(&mut w, c::SOCK_RAW, ARP).unwrap();
    assert_eq!(bind(&mut w, &s, address(0, 7, &[])), Err(Errno::ENODEV));
    assert_eq!(bind(&mut w, &s, Address::from_bytes(&[17, 0, 8, 6]).unwrap()), Err(Errno::EINVAL));
    let mut inet = address(0, 2, &[]).as_bytes().to_vec();
    inet[0] = AF_INET as u8;
    assert_eq!(bind(&mut w, &s, Address::from_bytes(&inet).unwrap()), Err(Errno::EINVAL));
    let name = |w: &mut World| w.call(&Request::LocalAddress { socket: s.handle }).unwrap().1;
    assert_eq!(name(&mut w), [17, 0, 8, 6, 0, 0, 0, 0, 0, 0, 0, 0]);
    bind(&mut w, &s, address(0, 2, &[])).unwrap();
    assert_eq!(name(&mut w), [&[17, 0, 8, 6, 2, 0, 0, 0, 1, 0, 0, 6][..], &SERVER_MAC].concat());
    for request in [
        Request::Connect { socket: s.handle, address: &inet },
        Request::Listen { socket: s.handle, backlog: 1 },
        Request::PeerAddress { socket: s.handle },
        Request::Shutdown { socket: s.handle, how: 0 },
    ] {
        assert_eq!(w.call(&request).err(), Some(Errno::EOPNOTSUPP), "{request:?}");
    }
}

#[test]
fn a_record_that_is_none_costs_the_socket() {
    let mut w = World::new();
    let mut s = make(&mut w, c::SOCK_RAW, 0).unwrap();
    s.tx.stage(0, &[0xff; 32]).unwrap();
    s.tx.commit(32);
    w.ring(s.handle);
    w.step(0);
    assert_eq!(w.error(&s), Some(Errno::EPROTO));
    assert_eq!(w.counters().misbehaved, 1);
}
