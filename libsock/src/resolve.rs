//! Names to addresses and back: the hosts file, and a stub resolver (RFC 1034,
//! 5.3.1) over UDP and TCP.
//!
//! | part | what |
//! |---|---|
//! | [`Process::resolve`] | the addresses of a host, best first |
//! | [`Process::getaddrinfo`], [`Process::getnameinfo`] | as in POSIX ([`addrinfo`]) |
//! | `message`, `lookup` | questions, answers, whom to ask when; without sockets |
//! | `ask` | the sockets for it |
//! | `hosts`, `services`, `select`, `cache` | files, RFC 6724, what is remembered |
//!
//! A name is looked for in `/etc/hosts` if the component has files, then among
//! the names that need no server (`localhost`), then asked of the name servers
//! that the network announced or the configuration names
//! ([`Process::name_servers`]): each of up to four, three times, with 1, 2 and
//! 4 seconds of patience, first the one that answered last. IPv4 and IPv6
//! addresses are asked for at once, and when the ones are known the others have
//! a quarter of a second. What servers say is remembered as long as they say it
//! holds, also that there is nothing.
//!
//! Each question has an unpredictable identifier and spelling and leaves from a
//! port of its own; an answer counts only if it comes from the server asked and
//! repeats the question (RFC 5452). Answers that do not fit a datagram are
//! asked for again by TCP.
//!
//! Limits: ASCII names, no search list, no DNSSEC.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::{
    fmt,
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    time::Duration,
};

use domain::base::Rtype;
use futures_util::future::{Either, select};
use strait_abi::{
    Address, Errno,
    address::{AF_INET, AF_INET6},
    net::Request,
    socket::{SOCK_CLOEXEC, SOCK_DGRAM},
    vfs::open,
};

pub mod addrinfo;
mod ask;
mod cache;
mod hosts;
mod lookup;
mod message;
mod select;
mod services;

use self::{
    cache::Cache,
    lookup::{Lookup, Outcome},
    message::{DnsName, parse_servers},
};
use crate::{
    Process,
    aio::{Executor, timeout},
};

/// How long addresses of one IP version wait for those of the other (RFC 8305,
/// 3, says 50 ms for who can use late ones; these are told once).
const GRACE: Duration = Duration::from_millis(250);
/// A port of hosts that are only looked for.
const PORT: u16 = 53;
/// Bytes of a file of names that are read, and that are read at once.
const MAX_FILE: usize = 64 * 1024;
const PIECE: usize = 4096;

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolveError {
    /// It is no host name: empty or too long, or with an empty or too long
    /// label.
    BadName,
    /// No name server is known (yet): the network is not configured.
    NoServers,
    /// The name does not exist.
    NotFound,
    /// The name exists, but has no address of the kind asked for.
    NoData,
    /// The servers answered that they cannot or will not, or answered nonsense.
    ServerFailure,
    /// No server answered in time.
    TimedOut,
    /// Sockets or the source of randomness failed.
    System(Errno),
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadName => "not a host name",
            Self::NoServers => "no name server is known; wait for DHCP, or set net_server's ipv4.dns in strait.toml",
            Self::NotFound => "host not found",
            Self::NoData => "the host has no address of this kind",
            Self::ServerFailure => "the name server failed or refused",
            Self::TimedOut => "no name server answered",
            Self::System(e) => return e.fmt(f),
        })
    }
}

impl core::error::Error for ResolveError {}

impl From<Errno> for ResolveError {
    fn from(e: Errno) -> Self {
        Self::System(e)
    }
}

/// What a process remembers of names.
#[derive(Default)]
pub(crate) struct Names {
    cache: Cache,
    /// The server that answered last.
    server: Option<SocketAddr>,
}

/// Kinds of addresses that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kinds {
    pub v4: bool,
    pub v6: bool,
}

impl Kinds {
    pub const V4: Self = Self { v4: true, v6: false };
    pub const V6: Self = Self { v4: false, v6: true };
    pub const BOTH: Self = Self { v4: true, v6: true };

    pub fn has(self, address: &IpAddr) -> bool {
        if address.is_ipv4() { self.v4 } else { self.v6 }
    }
}

/// Addresses of a host, and its canonical name.
type Host = (Vec<IpAddr>, String);
/// What came of a question.
type Answer = Result<Outcome, ResolveError>;

/// What is known of a host without a name server; `None` if nothing.
fn local(process: &Process, host: &str, kinds: Kinds) -> Option<Host> {
    let found = process.small_file(hosts::PATH).and_then(|text| hosts::by_name(&text, host));
    let keep = |(mut found, canonical): Host| {
        found.retain(|address| kinds.has(address));
        (!found.is_empty()).then_some((found, canonical))
    };
    found.and_then(keep).or_else(|| keep((hosts::built_in(host, process.name())?, host.into())))
}

impl Process {
    /// The name servers to ask, best first.
    pub fn name_servers(&self) -> Result<Vec<SocketAddr>, Errno> {
        self.net()?.call(&Request::NameServers, |reply| Ok(parse_servers(reply.bytes)))
    }

    /// getentropy(3): fills `into` with unpredictable bytes. EAGAIN as long as
    /// the system has none.
    pub fn getentropy(&self, into: &mut [u8]) -> Result<(), Errno> {
        let bytes = u16::try_from(into.len()).map_err(|_| Errno::EIO)?;
        self.net()?.call(&Request::Random { bytes }, |reply| {
            into.copy_from_slice(reply.bytes.get(..usize::from(bytes)).ok_or(Errno::EPROTO)?);
            Ok(())
        })
    }

    /// gethostname(2): the name of the component in the system description.
    pub fn gethostname(&self) -> &str {
        self.name()
    }

    /// The addresses of `host`, which is a name or an address in text: of the
    /// IP versions that the network has, and best first (RFC 6724). Needs a
    /// channel to `timer_driver`.
    pub fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.wait_for(resolve(self, host))
    }

    /// The IPv4 addresses of `host`.
    pub fn resolve_ipv4(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.resolve_kind(host, Kinds::V4)
    }

    /// The IPv6 addresses of `host`.
    pub fn resolve_ipv6(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.resolve_kind(host, Kinds::V6)
    }

    fn resolve_kind(&self, host: &str, kinds: Kinds) -> Result<Vec<IpAddr>, ResolveError> {
        match literal(host) {
            Some(address) if kinds.has(&address) => Ok(alloc::vec![address]),
            Some(_) => Err(ResolveError::NoData),
            None => Ok(self.host(host, kinds)?.0),
        }
    }

    /// The names of an address, canonical first.
    pub fn resolve_address(&self, address: IpAddr) -> Result<Vec<String>, ResolveError> {
        let address = address.to_canonical();
        if let Some(name) = self.small_file(hosts::PATH).and_then(|text| hosts::by_address(&text, address)) {
            return Ok(alloc::vec![name]);
        }
        if address.is_loopback() {
            return Ok(alloc::vec!["localhost".to_string()]);
        }
        match self.wait_for(self.ask_servers(message::reverse_name(address)?, Rtype::PTR))? {
            Outcome::Found(records) => Ok(records.names),
            Outcome::Absent { .. } => Err(ResolveError::NotFound),
        }
    }

    /// Forgets what name servers said, as after a change of the network.
    pub fn forget_names(&self) {
        self.names().borrow_mut().cache.clear();
    }

    /// The addresses of a host that is no address in text.
    pub(crate) fn host(&self, host: &str, kinds: Kinds) -> Result<Host, ResolveError> {
        self.wait_for(self.find_host(host, kinds))
    }

    /// Waits for a look-up. What else the process does is kept for later.
    fn wait_for<T>(&self, lookup: impl Future<Output = T>) -> T {
        Executor::new(self).block_on(lookup)
    }

    /// [`host`](Self::host) without blocking.
    pub(crate) async fn find_host(&self, host: &str, kinds: Kinds) -> Result<Host, ResolveError> {
        let name = message::name(host)?;
        if let Some(found) = local(self, host, kinds) {
            return Ok(found);
        }
        if hosts::built_in(host, "").is_some() {
            return Err(ResolveError::NoData);
        }
        let ask = |kind| self.ask_servers(name.clone(), kind);
        let answers = match kinds {
            Kinds { v4: true, v6: true } => self.both(ask(Rtype::A), ask(Rtype::AAAA)).await,
            Kinds { v6: true, .. } => [None, Some(ask(Rtype::AAAA).await)],
            _ => [Some(ask(Rtype::A).await), None],
        };
        let (mut addresses, mut canonical) = (Vec::new(), String::new());
        let mut failure = None;
        for answer in answers.into_iter().flatten() {
            match answer {
                Ok(Outcome::Found(records)) => {
                    addresses.extend(records.addresses);
                    canonical = records.canonical;
                }
                Ok(Outcome::Absent { exists: false, .. }) => return Err(ResolveError::NotFound),
                Ok(Outcome::Absent { .. }) => {}
                Err(e) => failure = failure.or(Some(e)),
            }
        }
        if addresses.is_empty() {
            return Err(failure.unwrap_or(ResolveError::NoData));
        }
        Ok((addresses, if canonical.is_empty() { host.trim_end_matches('.').into() } else { canonical }))
    }

    /// The answers to two questions that are asked at once; `None` where the
    /// other was enough.
    async fn both(
        &self,
        first: impl Future<Output = Answer>,
        second: impl Future<Output = Answer>,
    ) -> [Option<Answer>; 2] {
        match select(pin!(first), pin!(second)).await {
            Either::Left((answer, other)) => {
                let other = self.second(&answer, other).await;
                [Some(answer), other]
            }
            Either::Right((answer, other)) => {
                let other = self.second(&answer, other).await;
                [other, Some(answer)]
            }
        }
    }

    /// The answer that comes second, if it is still of use.
    async fn second(&self, first: &Answer, other: impl Future<Output = Answer>) -> Option<Answer> {
        match first {
            Ok(Outcome::Found(_)) => timeout(self, GRACE, other).await.ok(),
            // It speaks for records of all kinds (RFC 8020).
            Ok(Outcome::Absent { exists: false, .. }) => None,
            _ => Some(other.await),
        }
    }

    /// Asks the memory of what name servers said, or the servers themselves.
    async fn ask_servers(&self, name: DnsName, kind: Rtype) -> Answer {
        let key = name.as_slice().to_vec();
        let now = || crate::process::nanos(self.now());
        if let Some(known) = self.names().borrow().cache.get(&key, kind.to_int(), now()) {
            return Ok(known.clone());
        }
        let mut servers = self.name_servers()?;
        if let Some(last) = self.names().borrow().server
            && let Some(at) = servers.iter().position(|s| *s == last)
        {
            servers[..=at].rotate_right(1);
        }
        let mut lookup = Lookup::new(name, kind, servers);
        let outcome = ask::carry_out(self, &mut lookup).await?;
        let mut names = self.names().borrow_mut();
        names.server = lookup.server();
        names.cache.put(&key, kind.to_int(), now(), &outcome);
        Ok(outcome)
    }

    /// The versions of IP that the network has a way for. If that cannot be
    /// told, both.
    pub(crate) fn configured(&self) -> Kinds {
        // Addresses for documentation (RFC 5737, RFC 3849): nothing is sent.
        let way = |probe: IpAddr| match self.source_for(probe) {
            Err(Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT) => false,
            Ok(source) => !source.is_loopback(),
            Err(_) => true,
        };
        let v4 = way(Ipv4Addr::new(192, 0, 2, 1).into());
        let v6 = way(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into());
        if v4 || v6 { Kinds { v4, v6 } } else { Kinds::BOTH }
    }

    /// The address that packets to `target` leave from.
    fn source_for(&self, target: IpAddr) -> Result<IpAddr, Errno> {
        let family = if target.is_ipv4() { AF_INET } else { AF_INET6 };
        let fd = self.socket(family, u32::from(SOCK_DGRAM) | SOCK_CLOEXEC, 0)?;
        let connected = self.connect(fd, &Address::from(SocketAddr::new(target, PORT)));
        let source = connected.and_then(|()| self.getsockname(fd)?.to_inet());
        let _ = self.close(fd);
        Ok(source?.ip())
    }

    /// Puts the best address first.
    pub(crate) fn sort_addresses(&self, addresses: &mut [IpAddr]) {
        if addresses.len() < 2 {
            return;
        }
        let mut candidates: Vec<_> = addresses.iter().map(|a| (*a, self.source_for(*a).ok())).collect();
        select::sort(&mut candidates);
        for (place, (address, _)) in addresses.iter_mut().zip(candidates) {
            *place = address;
        }
    }

    /// The text of a file of names, if there is one.
    pub(crate) fn small_file(&self, path: &str) -> Option<String> {
        self.vfs().ok()?;
        let fd = self.open(path, open::RDONLY | open::CLOEXEC, 0).ok()?;
        let mut text = Vec::new();
        while text.len() < MAX_FILE {
            let len = text.len();
            text.resize(len + PIECE, 0);
            let n = self.read(fd, &mut text[len..]).unwrap_or(0);
            text.truncate(len + n);
            if n == 0 {
                break;
            }
        }
        let _ = self.close(fd);
        Some(String::from_utf8_lossy(&text).into_owned())
    }
}

/// [`Process::resolve`] without blocking.
pub async fn resolve(process: &Process, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
    if let Some(address) = literal(host) {
        return Ok(alloc::vec![address]);
    }
    let (mut addresses, _) = process.find_host(host, process.configured()).await?;
    process.sort_addresses(&mut addresses);
    Ok(addresses)
}

/// An address in text, IPv6 also in brackets.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    match bare {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// For tests of the parser: what `bytes` answer to the question, with
/// identifier 0 and in small letters, for records of `kind` of `host`. Of
/// names, only that there are some.
#[cfg(any(test, feature = "fake"))]
#[doc(hidden)]
pub fn read_answer_to(host: &str, kind: u16, bytes: &[u8]) -> Option<Result<Vec<IpAddr>, ResolveError>> {
    use message::{ENTROPY, Query, Verdict};
    let query = Query::new(&message::name(host).ok()?, Rtype::from_int(kind), true, &[0; ENTROPY]).ok()?;
    // By TCP: a truncated answer is looked at as far as it goes.
    Some(match query.read(bytes, true)? {
        Verdict::Found(records) => Ok(records.addresses),
        Verdict::Absent { exists: false, .. } => Err(ResolveError::NotFound),
        Verdict::Absent { .. } | Verdict::Alias(_) => Err(ResolveError::NoData),
        _ => Err(ResolveError::ServerFailure),
    })
}

#[cfg(test)]
mod tests;
