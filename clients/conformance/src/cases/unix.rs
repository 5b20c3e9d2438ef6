//! Local sockets: unix(7).

use alloc::{format, vec::Vec};

use crate::{case::*, posix::*, test::*};

const STREAM: &[On] = &[UNIX_STREAM];
const DGRAM: &[On] = &[UNIX_DGRAM];
const SEQPACKET: &[On] = &[UNIX_SEQPACKET];
const S: i32 = SOL_SOCKET;

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("a pair carries data both ways", "socketpair(2)", UNIX, both_ways),
    Case::new("names of a pair", "unix(7) unnamed", UNIX, pair_names),
    Case::new("socketpair errors", "socketpair(2)", ONCE, pair_errors),
    Case::new("the name of a new socket", "unix(7) unnamed", UNIX, new_name),
    Case::new("autobind", "unix(7) Autobind feature", UNIX, autobind),
    Case::new("autobind twice", "unix(7) Autobind feature", UNIX, autobind_twice),
    Case::new("a second name", "bind(2) EINVAL", UNIX, second_name),
    Case::new("an abstract name that is taken", "bind(2) EADDRINUSE", UNIX, taken),
    Case::new("abstract names by type", "unix(7) abstract", ONCE, by_type),
    Case::new("every byte of an abstract name counts", "unix(7) abstract", UNIX, exact_names),
    Case::new("wrong local addresses", "bind(2) EINVAL", UNIX, wrong_addresses),
    Case::new("nobody at an abstract name", "connect(2) ECONNREFUSED", UNIX, nobody),
    Case::new("connect and accept", "accept(2)", UNIX_CONNECTED, connect_accept),
    Case::new("names of a connection", "getpeername(2)", UNIX_CONNECTED, connection_names),
    Case::new("connect to who does not listen", "connect(2) ECONNREFUSED", UNIX_CONNECTED, not_listening),
    Case::new("connect twice", "connect(2) EISCONN", UNIX_CONNECTED, connect_twice),
    Case::new("a listener does not connect", "connect(2) EINVAL", UNIX_CONNECTED, listener_connects),
    Case::new("listen without a name", "listen(2) EINVAL", UNIX_CONNECTED, listen_unbound),
    Case::new("listen on datagrams", "listen(2) EOPNOTSUPP", DGRAM, listen_dgram),
    Case::new("one more than the backlog", "listen(2)", UNIX_CONNECTED, backlog),
    Case::new("accepting makes room for one more", "listen(2)", UNIX_CONNECTED, backlog_room),
    Case::new("a connect that waits for room", "socket(7) SO_SNDTIMEO", UNIX_CONNECTED, backlog_waits),
    Case::new("a closed listener resets who waits, by AF_UNIX", "close(2)", UNIX_CONNECTED, listener_closed),
    Case::new("data before accept", "unix(7)", UNIX_CONNECTED, early_data),
    Case::new("end of file from a closed peer", "recv(2)", UNIX_CONNECTED, peer_closed),
    Case::new("unread data makes a reset", "unix(7) ECONNRESET", UNIX_CONNECTED, unread_reset),
    Case::new("writing to a closed peer", "send(2) EPIPE", UNIX_CONNECTED, broken_pipe),
    Case::new("SHUT_WR", "shutdown(2)", UNIX_CONNECTED, shut_write),
    Case::new("SHUT_RD", "shutdown(2)", UNIX_CONNECTED, shut_read),
    Case::new("readiness of a new socket", "poll(2)", UNIX_CONNECTED, new_readiness),
    Case::new("readiness when the peer is gone", "poll(2) POLLHUP", UNIX_CONNECTED, gone_readiness),
    Case::new("use without a connection", "unix(7) ENOTCONN", UNIX, unconnected),
    Case::new("an address on a stream", "send(2) EISCONN EOPNOTSUPP", STREAM, address_on_stream),
    Case::new("an address on packets is ignored", "send(2)", SEQPACKET, address_on_packets),
    Case::new("MSG_PEEK by AF_UNIX", "recv(2) MSG_PEEK", UNIX, peek),
    Case::new("SIOCINQ and SIOCOUTQ", "unix(7) Ioctls", STREAM, queue_lengths),
    Case::new("a stream that is full", "send(2) EAGAIN", STREAM, full),
    Case::new("options of AF_UNIX", "socket(7)", UNIX, options),
    Case::new("a listener that is shut down", "shutdown(2)", UNIX_CONNECTED, listener_shut),
    Case::new("listen again with a larger backlog", "listen(2)", UNIX_CONNECTED, larger_backlog),
    Case::new("SO_ACCEPTCONN by AF_UNIX", "socket(7) SO_ACCEPTCONN", UNIX_CONNECTED, accepts),
    Case::new("who sends on a connection", "recvfrom(2)", UNIX_CONNECTED, connection_sender),
    Case::new("shutdown without a connection", "shutdown(2)", UNIX, shut_unconnected),
    Case::new("what a listener does not do", "unix(7)", UNIX_CONNECTED, listener_errors),
    Case::new("nothing is inherited by AF_UNIX", "accept(2)", UNIX_CONNECTED, nothing_inherited),
    Case::new("SO_SNDBUF bounds what is not read", "unix(7) SO_SNDBUF", STREAM, send_buffer),
    Case::new("SO_RCVBUF does not bound a local stream", "unix(7) SO_RCVBUF", STREAM, receive_buffer),
    Case::new("POLLOUT with more than a quarter unread", "poll(2) POLLOUT", STREAM, writable).differs(
        "A local stream is writable while there is room; by Linux, while no more than a quarter of SO_SNDBUF is unread.",
    ),
    Case::new("the largest buffers by AF_UNIX", "socket(7) SO_SNDBUF", UNIX, most_buffer).differs(
        "SO_SNDBUF and SO_RCVBUF are 253,952 at most, what a ring holds (Linux: twice net.core.wmem_max, 425,984).",
    ),
    Case::new("SO_PEEK_OFF of a stream", "socket(7) SO_PEEK_OFF", STREAM, peek_offset),
    Case::new("sendmmsg ends with a part", "sendmmsg(2)", STREAM, mmsg_part),
    Case::new("SO_RCVLOWAT of a local stream", "socket(7) SO_RCVLOWAT", STREAM, low_water),
    Case::new("MSG_PEEK waits for no more", "recv(2) MSG_WAITALL", STREAM, peek_all),
];

/// An abstract name of the case's own.
pub fn name(t: &Test<'_>, n: u16) -> Address {
    address_of(format!("\0strait-{}", t.port(n)).as_bytes())
}

pub fn address_of(name: &[u8]) -> Address {
    raw_address(&[&AF_UNIX.to_ne_bytes()[..], name].concat())
}

pub fn unnamed() -> Address {
    address_of(&[])
}

pub fn named(t: &Test<'_>, n: u16) -> Result<Fd, Failure> {
    let fd = t.sock()?;
    ok!(t.bind(fd, &name(t, n)));
    Ok(fd)
}

pub fn listening(t: &Test<'_>, n: u16, backlog: i32) -> Result<Fd, Failure> {
    let fd = named(t, n)?;
    ok!(t.listen(fd, backlog));
    Ok(fd)
}

/// A connection through a name: who connected and who accepted.
pub fn connection(t: &Test<'_>) -> Result<(Fd, Fd), Failure> {
    let listener = listening(t, 0, 5)?;
    let a = t.sock()?;
    ok!(t.connect(a, &name(t, 0)));
    let b = t.take(listener)?;
    t.shut(&[listener])?;
    Ok((a, b))
}

/// recv(2) as bytes.
pub fn recv_into(t: &Test<'_>, fd: Fd, max: usize, flags: u32) -> Result<Vec<u8>, Errno> {
    let mut bytes = alloc::vec![0; max];
    let n = t.recv(fd, &mut bytes, flags)?;
    bytes.truncate(n);
    Ok(bytes)
}

fn both_ways(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"hello", 0), 5);
    gives!(t.send(b, b"world!", 0), 6);
    eq!(t.read_some(b, 99)?, b"hello");
    eq!(t.read_some(a, 99)?, b"world!");
    t.shut(&[a, b])
}

fn pair_names(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    for fd in [a, b] {
        gives!(t.getsockname(fd), unnamed());
        gives!(t.getpeername(fd), unnamed());
    }
    t.shut(&[a, b])
}

fn pair_errors(t: &Test<'_>) -> Outcome {
    err!(t.socketpair(AF_INET, SOCK_STREAM.into(), 0), EOPNOTSUPP);
    err!(t.socketpair(AF_UNIX, SOCK_STREAM.into(), 6), EPROTONOSUPPORT);
    err!(t.socketpair(AF_UNIX, 4, 0), ESOCKTNOSUPPORT);
    err!(t.socketpair(AF_UNIX, 4, 9), EPROTONOSUPPORT);
    err!(t.socketpair(99, SOCK_STREAM.into(), 0), EAFNOSUPPORT);
    let (a, b) = ok!(t.socketpair(AF_UNIX, u32::from(SOCK_STREAM) | SOCK_CLOEXEC, AF_UNIX));
    for fd in [a, b] {
        gives!(t.fcntl(fd, F_GETFD, 0), FD_CLOEXEC as i32);
    }
    t.shut(&[a, b])
}

fn new_name(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    gives!(t.getsockname(fd), unnamed());
    err!(t.getpeername(fd), ENOTCONN);
    t.shut(&[fd])
}

fn autobind(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.bind(fd, &unnamed()));
    let got = ok!(t.getsockname(fd));
    let bytes = got.as_bytes();
    eq!(bytes.len(), 8);
    eq!(bytes[2], 0);
    that!(bytes[3..].iter().all(|b| b.is_ascii_hexdigit()));
    t.shut(&[fd])
}

fn autobind_twice(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.bind(fd, &unnamed()));
    let first = ok!(t.getsockname(fd));
    ok!(t.bind(fd, &unnamed()));
    gives!(t.getsockname(fd), first);
    t.shut(&[fd])
}

fn second_name(t: &Test<'_>) -> Outcome {
    let fd = named(t, 0)?;
    err!(t.bind(fd, &name(t, 1)), EINVAL);
    gives!(t.getsockname(fd), name(t, 0));
    t.shut(&[fd])
}

fn taken(t: &Test<'_>) -> Outcome {
    let (a, b) = (named(t, 0)?, t.sock()?);
    err!(t.bind(b, &name(t, 0)), EADDRINUSE);
    t.shut(&[a])?;
    ok!(t.bind(b, &name(t, 0)));
    t.shut(&[b])
}

fn by_type(t: &Test<'_>) -> Outcome {
    let mut fds = Vec::new();
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let fd = ok!(t.socket(AF_UNIX, kind.into(), 0));
        ok!(t.bind(fd, &name(t, 0)));
        fds.push(fd);
    }
    t.shut(&fds)
}

fn exact_names(t: &Test<'_>) -> Outcome {
    let (short, long) = (t.sock()?, t.sock()?);
    let base = name(t, 0);
    ok!(t.bind(short, &base));
    ok!(t.bind(long, &resized(&base, base.as_bytes().len() + 1)));
    gives!(t.getsockname(short), base);
    t.shut(&[short, long])
}

fn wrong_addresses(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.bind(fd, &raw_address(&[1])), EINVAL);
    err!(t.bind(fd, &raw_address(&[])), EINVAL);
    err!(t.bind(fd, &resized(&name(t, 0), 111)), EINVAL);
    err!(t.bind(fd, &address("127.0.0.1:9")), EINVAL);
    err!(t.connect(fd, &unnamed()), EINVAL);
    err!(t.connect(fd, &address("127.0.0.1:9")), EINVAL);
    t.shut(&[fd])
}

fn nobody(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.connect(fd, &name(t, 0)), ECONNREFUSED);
    t.shut(&[fd])
}

fn connect_accept(t: &Test<'_>) -> Outcome {
    let (a, b) = connection(t)?;
    gives!(t.send(a, b"one", 0), 3);
    eq!(t.read_some(b, 99)?, b"one");
    gives!(t.send(b, b"two", 0), 3);
    eq!(t.read_some(a, 99)?, b"two");
    t.shut(&[a, b])
}

fn connection_names(t: &Test<'_>) -> Outcome {
    let listener = listening(t, 0, 5)?;
    let a = t.sock()?;
    ok!(t.connect(a, &name(t, 0)));
    t.wait(listener, POLLIN)?;
    let (b, from) = ok!(t.accept4(listener, 0));
    eq!(from, unnamed());
    gives!(t.getsockname(a), unnamed());
    gives!(t.getpeername(a), name(t, 0));
    gives!(t.getsockname(b), name(t, 0));
    gives!(t.getpeername(b), unnamed());
    t.shut(&[a, b])?;
    let a = named(t, 1)?;
    ok!(t.connect(a, &name(t, 0)));
    let (b, from) = ok!(t.accept4(listener, 0));
    eq!(from, name(t, 1));
    gives!(t.getpeername(b), name(t, 1));
    // The name stays when the peer is gone.
    t.shut(&[a])?;
    t.settle()?;
    gives!(t.getpeername(b), name(t, 1));
    t.shut(&[b, listener])
}

fn not_listening(t: &Test<'_>) -> Outcome {
    let (idle, fd) = (named(t, 0)?, t.sock()?);
    err!(t.connect(fd, &name(t, 0)), ECONNREFUSED);
    t.shut(&[idle, fd])
}

fn connect_twice(t: &Test<'_>) -> Outcome {
    let listener = listening(t, 0, 5)?;
    let a = t.sock()?;
    ok!(t.connect(a, &name(t, 0)));
    err!(t.connect(a, &name(t, 0)), EISCONN);
    t.shut(&[a, listener])
}

fn listener_connects(t: &Test<'_>) -> Outcome {
    let (listener, other) = (listening(t, 0, 5)?, listening(t, 1, 5)?);
    err!(t.connect(listener, &name(t, 1)), EINVAL);
    t.shut(&[listener, other])
}

fn listen_unbound(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.listen(fd, 5), EINVAL);
    err!(t.accept4(fd, 0), EINVAL);
    t.shut(&[fd])
}

fn listen_dgram(t: &Test<'_>) -> Outcome {
    let fd = named(t, 0)?;
    err!(t.listen(fd, 5), EOPNOTSUPP);
    err!(t.accept4(fd, 0), EOPNOTSUPP);
    t.shut(&[fd])
}

fn backlog(t: &Test<'_>) -> Outcome {
    for most in [0, 1, 5] {
        let listener = listening(t, most, most.into())?;
        let mut fds = alloc::vec![listener];
        for _ in 0..=most {
            let fd = t.sock()?;
            ok!(t.connect(fd, &name(t, most)));
            fds.push(fd);
        }
        let late = t.sock()?;
        err!(t.connect(late, &name(t, most)), EAGAIN);
        fds.push(late);
        t.shut(&fds)?;
    }
    Ok(())
}

fn backlog_room(t: &Test<'_>) -> Outcome {
    let listener = listening(t, 0, 0)?;
    let (a, b) = (t.sock()?, t.sock()?);
    ok!(t.connect(a, &name(t, 0)));
    err!(t.connect(b, &name(t, 0)), EAGAIN);
    let c = t.take(listener)?;
    ok!(t.connect(b, &name(t, 0)));
    t.shut(&[a, b, c, listener])
}

fn backlog_waits(t: &Test<'_>) -> Outcome {
    let listener = listening(t, 0, 0)?;
    let (a, b) = (t.sock()?, t.waiting_sock()?);
    ok!(t.connect(a, &name(t, 0)));
    let mut timeout = [0; 16];
    timeout[8..].copy_from_slice(&30_000u64.to_ne_bytes());
    ok!(t.setsockopt(b, S, SO_SNDTIMEO, &timeout));
    let before = t.now();
    err!(t.connect(b, &name(t, 0)), EAGAIN);
    that!((t.now() - before).as_millis() >= 25);
    let c = t.take(listener)?;
    ok!(t.connect(b, &name(t, 0)));
    t.shut(&[a, b, c, listener])
}

fn listener_closed(t: &Test<'_>) -> Outcome {
    let listener = listening(t, 0, 5)?;
    let a = t.sock()?;
    ok!(t.connect(a, &name(t, 0)));
    t.shut(&[listener])?;
    t.settle()?;
    err!(recv_into(t, a, 1, 0), ECONNRESET);
    gives!(recv_into(t, a, 1, 0), b"");
    t.shut(&[a])
}

fn early_data(t: &Test<'_>) -> Outcome {
    let listener = listening(t, 0, 5)?;
    let a = t.sock()?;
    ok!(t.connect(a, &name(t, 0)));
    gives!(t.send(a, b"early", 0), 5);
    t.shut(&[a])?;
    let b = t.take(listener)?;
    eq!(t.read_some(b, 99)?, b"early");
    t.wait(b, POLLIN)?;
    gives!(recv_into(t, b, 1, 0), b"");
    t.shut(&[b, listener])
}

fn peer_closed(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"last", 0), 4);
    t.shut(&[a])?;
    eq!(t.read_some(b, 99)?, b"last");
    t.wait(b, POLLIN)?;
    gives!(recv_into(t, b, 1, 0), b"");
    t.shut(&[b])
}

fn unread_reset(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"unread", 0), 6);
    t.wait(b, POLLIN)?;
    t.shut(&[b])?;
    t.wait_all(a, POLLHUP)?;
    err!(recv_into(t, a, 1, 0), ECONNRESET);
    gives!(recv_into(t, a, 1, 0), b"");
    t.shut(&[a])
}

fn broken_pipe(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    t.shut(&[b])?;
    t.wait_all(a, POLLHUP)?;
    err!(t.send(a, b"x", MSG_NOSIGNAL), EPIPE);
    err!(t.send(a, b"x", MSG_NOSIGNAL), EPIPE);
    t.shut(&[a])
}

fn shut_write(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"last", 0), 4);
    ok!(t.shutdown(a, SHUT_WR));
    err!(t.send(a, b"x", MSG_NOSIGNAL), EPIPE);
    eq!(t.read_some(b, 99)?, b"last");
    t.wait_all(b, POLLIN | POLLRDHUP)?;
    gives!(recv_into(t, b, 1, 0), b"");
    gives!(t.send(b, b"back", 0), 4);
    eq!(t.read_some(a, 99)?, b"back");
    t.shut(&[a, b])
}

fn shut_read(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.shutdown(a, SHUT_RD));
    gives!(recv_into(t, a, 1, 0), b"");
    t.settle()?;
    err!(t.send(b, b"x", MSG_NOSIGNAL), EPIPE);
    gives!(t.send(a, b"on", 0), 2);
    eq!(t.read_some(b, 99)?, b"on");
    t.shut(&[a, b])
}

fn new_readiness(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    eq!(t.ready(fd, POLLIN | POLLOUT | POLLRDHUP)?, POLLOUT | POLLHUP);
    t.shut(&[fd])?;
    let listener = listening(t, 0, 5)?;
    eq!(t.ready(listener, POLLIN | POLLOUT)?, 0);
    t.shut(&[listener])
}

fn gone_readiness(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    eq!(t.ready(a, POLLIN | POLLOUT | POLLRDHUP)?, POLLOUT);
    t.shut(&[b])?;
    let all = POLLIN | POLLOUT | POLLRDHUP | POLLHUP;
    eq!(t.wait_all(a, all)?, all);
    t.shut(&[a])
}

fn unconnected(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.send(fd, b"x", MSG_NOSIGNAL), ENOTCONN);
    match t.on.kind {
        SOCK_STREAM => err!(recv_into(t, fd, 1, 0), EINVAL),
        SOCK_DGRAM => err!(recv_into(t, fd, 1, 0), EAGAIN),
        _ => err!(recv_into(t, fd, 1, 0), ENOTCONN),
    }
    err!(t.getpeername(fd), ENOTCONN);
    t.shut(&[fd])
}

fn address_on_stream(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    err!(t.sendto(a, b"x", 0, &name(t, 0)), EISCONN);
    let fd = t.sock()?;
    err!(t.sendto(fd, b"x", 0, &name(t, 0)), EOPNOTSUPP);
    t.shut(&[a, b, fd])
}

fn address_on_packets(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.sendto(a, b"x", 0, &name(t, 0)), 1);
    eq!(t.read_some(b, 9)?, b"x");
    let fd = t.sock()?;
    err!(t.sendto(fd, b"x", 0, &name(t, 0)), ENOTCONN);
    t.shut(&[a, b, fd])
}

fn peek(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"look", 0), 4);
    t.wait(b, POLLIN)?;
    gives!(recv_into(t, b, 9, MSG_PEEK), b"look");
    gives!(recv_into(t, b, 2, MSG_PEEK), b"lo");
    gives!(recv_into(t, b, 9, 0), b"look");
    err!(recv_into(t, b, 9, MSG_PEEK), EAGAIN);
    t.shut(&[a, b])
}

/// ioctl(2) that gives an `int`.
pub fn ioctl_int(t: &Test<'_>, fd: Fd, request: u32) -> Result<i32, Errno> {
    let mut value = [0; 4];
    t.ioctl(fd, request, &mut value)?;
    Ok(i32::from_ne_bytes(value))
}

fn queue_lengths(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(ioctl_int(t, a, SIOCOUTQ), 0);
    gives!(ioctl_int(t, b, SIOCINQ), 0);
    gives!(t.send(a, b"12345", 0), 5);
    gives!(t.send(a, b"678", 0), 3);
    t.until("all of it", || ioctl_int(t, b, SIOCINQ) == Ok(8))?;
    // Linux counts what it needs to keep them, too.
    that!(ok!(ioctl_int(t, a, SIOCOUTQ)) >= 8);
    eq!(t.read_exactly(b, 8)?, b"12345678");
    gives!(ioctl_int(t, a, SIOCOUTQ), 0);
    t.shut(&[a, b])?;
    let listener = listening(t, 0, 5)?;
    err!(ioctl_int(t, listener, SIOCINQ), EINVAL);
    gives!(ioctl_int(t, listener, SIOCOUTQ), 0);
    t.shut(&[listener])
}

fn full(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let (chunk, mut sent) = ([7; 4096], 0);
    while sent < 10 << 20 {
        match t.send(a, &chunk, 0) {
            Ok(n) => sent += n,
            Err(Errno::EAGAIN) => {
                t.settle()?;
                if t.ready(a, POLLOUT)? == 0 {
                    break;
                }
            }
            Err(e) => return Err(Failure::new("send()", "EAGAIN", e.name())),
        }
    }
    that!((100_000..10 << 20).contains(&sent));
    err!(t.send(a, b"x", 0), EAGAIN);
    eq!(t.read_exactly(b, sent)?.len(), sent);
    t.wait_all(a, POLLOUT)?;
    gives!(t.send(a, b"x", 0), 1);
    t.shut(&[a, b])
}

fn options(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    gives!(t.option(fd, S, SO_DOMAIN), i32::from(AF_UNIX));
    gives!(t.option(fd, S, SO_TYPE), i32::from(t.on.kind));
    gives!(t.option(fd, S, SO_PROTOCOL), 0);
    gives!(t.option(fd, S, SO_ACCEPTCONN), 0);
    gives!(t.option(fd, S, SO_ERROR), 0);
    ok!(t.set_option(fd, S, SO_SNDBUF, 20_000));
    gives!(t.option(fd, S, SO_SNDBUF), 40_000);
    err!(t.set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1), EOPNOTSUPP);
    err!(t.option(fd, IPPROTO_TCP, TCP_NODELAY), EOPNOTSUPP);
    t.shut(&[fd])
}

fn listener_shut(t: &Test<'_>) -> Outcome {
    let all = POLLIN | POLLOUT | POLLRDHUP;
    for (how, ready) in [(SHUT_RD, POLLIN | POLLRDHUP), (SHUT_WR, POLLIN), (SHUT_RDWR, POLLIN | POLLRDHUP | POLLHUP)] {
        let listener = t.waiting_sock()?;
        ok!(t.bind(listener, &name(t, 0)));
        ok!(t.listen(listener, 5));
        let (a, late) = (t.sock()?, t.sock()?);
        ok!(t.connect(a, &name(t, 0)));
        ok!(t.shutdown(listener, how));
        eq!(t.ready(listener, all)?, ready);
        // Who waits already is accepted.
        let b = t.take(listener)?;
        t.shut(&[b])?;
        if how == SHUT_WR {
            ok!(t.connect(late, &name(t, 0)));
        } else {
            err!(t.connect(late, &name(t, 0)), ECONNREFUSED);
            eq!(t.ready(listener, all)?, ready);
            // Nobody is waited for.
            err!(t.accept4(listener, 0), EINVAL);
            ok!(t.fcntl(listener, F_SETFL, O_NONBLOCK as i32));
            err!(t.accept4(listener, 0), EAGAIN);
            ok!(t.listen(listener, 5));
            err!(t.connect(late, &name(t, 0)), ECONNREFUSED);
        }
        t.shut(&[a, late, listener])?;
    }
    Ok(())
}

fn larger_backlog(t: &Test<'_>) -> Outcome {
    let listener = listening(t, 0, 0)?;
    let mut fds = alloc::vec![listener];
    for n in 0..4 {
        let fd = t.sock()?;
        fds.push(fd);
        if n == 0 {
            ok!(t.connect(fd, &name(t, 0)));
        } else {
            err!(t.connect(fd, &name(t, 0)), EAGAIN);
        }
    }
    ok!(t.listen(listener, 2));
    ok!(t.connect(fds[2], &name(t, 0)));
    ok!(t.connect(fds[3], &name(t, 0)));
    err!(t.connect(fds[4], &name(t, 0)), EAGAIN);
    t.shut(&fds)
}

fn accepts(t: &Test<'_>) -> Outcome {
    let listener = listening(t, 0, 5)?;
    gives!(t.option(listener, S, SO_ACCEPTCONN), 1);
    let a = t.sock()?;
    ok!(t.connect(a, &name(t, 0)));
    let b = t.take(listener)?;
    for fd in [a, b] {
        gives!(t.option(fd, S, SO_ACCEPTCONN), 0);
    }
    t.shut(&[a, b, listener])
}

fn connection_sender(t: &Test<'_>) -> Outcome {
    let listener = listening(t, 0, 5)?;
    let a = t.sock()?;
    ok!(t.connect(a, &name(t, 0)));
    let b = t.take(listener)?;
    let from = |fd: Fd| -> Result<Address, Failure> {
        t.wait(fd, POLLIN)?;
        Ok(ok!(t.recvfrom(fd, &mut [0; 9], 0)).1)
    };
    gives!(t.send(a, b"x", 0), 1);
    eq!(from(b)?.as_bytes(), &[0u8; 0]);
    gives!(t.send(b, b"x", 0), 1);
    eq!(from(a)?, name(t, 0));
    // A name that comes late, and one of who is gone.
    ok!(t.bind(a, &name(t, 1)));
    gives!(t.send(a, b"x", 0), 1);
    eq!(from(b)?, name(t, 1));
    gives!(t.send(a, b"y", 0), 1);
    t.shut(&[a])?;
    t.wait(b, POLLIN)?;
    eq!(ok!(t.recvmsg(b, &mut [&mut [0; 9]], &mut [], 0)).address, name(t, 1));
    t.shut(&[b, listener])
}

fn shut_unconnected(t: &Test<'_>) -> Outcome {
    let all = POLLIN | POLLOUT | POLLRDHUP;
    let connected = t.on.kind != SOCK_DGRAM;
    let hup = if connected { POLLHUP } else { 0 };
    for (how, ready) in [
        (SHUT_RD, POLLIN | POLLOUT | POLLRDHUP | hup),
        (SHUT_WR, POLLOUT | hup),
        (SHUT_RDWR, POLLIN | POLLOUT | POLLRDHUP | POLLHUP),
    ] {
        let fd = t.sock()?;
        ok!(t.shutdown(fd, how));
        eq!(t.ready(fd, all)?, ready);
        let (receive, send) = match t.on.kind {
            SOCK_STREAM => (Errno::EINVAL, Errno::ENOTCONN),
            SOCK_SEQPACKET => (Errno::ENOTCONN, Errno::ENOTCONN),
            _ => (Errno::EAGAIN, if how == SHUT_RD { Errno::ENOTCONN } else { Errno::EPIPE }),
        };
        err!(recv_into(t, fd, 9, 0), = receive);
        err!(t.send(fd, b"x", MSG_NOSIGNAL), = send);
        err!(t.send(fd, b"", MSG_NOSIGNAL), = send);
        t.shut(&[fd])?;
    }
    Ok(())
}

fn listener_errors(t: &Test<'_>) -> Outcome {
    let listener = listening(t, 0, 5)?;
    err!(t.send(listener, b"x", MSG_NOSIGNAL), ENOTCONN);
    err!(recv_into(t, listener, 9, 0), = if t.stream() { Errno::EINVAL } else { Errno::ENOTCONN });
    err!(ioctl_int(t, listener, SIOCINQ), EINVAL);
    let a = t.sock()?;
    ok!(t.bind(a, &name(t, 1)));
    ok!(t.connect(a, &name(t, 0)));
    err!(t.listen(a, 5), EINVAL);
    err!(t.connect(a, &name(t, 2)), ECONNREFUSED);
    err!(t.connect(listener, &name(t, 0)), EINVAL);
    t.shut(&[a, listener])
}

fn nothing_inherited(t: &Test<'_>) -> Outcome {
    let listener = listening(t, 0, 5)?;
    let mut time = [0; 16];
    time[0] = 5;
    ok!(t.setsockopt(listener, S, SO_RCVTIMEO, &time));
    ok!(t.set_option(listener, S, SO_RCVLOWAT, 7));
    ok!(t.set_option(listener, S, SO_OOBINLINE, 1));
    ok!(t.set_option(listener, S, SO_SNDBUF, 5000));
    ok!(t.set_option(listener, S, SO_PEEK_OFF, 3));
    let a = t.sock()?;
    ok!(t.connect(a, &name(t, 0)));
    let b = t.take(listener)?;
    gives!(t.getsockopt(b, S, SO_RCVTIMEO, &mut time), 16);
    eq!(time, [0; 16]);
    for (option, wanted) in [(SO_RCVLOWAT, 1), (SO_OOBINLINE, 0), (SO_SNDBUF, 212_992), (SO_PEEK_OFF, -1)] {
        gives!(t.option(b, S, option), wanted);
    }
    t.shut(&[a, b, listener])
}

/// Sends pieces until there is no room; how much that was.
fn fill(t: &Test<'_>, fd: Fd, piece: &[u8]) -> Result<usize, Failure> {
    let mut sent = 0;
    loop {
        match t.send(fd, piece, 0) {
            Ok(n) => sent += n,
            Err(Errno::EAGAIN) => return Ok(sent),
            Err(e) => return Err(Failure::new("send()", "EAGAIN", e.name())),
        }
    }
}

fn send_buffer(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(a, S, SO_SNDBUF, 4096));
    let sent = fill(t, a, &[1; 1000])?;
    // Linux counts what it needs to keep it, too.
    that!((3000..=8192).contains(&sent));
    eq!(t.ready(a, POLLOUT)?, 0);
    // Some that is read makes room.
    eq!(t.read_exactly(b, 3000)?.len(), 3000);
    that!(fill(t, a, &[1; 1000])? >= 2000);
    t.shut(&[a, b])
}

fn receive_buffer(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(b, S, SO_RCVBUF, 1));
    gives!(t.send(a, &[1; 50_000], 0), 50_000);
    eq!(t.read_exactly(b, 50_000)?.len(), 50_000);
    t.shut(&[a, b])
}

fn writable(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, &[1; 30_000], 0), 30_000);
    eq!(t.ready(a, POLLOUT)?, POLLOUT);
    gives!(t.send(a, &[1; 60_000], 0), 60_000);
    eq!(t.ready(a, POLLOUT)?, t.by_world(0, POLLOUT));
    gives!(t.send(a, &[1; 10_000], 0), 10_000);
    eq!(t.read_exactly(b, 100_000)?.len(), 100_000);
    t.wait_all(a, POLLOUT)?;
    t.shut(&[a, b])
}

fn most_buffer(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    for option in [SO_SNDBUF, SO_RCVBUF] {
        ok!(t.set_option(fd, S, option, 100_000_000));
        let most = ok!(t.option(fd, S, option));
        that!(t.by_world(most >= 425_984, most == 253_952));
    }
    t.shut(&[fd])
}

fn peek_offset(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.option(b, S, SO_PEEK_OFF), -1);
    ok!(t.set_option(b, S, SO_PEEK_OFF, 1));
    gives!(t.send(a, b"abcd", 0), 4);
    t.wait(b, POLLIN)?;
    gives!(recv_into(t, b, 2, MSG_PEEK), b"bc");
    gives!(t.option(b, S, SO_PEEK_OFF), 3);
    gives!(recv_into(t, b, 9, MSG_PEEK), b"d");
    err!(recv_into(t, b, 9, MSG_PEEK), EAGAIN);
    gives!(recv_into(t, b, 2, 0), b"ab");
    gives!(t.option(b, S, SO_PEEK_OFF), 2);
    gives!(t.send(a, b"ef", MSG_OOB), 2);
    t.wait_all(b, POLLPRI)?;
    t.settle()?;
    gives!(recv_into(t, b, 9, MSG_PEEK), b"e");
    gives!(recv_into(t, b, 9, 0), b"cde");
    gives!(t.option(b, S, SO_PEEK_OFF), 0);
    ok!(t.set_option(b, S, SO_PEEK_OFF, -5));
    gives!(t.option(b, S, SO_PEEK_OFF), -5);
    t.shut(&[a, b])
}

fn mmsg_part(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(a, S, SO_SNDBUF, 4096));
    let long = [1; 50_000];
    let message = Outgoing { bufs: &[&long], to: None, control: &[] };
    let short = Outgoing { bufs: &[b"short"], to: None, control: &[] };
    let sent = ok!(t.sendmmsg(a, &[short, message, short], 0));
    eq!((sent.len(), sent[0]), (2, 5));
    that!((1..50_000).contains(&sent[1]));
    eq!(t.read_exactly(b, 5 + sent[1])?.len(), 5 + sent[1]);
    err!(recv_into(t, b, 9, 0), EAGAIN);
    t.shut(&[a, b])
}

fn low_water(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(b, S, SO_RCVLOWAT, 5));
    gives!(t.send(a, b"ab", 0), 2);
    // poll(2) takes no notice of it.
    t.wait_all(b, POLLIN)?;
    gives!(recv_into(t, b, 9, 0), b"ab");
    t.shut(&[a, b])
}

fn peek_all(t: &Test<'_>) -> Outcome {
    let (a, b) = ok!(t.socketpair(AF_UNIX, t.on.kind.into(), 0));
    gives!(t.send(a, b"ab", 0), 2);
    t.wait(b, POLLIN)?;
    gives!(recv_into(t, b, 9, MSG_PEEK | MSG_WAITALL), b"ab");
    t.shut(&[a, b])
}
