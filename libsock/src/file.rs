//! An open file: its position, and what was read ahead.

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

use strait_abi::{
    Errno,
    socket::{FIONREAD, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM},
    vfs::{Buffer, CONSTANT, EntryHeader, Handle, MAX_IO, Request, Stat, mode, open, seek},
};
use zerocopy::FromBytes;

use crate::{
    Process,
    object::Description,
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
    ahead: RefCell<Option<Ahead>>,
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

impl OpenFile {
    /// openat(2); the directory is a handle.
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
        Ok(Self {
            vfs: vfs.clone(),
            handle: Handle::try_from(reply.result).map_err(|_| Errno::EPROTO)?,
            epoch: vfs.epoch(),
            flags: Cell::new(flags & (open::ACCMODE | open::APPEND | open::NONBLOCK | open::DIRECTORY)),
            constant: reply.extra[1] & CONSTANT != 0,
            size: reply.extra[0],
            mode: reply.extra[1] as u32,
            position: Cell::new(0),
            ahead: RefCell::new(None),
        })
    }

    /// Its number in the session. EIO if the server has closed it because the
    /// session broke.
    pub fn handle(&self) -> Result<Handle, Errno> {
        if self.epoch == self.vfs.epoch() { Ok(self.handle) } else { Err(Errno::EIO) }
    }

    pub fn is_directory(&self) -> bool {
        self.mode & mode::FORMAT == mode::DIRECTORY
    }

    /// Size when it was opened.
    pub fn size_at_open(&self) -> u64 {
        self.size
    }

    /// Refuses reading as read(2) does.
    fn check_readable(&self) -> Result<(), Errno> {
        if self.flags.get() & open::ACCMODE == open::WRONLY {
            Err(Errno::EBADF)
        } else if self.is_directory() {
            Err(Errno::EISDIR)
        } else {
            Ok(())
        }
    }

    /// Shows `f` up to `max` bytes of the file from `at` on, in the session's
    /// memory: where they begin there and how many. `None` at the end of the
    /// file. `f` returns how many it used.
    ///
    /// A sequence of small calls costs one operation for each block.
    pub fn with_bytes(
        &self,
        waiter: &Waiter,
        at: u64,
        max: usize,
        f: impl FnOnce(&strait_ring::SharedMemory, usize, usize) -> Result<usize, Errno>,
    ) -> Result<Option<usize>, Errno> {
        self.check_readable()?;
        let memory = self.vfs.memory();
        // Taken out while it is used; put back if there is more in it.
        let mut ahead = self.ahead.borrow_mut().take();
        let hit = ahead.as_ref().is_some_and(|a| (a.start..a.start + a.len as u64).contains(&at));
        if !hit && self.constant && (max as u64) < self.size.saturating_sub(at) {
            ahead = self.read_ahead(waiter, at, ahead)?;
        } else if !hit {
            ahead = None;
        }
        let Some(a) = ahead else {
            let (offset, len) = self.vfs.scratch();
            let n = self.read_into(waiter, at, offset, max.min(len))?;
            return if n == 0 { Ok(None) } else { f(&memory, offset, n).map(Some) };
        };
        let within = (at - a.start) as usize;
        let Some(n @ 1..) = a.len.checked_sub(within) else { return Ok(None) };
        let used = f(&memory, a.block.offset() + within, n.min(max))?;
        if used < n {
            *self.ahead.borrow_mut() = Some(a);
        }
        Ok(Some(used))
    }

    /// Fills a block from `at` on. `None` if there is no block to spare.
    fn read_ahead(&self, waiter: &Waiter, at: u64, old: Option<Ahead>) -> Result<Option<Ahead>, Errno> {
        let Some(block) = old.map(|a| a.block).or_else(|| self.vfs.take_block()) else { return Ok(None) };
        let len = self.read_into(waiter, at, block.offset(), self.vfs.block_bytes())?;
        Ok(Some(Ahead { block, start: at, len }))
    }

    fn read_into(&self, waiter: &Waiter, at: u64, offset: usize, len: usize) -> Result<usize, Errno> {
        let len = len.min(MAX_IO);
        let into = Buffer { offset: offset as u32, len: len as u32 };
        let reply = self.vfs.call(waiter, Request::Read { file: self.handle()?, offset: at, into })?;
        usize::try_from(reply.result).ok().filter(|n| *n <= len).ok_or(Errno::EPROTO)
    }

    /// pread(2): all of `into`, unless the file ends before.
    pub fn read_at(&self, waiter: &Waiter, at: u64, into: &mut [u8]) -> Result<usize, Errno> {
        self.check_readable()?;
        if i64::try_from(at).is_err() {
            return Err(Errno::EINVAL);
        }
        let mut done = 0;
        while done < into.len() {
            let rest = &mut into[done..];
            let max = rest.len();
            let copied = self.with_bytes(waiter, at.saturating_add(done as u64), max, |memory, from, n| {
                memory.read(from, rest.get_mut(..n).ok_or(Errno::EPROTO)?).ok_or(Errno::EPROTO)?;
                Ok(n)
            });
            match copied {
                Ok(Some(n)) => done += n,
                Ok(None) => break,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// read(2).
    pub fn read(&self, waiter: &Waiter, into: &mut [u8]) -> Result<usize, Errno> {
        let n = self.read_at(waiter, self.position.get(), into)?;
        self.advance(n);
        Ok(n)
    }

    /// Where the next read begins.
    pub fn position(&self) -> u64 {
        self.position.get()
    }

    pub fn advance(&self, n: usize) {
        self.position.set(self.position.get() + n as u64);
    }

    /// lseek(2).
    pub fn seek(&self, waiter: &Waiter, offset: i64, whence: u32) -> Result<u64, Errno> {
        let base = match whence {
            seek::SET => 0,
            seek::CUR => self.position.get(),
            seek::END if self.constant => self.size,
            seek::END => self.stat(waiter)?.size,
            _ => return Err(Errno::EINVAL),
        };
        let to = base.checked_add_signed(offset).ok_or(Errno::EINVAL)?;
        if i64::try_from(to).is_err() {
            return Err(Errno::EOVERFLOW);
        }
        self.position.set(to);
        Ok(to)
    }

    /// fstat(2).
    pub fn stat(&self, waiter: &Waiter) -> Result<Stat, Errno> {
        let file = self.handle()?;
        self.vfs.stat(waiter, |into| Request::FileStat { file, into })
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
            self.vfs.call(waiter, Request::ReadDirectory { file: self.handle()?, offset: self.position(), into })?;
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
        if let Ok(handle) = self.handle() {
            self.vfs.close(handle);
        }
    }
}

impl Description for OpenFile {
    fn readv(&self, process: &Process, parts: &mut [&mut [u8]]) -> Result<usize, Errno> {
        each_part(parts.iter_mut().map(|part| &mut **part), |part, _| self.read(process.waiter(), part))
    }

    fn writev(&self, _: &Process, _: &[&[u8]]) -> Result<usize, Errno> {
        // Files are only opened for reading yet.
        Err(Errno::EBADF)
    }

    fn poll(&self) -> u16 {
        // Files are always ready.
        POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM
    }

    fn ioctl(&self, process: &Process, request: u32, argument: &mut [u8]) -> Result<i32, Errno> {
        if request != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let rest = self.stat(process.waiter())?.size.saturating_sub(self.position());
        *argument.first_chunk_mut().ok_or(Errno::EFAULT)? = (rest.min(i32::MAX as u64) as u32).to_ne_bytes();
        Ok(0)
    }

    fn stat(&self, process: &Process) -> Result<Stat, Errno> {
        Self::stat(self, process.waiter())
    }

    fn flags(&self) -> u32 {
        self.flags.get()
    }

    fn set_flags(&self, flags: u32) -> Result<(), Errno> {
        const CHANGE: u32 = open::NONBLOCK | open::APPEND;
        self.flags.set(self.flags.get() & !CHANGE | flags & CHANGE);
        Ok(())
    }
}
