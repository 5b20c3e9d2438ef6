//! listen(2), accept(2): taking connections.

use alloc::vec::Vec;

use crate::{case::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("listen without bind takes a port", "listen(2)", TCP, without_bind),
    Case::new("listen twice", "listen(2)", TCP, twice),
    Case::new("listen on a connected socket", "listen(2) EINVAL", TCP, connected),
    Case::new("listen on a datagram socket", "listen(2) EOPNOTSUPP", UDP, datagrams),
    Case::new("accept without listen", "accept(2) EINVAL", TCP, without_listen),
    Case::new("accept on a datagram socket", "accept(2) EOPNOTSUPP", UDP, datagrams_accept),
    Case::new("nobody waits to be accepted", "accept(2) EAGAIN", TCP, nobody),
    Case::new("unknown flags", "accept4(2) EINVAL", TCP, unknown_flags),
    Case::new("flags make the new socket", "accept4(2)", TCP, flags),
    Case::new("O_NONBLOCK is not inherited", "accept(2)", TCP, not_inherited),
    Case::new("options are inherited", "accept(2)", TCP, inherited),
    Case::new("addresses of the new socket", "accept(2)", TCP, names),
    Case::new("a listener is readable when somebody waits", "accept(2)", TCP, readable),
    Case::new("connections are accepted in order", "accept(2)", TCP, in_order),
    Case::new("data sent before accept", "tcp(7)", TCP, data_before),
    Case::new("who went before accept", "accept(2)", TCP, gone_before),
    Case::new("who was reset before accept", "accept(2)", TCP, reset_before),
    Case::new("SO_ACCEPTCONN", "socket(7) SO_ACCEPTCONN", TCP, accept_conn),
    Case::new("a burst within the backlog", "listen(2)", TCP, burst),
    Case::new("a full queue lets others wait", "listen(2)", TCP, full),
    Case::new("a closed listener resets who waits", "tcp(7)", TCP, closed),
    Case::new("accepted sockets outlive the listener", "close(2)", TCP, outlives),
    Case::new("a listener does not send or receive", "send(2) EPIPE, recv(2) ENOTCONN", TCP, no_data),
    Case::new("a listener has no peer", "getpeername(2) ENOTCONN", TCP, no_peer),
    Case::new("shutdown ends listening", "shutdown(2)", TCP, shut_down),
    Case::new("a negative backlog", "listen(2)", TCP, negative),
    Case::new("one address before any address", "RFC 9293 3.10.7.2", TCP, specific_first),
];

fn without_bind(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.listen(fd, 1));
    let name = ok!(t.getsockname(fd));
    eq!(ip_of(&name), Some(t.unspecified()));
    that!(port_of(&name) != 0);
    let client = t.sock()?;
    t.join(client, &(t.loopback(), port_of(&name)).into())?;
    t.shut(&[fd, client])
}

fn twice(t: &Test<'_>) -> Outcome {
    let fd = t.listener(0)?;
    ok!(t.listen(fd, 5));
    ok!(t.listen(fd, 0));
    t.shut(&[fd])
}

fn connected(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    err!(t.listen(a, 1), EINVAL);
    err!(t.listen(b, 1), EINVAL);
    t.shut(&[a, b])
}

fn datagrams(t: &Test<'_>) -> Outcome {
    let fd = t.bound(0)?;
    err!(t.listen(fd, 1), EOPNOTSUPP);
    t.shut(&[fd])
}

fn without_listen(t: &Test<'_>) -> Outcome {
    let (fresh, bound) = (t.sock()?, t.bound(0)?);
    err!(t.accept4(fresh, 0), EINVAL);
    err!(t.accept4(bound, 0), EINVAL);
    t.shut(&[fresh, bound])
}

fn datagrams_accept(t: &Test<'_>) -> Outcome {
    let fd = t.bound(0)?;
    err!(t.accept4(fd, 0), EOPNOTSUPP);
    t.shut(&[fd])
}

fn nobody(t: &Test<'_>) -> Outcome {
    let fd = t.listener(0)?;
    err!(t.accept4(fd, 0), EAGAIN);
    eq!(t.ready(fd, POLLIN | POLLOUT)?, 0);
    t.shut(&[fd])
}

fn unknown_flags(t: &Test<'_>) -> Outcome {
    let fd = t.listener(0)?;
    err!(t.accept4(fd, 1), EINVAL);
    err!(t.accept4(fd, 0x4000_0000), EINVAL);
    t.shut(&[fd])
}

fn flags(t: &Test<'_>) -> Outcome {
    let (listener, client) = (t.listener(0)?, t.sock()?);
    t.join(client, &t.lo(0))?;
    t.wait(listener, POLLIN)?;
    let (server, _) = ok!(t.accept4(listener, SOCK_NONBLOCK | SOCK_CLOEXEC));
    gives!(t.fcntl(server, F_GETFD, 0), FD_CLOEXEC as i32);
    gives!(t.fcntl(server, F_GETFL, 0), (O_RDWR | O_NONBLOCK) as i32);
    err!(t.recv(server, &mut [0], 0), EAGAIN);
    t.shut(&[listener, client, server])
}

fn not_inherited(t: &Test<'_>) -> Outcome {
    let (listener, client) = (t.listener(0)?, t.sock()?);
    t.join(client, &t.lo(0))?;
    t.wait(listener, POLLIN)?;
    let (server, _) = ok!(t.accept4(listener, 0));
    gives!(t.fcntl(server, F_GETFL, 0), O_RDWR as i32);
    gives!(t.fcntl(server, F_GETFD, 0), 0);
    t.shut(&[listener, client, server])
}

fn inherited(t: &Test<'_>) -> Outcome {
    let listener = t.listener(0)?;
    ok!(t.set_option(listener, SOL_SOCKET, SO_KEEPALIVE, 1));
    ok!(t.set_option(listener, SOL_SOCKET, SO_OOBINLINE, 1));
    ok!(t.set_option(listener, IPPROTO_TCP, TCP_NODELAY, 1));
    ok!(t.set_option(listener, IPPROTO_TCP, TCP_KEEPIDLE, 99));
    let linger = [1i32.to_ne_bytes(), 7i32.to_ne_bytes()].concat();
    ok!(t.setsockopt(listener, SOL_SOCKET, SO_LINGER, &linger));
    let client = t.sock()?;
    t.join(client, &t.lo(0))?;
    let server = t.take(listener)?;
    gives!(t.option(server, SOL_SOCKET, SO_KEEPALIVE), 1);
    gives!(t.option(server, SOL_SOCKET, SO_OOBINLINE), 1);
    gives!(t.option(server, IPPROTO_TCP, TCP_NODELAY), 1);
    gives!(t.option(server, IPPROTO_TCP, TCP_KEEPIDLE), 99);
    let mut value = [0; 8];
    gives!(t.getsockopt(server, SOL_SOCKET, SO_LINGER, &mut value), 8);
    eq!(value[..], linger[..]);
    t.shut(&[listener, client, server])
}

fn names(t: &Test<'_>) -> Outcome {
    let (listener, client) = (t.sock()?, t.sock()?);
    ok!(t.bind(listener, &t.any(0)));
    ok!(t.listen(listener, 1));
    t.join(client, &t.lo(0))?;
    t.wait(listener, POLLIN)?;
    let (server, from) = ok!(t.accept4(listener, 0));
    eq!(from.as_bytes(), ok!(t.getsockname(client)).as_bytes());
    eq!(from.as_bytes(), ok!(t.getpeername(server)).as_bytes());
    eq!(ok!(t.getsockname(server)).as_bytes(), t.lo(0).as_bytes());
    t.shut(&[listener, client, server])
}

fn readable(t: &Test<'_>) -> Outcome {
    let (listener, client) = (t.listener(0)?, t.sock()?);
    t.join(client, &t.lo(0))?;
    eq!(t.wait(listener, POLLIN | POLLOUT)?, POLLIN);
    let server = t.take(listener)?;
    eq!(t.ready(listener, POLLIN | POLLOUT)?, 0);
    t.shut(&[listener, client, server])
}

fn in_order(t: &Test<'_>) -> Outcome {
    let listener = t.listener(0)?;
    let mut clients = Vec::new();
    for n in 1..4 {
        let client = t.bound(n)?;
        t.join(client, &t.lo(0))?;
        clients.push(client);
    }
    for n in 1..4 {
        t.wait(listener, POLLIN)?;
        let (server, from) = ok!(t.accept4(listener, 0));
        eq!(port_of(&from), t.port(n));
        clients.push(server);
    }
    t.shut(&clients)?;
    t.shut(&[listener])
}

fn data_before(t: &Test<'_>) -> Outcome {
    let (listener, client) = (t.listener(0)?, t.sock()?);
    t.join(client, &t.lo(0))?;
    gives!(t.send(client, b"early", 0), 5);
    ok!(t.shutdown(client, SHUT_WR));
    let server = t.take(listener)?;
    eq!(t.read_exactly(server, 9)?, b"early");
    t.shut(&[listener, client, server])
}

fn gone_before(t: &Test<'_>) -> Outcome {
    let (listener, client) = (t.listener(0)?, t.sock()?);
    t.join(client, &t.lo(0))?;
    gives!(t.send(client, b"bye", 0), 3);
    t.shut(&[client])?;
    t.settle()?;
    let server = t.take(listener)?;
    eq!(t.read_exactly(server, 9)?, b"bye");
    t.shut(&[listener, server])
}

fn reset(t: &Test<'_>, fd: Fd) -> Outcome {
    let linger = [1i32.to_ne_bytes(), 0i32.to_ne_bytes()].concat();
    ok!(t.setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger));
    t.shut(&[fd])
}

fn reset_before(t: &Test<'_>) -> Outcome {
    let (listener, client) = (t.listener(0)?, t.sock()?);
    t.join(client, &t.lo(0))?;
    t.wait(listener, POLLIN)?;
    let name = ok!(t.getsockname(client));
    reset(t, client)?;
    t.settle()?;
    // It is still accepted, from whom it came; reading tells what happened.
    let (server, peer) = ok!(t.accept4(listener, SOCK_NONBLOCK));
    eq!(peer, name);
    err!(t.getpeername(server), ENOTCONN);
    err!(t.recv(server, &mut [0], 0), ECONNRESET);
    t.shut(&[listener, server])
}

fn accept_conn(t: &Test<'_>) -> Outcome {
    let fd = t.bound(0)?;
    gives!(t.option(fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
    ok!(t.listen(fd, 1));
    gives!(t.option(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
    err!(t.set_option(fd, SOL_SOCKET, SO_ACCEPTCONN, 1), ENOPROTOOPT);
    t.shut(&[fd])
}

fn burst(t: &Test<'_>) -> Outcome {
    const MANY: usize = 200;
    let listener = t.bound(0)?;
    ok!(t.listen(listener, 256));
    let mut clients = Vec::new();
    for _ in 0..MANY {
        let client = t.sock()?;
        err!(t.connect(client, &t.lo(0)), EINPROGRESS);
        clients.push(client);
    }
    for client in &clients {
        eq!(t.wait(*client, POLLOUT)?, POLLOUT);
        eq!(t.take_error(*client)?, 0);
    }
    for _ in 0..MANY {
        let server = t.take(listener)?;
        clients.push(server);
    }
    err!(t.accept4(listener, 0), EAGAIN);
    t.shut(&clients)?;
    t.shut(&[listener])
}

fn full(t: &Test<'_>) -> Outcome {
    let listener = t.bound(0)?;
    ok!(t.listen(listener, 0));
    // Linux takes one more than the backlog.
    let (first, second) = (t.sock()?, t.sock()?);
    t.join(first, &t.lo(0))?;
    t.wait(listener, POLLIN)?;
    err!(t.connect(second, &t.lo(0)), EINPROGRESS);
    t.pause(20)?;
    eq!(t.ready(second, POLLIN | POLLOUT)?, 0);
    // When there is room, its next SYN gets in.
    let server = t.take(listener)?;
    eq!(t.wait(second, POLLOUT)?, POLLOUT);
    t.shut(&[listener, first, second, server])
}

fn closed(t: &Test<'_>) -> Outcome {
    let (listener, client) = (t.listener(0)?, t.sock()?);
    t.join(client, &t.lo(0))?;
    t.wait(listener, POLLIN)?;
    t.shut(&[listener])?;
    t.wait(client, POLLIN)?;
    err!(t.recv(client, &mut [0], 0), ECONNRESET);
    t.shut(&[client])
}

fn outlives(t: &Test<'_>) -> Outcome {
    let (client, server) = t.pair()?;
    gives!(t.send(server, b"still", 0), 5);
    eq!(t.read_some(client, 9)?, b"still");
    let late = t.waiting_sock()?;
    err!(t.connect(late, &t.lo(0)), ECONNREFUSED);
    t.shut(&[client, server, late])
}

fn no_data(t: &Test<'_>) -> Outcome {
    let fd = t.listener(0)?;
    err!(t.send(fd, b"x", 0), EPIPE);
    err!(t.recv(fd, &mut [0], 0), ENOTCONN);
    t.shut(&[fd])
}

fn no_peer(t: &Test<'_>) -> Outcome {
    let fd = t.listener(0)?;
    err!(t.getpeername(fd), ENOTCONN);
    t.shut(&[fd])
}

fn shut_down(t: &Test<'_>) -> Outcome {
    let (fd, client) = (t.listener(0)?, t.waiting_sock()?);
    ok!(t.shutdown(fd, SHUT_RD));
    err!(t.accept4(fd, 0), EINVAL);
    err!(t.connect(client, &t.lo(0)), ECONNREFUSED);
    // It may listen again.
    ok!(t.listen(fd, 1));
    ok!(t.connect(client, &t.lo(0)));
    t.shut(&[fd, client])
}

fn negative(t: &Test<'_>) -> Outcome {
    let (fd, client) = (t.bound(0)?, t.sock()?);
    ok!(t.listen(fd, -1));
    t.join(client, &t.lo(0))?;
    t.shut(&[fd, client])
}

fn specific_first(t: &Test<'_>) -> Outcome {
    let (any, one, client) = (t.sock()?, t.sock()?, t.sock()?);
    for (fd, at) in [(any, t.any(0)), (one, t.lo(0))] {
        ok!(t.set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1));
        ok!(t.bind(fd, &at));
        ok!(t.listen(fd, 4));
    }
    t.join(client, &t.lo(0))?;
    eq!(t.wait(one, POLLIN)?, POLLIN);
    eq!(t.ready(any, POLLIN)?, 0);
    t.shut(&[any, one, client])
}
