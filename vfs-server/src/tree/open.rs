//! open(2), as far as the tree is concerned.

use strait_abi::{
    Errno,
    vfs::{Stat, mode, open},
};

use super::{Last, Links, Place, Tree};
use crate::{
    file_system::New,
    identity::{Caller, Rights},
};

/// What was opened.
#[derive(Debug, Clone, Copy)]
pub struct Opened {
    /// The file.
    pub place: Place,
    /// What is known of it.
    pub stat: Stat,
}

impl Tree {
    /// The file that open(2) with `flags` means; made, or emptied, if they say
    /// so, and checked against the caller's rights.
    pub fn open(
        &mut self,
        caller: &Caller,
        start: Place,
        path: &[u8],
        flags: u32,
        permissions: u32,
    ) -> Result<Opened, Errno> {
        let has = |flag| flags & flag == flag;
        let writing = flags & open::ACCMODE != open::RDONLY;
        // Linux: what is no flag is ignored.
        if has(open::PATH) {
            return self.open_path(caller, start, path, flags);
        }
        if has(open::TMPFILE | open::DIRECTORY) {
            return Err(Errno::EOPNOTSUPP);
        }
        if has(open::CREAT | open::DIRECTORY) || has(open::DIRECT) {
            return Err(Errno::EINVAL);
        }
        let links = match () {
            () if has(open::CREAT | open::EXCL) => Links::Keep,
            () if has(open::NOFOLLOW) => Links::NoFollow,
            () => Links::Follow,
        };
        let resolved = self.walk(caller, start, path, links)?;
        let is_name = matches!(resolved.last, Last::Name(_));
        if has(open::CREAT) && (resolved.slash || !is_name) {
            return Err(if has(open::EXCL) && !is_name { Errno::EEXIST } else { Errno::EISDIR });
        }
        let Some(place) = resolved.found else {
            if !has(open::CREAT) {
                return Err(Errno::ENOENT);
            }
            let new = New { mode: mode::REGULAR | permissions & mode::PERMISSIONS, target: b"" };
            let place = self.make_at(caller, &resolved, new)?;
            // Its permissions are for those who come later.
            return Ok(Opened { place, stat: self.stat(place)? });
        };
        if has(open::CREAT | open::EXCL) {
            return Err(Errno::EEXIST);
        }
        let format = self.stat(place)?.mode & mode::FORMAT;
        match format {
            mode::DIRECTORY if writing || has(open::CREAT) || has(open::TRUNC) => return Err(Errno::EISDIR),
            mode::DIRECTORY => {}
            _ if resolved.slash || has(open::DIRECTORY) => return Err(Errno::ENOTDIR),
            mode::SYMLINK => return Err(Errno::ELOOP),
            _ => {}
        }
        let mut rights = Rights::NONE;
        if flags & open::ACCMODE != open::WRONLY {
            rights = rights.and(Rights::READ);
        }
        if writing || has(open::TRUNC) {
            rights = rights.and(Rights::WRITE);
        }
        let mut stat = self.check(caller, place, rights)?;
        if has(open::NOATIME) && !caller.owns(&stat) {
            return Err(Errno::EPERM);
        }
        match format {
            mode::SOCKET => return Err(Errno::ENXIO),
            mode::FIFO if has(open::ACCMODE) => return Err(Errno::EINVAL),
            _ => {}
        }
        if has(open::TRUNC) && format == mode::REGULAR {
            self.truncate(caller, place, 0)?;
            stat = self.stat(place)?;
        }
        Ok(Opened { place, stat })
    }

    /// O_PATH: no right to the file itself is needed.
    fn open_path(&mut self, caller: &Caller, start: Place, path: &[u8], flags: u32) -> Result<Opened, Errno> {
        let links = if flags & open::NOFOLLOW != 0 { Links::NoFollow } else { Links::Follow };
        let place = self.find(caller, start, path, links)?;
        let stat = self.stat(place)?;
        if flags & open::DIRECTORY != 0 && stat.mode & mode::FORMAT != mode::DIRECTORY {
            return Err(Errno::ENOTDIR);
        }
        Ok(Opened { place, stat })
    }
}
