//! Urgent data, with a peer that makes its segments by hand.

extern crate std;

use std::{boxed::Box, vec, vec::Vec};

use proptest::prelude::*;
use strait_abi::{Errno, net::Request, session::status, socket as c};

use super::{
    tcp::{accept, listen, read, write},
    world::{ClientSocket, SERVER_IP, SERVER_MAC, World},
};
use crate::inet::checksum;

const IP: [u8; 4] = [10, 0, 2, 9];
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 0x10;
const URG: u8 = 0x20;

struct Raw {
    /// The next number that we send.
    seq: u32,
    /// What we expect of the server.
    ack: u32,
    window: u16,
}

/// A TCP segment of the server.
#[derive(Debug)]
struct Seen {
    flags: u8,
    seq: u32,
    pointer: u16,
    data: Vec<u8>,
}

impl Raw {
    fn frame(&self, flags: u8, seq: u32, pointer: u16, data: &[u8]) -> Vec<u8> {
        let mut p = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0];
        p.extend([IP, SERVER_IP].concat());
        p[2..4].copy_from_slice(&(40 + data.len() as u16).to_be_bytes());
        let sum = checksum::of(&p);
        p[10..12].copy_from_slice(&sum.to_be_bytes());
        p.extend([5000u16.to_be_bytes(), 7u16.to_be_bytes()].concat());
        p.extend(seq.to_be_bytes());
        p.extend(self.ack.to_be_bytes());
        p.extend([0x50, flags]);
        p.extend(self.window.to_be_bytes());
        p.extend([0, 0]);
        p.extend(pointer.to_be_bytes());
        p.extend(data);
        let sum = checksum::transport(&p);
        p[36..38].copy_from_slice(&sum.to_be_bytes());
        [&SERVER_MAC[..], &MAC, &[8, 0], &p].concat()
    }

    fn put(&self, w: &mut World, flags: u8, seq: u32, pointer: u16, data: &[u8]) {
        assert!(w.inject(&self.frame(flags, seq, pointer, data)));
    }

    /// Sends data in order.
    fn send(&mut self, w: &mut World, pointer: u16, data: &[u8]) {
        let flags = if pointer == 0 { ACK } else { ACK | URG };
        self.put(w, flags, self.seq, pointer, data);
        self.seq = self.seq.wrapping_add(data.len() as u32);
    }

    /// What the server sent since this was asked last.
    fn seen(&self, w: &mut World) -> Vec<Seen> {
        w.step(0);
        let frames: Vec<Vec<u8>> = w.seen.drain(..).filter(|f| f[12..14] == [8, 0] && f[23] == 6).collect();
        frames
            .iter()
            .map(|f| {
                let end = 14 + usize::from(u16::from_be_bytes([f[16], f[17]]));
                assert_eq!(checksum::transport(&f[14..end]), 0);
                Seen {
                    flags: f[47],
                    seq: u32::from_be_bytes(f[38..42].try_into().unwrap()),
                    pointer: u16::from_be_bytes([f[52], f[53]]),
                    data: f[34 + usize::from(f[46] >> 4) * 4..end].to_vec(),
                }
            })
            .collect()
    }
}

/// A connection whose first byte of data has the number `first`.
fn connected(w: &mut World, first: u32) -> (ClientSocket, Raw) {
    // Nothing of the server's reaches the other host.
    w.fate = Box::new(|| 0);
    let listener = listen(w, 7, 4);
    // It asks who we are, and so learns who asks.
    let mut arp = [&[0xff; 6][..], &MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &MAC, &IP, &[0; 6], &SERVER_IP].concat();
    arp.resize(60, 0);
    assert!(w.inject(&arp));
    let mut raw = Raw { seq: first.wrapping_sub(1), ack: 0, window: 8000 };
    raw.seen(w);
    raw.put(w, SYN, raw.seq, 0, &[]);
    let answer = raw.seen(w).remove(0);
    assert_eq!(answer.flags, SYN | ACK);
    raw.ack = answer.seq.wrapping_add(1);
    raw.seq = first;
    raw.put(w, ACK, raw.seq, 0, &[]);
    let (s, _) = accept(w, listener);
    w.call(&Request::Close { socket: listener }).unwrap();
    raw.seen(w);
    (s, raw)
}

fn urgent(w: &mut World, s: &ClientSocket, peek: bool) -> Result<u8, Errno> {
    w.call(&Request::ReceiveUrgent { socket: s.handle, peek }).map(|(_, bytes)| bytes[0])
}

/// Where the mark is behind what the client read; `None` without one.
fn mark(w: &World, s: &ClientSocket) -> Option<u32> {
    let at = w.session.slot(s.handle.into()).unwrap().rx_mark.load(std::sync::atomic::Ordering::Acquire);
    (w.status(s.handle) & status::MARK != 0).then(|| s.rx.distance(at))
}

/// How much the client is to pass over.
fn skip(w: &World, s: &ClientSocket) -> Option<u32> {
    let at = w.session.slot(s.handle.into()).unwrap().rx_skip.load(std::sync::atomic::Ordering::Acquire);
    (w.status(s.handle) & status::SKIP != 0).then(|| s.rx.distance(at))
}

fn priority(w: &World, s: &ClientSocket) -> bool {
    w.status(s.handle) & status::PRI != 0
}

#[test]
fn the_mark_the_byte_and_both_taken() {
    // Numbers wrap within the data.
    for first in [1000, u32::MAX - 2] {
        let mut w = World::new();
        let (mut s, mut raw) = connected(&mut w, first);
        assert_eq!(urgent(&mut w, &s, false), Err(Errno::EINVAL));
        raw.send(&mut w, 4, b"abcXdef");
        assert_eq!((mark(&w, &s), priority(&w, &s), s.rx.available()), (Some(3), true, 7));
        assert_eq!(urgent(&mut w, &s, true), Ok(b'X'));
        assert_eq!(urgent(&mut w, &s, false), Ok(b'X'));
        assert_eq!(urgent(&mut w, &s, false), Err(Errno::EINVAL));
        assert_eq!((mark(&w, &s), priority(&w, &s)), (Some(3), false));
        let mut bytes = vec![];
        read(&mut w, &mut s, &mut bytes);
        assert_eq!(bytes, b"abcXdef");
        w.ring(s.handle);
        w.step(1000);
        assert_eq!(mark(&w, &s), None);
        // The same once more is nothing new.
        raw.put(&mut w, ACK | URG, first, 4, b"abcXdef");
        assert_eq!((mark(&w, &s), s.rx.available()), (None, 0));
    }
}

#[test]
fn a_mark_may_come_before_its_byte() {
    let mut w = World::new();
    let (s, mut raw) = connected(&mut w, 5);
    raw.send(&mut w, 3, b"");
    assert_eq!((mark(&w, &s), priority(&w, &s)), (Some(2), false));
    assert_eq!(urgent(&mut w, &s, false), Err(Errno::EAGAIN));
    raw.send(&mut w, 0, b"ab");
    assert_eq!((mark(&w, &s), priority(&w, &s)), (Some(2), false));
    raw.send(&mut w, 0, b"X");
    assert_eq!((mark(&w, &s), priority(&w, &s)), (Some(2), true));
    assert_eq!(urgent(&mut w, &s, false), Ok(b'X'));
}

#[test]
fn it_counts_what_comes_out_of_order() {
    let mut w = World::new();
    let (s, raw) = connected(&mut w, 5);
    raw.put(&mut w, ACK | URG, raw.seq + 3, 1, b"Xd");
    assert_eq!((mark(&w, &s), priority(&w, &s), s.rx.available()), (Some(3), true, 0));
    assert_eq!(urgent(&mut w, &s, false), Ok(b'X'));
    raw.put(&mut w, ACK, raw.seq, 0, b"abc");
    assert_eq!((mark(&w, &s), s.rx.available()), (Some(3), 5));
    // An older pointer says nothing.
    raw.put(&mut w, ACK | URG, raw.seq + 1, 1, b"bc");
    assert_eq!(mark(&w, &s), Some(3));
}

#[test]
fn a_second_mark_takes_the_place_of_the_first() {
    let mut w = World::new();
    let (mut s, mut raw) = connected(&mut w, 5);
    raw.send(&mut w, 2, b"aX");
    raw.send(&mut w, 2, b"bY");
    // Not come to: X is an ordinary byte now.
    assert_eq!((mark(&w, &s), skip(&w, &s), urgent(&mut w, &s, false)), (Some(3), None, Ok(b'Y')));
    s.rx.consume(3);
    // Standing before Y: it is passed over all the same.
    raw.send(&mut w, 1, b"Z");
    assert_eq!((mark(&w, &s), skip(&w, &s), urgent(&mut w, &s, false)), (Some(1), Some(1), Ok(b'Z')));
    raw.send(&mut w, 1, b"!");
    assert_eq!((mark(&w, &s), skip(&w, &s)), (Some(2), Some(2)));
    raw.send(&mut w, 0, b"more");
    s.rx.consume(3);
    w.ring(s.handle);
    w.step(1000);
    assert_eq!((mark(&w, &s), skip(&w, &s), s.rx.available()), (None, None, 4));
    // In line nothing is passed over.
    w.set_int(&s, c::SOL_SOCKET, c::SO_OOBINLINE, 1).unwrap();
    s.rx.consume(4);
    raw.send(&mut w, 1, b"1");
    raw.send(&mut w, 1, b"2");
    assert_eq!((mark(&w, &s), skip(&w, &s), urgent(&mut w, &s, false)), (Some(1), None, Err(Errno::EINVAL)));
    assert!(priority(&w, &s));
}

#[test]
fn data_from_before_accept_is_marked_as_well() {
    let mut w = World::new();
    w.fate = Box::new(|| 0);
    let (s, _) = connected(&mut w, 5);
    w.call(&Request::Close { socket: s.handle }).unwrap();
    let listener = listen(&mut w, 7, 4);
    let mut raw = Raw { seq: 70_000, ack: 0, window: 8000 };
    raw.seen(&mut w);
    // The port of the last one is in use still: another one of ours.
    let mut other = raw.frame(SYN, raw.seq, 0, &[]);
    let patch = |frame: &mut Vec<u8>| {
        frame[34..36].copy_from_slice(&5001u16.to_be_bytes());
        frame[50..52].fill(0);
        let sum = checksum::transport(&frame[14..]);
        frame[50..52].copy_from_slice(&sum.to_be_bytes());
    };
    patch(&mut other);
    w.inject(&other);
    let answer = raw.seen(&mut w).remove(0);
    raw.ack = answer.seq.wrapping_add(1);
    let mut data = raw.frame(ACK | URG, raw.seq + 1, 2, b"aXb");
    patch(&mut data);
    w.inject(&data);
    let (s, _) = accept(&mut w, listener);
    assert_eq!((mark(&w, &s), s.rx.available(), urgent(&mut w, &s, false)), (Some(1), 3, Ok(b'X')));
}

#[test]
fn what_lies_outside_the_window_is_not_believed() {
    let mut w = World::new();
    let (s, raw) = connected(&mut w, 100_000);
    for (flags, seq, pointer) in [
        (ACK | URG, raw.seq - 10, 3),
        (ACK | URG, raw.seq + 70_000, 1),
        (ACK | URG, raw.seq.wrapping_add(1 << 31), 9),
        (SYN | ACK | URG, raw.seq, 9),
        (RST | ACK | URG, raw.seq.wrapping_sub(100), 9),
    ] {
        raw.put(&mut w, flags, seq, pointer, b"x");
        assert_eq!(mark(&w, &s), None, "{flags} {seq} {pointer}");
    }
    // The farthest pointer is one; its byte never comes.
    raw.put(&mut w, ACK | URG, raw.seq, 0xffff, b"x");
    assert_eq!((mark(&w, &s), urgent(&mut w, &s, false)), (Some(0xfffe), Err(Errno::EAGAIN)));
    raw.put(&mut w, FIN | ACK, raw.seq + 1, 0, b"");
    w.step(1000);
    let never = w.call(&Request::ReceiveUrgent { socket: s.handle, peek: false });
    assert_eq!(never, Ok((0, Vec::new())));
}

fn say_urgent(w: &mut World, s: &mut ClientSocket, data: &[u8]) {
    w.call(&Request::SendUrgent { socket: s.handle, bytes: data.len() as u32 }).unwrap();
    assert_eq!(write(w, s, data), data.len());
    w.step(0);
}

#[test]
fn what_is_sent_points_behind_the_urgent_byte() {
    let mut w = World::new();
    let (mut s, mut raw) = connected(&mut w, 5);
    w.set_int(&s, c::IPPROTO_TCP, c::TCP_NODELAY, 1).unwrap();
    say_urgent(&mut w, &mut s, b"abX");
    let sent = raw.seen(&mut w);
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!((sent[0].flags & URG, sent[0].pointer, &sent[0].data[..]), (URG, 3, &b"abX"[..]));
    // Until it is acknowledged: again in a retransmission, not in what follows.
    write(&mut w, &mut s, b"cd");
    w.step(0);
    let sent = raw.seen(&mut w);
    assert_eq!((sent[0].flags & URG, &sent[0].data[..]), (0, &b"cd"[..]));
    w.until(5000, |w| !w.seen.is_empty());
    let sent = raw.seen(&mut w);
    assert_eq!((sent[0].flags & URG, sent[0].pointer, sent[0].data.len()), (URG, 3, 5));
    raw.ack = raw.ack.wrapping_add(5);
    raw.put(&mut w, ACK, raw.seq, 0, b"");
    write(&mut w, &mut s, b"e");
    w.step(0);
    let sent = raw.seen(&mut w);
    assert_eq!((sent[0].flags & URG, sent[0].pointer, &sent[0].data[..]), (0, 0, &b"e"[..]));
}

#[test]
fn a_closed_window_does_not_keep_it_back() {
    let mut w = World::new();
    let (mut s, mut raw) = connected(&mut w, 5);
    raw.window = 0;
    raw.put(&mut w, ACK, raw.seq, 0, b"x");
    raw.seq += 1;
    w.step(100_000_000);
    write(&mut w, &mut s, b"waits ");
    w.step(0);
    raw.seen(&mut w);
    say_urgent(&mut w, &mut s, b"X");
    let end = raw.ack.wrapping_add(7);
    let ends = |t: &Seen| t.seq.wrapping_add(t.pointer.into()) == end;
    let sent = raw.seen(&mut w);
    assert!(sent.iter().any(|t| t.flags & URG != 0 && ends(t) && t.data.is_empty()), "{sent:?}");
    // It arrives where it belongs when there is room.
    raw.window = 100;
    raw.put(&mut w, ACK, raw.seq, 0, b"");
    let sent = raw.seen(&mut w);
    assert!(sent.iter().any(|t| t.flags & URG != 0 && ends(t) && t.data.ends_with(b"X")), "{sent:?}");
}

#[test]
fn only_connected_streams_have_urgent_data() {
    let mut w = World::new();
    let t = w.socket(c::SOCK_STREAM);
    let u = w.socket(c::SOCK_DGRAM);
    let send =
        |w: &mut World, s: &ClientSocket| w.call(&Request::SendUrgent { socket: s.handle, bytes: 1 }).map(|_| ());
    assert_eq!((send(&mut w, &t), urgent(&mut w, &t, false)), (Err(Errno::EPIPE), Err(Errno::EINVAL)));
    assert_eq!((send(&mut w, &u), urgent(&mut w, &u, false)), (Err(Errno::EOPNOTSUPP), Err(Errno::EOPNOTSUPP)));
    let l = listen(&mut w, 9, 1);
    let l = w.attached(l);
    assert_eq!((send(&mut w, &l), urgent(&mut w, &l, false)), (Err(Errno::EPIPE), Err(Errno::ENOTCONN)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the peer points at, the stream is what it sent, and the mark
    /// lies in what the client has not read.
    #[test]
    fn pointers_of_any_kind(ops in proptest::collection::vec((0u8..6, 0u16..40, 0usize..30, any::<bool>()), 1..60)) {
        let mut w = World::new();
        let (mut s, raw) = connected(&mut w, u32::MAX - 100);
        let stream: Vec<u8> = (0..2000u32).map(|i| (i % 251) as u8).collect();
        let (mut got, mut next) = (vec![], 0usize);
        for (op, pointer, len, take) in ops {
            // In order, again, or ahead.
            let at = match op { 0..3 => next, 3 => next.saturating_sub(len), _ => next + usize::from(pointer) % 9 };
            let flags = if op % 2 == 0 { ACK | URG } else { ACK };
            let pointer = if op == 5 { 0xffd7 + pointer } else { pointer };
            raw.put(&mut w, flags, raw.seq.wrapping_add(at as u32), pointer, &stream[at..at + len]);
            if at == next { next += len; }
            w.step(1000);
            if let Some(m) = mark(&w, &s) {
                prop_assert!(m <= 0x2_0000);
                let _ = urgent(&mut w, &s, len % 2 == 0);
            }
            if take {
                read(&mut w, &mut s, &mut got);
                w.ring(s.handle);
            }
        }
        read(&mut w, &mut s, &mut got);
        prop_assert!(got.len() >= next && got[..] == stream[..got.len()]);
        prop_assert_eq!(w.counters().misbehaved, 0);
    }
}

#[test]
fn a_reset_after_the_end_of_both_takes_nothing_away() {
    let mut w = World::new();
    let (mut s, mut raw) = connected(&mut w, 1000);
    w.call(&Request::Shutdown { socket: s.handle, how: c::SHUT_WR }).unwrap();
    raw.seen(&mut w);
    raw.ack = raw.ack.wrapping_add(1);
    raw.put(&mut w, ACK | FIN, raw.seq, 0, b"the rest");
    raw.put(&mut w, RST, raw.seq.wrapping_add(9), 0, &[]);
    w.step(0);
    let mut got = vec![];
    read(&mut w, &mut s, &mut got);
    assert_eq!(got, b"the rest");
    let ends = status::RDHUP | status::HUP | status::ERR;
    assert_eq!(w.status(s.handle) & ends, status::RDHUP | status::HUP);
}
