//! The component: who has work gets turns, round by round, until nobody has.
//!
//! A turn is bounded (see [`Session::turn`]), and after the first round every
//! session is looked at in each, so a client that never stops submitting takes
//! only its share.

use alloc::{
    boxed::Box,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use strait_abi::{log::Logger, vfs::Counters};
use strait_pd::{Channel, ChannelSet, Component, Environment, PdRef};
use strait_ring::SharedMemory;

use crate::{file_system::FileSystem, mounts::MOUNTS, session::Session, tree::Tree};

/// Names of session regions end so.
pub const SUFFIX: &str = "_vfs";

/// Why the server cannot start: text for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vfs_server: {}", self.0)
    }
}

impl core::error::Error for StartError {}

struct Client {
    channel: Channel,
    session: Session,
}

/// The component.
pub struct VfsServer {
    pd: PdRef,
    tree: Tree,
    clients: Vec<Client>,
    wakeups: u64,
}

/// Mounts the file systems and opens the sessions.
pub fn start(env: Environment) -> Result<VfsServer, StartError> {
    let mut tree: Option<Tree> = None;
    for (path, opener) in MOUNTS {
        let file_system = opener(&env).map_err(StartError)?;
        match &mut tree {
            None => tree = Some(Tree::new(file_system)),
            Some(tree) => tree
                .mount(path.as_bytes(), file_system)
                .map_err(|e| StartError(format!("cannot mount on `{path}`: {e}")))?,
        }
    }
    let tree = tree.ok_or_else(|| StartError("no file system is built in".to_string()))?;
    let server = VfsServer::with_tree(&env, tree)?;
    Logger::new(&env).line(format_args!("vfs_server: {} sessions", server.clients.len()));
    Ok(server)
}

impl VfsServer {
    /// A server of one file system, whatever [`MOUNTS`] says.
    pub fn new(env: &Environment, root: Box<dyn FileSystem>) -> Result<Self, StartError> {
        Self::with_tree(env, Tree::new(root))
    }

    fn with_tree(env: &Environment, tree: Tree) -> Result<Self, StartError> {
        let mut clients = Vec::new();
        for region in &env.config.regions {
            let Some(client) = region.name.strip_suffix(SUFFIX) else { continue };
            let text = |e: &dyn fmt::Display| StartError(format!("session `{}`: {e}", region.name));
            let channel = env.channel(client).map_err(|e| text(&e))?;
            let memory = SharedMemory::attach(env.region(&region.name).map_err(|e| text(&e))?);
            let session =
                Session::new(memory).ok_or_else(|| text(&"the region must have 64 KiB to 256 MiB; change its size"))?;
            clients.push(Client { channel, session });
        }
        Ok(Self { pd: env.pd, tree, clients, wakeups: 0 })
    }

    /// One round: a turn for each client in `channels`. Returns whether any
    /// still has work.
    fn round(&mut self, channels: ChannelSet, notify: &mut ChannelSet) -> bool {
        let open_all = self.clients.iter().map(|c| c.session.open_files()).sum();
        let all = Counters { open_all, wakeups: self.wakeups, ..Counters::default() };
        let mut more = false;
        for client in &mut self.clients {
            if channels.contains(client.channel) {
                if client.session.turn(&mut self.tree, &all) {
                    notify.insert(client.channel);
                }
                more |= client.session.has_work();
            }
        }
        more
    }
}

impl Component for VfsServer {
    fn notified(&mut self, channels: ChannelSet) -> Option<Channel> {
        self.wakeups += 1;
        let everybody = ChannelSet(u64::MAX);
        let mut who = channels;
        loop {
            let mut notify = ChannelSet::EMPTY;
            let more = self.round(who, &mut notify);
            if more {
                // Those who wait need not wait for the others' work.
                notify.iter().for_each(|channel| self.pd.notify(channel));
                who = everybody;
                continue;
            }
            let mut came = false;
            for client in self.clients.iter_mut().filter(|c| who.contains(c.channel)) {
                client.session.signal().arm();
                if client.session.has_work() {
                    client.session.signal().disarm();
                    came = true;
                }
            }
            let mut notify = notify.iter();
            let last = if came { None } else { notify.next() };
            notify.for_each(|channel| self.pd.notify(channel));
            if !came {
                return last;
            }
            who = everybody;
        }
    }
}
