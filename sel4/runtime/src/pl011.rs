//! The PL011 UART, for sending only (ARM DDI 0183).

use core::ptr::NonNull;

use strait_pd::Region;

/// Offsets of the registers.
const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const CONTROL: usize = 0x30;

/// In FLAGS: the transmit FIFO is full.
const TX_FULL: u32 = 1 << 5;
/// In CONTROL: the UART and its transmitter are on.
const ENABLE: u32 = 1 | 1 << 8;

/// A PL011 whose registers this PD maps.
pub struct Pl011 {
    base: NonNull<u8>,
}

impl Pl011 {
    /// The UART whose registers are in `region`. The firmware has set speed
    /// and framing.
    pub fn new(region: Region) -> Self {
        let uart = Self { base: region.base() };
        uart.set(CONTROL, uart.get(CONTROL) | ENABLE);
        uart
    }

    fn get(&self, register: usize) -> u32 {
        // SAFETY: an aligned 32-bit register inside the mapped page.
        unsafe { self.base.add(register).cast::<u32>().read_volatile() }
    }

    fn set(&self, register: usize, value: u32) {
        // SAFETY: as above; the registers written here touch no memory.
        unsafe { self.base.add(register).cast::<u32>().write_volatile(value) }
    }

    /// Sends all of `bytes`, at the speed of the line.
    pub fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            while self.get(FLAGS) & TX_FULL != 0 {}
            self.set(DATA, u32::from(*b));
        }
    }
}
