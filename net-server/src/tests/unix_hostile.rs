//! Two clients that do anything at all with local sockets.

extern crate std;

use std::{vec, vec::Vec};

use proptest::prelude::*;
use strait_abi::{
    control::{Item, put},
    net::{RecordHeader, Request},
    session::VERSION,
    socket as c,
};
use zerocopy::IntoBytes;

use super::world::{CLIENT, PARENT, SECOND, World};

#[derive(Debug, Clone)]
enum Act {
    Call(u8, u8, u16, u16, Vec<u8>),
    /// Writes a word anywhere in a session region.
    Scribble(u8, usize, u32),
    /// Writes data as a client that knows the rules.
    Write(u8, u16, Vec<u8>),
    /// Writes a record, with descriptors.
    Record(u8, u16, Vec<u8>, Vec<u16>),
    /// Reads all, and rings.
    Read(u8, u16),
    Ring(u8, u16),
    Step(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let bytes = |n| proptest::collection::vec(any::<u8>(), 0..n);
    let client = || prop_oneof![Just(CLIENT), Just(SECOND)];
    prop_oneof![
        6 => (client(), any::<u8>(), 0u16..9, 0u16..9, bytes(40)).prop_map(|(a, b, c, d, e)| Act::Call(a, b, c, d, e)),
        1 => (client(), 0usize..16384, any::<u32>()).prop_map(|(a, b, c)| Act::Scribble(a, b, c)),
        1 => (client(), 1024usize..2000, 0u32..9000).prop_map(|(a, b, c)| Act::Scribble(a, b, c)),
        3 => (client(), 0u16..8, bytes(3000)).prop_map(|(a, b, c)| Act::Write(a, b, c)),
        2 => (client(), 0u16..8, bytes(100), proptest::collection::vec(0u16..9, 0..4))
            .prop_map(|(a, b, c, d)| Act::Record(a, b, c, d)),
        3 => (client(), 0u16..8).prop_map(|(a, b)| Act::Read(a, b)),
        1 => (client(), 0u16..10).prop_map(|(a, b)| Act::Ring(a, b)),
        1 => (0u64..300_000_000).prop_map(Act::Step),
    ]
}

fn rights(handles: &[u16]) -> Vec<u8> {
    let value: Vec<u8> = handles.iter().flat_map(|h| u32::from(*h).to_ne_bytes()).collect();
    let (mut bytes, mut used) = (vec![0; 200], 0);
    put(&mut bytes, &mut used, Item { level: c::SOL_SOCKET, kind: c::SCM_RIGHTS, value: &value });
    bytes.truncate(used);
    bytes
}

fn call(w: &mut World, client: u8, op: u8, socket: u16, other: u16, bytes: &[u8]) {
    let number = bytes.first().copied().unwrap_or(0);
    let kind = [c::SOCK_STREAM, c::SOCK_DGRAM, c::SOCK_SEQPACKET, c::SOCK_STREAM][usize::from(number % 4)];
    let name = [1, 0, 0, b'a' + number % 3];
    let address: &[u8] = match bytes.len() % 8 {
        0 => bytes,
        1 => &name[..2],
        2 => &[0, 0],
        _ => &name,
    };
    let control = rights(&[socket, other][..usize::from(1 + number % 2)]);
    let control: &[u8] = if number % 7 == 0 { bytes } else { &control };
    let on = number % 2 == 0;
    let request = match op % 25 {
        0 | 1 => Request::SocketPair { family: 1, kind, protocol: 0 },
        2 | 3 => Request::Socket { family: 1, kind, protocol: 0 },
        4 => Request::Close { socket },
        5 => Request::Bind { socket, address },
        6 => Request::Listen { socket, backlog: u32::from(number % 3) },
        7 => Request::Accept { socket },
        8 | 9 => Request::Connect { socket, address },
        10 => Request::Shutdown { socket, how: number % 4 },
        11 => Request::PeerAddress { socket },
        12 => Request::SetOption { socket, level: 1, name: c::SO_PASSCRED, value: &[u8::from(on), 0, 0, 0] },
        13 => Request::SetOption { socket, level: 1, name: c::SO_RCVBUF, value: &[number, number, 0, 0] },
        14 => Request::Ioctl { socket, request: if on { c::SIOCATMARK } else { c::SIOCOUTQ }, argument: &[0; 4] },
        15 => Request::SendUrgent { socket, bytes: u32::from(number) },
        16 => Request::ReceiveUrgent { socket, peek: on },
        17 | 18 => Request::SendControl { socket, bytes: u32::from(number), control },
        19 => Request::Receive {
            socket,
            offset: u32::from(other) << (number % 32),
            most: u32::from(number),
            how: number / 3,
        },
        20 => Request::Acquire { socket },
        21 => Request::SetOption {
            socket,
            level: 1,
            name: c::SO_PEEK_OFF,
            value: &[number, 0, 0, if on { 0 } else { 255 }],
        },
        22 => Request::SetOption { socket, level: 1, name: c::SO_SNDBUF, value: &[0, number, 0, 0] },
        23 => Request::Describe { socket },
        _ => Request::Send { socket },
    };
    let _ = w.call_of(client, &request);
}

fn perform(w: &mut World, act: &Act) {
    match act {
        Act::Call(client, op, socket, other, bytes) => call(w, *client, *op, *socket, *other, bytes),
        Act::Scribble(client, word, value) => {
            let _ = w.region_of(*client).memory().write(word * 4, &value.to_le_bytes());
        }
        Act::Write(client, socket, bytes) => {
            let mut s = w.taken(*client, u32::from(*socket));
            let n = (s.socket.tx.room() as usize).min(bytes.len());
            // The page table may be anything, too.
            if s.socket.tx.stage(0, &bytes[..n]).is_some() {
                s.socket.tx.want((bytes.len() - n) as u32);
                s.socket.tx.commit(n as u32);
            }
            w.ring_of(*client, *socket);
        }
        Act::Record(client, socket, bytes, handles) => {
            let mut s = w.taken(*client, u32::from(*socket));
            let control = if handles.is_empty() { vec![] } else { rights(handles) };
            let address: &[u8] = if bytes.len() % 2 == 0 { &[] } else { &[1, 0, 0, b'a'] };
            let header =
                RecordHeader { data: bytes.len() as u32, address: address.len() as u16, control: control.len() as u16 };
            let mut record = header.as_bytes().to_vec();
            for part in [address, &control[..], &bytes[..]] {
                record.extend(part);
                record.resize(record.len().next_multiple_of(8), 0);
            }
            if s.socket.tx.room() as usize >= record.len() && s.socket.tx.stage(0, &record).is_some() {
                s.socket.tx.commit(record.len() as u32);
            } else {
                s.socket.tx.want(record.len() as u32);
            }
            let _ = w.call_of(*client, &Request::Send { socket: *socket });
        }
        Act::Read(client, socket) => {
            let mut s = w.taken(*client, u32::from(*socket));
            let n = s.socket.rx.available();
            s.socket.rx.consume(n);
            s.socket.tx.yield_room();
            w.ring_of(*client, *socket);
        }
        Act::Ring(client, socket) => w.ring_of(*client, *socket),
        Act::Step(dt) => w.step(*dt),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..Default::default() })]

    #[test]
    fn local_sockets_bear_anything_and_all_comes_back(
        acts in proptest::collection::vec(act(), 0..150), end in any::<bool>(),
    ) {
        let mut w = World::with_session(64 * 1024);
        for act in &acts {
            perform(&mut w, act);
        }
        for (client, name) in [(CLIENT, "client"), (SECOND, "second")] {
            match end {
                true => w.end(PARENT, name).unwrap(),
                false => drop(w.call_of(client, &Request::Hello { version: VERSION }).unwrap()),
            }
            prop_assert!(w.server.core.moved.is_empty());
        }
        for _ in 0..3 {
            w.step(20_000_000);
        }
        let counters = w.counters();
        prop_assert_eq!((counters.sockets_all, counters.pages_all), (0, 0));
        for session in &w.server.core.sessions {
            prop_assert_eq!((session.sockets, session.flying), (0, 0));
            prop_assert!(session.slots.iter().all(Option::is_none));
        }
    }
}
