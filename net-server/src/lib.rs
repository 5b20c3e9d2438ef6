//! The network server: sockets for isolated clients, over one Ethernet port.
//!
//! ```text
//!   session transport   lib.rs, core.rs    doorbells, events, control calls
//!   socket engine       engine.rs, socket.rs   what all families share
//!   families            family.rs, inet/   operations by AF number
//!   links               link/              Ethernet, neighbours, loopback, DHCP
//! ```
//!
//! The server is one state machine: notifications and calls go in, data in
//! rings and notifications come out. It never waits for anyone but its timer
//! and drivers, which have a higher priority and answer at once.

#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

mod core;
mod engine;
mod family;
mod hash;
mod inet;
mod interfaces;
mod link;
mod packet;
mod policy;
mod record;
mod settings;
mod share;
mod socket;
#[cfg(test)]
mod tests;
mod tokens;
mod unix;

/// What an address family in a crate of its own works with.
///
/// It implements [`Family`](api::Family), and the program that starts the server
/// hands it to [`start_with`] as [`Further`](api::Further). The engine looks after
/// handles, quotas, generic options, SO_ERROR and events; the family keeps what
/// it knows of a socket under [`Socket::state`](api::Socket::state), says by
/// [`Core::set_status`](api::Core::set_status) what is possible, and moves whole
/// messages by [`Core::take_record`](api::Core::take_record) and
/// [`Core::give_record`](api::Core::give_record). It does all that in bounded
/// steps and never waits. `net-server/families/echo` is one.
pub mod api {
    pub use crate::{
        core::Core,
        family::{Family, Further, Receive, Registry},
        record::Record,
        socket::{Socket, SocketId},
    };
}

use ::core::fmt;
use alloc::{boxed::Box, string::String, vec::Vec};

use rand_chacha::{
    ChaCha12Rng,
    rand_core::{Rng, SeedableRng},
};
use slab::Slab;
use smoltcp::wire::Ipv6Cidr;
use strait_abi::{
    Errno, end, entropy,
    log::Logger,
    net,
    net::Request,
    session::{SessionRegion, status},
    timer,
};
use strait_pd::{Channel, ChannelSet, Component, ConfigError, Environment, MESSAGE_BYTES, Message, PdRef};
use strait_ring::{
    SharedMemory,
    net_queue::{Consumer, Producer, capacity_for},
};

use crate::{
    core::{Core, Counters, Session},
    family::{Further, Registry},
    interfaces::link_of,
    link::{
        ETH_INDEX, Input, Links,
        dhcp::{self, Dhcp},
        eth::{EthRx, EthTx},
    },
};

/// Frames taken in before the sockets are settled: bounds how long data that is
/// there waits for data that comes.
const FRAMES_PER_ROUND: usize = 64;
/// Rounds of one turn; what is left then waits until others have run.
const ROUNDS: usize = 8;
/// How long it waits, in nanoseconds: where clients run meanwhile anyway, on
/// another core, and where they do not a part of what the turn took, at most.
const PAUSE: u64 = 20_000;
const LONGEST_PAUSE: u64 = 1_000_000;
const PAUSE_PART: u64 = 4;
/// How long after pages were short the sockets of the session are looked at, in
/// nanoseconds: at first, and at most when they stay short.
const RELIEF: u64 = 10_000_000;
const LONGEST_RELIEF: u64 = 80_000_000;
/// The driver is asked for the carrier no more often than this, in nanoseconds.
const CARRIER_INTERVAL: u64 = 100_000_000;
/// How long a client keeps room for sending that it does not use, at least, in
/// nanoseconds.
const TRIM: u64 = 200_000_000;
/// A timer set earlier than needed by up to this many nanoseconds is left as it
/// is.
const TIMER_SLACK: u64 = 1_000_000;

/// The region that is the heap.
const HEAP: &str = "net_server_heap";
/// User of the first client if the settings name none.
const FIRST_ID: u32 = 1000;

/// Why the server cannot start.
#[derive(Debug)]
pub enum StartError {
    /// The system description lacks something.
    Config(ConfigError),
    /// A region has an impossible size.
    Region(&'static str),
    /// The heap has so many bytes and needs so many.
    Heap(u64, u64),
    /// A setting has no such value.
    Setting(String),
    /// The driver or the entropy source did not answer.
    Device(&'static str),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Region(name) => write!(f, "memory region `{name}` is too small or too large; see ARCHITECTURE.md"),
            Self::Heap(is, least) => write!(f, "`{HEAP}` has {is:#x} bytes and needs {least:#x}"),
            Self::Setting(text) => write!(f, "strait.toml: {text}"),
            Self::Device(name) => write!(f, "{name} does not answer; is its device there?"),
        }
    }
}

impl ::core::error::Error for StartError {}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// The component.
pub struct NetServer {
    pd: PdRef,
    log: Logger,
    driver: Channel,
    timer: Channel,
    /// That to `vfs_server`, if there is one.
    files: Option<Channel>,
    rx: EthRx,
    core: Core,
    families: Registry,
    dhcp: Option<Dhcp>,
    /// The session of each channel.
    sessions: [Option<u8>; strait_pd::MAX_CHANNELS],
    /// Sessions that notified us and were not put to sleep since.
    awake: u64,
    armed: Option<u64>,
    /// When a turn that was left goes on; `u64::MAX` if none was.
    resume: u64,
    /// The earliest deadline of all.
    due: u64,
    /// The earliest relief of a session.
    relief: u64,
    /// When the driver is asked for the carrier; `u64::MAX` if there is no need.
    carrier: u64,
    /// When it was asked last.
    asked: u64,
    scratch: Vec<usize>,
    /// What the log last said of the port: its state and its IPv6 addresses.
    told: (&'static str, Vec<Ipv6Cidr>),
}

/// Makes the server from what the system description gives it.
pub fn start(env: Environment) -> Result<NetServer, StartError> {
    start_with(env, &[])
}

/// [`start`] with further address families. Each is switched on by a setting,
/// `family.NAME = true`.
pub fn start_with(env: Environment, more: &[Further]) -> Result<NetServer, StartError> {
    let pd = env.pd;
    let log = Logger::new(&env);
    let driver = env.channel("eth_driver")?;
    let timer = env.channel("timer_driver")?;
    let seed = seed(pd, env.channel("entropy_driver")?).ok_or(StartError::Device("entropy_driver"))?;
    let mut rng = ChaCha12Rng::from_seed(seed);
    hash::set_key([rng.next_u64(), rng.next_u64()]);

    let queue = |name: &'static str| {
        let memory = SharedMemory::attach(env.region(name)?);
        let capacity = capacity_for(memory.len()).ok_or(StartError::Region(name))?;
        Ok::<_, StartError>((memory, capacity))
    };
    let producer = |name| {
        let (memory, capacity) = queue(name)?;
        Producer::new(memory, capacity).map(|p| (p, capacity)).ok_or(StartError::Region(name))
    };
    let consumer = |name| {
        let (memory, capacity) = queue(name)?;
        Consumer::new(memory, capacity).map(|c| (c, capacity)).ok_or(StartError::Region(name))
    };
    let (mac, up, mtu) = link_of(pd, driver).ok_or(StartError::Device("eth_driver"))?;
    let rx = {
        let ((free, n), (active, m)) = (producer("eth_rx_free")?, consumer("eth_rx_active")?);
        EthRx::new(free, active, SharedMemory::attach(env.region("eth_rx_data")?), n.min(m))
    };
    let tx = {
        let ((active, n), (free, m)) = (producer("eth_tx_active")?, consumer("eth_tx_free")?);
        EthTx::new(active, free, SharedMemory::attach(env.region("eth_tx_data")?), n.min(m), mac, mtu)
    };
    let links = Links::new(tx, rng.next_u64());
    let mut core = Core {
        now: pd.now(),
        round: 0,
        rng,
        links,
        sockets: Slab::new(),
        sessions: Vec::new(),
        notify: 0,
        touched: 0,
        counters: Counters::default(),
        caller: 0,
        moved: Vec::new(),
        orphans: Vec::new(),
        has_room: 0,
        cycles: false,
        tokens: tokens::verifier(&env)?,
        files_lost: false,
    };
    let mut sessions = [None; strait_pd::MAX_CHANNELS];
    for region in &env.config.regions {
        let Some(client) = region.name.strip_suffix("_net") else { continue };
        let channel = env.channel(client)?;
        let memory = SharedMemory::attach(env.region(&region.name)?);
        let shared = SessionRegion::new(memory).ok_or(StartError::Region("of a session (`<client>_net`)"))?;
        sessions[channel.index()] = Some(core.sessions.len() as u8);
        let policy = policy::read(&env.config, client).map_err(StartError::Setting)?;
        let identity = identity(&env, client, core.sessions.len())?;
        let parent = end::parent(&env.config, client);
        let mut session = Session::new(client, identity, channel, shared, policy);
        session.parent = parent;
        core.sessions.push(session);
    }
    let heap = env.config.regions.iter().find(|r| r.name == HEAP).map(|r| r.size);
    core.share_heap(heap).map_err(|(is, least)| StartError::Heap(is, least))?;
    core.links.share(core.sessions.len());
    let (fixed, others) = settings::ipv4(&env)?;
    let dhcp = match &fixed {
        Some(_) => None,
        None => Some(Dhcp::new(mac, core.random(), core.now)),
    };
    let mut families = Registry::default();
    family::register_all(&mut families, &mut core);
    for Further { name, register } in more {
        if env.config.setting(&alloc::format!("family.{name}")) == Some("true") {
            register(&mut families, &mut core);
        }
    }
    let mut server = NetServer {
        pd,
        log,
        driver,
        timer,
        files: env.channel("vfs_server").ok(),
        rx,
        core,
        families,
        dhcp,
        sessions,
        awake: 0,
        armed: None,
        resume: u64::MAX,
        due: 0,
        relief: u64::MAX,
        carrier: u64::MAX,
        asked: 0,
        scratch: Vec::new(),
        told: ("up", Vec::new()),
    };
    server.log.line(format_args!("{mac}, MTU {mtu}, {} sessions", server.core.sessions.len()));
    if let Some(config) = fixed {
        server.configure(Some(config));
    }
    for address in others {
        let added = server.core.links.add_ipv4(server.core.now, address);
        added.map_err(|e| StartError::Setting(alloc::format!("net_server.ipv4.address \"{address}\": {e}")))?;
    }
    settings::ipv6(&env, &mut server.core)?;
    if !up {
        server.core.links.set_state(server.core.now, true, false);
    }
    if let Some(channel) = server.turn() {
        pd.notify(channel);
    }
    Ok(server)
}

/// User and group of a client, the `index`th: `identity.<client>` is `uid:gid`.
fn identity(env: &Environment, client: &str, index: usize) -> Result<(u32, u32), StartError> {
    let key = alloc::format!("identity.{client}");
    let Some(text) = env.config.setting(&key) else {
        return Ok((FIRST_ID + index as u32, FIRST_ID + index as u32));
    };
    let ids = text.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
    ids.ok_or_else(|| StartError::Setting(alloc::format!("{key} = \"{text}\": not such as \"1000:1000\"")))
}

fn seed(pd: PdRef, channel: Channel) -> Option<[u8; 32]> {
    let words = entropy::words::<4>(pd, channel)?;
    let mut seed = [0; 32];
    for (chunk, word) in seed.chunks_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    Some(seed)
}

impl NetServer {
    /// Takes in frames. Returns whether there may be more.
    fn receive(&mut self) -> bool {
        for _ in 0..FRAMES_PER_ROUND {
            let Some(received) = self.rx.take() else { return false };
            let mut lease = None;
            if let Some(frame) = self.rx.bytes(&received) {
                if let Some(dhcp) = &mut self.dhcp
                    && dhcp::wants(frame)
                {
                    lease = dhcp.poll(self.core.now, Some(frame));
                }
                self.core.links.pass(ETH_INDEX, frame);
                if let Input::Ip(range) = self.core.links.input(self.core.now, frame) {
                    self.core.links.arrived_on = ETH_INDEX;
                    deliver(&mut self.families, &mut self.core, &mut frame[range]);
                }
            }
            self.rx.give_back(received);
            if let Some(config) = lease {
                self.configure(config);
            }
        }
        true
    }

    fn loopback(&mut self) -> bool {
        let mut any = false;
        for _ in 0..FRAMES_PER_ROUND {
            let Some(mut packet) = self.core.links.next_loopback() else { break };
            any = true;
            deliver(&mut self.families, &mut self.core, &mut packet);
        }
        any
    }

    /// Looks after the sockets whose doorbell was rung. Returns whether there were
    /// any.
    fn doorbells(&mut self) -> bool {
        let mut any = false;
        let mut left = self.awake;
        while left != 0 {
            let session = left.trailing_zeros() as usize;
            left &= left - 1;
            let Self { core, families, .. } = self;
            let Session { region, slots, .. } = &core.sessions[session];
            let scratch = &mut self.scratch;
            region.doorbells().take(|slot| scratch.extend(slots.get(slot).copied().flatten()));
            any |= !scratch.is_empty();
            for id in scratch.drain(..) {
                if let Some(socket) = core.sockets.get(id) {
                    let family = socket.family;
                    if socket.status & status::SHRINK != 0 {
                        core.taken_back(id);
                    }
                    families.get(family).doorbell(core, id);
                }
            }
        }
        any
    }

    /// Looks after all sockets of sessions that were short of pages: some wait
    /// for what others have given back, or hold what their client has read.
    fn relieve(&mut self) {
        if self.relief > self.core.now {
            return;
        }
        // All of them are looked at again at the turn's end.
        self.relief = u64::MAX;
        self.core.touched = u64::MAX.checked_shr(64 - self.core.sessions.len() as u32).unwrap_or(0);
        let Self { core, families, .. } = self;
        for session in 0..core.sessions.len() {
            if core.sessions[session].trim <= core.now {
                let left = core.trim(session);
                let owner = &mut core.sessions[session];
                owner.trim = if left { core.now + TRIM } else { u64::MAX };
                owner.resting = owner.arena.used();
            }
            if core.sessions[session].relief > core.now {
                continue;
            }
            let owner = &mut core.sessions[session];
            owner.relief = u64::MAX;
            owner.relief_after = (2 * owner.relief_after).clamp(RELIEF, LONGEST_RELIEF);
            core.reclaim(session);
            for slot in 0..core.sessions[session].slots.len() {
                if let Some(id) = core.sessions[session].slots[slot] {
                    families.get(core.sockets[id].family).doorbell(core, id);
                }
            }
        }
    }

    /// Asks everyone to notify of new work. Returns whether there is some
    /// already.
    fn arm(&mut self) -> bool {
        let mut left = ::core::mem::take(&mut self.awake);
        while left != 0 {
            let session = left.trailing_zeros() as usize;
            left &= left - 1;
            let region = &self.core.sessions[session].region;
            region.to_server().arm();
            if region.doorbells().any() {
                region.to_server().disarm();
                self.awake |= 1 << session;
            }
        }
        self.rx.arm() || self.awake != 0
    }

    fn timers(&mut self) {
        let now = self.core.now;
        if now < self.due {
            return;
        }
        if now >= self.carrier {
            self.ask_carrier();
        }
        self.relieve();
        self.core.links.tick(now);
        if let Some(dhcp) = &mut self.dhcp
            && dhcp.deadline().is_some_and(|d| d <= now)
            && let Some(config) = dhcp.poll(now, None)
        {
            self.configure(config);
        }
        for family in self.families.iter_mut() {
            family.tick(&mut self.core);
        }
    }

    /// Works until nothing is left to do, or for some rounds, then tells everyone
    /// who sleeps and must know. Returns a channel that is still to be notified.
    fn turn(&mut self) -> Option<Channel> {
        let (mut began, mut others_run) = (None, false);
        self.resume = u64::MAX;
        for round in 0.. {
            self.core.now = self.pd.now();
            self.core.round += 1;
            let began = *began.get_or_insert(self.core.now);
            if round == ROUNDS {
                // Calls come in between, and clients whose core this is.
                let took = if others_run { 0 } else { self.core.now - began };
                self.resume = self.core.now + (took / PAUSE_PART).clamp(PAUSE, LONGEST_PAUSE);
                break;
            }
            let mut more = self.receive();
            // Who rings during a turn has a core of its own.
            others_run |= self.doorbells() && round > 0;
            self.timers();
            if self.core.links.changed || !self.core.links.duplicates.is_empty() {
                self.addresses();
            }
            for family in self.families.iter_mut() {
                more |= family.settle(&mut self.core);
            }
            more |= engine::close_orphans(&mut self.core, &mut self.families);
            more |= self.loopback();
            if let Some(dhcp) = &mut self.dhcp {
                for frame in dhcp.out.drain(..) {
                    self.core.links.emit_frame(&frame);
                }
            }
            // A tap that has something: sent after the families were done.
            more |= self.core.links.tap.as_ref().is_some_and(|tap| tap.waits());
            // Buffers came back for a socket that waits for one.
            more |= self.core.links.take_starved() && self.core.links.want_buffers();
            if !more && !self.arm() {
                break;
            }
            // What was done so far does not wait for the rest.
            if let Some(channel) = self.flush() {
                self.pd.notify(channel);
            }
        }
        // Whose pages may have become more or fewer.
        let mut left = ::core::mem::take(&mut self.core.touched);
        while left != 0 {
            let session = &mut self.core.sessions[left.trailing_zeros() as usize];
            left &= left - 1;
            if session.arena.take_short() {
                session.relief = session.relief.min(self.core.now + session.relief_after.max(RELIEF));
            } else {
                session.relief_after = RELIEF;
            }
            let used = session.arena.used();
            if used > session.resting && session.trim == u64::MAX {
                session.trim = self.core.now + TRIM;
            }
            session.resting = session.resting.min(used);
            self.relief = self.relief.min(session.relief).min(session.trim);
        }
        self.set_timer();
        self.flush()
    }

    /// Who looks after a client says that it has ended.
    fn end(&mut self, channel: Channel, message: &mut Message) {
        let clients = self.core.sessions.iter().map(|s| (s.name.as_str(), s.parent));
        let Some(session) = end::receive(message, channel, clients) else { return };
        // What it wrote before comes first.
        self.awake |= 1 << session;
        self.turn_and_tell();
        engine::close_all(&mut self.core, &mut self.families, session, false);
        self.turn_and_tell();
    }

    fn turn_and_tell(&mut self) {
        if let Some(channel) = self.turn() {
            self.pd.notify(channel);
        }
    }

    fn set_timer(&mut self) {
        let dhcp = self.dhcp.as_ref().and_then(Dhcp::deadline).unwrap_or(u64::MAX);
        let links = self.core.links.deadline().unwrap_or(u64::MAX);
        let at = self.families.deadline().unwrap_or(u64::MAX).min(links).min(dhcp).min(self.relief).min(self.carrier);
        let slack = if self.resume < at { 0 } else { TIMER_SLACK };
        let at = at.min(self.resume);
        self.due = at;
        if at == u64::MAX || self.armed.is_some_and(|armed| armed <= at.saturating_add(slack)) {
            return;
        }
        let wait = at.saturating_sub(self.core.now).max(1000);
        self.pd.call(self.timer, &mut Message::from_words(timer::SET_TIMEOUT, &[wait]));
        self.armed = Some(self.core.now + wait);
    }

    /// Publishes what was produced. All but the last of the channels to be
    /// notified are, the last is returned.
    fn flush(&mut self) -> Option<Channel> {
        let mut last = None;
        let mut tell = |pd: PdRef, channel| {
            if let Some(earlier) = last.replace(channel) {
                pd.notify(earlier);
            }
        };
        let (frames, buffers) = (self.core.links.flush(), self.rx.flush());
        if frames || buffers {
            self.core.counters.notify_driver += 1;
            tell(self.pd, self.driver);
        }
        if let Some(files) = self.files.filter(|_| ::core::mem::take(&mut self.core.files_lost)) {
            tell(self.pd, files);
        }
        let mut left = ::core::mem::take(&mut self.core.notify);
        while left != 0 {
            let session = &self.core.sessions[left.trailing_zeros() as usize];
            left &= left - 1;
            if session.region.to_client().raise() {
                self.core.counters.notify_clients += 1;
                tell(self.pd, session.channel);
            }
        }
        last
    }
}

fn deliver(families: &mut Registry, core: &mut Core, packet: &mut [u8]) {
    if !families.iter_mut().any(|family| family.input(core, packet)) {
        core.links.counters.rx_dropped += 1;
    }
}

impl Component for NetServer {
    fn notified(&mut self, channels: ChannelSet) -> Option<Channel> {
        self.core.counters.wakeups += 1;
        if channels.contains(self.timer) {
            self.armed = None;
        }
        if channels.contains(self.driver) || !self.core.links.state().1 {
            // Perhaps the carrier changed, also if frames came with that word; it is
            // asked now and then only.
            self.carrier = self.carrier.min(self.asked + CARRIER_INTERVAL);
            self.due = self.due.min(self.carrier);
        }
        for channel in channels.iter() {
            if let Some(session) = self.sessions[channel.index()] {
                self.awake |= 1 << session;
            }
        }
        self.turn()
    }

    fn protected(&mut self, channel: Channel, message: &mut Message) {
        if message.label == end::END {
            return self.end(channel, message);
        }
        let Some(session) = self.sessions[channel.index()] else {
            *message = net::encode_reply(Err(Errno::EPERM));
            return;
        };
        self.core.now = self.pd.now();
        self.core.round += 1;
        let mut buffer = Box::new([0; MESSAGE_BYTES]);
        let request = Request::decode(message, &mut buffer);
        // What the client sent before comes before: it may still be in the rings,
        // with a notification that is on its way or put off. Only Send is about
        // what is in a ring itself.
        if !matches!(request, Err(_) | Ok(Request::Send { .. }))
            && self.core.sessions[usize::from(session)].region.doorbells().any()
        {
            self.awake |= 1 << session;
            if let Some(channel) = self.turn() {
                self.pd.notify(channel);
            }
        }
        let answer = request
            .and_then(|request| engine::call(&mut self.core, &mut self.families, usize::from(session), &request));
        *message = net::encode_reply(
            answer.as_ref().map(|a| net::Reply { value: a.value, bytes: &a.bytes[..a.len] }).map_err(|e| *e),
        );
        // What the call caused (a SYN, a FIN) leaves at once.
        self.turn_and_tell();
    }
}
