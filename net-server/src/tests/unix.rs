//! AF_UNIX between two clients.

extern crate std;

use std::{vec, vec::Vec};

use strait_abi::{
    Errno,
    net::{Request, receive},
    session::status,
    socket as c,
};
use strait_ring::PAGE;

use super::{
    local::{Local, named},
    world::{CLIENT, SECOND, World},
};

#[test]
fn a_pair_carries_bytes_both_ways() {
    let mut w = World::new();
    let (mut a, mut b) = w.local_pair(CLIENT, c::SOCK_STREAM);
    assert_eq!(w.put(&mut a, b"hello"), 5);
    assert_eq!(w.put(&mut b, b"world!"), 6);
    assert_eq!(w.get(&mut b), b"hello");
    assert_eq!(w.get(&mut a), b"world!");
    assert_eq!(w.state(&a) & (status::CONNECTED | status::HUP | status::OUT), status::CONNECTED | status::OUT);
    w.close(&a);
    assert_eq!(w.state(&b) & status::POLL, status::IN | status::OUT | status::RDHUP | status::HUP);
    assert_ne!(w.state(&b) & status::WRSHUT, 0);
    assert_eq!(w.error_of(&b), None);
    w.close(&b);
    let counters = w.counters();
    assert_eq!((counters.sockets_all, counters.pages_all), (0, 0));
}

#[test]
fn a_megabyte_goes_through_in_order() {
    let mut w = World::new();
    let (mut a, mut b) = w.connection(c::SOCK_STREAM);
    let data: Vec<u8> = (0..1_000_000u32).map(|i| (i * 7 % 251) as u8).collect();
    let (mut sent, mut got) = (0, vec![]);
    for _ in 0..1000 {
        sent += w.put(&mut a, &data[sent..]);
        got.extend(w.get(&mut b));
        if got.len() == data.len() {
            break;
        }
    }
    assert_eq!(got.len(), data.len());
    assert!(got == data);
    w.close(&a);
    w.close(&b);
    assert_eq!(w.counters().pages_all, 0);
}

#[test]
fn who_closes_with_data_on_the_way_delivers_it() {
    let mut w = World::with_session(40 * PAGE);
    let (mut a, mut b) = w.connection(c::SOCK_STREAM);
    let data = vec![7; 600_000];
    let mut sent = 0;
    for _ in 0..20 {
        sent += w.put(&mut a, &data[sent..]);
    }
    assert!(sent > 140_000 && b.socket.rx.available() < 22 * PAGE as u32, "{sent}");
    w.close(&a);
    assert_eq!(w.state(&b) & status::RDHUP, 0);
    let mut got = 0;
    while got < sent {
        let n = w.get(&mut b).len();
        assert_ne!(n, 0, "{got} of {sent}");
        got += n;
    }
    assert_ne!(w.state(&b) & status::RDHUP, 0);
    w.close(&b);
    let counters = w.counters();
    assert_eq!((counters.sockets_all, counters.pages_all), (0, 0));
}

#[test]
fn unread_data_resets_the_peer_once() {
    let mut w = World::new();
    for kind in [c::SOCK_STREAM, c::SOCK_SEQPACKET] {
        let (mut a, b) = w.connection(kind);
        if kind == c::SOCK_STREAM {
            w.put(&mut a, b"x");
        } else {
            w.send_record(&mut a, &[], &[], b"x").unwrap();
        }
        w.close(&b);
        assert_ne!(w.state(&a) & status::ERR, 0);
        assert_eq!(w.error_of(&a), Some(Errno::ECONNRESET));
        assert_eq!(w.error_of(&a), None);
        assert_eq!(w.state(&a) & (status::RDHUP | status::WRSHUT), status::RDHUP | status::WRSHUT);
        w.close(&a);
    }
}

#[test]
fn shutdown_is_symmetric() {
    let mut w = World::new();
    let (mut a, mut b) = w.connection(c::SOCK_STREAM);
    w.put(&mut a, b"last");
    w.call_of(SECOND, &Request::Shutdown { socket: a.socket.handle, how: c::SHUT_WR }).unwrap();
    assert_ne!(w.state(&a) & status::WRSHUT, 0);
    assert_ne!(w.state(&b) & status::RDHUP, 0);
    assert_eq!(w.get(&mut b), b"last");
    w.put(&mut b, b"reply");
    assert_eq!(w.get(&mut a), b"reply");
    w.call_of(SECOND, &Request::Shutdown { socket: a.socket.handle, how: c::SHUT_RD }).unwrap();
    assert_ne!(w.state(&b) & status::WRSHUT, 0);
    assert_ne!(w.state(&b) & status::HUP, 0);
    assert_ne!(w.state(&a) & status::HUP, 0);
}

#[test]
fn names_have_the_lengths_of_linux() {
    let mut w = World::new();
    let s = w.local_socket(CLIENT, c::SOCK_STREAM);
    let handle = s.socket.handle;
    assert_eq!(w.call(&Request::LocalAddress { socket: handle }).unwrap().1, [1, 0]);
    assert_eq!(w.call(&Request::PeerAddress { socket: handle }), Err(Errno::ENOTCONN));
    w.call(&Request::Bind { socket: handle, address: &[1, 0] }).unwrap();
    let name = w.call(&Request::LocalAddress { socket: handle }).unwrap().1;
    assert_eq!(name.len(), 8);
    assert_eq!(name[2], 0);
    assert!(name[3..].iter().all(|b| b.is_ascii_hexdigit()), "{name:?}");
    w.call(&Request::Bind { socket: handle, address: &[1, 0] }).unwrap();
    assert_eq!(w.call(&Request::Bind { socket: handle, address: &named(b"\0x") }), Err(Errno::EINVAL));
    for wrong in [&[1][..], &[2, 0, 0, 0], &[1; 111], &[1; 127]] {
        assert_eq!(w.call(&Request::Bind { socket: handle, address: wrong }), Err(Errno::EINVAL), "{wrong:?}");
    }
    let t = w.bound(SECOND, c::SOCK_STREAM, b"\0taken");
    let u = w.local_socket(CLIENT, c::SOCK_STREAM);
    let bind = Request::Bind { socket: u.socket.handle, address: &named(b"\0taken") };
    assert_eq!(w.call(&bind), Err(Errno::EADDRINUSE));
    // Names of each type are apart.
    w.bound(CLIENT, c::SOCK_DGRAM, b"\0taken");
    w.close(&t);
    w.call(&bind).unwrap();
    // A path needs a token.
    let v = w.local_socket(CLIENT, c::SOCK_STREAM);
    assert_eq!(w.call(&Request::Bind { socket: v.socket.handle, address: &named(b"/s") }), Err(Errno::EACCES));
    assert_eq!(w.join(&v, b"/s"), Err(Errno::ECONNREFUSED));
    let mut forged = [0; 126];
    forged[..4].copy_from_slice(&[1, 0, b'/', b's']);
    assert_eq!(w.call(&Request::Bind { socket: v.socket.handle, address: &forged }), Err(Errno::EACCES));
}

/// The address of a path with a token.
fn path(w: &World, client: &str, kind: u32, name: &[u8], node: u64) -> Vec<u8> {
    let token = w.tokens.issue(kind, node, client);
    let mut bytes = named(name);
    bytes.resize(110, 0);
    bytes.extend(token.node.to_ne_bytes());
    bytes.extend(token.mac.to_ne_bytes());
    bytes
}

#[test]
fn names_in_the_file_system_are_believed_by_their_tokens() {
    use strait_abi::vfs::token::{BIND, CONNECT};
    let mut w = World::new();
    let s = w.local_socket(CLIENT, c::SOCK_STREAM);
    let bind = |w: &mut World, s: &Local, address: &[u8]| {
        w.call_of(s.client, &Request::Bind { socket: s.socket.handle, address }).map(|_| ())
    };
    let connect = |w: &mut World, s: &Local, address: &[u8]| {
        w.call_of(s.client, &Request::Connect { socket: s.socket.handle, address }).map(|_| ())
    };
    // For another client, or for something else.
    for (client, kind) in [("second", BIND), ("client", CONNECT)] {
        let wrong = path(&w, client, kind, b"/tmp/s", 9);
        assert_eq!(bind(&mut w, &s, &wrong), Err(Errno::EACCES));
    }
    let own = path(&w, "client", BIND, b"/tmp/s", 9);
    bind(&mut w, &s, &own).unwrap();
    let name = w.call(&Request::LocalAddress { socket: s.socket.handle }).unwrap().1;
    assert_eq!(name, named(b"/tmp/s\0"));
    let t = w.local_socket(CLIENT, c::SOCK_STREAM);
    assert_eq!(bind(&mut w, &t, &own), Err(Errno::EADDRINUSE));
    w.call(&Request::Listen { socket: s.socket.handle, backlog: 1 }).unwrap();
    let a = w.local_socket(SECOND, c::SOCK_STREAM);
    let other = path(&w, "client", CONNECT, b"/tmp/s", 9);
    assert_eq!(connect(&mut w, &a, &other), Err(Errno::ESTALE));
    // Whatever path it was found by.
    let found = path(&w, "second", CONNECT, b"/link", 9);
    let d = w.local_socket(SECOND, c::SOCK_DGRAM);
    assert_eq!(connect(&mut w, &d, &found), Err(Errno::EPROTOTYPE));
    connect(&mut w, &a, &found).unwrap();
    let peer = w.call_of(SECOND, &Request::PeerAddress { socket: a.socket.handle }).unwrap().1;
    assert_eq!(peer, named(b"/tmp/s\0"));
    // A node that nobody is bound to any more.
    w.close(&s);
    let late = w.local_socket(SECOND, c::SOCK_STREAM);
    assert_eq!(connect(&mut w, &late, &found), Err(Errno::ECONNREFUSED));
}

#[test]
fn connections_are_queued_up_to_one_more_than_the_backlog() {
    let mut w = World::new();
    let listener = w.listener(CLIENT, c::SOCK_STREAM, b"\0l", 1);
    let clients: Vec<Local> = (0..3).map(|_| w.local_socket(SECOND, c::SOCK_STREAM)).collect();
    w.join(&clients[0], b"\0l").unwrap();
    assert_ne!(w.state(&listener) & status::IN, 0);
    w.join(&clients[1], b"\0l").unwrap();
    assert_eq!(w.join(&clients[2], b"\0l"), Err(Errno::EAGAIN));
    assert_eq!(w.state(&clients[2]) & status::POLL, status::OUT | status::HUP);
    w.second.events().take(|_| {});
    let (accepted, from) = w.take_connection(&listener).unwrap();
    assert_eq!(from, [1, 0]);
    // Who was refused is told.
    let mut told = vec![];
    w.second.events().take(|i| told.push(i as u16));
    assert!(told.contains(&clients[2].socket.handle), "{told:?}");
    w.join(&clients[2], b"\0l").unwrap();
    let peer = |w: &mut World, s: &Local| w.call_of(s.client, &Request::PeerAddress { socket: s.socket.handle });
    assert_eq!(peer(&mut w, &clients[0]).unwrap().1, named(b"\0l"));
    assert_eq!(peer(&mut w, &accepted).unwrap().1, [1, 0]);
    // Those that nobody accepted are reset.
    w.close(&listener);
    assert_eq!(w.error_of(&clients[0]), None);
    assert_eq!(w.error_of(&clients[1]), Some(Errno::ECONNRESET));
    let late = w.local_socket(SECOND, c::SOCK_STREAM);
    assert_eq!(w.join(&late, b"\0l"), Err(Errno::ECONNREFUSED));
}

#[test]
fn connections_that_wait_cost_their_listener_no_socket() {
    let mut w = World::with_session(64 * PAGE);
    let places = w.session.sockets();
    let (first, second) =
        (w.listener(CLIENT, c::SOCK_STREAM, b"\0first", 500), w.listener(CLIENT, c::SOCK_STREAM, b"\0second", 500));
    let mut clients = vec![];
    for i in 0..places {
        let s = w.local_socket(SECOND, c::SOCK_STREAM);
        w.join(&s, if i % 2 == 0 { b"\0first" } else { b"\0second" }).unwrap();
        // Also by who has gone.
        if i > 2 { w.close(&s) } else { clients.push(s) }
    }
    // No more of them; but the owner makes sockets as ever.
    let late = w.local_socket(SECOND, c::SOCK_STREAM);
    assert_eq!(w.join(&late, b"\0second"), Err(Errno::EAGAIN));
    let own: Vec<Local> = (2..places).map(|_| w.local_socket(CLIENT, c::SOCK_DGRAM)).collect();
    w.close(&own[0]);
    // Room at one listener is room at the other.
    w.second.events().take(|_| {});
    w.take_connection(&first).unwrap();
    let mut told = vec![];
    w.second.events().take(|i| told.push(i as u16));
    assert!(told.contains(&late.socket.handle), "{told:?}");
    w.join(&late, b"\0second").unwrap();
    let _ = second;
}

#[test]
fn what_is_sent_before_accept_is_there_after_it() {
    let mut w = World::new();
    let listener = w.listener(CLIENT, c::SOCK_STREAM, b"\0l", 1);
    let mut a = w.local_socket(SECOND, c::SOCK_STREAM);
    w.join(&a, b"\0l").unwrap();
    w.put(&mut a, b"early");
    w.close(&a);
    let (mut b, _) = w.take_connection(&listener).unwrap();
    assert_eq!(w.get(&mut b), b"early");
    assert_ne!(w.state(&b) & status::RDHUP, 0);
    assert_eq!(w.counters().sockets_all, 2);
}

#[test]
fn connecting_in_a_wrong_state_gets_its_errno() {
    let mut w = World::new();
    let listener = w.listener(CLIENT, c::SOCK_STREAM, b"\0l", 5);
    let bound = w.bound(CLIENT, c::SOCK_STREAM, b"\0idle");
    let s = w.local_socket(SECOND, c::SOCK_STREAM);
    assert_eq!(w.join(&s, b"\0idle"), Err(Errno::ECONNREFUSED));
    assert_eq!(w.join(&s, b"\0nobody"), Err(Errno::ECONNREFUSED));
    assert_eq!(w.join(&listener, b"\0l"), Err(Errno::EINVAL));
    w.join(&s, b"\0l").unwrap();
    assert_eq!(w.join(&s, b"\0l"), Err(Errno::EISCONN));
    assert_eq!(w.call_of(SECOND, &Request::Listen { socket: s.socket.handle, backlog: 1 }), Err(Errno::EINVAL));
    let unbound = w.local_socket(SECOND, c::SOCK_STREAM);
    assert_eq!(w.call_of(SECOND, &Request::Listen { socket: unbound.socket.handle, backlog: 1 }), Err(Errno::EINVAL));
    let d = w.bound(SECOND, c::SOCK_DGRAM, b"\0d");
    assert_eq!(w.call_of(SECOND, &Request::Listen { socket: d.socket.handle, backlog: 1 }), Err(Errno::EOPNOTSUPP));
    w.close(&bound);
    let pair = Request::SocketPair { family: 2, kind: 1, protocol: 0 };
    assert_eq!(w.call(&pair), Err(Errno::EOPNOTSUPP));
    let before = w.counters().sockets;
    assert_eq!(w.call(&pair), Err(Errno::EOPNOTSUPP));
    assert_eq!(w.counters().sockets, before);
    assert_eq!(w.call(&Request::SocketPair { family: 1, kind: 4, protocol: 0 }), Err(Errno::ESOCKTNOSUPPORT));
    assert_eq!(w.call(&Request::SocketPair { family: 1, kind: 1, protocol: 6 }), Err(Errno::EPROTONOSUPPORT));
}

#[test]
fn datagrams_know_their_sender_and_have_borders() {
    let mut w = World::new();
    let mut to = w.bound(CLIENT, c::SOCK_DGRAM, b"\0to");
    let mut from = w.bound(SECOND, c::SOCK_DGRAM, b"\0from");
    let mut unnamed = w.local_socket(SECOND, c::SOCK_DGRAM);
    w.send_record(&mut from, &named(b"\0to"), &[], b"one").unwrap();
    w.send_record(&mut unnamed, &named(b"\0to"), &[], b"").unwrap();
    w.send_record(&mut from, &named(b"\0to"), &[], &[5; 100_000]).unwrap();
    assert_eq!(w.receive_record(&mut to), Some((named(b"\0from"), vec![], b"one".to_vec())));
    assert_eq!(w.receive_record(&mut to), Some((vec![], vec![], vec![])));
    assert_eq!(w.receive_record(&mut to).unwrap().2, [5; 100_000]);
    assert_eq!(w.receive_record(&mut to), None);
    assert_eq!(w.send_record(&mut from, &named(b"\0nobody"), &[], b"x"), Err(Errno::ECONNREFUSED));
    assert_eq!(w.send_record(&mut from, &[], &[], b"x"), Err(Errno::ENOTCONN));
    w.close(&to);
    assert_eq!(w.send_record(&mut from, &named(b"\0to"), &[], b"x"), Err(Errno::ECONNREFUSED));
    w.close(&from);
    w.close(&unnamed);
    assert_eq!(w.counters().pages_all, 0);
}

#[test]
fn eleven_datagrams_wait_and_the_twelfth_sender_is_told() {
    let mut w = World::new();
    let mut to = w.bound(CLIENT, c::SOCK_DGRAM, b"\0to");
    let mut from = w.local_socket(SECOND, c::SOCK_DGRAM);
    w.join(&from, b"\0to").unwrap();
    for i in 0..11 {
        w.send_record(&mut from, &[], &[], &[i]).unwrap();
    }
    assert_eq!(w.send_record(&mut from, &[], &[], b"x"), Err(Errno::EAGAIN));
    assert_eq!(w.state(&from) & status::OUT, 0);
    w.second.events().take(|_| {});
    assert_eq!(w.receive_record(&mut to).unwrap().2, [0]);
    assert_ne!(w.state(&from) & status::OUT, 0);
    assert!(w.second.events().any());
    w.send_record(&mut from, &[], &[], b"x").unwrap();
    for i in 1..11 {
        assert_eq!(w.receive_record(&mut to).unwrap().2, [i]);
    }
    assert_eq!(w.receive_record(&mut to).unwrap().2, b"x");
}

#[test]
fn a_connected_datagram_socket_hears_only_its_peer() {
    let mut w = World::new();
    let a = w.bound(CLIENT, c::SOCK_DGRAM, b"\0a");
    let mut b = w.bound(SECOND, c::SOCK_DGRAM, b"\0b");
    let mut other = w.local_socket(SECOND, c::SOCK_DGRAM);
    w.join(&a, b"\0b").unwrap();
    assert_eq!(w.send_record(&mut other, &named(b"\0a"), &[], b"x"), Err(Errno::EPERM));
    assert_eq!(w.join(&other, b"\0a"), Err(Errno::EPERM));
    w.join(&b, b"\0a").unwrap();
    // Both ways: no limit of eleven.
    for i in 0..100 {
        w.send_record(&mut b, &[], &[], &[i]).unwrap();
    }
    // The one that was left with unread datagrams is told.
    w.call(&Request::Connect { socket: a.socket.handle, address: &[0, 0] }).unwrap();
    assert_eq!(w.error_of(&b), Some(Errno::ECONNRESET));
    assert_eq!(w.call(&Request::PeerAddress { socket: a.socket.handle }), Err(Errno::ENOTCONN));
    w.close(&a);
    assert_eq!(w.send_record(&mut b, &[], &[], b"x"), Err(Errno::ECONNREFUSED));
    assert_eq!(w.send_record(&mut b, &[], &[], b"x"), Err(Errno::ENOTCONN));
}

#[test]
fn a_datagram_socket_may_send_to_itself() {
    let mut w = World::new();
    let mut s = w.bound(CLIENT, c::SOCK_DGRAM, b"\0self");
    w.send_record(&mut s, &named(b"\0self"), &[], b"me").unwrap();
    assert_eq!(w.receive_record(&mut s).unwrap(), (named(b"\0self"), vec![], b"me".to_vec()));
    w.join(&s, b"\0self").unwrap();
    w.send_record(&mut s, &[], &[], b"me").unwrap();
    assert_eq!(w.receive_record(&mut s).unwrap().2, b"me");
    w.close(&s);
    assert_eq!(w.counters().sockets_all, 0);
}

#[test]
fn too_long_datagrams_and_shut_receivers_are_errors() {
    let mut w = World::new();
    let mut to = w.bound(CLIENT, c::SOCK_DGRAM, b"\0to");
    let mut from = w.local_socket(SECOND, c::SOCK_DGRAM);
    w.join(&from, b"\0to").unwrap();
    let small =
        Request::SetOption { socket: from.socket.handle, level: 1, name: c::SO_SNDBUF, value: &2048i32.to_ne_bytes() };
    w.call_of(SECOND, &small).unwrap();
    assert_eq!(w.send_record(&mut from, &[], &[], &[0; 4608]), Err(Errno::EMSGSIZE));
    w.send_record(&mut from, &[], &[], &[0; 4576]).unwrap();
    // What nobody has read counts.
    assert_eq!(w.send_record(&mut from, &[], &[], b"x"), Err(Errno::EAGAIN));
    w.receive_record(&mut to).unwrap();
    w.call(&Request::Shutdown { socket: to.socket.handle, how: c::SHUT_RD }).unwrap();
    assert_eq!(w.send_record(&mut from, &[], &[], b"x"), Err(Errno::EPIPE));
    w.call_of(SECOND, &Request::Shutdown { socket: from.socket.handle, how: c::SHUT_WR }).unwrap();
    assert_ne!(w.state(&from) & status::WRSHUT, 0);
}

#[test]
fn packets_keep_their_borders_and_wait_for_room() {
    let mut w = World::new();
    let (mut a, mut b) = w.connection(c::SOCK_SEQPACKET);
    let mut sent = 0;
    while w.send_record(&mut a, &[], &[], &[sent as u8; 10_000]).is_ok() {
        sent += 1;
        assert!(sent < 1000);
    }
    // By SO_SNDBUF, as Linux counts them.
    assert_eq!(sent, 13);
    for i in 0..sent {
        assert_eq!(w.receive_record(&mut b).expect("a packet").2, [i as u8; 10_000]);
    }
    assert_eq!(w.receive_record(&mut b), None);
    w.call_of(CLIENT, &Request::Shutdown { socket: b.socket.handle, how: c::SHUT_RD }).unwrap();
    assert_eq!(w.send_record(&mut a, &[], &[], b"x"), Err(Errno::EPIPE));
    w.close(&a);
    assert_ne!(w.state(&b) & status::RDHUP, 0);
}

#[test]
fn identities_are_those_of_the_sessions() {
    let mut w = World::new();
    let (a, b) = w.connection(c::SOCK_STREAM);
    let mut identity = |s: &Local| {
        let request = Request::GetOption { socket: s.socket.handle, level: 1, name: c::SO_PEERCRED };
        let (_, value) = w.call_of(s.client, &request).unwrap();
        value.chunks(4).map(|c| u32::from_ne_bytes(c.try_into().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(identity(&a), [1, 1000, 1000]);
    assert_eq!(identity(&b), [2, 1001, 1001]);
    let s = w.local_socket(CLIENT, c::SOCK_STREAM);
    let request = Request::GetOption { socket: s.socket.handle, level: 1, name: c::SO_PEERCRED };
    assert_eq!(w.call(&request).unwrap().1, [0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
}

#[test]
fn urgent_data_is_one_byte_at_a_mark() {
    let mut w = World::new();
    let (mut a, mut b) = w.connection(c::SOCK_STREAM);
    let urgent = |w: &mut World, s: &mut Local, data: &[u8]| {
        w.call_of(s.client, &Request::SendUrgent { socket: s.socket.handle, bytes: data.len() as u32 }).unwrap();
        w.put(s, data);
    };
    let take = |w: &mut World, s: &Local, peek| {
        w.call_of(s.client, &Request::ReceiveUrgent { socket: s.socket.handle, peek }).map(|(_, b)| b)
    };
    let at_mark = |w: &mut World, s: &Local| {
        let request = Request::Ioctl { socket: s.socket.handle, request: c::SIOCATMARK, argument: &[0; 4] };
        w.call_of(s.client, &request).unwrap().1[0]
    };
    assert_eq!(take(&mut w, &b, false), Err(Errno::EINVAL));
    urgent(&mut w, &mut a, b"abc");
    w.put(&mut a, b"def");
    assert_eq!(w.state(&b) & (status::CONTROL | status::PRI), status::CONTROL | status::PRI);
    assert_eq!((b.socket.rx.available(), w.mark(&b)), (6, 2));
    assert_eq!(at_mark(&mut w, &b), 0);
    assert_eq!(take(&mut w, &b, true), Ok(vec![b'c']));
    assert_eq!(w.get_at_most(&mut b, 2), b"ab");
    assert_eq!(at_mark(&mut w, &b), 1);
    assert_eq!(take(&mut w, &b, false), Ok(vec![b'c']));
    assert_eq!(take(&mut w, &b, false), Err(Errno::EINVAL));
    assert_eq!(w.state(&b) & (status::CONTROL | status::PRI), status::CONTROL);
    assert_eq!(at_mark(&mut w, &b), 1);
    // The byte is passed over.
    assert_eq!(w.recv(&mut b, 9, 0), b"def");
    assert_eq!(w.state(&b) & status::CONTROL, 0);
    // The older of two becomes data.
    urgent(&mut w, &mut a, b"x");
    urgent(&mut w, &mut a, b"y");
    assert_eq!(w.mark(&b), 7);
    assert_eq!(take(&mut w, &b, false), Ok(vec![b'y']));
    // One that was taken does not; more can come.
    urgent(&mut w, &mut a, b"vz");
    assert_ne!(w.state(&b) & status::PRI, 0);
    assert_eq!(w.recv(&mut b, 9, receive::PEEK), b"xv");
    assert_eq!(w.recv(&mut b, 9, 0), b"xv");
    assert_eq!(take(&mut w, &b, false), Ok(vec![b'z']));
    assert_eq!(w.recv(&mut b, 9, 0), b"");
    assert_eq!(b.socket.rx.available(), 0);
    // In line, it is data at which a receive stops.
    urgent(&mut w, &mut a, b"mn");
    let inline = Request::SetOption { socket: b.socket.handle, level: 1, name: c::SO_OOBINLINE, value: &[1, 0, 0, 0] };
    w.call(&inline).unwrap();
    w.put(&mut a, b"o");
    assert_eq!((w.recv(&mut b, 9, 0), w.recv(&mut b, 9, 0)), (b"m".to_vec(), b"no".to_vec()));
    let d = w.local_socket(CLIENT, c::SOCK_DGRAM);
    assert_eq!(take(&mut w, &d, false), Err(Errno::EOPNOTSUPP));
}

#[test]
fn queue_lengths_count_what_nobody_has_read() {
    let mut w = World::new();
    let (mut a, mut b) = w.connection(c::SOCK_STREAM);
    let unread = |w: &mut World, s: &Local| {
        let request = Request::Ioctl { socket: s.socket.handle, request: c::SIOCOUTQ, argument: &[0; 4] };
        w.call_of(s.client, &request).map(|(_, b)| u32::from_ne_bytes(b[..4].try_into().unwrap()))
    };
    w.put(&mut a, b"12345");
    assert_eq!(unread(&mut w, &a), Ok(5));
    w.get_at_most(&mut b, 2);
    assert_eq!(unread(&mut w, &a), Ok(3));
    let listener = w.listener(CLIENT, c::SOCK_STREAM, b"\0l", 5);
    assert_eq!(unread(&mut w, &listener), Ok(0));
}

#[test]
fn a_socket_that_was_busy_gives_its_pages_back() {
    let mut w = World::new();
    let (mut a, mut b) = w.connection(c::SOCK_STREAM);
    let data = vec![9; 300_000];
    let (mut sent, mut got) = (0, 0);
    while got < data.len() {
        sent += w.put(&mut a, &data[sent..]);
        got += w.get(&mut b).len();
    }
    let before = w.counters();
    assert!(before.pages_all > 6, "{}", before.pages_all);
    // Idle for a while: the client is told once, and answers.
    for _ in 0..4 {
        w.step(250_000_000);
    }
    assert_ne!(w.state(&a) & status::SHRINK, 0);
    assert_eq!(w.counters().pages_all, before.pages_all);
    assert!(w.second.events().any());
    assert!(a.socket.tx.yield_room());
    w.ring_of(SECOND, a.socket.handle);
    assert_eq!(w.state(&a) & status::SHRINK, 0);
    w.get(&mut b);
    for _ in 0..4 {
        w.step(250_000_000);
    }
    let after = w.counters();
    assert_eq!((after.pages_all, after.pages_peak > 20), (2, true));
    // There is always room for something, and more on demand.
    assert_ne!(a.socket.tx.room(), 0);
    assert!(w.put(&mut a, &data) > 100_000);
    // Nobody asks anything of those that are idle.
    w.get(&mut b);
    w.close(&a);
    w.close(&b);
    assert_eq!(w.counters().pages_all, 0);
}

#[test]
fn a_full_arena_leaves_a_page_for_each_other_ring() {
    let mut w = World::with_session(64 * PAGE);
    let (mut a, b) = w.connection(c::SOCK_STREAM);
    let data = vec![9; 400_000];
    let mut sent = 0;
    for _ in 0..20 {
        sent += w.put(&mut a, &data[sent..]);
    }
    // The second client's data has as many of the first's pages as it may, and
    // waits in its own: the other connections of both go on.
    let taken = b.socket.rx.available() as usize / PAGE;
    let half = w.session.arena().total() / 2;
    assert!((half - 4..half + 2).contains(&taken), "{taken} of {half}");
    for client in [CLIENT, SECOND] {
        let (mut c1, mut c2) = w.local_pair(client, c::SOCK_STREAM);
        for _ in 0..10 {
            assert_eq!(w.put(&mut c1, &[3; 4000]), 4000);
            assert_eq!(w.get(&mut c2), [3; 4000]);
        }
    }
}

#[test]
fn who_found_no_pages_at_the_receiver_is_told_when_there_are_some() {
    let mut w = World::with_session(64 * PAGE);
    let (mut a, mut b) = w.connection(c::SOCK_STREAM);
    for _ in 0..30 {
        assert_eq!(w.put(&mut a, &[9; 4000]), 4000);
    }
    w.close(&a);
    let mut to = w.bound(CLIENT, c::SOCK_DGRAM, b"\0to");
    let mut from = w.local_socket(SECOND, c::SOCK_DGRAM);
    let before = w.counters();
    assert_eq!(w.send_record(&mut from, &named(b"\0to"), &[], &[5; 60_000]), Err(Errno::EAGAIN));
    // Not even a part of what it needs is taken.
    assert_eq!(w.counters().pages, before.pages);
    w.second.events().take(|_| {});
    // The receiver reads from another socket, and has no reason to tell.
    assert_eq!(b.socket.rx.available(), 120_000);
    b.socket.rx.consume(120_000);
    w.until(50, |w| w.second.events().any());
    w.send_record(&mut from, &named(b"\0to"), &[], &[5; 60_000]).unwrap();
    assert_eq!(w.receive_record(&mut to).unwrap().2, [5; 60_000]);
}
