//! Datagrams and sequenced packets: records from the ring of one client
//! straight into the other's.

use alloc::{boxed::Box, collections::VecDeque};

use strait_abi::{
    Errno,
    control::{Item, put, space},
    net::RecordHeader,
    rights::MAX_CONTROL,
    socket as c,
};
use strait_ring::{
    Misbehaved, PAGE,
    paged::{RING_BYTES, RING_PAGES},
};
use zerocopy::{FromBytes, IntoBytes};

use super::{
    Unix,
    control::{Control, Credentials, identity},
    endpoint::{KEPT, Received, Sent},
    names::{Name, SOCKADDR, TOKEN},
    queue::{MAX_QUEUE, cost, sender},
    stream::{Flow, RECORD_HEAD, between},
};
use crate::{
    core::Core,
    socket::{SocketId, time_of_arrival},
};

/// What a record's head of the data needs of SO_SNDBUF (Linux).
const OVERHEAD: u32 = 32;
/// Records that one socket moves in one turn.
const BURST: usize = 64;
/// Most bytes of control data in a record to a client: the time, who sent it,
/// and that there are descriptors.
const ANNOUNCED: usize = space(16) + space(Credentials::BYTES) + space(0);
/// Most bytes before the data: header, address, control data.
const HEAD: usize = RecordHeader::BYTES + SOCKADDR.next_multiple_of(8) + ANNOUNCED;
/// Most bytes of address from a client.
const MAX_ADDRESS: usize = SOCKADDR + TOKEN;

/// A record in a client's ring.
#[derive(Clone, Copy)]
struct Record {
    header: RecordHeader,
    /// Bytes of it in the ring.
    total: u32,
    /// Its place behind the head of the ring.
    offset: u32,
}

impl Unix {
    /// Bytes of records that were sent and wait in the ring from the client.
    pub(super) fn accepted(&self, core: &Core, id: SocketId) -> u32 {
        self.endpoints[core.sockets[id].state].sent.iter().map(|s| s.total).sum()
    }

    /// The record that the client wrote behind those that were accepted; `Err`
    /// if it is none.
    fn new_record(&self, core: &mut Core, id: SocketId) -> Result<Option<Record>, Misbehaved> {
        let offset = self.accepted(core, id);
        let Some((rings, ..)) = core.rings(id) else { return Ok(None) };
        let written = rings.tx.available()?.saturating_sub(offset);
        if written == 0 {
            return Ok(None);
        }
        let mut head = [0; RecordHeader::BYTES];
        rings.tx.copy(offset, &mut head).ok_or(Misbehaved)?;
        let header = RecordHeader::read_from_bytes(&head).map_err(|_| Misbehaved)?;
        let total = header.total().filter(|total| *total <= written).ok_or(Misbehaved)?;
        let sane = usize::from(header.address) <= MAX_ADDRESS && usize::from(header.control) <= MAX_CONTROL;
        if sane { Ok(Some(Record { header, total, offset })) } else { Err(Misbehaved) }
    }

    /// What of a record is not data.
    fn part<const N: usize>(core: &mut Core, id: SocketId, offset: u32, len: u16) -> Result<([u8; N], usize), Errno> {
        let mut bytes = [0; N];
        let len = usize::from(len);
        let copied =
            core.rings(id).zip(bytes.get_mut(..len)).and_then(|((rings, ..), into)| rings.tx.copy(offset, into));
        copied.map(|()| (bytes, len)).ok_or(Errno::EPROTO)
    }

    fn consume(core: &mut Core, id: SocketId, bytes: u32) {
        if let Some((rings, arena, _)) = core.rings(id) {
            rings.tx.consume(bytes, arena);
        }
    }

    /// The client wrote what is no record: nobody can tell where the next one
    /// begins.
    fn no_record(&mut self, core: &mut Core, id: SocketId, error: Misbehaved) {
        self.drop_written(core, id);
        core.punish(id, error);
    }

    /// What the client has written and nobody has got will not arrive.
    pub(super) fn drop_written(&mut self, core: &mut Core, id: SocketId) {
        let endpoint = self.endpoint(core, id);
        endpoint.take_pending().into_iter().for_each(|control| control.lose(core));
        for sent in ::core::mem::take(&mut endpoint.sent).into_iter().filter(|s| s.head != 0) {
            endpoint.unread -= cost(sent.data);
            if let Some(control) = sent.control {
                control.lose(core);
            }
        }
        Self::consume(core, id, u32::MAX);
    }

    /// send(2) of the record that the client wrote; on a stream, only room is
    /// asked for.
    pub(super) fn send_record(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        if core.sockets[id].kind == c::SOCK_STREAM {
            self.settle_one(core, id);
            return Ok(());
        }
        let record = match self.new_record(core, id) {
            Ok(Some(record)) => record,
            Ok(None) => return self.make_room(core, id),
            Err(error) => {
                self.no_record(core, id, error);
                return Err(Errno::EPROTO);
            }
        };
        let datagram = core.sockets[id].kind == c::SOCK_DGRAM;
        let result = if datagram { self.send_datagram(core, id, &record) } else { self.send_packet(core, id, &record) };
        if datagram || result.is_err() {
            self.pass_over(core, id, record.total);
        }
        self.settle_one(core, id);
        result
    }

    /// Takes the record off that was written last.
    fn pass_over(&mut self, core: &mut Core, id: SocketId, total: u32) {
        let sent = &mut self.endpoint(core, id).sent;
        match sent.back_mut() {
            None => Self::consume(core, id, total),
            Some(last) if last.head == 0 => last.total += total,
            Some(_) => sent.push_back(Sent { total, data: 0, head: 0, writer: None, control: None }),
        }
    }

    /// Only room was asked for.
    fn make_room(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        self.settle_one(core, id);
        let Some((rings, arena, options)) = core.rings(id) else { return Ok(()) };
        let most = (options.send_buffer + RECORD_HEAD).min(RING_BYTES - PAGE as u32);
        let pages = (arena.open() as u32).saturating_sub(1) * PAGE as u32;
        let (wanted, most) = (rings.tx.wanted(), most.min(pages));
        // A connection that takes nothing more gets no room for it.
        let shut = self.endpoints[core.sockets[id].state].shut_write && core.sockets[id].kind == c::SOCK_SEQPACKET;
        if wanted > most {
            Err(Errno::EMSGSIZE)
        } else if shut {
            Err(Errno::EPIPE)
        } else {
            Ok(())
        }
    }

    /// Room for the longest record, as it is written.
    pub(super) fn grant_record(&mut self, core: &mut Core, id: SocketId) -> bool {
        let before = self.accepted(core, id);
        let Some((rings, arena, options)) = core.rings(id) else { return false };
        rings.grant_behind(arena, before, options.send_buffer + RECORD_HEAD, RING_BYTES - PAGE as u32)
    }

    /// What send(2) looks at before where it goes (Linux: sock_alloc_send_pskb).
    fn check_sender(&mut self, core: &mut Core, id: SocketId, record: &Record) -> Result<(), Errno> {
        let buffer = core.sockets[id].options.send_buffer;
        let endpoint = self.endpoint(core, id);
        let (shut, unread) = (endpoint.shut_write, endpoint.unread);
        if record.header.data > buffer.saturating_sub(OVERHEAD) {
            Err(Errno::EMSGSIZE)
        } else if let Some(errno) = core.take_error(id) {
            Err(errno)
        } else if shut {
            Err(Errno::EPIPE)
        } else if unread >= buffer {
            Err(Errno::EAGAIN)
        } else {
            Ok(())
        }
    }

    fn send_datagram(&mut self, core: &mut Core, id: SocketId, record: &Record) -> Result<(), Errno> {
        let state = core.sockets[id].state;
        if let Some(peer) = self.peer(core, id) {
            self.reclaim(core, peer);
        }
        let (address, len) = Self::part::<MAX_ADDRESS>(core, id, RecordHeader::BYTES as u32, record.header.address)?;
        let name = &address[..len];
        if len != 0 {
            Name::parse(name)?.known()?;
        }
        if self.endpoints[state].pass_credentials {
            self.autobind(core, id)?;
        }
        self.check_sender(core, id, record)?;
        let to = self.destination(core, id, name)?;
        // Who is connected hears nobody else (unix_may_send).
        let target = core.sockets[to].state;
        let mutual = self.endpoints[target].peer.is_some() && self.peer(core, to) == Some(id);
        if self.endpoints[target].peer.is_some() && !mutual {
            return Err(Errno::EPERM);
        }
        if self.endpoints[target].shut_read {
            return Err(Errno::EPIPE);
        }
        let record = self.prepare(core, id, to, record)?;
        self.reclaim(core, to);
        let full = to != id && !mutual && self.endpoints[target].queue.len() > MAX_QUEUE;
        let cost = cost(record.data);
        self.endpoints[state].unread += cost;
        if let Err(record) = if full { Err(record) } else { self.deliver(core, id, to, record) } {
            self.endpoints[state].unread -= cost;
            if let Some(control) = record.control {
                control.refuse(core);
            }
            self.wait_for_room(core, id, to);
            self.update_datagram(core, to);
            return Err(Errno::EAGAIN);
        }
        if let Some((rings, ..)) = core.rings(to) {
            rings.rx.publish();
        }
        core.event(to);
        self.queue_changed(core, to);
        Ok(())
    }

    /// Where a datagram goes. ECONNREFUSED, once, if the peer is gone.
    fn destination(&mut self, core: &mut Core, id: SocketId, name: &[u8]) -> Result<SocketId, Errno> {
        if !name.is_empty() {
            return self.find(core, id, name, c::SOCK_DGRAM);
        }
        match (self.peer(core, id), self.endpoint(core, id).peer) {
            (Some(peer), _) => Ok(peer),
            (None, None) => Err(Errno::ENOTCONN),
            (None, Some(_)) => {
                self.endpoint(core, id).peer = None;
                self.forget_peer(core, id, None);
                Err(Errno::ECONNREFUSED)
            }
        }
    }

    /// What the client wrote, to be sent to `to`, with its control data. EPERM if
    /// that takes no descriptors (SO_PASSRIGHTS).
    fn prepare(&mut self, core: &mut Core, id: SocketId, to: SocketId, record: &Record) -> Result<Sent, Errno> {
        let Record { header, total, offset } = *record;
        Self::check_receiver(core, to, header.data)?;
        let session = core.sockets[id].session;
        let mut control = Control::default();
        if header.control != 0 {
            let (bytes, len) = Self::part::<MAX_CONTROL>(core, id, offset + header.control_offset(), header.control)?;
            control = Control::take(core, session, &bytes[..len])?;
        }
        if !control.rights.is_empty() && !self.endpoint(core, to).pass_rights {
            control.refuse(core);
            return Err(Errno::EPERM);
        }
        let writer = control.from.or(self.told_writer(core, id, to));
        let control = (!control.rights.is_empty()).then(|| Box::new(control));
        Ok(Sent { total, data: header.data, head: header.data_offset() as u16, writer, control })
    }

    /// EMSGSIZE if a record of so many bytes of data finds no place at a socket
    /// though nothing else is there.
    fn check_receiver(core: &Core, to: SocketId, data: u32) -> Result<(), Errno> {
        // In the middle of a page it needs one more.
        let pages = (data as usize + HEAD).div_ceil(PAGE) + 1;
        let arena = &core.sessions[core.sockets[to].session].arena;
        if pages > arena.open().min(RING_PAGES) { Err(Errno::EMSGSIZE) } else { Ok(()) }
    }

    /// Copies the record at the head of the ring to the receiver's; gives it back
    /// if there is no room. The sender is charged already.
    fn deliver(&mut self, core: &mut Core, id: SocketId, to: SocketId, sent: Sent) -> Result<(), Sent> {
        self.reclaim(core, to);
        let source = core.sockets[id].state;
        let mut announced = [0; ANNOUNCED];
        let mut used = 0;
        if let Some((kind, time)) = time_of_arrival(&core.sockets[to].options, core.now) {
            put(&mut announced, &mut used, Item { level: c::SOL_SOCKET, kind, value: &time });
        }
        if sent.writer.is_some() {
            identity(core, sent.writer, &mut announced, &mut used);
        }
        if sent.control.is_some() {
            // They are asked for.
            put(&mut announced, &mut used, Item { level: c::SOL_SOCKET, kind: c::SCM_RIGHTS, value: &[] });
        }
        let name = self.endpoints[source].address.as_bytes();
        let header = RecordHeader { data: sent.data, address: name.len() as u16, control: used as u16 };
        let mut head = [0; HEAD];
        let at = header.control_offset() as usize;
        let (Some(total), true) = (header.total(), at + used <= HEAD) else { return Err(sent) };
        head[..RecordHeader::BYTES].copy_from_slice(header.as_bytes());
        head[RecordHeader::BYTES..RecordHeader::BYTES + name.len()].copy_from_slice(name);
        head[at..at + used].copy_from_slice(&announced[..used]);
        let head = &head[..header.data_offset() as usize];
        let (offset, len) = (sent.head.into(), sent.data as usize);
        let start = between(core, id, to, |tx, rx, arena| {
            let start = rx.tail();
            rx.push_record_ring(arena, RING_BYTES, total as usize, head, (tx, offset, len)).then_some(start)
        });
        let Some(Some(start)) = start else { return Err(sent) };
        let sender = sender(id, &self.endpoints[source]);
        let watched = !self.has_space(core, id);
        let target = self.endpoint(core, to);
        target.push(start, Received { total, data: sent.data, sender, control: sent.control });
        target.watched |= watched;
        Ok(())
    }

    fn send_packet(&mut self, core: &mut Core, id: SocketId, record: &Record) -> Result<(), Errno> {
        if !self.endpoint(core, id).connected {
            return Err(Errno::ENOTCONN);
        }
        if self.endpoint(core, id).pass_credentials {
            self.autobind(core, id)?;
        }
        let peer = self.peer(core, id);
        if let Some(peer) = peer {
            self.reclaim(core, peer);
        }
        self.check_sender(core, id, record)?;
        let record = self.prepare(core, id, peer.ok_or(Errno::EPIPE)?, record)?;
        let endpoint = self.endpoint(core, id);
        endpoint.unread += cost(record.data);
        endpoint.sent.push_back(record);
        Ok(())
    }

    /// Moves the records that the client of `from` sent to the client of its
    /// peer.
    pub(super) fn pump_records(&mut self, core: &mut Core, from: SocketId, to: SocketId) -> Flow {
        let mut flow = Flow::default();
        let session = core.sockets[from].session;
        for _ in 0..BURST {
            let sent = &mut self.endpoint(core, from).sent;
            if sent.is_empty() {
                if sent.capacity() > KEPT {
                    *sent = VecDeque::new();
                }
                return flow;
            }
            if !core.spend(session, 1) {
                break;
            }
            let Some(record) = self.endpoint(core, from).sent.pop_front() else { return flow };
            let total = record.total;
            if record.head != 0 {
                if let Err(record) = self.deliver(core, from, to, record) {
                    self.endpoint(core, from).sent.push_front(record);
                    flow.held = true;
                    return flow;
                }
                flow.moved = true;
            }
            Self::consume(core, from, total);
        }
        flow.more = true;
        flow
    }
}
