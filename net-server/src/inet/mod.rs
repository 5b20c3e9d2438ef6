//! The internet family: TCP by smoltcp, one socket set for each connection and
//! our own demultiplexer in front; UDP and ICMP on `smoltcp::wire`.
//!
//! smoltcp scans its socket set for each packet, so one set for all would make
//! a packet cost by the number of open sockets. Here it costs one hash look-up
//! (facts: 10,000 idle sockets in one set cost 26 µs a frame, apart 0.15 µs).

mod addressing;
mod ancillary;
pub mod checksum;
pub mod fragment;
mod icmp;
mod icmp6;
pub mod ip;
mod multicast;
mod options;
mod options6;
mod ports;
mod raw;
mod tcp;
mod udp;

use alloc::{boxed::Box, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use slab::Slab;
use smoltcp::{
    iface::{Config, Interface},
    wire::{HardwareAddress, IpCidr},
};
use strait_abi::{Address, Errno, address::AF_UNSPEC, session::status, socket as c};

use self::{
    addressing::{any, destination, is_6, is_group, to_bind},
    fragment::Fragments,
    multicast::Multicast,
    options::{IpOptions, TcpOptions},
    ports::{Hold, Ports, Sharing},
    raw::Raw,
    tcp::{Marks, Tcp},
    udp::Udp,
};
use crate::{
    core::Core,
    family::Family,
    hash::keyed,
    link::{ETH_INDEX, LOOPBACK_INDEX, Route, dhcp::instant},
    policy,
    socket::{Options, SocketId},
};

/// The family's part of a socket.
pub struct Endpoint {
    /// bind(2), or what was chosen for it.
    local: Option<SocketAddr>,
    /// connect(2).
    peer: Option<SocketAddr>,
    /// `local` is what bind(2) said.
    bound: bool,
    /// TCP: its connection.
    connection: Option<usize>,
    ip: IpOptions,
    /// IPV6_UNICAST_HOPS.
    hops: u8,
    /// IPV6_V6ONLY.
    only6: bool,
    /// Options for groups, once one was set.
    multicast: Option<Box<Multicast>>,
    tcp: TcpOptions,
    /// TCP: a connection that came in by a listener, whose port it keeps.
    hold: Option<Hold>,
    /// A raw socket or one for ICMP.
    raw: Option<Raw>,
    /// UDP: shutdown(2), reading and writing.
    shut: (bool, bool),
    /// It is in the family's list of sockets to look after at the turn's end.
    dirty: bool,
}

impl Endpoint {
    fn new() -> Self {
        Self {
            local: None,
            peer: None,
            bound: false,
            connection: None,
            ip: IpOptions::default(),
            hops: 64,
            only6: false,
            multicast: None,
            tcp: TcpOptions::default(),
            hold: None,
            raw: None,
            shut: (false, false),
            dirty: false,
        }
    }
}

impl Endpoint {
    /// What its options put into segments of either version.
    fn marks(&self, v4: bool) -> Marks {
        let (tos, hops) = if v4 { (self.ip.tos, self.ip.ttl) } else { (self.ip.class, self.hops) };
        Marks { tos, hops, segment: self.tcp.max_segment, ..Marks::default() }
    }
}

/// What the parts share.
pub struct Shared {
    interface: Interface,
    /// The one that `interface` was made for.
    mtu: usize,
    ports: Ports,
    endpoints: Slab<Endpoint>,
    /// Of the hash by which sockets that share a port get their packets.
    key: [u64; 2],
}

/// AF_INET and AF_INET6.
///
/// Addresses are kept as the wire has them: a socket of AF_INET6 that speaks IPv4
/// has IPv4 addresses here and shows them mapped (`ip::present`). Link-local
/// addresses have no scope here, as one interface has such addresses.
pub struct Inet {
    shared: Shared,
    tcp: Tcp,
    udp: Udp,
    /// Raw sockets.
    raws: Vec<SocketId>,
    fragments: Fragments,
}

/// Protocols that there can be (Linux: IPPROTO_MAX).
const PROTOCOLS: i32 = 263;

/// The interface of every connection.
fn interface(core: &mut Core) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = core.random();
    let mut interface = Interface::new(config, &mut tcp::Probe(core.links.mtu()), instant(core.now));
    // Which addresses are ours, what is a broadcast, who is a neighbour: none of
    // it is asked of smoltcp. It must only believe that there is a way.
    interface.set_any_ip(true);
    interface.update_ip_addrs(|addresses| {
        for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let _ = addresses.push(IpCidr::new(ip.into(), 0));
        }
    });
    interface
}

impl Inet {
    pub fn new(core: &mut Core) -> Self {
        let interface = interface(core);
        let key = [core.random(), core.random()];
        let endpoints = Slab::with_capacity(core.most_sockets());
        let shared = Shared { interface, mtu: core.links.mtu(), ports: Ports::new(), endpoints, key };
        let tcp = Tcp::new(key, core.most_connections());
        Self { shared, tcp, udp: Udp::default(), raws: Vec::new(), fragments: Fragments::default() }
    }

    fn is_tcp(core: &Core, id: SocketId) -> bool {
        core.sockets[id].kind == c::SOCK_STREAM
    }

    fn endpoint(&mut self, core: &Core, id: SocketId) -> &mut Endpoint {
        &mut self.shared.endpoints[core.sockets[id].state]
    }

    /// Keeps a fragment, or takes in the packet that it completes.
    #[cold]
    fn reassemble(&mut self, core: &mut Core, key: fragment::Key, piece: fragment::Piece<'_>) -> bool {
        let Some(data) = self.fragments.input(core.now, key, piece) else { return true };
        let header = ip::header_for(key.target);
        if header + data.len() > usize::from(u16::MAX) {
            return false;
        }
        let mut packet = alloc::vec![0; header + data.len()];
        packet[header..].copy_from_slice(&data);
        ip::write_header(&mut packet, key.source, key.target, key.protocol.into(), 64);
        self.input(core, &mut packet)
    }

    /// An IPv6 packet arrived.
    fn input6(&mut self, core: &mut Core, packet: &mut [u8]) -> bool {
        let Some(place) = ip::normalise6(packet) else { return false };
        let range = match &place {
            ip::Packet6::Whole(range) => range.clone(),
            ip::Packet6::Fragment(_) => 0..packet.len(),
        };
        let packet = &mut packet[range];
        let (source, target) = ip::addresses(packet);
        let group = target.is_multicast();
        let heard = if group { core.links.hears(target, core.links.arrived_on) } else { core.links.is_local(target) };
        // Without a source only those speak who ask whether they may have it.
        if !heard || source.is_unspecified() && packet[6] != 58 {
            return false;
        }
        if let ip::Packet6::Fragment(range) = place {
            let Some((key, piece)) = ip::fragment6(packet, range) else { return false };
            return self.reassemble(core, key, piece);
        }
        let copied = !self.raws.is_empty() && self.copy_to_raw(core, packet);
        copied
            | match packet[6] {
                6 if !group => self.tcp.input(&mut self.shared, core, packet),
                17 => self.udp.input(&mut self.shared, core, packet, group),
                58 => icmp6::input(self, core, packet, group),
                _ => false,
            }
    }
}

impl Shared {
    /// Binds `id` to `address`, whose port may be 0.
    fn bind(&mut self, core: &mut Core, id: SocketId, mut address: SocketAddr) -> Result<(), Errno> {
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
        self.endpoints[core.sockets[id].state].local = Some(address);
        Ok(())
    }

    fn unbind(&mut self, core: &Core, id: SocketId) {
        let socket = &core.sockets[id];
        let endpoint = &self.endpoints[socket.state];
        match (endpoint.local, &endpoint.hold) {
            (Some(local), Some(hold)) => self.ports.release(socket.protocol, local.port(), hold),
            (Some(local), None) => self.ports.unbind(socket.protocol, local.port(), id),
            _ => {}
        }
    }

    /// Whether a socket's options let its packets take this way (SO_DONTROUTE,
    /// SO_BINDTODEVICE).
    #[inline]
    fn may_take(options: &Options, route: Route, target: IpAddr) -> Result<(), Errno> {
        if !options.dont_route && options.device == 0 {
            return Ok(());
        }
        let beyond = options.dont_route && matches!(route, Route::Neighbor(hop) if hop != target);
        let device = if route == Route::Loopback { LOOPBACK_INDEX } else { ETH_INDEX };
        if beyond || !matches!(options.device, 0) && options.device != device {
            return Err(Errno::ENETUNREACH);
        }
        Ok(())
    }

    /// Decides between sockets that share a port by SO_REUSEPORT.
    fn hash(&self, from: SocketAddr) -> u64 {
        let ip = match from.ip() {
            IpAddr::V4(ip) => u128::from(u32::from(ip)),
            IpAddr::V6(ip) => ip.into(),
        };
        keyed(self.key, &[ip as u64, (ip >> 64) as u64, from.port().into()])
    }

    /// What the socket allows others at its port has changed.
    fn share(&mut self, core: &Core, id: SocketId) {
        let socket = &core.sockets[id];
        if let Some(local) = self.endpoints[socket.state].local {
            self.ports.set_sharing(socket.protocol, local.port(), id, Sharing::of(core, id));
        }
    }
}

impl Family for Inet {
    fn create(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        let six = is_6(core, id);
        let socket = &mut core.sockets[id];
        let (given, icmp) = (i32::from(socket.protocol), if six { c::IPPROTO_ICMPV6 } else { c::IPPROTO_ICMP });
        if given >= PROTOCOLS {
            return Err(Errno::EINVAL);
        }
        let (protocol, ping) = match (socket.kind, given) {
            (c::SOCK_STREAM, 0 | c::IPPROTO_TCP) => (c::IPPROTO_TCP, false),
            (c::SOCK_DGRAM, 0 | c::IPPROTO_UDP) => (c::IPPROTO_UDP, false),
            (c::SOCK_DGRAM, _) if given == icmp => (icmp, true),
            // Any but the wild card.
            (c::SOCK_RAW, 1..=255) => (given, false),
            (c::SOCK_STREAM | c::SOCK_DGRAM | c::SOCK_RAW, _) => return Err(Errno::EPROTONOSUPPORT),
            _ => return Err(Errno::ESOCKTNOSUPPORT),
        };
        socket.protocol = protocol as u16;
        let raw = socket.kind == c::SOCK_RAW;
        let mut endpoint = Endpoint::new();
        if raw || ping {
            endpoint.raw = Some(Raw::new(protocol as u8, ping, six));
        }
        socket.state = self.shared.endpoints.insert(endpoint);
        if raw {
            self.raws.push(id);
        }
        if Self::is_tcp(core, id) {
            core.set_status(id, status::OUT | status::HUP);
        } else {
            core.set_status(id, status::OUT);
            udp::grant(core, id);
        }
        Ok(())
    }

    fn bind(&mut self, core: &mut Core, id: SocketId, address: &Address) -> Result<(), Errno> {
        let address = to_bind(core, id, self.endpoint(core, id), address)?;
        let raw = core.sockets[id].kind == c::SOCK_RAW;
        let endpoint = self.endpoint(core, id);
        if if raw { endpoint.peer.is_some() } else { endpoint.local.is_some() } {
            return Err(Errno::EINVAL);
        }
        if Self::is_tcp(core, id) {
            self.tcp.forget(&mut self.shared, core.now);
        }
        let ip = address.ip();
        let group = is_group(&core.links, ip);
        // Linux: a stream may have a group's address of one version only.
        if group && ip.is_ipv6() && Self::is_tcp(core, id) {
            return Err(Errno::EINVAL);
        }
        if !(ip.is_unspecified() || core.links.is_local(ip) || group) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        if raw {
            self.endpoint(core, id).local = Some(SocketAddr::new(ip, 0));
            return Ok(());
        }
        self.shared.bind(core, id, address)?;
        self.endpoint(core, id).bound = true;
        Ok(())
    }

    fn listen(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        if !Self::is_tcp(core, id) {
            return Err(Errno::EOPNOTSUPP);
        }
        let endpoint = self.endpoint(core, id);
        if endpoint.connection.is_some() {
            return Err(Errno::EINVAL);
        }
        if endpoint.local.is_none() {
            self.shared.bind(core, id, SocketAddr::new(any(core, id), 0))?;
        }
        let Some(local) = self.endpoint(core, id).local else { return Err(Errno::EINVAL) };
        self.shared.ports.listen(c::IPPROTO_TCP as u16, local, id)?;
        core.set_status(id, 0);
        Ok(())
    }

    fn connect(&mut self, core: &mut Core, id: SocketId, address: &Address) -> Result<(), Errno> {
        if address.family() == Some(AF_UNSPEC) {
            if Self::is_tcp(core, id) {
                self.tcp.disconnect(&mut self.shared, core, id);
            }
            self.endpoint(core, id).peer = None;
            return Ok(());
        }
        let peer = address.to_inet()?;
        let endpoint = &self.shared.endpoints[core.sockets[id].state];
        let tcp = Self::is_tcp(core, id);
        match peer {
            // Linux: a stream socket for both takes mapped addresses only.
            SocketAddr::V4(_) if is_6(core, id) && (tcp || endpoint.only6) => return Err(Errno::EAFNOSUPPORT),
            // A link-local address says nothing without its link.
            SocketAddr::V6(v6) if v6.scope_id() == 0 && v6.ip().is_unicast_link_local() && is_6(core, id) => {
                return Err(Errno::EINVAL);
            }
            _ => {}
        }
        let peer = destination(core.sockets[id].domain, endpoint, peer)?;
        // One that is bound to an address of one version reaches no other.
        if matches!(endpoint.local, Some(l) if l.is_ipv4() != peer.is_ipv4() && !(l.ip().is_unspecified() && l.is_ipv6()))
        {
            return Err(Errno::ENETUNREACH);
        }
        if tcp {
            self.tcp.connect(&mut self.shared, core, id, peer)
        } else {
            udp::connect(&mut self.shared, core, id, peer)
        }
    }

    fn accepted(&mut self, core: &mut Core, id: SocketId) -> Address {
        self.tcp.touch(&mut self.shared, core, id);
        self.tcp.settle_one(&mut self.shared, core, id);
        let peer = self.endpoint(core, id).peer;
        peer.map_or(Address::EMPTY, |peer| ip::present(core.sockets[id].domain, peer).into())
    }

    fn shutdown(&mut self, core: &mut Core, id: SocketId, read: bool, write: bool) -> Result<(), Errno> {
        if Self::is_tcp(core, id) {
            return self.tcp.shutdown(&mut self.shared, core, id, read, write);
        }
        let endpoint = self.endpoint(core, id);
        endpoint.peer.ok_or(Errno::ENOTCONN)?;
        endpoint.shut = (endpoint.shut.0 | read, endpoint.shut.1 | write);
        udp::update_status(&self.shared, core, id);
        Ok(())
    }

    fn close(&mut self, core: &mut Core, id: SocketId) {
        if Self::is_tcp(core, id) {
            self.tcp.close(&mut self.shared, core, id);
        } else {
            // What the client had handed over before still goes out.
            self.udp.transmit(&mut self.shared, core, id);
            self.raws.retain(|raw| *raw != id);
            self.shared.unbind(core, id);
            self.shared.leave_all(core, id);
            let state = core.sockets[id].state;
            self.shared.endpoints.remove(state);
            core.remove(id);
        }
    }

    fn broken(&mut self, core: &mut Core, id: SocketId) {
        if Self::is_tcp(core, id) {
            self.tcp.broken(&mut self.shared, core, id);
        }
    }

    fn local_address(&self, core: &Core, id: SocketId) -> Result<Address, Errno> {
        let endpoint = &self.shared.endpoints[core.sockets[id].state];
        let mut local = endpoint.local.unwrap_or(SocketAddr::new(any(core, id), 0));
        if core.sockets[id].kind == c::SOCK_RAW {
            // Linux: the protocol is a raw socket's port.
            local.set_port(core.sockets[id].protocol);
        }
        Ok(ip::present(core.sockets[id].domain, local).into())
    }

    fn peer_address(&self, core: &Core, id: SocketId) -> Result<Address, Errno> {
        let socket = &core.sockets[id];
        let endpoint = &self.shared.endpoints[socket.state];
        let connected = socket.kind != c::SOCK_STREAM || self.tcp.is_connected(endpoint);
        // Linux: one without a port is none.
        let peer = endpoint.peer.filter(|peer| connected && peer.port() != 0);
        peer.map(|p| ip::present(socket.domain, p).into()).ok_or(Errno::ENOTCONN)
    }

    fn set_option(&mut self, core: &mut Core, id: SocketId, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        if level == c::SOL_SOCKET {
            self.generic_option(core, id, name);
            return Err(Errno::ENOPROTOOPT);
        }
        self.set_level(core, id, level, name, value)
    }

    fn get_option(
        &mut self,
        core: &mut Core,
        id: SocketId,
        level: i32,
        name: i32,
        value: &mut [u8],
    ) -> Result<usize, Errno> {
        self.get_level(core, id, level, name, value)
    }

    fn ioctl(
        &mut self,
        core: &mut Core,
        id: SocketId,
        request: u32,
        _argument: &[u8],
        answer: &mut [u8],
    ) -> Result<usize, Errno> {
        match request {
            c::SIOCOUTQ => {
                let unsent = core.rings(id).and_then(|(r, ..)| r.tx.available().ok()).unwrap_or(0);
                let queued = if Self::is_tcp(core, id) { self.tcp.unacknowledged(&self.shared, core, id)? } else { 0 };
                answer.get_mut(..4).ok_or(Errno::EFAULT)?.copy_from_slice(&(unsent + queued).to_ne_bytes());
                Ok(4)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn send(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        if Self::is_tcp(core, id) {
            return Err(Errno::EOPNOTSUPP);
        }
        self.udp.send(&mut self.shared, core, id)
    }

    fn send_urgent(&mut self, core: &mut Core, id: SocketId, bytes: u32) -> Result<(), Errno> {
        if !Self::is_tcp(core, id) {
            return Err(Errno::EOPNOTSUPP);
        }
        self.tcp.send_urgent(&mut self.shared, core, id, bytes)
    }

    fn receive_urgent(&mut self, core: &mut Core, id: SocketId, peek: bool) -> Result<u8, Errno> {
        if !Self::is_tcp(core, id) {
            return Err(Errno::EOPNOTSUPP);
        }
        self.tcp.receive_urgent(&mut self.shared, core, id, peek)
    }

    fn doorbell(&mut self, core: &mut Core, id: SocketId) {
        if Self::is_tcp(core, id) {
            self.tcp.touch(&mut self.shared, core, id);
        } else {
            self.udp.touch(&mut self.shared, core, id);
        }
    }

    fn input(&mut self, core: &mut Core, packet: &mut [u8]) -> bool {
        if packet.first().is_some_and(|b| b >> 4 == 6) {
            return self.input6(core, packet);
        }
        let Some(len) = ip::valid4(packet) else { return false };
        let packet = &mut packet[..len];
        let target = Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]);
        let group = target.is_multicast() || core.links.is_broadcast(target);
        if !group && !core.links.is_local(target.into())
            || group && target.is_multicast() && !core.links.hears(target.into(), core.links.arrived_on)
        {
            return false;
        }
        if ip::is_fragment4(packet) {
            let (key, piece) = ip::fragment4(packet);
            return self.reassemble(core, key, piece);
        }
        let copied = !self.raws.is_empty() && self.copy_to_raw(core, packet);
        copied
            | match packet[9] {
                6 if !group => self.tcp.input(&mut self.shared, core, packet),
                17 => self.udp.input(&mut self.shared, core, packet, group),
                1 => icmp::input(self, core, packet, group),
                2 => core.links.igmp(core.now, &packet[ip::header_len(packet)..]),
                _ => false,
            }
    }

    fn settle(&mut self, core: &mut Core) -> bool {
        let tcp = self.tcp.settle(&mut self.shared, core);
        let udp = self.udp.settle(&mut self.shared, core);
        tcp || udp
    }

    fn deadline(&self) -> Option<u64> {
        self.tcp.deadline()
    }

    fn tick(&mut self, core: &mut Core) {
        self.tcp.tick(&mut self.shared, core);
        for ip in core::mem::take(&mut core.links.unreachable) {
            self.tcp.unreachable(&mut self.shared, core, ip);
        }
    }

    fn addresses_changed(&mut self, core: &mut Core) {
        if core.links.mtu() != self.shared.mtu {
            self.shared.mtu = core.links.mtu();
            self.shared.interface = interface(core);
        }
    }
}
