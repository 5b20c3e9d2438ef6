//! The memory that clients can fill: pages of content and numbers of files,
//! each paid by the client that asked for it.
//!
//! Every client has a share, so one that fills its own takes nothing from the
//! others, and there is heap for all shares together (`strait_abi::vfs::heap`). What
//! is paid for is given back when the [`Page`] or [`Charge`] goes away, whoever
//! drops it. A page is kept then for the next one: between pages the heap has no
//! gaps that only something smaller fits into.

use alloc::{boxed::Box, rc::Rc, vec, vec::Vec};
use core::cell::RefCell;

use strait_abi::Errno;
use strait_ring::PAGE;

/// The client's place among the sessions.
pub type Payer = u16;
/// Who pays for what the server itself makes: nobody.
pub const NOBODY: Payer = u16::MAX;

/// An amount of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// Pages of 4 KiB.
    pub pages: u64,
    /// Files, directories, further names of files.
    pub inodes: u64,
}

/// The pool.
pub struct Pool {
    share: Amount,
    clients: usize,
    used: RefCell<Used>,
    free: RefCell<Vec<Box<[u8]>>>,
}

#[derive(Default)]
struct Used {
    by: Vec<Amount>,
    all: Amount,
    peak: u64,
}

/// One page of content.
pub struct Page {
    bytes: Box<[u8]>,
    payer: Payer,
    pool: Rc<Pool>,
}

/// Some files, or further names of a file.
pub struct Charge {
    inodes: u64,
    payer: Payer,
    pool: Rc<Pool>,
}

impl Pool {
    /// A pool with this share for each of `clients`.
    pub fn new(share: Amount, clients: usize) -> Rc<Self> {
        Rc::new(Self { share, clients, used: RefCell::default(), free: RefCell::default() })
    }

    /// What each client may use.
    pub fn share(&self) -> Amount {
        self.share
    }

    /// What `payer` uses.
    pub fn used_by(&self, payer: Payer) -> Amount {
        self.used.borrow().by.get(usize::from(payer)).copied().unwrap_or_default()
    }

    /// What all use, and the most pages that they ever did.
    pub fn used(&self) -> (Amount, u64) {
        let used = self.used.borrow();
        (used.all, used.peak)
    }

    /// A page of zeros. ENOSPC if the payer's share is used up.
    pub fn page(self: &Rc<Self>, payer: Payer) -> Result<Page, Errno> {
        self.pay(payer, Amount { pages: 1, inodes: 0 })?;
        let free = self.free.borrow_mut().pop();
        let bytes = match free {
            Some(mut bytes) => {
                bytes.fill(0);
                bytes
            }
            None => vec![0; PAGE].into_boxed_slice(),
        };
        Ok(Page { bytes, payer, pool: self.clone() })
    }

    /// So many files. ENOSPC if the payer's share is used up.
    pub fn inodes(self: &Rc<Self>, payer: Payer, inodes: u64) -> Result<Charge, Errno> {
        self.pay(payer, Amount { pages: 0, inodes })?;
        Ok(Charge { inodes, payer, pool: self.clone() })
    }

    fn pay(&self, payer: Payer, more: Amount) -> Result<(), Errno> {
        let mut used = self.used.borrow_mut();
        if payer != NOBODY {
            let at = usize::from(payer);
            if used.by.len() <= at {
                used.by.resize(self.clients.max(at + 1), Amount::default());
            }
            let by = &mut used.by[at];
            let sum = Amount { pages: by.pages + more.pages, inodes: by.inodes + more.inodes };
            if sum.pages > self.share.pages || sum.inodes > self.share.inodes {
                return Err(Errno::ENOSPC);
            }
            *by = sum;
        }
        used.all.pages += more.pages;
        used.all.inodes += more.inodes;
        used.peak = used.peak.max(used.all.pages);
        Ok(())
    }

    fn give_back(&self, payer: Payer, less: Amount) {
        let mut used = self.used.borrow_mut();
        used.all.pages -= less.pages;
        used.all.inodes -= less.inodes;
        if let Some(by) = used.by.get_mut(usize::from(payer)) {
            by.pages -= less.pages;
            by.inodes -= less.inodes;
        }
    }
}

impl core::ops::Deref for Page {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl core::ops::DerefMut for Page {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.pool.give_back(self.payer, Amount { pages: 1, inodes: 0 });
        self.pool.free.borrow_mut().push(core::mem::take(&mut self.bytes));
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.pool.give_back(self.payer, Amount { pages: 0, inodes: self.inodes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pays_for_itself_and_gets_it_back() {
        let pool = Pool::new(Amount { pages: 2, inodes: 1 }, 2);
        let a = (pool.page(0).unwrap(), pool.page(0).unwrap());
        assert_eq!(pool.page(0).err(), Some(Errno::ENOSPC));
        let b = pool.page(1).unwrap();
        let i = pool.inodes(0, 1).unwrap();
        assert_eq!(pool.inodes(0, 1).err(), Some(Errno::ENOSPC));
        assert_eq!(pool.used_by(0), Amount { pages: 2, inodes: 1 });
        let free = pool.inodes(NOBODY, 7).unwrap();
        drop((a, b, i, free));
        assert_eq!(pool.used(), (Amount::default(), 3));
        let mut page = pool.page(0).unwrap();
        page[7] = 7;
        drop(page);
        assert_eq!(pool.page(0).unwrap()[..], [0; PAGE]);
    }
}
