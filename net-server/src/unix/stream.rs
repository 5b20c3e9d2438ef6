//! Streams: bytes from the ring of one client straight into the other's.

use strait_abi::{Errno, session::status, socket as c};
use strait_ring::{
    Misbehaved, PAGE,
    arena::Arena,
    paged::{RING_BYTES, ServerConsumer, ServerProducer},
};

use super::{Unix, marks::MAX_MARKS};
use crate::{core::Core, socket::SocketId};

/// Bytes that one socket moves in one turn.
const BURST: u32 = 128 * 1024;
/// Room for what comes before the data of a record.
pub const RECORD_HEAD: u32 = 1024;
/// A client that holds more pages than this is asked to tell when it has read.
const LAZY_PAGES: u32 = 4;

/// What became of the data that waited.
#[derive(Debug, Default, Clone, Copy)]
pub struct Flow {
    pub moved: bool,
    /// Some is left for want of room, or its sender has no room for more.
    pub held: bool,
    /// Some is left for the next turn.
    pub more: bool,
}

/// Whether position `at` lies before position `than`.
pub fn before(at: u32, than: u32) -> bool {
    (at.wrapping_sub(than) as i32) < 0
}

/// Calls `f` with the ring from one client, and the ring to another (or the
/// same) with its arena. `None` if one has no rings.
pub fn between<T>(
    core: &mut Core,
    from: SocketId,
    to: SocketId,
    f: impl FnOnce(&mut ServerConsumer, &mut ServerProducer, &mut Arena) -> T,
) -> Option<T> {
    if from == to {
        let (rings, arena, _) = core.rings(to)?;
        return Some(f(&mut rings.tx, &mut rings.rx, arena));
    }
    if !core.sockets.contains(from) || !core.sockets.contains(to) {
        return None;
    }
    let (source, target) = core.sockets.get2_mut(from, to)?;
    core.touched |= 1 << target.session;
    let arena = &mut core.sessions[target.session].arena;
    Some(f(&mut source.rings.as_mut()?.tx, &mut target.rings.as_mut()?.rx, arena))
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
        if core.sockets[id].kind == c::SOCK_STREAM {
            self.pass_marks(core, id, head);
        } else {
            self.reclaim_records(core, id, head);
        }
    }

    /// Moves what the client of `from` wrote to the client of its peer `to`.
    fn pump(&mut self, core: &mut Core, from: SocketId, to: SocketId) -> Flow {
        let mut flow = Flow::default();
        let session = core.sockets[from].session;
        let mut budget = BURST;
        self.note_writer(core, from);
        loop {
            let left = match core.rings(from).map(|(rings, ..)| rings.tx.available()) {
                None | Some(Ok(0)) => return flow,
                Some(Ok(n)) => n,
                Some(Err(error)) => {
                    self.broken(core, from, error);
                    return flow;
                }
            };
            if budget == 0 || !core.spend(session, 1) {
                flow.more = true;
                return flow;
            }
            let (source, target) = (core.sockets[from].state, core.sockets[to].state);
            let full = self.endpoints[target].marks.len() >= MAX_MARKS;
            let pending = &self.endpoints[source].pending;
            let mut first = [0];
            let moved = between(core, from, to, |tx, rx, arena| {
                let head = tx.head();
                // Marks at the head go with its byte; up to the next, bytes go.
                if full && pending.front().is_some_and(|m| m.at == head) {
                    return None;
                }
                let next = pending.iter().map(|m| m.at.wrapping_sub(head)).find(|d| *d != 0);
                let n = next.map_or(left, |d| d.min(left)).min(budget);
                tx.copy(0, &mut first)?;
                let at = rx.tail();
                let moved = rx.push_ring(arena, RING_BYTES, tx, n as usize) as u32;
                (moved != 0).then_some((head, at, moved))
            });
            let Some(Some((head, at, moved))) = moved else {
                flow.held = true;
                return flow;
            };
            self.move_marks(from, to, core, (head, at), first[0]);
            if let Some((rings, arena, _)) = core.rings(from) {
                rings.tx.consume(moved, arena);
            }
            budget -= moved;
            core.spend(session, moved / PAGE as u32);
            flow.moved = true;
        }
    }

    /// A client broke the protocol: its connection ends.
    pub(super) fn broken(&mut self, core: &mut Core, id: SocketId, error: Misbehaved) {
        core.punish(id, error);
        self.drop_written(core, id);
        self.sever(core, id, Errno::ECONNRESET);
    }

    /// Ends the connection of `id` on the side of its peer.
    pub(super) fn sever(&mut self, core: &mut Core, id: SocketId, errno: Errno) {
        let endpoint = self.endpoint(core, id);
        (endpoint.shut_read, endpoint.shut_write) = (true, true);
        if let Some(peer) = self.peer(core, id) {
            let endpoint = self.endpoint(core, peer);
            (endpoint.shut_read, endpoint.shut_write) = (true, true);
            if core.sockets[peer].open {
                core.set_error(peer, errno);
            }
            self.touch(core, peer);
        }
    }

    /// Bytes that the client sent and that were not moved yet.
    pub(super) fn unsent(&self, core: &mut Core, id: SocketId) -> u32 {
        if core.sockets[id].kind != c::SOCK_STREAM {
            return self.accepted(core, id);
        }
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
        }
        // Room first: who is given none waits for the other to read.
        let mut tell = [false; 2];
        for (i, end) in [Some(id), peer].into_iter().enumerate() {
            let Some(end) = end else { continue };
            let (told, short) = self.make_room_for(core, end);
            tell[i] = told;
            flow[1 - i].held |= short;
        }
        if let Some(peer) = peer {
            self.finish_move(core, peer, flow[1], tell[1]);
        }
        self.finish_move(core, id, flow[0], tell[0]);
        flow[0].more || flow[1].more
    }

    /// Gives the client of a connected socket room to write. Returns whether to
    /// tell it, and whether it gets more only when its peer has read.
    fn make_room_for(&mut self, core: &mut Core, id: SocketId) -> (bool, bool) {
        let endpoint = self.endpoint(core, id);
        if !endpoint.connected || endpoint.shut_write || !core.sockets[id].open {
            return (false, !self.has_space(core, id));
        }
        if core.sockets[id].kind != c::SOCK_STREAM {
            let short = !self.has_space(core, id);
            return (self.grant_record(core, id), short);
        }
        // What nobody has read is limited by SO_SNDBUF, wherever it lies.
        let there = self.peer(core, id).and_then(|p| core.rings(p).map(|(rings, ..)| rings.rx.used())).unwrap_or(0);
        let endpoint = self.endpoint(core, id);
        let tell = endpoint.crowded && endpoint.pending.len() < MAX_MARKS;
        endpoint.crowded &= !tell;
        let Some((rings, arena, options)) = core.rings(id) else { return (tell, false) };
        let most = options.send_buffer.saturating_sub(there);
        let granted = rings.grant_within(arena, options.send_buffer, most);
        (tell | granted, there != 0 && rings.tx.room() < rings.window.max(rings.tx.wanted()))
    }

    /// What the client of `id` is told after data was moved to it, and room made.
    fn finish_move(&mut self, core: &mut Core, id: SocketId, incoming: Flow, tell: bool) {
        self.update_stream(core, id, incoming.held);
        if let Some((rings, ..)) = core.rings(id) {
            rings.rx.publish();
        }
        if incoming.moved || tell {
            core.event(id);
        }
        // End of file is believed only when what comes before it can be seen.
        self.update_end(core, id);
    }

    /// Publishes the status of a connection, but for the end of file.
    fn update_stream(&mut self, core: &mut Core, id: SocketId, held: bool) {
        let stream = core.sockets[id].kind == c::SOCK_STREAM;
        let marks = if stream { self.stream_bits(core, id) } else { 0 };
        let Some(socket) = core.sockets.get(id) else { return };
        let connected = socket.status & status::CONNECTED != 0;
        let end = socket.status & (status::IN | status::RDHUP | status::HUP);
        let endpoint = &self.endpoints[socket.state];
        let mut word = marks | endpoint.receive_bits();
        // Otherwise the room says it.
        let open = stream && !self.endpoints[core.sockets[id].state].shut_write;
        word |= if open || self.has_space(core, id) { status::OUT } else { 0 };
        if endpoint.connected {
            // A socket that was not connected says HUP.
            word |= status::CONNECTED | if connected { end } else { 0 };
        } else {
            word |= status::HUP;
        }
        word |= if endpoint.shut_write { status::WRSHUT } else { 0 };
        let lazy = core.rings(id).is_some_and(|(rings, ..)| rings.rx.pages() > LAZY_PAGES);
        let endpoint = self.endpoint(core, id);
        let ask = held || lazy || marks != 0 || endpoint.watched || endpoint.carries();
        word |= if ask { status::RING_ON_DRAIN } else { 0 };
        self.publish(core, id, word);
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
}
