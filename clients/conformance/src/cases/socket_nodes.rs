//! Sockets as nodes of the file system: unix(7), pathname sockets.

use crate::{case::*, files::*, posix::*, test::*};

const DGRAM: &[On] = &[UNIX_DGRAM];

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("bind makes a node", "unix(7) pathname", UNIX, makes_node),
    Case::new("a node carries data", "unix(7) pathname", UNIX, carries),
    Case::new("paths that are taken", "bind(2) EADDRINUSE", UNIX, taken),
    Case::new("paths that cannot be bound", "bind(2) ENOENT ENOTDIR", UNIX, wrong_paths),
    Case::new("a socket has one path", "bind(2) EINVAL", UNIX, second_path),
    Case::new("nobody at a node", "connect(2) ECONNREFUSED", UNIX, nobody),
    Case::new("a bound socket that does not listen", "connect(2) ECONNREFUSED", UNIX_CONNECTED, not_listening),
    Case::new("no socket at a path", "connect(2) ECONNREFUSED ENOENT", UNIX, no_socket),
    Case::new("a node by a link", "unix(7) pathname", UNIX, by_links),
    Case::new("a node that is renamed", "rename(2)", UNIX, renamed),
    Case::new("a node that is removed", "unlink(2)", UNIX, removed),
    Case::new("a node that another has made", "unlink(2)", UNIX, remade),
    Case::new("a node of another type", "connect(2) EPROTOTYPE", UNIX, wrong_type),
    Case::new("the right to a node", "unix(7) permissions", UNIX, rights),
    Case::new("the right to make a node", "unix(7) permissions", UNIX, rights_to_make),
    Case::new("the mode of a socket becomes that of its node", "fchmod(2)", UNIX, mode_before),
    Case::new("a node is not opened", "open(2) ENXIO", UNIX, not_opened),
    Case::new("the name of who sends is its path", "recvfrom(2)", DGRAM, sender),
    Case::new("a path of another directory", "unix(7) pathname", UNIX, relative),
    Case::new("the calls of ELK's test program", "socketpair(2), mknod(2), open(2)", ONCE, elk),
];

fn at(path: &str) -> Address {
    raw_address(&[&AF_UNIX.to_ne_bytes()[..], path.as_bytes()].concat())
}

/// As the kernel gives it: with a zero behind it.
fn told_as(path: &str) -> Address {
    raw_address(&[&AF_UNIX.to_ne_bytes()[..], path.as_bytes(), &[0]].concat())
}

fn bound(t: &Test<'_>, path: &str) -> Result<Fd, Failure> {
    let fd = t.sock()?;
    ok!(t.bind(fd, &at(path)));
    Ok(fd)
}

/// One that can be connected to.
fn serving(t: &Test<'_>, path: &str) -> Result<Fd, Failure> {
    let fd = bound(t, path)?;
    if t.on.kind != SOCK_DGRAM {
        ok!(t.listen(fd, 5));
    }
    Ok(fd)
}

/// connect(2) of a new socket, which is closed again.
fn try_connect(t: &Test<'_>, path: &str) -> Result<(), Errno> {
    let fd = t.socket(AF_UNIX, u32::from(t.on.kind) | SOCK_NONBLOCK, 0)?;
    let result = t.connect(fd, &at(path));
    t.close(fd)?;
    result
}

/// bind(2) of a new socket, which is closed again.
fn try_bind(t: &Test<'_>, path: &str) -> Result<(), Errno> {
    let fd = t.socket(AF_UNIX, t.on.kind.into(), 0)?;
    let result = t.bind(fd, &at(path));
    t.close(fd)?;
    result
}

fn makes_node(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = bound(t, "s")?;
        gives!(t.getsockname(fd), told_as("s"));
        let node = ok!(t.stat("s"));
        eq!(node.mode, mode::SOCKET | 0o755);
        eq!((node.nlink, node.size), (1, 0));
        gives!(t.names("."), ["s"]);
        t.shut(&[fd])?;
        // It stays.
        eq!(ok!(t.stat("s")).mode, mode::SOCKET | 0o755);
        err!(try_connect(t, "s"), ECONNREFUSED);
        gives!(t.umask(0), 0o022);
        let fd = bound(t, "t")?;
        eq!(ok!(t.stat("t")).mode, mode::SOCKET | 0o777);
        t.shut(&[fd])
    })
}

fn carries(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let server = serving(t, "s")?;
        let a = t.sock()?;
        ok!(t.connect(a, &at("s")));
        let b = if t.on.kind == SOCK_DGRAM { server } else { t.take(server)? };
        gives!(t.send(a, b"by path", 0), 7);
        eq!(t.read_some(b, 99)?, b"by path");
        // Who is connected needs the node no more.
        ok!(t.chmod("s", 0));
        ok!(t.unlink("s"));
        gives!(t.send(a, b"on", 0), 2);
        eq!(t.read_some(b, 99)?, b"on");
        t.shut(&[a, server])?;
        if b == server { Ok(()) } else { t.shut(&[b]) }
    })
}

fn taken(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = bound(t, "s")?;
        put(t, "f", b"content")?;
        ok!(t.mkdir("d", 0o755));
        ok!(t.mknod("m", mode::SOCKET | 0o777));
        ok!(t.symlink("nowhere", "dangling"));
        ok!(t.symlink("d", "l"));
        for path in ["s", "f", "d", "m", "dangling", "l"] {
            err!(try_bind(t, path), EADDRINUSE);
        }
        err!(t.stat("nowhere"), ENOENT);
        gives!(get(t, "f"), b"content".to_vec());
        t.shut(&[fd])?;
        err!(try_bind(t, "s"), EADDRINUSE);
        Ok(())
    })
}

fn wrong_paths(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"")?;
        err!(try_bind(t, "none/x"), ENOENT);
        err!(try_bind(t, "f/x"), ENOTDIR);
        err!(try_bind(t, "x/"), ENOENT);
        gives!(t.names("."), ["f"]);
        Ok(())
    })
}

fn second_path(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = bound(t, "s")?;
        err!(t.bind(fd, &at("t")), EINVAL);
        gives!(t.names("."), ["s"]);
        gives!(t.getsockname(fd), told_as("s"));
        t.shut(&[fd])
    })
}

fn nobody(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mknod("m", mode::SOCKET | 0o777));
        eq!(ok!(t.stat("m")).mode, mode::SOCKET | 0o755);
        err!(try_connect(t, "m"), ECONNREFUSED);
        let fd = serving(t, "s")?;
        ok!(try_connect(t, "s"));
        t.shut(&[fd])?;
        err!(try_connect(t, "s"), ECONNREFUSED);
        Ok(())
    })
}

fn not_listening(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = bound(t, "s")?;
        err!(try_connect(t, "s"), ECONNREFUSED);
        ok!(t.listen(fd, 1));
        ok!(try_connect(t, "s"));
        t.shut(&[fd])
    })
}

fn no_socket(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"")?;
        ok!(t.mknod("p", mode::FIFO | 0o644));
        ok!(t.symlink("nowhere", "dangling"));
        for path in ["f", "p", "."] {
            err!(try_connect(t, path), ECONNREFUSED);
        }
        for path in ["none", "none/s", "dangling"] {
            err!(try_connect(t, path), ENOENT);
        }
        err!(try_connect(t, "f/s"), ENOTDIR);
        Ok(())
    })
}

fn by_links(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let server = serving(t, "s")?;
        ok!(t.symlink("s", "l"));
        ok!(t.link("s", "h"));
        for path in ["l", "h"] {
            let fd = t.sock()?;
            ok!(t.connect(fd, &at(path)));
            // It is the name that was bound.
            gives!(t.getpeername(fd), told_as("s"));
            t.shut(&[fd])?;
        }
        // One name less, and it is still there.
        ok!(t.unlink("s"));
        ok!(try_connect(t, "h"));
        err!(try_connect(t, "l"), ENOENT);
        t.shut(&[server])
    })
}

fn renamed(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let server = serving(t, "s")?;
        ok!(t.mkdir("d", 0o755));
        ok!(t.rename("s", "d/t"));
        err!(try_connect(t, "s"), ENOENT);
        ok!(try_connect(t, "d/t"));
        gives!(t.getsockname(server), told_as("s"));
        // Over another it takes its place.
        let other = serving(t, "s")?;
        ok!(t.rename("d/t", "s"));
        t.shut(&[other])?;
        ok!(try_connect(t, "s"));
        t.shut(&[server])
    })
}

fn removed(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let server = serving(t, "s")?;
        let early = t.sock()?;
        ok!(t.connect(early, &at("s")));
        ok!(t.unlink("s"));
        err!(try_connect(t, "s"), ENOENT);
        gives!(t.getsockname(server), told_as("s"));
        gives!(t.getpeername(early), told_as("s"));
        gives!(t.send(early, b"x", 0), 1);
        if t.on.kind == SOCK_DGRAM {
            eq!(t.read_some(server, 9)?, b"x");
        } else {
            let late = t.take(server)?;
            eq!(t.read_some(late, 9)?, b"x");
            t.shut(&[late])?;
        }
        t.shut(&[early, server])
    })
}

fn remade(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let old = serving(t, "s")?;
        ok!(t.unlink("s"));
        let new = bound(t, "s")?;
        if t.on.kind == SOCK_DGRAM {
            let fd = t.sock()?;
            gives!(t.sendto(fd, b"x", 0, &at("s")), 1);
            eq!(t.read_some(new, 9)?, b"x");
            eq!(t.ready(old, POLLIN)?, 0);
            t.shut(&[fd])?;
        } else {
            // That there is a listener without a name does not matter.
            err!(try_connect(t, "s"), ECONNREFUSED);
            ok!(t.listen(new, 1));
            ok!(try_connect(t, "s"));
            eq!(t.ready(old, POLLIN)?, 0);
        }
        t.shut(&[old, new])
    })
}

fn wrong_type(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let server = serving(t, "s")?;
        for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
            if kind == t.on.kind {
                continue;
            }
            let fd = ok!(t.socket(AF_UNIX, u32::from(kind) | SOCK_NONBLOCK, 0));
            err!(t.connect(fd, &at("s")), EPROTOTYPE);
            if kind == SOCK_DGRAM {
                err!(t.sendto(fd, b"x", 0, &at("s")), EPROTOTYPE);
            }
            t.shut(&[fd])?;
        }
        t.shut(&[server])
    })
}

fn rights(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("d", 0o755));
        let server = serving(t, "d/s")?;
        let sender = ok!(t.socket(AF_UNIX, u32::from(SOCK_DGRAM) | SOCK_NONBLOCK, 0));
        unprivileged(t, |t| {
            // It is the right to write that counts.
            for mode in [0o000, 0o400, 0o577] {
                ok!(t.chmod("d/s", mode));
                err!(try_connect(t, "d/s"), EACCES);
                err!(t.sendto(sender, b"x", 0, &at("d/s")), EACCES);
            }
            ok!(t.chmod("d/s", 0o200));
            ok!(try_connect(t, "d/s"));
            // And the way there.
            ok!(t.chmod("d", 0o600));
            err!(try_connect(t, "d/s"), EACCES);
            ok!(t.chmod("d", 0o100));
            ok!(try_connect(t, "d/s"));
            ok!(t.chmod("d", 0o755));
            // Of what is no socket, the same.
            put(t, "f", b"")?;
            ok!(t.chmod("f", 0o444));
            err!(try_connect(t, "f"), EACCES);
            Ok(())
        })?;
        t.shut(&[server, sender])
    })
}

fn rights_to_make(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("d", 0o755));
        unprivileged(t, |t| {
            for mode in [0o555, 0o600] {
                ok!(t.chmod("d", mode));
                err!(try_bind(t, "d/s"), EACCES);
            }
            ok!(t.chmod("d", 0o300));
            ok!(try_bind(t, "d/s"));
            ok!(t.chmod("d", 0o755));
            Ok(())
        })?;
        eq!(ok!(t.stat("d/s")).mode, mode::SOCKET | 0o755);
        Ok(())
    })
}

fn mode_before(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = t.sock()?;
        eq!(ok!(t.fstat(fd)).mode, mode::SOCKET | 0o777);
        ok!(t.fchmod(fd, 0o722));
        eq!(ok!(t.fstat(fd)).mode, mode::SOCKET | 0o722);
        ok!(t.bind(fd, &at("s")));
        eq!(ok!(t.stat("s")).mode, mode::SOCKET | 0o700);
        // From then on they have nothing to do with each other.
        ok!(t.fchmod(fd, 0o777));
        eq!(ok!(t.stat("s")).mode, mode::SOCKET | 0o700);
        ok!(t.chmod("s", 0o666));
        eq!(ok!(t.fstat(fd)).mode, mode::SOCKET | 0o777);
        t.shut(&[fd])
    })
}

fn not_opened(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let fd = bound(t, "s")?;
        for flags in [open::RDONLY, open::WRONLY, open::RDWR | open::NONBLOCK, open::RDWR | open::TRUNC] {
            err!(t.open("s", flags, 0), ENXIO);
        }
        err!(t.open("s", open::CREAT | open::EXCL, 0), EEXIST);
        err!(t.truncate("s", 0), EINVAL);
        let path = ok!(t.open("s", open::PATH, 0));
        eq!(ok!(t.fstat(path)).mode, mode::SOCKET | 0o755);
        err!(t.read(path, &mut [0]), EBADF);
        t.shut(&[path, fd])
    })
}

fn sender(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (a, b) = (bound(t, "a")?, bound(t, "b")?);
        gives!(t.sendto(a, b"x", 0, &at("b")), 1);
        t.wait(b, POLLIN)?;
        let mut got = [0; 9];
        let (n, from) = ok!(t.recvfrom(b, &mut got, 0));
        eq!((n, from), (1, told_as("a")));
        gives!(t.sendto(b, b"back", 0, &from), 4);
        eq!(t.read_some(a, 9)?, b"back");
        t.shut(&[a, b])
    })
}

fn relative(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("d", 0o755));
        let here = ok!(t.cwd());
        ok!(t.chdir("d"));
        let server = serving(t, "s")?;
        ok!(try_connect(t, "../d/s"));
        ok!(t.chdir(".."));
        err!(try_connect(t, "s"), ENOENT);
        ok!(try_connect(t, "d/s"));
        ok!(try_connect(t, &alloc::format!("{here}/d/./s")));
        gives!(t.getsockname(server), told_as("s"));
        t.shut(&[server])
    })
}

fn elk(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (a, b) = ok!(t.socketpair(AF_UNIX, SOCK_STREAM.into(), 0));
        let mut got = [0; 16];
        gives!(t.write(a, b"ping"), 4);
        t.wait(b, POLLIN)?;
        gives!(t.read(b, &mut got), 4);
        eq!(got[..4], *b"ping");
        for (path, format) in [("r", mode::REGULAR), ("zero", 0), ("p", mode::FIFO)] {
            ok!(t.mknod(path, format | 0o644));
            let fd = ok!(t.open(path, open::RDONLY | open::NONBLOCK, 0));
            gives!(t.read(fd, &mut got), 0);
            let format = if format == 0 { mode::REGULAR } else { format };
            eq!(ok!(t.fstat(fd)).mode, format | 0o644);
            t.shut(&[fd])?;
        }
        ok!(t.mknod("s", mode::SOCKET | 0o644));
        err!(t.open("s", open::RDONLY | open::NONBLOCK, 0), ENXIO);
        err!(t.read(-1, &mut got), EBADF);
        eq!(ok!(t.stat("s")).mode, mode::SOCKET | 0o644);
        err!(t.mknod("s", mode::REGULAR | 0o644), EEXIST);
        t.shut(&[a, b])
    })
}
