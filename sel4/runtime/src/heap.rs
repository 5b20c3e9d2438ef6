//! The heap of a program: in a memory region of the PD, or in the image.
//!
//! A region costs nothing in the image, which holds every byte of a program's
//! own memory, and can have large pages. It is named by two symbols:
//! `<map ... setvar_vaddr="strait_heap" setvar_size="strait_heap_size"/>`.

use one_shot_mutex::sync::RawOneShotMutex;
use sel4_dlmalloc::{DeferredStaticDlmalloc, StaticHeapBounds};

/// The allocator of a program whose heap is a region.
pub type RegionHeap = DeferredStaticDlmalloc<RawOneShotMutex>;

/// Gives `heap` the region at `base`, which nothing else in the PD uses.
pub fn init(heap: &RegionHeap, base: usize, size: usize) {
    if base == 0 || size == 0 {
        panic!("no heap: map a region with setvar_vaddr=\"strait_heap\" and setvar_size=\"strait_heap_size\"");
    }
    // Fails only if it has a region already, which is as good.
    let _ = heap.set_bounds(StaticHeapBounds::new(core::ptr::with_exposed_provenance_mut(base), size));
}

/// Declares the program's heap and a function `__strait_heap` that starts it.
#[doc(hidden)]
#[macro_export]
macro_rules! __region_heap {
    () => {
        #[global_allocator]
        static __STRAIT_HEAP: $crate::heap::RegionHeap = $crate::heap::RegionHeap::new();

        #[allow(non_upper_case_globals)]
        #[unsafe(no_mangle)]
        #[unsafe(link_section = ".data")]
        static strait_heap: ::core::sync::atomic::AtomicUsize = ::core::sync::atomic::AtomicUsize::new(0);

        #[allow(non_upper_case_globals)]
        #[unsafe(no_mangle)]
        #[unsafe(link_section = ".data")]
        static strait_heap_size: ::core::sync::atomic::AtomicUsize = ::core::sync::atomic::AtomicUsize::new(0);

        fn __strait_heap() {
            use ::core::sync::atomic::Ordering::Relaxed;
            $crate::heap::init(&__STRAIT_HEAP, strait_heap.load(Relaxed), strait_heap_size.load(Relaxed));
        }
    };
}
