extern crate std;

use super::*;
use crate::disk::fake::{FakeDisk, next_random};
use hadris_fat::{Detail, FatOptions, sync};
use hadris_storage::{BlockSize, MemDevice};
use proptest::prelude::*;
use std::{boxed::Box, collections::BTreeMap, format, string::String, vec, vec::Vec};
use strait_abi::{blk::SECTOR, vfs::MAX_IO};
use strait_ring::{SharedMemory, memory::leak_for_tests};

const CALLER: Caller = Caller { payer: 0, uid: 0, gid: 0, now: 5_000_000_000 };

fn image(kind: FatKind) -> Vec<u8> {
    let (size, cluster) = match kind {
        FatKind::Fat12 => (1 << 20, 512),
        FatKind::Fat16 => (5 << 20, 1024),
        _ => (40 << 20, 512),
    };
    let mut device = MemDevice::new(vec![0; size], BlockSize::new(SECTOR as u32).unwrap());
    let options = FatOptions::new().with_kind(kind).with_cluster_size(cluster).with_root_entries(64);
    sync::format(&mut device, &options).unwrap();
    device.into_inner()
}

/// What is wrong with a volume.
fn findings(image: &[u8]) -> Vec<(Detail, String)> {
    let mut device = MemDevice::new(image, BlockSize::new(SECTOR as u32).unwrap());
    let mut found = Vec::new();
    let mut scratch = vec![0; 16384];
    sync::check(&mut device, &mut scratch, |f| found.push((Detail::from_code(f.detail()).unwrap(), format!("{f}"))))
        .unwrap();
    found
}

struct Bench {
    disk: FakeDisk,
    fat: Fat,
    memory: SharedMemory,
}

type Done<T> = Result<T, Errno>;

impl Bench {
    fn new(image: Vec<u8>) -> Self {
        let disk = FakeDisk::new(image);
        let fat = Fat::new(Box::new(disk.clone()));
        std::thread_local! { static MEMORY: SharedMemory = leak_for_tests(MAX_IO); }
        Self { disk, fat, memory: MEMORY.with(|m| *m) }
    }

    /// Runs an operation as the server does.
    fn ask<T>(&mut self, mut operation: impl FnMut(&mut Fat) -> Done<T>) -> Done<T> {
        for _ in 0..20_000 {
            self.fat.begin(0);
            let result = operation(&mut self.fat);
            let again = self.fat.is_blocked();
            assert!(again || !matches!(result, Err(NOT_READY)));
            self.fat.finish(result.is_ok() && !again);
            if !again {
                return result;
            }
            if !self.fat.service() {
                self.disk.step();
                self.fat.service();
            }
        }
        panic!("never ready");
    }

    /// The directory and the last name of a path.
    fn place<'a>(&mut self, path: &'a str) -> Done<(Node, &'a [u8])> {
        let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
        let node = self.find(parents)?;
        Ok((node, name.as_bytes()))
    }

    fn find(&mut self, path: &str) -> Done<Node> {
        let mut node = self.fat.root();
        for name in path.split('/').filter(|n| !n.is_empty()) {
            node = self.ask(|fat| fat.lookup(node, name.as_bytes()))?;
        }
        Ok(node)
    }

    /// As the server opens it.
    fn find_and_hold(&mut self, path: &str) -> Node {
        loop {
            self.fat.begin(0);
            let found = path.split('/').try_fold(ROOT, |node, name| self.fat.lookup(node, name.as_bytes()));
            let again = self.fat.is_blocked();
            if !again {
                self.fat.hold(found.unwrap());
            }
            self.fat.finish(!again);
            if !again {
                return found.unwrap();
            }
            self.fat.service();
            self.disk.step();
            self.fat.service();
        }
    }

    fn make(&mut self, path: &str, mode: u32) -> Done<Node> {
        let (directory, name) = self.place(path)?;
        self.ask(|fat| fat.make(&CALLER, directory, name, New { mode, target: b"" }))
    }

    fn write(&mut self, node: Node, offset: u64, bytes: &[u8]) -> Done<()> {
        let mut done = 0;
        while done < bytes.len() {
            let part = &bytes[done..][..MAX_IO.min(bytes.len() - done)];
            self.memory.write(0, part).unwrap();
            let window = Window::new(self.memory, 0, part.len()).unwrap();
            done += self.ask(|fat| fat.write(&CALLER, node, offset + done as u64, window))?;
        }
        Ok(())
    }

    fn create(&mut self, path: &str, bytes: &[u8]) -> Done<Node> {
        let node = self.make(path, mode::REGULAR | 0o644)?;
        self.write(node, 0, bytes)?;
        Ok(node)
    }

    fn read_node(&mut self, node: Node) -> Done<Vec<u8>> {
        let window = Window::new(self.memory, 0, MAX_IO).unwrap();
        let mut all = Vec::new();
        loop {
            let n = self.ask(|fat| fat.read(node, all.len() as u64, window))?;
            if n == 0 {
                return Ok(all);
            }
            let mut part = vec![0; n];
            self.memory.read(0, &mut part).unwrap();
            all.extend(part);
        }
    }

    /// Does something with a file while it is open.
    fn held<T>(&mut self, path: &str, f: impl FnOnce(&mut Self, Node) -> Done<T>) -> Done<T> {
        self.find(path)?;
        let node = self.find_and_hold(path);
        let result = f(self, node);
        self.fat.release(node);
        result
    }

    fn read(&mut self, path: &str) -> Done<Vec<u8>> {
        self.held(path, Self::read_node)
    }

    fn remove(&mut self, path: &str, is_directory: bool) -> Done<()> {
        let (directory, name) = self.place(path)?;
        self.ask(|fat| fat.unlink(&CALLER, directory, name, is_directory))
    }

    fn rename(&mut self, from: &str, to: &str) -> Done<()> {
        let (from, to) = (self.place(from)?, self.place(to)?);
        self.ask(|fat| fat.rename(&CALLER, from, to))
    }

    fn list(&mut self, path: &str) -> Done<Vec<String>> {
        let node = self.find(path)?;
        let (mut from, mut names) = (0, Vec::new());
        loop {
            let before = from;
            let part = self.ask(|fat| {
                let (mut part, mut next) = (Vec::new(), from);
                fat.list(node, from, &mut |e| {
                    part.push(String::from_utf8(e.name.to_vec()).unwrap());
                    next = e.next;
                    part.len() < 10
                })?;
                Ok((part, next))
            })?;
            names.extend(part.0);
            from = part.1;
            if from == before {
                names.sort();
                return Ok(names);
            }
        }
    }

    fn sync(&mut self) -> Done<()> {
        let mut ticket = None;
        self.ask(|fat| {
            let ticket = *ticket.get_or_insert_with(|| fat.sync(ROOT));
            fat.synced(ticket)
        })
    }

    /// What is on the disk once all was written and the power goes.
    fn image(&mut self) -> Vec<u8> {
        self.sync().unwrap();
        self.disk.crash(1)
    }
}

impl Bench {
    /// What is to be done without anybody's asking.
    fn settle(&mut self) {
        while self.fat.service() || self.fat.arm() || self.disk.step() {}
    }
}

const KINDS: [FatKind; 3] = [FatKind::Fat12, FatKind::Fat16, FatKind::Fat32];

fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut seed = seed | 1;
    (0..len).map(|_| next_random(&mut seed) as u8).collect()
}

#[test]
fn files_outlive_the_power_once_synced() {
    for kind in KINDS {
        let mut b = Bench::new(image(kind));
        let big = bytes(9, 200_000);
        b.create("Hello World.txt", b"hello").unwrap();
        b.make("sub", mode::DIRECTORY | 0o755).unwrap();
        b.create("sub/big", &big).unwrap();
        b.make("sub/deeper", mode::DIRECTORY | 0o755).unwrap();
        for n in 0..40 {
            b.create(&format!("sub/deeper/file with a long name {n}"), &[n; 10]).unwrap();
        }
        let image = b.image();
        assert_eq!(findings(&image), []);
        let mut b = Bench::new(image);
        assert_eq!(b.list("").unwrap(), ["Hello World.txt", "sub"]);
        assert_eq!(b.list("sub").unwrap(), ["big", "deeper"]);
        assert_eq!(b.list("sub/deeper").unwrap().len(), 40);
        assert_eq!(b.read("hello world.TXT").unwrap(), b"hello");
        assert_eq!(b.read("sub/big").unwrap(), big);
        assert_eq!(b.read("sub/deeper/file with a long name 39").unwrap(), [39; 10]);
        let node = b.find("sub/big").unwrap();
        let stat = b.ask(|fat| fat.stat(node)).unwrap();
        assert_eq!((stat.size, stat.mode, stat.nlink), (200_000, mode::REGULAR | 0o666, 1));
        // 1980-01-01 and five seconds, of which FAT keeps an even number.
        assert_eq!(stat.mtime, 315_532_804);
        let deeper = b.find("sub/deeper").unwrap();
        let sub = b.ask(|fat| fat.parent(deeper)).unwrap();
        assert_eq!(Ok(sub), b.find("sub"));
        let mut name = Vec::new();
        b.ask(|fat| {
            name.clear();
            fat.name(deeper, &mut name)
        })
        .unwrap();
        assert_eq!(name, b"deeper");
    }
}

#[test]
fn names_go_and_space_comes_back() {
    for kind in KINDS {
        let mut b = Bench::new(image(kind));
        let free = |b: &mut Bench| b.ask(|fat| fat.stat_vfs(&CALLER)).unwrap().bfree;
        let before = free(&mut b);
        b.make("d", mode::DIRECTORY | 0o755).unwrap();
        b.create("d/f", &bytes(1, 100_000)).unwrap();
        assert!(free(&mut b) < before);
        assert_eq!(b.remove("d", true), Err(Errno::ENOTEMPTY));
        assert_eq!(b.remove("d", false), Err(Errno::EISDIR));
        assert_eq!(b.remove("d/f", true), Err(Errno::ENOTDIR));
        b.rename("d/f", "other").unwrap();
        b.remove("d", true).unwrap();
        assert_eq!(b.read("other").unwrap(), bytes(1, 100_000));
        b.create("new", b"new").unwrap();
        b.rename("new", "other").unwrap();
        assert_eq!(b.list("").unwrap(), ["other"]);
        assert_eq!(b.read("other").unwrap(), b"new");
        b.remove("other", false).unwrap();
        assert_eq!(free(&mut b), before);
        assert_eq!(findings(&b.image()), []);
    }
}

#[test]
fn what_fat_cannot_do() {
    let mut b = Bench::new(image(FatKind::Fat16));
    let node = b.create("f", b"x").unwrap();
    assert_eq!(b.make("s", mode::SYMLINK | 0o777), Err(Errno::EPERM));
    assert_eq!(b.make("p", mode::FIFO | 0o666), Err(Errno::EPERM));
    assert_eq!(b.make("F", mode::REGULAR | 0o666), Err(Errno::EEXIST));
    assert_eq!(b.make("a:b", mode::REGULAR | 0o666), Err(Errno::EINVAL));
    assert_eq!(b.find("nothing"), Err(Errno::ENOENT));
    assert_eq!(b.find("f/x"), Err(Errno::ENOTDIR));
    assert_eq!(b.ask(|fat| fat.lookup(ROOT, b"\xff")), Err(Errno::ENOENT));
    assert_eq!(b.ask(|fat| fat.link(&CALLER, node, ROOT, b"g")), Err(Errno::EPERM));
    assert_eq!(b.ask(|fat| fat.change_mode(&CALLER, node, 0o600)), Err(Errno::EPERM));
    b.ask(|fat| fat.change_mode(&CALLER, node, 0o444)).unwrap();
    assert_eq!(b.ask(|fat| fat.stat(node)).unwrap().mode, mode::REGULAR | 0o444);
    assert_eq!(b.ask(|fat| fat.truncate(&CALLER, node, 1 << 32)), Err(Errno::EFBIG));
    // Numbers that are no file's.
    for node in [0, 2, 77, 1 << 30, FIRST_SUBSTITUTE, u64::MAX] {
        assert_eq!(b.ask(|fat| fat.stat(node)).unwrap_err(), Errno::ENOENT, "{node}");
    }
}

#[test]
fn what_is_in_use_keeps_its_number() {
    let mut b = Bench::new(image(FatKind::Fat16));
    let node = b.create("f", b"mine").unwrap();
    b.fat.hold(node);
    b.create("g", b"other").unwrap();
    b.rename("f", "a much longer name than before").unwrap();
    assert_eq!(b.find("a much longer name than before"), Ok(node));
    assert_eq!(b.read_node(node).unwrap(), b"mine");
    b.write(node, 4, b" too").unwrap();
    // Its place is another's now, with another number or the same.
    b.remove("g", false).unwrap();
    let f = b.make("f", mode::REGULAR | 0o644).unwrap();
    assert_ne!(f, node);
    // As the server does in the same operation.
    let f = b.find_and_hold("f");
    b.write(f, 0, b"new").unwrap();
    assert_eq!(b.read_node(f).unwrap(), b"new");
    b.fat.release(f);
    assert_eq!(b.read("a much longer name than before").unwrap(), b"mine too");
    b.rename("a much longer name than before", "h").unwrap();
    assert_eq!(b.read_node(node).unwrap(), b"mine too");
    b.fat.release(node);
    assert_eq!(b.remove("h", false), Ok(()));
    assert_eq!(findings(&b.image()), []);
}

/// Free clusters.
fn free(b: &mut Bench) -> u64 {
    b.ask(|fat| fat.stat_vfs(&CALLER)).unwrap().bfree
}

#[test]
fn what_is_in_use_lives_on_without_a_name() {
    for kind in [FatKind::Fat12, FatKind::Fat16] {
        let mut b = Bench::new(image(kind));
        let big = bytes(9, 30_000);
        b.create("f", &big).unwrap();
        b.create("g", b"new").unwrap();
        let before = free(&mut b);
        let old = b.find_and_hold("f");
        assert_eq!(b.rename("g", "f"), Ok(()));
        let second = b.find_and_hold("f");
        assert_ne!(second, old);
        assert_eq!(b.read_node(second).unwrap(), b"new");
        assert_eq!(b.remove("f", false), Ok(()));
        assert_eq!((b.list("").unwrap(), b.find("f")), (vec![], Err(Errno::ENOENT)));
        // Both are there, and can be changed.
        assert_eq!(b.ask(|fat| fat.stat(old)).unwrap().nlink, 0);
        b.write(old, 30_000, b"more").unwrap();
        b.write(second, 0, b"NEW").unwrap();
        assert_eq!(b.read_node(old).unwrap(), [&big[..], b"more"].concat());
        assert_eq!(b.read_node(second).unwrap(), b"NEW");
        // Nor are they mistaken for what comes to be at their places.
        for n in 0..4 {
            b.create(&format!("{n}"), b"another").unwrap();
        }
        assert_eq!(b.read_node(second).unwrap(), b"NEW");
        assert_eq!(findings(&b.image()), []);
        b.fat.release(old);
        b.fat.release(second);
        for n in 0..4 {
            b.remove(&format!("{n}"), false).unwrap();
        }
        b.settle();
        // The hidden directory has a cluster.
        let after = free(&mut b);
        assert!(after + 1 >= before, "{before} {after}");
        assert_eq!(findings(&b.image()), []);
        assert_eq!(b.make("strait.del", mode::REGULAR | 0o644), Err(Errno::EPERM));
        assert_eq!(b.find("Strait.Del"), Err(Errno::ENOENT));
    }
}

#[test]
fn a_directory_in_use_lives_on_without_a_name() {
    let mut b = Bench::new(image(FatKind::Fat16));
    b.make("d", mode::DIRECTORY | 0o755).unwrap();
    let d = b.find_and_hold("d");
    b.create("d/x", b"x").unwrap();
    assert_eq!(b.remove("d", true), Err(Errno::ENOTEMPTY));
    b.remove("d/x", false).unwrap();
    assert_eq!(b.remove("d", true), Ok(()));
    let stat = b.ask(|fat| fat.stat(d)).unwrap();
    assert_eq!((stat.nlink, stat.mode & mode::FORMAT), (0, mode::DIRECTORY));
    assert_eq!(b.ask(|fat| fat.lookup(d, b"x")), Err(Errno::ENOENT));
    assert_eq!(b.ask(|fat| fat.make(&CALLER, d, b"y", New { mode: mode::REGULAR, target: b"" })), Err(Errno::ENOENT));
    assert_eq!(b.ask(|fat| fat.parent(d)), Ok(ROOT));
    assert_eq!(b.ask(|fat| fat.name(d, &mut vec![])), Err(Errno::ENOENT));
    // One of the same name is another.
    b.make("d", mode::DIRECTORY | 0o755).unwrap();
    assert_ne!(b.find("d").unwrap(), d);
    b.fat.release(d);
    b.sync().unwrap();
    assert_eq!(b.list("").unwrap(), ["d"]);
    assert_eq!(findings(&b.image()), []);
}

#[test]
fn what_a_loss_of_power_left_without_a_name_goes() {
    let mut b = Bench::new(image(FatKind::Fat16));
    b.create("other", b"x").unwrap();
    let before = free(&mut b);
    for n in 0..20 {
        let path = format!("f{n}");
        b.create(&path, &bytes(n, 5000)).unwrap();
        b.find_and_hold(&path);
        b.remove(&path, false).unwrap();
    }
    b.sync().unwrap();
    // All are in use when the power goes.
    let mut b = Bench::new(b.disk.crash(3));
    assert_eq!(b.list("").unwrap(), ["other"]);
    b.settle();
    let after = free(&mut b);
    assert!(after + 2 >= before, "{before} {after}");
    assert_eq!(findings(&b.image()), []);
}

#[test]
fn a_full_disk_loses_nothing() {
    let mut b = Bench::new(image(FatKind::Fat12));
    let node = b.create("f", &bytes(3, 900_000)).unwrap();
    // As much as there is room for, then nothing, and that is known.
    let more = bytes(4, 200_000);
    assert_eq!(b.write(node, 900_000, &more), Err(Errno::ENOSPC));
    assert_eq!((free(&mut b), b.fat.full), (0, true));
    let size = b.ask(|fat| fat.stat(node)).unwrap().size;
    assert_eq!(b.write(node, size, b"x"), Err(Errno::ENOSPC));
    assert_eq!(b.write(node, size - 1, b"x"), Ok(()));
    let kept = b.read("f").unwrap();
    assert_eq!(kept[..900_000], bytes(3, 900_000));
    assert_eq!(kept[900_000..kept.len() - 1], more[..kept.len() - 900_001]);
    assert_eq!(findings(&b.image()), []);
    b.remove("f", false).unwrap();
    b.create("g", &bytes(5, 900_000)).unwrap();
    assert_eq!(b.read("g").unwrap(), bytes(5, 900_000));
}

#[test]
fn a_file_grows_in_steps() {
    let mut b = Bench::new(image(FatKind::Fat16));
    let node = b.create("f", b"start").unwrap();
    b.ask(|fat| fat.truncate(&CALLER, node, 3 << 20)).unwrap();
    b.write(node, 4 << 20, b"end").unwrap();
    let all = b.read("f").unwrap();
    assert_eq!(all.len(), (4 << 20) + 3);
    assert!(all.starts_with(b"start\0") && all.ends_with(b"\0end"));
    assert!(all[5..4 << 20].iter().all(|b| *b == 0));
    b.ask(|fat| fat.truncate(&CALLER, node, 7)).unwrap();
    assert_eq!(b.read("f").unwrap(), b"start\0\0");
    assert_eq!(findings(&b.image()), []);
}

#[test]
fn a_file_is_read_along_its_chain() {
    for kind in KINDS {
        let mut b = Bench::new(image(kind));
        // Two that lie in each other's gaps.
        let (mut f, mut g) = (vec![], vec![]);
        b.create("f", b"").unwrap();
        b.create("g", b"").unwrap();
        for n in 0..40 {
            for (name, content) in [("f", &mut f), ("g", &mut g)] {
                let part = bytes(n + 7, 3000 + n as usize * 50);
                b.held(name, |b, node| b.write(node, content.len() as u64, &part)).unwrap();
                content.extend(part);
            }
        }
        let node = b.find_and_hold("f");
        let mut seed = 5;
        for _ in 0..300 {
            let at = next_random(&mut seed) as usize % (f.len() + 100);
            let len = next_random(&mut seed) as usize % 20_000;
            let window = Window::new(b.memory, 0, len).unwrap();
            let n = b.ask(|fat| fat.read(node, at as u64, window)).unwrap();
            let mut got = vec![0; n];
            window.read(0, &mut got).unwrap();
            assert!(got == f[at.min(f.len())..(at + len).min(f.len())]);
        }
        // Another chain under the same number.
        b.ask(|fat| fat.truncate(&CALLER, node, 0)).unwrap();
        b.held("g", |b, node| b.write(node, g.len() as u64, b"more")).unwrap();
        b.write(node, 0, &f).unwrap();
        assert!(b.read_node(node).unwrap() == f);
        // Shorter, and longer again.
        b.ask(|fat| fat.truncate(&CALLER, node, 5000)).unwrap();
        b.held("g", |b, node| b.write(node, g.len() as u64 + 4, &bytes(1, 9000))).unwrap();
        b.write(node, 5000, &f[5000..]).unwrap();
        assert!(b.read_node(node).unwrap() == f);
    }
}

#[test]
fn a_disk_without_fat() {
    let mut b = Bench::new(vec![0; 1 << 20]);
    assert_eq!(b.find("f"), Err(Errno::EIO));
    assert_eq!(b.make("f", mode::REGULAR), Err(Errno::EIO));
    assert_eq!(b.ask(|fat| fat.stat(ROOT)).unwrap().nlink, 2);
    let mut b = Bench::new(Vec::new());
    assert_eq!(b.find("f"), Err(Errno::EIO));
    let mut b = Bench::new(image(FatKind::Fat16));
    b.disk.set_read_only(true);
    assert!(b.fat.is_read_only());
    assert_eq!(b.make("f", mode::REGULAR), Err(Errno::EROFS));
}

/// Chains that lead in circles, into each other, nowhere.
#[test]
fn broken_chains_end() {
    for kind in [FatKind::Fat12, FatKind::Fat16] {
        let mut b = Bench::new(image(kind));
        b.create("f", &bytes(1, 20_000)).unwrap();
        b.make("d", mode::DIRECTORY | 0o755).unwrap();
        let image = b.image();
        for fill in [0x02u8, 0x03, 0x05, 0xf7, 0xf8, 0xff, 0x00] {
            let mut broken = image.clone();
            // Behind the first two entries of both FATs.
            for (at, byte) in broken[SECTOR + 4..3 * SECTOR].iter_mut().enumerate() {
                *byte = if kind == FatKind::Fat16 && at % 2 == 1 { 0 } else { fill };
            }
            let mut b = Bench::new(broken);
            let _ = b.read("f");
            let _ = b.list("d");
            let _ = b.create("d/x", b"x");
            let _ = b.create("y", &bytes(1, 3000));
            let _ = b.rename("d", "e");
            let _ = b.remove("f", false);
            let _ = b.ask(|fat| fat.stat_vfs(&CALLER));
            let _ = b.sync();
        }
    }
}

/// One of the things that a client may do.
fn act(b: &mut Bench, model: &mut Model, op: u8, a: u8, c: u8, len: u16) {
    let name = |n: u8| match n % 12 {
        n @ 0..6 => format!("file {n} with a name"),
        n @ 6..9 => format!("D/F{n}"),
        n => format!("D/inner/file {n} far below"),
    };
    let (path, other) = (name(a), name(c));
    match op {
        0..4 => {
            let content = bytes(u64::from(len) * 7 + 1, len.into());
            if b.find(&path).is_err() && b.make(&path, mode::REGULAR | 0o644).is_ok() {
                model.set(&path, Some(Vec::new()));
            }
            if b.held(&path, |b, node| b.write(node, u64::from(c) * 16, &content)).is_ok() {
                let mut old = model.now.get(&path).cloned().unwrap_or_default();
                let at = usize::from(c) * 16;
                old.resize(old.len().max(at + content.len()), 0);
                old[at..at + content.len()].copy_from_slice(&content);
                model.set(&path, Some(old));
            }
        }
        4 => {
            if b.remove(&path, false).is_ok() {
                model.unnamed(&path);
                model.set(&path, None);
            }
        }
        5 => {
            if path != other && b.rename(&path, &other).is_ok() {
                let content = model.now[&path].clone();
                model.unnamed(&other);
                for (_, name, _) in model.open.iter_mut().filter(|(_, name, _)| *name == path) {
                    name.clone_from(&other);
                }
                model.set(&path, None);
                model.set(&other, Some(content));
            }
        }
        6 => {
            if b.held(&path, |b, node| b.ask(|fat| fat.truncate(&CALLER, node, len.into()))).is_ok() {
                let mut old = model.now[&path].clone();
                old.resize(len.into(), 0);
                model.set(&path, Some(old));
            }
        }
        7 => {
            b.sync().unwrap();
            model.sync();
        }
        8 => {
            // Somebody has it open for a while.
            if let Some(content) = model.now.get(&path).cloned() {
                let node = b.find_and_hold(&path);
                model.open.push((node, path, content));
            }
        }
        _ => {
            if !model.open.is_empty() {
                let (node, ..) = model.open.remove(usize::from(c) % model.open.len());
                b.fat.release(node);
            }
        }
    }
}

#[derive(Default)]
struct Model {
    /// What is open: its number, its name or none, and what it holds.
    open: Vec<(Node, String, Vec<u8>)>,
    now: BTreeMap<String, Vec<u8>>,
    /// What must be there after a loss of power: not touched since it was
    /// durable.
    sure: BTreeMap<String, Vec<u8>>,
}

impl Model {
    fn set(&mut self, path: &str, content: Option<Vec<u8>>) {
        self.sure.remove(path);
        if let Some(content) = &content {
            for (_, _, open) in self.open.iter_mut().filter(|(_, name, _)| name == path) {
                open.clone_from(content);
            }
        }
        match content {
            Some(content) => self.now.insert(path.into(), content),
            None => self.now.remove(path),
        };
    }

    /// A name does not stand for what is open any more.
    fn unnamed(&mut self, path: &str) {
        self.open.iter_mut().filter(|(_, name, _)| name == path).for_each(|(_, name, _)| name.clear());
    }

    fn sync(&mut self) {
        self.sure = self.now.clone();
    }
}

type Acts = Vec<(u8, u8, u8, u16)>;

fn acts() -> impl Strategy<Value = Acts> {
    proptest::collection::vec((0u8..10, any::<u8>(), any::<u8>(), 1u16..20_000), 1..60)
}

fn kind_of(n: u8) -> FatKind {
    // FAT32 needs large images.
    if n.is_multiple_of(2) { FatKind::Fat12 } else { FatKind::Fat16 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is done, in whatever order the disk serves requests: files hold
    /// what was written; and if the power goes, what was synced and not touched
    /// since is there, and nothing is worse than space that nobody has.
    #[test]
    fn nothing_synced_is_lost(kind: u8, acts in acts(), steps in 0usize..30, seed in 2u64..) {
        let mut b = Bench::new(image(kind_of(kind)));
        b.disk.shuffle(seed);
        let mut model = Model::default();
        b.make("D", mode::DIRECTORY | 0o755).unwrap();
        b.make("D/inner", mode::DIRECTORY | 0o755).unwrap();
        for (op, a, c, len) in acts {
            act(&mut b, &mut model, op, a, c, len);
        }
        for (path, content) in &model.now {
            prop_assert_eq!(&b.read(path).unwrap(), content);
        }
        for (node, _, content) in &model.open {
            prop_assert_eq!(&b.read_node(*node).unwrap(), content);
        }
        b.fat.service();
        for _ in 0..steps {
            b.disk.step();
            b.fat.service();
        }
        let image = b.disk.crash(seed);
        for (detail, text) in findings(&image) {
            let mild = matches!(
                detail,
                Detail::LostClusters | Detail::SizeMismatch | Detail::FatCopiesDiffer | Detail::OrphanLfn
                    | Detail::LfnChecksum | Detail::Dirty
            );
            // A file that is being renamed may have both names.
            prop_assert!(mild || detail == Detail::CrossLink, "{text}");
        }
        let mut after = Bench::new(image);
        for (path, content) in &model.sure {
            prop_assert_eq!(&after.read(path).unwrap(), content, "{}", path);
        }
        let image = b.image();
        prop_assert_eq!(findings(&image), []);
        let mut after = Bench::new(image);
        for (path, content) in &model.now {
            prop_assert_eq!(&after.read(path).unwrap(), content);
        }
    }

    /// Volumes with anything in them: no panic, no endless loop.
    #[test]
    fn broken_volumes_do_no_harm(
        kind: u8,
        acts in acts(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        near in proptest::collection::vec((0usize..20_000, any::<u8>()), 0..40),
    ) {
        let mut b = Bench::new(image(kind_of(kind)));
        let mut model = Model::default();
        b.make("D", mode::DIRECTORY | 0o755).unwrap();
        for n in 0..12 {
            act(&mut b, &mut model, 0, n, n, 700);
        }
        let mut image = b.image();
        for (at, byte) in damage {
            let at = at.index(image.len());
            image[at] = byte;
        }
        for (at, byte) in near {
            image[at] ^= byte;
        }
        let mut b = Bench::new(image);
        for (op, a, c, len) in acts {
            let mut model = Model::default();
            model.now.extend((0..12u8).map(|n| (match n {
                n @ 0..6 => format!("file {n} with a name"),
                n @ 6..9 => format!("D/F{n}"),
                n => format!("D/inner/file {n} far below"),
            }, Vec::new())));
            if op < 7 {
                act(&mut b, &mut model, op, a, c, len);
            }
        }
        let _ = b.list("");
        let _ = b.list("D");
        let _ = b.sync();
    }
}

#[test]
fn large_files_go_in_steps() {
    let mut b = Bench::new(image(FatKind::Fat32));
    let before = free(&mut b);
    for name in ["a", "b", "c"] {
        // More than two steps.
        b.create(name, &vec![7; 5 << 20]).unwrap();
    }
    b.remove("a", false).unwrap();
    b.rename("b", "c").unwrap();
    assert_eq!(b.find("b"), Err(Errno::ENOENT));
    let node = b.find("c").unwrap();
    b.ask(|fat| fat.truncate(&CALLER, node, 5)).unwrap();
    assert_eq!(b.read("c").unwrap(), [7; 5]);
    b.remove("c", false).unwrap();
    b.settle();
    // The hidden directory stays.
    assert_eq!(free(&mut b), before - 1);
    assert_eq!(findings(&b.image()), []);
}

#[test]
fn what_fills_the_disk_can_be_removed() {
    let mut b = Bench::new(image(FatKind::Fat16));
    let before = free(&mut b);
    assert_eq!(b.create("all", &vec![7; 6 << 20]), Err(Errno::ENOSPC));
    assert_eq!(free(&mut b), 0);
    b.remove("all", false).unwrap();
    b.settle();
    assert_eq!(free(&mut b), before - 1);
    assert_eq!(findings(&b.image()), []);
}
