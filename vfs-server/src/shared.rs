//! What all sessions work on.

use alloc::{boxed::Box, rc::Rc, string::String, vec::Vec};

use strait_abi::vfs::{Counters, VfsRegion, token::Issuer};

use crate::{open_files::OpenFiles, pipe::Pipes, pool::Pool, ramfs::Ramfs, tree::Tree};

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
    pub fn new(mut tree: Tree, pool: Rc<Pool>, tokens: Option<Issuer>) -> Self {
        tree.mount_pipes(Box::new(Ramfs::new(pool.clone(), 0)));
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

    /// Learns from `net_server` what became of open files that clients gave away.
    pub fn take_news(&mut self) {
        let Self { tokens: Some(tokens), files, tree, .. } = self else { return };
        tokens.take_news(|export, fate| match fate.receiver {
            Some(receiver) => files.hand_over(tree, export, receiver),
            None if fate.lost => files.drop_export(tree, export),
            None => {}
        });
    }

    /// The client begins anew: nothing is left of what it gave away but what is
    /// in messages, nor of what it was handed.
    pub fn drop_exports_of(&mut self, client: usize) {
        self.take_news();
        let tokens = &self.tokens;
        let is_carried = |export| tokens.as_ref().is_some_and(|tokens| tokens.is_carried(export));
        self.files.drop_exports_of(&mut self.tree, client, is_carried);
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
