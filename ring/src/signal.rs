//! "Notify me only if I sleep": the signalling protocol of sDDF (its
//! `docs/developing.md`, "Signalling protocol"), with the memory barriers that
//! it needs on more than one core.
//!
//! The flag is 0 while the consumer wants a notification for the next work and
//! 1 while it does not. Fresh memory is zero: the first work is signalled.
//!
//! ```text
//! producer                         consumer
//!   publish work                     loop {
//!   if signal.raise() { notify }       do all work
//!                                      signal.arm()
//!                                      if no work came { sleep }
//!                                      signal.disarm()
//!                                    }
//! ```

use crate::sync::{AtomicU32, Ordering, fence};

/// Both ends of one flag.
#[derive(Clone, Copy)]
pub struct Signal<'a>(pub &'a AtomicU32);

impl Signal<'_> {
    /// Producer, after work was published: whether it must notify now.
    #[inline]
    #[must_use]
    pub fn raise(self) -> bool {
        // The work before, the flag after: pairs with the fence in `arm`, so
        // that either we see the flag or the consumer sees the work.
        fence(Ordering::SeqCst);
        if self.0.load(Ordering::Relaxed) != 0 {
            return false;
        }
        self.0.store(1, Ordering::Relaxed);
        true
    }

    /// Consumer, before it sleeps: asks for a notification. It must look for
    /// work once more afterwards.
    #[inline]
    pub fn arm(self) {
        self.0.store(0, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Consumer, when it goes on working after all: wants none.
    #[inline]
    pub fn disarm(self) {
        self.0.store(1, Ordering::Relaxed);
    }

    /// Whether the consumer wants a notification.
    #[inline]
    pub fn armed(self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}
