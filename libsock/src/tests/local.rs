//! eventfd, timerfd, select.

use core::time::Duration;

use strait_abi::{Errno, vfs::mode};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn ready(p: &Process, fd: Fd) -> u16 {
    let all = POLLIN | POLLPRI | POLLOUT | POLLRDNORM | POLLRDBAND | POLLWRNORM | POLLWRBAND | POLLRDHUP;
    let mut fds = [PollFd::new(fd, all)];
    p.poll(&mut fds, 0).unwrap();
    fds[0].revents
}

#[test]
fn eventfd_counts() {
    let (_, p) = process();
    let fd = p.eventfd(2, EFD_NONBLOCK).unwrap();
    let mut b = [0; 9];
    assert_eq!(p.read(fd, &mut b[..7]), Err(Errno::EINVAL));
    assert_eq!(p.write(fd, &b[..7]), Err(Errno::EINVAL));
    assert_eq!(p.write(fd, &u64::MAX.to_ne_bytes()), Err(Errno::EINVAL));
    assert_eq!(p.write(fd, &3u64.to_ne_bytes()), Ok(8));
    assert_eq!(ready(&p, fd), POLLIN | POLLOUT);
    assert_eq!(p.read(fd, &mut b), Ok(8));
    assert_eq!(b[..8], 5u64.to_ne_bytes());
    assert_eq!((p.read(fd, &mut b), ready(&p, fd)), (Err(Errno::EAGAIN), POLLOUT));
    assert_eq!(p.write(fd, &(u64::MAX - 1).to_ne_bytes()), Ok(8));
    assert_eq!((p.write(fd, &1u64.to_ne_bytes()), ready(&p, fd)), (Err(Errno::EAGAIN), POLLIN));
    assert_eq!(p.write(fd, &0u64.to_ne_bytes()), Ok(8));
    let fd = p.eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC).unwrap();
    for _ in 0..2 {
        assert_eq!(p.readv(fd, &mut [&mut [0; 3], &mut [0; 6]]), Ok(8));
    }
    assert_eq!(p.read(fd, &mut b), Err(Errno::EAGAIN));
    assert_eq!(p.eventfd(0, 2), Err(Errno::EINVAL));
    assert_eq!(p.readv(fd, &mut []), Ok(0));
}

#[test]
fn timers_expire() {
    let (_, p) = process();
    let fd = p.timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK).unwrap();
    let mut b = [0; 8];
    assert_eq!(p.read(fd, &mut b), Err(Errno::EAGAIN));
    assert_eq!(p.read(fd, &mut b[..7]), Err(Errno::EINVAL));
    assert_eq!(p.write(fd, &b), Err(Errno::EINVAL));
    let every = ITimerSpec { interval: SECOND, value: 2 * SECOND };
    assert_eq!(p.timerfd_settime(fd, 0, every), Ok(ITimerSpec::default()));
    assert_eq!(p.timerfd_gettime(fd), Ok(every));
    let start = p.now();
    assert_eq!(p.poll(&mut [PollFd::new(fd, POLLIN)], -1), Ok(1));
    assert_eq!(p.now() - start, 2 * SECOND);
    p.sleep(5 * SECOND / 2).unwrap();
    assert_eq!(p.read(fd, &mut b), Ok(8));
    assert_eq!(u64::from_ne_bytes(b), 3);
    assert_eq!(p.timerfd_gettime(fd), Ok(ITimerSpec { interval: SECOND, value: SECOND / 2 }));
    // A read that may wait does, and the timer is that of the copy as well.
    p.set_nonblocking(fd, false).unwrap();
    assert_eq!(p.read(p.dup(fd).unwrap(), &mut b), Ok(8));
    assert_eq!((u64::from_ne_bytes(b), p.now() - start), (1, 5 * SECOND));
    // At a time; what is past expires at once.
    let at = ITimerSpec { interval: Duration::ZERO, value: start };
    p.timerfd_settime(fd, TFD_TIMER_ABSTIME, at).unwrap();
    assert_eq!((p.read(fd, &mut b), u64::from_ne_bytes(b)), (Ok(8), 1));
    assert_eq!(p.timerfd_gettime(fd), Ok(ITimerSpec::default()));
    // Setting forgets what expired.
    p.timerfd_settime(fd, TFD_TIMER_ABSTIME, at).unwrap();
    assert_eq!(ready(&p, fd), POLLIN);
    p.timerfd_settime(fd, 0, ITimerSpec::default()).unwrap();
    assert_eq!(ready(&p, fd), 0);
    assert_eq!(p.timerfd_settime(fd, 4, at), Err(Errno::EINVAL));
    assert_eq!(p.timerfd_create(99, 0), Err(Errno::EINVAL));
    assert_eq!(p.timerfd_create(CLOCK_REALTIME, 1), Err(Errno::EINVAL));
    let other = p.eventfd(0, 0).unwrap();
    assert_eq!(p.timerfd_gettime(other), Err(Errno::EINVAL));
    assert_eq!(p.timerfd_gettime(99), Err(Errno::EBADF));
}

#[test]
fn a_timer_does_not_lengthen_a_timeout() {
    let (_, p) = process();
    let fd = p.timerfd_create(CLOCK_REALTIME, 0).unwrap();
    p.timerfd_settime(fd, 0, ITimerSpec { interval: SECOND / 4, value: SECOND / 4 }).unwrap();
    let idle = p.eventfd(0, 0).unwrap();
    let start = p.now();
    let mut fds = [PollFd::new(idle, POLLIN), PollFd::new(fd, POLLPRI)];
    assert_eq!(p.ppoll(&mut fds, Some(SECOND)), Ok(0));
    assert_eq!(p.now() - start, SECOND);
}

#[test]
fn select_says_what_holds() {
    let (fake, p, fd) = connected();
    let e = p.eventfd(0, 0).unwrap();
    let set = |fds: &[Fd]| {
        let mut set = FdSet::new();
        fds.iter().for_each(|fd| assert!(set.insert(*fd)));
        set
    };
    let (mut read, mut write, mut except) = (set(&[fd, e]), set(&[fd, e]), set(&[fd]));
    fake.serve(|s| s.push(FIRST, b"x"));
    assert_eq!(p.select(e + 1, Some(&mut read), Some(&mut write), Some(&mut except), None), Ok(3));
    assert_eq!((read, write, except), (set(&[fd]), set(&[fd, e]), set(&[])));
    // Only what is below nfds is looked at, the rest is cleared.
    let mut read = set(&[fd, e]);
    assert_eq!(p.select(e, Some(&mut read), None, None, None), Ok(1));
    assert_eq!(read, set(&[fd]));
    let mut read = set(&[e]);
    assert_eq!(p.select(e + 1, Some(&mut read), None, None, Some(SECOND)), Ok(0));
    assert_eq!(read, set(&[]));
    let mut read = set(&[99]);
    assert_eq!(p.select(100, Some(&mut read), None, None, Some(SECOND)), Err(Errno::EBADF));
    assert_eq!(read, set(&[99]));
    assert_eq!(p.select(-1, None, None, None, None), Err(Errno::EINVAL));
    assert_eq!(p.select(0, None, None, None, Some(SECOND)), Ok(0));
    let mut huge = FdSet::new();
    assert!(!huge.insert(1024) && !huge.insert(-1));
}

#[test]
fn descriptors_of_all_kinds_have_the_same_calls() {
    let (_, p) = process();
    let socket = p.socket(AF_INET, SOCK_DGRAM.into(), 0).unwrap();
    for fd in
        [socket, p.eventfd(0, 0).unwrap(), p.timerfd_create(CLOCK_MONOTONIC, 0).unwrap(), p.epoll_create1(0).unwrap()]
    {
        let before = p.fcntl(fd, F_GETFL, 0).unwrap();
        // What cannot be changed is ignored.
        assert_eq!(p.fcntl(fd, F_SETFL, (O_NONBLOCK | O_APPEND | O_CLOEXEC | O_WRONLY | 0o100) as i32), Ok(0));
        assert_eq!(p.fcntl(fd, F_GETFL, 0), Ok(before | (O_NONBLOCK | O_APPEND) as i32));
        p.ioctl(fd, FIONBIO, &mut [0; 4]).unwrap();
        assert_eq!(p.fcntl(fd, F_GETFL, 0), Ok(before | O_APPEND as i32));
        assert_eq!(p.ioctl(fd, FIONBIO, &mut [0; 3]), Err(Errno::EFAULT));
        p.ioctl(fd, FIOCLEX, &mut []).unwrap();
        assert_eq!(p.fcntl(fd, F_GETFD, 0), Ok(1));
        p.ioctl(fd, FIONCLEX, &mut []).unwrap();
        assert_eq!(p.fcntl(fd, F_GETFD, 0), Ok(0));
        assert_eq!(p.fcntl(fd, 42, 0), Err(Errno::EINVAL));
        assert_eq!(p.fcntl(fd, F_SETFL, O_DIRECT as i32), Err(Errno::EINVAL));
        let copy = p.dup3(fd, 50, O_CLOEXEC).unwrap();
        assert_eq!((copy, p.fcntl(copy, F_GETFD, 0)), (50, Ok(1)));
        assert_eq!(p.dup3(fd, fd, 0), Err(Errno::EINVAL));
        assert_eq!(p.dup3(fd, 51, 1), Err(Errno::EINVAL));
        assert_eq!(p.dup3(99, 51, 0), Err(Errno::EBADF));
    }
    assert_eq!(p.fstat(socket).unwrap().mode, mode::SOCKET | 0o777);
}
