//! How much heap the server takes at most, held against what
//! [`strait_abi::heap`] says of it.

#![allow(unsafe_code)]

extern crate std;

use core::net::{IpAddr, SocketAddr};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    vec,
};

use smoltcp::socket::tcp::{Socket, State};
use strait_abi::{
    Errno, heap,
    net::Request,
    session::{sockets_for, status},
    socket as c,
};

use super::{
    tcp::{dial, listen},
    world::{CLIENT, INSIDE, PEER_IP, SECOND, SERVER_IP, SERVER_MAC, World},
};
use crate::{inet::ip, link::fragment};

std::thread_local! {
    /// Bytes that the server of this thread has, and the most that it ever had.
    static BYTES: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// Counts what is taken and given back inside the server, as sel4's dlmalloc
/// would: with a word before it, in units of two.
struct Counting;

fn count(layout: Layout, sign: isize) {
    // Not where the thread begins or ends.
    let inside = INSIDE.try_with(Cell::get).unwrap_or(false);
    if inside {
        let size = (layout.size() + 8).next_multiple_of(16).max(32) as isize;
        let _ = BYTES.try_with(|bytes| {
            let (now, most) = bytes.get();
            bytes.set((now + sign * size, most.max(now + sign * size)));
        });
    }
}

// SAFETY: all is done by `System`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout, 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout, -1);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that the server of this thread has, and the most that it ever had.
pub fn taken() -> (usize, usize) {
    let (now, most) = BYTES.get();
    (now as usize, most as usize)
}

const SESSION: usize = 2 << 20;
const PLACES: usize = sockets_for(SESSION);

/// A connection of a client with itself that is over.
fn passes(w: &mut World, listener: u16) {
    let a = w.socket(c::SOCK_STREAM);
    let _ = w.connect(&a, "127.0.0.1:9");
    let (b, _) = w.call(&Request::Accept { socket: listener }).unwrap();
    w.call(&Request::Close { socket: a.handle }).unwrap();
    w.call(&Request::Close { socket: b as u16 }).unwrap();
}

/// Most of the fragments of datagrams that never become whole.
fn fragments(w: &mut World) {
    let mut packet = vec![0; 60_000];
    ip::write_header(&mut packet, IpAddr::from(PEER_IP), IpAddr::from(SERVER_IP), 17.into(), 64);
    for identification in 0..40 {
        for fragment in fragment::Fragments::new(&packet, 1500).unwrap().skip(1) {
            let mut frame = vec![0; 14 + fragment.len()];
            frame[..6].copy_from_slice(&SERVER_MAC);
            frame[12] = 8;
            fragment.write(identification, &mut frame[14..]);
            w.inject(&frame);
        }
    }
}

/// Connections that the client has closed, and their peers have not: as many as
/// it may have.
fn closed(w: &mut World, listener: u16) -> usize {
    for port in 0..2 * PLACES as u16 {
        let h = dial(w, 20_000 + port, 9);
        for _ in 0..10 {
            w.step(1_000_000);
        }
        if w.peer.sockets.get::<Socket>(h).state() != State::Established {
            return usize::from(port);
        }
        let (s, _) = w.call(&Request::Accept { socket: listener }).unwrap();
        w.call(&Request::Close { socket: s as u16 }).unwrap();
    }
    panic!("no end of connections")
}

/// Local sockets in all places, with names, and full of datagrams, some of which
/// carry descriptors.
fn local(w: &mut World, client: u8) {
    let pair = Request::SocketPair { family: 1, kind: c::SOCK_DGRAM, protocol: 0 };
    while let Ok((both, _)) = w.call_of(client, &pair) {
        for handle in [both & 0xffff, both >> 16] {
            let mut s = w.taken(client, handle);
            w.call_of(client, &Request::Bind { socket: s.socket.handle, address: &[1, 0] }).unwrap();
            let mut control = [0; 32];
            let mut used = 0;
            let value = handle.to_ne_bytes();
            let item = strait_abi::control::Item { level: c::SOL_SOCKET, kind: c::SCM_RIGHTS, value: &value };
            strait_abi::control::put(&mut control, &mut used, item);
            let mut sent = usize::from(w.send_record(&mut s, &[], &control[..used], b"").is_ok());
            while w.send_record(&mut s, &[], &[], b"").is_ok() {
                sent += 1;
            }
            assert_eq!(sent, 278);
        }
    }
}

#[test]
fn the_fullest_server_takes_no_more_than_is_counted() {
    let mut w = World::with_session(SESSION);
    let listener = listen(&mut w, 9, 8);
    for _ in 0..4200 {
        passes(&mut w, listener);
    }
    let packets = w.call(&Request::Socket { family: 17, kind: c::SOCK_RAW, protocol: 0x300 }).unwrap().0 as u16;
    fragments(&mut w);
    assert_eq!(closed(&mut w, listener), PLACES);
    // Nothing is left for another one, nor for one that the client makes.
    let s = w.socket(c::SOCK_STREAM);
    assert_eq!(w.connect(&s, "10.0.2.2:80"), Err(Errno::ENOBUFS));
    w.call(&Request::Close { socket: s.handle }).unwrap();
    // What it needs for a moment is there.
    let mut u = w.socket(c::SOCK_DGRAM);
    w.bind(&u, "127.0.0.1:77").unwrap();
    let data = vec![7; 60_000];
    w.send(&mut u, Some(SocketAddr::from(([127, 0, 0, 1], 77))), &data);
    w.step(1000);
    assert_eq!(w.receive(&mut u).unwrap().1, data);
    for client in [CLIENT, SECOND] {
        local(&mut w, client);
    }
    let most = taken().1 as u64;
    // The second client has no connections.
    let counted = heap::least(2 * PLACES as u64) - PLACES as u64 * heap::CONNECTION;
    assert!(most < counted && most > counted / 2, "{most} of {counted}");
    // The oldest closed connection goes for a new one when it makes no headway.
    w.call(&Request::Close { socket: packets }).unwrap();
    for _ in 0..60 {
        w.step(100_000_000);
    }
    dial(&mut w, 30_000, 9);
    w.until(10, |w| w.status(listener) & status::IN != 0);
}
