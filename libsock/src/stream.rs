//! Moving the bytes of a stream socket: one attempt, never sleeping.

use strait_abi::{
    Errno,
    session::status,
    socket::{MSG_OOB, MSG_PEEK, MSG_TRUNC},
};

use strait_ring::SharedMemory;

use crate::socket::Socket;

impl Socket {
    /// recv(2): EAGAIN if it would have to wait.
    #[inline]
    pub fn receive_stream(&self, into: &mut [u8], flags: u32) -> Result<usize, Errno> {
        // The status before the tail: end of file is believed only if no data
        // follows.
        let status = self.status();
        let mut rx = self.rx.borrow_mut();
        let available = rx.available() as usize;
        if available == 0 || flags & MSG_OOB != 0 {
            drop(rx);
            return self.nothing_received(status, flags);
        }
        let n = available.min(into.len());
        if flags & MSG_TRUNC == 0 {
            rx.copy(0, &mut into[..n]).ok_or(Errno::EIO)?;
        }
        if flags & MSG_PEEK == 0 {
            rx.consume(n as u32);
            drop(rx);
            self.taken(n == available);
        }
        Ok(n)
    }

    #[cold]
    fn nothing_received(&self, status: u32, flags: u32) -> Result<usize, Errno> {
        if flags & MSG_OOB != 0 {
            // There is no urgent data.
            return Err(Errno::EINVAL);
        }
        if status & status::ERR != 0 {
            self.check_error()?;
        }
        if status & status::RDHUP != 0 {
            Ok(0)
        } else if status & status::CONNECTED != 0 || self.connecting.get() {
            Err(Errno::EAGAIN)
        } else if self.is_inet() {
            Err(Errno::ENOTCONN)
        } else {
            // unix(7) on Linux.
            Err(Errno::EINVAL)
        }
    }

    /// How much a send could write now. EAGAIN if there is no room, the
    /// errors of send(2) if there can be none.
    #[inline]
    pub fn stream_room(&self) -> Result<u32, Errno> {
        let status = self.status();
        if status & (status::CONNECTED | status::ERR | status::WRSHUT) != status::CONNECTED {
            self.cannot_send(status)?;
        }
        Ok(self.tx.borrow().room())
    }

    #[cold]
    fn cannot_send(&self, status: u32) -> Result<(), Errno> {
        if status & status::ERR != 0 {
            self.check_error()?;
        }
        if status & status::WRSHUT != 0 {
            Err(Errno::EPIPE)
        } else if status & status::CONNECTED != 0 {
            Ok(())
        } else if self.connecting.get() {
            Err(Errno::EAGAIN)
        } else if self.is_inet() {
            // Linux, unlike POSIX.
            Err(Errno::EPIPE)
        } else {
            Err(Errno::ENOTCONN)
        }
    }

    /// send(2): writes what there is room for. EAGAIN if there is none; then an
    /// event will tell when there is.
    #[inline]
    pub fn send_stream(&self, data: &[u8], flags: u32) -> Result<usize, Errno> {
        if flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let room = self.stream_room()? as usize;
        if data.len() <= room {
            return self.write(data);
        }
        self.send_part(data, room)
    }

    /// Writes what there is room for by the caller's knowledge.
    #[inline]
    fn write(&self, data: &[u8]) -> Result<usize, Errno> {
        if data.is_empty() {
            return Ok(0);
        }
        let mut tx = self.tx.borrow_mut();
        tx.stage(0, data).ok_or(Errno::EIO)?;
        self.want_nothing(&tx);
        tx.commit(data.len() as u32);
        drop(tx);
        self.doorbell();
        Ok(data.len())
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
        let mut rx = self.rx.borrow_mut();
        let available = rx.available() as usize;
        if available == 0 {
            drop(rx);
            return self.nothing_received(status, 0);
        }
        let n = available.min(to.room_or_wish()?).min(max);
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
                self.want(&tx, strait_ring::PAGE as u32);
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
    fn send_part(&self, data: &[u8], mut room: usize) -> Result<usize, Errno> {
        let mut done = 0;
        // Twice: room may appear while the wish for it is on its way.
        for _ in 0..2 {
            let n = room.min(data.len() - done);
            let mut tx = self.tx.borrow_mut();
            tx.stage(0, &data[done..done + n]).ok_or(Errno::EIO)?;
            tx.commit(n as u32);
            done += n;
            let rest = (data.len() - done).min(u32::MAX as usize) as u32;
            self.want(&tx, rest);
            room = tx.room() as usize;
            if rest == 0 || room == 0 {
                break;
            }
        }
        if done == 0 { Err(Errno::EAGAIN) } else { Ok(done) }
    }
}
