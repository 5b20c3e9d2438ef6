//! Urgent data (RFC 9293 3.8.5, RFC 6093), at the edge of smoltcp, which does
//! not know of it.
//!
//! The pointer points behind the urgent byte, as with all BSDs and Linux
//! (tcp(7)). Every byte stays in the stream that the client gets; the mark says
//! which of them is urgent, and the client passes over it unless SO_OOBINLINE is
//! set. So the mark can move on while the client has not come to it, and the
//! byte that was marked before becomes an ordinary one, as on Linux.

use core::sync::atomic::Ordering;

use smoltcp::{
    socket::tcp::{Socket, State},
    wire::TcpPacket,
};
use strait_abi::{Errno, session::status};

use super::{Connection, Shared, Tcp, time_wait};
use crate::{
    core::Core,
    socket::{Rings, SocketId},
};

/// The flag of a TCP segment, in byte 13 of its header.
pub const URG: u8 = 0x20;

/// What is known of the urgent byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Byte {
    /// It is announced.
    NotYet,
    /// It is here.
    Here(u8),
    /// recv(2) with MSG_OOB took it.
    Taken,
}

/// The urgent mark of the stream that comes in.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// The sequence number of the urgent byte.
    number: u32,
    byte: Byte,
}

/// Urgent data of a connection, and what tells places in its streams from
/// sequence numbers.
#[derive(Debug, Default)]
pub struct Urgent {
    pub mark: Option<Mark>,
    /// The sequence number of the next byte that goes from smoltcp to the
    /// client.
    pub next_in: u32,
    /// Bytes of the client that went to smoltcp.
    pub given: u32,
    /// The end of the bytes that the client passes over, as a place in its
    /// ring.
    skip: Option<u32>,
    /// The peer is still to be told of the urgent byte that we send.
    announce: bool,
}

impl Urgent {
    /// Whether the client must know of something.
    #[inline]
    pub fn present(&self) -> bool {
        self.mark.is_some() || self.skip.is_some()
    }
}

/// Whether sequence number `a` comes after `b`.
pub(super) fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// The place in the ring to the client of a sequence number.
fn place(rings: &Rings, next: u32, number: u32) -> u32 {
    rings.rx.tail().wrapping_add(number.wrapping_sub(next))
}

impl Connection {
    /// The sequence number of the next byte that the client reads.
    fn copied(&self, core: &mut Core) -> u32 {
        let unread = match core.rings(self.socket) {
            Some((rings, arena, _)) => {
                let _ = rings.rx.reclaim(arena);
                rings.rx.used()
            }
            None => 0,
        };
        self.urgent.next_in.wrapping_sub(unread)
    }
}

impl Tcp {
    /// Looks for urgent data in a segment for a connection, before smoltcp
    /// gets it (Linux: tcp_check_urg, tcp_urg).
    #[cold]
    pub(super) fn look_for_urgent(&mut self, core: &mut Core, index: usize, segment: &[u8]) {
        let connection = &mut self.connections[index];
        let tcp = TcpPacket::new_unchecked(segment);
        let state = connection.tcp().state();
        if !matches!(state, State::SynReceived | State::Established | State::FinWait1 | State::FinWait2)
            || tcp.syn()
            || tcp.rst()
        {
            return;
        }
        // Only segments of which a part lies in the window count.
        let (number, data) = (tcp.seq_number().0 as u32, tcp.payload());
        let next = connection.urgent.next_in;
        let (queued, window) = (connection.tcp().recv_queue() as u32, connection.tcp().recv_capacity() as u32);
        let end = number.wrapping_add(data.len() as u32);
        if after(number, next.wrapping_add(window)) || after(next, end) {
            return;
        }
        if tcp.urg() {
            let number = number.wrapping_add(u32::from(tcp.urgent_at()).saturating_sub(1));
            self.move_mark(core, index, number, next.wrapping_add(queued));
        }
        let connection = &mut self.connections[index];
        if let Some(mark) = &mut connection.urgent.mark
            && mark.byte == Byte::NotYet
            && let Some(byte) = data.get(mark.number.wrapping_sub(number) as usize)
        {
            mark.byte = Byte::Here(*byte);
        }
    }

    /// A segment says that the byte `number` is urgent; `expected` is the next
    /// one that has not come.
    fn move_mark(&mut self, core: &mut Core, index: usize, number: u32, expected: u32) {
        let connection = &mut self.connections[index];
        let copied = connection.copied(core);
        let urgent = &mut connection.urgent;
        let known = urgent.mark.map(|m| m.number);
        // Read, here already, or known.
        if after(copied, number) || after(expected, number) || known.is_some_and(|known| !after(number, known)) {
            return;
        }
        let (socket, next) = (connection.socket, urgent.next_in);
        if let Some(known) = known
            && let Some((rings, _, options)) = core.rings(socket)
            && !options.oob_inline
        {
            // The client stands at the byte that was urgent until now (or
            // behind others such that it still has to pass over): it does not
            // become an ordinary one.
            let at = place(rings, next, known);
            let head = rings.rx.tail().wrapping_sub(rings.rx.used());
            if known != expected && (copied == known || urgent.skip == Some(at) && after(at, head)) {
                urgent.skip = Some(at.wrapping_add(1));
                rings.slot.rx_skip.store(at.wrapping_add(1), Ordering::Release);
            }
        }
        urgent.mark = Some(Mark { number, byte: Byte::NotYet });
        core.event(socket);
    }

    /// Publishes the mark, and forgets it when the client has passed it.
    /// Returns the bits of the status word.
    #[cold]
    pub(super) fn publish_mark(&mut self, core: &mut Core, index: usize) -> u32 {
        let connection = &mut self.connections[index];
        let copied = connection.copied(core);
        let urgent = &mut connection.urgent;
        let mut word = 0;
        let Some((rings, ..)) = core.rings(connection.socket) else { return 0 };
        let head = rings.rx.tail().wrapping_sub(rings.rx.used());
        urgent.skip = urgent.skip.filter(|end| after(*end, head));
        word |= if urgent.skip.is_some() { status::SKIP } else { 0 };
        urgent.mark = urgent.mark.filter(|mark| !after(copied, mark.number));
        if let Some(mark) = urgent.mark {
            rings.slot.rx_mark.store(place(rings, urgent.next_in, mark.number), Ordering::Release);
            word |= status::MARK | if matches!(mark.byte, Byte::Here(_)) { status::PRI } else { 0 };
        }
        word
    }

    /// recv(2) with MSG_OOB (Linux: tcp_recv_urg).
    pub fn receive_urgent(
        &mut self,
        shared: &mut Shared,
        core: &mut Core,
        id: SocketId,
        peek: bool,
    ) -> Result<Option<u8>, Errno> {
        if core.sockets[id].queue.is_some() {
            return Err(Errno::ENOTCONN);
        }
        let endpoint = &shared.endpoints[core.sockets[id].state];
        let (ended, done) = (endpoint.shut.0, endpoint.done);
        let index = endpoint.connection.ok_or(Errno::EINVAL)?;
        let inline = core.sockets[id].options.oob_inline;
        let connection = &mut self.connections[index];
        let copied = connection.copied(core);
        let mark = connection.urgent.mark.as_mut().filter(|mark| !inline && !after(copied, mark.number));
        let mark = mark.ok_or(Errno::EINVAL)?;
        match mark.byte {
            Byte::Taken => Err(Errno::EINVAL),
            _ if connection.over && !done => Err(Errno::ENOTCONN),
            Byte::NotYet if ended => Ok(None),
            Byte::NotYet => Err(Errno::EAGAIN),
            Byte::Here(byte) => {
                if !peek {
                    mark.byte = Byte::Taken;
                    self.settle_index(shared, core, index);
                }
                Ok(Some(byte))
            }
        }
    }

    /// send(2) with MSG_OOB: the last of the `bytes` that come next is urgent.
    pub fn send_urgent(&mut self, shared: &mut Shared, core: &mut Core, id: SocketId, bytes: u32) -> Result<(), Errno> {
        let index = shared.endpoints[core.sockets[id].state].connection.ok_or(Errno::EPIPE)?;
        let connection = &mut self.connections[index];
        if !connection.connected || connection.fin_wanted {
            return Err(Errno::EPIPE);
        }
        let waiting = match core.rings(id) {
            Some((rings, ..)) => rings.tx.available().map_err(|_| Errno::EPROTO)?,
            None => 0,
        };
        let end = connection.urgent.given.wrapping_add(waiting).wrapping_add(bytes);
        connection.marks.urgent = Some(connection.last.first.wrapping_add(end));
        connection.urgent.announce = true;
        connection.last.urgent = false;
        Ok(())
    }

    /// After what can be sent was sent: the peer is told of an urgent byte even
    /// if its window has no room for it, and one that it has is forgotten.
    #[cold]
    pub(super) fn announce_urgent(&mut self, core: &mut Core, index: usize) {
        let connection = &mut self.connections[index];
        let tcp: &Socket<'_> = connection.set.get(connection.handle);
        let Some(end) = connection.marks.urgent else { return };
        let first = connection.last.first;
        let sent = first.wrapping_add(connection.urgent.given);
        let acknowledged = sent.wrapping_sub(tcp.send_queue() as u32);
        let waits = match core.rings(connection.socket) {
            Some((rings, ..)) => rings.tx.available().is_ok_and(|n| n > 0),
            None => false,
        };
        if !after(end, acknowledged) || tcp.state() == State::Closed {
            connection.marks.urgent = None;
            return;
        }
        // Told when it is on its way, with a segment or without; not before
        // the client has written it.
        let written = !after(end, sent) || waits;
        if connection.last.urgent {
            connection.urgent.announce = false;
        } else if connection.urgent.announce && written {
            connection.urgent.announce = false;
            let distance = end.wrapping_sub(connection.last.next).min(0xffff) as u16;
            time_wait::acknowledge(core, &connection.tuple, connection.last, distance);
        }
    }
}
