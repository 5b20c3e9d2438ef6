//! poll(2), ppoll(2), select(2), eventfd(2), timerfd_create(2).

use core::time::Duration;

use crate::{case::*, posix::*, test::*};

/// EFD_SEMAPHORE.
const SEMAPHORE: u32 = 1;
const CLOCK_REALTIME: i32 = 0;
const CLOCK_MONOTONIC: i32 = 1;
/// TFD_TIMER_ABSTIME.
const ABSOLUTE: u32 = 1;

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("poll of nothing", "poll(2)", ONCE, poll_nothing),
    Case::new("poll waits as long as it is told", "poll(2)", INET, poll_timeout),
    Case::new("poll of a descriptor that is none", "poll(2) POLLNVAL", ONCE, poll_invalid),
    Case::new("poll ignores negative descriptors", "poll(2)", INET, poll_negative),
    Case::new("poll counts entries", "poll(2)", INET, poll_counts),
    Case::new("poll of one descriptor twice", "poll(2)", INET, poll_twice),
    Case::new("poll clears what was there", "poll(2)", INET, poll_clears),
    Case::new("poll for nothing tells of errors", "poll(2)", TCP, poll_errors),
    Case::new("ppoll", "ppoll(2)", INET, ppoll),
    Case::new("select for reading", "select(2)", INET, select_read),
    Case::new("select for writing", "select(2)", INET, select_write),
    Case::new("select waits as long as it is told", "select(2)", INET, select_timeout),
    Case::new("select of a descriptor that is none", "select(2) EBADF", ONCE, select_invalid),
    Case::new("select looks below nfds", "select(2)", INET, select_nfds),
    Case::new("select with a wrong nfds", "select(2) EINVAL", ONCE, select_bad_nfds),
    Case::new("select counts bits", "select(2)", INET, select_counts),
    Case::new("select sees the end of a stream", "select(2)", TCP, select_end),
    Case::new("eventfd counts", "eventfd(2)", ONCE, event_counts),
    Case::new("eventfd as a semaphore", "eventfd(2) EFD_SEMAPHORE", ONCE, event_semaphore),
    Case::new("eventfd with too few bytes", "eventfd(2) EINVAL", ONCE, event_short),
    Case::new("eventfd at its limit", "eventfd(2) EAGAIN", ONCE, event_limit),
    Case::new("eventfd in poll", "eventfd(2)", ONCE, event_poll),
    Case::new("eventfd with unknown flags", "eventfd(2) EINVAL", ONCE, event_flags),
    Case::new("eventfd is shared by dup", "dup(2)", ONCE, event_dup),
    Case::new("eventfd is no socket", "getsockopt(2) ENOTSOCK", ONCE, event_socket),
    Case::new("timerfd is due once", "timerfd_create(2)", ONCE, timer_once),
    Case::new("timerfd again and again", "timerfd_create(2)", ONCE, timer_interval),
    Case::new("timerfd not yet due", "timerfd_create(2) EAGAIN", ONCE, timer_not_yet),
    Case::new("timerfd tells the rest", "timerfd_gettime(2)", ONCE, timer_rest),
    Case::new("timerfd is disarmed by zero", "timerfd_settime(2)", ONCE, timer_disarm),
    Case::new("timerfd at an absolute time", "timerfd_settime(2) TFD_TIMER_ABSTIME", ONCE, timer_absolute),
    Case::new("timerfd with a wrong clock or flags", "timerfd_create(2) EINVAL", ONCE, timer_wrong),
    Case::new("timerfd with too few bytes", "timerfd_create(2) EINVAL", ONCE, timer_short),
    Case::new("timer calls on something else", "timerfd_settime(2) EINVAL", ONCE, timer_other),
    Case::new("a timer set again forgets", "timerfd_settime(2)", ONCE, timer_again),
];

fn poll_nothing(t: &Test<'_>) -> Outcome {
    gives!(t.poll(&mut [], 0), 0);
    let before = t.now();
    gives!(t.poll(&mut [], 15), 0);
    that!(t.now() - before >= Duration::from_millis(14));
    Ok(())
}

fn poll_timeout(t: &Test<'_>) -> Outcome {
    let fd = if t.stream() { t.listener(0)? } else { t.bound(0)? };
    let before = t.now();
    gives!(t.poll(&mut [PollFd::new(fd, POLLIN)], 15), 0);
    let took = t.now() - before;
    that!(took >= Duration::from_millis(14) && took < Duration::from_secs(2));
    t.shut(&[fd])
}

fn poll_invalid(t: &Test<'_>) -> Outcome {
    let mut fds = [PollFd::new(500, POLLIN), PollFd::new(501, 0)];
    gives!(t.poll(&mut fds, 1000), 2);
    eq!(fds.map(|f| f.revents), [POLLNVAL, POLLNVAL]);
    Ok(())
}

fn poll_negative(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let mut fds = [PollFd { fd: -1, events: POLLIN, revents: 9 }, PollFd::new(fd, POLLOUT)];
    gives!(t.poll(&mut fds, 1000), 1);
    eq!(fds[0].revents, 0);
    that!(fds[1].revents & POLLOUT != 0);
    t.shut(&[fd])
}

fn poll_counts(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let mut fds = [PollFd::new(a, POLLOUT), PollFd::new(b, POLLIN), PollFd::new(b, POLLOUT | POLLIN)];
    gives!(t.poll(&mut fds, 1000), 2);
    eq!(fds.map(|f| f.revents), [POLLOUT, 0, POLLOUT]);
    t.shut(&[a, b])
}

fn poll_twice(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"x", 0), 1);
    t.wait(b, POLLIN)?;
    let mut fds = [PollFd::new(b, POLLIN), PollFd::new(b, POLLIN), PollFd::new(b, POLLPRI)];
    gives!(t.poll(&mut fds, 0), 2);
    eq!(fds.map(|f| f.revents), [POLLIN, POLLIN, 0]);
    t.shut(&[a, b])
}

fn poll_clears(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let mut fds = [PollFd { fd: a, events: POLLIN, revents: POLLIN | POLLERR }];
    gives!(t.poll(&mut fds, 0), 0);
    eq!(fds[0].revents, 0);
    t.shut(&[a, b])
}

fn poll_errors(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    eq!(t.ready(fd, 0)?, POLLHUP);
    t.shut(&[fd])
}

fn ppoll(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.ppoll(&mut [PollFd::new(a, POLLIN)], Some(Duration::ZERO)), 0);
    let before = t.now();
    gives!(t.ppoll(&mut [PollFd::new(a, POLLIN)], Some(Duration::from_micros(3500))), 0);
    that!(t.now() - before >= Duration::from_micros(3400));
    gives!(t.ppoll(&mut [PollFd::new(a, POLLOUT)], None), 1);
    t.shut(&[a, b])
}

fn select_read(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"x", 0), 1);
    t.wait(b, POLLIN)?;
    let mut read = FdSet::of(&[a, b]);
    gives!(t.select(a.max(b) + 1, Some(&mut read), None, None, None), 1);
    eq!((read.has(a), read.has(b)), (false, true));
    t.shut(&[a, b])
}

fn select_write(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let (mut read, mut write) = (FdSet::of(&[a]), FdSet::of(&[a, b]));
    gives!(t.select(a.max(b) + 1, Some(&mut read), Some(&mut write), None, None), 2);
    eq!(read, FdSet::default());
    that!(write.has(a) && write.has(b));
    t.shut(&[a, b])
}

fn select_timeout(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let (mut read, mut except) = (FdSet::of(&[a, b]), FdSet::of(&[a, b]));
    let before = t.now();
    gives!(t.select(a.max(b) + 1, Some(&mut read), None, Some(&mut except), Some(Duration::from_millis(15))), 0);
    that!(t.now() - before >= Duration::from_millis(14));
    eq!((read, except), (FdSet::default(), FdSet::default()));
    gives!(t.select(0, None, None, None, Some(Duration::ZERO)), 0);
    t.shut(&[a, b])
}

fn select_invalid(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    t.shut(&[fd])?;
    err!(t.select(fd + 1, Some(&mut FdSet::of(&[fd])), None, None, Some(Duration::ZERO)), EBADF);
    err!(t.select(fd + 1, None, None, Some(&mut FdSet::of(&[fd])), None), EBADF);
    Ok(())
}

fn select_nfds(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let mut write = FdSet::of(&[fd]);
    gives!(t.select(fd, None, Some(&mut write), None, Some(Duration::ZERO)), 0);
    gives!(t.select(fd + 1, None, Some(&mut FdSet::of(&[fd])), None, Some(Duration::ZERO)), 1);
    t.shut(&[fd])
}

fn select_bad_nfds(t: &Test<'_>) -> Outcome {
    err!(t.select(-1, None, None, None, Some(Duration::ZERO)), EINVAL);
    Ok(())
}

fn select_counts(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"x", 0), 1);
    t.wait(b, POLLIN)?;
    let (mut read, mut write) = (FdSet::of(&[b]), FdSet::of(&[a, b]));
    gives!(t.select(a.max(b) + 1, Some(&mut read), Some(&mut write), None, None), 3);
    t.shut(&[a, b])
}

fn select_end(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    t.shut(&[a])?;
    t.wait(b, POLLIN)?;
    let (mut read, mut except) = (FdSet::of(&[b]), FdSet::of(&[b]));
    gives!(t.select(b + 1, Some(&mut read), None, Some(&mut except), None), 1);
    that!(read.has(b));
    t.shut(&[b])
}

fn read_number(t: &Test<'_>, fd: Fd) -> Result<u64> {
    let mut value = [0; 8];
    match t.read(fd, &mut value)? {
        8 => Ok(u64::from_ne_bytes(value)),
        _ => Err(Errno::EIO),
    }
}

fn event_counts(t: &Test<'_>) -> Outcome {
    let fd = ok!(t.eventfd(3, O_NONBLOCK));
    gives!(t.write(fd, &4u64.to_ne_bytes()), 8);
    gives!(read_number(t, fd), 7);
    err!(read_number(t, fd), EAGAIN);
    gives!(t.write(fd, &0u64.to_ne_bytes()), 8);
    err!(read_number(t, fd), EAGAIN);
    t.shut(&[fd])
}

fn event_semaphore(t: &Test<'_>) -> Outcome {
    let fd = ok!(t.eventfd(2, SEMAPHORE | O_NONBLOCK));
    gives!(read_number(t, fd), 1);
    gives!(read_number(t, fd), 1);
    err!(read_number(t, fd), EAGAIN);
    t.shut(&[fd])
}

fn event_short(t: &Test<'_>) -> Outcome {
    let fd = ok!(t.eventfd(1, O_NONBLOCK));
    err!(t.read(fd, &mut [0; 7]), EINVAL);
    err!(t.write(fd, &[0; 7]), EINVAL);
    gives!(t.read(fd, &mut [0; 16]), 8);
    t.shut(&[fd])
}

fn event_limit(t: &Test<'_>) -> Outcome {
    let fd = ok!(t.eventfd(0, O_NONBLOCK));
    err!(t.write(fd, &u64::MAX.to_ne_bytes()), EINVAL);
    gives!(t.write(fd, &(u64::MAX - 1).to_ne_bytes()), 8);
    eq!(t.ready(fd, POLLIN | POLLOUT)?, POLLIN);
    err!(t.write(fd, &1u64.to_ne_bytes()), EAGAIN);
    gives!(read_number(t, fd), u64::MAX - 1);
    t.shut(&[fd])
}

fn event_poll(t: &Test<'_>) -> Outcome {
    let fd = ok!(t.eventfd(0, 0));
    eq!(t.ready(fd, POLLIN | POLLOUT)?, POLLOUT);
    gives!(t.write(fd, &1u64.to_ne_bytes()), 8);
    eq!(t.ready(fd, POLLIN | POLLOUT)?, POLLIN | POLLOUT);
    let mut read = FdSet::of(&[fd]);
    gives!(t.select(fd + 1, Some(&mut read), None, None, None), 1);
    t.shut(&[fd])
}

fn event_flags(t: &Test<'_>) -> Outcome {
    err!(t.eventfd(0, 2), EINVAL);
    let fd = ok!(t.eventfd(0, O_NONBLOCK | SOCK_CLOEXEC));
    gives!(t.fcntl(fd, F_GETFD, 0), FD_CLOEXEC as i32);
    that!(ok!(t.fcntl(fd, F_GETFL, 0)) as u32 & O_NONBLOCK != 0);
    t.shut(&[fd])
}

fn event_dup(t: &Test<'_>) -> Outcome {
    let fd = ok!(t.eventfd(0, O_NONBLOCK));
    let copy = ok!(t.dup(fd));
    gives!(t.write(fd, &5u64.to_ne_bytes()), 8);
    t.shut(&[fd])?;
    gives!(read_number(t, copy), 5);
    t.shut(&[copy])
}

fn event_socket(t: &Test<'_>) -> Outcome {
    let fd = ok!(t.eventfd(0, 0));
    err!(t.option(fd, SOL_SOCKET, SO_TYPE), ENOTSOCK);
    err!(t.sendto(fd, b"x", 0, &t.lo(0)), ENOTSOCK);
    err!(t.recvmsg(fd, &mut [], &mut [], 0).map(|_| ()), ENOTSOCK);
    t.shut(&[fd])
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn timer(t: &Test<'_>, value: Duration, interval: Duration) -> Result<Fd> {
    let fd = t.timerfd_create(CLOCK_MONOTONIC, O_NONBLOCK)?;
    t.timerfd_settime(fd, 0, TimerSpec { interval, value })?;
    Ok(fd)
}

fn timer_once(t: &Test<'_>) -> Outcome {
    let before = t.now();
    let fd = ok!(timer(t, ms(200), ms(0)));
    eq!(t.ready(fd, POLLIN)?, 0);
    eq!(t.wait(fd, POLLIN)?, POLLIN);
    that!(t.now() - before >= ms(200));
    gives!(read_number(t, fd), 1);
    err!(read_number(t, fd), EAGAIN);
    eq!(t.ready(fd, POLLIN)?, 0);
    gives!(t.timerfd_gettime(fd), TimerSpec::default());
    t.shut(&[fd])
}

fn timer_interval(t: &Test<'_>) -> Outcome {
    let fd = ok!(timer(t, ms(4), ms(4)));
    t.pause(30)?;
    that!(ok!(read_number(t, fd)) >= 5);
    t.wait(fd, POLLIN)?;
    that!(ok!(read_number(t, fd)) >= 1);
    eq!(ok!(t.timerfd_gettime(fd)).interval, ms(4));
    t.shut(&[fd])
}

fn timer_not_yet(t: &Test<'_>) -> Outcome {
    let fd = ok!(timer(t, ms(10_000), ms(0)));
    err!(read_number(t, fd), EAGAIN);
    let unarmed = ok!(t.timerfd_create(CLOCK_MONOTONIC, O_NONBLOCK));
    err!(read_number(t, unarmed), EAGAIN);
    gives!(t.timerfd_gettime(unarmed), TimerSpec::default());
    t.shut(&[fd, unarmed])
}

fn timer_rest(t: &Test<'_>) -> Outcome {
    let fd = ok!(timer(t, ms(5000), ms(70)));
    let rest = ok!(t.timerfd_gettime(fd));
    eq!(rest.interval, ms(70));
    that!(rest.value > ms(3000) && rest.value <= ms(5000));
    let old = ok!(t.timerfd_settime(fd, 0, TimerSpec { interval: ms(0), value: ms(9000) }));
    eq!(old.interval, ms(70));
    that!(old.value > ms(3000) && old.value <= ms(5000));
    t.shut(&[fd])
}

fn timer_disarm(t: &Test<'_>) -> Outcome {
    let fd = ok!(timer(t, ms(5), ms(5)));
    ok!(t.timerfd_settime(fd, 0, TimerSpec { interval: ms(5), value: ms(0) }));
    t.pause(10)?;
    eq!(t.ready(fd, POLLIN)?, 0);
    eq!(ok!(t.timerfd_gettime(fd)).value, ms(0));
    t.shut(&[fd])
}

fn timer_absolute(t: &Test<'_>) -> Outcome {
    let fd = ok!(t.timerfd_create(CLOCK_MONOTONIC, O_NONBLOCK));
    let at = t.now() + ms(6);
    ok!(t.timerfd_settime(fd, ABSOLUTE, TimerSpec { interval: ms(0), value: at }));
    t.wait(fd, POLLIN)?;
    that!(t.now() >= at);
    // What is past is due at once.
    ok!(t.timerfd_settime(fd, ABSOLUTE, TimerSpec { interval: ms(0), value: Duration::from_nanos(1) }));
    t.wait(fd, POLLIN)?;
    gives!(read_number(t, fd), 1);
    t.shut(&[fd])
}

fn timer_wrong(t: &Test<'_>) -> Outcome {
    err!(t.timerfd_create(99, 0), EINVAL);
    err!(t.timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
    let fd = ok!(t.timerfd_create(CLOCK_REALTIME, SOCK_CLOEXEC));
    gives!(t.fcntl(fd, F_GETFD, 0), FD_CLOEXEC as i32);
    err!(t.timerfd_settime(fd, 0x100, TimerSpec::default()), EINVAL);
    t.shut(&[fd])
}

fn timer_short(t: &Test<'_>) -> Outcome {
    let fd = ok!(timer(t, ms(1), ms(0)));
    t.wait(fd, POLLIN)?;
    err!(t.read(fd, &mut [0; 7]), EINVAL);
    err!(t.write(fd, &[0; 8]), EINVAL);
    t.shut(&[fd])
}

fn timer_other(t: &Test<'_>) -> Outcome {
    let (socket, event) = (t.sock()?, ok!(t.eventfd(0, 0)));
    for fd in [socket, event] {
        err!(t.timerfd_settime(fd, 0, TimerSpec::default()), EINVAL);
        err!(t.timerfd_gettime(fd), EINVAL);
    }
    err!(t.timerfd_gettime(500), EBADF);
    t.shut(&[socket, event])
}

fn timer_again(t: &Test<'_>) -> Outcome {
    let fd = ok!(timer(t, ms(2), ms(2)));
    t.pause(10)?;
    ok!(t.timerfd_settime(fd, 0, TimerSpec { interval: ms(0), value: ms(10_000) }));
    err!(read_number(t, fd), EAGAIN);
    t.shut(&[fd])
}
