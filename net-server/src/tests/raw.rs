//! Raw and ICMP sockets.

extern crate std;

use core::net::SocketAddr;
use std::{vec, vec::Vec};

use strait_abi::{Address, Errno, address::AF_INET6, net::Request, socket as c};

use super::{
    tcp::{peer_addr, server_addr},
    world::{ClientSocket, PEER_IP, SERVER_IP, World},
};
use crate::inet::checksum;

fn make(w: &mut World, family: u16, kind: u16, protocol: i32) -> Result<ClientSocket, Errno> {
    let request = Request::Socket { family, kind, protocol: protocol as u16 };
    w.call(&request).map(|(handle, _)| w.attached(handle as u16))
}

fn raw(w: &mut World, protocol: i32) -> ClientSocket {
    make(w, 2, c::SOCK_RAW, protocol).unwrap()
}

/// An echo message without its checksum.
fn echo(kind: u8, identifier: u16, data: &[u8]) -> Vec<u8> {
    let mut m = vec![kind, 0, 0, 0, 0, 0, 0, 1];
    m[4..6].copy_from_slice(&identifier.to_be_bytes());
    m.extend(data);
    m
}

/// Sends and returns what became of it.
fn send(w: &mut World, s: &mut ClientSocket, to: &str, data: &[u8]) -> Result<(), Errno> {
    let to = Address::from(to.parse::<SocketAddr>().unwrap());
    w.send_message(s, to, &[], data);
    w.call(&Request::Send { socket: s.handle }).map(|_| ())
}

fn got(w: &mut World, s: &mut ClientSocket) -> Vec<Vec<u8>> {
    for _ in 0..5 {
        w.step(1_000_000);
    }
    core::iter::from_fn(|| w.receive(s).map(|(_, data)| data)).collect()
}

#[test]
fn which_sockets_there_are() {
    let mut w = World::new();
    for (family, kind, protocol, want) in [
        (2, c::SOCK_RAW, 0, Err(Errno::EPROTONOSUPPORT)),
        (2, c::SOCK_RAW, 255, Ok(())),
        (2, c::SOCK_RAW, 263, Err(Errno::EINVAL)),
        (2, c::SOCK_RAW, 262, Ok(())),
        (2, c::SOCK_DGRAM, 1, Ok(())),
        (2, c::SOCK_DGRAM, 58, Err(Errno::EPROTONOSUPPORT)),
        (AF_INET6, c::SOCK_DGRAM, 58, Ok(())),
        (AF_INET6, c::SOCK_DGRAM, 1, Err(Errno::EPROTONOSUPPORT)),
        (2, c::SOCK_STREAM, 17, Err(Errno::EPROTONOSUPPORT)),
        (2, c::SOCK_SEQPACKET, 0, Err(Errno::ESOCKTNOSUPPORT)),
    ] {
        assert_eq!(make(&mut w, family, kind, protocol).map(|_| ()), want, "{family} {kind} {protocol}");
    }
    let s = raw(&mut w, 99);
    assert_eq!(w.local(&s), "0.0.0.0:99");
    assert_eq!(w.call(&Request::Listen { socket: s.handle, backlog: 1 }), Err(Errno::EOPNOTSUPP));
}

#[test]
fn pings_are_answered_to_who_asked() {
    let mut w = World::new();
    let mut a = make(&mut w, 2, c::SOCK_DGRAM, c::IPPROTO_ICMP).unwrap();
    let mut b = make(&mut w, 2, c::SOCK_DGRAM, c::IPPROTO_ICMP).unwrap();
    w.bind(&b, "0.0.0.0:77").unwrap();
    // The identifier is the socket's, whatever it says.
    for to in ["10.0.2.15:0", "127.0.0.1:0"] {
        assert_eq!(send(&mut w, &mut a, to, &echo(8, 1, b"a")), Ok(()));
        assert_eq!(send(&mut w, &mut b, to, &echo(8, 1, b"b")), Ok(()));
        let (to_a, to_b) = (got(&mut w, &mut a), got(&mut w, &mut b));
        assert_eq!((to_a.len(), to_b.len()), (1, 1), "{to}");
        assert_eq!((to_a[0][0], &to_a[0][8..], &to_b[0][8..]), (0, &b"a"[..], &b"b"[..]));
        assert_eq!(to_b[0][4..6], 77u16.to_be_bytes());
        assert_eq!(checksum::of(&to_b[0]), 0);
    }
    let port: u16 = w.local(&a).rsplit(':').next().unwrap().parse().unwrap();
    assert!(port != 0 && port != 77);
    // Only requests, and whole ones.
    for bad in [&echo(0, 1, b"")[..], &echo(13, 1, b""), &[8, 1, 0, 0, 0, 0, 0, 0], &[8, 0, 0, 0, 0, 0, 0], b""] {
        assert_eq!(send(&mut w, &mut a, "10.0.2.2:0", bad), Err(Errno::EINVAL));
    }
    w.connect(&a, "10.0.2.2:0").unwrap();
    assert_eq!(w.peer_of(&a), Err(Errno::ENOTCONN));
}

#[test]
fn pings_of_ipv6() {
    let mut w = World::new();
    let mut a = make(&mut w, AF_INET6, c::SOCK_DGRAM, c::IPPROTO_ICMPV6).unwrap();
    let mut copy = make(&mut w, AF_INET6, c::SOCK_RAW, c::IPPROTO_ICMPV6).unwrap();
    assert_eq!(send(&mut w, &mut a, "[::1]:0", &echo(128, 1, b"six")), Ok(()));
    let answers = got(&mut w, &mut a);
    assert_eq!((answers.len(), answers[0][0], &answers[0][8..]), (1, 129, &b"six"[..]));
    // Request and reply, without the IP header.
    let kinds: Vec<u8> = got(&mut w, &mut copy).iter().map(|m| m[0]).collect();
    assert_eq!(kinds, [128, 129]);
    // Requests are not wanted any more; their checksum is the server's work.
    let mut filter = [0; 32];
    filter[16] = 1;
    let set = Request::SetOption { socket: copy.handle, level: c::SOL_ICMPV6, name: c::ICMPV6_FILTER, value: &filter };
    w.call(&set).unwrap();
    assert_eq!(send(&mut w, &mut copy, "[::1]:0", &echo(128, 9, b"raw")), Ok(()));
    let kinds: Vec<u8> = got(&mut w, &mut copy).iter().map(|m| m[0]).collect();
    assert_eq!(kinds, [129]);
    assert_eq!(send(&mut w, &mut copy, "[::1]:0", &[128, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(w.get_int(&copy, c::SOL_RAW, c::IPV6_CHECKSUM), Ok(2));
    assert_eq!(w.set_int(&copy, c::IPPROTO_IPV6, c::IPV6_CHECKSUM, 2), Err(Errno::EINVAL));
    assert_eq!(w.set_int(&copy, c::SOL_RAW, c::IPV6_CHECKSUM, 3), Err(Errno::EINVAL));
}

#[test]
fn every_raw_socket_gets_a_copy_with_its_header() {
    let mut w = World::new();
    let (mut a, mut b) = (raw(&mut w, c::IPPROTO_UDP), raw(&mut w, c::IPPROTO_UDP));
    let mut elsewhere = raw(&mut w, c::IPPROTO_UDP);
    w.bind(&elsewhere, "127.0.0.1:0").unwrap();
    let mut from_others = raw(&mut w, c::IPPROTO_UDP);
    w.connect(&from_others, "10.0.2.77:0").unwrap();
    let mut icmp = raw(&mut w, c::IPPROTO_ICMP);
    let mut u = w.socket(c::SOCK_DGRAM);
    w.bind(&u, "0.0.0.0:7").unwrap();
    let mut sender = w.socket(c::SOCK_DGRAM);
    w.send(&mut sender, Some(server_addr(7)), b"data");
    for s in [&mut a, &mut b] {
        let copies = got(&mut w, s);
        assert_eq!(copies.len(), 1);
        assert_eq!((copies[0][0], copies[0][9], &copies[0][28..]), (0x45, 17, &b"data"[..]));
        assert_eq!(copies[0][12..20], [SERVER_IP, SERVER_IP].concat());
    }
    assert_eq!(got(&mut w, &mut u), [b"data"]);
    for s in [&mut elsewhere, &mut from_others, &mut icmp] {
        assert_eq!(got(&mut w, s).len(), 0);
    }
    for s in [a, b, elsewhere, from_others, icmp, u, sender] {
        w.call(&Request::Close { socket: s.handle }).unwrap();
    }
    assert_eq!((w.counters().sockets_all, w.counters().pages_all), (0, 0));
}

#[test]
fn icmp_types_can_be_filtered() {
    let mut w = World::new();
    let mut s = raw(&mut w, c::IPPROTO_ICMP);
    let other = raw(&mut w, 99);
    let filter = (!(1u32 << 0)) as i32;
    assert_eq!(w.set_int(&s, c::SOL_RAW, c::ICMP_FILTER, filter), Ok(()));
    assert_eq!(w.get_int(&s, c::SOL_RAW, c::ICMP_FILTER), Ok(filter));
    assert_eq!(w.set_int(&other, c::SOL_RAW, c::ICMP_FILTER, filter), Err(Errno::EOPNOTSUPP));
    let u = w.socket(c::SOCK_DGRAM);
    assert_eq!(w.set_int(&u, c::SOL_RAW, c::ICMP_FILTER, filter), Err(Errno::ENOPROTOOPT));
    let mut request = echo(8, 5, b"x");
    let sum = checksum::of(&request);
    request[2..4].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(send(&mut w, &mut s, "127.0.0.1:0", &request), Ok(()));
    let copies = got(&mut w, &mut s);
    // Of request and reply the reply.
    assert_eq!((copies.len(), copies[0][20], &copies[0][28..]), (1, 0, &b"x"[..]));
}

#[test]
fn headers_are_the_servers_or_the_clients() {
    let mut w = World::new();
    let mut s = raw(&mut w, 253);
    w.set_int(&s, c::IPPROTO_IP, c::IP_TOS, 0x10).unwrap();
    assert_eq!(send(&mut w, &mut s, "10.0.2.2:0", b"payload"), Ok(()));
    for _ in 0..5 {
        w.step(1_000_000);
    }
    let last = |w: &World| w.seen.iter().rfind(|f| f[12..14] == [8, 0]).unwrap()[14..].to_vec();
    let p = last(&w);
    assert_eq!((p[0], p[1], p[9], &p[20..27]), (0x45, 0x10, 253, &b"payload"[..]));
    assert_eq!((p[12..20].to_vec(), checksum::of(&p[..20])), ([SERVER_IP, PEER_IP].concat(), 0));
    // Its own header: what is missing is put in.
    assert_eq!(w.set_int(&s, c::IPPROTO_IP, c::IP_HDRINCL, 1), Ok(()));
    let mut own = vec![0x46, 3, 9, 9, 7, 7, 0, 0, 5, 111, 1, 1, 0, 0, 0, 0];
    own.extend(PEER_IP);
    own.extend([1, 1, 1, 0, 42]);
    assert_eq!(send(&mut w, &mut s, "10.0.2.2:0", &own), Ok(()));
    w.step(1_000_000);
    let p = last(&w);
    assert_eq!((p[0], p[1], p[8], p[9], p[24]), (0x46, 3, 5, 111, 42));
    assert_eq!((p[2..4].to_vec(), p[12..16].to_vec(), checksum::of(&p[..24])), (vec![0, 25], SERVER_IP.to_vec(), 0));
    for bad in [&own[..19], &[&[0x4f][..], &own[1..]].concat(), &[&[0x65][..], &own[1..]].concat()] {
        assert_eq!(send(&mut w, &mut s, "10.0.2.2:0", bad), Err(Errno::EINVAL));
    }
    let u = w.socket(c::SOCK_DGRAM);
    assert_eq!(w.set_int(&u, c::IPPROTO_IP, c::IP_HDRINCL, 1), Err(Errno::ENOPROTOOPT));
    assert_eq!(send(&mut w, &mut s, &std::format!("{}", peer_addr(0)), &[]), Err(Errno::EINVAL));
}
