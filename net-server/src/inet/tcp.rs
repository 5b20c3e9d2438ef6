//! TCP: smoltcp's state machine, a socket set for each connection.
//!
//! Read RFC 9293 for the protocol, RFC 6528 for sequence numbers.
//!
//! What smoltcp leaves out is done here: demultiplexing, backlog, the
//! unpredictable initial sequence number (an offset for each connection, added
//! to what leaves and taken from what comes back), timeouts of half-closed
//! connections, and telling why a connection ended.

mod device;
mod held;
mod time_wait;

use alloc::{collections::BTreeSet, vec, vec::Vec};
use core::{
    hash::{Hash, Hasher},
    net::{IpAddr, SocketAddr},
    sync::atomic::{Ordering, fence},
};

use hashbrown::HashMap;
use slab::Slab;
use smoltcp::{
    iface::{PollResult, SocketHandle, SocketSet},
    socket::tcp::{Socket, SocketBuffer, State},
    time::Duration,
    wire::{IpListenEndpoint, Ipv4Packet, TcpPacket, TcpSeqNumber},
};
use strait_abi::{Errno, session::status, socket as c};

pub use self::device::{LastSent, Probe};
use self::{device::Wire, held::Held, time_wait::TimeWait};
use super::{Endpoint, Shared, checksum};
use crate::{
    core::Core,
    hash::{Keyed, keyed},
    link::dhcp::instant,
    socket::SocketId,
};

/// Private buffers of a connection, in bytes, for each direction: the receive
/// window, and what may be sent but not acknowledged. Beyond them data waits in
/// the pages of the client's session.
const BUFFER: usize = 32 * 1024;
/// Packets that one connection may send in one turn.
const BURST: usize = 64;
/// How long a peer may take to answer a SYN (Linux: 6 retries), a SYN+ACK (5
/// retries), data (15 retries), data of a closed socket (8 retries). In
/// milliseconds.
const CONNECT_TIMEOUT: u64 = 127_000;
const ACCEPT_TIMEOUT: u64 = 63_000;
const DATA_TIMEOUT: u64 = 924_600;
const ORPHAN_TIMEOUT: u64 = 100_000;
/// How long a closed socket waits for its peer to take data or to send its FIN
/// (Linux: tcp_fin_timeout), in nanoseconds.
const PATIENCE: u64 = 60_000_000_000;
/// Pages of a drained ring that are left to the client without asking it to
/// tell when it has read them.
const LAZY_PAGES: u32 = 2;
/// What a handshake is granted while others wait, in nanoseconds.
const HANDSHAKE: u64 = 500_000_000;
const TCP: u16 = c::IPPROTO_TCP as u16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tuple {
    local: SocketAddr,
    remote: SocketAddr,
}

fn words(address: SocketAddr) -> (u128, u16) {
    let ip = match address.ip() {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => a.into(),
    };
    (ip, address.port())
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
    set: SocketSet<'static>,
    handle: SocketHandle,
    tuple: Tuple,
    /// Added to smoltcp's sequence numbers on the wire.
    isn: u32,
    began: u64,
    /// Whose queue counts it as incomplete.
    listener: Option<SocketId>,
    connected: bool,
    /// shutdown(2) for reading.
    shut_read: bool,
    /// The stream to the peer ends after what is in the tx ring.
    fin_wanted: bool,
    fin_sent: bool,
    /// A RST ended it.
    reset: bool,
    /// Of the last segment sent, as on the wire.
    last: LastSent,
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
    pub fn new(key: [u64; 2]) -> Self {
        Self {
            key,
            connections: Slab::new(),
            by_tuple: HashMap::with_hasher(Keyed::default()),
            held: Held::new(),
            last: 0,
            nobody: SocketSet::new(vec![]),
            time_wait: TimeWait::new(),
            dirty: Vec::new(),
            turn: Vec::new(),
            starved: Vec::new(),
            timers: BTreeSet::new(),
        }
    }

    /// A connection for `socket`, closed as yet.
    fn add(&mut self, core: &mut Core, socket: SocketId, tuple: Tuple) -> Result<usize, Errno> {
        if self.by_tuple.contains_key(&tuple) || self.time_wait.get(&tuple, core.now).is_some() {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let tcp = Socket::new(buffer()?, buffer()?);
        let mut set = SocketSet::new(vec![]);
        let handle = set.add(tcp);
        // RFC 6528: a clock of 4 µs, and a function that only we can compute.
        let ((a, p), (b, q)) = (words(tuple.local), words(tuple.remote));
        let words = [a as u64, (a >> 64) as u64, b as u64, (b >> 64) as u64, u64::from(p) << 16 | u64::from(q)];
        let isn = (keyed(self.key, &words) as u32).wrapping_add((core.now / 4000) as u32);
        core.counters.buffer_bytes += 2 * BUFFER as u64;
        let index = self.connections.insert(Connection {
            socket,
            set,
            handle,
            tuple,
            isn,
            began: core.now,
            listener: None,
            connected: false,
            shut_read: false,
            fin_wanted: false,
            fin_sent: false,
            reset: false,
            last: LastSent::default(),
            queued: u64::MAX,
            give_up: None,
            dirty: false,
        });
        self.by_tuple.insert(tuple, index);
        Ok(index)
    }

    /// The connection is over. What is left of the socket stays until its
    /// client closes it.
    fn end(&mut self, shared: &mut Shared, core: &mut Core, index: usize) {
        let connection = self.connections.remove(index);
        self.timers.remove(&(connection.queued, index));
        core.counters.buffer_bytes -= 2 * BUFFER as u64;
        self.by_tuple.remove(&connection.tuple);
        if let Some(queue) = connection.listener.and_then(|l| core.queue(l)) {
            queue.leave(connection.socket);
        }
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

    /// connect(2).
    pub fn connect(
        &mut self,
        shared: &mut Shared,
        core: &mut Core,
        id: SocketId,
        remote: SocketAddr,
    ) -> Result<(), Errno> {
        let endpoint = &shared.endpoints[core.sockets[id].state];
        if let Some(index) = endpoint.connection {
            return Err(if self.connections[index].connected { Errno::EISCONN } else { Errno::EALREADY });
        }
        if core.sockets[id].queue.is_some() || core.sockets[id].status & status::CONNECTED != 0 {
            return Err(Errno::EISCONN);
        }
        if matches!(remote.ip(), IpAddr::V4(a) if a.is_multicast() || core.links.is_broadcast(a)) || remote.port() == 0
        {
            return Err(Errno::ENETUNREACH);
        }
        let bound = endpoint.local;
        let source = match bound {
            Some(local) if !local.ip().is_unspecified() => local.ip(),
            _ => core.links.source_for(remote.ip())?,
        };
        match bound {
            Some(local) => shared.ports.narrow(TCP, local.port(), id, source),
            None => shared.bind(core, id, SocketAddr::new(source, 0))?,
        }
        let endpoint = &mut shared.endpoints[core.sockets[id].state];
        let local = SocketAddr::new(source, endpoint.local.map_or(0, |l| l.port()));
        let index = self.add(core, id, Tuple { local, remote })?;
        endpoint.local = Some(local);
        endpoint.peer = Some(remote);
        endpoint.connection = Some(index);
        let connection = &mut self.connections[index];
        let tcp: &mut Socket<'_> = connection.set.get_mut(connection.handle);
        tcp.set_timeout(Some(Duration::from_millis(CONNECT_TIMEOUT)));
        if tcp.connect(shared.interface.context(), remote, local).is_err() {
            self.end(shared, core, index);
            return Err(Errno::EADDRNOTAVAIL);
        }
        self.apply_options(shared, core, id);
        core.set_status(id, 0);
        self.mark(index);
        Err(Errno::EINPROGRESS)
    }

    /// shutdown(2).
    pub fn shutdown(
        &mut self,
        shared: &mut Shared,
        core: &mut Core,
        id: SocketId,
        read: bool,
        write: bool,
    ) -> Result<(), Errno> {
        let index = shared.endpoints[core.sockets[id].state].connection.ok_or(Errno::ENOTCONN)?;
        let connection = &mut self.connections[index];
        if !connection.connected {
            return Err(Errno::ENOTCONN);
        }
        connection.shut_read |= read;
        connection.fin_wanted |= write;
        self.mark(index);
        self.settle_index(shared, core, index);
        Ok(())
    }

    /// close(2).
    pub fn close(&mut self, shared: &mut Shared, core: &mut Core, id: SocketId) {
        if core.sockets[id].queue.is_some() {
            let doomed: Vec<usize> =
                self.connections.iter().filter(|(_, c)| c.listener == Some(id)).map(|(i, _)| i).collect();
            for index in doomed {
                self.abort(shared, core, index);
            }
        }
        let state = core.sockets[id].state;
        let Some(index) = shared.endpoints[state].connection else {
            shared.unbind(core, id);
            shared.endpoints.remove(state);
            core.remove(id);
            return;
        };
        let unread = match core.rings(id) {
            Some((rings, arena, _)) => rings.rx.reclaim(arena).is_err() || rings.rx.used() > 0,
            None => false,
        };
        let linger = core.sockets[id].options.linger;
        let connection = &mut self.connections[index];
        let tcp: &mut Socket<'_> = connection.set.get_mut(connection.handle);
        // Unread data is lost, which the peer must learn (RFC 2525 2.17).
        if !connection.connected || unread || tcp.can_recv() || linger == (true, 0) {
            self.abort(shared, core, index);
            return;
        }
        tcp.set_timeout(Some(Duration::from_millis(ORPHAN_TIMEOUT)));
        connection.fin_wanted = true;
        self.mark(index);
        self.settle_index(shared, core, index);
    }

    /// Ends a connection with a RST.
    fn abort(&mut self, shared: &mut Shared, core: &mut Core, index: usize) {
        self.connections[index].tcp().abort();
        self.transmit(shared, core, index);
        self.end(shared, core, index);
    }

    /// Whether getpeername(2) has an answer.
    pub fn is_connected(&self, endpoint: &Endpoint) -> bool {
        endpoint.connection.is_some_and(|i| self.connections[i].connected)
    }

    /// Options that smoltcp must know.
    pub fn apply_options(&mut self, shared: &mut Shared, core: &Core, id: SocketId) {
        let socket = &core.sockets[id];
        let endpoint = &shared.endpoints[socket.state];
        let Some(index) = endpoint.connection else { return };
        let idle = u64::from(endpoint.keep_idle);
        let user_timeout = u64::from(endpoint.user_timeout);
        let (nodelay, ttl, alive) = (endpoint.nodelay, endpoint.ttl, socket.options.keep_alive);
        let connection = &mut self.connections[index];
        let connected = connection.connected;
        let tcp = connection.tcp();
        tcp.set_nagle_enabled(!nodelay);
        tcp.set_hop_limit(Some(ttl));
        tcp.set_keep_alive(alive.then(|| Duration::from_secs(idle)));
        if connected {
            // A peer that is gone must be noticed some time after the probe.
            let default = if alive { DATA_TIMEOUT.min(idle * 1000 + 75_000 * 9) } else { DATA_TIMEOUT };
            tcp.set_timeout(Some(Duration::from_millis(if user_timeout == 0 { default } else { user_timeout })));
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

    /// A segment arrived, in a valid IPv4 packet for this host.
    pub fn input(&mut self, shared: &mut Shared, core: &mut Core, packet: &mut [u8]) -> bool {
        if checksum::transport(packet) != 0 {
            return false;
        }
        let ip = Ipv4Packet::new_unchecked(&*packet);
        let header = usize::from(ip.header_len());
        let (source, target) = (ip.src_addr(), ip.dst_addr());
        if source.is_unspecified() || target.is_unspecified() {
            return false;
        }
        let Ok(tcp) = TcpPacket::new_checked(&packet[header..]) else { return false };
        let tuple = Tuple {
            local: SocketAddr::new(target.into(), tcp.dst_port()),
            remote: SocketAddr::new(source.into(), tcp.src_port()),
        };
        if tuple.local.port() == 0 || tuple.remote.port() == 0 {
            return false;
        }
        let (opens, resets) = (tcp.syn() && !tcp.ack(), tcp.rst());
        if !self.held.superseded(&tuple, &tcp) {
            self.release(shared, core);
        }
        let mut found = self.find(&tuple);
        if let Some(index) = found
            && opens
            && self.connections[index].tcp().state() == State::TimeWait
        {
            // RFC 9293 3.10.7.4: a new incarnation may begin.
            self.end(shared, core, index);
            found = None;
        }
        if found.is_none()
            && let Some(last) = self.time_wait.get(&tuple, core.now)
        {
            if opens {
                self.time_wait.remove(&tuple);
            } else {
                // What repeats is acknowledged again; a RST is not believed
                // (RFC 1337).
                let asks = tcp.fin() || !tcp.payload().is_empty();
                if asks && !resets {
                    time_wait::acknowledge(core, &tuple, last);
                }
                return true;
            }
        }
        let index = match found {
            Some(index) => index,
            None if opens => match shared.ports.listener(TCP, tuple.local) {
                Some(listener) => match self.begin(shared, core, listener, tuple) {
                    Ok(index) => index,
                    // As Linux: beyond the backlog a SYN is dropped, so that
                    // the peer tries again.
                    Err(_) => return false,
                },
                None => return self.refuse(shared, core, packet),
            },
            None => return self.refuse(shared, core, packet),
        };
        if !self.held.hold(&tuple, packet, header) {
            self.process(shared, core, index, packet);
        }
        true
    }

    /// Gives an acknowledgement that waited to its connection.
    fn release(&mut self, shared: &mut Shared, core: &mut Core) {
        if let Some((tuple, mut packet, len)) = self.held.take()
            && let Some(index) = self.find(&tuple)
        {
            self.process(shared, core, index, &mut packet[..len]);
        }
    }

    /// Gives a segment to its connection.
    fn process(&mut self, shared: &mut Shared, core: &mut Core, index: usize, packet: &mut [u8]) {
        let header = usize::from(Ipv4Packet::new_unchecked(&*packet).header_len());
        let mut tcp = TcpPacket::new_unchecked(&mut packet[header..]);
        let resets = tcp.rst();
        let connection = &mut self.connections[index];
        if tcp.ack() {
            let number = tcp.ack_number();
            tcp.set_ack_number(TcpSeqNumber(number.0.wrapping_sub(connection.isn as i32)));
        }
        let before = connection.tcp().state();
        let mut wire = Wire {
            packet: Some(packet),
            links: &mut core.links,
            now: core.now,
            isn: connection.isn,
            last: &mut connection.last,
            sent: 0,
        };
        shared.interface.poll_ingress_single(instant(core.now), &mut wire, &mut connection.set);
        if resets && before != State::Closed {
            connection.reset |= matches!(connection.tcp().state(), State::Closed | State::Listen);
        }
        self.mark(index);
    }

    #[inline]
    fn find(&mut self, tuple: &Tuple) -> Option<usize> {
        if self.connections.get(self.last).is_some_and(|c| c.tuple == *tuple) {
            return Some(self.last);
        }
        let index = *self.by_tuple.get(tuple)?;
        self.last = index;
        Some(index)
    }

    /// Answers a segment that belongs to nothing: with a RST, if at all.
    fn refuse(&mut self, shared: &mut Shared, core: &mut Core, packet: &[u8]) -> bool {
        let last = &mut LastSent::default();
        let mut wire = Wire { packet: Some(packet), links: &mut core.links, now: core.now, isn: 0, last, sent: 0 };
        shared.interface.poll_ingress_single(instant(core.now), &mut wire, &mut self.nobody);
        false
    }

    /// A SYN for a listener: makes the connection that takes it.
    fn begin(
        &mut self,
        shared: &mut Shared,
        core: &mut Core,
        listener: SocketId,
        tuple: Tuple,
    ) -> Result<usize, Errno> {
        let queue = core.queue(listener).filter(|q| !q.full()).ok_or(Errno::ENOBUFS)?;
        if queue.busy() {
            // A handshake takes as long as the way there and back, unless the
            // peer does not exist. So the oldest makes room when it is old
            // enough: a flood of SYNs keeps nobody out for long.
            let oldest = *queue.incomplete.front().ok_or(Errno::ENOBUFS)?;
            let oldest = shared.endpoints[core.sockets[oldest].state].connection.ok_or(Errno::ENOBUFS)?;
            if core.now - self.connections[oldest].began < HANDSHAKE {
                return Err(Errno::ENOBUFS);
            }
            self.end(shared, core, oldest);
        }
        let parent = &core.sockets[listener];
        let (session, family, domain, options, state) =
            (parent.session, parent.family, parent.domain, parent.options, parent.state);
        let id = core.add(session, family, domain, c::SOCK_STREAM, TCP)?;
        let index = match self.add(core, id, tuple) {
            Ok(index) => index,
            Err(errno) => {
                core.remove(id);
                return Err(errno);
            }
        };
        let parent = &shared.endpoints[state];
        let (ttl, nodelay, keep_idle, user_timeout) =
            (parent.ttl, parent.nodelay, parent.keep_idle, parent.user_timeout);
        core.sockets[id].options = options;
        core.sockets[id].state = shared.endpoints.insert(Endpoint {
            local: Some(tuple.local),
            peer: Some(tuple.remote),
            connection: Some(index),
            ttl,
            nodelay,
            keep_idle,
            user_timeout,
            ..Endpoint::new()
        });
        if let Some(queue) = core.queue(listener) {
            queue.incomplete.push_back(id);
        }
        let connection = &mut self.connections[index];
        connection.listener = Some(listener);
        let tcp = connection.tcp();
        tcp.set_timeout(Some(Duration::from_millis(ACCEPT_TIMEOUT)));
        let at = IpListenEndpoint { addr: Some(tuple.local.ip().into()), port: tuple.local.port() };
        if tcp.listen(at).is_err() {
            self.end(shared, core, index);
            return Err(Errno::EIO);
        }
        self.apply_options(shared, core, id);
        Ok(index)
    }

    /// Sends what the connection may send. Returns when it must be looked at
    /// again; 0 if it has more to send at once.
    fn transmit(&mut self, shared: &mut Shared, core: &mut Core, index: usize) -> Option<u64> {
        let connection = &mut self.connections[index];
        let at = instant(core.now);
        let full = core.links.mtu();
        // After a full packet there is most likely another: it is tried
        // without asking.
        let mut ask = true;
        for _ in 0..BURST {
            if ask {
                let due = shared.interface.poll_at(at, &connection.set)?;
                if due > at {
                    return Some((due.total_micros() as u64).saturating_mul(1000));
                }
            }
            let mut wire = Wire {
                packet: None,
                links: &mut core.links,
                now: core.now,
                isn: connection.isn,
                last: &mut connection.last,
                sent: 0,
            };
            let idle = shared.interface.poll_egress(at, &mut wire, &mut connection.set) == PollResult::None;
            if idle && (ask || wire.links.starved()) {
                if wire.links.starved() {
                    self.starved.push(index);
                }
                // What could be done was done: not again before some time.
                return Some(core.now + 1_000_000);
            }
            ask = wire.sent < full;
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

    fn settle_index(&mut self, shared: &mut Shared, core: &mut Core, index: usize) -> bool {
        self.connections[index].dirty = false;
        let drain = self.exchange(core, index);
        let due = self.transmit(shared, core, index);
        if self.follow(shared, core, index, drain) {
            return false;
        }
        let connection = &mut self.connections[index];
        if due == Some(0) {
            self.mark(index);
        } else if let Some(at) = due.into_iter().chain(connection.give_up.map(|(at, _)| at)).min()
            && at < connection.queued
        {
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
        let (id, shut_read) = (connection.socket, connection.shut_read);
        let tcp: &mut Socket<'_> = connection.set.get_mut(connection.handle);
        let (mut moved, mut drain, mut broken) = (false, false, None);
        if let Some((rings, arena, options)) = core.rings(id) {
            match rings.rx.reclaim(arena) {
                Ok(()) => {
                    while tcp.can_recv() {
                        let limit = options.receive_buffer;
                        let take = |bytes: &mut [u8]| {
                            let n = if shut_read { bytes.len() } else { rings.rx.push(arena, limit, bytes) };
                            (n, n)
                        };
                        match tcp.recv(take) {
                            Ok(n) if n > 0 => moved = true,
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
                    while left > 0 && tcp.can_send() {
                        let take = |bytes: &mut [u8]| {
                            let n = bytes.len().min(left as usize);
                            (n, if rings.tx.copy(0, &mut bytes[..n]).is_some() { n } else { 0 })
                        };
                        match tcp.send(take) {
                            Ok(n) if n > 0 => {
                                rings.tx.consume(n as u32, arena);
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

    /// Acts on the state that smoltcp is in now. Returns whether the connection
    /// ended.
    fn follow(&mut self, shared: &mut Shared, core: &mut Core, index: usize, drain: bool) -> bool {
        let connection = &mut self.connections[index];
        let id = connection.socket;
        let tcp: &mut Socket<'_> = connection.set.get_mut(connection.handle);
        let state = tcp.state();
        let synchronised = !matches!(state, State::Closed | State::Listen | State::SynSent | State::SynReceived);
        if synchronised && !connection.connected {
            connection.connected = true;
            if let Some(listener) = connection.listener.take()
                && let Some(queue) = core.queue(listener)
            {
                queue.leave(id);
                queue.complete.push_back(id);
                core.update_listener(listener);
            }
            self.apply_options(shared, core, id);
            self.mark(index);
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
        if !open && connection.fin_sent && socket.slot.is_some() {
            core.detach(id);
        }
        if state == State::Closed && open && core.sockets[id].error.is_none() {
            let failure = match (connection.connected, connection.reset) {
                (false, true) => Some(Errno::ECONNREFUSED),
                (false, false) => Some(Errno::ETIMEDOUT),
                (true, true) => Some(Errno::ECONNRESET),
                // Both sides closed in order, or the peer is gone.
                (true, false) => (!connection.fin_sent).then_some(Errno::ETIMEDOUT),
            };
            if let Some(errno) = failure {
                core.set_error(id, errno);
            }
        }
        let (shut_read, shut_write) = (connection.shut_read, connection.fin_wanted);
        let mut word = 0;
        if connection.connected {
            word |= status::CONNECTED;
            let eof = shut_read || !tcp.may_recv() && !unread;
            word |= if eof { status::IN | status::RDHUP } else { 0 };
            word |= if shut_write || !tcp.may_send() { status::WRSHUT } else { 0 };
            word |= status::OUT;
            if state == State::Closed && !unread || eof && shut_write {
                word |= status::HUP;
            }
            word |= if drain || unread { status::RING_ON_DRAIN } else { 0 };
        } else if state == State::Closed {
            word |= status::OUT | status::HUP | status::IN;
        }
        let asked = core.sockets[id].status & status::RING_ON_DRAIN != 0;
        core.set_status(id, word);
        if word & status::RING_ON_DRAIN != 0 && !asked {
            // A client that read the ring empty before it could see the bit
            // will not ring: look once more.
            fence(Ordering::SeqCst);
            if let Some((rings, arena, _)) = core.rings(id)
                && rings.rx.reclaim(arena).is_ok()
                && rings.rx.used() == 0
            {
                self.mark(index);
            }
        }
        let connection = &mut self.connections[index];
        if state == State::TimeWait && !open && !core.links.starved() {
            // Nothing of it is needed but what answers a repeated FIN.
            let (tuple, last) = (connection.tuple, connection.last);
            self.end(shared, core, index);
            self.time_wait.insert(tuple, last, core.now);
            return true;
        }
        if !open && state != State::Closed && self.gives_up(core, index) {
            self.abort(shared, core, index);
            return true;
        }
        if state == State::Closed && !(open && unread) {
            self.end(shared, core, index);
            return true;
        }
        false
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

    /// See [`Family::deadline`](crate::family::Family::deadline).
    pub fn deadline(&self) -> Option<u64> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// See [`Family::tick`](crate::family::Family::tick).
    pub fn tick(&mut self, now: u64) {
        while let Some(&(at, index)) = self.timers.first()
            && at <= now
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
