//! Multicast and broadcast: who hears what, what is said on the wire, and the
//! options (ip(7), ipv6(7)). Expectations are Linux'.

extern crate std;

use core::net::{IpAddr, SocketAddr};
use std::{vec, vec::Vec};

use smoltcp::wire::IpProtocol;
use strait_abi::{Errno, net::Request, socket as c};

use super::{
    ndp,
    world::{ClientSocket, World},
};
use crate::inet::{checksum, ip};

const GROUP: [u8; 4] = [239, 1, 2, 3];

fn option(w: &mut World, s: &ClientSocket, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
    w.call(&Request::SetOption { socket: s.handle, level, name, value }).map(|_| ())
}

fn mreqn(interface: u32) -> Vec<u8> {
    [&GROUP[..], &[0; 4], &interface.to_ne_bytes()].concat()
}

fn mreq6(group: &str, interface: u32) -> Vec<u8> {
    let group: core::net::Ipv6Addr = group.parse().unwrap();
    [&group.octets()[..], &interface.to_ne_bytes()].concat()
}

/// An IPv4 frame to a group from the peer.
fn frame(to: [u8; 4], protocol: IpProtocol, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 20 + body.len()];
    packet[20..].copy_from_slice(body);
    ip::write_header(&mut packet, [10, 0, 2, 2].into(), to.into(), protocol, 1);
    let mut frame = vec![1, 0, 0x5e, to[1] & 0x7f, to[2], to[3], 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend(packet);
    frame
}

fn datagram(to: [u8; 4], port: u16) -> Vec<u8> {
    let [a, b] = port.to_be_bytes();
    frame(to, IpProtocol::Udp, &[0x10, 0, a, b, 0, 9, 0, 0, b'x'])
}

fn igmp(mut message: Vec<u8>) -> Vec<u8> {
    let sum = checksum::of(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    frame([224, 0, 0, 1], IpProtocol::Igmp, &message)
}

fn shared(w: &mut World, port: u16) -> ClientSocket {
    let s = w.socket(c::SOCK_DGRAM);
    w.set_int(&s, c::SOL_SOCKET, c::SO_REUSEADDR, 1).unwrap();
    w.bind(&s, &std::format!("0.0.0.0:{port}")).unwrap();
    s
}

/// IGMP messages that were sent.
fn reports(w: &mut World) -> Vec<Vec<u8>> {
    let all = w.sent();
    let igmp = all.iter().filter(|f| f[12..14] == [8, 0] && f[23] == 2);
    igmp.map(|f| {
        assert_eq!(checksum::of(&f[14..38]), 0);
        assert_eq!((f[22], &f[34..38]), (1, &[0x94, 4, 0, 0][..]));
        assert_eq!(checksum::of(&f[38..]), 0);
        f[38..].to_vec()
    })
    .collect()
}

#[test]
fn a_group_is_heard_by_every_socket_at_the_port() {
    let mut w = World::fresh();
    w.sent();
    let (mut a, mut b, mut other) = (shared(&mut w, 5000), shared(&mut w, 5000), shared(&mut w, 5001));
    w.inject(&datagram(GROUP, 5000));
    w.step(1000);
    assert!(w.receive(&mut a).is_none(), "nobody has joined");
    option(&mut w, &a, c::IPPROTO_IP, c::IP_ADD_MEMBERSHIP, &mreqn(2)).unwrap();
    w.elapse(1500);
    let [one, two] = &reports(&mut w)[..] else { panic!() };
    assert_eq!(one, two);
    assert_eq!((one[0], one[7], one[8], &one[12..]), (0x22, 1, 4, &GROUP[..]));
    w.inject(&datagram(GROUP, 5000));
    w.step(1000);
    assert_eq!(w.receive(&mut a).unwrap().1, b"x");
    assert_eq!(w.receive(&mut b).unwrap().1, b"x");
    assert!(w.receive(&mut other).is_none());
    // One that wants only its own.
    w.set_int(&b, c::IPPROTO_IP, c::IP_MULTICAST_ALL, 0).unwrap();
    w.inject(&datagram(GROUP, 5000));
    w.step(1000);
    assert!(w.receive(&mut a).is_some() && w.receive(&mut b).is_none());
    // Left with its socket.
    w.call(&Request::Close { socket: a.handle }).unwrap();
    w.step(1000);
    assert_eq!(reports(&mut w)[0][8], 3);
    w.inject(&datagram(GROUP, 5000));
    w.step(1000);
    assert!(w.receive(&mut b).is_none());
}

#[test]
fn queries_are_answered_however_many_come() {
    let mut w = World::fresh();
    let s = shared(&mut w, 5000);
    option(&mut w, &s, c::IPPROTO_IP, c::IP_ADD_MEMBERSHIP, &mreqn(0)).unwrap();
    w.elapse(2000);
    w.sent();
    for _ in 0..100 {
        w.inject(&igmp(vec![0x11, 10, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0]));
    }
    w.elapse(2000);
    let [report] = &reports(&mut w)[..] else { panic!() };
    assert_eq!((report[0], report[8], &report[12..]), (0x22, 2, &GROUP[..]));
    // One of the second version is answered in that.
    w.inject(&igmp(vec![0x11, 10, 0, 0, GROUP[0], GROUP[1], GROUP[2], GROUP[3]]));
    w.elapse(2000);
    assert_eq!(reports(&mut w)[0][..2], [0x16, 0]);
    // A wrong checksum is nothing.
    let mut bad = igmp(vec![0x11, 10, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0]);
    bad[45] ^= 1;
    w.inject(&bad);
    w.elapse(2000);
    assert_eq!(reports(&mut w), [[0u8; 0]; 0]);
}

#[test]
fn sending_to_a_group() {
    let mut w = World::fresh();
    let (mut s, mut near) = (w.socket(c::SOCK_DGRAM), shared(&mut w, 5000));
    let to = Some(SocketAddr::from((GROUP, 5000)));
    let sent = |w: &mut World| {
        let of = |f: &&Vec<u8>| f[12..14] == [8, 0] && f[23] == 17;
        w.sent().iter().filter(of).map(|f| (f[..6].to_vec(), f[22])).collect::<Vec<_>>()
    };
    let mac = vec![1, 0, 0x5e, 1, 2, 3];
    w.sent();
    w.send(&mut s, to, b"x");
    w.step(1000);
    w.step(1000);
    assert_eq!(sent(&mut w), [(mac.clone(), 1)]);
    assert!(w.receive(&mut near).is_none());
    // To this host too, once it belongs to the group.
    option(&mut w, &near, c::IPPROTO_IP, c::IP_ADD_MEMBERSHIP, &mreqn(2)).unwrap();
    w.set_int(&s, c::IPPROTO_IP, c::IP_MULTICAST_TTL, 7).unwrap();
    w.send(&mut s, to, b"y");
    w.step(1000);
    w.step(1000);
    assert_eq!(sent(&mut w), [(mac.clone(), 7)]);
    let (from, data) = w.receive(&mut near).unwrap();
    assert_eq!((from.to_inet().unwrap().ip(), data), ([10, 0, 2, 15].into(), b"y".to_vec()));
    // Not back.
    w.set_int(&s, c::IPPROTO_IP, c::IP_MULTICAST_LOOP, 0).unwrap();
    w.send(&mut s, to, b"z");
    w.step(1000);
    w.step(1000);
    assert_eq!(sent(&mut w).len(), 1);
    assert!(w.receive(&mut near).is_none());
    // Only back.
    w.set_int(&s, c::IPPROTO_IP, c::IP_MULTICAST_LOOP, 1).unwrap();
    w.set_int(&s, c::IPPROTO_IP, c::IP_MULTICAST_TTL, 0).unwrap();
    w.send(&mut s, to, b"0");
    w.step(1000);
    w.step(1000);
    assert_eq!(sent(&mut w), []);
    assert!(w.receive(&mut near).is_some());
    // On loopback, where nobody joined; then somebody did.
    option(&mut w, &s, c::IPPROTO_IP, c::IP_MULTICAST_IF, &[127, 0, 0, 1]).unwrap();
    w.send(&mut s, to, b"1");
    w.step(1000);
    assert!(w.receive(&mut near).is_none());
    option(&mut w, &near, c::IPPROTO_IP, c::IP_ADD_MEMBERSHIP, &mreqn(1)).unwrap();
    w.send(&mut s, to, b"2");
    w.step(1000);
    let (from, _) = w.receive(&mut near).unwrap();
    assert_eq!(from.to_inet().unwrap().ip(), core::net::IpAddr::from([127, 0, 0, 1]));
}

#[test]
fn groups_of_ipv6() {
    let mut w = World::fresh();
    w.elapse(2000);
    let (mut s, mut t) = (w.socket6(c::SOCK_DGRAM), w.socket6(c::SOCK_DGRAM));
    w.bind(&t, "[::]:5000").unwrap();
    w.sent();
    option(&mut w, &t, c::IPPROTO_IPV6, c::IPV6_JOIN_GROUP, &mreq6("ff02::77", 2)).unwrap();
    w.elapse(10);
    let all = w.sent();
    // MLDv2: router alert, hop limit 1, from the link-local address.
    let report = all.iter().find(|f| f[20] == 0).unwrap();
    assert_eq!((report[21], &report[54..62]), (1, &[58, 0, 5, 2, 0, 0, 1, 0][..]));
    assert_eq!((report[62], report[69], report[70], report[89]), (143, 1, 4, 0x77));
    let to = "[ff02::77%2]:5000".parse().ok();
    w.send(&mut s, to, b"x");
    w.step(1000);
    w.step(1000);
    let (from, data) = w.receive(&mut t).unwrap();
    assert_eq!(data, b"x");
    assert!(std::string::ToString::to_string(&from.to_inet().unwrap()).starts_with("[fe80::ff:fe00:1%2]:"));
    let all = w.sent();
    assert_eq!((&all[0][..6], all[0][21]), (&[0x33, 0x33, 0, 0, 0, 0x77][..], 1));
    w.set_int(&s, c::IPPROTO_IPV6, c::IPV6_MULTICAST_LOOP, 0).unwrap();
    w.send(&mut s, to, b"y");
    w.step(1000);
    w.step(1000);
    assert!(w.receive(&mut t).is_none());
    // A query of the first version is answered in that, one of many.
    let mut query = vec![130, 0, 0, 0, 0, 100, 0, 0];
    query.extend([0; 16]);
    for _ in 0..50 {
        w.inject(&ndp::frame("fe80::99", "ff02::1", 1, &query));
    }
    w.elapse(500);
    let mut told: Vec<_> = w.sent().iter().filter(|f| f[20] == 0).map(|f| (f[62], f[38..54].to_vec())).collect();
    told.sort();
    told.dedup();
    // The group, and that of the port's address.
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|(kind, _)| *kind == 131));
    // Queries from afar and cut ones are nothing.
    w.inject(&ndp::frame("fe80::99", "ff02::1", 2, &query));
    w.inject(&ndp::frame("2001:db8::1", "ff02::1", 1, &query));
    for n in 4..query.len() {
        w.inject(&ndp::frame("fe80::99", "ff02::1", 1, &query[..n]));
    }
    w.elapse(500);
    assert!(w.sent().iter().all(|f| f[20] != 0));
    w.call(&Request::Close { socket: t.handle }).unwrap();
    w.elapse(10);
    assert!(w.sent().iter().any(|f| f[20] == 0 && f[62] == 132));
}

#[test]
fn options_say_what_linux_says() {
    let mut w = World::fresh();
    let (s, six, tcp) = (w.socket(c::SOCK_DGRAM), w.socket6(c::SOCK_DGRAM), w.socket6(c::SOCK_STREAM));
    let ip = c::IPPROTO_IP;
    let v6 = c::IPPROTO_IPV6;
    for (name, default) in [(c::IP_MULTICAST_TTL, 1), (c::IP_MULTICAST_LOOP, 1), (c::IP_MULTICAST_ALL, 1)] {
        assert_eq!(w.get_int(&s, ip, name), Ok(default));
        assert_eq!(option(&mut w, &s, ip, name, &[]), Err(Errno::EINVAL));
        assert_eq!(option(&mut w, &s, ip, name, &[0]), Ok(()));
        assert_eq!(w.get_int(&s, ip, name), Ok(0));
    }
    assert_eq!(w.set_int(&s, ip, c::IP_MULTICAST_TTL, 256), Err(Errno::EINVAL));
    assert_eq!(w.set_int(&s, ip, c::IP_MULTICAST_TTL, -1), Ok(()));
    assert_eq!(w.get_int(&s, ip, c::IP_MULTICAST_TTL), Ok(1));
    assert_eq!(w.set_int(&tcp, ip, c::IP_MULTICAST_TTL, 1), Err(Errno::EINVAL));
    assert_eq!(w.set_int(&tcp, v6, c::IPV6_MULTICAST_HOPS, 1), Err(Errno::ENOPROTOOPT));
    for (value, result) in
        [(-2, Err(Errno::EINVAL)), (-1, Ok(())), (0, Ok(())), (255, Ok(())), (256, Err(Errno::EINVAL))]
    {
        assert_eq!(w.set_int(&six, v6, c::IPV6_MULTICAST_HOPS, value), result);
    }
    assert_eq!(w.set_int(&six, v6, c::IPV6_MULTICAST_LOOP, 2), Err(Errno::EINVAL));
    assert_eq!(w.set_int(&six, v6, c::IPV6_MULTICAST_IF, 3), Err(Errno::ENODEV));
    assert_eq!(w.set_int(&six, v6, c::IPV6_MULTICAST_IF, 1), Ok(()));
    assert_eq!(w.get_int(&six, v6, c::IPV6_MULTICAST_IF), Ok(1));
    assert_eq!(option(&mut w, &s, ip, c::IP_MULTICAST_IF, &[10, 0, 2, 99]), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(option(&mut w, &s, ip, c::IP_MULTICAST_IF, &[10, 0, 2, 15]), Ok(()));
    assert_eq!(w.get_int(&s, ip, c::IP_MULTICAST_IF), Ok(i32::from_ne_bytes([10, 0, 2, 15])));

    let add = c::IP_ADD_MEMBERSHIP;
    assert_eq!(option(&mut w, &tcp, ip, add, &mreqn(2)), Err(Errno::EPROTO));
    assert_eq!(option(&mut w, &s, ip, add, &mreqn(2)[..7]), Err(Errno::EINVAL));
    assert_eq!(option(&mut w, &s, ip, add, &[10, 0, 2, 2, 0, 0, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(option(&mut w, &s, ip, add, &mreqn(9)), Err(Errno::ENODEV));
    assert_eq!(option(&mut w, &s, ip, add, &[239, 1, 2, 3, 10, 0, 2, 15]), Ok(()));
    assert_eq!(option(&mut w, &s, ip, add, &mreqn(0)), Err(Errno::EADDRINUSE));
    assert_eq!(option(&mut w, &s, ip, c::IP_DROP_MEMBERSHIP, &mreqn(1)), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(option(&mut w, &s, ip, c::IP_DROP_MEMBERSHIP, &mreqn(2)), Ok(()));
    for n in 0..21 {
        let result = option(&mut w, &s, ip, add, &[239, 1, 3, n, 0, 0, 0, 0]);
        assert_eq!(result, if n < 20 { Ok(()) } else { Err(Errno::ENOBUFS) });
    }
    let join = c::IPV6_JOIN_GROUP;
    assert_eq!(option(&mut w, &six, v6, join, &mreq6("ff02::77", 9)), Err(Errno::ENODEV));
    assert_eq!(option(&mut w, &six, v6, join, &mreq6("fe80::77", 2)), Err(Errno::EINVAL));
    assert_eq!(option(&mut w, &six, v6, join, &mreq6("ff02::77", 2)[..19]), Err(Errno::EINVAL));
    assert_eq!(option(&mut w, &six, v6, join, &mreq6("ff02::77", 0)), Ok(()));
    assert_eq!(option(&mut w, &six, v6, c::IPV6_LEAVE_GROUP, &mreq6("ff02::78", 2)), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(option(&mut w, &six, v6, c::IPV6_LEAVE_GROUP, &mreq6("ff02::77", 2)), Ok(()));
    let mut request = vec![0; 136];
    request[0] = 2;
    request[8..16].copy_from_slice(&[2, 0, 0, 0, 239, 1, 2, 3]);
    assert_eq!(option(&mut w, &six, v6, c::MCAST_JOIN_GROUP, &request), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(option(&mut w, &six, ip, c::MCAST_JOIN_GROUP, &request), Ok(()));
}

#[test]
fn a_broadcast_reaches_all_and_needs_leave() {
    let mut w = World::fresh();
    let (mut s, mut a, mut b) = (w.socket(c::SOCK_DGRAM), shared(&mut w, 5000), shared(&mut w, 5000));
    let mut tied = w.socket(c::SOCK_DGRAM);
    w.set_int(&tied, c::SOL_SOCKET, c::SO_REUSEADDR, 1).unwrap();
    w.bind(&tied, "10.0.2.15:5000").unwrap();
    for to in ["255.255.255.255:5000", "10.0.2.255:5000"] {
        w.set_int(&s, c::SOL_SOCKET, c::SO_BROADCAST, 0).unwrap();
        w.send(&mut s, to.parse().ok(), b"x");
        w.step(1000);
        assert_eq!(w.error(&s), Some(Errno::EACCES));
        w.set_int(&s, c::SOL_SOCKET, c::SO_BROADCAST, 1).unwrap();
        w.sent();
        w.send(&mut s, to.parse().ok(), b"x");
        w.step(1000);
        w.step(1000);
        assert!(w.sent().iter().any(|f| f[..6] == [255; 6] && f[23] == 17));
        assert!(w.receive(&mut a).is_some() && w.receive(&mut b).is_some());
        assert!(w.receive(&mut tied).is_none(), "it is bound to another address");
    }
}

#[test]
fn the_group_of_an_address_is_joined_once_and_left_with_it() {
    let mut w = World::fresh();
    w.elapse(4000);
    // All groups that a client may have: the port's own are not among them.
    while let s = w.socket6(c::SOCK_DGRAM)
        && (0..30u16).all(|n| {
            let group = std::format!("ff05::{:x}:{n:x}", s.handle);
            option(&mut w, &s, c::IPPROTO_IPV6, c::IPV6_JOIN_GROUP, &mreq6(&group, 2)).is_ok()
        })
    {}
    for _ in 0..3 {
        w.plug(false);
        w.elapse(300);
        w.plug(true);
        w.elapse(4000);
    }
    let (own, node) = ("fe80::ff:fe00:1".parse().unwrap(), "ff02::1:ff00:1".parse().unwrap());
    let (links, now) = (&mut w.server.core.links, w.server.core.now);
    assert!(links.is_local(own) && links.hears(node, 2));
    let IpAddr::V6(own) = own else { panic!() };
    links.remove_ipv6(now, own).unwrap();
    assert!(!links.hears(node, 2));
}
