//! `File` and friends, shaped like those of `std::fs`.

use alloc::{string::String, vec::Vec};

use strait_abi::{
    Errno,
    vfs::{PATH_MAX, Stat, kind, mode, open, seek},
};

use crate::{Process, posix::Fd};

/// An open file; it is closed when dropped.
pub struct File {
    process: Process,
    fd: Fd,
}

/// What is known of a file.
#[derive(Debug, Clone, Copy)]
pub struct Metadata(Stat);

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    name: String,
    kind: u8,
}

/// How a file is to be opened.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    flags: u32,
    mode: Option<u32>,
}

impl OpenOptions {
    /// For nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn flag(&mut self, flag: u32, on: bool) -> &mut Self {
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
        self
    }

    /// To be read.
    pub fn read(&mut self, on: bool) -> &mut Self {
        self.read = on;
        self
    }

    /// To be written.
    pub fn write(&mut self, on: bool) -> &mut Self {
        self.write = on;
        self
    }

    /// To be written, always at the end.
    pub fn append(&mut self, on: bool) -> &mut Self {
        self.write |= on;
        self.flag(open::APPEND, on)
    }

    /// Emptied.
    pub fn truncate(&mut self, on: bool) -> &mut Self {
        self.flag(open::TRUNC, on)
    }

    /// Made if it is not there.
    pub fn create(&mut self, on: bool) -> &mut Self {
        self.flag(open::CREAT, on)
    }

    /// Made; EEXIST if it is there.
    pub fn create_new(&mut self, on: bool) -> &mut Self {
        self.flag(open::CREAT | open::EXCL, on)
    }

    /// The permissions of a file that is made; 0o666 less the umask if not
    /// given.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = Some(mode);
        self
    }

    /// Opens the file. EINVAL if it is neither to be read nor written.
    pub fn open(&self, process: &Process, path: impl AsRef<[u8]>) -> Result<File, Errno> {
        let access = match (self.read, self.write) {
            (true, false) => open::RDONLY,
            (false, true) => open::WRONLY,
            (true, true) => open::RDWR,
            (false, false) => return Err(Errno::EINVAL),
        };
        let fd = process.open(path, access | self.flags | open::CLOEXEC, self.mode.unwrap_or(0o666))?;
        Ok(File { process: process.clone(), fd })
    }
}

impl File {
    /// Opens a file for reading.
    pub fn open(process: &Process, path: impl AsRef<[u8]>) -> Result<Self, Errno> {
        OpenOptions::new().read(true).open(process, path)
    }

    /// Opens an empty file for writing, whether it was there or not.
    pub fn create(process: &Process, path: impl AsRef<[u8]>) -> Result<Self, Errno> {
        OpenOptions::new().write(true).create(true).truncate(true).open(process, path)
    }

    /// Writes at the position, which moves on.
    pub fn write(&self, from: &[u8]) -> Result<usize, Errno> {
        self.process.write(self.fd, from)
    }

    /// Writes at `offset`; the position stays.
    pub fn write_at(&self, from: &[u8], offset: u64) -> Result<usize, Errno> {
        self.process.pwrite(self.fd, from, offset)
    }

    /// Writes all of it. ENOSPC if not all of it could be.
    pub fn write_all(&self, mut from: &[u8]) -> Result<(), Errno> {
        while !from.is_empty() {
            match self.write(from)? {
                0 => return Err(Errno::ENOSPC),
                n => from = from.get(n..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    /// Cuts or lengthens it.
    pub fn set_len(&self, size: u64) -> Result<(), Errno> {
        self.process.ftruncate(self.fd, size)
    }

    /// Makes sure that what was written is kept.
    pub fn sync_all(&self) -> Result<(), Errno> {
        self.process.fsync(self.fd)
    }

    /// Its descriptor, for the calls of [`posix`](crate::posix).
    pub fn fd(&self) -> Fd {
        self.fd
    }

    /// What is known of it.
    pub fn metadata(&self) -> Result<Metadata, Errno> {
        self.process.fstat(self.fd).map(Metadata)
    }

    /// Reads at the position, which moves on. 0 at the end.
    pub fn read(&self, into: &mut [u8]) -> Result<usize, Errno> {
        self.process.read(self.fd, into)
    }

    /// Reads at `offset`; the position stays.
    pub fn read_at(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.process.pread(self.fd, into, offset)
    }

    /// Appends the rest of the file to `into`.
    pub fn read_to_end(&self, into: &mut Vec<u8>) -> Result<usize, Errno> {
        const STEP: usize = 4096;
        let before = into.len();
        loop {
            let at = into.len();
            into.try_reserve(STEP).map_err(|_| Errno::ENOMEM)?;
            into.resize(at + STEP, 0);
            let n = self.read(&mut into[at..]);
            into.truncate(at + *n.as_ref().unwrap_or(&0));
            if n? == 0 {
                return Ok(into.len() - before);
            }
        }
    }

    /// Sets the position, from the start of the file.
    pub fn seek(&self, position: u64) -> Result<u64, Errno> {
        self.process.lseek(self.fd, i64::try_from(position).map_err(|_| Errno::EINVAL)?, seek::SET)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = self.process.close(self.fd);
    }
}

#[allow(clippy::len_without_is_empty)] // as in std
impl Metadata {
    /// Bytes.
    pub fn len(&self) -> u64 {
        self.0.size
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.0.mode & mode::FORMAT == mode::DIRECTORY
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.0.mode & mode::FORMAT == mode::REGULAR
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.0.mode & mode::FORMAT == mode::SYMLINK
    }

    /// The permission bits.
    pub fn mode(&self) -> u32 {
        self.0.mode & mode::PERMISSIONS
    }

    /// All of it.
    pub fn stat(&self) -> &Stat {
        &self.0
    }
}

impl DirEntry {
    /// Its name; what is not UTF-8 is replaced.
    pub fn file_name(&self) -> &str {
        &self.name
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind == kind::DIRECTORY
    }
}

/// What is known of the file at `path`.
pub fn metadata(process: &Process, path: impl AsRef<[u8]>) -> Result<Metadata, Errno> {
    process.stat(path).map(Metadata)
}

/// All of a file.
pub fn read(process: &Process, path: impl AsRef<[u8]>) -> Result<Vec<u8>, Errno> {
    let mut all = Vec::new();
    File::open(process, path)?.read_to_end(&mut all)?;
    Ok(all)
}

/// What is known of the file at `path`, or of a symbolic link itself.
pub fn symlink_metadata(process: &Process, path: impl AsRef<[u8]>) -> Result<Metadata, Errno> {
    process.lstat(path).map(Metadata)
}

/// Makes `content` all that is in the file.
pub fn write(process: &Process, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Result<(), Errno> {
    File::create(process, path)?.write_all(content.as_ref())
}

/// Makes a directory.
pub fn create_dir(process: &Process, path: impl AsRef<[u8]>) -> Result<(), Errno> {
    process.mkdir(path, 0o777)
}

/// Removes an empty directory.
pub fn remove_dir(process: &Process, path: impl AsRef<[u8]>) -> Result<(), Errno> {
    process.rmdir(path)
}

/// Removes a file.
pub fn remove_file(process: &Process, path: impl AsRef<[u8]>) -> Result<(), Errno> {
    process.unlink(path)
}

/// Renames a file or directory, whatever had the new name before.
pub fn rename(process: &Process, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<(), Errno> {
    process.rename(from, to)
}

/// Gives a file a further name.
pub fn hard_link(process: &Process, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<(), Errno> {
    process.link(from, to)
}

/// What a symbolic link says.
pub fn read_link(process: &Process, path: impl AsRef<[u8]>) -> Result<Vec<u8>, Errno> {
    let mut target = alloc::vec![0; PATH_MAX];
    let n = process.readlink(path, &mut target)?;
    target.truncate(n);
    Ok(target)
}

/// The entries of a directory, without `.` and `..`.
pub fn read_dir(process: &Process, path: impl AsRef<[u8]>) -> Result<Vec<DirEntry>, Errno> {
    let fd = process.open(path, open::RDONLY | open::DIRECTORY, 0)?;
    let directory = File { process: process.clone(), fd };
    let mut entries = Vec::new();
    while process.list(directory.fd, |entry| {
        if entry.name != b"." && entry.name != b".." {
            entries.push(DirEntry { name: String::from_utf8_lossy(entry.name).into_owned(), kind: entry.kind });
        }
    })? {}
    Ok(entries)
}
