//! One client asks for very much: the others have their share meanwhile.

extern crate std;

use core::net::SocketAddr;
use std::vec::Vec;

use strait_abi::{
    Address, Errno,
    net::{RecordHeader, Request},
    session::status,
    socket as c,
};
use strait_ring::PAGE;
use zerocopy::IntoBytes;

use super::{
    local::Local,
    world::{CLIENT, ClientSocket, SECOND, World},
};

/// A datagram socket of a client that is connected.
fn datagrams(w: &mut World, client: u8, to: &str) -> Local {
    let (handle, _) = w.call_of(client, &Request::Socket { family: 2, kind: c::SOCK_DGRAM, protocol: 0 }).unwrap();
    let address = Address::from(to.parse::<SocketAddr>().unwrap());
    w.call_of(client, &Request::Connect { socket: handle as u16, address: address.as_bytes() }).unwrap();
    w.taken(client, handle)
}

/// Writes as many datagrams of a byte as there is room for.
fn fill(s: &mut ClientSocket, byte: u8) -> usize {
    let header = RecordHeader { data: 1, address: 0, control: 0 };
    let total = header.total().unwrap();
    let many = (s.tx.room() / total) as usize;
    for _ in 0..many {
        s.tx.stage(0, header.as_bytes()).unwrap();
        s.tx.stage(8, &[byte]).unwrap();
        s.tx.commit(total);
    }
    many
}

/// Sockets of the first client with thousands of datagrams in their rings; their
/// number, and that of the datagrams. The server does not know yet.
fn flood(w: &mut World, to: &str) -> (Vec<Local>, usize) {
    let mut all: Vec<Local> = (0..40).map(|_| datagrams(w, CLIENT, to)).collect();
    let mut many = 0;
    for s in &mut all {
        s.socket.tx.want(15 * PAGE as u32);
        w.call(&Request::Send { socket: s.socket.handle }).unwrap();
    }
    for s in &mut all {
        s.socket.tx.want(0);
        many += fill(&mut s.socket, b'f');
        w.session.doorbells().set(s.socket.handle.into());
    }
    assert!(many > 50_000, "{many}");
    (all, many)
}

fn left(all: &[Local], w: &World) -> usize {
    let left = |s: &Local| {
        let slot = w.session.slot(s.socket.handle.into()).unwrap();
        let word = |w: &core::sync::atomic::AtomicU32| w.load(std::sync::atomic::Ordering::Relaxed);
        (word(&slot.tx_tail).wrapping_sub(word(&slot.tx_head)) / 16) as usize
    };
    all.iter().map(left).sum()
}

#[test]
fn a_flood_does_not_keep_anothers_datagram_from_the_wire() {
    let mut w = World::with_session(4 << 20);
    let mut other = datagrams(&mut w, SECOND, "10.0.2.2:9");
    let (_, many) = flood(&mut w, "10.0.2.2:9");
    assert_eq!(fill(&mut other.socket, b'o').min(1), 1);
    w.sent();
    w.ring(0);
    w.ring_of(SECOND, other.socket.handle);
    let is = |f: &Vec<u8>, byte| f.len() > 42 && f[23] == 17 && f[42] == byte;
    let mut steps = 0;
    while !w.seen.iter().any(|f| is(f, b'o')) {
        steps += 1;
        assert!(steps < 10, "only the flood is sent");
        w.step(100_000);
    }
    assert!(w.seen.iter().any(|f| is(f, b'f')) && w.seen.len() < many);
}

#[test]
fn a_flood_within_the_host_is_left_for_calls_and_connections() {
    let mut w = World::with_session(4 << 20);
    // Nobody reads them.
    let sink = w.socket(c::SOCK_DGRAM);
    w.bind(&sink, "127.0.0.1:9").unwrap();
    let (all, many) = flood(&mut w, "127.0.0.1:9");
    let before = w.now();
    let listener = w.call_of(SECOND, &Request::Socket { family: 2, kind: c::SOCK_STREAM, protocol: 0 }).unwrap().0;
    let own = Address::from(SocketAddr::from(([127, 0, 0, 1], 5000)));
    w.call_of(SECOND, &Request::Bind { socket: listener as u16, address: own.as_bytes() }).unwrap();
    w.call_of(SECOND, &Request::Listen { socket: listener as u16, backlog: 5 }).unwrap();
    let listener = w.taken(SECOND, listener);
    let client = w.call_of(SECOND, &Request::Socket { family: 2, kind: c::SOCK_STREAM, protocol: 0 }).unwrap().0;
    // The server learns of the flood, and of a connection in the midst of it.
    w.ring(0);
    w.pass_rings();
    let after_a_turn = left(&all, &w);
    assert!(after_a_turn > many / 2, "{after_a_turn} of {many}: a turn ends");
    let connect = Request::Connect { socket: client as u16, address: own.as_bytes() };
    assert_eq!(w.call_of(SECOND, &connect).err(), Some(Errno::EINPROGRESS));
    assert!(left(&all, &w) > many / 2, "so does that of a call");
    w.until(20, |w| w.state(&listener) & status::IN != 0);
    let (mut end, _) = w.take_connection(&listener).unwrap();
    let mut client = w.taken(SECOND, client);
    assert_eq!(w.put(&mut client, b"hello"), 5);
    w.until(20, |_| end.socket.rx.available() == 5);
    assert_eq!(w.get(&mut end), b"hello");
    assert!(left(&all, &w) > 0, "the test must bring about what it is about");
    // Nothing of it was lost and repeated.
    assert!(w.now() - before < 200_000_000);
    // All is sent in the end, without any further doorbell.
    w.until(5000, |w| left(&all, w) == 0);
}
