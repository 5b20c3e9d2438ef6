//! The memory region that a client shares with `net_server`.
//!
//! ```text
//! page 0   header: version, signals, doorbells (client -> server),
//!          events (server -> client)
//! page 1.. one slot of 512 bytes for each socket: readiness and two rings
//! rest     data pages, attached to the rings as they need them
//! ```
//!
//! How many sockets fit follows from the region's size, see [`sockets_for`],
//! so both sides know without asking.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use strait_ring::{
    PAGE, SharedMemory,
    arena::{Arena, Page},
    bitmap::Bitmap,
    memory::Cells,
    paged::{SLOT_BYTES, Slot},
    signal::Signal,
};

/// Version of this layout and of the messages; see
/// [`Request::Hello`](crate::net::Request::Hello).
pub const VERSION: u32 = 1;

/// Least size of a session region.
pub const MIN_BYTES: usize = 16 * PAGE;
/// Greatest size of a session region.
pub const MAX_BYTES: usize = 65536 * PAGE;

const FLAGS: usize = 0;
const DOORBELLS: usize = 512;
const EVENTS: usize = DOORBELLS + 64 + 512;
const SLOTS: usize = PAGE;

const TO_SERVER: usize = FLAGS + 64;
const TO_CLIENT: usize = FLAGS + 128;

/// Sockets that a session region of `bytes` bytes has slots for: one for each
/// eight pages, 8 at least and 1,024 at most.
pub const fn sockets_for(bytes: usize) -> usize {
    let n = bytes / PAGE / 8;
    if n < 8 {
        8
    } else if n > 1024 {
        1024
    } else {
        n
    }
}

/// The region, seen from either side.
#[derive(Clone, Copy)]
pub struct SessionRegion {
    memory: SharedMemory,
    version: &'static AtomicU32,
    to_server: Signal<'static>,
    to_client: Signal<'static>,
    doorbells: Bitmap<'static>,
    events: Bitmap<'static>,
}

fn bitmap(memory: &SharedMemory, at: usize) -> Option<Bitmap<'static>> {
    Some(Bitmap::new(memory.cell::<AtomicU64>(at)?, memory.cell::<[AtomicU64; 64]>(at + 64)?))
}

impl SessionRegion {
    /// The session in `memory`. `None` if its size is out of range.
    pub fn new(memory: SharedMemory) -> Option<Self> {
        if memory.len() < MIN_BYTES || memory.len() > MAX_BYTES {
            return None;
        }
        Some(Self {
            memory,
            version: memory.cell(FLAGS)?,
            to_server: Signal(memory.cell(TO_SERVER)?),
            to_client: Signal(memory.cell(TO_CLIENT)?),
            doorbells: bitmap(&memory, DOORBELLS)?,
            events: bitmap(&memory, EVENTS)?,
        })
    }

    /// The whole region.
    pub fn memory(&self) -> SharedMemory {
        self.memory
    }

    /// Number of socket slots.
    pub fn sockets(&self) -> usize {
        sockets_for(self.memory.len())
    }

    /// The slot of a socket; `None` from [`sockets`](Self::sockets) on.
    pub fn slot(&self, socket: usize) -> Option<&'static Slot> {
        if socket >= self.sockets() {
            return None;
        }
        self.memory.cell::<Slot>(SLOTS + socket * SLOT_BYTES)
    }

    /// Server: all data pages, free.
    pub fn arena(&self) -> Arena {
        let first = 1 + (self.sockets() * SLOT_BYTES).div_ceil(PAGE);
        Arena::new(first as Page, (self.memory.len() / PAGE).min(usize::from(Page::MAX)) as Page)
    }

    /// Server: says which version it speaks.
    pub fn set_version(&self) {
        self.version.store(VERSION, Ordering::Release);
    }

    /// The signal by which the client wakes the server.
    pub fn to_server(&self) -> Signal<'static> {
        self.to_server
    }

    /// The signal by which the server wakes the client.
    pub fn to_client(&self) -> Signal<'static> {
        self.to_client
    }

    /// Sockets on which the client moved data, for the server.
    pub fn doorbells(&self) -> Bitmap<'static> {
        self.doorbells
    }

    /// Sockets whose readiness changed, for the client.
    pub fn events(&self) -> Bitmap<'static> {
        self.events
    }
}

const _: () = assert!(EVENTS + 64 + 512 <= PAGE);
const fn is_cells<T: Cells>() {}
const _: () = is_cells::<Slot>();

/// Bits of the word `status` in a slot. The low 16 are those of poll(2).
///
/// The server writes the whole word; what it does not say the client derives
/// from the rings: a connected socket can be read while data is in its rx ring
/// and written while there is room in its tx ring.
pub mod status {
    /// A listener: a connection waits to be accepted.
    pub const IN: u32 = 0x0001;
    /// Urgent data.
    pub const PRI: u32 = 0x0002;
    /// Sending is possible as far as the tx ring has room.
    pub const OUT: u32 = 0x0004;
    /// An error is pending (SO_ERROR).
    pub const ERR: u32 = 0x0008;
    /// Both directions are shut down, or the socket never was connected.
    pub const HUP: u32 = 0x0010;
    /// The peer sends no more: end of file follows the data in the rx ring.
    pub const RDHUP: u32 = 0x2000;
    /// The part that poll(2) reports.
    pub const POLL: u32 = 0xffff;
    /// The server holds back data for want of room, or pages to reclaim: ring
    /// the doorbell after reading the rx ring empty.
    pub const RING_ON_DRAIN: u32 = 1 << 16;
    /// A stream that is connected, or was.
    pub const CONNECTED: u32 = 1 << 17;
    /// Sending is over: EPIPE.
    pub const WRSHUT: u32 = 1 << 18;
    /// A stream: at `rx_mark` of the slot lies the urgent byte (SIOCATMARK),
    /// which one recv(2) does not cross. A recv that begins there passes over
    /// it unless SO_OOBINLINE is set.
    pub const MARK: u32 = 1 << 19;
    /// A stream of AF_UNIX: at `rx_mark` of the slot lies something that only
    /// the server knows about: descriptors, an urgent byte. A receive that
    /// begins there or goes beyond asks
    /// ([`Receive`](crate::net::Request::Receive)).
    pub const CONTROL: u32 = 1 << 20;
    /// A stream: the peer has acknowledged all that was sent, and its end.
    pub const DRAINED: u32 = 1 << 21;
    /// The socket is shared with another session, whose memory its rings are
    /// in: [`Acquire`](crate::net::Request::Acquire) brings them here.
    pub const AWAY: u32 = 1 << 22;
    /// The server takes back room for sending that is not used: before its next
    /// write, and when it is told of this, the client gives it back
    /// ([`ClientProducer::yield_room`](strait_ring::paged::ClientProducer::yield_room))
    /// and rings the doorbell.
    pub const SHRINK: u32 = 1 << 24;
    /// What a client attends to before it uses its rings.
    pub const ATTEND: u32 = AWAY | SHRINK;
    /// A stream: the bytes before `rx_skip` of the slot, at which the client
    /// stands, were urgent: it passes over them unless SO_OOBINLINE is set. A
    /// socket with records: those before it are gone, it passes over them.
    pub const SKIP: u32 = 1 << 23;
    /// A stream: the peer's end came in order, and goes before an error that
    /// came later.
    pub const DONE: u32 = 1 << 25;
    /// It listens.
    pub const LISTEN: u32 = 1 << 26;
    /// SO_PASSCRED: what is received says who sent it. On a stream every
    /// receive asks.
    pub const IDENTITY: u32 = 1 << 27;
    /// SO_PEEK_OFF is not negative: every receive asks.
    pub const OFFSET: u32 = 1 << 28;
    /// A stream: its peer has a name.
    pub const NAMED: u32 = 1 << 29;
}

#[cfg(test)]
mod tests {
    use super::*;
    use strait_ring::memory::leak_for_tests;

    #[test]
    fn parts_do_not_overlap() {
        for pages in [16usize, 17, 64, 512, 4096, 16384] {
            let s = SessionRegion::new(leak_for_tests(pages * PAGE)).unwrap();
            let slots_end = SLOTS + s.sockets() * SLOT_BYTES;
            let arena = s.arena();
            assert_eq!(arena.total(), pages - slots_end.div_ceil(PAGE), "{pages}");
            assert!(arena.total() >= pages / 2);
            assert!(s.slot(s.sockets() - 1).is_some());
            assert!(s.slot(s.sockets()).is_none());
        }
        assert!(SessionRegion::new(leak_for_tests(15 * PAGE)).is_none());
    }
}
