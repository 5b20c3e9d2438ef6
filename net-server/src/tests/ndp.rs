//! Neighbour discovery, addresses from routers, and what a hostile neighbour can
//! do about them.

extern crate std;

use core::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::{string::ToString, vec, vec::Vec};

use proptest::prelude::*;
use smoltcp::{
    socket::tcp::{Socket, SocketBuffer},
    wire::{IpCidr, IpProtocol},
};
use strait_abi::{Address, Errno, net::Request, session::status, socket as c};

use super::world::World;
use crate::{
    inet::{checksum, ip},
    link::ETH_INDEX,
};

const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// What follows from the server's hardware address.
const OWN: &str = "fe80::ff:fe00:1";
const ROUTER: &str = "fe80::99";

fn at(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// A frame with an ICMPv6 message from a neighbour.
pub fn frame(source: &str, target: &str, hops: u8, message: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 40 + message.len()];
    packet[40..].copy_from_slice(message);
    ip::write_header(&mut packet, IpAddr::V6(at(source)), IpAddr::V6(at(target)), IpProtocol::Icmpv6, hops);
    packet[42..44].fill(0);
    let sum = checksum::transport(&packet);
    packet[42..44].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![0x33, 0x33, 0, 0, 0, 1];
    frame.extend(PEER_MAC);
    frame.extend([0x86, 0xdd]);
    frame.extend(packet);
    frame
}

fn router(lifetime: u16, options: &[&[u8]]) -> Vec<u8> {
    let mut m = vec![134, 0, 0, 0, 64, 0];
    m.extend(lifetime.to_be_bytes());
    m.extend([0; 8]);
    m.extend(options.concat());
    m
}

fn prefix(prefix: &str, len: u8, flags: u8, valid: u32, preferred: u32) -> Vec<u8> {
    let mut o = vec![3, 4, len, flags];
    o.extend(valid.to_be_bytes());
    o.extend(preferred.to_be_bytes());
    o.extend([0; 4]);
    o.extend(at(prefix).octets());
    o
}

fn servers(lifetime: u32, servers: &[&str]) -> Vec<u8> {
    let mut o = vec![25, 1 + 2 * servers.len() as u8, 0, 0];
    o.extend(lifetime.to_be_bytes());
    servers.iter().for_each(|s| o.extend(at(s).octets()));
    o
}

fn solicitation(target: &str) -> Vec<u8> {
    let mut m = vec![135, 0, 0, 0, 0, 0, 0, 0];
    m.extend(at(target).octets());
    m
}

fn advertisement(target: &str, flags: u8) -> Vec<u8> {
    let mut m = vec![136, 0, 0, 0, flags, 0, 0, 0];
    m.extend(at(target).octets());
    m.extend([2, 1]);
    m.extend(PEER_MAC);
    m
}

/// Type, source and target of the ICMPv6 messages among frames, behind a
/// hop-by-hop header or not.
fn messages(frames: &[Vec<u8>]) -> Vec<(u8, Ipv6Addr, Ipv6Addr)> {
    let six = frames.iter().filter(|f| f[12..14] == [0x86, 0xdd]);
    let of = |f: &Vec<u8>, from: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&f[from..from + 16]).unwrap());
    six.map(|f| (f[if f[20] == 0 { 62 } else { 54 }], of(f, 22), of(f, 38))).collect()
}

/// The IPv6 addresses that can be used.
fn addresses(w: &World) -> Vec<std::string::String> {
    w.server.core.links.ipv6.valid().map(|a| a.cidr.to_string()).collect()
}

fn name_servers(w: &mut World) -> Vec<SocketAddr> {
    let (mut list, reply) = (vec![], w.call(&Request::NameServers).unwrap().1);
    let mut rest = &reply[..];
    while let Some((len, more)) = rest.split_first() {
        let (address, more) = more.split_at((*len).into());
        list.push(Address::from_bytes(address).unwrap().to_inet().unwrap());
        rest = more;
    }
    list
}

#[test]
fn the_port_gets_an_address_and_asks_for_routers() {
    let mut w = World::fresh();
    w.sent();
    assert_eq!(addresses(&w), [""; 0]);
    w.elapse(500);
    let (any, node) = (at("::"), at("ff02::1:ff00:1"));
    // The group of the address is joined before it is asked for.
    assert_eq!(messages(&w.sent())[..2], [(143, any, at("ff02::16")), (135, any, node)]);
    w.elapse(1000);
    assert_eq!(addresses(&w), [std::format!("{OWN}/64")]);
    let all = messages(&w.sent());
    assert!(all.contains(&(133, at(OWN), at("ff02::2"))), "{all:?}");
    w.elapse(20_000);
    assert_eq!(messages(&w.sent()).iter().filter(|(kind, ..)| *kind == 133).count(), 2);
    // Nobody is solicited any more: nothing is left to do.
    w.elapse(60_000);
    assert_eq!(messages(&w.sent()), []);
}

#[test]
fn an_address_that_another_host_has_is_not_used() {
    for (message, source, target) in
        [(solicitation(OWN), "::", "ff02::1:ff00:1"), (advertisement(OWN, 0x20), OWN, "ff02::1")]
    {
        let mut w = World::fresh();
        w.elapse(800);
        // Not from afar, and not without a right checksum.
        w.inject(&frame(source, target, 254, &message));
        let mut bad = frame(source, target, 255, &message);
        bad[56] ^= 1;
        w.inject(&bad);
        w.elapse(10);
        assert_eq!(w.server.core.links.ipv6.addresses.len(), 1);
        w.inject(&frame(source, target, 255, &message));
        w.elapse(5000);
        assert_eq!(w.server.core.links.ipv6.addresses.len(), 0);
    }
    // It is too late to claim one that is used.
    let mut w = World::fresh();
    w.elapse(2000);
    w.sent();
    w.inject(&frame("::", "ff02::1:ff00:1", 255, &solicitation(OWN)));
    w.elapse(10);
    assert_eq!(messages(&w.sent()), [(136, at(OWN), at("ff02::1"))]);
    assert_eq!(addresses(&w).len(), 1);
}

/// A name server of the link, as it is told: with the link.
fn scoped(address: &str) -> SocketAddr {
    SocketAddrV6::new(at(address), 53, 0, ETH_INDEX).into()
}

#[test]
fn a_router_gives_address_way_and_name_server() {
    let mut w = World::fresh();
    w.elapse(2000);
    let s = w.socket6(c::SOCK_STREAM);
    assert_eq!(w.connect(&s, "[2001:db8:9::1]:80"), Err(Errno::ENETUNREACH));
    let link = [&[1, 1][..], &PEER_MAC].concat();
    let options =
        [&prefix("2001:db8::", 64, 0xc0, 86400, 14400)[..], &servers(600, &["2001:db8::53", "fe80::53"]), &link];
    w.inject(&frame(ROUTER, "ff02::1", 255, &router(1800, &options)));
    w.elapse(3000);
    assert_eq!(addresses(&w)[1..], ["2001:db8::ff:fe00:1/64"]);
    assert_eq!(name_servers(&mut w), ["[2001:db8::53]:53".parse().unwrap(), scoped("fe80::53")]);
    // By way of the router.
    w.sent();
    assert_eq!(w.connect(&s, "[2001:db8:9::1]:80"), Err(Errno::EINPROGRESS));
    w.elapse(10);
    let syn = w.sent();
    assert_eq!((&syn[0][..6], &syn[0][38..54]), (&PEER_MAC[..], &at("2001:db8:9::1").octets()[..]));
    assert!(w.local(&s).starts_with("[2001:db8::ff:fe00:1]:"));
    // A neighbour on the announced prefix, in both directions.
    let mine = IpCidr::new(at("2001:db8::2").into(), 64);
    w.peer.interface.update_ip_addrs(|a| a.push(mine).unwrap());
    let listener = w.socket6(c::SOCK_STREAM);
    w.bind(&listener, "[::]:80").unwrap();
    w.call(&Request::Listen { socket: listener.handle, backlog: 4 }).unwrap();
    let buffer = || SocketBuffer::new(vec![0; 4096]);
    let h = w.peer.sockets.add(Socket::new(buffer(), buffer()));
    let to = SocketAddr::new(at("2001:db8::ff:fe00:1").into(), 80);
    let cx = w.peer.interface.context();
    w.peer.sockets.get_mut::<Socket>(h).connect(cx, to, 40_000).unwrap();
    w.until(100, |w| w.status(listener.handle) & status::IN != 0);
    let (accepted, _) = w.call(&Request::Accept { socket: listener.handle }).unwrap();
    let accepted = w.attached(accepted as u16);
    assert_eq!(w.peer_of(&accepted).unwrap(), "[2001:db8::2]:40000");
    let peer = w.peer.sockets.add(Socket::new(buffer(), buffer()));
    w.peer.sockets.get_mut::<Socket>(peer).listen(81).unwrap();
    let out = w.socket6(c::SOCK_STREAM);
    assert_eq!(w.connect(&out, "[2001:db8::2]:81"), Err(Errno::EINPROGRESS));
    w.until(100, |w| w.status(out.handle) & status::CONNECTED != 0);
    // Nobody there: the neighbour does not answer.
    let nobody = w.socket6(c::SOCK_STREAM);
    assert_eq!(w.connect(&nobody, "[2001:db8::77]:81"), Err(Errno::EINPROGRESS));
    w.until(4000, |w| w.status(nobody.handle) & status::ERR != 0);
    assert_eq!(w.error(&nobody), Some(Errno::EHOSTUNREACH));
    // Everything ends.
    for _ in 0..90_000 {
        w.step(1_000_000_000);
    }
    assert_eq!(addresses(&w).len(), 1);
    assert_eq!(name_servers(&mut w), []);
    let s = w.socket6(c::SOCK_STREAM);
    assert_eq!(w.connect(&s, "[2001:db8:9::1]:80"), Err(Errno::ENETUNREACH));
}

#[test]
fn link_local_addresses_have_a_scope() {
    let mut w = World::fresh();
    let mine = IpCidr::new(at("fe80::2").into(), 64);
    w.peer.interface.update_ip_addrs(|a| a.push(mine).unwrap());
    w.elapse(2000);
    let listener = w.socket6(c::SOCK_STREAM);
    assert_eq!(w.bind(&listener, &std::format!("[{OWN}]:80")), Err(Errno::EINVAL));
    assert_eq!(w.bind(&listener, &std::format!("[{OWN}%1]:80")), Err(Errno::EADDRNOTAVAIL));
    w.bind(&listener, &std::format!("[{OWN}%2]:80")).unwrap();
    w.call(&Request::Listen { socket: listener.handle, backlog: 4 }).unwrap();
    let buffer = || SocketBuffer::new(vec![0; 4096]);
    let h = w.peer.sockets.add(Socket::new(buffer(), buffer()));
    let cx = w.peer.interface.context();
    let to = SocketAddr::new(at(OWN).into(), 80);
    w.peer.sockets.get_mut::<Socket>(h).connect(cx, to, 40_000).unwrap();
    w.until(100, |w| w.status(listener.handle) & status::IN != 0);
    let (handle, _) = w.call(&Request::Accept { socket: listener.handle }).unwrap();
    let s = w.attached(handle as u16);
    assert_eq!(w.peer_of(&s).unwrap(), "[fe80::2%2]:40000");
    assert_eq!(w.local(&s), std::format!("[{OWN}%2]:80"));
    // The other way, and to an interface that has no such neighbours.
    let peer = w.peer.sockets.add(Socket::new(buffer(), buffer()));
    w.peer.sockets.get_mut::<Socket>(peer).listen(81).unwrap();
    let out = w.socket6(c::SOCK_STREAM);
    assert_eq!(w.connect(&out, "[fe80::2%1]:81"), Err(Errno::ENETUNREACH));
    assert_eq!(w.connect(&out, "[fe80::2%2]:81"), Err(Errno::EINPROGRESS));
    w.until(100, |w| w.status(out.handle) & status::CONNECTED != 0);
    // Nothing of it comes by loopback's addresses from the wire.
    let dropped = w.counters().rx_dropped;
    w.inject(&frame("::1", OWN, 64, &[128, 0, 0, 0, 1, 2, 3, 4]));
    w.inject(&frame("fe80::2", "::1", 64, &[128, 0, 0, 0, 1, 2, 3, 4]));
    w.elapse(10);
    assert_eq!(w.counters().rx_dropped, dropped + 2);
    // Without a carrier the addresses stay, and are asked for anew with it.
    w.plug(false);
    w.elapse(500);
    let gone = w.socket6(c::SOCK_STREAM);
    assert_eq!(w.connect(&gone, "[fe80::2%2]:81"), Err(Errno::ENETDOWN));
    w.plug(true);
    w.sent();
    w.elapse(2000);
    assert!(messages(&w.sent()).contains(&(135, at("::"), at("ff02::1:ff00:1"))));
    assert_eq!(addresses(&w), [std::format!("{OWN}/64")]);
}

#[test]
fn an_echo_is_answered() {
    let mut w = World::fresh();
    w.elapse(2000);
    let echo = [128, 0, 0, 0, 1, 2, 3, 4, 9, 9];
    w.inject(&frame("fe80::2", OWN, 64, &echo));
    w.sent();
    // Whom to send it to is asked first.
    w.elapse(10);
    assert_eq!(messages(&w.sent()), [(135, at(OWN), at("ff02::1:ff00:2"))]);
    w.inject(&frame("fe80::2", OWN, 255, &advertisement("fe80::2", 0x60)));
    w.elapse(10);
    let sent = w.sent();
    assert_eq!(messages(&sent), [(129, at(OWN), at("fe80::2"))]);
    assert_eq!((&sent[0][..6], &sent[0][58..]), (&PEER_MAC[..], &echo[4..]));
    assert_eq!(checksum::transport(&sent[0][14..]), 0);
}

#[test]
fn a_hostile_router_fills_no_more_than_its_tables() {
    let mut w = World::fresh();
    w.elapse(2000);
    for n in 0..500u32 {
        let net = std::format!("2001:db8:{n:x}::");
        let options =
            [&prefix(&net, 64, 0xc0, u32::MAX, u32::MAX)[..], &servers(u32::MAX, &[&std::format!("{net}53")])];
        let from = std::format!("fe80::{:x}", 0x1000 + n);
        w.inject(&frame(&from, "ff02::1", 255, &router(9000, &options)));
        w.step(1_000_000);
    }
    w.elapse(5000);
    let ipv6 = &w.server.core.links.ipv6;
    assert_eq!((ipv6.addresses.len(), ipv6.prefixes.len(), ipv6.routers.len(), ipv6.servers.len()), (9, 16, 4, 3));
    assert_eq!(addresses(&w).len(), 9);
    // Its own network is still there, and what is ill-formed changes nothing.
    let good = router(9000, &[&prefix("2001:db8:f::", 64, 0xc0, 1, 1)]);
    for cut in 4..good.len() {
        w.inject(&frame(ROUTER, "ff02::1", 255, &good[..cut]));
    }
    let empty = router(9000, &[&[3, 0, 64, 0xc0]]);
    w.inject(&frame(ROUTER, "ff02::1", 255, &empty));
    w.inject(&frame("2001:db8::99", "ff02::1", 255, &good));
    w.elapse(100);
    assert_eq!(addresses(&w).len(), 9);
}

#[test]
fn settings_give_addresses_and_ways() {
    let settings = [
        ("ipv6.mode", "static"),
        ("ipv6.address", "2001:db8:1::5/64,2001:db8:2::5/48"),
        ("ipv6.gateway", "fe80::1"),
        ("ipv6.dns", "2001:db8::1"),
    ];
    let mut w = World::with_settings(2 << 20, &settings);
    w.inject(&frame(ROUTER, "ff02::1", 255, &router(1800, &[&prefix("2001:db8:7::", 64, 0xc0, 9000, 9000)])));
    w.elapse(3000);
    let mut all = addresses(&w);
    all.sort();
    assert_eq!(all, ["2001:db8:1::5/64", "2001:db8:2::5/48", "fe80::ff:fe00:1/64"]);
    assert_eq!(name_servers(&mut w), ["[2001:db8::1]:53".parse().unwrap()]);
    let s = w.socket6(c::SOCK_STREAM);
    assert_eq!(w.connect(&s, "[2001:db8:9::1]:80"), Err(Errno::EINPROGRESS));
    let mut off = World::with_settings(2 << 20, &[("ipv6.mode", "off")]);
    off.elapse(5000);
    assert_eq!(addresses(&off), [""; 0]);
    // Loopback is there all the same.
    let s = off.socket6(c::SOCK_DGRAM);
    assert_eq!(off.bind(&s, "[::1]:5000"), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever neighbours say, the server goes on and its tables have an end.
    #[test]
    fn any_messages(
        all in proptest::collection::vec(
            (128u8..144, 0usize..6, 0usize..5, any::<bool>(), proptest::collection::vec(any::<u8>(), 3..120)),
            1..60,
        ),
        ticks in any::<u16>(),
    ) {
        let sources = ["::", "fe80::99", OWN, "2001:db8::1", "ff02::1", "::1"];
        let targets = ["ff02::1", OWN, "ff02::1:ff00:1", "ff02::16", "2001:db8::ff:fe00:1"];
        let mut w = World::fresh();
        w.elapse(u64::from(ticks % 3000));
        for (kind, source, target, near, mut message) in all {
            message.insert(0, kind);
            // Options are most often well-formed.
            if message.len() > 26 && near {
                message[1] = 0;
                let at = if kind == 134 { 16 } else { 24 };
                message[at + 1] = 1 + message[at + 1] % 4;
            }
            let hops = if near { 255 } else { message[2] };
            w.inject(&frame(sources[source], targets[target], hops, &message));
            w.step(u64::from(message[2]) * 100_000_000);
        }
        let ipv6 = &w.server.core.links.ipv6;
        prop_assert!(ipv6.addresses.len() <= 16 && ipv6.prefixes.len() <= 16);
        prop_assert!(ipv6.routers.len() <= 4 && ipv6.servers.len() <= 3);
        let s = w.socket6(c::SOCK_DGRAM);
        prop_assert_eq!(w.bind(&s, "[::1]:5000"), Ok(()));
    }
}
