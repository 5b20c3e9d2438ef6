//! The local family, AF_UNIX: streams, datagrams and sequenced packets between
//! the clients of this server, and descriptors handed from one to another.
//!
//! ```text
//!   names.rs     abstract names, names in the file system, autobind
//!   connect.rs   listen, connect, accept, close
//!   stream.rs    bytes from ring to ring
//!   marks.rs     what lies between them: MSG_OOB, control data, who writes
//!   record.rs    datagrams and packets from ring to ring
//!   queue.rs     what waits: accounts, readiness
//!   receive.rs   what one receive may take
//!   control.rs   SCM_RIGHTS, SCM_CREDENTIALS
//!   cycles.rs    sockets that only messages hold which nobody can receive
//! ```
//!
//! Data is copied once, from the pages of the session that sends straight to
//! those of the session that receives; what the receiver has no room for stays
//! with the sender. The rules are Linux's (af_unix.c).

mod connect;
mod control;
mod cycles;
mod endpoint;
mod marks;
mod names;
mod queue;
mod receive;
mod record;
mod stream;

use alloc::vec::Vec;

use slab::Slab;
use strait_abi::{Address, Errno, address::AF_UNIX, session::status, socket as c};

use self::{
    control::Credentials,
    endpoint::{Endpoint, Peer},
    names::Names,
};
use crate::{
    core::Core,
    family::{Family, Receive},
    socket::{SocketId, int, put_int},
};

/// SO_SNDBUF and SO_RCVBUF at first: what Linux has (net.core.wmem_default).
/// What nobody has read is bounded by SO_SNDBUF of who sent it, wherever it
/// lies; SO_RCVBUF has no effect there either.
const BUFFER: u32 = 212_992;

/// See the module.
pub struct Unix {
    endpoints: Slab<Endpoint>,
    names: Names,
    /// Sockets to look after at the end of the turn.
    dirty: Vec<SocketId>,
    /// Those of this turn; kept for its memory.
    turn: Vec<SocketId>,
    /// Endpoints ever made.
    serial: u64,
    /// Searches for cycles ever made.
    searches: u64,
    /// The earliest time of the next one.
    search_at: u64,
    search_due: bool,
}

impl Unix {
    pub fn new(core: &Core) -> Self {
        Self {
            endpoints: Slab::with_capacity(core.most_sockets()),
            names: Names::default(),
            dirty: Vec::new(),
            turn: Vec::new(),
            serial: 0,
            searches: 0,
            search_at: 0,
            search_due: false,
        }
    }

    /// Whether the socket is one of this family.
    fn owns(&self, core: &Core, id: SocketId) -> bool {
        core.sockets.get(id).is_some_and(|s| s.domain == AF_UNIX && self.endpoints.contains(s.state))
    }

    fn endpoint(&mut self, core: &Core, id: SocketId) -> &mut Endpoint {
        &mut self.endpoints[core.sockets[id].state]
    }

    /// The socket that `id` is connected to, or sends to, if it is still there.
    fn peer(&self, core: &Core, id: SocketId) -> Option<SocketId> {
        let socket = core.sockets.get(id)?;
        let peer = self.endpoints.get(socket.state)?.peer?;
        let there = self.owns(core, peer.id) && self.endpoints[core.sockets[peer.id].state].serial == peer.serial;
        there.then_some(peer.id)
    }

    fn as_peer(&self, core: &Core, id: SocketId) -> Peer {
        Peer { id, serial: self.endpoints[core.sockets[id].state].serial }
    }

    /// The socket is looked after at the end of the turn.
    fn touch(&mut self, core: &Core, id: SocketId) {
        if !self.owns(core, id) {
            return;
        }
        if !core::mem::replace(&mut self.endpoint(core, id).dirty, true) {
            self.dirty.push(id);
        }
    }

    fn settle_one(&mut self, core: &mut Core, id: SocketId) -> bool {
        if !self.owns(core, id) {
            return false;
        }
        let endpoint = self.endpoint(core, id);
        endpoint.dirty = false;
        if core.sockets[id].kind == c::SOCK_DGRAM {
            self.settle_datagram(core, id);
            false
        } else {
            endpoint.connected && self.settle_stream(core, id)
        }
    }

    /// Drops all messages that wait at the socket, also those that its peer has
    /// not handed over yet.
    fn purge(&mut self, core: &mut Core, id: SocketId) {
        let waiting: Vec<SocketId> = core.queue(id).map(|q| q.complete.iter().copied().collect()).unwrap_or_default();
        for id in [id].into_iter().chain(waiting) {
            self.drop_received(core, id);
            if let Some(peer) = self.peer(core, id)
                && core.sockets[peer].kind != c::SOCK_DGRAM
            {
                self.drop_written(core, peer);
            }
        }
    }

    fn set_status_of_new(core: &mut Core, id: SocketId) {
        let stream = core.sockets[id].kind != c::SOCK_DGRAM;
        core.set_status(id, if stream { status::OUT | status::HUP } else { status::OUT });
    }

    /// Publishes the status of a listener.
    fn update_listener(&mut self, core: &mut Core, id: SocketId) {
        let Endpoint { shut_read, shut_write, .. } = *self.endpoint(core, id);
        let word = if shut_read { status::RDHUP } else { 0 };
        core.set_status(id, word | if shut_read && shut_write { status::HUP } else { 0 });
        core.update_listener(id);
    }

    /// Makes the family's part of a socket.
    fn equip(&mut self, core: &mut Core, id: SocketId) {
        self.serial += 1;
        let socket = &mut core.sockets[id];
        socket.protocol = 0;
        (socket.options.send_buffer, socket.options.receive_buffer) = (BUFFER, BUFFER);
        socket.state = self.endpoints.insert(Endpoint::new(self.serial, socket.session));
        Self::set_status_of_new(core, id);
    }
}

impl Family for Unix {
    fn create(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        let socket = &mut core.sockets[id];
        if socket.protocol != 0 && socket.protocol != AF_UNIX {
            return Err(Errno::EPROTONOSUPPORT);
        }
        match socket.kind {
            c::SOCK_STREAM | c::SOCK_DGRAM | c::SOCK_SEQPACKET => {}
            // Linux.
            c::SOCK_RAW => socket.kind = c::SOCK_DGRAM,
            _ => return Err(Errno::ESOCKTNOSUPPORT),
        }
        self.equip(core, id);
        Ok(())
    }

    fn pair(&mut self, core: &mut Core, first: SocketId, second: SocketId) -> Result<(), Errno> {
        for (id, other) in [(first, second), (second, first)] {
            let (stream, session) = (core.sockets[id].kind != c::SOCK_DGRAM, core.sockets[other].session);
            let peer = self.as_peer(core, other);
            let endpoint = self.endpoint(core, id);
            endpoint.connected = stream;
            endpoint.peer = Some(peer);
            endpoint.peer_address = names::unnamed();
            endpoint.peer_credentials = Some(Credentials::of(core, session));
        }
        for (id, other) in [(first, second), (second, first)] {
            self.follow(core, id, other);
            self.settle_one(core, id);
        }
        Ok(())
    }

    fn bind(&mut self, core: &mut Core, id: SocketId, address: &Address) -> Result<(), Errno> {
        self.bind_to(core, id, address)
    }

    fn listen(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        self.start_listening(core, id)
    }

    fn relisten(&mut self, core: &mut Core, id: SocketId) {
        self.wake_waiters(core, id);
    }

    fn connect(&mut self, core: &mut Core, id: SocketId, address: &Address) -> Result<(), Errno> {
        if core.sockets[id].kind == c::SOCK_DGRAM {
            self.connect_datagram(core, id, address)
        } else {
            self.connect_stream(core, id, address)
        }
    }

    fn accepted(&mut self, core: &mut Core, id: SocketId) -> Address {
        if let Some(listener) = self.endpoint(core, id).listener.take()
            && self.owns(core, listener)
        {
            self.wake_waiters(core, listener);
        }
        self.settle_one(core, id);
        self.peer_address(core, id).unwrap_or(Address::EMPTY)
    }

    fn shutdown(&mut self, core: &mut Core, id: SocketId, read: bool, write: bool) -> Result<(), Errno> {
        let datagram = core.sockets[id].kind == c::SOCK_DGRAM;
        // What was written before goes first.
        self.settle_one(core, id);
        let peer = self.peer(core, id).filter(|_| !datagram);
        for (id, read, write) in [(Some(id), read, write), (peer, write, read)] {
            let Some(id) = id else { continue };
            let endpoint = self.endpoint(core, id);
            endpoint.shut_read |= read;
            endpoint.shut_write |= write;
        }
        self.wake_waiters(core, id);
        if datagram {
            self.update_datagram(core, id);
        } else if self.endpoint(core, id).listening {
            self.update_listener(core, id);
        } else {
            self.update_end(core, id);
            if let Some(peer) = peer {
                self.update_end(core, peer);
                self.touch(core, peer);
            }
        }
        Ok(())
    }

    fn close(&mut self, core: &mut Core, id: SocketId) {
        self.close_socket(core, id);
    }

    fn broken(&mut self, core: &mut Core, id: SocketId) {
        self.lose(core, id);
    }

    fn local_address(&self, core: &Core, id: SocketId) -> Result<Address, Errno> {
        Ok(self.name_of(core, id))
    }

    fn peer_address(&self, core: &Core, id: SocketId) -> Result<Address, Errno> {
        let endpoint = &self.endpoints[core.sockets[id].state];
        match self.peer(core, id) {
            Some(peer) => Ok(self.name_of(core, peer)),
            None if endpoint.connected || endpoint.peer.is_some() => Ok(endpoint.peer_address),
            None => Err(Errno::ENOTCONN),
        }
    }

    fn set_option(&mut self, core: &mut Core, id: SocketId, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        if level != c::SOL_SOCKET {
            // Linux: sock_no_setsockopt.
            return Err(Errno::EOPNOTSUPP);
        }
        let (value, endpoint) = (int(value), self.endpoint(core, id));
        match name {
            c::SO_PASSCRED => endpoint.pass_credentials = value? != 0,
            c::SO_PASSRIGHTS => endpoint.pass_rights = value? != 0,
            c::SO_PEEK_OFF => endpoint.peek_offset = value?,
            _ => {
                // SO_SNDBUF decides what is writable.
                self.settle_one(core, id);
                return Err(Errno::ENOPROTOOPT);
            }
        }
        self.settle_one(core, id);
        Ok(())
    }

    fn get_option(
        &mut self,
        core: &mut Core,
        id: SocketId,
        level: i32,
        name: i32,
        value: &mut [u8],
    ) -> Result<usize, Errno> {
        if level != c::SOL_SOCKET {
            // Linux: sock_no_getsockopt.
            return Err(Errno::EOPNOTSUPP);
        }
        let endpoint = self.endpoint(core, id);
        match name {
            c::SO_PASSCRED => Ok(put_int(value, endpoint.pass_credentials.into())),
            c::SO_PASSRIGHTS => Ok(put_int(value, endpoint.pass_rights.into())),
            c::SO_PEEK_OFF => Ok(put_int(value, endpoint.peek_offset)),
            c::SO_PEERCRED => {
                let nobody = Credentials { process: 0, user: u32::MAX, group: u32::MAX };
                let bytes = endpoint.peer_credentials.unwrap_or(nobody).to_bytes();
                let n = value.len().min(bytes.len());
                value[..n].copy_from_slice(&bytes[..n]);
                Ok(n)
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn ioctl(
        &mut self,
        core: &mut Core,
        id: SocketId,
        request: u32,
        _argument: &[u8],
        answer: &mut [u8],
    ) -> Result<usize, Errno> {
        let stream = core.sockets[id].kind == c::SOCK_STREAM;
        let number = match request {
            c::SIOCINQ if self.endpoint(core, id).listening => return Err(Errno::EINVAL),
            c::SIOCINQ if stream => self.unread_bytes(core, id),
            c::SIOCINQ => self.unread_records(core, id),
            c::SIOCOUTQ => {
                for to in self.holders(core, id) {
                    self.reclaim(core, to);
                }
                self.outgoing(core, id)
            }
            c::SIOCATMARK if stream => self.at_mark(core, id).into(),
            c::SIOCATMARK => return Err(Errno::EOPNOTSUPP),
            _ => return Err(Errno::ENOTTY),
        };
        Ok(put_int(answer, number as i32))
    }

    fn send_urgent(&mut self, core: &mut Core, id: SocketId, bytes: u32) -> Result<(), Errno> {
        self.announce_urgent(core, id, bytes)
    }

    fn receive_urgent(&mut self, core: &mut Core, id: SocketId, peek: bool) -> Result<Option<u8>, Errno> {
        self.take_urgent(core, id, peek).map(Some)
    }

    fn send_control(&mut self, core: &mut Core, id: SocketId, bytes: u32, control: &[u8]) -> Result<(), Errno> {
        self.announce(core, id, bytes, control)
    }

    fn receive(&mut self, core: &mut Core, id: SocketId, ask: Receive, answer: &mut [u8]) -> Result<usize, Errno> {
        self.receive_portion(core, id, ask, answer)
    }

    fn send(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        self.send_record(core, id)
    }

    fn doorbell(&mut self, core: &mut Core, id: SocketId) {
        self.touch(core, id);
    }

    fn input(&mut self, _: &mut Core, _: &mut [u8]) -> bool {
        false
    }

    fn settle(&mut self, core: &mut Core) -> bool {
        if core.has_room != 0 {
            self.wake_turned_away(core);
        }
        if !self.dirty.is_empty() {
            core::mem::swap(&mut self.dirty, &mut self.turn);
            for i in 0..self.turn.len() {
                let id = self.turn[i];
                if self.settle_one(core, id) {
                    self.touch(core, id);
                }
            }
            self.turn.clear();
        }
        if core.cycles {
            self.search_due = core.now < self.search_at;
            if !self.search_due {
                self.search_at = core.now + cycles::INTERVAL;
                self.collect(core);
            }
        }
        // Some are not done, others follow from it.
        !self.dirty.is_empty()
    }

    fn deadline(&self) -> Option<u64> {
        self.search_due.then_some(self.search_at)
    }

    fn tick(&mut self, core: &mut Core) {
        // The search is made by `settle`.
        self.search_due &= core.now < self.search_at;
    }

    fn addresses_changed(&mut self, _: &mut Core) {}
}
