//! The family's part of a socket.

use alloc::{boxed::Box, collections::VecDeque};

use strait_abi::Address;

use super::{
    control::{Control, Credentials},
    names::Key,
};
use crate::socket::SocketId;

/// A socket and the number of its endpoint, which is never used again: so a
/// peer that is gone is not taken for another that got its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub id: SocketId,
    pub serial: u64,
}

/// Control data, and where the data begins that it belongs to.
pub struct Mark {
    /// Position in a ring.
    pub start: u32,
    /// Bytes of data; of a record, all of it.
    pub bytes: u32,
    pub control: Option<Box<Control>>,
}

/// Urgent data (MSG_OOB): it lies in the ring of the receiver.
#[derive(Clone, Copy)]
pub struct Urgent {
    pub mark: u32,
    pub byte: u8,
    /// recv(2) with MSG_OOB took it.
    pub taken: bool,
}

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
    /// It waits in this listener's queue.
    pub listener: Option<SocketId>,
    /// shutdown(2), by either side.
    pub shut_read: bool,
    pub shut_write: bool,
    /// SO_PASSCRED.
    pub pass_credentials: bool,
    /// What lies in the ring to the client, as far as there is more to say of
    /// it than its bytes: of records every one.
    pub queue: VecDeque<Mark>,
    /// What goes with bytes that the client writes.
    pub pending: VecDeque<Mark>,
    /// Positions of urgent bytes that the client writes.
    pub urgent_pending: VecDeque<u32>,
    pub urgent: Option<Urgent>,
    /// Sessions with sockets that wait for room in the queue of connections or
    /// of datagrams, a bit each.
    pub waiters: u64,
    /// It waits for that at some socket.
    pub waits: bool,
    /// The peer's queue was full.
    pub blocked: bool,
    /// It is in the list of sockets to look after.
    pub dirty: bool,
    /// Reached by the search for cycles of this number.
    pub reached: u64,
}

impl Endpoint {
    pub fn new(serial: u64) -> Self {
        Self {
            serial,
            key: None,
            address: Address::EMPTY,
            peer: None,
            peer_address: Address::EMPTY,
            peer_credentials: None,
            listening: false,
            connected: false,
            listener: None,
            shut_read: false,
            shut_write: false,
            pass_credentials: false,
            queue: VecDeque::new(),
            pending: VecDeque::new(),
            urgent_pending: VecDeque::new(),
            urgent: None,
            waiters: 0,
            waits: false,
            blocked: false,
            dirty: false,
            reached: 0,
        }
    }
}
