//! FAT12, FAT16 and FAT32 on the disk of `blk_driver`.
//!
//! The format is the business of the crate `hadris-fat`: `no_std`, long names,
//! all operations, no state that must outlive a call (a file is known by where
//! its directory entry is), writes ordered against crashes, and its readers are
//! fuzzed against broken volumes by its authors. What else there is on
//! crates.io: `fatfs` 0.3 needs `core_io`, which new compilers refuse, and 0.4
//! was never published but as a copy under another name, with panics on broken
//! volumes that are known; `embedded-sdmmc` makes short names only and cannot
//! rename. It is a release candidate still, hence the exact version. Code that
//! is not called costs nothing.
//!
//! The crate wants a disk that answers at once. Here it gets a view of the
//! [cache](crate::disk::cache), which gives an error instead of waiting; the
//! operation then leaves nothing behind and is run again from its beginning.
//! For that the volume is opened anew for each step of an operation, from
//! sectors that are in the cache: there is no state that could be half changed.
//!
//! What FAT does not have: owners, permissions but "read-only", links, FIFOs, sockets
//! (EPERM, as Linux says), names that differ in case alone. Times are those since the
//! system's start, from 1980 on: there is no clock.
//!
//! So all files have one [`Owner`], which the settings `fat.uid`, `fat.gid` and
//! `fat.umask` name as mount(8) does: root otherwise, and everybody may do everything.
//! Whoever may write may fill the disk, as it may remove what others have there: for
//! want of owners there are no shares.
//!
//! Limits:
//!
//! - The name `STRAIT.DEL` in the root is not for clients: EPERM. See [`removed`].
//! - Names of more than 255 bytes of UTF-8 are not listed.
//! - An operation changes at most [`MAX_STAGED`](crate::disk::cache::MAX_STAGED)
//!   sectors and looks at [`MAX_USED`](crate::disk::cache::MAX_USED): EFBIG. That is
//!   enough for directories of 1.5 MiB, and to write to files of 390,000 clusters
//!   (FAT32); reading has no such limit.
//! - A file that grows by more than [`STEP`] at once is seen to grow in steps; so is
//!   one that is cut off by more than a few thousand clusters.

mod chain;
mod removed;
mod view;
mod write;

use alloc::{boxed::Box, collections::BTreeMap, format, string::String, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering};

use hadris_fat::{FatKind, Geometry, sync::FatFs};
use hadris_fs::{
    Clock, DateTime, DirCursor, Error, ErrorKind, FsResult, Metadata, MountOptions, Name, NoClock, NodeId, Permissions,
    RenameMode, SetAttr,
};
use strait_abi::{
    Errno,
    vfs::{NAME_MAX, ST_RDONLY, Stat, StatVfs, kind, mode},
};
use strait_pd::Environment;

use crate::{
    disk::{
        Disk, NOT_READY,
        cache::{Cache, Counters, Trouble},
        client,
        epoch::{Kind, Layout, Width},
    },
    file_system::{Entry, FileSystem, New, Node, Window},
    identity::Caller,
};
use chain::Position;
use removed::{Removed, Sweep, is_hidden};
use view::View;

/// Most bytes by which a file grows in one go, without what is written.
pub const STEP: u64 = 256 * 1024;
/// Most entries of one reading of a directory.
const MAX_LISTED: usize = 64;
/// Most files that are removed for good at once.
const MAX_SWEPT: usize = 8;
const ROOT: Node = 1;
/// Numbers of files whose own number another file has got.
const FIRST_SUBSTITUTE: Node = 1 << 63;
const MAX_SIZE: u64 = u32::MAX as u64;
const NANOSECONDS: u64 = 1_000_000_000;

type Volume<'a> = FatFs<View<'a>>;

/// The time of the operation that runs, in nanoseconds.
static NOW: AtomicU64 = AtomicU64::new(0);

struct SinceStart;

impl Clock for SinceStart {
    fn now(&self) -> DateTime {
        let now = NOW.load(Ordering::Relaxed);
        let seconds = NoClock::TIME.unix_seconds().saturating_add_unsigned(now / NANOSECONDS);
        DateTime::new(seconds, (now % NANOSECONDS) as u32).unwrap_or(NoClock::TIME)
    }
}

/// Whom the files belong to, and which permissions they do not have.
#[derive(Debug, Clone, Copy, Default)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permissions that no file has.
    pub mask: u32,
}

/// The file system.
pub struct Fat {
    cache: Cache,
    owner: Owner,
    /// What was not said yet, and whether anything was.
    trouble: Option<&'static str>,
    complained: bool,
    /// How often a file is in use.
    held: BTreeMap<Node, u32>,
    /// Files that have another number on the volume than here: those that were
    /// renamed while in use, and those that got the number of such.
    moved: BTreeMap<Node, u64>,
    /// Those in use that have no name any more.
    removed: BTreeMap<Node, Removed>,
    sweep: Sweep,
    /// How far files that are open were read.
    positions: BTreeMap<Node, Position>,
    layout: Option<Layout>,
    next_substitute: Node,
    cluster_size: u32,
    /// What is staged is to be kept although the operation is not at its end.
    keep: bool,
    /// The operation can be run again at once.
    again: bool,
    /// Most clusters that are freed in the next step.
    cut: u32,
    /// No cluster is free, and none has been freed since that was seen.
    full: bool,
}

/// The file system on the system's disk.
pub fn open(env: &Environment) -> Result<Box<dyn FileSystem>, String> {
    let number = |key, radix| match env.config.setting(key) {
        None => Ok(0),
        Some(text) => u32::from_str_radix(text, radix).map_err(|_| format!("{key}: `{text}` is no such number")),
    };
    let owner = Owner { uid: number("fat.uid", 10)?, gid: number("fat.gid", 10)?, mask: number("fat.umask", 8)? };
    let disk = client::open(env)?;
    Ok(Box::new(Fat::new(Box::new(disk)).owned_by(owner)))
}

fn errno(error: &Error<Trouble>) -> Errno {
    match (error.device_error(), error.kind()) {
        (Some(Trouble::NotReady), _) => NOT_READY,
        (Some(Trouble::TooMuch), _) | (None, ErrorKind::FileTooLarge) => Errno::EFBIG,
        (Some(Trouble::ReadOnly), _) | (None, ErrorKind::ReadOnly) => Errno::EROFS,
        (None, ErrorKind::NotFound | ErrorKind::InvalidHandle) => Errno::ENOENT,
        (None, ErrorKind::AlreadyExists) => Errno::EEXIST,
        (None, ErrorKind::NotADirectory) => Errno::ENOTDIR,
        (None, ErrorKind::IsADirectory) => Errno::EISDIR,
        (None, ErrorKind::DirectoryNotEmpty) => Errno::ENOTEMPTY,
        (None, ErrorKind::NoSpace) => Errno::ENOSPC,
        (None, ErrorKind::InvalidInput) => Errno::EINVAL,
        (None, ErrorKind::NameTooLong) => Errno::ENAMETOOLONG,
        (None, ErrorKind::Unsupported) => Errno::EPERM,
        (None, ErrorKind::LimitExceeded) => Errno::EOVERFLOW,
        (None, ErrorKind::Busy) => Errno::EBUSY,
        // The disk failed, or the volume is broken or no FAT.
        _ => Errno::EIO,
    }
}

fn trouble(trouble: Trouble) -> Errno {
    errno(&Error::device(trouble, "the cache"))
}

fn layout(geometry: &Geometry) -> Layout {
    Layout {
        // The others are copies of it.
        fat: geometry.fat_copy(geometry.active_fat()),
        fat_size: geometry.fat_size(),
        fat_end: geometry.fat_start() + geometry.fat_size() * u64::from(geometry.fat_count()),
        data: geometry.data_start(),
        cluster: geometry.cluster_size().into(),
        width: match geometry.kind() {
            FatKind::Fat12 => Width::Bits12,
            FatKind::Fat16 => Width::Bits16,
            _ => Width::Bits32,
        },
    }
}

impl Fat {
    /// The file system on `disk`, which is not read yet.
    pub fn new(disk: Box<dyn Disk>) -> Self {
        Self {
            cache: Cache::new(disk),
            owner: Owner::default(),
            trouble: None,
            complained: false,
            held: BTreeMap::new(),
            moved: BTreeMap::new(),
            removed: BTreeMap::new(),
            sweep: Sweep::default(),
            positions: BTreeMap::new(),
            layout: None,
            next_substitute: FIRST_SUBSTITUTE,
            cluster_size: 0,
            keep: false,
            again: false,
            cut: write::MAX_CUT,
            full: false,
        }
    }

    /// The same, with files of this owner.
    #[must_use]
    pub fn owned_by(self, owner: Owner) -> Self {
        Self { owner, ..self }
    }

    /// What is the same for all files.
    fn common(&self, format: u32, permissions: u32) -> Stat {
        let Owner { uid, gid, mask } = self.owner;
        Stat { mode: format | permissions & !mask, uid, gid, ..Stat::default() }
    }

    /// What its cache counts.
    pub fn counters(&self) -> Counters {
        self.cache.counters()
    }

    /// Opens the volume and does `f` with it.
    fn with<T>(&mut self, f: impl FnOnce(&mut Volume<'_>) -> FsResult<T, Trouble>) -> Result<T, Errno> {
        let options = MountOptions::new().with_clock(&SinceStart);
        let mut found = None;
        let result = match FatFs::mount(View(&mut self.cache), options) {
            Ok(mut volume) => {
                found = Some((layout(volume.info()), volume.info().cluster_size()));
                f(&mut volume)
            }
            Err(e) => Err(e.into()),
        };
        if let Some((layout, cluster_size)) = found {
            self.cache.set_layout(layout);
            self.layout = Some(layout);
            self.cluster_size = cluster_size;
        }
        // Whatever became of that error on its way.
        if self.cache.blocked() {
            return Err(NOT_READY);
        }
        result.map_err(|e| {
            if e.kind() == ErrorKind::NotRecognized && !self.complained {
                (self.trouble, self.complained) = (Some("the disk holds no FAT file system"), true);
            }
            errno(&e)
        })
    }

    /// As [`with`](Self::with), for what changes something.
    fn change<T>(
        &mut self,
        kind: Kind,
        caller: &Caller,
        f: impl FnOnce(&mut Volume<'_>) -> FsResult<T, Trouble>,
    ) -> Result<T, Errno> {
        NOW.store(caller.now, Ordering::Relaxed);
        self.cache.begin(kind)?;
        let done = self.with(|volume| {
            let done = f(volume)?;
            volume.sync()?;
            Ok(done)
        })?;
        self.full &= kind == Kind::Grow;
        Ok(done)
    }

    /// The file's number on the volume.
    fn id(&self, node: Node) -> Result<NodeId, Errno> {
        NodeId::new(self.moved.get(&node).copied().unwrap_or(node)).ok_or(Errno::ENOENT)
    }

    /// The number of the file that has number `id` on the volume.
    fn node(&mut self, id: NodeId) -> Node {
        let id = id.get();
        if let Some((node, _)) = self.moved.iter().find(|(_, now)| **now == id) {
            return *node;
        }
        if !self.moved.contains_key(&id) {
            return id;
        }
        let node = self.next_substitute;
        self.next_substitute = node.wrapping_add(1).max(FIRST_SUBSTITUTE);
        self.moved.insert(node, id);
        node
    }

    fn is_held(&self, node: Node) -> bool {
        self.held.contains_key(&node)
    }

    fn metadata(&mut self, node: Node) -> Result<Metadata, Errno> {
        let id = self.id(node)?;
        self.with(|volume| volume.stat(id))
    }
}

fn seconds(time: Option<DateTime>) -> i64 {
    time.map_or(NoClock::TIME.unix_seconds(), |t| t.unix_seconds())
}

impl FileSystem for Fat {
    fn kind(&self) -> &'static str {
        "fat"
    }

    fn is_read_only(&self) -> bool {
        self.cache.read_only()
    }

    fn root(&self) -> Node {
        ROOT
    }

    fn lookup(&mut self, directory: Node, name: &[u8]) -> Result<Node, Errno> {
        if is_hidden(directory, name) {
            return Err(Errno::ENOENT);
        }
        let directory = self.id(directory)?;
        let found = self.with(|volume| volume.lookup(directory, Name::new(name)))?;
        Ok(self.node(found))
    }

    fn parent(&mut self, directory: Node) -> Result<Node, Errno> {
        if let Some(Removed::Directory(_, parent)) = self.removed.get(&directory) {
            return Ok(*parent);
        }
        let directory = self.id(directory)?;
        let parent = self.with(|volume| volume.parent(directory))?;
        Ok(self.node(parent))
    }

    fn name(&mut self, directory: Node, into: &mut Vec<u8>) -> Result<(), Errno> {
        let directory = self.id(directory)?;
        let name = self.with(|volume| {
            let parent = volume.parent(directory)?;
            let mut cursor = DirCursor::from_raw(0);
            while let Some(entry) = volume.readdir(parent, cursor)? {
                if entry.node() == directory {
                    return Ok(Some(entry.name().as_bytes().to_vec()));
                }
                cursor = entry.next_cursor();
            }
            Ok(None)
        })?;
        into.extend_from_slice(&name.ok_or(Errno::ENOENT)?);
        Ok(())
    }

    fn stat(&mut self, node: Node) -> Result<Stat, Errno> {
        if node == ROOT {
            // Known without the disk, so that whoever walks past need not wait.
            let time = NoClock::TIME.unix_seconds();
            let times = Stat { atime: time, mtime: time, ctime: time, ..self.common(mode::DIRECTORY, 0o777) };
            return Ok(Stat { ino: ROOT, nlink: 2, block_size: 4096, ..times });
        }
        if let Some(Removed::Directory(stat, _)) = self.removed.get(&node) {
            return Ok(*stat);
        }
        let metadata = self.metadata(node)?;
        let (format, nlink, all) = match metadata.file_type().is_dir() {
            true => (mode::DIRECTORY, 2, 0o777),
            false => (mode::REGULAR, u32::from(!self.removed.contains_key(&node)), 0o666),
        };
        let writable = metadata.permissions().bits() & 0o222 != 0;
        let modified = metadata.modified();
        Ok(Stat {
            ino: node,
            size: metadata.len(),
            blocks: metadata.len().next_multiple_of(u64::from(self.cluster_size.max(1))) / 512,
            atime: seconds(metadata.accessed()),
            mtime: seconds(modified),
            ctime: seconds(modified),
            mtime_nsec: modified.map_or(0, |t| t.nanoseconds()),
            ctime_nsec: modified.map_or(0, |t| t.nanoseconds()),
            nlink,
            block_size: self.cluster_size,
            ..self.common(format, if writable { all } else { all & !0o222 })
        })
    }

    fn stat_vfs(&mut self, _: &Caller) -> Result<StatVfs, Errno> {
        let stats = self.with(|volume| volume.statfs())?;
        Ok(StatVfs {
            bsize: stats.block_size().into(),
            frsize: stats.block_size().into(),
            blocks: stats.total_blocks(),
            bfree: stats.free_blocks(),
            bavail: stats.free_blocks(),
            flag: if self.is_read_only() { ST_RDONLY } else { 0 },
            namemax: NAME_MAX as u64,
            ..StatVfs::default()
        })
    }

    fn read(&mut self, node: Node, offset: u64, into: Window) -> Result<usize, Errno> {
        self.read_file(node, offset, into)
    }

    fn list(&mut self, directory: Node, from: u64, emit: &mut dyn FnMut(Entry<'_>) -> bool) -> Result<(), Errno> {
        let id = self.id(directory)?;
        let entries = self.with(|volume| {
            let mut entries = Vec::new();
            let mut cursor = DirCursor::from_raw(from);
            while entries.len() < MAX_LISTED
                && let Some(entry) = volume.readdir(id, cursor)?
            {
                cursor = entry.next_cursor();
                let name = entry.name().as_bytes();
                if name.len() <= NAME_MAX && !is_hidden(directory, name) {
                    entries.push(entry);
                }
            }
            Ok(entries)
        })?;
        for entry in entries {
            let name = entry.name().as_bytes();
            let kind = if entry.file_type().is_dir() { kind::DIRECTORY } else { kind::REGULAR };
            let ino = self.node(entry.node());
            if !emit(Entry { name, ino, kind, next: entry.next_cursor().into_raw() }) {
                break;
            }
        }
        Ok(())
    }

    fn mount_point(&mut self, _: Node, _: &[u8]) -> Result<Node, Errno> {
        // Mounts are made before there is a disk.
        Err(Errno::EOPNOTSUPP)
    }

    fn hold(&mut self, node: Node) {
        *self.held.entry(node).or_insert(0) += 1;
    }

    fn release(&mut self, node: Node) {
        if let Some(count) = self.held.get_mut(&node) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(&node);
                self.moved.remove(&node);
                self.positions.remove(&node);
                self.forget_removed(node);
            }
        }
    }

    fn make(&mut self, caller: &Caller, directory: Node, name: &[u8], new: New<'_>) -> Result<Node, Errno> {
        if is_hidden(directory, name) {
            return Err(Errno::EPERM);
        }
        let directory = self.id(directory)?;
        let attributes = match new.mode & 0o222 {
            0 => SetAttr::new().with_permissions(Permissions::new(0o444)),
            _ => SetAttr::new(),
        };
        let name = Name::new(name);
        let made = match new.mode & mode::FORMAT {
            mode::REGULAR => self.change(Kind::Grow, caller, |volume| volume.create(directory, name, &attributes)),
            mode::DIRECTORY => self.change(Kind::Grow, caller, |volume| volume.mkdir(directory, name, &SetAttr::new())),
            _ => Err(Errno::EPERM),
        }?;
        Ok(self.node(made))
    }

    fn link(&mut self, _: &Caller, _: Node, _: Node, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn unlink(&mut self, caller: &Caller, directory: Node, name: &[u8], is_directory: bool) -> Result<(), Errno> {
        let node = self.lookup(directory, name)?;
        let held = self.is_held(node);
        if held || !is_directory && self.is_large(node)? {
            match self.hide(caller, directory, name, node, is_directory) {
                Err(Errno::ENOSPC) if !held => {
                    // For want of a place in the hidden directory.
                    self.cache.forget();
                    let id = self.id(node)?;
                    self.cut(caller, id, 0)?;
                }
                done => return done,
            }
        }
        let directory = self.id(directory)?;
        let name = Name::new(name);
        self.change(Kind::Shrink, caller, |volume| match is_directory {
            true => volume.rmdir(directory, name),
            false => volume.unlink(directory, name),
        })
    }

    fn rename(&mut self, caller: &Caller, from: (Node, &[u8]), to: (Node, &[u8])) -> Result<(), Errno> {
        if is_hidden(to.0, to.1) {
            return Err(Errno::EPERM);
        }
        let node = self.lookup(from.0, from.1)?;
        let over = match self.lookup(to.0, to.1) {
            Ok(over) if over != node && (self.is_held(over) || self.is_large(over)?) => Some(over),
            Ok(_) | Err(Errno::ENOENT) => None,
            Err(e) => return Err(e),
        };
        let (from_directory, to_directory) = (self.id(from.0)?, self.id(to.0)?);
        let (old, new) = (Name::new(from.1), Name::new(to.1));
        let rename =
            |volume: &mut Volume<'_>| volume.rename(from_directory, old, to_directory, new, RenameMode::Replace);
        let removed = match over {
            Some(over) => Some((over, self.replace(caller, to.0, over, rename)?)),
            None => {
                self.change(Kind::Move, caller, rename)?;
                None
            }
        };
        let now = self.with(|volume| volume.lookup(to_directory, new))?;
        if self.is_held(node) {
            self.moved.insert(node, now.get());
        }
        if let Some((over, removed)) = removed {
            self.note_removed(over, removed);
        }
        Ok(())
    }

    fn change_mode(&mut self, caller: &Caller, node: Node, permissions: u32) -> Result<(), Errno> {
        let stat = self.stat(node)?;
        // FAT has one bit: writing for all or for nobody.
        let (all, wanted) = match stat.mode & mode::FORMAT {
            mode::DIRECTORY => (0o777, 0o755),
            _ => (0o666, 0o644),
        };
        let all = all & !self.owner.mask;
        let wanted = match permissions & mode::PERMISSIONS {
            p if p == all => wanted,
            p if p == all & !0o222 => wanted & !0o222,
            _ => return Err(Errno::EPERM),
        };
        let id = self.id(node)?;
        let changes = SetAttr::new().with_permissions(Permissions::new(wanted));
        self.change(Kind::Grow, caller, |volume| volume.setattr(id, &changes))
    }

    fn write(&mut self, caller: &Caller, node: Node, offset: u64, from: Window) -> Result<usize, Errno> {
        self.write_file(caller, node, offset, from)
    }

    fn truncate(&mut self, caller: &Caller, node: Node, size: u64) -> Result<(), Errno> {
        self.resize(caller, node, size)
    }

    fn sync(&mut self, _: Node) -> u64 {
        self.cache.sync()
    }

    fn synced(&mut self, ticket: u64) -> Result<(), Errno> {
        self.cache.synced(ticket)
    }

    fn begin(&mut self, client: usize) {
        self.cache.start(client);
    }

    fn is_blocked(&self) -> bool {
        self.cache.blocked()
    }

    fn finish(&mut self, done: bool) {
        let keep = core::mem::take(&mut self.keep);
        self.cache.finish(keep || done);
        let held = &self.held;
        self.moved.retain(|node, _| held.contains_key(node));
        self.positions.retain(|node, _| held.contains_key(node));
    }

    fn service(&mut self) -> bool {
        self.again |= (0..MAX_SWEPT).all(|_| self.sweep());
        let ended = self.cache.service();
        core::mem::take(&mut self.again) || ended
    }

    fn trouble(&mut self) -> Option<&'static str> {
        self.trouble.take()
    }

    fn arm(&mut self) -> bool {
        self.again || self.cache.arm()
    }
}

#[cfg(test)]
mod tests;
