//! sendmsg(2), recvmsg(2) and their plurals.

use strait_abi::{Address, Errno, control::items};

use super::io::MAX_PARTS;
use crate::{
    Process,
    control::{Extra, check, put},
    descriptor::Fd,
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

impl Process {
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
        if control.is_empty() {
            return self.transmit(&socket, bufs, flags, to, &[]);
        }
        check(&socket, control)?;
        // TCP has no use for control data.
        let control = if socket.is_stream() && socket.is_inet() { &[] } else { control };
        if socket.is_local() {
            let control = self.rights_out(control)?;
            return self.transmit(&socket, bufs, flags, to, &control);
        }
        self.transmit(&socket, bufs, flags, to, control)
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
        received.flags = extra.flags;
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
