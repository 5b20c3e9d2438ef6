//! [`strait_pd::Pd`] on seL4 and Microkit: what every protection domain of the
//! seL4 world is linked with.
//!
//! A PD binary is a few lines: it names its heap size and its start function,
//! with [`server!`] for a [`Component`](strait_pd::Component), which runs when
//! something happens, or [`client!`] for a function that runs its own loop.
//! The heap is in the image if the macro says `heap = ...` (a multiple of
//! 64 KiB), else in a region of the system description: see [`heap`].
//! Everything else comes from the configuration region that the Microkit tool
//! maps and whose address it writes into the symbol `strait_config`.
//!
//! Limits: one thread per PD; no passive PDs. A fault of a child PD stops the
//! child for good; a [`Component`](strait_pd::Component) is told of it.

#![no_std]

extern crate alloc;

pub mod clock;
#[cfg(feature = "virtio")]
pub mod dma;
mod entry;
pub mod heap;
mod mem;
mod microkit;
pub mod pl011;
mod run;
#[cfg(feature = "virtio")]
pub mod virtio;

pub use entry::{__client, __server, Never};
pub use microkit::Microkit;
#[doc(hidden)]
pub use sel4_microkit;
#[cfg(feature = "virtio")]
pub use virtio_drivers;

/// The allocator takes memory in steps of this size.
const HEAP_STEP: usize = 64 * 1024;

#[doc(hidden)]
pub const fn __check_heap(size: usize) {
    assert!(size > 0 && size.is_multiple_of(HEAP_STEP), "the heap must be a multiple of 64 KiB");
}

/// Makes the binary a server: `main` is a function from
/// [`Environment`](strait_pd::Environment) to
/// `Result<impl Component, impl Display>`.
///
/// ```ignore
/// strait_sel4::server!(heap = 256 * 1024, main = strait_console::Console::new);
/// ```
#[macro_export]
macro_rules! server {
    (heap = $heap:expr, main = $main:expr $(,)?) => {
        const _: () = $crate::__check_heap($heap);
        fn __strait_init() -> $crate::Never {
            $crate::__server($main)
        }
        $crate::sel4_microkit::declare_protection_domain!(init = __strait_init, heap_size = $heap);
    };
    (main = $main:expr $(,)?) => {
        $crate::__region_heap!();
        fn __strait_init() -> $crate::Never {
            __strait_heap();
            $crate::__server($main)
        }
        $crate::sel4_microkit::declare_protection_domain!(init = __strait_init);
    };
}

/// Makes the binary a client: `main` is a function from
/// [`Environment`](strait_pd::Environment) that never returns.
#[macro_export]
macro_rules! client {
    (heap = $heap:expr, main = $main:expr $(,)?) => {
        const _: () = $crate::__check_heap($heap);
        fn __strait_init() -> $crate::Never {
            $crate::__client($main)
        }
        $crate::sel4_microkit::declare_protection_domain!(init = __strait_init, heap_size = $heap);
    };
    (main = $main:expr $(,)?) => {
        $crate::__region_heap!();
        fn __strait_init() -> $crate::Never {
            __strait_heap();
            $crate::__client($main)
        }
        $crate::sel4_microkit::declare_protection_domain!(init = __strait_init);
    };
}
