//! Names to addresses: a stub resolver (RFC 1034, 5.3.1) over UDP.
//!
//! The name servers are those that the network announced or the configuration
//! names ([`Process::name_servers`]). Each question has an unpredictable
//! identifier and leaves from a port of its own, and an answer counts only if
//! it comes from the server asked and repeats the question (RFC 5452).
//!
//! Limits: answers that do not fit 512 bytes are refused
//! ([`ResolveError::Truncated`]), there is no fallback to TCP; no cache, no
//! search list, no DNSSEC.

use alloc::{vec, vec::Vec};
use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use domain::{
    base::{Message, MessageBuilder, Name, Rtype, iana::Rcode},
    rdata::{A, Aaaa},
};
use strait_abi::{
    Address, Errno,
    address::{AF_INET, AF_INET6},
    net::Request,
    socket::{SO_RCVTIMEO, SOCK_CLOEXEC, SOCK_DGRAM},
};

use crate::{Process, posix::Fd};

/// How often each server is asked.
const ROUNDS: u32 = 3;
/// How long an answer may take in the first round; it doubles with each.
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
/// Answers that are looked at for one question: forged ones are dropped, but
/// not for ever.
const MAX_ANSWERS: usize = 100;
const PORT: u16 = 53;
/// Longest answer without EDNS (RFC 1035, 4.2.1).
const MAX_MESSAGE: usize = 512;
/// Addresses taken from an answer.
const MAX_ADDRESSES: usize = 16;

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolveError {
    /// It is no host name: empty or too long, or with an empty or too long
    /// label.
    BadName,
    /// No name server is known (yet): the network is not configured.
    NoServers,
    /// The name does not exist, or has no address of the kind asked for.
    NotFound,
    /// The answer does not fit a datagram.
    Truncated,
    /// The servers answered that they cannot or will not.
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
            Self::Truncated => "the name server's answer is too long for a datagram",
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

    /// The addresses of `host`, which is a name or an address in text. IPv4
    /// addresses if there are any, else IPv6. Needs a channel to
    /// `timer_driver`.
    pub fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        match self.lookup(host, Rtype::A) {
            Err(ResolveError::NotFound) => self.lookup(host, Rtype::AAAA),
            other => other,
        }
    }

    /// The IPv4 addresses of `host`.
    pub fn resolve_ipv4(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.lookup(host, Rtype::A)
    }

    /// The IPv6 addresses of `host`.
    pub fn resolve_ipv6(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.lookup(host, Rtype::AAAA)
    }

    fn lookup(&self, host: &str, kind: Rtype) -> Result<Vec<IpAddr>, ResolveError> {
        if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            let fits = ip.is_ipv4() == (kind == Rtype::A);
            return if fits { Ok(vec![ip]) } else { Err(ResolveError::NotFound) };
        }
        // Never to be asked of a server (RFC 6761, 6.3).
        if host.eq_ignore_ascii_case("localhost") && kind == Rtype::A {
            return Ok(vec![Ipv4Addr::LOCALHOST.into()]);
        }
        let name = name(host)?;
        let servers = self.name_servers()?;
        let mut failure = ResolveError::NoServers;
        for round in 0..ROUNDS {
            for server in &servers {
                match self.ask(*server, &name, kind, FIRST_TIMEOUT * (1 << round)) {
                    // Another server may do better.
                    Err(e @ (ResolveError::ServerFailure | ResolveError::TimedOut | ResolveError::System(_))) => {
                        failure = e;
                    }
                    other => return other,
                }
            }
        }
        Err(failure)
    }

    fn ask(
        &self,
        server: IpAddr,
        name: &Name<Vec<u8>>,
        kind: Rtype,
        wait: Duration,
    ) -> Result<Vec<IpAddr>, ResolveError> {
        let mut id = [0; 2];
        self.getentropy(&mut id)?;
        let query = query(u16::from_ne_bytes(id), name, kind)?;
        let family = if server.is_ipv4() { AF_INET } else { AF_INET6 };
        // A new socket for each question: it gets a new port.
        let fd = self.socket(family, u32::from(SOCK_DGRAM) | SOCK_CLOEXEC, 0)?;
        let result = self.exchange(fd, SocketAddr::new(server, PORT), &query, wait);
        let _ = self.close(fd);
        result
    }

    fn exchange(
        &self,
        fd: Fd,
        server: SocketAddr,
        query: &Message<Vec<u8>>,
        wait: Duration,
    ) -> Result<Vec<IpAddr>, ResolveError> {
        self.connect(fd, &Address::from(server))?;
        self.send(fd, query.as_slice(), 0)?;
        let deadline = self.now() + wait;
        let mut buffer = [0; MAX_MESSAGE];
        for _ in 0..MAX_ANSWERS {
            let left = deadline.saturating_sub(self.now());
            if left.is_zero() {
                break;
            }
            self.set_timeout(fd, SO_RCVTIMEO, Some(left))?;
            let n = match self.recv(fd, &mut buffer, 0) {
                Err(Errno::EAGAIN) => break,
                other => other?,
            };
            if let Some(result) = read_answer(query, &buffer[..n]) {
                return result;
            }
        }
        Err(ResolveError::TimedOut)
    }
}

/// The addresses in a reply to [`Request::NameServers`].
fn parse_servers(mut bytes: &[u8]) -> Vec<IpAddr> {
    let mut servers = vec![];
    while let Some((len, rest)) = bytes.split_first() {
        let Some((address, rest)) = rest.split_at_checked(usize::from(*len)) else { break };
        if let Ok(v4) = <[u8; 4]>::try_from(address) {
            servers.push(v4.into());
        } else if let Ok(v6) = <[u8; 16]>::try_from(address) {
            servers.push(v6.into());
        }
        bytes = rest;
    }
    servers
}

fn name(host: &str) -> Result<Name<Vec<u8>>, ResolveError> {
    if host.is_empty() || host == "." || !host.is_ascii() {
        return Err(ResolveError::BadName);
    }
    Name::from_chars(host.chars()).map_err(|_| ResolveError::BadName)
}

fn query(id: u16, name: &Name<Vec<u8>>, kind: Rtype) -> Result<Message<Vec<u8>>, ResolveError> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(id);
    builder.header_mut().set_rd(true);
    let mut builder = builder.question();
    builder.push((name, kind)).map_err(|_| ResolveError::BadName)?;
    Ok(builder.into_message())
}

/// What `bytes` answer; `None` if they are no answer to `query`.
fn read_answer(query: &Message<Vec<u8>>, bytes: &[u8]) -> Option<Result<Vec<IpAddr>, ResolveError>> {
    let message = Message::from_slice(bytes).ok()?;
    if !message.is_answer(query) {
        return None;
    }
    let header = message.header();
    match header.rcode() {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => return Some(Err(ResolveError::NotFound)),
        _ => return Some(Err(ResolveError::ServerFailure)),
    }
    if header.tc() {
        return Some(Err(ResolveError::Truncated));
    }
    // The end of the chain of aliases that begins at the question.
    let (Some(canonical), Ok(answer)) = (message.canonical_name(), message.answer()) else {
        return Some(Err(ResolveError::ServerFailure));
    };
    let mut found = vec![];
    for record in answer.limit_to::<A>().flatten() {
        if *record.owner() == canonical && query.qtype() == Some(Rtype::A) {
            found.push(IpAddr::V4(record.data().addr()));
        }
    }
    for record in answer.limit_to::<Aaaa>().flatten() {
        if *record.owner() == canonical && query.qtype() == Some(Rtype::AAAA) {
            found.push(IpAddr::V6(record.data().addr()));
        }
    }
    found.truncate(MAX_ADDRESSES);
    Some(if found.is_empty() { Err(ResolveError::NotFound) } else { Ok(found) })
}

/// For tests of the parser: what `bytes` answer to the question, with
/// identifier 0, for the IPv4 addresses of `host`.
#[cfg(any(test, feature = "fake"))]
#[doc(hidden)]
pub fn read_answer_to(host: &str, bytes: &[u8]) -> Option<Result<Vec<IpAddr>, ResolveError>> {
    read_answer(&query(0, &name(host).ok()?, Rtype::A).ok()?, bytes)
}

#[cfg(test)]
mod tests;
