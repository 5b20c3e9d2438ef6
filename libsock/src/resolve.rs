//! Names to addresses and back: the hosts file, and a stub resolver (RFC 1034,
//! 5.3.1) over UDP and TCP.
//!
//! | part | what |
//! |---|---|
//! | [`Process::resolve`] | the addresses of a host, best first |
//! | [`Process::getaddrinfo`], [`Process::getnameinfo`] | as in POSIX ([`addrinfo`]) |
//! | `message`, `lookup` | questions, answers, whom to ask when; without sockets |
//! | `hosts`, `services`, `select`, `cache` | files, RFC 6724, what is remembered |
//!
//! A name is looked for in `/etc/hosts` if the component has files, then among
//! the names that need no server (`localhost`), then asked of the name servers
//! that the network announced or the configuration names
//! ([`Process::name_servers`]): each of up to four, three times, with 1, 2 and
//! 4 seconds of patience, first the one that answered last. What they say is
//! remembered as long as they say it holds, also that there is nothing.
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
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use domain::base::Rtype;
use futures_util::FutureExt;
use strait_abi::{
    Address, Errno,
    address::{AF_INET, AF_INET6},
    net::Request,
    socket::{SO_RCVTIMEO, SO_SNDTIMEO, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_STREAM},
    vfs::open,
};

pub mod addrinfo;
mod cache;
mod hosts;
pub(crate) mod lookup;
pub(crate) mod message;
mod select;
mod services;

pub(crate) use self::lookup::Outcome;
use self::{
    cache::Cache,
    lookup::{Action, Lookup},
    message::{DnsName, ENTROPY, Verdict, parse_servers},
};
use crate::{Process, posix::Fd};

/// Datagrams that are looked at for one question: forged ones are dropped, but
/// not for ever.
pub(crate) const MAX_ANSWERS: usize = 100;
pub(crate) const PORT: u16 = 53;
/// Bytes of a file of names that are read.
const MAX_FILE: usize = 64 * 1024;

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
    server: Option<IpAddr>,
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
    pub fn name_servers(&self) -> Result<Vec<IpAddr>, Errno> {
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
        if let Some(address) = literal(host) {
            return Ok(alloc::vec![address]);
        }
        let (mut addresses, _) = self.host(host, self.configured())?;
        self.sort_addresses(&mut addresses);
        Ok(addresses)
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
        let asked = self.ask_servers(message::reverse_name(address)?, Rtype::PTR, async |lookup| self.drive(lookup));
        match asked.now_or_never().unwrap_or(Err(ResolveError::TimedOut))? {
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
        // What blocks is never pending.
        let ready = self.host_with(host, kinds, async |lookup| self.drive(lookup));
        ready.now_or_never().unwrap_or(Err(ResolveError::TimedOut))
    }

    /// The same; `drive` carries look-ups out.
    pub(crate) async fn host_with(
        &self,
        host: &str,
        kinds: Kinds,
        drive: impl AsyncFn(Lookup) -> (Lookup, Result<Outcome, ResolveError>),
    ) -> Result<Host, ResolveError> {
        let name = message::name(host)?;
        if let Some(found) = local(self, host, kinds) {
            return Ok(found);
        }
        if hosts::built_in(host, "").is_some() {
            return Err(ResolveError::NoData);
        }
        let (mut addresses, mut canonical) = (Vec::new(), String::new());
        let mut failure = None;
        for (wanted, kind) in [(kinds.v4, Rtype::A), (kinds.v6, Rtype::AAAA)] {
            if !wanted {
                continue;
            }
            match self.ask_servers(name.clone(), kind, &drive).await {
                Ok(Outcome::Found(records)) => {
                    addresses.extend(records.addresses);
                    canonical = records.canonical;
                }
                // It speaks for records of all kinds (RFC 8020).
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

    /// Asks the memory of what name servers said, or the servers themselves.
    async fn ask_servers(
        &self,
        name: DnsName,
        kind: Rtype,
        drive: impl AsyncFn(Lookup) -> (Lookup, Result<Outcome, ResolveError>),
    ) -> Result<Outcome, ResolveError> {
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
        let (lookup, outcome) = drive(Lookup::new(name, kind, servers)).await;
        let outcome = outcome?;
        let mut names = self.names().borrow_mut();
        names.server = lookup.server();
        names.cache.put(&key, kind.to_int(), now(), &outcome);
        Ok(outcome)
    }

    /// What a look-up does next.
    pub(crate) fn next_action(&self, lookup: &mut Lookup) -> Result<Action, ResolveError> {
        let mut entropy = [0; ENTROPY];
        self.getentropy(&mut entropy)?;
        Ok(lookup.next(&entropy))
    }

    /// Carries a look-up out.
    fn drive(&self, mut lookup: Lookup) -> (Lookup, Result<Outcome, ResolveError>) {
        loop {
            match self.next_action(&mut lookup) {
                Err(e) => return (lookup, Err(e)),
                Ok(Action::Done(result)) => return (lookup, result),
                Ok(Action::Ask { server, tcp, wait }) => {
                    let result = self.ask(&lookup, server, tcp, wait);
                    lookup.heard(result);
                }
            }
        }
    }

    fn ask(&self, lookup: &Lookup, server: IpAddr, tcp: bool, wait: Duration) -> Result<Verdict, ResolveError> {
        let family = if server.is_ipv4() { AF_INET } else { AF_INET6 };
        let kind = u32::from(if tcp { SOCK_STREAM } else { SOCK_DGRAM });
        // A new socket for each question: it gets a new port.
        let fd = self.socket(family, kind | SOCK_CLOEXEC, 0)?;
        let server = Address::from(SocketAddr::new(server, PORT));
        let deadline = self.now() + wait;
        let result =
            if tcp { self.ask_tcp(fd, &server, lookup, deadline) } else { self.ask_udp(fd, &server, lookup, deadline) };
        let _ = self.close(fd);
        result.map_err(|e| match e {
            // What a timeout of a socket gives.
            ResolveError::System(Errno::EAGAIN | Errno::EINPROGRESS) => ResolveError::TimedOut,
            other => other,
        })
    }

    fn ask_udp(&self, fd: Fd, server: &Address, lookup: &Lookup, end: Duration) -> Result<Verdict, ResolveError> {
        self.connect(fd, server)?;
        self.send(fd, lookup.query(), 0)?;
        let mut buffer = [0; message::UDP_SIZE as usize];
        for _ in 0..MAX_ANSWERS {
            self.wait_until(fd, SO_RCVTIMEO, end)?;
            let n = self.recv(fd, &mut buffer, 0)?;
            if let Some(verdict) = lookup.read(&buffer[..n]) {
                return Ok(verdict);
            }
        }
        Err(ResolveError::TimedOut)
    }

    /// RFC 7766: the length goes before each message.
    fn ask_tcp(&self, fd: Fd, server: &Address, lookup: &Lookup, end: Duration) -> Result<Verdict, ResolveError> {
        self.wait_until(fd, SO_SNDTIMEO, end)?;
        self.connect(fd, server)?;
        let query = lookup.query();
        let mut request = (query.len() as u16).to_be_bytes().to_vec();
        request.extend_from_slice(query);
        let mut sent = 0;
        while sent < request.len() {
            self.wait_until(fd, SO_SNDTIMEO, end)?;
            sent += self.send(fd, &request[sent..], 0)?;
        }
        let mut length = [0; 2];
        self.receive_exactly(fd, &mut length, end)?;
        let length = usize::from(u16::from_be_bytes(length));
        if length > message::MAX_MESSAGE {
            return Ok(Verdict::Failure);
        }
        let mut answer = alloc::vec![0; length];
        self.receive_exactly(fd, &mut answer, end)?;
        Ok(lookup.read(&answer).unwrap_or(Verdict::Failure))
    }

    fn receive_exactly(&self, fd: Fd, into: &mut [u8], end: Duration) -> Result<(), ResolveError> {
        let mut done = 0;
        while done < into.len() {
            self.wait_until(fd, SO_RCVTIMEO, end)?;
            match self.recv(fd, &mut into[done..], 0)? {
                0 => return Err(ResolveError::ServerFailure),
                n => done += n,
            }
        }
        Ok(())
    }

    /// Calls on `fd` wait until `end` at most.
    fn wait_until(&self, fd: Fd, name: i32, end: Duration) -> Result<(), ResolveError> {
        let left = end.saturating_sub(self.now());
        if left.is_zero() {
            return Err(ResolveError::TimedOut);
        }
        Ok(self.set_timeout(fd, name, Some(left))?)
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
        let mut text = alloc::vec![0; MAX_FILE];
        let mut len = 0;
        while let Some(n) = self.read(fd, &mut text[len..]).ok().filter(|n| *n != 0) {
            len += n;
        }
        let _ = self.close(fd);
        Some(String::from_utf8_lossy(&text[..len]).into_owned())
    }
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
    let query = message::Query::new(&message::name(host).ok()?, Rtype::from_int(kind), true, &[0; ENTROPY]).ok()?;
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
