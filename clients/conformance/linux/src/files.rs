//! Calls on files.
#![allow(clippy::undocumented_unsafe_blocks)] // As in calls.rs.

use std::{
    ffi::{CStr, CString},
    fs,
    sync::OnceLock,
};

use libc::{c_int, mode_t};
use strait_conformance::{
    files::{Files, Stat, StatVfs},
    posix::{Errno, Fd, Result},
};

use crate::calls::{Linux, check};

/// A directory of this process on a tmpfs, which is what Strait's ramfs is like.
fn scratch() -> &'static str {
    static SCRATCH: OnceLock<String> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        let path = format!("/dev/shm/strait-conformance-{}", std::process::id());
        fs::create_dir(&path).expect("a directory in /dev/shm");
        path
    })
}

/// Removes what [`scratch`] made.
pub fn clean_up() {
    let _ = fs::remove_dir_all(format!("/dev/shm/strait-conformance-{}", std::process::id()));
}

fn c(path: &str) -> Result<CString> {
    CString::new(path).map_err(|_| Errno::EINVAL)
}

fn done(result: c_int) -> Result<()> {
    check(result).map(drop)
}

fn size(result: isize) -> Result<usize> {
    check(result).map(|n| n as usize)
}

fn stat_of(call: impl FnOnce(*mut libc::stat) -> c_int) -> Result<Stat> {
    // SAFETY: a C structure of numbers.
    let mut s: libc::stat = unsafe { std::mem::zeroed() };
    done(call(&mut s))?;
    Ok(Stat {
        ino: s.st_ino,
        size: s.st_size as u64,
        blocks: s.st_blocks as u64,
        atime: s.st_atime,
        mtime: s.st_mtime,
        ctime: s.st_ctime,
        atime_nsec: s.st_atime_nsec as u32,
        mtime_nsec: s.st_mtime_nsec as u32,
        ctime_nsec: s.st_ctime_nsec as u32,
        mode: s.st_mode,
        nlink: s.st_nlink as u32,
        uid: s.st_uid,
        gid: s.st_gid,
        rdev: s.st_rdev as u32,
        block_size: s.st_blksize as u32,
        dev: s.st_dev as u32,
        ..Stat::default()
    })
}

fn statvfs_of(call: impl FnOnce(*mut libc::statvfs) -> c_int) -> Result<StatVfs> {
    // SAFETY: a C structure of numbers.
    let mut s: libc::statvfs = unsafe { std::mem::zeroed() };
    done(call(&mut s))?;
    Ok(StatVfs {
        bsize: s.f_bsize,
        frsize: s.f_frsize,
        blocks: s.f_blocks,
        bfree: s.f_bfree,
        bavail: s.f_bavail,
        files: s.f_files,
        ffree: s.f_ffree,
        favail: s.f_favail,
        fsid: s.f_fsid,
        flag: s.f_flag,
        namemax: s.f_namemax,
        reserved: 0,
    })
}

impl Files for Linux {
    fn scratch(&self) -> String {
        scratch().into()
    }

    fn disk(&self) -> String {
        // Not every machine has FAT: what the cases say there is what any file
        // system does.
        scratch().into()
    }

    fn foreign(&self) -> String {
        static FOREIGN: OnceLock<String> = OnceLock::new();
        let make = || {
            let path = format!("{}/foreign", scratch());
            // Where there is one user, root's own is another's.
            match fs::create_dir(&path).and_then(|()| std::os::unix::fs::chown(&path, Some(12345), Some(12345))) {
                Ok(()) => path,
                Err(_) => "/tmp".into(),
            }
        };
        FOREIGN.get_or_init(make).clone()
    }

    fn set_unprivileged(&self, on: bool) -> Result<()> {
        capabilities::set_effective(capabilities::OF_FILES, !on)
    }

    fn openat(&self, directory: Fd, path: &str, flags: u32, mode: u32) -> Result<Fd> {
        check(unsafe { libc::openat(directory, c(path)?.as_ptr(), flags as c_int, mode) })
    }

    fn pread(&self, fd: Fd, into: &mut [u8], offset: u64) -> Result<usize> {
        size(unsafe { libc::pread(fd, into.as_mut_ptr().cast(), into.len(), offset as i64) })
    }

    fn pwrite(&self, fd: Fd, from: &[u8], offset: u64) -> Result<usize> {
        size(unsafe { libc::pwrite(fd, from.as_ptr().cast(), from.len(), offset as i64) })
    }

    fn lseek(&self, fd: Fd, offset: i64, whence: u32) -> Result<u64> {
        check(unsafe { libc::lseek(fd, offset, whence as c_int) }).map(|n| n as u64)
    }

    fn ftruncate(&self, fd: Fd, size: u64) -> Result<()> {
        done(unsafe { libc::ftruncate(fd, size as i64) })
    }

    fn truncate(&self, path: &str, size: u64) -> Result<()> {
        done(unsafe { libc::truncate(c(path)?.as_ptr(), size as i64) })
    }

    fn fsync(&self, fd: Fd) -> Result<()> {
        done(unsafe { libc::fsync(fd) })
    }

    fn fdatasync(&self, fd: Fd) -> Result<()> {
        done(unsafe { libc::fdatasync(fd) })
    }

    fn fstat(&self, fd: Fd) -> Result<Stat> {
        stat_of(|at| unsafe { libc::fstat(fd, at) })
    }

    fn fstatat(&self, directory: Fd, path: &str, flags: u32) -> Result<Stat> {
        let path = c(path)?;
        stat_of(|at| unsafe { libc::fstatat(directory, path.as_ptr(), at, flags as c_int) })
    }

    fn faccessat(&self, directory: Fd, path: &str, mode: u32) -> Result<()> {
        done(unsafe { libc::faccessat(directory, c(path)?.as_ptr(), mode as c_int, 0) })
    }

    fn fchmod(&self, fd: Fd, mode: u32) -> Result<()> {
        done(unsafe { libc::fchmod(fd, mode) })
    }

    fn fchmodat(&self, directory: Fd, path: &str, mode: u32) -> Result<()> {
        done(unsafe { libc::fchmodat(directory, c(path)?.as_ptr(), mode, 0) })
    }

    fn linkat(&self, directory: Fd, from: &str, to_directory: Fd, to: &str, flags: u32) -> Result<()> {
        let (from, to) = (c(from)?, c(to)?);
        done(unsafe { libc::linkat(directory, from.as_ptr(), to_directory, to.as_ptr(), flags as c_int) })
    }

    fn symlinkat(&self, target: &str, directory: Fd, path: &str) -> Result<()> {
        done(unsafe { libc::symlinkat(c(target)?.as_ptr(), directory, c(path)?.as_ptr()) })
    }

    fn readlinkat(&self, directory: Fd, path: &str, into: &mut [u8]) -> Result<usize> {
        size(unsafe { libc::readlinkat(directory, c(path)?.as_ptr(), into.as_mut_ptr().cast(), into.len()) })
    }

    fn renameat2(&self, directory: Fd, from: &str, to_directory: Fd, to: &str, flags: u32) -> Result<()> {
        let (from, to) = (c(from)?, c(to)?);
        done(unsafe { libc::renameat2(directory, from.as_ptr(), to_directory, to.as_ptr(), flags) })
    }

    fn unlinkat(&self, directory: Fd, path: &str, flags: u32) -> Result<()> {
        done(unsafe { libc::unlinkat(directory, c(path)?.as_ptr(), flags as c_int) })
    }

    fn mkdirat(&self, directory: Fd, path: &str, mode: u32) -> Result<()> {
        done(unsafe { libc::mkdirat(directory, c(path)?.as_ptr(), mode as mode_t) })
    }

    fn mknodat(&self, directory: Fd, path: &str, mode: u32) -> Result<()> {
        done(unsafe { libc::mknodat(directory, c(path)?.as_ptr(), mode as mode_t, 0) })
    }

    fn list(&self, fd: Fd) -> Result<Vec<(String, u8)>> {
        let mut entries = Vec::new();
        let mut bytes = [0u8; 1024];
        loop {
            let n =
                check(unsafe { libc::syscall(libc::SYS_getdents64, fd, bytes.as_mut_ptr(), bytes.len()) })? as usize;
            if n == 0 {
                return Ok(entries);
            }
            // struct linux_dirent64: inode, offset, length (u16), kind (u8), name.
            let mut rest = &bytes[..n];
            while let [_, _, ..] = rest {
                let len = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
                let name = CStr::from_bytes_until_nul(&rest[19..len]).unwrap_or_default();
                entries.push((name.to_string_lossy().into_owned(), rest[18]));
                rest = &rest[len..];
            }
        }
    }

    fn statvfs(&self, path: &str) -> Result<StatVfs> {
        let path = c(path)?;
        statvfs_of(|at| unsafe { libc::statvfs(path.as_ptr(), at) })
    }

    fn fstatvfs(&self, fd: Fd) -> Result<StatVfs> {
        statvfs_of(|at| unsafe { libc::fstatvfs(fd, at) })
    }

    fn umask(&self, mask: u32) -> Result<u32> {
        Ok(unsafe { libc::umask(mask as mode_t) })
    }

    fn getcwd(&self, into: &mut [u8]) -> Result<usize> {
        // With the NUL, which Strait does not write.
        let mut path = vec![0u8; if into.is_empty() { 0 } else { into.len() + 1 }];
        let n = check(unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) })? as usize;
        into[..n - 1].copy_from_slice(&path[..n - 1]);
        Ok(n - 1)
    }

    fn chdir(&self, path: &str) -> Result<()> {
        done(unsafe { libc::chdir(c(path)?.as_ptr()) })
    }

    fn fchdir(&self, fd: Fd) -> Result<()> {
        done(unsafe { libc::fchdir(fd) })
    }

    fn sendfile(&self, to: Fd, from: Fd, offset: Option<&mut u64>, count: usize) -> Result<usize> {
        let at = offset.map_or(std::ptr::null_mut(), std::ptr::from_mut);
        size(unsafe { libc::sendfile(to, from, at.cast(), count) })
    }
}

/// capabilities(7).
mod capabilities {
    use super::{Result, done};

    /// What lets root do with files whatever it likes: CAP_CHOWN,
    /// CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID.
    pub const OF_FILES: u32 = 0b1_1111;
    /// _LINUX_CAPABILITY_VERSION_3
    const VERSION: u32 = 0x2008_0522;

    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }

    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }

    /// Puts capabilities into force for this thread, or out of it.
    pub fn set_effective(which: u32, on: bool) -> Result<()> {
        let header = Header { version: VERSION, pid: 0 };
        let mut data = [Data::default(); 2];
        done(unsafe { libc::syscall(libc::SYS_capget, &header, &mut data) } as i32)?;
        data[0].effective = if on { data[0].effective | which } else { data[0].effective & !which };
        done(unsafe { libc::syscall(libc::SYS_capset, &header, &data) } as i32)
    }
}
