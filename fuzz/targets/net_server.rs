//! `net_server` with a client, a driver and a network that do anything at all.
//! In the end a new incarnation of the client finds everything as new.
#![no_main]

mod pages;

#[path = "../../net-server/src/tests/world.rs"]
#[allow(dead_code)]
mod world;

use arbitrary::Arbitrary;
use strait_abi::net::Request;
use strait_net_server::{NetServer, start};
use strait_pd::Message;
use strait_ring::net_queue::Descriptor;
use world::{World, request};

#[derive(Arbitrary, Debug)]
enum Act {
    Socket(u8, u8),
    /// A control message, word by word.
    Raw(u64, Vec<u64>),
    /// A request that is well formed.
    Call(u8, u8, Vec<u8>),
    /// A word anywhere in the session region.
    Scribble(u16, u32),
    /// A likely value for one word of a slot.
    Index(u8, u16),
    Ring(u8),
    Frame(Vec<u8>),
    /// An IPv4 packet for the server, with right checksums.
    Packet(u8, Vec<u8>),
    Descriptor(u64, u16),
    Step(u32),
}

fn sum(parts: &[&[u8]]) -> [u8; 2] {
    let mut sum = 0u32;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

fn packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let protocol = [1, 6, 17, protocol][usize::from(protocol % 4)];
    let mut payload = payload.to_vec();
    let length = payload.len() as u16;
    let at = [2, 16, 6, usize::MAX][[1, 6, 17].iter().position(|p| *p == protocol).unwrap_or(3)];
    if payload.len() >= at.saturating_add(2) {
        payload[at..at + 2].fill(0);
        let [high, low] = length.to_be_bytes();
        let pseudo = [10, 0, 2, 2, 10, 0, 2, 15, 0, protocol, high, low];
        let checksum = sum(&[if protocol == 1 { &[] } else { &pseudo }, &payload]);
        payload[at..at + 2].copy_from_slice(&checksum);
    }
    let mut frame = Vec::from([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0]);
    frame.extend((20 + length).to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15]);
    let checksum = sum(&[&frame[14..34]]);
    frame[24..26].copy_from_slice(&checksum);
    frame.extend(payload);
    frame
}

fn perform(world: &mut World, act: Act) {
    match act {
        Act::Socket(family, kind) => {
            let family = if family % 16 == 15 { 10 } else { 2 };
            let _ = world.call(&Request::Socket { family, kind: 1 + u16::from(kind % 3), protocol: 0 });
        }
        Act::Raw(label, words) => world.raw_call(&mut Message::from_words(label, &words[..words.len().min(64)])),
        Act::Call(op, socket, bytes) => {
            let _ = world.call(&request(op, u16::from(socket % 12), &bytes[..bytes.len().min(40)]));
        }
        Act::Scribble(word, value) => {
            let _ = world.session.memory().write(usize::from(word) * 4, &value.to_le_bytes());
        }
        Act::Index(word, value) => {
            let _ = world.session.memory().write((1024 + usize::from(word) * 3) * 4, &u32::from(value).to_le_bytes());
        }
        Act::Ring(socket) => world.ring(u16::from(socket % 20)),
        Act::Frame(bytes) => drop(world.inject(&bytes)),
        Act::Packet(protocol, payload) => drop(world.inject(&packet(protocol, &payload[..payload.len().min(1480)]))),
        Act::Descriptor(offset, len) => {
            let offset = if len.is_multiple_of(2) { offset } else { offset % 200 * 1024 };
            world.inject_descriptor(Descriptor::new(offset, len));
        }
        Act::Step(dt) => world.step(u64::from(dt)),
    }
}

libfuzzer_sys::fuzz_target!(|acts: Vec<Act>| {
    pages::reclaim(|| {
        let mut world = World::with_session(64 * 1024);
        for act in acts.into_iter().take(120) {
            perform(&mut world, act);
        }
        world.call(&Request::Hello { version: strait_abi::session::VERSION }).unwrap();
        let c = world.counters();
        assert_eq!((c.sockets, c.sockets_all, c.pages, c.buffer_bytes), (0, 0, 0, 0));
    });
});
