//! What makes, links, renames, removes and lists names.

use alloc::{format, string::String, vec::Vec};

use crate::{case::*, files::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("a name that is there", "mkdir(2) EEXIST", FILES, there),
    Case::new("mkdir takes no set-id bits", "mkdir(2)", ONCE, mkdir_mode),
    Case::new("directories count their subdirectories", "stat(3type)", ONCE, links_of_directories),
    Case::new("mknod makes files, FIFOs and sockets", "mknod(2)", ONCE, mknod),
    Case::new("mknod of other kinds", "mknod(2) EPERM, EINVAL", FILES, mknod_wrong),
    Case::new("opening a socket node", "open(2) ENXIO", ONCE, open_socket),
    Case::new("a second name", "link(2)", ONCE, link),
    Case::new("no second name for a directory", "link(2) EPERM", FILES, link_directory),
    Case::new("linking a link", "linkat(2) AT_SYMLINK_FOLLOW", ONCE, link_link),
    Case::new("no link between file systems", "link(2) EXDEV", FILES, link_across),
    Case::new("unlink of a directory", "unlink(2) EISDIR", FILES, unlink_directory),
    Case::new("rmdir of what is no directory", "rmdir(2) ENOTDIR", ONCE, rmdir_file),
    Case::new("rmdir of what is not empty", "rmdir(2) ENOTEMPTY", FILES, rmdir_full),
    Case::new("rmdir of dots and the root", "rmdir(2) EINVAL, ENOTEMPTY, EBUSY", FILES, rmdir_dots),
    Case::new("rename moves a file", "rename(2)", ONCE, rename),
    Case::new("rename replaces a file", "rename(2)", FILES, rename_over),
    Case::new("rename to itself", "rename(2)", ONCE, rename_same),
    Case::new("rename moves a directory", "rename(2)", ONCE, rename_directory),
    Case::new("rename replaces an empty directory", "rename(2) ENOTEMPTY", FILES, rename_over_directory),
    Case::new("rename of a file over a directory", "rename(2) EISDIR, ENOTDIR", FILES, rename_kinds),
    Case::new("rename into itself", "rename(2) EINVAL", FILES, rename_cycle),
    Case::new("rename of dots", "rename(2) EBUSY", FILES, rename_dots),
    Case::new("rename over what it is in", "rename(2) ENOTEMPTY", FILES, rename_over_parent),
    Case::new("rename with slashes", "rename(2) ENOTDIR", FILES, rename_slashes),
    Case::new("rename that must not replace", "renameat2(2) RENAME_NOREPLACE", FILES, rename_keep),
    Case::new("rename of a link is of the link", "rename(2)", ONCE, rename_link),
    Case::new("rename between file systems", "rename(2) EXDEV", FILES, rename_across),
    Case::new("rename of an open file", "rename(2)", FILES, rename_open),
    Case::new("a directory has dots and its names", "readdir(3)", FILES, listing),
    Case::new("kinds of entries", "readdir(3)", ONCE, kinds),
    Case::new("a long directory in pieces", "getdents(2)", FILES, long_listing),
    Case::new("reading goes on while names go away", "readdir(3)", FILES, changing),
    Case::new("reading again from the start", "rewinddir(3)", FILES, rewind),
    Case::new("listing what is no directory", "getdents(2) ENOTDIR", FILES, list_wrong),
    Case::new("a socket node can be removed and renamed", "unix(7)", ONCE, socket_names),
    Case::new("a deep tree", "mkdir(2)", FILES, deep),
    Case::new("many files", "open(2)", FILES, many),
    Case::new("rename to another name of the same file", "rename(2)", ONCE, rename_linked),
    Case::new("truncating a FIFO by its name", "truncate(2) EINVAL", ONCE, truncate_fifo),
    Case::new("directories that give their group", "inode(7) S_ISGID", ONCE, set_gid),
    Case::new("the right to change names", "unlink(2), rename(2) EACCES", ONCE, rights),
    Case::new("what belongs to another", "chmod(2) EPERM", FILES, foreign),
    Case::new("exchanging names", "renameat2(2) RENAME_EXCHANGE", ONCE, exchange)
        .differs("Of the flags of renameat2 there is RENAME_NOREPLACE; others give EINVAL."),
    Case::new("what a FAT file system lacks", "link(2), symlink(2), mknod(2), chmod(2) EPERM", &[DISK], lacking)
        .differs(
            "A disk has FAT, as vfat has it on Linux: no links, FIFOs, sockets nor permissions (EPERM), no names that \
         differ in case alone.",
        ),
];

fn there(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"x")?;
        ok!(t.mkdir("d", 0o755));
        for path in ["f", "d", "d/", ".", "..", "/"] {
            err!(t.mkdir(path, 0o755), EEXIST);
            err!(t.mknod(path, 0o600), EEXIST);
            err!(t.symlink("x", path), EEXIST);
            err!(t.link("f", path), EEXIST);
        }
        Ok(())
    })
}

fn mkdir_mode(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.umask(0));
        ok!(t.mkdir("d", 0o7777));
        eq!(ok!(t.stat("d")).mode, mode::DIRECTORY | 0o1777);
        Ok(())
    })
}

fn links_of_directories(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("d", 0o755));
        eq!(ok!(t.stat("d")).nlink, 2);
        ok!(t.mkdir("d/e", 0o755));
        put(t, "d/f", b"x")?;
        eq!(ok!(t.stat("d")).nlink, 3);
        ok!(t.rename("d/e", "e"));
        eq!(ok!(t.stat("d")).nlink, 2);
        eq!(ok!(t.stat(".")).nlink, 4);
        Ok(())
    })
}

fn mknod(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        for (name, format) in [("r", mode::REGULAR), ("p", mode::FIFO), ("s", mode::SOCKET), ("0", 0)] {
            ok!(t.mknod(name, format | 0o666));
            let stat = ok!(t.lstat(name));
            let format = if format == 0 { mode::REGULAR } else { format };
            eq!((stat.mode, stat.size, stat.nlink), (format | 0o644, 0, 1));
        }
        Ok(())
    })
}

fn mknod_wrong(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        err!(t.mknod("d", mode::DIRECTORY | 0o755), EPERM);
        err!(t.mknod("l", mode::SYMLINK | 0o777), EINVAL);
        err!(t.mknod("x", 0o030_000), EINVAL);
        err!(t.mknod("none/x", mode::FIFO), ENOENT);
        eq!(ok!(t.names(".")), [""; 0]);
        Ok(())
    })
}

fn open_socket(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mknod("s", mode::SOCKET | 0o777));
        err!(t.open("s", open::RDONLY, 0), ENXIO);
        err!(t.open("s", open::RDWR | open::NONBLOCK, 0), ENXIO);
        err!(t.open("s", open::WRONLY | open::CREAT, 0o600), ENXIO);
        err!(t.open("s", open::RDWR | open::CREAT | open::EXCL, 0o600), EEXIST);
        err!(t.open("s", open::DIRECTORY, 0), ENOTDIR);
        err!(t.truncate("s", 0), EINVAL);
        let fd = ok!(t.open("s", open::PATH, 0));
        eq!(ok!(t.fstat(fd)).mode, mode::SOCKET | 0o755);
        t.shut(&[fd])
    })
}

fn link(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"abc")?;
        ok!(t.mkdir("d", 0o755));
        ok!(t.link("f", "d/g"));
        let (f, g) = (ok!(t.stat("f")), ok!(t.stat("d/g")));
        eq!((f.ino, f.nlink), (g.ino, 2));
        put(t, "d/g", b"longer")?;
        gives!(get(t, "f"), b"longer".to_vec());
        ok!(t.unlink("f"));
        eq!(ok!(t.stat("d/g")).nlink, 1);
        err!(t.link("f", "x"), ENOENT);
        Ok(())
    })
}

fn link_directory(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("d", 0o755));
        err!(t.link("d", "e"), EPERM);
        Ok(())
    })
}

fn link_link(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"abc")?;
        ok!(t.symlink("f", "l"));
        ok!(t.link("l", "m"));
        eq!(ok!(t.lstat("m")).ino, ok!(t.lstat("l")).ino);
        ok!(t.linkat(AT_FDCWD, "l", AT_FDCWD, "g", AT_SYMLINK_FOLLOW));
        eq!(ok!(t.lstat("g")).ino, ok!(t.lstat("f")).ino);
        Ok(())
    })
}

/// A file of another file system.
fn elsewhere(t: &Test<'_>) -> &'static str {
    if t.is_strait() { "/index.html" } else { "/proc/version" }
}

fn link_across(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        err!(t.link(elsewhere(t), "f"), EXDEV);
        Ok(())
    })
}

fn unlink_directory(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("d", 0o755));
        err!(t.unlink("d"), EISDIR);
        err!(t.unlink("."), EISDIR);
        err!(t.unlink("none"), ENOENT);
        Ok(())
    })
}

fn rmdir_file(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"x")?;
        ok!(t.mkdir("d", 0o755));
        ok!(t.symlink("d", "l"));
        err!(t.rmdir("f"), ENOTDIR);
        err!(t.rmdir("l"), ENOTDIR);
        err!(t.rmdir("l/"), ENOTDIR);
        err!(t.rmdir("none"), ENOENT);
        Ok(())
    })
}

fn rmdir_full(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("d", 0o755));
        put(t, "d/f", b"x")?;
        err!(t.rmdir("d"), ENOTEMPTY);
        ok!(t.unlink("d/f"));
        ok!(t.rmdir("d"));
        err!(t.stat("d"), ENOENT);
        Ok(())
    })
}

fn rmdir_dots(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("d", 0o755));
        err!(t.rmdir("d/."), EINVAL);
        err!(t.rmdir("d/.."), ENOTEMPTY);
        err!(t.rmdir("/"), EBUSY);
        Ok(())
    })
}

fn rename(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"abc")?;
        ok!(t.mkdir("d", 0o755));
        let ino = ok!(t.stat("f")).ino;
        ok!(t.rename("f", "d/g"));
        err!(t.stat("f"), ENOENT);
        eq!(ok!(t.stat("d/g")).ino, ino);
        err!(t.rename("f", "h"), ENOENT);
        err!(t.rename("d/g", "none/h"), ENOENT);
        Ok(())
    })
}

fn rename_over(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"new")?;
        put(t, "g", b"older")?;
        let old = ok!(t.open("g", open::RDONLY, 0));
        ok!(t.rename("f", "g"));
        gives!(get(t, "g"), b"new".to_vec());
        eq!(ok!(t.names(".")), ["g"]);
        eq!((ok!(t.fstat(old)).nlink, ok!(t.fstat(old)).size), (0, 5));
        t.shut(&[old])
    })
}

fn rename_same(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"abc")?;
        ok!(t.link("f", "g"));
        ok!(t.rename("f", "f"));
        // Two names of one file both stay.
        ok!(t.rename("f", "g"));
        eq!(ok!(t.names(".")), ["f", "g"]);
        ok!(t.mkdir("d", 0o755));
        ok!(t.rename("d", "d"));
        Ok(())
    })
}

fn rename_directory(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("a", 0o755));
        ok!(t.mkdir("a/b", 0o755));
        put(t, "a/b/f", b"abc")?;
        ok!(t.mkdir("c", 0o755));
        ok!(t.rename("a/b", "c/d"));
        gives!(get(t, "c/d/f"), b"abc".to_vec());
        eq!(ok!(t.stat("c/d/..")).ino, ok!(t.stat("c")).ino);
        eq!((ok!(t.stat("a")).nlink, ok!(t.stat("c")).nlink), (2, 3));
        ok!(t.rename("c/", "e/"));
        gives!(get(t, "e/d/f"), b"abc".to_vec());
        Ok(())
    })
}

fn rename_over_directory(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("a", 0o755));
        ok!(t.mkdir("b", 0o755));
        put(t, "a/f", b"x")?;
        ok!(t.rename("a", "b"));
        ok!(t.stat("b/f"));
        ok!(t.mkdir("a", 0o755));
        err!(t.rename("a", "b"), ENOTEMPTY);
        Ok(())
    })
}

fn rename_kinds(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"x")?;
        ok!(t.mkdir("d", 0o755));
        err!(t.rename("f", "d"), EISDIR);
        err!(t.rename("d", "f"), ENOTDIR);
        err!(t.rename("f", "f/g"), ENOTDIR);
        Ok(())
    })
}

fn rename_cycle(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("d", 0o755));
        ok!(t.mkdir("d/e", 0o755));
        err!(t.rename("d", "d/x"), EINVAL);
        err!(t.rename("d", "d/e/x"), EINVAL);
        ok!(t.stat("d/e"));
        Ok(())
    })
}

fn rename_dots(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("d", 0o755));
        err!(t.rename("d/.", "e"), EBUSY);
        err!(t.rename("d/..", "e"), EBUSY);
        err!(t.rename("d", "."), EBUSY);
        Ok(())
    })
}

fn rename_over_parent(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("d", 0o755));
        ok!(t.mkdir("d/e", 0o755));
        put(t, "d/e/f", b"x")?;
        err!(t.rename("d/e", "d"), ENOTEMPTY);
        err!(t.rename("d/e/f", "d"), ENOTEMPTY);
        Ok(())
    })
}

fn rename_slashes(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"x")?;
        err!(t.rename("f/", "g"), ENOTDIR);
        err!(t.rename("f", "g/"), ENOTDIR);
        Ok(())
    })
}

fn rename_keep(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"x")?;
        put(t, "g", b"y")?;
        err!(t.renameat2(AT_FDCWD, "f", AT_FDCWD, "g", RENAME_NOREPLACE), EEXIST);
        err!(t.renameat2(AT_FDCWD, "f", AT_FDCWD, "f", RENAME_NOREPLACE), EEXIST);
        ok!(t.renameat2(AT_FDCWD, "f", AT_FDCWD, "h", RENAME_NOREPLACE));
        Ok(())
    })
}

fn rename_link(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"x")?;
        ok!(t.symlink("f", "l"));
        ok!(t.symlink("f", "m"));
        ok!(t.rename("l", "k"));
        gives!(t.readlink("k"), "f");
        ok!(t.rename("f", "k"));
        eq!(ok!(t.lstat("k")).mode & mode::FORMAT, mode::REGULAR);
        Ok(())
    })
}

fn rename_across(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        err!(t.rename(elsewhere(t), "f"), EXDEV);
        Ok(())
    })
}

fn rename_open(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"abc")?;
        let fd = ok!(t.open("f", open::RDWR, 0));
        ok!(t.rename("f", "g"));
        gives!(t.pwrite(fd, b"X", 1), 1);
        gives!(get(t, "g"), b"aXc".to_vec());
        t.shut(&[fd])
    })
}

fn listing(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        for name in ["b", "a", "c"] {
            put(t, name, b"x")?;
        }
        let fd = ok!(t.open(".", open::DIRECTORY, 0));
        let mut names: Vec<String> = ok!(t.list(fd)).into_iter().map(|(name, _)| name).collect();
        names.sort();
        eq!(names, [".", "..", "a", "b", "c"]);
        eq!(ok!(t.list(fd)).len(), 0);
        t.shut(&[fd])
    })
}

fn kinds(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"x")?;
        ok!(t.mkdir("d", 0o755));
        ok!(t.symlink("d", "l"));
        ok!(t.mknod("p", mode::FIFO | 0o600));
        ok!(t.mknod("s", mode::SOCKET | 0o600));
        let fd = ok!(t.open(".", open::DIRECTORY, 0));
        let mut entries = ok!(t.list(fd));
        entries.sort();
        let kinds: Vec<u8> = entries.iter().map(|(_, kind)| *kind).collect();
        let (d, r, l) = (kind::DIRECTORY, kind::REGULAR, kind::SYMLINK);
        eq!(kinds, [d, d, d, r, l, kind::FIFO, kind::SOCKET]);
        t.shut(&[fd])
    })
}

fn long_listing(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        for i in 0..300 {
            ok!(t.mknod(&format!("a name that is long enough to fill the buffer {i}"), 0o600));
        }
        eq!(ok!(t.names(".")).len(), 300);
        Ok(())
    })
}

fn changing(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        for i in 0..100 {
            ok!(t.mknod(&format!("{i}"), 0o600));
        }
        let fd = ok!(t.open(".", open::DIRECTORY, 0));
        for i in 0..50 {
            ok!(t.unlink(&format!("{i}")));
        }
        let names: Vec<String> = ok!(t.list(fd)).into_iter().map(|(name, _)| name).collect();
        for i in 50..100 {
            eq!(names.iter().filter(|n| **n == format!("{i}")).count(), 1);
        }
        t.shut(&[fd])
    })
}

fn rewind(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"x")?;
        let fd = ok!(t.open(".", open::DIRECTORY, 0));
        eq!(ok!(t.list(fd)).len(), 3);
        put(t, "g", b"x")?;
        gives!(t.lseek(fd, 0, seek::SET), 0);
        eq!(ok!(t.list(fd)).len(), 4);
        t.shut(&[fd])
    })
}

fn list_wrong(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"x")?;
        let fd = ok!(t.open("f", 0, 0));
        err!(t.list(fd), ENOTDIR);
        ok!(t.close(fd));
        err!(t.list(fd), EBADF);
        Ok(())
    })
}

fn socket_names(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mknod("s", mode::SOCKET | 0o600));
        ok!(t.link("s", "second"));
        ok!(t.rename("s", "moved"));
        eq!(ok!(t.stat("second")).nlink, 2);
        ok!(t.chmod("moved", 0o666));
        ok!(t.unlink("moved"));
        ok!(t.unlink("second"));
        eq!(ok!(t.names(".")), [""; 0]);
        Ok(())
    })
}

fn deep(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let mut path = String::from("d");
        for _ in 0..60 {
            ok!(t.mkdir(&path, 0o755));
            path.push_str("/d");
        }
        put(t, &path, b"deep")?;
        gives!(get(t, &path), b"deep".to_vec());
        ok!(t.rename("d/d", "e"));
        eq!(ok!(t.stat("d")).nlink, 2);
        Ok(())
    })
}

fn many(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let mut fds = Vec::new();
        for i in 0..200 {
            fds.push(ok!(t.open(&format!("{i}"), open::RDWR | open::CREAT, 0o600)));
        }
        for (i, fd) in fds.iter().enumerate() {
            gives!(t.write(*fd, format!("{i}").as_bytes()), format!("{i}").len());
        }
        t.shut(&fds)?;
        gives!(get(t, "177"), b"177".to_vec());
        Ok(())
    })
}

fn rename_linked(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"x")?;
        ok!(t.link("f", "g"));
        ok!(t.rename("f", "g"));
        gives!(t.names("."), ["f", "g"]);
        err!(t.renameat2(AT_FDCWD, "f", AT_FDCWD, "g", RENAME_NOREPLACE), EEXIST);
        unprivileged(t, |t| {
            // Nothing is changed, so nobody need be allowed to.
            ok!(t.chmod(".", 0o555));
            ok!(t.rename("f", "f"));
            ok!(t.rename("f", "g"));
            err!(t.rename("f", "h"), EACCES);
            ok!(t.chmod(".", 0o755));
            Ok(())
        })
    })
}

fn truncate_fifo(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mknod("p", mode::FIFO | 0o600));
        let fd = ok!(t.open("p", open::RDONLY | open::NONBLOCK, 0));
        err!(t.truncate("p", 0), EINVAL);
        // Nobody has been there.
        eq!(t.ready(fd, POLLIN)?, 0);
        ok!(t.mkdir("d", 0o755));
        err!(t.truncate("d", 0), EISDIR);
        err!(t.truncate("none", 0), ENOENT);
        err!(t.truncate("p", u64::MAX), EINVAL);
        unprivileged(t, |t| {
            ok!(t.chmod("p", 0));
            err!(t.truncate("p", 0), EINVAL);
            Ok(())
        })?;
        t.shut(&[fd])
    })
}

fn set_gid(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("d", 0o755));
        ok!(t.chmod("d", 0o2775));
        put(t, "d/f", b"")?;
        ok!(t.mkdir("d/e", 0o755));
        ok!(t.mkdir("d/e/g", 0o700));
        eq!(ok!(t.stat("d/f")).mode, mode::REGULAR | 0o644);
        eq!(ok!(t.stat("d/e")).mode, mode::DIRECTORY | 0o2755);
        eq!(ok!(t.stat("d/e/g")).mode, mode::DIRECTORY | 0o2700);
        let group = ok!(t.stat("d")).gid;
        for path in ["d/f", "d/e", "d/e/g"] {
            eq!(ok!(t.stat(path)).gid, group);
        }
        Ok(())
    })
}

fn rights(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("d", 0o755));
        ok!(t.mkdir("d/e", 0o755));
        put(t, "d/f", b"x")?;
        put(t, "f", b"y")?;
        unprivileged(t, |t| {
            // To change names takes the right to write and to search.
            for mode in [0o555, 0o666, 0o000] {
                ok!(t.chmod("d", mode));
                err!(t.unlink("d/f"), EACCES);
                err!(t.rmdir("d/e"), EACCES);
                err!(t.rename("d/f", "g"), EACCES);
                err!(t.rename("f", "d/f"), EACCES);
                err!(t.rename("f", "d/new"), EACCES);
                err!(t.mkdir("d/new", 0o755), EACCES);
                err!(t.mknod("d/new", 0o600), EACCES);
                err!(t.symlink("x", "d/new"), EACCES);
                err!(t.link("f", "d/new"), EACCES);
            }
            // To search it, only that.
            ok!(t.chmod("d", 0o666));
            err!(t.stat("d/f"), EACCES);
            err!(t.chdir("d"), EACCES);
            err!(t.chmod("d/f", 0o600), EACCES);
            err!(t.open("d/f", open::RDONLY, 0), EACCES);
            ok!(t.chmod("d", 0o111));
            ok!(t.stat("d/f"));
            ok!(t.chdir("d"));
            ok!(t.chdir(".."));
            err!(t.open("d", open::RDONLY, 0), EACCES);
            // To read it, only that.
            ok!(t.chmod("d", 0o444));
            gives!(t.names("d"), ["e", "f"]);
            // A directory that moves is changed itself.
            ok!(t.chmod("d", 0o755));
            ok!(t.chmod("d/e", 0o555));
            err!(t.rename("d/e", "e"), EACCES);
            ok!(t.rename("d/e", "d/e2"));
            // What stays of a file needs no right to it.
            ok!(t.chmod("d/f", 0));
            ok!(t.rename("d/f", "d/g"));
            ok!(t.unlink("d/g"));
            Ok(())
        })
    })
}

fn foreign(t: &Test<'_>) -> Outcome {
    let path = t.foreign();
    let before = ok!(t.stat(&path)).mode;
    unprivileged(t, |t| {
        err!(t.chmod(&path, 0o777), EPERM);
        err!(t.chmod(&path, before & mode::PERMISSIONS), EPERM);
        err!(t.open(&path, open::RDONLY | open::NOATIME, 0), EPERM);
        Ok(())
    })?;
    eq!(ok!(t.stat(&path)).mode, before);
    Ok(())
}

/// RENAME_EXCHANGE.
const EXCHANGE: u32 = 2;

fn exchange(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"x")?;
        put(t, "g", b"y")?;
        let result = t.renameat2(AT_FDCWD, "f", AT_FDCWD, "g", EXCHANGE);
        eq!(result, t.by_world(Ok(()), Err(Errno::EINVAL)));
        Ok(())
    })
}

fn lacking(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"")?;
        let socket = ok!(t.socket(AF_UNIX, SOCK_STREAM.into(), 0));
        let name = raw_address(&[&AF_UNIX.to_ne_bytes()[..], b"bound"].concat());
        let results = [
            t.link("f", "g"),
            t.symlink("f", "l"),
            t.mknod("p", mode::FIFO | 0o644),
            t.mknod("s", mode::SOCKET | 0o644),
            t.bind(socket, &name),
            t.chmod("f", 0o600),
        ];
        t.shut(&[socket])?;
        for result in results {
            eq!(result, t.by_world(Ok(()), Err(Errno::EPERM)));
        }
        eq!(t.stat("F").is_ok(), t.by_world(false, true));
        Ok(())
    })
}
