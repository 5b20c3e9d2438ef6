//! Room that was granted to a client and comes back.
//!
//! A client may be in the middle of a write, so the server cannot take a page
//! away by itself. It lowers `tx_limit`, then counts up `tx_revoked`, and says
//! so in the socket's status. The client looks at the status before each write;
//! when it sees that, it copies `tx_revoked` to `tx_yielded` and reads
//! `tx_limit` afterwards. Its earlier writes are over then (it has one thread),
//! and its later ones keep to the new limit: the server frees what lies beyond.
//! Until then the pages stay, and nothing more is granted.
//!
//! ```text
//! server                            client
//!   tx_limit = keep                   loop {
//!   tx_revoked += 1  (release)          if status says so {
//!   status says so   (release)            n = tx_revoked     (acquire)
//!   ..                                    tx_yielded = n     (release)
//!   if tx_yielded == tx_revoked         }
//!      (acquire) { free }               write below tx_limit
//!                                     }
//! ```

use super::{ClientProducer, ServerConsumer, page_of};
use crate::{Misbehaved, PAGE, arena::Arena, sync::Ordering};

impl ServerConsumer {
    /// The end of the page that the client's next byte goes to.
    fn kept(&self) -> u32 {
        (page_of(self.tail) + 1).wrapping_mul(PAGE as u32)
    }

    /// Begins to take back the room beyond the page that the client writes in.
    /// Returns whether there is any; then the status must tell the client.
    pub fn revoke(&mut self) -> Result<bool, Misbehaved> {
        self.available()?;
        let (keep, room) = (self.kept(), self.room());
        if self.revoking() || keep.wrapping_sub(self.tail) >= room {
            return Ok(false);
        }
        self.slot.tx_limit.store(keep, Ordering::Release);
        self.revoked = self.revoked.wrapping_add(1);
        self.slot.tx_revoked.store(self.revoked, Ordering::Release);
        self.waiting = true;
        Ok(true)
    }

    /// Whether the client has not given back yet what it shall.
    #[inline]
    pub fn revoking(&self) -> bool {
        self.waiting
    }

    /// Frees the pages that the client has given back. Returns whether nothing
    /// is to come any more.
    pub fn take_back(&mut self, arena: &mut Arena) -> Result<bool, Misbehaved> {
        if !self.waiting {
            return Ok(true);
        }
        if self.slot.tx_yielded.load(Ordering::Acquire) != self.revoked {
            return Ok(false);
        }
        // What it wrote before it saw the new limit counts.
        self.available()?;
        let keep = self.kept();
        self.waiting = false;
        if keep.wrapping_sub(self.tail) < self.room() {
            self.table.detach_from(page_of(keep), arena);
            self.limit = keep;
        }
        self.slot.tx_limit.store(self.limit, Ordering::Release);
        Ok(true)
    }
}

impl ClientProducer {
    /// Gives back what the server revoked. Returns whether it does not know
    /// yet: then ring the doorbell.
    pub fn yield_room(&self) -> bool {
        let revoked = self.slot.tx_revoked.load(Ordering::Acquire);
        if self.slot.tx_yielded.load(Ordering::Relaxed) == revoked {
            return false;
        }
        self.slot.tx_yielded.store(revoked, Ordering::Release);
        true
    }
}
