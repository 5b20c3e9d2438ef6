extern crate std;

use core::net::{IpAddr, SocketAddr};
use std::{vec, vec::Vec};

use smoltcp::{
    iface::SocketHandle,
    socket::tcp::{Socket, SocketBuffer, State},
    wire::{TcpPacket, TcpSeqNumber},
};
use strait_abi::{Address, Errno, net::Request, session::status, socket as c};

use super::world::{ClientSocket, PEER_IP, SERVER_IP, World};
use crate::inet::{checksum, ip};

pub fn server_addr(port: u16) -> SocketAddr {
    SocketAddr::from((SERVER_IP, port))
}

pub fn peer_addr(port: u16) -> SocketAddr {
    SocketAddr::from((PEER_IP, port))
}

pub fn peer_socket(w: &mut World) -> SocketHandle {
    w.peer.sockets.add(Socket::new(SocketBuffer::new(vec![0; 65535]), SocketBuffer::new(vec![0; 65535])))
}

pub fn dial(w: &mut World, from: u16, to: u16) -> SocketHandle {
    let h = peer_socket(w);
    let cx = w.peer.interface.context();
    w.peer.sockets.get_mut::<Socket>(h).connect(cx, server_addr(to), from).unwrap();
    h
}

pub fn listen(w: &mut World, port: u16, backlog: u32) -> u16 {
    let s = w.socket(c::SOCK_STREAM).handle;
    let reuse = Request::SetOption { socket: s, level: c::SOL_SOCKET, name: c::SO_REUSEADDR, value: &[1, 0, 0, 0] };
    w.call(&reuse).unwrap();
    w.call(&Request::Bind { socket: s, address: Address::from(SocketAddr::from(([0; 4], port))).as_bytes() }).unwrap();
    w.call(&Request::Listen { socket: s, backlog }).unwrap();
    s
}

pub fn accept(w: &mut World, listener: u16) -> (ClientSocket, Address) {
    w.until(1000, |w| w.status(listener) & status::IN != 0);
    let (handle, peer) = w.call(&Request::Accept { socket: listener }).unwrap();
    (w.attached(handle as u16), Address::from_bytes(&peer).unwrap())
}

pub fn pattern(from: usize, n: usize) -> Vec<u8> {
    (from..from + n).map(|i| (i * 31 % 251) as u8).collect()
}

pub fn pair(w: &mut World) -> (ClientSocket, SocketHandle) {
    pair_from(w, 40_000)
}

pub fn pair_from(w: &mut World, port: u16) -> (ClientSocket, SocketHandle) {
    let listener = listen(w, 7, 4);
    let h = dial(w, port, 7);
    let (s, peer) = accept(w, listener);
    assert_eq!(peer.to_inet().unwrap(), peer_addr(port));
    w.call(&Request::Close { socket: listener }).unwrap();
    (s, h)
}

/// Moves bytes between ring and client as libsock would.
pub fn read(w: &mut World, s: &mut ClientSocket, into: &mut Vec<u8>) {
    let n = s.rx.available();
    let at = into.len();
    into.resize(at + n as usize, 0);
    s.rx.copy(0, &mut into[at..]).unwrap();
    s.rx.consume(n);
    if n > 0 && w.status(s.handle) & status::RING_ON_DRAIN != 0 {
        w.ring(s.handle);
    }
}

pub fn write(w: &mut World, s: &mut ClientSocket, bytes: &[u8]) -> usize {
    let n = bytes.len().min(s.tx.room() as usize);
    s.tx.want(bytes.len() as u32);
    s.tx.stage(0, &bytes[..n]).unwrap();
    s.tx.commit(n as u32);
    w.ring(s.handle);
    n
}

fn both_ways(w: &mut World, total: usize) {
    let (mut s, h) = pair(w);
    let (mut up, mut down, mut sent, mut peer_sent) = (vec![], vec![], 0, 0);
    w.until(400_000, |w| {
        read(w, &mut s, &mut up);
        let rest = pattern(sent, (total - sent).min(100_000));
        if !rest.is_empty() {
            sent += write(w, &mut s, &rest);
        }
        let tcp = w.peer.sockets.get_mut::<Socket>(h);
        if tcp.can_send() && peer_sent < total {
            peer_sent += tcp.send_slice(&pattern(peer_sent, (total - peer_sent).min(60_000))).unwrap();
        }
        while tcp.can_recv() {
            tcp.recv(|b| {
                down.extend_from_slice(b);
                (b.len(), ())
            })
            .unwrap();
        }
        up.len() == total && down.len() == total
    });
    assert!(up == pattern(0, total) && down == pattern(0, total));
    // Half close: the peer's end arrives after its data, ours still works.
    w.peer.sockets.get_mut::<Socket>(h).close();
    w.until(60_000, |w| w.status(s.handle) & status::RDHUP != 0);
    assert_eq!(w.status(s.handle) & (status::WRSHUT | status::ERR | status::HUP), 0);
    w.call(&Request::Shutdown { socket: s.handle, how: c::SHUT_WR }).unwrap();
    w.until(60_000, |w| w.peer.sockets.get::<Socket>(h).state() == State::TimeWait);
    w.call(&Request::Close { socket: s.handle }).unwrap();
    w.until(300_000, |w| w.counters().sockets_all == 0);
    let c = w.counters();
    assert_eq!((c.pages, c.buffer_bytes, c.misbehaved, c.bad_descriptors), (0, 0, 0, 0));
}

#[test]
fn data_both_ways_and_half_close() {
    both_ways(&mut World::new(), 1_000_000);
}

#[test]
fn lost_repeated_and_reordered_frames() {
    for (percent, seed) in [(1u64, 1u64), (5, 2), (5, 3)] {
        let mut w = World::new();
        let mut x = seed;
        w.fate = std::boxed::Box::new(move || {
            // xorshift
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            match x % 300 {
                r if r < 3 * percent / 2 => 0,
                r if r < 2 * percent => 2,
                r if r < 3 * percent => 99,
                _ => 1,
            }
        });
        both_ways(&mut w, 200_000);
    }
}

#[test]
fn connect_out_and_what_can_go_wrong() {
    let mut w = World::new();
    let to = |w: &mut World, port: u16| {
        let s = w.socket(c::SOCK_STREAM).handle;
        assert_eq!(w.status(s), status::OUT | status::HUP);
        let address = Address::from(peer_addr(port));
        assert_eq!(w.call(&Request::Connect { socket: s, address: address.as_bytes() }), Err(Errno::EINPROGRESS));
        assert_eq!(w.call(&Request::Connect { socket: s, address: address.as_bytes() }), Err(Errno::EALREADY));
        s
    };
    let h = peer_socket(&mut w);
    w.peer.sockets.get_mut::<Socket>(h).listen(80).unwrap();
    let s = to(&mut w, 80);
    w.until(100, |w| w.status(s) & status::CONNECTED != 0);
    w.until(100, |w| w.peer.sockets.get::<Socket>(h).state() == State::Established);
    let (_, peer) = w.call(&Request::PeerAddress { socket: s }).unwrap();
    assert_eq!(Address::from_bytes(&peer).unwrap().to_inet(), Ok(peer_addr(80)));
    let address = Address::from(peer_addr(80));
    // Who asks once more is told that it stands, and then that it stood.
    assert!(w.call(&Request::Connect { socket: s, address: address.as_bytes() }).is_ok());
    assert_eq!(w.call(&Request::Connect { socket: s, address: address.as_bytes() }), Err(Errno::EISCONN));
    // Reset by the peer.
    w.peer.sockets.get_mut::<Socket>(h).abort();
    w.until(100, |w| w.status(s) & status::ERR != 0);
    let error = |w: &mut World, s| {
        let (_, v) = w.call(&Request::GetOption { socket: s, level: c::SOL_SOCKET, name: c::SO_ERROR }).unwrap();
        i32::from_ne_bytes(v.try_into().unwrap())
    };
    assert_eq!(error(&mut w, s), i32::from(Errno::ECONNRESET.raw()));
    assert_eq!(error(&mut w, s), 0);
    // Nobody listens.
    let s = to(&mut w, 81);
    w.until(100, |w| w.status(s) & status::ERR != 0);
    assert_eq!(error(&mut w, s), i32::from(Errno::ECONNREFUSED.raw()));
    // Nobody has the address: told after three requests, by nobody but us.
    let s = w.socket(c::SOCK_STREAM).handle;
    let address = Address::from(SocketAddr::from(([10, 0, 2, 77], 80)));
    assert_eq!(w.call(&Request::Connect { socket: s, address: address.as_bytes() }), Err(Errno::EINPROGRESS));
    w.until(5000, |w| w.status(s) & status::ERR != 0);
    assert_eq!(error(&mut w, s), i32::from(Errno::EHOSTUNREACH.raw()));
}

#[test]
fn a_burst_of_connections_waits_in_the_queue() {
    let mut w = World::with_session(8 << 20);
    let listener = listen(&mut w, 9, 64);
    for i in 0..60 {
        dial(&mut w, 41_000 + i, 9);
    }
    w.until(2000, |w| w.peer.sockets.iter().filter(|(_, s)| is_established(s)).count() == 60);
    for _ in 0..60 {
        accept(&mut w, listener);
    }
    assert_eq!(w.call(&Request::Accept { socket: listener }), Err(Errno::EAGAIN));
}

fn is_established(socket: &smoltcp::socket::Socket<'_>) -> bool {
    matches!(socket, smoltcp::socket::Socket::Tcp(s) if s.state() == State::Established)
}

#[test]
fn beyond_the_backlog_a_syn_is_dropped_not_reset() {
    let mut w = World::new();
    let listener = listen(&mut w, 9, 1);
    let handles: Vec<_> = (0..30).map(|i| dial(&mut w, 42_000 + i, 9)).collect();
    for _ in 0..100 {
        w.step(1_000_000);
    }
    assert!(handles.iter().all(|h| w.peer.sockets.get::<Socket>(*h).state() != State::Closed));
    for _ in 0..30 {
        w.until(60_000, |w| w.status(listener) & status::IN != 0);
        let (s, _) = accept(&mut w, listener);
        w.call(&Request::Close { socket: s.handle }).unwrap();
    }
    w.call(&Request::Close { socket: listener }).unwrap();
}

/// A SYN from a host that answers nothing: our answers go nowhere.
fn stray_syn(source: [u8; 4], port: u16, options: &[u8]) -> Vec<u8> {
    let len = 20 + options.len();
    let mut p = vec![0; 20 + len];
    ip::write_header(&mut p, IpAddr::from(source), IpAddr::from(SERVER_IP), 6.into(), 64);
    let mut tcp = TcpPacket::new_unchecked(&mut p[20..]);
    tcp.set_src_port(port);
    tcp.set_dst_port(9);
    tcp.set_header_len(len as u8);
    tcp.set_syn(true);
    tcp.set_window_len(65_535);
    tcp.options_mut().copy_from_slice(options);
    let sum = checksum::transport(&p);
    TcpPacket::new_unchecked(&mut p[20..]).set_checksum(sum);
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 3, 8, 0][..], &p].concat()
}

#[test]
fn a_flood_of_syns_keeps_nobody_out() {
    let mut w = World::with_session(64 * 1024);
    let listener = listen(&mut w, 9, 4);
    let held = w.counters();
    let mut sent = 0;
    let mut flood = |w: &mut World| {
        for _ in 0..200 {
            sent += 1;
            w.inject(&stray_syn([10, 9, (sent / 50_000) as u8, 9], 1000 + (sent % 50_000) as u16, &[]));
        }
    };
    for i in 0..10 {
        flood(&mut w);
        w.step(1000);
        // The peer's SYN in the middle of it.
        let h = dial(&mut w, 40_000 + i, 9);
        for _ in 0..5 {
            flood(&mut w);
            w.step(1_000_000);
        }
        let (mut s, _) = accept(&mut w, listener);
        assert_eq!(w.peer.sockets.get::<Socket>(h).state(), State::Established);
        w.peer.sockets.get_mut::<Socket>(h).send_slice(&pattern(0, 5000)).unwrap();
        let mut got = vec![];
        w.until(100, |w| {
            read(w, &mut s, &mut got);
            got.len() == 5000
        });
        assert!(got == pattern(0, 5000));
        write(&mut w, &mut s, b"answer");
        w.until(100, |w| w.peer.sockets.get::<Socket>(h).recv_queue() == 6);
        w.peer.sockets.get_mut::<Socket>(h).abort();
        w.step(1_000_000);
        w.step(1_000_000);
        w.call(&Request::Close { socket: s.handle }).unwrap();
    }
    assert!(sent > 10_000);
    let c = w.counters();
    assert_eq!((c.sockets_all, c.buffer_bytes), (held.sockets_all, held.buffer_bytes));
    // What nobody answered is repeated a few times, and then forgotten.
    w.elapse(70_000);
    let before = w.counters().tx_frames;
    w.elapse(70_000);
    assert_eq!(w.counters().tx_frames, before);
}

/// The options of the SYN that answers one with these, in a flood or not.
fn answered(w: &mut World, port: u16, options: &[u8]) -> Vec<u8> {
    w.take_frames();
    w.inject(&stray_syn(PEER_IP, port, options));
    let frames = w.take_frames();
    let answer = frames.iter().find(|f| f[23] == 6 && f[47] & 0x12 == 0x12).expect("an answer");
    answer[54..34 + usize::from(answer[46] >> 4) * 4].to_vec()
}

#[test]
fn answers_offer_what_the_connection_keeps_to() {
    let mut w = World::new();
    listen(&mut w, 9, 4);
    // The neighbour is known.
    let h = dial(&mut w, 40_000, 9);
    w.until(100, |w| w.peer.sockets.get::<Socket>(h).state() == State::Established);
    let all = [2, 4, 5, 180, 4, 2, 3, 3, 7, 0, 0, 0];
    let has = |options: &[u8], option: &[u8]| options.windows(option.len()).any(|o| o == option);
    let own = [2, 4, 5, 180];
    let answer = answered(&mut w, 1, &all);
    assert!(has(&answer, &own) && has(&answer, &[3, 3, 0]) && has(&answer, &[4, 2]), "{answer:?}");
    let answer = answered(&mut w, 2, &[]);
    assert_eq!(answer, own);
    for port in 1000..2000 {
        w.inject(&stray_syn([10, 9, 9, 9], port, &all));
    }
    assert_eq!(answered(&mut w, 3, &all), own);
}

#[test]
fn an_answer_that_is_lost_is_repeated_and_one_that_nobody_got_is_not_believed() {
    let mut w = World::new();
    let listener = listen(&mut w, 9, 4);
    // SYN and answer arrive, the acknowledgement does not: the server speaks
    // first, so nothing else comes.
    let h = dial(&mut w, 40_000, 9);
    let mut frames = 0;
    w.fate = std::boxed::Box::new(move || {
        frames += 1;
        usize::from(frames != 5)
    });
    w.until(500, |w| w.peer.sockets.get::<Socket>(h).state() == State::Established);
    assert_eq!(w.status(listener) & status::IN, 0, "the test must bring about what it is about");
    w.until(1100, |w| w.status(listener) & status::IN != 0);
    // Acknowledgements of what was never said, in a time of cookies and without.
    for cookies in [false, true] {
        if cookies {
            for port in 1000..2000 {
                w.inject(&stray_syn([10, 9, 9, 9], port, &[]));
            }
        }
        let before = w.counters().sockets_all;
        for number in 0..2000u32 {
            let mut f = stray_syn(PEER_IP, 77, &[]);
            let mut tcp = TcpPacket::new_unchecked(&mut f[34..]);
            tcp.set_syn(false);
            tcp.set_ack(true);
            tcp.set_ack_number(TcpSeqNumber(number.wrapping_mul(0x1234_5677) as i32));
            tcp.set_checksum(0);
            let sum = checksum::transport(&f[14..]);
            TcpPacket::new_unchecked(&mut f[34..]).set_checksum(sum);
            w.inject(&f);
            w.take_frames();
        }
        assert_eq!(w.counters().sockets_all, before);
    }
}

#[test]
fn loopback_needs_no_wire() {
    let mut w = World::new();
    let before = w.counters().tx_frames;
    let listener = listen(&mut w, 5000, 4);
    let mut a = w.socket(c::SOCK_STREAM);
    let address = Address::from(SocketAddr::from(([127, 0, 0, 1], 5000)));
    assert_eq!(w.call(&Request::Connect { socket: a.handle, address: address.as_bytes() }), Err(Errno::EINPROGRESS));
    let (mut b, _) = accept(&mut w, listener);
    assert!(w.status(a.handle) & status::CONNECTED != 0);
    assert_eq!(write(&mut w, &mut a, b"hello"), 5);
    let mut got = vec![];
    w.until(100, |w| {
        read(w, &mut b, &mut got);
        got == b"hello"
    });
    assert_eq!(w.counters().tx_frames, before);
}

#[test]
fn initial_sequence_numbers_differ_and_are_not_smoltcps() {
    let mut w = World::new();
    let mut seen = vec![];
    for i in 0..3 {
        listen(&mut w, 100 + i, 4);
        dial(&mut w, 50_000 + i, 100 + i);
    }
    for _ in 0..10 {
        let at = smoltcp::time::Instant::from_micros((w.now() / 1000) as i64);
        w.peer.interface.poll(at, &mut w.peer.port, &mut w.peer.sockets);
        for f in std::mem::take(&mut w.peer.port.tx) {
            w.inject(&f);
        }
        for f in w.take_frames() {
            if f.len() >= 54 && f[23] == 6 && f[47] & 0x12 == 0x12 {
                seen.push(u32::from_be_bytes(f[38..42].try_into().unwrap()));
            }
            w.peer.port.rx.push_back(f);
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.len() >= 3, "{seen:?}");
}

#[test]
fn time_wait_costs_no_buffers_and_answers_a_repeated_fin() {
    let mut w = World::new();
    let (s, h) = pair(&mut w);
    // Our end closes first: TIME-WAIT is ours.
    w.call(&Request::Close { socket: s.handle }).unwrap();
    w.until(100, |w| w.peer.sockets.get::<Socket>(h).state() == State::CloseWait);
    w.peer.sockets.get_mut::<Socket>(h).close();
    // The acknowledgement of the peer's FIN is lost: it repeats the FIN.
    let mut frames = 0;
    w.fate = std::boxed::Box::new(move || {
        frames += 1;
        usize::from(frames != 2)
    });
    w.until(5000, |w| w.peer.sockets.get::<Socket>(h).state() == State::Closed);
    let c = w.counters();
    assert_eq!((c.sockets_all, c.pages, c.buffer_bytes), (0, 0, 0));
    // The same ports again: a new connection may begin at once.
    let listener = listen(&mut w, 7, 4);
    dial(&mut w, 40_000, 7);
    accept(&mut w, listener);
}

#[test]
fn a_peer_that_takes_nothing_does_not_hold_a_closed_socket_for_ever() {
    let mut w = World::new();
    let (mut s, h) = pair(&mut w);
    // More than the peer's window takes, and the peer never reads.
    let mut sent = 0;
    while sent < 150_000 {
        sent += write(&mut w, &mut s, &pattern(sent, 150_000 - sent));
        w.step(1_000_000);
    }
    w.call(&Request::Close { socket: s.handle }).unwrap();
    assert_eq!(w.counters().sockets_all, 1);
    // It acknowledges each probe of its closed window.
    for _ in 0..400 {
        w.step(250_000_000);
    }
    assert_eq!(w.peer.sockets.get::<Socket>(h).state(), State::Closed);
    let c = w.counters();
    assert_eq!((c.sockets_all, c.pages, c.buffer_bytes), (0, 0, 0));
}

#[test]
fn what_an_earlier_incarnation_closed_is_not_finished() {
    let mut w = World::new();
    let (mut s, h) = pair(&mut w);
    let mut sent = 0;
    while sent < 150_000 {
        sent += write(&mut w, &mut s, &pattern(sent, 150_000 - sent));
        w.step(1_000_000);
    }
    w.call(&Request::Close { socket: s.handle }).unwrap();
    w.call(&Request::Hello { version: strait_abi::session::VERSION }).unwrap();
    let c = w.counters();
    assert_eq!((c.sockets_all, c.pages, c.buffer_bytes), (0, 0, 0));
    w.until(10, |w| w.peer.sockets.get::<Socket>(h).state() == State::Closed);
}

#[test]
fn who_waits_for_pages_gets_those_that_others_give_back() {
    let mut w = World::with_session(64 * 1024);
    let (mut a, h) = pair(&mut w);
    // The peer fills the session through one connection, whose client reads
    // nothing.
    for _ in 0..400 {
        let tcp = w.peer.sockets.get_mut::<Socket>(h);
        if tcp.can_send() {
            tcp.send_slice(&[7; 40_000]).unwrap();
        }
        w.step(1_000_000);
    }
    // Another one gets on, from page to page.
    let (mut b, k) = pair_from(&mut w, 40_001);
    let (data, mut sent) = (pattern(0, 20_000), 0);
    w.until(1000, |w| {
        sent += if sent < data.len() { write(w, &mut b, &data[sent..]) } else { 0 };
        w.peer.sockets.get::<Socket>(k).recv_queue() == data.len()
    });
    b.tx.want(20_000);
    w.ring(b.handle);
    for _ in 0..100 {
        w.step(1_000_000);
    }
    assert!(b.tx.room() <= 8192, "the test must bring about what it is about");
    // The first client reads, and tells nobody.
    w.until(200, |_| {
        let n = a.rx.available();
        a.rx.consume(n);
        b.tx.room() >= 20_000
    });
}
