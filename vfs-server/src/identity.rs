//! Who asks, and what the permission bits allow.

use strait_abi::{
    Errno,
    vfs::{Stat, mode},
};

use crate::pool::Payer;

/// The client for which an operation is done. Its user and group are those
/// that the system description gives; it cannot change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Its place among the sessions, which pays for what it makes.
    pub payer: Payer,
    /// User; 0 may do everything.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The time of the operation: nanoseconds since some fixed point.
    pub now: u64,
}

/// A right to a file: the bits of access(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights(pub u32);

impl Rights {
    /// None.
    pub const NONE: Self = Self(0);
    /// To execute; of a directory, to search it.
    pub const SEARCH: Self = Self(1);
    /// To write.
    pub const WRITE: Self = Self(2);
    /// To read.
    pub const READ: Self = Self(4);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether writing is one of them.
    pub const fn writes(self) -> bool {
        self.0 & Self::WRITE.0 != 0
    }
}

impl Caller {
    /// Whether it is the superuser.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether the file is its own, or it is the superuser.
    pub fn owns(&self, stat: &Stat) -> bool {
        self.is_root() || self.uid == stat.uid
    }

    /// EACCES if the permission bits of the file do not allow `rights`.
    pub fn check(&self, stat: &Stat, rights: Rights) -> Result<(), Errno> {
        let allowed = if self.is_root() {
            let executable = stat.mode & mode::FORMAT == mode::DIRECTORY || stat.mode & 0o111 != 0;
            6 | u32::from(executable)
        } else if self.uid == stat.uid {
            stat.mode >> 6
        } else if self.gid == stat.gid {
            stat.mode >> 3
        } else {
            stat.mode
        };
        if rights.0 & !allowed & 7 == 0 { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// EPERM if a name in the directory `parent` may not be taken away because
    /// of its sticky bit.
    pub fn check_sticky(&self, parent: &Stat, file: &Stat) -> Result<(), Errno> {
        let sticky = parent.mode & mode::STICKY != 0;
        if sticky && !self.owns(parent) && !self.owns(file) { Err(Errno::EPERM) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_class_that_fits_decides() {
        let stat = |mode| Stat { mode: mode::REGULAR | mode, uid: 10, gid: 20, ..Stat::default() };
        let who = |uid, gid| Caller { payer: 0, uid, gid, now: 0 };
        let table = [
            (who(10, 20), 0o077, Rights::READ, false),
            (who(10, 1), 0o400, Rights::READ, true),
            (who(11, 20), 0o707, Rights::READ, false),
            (who(11, 20), 0o020, Rights::WRITE, true),
            (who(11, 21), 0o006, Rights::READ.and(Rights::WRITE), true),
            (who(11, 21), 0o776, Rights::SEARCH, false),
            (who(0, 0), 0o000, Rights::READ.and(Rights::WRITE), true),
            (who(0, 0), 0o666, Rights::SEARCH, false),
            (who(0, 0), 0o001, Rights::SEARCH, true),
            (who(5, 5), 0o000, Rights::NONE, true),
        ];
        for (caller, mode, rights, good) in table {
            assert_eq!(caller.check(&stat(mode), rights).is_ok(), good, "{caller:?} {mode:o} {rights:?}");
        }
    }
}
