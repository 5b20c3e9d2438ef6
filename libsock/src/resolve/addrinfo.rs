//! getaddrinfo(3) and getnameinfo(3), with the results and errors of glibc.
//!
//! What differs from glibc: service numbers above 65535 are refused
//! (EAI_SERVICE) instead of cut, AI_ADDRCONFIG looks at routes instead of
//! addresses, and internationalized names (AI_IDN) are not known.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
};

use strait_abi::{
    Address, Errno,
    address::{AF_INET, AF_INET6, AF_UNSPEC},
    socket::{IPPROTO_TCP, IPPROTO_UDP, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM},
};

use super::{Kinds, ResolveError, services};
use crate::Process;

/// For a socket that is to be bound.
pub const AI_PASSIVE: u32 = 0x0001;
/// The first result tells the canonical name.
pub const AI_CANONNAME: u32 = 0x0002;
/// The node is an address in text.
pub const AI_NUMERICHOST: u32 = 0x0004;
/// IPv4 addresses as IPv6 ones if there are no others.
pub const AI_V4MAPPED: u32 = 0x0008;
/// With AI_V4MAPPED: both.
pub const AI_ALL: u32 = 0x0010;
/// Only versions of IP that the network has.
pub const AI_ADDRCONFIG: u32 = 0x0020;
/// The service is a number.
pub const AI_NUMERICSERV: u32 = 0x0400;
const AI_KNOWN: u32 =
    AI_PASSIVE | AI_CANONNAME | AI_NUMERICHOST | AI_V4MAPPED | AI_ALL | AI_ADDRCONFIG | AI_NUMERICSERV;

/// The address as text.
pub const NI_NUMERICHOST: u32 = 1;
/// The port as text.
pub const NI_NUMERICSERV: u32 = 2;
/// Without the domain, if the host is in ours. We have none: no effect.
pub const NI_NOFQDN: u32 = 4;
/// EAI_NONAME if the host has no name.
pub const NI_NAMEREQD: u32 = 8;
/// The service is that of UDP.
pub const NI_DGRAM: u32 = 16;
const NI_KNOWN: u32 = NI_NUMERICHOST | NI_NUMERICSERV | NI_NOFQDN | NI_NAMEREQD | NI_DGRAM;

/// `EAI_*`: why there is no result. The numbers are those of glibc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GaiError {
    /// EAI_BADFLAGS
    BadFlags,
    /// EAI_NONAME
    NoName,
    /// EAI_AGAIN
    Again,
    /// EAI_FAIL
    Fail,
    /// EAI_NODATA
    NoData,
    /// EAI_FAMILY
    Family,
    /// EAI_SOCKTYPE
    SockType,
    /// EAI_SERVICE
    Service,
    /// EAI_ADDRFAMILY
    AddrFamily,
    /// EAI_SYSTEM
    System(Errno),
}

impl GaiError {
    /// Its number in C.
    pub const fn raw(self) -> i32 {
        match self {
            Self::BadFlags => -1,
            Self::NoName => -2,
            Self::Again => -3,
            Self::Fail => -4,
            Self::NoData => -5,
            Self::Family => -6,
            Self::SockType => -7,
            Self::Service => -8,
            Self::AddrFamily => -9,
            Self::System(_) => -11,
        }
    }
}

impl fmt::Display for GaiError {
    /// gai_strerror(3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadFlags => "bad value for ai_flags",
            Self::NoName => "name or service not known",
            Self::Again => "temporary failure in name resolution",
            Self::Fail => "non-recoverable failure in name resolution",
            Self::NoData => "no address associated with hostname",
            Self::Family => "ai_family not supported",
            Self::SockType => "ai_socktype not supported",
            Self::Service => "servname not supported for ai_socktype",
            Self::AddrFamily => "address family for hostname not supported",
            Self::System(errno) => return errno.fmt(f),
        })
    }
}

impl core::error::Error for GaiError {}

impl From<Errno> for GaiError {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

impl From<ResolveError> for GaiError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::BadName | ResolveError::NotFound => Self::NoName,
            ResolveError::NoData => Self::NoData,
            ResolveError::NoServers | ResolveError::TimedOut | ResolveError::ServerFailure => Self::Again,
            ResolveError::System(errno) => Self::System(errno),
        }
    }
}

/// What is asked of [`Process::getaddrinfo`]. The default is that of POSIX
/// for a null pointer: anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hints {
    /// `AI_*`.
    pub flags: u32,
    /// AF_UNSPEC for any.
    pub family: u16,
    /// 0 for any.
    pub kind: u16,
    /// 0 for any.
    pub protocol: u16,
}

/// What socket(2), connect(2) or bind(2) take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddrInfo {
    /// AF_INET or AF_INET6.
    pub family: u16,
    /// SOCK_STREAM, ...
    pub kind: u16,
    /// IPPROTO_TCP, ...
    pub protocol: u16,
    /// Address and port.
    pub address: SocketAddr,
    /// In the first result, if asked for.
    pub canonical_name: Option<String>,
}

/// A type of socket, its protocol, what services(5) calls that.
type Transport = (u16, u16, &'static str);

const TRANSPORTS: [Transport; 3] =
    [(SOCK_STREAM, IPPROTO_TCP as u16, "tcp"), (SOCK_DGRAM, IPPROTO_UDP as u16, "udp"), (SOCK_RAW, 0, "")];

/// The scope of an address that was found by name.
const NO_SCOPE: u32 = 0;

impl Process {
    /// getaddrinfo(3): addresses for a host and a service, best first.
    ///
    /// ```text
    /// getaddrinfo(Some("example.org"), Some("https"), &Hints { kind: SOCK_STREAM, ..Hints::default() })
    /// ```
    pub fn getaddrinfo(
        &self,
        node: Option<&str>,
        service: Option<&str>,
        hints: &Hints,
    ) -> Result<Vec<AddrInfo>, GaiError> {
        let node = node.filter(|n| *n != "*");
        let service = service.filter(|s| *s != "*");
        if node.is_none() && service.is_none() {
            return Err(GaiError::NoName);
        }
        if hints.flags & !AI_KNOWN != 0 || hints.flags & AI_CANONNAME != 0 && node.is_none() {
            return Err(GaiError::BadFlags);
        }
        let mut kinds = match hints.family {
            AF_UNSPEC => Kinds::BOTH,
            AF_INET => Kinds::V4,
            AF_INET6 => Kinds::V6,
            _ => return Err(GaiError::Family),
        };
        if hints.flags & AI_ADDRCONFIG != 0 {
            let has = self.configured();
            kinds = match (kinds.v4 && has.v4, kinds.v6 && has.v6) {
                (false, false) => return Err(GaiError::NoName),
                (v4, v6) => Kinds { v4, v6 },
            };
        }
        let ends = self.transports(service.filter(|s| !s.is_empty()), hints)?;
        let (addresses, canonical) = match node {
            Some(node) => self.node(node, kinds, hints)?,
            None => (self.own(kinds, hints.flags & AI_PASSIVE != 0), None),
        };
        let mut results = Vec::new();
        for (ip, scope) in addresses {
            for ((kind, protocol, _), port) in &ends {
                let (family, address) = match ip {
                    IpAddr::V4(ip) => (AF_INET, SocketAddr::new(ip.into(), *port)),
                    IpAddr::V6(ip) => (AF_INET6, SocketAddrV6::new(ip, *port, 0, scope).into()),
                };
                let protocol = *protocol;
                results.push(AddrInfo { family, kind: *kind, protocol, address, canonical_name: None });
            }
        }
        if let Some(first) = results.first_mut().filter(|_| hints.flags & AI_CANONNAME != 0) {
            first.canonical_name = canonical;
        }
        Ok(results)
    }

    /// Types of sockets, and the port of the service for each.
    fn transports(&self, service: Option<&str>, hints: &Hints) -> Result<Vec<(Transport, u16)>, GaiError> {
        let wanted = |(kind, protocol, name): &Transport| {
            (hints.kind == 0 || hints.kind == *kind)
                && (hints.protocol == 0 || name.is_empty() || hints.protocol == *protocol)
        };
        let number = match service {
            None => Some(0),
            Some(text) => match text.parse::<u64>() {
                Ok(number) => Some(u16::try_from(number).map_err(|_| GaiError::Service)?),
                Err(_) if hints.flags & AI_NUMERICSERV != 0 => return Err(GaiError::NoName),
                Err(_) => None,
            },
        };
        let one = hints.kind != 0 || hints.protocol != 0;
        let first = TRANSPORTS.iter().find(|t| wanted(t));
        let Some(first) = first else {
            return Err(if hints.kind != 0 { GaiError::SockType } else { GaiError::Service });
        };
        // A raw socket has no service (but any protocol).
        if one && first.2.is_empty() && service.is_some() {
            return Err(GaiError::Service);
        }
        let chosen: Vec<Transport> = match one {
            true if first.2.is_empty() => vec![(first.0, hints.protocol, "")],
            true => vec![*first],
            false => TRANSPORTS.to_vec(),
        };
        if let Some(port) = number {
            return Ok(chosen.into_iter().map(|t| (t, port)).collect());
        }
        let name = service.unwrap_or_default();
        let file = self.small_file(services::PATH);
        let port = |t: Transport| services::by_name(file.as_deref(), name, t.2).map(|port| (t, port));
        let found: Vec<_> = chosen.into_iter().filter(|t| !t.2.is_empty()).filter_map(port).collect();
        if found.is_empty() { Err(GaiError::Service) } else { Ok(found) }
    }

    /// The addresses for no node: of this host, or of all its interfaces.
    fn own(&self, kinds: Kinds, passive: bool) -> Vec<(IpAddr, u32)> {
        let (v4, v6) = match passive {
            true => (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED),
            false => (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
        };
        let mut addresses: Vec<IpAddr> = vec![v6.into(), v4.into()];
        addresses.retain(|a| kinds.has(a));
        self.sort_addresses(&mut addresses);
        addresses.into_iter().map(|a| (a, NO_SCOPE)).collect()
    }

    /// The addresses of a node with their scopes, and its canonical name.
    #[allow(clippy::type_complexity)] // said in one line above
    fn node(&self, node: &str, kinds: Kinds, hints: &Hints) -> Result<(Vec<(IpAddr, u32)>, Option<String>), GaiError> {
        let mapped = hints.family == AF_INET6 && hints.flags & AI_V4MAPPED != 0;
        if let Some((address, scope)) = self.numeric(node)? {
            let address = match address {
                IpAddr::V4(a) if !kinds.v4 && mapped => IpAddr::V6(a.to_ipv6_mapped()),
                // The reverse as well, as glibc does.
                IpAddr::V6(a) if !kinds.v6 => a.to_ipv4_mapped().map_or(IpAddr::V6(a), IpAddr::V4),
                other => other,
            };
            if !kinds.has(&address) {
                return Err(GaiError::AddrFamily);
            }
            return Ok((vec![(address, scope)], Some(node.into())));
        }
        if hints.flags & AI_NUMERICHOST != 0 {
            return Err(GaiError::NoName);
        }
        let all = hints.flags & AI_ALL != 0;
        let (mut addresses, canonical) = match self.host(node, if mapped && all { Kinds::BOTH } else { kinds }) {
            Err(ResolveError::NoData) if mapped && !all => self.host(node, Kinds::V4)?,
            other => other?,
        };
        if mapped {
            for address in &mut addresses {
                if let IpAddr::V4(a) = address {
                    *address = a.to_ipv6_mapped().into();
                }
            }
        }
        self.sort_addresses(&mut addresses);
        Ok((addresses.into_iter().map(|a| (a, NO_SCOPE)).collect(), Some(canonical)))
    }

    /// An address in text and its scope; `None` if it is none. EAI_NONAME if it
    /// has a scope that does not exist.
    fn numeric(&self, text: &str) -> Result<Option<(IpAddr, u32)>, GaiError> {
        if let Some(v4) = inet_aton(text) {
            return Ok(Some((v4.into(), NO_SCOPE)));
        }
        let (address, scope) = match text.split_once('%') {
            Some((address, scope)) => (address, Some(scope)),
            None => (text, None),
        };
        let Ok(v6) = address.parse::<Ipv6Addr>() else { return Ok(None) };
        let scope = match scope {
            None => NO_SCOPE,
            // A number, or the name of an interface (RFC 4007, 11).
            Some(scope) => {
                scope.parse().or_else(|_| self.if_nametoindex(scope)).map_err(|_: Errno| GaiError::NoName)?
            }
        };
        Ok(Some((v6.into(), scope)))
    }

    /// The address in text, with its scope: of the link by the interface's name.
    fn numeric_host(&self, address: &SocketAddr) -> String {
        match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => {
                let link = v6.ip().is_unicast_link_local() || v6.ip().octets().starts_with(&[0xff, 2]);
                let name = if link { self.if_indextoname(v6.scope_id()).ok() } else { None };
                let scope = name.unwrap_or_else(|| v6.scope_id().to_string());
                format!("{}%{scope}", v6.ip())
            }
            other => other.ip().to_string(),
        }
    }

    /// getnameinfo(3): the names of the host and the service at an address.
    pub fn getnameinfo(&self, address: &Address, flags: u32) -> Result<(String, String), GaiError> {
        if flags & !NI_KNOWN != 0 {
            return Err(GaiError::BadFlags);
        }
        let address = address.to_inet().map_err(|_| GaiError::Family)?;
        let mut host = None;
        if flags & NI_NUMERICHOST == 0 {
            host = match self.resolve_address(address.ip()) {
                Ok(names) => names.into_iter().next(),
                Err(ResolveError::TimedOut | ResolveError::ServerFailure) if flags & NI_NAMEREQD != 0 => {
                    return Err(GaiError::Again);
                }
                Err(_) => None,
            };
            if host.is_none() && flags & NI_NAMEREQD != 0 {
                return Err(GaiError::NoName);
            }
        } else if flags & NI_NAMEREQD != 0 {
            // The two exclude each other.
            return Err(GaiError::NoName);
        }
        let protocol = if flags & NI_DGRAM != 0 { "udp" } else { "tcp" };
        let mut service = None;
        if flags & NI_NUMERICSERV == 0 {
            service = services::by_port(self.small_file(services::PATH).as_deref(), address.port(), protocol);
        }
        Ok((host.unwrap_or_else(|| self.numeric_host(&address)), service.unwrap_or_else(|| address.port().to_string())))
    }
}

/// inet_aton(3): an IPv4 address of one to four numbers, decimal, octal (with
/// a zero before) or hexadecimal (0x); the last one fills what is left.
pub fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let number = |part: &str| {
        let (digits, radix) = match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
            Some(hex) => (hex, 16),
            None if part.len() > 1 && part.starts_with('0') => (&part[1..], 8),
            None => (part, 10),
        };
        // from_str_radix takes a sign.
        digits.bytes().next().filter(|b| b.is_ascii_alphanumeric())?;
        u32::from_str_radix(digits, radix).ok()
    };
    let (front, last) = match text.rsplit_once('.') {
        Some((front, last)) => (Some(front), last),
        None => (None, text),
    };
    let mut value = 0u32;
    let mut bits = 32;
    for part in front.into_iter().flat_map(|f| f.split('.')) {
        bits = u32::checked_sub(bits, 8).filter(|left| *left != 0)?;
        value |= number(part).filter(|n| *n < 256)? << bits;
    }
    let last = number(last).filter(|n| u64::from(*n) < 1 << bits)?;
    Some(Ipv4Addr::from(value | last))
}

#[cfg(test)]
mod tests;
