//! Names, connections and their end.

use alloc::{boxed::Box, collections::VecDeque};

use strait_abi::{
    Address, Errno,
    address::AF_UNSPEC,
    session::status,
    socket::{self as c, SCM_CREDENTIALS, SOL_SOCKET},
};

use super::{
    Unix,
    control::{Control, Credentials},
    names::{Key, Name, address, unnamed},
};
use crate::{core::Core, socket::SocketId};

impl Unix {
    pub(super) fn name_of(&self, core: &Core, id: SocketId) -> Address {
        let address = self.endpoints[core.sockets[id].state].address;
        if address.as_bytes().is_empty() { unnamed() } else { address }
    }

    /// See [`Family::bind`](crate::family::Family::bind).
    pub(super) fn bind_to(&mut self, core: &mut Core, id: SocketId, to: &Address) -> Result<(), Errno> {
        let socket = &core.sockets[id];
        let (kind, session) = (socket.kind, socket.session);
        let (key, name) = match Name::parse(to.as_bytes())? {
            Name::Unnamed => return self.autobind(core, id),
            Name::Abstract(name) => (Key::Abstract(kind, name.into()), address(name, false)),
            Name::Path(path, token) => {
                let node = core.check_bind(session, token.ok_or(Errno::EACCES)?)?;
                (Key::Node(node), address(path, true))
            }
        };
        if self.endpoint(core, id).key.is_some() {
            return Err(Errno::EINVAL);
        }
        self.names.bind(&key, id)?;
        let endpoint = self.endpoint(core, id);
        (endpoint.key, endpoint.address) = (Some(key), name);
        Ok(())
    }

    /// Gives it an abstract name, if it has none.
    pub(super) fn autobind(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        if self.endpoint(core, id).key.is_some() {
            return Ok(());
        }
        let (random, kind) = (core.random(), core.sockets[id].kind);
        let name = self.names.automatic(kind, random)?;
        let name_address = address(&name, false);
        let key = Key::Abstract(kind, name);
        self.names.bind(&key, id)?;
        let endpoint = self.endpoint(core, id);
        (endpoint.key, endpoint.address) = (Some(key), name_address);
        Ok(())
    }

    /// The socket of type `kind` that is bound to a name. ECONNREFUSED if
    /// nobody is, EPROTOTYPE if it is of another type.
    pub(super) fn find(&self, core: &Core, id: SocketId, name: &[u8], kind: u16) -> Result<SocketId, Errno> {
        let key = match Name::parse(name)? {
            Name::Unnamed => return Err(Errno::EINVAL),
            Name::Abstract(name) => Key::Abstract(kind, name.into()),
            Name::Path(_, token) => {
                Key::Node(core.check_connect(core.sockets[id].session, token.ok_or(Errno::ECONNREFUSED)?)?)
            }
        };
        let found = self.names.find(&key).ok_or(Errno::ECONNREFUSED)?;
        if core.sockets[found].kind == kind { Ok(found) } else { Err(Errno::EPROTOTYPE) }
    }

    pub(super) fn start_listening(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        let (kind, session) = (core.sockets[id].kind, core.sockets[id].session);
        let endpoint = self.endpoint(core, id);
        if kind == c::SOCK_DGRAM {
            return Err(Errno::EOPNOTSUPP);
        }
        if endpoint.key.is_none() || endpoint.connected {
            return Err(Errno::EINVAL);
        }
        endpoint.listening = true;
        endpoint.peer_credentials = Some(Credentials::of(core, session));
        core.set_status(id, 0);
        Ok(())
    }

    pub(super) fn connect_stream(&mut self, core: &mut Core, id: SocketId, to: &Address) -> Result<(), Errno> {
        let kind = core.sockets[id].kind;
        if self.endpoint(core, id).pass_credentials {
            self.autobind(core, id)?;
        }
        let listener = self.find(core, id, to.as_bytes(), kind)?;
        let state = core.sockets[listener].state;
        if !self.endpoints[state].listening || self.endpoints[state].shut_read {
            return Err(Errno::ECONNREFUSED);
        }
        let full = core.queue(listener).is_none_or(|q| q.full());
        if full {
            return self.wait_at(core, id, listener);
        }
        let endpoint = self.endpoint(core, id);
        if endpoint.connected {
            return Err(Errno::EISCONN);
        }
        if endpoint.listening {
            return Err(Errno::EINVAL);
        }
        let (session, family, domain) = {
            let socket = &core.sockets[listener];
            (socket.session, socket.family, socket.domain)
        };
        let Ok(new) = core.add(session, family, domain, kind, 0, true) else {
            // Its owner has no place for more: as if the queue were full.
            return self.wait_at(core, id, listener);
        };
        self.equip(core, new);
        let (name, credentials) = (self.endpoints[state].address, self.endpoints[state].peer_credentials);
        let (passes, ends) =
            (self.endpoints[state].pass_credentials, [self.as_peer(core, id), self.as_peer(core, new)]);
        let own = Credentials::of(core, core.sockets[id].session);
        let endpoint = self.endpoint(core, new);
        endpoint.address = name;
        endpoint.connected = true;
        endpoint.peer = Some(ends[0]);
        endpoint.peer_credentials = Some(own);
        endpoint.pass_credentials = passes;
        endpoint.listener = Some(listener);
        let endpoint = self.endpoint(core, id);
        endpoint.connected = true;
        endpoint.peer = Some(ends[1]);
        endpoint.peer_credentials = credentials;
        if let Some(queue) = core.queue(listener) {
            queue.complete.push_back(new);
        }
        core.update_listener(listener);
        self.settle_one(core, id);
        Ok(())
    }

    /// The queue of connections is full: an event tells when to try again.
    fn wait_at(&mut self, core: &mut Core, id: SocketId, listener: SocketId) -> Result<(), Errno> {
        self.wait_for_room(core, id, listener);
        Err(Errno::EAGAIN)
    }

    /// An event tells the client of `id` when it is worth trying again to reach
    /// `target`.
    pub(super) fn wait_for_room(&mut self, core: &Core, id: SocketId, target: SocketId) {
        self.endpoint(core, target).waiters |= 1 << core.sockets[id].session;
        self.endpoint(core, id).waits = true;
    }

    /// Who waited for room at the socket tries again. So do others of their
    /// sessions that wait elsewhere: that is not kept apart, so that it needs no
    /// memory.
    pub(super) fn wake_waiters(&mut self, core: &mut Core, id: SocketId) {
        let mut left = core::mem::take(&mut self.endpoint(core, id).waiters);
        while left != 0 {
            let session = left.trailing_zeros() as usize;
            left &= left - 1;
            for slot in 0..core.sessions[session].slots.len() {
                let Some(waiter) = core.sessions[session].slots[slot].filter(|w| self.owns(core, *w)) else { continue };
                if !core::mem::take(&mut self.endpoint(core, waiter).waits) {
                    continue;
                }
                if core.sockets[waiter].kind == c::SOCK_DGRAM && self.peer(core, waiter) == Some(id) {
                    self.endpoint(core, waiter).blocked = false;
                    self.update_datagram(core, waiter);
                }
                core.event(waiter);
            }
        }
    }

    /// Who found no room in a session, rather than at a listener of it, tries
    /// again.
    #[cold]
    pub(super) fn wake_turned_away(&mut self, core: &mut Core) {
        let mut left = core::mem::take(&mut core.has_room);
        while left != 0 {
            let session = left.trailing_zeros() as usize;
            left &= left - 1;
            for slot in 0..core.sessions[session].slots.len() {
                if let Some(id) = core.sessions[session].slots[slot].filter(|id| self.owns(core, *id)) {
                    self.wake_waiters(core, id);
                }
            }
        }
    }

    pub(super) fn connect_datagram(&mut self, core: &mut Core, id: SocketId, to: &Address) -> Result<(), Errno> {
        let old = self.peer(core, id);
        let new = match to.family() {
            Some(AF_UNSPEC) => None,
            _ => {
                if self.endpoint(core, id).pass_credentials {
                    self.autobind(core, id)?;
                }
                let target = self.find(core, id, to.as_bytes(), c::SOCK_DGRAM)?;
                if self.endpoint(core, target).peer.is_some() && self.peer(core, target) != Some(id) {
                    return Err(Errno::EPERM);
                }
                Some(self.as_peer(core, target))
            }
        };
        let endpoint = self.endpoint(core, id);
        endpoint.peer = new;
        endpoint.blocked = false;
        if let Some(old) = old.filter(|old| Some(*old) != new.map(|n| n.id)) {
            // What the old peer sent is lost: the client throws it away.
            self.reclaim(core, id);
            let lost = !self.endpoint(core, id).queue.is_empty();
            if lost && self.peer(core, old) == Some(id) {
                core.set_error(old, Errno::ECONNRESET);
            }
        }
        self.update_datagram(core, id);
        Ok(())
    }

    /// See [`Family::broken`](crate::family::Family::broken).
    pub(super) fn lose(&mut self, core: &mut Core, id: SocketId) {
        let endpoint = self.endpoint(core, id);
        endpoint.urgent_pending.clear();
        endpoint.urgent = None;
        let connected = endpoint.connected;
        let mut lost = [core::mem::take(&mut endpoint.queue), core::mem::take(&mut endpoint.pending), VecDeque::new()];
        if connected {
            // Nothing may come behind the gap.
            if let Some(peer) = self.peer(core, id) {
                let endpoint = self.endpoint(core, peer);
                endpoint.urgent_pending.clear();
                lost[2] = core::mem::take(&mut endpoint.pending);
                if let Some((rings, arena, _)) = core.rings(peer) {
                    rings.tx.consume(u32::MAX, arena);
                }
            }
            core.set_error(id, Errno::ECONNRESET);
            self.sever(core, id, Errno::ECONNRESET);
        }
        for control in lost.into_iter().flatten().filter_map(|mark| mark.control) {
            (*control).drop(core);
        }
        self.wake_waiters(core, id);
        self.touch(core, id);
    }

    /// The last reference is gone.
    pub(super) fn close_socket(&mut self, core: &mut Core, id: SocketId) {
        if let Some(key) = self.endpoint(core, id).key.take() {
            self.names.unbind(&key);
        }
        self.wake_waiters(core, id);
        let peer = self.peer(core, id).filter(|_| self.endpoints[core.sockets[id].state].connected);
        let Some(peer) = peer else {
            return self.remove(core, id);
        };
        // What it wrote goes first, as far as there is room.
        if !core.sockets[id].abandoned {
            self.exchange(core, id);
        }
        self.reclaim(core, id);
        let unread = core.rings(id).is_some_and(|(rings, ..)| rings.rx.used() != 0)
            || self.unsent(core, peer) != 0
            || self.endpoint(core, id).listener.is_some();
        let name = self.name_of(core, id);
        let endpoint = self.endpoint(core, id);
        (endpoint.shut_read, endpoint.shut_write) = (true, true);
        self.purge(core, id);
        self.endpoint(core, id).queue.clear();
        let endpoint = self.endpoint(core, peer);
        (endpoint.shut_read, endpoint.shut_write) = (true, true);
        endpoint.peer_address = name;
        endpoint.pending.clear();
        endpoint.urgent_pending.clear();
        if let Some((rings, arena, _)) = core.rings(peer) {
            rings.tx.consume(u32::MAX, arena);
        }
        if let Some((rings, arena, _)) = core.rings(id) {
            rings.rx.close(arena);
        }
        if unread && core.sockets[peer].open {
            core.set_error(peer, Errno::ECONNRESET);
        }
        if core.sockets[peer].open && !core.sockets[id].abandoned && self.unsent(core, id) != 0 {
            self.touch(core, id);
        } else {
            self.remove(core, id);
        }
        self.update_end(core, peer);
        self.close_if_done(core, peer);
    }

    /// Ends a closed socket whose data is out, or is not waited for.
    pub(super) fn close_if_done(&mut self, core: &mut Core, id: SocketId) {
        let Some(socket) = core.sockets.get(id) else { return };
        if socket.open || !self.owns(core, id) {
            return;
        }
        let (abandoned, peer) = (socket.abandoned, self.peer(core, id));
        if abandoned || peer.is_none() || self.unsent(core, id) == 0 {
            self.remove(core, id);
            if let Some(peer) = peer {
                self.update_end(core, peer);
            }
        }
    }

    /// Ends a socket.
    fn remove(&mut self, core: &mut Core, id: SocketId) {
        let name = self.name_of(core, id);
        let peer = self.peer(core, id);
        let state = core.sockets[id].state;
        let endpoint = self.endpoints.remove(state);
        for mark in endpoint.queue.into_iter().chain(endpoint.pending) {
            if let Some(control) = mark.control {
                (*control).drop(core);
            }
        }
        if let Some(peer) = peer
            && endpoint.connected
        {
            let other = self.endpoint(core, peer);
            (other.peer, other.peer_address) = (None, name);
        }
        core.remove(id);
    }

    /// See [`Family::receive_control`](crate::family::Family::receive_control).
    pub(super) fn hand_over(&mut self, core: &mut Core, id: SocketId, peek: bool, into: &mut [u8]) -> (usize, u32) {
        let (session, stream) = (core.sockets[id].session, core.sockets[id].kind == c::SOCK_STREAM);
        let credentials = stream && self.endpoint(core, id).pass_credentials;
        let from = match self.peer(core, id) {
            Some(peer) => Some(Credentials::of(core, core.sockets[peer].session)),
            None => self.endpoint(core, id).peer_credentials,
        };
        let taken = self
            .next_mark(core, id)
            .map(|(mark, head)| (mark.control.take(), mark.start.wrapping_add(mark.bytes).wrapping_sub(head)));
        let Some((control, bytes)) = taken else {
            // Nothing but who sent it.
            let mut used = 0;
            if let Some(from) = from.filter(|_| credentials) {
                let item =
                    strait_abi::control::Item { level: SOL_SOCKET, kind: SCM_CREDENTIALS, value: &from.to_bytes() };
                strait_abi::control::put(into, &mut used, item);
            }
            self.refresh(core, id);
            return (used, 0);
        };
        let mut control = control.map_or_else(|| Control::plain(core, session), |control| *control);
        let used = control.give(core, session, peek, credentials, into);
        if peek {
            if let Some((mark, _)) = self.next_mark(core, id) {
                mark.control = Some(Box::new(control));
            }
        } else if stream {
            self.endpoint(core, id).queue.pop_front();
        }
        self.refresh(core, id);
        (used, if stream { bytes } else { 0 })
    }

    /// Publishes the status again, and moves what has room now.
    fn refresh(&mut self, core: &mut Core, id: SocketId) {
        self.settle_one(core, id);
        debug_assert!(core.sockets[id].status & status::AWAY == 0);
    }
}
