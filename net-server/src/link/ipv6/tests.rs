use super::*;

fn at(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn port(addresses: &[&str]) -> Ipv6 {
    let mut port = Ipv6::new();
    for cidr in addresses {
        assert!(port.add(cidr.parse().unwrap(), Origin::Static, 0));
    }
    for a in &mut port.addresses {
        a.state = State::Valid;
    }
    port
}

#[test]
fn sources_by_rfc_6724() {
    let mut port = port(&["fe80::1/64", "2001:db8:1::1/64", "2001:db8:2::1/64", "fd00::1/64"]);
    for (destination, source) in [
        ("fe80::2", "fe80::1"),
        ("ff02::1", "fe80::1"),
        ("2001:db8:1::2", "2001:db8:1::1"),
        ("2001:db8:2::2", "2001:db8:2::1"),
        ("ff0e::1", "2001:db8:1::1"),
        // By label.
        ("fd11::1", "fd00::1"),
        ("fec0::1", "fd00::1"),
        ("2001:db8:2::1", "2001:db8:2::1"),
    ] {
        assert_eq!(port.source_for(at(destination)), Some(at(source)), "{destination}");
    }
    port.addresses[1].deprecated = true;
    assert_eq!(port.source_for(at("2001:db8:1::2")), Some(at("2001:db8:2::1")));
    port.addresses.clear();
    assert_eq!(port.source_for(at("2001:db8::1")), None);
}

#[test]
fn ways() {
    let mut port = port(&["fe80::1/64", "2001:db8:1::1/64"]);
    assert_eq!(port.next_hop(at("2001:db8:1::9")), Some(at("2001:db8:1::9")));
    assert_eq!(port.next_hop(at("2001:db8:2::9")), None);
    assert!(port.note_router(0, at("fe80::a"), 0, 100));
    assert!(port.note_router(0, at("fe80::b"), 1, 50));
    assert!(!port.note_router(0, at("fe80::b"), 1, 50), "known");
    let out = at("2001:db8:2::9");
    assert_eq!(port.next_hop(out), Some(at("fe80::b")));
    port.routers[1].what.silent = true;
    assert_eq!(port.next_hop(out), Some(at("fe80::a")));
    port.routes.push(Route6 { prefix: "2001:db8:2::/48".parse().unwrap(), gateway: Some(at("fe80::c")) });
    assert_eq!(port.next_hop(out), Some(at("fe80::c")));
    assert_eq!(port.deadline(), 50 * SECOND);
    port.expire(60 * SECOND);
    assert_eq!(port.routers.len(), 1);
    // Lifetime 0: a router no longer.
    assert!(port.note_router(60 * SECOND, at("fe80::a"), 0, 0));
    assert_eq!(port.next_hop(at("2001:db8:3::9")), None);
}

#[test]
fn lifetimes_of_announced_addresses() {
    let mac = EthernetAddress([2, 0, 0, 0, 0, 1]);
    let mut port = Ipv6::new();
    let info = |valid, preferred| PrefixInfo {
        prefix: at("2001:db8:5::77"),
        len: 64,
        on_link: true,
        autonomous: true,
        valid,
        preferred,
    };
    let (address, changed) = port.announce(0, mac, info(10_000, 5000));
    let cidr = address.unwrap();
    assert_eq!(cidr.address(), at("2001:db8:5::ff:fe00:1"));
    assert!(changed && port.add(cidr, Origin::Announced, 0));
    port.set_lifetimes(cidr.address(), ends(0, 5000), ends(0, 10_000), 0);
    // Nobody takes an address away at once.
    assert_eq!(port.announce(0, mac, info(1, 0)).0, None);
    assert_eq!(port.addresses[0].valid_until, TWO_HOURS);
    assert!(port.addresses[0].deprecated);
    assert_eq!(port.announce(0, mac, info(u32::MAX, u32::MAX)).0, None);
    assert_eq!((port.addresses[0].valid_until, port.addresses[0].deprecated), (NEVER, false));
    for bad in [
        PrefixInfo { preferred: 2, ..info(1, 1) },
        PrefixInfo { prefix: at("fe80::"), ..info(9, 9) },
        PrefixInfo { prefix: at("ff02::"), ..info(9, 9) },
        PrefixInfo { len: 129, ..info(9, 9) },
        PrefixInfo { len: 0, ..info(9, 9) },
    ] {
        assert_eq!(port.announce(0, mac, bad), (None, false));
    }
    assert_eq!(port.announce(0, mac, PrefixInfo { len: 65, ..info(9, 9) }).0, None);
    // Tables have an end.
    for n in 0..100u8 {
        let prefix = Ipv6Addr::from([0x20, 1, n, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        if let (Some(cidr), _) = port.announce(0, mac, PrefixInfo { prefix, ..info(9, 9) }) {
            port.add(cidr, Origin::Announced, 0);
        }
        port.note_router(0, prefix, 0, 9);
        port.note_server(0, prefix, 9);
    }
    assert_eq!((port.addresses.len(), port.prefixes.len()), (MAX_ANNOUNCED, MAX_PREFIXES));
    assert_eq!((port.routers.len(), port.servers.len()), (MAX_ROUTERS, MAX_SERVERS));
}
