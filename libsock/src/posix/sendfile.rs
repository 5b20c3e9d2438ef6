//! sendfile(2).

use alloc::rc::Rc;

use strait_abi::{
    Errno,
    vfs::{Buffer, open},
};
use strait_ring::PAGE;

use crate::{
    Process,
    descriptor::{Fd, Object},
    file::OpenFile,
    posix::io::may,
    socket::Socket,
};

/// Bytes that Linux moves at once: as many pages of the file. On a datagram
/// socket, each of these pieces is a datagram.
const PIECE: usize = 16 * PAGE;

/// What bytes can be sent to.
enum Target {
    Stream(Rc<Socket>),
    Records(Rc<Socket>),
    /// A file that can be written, or the end of a pipe.
    File(Rc<OpenFile>),
}

impl Process {
    /// sendfile(2): up to `count` bytes of the file `from`, beginning at
    /// `offset`, which is moved on, or without one at the file's position, to
    /// `to`: a socket, file or pipe. It waits as a write to that would. Returns
    /// how many; 0 is the end of the file. EBADF if the one cannot be read or
    /// the other not written; EINVAL if `from` is no regular file, `to` was
    /// opened with O_APPEND or is of another kind, or for an impossible offset;
    /// ESPIPE for an offset in what has none.
    ///
    /// To a stream socket the bytes go from the memory shared with `vfs_server`
    /// to that shared with `net_server` in one copy, to a file or pipe they stay
    /// where they are.
    pub fn sendfile(&self, to: Fd, from: Fd, offset: Option<&mut u64>, count: usize) -> Result<usize, Errno> {
        let (source, target) = (self.object(from)?, self.object(to)?);
        if !may(&source, open::RDONLY) || !may(&target, open::WRONLY) {
            return Err(Errno::EBADF);
        }
        let file = match source {
            Object::File(file) if !file.is_pipe() => file,
            _ => return Err(if offset.is_some() { Errno::ESPIPE } else { Errno::EINVAL }),
        };
        let mut at = match offset.as_deref() {
            Some(offset) => *offset,
            None => file.position(self.waiter())?,
        };
        if at.checked_add(count as u64).is_none_or(|end| i64::try_from(end).is_err()) {
            return Err(Errno::EINVAL);
        }
        let target = match target {
            Object::File(file) if file.flags.get() & open::APPEND != 0 => return Err(Errno::EINVAL),
            _ if count == 0 => return Ok(0),
            _ if file.is_directory() => return Err(Errno::EINVAL),
            Object::File(file) => Target::File(file),
            Object::Socket(socket) if socket.is_stream() => Target::Stream(socket),
            Object::Socket(socket) => Target::Records(socket),
            Object::Other(_) => return Err(Errno::EINVAL),
        };
        let mut done = 0;
        while done < count {
            let sent = match self.send_piece(&file, at, &target, count - done) {
                Err(Errno::EAGAIN) if target.may_wait(done == 0) => {
                    self.wait_for_room(&target, count - done).map(|()| None)
                }
                sent => sent.map(Some),
            };
            match sent {
                // There is room now.
                Ok(None) => {}
                Ok(Some(0)) => break,
                Ok(Some(n)) => {
                    at += n as u64;
                    done += n;
                }
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        match offset {
            Some(offset) => *offset = at,
            None => file.set_position(self.waiter(), at)?,
        }
        Ok(done)
    }

    /// Sends some of the bytes at `at`, at most `max`, in one piece: how many, 0 at
    /// the end of the file. EAGAIN without room.
    fn send_piece(&self, file: &OpenFile, at: u64, target: &Target, max: usize) -> Result<usize, Errno> {
        let waiter = self.waiter();
        let piece = max.min(PIECE - (at % PAGE as u64) as usize);
        let sent = match target {
            Target::Stream(socket) => {
                // No more than can be passed on, but enough to see whether there
                // is anything.
                let room = room_or_wish(socket, max);
                file.with_bytes(waiter, at, max.min(room.unwrap_or(1)), |memory, from, n| {
                    room.and_then(|_| socket.send_from(memory, from, n))
                })?
            }
            Target::Records(socket) => {
                let mut record = alloc::vec![0; piece];
                match file.read_at(waiter, at, &mut record)? {
                    0 => None,
                    n => Some(self.transmit(socket, record.get(..n).ok_or(Errno::EPROTO)?, 0, None, &[])?),
                }
            }
            Target::File(to) => file.with_bytes(waiter, at, piece, |_, from, n| {
                to.write_from(waiter, Buffer { offset: from as u32, len: n as u32 })
            })?,
        };
        Ok(sent.unwrap_or(0))
    }

    /// Waits until the next piece has room; asks for it.
    fn wait_for_room(&self, target: &Target, rest: usize) -> Result<(), Errno> {
        let socket = match target {
            Target::File(file) => return file.wait_to_write(self),
            Target::Stream(socket) | Target::Records(socket) => socket,
        };
        self.until(socket.send_timeout.get(), || room_or_wish(socket, rest).map(drop))
    }
}

/// Room in a stream socket; asks for `rest` bytes of it when there is none. EAGAIN
/// if there still is none.
fn room_or_wish(socket: &Socket, rest: usize) -> Result<usize, Errno> {
    let mut room = socket.stream_room()?;
    if room == 0 {
        let tx = socket.tx.borrow();
        socket.want(&tx, rest.min(u32::MAX as usize) as u32)?;
        room = tx.room();
    }
    if room == 0 { Err(Errno::EAGAIN) } else { Ok(room as usize) }
}

impl Target {
    /// Whether a write to it would wait. Linux fills a pipe once.
    fn may_wait(&self, first: bool) -> bool {
        match self {
            Self::Stream(socket) => socket.flags.may_wait(),
            // It has waited already.
            Self::Records(_) => false,
            Self::File(file) => first && file.is_pipe() && file.may_wait(),
        }
    }
}
