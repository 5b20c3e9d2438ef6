//! Moving the bytes of a stream socket: one attempt, never sleeping.

use core::sync::atomic::Ordering;

use strait_abi::{
    Errno,
    net::Request,
    session::status,
    socket::{MSG_ERRQUEUE, MSG_MORE, MSG_OOB, MSG_PEEK, MSG_TRUNC},
};
use strait_ring::{SharedMemory, paged::ClientConsumer};

use crate::{
    ask::PERHAPS,
    control::Extra,
    parts::{Gather, Scatter},
    socket::Socket,
};

impl Socket {
    /// recvmsg(2): EAGAIN if it would have to wait. The data goes to `into`
    /// behind its first `done` bytes, what comes with it to `extra`.
    #[inline]
    pub fn receive_stream<S: Scatter + ?Sized>(
        &self,
        into: &mut S,
        done: usize,
        flags: u32,
        mut extra: Option<&mut Extra>,
    ) -> Result<usize, Errno> {
        if flags & (MSG_OOB | MSG_ERRQUEUE) != 0
            && let Some(result) = self.receive_special(into, flags, extra.as_deref_mut())
        {
            return result;
        }
        let mut rx = self.rx.borrow_mut();
        let mut available = rx.available() as usize;
        if available == 0 {
            // The status before the tail: end of file is believed only if no data
            // follows.
            let status = self.status();
            available = rx.available() as usize;
            if available == 0 {
                drop(rx);
                if self.attend(status)? {
                    return self.receive_stream(into, done, flags, extra);
                }
                return self.nothing_received(status);
            }
        }
        // And once more behind it: then it tells of all marks before the tail.
        let status = self.status();
        let mut passed = 0;
        if status & (status::MARK | status::SKIP | status::AWAY | PERHAPS) != 0 {
            if status & status::AWAY != 0 {
                drop(rx);
                self.attend(status)?;
                return self.receive_stream(into, done, flags, extra);
            }
            if self.must_ask(&rx, status, into.len().saturating_sub(done)) {
                drop(rx);
                return self.receive_asking(into, done, flags, extra);
            }
            if self.is_inet() && into.len() <= done && available > self.skipped(&rx) as usize {
                return Ok(0);
            }
            if !self.is_local() {
                passed = self.urgent_at_head(&rx);
            }
            if flags & MSG_PEEK == 0 {
                rx.consume(core::mem::take(&mut passed));
            }
            available = rx.available().saturating_sub(passed) as usize;
            if available == 0 {
                drop(rx);
                self.taken(true);
                return self.nothing_received(status);
            }
            if !self.is_local() {
                available = self.up_to_mark(&rx, passed, available);
            }
        }
        let n = available.min(into.len().saturating_sub(done));
        if flags & MSG_TRUNC == 0 || !self.is_inet() {
            into.each_mut(done..done + n, |at, part| rx.copy(passed + at as u32, part)).ok_or(Errno::EIO)?;
        }
        if flags & MSG_PEEK == 0 {
            rx.consume(n as u32);
            drop(rx);
            self.taken_of(available as u32, n as u32);
        }
        Ok(n)
    }

    /// How many bytes one receive may take of those available behind the
    /// `passed` that are passed over: it does not cross the mark.
    #[cold]
    fn up_to_mark(&self, rx: &ClientConsumer, passed: u32, available: usize) -> usize {
        // At the mark itself the next receive goes on behind it.
        match rx.distance(self.slot.rx_mark.load(Ordering::Acquire)).wrapping_sub(passed) as usize {
            0 => available,
            n => available.min(n),
        }
    }

    /// How many bytes at the head were or are urgent: a receive passes over them
    /// unless SO_OOBINLINE is set.
    #[cold]
    fn urgent_at_head(&self, rx: &ClientConsumer) -> u32 {
        let mut passed = self.skipped(rx);
        let marked = self.status() & status::MARK != 0 && !self.oob_inline.get();
        if marked && rx.distance(self.slot.rx_mark.load(Ordering::Acquire)) == passed {
            passed += 1;
        }
        passed.min(rx.available())
    }

    /// How many bytes at the head were urgent, and are to be read no more.
    #[inline]
    pub fn skipped(&self, rx: &ClientConsumer) -> u32 {
        if self.status() & status::SKIP == 0 {
            return 0;
        }
        let distance = rx.distance(self.slot.rx_skip.load(Ordering::Acquire));
        // Beyond what is there it was passed before.
        if distance <= rx.available() { distance } else { 0 }
    }

    /// Where the urgent byte is, as the distance from what is read next; `None`
    /// if there is none that was not passed.
    pub fn mark_distance(&self) -> Option<u32> {
        if self.status() & status::MARK == 0 {
            return None;
        }
        let rx = self.rx.borrow();
        let distance = rx.distance(self.slot.rx_mark.load(Ordering::Acquire)).wrapping_sub(self.skipped(&rx));
        Some(distance).filter(|distance| *distance < 1 << 31)
    }

    /// As far as a receive goes that begins at the head.
    fn mark_distance_of(&self, rx: &ClientConsumer) -> usize {
        match rx.distance(self.slot.rx_mark.load(Ordering::Acquire)) {
            distance @ 1..0x8000_0000 if self.status() & status::MARK != 0 => distance as usize,
            _ => usize::MAX,
        }
    }

    /// What FIONREAD tells: bytes up to the urgent one if that is here and
    /// stands apart (Linux: tcp_inq).
    pub fn readable(&self) -> u32 {
        let rx = self.rx.borrow();
        let available = rx.available() - self.skipped(&rx);
        match self.mark_distance() {
            Some(distance) if distance < available && !self.oob_inline.get() => distance,
            _ => available,
        }
    }

    /// Bytes that receives would give, in all: those that are here without the
    /// urgent ones, which they pass over.
    pub fn payload(&self) -> u32 {
        let rx = self.rx.borrow();
        let (passed, available) = (self.urgent_at_head(&rx), rx.available());
        let ahead = self.status() & status::MARK != 0
            && !self.oob_inline.get()
            && (passed..available).contains(&rx.distance(self.slot.rx_mark.load(Ordering::Acquire)));
        available - passed - u32::from(ahead)
    }

    /// What the flags ask for instead of the next bytes, if anything.
    #[cold]
    fn receive_special<S: Scatter + ?Sized>(
        &self,
        into: &mut S,
        flags: u32,
        extra: Option<&mut Extra>,
    ) -> Option<Result<usize, Errno>> {
        if flags & MSG_ERRQUEUE != 0 && self.is_inet() {
            // The queue of errors is always empty: IP_RECVERR cannot be set.
            Some(Err(Errno::EAGAIN))
        } else if flags & MSG_OOB != 0 {
            let request = Request::ReceiveUrgent { socket: self.handle, peek: flags & MSG_PEEK != 0 };
            let byte = self.net.call(&request, |reply| Ok(reply.bytes.first().copied()));
            Some(byte.and_then(|byte| {
                // It will not come any more.
                let Some(byte) = byte else { return Ok(0) };
                let n = into.len().min(1);
                if let Some(extra) = extra {
                    extra.flags |= MSG_OOB | if n == 0 { MSG_TRUNC } else { 0 };
                }
                let put = |_, part: &mut [u8]| {
                    part.fill(byte);
                    Some(())
                };
                if flags & MSG_TRUNC == 0 || !self.is_inet() {
                    into.each_mut(0..n, put).ok_or(Errno::EIO)?;
                }
                Ok(n)
            }))
        } else {
            None
        }
    }

    /// Whether a receive that has some bytes must stop here.
    pub fn at_mark(&self) -> bool {
        self.status() & status::MARK != 0 && self.rx.borrow().distance(self.slot.rx_mark.load(Ordering::Acquire)) == 0
    }

    #[cold]
    pub fn nothing_received(&self, status: u32) -> Result<usize, Errno> {
        if status & status::DONE != 0 {
            // What came later is for who sends.
            return Ok(0);
        }
        if status & status::LISTEN != 0 && self.is_inet() {
            return Err(Errno::ENOTCONN);
        }
        if self.is_local() && status & status::CONNECTED == 0 {
            // unix(7) on Linux: whatever else.
            return Err(Errno::EINVAL);
        }
        if status & status::ERR != 0 {
            self.check_error()?;
        }
        if status & status::RDHUP != 0 {
            Ok(0)
        } else if status & status::CONNECTED != 0 || self.is_opening() {
            Err(Errno::EAGAIN)
        } else {
            Err(Errno::ENOTCONN)
        }
    }

    /// How much a send could write now. EAGAIN if there is no room, the
    /// errors of send(2) if there can be none.
    #[inline]
    pub fn stream_room(&self) -> Result<u32, Errno> {
        let status = self.status();
        if status & (status::CONNECTED | status::ERR | status::WRSHUT | status::ATTEND) != status::CONNECTED {
            self.cannot_send(status)?;
        }
        Ok(self.tx.borrow().room())
    }

    #[cold]
    fn cannot_send(&self, status: u32) -> Result<(), Errno> {
        self.attend(status)?;
        if self.is_local() && status & status::CONNECTED == 0 {
            return Err(Errno::ENOTCONN);
        }
        if status & status::WRSHUT != 0 && self.is_local() {
            // unix(7) on Linux: the error stays for the next receive.
            return Err(Errno::EPIPE);
        }
        if status & status::ERR != 0 {
            self.check_error()?;
        }
        if status & status::WRSHUT != 0 {
            Err(Errno::EPIPE)
        } else if status & status::CONNECTED != 0 {
            Ok(())
        } else if self.is_opening() {
            Err(Errno::EAGAIN)
        } else {
            // Linux, unlike POSIX.
            Err(Errno::EPIPE)
        }
    }

    /// sendmsg(2): writes what there is room for of `data` behind its first
    /// `done` bytes. EAGAIN if there is no room; then an event will tell when
    /// there is.
    #[inline]
    pub fn send_stream<G: Gather + ?Sized>(&self, data: &G, done: usize, flags: u32) -> Result<usize, Errno> {
        let len = data.len().saturating_sub(done);
        if flags & MSG_OOB != 0 && len == 0 && self.is_local() {
            return Err(Errno::EOPNOTSUPP);
        }
        let room = self.stream_room()? as usize;
        let more = flags & MSG_MORE != 0;
        if more != self.held.get() {
            self.held.set(more);
            self.tx.borrow().hold(more);
        }
        if flags & MSG_OOB != 0 && len != 0 && room != 0 {
            self.announce_urgent(len.min(room))?;
        }
        if len > room {
            return self.send_part(data, done, room);
        }
        if len == 0 {
            return Ok(0);
        }
        let mut tx = self.tx.borrow_mut();
        data.each(done..done + len, |at, part| tx.stage(at as u32, part)).ok_or(Errno::EIO)?;
        self.want_nothing(&tx);
        tx.commit(len as u32);
        drop(tx);
        self.doorbell();
        Ok(len)
    }

    /// Of the bytes that are about to be written the last is urgent.
    #[cold]
    fn announce_urgent(&self, bytes: usize) -> Result<(), Errno> {
        self.net.call(&Request::SendUrgent { socket: self.handle, bytes: bytes as u32 }, |_| Ok(()))
    }

    /// Sends `len` bytes of other shared memory; at most the room.
    pub fn send_from(&self, source: &SharedMemory, from: usize, len: usize) -> Result<usize, Errno> {
        let mut tx = self.tx.borrow_mut();
        tx.stage_from(0, source, from, len).ok_or(Errno::EIO)?;
        self.want_nothing(&tx);
        tx.commit(len as u32);
        drop(tx);
        self.doorbell();
        Ok(len)
    }

    /// Moves up to `max` bytes that came here on to `to`; 0 at the end of file.
    /// EAGAIN if there is nothing to move, or no room for it.
    #[inline]
    pub fn pass_on(&self, to: &Self, max: usize) -> Result<usize, Errno> {
        // As in `receive_stream`.
        let status = self.status();
        if status & status::ATTEND != 0 {
            self.attend(status)?;
        }
        let mut rx = self.rx.borrow_mut();
        let available = rx.available() as usize;
        if available == 0 {
            drop(rx);
            return self.nothing_received(status);
        }
        let status = self.status();
        let mut n = available.min(to.room_or_wish()?).min(max);
        if status & PERHAPS != 0 && self.must_ask(&rx, status, n) {
            let portion = self.ask((0, n), 0, false, None)?;
            rx.consume(portion.skip);
            n = n.min(portion.bytes as usize);
            if n == 0 {
                drop(rx);
                self.taken(true);
                return self.nothing_received(self.status());
            }
        }
        if status & (status::MARK | status::SKIP) != 0 {
            let passed = self.urgent_at_head(&rx);
            rx.consume(passed);
            n = n.min(rx.available() as usize).min(self.mark_distance_of(&rx));
            if n == 0 {
                drop(rx);
                self.taken(true);
                return self.nothing_received(status);
            }
        }
        let mut tx = to.tx.borrow_mut();
        tx.stage_ring(&rx, n).ok_or(Errno::EIO)?;
        rx.consume(n as u32);
        drop(rx);
        self.taken(n == available);
        to.want_nothing(&tx);
        tx.commit(n as u32);
        drop(tx);
        to.doorbell();
        Ok(n)
    }

    /// [`stream_room`](Self::stream_room); EAGAIN if it is 0, then an event
    /// will tell when there is some.
    #[inline]
    pub fn room_or_wish(&self) -> Result<usize, Errno> {
        match self.stream_room()? {
            0 => {
                let tx = self.tx.borrow();
                self.want(&tx, strait_ring::PAGE as u32)?;
                // It may have appeared while the wish was on its way.
                match tx.room() {
                    0 => Err(Errno::EAGAIN),
                    room => Ok(room as usize),
                }
            }
            room => Ok(room as usize),
        }
    }

    #[cold]
    fn send_part<G: Gather + ?Sized>(&self, data: &G, begin: usize, mut room: usize) -> Result<usize, Errno> {
        let mut done = begin;
        // Twice: room may appear while the wish for it is on its way.
        for _ in 0..2 {
            let n = room.min(data.len() - done);
            let mut tx = self.tx.borrow_mut();
            data.each(done..done + n, |at, part| tx.stage(at as u32, part)).ok_or(Errno::EIO)?;
            tx.commit(n as u32);
            done += n;
            let rest = (data.len() - done).min(u32::MAX as usize) as u32;
            self.want(&tx, rest)?;
            room = tx.room() as usize;
            if rest == 0 || room == 0 {
                break;
            }
        }
        if done == begin { Err(Errno::EAGAIN) } else { Ok(done - begin) }
    }
}
