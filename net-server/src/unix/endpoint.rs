//! The family's part of a socket.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

use strait_abi::{Address, session::status};

use super::{
    control::{Control, Credentials},
    names::Key,
    stream::before,
};
use crate::socket::SocketId;

/// A socket and the number of its endpoint, which is never used again: so a
/// peer that is gone is not taken for another that got its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub id: SocketId,
    pub serial: u64,
}

/// The session that wrote something; `None` if that is not told.
pub type Writer = Option<u8>;

/// Something at a place in a stream.
pub struct Mark {
    /// Position in a ring.
    pub at: u32,
    pub what: What,
}

/// See [`Mark`].
pub enum What {
    /// A message of so many bytes begins, with descriptors that were not
    /// received yet or an identity that its sender gave.
    Message(u32, Box<Control>),
    /// An urgent byte (MSG_OOB); of several in one ring the last is it.
    Urgent(u8),
    /// So many urgent bytes that recv(2) with MSG_OOB took: they are passed
    /// over.
    Hole(u32),
    /// Who writes from here on.
    Writer(Writer),
}

/// A record that its sender has written and that waits in the sender's ring.
pub struct Sent {
    /// Bytes in the ring.
    pub total: u32,
    /// Bytes of data.
    pub data: u32,
    /// Bytes before the data; 0 of a record that was refused.
    pub head: u16,
    pub writer: Writer,
    /// Descriptors in it.
    pub control: Option<Box<Control>>,
}

/// A record in the ring to a client.
pub struct Received {
    /// Bytes in the ring.
    pub total: u32,
    /// Bytes of data.
    pub data: u32,
    /// Who sent it: the socket, and the low part of its number.
    pub sender: [u32; 2],
    /// Descriptors in it.
    pub control: Option<Box<Control>>,
}

// There may be hundreds of them at each socket.
const _: () = assert!(size_of::<Sent>() <= 24 && size_of::<Received>() <= 24);

/// Places for records that an empty queue keeps.
pub const KEPT: usize = 16;

/// See the module.
pub struct Endpoint {
    pub serial: u64,
    /// bind(2): where it is found, and what it is called.
    pub key: Option<Key>,
    /// Empty without a name.
    pub address: Address,
    /// Connected to, or sending to.
    pub peer: Option<Peer>,
    /// What getpeername(2) says when the peer is gone.
    pub peer_address: Address,
    /// SO_PEERCRED.
    pub peer_credentials: Option<Credentials>,
    pub listening: bool,
    /// A stream that is connected or was.
    pub connected: bool,
    /// Its peer has a name.
    pub peer_named: bool,
    /// It waits in this listener's queue.
    pub listener: Option<SocketId>,
    /// shutdown(2), by either side.
    pub shut_read: bool,
    pub shut_write: bool,
    /// SO_PASSCRED.
    pub pass_credentials: bool,
    /// SO_PASSRIGHTS.
    pub pass_rights: bool,
    /// SO_PEEK_OFF; below zero it is off.
    pub peek_offset: i32,
    /// What lies in the stream to the client, in its order.
    pub marks: VecDeque<Mark>,
    /// What lies in the stream that the client writes.
    pub pending: VecDeque<Mark>,
    /// The client waits until there is room for more of that.
    pub crowded: bool,
    /// Who wrote what is read next, and what was read last.
    pub reading: Writer,
    pub told: Writer,
    /// Who writes, as far as that is told, and whose session that is.
    pub writer: Writer,
    pub home: usize,
    /// Records that lie in the ring to the client, and where the first begins.
    pub queue: VecDeque<Received>,
    pub first: u32,
    /// Empty records before this position were shown by MSG_PEEK.
    pub peeked: u32,
    /// Records that wait in the ring from the client.
    pub sent: VecDeque<Sent>,
    /// What its records that nobody has read cost, see [`cost`](super::queue::cost).
    pub unread: u32,
    /// That is so much that it is not writable: who holds it knows.
    pub short: bool,
    /// It holds records of a sender that can hardly send more.
    pub watched: bool,
    /// As many datagrams wait as may from who is not its peer.
    pub full: bool,
    /// Records before this position are gone: the client passes over them.
    pub purged: Option<u32>,
    /// Sessions with sockets that wait for room in the queue of connections or
    /// of datagrams, a bit each.
    pub waiters: u64,
    /// It waits for that at some socket.
    pub waits: bool,
    /// Datagram sockets that are connected to this one, and perhaps some that
    /// were.
    pub followers: Vec<SocketId>,
    /// Nobody could reach it.
    pub collected: bool,
    /// It is in the list of sockets to look after.
    pub dirty: bool,
    /// Reached by the search for cycles of this number.
    pub reached: u64,
}

impl Endpoint {
    pub fn new(serial: u64, home: usize) -> Self {
        Self {
            serial,
            key: None,
            address: Address::EMPTY,
            peer: None,
            peer_address: Address::EMPTY,
            peer_credentials: None,
            listening: false,
            connected: false,
            peer_named: false,
            listener: None,
            shut_read: false,
            shut_write: false,
            pass_credentials: false,
            pass_rights: true,
            peek_offset: -1,
            marks: VecDeque::new(),
            pending: VecDeque::new(),
            crowded: false,
            reading: None,
            told: None,
            writer: None,
            home,
            queue: VecDeque::new(),
            first: 0,
            peeked: 0,
            sent: VecDeque::new(),
            unread: 0,
            short: false,
            watched: false,
            full: false,
            purged: None,
            waiters: 0,
            waits: false,
            followers: Vec::new(),
            collected: false,
            dirty: false,
            reached: 0,
        }
    }

    /// Takes the control data of all messages in the stream to the client.
    pub fn take_marks(&mut self) -> Vec<Control> {
        core::mem::take(&mut self.marks).into_iter().filter_map(Mark::into_control).collect()
    }

    /// The same of the stream that it writes.
    pub fn take_pending(&mut self) -> Vec<Control> {
        core::mem::take(&mut self.pending).into_iter().filter_map(Mark::into_control).collect()
    }

    /// All control data that waits for the client.
    pub fn controls(&self) -> impl Iterator<Item = &Control> {
        let records = self.queue.iter().filter_map(|r| r.control.as_deref());
        self.marks.iter().filter_map(Mark::control).chain(records)
    }

    /// All that it has written and its peer has not got.
    pub fn written_controls(&self) -> impl Iterator<Item = &Control> {
        let sent = self.sent.iter().filter_map(|s| s.control.as_deref());
        self.pending.iter().filter_map(Mark::control).chain(sent)
    }

    /// A record was put in the ring to the client, at `start`.
    pub fn push(&mut self, start: u32, record: Received) {
        if self.queue.is_empty() {
            self.first = start;
        }
        self.queue.push_back(record);
    }

    /// Takes the first record, as far as the client has read.
    pub fn pop(&mut self, head: u32) -> Option<Received> {
        let end = self.first.wrapping_add(self.queue.front()?.total);
        if before(head, end) {
            return None;
        }
        self.first = end;
        let record = self.queue.pop_front();
        if self.queue.is_empty() && self.queue.capacity() > KEPT {
            self.queue = VecDeque::new();
        }
        record
    }

    /// Whether descriptors wait for the client in records.
    pub fn carries(&self) -> bool {
        self.queue.iter().any(|r| r.control.is_some())
    }

    /// The bits of the status that say how the client receives.
    pub fn receive_bits(&self) -> u32 {
        let mut word = if self.pass_credentials { status::IDENTITY } else { 0 };
        word |= if self.peek_offset >= 0 { status::OFFSET } else { 0 };
        word |= if self.peer_named { status::NAMED } else { 0 };
        word | if self.purged.is_some() { status::SKIP } else { 0 }
    }
}

impl Mark {
    fn into_control(self) -> Option<Control> {
        match self.what {
            What::Message(_, control) => Some(*control),
            _ => None,
        }
    }

    fn control(&self) -> Option<&Control> {
        match &self.what {
            What::Message(_, control) => Some(control),
            _ => None,
        }
    }
}
