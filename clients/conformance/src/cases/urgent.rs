//! Urgent data of TCP.

use crate::{case::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("an urgent byte comes apart", "tcp(7) MSG_OOB", TCP, apart),
    Case::new("urgent data is told by POLLPRI", "poll(2) POLLPRI", TCP, readiness),
    Case::new("select tells of it as an exception", "select(2)", TCP, exception),
    Case::new("epoll tells of it", "epoll_ctl(2) EPOLLPRI", TCP, epoll),
    Case::new("only the last byte is urgent", "tcp(7) MSG_OOB", TCP, last_byte),
    Case::new("no urgent data", "recv(2) MSG_OOB EINVAL", TCP, none),
    Case::new("urgent data is read once", "recv(2) MSG_OOB EINVAL", TCP, once),
    Case::new("MSG_PEEK of urgent data", "recv(2) MSG_PEEK", TCP, peek),
    Case::new("a read ends at the mark", "sockatmark(3)", TCP, at_mark),
    Case::new("SIOCATMARK", "tcp(7) SIOCATMARK", TCP, atmark_ioctl),
    Case::new("SO_OOBINLINE", "socket(7) SO_OOBINLINE", TCP, inline),
    Case::new("SO_OOBINLINE: MSG_OOB gives nothing", "recv(2) MSG_OOB EINVAL", TCP, inline_oob),
    Case::new("a second urgent byte", "tcp(7) MSG_OOB", TCP, second),
    Case::new("urgent data alone", "tcp(7) MSG_OOB", TCP, alone),
    Case::new("both directions", "tcp(7) MSG_OOB", TCP, both),
    Case::new("urgent data without a connection", "send(2) EPIPE", TCP, unconnected),
    Case::new("FIONREAD stops at the mark", "tcp(7) SIOCINQ", TCP, fionread),
    Case::new("urgent data at the end", "tcp(7) MSG_OOB", TCP, end),
    Case::new("urgent data among much data", "RFC 9293 3.8.5", TCP, much),
];

fn oob(t: &Test<'_>, fd: Fd) -> Result<u8> {
    let mut byte = [0; 4];
    match t.recv(fd, &mut byte, MSG_OOB)? {
        1 => Ok(byte[0]),
        _ => Err(Errno::EIO),
    }
}

fn mark(t: &Test<'_>, fd: Fd) -> Result<i32> {
    let mut value = [9; 4];
    t.ioctl(fd, SIOCATMARK, &mut value)?;
    Ok(i32::from_ne_bytes(value))
}

fn apart(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"abc", 0), 3);
    gives!(t.send(a, b"!", MSG_OOB), 1);
    gives!(t.send(a, b"def", 0), 3);
    t.wait(b, POLLPRI)?;
    gives!(oob(t, b), b'!');
    eq!(t.read_exactly(b, 6)?, b"abcdef");
    t.shut(&[a, b])
}

fn readiness(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"!", MSG_OOB), 1);
    eq!(t.wait(b, POLLPRI)?, POLLPRI);
    gives!(oob(t, b), b'!');
    eq!(t.ready(b, POLLPRI)?, 0);
    t.shut(&[a, b])
}

fn exception(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"!", MSG_OOB), 1);
    t.wait(b, POLLPRI)?;
    let mut except = FdSet::of(&[a, b]);
    gives!(t.select(a.max(b) + 1, None, None, Some(&mut except), None), 1);
    eq!((except.has(a), except.has(b)), (false, true));
    t.shut(&[a, b])
}

fn epoll(t: &Test<'_>) -> Outcome {
    let ((a, b), epoll) = (t.pair()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, Watch { events: EPOLLPRI, data: 7 }));
    gives!(t.send(a, b"!", MSG_OOB), 1);
    let mut events = [Watch::default(); 2];
    gives!(t.epoll_wait(epoll, &mut events, 3000), 1);
    eq!(events[0], Watch { events: EPOLLPRI, data: 7 });
    t.shut(&[a, b, epoll])
}

fn last_byte(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"abc", MSG_OOB), 3);
    t.wait(b, POLLPRI)?;
    gives!(oob(t, b), b'c');
    eq!(t.read_exactly(b, 2)?, b"ab");
    t.shut(&[a, b])
}

fn none(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    err!(oob(t, b), EINVAL);
    gives!(t.send(a, b"x", 0), 1);
    t.wait(b, POLLIN)?;
    err!(oob(t, b), EINVAL);
    t.shut(&[a, b])
}

fn once(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"!", MSG_OOB), 1);
    t.wait(b, POLLPRI)?;
    gives!(oob(t, b), b'!');
    err!(oob(t, b), EINVAL);
    t.shut(&[a, b])
}

fn peek(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"!", MSG_OOB), 1);
    t.wait(b, POLLPRI)?;
    let mut byte = [0];
    gives!(t.recv(b, &mut byte, MSG_OOB | MSG_PEEK), 1);
    eq!(byte, *b"!");
    gives!(oob(t, b), b'!');
    t.shut(&[a, b])
}

fn at_mark(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"abc", 0), 3);
    gives!(t.send(a, b"!", MSG_OOB), 1);
    gives!(t.send(a, b"def", 0), 3);
    t.wait(b, POLLPRI)?;
    t.settle()?;
    // One read does not cross the mark.
    eq!(t.read_some(b, 99)?, b"abc");
    eq!(t.read_some(b, 99)?, b"def");
    t.shut(&[a, b])
}

fn atmark_ioctl(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(mark(t, b), 0);
    gives!(t.send(a, b"ab", 0), 2);
    gives!(t.send(a, b"!", MSG_OOB), 1);
    gives!(t.send(a, b"cd", 0), 2);
    t.wait(b, POLLPRI)?;
    t.settle()?;
    gives!(mark(t, b), 0);
    eq!(t.read_some(b, 99)?, b"ab");
    gives!(mark(t, b), 1);
    eq!(t.read_some(b, 99)?, b"cd");
    gives!(mark(t, b), 0);
    t.shut(&[a, b])
}

fn inline(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(b, SOL_SOCKET, SO_OOBINLINE, 1));
    gives!(t.send(a, b"ab", 0), 2);
    gives!(t.send(a, b"!", MSG_OOB), 1);
    gives!(t.send(a, b"cd", 0), 2);
    t.wait(b, POLLPRI)?;
    t.settle()?;
    eq!(t.read_some(b, 99)?, b"ab");
    gives!(mark(t, b), 1);
    eq!(t.read_some(b, 99)?, b"!cd");
    t.shut(&[a, b])
}

fn inline_oob(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(b, SOL_SOCKET, SO_OOBINLINE, 1));
    gives!(t.send(a, b"!", MSG_OOB), 1);
    t.wait(b, POLLIN)?;
    err!(oob(t, b), EINVAL);
    eq!(t.read_some(b, 9)?, b"!");
    t.shut(&[a, b])
}

fn second(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"ab1", MSG_OOB), 3);
    t.wait(b, POLLPRI)?;
    t.settle()?;
    gives!(t.send(a, b"cd2", MSG_OOB), 3);
    // The first one was not read, and is ordinary data now. The second is
    // announced before it comes.
    let mut byte = [0];
    t.until("the second one", || t.recv(b, &mut byte, MSG_OOB | MSG_PEEK) == Ok(1) && byte == *b"2")?;
    gives!(oob(t, b), b'2');
    eq!(t.read_exactly(b, 5)?, b"ab1cd");
    t.shut(&[a, b])
}

fn alone(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"!", MSG_OOB), 1);
    t.wait(b, POLLPRI)?;
    gives!(t.recv(b, &mut [0; 9], MSG_OOB | MSG_PEEK), 1);
    // Who reads at the mark passes the urgent byte, and it is gone.
    err!(t.recv(b, &mut [0; 9], 0), EAGAIN);
    err!(oob(t, b), EINVAL);
    t.shut(&[a, b])
}

fn both(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"x1", MSG_OOB), 2);
    gives!(t.send(b, b"y2", MSG_OOB), 2);
    t.wait(a, POLLPRI)?;
    t.wait(b, POLLPRI)?;
    gives!(oob(t, a), b'2');
    gives!(oob(t, b), b'1');
    eq!(t.read_exactly(a, 1)?, b"y");
    eq!(t.read_exactly(b, 1)?, b"x");
    t.shut(&[a, b])
}

fn unconnected(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.send(fd, b"!", MSG_OOB), EPIPE);
    err!(oob(t, fd), EINVAL);
    t.shut(&[fd])
}

fn fionread(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"abc", 0), 3);
    gives!(t.send(a, b"!", MSG_OOB), 1);
    gives!(t.send(a, b"de", 0), 2);
    t.wait(b, POLLPRI)?;
    t.settle()?;
    let mut value = [0; 4];
    ok!(t.ioctl(b, FIONREAD, &mut value));
    eq!(i32::from_ne_bytes(value), 3);
    t.shut(&[a, b])
}

fn end(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"ab!", MSG_OOB), 3);
    ok!(t.shutdown(a, SHUT_WR));
    t.wait(b, POLLPRI)?;
    eq!(t.read_exactly(b, 2)?, b"ab");
    gives!(oob(t, b), b'!');
    eq!(t.read_some(b, 9)?, b"");
    t.shut(&[a, b])
}

fn much(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let part = [b'x'; 3000];
    gives!(t.send(a, &part, 0), 3000);
    gives!(t.send(a, b"!", MSG_OOB), 1);
    gives!(t.send(a, &part, 0), 3000);
    t.wait(b, POLLPRI)?;
    gives!(oob(t, b), b'!');
    let got = t.read_exactly(b, 6000)?;
    that!(got.len() == 6000 && got.iter().all(|c| *c == b'x'));
    t.shut(&[a, b])
}
