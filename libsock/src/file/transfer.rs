//! Reading and writing.

use strait_abi::{
    Errno,
    socket::{POLLERR, POLLHUP, POLLIN, POLLOUT},
    vfs::{Buffer, CURRENT, MAX_IO, Request, open},
};

use super::{Ahead, OpenFile};
use crate::{Process, parts::Gather, wait::Waiter};

impl OpenFile {
    /// Refuses reading as read(2) does.
    fn check_readable(&self) -> Result<(), Errno> {
        let flags = self.flags.get();
        let reads = matches!(flags & open::ACCMODE, open::RDONLY | open::RDWR);
        if !reads || flags & open::PATH != 0 {
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
        if i64::try_from(at).is_err() {
            return Err(Errno::EINVAL);
        }
        if self.is_pipe() {
            return Err(Errno::ESPIPE);
        }
        self.check_readable()?;
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
        if self.shared.get() {
            return self.read_shared(waiter, into);
        }
        let n = self.read_at(waiter, self.position.get(), into)?;
        self.position.set(self.position.get() + n as u64);
        Ok(n)
    }

    /// A read at the position that the server keeps.
    fn read_shared(&self, waiter: &Waiter, into: &mut [u8]) -> Result<usize, Errno> {
        self.check_readable()?;
        let (offset, len) = self.vfs.scratch();
        let mut done = 0;
        while done < into.len() {
            let rest = &mut into[done..];
            let n = match self.read_into(waiter, CURRENT, offset, rest.len().min(len)) {
                Ok(0) => break,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
                Ok(n) => n,
            };
            self.vfs.memory().read(offset, rest.get_mut(..n).ok_or(Errno::EPROTO)?).ok_or(Errno::EPROTO)?;
            done += n;
        }
        Ok(done)
    }

    /// A read from a pipe, which waits if it `may` and the flags let it: what is
    /// there, up to the length of `into`.
    pub fn read_pipe(&self, process: &Process, into: &mut [u8], may: bool) -> Result<usize, Errno> {
        self.check_readable()?;
        let (offset, len) = self.vfs.scratch();
        let mut done = 0;
        loop {
            let rest = &mut into[done..];
            let max = rest.len().min(len);
            match self.read_into(process.waiter(), CURRENT, offset, max) {
                Ok(n) => {
                    self.vfs.memory().read(offset, rest.get_mut(..n).ok_or(Errno::EPROTO)?).ok_or(Errno::EPROTO)?;
                    done += n;
                    if n < max || done == into.len() {
                        return Ok(done);
                    }
                }
                Err(_) if done != 0 => return Ok(done),
                Err(Errno::EAGAIN) if may && self.may_wait() => {
                    self.wait_for(process, u32::from(POLLIN | POLLHUP))?;
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Refuses writing as write(2) does.
    fn check_writable(&self) -> Result<(), Errno> {
        let flags = self.flags.get();
        let writes = matches!(flags & open::ACCMODE, open::WRONLY | open::RDWR);
        if writes && flags & open::PATH == 0 { Ok(()) } else { Err(Errno::EBADF) }
    }

    /// write(2), writev(2). What fits into the scratch part is one operation,
    /// which nobody else's comes between.
    pub fn write<G: Gather + ?Sized>(&self, process: &Process, from: &G) -> Result<usize, Errno> {
        self.check_writable()?;
        let mut done = 0;
        while done < from.len() {
            let buffer = self.stage(from, done)?;
            match self.write_from(process.waiter(), buffer) {
                Ok(0) => break,
                Ok(n) => done += n,
                // All of it, if it may wait.
                Err(Errno::EAGAIN) if self.may_wait() => self.wait_to_write(process)?,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Puts what fits of `from`, behind its first `done` bytes, into the scratch
    /// part.
    fn stage<G: Gather + ?Sized>(&self, from: &G, done: usize) -> Result<Buffer, Errno> {
        let (offset, len) = self.vfs.scratch();
        let n = (from.len() - done).min(len).min(MAX_IO);
        from.each(done..done + n, |at, part| self.vfs.memory().write(offset + at, part)).ok_or(Errno::EIO)?;
        Ok(Buffer { offset: offset as u32, len: n as u32 })
    }

    /// A write of what lies in the session's memory, where the position is; it
    /// does not wait for room in a pipe (EAGAIN).
    pub fn write_from(&self, waiter: &Waiter, from: Buffer) -> Result<usize, Errno> {
        self.check_writable()?;
        let append = if self.is_pipe() { 0 } else { self.flags.get() & open::APPEND };
        let (n, behind) = self.submit(waiter, self.offset(), from, append)?;
        self.position.set(behind);
        Ok(n)
    }

    /// Waits until a pipe has room, or no reader.
    pub fn wait_to_write(&self, process: &Process) -> Result<(), Errno> {
        self.wait_for(process, u32::from(POLLOUT | POLLERR))
    }

    /// pwrite(2). With O_APPEND at the end, as on Linux.
    pub fn write_at(&self, waiter: &Waiter, at: u64, from: &[u8]) -> Result<usize, Errno> {
        if i64::try_from(at).is_err() {
            return Err(Errno::EINVAL);
        }
        if self.is_pipe() {
            return Err(Errno::ESPIPE);
        }
        self.check_writable()?;
        let append = self.flags.get() & open::APPEND;
        let mut done = 0;
        while done < from.len() {
            let buffer = self.stage(from, done)?;
            match self.submit(waiter, at.saturating_add(done as u64), buffer, append) {
                Ok((0, _)) => break,
                Ok((n, _)) => done += n,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// One operation: how many bytes, and the position behind them. With O_SYNC
    /// or O_DSYNC they are durable then.
    fn submit(&self, waiter: &Waiter, at: u64, from: Buffer, flags: u32) -> Result<(usize, u64), Errno> {
        let file = self.handle()?;
        let reply = self.vfs.call(waiter, Request::Write { file, flags, offset: at, from })?;
        let n = usize::try_from(reply.result).ok().filter(|n| *n <= from.len as usize).ok_or(Errno::EPROTO)?;
        if n != 0 && self.flags.get() & open::DSYNC != 0 && !self.is_pipe() {
            self.sync(waiter)?;
        }
        Ok((n, reply.extra[0]))
    }
}
