//! One call, one expectation.

use core::time::Duration;

use strait_abi::{Errno, session::status};

use super::*;

#[test]
fn data_goes_both_ways_without_a_call() {
    let (fake, p, fd) = connected();
    let calls = fake.calls.get();
    assert_eq!(p.send(fd, b"hello", 0), Ok(5));
    assert_eq!(fake.serve(|s| s.take(FIRST)), b"hello");
    fake.serve(|s| s.push(FIRST, b"world!"));
    let mut b = [0; 4];
    assert_eq!(p.recv(fd, &mut b, MSG_PEEK), Ok(4));
    assert_eq!(p.recv(fd, &mut b, 0), Ok(4));
    assert_eq!(&b, b"worl");
    assert_eq!(p.recv(fd, &mut b, 0), Ok(2));
    assert_eq!(p.recv(fd, &mut b, MSG_DONTWAIT), Err(Errno::EAGAIN));
    assert_eq!((fake.calls.get(), fake.waits.get()), (calls, 0));
}

#[test]
fn receiving_waits_and_end_of_file_follows_the_data() {
    let (fake, p, fd) = connected();
    fake.then(|f| {
        f.serve(|s| s.push(FIRST, b"ab"));
    });
    fake.then(|f| {
        f.serve(|s| {
            s.push(FIRST, b"c");
            s.change(FIRST, status::RDHUP, 0);
        });
    });
    let mut b = [0; 8];
    assert_eq!(p.recv(fd, &mut b, MSG_WAITALL), Ok(3));
    assert_eq!(&b[..3], b"abc");
    assert_eq!(p.recv(fd, &mut b, 0), Ok(0));
    assert_eq!(p.read(fd, &mut []), Ok(0));
}

#[test]
fn errors_come_once_and_after_the_data() {
    let (fake, p, fd) = connected();
    fake.serve(|s| {
        s.push(FIRST, b"x");
        s.fail(FIRST, Errno::ECONNRESET, status::RDHUP | status::WRSHUT | status::HUP);
    });
    let mut b = [0; 8];
    assert_eq!(p.recv(fd, &mut b, 0), Ok(1));
    assert_eq!(p.recv(fd, &mut b, 0), Err(Errno::ECONNRESET));
    assert_eq!(p.recv(fd, &mut b, 0), Ok(0));
    assert_eq!(p.send(fd, b"x", 0), Err(Errno::EPIPE));
}

#[test]
fn sending_without_a_connection() {
    let (_, p) = process();
    let fd = p.socket(AF_INET, SOCK_STREAM.into(), 0).unwrap();
    assert_eq!(p.send(fd, b"x", 0), Err(Errno::EPIPE));
    assert_eq!(p.recv(fd, &mut [0], 0), Err(Errno::ENOTCONN));
    let fd = p.socket(AF_UNIX, SOCK_STREAM.into(), 0).unwrap();
    assert_eq!(p.send(fd, b"x", 0), Err(Errno::ENOTCONN));
    assert_eq!(p.recv(fd, &mut [0], 0), Err(Errno::EINVAL));
    assert_eq!(p.sendto(fd, b"x", 0, &address("10.0.0.1:1")), Err(Errno::EOPNOTSUPP));
    // Of datagrams the server says it.
    let fd = p.socket(AF_UNIX, SOCK_SEQPACKET.into(), 0).unwrap();
    assert_eq!(p.send(fd, b"x", 0), Err(Errno::ENOTCONN));
    assert_eq!(p.send(fd, b"x", MSG_OOB), Err(Errno::ENOTCONN));
    assert_eq!(p.socket(AF_INET, 0x11, 0), Err(Errno::EINVAL));
}

#[test]
fn a_long_send_waits_for_room_and_is_whole() {
    let (fake, p, fd) = connected();
    let got = alloc::rc::Rc::new(core::cell::RefCell::new(alloc::vec::Vec::new()));
    for _ in 0..8 {
        let got = got.clone();
        fake.then(move |f| got.borrow_mut().extend(f.serve(|s| s.take(FIRST))));
    }
    let data: alloc::vec::Vec<u8> = (0..30_000u32).map(|i| (i % 251) as u8).collect();
    assert_eq!(p.send(fd, &data, 0), Ok(data.len()));
    got.borrow_mut().extend(fake.serve(|s| s.take(FIRST)));
    assert_eq!(*got.borrow(), data);
}

#[test]
fn a_send_that_may_not_wait_is_partial() {
    let (fake, p, fd) = connected();
    p.set_nonblocking(fd, true).unwrap();
    assert_eq!(p.send(fd, &[1; 10_000], 0), Ok(4096));
    assert_eq!(p.send(fd, &[1; 10_000], 0), Err(Errno::EAGAIN));
    assert_eq!(p.send_room(fd), Err(Errno::EAGAIN));
    let mut fds = [PollFd::new(fd, POLLIN | POLLOUT)];
    assert_eq!(p.poll(&mut fds, 0), Ok(0));
    fake.then(|f| f.serve(|s| assert_eq!(s.take(FIRST).len(), 4096)));
    assert_eq!(p.poll(&mut fds, -1), Ok(1));
    assert_eq!(fds[0].revents, POLLOUT);
    assert_eq!(p.send_room(fd), Ok(4096));
}

#[test]
fn splice_moves_what_came_and_has_room() {
    let (fake, p, fd) = connected();
    p.set_nonblocking(fd, true).unwrap();
    assert_eq!(p.splice(fd, fd, 100), Err(Errno::EAGAIN));
    // Over page borders, which lie differently on both sides.
    assert_eq!(p.send(fd, &[0; 100], 0), Ok(100));
    assert_eq!(fake.serve(|s| s.take(FIRST)), [0; 100]);
    let data: alloc::vec::Vec<u8> = (0..12_000u32).map(|i| (i % 251) as u8).collect();
    let mut got = alloc::vec::Vec::new();
    assert_eq!(fake.serve(|s| s.push(FIRST, &data)), data.len());
    assert_eq!(p.splice(fd, fd, 10), Ok(10));
    for _ in 0..100 {
        match p.splice(fd, fd, usize::MAX) {
            Ok(n) => assert!(n > 0),
            Err(e) => {
                assert_eq!(e, Errno::EAGAIN);
                got.extend(fake.serve(|s| s.take(FIRST)));
            }
        }
    }
    assert!(got == data);
    fake.serve(|s| s.change(FIRST, status::RDHUP, 0));
    assert_eq!(p.splice(fd, fd, 100), Ok(0));
    assert_eq!(p.splice(fd, 99, 100), Err(Errno::EBADF));
    let datagrams = p.socket(AF_INET, SOCK_DGRAM.into(), 0).unwrap();
    assert_eq!(p.splice(fd, datagrams, 100), Err(Errno::EINVAL));
}

#[test]
fn timeouts() {
    let (fake, p, fd) = connected();
    p.set_timeout(fd, SO_RCVTIMEO, Some(Duration::from_millis(50))).unwrap();
    let before = p.now();
    assert_eq!(p.recv(fd, &mut [0], 0), Err(Errno::EAGAIN));
    assert_eq!(p.now() - before, Duration::from_millis(50));
    let mut value = [0; 16];
    assert_eq!(p.getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &mut value), Ok(16));
    assert_eq!(i64::from_ne_bytes(value[8..].try_into().unwrap()), 50_000);
    value[8..].copy_from_slice(&1_000_000i64.to_ne_bytes());
    assert_eq!(p.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &value), Err(Errno::EDOM));
    assert_eq!(p.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &value[..8]), Err(Errno::EINVAL));
    assert_eq!(p.poll(&mut [PollFd::new(fd, POLLIN)], 20), Ok(0));
    // Woken by others, the wait goes on until its deadline.
    for _ in 0..3 {
        fake.then(|f| {
            f.now.set(f.now.get() + 1_000_000);
            f.serve(|s| s.event(FIRST));
        });
    }
    let before = p.now();
    assert_eq!(p.recv(fd, &mut [0], 0), Err(Errno::EAGAIN));
    assert_eq!(p.now() - before, Duration::from_millis(50));
}

#[test]
fn connecting_takes_time() {
    let (fake, p) = process();
    fake.serve(|s| s.connect = Err(Errno::EINPROGRESS));
    let fd = p.socket(AF_INET, SOCK_STREAM.into(), 0).unwrap();
    fake.then(|f| f.serve(|s| s.change(FIRST, status::CONNECTED | status::OUT, 0)));
    assert_eq!(p.connect(fd, &address("10.0.2.2:80")), Ok(()));

    let fd = p.socket(AF_INET, SOCK_STREAM.into(), 0).unwrap();
    fake.then(|f| f.serve(|s| s.fail(1, Errno::ECONNREFUSED, status::HUP)));
    assert_eq!(p.connect(fd, &address("10.0.2.2:80")), Err(Errno::ECONNREFUSED));

    let fd = p.socket(AF_INET, u32::from(SOCK_STREAM) | SOCK_NONBLOCK, 0).unwrap();
    fake.serve(|s| s.change(2, 0, status::OUT));
    assert_eq!(p.connect(fd, &address("10.0.2.2:80")), Err(Errno::EINPROGRESS));
    assert_eq!(p.recv(fd, &mut [0], 0), Err(Errno::EAGAIN));
    assert_eq!(p.send(fd, &[0], 0), Err(Errno::EAGAIN));
    assert_eq!(p.poll(&mut [PollFd::new(fd, POLLOUT)], 0), Ok(0));
    fake.serve(|s| s.change(2, status::CONNECTED | status::OUT, 0));
    let mut fds = [PollFd::new(fd, POLLOUT)];
    assert_eq!(p.poll(&mut fds, 0), Ok(1));
    assert_eq!(p.option(fd, SOL_SOCKET, SO_ERROR), Ok(0));
    assert_eq!(p.send(fd, b"x", 0), Ok(1));
}

#[test]
fn accepting() {
    let (fake, p) = process();
    let fd = p.socket(AF_INET, SOCK_STREAM.into(), 0).unwrap();
    assert_eq!(p.accept(fd), Err(Errno::EINVAL));
    p.listen(fd, 8).unwrap();
    assert_eq!(p.accept4(fd, 1), Err(Errno::EINVAL));
    fake.then(|f| {
        f.serve(|s| s.arrive(FIRST, address("10.0.2.2:4000")));
    });
    let (a, peer) = p.accept(fd).unwrap();
    assert_eq!(peer, address("10.0.2.2:4000"));
    assert_eq!(p.send(a, b"hi", 0), Ok(2));
    p.fcntl(fd, F_SETFL, O_NONBLOCK as i32).unwrap();
    let calls = fake.calls.get();
    assert_eq!(p.accept(fd), Err(Errno::EAGAIN));
    assert_eq!(fake.calls.get(), calls);
    let dgram = p.socket(AF_INET, SOCK_DGRAM.into(), 0).unwrap();
    assert_eq!(p.accept(dgram), Err(Errno::EOPNOTSUPP));
}

#[test]
fn datagrams() {
    let (fake, p) = process();
    let fd = p.socket(AF_INET, SOCK_DGRAM.into(), 0).unwrap();
    let (a, b) = (address("10.0.0.1:5000"), address("10.0.0.2:6000"));
    fake.serve(|s| {
        s.push_datagram(FIRST, &a, b"first");
        s.push_datagram(FIRST, &b, b"");
    });
    assert_eq!(p.recv(fd, &mut [0; 2], MSG_PEEK | MSG_TRUNC), Ok(5));
    let mut n = [0; 4];
    p.ioctl(fd, FIONREAD, &mut n).unwrap();
    assert_eq!(u32::from_ne_bytes(n), 5);
    let mut buf = [0; 3];
    assert_eq!(p.recvfrom(fd, &mut buf, 0), Ok((3, a)));
    assert_eq!(&buf, b"fir");
    assert_eq!(p.recvfrom(fd, &mut buf, 0), Ok((0, b)));
    assert_eq!(p.recv(fd, &mut buf, MSG_DONTWAIT), Err(Errno::EAGAIN));

    // More than the first page: the server is asked for room.
    let long: alloc::vec::Vec<u8> = (0..60_000u32).map(|i| i as u8).collect();
    assert_eq!(p.sendto(fd, &long, 0, &a), Ok(60_000));
    assert_eq!(fake.serve(|s| s.take_datagram(FIRST)), Some((a, long)));
    assert_eq!(p.sendto(fd, b"", 0, &b), Ok(0));
    assert_eq!(fake.serve(|s| s.take_datagram(FIRST)), Some((b, alloc::vec![])));

    p.connect(fd, &a).unwrap();
    assert_eq!(p.writev(fd, &[b"one ", b"record"]), Ok(10));
    assert_eq!(fake.serve(|s| s.take_datagram(FIRST)), Some((crate::Address::EMPTY, b"one record".to_vec())));
    fake.serve(|s| s.fail(FIRST, Errno::ECONNREFUSED, 0));
    assert_eq!(p.send(fd, b"x", 0), Err(Errno::ECONNREFUSED));
    assert_eq!(p.send(fd, b"x", 0), Ok(1));
    fake.serve(|s| s.push_datagram(FIRST, &a, b"abcdef"));
    let (mut x, mut y) = ([0; 4], [0; 4]);
    assert_eq!(p.readv(fd, &mut [&mut x, &mut y]), Ok(6));
    assert_eq!((&x, &y[..2]), (b"abcd", &b"ef"[..]));
}

#[test]
fn poll_reports_what_holds() {
    let (fake, p, fd) = connected();
    let mut fds = [PollFd::new(fd, POLLIN | POLLOUT), PollFd::new(-1, POLLIN), PollFd::new(99, POLLIN)];
    assert_eq!(p.poll(&mut fds, -1), Ok(2));
    assert_eq!(fds.map(|f| f.revents), [POLLOUT, 0, POLLNVAL]);
    fake.serve(|s| s.push(FIRST, b"x"));
    p.poll(&mut fds[..1], -1).unwrap();
    assert_eq!(fds[0].revents, POLLOUT | POLLIN);
    p.shutdown(fd, SHUT_RDWR).unwrap();
    fds[0].events = POLLIN | POLLOUT | POLLRDHUP | POLLRDNORM;
    p.poll(&mut fds[..1], -1).unwrap();
    assert_eq!(fds[0].revents, POLLIN | POLLRDNORM | POLLOUT | POLLRDHUP | POLLHUP);
}

#[test]
fn draining_rings_when_asked_to() {
    let (fake, p, fd) = connected();
    fake.serve(|s| {
        s.push(FIRST, b"xy");
        s.change(FIRST, status::RING_ON_DRAIN, 0);
        s.run();
    });
    let before = fake.notified.get();
    p.recv(fd, &mut [0], 0).unwrap();
    assert_eq!(fake.notified.get(), before);
    p.recv(fd, &mut [0], 0).unwrap();
    assert_eq!(fake.notified.get(), before + 1);
}

#[test]
fn without_a_network_or_a_timer() {
    let (_, mut env) = Fake::new(512, &[]);
    env.config.channels.retain(|c| c.peer != "timer_driver");
    let p = Process::new(&env).unwrap();
    let fd = p.socket(AF_INET, SOCK_DGRAM.into(), 0).unwrap();
    assert_eq!(p.poll(&mut [PollFd::new(fd, POLLIN)], 0), Ok(0));
    assert_eq!(p.poll(&mut [PollFd::new(fd, POLLIN)], 10), Err(Errno::ENOSYS));
    env.config.channels.clear();
    assert!(matches!(Process::new(&env), Err(crate::StartError::Config(_))));
    env.config.name = "other".into();
    let p = Process::new(&env).unwrap();
    assert_eq!(p.socket(AF_INET, SOCK_DGRAM.into(), 0), Err(Errno::EAFNOSUPPORT));
}
