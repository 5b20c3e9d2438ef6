//! Finds a virtio device in a page of virtio-mmio slots.

use core::ptr::NonNull;

use strait_pd::Region;
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceType, Transport};

/// Distance of two slots on the board, and registers and configuration of one.
const SLOT: usize = 0x200;

/// The device of this type in the region of device registers `page`, which this
/// PD alone maps. The board has eight slots in a page; the system description
/// must give the PD the interrupt of the slot that the device sits in.
pub fn find(page: Region, wanted: DeviceType) -> Option<MmioTransport<'static>> {
    (0..page.size() / SLOT).find_map(|i| {
        let header = NonNull::new(page.base().as_ptr().wrapping_add(i * SLOT))?.cast::<VirtIOHeader>();
        // SAFETY: a slot of virtio-mmio registers inside the mapped page;
        // mapped until the program ends, and by this PD alone. An empty slot
        // reads as one with device type 0, which is refused here.
        let transport = unsafe { MmioTransport::new(header, SLOT) }.ok()?;
        if transport.device_type() == wanted {
            Some(transport)
        } else {
            // Dropping it would reset a device that is not ours.
            core::mem::forget(transport);
            None
        }
    })
}
