//! Records that wait at a socket: who pays for them, and who is told when there
//! is room.

use alloc::vec::Vec;

use ::core::sync::atomic::Ordering;

use strait_abi::{session::status, socket as c};

use super::{
    Unix,
    endpoint::{Endpoint, Received},
    stream::before,
};
use crate::{core::Core, socket::SocketId};

/// Datagrams that wait at a receiver that is not connected to their sender
/// (Linux: net.unix.max_dgram_qlen).
pub const MAX_QUEUE: usize = 10;
/// Sockets whose readiness follows from the queue of one that they are connected
/// to. Any further one learns of a full queue when it sends.
const MAX_FOLLOWERS: usize = 64;

/// What a record counts against SO_SNDBUF of its sender until it is read, by its
/// bytes of data: what Linux needs to keep it on a 64-bit machine (`truesize`).
pub fn cost(data: u32) -> u32 {
    const DESCRIPTION: u32 = 256;
    const SHARED: u32 = 320;
    const LINEAR: u32 = 16 * 1024;
    let most = LINEAR - SHARED;
    if data <= most {
        DESCRIPTION + (data + SHARED).next_power_of_two().max(512)
    } else {
        DESCRIPTION + LINEAR + (data - most).next_multiple_of(4096)
    }
}

/// What a record says of its sender.
pub fn sender(id: SocketId, endpoint: &Endpoint) -> [u32; 2] {
    [id as u32, endpoint.serial as u32]
}

impl Unix {
    /// Takes note of the records that the client of a socket has read.
    pub(super) fn reclaim_records(&mut self, core: &mut Core, id: SocketId, head: u32) {
        let endpoint = self.endpoint(core, id);
        if endpoint.purged.is_some_and(|end| !before(head, end)) {
            endpoint.purged = None;
        }
        while let Some(record) = self.endpoint(core, id).pop(head) {
            self.end_record(core, record);
        }
        let endpoint = self.endpoint(core, id);
        endpoint.watched &= !endpoint.queue.is_empty();
    }

    fn end_record(&mut self, core: &mut Core, record: Received) {
        let id = record.sender[0] as SocketId;
        if self.owns(core, id) && sender(id, self.endpoint(core, id)) == record.sender {
            self.endpoint(core, id).unread -= cost(record.data);
            if core.sockets[id].status & status::OUT == 0 {
                self.touch(core, id);
            }
        }
        if let Some(control) = record.control {
            control.lose(core);
        }
    }

    /// Drops what waits for the client beside bytes.
    pub(super) fn drop_received(&mut self, core: &mut Core, id: SocketId) {
        let endpoint = self.endpoint(core, id);
        let (marks, records) = (endpoint.take_marks(), ::core::mem::take(&mut endpoint.queue));
        marks.into_iter().for_each(|control| control.lose(core));
        records.into_iter().for_each(|record| self.end_record(core, record));
    }

    /// The datagrams that wait are gone, because the socket is connected anew or
    /// its peer is no more. Returns whether there were any.
    pub(super) fn purge_received(&mut self, core: &mut Core, id: SocketId) -> bool {
        self.reclaim(core, id);
        if self.endpoint(core, id).queue.is_empty() {
            return false;
        }
        self.drop_received(core, id);
        if let Some((rings, ..)) = core.rings(id) {
            let end = rings.rx.tail();
            rings.slot.rx_skip.store(end, Ordering::Release);
            self.endpoint(core, id).purged = Some(end);
        }
        self.queue_changed(core, id);
        true
    }

    /// Whether what the socket has sent leaves room for more before it is said to
    /// be writable (Linux: unix_writable).
    pub(super) fn has_space(&self, core: &mut Core, id: SocketId) -> bool {
        self.outgoing(core, id) <= core.sockets[id].options.send_buffer / 4
    }

    /// The sockets that hold what a socket has sent and nobody has read.
    #[cold]
    pub(super) fn holders(&self, core: &Core, id: SocketId) -> Vec<SocketId> {
        if core.sockets[id].kind != c::SOCK_DGRAM {
            return self.peer(core, id).into_iter().collect();
        }
        let sent = sender(id, &self.endpoints[core.sockets[id].state]);
        let holds = |to: &SocketId| {
            self.owns(core, *to) && self.endpoints[core.sockets[*to].state].queue.iter().any(|r| r.sender == sent)
        };
        core.sockets.iter().map(|(to, _)| to).filter(holds).collect()
    }

    /// What the socket has sent and nobody has read (SIOCOUTQ): bytes of a stream,
    /// the [cost] of records.
    pub(super) fn outgoing(&self, core: &mut Core, id: SocketId) -> u32 {
        if core.sockets[id].kind != c::SOCK_STREAM {
            return self.endpoints[core.sockets[id].state].unread;
        }
        let peer = self.peer(core, id);
        let there = peer.and_then(|peer| core.rings(peer)).map_or(0, |(rings, ..)| rings.rx.used());
        self.unsent(core, id) + there
    }

    /// Whether a datagram socket is writable (Linux: unix_dgram_poll).
    fn is_writable(&self, core: &mut Core, id: SocketId) -> bool {
        if !self.has_space(core, id) {
            return false;
        }
        let Some(peer) = self.peer(core, id) else { return true };
        // One that is in a message has no place for any.
        let full = self.peer(core, peer) != Some(id) && self.endpoints[core.sockets[peer].state].full;
        !full && core.sockets[peer].rings.is_some()
    }

    /// The queue of a datagram socket has become longer or shorter.
    pub(super) fn queue_changed(&mut self, core: &mut Core, id: SocketId) {
        let away = core.sockets[id].rings.is_none();
        let endpoint = self.endpoint(core, id);
        let full = away || endpoint.queue.len() > MAX_QUEUE;
        let before = ::core::mem::replace(&mut endpoint.full, full);
        self.update_datagram(core, id);
        if before == full {
            return;
        }
        for follower in ::core::mem::take(&mut self.endpoint(core, id).followers) {
            if self.owns(core, follower) && self.peer(core, follower) == Some(id) {
                self.endpoint(core, id).followers.push(follower);
                self.update_datagram(core, follower);
            }
        }
    }

    /// Lets the readiness of `id` follow from the queue of `peer`.
    pub(super) fn follow(&mut self, core: &Core, id: SocketId, peer: SocketId) {
        let mut followers = ::core::mem::take(&mut self.endpoint(core, peer).followers);
        followers.retain(|f| *f != id && self.peer(core, *f) == Some(peer));
        if followers.len() < MAX_FOLLOWERS {
            followers.push(id);
        }
        self.endpoint(core, peer).followers = followers;
    }

    /// Publishes the status of a datagram socket.
    pub(super) fn update_datagram(&mut self, core: &mut Core, id: SocketId) {
        if !self.has_space(core, id) && !self.endpoint(core, id).short {
            // From here on it is told when what it sent is read.
            for to in self.holders(core, id) {
                self.endpoint(core, to).watched = true;
                self.touch(core, to);
                self.reclaim(core, to);
            }
        }
        self.endpoint(core, id).short = !self.has_space(core, id);
        let writable = self.is_writable(core, id);
        let endpoint = &self.endpoints[core.sockets[id].state];
        let mut word = if writable { status::OUT } else { 0 };
        word |= if endpoint.shut_read { status::IN | status::RDHUP } else { 0 };
        word |= if endpoint.shut_write { status::WRSHUT } else { 0 };
        word |= if endpoint.shut_read && endpoint.shut_write { status::HUP } else { 0 };
        let ask = endpoint.waiters != 0 || endpoint.watched || endpoint.full || endpoint.carries();
        word |= if ask { status::RING_ON_DRAIN } else { 0 };
        word |= endpoint.receive_bits();
        self.publish(core, id, word);
    }

    /// Publishes the status of a socket; it is looked after once more if its client
    /// has read meanwhile.
    pub(super) fn publish(&mut self, core: &mut Core, id: SocketId, word: u32) {
        if core.set_status_asking(id, word).is_some_and(|(before, now)| now != before) {
            self.touch(core, id);
        }
    }

    /// Looks after a datagram socket.
    pub(super) fn settle_datagram(&mut self, core: &mut Core, id: SocketId) {
        let before = self.endpoint(core, id).queue.len();
        self.reclaim(core, id);
        let now = self.endpoint(core, id).queue.len();
        if now < before || now == 0 {
            self.wake_waiters(core, id);
        }
        if self.grant_record(core, id) {
            core.event(id);
        }
        self.queue_changed(core, id);
    }

    /// SIOCINQ: the data of the next datagram, or of all packets.
    pub(super) fn unread_records(&mut self, core: &mut Core, id: SocketId) -> u32 {
        self.reclaim(core, id);
        let kind = core.sockets[id].kind;
        let queue = self.endpoint(core, id).queue.iter().map(|r| r.data);
        if kind == c::SOCK_DGRAM { queue.take(1).sum() } else { queue.sum() }
    }
}
