//! The operations, as a client sees them.

mod common;

use common::*;
use strait_abi::{
    Errno,
    vfs::{Buffer, CONSTANT, Counters, DATA, MAX_IO, ROOT, Request, VERSION, kind, mode, open},
};
use strait_pd::Component;
use strait_ring::{PAGE, memory::leak_for_tests};
use strait_vfs_server::{session::MAX_OPEN, start};
use zerocopy::{FromZeros, IntoBytes};

fn errno(e: Errno) -> i64 {
    -i64::from(e.raw())
}

#[test]
fn reads_files() {
    let Setup { mut server, mut client, .. } = setup(&sample());
    let path = client.data(0, b"/index.html");
    let c = client.run(&mut server, Request::Open { directory: ROOT, path, flags: 0, mode: 0 });
    assert_eq!((c.result, c.extra), (0, [14, u64::from(mode::REGULAR | 0o644) | CONSTANT]));
    let into = client.data(100, &[0; 64]);
    assert_eq!(client.run(&mut server, Request::Read { file: 0, offset: 4, into }).result, 10);
    assert_eq!(&client.fetch(into)[..11], b"hello</h1>\0");
    for offset in [14, 15, 1 << 40, i64::MAX as u64] {
        assert_eq!(client.run(&mut server, Request::Read { file: 0, offset, into }).result, 0);
    }
    let c = client.run(&mut server, Request::Read { file: 0, offset: 1 << 63, into });
    assert_eq!(c.result, errno(Errno::EINVAL));
    assert_eq!(client.run(&mut server, Request::Close { file: 0 }).result, 0);
    assert_eq!(client.run(&mut server, Request::Close { file: 0 }).result, errno(Errno::EBADF));
    assert_eq!(client.run(&mut server, Request::Read { file: 0, offset: 0, into }).result, errno(Errno::EBADF));
}

#[test]
fn reads_a_big_file_in_pieces() {
    let Setup { mut server, mut client, .. } = setup(&sample());
    let file = client.open(&mut server, b"big", 0) as u32;
    let into = Buffer { offset: DATA as u32, len: (MAX_IO + 5000) as u32 };
    let mut got = Vec::new();
    loop {
        let n = client.run(&mut server, Request::Read { file, offset: got.len() as u64, into }).result;
        if n == 0 {
            break;
        }
        assert!(n as usize <= MAX_IO);
        got.extend(client.fetch(Buffer { len: n as u32, ..into }));
    }
    assert!(got == big());
}

#[test]
fn open_says_what_is_wrong() {
    let Setup { mut server, mut client, .. } = setup(&sample());
    let long_name = [b'n'; 256];
    let long_path = b"./".repeat(2048);
    let table: &[(&[u8], u32, Errno)] = &[
        (b"nothing", 0, Errno::ENOENT),
        (b"", 0, Errno::ENOENT),
        (b"nothing/x", 0, Errno::ENOENT),
        (b"nothing", open::CREAT, Errno::EROFS),
        (b"nothing", open::CREAT | open::WRONLY, Errno::EROFS),
        (b"nothing/", open::CREAT, Errno::EISDIR),
        (b"empty", open::CREAT | open::EXCL, Errno::EEXIST),
        (b"index.html/", 0, Errno::ENOTDIR),
        (b"index.html/.", 0, Errno::ENOTDIR),
        (b"index.html/..", 0, Errno::ENOTDIR),
        (b"index.html/x", 0, Errno::ENOTDIR),
        (b"index.html", open::DIRECTORY, Errno::ENOTDIR),
        (b"index.html", open::WRONLY, Errno::EROFS),
        (b"index.html", open::RDWR, Errno::EROFS),
        (b"index.html", open::TRUNC, Errno::EROFS),
        (b"index.html", open::ACCMODE, Errno::EROFS),
        (b"index.html", open::DIRECT, Errno::EINVAL),
        (b"index.html", open::NOATIME, Errno::EPERM),
        (b"a", open::TMPFILE | open::DIRECTORY | open::RDWR, Errno::EOPNOTSUPP),
        (b"secret", open::TRUNC, Errno::EROFS),
        (b"a", open::TRUNC, Errno::EISDIR),
        (b"a", open::WRONLY, Errno::EISDIR),
        (b"a", open::CREAT, Errno::EISDIR),
        (b"x", open::CREAT | open::DIRECTORY, Errno::EINVAL),
        (b"secret", 0, Errno::EACCES),
        (b"a/link", 0, Errno::ENOENT),
        (b"ind\0x", 0, Errno::EINVAL),
        (&long_name, 0, Errno::ENAMETOOLONG),
        (&long_path, 0, Errno::ENAMETOOLONG),
    ];
    for (path, flags, e) in table {
        let text = String::from_utf8_lossy(path);
        assert_eq!(client.open(&mut server, path, *flags), errno(*e), "{text} {flags:o}");
    }
    for (path, flags) in [
        (&b"//a///b/../b/./c.txt"[..], 0),
        (b"../../index.html", open::CLOEXEC | open::NONBLOCK | open::NOFOLLOW),
        (b"a/", open::DIRECTORY),
        (b"empty", open::CREAT),
        (&b"./".repeat(2047), 0),
    ] {
        assert!(client.open(&mut server, path, flags) >= 0, "{}", String::from_utf8_lossy(path));
    }
}

#[test]
fn paths_begin_at_a_directory() {
    let Setup { mut server, mut client, .. } = setup(&sample());
    let a = client.open(&mut server, b"a", 0) as u32;
    let b = client.open_at(&mut server, a, b"b", 0) as u32;
    assert!(client.open_at(&mut server, b, b"c.txt", 0) >= 0);
    assert!(client.open_at(&mut server, b, b"../../empty", 0) >= 0);
    assert!(client.open_at(&mut server, 77, b"/empty", 0) >= 0);
    assert_eq!(client.open_at(&mut server, 77, b"empty", 0), errno(Errno::EBADF));
    let file = client.open(&mut server, b"empty", 0) as u32;
    assert_eq!(client.open_at(&mut server, file, b"empty", 0), errno(Errno::ENOTDIR));
    let into = client.data(0, &[0; 8]);
    assert_eq!(client.run(&mut server, Request::Read { file: a, offset: 0, into }).result, errno(Errno::EISDIR));
}

#[test]
fn stats() {
    let Setup { mut server, mut client, .. } = setup(&sample());
    let s = client.stat(&mut server, b"a/b/c.txt").unwrap();
    assert_eq!((s.mode, s.size, s.blocks, s.nlink, s.dev), (mode::REGULAR | 0o644, 4, 1, 1, 1));
    assert_eq!(s.mtime, 0o14732345670);
    assert_eq!(client.stat(&mut server, b"/").unwrap().mode, mode::DIRECTORY | 0o755);
    assert_eq!(client.stat(&mut server, b"a").unwrap().mode, mode::DIRECTORY | 0o555);
    assert_eq!(client.stat(&mut server, b"b"), Err(errno(Errno::ENOENT)));
    assert_ne!(client.stat(&mut server, b"a").unwrap().ino, client.stat(&mut server, b"a/b").unwrap().ino);
}

#[test]
fn lists_directories() {
    let Setup { mut server, mut client, .. } = setup(&sample());
    let (d, r) = (kind::DIRECTORY, kind::REGULAR);
    let expected: Vec<_> =
        [(".", d), ("..", d), ("a", d), ("big", r), ("empty", r), ("index.html", r), ("secret", r), ("tmp", d)]
            .map(|(n, k)| (n.to_string(), k))
            .into();
    for len in [40, 41, 64, 100, 4096] {
        assert_eq!(client.list(&mut server, b"/", len).unwrap(), expected, "{len}");
    }
    assert_eq!(client.list(&mut server, b"/", 24), Err(errno(Errno::EINVAL)));
    assert_eq!(client.list(&mut server, b"empty", 4096), Err(errno(Errno::ENOTDIR)));
}

#[test]
fn buffers_must_be_in_the_data_area() {
    let Setup { mut server, mut client, .. } = setup(&sample());
    let file = client.open(&mut server, b"big", 0) as u32;
    let size = client.region.memory().len() as u32;
    for (offset, len) in [(0, 8), (DATA as u32 - 1, 8), (size, 1), (size - 4, 5), (u32::MAX, u32::MAX), (size + 1, 0)] {
        let b = Buffer { offset, len };
        let requests = [
            Request::Read { file, offset: 0, into: b },
            Request::FileStat { file, into: b },
            Request::ReadDirectory { file: 0, offset: 0, into: b },
            Request::Counters { into: b },
            Request::Open { directory: ROOT, path: b, flags: 0, mode: 0 },
        ];
        for r in requests {
            let e = client.run(&mut server, r).result;
            assert!(e == errno(Errno::EFAULT), "{r:?} {e}");
        }
    }
    let short = Buffer { offset: DATA as u32, len: 127 };
    assert_eq!(client.run(&mut server, Request::FileStat { file, into: short }).result, errno(Errno::EFAULT));
}

#[test]
fn open_files_are_limited_and_counted() {
    let Setup { mut server, mut client, .. } = setup(&sample());
    for i in 0..MAX_OPEN {
        assert_eq!(client.open(&mut server, b"empty", 0), i as i64);
    }
    assert_eq!(client.open(&mut server, b"empty", 0), errno(Errno::EMFILE));
    assert_eq!(client.run(&mut server, Request::Close { file: 7 }).result, 0);
    assert_eq!(client.open(&mut server, b"empty", 0), 7);
    assert_eq!(client.run(&mut server, Request::Hello { version: 99 }).result, errno(Errno::EPROTO));
    let into = client.data(0, &[0; size_of::<Counters>()]);
    assert_eq!(client.run(&mut server, Request::Counters { into }).result, 0);
    let mut counters = Counters::new_zeroed();
    counters.as_mut_bytes().copy_from_slice(&client.fetch(into));
    assert_eq!((counters.open, counters.open_peak, counters.open_all), (0, MAX_OPEN as u64, 0));
    assert_eq!(counters.misbehaved, 0);
}

#[test]
fn a_full_ring_is_served_at_once_and_others_too() {
    let world: &'static World = Box::leak(Box::default());
    let (a, b) = (leak_for_tests(64 * PAGE), leak_for_tests(64 * PAGE));
    let mut server = start(environment(world, &sample(), &[("a", a), ("b", b)])).unwrap();
    let mut clients = [Client::new(a, 0), Client::new(b, 1)];
    for c in &mut clients {
        for _ in 0..FULL {
            c.submit(Request::Hello { version: VERSION });
        }
        c.commands.publish();
    }
    // Only one of them notifies; the other is found when there is more to do.
    let fused = server.notified(set(clients[0].channel));
    let mut told = world.0.lock().unwrap().clone();
    told.extend(fused.map(|c| c.index()));
    told.sort();
    assert_eq!(told, [0, 1]);
    for c in &mut clients {
        let ids: Vec<_> = std::iter::from_fn(|| c.completions.take().unwrap()).map(|c| c.id).collect();
        assert_eq!(ids, (1..=FULL).collect::<Vec<_>>());
    }
}

#[test]
fn a_client_that_takes_no_completions_waits_for_itself() {
    let Setup { mut server, mut client, .. } = setup(&sample());
    for _ in 0..3 {
        for _ in 0..FULL {
            if !client.commands.put(&Request::Hello { version: VERSION }.encode(9)).unwrap() {
                break;
            }
        }
        client.commands.publish();
        server.notified(set(client.channel));
    }
    assert_eq!(client.commands.room(), Ok(0));
    assert_eq!(client.completions.available(), Ok(FULL));
    while client.completions.take().unwrap().is_some() {}
    client.completions.release();
    server.notified(set(client.channel));
    assert_eq!(client.completions.available(), Ok(FULL));
}

#[test]
fn a_wrong_description_is_explained() {
    let world: &'static World = Box::leak(Box::default());
    let m = leak_for_tests(64 * PAGE);
    let text = |env| start(env).err().unwrap().to_string();
    let mut env = environment(world, &sample(), &[("app", m)]);
    env.config.channels.retain(|c| c.peer != "app");
    assert!(text(env).contains("session `app_vfs`: no channel leads to `app`"));
    let env = environment(world, &sample(), &[("app", leak_for_tests(PAGE))]);
    assert!(text(env).contains("64 KiB"));
    let mut env = environment(world, &sample(), &[("app", m)]);
    env.config.regions.iter_mut().find(|r| r.name == "vfs_archive").unwrap().prefill = 0;
    assert!(text(env).contains("prefill_path"));
    assert!(text(environment(world, &[7; 1024], &[])).contains("wrong checksum (header at byte 0)"));
}
