//! Who is bound to which port.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;
use strait_abi::Errno;

use crate::{core::Core, socket::SocketId};

/// Ports that are chosen for a socket (Linux: ip_local_port_range).
const EPHEMERAL: core::ops::Range<u16> = 32768..61000;

/// A socket bound to a port.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    pub address: IpAddr,
    pub id: SocketId,
    reuse: bool,
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
        self.takes(address) || other.takes(self.address)
    }

    /// How well it fits what comes to `ip` that it takes: the very address
    /// before all, a socket of that version before one for both.
    #[inline]
    pub fn fit(&self, ip: IpAddr) -> u8 {
        2 * u8::from(!self.address.is_unspecified()) + u8::from(self.address.is_ipv4() == ip.is_ipv4())
    }
}

/// The table, by protocol and port. Its keys are this host's own ports, so its hash need not be secret.
pub struct Ports(HashMap<(u16, u16), Vec<Binding>>);

impl Ports {
    pub fn new() -> Self {
        Self(HashMap::new())
    }

    /// The sockets bound to a port.
    pub fn at(&self, protocol: u16, port: u16) -> &[Binding] {
        self.0.get(&(protocol, port)).map(Vec::as_slice).unwrap_or_default()
    }

    /// The listener that takes connections to `to`: one bound to the very
    /// address goes before one bound to all.
    pub fn listener(&self, protocol: u16, to: SocketAddr) -> Option<SocketId> {
        let bindings = self.at(protocol, to.port()).iter().filter(|b| b.listening && b.takes(to.ip()));
        bindings.max_by_key(|b| b.fit(to.ip())).map(|b| b.id)
    }

    /// Binds a socket; EADDRINUSE if another has the port at an overlapping
    /// address and not both allow it (socket(7), SO_REUSEADDR).
    pub fn bind(
        &mut self,
        protocol: u16,
        local: SocketAddr,
        id: SocketId,
        reuse: bool,
        only6: bool,
    ) -> Result<(), Errno> {
        let bindings = self.0.entry((protocol, local.port())).or_default();
        let taken = bindings.iter().any(|b| b.overlaps(local.ip(), only6) && !(reuse && b.reuse && !b.listening));
        if taken {
            return Err(Errno::EADDRINUSE);
        }
        bindings.push(Binding { address: local.ip(), id, reuse, listening: false, only6 });
        Ok(())
    }

    /// The socket listens from now on. EADDRINUSE if another one does at an
    /// overlapping address.
    pub fn listen(&mut self, protocol: u16, local: SocketAddr, id: SocketId) -> Result<(), Errno> {
        let bindings = self.0.get_mut(&(protocol, local.port())).ok_or(Errno::EINVAL)?;
        let own = bindings.iter().find(|b| b.id == id).copied().ok_or(Errno::EINVAL)?;
        if bindings.iter().any(|b| b.id != id && b.listening && b.overlaps(local.ip(), own.only6)) {
            return Err(Errno::EADDRINUSE);
        }
        if let Some(own) = bindings.iter_mut().find(|b| b.id == id) {
            own.listening = true;
        }
        Ok(())
    }

    /// SO_REUSEADDR of a bound socket changed.
    pub fn set_reuse(&mut self, protocol: u16, port: u16, id: SocketId, reuse: bool) {
        if let Some(own) = self.0.get_mut(&(protocol, port)).and_then(|b| b.iter_mut().find(|b| b.id == id)) {
            own.reuse = reuse;
        }
    }

    /// The address of a bound socket changed from all to one.
    pub fn narrow(&mut self, protocol: u16, port: u16, id: SocketId, address: IpAddr) {
        if let Some(own) = self.0.get_mut(&(protocol, port)).and_then(|b| b.iter_mut().find(|b| b.id == id)) {
            own.address = address;
        }
    }

    /// The socket gives the port back.
    pub fn unbind(&mut self, protocol: u16, port: u16, id: SocketId) {
        if let Some(bindings) = self.0.get_mut(&(protocol, port)) {
            bindings.retain(|b| b.id != id);
            if bindings.is_empty() {
                self.0.remove(&(protocol, port));
            }
        }
    }

    /// A free port that cannot be guessed (RFC 6056, algorithm 1).
    pub fn ephemeral(&self, core: &mut Core, protocol: u16, address: IpAddr) -> Option<u16> {
        let count = u32::from(EPHEMERAL.end - EPHEMERAL.start);
        let start = core.random() as u32 % count;
        (0..count)
            .map(|i| EPHEMERAL.start + ((start + i) % count) as u16)
            .find(|port| !self.at(protocol, *port).iter().any(|b| b.overlaps(address, false)))
    }
}
