//! Control data of datagrams: what a packet's headers said, for recvmsg(2), and
//! what a client wants them to say, from sendmsg(2) (ip(7), RFC 3542).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use strait_abi::{
    Errno,
    address::AF_INET6,
    control::{self, Item},
    socket as c,
};

use super::{Endpoint, ip, options::receive};
use crate::{
    link::{ETH_INDEX, LOOPBACK_INDEX, Links},
    socket::{Options, int, time_of_arrival},
};

/// Bytes of control data of one datagram at most, in either direction.
pub const MOST: usize = 256;
/// Bytes of a `struct in_pktinfo`: interface, our address, destination.
const PKTINFO: usize = 12;
/// Bytes of a `struct in6_pktinfo`: destination, interface.
const PKTINFO6: usize = 20;

/// Control data that goes to a client.
pub struct Control {
    bytes: [u8; MOST],
    used: usize,
}

impl Control {
    /// As in a `msghdr`, padded.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    fn put(&mut self, level: i32, kind: i32, value: &[u8]) {
        // All that there is fits.
        let fits = control::put(&mut self.bytes, &mut self.used, Item { level, kind, value });
        debug_assert!(fits);
    }
}

/// What `packet` is accompanied by on its way to a socket of `domain`.
#[cold]
pub fn received(
    now: u64,
    links: &Links,
    options: &Options,
    endpoint: &Endpoint,
    domain: u16,
    packet: &[u8],
) -> Control {
    let mut control = Control { bytes: [0; MOST], used: 0 };
    if let Some((kind, time)) = time_of_arrival(options, now) {
        control.put(c::SOL_SOCKET, kind, &time);
    }
    let wanted = |bit: u16| endpoint.ip.receive & bit != 0;
    let (_, target) = ip::addresses(packet);
    let device = links.arrived_on;
    match target {
        IpAddr::V4(target) => {
            if domain == AF_INET6 && wanted(receive::PKTINFO6) {
                control.put(c::IPPROTO_IPV6, c::IPV6_PKTINFO, &pktinfo6(target.to_ipv6_mapped(), device));
            }
            if wanted(receive::PKTINFO) {
                let group = target.is_multicast() || links.is_broadcast(target);
                let own = if group { links.ipv4.addresses().first().map_or(target, |c| c.address()) } else { target };
                let mut value = [0; PKTINFO];
                value[..4].copy_from_slice(&device.to_ne_bytes());
                value[4..8].copy_from_slice(&own.octets());
                value[8..].copy_from_slice(&target.octets());
                control.put(c::IPPROTO_IP, c::IP_PKTINFO, &value);
            }
            if wanted(receive::TTL) {
                control.put(c::IPPROTO_IP, c::IP_TTL, &i32::from(packet[8]).to_ne_bytes());
            }
            if wanted(receive::TOS) {
                control.put(c::IPPROTO_IP, c::IP_TOS, &[packet[1]]);
            }
        }
        IpAddr::V6(target) => {
            if wanted(receive::PKTINFO6) {
                control.put(c::IPPROTO_IPV6, c::IPV6_PKTINFO, &pktinfo6(target, device));
            }
            if wanted(receive::HOPS) {
                control.put(c::IPPROTO_IPV6, c::IPV6_HOPLIMIT, &i32::from(packet[7]).to_ne_bytes());
            }
            if wanted(receive::CLASS) {
                let class = packet[0] << 4 | packet[1] >> 4;
                control.put(c::IPPROTO_IPV6, c::IPV6_TCLASS, &i32::from(class).to_ne_bytes());
            }
        }
    }
    control
}

fn pktinfo6(target: Ipv6Addr, device: u32) -> [u8; PKTINFO6] {
    let mut value = [0; PKTINFO6];
    value[..16].copy_from_slice(&target.octets());
    value[16..].copy_from_slice(&device.to_ne_bytes());
    value
}

/// What control data says of one datagram to be sent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// The address it comes from.
    pub source: Option<IpAddr>,
    /// It comes from the address that the way has, whatever the socket is bound to.
    pub unbound: bool,
    /// Time to live, or hop limit.
    pub ttl: Option<u8>,
    /// Type of service, or traffic class.
    pub tos: Option<u8>,
}

/// What the client's library says itself.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// [`control::DONT_ROUTE`].
    pub dont_route: bool,
    /// [`control::ONLY_ASKED`].
    pub only_asked: bool,
    /// [`control::TOO_LONG`].
    pub too_long: bool,
    /// [`control::NO_LENGTH`].
    pub no_length: bool,
    /// [`control::URGENT`].
    pub urgent: bool,
}

impl Own {
    /// What control data says of it.
    #[cold]
    pub fn of(bytes: &[u8]) -> Self {
        let mut own = Self::default();
        for item in control::items(bytes).filter_map(Result::ok).filter(|item| item.level == control::OWN_LEVEL) {
            match item.kind {
                control::DONT_ROUTE => own.dont_route = true,
                control::ONLY_ASKED => own.only_asked = true,
                control::TOO_LONG => own.too_long = true,
                control::NO_LENGTH => own.no_length = true,
                control::URGENT => own.urgent = true,
                _ => {}
            }
        }
        own
    }

    /// What IPv4 refuses of it.
    pub fn by_4(&self) -> Result<(), Errno> {
        match self {
            Self { no_length: true, .. } => Err(Errno::EMSGSIZE),
            Self { urgent: true, .. } => Err(Errno::EOPNOTSUPP),
            _ => Ok(()),
        }
    }
}

/// Reads the control data of a datagram of a socket of `domain` to `target`. EINVAL for what is not to
/// be said there, or has no such value; ENODEV for an interface that there is
/// not; ENETUNREACH for an IPv4 source that is not this host's.
#[cold]
pub fn wishes(links: &Links, domain: u16, bytes: &[u8], target: IpAddr) -> Result<Wishes, Errno> {
    let mut wishes = Wishes::default();
    for item in control::items(bytes) {
        let item = item?;
        match (item.level, item.kind) {
            (c::IPPROTO_IP, kind) if target.is_ipv4() => match kind {
                c::IP_PKTINFO => {
                    let value = item.value.first_chunk::<PKTINFO>().ok_or(Errno::EINVAL)?;
                    device(int(value)?)?;
                    let ip = Ipv4Addr::new(value[4], value[5], value[6], value[7]);
                    wishes.source = match own(links, ip.into()) {
                        // As Linux: there is no way from there.
                        Err(_) if !ip.is_multicast() && !ip.is_broadcast() => return Err(Errno::ENETUNREACH),
                        other => other?,
                    };
                    wishes.unbound = ip.is_unspecified();
                }
                c::IP_TTL => wishes.ttl = Some(byte(exact(item.value)?, 1)?),
                c::IP_TOS if item.value.len() == 1 => wishes.tos = Some(item.value[0]),
                c::IP_TOS => wishes.tos = Some(byte(exact(item.value)?, 0)?),
                _ => return Err(Errno::EINVAL),
            },
            (c::IPPROTO_IPV6, c::IPV6_PKTINFO) if domain == AF_INET6 => {
                let value = item.value.first_chunk::<PKTINFO6>().ok_or(Errno::EINVAL)?;
                device(int(&value[16..])?)?;
                let mut ip = [0; 16];
                ip.copy_from_slice(&value[..16]);
                let ip = Ipv6Addr::from(ip);
                let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
                if ip.is_ipv4() != target.is_ipv4() {
                    return Err(Errno::EINVAL);
                }
                wishes.source = own(links, ip)?;
            }
            (c::IPPROTO_IPV6, kind) if target.is_ipv6() => match kind {
                c::IPV6_HOPLIMIT => wishes.ttl = default_or(exact(item.value)?)?,
                c::IPV6_TCLASS => wishes.tos = default_or(exact(item.value)?)?,
                _ => return Err(Errno::EINVAL),
            },
            // What Linux passes over: descriptors and identities, and the other
            // version's.
            (c::SOL_SOCKET, c::SCM_RIGHTS | c::SCM_CREDENTIALS) => {}
            (c::SOL_SOCKET, _) => return Err(Errno::EINVAL),
            _ => {}
        }
    }
    Ok(wishes)
}

fn exact(value: &[u8]) -> Result<i32, Errno> {
    if value.len() == 4 { int(value) } else { Err(Errno::EINVAL) }
}

fn byte(value: i32, least: i32) -> Result<u8, Errno> {
    u8::try_from(value).ok().filter(|_| value >= least).ok_or(Errno::EINVAL)
}

/// -1 stands for what the socket says.
fn default_or(value: i32) -> Result<Option<u8>, Errno> {
    if value == -1 { Ok(None) } else { byte(value, 0).map(Some) }
}

fn device(index: i32) -> Result<(), Errno> {
    match index as u32 {
        0 | LOOPBACK_INDEX | ETH_INDEX => Ok(()),
        _ => Err(Errno::ENODEV),
    }
}

fn own(links: &Links, ip: IpAddr) -> Result<Option<IpAddr>, Errno> {
    match ip {
        _ if ip.is_unspecified() => Ok(None),
        _ if links.is_local(ip) => Ok(Some(ip)),
        // Linux: of IPv4 the route says it.
        IpAddr::V4(_) => Err(Errno::ENETUNREACH),
        IpAddr::V6(_) => Err(Errno::EINVAL),
    }
}
