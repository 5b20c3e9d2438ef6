//! FIFOs: fifo(7), pipe(7).

use super::pipe::bytes_through;
use crate::{case::*, files::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("a FIFO without a reader", "fifo(7) ENXIO", ONCE, no_reader),
    Case::new("a FIFO carries bytes", "fifo(7)", ONCE, carries),
    Case::new("a FIFO without a writer is at its end", "pipe(7)", ONCE, no_writer),
    Case::new("writing without a reader", "pipe(7) EPIPE", ONCE, broken),
    Case::new("a FIFO opened for both", "fifo(7)", ONCE, both),
    Case::new("how much fits", "pipe(7)", ONCE, capacity),
    Case::new("PIPE_BUF bytes are one piece", "pipe(7)", ONCE, atomic),
    Case::new("more than PIPE_BUF go in part", "pipe(7)", ONCE, partial),
    Case::new("poll of the reading end", "poll(2)", ONCE, poll_reader),
    Case::new("poll of the writing end", "poll(2)", ONCE, poll_writer),
    Case::new("no position", "lseek(2) ESPIPE", ONCE, no_position),
    Case::new("a FIFO has no size", "ftruncate(2) EINVAL", ONCE, no_size),
    Case::new("FIONREAD of a FIFO", "pipe(7) FIONREAD", ONCE, fionread),
    Case::new("a removed FIFO goes on", "fifo(7)", ONCE, removed),
    Case::new("two readers share what comes", "fifo(7)", ONCE, two_readers),
    Case::new("data stays for the next reader", "fifo(7)", ONCE, left_over),
    Case::new("a FIFO in epoll", "epoll_ctl(2)", ONCE, in_epoll),
];

const R: u32 = open::RDONLY | open::NONBLOCK;
const W: u32 = open::WRONLY | open::NONBLOCK;

/// A FIFO, open at both ends.
fn with_fifo(t: &Test<'_>, case: impl FnOnce(&Test<'_>, Fd, Fd) -> Outcome) -> Outcome {
    inside(t, |t| {
        ok!(t.mknod("p", mode::FIFO | 0o600));
        let r = ok!(t.open("p", R, 0));
        let w = ok!(t.open("p", W, 0));
        case(t, r, w)
    })
}

fn no_reader(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mknod("p", mode::FIFO | 0o600));
        err!(t.open("p", W, 0), ENXIO);
        let r = ok!(t.open("p", R, 0));
        let w = ok!(t.open("p", W, 0));
        t.shut(&[r, w])
    })
}

fn carries(t: &Test<'_>) -> Outcome {
    with_fifo(t, bytes_through)
}

fn no_writer(t: &Test<'_>) -> Outcome {
    with_fifo(t, |t, r, w| {
        gives!(t.write(w, b"last"), 4);
        ok!(t.close(w));
        gives!(t.read(r, &mut [0; 9]), 4);
        gives!(t.read(r, &mut [0; 9]), 0);
        let w = ok!(t.open("p", W, 0));
        err!(t.read(r, &mut [0; 9]), EAGAIN);
        t.shut(&[r, w])
    })
}

fn broken(t: &Test<'_>) -> Outcome {
    with_fifo(t, |t, r, w| {
        ok!(t.close(r));
        err!(t.write(w, b"x"), EPIPE);
        t.shut(&[w])
    })
}

fn both(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mknod("p", mode::FIFO | 0o600));
        let fd = ok!(t.open("p", open::RDWR | open::NONBLOCK, 0));
        err!(t.read(fd, &mut [0]), EAGAIN);
        gives!(t.write(fd, b"self"), 4);
        gives!(t.read(fd, &mut [0; 9]), 4);
        t.shut(&[fd])
    })
}

fn capacity(t: &Test<'_>) -> Outcome {
    with_fifo(t, |t, r, w| {
        let mut n = 0;
        while let Ok(some) = t.write(w, &[1; 4096]) {
            n += some;
        }
        eq!(n, PIPE_BYTES);
        err!(t.write(w, b"x"), EAGAIN);
        t.shut(&[r, w])
    })
}

fn atomic(t: &Test<'_>) -> Outcome {
    with_fifo(t, |t, r, w| {
        gives!(t.write(w, &[1; PIPE_BYTES]), PIPE_BYTES);
        gives!(t.read(r, &mut [0; PIPE_BUF]), PIPE_BUF);
        // A page is free: it takes one write of this size, and no more.
        gives!(t.write(w, &[2; PIPE_BUF]), PIPE_BUF);
        err!(t.write(w, &[2; PIPE_BUF]), EAGAIN);
        t.shut(&[r, w])
    })
}

fn partial(t: &Test<'_>) -> Outcome {
    with_fifo(t, |t, r, w| {
        gives!(t.write(w, &[1; PIPE_BYTES + 1000]), PIPE_BYTES);
        err!(t.write(w, &[1; PIPE_BYTES]), EAGAIN);
        t.shut(&[r, w])
    })
}

fn poll_reader(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mknod("p", mode::FIFO | 0o600));
        let r = ok!(t.open("p", R, 0));
        eq!(t.ready(r, POLLIN)?, 0);
        let w = ok!(t.open("p", W, 0));
        eq!(t.ready(r, POLLIN | POLLOUT)?, 0);
        gives!(t.write(w, b"x"), 1);
        eq!(t.ready(r, POLLIN | POLLRDNORM)?, POLLIN | POLLRDNORM);
        ok!(t.close(w));
        eq!(t.ready(r, POLLIN)?, POLLIN | POLLHUP);
        gives!(t.read(r, &mut [0; 4]), 1);
        eq!(t.ready(r, POLLIN)?, POLLHUP);
        t.shut(&[r])
    })
}

fn poll_writer(t: &Test<'_>) -> Outcome {
    with_fifo(t, |t, r, w| {
        eq!(t.ready(w, POLLIN | POLLOUT)?, POLLOUT);
        gives!(t.write(w, &[1; PIPE_BYTES]), PIPE_BYTES);
        eq!(t.ready(w, POLLOUT)?, 0);
        gives!(t.read(r, &mut [0; PIPE_BUF]), PIPE_BUF);
        eq!(t.ready(w, POLLOUT)?, POLLOUT);
        ok!(t.close(r));
        that!(t.ready(w, 0)? & POLLERR != 0);
        t.shut(&[w])
    })
}

fn no_position(t: &Test<'_>) -> Outcome {
    with_fifo(t, |t, r, w| {
        err!(t.lseek(r, 0, seek::CUR), ESPIPE);
        err!(t.pread(r, &mut [0], 0), ESPIPE);
        err!(t.pwrite(w, b"x", 0), ESPIPE);
        t.shut(&[r, w])
    })
}

fn no_size(t: &Test<'_>) -> Outcome {
    with_fifo(t, |t, r, w| {
        err!(t.ftruncate(w, 0), EINVAL);
        err!(t.truncate("p", 0), EINVAL);
        eq!(ok!(t.fstat(r)).mode, mode::FIFO | 0o600);
        t.shut(&[r, w])
    })
}

fn fionread(t: &Test<'_>) -> Outcome {
    with_fifo(t, |t, r, w| {
        gives!(t.write(w, &[1; 5000]), 5000);
        let mut n = [0; 4];
        ok!(t.ioctl(r, FIONREAD, &mut n));
        eq!(i32::from_ne_bytes(n), 5000);
        t.shut(&[r, w])
    })
}

fn removed(t: &Test<'_>) -> Outcome {
    with_fifo(t, |t, r, w| {
        ok!(t.unlink("p"));
        gives!(t.write(w, b"x"), 1);
        gives!(t.read(r, &mut [0; 4]), 1);
        // One of the same name is another.
        ok!(t.mknod("p", mode::FIFO | 0o600));
        err!(t.open("p", W, 0), ENXIO);
        t.shut(&[r, w])
    })
}

fn two_readers(t: &Test<'_>) -> Outcome {
    with_fifo(t, |t, r, w| {
        let other = ok!(t.open("p", R, 0));
        gives!(t.write(w, b"abcd"), 4);
        let mut got = [0; 2];
        gives!(t.read(r, &mut got), 2);
        gives!(t.read(other, &mut got), 2);
        eq!(got, *b"cd");
        err!(t.read(r, &mut got), EAGAIN);
        ok!(t.close(r));
        gives!(t.write(w, b"x"), 1);
        t.shut(&[other, w])
    })
}

fn left_over(t: &Test<'_>) -> Outcome {
    with_fifo(t, |t, r, w| {
        gives!(t.write(w, b"abcd"), 4);
        ok!(t.close(r));
        let r = ok!(t.open("p", R, 0));
        gives!(t.read(r, &mut [0; 9]), 4);
        gives!(t.write(w, b"lost"), 4);
        t.shut(&[r, w])?;
        // With the last end open, what was in it goes too.
        let r = ok!(t.open("p", R, 0));
        gives!(t.read(r, &mut [0; 9]), 0);
        t.shut(&[r])
    })
}

fn in_epoll(t: &Test<'_>) -> Outcome {
    with_fifo(t, |t, r, w| {
        let epoll = ok!(t.epoll_create1(0));
        ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, r, Watch { events: EPOLLIN, data: 7 }));
        let mut events = [Watch::default(); 2];
        gives!(t.epoll_wait(epoll, &mut events, 0), 0);
        gives!(t.write(w, b"x"), 1);
        gives!(t.epoll_wait(epoll, &mut events, 100), 1);
        eq!(events[0], Watch { events: EPOLLIN, data: 7 });
        t.shut(&[epoll, r, w])
    })
}
