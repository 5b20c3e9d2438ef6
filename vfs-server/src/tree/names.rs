//! Operations on names: what is made, linked, renamed, removed.
//!
//! Errors come in Linux's order as far as callers see it: a name that is there
//! gives EEXIST before EROFS, and that before EACCES.

use strait_abi::{
    Errno,
    vfs::{Stat, mode},
};

use super::{Last, Links, Place, Resolved, Tree};
use crate::{
    file_system::New,
    identity::{Caller, Rights},
};

impl Tree {
    /// The rights to change which names the directory has.
    fn check_directory(&mut self, caller: &Caller, directory: Place) -> Result<Stat, Errno> {
        let stat = self.check(caller, directory, Rights::WRITE.and(Rights::SEARCH))?;
        if stat.nlink == 0 { Err(Errno::ENOENT) } else { Ok(stat) }
    }

    /// The directory and the name of what is going to be made.
    fn new_name<'a>(&mut self, caller: &Caller, resolved: &'a Resolved, directory: bool) -> Result<&'a [u8], Errno> {
        match &resolved.last {
            Last::Name(_) if resolved.found.is_some() => Err(Errno::EEXIST),
            // Only a directory's name may have a slash behind it.
            Last::Name(_) if resolved.slash && !directory => Err(Errno::ENOENT),
            Last::Name(name) => {
                self.check_directory(caller, resolved.parent)?;
                Ok(name)
            }
            _ => Err(Errno::EEXIST),
        }
    }

    /// mkdir(2), mknod(2), symlink(2): makes what `new` says at `path`.
    pub fn make(&mut self, caller: &Caller, start: Place, path: &[u8], new: New<'_>) -> Result<Place, Errno> {
        let resolved = self.walk(caller, start, path, Links::Keep)?;
        self.make_at(caller, &resolved, new)
    }

    pub(super) fn make_at(&mut self, caller: &Caller, resolved: &Resolved, new: New<'_>) -> Result<Place, Errno> {
        let name = self.new_name(caller, resolved, new.mode & mode::FORMAT == mode::DIRECTORY)?;
        let parent = resolved.parent;
        let node = self.fs(parent).make(caller, parent.node, name, new)?;
        Ok(Place { node, ..parent })
    }

    /// link(2): gives the file at `place` a further name.
    pub fn link(&mut self, caller: &Caller, place: Place, start: Place, path: &[u8]) -> Result<(), Errno> {
        let resolved = self.walk(caller, start, path, Links::Keep)?;
        if resolved.found.is_some() {
            return Err(Errno::EEXIST);
        }
        if place.mount != resolved.parent.mount {
            return Err(Errno::EXDEV);
        }
        let stat = self.stat(place)?;
        // Linux, protected_hardlinks: who could not use the file does not keep it
        // in being.
        let safe = stat.mode & mode::FORMAT == mode::REGULAR
            && stat.mode & mode::SETUID == 0
            && stat.mode & (mode::SETGID | 0o010) != mode::SETGID | 0o010
            && caller.check(&stat, Rights::READ.and(Rights::WRITE)).is_ok();
        if !safe && !caller.owns(&stat) {
            return Err(Errno::EPERM);
        }
        let name = self.new_name(caller, &resolved, false)?;
        if stat.mode & mode::FORMAT == mode::DIRECTORY {
            return Err(Errno::EPERM);
        }
        self.fs(place).link(caller, place.node, resolved.parent.node, name)
    }

    /// unlink(2), or with `is_directory` rmdir(2).
    pub fn unlink(&mut self, caller: &Caller, start: Place, path: &[u8], is_directory: bool) -> Result<(), Errno> {
        let resolved = self.walk(caller, start, path, Links::Keep)?;
        let name = match &resolved.last {
            Last::Name(name) => name,
            _ if !is_directory => return Err(Errno::EISDIR),
            Last::Dot => return Err(Errno::EINVAL),
            Last::DotDot => return Err(Errno::ENOTEMPTY),
            Last::Root => return Err(Errno::EBUSY),
        };
        let found = resolved.found.ok_or(Errno::ENOENT)?;
        let (parent, file) = self.removable(caller, &resolved, found)?;
        let found_directory = file.mode & mode::FORMAT == mode::DIRECTORY;
        match (is_directory, found_directory) {
            (false, true) => return Err(Errno::EISDIR),
            (true, false) => return Err(Errno::ENOTDIR),
            (false, false) if resolved.slash => return Err(Errno::ENOTDIR),
            _ => {}
        }
        self.check_idle(found)?;
        self.fs(parent).unlink(caller, parent.node, name, is_directory)
    }

    /// The rights to take the name of `found` away; the directory with the name
    /// and what is known of the file.
    fn removable(&mut self, caller: &Caller, resolved: &Resolved, found: Place) -> Result<(Place, Stat), Errno> {
        let directory = self.check_directory(caller, resolved.parent)?;
        let file = self.stat(found)?;
        caller.check_sticky(&directory, &file)?;
        self.revoke(&file);
        Ok((resolved.parent, file))
    }

    /// rename(2); EEXIST if the new name is there and `replace` is not set.
    pub fn rename(
        &mut self,
        caller: &Caller,
        from: (Place, &[u8]),
        to: (Place, &[u8]),
        replace: bool,
    ) -> Result<(), Errno> {
        let from = self.walk(caller, from.0, from.1, Links::Keep)?;
        let to = self.walk(caller, to.0, to.1, Links::Keep)?;
        if from.parent.mount != to.parent.mount {
            return Err(Errno::EXDEV);
        }
        let (Last::Name(old), Last::Name(new)) = (&from.last, &to.last) else {
            return Err(if replace { Errno::EBUSY } else { Errno::EEXIST });
        };
        let file = from.found.ok_or(Errno::ENOENT)?;
        if !replace && to.found.is_some() {
            return Err(Errno::EEXIST);
        }
        let is_directory = self.is_directory(file)?;
        if !is_directory && (from.slash || to.slash) {
            return Err(Errno::ENOTDIR);
        }
        if is_directory && self.is_within(to.parent, file)? {
            return Err(Errno::EINVAL);
        }
        // What contains the file cannot be empty.
        if let Some(over) = to.found
            && over != file
            && self.is_within(from.parent, over)?
        {
            return Err(Errno::ENOTEMPTY);
        }
        if to.found == Some(file) {
            return Ok(());
        }
        let (_, stat) = self.removable(caller, &from, file)?;
        if let Some(over) = to.found {
            self.removable(caller, &to, over)?;
            self.check_idle(over)?;
        } else {
            self.check_directory(caller, to.parent)?;
        }
        self.check_idle(file)?;
        // A directory that moves has its `..` changed.
        if is_directory && from.parent != to.parent {
            caller.check(&stat, Rights::WRITE)?;
        }
        let (from, to) = ((from.parent.node, &**old), (to.parent.node, &**new));
        self.fs(file).rename(caller, from, to)
    }

    /// Whether the directory `place` is `above` or below it.
    fn is_within(&mut self, place: Place, above: Place) -> Result<bool, Errno> {
        let (mut here, root) = (place, self.root());
        // Nothing is mounted over and over, so this ends at the root.
        loop {
            if here == above {
                return Ok(true);
            }
            if here == root {
                return Ok(false);
            }
            here = self.parent(here)?;
        }
    }
}
