//! sendmsg(2), recvmsg(2) and their plurals.

use core::time::Duration;

use strait_abi::{
    Address, Errno,
    control::items,
    socket::{MSG_CMSG_CLOEXEC, MSG_DONTWAIT, MSG_WAITFORONE},
};

use super::io::MAX_PARTS;
use crate::{
    Process,
    control::{Extra, check, for_server, put},
    descriptor::Fd,
    parts::Gather,
};

/// What [`recvmsg`](Process::recvmsg) gives beside the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes of data; with MSG_TRUNC, of the whole datagram.
    pub bytes: usize,
    /// The sender; empty where the protocol names none.
    pub address: Address,
    /// Bytes of control data; their layout is that of [`strait_abi::control`].
    pub control: usize,
    /// MSG_TRUNC, MSG_CTRUNC, ...
    pub flags: u32,
}

/// What sendmmsg(2) sends as one message.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The data, as one piece.
    pub bufs: &'a [&'a [u8]],
    /// Where it goes, if not to the peer.
    pub to: Option<&'a Address>,
    /// Control data.
    pub control: &'a [u8],
    /// How much of the data was sent.
    pub sent: usize,
}

impl<'a> Outgoing<'a> {
    /// A message to the peer.
    pub fn new(bufs: &'a [&'a [u8]]) -> Self {
        Self { bufs, to: None, control: &[], sent: 0 }
    }
}

/// Where recvmmsg(2) puts one message.
#[derive(Debug)]
pub struct Incoming<'a, 'b> {
    /// For the data, one after the other.
    pub bufs: &'a mut [&'b mut [u8]],
    /// For control data.
    pub control: &'a mut [u8],
    /// What came.
    pub received: Received,
}

impl<'a, 'b> Incoming<'a, 'b> {
    /// A place for one message.
    pub fn new(bufs: &'a mut [&'b mut [u8]], control: &'a mut [u8]) -> Self {
        let received = Received { bytes: 0, address: Address::EMPTY, control: 0, flags: 0 };
        Self { bufs, control, received }
    }
}

/// Messages that one call takes at most (UIO_MAXIOV); more count as so many.
const MAX_MESSAGES: usize = 1024;

impl Process {
    /// sendmmsg(2): how many messages were sent. An error is that of the first
    /// message; later ones end the call, and so does a message of which only a
    /// part was sent.
    pub fn sendmmsg(&self, fd: Fd, messages: &mut [Outgoing<'_>], flags: u32) -> Result<usize, Errno> {
        self.socket_of(fd)?;
        let count = messages.len().min(MAX_MESSAGES);
        for (n, message) in messages.iter_mut().take(MAX_MESSAGES).enumerate() {
            match self.sendmsg(fd, message.bufs, message.to, message.control, flags) {
                Ok(sent) => message.sent = sent,
                Err(e) if n == 0 => return Err(e),
                Err(_) => return Ok(n),
            }
            if message.sent < Gather::len(message.bufs) {
                return Ok(n + 1);
            }
        }
        Ok(count)
    }

    /// recvmmsg(2): how many messages came. It waits for all of them; with
    /// MSG_WAITFORONE, for the first. `timeout` is looked at when a message
    /// came, not while none does. An error is that of the first message; a
    /// later one ends the call.
    pub fn recvmmsg(
        &self,
        fd: Fd,
        messages: &mut [Incoming<'_, '_>],
        flags: u32,
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        self.socket_of(fd)?;
        let end = timeout.map(|t| self.now() + t);
        let mut later = flags & !MSG_WAITFORONE;
        let count = messages.len().min(MAX_MESSAGES);
        for (n, message) in messages.iter_mut().take(MAX_MESSAGES).enumerate() {
            match self.recvmsg(fd, message.bufs, message.control, later) {
                Ok(received) => message.received = received,
                Err(e) if n == 0 => return Err(e),
                Err(_) => return Ok(n),
            }
            if flags & MSG_WAITFORONE != 0 {
                later |= MSG_DONTWAIT;
            }
            if end.is_some_and(|end| end <= self.now()) {
                return Ok(n + 1);
            }
        }
        Ok(count)
    }

    /// sendmsg(2): `bufs` as one piece, with control data. What the family does
    /// not know of that gives EINVAL.
    pub fn sendmsg(
        &self,
        fd: Fd,
        bufs: &[&[u8]],
        to: Option<&Address>,
        control: &[u8],
        flags: u32,
    ) -> Result<usize, Errno> {
        let socket = self.socket_of(fd)?;
        if bufs.len() > MAX_PARTS {
            return Err(Errno::EMSGSIZE);
        }
        // As in a `msghdr`, no address has no length.
        let to = to.filter(|to| !to.as_bytes().is_empty());
        if control.is_empty() {
            return self.transmit(&socket, bufs, flags, to, &[]);
        }
        if socket.is_inet() && !socket.is_stream() {
            return self.transmit(&socket, bufs, flags, to, &for_server(control)?);
        }
        if socket.is_inet() {
            // Linux: who is not connected hears of that first.
            socket.stream_room()?;
        }
        check(control)?;
        if socket.is_local() {
            let control = self.rights_out(control)?;
            let sent = self.transmit(&socket, bufs, flags, to, &control);
            // Nothing goes with no data on a stream.
            if sent.is_err() || sent == Ok(0) && socket.is_stream() {
                self.rights_back(&control);
            }
            return sent;
        }
        // Nobody else has a use for it.
        self.transmit(&socket, bufs, flags, to, &[])
    }

    /// recvmsg(2): fills `bufs` one after the other, and `control`.
    pub fn recvmsg(&self, fd: Fd, bufs: &mut [&mut [u8]], control: &mut [u8], flags: u32) -> Result<Received, Errno> {
        let socket = self.socket_of(fd)?;
        if bufs.len() > MAX_PARTS {
            return Err(Errno::EMSGSIZE);
        }
        let mut extra = Extra::default();
        let mut received = Received { bytes: 0, address: Address::EMPTY, control: 0, flags: 0 };
        received.bytes = self.receive(&socket, bufs, flags, Some(&mut received.address), Some(&mut extra))?;
        // Linux gives that one back.
        received.flags = extra.flags | flags & MSG_CMSG_CLOEXEC;
        if socket.is_local() {
            self.rights_in(&socket, &extra, control, flags, &mut received);
        } else {
            self.deliver(&extra, control, &mut received);
        }
        Ok(received)
    }

    /// Writes what came as control data to the caller's buffer.
    fn deliver(&self, extra: &Extra, into: &mut [u8], received: &mut Received) {
        let Received { control: used, flags, .. } = received;
        for item in items(&extra.control).filter_map(Result::ok) {
            put(into, used, item, flags);
        }
    }
}
