//! Files that were removed while somebody has them open, or that are large.
//!
//! FAT knows a file by its name alone. So one that loses its name while it is open
//! gets another, in a directory that no client sees; with the last who has it open
//! it goes. One that is too large to be freed by one operation goes the same way. What
//! a loss of power leaves there goes when the volume is used next.
//!
//! It does not get the new name before the old one is gone: then both would lead to
//! the same clusters for a moment, and what is left there could not be removed
//! without a look at all others. It has no name for that moment; at worst its
//! clusters are lost, as with other removals (see [`epoch`](crate::disk::epoch)).

use alloc::{format, string::String, vec::Vec};

use hadris_fs::{DirCursor, Error, ErrorKind, Extent, FsResult, Name, NodeId, SetAttr};
use strait_abi::{
    Errno,
    blk::SECTOR,
    vfs::{Stat, mode},
};

use super::{Fat, Node, ROOT, Volume, trouble};
use crate::{
    disk::{NOT_READY, cache::Trouble, epoch::Kind},
    file_system::FileSystem,
    identity::Caller,
    pool::NOBODY,
};

/// The directory, in the root.
const HIDDEN: &[u8] = b"STRAIT.DEL";
/// Who takes files out of it, beside the clients.
const SWEEPER: usize = usize::MAX;
/// Bytes of a directory entry.
const ENTRY: usize = 32;
/// The fields of a directory entry that say where the content is: the first
/// cluster in two halves, and the size.
const CONTENT: [core::ops::Range<usize>; 2] = [20..22, 26..32];

/// A file or directory that has no name any more and is in use.
pub enum Removed {
    /// Its number in the hidden directory.
    File(u32),
    /// An empty directory, which is nowhere: what was known of it, and where it
    /// was.
    Directory(Stat, Node),
}

/// What is left to be removed for good.
#[derive(Default)]
pub struct Sweep {
    next: u32,
    /// Whether the directory was looked through for what an earlier life left.
    looked: bool,
    doomed: Vec<u32>,
}

/// Whether a name in `directory` is that of the hidden one.
pub fn is_hidden(directory: Node, name: &[u8]) -> bool {
    directory == ROOT && name.eq_ignore_ascii_case(HIDDEN)
}

fn name_of(number: u32) -> String {
    format!("{number:08X}")
}

/// The hidden directory; NotFound if there is none.
fn hidden(volume: &mut Volume<'_>) -> FsResult<NodeId, Trouble> {
    let root = volume.root();
    volume.lookup(root, Name::new(HIDDEN))
}

impl Fat {
    /// unlink(2), rmdir(2) of what is in use, or large.
    pub(super) fn hide(
        &mut self,
        caller: &Caller,
        directory: Node,
        name: &[u8],
        node: Node,
        is_directory: bool,
    ) -> Result<(), Errno> {
        let place = self.id(directory)?;
        let removed = self.replace(caller, directory, node, |volume| match is_directory {
            true => volume.rmdir(place, Name::new(name)),
            false => volume.unlink(place, Name::new(name)),
        })?;
        self.note_removed(node, removed);
        Ok(())
    }

    /// Does `f`, which takes the name of `node` in `directory` away, and keeps what
    /// had it. What it gives is for [`note_removed`](Self::note_removed), when the
    /// operation can fail no more.
    pub(super) fn replace(
        &mut self,
        caller: &Caller,
        directory: Node,
        node: Node,
        f: impl FnOnce(&mut Volume<'_>) -> FsResult<(), Trouble>,
    ) -> Result<(u64, Removed), Errno> {
        let stat = self.stat(node)?;
        if stat.mode & mode::FORMAT == mode::DIRECTORY {
            self.change(Kind::Move, caller, f)?;
            return Ok((0, Removed::Directory(Stat { nlink: 0, ..stat }, directory)));
        }
        let id = self.id(node)?;
        let content = self.take_content(id)?;
        self.change(Kind::Move, caller, f)?;
        let (number, id) = self.make_hidden(caller)?;
        let at = self.entry(id)?;
        let mut entry = self.read_entry(at)?;
        for field in CONTENT {
            entry[field.clone()].copy_from_slice(&content[field]);
        }
        self.write_entry(at, &entry, true)?;
        Ok((id.get(), Removed::File(number)))
    }

    /// The name of what is kept is gone.
    pub(super) fn note_removed(&mut self, node: Node, (id, removed): (u64, Removed)) {
        match removed {
            Removed::File(number) if !self.is_held(node) => return self.sweep.doomed.push(number),
            Removed::File(_) => {}
            Removed::Directory(_, parent) => self.hold(parent),
        }
        self.moved.insert(node, id);
        self.removed.insert(node, removed);
    }

    /// Takes the content out of a directory entry: with that, none is freed. It is
    /// a change that is not written by itself.
    fn take_content(&mut self, id: NodeId) -> Result<[u8; ENTRY], Errno> {
        self.cache.begin(Kind::Move)?;
        let at = self.entry(id)?;
        let entry = self.read_entry(at)?;
        let mut empty = entry;
        CONTENT.into_iter().for_each(|field| empty[field].fill(0));
        self.write_entry(at, &empty, false)?;
        Ok(entry)
    }

    /// Where the directory entry of a file begins on the disk.
    fn entry(&mut self, id: NodeId) -> Result<u64, Errno> {
        let mut record = [Extent::new(0, 0)];
        match self.with(|volume| volume.records(id, &mut record))? {
            0 => Err(Errno::EIO),
            _ => Ok(record[0].offset()),
        }
    }

    pub(super) fn read_entry(&mut self, at: u64) -> Result<[u8; ENTRY], Errno> {
        let mut sector = [0; SECTOR];
        self.cache.read(at / SECTOR as u64, &mut sector).map_err(trouble)?;
        let (entries, _) = sector.as_chunks();
        entries.get(at as usize % SECTOR / ENTRY).copied().ok_or(Errno::EIO)
    }

    fn write_entry(&mut self, at: u64, entry: &[u8; ENTRY], logged: bool) -> Result<(), Errno> {
        let number = at / SECTOR as u64;
        let mut sector = [0; SECTOR];
        self.cache.read(number, &mut sector).map_err(trouble)?;
        let (entries, _) = sector.as_chunks_mut();
        *entries.get_mut(at as usize % SECTOR / ENTRY).ok_or(Errno::EIO)? = *entry;
        match logged {
            true => self.cache.write(number, &sector),
            false => self.cache.amend(number, &sector),
        }
        .map_err(trouble)
    }

    /// A new, empty file in the hidden directory, which is made if need be.
    fn make_hidden(&mut self, caller: &Caller) -> Result<(u32, NodeId), Errno> {
        let start = self.sweep.next;
        let (number, id) = self.change(Kind::Move, caller, |volume| {
            let directory = match hidden(volume) {
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    let root = volume.root();
                    volume.mkdir(root, Name::new(HIDDEN), &SetAttr::new())?
                }
                other => other?,
            };
            // An earlier life may have left some.
            for number in (0..1000).map(|n| start.wrapping_add(n)) {
                let name = name_of(number);
                match volume.create(directory, Name::new(name.as_bytes()), &SetAttr::new()) {
                    Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                    made => return Ok((number, made?)),
                }
            }
            Err(Error::from(ErrorKind::Busy))
        })?;
        self.sweep.next = number.wrapping_add(1);
        Ok((number, id))
    }

    /// Nobody has it open any more.
    pub(super) fn forget_removed(&mut self, node: Node) {
        match self.removed.remove(&node) {
            Some(Removed::File(number)) => self.sweep.doomed.push(number),
            Some(Removed::Directory(_, parent)) => self.release(parent),
            None => {}
        }
    }

    /// Removes for good what nobody has open any more; each by operations of its
    /// own. Whether there is more to be done at once.
    pub(super) fn sweep(&mut self) -> bool {
        // Before the volume was used, it is not known to be one.
        let idle = self.sweep.looked && self.sweep.doomed.is_empty();
        if idle || self.cluster_size == 0 || self.cache.read_only() {
            return false;
        }
        self.cache.start(SWEEPER);
        let result = if self.sweep.looked { self.remove_last() } else { self.look() };
        let blocked = self.cache.blocked();
        let keep = core::mem::take(&mut self.keep);
        self.cache.finish(keep || result.is_ok() && !blocked);
        !blocked
    }

    fn look(&mut self) -> Result<(), Errno> {
        let left = self.with(|volume| {
            let mut left = Vec::new();
            let directory = match hidden(volume) {
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(left),
                other => other?,
            };
            let mut cursor = DirCursor::from_raw(0);
            while let Some(entry) = volume.readdir(directory, cursor)? {
                cursor = entry.next_cursor();
                let name = core::str::from_utf8(entry.name().as_bytes()).unwrap_or_default();
                left.extend(u32::from_str_radix(name, 16).ok());
            }
            Ok(left)
        });
        if left != Err(NOT_READY) {
            let held = |number: &u32| self.removed.values().any(|r| matches!(r, Removed::File(n) if n == number));
            let doomed: Vec<u32> = left.unwrap_or_default().into_iter().filter(|number| !held(number)).collect();
            self.sweep.doomed.extend(doomed);
            self.sweep.looked = true;
        }
        Ok(())
    }

    fn remove_last(&mut self) -> Result<(), Errno> {
        let Some(&number) = self.sweep.doomed.last() else { return Ok(()) };
        let nobody = Caller { payer: NOBODY, uid: 0, gid: 0, now: 0 };
        let name = name_of(number);
        let found = self.with(|volume| {
            let directory = hidden(volume)?;
            Ok((directory, volume.lookup(directory, Name::new(name.as_bytes()))?))
        });
        let result = found.and_then(|(directory, id)| {
            self.cut(&nobody, id, 0)?;
            self.change(Kind::Shrink, &nobody, |volume| volume.unlink(directory, Name::new(name.as_bytes())))
        });
        if result != Err(NOT_READY) {
            // What cannot be removed now is tried again by the next life.
            self.sweep.doomed.pop();
        }
        result
    }
}
