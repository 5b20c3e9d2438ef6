//! DHCPv4 (RFC 2131): smoltcp's client in an interface of its own, which sees
//! nothing but DHCP and ARP frames and so keeps Ethernet out of the rest.

use alloc::{vec, vec::Vec};
use core::net::Ipv4Addr;

use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    phy::{Device, DeviceCapabilities, Medium, TxToken},
    socket::dhcpv4,
    time::Instant,
    wire::{EthernetAddress, IpCidr},
};

use super::{Arrived, Ipv4Config};

const CLIENT_PORT: u16 = 68;
const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const UDP: u8 = 17;

/// The client of one interface.
pub struct Dhcp {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    /// Frames to send.
    pub out: Vec<Vec<u8>>,
    next: Option<u64>,
}

struct Port<'a> {
    frame: Option<&'a [u8]>,
    out: &'a mut Vec<Vec<u8>>,
}

struct Tx<'a>(&'a mut Vec<Vec<u8>>);

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut bytes = vec![0; len];
        let result = f(&mut bytes);
        self.0.push(bytes);
        result
    }
}

impl Device for Port<'_> {
    type RxToken<'b>
        = Arrived<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Tx<'b>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Arrived<'_>, Tx<'_>)> {
        Some((Arrived(self.frame.take()?), Tx(self.out)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx<'_>> {
        Some(Tx(self.out))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ethernet;
        caps.max_transmission_unit = 1514;
        caps
    }
}

/// Whether the DHCP client must see this frame: a UDP datagram to its port, or
/// an ARP reply (a renewal goes to the server directly).
pub fn wants(frame: &[u8]) -> bool {
    let Some(head) = frame.first_chunk::<34>() else { return false };
    match u16::from_be_bytes([head[12], head[13]]) {
        ARP => head[20..22] == [0, 2],
        IPV4 if head[23] == UDP => {
            let ports = frame.get(14 + usize::from(head[14] & 0xf) * 4..);
            ports.is_some_and(|p| p.get(2..4) == Some(&CLIENT_PORT.to_be_bytes()))
        }
        _ => false,
    }
}

impl Dhcp {
    pub fn new(mac: EthernetAddress, seed: u64, now: u64) -> Self {
        let mut out = Vec::new();
        let mut config = Config::new(mac.into());
        config.random_seed = seed;
        let interface = Interface::new(config, &mut Port { frame: None, out: &mut out }, instant(now));
        let mut sockets = SocketSet::new(vec![]);
        let handle = sockets.add(dhcpv4::Socket::new());
        Self { interface, sockets, handle, out, next: Some(now) }
    }

    /// Asks for a lease anew. The one that there is ends with the next
    /// [`poll`](Self::poll).
    pub fn restart(&mut self, now: u64) {
        self.sockets.get_mut::<dhcpv4::Socket>(self.handle).reset();
        self.next = Some(now);
    }

    /// When [`poll`](Self::poll) is due.
    pub fn deadline(&self) -> Option<u64> {
        self.next
    }

    /// Takes in a frame, if any, and does what is due. Returns the new
    /// configuration if it changed: `Some(None)` when it was lost.
    pub fn poll(&mut self, now: u64, frame: Option<&[u8]>) -> Option<Option<Ipv4Config>> {
        let at = instant(now);
        let mut port = Port { frame, out: &mut self.out };
        self.interface.poll_ingress_single(at, &mut port, &mut self.sockets);
        self.interface.poll_egress(at, &mut port, &mut self.sockets);
        let event = self.sockets.get_mut::<dhcpv4::Socket>(self.handle).poll();
        let change = match event {
            None => None,
            Some(dhcpv4::Event::Deconfigured) => Some(None),
            Some(dhcpv4::Event::Configured(config)) => Some(Some(Ipv4Config {
                address: config.address,
                gateway: config.router,
                dns: config.dns_servers.iter().copied().filter(|a| *a != Ipv4Addr::UNSPECIFIED).collect(),
            })),
        };
        if let Some(config) = &change {
            // Renewals go by unicast and need an address to ask from. A
            // server that hands out an address no host can have gets none.
            self.interface.update_ip_addrs(|addresses| {
                addresses.clear();
                if let Some(c) = config
                    && usable(c.address.address())
                {
                    let _ = addresses.push(IpCidr::Ipv4(c.address));
                }
            });
            // The server may be behind a router.
            let routes = self.interface.routes_mut();
            match config.as_ref().and_then(|c| c.gateway) {
                Some(gateway) => {
                    let _ = routes.add_default_ipv4_route(gateway);
                }
                None => {
                    routes.remove_default_ipv4_route();
                }
            }
        }
        self.next = self
            .interface
            .poll_at(at, &self.sockets)
            // Not at once again: what could be sent was.
            .map(|t| ((t.total_micros().max(0) as u64).saturating_mul(1000)).max(now + 10_000_000));
        change.map(|c| c.filter(|c| usable(c.address.address())))
    }
}

fn usable(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_multicast() || address.is_broadcast() || address.is_loopback())
}

/// smoltcp's idea of the time `now`, nanoseconds.
pub fn instant(now: u64) -> Instant {
    Instant::from_micros((now / 1000) as i64)
}
