//! Strait in this process: `net_server` and one client, on a clock of its own.
//!
//! The server runs whenever it is notified, as on seL4, where it has the
//! higher priority. Nothing is plugged into its port.

use std::cell::RefCell;

use strait_abi::{entropy, eth, timer};
use strait_libsock::Process;
use strait_net_server::NetServer;
use strait_pd::{Channel, ChannelConfig, ChannelSet, Component, Config, Environment, Message, Pd, RegionConfig};
use strait_ring::{
    SharedMemory,
    memory::{environment_for_tests, leak_for_tests},
};

const DRIVER: u8 = 0;
const TIMER: u8 = 1;
const ENTROPY: u8 = 2;
/// The server's channel to the client, and the client's to the server.
const SESSION: u8 = 3;

#[derive(Default)]
struct State {
    now: u64,
    server_due: Option<u64>,
    client_due: Option<u64>,
    client: ChannelSet,
    words: u64,
}

/// Both see the same world, through one of these each.
struct Side {
    state: &'static RefCell<State>,
    /// The client's side: whom to run.
    server: Option<&'static RefCell<NetServer>>,
}

fn channel(id: u8) -> Channel {
    Channel::new(id).expect("a small number")
}

fn set(id: u8) -> ChannelSet {
    ChannelSet(1 << id)
}

impl Side {
    fn run(&self, id: u8) {
        if let Some(server) = self.server {
            let last = server.borrow_mut().notified(set(id));
            if last == Some(channel(SESSION)) {
                self.signal_client(SESSION);
            }
        }
    }

    fn signal_client(&self, id: u8) {
        let mut state = self.state.borrow_mut();
        state.client = state.client.union(set(id));
    }

    /// Time goes on to the next timer that is due until `end`; whether there
    /// was one.
    fn step(&self, end: u64) -> bool {
        let (server, client) = {
            let mut state = self.state.borrow_mut();
            let due = [state.server_due, state.client_due].into_iter().flatten().min();
            let Some(due) = due.filter(|due| *due <= end) else {
                state.now = state.now.max(end);
                return false;
            };
            state.now = state.now.max(due);
            let now = state.now;
            (state.server_due.take_if(|t| *t <= now).is_some(), state.client_due.take_if(|t| *t <= now).is_some())
        };
        if server {
            self.run(TIMER);
        }
        if client {
            self.signal_client(TIMER);
        }
        true
    }
}

impl Pd for Side {
    fn notify(&self, to: Channel) {
        match self.server {
            Some(_) => self.run(SESSION),
            None if to.index() == usize::from(SESSION) => self.signal_client(SESSION),
            None => {}
        }
    }

    fn irq_ack(&self, _: Channel) {}

    fn call(&self, to: Channel, message: &mut Message) {
        if let (Some(server), SESSION) = (self.server, to.index() as u8) {
            server.borrow_mut().protected(to, message);
            return;
        }
        let mut state = self.state.borrow_mut();
        *message = match (to.index() as u8, message.label) {
            (DRIVER, eth::GET_LINK) => Message::from_words(0, &[u64::from_le_bytes([2, 0, 0, 0, 0, 1, 0, 0]), 0, 1500]),
            (TIMER, timer::SET_TIMEOUT) => {
                let due = Some(state.now + message.words().first().copied().unwrap_or(0));
                *(if self.server.is_some() { &mut state.client_due } else { &mut state.server_due }) = due;
                Message::new(0)
            }
            (ENTROPY, entropy::GET_WORDS) => {
                state.words += 4;
                let w = state.words;
                Message::from_words(entropy::OK, &[w, w + 1, w + 2, w + 3])
            }
            _ => Message::new(0),
        };
    }

    fn wait(&self) -> ChannelSet {
        loop {
            let woken = self.poll();
            if !woken.is_empty() {
                return woken;
            }
            assert!(self.step(u64::MAX), "the client sleeps and nothing is to come");
        }
    }

    fn poll(&self) -> ChannelSet {
        std::mem::take(&mut self.state.borrow_mut().client)
    }

    fn now(&self) -> u64 {
        self.state.borrow().now
    }

    fn debug_write(&self, bytes: &[u8]) {
        if std::env::var_os("VERBOSE").is_some() {
            eprint!("{}", String::from_utf8_lossy(bytes));
        }
    }
}

fn environment(side: &'static Side, name: &str, peers: &[(&str, u8)], regions: &[(&str, SharedMemory)]) -> Environment {
    let region = |(name, memory): &(&str, SharedMemory)| RegionConfig {
        name: (*name).into(),
        vaddr: 0,
        size: memory.len() as u64,
        prefill: 0,
        writable: true,
    };
    let settings = [("ipv4.mode", "static"), ("ipv4.address", "10.0.2.15/24"), ("ipv6.mode", "off")];
    let config = Config {
        name: name.into(),
        regions: regions.iter().map(region).collect(),
        channels: peers
            .iter()
            .map(|(peer, id)| ChannelConfig { peer: (*peer).into(), id: *id, can_call: true })
            .collect(),
        irqs: vec![],
        children: vec![],
        settings: if name == "net_server" {
            settings.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
        } else {
            vec![]
        },
    };
    environment_for_tests(side, config, regions)
}

/// The client's end.
pub struct World {
    side: &'static Side,
    /// Its calls.
    pub process: Process,
}

impl World {
    /// A world with a session of 8 MiB.
    pub fn new() -> Self {
        let state: &'static RefCell<State> = Box::leak(Box::default());
        state.borrow_mut().now = 1_000_000_000;
        let mut regions: Vec<(&str, SharedMemory)> = ["eth_rx_free", "eth_rx_active", "eth_tx_active", "eth_tx_free"]
            .map(|n| (n, leak_for_tests(0x4000)))
            .into();
        regions.extend(["eth_rx_data", "eth_tx_data"].map(|n| (n, leak_for_tests(0x40000))));
        let session = leak_for_tests(8 << 20);
        regions.push(("client_net", session));
        let outside: &'static Side = Box::leak(Box::new(Side { state, server: None }));
        let peers = [("eth_driver", DRIVER), ("timer_driver", TIMER), ("entropy_driver", ENTROPY), ("client", SESSION)];
        let server = match strait_net_server::start(environment(outside, "net_server", &peers, &regions)) {
            Ok(server) => Box::leak(Box::new(RefCell::new(server))),
            Err(e) => panic!("net_server: {e}"),
        };
        let side: &'static Side = Box::leak(Box::new(Side { state, server: Some(server) }));
        let peers = [("net_server", SESSION), ("timer_driver", TIMER)];
        let process = match Process::new(&environment(side, "client", &peers, &[("client_net", session)])) {
            Ok(process) => process,
            Err(e) => panic!("libsock: {e}"),
        };
        Self { side, process }
    }

    /// Lets `milliseconds` pass.
    pub fn elapse(&self, milliseconds: u64) {
        let end = self.side.now() + milliseconds * 1_000_000;
        while self.side.step(end) {}
    }
}
