//! A file system whose root has a file of that many zeros under every number, from
//! `0` on. It shows what a file system outside of `vfs_server` needs; the program
//! that starts the server registers it in one line, and `mounts` in `strait.toml`
//! may have `"/zeros zeros"` then:
//!
//! ```ignore
//! strait_vfs_server::start_with(env, &[("zeros", strait_zeros::open)])
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{boxed::Box, rc::Rc, string::String, vec::Vec};

use strait_abi::{
    Errno,
    vfs::{Stat, mode},
};
use strait_vfs_server::api::{Entry, Environment, FileSystem, Node, Pool, Window};

const ROOT: Node = u64::MAX;
const CHUNK: [u8; 4096] = [0; 4096];

/// Makes one; it takes nothing from the system description.
pub fn open(_: &Environment, _: &Rc<Pool>) -> Result<Box<dyn FileSystem>, String> {
    Ok(Box::new(Zeros))
}

/// The file system: a file's number is its size.
struct Zeros;

impl FileSystem for Zeros {
    fn kind(&self) -> &'static str {
        "zeros"
    }

    fn is_constant(&self) -> bool {
        true
    }

    fn root(&self) -> Node {
        ROOT
    }

    fn lookup(&mut self, directory: Node, name: &[u8]) -> Result<Node, Errno> {
        if directory != ROOT {
            return Err(Errno::ENOTDIR);
        }
        let digits = core::str::from_utf8(name).ok().filter(|n| *n == "0" || !n.starts_with(['0', '+']));
        let size = digits.and_then(|n| n.parse().ok()).filter(|size| *size <= i64::MAX as u64);
        size.ok_or(Errno::ENOENT)
    }

    fn parent(&mut self, _: Node) -> Result<Node, Errno> {
        Ok(ROOT)
    }

    fn name(&mut self, _: Node, _: &mut Vec<u8>) -> Result<(), Errno> {
        Err(Errno::ENOENT)
    }

    fn stat(&mut self, node: Node) -> Result<Stat, Errno> {
        let (mode, nlink, size) =
            if node == ROOT { (mode::DIRECTORY | 0o555, 2, 0) } else { (mode::REGULAR | 0o444, 1, node) };
        Ok(Stat { ino: node, mode, nlink, size, block_size: CHUNK.len() as u32, ..Stat::default() })
    }

    fn read(&mut self, node: Node, offset: u64, into: Window) -> Result<usize, Errno> {
        if node == ROOT {
            return Err(Errno::EISDIR);
        }
        let n = node.saturating_sub(offset).min(into.len() as u64) as usize;
        for at in (0..n).step_by(CHUNK.len()) {
            into.write(at, &CHUNK[..CHUNK.len().min(n - at)])?;
        }
        Ok(n)
    }

    fn list(&mut self, _: Node, _: u64, _: &mut dyn FnMut(Entry<'_>) -> bool) -> Result<(), Errno> {
        // There are too many to name them.
        Ok(())
    }

    fn mount_point(&mut self, _: Node, _: &[u8]) -> Result<Node, Errno> {
        Err(Errno::EROFS)
    }
}
