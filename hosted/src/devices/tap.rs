//! A TAP device as a network device.
//!
//! One read or write system call moves one frame, by way of a private buffer:
//! the copy of some 1,500 bytes is small beside the call, and no reference to
//! shared memory is needed. A frame is sent when it is submitted.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::Result;
use rustix::event::epoll::EventFlags;
use rustix::io::{read, write};
use strait_eth_driver::device::{MAX_FRAME, NetDevice, Received};
use strait_pd::Channel;
use strait_ring::SharedMemory;
use strait_ring::net_queue::BUFFER_SIZE;

use super::carrier::Carrier;
use crate::interrupt::Interrupt;
use crate::process::Start;

/// Buffers that the device takes in each direction.
const QUEUE: usize = 256;
/// What QEMU gives the first network device.
const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

pub struct Tap {
    fd: Arc<OwnedFd>,
    interrupt: Arc<Interrupt>,
    carrier: Carrier,
    rx_data: SharedMemory,
    tx_data: SharedMemory,
    /// Empty buffers, to be filled in this order.
    posted: VecDeque<u16>,
    /// Buffers of sent frames.
    sent: VecDeque<u16>,
}

impl Tap {
    /// The device `fd`, which raises `irq`.
    pub fn new(start: &Start, irq: Channel, fd: OwnedFd, rx_data: SharedMemory, tx_data: SharedMemory) -> Result<Self> {
        let carrier = Carrier::new(start, irq, &fd)?;
        let fd = Arc::new(fd);
        let interrupt = start.interrupt(irq, fd.clone())?;
        let queue = || VecDeque::with_capacity(QUEUE);
        Ok(Self { fd, interrupt, carrier, rx_data, tx_data, posted: queue(), sent: queue() })
    }
}

impl NetDevice for Tap {
    fn mac(&self) -> [u8; 6] {
        MAC
    }

    fn link_up(&self) -> bool {
        self.carrier.is_up()
    }

    fn ack_interrupt(&mut self) -> bool {
        self.carrier.look()
    }

    fn rx_room(&self) -> usize {
        QUEUE - self.posted.len()
    }

    fn rx_posted(&self) -> usize {
        self.posted.len()
    }

    fn post_rx(&mut self, slot: u16) {
        self.posted.push_back(slot);
    }

    fn poll_rx(&mut self) -> Option<Received> {
        let slot = *self.posted.front()?;
        let mut frame = [0; BUFFER_SIZE];
        // Would block, or the device is down: nothing there.
        let n = read(&self.fd, &mut frame).ok()?;
        self.posted.pop_front();
        let fits =
            n <= usize::from(MAX_FRAME) && self.rx_data.write(usize::from(slot) * BUFFER_SIZE, &frame[..n]).is_some();
        Some(Received { slot, len: if fits { n as u16 } else { 0 } })
    }

    /// What is there raises the interrupt as soon as that is enabled: it is
    /// level-triggered.
    fn rx_ready(&self) -> bool {
        false
    }

    fn tx_room(&self) -> usize {
        QUEUE - self.sent.len()
    }

    fn submit_tx(&mut self, slot: u16, len: u16) {
        let mut frame = [0; MAX_FRAME as usize];
        let frame = &mut frame[..usize::from(len).min(usize::from(MAX_FRAME))];
        if self.tx_data.read(usize::from(slot) * BUFFER_SIZE, frame).is_some() {
            // A frame that the device does not take is lost, as on a wire.
            let _ = write(&self.fd, frame);
        }
        self.sent.push_back(slot);
    }

    fn poll_tx(&mut self) -> Option<u16> {
        self.sent.pop_front()
    }

    fn tx_ready(&self) -> bool {
        !self.sent.is_empty()
    }

    fn tx_pending(&self) -> usize {
        self.sent.len()
    }

    fn kick(&mut self, _: bool, _: bool) {}

    fn set_rx_interrupt(&mut self, enabled: bool) {
        // Without a buffer to fill, frames wait in the device.
        let wanted = enabled && !self.posted.is_empty();
        self.interrupt.enable(if wanted { EventFlags::IN } else { EventFlags::empty() });
    }

    fn set_tx_interrupt(&mut self, _: bool) {}
}
