//! The data pages of a session region, handed out by the server that owns
//! their bookkeeping. Nothing of it is in shared memory: a client cannot
//! disturb it, only use up its own pages.

use alloc::vec::Vec;

/// A page of a session region: its number from the region's start. Page 0 is
/// the header, so 0 can stand for "none".
pub type Page = u16;

/// Free pages of one region.
#[derive(Debug)]
pub struct Arena {
    free: Vec<Page>,
    total: usize,
    low_water: usize,
    short: bool,
}

impl Arena {
    /// The pages `first..end` of a region, all free.
    pub fn new(first: Page, end: Page) -> Self {
        // Lowest numbers first out, so that a quiet client touches few pages.
        let free: Vec<Page> = (first..end).rev().collect();
        Self { total: free.len(), low_water: free.len(), short: false, free }
    }

    /// Hands out `most` pages at most from now on.
    pub fn limit(&mut self, most: usize) {
        let excess = self.total.saturating_sub(most).min(self.free.len());
        self.free.drain(..excess);
        self.total -= excess;
        self.low_water = self.low_water.min(self.free.len());
    }

    /// A free page, if there is one.
    pub fn alloc(&mut self) -> Option<Page> {
        let Some(page) = self.free.pop() else {
            self.short = true;
            return None;
        };
        self.low_water = self.low_water.min(self.free.len());
        Some(page)
    }

    /// Gives back a page that [`alloc`](Self::alloc) returned.
    pub fn free(&mut self, page: Page) {
        debug_assert!(!self.free.contains(&page));
        self.free.push(page);
    }

    /// Whether there was no page for somebody since this was asked last.
    pub fn take_short(&mut self) -> bool {
        core::mem::take(&mut self.short)
    }

    /// Pages in use now.
    pub fn used(&self) -> usize {
        self.total - self.free.len()
    }

    /// Most pages that were ever in use at once.
    pub fn peak(&self) -> usize {
        self.total - self.low_water
    }

    /// All pages.
    pub fn total(&self) -> usize {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_is_handed_out() {
        let mut arena = Arena::new(3, 20);
        arena.limit(5);
        arena.limit(100);
        assert_eq!((arena.total(), arena.used(), arena.peak()), (5, 0, 0));
        let pages: Vec<_> = core::iter::from_fn(|| arena.alloc()).collect();
        assert_eq!(pages, [3, 4, 5, 6, 7]);
        assert!(arena.take_short());
        assert_eq!((arena.used(), arena.peak()), (5, 5));
    }
}
