//! A region of memory that another protection domain can write at any time.
//!
//! No reference to its bytes is ever formed (`&[u8]` promises that nobody
//! writes): payload moves by [`SharedMemory::read`] and
//! [`SharedMemory::write`], indices are atomic cells got by
//! [`SharedMemory::cell`].

use core::{mem, ptr, ptr::NonNull};

use strait_pd::Region;
use zerocopy::FromBytes;

/// A shared region as mapped into this protection domain.
#[derive(Debug, Clone, Copy)]
pub struct SharedMemory {
    base: NonNull<u8>,
    len: usize,
}

/// A type that may be overlaid on shared memory.
///
/// # Safety
///
/// Every field must be an atomic (so that a peer's writes are no data race in
/// this program) and the type must not need dropping.
pub unsafe trait Cells: FromBytes {}

// SAFETY: atomics.
unsafe impl Cells for core::sync::atomic::AtomicU16 {}
// SAFETY: atomics.
unsafe impl Cells for core::sync::atomic::AtomicU32 {}
// SAFETY: atomics.
unsafe impl Cells for core::sync::atomic::AtomicU64 {}
// SAFETY: an array of atomics.
unsafe impl<T: Cells, const N: usize> Cells for [T; N] {}

impl SharedMemory {
    /// Takes the region of `len` bytes at `base`.
    ///
    /// # Safety
    ///
    /// The whole region must be mapped for reading, and for writing if any
    /// writing method is used, until the program ends; `base` must be aligned
    /// to 64 bytes; and within this program it must be reached only through
    /// `SharedMemory` values (and their cells).
    pub const unsafe fn new(base: NonNull<u8>, len: usize) -> Self {
        Self { base, len }
    }

    /// Takes a region that the world mapped.
    ///
    /// Writing to one that is mapped for reading only is a fault: it ends this
    /// PD and does nothing else. Whoever also uses the region's address
    /// directly does so in an `unsafe` block of its own, which must not form
    /// references that overlap what is read and written through this value.
    pub const fn attach(region: Region) -> Self {
        // SAFETY: a `Region` is made only by `Environment::new`, whose contract
        // is that the region is mapped, page aligned, until the program ends
        // and belongs to nothing else in this program. A write without the
        // right to write faults, it cannot corrupt anything.
        unsafe { Self::new(region.base(), region.size()) }
    }

    /// Its size in bytes.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn at(&self, offset: usize, len: usize) -> Option<NonNull<u8>> {
        if offset.checked_add(len)? > self.len {
            return None;
        }
        // SAFETY: offset <= self.len, so the result is in or one past the region.
        Some(unsafe { self.base.add(offset) })
    }

    /// The part of `len` bytes from `offset` on; `None` if it is not all
    /// inside, or not aligned to 64.
    pub fn slice(&self, offset: usize, len: usize) -> Option<Self> {
        if !offset.is_multiple_of(64) {
            return None;
        }
        Some(Self { base: self.at(offset, len)?, len })
    }

    /// Copies bytes out, beginning at `offset`. `None`, and nothing done, if
    /// they are not all inside.
    #[inline]
    #[must_use]
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Option<()> {
        let from = self.at(offset, into.len())?;
        // SAFETY: `from` is valid for `into.len()` bytes (checked by `at`,
        // mapped by the contract of `new`); `into` is private memory, so they
        // do not overlap. A peer in another address space may write the source
        // meanwhile: then the bytes are arbitrary, which is all that is
        // promised of them; no other thread of this program writes them.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), into.as_mut_ptr(), into.len()) };
        Some(())
    }

    /// Copies bytes in, beginning at `offset`. `None`, and nothing done, if
    /// they do not all fit.
    #[inline]
    #[must_use]
    pub fn write(&self, offset: usize, from: &[u8]) -> Option<()> {
        let into = self.at(offset, from.len())?;
        // SAFETY: as in `read`, with the parts exchanged.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), into.as_ptr(), from.len()) };
        Some(())
    }

    /// Copies `len` bytes from `source` (from `from` on) to `offset`, without a
    /// private copy between. `None`, and nothing done, if they are not all
    /// inside on both sides.
    #[inline]
    #[must_use]
    pub fn copy_from(&self, offset: usize, source: &Self, from: usize, len: usize) -> Option<()> {
        let from = source.at(from, len)?;
        let into = self.at(offset, len)?;
        // SAFETY: both are valid for `len` bytes (checked by `at`, mapped by
        // the contract of `new`) and may overlap. As in `read`, a peer may
        // write either meanwhile, which makes the bytes arbitrary only.
        unsafe { ptr::copy(from.as_ptr(), into.as_ptr(), len) };
        Some(())
    }

    /// The atomic cells of type `T` at `offset`. `None` if they are not all
    /// inside or not aligned.
    pub fn cell<T: Cells>(&self, offset: usize) -> Option<&'static T> {
        let p = self.at(offset, mem::size_of::<T>())?.cast::<T>();
        if !p.is_aligned() {
            return None;
        }
        // SAFETY: inside the region (mapped for the rest of the program) and
        // aligned; any bytes are a `T` (`FromBytes`); all fields are atomics
        // (`Cells`), so sharing with writers is sound.
        Some(unsafe { p.as_ref() })
    }

    /// `len` bytes at `offset` as private memory.
    ///
    /// # Safety
    ///
    /// As long as the result lives nobody else may read or write those bytes:
    /// no peer (they belong to a buffer that this side owns by protocol, and
    /// the peer has no right or no reason to touch it), and nobody here.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn exclusive(&self, offset: usize, len: usize) -> Option<&mut [u8]> {
        let p = self.at(offset, len)?;
        // SAFETY: inside the mapped region; exclusive by the caller's contract.
        Some(unsafe { core::slice::from_raw_parts_mut(p.as_ptr(), len) })
    }
}

/// Zeroed memory that looks like a region, for tests of what builds on this
/// crate. It is never freed.
#[cfg(not(loom))]
pub fn leak_for_tests(len: usize) -> SharedMemory {
    #[repr(C, align(4096))]
    #[derive(Clone, Copy)]
    struct Page([u8; crate::PAGE]);
    let pages = alloc::vec![Page([0; crate::PAGE]); len.div_ceil(crate::PAGE)].leak();
    // SAFETY: leaked, so valid until the end; aligned; nobody else has it.
    unsafe { SharedMemory::new(NonNull::from(pages).cast(), len) }
}

/// An environment for tests: its regions are those of `config`, mapped to the
/// memory given in `shared` under their names, or else to fresh zeroed memory.
/// So two environments that get the same `shared` share it.
#[cfg(not(loom))]
pub fn environment_for_tests(
    pd: strait_pd::PdRef,
    mut config: strait_pd::Config,
    shared: &[(&str, SharedMemory)],
) -> strait_pd::Environment {
    for region in &mut config.regions {
        let memory = shared.iter().find(|(name, _)| *name == region.name).map(|(_, m)| *m);
        let memory = memory.unwrap_or_else(|| leak_for_tests(region.size as usize));
        region.vaddr = memory.base.as_ptr().expose_provenance() as u64;
        region.size = memory.len as u64;
        assert!(region.vaddr.is_multiple_of(crate::PAGE as u64), "shared regions begin at a page");
    }
    // SAFETY: every region was leaked by `leak_for_tests` (page aligned, never
    // freed, reached through `SharedMemory` only) or is in the caller's
    // `SharedMemory`, for which the same holds; all addresses are exposed.
    unsafe { strait_pd::Environment::new(pd, config) }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn copies_between_regions() {
        let (a, b) = (leak_for_tests(4096), leak_for_tests(8192));
        a.write(4000, &[7; 96]).unwrap();
        assert!(b.copy_from(100, &a, 4000, 96).is_some());
        let mut got = [0; 98];
        b.read(99, &mut got).unwrap();
        assert_eq!((got[0], got[1], got[96], got[97]), (0, 7, 7, 0));
        assert!(b.copy_from(100, &a, 4001, 96).is_none());
        assert!(b.copy_from(8190, &a, 0, 3).is_none());
        assert!(b.copy_from(101, &b, 100, 96).is_some());
    }

    #[test]
    fn nothing_outside_is_reached() {
        let m = leak_for_tests(4096);
        let mut b = [1u8; 8];
        assert!(m.read(4088, &mut b).is_some());
        assert!(m.read(4089, &mut b).is_none());
        assert!(m.write(usize::MAX, &b).is_none());
        assert!(m.cell::<AtomicU32>(4094).is_none());
        assert!(m.cell::<AtomicU32>(2).is_none());
        assert!(m.slice(64, 4096).is_none());
        assert!(m.slice(8, 64).is_none());
        m.cell::<AtomicU32>(4092).unwrap().store(7, Ordering::Relaxed);
        m.read(4088, &mut b).unwrap();
        assert_eq!(b, [0, 0, 0, 0, 7, 0, 0, 0]);
    }
}
