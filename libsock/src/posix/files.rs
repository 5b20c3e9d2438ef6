//! Files.

use alloc::rc::Rc;

use strait_abi::{
    Errno,
    vfs::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, Request, Stat, open},
};

use crate::{
    Process,
    descriptor::{Fd, Object},
    file::{OpenFile, RawEntry},
};

impl Process {
    /// open(2). The flags are O_RDONLY, ... of [`strait_abi::vfs::open`].
    pub fn open(&self, path: impl AsRef<[u8]>, flags: u32, mode: u32) -> Result<Fd, Errno> {
        self.openat(AT_FDCWD, path, flags, mode)
    }

    /// openat(2). Of a FIFO it waits for the other end, unless O_NONBLOCK is
    /// set.
    pub fn openat(&self, directory: Fd, path: impl AsRef<[u8]>, flags: u32, mode: u32) -> Result<Fd, Errno> {
        let start = self.directory(directory, path.as_ref())?;
        self.table().borrow_mut().check_free()?;
        let mode = mode & !self.files().umask.get();
        let file = OpenFile::open(self.vfs()?, self.waiter(), start, path.as_ref(), flags, mode)?;
        file.wait_for_peer(self)?;
        self.table().borrow_mut().insert(Object::File(Rc::new(file)), flags & open::CLOEXEC != 0, 0)
    }

    /// pread(2).
    pub fn pread(&self, fd: Fd, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        match self.object(fd)? {
            Object::File(file) => file.read_at(self.waiter(), offset, into),
            _ => Err(Errno::ESPIPE),
        }
    }

    /// pwrite(2).
    pub fn pwrite(&self, fd: Fd, from: &[u8], offset: u64) -> Result<usize, Errno> {
        match self.object(fd)? {
            Object::File(file) => file.write_at(self.waiter(), offset, from),
            _ => Err(Errno::ESPIPE),
        }
    }

    /// ftruncate(2).
    pub fn ftruncate(&self, fd: Fd, size: u64) -> Result<(), Errno> {
        self.regular(fd)?.truncate(self.waiter(), size)
    }

    /// truncate(2).
    pub fn truncate(&self, path: impl AsRef<[u8]>, size: u64) -> Result<(), Errno> {
        let directory = self.directory(AT_FDCWD, path.as_ref())?;
        let vfs = self.vfs()?;
        let path = vfs.path(path.as_ref())?;
        vfs.run(self.waiter(), Request::TruncatePath { directory, path, size })
    }

    /// fsync(2).
    pub fn fsync(&self, fd: Fd) -> Result<(), Errno> {
        self.regular(fd)?.sync(self.waiter())
    }

    /// fdatasync(2).
    pub fn fdatasync(&self, fd: Fd) -> Result<(), Errno> {
        self.fsync(fd)
    }

    /// lseek(2); see [`strait_abi::vfs::seek`].
    pub fn lseek(&self, fd: Fd, offset: i64, whence: u32) -> Result<u64, Errno> {
        match self.object(fd)? {
            Object::File(file) => file.seek(self.waiter(), offset, whence),
            _ => Err(Errno::ESPIPE),
        }
    }

    /// stat(2).
    pub fn stat(&self, path: impl AsRef<[u8]>) -> Result<Stat, Errno> {
        self.fstatat(AT_FDCWD, path, 0)
    }

    /// lstat(2).
    pub fn lstat(&self, path: impl AsRef<[u8]>) -> Result<Stat, Errno> {
        self.fstatat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)
    }

    /// fstatat(2).
    pub fn fstatat(&self, directory: Fd, path: impl AsRef<[u8]>, flags: u32) -> Result<Stat, Errno> {
        if path.as_ref().is_empty() && flags & AT_EMPTY_PATH != 0 && self.is_nowhere(directory)? {
            return self.fstat(directory);
        }
        let directory = self.directory(directory, path.as_ref())?;
        let vfs = self.vfs()?;
        let path = vfs.path(path.as_ref())?;
        vfs.stat(self.waiter(), |into| Request::Stat { directory, path, flags, into })
    }

    /// fstat(2).
    pub fn fstat(&self, fd: Fd) -> Result<Stat, Errno> {
        self.object(fd)?.description().stat(self)
    }

    /// Size of a file when it was opened, which costs no operation.
    pub fn size_at_open(&self, fd: Fd) -> Result<u64, Errno> {
        self.regular(fd).map(|file| file.size_at_open())
    }

    /// Whether the descriptor is an open directory.
    pub fn is_directory(&self, fd: Fd) -> Result<bool, Errno> {
        Ok(matches!(self.object(fd)?, Object::File(file) if file.is_directory()))
    }

    /// getdents(2), nearly: calls `f` with the next entries of a directory.
    /// Returns whether there were any.
    pub fn list(&self, fd: Fd, f: impl FnMut(RawEntry<'_>)) -> Result<bool, Errno> {
        self.directory_file(fd)?.list(self.waiter(), f)
    }

    fn directory_file(&self, fd: Fd) -> Result<Rc<OpenFile>, Errno> {
        match self.object(fd)? {
            Object::File(file) => Ok(file),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn regular(&self, fd: Fd) -> Result<Rc<OpenFile>, Errno> {
        match self.object(fd)? {
            Object::File(file) => Ok(file),
            _ => Err(Errno::EINVAL),
        }
    }
}
