//! The session with `vfs_server`: operations one at a time, and the blocks of
//! the data area.
//!
//! The server runs at a higher priority, so on one core an operation that
//! needs no disk is complete when the notification returns; only otherwise
//! the process sleeps.
//!
//! The data area begins with a *scratch* part for paths, results and what is
//! written, used by one operation at a time: half of the area, as far as one
//! operation can use it. The rest are equal blocks, which files that are read in
//! sequence keep to read ahead.

use alloc::{
    rc::{Rc, Weak},
    vec::Vec,
};
use core::cell::{Cell, RefCell};

use strait_abi::{
    Errno,
    vfs::{
        Buffer, Command, Completion, DATA, ENTRIES, Handle, MAX_IO, PATH_MAX, Receiver, Request, STAT_BYTES, Sender,
        Stat, VERSION, VfsRegion,
    },
};
use strait_pd::{Channel, PdRef};
use strait_ring::{PAGE, SharedMemory, arena::Arena};
use zerocopy::{FromBytes, IntoBytes};

use crate::{object::Watchers, wait::Waiter};

/// Largest block.
const MAX_BLOCK: usize = 32 * 1024;
/// The area is divided into about as many blocks.
const BLOCKS: usize = 64;
/// Where in the scratch part results go; paths stand before.
const RESULT: usize = PAGE;

const _: () = assert!(PATH_MAX <= RESULT && RESULT + PATH_MAX <= 2 * PAGE && STAT_BYTES <= PAGE);

/// The session.
pub struct Vfs {
    pd: PdRef,
    channel: Channel,
    region: VfsRegion,
    block: usize,
    scratch: usize,
    epoch: Cell<u32>,
    next: Cell<u32>,
    queues: RefCell<Queues>,
    /// How many pipes are open.
    pipes: Cell<u32>,
    /// Those who watch pipes, by handle.
    observed: RefCell<Vec<(Handle, Weak<Watchers>)>>,
}

struct Queues {
    commands: Sender<Command>,
    completions: Receiver<Completion>,
    blocks: Arena,
    /// Commands whose completion was not taken: at most [`ENTRIES`], so that
    /// each completion has a place.
    outstanding: u32,
    /// Files to close when there is room for the commands.
    closing: Vec<Handle>,
}

impl Queues {
    fn put(&mut self, command: &Command) -> Result<bool, Errno> {
        if self.outstanding >= ENTRIES || !self.commands.put(command).map_err(|_| Errno::EIO)? {
            return Ok(false);
        }
        self.outstanding += 1;
        Ok(true)
    }
}

/// A block of the data area.
pub struct Block {
    vfs: Rc<Vfs>,
    number: u16,
}

impl Block {
    /// Its place in the region.
    pub fn offset(&self) -> usize {
        DATA + self.vfs.scratch + usize::from(self.number) * self.vfs.block
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Ok(mut queues) = self.vfs.queues.try_borrow_mut() {
            queues.blocks.free(self.number);
        }
    }
}

impl Vfs {
    /// The session in `region`, of which `None` is taken as no session.
    /// [`hello`](Self::hello) must follow.
    pub fn new(pd: PdRef, channel: Channel, region: VfsRegion) -> Option<Self> {
        let area = region.memory().len() - DATA;
        let block = (area / BLOCKS / PAGE * PAGE).clamp(PAGE, MAX_BLOCK);
        let scratch = (area / 2 / PAGE * PAGE).clamp(2 * PAGE, MAX_IO);
        let blocks = ((area - scratch) / block).min(usize::from(u16::MAX)) as u16;
        let mut completions = region.completion_receiver()?;
        completions.resynchronise();
        region.to_client().disarm();
        Some(Self {
            pd,
            channel,
            region,
            block,
            scratch,
            epoch: Cell::new(region.epoch()),
            // Completions for an earlier incarnation have other numbers.
            next: Cell::new((pd.now() >> 10) as u32),
            queues: RefCell::new(Queues {
                commands: region.command_sender()?,
                completions,
                blocks: Arena::new(0, blocks),
                outstanding: 0,
                closing: Vec::new(),
            }),
            pipes: Cell::new(0),
            observed: RefCell::default(),
        })
    }

    /// Opens the session: the server closes what an earlier incarnation left.
    pub fn hello(&self, waiter: &Waiter) -> Result<(), Errno> {
        self.call(waiter, Request::Hello { version: VERSION })?;
        Ok(())
    }

    pub fn channel(&self) -> Channel {
        self.channel
    }

    pub fn memory(&self) -> SharedMemory {
        self.region.memory()
    }

    /// Bytes of a block.
    pub fn block_bytes(&self) -> usize {
        self.block
    }

    /// A free block.
    pub fn take_block(self: &Rc<Self>) -> Option<Block> {
        let number = self.queues.borrow_mut().blocks.alloc()?;
        Some(Block { vfs: self.clone(), number })
    }

    /// The scratch part, for the operation that is made now.
    pub fn scratch(&self) -> (usize, usize) {
        (DATA, self.scratch)
    }

    /// Changes when the server has dropped this client's open files.
    pub fn epoch(&self) -> u32 {
        self.epoch.get()
    }

    pub fn region(&self) -> &VfsRegion {
        &self.region
    }

    /// Whether the readiness of something can change.
    pub fn has_pipes(&self) -> bool {
        self.pipes.get() != 0
    }

    /// A pipe is opened, or closed.
    pub fn count_pipe(&self, open: bool) {
        let n = self.pipes.get();
        self.pipes.set(if open { n + 1 } else { n.saturating_sub(1) });
    }

    /// Gives changes of the pipe `file` to its watchers.
    pub fn observe(&self, file: Handle, watchers: &Rc<Watchers>) {
        let mut observed = self.observed.borrow_mut();
        observed.retain(|(f, w)| *f != file && w.strong_count() != 0);
        observed.push((file, Rc::downgrade(watchers)));
    }

    /// Takes the changes of pipes off the session and tells their watchers.
    pub fn take_events(&self) {
        self.region.events().take(|handle| {
            let observed = self.observed.borrow();
            let watchers = observed.iter().find(|(f, _)| *f as usize == handle).and_then(|(_, w)| w.upgrade());
            drop(observed);
            if let Some(watchers) = watchers {
                watchers.wake();
            }
        });
    }

    /// Puts a path into the scratch part.
    pub fn path(&self, path: &[u8]) -> Result<Buffer, Errno> {
        self.path_at(DATA, path)
    }

    /// Puts a second path there, where otherwise results go.
    pub fn second_path(&self, path: &[u8]) -> Result<Buffer, Errno> {
        self.path_at(DATA + RESULT, path)
    }

    fn path_at(&self, at: usize, path: &[u8]) -> Result<Buffer, Errno> {
        if path.len() > PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        self.memory().write(at, path).ok_or(Errno::EIO)?;
        Ok(Buffer { offset: at as u32, len: path.len() as u32 })
    }

    /// Makes an operation that gives bytes; as many as it says, and as fit, go
    /// to `into`.
    pub fn fetch(
        &self,
        waiter: &Waiter,
        into: &mut [u8],
        request: impl FnOnce(Buffer) -> Request,
    ) -> Result<usize, Errno> {
        let at = DATA + RESULT;
        let reply = self.call(waiter, request(Buffer { offset: at as u32, len: into.len().min(PAGE) as u32 }))?;
        let n = usize::try_from(reply.result).map_err(|_| Errno::EPROTO)?;
        self.memory().read(at, into.get_mut(..n).ok_or(Errno::EPROTO)?).ok_or(Errno::EPROTO)?;
        Ok(n)
    }

    /// Where the result of an operation goes that fills `T`.
    pub fn result<T>(&self) -> Buffer {
        Buffer { offset: (DATA + RESULT) as u32, len: size_of::<T>() as u32 }
    }

    /// Makes an operation that fills `T`.
    pub fn get<T: FromBytes + IntoBytes>(
        &self,
        waiter: &Waiter,
        request: impl FnOnce(Buffer) -> Request,
    ) -> Result<T, Errno> {
        let into = self.result::<T>();
        self.call(waiter, request(into))?;
        let mut value = T::new_zeroed();
        self.memory().read(into.offset as usize, value.as_mut_bytes()).ok_or(Errno::EIO)?;
        Ok(value)
    }

    /// Makes an operation that gives a [`Stat`].
    pub fn stat(&self, waiter: &Waiter, request: impl FnOnce(Buffer) -> Request) -> Result<Stat, Errno> {
        self.get(waiter, request)
    }

    /// Makes an operation that gives nothing.
    pub fn run(&self, waiter: &Waiter, request: Request) -> Result<(), Errno> {
        self.call(waiter, request).map(drop)
    }

    /// Makes an operation and waits for its end. EIO if the server has lost
    /// this client's state; it may begin again.
    pub fn call(&self, waiter: &Waiter, request: Request) -> Result<Completion, Errno> {
        let id = self.next_id();
        let mut submitted = false;
        loop {
            if !submitted {
                submitted = self.push(Some(request.encode(id)))?;
            }
            if let Some(completion) = self.take(id)? {
                return ended(completion);
            }
            if !submitted && self.queues.borrow().outstanding < ENTRIES {
                continue;
            }
            let signal = self.region.to_client();
            signal.arm();
            if !self.has_news() {
                waiter.sleep(None)?;
            }
            signal.disarm();
        }
    }

    /// Closes a file some time.
    pub fn close(&self, file: Handle) {
        if let Ok(mut queues) = self.queues.try_borrow_mut() {
            queues.closing.push(file);
        }
        // Should it fail, the server has closed all files.
        let _ = self.push(None);
    }

    fn next_id(&self) -> u32 {
        let id = self.next.get();
        self.next.set(id.wrapping_add(1));
        id
    }

    /// Submits what waits to be closed, then `command`, and tells the server.
    /// Returns whether there was room for it.
    fn push(&self, command: Option<Command>) -> Result<bool, Errno> {
        let mut queues = self.queues.borrow_mut();
        let mut room = true;
        while room && let Some(&file) = queues.closing.last() {
            room = queues.put(&Request::Close { file }.encode(self.next_id()))?;
            if room {
                queues.closing.pop();
            }
        }
        if let Some(command) = command {
            room = room && queues.put(&command)?;
        }
        if queues.commands.publish() && self.region.to_server().raise() {
            self.pd.notify(self.channel);
        }
        Ok(room)
    }

    fn has_news(&self) -> bool {
        self.region.epoch() != self.epoch.get() || self.queues.borrow_mut().completions.available() != Ok(0)
    }

    /// The completion of operation `id`, if it is there. Others belong to
    /// closed files: nobody waits for them.
    fn take(&self, id: u32) -> Result<Option<Completion>, Errno> {
        let mut queues = self.queues.borrow_mut();
        let queues = &mut *queues;
        let epoch = self.region.epoch();
        if epoch != self.epoch.get() {
            self.epoch.set(epoch);
            queues.closing.clear();
            queues.outstanding = 0;
            queues.completions.resynchronise();
            return Err(Errno::EIO);
        }
        let mut found = None;
        while found.is_none() {
            let Some(completion) = queues.completions.take().map_err(|_| Errno::EIO)? else { break };
            queues.outstanding = queues.outstanding.saturating_sub(1);
            if completion.id == id {
                found = Some(completion);
            }
        }
        queues.completions.release();
        Ok(found)
    }
}

fn ended(completion: Completion) -> Result<Completion, Errno> {
    if completion.result < 0 { Err(Errno::from_raw(completion.result.unsigned_abs())) } else { Ok(completion) }
}
