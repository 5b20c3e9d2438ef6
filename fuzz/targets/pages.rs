//! Shared regions are never freed, as test worlds make them; here they are,
//! after each input.
#![allow(dead_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

const MOST: usize = 64;

struct Noting;

#[global_allocator]
static ALLOCATOR: Noting = Noting;

static NOTED: [AtomicUsize; MOST * 2] = [const { AtomicUsize::new(0) }; MOST * 2];
static COUNT: AtomicUsize = AtomicUsize::new(MOST);

fn note(memory: *mut u8, layout: Layout) {
    if layout.align() >= strait_ring::PAGE && COUNT.load(Ordering::Relaxed) < MOST {
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        NOTED[2 * n].store(memory.expose_provenance(), Ordering::Relaxed);
        NOTED[2 * n + 1].store(layout.size(), Ordering::Relaxed);
    }
}

// SAFETY: the system's allocator, which is told everything.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        let memory = unsafe { System.alloc(layout) };
        note(memory, layout);
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        let memory = unsafe { System.alloc_zeroed(layout) };
        note(memory, layout);
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Runs `world`, which must drop what it makes, and frees its regions.
pub fn reclaim(world: impl FnOnce()) {
    COUNT.store(0, Ordering::Relaxed);
    world();
    for n in 0..COUNT.swap(MOST, Ordering::Relaxed) {
        let memory = std::ptr::with_exposed_provenance_mut(NOTED[2 * n].load(Ordering::Relaxed));
        let size = NOTED[2 * n + 1].load(Ordering::Relaxed);
        let layout = Layout::from_size_align(size, strait_ring::PAGE).unwrap();
        // SAFETY: allocated with this layout in `world`, which leaked it;
        // whatever pointed to it was dropped with the world.
        unsafe { System.dealloc(memory, layout) };
    }
}
