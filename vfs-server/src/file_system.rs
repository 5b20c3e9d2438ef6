//! What a file system provides.

use strait_abi::{Errno, vfs::Stat};
use strait_ring::SharedMemory;

/// A file, directory, ... of one file system: a number that it chooses. It
/// stays valid while the file is open.
pub type Node = u64;

/// One directory entry.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Number of the file.
    pub ino: u64,
    /// `strait_abi::vfs::kind`.
    pub kind: u8,
    /// Where to go on behind it; greater than 0.
    pub next: u64,
}

/// Where the bytes of a read go: a part of a client's session, which may
/// change at any time and is only ever written.
#[derive(Clone, Copy)]
pub struct Window {
    memory: SharedMemory,
    offset: usize,
    len: usize,
}

impl Window {
    /// The `len` bytes at `offset` in `memory`; `None` if they are not inside.
    pub fn new(memory: SharedMemory, offset: usize, len: usize) -> Option<Self> {
        (offset.checked_add(len)? <= memory.len()).then_some(Self { memory, offset, len })
    }

    /// Its size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts `bytes` at `at`; EFAULT, and nothing done, if they do not fit.
    pub fn write(&self, at: usize, bytes: &[u8]) -> Result<(), Errno> {
        self.place(at, bytes.len()).and_then(|to| self.memory.write(to, bytes)).ok_or(Errno::EFAULT)
    }

    /// Puts `len` bytes of another region at `at`, in one copy.
    pub fn copy(&self, at: usize, source: &SharedMemory, from: usize, len: usize) -> Result<(), Errno> {
        self.place(at, len).and_then(|to| self.memory.copy_from(to, source, from, len)).ok_or(Errno::EFAULT)
    }

    fn place(&self, at: usize, len: usize) -> Option<usize> {
        (at.checked_add(len)? <= self.len).then_some(self.offset + at)
    }
}

/// A file system. Names and offsets come from clients as they are: it must
/// answer in bounded time and must not panic, whatever they say.
///
/// `Stat::dev` is filled in by the tree.
pub trait FileSystem {
    /// Its kind, for the log.
    fn kind(&self) -> &'static str;

    /// Whether the contents of its files never change.
    fn is_constant(&self) -> bool {
        false
    }

    /// Its topmost directory.
    fn root(&self) -> Node;

    /// The file called `name` in `directory`, neither `.` nor `..`. ENOENT;
    /// ENOTDIR if that is no directory.
    fn lookup(&mut self, directory: Node, name: &[u8]) -> Result<Node, Errno>;

    /// The directory that `directory` is in; of the root, the root.
    fn parent(&mut self, directory: Node) -> Result<Node, Errno>;

    /// What is known of it.
    fn stat(&mut self, node: Node) -> Result<Stat, Errno>;

    /// Reads from `offset` on; returns how many bytes, 0 at or behind the end.
    fn read(&mut self, node: Node, offset: u64, into: Window) -> Result<usize, Errno>;

    /// Calls `emit` with each entry of `directory` but `.` and `..`, beginning
    /// at `from` (0 or an [`Entry::next`]), until it returns false.
    fn list(&mut self, directory: Node, from: u64, emit: &mut dyn FnMut(Entry<'_>) -> bool) -> Result<(), Errno>;

    /// Makes a regular file. File systems that cannot be written have this
    /// default.
    fn create(&mut self, directory: Node, name: &[u8], mode: u32) -> Result<Node, Errno> {
        let _ = (directory, name, mode);
        Err(Errno::EROFS)
    }

    /// A file is going to be opened for writing or truncated. As
    /// [`create`](Self::create).
    fn open_for_writing(&mut self, node: Node, truncate: bool) -> Result<(), Errno> {
        let _ = (node, truncate);
        Err(Errno::EROFS)
    }
}
