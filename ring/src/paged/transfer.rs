//! From one client's ring straight into another's: one copy, in the server.

use super::{RING_BYTES, ServerConsumer, ServerProducer, Slot, Table, page_of, pieces};
use crate::{
    PAGE, SharedMemory,
    arena::Arena,
    sync::{AtomicU16, Ordering},
};

/// Copies `len` bytes at position `from` of one table to position `to` of
/// another.
fn copy_positions(
    (memory, table, to): (&SharedMemory, &Table, u32),
    (source, pages, from): (&SharedMemory, &Table, u32),
    len: usize,
) -> Option<()> {
    pieces(
        from,
        len,
        |e| pages.pages[e],
        |offset, range| {
            let at = to.wrapping_add(range.start as u32);
            pieces(
                at,
                range.len(),
                |e| table.pages[e],
                |into, part| memory.copy_from(into, source, offset + part.start, part.len()),
            )
        },
    )
}

/// A table with pages for `head..tail` and the bytes of `old` in them; `None`,
/// and nothing taken, if there are not so many pages.
fn rebuilt(
    arena: &mut Arena,
    memory: &SharedMemory,
    shared: &[AtomicU16; super::RING_PAGES],
    (source, old): (&SharedMemory, &Table),
    (head, tail): (u32, u32),
) -> Option<Table> {
    let mut table = Table::new(head);
    let len = tail.wrapping_sub(head);
    let last = page_of(tail.wrapping_sub(1));
    let mut whole = true;
    while len != 0 && whole && table.high != (last + 1) % super::PAGE_NUMBERS {
        whole = table.attach(arena, shared);
    }
    if !whole || copy_positions((memory, &table, head), (source, old, head), len as usize).is_none() {
        table.clear(page_of(head), arena);
        return None;
    }
    Some(table)
}

impl ServerProducer {
    /// Copies `len` bytes, from `offset` behind the head of `source` on, to
    /// `position`, whose pages are attached. `None` if the bytes are not all
    /// there.
    fn write_ring(&self, position: u32, source: &ServerConsumer, offset: u32, len: usize) -> Option<()> {
        if offset as usize + len > source.tail.wrapping_sub(source.head) as usize {
            return None;
        }
        let from = source.head.wrapping_add(offset);
        copy_positions((&self.memory, &self.table, position), (&source.memory, &source.table, from), len)
    }

    /// [`push`](Self::push) of the `len` bytes at the head of another client's
    /// ring; they stay there. `arena` is the one of this ring.
    pub fn push_ring(&mut self, arena: &mut Arena, limit: u32, source: &ServerConsumer, len: usize) -> usize {
        let room = limit.min(RING_BYTES).saturating_sub(self.used()) as usize;
        let n = len.min(room);
        if n == 0 {
            return 0;
        }
        let n = self.cover(arena, n);
        if n == 0 || self.write_ring(self.tail, source, 0, n).is_none() {
            return 0;
        }
        self.tail = self.tail.wrapping_add(n as u32);
        n
    }

    /// [`push_record`](Self::push_record) of `head` and then `len` bytes of
    /// another client's ring, from `offset` behind its head on.
    pub fn push_record_ring(
        &mut self,
        arena: &mut Arena,
        limit: u32,
        total: usize,
        head: &[u8],
        (source, offset, len): (&ServerConsumer, u32, usize),
    ) -> bool {
        let fits = total <= limit.min(RING_BYTES).saturating_sub(self.used()) as usize;
        if !fits || head.len() + len > total || !self.cover_all(arena, total) {
            return false;
        }
        let data = self.tail.wrapping_add(head.len() as u32);
        if self.write(self.tail, head).is_none() || self.write_ring(data, source, offset, len).is_none() {
            return false;
        }
        self.tail = self.tail.wrapping_add(total as u32);
        true
    }

    /// This ring in another slot of a session, which was
    /// [`reset`](Slot::reset), with what is not read yet; positions stay. `None`
    /// if the session has not enough pages. The old one is to be closed.
    pub fn moved(&self, memory: SharedMemory, slot: &'static Slot, arena: &mut Arena) -> Option<Self> {
        let (head, tail) = (self.head, self.tail);
        let table = rebuilt(arena, &memory, &slot.rx_pages, (&self.memory, &self.table), (head, tail))?;
        for (to, from) in [(&slot.rx_mark, &self.slot.rx_mark), (&slot.rx_skip, &self.slot.rx_skip)] {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        slot.rx_head.store(head, Ordering::Relaxed);
        slot.rx_tail.store(tail, Ordering::Release);
        Some(Self { memory, slot, table, head, tail })
    }

    /// The position behind the last byte.
    pub fn tail(&self) -> u32 {
        self.tail
    }

    /// The position of the first byte that the client has not read, as
    /// [`reclaim`](Self::reclaim) saw it.
    pub fn head(&self) -> u32 {
        self.head
    }
}

impl ServerConsumer {
    /// See [`ServerProducer::moved`]. Nothing more is granted.
    pub fn moved(&self, memory: SharedMemory, slot: &'static Slot, arena: &mut Arena) -> Option<Self> {
        let (head, tail) = (self.head, self.tail);
        let table = rebuilt(arena, &memory, &slot.tx_pages, (&self.memory, &self.table), (head, tail))?;
        // Room in the last page is the client's, too.
        let end = table.high.wrapping_mul(PAGE as u32);
        let limit = if table.attached() == 0 { tail } else { end };
        slot.tx_head.store(head, Ordering::Relaxed);
        slot.tx_tail.store(tail, Ordering::Relaxed);
        slot.tx_limit.store(limit, Ordering::Release);
        Some(Self { memory, slot, table, head, tail, limit, revoked: 0, waiting: false })
    }

    /// The position behind the last byte that was seen.
    pub fn tail(&self) -> u32 {
        self.tail
    }

    /// The position of the first byte that was not taken.
    pub fn head(&self) -> u32 {
        self.head
    }
}
