//! One client: its open files and its commands.
//!
//! Everything in the region may change at any time: a command is copied out,
//! then checked; a path is copied out, then walked; data is copied once.
//!
//! A command that met something which is not ready (`disk::NOT_READY`) has left
//! nothing behind. It is *parked*, and run again from its beginning when a file
//! system has news; the session's further commands wait behind it, others'
//! sessions do not. So a command changes nothing here before all that it asks of
//! the tree has succeeded.

mod files;
mod paths;

use alloc::vec::Vec;

use strait_abi::{
    Errno,
    vfs::{Buffer, Command, Completion, Counters, Handle, MAX_IO, Receiver, Request, Sender, VERSION, VfsRegion},
};
use strait_ring::{Misbehaved, SharedMemory};
use zerocopy::IntoBytes;

pub use strait_abi::vfs::MAX_OPEN;

use crate::{
    file_system::Window,
    identity::Caller,
    open_files::{FileId, OpenEnd, OpenFile},
    pool::Payer,
    shared::{ClientIdentity, Shared},
};

/// Most commands of one client in one turn.
const TURN_COMMANDS: u32 = 16;
/// Most bytes for one client in one turn, give or take one command.
const TURN_BYTES: u64 = MAX_IO as u64;

/// A command to be run again.
struct Parked {
    command: Command,
    /// What [`FileSystem::sync`](crate::file_system::FileSystem::sync) gave it.
    ticket: Option<u64>,
}

/// The state of one session.
pub struct Session {
    /// Its place among the sessions.
    index: usize,
    identity: ClientIdentity,
    region: VfsRegion,
    commands: Receiver<Command>,
    completions: Sender<Completion>,
    files: Vec<Option<FileId>>,
    counters: Counters,
    parked: Option<Parked>,
    /// Whether there is sense in running it again.
    retry: bool,
    /// That of the command that runs.
    ticket: Option<u64>,
}

/// What a command gives: the result and more of it.
type Outcome = Result<(i64, [u64; 2]), Errno>;

const DONE: Outcome = Ok((0, [0; 2]));

impl Session {
    /// The session in `memory`, the `index`th; `None` if that is no size for
    /// one.
    pub fn new(memory: SharedMemory, index: usize, identity: ClientIdentity) -> Option<Self> {
        let region = VfsRegion::new(memory)?;
        region.set_version();
        Some(Self {
            index,
            identity,
            region,
            commands: region.command_receiver()?,
            completions: region.completion_sender()?,
            files: Vec::new(),
            counters: Counters::default(),
            parked: None,
            retry: false,
            ticket: None,
        })
    }

    /// A file system has news: what was parked may be ready.
    pub fn retry(&mut self) {
        self.retry = self.parked.is_some();
    }

    /// Its region.
    pub fn region(&self) -> VfsRegion {
        self.region
    }

    /// Open files.
    pub fn open_files(&self) -> u64 {
        self.counters.open
    }

    /// The signal by which the client wakes the server.
    pub fn signal(&self) -> strait_ring::signal::Signal<'static> {
        self.region.to_server()
    }

    /// Whether there is something to do.
    pub fn has_work(&mut self) -> bool {
        if self.parked.is_some() {
            return self.completions.room().map_or(true, |room| self.retry && room > 0);
        }
        match (self.commands.available(), self.completions.room()) {
            (Ok(commands), Ok(room)) => commands > 0 && room > 0,
            // To be punished in the next turn.
            _ => true,
        }
    }

    /// One turn of bounded work. Returns whether the client must be notified.
    pub fn turn(&mut self, shared: &mut Shared) -> bool {
        let moved = |c: &Counters| c.bytes_read + c.bytes_written;
        let bytes = moved(&self.counters) + TURN_BYTES;
        let mut news = false;
        for _ in 0..TURN_COMMANDS {
            match self.step(shared) {
                Ok(true) if moved(&self.counters) < bytes => {}
                Ok(_) => break,
                Err(Misbehaved) => {
                    self.punish(shared);
                    // It may be waiting for a completion that will not come.
                    news = true;
                    break;
                }
            }
        }
        self.commands.release();
        // Before the completions: who sees that a pipe is open finds its
        // readiness.
        shared.publish_pipes();
        news |= self.completions.publish();
        let notify = news && self.region.to_client().raise();
        self.counters.notified += u64::from(notify);
        notify
    }

    /// Serves one command, if there is one and its completion has a place.
    fn step(&mut self, shared: &mut Shared) -> Result<bool, Misbehaved> {
        if self.completions.room()? == 0 {
            return Ok(false);
        }
        let command = match self.parked.take_if(|_| self.retry) {
            Some(parked) => {
                self.ticket = parked.ticket;
                parked.command
            }
            None if self.parked.is_some() => return Ok(false),
            None => {
                let Some(command) = self.commands.take()? else { return Ok(false) };
                self.counters.commands += 1;
                command
            }
        };
        self.retry = false;
        shared.tree.begin(self.index);
        let outcome = Request::decode(&command).and_then(|request| self.execute(shared, request));
        let ticket = self.ticket.take();
        if shared.tree.finish(outcome.is_ok()) {
            self.parked = Some(Parked { command, ticket });
            return Ok(false);
        }
        if shared.tree.take_revoked()
            && let Some(tokens) = &shared.tokens
        {
            tokens.revoke();
        }
        let (result, extra) = outcome.unwrap_or_else(|errno| (-i64::from(errno.raw()), [0; 2]));
        self.completions.put(&Completion { id: command.id, reserved: 0, result, extra })
    }

    /// The client broke the protocol.
    fn punish(&mut self, shared: &mut Shared) {
        self.end(shared);
        self.counters.misbehaved += 1;
    }

    /// All that the client had is gone; it may begin again.
    pub fn end(&mut self, shared: &mut Shared) {
        self.close_all(shared);
        if self.parked.take().is_some() {
            // It is not going to be run again.
            shared.tree.begin(self.index);
            shared.tree.finish(false);
        }
        self.commands.resynchronise();
        self.completions.resynchronise();
        self.region.next_epoch();
        // Whatever it left there: its next word wakes the server.
        self.signal().arm();
        shared.publish_pipes();
    }

    /// The client's name.
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    fn close_all(&mut self, shared: &mut Shared) {
        for (handle, file) in core::mem::take(&mut self.files).into_iter().enumerate() {
            if let Some(id) = file {
                self.drop_handle(shared, handle as Handle, id);
            }
        }
        shared.drop_exports_of(self.index);
        self.counters.open = 0;
    }

    fn caller(&self, shared: &Shared) -> Caller {
        Caller { payer: self.index as Payer, uid: self.identity.uid, gid: self.identity.gid, now: shared.now }
    }

    fn execute(&mut self, shared: &mut Shared, request: Request) -> Outcome {
        match request {
            Request::Hello { version } => {
                self.close_all(shared);
                if version == VERSION { DONE } else { Err(Errno::EPROTO) }
            }
            Request::Close { file } => {
                let id = self.id(file)?;
                self.files[file as usize] = None;
                self.drop_handle(shared, file, id);
                self.counters.open -= 1;
                DONE
            }
            Request::Read { file, offset, into } => self.read(shared, file, offset, into),
            Request::Write { file, flags, offset, from } => self.write(shared, file, flags, offset, from),
            Request::Seek { file, offset, whence } => self.seek(shared, file, offset, whence),
            Request::Truncate { file, size } => self.truncate(shared, file, size),
            Request::Sync { file } => {
                let OpenFile { place, pipe: None, .. } = self.file(shared, file)? else {
                    // What passes through a pipe is nowhere.
                    return Err(Errno::EINVAL);
                };
                let ticket = *self.ticket.get_or_insert_with(|| shared.tree.sync(place));
                shared.tree.synced(place, ticket)?;
                DONE
            }
            Request::FileStat { file, into } => {
                let id = self.id(file)?;
                let stat = shared.files.stat(&mut shared.tree, id)?;
                self.put(into, stat.as_bytes())?;
                Ok((0, [shared.files.waiting(id)?, 0]))
            }
            Request::ReadDirectory { file, offset, into } => self.list(shared, file, offset, into),
            Request::Pipe => self.pipe(shared),
            Request::Export { file, flags, offset, into } => self.export(shared, file, flags, offset, into),
            Request::Import { token, keep } => self.import(shared, token, keep),
            Request::Counters { into } => {
                shared.take_news();
                let used = shared.pool.used_by(self.index as Payer);
                let (all, pages_peak) = shared.pool.used();
                let counters = Counters {
                    open_all: shared.counters.open_all,
                    wakeups: shared.counters.wakeups,
                    pages: used.pages,
                    inodes: used.inodes,
                    exports: shared.files.exports.count(self.index) as u64,
                    pages_all: all.pages,
                    pages_peak,
                    descriptions: shared.files.count(),
                    inodes_all: all.inodes,
                    exports_all: shared.files.exports.count_all() as u64,
                    pipes: shared.files.pipes.count() as u64,
                    ..self.counters
                };
                self.put(into, counters.as_bytes())
            }
            by_path => self.execute_by_path(shared, by_path),
        }
    }

    fn id(&self, handle: Handle) -> Result<FileId, Errno> {
        self.files.get(handle as usize).copied().flatten().ok_or(Errno::EBADF)
    }

    fn file(&self, shared: &Shared, handle: Handle) -> Result<OpenFile, Errno> {
        shared.files.get(self.id(handle)?).copied()
    }

    /// EMFILE if there is no handle to give for so many files more.
    fn check_free(&self, more: u64) -> Result<(), Errno> {
        if self.counters.open + more > MAX_OPEN as u64 { Err(Errno::EMFILE) } else { Ok(()) }
    }

    /// A handle for a description, which is the handle's from here on.
    fn add_handle(&mut self, shared: &mut Shared, id: FileId) -> Result<Handle, Errno> {
        let handle = match self.files.iter().position(Option::is_none) {
            Some(free) => {
                self.files[free] = Some(id);
                free
            }
            None => {
                self.files.push(Some(id));
                self.files.len() - 1
            }
        };
        self.counters.open += 1;
        self.counters.open_peak = self.counters.open_peak.max(self.counters.open);
        if let Some(OpenEnd { pipe, end, before }) = shared.files.get(id)?.pipe {
            shared.files.pipes.watch(pipe, self.index, handle as Handle, end, before);
        }
        Ok(handle as Handle)
    }

    fn drop_handle(&self, shared: &mut Shared, handle: Handle, id: FileId) {
        if let Ok(&OpenFile { pipe: Some(OpenEnd { pipe, .. }), .. }) = shared.files.get(id) {
            shared.files.pipes.unwatch(pipe, self.index, handle);
        }
        shared.files.release(&mut shared.tree, id);
    }

    /// Where data goes to or comes from: EFAULT if not all of it is in the
    /// data area.
    fn window(&self, buffer: Buffer) -> Result<Window, Errno> {
        let (offset, len) = self.region.check(buffer).ok_or(Errno::EFAULT)?;
        Window::new(self.region.memory(), offset, len.min(MAX_IO)).ok_or(Errno::EFAULT)
    }

    fn put(&self, into: Buffer, bytes: &[u8]) -> Outcome {
        self.window(into)?.write(0, bytes)?;
        DONE
    }
}
