//! Pipes: what FIFOs in the file systems are when they are open, and what
//! pipe(2) gives.
//!
//! A pipe never waits: a read or write that would gives EAGAIN, and the
//! readiness of every open end, in its client's session, says when it would not
//! (see `strait_abi::vfs`). Bytes are in pages that the writer pays for while
//! they are there.

use alloc::{collections::VecDeque, rc::Rc, vec::Vec};
use core::sync::atomic::Ordering;

use strait_abi::{
    Errno,
    socket::{POLLERR, POLLHUP, POLLIN, POLLOUT},
    vfs::{
        Handle, PIPE_BUF, PIPE_BYTES, VfsRegion,
        readiness::{MET, join},
    },
};
use strait_ring::PAGE;

use crate::{
    file_system::Window,
    pool::{Page, Payer, Pool},
};

/// Number of a pipe.
pub type PipeId = u32;

/// What an open end can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// It reads.
    pub reads: bool,
    /// It writes.
    pub writes: bool,
}

/// A handle of a session for an end.
struct Watcher {
    session: usize,
    handle: Handle,
    end: End,
    /// See [`Pipes::open`].
    before: u32,
    /// What MET says.
    met: bool,
    /// What its readiness is.
    last: Option<u64>,
}

#[derive(Default)]
struct Pipe {
    pages: VecDeque<Page>,
    /// Where the first byte is in the first page.
    start: usize,
    len: usize,
    /// Open ends: descriptions, however many handles they have.
    readers: u32,
    writers: u32,
    /// How many writers there have been, how many bytes, and how often it could
    /// be written again after it could not.
    opened: u32,
    written: u32,
    drained: u32,
    watchers: Vec<Watcher>,
    dirty: bool,
}

impl Pipe {
    /// poll(2) says that it cannot be written.
    fn is_full(&self) -> bool {
        PIPE_BYTES - self.len < PIPE_BUF
    }

    fn read(&mut self, into: Window) -> Result<usize, Errno> {
        if into.is_empty() {
            return Ok(0);
        }
        if self.len == 0 {
            return if self.writers == 0 { Ok(0) } else { Err(Errno::EAGAIN) };
        }
        let total = self.len.min(into.len());
        let (mut done, was_full) = (0, self.is_full());
        while done < total {
            let Some(page) = self.pages.front() else { break };
            let n = (PAGE - self.start).min(total - done);
            into.write(done, &page[self.start..self.start + n])?;
            done += n;
            self.start += n;
            if self.start == PAGE {
                self.pages.pop_front();
                self.start = 0;
            }
        }
        self.len -= done;
        if self.len == 0 {
            self.pages = VecDeque::new();
            self.start = 0;
        }
        self.drained = self.drained.wrapping_add((was_full && !self.is_full()).into());
        Ok(done)
    }

    fn write(&mut self, from: Window, pool: &Rc<Pool>, payer: Payer) -> Result<usize, Errno> {
        if self.readers == 0 {
            return Err(Errno::EPIPE);
        }
        let room = PIPE_BYTES - self.len;
        let total = if from.len() <= PIPE_BUF { from.len() } else { from.len().min(room) };
        if total > room || total == 0 && !from.is_empty() {
            return Err(Errno::EAGAIN);
        }
        // All pages first, so that it is all or nothing.
        let pages = (self.start + self.len + total).div_ceil(PAGE);
        let before = self.pages.len();
        while self.pages.len() < pages {
            match pool.page(payer) {
                Ok(page) => self.pages.push_back(page),
                Err(_) => {
                    self.pages.truncate(before);
                    return Err(Errno::ENOMEM);
                }
            }
        }
        let mut done = 0;
        while done < total {
            let at = self.start + self.len;
            let n = (PAGE - at % PAGE).min(total - done);
            let page = self.pages.get_mut(at / PAGE).ok_or(Errno::EIO)?;
            from.read(done, &mut page[at % PAGE..at % PAGE + n])?;
            done += n;
            self.len += n;
        }
        self.written = self.written.wrapping_add(done as u32);
        Ok(done)
    }

    fn readiness(&self, watcher: &Watcher) -> u64 {
        let (mut bits, mut news) = (if watcher.met { MET } else { 0 }, 0);
        if watcher.end.reads {
            bits |= if self.len > 0 { u32::from(POLLIN) } else { 0 };
            bits |= if self.writers == 0 && self.opened != watcher.before { u32::from(POLLHUP) } else { 0 };
            news = self.written;
        }
        if watcher.end.writes {
            bits |= if self.is_full() { 0 } else { u32::from(POLLOUT) };
            bits |= if self.readers == 0 { u32::from(POLLERR) } else { 0 };
            news = self.drained.wrapping_add(news);
        }
        join(bits, news)
    }
}

/// All pipes.
pub struct Pipes {
    pool: Rc<Pool>,
    pipes: Vec<Option<Pipe>>,
    dirty: Vec<PipeId>,
}

impl Pipes {
    /// None yet; content is paid from `pool`.
    pub fn new(pool: Rc<Pool>) -> Self {
        Self { pool, pipes: Vec::new(), dirty: Vec::new() }
    }

    /// Pipes that there are.
    pub fn count(&self) -> usize {
        self.pipes.iter().flatten().count()
    }

    /// A pipe without ends. It goes away with its last end.
    pub fn make(&mut self) -> PipeId {
        let free = self.pipes.iter().position(Option::is_none).unwrap_or_else(|| {
            self.pipes.push(None);
            self.pipes.len() - 1
        });
        self.pipes[free] = Some(Pipe::default());
        free as PipeId
    }

    fn get(&mut self, pipe: PipeId) -> Result<&mut Pipe, Errno> {
        self.pipes.get_mut(pipe as usize).and_then(|p| p.as_mut()).ok_or(Errno::EBADF)
    }

    /// Open ends to read, and to write.
    pub fn ends(&self, pipe: PipeId) -> (u32, u32) {
        self.pipes.get(pipe as usize).and_then(|p| p.as_ref()).map_or((0, 0), |p| (p.readers, p.writers))
    }

    fn touch(&mut self, pipe: PipeId) {
        if let Ok(p) = self.get(pipe)
            && !core::mem::replace(&mut p.dirty, true)
        {
            self.dirty.push(pipe);
        }
    }

    /// A description of an end is opened. What it gives is for
    /// [`watch`](Self::watch): how many writers there had been, by which it is
    /// known whether there has been one since; one that is there counts.
    pub fn open(&mut self, pipe: PipeId, end: End) -> u32 {
        let Ok(p) = self.get(pipe) else { return 0 };
        let before = p.opened.wrapping_sub(u32::from(p.writers != 0));
        p.readers += u32::from(end.reads);
        p.writers += u32::from(end.writes);
        p.opened = p.opened.wrapping_add(end.writes.into());
        for watcher in &mut p.watchers {
            watcher.met |= watcher.end.reads && end.writes || watcher.end.writes && end.reads;
        }
        self.touch(pipe);
        before
    }

    /// A description of an end is closed; with the last one the pipe goes.
    pub fn close(&mut self, pipe: PipeId, end: End) {
        let Ok(p) = self.get(pipe) else { return };
        p.readers -= u32::from(end.reads);
        p.writers -= u32::from(end.writes);
        let last = p.readers == 0 && p.writers == 0;
        if last {
            self.dirty.retain(|d| *d != pipe);
            self.pipes[pipe as usize] = None;
        } else {
            self.touch(pipe);
        }
    }

    /// A session has a handle for an end that is open.
    pub fn watch(&mut self, pipe: PipeId, session: usize, handle: Handle, end: End, before: u32) {
        let Ok(p) = self.get(pipe) else { return };
        let met = end.reads && p.writers > 0 || end.writes && p.readers > 0;
        p.watchers.push(Watcher { session, handle, end, before, met, last: None });
        self.touch(pipe);
    }

    /// A session has closed its handle.
    pub fn unwatch(&mut self, pipe: PipeId, session: usize, handle: Handle) {
        if let Ok(p) = self.get(pipe) {
            p.watchers.retain(|w| w.session != session || w.handle != handle);
        }
    }

    /// read(2): EAGAIN if there is nothing and somebody could still write.
    pub fn read(&mut self, pipe: PipeId, into: Window) -> Result<usize, Errno> {
        let n = self.get(pipe)?.read(into)?;
        self.touch(pipe);
        Ok(n)
    }

    /// write(2): up to PIPE_BUF bytes whole or not at all. EPIPE without a
    /// reader; EAGAIN without room; ENOMEM if `payer` has used up its share.
    pub fn write(&mut self, pipe: PipeId, from: Window, payer: Payer) -> Result<usize, Errno> {
        let pool = self.pool.clone();
        let n = self.get(pipe)?.write(from, &pool, payer)?;
        self.touch(pipe);
        Ok(n)
    }

    /// Bytes that wait to be read.
    pub fn available(&self, pipe: PipeId) -> u64 {
        self.pipes.get(pipe as usize).and_then(|p| p.as_ref()).map_or(0, |p| p.len as u64)
    }

    /// Brings the readiness up to date, and calls `wake` for each session
    /// that must be notified of it.
    pub fn publish(&mut self, region: impl Fn(usize) -> Option<VfsRegion>, mut wake: impl FnMut(usize)) {
        for pipe in core::mem::take(&mut self.dirty) {
            let Some(Some(p)) = self.pipes.get_mut(pipe as usize) else { continue };
            p.dirty = false;
            let mut watchers = core::mem::take(&mut p.watchers);
            for watcher in &mut watchers {
                let readiness = p.readiness(watcher);
                if watcher.last.replace(readiness) == Some(readiness) {
                    continue;
                }
                let Some(region) = region(watcher.session) else { continue };
                if let Some(cell) = region.readiness(watcher.handle) {
                    cell.store(readiness, Ordering::Release);
                }
                region.events().set(watcher.handle as usize);
                if region.to_client().raise() {
                    wake(watcher.session);
                }
            }
            p.watchers = watchers;
        }
    }
}
