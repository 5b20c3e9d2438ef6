//! Commands on paths.

use alloc::vec::Vec;

use strait_abi::{
    Errno,
    vfs::{
        AT_EACCESS, AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW, Buffer, Handle, PATH_MAX,
        RENAME_NOREPLACE, ROOT, Request, mode,
        token::{BIND, CONNECT, TOKEN_BYTES},
    },
};
use zerocopy::IntoBytes;

use super::{DONE, Outcome, Session, files::constant};
use crate::{
    file_system::New,
    identity::Rights,
    shared::Shared,
    tree::{Links, Place},
};

/// A private copy of a path, and the directory that it begins at.
struct Path {
    bytes: Vec<u8>,
    start: Place,
}

/// EINVAL if `flags` has others than `known`.
fn only(flags: u32, known: u32) -> Result<(), Errno> {
    if flags & !known == 0 { Ok(()) } else { Err(Errno::EINVAL) }
}

fn unless(no_follow: bool) -> Links {
    if no_follow { Links::NoFollow } else { Links::Follow }
}

impl Session {
    fn path(&self, shared: &mut Shared, directory: Handle, path: Buffer) -> Result<Path, Errno> {
        let (offset, len) = self.region.check(path).ok_or(Errno::EFAULT)?;
        if len > PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut bytes = alloc::vec![0; len];
        self.region.memory().read(offset, &mut bytes).ok_or(Errno::EFAULT)?;
        let start = match directory {
            // An absolute path needs no beginning.
            _ if bytes.starts_with(b"/") => shared.tree.root(),
            ROOT => shared.tree.root(),
            handle => {
                let file = self.file(shared, handle)?;
                // What AT_EMPTY_PATH is for need be no directory.
                if !file.is_directory && !bytes.is_empty() {
                    return Err(Errno::ENOTDIR);
                }
                file.place
            }
        };
        Ok(Path { bytes, start })
    }

    /// The file that a path means, or the directory's handle for an empty one
    /// with AT_EMPTY_PATH.
    fn find(
        &self,
        shared: &mut Shared,
        directory: Handle,
        path: Buffer,
        flags: u32,
        links: Links,
    ) -> Result<Place, Errno> {
        let path = self.path(shared, directory, path)?;
        if path.bytes.is_empty() && flags & AT_EMPTY_PATH != 0 {
            return Ok(path.start);
        }
        shared.tree.find(&self.caller(shared), path.start, &path.bytes, links)
    }

    pub(super) fn execute_by_path(&mut self, shared: &mut Shared, request: Request) -> Outcome {
        let caller = self.caller(shared);
        match request {
            Request::Open { directory, path, flags, mode } => self.open(shared, directory, path, flags, mode),
            Request::Stat { directory, path, flags, into } => {
                only(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
                let place = self.find(shared, directory, path, flags, unless(flags & AT_SYMLINK_NOFOLLOW != 0))?;
                self.put(into, shared.tree.stat(place)?.as_bytes())
            }
            Request::StatVfs { directory, path, flags, into } => {
                only(flags, AT_EMPTY_PATH)?;
                let place = self.find(shared, directory, path, flags, Links::Follow)?;
                self.put(into, shared.tree.stat_vfs(&caller, place)?.as_bytes())
            }
            Request::Access { directory, path, flags, mode } => {
                only(flags, AT_SYMLINK_NOFOLLOW | AT_EACCESS | AT_EMPTY_PATH)?;
                only(mode, 7)?;
                let place = self.find(shared, directory, path, flags, unless(flags & AT_SYMLINK_NOFOLLOW != 0))?;
                shared.tree.check(&caller, place, Rights(mode))?;
                DONE
            }
            Request::ChangeMode { directory, path, flags, mode } => {
                only(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
                let place = self.find(shared, directory, path, flags, unless(flags & AT_SYMLINK_NOFOLLOW != 0))?;
                if shared.tree.stat(place)?.mode & mode::FORMAT == mode::SYMLINK {
                    return Err(Errno::EOPNOTSUPP);
                }
                shared.tree.change_mode(&caller, place, mode)?;
                DONE
            }
            Request::ReadLink { directory, path, into } => {
                let place = self.find(shared, directory, path, AT_EMPTY_PATH, Links::NoFollow)?;
                let window = self.window(into)?;
                if window.is_empty() {
                    return Err(Errno::EINVAL);
                }
                let target = shared.tree.read_link(place).map_err(|e| match e {
                    // Linux: there is no such link.
                    Errno::EINVAL if path.len == 0 => Errno::ENOENT,
                    e => e,
                })?;
                let target = &target[..target.len().min(window.len())];
                window.write(0, target)?;
                Ok((target.len() as i64, [0; 2]))
            }
            Request::RealPath { directory, into } => {
                let place = match directory {
                    ROOT => shared.tree.root(),
                    handle => {
                        let file = self.file(shared, handle)?;
                        if !file.is_directory {
                            return Err(Errno::ENOTDIR);
                        }
                        file.place
                    }
                };
                let path = shared.tree.path_of(place)?;
                self.window(into)?.write(0, &path).map_err(|_| Errno::ERANGE)?;
                Ok((path.len() as i64, [0; 2]))
            }
            Request::FindSocket { directory, path, into } => {
                let place = self.find(shared, directory, path, 0, Links::Follow)?;
                let stat = shared.tree.check(&caller, place, Rights::WRITE)?;
                if stat.mode & mode::FORMAT != mode::SOCKET {
                    return Err(Errno::ECONNREFUSED);
                }
                self.token(shared, CONNECT, place, into)
            }
            changes => self.change(shared, changes),
        }
    }

    /// What changes names.
    fn change(&mut self, shared: &mut Shared, request: Request) -> Outcome {
        let caller = self.caller(shared);
        match request {
            Request::MakeDirectory { directory, path, mode } => {
                let path = self.path(shared, directory, path)?;
                // The sticky bit, but neither of the others (mkdir(2)).
                let mode = mode::DIRECTORY | mode & 0o1777;
                shared.tree.make(&caller, path.start, &path.bytes, New { mode, target: b"" })?;
            }
            Request::MakeNode { directory, path, mode } => {
                let path = self.path(shared, directory, path)?;
                let format = match mode & mode::FORMAT {
                    0 | mode::REGULAR => mode::REGULAR,
                    special @ (mode::FIFO | mode::SOCKET) => special,
                    mode::DIRECTORY => return Err(Errno::EPERM),
                    // Devices, which there are none of.
                    0o020_000 | 0o060_000 => return Err(Errno::EPERM),
                    _ => return Err(Errno::EINVAL),
                };
                let mode = format | mode & mode::PERMISSIONS;
                shared.tree.make(&caller, path.start, &path.bytes, New { mode, target: b"" })?;
            }
            Request::MakeSocket { directory, path, mode, into } => {
                let path = self.path(shared, directory, path)?;
                // Before anything is made that could not be used.
                if shared.tokens.is_none() {
                    return Err(Errno::EOPNOTSUPP);
                }
                if self.window(into)?.len() < TOKEN_BYTES {
                    return Err(Errno::EFAULT);
                }
                let mode = mode::SOCKET | mode & 0o777;
                let place = shared.tree.make(&caller, path.start, &path.bytes, New { mode, target: b"" })?;
                return self.token(shared, BIND, place, into);
            }
            Request::SymbolicLink { target, directory, path } => {
                let target = self.path(shared, ROOT, target)?.bytes;
                if target.is_empty() {
                    return Err(Errno::ENOENT);
                }
                if target.contains(&0) {
                    return Err(Errno::EINVAL);
                }
                let path = self.path(shared, directory, path)?;
                let new = New { mode: mode::SYMLINK | 0o777, target: &target };
                shared.tree.make(&caller, path.start, &path.bytes, new)?;
            }
            Request::TruncatePath { directory, path, size } => {
                if i64::try_from(size).is_err() {
                    return Err(Errno::EINVAL);
                }
                let place = self.find(shared, directory, path, 0, Links::Follow)?;
                match shared.tree.stat(place)?.mode & mode::FORMAT {
                    mode::REGULAR => {}
                    mode::DIRECTORY => return Err(Errno::EISDIR),
                    _ => return Err(Errno::EINVAL),
                }
                shared.tree.check(&caller, place, Rights::WRITE)?;
                shared.tree.truncate(&caller, place, size)?;
            }
            Request::Link { directory, path, to_directory, to, flags } => {
                only(flags, AT_SYMLINK_FOLLOW)?;
                let to = self.path(shared, to_directory, to)?;
                let place = self.find(shared, directory, path, 0, unless(flags & AT_SYMLINK_FOLLOW == 0))?;
                shared.tree.link(&caller, place, to.start, &to.bytes)?;
            }
            Request::Rename { directory, path, to_directory, to, flags } => {
                only(flags, RENAME_NOREPLACE)?;
                let from = self.path(shared, directory, path)?;
                let to = self.path(shared, to_directory, to)?;
                let replace = flags & RENAME_NOREPLACE == 0;
                shared.tree.rename(&caller, (from.start, &from.bytes), (to.start, &to.bytes), replace)?;
            }
            Request::Unlink { directory, path, flags } => {
                only(flags, AT_REMOVEDIR)?;
                let path = self.path(shared, directory, path)?;
                shared.tree.unlink(&caller, path.start, &path.bytes, flags & AT_REMOVEDIR != 0)?;
            }
            _ => return Err(Errno::ENOSYS),
        }
        DONE
    }

    fn open(&mut self, shared: &mut Shared, directory: Handle, path: Buffer, flags: u32, permissions: u32) -> Outcome {
        self.check_free(1)?;
        let path = self.path(shared, directory, path)?;
        let opened = shared.tree.open(&self.caller(shared), path.start, &path.bytes, flags, permissions)?;
        let id = shared.files.open(&mut shared.tree, &opened, flags)?;
        let handle = self.add_handle(shared, id)?;
        let stat = opened.stat;
        let constant = constant(shared, shared.files.get(id)?, stat.mode);
        Ok((handle.into(), [stat.size, u64::from(stat.mode) | constant]))
    }

    fn token(&self, shared: &mut Shared, kind: u32, place: Place, into: Buffer) -> Outcome {
        let stat = shared.tree.stat(place)?;
        let tokens = shared.tokens.as_ref().ok_or(Errno::EOPNOTSUPP)?;
        let node = tokens.socket_node(stat.dev, stat.ino);
        let token = tokens.issue(kind, node, &self.identity.name);
        self.put(into, token.as_bytes())
    }
}
