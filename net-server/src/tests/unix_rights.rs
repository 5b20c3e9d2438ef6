//! Descriptors on their way between clients, sockets that two clients hold.

extern crate std;

use std::{vec, vec::Vec};

use smoltcp::socket::tcp::{Socket, State};
use strait_abi::{
    Errno,
    control::{Item, items, put},
    net::{Request, receive},
    session::{VERSION, status},
    socket as c,
};
use strait_ring::paged::{ClientConsumer, ClientProducer};

use super::{
    local::{Local, named},
    tcp,
    world::{CLIENT, SECOND, World},
};

/// An SCM_RIGHTS item with these words.
pub fn rights(words: &[u32]) -> Vec<u8> {
    let value: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
    let (mut bytes, mut used) = (vec![0; 600], 0);
    put(&mut bytes, &mut used, Item { level: c::SOL_SOCKET, kind: c::SCM_RIGHTS, value: &value });
    bytes.truncate(used);
    bytes
}

fn words(control: &[u8]) -> Vec<u32> {
    items(control)
        .map(Result::unwrap)
        .filter(|i| i.kind == c::SCM_RIGHTS)
        .flat_map(|i| i.value.chunks(4).map(|c| u32::from_ne_bytes(c.try_into().unwrap())).collect::<Vec<_>>())
        .collect()
}

impl World {
    /// sendmsg(2) on a stream.
    pub fn pass(&mut self, over: &mut Local, data: &[u8], what: &[u32]) -> Result<(), Errno> {
        let (socket, bytes) = (over.socket.handle, data.len() as u32);
        self.call_of(over.client, &Request::SendControl { socket, bytes, control: &rights(what) })?;
        assert_eq!(self.put(over, data), data.len());
        Ok(())
    }

    /// The descriptors that come next, and how many bytes belong to them.
    pub fn control(&mut self, s: &Local, peek: bool) -> (Vec<u32>, u32) {
        let (portion, control) =
            self.portion(s, (0, u32::MAX), receive::CONTROL | if peek { receive::PEEK } else { 0 });
        (words(&control), portion.bytes)
    }

    pub fn acquire(&mut self, s: &mut Local) -> Result<(), Errno> {
        self.call_of(s.client, &Request::Acquire { socket: s.socket.handle })?;
        let region = self.region_of(s.client);
        let slot = region.slot(s.socket.handle.into()).unwrap();
        s.socket.rx = ClientConsumer::new(region.memory(), slot);
        s.socket.tx = ClientProducer::new(region.memory(), slot);
        Ok(())
    }

    /// Both clients begin anew: nothing may be left.
    pub fn all_comes_back(&mut self) {
        for client in [CLIENT, SECOND] {
            self.call_of(client, &Request::Hello { version: VERSION }).unwrap();
        }
        self.step(20_000_000);
        self.step(20_000_000);
        let counters = self.counters();
        assert_eq!((counters.sockets_all, counters.pages_all), (0, 0));
        for session in &self.server.core.sessions {
            assert_eq!((session.sockets, session.flying), (0, 0));
            assert!(session.slots.iter().all(Option::is_none));
        }
    }
}

#[test]
fn a_socket_goes_to_another_client_and_on_without_the_giver() {
    let mut w = World::new();
    let (mut over, mut under) = w.connection(c::SOCK_STREAM);
    let (mut a, b) = w.local_pair(SECOND, c::SOCK_STREAM);
    w.put(&mut a, b"written before");
    let handle = u32::from(b.socket.handle);
    w.pass(&mut over, b"x", &[handle | strait_abi::rights::NONBLOCK]).unwrap();
    w.close(&b);
    assert_ne!(w.state(&under) & status::CONTROL, 0);
    assert_eq!(w.mark(&under), 0);
    let (got, bytes) = w.control(&under, false);
    assert_eq!((got.len(), bytes), (1, 1));
    assert_ne!(got[0] & strait_abi::rights::NONBLOCK, 0);
    assert_eq!(w.get(&mut under), b"x");
    assert_eq!(w.state(&under) & status::CONTROL, 0);
    let mut b = w.taken(CLIENT, got[0] & 0xffff);
    assert_eq!(w.state(&b) & (status::AWAY | status::CONNECTED), status::CONNECTED);
    assert_eq!(w.get(&mut b), b"written before");
    w.put(&mut a, b"and after");
    assert_eq!(w.get(&mut b), b"and after");
    w.put(&mut b, b"reply");
    assert_eq!(w.get(&mut a), b"reply");
    w.close(&a);
    assert_ne!(w.state(&b) & status::RDHUP, 0);
    w.all_comes_back();
}

#[test]
fn what_the_giver_keeps_moves_to_who_uses_it() {
    let mut w = World::new();
    let (mut over, under) = w.connection(c::SOCK_STREAM);
    let (mut a, mut b) = w.local_pair(SECOND, c::SOCK_STREAM);
    w.put(&mut a, b"one");
    let handle = u32::from(b.socket.handle);
    w.pass(&mut over, b"x", &[handle]).unwrap();
    let (got, _) = w.control(&under, false);
    let mut other = w.taken(CLIENT, got[0]);
    assert_ne!(w.state(&other) & status::AWAY, 0);
    assert_ne!(w.state(&other) & status::IN, 0);
    assert_eq!(
        w.call(&Request::Receive { socket: other.socket.handle, offset: 0, most: 9, how: 0 }),
        Err(Errno::EAGAIN)
    );
    w.acquire(&mut other).unwrap();
    assert_eq!(w.get(&mut other), b"one");
    assert_ne!(w.state(&b) & status::AWAY, 0);
    // The former home is told of news, and takes it.
    w.second.events().take(|_| {});
    w.put(&mut a, b"two");
    let mut told = vec![];
    w.second.events().take(|i| told.push(i as u16));
    assert!(told.contains(&b.socket.handle));
    assert_ne!(w.state(&b) & status::IN, 0);
    w.acquire(&mut b).unwrap();
    assert_eq!(w.get(&mut b), b"two");
    assert_ne!(w.state(&other) & status::AWAY, 0);
    w.put(&mut b, b"three");
    assert_eq!(w.get(&mut a), b"three");
    // It stays open until both have closed it.
    w.close(&b);
    assert_eq!(w.state(&a) & status::RDHUP, 0);
    w.acquire(&mut other).unwrap();
    w.put(&mut other, b"four");
    assert_eq!(w.get(&mut a), b"four");
    w.close(&other);
    assert_ne!(w.state(&a) & status::RDHUP, 0);
    w.all_comes_back();
}

#[test]
fn data_that_was_not_taken_yet_moves_too() {
    let mut w = World::new();
    let (mut over, under) = w.connection(c::SOCK_STREAM);
    let listener = w.listener(SECOND, c::SOCK_STREAM, b"\0l", 5);
    let mut a = w.local_socket(SECOND, c::SOCK_STREAM);
    w.join(&a, b"\0l").unwrap();
    // Nobody has accepted: it stays with its sender.
    assert_eq!(w.put(&mut a, &[3; 9000]), 9000);
    w.pass(&mut over, b"x", &[a.socket.handle.into()]).unwrap();
    let (got, _) = w.control(&under, false);
    w.close(&a);
    let mut a = w.taken(CLIENT, got[0]);
    w.acquire(&mut a).unwrap();
    assert_eq!(w.put(&mut a, &[4; 100]), 100);
    let (mut b, _) = w.take_connection(&listener).unwrap();
    let data = w.get(&mut b);
    assert_eq!(data.len(), 9100);
    assert!(data[..9000].iter().all(|b| *b == 3) && data[9000..].iter().all(|b| *b == 4));
    w.all_comes_back();
}

#[test]
fn reads_stop_at_messages_with_control_data() {
    let mut w = World::new();
    let (mut a, mut b) = w.connection(c::SOCK_STREAM);
    let handle = u32::from(a.socket.handle);
    w.put(&mut a, b"cd");
    w.pass(&mut a, b"ab", &[handle]).unwrap();
    w.pass(&mut a, b"ef", &[handle, handle]).unwrap();
    w.put(&mut a, b"gh");
    assert_eq!((b.socket.rx.available(), w.mark(&b)), (8, 2));
    // Plain data may go before, nothing behind.
    let (got, bytes) = w.control(&b, true);
    assert_eq!((got.len(), bytes), (1, 4));
    let (again, bytes) = w.control(&b, false);
    assert_eq!((again, bytes), (got, 4));
    assert_eq!(w.get_at_most(&mut b, 4), b"cdab");
    assert_eq!(w.mark(&b), 4);
    assert_eq!(w.control(&b, false).0.len(), 2);
    assert_eq!(w.get(&mut b), b"efgh");
    // What is read without it is gone.
    w.pass(&mut a, b"ij", &[handle]).unwrap();
    assert_eq!(w.server.core.sessions[1].flying, 1);
    assert_eq!(w.get(&mut b), b"ij");
    w.ring_of(CLIENT, b.socket.handle);
    assert_eq!(w.control(&b, false), (vec![], 0));
    assert_eq!(w.server.core.sessions[1].flying, 0);
    w.all_comes_back();
}

#[test]
fn control_data_said_twice_counts_once() {
    let mut w = World::new();
    let (mut a, b) = w.connection(c::SOCK_STREAM);
    let (socket, handle) = (a.socket.handle, u32::from(a.socket.handle));
    for _ in 0..3 {
        let control = rights(&[handle, handle]);
        w.call_of(SECOND, &Request::SendControl { socket, bytes: 1, control: &control }).unwrap();
    }
    w.pass(&mut a, b"x", &[handle]).unwrap();
    assert_eq!(w.control(&b, false).0.len(), 1);
    assert_eq!(w.server.core.sessions[1].flying, 0);
    let mut wrong = |control: &[u8]| w.call_of(SECOND, &Request::SendControl { socket, bytes: 1, control });
    assert_eq!(wrong(&rights(&[77])), Err(Errno::EBADF));
    assert_eq!(wrong(&rights(&[handle, 0xffff])), Err(Errno::EBADF));
    assert_eq!(wrong(&rights(&[1 << 31, 0, 0, 0, 0])), Err(Errno::EBADF));
    assert_eq!(wrong(&rights(&[1 << 31, 0])), Err(Errno::EINVAL));
    assert_eq!(wrong(&rights(&[handle; 111])), Err(Errno::EINVAL));
    let identity = |who: [u32; 3]| {
        let value: Vec<u8> = who.iter().flat_map(|w| w.to_ne_bytes()).collect();
        let (mut bytes, mut used) = (vec![0; 32], 0);
        put(&mut bytes, &mut used, Item { level: c::SOL_SOCKET, kind: c::SCM_CREDENTIALS, value: &value });
        bytes
    };
    assert_eq!(wrong(&identity([1, 1000, 1000])), Err(Errno::EPERM));
    wrong(&identity([2, 1001, 1001])).unwrap();
    assert_eq!(w.server.core.sessions[1].flying, 0);
    w.all_comes_back();
}

#[test]
fn records_carry_descriptors_and_identities() {
    let mut w = World::new();
    for kind in [c::SOCK_DGRAM, c::SOCK_SEQPACKET] {
        let (mut a, mut b) = if kind == c::SOCK_SEQPACKET {
            w.connection(kind)
        } else {
            let b = w.bound(CLIENT, kind, b"\0b");
            let a = w.local_socket(SECOND, kind);
            w.join(&a, b"\0b").unwrap();
            (a, b)
        };
        let pass = Request::SetOption { socket: b.socket.handle, level: 1, name: c::SO_PASSCRED, value: &[1, 0, 0, 0] };
        w.call(&pass).unwrap();
        let handle = u32::from(a.socket.handle);
        w.send_record(&mut a, &[], &[], b"plain").unwrap();
        w.send_record(&mut a, &[], &rights(&[handle]), b"carries").unwrap();
        w.send_record(&mut a, &[], &rights(&[handle]), b"not taken").unwrap();
        assert_eq!(w.send_record(&mut a, &[], &rights(&[99]), b"wrong"), Err(Errno::EBADF));
        assert_eq!(w.control(&b, false).0, []);
        let (_, control, data) = w.receive_record(&mut b).unwrap();
        assert_eq!(data, b"plain");
        let who = items(&control).next().unwrap().unwrap();
        assert_eq!((who.kind, &who.value[..4]), (c::SCM_CREDENTIALS, &2u32.to_ne_bytes()[..]));
        assert_eq!(w.control(&b, false).0.len(), 1);
        let (_, control, data) = w.receive_record(&mut b).unwrap();
        // It says that there are some.
        let kinds: Vec<i32> = items(&control).map(|i| i.unwrap().kind).collect();
        assert_eq!((kinds, data), (vec![c::SCM_CREDENTIALS, c::SCM_RIGHTS], b"carries".to_vec()));
        assert_eq!(w.receive_record(&mut b).unwrap().2, b"not taken");
        assert_eq!(w.control(&b, false).0, []);
        assert_eq!(w.server.core.sessions[1].flying, 0);
        w.all_comes_back();
    }
}

#[test]
fn sockets_sent_in_circles_are_collected() {
    let mut w = World::new();
    for _ in 0..3 {
        // Over itself.
        let (mut a, b) = w.local_pair(CLIENT, c::SOCK_STREAM);
        let handles = [u32::from(a.socket.handle), u32::from(b.socket.handle)];
        w.pass(&mut a, b"x", &handles).unwrap();
        w.close(&a);
        w.close(&b);
        // Two over each other.
        let (mut a, b) = w.local_pair(CLIENT, c::SOCK_DGRAM);
        let (mut c, d) = w.local_pair(CLIENT, c::SOCK_DGRAM);
        w.send_record(&mut a, &[], &rights(&[d.socket.handle.into()]), b"x").unwrap();
        w.send_record(&mut c, &[], &rights(&[b.socket.handle.into()]), b"x").unwrap();
        for s in [&a, &b, &c, &d] {
            w.close(s);
        }
        // A listener in a message to a connection that it has not accepted.
        let listener = w.listener(CLIENT, c::SOCK_STREAM, b"\0l", 5);
        let mut a = w.local_socket(CLIENT, c::SOCK_STREAM);
        w.join(&a, b"\0l").unwrap();
        w.pass(&mut a, b"x", &[listener.socket.handle.into()]).unwrap();
        w.close(&listener);
        w.close(&a);
        for _ in 0..10 {
            w.step(20_000_000);
        }
        let counters = w.counters();
        assert_eq!((counters.sockets_all, counters.pages_all), (0, 0));
        assert_eq!(w.server.core.sessions[0].flying, 0);
    }
}

#[test]
fn circles_up_to_the_limit_are_collected() {
    let mut w = World::with_session(64 * 4096);
    loop {
        let (mut a, mut b) = w.local_pair(CLIENT, c::SOCK_STREAM);
        let both = [u32::from(a.socket.handle), u32::from(b.socket.handle)];
        let sent = [w.pass(&mut a, b"x", &both), w.pass(&mut b, b"x", &both)];
        w.close(&a);
        w.close(&b);
        if sent.contains(&Err(Errno::ETOOMANYREFS)) {
            break;
        }
    }
    for _ in 0..3 {
        w.step(20_000_000);
    }
    assert_eq!(w.counters().sockets_all, 0);
    assert_eq!(w.server.core.sessions[0].flying, 0);
}

#[test]
fn sockets_that_somebody_can_receive_are_not_collected() {
    let mut w = World::new();
    let (mut over, under) = w.connection(c::SOCK_STREAM);
    let (mut a, mut b) = w.local_pair(SECOND, c::SOCK_STREAM);
    let (mut inner, last) = w.local_pair(SECOND, c::SOCK_STREAM);
    // In a message at a socket that is in a message.
    w.pass(&mut a, b"x", &[last.socket.handle.into()]).unwrap();
    w.pass(&mut over, b"x", &[b.socket.handle.into()]).unwrap();
    w.put(&mut inner, b"deep");
    w.close(&b);
    w.close(&last);
    for _ in 0..10 {
        w.step(20_000_000);
    }
    let got = w.control(&under, false).0;
    b = w.taken(CLIENT, got[0]);
    assert_eq!(b.socket.rx.available(), 1);
    let got = w.control(&b, false).0;
    let mut last = w.taken(CLIENT, got[0]);
    assert_eq!(w.get(&mut last), b"deep");
    w.all_comes_back();
}

#[test]
fn only_so_many_descriptors_are_on_their_way() {
    let mut w = World::with_session(64 * 4096);
    let (mut a, b) = w.local_pair(CLIENT, c::SOCK_STREAM);
    let handle = u32::from(a.socket.handle);
    let most = w.session.sockets();
    for _ in 0..most {
        w.pass(&mut a, b"x", &[handle]).unwrap();
    }
    assert_eq!(w.pass(&mut a, b"x", &[handle]), Err(Errno::ETOOMANYREFS));
    // The other client is not affected.
    let (mut c, d) = w.local_pair(SECOND, c::SOCK_STREAM);
    let handle = u32::from(d.socket.handle);
    w.pass(&mut c, b"x", &[handle]).unwrap();
    w.close(&b);
    assert_eq!(w.server.core.sessions[0].flying, 0);
    w.all_comes_back();
}

#[test]
fn a_receiver_without_a_place_gets_none_and_nothing_is_lost_of_the_rest() {
    let mut w = World::with_session(64 * 4096);
    let (mut over, under) = w.connection(c::SOCK_STREAM);
    let (a, b) = w.local_pair(SECOND, c::SOCK_STREAM);
    w.pass(&mut over, b"x", &[a.socket.handle.into(), b.socket.handle.into()]).unwrap();
    while w.call(&Request::Socket { family: 1, kind: 1, protocol: 0 }).is_ok() {}
    let lost = strait_abi::rights::LOST;
    assert_eq!(w.control(&under, false), (vec![lost, lost], 1));
    w.close(&a);
    assert_ne!(w.state(&b) & status::RDHUP, 0);
    w.all_comes_back();
}

#[test]
fn a_client_that_begins_anew_leaves_what_flies_to_the_receiver() {
    let mut w = World::new();
    let (mut over, mut under) = w.connection(c::SOCK_STREAM);
    let (mut a, b) = w.local_pair(SECOND, c::SOCK_STREAM);
    w.put(&mut a, b"not lost");
    w.pass(&mut over, b"x", &[b.socket.handle.into()]).unwrap();
    w.call_of(SECOND, &Request::Hello { version: VERSION }).unwrap();
    let (got, _) = w.control(&under, false);
    assert_eq!(w.server.core.sessions[1].arena.used(), 0);
    assert_eq!(w.get(&mut under), b"x");
    let mut b = w.taken(CLIENT, got[0]);
    assert_eq!(w.get(&mut b), b"not lost");
    assert_ne!(w.state(&b) & status::RDHUP, 0);
    w.all_comes_back();
}

/// A socket of the second client that the first holds as well, and a third of
/// it.
fn shared(w: &mut World, s: &Local) -> Local {
    let (mut over, mut under) = w.connection(c::SOCK_STREAM);
    w.pass(&mut over, b"x", &[s.socket.handle.into()]).unwrap();
    let got = w.control(&under, false).0;
    w.get(&mut under);
    w.close(&over);
    w.close(&under);
    w.taken(CLIENT, got[0])
}

#[test]
fn an_heir_inherits_whatever_it_has_of_sockets() {
    let mut w = World::with_session(64 * 4096);
    let (mut a, mut b) = w.local_pair(SECOND, c::SOCK_STREAM);
    let mut heir = shared(&mut w, &b);
    // All that it may have: in its places, and connections that wait.
    let listener = w.listener(CLIENT, c::SOCK_STREAM, b"\0l", 100);
    while w.call(&Request::Socket { family: 1, kind: 1, protocol: 0 }).is_ok() {}
    for _ in 0..w.session.sockets() {
        let s = w.local_socket(SECOND, c::SOCK_STREAM);
        w.join(&s, b"\0l").unwrap();
        w.close(&s);
    }
    w.put(&mut a, b"read and inherited");
    w.get_at_most(&mut b, 9);
    w.close(&b);
    // It must ask where its rings go on.
    assert_ne!(w.state(&heir) & status::AWAY, 0);
    let ask = Request::Receive { socket: heir.socket.handle, offset: 0, most: 1, how: 0 };
    assert_eq!(w.call(&ask), Err(Errno::EAGAIN));
    w.acquire(&mut heir).unwrap();
    assert_eq!(w.state(&heir) & status::AWAY, 0);
    assert_eq!(w.get(&mut heir), b"inherited");
    w.put(&mut a, b" and more");
    assert_eq!(w.get(&mut heir), b" and more");
    w.close(&listener);
    w.all_comes_back();
}

#[test]
fn what_is_gone_is_gone_for_who_holds_the_socket_next() {
    let mut w = World::new();
    let [s, mut a, _b] = [b"\0s", b"\0a", b"\0b"].map(|name| w.bound(SECOND, c::SOCK_DGRAM, name));
    let mut heir = shared(&mut w, &s);
    w.join(&s, b"\0a").unwrap();
    w.send_record(&mut a, &named(b"\0s"), &[], b"gone").unwrap();
    w.join(&s, b"\0b").unwrap();
    w.acquire(&mut heir).unwrap();
    assert_ne!(w.state(&heir) & status::SKIP, 0);
    let slot = w.region_of(CLIENT).slot(heir.socket.handle.into()).unwrap();
    let end = slot.rx_skip.load(core::sync::atomic::Ordering::Acquire);
    assert_ne!(heir.socket.rx.available(), 0);
    assert_eq!(heir.socket.rx.distance(end), heir.socket.rx.available());
}

#[test]
fn what_no_heir_has_room_for_ends_the_connection() {
    // Local ones with control data and urgent data under way, in both directions.
    for kind in [c::SOCK_STREAM, c::SOCK_SEQPACKET, c::SOCK_DGRAM] {
        let mut w = World::with_session(64 * 4096);
        let (mut a, mut b) = w.local_pair(SECOND, kind);
        let mut heir = shared(&mut w, &b);
        let handle = u32::from(a.socket.handle);
        if kind == c::SOCK_STREAM {
            for s in [&mut a, &mut b] {
                w.put(s, &[1; 40_000]);
                w.pass(s, b"x", &[handle]).unwrap();
                w.call_of(SECOND, &Request::SendUrgent { socket: s.socket.handle, bytes: 1 }).unwrap();
                w.put(s, b"!");
            }
        } else {
            w.send_record(&mut a, &[], &rights(&[handle]), &[1; 40_000]).unwrap();
        }
        // The heir has two pages for it.
        let (mut x, y) = w.local_pair(CLIENT, c::SOCK_STREAM);
        while w.put(&mut x, &[7; 100_000]) > 0 {}
        w.close(&b);
        w.acquire(&mut heir).unwrap();
        assert_eq!(w.get(&mut heir).len(), 0);
        let reset = (kind != c::SOCK_DGRAM).then_some(Errno::ECONNRESET);
        assert_eq!((w.error_of(&a), w.error_of(&heir)), (reset, reset));
        // What the other end has it keeps.
        let kept = w.get(&mut a).len();
        assert_eq!(kept, if kind == c::SOCK_STREAM { 40_002 } else { 0 });
        assert_eq!(w.server.core.sessions[1].flying, 0);
        // Not a byte comes behind the gap; datagrams go on.
        w.close(&x);
        w.close(&y);
        if kind == c::SOCK_DGRAM {
            w.send_record(&mut a, &[], &[], b"goes on").unwrap();
            assert_eq!(w.receive_record(&mut heir).unwrap().2, b"goes on");
        } else {
            w.step(1000);
            assert_eq!((w.get(&mut heir).len(), w.state(&heir) & status::RDHUP != 0), (0, true));
        }
        w.all_comes_back();
    }
}

#[test]
fn a_tcp_connection_that_no_heir_has_room_for_is_reset() {
    let mut w = World::with_session(64 * 4096);
    let listener = tcp::listen(&mut w, 7, 4);
    let peer = tcp::dial(&mut w, 40_000, 7);
    let (s, _) = tcp::accept(&mut w, listener);
    w.peer.sockets.get_mut::<Socket>(peer).send_slice(&[1; 60_000]).unwrap();
    w.until(1000, |_| s.rx.available() == 60_000);
    let (mut under, mut over) = w.connection(c::SOCK_STREAM);
    w.pass(&mut over, b"x", &[s.handle.into()]).unwrap();
    let got = w.control(&under, false).0;
    let mut heir = w.taken(SECOND, got[0]);
    w.get(&mut under);
    let (mut x, _y) = w.local_pair(SECOND, c::SOCK_STREAM);
    while w.put(&mut x, &[7; 100_000]) > 0 {}
    w.call(&Request::Close { socket: s.handle }).unwrap();
    w.until(100, |w| w.peer.sockets.get::<Socket>(peer).state() == State::Closed);
    assert_eq!(w.error_of(&heir), Some(Errno::ECONNRESET));
    w.acquire(&mut heir).unwrap();
    assert_eq!(w.get(&mut heir).len(), 0);
    assert_ne!(w.state(&heir) & status::HUP, 0);
    w.all_comes_back();
}

/// The words of an open file of the first client, which has that place.
fn file(w: &mut World, place: usize) -> (u64, Vec<u32>) {
    let (export, token) = w.tokens.export(0, place).unwrap();
    let half = |n: u64| [n as u32, (n >> 32) as u32];
    (export.number(), [&[strait_abi::rights::FILE][..], &half(token.node), &half(token.mac)].concat())
}

#[test]
fn files_travel_as_tokens_whose_fate_is_told() {
    let mut w = World::new();
    let (mut a, mut b) = w.connection(c::SOCK_STREAM);
    let forged = [&[strait_abi::rights::FILE][..], &[7, 0, 7, 0]].concat();
    assert_eq!(w.pass(&mut a, b"x", &forged), Err(Errno::EBADF));
    let handle = u32::from(a.socket.handle);
    let (seventh, words) = file(&mut w, 7);
    let sent = [words, vec![handle]].concat();
    w.pass(&mut a, b"x", &sent).unwrap();
    // A peek leaves the token where it is.
    assert_eq!(w.control(&b, true).0.len(), 6);
    assert_eq!(w.told_of_files(), (false, vec![]));
    let (got, _) = w.control(&b, false);
    assert_eq!((&got[..5], got.len()), (&sent[..5], 6));
    // Who got it is not urgent.
    let receiver = (b.client != CLIENT).into();
    assert_eq!(w.told_of_files(), (false, vec![(seventh, Some(receiver), false)]));
    w.get(&mut b);
    // One that nobody will get is.
    let (eighth, sent) = file(&mut w, 8);
    w.pass(&mut a, b"x", &sent).unwrap();
    w.close(&b);
    assert_eq!(w.told_of_files(), (true, vec![(eighth, None, true)]));
    // What is not sent stays the sender's, for another try.
    let mut to = w.bound(CLIENT, c::SOCK_DGRAM, b"\0to");
    let mut from = w.local_socket(SECOND, c::SOCK_DGRAM);
    w.join(&from, b"\0to").unwrap();
    let (_, words) = file(&mut w, 9);
    let sent = rights(&words);
    for _ in 0..11 {
        w.send_record(&mut from, &[], &[], b"x").unwrap();
    }
    assert_eq!(w.send_record(&mut from, &[], &sent, b"x"), Err(Errno::EAGAIN));
    while w.receive_record(&mut to).is_some() {}
    w.send_record(&mut from, &[], &sent, b"x").unwrap();
    let (mut a, mut b) = w.connection(c::SOCK_SEQPACKET);
    let (_, words) = file(&mut w, 10);
    w.send_record(&mut a, &[], &rights(&words), b"x").unwrap();
    assert_eq!(w.told_of_files(), (false, vec![]));
    assert_eq!((w.control(&to, false).0.len(), w.control(&b, false).0.len()), (5, 5));
    w.receive_record(&mut to).unwrap();
    w.receive_record(&mut b).unwrap();
    let (notified, news) = w.told_of_files();
    assert!(!notified && news.iter().all(|(_, receiver, lost)| receiver.is_some() && !lost));
    // One that its sender keeps sending is no more than one.
    let (mut a, mut b) = w.connection(c::SOCK_STREAM);
    let (eleventh, sent) = file(&mut w, 11);
    for _ in 0..3 {
        w.pass(&mut a, b"x", &sent).unwrap();
        w.get(&mut b);
    }
    assert_eq!(w.told_of_files(), (true, vec![(eleventh, None, true)]));
    w.all_comes_back();
}

#[test]
fn tcp_sockets_are_passed_too() {
    let mut w = World::new();
    let (mut over, under) = w.connection(c::SOCK_STREAM);
    let (handle, _) = w.call_of(SECOND, &Request::Socket { family: 2, kind: 1, protocol: 0 }).unwrap();
    let address = strait_abi::Address::from(core::net::SocketAddr::from(([127, 0, 0, 1], 7700)));
    let socket = handle as u16;
    w.call_of(SECOND, &Request::Bind { socket, address: address.as_bytes() }).unwrap();
    w.call_of(SECOND, &Request::Listen { socket, backlog: 5 }).unwrap();
    w.pass(&mut over, b"x", &[handle]).unwrap();
    w.call_of(SECOND, &Request::Close { socket }).unwrap();
    let (got, _) = w.control(&under, false);
    let listener = w.taken(CLIENT, got[0]);
    let client = w.call_of(SECOND, &Request::Socket { family: 2, kind: 1, protocol: 0 }).unwrap().0;
    let connect = Request::Connect { socket: client as u16, address: address.as_bytes() };
    assert_eq!(
        w.call_of(SECOND, &connect).map(|_| ()).or_else(|e| if e == Errno::EINPROGRESS { Ok(()) } else { Err(e) }),
        Ok(())
    );
    w.until(100, |w| w.state(&listener) & status::IN != 0);
    let (mut accepted, _) = w.take_connection(&listener).unwrap();
    let mut client = w.taken(SECOND, client);
    w.put(&mut client, b"by TCP");
    w.until(100, |_| accepted.socket.rx.available() == 6);
    assert_eq!(w.get(&mut accepted), b"by TCP");
    w.all_comes_back();
}
