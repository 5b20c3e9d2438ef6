//! bind(2), getsockname(2): names of sockets, and who may have which.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::{case::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("the name before bind", "getsockname(2)", INET, unbound),
    Case::new("the name after bind", "getsockname(2)", INET, bound),
    Case::new("port 0 takes a free port", "ip(7) ip_local_port_range", INET, ephemeral),
    Case::new("ports that are chosen differ", "ip(7) ip_local_port_range", INET, ephemeral_differ),
    Case::new("bind twice", "bind(2) EINVAL", INET, twice),
    Case::new("bind after connect", "bind(2) EINVAL", INET, after_connect),
    Case::new("a port that is taken", "bind(2) EADDRINUSE", INET, taken),
    Case::new("any address against one address", "bind(2) EADDRINUSE", INET, any_against_one),
    Case::new("a port is free after close", "close(2)", INET, freed),
    Case::new("TCP and UDP have ports apart", "ip(7)", &[UDP4, UDP6], apart),
    Case::new("a foreign address", "bind(2) EADDRNOTAVAIL", INET, foreign),
    Case::new("an address too short", "bind(2) EINVAL", INET, short),
    Case::new("an address longer than needed", "bind(2)", INET, long),
    Case::new("an address of another family", "bind(2) EAFNOSUPPORT", INET, other_family),
    Case::new("AF_UNSPEC counts as AF_INET for any address only", "ip(7)", V4, unspecified_family),
    Case::new("SO_REUSEADDR on both", "socket(7) SO_REUSEADDR", INET, reuse_address),
    Case::new("SO_REUSEADDR on one", "socket(7) SO_REUSEADDR", INET, reuse_address_one),
    Case::new("SO_REUSEADDR does not share with a listener", "socket(7) SO_REUSEADDR", TCP, reuse_address_listener),
    Case::new("SO_REUSEPORT on both", "socket(7) SO_REUSEPORT", INET, reuse_port),
    Case::new("SO_REUSEPORT on one", "socket(7) SO_REUSEPORT", INET, reuse_port_one),
    Case::new("SO_REUSEPORT set after bind", "socket(7) SO_REUSEPORT", INET, reuse_port_late),
    Case::new("a connection holds the listener's port", "socket(7) SO_REUSEADDR", TCP, connection_holds),
    Case::new("a listener comes back with SO_REUSEADDR", "socket(7) SO_REUSEADDR", TCP, listener_again),
    Case::new("each address of 127/8", "RFC 1122 3.2.1.3", V4, network_127),
    Case::new("a multicast address", "bind(2)", V4, multicast),
    Case::new("the broadcast address", "bind(2)", V4, broadcast),
    Case::new("the address of the interface", "bind(2)", V4, interface),
    Case::new("a link-local address needs its interface", "ipv6(7) EINVAL", V6, link_local),
    Case::new("an IPv4 address on an IPv6 socket", "ipv6(7)", V6, mapped),
    Case::new("an IPv4 address with IPV6_V6ONLY", "ipv6(7) IPV6_V6ONLY", V6, mapped_v6only),
    Case::new("any IPv6 address holds the IPv4 port too", "ipv6(7) IPV6_V6ONLY", V6, dual),
    Case::new("with IPV6_V6ONLY it does not", "ipv6(7) IPV6_V6ONLY", V6, dual_v6only),
    Case::new("bind on something that is no socket", "bind(2) ENOTSOCK", ONCE, no_socket),
];

fn unbound(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let name = ok!(t.getsockname(fd));
    eq!(name.as_bytes().len(), if t.v6() { 28 } else { 16 });
    eq!(name.to_inet(), Ok(SocketAddr::new(t.unspecified(), 0)));
    t.shut(&[fd])
}

fn bound(t: &Test<'_>) -> Outcome {
    let fd = t.bound(0)?;
    eq!(ok!(t.getsockname(fd)).as_bytes(), t.lo(0).as_bytes());
    t.shut(&[fd])
}

fn ephemeral(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.bind(fd, &(t.loopback(), 0).into()));
    let port = port_of(&ok!(t.getsockname(fd)));
    that!((32768..61000).contains(&port));
    t.shut(&[fd])
}

fn ephemeral_differ(t: &Test<'_>) -> Outcome {
    let mut ports = alloc::vec::Vec::new();
    let mut fds = alloc::vec::Vec::new();
    for _ in 0..20 {
        let fd = t.sock()?;
        fds.push(fd);
        ok!(t.bind(fd, &(t.loopback(), 0).into()));
        let port = port_of(&ok!(t.getsockname(fd)));
        that!(!ports.contains(&port));
        ports.push(port);
    }
    t.shut(&fds)
}

fn twice(t: &Test<'_>) -> Outcome {
    let fd = t.bound(0)?;
    err!(t.bind(fd, &t.lo(1)), EINVAL);
    err!(t.bind(fd, &t.lo(0)), EINVAL);
    t.shut(&[fd])
}

fn after_connect(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    err!(t.bind(a, &t.lo(3)), EINVAL);
    err!(t.bind(b, &t.lo(3)), EINVAL);
    t.shut(&[a, b])
}

fn taken(t: &Test<'_>) -> Outcome {
    let (a, b) = (t.bound(0)?, t.sock()?);
    err!(t.bind(b, &t.lo(0)), EADDRINUSE);
    // The socket is none the worse for it.
    ok!(t.bind(b, &t.lo(1)));
    t.shut(&[a, b])
}

fn any_against_one(t: &Test<'_>) -> Outcome {
    let (a, b) = (t.sock()?, t.sock()?);
    ok!(t.bind(a, &t.any(0)));
    err!(t.bind(b, &t.lo(0)), EADDRINUSE);
    ok!(t.bind(b, &t.lo(1)));
    let c = t.sock()?;
    err!(t.bind(c, &t.any(1)), EADDRINUSE);
    t.shut(&[a, b, c])
}

fn freed(t: &Test<'_>) -> Outcome {
    let a = t.bound(0)?;
    t.shut(&[a])?;
    let b = t.bound(0)?;
    t.shut(&[b])
}

fn apart(t: &Test<'_>) -> Outcome {
    let udp = t.bound(0)?;
    let tcp = ok!(t.socket(t.on.family, SOCK_STREAM.into(), 0));
    ok!(t.bind(tcp, &t.lo(0)));
    t.shut(&[udp, tcp])
}

fn foreign(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let to = address(if t.v6() { "[2001:db8::1]:0" } else { "192.0.2.1:0" });
    err!(t.bind(fd, &to), EADDRNOTAVAIL);
    t.shut(&[fd])
}

fn short(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let least = if t.v6() { 24 } else { 16 };
    for len in [0, 1, 2, 8, least - 1] {
        err!(t.bind(fd, &resized(&t.lo(0), len)), EINVAL);
    }
    t.shut(&[fd])
}

fn long(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.bind(fd, &resized(&t.lo(0), 128)));
    eq!(ok!(t.getsockname(fd)).as_bytes(), t.lo(0).as_bytes());
    t.shut(&[fd])
}

fn with_family(address: &Address, family: u16) -> Address {
    let mut bytes = address.as_bytes().to_vec();
    bytes[..2].copy_from_slice(&family.to_ne_bytes());
    raw_address(&bytes)
}

fn other_family(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    for family in [AF_UNIX, AF_PACKET, 99, if t.v6() { AF_INET } else { AF_INET6 }] {
        err!(t.bind(fd, &with_family(&resized(&t.lo(0), 28), family)), EAFNOSUPPORT);
    }
    t.shut(&[fd])
}

fn unspecified_family(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.bind(fd, &with_family(&t.lo(0), AF_UNSPEC)), EAFNOSUPPORT);
    ok!(t.bind(fd, &with_family(&t.any(0), AF_UNSPEC)));
    eq!(ok!(t.getsockname(fd)).as_bytes(), t.any(0).as_bytes());
    t.shut(&[fd])
}

fn two_with(t: &Test<'_>, a: Option<i32>, b: Option<i32>) -> Result<(Fd, Fd), Failure> {
    let (first, second) = (t.sock()?, t.sock()?);
    for (fd, option) in [(first, a), (second, b)] {
        if let Some(name) = option {
            t.set_option(fd, SOL_SOCKET, name, 1)
                .map_err(|e| Failure::new(alloc::format!("option {name}"), "success", e.name()))?;
        }
    }
    Ok((first, second))
}

fn reuse_address(t: &Test<'_>) -> Outcome {
    let (a, b) = two_with(t, Some(SO_REUSEADDR), Some(SO_REUSEADDR))?;
    ok!(t.bind(a, &t.lo(0)));
    ok!(t.bind(b, &t.lo(0)));
    t.shut(&[a, b])
}

fn reuse_address_one(t: &Test<'_>) -> Outcome {
    let (a, b) = two_with(t, Some(SO_REUSEADDR), None)?;
    ok!(t.bind(a, &t.lo(0)));
    err!(t.bind(b, &t.lo(0)), EADDRINUSE);
    t.shut(&[a, b])
}

fn reuse_address_listener(t: &Test<'_>) -> Outcome {
    let (a, b) = two_with(t, Some(SO_REUSEADDR), Some(SO_REUSEADDR))?;
    ok!(t.bind(a, &t.lo(0)));
    ok!(t.bind(b, &t.lo(0)));
    ok!(t.listen(a, 1));
    err!(t.listen(b, 1), EADDRINUSE);
    let c = t.sock()?;
    ok!(t.set_option(c, SOL_SOCKET, SO_REUSEADDR, 1));
    err!(t.bind(c, &t.lo(0)), EADDRINUSE);
    t.shut(&[a, b, c])
}

fn reuse_port(t: &Test<'_>) -> Outcome {
    let (a, b) = two_with(t, Some(SO_REUSEPORT), Some(SO_REUSEPORT))?;
    ok!(t.bind(a, &t.lo(0)));
    ok!(t.bind(b, &t.lo(0)));
    if t.stream() {
        ok!(t.listen(a, 1));
        ok!(t.listen(b, 1));
    }
    t.shut(&[a, b])
}

fn reuse_port_one(t: &Test<'_>) -> Outcome {
    let (a, b) = two_with(t, None, Some(SO_REUSEPORT))?;
    ok!(t.bind(a, &t.lo(0)));
    err!(t.bind(b, &t.lo(0)), EADDRINUSE);
    t.shut(&[a, b])
}

fn reuse_port_late(t: &Test<'_>) -> Outcome {
    let (a, b) = two_with(t, None, Some(SO_REUSEPORT))?;
    ok!(t.bind(a, &t.lo(0)));
    ok!(t.set_option(a, SOL_SOCKET, SO_REUSEPORT, 1));
    // Linux looks at the option when the other one binds.
    ok!(t.bind(b, &t.lo(0)));
    t.shut(&[a, b])
}

fn connection_holds(t: &Test<'_>) -> Outcome {
    let (client, server) = t.pair()?;
    let other = t.sock()?;
    err!(t.bind(other, &t.lo(0)), EADDRINUSE);
    t.shut(&[client, server, other])
}

fn listener_again(t: &Test<'_>) -> Outcome {
    let listener = t.sock()?;
    ok!(t.set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1));
    ok!(t.bind(listener, &t.lo(0)));
    ok!(t.listen(listener, 1));
    let client = t.sock()?;
    t.join(client, &t.lo(0))?;
    let server = t.take(listener)?;
    t.shut(&[listener])?;
    let again = t.sock()?;
    ok!(t.set_option(again, SOL_SOCKET, SO_REUSEADDR, 1));
    ok!(t.bind(again, &t.lo(0)));
    ok!(t.listen(again, 1));
    t.shut(&[client, server, again])
}

fn network_127(t: &Test<'_>) -> Outcome {
    let fds = [t.sock()?, t.sock()?, t.sock()?];
    for (fd, ip) in fds.iter().zip([Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 1, 2, 3), Ipv4Addr::LOCALHOST]) {
        ok!(t.bind(*fd, &(IpAddr::from(ip), t.port(0)).into()));
    }
    t.shut(&fds)
}

fn multicast(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.bind(fd, &(IpAddr::from([239, 1, 2, 3]), t.port(0)).into()));
    t.shut(&[fd])
}

fn broadcast(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.bind(fd, &(IpAddr::from(Ipv4Addr::BROADCAST), t.port(0)).into()));
    t.shut(&[fd])
}

fn interface(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.bind(fd, &(IpAddr::from([10, 0, 2, 15]), t.port(0)).into()));
    t.shut(&[fd])
}

fn link_local(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let ip: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    err!(t.bind(fd, &(IpAddr::from(ip), t.port(0)).into()), EINVAL);
    t.shut(&[fd])
}

fn mapped_lo(t: &Test<'_>, n: u16) -> Address {
    (IpAddr::from(Ipv4Addr::LOCALHOST.to_ipv6_mapped()), t.port(n)).into()
}

fn mapped(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.bind(fd, &mapped_lo(t, 0)));
    eq!(ok!(t.getsockname(fd)).as_bytes(), mapped_lo(t, 0).as_bytes());
    let v4 = ok!(t.socket(AF_INET, t.on.kind.into(), 0));
    err!(t.bind(v4, &(IpAddr::from(Ipv4Addr::LOCALHOST), t.port(0)).into()), EADDRINUSE);
    t.shut(&[fd, v4])
}

fn mapped_v6only(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    err!(t.bind(fd, &mapped_lo(t, 0)), EINVAL);
    t.shut(&[fd])
}

fn dual(t: &Test<'_>) -> Outcome {
    let (v6, v4) = (t.sock()?, ok!(t.socket(AF_INET, t.on.kind.into(), 0)));
    ok!(t.bind(v6, &t.any(0)));
    err!(t.bind(v4, &(IpAddr::from(Ipv4Addr::UNSPECIFIED), t.port(0)).into()), EADDRINUSE);
    err!(t.bind(v4, &(IpAddr::from(Ipv4Addr::LOCALHOST), t.port(0)).into()), EADDRINUSE);
    t.shut(&[v6, v4])
}

fn dual_v6only(t: &Test<'_>) -> Outcome {
    let (v6, v4) = (t.sock()?, ok!(t.socket(AF_INET, t.on.kind.into(), 0)));
    ok!(t.set_option(v6, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    ok!(t.bind(v6, &t.any(0)));
    ok!(t.bind(v4, &(IpAddr::from(Ipv4Addr::UNSPECIFIED), t.port(0)).into()));
    t.shut(&[v6, v4])
}

fn no_socket(t: &Test<'_>) -> Outcome {
    let fd = ok!(t.eventfd(0, 0));
    err!(t.bind(fd, &t.lo(0)), ENOTSOCK);
    err!(t.listen(fd, 1), ENOTSOCK);
    err!(t.accept4(fd, 0), ENOTSOCK);
    err!(t.connect(fd, &t.lo(0)), ENOTSOCK);
    err!(t.shutdown(fd, SHUT_RD), ENOTSOCK);
    err!(t.getsockname(fd), ENOTSOCK);
    err!(t.getpeername(fd), ENOTSOCK);
    err!(t.send(fd, b"x", 0), ENOTSOCK);
    err!(t.recv(fd, &mut [0], 0), ENOTSOCK);
    err!(t.option(fd, SOL_SOCKET, SO_ERROR), ENOTSOCK);
    err!(t.set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1), ENOTSOCK);
    t.shut(&[fd])
}
