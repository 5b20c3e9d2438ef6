//! The session with `vfs_server`: operations one at a time, and the blocks of
//! the data area.
//!
//! The server runs at a higher priority, so on one core an operation that
//! needs no disk is complete when the notification returns; only otherwise
//! the process sleeps.
//!
//! The data area begins with a *scratch* part for paths and small results,
//! used by one operation at a time. The rest are equal blocks, which files
//! that are read in sequence keep to read ahead.

use alloc::{rc::Rc, vec::Vec};
use core::cell::{Cell, RefCell};

use strait_abi::{
    Errno,
    vfs::{
        Buffer, Command, Completion, DATA, ENTRIES, Handle, PATH_MAX, Receiver, Request, STAT_BYTES, Sender, Stat,
        VERSION, VfsRegion,
        token::{TOKEN_BYTES, Token},
    },
};
use strait_pd::{Channel, PdRef};
use strait_ring::{PAGE, SharedMemory, arena::Arena};
use zerocopy::{FromZeros, IntoBytes};

use crate::wait::Waiter;

/// Largest block.
const MAX_BLOCK: usize = 32 * 1024;
/// The area is divided into about as many blocks.
const BLOCKS: usize = 64;
/// Where in the scratch part results go; paths stand before.
const RESULT: usize = PAGE;

const _: () = assert!(PATH_MAX <= RESULT && RESULT + STAT_BYTES <= 2 * PAGE);

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
        let scratch = block.max(2 * PAGE);
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

    /// Puts a path into the scratch part.
    pub fn path(&self, path: &[u8]) -> Result<Buffer, Errno> {
        if path.len() > PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        self.memory().write(DATA, path).ok_or(Errno::EIO)?;
        Ok(Buffer { offset: DATA as u32, len: path.len() as u32 })
    }

    /// Makes an operation that gives a [`Stat`].
    pub fn stat(&self, waiter: &Waiter, request: impl FnOnce(Buffer) -> Request) -> Result<Stat, Errno> {
        let at = DATA + RESULT;
        self.call(waiter, request(Buffer { offset: at as u32, len: STAT_BYTES as u32 }))?;
        let mut stat = Stat::new_zeroed();
        self.memory().read(at, stat.as_mut_bytes()).ok_or(Errno::EIO)?;
        Ok(stat)
    }

    /// Makes an operation that gives a [`Token`].
    pub fn token(&self, waiter: &Waiter, request: impl FnOnce(Buffer) -> Request) -> Result<Token, Errno> {
        let at = DATA + RESULT;
        self.call(waiter, request(Buffer { offset: at as u32, len: TOKEN_BYTES as u32 }))?;
        let mut token = Token::new_zeroed();
        self.memory().read(at, token.as_mut_bytes()).ok_or(Errno::EIO)?;
        Ok(token)
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
