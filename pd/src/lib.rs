//! What a protection domain (PD) may ask of the world it runs in.
//!
//! Every component is written against this crate alone, so that the same code
//! runs as an seL4 protection domain (`sel4/`) and as a Linux process
//! (`hosted/`). A component never learns which of the two it is.
//!
//! Names follow the Microkit manual: a *channel* joins two PDs, a
//! *notification* is a binary signal on it, a *protected procedure call* runs
//! in the callee, which has the higher priority, and returns at once.

#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::{string::String, vec::Vec};
use core::ptr::NonNull;

mod config;
mod fault;
mod message;

pub use config::{CONFIG_VERSION, ChannelConfig, ChildConfig, Config, ConfigError, RegionConfig};
pub use fault::{Fault, FaultKind};
pub use message::{MESSAGE_BYTES, MESSAGE_WORDS, Message};

/// Most channels and interrupts one PD can have (Microkit 2.3.0; its manual
/// says 63, its tool and headers enforce 62).
pub const MAX_CHANNELS: usize = 62;

/// One end of a channel, or an interrupt: an identifier local to this PD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(u8);

impl Channel {
    /// The channel numbered `id`; `None` from [`MAX_CHANNELS`] on.
    pub const fn new(id: u8) -> Option<Self> {
        if (id as usize) < MAX_CHANNELS { Some(Self(id)) } else { None }
    }

    /// Its number, below [`MAX_CHANNELS`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of channels: notifications that arrived together. Notifications are
/// binary and merge, so one bit may stand for many signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChannelSet(pub u64);

impl ChannelSet {
    /// The set without members.
    pub const EMPTY: Self = Self(0);

    /// Whether `channel` is a member.
    pub const fn contains(self, channel: Channel) -> bool {
        self.0 & (1 << channel.0) != 0
    }

    /// Whether there is no member.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds `channel`.
    pub fn insert(&mut self, channel: Channel) {
        self.0 |= 1 << channel.0;
    }

    /// Removes `channel`.
    pub fn remove(&mut self, channel: Channel) {
        self.0 &= !(1 << channel.0);
    }

    /// The members of both or either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The members, lowest number first.
    pub fn iter(self) -> impl Iterator<Item = Channel> {
        let mut bits = self.0;
        core::iter::from_fn(move || {
            if bits == 0 {
                return None;
            }
            let id = bits.trailing_zeros() as u8;
            bits &= bits - 1;
            Channel::new(id)
        })
    }
}

/// The services of the world: seL4 and Microkit, or Linux.
///
/// The object is shared by all that runs in the PD, hence `&self`; a PD has
/// one thread. Naming a channel that the system description does not give
/// this PD, or using it in a way that the description forbids, is a bug of the
/// component and may end it.
pub trait Pd {
    /// Signals the PD at the other end of `channel`. Never blocks.
    fn notify(&self, channel: Channel);

    /// Acknowledges the interrupt `channel`: it may be raised again.
    fn irq_ack(&self, channel: Channel);

    /// Protected procedure call: sends `message` over `channel` and replaces it
    /// with the reply.
    fn call(&self, channel: Channel, message: &mut Message);

    /// Sleeps until notified and returns the channels that were. For clients,
    /// which run their own loop; servers are [`Component`]s.
    fn wait(&self) -> ChannelSet;

    /// As [`notify`](Self::notify) then [`wait`](Self::wait), in one system
    /// call where the world has one.
    fn notify_and_wait(&self, channel: Channel) -> ChannelSet {
        self.notify(channel);
        self.wait()
    }

    /// What [`wait`](Self::wait) would return, without sleeping.
    fn poll(&self) -> ChannelSet;

    /// Time since some fixed point in the past, in nanoseconds; monotonic.
    fn now(&self) -> u64;

    /// Writes bytes where a developer looks when all else fails (the kernel's
    /// debug console, or standard error). May do nothing. Components log
    /// through [`ChannelConfig`]'s console; this is for panics.
    fn debug_write(&self, bytes: &[u8]);
}

/// The world as components hold it.
pub type PdRef = &'static dyn Pd;

/// A PD that serves: it runs only when something happens.
pub trait Component {
    /// Notifications arrived. May return one channel to be notified on return:
    /// the world fuses that signal with its next wait, which saves a system
    /// call.
    fn notified(&mut self, channels: ChannelSet) -> Option<Channel>;

    /// A protected procedure call arrived on `channel`; what `message` holds on
    /// return is the reply. Must return in bounded time, whatever it holds.
    fn protected(&mut self, channel: Channel, message: &mut Message) {
        let _ = channel;
        *message = Message::new(u64::MAX);
    }

    /// The PD nested in this one under the number `child` faulted: it runs no
    /// more, its memory stays as it left it. (Whoever waits for itself with
    /// [`Pd::wait`] is not told.)
    fn fault(&mut self, child: u8, fault: &Fault) {
        let _ = (child, fault);
    }
}

/// A memory region that is mapped into this PD for as long as it lives.
///
/// Only [`Environment::new`] makes one, so holding it proves that the mapping
/// is there. Turning it into accesses is the business of `strait-ring`
/// (`SharedMemory::attach`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    base: NonNull<u8>,
    size: usize,
    writable: bool,
}

impl Region {
    /// Its first address in this PD, aligned to a page.
    pub const fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Its size in bytes, a multiple of 4096.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Whether this PD may write to it; if not, a write is a fault and ends the
    /// PD.
    pub const fn writable(&self) -> bool {
        self.writable
    }
}

/// All that a PD is given at its start.
pub struct Environment {
    /// The world.
    pub pd: PdRef,
    /// What the system description says of this PD.
    pub config: Config,
    regions: Vec<(String, Region)>,
}

impl Environment {
    /// The environment that `config` describes; for the two worlds.
    ///
    /// # Safety
    ///
    /// Each region in `config` whose address is not zero must be mapped there,
    /// whole, at an address that is a multiple of 4096, readable, and writable
    /// if it says so, until the program ends. The memory must belong to nothing
    /// else in this program (no variable, no heap), and its address must have
    /// been exposed if it was allocated by this program.
    #[allow(unsafe_code)]
    pub unsafe fn new(pd: PdRef, config: Config) -> Self {
        let regions = config
            .regions
            .iter()
            .filter_map(|r| {
                let base = NonNull::new(core::ptr::with_exposed_provenance_mut(r.vaddr as usize))?;
                Some((r.name.clone(), Region { base, size: r.size as usize, writable: r.writable }))
            })
            .collect();
        Self { pd, config, regions }
    }

    /// The region that the description calls `name`.
    pub fn region(&self, name: &str) -> Result<Region, ConfigError> {
        self.regions.iter().find(|(n, _)| n == name).map(|(_, r)| *r).ok_or_else(|| ConfigError::NoRegion(name.into()))
    }

    /// The channel that joins this PD to the PD called `peer`.
    pub fn channel(&self, peer: &str) -> Result<Channel, ConfigError> {
        self.config.channel(peer)
    }
}
