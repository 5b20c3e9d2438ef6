//! The component: who has work gets turns, round by round, until nobody has.
//!
//! A turn is bounded (see [`Session::turn`]), and after the first round every
//! session is looked at in each, so a client that never stops submitting takes
//! only its share.

use alloc::{
    boxed::Box,
    format,
    rc::Rc,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use strait_abi::{
    Errno, end, entropy,
    log::Logger,
    vfs::{
        Counters, heap,
        token::{Issuer, REGION},
    },
};
use strait_pd::{Channel, ChannelSet, Component, Environment, Message, PdRef};
use strait_ring::SharedMemory;

use crate::{
    disk::client::DRIVER,
    file_system::FileSystem,
    mounts::{Kind, mount_all},
    pool::{Amount, Pool},
    session::Session,
    shared::{ClientIdentity, Shared},
    tree::Tree,
};

/// Names of session regions end so.
pub const SUFFIX: &str = "_vfs";
/// How much more than the least the heap is, if the description does not say.
const DEFAULT_HEAP: u64 = 8 << 20;
/// User and group of the first client, unless the settings say otherwise.
const FIRST_ID: u32 = 1000;

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
    /// The channel to who may say that it has ended.
    parent: Option<Channel>,
    session: Session,
}

/// The component.
pub struct VfsServer {
    pd: PdRef,
    shared: Shared,
    clients: Vec<Client>,
    wakeups: u64,
    log: Option<Logger>,
}

/// Mounts the file systems and opens the sessions.
pub fn start(env: Environment) -> Result<VfsServer, StartError> {
    start_with(env, &[])
}

/// [`start`] with further kinds of file systems, each from its crate.
pub fn start_with(env: Environment, more: &[Kind]) -> Result<VfsServer, StartError> {
    let pool = pool(&env)?;
    let tree = mount_all(&env, &pool, more).map_err(StartError)?;
    let server = VfsServer::with_tree(&env, tree, pool)?;
    let log = Logger::new(&env);
    log.line(format_args!("vfs_server: {} sessions", server.clients.len()));
    Ok(VfsServer { log: Some(log), ..server })
}

/// What clients may fill: what the heap has for it, or less if the settings say so.
fn pool(env: &Environment) -> Result<Rc<Pool>, StartError> {
    let (n, disk) = (clients(env).count(), env.channel(DRIVER).is_ok());
    let least = heap::least(n as u64, disk);
    let size = env.config.region(&format!("{}_heap", env.config.name)).map_or(least + DEFAULT_HEAP, |r| r.size);
    let share = heap::share(size, n as u64, disk)
        .ok_or_else(|| StartError(format!("the heap has {size} bytes; {n} clients need {least}")))?;
    let quota = |key| match env.config.setting(key) {
        None => Ok(share),
        Some(text) => text.parse().map_err(|_| StartError(format!("{key}: `{text}` is no number"))),
    };
    let quota = Amount { pages: quota("quota.pages")?, inodes: quota("quota.inodes")? };
    Ok(Pool::new(Amount { pages: share.min(quota.pages), inodes: share.min(quota.inodes) }, n))
}

/// The names of the clients, in their order.
fn clients(env: &Environment) -> impl Iterator<Item = &str> {
    env.config.regions.iter().filter_map(|region| region.name.strip_suffix(SUFFIX))
}

/// The key for tokens, new at each start.
fn tokens(env: &Environment) -> Result<Option<Issuer>, StartError> {
    let Ok(region) = env.region(REGION) else { return Ok(None) };
    let channel = env.channel("entropy_driver").map_err(|e| StartError(format!("{e}")))?;
    let key = entropy::words(env.pd, channel)
        .ok_or_else(|| StartError("entropy_driver gives no random numbers".to_string()))?;
    let issuer = Issuer::new(SharedMemory::attach(region), key, clients(env));
    issuer.map(Some).ok_or_else(|| StartError(format!("the region `{REGION}` is too small")))
}

/// Who the client is, the `index`th: `identity.<client>` is `uid:gid`.
fn identity(env: &Environment, name: &str, index: usize) -> Result<ClientIdentity, StartError> {
    let key = format!("identity.{name}");
    let default = FIRST_ID.saturating_add(index as u32);
    let (uid, gid) = match env.config.setting(&key) {
        None => (default, default),
        Some(text) => text
            .split_once(':')
            .and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)))
            .ok_or_else(|| StartError(format!("{key}: `{text}` is not such as \"1000:1000\"")))?,
    };
    Ok(ClientIdentity { name: name.to_string(), uid, gid })
}

impl VfsServer {
    /// A server of one file system, whatever the settings say.
    pub fn new(env: &Environment, root: Box<dyn FileSystem>) -> Result<Self, StartError> {
        let pool = pool(env)?;
        Self::with_tree(env, Tree::new(root), pool)
    }

    fn with_tree(env: &Environment, tree: Tree, pool: Rc<Pool>) -> Result<Self, StartError> {
        let mut clients = Vec::new();
        let mut shared = Shared::new(tree, pool, tokens(env)?);
        for region in &env.config.regions {
            let Some(client) = region.name.strip_suffix(SUFFIX) else { continue };
            let text = |e: &dyn fmt::Display| StartError(format!("session `{}`: {e}", region.name));
            let channel = env.channel(client).map_err(|e| text(&e))?;
            let memory = SharedMemory::attach(env.region(&region.name).map_err(|e| text(&e))?);
            let identity = identity(env, client, clients.len())?;
            let session = Session::new(memory, clients.len(), identity)
                .ok_or_else(|| text(&"the region must have 64 KiB to 256 MiB; change its size"))?;
            shared.regions.push(session.region());
            clients.push(Client { channel, parent: end::parent(&env.config, client), session });
        }
        Ok(Self { pd: env.pd, shared, clients, wakeups: 0, log: None })
    }

    /// One round: a turn for each client in `channels`. Returns whether any
    /// still has work.
    fn round(&mut self, channels: ChannelSet, notify: &mut ChannelSet) -> bool {
        self.shared.now = self.pd.now();
        let open_all = self.clients.iter().map(|c| c.session.open_files()).sum();
        self.shared.counters = Counters { open_all, wakeups: self.wakeups, ..Counters::default() };
        let mut more = false;
        for client in &mut self.clients {
            if channels.contains(client.channel) {
                if client.session.turn(&mut self.shared) {
                    notify.insert(client.channel);
                }
                more |= client.session.has_work();
            }
        }
        // Others whose pipes have changed.
        for session in self.shared.take_wake() {
            if let Some(client) = self.clients.get(session) {
                notify.insert(client.channel);
            }
        }
        more
    }
}

impl Component for VfsServer {
    fn notified(&mut self, channels: ChannelSet) -> Option<Channel> {
        self.wakeups += 1;
        self.shared.take_news();
        self.shared.publish_pipes();
        let everybody = ChannelSet(u64::MAX);
        let mut who = channels;
        loop {
            let mut notify = ChannelSet::EMPTY;
            let mut more = self.round(who, &mut notify);
            if self.shared.tree.service() {
                self.clients.iter_mut().for_each(|client| client.session.retry());
                more = true;
            }
            if let (Some(text), Some(log)) = (self.shared.tree.trouble(), &self.log) {
                log.line(format_args!("{text}"));
            }
            if more {
                // Those who wait need not wait for the others' work.
                notify.iter().for_each(|channel| self.pd.notify(channel));
                who = everybody;
                continue;
            }
            let mut came = self.shared.tree.arm();
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

    /// The only call there is: a client has ended.
    fn protected(&mut self, channel: Channel, message: &mut Message) {
        if message.label != end::END {
            *message = Message::new(Errno::ENOSYS.raw().into());
            return;
        }
        let clients = self.clients.iter().map(|c| (c.session.name(), c.parent));
        let Some(ended) = end::receive(message, channel, clients) else { return };
        self.clients[ended].session.end(&mut self.shared);
        // Others hear of it, and what it kept from the disk goes there.
        if let Some(channel) = self.notified(ChannelSet::EMPTY) {
            self.pd.notify(channel);
        }
    }
}
