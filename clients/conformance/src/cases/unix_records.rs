//! Records by AF_UNIX: datagrams and packets (unix(7)).

use alloc::vec::Vec;

use super::unix::{connection, ioctl_int, name, named, recv_into};
use crate::{case::*, posix::*, test::*};

const DGRAM: &[On] = &[UNIX_DGRAM];
const SEQPACKET: &[On] = &[UNIX_SEQPACKET];
const RECORDS: &[On] = &[UNIX_DGRAM, UNIX_SEQPACKET];
const S: i32 = SOL_SOCKET;

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("records have borders", "unix(7)", RECORDS, borders),
    Case::new("an empty record", "unix(7)", RECORDS, empty_record),
    Case::new("MSG_TRUNC tells the whole length", "recv(2) MSG_TRUNC", RECORDS, truncated),
    Case::new("the sender of a datagram", "recvfrom(2)", DGRAM, sender),
    Case::new("eleven datagrams wait", "net.unix.max_dgram_qlen", DGRAM, eleven),
    Case::new("a connected datagram socket hears its peer only", "connect(2) EPERM", DGRAM, filtered),
    Case::new("a peer that is gone", "send(2) ECONNREFUSED", DGRAM, dgram_gone),
    Case::new("AF_UNSPEC dissolves", "connect(2)", DGRAM, dissolve),
    Case::new("a record larger than SO_SNDBUF", "send(2) EMSGSIZE", RECORDS, too_large),
    Case::new("SIOCINQ of datagrams", "unix(7) Ioctls", DGRAM, next_length),
    Case::new("SIOCINQ of packets", "unix(7) Ioctls", SEQPACKET, all_lengths),
    Case::new("the largest record", "unix(7) SO_SNDBUF", RECORDS, largest),
    Case::new("a record that never fits is not waited for", "send(2) EMSGSIZE", RECORDS, never_fits),
    Case::new("small records that wait", "unix(7) SO_SNDBUF", RECORDS, small_ones),
    Case::new("SO_RCVBUF does not bound records by AF_UNIX", "unix(7) SO_RCVBUF", RECORDS, receive_buffer),
    Case::new("SIOCOUTQ of records", "unix(7) Ioctls", RECORDS, outgoing),
    Case::new("a full queue is not writable for anybody", "poll(2) POLLOUT", DGRAM, full_for_all),
    Case::new("datagrams to oneself", "net.unix.max_dgram_qlen", DGRAM, to_oneself),
    Case::new("another peer: what waits is gone", "connect(2)", DGRAM, purged),
    Case::new("the same peer: what waits stays", "connect(2)", DGRAM, kept),
    Case::new("the name of a peer that is gone", "getpeername(2)", DGRAM, gone_name),
    Case::new("sending to a peer that is gone", "send(2) ECONNREFUSED", DGRAM, gone_purges),
    Case::new("SHUT_RD of datagrams", "shutdown(2)", DGRAM, shut_read),
    Case::new("packets to a path go to the peer", "send(2)", SEQPACKET, path_ignored),
    Case::new("a peer of packets that is reset", "send(2) ECONNRESET", SEQPACKET, reset_first),
    Case::new("SO_TIMESTAMP by AF_UNIX", "socket(7) SO_TIMESTAMP", UNIX, timestamp),
    Case::new("control data of other levels by AF_UNIX", "sendmsg(2)", UNIX, foreign_control),
    Case::new("recvmmsg by AF_UNIX", "recvmmsg(2)", RECORDS, several),
    Case::new("MSG_PEEK and MSG_DONTWAIT where one may wait", "recv(2)", UNIX, peek_at_once),
    Case::new("SO_PEEK_OFF of records", "socket(7) SO_PEEK_OFF", RECORDS, peek_offset),
];

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

fn largest(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let buffer = ok!(t.option(a, S, SO_SNDBUF)) as usize;
    eq!(buffer, 212_992);
    err!(t.send(a, &alloc::vec![1; buffer - 31], 0), EMSGSIZE);
    gives!(t.send(a, &alloc::vec![1; buffer - 32], 0), buffer - 32);
    eq!(t.read_some(b, buffer)?.len(), buffer - 32);
    t.shut(&[a, b])
}

fn never_fits(t: &Test<'_>) -> Outcome {
    let (a, b) = ok!(t.socketpair(AF_UNIX, t.on.kind.into(), 0));
    ok!(t.set_option(a, S, SO_SNDBUF, 16_384));
    let buffer = ok!(t.option(a, S, SO_SNDBUF)) as usize;
    for len in [buffer + 500, buffer + 2000, 100_000, 255_000, 1_000_000] {
        err!(t.send(a, &alloc::vec![1; len], 0), EMSGSIZE);
    }
    gives!(t.send(a, &[1; 9000], 0), 9000);
    eq!(t.read_some(b, 20_000)?.len(), 9000);
    t.shut(&[a, b])
}

/// Sends one byte again and again; how often that went.
fn fill(t: &Test<'_>, fd: Fd) -> Result<usize, Failure> {
    let mut n = 0;
    loop {
        match t.send(fd, b"x", 0) {
            Ok(_) => n += 1,
            Err(Errno::EAGAIN) => return Ok(n),
            Err(e) => return Err(Failure::new("send()", "EAGAIN", e.name())),
        }
    }
}

fn small_ones(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    // Each counts 768 bytes, and half a buffer is not writable any more.
    for _ in 0..69 {
        gives!(t.send(a, b"x", 0), 1);
    }
    eq!(t.ready(a, POLLOUT)?, POLLOUT);
    gives!(t.send(a, b"x", 0), 1);
    eq!(t.ready(a, POLLOUT)?, 0);
    eq!(t.read_some(b, 9)?, b"x");
    eq!(t.wait_all(a, POLLOUT)?, POLLOUT);
    eq!(fill(t, a)?, 278 - 69);
    eq!(t.ready(a, POLLOUT)?, 0);
    eq!(t.read_some(b, 9)?, b"x");
    gives!(t.send(a, b"x", 0), 1);
    err!(t.send(a, b"x", 0), EAGAIN);
    t.shut(&[a, b])
}

fn receive_buffer(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(b, S, SO_RCVBUF, 1));
    for _ in 0..5 {
        gives!(t.send(a, &[1; 10_000], 0), 10_000);
    }
    for _ in 0..5 {
        eq!(t.read_some(b, 20_000)?.len(), 10_000);
    }
    t.shut(&[a, b])
}

fn outgoing(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(ioctl_int(t, a, SIOCOUTQ), 0);
    let mut sum = 0;
    // By the buffers that Linux keeps them in.
    for (len, cost) in
        [(0, 768), (192, 768), (193, 1280), (1000, 2304), (4000, 8448), (20_000, 20_736), (100_000, 102_656)]
    {
        gives!(t.send(a, &alloc::vec![1; len], 0), len);
        sum += cost;
        gives!(ioctl_int(t, a, SIOCOUTQ), sum);
    }
    for _ in 0..6 {
        t.read_some(b, 1)?;
    }
    gives!(ioctl_int(t, a, SIOCOUTQ), 102_656);
    t.read_some(b, 1)?;
    gives!(ioctl_int(t, a, SIOCOUTQ), 0);
    t.shut(&[a, b])
}

fn full_for_all(t: &Test<'_>) -> Outcome {
    let (to, from, other) = (named(t, 0)?, t.sock()?, t.sock()?);
    ok!(t.connect(from, &name(t, 0)));
    ok!(t.connect(other, &name(t, 0)));
    for _ in 0..10 {
        gives!(t.send(from, b"x", 0), 1);
    }
    eq!(t.ready(from, POLLOUT)?, POLLOUT);
    gives!(t.send(from, b"x", 0), 1);
    for fd in [from, other] {
        eq!(t.ready(fd, POLLOUT)?, 0);
    }
    err!(t.send(other, b"x", 0), EAGAIN);
    eq!(t.read_some(to, 9)?, b"x");
    for fd in [from, other] {
        t.wait_all(fd, POLLOUT)?;
    }
    gives!(t.send(other, b"x", 0), 1);
    eq!(t.ready(from, POLLOUT)?, 0);
    // Nobody is there any more who could be full.
    t.shut(&[to])?;
    t.wait_all(from, POLLOUT)?;
    err!(t.send(from, b"x", 0), ECONNREFUSED);
    t.shut(&[from, other])
}

fn to_oneself(t: &Test<'_>) -> Outcome {
    let fd = named(t, 0)?;
    for _ in 0..278 {
        gives!(t.sendto(fd, b"x", 0, &name(t, 0)), 1);
    }
    err!(t.sendto(fd, b"x", 0, &name(t, 0)), EAGAIN);
    eq!(t.read_some(fd, 9)?, b"x");
    gives!(t.sendto(fd, b"x", 0, &name(t, 0)), 1);
    t.shut(&[fd])
}

/// Two named sockets that are connected to each other, and another one.
fn triple(t: &Test<'_>) -> Result<(Fd, Fd, Fd), Failure> {
    let (a, b, c) = (named(t, 0)?, named(t, 1)?, named(t, 2)?);
    ok!(t.connect(a, &name(t, 1)));
    ok!(t.connect(b, &name(t, 0)));
    Ok((a, b, c))
}

fn purged(t: &Test<'_>) -> Outcome {
    for to in [name(t, 2), raw_address(&[0; 16])] {
        let (a, b, c) = triple(t)?;
        gives!(t.send(b, b"lost", 0), 4);
        t.wait(a, POLLIN)?;
        ok!(t.connect(a, &to));
        eq!(t.ready(a, POLLIN)?, 0);
        err!(recv_into(t, a, 9, 0), EAGAIN);
        gives!(ioctl_int(t, a, SIOCINQ), 0);
        gives!(ioctl_int(t, b, SIOCOUTQ), 0);
        // The other end learns of it once.
        err!(recv_into(t, b, 9, 0), ECONNRESET);
        err!(recv_into(t, b, 9, 0), EAGAIN);
        if to.as_bytes()[0] == 0 {
            gives!(t.send(b, b"new", 0), 3);
            eq!(t.read_some(a, 9)?, b"new");
        } else {
            err!(t.send(b, b"new", 0), EPERM);
            gives!(t.sendto(c, b"new", 0, &name(t, 0)), 3);
            eq!(t.read_some(a, 9)?, b"new");
        }
        t.shut(&[a, b, c])?;
    }
    Ok(())
}

fn kept(t: &Test<'_>) -> Outcome {
    let (a, b, c) = triple(t)?;
    gives!(t.send(b, b"kept", 0), 4);
    ok!(t.connect(a, &name(t, 1)));
    eq!(t.read_some(a, 9)?, b"kept");
    eq!(t.take_error(b)?, 0);
    // Neither is there anything to tell if nothing was lost.
    ok!(t.connect(a, &name(t, 2)));
    eq!(t.take_error(b)?, 0);
    t.shut(&[a, b, c])
}

fn gone_name(t: &Test<'_>) -> Outcome {
    let (to, from) = (named(t, 0)?, t.sock()?);
    ok!(t.connect(from, &name(t, 0)));
    t.shut(&[to])?;
    gives!(t.getpeername(from), name(t, 0));
    eq!(t.ready(from, POLLIN | POLLOUT)?, POLLOUT);
    err!(t.send(from, b"x", 0), ECONNREFUSED);
    err!(t.getpeername(from), ENOTCONN);
    t.shut(&[from])?;
    let (a, b) = t.pair()?;
    ok!(t.bind(a, &name(t, 0)));
    t.shut(&[a])?;
    gives!(t.getpeername(b), name(t, 0));
    t.shut(&[b])
}

fn gone_purges(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(b, b"left", 0), 4);
    t.shut(&[b])?;
    eq!(t.read_some(a, 9)?, b"left");
    t.shut(&[a])?;
    let (a, b) = t.pair()?;
    gives!(t.send(b, b"left", 0), 4);
    t.shut(&[b])?;
    err!(t.send(a, b"x", 0), ECONNREFUSED);
    err!(recv_into(t, a, 9, 0), EAGAIN);
    t.shut(&[a])
}

fn shut_read(t: &Test<'_>) -> Outcome {
    let (a, b) = ok!(t.socketpair(AF_UNIX, t.on.kind.into(), 0));
    gives!(t.send(b, b"x", 0), 1);
    ok!(t.shutdown(a, SHUT_RD));
    eq!(t.ready(a, POLLIN | POLLRDHUP)?, POLLIN | POLLRDHUP);
    gives!(recv_into(t, a, 9, 0), b"x");
    // Who does not wait does not learn of it.
    err!(recv_into(t, a, 9, MSG_DONTWAIT), EAGAIN);
    gives!(recv_into(t, a, 9, 0), b"");
    err!(t.send(b, b"x", 0), EPIPE);
    t.shut(&[a, b])
}

fn path_ignored(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let path = super::unix::address_of(b"/no/such/name");
    gives!(t.sendto(a, b"x", 0, &path), 1);
    eq!(t.read_some(b, 9)?, b"x");
    let fd = t.sock()?;
    err!(t.sendto(fd, b"x", 0, &path), ENOTCONN);
    t.shut(&[a, b, fd])
}

fn reset_first(t: &Test<'_>) -> Outcome {
    let (a, b) = connection(t)?;
    gives!(t.send(b, b"data", 0), 4);
    gives!(t.send(a, b"x", 0), 1);
    t.shut(&[b])?;
    t.wait_all(a, POLLERR | POLLHUP)?;
    err!(recv_into(t, a, 9, 0), ECONNRESET);
    gives!(recv_into(t, a, 9, 0), b"data");
    gives!(recv_into(t, a, 9, 0), b"");
    err!(t.send(a, b"x", MSG_NOSIGNAL), EPIPE);
    t.shut(&[a])
}

fn timestamp(t: &Test<'_>) -> Outcome {
    for option in [SO_TIMESTAMP, SO_TIMESTAMPNS] {
        let (a, b) = t.pair()?;
        ok!(t.set_option(b, S, option, 1));
        gives!(t.send(a, b"x", 0), 1);
        t.wait(b, POLLIN)?;
        let mut control = [0; 64];
        let got = ok!(t.recvmsg(b, &mut [&mut [0; 9]], &mut control, 0));
        let items: Result<Vec<(i32, usize)>, Errno> =
            control::items(&control[..got.control]).map(|i| i.map(|i| (i.kind, i.value.len()))).collect();
        // A stream takes the option and tells no time.
        eq!(ok!(items), if t.stream() { Vec::new() } else { alloc::vec![(option, 16)] });
        t.shut(&[a, b])?;
    }
    Ok(())
}

fn foreign_control(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    for len in [4, 3000] {
        let value = alloc::vec![7; len];
        let mut bytes = alloc::vec![0; control::space(len)];
        control::put(&mut bytes, &mut 0, control::Item { level: 77, kind: 1, value: &value });
        gives!(t.sendmsg(a, &[b"x"], None, &bytes, 0), 1);
        t.wait(b, POLLIN)?;
        let got = ok!(t.recvmsg(b, &mut [&mut [0; 9]], &mut [0; 64], 0));
        eq!((got.bytes, got.control, got.flags), (1, 0, 0));
        bytes[8..12].copy_from_slice(&S.to_ne_bytes());
        bytes[12..16].copy_from_slice(&77i32.to_ne_bytes());
        err!(t.sendmsg(a, &[b"x"], None, &bytes, 0), EINVAL);
    }
    t.shut(&[a, b])
}

fn several(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let (one, two) = (
        Outgoing { bufs: &[b"one"], to: None, control: &[] },
        Outgoing { bufs: &[b"t", b"wo"], to: None, control: &[] },
    );
    gives!(t.sendmmsg(a, &[one, two, one], 0), [3, 3, 3]);
    t.wait(b, POLLIN)?;
    let mut bytes = [[0; 2]; 4];
    let [w, x, y, z] = &mut bytes;
    let got = ok!(t.recvmmsg(b, &mut [w, x, y, z], 0, None));
    let told: Vec<(usize, u32)> = got.iter().map(|r| (r.bytes, r.flags)).collect();
    eq!(told, [(2, MSG_TRUNC); 3]);
    eq!(bytes, [*b"on", *b"tw", *b"on", [0; 2]]);
    t.shut(&[a, b])
}

fn peek_at_once(t: &Test<'_>) -> Outcome {
    let (a, b) = ok!(t.socketpair(AF_UNIX, t.on.kind.into(), 0));
    err!(recv_into(t, b, 9, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
    gives!(t.send(a, b"xy", 0), 2);
    t.wait(b, POLLIN)?;
    gives!(recv_into(t, b, 1, MSG_PEEK | MSG_DONTWAIT), b"x");
    gives!(recv_into(t, b, 9, MSG_DONTWAIT), b"xy");
    t.shut(&[a, b])
}

fn peek_offset(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.option(b, S, SO_PEEK_OFF), -1);
    for data in [&b"abcd"[..], b"efgh", b"", b"ij"] {
        gives!(t.send(a, data, 0), data.len());
    }
    t.settle()?;
    ok!(t.set_option(b, S, SO_PEEK_OFF, 0));
    for (len, data) in [(3, &b"abc"[..]), (9, b"d"), (9, b"efgh"), (9, b""), (9, b"ij")] {
        gives!(recv_into(t, b, len, MSG_PEEK), data);
    }
    err!(recv_into(t, b, 9, MSG_PEEK), EAGAIN);
    gives!(t.option(b, S, SO_PEEK_OFF), 10);
    // What is read takes it back.
    gives!(recv_into(t, b, 9, 0), b"abcd");
    gives!(t.option(b, S, SO_PEEK_OFF), 6);
    ok!(t.set_option(b, S, SO_PEEK_OFF, -1));
    gives!(recv_into(t, b, 9, MSG_PEEK), b"efgh");
    t.shut(&[a, b])
}
