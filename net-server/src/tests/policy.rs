extern crate std;

use core::net::SocketAddr;
use std::vec::Vec;

use strait_abi::{
    Address, Errno,
    net::{RecordHeader, Request},
    socket as c,
};
use zerocopy::IntoBytes;

use super::world::World;

const PAGES: usize = 2 << 20;

fn world(settings: &[(&str, &str)]) -> World {
    World::with_settings(PAGES, settings)
}

fn create(w: &mut World, family: u16, kind: u16, protocol: u16) -> Result<u16, Errno> {
    w.call(&Request::Socket { family, kind, protocol }).map(|(handle, _)| handle as u16)
}

fn to(ip: [u8; 4], port: u16) -> Address {
    SocketAddr::from((ip, port)).into()
}

fn bind(w: &mut World, kind: u16, port: u16) -> Result<(), Errno> {
    let socket = create(w, 2, kind, 0).unwrap();
    let result = w.call(&Request::Bind { socket, address: to([0; 4], port).as_bytes() }).map(|_| ());
    w.call(&Request::Close { socket }).unwrap();
    result
}

fn connect(w: &mut World, kind: u16, ip: [u8; 4], port: u16) -> Result<(), Errno> {
    let socket = create(w, 2, kind, 0).unwrap();
    let result = w.call(&Request::Connect { socket, address: to(ip, port).as_bytes() }).map(|_| ());
    w.call(&Request::Close { socket }).unwrap();
    result
}

#[test]
fn who_is_not_named_is_a_normal_user() {
    let mut w = world(&[("policy.other.ports", "80"), ("policy.other.raw", "true")]);
    assert_eq!(bind(&mut w, c::SOCK_STREAM, 80), Err(Errno::EACCES));
    assert_eq!(bind(&mut w, c::SOCK_DGRAM, 1023), Err(Errno::EACCES));
    assert_eq!(bind(&mut w, c::SOCK_STREAM, 1024), Ok(()));
    assert_eq!(bind(&mut w, c::SOCK_DGRAM, 0), Ok(()));
    assert_eq!(create(&mut w, 17, c::SOCK_RAW, 0).err(), Some(w_packet(&mut w)));
    assert_eq!(connect(&mut w, c::SOCK_DGRAM, [10, 0, 2, 2], 53), Ok(()));
    let socket = create(&mut w, 2, c::SOCK_DGRAM, 0).unwrap();
    // All that change something.
    for request in [
        c::SIOCADDRT,
        c::SIOCDELRT,
        c::SIOCDIFADDR,
        c::SIOCSIFADDR,
        c::SIOCSIFBRDADDR,
        c::SIOCSIFFLAGS,
        c::SIOCSIFHWADDR,
        c::SIOCSIFMTU,
        c::SIOCSIFNETMASK,
    ] {
        let refused = w.call(&Request::Ioctl { socket, request, argument: &[0; 40] });
        assert_eq!(refused.err(), Some(Errno::EPERM), "{request:#x}");
    }
}

/// What AF_PACKET without a grant gives: EPERM once the family is there.
fn w_packet(w: &mut World) -> Errno {
    match create(w, 17, 99, 0) {
        Err(Errno::EAFNOSUPPORT) => Errno::EAFNOSUPPORT,
        _ => Errno::EPERM,
    }
}

#[test]
fn ports_are_granted_one_by_one() {
    let mut w = world(&[("policy.client.ports", "80/tcp,5000-5009")]);
    for (kind, port, result) in [
        (c::SOCK_STREAM, 80, Ok(())),
        (c::SOCK_DGRAM, 80, Err(Errno::EACCES)),
        (c::SOCK_DGRAM, 5009, Ok(())),
        (c::SOCK_STREAM, 5010, Err(Errno::EACCES)),
        (c::SOCK_STREAM, 0, Ok(())),
    ] {
        assert_eq!(bind(&mut w, kind, port), result, "{kind} {port}");
    }
}

#[test]
fn families_and_types_are_granted_by_name() {
    let mut w = world(&[("policy.client.families", "unix"), ("policy.client.types", "dgram")]);
    assert_eq!(create(&mut w, 2, c::SOCK_DGRAM, 0), Err(Errno::EACCES));
    assert_eq!(create(&mut w, 99, c::SOCK_DGRAM, 0), Err(Errno::EAFNOSUPPORT));
    let mut w = world(&[("policy.client.types", "dgram")]);
    assert_eq!(create(&mut w, 2, c::SOCK_STREAM, 0), Err(Errno::EACCES));
    assert!(create(&mut w, 2, c::SOCK_DGRAM, 0).is_ok());
}

#[test]
fn destinations_hold_for_connect_and_for_each_datagram() {
    let mut w = world(&[("policy.client.destinations", "10.0.2.2 53/udp,127.0.0.0/8 7")]);
    assert_eq!(connect(&mut w, c::SOCK_STREAM, [10, 0, 2, 2], 53), Err(Errno::EACCES));
    assert_eq!(connect(&mut w, c::SOCK_DGRAM, [10, 0, 2, 3], 53), Err(Errno::EACCES));
    assert_eq!(connect(&mut w, c::SOCK_DGRAM, [10, 0, 2, 2], 53), Ok(()));
    assert_eq!(connect(&mut w, c::SOCK_STREAM, [127, 0, 0, 1], 7), Err(Errno::EINPROGRESS));
    // The unspecified address is this host.
    assert_eq!(connect(&mut w, c::SOCK_STREAM, [0; 4], 7), Err(Errno::EINPROGRESS));
    assert_eq!(connect(&mut w, c::SOCK_STREAM, [0; 4], 8), Err(Errno::EACCES));

    let mut s = w.socket(c::SOCK_DGRAM);
    for (ip, error) in [([10, 0, 2, 3], i32::from(Errno::EACCES.raw())), ([10, 0, 2, 2], 0)] {
        let address = to(ip, 53);
        let header = RecordHeader { data: 1, address: address.as_bytes().len() as u16, control: 0 };
        s.tx.stage(0, header.as_bytes()).unwrap();
        s.tx.stage(8, address.as_bytes()).unwrap();
        s.tx.stage(header.data_offset(), b"?").unwrap();
        s.tx.commit(header.total().unwrap());
        w.ring(s.handle);
        w.step(1000);
        let ask = Request::GetOption { socket: s.handle, level: c::SOL_SOCKET, name: c::SO_ERROR };
        assert_eq!(w.call(&ask).unwrap().1, error.to_ne_bytes());
    }
}

#[test]
fn sockets_and_chosen_ports_are_counted() {
    let mut w = world(&[("policy.client.sockets", "3"), ("policy.client.ephemeral", "2")]);
    let all: Vec<u16> = (0..3).map(|_| create(&mut w, 2, c::SOCK_DGRAM, 0).unwrap()).collect();
    assert_eq!(create(&mut w, 2, c::SOCK_DGRAM, 0), Err(Errno::EMFILE));
    let choose = |w: &mut World, socket| w.call(&Request::Bind { socket, address: to([0; 4], 0).as_bytes() });
    choose(&mut w, all[0]).unwrap();
    choose(&mut w, all[1]).unwrap();
    assert_eq!(choose(&mut w, all[2]).err(), Some(Errno::EADDRINUSE));
    w.call(&Request::Close { socket: all[0] }).unwrap();
    choose(&mut w, all[2]).unwrap();
    create(&mut w, 2, c::SOCK_DGRAM, 0).unwrap();
}

#[test]
fn pages_are_counted() {
    let mut w = world(&[("policy.client.pages", "4")]);
    // Each datagram socket is granted a page to write in.
    for _ in 0..8 {
        create(&mut w, 2, c::SOCK_DGRAM, 0).unwrap();
    }
    let counters = w.counters();
    assert_eq!((counters.pages, counters.pages_peak), (4, 4));
}

#[test]
fn destinations_of_both_versions() {
    let mut w = world(&[("policy.client.destinations", "::1 7,127.0.0.0/8 8")]);
    let connect = |w: &mut World, family, address: &str| {
        let socket = create(w, family, c::SOCK_STREAM, 0).unwrap();
        let address = Address::from(address.parse::<SocketAddr>().unwrap());
        let result = w.call(&Request::Connect { socket, address: address.as_bytes() }).map(|_| ());
        w.call(&Request::Close { socket }).unwrap();
        result.unwrap_err()
    };
    assert_eq!(connect(&mut w, 10, "[::1]:7"), Errno::EINPROGRESS);
    assert_eq!(connect(&mut w, 10, "[::1]:8"), Errno::EACCES);
    // The unspecified address is this host; an IPv4 address stays one.
    assert_eq!(connect(&mut w, 10, "[::]:7"), Errno::EINPROGRESS);
    assert_eq!(connect(&mut w, 10, "[::ffff:127.0.0.1]:8"), Errno::EINPROGRESS);
    assert_eq!(connect(&mut w, 10, "[::ffff:127.0.0.1]:7"), Errno::EACCES);
    assert_eq!(connect(&mut w, 2, "127.0.0.1:7"), Errno::EACCES);
}

#[test]
fn a_connection_needs_a_chosen_port_too() {
    let mut w = world(&[("policy.client.ephemeral", "1")]);
    let one = create(&mut w, 2, c::SOCK_STREAM, 0).unwrap();
    let far = to([10, 0, 2, 2], 80);
    let connect = |w: &mut World, socket| w.call(&Request::Connect { socket, address: far.as_bytes() }).map(|_| ());
    assert_eq!(connect(&mut w, one), Err(Errno::EINPROGRESS));
    let two = create(&mut w, 2, c::SOCK_STREAM, 0).unwrap();
    assert_eq!(connect(&mut w, two), Err(Errno::EADDRNOTAVAIL));
    w.call(&Request::Close { socket: one }).unwrap();
    assert_eq!(connect(&mut w, two), Err(Errno::EINPROGRESS));
}

#[test]
fn raw_sockets_are_granted() {
    for (settings, result) in [(&[][..], Err(Errno::EPERM)), (&[("policy.client.raw", "true")], Ok(()))] {
        let mut w = world(settings);
        assert_eq!(create(&mut w, 2, c::SOCK_RAW, 1).map(|_| ()), result);
        assert_eq!(create(&mut w, 10, c::SOCK_RAW, 58).map(|_| ()), result);
        // Wrong ones are told before.
        assert_eq!(create(&mut w, 2, c::SOCK_RAW, 0), Err(Errno::EPROTONOSUPPORT));
        assert_eq!(w.counters().sockets, if result.is_ok() { 2 } else { 0 });
    }
}

#[test]
fn no_way_of_writing_an_address_leads_around_it() {
    let mut w = world(&[("policy.client.destinations", "10.0.2.2 53")]);
    // AF_UNSPEC counts as AF_INET when it is bound, or sent to.
    let unspecified = |ip, port| {
        let mut bytes = to(ip, port).as_bytes().to_vec();
        bytes[..2].fill(0);
        bytes
    };
    for kind in [c::SOCK_STREAM, c::SOCK_DGRAM] {
        let socket = create(&mut w, 2, kind, 0).unwrap();
        let refused = w.call(&Request::Bind { socket, address: &unspecified([0; 4], 80) }).err();
        assert_eq!(refused, Some(Errno::EACCES));
        assert!(w.call(&Request::Bind { socket, address: &unspecified([0; 4], 8080) }).is_ok());
    }
    let socket = create(&mut w, 10, c::SOCK_STREAM, 0).unwrap();
    let mapped = Address::from("[::ffff:127.0.0.1]:80".parse::<SocketAddr>().unwrap());
    assert_eq!(w.call(&Request::Bind { socket, address: mapped.as_bytes() }).err(), Some(Errno::EACCES));
    let mut s = w.socket(c::SOCK_DGRAM);
    let name = unspecified([10, 0, 2, 3], 53);
    let header = RecordHeader { data: 1, address: name.len() as u16, control: 0 };
    s.tx.stage(0, header.as_bytes()).unwrap();
    s.tx.stage(8, &name).unwrap();
    s.tx.stage(header.data_offset(), b"?").unwrap();
    s.tx.commit(header.total().unwrap());
    w.ring(s.handle);
    w.step(1000);
    let ask = Request::GetOption { socket: s.handle, level: c::SOL_SOCKET, name: c::SO_ERROR };
    assert_eq!(w.call(&ask).unwrap().1, i32::from(Errno::EACCES.raw()).to_ne_bytes());
}
