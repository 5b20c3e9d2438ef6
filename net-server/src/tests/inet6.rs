//! AF_INET6: loopback, sockets for both versions, what bind(2) and connect(2)
//! say. Expectations are Linux' (ipv6(7)).

extern crate std;

use std::{string::ToString, vec, vec::Vec};

use smoltcp::socket::tcp::{Socket, SocketBuffer};
use strait_abi::{Address, Errno, net::Request, session::status, socket as c};

use super::world::{ClientSocket, SERVER_IP, World};

fn accept(w: &mut World, listener: &ClientSocket) -> (ClientSocket, Address) {
    w.until(1000, |w| w.status(listener.handle) & status::IN != 0);
    let (handle, peer) = w.call(&Request::Accept { socket: listener.handle }).unwrap();
    (w.attached(handle as u16), Address::from_bytes(&peer).unwrap())
}

fn listen(w: &mut World, address: &str) -> ClientSocket {
    let s = w.socket6(c::SOCK_STREAM);
    w.bind(&s, address).unwrap();
    w.call(&Request::Listen { socket: s.handle, backlog: 4 }).unwrap();
    s
}

fn write(w: &mut World, s: &mut ClientSocket, bytes: &[u8]) -> usize {
    let n = bytes.len().min(s.tx.room() as usize);
    s.tx.want(bytes.len() as u32);
    s.tx.stage(0, &bytes[..n]).unwrap();
    s.tx.commit(n as u32);
    w.ring(s.handle);
    n
}

fn read(w: &mut World, s: &mut ClientSocket, into: &mut Vec<u8>) {
    let (n, at) = (s.rx.available(), into.len());
    into.resize(at + n as usize, 0);
    s.rx.copy(0, &mut into[at..]).unwrap();
    s.rx.consume(n);
    if n > 0 && w.status(s.handle) & status::RING_ON_DRAIN != 0 {
        w.ring(s.handle);
    }
}

#[test]
fn a_stream_over_loopback() {
    let mut w = World::new();
    let listener = listen(&mut w, "[::1]:80");
    let mut client = w.socket6(c::SOCK_STREAM);
    assert_eq!(w.connect(&client, "[::1]:80"), Err(Errno::EINPROGRESS));
    let (mut server, peer) = accept(&mut w, &listener);
    assert_eq!(peer.to_inet().unwrap().to_string(), w.local(&client));
    assert_eq!(w.peer_of(&client).unwrap(), "[::1]:80");
    assert_eq!(w.local(&server), "[::1]:80");
    let data: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
    let (mut sent, mut got) = (0, vec![]);
    w.until(10_000, |w| {
        if sent < data.len() {
            sent += write(w, &mut client, &data[sent..]);
        }
        read(w, &mut server, &mut got);
        got.len() == data.len()
    });
    assert!(got == data);
    w.call(&Request::Close { socket: client.handle }).unwrap();
    w.until(100, |w| w.status(server.handle) & status::RDHUP != 0);
    // Nobody listens there.
    let refused = w.socket6(c::SOCK_STREAM);
    assert_eq!(w.connect(&refused, "[::1]:81"), Err(Errno::EINPROGRESS));
    w.until(100, |w| w.status(refused.handle) & status::ERR != 0);
    assert_eq!(w.error(&refused), Some(Errno::ECONNREFUSED));
    // The unspecified address means this host.
    let any = w.socket6(c::SOCK_STREAM);
    assert_eq!(w.connect(&any, "[::]:80"), Err(Errno::EINPROGRESS));
    assert!(accept(&mut w, &listener).1.to_inet().unwrap().to_string().starts_with("[::1]:"));
}

#[test]
fn one_listener_for_both_versions() {
    let mut w = World::new();
    let listener = listen(&mut w, "[::]:80");
    let h = w.peer.sockets.add(Socket::new(SocketBuffer::new(vec![0; 4096]), SocketBuffer::new(vec![0; 4096])));
    let cx = w.peer.interface.context();
    let to = core::net::SocketAddr::from((SERVER_IP, 80));
    w.peer.sockets.get_mut::<Socket>(h).connect(cx, to, 40_000).unwrap();
    let (s, peer) = accept(&mut w, &listener);
    assert_eq!(peer.to_inet().unwrap().to_string(), "[::ffff:10.0.2.2]:40000");
    assert_eq!(w.peer_of(&s).unwrap(), "[::ffff:10.0.2.2]:40000");
    assert_eq!(w.local(&s), "[::ffff:10.0.2.15]:80");
    assert_eq!(w.get_int(&s, c::SOL_SOCKET, c::SO_DOMAIN), Ok(10));
    // By way of a mapped address, on loopback.
    let client = w.socket6(c::SOCK_STREAM);
    assert_eq!(w.connect(&client, "[::ffff:127.0.0.1]:80"), Err(Errno::EINPROGRESS));
    let (_, peer) = accept(&mut w, &listener);
    assert_eq!(peer.to_inet().unwrap().to_string(), w.local(&client));
    // A listener for IPv4 alone gets what is IPv4.
    let only = w.socket(c::SOCK_STREAM);
    assert_eq!(w.bind(&only, "0.0.0.0:80"), Err(Errno::EADDRINUSE));
}

#[test]
fn who_excludes_whom() {
    // First, its IPV6_V6ONLY, second, its IPV6_V6ONLY, whether that is refused.
    for (a, only_a, b, only_b, refused) in [
        ("[::]:9", false, "0.0.0.0:9", false, true),
        ("[::]:9", true, "0.0.0.0:9", false, false),
        ("0.0.0.0:9", false, "[::]:9", false, true),
        ("0.0.0.0:9", false, "[::]:9", true, false),
        ("0.0.0.0:9", false, "[::1]:9", false, false),
        ("[::]:9", false, "127.0.0.1:9", false, true),
        ("[::]:9", true, "[::1]:9", true, true),
        ("[::]:9", false, "[::ffff:127.0.0.1]:9", false, true),
        ("127.0.0.1:9", false, "[::ffff:127.0.0.1]:9", false, true),
        ("127.0.0.1:9", false, "[::1]:9", false, false),
    ] {
        let mut w = World::new();
        for kind in [c::SOCK_STREAM, c::SOCK_DGRAM] {
            let mut make = |address: &str, only: bool| {
                let s = if address.starts_with('[') { w.socket6(kind) } else { w.socket(kind) };
                if only {
                    w.set_int(&s, c::IPPROTO_IPV6, c::IPV6_V6ONLY, 1).unwrap();
                }
                w.bind(&s, address)
            };
            make(a, only_a).unwrap();
            let result = make(b, only_b);
            assert_eq!(result, if refused { Err(Errno::EADDRINUSE) } else { Ok(()) }, "{a} {only_a} {b} {only_b}");
        }
    }
}

#[test]
fn datagrams_of_both_versions() {
    let mut w = World::new();
    let mut s = w.socket6(c::SOCK_DGRAM);
    assert_eq!(w.local(&s), "[::]:0");
    w.bind(&s, "[::]:7").unwrap();
    let (mut four, mut six) = (w.socket(c::SOCK_DGRAM), w.socket6(c::SOCK_DGRAM));
    w.send(&mut four, Some("127.0.0.1:7".parse().unwrap()), b"four");
    w.send(&mut six, Some("[::1]:7".parse().unwrap()), b"six");
    for _ in 0..4 {
        w.step(1000);
    }
    let mut from = vec![];
    for data in [&b"four"[..], b"six"] {
        let (address, bytes) = w.receive(&mut s).unwrap();
        assert_eq!(bytes, data);
        from.push(address.to_inet().unwrap());
    }
    assert!(from[0].to_string().starts_with("[::ffff:127.0.0.1]:"));
    assert!(from[1].to_string().starts_with("[::1]:"));
    // Answers to both, by the addresses that were shown.
    for to in from {
        w.send(&mut s, Some(to), b"back");
    }
    for _ in 0..4 {
        w.step(1000);
    }
    assert_eq!(w.receive(&mut four).unwrap().0.to_inet().unwrap().to_string(), "127.0.0.1:7");
    assert_eq!(w.receive(&mut six).unwrap().0.to_inet().unwrap().to_string(), "[::1]:7");
    // The longest datagram.
    let data = vec![7; 65_527];
    w.send(&mut six, Some("[::1]:7".parse().unwrap()), &data);
    for _ in 0..4 {
        w.step(1000);
    }
    assert!(w.receive(&mut s).unwrap().1 == data);
    // Nobody there: a connected socket learns of it.
    w.connect(&six, "[::1]:8").unwrap();
    w.send(&mut six, None, b"x");
    w.until(10, |w| w.status(six.handle) & status::ERR != 0);
    assert_eq!(w.error(&six), Some(Errno::ECONNREFUSED));
}

#[test]
fn addresses_that_do_not_fit() {
    let mut w = World::new();
    for kind in [c::SOCK_STREAM, c::SOCK_DGRAM] {
        let (four, six, only) = (w.socket(kind), w.socket6(kind), w.socket6(kind));
        w.set_int(&only, c::IPPROTO_IPV6, c::IPV6_V6ONLY, 1).unwrap();
        assert_eq!(w.set_int(&four, c::IPPROTO_IPV6, c::IPV6_V6ONLY, 1), Err(Errno::ENOPROTOOPT));
        assert_eq!(w.bind(&four, "[::1]:9"), Err(Errno::EAFNOSUPPORT));
        // (That is too short for one of its own.)
        assert_eq!(w.bind(&six, "127.0.0.1:9"), Err(Errno::EINVAL));
        assert_eq!(w.bind(&only, "[::ffff:127.0.0.1]:9"), Err(Errno::EINVAL));
        assert_eq!(w.bind(&six, "[2001:db8::1]:9"), Err(Errno::EADDRNOTAVAIL));
        assert_eq!(w.bind(&six, "[fe80::1]:9"), Err(Errno::EINVAL));
        assert_eq!(w.bind(&six, "[fe80::1%7]:9"), Err(Errno::ENODEV));
        assert_eq!(w.bind(&six, "[fe80::1%2]:9"), Err(Errno::EADDRNOTAVAIL));
        assert_eq!(w.connect(&four, "[::1]:9"), Err(Errno::EAFNOSUPPORT));
        assert_eq!(w.connect(&only, "[::ffff:127.0.0.1]:9"), Err(Errno::ENETUNREACH));
        assert_eq!(w.connect(&six, "[2001:db8::1]:9"), Err(Errno::ENETUNREACH));
        assert_eq!(w.connect(&six, "[fe80::1]:9"), Err(Errno::EINVAL));
        // Too late.
        let six = w.socket6(kind);
        w.bind(&six, "[::1]:9").unwrap();
        assert_eq!(w.set_int(&six, c::IPPROTO_IPV6, c::IPV6_V6ONLY, 1), Err(Errno::EINVAL));
        assert_eq!(w.connect(&six, "[::ffff:127.0.0.1]:9"), Err(Errno::ENETUNREACH));
        // As Linux: such a name makes it a socket of IPv6 only.
        assert_eq!(w.get_int(&six, c::IPPROTO_IPV6, c::IPV6_V6ONLY), Ok(1));
        assert_eq!(w.get_int(&only, c::IPPROTO_IPV6, c::IPV6_V6ONLY), Ok(1));
    }
    // A short sockaddr_in6 without scope is one (RFC 2133), a shorter is none.
    let s = w.socket6(c::SOCK_DGRAM);
    let address = Address::from("[::1]:10".parse::<core::net::SocketAddr>().unwrap());
    let bind = |n: usize| Request::Bind { socket: s.handle, address: &address.as_bytes()[..n] };
    assert_eq!(w.call(&bind(23)), Err(Errno::EINVAL));
    assert!(w.call(&bind(24)).is_ok());
}

#[test]
fn no_family_ends_a_connection() {
    let mut w = World::new();
    let listener = listen(&mut w, "[::1]:80");
    let client = w.socket6(c::SOCK_STREAM);
    let none = Request::Connect { socket: client.handle, address: &[0; 16] };
    // Without one there is nothing to end.
    assert!(w.call(&none).is_ok());
    assert_eq!(w.connect(&client, "[::1]:80"), Err(Errno::EINPROGRESS));
    let (server, _) = accept(&mut w, &listener);
    assert!(w.call(&none).is_ok());
    assert_eq!(w.peer_of(&client), Err(Errno::ENOTCONN));
    // As Linux: the port is shown still, but is its own no more.
    assert!(w.local(&client).starts_with("[::]:"));
    w.until(100, |w| w.status(server.handle) & status::ERR != 0);
    assert_eq!(w.error(&server), Some(Errno::ECONNRESET));
    assert_eq!(w.connect(&client, "[::ffff:127.0.0.1]:81"), Err(Errno::EINPROGRESS));
    w.until(100, |w| w.status(client.handle) & status::ERR != 0);
    assert_eq!(w.error(&client), Some(Errno::ECONNREFUSED));
    assert!(w.call(&none).is_ok());
    assert_eq!(w.connect(&client, "[::1]:80"), Err(Errno::EINPROGRESS));
    accept(&mut w, &listener);
    // What bind(2) said stays.
    let bound = w.socket6(c::SOCK_STREAM);
    w.bind(&bound, "[::1]:5001").unwrap();
    assert_eq!(w.connect(&bound, "[::1]:80"), Err(Errno::EINPROGRESS));
    accept(&mut w, &listener);
    assert!(w.call(&Request::Connect { socket: bound.handle, address: &[0; 16] }).is_ok());
    assert_eq!(w.local(&bound), "[::1]:5001");
}

#[test]
fn no_family_counts_as_ipv4() {
    let mut w = World::new();
    let (mut s, six) = (w.socket(c::SOCK_DGRAM), w.socket6(c::SOCK_DGRAM));
    let mut any = [0; 16];
    any[2..4].copy_from_slice(&7u16.to_be_bytes());
    let mut long = [0; 28];
    long[..16].copy_from_slice(&any);
    let mut other = any;
    other[4..8].copy_from_slice(&[127, 0, 0, 1]);
    for (socket, address, result) in [
        (s.handle, &other[..], Err(Errno::EAFNOSUPPORT)),
        (six.handle, &any[..], Err(Errno::EINVAL)),
        (six.handle, &long[..], Err(Errno::EAFNOSUPPORT)),
        (s.handle, &any[..], Ok(())),
    ] {
        assert_eq!(w.call(&Request::Bind { socket, address }).map(|_| ()), result);
    }
    assert_eq!(w.local(&s), "0.0.0.0:7");
    let mut t = w.socket(c::SOCK_DGRAM);
    w.send_message(&mut t, Address::from_bytes(&other).unwrap(), &[], b"x");
    w.step(1000);
    assert_eq!(w.receive(&mut s).unwrap().1, b"x");
}
