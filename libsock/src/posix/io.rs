//! Sending and receiving.

use core::ops::Deref;

use strait_abi::{
    Address, Errno,
    session::status,
    socket::{MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL},
};

use crate::{
    Process,
    descriptor::{Fd, Object},
    socket::Socket,
};

/// Does `attempt` with one part after the other, telling it whether nothing was
/// moved before, until one is not moved whole. An error counts only if nothing
/// was moved.
pub(crate) fn each_part<P: Deref<Target = [u8]>>(
    parts: impl Iterator<Item = P>,
    mut attempt: impl FnMut(P, bool) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let mut done = 0;
    for part in parts {
        let len = part.len();
        match attempt(part, done == 0) {
            Ok(n) => {
                done += n;
                if n < len {
                    break;
                }
            }
            Err(e) if done == 0 => return Err(e),
            Err(_) => break,
        }
    }
    Ok(done)
}

pub(super) fn may_wait(socket: &Socket, flags: u32) -> bool {
    flags & MSG_DONTWAIT == 0 && !socket.nonblocking.get()
}

impl Process {
    /// read(2).
    pub fn read(&self, fd: Fd, into: &mut [u8]) -> Result<usize, Errno> {
        match self.object(fd)? {
            Object::Socket(_) if into.is_empty() => Ok(0),
            Object::Socket(socket) => self.receive(&socket, into, 0, None),
            Object::File(file) => file.read(self.waiter(), into),
        }
    }

    /// write(2).
    pub fn write(&self, fd: Fd, from: &[u8]) -> Result<usize, Errno> {
        match self.object(fd)? {
            Object::Socket(socket) => self.transmit(&socket, from, 0, None),
            // Files are only opened for reading yet.
            Object::File(_) => Err(Errno::EBADF),
        }
    }

    /// recv(2). Flags: MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, MSG_WAITALL.
    #[inline]
    pub fn recv(&self, fd: Fd, into: &mut [u8], flags: u32) -> Result<usize, Errno> {
        let socket = self.socket_of(fd)?;
        self.receive(&socket, into, flags, None)
    }

    /// recvfrom(2). The address is empty where the protocol gives none (TCP).
    pub fn recvfrom(&self, fd: Fd, into: &mut [u8], flags: u32) -> Result<(usize, Address), Errno> {
        let mut from = Address::EMPTY;
        let n = self.recv_into(fd, into, flags, &mut from)?;
        Ok((n, from))
    }

    /// [`recvfrom`](Self::recvfrom) with the address written in place, which
    /// spares a copy of it.
    #[inline]
    pub fn recv_into(&self, fd: Fd, into: &mut [u8], flags: u32, from: &mut Address) -> Result<usize, Errno> {
        let socket = self.socket_of(fd)?;
        self.receive(&socket, into, flags, Some(from))
    }

    /// send(2). Flags: MSG_DONTWAIT, MSG_NOSIGNAL (always so), MSG_MORE
    /// (ignored).
    #[inline]
    pub fn send(&self, fd: Fd, from: &[u8], flags: u32) -> Result<usize, Errno> {
        let socket = self.socket_of(fd)?;
        self.transmit(&socket, from, flags, None)
    }

    /// sendto(2). TCP ignores the address, as on Linux.
    #[inline]
    pub fn sendto(&self, fd: Fd, from: &[u8], flags: u32, to: &Address) -> Result<usize, Errno> {
        let socket = self.socket_of(fd)?;
        self.transmit(&socket, from, flags, Some(to))
    }

    /// How many bytes a send on the stream socket would take now. EAGAIN if
    /// there is no room; then an event tells when there is. For relays that
    /// take in only what they can pass on.
    #[inline]
    pub fn send_room(&self, fd: Fd) -> Result<usize, Errno> {
        let socket = self.socket_of(fd)?;
        if !socket.is_stream() {
            return Err(Errno::EOPNOTSUPP);
        }
        socket.room_or_wish()
    }

    /// splice(2) between two stream sockets, which may be the same: moves up
    /// to `max` bytes from one to the other without a buffer between. Returns
    /// how many; 0 when the peer of `from` has sent all. It never waits: EAGAIN
    /// if nothing has come or `to` has no room; an event tells when that has
    /// changed.
    #[inline]
    pub fn splice(&self, from: Fd, to: Fd, max: usize) -> Result<usize, Errno> {
        let source = self.socket_of(from)?;
        if from == to {
            return Self::pass_on(&source, &source, max);
        }
        Self::pass_on(&source, &*self.socket_of(to)?, max)
    }

    #[inline]
    fn pass_on(source: &Socket, target: &Socket, max: usize) -> Result<usize, Errno> {
        if source.is_stream() && target.is_stream() { source.pass_on(target, max) } else { Err(Errno::EINVAL) }
    }

    /// readv(2): fills the parts one after the other. A datagram that is longer
    /// than the first part goes on in the next.
    pub fn readv(&self, fd: Fd, parts: &mut [&mut [u8]]) -> Result<usize, Errno> {
        let socket = match self.object(fd)? {
            Object::Socket(socket) => socket,
            Object::File(file) => return file.readv(self.waiter(), parts),
        };
        if !socket.is_stream() {
            return self.read_record(&socket, parts);
        }
        let parts = parts.iter_mut().map(|part| &mut **part).filter(|part| !part.is_empty());
        // Only the first may wait.
        each_part(parts, |part, first| self.receive(&socket, part, if first { 0 } else { MSG_DONTWAIT }, None))
    }

    fn read_record(&self, socket: &Socket, parts: &mut [&mut [u8]]) -> Result<usize, Errno> {
        let mut record = alloc::vec![0; parts.iter().map(|part| part.len()).sum()];
        let n = self.receive(socket, &mut record, 0, None)?;
        let mut rest = &record[..n];
        for part in parts {
            let (now, later) = rest.split_at(rest.len().min(part.len()));
            part[..now.len()].copy_from_slice(now);
            rest = later;
        }
        Ok(n)
    }

    /// writev(2): the parts as one piece; on a datagram socket, one datagram.
    pub fn writev(&self, fd: Fd, parts: &[&[u8]]) -> Result<usize, Errno> {
        let Object::Socket(socket) = self.object(fd)? else { return Err(Errno::EBADF) };
        if !socket.is_stream() {
            return self.transmit(&socket, &parts.concat(), 0, None);
        }
        let parts = parts.iter().copied().filter(|part| !part.is_empty());
        each_part(parts, |part, _| self.transmit(&socket, part, 0, None))
    }

    #[inline]
    fn receive(
        &self,
        socket: &Socket,
        into: &mut [u8],
        flags: u32,
        mut from: Option<&mut Address>,
    ) -> Result<usize, Errno> {
        if let Some(from) = from.as_deref_mut() {
            from.clear();
        }
        let result = if socket.is_stream() {
            match socket.receive_stream(into, flags) {
                Ok(n) if flags & (MSG_WAITALL | MSG_PEEK) == MSG_WAITALL && n != 0 && n < into.len() => {
                    return self.receive_all(socket, into, n, flags);
                }
                other => other,
            }
        } else {
            socket.receive_datagram(into, flags, from.as_deref_mut())
        };
        match result {
            Err(Errno::EAGAIN) if may_wait(socket, flags) => self.receive_later(socket, into, flags, from),
            done => done,
        }
    }

    #[cold]
    fn receive_later(
        &self,
        socket: &Socket,
        into: &mut [u8],
        flags: u32,
        mut from: Option<&mut Address>,
    ) -> Result<usize, Errno> {
        let n = self.until(socket.receive_timeout.get(), || {
            if socket.is_stream() {
                socket.receive_stream(into, flags)
            } else {
                socket.receive_datagram(into, flags, from.as_deref_mut())
            }
        })?;
        let all = socket.is_stream() && flags & (MSG_WAITALL | MSG_PEEK) == MSG_WAITALL;
        if all && n != 0 { self.receive_all(socket, into, n, flags) } else { Ok(n) }
    }

    /// MSG_WAITALL, after the first `done` bytes.
    fn receive_all(&self, socket: &Socket, into: &mut [u8], mut done: usize, flags: u32) -> Result<usize, Errno> {
        while done < into.len() {
            let rest = &mut into[done..];
            let mut attempt = || socket.receive_stream(rest, flags);
            let result = match attempt() {
                Err(Errno::EAGAIN) if may_wait(socket, flags) => self.until(socket.receive_timeout.get(), attempt),
                other => other,
            };
            match result {
                Ok(n) if n != 0 => done += n,
                // What came is given; an error that is pending comes next time.
                _ => break,
            }
        }
        Ok(done)
    }

    #[inline]
    fn transmit(&self, socket: &Socket, from: &[u8], flags: u32, to: Option<&Address>) -> Result<usize, Errno> {
        let result = if socket.is_stream() {
            if to.is_some() && !socket.is_inet() {
                let connected = socket.status() & status::CONNECTED != 0;
                return Err(if connected { Errno::EISCONN } else { Errno::EOPNOTSUPP });
            }
            match socket.send_stream(from, flags) {
                Ok(n) if n < from.len() && may_wait(socket, flags) => return self.transmit_all(socket, from, n, flags),
                other => other,
            }
        } else {
            socket.send_datagram(from, flags, to)
        };
        match result {
            Err(Errno::EAGAIN) if may_wait(socket, flags) => {
                if socket.is_stream() {
                    self.transmit_all(socket, from, 0, flags)
                } else {
                    self.until(socket.send_timeout.get(), || socket.send_datagram(from, flags, to))
                }
            }
            done => done,
        }
    }

    /// A stream send that waits is complete when all is written.
    #[cold]
    fn transmit_all(&self, socket: &Socket, from: &[u8], mut done: usize, flags: u32) -> Result<usize, Errno> {
        while done < from.len() {
            match self.until(socket.send_timeout.get(), || socket.send_stream(&from[done..], flags)) {
                Ok(n) => done += n,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}
