//! Urgent data, what more follows, and lingering.

use core::sync::atomic::Ordering;

use strait_abi::{
    Errno,
    session::status,
    socket::{FIONREAD, MSG_MORE, MSG_OOB, MSG_PEEK, POLLPRI, SIOCATMARK, SO_LINGER, SO_OOBINLINE},
};

use super::*;

fn mark(fake: &Fake, at: u32, bits: u32) {
    fake.serve(|s| {
        s.region.slot(0).unwrap().rx_mark.store(at, Ordering::Relaxed);
        s.change(FIRST, status::MARK | bits, 0);
    });
}

fn at_mark(p: &Process, fd: Fd) -> u32 {
    let mut answer = [9; 4];
    p.ioctl(fd, SIOCATMARK, &mut answer).unwrap();
    assert_eq!(p.sockatmark(fd), Ok(answer != [0; 4]));
    u32::from_ne_bytes(answer)
}

fn readable(p: &Process, fd: Fd) -> u32 {
    let mut answer = [9; 4];
    p.ioctl(fd, FIONREAD, &mut answer).unwrap();
    u32::from_ne_bytes(answer)
}

#[test]
fn a_receive_stops_at_the_urgent_byte_and_the_next_passes_over_it() {
    for inline in [0, 1] {
        let (fake, p, fd) = connected();
        p.set_option(fd, SOL_SOCKET, SO_OOBINLINE, inline).unwrap();
        fake.serve(|s| s.push(FIRST, b"abXcd"));
        mark(fake, 2, status::PRI);
        assert_eq!((at_mark(&p, fd), readable(&p, fd)), (0, if inline == 0 { 2 } else { 5 }));
        let mut polled = [PollFd::new(fd, POLLPRI)];
        assert_eq!((p.poll(&mut polled, 0), polled[0].revents), (Ok(1), POLLPRI));
        let mut b = [0; 8];
        assert_eq!((p.recv(fd, &mut b, 0), &b[..2]), (Ok(2), &b"ab"[..]));
        assert_eq!(at_mark(&p, fd), 1);
        let (n, want) = if inline == 0 { (2, &b"cd"[..]) } else { (3, &b"Xcd"[..]) };
        assert_eq!((p.recv(fd, &mut b, MSG_PEEK), &b[..n]), (Ok(n), want));
        assert_eq!((p.recv(fd, &mut b, 0), &b[..n]), (Ok(n), want));
        // Passed: there is nothing urgent, whatever the server still says.
        assert_eq!((at_mark(&p, fd), p.poll(&mut polled, 0)), (0, Ok(0)));
    }
}

#[test]
fn the_urgent_byte_alone_is_nothing_to_read() {
    let (fake, p, fd) = connected();
    fake.serve(|s| s.push(FIRST, b"X"));
    mark(fake, 0, status::PRI);
    assert_eq!((at_mark(&p, fd), readable(&p, fd)), (1, 0));
    assert_eq!(p.poll(&mut [PollFd::new(fd, POLLIN)], 0), Ok(0));
    assert_eq!(p.recv(fd, &mut [0; 8], MSG_DONTWAIT), Err(Errno::EAGAIN));
    fake.serve(|s| s.push(FIRST, b"after"));
    assert_eq!(p.recv(fd, &mut [0; 8], 0), Ok(5));
}

#[test]
fn bytes_that_were_urgent_are_passed_over() {
    let (fake, p, fd) = connected();
    fake.serve(|s| {
        s.push(FIRST, b"XYcd");
        s.region.slot(0).unwrap().rx_skip.store(1, Ordering::Relaxed);
        s.change(FIRST, status::SKIP, 0);
    });
    mark(fake, 1, 0);
    let mut b = [0; 8];
    assert_eq!((p.recv(fd, &mut b, MSG_PEEK), &b[..2]), (Ok(2), &b"cd"[..]));
    assert_eq!(p.recv(fd, &mut b, 0), Ok(2));
    // What the server has not taken back yet means nothing any more.
    fake.serve(|s| s.push(FIRST, b"ef"));
    assert_eq!((p.recv(fd, &mut b, 0), &b[..2]), (Ok(2), &b"ef"[..]));
}

#[test]
fn sending_and_taking_urgent_data() {
    let (fake, p, fd) = connected();
    let asked = |fake: &Fake, what: &str| fake.serve(|s| s.requests.iter().filter(|r| r.contains(what)).count());
    assert_eq!(p.send(fd, b"abX", MSG_OOB), Ok(3));
    assert_eq!(asked(fake, "SendUrgent { socket: 0, bytes: 3 }"), 1);
    assert_eq!(p.send(fd, b"", MSG_OOB), Ok(0));
    assert_eq!(asked(fake, "SendUrgent"), 1);
    let mut b = [0; 3];
    fake.serve(|s| s.urgent = Some(b'X'));
    assert_eq!((p.recv(fd, &mut b, MSG_OOB), b), (Ok(1), *b"X\0\0"));
    assert_eq!(p.recv(fd, &mut [], MSG_OOB | MSG_PEEK), Ok(0));
    assert_eq!(asked(fake, "ReceiveUrgent { socket: 0, peek: true }"), 1);
    // Nobody waits for it.
    fake.serve(|s| s.urgent = None);
    assert_eq!(p.recv(fd, &mut b, MSG_OOB), Err(Errno::EAGAIN));
}

#[test]
fn more_is_said_until_it_follows() {
    let (fake, p, fd) = connected();
    let held = |fake: &Fake| fake.serve(|s| s.socket(FIRST).tx.held());
    for (flags, want) in [(0, false), (MSG_MORE, true), (MSG_MORE, true), (0, false)] {
        assert_eq!(p.send(fd, b"x", flags), Ok(1));
        assert_eq!(held(fake), want);
    }
}

#[test]
fn a_lingering_close_waits_for_the_peer() {
    let linger = |on: u32, seconds: u32| [on.to_ne_bytes(), seconds.to_ne_bytes()].concat();
    let closed = |fake: &Fake| fake.serve(|s| s.socket(FIRST).closed.is_some());
    // The peer acknowledges after a while; never; is not waited for.
    let (fake, p, fd) = connected();
    p.setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger(1, 5)).unwrap();
    p.send(fd, b"x", 0).unwrap();
    fake.then(|f| {
        assert!(f.serve(|s| s.socket(FIRST).closed.is_none()));
        f.serve(|s| s.change(FIRST, status::DRAINED, 0));
    });
    p.close(fd).unwrap();
    assert_eq!((fake.steps_left(), closed(fake)), (0, true));
    let (fake, p, fd) = connected();
    p.setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger(1, 5)).unwrap();
    let before = fake.now.get();
    p.close(fd).unwrap();
    assert_eq!((fake.now.get() - before, closed(fake)), (5_000_000_000, true));
    // Not while another descriptor is open, nor without the option.
    let (fake, p, fd) = connected();
    p.setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger(1, 5)).unwrap();
    let other = p.dup(fd).unwrap();
    let before = fake.now.get();
    p.close(fd).unwrap();
    p.setsockopt(other, SOL_SOCKET, SO_LINGER, &linger(0, 5)).unwrap();
    p.close(other).unwrap();
    assert_eq!((fake.now.get(), closed(fake)), (before, true));
}
