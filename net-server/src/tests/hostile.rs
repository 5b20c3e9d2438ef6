//! A client, a driver or a network that does anything at all.

extern crate std;

use core::net::SocketAddr;
use std::{vec, vec::Vec};

use proptest::prelude::*;
use strait_abi::{Address, Errno, net::Request, socket as c};
use strait_pd::Message;
use strait_ring::net_queue::Descriptor;

use super::world::{World, request};

#[derive(Debug, Clone)]
enum Act {
    Socket(u16),
    Raw(u64, Vec<u64>),
    Call(u8, u16, Vec<u8>),
    /// Writes a word anywhere in the session region.
    Scribble(usize, u32),
    Ring(u16),
    Frame(Vec<u8>),
    /// A frame that looks like one for us.
    Packet(u8, Vec<u8>),
    Descriptor(u64, u16),
    Step(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let bytes = |n| proptest::collection::vec(any::<u8>(), 0..n);
    prop_oneof![
        any::<u16>().prop_map(Act::Socket),
        (any::<u64>(), proptest::collection::vec(any::<u64>(), 0..64)).prop_map(|(a, b)| Act::Raw(a, b)),
        (any::<u8>(), 0u16..12, bytes(40)).prop_map(|(a, b, c)| Act::Call(a, b, c)),
        (0usize..16384, any::<u32>()).prop_map(|(a, b)| Act::Scribble(a, b)),
        // The words of the first slots, with likely values.
        (1024usize..1800, 0u32..9000).prop_map(|(a, b)| Act::Scribble(a, b)),
        (0u16..20).prop_map(Act::Ring),
        bytes(100).prop_map(Act::Frame),
        (any::<u8>(), bytes(120)).prop_map(|(p, b)| Act::Packet(p, b)),
        (any::<u64>(), any::<u16>()).prop_map(|(a, b)| Act::Descriptor(a, b)),
        (0u64..200).prop_map(|b| Act::Descriptor(b * 1024, 2100)),
        (0u64..3_000_000_000).prop_map(Act::Step),
    ]
}

fn packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut f = Vec::from([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0]);
    f.extend((20 + payload.len() as u16).to_be_bytes());
    f.extend([0, 0, 0, 0, 64, [1, 6, 17, protocol][usize::from(protocol % 4)], 0, 0, 10, 0, 2, 2, 10, 0, 2, 15]);
    let sum = !f[14..34].chunks(2).fold(0u32, |s, c| s + u32::from(u16::from_be_bytes([c[0], c[1]])));
    let sum = (!sum & 0xffff) + (!sum >> 16);
    let sum = !(sum as u16);
    f[24..26].copy_from_slice(&sum.to_be_bytes());
    f.extend(payload);
    f
}

fn perform(w: &mut World, act: &Act) {
    match act {
        Act::Socket(n) => {
            let _ = w.call(&Request::Socket { family: 2 + (n % 16) / 15, kind: 1 + n % 2, protocol: 0 });
        }
        Act::Raw(label, words) => w.raw_call(&mut Message::from_words(*label, words)),
        Act::Call(op, socket, bytes) => {
            let _ = w.call(&request(*op, *socket, bytes));
        }
        Act::Scribble(word, value) => {
            let _ = w.session.memory().write(word * 4, &value.to_le_bytes());
        }
        Act::Ring(socket) => w.ring(*socket),
        Act::Frame(bytes) => {
            w.inject(bytes);
        }
        Act::Packet(protocol, payload) => {
            w.inject(&packet(*protocol, payload));
        }
        Act::Descriptor(offset, len) => w.inject_descriptor(Descriptor::new(*offset, *len)),
        Act::Step(dt) => w.step(*dt),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..Default::default() })]

    #[test]
    fn nothing_is_fatal_and_all_comes_back(acts in proptest::collection::vec(act(), 0..120)) {
        let mut w = World::with_session(64 * 1024);
        for a in &acts {
            perform(&mut w, a);
        }
        // A new incarnation of the client finds everything as new.
        w.call(&Request::Hello { version: strait_abi::session::VERSION }).unwrap();
        let c = w.counters();
        prop_assert_eq!((c.sockets, c.sockets_all, c.pages, c.buffer_bytes), (0, 0, 0, 0));
    }
}

#[test]
fn wrong_handles_and_states_get_their_errno() {
    let mut w = World::new();
    let any = Address::from(SocketAddr::from(([0; 4], 0)));
    assert_eq!(w.call(&Request::Close { socket: 0 }), Err(Errno::EBADF));
    assert_eq!(w.call(&Request::Bind { socket: 65535, address: any.as_bytes() }), Err(Errno::EBADF));
    assert_eq!(w.call(&Request::Socket { family: 99, kind: 1, protocol: 0 }), Err(Errno::EAFNOSUPPORT));
    assert_eq!(w.call(&Request::Socket { family: 2, kind: 9, protocol: 0 }), Err(Errno::ESOCKTNOSUPPORT));
    assert_eq!(w.call(&Request::Socket { family: 2, kind: 1, protocol: 17 }), Err(Errno::EPROTONOSUPPORT));
    let s = w.socket(c::SOCK_STREAM).handle;
    let d = w.socket(c::SOCK_DGRAM).handle;
    assert_eq!(w.call(&Request::Bind { socket: s, address: &[] }), Err(Errno::EINVAL));
    assert_eq!(w.call(&Request::Bind { socket: s, address: &[2, 0, 0] }), Err(Errno::EINVAL));
    assert_eq!(w.call(&Request::Accept { socket: s }), Err(Errno::EINVAL));
    assert_eq!(w.call(&Request::Listen { socket: d, backlog: 1 }), Err(Errno::EOPNOTSUPP));
    assert_eq!(w.call(&Request::Shutdown { socket: s, how: 0 }), Err(Errno::ENOTCONN));
    assert_eq!(w.call(&Request::Shutdown { socket: s, how: 9 }), Err(Errno::EINVAL));
    assert_eq!(w.call(&Request::PeerAddress { socket: s }), Err(Errno::ENOTCONN));
    assert_eq!(w.call(&Request::GetOption { socket: s, level: 77, name: 1 }), Err(Errno::EOPNOTSUPP));
    assert_eq!(w.call(&Request::SetOption { socket: s, level: 1, name: 77, value: &[0; 4] }), Err(Errno::ENOPROTOOPT));
    assert_eq!(w.call(&Request::SetOption { socket: s, level: 1, name: 2, value: &[0; 3] }), Err(Errno::EINVAL));
    w.call(&Request::Close { socket: s }).unwrap();
    assert_eq!(w.call(&Request::Close { socket: s }), Err(Errno::EBADF));
}

#[test]
fn a_session_full_of_sockets_costs_only_itself() {
    let mut w = World::with_session(64 * 1024);
    let n = w.session.sockets();
    let handles: Vec<u16> = (0..n).map(|_| w.socket(c::SOCK_STREAM).handle).collect();
    let more = Request::Socket { family: 2, kind: 1, protocol: 0 };
    assert_eq!(w.call(&more), Err(Errno::EMFILE));
    w.call(&Request::Close { socket: handles[3] }).unwrap();
    assert_eq!(w.call(&more).unwrap().0, u32::from(handles[3]));
}
