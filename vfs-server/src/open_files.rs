//! Open file descriptions: what is open, whoever has a handle for it.
//!
//! A description lives as long as a session has a handle for it, or it is on
//! its way from one client to another (see [`Exports`]); the file that it
//! stands for lives as long, with or without a name.

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};

use strait_abi::{
    Errno,
    vfs::{
        Stat, mode, open,
        token::{Export, MAX_EXPORTS},
    },
};

use crate::{
    pipe::{End, PipeId, Pipes},
    tree::{Opened, Place, Tree},
};

/// Number of a description.
pub type FileId = u32;

/// An open file description.
#[derive(Debug, Clone, Copy)]
pub struct OpenFile {
    /// Where it is in the tree; a pipe of pipe(2) is nowhere.
    pub place: Option<Place>,
    /// The end of the pipe that it is.
    pub pipe: Option<(PipeId, End)>,
    /// Whether it may be read.
    pub readable: bool,
    /// Whether it may be written.
    pub writable: bool,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Its position, once several clients share it.
    pub position: u64,
    /// Whether they do.
    pub shared: bool,
    /// Status flags, once several clients share it.
    pub status: u32,
    references: u32,
}

/// All descriptions.
pub struct OpenFiles {
    slots: Vec<Option<OpenFile>>,
    free: Vec<FileId>,
    /// The pipes of FIFOs that are open.
    fifos: BTreeMap<Place, PipeId>,
    /// Pipes.
    pub pipes: Pipes,
    /// What is under way.
    pub exports: Exports,
}

impl OpenFiles {
    /// None yet.
    pub fn new(pipes: Pipes) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), fifos: BTreeMap::new(), pipes, exports: Exports::default() }
    }

    /// Descriptions that there are.
    pub fn count(&self) -> u64 {
        (self.slots.len() - self.free.len()) as u64
    }

    /// A description.
    pub fn get(&self, id: FileId) -> Result<&OpenFile, Errno> {
        self.slots.get(id as usize).and_then(|s| s.as_ref()).ok_or(Errno::EBADF)
    }

    /// A description, to be changed.
    pub fn get_mut(&mut self, id: FileId) -> Result<&mut OpenFile, Errno> {
        self.slots.get_mut(id as usize).and_then(|s| s.as_mut()).ok_or(Errno::EBADF)
    }

    /// Makes the description of what open(2) found. ENXIO for a FIFO that is to
    /// be written, has no reader, and may not be waited for.
    pub fn open(&mut self, tree: &mut Tree, opened: &Opened, flags: u32) -> Result<FileId, Errno> {
        let access = flags & open::ACCMODE;
        let path_only = flags & open::PATH != 0;
        let readable = !path_only && access != open::WRONLY;
        let writable = !path_only && access != open::RDONLY;
        let format = opened.stat.mode & mode::FORMAT;
        let mut pipe = None;
        if format == mode::FIFO && !path_only {
            let end = End { reads: readable, writes: writable };
            pipe = Some((self.fifo(opened.place, end, flags & open::NONBLOCK != 0)?, end));
        }
        tree.hold(opened.place);
        Ok(self.insert(OpenFile {
            place: Some(opened.place),
            pipe,
            readable,
            writable,
            is_directory: format == mode::DIRECTORY,
            position: 0,
            shared: false,
            status: 0,
            references: 1,
        }))
    }

    fn fifo(&mut self, place: Place, end: End, nonblocking: bool) -> Result<PipeId, Errno> {
        let there = self.fifos.get(&place).copied();
        let readers = there.map_or(0, |pipe| self.pipes.ends(pipe).0);
        if nonblocking && end.writes && !end.reads && readers == 0 {
            return Err(Errno::ENXIO);
        }
        let pipe = there.unwrap_or_else(|| self.pipes.make());
        self.fifos.insert(place, pipe);
        self.pipes.open(pipe, end);
        Ok(pipe)
    }

    /// pipe(2): the descriptions of its ends, to read and to write.
    pub fn make_pipe(&mut self) -> (FileId, FileId) {
        let pipe = self.pipes.make();
        let mut open = |reads| {
            let end = End { reads, writes: !reads };
            self.pipes.open(pipe, end);
            self.insert(OpenFile {
                place: None,
                pipe: Some((pipe, end)),
                readable: reads,
                writable: !reads,
                is_directory: false,
                position: 0,
                shared: false,
                status: 0,
                references: 1,
            })
        };
        (open(true), open(false))
    }

    fn insert(&mut self, file: OpenFile) -> FileId {
        match self.free.pop() {
            Some(free) => {
                self.slots[free as usize] = Some(file);
                free
            }
            None => {
                self.slots.push(Some(file));
                (self.slots.len() - 1) as FileId
            }
        }
    }

    /// One more has it.
    pub fn retain(&mut self, id: FileId) -> Result<(), Errno> {
        self.get_mut(id)?.references += 1;
        Ok(())
    }

    /// One less has it; the last one closes it.
    pub fn release(&mut self, tree: &mut Tree, id: FileId) {
        let Ok(file) = self.get_mut(id) else { return };
        file.references -= 1;
        if file.references != 0 {
            return;
        }
        let OpenFile { place, pipe, .. } = *file;
        self.slots[id as usize] = None;
        self.free.push(id);
        if let Some((pipe, end)) = pipe {
            self.pipes.close(pipe, end);
            if let Some(place) = place
                && self.pipes.ends(pipe) == (0, 0)
            {
                self.fifos.remove(&place);
            }
        }
        if let Some(place) = place {
            tree.release(place);
        }
    }

    /// fstat(2).
    pub fn stat(&self, tree: &mut Tree, id: FileId) -> Result<Stat, Errno> {
        let OpenFile { place, pipe, .. } = *self.get(id)?;
        // What waits in a pipe counts as its size, as on BSD.
        let size = pipe.map(|(pipe, _)| self.pipes.available(pipe));
        match place {
            Some(place) => tree.stat(place).map(|stat| Stat { size: size.unwrap_or(stat.size), ..stat }),
            None => Ok(Stat {
                size: size.unwrap_or(0),
                ino: u64::from(id) + 1,
                mode: mode::FIFO | 0o600,
                nlink: 1,
                block_size: 4096,
                ..Stat::default()
            }),
        }
    }

    /// Closes the open file of an export that will not arrive.
    pub fn drop_export(&mut self, tree: &mut Tree, export: Export) {
        if let Some(file) = self.exports.take(export, export.client()) {
            self.release(tree, file);
        }
    }

    /// `receiver` was handed an export: it is its own affair from here on. If it
    /// has too many that it does not open, the oldest is closed.
    pub fn hand_over(&mut self, tree: &mut Tree, export: Export, receiver: usize) {
        if let Some(oldest) = self.exports.hand_over(export, receiver) {
            self.release(tree, oldest);
        }
    }

    /// The client begins anew: closes what it was handed and did not open, and
    /// what it has given away, unless it `is_carried` by a message.
    pub fn drop_exports_of(&mut self, tree: &mut Tree, client: usize, is_carried: impl Fn(Export) -> bool) {
        for file in self.exports.end(client, is_carried) {
            self.release(tree, file);
        }
    }
}

/// Descriptions on their way from one client to another.
#[derive(Default)]
pub struct Exports {
    clients: Vec<Client>,
}

/// Those of one client.
#[derive(Default)]
struct Client {
    /// What it gave away and nobody has got yet, by place.
    given: Vec<Option<(Export, FileId)>>,
    /// What it was handed and has not opened yet, the oldest first.
    got: VecDeque<(Export, FileId)>,
}

impl Exports {
    fn client(&mut self, client: usize) -> &mut Client {
        if client >= self.clients.len() {
            self.clients.resize_with(client + 1, Client::default);
        }
        &mut self.clients[client]
    }

    /// Those that count for the client.
    pub fn count(&self, client: usize) -> usize {
        self.clients.get(client).map_or(0, |c| c.given.iter().flatten().count() + c.got.len())
    }

    /// All of them.
    pub fn count_all(&self) -> usize {
        (0..self.clients.len()).map(|client| self.count(client)).sum()
    }

    /// A free place for one more. ETOOMANYREFS if all [`MAX_EXPORTS`] are in
    /// use.
    pub fn place(&mut self, client: usize) -> Result<usize, Errno> {
        let given = &mut self.client(client).given;
        let free = given.iter().position(Option::is_none).unwrap_or(given.len());
        if free < MAX_EXPORTS { Ok(free) } else { Err(Errno::ETOOMANYREFS) }
    }

    /// Notes that `file`, retained for it, is on its way.
    pub fn put(&mut self, export: Export, file: FileId) {
        let given = &mut self.client(export.client()).given;
        if given.len() <= export.place() {
            given.resize(export.place() + 1, None);
        }
        given[export.place()] = Some((export, file));
    }

    fn given(&mut self, export: Export) -> Option<&mut Option<(Export, FileId)>> {
        let place = self.clients.get_mut(export.client())?.given.get_mut(export.place())?;
        Some(place).filter(|place| place.is_some_and(|(there, _)| there == export))
    }

    fn at(&self, export: Export, client: usize) -> Option<usize> {
        self.clients.get(client)?.got.iter().position(|(e, _)| *e == export)
    }

    /// The description of an export that `client` may open: one that nobody was
    /// handed, or it itself.
    pub fn get(&mut self, export: Export, client: usize) -> Option<FileId> {
        if let Some(place) = self.given(export) {
            return place.map(|(_, file)| file);
        }
        let at = self.at(export, client)?;
        self.clients[client].got.get(at).map(|(_, file)| *file)
    }

    /// The same; it has arrived.
    pub fn take(&mut self, export: Export, client: usize) -> Option<FileId> {
        if let Some(place) = self.given(export) {
            return place.take().map(|(_, file)| file);
        }
        let at = self.at(export, client)?;
        self.clients[client].got.remove(at).map(|(_, file)| file)
    }

    fn hand_over(&mut self, export: Export, receiver: usize) -> Option<FileId> {
        let handed = self.given(export)?.take()?;
        let got = &mut self.client(receiver).got;
        got.push_back(handed);
        if got.len() > MAX_EXPORTS { got.pop_front().map(|(_, file)| file) } else { None }
    }

    fn end(&mut self, client: usize, is_carried: impl Fn(Export) -> bool) -> Vec<FileId> {
        let Client { given, got } = self.client(client);
        let forgotten = |place: &mut Option<(Export, FileId)>| place.take_if(|(export, _)| !is_carried(*export));
        given.iter_mut().filter_map(forgotten).chain(got.drain(..)).map(|(_, file)| file).collect()
    }
}
