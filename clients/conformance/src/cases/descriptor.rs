//! dup(2), fcntl(2), ioctl(2): descriptors, whatever they stand for.

use crate::{case::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("dup is the same socket", "dup(2)", INET, dup),
    Case::new("the socket lives until the last close", "close(2)", INET, last_close),
    Case::new("dup2", "dup2(2)", INET, dup2),
    Case::new("dup2 on itself", "dup2(2)", INET, dup2_same),
    Case::new("dup2 closes what was there", "dup2(2)", INET, dup2_closes),
    Case::new("dup2 out of range", "dup2(2) EBADF", ONCE, dup2_range),
    Case::new("F_DUPFD from a number on", "fcntl(2) F_DUPFD", INET, dup_from),
    Case::new("F_DUPFD out of range", "fcntl(2) EINVAL", ONCE, dup_range),
    Case::new("F_DUPFD_CLOEXEC", "fcntl(2)", ONCE, dup_cloexec),
    Case::new("FD_CLOEXEC is the descriptor's", "fcntl(2) F_SETFD", INET, cloexec),
    Case::new("O_NONBLOCK is the socket's", "fcntl(2) F_SETFL", INET, nonblock_shared),
    Case::new("F_GETFL", "fcntl(2) F_GETFL", INET, getfl),
    Case::new("F_SETFL leaves the access mode", "fcntl(2) F_SETFL", ONCE, setfl),
    Case::new("an unknown command", "fcntl(2) EINVAL", INET, unknown_command),
    Case::new("FIONBIO", "ioctl(2)", INET, fionbio),
    Case::new("FIOASYNC", "ioctl(2)", TCP, fioasync)
        .differs("There are no signals: asking for SIGIO gives EOPNOTSUPP, not silent success."),
    Case::new("an unknown request", "ioctl(2) ENOTTY", INET, unknown_request),
    Case::new("SIOCGSTAMP", "socket(7)", UDP, stamp)
        .differs("Not there: SO_TIMESTAMP tells the time of each datagram."),
    Case::new("SIOCSPGRP and SIOCGPGRP", "socket(7)", INET, owner)
        .differs("There are no signals and no process groups: both give EOPNOTSUPP."),
];

fn dup(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let copy = ok!(t.dup(a));
    that!(copy != a);
    gives!(t.send(copy, b"x", 0), 1);
    eq!(t.read_some(b, 9)?, b"x");
    eq!(ok!(t.getsockname(copy)).as_bytes(), ok!(t.getsockname(a)).as_bytes());
    t.shut(&[a, b, copy])
}

fn last_close(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let copy = ok!(t.dup(a));
    t.shut(&[a])?;
    t.settle()?;
    eq!(t.ready(b, POLLIN)?, 0);
    gives!(t.send(b, b"still", 0), 5);
    eq!(t.read_some(copy, 9)?, b"still");
    t.shut(&[copy])?;
    if t.stream() {
        eq!(t.read_some(b, 9)?, b"");
    }
    t.shut(&[b])
}

fn dup2(t: &Test<'_>) -> Outcome {
    let fd = t.bound(0)?;
    gives!(t.dup2(fd, 77), 77);
    eq!(ok!(t.getsockname(77)).as_bytes(), t.lo(0).as_bytes());
    t.shut(&[fd, 77])
}

fn dup2_same(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    gives!(t.dup2(fd, fd), fd);
    t.shut(&[fd])?;
    err!(t.dup2(fd, fd), EBADF);
    Ok(())
}

fn dup2_closes(t: &Test<'_>) -> Outcome {
    let (a, b) = (t.bound(0)?, t.bound(1)?);
    gives!(t.dup2(a, b), b);
    eq!(ok!(t.getsockname(b)).as_bytes(), t.lo(0).as_bytes());
    let again = t.bound(1)?;
    t.shut(&[a, b, again])
}

fn dup2_range(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.dup2(fd, -1), EBADF);
    err!(t.dup2(fd, 1 << 30), EBADF);
    err!(t.dup2(99, fd), EBADF);
    t.shut(&[fd])
}

fn dup_from(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    gives!(t.fcntl(fd, F_DUPFD, 50), 50);
    gives!(t.fcntl(fd, F_DUPFD, 50), 51);
    gives!(t.fcntl(fd, F_DUPFD, 0), fd + 1);
    t.shut(&[fd, fd + 1, 50, 51])
}

fn dup_range(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.fcntl(fd, F_DUPFD, -1), EINVAL);
    err!(t.fcntl(fd, F_DUPFD, 1 << 30), EINVAL);
    t.shut(&[fd])
}

fn dup_cloexec(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let copy = ok!(t.fcntl(fd, F_DUPFD_CLOEXEC, 0));
    gives!(t.fcntl(copy, F_GETFD, 0), FD_CLOEXEC as i32);
    let plain = ok!(t.dup(copy));
    gives!(t.fcntl(plain, F_GETFD, 0), 0);
    t.shut(&[fd, copy, plain])
}

fn cloexec(t: &Test<'_>) -> Outcome {
    let fd = ok!(t.socket(t.on.family, u32::from(t.on.kind) | SOCK_CLOEXEC, 0));
    gives!(t.fcntl(fd, F_GETFD, 0), FD_CLOEXEC as i32);
    let copy = ok!(t.dup(fd));
    gives!(t.fcntl(copy, F_GETFD, 0), 0);
    gives!(t.fcntl(fd, F_SETFD, 0), 0);
    gives!(t.fcntl(fd, F_GETFD, 0), 0);
    gives!(t.fcntl(copy, F_SETFD, FD_CLOEXEC as i32), 0);
    gives!(t.fcntl(copy, F_GETFD, 0), FD_CLOEXEC as i32);
    gives!(t.fcntl(fd, F_GETFD, 0), 0);
    t.shut(&[fd, copy])
}

fn nonblock_shared(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let copy = ok!(t.dup(a));
    ok!(t.fcntl(copy, F_SETFL, 0));
    gives!(t.fcntl(a, F_GETFL, 0), O_RDWR as i32);
    ok!(t.fcntl(a, F_SETFL, O_NONBLOCK as i32));
    err!(t.recv(copy, &mut [0], 0), EAGAIN);
    t.shut(&[a, b, copy])
}

fn getfl(t: &Test<'_>) -> Outcome {
    let (waits, not) = (t.waiting_sock()?, t.sock()?);
    gives!(t.fcntl(waits, F_GETFL, 0), O_RDWR as i32);
    gives!(t.fcntl(not, F_GETFL, 0), (O_RDWR | O_NONBLOCK) as i32);
    t.shut(&[waits, not])
}

fn setfl(t: &Test<'_>) -> Outcome {
    let fd = t.waiting_sock()?;
    // Access mode and creation flags are ignored.
    gives!(t.fcntl(fd, F_SETFL, (O_NONBLOCK | 1 | 0o100) as i32), 0);
    gives!(t.fcntl(fd, F_GETFL, 0), (O_RDWR | O_NONBLOCK) as i32);
    gives!(t.fcntl(fd, F_SETFL, 0), 0);
    gives!(t.fcntl(fd, F_GETFL, 0), O_RDWR as i32);
    t.shut(&[fd])
}

fn unknown_command(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.fcntl(fd, 999, 0), EINVAL);
    t.shut(&[fd])
}

fn fionbio(t: &Test<'_>) -> Outcome {
    let fd = t.waiting_sock()?;
    ok!(t.ioctl(fd, FIONBIO, &mut 1i32.to_ne_bytes()));
    gives!(t.fcntl(fd, F_GETFL, 0), (O_RDWR | O_NONBLOCK) as i32);
    ok!(t.ioctl(fd, FIONBIO, &mut 0i32.to_ne_bytes()));
    gives!(t.fcntl(fd, F_GETFL, 0), O_RDWR as i32);
    t.shut(&[fd])
}

fn fioasync(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let result = t.ioctl(fd, FIOASYNC, &mut 1i32.to_ne_bytes());
    eq!(result, t.by_world(Ok(0), Err(Errno::EOPNOTSUPP)));
    t.shut(&[fd])
}

fn unknown_request(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.ioctl(fd, 0x5401, &mut [0; 64]), ENOTTY);
    err!(t.ioctl(fd, 0x1234_5678, &mut [0; 64]), ENOTTY);
    t.shut(&[fd])
}

fn stamp(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let got = t.ioctl(fd, SIOCGSTAMP, &mut [0; 16]);
    eq!(got, Err(t.by_world(Errno::ENOENT, Errno::ENOTTY)));
    t.shut(&[fd])
}

fn owner(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let mut value = [9; 4];
    let got = t.ioctl(fd, SIOCGPGRP, &mut value).map(|_| i32::from_ne_bytes(value));
    eq!(got, t.by_world(Ok(0), Err(Errno::EOPNOTSUPP)));
    let set = t.ioctl(fd, SIOCSPGRP, &mut 0i32.to_ne_bytes());
    eq!(set, t.by_world(Ok(0), Err(Errno::EOPNOTSUPP)));
    t.shut(&[fd])
}
