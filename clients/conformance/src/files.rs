//! The calls on files, as [`posix`](crate::posix) has those on sockets.

use alloc::{string::String, vec::Vec};

pub use strait_abi::vfs::{
    AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW, PIPE_BUF, PIPE_BYTES,
    RENAME_NOREPLACE, ST_RDONLY, Stat, StatVfs, access, kind, mode, open, seek,
};
use strait_libsock::Process;

use crate::{
    case::{DISK, Failure, Outcome, gives, ok},
    posix::{Errno, Fd, Posix, Result},
    test::Test,
};

macro_rules! calls {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        /// A world with files.
        #[allow(missing_docs)] // named as POSIX names them
        pub trait Files {
            /// A directory on a file system that can be written, and can do
            /// whatever there is.
            fn scratch(&self) -> String;

            /// One on a disk.
            fn disk(&self) -> String;

            /// A directory of another user, if this one has no privileges.
            fn foreign(&self) -> String;

            /// Whether permissions are to be looked at although this is the
            /// superuser: what it makes is its own, as anybody's.
            fn set_unprivileged(&self, on: bool) -> Result<()>;

            $(fn $name(&self $(, $arg: $type)*) -> Result<$result>;)*
        }
    };
}

calls! {
    fn openat(directory: Fd, path: &str, flags: u32, mode: u32) -> Fd;
    fn pread(fd: Fd, into: &mut [u8], offset: u64) -> usize;
    fn pwrite(fd: Fd, from: &[u8], offset: u64) -> usize;
    fn lseek(fd: Fd, offset: i64, whence: u32) -> u64;
    fn ftruncate(fd: Fd, size: u64) -> ();
    fn truncate(path: &str, size: u64) -> ();
    fn fsync(fd: Fd) -> ();
    fn fdatasync(fd: Fd) -> ();
    fn fstat(fd: Fd) -> Stat;
    fn fstatat(directory: Fd, path: &str, flags: u32) -> Stat;
    fn faccessat(directory: Fd, path: &str, mode: u32) -> ();
    fn fchmod(fd: Fd, mode: u32) -> ();
    fn fchmodat(directory: Fd, path: &str, mode: u32) -> ();
    fn linkat(directory: Fd, from: &str, to_directory: Fd, to: &str, flags: u32) -> ();
    fn symlinkat(target: &str, directory: Fd, path: &str) -> ();
    fn readlinkat(directory: Fd, path: &str, into: &mut [u8]) -> usize;
    fn renameat2(directory: Fd, from: &str, to_directory: Fd, to: &str, flags: u32) -> ();
    fn unlinkat(directory: Fd, path: &str, flags: u32) -> ();
    fn mkdirat(directory: Fd, path: &str, mode: u32) -> ();
    fn mknodat(directory: Fd, path: &str, mode: u32) -> ();
    fn list(fd: Fd) -> Vec<(String, u8)>;
    fn statvfs(path: &str) -> StatVfs;
    fn fstatvfs(fd: Fd) -> StatVfs;
    fn umask(mask: u32) -> u32;
    fn getcwd(into: &mut [u8]) -> usize;
    fn chdir(path: &str) -> ();
    fn fchdir(fd: Fd) -> ();
    fn sendfile(to: Fd, from: Fd, offset: Option<&mut u64>, count: usize) -> usize;
}

/// Passes the calls on.
macro_rules! same {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(&self $(, $arg: $type)*) -> Result<$result> {
            Process::$name(self $(, $arg)*)
        })*
    };
}

impl Files for Process {
    fn scratch(&self) -> String {
        "/tmp".into()
    }

    fn disk(&self) -> String {
        "/disk".into()
    }

    fn foreign(&self) -> String {
        // It is root's.
        "/tmp".into()
    }

    fn set_unprivileged(&self, _: bool) -> Result<()> {
        // The suite is a user as any other.
        Ok(())
    }

    same! {
        fn openat(directory: Fd, path: &str, flags: u32, mode: u32) -> Fd;
        fn pread(fd: Fd, into: &mut [u8], offset: u64) -> usize;
        fn pwrite(fd: Fd, from: &[u8], offset: u64) -> usize;
        fn lseek(fd: Fd, offset: i64, whence: u32) -> u64;
        fn ftruncate(fd: Fd, size: u64) -> ();
        fn truncate(path: &str, size: u64) -> ();
        fn fsync(fd: Fd) -> ();
        fn fdatasync(fd: Fd) -> ();
        fn fstat(fd: Fd) -> Stat;
        fn fstatat(directory: Fd, path: &str, flags: u32) -> Stat;
        fn fchmod(fd: Fd, mode: u32) -> ();
        fn linkat(directory: Fd, from: &str, to_directory: Fd, to: &str, flags: u32) -> ();
        fn symlinkat(target: &str, directory: Fd, path: &str) -> ();
        fn readlinkat(directory: Fd, path: &str, into: &mut [u8]) -> usize;
        fn renameat2(directory: Fd, from: &str, to_directory: Fd, to: &str, flags: u32) -> ();
        fn unlinkat(directory: Fd, path: &str, flags: u32) -> ();
        fn mkdirat(directory: Fd, path: &str, mode: u32) -> ();
        fn statvfs(path: &str) -> StatVfs;
        fn fstatvfs(fd: Fd) -> StatVfs;
        fn getcwd(into: &mut [u8]) -> usize;
        fn chdir(path: &str) -> ();
        fn fchdir(fd: Fd) -> ();
        fn sendfile(to: Fd, from: Fd, offset: Option<&mut u64>, count: usize) -> usize;
    }

    fn faccessat(&self, directory: Fd, path: &str, mode: u32) -> Result<()> {
        Process::faccessat(self, directory, path, mode, 0)
    }

    fn fchmodat(&self, directory: Fd, path: &str, mode: u32) -> Result<()> {
        Process::fchmodat(self, directory, path, mode, 0)
    }

    fn mknodat(&self, directory: Fd, path: &str, mode: u32) -> Result<()> {
        Process::mknodat(self, directory, path, mode, 0)
    }

    fn list(&self, fd: Fd) -> Result<Vec<(String, u8)>> {
        let mut entries = Vec::new();
        let mut add = |name: &[u8], kind| entries.push((String::from_utf8_lossy(name).into_owned(), kind));
        while Process::list(self, fd, |entry| add(entry.name, entry.kind))? {}
        Ok(entries)
    }

    fn umask(&self, mask: u32) -> Result<u32> {
        Ok(Process::umask(self, mask))
    }
}

/// Calls without a directory descriptor.
#[allow(missing_docs)] // named as POSIX names them
pub trait FilesHere: Posix {
    fn open(&self, path: &str, flags: u32, mode: u32) -> Result<Fd> {
        self.openat(AT_FDCWD, path, flags, mode)
    }
    fn stat(&self, path: &str) -> Result<Stat> {
        self.fstatat(AT_FDCWD, path, 0)
    }
    fn lstat(&self, path: &str) -> Result<Stat> {
        self.fstatat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)
    }
    fn access(&self, path: &str, mode: u32) -> Result<()> {
        self.faccessat(AT_FDCWD, path, mode)
    }
    fn chmod(&self, path: &str, mode: u32) -> Result<()> {
        self.fchmodat(AT_FDCWD, path, mode)
    }
    fn link(&self, from: &str, to: &str) -> Result<()> {
        self.linkat(AT_FDCWD, from, AT_FDCWD, to, 0)
    }
    fn symlink(&self, target: &str, path: &str) -> Result<()> {
        self.symlinkat(target, AT_FDCWD, path)
    }
    fn readlink(&self, path: &str) -> Result<String> {
        let mut target = alloc::vec![0; 4096];
        let n = self.readlinkat(AT_FDCWD, path, &mut target)?;
        Ok(String::from_utf8_lossy(&target[..n]).into_owned())
    }
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.renameat2(AT_FDCWD, from, AT_FDCWD, to, 0)
    }
    fn unlink(&self, path: &str) -> Result<()> {
        self.unlinkat(AT_FDCWD, path, 0)
    }
    fn rmdir(&self, path: &str) -> Result<()> {
        self.unlinkat(AT_FDCWD, path, AT_REMOVEDIR)
    }
    fn mkdir(&self, path: &str, mode: u32) -> Result<()> {
        self.mkdirat(AT_FDCWD, path, mode)
    }
    fn mknod(&self, path: &str, mode: u32) -> Result<()> {
        self.mknodat(AT_FDCWD, path, mode)
    }
    fn cwd(&self) -> Result<String> {
        let mut path = [0; 4096];
        let n = self.getcwd(&mut path)?;
        Ok(String::from_utf8_lossy(&path[..n]).into_owned())
    }
    /// The names in a directory but `.` and `..`, in order.
    fn names(&self, path: &str) -> Result<Vec<String>> {
        let fd = self.open(path, open::DIRECTORY, 0)?;
        let entries = self.list(fd);
        self.close(fd)?;
        let mut names: Vec<_> = entries?.into_iter().map(|(name, _)| name).filter(|n| n != "." && n != "..").collect();
        names.sort();
        Ok(names)
    }
    /// Removes a file or directory with all that is in it.
    fn remove_all(&self, path: &str) -> Result<()> {
        match self.unlink(path) {
            Err(Errno::EISDIR) => {
                for name in self.names(path)? {
                    self.remove_all(&alloc::format!("{path}/{name}"))?;
                }
                self.rmdir(path)
            }
            other => other,
        }
    }
}

impl<P: Posix + ?Sized> FilesHere for P {}

/// Runs a case in a directory of its own, which is the working directory, and
/// removes it.
pub fn inside(t: &Test<'_>, case: impl FnOnce(&Test<'_>) -> Outcome) -> Outcome {
    let done = |what: &str, result: Result<()>| result.map_err(|e| Failure::new(what, "success", e.name()));
    let top = if t.on == DISK { t.disk() } else { t.scratch() };
    let directory = alloc::format!("{top}/{}", t.port(0));
    let mask = t.umask(0o022).unwrap_or(0o022);
    let _ = t.remove_all(&directory);
    done("mkdir() for the case", t.mkdir(&directory, 0o755))?;
    done("chdir() for the case", t.chdir(&directory))?;
    let outcome = case(t);
    let _ = t.umask(mask);
    done("chdir() after the case", t.chdir("/"))?;
    done("removing what the case made", t.remove_all(&directory))?;
    outcome
}

/// Does something with the rights of an ordinary user.
pub fn unprivileged(t: &Test<'_>, f: impl FnOnce(&Test<'_>) -> Outcome) -> Outcome {
    ok!(t.set_unprivileged(true));
    let outcome = f(t);
    ok!(t.set_unprivileged(false));
    outcome
}

/// Makes a file with this content.
pub fn put(t: &Test<'_>, path: &str, content: &[u8]) -> Outcome {
    let fd = ok!(t.open(path, open::WRONLY | open::CREAT | open::TRUNC, 0o644));
    gives!(t.write(fd, content), content.len());
    ok!(t.close(fd));
    Ok(())
}

/// All of a file.
pub fn get(t: &Test<'_>, path: &str) -> Result<Vec<u8>> {
    let fd = t.open(path, open::RDONLY, 0)?;
    let mut content = alloc::vec![0; 8192];
    let n = t.read(fd, &mut content);
    t.close(fd)?;
    content.truncate(n?);
    Ok(content)
}
