//! Tells a device where a queue is.

use strait_ring::SharedMemory;
use virtio_drivers::transport::Transport;

use crate::queue::{Layout, MAX_SIZE, QUEUE_BYTES, Virtqueue};

/// Makes queue number `index` of a device in the first [`QUEUE_BYTES`] bytes
/// of `memory`, whose physical address is `paddr`, a multiple of 4096. `None`
/// if the memory is too small or the device has no such queue, or only one
/// that is too short for a chain.
pub fn start<const PARTS: usize>(
    transport: &mut impl Transport,
    index: u16,
    memory: SharedMemory,
    paddr: u64,
) -> Option<Virtqueue<PARTS>> {
    let most = transport.max_queue_size(index).min(MAX_SIZE.into());
    if most < PARTS as u32 || transport.queue_used(index) {
        return None;
    }
    let size = 1 << most.ilog2();
    let queue = Virtqueue::new(memory.slice(0, QUEUE_BYTES)?, paddr, size)?;
    let layout = Layout::new(size);
    transport.queue_set(index, size.into(), paddr, paddr + layout.avail as u64, paddr + layout.used as u64);
    Some(queue)
}
