//! open(2): flags, modes, what they refuse.

use crate::{case::*, files::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("a new file has the mode less the umask", "umask(2)", ONCE, new_mode),
    Case::new("O_EXCL refuses a file that is there", "open(2) EEXIST", ONCE, exclusive),
    Case::new("O_TRUNC empties a file", "open(2) O_TRUNC", FILES, truncating_open),
    Case::new("O_DIRECTORY takes directories only", "open(2) ENOTDIR", FILES, only_directory),
    Case::new("O_NOFOLLOW refuses links", "open(2) ELOOP", ONCE, no_follow),
    Case::new("O_CLOEXEC", "open(2) O_CLOEXEC", FILES, close_on_exec),
    Case::new("the flags of an open file", "fcntl(2) F_GETFL", FILES, flags),
    Case::new("two opens have two positions", "open(2)", FILES, two_opens),
    Case::new("what O_PATH can do", "open(2) O_PATH", ONCE, path_only),
    Case::new("the access mode is kept", "read(2) EBADF, write(2) EBADF", FILES, access_mode),
    Case::new("a directory is not read or written", "read(2) EISDIR, open(2) EISDIR", FILES, directory),
    Case::new("flags that stay", "fcntl(2) F_GETFL", ONCE, lasting_flags),
    Case::new("what is no flag is ignored", "open(2)", FILES, unknown_flags),
    Case::new("neither to read nor to write", "open(2)", ONCE, neither),
    Case::new("calls that O_PATH refuses", "open(2) O_PATH", FILES, path_refuses),
    Case::new("the right to open", "open(2) EACCES", ONCE, rights),
    Case::new("O_SYNC", "open(2) O_SYNC", FILES, synchronous),
    Case::new("O_DIRECT and O_TMPFILE", "open(2)", ONCE, other_flags)
        .differs("O_DIRECT gives EINVAL and O_TMPFILE EOPNOTSUPP, as on Linux where a file system lacks them."),
];

const RW: u32 = open::RDWR | open::CREAT;

fn new_mode(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        gives!(t.umask(0o027), 0o022);
        let fd = ok!(t.open("f", RW, 0o7777));
        eq!(ok!(t.fstat(fd)).mode, mode::REGULAR | 0o7750);
        ok!(t.close(fd));
        ok!(t.mkdir("d", 0o777));
        eq!(ok!(t.stat("d")).mode, mode::DIRECTORY | 0o750);
        gives!(t.umask(0), 0o027);
        // Not of what is there.
        let fd = ok!(t.open("f", RW, 0o600));
        eq!(ok!(t.fstat(fd)).mode, mode::REGULAR | 0o7750);
        t.shut(&[fd])
    })
}

fn exclusive(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = ok!(t.open("f", RW | open::EXCL, 0o644));
        err!(t.open("f", RW | open::EXCL, 0o644), EEXIST);
        err!(t.open(".", open::CREAT | open::EXCL, 0o644), EEXIST);
        ok!(t.symlink("nowhere", "l"));
        err!(t.open("l", RW | open::EXCL, 0o644), EEXIST);
        t.shut(&[fd])
    })
}

fn truncating_open(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123")?;
        let old = ok!(t.open("f", open::RDONLY, 0));
        let fd = ok!(t.open("f", open::WRONLY | open::TRUNC, 0));
        eq!(ok!(t.fstat(fd)).size, 0);
        gives!(t.read(old, &mut [0]), 0);
        t.shut(&[fd, old])
    })
}

fn only_directory(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"")?;
        err!(t.open("f", open::DIRECTORY, 0), ENOTDIR);
        err!(t.open("none", open::DIRECTORY, 0), ENOENT);
        let fd = ok!(t.open(".", open::DIRECTORY, 0));
        t.shut(&[fd])
    })
}

fn no_follow(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"")?;
        ok!(t.mkdir("d", 0o755));
        ok!(t.symlink("f", "l"));
        ok!(t.symlink("d", "ld"));
        err!(t.open("l", open::NOFOLLOW, 0), ELOOP);
        err!(t.open("ld", open::NOFOLLOW | open::DIRECTORY, 0), ENOTDIR);
        let fd = ok!(t.open("ld/", open::NOFOLLOW, 0));
        ok!(t.close(fd));
        let fd = ok!(t.open("ld/../f", open::NOFOLLOW, 0));
        t.shut(&[fd])
    })
}

fn close_on_exec(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (a, b) = (ok!(t.open("f", RW | open::CLOEXEC, 0o644)), ok!(t.open("f", open::RDONLY, 0)));
        gives!(t.fcntl(a, F_GETFD, 0), FD_CLOEXEC as i32);
        gives!(t.fcntl(b, F_GETFD, 0), 0);
        t.shut(&[a, b])
    })
}

fn flags(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = ok!(t.open("f", RW | open::EXCL | open::APPEND | open::NONBLOCK, 0o644));
        // O_LARGEFILE shows on some machines.
        let flags = ok!(t.fcntl(fd, F_GETFL, 0)) as u32 & !open::LARGEFILE;
        eq!(flags, open::RDWR | open::APPEND | open::NONBLOCK);
        gives!(t.fcntl(fd, F_SETFL, 0), 0);
        eq!(ok!(t.fcntl(fd, F_GETFL, 0)) as u32 & !open::LARGEFILE, open::RDWR);
        t.shut(&[fd])
    })
}

fn two_opens(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123456789")?;
        let (a, b) = (ok!(t.open("f", open::RDWR, 0)), ok!(t.open("f", open::RDONLY, 0)));
        gives!(t.write(a, b"abc"), 3);
        let mut got = [0; 4];
        gives!(t.read(b, &mut got), 4);
        eq!(got, *b"abc3");
        t.shut(&[a, b])
    })
}

fn path_only(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123")?;
        let fd = ok!(t.open("f", open::PATH, 0));
        err!(t.read(fd, &mut [0]), EBADF);
        err!(t.write(fd, b"x"), EBADF);
        err!(t.lseek(fd, 0, seek::SET), EBADF);
        err!(t.fchmod(fd, 0o600), EBADF);
        err!(t.ftruncate(fd, 0), EBADF);
        eq!(ok!(t.fstat(fd)).size, 4);
        ok!(t.close(fd));
        ok!(t.symlink("f", "l"));
        let fd = ok!(t.open("l", open::PATH | open::NOFOLLOW, 0));
        eq!(ok!(t.fstat(fd)).mode & mode::FORMAT, mode::SYMLINK);
        t.shut(&[fd])
    })
}

fn access_mode(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123")?;
        let (r, w) = (ok!(t.open("f", open::RDONLY, 0)), ok!(t.open("f", open::WRONLY, 0)));
        err!(t.write(r, b"x"), EBADF);
        err!(t.pwrite(r, b"x", 0), EBADF);
        err!(t.read(w, &mut [0]), EBADF);
        err!(t.pread(w, &mut [0], 0), EBADF);
        t.shut(&[r, w])
    })
}

fn directory(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        err!(t.open(".", open::WRONLY, 0), EISDIR);
        err!(t.open(".", open::RDWR, 0), EISDIR);
        err!(t.open(".", open::CREAT, 0o644), EISDIR);
        err!(t.open("./", RW, 0o644), EISDIR);
        let fd = ok!(t.open(".", open::RDONLY, 0));
        err!(t.read(fd, &mut [0]), EISDIR);
        err!(t.pread(fd, &mut [0], 0), EISDIR);
        err!(t.write(fd, b"x"), EBADF);
        t.shut(&[fd])
    })
}

fn lasting_flags(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"")?;
        for flags in [open::DSYNC, open::SYNC, open::NOATIME, open::SYNC | open::APPEND] {
            let fd = ok!(t.open("f", open::WRONLY | flags | open::CLOEXEC | open::NOCTTY | open::TRUNC, 0));
            eq!(ok!(t.fcntl(fd, F_GETFL, 0)) as u32 & !open::LARGEFILE, open::WRONLY | flags);
            // O_SYNC is not changed later.
            gives!(t.fcntl(fd, F_SETFL, 0), 0);
            eq!(ok!(t.fcntl(fd, F_GETFL, 0)) as u32 & !open::LARGEFILE, open::WRONLY | flags & open::SYNC);
            t.shut(&[fd])?;
        }
        let fd = ok!(t.open(".", open::DIRECTORY | open::NOFOLLOW, 0));
        let flags = ok!(t.fcntl(fd, F_GETFL, 0)) as u32 & !open::LARGEFILE;
        eq!(flags, open::DIRECTORY | open::NOFOLLOW);
        t.shut(&[fd])
    })
}

fn unknown_flags(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123")?;
        let fd = ok!(t.open("f", 1 << 30, 0));
        gives!(t.read(fd, &mut [0; 4]), 4);
        t.shut(&[fd])
    })
}

fn neither(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123")?;
        let fd = ok!(t.open("f", open::ACCMODE, 0));
        err!(t.read(fd, &mut [0]), EBADF);
        err!(t.write(fd, b"x"), EBADF);
        err!(t.ftruncate(fd, 0), EINVAL);
        gives!(t.lseek(fd, 1, seek::SET), 1);
        eq!(ok!(t.fcntl(fd, F_GETFL, 0)) as u32 & open::ACCMODE, open::ACCMODE);
        ok!(t.mknod("p", mode::FIFO | 0o644));
        err!(t.open("p", open::ACCMODE | open::NONBLOCK, 0), EINVAL);
        err!(t.open(".", open::ACCMODE, 0), EISDIR);
        unprivileged(t, |t| {
            // It takes the right to both.
            ok!(t.chmod("f", 0o400));
            err!(t.open("f", open::ACCMODE, 0), EACCES);
            Ok(())
        })?;
        t.shut(&[fd])
    })
}

fn path_refuses(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123")?;
        let fd = ok!(t.open("f", open::PATH, 0));
        let mut entry = [PollFd::new(fd, POLLIN)];
        gives!(t.poll(&mut entry, 0), 1);
        eq!(entry[0].revents, POLLNVAL);
        let epoll = ok!(t.epoll_create1(0));
        err!(t.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, Watch { events: EPOLLIN, data: 0 }), EBADF);
        err!(t.ioctl(fd, FIONREAD, &mut [0; 4]), EBADF);
        err!(t.ioctl(fd, FIONBIO, &mut [1, 0, 0, 0]), EBADF);
        err!(t.fcntl(fd, F_SETFL, O_NONBLOCK as i32), EBADF);
        err!(t.fcntl(fd, F_GETPIPE_SZ, 0), EBADF);
        err!(t.fsync(fd), EBADF);
        err!(t.readv(fd, &mut []), EBADF);
        // It is a descriptor all the same.
        gives!(t.fcntl(fd, F_GETFL, 0), open::PATH as i32);
        gives!(t.fcntl(fd, F_SETFD, FD_CLOEXEC as i32), 0);
        let copy = ok!(t.dup(fd));
        ok!(t.fstatvfs(copy));
        t.shut(&[fd, copy, epoll])
    })
}

fn rights(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"0123")?;
        ok!(t.mkdir("d", 0o755));
        unprivileged(t, |t| {
            let table = [
                (0o000, [false, false, false]),
                (0o400, [true, false, false]),
                (0o200, [false, true, false]),
                (0o600, [true, true, true]),
                // The class that fits decides: one's own.
                (0o077, [false, false, false]),
            ];
            for (mode, allowed) in table {
                ok!(t.chmod("f", mode));
                for (access, allowed) in [open::RDONLY, open::WRONLY, open::RDWR].into_iter().zip(allowed) {
                    match t.open("f", access, 0) {
                        Ok(fd) => t.shut(&[fd])?,
                        Err(e) => eq!(e, Errno::EACCES),
                    }
                    eq!(t.open("f", access, 0).map(|fd| t.close(fd)).is_ok(), allowed);
                }
                let truncates = t.open("f", open::RDONLY | open::TRUNC, 0).map(|fd| t.close(fd)).is_ok();
                eq!(truncates, allowed[2]);
                eq!(t.truncate("f", 4).is_ok(), allowed[1]);
            }
            // What it is comes before what one may.
            ok!(t.chmod("d", 0));
            err!(t.open("d", open::RDONLY | open::TRUNC, 0), EISDIR);
            err!(t.open("d", open::RDONLY, 0), EACCES);
            err!(t.open("d/x", open::RDWR | open::CREAT, 0o644), EACCES);
            ok!(t.chmod("d", 0o555));
            err!(t.open("d/x", open::RDWR | open::CREAT, 0o644), EACCES);
            err!(t.open("d/x", open::RDWR, 0), ENOENT);
            // Who makes a file may use it, whatever its mode.
            ok!(t.chmod("d", 0o755));
            let fd = ok!(t.open("d/x", open::RDWR | open::CREAT, 0));
            gives!(t.write(fd, b"x"), 1);
            err!(t.open("d/x", open::RDWR | open::CREAT, 0), EACCES);
            t.shut(&[fd])
        })
    })
}

fn synchronous(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = ok!(t.open("f", RW | open::SYNC, 0o644));
        gives!(t.write(fd, b"0123"), 4);
        gives!(t.pwrite(fd, b"x", 1), 1);
        gives!(get(t, "f"), b"0x23".to_vec());
        t.shut(&[fd])
    })
}

fn other_flags(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"")?;
        let direct = t.open("f", open::RDWR | open::DIRECT, 0);
        let unnamed = t.open(".", open::RDWR | open::TMPFILE | open::DIRECTORY, 0o600);
        for fd in [direct, unnamed].into_iter().flatten() {
            t.shut(&[fd])?;
        }
        let errnos = (Some(Errno::EINVAL), Some(Errno::EOPNOTSUPP));
        eq!((direct.err(), unnamed.err()), t.by_world((None, None), errnos));
        Ok(())
    })
}
