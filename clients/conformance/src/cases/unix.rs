//! Local sockets: unix(7).

use alloc::{format, vec::Vec};

use crate::{case::*, posix::*, test::*};

const STREAM: &[On] = &[UNIX_STREAM];
const DGRAM: &[On] = &[UNIX_DGRAM];
const SEQPACKET: &[On] = &[UNIX_SEQPACKET];
const RECORDS: &[On] = &[UNIX_DGRAM, UNIX_SEQPACKET];
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
    Case::new("records have borders", "unix(7)", RECORDS, borders),
    Case::new("an empty record", "unix(7)", RECORDS, empty_record),
    Case::new("MSG_TRUNC tells the whole length", "recv(2) MSG_TRUNC", RECORDS, truncated),
    Case::new("MSG_PEEK by AF_UNIX", "recv(2) MSG_PEEK", UNIX, peek),
    Case::new("the sender of a datagram", "recvfrom(2)", DGRAM, sender),
    Case::new("eleven datagrams wait", "net.unix.max_dgram_qlen", DGRAM, eleven),
    Case::new("a connected datagram socket hears its peer only", "connect(2) EPERM", DGRAM, filtered),
    Case::new("a peer that is gone", "send(2) ECONNREFUSED", DGRAM, dgram_gone),
    Case::new("AF_UNSPEC dissolves", "connect(2)", DGRAM, dissolve),
    Case::new("a record larger than SO_SNDBUF", "send(2) EMSGSIZE", RECORDS, too_large),
    Case::new("SIOCINQ and SIOCOUTQ", "unix(7) Ioctls", STREAM, queue_lengths),
    Case::new("SIOCINQ of datagrams", "unix(7) Ioctls", DGRAM, next_length),
    Case::new("SIOCINQ of packets", "unix(7) Ioctls", SEQPACKET, all_lengths),
    Case::new("urgent data by AF_UNIX", "unix(7) MSG_OOB", STREAM, urgent),
    Case::new("urgent data in line by AF_UNIX", "socket(7) SO_OOBINLINE", STREAM, urgent_inline),
    Case::new("urgent data is for streams", "send(2) EOPNOTSUPP", RECORDS, urgent_records),
    Case::new("a stream that is full", "send(2) EAGAIN", STREAM, full),
    Case::new("options of AF_UNIX", "socket(7)", UNIX, options),
];

/// An abstract name of the case's own.
fn name(t: &Test<'_>, n: u16) -> Address {
    address_of(format!("\0strait-{}", t.port(n)).as_bytes())
}

fn address_of(name: &[u8]) -> Address {
    raw_address(&[&AF_UNIX.to_ne_bytes()[..], name].concat())
}

fn unnamed() -> Address {
    address_of(&[])
}

fn named(t: &Test<'_>, n: u16) -> Result<Fd, Failure> {
    let fd = t.sock()?;
    ok!(t.bind(fd, &name(t, n)));
    Ok(fd)
}

fn listening(t: &Test<'_>, n: u16, backlog: i32) -> Result<Fd, Failure> {
    let fd = named(t, n)?;
    ok!(t.listen(fd, backlog));
    Ok(fd)
}

/// A connection through a name: who connected and who accepted.
fn connection(t: &Test<'_>) -> Result<(Fd, Fd), Failure> {
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

fn borders(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"one", 0), 3);
    gives!(t.send(a, b"three", 0), 5);
    eq!(t.read_some(b, 2)?, b"on");
    eq!(t.read_some(b, 99)?, b"three");
    err!(recv_into(t, b, 9, 0), EAGAIN);
    t.shut(&[a, b])
}

fn empty_record(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"", 0), 0);
    gives!(t.send(a, b"x", 0), 1);
    eq!(t.read_some(b, 9)?, b"");
    eq!(t.read_some(b, 9)?, b"x");
    t.shut(&[a, b])
}

fn truncated(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"0123456789", 0), 10);
    t.wait(b, POLLIN)?;
    gives!(t.recv(b, &mut [0; 4], MSG_TRUNC), 10);
    gives!(t.send(a, b"0123456789", 0), 10);
    t.wait(b, POLLIN)?;
    let got = ok!(t.recvmsg(b, &mut [&mut [0; 4]], &mut [], 0));
    eq!((got.bytes, got.flags & MSG_TRUNC), (4, MSG_TRUNC));
    t.shut(&[a, b])
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

fn sender(t: &Test<'_>) -> Outcome {
    let (to, from, other) = (named(t, 0)?, named(t, 1)?, t.sock()?);
    gives!(t.sendto(from, b"named", 0, &name(t, 0)), 5);
    gives!(t.sendto(other, b"not", 0, &name(t, 0)), 3);
    t.wait(to, POLLIN)?;
    let mut bytes = [0; 9];
    gives!(t.recvfrom(to, &mut bytes, 0), (5, name(t, 1)));
    t.wait(to, POLLIN)?;
    let (n, from_nobody) = ok!(t.recvfrom(to, &mut bytes, 0));
    eq!((n, from_nobody.as_bytes().len()), (3, 0));
    t.shut(&[to, from, other])
}

fn eleven(t: &Test<'_>) -> Outcome {
    let (to, from) = (named(t, 0)?, t.sock()?);
    ok!(t.connect(from, &name(t, 0)));
    for _ in 0..11 {
        gives!(t.send(from, b"x", 0), 1);
    }
    err!(t.send(from, b"x", 0), EAGAIN);
    eq!(t.ready(from, POLLOUT)?, 0);
    eq!(t.read_some(to, 9)?, b"x");
    t.wait_all(from, POLLOUT)?;
    gives!(t.send(from, b"x", 0), 1);
    t.shut(&[to, from])
}

fn filtered(t: &Test<'_>) -> Outcome {
    let (a, b, other) = (named(t, 0)?, named(t, 1)?, t.sock()?);
    ok!(t.connect(a, &name(t, 1)));
    err!(t.sendto(other, b"x", 0, &name(t, 0)), EPERM);
    err!(t.connect(other, &name(t, 0)), EPERM);
    gives!(t.sendto(b, b"x", 0, &name(t, 0)), 1);
    eq!(t.read_some(a, 9)?, b"x");
    t.shut(&[a, b, other])
}

fn dgram_gone(t: &Test<'_>) -> Outcome {
    let (to, from) = (named(t, 0)?, t.sock()?);
    ok!(t.connect(from, &name(t, 0)));
    t.shut(&[to])?;
    err!(t.send(from, b"x", 0), ECONNREFUSED);
    err!(t.send(from, b"x", 0), ENOTCONN);
    err!(t.sendto(from, b"x", 0, &name(t, 0)), ECONNREFUSED);
    t.shut(&[from])
}

fn dissolve(t: &Test<'_>) -> Outcome {
    let (to, from) = (named(t, 0)?, t.sock()?);
    ok!(t.connect(from, &name(t, 0)));
    gives!(t.getpeername(from), name(t, 0));
    ok!(t.connect(from, &raw_address(&[0; 16])));
    err!(t.getpeername(from), ENOTCONN);
    err!(t.send(from, b"x", 0), ENOTCONN);
    t.shut(&[to, from])
}

fn too_large(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(a, S, SO_SNDBUF, 16_384));
    let most = ok!(t.option(a, S, SO_SNDBUF)) as usize - 32;
    err!(t.send(a, &alloc::vec![0; most + 1], 0), EMSGSIZE);
    gives!(t.send(a, &[7; 9000], 0), 9000);
    eq!(t.read_some(b, 20_000)?.len(), 9000);
    t.shut(&[a, b])
}

fn ioctl_int(t: &Test<'_>, fd: Fd, request: u32) -> Result<i32, Errno> {
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

fn next_length(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(ioctl_int(t, b, SIOCINQ), 0);
    gives!(t.send(a, b"12345", 0), 5);
    gives!(t.send(a, b"678", 0), 3);
    t.wait(b, POLLIN)?;
    gives!(ioctl_int(t, b, SIOCINQ), 5);
    t.shut(&[a, b])
}

fn all_lengths(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(ioctl_int(t, b, SIOCINQ), 0);
    gives!(t.send(a, b"12345", 0), 5);
    gives!(t.send(a, b"678", 0), 3);
    t.wait(b, POLLIN)?;
    t.settle()?;
    gives!(ioctl_int(t, b, SIOCINQ), 8);
    eq!(t.read_some(b, 9)?, b"12345");
    gives!(ioctl_int(t, b, SIOCINQ), 3);
    t.shut(&[a, b])
}

fn urgent(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    err!(recv_into(t, b, 1, MSG_OOB), EINVAL);
    gives!(t.send(a, b"abc", MSG_OOB), 3);
    gives!(t.send(a, b"def", 0), 3);
    t.wait_all(b, POLLPRI)?;
    t.settle()?;
    gives!(ioctl_int(t, b, SIOCATMARK), 0);
    gives!(recv_into(t, b, 9, 0), b"ab");
    gives!(ioctl_int(t, b, SIOCATMARK), 1);
    gives!(recv_into(t, b, 9, MSG_OOB | MSG_PEEK), b"c");
    gives!(recv_into(t, b, 9, MSG_OOB), b"c");
    err!(recv_into(t, b, 9, MSG_OOB), EINVAL);
    gives!(recv_into(t, b, 9, 0), b"def");
    gives!(ioctl_int(t, b, SIOCATMARK), 0);
    // The older of two becomes data.
    gives!(t.send(a, b"x", MSG_OOB), 1);
    gives!(t.send(a, b"y", MSG_OOB), 1);
    t.wait_all(b, POLLPRI)?;
    t.settle()?;
    gives!(recv_into(t, b, 9, MSG_OOB), b"y");
    gives!(recv_into(t, b, 9, 0), b"x");
    t.shut(&[a, b])
}

fn urgent_inline(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(b, S, SO_OOBINLINE, 1));
    gives!(t.send(a, b"abc", MSG_OOB), 3);
    gives!(t.send(a, b"def", 0), 3);
    t.wait_all(b, POLLPRI)?;
    t.settle()?;
    err!(recv_into(t, b, 9, MSG_OOB), EINVAL);
    gives!(recv_into(t, b, 9, 0), b"ab");
    gives!(ioctl_int(t, b, SIOCATMARK), 1);
    gives!(recv_into(t, b, 9, 0), b"cdef");
    t.shut(&[a, b])
}

fn urgent_records(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    err!(t.send(a, b"x", MSG_OOB), EOPNOTSUPP);
    err!(recv_into(t, b, 1, MSG_OOB), EOPNOTSUPP);
    t.shut(&[a, b])
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
