//! The tree that clients see: file systems on one another, the walk along a
//! path, and what may be done with what is found.

mod names;
mod open;
mod walk;

use alloc::{boxed::Box, vec::Vec};

use strait_abi::{
    Errno,
    vfs::{PATH_MAX, Stat, StatVfs, kind, mode},
};

pub use open::Opened;
pub use walk::{Last, Links, Resolved};

use crate::{
    file_system::{Entry, FileSystem, New, Node, Window},
    identity::{Caller, Rights},
};

/// A file anywhere in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    mount: usize,
    node: Node,
}

struct Mount {
    file_system: Box<dyn FileSystem>,
    /// The directory that it covers; the root covers none.
    covers: Option<Place>,
}

/// All mounted file systems.
pub struct Tree {
    mounts: Vec<Mount>,
    /// What has the pipes of pipe(2), which no path leads to.
    pipes: Option<usize>,
    /// See [`take_revoked`](Self::take_revoked).
    revoked: bool,
}

impl Tree {
    /// A tree with this root.
    pub fn new(root: Box<dyn FileSystem>) -> Self {
        Self { mounts: alloc::vec![Mount { file_system: root, covers: None }], pipes: None, revoked: false }
    }

    /// Puts a file system over the directory at `path`, whose last part is made
    /// if need be. EBUSY if there is one already. Only before the first client
    /// is served.
    pub fn mount(&mut self, path: &[u8], file_system: Box<dyn FileSystem>) -> Result<(), Errno> {
        let mut here = self.root();
        for name in path.split(|&b| b == b'/').filter(|n| !n.is_empty()) {
            let node = self.fs(here).mount_point(here.node, name)?;
            here = self.uppermost(Place { node, ..here });
        }
        if !self.is_directory(here)? {
            return Err(Errno::ENOTDIR);
        }
        if here.node == self.mounts[here.mount].file_system.root() {
            return Err(Errno::EBUSY);
        }
        self.fs(here).hold(here.node);
        self.mounts.push(Mount { file_system, covers: Some(here) });
        Ok(())
    }

    /// Says where the pipes of pipe(2) are.
    pub fn mount_pipes(&mut self, file_system: Box<dyn FileSystem>) {
        self.pipes = Some(self.mounts.len());
        self.mounts.push(Mount { file_system, covers: None });
    }

    /// A FIFO without a name, held once. ENFILE if there is no room for it.
    pub fn make_pipe(&mut self, caller: &Caller) -> Result<Place, Errno> {
        const NAME: &[u8] = b"pipe";
        let mount = self.pipes.ok_or(Errno::ENFILE)?;
        let file_system = &mut *self.mounts[mount].file_system;
        let (root, new) = (file_system.root(), New { mode: mode::FIFO | 0o600, target: b"" });
        let node = file_system.make(caller, root, NAME, new).map_err(|_| Errno::ENFILE)?;
        file_system.hold(node);
        file_system.unlink(caller, root, NAME, false)?;
        Ok(Place { mount, node })
    }

    /// The topmost directory.
    pub fn root(&self) -> Place {
        Place { mount: 0, node: self.mounts[0].file_system.root() }
    }

    fn fs(&mut self, place: Place) -> &mut dyn FileSystem {
        &mut *self.mounts[place.mount].file_system
    }

    /// The root of what is mounted on `place`, if anything.
    fn uppermost(&self, mut place: Place) -> Place {
        // A mount covers a place of an earlier one, so one pass is enough.
        for (i, mount) in self.mounts.iter().enumerate() {
            if mount.covers == Some(place) {
                place = Place { mount: i, node: mount.file_system.root() };
            }
        }
        place
    }

    /// EBUSY if something is mounted there, or it is a root itself.
    fn check_idle(&self, place: Place) -> Result<(), Errno> {
        let covered = self.mounts.iter().any(|m| m.covers == Some(place));
        let root = self.mounts[place.mount].file_system.root() == place.node;
        if covered || root { Err(Errno::EBUSY) } else { Ok(()) }
    }

    /// The directory that `directory` is in; of the root, the root.
    pub fn parent(&mut self, directory: Place) -> Result<Place, Errno> {
        let mut here = directory;
        while here.node == self.mounts[here.mount].file_system.root() {
            // Each step leads to an earlier mount.
            match self.mounts[here.mount].covers {
                Some(covered) => here = covered,
                None => return Ok(here),
            }
        }
        let node = self.fs(here).parent(here.node)?;
        Ok(self.uppermost(Place { node, ..here }))
    }

    /// The absolute path of a directory. ENOENT if it was removed; ENAMETOOLONG
    /// if the path is longer than PATH_MAX.
    pub fn path_of(&mut self, directory: Place) -> Result<Vec<u8>, Errno> {
        // From the end to the beginning: parts, each written backwards.
        let mut path = Vec::new();
        let mut here = directory;
        loop {
            while here.node == self.mounts[here.mount].file_system.root() {
                match self.mounts[here.mount].covers {
                    Some(covered) => here = covered,
                    None => {
                        if path.is_empty() {
                            path.push(b'/');
                        }
                        path.reverse();
                        return Ok(path);
                    }
                }
            }
            let start = path.len();
            self.fs(here).name(here.node, &mut path)?;
            path[start..].reverse();
            path.push(b'/');
            if path.len() > PATH_MAX {
                return Err(Errno::ENAMETOOLONG);
            }
            here = Place { node: self.fs(here).parent(here.node)?, ..here };
        }
    }

    /// Whether it is a directory.
    pub fn is_directory(&mut self, place: Place) -> Result<bool, Errno> {
        Ok(self.stat(place)?.mode & mode::FORMAT == mode::DIRECTORY)
    }

    /// See [`FileSystem::is_constant`].
    pub fn is_constant(&self, place: Place) -> bool {
        self.mounts[place.mount].file_system.is_constant()
    }

    /// EACCES if the file's permission bits do not allow `rights`; EROFS if
    /// that is to write and the file system cannot be written.
    pub fn check(&mut self, caller: &Caller, place: Place, rights: Rights) -> Result<Stat, Errno> {
        let stat = self.stat(place)?;
        // What passes through FIFOs and sockets is not in the file system.
        let content = matches!(stat.mode & mode::FORMAT, mode::REGULAR | mode::DIRECTORY | mode::SYMLINK);
        if rights.writes() && content {
            self.check_writable(place)?;
        }
        caller.check(&stat, rights)?;
        Ok(stat)
    }

    fn check_writable(&mut self, place: Place) -> Result<(), Errno> {
        if self.fs(place).is_read_only() { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// What is known of it.
    pub fn stat(&mut self, place: Place) -> Result<Stat, Errno> {
        let mut stat = Stat { dev: place.mount as u32 + 1, ..self.fs(place).stat(place.node)? };
        if Some(place.mount) == self.pipes {
            // As on Linux, where they have names that nobody sees.
            stat.nlink = 1;
        }
        Ok(stat)
    }

    /// See [`FileSystem::stat_vfs`].
    pub fn stat_vfs(&mut self, caller: &Caller, place: Place) -> Result<StatVfs, Errno> {
        Ok(StatVfs { fsid: place.mount as u64 + 1, ..self.fs(place).stat_vfs(caller)? })
    }

    /// See [`FileSystem::hold`].
    pub fn hold(&mut self, place: Place) {
        self.fs(place).hold(place.node);
    }

    /// See [`FileSystem::release`].
    pub fn release(&mut self, place: Place) {
        self.fs(place).release(place.node);
    }

    /// See [`FileSystem::read`].
    pub fn read(&mut self, place: Place, offset: u64, into: Window) -> Result<usize, Errno> {
        self.fs(place).read(place.node, offset, into)
    }

    /// See [`FileSystem::write`].
    pub fn write(&mut self, caller: &Caller, place: Place, offset: u64, from: Window) -> Result<usize, Errno> {
        self.fs(place).write(caller, place.node, offset, from)
    }

    /// See [`FileSystem::truncate`].
    pub fn truncate(&mut self, caller: &Caller, place: Place, size: u64) -> Result<(), Errno> {
        self.fs(place).truncate(caller, place.node, size)
    }

    /// See [`FileSystem::sync`].
    pub fn sync(&mut self, place: Place) -> u64 {
        self.fs(place).sync(place.node)
    }

    /// See [`FileSystem::synced`].
    pub fn synced(&mut self, place: Place, ticket: u64) -> Result<(), Errno> {
        self.fs(place).synced(ticket)
    }

    /// An operation begins, see [`FileSystem::begin`].
    pub fn begin(&mut self, client: usize) {
        self.mounts.iter_mut().for_each(|mount| mount.file_system.begin(client));
    }

    /// An operation has ended, see [`FileSystem::finish`]. Whether it must be
    /// run again.
    pub fn finish(&mut self, done: bool) -> bool {
        // If one is not ready, the others must forget it too.
        let again = self.mounts.iter().any(|m| m.file_system.is_blocked());
        for mount in &mut self.mounts {
            mount.file_system.finish(done && !again);
        }
        again
    }

    /// Whether somebody may have lost the right to connect to a socket node since
    /// this was asked last.
    pub fn take_revoked(&mut self) -> bool {
        core::mem::take(&mut self.revoked)
    }

    /// A file is going to lose its name, or gets other permissions.
    fn revoke(&mut self, file: &Stat) {
        self.revoked |= matches!(file.mode & mode::FORMAT, mode::SOCKET | mode::DIRECTORY);
    }

    /// See [`FileSystem::service`].
    pub fn service(&mut self) -> bool {
        // Each of them, whatever those before say.
        self.mounts.iter_mut().filter_map(|m| m.file_system.service().then_some(())).count() > 0
    }

    /// See [`FileSystem::trouble`].
    pub fn trouble(&mut self) -> Option<&'static str> {
        self.mounts.iter_mut().find_map(|m| m.file_system.trouble())
    }

    /// See [`FileSystem::arm`].
    pub fn arm(&mut self) -> bool {
        self.mounts.iter_mut().filter_map(|m| m.file_system.arm().then_some(())).count() > 0
    }

    /// See [`FileSystem::read_link`].
    pub fn read_link(&mut self, place: Place) -> Result<Vec<u8>, Errno> {
        let mut target = Vec::new();
        self.fs(place).read_link(place.node, &mut target)?;
        Ok(target)
    }

    /// chmod(2).
    pub fn change_mode(&mut self, caller: &Caller, place: Place, permissions: u32) -> Result<(), Errno> {
        self.check_writable(place)?;
        let stat = self.stat(place)?;
        if !caller.owns(&stat) {
            return Err(Errno::EPERM);
        }
        self.revoke(&stat);
        // Only members of the group may mark a file with it.
        let foreign = !caller.is_root() && caller.gid != stat.gid;
        let permissions = if foreign { permissions & !mode::SETGID } else { permissions };
        self.fs(place).change_mode(caller, place.node, permissions)
    }

    /// As [`FileSystem::list`], with `.` and `..`.
    pub fn list(&mut self, directory: Place, from: u64, emit: &mut dyn FnMut(Entry<'_>) -> bool) -> Result<(), Errno> {
        const DOTS: u64 = 2;
        let stat = self.stat(directory)?;
        if stat.mode & mode::FORMAT != mode::DIRECTORY {
            return Err(Errno::ENOTDIR);
        }
        if stat.nlink == 0 {
            return Err(Errno::ENOENT);
        }
        for (name, next) in [(&b"."[..], 1), (b"..", DOTS)] {
            if from < next {
                let place = if next == 1 { directory } else { self.parent(directory)? };
                let ino = self.stat(place)?.ino;
                if !emit(Entry { name, ino, kind: kind::DIRECTORY, next }) {
                    return Ok(());
                }
            }
        }
        self.fs(directory).list(directory.node, from.saturating_sub(DOTS), &mut |entry| {
            emit(Entry { next: entry.next.saturating_add(DOTS), ..entry })
        })
    }
}
