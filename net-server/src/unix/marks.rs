//! What lies in a stream beside its bytes: messages with descriptors, urgent
//! bytes, changes of who writes.
//!
//! Each is a [`Mark`] at a position. The client that writes says by a call what
//! it is about to write; the mark moves with its byte from the ring of the one
//! client to that of the other. The client that reads is told where the first
//! place lies that it cannot judge itself, and asks what it may take there
//! (`Receive`). The rules are those of unix_stream_read_generic and manage_oob
//! in Linux.

use alloc::{boxed::Box, collections::VecDeque};
use core::sync::atomic::Ordering;

use strait_abi::{Errno, session::status, socket as c};
use strait_ring::paged::RING_BYTES;

use super::{
    Unix,
    control::Control,
    endpoint::{Endpoint, Mark, What, Writer},
    stream::before,
};
use crate::{core::Core, socket::SocketId};

/// Marks in one direction, in each of the two rings.
pub const MAX_MARKS: usize = 64;

impl Endpoint {
    /// Whether there is an urgent byte that nobody took.
    pub fn is_urgent(&self) -> bool {
        self.marks.iter().any(|m| matches!(m.what, What::Urgent(_)))
    }

    /// Who wrote what lies at `at`.
    pub fn writer_at(&self, at: u32) -> Writer {
        let mut writer = self.reading;
        for mark in self.marks.iter().take_while(|m| !before(at, m.at)) {
            match &mark.what {
                What::Writer(who) => writer = *who,
                What::Message(bytes, control) if control.from.is_some() && at.wrapping_sub(mark.at) < *bytes => {
                    return control.from;
                }
                _ => {}
            }
        }
        writer
    }

    /// Where something changes first behind `at`.
    pub fn change_behind(&self, at: u32) -> Option<u32> {
        let end = |m: &Mark| match m.what {
            What::Message(bytes, _) => m.at.wrapping_add(bytes),
            _ => m.at,
        };
        let places = self.marks.iter().flat_map(|m| [m.at, end(m)]).map(|to| to.wrapping_sub(at) as i32);
        places.filter(|distance| *distance > 0).min().map(|distance| at.wrapping_add(distance as u32))
    }

    /// Puts a mark behind those at the same place.
    fn mark(list: &mut VecDeque<Mark>, mark: Mark) {
        let at = list.partition_point(|m| !before(mark.at, m.at));
        list.insert(at, mark);
    }
}

impl Unix {
    // ---- Writing ---------------------------------------------------------

    /// The position up to which the client wrote.
    fn written(&mut self, core: &mut Core, id: SocketId) -> Result<u32, Errno> {
        let (rings, ..) = core.rings(id).ok_or(Errno::EIO)?;
        match rings.tx.available() {
            Ok(_) => Ok(rings.tx.tail()),
            Err(error) => {
                self.broken(core, id, error);
                Err(Errno::EPROTO)
            }
        }
    }

    /// Who writes to `to`, if that is told: if one of both wants it
    /// (SO_PASSCRED), or cannot say yet.
    pub(super) fn told_writer(&self, core: &Core, id: SocketId, to: SocketId) -> Writer {
        let [own, other] = [id, to].map(|id| &self.endpoints[core.sockets[id].state]);
        let told = own.pass_credentials || other.pass_credentials || other.listener.is_some();
        told.then(|| core.sockets[id].session as u8)
    }

    /// What the client of a stream writes from here on is by somebody else, or
    /// told from now on, or no longer.
    pub(super) fn note_writer(&mut self, core: &mut Core, id: SocketId) {
        let Some(peer) = self.peer(core, id) else { return };
        let (writer, home) = (self.told_writer(core, id, peer), core.sockets[id].session);
        let endpoint = self.endpoint(core, id);
        if endpoint.writer == writer && endpoint.home == home {
            return;
        }
        let moved = core::mem::replace(&mut endpoint.home, home) != home;
        let Some((rings, ..)) = core.rings(id) else { return };
        let at = if moved { rings.since } else { rings.tx.available().map_or(rings.tx.head(), |_| rings.tx.tail()) };
        let endpoint = self.endpoint(core, id);
        if endpoint.writer == writer {
            return;
        }
        // Nothing was written since the last change.
        let same = endpoint.pending.iter_mut().find_map(|m| match &mut m.what {
            What::Writer(who) if m.at == at => Some(who),
            _ => None,
        });
        if let Some(who) = same {
            (*who, endpoint.writer) = (writer, writer);
            return;
        }
        let mut what = writer;
        if endpoint.pending.len() >= MAX_MARKS {
            // No place for the difference: it is not told who wrote either.
            let last = endpoint.pending.iter_mut().rev().find_map(|m| match &mut m.what {
                What::Writer(who) => Some(who),
                _ => None,
            });
            what = None;
            if let Some(last) = last {
                *last = None;
                endpoint.writer = None;
                return;
            }
        }
        endpoint.writer = what;
        Endpoint::mark(&mut endpoint.pending, Mark { at, what: What::Writer(what) });
    }

    /// See [`Request::SendControl`](strait_abi::net::Request::SendControl).
    pub(super) fn announce(&mut self, core: &mut Core, id: SocketId, bytes: u32, control: &[u8]) -> Result<(), Errno> {
        if core.sockets[id].kind != c::SOCK_STREAM {
            return Err(Errno::EINVAL);
        }
        let tail = self.check_writer(core, id, bytes)?;
        // Said again before it was written.
        while let Some(at) = self.endpoint(core, id).pending.iter().position(|m| announced(m, tail)) {
            if let Some(mark) = self.endpoint(core, id).pending.remove(at)
                && let What::Message(_, control) = mark.what
            {
                control.refuse(core);
            }
        }
        self.check_room(core, id)?;
        let session = core.sockets[id].session;
        let control = Control::take(core, session, control)?;
        if !control.rights.is_empty()
            && let Some(peer) = self.peer(core, id)
            && !self.endpoint(core, peer).pass_rights
        {
            control.refuse(core);
            return Err(Errno::EPERM);
        }
        let pending = &mut self.endpoint(core, id).pending;
        Endpoint::mark(pending, Mark { at: tail, what: What::Message(bytes, Box::new(control)) });
        Ok(())
    }

    /// See [`Request::SendUrgent`](strait_abi::net::Request::SendUrgent).
    pub(super) fn announce_urgent(&mut self, core: &mut Core, id: SocketId, bytes: u32) -> Result<(), Errno> {
        if core.sockets[id].kind != c::SOCK_STREAM {
            return Err(Errno::EOPNOTSUPP);
        }
        let at = self.check_writer(core, id, bytes)?.wrapping_add(bytes - 1);
        self.endpoint(core, id).pending.retain(|m| before(m.at, at) || !matches!(m.what, What::Urgent(_)));
        self.check_room(core, id)?;
        Endpoint::mark(&mut self.endpoint(core, id).pending, Mark { at, what: What::Urgent(0) });
        Ok(())
    }

    /// The position of what the client writes next. EINVAL if it is not about to
    /// write as many bytes as it says.
    fn check_writer(&mut self, core: &mut Core, id: SocketId, bytes: u32) -> Result<u32, Errno> {
        let endpoint = self.endpoint(core, id);
        if !(1..=RING_BYTES).contains(&bytes) {
            Err(Errno::EINVAL)
        } else if !endpoint.connected {
            Err(Errno::ENOTCONN)
        } else if endpoint.shut_write {
            Err(Errno::EPIPE)
        } else {
            self.written(core, id)
        }
    }

    /// EAGAIN if too many marks wait in the stream that the client writes.
    fn check_room(&mut self, core: &Core, id: SocketId) -> Result<(), Errno> {
        let endpoint = self.endpoint(core, id);
        endpoint.crowded = endpoint.pending.len() >= MAX_MARKS;
        if endpoint.crowded { Err(Errno::EAGAIN) } else { Ok(()) }
    }

    // ---- Moving ----------------------------------------------------------

    /// The byte at position `head` of the ring from one client was moved to
    /// position `at` of the ring to another, and with it the marks there.
    pub(super) fn move_marks(&mut self, from: SocketId, to: SocketId, core: &Core, (head, at): (u32, u32), byte: u8) {
        while self.endpoint(core, from).pending.front().is_some_and(|m| !before(head, m.at)) {
            let Some(mark) = self.endpoint(core, from).pending.pop_front() else { return };
            let marks = &mut self.endpoint(core, to).marks;
            let what = match mark.what {
                What::Urgent(_) => {
                    // One at a time: the older becomes data.
                    marks.retain(|m| !matches!(m.what, What::Urgent(_)));
                    What::Urgent(byte)
                }
                what => what,
            };
            marks.push_back(Mark { at, what });
        }
    }

    /// The client has read up to `head`.
    pub(super) fn pass_marks(&mut self, core: &mut Core, id: SocketId, head: u32) {
        let endpoint = self.endpoint(core, id);
        while let Some(mark) = endpoint.marks.front_mut()
            && !before(head, mark.at)
        {
            let over = match &mut mark.what {
                // What was not asked for before its first byte was read is
                // dropped; the identity holds for all.
                What::Message(bytes, control) => {
                    if mark.at != head && !control.rights.is_empty() {
                        let rights = core::mem::take(&mut control.rights);
                        Control { rights, from: None }.lose(core);
                    }
                    let none = control.rights.is_empty() && control.from.is_none();
                    none || !before(head, mark.at.wrapping_add(*bytes))
                }
                What::Urgent(_) => mark.at != head,
                What::Hole(bytes) => !before(head, mark.at.wrapping_add(*bytes)),
                What::Writer(who) => {
                    endpoint.reading = *who;
                    true
                }
            };
            if !over {
                break;
            }
            endpoint.marks.pop_front();
        }
    }

    // ---- Reading ---------------------------------------------------------

    /// The bits of the status that say what lies in the stream to the client,
    /// after the place of the first that it cannot judge is told.
    pub(super) fn stream_bits(&self, core: &mut Core, id: SocketId) -> u32 {
        let endpoint = &self.endpoints[core.sockets[id].state];
        let first = endpoint.marks.iter().find(|m| match &m.what {
            What::Message(_, control) => !control.rights.is_empty(),
            What::Urgent(_) | What::Hole(_) => true,
            What::Writer(_) => false,
        });
        let Some(first) = first else { return 0 };
        if let Some((rings, ..)) = core.rings(id) {
            rings.slot.rx_mark.store(first.at, Ordering::Release);
        }
        status::CONTROL | if endpoint.is_urgent() { status::PRI } else { 0 }
    }

    /// See [`Request::ReceiveUrgent`](strait_abi::net::Request::ReceiveUrgent).
    pub(super) fn take_urgent(&mut self, core: &mut Core, id: SocketId, peek: bool) -> Result<u8, Errno> {
        if core.sockets[id].kind != c::SOCK_STREAM {
            return Err(Errno::EOPNOTSUPP);
        }
        self.settle_one(core, id);
        if core.sockets[id].options.oob_inline {
            return Err(Errno::EINVAL);
        }
        let marks = &mut self.endpoint(core, id).marks;
        let index = marks.iter().position(|m| matches!(m.what, What::Urgent(_))).ok_or(Errno::EINVAL)?;
        let Mark { at, what: What::Urgent(byte) } = marks[index] else { return Err(Errno::EINVAL) };
        if !peek {
            // Next to a hole it makes that longer.
            match index.checked_sub(1).map(|before| &mut marks[before]) {
                Some(Mark { at: from, what: What::Hole(bytes) }) if from.wrapping_add(*bytes) == at => {
                    *bytes += 1;
                    marks.remove(index);
                }
                _ => marks[index].what = What::Hole(1),
            }
            self.settle_one(core, id);
        }
        Ok(byte)
    }

    /// Bytes in the stream to the client that it can read (SIOCINQ).
    pub(super) fn unread_bytes(&mut self, core: &mut Core, id: SocketId) -> u32 {
        self.settle_one(core, id);
        let used = core.rings(id).map_or(0, |(rings, ..)| rings.rx.used());
        let holes = self.endpoint(core, id).marks.iter().map(|m| if let What::Hole(n) = m.what { n } else { 0 });
        used.saturating_sub(holes.sum())
    }

    /// Whether the next byte is the urgent one, or that was (SIOCATMARK).
    pub(super) fn at_mark(&mut self, core: &mut Core, id: SocketId) -> bool {
        self.settle_one(core, id);
        let Some(head) = core.rings(id).map(|(rings, ..)| rings.rx.head()) else { return false };
        let endpoint = self.endpoint(core, id);
        let urgent = endpoint.marks.iter().find(|m| matches!(m.what, What::Urgent(_))).map(|m| m.at);
        let hole = endpoint.marks.iter().find_map(|m| match m.what {
            What::Hole(bytes) if m.at == head => Some(head.wrapping_add(bytes)),
            _ => None,
        });
        urgent == Some(head) || hole.is_some_and(|end| urgent.is_none_or(|at| at == end))
    }

    /// Whether something was sent to the socket that it has not received. As by
    /// Linux, urgent bytes that were taken or an empty packet do not count if
    /// they come first.
    pub(super) fn has_unread(&mut self, core: &mut Core, id: SocketId, peer: SocketId) -> bool {
        if core.sockets[id].kind != c::SOCK_STREAM {
            let (own, other) = (&self.endpoints[core.sockets[id].state], &self.endpoints[core.sockets[peer].state]);
            let coming = other.sent.iter().filter(|s| s.head != 0).map(|s| s.data);
            let mut records = own.queue.iter().map(|r| r.data).chain(coming);
            return match records.next() {
                Some(0) => records.next().is_some(),
                first => first.is_some(),
            };
        }
        let (head, used) = core.rings(id).map_or((0, 0), |(rings, ..)| (rings.rx.head(), rings.rx.used()));
        let taken = self.endpoint(core, id).marks.iter().find_map(|m| match m.what {
            What::Hole(bytes) if m.at == head => Some(bytes),
            _ => None,
        });
        used > taken.unwrap_or(0) || self.unsent(core, peer) != 0
    }
}

/// Whether a mark was announced for what is written from `tail` on.
fn announced(mark: &Mark, tail: u32) -> bool {
    !before(mark.at, tail) && matches!(mark.what, What::Message(..) | What::Urgent(_))
}
