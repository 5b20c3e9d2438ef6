//! The data pages of a session region, handed out by the server that owns
//! their bookkeeping. Nothing of it is in shared memory: a client cannot
//! disturb it, only use up its own pages.

use alloc::vec::Vec;

/// A page of a session region: its number from the region's start. Page 0 is
/// the header, so 0 can stand for "none".
pub type Page = u16;

/// Free pages of one region.
///
/// Rings take them, and whoever fills one ring, perhaps a peer, must not stop the
/// others: for each of a number of rings some pages are kept.
#[derive(Debug)]
pub struct Arena {
    free: Vec<Page>,
    total: usize,
    low_water: usize,
    short: bool,
    /// Pages that rings have a right to, and those that they have of them.
    rights: usize,
    used: usize,
}

impl Arena {
    /// The pages `first..end` of a region, all free.
    pub fn new(first: Page, end: Page) -> Self {
        // Lowest numbers first out, so that a quiet client touches few pages.
        let free: Vec<Page> = (first..end).rev().collect();
        Self { total: free.len(), low_water: free.len(), short: false, rights: 0, used: 0, free }
    }

    /// Hands out `most` pages at most from now on.
    pub fn limit(&mut self, most: usize) {
        let excess = self.total.saturating_sub(most).min(self.free.len());
        self.free.drain(..excess);
        self.total -= excess;
        self.low_water = self.low_water.min(self.free.len());
    }

    /// Keeps so many pages for [`alloc_kept`](Self::alloc_kept), but no more than
    /// half of all.
    pub fn keep(&mut self, pages: usize) {
        self.rights = pages;
    }

    fn kept(&self) -> usize {
        self.rights.saturating_sub(self.used).min(self.total / 2)
    }

    /// A free page that is not kept, if there is one.
    pub fn alloc(&mut self) -> Option<Page> {
        if self.free.len() > self.kept() {
            return self.take();
        }
        self.short = true;
        None
    }

    /// A page for who has a right to one, if there is one.
    pub fn alloc_kept(&mut self) -> Option<Page> {
        let page = self.take();
        self.used += usize::from(page.is_some());
        page
    }

    fn take(&mut self) -> Option<Page> {
        let page = self.free.pop();
        self.short |= page.is_none();
        self.low_water = self.low_water.min(self.free.len());
        page
    }

    /// Gives back a page that [`alloc`](Self::alloc) returned.
    pub fn free(&mut self, page: Page) {
        debug_assert!(!self.free.contains(&page));
        self.free.push(page);
    }

    /// Gives back one of those that [`alloc_kept`](Self::alloc_kept) returned.
    pub fn free_kept(&mut self, page: Page) {
        self.free(page);
        self.used -= 1;
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

    /// Pages that are kept for nobody: one ring can have so many when no other has
    /// any.
    pub fn open(&self) -> usize {
        self.total - self.rights.min(self.total / 2)
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

    #[test]
    fn what_is_kept_is_for_those_with_a_right() {
        let mut arena = Arena::new(0, 10);
        arena.keep(4);
        assert_eq!(arena.open(), 6);
        let first = arena.alloc_kept().unwrap();
        let more: Vec<_> = core::iter::from_fn(|| arena.alloc()).collect();
        assert_eq!((more.len(), arena.take_short()), (6, true));
        for _ in 0..3 {
            assert!(arena.alloc().is_none());
            arena.alloc_kept().unwrap();
        }
        assert_eq!((arena.alloc_kept(), arena.used()), (None, 10));
        // What comes back is kept again.
        arena.free_kept(first);
        assert_eq!(arena.alloc(), None);
        arena.free(more[0]);
        assert_eq!(core::iter::from_fn(|| arena.alloc()).count(), 1);
        // At most half is.
        let mut arena = Arena::new(0, 10);
        arena.keep(100);
        assert_eq!(arena.open(), 5);
        assert_eq!(core::iter::from_fn(|| arena.alloc()).count(), 5);
    }
}
