//! virtio-rng (virtio 1.2, 5.4) over any transport of `virtio-drivers`.
//!
//! One request at a time, and no interrupt: the driver looks when it is asked
//! for words. A used length that is longer than the buffer is cut.

#![allow(unsafe_code)]

use core::ptr::NonNull;
use core::slice;

use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{DeviceType, Transport};
use virtio_drivers::{BufferDirection, Error, Hal};

use crate::EntropySource;

const QUEUE: u16 = 0;
const QUEUE_SIZE: usize = 4;
/// Bytes of one request.
const REQUEST: usize = 512;

bitflags::bitflags! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Features: u64 {
        const VERSION_1 = 1 << 32;
    }
}

/// A virtio-rng device.
pub struct VirtioRng<H: Hal, T: Transport> {
    transport: T,
    queue: VirtQueue<H, QUEUE_SIZE>,
    buffer: NonNull<u8>,
    /// The token of the request under way.
    request: Option<u16>,
}

impl<H: Hal, T: Transport> VirtioRng<H, T> {
    /// Starts the device.
    pub fn new(mut transport: T) -> Result<Self, Error> {
        if transport.device_type() != DeviceType::EntropySource {
            return Err(Error::Unsupported);
        }
        transport.begin_init(Features::all());
        let mut queue = VirtQueue::new(&mut transport, QUEUE, false, false)?;
        queue.set_dev_notify(false);
        let (paddr, buffer) = H::dma_alloc(1, BufferDirection::DeviceToDriver);
        if paddr == 0 {
            return Err(Error::DmaError);
        }
        transport.finish_init();
        Ok(Self { transport, queue, buffer, request: None })
    }

    fn buffer(&mut self) -> &'static mut [u8] {
        // SAFETY: the page allocated in `new`, which lives as long as the
        // program; callers drop the slice before the next one is made, and
        // while the device writes to the page the slice is not used.
        unsafe { slice::from_raw_parts_mut(self.buffer.as_ptr(), REQUEST) }
    }
}

impl<H: Hal, T: Transport> EntropySource for VirtioRng<H, T> {
    fn begin(&mut self) {
        if self.request.is_some() {
            return;
        }
        let buffer = self.buffer();
        // SAFETY: the buffer is not touched until `poll` has got it back.
        self.request = unsafe { self.queue.add(&[], &mut [buffer]) }.ok();
        if self.queue.should_notify() {
            self.transport.notify(QUEUE);
        }
    }

    fn poll(&mut self, into: &mut [u8]) -> Option<usize> {
        let token = self.request?;
        let buffer = self.buffer();
        // SAFETY: the buffer that `begin` gave with this token.
        let used = unsafe { self.queue.pop_used(token, &[], &mut [&mut *buffer]) }.ok()?;
        self.request = None;
        let n = (used as usize).min(REQUEST).min(into.len());
        into[..n].copy_from_slice(&buffer[..n]);
        buffer.fill(0);
        Some(n)
    }

    fn ack_interrupt(&mut self) {
        self.transport.ack_interrupt();
    }
}
