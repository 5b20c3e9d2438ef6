//! Which name a socket has, and by which way what it sends leaves.

use core::net::{IpAddr, SocketAddr};

use strait_abi::Errno;

use super::{Port, Shared, addressing::any, ip::words, ports::Sharing};
use crate::{
    core::Core,
    hash::keyed,
    link::{ETH_INDEX, LOOPBACK_INDEX, Links, Route},
    policy,
    socket::{Options, SocketId},
};

impl Shared {
    /// Binds `id`, which has no port, to `address`, whose port may be 0.
    pub(super) fn bind(&mut self, core: &mut Core, id: SocketId, mut address: SocketAddr) -> Result<(), Errno> {
        let protocol = core.sockets[id].protocol;
        let port = match address.port() {
            0 => {
                policy::take_ephemeral(core, id)?;
                self.ports.ephemeral(core, protocol, address.ip()).ok_or(Errno::EADDRINUSE)?
            }
            port => {
                policy::may_own(core, id, port)?;
                port
            }
        };
        address.set_port(port);
        let only6 = self.endpoints[core.sockets[id].state].only6;
        self.ports.bind(protocol, address, id, Sharing::of(core, id), only6)?;
        let endpoint = &mut self.endpoints[core.sockets[id].state];
        (endpoint.local, endpoint.port) = (Some(address), Port::Bound);
        Ok(())
    }

    /// Gives a socket that has none a port.
    pub(super) fn autobind(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        let endpoint = &self.endpoints[core.sockets[id].state];
        if endpoint.port != Port::None {
            return Ok(());
        }
        // What bind(2) said of a name that ended is still so.
        let said = endpoint.local.filter(|_| endpoint.fixed.0).map(|local| local.ip());
        let address = said.unwrap_or_else(|| any(core, id));
        self.bind(core, id, SocketAddr::new(address, 0))
    }

    /// Takes the port from a socket; the name stays.
    pub(super) fn unbind(&mut self, core: &mut Core, id: SocketId) {
        let socket = &core.sockets[id];
        let endpoint = &mut self.endpoints[socket.state];
        let port = endpoint.local.map_or(0, |local| local.port());
        match core::mem::replace(&mut endpoint.port, Port::None) {
            Port::Held(hold) => self.ports.release(socket.protocol, port, &hold),
            Port::Bound => self.ports.unbind(socket.protocol, port, id),
            Port::None => {}
        }
        policy::return_ephemeral(core, id);
    }

    /// The socket has the address that packets to its peer come from, unless
    /// bind(2) gave it one.
    pub(super) fn settle_address(&mut self, core: &Core, id: SocketId, source: IpAddr) {
        if self.endpoints[core.sockets[id].state].local.is_some_and(|local| local.ip().is_unspecified()) {
            self.set_address(core, id, source);
        }
    }

    /// Changes the address in the name of a socket that has one.
    pub(super) fn set_address(&mut self, core: &Core, id: SocketId, address: IpAddr) {
        let socket = &core.sockets[id];
        if let Some(local) = &mut self.endpoints[socket.state].local {
            local.set_ip(address);
            self.ports.set_address(socket.protocol, local.port(), id, address);
        }
    }

    /// The association with a peer ends: what of the name bind(2) did not say
    /// ends with it, the port if it was part of that.
    pub(super) fn forget_name(&mut self, core: &mut Core, id: SocketId, port: bool) {
        let fixed = self.endpoints[core.sockets[id].state].fixed;
        if !fixed.0 {
            self.set_address(core, id, any(core, id));
        }
        if port && !fixed.1 {
            self.unbind(core, id);
        }
    }

    /// Whether a socket's options let its packets take this way (SO_DONTROUTE,
    /// SO_BINDTODEVICE).
    #[inline]
    pub(super) fn may_take(options: &Options, dont_route: bool, route: Route, target: IpAddr) -> Result<(), Errno> {
        let dont_route = options.dont_route || dont_route;
        if !dont_route && options.device == 0 {
            return Ok(());
        }
        let beyond = dont_route && matches!(route, Route::Neighbor(hop) if hop != target);
        let device = if route == Route::Loopback { LOOPBACK_INDEX } else { ETH_INDEX };
        if beyond || options.device != 0 && options.device != device {
            return Err(Errno::ENETUNREACH);
        }
        Ok(())
    }

    /// The way from an address that the socket is bound to. That of loopback
    /// leaves by no other interface (RFC 1122 3.2.1.3), but to many by that one
    /// (Linux); one that is many's is none to come from.
    #[inline]
    pub(super) fn may_leave(links: &Links, source: IpAddr, route: Route, target: IpAddr) -> Result<Route, Errno> {
        match (source, target) {
            (IpAddr::V4(s), _) if s.is_multicast() || s.is_broadcast() => Err(Errno::EINVAL),
            (IpAddr::V4(s), _) if links.is_broadcast(s) => Err(Errno::ENETUNREACH),
            _ if route == Route::Loopback || !source.is_loopback() => Ok(route),
            (_, IpAddr::V4(target)) if target.is_multicast() || target.is_broadcast() => Ok(Route::Loopback),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Source and way of what a socket, perhaps bound to an address, sends to
    /// one that is no group's.
    pub(super) fn way(
        core: &Core,
        id: SocketId,
        bound: Option<IpAddr>,
        target: IpAddr,
    ) -> Result<(IpAddr, Route), Errno> {
        let (source, mut route) = core.links.path_to(target)?;
        if let Some(bound) = bound {
            route = Self::may_leave(&core.links, bound, route, target)?;
        }
        Self::may_take(&core.sockets[id].options, false, route, target)?;
        Ok((bound.unwrap_or(source), route))
    }

    /// Decides between sockets that share a port by SO_REUSEPORT.
    pub(super) fn hash(&self, from: SocketAddr) -> u64 {
        let (ip, port) = words(from);
        keyed(self.key, &[ip as u64, (ip >> 64) as u64, port.into()])
    }

    /// What the socket allows others at its port has changed.
    pub(super) fn share(&mut self, core: &Core, id: SocketId) {
        let socket = &core.sockets[id];
        if let Some(local) = self.endpoints[socket.state].local {
            self.ports.set_sharing(socket.protocol, local.port(), id, Sharing::of(core, id));
        }
    }
}
