//! Urgent data of local streams (unix(7), MSG_OOB). Unlike TCP's it lies in the
//! stream: a byte that is no longer the urgent one is data.

use super::unix::{ioctl_int, recv_into};
use crate::{case::*, posix::*, test::*};

const STREAM: &[On] = &[UNIX_STREAM];
const RECORDS: &[On] = &[UNIX_DGRAM, UNIX_SEQPACKET];
const S: i32 = SOL_SOCKET;

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("urgent data by AF_UNIX", "unix(7) MSG_OOB", STREAM, urgent),
    Case::new("urgent data in line by AF_UNIX", "socket(7) SO_OOBINLINE", STREAM, urgent_inline),
    Case::new("urgent data is for streams", "send(2) EOPNOTSUPP", RECORDS, urgent_records),
    Case::new("SIOCINQ around urgent data", "unix(7) Ioctls", STREAM, unread),
    Case::new("urgent data alone", "unix(7) MSG_OOB", STREAM, alone),
    Case::new("urgent data after some that was taken", "unix(7) MSG_OOB", STREAM, after_taken),
    Case::new("what lies around urgent data that was taken", "unix(7) MSG_OOB", STREAM, holes),
    Case::new("SO_OOBINLINE set late", "socket(7) SO_OOBINLINE", STREAM, inline_late),
    Case::new("closing after urgent data", "unix(7) ECONNRESET", STREAM, closing),
    Case::new("end of file after urgent data", "recv(2)", STREAM, end_of_file),
    Case::new("errors of urgent data", "send(2)", UNIX, errors),
    Case::new("MSG_WAITALL ends at urgent data", "recv(2) MSG_WAITALL", STREAM, wait_all),
];

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

/// What poll(2) says of reading, the bytes that can be read, and whether they
/// begin at the mark.
fn state(t: &Test<'_>, fd: Fd) -> Result<(u16, i32, i32), Failure> {
    Ok((t.ready(fd, POLLIN | POLLPRI)?, ok!(ioctl_int(t, fd, SIOCINQ)), ok!(ioctl_int(t, fd, SIOCATMARK))))
}

/// Sends urgent data and waits until it is there.
fn send_urgent(t: &Test<'_>, from: Fd, to: Fd, data: &[u8]) -> Outcome {
    gives!(t.send(from, data, MSG_OOB), data.len());
    t.wait_all(to, POLLPRI)?;
    t.settle()
}

fn unread(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    send_urgent(t, a, b, b"abc")?;
    gives!(t.send(a, b"def", 0), 3);
    t.settle()?;
    eq!(state(t, b)?, (POLLIN | POLLPRI, 6, 0));
    gives!(recv_into(t, b, 9, MSG_OOB), b"c");
    eq!(state(t, b)?, (POLLIN, 5, 0));
    gives!(recv_into(t, b, 9, 0), b"ab");
    eq!(state(t, b)?, (POLLIN, 3, 1));
    gives!(recv_into(t, b, 9, 0), b"def");
    eq!(state(t, b)?, (0, 0, 0));
    t.shut(&[a, b])
}

fn alone(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    send_urgent(t, a, b, b"x")?;
    eq!(state(t, b)?, (POLLIN | POLLPRI, 1, 1));
    err!(recv_into(t, b, 9, MSG_PEEK), EAGAIN);
    gives!(recv_into(t, b, 9, MSG_OOB), b"x");
    // Nothing can be read, but the place is still there.
    eq!(state(t, b)?, (POLLIN, 0, 1));
    err!(recv_into(t, b, 9, 0), EAGAIN);
    eq!(state(t, b)?, (0, 0, 0));
    // Read as data it is lost.
    send_urgent(t, a, b, b"y")?;
    err!(recv_into(t, b, 9, 0), EAGAIN);
    eq!(t.ready(b, POLLIN | POLLPRI)?, 0);
    err!(recv_into(t, b, 9, MSG_OOB), EINVAL);
    t.shut(&[a, b])
}

fn after_taken(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    send_urgent(t, a, b, b"ab")?;
    gives!(recv_into(t, b, 1, MSG_OOB), b"b");
    send_urgent(t, a, b, b"cd")?;
    eq!(state(t, b)?, (POLLIN | POLLPRI, 3, 0));
    gives!(recv_into(t, b, 1, MSG_OOB), b"d");
    gives!(recv_into(t, b, 9, 0), b"a");
    eq!(state(t, b)?.2, 1);
    gives!(recv_into(t, b, 9, 0), b"c");
    err!(recv_into(t, b, 9, 0), EAGAIN);
    t.shut(&[a, b])
}

fn holes(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    send_urgent(t, a, b, b"ab")?;
    gives!(recv_into(t, b, 1, MSG_OOB), b"b");
    send_urgent(t, a, b, b"cd")?;
    gives!(t.send(a, b"ef", 0), 2);
    t.settle()?;
    // While there is a later one, a place that was left is no border.
    gives!(recv_into(t, b, 9, MSG_PEEK), b"ac");
    gives!(recv_into(t, b, 9, 0), b"ac");
    gives!(recv_into(t, b, 9, MSG_PEEK), b"ef");
    gives!(recv_into(t, b, 9, 0), b"ef");
    err!(recv_into(t, b, 9, 0), EAGAIN);
    // Two that follow each other leave one place.
    for _ in 0..100 {
        send_urgent(t, a, b, b"x")?;
        gives!(recv_into(t, b, 1, MSG_OOB), b"x");
    }
    gives!(t.send(a, b"y", 0), 1);
    eq!(t.read_some(b, 9)?, b"y");
    t.shut(&[a, b])
}

fn inline_late(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    send_urgent(t, a, b, b"ab")?;
    gives!(t.send(a, b"cd", 0), 2);
    t.settle()?;
    ok!(t.set_option(b, S, SO_OOBINLINE, 1));
    gives!(recv_into(t, b, 9, MSG_PEEK), b"a");
    gives!(recv_into(t, b, 9, 0), b"a");
    eq!(state(t, b)?.2, 1);
    gives!(recv_into(t, b, 9, MSG_PEEK), b"bcd");
    gives!(recv_into(t, b, 9, 0), b"bcd");
    // What was taken before stays away.
    ok!(t.set_option(b, S, SO_OOBINLINE, 0));
    send_urgent(t, a, b, b"ab")?;
    gives!(recv_into(t, b, 1, MSG_OOB), b"b");
    ok!(t.set_option(b, S, SO_OOBINLINE, 1));
    gives!(t.send(a, b"cd", 0), 2);
    t.settle()?;
    gives!(recv_into(t, b, 9, 0), b"a");
    gives!(recv_into(t, b, 9, 0), b"cd");
    t.shut(&[a, b])
}

fn closing(t: &Test<'_>) -> Outcome {
    for taken in [false, true] {
        let (a, b) = t.pair()?;
        send_urgent(t, a, b, b"x")?;
        if taken {
            gives!(recv_into(t, b, 1, MSG_OOB), b"x");
        }
        t.shut(&[b])?;
        t.wait_all(a, POLLHUP)?;
        if !taken {
            err!(recv_into(t, a, 1, 0), ECONNRESET);
        }
        gives!(recv_into(t, a, 1, 0), b"");
        t.shut(&[a])?;
    }
    Ok(())
}

fn end_of_file(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    send_urgent(t, a, b, b"ab")?;
    t.shut(&[a])?;
    t.wait_all(b, POLLPRI | POLLHUP)?;
    gives!(recv_into(t, b, 9, 0), b"a");
    gives!(recv_into(t, b, 9, MSG_OOB), b"b");
    gives!(recv_into(t, b, 9, 0), b"");
    t.shut(&[b])
}

fn errors(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    match t.on.kind {
        SOCK_STREAM => {
            err!(t.send(fd, b"x", MSG_OOB), ENOTCONN);
            err!(t.send(fd, b"", MSG_OOB), EOPNOTSUPP);
            err!(recv_into(t, fd, 1, MSG_OOB), EINVAL);
            gives!(ioctl_int(t, fd, SIOCATMARK), 0);
        }
        SOCK_SEQPACKET => {
            err!(t.send(fd, b"x", MSG_OOB), ENOTCONN);
            err!(recv_into(t, fd, 1, MSG_OOB), ENOTCONN);
            err!(ioctl_int(t, fd, SIOCATMARK), EOPNOTSUPP);
        }
        _ => {
            err!(t.send(fd, b"x", MSG_OOB), EOPNOTSUPP);
            err!(recv_into(t, fd, 1, MSG_OOB), EOPNOTSUPP);
            err!(ioctl_int(t, fd, SIOCATMARK), EOPNOTSUPP);
        }
    }
    t.shut(&[fd])?;
    let (a, b) = t.pair()?;
    err!(t.send(a, b"", MSG_OOB), EOPNOTSUPP);
    t.shut(&[a, b])
}

fn wait_all(t: &Test<'_>) -> Outcome {
    let (a, b) = ok!(t.socketpair(AF_UNIX, t.on.kind.into(), 0));
    send_urgent(t, a, b, b"abc")?;
    gives!(t.send(a, b"def", 0), 3);
    gives!(recv_into(t, b, 6, MSG_WAITALL), b"ab");
    gives!(recv_into(t, b, 3, MSG_WAITALL), b"def");
    t.shut(&[a, b])
}
