//! The bytes of a regular file: pages where something was written, zeros
//! elsewhere.

use alloc::{collections::BTreeMap, rc::Rc};

use strait_abi::Errno;
use strait_ring::PAGE;

use crate::{
    file_system::Window,
    pool::{Page, Payer, Pool},
};

/// Greatest size of a file: pages are numbered with 32 bits.
pub const MAX_SIZE: u64 = (u32::MAX as u64) * PAGE as u64;

static ZEROS: [u8; PAGE] = [0; PAGE];

/// The content.
#[derive(Default)]
pub struct Content {
    size: u64,
    /// By number. Behind the size, a page holds zeros.
    pages: BTreeMap<u32, Page>,
}

/// The parts of `len` bytes from `offset` on that lie in one page each: number
/// of the page, where in it, where in the whole, how many.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u32, usize, usize, usize)> {
    let mut done = 0;
    core::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % PAGE as u64) as usize;
        let n = (PAGE - within).min(len - done);
        let part = ((at / PAGE as u64) as u32, within, done, n);
        done += n;
        Some(part)
    })
}

impl Content {
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Pages that it has.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    pub fn read(&self, offset: u64, into: Window) -> Result<usize, Errno> {
        let len = self.size.saturating_sub(offset).min(into.len() as u64) as usize;
        for (number, within, at, n) in parts(offset, len) {
            let page = self.pages.get(&number).map_or(&ZEROS[..], |page| page);
            into.write(at, &page[within..within + n])?;
        }
        Ok(len)
    }

    /// Writes all, or as much as there is memory for. ENOSPC if there is none
    /// at all; EFBIG at the greatest size.
    pub fn write(&mut self, offset: u64, from: Window, pool: &Rc<Pool>, payer: Payer) -> Result<usize, Errno> {
        if from.is_empty() {
            return Ok(0);
        }
        let Some(room @ 1..) = MAX_SIZE.checked_sub(offset) else { return Err(Errno::EFBIG) };
        let mut done = 0;
        for (number, within, at, n) in parts(offset, room.min(from.len() as u64) as usize) {
            let copied = self.page(number, pool, payer).and_then(|page| from.read(at, &mut page[within..within + n]));
            match copied {
                Ok(()) => done += n,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        self.size = self.size.max(offset + done as u64);
        Ok(done)
    }

    fn page(&mut self, number: u32, pool: &Rc<Pool>, payer: Payer) -> Result<&mut Page, Errno> {
        use alloc::collections::btree_map::Entry;
        Ok(match self.pages.entry(number) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(free) => free.insert(pool.page(payer)?),
        })
    }

    pub fn truncate(&mut self, size: u64) -> Result<(), Errno> {
        if size > MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        if size < self.size {
            drop(self.pages.split_off(&(size.div_ceil(PAGE as u64) as u32)));
            if let Some(page) = self.pages.get_mut(&((size / PAGE as u64) as u32)) {
                page[(size % PAGE as u64) as usize..].fill(0);
            }
        }
        self.size = size;
        Ok(())
    }
}
