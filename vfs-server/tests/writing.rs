//! What changes files and names, each rule as Linux has it.

mod common;

use common::*;
use strait_abi::{
    Errno,
    vfs::{AT_EMPTY_PATH, Buffer, DATA, RENAME_NOREPLACE, ROOT, Request, kind, mode, open},
};

const RW: u32 = open::RDWR | open::CREAT;
const NEW: u32 = RW | open::EXCL;

#[test]
fn what_is_written_is_read() {
    let Setup { mut server, client: mut c, .. } = setup(&sample());
    let s = &mut server;
    let f = c.create(s, "/tmp/f", NEW, 0o644).unwrap();
    assert_eq!(c.write_at(s, f, 0, b"hello", 0), Ok(5));
    assert_eq!(c.write_at(s, f, 4093, b"across", 0), Ok(6));
    assert_eq!(c.read_at(s, f, 0, 5000).unwrap().len(), 4099);
    assert_eq!(c.read_at(s, f, 4090, 100).unwrap(), b"\0\0\0across");
    assert_eq!(c.write_at(s, f, 1, b"END", open::APPEND), Ok(3));
    assert_eq!(c.read_at(s, f, 4099, 100).unwrap(), b"END");
    let stat = c.fstat(s, f).unwrap();
    assert_eq!((stat.mode, stat.size, stat.nlink, stat.uid, stat.blocks), (mode::REGULAR | 0o644, 4102, 1, 1000, 16));

    // Shrunk and grown, the old bytes do not come back.
    assert_eq!(c.truncate(s, f, 2), Ok(0));
    assert_eq!(c.truncate(s, f, 6000), Ok(0));
    assert_eq!(c.read_at(s, f, 0, 6).unwrap(), b"he\0\0\0\0");
    assert_eq!(c.read_at(s, f, 4094, 6000).unwrap(), vec![0; 1906]);
    assert_eq!(c.truncate(s, f, 1 << 63), Err(Errno::EINVAL));
    assert_eq!(c.truncate(s, f, i64::MAX as u64), Err(Errno::EFBIG));
    assert_eq!(c.write_at(s, f, i64::MAX as u64 - 1, b"xyz", 0), Err(Errno::EFBIG));
    assert_eq!(c.write_at(s, f, 1 << 63, b"xyz", 0), Err(Errno::EINVAL));
    assert_eq!(c.write_at(s, f, 0, b"xyz", open::NONBLOCK), Err(Errno::EINVAL));
    // A hole costs nothing.
    assert_eq!(c.write_at(s, f, 1 << 40, b"far", 0), Ok(3));
    assert_eq!(c.fstat(s, f).unwrap().size, (1 << 40) + 3);
    assert_eq!(c.counters(s).pages, 2);
    assert_eq!(c.create(s, "/tmp/f", open::WRONLY | open::TRUNC, 0).map(|g| c.close(s, g)), Ok(Ok(0)));
    assert_eq!(c.counters(s).pages, 0);

    let r = c.create(s, "/tmp/f", open::RDONLY, 0).unwrap();
    assert_eq!(c.write_at(s, r, 0, b"x", 0), Err(Errno::EBADF));
    assert_eq!(c.truncate(s, r, 0), Err(Errno::EINVAL));
    let w = c.create(s, "/tmp/f", open::WRONLY, 0).unwrap();
    assert_eq!(c.read_at(s, w, 0, 1), Err(Errno::EBADF));
    assert_eq!(c.create(s, "/tmp/f", NEW, 0), Err(Errno::EEXIST));
    // Linux ignores what is no flag.
    let unknown = c.create(s, "/tmp/f", 1 << 30, 0).unwrap();
    c.close(s, unknown).unwrap();
}

#[test]
fn a_file_without_a_name_lives_on_while_it_is_open() {
    let Setup { mut server, client: mut c, .. } = setup(&sample());
    let s = &mut server;
    let before = c.counters(s);
    let f = c.create(s, "/tmp/f", NEW, 0o600).unwrap();
    c.write_at(s, f, 0, b"still", 0).unwrap();
    assert_eq!(c.unlink(s, "/tmp/f"), Ok(0));
    assert_eq!(c.fstat(s, f).unwrap().nlink, 0);
    assert_eq!(c.read_at(s, f, 0, 9).unwrap(), b"still");
    let g = c.create(s, "/tmp/f", NEW, 0o600).unwrap();
    assert_ne!(c.fstat(s, g).unwrap().ino, c.fstat(s, f).unwrap().ino);
    assert_eq!(c.counters(s).inodes, before.inodes + 2);
    c.close(s, f).unwrap();
    c.close(s, g).unwrap();
    c.unlink(s, "/tmp/f").unwrap();
    let after = c.counters(s);
    assert_eq!((after.inodes, after.pages, after.descriptions), (before.inodes, 0, 0));
    // A directory too, but nothing can be made in it any more.
    c.mkdir(s, "/tmp/d", 0o755).unwrap();
    let d = c.create(s, "/tmp/d", open::DIRECTORY, 0).unwrap();
    c.rmdir(s, "/tmp/d").unwrap();
    let path = c.data(0, b"x");
    let make = Request::MakeDirectory { directory: d as u32, path, mode: 0o755 };
    assert_eq!(c.ask(s, make), Err(Errno::ENOENT));
    let path = Request::RealPath { directory: d as u32, into: Buffer { offset: DATA as u32, len: 100 } };
    assert_eq!(c.ask(s, path), Err(Errno::ENOENT));
    let into = Buffer { offset: DATA as u32, len: 4096 };
    assert_eq!(c.ask(s, Request::ReadDirectory { file: d as u32, offset: 0, into }), Err(Errno::ENOENT));
    c.close(s, d).unwrap();
    assert_eq!(c.counters(s).inodes, before.inodes);
}

#[test]
fn names_are_made_and_removed() {
    let Setup { mut server, client: mut c, .. } = setup(&sample());
    let s = &mut server;
    assert_eq!(c.mkdir(s, "/tmp/d/", 0o2750), Ok(0));
    assert_eq!(c.lstat(s, "/tmp/d").unwrap().mode, mode::DIRECTORY | 0o750);
    assert_eq!(c.mkdir(s, "/tmp/d", 0o755), Err(Errno::EEXIST));
    assert_eq!(c.mkdir(s, "/", 0o755), Err(Errno::EEXIST));
    assert_eq!(c.mkdir(s, "/tmp/d/.", 0o755), Err(Errno::EEXIST));
    assert_eq!(c.mkdir(s, "/tmp/x/y", 0o755), Err(Errno::ENOENT));
    assert_eq!(c.mkdir(s, "/new", 0o755), Err(Errno::EROFS));
    assert_eq!(c.mkdir(s, "/a", 0o755), Err(Errno::EEXIST));
    assert_eq!(c.mknod(s, "/tmp/d/r", 0o640), Ok(0));
    assert_eq!(c.lstat(s, "/tmp/d/r").unwrap().mode, mode::REGULAR | 0o640);
    assert_eq!(c.mknod(s, "/tmp/d/s", mode::SOCKET | 0o777), Ok(0));
    assert_eq!(c.mknod(s, "/tmp/d/s", mode::SOCKET | 0o777), Err(Errno::EEXIST));
    assert_eq!(c.lstat(s, "/tmp/d/s").unwrap().mode, mode::SOCKET | 0o777);
    assert_eq!(c.create(s, "/tmp/d/s", open::RDWR, 0), Err(Errno::ENXIO));
    assert_eq!(c.mknod(s, "/tmp/d/c", 0o020_600), Err(Errno::EPERM));
    assert_eq!(c.mknod(s, "/tmp/d/d", mode::DIRECTORY), Err(Errno::EPERM));
    assert_eq!(c.mknod(s, "/tmp/d/l", mode::SYMLINK), Err(Errno::EINVAL));
    assert_eq!(c.mknod(s, "/tmp/d/q/", 0o600), Err(Errno::ENOENT));
    assert_eq!(c.lstat(s, "/tmp/d").unwrap().nlink, 2);
    assert_eq!(c.mkdir(s, "/tmp/d/e", 0o755), Ok(0));
    assert_eq!(c.lstat(s, "/tmp/d").unwrap().nlink, 3);

    assert_eq!(c.unlink(s, "/tmp/d/e"), Err(Errno::EISDIR));
    assert_eq!(c.unlink(s, "/tmp/d/r/"), Err(Errno::ENOTDIR));
    assert_eq!(c.unlink(s, "/tmp/d/n"), Err(Errno::ENOENT));
    assert_eq!(c.unlink(s, "/"), Err(Errno::EISDIR));
    assert_eq!(c.unlink(s, "/index.html"), Err(Errno::EROFS));
    assert_eq!(c.rmdir(s, "/tmp/d/r"), Err(Errno::ENOTDIR));
    assert_eq!(c.rmdir(s, "/tmp/d"), Err(Errno::ENOTEMPTY));
    assert_eq!(c.rmdir(s, "/tmp/d/e/."), Err(Errno::EINVAL));
    assert_eq!(c.rmdir(s, "/tmp/d/e/.."), Err(Errno::ENOTEMPTY));
    assert_eq!(c.rmdir(s, "/"), Err(Errno::EBUSY));
    assert_eq!(c.rmdir(s, "/tmp"), Err(Errno::EROFS));
    assert_eq!(c.rmdir(s, "/tmp/d/e/"), Ok(0));
    assert_eq!(c.lstat(s, "/tmp/d").unwrap().nlink, 2);
    assert_eq!(c.mkdir(s, &format!("/tmp/{}", "n".repeat(256)), 0o755), Err(Errno::ENAMETOOLONG));
    assert_eq!(c.mkdir(s, &format!("/tmp/{}", "n".repeat(255)), 0o755), Ok(0));
}

#[test]
fn links() {
    let Setup { mut server, client: mut c, .. } = setup(&sample());
    let s = &mut server;
    let f = c.create(s, "/tmp/f", NEW, 0o600).unwrap();
    c.write_at(s, f, 0, b"abc", 0).unwrap();
    assert_eq!(c.link(s, "/tmp/f", "/tmp/g"), Ok(0));
    assert_eq!(c.lstat(s, "/tmp/g").unwrap().ino, c.lstat(s, "/tmp/f").unwrap().ino);
    assert_eq!(c.lstat(s, "/tmp/g").unwrap().nlink, 2);
    assert_eq!(c.link(s, "/tmp/f", "/tmp/g"), Err(Errno::EEXIST));
    assert_eq!(c.link(s, "/index.html", "/tmp/h"), Err(Errno::EXDEV));
    c.mkdir(s, "/tmp/d", 0o755).unwrap();
    assert_eq!(c.link(s, "/tmp/d", "/tmp/h"), Err(Errno::EPERM));
    assert_eq!(c.unlink(s, "/tmp/f"), Ok(0));
    assert_eq!(c.lstat(s, "/tmp/g").unwrap().nlink, 1);

    assert_eq!(c.symlink(s, "g", "/tmp/l"), Ok(0));
    assert_eq!(c.symlink(s, "g", "/tmp/l"), Err(Errno::EEXIST));
    assert_eq!(c.symlink(s, "", "/tmp/m"), Err(Errno::ENOENT));
    assert_eq!(c.readlink(s, "/tmp/l"), Ok("g".into()));
    assert_eq!(c.readlink(s, "/tmp/g"), Err(Errno::EINVAL));
    let stat = c.lstat(s, "/tmp/l").unwrap();
    assert_eq!((stat.mode, stat.size), (mode::SYMLINK | 0o777, 1));
    assert_eq!(c.stat_with(s, "/tmp/l", 0).unwrap().mode, mode::REGULAR | 0o600);
    assert_eq!(c.create(s, "/tmp/l", open::NOFOLLOW, 0), Err(Errno::ELOOP));
    assert_eq!(c.create(s, "/tmp/l", open::NOFOLLOW | open::DIRECTORY, 0), Err(Errno::ENOTDIR));
    assert_eq!(c.create(s, "/tmp/l", NEW, 0), Err(Errno::EEXIST));
    // A link to nothing: created through it, but not exclusively.
    c.symlink(s, "../tmp/fresh", "/tmp/to").unwrap();
    assert_eq!(c.create(s, "/tmp/to", open::RDONLY, 0), Err(Errno::ENOENT));
    assert_eq!(c.create(s, "/tmp/to", NEW, 0), Err(Errno::EEXIST));
    assert!(c.create(s, "/tmp/to", RW, 0o600).is_ok());
    assert!(c.lstat(s, "/tmp/fresh").is_ok());
    // Directories through links, with and without a slash.
    c.symlink(s, "/tmp/d", "/tmp/ld").unwrap();
    assert_eq!(c.lstat(s, "/tmp/ld").unwrap().mode & mode::FORMAT, mode::SYMLINK);
    assert_eq!(c.lstat(s, "/tmp/ld/").unwrap().mode & mode::FORMAT, mode::DIRECTORY);
    assert_eq!(c.mkdir(s, "/tmp/ld/sub", 0o755), Ok(0));
    assert_eq!(c.rmdir(s, "/tmp/ld"), Err(Errno::ENOTDIR));
    assert_eq!(c.rmdir(s, "/tmp/ld/"), Err(Errno::ENOTDIR));
    assert_eq!(c.stat_with(s, "/tmp/ld/sub/../../g", 0).unwrap().size, 3);
    assert_eq!(c.stat_with(s, "/tmp/l/", 0).err(), Some(Errno::ENOTDIR));
    // In circles, and 40 in a row.
    c.symlink(s, "b", "/tmp/a").unwrap();
    c.symlink(s, "a", "/tmp/b").unwrap();
    assert_eq!(c.stat_with(s, "/tmp/a", 0).err(), Some(Errno::ELOOP));
    c.symlink(s, "g", "/tmp/0").unwrap();
    for i in 1..=40 {
        c.symlink(s, &format!("{}", i - 1), &format!("/tmp/{i}")).unwrap();
    }
    assert!(c.stat_with(s, "/tmp/39", 0).is_ok());
    assert_eq!(c.stat_with(s, "/tmp/40", 0).err(), Some(Errno::ELOOP));
    let long = "x/".repeat(2047);
    assert_eq!(c.symlink(s, &long, "/tmp/long"), Ok(0));
    assert_eq!(c.readlink(s, "/tmp/long"), Ok(long));
    assert_eq!(c.stat_with(s, "/tmp/long/y", 0).err(), Some(Errno::ENOENT));
}

#[test]
fn renaming() {
    let Setup { mut server, client: mut c, .. } = setup(&sample());
    let s = &mut server;
    for d in ["/tmp/d", "/tmp/d/e", "/tmp/empty"] {
        c.mkdir(s, d, 0o755).unwrap();
    }
    for f in ["/tmp/f", "/tmp/g", "/tmp/d/h"] {
        c.mknod(s, f, 0o600).unwrap();
    }
    let ino = c.lstat(s, "/tmp/f").unwrap().ino;
    let g = c.create(s, "/tmp/g", RW, 0).unwrap();
    assert_eq!(c.rename(s, "/tmp/f", "/tmp/g"), Ok(0));
    assert_eq!(c.lstat(s, "/tmp/g").unwrap().ino, ino);
    assert_eq!(c.lstat(s, "/tmp/f").err(), Some(Errno::ENOENT));
    assert_eq!(c.fstat(s, g).unwrap().nlink, 0);
    let table = [
        ("/tmp/x", "/tmp/y", Err(Errno::ENOENT)),
        ("/tmp/g", "/tmp/d", Err(Errno::EISDIR)),
        ("/tmp/d", "/tmp/g", Err(Errno::ENOTDIR)),
        ("/tmp/empty", "/tmp/d", Err(Errno::ENOTEMPTY)),
        ("/tmp/d", "/tmp/d/e/x", Err(Errno::EINVAL)),
        ("/tmp/d", "/tmp/d/x", Err(Errno::EINVAL)),
        ("/tmp/d/h", "/tmp/d", Err(Errno::ENOTEMPTY)),
        ("/tmp/d/.", "/tmp/q", Err(Errno::EBUSY)),
        ("/tmp/g", "/tmp/d/..", Err(Errno::EBUSY)),
        ("/tmp/g", "/tmp/q/", Err(Errno::ENOTDIR)),
        ("/tmp/g/", "/tmp/q", Err(Errno::ENOTDIR)),
        ("/tmp/g", "/q", Err(Errno::EXDEV)),
        ("/index.html", "/a/q", Err(Errno::EROFS)),
        ("/tmp/g", "/tmp/g", Ok(0)),
        ("/tmp/d", "/tmp/d", Ok(0)),
        ("/tmp/d/e", "/tmp/empty", Ok(0)),
        ("/tmp/empty/", "/tmp/d/e2/", Ok(0)),
    ];
    for (from, to, expected) in table {
        assert_eq!(c.rename(s, from, to), expected, "{from} {to}");
    }
    assert_eq!(c.lstat(s, "/tmp/d").unwrap().nlink, 3);
    assert_eq!(c.lstat(s, "/tmp").unwrap().nlink, 3);
    // The moved directory's `..` is the new one, and so is its path.
    let e = c.create(s, "/tmp/d/e2", open::PATH, 0).unwrap();
    let into = Buffer { offset: DATA as u32, len: 100 };
    let n = c.ask(s, Request::RealPath { directory: e as u32, into }).unwrap();
    assert_eq!(c.fetch(Buffer { len: n as u32, ..into }), b"/tmp/d/e2");
    let short = Buffer { len: 8, ..into };
    assert_eq!(c.ask(s, Request::RealPath { directory: e as u32, into: short }), Err(Errno::ERANGE));
    assert_eq!(c.ask(s, Request::RealPath { directory: ROOT, into }), Ok(1));
    assert_eq!(c.stat_with(s, "/tmp/d/e2/../h", 0).unwrap().nlink, 1);
    let (path, to) = (c.data(0, b"/tmp/g"), c.data(4096, b"/tmp/d/h"));
    let flags = RENAME_NOREPLACE;
    let keep = Request::Rename { directory: ROOT, path, to_directory: ROOT, to, flags };
    assert_eq!(c.ask(s, keep), Err(Errno::EEXIST));
    let unknown = Request::Rename { directory: ROOT, path, to_directory: ROOT, to, flags: 2 };
    assert_eq!(c.ask(s, unknown), Err(Errno::EINVAL));
}

#[test]
fn others_may_do_what_the_bits_allow() {
    let (mut server, mut a, mut b) = two_clients(&[]);
    let s = &mut server;
    a.mkdir(s, "/tmp/a", 0o755).unwrap();
    for (name, mode) in [("/tmp/a/private", 0o600), ("/tmp/a/shown", 0o644), ("/tmp/a/shared", 0o666)] {
        let f = a.create(s, name, NEW, mode).unwrap();
        a.write_at(s, f, 0, b"x", 0).unwrap();
    }
    assert_eq!(b.create(s, "/tmp/a/private", open::RDONLY, 0), Err(Errno::EACCES));
    assert!(b.create(s, "/tmp/a/shown", open::RDONLY, 0).is_ok());
    assert_eq!(b.create(s, "/tmp/a/shown", open::WRONLY, 0), Err(Errno::EACCES));
    assert_eq!(b.create(s, "/tmp/a/shown", open::RDONLY | open::TRUNC, 0), Err(Errno::EACCES));
    assert!(b.create(s, "/tmp/a/shared", open::RDWR, 0).is_ok());
    assert_eq!(b.mknod(s, "/tmp/a/new", 0o600), Err(Errno::EACCES));
    assert_eq!(b.unlink(s, "/tmp/a/shared"), Err(Errno::EACCES));
    assert_eq!(b.rename(s, "/tmp/a/shared", "/tmp/mine"), Err(Errno::EACCES));
    assert_eq!(b.chmod(s, "/tmp/a/shared", 0o777), Err(Errno::EPERM));
    assert_eq!(a.chmod(s, "/index.html", 0o777), Err(Errno::EROFS));
    // The sticky /tmp: nobody takes away what is another's.
    a.mknod(s, "/tmp/f", 0o666).unwrap();
    assert_eq!(b.unlink(s, "/tmp/f"), Err(Errno::EPERM));
    assert_eq!(b.rmdir(s, "/tmp/a"), Err(Errno::EPERM));
    b.mknod(s, "/tmp/g", 0o600).unwrap();
    assert_eq!(b.rename(s, "/tmp/g", "/tmp/f"), Err(Errno::EPERM));
    // What may not be searched is not seen.
    assert_eq!(a.chmod(s, "/tmp/a", 0o700), Ok(0));
    assert_eq!(b.lstat(s, "/tmp/a/shown").err(), Some(Errno::EACCES));
    assert_eq!(b.create(s, "/tmp/a", open::RDONLY, 0), Err(Errno::EACCES));
    assert!(b.create(s, "/tmp/a", open::PATH, 0).is_ok());
    assert_eq!(a.access(s, "/tmp/a/private", 6), Ok(0));
    assert_eq!(a.access(s, "/tmp/a/private", 1), Err(Errno::EACCES));
    assert_eq!(a.access(s, "/tmp/a/private", 8), Err(Errno::EINVAL));
    assert_eq!(b.access(s, "/tmp/f", 0), Ok(0));
    assert_eq!(a.access(s, "/index.html", 2), Err(Errno::EROFS));
    // By handle.
    let f = b.create(s, "/tmp/g", RW, 0).unwrap();
    let path = Buffer { offset: DATA as u32, len: 0 };
    let change = Request::ChangeMode { directory: f as u32, path, flags: AT_EMPTY_PATH, mode: 0o640 };
    assert_eq!(b.ask(s, change), Ok(0));
    assert_eq!(b.fstat(s, f).unwrap().mode, mode::REGULAR | 0o640);
}

#[test]
fn who_may_not_use_a_file_does_not_keep_it() {
    let (mut server, mut a, mut b) = two_clients(&[]);
    let s = &mut server;
    // (mode, whether another may give it a name): to read and to write, and not
    // with set-id bits.
    for (mode, allowed) in
        [(0o666, true), (0o644, false), (0o622, false), (0o4666, false), (0o2676, false), (0o2666, true)]
    {
        a.mknod(s, "/tmp/f", 0o600).unwrap();
        a.chmod(s, "/tmp/f", mode).unwrap();
        let result = b.link(s, "/tmp/f", "/tmp/mine");
        assert_eq!(result, if allowed { Ok(0) } else { Err(Errno::EPERM) }, "{mode:o}");
        a.link(s, "/tmp/f", "/tmp/own").unwrap();
        // The sticky bit: the file is its owner's, whoever linked it.
        for path in ["/tmp/mine", "/tmp/own", "/tmp/f"] {
            let expected = if path == "/tmp/mine" && !allowed { Err(Errno::ENOENT) } else { Ok(0) };
            assert_eq!(a.unlink(s, path), expected);
        }
    }
    a.mknod(s, "/tmp/p", mode::FIFO | 0o666).unwrap();
    assert_eq!(b.link(s, "/tmp/p", "/tmp/mine"), Err(Errno::EPERM));
    assert_eq!(b.link(s, "/tmp/p", "/index.html"), Err(Errno::EEXIST));
}

#[test]
fn trust_in_a_file_ends_when_another_changes_it() {
    let (mut server, mut a, mut b) = two_clients(&[]);
    let s = &mut server;
    let f = a.create(s, "/tmp/f", NEW, 0o600).unwrap();
    a.chmod(s, "/tmp/f", 0o6777).unwrap();
    let g = b.create(s, "/tmp/f", RW, 0).unwrap();
    assert_eq!(b.write_at(s, g, 0, b"", 0), Ok(0));
    assert_eq!(a.fstat(s, f).unwrap().mode & mode::PERMISSIONS, 0o6777);
    b.write_at(s, g, 0, b"x", 0).unwrap();
    assert_eq!(a.fstat(s, f).unwrap().mode & mode::PERMISSIONS, 0o777);
    // A group that is not one's own cannot be given.
    a.mkdir(s, "/tmp/d", 0o777).unwrap();
    a.chmod(s, "/tmp/d", 0o2777).unwrap();
    b.mknod(s, "/tmp/d/f", 0o2770).unwrap();
    let stat = b.lstat(s, "/tmp/d/f").unwrap();
    assert_eq!((stat.uid, stat.gid, stat.mode & mode::PERMISSIONS), (1001, 1000, 0o770));
}

#[test]
fn a_way_of_many_links_ends() {
    let Setup { mut server, client: mut c, .. } = setup(&sample());
    let s = &mut server;
    c.mkdir(s, "/tmp/d", 0o755).unwrap();
    let long = "./".repeat(2000);
    c.symlink(s, &format!("{long}d"), "/tmp/l0").unwrap();
    c.symlink(s, &format!("{long}l0"), "/tmp/l1").unwrap();
    c.symlink(s, &format!("{long}l1"), "/tmp/l2").unwrap();
    assert!(c.stat(s, b"/tmp/l1").is_ok());
    assert_eq!(c.stat(s, b"/tmp/l2"), Err(-i64::from(Errno::ELOOP.raw())));
}

#[test]
fn the_superuser_only_if_granted() {
    let (mut server, mut a, mut b) = two_clients(&[("identity.b", "0:0")]);
    let s = &mut server;
    a.mkdir(s, "/tmp/a", 0o700).unwrap();
    a.mknod(s, "/tmp/a/f", 0o000).unwrap();
    assert_eq!(a.create(s, "/tmp/a/f", open::RDONLY, 0), Err(Errno::EACCES));
    assert!(b.create(s, "/tmp/a/f", open::RDWR, 0).is_ok());
    assert_eq!(b.unlink(s, "/tmp/a/f"), Ok(0));
    assert_eq!(b.lstat(s, "/tmp/a").unwrap().uid, 1000);
    b.mknod(s, "/tmp/b", 0o600).unwrap();
    assert_eq!(a.lstat(s, "/tmp/b").unwrap().uid, 0);
}

#[test]
fn each_fills_its_own_share() {
    let (mut server, mut a, mut b) = two_clients(&[("quota.pages", "10"), ("quota.inodes", "5")]);
    let s = &mut server;
    let f = a.create(s, "/tmp/f", NEW, 0o666).unwrap();
    // As much as there is room for, then nothing.
    assert_eq!(a.write_at(s, f, 100, &[1; 50_000], 0), Ok(40_860));
    assert_eq!(a.write_at(s, f, 40_960, b"x", 0), Err(Errno::ENOSPC));
    assert_eq!(a.write_at(s, f, 40_959, b"x", 0), Ok(1));
    // Whoever writes pays, whosever the file is.
    let g = b.create(s, "/tmp/f", RW, 0).unwrap();
    assert_eq!(b.write_at(s, g, 40_960, &[2; 8192], 0), Ok(8192));
    assert_eq!((a.counters(s).pages, b.counters(s).pages), (10, 2));
    for i in 0..4 {
        a.mknod(s, &format!("/tmp/{i}"), 0o600).unwrap();
    }
    assert_eq!(a.mknod(s, "/tmp/4", 0o600), Err(Errno::ENOSPC));
    assert_eq!(a.link(s, "/tmp/1", "/tmp/4"), Err(Errno::ENOSPC));
    assert_eq!(a.symlink(s, "x", "/tmp/4"), Err(Errno::ENOSPC));
    b.mknod(s, "/tmp/b", 0o600).unwrap();
    a.unlink(s, "/tmp/1").unwrap();
    assert_eq!(a.link(s, "/tmp/2", "/tmp/4"), Ok(0));
    let path = a.data(0, b"/tmp");
    let into = Buffer { offset: (DATA + 8192) as u32, len: 96 };
    assert_eq!(a.ask(s, Request::StatVfs { directory: ROOT, path, flags: 0, into }), Ok(0));
    let words: Vec<u64> = a.fetch(into).chunks(8).map(|w| u64::from_ne_bytes(w.try_into().unwrap())).collect();
    assert_eq!(words[..8], [4096, 4096, 10, 0, 0, 5, 0, 0]);
    a.truncate(s, f, 0).unwrap();
    assert_eq!((a.counters(s).pages, b.counters(s).pages, b.counters(s).pages_peak), (0, 0, 12));
}

#[test]
fn reading_a_directory_is_stable() {
    let Setup { mut server, client: mut c, .. } = setup(&sample());
    let s = &mut server;
    c.mkdir(s, "/tmp/d", 0o755).unwrap();
    for i in 0..20 {
        c.mknod(s, &format!("/tmp/d/{i:02}"), 0o600).unwrap();
    }
    let d = c.create(s, "/tmp/d", open::RDONLY, 0).unwrap() as u32;
    let (mut offset, mut seen) = (0, Vec::new());
    for step in 0.. {
        let into = Buffer { offset: (DATA + 8192) as u32, len: 100 };
        let done = c.run(s, Request::ReadDirectory { file: d, offset, into });
        assert!(done.result >= 0);
        if done.result == 0 {
            break;
        }
        offset = done.extra[0];
        let bytes = c.fetch(Buffer { len: done.result as u32, ..into });
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (len, name) = (usize::from(rest[16]), usize::from(rest[19]));
            assert!([kind::REGULAR, kind::DIRECTORY].contains(&rest[18]));
            seen.push(String::from_utf8(rest[24..24 + name].to_vec()).unwrap());
            rest = &rest[len..];
        }
        // Names before and behind come and go.
        if step < 10 {
            c.unlink(s, &format!("/tmp/d/{step:02}")).unwrap();
            c.mknod(s, &format!("/tmp/d/new{step}"), 0o600).unwrap();
        }
    }
    for i in 10..20 {
        assert_eq!(seen.iter().filter(|n| **n == format!("{i:02}")).count(), 1, "{seen:?}");
    }
    let mut once = seen.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), seen.len());
}

#[test]
fn mounts_are_what_the_settings_say() {
    let (mut server, mut a, _) = two_clients(&[("mounts", "/ ramfs,/boot/www archive,/boot/www/rw ramfs")]);
    let s = &mut server;
    assert_eq!(a.stat_with(s, "/boot/www/index.html", 0).unwrap().size, 14);
    assert_eq!(a.mknod(s, "/boot/www/rw/f", 0o600), Ok(0));
    assert_eq!(a.mknod(s, "/f", 0o600), Ok(0));
    assert_eq!(a.rename(s, "/f", "/boot/www/rw/f"), Err(Errno::EXDEV));
    assert_eq!(a.rmdir(s, "/boot/www"), Err(Errno::EACCES));
    let d = a.create(s, "/boot/www/rw", open::DIRECTORY, 0).unwrap();
    let into = Buffer { offset: DATA as u32, len: 100 };
    let n = a.ask(s, Request::RealPath { directory: d as u32, into }).unwrap();
    assert_eq!(a.fetch(Buffer { len: n as u32, ..into }), b"/boot/www/rw");
    assert_eq!(a.stat_with(s, "/boot/www/rw/../../..", 0).unwrap().ino, a.stat_with(s, "/", 0).unwrap().ino);
}
