//! What the tests share: a writer of tar archives and a client of the server.
#![allow(dead_code)]

use std::sync::Mutex;

use strait_abi::{
    Errno,
    vfs::{
        AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW, Buffer, COUNTERS_BYTES, Command, Completion, Counters, DATA, ENTRIES,
        EntryHeader, ROOT, Receiver, Request, STAT_BYTES, Sender, Stat, VERSION, VfsRegion, readiness::split, token,
    },
};
use strait_pd::{Channel, ChannelConfig, ChannelSet, Component, Config, Environment, Message, Pd, PdRef, RegionConfig};
use strait_ring::{
    PAGE, SharedMemory,
    memory::{environment_for_tests, leak_for_tests},
};
use strait_vfs_server::{VfsServer, start};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Appends an entry with a header in the ustar format.
pub fn entry(tar: &mut Vec<u8>, prefix: &str, name: &str, kind: u8, mode: u32, data: &[u8]) {
    let mut h = [0u8; 512];
    h[..name.len()].copy_from_slice(name.as_bytes());
    h[100..107].copy_from_slice(format!("{mode:07o}").as_bytes());
    h[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
    h[136..147].copy_from_slice(b"14732345670");
    h[156] = kind;
    h[257..265].copy_from_slice(b"ustar\x0000");
    h[345..345 + prefix.len()].copy_from_slice(prefix.as_bytes());
    fix_checksum(&mut h);
    tar.extend_from_slice(&h);
    tar.extend_from_slice(data);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// Makes the checksum of a header right.
pub fn fix_checksum(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header[..512].iter().map(|&b| u32::from(b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

pub fn file(tar: &mut Vec<u8>, name: &str, data: &[u8]) {
    entry(tar, "", name, b'0', 0o644, data);
}

pub fn end(tar: &mut Vec<u8>) {
    tar.resize(tar.len() + 1024, 0);
}

/// Memory that holds `bytes`.
pub fn memory(bytes: &[u8]) -> SharedMemory {
    let m = leak_for_tests(bytes.len().max(1));
    m.write(0, bytes).unwrap();
    m
}

/// Data of the big file.
pub fn big() -> Vec<u8> {
    (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// The archive that most tests use.
pub fn sample() -> Vec<u8> {
    let mut tar = Vec::new();
    entry(&mut tar, "", "./", b'5', 0o755, b"");
    file(&mut tar, "./index.html", b"<h1>hello</h1>");
    file(&mut tar, "./empty", b"");
    entry(&mut tar, "", "secret", b'0', 0o000, b"x");
    file(&mut tar, "a/b/c.txt", b"deep");
    entry(&mut tar, "", "a/link", b'2', 0o777, b"");
    file(&mut tar, "big", &big());
    end(&mut tar);
    tar
}

#[derive(Default)]
pub struct World(pub Mutex<Vec<usize>>);

impl Pd for World {
    fn notify(&self, channel: Channel) {
        self.0.lock().unwrap().push(channel.index());
    }
    fn irq_ack(&self, _: Channel) {}
    /// Entropy.
    fn call(&self, _: Channel, message: &mut Message) {
        *message = Message::from_words(0, &[3, 4]);
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

pub fn environment(world: &'static World, archive: &[u8], clients: &[(&str, SharedMemory)]) -> Environment {
    environment_of(world, archive, clients, &[])
}

/// An environment in some world, with further regions.
pub fn environment_of(
    world: PdRef,
    archive: &[u8],
    clients: &[(&str, SharedMemory)],
    more: &[(&str, SharedMemory)],
) -> Environment {
    let region = |name: &str, prefill: usize| RegionConfig {
        name: name.into(),
        vaddr: 0,
        size: PAGE as u64,
        prefill: prefill as u64,
        writable: true,
    };
    let archive_memory = memory(archive);
    let names: Vec<String> = clients.iter().map(|(n, _)| format!("{n}_vfs")).collect();
    let mut shared: Vec<(&str, SharedMemory)> = names.iter().zip(clients).map(|(n, (_, m))| (n.as_str(), *m)).collect();
    shared.push(("vfs_archive", archive_memory));
    shared.push(("vfs_tokens", leak_for_tests(token::REGION_BYTES)));
    shared.extend(more);
    let mut regions: Vec<_> = names.iter().map(|n| region(n, 0)).collect();
    regions.push(region("vfs_archive", archive.len()));
    regions.push(region("vfs_tokens", 0));
    regions.extend(more.iter().map(|(name, _)| region(name, 0)));
    let channels = (0..)
        .zip(clients)
        .map(|(id, (peer, _))| ChannelConfig { peer: (*peer).into(), id, can_call: false })
        .chain([ChannelConfig { peer: "entropy_driver".into(), id: 40, can_call: true }]);
    let config = Config {
        name: "vfs_server".into(),
        regions,
        channels: channels.collect(),
        irqs: Vec::new(),
        children: Vec::new(),
        settings: Vec::new(),
    };
    environment_for_tests(world, config, &shared)
}

/// A client of a server.
pub struct Client {
    pub region: VfsRegion,
    pub commands: Sender<Command>,
    pub completions: Receiver<Completion>,
    pub channel: Channel,
    next: u32,
}

impl Client {
    pub fn new(memory: SharedMemory, channel: u8) -> Self {
        let region = VfsRegion::new(memory).unwrap();
        Self {
            region,
            commands: region.command_sender().unwrap(),
            completions: region.completion_receiver().unwrap(),
            channel: Channel::new(channel).unwrap(),
            next: 1,
        }
    }

    pub fn submit(&mut self, request: Request) -> u32 {
        let id = self.next;
        self.next += 1;
        assert!(self.commands.put(&request.encode(id)).unwrap());
        id
    }

    /// Submits, has the server run, takes the completion.
    pub fn run(&mut self, server: &mut VfsServer, request: Request) -> Completion {
        let id = self.submit(request);
        self.commands.publish();
        if self.region.to_server().raise() {
            server.notified(set(self.channel));
        }
        let c = self.completions.take().unwrap().expect("completed");
        self.completions.release();
        assert_eq!(c.id, id);
        c
    }

    pub fn data(&self, at: usize, bytes: &[u8]) -> Buffer {
        self.region.memory().write(DATA + at, bytes).unwrap();
        Buffer { offset: (DATA + at) as u32, len: bytes.len() as u32 }
    }

    pub fn fetch(&self, buffer: Buffer) -> Vec<u8> {
        let mut v = vec![0; buffer.len as usize];
        self.region.memory().read(buffer.offset as usize, &mut v).unwrap();
        v
    }

    pub fn open_at(&mut self, server: &mut VfsServer, directory: u32, path: &[u8], flags: u32) -> i64 {
        let path = self.data(0, path);
        self.run(server, Request::Open { directory, path, flags, mode: 0o600 }).result
    }

    pub fn open(&mut self, server: &mut VfsServer, path: &[u8], flags: u32) -> i64 {
        self.open_at(server, ROOT, path, flags)
    }

    pub fn stat(&mut self, server: &mut VfsServer, path: &[u8]) -> Result<Stat, i64> {
        let path = self.data(0, path);
        let into = Buffer { offset: (DATA + 8192) as u32, len: STAT_BYTES as u32 };
        let c = self.run(server, Request::Stat { directory: ROOT, path, flags: 0, into });
        if c.result < 0 {
            return Err(c.result);
        }
        let mut stat = Stat::new_zeroed();
        stat.as_mut_bytes().copy_from_slice(&self.fetch(into));
        Ok(stat)
    }

    /// Names and kinds of a directory, with a buffer of `len` bytes.
    pub fn list(&mut self, server: &mut VfsServer, path: &[u8], len: u32) -> Result<Vec<(String, u8)>, i64> {
        let file = self.open(server, path, 0);
        if file < 0 {
            return Err(file);
        }
        let (mut offset, mut names) = (0, Vec::new());
        loop {
            let into = Buffer { offset: DATA as u32, len };
            let c = self.run(server, Request::ReadDirectory { file: file as u32, offset, into });
            if c.result < 0 {
                return Err(c.result);
            }
            let bytes = self.fetch(Buffer { len: c.result as u32, ..into });
            let mut rest = &bytes[..];
            if rest.is_empty() {
                self.run(server, Request::Close { file: file as u32 });
                return Ok(names);
            }
            while !rest.is_empty() {
                let (header, _) = EntryHeader::read_from_prefix(rest).unwrap();
                let name = &rest[EntryHeader::BYTES..][..header.name_len.into()];
                names.push((String::from_utf8(name.to_vec()).unwrap(), header.kind));
                rest = &rest[header.len.into()..];
            }
            assert!(c.extra[0] > offset);
            offset = c.extra[0];
        }
    }
}

pub fn set(channel: Channel) -> ChannelSet {
    let mut s = ChannelSet::EMPTY;
    s.insert(channel);
    s
}

pub struct Setup {
    pub world: &'static World,
    pub server: VfsServer,
    pub client: Client,
}

/// A server with one client, which has said hello.
pub fn setup(archive: &[u8]) -> Setup {
    let world: &'static World = Box::leak(Box::default());
    let m = leak_for_tests(256 * PAGE);
    let mut server = start(environment(world, archive, &[("app", m)])).unwrap();
    let mut client = Client::new(m, 0);
    assert_eq!(client.run(&mut server, Request::Hello { version: VERSION }).result, 0);
    Setup { world, server, client }
}

pub const FULL: u32 = ENTRIES;

/// What an operation gives, as a call would.
pub type Outcome = Result<i64, Errno>;

/// Calls by path, as a client's library makes them.
impl Client {
    /// Submits, has the server run, takes the result.
    pub fn ask(&mut self, server: &mut VfsServer, request: Request) -> Outcome {
        let result = self.run(server, request).result;
        if result < 0 { Err(Errno::from_raw(result.unsigned_abs())) } else { Ok(result) }
    }

    fn two(&self, first: &str, second: &str) -> (Buffer, Buffer) {
        (self.data(0, first.as_bytes()), self.data(4096, second.as_bytes()))
    }

    pub fn create(&mut self, server: &mut VfsServer, path: &str, flags: u32, mode: u32) -> Outcome {
        let path = self.data(0, path.as_bytes());
        self.ask(server, Request::Open { directory: ROOT, path, flags, mode })
    }

    pub fn close(&mut self, server: &mut VfsServer, file: i64) -> Outcome {
        self.ask(server, Request::Close { file: file as u32 })
    }

    pub fn write_at(&mut self, server: &mut VfsServer, file: i64, offset: u64, bytes: &[u8], flags: u32) -> Outcome {
        let from = self.data(8192, bytes);
        self.ask(server, Request::Write { file: file as u32, flags, offset, from })
    }

    pub fn read_at(&mut self, server: &mut VfsServer, file: i64, offset: u64, len: u32) -> Result<Vec<u8>, Errno> {
        let into = Buffer { offset: (DATA + 8192) as u32, len };
        let n = self.ask(server, Request::Read { file: file as u32, offset, into })?;
        Ok(self.fetch(Buffer { len: n as u32, ..into }))
    }

    pub fn truncate(&mut self, server: &mut VfsServer, file: i64, size: u64) -> Outcome {
        self.ask(server, Request::Truncate { file: file as u32, size })
    }

    pub fn mkdir(&mut self, server: &mut VfsServer, path: &str, mode: u32) -> Outcome {
        let path = self.data(0, path.as_bytes());
        self.ask(server, Request::MakeDirectory { directory: ROOT, path, mode })
    }

    pub fn mknod(&mut self, server: &mut VfsServer, path: &str, mode: u32) -> Outcome {
        let path = self.data(0, path.as_bytes());
        self.ask(server, Request::MakeNode { directory: ROOT, path, mode })
    }

    pub fn unlink(&mut self, server: &mut VfsServer, path: &str) -> Outcome {
        let path = self.data(0, path.as_bytes());
        self.ask(server, Request::Unlink { directory: ROOT, path, flags: 0 })
    }

    pub fn rmdir(&mut self, server: &mut VfsServer, path: &str) -> Outcome {
        let path = self.data(0, path.as_bytes());
        self.ask(server, Request::Unlink { directory: ROOT, path, flags: AT_REMOVEDIR })
    }

    pub fn symlink(&mut self, server: &mut VfsServer, target: &str, path: &str) -> Outcome {
        let (target, path) = self.two(target, path);
        self.ask(server, Request::SymbolicLink { target, directory: ROOT, path })
    }

    pub fn readlink(&mut self, server: &mut VfsServer, path: &str) -> Result<String, Errno> {
        let path = self.data(0, path.as_bytes());
        let into = Buffer { offset: (DATA + 8192) as u32, len: 4096 };
        let n = self.ask(server, Request::ReadLink { directory: ROOT, path, into })?;
        Ok(String::from_utf8(self.fetch(Buffer { len: n as u32, ..into })).unwrap())
    }

    pub fn link(&mut self, server: &mut VfsServer, path: &str, to: &str) -> Outcome {
        let (path, to) = self.two(path, to);
        self.ask(server, Request::Link { directory: ROOT, path, to_directory: ROOT, to, flags: 0 })
    }

    pub fn rename(&mut self, server: &mut VfsServer, path: &str, to: &str) -> Outcome {
        let (path, to) = self.two(path, to);
        self.ask(server, Request::Rename { directory: ROOT, path, to_directory: ROOT, to, flags: 0 })
    }

    pub fn chmod(&mut self, server: &mut VfsServer, path: &str, mode: u32) -> Outcome {
        let path = self.data(0, path.as_bytes());
        self.ask(server, Request::ChangeMode { directory: ROOT, path, flags: 0, mode })
    }

    pub fn access(&mut self, server: &mut VfsServer, path: &str, mode: u32) -> Outcome {
        let path = self.data(0, path.as_bytes());
        self.ask(server, Request::Access { directory: ROOT, path, flags: 0, mode })
    }

    pub fn lstat(&mut self, server: &mut VfsServer, path: &str) -> Result<Stat, Errno> {
        self.stat_with(server, path, AT_SYMLINK_NOFOLLOW)
    }

    pub fn stat_with(&mut self, server: &mut VfsServer, path: &str, flags: u32) -> Result<Stat, Errno> {
        let path = self.data(0, path.as_bytes());
        let into = Buffer { offset: (DATA + 8192) as u32, len: STAT_BYTES as u32 };
        self.ask(server, Request::Stat { directory: ROOT, path, flags, into })?;
        let mut stat = Stat::new_zeroed();
        stat.as_mut_bytes().copy_from_slice(&self.fetch(into));
        Ok(stat)
    }

    pub fn fstat(&mut self, server: &mut VfsServer, file: i64) -> Result<Stat, Errno> {
        let into = Buffer { offset: (DATA + 8192) as u32, len: STAT_BYTES as u32 };
        self.ask(server, Request::FileStat { file: file as u32, into })?;
        let mut stat = Stat::new_zeroed();
        stat.as_mut_bytes().copy_from_slice(&self.fetch(into));
        Ok(stat)
    }

    pub fn counters(&mut self, server: &mut VfsServer) -> Counters {
        let into = Buffer { offset: (DATA + 8192) as u32, len: COUNTERS_BYTES as u32 };
        self.ask(server, Request::Counters { into }).unwrap();
        let mut counters = Counters::new_zeroed();
        counters.as_mut_bytes().copy_from_slice(&self.fetch(into));
        counters
    }

    /// The bits of a pipe's readiness.
    pub fn readiness(&self, file: i64) -> u32 {
        split(self.region.readiness(file as u32).unwrap().load(std::sync::atomic::Ordering::Relaxed)).0
    }
}

/// A server with two clients of different users, which have said hello, and
/// these settings.
pub fn two_clients(settings: &[(&str, &str)]) -> (VfsServer, Client, Client) {
    let world: &'static World = Box::leak(Box::default());
    let (a, b) = (leak_for_tests(128 * PAGE), leak_for_tests(128 * PAGE));
    let mut env = environment(world, &sample(), &[("a", a), ("b", b)]);
    env.config.settings = settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let mut server = start(env).unwrap();
    let (mut a, mut b) = (Client::new(a, 0), Client::new(b, 1));
    for client in [&mut a, &mut b] {
        assert_eq!(client.run(&mut server, Request::Hello { version: VERSION }).result, 0);
    }
    (server, a, b)
}
