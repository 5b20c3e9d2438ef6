//! The ARM generic timer's counter, as nanoseconds.
//!
//! The board's kernel exports the physical counter to user level, so reading
//! the time costs no system call.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// Nanoseconds per tick as a fixed point number with 32 fractional bits;
/// computed once, so that reading the clock takes a multiplication and no
/// division.
static NS_PER_TICK: AtomicU64 = AtomicU64::new(0);

/// Ticks per second, as the firmware set it.
pub fn frequency() -> u64 {
    let hz: u64;
    // SAFETY: reads a register that is readable at EL0 and has no side effect.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) hz, options(nomem, nostack, preserves_flags)) };
    hz
}

/// Prepares [`now`]; called once at the start of the PD.
pub fn init() {
    NS_PER_TICK.store((1_000_000_000u64 << 32) / frequency().max(1), Ordering::Relaxed);
}

/// The counter, in ticks. A system-wide counter that starts at boot.
#[inline]
pub fn ticks() -> u64 {
    let t: u64;
    // SAFETY: as above; the kernel is configured to let EL0 read it
    // (KernelArmExportPTMRUser of the Microkit board).
    unsafe { asm!("mrs {}, cntpct_el0", out(reg) t, options(nomem, nostack, preserves_flags)) };
    t
}

/// Nanoseconds since boot.
#[inline]
pub fn now() -> u64 {
    ((ticks() as u128 * NS_PER_TICK.load(Ordering::Relaxed) as u128) >> 32) as u64
}
