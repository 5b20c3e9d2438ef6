//! The boot archive: a tar file in the region `vfs_archive`, read-only.
//!
//! It is indexed once, at the start; file data stays where it is and is copied
//! from there straight into the client's session. Directories that the archive
//! does not mention are made up. Of several entries with one path the last
//! counts, as with tar itself.
//!
//! Limits: regular files, directories and links; other entries are left out, which
//! the log says.

use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::fmt;

use strait_abi::{
    Errno,
    vfs::{NAME_MAX, PATH_MAX, Stat, kind, mode},
};
use strait_pd::Environment;
use strait_ring::SharedMemory;

use crate::{
    file_system::{Entry, FileSystem, Node, Window},
    tar::{self, TarError},
};

/// Name of the region.
pub const REGION: &str = "vfs_archive";
/// Most names.
pub const MAX_NODES: usize = 16 * 1024;

/// Why an archive is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveError {
    /// It is no tar archive, or a broken one.
    Tar(TarError),
    /// A path is too long, or has a part `..` or a part longer than 255 bytes.
    Path(usize),
    /// The same path is a file and a directory.
    Conflict(usize),
    /// More than [`MAX_NODES`] names.
    TooMany,
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tar(e) => write!(f, "{e}"),
            Self::Path(at) => write!(f, "an entry's path is too long or has a part `..` (data at byte {at})"),
            Self::Conflict(at) => write!(f, "the same path is a file and a directory (data at byte {at})"),
            Self::TooMany => write!(f, "more than {MAX_NODES} names"),
        }
    }
}

impl core::error::Error for ArchiveError {}

#[derive(Debug)]
enum Content {
    /// Its entries by name.
    Directory(Vec<u32>),
    File {
        offset: usize,
        len: usize,
    },
    Link(Box<[u8]>),
}

#[derive(Debug)]
struct Item {
    name: Box<[u8]>,
    parent: u32,
    mode: u32,
    mtime: i64,
    /// The name under which the file stood first, and how many it has; they are
    /// known there.
    first: u32,
    names: u32,
    content: Content,
}

/// The file system.
pub struct Archive {
    memory: SharedMemory,
    items: Vec<Item>,
    skipped: usize,
    told: bool,
}

/// Opens the archive that the system description gives.
pub fn open(env: &Environment) -> Result<Box<dyn FileSystem>, String> {
    let region = env.region(REGION).map_err(|e| format!("{e}"))?;
    let len = env.config.region(REGION).map_err(|e| format!("{e}"))?.prefill;
    if len == 0 {
        return Err(format!("the region `{REGION}` is empty; give it a prefill_path in microkit.system"));
    }
    let archive = Archive::new(SharedMemory::attach(region), len as usize)
        .map_err(|e| format!("the archive in `{REGION}` cannot be used: {e}; build it anew"))?;
    Ok(Box::new(archive))
}

impl Archive {
    /// Indexes the archive in the first `len` bytes of `memory`.
    pub fn new(memory: SharedMemory, len: usize) -> Result<Self, ArchiveError> {
        let mut archive = Self { memory, items: alloc::vec![directory(Box::default(), 0, 0)], skipped: 0, told: false };
        for entry in tar::Reader::new(memory, len) {
            archive.add(entry.map_err(ArchiveError::Tar)?)?;
        }
        Ok(archive)
    }

    /// Names, with the root.
    pub fn nodes(&self) -> usize {
        self.items.len()
    }

    fn add(&mut self, entry: tar::Entry) -> Result<(), ArchiveError> {
        let at = entry.offset;
        let content = match entry.kind {
            tar::Kind::Directory => None,
            tar::Kind::Regular if entry.path.ends_with(b"/") => None,
            tar::Kind::Regular => Some(Content::File { offset: entry.offset, len: entry.len }),
            tar::Kind::SymbolicLink if (1..=PATH_MAX).contains(&entry.target.len()) => {
                Some(Content::Link(entry.target.into()))
            }
            tar::Kind::Link => return self.add_link(&entry, at),
            _ => {
                self.skipped += 1;
                return Ok(());
            }
        };
        let here = self.place(&entry.path, content.is_some(), at)?;
        let item = &mut self.items[here as usize];
        // What it stood for before has a name less.
        let first = core::mem::replace(&mut item.first, here);
        item.mode = entry.mode;
        item.mtime = entry.mtime;
        if let Some(content) = content {
            item.content = content;
        }
        if first != here {
            self.items[first as usize].names -= 1;
            self.items[here as usize].names = 1;
        }
        Ok(())
    }

    /// A further name of a file, which shares all that is known of it.
    fn add_link(&mut self, entry: &tar::Entry, at: usize) -> Result<(), ArchiveError> {
        let target = parts(&entry.target).try_fold(0, |here, part| self.find(here, part).ok().and_then(Result::ok));
        let target = target.map(|target| self.items[target as usize].first);
        let Some(target) = target.filter(|t| matches!(self.items[*t as usize].content, Content::File { .. })) else {
            self.skipped += 1;
            return Ok(());
        };
        let here = self.place(&entry.path, true, at)?;
        if self.items[here as usize].first != target {
            self.items[here as usize].first = target;
            self.items[target as usize].names += 1;
        }
        Ok(())
    }

    /// The item at a path, made if it is not there.
    fn place(&mut self, path: &[u8], file: bool, at: usize) -> Result<u32, ArchiveError> {
        if path.len() > PATH_MAX || path.contains(&0) {
            return Err(ArchiveError::Path(at));
        }
        let mut here = 0;
        let mut parts = parts(path).peekable();
        if parts.peek().is_none() && file {
            return Err(ArchiveError::Path(at));
        }
        while let Some(part) = parts.next() {
            if part.len() > NAME_MAX || part == b".." {
                return Err(ArchiveError::Path(at));
            }
            here = self.child(here, part, parts.peek().is_none() && file, at)?;
        }
        Ok(here)
    }

    /// The entry `name` of a directory, made if it is not there.
    fn child(&mut self, parent: u32, name: &[u8], file: bool, at: usize) -> Result<u32, ArchiveError> {
        match self.find(parent, name) {
            Err(_) => Err(ArchiveError::Conflict(at)),
            Ok(Ok(child)) => match self.items[child as usize].content {
                Content::Directory(_) if file => Err(ArchiveError::Conflict(at)),
                Content::File { .. } | Content::Link(_) if !file => Err(ArchiveError::Conflict(at)),
                _ => Ok(child),
            },
            Ok(Err(place)) => {
                if self.items.len() >= MAX_NODES {
                    return Err(ArchiveError::TooMany);
                }
                let new = self.items.len() as u32;
                let mut item = directory(name.into(), parent, new);
                if file {
                    item.content = Content::File { offset: 0, len: 0 };
                }
                self.items.push(item);
                if let Content::Directory(children) = &mut self.items[parent as usize].content {
                    children.insert(place, new);
                }
                Ok(new)
            }
        }
    }

    /// The entry `name` of a directory, or where it would stand; ENOTDIR if
    /// it is none.
    fn find(&self, directory: u32, name: &[u8]) -> Result<Result<u32, usize>, Errno> {
        let children = self.children(directory.into())?;
        let found = children.binary_search_by(|&c| (*self.items[c as usize].name).cmp(name));
        Ok(found.map(|i| children[i]))
    }

    /// What is known of a file, whatever name it was found by.
    fn file(&self, node: Node) -> Result<&Item, Errno> {
        self.item(self.item(node)?.first.into())
    }

    fn item(&self, node: Node) -> Result<&Item, Errno> {
        usize::try_from(node).ok().and_then(|n| self.items.get(n)).ok_or(Errno::ENOENT)
    }

    fn children(&self, directory: Node) -> Result<&[u32], Errno> {
        match &self.item(directory)?.content {
            Content::Directory(children) => Ok(children),
            _ => Err(Errno::ENOTDIR),
        }
    }
}

fn directory(name: Box<[u8]>, parent: u32, number: u32) -> Item {
    Item { name, parent, mode: 0o555, mtime: 0, first: number, names: 1, content: Content::Directory(Vec::new()) }
}

/// The parts of a path that lead further.
fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".")
}

impl FileSystem for Archive {
    fn name(&mut self, directory: Node, into: &mut Vec<u8>) -> Result<(), Errno> {
        into.extend_from_slice(&self.item(directory)?.name);
        Ok(())
    }

    fn mount_point(&mut self, directory: Node, name: &[u8]) -> Result<Node, Errno> {
        let directory = u32::try_from(directory).map_err(|_| Errno::ENOENT)?;
        self.child(directory, name, false, 0).map(Node::from).map_err(|e| match e {
            ArchiveError::TooMany => Errno::ENOSPC,
            _ => Errno::ENOTDIR,
        })
    }

    fn kind(&self) -> &'static str {
        "archive"
    }

    fn is_constant(&self) -> bool {
        true
    }

    fn root(&self) -> Node {
        0
    }

    fn lookup(&mut self, directory: Node, name: &[u8]) -> Result<Node, Errno> {
        let directory = u32::try_from(directory).map_err(|_| Errno::ENOENT)?;
        self.find(directory, name)?.map(Node::from).map_err(|_| Errno::ENOENT)
    }

    fn parent(&mut self, directory: Node) -> Result<Node, Errno> {
        Ok(self.item(directory)?.parent.into())
    }

    fn stat(&mut self, node: Node) -> Result<Stat, Errno> {
        let item = self.file(node)?;
        let (format, size, nlink) = match &item.content {
            Content::Directory(_) => (mode::DIRECTORY, 0, 2),
            Content::File { len, .. } => (mode::REGULAR, *len as u64, item.names),
            Content::Link(target) => (mode::SYMLINK, target.len() as u64, 1),
        };
        Ok(Stat {
            ino: u64::from(item.first) + 1,
            size,
            blocks: size.div_ceil(512),
            atime: item.mtime,
            mtime: item.mtime,
            ctime: item.mtime,
            mode: format | item.mode,
            nlink,
            block_size: 4096,
            ..Stat::default()
        })
    }

    fn read(&mut self, node: Node, offset: u64, into: Window) -> Result<usize, Errno> {
        let Content::File { offset: start, len } = self.file(node)?.content else { return Err(Errno::EISDIR) };
        let Some(rest) = usize::try_from(offset).ok().and_then(|o| len.checked_sub(o)) else { return Ok(0) };
        let n = rest.min(into.len());
        into.copy(0, &self.memory, start + (len - rest), n)?;
        Ok(n)
    }

    fn read_link(&mut self, node: Node, into: &mut Vec<u8>) -> Result<(), Errno> {
        let Content::Link(target) = &self.file(node)?.content else { return Err(Errno::EINVAL) };
        into.extend_from_slice(target);
        Ok(())
    }

    fn trouble(&mut self) -> Option<&'static str> {
        let news = self.skipped != 0 && !core::mem::replace(&mut self.told, true);
        news.then_some("the archive has entries that are neither files, directories nor links to them: left out")
    }

    fn list(&mut self, directory: Node, from: u64, emit: &mut dyn FnMut(Entry<'_>) -> bool) -> Result<(), Errno> {
        let children = self.children(directory)?;
        let first = usize::try_from(from).unwrap_or(usize::MAX).min(children.len());
        for (i, &child) in children.iter().enumerate().skip(first) {
            let item = &self.items[child as usize];
            let file = &self.items[item.first as usize];
            let kind = match file.content {
                Content::Directory(_) => kind::DIRECTORY,
                Content::File { .. } => kind::REGULAR,
                Content::Link(_) => kind::SYMLINK,
            };
            if !emit(Entry { name: &item.name, ino: u64::from(item.first) + 1, kind, next: i as u64 + 1 }) {
                break;
            }
        }
        Ok(())
    }
}
