//! epoll(7).

use crate::{case::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("epoll tells of what is ready", "epoll_wait(2)", INET, basic),
    Case::new("epoll by level tells again", "epoll(7)", INET, level),
    Case::new("epoll by edge tells once", "epoll(7) EPOLLET", INET, edge),
    Case::new("epoll by edge tells of more data", "epoll(7) EPOLLET", INET, edge_more),
    Case::new("epoll by edge tells what holds already", "epoll(7) EPOLLET", INET, edge_first),
    Case::new("epoll one-shot", "epoll_ctl(2) EPOLLONESHOT", INET, one_shot),
    Case::new("EPOLL_CTL_MOD arms anew", "epoll_ctl(2)", INET, modify),
    Case::new("EPOLL_CTL_MOD by edge tells again", "epoll(7) EPOLLET", INET, modify_edge),
    Case::new("EPOLL_CTL_DEL", "epoll_ctl(2)", INET, delete),
    Case::new("epoll forgets what is closed", "epoll(7)", INET, closed),
    Case::new("epoll keeps what is dup", "epoll(7)", UDP, kept_by_dup),
    Case::new("epoll gives the user's data", "epoll_ctl(2)", ONCE, data),
    Case::new("epoll tells of errors unasked", "epoll_ctl(2) EPOLLERR, EPOLLHUP", TCP, errors),
    Case::new("EPOLLRDHUP", "epoll_ctl(2)", TCP, rdhup),
    Case::new("epoll on a listener", "epoll(7)", TCP, listener),
    Case::new("epoll tells when a connect is done", "epoll(7)", TCP, connecting),
    Case::new("epoll for writing by edge", "epoll(7) EPOLLET", TCP, write_edge),
    Case::new("epoll_ctl twice", "epoll_ctl(2) EEXIST", ONCE, twice),
    Case::new("epoll_ctl of what is not in it", "epoll_ctl(2) ENOENT", ONCE, absent),
    Case::new("epoll_ctl of descriptors that are none", "epoll_ctl(2) EBADF", ONCE, bad),
    Case::new("epoll_ctl of wrong things", "epoll_ctl(2) EINVAL", ONCE, wrong),
    Case::new("epoll_wait with wrong arguments", "epoll_wait(2) EINVAL", ONCE, wrong_wait),
    Case::new("epoll_create1 with flags", "epoll_create1(2)", ONCE, flags),
    Case::new("epoll waits as long as it is told", "epoll_wait(2)", ONCE, timeout),
    Case::new("epoll gives no more than asked for", "epoll_wait(2)", ONCE, max_events),
    Case::new("an epoll in poll", "epoll(7)", INET, in_poll),
    Case::new("an epoll in an epoll", "epoll(7)", INET, nested),
    Case::new("an epoll in a circle", "epoll_ctl(2) ELOOP", ONCE, circle),
    Case::new("one socket in two epolls", "epoll(7)", INET, two),
    Case::new("an epoll is shared by dup", "dup(2)", INET, shared),
    Case::new("one socket by two descriptors", "epoll(7)", INET, two_descriptors),
    Case::new("eventfd and timerfd in epoll", "epoll(7)", ONCE, others),
    Case::new("EPOLLEXCLUSIVE", "epoll_ctl(2) EPOLLEXCLUSIVE", INET, exclusive),
    Case::new("an epoll cannot be read", "read(2) EINVAL", ONCE, not_read),
    Case::new("nothing wanted, nothing told", "epoll_ctl(2)", UDP, nothing_wanted),
];

const fn watch(events: u32, data: u64) -> Watch {
    Watch { events, data }
}

/// What epoll_wait gives now, at most four.
fn now(t: &Test<'_>, epoll: Fd) -> Result<alloc::vec::Vec<Watch>> {
    within(t, epoll, 0)
}

fn within(t: &Test<'_>, epoll: Fd, timeout: i32) -> Result<alloc::vec::Vec<Watch>> {
    let mut events = [Watch::default(); 4];
    let n = t.epoll_wait(epoll, &mut events, timeout)?;
    Ok(events[..n].to_vec())
}

fn basic(t: &Test<'_>) -> Outcome {
    let ((a, b), epoll) = (t.pair()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, watch(EPOLLIN, 7)));
    gives!(now(t, epoll), []);
    gives!(t.send(a, b"x", 0), 1);
    gives!(within(t, epoll, 3000), [watch(EPOLLIN, 7)]);
    t.shut(&[a, b, epoll])
}

fn level(t: &Test<'_>) -> Outcome {
    let ((a, b), epoll) = (t.pair()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, watch(EPOLLIN | EPOLLOUT, 7)));
    gives!(t.send(a, b"xy", 0), 2);
    // The event may come after the data.
    t.until("data", || within(t, epoll, 3000) == Ok(alloc::vec![watch(EPOLLIN | EPOLLOUT, 7)]))?;
    for _ in 0..3 {
        gives!(now(t, epoll), [watch(EPOLLIN | EPOLLOUT, 7)]);
    }
    t.read_some(b, 9)?;
    gives!(now(t, epoll), [watch(EPOLLOUT, 7)]);
    t.shut(&[a, b, epoll])
}

fn edge(t: &Test<'_>) -> Outcome {
    let ((a, b), epoll) = (t.pair()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, watch(EPOLLIN | EPOLLET, 7)));
    gives!(t.send(a, b"xy", 0), 2);
    gives!(within(t, epoll, 3000), [watch(EPOLLIN, 7)]);
    gives!(within(t, epoll, 5), []);
    // Reading a part is no edge.
    gives!(t.recv(b, &mut [0], 0), 1);
    gives!(within(t, epoll, 5), []);
    t.shut(&[a, b, epoll])
}

fn edge_more(t: &Test<'_>) -> Outcome {
    let ((a, b), epoll) = (t.pair()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, watch(EPOLLIN | EPOLLET, 7)));
    for _ in 0..3 {
        gives!(t.send(a, b"x", 0), 1);
        // Nobody read; yet more data is an edge.
        gives!(within(t, epoll, 3000), [watch(EPOLLIN, 7)]);
    }
    t.shut(&[a, b, epoll])
}

fn edge_first(t: &Test<'_>) -> Outcome {
    let ((a, b), epoll) = (t.pair()?, ok!(t.epoll_create1(0)));
    gives!(t.send(a, b"x", 0), 1);
    t.wait(b, POLLIN)?;
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, watch(EPOLLIN | EPOLLOUT | EPOLLET, 7)));
    gives!(now(t, epoll), [watch(EPOLLIN | EPOLLOUT, 7)]);
    gives!(now(t, epoll), []);
    t.shut(&[a, b, epoll])
}

fn one_shot(t: &Test<'_>) -> Outcome {
    let ((a, b), epoll) = (t.pair()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, watch(EPOLLIN | EPOLLONESHOT, 7)));
    gives!(t.send(a, b"x", 0), 1);
    gives!(within(t, epoll, 3000), [watch(EPOLLIN, 7)]);
    gives!(t.send(a, b"y", 0), 1);
    gives!(within(t, epoll, 5), []);
    err!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, watch(EPOLLIN, 7)), EEXIST);
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_MOD, b, watch(EPOLLIN | EPOLLONESHOT, 8)));
    gives!(now(t, epoll), [watch(EPOLLIN, 8)]);
    gives!(now(t, epoll), []);
    t.shut(&[a, b, epoll])
}

fn modify(t: &Test<'_>) -> Outcome {
    let ((a, b), epoll) = (t.pair()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, watch(EPOLLIN, 7)));
    gives!(now(t, epoll), []);
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_MOD, b, watch(EPOLLOUT, 9)));
    gives!(now(t, epoll), [watch(EPOLLOUT, 9)]);
    t.shut(&[a, b, epoll])
}

fn modify_edge(t: &Test<'_>) -> Outcome {
    let ((a, b), epoll) = (t.pair()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, watch(EPOLLIN | EPOLLET, 7)));
    gives!(t.send(a, b"x", 0), 1);
    gives!(within(t, epoll, 3000), [watch(EPOLLIN, 7)]);
    gives!(now(t, epoll), []);
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_MOD, b, watch(EPOLLIN | EPOLLET, 7)));
    gives!(now(t, epoll), [watch(EPOLLIN, 7)]);
    t.shut(&[a, b, epoll])
}

fn delete(t: &Test<'_>) -> Outcome {
    let ((a, b), epoll) = (t.pair()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, watch(EPOLLOUT, 7)));
    gives!(now(t, epoll), [watch(EPOLLOUT, 7)]);
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_DEL, b, watch(0, 0)));
    gives!(now(t, epoll), []);
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, watch(EPOLLOUT, 8)));
    gives!(now(t, epoll), [watch(EPOLLOUT, 8)]);
    t.shut(&[a, b, epoll])
}

fn closed(t: &Test<'_>) -> Outcome {
    let ((a, b), epoll) = (t.pair()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, watch(EPOLLIN | EPOLLOUT, 7)));
    t.shut(&[b])?;
    gives!(now(t, epoll), []);
    // The number is another socket now, which is not in it.
    let other = t.sock()?;
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, other, watch(EPOLLOUT, 8)));
    eq!(ok!(now(t, epoll)).len(), 1);
    t.shut(&[a, other, epoll])
}

fn kept_by_dup(t: &Test<'_>) -> Outcome {
    let (fd, epoll) = (t.sock()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, watch(EPOLLOUT, 7)));
    let copy = ok!(t.dup(fd));
    t.shut(&[fd])?;
    gives!(now(t, epoll), [watch(EPOLLOUT, 7)]);
    t.shut(&[copy])?;
    gives!(now(t, epoll), []);
    t.shut(&[epoll])
}

fn data(t: &Test<'_>) -> Outcome {
    let (fd, epoll) = (t.sock()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, watch(EPOLLOUT, 0xfedc_ba98_7654_3210)));
    gives!(now(t, epoll), [watch(EPOLLOUT, 0xfedc_ba98_7654_3210)]);
    t.shut(&[fd, epoll])
}

fn errors(t: &Test<'_>) -> Outcome {
    let (fd, epoll) = (t.sock()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, watch(0, 7)));
    gives!(now(t, epoll), [watch(EPOLLHUP, 7)]);
    err!(t.connect(fd, &t.lo(0)), EINPROGRESS);
    t.wait(fd, POLLOUT)?;
    gives!(now(t, epoll), [watch(EPOLLHUP | EPOLLERR, 7)]);
    t.shut(&[fd, epoll])
}

fn rdhup(t: &Test<'_>) -> Outcome {
    let ((a, b), epoll) = (t.pair()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, watch(EPOLLRDHUP, 7)));
    gives!(now(t, epoll), []);
    ok!(t.shutdown(a, SHUT_WR));
    gives!(within(t, epoll, 3000), [watch(EPOLLRDHUP, 7)]);
    t.shut(&[a, b, epoll])
}

fn listener(t: &Test<'_>) -> Outcome {
    let (listener, epoll) = (t.listener(0)?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, listener, watch(EPOLLIN | EPOLLET, 7)));
    let (a, b) = (t.sock()?, t.sock()?);
    t.join(a, &t.lo(0))?;
    gives!(within(t, epoll, 3000), [watch(EPOLLIN, 7)]);
    gives!(within(t, epoll, 5), []);
    // One more is an edge, though nobody accepted.
    t.join(b, &t.lo(0))?;
    gives!(within(t, epoll, 3000), [watch(EPOLLIN, 7)]);
    t.shut(&[listener, a, b, epoll])
}

fn connecting(t: &Test<'_>) -> Outcome {
    let (listener, epoll, fd) = (t.listener(0)?, ok!(t.epoll_create1(0)), t.sock()?);
    err!(t.connect(fd, &t.lo(0)), EINPROGRESS);
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, watch(EPOLLOUT, 7)));
    gives!(within(t, epoll, 3000), [watch(EPOLLOUT, 7)]);
    eq!(t.take_error(fd)?, 0);
    t.shut(&[listener, fd, epoll])
}

fn write_edge(t: &Test<'_>) -> Outcome {
    let ((a, b), epoll) = (t.pair()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, a, watch(EPOLLOUT | EPOLLET, 7)));
    gives!(now(t, epoll), [watch(EPOLLOUT, 7)]);
    gives!(now(t, epoll), []);
    // Full, drained: an edge.
    let sent = t.fill_up(a)?;
    ok!(now(t, epoll));
    gives!(now(t, epoll), []);
    that!(t.read_exactly(b, sent)?.len() == sent);
    gives!(within(t, epoll, 3000), [watch(EPOLLOUT, 7)]);
    t.shut(&[a, b, epoll])
}

fn twice(t: &Test<'_>) -> Outcome {
    let (fd, epoll) = (t.sock()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, watch(EPOLLIN, 7)));
    err!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, watch(EPOLLIN, 7)), EEXIST);
    t.shut(&[fd, epoll])
}

fn absent(t: &Test<'_>) -> Outcome {
    let (fd, epoll) = (t.sock()?, ok!(t.epoll_create1(0)));
    err!(t.epoll_ctl(epoll, EPOLL_CTL_MOD, fd, watch(EPOLLIN, 7)), ENOENT);
    err!(t.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, watch(EPOLLIN, 7)), ENOENT);
    t.shut(&[fd, epoll])
}

fn bad(t: &Test<'_>) -> Outcome {
    let (fd, epoll) = (t.sock()?, ok!(t.epoll_create1(0)));
    err!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, 500, watch(EPOLLIN, 7)), EBADF);
    err!(t.epoll_ctl(500, EPOLL_CTL_ADD, fd, watch(EPOLLIN, 7)), EBADF);
    err!(now(t, 500), EBADF);
    t.shut(&[fd, epoll])
}

fn wrong(t: &Test<'_>) -> Outcome {
    let (fd, epoll) = (t.sock()?, ok!(t.epoll_create1(0)));
    err!(t.epoll_ctl(fd, EPOLL_CTL_ADD, epoll, watch(EPOLLIN, 7)), EINVAL);
    err!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, watch(EPOLLIN, 7)), EINVAL);
    err!(t.epoll_ctl(epoll, 99, fd, watch(EPOLLIN, 7)), EINVAL);
    t.shut(&[fd, epoll])
}

fn wrong_wait(t: &Test<'_>) -> Outcome {
    let (fd, epoll) = (t.sock()?, ok!(t.epoll_create1(0)));
    err!(t.epoll_wait(epoll, &mut [], 0), EINVAL);
    err!(now(t, fd), EINVAL);
    t.shut(&[fd, epoll])
}

fn flags(t: &Test<'_>) -> Outcome {
    err!(t.epoll_create1(1), EINVAL);
    let epoll = ok!(t.epoll_create1(SOCK_CLOEXEC));
    gives!(t.fcntl(epoll, F_GETFD, 0), FD_CLOEXEC as i32);
    t.shut(&[epoll])
}

fn timeout(t: &Test<'_>) -> Outcome {
    let epoll = ok!(t.epoll_create1(0));
    let before = t.now();
    gives!(within(t, epoll, 12), []);
    that!((t.now() - before).as_millis() >= 11);
    t.shut(&[epoll])
}

fn max_events(t: &Test<'_>) -> Outcome {
    let epoll = ok!(t.epoll_create1(0));
    let fds = [t.sock()?, t.sock()?, t.sock()?];
    for fd in fds {
        ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, watch(EPOLLOUT, fd as u64)));
    }
    // Who waits gets them in turn.
    let mut seen = alloc::collections::BTreeSet::new();
    for _ in 0..3 {
        let mut one = [Watch::default()];
        gives!(t.epoll_wait(epoll, &mut one, 0), 1);
        seen.insert(one[0].data);
    }
    eq!(seen.len(), 3);
    t.shut(&fds)?;
    t.shut(&[epoll])
}

fn in_poll(t: &Test<'_>) -> Outcome {
    let ((a, b), epoll) = (t.pair()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, watch(EPOLLIN, 7)));
    eq!(t.ready(epoll, POLLIN | POLLOUT)?, 0);
    gives!(t.send(a, b"x", 0), 1);
    eq!(t.wait(epoll, POLLIN)?, POLLIN);
    t.read_some(b, 9)?;
    eq!(t.ready(epoll, POLLIN)?, 0);
    t.shut(&[a, b, epoll])
}

fn nested(t: &Test<'_>) -> Outcome {
    let ((a, b), inner, outer) = (t.pair()?, ok!(t.epoll_create1(0)), ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(inner, EPOLL_CTL_ADD, b, watch(EPOLLIN, 7)));
    ok!(t.epoll_ctl(outer, EPOLL_CTL_ADD, inner, watch(EPOLLIN, 8)));
    gives!(now(t, outer), []);
    gives!(t.send(a, b"x", 0), 1);
    gives!(within(t, outer, 3000), [watch(EPOLLIN, 8)]);
    gives!(now(t, inner), [watch(EPOLLIN, 7)]);
    t.shut(&[a, b, inner, outer])
}

fn circle(t: &Test<'_>) -> Outcome {
    let (one, two) = (ok!(t.epoll_create1(0)), ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(one, EPOLL_CTL_ADD, two, watch(EPOLLIN, 7)));
    err!(t.epoll_ctl(two, EPOLL_CTL_ADD, one, watch(EPOLLIN, 7)), ELOOP);
    t.shut(&[one, two])
}

fn two(t: &Test<'_>) -> Outcome {
    let ((a, b), one, two) = (t.pair()?, ok!(t.epoll_create1(0)), ok!(t.epoll_create1(0)));
    for epoll in [one, two] {
        ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, watch(EPOLLIN | EPOLLET, epoll as u64)));
    }
    gives!(t.send(a, b"x", 0), 1);
    for epoll in [one, two] {
        gives!(within(t, epoll, 3000), [watch(EPOLLIN, epoll as u64)]);
    }
    t.shut(&[a, b, one, two])
}

fn shared(t: &Test<'_>) -> Outcome {
    let (fd, epoll) = (t.bound(0)?, ok!(t.epoll_create1(0)));
    let copy = ok!(t.dup(epoll));
    ok!(t.epoll_ctl(copy, EPOLL_CTL_ADD, fd, watch(EPOLLOUT, 7)));
    err!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, watch(EPOLLOUT, 7)), EEXIST);
    t.shut(&[epoll])?;
    eq!(ok!(now(t, copy)).len(), 1);
    t.shut(&[fd, copy])
}

fn two_descriptors(t: &Test<'_>) -> Outcome {
    let ((a, b), epoll) = (t.pair()?, ok!(t.epoll_create1(0)));
    let copy = ok!(t.dup(b));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, watch(EPOLLIN, 1)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, copy, watch(EPOLLIN, 2)));
    gives!(t.send(a, b"x", 0), 1);
    t.until("both", || now(t, epoll).map(|events| events.len()) == Ok(2))?;
    t.shut(&[a, b, copy, epoll])
}

fn others(t: &Test<'_>) -> Outcome {
    let (epoll, event, timer) = (ok!(t.epoll_create1(0)), ok!(t.eventfd(0, 0)), ok!(t.timerfd_create(1, 0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, event, watch(EPOLLIN | EPOLLET, 1)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, timer, watch(EPOLLIN, 2)));
    gives!(now(t, epoll), []);
    gives!(t.write(event, &1u64.to_ne_bytes()), 8);
    gives!(now(t, epoll), [watch(EPOLLIN, 1)]);
    gives!(now(t, epoll), []);
    let spec = TimerSpec { value: core::time::Duration::from_millis(3), ..TimerSpec::default() };
    ok!(t.timerfd_settime(timer, 0, spec));
    gives!(within(t, epoll, 3000), [watch(EPOLLIN, 2)]);
    t.shut(&[epoll, event, timer])
}

fn exclusive(t: &Test<'_>) -> Outcome {
    let ((a, b), epoll) = (t.pair()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, watch(EPOLLIN | EPOLLEXCLUSIVE, 7)));
    err!(t.epoll_ctl(epoll, EPOLL_CTL_MOD, b, watch(EPOLLIN, 7)), EINVAL);
    err!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, a, watch(EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, 7)), EINVAL);
    gives!(t.send(a, b"x", 0), 1);
    gives!(within(t, epoll, 3000), [watch(EPOLLIN, 7)]);
    t.shut(&[a, b, epoll])
}

fn not_read(t: &Test<'_>) -> Outcome {
    let epoll = ok!(t.epoll_create1(0));
    err!(t.read(epoll, &mut [0; 8]), EINVAL);
    err!(t.write(epoll, &[0; 8]), EINVAL);
    err!(t.bind(epoll, &t.lo(0)), ENOTSOCK);
    t.shut(&[epoll])
}

fn nothing_wanted(t: &Test<'_>) -> Outcome {
    let ((a, b), epoll) = (t.pair()?, ok!(t.epoll_create1(0)));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, b, watch(0, 7)));
    gives!(t.send(a, b"x", 0), 1);
    t.wait(b, POLLIN)?;
    gives!(now(t, epoll), []);
    t.shut(&[a, b, epoll])
}
