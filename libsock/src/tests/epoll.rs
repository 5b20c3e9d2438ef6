//! epoll(7).

use core::time::Duration;

use strait_abi::{Errno, session::status};

use super::*;
use crate::Event;

fn event(events: u32, data: u64) -> EpollEvent {
    EpollEvent { events, data }
}

fn wait(p: &Process, epoll: Fd) -> alloc::vec::Vec<(u32, u64)> {
    let mut events = [EpollEvent::default(); 4];
    let n = p.epoll_wait(epoll, &mut events, 0).unwrap();
    events[..n].iter().map(|e| (e.events, e.data)).collect()
}

#[test]
fn level_triggered() {
    let (fake, p, fd) = connected();
    let epoll = p.epoll_create1(EPOLL_CLOEXEC).unwrap();
    assert_eq!(p.fcntl(epoll, F_GETFD, 0), Ok(1));
    p.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event(EPOLLIN, 5)).unwrap();
    assert_eq!(wait(&p, epoll), []);
    fake.serve(|s| s.push(FIRST, b"ab"));
    for _ in 0..2 {
        assert_eq!(wait(&p, epoll), [(EPOLLIN, 5)]);
    }
    p.recv(fd, &mut [0; 2], 0).unwrap();
    assert_eq!(wait(&p, epoll), []);
    p.epoll_ctl(epoll, EPOLL_CTL_MOD, fd, event(EPOLLIN | EPOLLOUT | EPOLLRDHUP, 6)).unwrap();
    assert_eq!(wait(&p, epoll), [(EPOLLOUT, 6)]);
    fake.serve(|s| s.change(FIRST, status::RDHUP | status::HUP, 0));
    assert_eq!(wait(&p, epoll), [(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP, 6)]);
    // Errors and hang-ups are told unasked.
    p.epoll_ctl(epoll, EPOLL_CTL_MOD, fd, event(0, 7)).unwrap();
    assert_eq!(wait(&p, epoll), [(EPOLLHUP, 7)]);
    p.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, event(0, 0)).unwrap();
    assert_eq!(wait(&p, epoll), []);
}

#[test]
fn it_sleeps_until_something_changes() {
    let (fake, p, fd) = connected();
    let epoll = p.epoll_create1(0).unwrap();
    p.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event(EPOLLIN, 1)).unwrap();
    let mut events = [EpollEvent::default()];
    let start = p.now();
    assert_eq!(p.epoll_wait(epoll, &mut events, 1500), Ok(0));
    assert_eq!(p.now() - start, Duration::from_millis(1500));
    fake.then(|f| f.serve(|s| s.event(FIRST)));
    fake.then(|f| {
        f.serve(|s| s.push(FIRST, b"x"));
    });
    assert_eq!(p.epoll_wait(epoll, &mut events, -1), Ok(1));
    assert_eq!(fake.steps_left(), 0);
}

#[test]
fn edge_triggered_is_told_of_news_only() {
    let (fake, p, fd) = connected();
    let epoll = p.epoll_create1(0).unwrap();
    p.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event(EPOLLIN | EPOLLET, 1)).unwrap();
    fake.serve(|s| s.push(FIRST, b"ab"));
    assert_eq!(wait(&p, epoll), [(EPOLLIN, 1)]);
    assert_eq!(wait(&p, epoll), []);
    // An event about something else.
    fake.serve(|s| s.event(FIRST));
    assert_eq!(wait(&p, epoll), []);
    fake.serve(|s| s.push(FIRST, b"c"));
    assert_eq!(wait(&p, epoll), [(EPOLLIN, 1)]);
    p.epoll_ctl(epoll, EPOLL_CTL_MOD, fd, event(EPOLLIN | EPOLLOUT | EPOLLET, 2)).unwrap();
    assert_eq!(wait(&p, epoll), [(EPOLLIN | EPOLLOUT, 2)]);
    // Room after there was none.
    p.set_nonblocking(fd, true).unwrap();
    p.recv(fd, &mut [0; 9], 0).unwrap();
    assert_eq!(p.send(fd, &[0; 9999], 0), Ok(4096));
    assert_eq!(wait(&p, epoll), []);
    fake.serve(|s| s.take(FIRST));
    assert_eq!(wait(&p, epoll), [(EPOLLOUT, 2)]);
    fake.serve(|s| s.event(FIRST));
    assert_eq!(wait(&p, epoll), []);
    // The same error again is news.
    for _ in 0..2 {
        fake.serve(|s| s.fail(FIRST, Errno::EHOSTUNREACH, 0));
        assert_eq!(wait(&p, epoll), [(EPOLLOUT | EPOLLERR, 2)]);
        assert_eq!(p.option(fd, SOL_SOCKET, SO_ERROR), Ok(113));
    }
}

#[test]
fn one_shot() {
    let (fake, p, fd) = connected();
    let epoll = p.epoll_create1(0).unwrap();
    p.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event(EPOLLIN | EPOLLONESHOT, 1)).unwrap();
    fake.serve(|s| s.push(FIRST, b"ab"));
    assert_eq!(wait(&p, epoll), [(EPOLLIN, 1)]);
    fake.serve(|s| s.push(FIRST, b"c"));
    fake.serve(|s| s.change(FIRST, status::HUP, 0));
    assert_eq!(wait(&p, epoll), []);
    p.epoll_ctl(epoll, EPOLL_CTL_MOD, fd, event(EPOLLIN | EPOLLONESHOT, 2)).unwrap();
    assert_eq!(wait(&p, epoll), [(EPOLLIN | EPOLLHUP, 2)]);
}

#[test]
fn listeners_tell_of_each_connection() {
    let (fake, p) = process();
    let fd = p.socket(AF_INET, SOCK_STREAM.into(), 0).unwrap();
    p.listen(fd, 8).unwrap();
    let epoll = p.epoll_create1(0).unwrap();
    p.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event(EPOLLIN | EPOLLET, 1)).unwrap();
    for _ in 0..2 {
        fake.serve(|s| s.arrive(FIRST, address("10.0.2.2:4000")));
        assert_eq!(wait(&p, epoll), [(EPOLLIN, 1)]);
    }
    assert_eq!(wait(&p, epoll), []);
}

#[test]
fn more_are_ready_than_asked_for() {
    let (_, p) = process();
    let epoll = p.epoll_create1(0).unwrap();
    for data in 0..3 {
        let fd = p.eventfd(1, 0).unwrap();
        p.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event(EPOLLIN, data)).unwrap();
    }
    let mut events = [EpollEvent::default(); 2];
    assert_eq!(p.epoll_wait(epoll, &mut events, 0), Ok(2));
    assert_eq!(events.map(|e| e.data), [0, 1]);
    // Those that were not told come first.
    assert_eq!(p.epoll_wait(epoll, &mut events, 0), Ok(2));
    assert_eq!(events.map(|e| e.data), [2, 0]);
}

#[test]
fn errors() {
    let (_, p) = process();
    let epoll = p.epoll_create1(0).unwrap();
    let r = p.eventfd(0, 0).unwrap();
    let ctl = |op, fd, events| p.epoll_ctl(epoll, op, fd, event(events, 0));
    assert_eq!(ctl(EPOLL_CTL_ADD, 99, EPOLLIN), Err(Errno::EBADF));
    assert_eq!(p.epoll_ctl(99, EPOLL_CTL_ADD, r, event(0, 0)), Err(Errno::EBADF));
    assert_eq!(p.epoll_ctl(r, EPOLL_CTL_ADD, epoll, event(0, 0)), Err(Errno::EINVAL));
    assert_eq!(ctl(EPOLL_CTL_ADD, epoll, EPOLLIN), Err(Errno::EINVAL));
    assert_eq!(ctl(EPOLL_CTL_DEL, r, 0), Err(Errno::ENOENT));
    assert_eq!(ctl(EPOLL_CTL_MOD, r, 0), Err(Errno::ENOENT));
    assert_eq!(ctl(77, r, 0), Err(Errno::EINVAL));
    assert_eq!(ctl(EPOLL_CTL_ADD, r, EPOLLIN), Ok(()));
    assert_eq!(ctl(EPOLL_CTL_ADD, r, EPOLLIN), Err(Errno::EEXIST));
    assert_eq!(ctl(EPOLL_CTL_MOD, r, EPOLLIN | EPOLLEXCLUSIVE), Err(Errno::EINVAL));
    ctl(EPOLL_CTL_DEL, r, 0).unwrap();
    assert_eq!(ctl(EPOLL_CTL_ADD, r, EPOLLIN | EPOLLONESHOT | EPOLLEXCLUSIVE), Err(Errno::EINVAL));
    assert_eq!(ctl(EPOLL_CTL_ADD, r, EPOLLIN | EPOLLEXCLUSIVE), Ok(()));
    assert_eq!(ctl(EPOLL_CTL_MOD, r, EPOLLIN), Err(Errno::EINVAL));
    let other = p.epoll_create1(0).unwrap();
    assert_eq!(ctl(EPOLL_CTL_ADD, other, EPOLLIN | EPOLLEXCLUSIVE), Err(Errno::EINVAL));
    assert_eq!(p.epoll_wait(epoll, &mut [], 0), Err(Errno::EINVAL));
    assert_eq!(p.epoll_wait(r, &mut [EpollEvent::default()], 0), Err(Errno::EINVAL));
    assert_eq!(p.epoll_wait(99, &mut [EpollEvent::default()], 0), Err(Errno::EBADF));
    assert_eq!((p.read(epoll, &mut [0]), p.write(epoll, b"")), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    assert_eq!(p.epoll_create1(1), Err(Errno::EINVAL));
}

#[test]
fn instances_within_instances() {
    let (_, p) = process();
    let event_fd = p.eventfd(0, 0).unwrap();
    let chain: alloc::vec::Vec<Fd> = (0..7).map(|_| p.epoll_create1(0).unwrap()).collect();
    let link = |outer: usize, inner: usize| p.epoll_ctl(chain[outer], EPOLL_CTL_ADD, chain[inner], event(EPOLLIN, 9));
    p.epoll_ctl(chain[0], EPOLL_CTL_ADD, event_fd, event(EPOLLIN, 3)).unwrap();
    // Linux 6.18: four steps, from whichever side they are made.
    for i in 1..5 {
        link(i, i - 1).unwrap();
    }
    assert_eq!(link(5, 4), Err(Errno::ELOOP));
    assert_eq!(link(0, 5), Err(Errno::ELOOP));
    assert_eq!(link(0, 4), Err(Errno::ELOOP));
    assert_eq!(link(0, 1), Err(Errno::ELOOP));
    assert_eq!(wait(&p, chain[4]), []);
    p.write(event_fd, &1u64.to_ne_bytes()).unwrap();
    assert_eq!(wait(&p, chain[4]), [(EPOLLIN, 9)]);
    assert_eq!(p.poll(&mut [PollFd::new(chain[4], POLLIN)], -1), Ok(1));
    assert_eq!(wait(&p, chain[0]), [(EPOLLIN, 3)]);
    p.read(event_fd, &mut [0; 8]).unwrap();
    assert_eq!(wait(&p, chain[4]), []);
    p.close(chain[3]).unwrap();
    assert_eq!(link(5, 4), Ok(()));
}

#[test]
fn an_entry_ends_with_the_last_copy() {
    let (fake, p, fd) = connected();
    let epoll = p.epoll_create1(0).unwrap();
    let copy = p.dup(fd).unwrap();
    p.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event(EPOLLIN, 1)).unwrap();
    p.epoll_ctl(epoll, EPOLL_CTL_ADD, copy, event(EPOLLIN, 2)).unwrap();
    fake.serve(|s| s.push(FIRST, b"x"));
    assert_eq!(wait(&p, epoll), [(EPOLLIN, 1), (EPOLLIN, 2)]);
    p.close(fd).unwrap();
    assert_eq!(wait(&p, epoll).len(), 2);
    assert_eq!(p.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, event(0, 0)), Err(Errno::EBADF));
    // The number may stand for something else.
    let counter = p.eventfd(0, 0).unwrap();
    assert_eq!(counter, fd);
    assert_eq!(p.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, event(0, 0)), Err(Errno::ENOENT));
    p.close(copy).unwrap();
    assert_eq!(wait(&p, epoll), []);
    p.epoll_ctl(epoll, EPOLL_CTL_ADD, counter, event(EPOLLIN, 3)).unwrap();
    p.write(counter, &1u64.to_ne_bytes()).unwrap();
    assert_eq!(wait(&p, epoll), [(EPOLLIN, 3)]);
    p.close(counter).unwrap();
    assert_eq!(wait(&p, epoll), []);
    // An instance that is gone is told nothing.
    let fd = p.eventfd(0, 0).unwrap();
    p.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event(EPOLLIN, 3)).unwrap();
    p.close(epoll).unwrap();
    p.write(fd, &1u64.to_ne_bytes()).unwrap();
}

#[test]
fn timers() {
    let (_, p) = process();
    let (epoll, outer) = (p.epoll_create1(0).unwrap(), p.epoll_create1(0).unwrap());
    let timer = p.timerfd_create(CLOCK_MONOTONIC, 0).unwrap();
    let second = Duration::from_secs(1);
    p.epoll_ctl(epoll, EPOLL_CTL_ADD, timer, event(EPOLLIN | EPOLLET, 1)).unwrap();
    p.epoll_ctl(outer, EPOLL_CTL_ADD, epoll, event(EPOLLIN, 2)).unwrap();
    p.timerfd_settime(timer, 0, ITimerSpec { interval: second, value: second }).unwrap();
    let mut events = [EpollEvent::default()];
    for i in 1..4 {
        assert_eq!(p.epoll_wait(epoll, &mut events, -1), Ok(1));
        assert_eq!(p.timerfd_gettime(timer).unwrap().value, second);
        assert_eq!(p.epoll_wait(epoll, &mut events, 500), Ok(0), "{i}");
        p.poll(&mut [PollFd::new(timer, POLLIN)], 0).unwrap();
    }
    assert_eq!(p.epoll_wait(outer, &mut events, -1), Ok(1));
    assert_eq!(events, [event(EPOLLIN, 2)]);
}

#[test]
fn beside_an_event_loop() {
    let (fake, p, fd) = connected();
    let epoll = p.epoll_create1(0).unwrap();
    p.watch(fd, 77).unwrap();
    p.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event(EPOLLIN, 1)).unwrap();
    fake.serve(|s| s.push(FIRST, b"x"));
    assert_eq!(wait(&p, epoll), [(EPOLLIN, 1)]);
    let mut events = [Event::default(); 2];
    assert_eq!(p.wait_events(&mut events, None), Ok(1));
    assert_eq!(events[0], Event { token: 77, ready: POLLIN | POLLOUT });
    fake.serve(|s| s.push(FIRST, b"x"));
    assert_eq!(p.wait_events(&mut events, None), Ok(1));
    p.recv(fd, &mut [0; 9], 0).unwrap();
    assert_eq!(wait(&p, epoll), []);
}
