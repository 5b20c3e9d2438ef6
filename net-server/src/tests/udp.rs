extern crate std;

use core::net::SocketAddr;
use std::{vec, vec::Vec};

use smoltcp::{
    iface::SocketHandle,
    socket::udp::{PacketBuffer, PacketMetadata, Socket},
};
use strait_abi::{Address, Errno, net::Request, session::status, socket as c};

use super::world::{ClientSocket, PEER_IP, SERVER_IP, World};

fn peer_socket(w: &mut World, port: u16) -> SocketHandle {
    let buffer = || PacketBuffer::new(vec![PacketMetadata::EMPTY; 64], vec![0; 100_000]);
    let mut s = Socket::new(buffer(), buffer());
    s.bind(port).unwrap();
    w.peer.sockets.add(s)
}

fn bound(w: &mut World, port: u16) -> ClientSocket {
    let s = w.socket(c::SOCK_DGRAM);
    let a = Address::from(SocketAddr::from(([0; 4], port)));
    w.call(&Request::Bind { socket: s.handle, address: a.as_bytes() }).unwrap();
    s
}

#[test]
fn every_size_goes_both_ways() {
    let mut w = World::new();
    let h = peer_socket(&mut w, 2000);
    let mut s = bound(&mut w, 7);
    for n in (0..=1472).step_by(3).chain([1471, 1472]) {
        let data: Vec<u8> = (0..n).map(|i| (i * 7 + n) as u8).collect();
        w.peer.sockets.get_mut::<Socket>(h).send_slice(&data, SocketAddr::from((SERVER_IP, 7))).unwrap();
        let mut got = None;
        w.until(100, |w| {
            got = got.take().or_else(|| w.receive(&mut s));
            got.is_some()
        });
        let (from, bytes) = got.unwrap();
        assert_eq!(bytes, data);
        w.send(&mut s, Some(from.to_inet().unwrap()), &bytes);
        w.until(100, |w| w.peer.sockets.get::<Socket>(h).can_recv());
        let (back, meta) = w.peer.sockets.get_mut::<Socket>(h).recv().unwrap();
        assert_eq!((back, meta.endpoint.port), (&data[..], 7));
    }
    w.call(&Request::Close { socket: s.handle }).unwrap();
    assert_eq!((w.counters().sockets_all, w.counters().pages_all), (0, 0));
}

#[test]
fn a_call_comes_after_what_was_sent_before() {
    let mut w = World::new();
    let (first, second) = (peer_socket(&mut w, 2000), peer_socket(&mut w, 2001));
    let mut s = bound(&mut w, 7);
    w.connect(&s, "10.0.2.2:2000").unwrap();
    // The doorbell rings, and its notification is still on its way.
    w.send(&mut s, None, b"one");
    w.connect(&s, "10.0.2.2:2001").unwrap();
    w.send(&mut s, None, b"two");
    w.until(100, |w| [first, second].iter().all(|h| w.peer.sockets.get::<Socket>(*h).can_recv()));
    for (h, text) in [(first, b"one"), (second, b"two")] {
        assert_eq!(w.peer.sockets.get_mut::<Socket>(h).recv().unwrap().0, text);
    }
    // Where a turn came first, the call tells what became of it.
    w.send(&mut s, Some(SocketAddr::from((PEER_IP, 0))), b"x");
    w.step(1000);
    assert_eq!(w.call(&Request::Send { socket: s.handle }), Err(Errno::EINVAL));
    assert_eq!(w.call(&Request::Send { socket: s.handle }), Ok((0, vec![])));
}

#[test]
fn errors_reach_the_socket() {
    let mut w = World::new();
    let peer = SocketAddr::from((PEER_IP, 4444));
    let mut s = w.socket(c::SOCK_DGRAM);
    // No destination.
    w.send(&mut s, None, b"x");
    w.step(1000);
    assert_eq!(w.error(&s), Some(Errno::EDESTADDRREQ));
    // Nobody listens there: a connected socket learns of it.
    w.call(&Request::Connect { socket: s.handle, address: Address::from(peer).as_bytes() }).unwrap();
    w.send(&mut s, None, b"x");
    w.until(100, |w| w.status(s.handle) & status::ERR != 0);
    assert_eq!(w.error(&s), Some(Errno::ECONNREFUSED));
    assert_eq!(w.counters().misbehaved, 0);
}

#[test]
fn the_best_match_gets_it() {
    let mut w = World::new();
    let (a, b) = (peer_socket(&mut w, 2000), peer_socket(&mut w, 2001));
    let mut wild = w.socket(c::SOCK_DGRAM);
    let mut tied = w.socket(c::SOCK_DGRAM);
    for s in [&wild, &tied] {
        let one = 1i32.to_ne_bytes();
        w.call(&Request::SetOption { socket: s.handle, level: c::SOL_SOCKET, name: c::SO_REUSEADDR, value: &one })
            .unwrap();
        let any = Address::from(SocketAddr::from(([0; 4], 9)));
        w.call(&Request::Bind { socket: s.handle, address: any.as_bytes() }).unwrap();
    }
    let peer = Address::from(SocketAddr::from((PEER_IP, 2000)));
    w.call(&Request::Connect { socket: tied.handle, address: peer.as_bytes() }).unwrap();
    for h in [a, b] {
        w.peer.sockets.get_mut::<Socket>(h).send_slice(b"x", SocketAddr::from((SERVER_IP, 9))).unwrap();
    }
    for _ in 0..10 {
        w.step(1_000_000);
    }
    assert_eq!(w.receive(&mut tied).unwrap().0.to_inet().unwrap().port(), 2000);
    assert!(w.receive(&mut tied).is_none());
    assert_eq!(w.receive(&mut wild).unwrap().0.to_inet().unwrap().port(), 2001);
    assert!(w.receive(&mut wild).is_none());
}

#[test]
fn a_full_socket_loses_datagrams_and_nothing_else() {
    let mut w = World::with_session(64 * 1024);
    let h = peer_socket(&mut w, 2000);
    let mut s = bound(&mut w, 7);
    for _ in 0..200 {
        let tcp = w.peer.sockets.get_mut::<Socket>(h);
        tcp.send_slice(&[1; 1000], SocketAddr::from((SERVER_IP, 7))).unwrap();
        w.step(1_000_000);
    }
    let mut n = 0;
    while let Some((_, data)) = w.receive(&mut s) {
        assert_eq!(data, [1; 1000]);
        n += 1;
    }
    assert!((10..100).contains(&n), "{n}");
    w.peer.sockets.get_mut::<Socket>(h).send_slice(b"again", SocketAddr::from((SERVER_IP, 7))).unwrap();
    w.step(1_000_000);
    w.step(1_000_000);
    assert_eq!(w.receive(&mut s).unwrap().1, b"again");
}

#[test]
fn ports_cannot_be_taken_twice() {
    let mut w = World::new();
    let _s = bound(&mut w, 7);
    let t = w.socket(c::SOCK_DGRAM).handle;
    let a = Address::from(SocketAddr::from(([0; 4], 7)));
    assert_eq!(w.call(&Request::Bind { socket: t, address: a.as_bytes() }), Err(Errno::EADDRINUSE));
    let foreign = Address::from(SocketAddr::from(([10, 0, 2, 16], 8)));
    assert_eq!(w.call(&Request::Bind { socket: t, address: foreign.as_bytes() }), Err(Errno::EADDRNOTAVAIL));
    // TCP has ports of its own.
    let u = w.socket(c::SOCK_STREAM).handle;
    w.call(&Request::Bind { socket: u, address: a.as_bytes() }).unwrap();
    assert_eq!(w.call(&Request::Bind { socket: u, address: a.as_bytes() }), Err(Errno::EINVAL));
}

#[test]
fn dead_hosts_hold_few_buffers() {
    let mut w = World::new();
    let h = peer_socket(&mut w, 2000);
    let mut s = bound(&mut w, 7);
    // More datagrams to hosts that do not answer than there are buffers.
    for host in 100..200 {
        for _ in 0..8 {
            w.send(&mut s, Some(SocketAddr::from(([10, 0, 2, host], 9))), b"anyone?");
            w.step(1000);
        }
    }
    // Others are not held up: a live host is found at once.
    for _ in 0..2 {
        w.send(&mut s, Some(SocketAddr::from((PEER_IP, 2000))), b"hello");
        w.step(1_000_000);
        w.step(1_000_000);
    }
    w.until(50, |w| w.peer.sockets.get::<Socket>(h).can_recv());
    for _ in 0..6000 {
        w.step(1_000_000);
    }
    assert!(w.counters().tx_dropped >= 700);
}
