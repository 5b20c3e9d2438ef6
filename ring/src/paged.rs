//! Byte rings between a server and its client that grow and shrink by pages.
//!
//! A ring is a space of free-running 32-bit positions, of which the window
//! `head..tail` holds data. Position `p` lies in page `table[p / 4096 % 64]`
//! of the session region: the server attaches a page when the window first
//! enters it and takes it back when the window has left it. So an idle socket
//! owns almost no memory and a busy one up to [`RING_BYTES`].
//!
//! ```text
//!            head           tail          limit
//!  ...........[#### data ####][ granted room ).......
//!     |          |          |          |          |      pages
//! ```
//!
//! Both directions of one socket live in one [`Slot`] of the region:
//!
//! - server to client (*rx* of the socket): the server owns the pages and the
//!   tail, the client the head;
//! - client to server (*tx*): the server attaches pages ahead and says in
//!   `tx_limit` how far the client may write; the client owns the tail.
//!
//! The server keeps its indices and page tables privately and only publishes
//! them; of what the client writes it believes one index, within what it
//! granted. The client trusts its server, but reads nothing out of bounds
//! either way.

#[cfg(loom)]
use crate::memory::Cells;
use crate::{
    Misbehaved, PAGE, SharedMemory,
    arena::{Arena, Page},
    sync::{AtomicU16, AtomicU32, Ordering},
};

/// Pages that one ring can span.
pub const RING_PAGES: usize = if cfg!(loom) { 4 } else { 64 };
/// Pages that an arena keeps for each ring (see [`Arena::keep`]): one is not
/// enough for a record that crosses its end.
pub const KEPT_PAGES: u32 = 2;
/// Bytes that one ring can hold.
pub const RING_BYTES: u32 = (RING_PAGES * PAGE) as u32;

/// The shared words of one socket. Every line is written by one side only.
#[repr(C, align(64))]
#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
pub struct Slot {
    /// Readiness and flow-control bits, by the server (see `strait-abi`).
    pub status: AtomicU32,
    /// End of the data for the client, by the server.
    pub rx_tail: AtomicU32,
    /// Begin of the client's data not yet taken, by the server.
    pub tx_head: AtomicU32,
    /// How far the client may write, by the server.
    pub tx_limit: AtomicU32,
    /// Place of the mark in the stream to the client, by the server: valid
    /// while a bit of `status` says so.
    pub rx_mark: AtomicU32,
    /// End of bytes that the client passes over, by the server: valid while a
    /// bit of `status` says so.
    pub rx_skip: AtomicU32,
    /// How often room was taken back, by the server (see
    /// [`ServerConsumer::revoke`]).
    pub tx_revoked: AtomicU32,
    reserved_server: [AtomicU32; 9],
    /// Begin of the data not yet read, by the client.
    pub rx_head: AtomicU32,
    /// End of the data for the server, by the client.
    pub tx_tail: AtomicU32,
    /// Bytes of room that the client would like to have for its next writes.
    /// A wish: the server reads it when the doorbell rings.
    pub tx_want: AtomicU32,
    /// Not 0: more follows at once, a part of a segment may wait for it
    /// (MSG_MORE).
    pub tx_hold: AtomicU32,
    /// How often of that the client knows, by the client.
    pub tx_yielded: AtomicU32,
    reserved_client: [AtomicU32; 11],
    /// Pages of the rx ring, by the server.
    pub rx_pages: [AtomicU16; RING_PAGES],
    /// Pages of the tx ring, by the server.
    pub tx_pages: [AtomicU16; RING_PAGES],
    reserved: [AtomicU32; 32],
}

/// Bytes of a [`Slot`] in shared memory.
pub const SLOT_BYTES: usize = 512;

#[cfg(not(loom))]
const _: () = assert!(size_of::<Slot>() == SLOT_BYTES);

// SAFETY: every field is an atomic or an array of atomics.
#[cfg(not(loom))]
unsafe impl crate::memory::Cells for Slot {}
// SAFETY: as above.
#[cfg(loom)]
unsafe impl crate::memory::Cells for Slot {
    fn zeroed() -> Self {
        Self {
            status: Cells::zeroed(),
            rx_tail: Cells::zeroed(),
            tx_head: Cells::zeroed(),
            tx_limit: Cells::zeroed(),
            rx_mark: Cells::zeroed(),
            rx_skip: Cells::zeroed(),
            tx_revoked: Cells::zeroed(),
            reserved_server: Cells::zeroed(),
            rx_head: Cells::zeroed(),
            tx_tail: Cells::zeroed(),
            tx_want: Cells::zeroed(),
            tx_hold: Cells::zeroed(),
            tx_yielded: Cells::zeroed(),
            reserved_client: Cells::zeroed(),
            rx_pages: Cells::zeroed(),
            tx_pages: Cells::zeroed(),
            reserved: Cells::zeroed(),
        }
    }
}

impl Slot {
    /// Server: makes the slot as new. The client must not be using it.
    pub fn reset(&self) {
        let server = [
            &self.rx_tail,
            &self.tx_head,
            &self.tx_limit,
            &self.rx_mark,
            &self.rx_skip,
            &self.tx_revoked,
            &self.status,
        ];
        let client = [&self.rx_head, &self.tx_tail, &self.tx_want, &self.tx_hold, &self.tx_yielded];
        for word in server.into_iter().chain(client) {
            word.store(0, Ordering::Release);
        }
    }
}

const fn page_of(position: u32) -> u32 {
    position / PAGE as u32
}

const fn entry(page_number: u32) -> usize {
    page_number as usize % RING_PAGES
}

/// Splits `len` bytes from `position` on at page borders: calls `f` with the
/// offset in the region and the range of the bytes, until it returns `None`.
/// What lies within one page, as most does, takes the short way.
#[inline]
fn pieces(
    position: u32,
    len: usize,
    page: impl Fn(usize) -> Page,
    mut f: impl FnMut(usize, core::ops::Range<usize>) -> Option<()>,
) -> Option<()> {
    let within = position as usize % PAGE;
    if len <= PAGE - within {
        return f(usize::from(page(entry(page_of(position)))) * PAGE + within, 0..len);
    }
    pieces_of_pages(position, len, page, f)
}

#[inline(never)]
fn pieces_of_pages(
    position: u32,
    len: usize,
    page: impl Fn(usize) -> Page,
    mut f: impl FnMut(usize, core::ops::Range<usize>) -> Option<()>,
) -> Option<()> {
    let mut done = 0;
    while done < len {
        let at = position.wrapping_add(done as u32);
        let within = at as usize % PAGE;
        let n = (len - done).min(PAGE - within);
        f(usize::from(page(entry(page_of(at)))) * PAGE + within, done..done + n)?;
        done += n;
    }
    Some(())
}

/// The server's private view of the pages of one ring.
struct Table {
    pages: [Page; RING_PAGES],
    /// Page numbers (positions / 4096) attached: `low..high`.
    low: u32,
    high: u32,
}

const PAGE_NUMBERS: u32 = u32::MAX / PAGE as u32 + 1;

impl Table {
    /// For a window that begins at a position.
    const fn new(at: u32) -> Self {
        Self { pages: [0; RING_PAGES], low: page_of(at), high: page_of(at) }
    }

    fn attached(&self) -> u32 {
        self.high.wrapping_sub(self.low) % PAGE_NUMBERS
    }

    fn attach(&mut self, arena: &mut Arena, shared: &[AtomicU16; RING_PAGES]) -> bool {
        let page = match self.attached() {
            0..KEPT_PAGES => arena.alloc_kept(),
            n if n as usize == RING_PAGES => return false,
            _ => arena.alloc(),
        };
        let Some(page) = page else { return false };
        let e = entry(self.high);
        self.pages[e] = page;
        shared[e].store(page, Ordering::Relaxed);
        self.high = (self.high + 1) % PAGE_NUMBERS;
        true
    }

    #[inline]
    fn detach_below(&mut self, page_number: u32, arena: &mut Arena) {
        while self.low != page_number && self.low != self.high {
            let page = self.pages[entry(self.low)];
            self.low = (self.low + 1) % PAGE_NUMBERS;
            self.give_back(page, arena);
        }
    }

    /// A page that was just taken off the table.
    fn give_back(&self, page: Page, arena: &mut Arena) {
        if self.attached() < KEPT_PAGES { arena.free_kept(page) } else { arena.free(page) }
    }

    /// Takes back the pages from `page_number` on.
    fn detach_from(&mut self, page_number: u32, arena: &mut Arena) {
        while self.high != page_number && self.low != self.high {
            self.high = self.high.wrapping_sub(1) % PAGE_NUMBERS;
            self.give_back(self.pages[entry(self.high)], arena);
        }
    }

    /// Takes back every page; the window goes on at `page_number`.
    fn clear(&mut self, page_number: u32, arena: &mut Arena) {
        self.detach_below(self.high, arena);
        self.low = page_number;
        self.high = page_number;
    }
}

/// Server's end of the ring to the client.
pub struct ServerProducer {
    memory: SharedMemory,
    slot: &'static Slot,
    table: Table,
    head: u32,
    tail: u32,
}

impl ServerProducer {
    /// The ring of a slot that was [`reset`](Slot::reset). `memory` is the
    /// whole session region.
    pub fn new(memory: SharedMemory, slot: &'static Slot) -> Self {
        Self::resumed(memory, slot, 0)
    }

    /// [`new`](Self::new), empty, where another ring ended.
    pub fn resumed(memory: SharedMemory, slot: &'static Slot, at: u32) -> Self {
        slot.rx_head.store(at, Ordering::Relaxed);
        slot.rx_tail.store(at, Ordering::Release);
        Self { memory, slot, table: Table::new(at), head: at, tail: at }
    }

    /// Looks how far the client has read, and takes back the pages behind.
    #[inline]
    pub fn reclaim(&mut self, arena: &mut Arena) -> Result<(), Misbehaved> {
        let head = self.slot.rx_head.load(Ordering::Acquire);
        if head.wrapping_sub(self.head) > self.tail.wrapping_sub(self.head) {
            return Err(Misbehaved);
        }
        self.head = head;
        if head == self.tail {
            self.table.clear(page_of(head), arena);
        } else {
            self.table.detach_below(page_of(head), arena);
        }
        Ok(())
    }

    /// Bytes that the client has not read, at most (see
    /// [`reclaim`](Self::reclaim)).
    pub fn used(&self) -> u32 {
        self.tail.wrapping_sub(self.head)
    }

    /// Pages attached.
    pub fn pages(&self) -> u32 {
        self.table.attached()
    }

    /// Bytes behind the tail that lie in attached pages.
    #[inline]
    fn covered(&self) -> usize {
        let end = self.table.high.wrapping_mul(PAGE as u32).wrapping_sub(self.tail);
        if end > RING_BYTES { 0 } else { end as usize }
    }

    /// Attaches pages for `len` bytes behind the tail as far as there are any.
    /// Returns how many of the bytes have pages.
    #[inline]
    fn cover(&mut self, arena: &mut Arena, len: usize) -> usize {
        if self.covered() < len {
            self.attach(arena, len);
        }
        self.covered().min(len)
    }

    /// As [`cover`](Self::cover), for all of the bytes or none. Returns whether
    /// they have pages.
    #[inline]
    fn cover_all(&mut self, arena: &mut Arena, len: usize) -> bool {
        let high = self.table.high;
        let covered = self.cover(arena, len) == len;
        if !covered {
            self.table.detach_from(high, arena);
        }
        covered
    }

    #[cold]
    fn attach(&mut self, arena: &mut Arena, len: usize) {
        let last = page_of(self.tail.wrapping_add(len as u32).wrapping_sub(1));
        while self.table.high != (last + 1) % PAGE_NUMBERS
            && last.wrapping_sub(self.table.high) % PAGE_NUMBERS < RING_PAGES as u32
        {
            if !self.table.attach(arena, &self.slot.rx_pages) {
                break;
            }
        }
    }

    #[inline]
    fn write(&self, position: u32, bytes: &[u8]) -> Option<()> {
        let page = |e: usize| self.table.pages[e];
        pieces(position, bytes.len(), page, |offset, range| self.memory.write(offset, &bytes[range]))
    }

    /// Appends as much of `bytes` as fits below `limit` bytes unread and in
    /// the arena. The client sees it after [`publish`](Self::publish).
    pub fn push(&mut self, arena: &mut Arena, limit: u32, bytes: &[u8]) -> usize {
        let room = limit.min(RING_BYTES).saturating_sub(self.used()) as usize;
        let n = bytes.len().min(room);
        if n == 0 {
            return 0;
        }
        let n = self.cover(arena, n);
        if n == 0 || self.write(self.tail, &bytes[..n]).is_none() {
            return 0;
        }
        self.tail = self.tail.wrapping_add(n as u32);
        n
    }

    /// Appends a record of `total` bytes, or nothing: the parts, one after the
    /// other, and what is missing after them as it comes.
    #[inline]
    pub fn push_record(&mut self, arena: &mut Arena, limit: u32, total: usize, parts: &[&[u8]]) -> bool {
        let fits = total <= limit.min(RING_BYTES).saturating_sub(self.used()) as usize;
        if !fits || !self.cover_all(arena, total) || parts.iter().map(|p| p.len()).sum::<usize>() > total {
            return false;
        }
        let mut at = self.tail;
        for part in parts {
            if self.write(at, part).is_none() {
                return false;
            }
            at = at.wrapping_add(part.len() as u32);
        }
        self.tail = self.tail.wrapping_add(total as u32);
        true
    }

    /// Makes what was pushed visible to the client.
    pub fn publish(&self) {
        self.slot.rx_tail.store(self.tail, Ordering::Release);
    }

    /// Ends the ring: all pages go back.
    pub fn close(&mut self, arena: &mut Arena) {
        self.table.clear(page_of(self.tail), arena);
        self.head = self.tail;
    }
}

/// Server's end of the ring from the client.
pub struct ServerConsumer {
    memory: SharedMemory,
    slot: &'static Slot,
    table: Table,
    head: u32,
    tail: u32,
    limit: u32,
    /// Revocations so far, and whether the last is not answered yet: see
    /// `revoke.rs`.
    revoked: u32,
    waiting: bool,
}

impl ServerConsumer {
    /// See [`ServerProducer::new`].
    pub fn new(memory: SharedMemory, slot: &'static Slot) -> Self {
        Self::resumed(memory, slot, 0)
    }

    /// See [`ServerProducer::resumed`].
    pub fn resumed(memory: SharedMemory, slot: &'static Slot, at: u32) -> Self {
        slot.tx_head.store(at, Ordering::Relaxed);
        slot.tx_tail.store(at, Ordering::Relaxed);
        slot.tx_limit.store(at, Ordering::Release);
        Self { memory, slot, table: Table::new(at), head: at, tail: at, limit: at, revoked: 0, waiting: false }
    }

    /// Looks how far the client has written: bytes that can be taken.
    #[inline]
    pub fn available(&mut self) -> Result<u32, Misbehaved> {
        let tail = self.slot.tx_tail.load(Ordering::Acquire);
        if tail.wrapping_sub(self.tail) > self.limit.wrapping_sub(self.tail) {
            return Err(Misbehaved);
        }
        self.tail = tail;
        Ok(tail.wrapping_sub(self.head))
    }

    /// Bytes that the client may still write, as far as
    /// [`available`](Self::available) saw.
    pub fn room(&self) -> u32 {
        self.limit.wrapping_sub(self.tail)
    }

    /// The room that the client says it wants.
    pub fn wanted(&self) -> u32 {
        self.slot.tx_want.load(Ordering::Relaxed)
    }

    /// Whether the client says that more follows at once.
    #[inline]
    pub fn held(&self) -> bool {
        self.slot.tx_hold.load(Ordering::Relaxed) != 0
    }

    /// Copies out bytes from `offset` behind the head. `None` if they are not
    /// all there.
    #[inline]
    #[must_use]
    pub fn copy(&self, offset: u32, into: &mut [u8]) -> Option<()> {
        if offset as usize + into.len() > self.tail.wrapping_sub(self.head) as usize {
            return None;
        }
        let position = self.head.wrapping_add(offset);
        pieces(position, into.len(), |e| self.table.pages[e], |at, range| self.memory.read(at, &mut into[range]))
    }

    /// Takes `n` bytes, at most those available, off the ring.
    #[inline]
    pub fn consume(&mut self, n: u32, arena: &mut Arena) {
        let n = n.min(self.tail.wrapping_sub(self.head));
        self.head = self.head.wrapping_add(n);
        self.table.detach_below(page_of(self.head), arena);
        self.slot.tx_head.store(self.head, Ordering::Release);
    }

    /// Lets the client write up to `bytes` that are not yet taken, as far as
    /// there are pages. What was granted before stays. Returns whether the
    /// client may now write more than before; not while it has room to give
    /// [back](Self::revoke).
    pub fn grant(&mut self, bytes: u32, arena: &mut Arena) -> bool {
        if self.waiting {
            return false;
        }
        let want = self.head.wrapping_add(bytes.min(RING_BYTES - PAGE as u32));
        let more = want.wrapping_sub(self.limit);
        if more == 0 || more > RING_BYTES {
            return false;
        }
        let last = page_of(want.wrapping_sub(1));
        if self.table.attached() == 0 {
            self.table.clear(page_of(self.head), arena);
        }
        while self.table.high != (last + 1) % PAGE_NUMBERS && self.table.attach(arena, &self.slot.tx_pages) {}
        // Positions below `end` have a page.
        let end = self.table.high.wrapping_mul(PAGE as u32);
        let limit = if want.wrapping_sub(self.head) <= end.wrapping_sub(self.head) { want } else { end };
        if self.table.attached() == 0 || limit == self.limit {
            return false;
        }
        self.limit = limit;
        self.slot.tx_limit.store(limit, Ordering::Release);
        true
    }

    /// Pages attached.
    pub fn pages(&self) -> u32 {
        self.table.attached()
    }

    /// Ends the ring: all pages go back.
    pub fn close(&mut self, arena: &mut Arena) {
        self.table.clear(page_of(self.head), arena);
        self.tail = self.head;
        self.limit = self.head;
    }
}

/// Client's end of the ring from the server.
pub struct ClientConsumer {
    memory: SharedMemory,
    slot: &'static Slot,
    head: u32,
}

impl ClientConsumer {
    /// The ring of a slot that the server just gave. It goes on where the slot
    /// says.
    pub fn new(memory: SharedMemory, slot: &'static Slot) -> Self {
        Self { memory, slot, head: slot.rx_head.load(Ordering::Relaxed) }
    }

    /// Bytes that can be read now.
    #[inline]
    pub fn available(&self) -> u32 {
        self.slot.rx_tail.load(Ordering::Acquire).wrapping_sub(self.head).min(RING_BYTES)
    }

    /// Copies out bytes from `offset` behind the head, all of which must be
    /// [`available`](Self::available). `None` if the server's tables make no
    /// sense.
    #[inline]
    #[must_use]
    pub fn copy(&self, offset: u32, into: &mut [u8]) -> Option<()> {
        let position = self.head.wrapping_add(offset);
        let page = |e: usize| self.slot.rx_pages[e].load(Ordering::Relaxed);
        pieces(position, into.len(), page, |at, range| self.memory.read(at, &mut into[range]))
    }

    /// How far behind the head `position` lies.
    pub fn distance(&self, position: u32) -> u32 {
        position.wrapping_sub(self.head)
    }

    /// Takes `n` bytes off the ring.
    #[inline]
    pub fn consume(&mut self, n: u32) {
        self.head = self.head.wrapping_add(n);
        self.slot.rx_head.store(self.head, Ordering::Release);
    }
}

/// Client's end of the ring to the server.
pub struct ClientProducer {
    memory: SharedMemory,
    slot: &'static Slot,
    tail: u32,
}

impl ClientProducer {
    /// The ring of a slot that the server just gave. It goes on where the slot
    /// says.
    pub fn new(memory: SharedMemory, slot: &'static Slot) -> Self {
        Self { memory, slot, tail: slot.tx_tail.load(Ordering::Relaxed) }
    }

    /// Bytes that can be written now.
    #[inline]
    pub fn room(&self) -> u32 {
        let room = self.slot.tx_limit.load(Ordering::Acquire).wrapping_sub(self.tail);
        // What is behind a limit that was lowered is no room.
        if room > RING_BYTES { 0 } else { room }
    }

    /// Asks the server for room for `bytes`; then ring the doorbell. Also
    /// worth saying before a write that is larger than the room.
    #[inline]
    pub fn want(&self, bytes: u32) {
        self.slot.tx_want.store(bytes, Ordering::Relaxed);
    }

    /// Says whether more follows at once (MSG_MORE), before
    /// [`commit`](Self::commit).
    #[inline]
    pub fn hold(&self, more: bool) {
        self.slot.tx_hold.store(more.into(), Ordering::Relaxed);
    }

    /// Writes bytes at `offset` behind the tail, all within
    /// [`room`](Self::room). The server sees them after
    /// [`commit`](Self::commit). `None` if the server's tables make no sense.
    #[inline]
    #[must_use]
    pub fn stage(&self, offset: u32, bytes: &[u8]) -> Option<()> {
        let position = self.tail.wrapping_add(offset);
        let page = |e: usize| self.slot.tx_pages[e].load(Ordering::Relaxed);
        pieces(position, bytes.len(), page, |at, range| self.memory.write(at, &bytes[range]))
    }

    /// As [`stage`](Self::stage), with `len` bytes from `from` on in another
    /// region. `None` also if those are not all inside.
    #[inline]
    #[must_use]
    pub fn stage_from(&self, offset: u32, source: &SharedMemory, from: usize, len: usize) -> Option<()> {
        from.checked_add(len)?;
        let position = self.tail.wrapping_add(offset);
        let page = |e: usize| self.slot.tx_pages[e].load(Ordering::Relaxed);
        pieces(position, len, page, |at, range| self.memory.copy_from(at, source, from + range.start, range.len()))
    }

    /// As [`stage`](Self::stage), with the next `len` bytes of a ring from the
    /// server, all of which must be [`available`](ClientConsumer::available).
    #[inline]
    #[must_use]
    pub fn stage_ring(&self, source: &ClientConsumer, len: usize) -> Option<()> {
        let page = |e: usize| source.slot.rx_pages[e].load(Ordering::Relaxed);
        pieces(source.head, len, page, |at, range| self.stage_from(range.start as u32, &source.memory, at, range.len()))
    }

    /// Hands the first `n` staged bytes to the server.
    #[inline]
    pub fn commit(&mut self, n: u32) {
        self.tail = self.tail.wrapping_add(n);
        self.slot.tx_tail.store(self.tail, Ordering::Release);
    }
}

mod revoke;
mod transfer;

#[cfg(all(test, not(loom)))]
mod tests;
