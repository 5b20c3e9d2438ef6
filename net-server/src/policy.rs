//! What each client may do: the one place where calls are held against the
//! [`Policy`] of `strait.toml`. [`abi::policy`](strait_abi::policy) has the
//! settings. The engine asks here before a family hears of a call; of ports and
//! destinations the internet family does, where it gives a socket its name and
//! its peer, so that what is wrong with a call anyway is told first.
//!
//! | refused | errno | as |
//! |---|---|---|
//! | a family or type of socket | EACCES | socket(2) |
//! | raw and packet sockets | EPERM | raw(7), packet(7) |
//! | bind to a port | EACCES | bind(2), ip(7) |
//! | connect or send to an address | EACCES | connect(2), as Landlock does |
//! | change of an interface or route | EPERM | netdevice(7) |
//! | one descriptor more than `sockets` | EMFILE | socket(2), accept(2) |
//! | more connections in queues than `sockets` | as a full queue | listen(2) |
//! | one chosen port more than `ephemeral` | as if all were in use | |
//! | more pages than `pages` | waits, as for a full buffer | |
//!
//! Datagrams are checked one by one if they carry an address; where a socket is
//! connected to, and who connects to it, is checked once. What a client sends
//! through raw sockets is checked by address, through packet sockets not at
//! all: who is granted `raw` can send anything.

use alloc::string::String;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use strait_abi::{
    Errno,
    address::{AF_INET, AF_INET6, AF_PACKET},
    policy::Policy,
    socket as c,
};
use strait_pd::Config;

use crate::{core::Core, socket::SocketId};

/// Reads the policy of the client called `client`; without any setting it is
/// the default. What is wrong names the key.
pub fn read(config: &Config, client: &str) -> Result<Policy, String> {
    let mut policy = Policy::default();
    for (key, value) in &config.settings {
        if let Some((name, what)) = key.strip_prefix("policy.").and_then(|rest| rest.rsplit_once('.'))
            && name == client
        {
            policy
                .set(what, value)
                .map_err(|wanted| alloc::format!("net_server.{key} = \"{value}\": write {wanted}"))?;
        }
    }
    Ok(policy)
}

/// Requests of ioctl(2) that change interfaces or routes (netdevice(7)).
pub fn is_administration(request: u32) -> bool {
    matches!(
        request,
        c::SIOCADDRT
            | c::SIOCDELRT
            | c::SIOCDIFADDR
            | c::SIOCSIFFLAGS
            | c::SIOCSIFADDR
            | c::SIOCSIFBRDADDR
            | c::SIOCSIFNETMASK
            | c::SIOCSIFMTU
            | c::SIOCSIFHWADDR
    )
}

/// Where a destination really is: the unspecified address stands for this host
/// (ip(7)).
fn target(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(a) if a.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(a) if a.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

/// The protocol whose ports the policy speaks of: TCP and UDP have some.
fn has_ports(protocol: u16) -> bool {
    [c::IPPROTO_TCP, c::IPPROTO_UDP].contains(&i32::from(protocol))
}

fn allow(policy: &Policy, protocol: u16, to: SocketAddr) -> Result<(), Errno> {
    let port = has_ports(protocol).then_some(to.port());
    if policy.may_reach(protocol, target(to.ip()), port) { Ok(()) } else { Err(Errno::EACCES) }
}

fn granted(yes: bool) -> Result<(), Errno> {
    if yes { Ok(()) } else { Err(Errno::EPERM) }
}

/// Whether the session may use raw and packet sockets; EPERM if not.
pub fn may_raw(core: &Core, session: usize) -> Result<(), Errno> {
    granted(core.sessions.get(session).is_some_and(|s| s.policy.raw))
}

/// Whether the session may change interfaces and routes; EPERM if not.
pub fn may_administer(core: &Core, session: usize) -> Result<(), Errno> {
    granted(core.sessions.get(session).is_some_and(|s| s.policy.administer))
}

/// socket(2) and socketpair(2), before the family is asked.
pub fn may_create(core: &Core, session: usize, family: u16, kind: u16) -> Result<(), Errno> {
    let policy = &core.sessions.get(session).ok_or(Errno::EIO)?.policy;
    if policy.families.as_ref().is_some_and(|list| !list.contains(&family)) {
        return Err(Errno::EACCES);
    }
    if family == AF_PACKET {
        return granted(policy.raw);
    }
    if kind != c::SOCK_RAW && policy.types.as_ref().is_some_and(|list| !list.contains(&kind)) {
        return Err(Errno::EACCES);
    }
    Ok(())
}

/// socket(2), when the family has taken type and protocol: it looks at them
/// first (Linux: ESOCKTNOSUPPORT and EPROTONOSUPPORT go before EPERM).
pub fn may_keep(core: &Core, id: SocketId) -> Result<(), Errno> {
    let socket = core.sockets.get(id).ok_or(Errno::EBADF)?;
    let raw = socket.kind == c::SOCK_RAW && [AF_INET, AF_INET6].contains(&socket.domain);
    if raw { may_raw(core, socket.session) } else { Ok(()) }
}

/// The policy of the client whose call is served.
fn caller(core: &Core) -> Result<&Policy, Errno> {
    Ok(&core.sessions.get(core.caller).ok_or(Errno::EIO)?.policy)
}

/// A socket gets `port` by bind(2). Asked where ports are given out, so that no
/// way of writing the address leads around it.
pub fn may_own(core: &Core, id: SocketId, port: u16) -> Result<(), Errno> {
    let protocol = core.sockets.get(id).ok_or(Errno::EBADF)?.protocol;
    // Of other kinds the number is no port, and port 0 lets the server choose.
    let free = port == 0 || !has_ports(protocol);
    if free || caller(core)?.may_bind(protocol, port) { Ok(()) } else { Err(Errno::EACCES) }
}

/// A socket gets a peer by connect(2).
pub fn may_connect(core: &Core, id: SocketId, peer: SocketAddr) -> Result<(), Errno> {
    allow(caller(core)?, core.sockets.get(id).ok_or(Errno::EBADF)?.protocol, peer)
}

/// A datagram to an address that it carries itself.
#[inline]
pub fn may_send(policy: &Policy, protocol: u16, to: SocketAddr) -> Result<(), Errno> {
    if policy.destinations.is_none() { Ok(()) } else { allow(policy, protocol, to) }
}

/// ioctl(2).
pub fn may_ioctl(core: &Core, session: usize, request: u32) -> Result<(), Errno> {
    if is_administration(request) { may_administer(core, session) } else { Ok(()) }
}

/// A port is chosen for a socket: counts it against `ephemeral` until the
/// socket gives it back. EADDRINUSE if it would be one too many.
pub fn take_ephemeral(core: &mut Core, id: SocketId) -> Result<(), Errno> {
    let socket = core.sockets.get_mut(id).ok_or(Errno::EBADF)?;
    let session = core.sessions.get_mut(socket.session).ok_or(Errno::EIO)?;
    if !socket.ephemeral {
        if session.policy.ephemeral.is_some_and(|most| session.ephemeral >= usize::from(most)) {
            return Err(Errno::EADDRINUSE);
        }
        socket.ephemeral = true;
        session.ephemeral += 1;
    }
    Ok(())
}

/// The socket has that port no more.
pub fn return_ephemeral(core: &mut Core, id: SocketId) {
    if let Some(socket) = core.sockets.get_mut(id)
        && core::mem::take(&mut socket.ephemeral)
        && let Some(session) = core.sessions.get_mut(socket.session)
    {
        session.ephemeral -= 1;
    }
}
