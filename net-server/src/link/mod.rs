//! The link layer: frames in, IP packets out, and the way back.
//!
//! smoltcp runs above this as `Medium::Ip`; neighbours, routes and loopback are
//! ours. smoltcp's own neighbour cache has eight entries and allows one
//! request a second for the whole interface, so one dead host would delay all
//! others; here each destination has its own state and a short queue.

pub mod arp;
pub mod dhcp;
#[allow(unsafe_code)]
pub mod eth;
pub mod fragment;
pub mod groups;
pub mod interface;
pub mod ioctl;
pub mod ipv4;
pub mod ipv6;
mod ndp;
pub mod neighbor;
mod output;
mod reports;
pub mod tap;

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};
use smoltcp::{
    phy::RxToken,
    wire::{EthernetAddress, EthernetFrame, EthernetProtocol, Ipv4Cidr},
};
use strait_abi::Errno;

use crate::inet::checksum;

use self::{
    arp::Claims,
    eth::{EthTx, Frame},
    groups::Groups,
    ipv4::Ipv4,
    ipv6::Ipv6,
    neighbor::Neighbors,
    output::destination_of,
    tap::Tap,
};

/// Bytes of an Ethernet header.
pub const ETH_HEADER: usize = 14;
/// The interfaces, whose indices begin at 1.
const NAMES: [&[u8]; 2] = [b"lo", b"eth0"];
/// Packets that may wait in the loopback queue (Linux: netdev_max_backlog), and
/// bytes of them. A listener that is closed resets all that waited at once.
const LOOPBACK_PACKETS: usize = 1000;
const LOOPBACK_BYTES: usize = 512 * 1024;
/// Largest IP packet on loopback, in bytes (Linux); that of IPv4 is a byte less.
const LOOPBACK_MTU: usize = 65_536;
/// Largest IP packet: of IPv6, which does not count its header.
const LONGEST: usize = 65_535 + 40;
/// The index of loopback, and that of the Ethernet port (as on Linux, where
/// loopback is always 1).
pub const LOOPBACK_INDEX: u32 = 1;
/// See [`LOOPBACK_INDEX`].
pub const ETH_INDEX: u32 = 2;

/// What the interface counts.
#[derive(Debug, Default, Clone, Copy)]
pub struct LinkCounters {
    /// Frames received.
    pub rx_frames: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// Frames that made no sense or had no receiver.
    pub rx_dropped: u64,
    /// Packets not sent.
    pub tx_dropped: u64,
}

/// An IPv4 configuration of the Ethernet interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ipv4Config {
    /// Address and prefix.
    pub address: Ipv4Cidr,
    /// Default gateway.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
}

/// A packet or frame that arrived, as smoltcp takes it.
pub struct Arrived<'a>(pub &'a [u8]);

impl RxToken for Arrived<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    Loopback,
    Group(EthernetAddress),
    /// To this host, as if it came by the Ethernet port.
    Back,
    /// To a group that this host belongs to, or to everyone.
    GroupAndSelf(EthernetAddress),
    Neighbor(IpAddr),
}

/// The interfaces: one Ethernet port, and loopback.
pub struct Links {
    tx: EthTx,
    neighbors: Neighbors,
    pub ipv4: Ipv4,
    pub ipv6: Ipv6,
    groups: Groups,
    claims: Claims,
    rng: ChaCha12Rng,
    /// When something of these is due.
    next: u64,
    /// Whether the port is switched on (IFF_UP), and has a carrier
    /// (IFF_RUNNING).
    up: bool,
    running: bool,
    /// Packets to this host itself, with the interface that they seem to come
    /// by.
    loopback: VecDeque<(Vec<u8>, u32)>,
    /// Bytes in `loopback`.
    looped: usize,
    /// The interface that the packet at hand came from.
    pub arrived_on: u32,
    starved: bool,
    /// Packets that got an identification.
    identified: u64,
    /// Addresses or ways changed, for the families and the log.
    pub changed: bool,
    /// Addresses of ours that another host has as well, for the log.
    pub duplicates: Vec<IpAddr>,
    /// Destinations that turned out to be unreachable, for the families.
    pub unreachable: Vec<IpAddr>,
    pub counters: LinkCounters,
    /// While there are packet sockets.
    pub tap: Option<Box<Tap>>,
}

/// What a received frame is.
pub enum Input {
    /// An IP packet for this host, at this place in the frame.
    Ip(core::ops::Range<usize>),
    /// Nothing more to do.
    Done,
}

impl Links {
    pub fn new(tx: EthTx, seed: u64) -> Self {
        Self {
            neighbors: Neighbors::new(tx.buffers()),
            tx,
            ipv4: Ipv4::new(),
            ipv6: Ipv6::new(),
            groups: Groups::new(seed),
            claims: Claims::new(),
            rng: ChaCha12Rng::seed_from_u64(seed),
            next: u64::MAX,
            up: true,
            running: true,
            loopback: VecDeque::new(),
            looped: 0,
            arrived_on: ETH_INDEX,
            starved: false,
            identified: 0,
            changed: false,
            duplicates: Vec::new(),
            unreachable: Vec::new(),
            counters: LinkCounters::default(),
            tap: None,
        }
    }

    /// The index of the interface of that name (if_nametoindex(3)).
    pub fn index_of(&self, name: &[u8]) -> Option<u32> {
        NAMES.iter().position(|n| *n == name).map(|i| i as u32 + 1)
    }

    /// The name of the interface with that index.
    pub fn name_of(&self, index: u32) -> Option<&'static [u8]> {
        NAMES.get((index as usize).checked_sub(1)?).copied()
    }

    /// Largest IP packet, in bytes.
    pub fn mtu(&self) -> usize {
        self.tx.mtu
    }

    /// One more IPv4 address; ENOBUFS or EEXIST.
    pub fn add_ipv4(&mut self, now: u64, cidr: Ipv4Cidr) -> Result<(), Errno> {
        self.ipv4.add(cidr)?;
        self.announce_ipv4(now);
        Ok(())
    }

    /// Sets or removes the IPv4 configuration.
    pub fn set_ipv4(&mut self, now: u64, config: Option<Ipv4Config>) {
        let announce = config.is_some();
        self.ipv4.configure(config);
        if announce {
            // What was joined before could not be told from no address.
            self.groups.restart(now);
            self.announce_ipv4(now);
        }
    }

    /// The addresses of name servers, the best first.
    pub fn name_servers(&self) -> impl Iterator<Item = IpAddr> {
        let four = self.ipv4.dns().iter().map(|a| IpAddr::V4(*a));
        let six = self.ipv6.dns.iter().copied().chain(self.ipv6.servers.iter().map(|s| s.what));
        four.chain(six.map(IpAddr::V6))
    }

    /// Whether `address` is one of this host's.
    #[inline]
    pub fn is_local(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => self.ipv4.has(a),
            IpAddr::V6(a) => a.is_loopback() || self.ipv6.has(a),
        }
    }

    /// Whether `address` is a broadcast address of this host's network.
    #[inline]
    pub fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        self.ipv4.is_broadcast(address)
    }

    /// Whether packets to a group, come by an interface, are for this host.
    pub fn hears(&self, group: IpAddr, interface: u32) -> bool {
        self.groups.hears(group, interface)
    }

    /// Divides what sessions have shares of between so many.
    pub fn share(&mut self, sessions: usize) {
        self.groups.share(sessions);
    }

    /// One more socket of a session wants to hear a group.
    pub fn join(&mut self, now: u64, group: IpAddr, interface: u32, session: usize) -> Result<(), Errno> {
        self.groups.join(now, group, interface, session)?;
        self.send_groups(now);
        Ok(())
    }

    /// One socket less does.
    pub fn leave(&mut self, now: u64, group: IpAddr, interface: u32, session: usize) {
        let _ = self.groups.leave(now, group, interface, session);
        self.send_groups(now);
    }

    /// Whether the port is switched on, and has a carrier.
    pub fn state(&self) -> (bool, bool) {
        (self.up, self.running)
    }

    /// IPv6 needs an MTU of 1,280 (RFC 8200, 5; Linux switches it off as well).
    fn wide_enough(&self) -> Result<(), Errno> {
        if self.tx.mtu < 1280 { Err(Errno::ENETUNREACH) } else { Ok(()) }
    }

    /// SIOCSIFMTU: from what IPv4 needs (RFC 791) to what the driver takes;
    /// EINVAL otherwise.
    pub fn set_mtu(&mut self, now: u64, mtu: usize) -> Result<(), Errno> {
        if !(68..=self.tx.most).contains(&mtu) {
            return Err(Errno::EINVAL);
        }
        self.tx.mtu = mtu;
        let (up, running) = self.state();
        self.set_state(now, up, running);
        Ok(())
    }

    /// The port was switched on or off, or its carrier came or went.
    pub fn set_state(&mut self, now: u64, up: bool, running: bool) {
        let before = self.up && self.running;
        (self.up, self.running) = (up, running);
        // As Linux without routes; and without a carrier nothing is pretended.
        let usable = match (up, running) {
            (false, _) => Err(Errno::ENETUNREACH),
            (true, false) => Err(Errno::ENETDOWN),
            (true, true) => Ok(()),
        };
        self.ipv4.set_usable(usable);
        self.ipv6.usable = usable.and_then(|()| self.wide_enough());
        if before && !(up && running) {
            for (ip, frames) in self.neighbors.clear() {
                self.give_up(ip, frames);
            }
        } else if !before && up && running {
            self.announce_ipv4(now);
            self.groups.restart(now);
            self.start_ipv6(now);
        }
        self.changed = true;
        self.schedule();
    }

    /// [`path`](Self::path) for either version.
    #[inline]
    pub fn path_to(&self, destination: IpAddr) -> Result<(IpAddr, Route), Errno> {
        match destination {
            IpAddr::V4(d) => self.path(d).map(|(source, route)| (source.into(), route)),
            IpAddr::V6(d) => self.path6(d).map(|(source, route)| (source.into(), route)),
        }
    }

    /// [`path`](Self::path) for IPv6.
    pub fn path6(&self, destination: Ipv6Addr) -> Result<(Ipv6Addr, Route), Errno> {
        let route = self.route6(destination)?;
        if destination.is_loopback() {
            return Ok((destination, route));
        }
        let source = self.ipv6.source_for(destination).ok_or(Errno::EADDRNOTAVAIL)?;
        Ok((source, route))
    }

    fn route6(&self, d: Ipv6Addr) -> Result<Route, Errno> {
        if d.is_loopback() || self.ipv6.has(d) {
            return Ok(Route::Loopback);
        }
        self.ipv6.usable?;
        if d.is_multicast() {
            // RFC 2464, 7. The scope of the interface leaves no interface.
            let [.., a, b, c, e] = d.octets();
            let local = d.octets()[1] & 0xf <= 1;
            return Ok(if local { Route::Loopback } else { Route::Group(EthernetAddress([0x33, 0x33, a, b, c, e])) });
        }
        self.ipv6.next_hop(d).map(|hop| Route::Neighbor(hop.into())).ok_or(Errno::ENETUNREACH)
    }

    /// The address that packets to `destination` come from, and their way.
    #[inline]
    pub fn path(&self, destination: Ipv4Addr) -> Result<(Ipv4Addr, Route), Errno> {
        self.ipv4.path(destination)
    }

    fn route(&self, d: Ipv4Addr) -> Result<Route, Errno> {
        self.ipv4.path(d).map(|(_, route)| route)
    }

    fn solicit(&mut self, now: u64, target: IpAddr, to: Option<EthernetAddress>) {
        match target {
            IpAddr::V4(target) => self.solicit4(target, to),
            IpAddr::V6(target) => self.solicit6(now, target, to),
        }
    }

    /// A neighbour showed its hardware address: what waited for it leaves.
    fn learn(&mut self, ip: IpAddr, mac: EthernetAddress, now: u64) {
        for frame in self.neighbors.learn(ip, mac, now) {
            self.transmit(frame, mac);
        }
    }

    /// Says what is to be said about groups.
    fn send_groups(&mut self, now: u64) {
        for (group, told, version) in self.groups.due(now) {
            match group {
                IpAddr::V4(group) => self.report4(now, group, told, version),
                IpAddr::V6(group) => self.report6(now, group, told, version),
            }
        }
        self.schedule();
    }

    fn schedule(&mut self) {
        self.next = if self.up && self.running {
            self.ipv6.deadline().min(self.groups.deadline()).min(self.claims.deadline())
        } else {
            u64::MAX
        };
    }

    /// IGMP from a valid packet. False if it makes no sense.
    pub fn igmp(&mut self, now: u64, body: &[u8]) -> bool {
        let done = checksum::of(body) == 0 && self.groups.igmp(now, body).is_some();
        self.schedule();
        done
    }

    /// Takes in a frame from the wire.
    pub fn input(&mut self, now: u64, frame: &[u8]) -> Input {
        self.counters.rx_frames += 1;
        // What comes although it is switched off is nobody's.
        let Some(eth) = EthernetFrame::new_checked(frame).ok().filter(|_| self.up) else {
            self.counters.rx_dropped += 1;
            return Input::Done;
        };
        let to = eth.dst_addr();
        if to != self.tx.mac && to.is_unicast() {
            self.counters.rx_dropped += 1;
            return Input::Done;
        }
        match eth.ethertype() {
            EthernetProtocol::Ipv4 | EthernetProtocol::Ipv6 if !martian(&frame[ETH_HEADER..]) => {
                Input::Ip(ETH_HEADER..frame.len())
            }
            EthernetProtocol::Arp => {
                self.arp(now, eth.payload());
                Input::Done
            }
            _ => {
                self.counters.rx_dropped += 1;
                Input::Done
            }
        }
    }

    /// When [`tick`](Self::tick) is due.
    pub fn deadline(&self) -> Option<u64> {
        if !self.unreachable.is_empty() {
            // The families are to hear of it.
            return Some(0);
        }
        let neighbors = self.neighbors.deadline().unwrap_or(u64::MAX);
        Some(neighbors.min(self.next)).filter(|at| *at != u64::MAX)
    }

    /// Does what is due: repeats requests, gives up on silent neighbours.
    pub fn tick(&mut self, now: u64) {
        if self.next <= now {
            self.tick_arp(now);
            self.tick_ipv6(now);
            self.send_groups(now);
        }
        if self.neighbors.deadline().is_none_or(|d| d > now) {
            return;
        }
        let due = self.neighbors.tick(now);
        for (ip, mac) in due.solicit {
            self.solicit(now, ip, mac);
        }
        for (ip, frames) in due.failed {
            self.give_up(ip, frames);
        }
    }

    /// A neighbour does not answer.
    fn give_up(&mut self, ip: IpAddr, frames: Vec<Frame>) {
        for frame in frames {
            self.counters.tx_dropped += 1;
            if let Some(d) = self.tx.bytes(&frame).and_then(|b| destination_of(&b[ETH_HEADER..])) {
                self.unreachable.push(d);
            }
            self.tx.give_back(frame);
        }
        for router in &mut self.ipv6.routers {
            router.what.silent |= IpAddr::V6(router.what.address) == ip;
        }
        self.unreachable.push(ip);
    }
}

/// Whether a packet from the wire claims to come from or go to loopback (RFC
/// 1122 3.2.1.3, RFC 4291 2.5.3).
#[inline]
fn martian(packet: &[u8]) -> bool {
    match packet.first_chunk::<20>() {
        Some(header) if header[0] >> 4 == 4 => header[12] == 127 || header[16] == 127,
        _ => {
            let at = |from: usize| packet.get(from..from + 16) == Some(&Ipv6Addr::LOCALHOST.octets()[..]);
            at(8) || at(24)
        }
    }
}
