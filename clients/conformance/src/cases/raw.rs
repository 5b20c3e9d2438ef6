//! Raw sockets (raw(7)), echo sockets (icmp(7)), frames (packet(7)).

use alloc::{vec, vec::Vec};

use crate::{case::*, posix::*, test::*};

/// ETH_P_ALL, ETH_P_IP in network byte order.
const ALL_FRAMES: u16 = 3u16.to_be();
const IPV4_FRAMES: u16 = 0x0800u16.to_be();

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("a raw socket sees echo requests and replies", "raw(7)", &[RAW4], raw_echo),
    Case::new("a raw socket of IPv6 sees messages without header", "raw(7), RFC 3542 3", &[RAW6], raw_echo6),
    Case::new("a raw socket needs a protocol", "raw(7) EPROTONOSUPPORT", RAW, raw_protocol),
    Case::new("SO_TYPE and SO_PROTOCOL", "socket(7)", RAW, raw_options),
    Case::new("bound to an address", "raw(7)", RAW, raw_bound),
    Case::new("connected to an address", "raw(7)", RAW, raw_connected),
    Case::new("no destination", "send(2) EDESTADDRREQ", RAW, raw_no_destination),
    Case::new("a raw socket does not listen", "listen(2) EOPNOTSUPP", RAW, raw_listen),
    Case::new("IP_HDRINCL", "raw(7) IP_HDRINCL", &[RAW4], header_included),
    Case::new("IPPROTO_RAW includes the header", "raw(7) IPPROTO_RAW", &[RAW4], protocol_raw),
    Case::new("IPV6_HDRINCL", "ipv6(7), raw(7)", &[RAW6], header_included6),
    Case::new("a packet that is too long for its interface", "raw(7) EMSGSIZE", RAW, header_too_long),
    Case::new("ICMP_FILTER", "raw(7) ICMP_FILTER", &[RAW4], icmp_filter),
    Case::new("ICMPV6_FILTER", "RFC 3542 3.2", &[RAW6], icmp6_filter),
    Case::new("another protocol", "raw(7)", &[UDP4, UDP6], raw_udp),
    Case::new("echo", "icmp(7)", PING, echo),
    Case::new("echo: the identifier is the port", "icmp(7)", PING, echo_port),
    Case::new("echo: bind chooses the identifier", "icmp(7)", PING, echo_bound),
    Case::new("echo: connected", "icmp(7)", PING, echo_connected),
    Case::new("echo: nothing but echo requests", "icmp(7) EINVAL", PING, echo_only),
    Case::new("echo: too short", "icmp(7) EINVAL", PING, echo_short),
    Case::new("echo: two sockets do not mix", "icmp(7)", PING, echo_apart),
    Case::new("echo of a datagram in fragments", "RFC 792", &[PING4], echo_large),
    Case::new("frames of lo", "packet(7)", &[UDP4, UDP6], frames),
    Case::new("frames without link header", "packet(7) SOCK_DGRAM", &[UDP4], frames_cooked),
    Case::new("frames of one protocol", "packet(7)", &[UDP4], frames_filter),
    Case::new("frame sockets have no peer", "packet(7)", ONCE, frames_calls),
    Case::new("an interface that is none", "packet(7) ENODEV, ENXIO", ONCE, frames_device),
];

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An echo request; that of ICMPv6 gets its checksum by the kernel.
fn request(t: &Test<'_>, identifier: u16, data: &[u8]) -> Vec<u8> {
    let mut message = vec![if t.v6() { 128 } else { 8 }, 0, 0, 0];
    message.extend(identifier.to_be_bytes());
    message.extend(7u16.to_be_bytes());
    message.extend(data);
    if !t.v6() {
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

fn here(t: &Test<'_>) -> Address {
    (t.loopback(), 0).into()
}

/// The next message, and who sent it.
fn next(t: &Test<'_>, fd: Fd) -> Result<(Vec<u8>, Address), Failure> {
    t.wait(fd, POLLIN)?;
    let mut bytes = vec![0; 4096];
    match t.recvfrom(fd, &mut bytes, 0) {
        Ok((n, from)) => Ok((bytes[..n].to_vec(), from)),
        Err(e) => Err(Failure::new("recvfrom()", "success", e.name())),
    }
}

fn raw_echo(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let message = request(t, t.port(0), b"ping");
    gives!(t.sendto(fd, &message, 0, &here(t)), message.len());
    for kind in [8, 0] {
        let (packet, from) = next(t, fd)?;
        eq!(from.as_bytes(), here(t).as_bytes());
        eq!((packet[0], packet[9], packet.len()), (0x45, 1, 20 + message.len()));
        eq!(checksum(&packet[..20]), 0);
        eq!((packet[20], &packet[24..]), (kind, &message[4..]));
        eq!(checksum(&packet[20..]), 0);
    }
    t.shut(&[fd])
}

fn raw_echo6(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let message = request(t, t.port(0), b"ping");
    gives!(t.sendto(fd, &message, 0, &here(t)), message.len());
    for kind in [128, 129] {
        let (got, from) = next(t, fd)?;
        eq!(ip_of(&from), Some(t.loopback()));
        eq!((got[0], &got[4..]), (kind, &message[4..]));
        // Made on the way out.
        that!(got[2..4] != [0, 0]);
    }
    t.shut(&[fd])
}

fn raw_protocol(t: &Test<'_>) -> Outcome {
    err!(t.socket(t.on.family, SOCK_RAW.into(), 0), EPROTONOSUPPORT);
    err!(t.socket(t.on.family, SOCK_RAW.into(), 999), EINVAL);
    // There are numbers that no header has a place for (IPPROTO_MPTCP).
    let fd = ok!(t.socket(t.on.family, SOCK_RAW.into(), 262));
    gives!(t.option(fd, SOL_SOCKET, SO_PROTOCOL), 262);
    t.shut(&[fd])
}

fn raw_options(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    gives!(t.option(fd, SOL_SOCKET, SO_TYPE), i32::from(SOCK_RAW));
    gives!(t.option(fd, SOL_SOCKET, SO_PROTOCOL), i32::from(t.on.protocol));
    eq!(t.ready(fd, POLLIN | POLLOUT)?, POLLOUT);
    t.shut(&[fd])
}

fn raw_bound(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.bind(fd, &here(t)));
    eq!(ip_of(&ok!(t.getsockname(fd))), Some(t.loopback()));
    let message = request(t, t.port(0), b"x");
    gives!(t.sendto(fd, &message, 0, &here(t)), message.len());
    next(t, fd)?;
    let foreign = address(if t.v6() { "[2001:db8::1]:0" } else { "192.0.2.1:0" });
    err!(t.bind(fd, &foreign), EADDRNOTAVAIL);
    t.shut(&[fd])
}

fn raw_connected(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.getpeername(fd), ENOTCONN);
    ok!(t.connect(fd, &t.lo(3)));
    eq!(ip_of(&ok!(t.getpeername(fd))), Some(t.loopback()));
    let message = request(t, t.port(0), b"x");
    gives!(t.send(fd, &message, 0), message.len());
    next(t, fd)?;
    next(t, fd)?;
    t.shut(&[fd])
}

fn raw_no_destination(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.send(fd, &request(t, 1, b"x"), 0), EDESTADDRREQ);
    t.shut(&[fd])
}

fn raw_listen(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.listen(fd, 1), EOPNOTSUPP);
    err!(t.accept4(fd, 0), EOPNOTSUPP);
    t.shut(&[fd])
}

/// An IPv4 packet of `protocol`, from and to 127.0.0.1.
fn packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1];
    bytes.extend(payload);
    bytes
}

fn header_included(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    gives!(t.option(fd, IPPROTO_IP, IP_HDRINCL), 0);
    ok!(t.set_option(fd, IPPROTO_IP, IP_HDRINCL, 1));
    gives!(t.option(fd, IPPROTO_IP, IP_HDRINCL), 1);
    // Length, identification and checksum are filled in.
    let bytes = packet(1, &request(t, t.port(0), b"own header"));
    gives!(t.sendto(fd, &bytes, 0, &here(t)), bytes.len());
    let (got, _) = next(t, fd)?;
    eq!(got.len(), bytes.len());
    eq!(u16::from_be_bytes([got[2], got[3]]) as usize, bytes.len());
    that!(got[4..6] != [0, 0]);
    eq!(checksum(&got[..20]), 0);
    eq!(got[20..], bytes[20..]);
    err!(t.sendto(fd, &bytes[..10], 0, &here(t)), EINVAL);
    t.shut(&[fd])
}

/// An IPv6 packet from and to this host.
fn packet6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
    bytes[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    for _ in 0..2 {
        bytes.extend(core::net::Ipv6Addr::LOCALHOST.octets());
    }
    bytes.extend(payload);
    bytes
}

fn header_included6(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    gives!(t.option(fd, IPPROTO_IPV6, IPV6_HDRINCL), 0);
    let fd = [fd, ok!(t.socket(AF_INET6, u32::from(SOCK_RAW) | SOCK_NONBLOCK, IPPROTO_RAW as u16))];
    gives!(t.option(fd[1], IPPROTO_IPV6, IPV6_HDRINCL), 1);
    let listener = ok!(t.socket(AF_INET6, u32::from(SOCK_RAW) | SOCK_NONBLOCK, 253));
    ok!(t.set_option(fd[0], IPPROTO_IPV6, IPV6_HDRINCL, 1));
    for fd in fd {
        let bytes = packet6(253, b"experiment");
        gives!(t.sendto(fd, &bytes, 0, &here(t)), bytes.len());
        eq!(next(t, listener)?.0, b"experiment");
        err!(t.sendto(fd, &bytes[..39], 0, &here(t)), EINVAL);
    }
    t.shut(&[fd[0], fd[1], listener])
}

fn header_too_long(t: &Test<'_>) -> Outcome {
    let fd = ok!(t.socket(t.on.family, u32::from(SOCK_RAW) | SOCK_NONBLOCK, IPPROTO_RAW as u16));
    if !t.v6() {
        let long = packet(253, &[0; 1481]);
        err!(t.sendto(fd, &long, 0, &address("10.0.2.2:0")), EMSGSIZE);
        gives!(t.sendto(fd, &long, 0, &here(t)), long.len());
    }
    err!(t.sendto(fd, &vec![0; 65_537], 0, &here(t)), EMSGSIZE);
    t.shut(&[fd])
}

fn protocol_raw(t: &Test<'_>) -> Outcome {
    let fd = ok!(t.socket(AF_INET, u32::from(SOCK_RAW) | SOCK_NONBLOCK, IPPROTO_RAW as u16));
    gives!(t.option(fd, IPPROTO_IP, IP_HDRINCL), 1);
    let listener = ok!(t.socket(AF_INET, u32::from(SOCK_RAW) | SOCK_NONBLOCK, 253));
    let bytes = packet(253, b"experiment");
    gives!(t.sendto(fd, &bytes, 0, &here(t)), bytes.len());
    let (got, _) = next(t, listener)?;
    eq!(&got[20..], b"experiment");
    // It sends only.
    err!(t.recv(fd, &mut [0; 99], 0), EAGAIN);
    t.shut(&[fd, listener])
}

fn icmp_filter(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    // A bit for each type that is not wanted: echo requests.
    ok!(t.setsockopt(fd, SOL_RAW, ICMP_FILTER, &(1u32 << 8).to_ne_bytes()));
    let mut value = [0; 4];
    gives!(t.getsockopt(fd, SOL_RAW, ICMP_FILTER, &mut value), 4);
    eq!(u32::from_ne_bytes(value), 1 << 8);
    let message = request(t, t.port(0), b"x");
    gives!(t.sendto(fd, &message, 0, &here(t)), message.len());
    eq!(next(t, fd)?.0[20], 0);
    err!(t.recv(fd, &mut [0; 99], 0), EAGAIN);
    t.shut(&[fd])
}

fn icmp6_filter(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let mut filter = [0u8; 32];
    // Bits in words: type 128 is bit 0 of word 4.
    filter[16] = 1;
    ok!(t.setsockopt(fd, SOL_ICMPV6, ICMPV6_FILTER, &filter));
    let mut value = [9; 32];
    gives!(t.getsockopt(fd, SOL_ICMPV6, ICMPV6_FILTER, &mut value), 32);
    eq!(value, filter);
    let message = request(t, t.port(0), b"x");
    gives!(t.sendto(fd, &message, 0, &here(t)), message.len());
    eq!(next(t, fd)?.0[0], 129);
    err!(t.recv(fd, &mut [0; 99], 0), EAGAIN);
    t.shut(&[fd])
}

fn raw_udp(t: &Test<'_>) -> Outcome {
    let raw = ok!(t.socket(t.on.family, u32::from(SOCK_RAW) | SOCK_NONBLOCK, IPPROTO_UDP as u16));
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"seen", 0), 4);
    let (got, from) = next(t, raw)?;
    eq!(ip_of(&from), Some(t.loopback()));
    let udp = if t.v6() { &got[..] } else { &got[20..] };
    eq!(u16::from_be_bytes([udp[0], udp[1]]), t.port(0));
    eq!(&udp[8..], b"seen");
    // The socket it was for has it too.
    eq!(t.read_some(b, 9)?, b"seen");
    t.shut(&[raw, a, b])
}

fn echo(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let message = request(t, 0, b"hello");
    gives!(t.sendto(fd, &message, 0, &here(t)), message.len());
    let (got, from) = next(t, fd)?;
    eq!(ip_of(&from), Some(t.loopback()));
    eq!(got[0], if t.v6() { 129 } else { 0 });
    eq!(&got[6..], &message[6..]);
    t.shut(&[fd])
}

fn echo_port(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let message = request(t, 12_345, b"x");
    gives!(t.sendto(fd, &message, 0, &here(t)), message.len());
    let (got, _) = next(t, fd)?;
    let port = port_of(&ok!(t.getsockname(fd)));
    that!(port != 0);
    // What the program wrote there does not count.
    eq!(u16::from_be_bytes([got[4], got[5]]), port);
    t.shut(&[fd])
}

fn echo_bound(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.bind(fd, &t.lo(0)));
    let message = request(t, 0, b"x");
    gives!(t.sendto(fd, &message, 0, &here(t)), message.len());
    let (got, _) = next(t, fd)?;
    eq!(u16::from_be_bytes([got[4], got[5]]), t.port(0));
    t.shut(&[fd])
}

fn echo_connected(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let message = request(t, 0, b"x");
    err!(t.send(fd, &message, 0), EDESTADDRREQ);
    ok!(t.connect(fd, &here(t)));
    gives!(t.send(fd, &message, 0), message.len());
    next(t, fd)?;
    t.shut(&[fd])
}

fn echo_only(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let mut message = request(t, 0, b"x");
    message[0] = if t.v6() { 129 } else { 0 };
    err!(t.sendto(fd, &message, 0, &here(t)), EINVAL);
    message[0] = 13;
    err!(t.sendto(fd, &message, 0, &here(t)), EINVAL);
    t.shut(&[fd])
}

fn echo_short(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.sendto(fd, &request(t, 0, b"")[..7], 0, &here(t)), EINVAL);
    t.shut(&[fd])
}

fn echo_apart(t: &Test<'_>) -> Outcome {
    let (a, b) = (t.sock()?, t.sock()?);
    for (fd, data) in [(a, b"one"), (b, b"two")] {
        let message = request(t, 1, data);
        gives!(t.sendto(fd, &message, 0, &here(t)), message.len());
    }
    eq!(&next(t, a)?.0[8..], b"one");
    eq!(&next(t, b)?.0[8..], b"two");
    err!(t.recv(a, &mut [0; 9], 0), EAGAIN);
    t.shut(&[a, b])
}

fn echo_large(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let message = request(t, 0, &[0x33; 3000]);
    gives!(t.sendto(fd, &message, 0, &here(t)), message.len());
    eq!(next(t, fd)?.0.len(), message.len());
    t.shut(&[fd])
}

fn link_address(protocol: u16, index: i32) -> Address {
    let mut bytes = vec![0; 20];
    bytes[..2].copy_from_slice(&AF_PACKET.to_ne_bytes());
    bytes[2..4].copy_from_slice(&protocol.to_ne_bytes());
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    raw_address(&bytes)
}

/// A frame socket on lo.
fn watcher(t: &Test<'_>, kind: u16, protocol: u16) -> Result<Fd, Failure> {
    let fail = |e: Errno| Failure::new("a packet socket on lo", "success", e.name());
    let fd = t.socket(AF_PACKET, u32::from(kind) | SOCK_NONBLOCK, protocol).map_err(fail)?;
    t.bind(fd, &link_address(protocol, 1)).map_err(fail)?;
    // What came before bind.
    let mut bytes = [0; 2000];
    while t.recv(fd, &mut bytes, 0).is_ok() {}
    Ok(fd)
}

fn frames(t: &Test<'_>) -> Outcome {
    let fd = watcher(t, SOCK_RAW, ALL_FRAMES)?;
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"on the wire", 0), 11);
    let (frame, from) = next(t, fd)?;
    let kind = if t.v6() { 0x86dd } else { 0x0800 };
    // No addresses on lo, and the protocol.
    eq!(frame[..12], [0; 12]);
    eq!(u16::from_be_bytes([frame[12], frame[13]]), kind);
    that!(frame.ends_with(b"on the wire"));
    let from = from.as_bytes();
    eq!(from[..8], link_address(kind.to_be(), 1).as_bytes()[..8]);
    t.shut(&[fd, a, b])
}

fn frames_cooked(t: &Test<'_>) -> Outcome {
    let fd = watcher(t, SOCK_DGRAM, ALL_FRAMES)?;
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"x", 0), 1);
    let (packet, _) = next(t, fd)?;
    eq!((packet[0], packet.len()), (0x45, 29));
    t.shut(&[fd, a, b])
}

fn frames_filter(t: &Test<'_>) -> Outcome {
    let fd = watcher(t, SOCK_RAW, IPV4_FRAMES)?;
    let six = ok!(t.socket(AF_INET6, u32::from(SOCK_DGRAM) | SOCK_NONBLOCK, 0));
    ok!(t.sendto(six, b"not for it", 0, &address("[::1]:9")));
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"x", 0), 1);
    let (frame, _) = next(t, fd)?;
    eq!(frame[12..14], [8, 0]);
    t.shut(&[fd, six, a, b])
}

fn frames_calls(t: &Test<'_>) -> Outcome {
    let fd = watcher(t, SOCK_RAW, ALL_FRAMES)?;
    err!(t.listen(fd, 1), EOPNOTSUPP);
    err!(t.connect(fd, &link_address(ALL_FRAMES, 1)), EOPNOTSUPP);
    err!(t.getpeername(fd), EOPNOTSUPP);
    err!(t.shutdown(fd, SHUT_RD), EOPNOTSUPP);
    let name = ok!(t.getsockname(fd));
    eq!(name.as_bytes()[..8], link_address(ALL_FRAMES, 1).as_bytes()[..8]);
    err!(t.socket(AF_PACKET, SOCK_STREAM.into(), ALL_FRAMES), ESOCKTNOSUPPORT);
    t.shut(&[fd])
}

fn frames_device(t: &Test<'_>) -> Outcome {
    let fd = ok!(t.socket(AF_PACKET, u32::from(SOCK_RAW) | SOCK_NONBLOCK, ALL_FRAMES));
    err!(t.bind(fd, &link_address(ALL_FRAMES, 99)), ENODEV);
    err!(t.sendto(fd, &[0; 60], 0, &link_address(ALL_FRAMES, 99)), ENXIO);
    err!(t.bind(fd, &resized(&link_address(ALL_FRAMES, 1), 11)), EINVAL);
    t.shut(&[fd])
}
