//! Sockets that several sessions hold, and sockets on their way from one to
//! another (SCM_RIGHTS).
//!
//! An open socket has one *home*: the session in whose memory its rings are.
//! Every further session that holds it has an *alias*: a slot of its own whose
//! status says [`AWAY`](status::AWAY). A client that wants to move data there
//! *acquires* the socket first: the rings move into its memory, with what is
//! in them, and the former home becomes an alias. So nobody ever sees another
//! client's memory, and who shares no socket pays nothing.
//!
//! A former home may be in the middle of a read or write when its rings leave.
//! Its pages stay as they are until it acquires or closes the socket, so it
//! disturbs nothing of its own; its slot says how far it got: `tx_limit` is the
//! end of what the server took, `rx_mark` the begin of what it has not read.
//! What it writes beyond is lost: who shares a socket takes turns.
//!
//! A socket lives as long as a session holds it or a message on its way does
//! (`flying`). What flies is charged to the session that sent it.

use alloc::{boxed::Box, vec::Vec};
use core::sync::atomic::{Ordering, fence};

use strait_abi::{Errno, session::status};

use crate::{
    core::Core,
    socket::{Rings, SocketId},
};

/// A session that holds a socket whose rings are elsewhere.
pub struct Alias {
    pub session: usize,
    pub slot: u16,
    /// Rings that left, as long as their client may still be at work in them.
    ghost: Option<Box<Rings>>,
}

/// What became of a socket of which a handle was closed.
#[derive(Debug, PartialEq, Eq)]
pub enum Left {
    /// Somebody still holds it.
    Held,
    /// Somebody does, and what was in its rings is lost.
    Broken,
    /// It is to be closed.
    Nobody,
}

/// A socket on its way in a message.
#[derive(Debug)]
pub struct Flight {
    pub socket: SocketId,
    /// The session that it is charged to.
    session: usize,
}

impl Core {
    /// The socket that a session's client calls `handle`; EBADF if there is
    /// none.
    pub fn find(&self, session: usize, handle: u16) -> Result<SocketId, Errno> {
        let id = self.sessions[session].slots.get(usize::from(handle)).copied().flatten().ok_or(Errno::EBADF)?;
        // A socket that was closed keeps its place until its data is out.
        let held = |s: &crate::socket::Socket| s.open && (s.session != session || s.held && s.slot == Some(handle));
        self.sockets.get(id).filter(|s| held(s)).map(|_| id).ok_or(Errno::EBADF)
    }

    /// Whether a client or a message holds the socket.
    pub fn is_referenced(&self, id: SocketId) -> bool {
        self.sockets.get(id).is_some_and(|s| s.held || s.flying != 0 || !s.aliases.is_empty())
    }

    /// Gives the session a handle of a socket that flew or was just made: the
    /// one that it has, if it has one. EMFILE without a free slot, ENOBUFS if it
    /// has no pages for the data.
    pub fn adopt(&mut self, id: SocketId, session: usize) -> Result<u16, Errno> {
        let socket = self.sockets.get_mut(id).ok_or(Errno::EBADF)?;
        if socket.session == session {
            if let Some(slot) = socket.slot {
                socket.held = true;
                return Ok(slot);
            }
            let slot = self.attach(id)?;
            self.accepted(id);
            self.moved.push(id);
            return Ok(slot);
        }
        if let Some(alias) = socket.aliases.iter().find(|a| a.session == session) {
            return Ok(alias.slot);
        }
        let slot = self.sessions[session].free_slot().ok_or(Errno::EMFILE)?;
        self.sessions[session].slots[usize::from(slot)] = Some(id);
        let socket = &mut self.sockets[id];
        socket.aliases.push(Alias { session, slot, ghost: None });
        let held = socket.held;
        self.reset_alias(id, session, slot);
        if !held && let Err(errno) = self.acquire(id, session) {
            self.drop_alias(id, session);
            return Err(errno);
        }
        Ok(slot)
    }

    /// A connection waits in its queue no longer.
    fn accepted(&mut self, id: SocketId) {
        let socket = &mut self.sockets[id];
        let session = socket.session;
        if core::mem::take(&mut socket.waits) {
            self.leave_queue(session);
            self.sessions[session].sockets += 1;
        }
    }

    fn reset_alias(&mut self, id: SocketId, session: usize, slot: u16) {
        if let Some(shared) = self.sessions[session].region.slot(usize::from(slot)) {
            shared.reset();
            shared.status.store(self.alias_status(id), Ordering::Release);
        }
    }

    /// What an alias is told: what it does not see in its own rings is in the
    /// bits of poll(2).
    fn alias_status(&self, id: SocketId) -> u32 {
        let Some(socket) = self.sockets.get(id) else { return 0 };
        let unread = socket.rings.as_ref().is_some_and(|r| r.rx.used() != 0);
        let kept = status::POLL | status::CONNECTED | status::WRSHUT | status::DONE | status::LISTEN;
        socket.status & kept | status::AWAY | if unread { status::IN } else { 0 }
    }

    /// Tells the aliases what changed.
    #[cold]
    pub fn tell_aliases(&mut self, id: SocketId, event: bool) {
        let word = self.alias_status(id);
        for alias in &self.sockets[id].aliases {
            let region = &self.sessions[alias.session].region;
            if let Some(slot) = region.slot(usize::from(alias.slot)) {
                slot.status.store(word, Ordering::Release);
            }
            if event {
                region.events().set(usize::from(alias.slot));
                self.notify |= 1 << alias.session;
            }
        }
    }

    /// Moves the rings of a socket into the memory of a session that holds it.
    /// ENOBUFS if that has no pages for the data in them.
    pub fn acquire(&mut self, id: SocketId, session: usize) -> Result<(), Errno> {
        let socket = self.sockets.get_mut(id).ok_or(Errno::EBADF)?;
        if socket.session == session {
            self.set_unseen(id, false);
            return Ok(());
        }
        let at = socket.aliases.iter().position(|a| a.session == session).ok_or(Errno::EBADF)?;
        let (home, slot) = (socket.session, socket.aliases[at].slot);
        if let Some(mut ghost) = socket.aliases[at].ghost.take() {
            ghost.close(&mut self.sessions[session].arena);
        }
        let target = &mut self.sessions[session];
        let shared = target.region.slot(usize::from(slot)).ok_or(Errno::EMFILE)?;
        let rings = match &mut socket.rings {
            None => Rings::new(&target.region, shared, socket.resume),
            Some(old) => {
                shared.reset();
                // From here on the former home sees that it is too late. What it
                // did before is seen here.
                old.slot.status.store(status::AWAY, Ordering::Release);
                fence(Ordering::SeqCst);
                // A client that lies here loses its own data.
                let _ = (old.rx.reclaim(&mut self.sessions[home].arena), old.tx.available());
                let target = &mut self.sessions[session];
                let memory = target.region.memory();
                let rx = old.rx.moved(memory, shared, &mut target.arena);
                let tx = old.tx.moved(memory, shared, &mut target.arena);
                let (rx, tx) = match (rx, tx) {
                    (Some(rx), Some(tx)) => (rx, tx),
                    (rx, tx) => {
                        if let Some(mut rx) = rx {
                            rx.close(&mut target.arena);
                        }
                        if let Some(mut tx) = tx {
                            tx.close(&mut target.arena);
                        }
                        old.slot.status.store(socket.status, Ordering::Release);
                        shared.status.store(status::AWAY, Ordering::Release);
                        return Err(Errno::ENOBUFS);
                    }
                };
                old.freeze();
                let since = tx.tail();
                Box::new(Rings { slot: shared, rx, tx, window: 0, written: 0, since, unseen: false })
            }
        };
        let ghost = socket.rings.replace(rings);
        socket.aliases.remove(at);
        self.accepted(id);
        let socket = &mut self.sockets[id];
        let former = socket.slot.replace(slot);
        socket.session = session;
        let held = core::mem::replace(&mut socket.held, true);
        shared.status.store(socket.status, Ordering::Release);
        if let Some(former) = former {
            if held {
                socket.aliases.push(Alias { session: home, slot: former, ghost });
            } else {
                if let Some(mut ghost) = ghost {
                    ghost.close(&mut self.sessions[home].arena);
                }
                self.sessions[home].slots[usize::from(former)] = None;
            }
        }
        self.moved.push(id);
        let ephemeral = usize::from(socket.ephemeral);
        for (session, more) in [(home, false), (session, true)] {
            let owner = &mut self.sessions[session];
            let change = |n: usize, by| if more { n + by } else { n.saturating_sub(by) };
            owner.sockets = change(owner.sockets, 1);
            owner.ephemeral = change(owner.ephemeral, ephemeral);
        }
        if !self.sockets[id].aliases.is_empty() {
            self.tell_aliases(id, false);
        }
        Ok(())
    }

    fn drop_alias(&mut self, id: SocketId, session: usize) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let Some(at) = socket.aliases.iter().position(|a| a.session == session) else { return };
        let mut alias = socket.aliases.remove(at);
        if let Some(ghost) = &mut alias.ghost {
            ghost.close(&mut self.sessions[session].arena);
        }
        self.sessions[session].slots[usize::from(alias.slot)] = None;
    }

    /// The session's client closed its handle.
    pub fn release(&mut self, id: SocketId, session: usize) -> Left {
        let Some(socket) = self.sockets.get_mut(id) else { return Left::Held };
        let mut left = Left::Held;
        if socket.session != session {
            self.drop_alias(id, session);
        } else {
            socket.held = false;
            if !socket.aliases.is_empty() {
                left = self.inherit(id);
            } else if socket.flying != 0 {
                self.rest(id);
            }
        }
        if !self.is_referenced(id) {
            return Left::Nobody;
        }
        // It flies, and perhaps nobody will ever receive it.
        self.cycles |= !self.sockets[id].held;
        left
    }

    /// The rings follow a session that still holds the socket and has pages for
    /// what is in them. If there is none, that is lost: it must not stay in the
    /// memory of a client that has closed.
    fn inherit(&mut self, id: SocketId) -> Left {
        let heirs = self.sockets[id].aliases.len();
        for at in 0..heirs {
            let heir = self.sockets[id].aliases[at].session;
            if self.acquire(id, heir).is_ok() {
                self.set_unseen(id, true);
                return Left::Held;
            }
        }
        let socket = &mut self.sockets[id];
        let heir = socket.aliases[0].session;
        if let Some(mut rings) = socket.rings.take() {
            socket.resume = (rings.rx.tail(), rings.tx.tail());
            rings.close(&mut self.sessions[socket.session].arena);
        }
        // Without rings there is nothing that it could lack pages for.
        let _ = self.acquire(id, heir);
        self.set_unseen(id, true);
        Left::Broken
    }

    fn set_unseen(&mut self, id: SocketId, unseen: bool) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if let Some(rings) = &mut socket.rings {
            rings.unseen = unseen;
        }
        let status = socket.status & !status::AWAY;
        self.set_status(id, status);
    }

    /// Nobody holds a socket that flies: its slot is given back if no data is
    /// in it.
    fn rest(&mut self, id: SocketId) {
        let Some((rings, arena, _)) = self.rings(id) else { return };
        let empty = rings.rx.reclaim(arena).is_ok() && rings.rx.used() == 0 && rings.tx.available() == Ok(0);
        if empty {
            self.detach(id);
            self.moved.push(id);
        }
    }

    /// Puts a socket into a message of the session. ETOOMANYREFS if too many of
    /// its are on their way.
    pub fn take_off(&mut self, id: SocketId, session: usize) -> Result<Flight, Errno> {
        self.charge_flight(session)?;
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.flying += 1;
        }
        Ok(Flight { socket: id, session })
    }

    /// The message is gone: received, or dropped with what was in it.
    pub fn land(&mut self, flight: Flight) {
        self.discharge_flight(flight.session);
        let Some(socket) = self.sockets.get_mut(flight.socket) else { return };
        socket.flying = socket.flying.saturating_sub(1);
        if socket.flying == 0 && !socket.held && socket.aliases.is_empty() {
            self.orphans.push(flight.socket);
        } else if !socket.held {
            self.cycles = true;
        }
    }

    /// Counts a descriptor in a message of the session; ETOOMANYREFS if there
    /// are too many.
    pub fn charge_flight(&mut self, session: usize) -> Result<(), Errno> {
        let owner = &mut self.sessions[session];
        if owner.flying >= owner.slots.len() {
            self.cycles = true;
            return Err(Errno::ETOOMANYREFS);
        }
        owner.flying += 1;
        Ok(())
    }

    /// See [`charge_flight`](Self::charge_flight).
    pub fn discharge_flight(&mut self, session: usize) {
        let owner = &mut self.sessions[session];
        owner.flying = owner.flying.saturating_sub(1);
    }

    /// Sockets whose last reference was in a message that is gone.
    pub fn take_orphans(&mut self) -> Vec<SocketId> {
        core::mem::take(&mut self.orphans)
    }
}
