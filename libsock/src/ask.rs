//! Receiving where the ring alone does not say what may be taken: the server is
//! asked ([`Request::Receive`]). That is so on local sockets where descriptors
//! or urgent bytes lie, with SO_PASSCRED, and with SO_PEEK_OFF; where none of
//! them is, receiving makes no call.

use core::sync::atomic::Ordering;

use strait_abi::{
    Address, Errno,
    net::{Portion, Request, receive},
    session::status,
    socket::MSG_PEEK,
};
use strait_ring::paged::ClientConsumer;
use zerocopy::FromBytes;

use crate::{control::Extra, parts::Scatter, socket::Socket};

/// What makes a receive ask, or think about it.
pub const PERHAPS: u32 = status::CONTROL | status::IDENTITY | status::OFFSET;

impl Socket {
    /// Whether a receive of up to `most` bytes of a local stream has to ask.
    #[cold]
    pub fn must_ask(&self, rx: &ClientConsumer, status: u32, most: usize) -> bool {
        let reaches = || {
            let distance = rx.distance(self.slot.rx_mark.load(Ordering::Acquire));
            // One that was passed is known to the server alone.
            distance as i32 <= 0 || (distance as usize) < most
        };
        self.is_local()
            && (status & (status::IDENTITY | status::OFFSET) != 0 || status & status::CONTROL != 0 && reaches())
    }

    /// Asks what a receive of at most `most` bytes may take behind the `offset`
    /// that it peeked at. `done` says that it has got something before. What
    /// comes with it goes to `extra`; without, descriptors are dropped.
    pub fn ask(
        &self,
        (offset, most): (u32, usize),
        flags: u32,
        done: bool,
        extra: Option<&mut Extra>,
    ) -> Result<Portion, Errno> {
        let bit = |on, bit| if on { bit } else { 0 };
        let how = bit(flags & MSG_PEEK != 0, receive::PEEK)
            | bit(done, receive::GOES_ON)
            | bit(extra.is_some(), receive::CONTROL);
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        self.net.call(&Request::Receive { socket: self.handle, offset, most, how }, |reply| {
            let (portion, control) = Portion::read_from_prefix(reply.bytes).map_err(|_| Errno::EPROTO)?;
            if let Some(extra) = extra {
                extra.rights.extend_from_slice(control);
            }
            Ok(portion)
        })
    }

    /// [`receive_stream`](Self::receive_stream) where it must ask.
    #[cold]
    pub fn receive_asking<S: Scatter + ?Sized>(
        &self,
        into: &mut S,
        done: usize,
        flags: u32,
        mut extra: Option<&mut Extra>,
    ) -> Result<usize, Errno> {
        let peek = flags & MSG_PEEK != 0;
        let room = into.len().saturating_sub(done);
        let (mut got, mut offset) = (0, 0);
        // Of what the answer brings about (the end of a socket that was in a
        // message), the next receive tells, as on Linux.
        let status = self.status();
        loop {
            let more = done != 0 || got != 0;
            let portion = self.ask((offset, room - got), flags, more, extra.as_deref_mut())?;
            let mut rx = self.rx.borrow_mut();
            let (n, from) = ((portion.bytes as usize).min(room - got), offset + portion.skip);
            let to = done + got..done + got + n;
            into.each_mut(to, |at, part| rx.copy(from + at as u32, part)).ok_or(Errno::EIO)?;
            if peek {
                offset = from + n as u32;
            } else {
                rx.consume(portion.skip + n as u32);
            }
            let left = rx.available();
            drop(rx);
            if !peek {
                self.taken_of(left + n as u32, n as u32);
            }
            got += n;
            self.ended.set(portion.next == Portion::END);
            if portion.next == Portion::MORE && got < room {
                continue;
            }
            let behind = if peek { left > offset } else { left != 0 };
            return if got != 0 || self.ended.get() || room == 0 && behind {
                Ok(got)
            } else if !peek && portion.skip != 0 && left != 0 {
                // Only what is passed over lay before it.
                self.receive_stream(into, done, flags, extra)
            } else {
                self.nothing_received(status)
            };
        }
    }

    /// Passes over records that are gone (connect(2) of a datagram socket to
    /// somebody else).
    #[cold]
    pub fn pass_purged(&self) {
        let mut rx = self.rx.borrow_mut();
        let distance = rx.distance(self.slot.rx_skip.load(Ordering::Acquire));
        // Beyond what is there it was passed before.
        if distance <= rx.available() {
            rx.consume(distance);
            drop(rx);
            self.doorbell();
        }
    }

    /// The name of who is at the other end of a connection; empty if it has none.
    #[cold]
    pub fn peer_name_into(&self, into: &mut Address) -> Result<(), Errno> {
        let mut name = self.peer_name.borrow_mut();
        if name.is_none() && self.status() & status::NAMED != 0 {
            let request = Request::PeerAddress { socket: self.handle };
            *name = Some(self.net.call(&request, |reply| Address::from_bytes(reply.bytes))?);
        }
        *into = name.unwrap_or(Address::EMPTY);
        Ok(())
    }
}
