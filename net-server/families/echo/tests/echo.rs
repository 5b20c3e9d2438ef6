//! The family in a server of its own.

use std::{cell::Cell, sync::atomic::Ordering};

use strait_abi::{
    Address, Errno, entropy, eth,
    net::{self, RecordHeader, Request},
    session::{SessionRegion, VERSION},
    socket::{SOCK_DGRAM, SOCK_STREAM},
};
use strait_family_echo::{AF_ECHO, FAMILY};
use strait_net_server::{NetServer, start_with};
use strait_pd::{Channel, ChannelConfig, ChannelSet, Component, Config, MESSAGE_BYTES, Message, Pd, RegionConfig};
use strait_ring::{
    SharedMemory,
    memory::{environment_for_tests, leak_for_tests},
    paged::{ClientConsumer, ClientProducer},
};
use zerocopy::{FromBytes, IntoBytes};

const DRIVER: u8 = 0;
const ENTROPY: u8 = 2;
const CLIENT: u8 = 3;

/// A world without time or network.
#[derive(Default)]
struct Still(Cell<u64>);

impl Pd for Still {
    fn notify(&self, _: Channel) {}
    fn irq_ack(&self, _: Channel) {}
    fn call(&self, channel: Channel, message: &mut Message) {
        self.0.set(self.0.get() + 1);
        *message = match (channel.index() as u8, message.label) {
            (DRIVER, eth::GET_LINK) => Message::from_words(0, &[2, 1, 1500]),
            (ENTROPY, entropy::GET_WORDS) => Message::from_words(entropy::OK, &[self.0.get(); 4]),
            _ => Message::new(0),
        };
    }
    fn wait(&self) -> ChannelSet {
        panic!("the server must not wait")
    }
    fn poll(&self) -> ChannelSet {
        ChannelSet::EMPTY
    }
    fn now(&self) -> u64 {
        1_000_000_000
    }
    fn debug_write(&self, _: &[u8]) {}
}

fn server(more: bool) -> (NetServer, SessionRegion) {
    let names = ["eth_rx_free", "eth_rx_active", "eth_tx_active", "eth_tx_free"];
    let mut regions: Vec<(&str, SharedMemory)> = names.iter().map(|n| (*n, leak_for_tests(0x1000))).collect();
    regions.extend(["eth_rx_data", "eth_tx_data"].map(|n| (n, leak_for_tests(0x40000))));
    let session = leak_for_tests(1 << 20);
    regions.push(("client_net", session));
    let region = |(name, memory): &(&str, SharedMemory)| RegionConfig {
        name: name.to_string(),
        vaddr: 0,
        size: memory.len() as u64,
        prefill: 0,
        writable: true,
    };
    let channels = [("eth_driver", DRIVER), ("timer_driver", 1), ("entropy_driver", ENTROPY), ("client", CLIENT)];
    let config = Config {
        name: "net_server".to_string(),
        regions: regions.iter().map(region).collect(),
        channels: channels
            .iter()
            .map(|(peer, id)| ChannelConfig { peer: peer.to_string(), id: *id, can_call: true })
            .collect(),
        irqs: vec![],
        children: vec![],
        settings: more.then(|| ("family.echo".to_string(), "true".to_string())).into_iter().collect(),
    };
    let env = environment_for_tests(Box::leak(Box::new(Still::default())), config, &regions);
    let server = start_with(env, &[FAMILY]).unwrap();
    (server, SessionRegion::new(session).unwrap())
}

fn call(server: &mut NetServer, request: &Request<'_>) -> Result<u32, Errno> {
    let mut message = request.encode().unwrap();
    server.protected(Channel::new(CLIENT).unwrap(), &mut message);
    net::decode_reply(&message, &mut [0; MESSAGE_BYTES]).map(|reply| reply.value)
}

fn socket(server: &mut NetServer, kind: u16, protocol: u16) -> Result<u32, Errno> {
    call(server, &Request::Hello { version: VERSION }).unwrap();
    call(server, &Request::Socket { family: AF_ECHO, kind, protocol })
}

#[test]
fn it_is_there_if_switched_on() {
    let (mut without, _) = server(false);
    assert_eq!(socket(&mut without, SOCK_DGRAM, 0), Err(Errno::EAFNOSUPPORT));
    let (mut with, _) = server(true);
    assert_eq!(socket(&mut with, SOCK_STREAM, 0), Err(Errno::ESOCKTNOSUPPORT));
    assert_eq!(socket(&mut with, SOCK_DGRAM, 9), Err(Errno::EPROTONOSUPPORT));
    assert!(socket(&mut with, SOCK_DGRAM, 0).is_ok());
}

#[test]
fn what_is_sent_comes_back() {
    let (mut server, session) = server(true);
    let handle = socket(&mut server, SOCK_DGRAM, 0).unwrap() as u16;
    let (slot, memory) = (session.slot(handle.into()).unwrap(), session.memory());
    let (mut rx, mut tx) = (ClientConsumer::new(memory, slot), ClientProducer::new(memory, slot));
    let to = Address::from_bytes(&[0, 0xfe, 1, 2, 3]).unwrap();
    for n in 0..200usize {
        let data = vec![n as u8; n];
        let header = RecordHeader { data: n as u32, address: 5, control: 0 };
        assert!(tx.room() >= header.total().unwrap(), "{n}");
        tx.stage(0, header.as_bytes()).unwrap();
        tx.stage(RecordHeader::BYTES as u32, to.as_bytes()).unwrap();
        tx.stage(header.data_offset(), &data).unwrap();
        tx.commit(header.total().unwrap());
        session.doorbells().set(handle.into());
        let mut client = ChannelSet::EMPTY;
        client.insert(Channel::new(CLIENT).unwrap());
        server.notified(client);
        let mut head = [0; RecordHeader::BYTES];
        rx.copy(0, &mut head).unwrap();
        assert_eq!(RecordHeader::read_from_bytes(&head).unwrap(), header);
        let mut back = vec![0; n];
        rx.copy(header.data_offset(), &mut back).unwrap();
        assert_eq!(back, data);
        rx.consume(header.total().unwrap());
    }
    assert_eq!(slot.status.load(Ordering::Relaxed) & strait_abi::session::status::ERR, 0);
    assert_eq!(call(&mut server, &Request::Close { socket: handle }), Ok(0));
}
