//! Questions to name servers, and what their answers say.
//!
//! RFC 1035 for the format, RFC 6891 for EDNS, RFC 2308 for answers that there
//! is nothing, RFC 5452 for what makes an answer believable.

use alloc::{
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::net::{IpAddr, SocketAddr};

use domain::{
    base::{
        Message, MessageBuilder, Name, Rtype, ToName,
        iana::Rcode,
        name::{ParsedName, ToLabelIter},
    },
    rdata::{A, Aaaa, Cname, Ns, Ptr, Soa},
};
use strait_abi::Address;

use super::ResolveError;

/// A name in wire format.
pub type DnsName = Name<Vec<u8>>;

/// Longest answer by UDP that is asked for: fits every path (RFC 9715).
pub const UDP_SIZE: u16 = 1232;
/// Longest answer that is taken, by TCP.
pub const MAX_MESSAGE: usize = 16 * 1024;
/// Records taken from an answer.
pub const MAX_RECORDS: usize = 32;
/// Aliases followed in one answer.
const MAX_ALIASES: usize = 16;
/// Random bytes that a question uses: identifier, and a bit for each letter.
pub const ENTROPY: usize = 2 + 32;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Records {
    /// A or AAAA.
    pub addresses: Vec<IpAddr>,
    /// PTR.
    pub names: Vec<String>,
    /// The name at the end of the aliases; empty if there are none, or it is no
    /// host name.
    pub canonical: String,
    /// Seconds for which this holds.
    pub ttl: u32,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The records asked for.
    Found(Records),
    /// The name is an alias of this one, of which nothing is said.
    Alias(DnsName),
    /// There are no such records, or not even the name. It holds for `ttl`
    /// seconds.
    Absent {
        /// The name has records of other kinds.
        exists: bool,
        /// 0 if the answer must not be remembered.
        ttl: u32,
    },
    /// To be asked again by TCP.
    Truncated,
    /// The server does not know EDNS.
    NoEdns,
    /// The server cannot or will not answer.
    Failure,
}

/// A question.
pub struct Query {
    message: Message<Vec<u8>>,
    edns: bool,
}

/// The name of a host. Dots separate its labels; one at the end is allowed.
pub fn name(host: &str) -> Result<DnsName, ResolveError> {
    if host.is_empty() || host == "." || !host.is_ascii() {
        return Err(ResolveError::BadName);
    }
    Name::from_chars(host.chars()).map_err(|_| ResolveError::BadName)
}

/// The name under which the names of an address are (RFC 1035, 3.5; RFC 3596,
/// 2.5).
pub fn reverse_name(address: IpAddr) -> Result<DnsName, ResolveError> {
    let mut text = String::new();
    let zone = match address {
        IpAddr::V4(a) => {
            for byte in a.octets().iter().rev() {
                text += &byte.to_string();
                text.push('.');
            }
            "in-addr.arpa"
        }
        IpAddr::V6(a) => {
            for nibble in a.octets().iter().rev().flat_map(|b| [b & 15, b >> 4]) {
                text.extend(char::from_digit(nibble.into(), 16));
                text.push('.');
            }
            "ip6.arpa"
        }
    };
    text += zone;
    name(&text)
}

/// Whether a name is one that hosts have, so that it can be shown and compared
/// without surprises: letters, digits, `-`, `_` and dots.
pub fn is_host_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(['-', '.'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn host_name(name: &impl ToName) -> Option<String> {
    let text = name.to_vec().to_string();
    is_host_name(&text).then_some(text)
}

impl Query {
    /// A question for the records of `kind` of `name`, with unpredictable
    /// identifier and spelling.
    pub fn new(name: &DnsName, kind: Rtype, edns: bool, entropy: &[u8; ENTROPY]) -> Result<Self, ResolveError> {
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(u16::from_ne_bytes([entropy[0], entropy[1]]));
        builder.header_mut().set_rd(true);
        let mut builder = builder.question();
        builder.push((spelling(name, &entropy[2..]), kind)).map_err(|_| ResolveError::BadName)?;
        let mut builder = builder.additional();
        if edns {
            let size = |opt: &mut domain::base::message_builder::OptBuilder<'_, Vec<u8>>| {
                opt.set_udp_payload_size(UDP_SIZE);
                Ok(())
            };
            builder.opt(size).map_err(|_| ResolveError::BadName)?;
        }
        Ok(Self { message: builder.into_message(), edns })
    }

    /// It as it is sent.
    pub fn as_slice(&self) -> &[u8] {
        self.message.as_slice()
    }

    /// What `bytes` say; `None` if they are no answer to this question.
    pub fn read(&self, bytes: &[u8], tcp: bool) -> Option<Verdict> {
        let message = Message::from_slice(bytes).ok()?;
        if !message.is_answer(&self.message) || message.header_counts().qdcount() != 1 {
            return None;
        }
        let header = message.header();
        if !tcp && (header.tc() || !self.same_spelling(message)) {
            // Who answers in another spelling did not see the question, or is
            // one of the few servers that do not keep it: TCP tells.
            return Some(Verdict::Truncated);
        }
        Some(match header.rcode() {
            Rcode::NOERROR | Rcode::NXDOMAIN => self.records(message).unwrap_or(Verdict::Failure),
            Rcode::FORMERR | Rcode::NOTIMP if self.edns => Verdict::NoEdns,
            _ => Verdict::Failure,
        })
    }

    fn same_spelling(&self, message: &Message<[u8]>) -> bool {
        let (Some(ours), Some(theirs)) = (self.message.first_question(), message.first_question()) else {
            return false;
        };
        ours.qname().iter_labels().map(|l| l.as_slice()).eq(theirs.qname().iter_labels().map(|l| l.as_slice()))
    }

    fn records(&self, message: &Message<[u8]>) -> Option<Verdict> {
        let question = message.first_question()?;
        let answer = message.answer().ok()?;
        let mut ttl = u32::MAX;
        // The aliases from the name asked for.
        let mut end: ParsedName<&[u8]> = *question.qname();
        let mut aliases = 0;
        let next = |end: &ParsedName<&[u8]>| {
            let mut aliases = answer.limit_to_in::<Cname<_>>().flatten();
            aliases.find(|record| record.owner() == end).map(|r| (r.ttl().as_secs(), r.into_data().into_cname()))
        };
        while let Some((seconds, to)) = next(&end) {
            aliases += 1;
            if aliases > MAX_ALIASES {
                return None;
            }
            ttl = ttl.min(seconds);
            end = to;
        }
        // Without aliases it is the name asked for, in a strange spelling.
        let canonical = if aliases == 0 { String::new() } else { host_name(&end).unwrap_or_default() };
        let mut found = Records { canonical, ..Records::default() };
        match question.qtype() {
            Rtype::A => {
                for record in answer.limit_to_in::<A>().flatten().filter(|r| *r.owner() == end).take(MAX_RECORDS) {
                    found.addresses.push(record.data().addr().into());
                    ttl = ttl.min(record.ttl().as_secs());
                }
            }
            Rtype::AAAA => {
                for record in answer.limit_to_in::<Aaaa>().flatten().filter(|r| *r.owner() == end).take(MAX_RECORDS) {
                    found.addresses.push(record.data().addr().into());
                    ttl = ttl.min(record.ttl().as_secs());
                }
            }
            _ => {
                for record in answer.limit_to_in::<Ptr<_>>().flatten().filter(|r| *r.owner() == end).take(MAX_RECORDS) {
                    found.names.extend(host_name(record.data().ptrdname()));
                    ttl = ttl.min(record.ttl().as_secs());
                }
            }
        }
        if !found.addresses.is_empty() || !found.names.is_empty() {
            return Some(Verdict::Found(Records { ttl, ..found }));
        }
        let (header, authority) = (message.header(), message.authority().ok()?);
        let soa = authority.limit_to_in::<Soa<_>>().flatten().next();
        let exists = header.rcode() != Rcode::NXDOMAIN;
        // Who knows of others alone (RFC 2308, 2.2), or of nobody.
        let refers = || authority.limit_to_in::<Ns<_>>().next().is_some();
        let lame = exists && message.header_counts().ancount() == 0 && !header.aa() && (!header.ra() || refers());
        Some(match soa {
            None if lame => Verdict::Failure,
            None if exists && aliases != 0 => Verdict::Alias(end.try_to_name().ok()?),
            // Without a SOA record it is not remembered (RFC 2308, 5).
            None => Verdict::Absent { exists, ttl: 0 },
            Some(soa) => {
                let seconds = soa.ttl().as_secs().min(soa.data().minimum().as_secs());
                Verdict::Absent { exists, ttl: seconds.min(ttl) }
            }
        })
    }
}

/// The name with letters of random case (draft-vixie-dnsext-dns0x20).
fn spelling(name: &DnsName, entropy: &[u8]) -> DnsName {
    let mut bytes = name.as_slice().to_vec();
    for (i, byte) in bytes.iter_mut().enumerate() {
        // Lengths of labels are less than letters.
        if byte.is_ascii_alphabetic() && entropy.get(i / 8).is_some_and(|e| e >> (i % 8) & 1 != 0) {
            *byte ^= 0x20;
        }
    }
    Name::from_octets(bytes).unwrap_or_else(|_| name.clone())
}

/// The addresses in a reply to
/// [`Request::NameServers`](strait_abi::net::Request::NameServers).
pub fn parse_servers(mut bytes: &[u8]) -> Vec<SocketAddr> {
    let mut servers = vec![];
    while let Some((len, rest)) = bytes.split_first() {
        let Some((address, rest)) = rest.split_at_checked(usize::from(*len)) else { break };
        servers.extend(Address::from_bytes(address).and_then(|a| a.to_inet()));
        bytes = rest;
    }
    servers
}
