//! Numbers that stand for themselves: the values of Linux, `asm-generic`.

/// Kinds of directory entries (DT_REG, ...).
#[allow(missing_docs)]
pub mod kind {
    pub const UNKNOWN: u8 = 0;
    pub const FIFO: u8 = 1;
    pub const DIRECTORY: u8 = 4;
    pub const REGULAR: u8 = 8;
    pub const SYMLINK: u8 = 10;
    pub const SOCKET: u8 = 12;
}

/// Bits of [`Stat::mode`](super::Stat::mode).
#[allow(missing_docs)]
pub mod mode {
    pub const FORMAT: u32 = 0o170_000;
    pub const DIRECTORY: u32 = 0o040_000;
    pub const REGULAR: u32 = 0o100_000;
    pub const SYMLINK: u32 = 0o120_000;
    pub const SOCKET: u32 = 0o140_000;
    pub const FIFO: u32 = 0o010_000;
    pub const SETUID: u32 = 0o4000;
    pub const SETGID: u32 = 0o2000;
    pub const STICKY: u32 = 0o1000;
    pub const PERMISSIONS: u32 = 0o7777;
}

/// Flags of open(2), `asm-generic`.
#[allow(missing_docs)]
pub mod open {
    pub const RDONLY: u32 = 0;
    pub const WRONLY: u32 = 1;
    pub const RDWR: u32 = 2;
    pub const ACCMODE: u32 = 3;
    pub const CREAT: u32 = 0o100;
    pub const EXCL: u32 = 0o200;
    pub const NOCTTY: u32 = 0o400;
    pub const TRUNC: u32 = 0o1000;
    pub const APPEND: u32 = 0o2000;
    pub const NONBLOCK: u32 = 0o4000;
    pub const DSYNC: u32 = 0o10_000;
    pub const LARGEFILE: u32 = 0o100_000;
    pub const DIRECTORY: u32 = 0o200_000;
    pub const NOFOLLOW: u32 = 0o400_000;
    pub const NOATIME: u32 = 0o1_000_000;
    pub const CLOEXEC: u32 = 0o2_000_000;
    pub const SYNC: u32 = 0o4_010_000;
    /// Only a place in the tree: neither read nor written.
    pub const PATH: u32 = 0o10_000_000;
    /// Not through a cache: EINVAL.
    pub const DIRECT: u32 = 0o40_000;
    /// With [`DIRECTORY`], a file without a name: EOPNOTSUPP.
    pub const TMPFILE: u32 = 0o20_000_000;
}

/// As the directory in openat(2) and the like: the working directory.
pub const AT_FDCWD: i32 = -100;

/// fstatat(2), ...: a symbolic link at the end of the path is not followed.
pub const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
/// faccessat(2): by the effective identity. There is no other.
pub const AT_EACCESS: u32 = 0x200;
/// unlinkat(2): a directory.
pub const AT_REMOVEDIR: u32 = 0x200;
/// linkat(2): a symbolic link at the end of the path is followed.
pub const AT_SYMLINK_FOLLOW: u32 = 0x400;
/// The empty path is the file that the directory's handle stands for.
pub const AT_EMPTY_PATH: u32 = 0x1000;
/// renameat2(2): EEXIST if the new name is there.
pub const RENAME_NOREPLACE: u32 = 1;
/// Bit of [`StatVfs::flag`](super::StatVfs::flag): nothing can be written.
pub const ST_RDONLY: u64 = 1;
/// Most bytes that a write to a pipe moves in one piece (`<limits.h>`).
pub const PIPE_BUF: usize = 4096;
/// Bytes that a pipe holds.
pub const PIPE_BYTES: usize = 65536;

/// What access(2) asks for; together, or 0 for whether the file is there.
#[allow(missing_docs)]
pub mod access {
    pub const EXECUTE: u32 = 1;
    pub const WRITE: u32 = 2;
    pub const READ: u32 = 4;
}

/// The readiness of a pipe: bits of poll(2), and these.
pub mod readiness {
    /// The other end of the pipe has been open at some time since this one is.
    pub const MET: u32 = 1 << 16;

    /// The bits, and a number that grows (modulo 2^32) when there is news although
    /// the bits are the same: by the bytes that come, and by 1 when there is room
    /// to write after there was none.
    pub const fn split(readiness: u64) -> (u32, u32) {
        (readiness as u32, (readiness >> 32) as u32)
    }

    /// Both together.
    pub const fn join(bits: u32, news: u32) -> u64 {
        bits as u64 | (news as u64) << 32
    }
}

/// Bit of the second value that [`Request::Open`](super::Request::Open) gives: the content of the
/// file never changes, so it may be read ahead and kept.
pub const CONSTANT: u64 = 1 << 32;

/// Where lseek(2) counts from.
#[allow(missing_docs)]
pub mod seek {
    pub const SET: u32 = 0;
    pub const CUR: u32 = 1;
    pub const END: u32 = 2;
}
