//! Which file systems there are, and what is mounted where. A new one is a
//! module and a line in [`KINDS`], or a crate and a line where the server is
//! started ([`start_with`](crate::start_with)).

use alloc::{boxed::Box, format, rc::Rc, string::String, vec::Vec};

use strait_pd::Environment;

use crate::{archive, fat, file_system::FileSystem, pool::Pool, ramfs::Ramfs, tree::Tree};

/// Makes a file system from what the PD was given.
pub type Opener = fn(&Environment, &Rc<Pool>) -> Result<Box<dyn FileSystem>, String>;

/// A file system with the name that `mounts` has for it.
pub type Kind = (&'static str, Opener);

/// Those of this crate.
pub const KINDS: &[Kind] =
    &[("archive", |env, _| archive::open(env)), ("fat", |env, _| fat::open(env)), ("ramfs", open_ramfs)];

/// The setting: paths and kinds, first the root, separated by commas.
pub const SETTING: &str = "mounts";
/// What is mounted if the setting is not given.
pub const DEFAULT: &str = "/ archive,/tmp ramfs";

fn open_ramfs(_: &Environment, pool: &Rc<Pool>) -> Result<Box<dyn FileSystem>, String> {
    // As /tmp is everywhere: for all, and nobody removes what is another's.
    Ok(Box::new(Ramfs::new(pool.clone(), 0o1777)))
}

/// Mounts what the settings say, of the file systems of this crate and `more`.
pub fn mount_all(env: &Environment, pool: &Rc<Pool>, more: &[Kind]) -> Result<Tree, String> {
    let setting = env.config.setting(SETTING).unwrap_or(DEFAULT);
    let mounts: Vec<_> = setting.split(',').collect();
    let mut tree: Option<Tree> = None;
    for mount in mounts {
        let (path, kind) = mount
            .trim()
            .split_once(' ')
            .ok_or_else(|| format!("{SETTING}: `{mount}` is not a path and a kind; write such as \"/tmp ramfs\""))?;
        let kinds = || KINDS.iter().chain(more);
        let (_, opener) = kinds().find(|(name, _)| *name == kind.trim()).ok_or_else(|| {
            let known: Vec<_> = kinds().map(|(name, _)| *name).collect();
            format!("{SETTING}: there is no file system `{kind}`; there are {}", known.join(", "))
        })?;
        let file_system = opener(env, pool)?;
        match &mut tree {
            None if path == "/" => tree = Some(Tree::new(file_system)),
            None => return Err(format!("{SETTING}: the first must be mounted on `/`")),
            Some(tree) => {
                tree.mount(path.as_bytes(), file_system).map_err(|e| format!("cannot mount on `{path}`: {e}"))?;
            }
        }
    }
    tree.ok_or_else(|| format!("{SETTING}: nothing is mounted"))
}
