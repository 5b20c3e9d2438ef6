//! Who is bound to which port.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;
use strait_abi::Errno;

use crate::{core::Core, socket::SocketId};

/// Ports that are chosen for a socket (Linux: ip_local_port_range).
const EPHEMERAL: core::ops::Range<u16> = 32768..61000;

/// What a socket allows others at its port (socket(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharing {
    /// SO_REUSEADDR.
    pub address: bool,
    /// SO_REUSEPORT.
    pub port: bool,
    /// Whose it is: a port is shared by SO_REUSEPORT within one session.
    pub session: usize,
    /// SO_BINDTODEVICE: those of different interfaces are in nobody's way.
    pub device: u32,
}

impl Sharing {
    /// What the options of a socket say.
    pub fn of(core: &Core, id: SocketId) -> Self {
        let (options, session) = (&core.sockets[id].options, core.sockets[id].session);
        Self { address: options.reuse_address, port: options.reuse_port, session, device: options.device }
    }

    fn group(&self, other: &Self) -> bool {
        self.port && other.port && self.session == other.session
    }

    fn apart(&self, other: &Self) -> bool {
        self.device != 0 && other.device != 0 && self.device != other.device
    }

    fn allows(&self, other: &Self) -> bool {
        self.apart(other) || self.address && other.address || self.group(other)
    }
}

/// A socket bound to a port.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    pub address: IpAddr,
    pub id: SocketId,
    pub sharing: Sharing,
    pub listening: bool,
    /// IPV6_V6ONLY.
    only6: bool,
}

impl Binding {
    /// Whether what comes to `ip` may be for this socket.
    #[inline]
    pub fn takes(&self, ip: IpAddr) -> bool {
        match self.address {
            IpAddr::V4(a) if a.is_unspecified() => ip.is_ipv4(),
            IpAddr::V6(a) if a.is_unspecified() => ip.is_ipv6() || !self.only6,
            address => address == ip,
        }
    }

    /// Whether a socket bound to `address` would want packets of this one.
    fn overlaps(&self, address: IpAddr, only6: bool) -> bool {
        let other = Self { address, only6, ..*self };
        self.takes(address) || other.takes(self.address) || self.shadows(address) || other.shadows(self.address)
    }

    /// A socket of both versions that connect(2) gave an address of IPv6 keeps
    /// the port from those that want all of IPv4 (Linux: LOOPBACK4_IPV6).
    fn shadows(&self, address: IpAddr) -> bool {
        self.address.is_ipv6() && !self.only6 && address.is_ipv4() && address.is_unspecified()
    }

    /// How well it fits what comes to `ip` by the interface `device`, if it takes
    /// that: the very address before all, the very interface before any, a socket
    /// of that version before one for both.
    #[inline]
    pub fn fit(&self, ip: IpAddr, device: u32) -> Option<u8> {
        let own = self.sharing.device;
        let takes = self.takes(ip) && (own == 0 || own == device);
        let version = self.address.is_ipv4() == ip.is_ipv4();
        takes.then(|| 16 * u8::from(!self.address.is_unspecified()) + 2 * u8::from(own != 0) + u8::from(version))
    }
}

/// What keeps a port from others without a socket that is bound: connections
/// that came in by a listener, and those in TIME-WAIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    pub address: IpAddr,
    pub sharing: Sharing,
}

#[derive(Default)]
struct Port {
    bindings: Vec<Binding>,
    /// As many entries as there are addresses and ways of sharing, not
    /// connections: each with their number.
    holds: Vec<(Hold, usize)>,
}

impl Port {
    /// Whether somebody does not share the port with `own` (Linux:
    /// inet_bind_conflict).
    fn conflicts(&self, own: &Binding) -> bool {
        let sharing = &own.sharing;
        let by_socket = self.bindings.iter().any(|b| {
            let shared = match b.listening {
                true => sharing.group(&b.sharing) || sharing.apart(&b.sharing),
                false => sharing.allows(&b.sharing),
            };
            b.id != own.id && b.overlaps(own.address, own.only6) && !shared
        });
        by_socket || self.holds.iter().any(|(h, _)| own.takes(h.address) && !sharing.allows(&h.sharing))
    }
}

/// The table, by protocol and port. Its keys are this host's own ports, so its hash need not be secret.
pub struct Ports(HashMap<(u16, u16), Port>);

impl Ports {
    pub fn new() -> Self {
        Self(HashMap::new())
    }

    /// The sockets bound to a port.
    pub fn at(&self, protocol: u16, port: u16) -> &[Binding] {
        self.0.get(&(protocol, port)).map(|p| p.bindings.as_slice()).unwrap_or_default()
    }

    /// The listener that takes connections to `to`: one bound to the very
    /// address goes before one bound to all. Among those that share the port by
    /// SO_REUSEPORT `hash` decides, which is only asked if there are such.
    pub fn listener(&self, protocol: u16, to: SocketAddr, device: u32, hash: impl FnOnce() -> u64) -> Option<SocketId> {
        let bindings = self.at(protocol, to.port());
        let matches = || bindings.iter().filter(|b| b.listening && b.fit(to.ip(), device).is_some());
        let best = matches().max_by_key(|b| b.fit(to.ip(), device))?;
        Some(spread(best, matches(), hash))
    }

    /// Binds a socket; EADDRINUSE if another has the port at an overlapping
    /// address and not both allow it (socket(7), SO_REUSEADDR, SO_REUSEPORT).
    pub fn bind(
        &mut self,
        protocol: u16,
        local: SocketAddr,
        id: SocketId,
        sharing: Sharing,
        only6: bool,
    ) -> Result<(), Errno> {
        let own = Binding { address: local.ip(), id, sharing, listening: false, only6 };
        let port = self.0.entry((protocol, local.port())).or_default();
        if port.conflicts(&own) {
            return Err(Errno::EADDRINUSE);
        }
        port.bindings.push(own);
        Ok(())
    }

    /// The socket listens from now on. EADDRINUSE if what was allowed when it
    /// was bound is so no more: another one listens, or connections came in.
    pub fn listen(&mut self, protocol: u16, local: SocketAddr, id: SocketId) -> Result<(), Errno> {
        let port = self.0.get_mut(&(protocol, local.port())).ok_or(Errno::EINVAL)?;
        let at = port.bindings.iter().position(|b| b.id == id).ok_or(Errno::EINVAL)?;
        if port.conflicts(&port.bindings[at]) {
            return Err(Errno::EADDRINUSE);
        }
        port.bindings[at].listening = true;
        Ok(())
    }

    /// The socket listens no more, and stays bound.
    pub fn unlisten(&mut self, protocol: u16, port: u16, id: SocketId) {
        if let Some(own) = self.binding(protocol, port, id) {
            own.listening = false;
        }
    }

    fn binding(&mut self, protocol: u16, port: u16, id: SocketId) -> Option<&mut Binding> {
        self.0.get_mut(&(protocol, port))?.bindings.iter_mut().find(|b| b.id == id)
    }

    /// What a bound socket allows has changed.
    pub fn set_sharing(&mut self, protocol: u16, port: u16, id: SocketId, sharing: Sharing) {
        if let Some(own) = self.binding(protocol, port, id) {
            own.sharing = sharing;
        }
    }

    /// The address of a bound socket changed: connect(2) narrows all to one, and
    /// its end widens it again.
    pub fn set_address(&mut self, protocol: u16, port: u16, id: SocketId, address: IpAddr) {
        if let Some(own) = self.binding(protocol, port, id) {
            own.address = address;
        }
    }

    /// The socket gives the port back.
    pub fn unbind(&mut self, protocol: u16, port: u16, id: SocketId) {
        if let Some(entry) = self.0.get_mut(&(protocol, port)) {
            entry.bindings.retain(|b| b.id != id);
            self.tidy(protocol, port);
        }
    }

    /// A connection keeps the port, see [`Hold`].
    pub fn hold(&mut self, protocol: u16, port: u16, hold: Hold) {
        let holds = &mut self.0.entry((protocol, port)).or_default().holds;
        match holds.iter_mut().find(|(h, _)| *h == hold) {
            Some((_, count)) => *count += 1,
            None => holds.push((hold, 1)),
        }
    }

    /// A connection that [`hold`](Self::hold) was told of is over.
    pub fn release(&mut self, protocol: u16, port: u16, hold: &Hold) {
        let Some(entry) = self.0.get_mut(&(protocol, port)) else { return };
        if let Some(at) = entry.holds.iter().position(|(h, _)| h == hold) {
            entry.holds[at].1 -= 1;
            if entry.holds[at].1 == 0 {
                entry.holds.swap_remove(at);
                self.tidy(protocol, port);
            }
        }
    }

    fn tidy(&mut self, protocol: u16, port: u16) {
        if self.0.get(&(protocol, port)).is_some_and(|p| p.bindings.is_empty() && p.holds.is_empty()) {
            self.0.remove(&(protocol, port));
        }
    }

    /// A free port that cannot be guessed (RFC 6056, algorithm 1): one that
    /// nothing holds if there is one, or else one that nobody is bound to.
    pub fn ephemeral(&self, core: &mut Core, protocol: u16, address: IpAddr) -> Option<u16> {
        let count = u32::from(EPHEMERAL.end - EPHEMERAL.start);
        let start = core.random() as u32 % count;
        let candidates = || (0..count).map(|i| EPHEMERAL.start + ((start + i) % count) as u16);
        let bound = |port: u16| self.at(protocol, port).iter().any(|b| b.overlaps(address, false));
        let held = |port: u16| self.0.get(&(protocol, port)).is_some_and(|p| !p.holds.is_empty());
        candidates().find(|port| !bound(*port) && !held(*port)).or_else(|| candidates().find(|port| !bound(*port)))
    }
}

/// The one of those that share a port with `best` at the same address by
/// SO_REUSEPORT that `hash` says; `best` if nobody does.
pub fn spread<'a>(
    best: &Binding,
    matches: impl Iterator<Item = &'a Binding> + Clone,
    hash: impl FnOnce() -> u64,
) -> SocketId {
    if !best.sharing.port {
        return best.id;
    }
    let of = |b: &&Binding| b.address == best.address && b.sharing.port && b.sharing.device == best.sharing.device;
    let mut group = matches.filter(of);
    let count = group.clone().count() as u64;
    // Scaled instead of divided (Linux: reciprocal_scale).
    let at = ((hash() & 0xffff_ffff) * count) >> 32;
    group.nth(at as usize).map_or(best.id, |b| b.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    const TCP: u16 = 6;

    fn at(last: u8, port: u16) -> SocketAddr {
        SocketAddr::new(if last == 0 { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::new(10, 0, 0, last) }.into(), port)
    }

    fn sharing(address: bool, port: bool) -> Sharing {
        Sharing { address, port, ..ALONE }
    }

    const ALONE: Sharing = Sharing { address: false, port: false, session: 0, device: 0 };

    #[test]
    fn who_may_share_a_port() {
        // First, second, whether the first listens; may the second bind?
        for (first, second, listens, may) in [
            (ALONE, ALONE, false, false),
            (sharing(true, false), ALONE, false, false),
            (sharing(true, false), sharing(true, false), false, true),
            (sharing(true, false), sharing(true, false), true, false),
            (sharing(false, true), sharing(false, true), false, true),
            (sharing(false, true), sharing(false, true), true, true),
            (sharing(false, true), sharing(true, false), false, false),
            (sharing(false, true), Sharing { session: 1, ..sharing(false, true) }, false, false),
        ] {
            let mut ports = Ports::new();
            ports.bind(TCP, at(0, 80), 1, first, false).unwrap();
            if listens {
                ports.listen(TCP, at(0, 80), 1).unwrap();
            }
            let want = if may { Ok(()) } else { Err(Errno::EADDRINUSE) };
            assert_eq!(ports.bind(TCP, at(1, 80), 2, second, false), want, "{first:?} {second:?} {listens}");
            assert_eq!(ports.bind(TCP, at(1, 81), 3, second, false), Ok(()));
        }
    }

    #[test]
    fn what_is_held_is_not_bound_without_leave() {
        let mut ports = Ports::new();
        let hold = Hold { address: at(1, 0).ip(), sharing: sharing(true, false) };
        ports.hold(TCP, 80, hold);
        ports.hold(TCP, 80, hold);
        ports.release(TCP, 80, &hold);
        assert_eq!(ports.bind(TCP, at(0, 80), 1, ALONE, false), Err(Errno::EADDRINUSE));
        assert_eq!(ports.bind(TCP, at(2, 80), 2, ALONE, false), Ok(()));
        assert_eq!(ports.bind(TCP, at(1, 80), 3, sharing(true, false), false), Ok(()));
        ports.unbind(TCP, 80, 2);
        ports.unbind(TCP, 80, 3);
        ports.release(TCP, 80, &hold);
        assert!(ports.0.is_empty());
    }

    #[test]
    fn sharers_are_chosen_by_hash() {
        let mut ports = Ports::new();
        for id in 0..4 {
            ports.bind(TCP, at(0, 80), id, sharing(false, true), false).unwrap();
            ports.listen(TCP, at(0, 80), id).unwrap();
        }
        let chosen = |hash: u64| ports.listener(TCP, at(9, 80), 1, || hash).unwrap();
        assert_eq!([0, 1 << 30, 2 << 30, u64::MAX].map(chosen), [0, 1, 2, 3]);
        assert_eq!(ports.listener(TCP, at(9, 81), 1, || 0), None);
    }
}
