//! What a socket's state makes of calls (Linux keeps `struct socket` and
//! `sk_state` beside the state of RFC 9293).

use alloc::vec;
use core::net::{IpAddr, Ipv4Addr};

use crate::{case::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("a refusal is told by the next connect", "connect(2) ECONNREFUSED", TCP, refusal_told),
    Case::new("a refusal that SO_ERROR told is told no more", "connect(2) ECONNABORTED", TCP, refusal_taken),
    Case::new("what a socket is goes before what is asked for", "connect(2) EISCONN", TCP, state_first),
    Case::new("after a refusal it does not listen, and can be bound", "listen(2) EINVAL", TCP, after_refusal),
    Case::new("TCP to port 0", "connect(2) ECONNREFUSED", TCP, port_0),
    Case::new("UDP to port 0", "connect(2), udp(7) ECONNREFUSED", UDP, udp_port_0),
    Case::new("a connection that is dissolved", "connect(2) AF_UNSPEC", TCP, dissolved),
    Case::new("a connect that is dissolved", "connect(2) AF_UNSPEC", &[TCP4], dissolved_early),
    Case::new("a listener that is dissolved connects", "connect(2) AF_UNSPEC", TCP, listener_dissolved),
    Case::new("what was received ends with the association", "connect(2) AF_UNSPEC", TCP, dissolved_data),
    Case::new("the end of a stream goes before an error", "recv(2), RFC 9293 3.10.7.4", TCP, end_before_error),
    Case::new("shutdown without connection counts", "shutdown(2) ENOTCONN", INET, shutdown_counts),
    Case::new("data for who neither reads nor writes is reset", "RFC 1122 4.2.2.13", TCP, data_refused),
    Case::new("who closed first has no peer any more", "RFC 9293 3.6.1, getpeername(2) ENOTCONN", TCP, time_wait),
    Case::new("a chosen name ends with the association", "connect(2) AF_UNSPEC", UDP, name_dissolved),
    Case::new("an address that connect chose ends with the association", "connect(2)", UDP, address_dissolved),
    Case::new("a datagram that is refused gives a port", "send(2), bind(2) EINVAL", UDP, port_of_refused),
    Case::new("a connection whose peer has gone is accepted", "accept(2)", TCP, accepted_dead),
    Case::new("a negative backlog has no limit", "listen(2)", TCP, backlog),
    Case::new("a port with connections is listened at only with leave", "listen(2) EADDRINUSE", TCP, listen_again),
    Case::new("what a listener shut is shut for what it accepts", "shutdown(2)", TCP, inherited_end),
    Case::new("an address of IPv6 makes a socket of IPv6 only", "ipv6(7) IPV6_V6ONLY", V6, bound_to_6),
    Case::new("a hop limit of 0", "ipv6(7) IPV6_UNICAST_HOPS", V6, no_hops),
    Case::new("MSG_FASTOPEN connects", "sendto(2), tcp(7)", TCP, fast_open),
];

fn refused(t: &Test<'_>) -> Result<Fd, Failure> {
    let fd = t.sock()?;
    err!(t.connect(fd, &t.lo(0)), EINPROGRESS);
    t.wait_all(fd, POLLHUP)?;
    Ok(fd)
}

fn unspecified() -> Address {
    raw_address(&[0; 16])
}

fn refusal_told(t: &Test<'_>) -> Outcome {
    let fd = refused(t)?;
    err!(t.connect(fd, &t.lo(0)), ECONNREFUSED);
    // Now it is as new.
    eq!(t.ready(fd, POLLIN | POLLOUT | POLLRDHUP)?, POLLOUT | POLLHUP);
    err!(t.connect(fd, &t.lo(0)), EINPROGRESS);
    t.shut(&[fd])
}

fn refusal_taken(t: &Test<'_>) -> Outcome {
    let fd = refused(t)?;
    eq!(t.take_error(fd)?, i32::from(Errno::ECONNREFUSED.raw()));
    err!(t.connect(fd, &t.lo(0)), ECONNABORTED);
    err!(t.connect(fd, &t.lo(0)), EINPROGRESS);
    t.shut(&[fd])
}

fn state_first(t: &Test<'_>) -> Outcome {
    let (client, server) = t.pair()?;
    let listener = t.listener(2)?;
    gives!(t.connect(client, &t.lo(5)), ());
    let mut family = resized(&t.lo(0), 28).as_bytes().to_vec();
    family[..2].copy_from_slice(&99u16.to_ne_bytes());
    for address in [raw_address(&[2, 0, 9]), raw_address(&family)] {
        for fd in [client, server, listener] {
            err!(t.connect(fd, &address), EISCONN);
        }
    }
    // But it must be one.
    err!(t.connect(client, &raw_address(&[2])), EINVAL);
    t.shut(&[client, server, listener])
}

fn after_refusal(t: &Test<'_>) -> Outcome {
    let fd = refused(t)?;
    err!(t.listen(fd, 1), EINVAL);
    let name = ok!(t.getsockname(fd));
    that!(ip_of(&name) == Some(t.loopback()) && port_of(&name) != 0);
    ok!(t.bind(fd, &t.lo(1)));
    eq!(ok!(t.getsockname(fd)).as_bytes(), t.lo(1).as_bytes());
    t.shut(&[fd])
}

fn port_0(t: &Test<'_>) -> Outcome {
    let to: Address = (t.loopback(), 0).into();
    let (fd, waiting) = (t.sock()?, t.waiting_sock()?);
    err!(t.connect(fd, &to), EINPROGRESS);
    t.wait_all(fd, POLLHUP)?;
    eq!(t.take_error(fd)?, i32::from(Errno::ECONNREFUSED.raw()));
    err!(t.connect(waiting, &to), ECONNREFUSED);
    t.shut(&[fd, waiting])
}

fn udp_port_0(t: &Test<'_>) -> Outcome {
    let (a, b) = (t.bound(0)?, t.bound(1)?);
    let to: Address = (t.loopback(), 0).into();
    err!(t.sendto(a, b"x", 0, &to), EINVAL);
    // As a peer it is one, which is nowhere, and any.
    ok!(t.connect(a, &to));
    err!(t.getpeername(a), ENOTCONN);
    gives!(t.send(a, b"x", 0), 1);
    t.wait_all(a, POLLERR)?;
    err!(t.recv(a, &mut [0], 0), ECONNREFUSED);
    gives!(t.sendto(b, b"y", 0, &t.lo(0)), 1);
    eq!(t.read_some(a, 9)?, b"y");
    t.shut(&[a, b])
}

fn dissolved(t: &Test<'_>) -> Outcome {
    let (client, server) = t.pair()?;
    ok!(t.connect(client, &unspecified()));
    eq!(t.ready(client, POLLIN | POLLOUT | POLLRDHUP)?, POLLOUT | POLLERR | POLLHUP);
    err!(t.recv(client, &mut [0], 0), ECONNRESET);
    err!(t.recv(client, &mut [0], 0), ENOTCONN);
    t.wait_all(server, POLLERR)?;
    err!(t.recv(server, &mut [0], 0), ECONNRESET);
    t.shut(&[client, server])
}

fn dissolved_early(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.connect(fd, &address("10.0.2.201:9")), EINPROGRESS);
    ok!(t.connect(fd, &unspecified()));
    eq!(t.ready(fd, POLLIN | POLLOUT | POLLRDHUP)?, POLLOUT | POLLERR | POLLHUP);
    // It may listen, and says nothing of its time before.
    ok!(t.listen(fd, 1));
    eq!(t.ready(fd, POLLIN | POLLOUT | POLLRDHUP)?, 0);
    eq!(t.take_error(fd)?, i32::from(Errno::ECONNRESET.raw()));
    t.shut(&[fd])
}

fn listener_dissolved(t: &Test<'_>) -> Outcome {
    let (fd, other) = (t.listener(0)?, t.listener(1)?);
    ok!(t.connect(fd, &unspecified()));
    eq!(t.ready(fd, POLLIN | POLLOUT | POLLRDHUP)?, POLLOUT | POLLHUP);
    err!(t.accept4(fd, 0), EINVAL);
    t.join(fd, &t.lo(1))?;
    eq!(ok!(t.getsockname(fd)).as_bytes(), t.lo(0).as_bytes());
    let server = t.take(other)?;
    gives!(t.send(server, b"data", 0), 4);
    eq!(t.read_some(fd, 9)?, b"data");
    t.shut(&[fd, other, server])
}

fn dissolved_data(t: &Test<'_>) -> Outcome {
    let (listener, client) = (t.listener(0)?, t.sock()?);
    t.join(client, &t.lo(0))?;
    let server = t.take(listener)?;
    gives!(t.send(server, b"old", 0), 3);
    t.wait(client, POLLIN)?;
    ok!(t.connect(client, &unspecified()));
    eq!(t.take_error(client)?, i32::from(Errno::ECONNRESET.raw()));
    err!(t.recv(client, &mut [0; 9], 0), ENOTCONN);
    t.join(client, &t.lo(0))?;
    let again = t.take(listener)?;
    gives!(t.send(again, b"new", 0), 3);
    eq!(t.read_some(client, 9)?, b"new");
    t.shut(&[listener, client, server, again])
}

fn end_before_error(t: &Test<'_>) -> Outcome {
    let (client, server) = t.pair()?;
    ok!(t.close(client));
    t.wait_all(server, POLLRDHUP)?;
    // Nobody is there to take it.
    gives!(t.send(server, b"x", 0), 1);
    t.wait_all(server, POLLERR)?;
    for _ in 0..3 {
        gives!(t.recv(server, &mut [0; 9], 0), 0);
    }
    eq!(t.ready(server, POLLIN)? & POLLERR, POLLERR);
    eq!(t.take_error(server)?, i32::from(Errno::EPIPE.raw()));
    err!(t.send(server, b"x", 0), EPIPE);
    gives!(t.recv(server, &mut [0; 9], 0), 0);
    t.shut(&[server])
}

fn shutdown_counts(t: &Test<'_>) -> Outcome {
    let fresh = if t.stream() { POLLOUT | POLLHUP } else { POLLOUT };
    let fd = t.sock()?;
    err!(t.shutdown(fd, SHUT_WR), ENOTCONN);
    eq!(t.ready(fd, POLLIN | POLLOUT | POLLRDHUP)?, fresh);
    err!(t.sendto(fd, b"x", 0, &t.lo(0)), EPIPE);
    err!(t.shutdown(fd, SHUT_RD), ENOTCONN);
    eq!(t.ready(fd, POLLIN | POLLOUT | POLLRDHUP)?, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
    t.shut(&[fd])
}

fn data_refused(t: &Test<'_>) -> Outcome {
    let (client, server) = t.pair()?;
    ok!(t.shutdown(server, SHUT_RDWR));
    t.wait_all(client, POLLRDHUP)?;
    gives!(t.send(client, b"late", 0), 4);
    t.wait_all(client, POLLERR)?;
    t.wait_all(server, POLLERR)?;
    err!(t.recv(server, &mut [0; 9], 0), ECONNRESET);
    eq!(t.take_error(client)?, i32::from(Errno::EPIPE.raw()));
    t.shut(&[client, server])
}

fn time_wait(t: &Test<'_>) -> Outcome {
    let (client, server) = t.pair()?;
    ok!(t.shutdown(client, SHUT_WR));
    eq!(t.read_some(server, 1)?, b"");
    ok!(t.close(server));
    t.wait_all(client, POLLHUP)?;
    eq!(t.ready(client, POLLIN | POLLOUT | POLLRDHUP)?, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
    err!(t.getpeername(client), ENOTCONN);
    err!(t.shutdown(client, SHUT_RDWR), ENOTCONN);
    let mut info = [0; 1];
    ok!(t.getsockopt(client, IPPROTO_TCP, TCP_INFO, &mut info));
    eq!(info[0], TCP_CLOSE);
    err!(t.connect(client, &t.lo(0)).and(t.connect(client, &t.lo(0))), EISCONN);
    t.shut(&[client])
}

fn name_dissolved(t: &Test<'_>) -> Outcome {
    let (fd, peer) = (t.sock()?, t.bound(0)?);
    ok!(t.connect(fd, &t.lo(0)));
    that!(port_of(&ok!(t.getsockname(fd))) != 0);
    ok!(t.connect(fd, &unspecified()));
    eq!(ok!(t.getsockname(fd)).as_bytes(), Address::from((t.unspecified(), 0)).as_bytes());
    // So it can be bound.
    ok!(t.bind(fd, &t.lo(1)));
    t.shut(&[fd, peer])
}

fn address_dissolved(t: &Test<'_>) -> Outcome {
    let (fd, peer) = (t.sock()?, t.bound(0)?);
    ok!(t.bind(fd, &t.any(1)));
    ok!(t.connect(fd, &t.lo(0)));
    eq!(ok!(t.getsockname(fd)).as_bytes(), t.lo(1).as_bytes());
    ok!(t.connect(fd, &unspecified()));
    eq!(ok!(t.getsockname(fd)).as_bytes(), t.any(1).as_bytes());
    if !t.v6() {
        let other: Address = (IpAddr::from([127, 0, 0, 9]), t.port(1)).into();
        gives!(t.sendto(peer, b"x", 0, &other), 1);
        eq!(t.read_some(fd, 9)?, b"x");
    }
    t.shut(&[fd, peer])
}

fn port_of_refused(t: &Test<'_>) -> Outcome {
    for what in 0..3 {
        let fd = t.sock()?;
        match what {
            0 => err!(t.send(fd, b"x", 0), EDESTADDRREQ),
            1 => err!(t.sendto(fd, b"x", 0, &raw_address(&[1, 2, 3])), EINVAL),
            _ => err!(t.sendto(fd, &vec![0; 70_000], 0, &t.lo(0)), EMSGSIZE),
        }
        that!(port_of(&ok!(t.getsockname(fd))) != 0);
        err!(t.bind(fd, &t.lo(0)), EINVAL);
        t.shut(&[fd])?;
    }
    Ok(())
}

fn accepted_dead(t: &Test<'_>) -> Outcome {
    let (listener, client) = (t.listener(0)?, t.sock()?);
    ok!(t.bind(client, &t.lo(1)));
    t.join(client, &t.lo(0))?;
    t.wait(listener, POLLIN)?;
    ok!(t.setsockopt(client, SOL_SOCKET, SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0]));
    ok!(t.close(client));
    t.settle()?;
    let (server, from) = ok!(t.accept4(listener, SOCK_NONBLOCK));
    eq!(from.as_bytes(), t.lo(1).as_bytes());
    t.wait_all(server, POLLERR)?;
    err!(t.getpeername(server), ENOTCONN);
    err!(t.recv(server, &mut [0], 0), ECONNRESET);
    t.shut(&[listener, server])
}

fn backlog(t: &Test<'_>) -> Outcome {
    let listener = t.bound(0)?;
    ok!(t.listen(listener, -1));
    let mut fds = vec![listener];
    for _ in 0..5 {
        let fd = t.sock()?;
        t.join(fd, &t.lo(0))?;
        fds.push(fd);
    }
    t.shut(&fds)
}

fn listen_again(t: &Test<'_>) -> Outcome {
    let (listener, client) = (t.listener(0)?, t.sock()?);
    t.join(client, &t.lo(0))?;
    let server = t.take(listener)?;
    ok!(t.shutdown(listener, SHUT_RD));
    err!(t.listen(listener, 1), EADDRINUSE);
    t.shut(&[listener, client, server])
}

fn inherited_end(t: &Test<'_>) -> Outcome {
    let (listener, client) = (t.bound(0)?, t.sock()?);
    err!(t.shutdown(listener, SHUT_WR), ENOTCONN);
    ok!(t.listen(listener, 1));
    t.join(client, &t.lo(0))?;
    eq!(t.read_some(client, 9)?, b"");
    let server = t.take(listener)?;
    err!(t.send(server, b"x", 0), EPIPE);
    t.shut(&[listener, client, server])
}

fn bound_to_6(t: &Test<'_>) -> Outcome {
    let fd = t.bound(0)?;
    gives!(t.option(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
    let mapped: Address = (IpAddr::from(Ipv4Addr::LOCALHOST.to_ipv6_mapped()), t.port(1)).into();
    err!(t.connect(fd, &mapped), ENETUNREACH);
    let fds = [fd, t.sock()?];
    ok!(t.bind(fds[1], &t.any(1)));
    gives!(t.option(fds[1], IPPROTO_IPV6, IPV6_V6ONLY), 0);
    t.shut(&fds)
}

fn no_hops(t: &Test<'_>) -> Outcome {
    let (peer, fd) = (if t.stream() { t.listener(0)? } else { t.bound(0)? }, t.sock()?);
    ok!(t.set_option(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 0));
    gives!(t.option(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS), 0);
    t.join(fd, &t.lo(0))?;
    gives!(t.send(fd, b"x", 0), 1);
    let end = if t.stream() { t.take(peer)? } else { ok!(t.dup(peer)) };
    eq!(t.read_some(end, 9)?, b"x");
    t.shut(&[peer, fd, end])
}

fn fast_open(t: &Test<'_>) -> Outcome {
    let (listener, fd, waiting) = (t.listener(0)?, t.sock()?, t.waiting_sock()?);
    err!(t.sendto(fd, b"x", MSG_FASTOPEN, &t.lo(0)), EINPROGRESS);
    t.wait(fd, POLLOUT)?;
    let one = t.take(listener)?;
    gives!(t.sendto(waiting, b"hello", MSG_FASTOPEN, &t.lo(0)), 5);
    let two = t.take(listener)?;
    eq!(t.read_some(two, 9)?, b"hello");
    err!(t.sendto(waiting, b"x", MSG_FASTOPEN, &t.lo(0)), EISCONN);
    t.shut(&[listener, fd, waiting, one, two])
}
