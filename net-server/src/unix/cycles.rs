//! Sockets that only messages refer to which nobody can ever receive: a socket
//! that was sent over itself, two that were sent over each other.
//!
//! A socket is in use if a client holds it, or if it is in a message that waits
//! at a socket in use. Everything else is closed. The search costs by the
//! number of local sockets, so it is made only when a socket may have become
//! unreachable, and at most once in [`INTERVAL`].

use alloc::vec::Vec;

use super::{Unix, control::Right};
use crate::{core::Core, socket::SocketId};

/// Nanoseconds between two searches.
pub const INTERVAL: u64 = 10_000_000;

impl Unix {
    /// Finds the sockets that nobody can reach, and hands them over to be
    /// closed.
    pub(super) fn collect(&mut self, core: &mut Core) {
        core.cycles = false;
        self.searches += 1;
        let number = self.searches;
        let mut left: Vec<SocketId> = Vec::new();
        let mut flying: Vec<SocketId> = Vec::new();
        for (id, socket) in &core.sockets {
            if socket.held || !socket.aliases.is_empty() {
                left.push(id);
            } else if socket.flying != 0 {
                flying.push(id);
            }
        }
        if flying.is_empty() {
            return;
        }
        let mut reached: Vec<SocketId> = Vec::new();
        while let Some(id) = left.pop() {
            if !self.owns(core, id) {
                reached.push(id);
                continue;
            }
            let state = core.sockets[id].state;
            if core::mem::replace(&mut self.endpoints[state].reached, number) == number {
                continue;
            }
            // Messages that wait here, also those that wait for room at the
            // peer's end, and connections that wait to be accepted.
            let peer = self.peer(core, id).map(|peer| core.sockets[peer].state);
            let coming = peer.map(|state| self.endpoints[state].written_controls());
            let controls = self.endpoints[state].controls().chain(coming.into_iter().flatten());
            for right in controls.flat_map(|c| &c.rights) {
                if let Right::Socket(flight, _) = right {
                    left.push(flight.socket);
                }
            }
            if let Some(queue) = &core.sockets[id].queue {
                left.extend(queue.complete.iter());
            }
        }
        reached.sort_unstable();
        for id in flying {
            let found = if self.owns(core, id) {
                self.endpoints[core.sockets[id].state].reached == number
            } else {
                reached.binary_search(&id).is_ok()
            };
            if !found && self.owns(core, id) {
                // Its messages are dropped, and with them what they carry.
                self.purge(core, id);
                self.endpoint(core, id).collected = true;
            }
        }
    }
}
