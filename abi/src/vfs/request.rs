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

operations! { Hello = 1, Open = 2, Close = 3, Read = 4, Stat = 5, FileStat = 6, ReadDirectory = 7, Counters = 8 }

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
    /// pread(2). Reply: number of bytes, 0 at the end.
    Read {
        /// Which file.
        file: Handle,
        /// Where in the file.
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
    /// fstat(2): a [`Stat`](super::Stat) in `into`.
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
        }
    }

    /// What `command` asks; ENOSYS for an unknown operation, EINVAL if it uses
    /// fields that have no meaning yet.
    pub fn decode(command: &Command) -> Result<Self, Errno> {
        let Command { file, flags, offset, buffer, second, mode, .. } = *command;
        if command.reserved != 0 || command.reserved2 != [0; 5] {
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
        fn what_decodes_encodes_the_same(mut bytes in any::<[u8; 64]>(), op in 0u16..12, calm in any::<bool>()) {
            bytes[4..6].copy_from_slice(&op.to_ne_bytes());
            let mut command = Command::read_from_bytes(&bytes).unwrap();
            if calm {
                (command.reserved, command.reserved2) = (0, [0; 5]);
            }
            match Request::decode(&command) {
                Ok(request) => {
                    prop_assert!(calm && (1..=8).contains(&op));
                    prop_assert_eq!(Request::decode(&request.encode(command.id)), Ok(request));
                }
                Err(e) => prop_assert!(e == Errno::ENOSYS || e == Errno::EINVAL),
            }
        }
    }
}
