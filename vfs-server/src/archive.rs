//! The boot archive: a tar file in the region `vfs_archive`, read-only.
//!
//! It is indexed once, at the start; file data stays where it is and is copied
//! from there straight into the client's session. Directories that the archive
//! does not mention are made up. Of several entries with one path the last
//! counts, as with tar itself.
//!
//! Limits: regular files and directories; other entries are passed over.

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
/// Most files and directories.
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
    /// More than [`MAX_NODES`] files and directories.
    TooMany,
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tar(e) => write!(f, "{e}"),
            Self::Path(at) => write!(f, "an entry's path is too long or has a part `..` (data at byte {at})"),
            Self::Conflict(at) => write!(f, "the same path is a file and a directory (data at byte {at})"),
            Self::TooMany => write!(f, "more than {MAX_NODES} files and directories"),
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
}

#[derive(Debug)]
struct Item {
    name: Box<[u8]>,
    parent: u32,
    mode: u32,
    mtime: i64,
    content: Content,
}

/// The file system.
pub struct Archive {
    memory: SharedMemory,
    items: Vec<Item>,
    skipped: usize,
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
        let mut archive = Self { memory, items: alloc::vec![directory(Box::default(), 0)], skipped: 0 };
        for entry in tar::Reader::new(memory, len) {
            archive.add(entry.map_err(ArchiveError::Tar)?)?;
        }
        Ok(archive)
    }

    /// Entries that are neither files nor directories.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// Files and directories, with the root.
    pub fn nodes(&self) -> usize {
        self.items.len()
    }

    fn add(&mut self, entry: tar::Entry) -> Result<(), ArchiveError> {
        let at = entry.offset;
        let is_directory = match entry.kind {
            tar::Kind::Directory => true,
            tar::Kind::Regular => entry.path.ends_with(b"/"),
            tar::Kind::Other(_) => {
                self.skipped += 1;
                return Ok(());
            }
        };
        if entry.path.len() > PATH_MAX || entry.path.contains(&0) {
            return Err(ArchiveError::Path(at));
        }
        let mut here = 0;
        let mut parts = entry.path.split(|&b| b == b'/').filter(|p| !p.is_empty() && *p != b".").peekable();
        if parts.peek().is_none() && !is_directory {
            return Err(ArchiveError::Path(at));
        }
        while let Some(part) = parts.next() {
            if part.len() > NAME_MAX || part == b".." {
                return Err(ArchiveError::Path(at));
            }
            let file = parts.peek().is_none() && !is_directory;
            here = self.child(here, part, file, at)?;
        }
        let item = &mut self.items[here as usize];
        item.mode = entry.mode;
        item.mtime = entry.mtime;
        if let Content::File { offset, len } = &mut item.content {
            (*offset, *len) = (entry.offset, entry.len);
        }
        Ok(())
    }

    /// The entry `name` of a directory, made if it is not there.
    fn child(&mut self, parent: u32, name: &[u8], file: bool, at: usize) -> Result<u32, ArchiveError> {
        match self.find(parent, name) {
            Err(_) => Err(ArchiveError::Conflict(at)),
            Ok(Ok(child)) => match self.items[child as usize].content {
                Content::File { .. } if !file => Err(ArchiveError::Conflict(at)),
                Content::Directory(_) if file => Err(ArchiveError::Conflict(at)),
                _ => Ok(child),
            },
            Ok(Err(place)) => {
                if self.items.len() >= MAX_NODES {
                    return Err(ArchiveError::TooMany);
                }
                let new = self.items.len() as u32;
                let mut item = directory(name.into(), parent);
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

    fn item(&self, node: Node) -> Result<&Item, Errno> {
        usize::try_from(node).ok().and_then(|n| self.items.get(n)).ok_or(Errno::ENOENT)
    }

    fn children(&self, directory: Node) -> Result<&[u32], Errno> {
        match &self.item(directory)?.content {
            Content::Directory(children) => Ok(children),
            Content::File { .. } => Err(Errno::ENOTDIR),
        }
    }
}

fn directory(name: Box<[u8]>, parent: u32) -> Item {
    Item { name, parent, mode: 0o555, mtime: 0, content: Content::Directory(Vec::new()) }
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
        let item = self.item(node)?;
        let (format, size, nlink) = match &item.content {
            Content::Directory(_) => (mode::DIRECTORY, 0, 2),
            Content::File { len, .. } => (mode::REGULAR, *len as u64, 1),
        };
        Ok(Stat {
            ino: node + 1,
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
        let Content::File { offset: start, len } = self.item(node)?.content else { return Err(Errno::EISDIR) };
        let Some(rest) = usize::try_from(offset).ok().and_then(|o| len.checked_sub(o)) else { return Ok(0) };
        let n = rest.min(into.len());
        into.copy(0, &self.memory, start + (len - rest), n)?;
        Ok(n)
    }

    fn list(&mut self, directory: Node, from: u64, emit: &mut dyn FnMut(Entry<'_>) -> bool) -> Result<(), Errno> {
        let children = self.children(directory)?;
        let first = usize::try_from(from).unwrap_or(usize::MAX).min(children.len());
        for (i, &child) in children.iter().enumerate().skip(first) {
            let item = &self.items[child as usize];
            let kind = match item.content {
                Content::Directory(_) => kind::DIRECTORY,
                Content::File { .. } => kind::REGULAR,
            };
            if !emit(Entry { name: &item.name, ino: u64::from(child) + 1, kind, next: i as u64 + 1 }) {
                break;
            }
        }
        Ok(())
    }
}
