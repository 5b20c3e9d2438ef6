//! An open file: its position, and what was read ahead.
//!
//! The position is kept here, until the open file goes to another process too:
//! from then on the server keeps it for both.

mod transfer;

use alloc::rc::Rc;
use core::{
    cell::{Cell, RefCell},
    sync::atomic::Ordering,
};

use strait_abi::{
    Errno,
    socket::{
        F_GETPIPE_SZ, F_SETPIPE_SZ, FIONREAD, O_DIRECT, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLRDNORM,
        POLLWRNORM,
    },
    vfs::{
        Buffer, CONSTANT, CURRENT, EntryHeader, Handle, MAX_IO, PIPE_BYTES, Request, Stat, mode, open, readiness, seek,
    },
};
use zerocopy::FromBytes;

use crate::{
    Process,
    object::{Description, News, Watchers},
    posix::io::each_part,
    vfs::{Block, Vfs},
    wait::Waiter,
};

/// A file of the session; the server closes its end when it is dropped.
pub struct OpenFile {
    vfs: Rc<Vfs>,
    handle: Handle,
    epoch: u32,
    /// The flags of open(2) that F_GETFL gives.
    pub flags: Cell<u32>,
    /// The content never changes, nor does the size.
    constant: bool,
    size: u64,
    mode: u32,
    position: Cell<u64>,
    /// The server keeps the position.
    shared: Cell<bool>,
    /// The server has closed it already.
    closed: Cell<bool>,
    ahead: RefCell<Option<Ahead>>,
    watchers: Rc<Watchers>,
}

/// Bytes of the file in a block.
struct Ahead {
    block: Block,
    start: u64,
    len: usize,
}

/// One entry of a directory, as it is in the file system.
pub struct RawEntry<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Number of the file.
    pub ino: u64,
    /// [`strait_abi::vfs::kind`].
    pub kind: u8,
}

/// The flags that F_GETFL gives.
const STATUS: u32 = open::ACCMODE
    | open::APPEND
    | open::NONBLOCK
    | open::SYNC
    | open::DIRECTORY
    | open::NOFOLLOW
    | open::NOATIME
    | open::PATH;

impl OpenFile {
    /// openat(2); the directory is a handle. A FIFO may still have to wait for
    /// its other end: see [`wait_for_peer`](Self::wait_for_peer).
    pub fn open(
        vfs: &Rc<Vfs>,
        waiter: &Waiter,
        directory: Handle,
        path: &[u8],
        flags: u32,
        mode: u32,
    ) -> Result<Self, Errno> {
        let path = vfs.path(path)?;
        let reply = vfs.call(waiter, Request::Open { directory, path, flags, mode })?;
        let handle = Handle::try_from(reply.result).map_err(|_| Errno::EPROTO)?;
        Ok(Self::new(vfs, handle, flags, reply.extra[0], reply.extra[1]))
    }

    fn new(vfs: &Rc<Vfs>, handle: Handle, flags: u32, size: u64, more: u64) -> Self {
        let file = Self {
            vfs: vfs.clone(),
            handle,
            epoch: vfs.epoch(),
            flags: Cell::new(flags & STATUS),
            constant: more & CONSTANT != 0,
            size,
            mode: more as u32,
            position: Cell::new(0),
            shared: Cell::new(false),
            closed: Cell::new(false),
            ahead: RefCell::new(None),
            watchers: Rc::default(),
        };
        if file.is_pipe() {
            vfs.count_pipe(true);
        }
        file
    }

    /// pipe(2): the ends to read and to write.
    pub fn pipe(vfs: &Rc<Vfs>, waiter: &Waiter, flags: u32) -> Result<(Self, Self), Errno> {
        let reply = vfs.call(waiter, Request::Pipe)?;
        let handle = |number: u64| Handle::try_from(number).map_err(|_| Errno::EPROTO);
        let (read, write) = (handle(reply.result as u64)?, handle(reply.extra[0])?);
        let mode = u64::from(mode::FIFO | 0o600);
        let end = |handle, access| Self::new(vfs, handle, flags & open::NONBLOCK | access, 0, mode);
        Ok((end(read, open::RDONLY), end(write, open::WRONLY)))
    }

    /// Opens what another process gave away with [`export`](Self::export). EBADF
    /// if it is not there any more. With `keep` the token can be shown again.
    pub fn import(vfs: &Rc<Vfs>, waiter: &Waiter, token: &[u8], keep: bool) -> Result<Self, Errno> {
        let token = vfs.path(token)?;
        let reply = vfs.call(waiter, Request::Import { token, keep })?;
        let handle = Handle::try_from(reply.result).map_err(|_| Errno::EPROTO)?;
        let file = Self::new(vfs, handle, reply.extra[0] as u32, 0, reply.extra[1]);
        file.shared.set(true);
        if !file.constant {
            return Ok(file);
        }
        let size = file.stat(waiter)?.size;
        Ok(Self::resized(file, size))
    }

    fn resized(mut file: Self, size: u64) -> Self {
        file.size = size;
        file
    }

    /// A token by which one other process can open the same open file.
    pub fn export(&self, waiter: &Waiter, token: &mut [u8]) -> Result<(), Errno> {
        let (offset, _) = self.vfs.scratch();
        let into = Buffer { offset: offset as u32, len: token.len() as u32 };
        let (file, flags) = (self.handle()?, self.flags.get());
        self.vfs.call(waiter, Request::Export { file, flags, offset: self.position.get(), into })?;
        self.shared.set(true);
        *self.ahead.borrow_mut() = None;
        self.vfs.memory().read(offset, token).ok_or(Errno::EPROTO)
    }

    /// Its number in the session. EIO if the server has closed it because the
    /// session broke.
    pub fn handle(&self) -> Result<Handle, Errno> {
        if self.epoch == self.vfs.epoch() { Ok(self.handle) } else { Err(Errno::EIO) }
    }

    pub fn is_directory(&self) -> bool {
        self.mode & mode::FORMAT == mode::DIRECTORY
    }

    pub fn is_pipe(&self) -> bool {
        self.mode & mode::FORMAT == mode::FIFO && !self.is_path()
    }

    pub fn may_wait(&self) -> bool {
        self.flags.get() & open::NONBLOCK == 0
    }

    /// The readiness of a pipe: bits, and a number of its news.
    fn readiness(&self) -> (u32, u32) {
        readiness::split(self.vfs.region().readiness(self.handle).map_or(0, |r| r.load(Ordering::Acquire)))
    }

    fn is_path(&self) -> bool {
        self.flags.get() & open::PATH != 0
    }

    /// Waits until one of `bits` of the readiness is set.
    fn wait_for(&self, process: &Process, bits: u32) -> Result<(), Errno> {
        process.until(None, || {
            self.handle()?;
            if self.readiness().0 & bits != 0 { Ok(()) } else { Err(Errno::EAGAIN) }
        })
    }

    /// What open(2) does of a FIFO without O_NONBLOCK: waits until the other end
    /// is opened.
    pub fn wait_for_peer(&self, process: &Process) -> Result<(), Errno> {
        if self.is_pipe() && self.may_wait() { self.wait_for(process, readiness::MET) } else { Ok(()) }
    }

    /// Size when it was opened.
    pub fn size_at_open(&self) -> u64 {
        self.size
    }

    /// Where the next read or write begins.
    pub fn position(&self, waiter: &Waiter) -> Result<u64, Errno> {
        if self.shared.get() { self.seek(waiter, 0, seek::CUR) } else { Ok(self.position.get()) }
    }

    /// What a read or write gives as its position.
    fn offset(&self) -> u64 {
        if self.shared.get() { CURRENT } else { self.position.get() }
    }

    pub fn set_position(&self, waiter: &Waiter, to: u64) -> Result<(), Errno> {
        if self.shared.get() {
            self.seek(waiter, i64::try_from(to).map_err(|_| Errno::EINVAL)?, seek::SET)?;
        }
        self.position.set(to);
        Ok(())
    }

    /// lseek(2).
    pub fn seek(&self, waiter: &Waiter, offset: i64, whence: u32) -> Result<u64, Errno> {
        if self.is_path() {
            return Err(Errno::EBADF);
        }
        if self.is_pipe() {
            return Err(Errno::ESPIPE);
        }
        if self.shared.get() {
            let request = Request::Seek { file: self.handle()?, offset: offset as u64, whence };
            return u64::try_from(self.vfs.call(waiter, request)?.result).map_err(|_| Errno::EPROTO);
        }
        let base = match whence {
            seek::SET => 0,
            seek::CUR => self.position.get(),
            seek::END if self.constant => self.size,
            seek::END => self.stat(waiter)?.size,
            _ => return Err(Errno::EINVAL),
        };
        let to = base.checked_add_signed(offset).ok_or(Errno::EINVAL)?;
        if i64::try_from(to).is_err() {
            return Err(Errno::EINVAL);
        }
        self.position.set(to);
        Ok(to)
    }

    /// fstat(2).
    pub fn stat(&self, waiter: &Waiter) -> Result<Stat, Errno> {
        let file = self.handle()?;
        self.vfs.stat(waiter, |into| Request::FileStat { file, into })
    }

    /// Bytes that wait in a pipe.
    fn waiting(&self, waiter: &Waiter) -> Result<u64, Errno> {
        let file = self.handle()?;
        Ok(self.vfs.call(waiter, Request::FileStat { file, into: self.vfs.result::<Stat>() })?.extra[0])
    }

    /// Closes a pipe and waits until the server has: when close(2) returns, the
    /// other end knows. For the last descriptor of it.
    pub fn close_now(&self, waiter: &Waiter) {
        if let Ok(file) = self.handle()
            && self.is_pipe()
            && self.vfs.run(waiter, Request::Close { file }).is_ok()
        {
            self.closed.set(true);
        }
    }

    /// ftruncate(2).
    pub fn truncate(&self, waiter: &Waiter, size: u64) -> Result<(), Errno> {
        if self.is_path() {
            return Err(Errno::EBADF);
        }
        if i64::try_from(size).is_err() {
            return Err(Errno::EINVAL);
        }
        self.vfs.call(waiter, Request::Truncate { file: self.handle()?, size })?;
        Ok(())
    }

    /// fsync(2).
    pub fn sync(&self, waiter: &Waiter) -> Result<(), Errno> {
        if self.is_path() {
            return Err(Errno::EBADF);
        }
        self.vfs.call(waiter, Request::Sync { file: self.handle()? })?;
        Ok(())
    }

    /// Calls `f` with the entries from the position on, as many as one
    /// operation gives. Returns whether there were any.
    pub fn list(&self, waiter: &Waiter, mut f: impl FnMut(RawEntry<'_>)) -> Result<bool, Errno> {
        if !self.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        let (offset, len) = self.vfs.scratch();
        let into = Buffer { offset: offset as u32, len: len.min(MAX_IO) as u32 };
        let reply =
            self.vfs.call(waiter, Request::ReadDirectory { file: self.handle()?, offset: self.offset(), into })?;
        let len = usize::try_from(reply.result).ok().filter(|n| *n <= len).ok_or(Errno::EPROTO)?;
        let mut bytes = alloc::vec![0; len];
        self.vfs.memory().read(offset, &mut bytes).ok_or(Errno::EPROTO)?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (header, _) = EntryHeader::read_from_prefix(rest).map_err(|_| Errno::EPROTO)?;
            let (record, later) = rest.split_at_checked(header.len.into()).ok_or(Errno::EPROTO)?;
            let name = record.get(EntryHeader::BYTES..).and_then(|n| n.get(..header.name_len.into()));
            f(RawEntry { name: name.ok_or(Errno::EPROTO)?, ino: header.ino, kind: header.kind });
            rest = later;
        }
        self.position.set(reply.extra[0]);
        Ok(len != 0)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if self.is_pipe() {
            self.vfs.count_pipe(false);
        }
        if let Ok(handle) = self.handle()
            && !self.closed.get()
        {
            self.vfs.close(handle);
        }
    }
}

impl Description for OpenFile {
    fn readv(&self, process: &Process, parts: &mut [&mut [u8]]) -> Result<usize, Errno> {
        if self.is_pipe() {
            // Only the first may wait.
            return each_part(parts.iter_mut().map(|part| &mut **part), |part, first| {
                self.read_pipe(process, part, first)
            });
        }
        each_part(parts.iter_mut().map(|part| &mut **part), |part, _| self.read(process.waiter(), part))
    }

    fn writev(&self, process: &Process, parts: &[&[u8]]) -> Result<usize, Errno> {
        self.write(process, parts)
    }

    fn poll(&self) -> u16 {
        if self.is_path() {
            return POLLNVAL;
        }
        if !self.is_pipe() {
            // Files are always ready.
            return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
        }
        if self.handle().is_err() {
            return POLLERR | POLLHUP;
        }
        let mut ready = self.readiness().0 as u16;
        ready |= if ready & POLLIN != 0 { POLLRDNORM } else { 0 };
        ready | if ready & POLLOUT != 0 { POLLWRNORM } else { 0 }
    }

    fn watchers(&self) -> Option<&Watchers> {
        self.is_pipe().then_some(&*self.watchers)
    }

    fn observed(&self) {
        self.vfs.observe(self.handle, &self.watchers);
    }

    fn news(&self, events: u32) -> Option<News> {
        let (bits, news) = self.readiness();
        Some([bits & events, news, 0, 0, 0])
    }

    fn ioctl(&self, process: &Process, request: u32, argument: &mut [u8]) -> Result<i32, Errno> {
        if self.is_path() {
            return Err(Errno::EBADF);
        }
        if request != FIONREAD || self.is_directory() {
            return Err(Errno::ENOTTY);
        }
        let waiter = process.waiter();
        let rest = match self.is_pipe() {
            true => self.waiting(waiter)?,
            false => self.stat(waiter)?.size.saturating_sub(self.position(waiter)?),
        };
        *argument.first_chunk_mut().ok_or(Errno::EFAULT)? = (rest.min(i32::MAX as u64) as u32).to_ne_bytes();
        Ok(0)
    }

    fn fcntl(&self, command: i32, _: i32) -> Result<i32, Errno> {
        match command {
            _ if self.is_path() => Err(Errno::EBADF),
            F_GETPIPE_SZ if self.is_pipe() => Ok(PIPE_BYTES as i32),
            F_GETPIPE_SZ | F_SETPIPE_SZ if !self.is_pipe() => Err(Errno::EBADF),
            _ => Err(Errno::EINVAL),
        }
    }

    fn stat(&self, process: &Process) -> Result<Stat, Errno> {
        Self::stat(self, process.waiter())
    }

    fn flags(&self) -> u32 {
        self.flags.get()
    }

    fn set_flags(&self, flags: u32) -> Result<(), Errno> {
        const CHANGE: u32 = open::NONBLOCK | open::APPEND | open::NOATIME;
        if self.is_path() {
            return Err(Errno::EBADF);
        }
        if flags & O_DIRECT != 0 {
            return Err(Errno::EINVAL);
        }
        self.flags.set(self.flags.get() & !CHANGE | flags & CHANGE);
        Ok(())
    }
}
