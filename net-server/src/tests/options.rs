//! What options change in what is sent and received.

extern crate std;

use std::{boxed::Box, vec, vec::Vec};

use smoltcp::socket::{tcp, udp};
use strait_abi::{Address, Errno, control, net::Request, session::status, socket as c};

use super::{
    tcp::{accept, dial, listen, pair, pair_from, pattern, peer_addr, read, server_addr, write},
    world::{ClientSocket, SERVER_IP, World},
};

const SECOND: u64 = 1_000_000_000;

fn set(w: &mut World, s: u16, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
    w.call(&Request::SetOption { socket: s, level, name, value }).map(|_| ())
}

fn get(w: &mut World, s: u16, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
    w.call(&Request::GetOption { socket: s, level, name }).map(|(_, v)| v)
}

fn int(value: i32) -> [u8; 4] {
    value.to_ne_bytes()
}

#[test]
fn generic_options_as_linux_has_them() {
    let mut w = World::new();
    let t = w.socket(c::SOCK_STREAM).handle;
    let u = w.socket(c::SOCK_DGRAM).handle;
    for (s, kind) in [(t, c::SOCK_STREAM), (u, c::SOCK_DGRAM)] {
        for name in
            [c::SO_REUSEADDR, c::SO_REUSEPORT, c::SO_KEEPALIVE, c::SO_BROADCAST, c::SO_OOBINLINE, c::SO_DONTROUTE]
        {
            assert_eq!(get(&mut w, s, c::SOL_SOCKET, name), Ok(int(0).to_vec()), "{name}");
            assert_eq!(set(&mut w, s, c::SOL_SOCKET, name, &int(5)), Ok(()));
            assert_eq!(get(&mut w, s, c::SOL_SOCKET, name), Ok(int(1).to_vec()));
            assert_eq!(set(&mut w, s, c::SOL_SOCKET, name, &[0; 3]), Err(Errno::EINVAL));
            assert_eq!(set(&mut w, s, c::SOL_SOCKET, name, &int(0)), Ok(()));
        }
        for name in [
            c::SO_TYPE,
            c::SO_ERROR,
            c::SO_DOMAIN,
            c::SO_PROTOCOL,
            c::SO_ACCEPTCONN,
            c::SO_SNDLOWAT,
            c::SO_PEERCRED,
            999,
        ] {
            assert_eq!(set(&mut w, s, c::SOL_SOCKET, name, &int(1)), Err(Errno::ENOPROTOOPT), "{name}");
            assert_eq!(set(&mut w, s, c::SOL_SOCKET, name, &[1]), Err(Errno::EINVAL), "{name}");
        }
        assert_eq!(get(&mut w, s, c::SOL_SOCKET, 999), Err(Errno::ENOPROTOOPT));
        assert_eq!(get(&mut w, s, c::SOL_SOCKET, c::SO_SNDLOWAT), Ok(int(1).to_vec()));
        assert_eq!(set(&mut w, s, c::SOL_SOCKET, c::SO_LINGER, &[0; 4]), Err(Errno::EINVAL));
        assert_eq!(set(&mut w, s, c::SOL_SOCKET, c::SO_LINGER, &[1, 0, 0, 0, 9, 0, 0, 0]), Ok(()));
        assert_eq!(get(&mut w, s, c::SOL_SOCKET, c::SO_LINGER), Ok(vec![1, 0, 0, 0, 9, 0, 0, 0]));
        assert_eq!(set(&mut w, s, c::SOL_SOCKET, c::SO_RCVBUF, &int(20_000)), Ok(()));
        assert_eq!(get(&mut w, s, c::SOL_SOCKET, c::SO_RCVBUF), Ok(int(40_000).to_vec()));
        assert_eq!(set(&mut w, s, c::SOL_SOCKET, c::SO_RCVLOWAT, &int(0)), Ok(()));
        assert_eq!(get(&mut w, s, c::SOL_SOCKET, c::SO_RCVLOWAT), Ok(int(1).to_vec()));
        assert_eq!(set(&mut w, s, c::SOL_SOCKET, c::SO_RCVLOWAT, &int(-1)), Ok(()));
        // What a buffer can hold; that matters for streams.
        let most = |stream| int(if kind == c::SOCK_STREAM { stream } else { i32::MAX }).to_vec();
        assert_eq!(get(&mut w, s, c::SOL_SOCKET, c::SO_RCVLOWAT), Ok(most(20_000)));
        assert_eq!(set(&mut w, s, c::SOL_SOCKET, c::SO_RCVBUF, &int(5000)), Ok(()));
        assert_eq!(get(&mut w, s, c::SOL_SOCKET, c::SO_RCVLOWAT), Ok(most(5000)));
        assert_eq!(set(&mut w, s, c::SOL_SOCKET, c::SO_BINDTODEVICE, b"eth9\0"), Err(Errno::ENODEV));
        assert_eq!(get(&mut w, s, c::SOL_SOCKET, c::SO_BINDTODEVICE), Ok(vec![]));
        assert_eq!(set(&mut w, s, c::SOL_SOCKET, c::SO_BINDTODEVICE, b"lo"), Ok(()));
        assert_eq!(get(&mut w, s, c::SOL_SOCKET, c::SO_BINDTODEVICE), Ok(b"lo\0".to_vec()));
        assert_eq!(set(&mut w, s, c::SOL_SOCKET, c::SO_BINDTODEVICE, b""), Ok(()));
        assert_eq!(set(&mut w, s, 77, 1, &int(1)), Err(Errno::ENOPROTOOPT));
        assert_eq!(get(&mut w, s, 77, 1), Err(Errno::EOPNOTSUPP));
    }
    assert_eq!(set(&mut w, u, c::IPPROTO_TCP, c::TCP_NODELAY, &int(1)), Err(Errno::ENOPROTOOPT));
    assert_eq!(get(&mut w, t, c::IPPROTO_TCP, c::TCP_MAXSEG), Ok(int(536).to_vec()));
    assert_eq!(get(&mut w, t, c::IPPROTO_TCP, c::TCP_CONGESTION).unwrap()[..5], *b"reno\0");
    assert_eq!(get(&mut w, t, c::IPPROTO_TCP, c::TCP_INFO).unwrap()[0], c::TCP_CLOSE);
    assert_eq!(get(&mut w, u, c::IPPROTO_IP, c::IP_MTU), Err(Errno::ENOTCONN));
    for request in [c::SIOCSPGRP, c::SIOCGPGRP, c::FIOASYNC] {
        assert_eq!(w.call(&Request::Ioctl { socket: t, request, argument: &int(1) }), Err(Errno::EOPNOTSUPP));
    }
    assert_eq!(w.call(&Request::Ioctl { socket: t, request: 0x1234, argument: &int(1) }), Err(Errno::ENOTTY));
}

#[test]
fn an_idle_connection_lives_on() {
    let mut w = World::new();
    let (mut s, h) = pair(&mut w);
    for _ in 0..100 {
        w.step(60 * SECOND);
    }
    assert_eq!(write(&mut w, &mut s, b"still here"), 10);
    w.until(100, |w| w.peer.sockets.get::<tcp::Socket>(h).recv_queue() == 10);
    // So does the end of one that was idle.
    for _ in 0..100 {
        w.step(60 * SECOND);
    }
    w.call(&Request::Shutdown { socket: s.handle, how: c::SHUT_WR }).unwrap();
    w.until(100, |w| w.peer.sockets.get::<tcp::Socket>(h).state() == tcp::State::CloseWait);
    w.until(100, |w| w.status(s.handle) & status::DRAINED != 0);
    assert_eq!(w.status(s.handle) & status::ERR, 0);
}

#[test]
fn keep_alive_finds_out_who_is_gone() {
    let mut w = World::new();
    let (s, _) = pair(&mut w);
    for (level, name, value) in [
        (c::IPPROTO_TCP, c::TCP_KEEPIDLE, 10),
        (c::IPPROTO_TCP, c::TCP_KEEPINTVL, 5),
        (c::IPPROTO_TCP, c::TCP_KEEPCNT, 3),
        (c::SOL_SOCKET, c::SO_KEEPALIVE, 1),
    ] {
        set(&mut w, s.handle, level, name, &int(value)).unwrap();
    }
    // A peer that answers stays: a probe each ten seconds.
    let before = w.counters().tx_frames;
    for _ in 0..1000 {
        w.step(SECOND / 10);
    }
    assert_eq!(w.status(s.handle) & status::ERR, 0);
    let probes = w.counters().tx_frames - before;
    assert!((8..=11).contains(&probes), "{probes}");
    // Nothing arrives any more: an idle time, then three probes, then the end.
    w.fate = Box::new(|| 0);
    let start = w.now();
    w.until(40_000, |w| w.status(s.handle) & status::ERR != 0);
    let took = (w.now() - start) / SECOND;
    assert!((14..=26).contains(&took), "{took}");
    assert_eq!(w.error(&s), Some(Errno::ETIMEDOUT));
}

#[test]
fn a_user_timeout_ends_a_connection_that_is_not_acknowledged() {
    let mut w = World::new();
    let (mut s, _) = pair(&mut w);
    set(&mut w, s.handle, c::IPPROTO_TCP, c::TCP_USER_TIMEOUT, &int(7000)).unwrap();
    w.fate = Box::new(|| 0);
    write(&mut w, &mut s, b"x");
    let start = w.now();
    w.until(20_000, |w| w.status(s.handle) & status::ERR != 0);
    let took = (w.now() - start) / 1_000_000;
    // From the first time on that it was sent again.
    assert!((7900..=8300).contains(&took), "{took}");
    assert_eq!(w.error(&s), Some(Errno::ETIMEDOUT));
}

/// Lengths of the data in the TCP segments that the server sends in a step.
fn segments(w: &mut World) -> Vec<usize> {
    w.step(0);
    let data = |f: &Vec<u8>| {
        let total = usize::from(u16::from_be_bytes([f[16], f[17]]));
        total - 20 - usize::from(f[46] >> 4) * 4
    };
    w.seen.iter().filter(|f| f.len() >= 54 && f[23] == 6).map(data).filter(|n| *n > 0).collect()
}

#[test]
fn a_cork_holds_partial_segments_back_for_200_ms() {
    let mut w = World::new();
    let (mut s, _) = pair(&mut w);
    let queued = |w: &mut World, s: &ClientSocket| {
        let (_, v) = w.call(&Request::Ioctl { socket: s.handle, request: c::SIOCOUTQ, argument: &[0; 4] }).unwrap();
        i32::from_ne_bytes(v.try_into().unwrap())
    };
    set(&mut w, s.handle, c::IPPROTO_TCP, c::TCP_CORK, &int(1)).unwrap();
    while s.tx.room() < 3000 {
        s.tx.want(3000);
        w.ring(s.handle);
        w.step(1000);
    }
    // The peer never sees these frames: they are taken away.
    write(&mut w, &mut s, &pattern(0, 100));
    w.fate = Box::new(|| 0);
    let before = w.counters().tx_frames;
    w.ring(s.handle);
    w.step(1000);
    assert_eq!(queued(&mut w, &s), 100);
    w.step(SECOND / 10);
    w.step(1000);
    assert_eq!(w.counters().tx_frames, before);
    w.step(SECOND / 10);
    w.step(1000);
    assert_eq!(w.counters().tx_frames, before + 1);
    assert_eq!(queued(&mut w, &s), 100, "not acknowledged");
    // Without the cork, at once: whole segments go anyway, the rest then.
    set(&mut w, s.handle, c::IPPROTO_TCP, c::TCP_NODELAY, &int(1)).unwrap();
    write(&mut w, &mut s, &pattern(0, 1470));
    w.step(1000);
    assert_eq!(w.counters().tx_frames, before + 2);
    set(&mut w, s.handle, c::IPPROTO_TCP, c::TCP_CORK, &int(0)).unwrap();
    assert_eq!(w.counters().tx_frames, before + 3);
}

#[test]
fn a_hold_of_the_client_is_one_until_the_next_write() {
    let mut w = World::new();
    let (mut s, h) = pair(&mut w);
    s.tx.hold(true);
    write(&mut w, &mut s, b"first ");
    for _ in 0..50 {
        w.step(1_000_000);
    }
    assert_eq!(w.peer.sockets.get::<tcp::Socket>(h).recv_queue(), 0);
    s.tx.hold(false);
    write(&mut w, &mut s, b"second");
    w.step(1_000_000);
    w.step(1_000_000);
    assert_eq!(w.peer.sockets.get::<tcp::Socket>(h).recv_queue(), 12);
}

#[test]
fn segments_are_as_long_as_asked() {
    let mut w = World::new();
    let listener = listen(&mut w, 7, 4);
    set(&mut w, listener, c::IPPROTO_TCP, c::TCP_MAXSEG, &int(500)).unwrap();
    assert_eq!(get(&mut w, listener, c::IPPROTO_TCP, c::TCP_MAXSEG), Ok(int(500).to_vec()));
    dial(&mut w, 40_000, 7);
    let (mut s, _) = accept(&mut w, listener);
    assert_eq!(get(&mut w, s.handle, c::IPPROTO_TCP, c::TCP_MAXSEG), Ok(int(500).to_vec()));
    while s.tx.room() < 1200 {
        s.tx.want(1200);
        w.ring(s.handle);
        w.step(1000);
    }
    s.tx.stage(0, &pattern(0, 1200)).unwrap();
    s.tx.commit(1200);
    w.fate = Box::new(|| 0);
    w.ring(s.handle);
    // What leaves is looked at before the peer gets it.
    w.seen.clear();
    w.call(&Request::Shutdown { socket: s.handle, how: c::SHUT_WR }).unwrap();
    assert_eq!(segments(&mut w), [500, 500, 200]);
}

#[test]
fn the_peer_learns_of_a_smaller_segment() {
    let mut w = World::new();
    let s = w.socket(c::SOCK_STREAM);
    set(&mut w, s.handle, c::IPPROTO_TCP, c::TCP_MAXSEG, &int(400)).unwrap();
    let h = w
        .peer
        .sockets
        .add(tcp::Socket::new(tcp::SocketBuffer::new(vec![0; 65535]), tcp::SocketBuffer::new(vec![0; 65535])));
    w.peer.sockets.get_mut::<tcp::Socket>(h).listen(80).unwrap();
    let to = Address::from(peer_addr(80));
    let _ = w.call(&Request::Connect { socket: s.handle, address: to.as_bytes() });
    w.until(100, |w| w.peer.sockets.get::<tcp::Socket>(h).state() == tcp::State::Established);
    w.peer.sockets.get_mut::<tcp::Socket>(h).send_slice(&[1; 1000]).unwrap();
    let at = smoltcp::time::Instant::from_micros((w.now() / 1000) as i64);
    w.peer.interface.poll(at, &mut w.peer.port, &mut w.peer.sockets);
    let lengths: Vec<usize> = w.peer.port.tx.iter().map(Vec::len).collect();
    // The rest waits for these (RFC 896).
    assert_eq!(lengths, [454, 454]);
}

#[test]
fn time_to_live_and_type_of_service_are_on_the_wire() {
    let mut w = World::new();
    let (mut s, h) = pair(&mut w);
    set(&mut w, s.handle, c::IPPROTO_IP, c::IP_TOS, &int(0xb8)).unwrap();
    set(&mut w, s.handle, c::IPPROTO_IP, c::IP_TTL, &int(3)).unwrap();
    write(&mut w, &mut s, b"x");
    // smoltcp on the other side checks the sum of the header.
    w.until(100, |w| w.peer.sockets.get::<tcp::Socket>(h).recv_queue() == 1);
    let mut u = w.socket(c::SOCK_DGRAM);
    w.set_int(&u, c::IPPROTO_IP, c::IP_TOS, 0x1c).unwrap();
    let mut control = [0; 64];
    let mut used = 0;
    let item = control::Item { level: c::IPPROTO_IP, kind: c::IP_TTL, value: &int(9) };
    assert!(control::put(&mut control, &mut used, item));
    for (control, want) in [(&[][..], (0x1c, 64)), (&control[..used], (0x1c, 9))] {
        w.send_message(&mut u, Address::from(peer_addr(5)), control, b"hello");
        w.step(0);
        let all: Vec<(u8, u8)> = w.seen.iter().filter(|f| f[23] == 17).map(|f| (f[15], f[22])).collect();
        assert_eq!(all.last(), Some(&want));
    }
    let tcp: Vec<(u8, u8)> = w.seen.iter().filter(|f| f.len() == 55 && f[23] == 6).map(|f| (f[15], f[22])).collect();
    assert_eq!(tcp, [(0xb8, 3)]);
    for (kind, value) in [(c::IP_TTL, &int(0)[..]), (c::IP_TTL, &[1]), (77, &int(1))] {
        let (mut control, mut used) = ([0; 64], 0);
        assert!(control::put(&mut control, &mut used, control::Item { level: c::IPPROTO_IP, kind, value }));
        w.send_message(&mut u, Address::from(peer_addr(5)), &control[..used], b"hello");
        w.step(1000);
        assert_eq!(w.error(&u), Some(Errno::EINVAL));
    }
}

#[test]
fn datagrams_come_with_what_their_headers_said() {
    let mut w = World::new();
    let mut s = w.socket(c::SOCK_DGRAM);
    w.bind(&s, "0.0.0.0:7").unwrap();
    for (level, name) in [
        (c::IPPROTO_IP, c::IP_PKTINFO),
        (c::IPPROTO_IP, c::IP_RECVTTL),
        (c::IPPROTO_IP, c::IP_RECVTOS),
        (c::SOL_SOCKET, c::SO_TIMESTAMP),
    ] {
        w.set_int(&s, level, name, 1).unwrap();
    }
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 4], vec![0; 4000]);
    let mut peer = udp::Socket::new(buffer(), buffer());
    peer.bind(2000).unwrap();
    peer.set_hop_limit(Some(33));
    let h = w.peer.sockets.add(peer);
    w.peer.sockets.get_mut::<udp::Socket>(h).send_slice(b"data", server_addr(7)).unwrap();
    let mut got = None;
    w.until(100, |w| {
        got = w.receive_message(&mut s);
        got.is_some()
    });
    let (from, bytes, data) = got.unwrap();
    assert_eq!((from.to_inet(), &data[..]), (Ok(peer_addr(2000)), &b"data"[..]));
    let items: Vec<_> = control::items(&bytes).map(Result::unwrap).collect();
    let kinds: Vec<_> = items.iter().map(|i| (i.level, i.kind, i.value.len())).collect();
    assert_eq!(
        kinds,
        [
            (c::SOL_SOCKET, c::SCM_TIMESTAMP, 16),
            (c::IPPROTO_IP, c::IP_PKTINFO, 12),
            (c::IPPROTO_IP, c::IP_TTL, 4),
            (c::IPPROTO_IP, c::IP_TOS, 1)
        ]
    );
    assert_eq!(items[0].value[..8], (w.now() / SECOND).to_ne_bytes());
    let mut info = vec![2, 0, 0, 0];
    info.extend([SERVER_IP, SERVER_IP].concat());
    assert_eq!((items[1].value, items[2].value, items[3].value), (&info[..], &int(33)[..], &[0][..]));
}

#[test]
fn one_of_those_that_share_a_port_takes_a_connection() {
    let mut w = World::with_session(8 << 20);
    let sharer = |w: &mut World, kind| {
        let s = w.socket(kind);
        w.set_int(&s, c::SOL_SOCKET, c::SO_REUSEPORT, 1).unwrap();
        w.bind(&s, "0.0.0.0:9").unwrap();
        s
    };
    let listeners: Vec<_> = (0..4).map(|_| sharer(&mut w, c::SOCK_STREAM)).collect();
    for s in &listeners {
        w.call(&Request::Listen { socket: s.handle, backlog: 64 }).unwrap();
    }
    for port in 0..64 {
        dial(&mut w, 41_000 + port, 9);
        w.step(1_000_000);
    }
    for _ in 0..10 {
        w.step(1_000_000);
    }
    let mut taken = listeners.iter().map(|s| {
        let mut n = 0;
        while w.call(&Request::Accept { socket: s.handle }).is_ok() {
            n += 1;
        }
        n
    });
    let counts = [taken.next().unwrap(), taken.next().unwrap(), taken.next().unwrap(), taken.next().unwrap()];
    assert_eq!(counts.iter().sum::<usize>(), 64);
    assert!(counts.iter().all(|n| (4..=32).contains(n)), "{counts:?}");
    // Alone it does not get the port.
    let s = w.socket(c::SOCK_STREAM);
    assert_eq!(w.bind(&s, "0.0.0.0:9"), Err(Errno::EADDRINUSE));
}

#[test]
fn connections_hold_the_port_of_their_listener() {
    let mut w = World::new();
    let (s, h) = pair_from(&mut w, 40_000);
    let other = w.socket(c::SOCK_STREAM);
    assert_eq!(w.bind(&other, "0.0.0.0:7"), Err(Errno::EADDRINUSE));
    // In TIME-WAIT as well, but no longer.
    w.call(&Request::Close { socket: s.handle }).unwrap();
    w.until(100, |w| w.peer.sockets.get::<tcp::Socket>(h).state() == tcp::State::CloseWait);
    w.peer.sockets.get_mut::<tcp::Socket>(h).close();
    w.until(100, |w| w.counters().sockets_all == 1);
    assert_eq!(w.bind(&other, "0.0.0.0:7"), Err(Errno::EADDRINUSE));
    w.step(61 * SECOND);
    assert_eq!(w.bind(&other, "0.0.0.0:7"), Ok(()));
}

#[test]
fn a_burst_of_200_connections_loses_none() {
    let mut w = World::with_session(16 << 20);
    let listener = listen(&mut w, 9, 256);
    // The peer knows who we are.
    dial(&mut w, 40_999, 9);
    accept(&mut w, listener);
    let handles: Vec<_> = (0..200).map(|i| dial(&mut w, 41_000 + i, 9)).collect();
    // All SYNs are on the wire before the first is answered.
    let at = smoltcp::time::Instant::from_micros((w.now() / 1000) as i64);
    w.peer.interface.poll(at, &mut w.peer.port, &mut w.peer.sockets);
    let syns: Vec<_> = w.peer.port.tx.drain(..).collect();
    assert_eq!(syns.len(), 200);
    // This driver has half as many buffers.
    for some in syns.chunks(100) {
        some.iter().for_each(|frame| assert!(w.inject(frame)));
        let answers = w.take_frames();
        w.peer.port.rx.extend(answers);
    }
    w.until(200, |w| handles.iter().all(|h| w.peer.sockets.get::<tcp::Socket>(*h).state() == tcp::State::Established));
    for _ in 0..200 {
        accept(&mut w, listener);
    }
}

#[test]
fn devices_and_routes_are_kept_to() {
    let mut w = World::new();
    let mut s = w.socket(c::SOCK_DGRAM);
    w.set_int(&s, c::SOL_SOCKET, c::SO_DONTROUTE, 1).unwrap();
    let far = Address::from(core::net::SocketAddr::from(([1, 1, 1, 1], 9)));
    w.send_message(&mut s, far, &[], b"x");
    w.step(1000);
    assert_eq!(w.error(&s), Some(Errno::ENETUNREACH));
    set(&mut w, s.handle, c::SOL_SOCKET, c::SO_BINDTODEVICE, b"lo").unwrap();
    w.send(&mut s, Some(peer_addr(9)), b"x");
    w.step(1000);
    assert_eq!(w.error(&s), Some(Errno::ENETUNREACH));
    let mut t = w.socket(c::SOCK_DGRAM);
    w.bind(&t, "127.0.0.1:7").unwrap();
    w.send(&mut s, Some("127.0.0.1:7".parse().unwrap()), b"x");
    w.step(1000);
    assert!(w.receive(&mut t).is_some());
    set(&mut w, t.handle, c::SOL_SOCKET, c::SO_BINDTODEVICE, b"eth0").unwrap();
    w.send(&mut s, Some("127.0.0.1:7".parse().unwrap()), b"x");
    w.step(1000);
    assert!(w.receive(&mut t).is_none());
    let mut bytes = vec![];
    let (mut p, _) = pair(&mut w);
    read(&mut w, &mut p, &mut bytes);
    assert_eq!(get(&mut w, p.handle, c::IPPROTO_IP, c::IP_MTU), Ok(int(1500).to_vec()));
    let info = get(&mut w, p.handle, c::IPPROTO_TCP, c::TCP_INFO).unwrap();
    assert_eq!((info[0], u32::from_ne_bytes(info[16..20].try_into().unwrap())), (c::TCP_ESTABLISHED, 1460));
}

#[test]
fn what_is_sent_again_is_counted_and_not_timed() {
    let mut w = World::new();
    let (mut p, _) = pair(&mut w);
    let info = |w: &mut World, p: &ClientSocket| {
        let info = get(w, p.handle, c::IPPROTO_TCP, c::TCP_INFO).unwrap();
        let word = |at: usize| u32::from_ne_bytes(info[at..at + 4].try_into().unwrap());
        (info[2], word(68), word(100))
    };
    w.elapse(100);
    let (repeats, trip, again) = info(&mut w, &p);
    assert_eq!((repeats, again), (0, 0));
    w.fate = Box::new(|| 0);
    assert_eq!(write(&mut w, &mut p, b"lost"), 4);
    w.elapse(5000);
    let (repeats, _, again) = info(&mut w, &p);
    assert!(repeats > 1 && u32::from(repeats) == again, "{repeats} {again}");
    w.fate = Box::new(|| 1);
    w.elapse(20_000);
    let (repeats, after, _) = info(&mut w, &p);
    assert_eq!((repeats, after), (0, trip));
}
