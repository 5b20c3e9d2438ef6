//! Commands as checked values.

use super::{Buffer, Command};
use crate::Errno;

/// An open file's number in its client's session.
pub type Handle = u32;

/// As the directory that a path begins at: the root.
pub const ROOT: Handle = u32::MAX;

macro_rules! operations {
    ($($name:ident = $number:literal),* $(,)?) => {
        mod op { $(#[allow(non_upper_case_globals)] pub const $name: u16 = $number;)* }
    };
}

operations! {
    Hello = 1, Open = 2, Close = 3, Read = 4, Stat = 5, FileStat = 6, ReadDirectory = 7, Counters = 8,
    Write = 9, Truncate = 10, Sync = 11, ChangeMode = 12, Link = 13, SymbolicLink = 14, ReadLink = 15, Rename = 16,
    Unlink = 17, MakeDirectory = 18, MakeNode = 19, StatVfs = 20, RealPath = 21, Access = 22, Seek = 23,
    MakeSocket = 24, FindSocket = 25, Export = 26, Import = 27, Pipe = 28, TruncatePath = 29,
}

/// What a client asks. Numbers of operations are never used again: new ones
/// go to the end, and one that the server does not know gives ENOSYS.
///
/// Reply means the completion's `result` and then `extra`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// First command of a session: closes whatever an earlier incarnation of
    /// the client left. EPROTO if the server speaks another
    /// [`VERSION`](super::VERSION).
    Hello {
        /// The client's version.
        version: u32,
    },
    /// openat(2). Reply: the handle; size and mode of the file, with
    /// [`CONSTANT`](super::CONSTANT).
    Open {
        /// Where a relative path begins, or [`ROOT`].
        directory: Handle,
        /// The path.
        path: Buffer,
        /// O_RDONLY, ...
        flags: u32,
        /// Permissions of a file that is created.
        mode: u32,
    },
    /// close(2).
    Close {
        /// Which file.
        file: Handle,
    },
    /// pread(2). Reply: number of bytes, 0 at the end; the position behind
    /// them. Of a pipe, read(2): EAGAIN if there is nothing yet.
    Read {
        /// Which file.
        file: Handle,
        /// Where in the file, or [`CURRENT`](super::CURRENT). Pipes ignore it.
        offset: u64,
        /// Where the bytes go.
        into: Buffer,
    },
    /// fstatat(2): a [`Stat`](super::Stat) in `into`.
    Stat {
        /// Where a relative path begins, or [`ROOT`].
        directory: Handle,
        /// The path.
        path: Buffer,
        /// AT_SYMLINK_NOFOLLOW, ...
        flags: u32,
        /// Where the result goes.
        into: Buffer,
    },
    /// fstat(2): a [`Stat`](super::Stat) in `into`. Reply: 0; of a pipe, how many
    /// bytes wait in it.
    FileStat {
        /// Which file.
        file: Handle,
        /// Where the result goes.
        into: Buffer,
    },
    /// getdents(2): [`EntryHeader`](super::EntryHeader)s and names in `into`.
    /// Reply: number of bytes, 0 at the end; where to go on.
    ReadDirectory {
        /// Which directory.
        file: Handle,
        /// 0 or where an earlier reply said to go on.
        offset: u64,
        /// Where the entries go. EINVAL if not even one fits.
        into: Buffer,
    },
    /// [`Counters`](super::Counters) in `into`.
    Counters {
        /// Where the result goes.
        into: Buffer,
    },
    /// pwrite(2), or at the end of the file with O_APPEND. Reply: number of
    /// bytes; the position behind them. To a pipe, write(2): EAGAIN if there
    /// is no room, and up to PIPE_BUF bytes go in one piece.
    Write {
        /// Which file.
        file: Handle,
        /// O_APPEND or 0.
        flags: u32,
        /// Where in the file, or [`CURRENT`](super::CURRENT). Pipes ignore it.
        offset: u64,
        /// The bytes.
        from: Buffer,
    },
    /// ftruncate(2).
    Truncate {
        /// Which file.
        file: Handle,
        /// Its new size.
        size: u64,
    },
    /// fsync(2).
    Sync {
        /// Which file.
        file: Handle,
    },
    /// fchmodat(2), with AT_EMPTY_PATH fchmod(2).
    ChangeMode {
        /// Where a relative path begins, or [`ROOT`].
        directory: Handle,
        /// The path.
        path: Buffer,
        /// AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH.
        flags: u32,
        /// The new permissions.
        mode: u32,
    },
    /// linkat(2).
    Link {
        /// Where a relative path begins, or [`ROOT`].
        directory: Handle,
        /// The path that there is.
        path: Buffer,
        /// Where the new path begins.
        to_directory: Handle,
        /// The new path.
        to: Buffer,
        /// AT_SYMLINK_FOLLOW.
        flags: u32,
    },
    /// symlinkat(2).
    SymbolicLink {
        /// What the link says.
        target: Buffer,
        /// Where the new path begins, or [`ROOT`].
        directory: Handle,
        /// The new path.
        path: Buffer,
    },
    /// readlinkat(2). Reply: number of bytes.
    ReadLink {
        /// Where a relative path begins, or [`ROOT`].
        directory: Handle,
        /// The path.
        path: Buffer,
        /// Where the result goes, as much as fits.
        into: Buffer,
    },
    /// renameat2(2).
    Rename {
        /// Where a relative path begins, or [`ROOT`].
        directory: Handle,
        /// The path that there is.
        path: Buffer,
        /// Where the new path begins.
        to_directory: Handle,
        /// The new path.
        to: Buffer,
        /// RENAME_NOREPLACE.
        flags: u32,
    },
    /// unlinkat(2).
    Unlink {
        /// Where a relative path begins, or [`ROOT`].
        directory: Handle,
        /// The path.
        path: Buffer,
        /// AT_REMOVEDIR.
        flags: u32,
    },
    /// mkdirat(2).
    MakeDirectory {
        /// Where a relative path begins, or [`ROOT`].
        directory: Handle,
        /// The path.
        path: Buffer,
        /// Its permissions.
        mode: u32,
    },
    /// mknodat(2): S_IFREG, S_IFIFO, S_IFSOCK.
    MakeNode {
        /// Where a relative path begins, or [`ROOT`].
        directory: Handle,
        /// The path.
        path: Buffer,
        /// Its kind and permissions.
        mode: u32,
    },
    /// statvfs(3), with AT_EMPTY_PATH fstatvfs(3): a
    /// [`StatVfs`](super::StatVfs) in `into`.
    StatVfs {
        /// Where a relative path begins, or [`ROOT`].
        directory: Handle,
        /// The path.
        path: Buffer,
        /// AT_EMPTY_PATH.
        flags: u32,
        /// Where the result goes.
        into: Buffer,
    },
    /// The absolute path of an open directory, for getcwd(3). Reply: number of
    /// bytes. ENOENT if it was removed; ERANGE if `into` is too small.
    RealPath {
        /// Which directory, or [`ROOT`].
        directory: Handle,
        /// Where the result goes.
        into: Buffer,
    },
    /// faccessat(2).
    Access {
        /// Where a relative path begins, or [`ROOT`].
        directory: Handle,
        /// The path.
        path: Buffer,
        /// AT_SYMLINK_NOFOLLOW, AT_EACCESS, AT_EMPTY_PATH.
        flags: u32,
        /// [`access`](super::access).
        mode: u32,
    },
    /// lseek(2) on a description that several clients share. Reply: the new
    /// position.
    Seek {
        /// Which file.
        file: Handle,
        /// A signed number.
        offset: u64,
        /// [`seek`](super::seek).
        whence: u32,
    },
    /// Makes a socket node, for bind(2): a [`BIND`](super::token::BIND) token in
    /// `into`.
    MakeSocket {
        /// Where a relative path begins, or [`ROOT`].
        directory: Handle,
        /// The path.
        path: Buffer,
        /// Its permissions.
        mode: u32,
        /// Where the token goes.
        into: Buffer,
    },
    /// Finds a socket node, for connect(2): a
    /// [`CONNECT`](super::token::CONNECT) token in `into`. ECONNREFUSED if it
    /// is another kind of file.
    FindSocket {
        /// Where a relative path begins, or [`ROOT`].
        directory: Handle,
        /// The path.
        path: Buffer,
        /// Where the token goes.
        into: Buffer,
    },
    /// Makes a [`FILE`](super::token::FILE) token for an open file, which the
    /// first who shows it shares from then on. From then on its position is
    /// kept by the server: see [`CURRENT`](super::CURRENT).
    Export {
        /// Which file.
        file: Handle,
        /// Status flags (O_APPEND, ...) as F_GETFL gives them.
        flags: u32,
        /// Its position, if this is the first time.
        offset: u64,
        /// Where the token goes.
        into: Buffer,
    },
    /// Opens what [`Export`](Self::Export) gave away. Reply: the handle; the
    /// status flags; mode of the file, with
    /// [`CONSTANT`](super::CONSTANT). EBADF if it is not there any more.
    Import {
        /// The token.
        token: Buffer,
        /// The token can be shown once more: its message was only looked at
        /// (MSG_PEEK).
        keep: bool,
    },
    /// pipe2(2). Reply: the handle of the end to read; that of the end to
    /// write.
    Pipe,
    /// truncate(2).
    TruncatePath {
        /// Where a relative path begins, or [`ROOT`].
        directory: Handle,
        /// The path.
        path: Buffer,
        /// The new size.
        size: u64,
    },
}

impl Request {
    /// It as a command.
    pub fn encode(self, id: u32) -> Command {
        let c = Command { id, ..Command::default() };
        match self {
            Self::Hello { version } => Command { op: op::Hello, flags: version, ..c },
            Self::Open { directory, path, flags, mode } => {
                Command { op: op::Open, file: directory, buffer: path, flags, mode, ..c }
            }
            Self::Close { file } => Command { op: op::Close, file, ..c },
            Self::Read { file, offset, into } => Command { op: op::Read, file, offset, buffer: into, ..c },
            Self::Stat { directory, path, flags, into } => {
                Command { op: op::Stat, file: directory, buffer: path, second: into, flags, ..c }
            }
            Self::FileStat { file, into } => Command { op: op::FileStat, file, second: into, ..c },
            Self::ReadDirectory { file, offset, into } => {
                Command { op: op::ReadDirectory, file, offset, buffer: into, ..c }
            }
            Self::Counters { into } => Command { op: op::Counters, second: into, ..c },
            Self::Write { file, flags, offset, from } => {
                Command { op: op::Write, file, flags, offset, buffer: from, ..c }
            }
            Self::Truncate { file, size } => Command { op: op::Truncate, file, offset: size, ..c },
            Self::Sync { file } => Command { op: op::Sync, file, ..c },
            Self::ChangeMode { directory, path, flags, mode } => {
                Command { op: op::ChangeMode, file: directory, buffer: path, flags, mode, ..c }
            }
            Self::Link { directory, path, to_directory, to, flags } => Command {
                op: op::Link,
                file: directory,
                buffer: path,
                directory2: to_directory,
                second: to,
                flags,
                ..c
            },
            Self::SymbolicLink { target, directory, path } => {
                Command { op: op::SymbolicLink, buffer: target, directory2: directory, second: path, ..c }
            }
            Self::ReadLink { directory, path, into } => {
                Command { op: op::ReadLink, file: directory, buffer: path, second: into, ..c }
            }
            Self::Rename { directory, path, to_directory, to, flags } => Command {
                op: op::Rename,
                file: directory,
                buffer: path,
                directory2: to_directory,
                second: to,
                flags,
                ..c
            },
            Self::Unlink { directory, path, flags } => {
                Command { op: op::Unlink, file: directory, buffer: path, flags, ..c }
            }
            Self::MakeDirectory { directory, path, mode } => {
                Command { op: op::MakeDirectory, file: directory, buffer: path, mode, ..c }
            }
            Self::MakeNode { directory, path, mode } => {
                Command { op: op::MakeNode, file: directory, buffer: path, mode, ..c }
            }
            Self::StatVfs { directory, path, flags, into } => {
                Command { op: op::StatVfs, file: directory, buffer: path, second: into, flags, ..c }
            }
            Self::RealPath { directory, into } => Command { op: op::RealPath, file: directory, second: into, ..c },
            Self::Access { directory, path, flags, mode } => {
                Command { op: op::Access, file: directory, buffer: path, flags, mode, ..c }
            }
            Self::Seek { file, offset, whence } => Command { op: op::Seek, file, offset, flags: whence, ..c },
            Self::MakeSocket { directory, path, mode, into } => {
                Command { op: op::MakeSocket, file: directory, buffer: path, mode, second: into, ..c }
            }
            Self::FindSocket { directory, path, into } => {
                Command { op: op::FindSocket, file: directory, buffer: path, second: into, ..c }
            }
            Self::Export { file, flags, offset, into } => {
                Command { op: op::Export, file, flags, offset, second: into, ..c }
            }
            Self::Import { token, keep } => Command { op: op::Import, buffer: token, flags: keep.into(), ..c },
            Self::Pipe => Command { op: op::Pipe, ..c },
            Self::TruncatePath { directory, path, size } => {
                Command { op: op::TruncatePath, file: directory, buffer: path, offset: size, ..c }
            }
        }
    }

    /// What `command` asks; ENOSYS for an unknown operation, EINVAL if it uses
    /// fields that have no meaning yet.
    pub fn decode(command: &Command) -> Result<Self, Errno> {
        let Command { file, flags, offset, buffer, second, mode, directory2, .. } = *command;
        let two_paths = matches!(command.op, op::Link | op::Rename | op::SymbolicLink);
        if command.reserved != 0 || command.reserved2 != [0; 4] || directory2 != 0 && !two_paths {
            return Err(Errno::EINVAL);
        }
        Ok(match command.op {
            op::Hello => Self::Hello { version: flags },
            op::Open => Self::Open { directory: file, path: buffer, flags, mode },
            op::Close => Self::Close { file },
            op::Read => Self::Read { file, offset, into: buffer },
            op::Stat => Self::Stat { directory: file, path: buffer, flags, into: second },
            op::FileStat => Self::FileStat { file, into: second },
            op::ReadDirectory => Self::ReadDirectory { file, offset, into: buffer },
            op::Counters => Self::Counters { into: second },
            op::Write => Self::Write { file, flags, offset, from: buffer },
            op::Truncate => Self::Truncate { file, size: offset },
            op::Sync => Self::Sync { file },
            op::ChangeMode => Self::ChangeMode { directory: file, path: buffer, flags, mode },
            op::Link => Self::Link { directory: file, path: buffer, to_directory: directory2, to: second, flags },
            op::SymbolicLink => Self::SymbolicLink { target: buffer, directory: directory2, path: second },
            op::ReadLink => Self::ReadLink { directory: file, path: buffer, into: second },
            op::Rename => Self::Rename { directory: file, path: buffer, to_directory: directory2, to: second, flags },
            op::Unlink => Self::Unlink { directory: file, path: buffer, flags },
            op::MakeDirectory => Self::MakeDirectory { directory: file, path: buffer, mode },
            op::MakeNode => Self::MakeNode { directory: file, path: buffer, mode },
            op::StatVfs => Self::StatVfs { directory: file, path: buffer, flags, into: second },
            op::RealPath => Self::RealPath { directory: file, into: second },
            op::Access => Self::Access { directory: file, path: buffer, flags, mode },
            op::Seek => Self::Seek { file, offset, whence: flags },
            op::MakeSocket => Self::MakeSocket { directory: file, path: buffer, mode, into: second },
            op::FindSocket => Self::FindSocket { directory: file, path: buffer, into: second },
            op::Export => Self::Export { file, flags, offset, into: second },
            op::Import if flags <= 1 => Self::Import { token: buffer, keep: flags == 1 },
            op::Import => return Err(Errno::EINVAL),
            op::Pipe => Self::Pipe,
            op::TruncatePath => Self::TruncatePath { directory: file, path: buffer, size: offset },
            _ => return Err(Errno::ENOSYS),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zerocopy::FromBytes;

    proptest! {
        #[test]
        fn what_decodes_encodes_the_same(mut bytes in any::<[u8; 64]>(), op in 0u16..32, calm in any::<bool>()) {
            bytes[4..6].copy_from_slice(&op.to_ne_bytes());
            let mut command = Command::read_from_bytes(&bytes).unwrap();
            if calm {
                (command.reserved, command.reserved2, command.directory2) = (0, [0; 4], 0);
                command.flags &= if op == 27 { 1 } else { u32::MAX };
            }
            match Request::decode(&command) {
                Ok(request) => {
                    prop_assert!(calm && (1..=29).contains(&op));
                    prop_assert_eq!(Request::decode(&request.encode(command.id)), Ok(request));
                }
                Err(e) => prop_assert!(e == Errno::ENOSYS || e == Errno::EINVAL),
            }
        }
    }
}
