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
    identity::Caller,
    pipe::{End, PipeId, Pipes},
    tree::{Opened, Place, Tree},
};

/// Number of a description.
pub type FileId = u32;

/// An open end of a pipe.
#[derive(Debug, Clone, Copy)]
pub struct OpenEnd {
    /// The pipe.
    pub pipe: PipeId,
    /// What can be done with it.
    pub end: End,
    /// See [`Pipes::open`].
    pub before: u32,
}

/// An open file description.
#[derive(Debug, Clone, Copy)]
pub struct OpenFile {
    /// Where it is in the tree.
    pub place: Place,
    /// The end of a pipe that it is.
    pub pipe: Option<OpenEnd>,
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
    /// The pipes of what is open of FIFOs and of pipe(2).
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
        // Who opens with 3 may neither read nor write, but ask.
        let readable = !path_only && matches!(access, open::RDONLY | open::RDWR);
        let writable = !path_only && matches!(access, open::WRONLY | open::RDWR);
        let format = opened.stat.mode & mode::FORMAT;
        let mut pipe = None;
        if format == mode::FIFO && !path_only {
            let end = End { reads: readable, writes: writable };
            pipe = Some(self.open_end(opened.place, end, flags & open::NONBLOCK != 0)?);
        }
        tree.hold(opened.place);
        Ok(self.insert(OpenFile {
            place: opened.place,
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

    fn open_end(&mut self, place: Place, end: End, nonblocking: bool) -> Result<OpenEnd, Errno> {
        let there = self.fifos.get(&place).copied();
        let readers = there.map_or(0, |pipe| self.pipes.ends(pipe).0);
        if nonblocking && end.writes && !end.reads && readers == 0 {
            return Err(Errno::ENXIO);
        }
        let pipe = there.unwrap_or_else(|| self.pipes.make());
        self.fifos.insert(place, pipe);
        Ok(OpenEnd { pipe, end, before: self.pipes.open(pipe, end) })
    }

    /// pipe(2): the descriptions of its ends, to read and to write.
    pub fn make_pipe(&mut self, tree: &mut Tree, caller: &Caller) -> Result<(FileId, FileId), Errno> {
        let place = tree.make_pipe(caller)?;
        let stat = tree.stat(place)?;
        let read = self.open(tree, &Opened { place, stat }, open::RDONLY);
        let write = self.open(tree, &Opened { place, stat }, open::WRONLY);
        tree.release(place);
        Ok((read?, write?))
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
        if let Some(OpenEnd { pipe, end, .. }) = pipe {
            self.pipes.close(pipe, end);
            if self.pipes.ends(pipe) == (0, 0) {
                self.fifos.remove(&place);
            }
        }
        tree.release(place);
    }

    /// fstat(2).
    pub fn stat(&self, tree: &mut Tree, id: FileId) -> Result<Stat, Errno> {
        tree.stat(self.get(id)?.place)
    }

    /// Bytes that wait in the pipe that it is.
    pub fn waiting(&self, id: FileId) -> Result<u64, Errno> {
        Ok(self.get(id)?.pipe.map_or(0, |end| self.pipes.available(end.pipe)))
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
