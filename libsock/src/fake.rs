//! A server and a world for tests: what `net_server` does at the boundary,
//! without a network behind it. Tests play the remote side and decide what
//! happens while the client sleeps.
//!
//! Not part of the library: compiled for its own tests, and for those of
//! clients with the feature `fake`.

#![allow(missing_docs)]

extern crate std;

use alloc::{boxed::Box, collections::VecDeque, format, string::String, vec, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    sync::atomic::Ordering,
};

use strait_abi::{
    Address, Errno,
    net::{Handle, Portion, RecordHeader, Reply, Request, encode_reply},
    session::{SessionRegion, status},
    socket::{SHUT_RD, SHUT_WR, SO_ERROR, SO_RCVLOWAT, SOCK_STREAM, SOL_SOCKET},
    timer,
};
use strait_pd::{Channel, ChannelConfig, ChannelSet, Config, Environment, MESSAGE_BYTES, Message, Pd, RegionConfig};
use strait_ring::{
    PAGE,
    arena::Arena,
    memory::{environment_for_tests, leak_for_tests},
    paged::{ServerConsumer, ServerProducer},
};
use zerocopy::{FromZeros, IntoBytes};

/// Channel numbers.
pub const NET: u8 = 3;
pub const TIMER: u8 = 5;
pub const OTHER: u8 = 9;

/// What happens while the client sleeps.
pub type Step = Box<dyn FnOnce(&Fake)>;

pub struct Fake {
    pub server: RefCell<Server>,
    steps: RefCell<VecDeque<Step>>,
    pub now: Cell<u64>,
    timeout: Cell<Option<u64>>,
    pub woken: Cell<ChannelSet>,
    pub notified: Cell<usize>,
    pub calls: Cell<usize>,
    pub waits: Cell<usize>,
    pub log: RefCell<String>,
}

pub struct Socket {
    pub rx: ServerProducer,
    pub tx: ServerConsumer,
    pub stream: bool,
    pub error: Option<Errno>,
    pub accepted: VecDeque<(Handle, Address)>,
    pub local: Address,
    /// What the client sent before it closed the socket.
    pub closed: Option<Vec<u8>>,
}

pub struct Server {
    pub region: SessionRegion,
    pub arena: Arena,
    pub sockets: Vec<Option<Socket>>,
    /// Room that a stream has in its ring.
    pub room: u32,
    /// What connect gives.
    pub connect: Result<(), Errno>,
    pub name_servers: Vec<u8>,
    /// What Interface lists.
    pub interfaces: Vec<Vec<u8>>,
    /// What the next Receive gives: how much to take, and control data.
    pub portion: Portion,
    pub control: Vec<u8>,
    /// What ReceiveUrgent gives; EAGAIN without one.
    pub urgent: Option<u8>,
    /// SO_RCVLOWAT of all.
    low_water: i32,
    pub requests: Vec<String>,
    wake: bool,
}

fn bit(channel: u8) -> ChannelSet {
    ChannelSet(1 << channel)
}

impl Fake {
    /// A world with a session of `pages` pages, and the environment of the
    /// client in it.
    pub fn new(pages: usize, settings: &[(&str, &str)]) -> (&'static Self, Environment) {
        let memory = leak_for_tests(pages * PAGE);
        let region = SessionRegion::new(memory).unwrap();
        let sockets = core::iter::repeat_with(|| None).take(region.sockets()).collect();
        let server = Server {
            region,
            arena: region.arena(),
            sockets,
            room: PAGE as u32,
            connect: Ok(()),
            name_servers: vec![],
            interfaces: vec![],
            portion: Portion::default(),
            control: vec![],
            urgent: None,
            low_water: 1,
            requests: vec![],
            wake: false,
        };
        let fake: &'static Self = Box::leak(Box::new(Self {
            server: RefCell::new(server),
            steps: RefCell::default(),
            now: Cell::new(1_000_000),
            timeout: Cell::new(None),
            woken: Cell::default(),
            notified: Cell::new(0),
            calls: Cell::new(0),
            waits: Cell::new(0),
            log: RefCell::default(),
        }));
        let channel = |peer: &str, id| ChannelConfig { peer: peer.into(), id, can_call: true };
        let config = Config {
            name: "client".into(),
            regions: vec![RegionConfig { name: "client_net".into(), vaddr: 0, size: 0, prefill: 0, writable: true }],
            channels: vec![channel("net_server", NET), channel("timer_driver", TIMER), channel("other", OTHER)],
            irqs: vec![],
            children: vec![],
            settings: settings.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        };
        (fake, environment_for_tests(fake, config, &[("client_net", memory)]))
    }

    /// The next time the client sleeps, `step` happens.
    pub fn then(&self, step: impl FnOnce(&Fake) + 'static) -> &Self {
        self.steps.borrow_mut().push_back(Box::new(step));
        self
    }

    /// Lets the server do something.
    pub fn serve<T>(&self, f: impl FnOnce(&mut Server) -> T) -> T {
        let mut server = self.server.borrow_mut();
        let result = f(&mut server);
        if core::mem::take(&mut server.wake) {
            self.woken.set(self.woken.get().union(bit(NET)));
        }
        result
    }

    pub fn steps_left(&self) -> usize {
        self.steps.borrow().len()
    }
}

impl Pd for Fake {
    fn notify(&self, channel: Channel) {
        assert_eq!(channel.index(), usize::from(NET));
        self.notified.set(self.notified.get() + 1);
        self.serve(Server::run);
    }

    fn irq_ack(&self, _: Channel) {}

    fn call(&self, channel: Channel, message: &mut Message) {
        if channel.index() == usize::from(TIMER) {
            assert_eq!(message.label, timer::SET_TIMEOUT);
            self.timeout.set(Some(self.now.get() + message.words()[0]));
            return;
        }
        assert_eq!(channel.index(), usize::from(NET));
        self.calls.set(self.calls.get() + 1);
        *message = self.serve(|server| server.answer(message));
    }

    fn wait(&self) -> ChannelSet {
        self.waits.set(self.waits.get() + 1);
        loop {
            let woken = self.woken.take();
            if !woken.is_empty() {
                return woken;
            }
            let step = self.steps.borrow_mut().pop_front();
            match (step, self.timeout.take()) {
                (Some(step), timeout) => {
                    self.timeout.set(timeout);
                    step(self);
                }
                (None, Some(at)) => {
                    self.now.set(self.now.get().max(at));
                    return bit(TIMER);
                }
                (None, None) => panic!("the client sleeps for ever"),
            }
        }
    }

    fn poll(&self) -> ChannelSet {
        self.woken.take()
    }

    fn now(&self) -> u64 {
        self.now.get()
    }

    fn debug_write(&self, bytes: &[u8]) {
        self.log.borrow_mut().push_str(&String::from_utf8_lossy(bytes));
    }
}

impl Server {
    pub fn status(&self, socket: Handle) -> u32 {
        self.region.slot(socket.into()).unwrap().status.load(Ordering::Relaxed)
    }

    /// Sets and clears bits of the status, and tells the client.
    pub fn change(&mut self, socket: Handle, set: u32, clear: u32) {
        let status = self.status(socket) & !clear | set;
        self.region.slot(socket.into()).unwrap().status.store(status, Ordering::Release);
        self.event(socket);
    }

    pub fn event(&mut self, socket: Handle) {
        self.region.events().set(socket.into());
        if self.region.to_client().raise() {
            self.wake = true;
        }
    }

    pub fn socket(&mut self, socket: Handle) -> &mut Socket {
        self.sockets[usize::from(socket)].as_mut().unwrap()
    }

    pub fn open(&mut self, stream: bool) -> Option<Handle> {
        let handle = self.sockets.iter().position(|s| s.as_ref().is_none_or(|s| s.closed.is_some()))?;
        let slot = self.region.slot(handle).unwrap();
        slot.reset();
        slot.status.store(if stream { status::HUP | status::OUT } else { status::OUT }, Ordering::Release);
        let memory = self.region.memory();
        let (rx, mut tx) = (ServerProducer::new(memory, slot), ServerConsumer::new(memory, slot));
        tx.grant(self.room, &mut self.arena);
        let (accepted, local) = (VecDeque::new(), Address::EMPTY);
        self.sockets[handle] = Some(Socket { rx, tx, stream, error: None, accepted, local, closed: None });
        Some(handle as Handle)
    }

    /// A connection arrives at `listener`.
    pub fn arrive(&mut self, listener: Handle, from: Address) -> Handle {
        let handle = self.open(true).unwrap();
        self.change(handle, status::CONNECTED, status::HUP);
        self.socket(listener).accepted.push_back((handle, from));
        self.change(listener, status::IN, 0);
        handle
    }

    /// Data arrives; how much of it there was room for.
    pub fn push(&mut self, socket: Handle, data: &[u8]) -> usize {
        let Self { arena, sockets, .. } = self;
        let s = sockets[usize::from(socket)].as_mut().unwrap();
        s.rx.reclaim(arena).unwrap();
        let n = s.rx.push(arena, 65536, data);
        s.rx.publish();
        self.event(socket);
        n
    }

    /// A datagram arrives.
    pub fn push_datagram(&mut self, socket: Handle, from: &Address, data: &[u8]) -> bool {
        self.push_message(socket, from, &[], data)
    }

    /// A datagram with control data arrives.
    pub fn push_message(&mut self, socket: Handle, from: &Address, control: &[u8], data: &[u8]) -> bool {
        let Self { arena, sockets, .. } = self;
        let s = sockets[usize::from(socket)].as_mut().unwrap();
        s.rx.reclaim(arena).unwrap();
        let header = RecordHeader {
            data: data.len() as u32,
            address: from.as_bytes().len() as u16,
            control: control.len() as u16,
        };
        let pad = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            bytes
        };
        let (address, control, data) = (pad(from.as_bytes()), pad(control), pad(data));
        let total = header.total().unwrap() as usize;
        let done = s.rx.push_record(arena, 200_000, total, &[header.as_bytes(), &address, &control, &data]);
        s.rx.publish();
        self.event(socket);
        done
    }

    /// Takes all that the client sent, and grants room anew.
    pub fn take(&mut self, socket: Handle) -> Vec<u8> {
        let room = self.room;
        let Self { arena, sockets, .. } = self;
        let s = sockets[usize::from(socket)].as_mut().unwrap();
        let n = s.tx.available().unwrap();
        let mut data = vec![0; n as usize];
        s.tx.copy(0, &mut data).unwrap();
        s.tx.consume(n, arena);
        let more = s.tx.grant(room, arena);
        if more && s.tx.wanted() != 0 {
            self.event(socket);
        }
        data
    }

    /// Takes a datagram that the client sent: destination and data.
    pub fn take_datagram(&mut self, socket: Handle) -> Option<(Address, Vec<u8>)> {
        self.take_message(socket).map(|(address, _, data)| (address, data))
    }

    /// The same with its control data.
    pub fn take_message(&mut self, socket: Handle) -> Option<(Address, Vec<u8>, Vec<u8>)> {
        let s = self.sockets[usize::from(socket)].as_mut().unwrap();
        if s.tx.available().unwrap() == 0 {
            return None;
        }
        let mut header = RecordHeader::new_zeroed();
        s.tx.copy(0, header.as_mut_bytes()).unwrap();
        let mut address = vec![0; header.address.into()];
        s.tx.copy(8, &mut address).unwrap();
        let mut control = vec![0; header.control.into()];
        s.tx.copy(header.control_offset(), &mut control).unwrap();
        let mut data = vec![0; header.data as usize];
        s.tx.copy(header.data_offset(), &mut data).unwrap();
        s.tx.consume(header.total().unwrap(), &mut self.arena);
        Some((Address::from_bytes(&address).unwrap(), control, data))
    }

    /// What a notification of the client makes it do: doorbells.
    pub fn run(&mut self) {
        self.region.to_server().arm();
        let mut rung = vec![];
        self.region.doorbells().take(|s| rung.push(s as Handle));
        for handle in rung {
            let room = self.room;
            let Self { arena, sockets, .. } = self;
            let Some(s) = &mut sockets[usize::from(handle)] else { continue };
            let wanted = s.tx.wanted();
            if wanted != 0 && s.tx.grant(if s.stream { room } else { wanted.max(room) }, arena) {
                self.event(handle);
            }
        }
    }

    fn answer(&mut self, message: &Message) -> Message {
        let mut buffer = [0; MESSAGE_BYTES];
        let request = Request::decode(message, &mut buffer).unwrap();
        self.requests.push(format!("{request:?}"));
        let mut bytes = vec![];
        let result = self.act(&request, &mut bytes);
        encode_reply(result.map(|value| Reply { value, bytes: &bytes }))
    }

    fn act(&mut self, request: &Request<'_>, bytes: &mut Vec<u8>) -> Result<u32, Errno> {
        match *request {
            Request::Socket { kind, .. } => {
                return self.open(kind == SOCK_STREAM).map(u32::from).ok_or(Errno::ENOBUFS);
            }
            Request::SocketPair { kind, .. } => {
                let mut one = || self.open(kind == SOCK_STREAM).map(u32::from).ok_or(Errno::ENOBUFS);
                let (first, second) = (one()?, one()?);
                for socket in [first, second] {
                    self.change(socket as Handle, status::CONNECTED, status::HUP);
                }
                return Ok(first | second << 16);
            }
            Request::Receive { .. } => {
                bytes.extend_from_slice(self.portion.as_bytes());
                bytes.append(&mut self.control);
            }
            Request::ReceiveUrgent { .. } => bytes.push(self.urgent.ok_or(Errno::EAGAIN)?),
            Request::Close { socket } => {
                let data = self.take(socket);
                let s = self.sockets[usize::from(socket)].as_mut().unwrap();
                assert!(s.closed.is_none(), "closed twice");
                s.closed = Some(data);
                s.rx.close(&mut self.arena);
                s.tx.close(&mut self.arena);
            }
            Request::Bind { socket, address } => self.socket(socket).local = Address::from_bytes(address)?,
            Request::LocalAddress { socket } => bytes.extend_from_slice(self.socket(socket).local.as_bytes()),
            Request::Listen { socket, .. } => self.change(socket, status::LISTEN, status::HUP | status::OUT),
            Request::Accept { socket } => {
                let (handle, from) = self.socket(socket).accepted.pop_front().ok_or(Errno::EAGAIN)?;
                if self.socket(socket).accepted.is_empty() {
                    self.change(socket, 0, status::IN);
                }
                bytes.extend_from_slice(from.as_bytes());
                return Ok(handle.into());
            }
            Request::Connect { socket, .. } => {
                if let Some(errno) = self.socket(socket).error.take() {
                    self.change(socket, 0, status::ERR);
                    return Err(errno);
                }
                if self.status(socket) & status::CONNECTED == 0 {
                    self.change(socket, 0, status::HUP);
                    self.connect?;
                    self.change(socket, status::CONNECTED, 0);
                }
            }
            Request::Shutdown { socket, how } => {
                let set = match how {
                    SHUT_RD => status::RDHUP,
                    SHUT_WR => status::WRSHUT,
                    _ => status::RDHUP | status::WRSHUT | status::HUP,
                };
                self.change(socket, set, 0);
            }
            Request::GetOption { socket, level: SOL_SOCKET, name: SO_ERROR } => {
                let error = self.socket(socket).error.take().map_or(0, |e| u32::from(e.raw()));
                self.change(socket, 0, status::ERR);
                bytes.extend_from_slice(&error.to_ne_bytes());
            }
            Request::SetOption { level: SOL_SOCKET, name: SO_RCVLOWAT, value, .. } => {
                self.low_water = value.first_chunk().map_or(0, |b| i32::from_ne_bytes(*b)).max(1);
            }
            Request::GetOption { level: SOL_SOCKET, name: SO_RCVLOWAT, .. } => {
                bytes.extend_from_slice(&self.low_water.to_ne_bytes());
            }
            Request::GetOption { .. } => return Err(Errno::ENOPROTOOPT),
            Request::Interface { at } => {
                bytes.extend(self.interfaces.get(usize::from(at)).into_iter().flatten());
                return Ok(self.interfaces.len() as u32);
            }
            Request::NameServers => bytes.extend_from_slice(&self.name_servers),
            Request::Random { bytes: n } => bytes.extend((0..n).map(|i| (i as u8).wrapping_mul(37) ^ 0x5a)),
            _ => {}
        }
        Ok(0)
    }

    /// Sets the pending error.
    pub fn fail(&mut self, socket: Handle, error: Errno, set: u32) {
        self.socket(socket).error = Some(error);
        self.change(socket, status::ERR | set, 0);
    }
}
