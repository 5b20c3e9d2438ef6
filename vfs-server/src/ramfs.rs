//! A file system in memory: everything that Linux's tmpfs has, for as long as
//! the server runs.
//!
//! Content is in pages, and whoever writes one pays for it from its share of
//! the [`Pool`]; ENOSPC when that is used up. Every operation costs by the
//! logarithm of what there is, but for what must be gone through: the pages of
//! a read or write, the pages that a truncation or removal frees (no more than
//! the pool has), and the way to the root when a directory is moved.

mod content;
mod directory;

use alloc::{boxed::Box, collections::BTreeMap, rc::Rc, vec::Vec};

use strait_abi::{
    Errno,
    vfs::{Stat, StatVfs, kind, mode},
};

use content::Content;
pub use content::MAX_SIZE;
use directory::Directory;

use crate::{
    file_system::{Entry, FileSystem, New, Node, Window},
    identity::Caller,
    pool::{Charge, NOBODY, Pool},
};

/// Most names of one file (as ext4 has it).
const MAX_LINKS: u32 = 65_000;
/// A symbolic link costs one more inode for so many bytes.
const LONG_TARGET: usize = 256;
const ROOT: Node = 1;

enum Body {
    Regular(Content),
    Directory(Directory),
    Link(Box<[u8]>),
    /// A FIFO or a socket: what passes through it is elsewhere.
    Special,
}

struct Inode {
    mode: u32,
    uid: u32,
    gid: u32,
    nlink: u32,
    /// Who needs it besides its names.
    holds: u32,
    atime: u64,
    mtime: u64,
    ctime: u64,
    body: Body,
    /// Given back with the inode.
    _charge: Option<Charge>,
}

/// The file system.
pub struct Ramfs {
    pool: Rc<Pool>,
    inodes: BTreeMap<Node, Inode>,
    next: Node,
}

impl Ramfs {
    /// An empty one, whose root has these permissions and belongs to the
    /// superuser.
    pub fn new(pool: Rc<Pool>, permissions: u32) -> Self {
        let root = Inode {
            mode: mode::DIRECTORY | permissions & mode::PERMISSIONS,
            uid: 0,
            gid: 0,
            nlink: 2,
            holds: 1,
            atime: 0,
            mtime: 0,
            ctime: 0,
            body: Body::Directory(Directory::new(ROOT, Rc::from(&b""[..]))),
            _charge: None,
        };
        Self { pool, inodes: BTreeMap::from([(ROOT, root)]), next: ROOT + 1 }
    }

    /// Files and directories, removed ones that are in use too.
    pub fn inodes(&self) -> usize {
        self.inodes.len()
    }

    fn inode(&self, node: Node) -> Result<&Inode, Errno> {
        self.inodes.get(&node).ok_or(Errno::ENOENT)
    }

    fn inode_mut(&mut self, node: Node) -> Result<&mut Inode, Errno> {
        self.inodes.get_mut(&node).ok_or(Errno::ENOENT)
    }

    fn directory(&self, node: Node) -> Result<&Directory, Errno> {
        match &self.inode(node)?.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// A directory to be changed: ENOENT if it was removed.
    fn live_directory(&mut self, node: Node) -> Result<(&mut Inode, Node), Errno> {
        self.directory(node)?;
        let inode = self.inode_mut(node)?;
        if inode.nlink == 0 { Err(Errno::ENOENT) } else { Ok((inode, node)) }
    }

    /// The content of a regular file.
    fn content(&mut self, node: Node) -> Result<&mut Content, Errno> {
        match &mut self.inode_mut(node)?.body {
            Body::Regular(content) => Ok(content),
            Body::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The content of a file has changed.
    fn changed(&mut self, caller: &Caller, node: Node) -> Result<(), Errno> {
        let inode = self.inode_mut(node)?;
        (inode.mtime, inode.ctime) = (caller.now, caller.now);
        if !caller.is_root() {
            // inode(7): it is not what it was trusted to be.
            inode.mode &= !mode::SETUID;
            inode.mode &= if inode.mode & 0o010 != 0 { !mode::SETGID } else { u32::MAX };
        }
        Ok(())
    }

    /// Puts a name into a live directory where it is not.
    fn insert(&mut self, now: u64, directory: Node, name: Rc<[u8]>, node: Node, charge: Option<Charge>) {
        let is_directory = self.directory(node).is_ok();
        if let Some(Inode { body: Body::Directory(d), nlink, mtime, ctime, .. }) = self.inodes.get_mut(&directory) {
            d.insert(name.clone(), node, charge);
            (*mtime, *ctime) = (now, now);
            if is_directory {
                d.directories += 1;
                *nlink += 1;
            }
        }
        if let Some(Inode { body: Body::Directory(d), .. }) = self.inodes.get_mut(&node) {
            (d.parent, d.name) = (directory, name);
        }
    }

    /// Takes a name out of a directory, and gives what paid for it.
    fn remove(&mut self, now: u64, directory: Node, name: &[u8]) -> Option<(Node, Option<Charge>)> {
        let inode = self.inodes.get_mut(&directory)?;
        let Body::Directory(d) = &mut inode.body else { return None };
        let entry = d.remove(name)?;
        (inode.mtime, inode.ctime) = (now, now);
        if self.directory(entry.node).is_ok()
            && let Some(inode) = self.inodes.get_mut(&directory)
            && let Body::Directory(d) = &mut inode.body
        {
            d.directories = d.directories.saturating_sub(1);
            inode.nlink = inode.nlink.saturating_sub(1);
        }
        Some((entry.node, entry.charge))
    }

    /// A name of `node` is gone.
    fn unlinked(&mut self, now: u64, node: Node) {
        let Some(inode) = self.inodes.get_mut(&node) else { return };
        inode.nlink = if matches!(inode.body, Body::Directory(_)) { 0 } else { inode.nlink.saturating_sub(1) };
        inode.ctime = now;
        if inode.nlink == 0 && inode.holds == 0 {
            self.inodes.remove(&node);
        }
    }

    /// EINVAL if the directory `moved` is `into` or above it.
    fn check_cycle(&self, moved: Node, into: Node) -> Result<(), Errno> {
        let mut here = into;
        // A tree cannot be deeper than it has directories.
        for _ in 0..=self.inodes.len() {
            if here == moved {
                return Err(Errno::EINVAL);
            }
            if here == ROOT {
                return Ok(());
            }
            here = self.directory(here)?.parent;
        }
        Err(Errno::EIO)
    }
}

fn time(nanos: u64) -> (i64, u32) {
    ((nanos / 1_000_000_000) as i64, (nanos % 1_000_000_000) as u32)
}

impl FileSystem for Ramfs {
    fn kind(&self) -> &'static str {
        "ramfs"
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn root(&self) -> Node {
        ROOT
    }

    fn lookup(&mut self, directory: Node, name: &[u8]) -> Result<Node, Errno> {
        self.directory(directory)?.get(name).ok_or(Errno::ENOENT)
    }

    fn parent(&mut self, directory: Node) -> Result<Node, Errno> {
        Ok(self.directory(directory)?.parent)
    }

    fn name(&mut self, directory: Node, into: &mut Vec<u8>) -> Result<(), Errno> {
        if self.inode(directory)?.nlink == 0 {
            return Err(Errno::ENOENT);
        }
        into.extend_from_slice(&self.directory(directory)?.name);
        Ok(())
    }

    fn stat(&mut self, node: Node) -> Result<Stat, Errno> {
        let inode = self.inode(node)?;
        let (size, pages) = match &inode.body {
            Body::Regular(content) => (content.size(), content.pages() as u64),
            Body::Directory(_) => (4096, 0),
            Body::Link(target) => (target.len() as u64, 0),
            Body::Special => (0, 0),
        };
        let (atime, atime_nsec) = time(inode.atime);
        let (mtime, mtime_nsec) = time(inode.mtime);
        let (ctime, ctime_nsec) = time(inode.ctime);
        Ok(Stat {
            ino: node,
            size,
            blocks: pages * 8,
            atime,
            mtime,
            ctime,
            atime_nsec,
            mtime_nsec,
            ctime_nsec,
            mode: inode.mode,
            nlink: inode.nlink,
            uid: inode.uid,
            gid: inode.gid,
            block_size: 4096,
            ..Stat::default()
        })
    }

    fn stat_vfs(&mut self, caller: &Caller) -> Result<StatVfs, Errno> {
        let (share, used) = (self.pool.share(), self.pool.used_by(caller.payer));
        let (bfree, ffree) = (share.pages - used.pages, share.inodes - used.inodes);
        Ok(StatVfs {
            bsize: 4096,
            frsize: 4096,
            blocks: share.pages,
            bfree,
            bavail: bfree,
            files: share.inodes,
            ffree,
            favail: ffree,
            namemax: 255,
            ..StatVfs::default()
        })
    }

    fn read(&mut self, node: Node, offset: u64, into: Window) -> Result<usize, Errno> {
        self.content(node)?.read(offset, into)
    }

    fn list(&mut self, directory: Node, from: u64, emit: &mut dyn FnMut(Entry<'_>) -> bool) -> Result<(), Errno> {
        for (name, node, next) in self.directory(directory)?.entries(from) {
            let kind = match self.inode(node)?.mode & mode::FORMAT {
                mode::DIRECTORY => kind::DIRECTORY,
                mode::REGULAR => kind::REGULAR,
                mode::SYMLINK => kind::SYMLINK,
                mode::FIFO => kind::FIFO,
                mode::SOCKET => kind::SOCKET,
                _ => kind::UNKNOWN,
            };
            if !emit(Entry { name, ino: node, kind, next }) {
                break;
            }
        }
        Ok(())
    }

    fn read_link(&mut self, node: Node, into: &mut Vec<u8>) -> Result<(), Errno> {
        let Body::Link(target) = &self.inode(node)?.body else { return Err(Errno::EINVAL) };
        into.extend_from_slice(target);
        Ok(())
    }

    fn mount_point(&mut self, directory: Node, name: &[u8]) -> Result<Node, Errno> {
        if let Ok(there) = self.lookup(directory, name) {
            return Ok(there);
        }
        let caller = Caller { payer: NOBODY, uid: 0, gid: 0, now: 0 };
        self.make(&caller, directory, name, New { mode: mode::DIRECTORY | 0o755, target: b"" })
    }

    fn hold(&mut self, node: Node) {
        if let Ok(inode) = self.inode_mut(node) {
            inode.holds += 1;
        }
    }

    fn release(&mut self, node: Node) {
        let Ok(inode) = self.inode_mut(node) else { return };
        inode.holds = inode.holds.saturating_sub(1);
        if inode.nlink == 0 && inode.holds == 0 {
            self.inodes.remove(&node);
        }
    }

    fn make(&mut self, caller: &Caller, directory: Node, name: &[u8], new: New<'_>) -> Result<Node, Errno> {
        self.live_directory(directory)?;
        if self.directory(directory)?.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        let (mut mode, mut gid) = (new.mode, caller.gid);
        let parent = self.inode(directory)?;
        if parent.mode & mode::SETGID != 0 {
            // inode(7): what is made in such a directory belongs to its group.
            gid = parent.gid;
            match mode & mode::FORMAT {
                mode::DIRECTORY => mode |= mode::SETGID,
                _ if !caller.is_root() && caller.gid != gid && mode & 0o010 != 0 => mode &= !mode::SETGID,
                _ => {}
            }
        }
        let node = self.next;
        let name: Rc<[u8]> = name.into();
        let body = match mode & mode::FORMAT {
            mode::REGULAR => Body::Regular(Content::default()),
            mode::DIRECTORY => Body::Directory(Directory::new(directory, name.clone())),
            mode::SYMLINK => Body::Link(new.target.into()),
            mode::FIFO | mode::SOCKET => Body::Special,
            _ => return Err(Errno::EINVAL),
        };
        let inode = Inode {
            mode,
            uid: caller.uid,
            gid,
            nlink: if matches!(body, Body::Directory(_)) { 2 } else { 1 },
            holds: 0,
            atime: caller.now,
            mtime: caller.now,
            ctime: caller.now,
            body,
            _charge: Some(self.pool.inodes(caller.payer, 1 + (new.target.len() / LONG_TARGET) as u64)?),
        };
        self.inodes.insert(node, inode);
        self.next += 1;
        self.insert(caller.now, directory, name, node, None);
        Ok(node)
    }

    fn link(&mut self, caller: &Caller, node: Node, directory: Node, name: &[u8]) -> Result<(), Errno> {
        self.live_directory(directory)?;
        if self.directory(directory)?.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        let charge = self.pool.inodes(caller.payer, 1)?;
        let inode = self.inode_mut(node)?;
        match inode.body {
            Body::Directory(_) => return Err(Errno::EPERM),
            _ if inode.nlink == 0 => return Err(Errno::ENOENT),
            _ if inode.nlink >= MAX_LINKS => return Err(Errno::EMLINK),
            _ => {}
        }
        inode.nlink += 1;
        inode.ctime = caller.now;
        self.insert(caller.now, directory, name.into(), node, Some(charge));
        Ok(())
    }

    fn unlink(&mut self, caller: &Caller, directory: Node, name: &[u8], is_directory: bool) -> Result<(), Errno> {
        let node = self.lookup(directory, name)?;
        match &self.inode(node)?.body {
            Body::Directory(_) if !is_directory => return Err(Errno::EISDIR),
            Body::Directory(d) if !d.is_empty() => return Err(Errno::ENOTEMPTY),
            Body::Directory(_) => {}
            _ if is_directory => return Err(Errno::ENOTDIR),
            _ => {}
        }
        self.remove(caller.now, directory, name);
        self.unlinked(caller.now, node);
        Ok(())
    }

    fn rename(&mut self, caller: &Caller, from: (Node, &[u8]), to: (Node, &[u8])) -> Result<(), Errno> {
        let node = self.lookup(from.0, from.1)?;
        self.live_directory(to.0)?;
        let is_directory = self.directory(node).is_ok();
        if is_directory {
            self.check_cycle(node, to.0)?;
        }
        let over = self.directory(to.0)?.get(to.1);
        if let Some(over) = over {
            if over == node {
                return Ok(());
            }
            match self.directory(over) {
                Ok(_) if !is_directory => return Err(Errno::EISDIR),
                Ok(d) if !d.is_empty() => return Err(Errno::ENOTEMPTY),
                Err(_) if is_directory => return Err(Errno::ENOTDIR),
                _ => {}
            }
            self.remove(caller.now, to.0, to.1);
            self.unlinked(caller.now, over);
        }
        let Some((_, charge)) = self.remove(caller.now, from.0, from.1) else { return Err(Errno::ENOENT) };
        self.insert(caller.now, to.0, to.1.into(), node, charge);
        self.inode_mut(node)?.ctime = caller.now;
        Ok(())
    }

    fn change_mode(&mut self, caller: &Caller, node: Node, permissions: u32) -> Result<(), Errno> {
        let inode = self.inode_mut(node)?;
        inode.mode = inode.mode & mode::FORMAT | permissions & mode::PERMISSIONS;
        inode.ctime = caller.now;
        Ok(())
    }

    fn write(&mut self, caller: &Caller, node: Node, offset: u64, from: Window) -> Result<usize, Errno> {
        let pool = self.pool.clone();
        let n = self.content(node)?.write(offset, from, &pool, caller.payer)?;
        if n != 0 {
            self.changed(caller, node)?;
        }
        Ok(n)
    }

    fn truncate(&mut self, caller: &Caller, node: Node, size: u64) -> Result<(), Errno> {
        self.content(node)?.truncate(size)?;
        self.changed(caller, node)
    }
}
