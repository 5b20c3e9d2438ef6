//! A client, a driver or a network that does anything at all.

extern crate std;

use core::net::SocketAddr;
use std::{ops::Range, vec, vec::Vec};

use proptest::prelude::*;
use strait_abi::{Address, Errno, net::Request, socket as c};
use strait_pd::Message;
use strait_ring::net_queue::Descriptor;

use super::world::{ClientSocket, PARENT, World, request};

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
    fn nothing_is_fatal_and_all_comes_back(acts in proptest::collection::vec(act(), 0..120), ends in any::<bool>()) {
        let mut w = World::with_session(64 * 1024);
        for a in &acts {
            perform(&mut w, a);
        }
        if ends {
            w.end(PARENT, "client").unwrap();
            // What was written goes out, if the peer takes it.
            (0..300).for_each(|_| w.step(500_000_000));
            let c = w.counters();
            prop_assert_eq!((c.sockets, c.sockets_all, c.pages, c.buffer_bytes), (0, 0, 0, 0));
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

/// Families, kinds, protocols.
const KINDS: [(u16, u16, u16); 12] = [
    (2, c::SOCK_STREAM, 0),
    (2, c::SOCK_DGRAM, 0),
    (2, c::SOCK_DGRAM, 1),
    (2, c::SOCK_RAW, 99),
    (10, c::SOCK_STREAM, 0),
    (10, c::SOCK_DGRAM, 0),
    (10, c::SOCK_DGRAM, 58),
    (10, c::SOCK_RAW, 58),
    (1, c::SOCK_STREAM, 0),
    (1, c::SOCK_DGRAM, 0),
    (1, c::SOCK_SEQPACKET, 0),
    (17, c::SOCK_DGRAM, 0),
];
const LEVELS: [i32; 8] = [0, 1, 6, 17, 41, 58, 255, 263];
const NAMES: Range<i32> = 0..90;

/// Values that options may have: numbers, bytes, structures, nothing.
fn values() -> Vec<Vec<u8>> {
    let numbers = [i32::MIN, -1, 0, 1, 2, 88, 255, 256, 65_536, i32::MAX];
    let mut values: Vec<Vec<u8>> = numbers.iter().map(|n| n.to_ne_bytes().to_vec()).collect();
    values.extend([vec![], vec![0], vec![255], vec![0; 8], vec![1; 8], vec![0xe0; 12], vec![255; 20], vec![0; 300]]);
    values
}

type Opt<'a> = (i32, i32, &'a [u8]);

/// Sets an option and reads it; whether it was taken.
fn set(w: &mut World, socket: u16, (level, name, value): Opt<'_>) -> bool {
    let taken = w.call(&Request::SetOption { socket, level, name, value }).is_ok();
    let _ = w.call(&Request::GetOption { socket, level, name });
    taken
}

fn new_socket(w: &mut World, (family, kind, protocol): (u16, u16, u16)) -> ClientSocket {
    let (handle, _) = w.call(&Request::Socket { family, kind, protocol }).unwrap();
    w.attached(handle as u16)
}

fn say(w: &mut World, s: &mut ClientSocket) {
    if s.tx.room() >= 24 {
        // As a record too: twelve bytes of data without an address.
        let bytes = [12, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 0, 0];
        s.tx.stage(0, &bytes).unwrap();
        s.tx.commit(24);
    }
    let _ = w.call(&Request::Send { socket: s.handle });
    w.ring(s.handle);
    w.step(1000);
}

/// A listener, and a connection to it, or two that send to each other; one
/// that connects to nobody.
fn company(w: &mut World, kind: (u16, u16, u16), option: Option<Opt<'_>>) -> Vec<ClientSocket> {
    let (mut a, b, lost) = (new_socket(w, kind), new_socket(w, kind), new_socket(w, kind));
    for s in [&a, &b, &lost] {
        option.map(|option| set(w, s.handle, option));
    }
    let here = match kind.0 {
        2 => Address::from(SocketAddr::from(([127, 0, 0, 1], 0))),
        10 => Address::from(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0))),
        family => Address::from_bytes(&family.to_ne_bytes()).unwrap(),
    };
    let _ = w.call(&Request::Bind { socket: b.handle, address: here.as_bytes() });
    let _ = w.call(&Request::Listen { socket: b.handle, backlog: 5 });
    if let Ok((_, name)) = w.call(&Request::LocalAddress { socket: b.handle }) {
        let _ = w.call(&Request::Connect { socket: a.handle, address: &name });
    }
    let nobody = Address::from(SocketAddr::from(([10, 0, 2, 99], 7)));
    let _ = w.call(&Request::Connect { socket: lost.handle, address: nobody.as_bytes() });
    w.step(1000);
    let taken = w.call(&Request::Accept { socket: b.handle }).ok().map(|(handle, _)| w.attached(handle as u16));
    say(w, &mut a);
    let mut all = vec![a, b, lost];
    all.extend(taken);
    say(w, all.last_mut().unwrap());
    all
}

#[test]
fn no_option_is_fatal() {
    for kind in KINDS {
        let mut w = World::with_session(256 * 1024);
        let (fresh, mut standing) = (new_socket(&mut w, kind), company(&mut w, kind, None));
        let connects = [c::SOCK_STREAM, c::SOCK_SEQPACKET].contains(&kind.1);
        assert_eq!(standing.len(), if connects { 4 } else { 3 });
        let before = w.counters().sockets;
        for (level, name) in LEVELS.into_iter().flat_map(|level| NAMES.map(move |name| (level, name))) {
            for value in values() {
                let option = (level, name, &value[..]);
                for s in &mut standing {
                    if set(&mut w, s.handle, option) {
                        say(&mut w, s);
                    }
                }
                if !set(&mut w, fresh.handle, option) {
                    continue;
                }
                for s in company(&mut w, kind, Some(option)) {
                    w.call(&Request::Close { socket: s.handle }).unwrap();
                }
                assert_eq!(w.counters().sockets, before, "{kind:?} {option:?}");
            }
        }
        w.call(&Request::Hello { version: strait_abi::session::VERSION }).unwrap();
        let c = w.counters();
        assert_eq!((c.sockets, c.sockets_all, c.pages, c.buffer_bytes), (0, 0, 0, 0), "{kind:?}");
    }
}
