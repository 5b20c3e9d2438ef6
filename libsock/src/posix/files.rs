//! Files.

use alloc::rc::Rc;

use strait_abi::{
    Errno,
    vfs::{AT_FDCWD, AT_SYMLINK_NOFOLLOW, Request, Stat, open},
};

use crate::{
    Process,
    descriptor::{Fd, Object},
    file::{OpenFile, RawEntry},
    socket::Socket,
};

impl Process {
    /// open(2). The flags are O_RDONLY, ... of [`strait_abi::vfs::open`].
    pub fn open(&self, path: impl AsRef<[u8]>, flags: u32, mode: u32) -> Result<Fd, Errno> {
        self.openat(AT_FDCWD, path, flags, mode)
    }

    /// openat(2). Of a FIFO it waits for the other end, unless O_NONBLOCK is
    /// set.
    pub fn openat(&self, directory: Fd, path: impl AsRef<[u8]>, flags: u32, mode: u32) -> Result<Fd, Errno> {
        let start = self.directory(directory, path.as_ref())?;
        self.table().borrow_mut().check_free()?;
        let mode = mode & !self.files().umask.get();
        let file = OpenFile::open(self.vfs()?, self.waiter(), start, path.as_ref(), flags, mode)?;
        file.wait_for_peer(self)?;
        self.table().borrow_mut().insert(Object::File(Rc::new(file)), flags & open::CLOEXEC != 0, 0)
    }

    /// pread(2).
    pub fn pread(&self, fd: Fd, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        match self.object(fd)? {
            Object::File(file) => file.read_at(self.waiter(), offset, into),
            _ => Err(Errno::ESPIPE),
        }
    }

    /// pwrite(2).
    pub fn pwrite(&self, fd: Fd, from: &[u8], offset: u64) -> Result<usize, Errno> {
        match self.object(fd)? {
            Object::File(file) => file.write_at(self.waiter(), offset, from),
            _ => Err(Errno::ESPIPE),
        }
    }

    /// ftruncate(2).
    pub fn ftruncate(&self, fd: Fd, size: u64) -> Result<(), Errno> {
        self.regular(fd)?.truncate(self.waiter(), size)
    }

    /// truncate(2).
    pub fn truncate(&self, path: impl AsRef<[u8]>, size: u64) -> Result<(), Errno> {
        // A FIFO must not be waited for.
        let fd = self.open(path, open::WRONLY | open::NONBLOCK, 0).map_err(|e| match e {
            // A socket, or a FIFO that nobody reads.
            Errno::ENXIO => Errno::EINVAL,
            e => e,
        })?;
        let result = self.ftruncate(fd, size);
        self.close(fd)?;
        result
    }

    /// fsync(2).
    pub fn fsync(&self, fd: Fd) -> Result<(), Errno> {
        self.regular(fd)?.sync(self.waiter())
    }

    /// fdatasync(2).
    pub fn fdatasync(&self, fd: Fd) -> Result<(), Errno> {
        self.fsync(fd)
    }

    /// lseek(2); see [`strait_abi::vfs::seek`].
    pub fn lseek(&self, fd: Fd, offset: i64, whence: u32) -> Result<u64, Errno> {
        match self.object(fd)? {
            Object::File(file) => file.seek(self.waiter(), offset, whence),
            _ => Err(Errno::ESPIPE),
        }
    }

    /// stat(2).
    pub fn stat(&self, path: impl AsRef<[u8]>) -> Result<Stat, Errno> {
        self.fstatat(AT_FDCWD, path, 0)
    }

    /// lstat(2).
    pub fn lstat(&self, path: impl AsRef<[u8]>) -> Result<Stat, Errno> {
        self.fstatat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)
    }

    /// fstatat(2).
    pub fn fstatat(&self, directory: Fd, path: impl AsRef<[u8]>, flags: u32) -> Result<Stat, Errno> {
        let directory = self.directory(directory, path.as_ref())?;
        let vfs = self.vfs()?;
        let path = vfs.path(path.as_ref())?;
        vfs.stat(self.waiter(), |into| Request::Stat { directory, path, flags, into })
    }

    /// fstat(2).
    pub fn fstat(&self, fd: Fd) -> Result<Stat, Errno> {
        self.object(fd)?.description().stat(self)
    }

    /// Size of a file when it was opened, which costs no operation.
    pub fn size_at_open(&self, fd: Fd) -> Result<u64, Errno> {
        self.regular(fd).map(|file| file.size_at_open())
    }

    /// Whether the descriptor is an open directory.
    pub fn is_directory(&self, fd: Fd) -> Result<bool, Errno> {
        Ok(matches!(self.object(fd)?, Object::File(file) if file.is_directory()))
    }

    /// getdents(2), nearly: calls `f` with the next entries of a directory.
    /// Returns whether there were any.
    pub fn list(&self, fd: Fd, f: impl FnMut(RawEntry<'_>)) -> Result<bool, Errno> {
        self.directory_file(fd)?.list(self.waiter(), f)
    }

    fn directory_file(&self, fd: Fd) -> Result<Rc<OpenFile>, Errno> {
        match self.object(fd)? {
            Object::File(file) => Ok(file),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn regular(&self, fd: Fd) -> Result<Rc<OpenFile>, Errno> {
        match self.object(fd)? {
            Object::File(file) => Ok(file),
            _ => Err(Errno::EINVAL),
        }
    }

    /// sendfile(2) to a stream socket: up to `count` bytes of the file `from`,
    /// beginning at `offset`, which is moved on, or without one at the file's
    /// position. Returns how many; less than `count` at the end of the file,
    /// or when the socket has no more room. 0 is the end of the file.
    ///
    /// The bytes go from the memory shared with `vfs_server` to that shared
    /// with `net_server` in one copy.
    pub fn sendfile(&self, to: Fd, from: Fd, offset: Option<&mut u64>, count: usize) -> Result<usize, Errno> {
        let file = self.regular(from)?;
        let socket = self.socket_of(to)?;
        if !socket.is_stream() {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut at = match offset.as_deref() {
            Some(offset) => *offset,
            None => file.position(self.waiter())?,
        };
        let mut done = 0;
        while done < count {
            let room = match self.room_for_file(&socket, count - done, done == 0) {
                Ok(room) => room,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            };
            let sent = file.with_bytes(self.waiter(), at, room.min(count - done), |memory, from, n| {
                socket.send_from(memory, from, n)
            });
            match sent {
                Ok(Some(n)) => {
                    at += n as u64;
                    done += n;
                }
                Ok(None) => break,
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

    /// Room in the socket for the next part of a file; asks for more, and
    /// waits if the socket may wait, when there is none.
    fn room_for_file(&self, socket: &Socket, rest: usize, first: bool) -> Result<usize, Errno> {
        let attempt = || match socket.stream_room()? {
            0 => {
                let tx = socket.tx.borrow();
                socket.want(&tx, rest.min(u32::MAX as usize) as u32);
                match tx.room() {
                    0 => Err(Errno::EAGAIN),
                    room => Ok(room as usize),
                }
            }
            room => Ok(room as usize),
        };
        match attempt() {
            Err(Errno::EAGAIN) if first && super::io::may_wait(socket, 0) => {
                self.until(socket.send_timeout.get(), attempt)
            }
            done => done,
        }
    }
}
