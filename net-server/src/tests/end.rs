//! A client ends, as its parent tells: to its peers it is as if a process of
//! Linux were killed.

extern crate std;

use smoltcp::socket::tcp::{Socket, State};
use strait_abi::{Errno, net::Request, session::status, socket as c};

use super::{
    tcp::{accept, dial, listen, pair, peer_addr, peer_socket, server_addr, write},
    unix_rights::rights,
    world::{CLIENT, PARENT, SECOND, World},
};

#[test]
fn nobody_but_the_parent_is_believed() {
    let mut w = World::new();
    let s = w.socket(c::SOCK_DGRAM);
    for (who, name) in [(CLIENT, "client"), (SECOND, "client"), (PARENT, "server"), (PARENT, ""), (PARENT, "clien")] {
        assert_eq!(w.end(who, name), Err(Errno::EPERM), "{who} {name}");
    }
    // Nothing else is served to who has no session.
    let request = Request::Socket { family: 2, kind: 1, protocol: 0 };
    assert_eq!(w.call_of(PARENT, &request), Err(Errno::EPERM));
    assert_eq!(w.counters().sockets, 1);
    w.end(PARENT, "client").unwrap();
    assert_eq!(w.call(&Request::Close { socket: s.handle }), Err(Errno::EBADF));
    // Once more, and after that it may begin anew.
    w.end(PARENT, "client").unwrap();
    w.call(&Request::Hello { version: strait_abi::session::VERSION }).unwrap();
    w.socket(c::SOCK_DGRAM);
}

#[test]
fn tcp_ends_as_close_ends_it() {
    let mut w = World::new();
    let before = w.counters();
    // Data that it has not read: reset.
    let (unread, reset) = pair(&mut w);
    w.peer.sockets.get_mut::<Socket>(reset).send_slice(b"unread").unwrap();
    w.until(100, |_| unread.rx.available() == 6);
    // Data that it has written: that, then the end.
    let listener = listen(&mut w, 9, 4);
    let told = dial(&mut w, 41_000, 9);
    let (mut writer, _) = accept(&mut w, listener);
    let waiting = dial(&mut w, 41_001, 9);
    w.until(100, |w| w.peer.sockets.get::<Socket>(waiting).state() == State::Established);
    w.session.to_server().disarm();
    write(&mut w, &mut writer, b"last words");
    w.end(PARENT, "client").unwrap();
    let state = |w: &World, h| w.peer.sockets.get::<Socket>(h).state();
    w.until(100, |w| state(w, reset) == State::Closed && state(w, waiting) == State::Closed);
    w.until(100, |w| state(w, told) == State::CloseWait);
    let peer = w.peer.sockets.get_mut::<Socket>(told);
    assert_eq!(peer.recv(|b| (b.len(), b.to_vec())).unwrap(), b"last words");
    peer.close();
    // The port is nobody's.
    let refused = dial(&mut w, 41_002, 9);
    w.until(100, |w| state(w, refused) == State::Closed);
    w.until(100, |w| w.counters().sockets_all == 0);
    let after = w.counters();
    assert_eq!((after.pages_all, after.buffer_bytes), (before.pages_all, before.buffer_bytes));
}

#[test]
fn a_datagram_written_before_is_sent() {
    let mut w = World::new();
    let mut s = w.socket(c::SOCK_DGRAM);
    w.send(&mut s, Some(peer_addr(9)), b"first");
    w.elapse(20);
    w.sent();
    w.session.to_server().disarm();
    w.send(&mut s, Some(peer_addr(9)), b"last words");
    w.end(PARENT, "client").unwrap();
    w.elapse(20);
    let said = |f: &&std::vec::Vec<u8>| f.windows(10).any(|b| b == b"last words");
    assert_eq!(w.sent().iter().filter(said).count(), 1);
}

#[test]
fn local_peers_get_the_end_or_a_reset() {
    for unread in [false, true] {
        let mut w = World::new();
        let (mut a, b) = w.connection(c::SOCK_STREAM);
        if unread {
            w.put(&mut a, b"nobody reads this");
        }
        let name = b"\0d";
        let bound = w.bound(CLIENT, c::SOCK_DGRAM, name);
        let sender = w.local_socket(SECOND, c::SOCK_DGRAM);
        w.join(&sender, name).unwrap();
        w.end(PARENT, "client").unwrap();
        assert_eq!(w.state(&a) & (status::RDHUP | status::WRSHUT), status::RDHUP | status::WRSHUT);
        assert_eq!(w.error_of(&a), unread.then_some(Errno::ECONNRESET));
        assert_eq!(w.join(&sender, name), Err(Errno::ECONNREFUSED));
        for gone in [&b, &bound] {
            let request = Request::Close { socket: gone.socket.handle };
            assert_eq!(w.call(&request), Err(Errno::EBADF));
        }
        w.close(&a);
        w.close(&sender);
        w.all_comes_back();
    }
}

#[test]
fn what_it_gave_away_lives_on() {
    let mut w = World::new();
    let (mut over, mut under) = w.connection(c::SOCK_STREAM);
    // The second ends; the first gets what it sent.
    let (mut kept, mut given) = w.local_pair(SECOND, c::SOCK_STREAM);
    w.put(&mut kept, b"from the dead");
    w.put(&mut given, b"to the dead");
    w.pass(&mut over, b"x", &[given.socket.handle.into()]).unwrap();
    w.end(PARENT, "second").unwrap();
    assert_eq!(w.server.core.sessions[1].flying, 1);
    let (got, _) = w.control(&under, false);
    assert_eq!(w.get(&mut under), b"x");
    assert_eq!(w.server.core.sessions[1].flying, 0);
    given = w.taken(CLIENT, got[0]);
    assert_eq!(w.get(&mut given), b"from the dead");
    assert_ne!(w.state(&given) & status::RDHUP, 0);
    // It had not read what was for it.
    assert_eq!(w.error_of(&given), Some(Errno::ECONNRESET));
    w.close(&given);
    w.close(&under);
    let counters = w.counters();
    assert_eq!((counters.sockets_all, counters.pages_all), (0, 0));
}

#[test]
fn what_was_given_to_it_goes() {
    let mut w = World::new();
    let (mut over, _under) = w.connection(c::SOCK_STREAM);
    let (kept, given) = w.local_pair(SECOND, c::SOCK_STREAM);
    w.pass(&mut over, b"x", &[given.socket.handle.into()]).unwrap();
    w.close(&given);
    w.end(PARENT, "client").unwrap();
    w.step(20_000_000);
    assert_ne!(w.state(&kept) & status::RDHUP, 0);
    assert_eq!(w.server.core.sessions[1].flying, 0);
    w.close(&kept);
    w.close(&over);
    w.all_comes_back();
}

#[test]
fn a_connection_given_away_serves_on() {
    let mut w = World::new();
    let h = peer_socket(&mut w);
    let listener = listen(&mut w, 7, 4);
    let cx = w.peer.interface.context();
    w.peer.sockets.get_mut::<Socket>(h).connect(cx, server_addr(7), 40_000).unwrap();
    let (s, _) = accept(&mut w, listener);
    let (under, mut over) = w.connection(c::SOCK_STREAM);
    let control = rights(&[s.handle.into()]);
    let request = Request::SendControl { socket: over.socket.handle, bytes: 1, control: &control };
    w.call(&request).unwrap();
    w.put(&mut over, b"x");
    w.end(PARENT, "client").unwrap();
    let (got, _) = w.control(&under, false);
    let mut taken = w.taken(SECOND, got[0]);
    w.peer.sockets.get_mut::<Socket>(h).send_slice(b"hello").unwrap();
    w.elapse(20);
    assert_eq!(w.get(&mut taken), b"hello");
    w.put(&mut taken, b"served");
    w.elapse(20);
    let peer = w.peer.sockets.get_mut::<Socket>(h);
    assert_eq!(peer.recv(|b| (b.len(), b.to_vec())).unwrap(), b"served");
    w.end(PARENT, "second").unwrap();
    w.elapse(20);
    assert_eq!(w.peer.sockets.get::<Socket>(h).state(), State::CloseWait);
    w.peer.sockets.get_mut::<Socket>(h).close();
    w.elapse(20);
    w.all_comes_back();
}
