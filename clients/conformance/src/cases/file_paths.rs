//! How paths are resolved: path_resolution(7), symlink(7), the *at calls.

use alloc::{format, string::String};

use crate::{case::*, files::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("an empty path", "path_resolution(7) ENOENT", FILES, empty),
    Case::new("slashes in a row", "path_resolution(7)", FILES, slashes),
    Case::new("a file on the way", "path_resolution(7) ENOTDIR", FILES, through_file),
    Case::new("dot and dot-dot", "path_resolution(7)", FILES, dots),
    Case::new("a slash behind a file", "path_resolution(7) ENOTDIR", ONCE, slash_behind),
    Case::new("a name of 255 bytes, and of 256", "path_resolution(7) ENAMETOOLONG", FILES, long_name),
    Case::new("a path of 4095 bytes, and of 4096", "path_resolution(7) ENAMETOOLONG", FILES, long_path),
    Case::new("the root is its own parent", "path_resolution(7)", FILES, above_root),
    Case::new("links are followed on the way", "symlink(7)", ONCE, link_on_the_way),
    Case::new("a link at the end", "lstat(2)", ONCE, link_at_the_end),
    Case::new("links with absolute targets", "symlink(7)", ONCE, absolute_link),
    Case::new("links in a circle", "path_resolution(7) ELOOP", ONCE, circle),
    Case::new("40 links and 41", "path_resolution(7) ELOOP", ONCE, many_links),
    Case::new("a link to nothing", "symlink(7)", ONCE, dangling),
    Case::new("a file is made through a link", "open(2)", ONCE, made_through_link),
    Case::new("readlink cuts off", "readlink(2)", ONCE, readlink),
    Case::new("readlink of what is no link", "readlink(2) EINVAL", FILES, readlink_wrong),
    Case::new("a long target", "symlink(2)", ONCE, long_target),
    Case::new("the working directory", "chdir(2), getcwd(3)", ONCE, cwd),
    Case::new("it moves with its directory", "getcwd(3)", FILES, cwd_moves),
    Case::new("it was removed", "getcwd(3) ENOENT", FILES, cwd_removed),
    Case::new("chdir to what is no directory", "chdir(2) ENOTDIR", FILES, chdir_wrong),
    Case::new("fchdir", "fchdir(2)", FILES, fchdir),
    Case::new("a path from a directory descriptor", "openat(2)", ONCE, from_descriptor),
    Case::new("a directory descriptor that is none", "openat(2) ENOTDIR, EBADF", FILES, wrong_descriptor),
    Case::new("AT_EMPTY_PATH is the descriptor itself", "fstatat(2)", ONCE, empty_path),
    Case::new("unknown flags", "fstatat(2) EINVAL", FILES, unknown_flags),
    Case::new("access", "access(2)", FILES, access_modes),
    Case::new("a working directory that is deep", "getcwd(3) ENAMETOOLONG", FILES, cwd_deep),
    Case::new("readlinkat of a descriptor", "readlinkat(2) ENOENT", ONCE, readlink_descriptor),
];

fn empty(t: &Test<'_>) -> Outcome {
    err!(t.open("", 0, 0), ENOENT);
    err!(t.stat(""), ENOENT);
    err!(t.mkdir("", 0o755), ENOENT);
    err!(t.unlink(""), ENOENT);
    err!(t.rename("", "x"), ENOENT);
    err!(t.symlink("x", ""), ENOENT);
    err!(t.readlink(""), ENOENT);
    err!(t.chdir(""), ENOENT);
    Ok(())
}

fn slashes(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"x")?;
        ok!(t.mkdir("d///", 0o755));
        eq!(ok!(t.stat(".//d////..//f")).size, 1);
        ok!(t.rmdir("d//"));
        Ok(())
    })
}

fn through_file(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"x")?;
        for path in ["f/x", "f/.", "f/..", "f/x/y"] {
            err!(t.stat(path), ENOTDIR);
            err!(t.open(path, open::RDWR | open::CREAT, 0o644), ENOTDIR);
            err!(t.mkdir(path, 0o755), ENOTDIR);
        }
        err!(t.stat("none/x"), ENOENT);
        Ok(())
    })
}

fn dots(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("d", 0o755));
        ok!(t.mkdir("d/e", 0o755));
        let d = ok!(t.stat("d")).ino;
        for path in ["d/.", "d/e/..", "./d/e/./../../d", "d/e/../"] {
            eq!(ok!(t.stat(path)).ino, d);
        }
        Ok(())
    })
}

fn slash_behind(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"x")?;
        ok!(t.symlink("f", "l"));
        for path in ["f/", "l/"] {
            err!(t.stat(path), ENOTDIR);
            err!(t.lstat(path), ENOTDIR);
            err!(t.open(path, 0, 0), ENOTDIR);
            err!(t.unlink(path), ENOTDIR);
        }
        err!(t.open("new/", open::RDWR | open::CREAT, 0o644), EISDIR);
        err!(t.mknod("new/", 0o600), ENOENT);
        err!(t.link("f", "new/"), ENOENT);
        err!(t.symlink("f", "new/"), ENOENT);
        Ok(())
    })
}

fn long_name(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (fits, too_long) = ("n".repeat(255), "n".repeat(256));
        put(t, &fits, b"x")?;
        eq!(ok!(t.names(".")).first(), Some(&fits));
        err!(t.open(&too_long, open::RDWR | open::CREAT, 0o644), ENAMETOOLONG);
        err!(t.stat(&too_long), ENAMETOOLONG);
        err!(t.mkdir(&too_long, 0o755), ENAMETOOLONG);
        err!(t.rename(&fits, &too_long), ENAMETOOLONG);
        err!(t.stat(&format!("{too_long}/x")), ENAMETOOLONG);
        Ok(())
    })
}

fn long_path(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"x")?;
        let path = |n: usize| "./".repeat((n - 1) / 2) + "f";
        eq!(path(4095).len(), 4095);
        ok!(t.stat(&path(4095)));
        err!(t.stat(&path(4097)), ENAMETOOLONG);
        err!(t.stat(&(String::from("/") + &path(4095))), ENAMETOOLONG);
        Ok(())
    })
}

fn above_root(t: &Test<'_>) -> Outcome {
    eq!(ok!(t.stat("/..")).ino, ok!(t.stat("/")).ino);
    eq!(ok!(t.stat("/../../..")).ino, ok!(t.stat("/.")).ino);
    Ok(())
}

fn link_on_the_way(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("d", 0o755));
        put(t, "d/f", b"xy")?;
        ok!(t.symlink("d", "l"));
        ok!(t.symlink("../d/f", "d/m"));
        eq!(ok!(t.stat("l/f")).size, 2);
        eq!(ok!(t.lstat("l/f")).size, 2);
        eq!(ok!(t.stat("l/m")).size, 2);
        // Behind a link, the parent is that of its target.
        ok!(t.mkdir("d/e", 0o755));
        ok!(t.symlink("d/e", "deep"));
        eq!(ok!(t.stat("deep/..")).ino, ok!(t.stat("d")).ino);
        Ok(())
    })
}

fn link_at_the_end(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("d", 0o755));
        ok!(t.symlink("d", "l"));
        let l = ok!(t.lstat("l"));
        eq!((l.mode, l.size), (mode::SYMLINK | 0o777, 1));
        eq!(ok!(t.stat("l")).mode, mode::DIRECTORY | 0o755);
        eq!(ok!(t.lstat("l/")).mode, mode::DIRECTORY | 0o755);
        eq!(ok!(t.lstat("l/.")).mode, mode::DIRECTORY | 0o755);
        Ok(())
    })
}

fn absolute_link(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"abc")?;
        let here = ok!(t.cwd());
        ok!(t.symlink(&format!("{here}/f"), "l"));
        ok!(t.symlink("/", "root"));
        eq!(ok!(t.stat("l")).size, 3);
        eq!(ok!(t.stat(&format!("root{here}/f"))).size, 3);
        Ok(())
    })
}

fn circle(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.symlink("b", "a"));
        ok!(t.symlink("a", "b"));
        ok!(t.symlink("self", "self"));
        err!(t.stat("a"), ELOOP);
        err!(t.stat("self/x"), ELOOP);
        err!(t.open("a", open::RDWR | open::CREAT, 0o644), ELOOP);
        err!(t.chdir("b"), ELOOP);
        gives!(t.readlink("self"), "self");
        ok!(t.unlink("self"));
        Ok(())
    })
}

fn many_links(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "0", b"x")?;
        for i in 1..=41 {
            ok!(t.symlink(&format!("{}", i - 1), &format!("{i}")));
        }
        ok!(t.stat("40"));
        err!(t.stat("41"), ELOOP);
        Ok(())
    })
}

fn dangling(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.symlink("none", "l"));
        err!(t.stat("l"), ENOENT);
        ok!(t.lstat("l"));
        err!(t.open("l", 0, 0), ENOENT);
        err!(t.mkdir("l", 0o755), EEXIST);
        err!(t.mknod("l", 0o600), EEXIST);
        err!(t.link("l", "l"), EEXIST);
        ok!(t.unlink("l"));
        Ok(())
    })
}

fn made_through_link(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("d", 0o755));
        ok!(t.symlink("d/f", "l"));
        put(t, "l", b"xyz")?;
        eq!(ok!(t.lstat("d/f")).size, 3);
        eq!(ok!(t.lstat("l")).mode & mode::FORMAT, mode::SYMLINK);
        Ok(())
    })
}

fn readlink(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.symlink("target", "l"));
        let mut into = [b'.'; 9];
        gives!(t.readlinkat(AT_FDCWD, "l", &mut into[..4]), 4);
        eq!(into, *b"targ.....");
        gives!(t.readlinkat(AT_FDCWD, "l", &mut into), 6);
        err!(t.readlinkat(AT_FDCWD, "l", &mut []), EINVAL);
        Ok(())
    })
}

fn readlink_wrong(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"x")?;
        err!(t.readlink("f"), EINVAL);
        err!(t.readlink("."), EINVAL);
        err!(t.readlink("none"), ENOENT);
        Ok(())
    })
}

fn long_target(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let long = "x/".repeat(2047);
        ok!(t.symlink(&long, "l"));
        gives!(t.readlink("l"), long.clone());
        eq!(ok!(t.lstat("l")).size, 4094);
        err!(t.stat("l"), ENOENT);
        err!(t.symlink(&(long + "xyz"), "m"), ENAMETOOLONG);
        err!(t.symlink("", "m"), ENOENT);
        Ok(())
    })
}

fn cwd(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let here = ok!(t.cwd());
        ok!(t.mkdir("d", 0o755));
        ok!(t.symlink("d", "l"));
        ok!(t.chdir("l/."));
        gives!(t.cwd(), format!("{here}/d"));
        put(t, "f", b"x")?;
        ok!(t.chdir(".."));
        gives!(t.cwd(), here.clone());
        eq!(ok!(t.stat("d/f")).size, 1);
        ok!(t.chdir("/"));
        gives!(t.cwd(), "/");
        ok!(t.chdir(&here));
        err!(t.getcwd(&mut [0; 2]), ERANGE);
        Ok(())
    })
}

fn cwd_moves(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let here = ok!(t.cwd());
        ok!(t.mkdir("d", 0o755));
        ok!(t.mkdir("other", 0o755));
        ok!(t.chdir("d"));
        ok!(t.rename("../d", "../other/e"));
        gives!(t.cwd(), format!("{here}/other/e"));
        ok!(t.chdir(&here));
        Ok(())
    })
}

fn cwd_removed(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let here = ok!(t.cwd());
        ok!(t.mkdir("d", 0o755));
        ok!(t.chdir("d"));
        ok!(t.rmdir("../d"));
        err!(t.cwd(), ENOENT);
        err!(t.open("f", open::RDWR | open::CREAT, 0o644), ENOENT);
        err!(t.mkdir("d", 0o755), ENOENT);
        eq!(ok!(t.stat(".")).nlink, 0);
        ok!(t.stat(".."));
        ok!(t.chdir(&here));
        Ok(())
    })
}

fn chdir_wrong(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"x")?;
        err!(t.chdir("f"), ENOTDIR);
        err!(t.chdir("none"), ENOENT);
        let fd = ok!(t.open("f", 0, 0));
        err!(t.fchdir(fd), ENOTDIR);
        ok!(t.close(fd));
        err!(t.fchdir(fd), EBADF);
        Ok(())
    })
}

fn fchdir(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let here = ok!(t.cwd());
        ok!(t.mkdir("d", 0o755));
        let (back, d) = (ok!(t.open(".", 0, 0)), ok!(t.open("d", open::PATH, 0)));
        ok!(t.fchdir(d));
        gives!(t.cwd(), format!("{here}/d"));
        ok!(t.fchdir(back));
        gives!(t.cwd(), here.clone());
        t.shut(&[back, d])
    })
}

fn from_descriptor(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        ok!(t.mkdir("d", 0o755));
        let d = ok!(t.open("d", open::DIRECTORY, 0));
        let f = ok!(t.openat(d, "f", open::RDWR | open::CREAT, 0o644));
        ok!(t.mkdirat(d, "e", 0o700));
        ok!(t.symlinkat("f", d, "l"));
        ok!(t.mknodat(d, "s", mode::SOCKET | 0o600));
        ok!(t.linkat(d, "f", AT_FDCWD, "outside", 0));
        ok!(t.renameat2(AT_FDCWD, "outside", d, "inside", 0));
        ok!(t.fchmodat(d, "inside", 0o600));
        ok!(t.faccessat(d, "inside", access::READ));
        eq!(ok!(t.fstatat(d, "l", 0)).mode, mode::REGULAR | 0o600);
        eq!(ok!(t.names("d")), ["e", "f", "inside", "l", "s"]);
        ok!(t.unlinkat(d, "f", 0));
        ok!(t.unlinkat(d, "e", AT_REMOVEDIR));
        let mut target = [0; 4];
        gives!(t.readlinkat(d, "l", &mut target), 1);
        // An absolute path needs no descriptor.
        ok!(t.fstatat(-1, "/", 0));
        t.shut(&[d, f])
    })
}

fn wrong_descriptor(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"x")?;
        let (f, socket) = (ok!(t.open("f", 0, 0)), ok!(t.socket(AF_INET, SOCK_DGRAM.into(), 0)));
        for fd in [f, socket] {
            err!(t.openat(fd, "x", 0, 0), ENOTDIR);
            err!(t.mkdirat(fd, "x", 0o755), ENOTDIR);
            err!(t.fstatat(fd, "x", 0), ENOTDIR);
        }
        ok!(t.close(f));
        ok!(t.close(socket));
        err!(t.openat(f, "x", 0, 0), EBADF);
        err!(t.unlinkat(f, "x", 0), EBADF);
        Ok(())
    })
}

fn empty_path(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"abc")?;
        let f = ok!(t.open("f", 0, 0));
        eq!(ok!(t.fstatat(f, "", AT_EMPTY_PATH)).size, 3);
        err!(t.fstatat(f, "", 0), ENOENT);
        eq!(ok!(t.fstatat(AT_FDCWD, "", AT_EMPTY_PATH)).mode, mode::DIRECTORY | 0o755);
        t.shut(&[f])
    })
}

fn unknown_flags(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"abc")?;
        err!(t.fstatat(AT_FDCWD, "f", 0x8000_0000), EINVAL);
        err!(t.unlinkat(AT_FDCWD, "f", 0x1), EINVAL);
        err!(t.linkat(AT_FDCWD, "f", AT_FDCWD, "g", 0x1), EINVAL);
        err!(t.renameat2(AT_FDCWD, "f", AT_FDCWD, "g", 0x80), EINVAL);
        Ok(())
    })
}

fn access_modes(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"abc")?;
        ok!(t.access("f", access::READ | access::WRITE));
        // Not even the superuser executes what nobody may.
        err!(t.access("f", access::EXECUTE), EACCES);
        ok!(t.access(".", access::EXECUTE));
        err!(t.access("none", 0), ENOENT);
        err!(t.access("f", 8), EINVAL);
        Ok(())
    })
}

fn cwd_deep(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let name = "n".repeat(250);
        for _ in 0..17 {
            ok!(t.mkdir(&name, 0o755));
            ok!(t.chdir(&name));
        }
        let told = t.cwd();
        let short = t.getcwd(&mut [0; 100]);
        for _ in 0..17 {
            ok!(t.chdir(".."));
            ok!(t.rmdir(&name));
        }
        err!(told, ENAMETOOLONG);
        err!(short, ENAMETOOLONG);
        err!(t.getcwd(&mut [0; 3]), ERANGE);
        Ok(())
    })
}

fn readlink_descriptor(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"")?;
        ok!(t.symlink("f", "l"));
        let link = ok!(t.open("l", open::PATH | open::NOFOLLOW, 0));
        let mut target = [0; 9];
        gives!(t.readlinkat(link, "", &mut target), 1);
        eq!(target[0], b'f');
        let (file, socket) = (ok!(t.open("f", open::PATH, 0)), ok!(t.socket(AF_INET, SOCK_DGRAM.into(), 0)));
        for fd in [file, socket, AT_FDCWD] {
            err!(t.readlinkat(fd, "", &mut target), ENOENT);
        }
        err!(t.readlinkat(99, "", &mut target), EBADF);
        t.shut(&[link, file, socket])
    })
}
