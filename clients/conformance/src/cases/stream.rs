//! Bytes over TCP: sending, receiving, and how it ends.

use alloc::{vec, vec::Vec};

use crate::{case::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("bytes arrive in order", "RFC 9293 2.2", TCP, in_order),
    Case::new("a read takes what there is", "recv(2)", TCP, partial),
    Case::new("nothing to read", "recv(2) EAGAIN", TCP, nothing),
    Case::new("MSG_DONTWAIT on a socket that waits", "recv(2) MSG_DONTWAIT", TCP, dont_wait),
    Case::new("MSG_PEEK leaves the data", "recv(2) MSG_PEEK", TCP, peek),
    Case::new("MSG_TRUNC discards", "tcp(7) MSG_TRUNC", TCP, trunc),
    Case::new("MSG_WAITALL waits for all", "recv(2) MSG_WAITALL", TCP, wait_all),
    Case::new("MSG_WAITALL ends with the stream", "recv(2) MSG_WAITALL", TCP, wait_all_end),
    Case::new("MSG_WAITALL with MSG_DONTWAIT", "recv(2) MSG_WAITALL", TCP, wait_all_dont),
    Case::new("a read of no bytes", "recv(2)", TCP, read_zero),
    Case::new("a write of no bytes", "send(2)", TCP, write_zero),
    Case::new("recvfrom gives no address", "recvfrom(2)", TCP, no_address),
    Case::new("sendto ignores the address", "send(2)", TCP, address_ignored),
    Case::new("not connected", "send(2) EPIPE, recv(2) ENOTCONN", TCP, unconnected),
    Case::new("readiness before connect", "poll(2)", TCP, fresh_readiness),
    Case::new("readiness when connected", "poll(2)", TCP, connected_readiness),
    Case::new("a full buffer", "send(2) EAGAIN", TCP, fill),
    Case::new("room appears when the peer reads", "poll(2) POLLOUT", TCP, drain),
    Case::new("a megabyte", "RFC 9293 2.2", TCP, megabyte),
    Case::new("end of file", "recv(2)", TCP, end_of_file),
    Case::new("data before the end of file", "recv(2)", TCP, data_then_end),
    Case::new("readiness at the end of file", "poll(2) POLLRDHUP", TCP, end_readiness),
    Case::new("half close: the other direction goes on", "shutdown(2) SHUT_WR", TCP, half_close),
    Case::new("writing after SHUT_WR", "shutdown(2), send(2) EPIPE", TCP, write_after),
    Case::new("reading after SHUT_RD", "shutdown(2) SHUT_RD", TCP, read_after),
    Case::new("data after SHUT_RD", "shutdown(2) SHUT_RD", TCP, data_after_rd),
    Case::new("SHUT_RDWR", "shutdown(2) SHUT_RDWR", TCP, both),
    Case::new("shutdown twice", "shutdown(2)", TCP, shutdown_twice),
    Case::new("shutdown of what is not connected", "shutdown(2) ENOTCONN", INET, shutdown_unconnected),
    Case::new("shutdown how", "shutdown(2) EINVAL", INET, shutdown_how),
    Case::new("readiness when both have closed", "poll(2) POLLHUP", TCP, both_closed),
    Case::new("names after both have closed", "getpeername(2) ENOTCONN", TCP, names_after),
    Case::new("a reset", "recv(2) ECONNRESET", TCP, reset),
    Case::new("readiness after a reset", "poll(2) POLLERR", TCP, reset_readiness),
    Case::new("a reset is told once", "socket(7) SO_ERROR", TCP, reset_once),
    Case::new("a reset discards what was not read", "RFC 9293 3.10.7.4", TCP, reset_discards),
    Case::new("close with unread data resets", "RFC 2525 2.17", TCP, unread),
    Case::new("writing to who has gone", "send(2) EPIPE", TCP, write_to_gone),
    Case::new("close delivers what was sent", "socket(7) SO_LINGER", TCP, close_delivers),
    Case::new("SO_LINGER with time", "socket(7) SO_LINGER", TCP, linger_time),
    Case::new("readv fills the parts", "readv(2)", TCP, readv),
    Case::new("writev sends the parts", "writev(2)", TCP, writev),
    Case::new("FIONREAD", "tcp(7) SIOCINQ", TCP, fionread),
    Case::new("SIOCOUTQ", "tcp(7) SIOCOUTQ", TCP, outq),
    Case::new("SIOCINQ of a listener", "tcp(7) EINVAL", TCP, inq_listener),
    Case::new("MSG_MORE holds back", "send(2) MSG_MORE", TCP, more),
    Case::new("TCP_CORK holds back", "tcp(7) TCP_CORK", TCP, cork),
    Case::new("unknown flags are ignored", "recv(2)", TCP, unknown_flags),
    Case::new("MSG_NOSIGNAL", "send(2) MSG_NOSIGNAL", TCP, no_signal),
    Case::new("SO_RCVLOWAT delays readiness", "socket(7) SO_RCVLOWAT", TCP, low_water),
    Case::new("SO_RCVTIMEO", "socket(7) SO_RCVTIMEO", INET, receive_timeout),
    Case::new("SO_SNDTIMEO", "socket(7) SO_SNDTIMEO", TCP, send_timeout),
    Case::new("recvmsg of a stream", "recvmsg(2)", TCP, recvmsg),
    Case::new("sendmsg of a stream", "sendmsg(2)", TCP, sendmsg),
];

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

fn in_order(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    for part in [&b"one "[..], b"two ", b"three"] {
        gives!(t.send(a, part, 0), part.len());
    }
    eq!(t.read_exactly(b, 13)?, b"one two three");
    t.shut(&[a, b])
}

fn partial(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"abcdef", 0), 6);
    eq!(t.read_some(b, 4)?, b"abcd");
    eq!(t.read_some(b, 100)?, b"ef");
    t.shut(&[a, b])
}

fn nothing(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    err!(t.recv(a, &mut [0; 9], 0), EAGAIN);
    err!(t.read(b, &mut [0; 9]), EAGAIN);
    err!(t.recv(b, &mut [0; 9], MSG_PEEK), EAGAIN);
    t.shut(&[a, b])
}

fn dont_wait(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.fcntl(a, F_SETFL, 0));
    err!(t.recv(a, &mut [0; 9], MSG_DONTWAIT), EAGAIN);
    gives!(t.send(b, b"x", 0), 1);
    t.wait(a, POLLIN)?;
    gives!(t.recv(a, &mut [0; 9], MSG_DONTWAIT), 1);
    t.shut(&[a, b])
}

fn peek(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"look", 0), 4);
    t.wait(b, POLLIN)?;
    let mut bytes = [0; 9];
    for _ in 0..2 {
        gives!(t.recv(b, &mut bytes, MSG_PEEK), 4);
        eq!(&bytes[..4], b"look");
    }
    gives!(t.recv(b, &mut bytes[..2], MSG_PEEK), 2);
    eq!(t.read_some(b, 9)?, b"look");
    err!(t.recv(b, &mut bytes, MSG_PEEK), EAGAIN);
    t.shut(&[a, b])
}

fn trunc(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"gone here", 0), 9);
    t.wait(b, POLLIN)?;
    let mut bytes = *b"?????";
    gives!(t.recv(b, &mut bytes, MSG_TRUNC), 5);
    eq!(&bytes, b"?????");
    eq!(t.read_some(b, 9)?, b"here");
    t.shut(&[a, b])
}

fn wait_all(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.fcntl(b, F_SETFL, 0));
    gives!(t.send(a, b"abc", 0), 3);
    gives!(t.send(a, b"def", 0), 3);
    let mut bytes = [0; 6];
    gives!(t.recv(b, &mut bytes, MSG_WAITALL), 6);
    eq!(&bytes, b"abcdef");
    t.shut(&[a, b])
}

fn wait_all_end(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.fcntl(b, F_SETFL, 0));
    gives!(t.send(a, b"abc", 0), 3);
    ok!(t.shutdown(a, SHUT_WR));
    gives!(t.recv(b, &mut [0; 6], MSG_WAITALL), 3);
    gives!(t.recv(b, &mut [0; 6], MSG_WAITALL), 0);
    t.shut(&[a, b])
}

fn wait_all_dont(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    err!(t.recv(b, &mut [0; 6], MSG_WAITALL), EAGAIN);
    gives!(t.send(a, b"abc", 0), 3);
    t.wait(b, POLLIN)?;
    gives!(t.recv(b, &mut [0; 6], MSG_WAITALL | MSG_DONTWAIT), 3);
    t.shut(&[a, b])
}

fn read_zero(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.read(b, &mut []), 0);
    gives!(t.send(a, b"abc", 0), 3);
    t.wait(b, POLLIN)?;
    gives!(t.recv(b, &mut [], 0), 0);
    eq!(t.read_some(b, 9)?, b"abc");
    t.shut(&[a, b])
}

fn write_zero(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"", 0), 0);
    gives!(t.write(a, b""), 0);
    t.settle()?;
    err!(t.recv(b, &mut [0], 0), EAGAIN);
    t.shut(&[a, b])
}

fn no_address(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"x", 0), 1);
    t.wait(b, POLLIN)?;
    let (n, from) = ok!(t.recvfrom(b, &mut [0; 9], 0));
    eq!(n, 1);
    eq!(from.as_bytes().len(), 0);
    t.shut(&[a, b])
}

fn address_ignored(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.sendto(a, b"x", 0, &t.lo(7)), 1);
    gives!(t.sendto(a, b"y", 0, &raw_address(&[1, 2, 3])), 1);
    eq!(t.read_exactly(b, 2)?, b"xy");
    t.shut(&[a, b])
}

fn unconnected(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.send(fd, b"x", 0), EPIPE);
    err!(t.write(fd, b"x"), EPIPE);
    err!(t.sendto(fd, b"x", 0, &t.lo(0)), EPIPE);
    err!(t.recv(fd, &mut [0], 0), ENOTCONN);
    err!(t.read(fd, &mut [0]), ENOTCONN);
    t.shut(&[fd])
}

fn fresh_readiness(t: &Test<'_>) -> Outcome {
    let (fd, bound) = (t.sock()?, t.bound(0)?);
    eq!(t.ready(fd, POLLIN | POLLOUT | POLLRDHUP)?, POLLOUT | POLLHUP);
    eq!(t.ready(bound, POLLIN | POLLOUT)?, POLLOUT | POLLHUP);
    t.shut(&[fd, bound])
}

fn connected_readiness(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    for fd in [a, b] {
        eq!(t.ready(fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP)?, POLLOUT);
    }
    gives!(t.send(a, b"x", 0), 1);
    eq!(t.wait(b, POLLIN)?, POLLIN);
    eq!(t.ready(b, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM)?, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
    t.shut(&[a, b])
}

fn fill(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let sent = t.fill_up(a)?;
    that!(sent > 8192);
    err!(t.send(a, b"x", 0), EAGAIN);
    err!(t.write(a, b"x"), EAGAIN);
    t.shut(&[a, b])
}

fn drain(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let sent = t.fill_up(a)?;
    let got = t.read_exactly(b, sent)?;
    eq!(got.len(), sent);
    eq!(t.wait(a, POLLOUT)?, POLLOUT);
    gives!(t.send(a, b"x", 0), 1);
    t.shut(&[a, b])
}

fn megabyte(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let data = pattern(1 << 20);
    let (mut sent, mut got) = (0, Vec::new());
    let mut buffer = vec![0; 50_000];
    while got.len() < data.len() {
        if sent < data.len() {
            match t.send(a, &data[sent..], 0) {
                Ok(n) => sent += n,
                Err(e) => eq!(e, Errno::EAGAIN),
            }
        }
        t.wait(b, POLLIN)?;
        let n = ok!(t.recv(b, &mut buffer, 0));
        that!(n > 0);
        got.extend_from_slice(&buffer[..n]);
    }
    that!(got == data);
    t.shut(&[a, b])
}

fn end_of_file(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    t.shut(&[a])?;
    t.wait(b, POLLIN)?;
    gives!(t.recv(b, &mut [0; 9], 0), 0);
    gives!(t.recv(b, &mut [0; 9], MSG_PEEK), 0);
    gives!(t.read(b, &mut [0; 9]), 0);
    t.shut(&[b])
}

fn data_then_end(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"last", 0), 4);
    t.shut(&[a])?;
    t.settle()?;
    eq!(t.read_some(b, 9)?, b"last");
    eq!(t.read_some(b, 9)?, b"");
    t.shut(&[b])
}

fn end_readiness(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.shutdown(a, SHUT_WR));
    t.wait(b, POLLIN)?;
    eq!(t.ready(b, POLLIN | POLLOUT | POLLRDHUP)?, POLLIN | POLLOUT | POLLRDHUP);
    // Who asks for less is told less.
    eq!(t.ready(b, POLLOUT)?, POLLOUT);
    eq!(t.ready(a, POLLIN | POLLOUT | POLLRDHUP)?, POLLOUT);
    t.shut(&[a, b])
}

fn half_close(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"question", 0), 8);
    ok!(t.shutdown(a, SHUT_WR));
    eq!(t.read_exactly(b, 99)?, b"question");
    gives!(t.send(b, b"answer", 0), 6);
    eq!(t.read_exactly(a, 6)?, b"answer");
    t.shut(&[b])?;
    eq!(t.read_some(a, 9)?, b"");
    t.shut(&[a])
}

fn write_after(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.shutdown(a, SHUT_WR));
    err!(t.send(a, b"x", 0), EPIPE);
    err!(t.write(a, b"x"), EPIPE);
    that!(t.ready(a, POLLOUT)? & POLLOUT != 0);
    t.shut(&[a, b])
}

fn read_after(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.shutdown(a, SHUT_RD));
    gives!(t.recv(a, &mut [0; 9], 0), 0);
    eq!(t.ready(a, POLLIN | POLLOUT | POLLRDHUP)?, POLLIN | POLLOUT | POLLRDHUP);
    // The peer does not learn of it.
    eq!(t.ready(b, POLLIN | POLLOUT | POLLRDHUP)?, POLLOUT);
    gives!(t.send(a, b"x", 0), 1);
    eq!(t.read_some(b, 9)?, b"x");
    t.shut(&[a, b])
}

fn data_after_rd(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.shutdown(a, SHUT_RD));
    gives!(t.send(b, b"late", 0), 4);
    // Linux gives it all the same.
    let mut bytes = [0; 9];
    t.until("data", || t.recv(a, &mut bytes, 0) == Ok(4))?;
    gives!(t.recv(a, &mut bytes, 0), 0);
    t.shut(&[a, b])
}

fn both(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.shutdown(a, SHUT_RDWR));
    gives!(t.recv(a, &mut [0], 0), 0);
    err!(t.send(a, b"x", 0), EPIPE);
    eq!(t.ready(a, POLLIN | POLLOUT | POLLRDHUP)?, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
    t.wait(b, POLLIN)?;
    gives!(t.recv(b, &mut [0], 0), 0);
    t.shut(&[a, b])
}

fn shutdown_twice(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    for _ in 0..2 {
        ok!(t.shutdown(a, SHUT_WR));
        ok!(t.shutdown(b, SHUT_RD));
    }
    t.shut(&[a, b])
}

fn shutdown_unconnected(t: &Test<'_>) -> Outcome {
    let (fd, bound) = (t.sock()?, t.bound(0)?);
    for how in [SHUT_RD, SHUT_WR, SHUT_RDWR] {
        err!(t.shutdown(fd, how), ENOTCONN);
        err!(t.shutdown(bound, how), ENOTCONN);
    }
    t.shut(&[fd, bound])
}

fn shutdown_how(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    for how in [3, 4, 255] {
        err!(t.shutdown(a, how), EINVAL);
    }
    t.shut(&[a, b])
}

fn both_closed(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.shutdown(a, SHUT_WR));
    ok!(t.shutdown(b, SHUT_WR));
    for fd in [a, b] {
        t.wait_all(fd, POLLIN | POLLOUT | POLLRDHUP | POLLHUP)?;
        gives!(t.recv(fd, &mut [0], 0), 0);
        err!(t.send(fd, b"x", 0), EPIPE);
    }
    t.shut(&[a, b])
}

fn names_after(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let name = ok!(t.getsockname(b));
    ok!(t.shutdown(a, SHUT_WR));
    t.wait(b, POLLIN)?;
    ok!(t.getpeername(b));
    ok!(t.shutdown(b, SHUT_WR));
    t.wait_all(b, POLLHUP)?;
    t.settle()?;
    // b was in LAST-ACK and is closed.
    err!(t.getpeername(b), ENOTCONN);
    eq!(ok!(t.getsockname(b)).as_bytes(), name.as_bytes());
    err!(t.shutdown(b, SHUT_RDWR), ENOTCONN);
    t.shut(&[a, b])
}

fn abort(t: &Test<'_>, fd: Fd) -> Outcome {
    let linger = [1i32.to_ne_bytes(), 0i32.to_ne_bytes()].concat();
    ok!(t.setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger));
    t.shut(&[fd])
}

fn reset(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    abort(t, a)?;
    t.wait(b, POLLIN)?;
    err!(t.recv(b, &mut [0; 9], 0), ECONNRESET);
    gives!(t.recv(b, &mut [0; 9], 0), 0);
    err!(t.send(b, b"x", 0), EPIPE);
    t.shut(&[b])
}

fn reset_readiness(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    abort(t, a)?;
    t.wait(b, POLLIN)?;
    eq!(t.ready(b, POLLIN | POLLOUT | POLLRDHUP)?, POLLIN | POLLOUT | POLLRDHUP | POLLERR | POLLHUP);
    eq!(t.ready(b, 0)?, POLLERR | POLLHUP);
    err!(t.getpeername(b), ENOTCONN);
    t.shut(&[b])
}

fn reset_once(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    abort(t, a)?;
    t.wait(b, POLLIN)?;
    eq!(t.take_error(b)?, i32::from(Errno::ECONNRESET.raw()));
    eq!(t.take_error(b)?, 0);
    gives!(t.recv(b, &mut [0], 0), 0);
    eq!(t.ready(b, POLLIN | POLLOUT)?, POLLIN | POLLOUT | POLLHUP);
    t.shut(&[b])
}

fn reset_discards(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"lost?", 0), 5);
    t.wait(b, POLLIN)?;
    abort(t, a)?;
    t.wait_all(b, POLLERR)?;
    err!(t.send(b, b"x", 0), ECONNRESET);
    gives!(t.recv(b, &mut [0; 9], 0), 5);
    gives!(t.recv(b, &mut [0; 9], 0), 0);
    t.shut(&[b])
}

fn unread(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"nobody reads this", 0), 17);
    t.wait(b, POLLIN)?;
    t.shut(&[b])?;
    t.wait(a, POLLIN)?;
    err!(t.recv(a, &mut [0], 0), ECONNRESET);
    t.shut(&[a])
}

fn write_to_gone(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    t.shut(&[b])?;
    t.wait(a, POLLIN)?;
    // The first is answered with a reset.
    gives!(t.send(a, b"x", 0), 1);
    t.wait_all(a, POLLERR)?;
    err!(t.send(a, b"x", 0), EPIPE);
    gives!(t.recv(a, &mut [0], 0), 0);
    t.shut(&[a])
}

fn close_delivers(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let data = pattern(20_000);
    let n = ok!(t.send(a, &data, 0));
    t.shut(&[a])?;
    let got = t.read_exactly(b, n + 1)?;
    that!(got == data[..n]);
    t.shut(&[b])
}

fn linger_time(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let linger = [1i32.to_ne_bytes(), 2i32.to_ne_bytes()].concat();
    ok!(t.setsockopt(a, SOL_SOCKET, SO_LINGER, &linger));
    gives!(t.send(a, b"data", 0), 4);
    let before = t.now();
    t.shut(&[a])?;
    // All was acknowledged: nothing to wait for.
    that!((t.now() - before).as_millis() < 1500);
    eq!(t.read_exactly(b, 9)?, b"data");
    t.shut(&[b])
}

fn readv(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"abcdefgh", 0), 8);
    t.wait(b, POLLIN)?;
    let (mut x, mut y, mut z) = ([0; 3], [0; 0], [0; 9]);
    gives!(t.readv(b, &mut [&mut x, &mut y, &mut z]), 8);
    eq!(&x, b"abc");
    eq!(&z[..5], b"defgh");
    t.shut(&[a, b])
}

fn writev(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.writev(a, &[b"abc", b"", b"def"]), 6);
    gives!(t.writev(a, &[]), 0);
    eq!(t.read_exactly(b, 6)?, b"abcdef");
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
    t.wait(b, POLLIN)?;
    gives!(number(t, b, FIONREAD), 5);
    gives!(t.recv(b, &mut [0; 2], 0), 2);
    gives!(number(t, b, SIOCINQ), 3);
    t.shut(&[a, b])
}

fn outq(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(number(t, a, SIOCOUTQ), 0);
    let sent = t.fill_up(a)?;
    let waiting = ok!(number(t, a, SIOCOUTQ));
    that!(waiting > 0 && waiting as usize <= sent);
    t.shut(&[a, b])
}

fn inq_listener(t: &Test<'_>) -> Outcome {
    let fd = t.listener(0)?;
    err!(number(t, fd, SIOCINQ), EINVAL);
    err!(number(t, fd, SIOCOUTQ), EINVAL);
    t.shut(&[fd])
}

fn more(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"one", MSG_MORE), 3);
    t.settle()?;
    err!(t.recv(b, &mut [0; 9], 0), EAGAIN);
    gives!(t.send(a, b"two", 0), 3);
    eq!(t.read_exactly(b, 6)?, b"onetwo");
    t.shut(&[a, b])
}

fn cork(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(a, IPPROTO_TCP, TCP_CORK, 1));
    gives!(t.option(a, IPPROTO_TCP, TCP_CORK), 1);
    gives!(t.send(a, b"one", 0), 3);
    gives!(t.send(a, b"two", 0), 3);
    t.settle()?;
    err!(t.recv(b, &mut [0; 9], 0), EAGAIN);
    ok!(t.set_option(a, IPPROTO_TCP, TCP_CORK, 0));
    eq!(t.read_exactly(b, 6)?, b"onetwo");
    t.shut(&[a, b])
}

fn unknown_flags(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"x", 0x0800_0000), 1);
    t.wait(b, POLLIN)?;
    gives!(t.recv(b, &mut [0; 9], 0x0800_0000), 1);
    t.shut(&[a, b])
}

fn no_signal(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"x", MSG_NOSIGNAL), 1);
    ok!(t.shutdown(a, SHUT_WR));
    err!(t.send(a, b"x", MSG_NOSIGNAL), EPIPE);
    t.shut(&[a, b])
}

fn low_water(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.option(b, SOL_SOCKET, SO_RCVLOWAT), 1);
    ok!(t.set_option(b, SOL_SOCKET, SO_RCVLOWAT, 4));
    gives!(t.option(b, SOL_SOCKET, SO_RCVLOWAT), 4);
    gives!(t.send(a, b"abc", 0), 3);
    t.settle()?;
    eq!(t.ready(b, POLLIN)?, 0);
    gives!(t.send(a, b"d", 0), 1);
    eq!(t.wait(b, POLLIN)?, POLLIN);
    // Who does not wait takes less.
    gives!(t.recv(b, &mut [0; 2], 0), 2);
    eq!(t.ready(b, POLLIN)?, 0);
    gives!(t.recv(b, &mut [0; 9], 0), 2);
    t.shut(&[a, b])
}

fn timeval(milliseconds: i64) -> Vec<u8> {
    [(milliseconds / 1000).to_ne_bytes(), (milliseconds % 1000 * 1000).to_ne_bytes()].concat()
}

fn receive_timeout(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.fcntl(a, F_SETFL, 0));
    ok!(t.setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &timeval(30)));
    let before = t.now();
    err!(t.recv(a, &mut [0], 0), EAGAIN);
    let took = (t.now() - before).as_millis();
    that!((25..2000).contains(&took));
    t.shut(&[a, b])
}

fn send_timeout(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    t.fill_up(a)?;
    ok!(t.fcntl(a, F_SETFL, 0));
    ok!(t.setsockopt(a, SOL_SOCKET, SO_SNDTIMEO, &timeval(30)));
    let before = t.now();
    err!(t.send(a, b"x", 0), EAGAIN);
    let took = (t.now() - before).as_millis();
    that!((25..2000).contains(&took));
    t.shut(&[a, b])
}

fn recvmsg(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"abcdef", 0), 6);
    t.wait(b, POLLIN)?;
    let (mut x, mut y) = ([0; 4], [0; 4]);
    let got = ok!(t.recvmsg(b, &mut [&mut x, &mut y], &mut [0; 64], 0));
    eq!((got.bytes, got.control, got.flags, got.address.as_bytes().len()), (6, 0, 0, 0));
    eq!((&x, &y[..2]), (b"abcd", &b"ef"[..]));
    err!(t.recvmsg(b, &mut [&mut x], &mut [], 0).map(|r| r.bytes), EAGAIN);
    t.shut(&[a, b])
}

fn sendmsg(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.sendmsg(a, &[b"abc", b"", b"def"], None, &[], 0), 6);
    eq!(t.read_exactly(b, 6)?, b"abcdef");
    ok!(t.shutdown(a, SHUT_WR));
    err!(t.sendmsg(a, &[b"x"], None, &[], 0), EPIPE);
    t.shut(&[a, b])
}
