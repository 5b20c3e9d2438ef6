//! TCP: smoltcp's state machine, a socket set for each connection.
//!
//! Read RFC 9293 for the protocol, RFC 6528 for sequence numbers.
//!
//! What smoltcp leaves out is done here: demultiplexing, backlog, the
//! unpredictable initial sequence number (an offset for each connection, added
//! to what leaves and taken from what comes back), timeouts of half-closed
//! connections, and telling why a connection ended.

mod device;
mod handshake;
mod held;
mod input;
mod options;
mod settle;
mod state;
mod time_wait;
mod urgent;

use alloc::{collections::BTreeSet, vec, vec::Vec};
use core::{
    hash::{Hash, Hasher},
    net::{IpAddr, SocketAddr},
};

use hashbrown::HashMap;
use slab::Slab;
use smoltcp::{
    iface::{SocketHandle, SocketSet, SocketStorage},
    socket::tcp::{Socket, SocketBuffer},
};
use strait_abi::{Errno, heap, socket as c};

use self::{device::Wire, handshake::Handshakes, held::Held, options::Watch, time_wait::TimeWait, urgent::Urgent};
pub use self::{
    device::{LOCAL_MTU, LastSent, Marks, Probe},
    options::INFO_BYTES,
    state::Phase,
};
use super::{
    Endpoint, Port, Shared, checksum, ip,
    ip::words,
    ports::{Hold, Sharing},
};
use crate::{core::Core, hash::Keyed, socket::SocketId};

/// Private buffers of a connection, in bytes, for each direction: the receive
/// window, and what may be sent but not acknowledged. Beyond them data waits in
/// the pages of the client's session.
const BUFFER: usize = 32 * 1024;
const _: () = assert!(2 * BUFFER + size_of::<SocketStorage<'_>>() < heap::CONNECTION as usize - 1024);
/// Packets that one connection may send in one turn.
const BURST: usize = 64;
/// How long a peer may take to answer a SYN (Linux: 6 retries), data (15
/// retries), data of a closed socket (8 retries). In milliseconds.
const CONNECT_TIMEOUT: u64 = 127_000;
const DATA_TIMEOUT: u64 = 924_600;
const ORPHAN_TIMEOUT: u64 = 100_000;
/// How long a closed socket waits for its peer to take data or to send its FIN
/// (Linux: tcp_fin_timeout), in nanoseconds.
const PATIENCE: u64 = 60_000_000_000;
/// Pages of a drained ring that are left to the client without asking it to
/// tell when it has read them.
const LAZY_PAGES: u32 = 2;
/// How long a closed socket may make no headway when its session has no
/// connection left for a new one, in nanoseconds.
const STALLED: u64 = 5_000_000_000;
/// How long nobody looks for such again when there was none, in nanoseconds.
const SEARCH: u64 = 10_000_000;
const TCP: u16 = c::IPPROTO_TCP as u16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tuple {
    local: SocketAddr,
    remote: SocketAddr,
}

impl Hash for Tuple {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ((a, p), (b, q)) = (words(self.local), words(self.remote));
        if self.remote.is_ipv4() {
            state.write_u64(a as u64 | (b as u64) << 32);
        } else {
            state.write_u128(a);
            state.write_u128(b);
        }
        state.write_u64(u64::from(p) | u64::from(q) << 16);
    }
}

struct Connection {
    socket: SocketId,
    /// The session whose connections count it.
    session: usize,
    set: SocketSet<'static>,
    handle: SocketHandle,
    tuple: Tuple,
    /// Whose queue it comes to, as soon as it stands.
    listener: Option<SocketId>,
    connected: bool,
    /// The peer opened it, or both sides did.
    asked: bool,
    /// It has come to its end; what is unread may still be there.
    over: bool,
    /// The stream to the peer ends after what is in the tx ring.
    fin_wanted: bool,
    fin_sent: bool,
    /// A RST ended it.
    reset: bool,
    /// That was after the peer's end.
    late: bool,
    /// Of the last segment sent, as on the wire.
    last: LastSent,
    /// What is put into what it sends.
    marks: Marks,
    watch: Watch,
    urgent: Urgent,
    /// The deadline that `timers` has for it; never later than what is due.
    queued: u64,
    /// When a closed socket gives up, and what it had left to do when that was
    /// set.
    give_up: Option<(u64, usize)>,
    dirty: bool,
}

impl Connection {
    fn tcp(&mut self) -> &mut Socket<'static> {
        self.set.get_mut(self.handle)
    }
}

/// All connections.
pub struct Tcp {
    key: [u64; 2],
    connections: Slab<Connection>,
    by_tuple: HashMap<Tuple, usize, Keyed>,
    held: Held,
    handshakes: Handshakes,
    /// When closed connections that make no headway are looked for again.
    search_at: u64,
    /// The connection found last: most segments follow one of theirs.
    last: usize,
    nobody: SocketSet<'static>,
    time_wait: TimeWait,
    dirty: Vec<usize>,
    /// The dirty ones of this turn; kept for its memory.
    turn: Vec<usize>,
    starved: Vec<usize>,
    /// One deadline at most for each connection.
    timers: BTreeSet<(u64, usize)>,
}

fn buffer() -> Result<SocketBuffer<'static>, Errno> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(BUFFER).map_err(|_| Errno::ENOBUFS)?;
    bytes.resize(BUFFER, 0);
    Ok(SocketBuffer::new(bytes))
}

impl Tcp {
    /// For at most `most` connections. All that they need but their buffers is
    /// there from the beginning.
    pub fn new(key: [u64; 2], most: usize) -> Self {
        Self {
            key,
            connections: Slab::with_capacity(most),
            // While it is half empty it is tidied up in place, and never grows.
            by_tuple: HashMap::with_capacity_and_hasher(2 * most, Keyed::default()),
            held: Held::new(),
            handshakes: Handshakes::new(),
            search_at: 0,
            last: 0,
            nobody: SocketSet::new(vec![]),
            time_wait: TimeWait::new(),
            dirty: Vec::new(),
            turn: Vec::new(),
            starved: Vec::new(),
            timers: BTreeSet::new(),
        }
    }

    /// A connection for `socket`, closed as yet, that will begin with the sequence
    /// number `first`. ENOBUFS if its session has too
    /// many.
    fn add(
        &mut self,
        shared: &mut Shared,
        core: &mut Core,
        socket: SocketId,
        tuple: Tuple,
        first: u32,
    ) -> Result<usize, Errno> {
        if self.by_tuple.contains_key(&tuple) || self.time_wait.get(&tuple, core.now).is_some() {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let session = core.sockets[socket].session;
        self.make_room(shared, core, session)?;
        let tcp = Socket::new(buffer()?, buffer()?);
        let mut set = SocketSet::new(vec![SocketStorage::EMPTY]);
        let handle = set.add(tcp);
        core.counters.buffer_bytes += 2 * BUFFER as u64;
        core.sessions[session].connections += 1;
        let index = self.connections.insert(Connection {
            socket,
            session,
            set,
            handle,
            tuple,
            listener: None,
            connected: false,
            asked: false,
            over: false,
            fin_wanted: false,
            fin_sent: false,
            reset: false,
            late: false,
            last: LastSent::default(),
            marks: Marks { first, local: core.links.is_local(tuple.remote.ip()), ..Marks::default() },
            watch: Watch::new(core.now),
            urgent: Urgent::default(),
            queued: u64::MAX,
            give_up: None,
            dirty: false,
        });
        self.by_tuple.insert(tuple, index);
        Ok(index)
    }

    /// Makes sure that the session may have one more connection. If it may not,
    /// a closed one ends that its peer holds up (Linux: tcp_max_orphans).
    fn make_room(&mut self, shared: &mut Shared, core: &mut Core, session: usize) -> Result<(), Errno> {
        let owner = &core.sessions[session];
        if owner.connections >= owner.most_connections {
            let index = self.stalled(core, session).ok_or(Errno::ENOBUFS)?;
            self.abort(shared, core, index);
        }
        Ok(())
    }

    /// Whether [`make_room`](Self::make_room) can.
    fn may_add(&mut self, core: &Core, session: usize) -> bool {
        let owner = &core.sessions[session];
        owner.connections < owner.most_connections || self.stalled(core, session).is_some()
    }

    /// The closed connection of a session that has made no headway for the
    /// longest time.
    fn stalled(&mut self, core: &Core, session: usize) -> Option<usize> {
        if core.now < self.search_at {
            return None;
        }
        let stalled = |c: &Connection| {
            let since = c.give_up.filter(|_| c.session == session)?.0 - PATIENCE;
            (core.now - since >= STALLED).then_some(since)
        };
        let oldest = self.connections.iter().filter_map(|(index, c)| Some((stalled(c)?, index))).min();
        if oldest.is_none() {
            self.search_at = core.now + SEARCH;
        }
        oldest.map(|(_, index)| index)
    }

    /// Nothing of the connection is needed any more. What is left of the socket
    /// stays until its client closes it.
    fn end(&mut self, shared: &mut Shared, core: &mut Core, index: usize) {
        self.finish(shared, core, index);
        let connection = self.connections.remove(index);
        self.timers.remove(&(connection.queued, index));
        core.counters.buffer_bytes -= 2 * BUFFER as u64;
        core.sessions[connection.session].connections -= 1;
        let Some(socket) = core.sockets.get(connection.socket) else { return };
        let (open, state) = (socket.open && connection.listener.is_none(), socket.state);
        if open {
            shared.endpoints[state].connection = None;
        } else {
            shared.unbind(core, connection.socket);
            shared.endpoints.remove(state);
            core.remove(connection.socket);
        }
    }

    /// Forgets connections whose TIME-WAIT is over: they keep their port no
    /// longer.
    pub fn forget(&mut self, shared: &mut Shared, core: &Core) {
        self.time_wait.expire(core.now, |port, hold| shared.ports.release(TCP, port, hold));
    }

    /// What a connection keeps of its port when its socket is gone.
    fn hold(shared: &Shared, core: &Core, id: SocketId, tuple: &Tuple) -> Option<Hold> {
        let socket = core.sockets.get(id)?;
        let own = || Hold { address: tuple.local.ip(), sharing: Sharing::of(core, id) };
        Some(match shared.endpoints[socket.state].port {
            Port::Held(hold) => hold,
            _ => own(),
        })
    }

    /// Ends a listener: those that it has not accepted are reset.
    fn unlisten(&mut self, shared: &mut Shared, core: &mut Core, id: SocketId) {
        self.handshakes.forget(id);
        let Some(queue) = core.sockets[id].queue.take() else { return };
        for connection in queue.complete {
            core.sockets[connection].open = false;
            core.sockets[connection].options.linger = (true, 0);
            self.close(shared, core, connection);
        }
        if let Some(local) = shared.endpoints[core.sockets[id].state].local {
            shared.ports.unlisten(TCP, local.port(), id);
        }
    }

    /// See [`Family::broken`](crate::family::Family::broken).
    pub fn broken(&mut self, shared: &mut Shared, core: &mut Core, id: SocketId) {
        let Some(index) = shared.endpoints[core.sockets[id].state].connection else { return };
        let connection = &mut self.connections[index];
        connection.urgent = Urgent::default();
        let tcp = connection.tcp();
        tcp.abort();
        while tcp.recv(|bytes| (bytes.len(), bytes.len())).is_ok_and(|n| n > 0) {}
        // The stream has no end that came in order.
        shared.endpoints[core.sockets[id].state].done = false;
        core.set_error(id, Errno::ECONNRESET);
        self.settle_index(shared, core, index);
    }

    /// Ends a connection with a RST.
    fn abort(&mut self, shared: &mut Shared, core: &mut Core, index: usize) {
        if !self.connections[index].over {
            self.connections[index].tcp().abort();
            self.transmit(shared, core, index);
        }
        self.end(shared, core, index);
    }

    /// The connection has come to its end (Linux: tcp_done): it takes no more
    /// segments, and gives back a port that bind(2) did not name.
    fn finish(&mut self, shared: &mut Shared, core: &mut Core, index: usize) {
        let connection = &mut self.connections[index];
        if core::mem::replace(&mut connection.over, true) {
            return;
        }
        self.by_tuple.remove(&connection.tuple);
        let Some(socket) = core.sockets.get(connection.socket) else { return };
        let endpoint = &mut shared.endpoints[socket.state];
        endpoint.shut = (true, true);
        if !endpoint.fixed.1 {
            shared.unbind(core, connection.socket);
        }
    }

    /// The client moved data in the rings.
    pub fn touch(&mut self, shared: &mut Shared, core: &Core, id: SocketId) {
        if let Some(index) = shared.endpoints[core.sockets[id].state].connection {
            self.mark(index);
        }
    }

    fn mark(&mut self, index: usize) {
        if !core::mem::replace(&mut self.connections[index].dirty, true) {
            self.dirty.push(index);
        }
    }

    /// See [`Family::deadline`](crate::family::Family::deadline).
    pub fn deadline(&self) -> Option<u64> {
        let at = self.timers.first().map_or(u64::MAX, |(at, _)| *at).min(self.handshakes.deadline());
        (at != u64::MAX).then_some(at)
    }

    /// See [`Family::tick`](crate::family::Family::tick).
    pub fn tick(&mut self, shared: &mut Shared, core: &mut Core) {
        self.repeat(shared, core);
        while let Some(&(at, index)) = self.timers.first()
            && at <= core.now
        {
            self.timers.pop_first();
            self.connections[index].queued = u64::MAX;
            self.mark(index);
        }
    }

    /// There is no way to a host: connections that are being made to it fail.
    pub fn unreachable(&mut self, shared: &mut Shared, core: &mut Core, ip: IpAddr) {
        let doomed: Vec<Tuple> = self
            .connections
            .iter()
            .filter(|(_, c)| c.tuple.remote.ip() == ip && !c.connected && c.listener.is_none())
            .map(|(_, c)| c.tuple)
            .collect();
        for tuple in doomed {
            self.fail(shared, core, tuple.local, tuple.remote, Errno::EHOSTUNREACH);
        }
    }

    /// An ICMP error speaks of a connection: it fails if it is being made, and
    /// goes on otherwise (RFC 5461).
    pub fn fail(&mut self, shared: &mut Shared, core: &mut Core, local: SocketAddr, remote: SocketAddr, errno: Errno) {
        let Some(&index) = self.by_tuple.get(&Tuple { local, remote }) else { return };
        let connection = &mut self.connections[index];
        if connection.connected || connection.listener.is_some() {
            return;
        }
        connection.tcp().abort();
        let id = connection.socket;
        core.set_error(id, errno);
        self.mark(index);
        self.settle_index(shared, core, index);
    }
}
