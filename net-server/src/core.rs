//! What the engine and the families work on: sockets, sessions, links, time
//! and randomness.

use alloc::{string::String, vec::Vec};
use core::sync::atomic::{Ordering, fence};

use rand_chacha::{ChaCha12Rng, rand_core::Rng};
use slab::Slab;
use strait_abi::{Errno, heap, policy::Policy, session::SessionRegion, session::status, vfs::token::Verifier};
use strait_pd::Channel;
use strait_ring::{Misbehaved, arena::Arena, paged::KEPT_PAGES};

use crate::{
    link::Links,
    socket::{ConnectionQueue, Options, Rings, Socket, SocketId},
};

/// Records, packets and pages that are moved for one session in one round of a
/// turn; then the others have theirs.
pub const CREDIT: u32 = 256;

/// One client.
pub struct Session {
    /// The client's name in the system description.
    pub name: String,
    /// Its user and group.
    pub identity: (u32, u32),
    /// The channel to it.
    pub channel: Channel,
    /// The channel to who may say that it has ended.
    pub parent: Option<Channel>,
    /// The region shared with it.
    pub region: SessionRegion,
    /// The region's data pages.
    pub arena: Arena,
    /// Which socket is at each place.
    pub slots: Vec<Option<SocketId>>,
    /// What it may do.
    pub policy: Policy,
    /// Sockets that it owns, with or without a place, but for those that wait.
    pub sockets: usize,
    /// Connections in the queues of its listeners.
    pub waiting: usize,
    /// One more was turned away, as there were too many.
    pub turned_away: bool,
    /// Of them, those whose port was chosen for them.
    pub ephemeral: usize,
    /// TCP connections that it made or that came in by a listener of its, until
    /// they are over, whoever holds them; and how many there may be.
    pub connections: usize,
    pub most_connections: usize,
    /// What is left of [`CREDIT`] in the round of this number.
    credit: (u64, u32),
    /// When its sockets are looked at because pages were short; `u64::MAX` if
    /// they were not. And how long after that the next time is.
    pub relief: u64,
    pub relief_after: u64,
    /// When its sockets are looked at for room that they do not use; `u64::MAX`
    /// if they are not.
    pub trim: u64,
    /// Pages in use when there was none such.
    pub resting: usize,
    /// Descriptors in messages that it sent and nobody has received.
    pub flying: usize,
}

impl Session {
    pub fn new(name: &str, identity: (u32, u32), channel: Channel, region: SessionRegion, policy: Policy) -> Self {
        region.set_version();
        let places = heap::places(region.memory().len(), &policy);
        let mut arena = region.arena();
        arena.limit(policy.pages.map_or(usize::MAX, usize::from));
        // For two rings each.
        arena.keep(2 * places * KEPT_PAGES as usize);
        Self {
            name: name.into(),
            identity,
            channel,
            parent: None,
            region,
            arena,
            slots: alloc::vec![None; places],
            policy,
            sockets: 0,
            waiting: 0,
            turned_away: false,
            ephemeral: 0,
            connections: 0,
            most_connections: 0,
            credit: (0, 0),
            relief: u64::MAX,
            relief_after: 0,
            trim: u64::MAX,
            resting: 0,
            flying: 0,
        }
    }

    /// Most sockets that it may make, those included that are closed and not
    /// over, or in messages. As many connections may wait as it has places.
    fn quota(&self) -> usize {
        2 * self.slots.len()
    }

    pub fn free_slot(&self) -> Option<u16> {
        self.slots.iter().position(Option::is_none).map(|i| i as u16)
    }
}

/// Numbers beyond those of the links.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counters {
    pub misbehaved: u64,
    pub notify_driver: u64,
    pub notify_clients: u64,
    pub wakeups: u64,
    pub buffer_bytes: u64,
}

/// See the module.
pub struct Core {
    /// Time, in nanoseconds.
    pub now: u64,
    /// The number of the turn's round.
    pub(crate) round: u64,
    pub(crate) rng: ChaCha12Rng,
    pub(crate) links: Links,
    /// All sockets, by their number.
    pub sockets: Slab<Socket>,
    pub(crate) sessions: Vec<Session>,
    /// Sessions with events that they have not been notified of, a bit each.
    pub notify: u64,
    /// Sessions whose rings somebody worked at in this turn, a bit each: also
    /// their peers.
    pub touched: u64,
    pub(crate) counters: Counters,
    /// The session whose call is served.
    pub caller: usize,
    /// Sockets whose rings are in another session now, or new there, or gone.
    pub moved: Vec<SocketId>,
    /// Sockets that nobody refers to any more: the turn closes them.
    pub orphans: Vec<SocketId>,
    /// Sessions whose listeners can take connections again, a bit each, for the
    /// families.
    pub has_room: u64,
    /// Some sockets may only be referred to by messages that nobody can
    /// receive.
    pub cycles: bool,
    /// What believes tokens of `vfs_server`.
    pub tokens: Option<Verifier>,
    /// `vfs_server` is to hear of open files that did not arrive.
    pub files_lost: bool,
}

impl Core {
    /// An unpredictable number.
    pub fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Divides a heap of so many bytes between the sessions, see
    /// [`strait_abi::heap`]; without a size it is as large as it must be. What it
    /// has and needs if that is more.
    pub fn share_heap(&mut self, bytes: Option<u64>) -> Result<(), (u64, u64)> {
        let places = self.sessions.iter().map(|s| s.slots.len()).sum();
        let least = heap::least(places as u64);
        let bytes = bytes.unwrap_or(least);
        if bytes < least {
            return Err((bytes, least));
        }
        for session in &mut self.sessions {
            session.most_connections = heap::connections(bytes, session.slots.len(), places);
        }
        self.sockets.reserve_exact(self.most_sockets());
        Ok(())
    }

    /// Sockets that there are at most, in all sessions: at its places, waiting
    /// to be accepted, in messages, and closed but not over.
    pub fn most_sockets(&self) -> usize {
        self.sessions.iter().map(|s| 3 * s.slots.len() + s.most_connections).sum()
    }

    /// TCP connections that there are at most.
    pub fn most_connections(&self) -> usize {
        self.sessions.iter().map(|s| s.most_connections).sum()
    }

    /// Something is moved for a session that costs so much of its credit. Returns
    /// whether it may be in this round.
    #[inline]
    pub fn spend(&mut self, session: usize, cost: u32) -> bool {
        let (round, credit) = &mut self.sessions[session].credit;
        if *round != self.round {
            (*round, *credit) = (self.round, CREDIT);
        }
        let may = *credit != 0;
        *credit = credit.saturating_sub(cost);
        may
    }

    /// A connection of the session waits no longer.
    pub(crate) fn leave_queue(&mut self, session: usize) {
        let owner = &mut self.sessions[session];
        owner.waiting -= 1;
        if core::mem::take(&mut owner.turned_away) {
            self.has_room |= 1 << session;
        }
    }

    /// Makes a socket for a session, or a connection that waits in the queue of
    /// one of its listeners. ENOBUFS if it has too many of those.
    pub fn add(
        &mut self,
        session: usize,
        family: usize,
        domain: u16,
        kind: u16,
        protocol: u16,
        waits: bool,
    ) -> Result<SocketId, Errno> {
        let owner = self.sessions.get_mut(session).ok_or(Errno::EIO)?;
        if waits && owner.waiting >= owner.slots.len() {
            owner.turned_away = true;
            return Err(Errno::ENOBUFS);
        }
        if !waits && owner.sockets >= owner.quota() {
            return Err(Errno::ENOBUFS);
        }
        *if waits { &mut owner.waiting } else { &mut owner.sockets } += 1;
        Ok(self.sockets.insert(Socket {
            session,
            family,
            domain,
            kind,
            protocol,
            open: true,
            held: false,
            waits,
            aliases: Vec::new(),
            flying: 0,
            abandoned: false,
            slot: None,
            rings: None,
            resume: (0, 0),
            status: 0,
            error: None,
            ephemeral: false,
            options: Options::default(),
            queue: None,
            state: 0,
        }))
    }

    /// Gives the socket a place in its session region, with rings. EMFILE if
    /// there is none.
    pub fn attach(&mut self, id: SocketId) -> Result<u16, Errno> {
        let socket = self.sockets.get_mut(id).ok_or(Errno::EBADF)?;
        let session = &mut self.sessions[socket.session];
        let number = session.free_slot().ok_or(Errno::EMFILE)?;
        let slot = session.region.slot(usize::from(number)).ok_or(Errno::EMFILE)?;
        socket.rings = Some(Rings::new(&session.region, slot, socket.resume));
        slot.status.store(socket.status, core::sync::atomic::Ordering::Release);
        socket.slot = Some(number);
        socket.held = true;
        session.slots[usize::from(number)] = Some(id);
        Ok(number)
    }

    /// Takes place, rings and pages from the socket.
    pub fn detach(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        self.touched |= 1 << socket.session;
        let session = &mut self.sessions[socket.session];
        if let Some(mut rings) = socket.rings.take() {
            socket.resume = (rings.rx.tail(), rings.tx.tail());
            rings.close(&mut session.arena);
        }
        if let Some(number) = socket.slot.take() {
            session.slots[usize::from(number)] = None;
        }
    }

    /// Ends the socket.
    pub fn remove(&mut self, id: SocketId) {
        self.detach(id);
        if let Some(socket) = self.sockets.try_remove(id) {
            let owner = &mut self.sessions[socket.session];
            owner.sockets -= usize::from(!socket.waits);
            owner.ephemeral -= usize::from(socket.ephemeral);
            if socket.waits {
                self.leave_queue(socket.session);
            }
        }
    }

    /// Takes back pages whose data a session's client has read without telling.
    pub fn reclaim(&mut self, session: usize) {
        for slot in 0..self.sessions[session].slots.len() {
            if let Some(id) = self.sessions[session].slots[slot]
                && let Some((rings, arena, _)) = self.rings(id)
                && let Err(error) = rings.rx.reclaim(arena)
            {
                self.punish(id, error);
            }
        }
    }

    /// Takes back room that clients of the session got and do not use. Returns
    /// whether there is more to come.
    pub fn trim(&mut self, session: usize) -> bool {
        let mut left = false;
        for slot in 0..self.sessions[session].slots.len() {
            let Some(id) = self.sessions[session].slots[slot] else { continue };
            if self.sockets.get(id).is_none_or(|s| s.session != session) {
                continue;
            }
            let Some((rings, arena, _)) = self.rings(id) else { continue };
            let result = rings.rx.reclaim(arena).and_then(|()| rings.tx.available());
            let idle = result == Ok(0) && rings.written == rings.tx.tail();
            rings.written = rings.tx.tail();
            if rings.tx.revoking() {
                left |= !self.taken_back(id);
            } else if rings.tx.pages() > 1 {
                left = true;
                if idle && rings.tx.revoke() == Ok(true) {
                    rings.window = 0;
                    let status = self.sockets[id].status;
                    self.set_status(id, status);
                    self.event(id);
                }
            }
        }
        left
    }

    /// Frees what the client gave back. Returns whether it has.
    pub fn taken_back(&mut self, id: SocketId) -> bool {
        let Some((rings, arena, _)) = self.rings(id) else { return true };
        match rings.tx.take_back(arena) {
            Ok(true) => {
                let status = self.sockets[id].status & !status::SHRINK;
                self.set_status(id, status);
                true
            }
            Ok(false) => false,
            Err(error) => {
                self.punish(id, error);
                true
            }
        }
    }

    /// The socket's rings with the arena of its session.
    pub fn rings(&mut self, id: SocketId) -> Option<(&mut Rings, &mut Arena, &Options)> {
        let socket = self.sockets.get_mut(id)?;
        self.touched |= 1 << socket.session;
        let arena = &mut self.sessions[socket.session].arena;
        Some((socket.rings.as_deref_mut()?, arena, &socket.options))
    }

    /// Tells the client that something changed at the socket.
    pub fn event(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get(id) else { return };
        if let Some(slot) = socket.slot.filter(|_| socket.open && socket.held) {
            self.sessions[socket.session].region.events().set(usize::from(slot));
            self.notify |= 1 << socket.session;
        }
        if !socket.aliases.is_empty() {
            self.tell_aliases(id, true);
        }
    }

    /// [`set_status`](Self::set_status) of a client that may be asked to ring when
    /// it has read (RING_ON_DRAIN). One that read before it could see that will not:
    /// if it was not asked before, gives the bytes in its ring before and after a
    /// look at what it has read.
    pub fn set_status_asking(&mut self, id: SocketId, status: u32) -> Option<(u32, u32)> {
        let asked = self.sockets[id].status & status::RING_ON_DRAIN != 0;
        self.set_status(id, status);
        if status & status::RING_ON_DRAIN == 0 || asked {
            return None;
        }
        fence(Ordering::SeqCst);
        let (rings, arena, _) = self.rings(id)?;
        let before = rings.rx.used();
        rings.rx.reclaim(arena).ok()?;
        Some((before, rings.rx.used()))
    }

    /// Publishes the status word, and an event if something is possible that
    /// was not before.
    pub fn set_status(&mut self, id: SocketId, status: u32) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let status = if socket.error.is_some() { status | status::ERR } else { status };
        let rings = |f: fn(&Rings) -> bool| socket.rings.as_ref().is_some_and(|rings| f(rings));
        let status = if socket.queue.is_some() { status | status::LISTEN } else { status };
        let status = if rings(|r| r.tx.revoking()) { status | status::SHRINK } else { status };
        let status = if rings(|r| r.unseen) { status | status::AWAY } else { status };
        if socket.status == status {
            return;
        }
        let gained = status & !socket.status & (status::POLL | status::CONNECTED | status::WRSHUT | status::DRAINED);
        socket.status = status;
        if !socket.aliases.is_empty() {
            self.tell_aliases(id, false);
        }
        let socket = &self.sockets[id];
        if let Some(rings) = &socket.rings {
            rings.slot.status.store(status, Ordering::Release);
            if gained != 0 {
                self.event(id);
            }
        }
    }

    /// Sets SO_ERROR.
    pub fn set_error(&mut self, id: SocketId, errno: Errno) {
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.error = Some(errno);
            let status = socket.status;
            self.set_status(id, status | status::ERR);
        }
    }

    /// Takes SO_ERROR.
    pub fn take_error(&mut self, id: SocketId) -> Option<Errno> {
        let socket = self.sockets.get_mut(id)?;
        let error = socket.error.take()?;
        let status = socket.status & !status::ERR;
        self.set_status(id, status);
        Some(error)
    }

    /// Counts a client's breach of the ring protocol and fails its socket.
    pub fn punish(&mut self, id: SocketId, _: Misbehaved) {
        self.counters.misbehaved += 1;
        self.set_error(id, Errno::EPROTO);
    }

    /// The connection queue of a listener.
    pub fn queue(&mut self, id: SocketId) -> Option<&mut ConnectionQueue> {
        self.sockets.get_mut(id)?.queue.as_mut()
    }

    /// Tells whether a listener has something to accept.
    pub fn update_listener(&mut self, id: SocketId) {
        if let Some(queue) = self.queue(id) {
            let ready = !queue.complete.is_empty();
            // Of AF_UNIX: shutdown(2) of a listener.
            let shut = self.sockets[id].status & (status::RDHUP | status::HUP);
            self.set_status(id, shut | if ready || shut & status::RDHUP != 0 { status::IN } else { 0 });
            if ready {
                self.event(id);
            }
        }
    }
}
