//! A world for the server: a client that speaks the ABI directly, and on the
//! other end of the wire a host with a stack of its own (smoltcp's, whole).

extern crate std;

use core::net::SocketAddr;
use std::{
    boxed::Box,
    cell::{Cell, RefCell},
    collections::VecDeque,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use smoltcp::{
    iface::{Config, Interface, SocketSet},
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    time::Instant,
    wire::{EthernetAddress, IpCidr},
};
use strait_abi::{
    Address, Errno, end, entropy, eth,
    net::{self, RecordHeader, Request},
    session::SessionRegion,
    socket as c, timer,
};
use strait_pd::{
    Channel, ChannelConfig, ChannelSet, Component, Config as PdConfig, MESSAGE_BYTES, Message, Pd, RegionConfig,
};
use strait_ring::{
    SharedMemory,
    memory::{environment_for_tests, leak_for_tests},
    net_queue::{BUFFER_SIZE, Consumer, Descriptor, Producer, capacity_for},
    paged::{ClientConsumer, ClientProducer},
};

use zerocopy::{FromBytes, IntoBytes};

use crate::NetServer;

pub const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const SERVER_IP: [u8; 4] = [10, 0, 2, 15];
pub const PEER_IP: [u8; 4] = [10, 0, 2, 2];
const DRIVER: u8 = 0;
const TIMER: u8 = 1;
const ENTROPY: u8 = 2;
pub const CLIENT: u8 = 3;
/// Another client, with a session of its own.
pub const SECOND: u8 = 4;
/// `vfs_server`.
const FILES: u8 = 5;
/// Who looks after both clients.
pub const PARENT: u8 = 6;

std::thread_local! {
    /// The server is at work in this thread.
    pub static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Calls the server.
fn inside<T>(work: impl FnOnce() -> T) -> T {
    INSIDE.set(true);
    let result = work();
    INSIDE.set(false);
    result
}

#[derive(Default)]
struct State {
    now: u64,
    notified: u64,
    timeout: Option<u64>,
    words: u64,
    /// The port has no carrier.
    unplugged: bool,
}

/// What the server sees of the world.
#[derive(Default)]
struct Outside(RefCell<State>);

impl Pd for Outside {
    fn notify(&self, channel: Channel) {
        self.0.borrow_mut().notified |= 1 << channel.index();
    }

    fn irq_ack(&self, _: Channel) {}

    fn call(&self, channel: Channel, message: &mut Message) {
        let mut state = self.0.borrow_mut();
        *message = match (channel.index() as u8, message.label) {
            (DRIVER, eth::GET_LINK) => {
                let mut mac = [0; 8];
                mac[..6].copy_from_slice(&SERVER_MAC);
                Message::from_words(0, &[u64::from_le_bytes(mac), (!state.unplugged).into(), 1500])
            }
            (TIMER, timer::SET_TIMEOUT) => {
                state.timeout = Some(state.now + message.words()[0]);
                Message::new(0)
            }
            (ENTROPY, entropy::GET_WORDS) => {
                state.words += 4;
                let w = state.words;
                Message::from_words(entropy::OK, &[w, w + 1, w + 2, w + 3])
            }
            other => panic!("unexpected call {other:?}"),
        };
    }

    fn wait(&self) -> ChannelSet {
        panic!("the server must not wait")
    }

    fn poll(&self) -> ChannelSet {
        ChannelSet::EMPTY
    }

    fn now(&self) -> u64 {
        self.0.borrow().now
    }

    fn debug_write(&self, _: &[u8]) {}
}

pub struct Rx(Vec<u8>);
pub struct Tx<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push_back(frame);
        result
    }
}

#[derive(Default)]
pub struct PeerPort {
    pub rx: VecDeque<Vec<u8>>,
    pub tx: VecDeque<Vec<u8>>,
}

impl Device for PeerPort {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Rx, Tx<'_>)> {
        Some((Rx(self.rx.pop_front()?), Tx(&mut self.tx)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx<'_>> {
        Some(Tx(&mut self.tx))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ethernet;
        caps.max_transmission_unit = 1514;
        caps
    }
}

/// The peer host.
pub struct Peer {
    pub interface: Interface,
    pub port: PeerPort,
    pub sockets: SocketSet<'static>,
}

/// The driver's ends of the queues.
pub struct Wire {
    rx_free: Consumer,
    rx_active: Producer,
    tx_active: Consumer,
    tx_free: Producer,
    rx_data: SharedMemory,
    tx_data: SharedMemory,
}

pub struct World {
    outside: &'static Outside,
    pub server: NetServer,
    pub wire: Wire,
    pub peer: Peer,
    pub session: SessionRegion,
    /// Frames that the server sent to the peer.
    pub seen: Vec<Vec<u8>>,
    pub second: SessionRegion,
    /// What vfs_server does.
    pub tokens: strait_abi::vfs::token::Issuer,
    /// Decides about each frame: how many times it arrives.
    pub fate: Box<dyn FnMut() -> usize>,
    late: Option<Vec<u8>>,
}

/// A client's socket.
pub struct ClientSocket {
    pub handle: u16,
    pub rx: ClientConsumer,
    pub tx: ClientProducer,
}

fn channel(id: u8) -> Channel {
    Channel::new(id).unwrap()
}

impl World {
    pub fn new() -> Self {
        Self::with_session(2 << 20)
    }

    /// Without IPv6 on the wire, and when everything was said that is said at
    /// the beginning.
    pub fn with_session(bytes: usize) -> Self {
        let mut world = Self::with_settings(bytes, &[Self::GRANTED, &[("ipv6.mode", "off")]].concat());
        world.elapse(3000);
        world.seen.clear();
        world
    }

    /// As at the beginning, with IPv6.
    pub fn fresh() -> Self {
        Self::with_settings(2 << 20, Self::GRANTED)
    }

    /// Tests bind to ports of well-known services.
    const GRANTED: &'static [(&'static str, &'static str)] =
        &[("policy.client.ports", "1-65535"), ("policy.client.raw", "true"), ("policy.client.administer", "true")];

    /// With further settings of the server.
    pub fn with_settings(bytes: usize, settings: &[(&str, &str)]) -> Self {
        let outside: &'static Outside = Box::leak(Box::default());
        outside.0.borrow_mut().now = 1_000_000_000;
        let names = ["eth_rx_free", "eth_rx_active", "eth_tx_active", "eth_tx_free", "eth_rx_data", "eth_tx_data"];
        let sizes = [0x1000, 0x1000, 0x1000, 0x1000, 0x40000, 0x40000];
        let mut regions: Vec<(&str, SharedMemory)> =
            names.iter().zip(sizes).map(|(n, s)| (*n, leak_for_tests(s))).collect();
        let memory = leak_for_tests(bytes);
        regions.push(("client_net", memory));
        let second = leak_for_tests(bytes);
        regions.push(("second_net", second));
        let tokens = leak_for_tests(strait_abi::vfs::token::REGION_BYTES);
        regions.push((strait_abi::vfs::token::REGION, tokens));
        let config = PdConfig {
            name: "net_server".to_string(),
            regions: regions
                .iter()
                .map(|(n, m)| RegionConfig {
                    name: n.to_string(),
                    vaddr: 0,
                    size: m.len() as u64,
                    prefill: 0,
                    writable: true,
                })
                .collect(),
            channels: [
                ("eth_driver", DRIVER),
                ("timer_driver", TIMER),
                ("entropy_driver", ENTROPY),
                ("client", CLIENT),
                ("second", SECOND),
                ("vfs_server", FILES),
                ("supervisor", PARENT),
            ]
            .iter()
            .map(|(p, id)| ChannelConfig { peer: p.to_string(), id: *id, can_call: true })
            .collect(),
            irqs: vec![],
            children: vec![],
            settings: [("ipv4.mode", "static"), ("ipv4.address", "10.0.2.15/24"), ("ipv4.gateway", "10.0.2.2")]
                .iter()
                .filter(|(key, _)| !settings.iter().any(|(k, _)| k == key))
                .chain(settings)
                .chain(&[("parent.client", "supervisor"), ("parent.second", "supervisor")])
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect(),
        };
        let of = |i: usize| regions[i].1;
        let capacity = capacity_for(0x1000).unwrap();
        let wire = Wire {
            rx_free: Consumer::new(of(0), capacity).unwrap(),
            rx_active: Producer::new(of(1), capacity).unwrap(),
            tx_active: Consumer::new(of(2), capacity).unwrap(),
            tx_free: Producer::new(of(3), capacity).unwrap(),
            rx_data: of(4),
            tx_data: of(5),
        };
        let env = environment_for_tests(outside, config, &regions);
        let server = inside(|| crate::start(env)).unwrap();
        let mut port = PeerPort::default();
        let mac = EthernetAddress([2, 0, 0, 0, 0, 2]);
        let mut interface = Interface::new(Config::new(mac.into()), &mut port, Instant::from_micros(0));
        interface.update_ip_addrs(|a| a.push(IpCidr::new(core::net::Ipv4Addr::from(PEER_IP).into(), 24)).unwrap());
        let mut world = Self {
            outside,
            server,
            wire,
            peer: Peer { interface, port, sockets: SocketSet::new(vec![]) },
            session: SessionRegion::new(memory).unwrap(),
            second: SessionRegion::new(second).unwrap(),
            tokens: strait_abi::vfs::token::Issuer::new(tokens, [3, 4], ["client", "second"]).unwrap(),
            fate: Box::new(|| 1),
            seen: vec![],
            late: None,
        };
        world.call(&Request::Hello { version: strait_abi::session::VERSION }).unwrap();
        world
    }

    pub fn now(&self) -> u64 {
        self.outside.now()
    }

    /// Whether vfs_server was notified since this was asked last, and what it is
    /// told of open files: their numbers, who got them, whether nobody did.
    pub fn told_of_files(&mut self) -> (bool, Vec<(u64, Option<usize>, bool)>) {
        let mut state = self.outside.0.borrow_mut();
        let notified = state.notified & 1 << FILES != 0;
        state.notified &= !(1 << FILES);
        let mut news = vec![];
        self.tokens.take_news(|export, fate| news.push((export.number(), fate.receiver, fate.lost)));
        (notified, news)
    }

    /// A control call; the reply's value and bytes.
    pub fn call(&mut self, request: &Request<'_>) -> Result<(u32, Vec<u8>), Errno> {
        self.call_of(CLIENT, request)
    }

    /// A control call of a client.
    pub fn call_of(&mut self, client: u8, request: &Request<'_>) -> Result<(u32, Vec<u8>), Errno> {
        let mut message = request.encode().unwrap();
        inside(|| self.server.protected(channel(client), &mut message));
        let mut buffer = [0; MESSAGE_BYTES];
        net::decode_reply(&message, &mut buffer).map(|r| (r.value, r.bytes.to_vec()))
    }

    pub fn raw_call(&mut self, message: &mut Message) {
        inside(|| self.server.protected(channel(CLIENT), message));
    }

    /// `who` says that the client called `name` has ended.
    pub fn end(&mut self, who: u8, name: &str) -> Result<(), Errno> {
        let mut message = end::encode(name);
        inside(|| self.server.protected(channel(who), &mut message));
        if message.label == 0 { Ok(()) } else { Err(Errno::from_raw(message.label)) }
    }

    pub fn socket(&mut self, kind: u16) -> ClientSocket {
        let (handle, _) = self.call(&Request::Socket { family: 2, kind, protocol: 0 }).unwrap();
        self.attached(handle as u16)
    }

    /// A socket of AF_INET6.
    pub fn socket6(&mut self, kind: u16) -> ClientSocket {
        let (handle, _) = self.call(&Request::Socket { family: 10, kind, protocol: 0 }).unwrap();
        self.attached(handle as u16)
    }

    pub fn set_int(&mut self, s: &ClientSocket, level: i32, name: i32, value: i32) -> Result<(), Errno> {
        let value = value.to_ne_bytes();
        self.call(&Request::SetOption { socket: s.handle, level, name, value: &value }).map(|_| ())
    }

    pub fn get_int(&mut self, s: &ClientSocket, level: i32, name: i32) -> Result<i32, Errno> {
        let (_, bytes) = self.call(&Request::GetOption { socket: s.handle, level, name })?;
        Ok(i32::from_ne_bytes(bytes[..4].try_into().unwrap()))
    }

    pub fn bind(&mut self, s: &ClientSocket, address: &str) -> Result<(), Errno> {
        let address = Address::from(address.parse::<SocketAddr>().unwrap());
        self.call(&Request::Bind { socket: s.handle, address: address.as_bytes() }).map(|_| ())
    }

    pub fn connect(&mut self, s: &ClientSocket, address: &str) -> Result<(), Errno> {
        let address = Address::from(address.parse::<SocketAddr>().unwrap());
        self.call(&Request::Connect { socket: s.handle, address: address.as_bytes() }).map(|_| ())
    }

    /// getsockname(2).
    pub fn local(&mut self, s: &ClientSocket) -> String {
        let (_, bytes) = self.call(&Request::LocalAddress { socket: s.handle }).unwrap();
        Address::from_bytes(&bytes).unwrap().to_inet().unwrap().to_string()
    }

    /// getpeername(2).
    pub fn peer_of(&mut self, s: &ClientSocket) -> Result<String, Errno> {
        let (_, bytes) = self.call(&Request::PeerAddress { socket: s.handle })?;
        Ok(Address::from_bytes(&bytes).unwrap().to_inet().unwrap().to_string())
    }

    /// The next datagram.
    pub fn receive(&mut self, s: &mut ClientSocket) -> Option<(Address, Vec<u8>)> {
        self.receive_message(s).map(|(from, _, data)| (from, data))
    }

    /// The next datagram: its sender, control data and data.
    pub fn receive_message(&mut self, s: &mut ClientSocket) -> Option<(Address, Vec<u8>, Vec<u8>)> {
        if s.rx.available() == 0 {
            return None;
        }
        let mut raw = [0; 8];
        s.rx.copy(0, &mut raw).unwrap();
        let h = RecordHeader::read_from_bytes(&raw).unwrap();
        let (mut name, mut data) = (vec![0; h.address.into()], vec![0; h.data as usize]);
        let mut control = vec![0; h.control.into()];
        s.rx.copy(8, &mut name).unwrap();
        s.rx.copy(h.control_offset(), &mut control).unwrap();
        s.rx.copy(h.data_offset(), &mut data).unwrap();
        s.rx.consume(h.total().unwrap());
        Some((Address::from_bytes(&name).unwrap(), control, data))
    }

    /// Sends a datagram.
    pub fn send(&mut self, s: &mut ClientSocket, to: Option<SocketAddr>, data: &[u8]) {
        let name = to.map_or(Address::EMPTY, Address::from);
        self.send_message(s, name, &[], data);
    }

    /// Sends a datagram with control data.
    pub fn send_message(&mut self, s: &mut ClientSocket, name: Address, control: &[u8], data: &[u8]) {
        let (address, control_len) = (name.as_bytes().len() as u16, control.len() as u16);
        let h = RecordHeader { data: data.len() as u32, address, control: control_len };
        let total = h.total().unwrap();
        if s.tx.room() < total {
            s.tx.want(total);
            self.ring(s.handle);
            self.step(1000);
        }
        assert!(s.tx.room() >= total);
        s.tx.stage(0, h.as_bytes()).unwrap();
        s.tx.stage(8, name.as_bytes()).unwrap();
        s.tx.stage(h.control_offset(), control).unwrap();
        s.tx.stage(h.data_offset(), data).unwrap();
        s.tx.commit(total);
        self.ring(s.handle);
    }

    /// SO_ERROR, taken.
    pub fn error(&mut self, s: &ClientSocket) -> Option<Errno> {
        let raw = self.get_int(s, c::SOL_SOCKET, c::SO_ERROR).unwrap();
        (raw != 0).then(|| Errno::from_raw(raw as u64))
    }

    pub fn attached(&self, handle: u16) -> ClientSocket {
        Self::attached_in(&self.session, handle)
    }

    pub fn attached_in(session: &SessionRegion, handle: u16) -> ClientSocket {
        let slot = session.slot(handle.into()).unwrap();
        let memory = session.memory();
        ClientSocket { handle, rx: ClientConsumer::new(memory, slot), tx: ClientProducer::new(memory, slot) }
    }

    pub fn status(&self, handle: u16) -> u32 {
        self.session.slot(handle.into()).unwrap().status.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Rings the doorbell of a socket; the server is told by the next step.
    pub fn ring(&mut self, handle: u16) {
        self.session.doorbells().set(handle.into());
        if self.session.to_server().raise() {
            self.outside.0.borrow_mut().notified |= 1 << 63;
        }
    }

    /// Wakes the server if the client rang.
    pub fn pass_rings(&mut self) {
        let rung = {
            let mut state = self.outside.0.borrow_mut();
            let rung = state.notified & 1 << 63 != 0;
            state.notified &= !(1 << 63);
            rung
        };
        if rung {
            self.wake(CLIENT);
        }
    }

    /// A client rang a doorbell, and the server is told at once.
    pub fn ring_of(&mut self, client: u8, handle: u16) {
        let session = if client == CLIENT { self.session } else { self.second };
        session.doorbells().set(handle.into());
        if session.to_server().raise() {
            self.wake(client);
        }
    }

    fn wake(&mut self, id: u8) {
        let mut set = ChannelSet::EMPTY;
        set.insert(channel(id));
        if let Some(last) = inside(|| self.server.notified(set)) {
            self.outside.notify(last);
        }
    }

    /// Puts a frame on the wire to the server.
    pub fn inject(&mut self, frame: &[u8]) -> bool {
        let Ok(Some(buffer)) = self.wire.rx_free.take() else { return false };
        self.wire.rx_free.release();
        let frame = &frame[..frame.len().min(BUFFER_SIZE)];
        self.wire.rx_data.write(buffer.offset as usize, frame).unwrap();
        self.wire.rx_active.put(Descriptor::new(buffer.offset, frame.len() as u16)).unwrap();
        if self.wire.rx_active.publish() {
            self.wake(DRIVER);
        }
        true
    }

    /// Puts a descriptor as it is into the queue of received frames.
    pub fn inject_descriptor(&mut self, descriptor: Descriptor) {
        let _ = self.wire.rx_active.put(descriptor);
        let _ = self.wire.rx_active.publish();
        self.wake(DRIVER);
    }

    /// Frames that the server sent.
    pub fn take_frames(&mut self) -> Vec<Vec<u8>> {
        let mut frames = vec![];
        while let Ok(Some(d)) = self.wire.tx_active.take() {
            let mut frame = vec![0; d.len.into()];
            self.wire.tx_data.read(d.offset as usize, &mut frame).unwrap();
            frames.push(frame);
            self.wire.tx_free.put(Descriptor::new(d.offset, 0)).unwrap();
        }
        self.wire.tx_active.release();
        self.wire.tx_active.request_signal();
        if self.wire.tx_free.publish() {
            self.wake(DRIVER);
        }
        frames
    }

    /// One step of `dt` nanoseconds: time, notifications, frames both ways.
    pub fn step(&mut self, dt: u64) {
        let due = {
            let mut state = self.outside.0.borrow_mut();
            state.now += dt;
            let due = state.timeout.is_some_and(|t| t <= state.now);
            if due {
                state.timeout = None;
            }
            due
        };
        if due {
            self.wake(TIMER);
        }
        self.pass_rings();
        for frame in self.take_frames() {
            self.seen.push(frame.clone());
            self.arrive(frame, true);
        }
        let at = Instant::from_micros((self.now() / 1000) as i64);
        self.peer.interface.poll(at, &mut self.peer.port, &mut self.peer.sockets);
        for frame in std::mem::take(&mut self.peer.port.tx) {
            self.arrive(frame, false);
        }
    }

    fn arrive(&mut self, frame: Vec<u8>, to_peer: bool) {
        let put = |world: &mut Self, frame: &[u8]| {
            if to_peer {
                world.peer.port.rx.push_back(frame.to_vec());
            } else {
                world.inject(frame);
            }
        };
        match (self.fate)() {
            // Held back behind the next one.
            99 if to_peer => self.late = Some(frame),
            n => {
                for _ in 0..n.min(2) {
                    put(self, &frame);
                }
                if to_peer && let Some(late) = self.late.take() {
                    put(self, &late);
                }
            }
        }
    }

    /// Takes the cable away or puts it back.
    pub fn plug(&mut self, plugged: bool) {
        self.outside.0.borrow_mut().unplugged = !plugged;
        self.wake(DRIVER);
    }

    /// Takes the cable away; the word of it comes together with a frame.
    pub fn unplug_with(&mut self, frame: &[u8]) {
        self.outside.0.borrow_mut().unplugged = true;
        self.inject(frame);
    }

    /// Some time, in steps of ten milliseconds.
    pub fn elapse(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds / 10 {
            self.step(10_000_000);
        }
    }

    /// What was sent since this was asked last.
    pub fn sent(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.seen)
    }

    /// Steps of a millisecond until `done`, at most `limit`.
    pub fn until(&mut self, limit: usize, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..limit {
            if done(self) {
                return;
            }
            self.step(1_000_000);
        }
        panic!("not done after {limit} steps");
    }

    pub fn counters(&mut self) -> net::Counters {
        let (_, bytes) = self.call(&Request::Counters).unwrap();
        postcard::from_bytes(&bytes).unwrap()
    }
}

/// A control call made of a few bytes, for clients that ask for anything.
pub fn request(op: u8, socket: u16, bytes: &[u8]) -> Request<'_> {
    const INET: [u8; 16] = [2, 0, 0, 7, 10, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0];
    let address = if bytes.len().is_multiple_of(2) { &INET[..] } else { bytes };
    let number = bytes.first().copied().unwrap_or(0);
    match op % 14 {
        0 => Request::Close { socket },
        1 => Request::Bind { socket, address },
        2 => Request::Listen { socket, backlog: number.into() },
        3 => Request::Accept { socket },
        4 | 5 => Request::Connect { socket, address },
        6 => Request::Shutdown { socket, how: number % 4 },
        7 => Request::LocalAddress { socket },
        8 => Request::PeerAddress { socket },
        9 => Request::SetOption { socket, level: i32::from(number % 8), name: i32::from(number), value: bytes },
        10 => Request::GetOption { socket, level: i32::from(number % 8), name: i32::from(number) },
        11 => Request::Ioctl { socket, request: number.into(), argument: bytes },
        12 => Request::Random { bytes: number.into() },
        _ => Request::Counters,
    }
}
