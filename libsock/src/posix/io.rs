//! Sending and receiving.

use alloc::vec::Vec;
use core::ops::Deref;

use strait_abi::{
    Address, Errno,
    control::{DONT_ROUTE, ONLY_ASKED, URGENT},
    net::Request,
    session::status,
    socket::{
        MSG_DONTROUTE, MSG_DONTWAIT, MSG_ERRQUEUE, MSG_FASTOPEN, MSG_MORE, MSG_OOB, MSG_PEEK, MSG_WAITALL, O_RDONLY,
        O_RDWR, O_WRONLY,
    },
    vfs::open,
};

use crate::{
    Process,
    control::{Extra, add_own},
    descriptor::{Fd, Object},
    parts::{Gather, Scatter},
    socket::{Corked, Socket},
};

/// Most buffers of one call (IOV_MAX).
pub(super) const MAX_PARTS: usize = 1024;

/// Bytes of data that a datagram of parts can have.
const LONGEST_UDP: usize = 65_527;

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

/// Whether what a descriptor stands for was opened to read, or to write.
pub(super) fn may(object: &Object, access: u32) -> bool {
    let flags = object.description().flags();
    let mode = flags & open::ACCMODE;
    flags & open::PATH == 0 && (mode == access || mode == O_RDWR)
}

/// A read or write of nothing.
fn check_access(object: &Object, access: u32) -> Result<usize, Errno> {
    if may(object, access) { Ok(0) } else { Err(Errno::EBADF) }
}

pub(super) fn may_wait(socket: &Socket, flags: u32) -> bool {
    flags & (MSG_DONTWAIT | MSG_ERRQUEUE) == 0 && socket.flags.may_wait()
}

impl Process {
    /// read(2).
    pub fn read(&self, fd: Fd, into: &mut [u8]) -> Result<usize, Errno> {
        match self.object(fd)? {
            Object::Socket(_) if into.is_empty() => Ok(0),
            Object::Socket(socket) => self.receive(&socket, into, 0, None, None),
            other => other.description().readv(self, &mut [into]),
        }
    }

    /// write(2).
    pub fn write(&self, fd: Fd, from: &[u8]) -> Result<usize, Errno> {
        match self.object(fd)? {
            Object::Socket(socket) => self.transmit(&socket, from, 0, None, &[]),
            other => other.description().writev(self, &[from]),
        }
    }

    /// readv(2): fills the parts one after the other. A datagram that is longer
    /// than the first part goes on in the next.
    pub fn readv(&self, fd: Fd, parts: &mut [&mut [u8]]) -> Result<usize, Errno> {
        let object = self.object(fd)?;
        if parts.len() > MAX_PARTS {
            return Err(Errno::EINVAL);
        }
        if Scatter::len(parts) == 0 {
            return check_access(&object, O_RDONLY);
        }
        object.description().readv(self, parts)
    }

    /// writev(2): the parts as one piece; on a datagram socket, one datagram.
    pub fn writev(&self, fd: Fd, parts: &[&[u8]]) -> Result<usize, Errno> {
        let object = self.object(fd)?;
        if parts.len() > MAX_PARTS {
            return Err(Errno::EINVAL);
        }
        if Gather::len(parts) == 0 {
            return check_access(&object, O_WRONLY);
        }
        object.description().writev(self, parts)
    }

    /// recv(2). Flags: MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, MSG_WAITALL.
    #[inline]
    pub fn recv(&self, fd: Fd, into: &mut [u8], flags: u32) -> Result<usize, Errno> {
        let socket = self.socket_of(fd)?;
        self.receive(&socket, into, flags, None, None)
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
        self.receive(&socket, into, flags, Some(from), None)
    }

    /// send(2). Flags: MSG_DONTWAIT, MSG_NOSIGNAL (always so), MSG_MORE
    /// (ignored).
    #[inline]
    pub fn send(&self, fd: Fd, from: &[u8], flags: u32) -> Result<usize, Errno> {
        let socket = self.socket_of(fd)?;
        self.transmit(&socket, from, flags, None, &[])
    }

    /// sendto(2). TCP ignores the address, as on Linux.
    #[inline]
    pub fn sendto(&self, fd: Fd, from: &[u8], flags: u32, to: &Address) -> Result<usize, Errno> {
        let socket = self.socket_of(fd)?;
        self.transmit(&socket, from, flags, Some(to), &[])
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

    /// All that receives: from one buffer or several, with or without the
    /// sender's address and what else recvmsg(2) gives.
    #[inline]
    pub(crate) fn receive<S: Scatter + ?Sized>(
        &self,
        socket: &Socket,
        into: &mut S,
        flags: u32,
        mut from: Option<&mut Address>,
        mut extra: Option<&mut Extra>,
    ) -> Result<usize, Errno> {
        if let Some(from) = from.as_deref_mut() {
            from.clear();
        }
        let result = if socket.is_stream() {
            let several = flags & MSG_WAITALL != 0 || socket.low_water.get() > 1;
            if several {
                socket.ended.set(false);
            }
            match socket.receive_stream(into, 0, flags, extra.as_deref_mut()) {
                Ok(n) if n != 0 && n < into.len() && several && flags & MSG_OOB == 0 => {
                    self.receive_all(socket, into, n, flags, extra.as_deref_mut())
                }
                other => other,
            }
        } else {
            socket.receive_datagram(into, flags, from.as_deref_mut(), extra.as_deref_mut())
        };
        let result = match result {
            // Linux: urgent data is never waited for.
            Err(Errno::EAGAIN) if may_wait(socket, flags) && flags & MSG_OOB == 0 => {
                self.receive_later(socket, into, flags, from.as_deref_mut(), extra)
            }
            done => done,
        };
        if let Some(from) = from
            && socket.is_local()
            && socket.is_stream()
            && flags & MSG_OOB == 0
            && result.is_ok_and(|n| n != 0 || into.len() == 0 && socket.rx.borrow().available() != 0)
        {
            socket.peer_name_into(from)?;
        }
        result
    }

    #[cold]
    fn receive_later<S: Scatter + ?Sized>(
        &self,
        socket: &Socket,
        into: &mut S,
        flags: u32,
        mut from: Option<&mut Address>,
        mut extra: Option<&mut Extra>,
    ) -> Result<usize, Errno> {
        let n = self.until(socket.receive_timeout.get(), || {
            if socket.is_stream() {
                socket.receive_stream(into, 0, flags, extra.as_deref_mut())
            } else {
                socket.receive_datagram(into, flags, from.as_deref_mut(), extra.as_deref_mut())
            }
        })?;
        if socket.is_stream() && n != 0 { self.receive_all(socket, into, n, flags, extra) } else { Ok(n) }
    }

    /// After the first `done` bytes, more until there is as much as the caller
    /// wants: all of `into` by MSG_WAITALL, otherwise SO_RCVLOWAT.
    #[cold]
    fn receive_all<S: Scatter + ?Sized>(
        &self,
        socket: &Socket,
        into: &mut S,
        mut done: usize,
        flags: u32,
        mut extra: Option<&mut Extra>,
    ) -> Result<usize, Errno> {
        if flags & MSG_PEEK != 0 && socket.is_local() {
            // unix(7) on Linux: what is there.
            return Ok(done);
        }
        let enough = if flags & MSG_WAITALL != 0 { into.len() } else { socket.low_water.get() as usize };
        let enough = enough.min(into.len());
        while done < enough && !socket.at_mark() && !socket.ended.get() {
            let before = done;
            let attempt = || {
                let status = socket.status();
                if status & status::ERR != 0 && socket.rx.borrow().available() == 0 {
                    // What came is given; the error stays for the next call. (By
                    // AF_UNIX Linux forgets it.)
                    if socket.is_local() {
                        let _ = socket.check_error();
                    }
                    return Ok(0);
                }
                if flags & MSG_PEEK == 0 {
                    return socket.receive_stream(into, before, flags, extra.as_deref_mut());
                }
                // From the beginning again, and nothing new is as nothing.
                match socket.receive_stream(into, 0, flags, None)? {
                    n if n > before => Ok(n - before),
                    _ if status & (status::RDHUP | status::ERR) != 0 => Ok(0),
                    _ => Err(Errno::EAGAIN),
                }
            };
            match self.attempt(may_wait(socket, flags), socket.receive_timeout.get(), attempt) {
                Ok(n) if n != 0 => done += n,
                _ => break,
            }
        }
        Ok(done)
    }

    /// All that sends.
    #[inline]
    pub(crate) fn transmit<G: Gather + ?Sized>(
        &self,
        socket: &Socket,
        from: &G,
        flags: u32,
        to: Option<&Address>,
        control: &[u8],
    ) -> Result<usize, Errno> {
        if !socket.is_stream() {
            let mut own;
            let mut control = control;
            if flags & (MSG_DONTROUTE | MSG_OOB) != 0 && socket.is_inet() {
                own = control.to_vec();
                for (flag, kind) in [(MSG_DONTROUTE, DONT_ROUTE), (MSG_OOB, URGENT)] {
                    if flags & flag != 0 {
                        add_own(&mut own, kind);
                    }
                }
                control = &own;
            }
            if (flags & MSG_MORE != 0 || socket.held.get()) && socket.is_udp() {
                return self.transmit_corked(socket, from, flags, to, control);
            }
            return self.transmit_datagram(socket, from, flags, to, control);
        }
        if to.is_some_and(|to| !to.as_bytes().is_empty()) && !socket.is_inet() {
            let connected = socket.status() & status::CONNECTED != 0;
            return Err(if connected { Errno::EISCONN } else { Errno::EOPNOTSUPP });
        }
        if flags & MSG_FASTOPEN != 0 && socket.is_inet() {
            // Without a cookie the data follows the handshake (RFC 7413).
            self.connect_socket(socket, to.unwrap_or(&Address::EMPTY), may_wait(socket, flags))?;
        }
        if !control.is_empty() && from.len() != 0 {
            // Not with the urgent byte, if there are others.
            let urgent = flags & MSG_OOB != 0 && from.len() > 1;
            self.send_control(socket, from.len() - usize::from(urgent), control, flags)?;
        }
        match socket.send_stream(from, 0, flags) {
            Ok(n) if n < from.len() && may_wait(socket, flags) => self.transmit_all(socket, from, n, flags),
            Err(Errno::EAGAIN) if may_wait(socket, flags) => self.transmit_all(socket, from, 0, flags),
            done => done,
        }
    }

    #[inline]
    fn transmit_datagram<G: Gather + ?Sized>(
        &self,
        socket: &Socket,
        from: &G,
        flags: u32,
        to: Option<&Address>,
        control: &[u8],
    ) -> Result<usize, Errno> {
        let attempt = || match to {
            // A connection of records takes no other address.
            Some(to) if socket.is_local() && !socket.is_connected_type() => {
                self.with_right(socket, to, |to| socket.send_datagram(from, flags, Some(to), control))
            }
            _ => socket.send_datagram(from, flags, to, control),
        };
        self.attempt(may_wait(socket, flags), socket.send_timeout.get(), attempt)
    }

    /// UDP with MSG_MORE: what is sent becomes one datagram, to where and how the
    /// first part said, when a part comes without it (udp(7), UDP_CORK).
    #[cold]
    fn transmit_corked<G: Gather + ?Sized>(
        &self,
        socket: &Socket,
        from: &G,
        flags: u32,
        to: Option<&Address>,
        control: &[u8],
    ) -> Result<usize, Errno> {
        let Corked { mut data, to, control } = match socket.corked.take() {
            Some(begun) => begun,
            None => {
                let mut question = control.to_vec();
                add_own(&mut question, ONLY_ASKED);
                self.transmit_datagram::<[u8]>(socket, &[], flags, to, &question)?;
                Corked { data: Vec::new(), to: to.copied(), control: control.to_vec() }
            }
        };
        socket.held.set(false);
        if data.len() + from.len() > LONGEST_UDP {
            return Err(Errno::EMSGSIZE);
        }
        from.each(0..from.len(), |_, part| {
            data.extend_from_slice(part);
            Some(())
        });
        let mut result = Ok(from.len());
        if flags & MSG_MORE == 0 {
            result = self.transmit_datagram(socket, &data[..], flags, to.as_ref(), &control).map(|_| from.len());
            if result != Err(Errno::EAGAIN) {
                return result;
            }
            data.truncate(data.len() - from.len());
        }
        socket.held.set(true);
        socket.corked.replace(Some(Corked { data, to, control }));
        result
    }

    /// Control data of a stream goes with the first byte behind it, so there
    /// must be room for that.
    #[cold]
    fn send_control(&self, socket: &Socket, len: usize, control: &[u8], flags: u32) -> Result<(), Errno> {
        let attempt = || {
            let bytes = socket.room_or_wish()?.min(len) as u32;
            socket.net.call(&Request::SendControl { socket: socket.handle, bytes, control }, |_| Ok(()))
        };
        self.attempt(may_wait(socket, flags), socket.send_timeout.get(), attempt)
    }

    /// A stream send that waits is complete when all is written.
    #[cold]
    fn transmit_all<G: Gather + ?Sized>(
        &self,
        socket: &Socket,
        from: &G,
        mut done: usize,
        flags: u32,
    ) -> Result<usize, Errno> {
        while done < from.len() {
            let attempt = || {
                if done != 0 && socket.status() & status::ERR != 0 {
                    // What was sent is told; the error stays for the next call.
                    return Err(Errno::EPIPE);
                }
                socket.send_stream(from, done, flags)
            };
            match self.until(socket.send_timeout.get(), attempt) {
                Ok(n) => done += n,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}
