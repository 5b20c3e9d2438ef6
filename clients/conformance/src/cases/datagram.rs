//! Datagrams over UDP.

use alloc::{vec, vec::Vec};
use core::net::{IpAddr, Ipv4Addr};

use crate::{case::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("datagrams keep their boundaries", "udp(7)", UDP, boundaries),
    Case::new("the sender's address", "recvfrom(2)", UDP, sender),
    Case::new("the sender's address on a connected socket", "recvfrom(2)", UDP, sender_connected),
    Case::new("an empty datagram", "RFC 768", UDP, empty),
    Case::new("an empty write", "send(2)", UDP, empty_write),
    Case::new("a read of no bytes takes the datagram", "recv(2)", UDP, read_zero),
    Case::new("what has no room is lost", "recv(2)", UDP, cut),
    Case::new("MSG_TRUNC gives the whole length", "recv(2) MSG_TRUNC", UDP, trunc),
    Case::new("recvmsg says that it was cut", "recvmsg(2) MSG_TRUNC", UDP, trunc_flag),
    Case::new("MSG_PEEK leaves the datagram", "recv(2) MSG_PEEK", UDP, peek),
    Case::new("MSG_WAITALL is of no consequence", "recv(2) MSG_WAITALL", UDP, wait_all),
    Case::new("nothing to read", "recv(2) EAGAIN", UDP, nothing),
    Case::new("no destination", "send(2) EDESTADDRREQ", UDP, no_destination),
    Case::new("a destination beside the peer", "send(2)", UDP, other_destination),
    Case::new("a destination with port 0", "udp(7) EINVAL", UDP, port_zero),
    Case::new("a destination too short", "send(2) EINVAL", UDP, short),
    Case::new("a destination of another family", "send(2) EAFNOSUPPORT", UDP, other_family),
    Case::new("AF_UNSPEC as destination", "udp(7)", &[UDP4], unspecified_family),
    Case::new("a connected socket hears its peer only", "connect(2)", UDP, filter),
    Case::new("the longest datagram", "RFC 768", UDP, longest),
    Case::new("too long a datagram", "send(2) EMSGSIZE", UDP, too_long),
    Case::new("a datagram in fragments", "RFC 791, RFC 8200 4.5", UDP, fragments),
    Case::new("sending binds", "udp(7)", UDP, sending_binds),
    Case::new("connecting binds to an address", "ip(7)", UDP, connecting_binds),
    Case::new("an error of an unconnected socket", "udp(7)", UDP, unconnected_error),
    Case::new("SO_ERROR takes the error", "socket(7) SO_ERROR", UDP, so_error),
    Case::new("readiness", "poll(2)", UDP, readiness),
    Case::new("broadcast needs SO_BROADCAST", "ip(7) EACCES", &[UDP4], broadcast),
    Case::new("shutdown for writing", "shutdown(2), send(2) EPIPE", UDP, shut_write),
    Case::new("shutdown for reading", "shutdown(2)", UDP, shut_read),
    Case::new("FIONREAD is the next datagram", "udp(7) FIONREAD", UDP, fionread),
    Case::new("SIOCOUTQ", "udp(7) SIOCOUTQ", UDP, outq),
    Case::new("readv and writev of a datagram", "readv(2), writev(2)", UDP, vectors),
    Case::new("sendmsg and recvmsg", "sendmsg(2), recvmsg(2)", UDP, messages),
    Case::new("MSG_MORE joins datagrams", "udp(7) UDP_CORK", UDP, more),
    Case::new("MSG_OOB", "send(2) EOPNOTSUPP", UDP, urgent),
    Case::new("a full receive buffer drops", "udp(7)", UDP, overflow),
    Case::new("an address before any address", "udp(7)", UDP, specific_first),
    Case::new("IPv6 socket to IPv4", "ipv6(7)", &[UDP6], mapped),
    Case::new("IPv6 socket from IPv4", "ipv6(7)", &[UDP6], mapped_from),
    Case::new("sendmmsg", "sendmmsg(2)", UDP, sendmmsg),
    Case::new("recvmmsg", "recvmmsg(2)", UDP, recvmmsg),
    Case::new("recvmmsg takes what there is", "recvmmsg(2)", UDP, recvmmsg_some),
    Case::new("no network", "send(2) ENETUNREACH", &[UDP6], no_network),
    Case::new("to itself", "udp(7)", UDP, to_itself),
    Case::new("recv of who is not bound", "recv(2)", UDP, unbound),
    Case::new("unknown flags are ignored", "recv(2)", UDP, unknown_flags),
];

fn boundaries(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    for part in [&b"one"[..], b"second", b"3"] {
        gives!(t.send(a, part, 0), part.len());
    }
    for part in [&b"one"[..], b"second", b"3"] {
        eq!(t.read_some(b, 99)?, part);
    }
    t.shut(&[a, b])
}

fn sender(t: &Test<'_>) -> Outcome {
    let (a, b) = (t.bound(0)?, t.bound(1)?);
    gives!(t.sendto(a, b"hi", 0, &t.lo(1)), 2);
    t.wait(b, POLLIN)?;
    t.settle()?;
    let mut bytes = [0; 9];
    let (n, from) = ok!(t.recvfrom(b, &mut bytes, 0));
    eq!(n, 2);
    eq!(from.as_bytes(), t.lo(0).as_bytes());
    t.shut(&[a, b])
}

fn sender_connected(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"hi", 0), 2);
    t.wait(b, POLLIN)?;
    t.settle()?;
    let (_, from) = ok!(t.recvfrom(b, &mut [0; 9], 0));
    eq!(from.as_bytes(), t.lo(0).as_bytes());
    t.shut(&[a, b])
}

fn empty(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"", 0), 0);
    eq!(t.wait(b, POLLIN)?, POLLIN);
    gives!(t.recv(b, &mut [0; 9], 0), 0);
    err!(t.recv(b, &mut [0; 9], 0), EAGAIN);
    t.shut(&[a, b])
}

fn empty_write(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.write(a, b""), 0);
    eq!(t.wait(b, POLLIN)?, POLLIN);
    gives!(t.recv(b, &mut [0; 9], 0), 0);
    t.shut(&[a, b])
}

fn read_zero(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"gone", 0), 4);
    gives!(t.send(a, b"next", 0), 4);
    t.wait(b, POLLIN)?;
    t.settle()?;
    gives!(t.recv(b, &mut [], 0), 0);
    eq!(t.read_some(b, 9)?, b"next");
    t.shut(&[a, b])
}

fn cut(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"0123456789", 0), 10);
    gives!(t.send(a, b"next", 0), 4);
    eq!(t.read_some(b, 4)?, b"0123");
    eq!(t.read_some(b, 9)?, b"next");
    t.shut(&[a, b])
}

fn trunc(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"0123456789", 0), 10);
    t.wait(b, POLLIN)?;
    t.settle()?;
    let mut bytes = [0; 4];
    gives!(t.recv(b, &mut bytes, MSG_TRUNC | MSG_PEEK), 10);
    gives!(t.recv(b, &mut bytes, MSG_TRUNC), 10);
    eq!(&bytes, b"0123");
    err!(t.recv(b, &mut bytes, 0), EAGAIN);
    t.shut(&[a, b])
}

fn trunc_flag(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"0123456789", 0), 10);
    gives!(t.send(a, b"0123456789", 0), 10);
    gives!(t.send(a, b"0123", 0), 4);
    t.wait(b, POLLIN)?;
    t.settle()?;
    let mut bytes = [0; 4];
    for (flags, n, set) in [(0, 4, MSG_TRUNC), (MSG_TRUNC, 10, MSG_TRUNC), (0, 4, 0)] {
        t.wait(b, POLLIN)?;
        let got = ok!(t.recvmsg(b, &mut [&mut bytes], &mut [], flags));
        eq!((got.bytes, got.flags), (n, set));
    }
    t.shut(&[a, b])
}

fn peek(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"first", 0), 5);
    gives!(t.send(a, b"second", 0), 6);
    t.wait(b, POLLIN)?;
    t.settle()?;
    let mut bytes = [0; 9];
    for _ in 0..2 {
        let (n, from) = ok!(t.recvfrom(b, &mut bytes, MSG_PEEK));
        eq!(&bytes[..n], b"first");
        eq!(from.as_bytes(), t.lo(0).as_bytes());
    }
    eq!(t.read_some(b, 9)?, b"first");
    eq!(t.read_some(b, 9)?, b"second");
    t.shut(&[a, b])
}

fn wait_all(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"abc", 0), 3);
    t.wait(b, POLLIN)?;
    t.settle()?;
    gives!(t.recv(b, &mut [0; 9], MSG_WAITALL), 3);
    t.shut(&[a, b])
}

fn nothing(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    err!(t.recv(a, &mut [0; 9], 0), EAGAIN);
    err!(t.recv(b, &mut [0; 9], MSG_PEEK | MSG_TRUNC), EAGAIN);
    ok!(t.fcntl(a, F_SETFL, 0));
    err!(t.recv(a, &mut [0; 9], MSG_DONTWAIT), EAGAIN);
    t.shut(&[a, b])
}

fn no_destination(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.send(fd, b"x", 0), EDESTADDRREQ);
    err!(t.write(fd, b"x"), EDESTADDRREQ);
    err!(t.send(fd, b"", 0), EDESTADDRREQ);
    t.shut(&[fd])
}

fn other_destination(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let c = t.bound(2)?;
    gives!(t.sendto(a, b"aside", 0, &t.lo(2)), 5);
    eq!(t.read_some(c, 9)?, b"aside");
    err!(t.recv(b, &mut [0], 0), EAGAIN);
    eq!(ok!(t.getpeername(a)).as_bytes(), t.lo(1).as_bytes());
    t.shut(&[a, b, c])
}

fn port_zero(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.sendto(fd, b"x", 0, &(t.loopback(), 0).into()), EINVAL);
    t.shut(&[fd])
}

fn short(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let least = if t.v6() { 24 } else { 16 };
    for len in [1, 8, least - 1] {
        err!(t.sendto(fd, b"x", 0, &resized(&t.lo(0), len)), EINVAL);
    }
    t.shut(&[fd])
}

fn with_family(address: &Address, family: u16) -> Address {
    let mut bytes = address.as_bytes().to_vec();
    bytes[..2].copy_from_slice(&family.to_ne_bytes());
    raw_address(&bytes)
}

fn other_family(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    for family in if t.v6() { [AF_UNIX, 99] } else { [AF_INET6, 99] } {
        if t.v6() {
            err!(t.sendto(fd, b"x", 0, &with_family(&t.lo(0), family)), EINVAL);
        } else {
            err!(t.sendto(fd, b"x", 0, &with_family(&t.lo(0), family)), EAFNOSUPPORT);
        }
    }
    t.shut(&[fd])
}

fn unspecified_family(t: &Test<'_>) -> Outcome {
    let (a, b) = (t.sock()?, t.bound(0)?);
    gives!(t.sendto(a, b"x", 0, &with_family(&t.lo(0), AF_UNSPEC)), 1);
    eq!(t.read_some(b, 9)?, b"x");
    t.shut(&[a, b])
}

fn filter(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let stranger = t.bound(2)?;
    gives!(t.sendto(stranger, b"psst", 0, &t.lo(1)), 4);
    t.settle()?;
    err!(t.recv(b, &mut [0], 0), EAGAIN);
    gives!(t.send(a, b"hello", 0), 5);
    eq!(t.read_some(b, 9)?, b"hello");
    t.shut(&[a, b, stranger])
}

fn most(t: &Test<'_>) -> usize {
    // IPv6 does not count its own header.
    if t.v6() { 65_527 } else { 65_507 }
}

fn longest(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let data: Vec<u8> = (0..most(t)).map(|i| (i % 251) as u8).collect();
    send_whole(t, a, &data)?;
    let got = t.read_some(b, 70_000)?;
    that!(got == data);
    t.shut(&[a, b])
}

/// Sends as soon as there is room.
fn send_whole(t: &Test<'_>, fd: Fd, data: &[u8]) -> Outcome {
    for _ in 0..20 {
        match t.send(fd, data, 0) {
            Err(Errno::EAGAIN) => t.wait(fd, POLLOUT)?,
            sent => {
                gives!(sent, data.len());
                return Ok(());
            }
        };
    }
    Err(Failure::new("send()", "room after POLLOUT", "EAGAIN again and again"))
}

fn too_long(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    for len in [most(t) + 1, 65_536, 100_000] {
        err!(t.send(a, &vec![0; len], 0), EMSGSIZE);
    }
    t.settle()?;
    err!(t.recv(b, &mut [0], 0), EAGAIN);
    t.shut(&[a, b])
}

fn fragments(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    for len in [1472, 1473, 3000, 20_000] {
        let data: Vec<u8> = (0..len).map(|i| (i % 253) as u8).collect();
        send_whole(t, a, &data)?;
        let got = t.read_some(b, 70_000)?;
        that!(got == data);
    }
    t.shut(&[a, b])
}

fn sending_binds(t: &Test<'_>) -> Outcome {
    let (fd, peer) = (t.sock()?, t.bound(0)?);
    gives!(t.sendto(fd, b"x", 0, &t.lo(0)), 1);
    let name = ok!(t.getsockname(fd));
    eq!(ip_of(&name), Some(t.unspecified()));
    that!(port_of(&name) >= 32768);
    t.wait(peer, POLLIN)?;
    let (_, from) = ok!(t.recvfrom(peer, &mut [0], 0));
    eq!(from.as_bytes(), Address::from((t.loopback(), port_of(&name))).as_bytes());
    t.shut(&[fd, peer])
}

fn connecting_binds(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.connect(fd, &t.lo(0)));
    let name = ok!(t.getsockname(fd));
    eq!(ip_of(&name), Some(t.loopback()));
    that!(port_of(&name) >= 32768);
    t.shut(&[fd])
}

fn unconnected_error(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    gives!(t.sendto(fd, b"x", 0, &t.lo(0)), 1);
    t.settle()?;
    // Nobody is there, but who is not connected is not told.
    err!(t.recv(fd, &mut [0], 0), EAGAIN);
    eq!(t.take_error(fd)?, 0);
    t.shut(&[fd])
}

fn so_error(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.connect(fd, &t.lo(0)));
    gives!(t.send(fd, b"x", 0), 1);
    t.wait_all(fd, POLLERR)?;
    eq!(t.take_error(fd)?, i32::from(Errno::ECONNREFUSED.raw()));
    eq!(t.take_error(fd)?, 0);
    eq!(t.ready(fd, POLLIN | POLLOUT)?, POLLOUT);
    t.shut(&[fd])
}

fn readiness(t: &Test<'_>) -> Outcome {
    let (fresh, (a, b)) = (t.sock()?, t.pair()?);
    for fd in [fresh, a, b] {
        eq!(t.ready(fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP)?, POLLOUT);
    }
    gives!(t.send(a, b"x", 0), 1);
    t.wait(b, POLLIN)?;
    t.settle()?;
    eq!(t.ready(b, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM)?, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
    t.shut(&[fresh, a, b])
}

fn broadcast(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    for to in [Ipv4Addr::BROADCAST, Ipv4Addr::new(10, 0, 2, 255)] {
        err!(t.sendto(fd, b"x", 0, &(IpAddr::from(to), t.port(0)).into()), EACCES);
    }
    ok!(t.set_option(fd, SOL_SOCKET, SO_BROADCAST, 1));
    gives!(t.sendto(fd, b"x", 0, &(IpAddr::from([10, 0, 2, 255]), t.port(0)).into()), 1);
    t.shut(&[fd])
}

fn shut_write(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.shutdown(a, SHUT_WR));
    err!(t.send(a, b"x", 0), EPIPE);
    gives!(t.send(b, b"y", 0), 1);
    eq!(t.read_some(a, 9)?, b"y");
    eq!(t.ready(a, POLLIN | POLLOUT | POLLRDHUP)?, POLLOUT);
    t.shut(&[a, b])
}

fn shut_read(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.shutdown(a, SHUT_RD));
    eq!(t.ready(a, POLLIN | POLLOUT | POLLRDHUP)?, POLLIN | POLLOUT | POLLRDHUP);
    // Who does not wait is told nothing; who waits gets the end.
    err!(t.recv(a, &mut [0], 0), EAGAIN);
    ok!(t.fcntl(a, F_SETFL, 0));
    gives!(t.recv(a, &mut [0], 0), 0);
    t.shut(&[a, b])
}

fn number(t: &Test<'_>, fd: Fd, request: u32) -> Result<i32> {
    let mut value = [0; 4];
    t.ioctl(fd, request, &mut value)?;
    Ok(i32::from_ne_bytes(value))
}

fn fionread(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(number(t, b, FIONREAD), 0);
    gives!(t.send(a, b"12345", 0), 5);
    gives!(t.send(a, b"123", 0), 3);
    t.wait(b, POLLIN)?;
    t.settle()?;
    gives!(number(t, b, FIONREAD), 5);
    gives!(t.recv(b, &mut [0; 2], 0), 2);
    t.wait(b, POLLIN)?;
    gives!(number(t, b, FIONREAD), 3);
    t.shut(&[a, b])
}

fn outq(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"12345", 0), 5);
    t.until("nothing on its way", || number(t, a, SIOCOUTQ) == Ok(0))?;
    t.shut(&[a, b])
}

fn vectors(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.writev(a, &[b"abc", b"", b"def"]), 6);
    gives!(t.writev(a, &[b"next"]), 4);
    t.wait(b, POLLIN)?;
    t.settle()?;
    let (mut x, mut y) = ([0; 4], [0; 9]);
    gives!(t.readv(b, &mut [&mut x, &mut y]), 6);
    eq!((&x, &y[..2]), (b"abcd", &b"ef"[..]));
    t.wait(b, POLLIN)?;
    gives!(t.readv(b, &mut [&mut x[..2]]), 2);
    err!(t.readv(b, &mut [&mut x]), EAGAIN);
    t.shut(&[a, b])
}

fn messages(t: &Test<'_>) -> Outcome {
    let (a, b) = (t.bound(0)?, t.bound(1)?);
    gives!(t.sendmsg(a, &[b"ab", b"", b"cde"], Some(&t.lo(1)), &[], 0), 5);
    err!(t.sendmsg(a, &[b"ab"], None, &[], 0), EDESTADDRREQ);
    t.wait(b, POLLIN)?;
    t.settle()?;
    let (mut x, mut y) = ([0; 4], [0; 4]);
    let got = ok!(t.recvmsg(b, &mut [&mut x, &mut y], &mut [0; 64], 0));
    eq!((got.bytes, got.control, got.flags), (5, 0, 0));
    eq!(got.address.as_bytes(), t.lo(0).as_bytes());
    eq!((&x, &y[..1]), (b"abcd", &b"e"[..]));
    t.shut(&[a, b])
}

fn more(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"one", MSG_MORE), 3);
    t.settle()?;
    err!(t.recv(b, &mut [0; 9], 0), EAGAIN);
    gives!(t.send(a, b"two", 0), 3);
    eq!(t.read_some(b, 9)?, b"onetwo");
    t.shut(&[a, b])
}

fn urgent(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    if t.v6() {
        // Linux does not look at it.
        gives!(t.send(a, b"x", MSG_OOB), 1);
        eq!(t.read_some(b, 9)?, b"x");
    } else {
        err!(t.send(a, b"x", MSG_OOB), EOPNOTSUPP);
    }
    err!(t.recv(b, &mut [0], MSG_OOB), EAGAIN);
    t.shut(&[a, b])
}

fn overflow(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(b, SOL_SOCKET, SO_RCVBUF, 4096));
    let part = [7; 1000];
    for _ in 0..64 {
        send_whole(t, a, &part)?;
    }
    t.until("nothing on its way", || number(t, a, SIOCOUTQ) == Ok(0))?;
    let mut got = 0;
    let mut bytes = [0; 1000];
    while t.recv(b, &mut bytes, 0) == Ok(1000) {
        got += 1;
    }
    that!((1..60).contains(&got));
    err!(t.recv(b, &mut bytes, 0), EAGAIN);
    t.shut(&[a, b])
}

fn specific_first(t: &Test<'_>) -> Outcome {
    let (any, one, from) = (t.sock()?, t.sock()?, t.sock()?);
    for (fd, at) in [(one, t.lo(0)), (any, t.any(0))] {
        ok!(t.set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1));
        ok!(t.bind(fd, &at));
    }
    gives!(t.sendto(from, b"x", 0, &t.lo(0)), 1);
    eq!(t.read_some(one, 9)?, b"x");
    err!(t.recv(any, &mut [0], 0), EAGAIN);
    t.shut(&[any, one, from])
}

fn mapped_lo(t: &Test<'_>, n: u16) -> Address {
    (IpAddr::from(Ipv4Addr::LOCALHOST.to_ipv6_mapped()), t.port(n)).into()
}

fn v4_sock(t: &Test<'_>, n: u16) -> Result<Fd, Failure> {
    let fail = |e: Errno| Failure::new("an IPv4 socket", "success", e.name());
    let fd = t.socket(AF_INET, u32::from(SOCK_DGRAM) | SOCK_NONBLOCK, 0).map_err(fail)?;
    t.bind(fd, &(IpAddr::from(Ipv4Addr::LOCALHOST), t.port(n)).into()).map_err(fail)?;
    Ok(fd)
}

fn mapped(t: &Test<'_>) -> Outcome {
    let (v6, v4) = (t.sock()?, v4_sock(t, 0)?);
    gives!(t.sendto(v6, b"hi", 0, &mapped_lo(t, 0)), 2);
    t.wait(v4, POLLIN)?;
    let (n, from) = ok!(t.recvfrom(v4, &mut [0; 9], 0));
    eq!(n, 2);
    eq!(ip_of(&from), Some(Ipv4Addr::LOCALHOST.into()));
    ok!(t.connect(v6, &mapped_lo(t, 0)));
    eq!(ip_of(&ok!(t.getsockname(v6))), Some(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()));
    t.shut(&[v6, v4])
}

fn mapped_from(t: &Test<'_>) -> Outcome {
    let (v6, v4) = (t.sock()?, v4_sock(t, 1)?);
    ok!(t.bind(v6, &t.any(0)));
    gives!(t.sendto(v4, b"hi", 0, &(IpAddr::from(Ipv4Addr::LOCALHOST), t.port(0)).into()), 2);
    t.wait(v6, POLLIN)?;
    let (_, from) = ok!(t.recvfrom(v6, &mut [0; 9], 0));
    eq!(from.as_bytes(), mapped_lo(t, 1).as_bytes());
    t.shut(&[v6, v4])
}

fn sendmmsg(t: &Test<'_>) -> Outcome {
    let (a, b) = (t.bound(0)?, t.bound(1)?);
    let to = t.lo(1);
    let one = Outgoing { bufs: &[b"o", b"ne"], to: Some(&to), control: &[] };
    let two = Outgoing { bufs: &[b"two"], to: Some(&to), control: &[] };
    let lost = Outgoing { bufs: &[b"lost"], to: None, control: &[] };
    gives!(t.sendmmsg(a, &[one, two], 0), [3, 3]);
    eq!(t.read_some(b, 9)?, b"one");
    eq!(t.read_some(b, 9)?, b"two");
    // What comes before the error is sent, and counts.
    gives!(t.sendmmsg(a, &[one, lost, two], 0), [3]);
    eq!(t.read_some(b, 9)?, b"one");
    err!(t.sendmmsg(a, &[lost, one], 0), EDESTADDRREQ);
    gives!(t.sendmmsg(a, &[], 0), []);
    t.shut(&[a, b])
}

fn recvmmsg(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    for part in [&b"one"[..], b"longer", b""] {
        gives!(t.send(a, part, 0), part.len());
    }
    t.settle()?;
    t.wait(b, POLLIN)?;
    let (mut x, mut y, mut z) = ([0; 4], [0; 4], [0; 4]);
    let got = ok!(t.recvmmsg(b, &mut [&mut x, &mut y, &mut z], 0, None));
    eq!(got.iter().map(|r| (r.bytes, r.flags)).collect::<Vec<_>>(), [(3, 0), (4, MSG_TRUNC), (0, 0)]);
    eq!(got[0].address.as_bytes(), t.lo(0).as_bytes());
    eq!((&x[..3], &y), (&b"one"[..], b"long"));
    t.shut(&[a, b])
}

fn recvmmsg_some(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let (mut x, mut y) = ([0; 4], [0; 4]);
    err!(t.recvmmsg(b, &mut [&mut x], 0, None).map(|r| r.len()), EAGAIN);
    gives!(t.send(a, b"one", 0), 3);
    t.wait(b, POLLIN)?;
    t.settle()?;
    gives!(t.recvmmsg(b, &mut [&mut x, &mut y], 0, None).map(|r| r.len()), 1);
    gives!(t.send(a, b"two", 0), 3);
    ok!(t.fcntl(b, F_SETFL, 0));
    gives!(t.recvmmsg(b, &mut [&mut x, &mut y], MSG_WAITFORONE, None).map(|r| r.len()), 1);
    t.shut(&[a, b])
}

fn no_network(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.sendto(fd, b"x", 0, &address("[2001:db8::1]:9")), ENETUNREACH);
    t.shut(&[fd])
}

fn to_itself(t: &Test<'_>) -> Outcome {
    let fd = t.bound(0)?;
    gives!(t.sendto(fd, b"me", 0, &t.lo(0)), 2);
    eq!(t.read_some(fd, 9)?, b"me");
    ok!(t.connect(fd, &t.lo(0)));
    gives!(t.send(fd, b"again", 0), 5);
    eq!(t.read_some(fd, 9)?, b"again");
    t.shut(&[fd])
}

fn unbound(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.recv(fd, &mut [0], 0), EAGAIN);
    err!(t.recvfrom(fd, &mut [0], MSG_PEEK).map(|(n, _)| n), EAGAIN);
    t.shut(&[fd])
}

fn unknown_flags(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"x", 0x0800_0000), 1);
    t.wait(b, POLLIN)?;
    t.settle()?;
    gives!(t.recv(b, &mut [0; 9], 0x0800_0000), 1);
    t.shut(&[a, b])
}
