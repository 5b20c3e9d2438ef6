//! Names, connections and their end.

use strait_abi::{Address, Errno, address::AF_UNSPEC, socket as c};

use super::{
    Unix,
    control::Credentials,
    names::{Key, Name, address, unnamed},
};
use crate::{core::Core, socket::SocketId};

impl Unix {
    pub(super) fn name_of(&self, core: &Core, id: SocketId) -> Address {
        let address = self.endpoints[core.sockets[id].state].address;
        if address.as_bytes().is_empty() { unnamed() } else { address }
    }

    /// Its own, or that of the listener which it was accepted by.
    fn has_name(&self, core: &Core, id: SocketId) -> bool {
        !self.endpoints[core.sockets[id].state].address.as_bytes().is_empty()
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
        if self.has_name(core, id) {
            return Err(Errno::EINVAL);
        }
        self.take_name(core, id, key, name)
    }

    fn take_name(&mut self, core: &mut Core, id: SocketId, key: Key, name: Address) -> Result<(), Errno> {
        self.names.bind(&key, id)?;
        let endpoint = self.endpoint(core, id);
        (endpoint.key, endpoint.address) = (Some(key), name);
        // A connection tells its name with the data.
        let connected = endpoint.connected;
        if let Some(peer) = self.peer(core, id)
            && self.peer(core, peer) == Some(id)
        {
            self.endpoint(core, peer).peer_named |= connected;
            self.endpoint(core, peer).peer_address = name;
            self.settle_one(core, peer);
        }
        Ok(())
    }

    /// Gives it an abstract name, if it has none.
    pub(super) fn autobind(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        if self.has_name(core, id) {
            return Ok(());
        }
        let (random, kind) = (core.random(), core.sockets[id].kind);
        let name = self.names.automatic(kind, random)?;
        let name_address = address(&name, false);
        self.take_name(core, id, Key::Abstract(kind, name), name_address)
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
        self.update_listener(core, id);
        Ok(())
    }

    pub(super) fn connect_stream(&mut self, core: &mut Core, id: SocketId, to: &Address) -> Result<(), Errno> {
        let kind = core.sockets[id].kind;
        Name::parse(to.as_bytes())?.known()?;
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
        let (passes, rights) = (self.endpoints[state].pass_credentials, self.endpoints[state].pass_rights);
        let ends = [self.as_peer(core, id), self.as_peer(core, new)];
        let own = Credentials::of(core, core.sockets[id].session);
        let named = self.endpoint(core, id).key.is_some();
        let endpoint = self.endpoint(core, new);
        endpoint.address = name;
        endpoint.connected = true;
        endpoint.peer = Some(ends[0]);
        endpoint.peer_named = named;
        endpoint.peer_credentials = Some(own);
        (endpoint.pass_credentials, endpoint.pass_rights) = (passes, rights);
        endpoint.listener = Some(listener);
        let endpoint = self.endpoint(core, id);
        endpoint.connected = true;
        endpoint.peer = Some(ends[1]);
        // A listener has a name.
        endpoint.peer_named = true;
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
                if core::mem::take(&mut self.endpoint(core, waiter).waits) {
                    core.event(waiter);
                }
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
        let (old, had) = (self.peer(core, id), self.endpoint(core, id).peer);
        let new = match to.family() {
            Some(AF_UNSPEC) => None,
            _ => {
                Name::parse(to.as_bytes())?.known()?;
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
        self.endpoint(core, id).peer = new;
        if let Some(new) = new {
            let name = self.name_of(core, new.id);
            self.endpoint(core, id).peer_address = name;
            self.follow(core, id, new.id);
        }
        if had.is_some() && had != new {
            self.forget_peer(core, id, old);
        }
        // Between two that are connected to each other no queue is full.
        for other in [Some(id), old, new.map(|n| n.id)].into_iter().flatten() {
            self.update_datagram(core, other);
        }
        Ok(())
    }

    /// A datagram socket has another peer than `old`, or none: what waits is
    /// gone, and the old peer is told.
    pub(super) fn forget_peer(&mut self, core: &mut Core, id: SocketId, old: Option<SocketId>) {
        if self.purge_received(core, id)
            && let Some(old) = old
            && self.peer(core, old) == Some(id)
        {
            core.set_error(old, Errno::ECONNRESET);
        }
    }

    /// See [`Family::broken`](crate::family::Family::broken).
    pub(super) fn lose(&mut self, core: &mut Core, id: SocketId) {
        self.drop_received(core, id);
        self.drop_written(core, id);
        if self.endpoint(core, id).connected {
            // Nothing may come behind the gap.
            if let Some(peer) = self.peer(core, id) {
                self.drop_written(core, peer);
            }
            core.set_error(id, Errno::ECONNRESET);
            self.sever(core, id, Errno::ECONNRESET);
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
        let unread = self.has_unread(core, id, peer) || self.endpoint(core, id).listener.is_some();
        // What nobody could receive was not left unread.
        let unread = unread && !self.endpoint(core, id).collected;
        let name = self.name_of(core, id);
        let endpoint = self.endpoint(core, id);
        (endpoint.shut_read, endpoint.shut_write) = (true, true);
        self.drop_received(core, id);
        self.drop_written(core, peer);
        let endpoint = self.endpoint(core, peer);
        (endpoint.shut_read, endpoint.shut_write) = (true, true);
        endpoint.peer_address = name;
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
        self.touch(core, peer);
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
        self.drop_received(core, id);
        self.drop_written(core, id);
        let endpoint = self.endpoints.remove(core.sockets[id].state);
        if let Some(peer) = peer
            && endpoint.connected
        {
            let other = self.endpoint(core, peer);
            (other.peer, other.peer_address) = (None, name);
        }
        core.remove(id);
        for follower in endpoint.followers {
            if self.owns(core, follower) && core.sockets[follower].kind == c::SOCK_DGRAM {
                self.update_datagram(core, follower);
            }
        }
    }
}
