//! Interrupts from file descriptors: a thread waits for the descriptor and
//! raises the PD's notification bit, once, until the PD acknowledges.
//!
//! ```text
//!   armed --ready--> raised --irq_ack--> acknowledged --enabled--> armed
//! ```
//!
//! The descriptor sits in an epoll set of its own as one-shot, so that a PD
//! which does not look is not signalled again and arming costs one system
//! call. Interrupts are level-triggered: arming while ready raises at once.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, Result};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::control::Doorway;

/// An interrupt line whose source is a file descriptor.
pub struct Interrupt {
    epoll: OwnedFd,
    source: Arc<OwnedFd>,
    /// The events that raise it; 0 while it is disabled.
    wanted: AtomicU32,
    /// The events that it is armed for.
    armed: AtomicU32,
    acknowledged: AtomicBool,
}

impl Interrupt {
    /// An interrupt that `source` raises at `door` as `bit`; disabled.
    pub fn new(source: Arc<OwnedFd>, door: Doorway, bit: u64) -> Result<Arc<Self>> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).context("cannot create an epoll set")?;
        epoll::add(&epoll, source.as_fd(), EventData::new_u64(0), EventFlags::ONESHOT)
            .context("cannot wait for the device")?;
        let line = Arc::new(Self {
            epoll,
            source,
            wanted: AtomicU32::new(0),
            armed: AtomicU32::new(0),
            acknowledged: AtomicBool::new(true),
        });
        let waiting = line.clone();
        thread::Builder::new().name("interrupt".into()).spawn(move || waiting.run(door, bit))?;
        Ok(line)
    }

    fn run(&self, door: Doorway, bit: u64) {
        loop {
            let mut events = Vec::with_capacity(1);
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(n) if n > 0 => {
                    self.acknowledged.store(false, Ordering::SeqCst);
                    self.armed.store(0, Ordering::SeqCst);
                    door.notify(bit);
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => panic!("waiting for the device failed: {}", io::Error::from(e)),
            }
        }
    }

    /// Whether it was raised and not acknowledged yet.
    pub fn is_raised(&self) -> bool {
        !self.acknowledged.load(Ordering::SeqCst)
    }

    /// The PD has handled it: it may be raised again.
    pub fn acknowledge(&self) {
        self.acknowledged.store(true, Ordering::SeqCst);
        self.arm();
    }

    /// Chooses what raises it; nothing if empty. Taking events back costs
    /// nothing, and so one that it was armed for before may still come once.
    pub fn enable(&self, events: EventFlags) {
        self.wanted.store(events.bits(), Ordering::SeqCst);
        self.arm();
    }

    fn arm(&self) {
        let wanted = self.wanted.load(Ordering::SeqCst);
        let armed = self.armed.load(Ordering::SeqCst);
        if armed & wanted == wanted || !self.acknowledged.load(Ordering::SeqCst) {
            return;
        }
        // Before the system call: after it the line may be raised already.
        self.armed.store(wanted, Ordering::SeqCst);
        let events = EventFlags::from_bits_retain(wanted) | EventFlags::ONESHOT;
        if let Err(e) = epoll::modify(&self.epoll, self.source.as_fd(), EventData::new_u64(0), events) {
            panic!("arming the interrupt failed: {}", io::Error::from(e));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::CONTROL_BYTES;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;
    use strait_ring::memory::leak_for_tests;

    #[test]
    fn raised_once_until_acknowledged_and_enabled() {
        let (mut far, near) = UnixStream::pair().unwrap();
        let mut reader = near.try_clone().unwrap();
        let door = Doorway::new(leak_for_tests(CONTROL_BYTES), 0).unwrap();
        let line = Interrupt::new(Arc::new(near.into()), door, 4).unwrap();
        let settle = || {
            thread::sleep(Duration::from_millis(30));
            door.take_notified()
        };
        far.write_all(b"x").unwrap();
        assert_eq!(settle(), 0, "disabled");
        line.enable(EventFlags::IN);
        assert_eq!(settle(), 4);
        line.enable(EventFlags::IN);
        assert_eq!(settle(), 0, "not acknowledged");
        line.acknowledge();
        assert_eq!(settle(), 4, "level-triggered");
        reader.read_exact(&mut [0]).unwrap();
        line.acknowledge();
        assert_eq!(settle(), 0);
        line.enable(EventFlags::empty());
        far.write_all(b"x").unwrap();
        // It was armed before; at most this one may come.
        settle();
        line.acknowledge();
        assert_eq!(settle(), 0, "disabled again");
    }
}
