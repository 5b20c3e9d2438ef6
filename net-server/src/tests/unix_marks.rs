//! Local streams and records as several clients use them: who wrote, what is
//! paid for, what waits.

extern crate std;

use std::{vec, vec::Vec};

use strait_abi::{
    Errno,
    control::{Item, items, put},
    net::{Portion, Request, receive},
    session::status,
    socket as c,
};

use super::{
    local::{Local, named},
    world::{CLIENT, SECOND, World},
};

fn rights(handles: &[u16]) -> Vec<u8> {
    let value: Vec<u8> = handles.iter().flat_map(|h| u32::from(*h).to_ne_bytes()).collect();
    let (mut bytes, mut used) = (vec![0; 600], 0);
    put(&mut bytes, &mut used, Item { level: c::SOL_SOCKET, kind: c::SCM_RIGHTS, value: &value });
    bytes.truncate(used);
    bytes
}

impl World {
    fn set(&mut self, s: &Local, name: i32, value: i32) {
        let request = Request::SetOption { socket: s.socket.handle, level: 1, name, value: &value.to_ne_bytes() };
        self.call_of(s.client, &request).unwrap();
    }

    /// What one receive gives: bytes, and the process that is said to have sent
    /// them.
    fn received(&mut self, s: &mut Local) -> (Vec<u8>, Vec<u32>) {
        let (portion, control) = self.portion(s, (0, 100), receive::CONTROL);
        let mut bytes = vec![0; portion.bytes as usize];
        s.socket.rx.copy(portion.skip, &mut bytes).unwrap();
        s.socket.rx.consume(portion.skip + portion.bytes);
        self.ring_of(s.client, s.socket.handle);
        let who = |i: Item<'_>| u32::from_ne_bytes(*i.value.first_chunk().unwrap());
        let who = items(&control).map(Result::unwrap).filter(|i| i.kind == c::SCM_CREDENTIALS).map(who);
        (bytes, who.collect())
    }
}

/// An end of a stream that both clients hold, and what the first calls the
/// other end.
fn shared(w: &mut World) -> (Local, Local, Local) {
    let (mut over, under) = w.connection(c::SOCK_STREAM);
    let (a, b) = w.local_pair(SECOND, c::SOCK_STREAM);
    let request = |control| Request::SendControl { socket: over.socket.handle, bytes: 1, control };
    w.call_of(SECOND, &request(&rights(&[a.socket.handle, b.socket.handle]))).unwrap();
    w.put(&mut over, b"x");
    let (_, control) = w.portion(&under, (0, 9), receive::CONTROL);
    let item = items(&control).next().unwrap().unwrap();
    let handle = |at: usize| u32::from_ne_bytes(*item.value[at..].first_chunk().unwrap());
    let (mine, end) = (w.taken(CLIENT, handle(0)), w.taken(CLIENT, handle(4)));
    w.close(&b);
    (a, mine, end)
}

#[test]
fn who_writes_is_told_where_two_clients_write_one_stream() {
    let mut w = World::new();
    let (mut theirs, mut mine, mut end) = shared(&mut w);
    w.acquire(&mut end).unwrap();
    w.set(&end, c::SO_PASSCRED, 1);
    assert_ne!(w.state(&end) & status::IDENTITY, 0);
    w.put(&mut theirs, b"second");
    w.acquire(&mut mine).unwrap();
    w.put(&mut mine, b"first");
    w.put(&mut mine, b", more");
    w.acquire(&mut theirs).unwrap();
    w.put(&mut theirs, b"again");
    assert_eq!(w.received(&mut end), (b"second".to_vec(), vec![2]));
    assert_eq!(w.received(&mut end), (b"first, more".to_vec(), vec![1]));
    assert_eq!(w.received(&mut end), (b"again".to_vec(), vec![2]));
    // Who gets the rings because the other closes is told from there on, too.
    w.put(&mut theirs, b"last");
    w.close(&theirs);
    let mut mine = w.taken(CLIENT, mine.socket.handle.into());
    w.put(&mut mine, b"heir");
    assert_eq!(w.received(&mut end), (b"last".to_vec(), vec![2]));
    assert_eq!(w.received(&mut end), (b"heir".to_vec(), vec![1]));
    // Without SO_PASSCRED it is one stream.
    w.set(&end, c::SO_PASSCRED, 0);
    w.put(&mut mine, b"x");
    assert_eq!(w.get(&mut end), b"x");
}

#[test]
fn a_writer_that_cannot_be_marked_is_nobody() {
    let mut w = World::new();
    let (mut a, mut b) = w.connection(c::SOCK_STREAM);
    // More changes than are kept.
    for i in 0..400 {
        w.set(&b, c::SO_PASSCRED, i % 2);
        assert_eq!(w.put(&mut a, b"x"), 1);
    }
    w.set(&b, c::SO_PASSCRED, 1);
    let mut got = 0;
    while got < 400 {
        let (bytes, who) = w.received(&mut b);
        assert!(!bytes.is_empty() && matches!(who[..], [0 | 2]), "{who:?}");
        got += bytes.len();
    }
    w.put(&mut a, b"y");
    assert_eq!(w.received(&mut b), (b"y".to_vec(), vec![2]));
}

#[test]
fn who_may_know_the_writer_takes_no_room_for_marks() {
    let mut w = World::new();
    let (mut a, mut b) = w.connection(c::SOCK_STREAM);
    let near = w.local_socket(SECOND, c::SOCK_STREAM);
    // Nothing is written meanwhile.
    for i in 1..400 {
        w.set(&b, c::SO_PASSCRED, i % 2);
    }
    let control = rights(&[near.socket.handle]);
    w.call_of(SECOND, &Request::SendControl { socket: a.socket.handle, bytes: 1, control: &control }).unwrap();
    w.put(&mut a, b"x");
    assert_eq!(w.received(&mut b), (b"x".to_vec(), vec![2]));
}

#[test]
fn nobody_peeks_behind_what_is_there() {
    let mut w = World::new();
    let (mut a, b) = w.connection(c::SOCK_STREAM);
    w.put(&mut a, b"abc");
    w.set(&b, c::SO_PEEK_OFF, 0);
    for offset in [3, 4, 1 << 31, (1 << 31) + 3, u32::MAX] {
        let (portion, _) = w.portion(&b, (offset, u32::MAX), receive::PEEK);
        assert_eq!((portion.skip, portion.bytes), (0, 0), "{offset}");
        assert_eq!(w.portion(&b, (offset, u32::MAX), 0).0.bytes, 0);
    }
}

#[test]
fn who_sends_to_many_is_told_when_any_has_read() {
    let mut w = World::new();
    let mut from = w.local_socket(SECOND, c::SOCK_DGRAM);
    let mut to: Vec<Local> = (0..4).map(|n| w.bound(CLIENT, c::SOCK_DGRAM, &[0, n])).collect();
    w.set(&from, c::SO_SNDBUF, 16 * 1024);
    for round in 0..4 {
        for n in 0..4 {
            w.send_record(&mut from, &named(&[0, n]), &[], &[n; 3000]).unwrap();
        }
        assert_eq!(w.state(&from) & status::OUT, 0);
        for s in &mut to {
            let unread = s.socket.rx.available();
            s.socket.rx.consume(unread);
            let asked = w.state(s) & status::RING_ON_DRAIN != 0;
            assert!(asked, "{round}");
            w.ring_of(CLIENT, s.socket.handle);
        }
        assert_ne!(w.state(&from) & status::OUT, 0);
    }
    // What was read before it was short.
    w.set(&from, c::SO_SNDBUF, 0);
    w.send_record(&mut from, &named(&[0, 0]), &[], &[0]).unwrap();
    let unread = to[0].socket.rx.available();
    to[0].socket.rx.consume(unread);
    w.send_record(&mut from, &named(&[0, 1]), &[], &[0]).unwrap();
    assert_ne!(w.state(&from) & status::OUT, 0);
}

#[test]
fn packets_keep_what_they_carry_from_when_they_are_sent() {
    let mut w = World::new();
    let listener = w.listener(CLIENT, c::SOCK_SEQPACKET, b"\0l", 5);
    let mut a = w.local_socket(SECOND, c::SOCK_SEQPACKET);
    w.join(&a, b"\0l").unwrap();
    let (mut near, far) = w.local_pair(SECOND, c::SOCK_STREAM);
    w.send_record(&mut a, &[], &[], b"first").unwrap();
    w.send_record(&mut a, &[], &rights(&[far.socket.handle]), b"carries").unwrap();
    // An error concerns one record.
    assert_eq!(w.send_record(&mut a, &[], &rights(&[99]), b"wrong"), Err(Errno::EBADF));
    assert_eq!(w.send_record(&mut a, &[], &rights(&[99]), b"wrong"), Err(Errno::EBADF));
    w.send_record(&mut a, &[], &[], b"last").unwrap();
    w.close(&far);
    // Another socket has the handle now.
    let other = w.local_socket(SECOND, c::SOCK_STREAM);
    assert_eq!(other.socket.handle, far.socket.handle);
    w.close(&a);
    let (mut b, _) = w.take_connection(&listener).unwrap();
    assert_eq!(w.receive_record(&mut b).unwrap().2, b"first");
    let (_, control) = w.portion(&b, (0, 0), receive::CONTROL);
    let item = items(&control).next().unwrap().unwrap();
    let mut far = w.taken(CLIENT, u32::from_ne_bytes(*item.value.first_chunk().unwrap()));
    w.put(&mut near, b"it");
    assert_eq!(w.get(&mut far), b"it");
    assert_eq!(w.receive_record(&mut b).unwrap().2, b"carries");
    assert_eq!(w.receive_record(&mut b).unwrap().2, b"last");
    assert_eq!(w.receive_record(&mut b), None);
    assert_ne!(w.state(&b) & status::RDHUP, 0);
    assert_eq!(w.server.core.sessions[1].flying, 0);
}

#[test]
fn a_record_that_never_fits_is_an_error_at_once() {
    let mut w = World::with_session(40 * 4096);
    for kind in [c::SOCK_DGRAM, c::SOCK_SEQPACKET] {
        let (mut a, mut b) = w.local_pair(CLIENT, kind);
        let ask = |w: &mut World, a: &Local, bytes: u32| {
            a.socket.tx.want(bytes);
            let result = w.call(&Request::Send { socket: a.socket.handle }).map(|_| ());
            a.socket.tx.want(0);
            result
        };
        // By the pages of the session that are kept for no other ring, then by
        // SO_SNDBUF.
        assert_eq!((ask(&mut w, &a, 60_000), ask(&mut w, &a, 80_000)), (Ok(()), Err(Errno::EMSGSIZE)));
        w.set(&a, c::SO_SNDBUF, 16_384);
        assert_eq!((ask(&mut w, &a, 33_000), ask(&mut w, &a, 34_000)), (Ok(()), Err(Errno::EMSGSIZE)));
        assert_eq!(w.send_record(&mut a, &[], &[], &[7; 32_768 - 31]), Err(Errno::EMSGSIZE));
        w.send_record(&mut a, &[], &[], &[7; 20_000]).unwrap();
        assert_eq!(w.receive_record(&mut b).unwrap().2, [7; 20_000]);
        w.close(&a);
        w.close(&b);
    }
    assert_eq!(w.counters().pages_all, 0);
}

#[test]
fn who_waits_for_a_place_among_messages_is_told() {
    let mut w = World::with_session(8 << 20);
    let (mut a, mut b) = w.connection(c::SOCK_STREAM);
    let socket = a.socket.handle;
    let control = rights(&[socket]);
    let mut sent = 0;
    loop {
        match w.call_of(SECOND, &Request::SendControl { socket, bytes: 1, control: &control }) {
            Ok(_) => sent += w.put(&mut a, b"x"),
            Err(errno) => break assert_eq!(errno, Errno::EAGAIN),
        }
    }
    assert_eq!(sent, 128);
    assert_eq!(w.call_of(SECOND, &Request::SendUrgent { socket, bytes: 1 }), Err(Errno::EAGAIN));
    w.second.events().take(|_| {});
    assert_eq!(w.received(&mut b).0, b"x");
    let mut told = vec![];
    w.second.events().take(|i| told.push(i as u16));
    assert!(told.contains(&socket), "{told:?}");
    w.call_of(SECOND, &Request::SendControl { socket, bytes: 1, control: &control }).unwrap();
    w.put(&mut a, b"y");
    let mut got = 0;
    while b.socket.rx.available() != 0 {
        got += w.received(&mut b).0.len();
    }
    assert_eq!(got, 128);
    assert_eq!(w.server.core.sessions[1].flying, 0);
}

#[test]
fn what_nobody_has_read_of_a_stream_is_bounded_by_its_sender() {
    let mut w = World::new();
    let (mut a, mut b) = w.connection(c::SOCK_STREAM);
    w.set(&a, c::SO_SNDBUF, 10_000);
    let mut sent = 0;
    for _ in 0..100 {
        sent += w.put(&mut a, &[1; 1000]);
    }
    assert_eq!(sent, 20_000);
    assert_eq!((b.socket.rx.available(), a.socket.tx.room()), (20_000, 0));
    // Its writer is told at the latest when all is read.
    w.second.events().take(|_| {});
    assert_ne!(w.state(&b) & status::RING_ON_DRAIN, 0);
    assert_eq!(w.get(&mut b).len(), 20_000);
    let mut told = vec![];
    w.second.events().take(|i| told.push(i as u16));
    assert!(told.contains(&a.socket.handle) && a.socket.tx.room() != 0, "{told:?}");
    // And has room for what was read before, if it asks.
    w.put(&mut a, &[2; 20_000]);
    while w.put(&mut a, &[2; 1000]) != 0 {}
    w.get_at_most(&mut b, 7000);
    assert_eq!(w.put(&mut a, &[3; 9000]), 7000);
}

#[test]
fn a_purge_is_at_a_place_and_not_of_what_comes_later() {
    let mut w = World::new();
    let mut a = w.bound(CLIENT, c::SOCK_DGRAM, b"\0a");
    let mut b = w.bound(SECOND, c::SOCK_DGRAM, b"\0b");
    let mut other = w.bound(SECOND, c::SOCK_DGRAM, b"\0c");
    w.join(&a, b"\0b").unwrap();
    w.join(&b, b"\0a").unwrap();
    let carried = rights(&[b.socket.handle]);
    w.send_record(&mut b, &[], &carried, b"lost").unwrap();
    w.join(&a, b"\0c").unwrap();
    assert_eq!(w.server.core.sessions[1].flying, 0);
    // Before the client could throw anything away.
    w.send_record(&mut other, &named(b"\0a"), &[], b"kept").unwrap();
    assert_ne!(w.state(&a) & status::SKIP, 0);
    let slot = w.region_of(CLIENT).slot(a.socket.handle.into()).unwrap();
    let end = slot.rx_skip.load(std::sync::atomic::Ordering::Acquire);
    let n = a.socket.rx.distance(end);
    a.socket.rx.consume(n);
    w.ring_of(CLIENT, a.socket.handle);
    assert_eq!(w.state(&a) & status::SKIP, 0);
    assert_eq!(w.receive_record(&mut a).unwrap().2, b"kept");
    assert_eq!(w.error_of(&b), Some(Errno::ECONNRESET));
}

#[test]
fn what_follows_from_a_full_queue_is_told_to_all_that_are_connected() {
    let mut w = World::new();
    let mut to = w.bound(CLIENT, c::SOCK_DGRAM, b"\0to");
    let mut ends: Vec<Local> = (0..3).map(|_| w.local_socket(SECOND, c::SOCK_DGRAM)).collect();
    for s in &ends {
        w.join(s, b"\0to").unwrap();
    }
    let outs = |w: &World, ends: &[Local]| ends.iter().filter(|s| w.state(s) & status::OUT != 0).count();
    for _ in 0..10 {
        w.send_record(&mut ends[0], &[], &[], b"x").unwrap();
    }
    assert_eq!(outs(&w, &ends), 3);
    w.send_record(&mut ends[1], &[], &[], b"x").unwrap();
    assert_eq!(outs(&w, &ends), 0);
    assert_eq!(w.send_record(&mut ends[2], &[], &[], b"x"), Err(Errno::EAGAIN));
    // One that is connected elsewhere now has nothing to do with it.
    w.bound(SECOND, c::SOCK_DGRAM, b"\0else");
    w.join(&ends[2], b"\0else").unwrap();
    assert_eq!(outs(&w, &ends), 1);
    w.second.events().take(|_| {});
    w.receive_record(&mut to).unwrap();
    assert_eq!(outs(&w, &ends), 3);
    let mut told = vec![];
    w.second.events().take(|i| told.push(i as u16));
    assert!(ends[..2].iter().all(|s| told.contains(&s.socket.handle)), "{told:?}");
}

#[test]
fn portions_follow_each_other_over_places_that_were_left() {
    let mut w = World::new();
    let (mut a, mut b) = w.connection(c::SOCK_STREAM);
    let urgent = |w: &mut World, a: &mut Local, data: &[u8]| {
        w.call_of(SECOND, &Request::SendUrgent { socket: a.socket.handle, bytes: data.len() as u32 }).unwrap();
        w.put(a, data);
    };
    urgent(&mut w, &mut a, b"ab");
    w.call(&Request::ReceiveUrgent { socket: b.socket.handle, peek: false }).unwrap();
    urgent(&mut w, &mut a, b"cd");
    w.put(&mut a, b"ef");
    assert_eq!(w.portion(&b, (0, 9), 0).0, Portion { skip: 0, bytes: 1, next: Portion::MORE });
    let on = receive::GOES_ON | receive::PEEK;
    assert_eq!(w.portion(&b, (1, 8), on).0, Portion { skip: 1, bytes: 1, next: Portion::END });
    assert_eq!(w.recv(&mut b, 9, 0), b"ac");
    assert_eq!(w.recv(&mut b, 9, 0), b"ef");
}

#[test]
fn a_sender_with_a_small_buffer_is_told_when_its_datagram_is_read() {
    let mut w = World::new();
    let mut to = w.bound(CLIENT, c::SOCK_DGRAM, b"\0to");
    let mut from = w.local_socket(SECOND, c::SOCK_DGRAM);
    w.join(&from, b"\0to").unwrap();
    w.set(&from, c::SO_SNDBUF, 1);
    assert_ne!(w.state(&from) & status::OUT, 0);
    w.send_record(&mut from, &[], &[], &[1; 1000]).unwrap();
    assert_eq!(w.state(&from) & status::OUT, 0);
    assert_ne!(w.state(&to) & status::RING_ON_DRAIN, 0);
    w.second.events().take(|_| {});
    w.receive_record(&mut to).unwrap();
    assert_ne!(w.state(&from) & status::OUT, 0);
    assert!(w.second.events().any());
}
