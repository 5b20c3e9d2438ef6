//! A DHCP server (RFC 2131) with one lease: whoever asks on the TAP device
//! gets [`GUEST`](super::GUEST). Answers are broadcast, for the client has no
//! address yet.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;

use anyhow::{Context, Result};
use smoltcp::wire::{DhcpMessageType as Type, DhcpPacket, DhcpRepr};
use socket2::{Domain, Protocol, Socket};

use super::{GUEST, HOST, NAME_SERVER, NETMASK};

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
/// How long a lease lasts, in seconds.
const LEASE: u32 = 86_400;

/// Serves on the device `tap` as long as the process lives.
pub fn start(tap: &str) -> Result<()> {
    let socket = bind(tap).context("cannot open the port of the DHCP server")?;
    thread::Builder::new().name("dhcp".into()).spawn(move || serve(&socket))?;
    Ok(())
}

fn bind(tap: &str) -> Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, socket2::Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_broadcast(true)?;
    socket.bind_device(Some(tap.as_bytes()))?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, SERVER_PORT)).into())?;
    Ok(socket.into())
}

fn serve(socket: &UdpSocket) {
    let mut buffer = [0; 1500];
    loop {
        match socket.recv(&mut buffer) {
            Ok(n) => {
                if let Some(reply) = answer(&buffer[..n]) {
                    // Lost like any datagram: the client asks again.
                    let _ = socket.send_to(&reply, (Ipv4Addr::BROADCAST, CLIENT_PORT));
                }
            }
            Err(e) => {
                eprintln!("strait-hosted: the DHCP server cannot receive: {e}");
                return;
            }
        }
    }
}

/// The reply to a message; `None` if it deserves none.
fn answer(message: &[u8]) -> Option<Vec<u8>> {
    let packet = DhcpPacket::new_checked(message).ok()?;
    let request = DhcpRepr::parse(&packet).ok()?;
    let kind = match request.message_type {
        Type::Discover => Type::Offer,
        // Meant for another server.
        Type::Request if request.server_identifier.is_some_and(|s| s != HOST) => return None,
        Type::Request => match request.requested_ip.unwrap_or(request.client_ip) {
            GUEST => Type::Ack,
            _ => Type::Nak,
        },
        _ => return None,
    };
    let lease = kind != Type::Nak;
    let reply = DhcpRepr {
        message_type: kind,
        transaction_id: request.transaction_id,
        secs: 0,
        client_hardware_address: request.client_hardware_address,
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: if lease { GUEST } else { Ipv4Addr::UNSPECIFIED },
        server_ip: HOST,
        router: lease.then_some(HOST),
        subnet_mask: lease.then_some(NETMASK),
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: true,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(HOST),
        parameter_request_list: None,
        dns_servers: lease.then(|| [NAME_SERVER].into_iter().collect()),
        max_size: None,
        lease_duration: lease.then_some(LEASE),
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    // BOOTP's least length, which some clients insist on.
    let mut bytes = vec![0; reply.buffer_len().max(300)];
    reply.emit(&mut DhcpPacket::new_unchecked(&mut bytes)).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::wire::EthernetAddress;

    fn ask(kind: Type, requested: Option<Ipv4Addr>, server: Option<Ipv4Addr>) -> Option<(Type, Ipv4Addr)> {
        let request = DhcpRepr {
            message_type: kind,
            transaction_id: 77,
            secs: 0,
            client_hardware_address: EthernetAddress([2, 0, 0, 0, 0, 1]),
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: Ipv4Addr::UNSPECIFIED,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: false,
            requested_ip: requested,
            client_identifier: None,
            server_identifier: server,
            parameter_request_list: Some(&[1, 3, 6]),
            dns_servers: None,
            max_size: Some(1500),
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        let mut bytes = vec![0; request.buffer_len()];
        request.emit(&mut DhcpPacket::new_unchecked(&mut bytes)).unwrap();
        let reply = answer(&bytes)?;
        let packet = DhcpPacket::new_checked(&reply[..]).unwrap();
        let reply = DhcpRepr::parse(&packet).unwrap();
        assert_eq!((reply.transaction_id, reply.server_identifier), (77, Some(HOST)));
        Some((reply.message_type, reply.your_ip))
    }

    #[test]
    fn one_lease_for_all() {
        assert_eq!(ask(Type::Discover, None, None), Some((Type::Offer, GUEST)));
        assert_eq!(ask(Type::Request, Some(GUEST), Some(HOST)), Some((Type::Ack, GUEST)));
        let other = Ipv4Addr::new(192, 168, 1, 5);
        assert_eq!(ask(Type::Request, Some(other), None), Some((Type::Nak, Ipv4Addr::UNSPECIFIED)));
        assert_eq!(ask(Type::Request, Some(GUEST), Some(other)), None);
        assert_eq!(ask(Type::Release, None, None), None);
        assert_eq!(answer(b"noise"), None);
    }
}
