//! [`Pd`] for a Linux process, and the loop of a server.

use std::array;
use std::cell::RefCell;
use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use strait_pd::{Channel, ChannelSet, Component, MAX_CHANNELS, Message, Pd};
use strait_ring::SharedMemory;

use crate::control::{Doorway, Epitaph, Mailbox};
use crate::interrupt::Interrupt;
use crate::manifest::{ChannelEnd, Manifest};

/// The reply to a call that nobody serves; what the seL4 world answers.
const NOT_SERVED: u64 = u64::MAX >> 12;

/// The world of one PD.
pub struct World {
    name: String,
    door: Doorway,
    links: [Option<Link>; MAX_CHANNELS],
    /// Channels on which the description lets the other end call.
    callable: u64,
    /// The PDs nested in this one: their numbers, and how they ended.
    children: Vec<(u8, Epitaph)>,
    interrupts: RefCell<[Option<Arc<Interrupt>>; MAX_CHANNELS]>,
}

/// One channel.
struct Link {
    peer: Doorway,
    /// The channel's bit at the other end.
    bit: u64,
    can_notify: bool,
    /// For calls from here, if they are allowed.
    outgoing: Option<Mailbox>,
    /// For calls to here, if they are allowed.
    incoming: Option<Mailbox>,
}

impl Link {
    fn new(control: SharedMemory, own: usize, end: &ChannelEnd) -> Option<Self> {
        let bit = 1u64.checked_shl(end.peer_id.into())?;
        let outgoing = Mailbox::new(control, end.peer, end.peer_id.into())?;
        let incoming = Mailbox::new(control, own, end.id.into())?;
        Some(Self {
            peer: Doorway::new(control, end.peer)?,
            bit,
            can_notify: end.can_notify,
            outgoing: end.can_call.then_some(outgoing),
            incoming: end.peer_can_call.then_some(incoming),
        })
    }
}

impl World {
    /// The world of the PD that `manifest` describes.
    pub fn new(control: SharedMemory, manifest: &Manifest) -> Result<Self> {
        let mut links = array::from_fn(|_| None);
        let mut callable = 0;
        for end in &manifest.channels {
            let link = Link::new(control, manifest.index, end).context("impossible channel in the manifest")?;
            let place = links.get_mut(usize::from(end.id)).context("impossible channel number in the manifest")?;
            callable |= u64::from(end.peer_can_call) << end.id;
            *place = Some(link);
        }
        let door = Doorway::new(control, manifest.index).context("impossible PD number in the manifest")?;
        let child = |&(id, pd): &(u8, usize)| Some((id, Epitaph::new(control, pd)?));
        let children = manifest.children.iter().map(child).collect::<Option<_>>();
        let children = children.context("impossible child in the manifest")?;
        let interrupts = RefCell::new(array::from_fn(|_| None));
        Ok(Self { name: manifest.name.clone(), door, links, callable, children, interrupts })
    }

    /// Where this PD is woken.
    pub fn door(&self) -> Doorway {
        self.door
    }

    /// Lets [`Pd::irq_ack`] of `channel` acknowledge `interrupt`.
    pub fn connect_interrupt(&self, channel: Channel, interrupt: Arc<Interrupt>) {
        if let Some(place) = self.interrupts.borrow_mut().get_mut(channel.index()) {
            *place = Some(interrupt);
        }
    }

    fn link(&self, channel: Channel) -> &Link {
        match &self.links[channel.index()] {
            Some(link) => link,
            None => panic!("channel {} does not exist; see the channels of `{}`", channel.index(), self.name),
        }
    }

    /// Serves the calls that wait now; returns whether there were any.
    fn serve_calls(&self, message: &mut Message, mut serve: impl FnMut(Channel, &mut Message)) -> bool {
        let calls = ChannelSet(self.door.take_calls() & self.callable);
        for channel in calls.iter() {
            if let Some(mailbox) = self.link(channel).incoming {
                mailbox.serve(message, |m| serve(channel, m));
            }
        }
        !calls.is_empty()
    }

    /// A client serves no calls: one that arrives nevertheless is refused. It
    /// hears of no ends either.
    fn refuse_calls(&self) {
        self.serve_calls(&mut Message::new(0), |_, m| m.set(NOT_SERVED, &[]));
        self.door.take_ended();
    }

    /// Tells `component` which PDs nested in this one have ended.
    fn tell_ends(&self, component: &mut impl Component) {
        let ended = self.door.take_ended();
        for (child, epitaph) in self.children.iter().filter(|(child, _)| ended & 1 << child != 0) {
            if let Some(fault) = epitaph.read() {
                component.fault(*child, &fault);
            }
        }
    }

    /// Runs `component` for ever.
    pub fn serve(&self, component: &mut impl Component) -> ! {
        let mut message = Message::new(0);
        loop {
            let notified = ChannelSet(self.door.take_notified());
            if !notified.is_empty()
                && let Some(channel) = component.notified(notified)
            {
                self.notify(channel);
            }
            let called = self.serve_calls(&mut message, |c, m| component.protected(c, m));
            self.tell_ends(component);
            if notified.is_empty() && !called {
                self.door.sleep();
            }
        }
    }
}

impl Pd for World {
    fn notify(&self, channel: Channel) {
        let link = self.link(channel);
        if !link.can_notify {
            panic!("channel {} of `{}` has notify=\"false\"", channel.index(), self.name);
        }
        link.peer.notify(link.bit);
    }

    fn irq_ack(&self, channel: Channel) {
        if let Some(interrupt) = self.interrupts.borrow().get(channel.index()).and_then(Option::as_ref) {
            interrupt.acknowledge();
        }
    }

    fn call(&self, channel: Channel, message: &mut Message) {
        let link = self.link(channel);
        match &link.outgoing {
            Some(mailbox) => mailbox.call(&link.peer, link.bit, message),
            None => panic!("channel {} of `{}` allows no calls; it needs pp=\"true\"", channel.index(), self.name),
        }
    }

    fn wait(&self) -> ChannelSet {
        loop {
            let notified = self.poll();
            if !notified.is_empty() {
                return notified;
            }
            self.door.sleep();
        }
    }

    fn poll(&self) -> ChannelSet {
        self.refuse_calls();
        ChannelSet(self.door.take_notified())
    }

    fn now(&self) -> u64 {
        let t = clock_gettime(ClockId::Monotonic);
        t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
    }

    fn debug_write(&self, bytes: &[u8]) {
        let _ = std::io::stderr().write_all(bytes);
    }
}
