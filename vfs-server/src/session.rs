//! One client: its open files and the execution of its commands.
//!
//! Everything in the region may change at any time: a command is copied out,
//! then checked; a path is copied out, then walked; data is only written.

use alloc::vec::Vec;

use strait_abi::{
    Errno,
    vfs::{
        Buffer, CONSTANT, Command, Completion, Counters, EntryHeader, Handle, MAX_IO, PATH_MAX, ROOT, Receiver,
        Request, Sender, VERSION, VfsRegion, mode, open,
    },
};
use strait_ring::{Misbehaved, SharedMemory};
use zerocopy::IntoBytes;

use crate::{
    file_system::Window,
    tree::{Place, Target, Tree},
};

/// Most files that one client may have open.
pub const MAX_OPEN: usize = 256;
/// Most commands of one client in one turn.
const TURN_COMMANDS: u32 = 16;
/// Most bytes for one client in one turn, give or take one command.
const TURN_BYTES: u64 = MAX_IO as u64;

#[derive(Debug, Clone, Copy)]
struct OpenFile {
    place: Place,
    readable: bool,
}

/// The state of one session.
pub struct Session {
    region: VfsRegion,
    commands: Receiver<Command>,
    completions: Sender<Completion>,
    files: Vec<Option<OpenFile>>,
    counters: Counters,
}

/// What a command gives: the result and more of it.
type Outcome = Result<(i64, [u64; 2]), Errno>;

impl Session {
    /// The session in `memory`; `None` if that is no size for one.
    pub fn new(memory: SharedMemory) -> Option<Self> {
        let region = VfsRegion::new(memory)?;
        region.set_version();
        Some(Self {
            region,
            commands: region.command_receiver()?,
            completions: region.completion_sender()?,
            files: Vec::new(),
            counters: Counters::default(),
        })
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
        match (self.commands.available(), self.completions.room()) {
            (Ok(commands), Ok(room)) => commands > 0 && room > 0,
            // To be punished in the next turn.
            _ => true,
        }
    }

    /// One turn of bounded work. `all` are numbers that concern all sessions.
    /// Returns whether the client must be notified.
    pub fn turn(&mut self, tree: &mut Tree, all: &Counters) -> bool {
        let bytes = self.counters.bytes_read + TURN_BYTES;
        let mut news = false;
        for _ in 0..TURN_COMMANDS {
            match self.step(tree, all) {
                Ok(true) if self.counters.bytes_read < bytes => {}
                Ok(_) => break,
                Err(Misbehaved) => {
                    self.punish();
                    // It may be waiting for a completion that will not come.
                    news = true;
                    break;
                }
            }
        }
        self.commands.release();
        news |= self.completions.publish();
        let notify = news && self.region.to_client().raise();
        self.counters.notified += u64::from(notify);
        notify
    }

    /// Serves one command, if there is one and its completion has a place.
    fn step(&mut self, tree: &mut Tree, all: &Counters) -> Result<bool, Misbehaved> {
        if self.completions.room()? == 0 {
            return Ok(false);
        }
        let Some(command) = self.commands.take()? else { return Ok(false) };
        self.counters.commands += 1;
        let (result, extra) = Request::decode(&command)
            .and_then(|request| self.execute(tree, request, all))
            .unwrap_or_else(|errno| (-i64::from(errno.raw()), [0; 2]));
        self.completions.put(&Completion { id: command.id, reserved: 0, result, extra })
    }

    /// The client broke the protocol: all it had is gone, it may begin again.
    fn punish(&mut self) {
        self.close_all();
        self.commands.resynchronise();
        self.completions.resynchronise();
        self.region.next_epoch();
        self.counters.misbehaved += 1;
    }

    fn close_all(&mut self) {
        self.files.clear();
        self.counters.open = 0;
    }

    fn execute(&mut self, tree: &mut Tree, request: Request, all: &Counters) -> Outcome {
        match request {
            Request::Hello { version } => {
                self.close_all();
                if version == VERSION { Ok((0, [0; 2])) } else { Err(Errno::EPROTO) }
            }
            Request::Open { directory, path, flags, mode } => self.open(tree, directory, path, flags, mode),
            Request::Close { file } => {
                self.file(file)?;
                self.files[file as usize] = None;
                self.counters.open -= 1;
                Ok((0, [0; 2]))
            }
            Request::Read { file, offset, into } => {
                let file = self.file(file)?;
                if tree.is_directory(file.place)? {
                    return Err(Errno::EISDIR);
                }
                if !file.readable {
                    return Err(Errno::EBADF);
                }
                if i64::try_from(offset).is_err() {
                    return Err(Errno::EINVAL);
                }
                let n = tree.read(file.place, offset, self.window(into)?)?;
                self.counters.bytes_read += n as u64;
                Ok((n as i64, [0; 2]))
            }
            // There are no symbolic links yet that AT_SYMLINK_NOFOLLOW could
            // concern.
            Request::Stat { directory, path, flags: _, into } => {
                let place = self.lookup(tree, directory, path)?;
                self.put(into, tree.stat(place)?.as_bytes())
            }
            Request::FileStat { file, into } => {
                let stat = tree.stat(self.file(file)?.place)?;
                self.put(into, stat.as_bytes())
            }
            Request::ReadDirectory { file, offset, into } => self.list(tree, file, offset, into),
            Request::Counters { into } => {
                let counters = Counters { open_all: all.open_all, wakeups: all.wakeups, ..self.counters };
                self.put(into, counters.as_bytes())
            }
        }
    }

    fn file(&self, handle: Handle) -> Result<OpenFile, Errno> {
        self.files.get(handle as usize).copied().flatten().ok_or(Errno::EBADF)
    }

    /// Where data may go: EFAULT if not all of it is in the data area.
    fn window(&self, buffer: Buffer) -> Result<Window, Errno> {
        let (offset, len) = self.region.check(buffer).ok_or(Errno::EFAULT)?;
        Window::new(self.region.memory(), offset, len.min(MAX_IO)).ok_or(Errno::EFAULT)
    }

    fn put(&self, into: Buffer, bytes: &[u8]) -> Outcome {
        self.window(into)?.write(0, bytes)?;
        Ok((0, [0; 2]))
    }

    /// Calls `f` with a private copy of a path and the directory it begins at.
    fn with_path<T>(
        &self,
        tree: &mut Tree,
        directory: Handle,
        path: Buffer,
        f: impl FnOnce(&mut Tree, Place, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut buffer = [0; PATH_MAX];
        let (offset, len) = self.region.check(path).ok_or(Errno::EFAULT)?;
        let path = buffer.get_mut(..len).ok_or(Errno::ENAMETOOLONG)?;
        self.region.memory().read(offset, path).ok_or(Errno::EFAULT)?;
        let start = match directory {
            // An absolute path needs no beginning.
            _ if path.starts_with(b"/") => tree.root(),
            ROOT => tree.root(),
            handle => {
                let place = self.file(handle)?.place;
                if !tree.is_directory(place)? {
                    return Err(Errno::ENOTDIR);
                }
                place
            }
        };
        f(tree, start, path)
    }

    fn lookup(&self, tree: &mut Tree, directory: Handle, path: Buffer) -> Result<Place, Errno> {
        self.with_path(tree, directory, path, |tree, start, path| tree.find(start, path))
    }

    fn open(&mut self, tree: &mut Tree, directory: Handle, path: Buffer, flags: u32, permissions: u32) -> Outcome {
        if self.counters.open as usize >= MAX_OPEN {
            return Err(Errno::EMFILE);
        }
        let (place, writable) = self
            .with_path(tree, directory, path, |tree, start, path| open_place(tree, start, path, flags, permissions))?;
        let stat = tree.stat(place)?;
        let readable = flags & open::ACCMODE != open::WRONLY;
        if readable && stat.mode & 0o444 == 0 || writable && stat.mode & 0o222 == 0 {
            return Err(Errno::EACCES);
        }
        let file = Some(OpenFile { place, readable });
        let handle = match self.files.iter().position(Option::is_none) {
            Some(free) => {
                self.files[free] = file;
                free
            }
            None => {
                self.files.push(file);
                self.files.len() - 1
            }
        };
        self.counters.open += 1;
        self.counters.open_peak = self.counters.open_peak.max(self.counters.open);
        let constant = if tree.is_constant(place) { CONSTANT } else { 0 };
        Ok((handle as i64, [stat.size, u64::from(stat.mode) | constant]))
    }

    fn list(&self, tree: &mut Tree, file: Handle, from: u64, into: Buffer) -> Outcome {
        let directory = self.file(file)?.place;
        let window = self.window(into)?;
        let (mut used, mut next, mut result) = (0, from, Ok(()));
        tree.list(directory, from, &mut |entry| {
            let len = EntryHeader::record(entry.name.len());
            if len > window.len() - used {
                result = if used == 0 { Err(Errno::EINVAL) } else { Ok(()) };
                return false;
            }
            let header = EntryHeader {
                ino: entry.ino,
                next: entry.next,
                len: len as u16,
                kind: entry.kind,
                name_len: entry.name.len() as u8,
                reserved: [0; 4],
            };
            let mut record = [0; EntryHeader::record(u8::MAX as usize)];
            record[..EntryHeader::BYTES].copy_from_slice(header.as_bytes());
            record[EntryHeader::BYTES..][..entry.name.len()].copy_from_slice(entry.name);
            result = window.write(used, &record[..len]);
            (used, next) = (used + len, entry.next);
            result.is_ok()
        })?;
        result?;
        Ok((used as i64, [next, 0]))
    }
}

/// The file that open(2) with `flags` means, and whether it is to be written.
fn open_place(
    tree: &mut Tree,
    start: Place,
    path: &[u8],
    flags: u32,
    permissions: u32,
) -> Result<(Place, bool), Errno> {
    let has = |flag| flags & flag != 0;
    let writing = flags & open::ACCMODE != open::RDONLY;
    if flags & open::ACCMODE == open::ACCMODE || has(open::CREAT) && has(open::DIRECTORY) {
        return Err(Errno::EINVAL);
    }
    let place = match tree.walk(start, path)? {
        Target::Exists(_) if has(open::CREAT) && has(open::EXCL) => return Err(Errno::EEXIST),
        Target::Exists(place) => place,
        Target::Missing(directory, name) if has(open::CREAT) => {
            return Ok((tree.create(directory, name, permissions & mode::PERMISSIONS)?, writing));
        }
        Target::Missing(..) => return Err(Errno::ENOENT),
    };
    if tree.is_directory(place)? {
        if writing || has(open::CREAT) || has(open::TRUNC) {
            return Err(Errno::EISDIR);
        }
    } else if has(open::DIRECTORY) {
        return Err(Errno::ENOTDIR);
    } else if writing || has(open::TRUNC) {
        tree.open_for_writing(place, has(open::TRUNC))?;
    }
    Ok((place, writing))
}
