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
mod name;
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
    addressing::{any, decode_to_bind, is_6, to_bind, to_connect},
    fragment::Fragments,
    multicast::Multicast,
    options::{IpOptions, TcpOptions},
    ports::{Hold, Ports},
    raw::Raw,
    tcp::{Marks, Phase, Tcp},
    udp::Udp,
};
use crate::{core::Core, family::Family, link::dhcp::instant, policy, socket::SocketId};

/// How a socket has its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    None,
    /// It is in the table of [`Ports`].
    Bound,
    /// A connection that came in by a listener, whose port it keeps.
    Held(Hold),
}

/// The family's part of a socket.
pub struct Endpoint {
    /// bind(2), or what was chosen for it. It may be the name of former times
    /// (Linux shows it too), see `port`.
    local: Option<SocketAddr>,
    /// How it has the port in `local`.
    port: Port,
    /// Address and port are what bind(2) said: they outlive what made them
    /// necessary.
    fixed: (bool, bool),
    /// connect(2).
    peer: Option<SocketAddr>,
    /// TCP: its connection. One that is over may be there for what is unread.
    connection: Option<usize>,
    /// TCP: what connect(2) has told.
    phase: Phase,
    /// Receiving and sending are over: by shutdown(2) or, of a stream, by what
    /// came.
    shut: (bool, bool),
    /// TCP: the peer's end came in order.
    done: bool,
    ip: IpOptions,
    /// IPV6_UNICAST_HOPS.
    hops: u8,
    /// IPV6_V6ONLY.
    only6: bool,
    /// Options for groups, once one was set.
    multicast: Option<Box<Multicast>>,
    tcp: TcpOptions,
    /// A raw socket or one for ICMP.
    raw: Option<Raw>,
    /// It is in the family's list of sockets to look after at the turn's end.
    dirty: bool,
}

impl Endpoint {
    fn new() -> Self {
        Self {
            local: None,
            port: Port::None,
            fixed: (false, false),
            peer: None,
            connection: None,
            phase: Phase::default(),
            shut: (false, false),
            done: false,
            ip: IpOptions::default(),
            hops: 64,
            only6: false,
            multicast: None,
            tcp: TcpOptions::default(),
            raw: None,
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
    /// To others, and to this host itself.
    interfaces: [Interface; 2],
    /// The one that the first was made for.
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

/// An interface for connections.
fn interface(core: &mut Core, mtu: usize) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = core.random();
    let mut interface = Interface::new(config, &mut tcp::Probe(mtu), instant(core.now));
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

impl Shared {
    /// The interface of a connection.
    fn interface(&mut self, local: bool) -> &mut Interface {
        &mut self.interfaces[usize::from(local)]
    }
}

impl Inet {
    pub fn new(core: &mut Core) -> Self {
        let mtu = core.links.mtu();
        let interfaces = [mtu, tcp::LOCAL_MTU].map(|mtu| interface(core, mtu));
        let key = [core.random(), core.random()];
        let endpoints = Slab::with_capacity(core.most_sockets());
        let shared = Shared { interfaces, mtu, ports: Ports::new(), endpoints, key };
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
            (c::SOCK_RAW, 1..) => (given, false),
            (c::SOCK_STREAM | c::SOCK_DGRAM | c::SOCK_RAW, _) => return Err(Errno::EPROTONOSUPPORT),
            _ => return Err(Errno::ESOCKTNOSUPPORT),
        };
        socket.protocol = protocol as u16;
        let raw = socket.kind == c::SOCK_RAW;
        let mut endpoint = Endpoint::new();
        if raw || ping {
            endpoint.raw = Some(Raw::new(protocol as u16, ping, six));
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
        let six = is_6(core, id);
        let raw = core.sockets[id].kind == c::SOCK_RAW;
        let address = decode_to_bind(core, id, self.endpoint(core, id), address)?;
        // A raw socket has no port of its own.
        let port = if raw { 0 } else { address.port() };
        let may = |inet: &mut Self, core: &Core| {
            policy::may_own(core, id, port)?;
            let endpoint = inet.endpoint(core, id);
            let busy = if raw { endpoint.peer.is_some() } else { endpoint.port != Port::None };
            if busy { Err(Errno::EINVAL) } else { Ok(()) }
        };
        // Linux: of one version the address is looked at first, of the other
        // last.
        if six {
            may(self, core)?;
        }
        let ip = to_bind(core, id, address)?;
        if !six {
            may(self, core)?;
        }
        if raw {
            let endpoint = self.endpoint(core, id);
            (endpoint.local, endpoint.fixed) = (Some(SocketAddr::new(ip, 0)), (!ip.is_unspecified(), false));
            return Ok(());
        }
        if Self::is_tcp(core, id) {
            self.tcp.forget(&mut self.shared, core);
        }
        // As Linux: an address of IPv6 makes a socket of that alone.
        let endpoint = self.endpoint(core, id);
        let only6 = endpoint.only6;
        endpoint.only6 |= ip.is_ipv6() && !ip.is_unspecified();
        let bound = self.shared.bind(core, id, SocketAddr::new(ip, port));
        let any = any(core, id);
        let endpoint = self.endpoint(core, id);
        match bound {
            Ok(()) => (endpoint.fixed, endpoint.peer) = ((!ip.is_unspecified(), port != 0), None),
            Err(_) => {
                endpoint.only6 = only6;
                endpoint.local.iter_mut().for_each(|former| former.set_ip(any));
            }
        }
        bound
    }

    fn listen(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        if !Self::is_tcp(core, id) {
            return Err(Errno::EOPNOTSUPP);
        }
        self.tcp.listen(&mut self.shared, core, id)
    }

    fn connect(&mut self, core: &mut Core, id: SocketId, address: &Address) -> Result<(), Errno> {
        if address.family().ok_or(Errno::EINVAL)? == AF_UNSPEC {
            if Self::is_tcp(core, id) {
                self.tcp.dissolve(&mut self.shared, core, id);
            } else {
                udp::disconnect(&mut self.shared, core, id);
            }
            return Ok(());
        }
        if Self::is_tcp(core, id) {
            return self.tcp.connect(&mut self.shared, core, id, address);
        }
        if core.sockets[id].kind != c::SOCK_RAW {
            self.shared.autobind(core, id).map_err(|_| Errno::EAGAIN)?;
        }
        let peer = to_connect(core, id, self.endpoint(core, id), address)?;
        udp::connect(&mut self.shared, core, id, peer)
    }

    fn accepted(&mut self, core: &mut Core, id: SocketId) -> Address {
        let peer = self.endpoint(core, id).peer;
        self.tcp.touch(&mut self.shared, core, id);
        self.tcp.settle_one(&mut self.shared, core, id);
        peer.map_or(Address::EMPTY, |peer| ip::present(core.sockets[id].domain, peer).into())
    }

    fn shutdown(&mut self, core: &mut Core, id: SocketId, read: bool, write: bool) -> Result<(), Errno> {
        if Self::is_tcp(core, id) {
            return self.tcp.shutdown(&mut self.shared, core, id, read, write);
        }
        let endpoint = self.endpoint(core, id);
        endpoint.shut = (endpoint.shut.0 | read, endpoint.shut.1 | write);
        let connected = endpoint.peer.is_some();
        udp::update_status(&self.shared, core, id);
        // Linux: it counts none the less.
        if connected { Ok(()) } else { Err(Errno::ENOTCONN) }
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

    fn receive_urgent(&mut self, core: &mut Core, id: SocketId, peek: bool) -> Result<Option<u8>, Errno> {
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
            self.shared.interfaces[0] = interface(core, self.shared.mtu);
        }
    }
}
