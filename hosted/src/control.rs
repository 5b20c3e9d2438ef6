//! The control region: notifications and protected procedure calls between
//! the processes, on futexes.
//!
//! One area for each PD:
//!
//! ```text
//! offset 0     u64 notified   channels (and interrupts) that were signalled
//!        64    u64 calls      channels on which a call waits to be served
//!        128   u32 sleeping   futex: 1 while the PD sleeps
//!        192   u64 ended      numbers of its children that have ended
//!        256   u64[3] how the PD itself ended: kind, instruction, detail
//!        4096  one mailbox of 576 bytes for each channel of the callee
//! mailbox 0    u32 state      futex, see below
//!         4    u32 length in words, 8 u64 label, 64 u64[64] words
//! ```
//!
//! A call fills the callee's mailbox, sets its bit in `calls` and wakes it:
//!
//! ```text
//! IDLE/DONE --caller--> PENDING --caller sleeps--> WAITING
//!     ^                    |                          |
//!     +------ callee ------+--------------------------+  (wakes if WAITING)
//! ```
//!
//! Every process maps the whole region, so this world does not keep a hostile
//! PD from forging another's signals; seL4 does. It tests programs, it does
//! not confine them.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::thread::futex;
use strait_pd::{Fault, FaultKind, MAX_CHANNELS, MESSAGE_WORDS, Message};
use strait_ring::SharedMemory;

/// Most PDs in a system (Microkit 2.3.0).
pub const MAX_PDS: usize = 63;

const MAILBOXES: usize = 4096;
const MAILBOX: usize = 576;
const AREA: usize = (MAILBOXES + MAX_CHANNELS * MAILBOX).next_multiple_of(4096);

/// Bytes of the control region.
pub const CONTROL_BYTES: usize = MAX_PDS * AREA;

const PENDING: u32 = 1;
const WAITING: u32 = 2;
const DONE: u32 = 3;

/// Sleeps while `word` is `value`; may return early.
fn sleep_while(word: &AtomicU32, value: u32) {
    // Shared between processes, so not FUTEX_PRIVATE. Errors are "the value is
    // another already" and "a signal came"; all callers look again.
    let _ = futex::wait(word, futex::Flags::empty(), value, None);
}

fn wake(word: &AtomicU32) {
    let _ = futex::wake(word, futex::Flags::empty(), 1);
}

/// What wakes one PD.
#[derive(Clone, Copy)]
pub struct Doorway {
    notified: &'static AtomicU64,
    calls: &'static AtomicU64,
    sleeping: &'static AtomicU32,
    ended: &'static AtomicU64,
}

impl Doorway {
    /// That of PD number `pd`; `None` if there is no such area.
    pub fn new(control: SharedMemory, pd: usize) -> Option<Self> {
        let area = control.slice(pd.checked_mul(AREA)?, AREA)?;
        Some(Self { notified: area.cell(0)?, calls: area.cell(64)?, sleeping: area.cell(128)?, ended: area.cell(192)? })
    }

    /// Delivers the notifications `bits`.
    pub fn notify(&self, bits: u64) {
        self.notified.fetch_or(bits, Ordering::SeqCst);
        self.wake();
    }

    /// Tells that the child with this number has ended; its [`Epitaph`] is
    /// written.
    pub fn tell_end(&self, child: u8) {
        self.ended.fetch_or(1 << (child % 64), Ordering::SeqCst);
        self.wake();
    }

    /// Tells that a call waits on the channel `bit`.
    fn call(&self, bit: u64) {
        self.calls.fetch_or(bit, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        // The work before, the flag after; `sleep` does it the other way
        // round, so one of the two sees the other.
        if self.sleeping.load(Ordering::SeqCst) != 0 && self.sleeping.swap(0, Ordering::SeqCst) != 0 {
            wake(self.sleeping);
        }
    }

    /// Takes all notifications.
    pub fn take_notified(&self) -> u64 {
        if self.notified.load(Ordering::SeqCst) == 0 { 0 } else { self.notified.swap(0, Ordering::SeqCst) }
    }

    /// Takes all calls.
    pub fn take_calls(&self) -> u64 {
        if self.calls.load(Ordering::SeqCst) == 0 { 0 } else { self.calls.swap(0, Ordering::SeqCst) }
    }

    /// Takes the numbers of the children that have ended.
    pub fn take_ended(&self) -> u64 {
        if self.ended.load(Ordering::SeqCst) == 0 { 0 } else { self.ended.swap(0, Ordering::SeqCst) }
    }

    /// Sleeps until there is something to take; may return early. For the PD
    /// itself.
    pub fn sleep(&self) {
        self.sleeping.store(1, Ordering::SeqCst);
        if [self.notified, self.calls, self.ended].iter().all(|word| word.load(Ordering::SeqCst) == 0) {
            sleep_while(self.sleeping, 1);
        }
        self.sleeping.store(0, Ordering::SeqCst);
    }
}

/// How a PD ended: written by itself in its last moments, or else by the
/// supervisor, and read by its parent.
#[derive(Clone, Copy)]
pub struct Epitaph(&'static [AtomicU64; 3]);

impl Epitaph {
    const KINDS: [FaultKind; 5] =
        [FaultKind::Memory, FaultKind::Exception, FaultKind::Call, FaultKind::Exit, FaultKind::Other];

    /// That of PD number `pd`; `None` if there is no such area.
    pub fn new(control: SharedMemory, pd: usize) -> Option<Self> {
        Some(Self(control.slice(pd.checked_mul(AREA)?, AREA)?.cell(256)?))
    }

    /// Writes it, unless it was written before. Allowed in a signal handler.
    pub fn write(&self, fault: &Fault) {
        let [kind, ip, detail] = self.0;
        if kind.load(Ordering::Relaxed) != 0 {
            return;
        }
        ip.store(fault.ip, Ordering::Relaxed);
        detail.store(fault.detail, Ordering::Relaxed);
        let number = Self::KINDS.iter().position(|k| *k == fault.kind);
        kind.store(number.map_or(0, |n| n as u64 + 1), Ordering::Release);
    }

    /// What was written.
    pub fn read(&self) -> Option<Fault> {
        let [kind, ip, detail] = self.0;
        let number = kind.load(Ordering::Acquire).checked_sub(1)?;
        let kind = *Self::KINDS.get(usize::try_from(number).ok()?)?;
        Some(Fault { kind, ip: ip.load(Ordering::Relaxed), detail: detail.load(Ordering::Relaxed) })
    }
}

/// Where the calls over one channel are passed, in the area of the callee.
#[derive(Clone, Copy)]
pub struct Mailbox {
    state: &'static AtomicU32,
    len: &'static AtomicU32,
    label: &'static AtomicU64,
    words: &'static [AtomicU64; MESSAGE_WORDS],
}

impl Mailbox {
    /// That of channel `channel` of PD number `callee`.
    pub fn new(control: SharedMemory, callee: usize, channel: usize) -> Option<Self> {
        if channel >= MAX_CHANNELS {
            return None;
        }
        let area = control.slice(callee.checked_mul(AREA)?, AREA)?;
        let at = area.slice(MAILBOXES + channel * MAILBOX, MAILBOX)?;
        Some(Self { state: at.cell(0)?, len: at.cell(4)?, label: at.cell(8)?, words: at.cell(64)? })
    }

    fn write(&self, message: &Message) {
        let words = message.words();
        for (cell, word) in self.words.iter().zip(words) {
            cell.store(*word, Ordering::Relaxed);
        }
        self.label.store(message.label, Ordering::Relaxed);
        self.len.store(words.len() as u32, Ordering::Relaxed);
    }

    fn read(&self, message: &mut Message) {
        let len = (self.len.load(Ordering::Relaxed) as usize).min(MESSAGE_WORDS);
        let words: [u64; MESSAGE_WORDS] =
            core::array::from_fn(|i| if i < len { self.words[i].load(Ordering::Relaxed) } else { 0 });
        message.set(self.label.load(Ordering::Relaxed), &words[..len]);
    }

    /// Caller: makes the call and waits for the reply. `callee` is the
    /// callee's door, `bit` the channel there.
    pub fn call(&self, callee: &Doorway, bit: u64, message: &mut Message) {
        self.write(message);
        self.state.store(PENDING, Ordering::Release);
        callee.call(bit);
        loop {
            match self.state.load(Ordering::Acquire) {
                DONE => break,
                PENDING => {
                    // Fails if the reply came just now.
                    let _ = self.state.compare_exchange(PENDING, WAITING, Ordering::AcqRel, Ordering::Relaxed);
                }
                other => sleep_while(self.state, other),
            }
        }
        self.read(message);
    }

    /// Callee: lets `serve` turn the call into its reply. Nothing happens if
    /// there is no call.
    pub fn serve(&self, message: &mut Message, serve: impl FnOnce(&mut Message)) {
        if !matches!(self.state.load(Ordering::Acquire), PENDING | WAITING) {
            return;
        }
        self.read(message);
        serve(message);
        self.write(message);
        if self.state.swap(DONE, Ordering::AcqRel) == WAITING {
            wake(self.state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strait_ring::memory::leak_for_tests;

    #[test]
    fn areas_do_not_overlap_and_end_with_the_region() {
        let control = leak_for_tests(CONTROL_BYTES);
        assert!(Doorway::new(control, MAX_PDS - 1).is_some());
        assert!(Doorway::new(control, MAX_PDS).is_none());
        assert!(Mailbox::new(control, MAX_PDS - 1, MAX_CHANNELS - 1).is_some());
        assert!(Mailbox::new(control, 0, MAX_CHANNELS).is_none());
        const { assert!(64 + MESSAGE_WORDS * 8 <= MAILBOX && MAILBOX.is_multiple_of(64)) };
    }

    #[test]
    fn calls_and_notifications_between_threads() {
        const ROUNDS: u64 = 20_000;
        let control = leak_for_tests(CONTROL_BYTES);
        let (server, client) = (Doorway::new(control, 0).unwrap(), Doorway::new(control, 1).unwrap());
        let mailbox = Mailbox::new(control, 0, 5).unwrap();
        let serving = std::thread::spawn(move || {
            let (mut served, mut message) = (0, Message::new(0));
            while served < ROUNDS {
                if server.take_calls() & (1 << 5) != 0 {
                    mailbox.serve(&mut message, |m| m.set(m.label + 1, &[m.words().iter().sum()]));
                    client.notify(1 << 9);
                    served += 1;
                } else {
                    server.sleep();
                }
            }
        });
        for i in 0..ROUNDS {
            let mut m = Message::from_words(i, &[i, 1, 2]);
            mailbox.call(&server, 1 << 5, &mut m);
            assert_eq!((m.label, m.words()), (i + 1, &[i + 3][..]));
            while client.take_notified() == 0 {
                client.sleep();
            }
        }
        serving.join().unwrap();
    }
}
