//! How much heap the server takes at most, held against what
//! `strait_abi::vfs::heap` says of it.

#![allow(unsafe_code)]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    collections::VecDeque,
    ops::Range,
};

use common::{Client, World, environment, sample};
use hadris_fat::{FatOptions, sync};
use hadris_storage::{BlockSize, MemDevice};
use strait_abi::{
    Errno,
    blk::SECTOR,
    vfs::{
        Buffer, DATA, MAX_OPEN, Request, VERSION, heap, mode, open,
        token::{MAX_EXPORTS, TOKEN_BYTES},
    },
};
use strait_pd::RegionConfig;
use strait_ring::{PAGE, memory::leak_for_tests};
use strait_vfs_server::{
    VfsServer,
    disk::{
        Content, Disk, End, NOT_READY,
        cache::{Cache, MAX_STAGED, MAX_USED},
        epoch::{Kind, Layout as Volume, Width},
    },
    fat::Fat,
    file_system::{FileSystem, New},
    identity::Caller,
    start,
};

std::thread_local! {
    /// Bytes that this thread has, and the most that it ever had.
    static BYTES: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// Counts what is taken and given back as sel4's dlmalloc would: with a word before
/// it, in units of two.
struct Counting;

fn count(layout: Layout, sign: isize) {
    let size = (layout.size() + 8).next_multiple_of(16).max(32) as isize;
    let _ = BYTES.try_with(|bytes| {
        let (now, most) = bytes.get();
        bytes.set((now + sign * size, most.max(now + sign * size)));
    });
}

// SAFETY: all is done by `System`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout, 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout, -1);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that this thread takes in `f` beyond those that it has.
fn most(f: impl FnOnce()) -> u64 {
    let before = BYTES.get().0;
    BYTES.set((before, before));
    f();
    (BYTES.get().1 - before) as u64
}

const HEAP: u64 = 6 << 20;
const CLIENTS: u64 = 2;

fn with_server(f: impl FnOnce(&mut VfsServer, &mut [Client; 2])) -> u64 {
    let world: &'static World = Box::leak(Box::default());
    let (a, b) = (leak_for_tests(128 * PAGE), leak_for_tests(128 * PAGE));
    let mut env = environment(world, &sample(), &[("a", a), ("b", b)]);
    let region = RegionConfig { name: "vfs_server_heap".into(), vaddr: 0, size: HEAP, prefill: 0, writable: true };
    env.config.regions.push(region);
    most(|| {
        let mut server = start(env).unwrap();
        let mut clients = [Client::new(a, 0), Client::new(b, 1)];
        for client in &mut clients {
            client.ask(&mut server, Request::Hello { version: VERSION }).unwrap();
        }
        f(&mut server, &mut clients);
        std::mem::forget(server);
    })
}

fn share() -> u64 {
    heap::share(HEAP, CLIENTS, false).unwrap()
}

fn name(n: u64) -> String {
    format!("{n:0>255}")
}

fn make(server: &mut VfsServer, client: &mut Client, directory: u32, name: &str) -> Result<u32, Errno> {
    let path = client.data(0, name.as_bytes());
    client.ask(server, Request::MakeDirectory { directory, path, mode: 0o755 })?;
    let path = client.data(0, name.as_bytes());
    client.ask(server, Request::Open { directory, path, flags: 0, mode: 0 }).map(|file| file as u32)
}

/// Directories in one another, each with the longest name, perhaps with a file with
/// one page in every second.
fn nest(server: &mut VfsServer, client: &mut Client, mut here: u32, with_files: bool) {
    loop {
        let Ok(next) = make(server, client, here, &name(1)) else { return };
        if with_files && next % 2 == 0 {
            let path = client.data(0, name(2).as_bytes());
            let request = Request::Open { directory: here, path, flags: open::CREAT | open::WRONLY, mode: 0o600 };
            if let Ok(file) = client.ask(server, request) {
                let _ = client.write_at(server, file, 0, b"x", 0);
                client.close(server, file).unwrap();
            }
        }
        client.close(server, here.into()).unwrap();
        here = next;
    }
}

/// So many pages, or as many as there are; none beside another.
fn fill(server: &mut VfsServer, client: &mut Client, path: &str, pages: u64) {
    let file = client.create(server, path, open::CREAT | open::RDWR, 0o666).unwrap();
    for page in 0..pages {
        if client.write_at(server, file, 3 * page * PAGE as u64, b"x", 0).is_err() {
            break;
        }
    }
    client.close(server, file).unwrap();
}

/// As many pipes as there are handles, all written to.
fn pipes(server: &mut VfsServer, client: &mut Client) {
    for _ in 0..MAX_OPEN / 2 - 1 {
        let done = client.run(server, Request::Pipe);
        assert!(done.result >= 0);
        client.write_at(server, done.extra[0] as i64, 0, b"x", 0).unwrap();
    }
}

/// As many open files as there can be: some on their way to another client.
fn open_all(server: &mut VfsServer, client: &mut Client, mut next: impl FnMut(&mut VfsServer, &mut Client) -> i64) {
    for _ in 0..MAX_EXPORTS {
        let file = next(server, client);
        let into = Buffer { offset: DATA as u32, len: TOKEN_BYTES as u32 };
        client.ask(server, Request::Export { file: file as u32, flags: 0, offset: 0, into }).unwrap();
        client.close(server, file).unwrap();
    }
    for _ in 0..MAX_OPEN {
        next(server, client);
    }
}

/// What two clients can make the server take.
fn with_clients(f: impl Fn(&mut VfsServer, &mut Client, &str)) -> u64 {
    with_server(|server, clients| {
        for (client, path) in clients.iter_mut().zip(["/tmp/a", "/tmp/b"]) {
            client.mkdir(server, path, 0o777).unwrap();
            let file = client.create(server, &format!("{path}/x"), open::CREAT, 0o666).unwrap();
            client.close(server, file).unwrap();
            f(server, client, path);
        }
    })
}

#[test]
fn the_fullest_server_takes_no_more_than_is_counted() {
    let shares = CLIENTS * share() * (heap::PAGE + heap::FILE);
    for with_files in [false, true] {
        let taken = with_clients(|server, client, path| {
            fill(server, client, &format!("{path}/y"), share() / 2);
            let here = client.open(server, path.as_bytes(), 0) as u32;
            nest(server, client, here, with_files);
            fill(server, client, &format!("{path}/y"), share());
        });
        assert!(taken < shares && taken > shares * 3 / 4, "{taken} of {shares}");
    }
}

#[test]
fn open_files_and_pipes_take_no_more_than_is_counted() {
    let files = with_clients(|server, client, path| {
        open_all(server, client, |server, client| client.open(server, format!("{path}/x").as_bytes(), 0));
    });
    let taken = with_clients(|server, client, _| pipes(server, client));
    let paid = CLIENTS * MAX_OPEN as u64 / 2 * heap::PAGE;
    // Not those of a disk: see below.
    assert!(files < CLIENTS * heap::CLIENT / 4, "{files}");
    assert!(taken < paid + CLIENTS * heap::CLIENT / 2, "{taken}");
}

/// A disk that reads at once, but never ends a write.
#[derive(Default)]
struct Slow {
    ended: VecDeque<(u32, usize)>,
    writes: usize,
}

impl Disk for Slow {
    fn capacity(&self) -> u64 {
        1 << 24
    }
    fn read_only(&self) -> bool {
        false
    }
    fn room(&mut self) -> usize {
        64 - self.ended.len() - self.writes
    }
    fn read(&mut self, tag: u32, _: u64, count: usize) {
        self.ended.push_back((tag, count));
    }
    fn write(&mut self, _: u32, _: u64, _: &[Content]) {
        self.writes += 1;
    }
    fn flush(&mut self, _: u32) {
        self.writes += 1;
    }
    fn poll(&mut self, data: &mut Vec<u8>) -> Option<End> {
        let (tag, count) = self.ended.pop_front()?;
        *data = vec![0; count * SECTOR];
        Some(End { tag, ok: true })
    }
    fn submit(&mut self) {}
    fn arm(&mut self) -> bool {
        false
    }
}

/// One operation that reads all of them.
fn look(cache: &mut Cache, buffer: &mut [u8], sectors: Range<u64>) {
    let bytes = &mut buffer[..(sectors.end - sectors.start) as usize * SECTOR];
    loop {
        cache.start(0);
        let done = cache.read(sectors.start, bytes);
        cache.finish(false);
        if done.is_ok() {
            return;
        }
        cache.service();
    }
}

/// One operation that changes all of them.
fn change(cache: &mut Cache, sectors: Range<u64>) {
    cache.start(0);
    cache.begin(Kind::Grow).unwrap();
    for sector in sectors {
        cache.write(sector, &[1; SECTOR]).unwrap();
    }
}

#[test]
fn the_busiest_disk_takes_no_more_than_is_counted() {
    // Changes of the FAT alone: of these it is kept what was before.
    const FAT: u64 = 1 << 16;
    let fat = FAT * SECTOR as u64;
    let layout = Volume { fat: 0, fat_size: fat, fat_end: fat, data: fat, cluster: 512, width: Width::Bits32 };
    let mut buffer = vec![0; MAX_USED * SECTOR];
    let taken = most(|| {
        let mut cache = Cache::new(Box::new(Slow::default()));
        cache.set_layout(layout);
        let mut at = 0;
        // An epoch that is written, and one that waits for that.
        for _ in 0..2 {
            for count in [1023, MAX_STAGED as u64] {
                look(&mut cache, &mut buffer, at..at + count);
                at += count;
            }
            change(&mut cache, at - MAX_STAGED as u64 - 1023..at - MAX_STAGED as u64);
            cache.finish(true);
            change(&mut cache, at - MAX_STAGED as u64..at);
            cache.finish(true);
            cache.service();
            // What was before is not among what is as on the disk any more.
            for _ in 0..3 {
                look(&mut cache, &mut buffer, FAT + at..FAT + at + 2048);
                at += 2048;
            }
        }
        let used = MAX_USED as u64;
        look(&mut cache, &mut buffer, at..at + used);
        assert!(matches!(cache.begin(Kind::Grow), Err(e) if e == NOT_READY));
        std::mem::forget(cache);
    });
    assert!(taken < heap::DISK && taken > heap::DISK / 2, "{taken} of {}", heap::DISK);
}

/// A disk in memory.
struct Ram {
    bytes: Vec<u8>,
    ended: VecDeque<(End, Vec<u8>)>,
}

impl Disk for Ram {
    fn capacity(&self) -> u64 {
        (self.bytes.len() / SECTOR) as u64
    }
    fn read_only(&self) -> bool {
        false
    }
    fn room(&mut self) -> usize {
        32
    }
    fn read(&mut self, tag: u32, sector: u64, count: usize) {
        let at = sector as usize * SECTOR;
        self.ended.push_back((End { tag, ok: true }, self.bytes[at..at + count * SECTOR].to_vec()));
    }
    fn write(&mut self, tag: u32, sector: u64, data: &[Content]) {
        for (at, content) in (sector as usize..).zip(data) {
            self.bytes[at * SECTOR..][..SECTOR].copy_from_slice(&content[..]);
        }
        self.ended.push_back((End { tag, ok: true }, Vec::new()));
    }
    fn flush(&mut self, tag: u32) {
        self.ended.push_back((End { tag, ok: true }, Vec::new()));
    }
    fn poll(&mut self, data: &mut Vec<u8>) -> Option<End> {
        let (end, bytes) = self.ended.pop_front()?;
        *data = bytes;
        Some(end)
    }
    fn submit(&mut self) {}
    fn arm(&mut self) -> bool {
        !self.ended.is_empty()
    }
}

fn ask<T>(fat: &mut Fat, mut operation: impl FnMut(&mut Fat) -> Result<T, Errno>) -> T {
    loop {
        fat.begin(0);
        let result = operation(fat);
        let again = fat.is_blocked();
        fat.finish(result.is_ok() && !again);
        if !again {
            return result.unwrap();
        }
        fat.service();
    }
}

#[test]
fn what_is_open_on_a_disk_takes_no_more_than_is_counted() {
    let mut device = MemDevice::new(vec![0; 5 << 20], BlockSize::new(SECTOR as u32).unwrap());
    sync::format(&mut device, &FatOptions::new()).unwrap();
    let mut fat = Fat::new(Box::new(Ram { bytes: device.into_inner(), ended: VecDeque::new() }));
    let caller = Caller { payer: 0, uid: 0, gid: 0, now: 0 };
    let root = fat.root();
    let top = ask(&mut fat, |fat| fat.make(&caller, root, b"d", New { mode: mode::DIRECTORY, target: b"" }));
    let all: Vec<_> = (0..MAX_OPEN + 2 * MAX_EXPORTS).map(|n| n.to_string()).collect();
    for format in [mode::DIRECTORY, mode::REGULAR] {
        let make = |fat: &mut Fat| {
            for name in &all {
                let new = New { mode: format | 0o666, target: b"" };
                let node = ask(fat, |fat| fat.make(&caller, top, name.as_bytes(), new));
                fat.hold(node);
                ask(fat, |fat| fat.unlink(&caller, top, name.as_bytes(), format == mode::DIRECTORY));
            }
        };
        let taken = most(|| make(&mut fat));
        assert!(taken < heap::CLIENT * 3 / 4, "{taken}");
    }
}
