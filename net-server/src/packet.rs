//! AF_PACKET (packet(7)): frames as they pass, and frames to be sent as they
//! are.

use alloc::{boxed::Box, vec::Vec};

use slab::Slab;
use strait_abi::{Address, Errno, address::AF_PACKET, control, session::status, socket as c};

use crate::{
    core::Core,
    family::Family,
    link::{ETH_HEADER, ETH_INDEX, LOOPBACK_INDEX, tap::Tap},
    policy,
    record::Record,
    socket::SocketId,
};

/// Frames of all protocols.
const ETH_P_ALL: u16 = 3;
/// Bytes of a `struct sockaddr_ll`, and what comes before its address.
const SOCKADDR_LL: usize = 20;
const BEFORE_ADDRESS: usize = 12;
const MAC: usize = 6;
/// Frames given out in one turn, and sent by one socket.
const BURST: usize = 64;
/// Types of interfaces (if_arp.h).
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;
/// `sll_pkttype`.
const PACKET_HOST: u8 = 0;
const PACKET_BROADCAST: u8 = 1;
const PACKET_MULTICAST: u8 = 2;
const PACKET_OTHERHOST: u8 = 3;
const PACKET_OUTGOING: u8 = 4;

/// The family's part of a socket.
struct Endpoint {
    id: SocketId,
    /// The Ethernet type that it wants, 0 for none.
    protocol: u16,
    /// The interface that it is bound to; 0 for all.
    device: u32,
}

/// AF_PACKET.
#[derive(Default)]
pub struct Packet {
    endpoints: Slab<Endpoint>,
    /// Sockets whose client wrote something.
    dirty: Vec<SocketId>,
}

/// A `struct sockaddr_ll`.
struct LinkAddress {
    protocol: u16,
    device: u32,
    mac: Option<[u8; MAC]>,
}

impl LinkAddress {
    fn parse(address: &Address) -> Result<Self, Errno> {
        let bytes = address.as_bytes().first_chunk::<SOCKADDR_LL>().ok_or(Errno::EINVAL)?;
        if address.family() != Some(AF_PACKET) {
            return Err(Errno::EINVAL);
        }
        let mut mac = [0; MAC];
        mac.copy_from_slice(&bytes[BEFORE_ADDRESS..BEFORE_ADDRESS + MAC]);
        Ok(Self {
            protocol: u16::from_be_bytes([bytes[2], bytes[3]]),
            device: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
            mac: (usize::from(bytes[11]) >= MAC).then_some(mac),
        })
    }

    /// The `sockaddr_ll` of a frame or an interface; without one, only what
    /// comes before the address.
    fn write(protocol: u16, device: u32, kind: u8, mac: Option<[u8; MAC]>, len: usize) -> Address {
        let hardware = match device {
            LOOPBACK_INDEX => ARPHRD_LOOPBACK,
            ETH_INDEX => ARPHRD_ETHER,
            _ => 0,
        };
        let mut address = Address::EMPTY;
        if let Ok(bytes) = address.resize(len) {
            bytes.fill(0);
            bytes[..2].copy_from_slice(&AF_PACKET.to_ne_bytes());
            bytes[2..4].copy_from_slice(&protocol.to_be_bytes());
            bytes[4..8].copy_from_slice(&device.to_ne_bytes());
            bytes[8..10].copy_from_slice(&hardware.to_ne_bytes());
            bytes[10] = kind;
            if let Some(mac) = mac {
                bytes[11] = MAC as u8;
                bytes[BEFORE_ADDRESS..BEFORE_ADDRESS + MAC].copy_from_slice(&mac);
            }
        }
        address
    }
}

fn type_of(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[12], frame[13]])
}

impl Packet {
    fn endpoint(&self, core: &Core, id: SocketId) -> &Endpoint {
        &self.endpoints[core.sockets[id].state]
    }

    /// Gives a frame that passed to those who want it.
    fn give_out(&self, core: &mut Core, frame: &crate::link::tap::Captured) {
        let Some(header) = frame.bytes.first_chunk::<ETH_HEADER>() else { return };
        let ether = type_of(header);
        let (mut to, mut from) = ([0; MAC], [0; MAC]);
        to.copy_from_slice(&header[..MAC]);
        from.copy_from_slice(&header[MAC..2 * MAC]);
        let kind = match to {
            _ if frame.outgoing => PACKET_OUTGOING,
            _ if frame.device == LOOPBACK_INDEX || to == core.links.mac() => PACKET_HOST,
            _ if to == [0xff; MAC] => PACKET_BROADCAST,
            _ if to[0] & 1 != 0 => PACKET_MULTICAST,
            _ => PACKET_OTHERHOST,
        };
        let name = LinkAddress::write(ether, frame.device, kind, Some(from), SOCKADDR_LL);
        let wants = |e: &Endpoint| {
            let device = e.device == 0 || e.device == frame.device;
            // What leaves is seen by those who want all.
            let protocol = e.protocol == ETH_P_ALL || e.protocol != 0 && e.protocol == ether && !frame.outgoing;
            device && protocol && frame.sender != Some(e.id)
        };
        for (_, endpoint) in &self.endpoints {
            if wants(endpoint) {
                let raw = core.sockets[endpoint.id].kind == c::SOCK_RAW;
                let data = if raw { &frame.bytes[..] } else { &frame.bytes[ETH_HEADER..] };
                core.give_record(endpoint.id, &name, &[], &[data]);
            }
        }
    }

    /// Sends what a client wrote.
    fn send_record(&self, core: &mut Core, id: SocketId, record: Record) -> Result<(), Errno> {
        if control::items(&record.control).any(|item| item.is_err()) {
            return Err(Errno::EINVAL);
        }
        let endpoint = self.endpoint(core, id);
        let to = if record.address.as_bytes().is_empty() {
            LinkAddress { protocol: endpoint.protocol, device: endpoint.device, mac: None }
        } else {
            LinkAddress::parse(&record.address)?
        };
        if core.links.name_of(to.device).is_none() {
            return Err(Errno::ENXIO);
        }
        let loopback = to.device == LOOPBACK_INDEX;
        let mut frame = record.data;
        if core.sockets[id].kind == c::SOCK_DGRAM {
            let mac = match to.mac {
                Some(mac) => mac,
                None if loopback => [0; MAC],
                None => return Err(Errno::EINVAL),
            };
            let own = if loopback { [0; MAC] } else { core.links.mac() };
            let header = [&mac[..], &own, &to.protocol.to_be_bytes()].concat();
            frame.splice(..0, header);
        }
        if frame.len() < ETH_HEADER {
            return Err(Errno::EINVAL);
        }
        if !loopback && frame.len() > ETH_HEADER + core.links.mtu() {
            return Err(Errno::EMSGSIZE);
        }
        core.links.send_frame(loopback, &frame, id)
    }
}

impl Family for Packet {
    fn create(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        policy::may_raw(core, core.sockets[id].session)?;
        let socket = &mut core.sockets[id];
        if ![c::SOCK_RAW, c::SOCK_DGRAM].contains(&socket.kind) {
            return Err(Errno::ESOCKTNOSUPPORT);
        }
        // socket(2) has it in the order of the network.
        let protocol = u16::from_be(socket.protocol);
        socket.state = self.endpoints.insert(Endpoint { id, protocol, device: 0 });
        core.links.tap.get_or_insert_with(|| Box::new(Tap::default()));
        core.set_status(id, status::OUT);
        core.grant_records(id, self.longest(core));
        Ok(())
    }

    fn bind(&mut self, core: &mut Core, id: SocketId, address: &Address) -> Result<(), Errno> {
        let address = LinkAddress::parse(address)?;
        if address.device != 0 && core.links.name_of(address.device).is_none() {
            return Err(Errno::ENODEV);
        }
        let endpoint = &mut self.endpoints[core.sockets[id].state];
        endpoint.device = address.device;
        if address.protocol != 0 {
            endpoint.protocol = address.protocol;
        }
        Ok(())
    }

    fn listen(&mut self, _: &mut Core, _: SocketId) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn connect(&mut self, _: &mut Core, _: SocketId, _: &Address) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn accepted(&mut self, _: &mut Core, _: SocketId) -> Address {
        Address::EMPTY
    }

    fn shutdown(&mut self, _: &mut Core, _: SocketId, _: bool, _: bool) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn close(&mut self, core: &mut Core, id: SocketId) {
        while let Some(record) = core.take_record(id) {
            let _ = self.send_record(core, id, record);
        }
        self.endpoints.remove(core.sockets[id].state);
        if self.endpoints.is_empty() {
            core.links.tap = None;
        }
        core.remove(id);
    }

    fn local_address(&self, core: &Core, id: SocketId) -> Result<Address, Errno> {
        let endpoint = self.endpoint(core, id);
        let (mac, len) = match endpoint.device {
            0 => (None, BEFORE_ADDRESS),
            LOOPBACK_INDEX => (Some([0; MAC]), BEFORE_ADDRESS + MAC),
            _ => (Some(core.links.mac()), BEFORE_ADDRESS + MAC),
        };
        Ok(LinkAddress::write(endpoint.protocol, endpoint.device, 0, mac, len))
    }

    fn peer_address(&self, _: &Core, _: SocketId) -> Result<Address, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn set_option(&mut self, _: &mut Core, _: SocketId, _: i32, _: i32, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::ENOPROTOOPT)
    }

    fn get_option(&mut self, _: &mut Core, _: SocketId, _: i32, _: i32, _: &mut [u8]) -> Result<usize, Errno> {
        Err(Errno::ENOPROTOOPT)
    }

    fn send(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        let record = core.take_record(id);
        let result = record.map_or(Ok(()), |record| self.send_record(core, id, record));
        core.grant_records(id, self.longest(core));
        result
    }

    fn doorbell(&mut self, _: &mut Core, id: SocketId) {
        if !self.dirty.contains(&id) {
            self.dirty.push(id);
        }
    }

    fn input(&mut self, _: &mut Core, _: &mut [u8]) -> bool {
        false
    }

    fn settle(&mut self, core: &mut Core) -> bool {
        if self.dirty.is_empty() && core.links.tap.is_none() {
            return false;
        }
        let mut more = false;
        for id in core::mem::take(&mut self.dirty) {
            if core.sockets.get(id).is_none() {
                continue;
            }
            let session = core.sockets[id].session;
            for _ in 0..BURST {
                if !core.spend(session, 1) {
                    self.dirty.push(id);
                    more = true;
                    break;
                }
                let Some(record) = core.take_record(id) else { break };
                if let Err(errno) = self.send_record(core, id, record) {
                    core.set_error(id, errno);
                }
            }
            core.grant_records(id, self.longest(core));
        }
        for _ in 0..BURST {
            let Some(frame) = core.links.tap.as_mut().and_then(|tap| tap.take()) else { break };
            self.give_out(core, &frame);
            more = true;
        }
        more
    }

    fn deadline(&self) -> Option<u64> {
        None
    }

    fn tick(&mut self, _: &mut Core) {}

    fn addresses_changed(&mut self, _: &mut Core) {}
}

impl Packet {
    /// Bytes of the longest frame with what comes before it in a ring.
    fn longest(&self, core: &Core) -> u32 {
        (ETH_HEADER + core.links.mtu().max(65_535) + 64) as u32
    }
}
