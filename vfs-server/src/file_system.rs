//! What a file system provides.

use alloc::vec::Vec;

use strait_abi::{
    Errno,
    vfs::{ST_RDONLY, Stat, StatVfs},
};
use strait_ring::SharedMemory;

use crate::identity::Caller;

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

/// Where the bytes of a read go, or those of a write come from: a part of a
/// client's session, which may change at any time.
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

    /// Copies the bytes at `at` out; EFAULT, and nothing done, if they are not
    /// all inside.
    pub fn read(&self, at: usize, into: &mut [u8]) -> Result<(), Errno> {
        self.place(at, into.len()).and_then(|from| self.memory.read(from, into)).ok_or(Errno::EFAULT)
    }

    /// The first `len` bytes of it.
    #[must_use]
    pub fn cut(self, len: usize) -> Self {
        Self { len: self.len.min(len), ..self }
    }

    /// Puts `len` bytes of another region at `at`, in one copy.
    pub fn copy(&self, at: usize, source: &SharedMemory, from: usize, len: usize) -> Result<(), Errno> {
        self.place(at, len).and_then(|to| self.memory.copy_from(to, source, from, len)).ok_or(Errno::EFAULT)
    }

    fn place(&self, at: usize, len: usize) -> Option<usize> {
        (at.checked_add(len)? <= self.len).then_some(self.offset + at)
    }
}

/// What is made in a directory.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    /// Its kind and permissions.
    pub mode: u32,
    /// What a symbolic link says; of others empty.
    pub target: &'a [u8],
}

/// A file system. Names and offsets come from clients as they are: it must
/// answer in bounded time and must not panic, whatever they say.
///
/// Rights are not its business: the tree checks them, by what
/// [`stat`](Self::stat) says. Nor are mounts: `Stat::dev` is filled in by the
/// tree.
///
/// Whoever cannot be written has the defaults of the operations that change
/// something.
pub trait FileSystem {
    /// Its kind, for the log.
    fn kind(&self) -> &'static str;

    /// Whether the contents of its files never change.
    fn is_constant(&self) -> bool {
        false
    }

    /// Whether nothing of it can be changed: EROFS.
    fn is_read_only(&self) -> bool {
        true
    }

    /// Its topmost directory.
    fn root(&self) -> Node;

    /// The file called `name` in `directory`, neither `.` nor `..`. ENOENT;
    /// ENOTDIR if that is no directory.
    fn lookup(&mut self, directory: Node, name: &[u8]) -> Result<Node, Errno>;

    /// The directory that `directory` is in; of the root, the root.
    fn parent(&mut self, directory: Node) -> Result<Node, Errno>;

    /// Appends the name of `directory` in its parent. ENOENT if it was
    /// removed.
    fn name(&mut self, directory: Node, into: &mut Vec<u8>) -> Result<(), Errno>;

    /// What is known of it.
    fn stat(&mut self, node: Node) -> Result<Stat, Errno>;

    /// What statvfs(3) says, as `caller` sees it.
    fn stat_vfs(&mut self, caller: &Caller) -> Result<StatVfs, Errno> {
        let _ = caller;
        Ok(StatVfs { bsize: 4096, frsize: 4096, flag: ST_RDONLY, namemax: 255, ..StatVfs::default() })
    }

    /// Reads from `offset` on; returns how many bytes, 0 at or behind the end.
    fn read(&mut self, node: Node, offset: u64, into: Window) -> Result<usize, Errno>;

    /// Calls `emit` with each entry of `directory` but `.` and `..`, beginning
    /// at `from` (0 or an [`Entry::next`]), until it returns false. Of entries
    /// that stay there while somebody reads the directory in pieces, each is
    /// given once.
    fn list(&mut self, directory: Node, from: u64, emit: &mut dyn FnMut(Entry<'_>) -> bool) -> Result<(), Errno>;

    /// What a symbolic link says. EINVAL if it is none.
    fn read_link(&mut self, node: Node, into: &mut Vec<u8>) -> Result<(), Errno> {
        let _ = (node, into);
        Err(Errno::EINVAL)
    }

    /// The directory `name`, made if need be, for something to be mounted on;
    /// done at the start only.
    fn mount_point(&mut self, directory: Node, name: &[u8]) -> Result<Node, Errno>;

    /// The file is open, or otherwise in use: it must live on without a name.
    fn hold(&mut self, node: Node) {
        let _ = node;
    }

    /// Takes one [`hold`](Self::hold) back.
    fn release(&mut self, node: Node) {
        let _ = node;
    }

    /// Makes a file of any kind, with one name. EEXIST if the name is there.
    fn make(&mut self, caller: &Caller, directory: Node, name: &[u8], new: New<'_>) -> Result<Node, Errno> {
        let _ = (caller, directory, name, new);
        Err(Errno::EROFS)
    }

    /// Gives a file, which is no directory, a further name.
    fn link(&mut self, caller: &Caller, node: Node, directory: Node, name: &[u8]) -> Result<(), Errno> {
        let _ = (caller, node, directory, name);
        Err(Errno::EROFS)
    }

    /// Takes a name away: of a directory, which must be empty, if
    /// `is_directory`, or else of another file. EISDIR, ENOTDIR, ENOTEMPTY.
    fn unlink(&mut self, caller: &Caller, directory: Node, name: &[u8], is_directory: bool) -> Result<(), Errno> {
        let _ = (caller, directory, name, is_directory);
        Err(Errno::EROFS)
    }

    /// rename(2): the name `from` becomes `to`, whatever had that name before,
    /// as one step. EINVAL if a directory would come to be in itself.
    fn rename(&mut self, caller: &Caller, from: (Node, &[u8]), to: (Node, &[u8])) -> Result<(), Errno> {
        let _ = (caller, from, to);
        Err(Errno::EROFS)
    }

    /// Sets the permission bits.
    fn change_mode(&mut self, caller: &Caller, node: Node, mode: u32) -> Result<(), Errno> {
        let _ = (caller, node, mode);
        Err(Errno::EROFS)
    }

    /// Writes at `offset`; returns how many bytes, less than there are only for
    /// want of room.
    fn write(&mut self, caller: &Caller, node: Node, offset: u64, from: Window) -> Result<usize, Errno> {
        let _ = (caller, node, offset, from);
        Err(Errno::EROFS)
    }

    /// Sets the size.
    fn truncate(&mut self, caller: &Caller, node: Node, size: u64) -> Result<(), Errno> {
        let _ = (caller, node, size);
        Err(Errno::EROFS)
    }

    /// Begins to make sure that what was written outlives a loss of power, if
    /// anything does. What it gives is for [`synced`](Self::synced).
    fn sync(&mut self, node: Node) -> u64 {
        let _ = node;
        0
    }

    /// Whether what was written before [`sync`](Self::sync) gave `ticket` does
    /// now; otherwise `NOT_READY`. EIO if it never will.
    fn synced(&mut self, ticket: u64) -> Result<(), Errno> {
        let _ = ticket;
        Ok(())
    }

    /// An operation of the `client`th client begins, or is run again; each has
    /// one at a time.
    fn begin(&mut self, client: usize) {
        let _ = client;
    }

    /// Whether a step of the operation that runs was answered with
    /// [`NOT_READY`](crate::disk::NOT_READY), whatever became of that.
    fn is_blocked(&self) -> bool {
        false
    }

    /// A client's operation, which may have been several steps here, has
    /// ended; `done`: successfully. If not, it leaves nothing behind.
    ///
    /// So file systems that have to wait for a disk do not: they answer any
    /// step with [`NOT_READY`](crate::disk::NOT_READY), forget what the
    /// operation has done so far, and say by [`service`](Self::service) when
    /// there is sense in trying again.
    fn finish(&mut self, done: bool) {
        let _ = done;
    }

    /// Does what has nothing to do with any operation: talks to the disk.
    /// Whether operations that were not ready are to be run again.
    fn service(&mut self) -> bool {
        false
    }

    /// What a developer should know, once: for the log.
    fn trouble(&mut self) -> Option<&'static str> {
        None
    }

    /// The server is about to sleep: asks for a wake-up. Whether there is
    /// something to do already.
    fn arm(&mut self) -> bool {
        false
    }
}
