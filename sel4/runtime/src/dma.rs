//! Memory that a device reads and writes: [`virtio_drivers::Hal`] over regions
//! of the system description, without copies.
//!
//! Queues come from one region that belongs to the driver alone; packet data
//! lies in regions that the driver names with [`add_window`]. The Microkit tool
//! supplies the physical addresses ([`paddr!`](crate::paddr)).
//!
//! Limits: memory is never given back; the device is coherent with the
//! processor's caches (it is on QEMU).

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use strait_pd::Region;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// A physical address that the Microkit tool writes into the image:
/// `<setvar symbol="NAME" region_paddr="REGION"/>`.
#[macro_export]
macro_rules! paddr {
    ($name:ident) => {{
        #[allow(non_upper_case_globals)]
        #[unsafe(no_mangle)]
        #[unsafe(link_section = ".data")]
        static $name: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(0);
        $name.load(core::sync::atomic::Ordering::Relaxed)
    }};
}

struct Window {
    vaddr: AtomicUsize,
    size: AtomicUsize,
    paddr: AtomicU64,
}

impl Window {
    const fn new() -> Self {
        Self { vaddr: AtomicUsize::new(0), size: AtomicUsize::new(0), paddr: AtomicU64::new(0) }
    }

    fn set(&self, region: Region, paddr: u64) {
        self.vaddr.store(region.base().addr().get(), Relaxed);
        self.size.store(region.size(), Relaxed);
        self.paddr.store(paddr, Relaxed);
    }

    #[inline]
    fn translate(&self, vaddr: usize, len: usize) -> Option<u64> {
        let offset = vaddr.wrapping_sub(self.vaddr.load(Relaxed));
        let size = self.size.load(Relaxed);
        (offset < size && len <= size - offset).then(|| self.paddr.load(Relaxed) + offset as u64)
    }
}

/// The driver's own region and how much of it is given out.
static OWN: Window = Window::new();
static OWN_USED: AtomicUsize = AtomicUsize::new(0);
/// Regions shared with other PDs.
static SHARED: [Window; 3] = [const { Window::new() }; 3];

/// Names the region that queues are allocated from. Call it once, first.
pub fn init(own: Region, paddr: u64) {
    OWN.set(own, paddr);
}

/// Names a region whose buffers the device may be given. Returns whether there
/// was a place for it.
#[must_use]
pub fn add_window(region: Region, paddr: u64) -> bool {
    match SHARED.iter().find(|w| w.size.load(Relaxed) == 0) {
        Some(window) => {
            window.set(region, paddr);
            true
        }
        None => false,
    }
}

/// The regions of this PD as a virtio driver needs them.
pub struct Regions;

// SAFETY: `dma_alloc` gives out parts of a region that the system description
// maps into this PD for the driver alone, each part once, page aligned; fresh
// regions are zeroed by the initialiser. The other methods only compute.
unsafe impl Hal for Regions {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let at = OWN_USED.fetch_add(pages * PAGE_SIZE, Relaxed);
        let vaddr = OWN.vaddr.load(Relaxed).wrapping_add(at);
        match (OWN.translate(vaddr, pages * PAGE_SIZE), NonNull::new(core::ptr::with_exposed_provenance_mut(vaddr))) {
            (Some(paddr), Some(p)) => (paddr, p),
            // Address 0 means "none" to the caller.
            _ => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        // Only the PCI transport asks, which no PD uses.
        unreachable!("no PCI here")
    }

    #[inline]
    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        let (vaddr, len) = (buffer.cast::<u8>().addr().get(), buffer.len());
        match SHARED.iter().chain([&OWN]).find_map(|w| w.translate(vaddr, len)) {
            Some(paddr) => paddr,
            None => panic!("a buffer of {len} bytes at {vaddr:#x} is in no region that the device may see"),
        }
    }

    #[inline]
    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
