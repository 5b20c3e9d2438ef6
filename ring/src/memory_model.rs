//! Shared memory as loom sees it: what `memory.rs` is, under `--cfg loom`.
//!
//! Each byte is a cell of its own, whose accesses loom tracks: a read that is
//! not ordered after the write by the atomics around it fails the test, and so
//! does a write to bytes that the other side may still read. The atomic cells
//! lie beside the bytes, under the same offsets.

use alloc::{boxed::Box, collections::BTreeMap};
use core::{any::Any, array};
use std::sync::Mutex;

use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicU16, AtomicU32, AtomicU64},
};

type Registry = Mutex<BTreeMap<usize, &'static (dyn Any + Send + Sync)>>;

/// A shared region.
#[derive(Clone, Copy)]
pub struct SharedMemory {
    bytes: &'static [Byte],
    cells: &'static Registry,
    base: usize,
}

struct Byte(UnsafeCell<u8>);

// SAFETY: loom checks each access.
unsafe impl Sync for Byte {}

/// A type that may be overlaid on shared memory.
///
/// # Safety
///
/// None in the model.
pub unsafe trait Cells: Sized + Send + Sync + 'static {
    /// With zero in all atomics.
    fn zeroed() -> Self;
}

// SAFETY: see the trait.
unsafe impl Cells for AtomicU16 {
    fn zeroed() -> Self {
        Self::new(0)
    }
}
// SAFETY: see the trait.
unsafe impl Cells for AtomicU32 {
    fn zeroed() -> Self {
        Self::new(0)
    }
}
// SAFETY: see the trait.
unsafe impl Cells for AtomicU64 {
    fn zeroed() -> Self {
        Self::new(0)
    }
}
// SAFETY: see the trait.
unsafe impl<T: Cells, const N: usize> Cells for [T; N] {
    fn zeroed() -> Self {
        array::from_fn(|_| T::zeroed())
    }
}

/// Fresh memory. To be called within the model.
pub fn leak_for_tests(len: usize) -> SharedMemory {
    let bytes: Box<[Byte]> = (0..len).map(|_| Byte(UnsafeCell::new(0))).collect();
    SharedMemory { bytes: Box::leak(bytes), cells: Box::leak(Box::default()), base: 0 }
}

impl SharedMemory {
    /// Its size in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn at(&self, offset: usize, len: usize) -> Option<&'static [Byte]> {
        self.bytes.get(offset..offset.checked_add(len)?)
    }

    /// See the real one.
    pub fn slice(&self, offset: usize, len: usize) -> Option<Self> {
        if !offset.is_multiple_of(64) {
            return None;
        }
        Some(Self { bytes: self.at(offset, len)?, cells: self.cells, base: self.base + offset })
    }

    /// See the real one.
    #[must_use]
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Option<()> {
        let source = self.at(offset, into.len())?;
        for (to, from) in into.iter_mut().zip(source) {
            // SAFETY: loom checks that nobody writes meanwhile.
            *to = from.0.with(|p| unsafe { *p });
        }
        Some(())
    }

    /// See the real one.
    #[must_use]
    pub fn write(&self, offset: usize, from: &[u8]) -> Option<()> {
        for (to, from) in self.at(offset, from.len())?.iter().zip(from) {
            // SAFETY: loom checks that nobody else has it meanwhile.
            to.0.with_mut(|p| unsafe { *p = *from });
        }
        Some(())
    }

    /// See the real one.
    #[must_use]
    pub fn copy_from(&self, offset: usize, source: &Self, from: usize, len: usize) -> Option<()> {
        let mut private = alloc::vec![0; len];
        source.read(from, &mut private)?;
        self.write(offset, &private)
    }

    /// See the real one. Every call for an offset gets the same cells.
    pub fn cell<T: Cells>(&self, offset: usize) -> Option<&'static T> {
        let mut cells = self.cells.lock().ok()?;
        let any = cells.entry(self.base + offset).or_insert_with(|| Box::leak(Box::new(T::zeroed())));
        (*any as &dyn Any).downcast_ref()
    }
}
