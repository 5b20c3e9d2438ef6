//! Datagrams and sequenced packets: records from the ring of one client
//! straight into the other's.

use alloc::boxed::Box;

use strait_abi::{Errno, control::space, net::RecordHeader, session::status, socket as c};
use strait_ring::{Misbehaved, paged::RING_BYTES};
use zerocopy::{FromBytes, IntoBytes};

use super::{
    Unix,
    control::{ANNOUNCED, Control, Credentials},
    endpoint::Mark,
    names::{SOCKADDR, TOKEN},
    stream::{Flow, RECORD_HEAD, between},
};
use crate::{core::Core, socket::SocketId};

/// Datagrams that wait at a receiver that is not connected to their sender
/// (Linux: net.unix.max_dgram_qlen).
const MAX_QUEUE: usize = 10;
/// Part of a buffer that a record costs at least.
const RECORD_COST: usize = 512;
/// What a record's head of the data needs of SO_SNDBUF (Linux).
const OVERHEAD: u32 = 32;
/// Records that one socket moves in one turn.
const BURST: usize = 64;
/// Most bytes before the data: header, address, control data.
const HEAD: usize = RecordHeader::BYTES + SOCKADDR.next_multiple_of(8) + ANNOUNCED;
/// Most bytes of address and control data from a client.
const MAX_ADDRESS: usize = SOCKADDR + TOKEN;
const MAX_CONTROL: usize = ANNOUNCED;

/// A record at the head of a client's ring.
struct Record {
    header: RecordHeader,
    total: u32,
}

impl Unix {
    /// The first record that the client wrote; `Err` if it is none.
    fn first_record(core: &mut Core, id: SocketId) -> Result<Option<Record>, Misbehaved> {
        let Some((rings, ..)) = core.rings(id) else { return Ok(None) };
        let available = rings.tx.available()?;
        if available == 0 {
            return Ok(None);
        }
        let mut head = [0; RecordHeader::BYTES];
        rings.tx.copy(0, &mut head).ok_or(Misbehaved)?;
        let header = RecordHeader::read_from_bytes(&head).map_err(|_| Misbehaved)?;
        let total = header.total().filter(|total| *total <= available).ok_or(Misbehaved)?;
        let sane = usize::from(header.address) <= MAX_ADDRESS && usize::from(header.control) <= MAX_CONTROL;
        if sane { Ok(Some(Record { header, total })) } else { Err(Misbehaved) }
    }

    /// What of the first record is not data.
    fn part<const N: usize>(core: &mut Core, id: SocketId, offset: u32, len: u16) -> Option<([u8; N], usize)> {
        let mut bytes = [0; N];
        let len = usize::from(len);
        core.rings(id)?.0.tx.copy(offset, bytes.get_mut(..len)?)?;
        Some((bytes, len))
    }

    /// Takes records off the ring of a client that nobody gets: nobody can tell
    /// where the next one begins.
    fn discard(core: &mut Core, id: SocketId, bytes: u32) {
        if let Some((rings, arena, _)) = core.rings(id) {
            rings.tx.consume(bytes, arena);
        }
    }

    /// send(2) of the record that the client wrote.
    pub(super) fn send_record(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        match core.sockets[id].kind {
            c::SOCK_DGRAM => {
                let record = match Self::first_record(core, id) {
                    Ok(Some(record)) => record,
                    // Only room was asked for.
                    Ok(None) => {
                        self.grant_datagram(core, id);
                        return Ok(());
                    }
                    Err(error) => {
                        Self::discard(core, id, u32::MAX);
                        core.punish(id, error);
                        return Err(Errno::EPROTO);
                    }
                };
                let result = self.send_datagram(core, id, &record);
                Self::discard(core, id, record.total);
                self.grant_datagram(core, id);
                result
            }
            c::SOCK_SEQPACKET => {
                let result = self.check_packet(core, id);
                if result.is_err() {
                    Self::discard(core, id, u32::MAX);
                }
                self.settle_stream(core, id);
                result
            }
            _ => {
                self.settle_one(core, id);
                Ok(())
            }
        }
    }

    /// Room for the longest datagram, as it is written.
    pub(super) fn grant_datagram(&mut self, core: &mut Core, id: SocketId) {
        let Some((rings, arena, options)) = core.rings(id) else { return };
        if rings.grant(arena, options.send_buffer + RECORD_HEAD) {
            core.event(id);
        }
    }

    fn send_datagram(&mut self, core: &mut Core, id: SocketId, record: &Record) -> Result<(), Errno> {
        if record.header.data > core.sockets[id].options.send_buffer.saturating_sub(OVERHEAD) {
            return Err(Errno::EMSGSIZE);
        }
        let (address, len) = Self::part::<MAX_ADDRESS>(core, id, RecordHeader::BYTES as u32, record.header.address)
            .ok_or(Errno::EPROTO)?;
        let state = core.sockets[id].state;
        let connected = self.peer(core, id);
        let to = if len != 0 {
            self.find(core, id, &address[..len], c::SOCK_DGRAM)?
        } else {
            match (connected, self.endpoints[state].peer) {
                (Some(peer), _) => peer,
                (None, None) => return Err(Errno::ENOTCONN),
                (None, Some(_)) => {
                    self.endpoints[state].peer = None;
                    return Err(Errno::ECONNREFUSED);
                }
            }
        };
        if self.endpoints[state].shut_write {
            return Err(Errno::EPIPE);
        }
        if self.endpoints[state].pass_credentials && self.endpoints[state].key.is_none() {
            self.autobind(core, id)?;
        }
        // Who is connected hears nobody else (unix_may_send).
        let target = core.sockets[to].state;
        let mutual = self.endpoints[target].peer.is_some() && self.peer(core, to) == Some(id);
        if self.endpoints[target].peer.is_some() && !mutual {
            return Err(Errno::EPERM);
        }
        if self.endpoints[target].shut_read {
            return Err(Errno::EPIPE);
        }
        let control = self.record_control(core, id, record)?;
        let full = !mutual && {
            self.reclaim(core, to);
            self.endpoints[target].queue.len() > MAX_QUEUE
        };
        if full {
            control.refuse(core);
        } else {
            match self.deliver(core, id, to, record, control) {
                Ok(()) => {
                    if let Some((rings, ..)) = core.rings(to) {
                        rings.rx.publish();
                    }
                    core.event(to);
                    self.update_datagram(core, to);
                    return Ok(());
                }
                Err(control) => control.refuse(core),
            }
        }
        self.wait_for_room(core, id, to);
        self.endpoints[state].blocked = connected == Some(to) && !mutual;
        self.update_datagram(core, id);
        self.update_datagram(core, to);
        Err(Errno::EAGAIN)
    }

    fn record_control(&mut self, core: &mut Core, id: SocketId, record: &Record) -> Result<Control, Errno> {
        let offset = RecordHeader::BYTES as u32 + u32::from(record.header.address).next_multiple_of(8);
        let session = core.sockets[id].session;
        if record.header.control == 0 {
            return Ok(Control::plain(core, session));
        }
        let (control, len) = Self::part::<MAX_CONTROL>(core, id, offset, record.header.control).ok_or(Errno::EPROTO)?;
        Control::take(core, session, &control[..len])
    }

    /// Copies the record to the receiver's ring; gives the control data back if
    /// there is no room.
    fn deliver(
        &mut self,
        core: &mut Core,
        id: SocketId,
        to: SocketId,
        record: &Record,
        control: Control,
    ) -> Result<(), Control> {
        self.reclaim(core, to);
        let (source, target) = (core.sockets[id].state, core.sockets[to].state);
        let most = core.sockets[to].options.receive_buffer as usize / RECORD_COST;
        if self.endpoints[target].queue.len() >= most {
            return Err(control);
        }
        let mut announced = [0; ANNOUNCED];
        let used = control.announce(self.endpoints[target].pass_credentials, &mut announced);
        let name = self.endpoints[source].address.as_bytes();
        let header = RecordHeader { data: record.header.data, address: name.len() as u16, control: used as u16 };
        let mut head = [0; HEAD];
        let at = RecordHeader::BYTES + name.len().next_multiple_of(8);
        let (Some(total), true) = (header.total(), at + used <= HEAD) else { return Err(control) };
        head[..RecordHeader::BYTES].copy_from_slice(header.as_bytes());
        head[RecordHeader::BYTES..RecordHeader::BYTES + name.len()].copy_from_slice(name);
        head[at..at + used].copy_from_slice(&announced[..used]);
        let head = &head[..header.data_offset() as usize];
        let (offset, len) = (record.header.data_offset(), record.header.data as usize);
        let start = between(core, id, to, |tx, rx, arena, limit| {
            let start = rx.tail();
            // The first fits whatever SO_RCVBUF says.
            let limit = if rx.used() == 0 { RING_BYTES } else { limit };
            rx.push_record_ring(arena, limit, total as usize, head, (tx, offset, len)).then_some(start)
        });
        let Some(Some(start)) = start else { return Err(control) };
        let carries = !control.rights.is_empty();
        let control = carries.then(|| Box::new(control));
        self.endpoints[target].queue.push_back(Mark { start, bytes: total, control });
        Ok(())
    }

    fn check_packet(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        let endpoint = &self.endpoints[core.sockets[id].state];
        if !endpoint.connected {
            return Err(Errno::ENOTCONN);
        }
        if endpoint.shut_write {
            return Err(Errno::EPIPE);
        }
        // Records before it wait for room; this one is looked at on its own.
        match Self::first_record(core, id) {
            Ok(Some(record)) if record.header.data > core.sockets[id].options.send_buffer.saturating_sub(OVERHEAD) => {
                Err(Errno::EMSGSIZE)
            }
            Ok(Some(record)) if record.header.control != 0 => {
                self.record_control(core, id, &record).map(|control| control.refuse(core))
            }
            Ok(_) => Ok(()),
            Err(error) => {
                core.punish(id, error);
                Err(Errno::EPROTO)
            }
        }
    }

    /// Moves the records that the client of `from` wrote to the client of its
    /// peer.
    pub(super) fn pump_records(&mut self, core: &mut Core, from: SocketId, to: SocketId) -> Flow {
        let mut flow = Flow::default();
        let session = core.sockets[from].session;
        for _ in 0..BURST {
            if !core.spend(session, 1) {
                break;
            }
            let record = match Self::first_record(core, from) {
                Ok(Some(record)) => record,
                Ok(None) => return flow,
                Err(error) => {
                    Self::discard(core, from, u32::MAX);
                    core.punish(from, error);
                    return flow;
                }
            };
            if core.sockets[to].rings.is_none() {
                flow.held = true;
                return flow;
            }
            let sent =
                self.record_control(core, from, &record).map(|control| self.deliver(core, from, to, &record, control));
            match sent {
                Ok(Ok(())) => flow.moved = true,
                Ok(Err(control)) => {
                    control.refuse(core);
                    flow.held = true;
                    return flow;
                }
                Err(errno) => core.set_error(from, errno),
            }
            Self::discard(core, from, record.total);
        }
        flow.more = true;
        flow
    }

    /// Publishes the status of a datagram socket.
    pub(super) fn update_datagram(&mut self, core: &mut Core, id: SocketId) {
        let endpoint = &self.endpoints[core.sockets[id].state];
        let mut word = if endpoint.blocked { 0 } else { status::OUT };
        word |= if endpoint.shut_read { status::IN | status::RDHUP } else { 0 };
        word |= if endpoint.shut_write { status::WRSHUT } else { 0 };
        word |= if endpoint.shut_read && endpoint.shut_write { status::HUP } else { 0 };
        let carries = |m: &Mark| m.control.as_ref().is_some_and(|c| !c.rights.is_empty());
        let control = endpoint.queue.iter().any(carries);
        word |= if control { status::CONTROL } else { 0 };
        // Descriptors that nobody asks for are dropped when they are passed.
        word |= if control || endpoint.waiters != 0 { status::RING_ON_DRAIN } else { 0 };
        core.set_status(id, word);
    }

    /// Looks after a datagram socket.
    pub(super) fn settle_datagram(&mut self, core: &mut Core, id: SocketId) {
        let before = self.endpoints[core.sockets[id].state].queue.len();
        self.reclaim(core, id);
        let state = core.sockets[id].state;
        if self.endpoints[state].queue.len() < before || self.endpoints[state].queue.is_empty() {
            self.wake_waiters(core, id);
        }
        self.grant_datagram(core, id);
        self.update_datagram(core, id);
    }

    /// The record at the head of the ring, or the next message with control
    /// data in a stream; and the position of the head.
    pub(super) fn next_mark(&mut self, core: &mut Core, id: SocketId) -> Option<(&mut Mark, u32)> {
        self.reclaim(core, id);
        let head = core.rings(id)?.0.rx.head();
        let (state, stream) = (core.sockets[id].state, core.sockets[id].kind == c::SOCK_STREAM);
        let mark = self.endpoints[state].queue.front_mut()?;
        (stream || mark.start == head).then_some((mark, head))
    }
}

const _: () = assert!(MAX_CONTROL >= space(Credentials::BYTES));
