//! The end of a turn: data moves between rings and smoltcp, what can be sent is
//! sent, and the client learns what changed.

use smoltcp::{
    iface::PollResult,
    socket::tcp::{Socket, State},
};
use strait_abi::{Errno, session::status};

use super::{BURST, LAZY_PAGES, PATIENCE, Shared, TCP, Tcp, Wire, state::ends};
use crate::{core::Core, link::dhcp::instant, socket::SocketId};

impl Tcp {
    /// Sends what the connection may send. Returns when it must be looked at
    /// again; 0 if it has more to send at once.
    pub(super) fn transmit(&mut self, shared: &mut Shared, core: &mut Core, index: usize) -> Option<u64> {
        let connection = &mut self.connections[index];
        let at = instant(core.now);
        let local = connection.marks.local;
        let full = connection.marks.mtu(&core.links);
        // After a full packet there is most likely another: it is tried
        // without asking.
        let mut ask = true;
        for packet in 0..BURST {
            if !core.spend(connection.session, 1) && packet > 0 {
                break;
            }
            if ask {
                let due = shared.interface(local).poll_at(at, &connection.set)?;
                if due > at {
                    return Some((due.total_micros() as u64).saturating_mul(1000));
                }
            }
            let before = (connection.last.next, connection.last.repeats);
            let mut wire = Wire::new(&mut core.links, core.now, connection.marks, &mut connection.last, None);
            let idle = shared.interface(local).poll_egress(at, &mut wire, &mut connection.set) == PollResult::None;
            if idle && (ask || wire.links.starved()) {
                if wire.links.starved() {
                    self.starved.push(index);
                }
                // What could be done was done: not again before some time.
                return Some(core.now + 1_000_000);
            }
            let sent = wire.sent;
            if sent != 0 {
                connection.watch.sent(before, &connection.last, core.now);
            }
            ask = sent < full;
        }
        Some(0)
    }

    /// See [`Family::settle`](crate::family::Family::settle).
    pub fn settle(&mut self, shared: &mut Shared, core: &mut Core) -> bool {
        self.release(shared, core);
        while let Some(index) = self.starved.pop() {
            if self.connections.contains(index) {
                self.mark(index);
            }
        }
        if self.dirty.is_empty() {
            return false;
        }
        let mut more = false;
        core::mem::swap(&mut self.dirty, &mut self.turn);
        for i in 0..self.turn.len() {
            let index = self.turn[i];
            if self.connections.contains(index) {
                more |= self.settle_index(shared, core, index);
            }
        }
        self.turn.clear();
        more
    }

    /// Settles the connection of a socket now.
    pub fn settle_one(&mut self, shared: &mut Shared, core: &mut Core, id: SocketId) {
        if let Some(index) = shared.endpoints[core.sockets[id].state].connection {
            self.settle_index(shared, core, index);
        }
    }

    pub(super) fn settle_index(&mut self, shared: &mut Shared, core: &mut Core, index: usize) -> bool {
        self.connections[index].dirty = false;
        if self.connections[index].urgent.present() {
            // The client must not see what follows before it sees the mark.
            let word = self.publish_mark(core, index);
            let id = self.connections[index].socket;
            let before = core.sockets.get(id).map_or(0, |s| s.status);
            core.set_status(id, before | word);
        }
        let drain = self.exchange(core, index);
        let watch = self.watch(core, index);
        let due = self.transmit(shared, core, index);
        if self.connections[index].marks.urgent.is_some() {
            self.announce_urgent(core, index);
        }
        if self.follow(shared, core, index, drain) {
            return false;
        }
        let connection = &mut self.connections[index];
        if due == Some(0) {
            self.mark(index);
        } else {
            let at = due.unwrap_or(u64::MAX).min(watch).min(connection.give_up.map_or(u64::MAX, |(at, _)| at));
            if at >= connection.queued {
                return self.connections[index].dirty;
            }
            let earlier = core::mem::replace(&mut connection.queued, at);
            self.timers.remove(&(earlier, index));
            self.timers.insert((at, index));
        }
        self.connections[index].dirty
    }

    /// Moves data between the rings and smoltcp. Returns whether the client
    /// should tell when it has read its ring empty.
    fn exchange(&mut self, core: &mut Core, index: usize) -> bool {
        let connection = &mut self.connections[index];
        let (core_now, mtu) = (core.now, connection.marks.mtu(&core.links));
        let id = connection.socket;
        let tcp: &mut Socket<'_> = connection.set.get_mut(connection.handle);
        let (mut moved, mut drain, mut broken) = (false, false, None);
        if let Some((rings, arena, options)) = core.rings(id) {
            match rings.rx.reclaim(arena) {
                Ok(()) => {
                    while tcp.can_recv() {
                        let limit = options.receive_buffer;
                        let take = |bytes: &mut [u8]| {
                            let n = rings.rx.push(arena, limit, bytes);
                            (n, n)
                        };
                        match tcp.recv(take) {
                            Ok(n) if n > 0 => {
                                connection.urgent.next_in = connection.urgent.next_in.wrapping_add(n as u32);
                                moved = true;
                            }
                            _ => break,
                        }
                    }
                    rings.rx.publish();
                    drain = tcp.can_recv() || rings.rx.pages() > LAZY_PAGES;
                }
                Err(error) => broken = Some(error),
            }
            match rings.tx.available() {
                Ok(mut left) => {
                    // Neither the end nor what is urgent is held back.
                    if !connection.fin_wanted && connection.marks.urgent.is_none() {
                        left = connection.watch.cut(core_now, mtu, left, rings.tx.held());
                    }
                    while left > 0 && tcp.can_send() {
                        let take = |bytes: &mut [u8]| {
                            let n = bytes.len().min(left as usize);
                            (n, if rings.tx.copy(0, &mut bytes[..n]).is_some() { n } else { 0 })
                        };
                        match tcp.send(take) {
                            Ok(n) if n > 0 => {
                                rings.tx.consume(n as u32, arena);
                                connection.urgent.given = connection.urgent.given.wrapping_add(n as u32);
                                left -= n as u32;
                            }
                            _ => break,
                        }
                    }
                    if connection.connected && !connection.fin_wanted {
                        moved |= rings.grant(arena, options.send_buffer);
                    } else if connection.fin_wanted && left == 0 && !connection.fin_sent {
                        connection.fin_sent = true;
                        tcp.close();
                    }
                }
                Err(error) => broken = Some(error),
            }
        } else if connection.fin_wanted && !connection.fin_sent {
            connection.fin_sent = true;
            tcp.close();
        }
        if let Some(error) = broken {
            tcp.abort();
            core.punish(id, error);
        }
        if moved {
            core.event(id);
        }
        drain
    }

    /// Acts on the state that smoltcp is in now. Returns whether nothing of the
    /// connection is left.
    fn follow(&mut self, shared: &mut Shared, core: &mut Core, index: usize, drain: bool) -> bool {
        let connection = &mut self.connections[index];
        let id = connection.socket;
        let tcp: &mut Socket<'_> = connection.set.get_mut(connection.handle);
        let state = tcp.state();
        let synchronised = !matches!(state, State::Closed | State::Listen | State::SynSent | State::SynReceived);
        if synchronised && !connection.connected {
            self.established(shared, core, index);
        }
        let connection = &mut self.connections[index];
        let tcp: &mut Socket<'_> = connection.set.get_mut(connection.handle);
        let unread = tcp.can_recv();
        // A listener's connection that was reset or timed out before it stood.
        if connection.listener.is_some() && matches!(state, State::Closed | State::Listen) {
            self.end(shared, core, index);
            return true;
        }
        let Some(socket) = core.sockets.get(id) else {
            self.end(shared, core, index);
            return true;
        };
        let open = socket.open;
        // What comes for a socket that is closed is refused (RFC 2525 2.17).
        if !open && unread {
            self.abort(shared, core, index);
            return true;
        }
        if !open && connection.fin_sent && socket.slot.is_some() {
            core.detach(id);
        }
        let endpoint = &mut shared.endpoints[core.sockets[id].state];
        if matches!(state, State::CloseWait | State::Closing | State::LastAck | State::TimeWait) {
            endpoint.done = true;
            endpoint.shut.0 = true;
        }
        // In TIME-WAIT nothing of it is needed but what answers a repeated FIN.
        if state == State::Closed || state == State::TimeWait && !core.links.starved() {
            self.over(shared, core, index);
        }
        let word = self.word(shared, core, index, unread, drain);
        if core.set_status_asking(id, word).is_some_and(|(_, now)| now == 0) {
            self.mark(index);
        }
        let connection = &mut self.connections[index];
        if connection.over {
            // What is unread is still to be had.
            let kept = open && (unread || connection.urgent.present());
            if !kept {
                self.end(shared, core, index);
            }
            return !kept;
        }
        if !open && (core.sockets[id].abandoned || self.gives_up(core, index)) {
            self.abort(shared, core, index);
            return true;
        }
        false
    }

    /// The handshake is done.
    #[cold]
    fn established(&mut self, shared: &mut Shared, core: &mut Core, index: usize) {
        let connection = &mut self.connections[index];
        let id = connection.socket;
        connection.connected = true;
        connection.last.repeats = 0;
        if let Some(listener) = connection.listener.take()
            && let Some(queue) = core.queue(listener)
        {
            queue.complete.push_back(id);
            core.update_listener(listener);
        }
        if let Some(socket) = core.sockets.get(id) {
            // As Linux: who said before that it will send nothing does so now.
            connection.fin_wanted |= connection.asked && shared.endpoints[socket.state].shut.1;
            self.apply_options(shared, core, id);
        }
        self.mark(index);
    }

    /// smoltcp has done with the connection: why, and what stays of it.
    #[cold]
    fn over(&mut self, shared: &mut Shared, core: &mut Core, index: usize) {
        let connection = &mut self.connections[index];
        if connection.over {
            return;
        }
        let (id, tuple, last) = (connection.socket, connection.tuple, connection.last);
        if connection.tcp().state() == State::TimeWait {
            let hold = Self::hold(shared, core, id, &tuple);
            self.finish(shared, core, index);
            if let Some(hold) = hold {
                self.forget(shared, core);
                self.time_wait.insert(tuple, last, hold, core.now, |port, hold| shared.ports.release(TCP, port, hold));
                shared.ports.hold(TCP, tuple.local.port(), hold);
            }
            return;
        }
        if core.sockets[id].open && core.sockets[id].error.is_none() {
            let failure = match (connection.connected, connection.reset) {
                (false, true) => Some(Errno::ECONNREFUSED),
                (false, false) => Some(Errno::ETIMEDOUT),
                // As Linux: it was written to who has gone.
                (true, true) => Some(if connection.late { Errno::EPIPE } else { Errno::ECONNRESET }),
                // Both sides closed in order, or the peer is gone.
                (true, false) => (!connection.fin_sent).then_some(Errno::ETIMEDOUT),
            };
            if let Some(errno) = failure {
                core.set_error(id, errno);
            }
        }
        self.finish(shared, core, index);
    }

    /// The status word of the socket of a connection.
    fn word(&mut self, shared: &Shared, core: &mut Core, index: usize, unread: bool, drain: bool) -> u32 {
        let connection = &mut self.connections[index];
        let id = connection.socket;
        let state = connection.tcp().state();
        let endpoint = &shared.endpoints[core.sockets[id].state];
        let (read, write) = endpoint.shut;
        // The end comes after the data.
        let read = read && !unread;
        let mut word = if connection.over {
            endpoint.closed() | if connection.connected { status::CONNECTED } else { 0 }
        } else if connection.connected {
            status::CONNECTED | status::OUT | ends((read, write)) | if endpoint.done { status::DONE } else { 0 }
        } else {
            ends((read, false))
        };
        if unread {
            word &= !(status::RDHUP | status::HUP | status::DONE);
        }
        word |= if drain || unread { status::RING_ON_DRAIN } else { 0 };
        let drained = connection.fin_sent && matches!(state, State::FinWait2 | State::TimeWait | State::Closed);
        word |= if drained { status::DRAINED } else { 0 };
        if connection.urgent.present() {
            word |= self.publish_mark(core, index);
        }
        word
    }

    /// Whether the peer of a closed socket has had its time and used none of it.
    fn gives_up(&mut self, core: &mut Core, index: usize) -> bool {
        let connection = &mut self.connections[index];
        let tcp: &mut Socket<'_> = connection.set.get_mut(connection.handle);
        let in_ring = core.rings(connection.socket).and_then(|(r, ..)| r.tx.available().ok()).unwrap_or(0) as usize;
        // The FIN, and the peer's.
        let ends = 1 + usize::from(tcp.state() != State::FinWait2);
        let left = tcp.send_queue() + in_ring + ends;
        match connection.give_up {
            Some((at, before)) if left >= before => at <= core.now,
            _ => {
                connection.give_up = Some((core.now + PATIENCE, left));
                false
            }
        }
    }
}
