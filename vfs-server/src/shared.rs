//! What all sessions work on.

use alloc::{rc::Rc, string::String, vec::Vec};

use strait_abi::vfs::{Counters, VfsRegion, token::Issuer};

use crate::{open_files::OpenFiles, pipe::Pipes, pool::Pool, tree::Tree};

/// The state that is not one session's.
pub struct Shared {
    /// The files.
    pub tree: Tree,
    /// The open ones.
    pub files: OpenFiles,
    /// What clients may fill.
    pub pool: Rc<Pool>,
    /// Makes tokens, if the description has a region for their key.
    pub tokens: Option<Issuer>,
    /// The time: nanoseconds since some fixed point.
    pub now: u64,
    /// Numbers that concern all sessions.
    pub counters: Counters,
    /// The sessions' regions.
    pub regions: Vec<VfsRegion>,
    /// Sessions to be notified because of a pipe.
    wake: Vec<usize>,
}

impl Shared {
    /// Nothing open.
    pub fn new(tree: Tree, pool: Rc<Pool>, tokens: Option<Issuer>) -> Self {
        Self {
            tree,
            files: OpenFiles::new(Pipes::new(pool.clone())),
            pool,
            tokens,
            now: 0,
            counters: Counters::default(),
            regions: Vec::new(),
            wake: Vec::new(),
        }
    }

    /// Brings the readiness of pipes up to date.
    pub fn publish_pipes(&mut self) {
        let regions = &self.regions;
        let wake = &mut self.wake;
        self.files.pipes.publish(|session| regions.get(session).copied(), |session| wake.push(session));
    }

    /// Takes the sessions that must be notified because of it.
    pub fn take_wake(&mut self) -> impl Iterator<Item = usize> {
        core::mem::take(&mut self.wake).into_iter()
    }

    /// Closes what `net_server` dropped on its way.
    pub fn take_releases(&mut self) {
        let Some(tokens) = &mut self.tokens else { return };
        while let Some(number) = tokens.take_release() {
            self.files.drop_export(&mut self.tree, number);
        }
    }
}

/// What is told of a client in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// Name of the PD.
    pub name: String,
    /// User and group.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}
