//! The descriptor table: small numbers for objects of all kinds.

use alloc::{rc::Rc, vec::Vec};

use strait_abi::Errno;

use crate::{
    file::OpenFile,
    object::{Description, Shared},
    socket::Socket,
};

/// A descriptor, as POSIX has them.
pub type Fd = i32;

/// The lowest descriptor that is handed out: 0, 1 and 2 are the standard
/// streams by convention, and only dup2 puts something there.
pub const FIRST: usize = 3;
/// Descriptors that a process can have unless it sets another limit
/// (RLIMIT_NOFILE).
pub const DEFAULT_LIMIT: usize = 1024;

/// What a descriptor stands for: an open file description in the words of
/// POSIX. Clones share it.
#[derive(Clone)]
pub enum Object {
    /// A socket.
    Socket(Rc<Socket>),
    /// A file or a directory.
    File(Rc<OpenFile>),
    /// What only has the calls that every descriptor has: pipes, epoll, ...
    Other(Shared),
}

impl Object {
    /// What it answers as any descriptor.
    pub fn description(&self) -> &dyn Description {
        match self {
            Self::Socket(socket) => &**socket,
            Self::File(file) => &**file,
            Self::Other(other) => &**other,
        }
    }

    /// The same, shared.
    pub fn shared(&self) -> Shared {
        match self {
            Self::Socket(socket) => socket.clone(),
            Self::File(file) => file.clone(),
            Self::Other(other) => other.clone(),
        }
    }
}

/// One entry of the table.
pub struct Descriptor {
    pub object: Object,
    pub close_on_exec: bool,
}

/// The table.
pub struct Table {
    entries: Vec<Option<Descriptor>>,
    limit: usize,
    /// All entries from [`FIRST`] up to here are in use.
    lowest: usize,
}

impl Table {
    pub fn new() -> Self {
        let mut entries = Vec::new();
        entries.resize_with(FIRST, || None);
        Self { entries, limit: DEFAULT_LIMIT, lowest: FIRST }
    }

    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(i32::MAX as usize);
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    #[inline]
    pub fn get(&self, fd: Fd) -> Result<&Descriptor, Errno> {
        self.entries.get(fd as usize).and_then(|e| e.as_ref()).ok_or(Errno::EBADF)
    }

    pub fn get_mut(&mut self, fd: Fd) -> Result<&mut Descriptor, Errno> {
        self.entries.get_mut(fd as usize).and_then(|e| e.as_mut()).ok_or(Errno::EBADF)
    }

    /// The lowest free number from `from` on; EMFILE at the limit.
    fn free(&self, from: usize) -> Result<usize, Errno> {
        let mut fd = from.max(FIRST);
        if from <= FIRST {
            fd = self.lowest;
        }
        while self.entries.get(fd).is_some_and(|e| e.is_some()) {
            fd += 1;
        }
        if fd < self.limit { Ok(fd) } else { Err(Errno::EMFILE) }
    }

    /// EMFILE if [`insert`](Self::insert) would fail.
    pub fn check_free(&mut self) -> Result<(), Errno> {
        self.lowest = self.free(0)?;
        Ok(())
    }

    /// Gives `object` the lowest free number from `from` on.
    pub fn insert(&mut self, object: Object, close_on_exec: bool, from: usize) -> Result<Fd, Errno> {
        let fd = self.free(from)?;
        if from <= FIRST {
            self.lowest = fd + 1;
        }
        self.put(fd, Descriptor { object, close_on_exec });
        Ok(fd as Fd)
    }

    fn put(&mut self, fd: usize, descriptor: Descriptor) -> Option<Descriptor> {
        if fd >= self.entries.len() {
            self.entries.resize_with(fd + 1, || None);
        }
        self.entries[fd].replace(descriptor)
    }

    /// Puts `object` at `fd` and returns what was there; EBADF beyond the limit.
    pub fn replace(&mut self, fd: Fd, object: Object, close_on_exec: bool) -> Result<Option<Descriptor>, Errno> {
        let at = usize::try_from(fd).ok().filter(|fd| *fd < self.limit).ok_or(Errno::EBADF)?;
        Ok(self.put(at, Descriptor { object, close_on_exec }))
    }

    /// Takes the object out.
    pub fn remove(&mut self, fd: Fd) -> Result<Descriptor, Errno> {
        let descriptor = self.entries.get_mut(fd as usize).and_then(|e| e.take()).ok_or(Errno::EBADF)?;
        let fd = fd as usize;
        if fd >= FIRST {
            self.lowest = self.lowest.min(fd);
        }
        Ok(descriptor)
    }
}
