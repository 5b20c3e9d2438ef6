//! Streams: bytes from the ring of one client straight into the other's.

use alloc::boxed::Box;
use core::sync::atomic::{Ordering, fence};

use strait_abi::{Errno, session::status, socket as c};
use strait_ring::{
    Misbehaved, PAGE,
    arena::Arena,
    paged::{ServerConsumer, ServerProducer},
};

use super::{
    Unix,
    control::Control,
    endpoint::{Mark, Urgent},
};
use crate::{core::Core, socket::SocketId};

/// Bytes that one socket moves in one turn.
const BURST: u32 = 128 * 1024;
/// Messages with control data that wait in one direction.
const MAX_MARKS: usize = 64;
/// Room for what comes before the data of a record.
pub const RECORD_HEAD: u32 = 1024;
/// A client that holds more pages than this is asked to tell when it has read.
const LAZY_PAGES: u32 = 4;

/// What became of the data that waited.
#[derive(Debug, Default, Clone, Copy)]
pub struct Flow {
    pub moved: bool,
    /// Some is left for want of room.
    pub held: bool,
    /// Some is left for the next turn.
    pub more: bool,
}

/// Whether position `at` lies before position `than`.
fn before(at: u32, than: u32) -> bool {
    (at.wrapping_sub(than) as i32) < 0
}

/// Calls `f` with the ring from one client, and the ring to another (or the
/// same) with its arena and SO_RCVBUF. `None` if one has no rings.
pub fn between<T>(
    core: &mut Core,
    from: SocketId,
    to: SocketId,
    f: impl FnOnce(&mut ServerConsumer, &mut ServerProducer, &mut Arena, u32) -> T,
) -> Option<T> {
    if from == to {
        let (rings, arena, options) = core.rings(to)?;
        return Some(f(&mut rings.tx, &mut rings.rx, arena, options.receive_buffer));
    }
    if !core.sockets.contains(from) || !core.sockets.contains(to) {
        return None;
    }
    let (source, target) = core.sockets.get2_mut(from, to)?;
    core.touched |= 1 << target.session;
    let arena = &mut core.sessions[target.session].arena;
    let limit = target.options.receive_buffer;
    Some(f(&mut source.rings.as_mut()?.tx, &mut target.rings.as_mut()?.rx, arena, limit))
}

impl Unix {
    /// Takes note of what the client of a socket has read.
    pub(super) fn reclaim(&mut self, core: &mut Core, id: SocketId) {
        let Some((rings, arena, _)) = core.rings(id) else { return };
        if let Err(error) = rings.rx.reclaim(arena) {
            core.punish(id, error);
            return;
        }
        let head = rings.rx.head();
        let record = core.sockets[id].kind != c::SOCK_STREAM;
        let endpoint = &mut self.endpoints[core.sockets[id].state];
        if endpoint.urgent.is_some_and(|u| before(u.mark, head)) {
            endpoint.urgent = None;
        }
        while let Some(mark) = endpoint.queue.front()
            && before(mark.start, head)
            // What belongs to data that was read in part is not asked for any
            // more on a stream either.
            && (!record || !before(head, mark.start.wrapping_add(mark.bytes)))
        {
            if let Some(mark) = endpoint.queue.pop_front()
                && let Some(control) = mark.control
            {
                (*control).drop(core);
            }
        }
    }

    /// Moves what the client of `from` wrote to the client of its peer `to`.
    fn pump(&mut self, core: &mut Core, from: SocketId, to: SocketId) -> Flow {
        let mut flow = Flow::default();
        let (source, target) = (core.sockets[from].state, core.sockets[to].state);
        let session = core.sockets[from].session;
        let mut budget = BURST;
        loop {
            let left = match core.rings(from).map(|(rings, ..)| rings.tx.available()) {
                None | Some(Ok(0)) => break,
                Some(Ok(n)) => n,
                Some(Err(error)) => {
                    self.broken(core, from, error);
                    break;
                }
            };
            if budget == 0 || !core.spend(session, 1) {
                flow.more = true;
                break;
            }
            let Some(step) = between(core, from, to, |tx, rx, arena, limit| {
                let ends = [
                    self.endpoints[source].pending.front().map(|m| m.start),
                    self.endpoints[source].urgent_pending.front().copied(),
                ];
                let [control, urgent] = ends.map(|at| at.map(|at| at.wrapping_sub(tx.head())));
                let mut n = left.min(budget);
                if let Some(distance) = control.filter(|d| *d <= n) {
                    if distance == 0 {
                        if self.endpoints[target].queue.len() >= MAX_MARKS {
                            return None;
                        }
                        if let Some(mut mark) = self.endpoints[source].pending.pop_front() {
                            mark.start = rx.tail();
                            self.endpoints[target].queue.push_back(mark);
                        }
                        return Some(0);
                    }
                    n = distance;
                }
                let mut byte = [0];
                if let Some(distance) = urgent.filter(|d| *d < n) {
                    if distance == 0 {
                        // The mark of one that was taken must not become data.
                        if self.endpoints[target].urgent.is_some_and(|u| u.taken) {
                            return None;
                        }
                        n = 1;
                        tx.copy(0, &mut byte)?;
                    } else {
                        n = distance;
                    }
                }
                let at = rx.tail();
                let moved = rx.push_ring(arena, limit, tx, n as usize) as u32;
                if urgent == Some(0) && moved == 1 {
                    self.endpoints[source].urgent_pending.pop_front();
                    self.endpoints[target].urgent = Some(Urgent { mark: at, byte: byte[0], taken: false });
                    return Some(1);
                }
                (moved > 0).then_some(moved)
            }) else {
                flow.held = true;
                break;
            };
            let Some(moved) = step else {
                flow.held = true;
                break;
            };
            if let Some((rings, arena, _)) = core.rings(from) {
                rings.tx.consume(moved, arena);
            }
            budget -= moved;
            core.spend(session, moved / PAGE as u32);
            flow.moved |= moved != 0;
        }
        flow
    }

    /// A client broke the protocol: its connection ends.
    fn broken(&mut self, core: &mut Core, id: SocketId, error: Misbehaved) {
        core.punish(id, error);
        if let Some((rings, arena, _)) = core.rings(id) {
            rings.tx.consume(u32::MAX, arena);
        }
        self.sever(core, id, Errno::ECONNRESET);
    }

    /// Ends the connection of `id` on the side of its peer.
    pub(super) fn sever(&mut self, core: &mut Core, id: SocketId, errno: Errno) {
        let endpoint = &mut self.endpoints[core.sockets[id].state];
        (endpoint.shut_read, endpoint.shut_write) = (true, true);
        if let Some(peer) = self.peer(core, id) {
            let endpoint = &mut self.endpoints[core.sockets[peer].state];
            (endpoint.shut_read, endpoint.shut_write) = (true, true);
            if core.sockets[peer].open {
                core.set_error(peer, errno);
            }
            self.touch(core, peer);
        }
    }

    /// Bytes that the client wrote and that were not moved yet.
    pub(super) fn unsent(&self, core: &mut Core, id: SocketId) -> u32 {
        core.rings(id).and_then(|(rings, ..)| rings.tx.available().ok()).unwrap_or(0)
    }

    /// Looks after a connected socket. Returns whether something is left for
    /// the next turn.
    pub(super) fn settle_stream(&mut self, core: &mut Core, id: SocketId) -> bool {
        let peer = self.peer(core, id);
        let more = self.exchange(core, id);
        self.close_if_done(core, id);
        if let Some(peer) = peer {
            self.close_if_done(core, peer);
        }
        more
    }

    /// Moves data in both directions, makes room, publishes the status of both
    /// ends. Returns whether something is left for the next turn.
    pub(super) fn exchange(&mut self, core: &mut Core, id: SocketId) -> bool {
        self.reclaim(core, id);
        let peer = self.peer(core, id);
        let mut flow = [Flow::default(); 2];
        if let Some(peer) = peer {
            self.reclaim(core, peer);
            let record = core.sockets[id].kind != c::SOCK_STREAM;
            flow = [(peer, id), (id, peer)]
                .map(|(from, to)| if record { self.pump_records(core, from, to) } else { self.pump(core, from, to) });
            self.finish_move(core, peer, flow[1]);
        }
        self.finish_move(core, id, flow[0]);
        flow[0].more || flow[1].more
    }

    /// What the client of `id` is told after data was moved to it, and room made.
    fn finish_move(&mut self, core: &mut Core, id: SocketId, incoming: Flow) {
        let state = core.sockets[id].state;
        let endpoint = &self.endpoints[state];
        let may_send = endpoint.connected && !endpoint.shut_write && core.sockets[id].open;
        let mut tell = incoming.moved;
        if may_send && let Some((rings, arena, options)) = core.rings(id) {
            tell |= rings.grant(arena, options.send_buffer + RECORD_HEAD);
        }
        self.update_stream(core, id, incoming.held);
        if let Some((rings, ..)) = core.rings(id) {
            rings.rx.publish();
        }
        if tell {
            core.event(id);
        }
        // End of file is believed only when what comes before it can be seen.
        self.update_end(core, id);
    }

    /// The bits of the status that say what lies in the ring.
    fn marks(&self, core: &mut Core, id: SocketId) -> u32 {
        let endpoint = &self.endpoints[core.sockets[id].state];
        if core.sockets[id].kind != c::SOCK_STREAM {
            let carries = |m: &Mark| m.control.as_ref().is_some_and(|c| !c.rights.is_empty());
            return if endpoint.queue.iter().any(carries) { status::CONTROL } else { 0 };
        }
        let control = endpoint.queue.front().map(|m| m.start);
        let urgent = endpoint.urgent.map(|u| u.mark);
        let (mark, bits) = match (control, urgent) {
            (None, None) => return 0,
            (Some(at), None) => (at, status::CONTROL),
            (None, Some(at)) => (at, status::MARK),
            (Some(a), Some(b)) if a == b => (a, status::CONTROL | status::MARK),
            (Some(a), Some(b)) if before(a, b) => (a, status::CONTROL),
            (Some(_), Some(b)) => (b, status::MARK),
        };
        if let Some((rings, ..)) = core.rings(id) {
            rings.slot.rx_mark.store(mark, Ordering::Release);
        }
        bits | if endpoint.urgent.is_some_and(|u| !u.taken) { status::PRI } else { 0 }
    }

    /// Publishes the status of a connection, but for the end of file.
    fn update_stream(&mut self, core: &mut Core, id: SocketId, held: bool) {
        let marks = self.marks(core, id);
        let Some(socket) = core.sockets.get(id) else { return };
        let connected = socket.status & status::CONNECTED != 0;
        let end = socket.status & (status::IN | status::RDHUP | status::HUP);
        let endpoint = &self.endpoints[socket.state];
        let mut word = status::OUT | marks;
        if endpoint.connected {
            // A socket that was not connected says HUP.
            word |= status::CONNECTED | if connected { end } else { 0 };
        } else {
            word |= status::HUP;
        }
        word |= if endpoint.shut_write { status::WRSHUT } else { 0 };
        let lazy = core.rings(id).is_some_and(|(rings, ..)| rings.rx.pages() > LAZY_PAGES);
        let ask = held || lazy || marks != 0;
        word |= if ask { status::RING_ON_DRAIN } else { 0 };
        let asked = core.sockets[id].status & status::RING_ON_DRAIN != 0;
        core.set_status(id, word);
        if ask && !asked {
            // A client that read before it could see the bit will not ring:
            // look once more.
            fence(Ordering::SeqCst);
            if let Some((rings, arena, _)) = core.rings(id) {
                let used = rings.rx.used();
                if rings.rx.reclaim(arena).is_ok() && rings.rx.used() != used {
                    self.touch(core, id);
                }
            }
        }
    }

    /// Publishes the end of file when nothing comes before it any more.
    pub(super) fn update_end(&mut self, core: &mut Core, id: SocketId) {
        let Some(socket) = core.sockets.get(id) else { return };
        let endpoint = &self.endpoints[socket.state];
        let (read, write, connected) = (endpoint.shut_read, endpoint.shut_write, endpoint.connected);
        let coming = match self.peer(core, id) {
            Some(peer) if connected => self.unsent(core, peer),
            _ => 0,
        };
        let end = read && coming == 0;
        let mut word = core.sockets[id].status & !(status::IN | status::RDHUP | status::HUP);
        word |= if end { status::IN | status::RDHUP } else { 0 };
        word |= if !connected || end && write { status::HUP } else { 0 };
        word |= if write { status::WRSHUT } else { 0 };
        core.set_status(id, word);
    }

    /// See [`Request::SendControl`](strait_abi::net::Request::SendControl).
    pub(super) fn announce(&mut self, core: &mut Core, id: SocketId, bytes: u32, control: &[u8]) -> Result<(), Errno> {
        let endpoint = &self.endpoints[core.sockets[id].state];
        if !endpoint.connected {
            return Err(Errno::ENOTCONN);
        }
        if endpoint.shut_write {
            return Err(Errno::EPIPE);
        }
        if bytes == 0 || core.sockets[id].kind != c::SOCK_STREAM {
            return Err(Errno::EINVAL);
        }
        let tail = self.written(core, id)?;
        self.forget_announced(core, id, tail);
        if self.endpoints[core.sockets[id].state].pending.len() >= MAX_MARKS {
            return Err(Errno::EAGAIN);
        }
        let session = core.sockets[id].session;
        let control = Control::take(core, session, control)?;
        let mark = Mark { start: tail, bytes, control: Some(Box::new(control)) };
        self.endpoints[core.sockets[id].state].pending.push_back(mark);
        Ok(())
    }

    /// The position up to which the client wrote.
    fn written(&mut self, core: &mut Core, id: SocketId) -> Result<u32, Errno> {
        let (rings, ..) = core.rings(id).ok_or(Errno::EIO)?;
        match rings.tx.available() {
            Ok(_) => Ok(rings.tx.tail()),
            Err(error) => {
                self.broken(core, id, error);
                Err(Errno::EPROTO)
            }
        }
    }

    fn forget_announced(&mut self, core: &mut Core, id: SocketId, from: u32) {
        let pending = &mut self.endpoints[core.sockets[id].state].pending;
        while pending.back().is_some_and(|m| !before(m.start, from)) {
            if let Some(control) = pending.pop_back().and_then(|m| m.control) {
                control.refuse(core);
                return self.forget_announced(core, id, from);
            }
        }
    }

    /// See [`Request::SendUrgent`](strait_abi::net::Request::SendUrgent).
    pub(super) fn announce_urgent(&mut self, core: &mut Core, id: SocketId, bytes: u32) -> Result<(), Errno> {
        let endpoint = &self.endpoints[core.sockets[id].state];
        if core.sockets[id].kind != c::SOCK_STREAM {
            return Err(Errno::EOPNOTSUPP);
        }
        if !endpoint.connected {
            return Err(Errno::ENOTCONN);
        }
        if endpoint.shut_write {
            return Err(Errno::EPIPE);
        }
        let at = self.written(core, id)?.wrapping_add(bytes.checked_sub(1).ok_or(Errno::EINVAL)?);
        let pending = &mut self.endpoints[core.sockets[id].state].urgent_pending;
        // Said again before it was written.
        while pending.back().is_some_and(|p| !before(*p, at)) {
            pending.pop_back();
        }
        if pending.len() >= MAX_MARKS {
            return Err(Errno::EAGAIN);
        }
        pending.push_back(at);
        Ok(())
    }

    /// See [`Request::ReceiveUrgent`](strait_abi::net::Request::ReceiveUrgent).
    pub(super) fn take_urgent(&mut self, core: &mut Core, id: SocketId, peek: bool) -> Result<u8, Errno> {
        if core.sockets[id].kind != c::SOCK_STREAM {
            return Err(Errno::EOPNOTSUPP);
        }
        self.settle_stream(core, id);
        if core.sockets[id].options.oob_inline {
            return Err(Errno::EINVAL);
        }
        let endpoint = &mut self.endpoints[core.sockets[id].state];
        let urgent = endpoint.urgent.as_mut().filter(|u| !u.taken).ok_or(Errno::EINVAL)?;
        urgent.taken = !peek;
        let byte = urgent.byte;
        self.touch(core, id);
        self.settle_stream(core, id);
        Ok(byte)
    }

    /// Whether the next byte is the urgent one (SIOCATMARK).
    pub(super) fn at_mark(&mut self, core: &mut Core, id: SocketId) -> bool {
        self.settle_stream(core, id);
        let head = core.rings(id).map(|(rings, ..)| rings.rx.head());
        self.endpoints[core.sockets[id].state].urgent.is_some_and(|u| Some(u.mark) == head)
    }
}
