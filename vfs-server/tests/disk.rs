//! A FAT volume behind a block driver, seen by clients: the whole way from a
//! command to the disk, with a disk that ends requests when the test says so.

mod common;

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use common::{Client, sample, set};
use hadris_fat::{FatOptions, sync};
use hadris_storage::{BlockSize, MemDevice};
use strait_abi::{
    Errno,
    blk::{self, DriverEnd, SECTOR},
    vfs::{Buffer, DATA, ROOT, Request, STAT_BYTES, Stat, VERSION, mode, open},
};
use strait_blk_driver::{BlkDriver, BlockDevice, Operation};
use strait_pd::{Channel, ChannelConfig, ChannelSet, Component, Message, Pd};
use strait_ring::{PAGE, SharedMemory, memory::leak_for_tests};
use strait_vfs_server::{VfsServer, start};
use zerocopy::FromBytes;

const DISK: u8 = 41;
const CLIENT_OF_DRIVER: u8 = 1;
const IRQ: u8 = 0;

type Image = Rc<RefCell<Vec<u8>>>;

struct Ram {
    image: Image,
    data: SharedMemory,
    queue: VecDeque<(u16, Operation)>,
    ended: VecDeque<(u16, bool)>,
}

impl Ram {
    fn step(&mut self) -> bool {
        let Some((token, operation)) = self.queue.pop_front() else { return false };
        let image = &mut *self.image.borrow_mut();
        match operation {
            Operation::Read { sector, offset, count } => {
                let (at, len) = (sector as usize * SECTOR, count as usize * SECTOR);
                self.data.write(offset as usize, &image[at..at + len]).unwrap();
            }
            Operation::Write { sector, offset, count } => {
                let (at, len) = (sector as usize * SECTOR, count as usize * SECTOR);
                self.data.read(offset as usize, &mut image[at..at + len]).unwrap();
            }
            Operation::Flush => {}
        }
        self.ended.push_back((token, true));
        true
    }
}

impl BlockDevice for Ram {
    fn capacity(&self) -> u64 {
        (self.image.borrow().len() / SECTOR) as u64
    }
    fn read_only(&self) -> bool {
        false
    }
    fn ack_interrupt(&mut self) {}
    fn room(&self) -> usize {
        64 - self.queue.len() - self.ended.len()
    }
    fn submit(&mut self, token: u16, operation: Operation) {
        self.queue.push_back((token, operation));
    }
    fn poll(&mut self) -> Option<(u16, bool)> {
        self.ended.pop_front()
    }
    fn ready(&self) -> bool {
        !self.ended.is_empty()
    }
    fn kick(&mut self) {}
    fn set_interrupt(&mut self, _: bool) {}
}

/// The world of the server and of the driver.
#[derive(Default)]
struct World {
    driver: RefCell<Option<BlkDriver<Ram>>>,
    /// Who was notified: channels of the server.
    notified: RefCell<Vec<usize>>,
}

impl Pd for World {
    fn notify(&self, channel: Channel) {
        self.notified.borrow_mut().push(channel.index());
    }
    fn irq_ack(&self, _: Channel) {}
    fn call(&self, channel: Channel, message: &mut Message) {
        if channel.index() == usize::from(DISK) {
            self.driver.borrow_mut().as_mut().unwrap().protected(Channel::new(CLIENT_OF_DRIVER).unwrap(), message);
        } else {
            *message = Message::from_words(0, &[3, 4]);
        }
    }
    fn wait(&self) -> ChannelSet {
        ChannelSet::EMPTY
    }
    fn poll(&self) -> ChannelSet {
        ChannelSet::EMPTY
    }
    fn now(&self) -> u64 {
        0
    }
    fn debug_write(&self, _: &[u8]) {}
}

fn empty_volume() -> Image {
    let mut device = MemDevice::new(vec![0; 2 << 20], BlockSize::new(SECTOR as u32).unwrap());
    sync::format(&mut device, &FatOptions::new()).unwrap();
    Rc::new(RefCell::new(device.into_inner()))
}

struct System {
    world: &'static World,
    server: VfsServer,
    clients: Vec<Client>,
    queue: SharedMemory,
}

impl System {
    /// A system with this disk and two clients.
    fn boot(image: &Image) -> Self {
        Self::boot_with(image, &[])
    }

    /// The same, with further settings.
    fn boot_with(image: &Image, settings: &[(&str, &str)]) -> Self {
        let world: &'static World = Box::leak(Box::default());
        let (queue, data) = (leak_for_tests(blk::QUEUE_BYTES), leak_for_tests(0x80000));
        let ram = Ram { image: image.clone(), data, queue: VecDeque::new(), ended: VecDeque::new() };
        let link = DriverEnd::new(queue).unwrap();
        let channel = |id| Channel::new(id).unwrap();
        // The driver's notifications are told apart by their channel, which the
        // server does not have.
        let driver = BlkDriver::new(world, ram, channel(IRQ), channel(CLIENT_OF_DRIVER), link, data.len());
        *world.driver.borrow_mut() = Some(driver);
        let memory = [leak_for_tests(128 * PAGE), leak_for_tests(128 * PAGE)];
        let mut env = common::environment_of(
            world,
            &sample(),
            &[("a", memory[0]), ("b", memory[1])],
            &[("blk_queue", queue), ("blk_data", data)],
        );
        env.config.channels.push(ChannelConfig { peer: "blk_driver".into(), id: DISK, can_call: true });
        env.config.settings.push(("mounts".into(), "/ archive,/tmp ramfs,/disk fat".into()));
        env.config.settings.extend(settings.iter().map(|(key, value)| (key.to_string(), value.to_string())));
        let mut server = start(env).unwrap();
        let mut clients = vec![Client::new(memory[0], 0), Client::new(memory[1], 1)];
        for client in &mut clients {
            assert_eq!(client.run(&mut server, Request::Hello { version: VERSION }).result, 0);
        }
        Self { world, server, clients, queue }
    }

    /// Submits a command, lets the server see it.
    fn submit(&mut self, client: usize, request: Request) -> u32 {
        let c = &mut self.clients[client];
        let id = c.submit(request);
        c.commands.publish();
        if c.region.to_server().raise() {
            self.server.notified(set(c.channel));
        }
        id
    }

    fn result(&mut self, client: usize, id: u32) -> Option<i64> {
        let c = &mut self.clients[client];
        let completion = c.completions.take().unwrap()?;
        c.completions.release();
        assert_eq!(completion.id, id);
        Some(completion.result)
    }

    /// The disk ends one request; whether it had any. The server runs only if
    /// it is notified.
    fn step(&mut self) -> bool {
        let asked = self.world.notified.borrow().contains(&usize::from(DISK));
        self.world.notified.borrow_mut().retain(|n| *n != usize::from(DISK));
        let (worked, told) = {
            let mut driver = self.world.driver.borrow_mut();
            let driver = driver.as_mut().unwrap();
            let mut told = asked && driver.notified(set(Channel::new(CLIENT_OF_DRIVER).unwrap())).is_some();
            let worked = driver.device_mut().step();
            told |= driver.notified(set(Channel::new(IRQ).unwrap())).is_some();
            (worked, told)
        };
        if told {
            self.server.notified(set(Channel::new(DISK).unwrap()));
        }
        worked || told || asked
    }

    fn ask(&mut self, client: usize, request: Request) -> Result<i64, Errno> {
        let id = self.submit(client, request);
        loop {
            if let Some(result) = self.result(client, id) {
                return if result < 0 { Err(Errno::from_raw(result.unsigned_abs())) } else { Ok(result) };
            }
            assert!(self.step(), "nobody goes on");
        }
    }

    fn path(&self, client: usize, path: &str) -> Buffer {
        self.clients[client].data(0, path.as_bytes())
    }

    fn open(&mut self, client: usize, path: &str, flags: u32) -> Result<u32, Errno> {
        let path = self.path(client, path);
        self.ask(client, Request::Open { directory: ROOT, path, flags, mode: 0o644 }).map(|n| n as u32)
    }

    fn write(&mut self, client: usize, file: u32, offset: u64, bytes: &[u8]) -> Result<i64, Errno> {
        let from = self.clients[client].data(8192, bytes);
        self.ask(client, Request::Write { file, flags: 0, offset, from })
    }

    fn read(&mut self, client: usize, file: u32, offset: u64, len: u32) -> Result<Vec<u8>, Errno> {
        let into = Buffer { offset: (DATA + 8192) as u32, len };
        let n = self.ask(client, Request::Read { file, offset, into })?;
        Ok(self.clients[client].fetch(Buffer { len: n as u32, ..into }))
    }
}

#[test]
fn a_disk_can_be_one_clients() {
    let owner = [("fat.uid", "1000"), ("fat.gid", "1000"), ("fat.umask", "027")];
    let mut s = System::boot_with(&empty_volume(), &owner);
    let file = s.open(0, "/disk/f", open::CREAT | open::RDWR).unwrap();
    s.write(0, file, 0, b"mine").unwrap();
    for flags in [open::RDONLY, open::CREAT | open::WRONLY] {
        assert_eq!(s.open(1, "/disk/f", flags), Err(Errno::EACCES));
    }
    assert_eq!(s.open(1, "/disk", open::RDONLY), Err(Errno::EACCES));
    let (path, into) = (s.path(0, "/disk/f"), Buffer { offset: (DATA + 8192) as u32, len: STAT_BYTES as u32 });
    s.ask(0, Request::Stat { directory: ROOT, path, flags: 0, into }).unwrap();
    let (stat, _) = Stat::read_from_prefix(&s.clients[0].fetch(into)).unwrap();
    assert_eq!((stat.mode, stat.uid, stat.gid), (mode::REGULAR | 0o640, 1000, 1000));
    // Its owner may change what FAT has of permissions.
    for (mode, outcome) in [(0o440, Ok(0)), (0o640, Ok(0)), (0o666, Err(Errno::EPERM))] {
        let path = s.path(0, "/disk/f");
        assert_eq!(s.ask(0, Request::ChangeMode { directory: ROOT, path, flags: 0, mode }), outcome);
    }
}

#[test]
fn what_was_synced_is_there_after_the_next_boot() {
    let image = empty_volume();
    let mut s = System::boot(&image);
    let path = s.path(0, "/disk/notes");
    s.ask(0, Request::MakeDirectory { directory: ROOT, path, mode: 0o755 }).unwrap();
    let file = s.open(0, "/disk/notes/today.txt", open::CREAT | open::EXCL | open::RDWR).unwrap();
    let text = vec![b'x'; 50_000];
    assert_eq!(s.write(0, file, 0, &text), Ok(50_000));
    s.ask(0, Request::Sync { file }).unwrap();
    // Another system with a copy of the disk as it is now.
    let mut s = System::boot(&Rc::new(RefCell::new(image.borrow().clone())));
    let file = s.open(1, "/disk/notes/today.txt", open::RDONLY).unwrap();
    assert_eq!(s.read(1, file, 0, 65536).unwrap(), text);
    assert_eq!(s.read(1, file, 50_000, 10).unwrap(), b"");
    assert_eq!(s.open(1, "/disk/nothing", open::RDONLY), Err(Errno::ENOENT));
    let into = Buffer { offset: (DATA + 8192) as u32, len: STAT_BYTES as u32 };
    let path = s.path(1, "/disk/notes");
    s.ask(1, Request::Stat { directory: ROOT, path, flags: 0, into }).unwrap();
}

#[test]
fn others_are_served_while_one_waits_for_the_disk() {
    let image = empty_volume();
    let mut s = System::boot(&image);
    let path = s.path(0, "/disk/f");
    let id = s.submit(0, Request::Open { directory: ROOT, path, flags: open::CREAT | open::WRONLY, mode: 0o644 });
    assert_eq!(s.result(0, id), None, "the disk was not read yet");
    // The other client does not notice.
    let mut other = s.clients.remove(1);
    let file = other.open(&mut s.server, b"/index.html", 0);
    assert_eq!(other.read_at(&mut s.server, file, 0, 100).unwrap(), b"<h1>hello</h1>");
    assert_eq!(other.open(&mut s.server, b"/disk", open::DIRECTORY), file + 1);
    s.clients.push(other);
    // What came behind the first of the same client waits.
    let archive = s.path(0, "/index.html");
    let second = s.submit(0, Request::Open { directory: ROOT, path: archive, flags: 0, mode: 0 });
    assert_eq!(s.result(0, id), None);
    // The path was read when the command was run first, and is read again now.
    s.path(0, "/disk/f");
    while s.step() {}
    assert_eq!(s.result(0, id), Some(0));
    assert!(s.result(0, second).unwrap() < 0, "the path is another's by now");
}

#[test]
fn errors_of_files_that_are_shared() {
    let image = empty_volume();
    let mut s = System::boot(&image);
    let file = s.open(0, "/disk/f", open::CREAT | open::RDWR).unwrap();
    assert_eq!(s.open(1, "/disk/f", open::CREAT | open::EXCL | open::RDWR), Err(Errno::EEXIST));
    assert_eq!(s.write(0, file, 0, b"one"), Ok(3));
    let truncated = s.open(1, "/disk/f", open::TRUNC | open::RDWR).unwrap();
    assert_eq!(s.read(0, file, 0, 10).unwrap(), b"");
    assert_eq!(s.write(1, truncated, 2, b"x"), Ok(1));
    assert_eq!(s.read(0, file, 0, 10).unwrap(), b"\0\0x");
    // Nobody keeps another from removing or replacing it by having it open.
    let new = s.open(1, "/disk/new", open::CREAT | open::RDWR).unwrap();
    assert_eq!(s.write(1, new, 0, b"new"), Ok(3));
    let (path, to) = (s.path(1, "/disk/new"), s.clients[1].data(4096, b"/disk/f"));
    let rename = Request::Rename { directory: ROOT, path, to_directory: ROOT, to, flags: 0 };
    assert_eq!(s.ask(1, rename), Ok(0));
    let again = s.open(0, "/disk/f", open::RDONLY).unwrap();
    assert_eq!(s.read(0, again, 0, 10).unwrap(), b"new");
    assert_eq!(s.read(0, file, 0, 10).unwrap(), b"\0\0x");
    let path = s.path(1, "/disk/f");
    assert_eq!(s.ask(1, Request::Unlink { directory: ROOT, path, flags: 0 }), Ok(0));
    assert_eq!(s.open(0, "/disk/f", open::RDONLY), Err(Errno::ENOENT));
    assert_eq!(s.read(0, again, 0, 10).unwrap(), b"new");
    for (client, file) in [(0, file), (0, again), (1, truncated), (1, new)] {
        s.ask(client, Request::Close { file }).unwrap();
    }
    let path = s.path(1, "/disk/s");
    let fifo = Request::MakeNode { directory: ROOT, path, mode: mode::FIFO | 0o644 };
    assert_eq!(s.ask(1, fifo), Err(Errno::EPERM));
}

#[test]
fn a_driver_that_answers_nonsense() {
    for mut seed in 1u64..40 {
        let image = empty_volume();
        let mut s = System::boot(&image);
        let path = s.path(0, "/disk/f");
        s.submit(0, Request::Open { directory: ROOT, path, flags: open::CREAT | open::WRONLY, mode: 0o644 });
        for _ in 0..50 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = match seed >> 60 {
                0..4 => 4,
                4..12 => 8192 + (seed >> 33) as usize % 64 * 16,
                _ => 68,
            };
            let _ = s.queue.write(at, &((seed >> 40) as u32 % 70).to_le_bytes());
            s.server.notified(set(Channel::new(DISK).unwrap()));
        }
        // The other client is served all the same.
        let mut other = s.clients.remove(1);
        let file = other.open(&mut s.server, b"/index.html", 0);
        assert_eq!(other.read_at(&mut s.server, file, 0, 100).unwrap(), b"<h1>hello</h1>");
    }
}
