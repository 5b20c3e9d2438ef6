//! The tree that clients see: file systems on one another, and the walk along
//! a path.

use alloc::{boxed::Box, vec::Vec};

use strait_abi::{
    Errno,
    vfs::{NAME_MAX, PATH_MAX, Stat, kind, mode},
};

use crate::file_system::{Entry, FileSystem, Node, Window};

/// A file anywhere in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    mount: usize,
    node: Node,
}

/// Where a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// To this file.
    Exists(Place),
    /// The last name is not there, but the directory is.
    Missing(Place, &'a [u8]),
}

struct Mount {
    file_system: Box<dyn FileSystem>,
    /// The directory that it covers; the root covers none.
    covers: Option<Place>,
}

/// All mounted file systems.
pub struct Tree {
    mounts: Vec<Mount>,
}

impl Tree {
    /// A tree with this root.
    pub fn new(root: Box<dyn FileSystem>) -> Self {
        Self { mounts: alloc::vec![Mount { file_system: root, covers: None }] }
    }

    /// Puts a file system over the directory at `path`. EBUSY if there is one
    /// already.
    pub fn mount(&mut self, path: &[u8], file_system: Box<dyn FileSystem>) -> Result<(), Errno> {
        let covers = self.find(self.root(), path)?;
        if !self.is_directory(covers)? {
            return Err(Errno::ENOTDIR);
        }
        if covers.node == self.mounts[covers.mount].file_system.root() {
            return Err(Errno::EBUSY);
        }
        self.mounts.push(Mount { file_system, covers: Some(covers) });
        Ok(())
    }

    /// The topmost directory.
    pub fn root(&self) -> Place {
        Place { mount: 0, node: self.mounts[0].file_system.root() }
    }

    fn fs(&mut self, place: Place) -> &mut dyn FileSystem {
        &mut *self.mounts[place.mount].file_system
    }

    /// The file at `path`, from the directory `start` on.
    pub fn find(&mut self, start: Place, path: &[u8]) -> Result<Place, Errno> {
        match self.walk(start, path)? {
            Target::Exists(place) => Ok(place),
            Target::Missing(..) => Err(Errno::ENOENT),
        }
    }

    /// Goes along `path`: at most [`PATH_MAX`] bytes, so at most half as many
    /// steps.
    pub fn walk<'a>(&mut self, start: Place, path: &'a [u8]) -> Result<Target<'a>, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path.len() > PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if path.contains(&0) {
            return Err(Errno::EINVAL);
        }
        let mut here = if path[0] == b'/' { self.root() } else { start };
        let wants_directory = path.ends_with(b"/");
        let mut names = path.split(|&b| b == b'/').filter(|n| !n.is_empty()).peekable();
        while let Some(name) = names.next() {
            if name.len() > NAME_MAX {
                return Err(Errno::ENAMETOOLONG);
            }
            let last = names.peek().is_none();
            here = match name {
                b"." if self.is_directory(here)? => here,
                b".." if self.is_directory(here)? => self.parent(here)?,
                b"." | b".." => return Err(Errno::ENOTDIR),
                _ => match self.fs(here).lookup(here.node, name) {
                    Err(Errno::ENOENT) if last && !wants_directory => return Ok(Target::Missing(here, name)),
                    found => self.uppermost(Place { node: found?, ..here }),
                },
            };
        }
        if wants_directory && !self.is_directory(here)? {
            return Err(Errno::ENOTDIR);
        }
        Ok(Target::Exists(here))
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

    /// Whether it is a directory.
    pub fn is_directory(&mut self, place: Place) -> Result<bool, Errno> {
        Ok(self.stat(place)?.mode & mode::FORMAT == mode::DIRECTORY)
    }

    /// See [`FileSystem::is_constant`].
    pub fn is_constant(&self, place: Place) -> bool {
        self.mounts[place.mount].file_system.is_constant()
    }

    /// What is known of it.
    pub fn stat(&mut self, place: Place) -> Result<Stat, Errno> {
        Ok(Stat { dev: place.mount as u32 + 1, ..self.fs(place).stat(place.node)? })
    }

    /// See [`FileSystem::read`].
    pub fn read(&mut self, place: Place, offset: u64, into: Window) -> Result<usize, Errno> {
        self.fs(place).read(place.node, offset, into)
    }

    /// See [`FileSystem::create`].
    pub fn create(&mut self, directory: Place, name: &[u8], mode: u32) -> Result<Place, Errno> {
        Ok(Place { node: self.fs(directory).create(directory.node, name, mode)?, ..directory })
    }

    /// See [`FileSystem::open_for_writing`].
    pub fn open_for_writing(&mut self, place: Place, truncate: bool) -> Result<(), Errno> {
        self.fs(place).open_for_writing(place.node, truncate)
    }

    /// As [`FileSystem::list`], with `.` and `..`.
    pub fn list(&mut self, directory: Place, from: u64, emit: &mut dyn FnMut(Entry<'_>) -> bool) -> Result<(), Errno> {
        const DOTS: u64 = 2;
        if !self.is_directory(directory)? {
            return Err(Errno::ENOTDIR);
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
