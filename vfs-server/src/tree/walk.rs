//! The walk along a path (POSIX.1-2024, 4.16 "Pathname Resolution"; path
//! resolution(7)).

use alloc::{borrow::Cow, boxed::Box, vec::Vec};

use strait_abi::{
    Errno,
    vfs::{NAME_MAX, PATH_MAX, mode},
};

use super::{Place, Tree};
use crate::identity::{Caller, Rights};

/// Most symbolic links on one way, as on Linux.
const MAX_LINKS: u32 = 40;

/// Most steps on one way, with all symbolic links: a path without links never has
/// as many.
const MAX_STEPS: u32 = 4096;

/// What becomes of a symbolic link at the end of the path. Links before the end
/// are always followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// It is followed.
    Follow,
    /// It is followed only if a slash stands behind it.
    NoFollow,
    /// It is not: for operations on the name itself.
    Keep,
}

/// The last part of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Last {
    /// A name in the directory.
    Name(Box<[u8]>),
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// There is none: the path is `/`.
    Root,
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The directory with the last part.
    pub parent: Place,
    /// The last part.
    pub last: Last,
    /// Whether a slash stands behind it.
    pub slash: bool,
    /// What it is, if it is there.
    pub found: Option<Place>,
}

impl Tree {
    /// The file at `path`, from the directory `start` on. ENOENT; ENOTDIR if
    /// the path ends in a slash and it is no directory.
    pub fn find(&mut self, caller: &Caller, start: Place, path: &[u8], links: Links) -> Result<Place, Errno> {
        let resolved = self.walk(caller, start, path, links)?;
        let found = resolved.found.ok_or(Errno::ENOENT)?;
        if resolved.slash && !self.is_directory(found)? {
            return Err(Errno::ENOTDIR);
        }
        Ok(found)
    }

    /// Goes along `path`, which has at most [`PATH_MAX`] bytes, in at most
    /// [`MAX_STEPS`] steps (ELOOP). The last part need not be there.
    pub fn walk(&mut self, caller: &Caller, start: Place, path: &[u8], links: Links) -> Result<Resolved, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path.len() > PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if path.contains(&0) {
            return Err(Errno::EINVAL);
        }
        let mut rest = Cow::Borrowed(path);
        let (mut at, mut followed, mut steps) = (0, 0, 0);
        let mut here = if path[0] == b'/' { self.root() } else { start };
        loop {
            at += rest[at..].iter().take_while(|&&b| b == b'/').count();
            let len = rest[at..].iter().take_while(|&&b| b != b'/').count();
            if len == 0 {
                return Ok(Resolved { parent: here, last: Last::Root, slash: false, found: Some(here) });
            }
            steps += 1;
            if steps > MAX_STEPS {
                return Err(Errno::ELOOP);
            }
            let end = at + len;
            let is_last = rest[end..].iter().all(|&b| b == b'/');
            let slash = is_last && end < rest.len();
            let name = &rest[at..end];

            let stat = self.stat(here)?;
            if stat.mode & mode::FORMAT != mode::DIRECTORY {
                return Err(Errno::ENOTDIR);
            }
            caller.check(&stat, Rights::SEARCH)?;
            if name.len() > NAME_MAX {
                return Err(Errno::ENAMETOOLONG);
            }
            let (last, next) = match name {
                b"." => (Last::Dot, Ok(here)),
                b".." => (Last::DotDot, self.parent(here)),
                _ => {
                    let found = self.fs(here).lookup(here.node, name);
                    (Last::Name(Box::default()), found.map(|node| self.uppermost(Place { node, ..here })))
                }
            };
            if next == Err(Errno::ENOENT) && is_last && last == Last::Name(Box::default()) {
                return Ok(Resolved { parent: here, last: Last::Name(name.into()), slash, found: None });
            }
            let next = next?;
            let follow = !is_last || links == Links::Follow || links == Links::NoFollow && slash;
            if follow && self.stat(next)?.mode & mode::FORMAT == mode::SYMLINK {
                followed += 1;
                if followed > MAX_LINKS {
                    return Err(Errno::ELOOP);
                }
                let mut way: Vec<u8> = self.read_link(next)?;
                if way.is_empty() {
                    return Err(Errno::ENOENT);
                }
                if way[0] == b'/' {
                    here = self.root();
                }
                way.extend_from_slice(&rest[end..]);
                (rest, at) = (Cow::Owned(way), 0);
                continue;
            }
            if is_last {
                let last = if matches!(last, Last::Name(_)) { Last::Name(name.into()) } else { last };
                return Ok(Resolved { parent: here, last, slash, found: Some(next) });
            }
            (here, at) = (next, end);
        }
    }
}
