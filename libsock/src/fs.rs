//! `File` and friends, shaped like those of `std::fs`.

use alloc::{string::String, vec::Vec};

use strait_abi::{
    Errno,
    vfs::{Stat, kind, mode, open, seek},
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

impl File {
    /// Opens a file for reading.
    pub fn open(process: &Process, path: impl AsRef<[u8]>) -> Result<Self, Errno> {
        let fd = process.open(path, open::RDONLY, 0)?;
        Ok(Self { process: process.clone(), fd })
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
