//! Names of files: what is made, linked, renamed, removed, and where paths
//! begin.

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

use strait_abi::{
    Errno,
    vfs::{
        AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, Handle, PATH_MAX, ROOT, Request, StatVfs, mode, open,
        token::{TOKEN_BYTES, Token},
    },
};
use zerocopy::IntoBytes;

use crate::{
    Process,
    descriptor::{Fd, Object},
    file::OpenFile,
};

/// What a process has besides its descriptors.
pub(crate) struct Files {
    /// umask(2); at first nobody else may write.
    pub umask: Cell<u32>,
    /// The working directory; the root if there is none.
    current: RefCell<Option<Rc<OpenFile>>>,
}

impl Default for Files {
    fn default() -> Self {
        Self { umask: Cell::new(0o022), current: RefCell::new(None) }
    }
}

impl Process {
    /// The handle that stands for a directory descriptor of an *at call.
    pub(super) fn directory(&self, fd: Fd, path: &[u8]) -> Result<Handle, Errno> {
        if path.starts_with(b"/") {
            return Ok(ROOT);
        }
        if fd == AT_FDCWD {
            return self.files().current.borrow().as_ref().map_or(Ok(ROOT), |current| current.handle());
        }
        match self.object(fd)? {
            Object::File(file) if file.is_directory() || path.is_empty() => file.handle(),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn masked(&self, mode: u32) -> u32 {
        mode & !self.files().umask.get()
    }

    /// umask(2): sets the permissions that new files do not get, and gives those
    /// before.
    pub fn umask(&self, mask: u32) -> u32 {
        self.files().umask.replace(mask & 0o777)
    }

    /// chdir(2).
    pub fn chdir(&self, path: impl AsRef<[u8]>) -> Result<(), Errno> {
        let start = self.directory(AT_FDCWD, path.as_ref())?;
        let flags = open::PATH | open::DIRECTORY;
        let directory = OpenFile::open(self.vfs()?, self.waiter(), start, path.as_ref(), flags, 0)?;
        self.work_in(Rc::new(directory))
    }

    /// fchdir(2).
    pub fn fchdir(&self, fd: Fd) -> Result<(), Errno> {
        match self.object(fd)? {
            Object::File(file) if file.is_directory() => self.work_in(file),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn work_in(&self, directory: Rc<OpenFile>) -> Result<(), Errno> {
        // It must be searchable.
        let flags = AT_EMPTY_PATH;
        let vfs = self.vfs()?;
        let (directory_handle, path) = (directory.handle()?, vfs.path(b"")?);
        vfs.run(self.waiter(), Request::Access { directory: directory_handle, path, flags, mode: 1 })?;
        let before = self.files().current.replace(Some(directory));
        drop(before);
        Ok(())
    }

    /// getcwd(3): writes the path of the working directory to `into`, without a
    /// NUL, and gives its length. ERANGE if it is too short; ENOENT if the
    /// directory was removed.
    pub fn getcwd(&self, into: &mut [u8]) -> Result<usize, Errno> {
        if into.is_empty() {
            return Err(Errno::EINVAL);
        }
        let directory = self.directory(AT_FDCWD, b"")?;
        self.vfs()?.fetch(self.waiter(), into, |into| Request::RealPath { directory, into })
    }

    /// mkdir(2).
    pub fn mkdir(&self, path: impl AsRef<[u8]>, mode: u32) -> Result<(), Errno> {
        self.mkdirat(AT_FDCWD, path, mode)
    }

    /// mkdirat(2).
    pub fn mkdirat(&self, directory: Fd, path: impl AsRef<[u8]>, mode: u32) -> Result<(), Errno> {
        let (directory, vfs) = (self.directory(directory, path.as_ref())?, self.vfs()?);
        let (path, mode) = (vfs.path(path.as_ref())?, self.masked(mode));
        vfs.run(self.waiter(), Request::MakeDirectory { directory, path, mode })
    }

    /// mknod(2): S_IFREG, S_IFIFO, S_IFSOCK; `device` means nothing to them.
    pub fn mknod(&self, path: impl AsRef<[u8]>, mode: u32, device: u64) -> Result<(), Errno> {
        self.mknodat(AT_FDCWD, path, mode, device)
    }

    /// mknodat(2).
    pub fn mknodat(&self, directory: Fd, path: impl AsRef<[u8]>, mode: u32, _device: u64) -> Result<(), Errno> {
        let (directory, vfs) = (self.directory(directory, path.as_ref())?, self.vfs()?);
        let (path, mode) = (vfs.path(path.as_ref())?, self.masked(mode));
        vfs.run(self.waiter(), Request::MakeNode { directory, path, mode })
    }

    /// mkfifo(3).
    pub fn mkfifo(&self, path: impl AsRef<[u8]>, mode: u32) -> Result<(), Errno> {
        self.mknod(path, mode::FIFO | mode & mode::PERMISSIONS, 0)
    }

    /// mkfifoat(3).
    pub fn mkfifoat(&self, directory: Fd, path: impl AsRef<[u8]>, mode: u32) -> Result<(), Errno> {
        self.mknodat(directory, path, mode::FIFO | mode & mode::PERMISSIONS, 0)
    }

    /// unlink(2).
    pub fn unlink(&self, path: impl AsRef<[u8]>) -> Result<(), Errno> {
        self.unlinkat(AT_FDCWD, path, 0)
    }

    /// rmdir(2).
    pub fn rmdir(&self, path: impl AsRef<[u8]>) -> Result<(), Errno> {
        self.unlinkat(AT_FDCWD, path, AT_REMOVEDIR)
    }

    /// unlinkat(2).
    pub fn unlinkat(&self, directory: Fd, path: impl AsRef<[u8]>, flags: u32) -> Result<(), Errno> {
        let (directory, vfs) = (self.directory(directory, path.as_ref())?, self.vfs()?);
        let path = vfs.path(path.as_ref())?;
        vfs.run(self.waiter(), Request::Unlink { directory, path, flags })
    }

    /// rename(2).
    pub fn rename(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<(), Errno> {
        self.renameat2(AT_FDCWD, from, AT_FDCWD, to, 0)
    }

    /// renameat(2).
    pub fn renameat(
        &self,
        directory: Fd,
        from: impl AsRef<[u8]>,
        to_directory: Fd,
        to: impl AsRef<[u8]>,
    ) -> Result<(), Errno> {
        self.renameat2(directory, from, to_directory, to, 0)
    }

    /// renameat2(2): of the flags, RENAME_NOREPLACE.
    pub fn renameat2(
        &self,
        directory: Fd,
        from: impl AsRef<[u8]>,
        to_directory: Fd,
        to: impl AsRef<[u8]>,
        flags: u32,
    ) -> Result<(), Errno> {
        let directory = self.directory(directory, from.as_ref())?;
        let (to_directory, vfs) = (self.directory(to_directory, to.as_ref())?, self.vfs()?);
        let (path, to) = (vfs.path(from.as_ref())?, vfs.second_path(to.as_ref())?);
        vfs.run(self.waiter(), Request::Rename { directory, path, to_directory, to, flags })
    }

    /// link(2).
    pub fn link(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<(), Errno> {
        self.linkat(AT_FDCWD, from, AT_FDCWD, to, 0)
    }

    /// linkat(2): of the flags, AT_SYMLINK_FOLLOW.
    pub fn linkat(
        &self,
        directory: Fd,
        from: impl AsRef<[u8]>,
        to_directory: Fd,
        to: impl AsRef<[u8]>,
        flags: u32,
    ) -> Result<(), Errno> {
        let directory = self.directory(directory, from.as_ref())?;
        let (to_directory, vfs) = (self.directory(to_directory, to.as_ref())?, self.vfs()?);
        let (path, to) = (vfs.path(from.as_ref())?, vfs.second_path(to.as_ref())?);
        vfs.run(self.waiter(), Request::Link { directory, path, to_directory, to, flags })
    }

    /// symlink(2): `path` will lead to `target`.
    pub fn symlink(&self, target: impl AsRef<[u8]>, path: impl AsRef<[u8]>) -> Result<(), Errno> {
        self.symlinkat(target, AT_FDCWD, path)
    }

    /// symlinkat(2).
    pub fn symlinkat(&self, target: impl AsRef<[u8]>, directory: Fd, path: impl AsRef<[u8]>) -> Result<(), Errno> {
        let (directory, vfs) = (self.directory(directory, path.as_ref())?, self.vfs()?);
        let (target, path) = (vfs.path(target.as_ref())?, vfs.second_path(path.as_ref())?);
        vfs.run(self.waiter(), Request::SymbolicLink { target, directory, path })
    }

    /// readlink(2): what the link says, as much as fits.
    pub fn readlink(&self, path: impl AsRef<[u8]>, into: &mut [u8]) -> Result<usize, Errno> {
        self.readlinkat(AT_FDCWD, path, into)
    }

    /// readlinkat(2).
    pub fn readlinkat(&self, fd: Fd, path: impl AsRef<[u8]>, into: &mut [u8]) -> Result<usize, Errno> {
        if path.as_ref().is_empty() && (fd == AT_FDCWD || self.is_nowhere(fd)?) {
            return Err(Errno::ENOENT);
        }
        let (directory, vfs) = (self.directory(fd, path.as_ref())?, self.vfs()?);
        let path = vfs.path(path.as_ref())?;
        let fits = into.len().min(PATH_MAX);
        vfs.fetch(self.waiter(), &mut into[..fits], |into| Request::ReadLink { directory, path, into })
    }

    /// access(2); see [`strait_abi::vfs::access`].
    pub fn access(&self, path: impl AsRef<[u8]>, mode: u32) -> Result<(), Errno> {
        self.faccessat(AT_FDCWD, path, mode, 0)
    }

    /// faccessat(2).
    pub fn faccessat(&self, directory: Fd, path: impl AsRef<[u8]>, mode: u32, flags: u32) -> Result<(), Errno> {
        let (directory, vfs) = (self.directory(directory, path.as_ref())?, self.vfs()?);
        let path = vfs.path(path.as_ref())?;
        vfs.run(self.waiter(), Request::Access { directory, path, flags, mode })
    }

    /// chmod(2).
    pub fn chmod(&self, path: impl AsRef<[u8]>, mode: u32) -> Result<(), Errno> {
        self.fchmodat(AT_FDCWD, path, mode, 0)
    }

    /// fchmod(2). Of a socket: what bind(2) gives its node. EOPNOTSUPP for what
    /// is neither.
    pub fn fchmod(&self, fd: Fd, mode: u32) -> Result<(), Errno> {
        match self.object(fd)? {
            Object::File(file) if file.flags.get() & open::PATH != 0 => Err(Errno::EBADF),
            Object::File(_) => self.fchmodat(fd, b"", mode, AT_EMPTY_PATH),
            Object::Socket(socket) => {
                socket.mode.set(mode & mode::PERMISSIONS);
                Ok(())
            }
            Object::Other(_) => Err(Errno::EOPNOTSUPP),
        }
    }

    /// fchmodat(2): of the flags, AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH.
    pub fn fchmodat(&self, directory: Fd, path: impl AsRef<[u8]>, mode: u32, flags: u32) -> Result<(), Errno> {
        if path.as_ref().is_empty() && flags & AT_EMPTY_PATH != 0 && self.is_nowhere(directory)? {
            return self.fchmod(directory, mode);
        }
        let (directory, vfs) = (self.directory(directory, path.as_ref())?, self.vfs()?);
        let (path, mode) = (vfs.path(path.as_ref())?, mode & mode::PERMISSIONS);
        vfs.run(self.waiter(), Request::ChangeMode { directory, path, flags, mode })
    }

    /// Whether a descriptor stands for something that `vfs_server` does not know.
    pub(super) fn is_nowhere(&self, fd: Fd) -> Result<bool, Errno> {
        Ok(fd != AT_FDCWD && !matches!(self.object(fd)?, Object::File(_)))
    }

    /// statvfs(3).
    pub fn statvfs(&self, path: impl AsRef<[u8]>) -> Result<StatVfs, Errno> {
        self.statvfs_of(AT_FDCWD, path.as_ref(), 0)
    }

    /// fstatvfs(3).
    pub fn fstatvfs(&self, fd: Fd) -> Result<StatVfs, Errno> {
        if self.is_nowhere(fd)? {
            return Ok(StatVfs { bsize: 4096, frsize: 4096, namemax: 255, ..StatVfs::default() });
        }
        self.statvfs_of(fd, b"", AT_EMPTY_PATH)
    }

    fn statvfs_of(&self, directory: Fd, path: &[u8], flags: u32) -> Result<StatVfs, Errno> {
        let (directory, vfs) = (self.directory(directory, path)?, self.vfs()?);
        let path = vfs.path(path)?;
        vfs.get(self.waiter(), |into| Request::StatVfs { directory, path, flags, into })
    }

    /// pipe2(2): the ends to read and to write. Of the flags, O_NONBLOCK and
    /// O_CLOEXEC. `vfs_server` keeps the pipe, so that its ends can be passed to
    /// other processes; without a session with it, ENOSYS.
    pub fn pipe2(&self, flags: u32) -> Result<(Fd, Fd), Errno> {
        if flags & !(open::NONBLOCK | open::CLOEXEC) != 0 {
            return Err(Errno::EINVAL);
        }
        let (read, write) = OpenFile::pipe(self.vfs()?, self.waiter(), flags)?;
        let close_on_exec = flags & open::CLOEXEC != 0;
        let mut table = self.table().borrow_mut();
        let read = table.insert(Object::File(Rc::new(read)), close_on_exec, 0)?;
        match table.insert(Object::File(Rc::new(write)), close_on_exec, 0) {
            Ok(write) => Ok((read, write)),
            Err(e) => {
                let removed = table.remove(read);
                drop(table);
                drop(removed);
                Err(e)
            }
        }
    }

    /// Makes a socket node for bind(2), and gives the token that proves it to
    /// `net_server`. EEXIST if the name is there.
    pub(crate) fn socket_token_make(&self, path: &[u8], mode: u32) -> Result<[u8; TOKEN_BYTES], Errno> {
        let (directory, vfs) = (self.directory(AT_FDCWD, path)?, self.vfs()?);
        let (path, mode) = (vfs.path(path)?, self.masked(mode));
        let token: Token = vfs.get(self.waiter(), |into| Request::MakeSocket { directory, path, mode, into })?;
        Ok(bytes_of(&token))
    }

    /// Finds the socket node at `path` for connect(2), and gives the token that
    /// proves the right to it to `net_server`. ECONNREFUSED if it is another
    /// kind of file.
    pub(crate) fn socket_token(&self, path: &[u8]) -> Result<[u8; TOKEN_BYTES], Errno> {
        let (directory, vfs) = (self.directory(AT_FDCWD, path)?, self.vfs()?);
        let path = vfs.path(path)?;
        let token: Token = vfs.get(self.waiter(), |into| Request::FindSocket { directory, path, into })?;
        Ok(bytes_of(&token))
    }

    /// A token for an open file, to be carried to another process.
    #[cfg(test)]
    pub(crate) fn export_file(&self, fd: Fd) -> Result<[u8; TOKEN_BYTES], Errno> {
        let mut token = [0; TOKEN_BYTES];
        self.regular(fd)?.export(self.waiter(), &mut token)?;
        Ok(token)
    }

    /// Opens the file that another process gave a token for.
    #[cfg(test)]
    pub(crate) fn import_file(&self, token: &[u8], close_on_exec: bool) -> Result<Fd, Errno> {
        self.table().borrow_mut().check_free()?;
        let file = OpenFile::import(self.vfs()?, self.waiter(), token, false)?;
        self.table().borrow_mut().insert(Object::File(Rc::new(file)), close_on_exec, 0)
    }
}

fn bytes_of(token: &Token) -> [u8; TOKEN_BYTES] {
    let mut bytes = [0; TOKEN_BYTES];
    bytes.copy_from_slice(token.as_bytes());
    bytes
}
