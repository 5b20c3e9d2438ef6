//! A world with the real file server and a network that the tests play.
#![allow(dead_code)]

use std::{cell::RefCell, net::SocketAddr};

use strait_httpd::Server;
use strait_libsock::{
    Event,
    fake::{Fake, OTHER},
};
use strait_pd::{Channel, ChannelConfig, ChannelSet, Component, Config, Environment, Message, Pd, PdRef, RegionConfig};
use strait_ring::{
    PAGE, SharedMemory,
    memory::{environment_for_tests, leak_for_tests},
};
use strait_vfs_server::VfsServer;

const VFS: u8 = 7;

/// The world of the client: the fake network and the file server.
struct World {
    fake: &'static Fake,
    vfs: RefCell<VfsServer>,
}

impl Pd for World {
    fn notify(&self, channel: Channel) {
        if channel.index() == usize::from(VFS) {
            // It has the higher priority: it is through before we go on.
            self.vfs.borrow_mut().notified(ChannelSet(1));
        } else {
            self.fake.notify(channel);
        }
    }
    fn irq_ack(&self, _: Channel) {}
    fn call(&self, channel: Channel, message: &mut Message) {
        self.fake.call(channel, message);
    }
    fn wait(&self) -> ChannelSet {
        self.fake.wait()
    }
    fn poll(&self) -> ChannelSet {
        self.fake.poll()
    }
    fn now(&self) -> u64 {
        self.fake.now()
    }
    fn debug_write(&self, bytes: &[u8]) {
        self.fake.debug_write(bytes);
    }
}

fn header(tar: &mut Vec<u8>, name: &str, kind: u8, mode: &str, size: usize) {
    let mut h = [0u8; 512];
    h[..name.len()].copy_from_slice(name.as_bytes());
    h[100..107].copy_from_slice(mode.as_bytes());
    h[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    h[156] = kind;
    h[257..265].copy_from_slice(b"ustar\x0000");
    h[148..156].fill(b' ');
    let sum: u32 = h.iter().map(|&b| u32::from(b)).sum();
    h[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend_from_slice(&h);
}

pub fn file(tar: &mut Vec<u8>, name: &str, mode: &str, data: &[u8]) {
    header(tar, name, b'0', mode, data.len());
    tar.extend_from_slice(data);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

pub const INDEX: &[u8] = b"<h1>index</h1>";

pub fn big() -> Vec<u8> {
    (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn archive() -> Vec<u8> {
    let mut tar = Vec::new();
    file(&mut tar, "index.html", "0000644", INDEX);
    file(&mut tar, "sub/index.html", "0000644", b"sub");
    file(&mut tar, "sub/a b.TXT", "0000644", b"0123456789");
    file(&mut tar, "bare/x.css", "0000644", b"");
    file(&mut tar, "secret", "0000000", b"s");
    file(&mut tar, "big", "0000644", &big());
    tar.resize(tar.len() + 1024, 0);
    tar
}

pub struct Setup {
    pub fake: &'static Fake,
    pub server: Server,
}

fn channel(peer: &str, id: u8) -> ChannelConfig {
    ChannelConfig { peer: peer.into(), id, can_call: true }
}

fn region(name: &str, prefill: usize) -> RegionConfig {
    RegionConfig { name: name.into(), vaddr: 0, size: 0, prefill: prefill as u64, writable: true }
}

fn file_server(pd: PdRef, session: SharedMemory) -> VfsServer {
    let tar = archive();
    let memory = leak_for_tests(tar.len());
    memory.write(0, &tar).unwrap();
    let config = Config {
        name: "vfs_server".into(),
        regions: vec![region("client_vfs", 0), region("vfs_archive", tar.len())],
        channels: vec![channel("client", 0)],
        irqs: vec![],
        children: vec![],
        settings: vec![],
    };
    let shared = [("client_vfs", session), ("vfs_archive", memory)];
    strait_vfs_server::start(environment_for_tests(pd, config, &shared)).unwrap()
}

/// A server for `root`, with a session of `pages` pages for files.
pub fn setup_with(root: &str, net_pages: usize, vfs_pages: usize) -> Setup {
    let (fake, env) = Fake::new(net_pages, &[]);
    let session = leak_for_tests(vfs_pages * PAGE);
    let vfs = RefCell::new(file_server(fake, session));
    let world: &'static World = Box::leak(Box::new(World { fake, vfs }));
    let net = SharedMemory::attach(env.region("client_net").unwrap());
    let mut config = env.config;
    config.regions.push(region("client_vfs", 0));
    config.channels.push(channel("vfs_server", VFS));
    config.settings.push(("root".into(), root.into()));
    let env: Environment = environment_for_tests(world, config, &[("client_net", net), ("client_vfs", session)]);
    let server = Server::new(&env).unwrap_or_else(|e| panic!("{e}"));
    assert_ne!(OTHER, VFS);
    Setup { fake, server }
}

pub fn setup() -> Setup {
    setup_with("/", 1024, 64)
}

/// The first socket is the listener.
pub const LISTENER: u16 = 0;

impl Setup {
    /// A connection arrives.
    pub fn connect(&mut self) -> u16 {
        let from: SocketAddr = "10.0.2.2:4711".parse().unwrap();
        self.fake.serve(|s| s.arrive(LISTENER, from.into()))
    }

    pub fn turn(&mut self) {
        let mut events = [Event::default(); 64];
        // Something to wake up for, should there be nothing else.
        if self.server.connections() == 0 {
            self.fake.serve(|s| s.event(LISTENER));
            self.fake.woken.set(ChannelSet(1 << OTHER));
        }
        self.server.turn(&mut events).unwrap();
    }

    /// Data arrives, all of it.
    pub fn send(&mut self, socket: u16, data: &[u8]) {
        let mut rest = data;
        for _ in 0..1000 {
            let n = self.fake.serve(|s| s.push(socket, rest));
            rest = &rest[n..];
            if rest.is_empty() {
                return;
            }
            self.turn();
        }
        panic!("the server takes nothing");
    }

    fn is_closed_after_turn(&mut self, socket: u16) -> bool {
        self.turn();
        self.is_closed(socket)
    }

    pub fn is_closed(&self, socket: u16) -> bool {
        self.fake.serve(|s| s.socket(socket).closed.is_some())
    }

    /// What the server sends until it stops.
    pub fn receive(&mut self, socket: u16) -> Vec<u8> {
        let (mut data, mut quiet) = (Vec::new(), 0);
        while quiet < 3 {
            self.turn();
            if self.is_closed(socket) {
                data.extend(self.fake.serve(|s| s.socket(socket).closed.replace(vec![]).unwrap()));
                return data;
            }
            let now = self.fake.serve(|s| s.take(socket));
            quiet = if now.is_empty() { quiet + 1 } else { 0 };
            data.extend(now);
        }
        data
    }

    /// Sends on a new connection and gives what comes.
    pub fn exchange(&mut self, request: &[u8]) -> Vec<u8> {
        let socket = self.connect();
        self.turn();
        self.send(socket, request);
        let answer = self.receive(socket);
        if !self.is_closed(socket) {
            self.fake.serve(|s| s.change(socket, strait_abi::session::status::RDHUP, 0));
            // Eight events at a time, and others have some too.
            (0..20).take_while(|_| !self.is_closed_after_turn(socket)).count();
            assert!(self.is_closed(socket));
        }
        answer
    }

    pub fn get(&mut self, target: &str) -> Response {
        let answer = self.exchange(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        let (response, rest) = Response::read(&answer, true);
        assert!(rest.is_empty());
        response
    }
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    /// One response, and what follows it.
    pub fn read(bytes: &[u8], with_body: bool) -> (Self, &[u8]) {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a whole head") + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let len: usize = field(&head, "Content-Length").unwrap().parse().unwrap();
        let len = if with_body { len } else { 0 };
        let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
        assert!(bytes.len() >= end + len, "{} of {len} bytes after {head}", bytes.len() - end);
        (Self { status, head, body: bytes[end..end + len].to_vec() }, &bytes[end + len..])
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}
