//! Handshakes of listeners, until the peer has shown that it is there.
//!
//! A SYN costs no socket: it is answered at once, and what it said is kept in a
//! few words. When its answer is acknowledged, a connection is made and smoltcp
//! is shown the SYN and then the acknowledgement, as if it had been there from
//! the beginning.
//!
//! Beyond [`MOST`] handshakes nothing is kept: the sequence number of the answer
//! says what is needed, so that only who got it can go on (SYN cookies, RFC 4987
//! 3.6). Such a connection has no window scale and no selective
//! acknowledgements; its windows are below 64 KiB anyway.

use alloc::{collections::BTreeSet, vec::Vec};
use core::ops::ControlFlow;

use hashbrown::HashMap;
use slab::Slab;
use smoltcp::{
    iface::{SocketHandle, SocketSet, SocketStorage},
    phy::ChecksumCapabilities,
    socket::tcp::{Socket, SocketBuffer},
    wire::{IpListenEndpoint, IpProtocol, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber},
};

use super::{BUFFER, LastSent, Marks, Shared, Tcp, Tuple, Wire, ip, ip::words};
use crate::{
    core::Core,
    hash::{Keyed, keyed},
    link::dhcp::instant,
    socket::SocketId,
};

/// Handshakes that are kept.
const MOST: usize = 512;
/// How often an answer is repeated, and when for the first time, in nanoseconds;
/// each time it takes twice as long (Linux: tcp_synack_retries).
const REPEATS: u8 = 5;
const FIRST: u64 = 1_000_000_000;
/// A cookie holds for this long at least, in nanoseconds, and for twice that at
/// most.
const PERIOD: u64 = 64_000_000_000;
/// What a cookie says of the greatest segment: the one of these that is not
/// greater.
const SEGMENTS: [u16; 8] = [64, 536, 1024, 1220, 1360, 1440, 1460, 8960];
/// An IPv6 header, and a TCP header with what a SYN offers.
const SYN_BYTES: usize = 40 + 20 + 16;

/// What a SYN says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Offer {
    number: u32,
    window: u16,
    segment: Option<u16>,
    scale: Option<u8>,
    selective: bool,
}

/// A handshake.
struct Begun {
    tuple: Tuple,
    listener: SocketId,
    offer: Offer,
    /// Our first sequence number.
    first: u32,
    repeats: u8,
    /// When it is due.
    at: u64,
}

/// Those of all listeners.
pub struct Handshakes {
    begun: Slab<Begun>,
    by_tuple: HashMap<Tuple, usize, Keyed>,
    timers: BTreeSet<(u64, usize)>,
    /// Until when cookies are believed: some time after the last one was given.
    cookies: u64,
    /// A socket that answers SYNs, and goes on to the next one.
    door: SocketSet<'static>,
    socket: SocketHandle,
}

impl Offer {
    /// What the SYN in a valid packet says. `None` if it makes no sense.
    fn parse(packet: &[u8]) -> Option<Self> {
        let (source, target) = ip::addresses(packet);
        let tcp = TcpPacket::new_checked(&packet[ip::header_len(packet)..]).ok()?;
        let repr = TcpRepr::parse(&tcp, &source.into(), &target.into(), &ChecksumCapabilities::ignored()).ok()?;
        Some(Self {
            number: repr.seq_number.0 as u32,
            window: repr.window_len,
            segment: repr.max_seg_size,
            scale: repr.window_scale,
            selective: repr.sack_permitted,
        })
    }

    /// A packet that says so.
    fn packet(&self, tuple: &Tuple) -> ([u8; SYN_BYTES], usize) {
        let (source, target) = (tuple.remote.ip(), tuple.local.ip());
        let repr = TcpRepr {
            src_port: tuple.remote.port(),
            dst_port: tuple.local.port(),
            control: TcpControl::Syn,
            seq_number: TcpSeqNumber(self.number as i32),
            ack_number: None,
            window_len: self.window,
            window_scale: self.scale,
            max_seg_size: self.segment,
            sack_permitted: self.selective,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
        let header = ip::header_for(target);
        let len = header + repr.header_len();
        let mut bytes = [0; SYN_BYTES];
        let packet = &mut bytes[..len];
        ip::write_header(packet, source, target, IpProtocol::Tcp, 64);
        let mut tcp = TcpPacket::new_unchecked(&mut packet[header..]);
        repr.emit(&mut tcp, &source.into(), &target.into(), &ChecksumCapabilities::ignored());
        (bytes, len)
    }
}

impl Handshakes {
    pub fn new() -> Self {
        let mut door = SocketSet::new(alloc::vec![SocketStorage::EMPTY]);
        // Its window is what a connection begins with.
        let buffer = |bytes| SocketBuffer::new(alloc::vec![0; bytes]);
        let socket = door.add(Socket::new(buffer(BUFFER), buffer(1)));
        Self {
            begun: Slab::with_capacity(MOST),
            by_tuple: HashMap::with_capacity_and_hasher(2 * MOST, Keyed::default()),
            timers: BTreeSet::new(),
            cookies: 0,
            door,
            socket,
        }
    }

    /// When something is due; `u64::MAX` if nothing is.
    pub fn deadline(&self) -> u64 {
        self.timers.first().map_or(u64::MAX, |(at, _)| *at)
    }

    fn remove(&mut self, index: usize) {
        let begun = self.begun.remove(index);
        self.by_tuple.remove(&begun.tuple);
        self.timers.remove(&(begun.at, index));
    }

    /// Forgets those of a listener: acknowledgements are refused from now on.
    pub fn forget(&mut self, listener: SocketId) {
        let gone: Vec<usize> = self.begun.iter().filter(|(_, b)| b.listener == listener).map(|(i, _)| i).collect();
        gone.into_iter().for_each(|index| self.remove(index));
    }
}

impl Tcp {
    /// The first sequence number of a connection (RFC 6528): a clock of 4 µs, and
    /// a function that only we can compute.
    pub(super) fn first_number(&self, tuple: &Tuple, now: u64) -> u32 {
        (self.keyed(tuple, 0, 0) as u32).wrapping_add((now / 4000) as u32)
    }

    fn keyed(&self, tuple: &Tuple, number: u32, what: u64) -> u64 {
        let ((a, p), (b, q)) = (words(tuple.local), words(tuple.remote));
        let ports = u64::from(p) << 48 | u64::from(q) << 32 | u64::from(number);
        keyed(self.key, &[a as u64, (a >> 64) as u64, b as u64, (b >> 64) as u64, ports, what])
    }

    /// A sequence number that says when it was made, and an entry of
    /// [`SEGMENTS`]; the rest of it nobody can guess.
    fn cookie(&self, tuple: &Tuple, number: u32, period: u64, segment: usize) -> u32 {
        let known = (period as u32 & 31) << 27 | (segment as u32) << 24;
        // Not the same function as that of a first number.
        known | self.keyed(tuple, number, (1 << 63) | period << 3 | segment as u64) as u32 & 0xff_ffff
    }

    /// What the SYN offered that was answered with `cookie`; `None` if that is
    /// none of ours, or too old.
    fn offer_of(&self, tuple: &Tuple, number: u32, cookie: u32, now: u64) -> Option<Offer> {
        if now >= self.handshakes.cookies {
            return None;
        }
        let (period, segment) = (now / PERIOD, (cookie >> 24 & 7) as usize);
        let made = [Some(period), period.checked_sub(1)].into_iter().flatten();
        let ours = made.map(|period| self.cookie(tuple, number, period, segment)).any(|c| c == cookie);
        let segment = Some(SEGMENTS[segment]);
        ours.then_some(Offer { number, window: u16::MAX, segment, scale: None, selective: false })
    }

    /// A SYN for a listener, in a valid packet. Returns whether it was answered:
    /// while there are more connections than enough to accept, it is not (as
    /// Linux), so that the peer tries again.
    pub(super) fn greet(
        &mut self,
        shared: &mut Shared,
        core: &mut Core,
        listener: SocketId,
        tuple: Tuple,
        packet: &[u8],
    ) -> bool {
        let full = core.queue(listener).is_none_or(|queue| queue.full()) || !self.has_room(core, listener);
        let Some(mut offer) = Offer::parse(packet).filter(|_| !full) else { return false };
        let first = match self.handshakes.by_tuple.get(&tuple) {
            // Also one that is not the same: whose it was answers to what it
            // did not ask (RFC 9293 3.5.2).
            Some(index) => {
                let begun = &self.handshakes.begun[*index];
                offer = begun.offer;
                begun.first
            }
            None if self.handshakes.begun.len() < MOST => {
                let (first, at) = (self.first_number(&tuple, core.now), core.now + FIRST);
                let begun = Begun { tuple, listener, offer, first, repeats: 0, at };
                let index = self.handshakes.begun.insert(begun);
                self.handshakes.by_tuple.insert(tuple, index);
                self.handshakes.timers.insert((at, index));
                first
            }
            None => {
                let most = offer.segment.unwrap_or(536);
                let segment = SEGMENTS.iter().rposition(|s| *s <= most).unwrap_or(0);
                (offer.scale, offer.selective) = (None, false);
                self.handshakes.cookies = core.now + 2 * PERIOD;
                self.cookie(&tuple, offer.number, core.now / PERIOD, segment)
            }
        };
        self.answer(shared, core, listener, &tuple, &offer, first);
        true
    }

    /// Sends a SYN with an acknowledgement.
    fn answer(
        &mut self,
        shared: &mut Shared,
        core: &mut Core,
        listener: SocketId,
        tuple: &Tuple,
        offer: &Offer,
        first: u32,
    ) {
        let parent = &shared.endpoints[core.sockets[listener].state];
        let local = core.links.is_local(tuple.remote.ip());
        let marks = Marks { first, local, ..parent.marks(tuple.remote.is_ipv4()) };
        let (bytes, len) = offer.packet(tuple);
        let Handshakes { door, socket, .. } = &mut self.handshakes;
        let tcp = door.get_mut::<Socket<'_>>(*socket);
        tcp.abort();
        let at = IpListenEndpoint { addr: Some(tuple.local.ip().into()), port: tuple.local.port() };
        if tcp.listen(at).is_err() {
            return;
        }
        let (mut last, now) = (LastSent::default(), instant(core.now));
        let mut wire = Wire::new(&mut core.links, core.now, marks, &mut last, Some(&bytes[..len]));
        let interface = shared.interface(local);
        interface.poll_ingress_single(now, &mut wire, door);
        interface.poll_egress(now, &mut wire, door);
    }

    /// A segment that belongs to no connection and is no SYN. If it is part of a
    /// handshake, returns whether it was taken.
    pub(super) fn conclude(
        &mut self,
        shared: &mut Shared,
        core: &mut Core,
        tuple: Tuple,
        packet: &mut [u8],
    ) -> ControlFlow<bool> {
        let tcp = TcpPacket::new_unchecked(&packet[ip::header_len(packet)..]);
        let (before, first) = ((tcp.seq_number().0 as u32).wrapping_sub(1), tcp.ack_number().0 as u32);
        let first = first.wrapping_sub(1);
        let known = self.handshakes.by_tuple.get(&tuple).copied();
        let begun = known.map(|index| &self.handshakes.begun[index]);
        if tcp.rst() {
            return match (begun, known) {
                (Some(begun), Some(index)) => {
                    if begun.offer.number == before {
                        self.handshakes.remove(index);
                    }
                    ControlFlow::Break(true)
                }
                _ => ControlFlow::Continue(()),
            };
        }
        if !tcp.ack() || tcp.syn() {
            return ControlFlow::Continue(());
        }
        let (listener, offer) = match begun {
            Some(begun) if begun.first != first => return ControlFlow::Continue(()),
            // What comes behind is repeated.
            Some(begun) if begun.offer.number != before => return ControlFlow::Break(true),
            Some(begun) => (Some(begun.listener), Some(begun.offer)),
            None => match self.offer_of(&tuple, before, first, core.now) {
                None => return ControlFlow::Continue(()),
                offer => {
                    let hash = || shared.hash(tuple.remote);
                    (shared.ports.listener(super::TCP, tuple.local, core.links.arrived_on, hash), offer)
                }
            },
        };
        let (Some(listener), Some(offer)) = (listener, offer) else { return ControlFlow::Continue(()) };
        // Its peer believes that it stands, so it does, however long the queue is by
        // now. Without room it stays as it is, and the peer is told once more.
        if !self.has_room(core, listener) {
            return ControlFlow::Break(false);
        }
        let Ok(index) = self.open(shared, core, listener, tuple, first) else { return ControlFlow::Break(false) };
        if let Some(known) = known {
            self.handshakes.remove(known);
        }
        let (mut bytes, len) = offer.packet(&tuple);
        self.process(shared, core, index, &mut bytes[..len]);
        let connection = &mut self.connections[index];
        let mut wire = Wire::new(&mut core.links, core.now, connection.marks, &mut connection.last, None);
        wire.dry = true;
        shared.interface(wire.marks.local).poll_egress(instant(core.now), &mut wire, &mut connection.set);
        self.process(shared, core, index, packet);
        self.settle_index(shared, core, index);
        if self.connections.get(index).is_some_and(|c| c.listener.is_some()) {
            // It did not convince smoltcp.
            self.end(shared, core, index);
        }
        ControlFlow::Break(true)
    }

    /// Whether the session of a listener may have one more connection.
    fn has_room(&mut self, core: &Core, listener: SocketId) -> bool {
        let session = core.sockets[listener].session;
        let owner = &core.sessions[session];
        owner.waiting < owner.slots.len() && self.may_add(core, session)
    }

    /// Repeats the answers that are due.
    pub(super) fn repeat(&mut self, shared: &mut Shared, core: &mut Core) {
        while let Some(&(at, index)) = self.handshakes.timers.first()
            && at <= core.now
        {
            let begun = &mut self.handshakes.begun[index];
            if begun.repeats == REPEATS {
                self.handshakes.remove(index);
                continue;
            }
            begun.repeats += 1;
            begun.at = core.now + (FIRST << begun.repeats);
            let Begun { tuple, listener, offer, first, at: next, .. } = *begun;
            self.handshakes.timers.pop_first();
            self.handshakes.timers.insert((next, index));
            self.answer(shared, core, listener, &tuple, &offer, first);
        }
    }
}
