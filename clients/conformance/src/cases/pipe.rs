//! Pipes: pipe(2), pipe(7). FIFOs are the same when they are open.

use alloc::vec::Vec;
use core::time::Duration;

use crate::{case::*, files::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("a pipe carries bytes", "pipe(2)", ONCE, carries),
    Case::new("flags of pipe2", "pipe2(2)", ONCE, flags),
    Case::new("the end of a pipe", "pipe(7)", ONCE, end),
    Case::new("a pipe without a reader", "pipe(7) EPIPE", ONCE, broken),
    Case::new("a duplicate keeps a pipe open", "dup(2)", ONCE, duplicate),
    Case::new("how much a pipe holds", "pipe(7), F_GETPIPE_SZ", ONCE, capacity),
    Case::new("one read takes what is there", "read(2)", ONCE, one_read),
    Case::new("readv and writev on a pipe", "readv(2)", ONCE, vectors),
    Case::new("a blocking read of what is there", "pipe(7)", ONCE, blocking),
    Case::new("fstat of a pipe", "fstat(2)", ONCE, stats),
    Case::new("fchmod of a pipe", "fchmod(2)", ONCE, change_mode),
    Case::new("a pipe has no position", "lseek(2) ESPIPE", ONCE, no_position),
    Case::new("poll of a pipe", "poll(2)", ONCE, poll),
    Case::new("select on a pipe and a file", "select(2)", ONCE, select),
    Case::new("ppoll on a pipe", "ppoll(2)", ONCE, ppoll),
    Case::new("every write to a pipe is an edge", "epoll(7) EPOLLET", ONCE, edges_in),
    Case::new("room in a pipe is an edge", "epoll(7) EPOLLET", ONCE, edges_out),
    Case::new("the end of a pipe is an edge", "epoll(7) EPOLLET", ONCE, edge_of_end),
    Case::new("an end of a pipe in a message", "unix(7) SCM_RIGHTS", UNIX, passed),
    Case::new("a passed end whose writer is gone", "poll(2) POLLHUP", UNIX, passed_end),
    Case::new("a pipe in a message that nobody reads", "unix(7) SCM_RIGHTS", UNIX, dropped),
    Case::new("packets in a pipe", "pipe2(2) O_DIRECT", ONCE, packets)
        .differs("Pipes carry bytes, not packets: O_DIRECT gives EINVAL."),
    Case::new("the size of a pipe", "fcntl(2) F_SETPIPE_SZ", ONCE, resize)
        .differs("A pipe always holds 65,536 bytes: F_SETPIPE_SZ gives EINVAL."),
];

const N: u32 = open::NONBLOCK;

/// What a pipe or FIFO with these ends does with bytes.
pub fn bytes_through(t: &Test<'_>, r: Fd, w: Fd) -> Outcome {
    err!(t.read(r, &mut [0]), EAGAIN);
    gives!(t.write(w, b"hello "), 6);
    gives!(t.write(w, b"world"), 5);
    let mut got = [0; 20];
    gives!(t.read(r, &mut got[..4]), 4);
    gives!(t.read(r, &mut got[4..]), 7);
    eq!(got[..11], *b"hello world");
    err!(t.write(r, b"x"), EBADF);
    err!(t.read(w, &mut [0]), EBADF);
    gives!(t.write(w, b""), 0);
    t.shut(&[r, w])
}

fn carries(t: &Test<'_>) -> Outcome {
    let (r, w) = ok!(t.pipe2(N));
    that!(r < w);
    bytes_through(t, r, w)
}

fn flags(t: &Test<'_>) -> Outcome {
    let (r, w) = ok!(t.pipe2(N | open::CLOEXEC));
    gives!(t.fcntl(r, F_GETFL, 0), (open::RDONLY | N) as i32);
    gives!(t.fcntl(w, F_GETFL, 0), (open::WRONLY | N) as i32);
    for fd in [r, w] {
        gives!(t.fcntl(fd, F_GETFD, 0), FD_CLOEXEC as i32);
    }
    gives!(t.fcntl(r, F_SETFL, 0), 0);
    gives!(t.fcntl(r, F_GETFL, 0), open::RDONLY as i32);
    // Each end has its own.
    gives!(t.fcntl(w, F_GETFL, 0), (open::WRONLY | N) as i32);
    err!(t.pipe2(open::APPEND), EINVAL);
    err!(t.pipe2(1 << 30), EINVAL);
    t.shut(&[r, w])
}

fn end(t: &Test<'_>) -> Outcome {
    let (r, w) = ok!(t.pipe2(0));
    gives!(t.write(w, b"last"), 4);
    ok!(t.close(w));
    gives!(t.read(r, &mut [0; 9]), 4);
    gives!(t.read(r, &mut [0; 9]), 0);
    gives!(t.read(r, &mut [0; 9]), 0);
    t.shut(&[r])
}

fn broken(t: &Test<'_>) -> Outcome {
    let (r, w) = ok!(t.pipe2(0));
    gives!(t.write(w, b"lost"), 4);
    ok!(t.close(r));
    err!(t.write(w, b"x"), EPIPE);
    gives!(t.write(w, b""), 0);
    t.shut(&[w])
}

fn duplicate(t: &Test<'_>) -> Outcome {
    let (r, w) = ok!(t.pipe2(N));
    let (r2, w2) = (ok!(t.dup(r)), ok!(t.dup(w)));
    t.shut(&[w, r])?;
    gives!(t.write(w2, b"x"), 1);
    gives!(t.read(r2, &mut [0; 2]), 1);
    err!(t.read(r2, &mut [0; 2]), EAGAIN);
    ok!(t.close(w2));
    gives!(t.read(r2, &mut [0; 2]), 0);
    t.shut(&[r2])
}

fn capacity(t: &Test<'_>) -> Outcome {
    let (r, w) = ok!(t.pipe2(N));
    gives!(t.fcntl(r, F_GETPIPE_SZ, 0), PIPE_BYTES as i32);
    gives!(t.fcntl(w, F_GETPIPE_SZ, 0), PIPE_BYTES as i32);
    gives!(t.write(w, &[1; PIPE_BYTES + 1]), PIPE_BYTES);
    err!(t.write(w, b"x"), EAGAIN);
    let socket = ok!(t.socket(AF_INET, SOCK_DGRAM.into(), 0));
    that!(t.fcntl(socket, F_GETPIPE_SZ, 0).is_err());
    t.shut(&[r, w, socket])
}

fn one_read(t: &Test<'_>) -> Outcome {
    let (r, w) = ok!(t.pipe2(N));
    let data: Vec<u8> = (0..60_000u32).map(|i| (i % 251) as u8).collect();
    gives!(t.write(w, &data), data.len());
    let mut got = alloc::vec![0; data.len() + 10];
    gives!(t.read(r, &mut got), data.len());
    that!(got[..data.len()] == data[..]);
    t.shut(&[r, w])
}

fn vectors(t: &Test<'_>) -> Outcome {
    let (r, w) = ok!(t.pipe2(N));
    gives!(t.writev(w, &[b"ab", b"", b"cde"]), 5);
    let (mut a, mut b, mut c) = ([0; 1], [0; 3], [0; 9]);
    gives!(t.readv(r, &mut [&mut a, &mut b, &mut c]), 5);
    eq!((a, b, c[0]), (*b"a", *b"bcd", b'e'));
    err!(t.readv(r, &mut [&mut a]), EAGAIN);
    // Nothing is nothing, but not everywhere.
    gives!(t.readv(r, &mut []), 0);
    err!(t.readv(w, &mut []), EBADF);
    gives!(t.writev(w, &[]), 0);
    err!(t.writev(r, &[]), EBADF);
    t.shut(&[r, w])
}

fn blocking(t: &Test<'_>) -> Outcome {
    let (r, w) = ok!(t.pipe2(0));
    gives!(t.write(w, b"some"), 4);
    // Less than was asked for is enough.
    gives!(t.read(r, &mut [0; 100]), 4);
    gives!(t.write(w, &[7; PIPE_BYTES]), PIPE_BYTES);
    gives!(t.read(r, &mut [0; PIPE_BYTES]), PIPE_BYTES);
    t.shut(&[r, w])
}

fn stats(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"")?;
        let mine = ok!(t.stat("f"));
        let (r, w) = ok!(t.pipe2(N));
        gives!(t.write(w, b"bytes"), 5);
        let (a, b) = (ok!(t.fstat(r)), ok!(t.fstat(w)));
        eq!((a.ino, a.dev), (b.ino, b.dev));
        that!(a.ino != 0 && a.dev != mine.dev);
        eq!((a.mode, a.nlink, a.size, a.block_size), (mode::FIFO | 0o600, 1, 0, 4096));
        eq!((a.uid, a.gid), (mine.uid, mine.gid));
        gives!(t.fstatat(r, "", AT_EMPTY_PATH), a);
        let (other, other_w) = ok!(t.pipe2(N));
        that!(ok!(t.fstat(other)).ino != a.ino);
        let (s, s2) = ok!(t.socketpair(AF_UNIX, SOCK_STREAM.into(), 0));
        let (a, b) = (ok!(t.fstat(s)), ok!(t.fstat(s2)));
        that!(a.ino != b.ino && a.ino != 0);
        eq!((a.mode, a.nlink, a.size), (mode::SOCKET | 0o777, 1, 0));
        gives!(t.fstatat(s, "", AT_EMPTY_PATH), a);
        for fd in [r, s] {
            let fs = ok!(t.fstatvfs(fd));
            eq!((fs.bsize, fs.namemax), (4096, 255));
        }
        t.shut(&[r, w, other, other_w, s, s2])
    })
}

fn change_mode(t: &Test<'_>) -> Outcome {
    let (r, w) = ok!(t.pipe2(N));
    ok!(t.fchmod(r, 0o640));
    eq!(ok!(t.fstat(w)).mode, mode::FIFO | 0o640);
    let event = ok!(t.eventfd(0, 0));
    err!(t.fchmod(event, 0o600), EOPNOTSUPP);
    eq!(ok!(t.fstatvfs(event)).bsize, 4096);
    t.shut(&[r, w, event])
}

fn no_position(t: &Test<'_>) -> Outcome {
    let (r, w) = ok!(t.pipe2(N));
    err!(t.lseek(r, 0, seek::CUR), ESPIPE);
    err!(t.pread(r, &mut [0], 0), ESPIPE);
    err!(t.pwrite(w, b"x", 0), ESPIPE);
    err!(t.ftruncate(w, 0), EINVAL);
    err!(t.fsync(w), EINVAL);
    t.shut(&[r, w])
}

fn poll(t: &Test<'_>) -> Outcome {
    let (r, w) = ok!(t.pipe2(N));
    eq!((t.ready(r, POLLIN | POLLOUT)?, t.ready(w, POLLIN | POLLOUT)?), (0, POLLOUT));
    gives!(t.write(w, &[0; PIPE_BYTES]), PIPE_BYTES);
    eq!((t.ready(r, POLLIN)?, t.ready(w, POLLOUT)?), (POLLIN, 0));
    gives!(t.read(r, &mut [0; PIPE_BYTES]), PIPE_BYTES);
    eq!((t.ready(r, POLLIN)?, t.ready(w, POLLOUT)?), (0, POLLOUT));
    let (r2, w2) = (ok!(t.dup(r)), ok!(t.dup(w)));
    ok!(t.close(w));
    eq!(t.ready(r, POLLIN)?, 0);
    ok!(t.close(w2));
    eq!(t.ready(r, POLLIN)?, POLLHUP);
    t.shut(&[r, r2])?;
    let (r, w) = ok!(t.pipe2(N));
    ok!(t.close(r));
    that!(t.ready(w, POLLOUT)? & POLLERR != 0);
    t.shut(&[w])
}

fn select(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (r, w) = ok!(t.pipe2(N));
        let file = ok!(t.open("f", open::RDWR | open::CREAT, 0o644));
        let at_once = Some(Duration::ZERO);
        let ask = |t: &Test<'_>| {
            let (mut reads, mut writes) = (FdSet::of(&[r, file]), FdSet::of(&[w, file]));
            let n = t.select(file + 1, Some(&mut reads), Some(&mut writes), None, at_once)?;
            Ok::<_, Errno>((n, [reads.has(r), reads.has(file), writes.has(w), writes.has(file)]))
        };
        gives!(ask(t), (3, [false, true, true, true]));
        gives!(t.write(w, &[0; PIPE_BYTES]), PIPE_BYTES);
        gives!(ask(t), (3, [true, true, false, true]));
        ok!(t.close(r));
        let mut writes = FdSet::of(&[w]);
        gives!(t.select(w + 1, None, Some(&mut writes), None, at_once), 1);
        t.shut(&[w, file])?;
        let (r, w) = ok!(t.pipe2(N));
        ok!(t.close(w));
        let mut reads = FdSet::of(&[r]);
        gives!(t.select(r + 1, Some(&mut reads), None, None, None), 1);
        that!(reads.has(r));
        t.shut(&[r])
    })
}

fn ppoll(t: &Test<'_>) -> Outcome {
    let (r, w) = ok!(t.pipe2(N));
    let mut fds = [PollFd::new(r, POLLIN), PollFd::new(w, POLLOUT)];
    gives!(t.ppoll(&mut fds, None), 1);
    eq!((fds[0].revents, fds[1].revents), (0, POLLOUT));
    gives!(t.ppoll(&mut fds[..1], Some(Duration::from_millis(20))), 0);
    gives!(t.write(w, b"x"), 1);
    gives!(t.ppoll(&mut fds[..1], None), 1);
    eq!(fds[0].revents, POLLIN);
    t.shut(&[r, w])
}

/// An epoll instance with one entry.
fn watch(t: &Test<'_>, fd: Fd, events: u32) -> Result<Fd, Failure> {
    let epoll = ok!(t.epoll_create1(0));
    ok!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, Watch { events, data: 7 }));
    Ok(epoll)
}

/// What an instance has to say, at most for so many milliseconds.
fn events(t: &Test<'_>, epoll: Fd, patience: i32) -> Result<Option<u32>, Failure> {
    let mut got = [Watch::default(); 2];
    match ok!(t.epoll_wait(epoll, &mut got, patience)) {
        0 => Ok(None),
        _ => Ok(Some(got[0].events)),
    }
}

fn edges_in(t: &Test<'_>) -> Outcome {
    let (r, w) = ok!(t.pipe2(N));
    let epoll = watch(t, r, EPOLLIN | EPOLLET)?;
    eq!(events(t, epoll, 0)?, None);
    for _ in 0..3 {
        // Also when what came before was not read.
        gives!(t.write(w, b"x"), 1);
        eq!(events(t, epoll, 1000)?, Some(EPOLLIN));
        eq!(events(t, epoll, 0)?, None);
    }
    gives!(t.read(r, &mut [0; 2]), 2);
    eq!(events(t, epoll, 0)?, None);
    gives!(t.write(w, b"y"), 1);
    eq!(events(t, epoll, 1000)?, Some(EPOLLIN));
    gives!(t.read(r, &mut [0; 9]), 2);
    err!(t.read(r, &mut [0; 9]), EAGAIN);
    gives!(t.write(w, b"z"), 1);
    eq!(events(t, epoll, 1000)?, Some(EPOLLIN));
    t.shut(&[epoll, r, w])
}

fn edges_out(t: &Test<'_>) -> Outcome {
    let (r, w) = ok!(t.pipe2(N));
    let epoll = watch(t, w, EPOLLOUT | EPOLLET)?;
    eq!(events(t, epoll, 1000)?, Some(EPOLLOUT));
    eq!(events(t, epoll, 0)?, None);
    for _ in 0..2 {
        gives!(t.write(w, &[0; PIPE_BYTES]), PIPE_BYTES);
        err!(t.write(w, b"x"), EAGAIN);
        eq!(events(t, epoll, 0)?, None);
        gives!(t.read(r, &mut [0; PIPE_BYTES]), PIPE_BYTES);
        eq!(events(t, epoll, 1000)?, Some(EPOLLOUT));
        eq!(events(t, epoll, 0)?, None);
    }
    // Without having been full there is nothing new.
    gives!(t.write(w, b"x"), 1);
    gives!(t.read(r, &mut [0; 9]), 1);
    eq!(events(t, epoll, 0)?, None);
    t.shut(&[epoll, r, w])
}

fn edge_of_end(t: &Test<'_>) -> Outcome {
    let (r, w) = ok!(t.pipe2(N));
    let epoll = watch(t, r, EPOLLIN | EPOLLET)?;
    gives!(t.write(w, b"x"), 1);
    eq!(events(t, epoll, 1000)?, Some(EPOLLIN));
    ok!(t.close(w));
    eq!(events(t, epoll, 1000)?, Some(EPOLLIN | EPOLLHUP));
    eq!(events(t, epoll, 0)?, None);
    t.shut(&[epoll, r])
}

/// Sends a descriptor; the own one is closed.
fn give(t: &Test<'_>, over: Fd, fd: Fd) -> Outcome {
    let mut item = alloc::vec![0; control::space(4)];
    let value = fd.to_ne_bytes();
    control::put(&mut item, &mut 0, control::Item { level: SOL_SOCKET, kind: SCM_RIGHTS, value: &value });
    gives!(t.sendmsg(over, &[b"x"], None, &item, 0), 1);
    t.shut(&[fd])
}

/// Receives one.
fn get_one(t: &Test<'_>, over: Fd) -> Result<Fd, Failure> {
    t.wait(over, POLLIN)?;
    let mut room = [0; 64];
    let got = ok!(t.recvmsg(over, &mut [&mut [0; 4]], &mut room, 0));
    eq!((got.bytes, got.flags & MSG_CTRUNC), (1, 0));
    let item = control::items(&room[..got.control]).next();
    let fd = item.and_then(|i| i.ok()).and_then(|i| i.value.first_chunk().copied()).map(i32::from_ne_bytes);
    fd.ok_or_else(|| Failure::new("a descriptor in the message", "one", "none"))
}

fn passed(t: &Test<'_>) -> Outcome {
    let ((a, b), (r, w)) = (t.pair()?, ok!(t.pipe2(N)));
    gives!(t.write(w, b"before "), 7);
    give(t, a, r)?;
    // The reader is on its way: writing goes on.
    gives!(t.write(w, b"meanwhile "), 10);
    let r = get_one(t, b)?;
    give(t, b, w)?;
    // So is the writer: it is not the end.
    let mut got = [0; 40];
    gives!(t.read(r, &mut got), 17);
    err!(t.read(r, &mut got), EAGAIN);
    let w = get_one(t, a)?;
    gives!(t.write(w, b"after"), 5);
    gives!(t.read(r, &mut got), 5);
    gives!(t.fcntl(r, F_GETFL, 0), (open::RDONLY | N) as i32);
    t.shut(&[r, w, a, b])
}

fn passed_end(t: &Test<'_>) -> Outcome {
    let ((a, b), (r, w)) = (t.pair()?, ok!(t.pipe2(N)));
    give(t, a, r)?;
    t.shut(&[w])?;
    let r = get_one(t, b)?;
    eq!(t.wait(r, POLLIN)?, POLLHUP);
    gives!(t.read(r, &mut [0; 9]), 0);
    t.shut(&[r, a, b])
}

fn dropped(t: &Test<'_>) -> Outcome {
    let ((a, b), (r, w)) = (t.pair()?, ok!(t.pipe2(N)));
    give(t, a, r)?;
    gives!(t.write(w, b"x"), 1);
    t.shut(&[b])?;
    // Nobody will read it: the servers tell each other.
    t.wait_all(w, POLLERR)?;
    err!(t.write(w, b"x"), EPIPE);
    t.shut(&[w, a])?;
    // The other way round it is the end.
    let ((a, b), (r, w)) = (t.pair()?, ok!(t.pipe2(N)));
    give(t, a, w)?;
    err!(t.read(r, &mut [0; 9]), EAGAIN);
    t.shut(&[b, a])?;
    t.wait_all(r, POLLHUP)?;
    gives!(t.read(r, &mut [0; 9]), 0);
    t.shut(&[r])
}

fn packets(t: &Test<'_>) -> Outcome {
    let result = t.pipe2(N | O_DIRECT);
    eq!(result.is_ok(), t.by_world(true, false));
    match result {
        Ok((r, w)) => t.shut(&[r, w]),
        Err(e) => {
            eq!(e, Errno::EINVAL);
            Ok(())
        }
    }
}

fn resize(t: &Test<'_>) -> Outcome {
    let (r, w) = ok!(t.pipe2(N));
    eq!(t.fcntl(r, F_SETPIPE_SZ, 4096), t.by_world(Ok(4096), Err(Errno::EINVAL)));
    t.shut(&[r, w])
}
