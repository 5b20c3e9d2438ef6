//! Segments on their way in: which connection they belong to, and what becomes
//! of those that belong to none.

use core::{net::SocketAddr, ops::ControlFlow};

use smoltcp::{
    socket::tcp::State,
    wire::{IpListenEndpoint, TcpPacket, TcpSeqNumber},
};
use strait_abi::{Errno, socket as c};

use super::{
    Endpoint, Hold, LastSent, Marks, Phase, Port, Shared, Sharing, TCP, Tcp, Tuple, Wire, checksum, ip,
    options::clamp_segment,
    time_wait,
    urgent::{URG, after},
};
use crate::{core::Core, link::dhcp::instant, socket::SocketId};

impl Tcp {
    /// A segment arrived, in a valid packet for this host.
    pub fn input(&mut self, shared: &mut Shared, core: &mut Core, packet: &mut [u8]) -> bool {
        if checksum::transport(packet) != 0 {
            return false;
        }
        let header = ip::header_len(packet);
        let (source, target) = ip::addresses(packet);
        if source.is_unspecified() || target.is_unspecified() {
            return false;
        }
        let Ok(tcp) = TcpPacket::new_checked(&packet[header..]) else { return false };
        let tuple =
            Tuple { local: SocketAddr::new(target, tcp.dst_port()), remote: SocketAddr::new(source, tcp.src_port()) };
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
        if let Some(index) = found
            && resets
            && self.connections[index].tcp().state() == State::TimeWait
        {
            // It is not believed (RFC 1337): what came before the end is the
            // client's.
            return true;
        }
        if found.is_none()
            && let Some(last) = self.time_wait.get(&tuple, core.now)
        {
            if opens {
                if let Some(hold) = self.time_wait.remove(&tuple) {
                    shared.ports.release(TCP, tuple.local.port(), &hold);
                }
            } else {
                // What repeats is acknowledged again; a RST is not believed.
                let asks = tcp.fin() || !tcp.payload().is_empty();
                if asks && !resets {
                    time_wait::acknowledge(core, &tuple, last, 0);
                }
                return true;
            }
        }
        let Some(index) = found else {
            if !opens {
                return match self.conclude(shared, core, tuple, packet) {
                    ControlFlow::Break(taken) => taken,
                    ControlFlow::Continue(()) => self.refuse(shared, core, packet),
                };
            }
            return match shared.ports.listener(TCP, tuple.local, core.links.arrived_on, || shared.hash(tuple.remote)) {
                Some(listener) => self.greet(shared, core, listener, tuple, packet),
                None => self.refuse(shared, core, packet),
            };
        };
        if !self.held.hold(&tuple, packet, header) {
            self.process(shared, core, index, packet);
        }
        true
    }

    /// Gives an acknowledgement that waited to its connection.
    pub(super) fn release(&mut self, shared: &mut Shared, core: &mut Core) {
        if let Some((tuple, mut packet, len)) = self.held.take()
            && let Some(index) = self.find(&tuple)
        {
            self.process(shared, core, index, &mut packet[..len]);
        }
    }

    /// Gives a segment to its connection.
    pub(super) fn process(&mut self, shared: &mut Shared, core: &mut Core, index: usize, packet: &mut [u8]) {
        let header = ip::header_len(packet);
        let mut tcp = TcpPacket::new_unchecked(&mut packet[header..]);
        let (opens, resets) = (tcp.syn(), tcp.rst());
        let connection = &mut self.connections[index];
        let acknowledged = tcp.ack().then(|| tcp.ack_number().0 as u32);
        if let Some(number) = acknowledged {
            tcp.set_ack_number(TcpSeqNumber(number.wrapping_sub(connection.last.shift) as i32));
        }
        let before = connection.tcp().state();
        if opens && matches!(before, State::Listen | State::SynSent) {
            connection.urgent.next_in = (tcp.seq_number().0 as u32).wrapping_add(1);
            let most = if connection.marks.segment == 0 { u16::MAX } else { connection.marks.segment };
            // Without the option it is 536 (RFC 9293 3.7.1), as smoltcp knows.
            connection.watch.segment = clamp_segment(&mut packet[header..], most).unwrap_or(536).max(1);
        }
        connection.watch.heard = core.now;
        if connection.watch.probes != 0 {
            connection.watch.probes = 0;
            connection.tcp().set_keep_alive(None);
        }
        if packet[header + 13] & URG != 0 || connection.urgent.mark.is_some() {
            self.look_for_urgent(core, index, &packet[header..]);
        }
        if self.connections[index].fin_wanted && self.refuses(shared, core, index, &packet[header..]) {
            self.mark(index);
            return;
        }
        let connection = &mut self.connections[index];
        let waited = connection.tcp().send_queue();
        let mut wire = Wire::new(&mut core.links, core.now, connection.marks, &mut connection.last, Some(packet));
        shared.interface(wire.marks.local).poll_ingress_single(instant(core.now), &mut wire, &mut connection.set);
        let answered = wire.sent != 0;
        connection.watch.came(acknowledged, core.now, answered);
        let after = connection.tcp().state();
        if connection.tcp().send_queue() < waited {
            connection.last.repeats = 0;
        }
        connection.asked |= after == State::SynReceived;
        if resets && before != State::Closed {
            connection.reset |= matches!(after, State::Closed | State::Listen);
            connection.late = before == State::CloseWait;
        }
        self.mark(index);
    }

    /// Data for who neither sends nor receives any more is refused (RFC 1122
    /// 4.2.2.13, Linux: tcp_rcv_state_process).
    #[cold]
    fn refuses(&mut self, shared: &Shared, core: &Core, index: usize, segment: &[u8]) -> bool {
        let connection = &mut self.connections[index];
        let shut = core.sockets.get(connection.socket).is_some_and(|s| shared.endpoints[s.state].shut.0);
        let tcp = TcpPacket::new_unchecked(segment);
        let (number, data) = (tcp.seq_number().0 as u32, tcp.payload().len() as u32);
        let expected = connection.urgent.next_in.wrapping_add(connection.tcp().recv_queue() as u32);
        let window = connection.tcp().recv_capacity() as u32;
        let new = after(number.wrapping_add(data), expected) && !after(number, expected.wrapping_add(window));
        if !shut || data == 0 || !new || tcp.syn() || tcp.rst() || connection.over {
            return false;
        }
        connection.tcp().abort();
        connection.reset = true;
        true
    }

    #[inline]
    fn find(&mut self, tuple: &Tuple) -> Option<usize> {
        if self.connections.get(self.last).is_some_and(|c| c.tuple == *tuple && !c.over) {
            return Some(self.last);
        }
        let index = *self.by_tuple.get(tuple)?;
        self.last = index;
        Some(index)
    }

    /// Answers a segment that belongs to nothing: with a RST, if at all.
    fn refuse(&mut self, shared: &mut Shared, core: &mut Core, packet: &[u8]) -> bool {
        let mut last = LastSent::default();
        let mut wire = Wire::new(&mut core.links, core.now, Marks::default(), &mut last, Some(packet));
        shared.interface(false).poll_ingress_single(instant(core.now), &mut wire, &mut self.nobody);
        false
    }

    /// Makes a connection of a listener, whose first sequence number is `first`.
    pub(super) fn open(
        &mut self,
        shared: &mut Shared,
        core: &mut Core,
        listener: SocketId,
        tuple: Tuple,
        first: u32,
    ) -> Result<usize, Errno> {
        let parent = &core.sockets[listener];
        let (session, family, domain, options, state) =
            (parent.session, parent.family, parent.domain, parent.options, parent.state);
        let id = core.add(session, family, domain, c::SOCK_STREAM, TCP, true)?;
        let index = match self.add(shared, core, id, tuple, first) {
            Ok(index) => index,
            Err(errno) => {
                core.remove(id);
                return Err(errno);
            }
        };
        let parent = &shared.endpoints[state];
        let (ip, hops, only6, tcp) = (parent.ip, parent.hops, parent.only6, parent.tcp);
        let (fixed, shut) = (parent.fixed, parent.shut);
        let hold = Hold { address: tuple.local.ip(), sharing: Sharing::of(core, listener) };
        shared.ports.hold(TCP, tuple.local.port(), hold);
        core.sockets[id].options = options;
        core.sockets[id].state = shared.endpoints.insert(Endpoint {
            local: Some(tuple.local),
            peer: Some(tuple.remote),
            connection: Some(index),
            ip,
            hops,
            only6,
            tcp,
            port: Port::Held(hold),
            fixed: (fixed.0, false),
            phase: Phase::Connected,
            shut,
            ..Endpoint::new()
        });
        let connection = &mut self.connections[index];
        connection.listener = Some(listener);
        let tcp = connection.tcp();
        let at = IpListenEndpoint { addr: Some(tuple.local.ip().into()), port: tuple.local.port() };
        if tcp.listen(at).is_err() {
            self.end(shared, core, index);
            return Err(Errno::EIO);
        }
        self.apply_options(shared, core, id);
        Ok(index)
    }
}
