//! read(2), write(2) and what else is done with an open file.

use crate::{case::*, files::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("what is written is read", "write(2)", FILES, written),
    Case::new("a write behind the end leaves zeros", "lseek(2)", ONCE, hole),
    Case::new("pwrite and pread leave the position", "pread(2)", FILES, positioned),
    Case::new("O_APPEND writes at the end", "open(2) O_APPEND", FILES, append),
    Case::new("O_APPEND set with fcntl", "fcntl(2) F_SETFL", FILES, append_later),
    Case::new("pwrite with O_APPEND appends", "pwrite(2) BUGS", FILES, append_pwrite),
    Case::new("seeking", "lseek(2)", FILES, seeking),
    Case::new("seeking before the start", "lseek(2) EINVAL", FILES, seeking_wrong),
    Case::new("a shorter file loses its end", "ftruncate(2)", FILES, shorten),
    Case::new("a longer file gets zeros", "ftruncate(2)", FILES, lengthen),
    Case::new("truncating what may not be written", "ftruncate(2) EINVAL", FILES, truncate_wrong),
    Case::new("truncating by path", "truncate(2)", FILES, truncate_path),
    Case::new("a duplicate shares the position", "dup(2)", FILES, duplicate),
    Case::new("readv and writev on files", "readv(2)", FILES, vectors),
    Case::new("files are always ready", "poll(2)", FILES, ready),
    Case::new("files are nothing for epoll", "epoll_ctl(2) EPERM", FILES, no_epoll),
    Case::new("FIONREAD says what is left", "ioctl_fionread(2)", FILES, fionread),
    Case::new("fsync and fdatasync", "fsync(2)", FILES, sync),
    Case::new("fsync of what has no storage", "fsync(2) EINVAL", ONCE, sync_wrong),
    Case::new("no seeking in sockets", "lseek(2) ESPIPE", FILES, socket_seek),
    Case::new("a removed file lives while it is open", "unlink(2)", FILES, removed),
    Case::new("fstat and stat agree", "fstat(2)", ONCE, stats),
    Case::new("fchmod changes the mode", "fchmod(2)", ONCE, change_mode),
    Case::new("no socket calls on files", "send(2) ENOTSOCK", FILES, not_a_socket),
    Case::new("statvfs tells of the file system", "statvfs(3)", ONCE, file_system),
    Case::new("a file and a socket by one poll", "poll(2)", FILES, poll_both),
    Case::new("seeking too far", "lseek(2) EINVAL", FILES, seeking_far),
    Case::new("reading and writing nothing", "readv(2) EBADF", FILES, nothing),
    Case::new("FIONREAD of a directory", "ioctl(2) ENOTTY", FILES, fionread_directory),
    Case::new("writing takes set-id bits away", "inode(7)", ONCE, set_id),
    Case::new("times change with the content", "inode(7) mtime, ctime", ONCE, times),
    Case::new("long writes are one piece", "write(2)", FILES, long_writes),
    Case::new("when it is", "clock_gettime(2)", ONCE, epoch)
        .differs("There is no clock that tells the date: times of files count from the start of the machine."),
    Case::new("locks", "fcntl(2) F_SETLK", ONCE, locks).differs("There are no locks on files: EINVAL."),
    Case::new("holes are not told", "lseek(2) SEEK_HOLE", ONCE, holes).differs("SEEK_DATA and SEEK_HOLE give EINVAL."),
    Case::new("300 open files", "open(2) EMFILE", ONCE, many_open)
        .differs("vfs_server keeps 256 open files and pipe ends for a process: EMFILE beyond that."),
];

const RW: u32 = open::RDWR | open::CREAT;

fn written(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = ok!(t.open("f", RW, 0o644));
        let data: alloc::vec::Vec<u8> = (0..70_000u32).map(|i| (i % 251) as u8).collect();
        gives!(t.write(fd, &data), data.len());
        gives!(t.lseek(fd, 0, seek::SET), 0);
        let mut got = alloc::vec![0; data.len() + 10];
        gives!(t.read(fd, &mut got), data.len());
        that!(got[..data.len()] == data[..]);
        gives!(t.read(fd, &mut got), 0);
        gives!(t.write(fd, b""), 0);
        t.shut(&[fd])
    })
}

fn hole(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = ok!(t.open("f", RW, 0o644));
        gives!(t.lseek(fd, 100_000, seek::SET), 100_000);
        gives!(t.write(fd, b"x"), 1);
        let mut got = [1; 8];
        gives!(t.pread(fd, &mut got, 99_996), 5);
        eq!(got[..5], *b"\0\0\0\0x");
        eq!(ok!(t.fstat(fd)).size, 100_001);
        that!(ok!(t.fstat(fd)).blocks < 100);
        t.shut(&[fd])
    })
}

fn positioned(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123456789")?;
        let fd = ok!(t.open("f", open::RDWR, 0));
        gives!(t.pwrite(fd, b"ab", 8), 2);
        gives!(t.pwrite(fd, b"cd", 9), 2);
        let mut got = [0; 4];
        gives!(t.pread(fd, &mut got, 8), 3);
        eq!(got[..3], *b"acd");
        gives!(t.pread(fd, &mut got, 100), 0);
        gives!(t.read(fd, &mut got), 4);
        eq!(got, *b"0123");
        err!(t.pread(fd, &mut got, 1 << 63), EINVAL);
        err!(t.pwrite(fd, b"x", u64::MAX), EINVAL);
        t.shut(&[fd])
    })
}

fn append(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"start")?;
        let (a, b) = (ok!(t.open("f", open::WRONLY | open::APPEND, 0)), ok!(t.open("f", open::RDWR, 0)));
        gives!(t.write(a, b"1"), 1);
        gives!(t.lseek(a, 0, seek::CUR), 6);
        gives!(t.pwrite(b, b"22", 6), 2);
        gives!(t.lseek(a, 0, seek::SET), 0);
        gives!(t.write(a, b"3"), 1);
        gives!(get(t, "f"), b"start1223".to_vec());
        t.shut(&[a, b])
    })
}

fn append_later(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"start")?;
        let fd = ok!(t.open("f", open::RDWR, 0));
        gives!(t.fcntl(fd, F_SETFL, O_APPEND as i32), 0);
        gives!(t.write(fd, b"!"), 1);
        gives!(t.fcntl(fd, F_SETFL, 0), 0);
        gives!(t.pwrite(fd, b"S", 0), 1);
        gives!(get(t, "f"), b"Start!".to_vec());
        t.shut(&[fd])
    })
}

fn append_pwrite(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"start")?;
        let fd = ok!(t.open("f", open::WRONLY | open::APPEND, 0));
        gives!(t.pwrite(fd, b"!", 0), 1);
        gives!(t.lseek(fd, 0, seek::CUR), 0);
        gives!(get(t, "f"), b"start!".to_vec());
        t.shut(&[fd])
    })
}

fn seeking(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123456789")?;
        let fd = ok!(t.open("f", open::RDONLY, 0));
        gives!(t.lseek(fd, 4, seek::SET), 4);
        gives!(t.lseek(fd, -1, seek::CUR), 3);
        gives!(t.lseek(fd, -3, seek::END), 7);
        gives!(t.lseek(fd, 5, seek::END), 15);
        gives!(t.read(fd, &mut [0; 4]), 0);
        t.shut(&[fd])
    })
}

fn seeking_wrong(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123")?;
        let fd = ok!(t.open("f", open::RDONLY, 0));
        err!(t.lseek(fd, -1, seek::SET), EINVAL);
        err!(t.lseek(fd, -1, seek::CUR), EINVAL);
        err!(t.lseek(fd, -5, seek::END), EINVAL);
        err!(t.lseek(fd, 0, 9), EINVAL);
        gives!(t.lseek(fd, 0, seek::CUR), 0);
        ok!(t.close(fd));
        err!(t.lseek(fd, 0, seek::SET), EBADF);
        Ok(())
    })
}

fn shorten(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123456789")?;
        let fd = ok!(t.open("f", open::RDWR, 0));
        gives!(t.lseek(fd, 8, seek::SET), 8);
        ok!(t.ftruncate(fd, 4));
        gives!(t.read(fd, &mut [0; 4]), 0);
        gives!(t.lseek(fd, 0, seek::CUR), 8);
        gives!(get(t, "f"), b"0123".to_vec());
        t.shut(&[fd])
    })
}

fn lengthen(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123456789")?;
        let fd = ok!(t.open("f", open::RDWR, 0));
        ok!(t.ftruncate(fd, 4));
        ok!(t.ftruncate(fd, 6));
        gives!(get(t, "f"), b"0123\0\0".to_vec());
        t.shut(&[fd])
    })
}

fn truncate_wrong(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123")?;
        let fd = ok!(t.open("f", open::RDONLY, 0));
        err!(t.ftruncate(fd, 0), EINVAL);
        ok!(t.close(fd));
        let fd = ok!(t.open("f", open::RDWR, 0));
        err!(t.ftruncate(fd, 1 << 63), EINVAL);
        ok!(t.close(fd));
        err!(t.ftruncate(fd, 0), EBADF);
        let fd = ok!(t.socket(AF_INET, SOCK_DGRAM.into(), 0));
        err!(t.ftruncate(fd, 0), EINVAL);
        t.shut(&[fd])
    })
}

fn truncate_path(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123")?;
        ok!(t.truncate("f", 2));
        gives!(get(t, "f"), b"01".to_vec());
        err!(t.truncate("none", 0), ENOENT);
        err!(t.truncate(".", 0), EISDIR);
        Ok(())
    })
}

fn duplicate(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123456789")?;
        let fd = ok!(t.open("f", open::RDONLY, 0));
        let other = ok!(t.dup(fd));
        let mut got = [0; 2];
        gives!(t.read(fd, &mut got), 2);
        gives!(t.read(other, &mut got), 2);
        eq!(got, *b"23");
        ok!(t.close(fd));
        gives!(t.lseek(other, 0, seek::CUR), 4);
        t.shut(&[other])
    })
}

fn vectors(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = ok!(t.open("f", RW, 0o644));
        gives!(t.writev(fd, &[b"one ", b"", b"two"]), 7);
        gives!(t.lseek(fd, 1, seek::SET), 1);
        let (mut a, mut b) = ([0; 3], [0; 9]);
        gives!(t.readv(fd, &mut [&mut a, &mut b]), 6);
        eq!((a, &b[..3]), (*b"ne ", &b"two"[..]));
        t.shut(&[fd])
    })
}

fn ready(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = ok!(t.open("f", RW, 0o644));
        let all = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
        gives!(t.ready(fd, all | POLLPRI).map_err(|_| Errno::EIO), all);
        t.shut(&[fd])
    })
}

fn no_epoll(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (fd, epoll) = (ok!(t.open("f", RW, 0o644)), ok!(t.epoll_create1(0)));
        err!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, Watch { events: EPOLLIN, data: 0 }), EPERM);
        t.shut(&[fd, epoll])
    })
}

fn fionread(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123456789")?;
        let fd = ok!(t.open("f", open::RDONLY, 0));
        gives!(t.lseek(fd, 3, seek::SET), 3);
        let mut n = [0; 4];
        ok!(t.ioctl(fd, FIONREAD, &mut n));
        eq!(i32::from_ne_bytes(n), 7);
        t.shut(&[fd])
    })
}

fn sync(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = ok!(t.open("f", RW, 0o644));
        gives!(t.write(fd, b"x"), 1);
        ok!(t.fsync(fd));
        ok!(t.fdatasync(fd));
        ok!(t.close(fd));
        let fd = ok!(t.open(".", open::RDONLY, 0));
        ok!(t.fsync(fd));
        ok!(t.close(fd));
        err!(t.fsync(fd), EBADF);
        Ok(())
    })
}

fn sync_wrong(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = ok!(t.socket(AF_INET, SOCK_DGRAM.into(), 0));
        err!(t.fsync(fd), EINVAL);
        ok!(t.close(fd));
        ok!(t.mknod("p", mode::FIFO | 0o600));
        let fd = ok!(t.open("p", open::RDWR, 0));
        err!(t.fsync(fd), EINVAL);
        t.shut(&[fd])
    })
}

fn socket_seek(t: &Test<'_>) -> Outcome {
    let fd = ok!(t.socket(AF_INET, SOCK_DGRAM.into(), 0));
    err!(t.lseek(fd, 0, seek::SET), ESPIPE);
    err!(t.pread(fd, &mut [0], 0), ESPIPE);
    err!(t.pwrite(fd, b"x", 0), ESPIPE);
    t.shut(&[fd])
}

fn removed(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = ok!(t.open("f", RW, 0o644));
        gives!(t.write(fd, b"still"), 5);
        ok!(t.unlink("f"));
        err!(t.open("f", open::RDONLY, 0), ENOENT);
        eq!(ok!(t.fstat(fd)).nlink, 0);
        let mut got = [0; 9];
        gives!(t.pread(fd, &mut got, 0), 5);
        gives!(t.write(fd, b" here"), 5);
        put(t, "f", b"new")?;
        gives!(t.pread(fd, &mut got, 4), 6);
        eq!(got[..6], *b"l here");
        t.shut(&[fd])
    })
}

fn stats(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = ok!(t.open("f", RW, 0o640));
        gives!(t.write(fd, &[1; 5000]), 5000);
        let (a, b) = (ok!(t.fstat(fd)), ok!(t.stat("f")));
        eq!((a.ino, a.dev, a.size, a.mode), (b.ino, b.dev, b.size, b.mode));
        eq!((a.size, a.mode, a.nlink), (5000, mode::REGULAR | 0o640, 1));
        that!(a.blocks >= 10);
        let d = ok!(t.stat("."));
        eq!((d.mode, d.dev), (mode::DIRECTORY | 0o755, a.dev));
        that!(d.ino != a.ino);
        t.shut(&[fd])
    })
}

fn change_mode(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = ok!(t.open("f", RW, 0o644));
        ok!(t.fchmod(fd, 0o1501));
        eq!(ok!(t.stat("f")).mode, mode::REGULAR | 0o1501);
        ok!(t.chmod("f", 0o600));
        eq!(ok!(t.fstat(fd)).mode, mode::REGULAR | 0o600);
        ok!(t.symlink("f", "l"));
        ok!(t.chmod("l", 0o640));
        eq!(ok!(t.fstat(fd)).mode, mode::REGULAR | 0o640);
        err!(t.chmod("none", 0o600), ENOENT);
        t.shut(&[fd])
    })
}

fn not_a_socket(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = ok!(t.open("f", RW, 0o644));
        err!(t.send(fd, b"x", 0), ENOTSOCK);
        err!(t.recv(fd, &mut [0], 0), ENOTSOCK);
        err!(t.listen(fd, 1), ENOTSOCK);
        err!(t.getsockname(fd), ENOTSOCK);
        t.shut(&[fd])
    })
}

fn file_system(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let s = ok!(t.statvfs("."));
        eq!((s.namemax, s.flag & ST_RDONLY), (255, 0));
        that!(s.bfree <= s.blocks && s.bavail <= s.bfree && s.ffree <= s.files && s.frsize > 0);
        let fd = ok!(t.open("f", RW, 0o644));
        gives!(t.write(fd, &[1; 40_960]), 40_960);
        let now = ok!(t.fstatvfs(fd));
        eq!(now.fsid, s.fsid);
        that!(now.ffree < s.ffree);
        that!(s.bfree - now.bfree >= 10 * 4096 / s.frsize);
        err!(t.statvfs("none"), ENOENT);
        t.shut(&[fd])
    })
}

fn poll_both(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (fd, socket) = (ok!(t.open("f", RW, 0o644)), ok!(t.socket(AF_INET, SOCK_DGRAM.into(), 0)));
        let mut fds = [PollFd::new(socket, POLLIN), PollFd::new(fd, POLLIN)];
        gives!(t.poll(&mut fds, -1), 1);
        eq!((fds[0].revents, fds[1].revents), (0, POLLIN));
        t.shut(&[fd, socket])
    })
}

fn seeking_far(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = ok!(t.open("f", RW, 0o644));
        gives!(t.lseek(fd, i64::MAX, seek::SET), i64::MAX as u64);
        err!(t.lseek(fd, 1, seek::CUR), EINVAL);
        gives!(t.lseek(fd, 0, seek::CUR), i64::MAX as u64);
        t.shut(&[fd])
    })
}

fn nothing(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123")?;
        let (r, w) = (ok!(t.open("f", open::RDONLY, 0)), ok!(t.open("f", open::WRONLY, 0)));
        gives!(t.readv(r, &mut []), 0);
        gives!(t.writev(w, &[]), 0);
        gives!(t.read(r, &mut []), 0);
        gives!(t.write(w, &[]), 0);
        for result in [t.readv(w, &mut []), t.writev(r, &[]), t.read(w, &mut []), t.write(r, &[])] {
            err!(result, EBADF);
        }
        let directory = ok!(t.open(".", open::RDONLY, 0));
        gives!(t.readv(directory, &mut []), 0);
        err!(t.read(directory, &mut []), EISDIR);
        t.shut(&[r, w, directory])
    })
}

fn fionread_directory(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = ok!(t.open(".", open::RDONLY, 0));
        err!(t.ioctl(fd, FIONREAD, &mut [0; 4]), ENOTTY);
        t.shut(&[fd])
    })
}

fn set_id(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123")?;
        unprivileged(t, |t| {
            for (before, after) in [(0o6777, 0o777), (0o6666, 0o2666), (0o4755, 0o755), (0o2610, 0o610)] {
                let fd = ok!(t.open("f", open::RDWR, 0));
                ok!(t.fchmod(fd, before));
                gives!(t.write(fd, b""), 0);
                eq!(ok!(t.fstat(fd)).mode, mode::REGULAR | before);
                gives!(t.write(fd, b"x"), 1);
                eq!(ok!(t.fstat(fd)).mode, mode::REGULAR | after);
                ok!(t.fchmod(fd, before));
                ok!(t.ftruncate(fd, 2));
                eq!(ok!(t.fstat(fd)).mode, mode::REGULAR | after);
                t.shut(&[fd])?;
            }
            Ok(())
        })
    })
}

/// Times of change of content and of the rest.
fn times_of(t: &Test<'_>, path: &str) -> Result<[(i64, u32); 2], Failure> {
    let stat = ok!(t.stat(path));
    Ok([(stat.mtime, stat.mtime_nsec), (stat.ctime, stat.ctime_nsec)])
}

/// Which of the times of `path` a step changes; they never go back.
fn changes(t: &Test<'_>, path: &str, step: impl FnOnce() -> Outcome) -> Result<[bool; 2], Failure> {
    let before = times_of(t, path)?;
    // The kernel's clock for this has steps.
    t.pause(20)?;
    step()?;
    let after = times_of(t, path)?;
    that!(after[0] >= before[0] && after[1] >= before[1]);
    Ok([after[0] != before[0], after[1] != before[1]])
}

fn times(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = ok!(t.open("f", RW, 0o644));
        let done = |result: Result<(), Errno>| result.map_err(|e| Failure::new("a step", "success", e.name()));
        let (both, none, second) = ([true, true], [false, false], [false, true]);
        eq!(changes(t, "f", || done(t.write(fd, b"0123").map(drop)))?, both);
        eq!(changes(t, "f", || done(t.ftruncate(fd, 2)))?, both);
        eq!(changes(t, "f", || done(t.ftruncate(fd, 9)))?, both);
        eq!(changes(t, "f", || done(t.write(fd, b"").map(drop)))?, none);
        eq!(changes(t, "f", || done(t.read(fd, &mut [0; 4]).map(drop)))?, none);
        eq!(changes(t, "f", || done(t.fchmod(fd, 0o600)))?, second);
        eq!(changes(t, "f", || done(t.link("f", "g")))?, second);
        eq!(changes(t, "f", || done(t.unlink("g")))?, second);
        eq!(changes(t, ".", || done(t.rename("f", "g")))?, both);
        ok!(t.rename("g", "f"));
        eq!(changes(t, ".", || done(t.mknod("x", 0o600)))?, both);
        eq!(changes(t, ".", || done(t.chmod("x", 0o644)))?, none);
        eq!(changes(t, ".", || done(t.unlink("x")))?, both);
        eq!(changes(t, ".", || done(t.mkdir("d", 0o755)))?, both);
        eq!(changes(t, "d", || done(t.rename("d", "e")).and_then(|()| done(t.rename("e", "d"))))?, second);
        eq!(changes(t, "f", || done(t.rename("f", "d/f")).and_then(|()| done(t.rename("d/f", "f"))))?, second);
        t.shut(&[fd])
    })
}

fn long_writes(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = ok!(t.open("f", open::RDWR | open::CREAT | open::APPEND, 0o644));
        let data: alloc::vec::Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
        let parts: alloc::vec::Vec<&[u8]> = data.chunks(7_001).collect();
        gives!(t.writev(fd, &parts), data.len());
        gives!(t.write(fd, &data), data.len());
        let mut got = alloc::vec![0; 2 * data.len()];
        gives!(t.pread(fd, &mut got, 0), got.len());
        that!(got[..data.len()] == data[..] && got[data.len()..] == data[..]);
        t.shut(&[fd])
    })
}

fn epoch(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"")?;
        let since_2020 = ok!(t.stat("f")).mtime > 1_577_836_800;
        eq!(since_2020, t.by_world(true, false));
        Ok(())
    })
}

/// F_SETLK.
const SET_LOCK: i32 = 6;

fn locks(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"")?;
        let fd = ok!(t.open("f", open::RDWR, 0));
        // On Linux there is no lock at this address.
        let errno = t.by_world(Errno::EFAULT, Errno::EINVAL);
        err!(t.fcntl(fd, SET_LOCK, 0), = errno);
        t.shut(&[fd])
    })
}

/// SEEK_HOLE.
const HOLE: u32 = 4;

fn holes(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123")?;
        let fd = ok!(t.open("f", open::RDWR, 0));
        eq!(t.lseek(fd, 0, HOLE), t.by_world(Ok(4), Err(Errno::EINVAL)));
        t.shut(&[fd])
    })
}

fn many_open(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"")?;
        let mut fds = alloc::vec::Vec::new();
        let result = loop {
            match t.open("f", open::RDONLY, 0) {
                Ok(fd) => fds.push(fd),
                Err(e) => break Err(e),
            }
            if fds.len() == 300 {
                break Ok(());
            }
        };
        t.shut(&fds)?;
        eq!(result, t.by_world(Ok(()), Err(Errno::EMFILE)));
        Ok(())
    })
}
