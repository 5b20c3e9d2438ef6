//! A PD's heap, no larger than its region `<pd>_heap` on seL4: so what takes too
//! much is found here as well. The memory is the process's own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

struct Limited;

#[global_allocator]
static ALLOCATOR: Limited = Limited;

/// Bytes that may still be taken.
static LEFT: AtomicIsize = AtomicIsize::new(isize::MAX);

/// Lets the process take `bytes` from now on.
pub fn limit(bytes: u64) {
    LEFT.store(bytes.try_into().unwrap_or(isize::MAX), Relaxed);
}

/// What an allocation costs where the heap is dlmalloc's: a word more, in units
/// of two.
fn cost(layout: Layout) -> isize {
    (layout.size().saturating_add(8)).next_multiple_of(16) as isize
}

// SAFETY: all memory is `System`'s; here is only counted.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let cost = cost(layout);
        if LEFT.fetch_sub(cost, Relaxed) < cost {
            LEFT.fetch_add(cost, Relaxed);
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LEFT.fetch_add(cost(layout), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}
