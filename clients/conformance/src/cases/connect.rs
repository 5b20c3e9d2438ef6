//! connect(2), getpeername(2): joining sockets, and how it fails.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::{case::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("who may not wait is told later", "connect(2) EINPROGRESS", TCP, in_progress),
    Case::new("who may wait waits", "connect(2)", TCP, waits),
    Case::new("nobody listens", "connect(2) ECONNREFUSED", TCP, refused),
    Case::new("nobody listens, and who connects waits", "connect(2) ECONNREFUSED", TCP, refused_waiting),
    Case::new("readiness after a refusal", "poll(2)", TCP, refused_readiness),
    Case::new("another try after a refusal", "connect(2)", TCP, refused_then_accepted),
    Case::new("a second connect when connected", "connect(2) EISCONN", TCP, again),
    Case::new("a second connect while the first is under way", "connect(2) EALREADY", &[TCP4], already),
    Case::new("readiness while a connect is under way", "poll(2)", &[TCP4], under_way),
    Case::new("a peer name while a connect is under way", "getpeername(2) ENOTCONN", &[TCP4], under_way_names),
    Case::new("a listener does not connect", "connect(2) EISCONN", TCP, listener_connects),
    Case::new("an address too short", "connect(2) EINVAL", INET, short),
    Case::new("an address of another family", "connect(2) EAFNOSUPPORT", INET, other_family),
    Case::new("the unspecified address is this host", "ip(7)", INET, unspecified),
    Case::new("the name that connect gives", "getsockname(2)", INET, local_name),
    Case::new("the name that bind gave stays", "getsockname(2)", INET, bound_name),
    Case::new("the peer's name", "getpeername(2)", INET, peer_name),
    Case::new("no peer, no name", "getpeername(2) ENOTCONN", INET, no_peer),
    Case::new("AF_UNSPEC ends the association", "connect(2)", UDP, dissolve),
    Case::new("AF_UNSPEC on a fresh socket", "connect(2)", INET, dissolve_fresh),
    Case::new("AF_UNSPEC ends a TCP connection", "connect(2)", TCP, dissolve_tcp),
    Case::new("a datagram socket changes its peer", "connect(2)", UDP, change),
    Case::new("TCP to a multicast address", "connect(2) ENETUNREACH", &[TCP4], multicast),
    Case::new("TCP to the broadcast address", "connect(2) ENETUNREACH", &[TCP4], broadcast),
    Case::new("UDP to the broadcast address", "connect(2) EACCES", &[UDP4], broadcast_udp),
    Case::new("no way to there", "connect(2) ENETUNREACH", V6, unreachable),
    Case::new("an address with IPV6_V6ONLY", "ipv6(7) ENETUNREACH", V6, v6only),
    Case::new("IPv6 socket to an IPv4 listener", "ipv6(7)", &[TCP6], mapped),
    Case::new("IPv4 socket to an IPv6 listener", "ipv6(7)", &[TCP6], dual_listener),
    Case::new("each connection has a port of its own", "ip(7)", TCP, own_ports),
    Case::new("any address of 127/8", "RFC 1122 3.2.1.3", V4, network_127),
    Case::new("UDP with nobody there", "udp(7) ECONNREFUSED", UDP, udp_refused),
    Case::new("to the address of the interface", "connect(2)", &[TCP4], own_address),
    Case::new("a socket connects to itself", "RFC 9293 3.5", TCP, to_itself),
];

fn in_progress(t: &Test<'_>) -> Outcome {
    let (listener, client) = (t.listener(0)?, t.sock()?);
    err!(t.connect(client, &t.lo(0)), EINPROGRESS);
    eq!(t.wait(client, POLLOUT)?, POLLOUT);
    eq!(t.take_error(client)?, 0);
    // Who asks once more is told that it is done; the next time that it was.
    gives!(t.connect(client, &t.lo(0)), ());
    err!(t.connect(client, &t.lo(0)), EISCONN);
    t.shut(&[listener, client])
}

fn waits(t: &Test<'_>) -> Outcome {
    let (listener, client) = (t.listener(0)?, t.waiting_sock()?);
    ok!(t.connect(client, &t.lo(0)));
    gives!(t.send(client, b"x", 0), 1);
    let server = t.take(listener)?;
    eq!(t.read_some(server, 9)?, b"x");
    t.shut(&[listener, client, server])
}

fn refused(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.connect(fd, &t.lo(0)), EINPROGRESS);
    t.wait(fd, POLLOUT)?;
    eq!(t.take_error(fd)?, i32::from(Errno::ECONNREFUSED.raw()));
    // It is told once.
    eq!(t.take_error(fd)?, 0);
    t.shut(&[fd])
}

fn refused_waiting(t: &Test<'_>) -> Outcome {
    let fd = t.waiting_sock()?;
    err!(t.connect(fd, &t.lo(0)), ECONNREFUSED);
    err!(t.connect(fd, &t.lo(0)), ECONNREFUSED);
    t.shut(&[fd])
}

fn refused_readiness(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.connect(fd, &t.lo(0)), EINPROGRESS);
    t.wait(fd, POLLOUT)?;
    eq!(t.ready(fd, POLLIN | POLLOUT | POLLRDHUP)?, POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP);
    err!(t.recv(fd, &mut [0], 0), ECONNREFUSED);
    eq!(t.ready(fd, POLLIN | POLLOUT | POLLRDHUP)?, POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
    gives!(t.recv(fd, &mut [0], 0), 0);
    err!(t.send(fd, b"x", 0), EPIPE);
    t.shut(&[fd])
}

fn refused_then_accepted(t: &Test<'_>) -> Outcome {
    let fd = t.waiting_sock()?;
    err!(t.connect(fd, &t.lo(0)), ECONNREFUSED);
    let listener = t.listener(0)?;
    ok!(t.connect(fd, &t.lo(0)));
    t.shut(&[fd, listener])
}

fn again(t: &Test<'_>) -> Outcome {
    let (client, server) = t.pair()?;
    // The first one tells of the success that SO_ERROR told of before.
    gives!(t.connect(client, &t.lo(0)), ());
    err!(t.connect(client, &t.lo(0)), EISCONN);
    err!(t.connect(client, &t.lo(5)), EISCONN);
    err!(t.connect(server, &t.lo(5)), EISCONN);
    t.shut(&[client, server])
}

/// A connect that nobody answers: to a host that does not exist on the link.
fn silent(t: &Test<'_>) -> Result<Fd, Failure> {
    let fd = t.sock()?;
    match t.connect(fd, &address("10.0.2.200:9")) {
        Err(Errno::EINPROGRESS) => Ok(fd),
        other => Err(Failure::new("connect()", "EINPROGRESS", told(&other))),
    }
}

fn already(t: &Test<'_>) -> Outcome {
    let fd = silent(t)?;
    err!(t.connect(fd, &address("10.0.2.200:9")), EALREADY);
    err!(t.connect(fd, &t.lo(0)), EALREADY);
    t.shut(&[fd])
}

fn under_way(t: &Test<'_>) -> Outcome {
    let fd = silent(t)?;
    eq!(t.ready(fd, POLLIN | POLLOUT | POLLRDHUP)?, 0);
    err!(t.send(fd, b"x", 0), EAGAIN);
    err!(t.recv(fd, &mut [0], 0), EAGAIN);
    err!(t.listen(fd, 1), EINVAL);
    t.shut(&[fd])
}

fn under_way_names(t: &Test<'_>) -> Outcome {
    let fd = silent(t)?;
    err!(t.getpeername(fd), ENOTCONN);
    let name = ok!(t.getsockname(fd));
    eq!(ip_of(&name), Some(IpAddr::from([10, 0, 2, 15])));
    that!(port_of(&name) != 0);
    t.shut(&[fd])
}

fn listener_connects(t: &Test<'_>) -> Outcome {
    let (a, b) = (t.listener(0)?, t.listener(1)?);
    err!(t.connect(a, &t.lo(1)), EISCONN);
    t.shut(&[a, b])
}

fn short(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let least = if t.v6() { 24 } else { 16 };
    for len in [0, 1, 2, 8, least - 1] {
        let len = if len == 2 && t.stream() { 1 } else { len };
        err!(t.connect(fd, &resized(&t.lo(0), len)), EINVAL);
    }
    t.shut(&[fd])
}

fn other_family(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    for family in [AF_UNIX, AF_PACKET, 99] {
        let mut bytes = resized(&t.lo(0), 28).as_bytes().to_vec();
        bytes[..2].copy_from_slice(&u16::to_ne_bytes(family));
        err!(t.connect(fd, &raw_address(&bytes)), EAFNOSUPPORT);
    }
    if !t.v6() {
        err!(t.connect(fd, &address("[::1]:9")), EAFNOSUPPORT);
    }
    t.shut(&[fd])
}

fn unspecified(t: &Test<'_>) -> Outcome {
    let (peer, fd) = (if t.stream() { t.listener(0)? } else { t.bound(0)? }, t.sock()?);
    t.join(fd, &t.any(0))?;
    eq!(ok!(t.getpeername(fd)).as_bytes(), t.lo(0).as_bytes());
    t.shut(&[peer, fd])
}

fn local_name(t: &Test<'_>) -> Outcome {
    let (peer, fd) = (if t.stream() { t.listener(0)? } else { t.bound(0)? }, t.sock()?);
    t.join(fd, &t.lo(0))?;
    let name = ok!(t.getsockname(fd));
    eq!(ip_of(&name), Some(t.loopback()));
    that!(port_of(&name) >= 32768);
    t.shut(&[peer, fd])
}

fn bound_name(t: &Test<'_>) -> Outcome {
    let (peer, fd) = (if t.stream() { t.listener(0)? } else { t.bound(0)? }, t.sock()?);
    ok!(t.bind(fd, &t.any(1)));
    t.join(fd, &t.lo(0))?;
    eq!(ok!(t.getsockname(fd)).as_bytes(), t.lo(1).as_bytes());
    t.shut(&[peer, fd])
}

fn peer_name(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    eq!(ok!(t.getpeername(a)).as_bytes(), t.lo(if t.stream() { 0 } else { 1 }).as_bytes());
    eq!(ok!(t.getpeername(b)).as_bytes(), ok!(t.getsockname(a)).as_bytes());
    eq!(ok!(t.getsockname(b)).as_bytes(), ok!(t.getpeername(a)).as_bytes());
    t.shut(&[a, b])
}

fn no_peer(t: &Test<'_>) -> Outcome {
    let (fd, bound) = (t.sock()?, t.bound(0)?);
    err!(t.getpeername(fd), ENOTCONN);
    err!(t.getpeername(bound), ENOTCONN);
    t.shut(&[fd, bound])
}

fn no_family() -> Address {
    raw_address(&[0; 16])
}

fn dissolve(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.connect(a, &no_family()));
    err!(t.getpeername(a), ENOTCONN);
    err!(t.send(a, b"x", 0), EDESTADDRREQ);
    // It receives from anybody again.
    let c = t.bound(2)?;
    gives!(t.sendto(c, b"hello", 0, &t.lo(0)), 5);
    eq!(t.read_some(a, 9)?, b"hello");
    t.shut(&[a, b, c])
}

fn dissolve_fresh(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.connect(fd, &no_family()));
    err!(t.getpeername(fd), ENOTCONN);
    t.shut(&[fd])
}

fn dissolve_tcp(t: &Test<'_>) -> Outcome {
    let (client, server) = t.pair()?;
    let _ = t.connect(client, &t.lo(0));
    ok!(t.connect(client, &no_family()));
    err!(t.getpeername(client), ENOTCONN);
    t.wait(server, POLLIN)?;
    err!(t.recv(server, &mut [0], 0), ECONNRESET);
    // It can be used anew.
    let listener = t.listener(1)?;
    t.join(client, &t.lo(1))?;
    t.shut(&[client, server, listener])
}

fn change(t: &Test<'_>) -> Outcome {
    let (a, b, c) = (t.bound(0)?, t.bound(1)?, t.bound(2)?);
    ok!(t.connect(a, &t.lo(1)));
    gives!(t.send(a, b"one", 0), 3);
    ok!(t.connect(a, &t.lo(2)));
    gives!(t.send(a, b"two", 0), 3);
    eq!(t.read_some(b, 9)?, b"one");
    eq!(t.read_some(c, 9)?, b"two");
    eq!(ok!(t.getpeername(a)).as_bytes(), t.lo(2).as_bytes());
    t.shut(&[a, b, c])
}

fn multicast(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.connect(fd, &address("239.1.2.3:9")), ENETUNREACH);
    t.shut(&[fd])
}

fn broadcast(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.connect(fd, &address("255.255.255.255:9")), ENETUNREACH);
    err!(t.connect(fd, &address("10.0.2.255:9")), ENETUNREACH);
    t.shut(&[fd])
}

fn broadcast_udp(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.connect(fd, &address("255.255.255.255:9")), EACCES);
    err!(t.connect(fd, &address("10.0.2.255:9")), EACCES);
    ok!(t.set_option(fd, SOL_SOCKET, SO_BROADCAST, 1));
    ok!(t.connect(fd, &address("10.0.2.255:9")));
    t.shut(&[fd])
}

fn unreachable(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.connect(fd, &address("[2001:db8::1]:9")), ENETUNREACH);
    t.shut(&[fd])
}

fn mapped_lo(t: &Test<'_>, n: u16) -> Address {
    (IpAddr::from(Ipv4Addr::LOCALHOST.to_ipv6_mapped()), t.port(n)).into()
}

fn v6only(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    err!(t.connect(fd, &mapped_lo(t, 0)), ENETUNREACH);
    t.shut(&[fd])
}

fn v4_lo(t: &Test<'_>, n: u16) -> Address {
    (IpAddr::from(Ipv4Addr::LOCALHOST), t.port(n)).into()
}

fn mapped(t: &Test<'_>) -> Outcome {
    let listener = ok!(t.socket(AF_INET, u32::from(SOCK_STREAM) | SOCK_NONBLOCK, 0));
    ok!(t.bind(listener, &v4_lo(t, 0)));
    ok!(t.listen(listener, 1));
    let client = t.sock()?;
    t.join(client, &mapped_lo(t, 0))?;
    eq!(ok!(t.getpeername(client)).as_bytes(), mapped_lo(t, 0).as_bytes());
    t.wait(listener, POLLIN)?;
    let (server, from) = ok!(t.accept4(listener, SOCK_NONBLOCK));
    eq!(ip_of(&from), Some(Ipv4Addr::LOCALHOST.into()));
    gives!(t.send(server, b"hi", 0), 2);
    eq!(t.read_some(client, 9)?, b"hi");
    t.shut(&[listener, client, server])
}

fn dual_listener(t: &Test<'_>) -> Outcome {
    let listener = t.sock()?;
    ok!(t.bind(listener, &t.any(0)));
    ok!(t.listen(listener, 1));
    let client = ok!(t.socket(AF_INET, u32::from(SOCK_STREAM) | SOCK_NONBLOCK, 0));
    t.join(client, &v4_lo(t, 0))?;
    t.wait(listener, POLLIN)?;
    let (server, from) = ok!(t.accept4(listener, SOCK_NONBLOCK));
    eq!(ip_of(&from), Some(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()));
    eq!(ok!(t.getsockname(server)).as_bytes(), mapped_lo(t, 0).as_bytes());
    gives!(t.option(server, SOL_SOCKET, SO_DOMAIN), i32::from(AF_INET6));
    t.shut(&[listener, client, server])
}

fn own_ports(t: &Test<'_>) -> Outcome {
    let (listener, a, b) = (t.listener(0)?, t.sock()?, t.sock()?);
    t.join(a, &t.lo(0))?;
    t.join(b, &t.lo(0))?;
    that!(port_of(&ok!(t.getsockname(a))) != port_of(&ok!(t.getsockname(b))));
    t.shut(&[listener, a, b])
}

fn network_127(t: &Test<'_>) -> Outcome {
    let at: Address = SocketAddr::from(([127, 9, 8, 7], t.port(0))).into();
    let (peer, fd) = (t.sock()?, t.sock()?);
    ok!(t.bind(peer, &at));
    if t.stream() {
        ok!(t.listen(peer, 1));
    }
    t.join(fd, &at)?;
    eq!(ok!(t.getpeername(fd)).as_bytes(), at.as_bytes());
    if !t.stream() {
        gives!(t.send(fd, b"x", 0), 1);
        eq!(t.read_some(peer, 9)?, b"x");
    }
    t.shut(&[peer, fd])
}

fn udp_refused(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.connect(fd, &t.lo(0)));
    gives!(t.send(fd, b"x", 0), 1);
    eq!(t.wait(fd, POLLIN)? & POLLERR, POLLERR);
    err!(t.recv(fd, &mut [0], 0), ECONNREFUSED);
    err!(t.recv(fd, &mut [0], 0), EAGAIN);
    // Sending tells of it too.
    gives!(t.send(fd, b"x", 0), 1);
    t.wait(fd, POLLIN)?;
    err!(t.send(fd, b"y", 0), ECONNREFUSED);
    t.shut(&[fd])
}

fn own_address(t: &Test<'_>) -> Outcome {
    let (listener, client) = (t.sock()?, t.sock()?);
    let at: Address = (IpAddr::from([10, 0, 2, 15]), t.port(0)).into();
    ok!(t.bind(listener, &t.any(0)));
    ok!(t.listen(listener, 1));
    t.join(client, &at)?;
    eq!(ip_of(&ok!(t.getsockname(client))), Some(IpAddr::from([10, 0, 2, 15])));
    let server = t.take(listener)?;
    eq!(ok!(t.getsockname(server)).as_bytes(), at.as_bytes());
    t.shut(&[listener, client, server])
}

fn to_itself(t: &Test<'_>) -> Outcome {
    let fd = t.bound(0)?;
    t.join(fd, &t.lo(0))?;
    eq!(ok!(t.getpeername(fd)).as_bytes(), t.lo(0).as_bytes());
    gives!(t.send(fd, b"me", 0), 2);
    eq!(t.read_some(fd, 9)?, b"me");
    t.shut(&[fd])
}
