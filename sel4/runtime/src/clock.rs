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

/// The physical timer of this core. There is one; the PD that takes its
/// interrupt is the one to use it.
pub struct PhysicalTimer {
    /// Ticks per nanosecond, 32 fractional bits.
    ticks_per_ns: u64,
}

impl PhysicalTimer {
    /// Takes the timer.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self { ticks_per_ns: ((u128::from(frequency()) << 32) / 1_000_000_000) as u64 }
    }

    /// Raises the timer's interrupt once [`now`] has reached `deadline`;
    /// `None` stops it.
    pub fn arm(&mut self, deadline: Option<u64>) {
        let Some(deadline) = deadline else {
            // SAFETY: stops this core's timer; affects no memory.
            unsafe { asm!("msr cntp_ctl_el0, xzr", options(nomem, nostack, preserves_flags)) };
            return;
        };
        // Relative, so that rounding stays below two ticks however long the
        // system has been up.
        let ns = deadline.saturating_sub(now());
        let left = ((u128::from(ns) * u128::from(self.ticks_per_ns)) >> 32) as u64;
        let compare = ticks().saturating_add(left).saturating_add(2);
        // SAFETY: sets and enables this core's timer; affects no memory.
        unsafe {
            asm!(
                "msr cntp_cval_el0, {}", "msr cntp_ctl_el0, {}",
                in(reg) compare, in(reg) 1u64,
                options(nomem, nostack, preserves_flags),
            )
        };
    }
}
