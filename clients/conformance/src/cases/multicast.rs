//! Multicast (ip(7), ipv6(7)) and broadcast.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{case::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("join, send, leave", "ip(7), ipv6(7)", UDP, join_leave),
    Case::new("join twice", "ip(7) EADDRINUSE", UDP, twice),
    Case::new("leave without join", "ip(7) EADDRNOTAVAIL", UDP, leave_stranger),
    Case::new("join something that is no group", "ip(7) EINVAL", UDP, no_group),
    Case::new("join on an interface that is none", "ip(7) ENODEV", UDP, no_device),
    Case::new("join with a wrong length", "ip(7) EINVAL", UDP, wrong_length),
    Case::new("join on a stream", "ip(7)", TCP, stream),
    Case::new("one socket in many groups", "ip(7) ENOBUFS, igmp_max_memberships", UDP, many_groups),
    Case::new("a group has many listeners", "ip(7)", UDP, many),
    Case::new("bound to the group", "ip(7)", UDP, bound_to_group),
    Case::new("IP_MULTICAST_LOOP off", "ip(7) IP_MULTICAST_LOOP", UDP, no_loop),
    Case::new("IP_MULTICAST_IF reads as it was set", "ip(7) IP_MULTICAST_IF", &[UDP4], interface),
    Case::new("IP_MULTICAST_IF with wrong values", "ip(7)", &[UDP4], wrong_interface),
    Case::new("close leaves", "ip(7)", UDP, close_leaves),
    Case::new("the group's address tells the interface", "ip(7) struct ip_mreqn", &[UDP4], by_index),
    Case::new("all hosts, without joining", "RFC 1112 4", &[UDP4], all_hosts),
    Case::new("all nodes, without joining", "RFC 4291 2.7.1", &[UDP6], all_nodes),
    Case::new("one datagram to many: each has its own", "ip(7)", UDP, own_copies),
];

fn group(t: &Test<'_>) -> IpAddr {
    if t.v6() {
        Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0x77, t.port(0)).into()
    } else {
        Ipv4Addr::new(239, 7, (t.port(0) >> 8) as u8, t.port(0) as u8).into()
    }
}

/// `struct ip_mreq` for lo, or `struct ipv6_mreq` for eth0: Linux has no IPv6
/// multicast on lo.
fn membership(t: &Test<'_>, ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => [ip.octets(), [127, 0, 0, 1]].concat(),
        IpAddr::V6(ip) => [&ip.octets()[..], &eth0(t).to_ne_bytes()].concat(),
    }
}

fn eth0(t: &Test<'_>) -> u32 {
    // 0 stands for any interface.
    t.if_nametoindex("eth0").unwrap_or(0)
}

fn change(t: &Test<'_>, fd: Fd, join: bool, ip: IpAddr) -> Result<()> {
    let (level, name) = match (t.v6(), join) {
        (false, true) => (IPPROTO_IP, IP_ADD_MEMBERSHIP),
        (false, false) => (IPPROTO_IP, IP_DROP_MEMBERSHIP),
        (true, true) => (IPPROTO_IPV6, IPV6_JOIN_GROUP),
        (true, false) => (IPPROTO_IPV6, IPV6_LEAVE_GROUP),
    };
    t.setsockopt(fd, level, name, &membership(t, ip))
}

/// A sender whose multicasts leave by the interface of [`membership`].
fn sender(t: &Test<'_>) -> Result<Fd, Failure> {
    let fd = t.sock()?;
    let done = if t.v6() {
        t.set_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, eth0(t) as i32)
    } else {
        t.setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &[127, 0, 0, 1])
    };
    done.map(|()| fd).map_err(|e| Failure::new("the interface for multicasts", "success", e.name()))
}

/// One of many that listen at the case's port 0.
fn receiver(t: &Test<'_>) -> Result<Fd, Failure> {
    let fd = t.sock()?;
    let done = t.set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1).and_then(|()| t.bind(fd, &t.any(0)));
    done.map(|()| fd).map_err(|e| Failure::new("bind()", "success", e.name()))
}

fn to(t: &Test<'_>) -> Address {
    (group(t), t.port(0)).into()
}

fn join_leave(t: &Test<'_>) -> Outcome {
    let (from, fd) = (sender(t)?, receiver(t)?);
    gives!(t.sendto(from, b"too early", 0, &to(t)), 9);
    t.settle()?;
    err!(t.recv(fd, &mut [0; 9], 0), EAGAIN);
    ok!(change(t, fd, true, group(t)));
    gives!(t.sendto(from, b"now", 0, &to(t)), 3);
    eq!(t.read_some(fd, 9)?, b"now");
    ok!(change(t, fd, false, group(t)));
    gives!(t.sendto(from, b"too late", 0, &to(t)), 8);
    t.settle()?;
    err!(t.recv(fd, &mut [0; 9], 0), EAGAIN);
    t.shut(&[from, fd])
}

fn twice(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(change(t, fd, true, group(t)));
    err!(change(t, fd, true, group(t)), EADDRINUSE);
    ok!(change(t, fd, false, group(t)));
    err!(change(t, fd, false, group(t)), EADDRNOTAVAIL);
    t.shut(&[fd])
}

/// Twenty of IPv4; of IPv6 there is no such number.
fn many_groups(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    for n in 0..25u16 {
        let ip = match group(t) {
            IpAddr::V4(_) => Ipv4Addr::new(239, 8, 8, n as u8).into(),
            IpAddr::V6(_) => Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0x88, n).into(),
        };
        if t.v6() || n < 20 {
            ok!(change(t, fd, true, ip));
        } else {
            err!(change(t, fd, true, ip), ENOBUFS);
        }
    }
    t.shut(&[fd])
}

fn leave_stranger(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(change(t, fd, false, group(t)), EADDRNOTAVAIL);
    t.shut(&[fd])
}

fn no_group(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(change(t, fd, true, t.loopback()), EINVAL);
    err!(change(t, fd, true, t.unspecified()), EINVAL);
    t.shut(&[fd])
}

fn no_device(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let mut bytes = membership(t, group(t));
    if t.v6() {
        bytes[16..].copy_from_slice(&99u32.to_ne_bytes());
        err!(t.setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &bytes), ENODEV);
    } else {
        bytes[4..].copy_from_slice(&[192, 0, 2, 1]);
        err!(t.setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &bytes), ENODEV);
    }
    t.shut(&[fd])
}

fn wrong_length(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let bytes = membership(t, group(t));
    let (level, name) = if t.v6() { (IPPROTO_IPV6, IPV6_JOIN_GROUP) } else { (IPPROTO_IP, IP_ADD_MEMBERSHIP) };
    err!(t.setsockopt(fd, level, name, &bytes[..bytes.len() - 1]), EINVAL);
    err!(t.setsockopt(fd, level, name, &[]), EINVAL);
    t.shut(&[fd])
}

fn stream(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    // ip(7) speaks of datagrams only; Linux refuses it for streams.
    err!(change(t, fd, true, group(t)), EPROTO);
    t.shut(&[fd])
}

fn many(t: &Test<'_>) -> Outcome {
    let (from, a, b, outside) = (sender(t)?, receiver(t)?, receiver(t)?, receiver(t)?);
    for fd in [a, b] {
        ok!(change(t, fd, true, group(t)));
    }
    gives!(t.sendto(from, b"all", 0, &to(t)), 3);
    eq!(t.read_some(a, 9)?, b"all");
    eq!(t.read_some(b, 9)?, b"all");
    // Linux gives it to who is bound there, joined or not (IP_MULTICAST_ALL);
    // over IPv6 too.
    eq!(t.read_some(outside, 9)?, b"all");
    t.shut(&[from, a, b, outside])
}

fn bound_to_group(t: &Test<'_>) -> Outcome {
    let (from, fd) = (sender(t)?, t.sock()?);
    ok!(t.bind(fd, &to(t)));
    ok!(change(t, fd, true, group(t)));
    eq!(ip_of(&ok!(t.getsockname(fd))), Some(group(t)));
    gives!(t.sendto(from, b"x", 0, &to(t)), 1);
    eq!(t.read_some(fd, 9)?, b"x");
    // Nothing else comes to it.
    gives!(t.sendto(from, b"y", 0, &t.lo(0)), 1);
    t.settle()?;
    err!(t.recv(fd, &mut [0; 9], 0), EAGAIN);
    t.shut(&[from, fd])
}

fn no_loop(t: &Test<'_>) -> Outcome {
    let (from, fd) = (t.sock()?, receiver(t)?);
    // Over eth0, where the host hears itself only by this option.
    if t.v6() {
        let index = eth0(t);
        ok!(t.set_option(from, IPPROTO_IPV6, IPV6_MULTICAST_IF, index as i32));
        let bytes =
            [&Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0x77, t.port(0)).octets()[..], &index.to_ne_bytes()].concat();
        ok!(t.setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &bytes));
    } else {
        ok!(t.setsockopt(from, IPPROTO_IP, IP_MULTICAST_IF, &[10, 0, 2, 15]));
        let bytes = [&membership(t, group(t))[..4], &[10, 0, 2, 15]].concat();
        ok!(t.setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &bytes));
    }
    let (level, name) = if t.v6() { (IPPROTO_IPV6, IPV6_MULTICAST_LOOP) } else { (IPPROTO_IP, IP_MULTICAST_LOOP) };
    let to: Address = if t.v6() {
        (IpAddr::from(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0x77, t.port(0))), t.port(0)).into()
    } else {
        to(t)
    };
    ok!(t.set_option(from, level, name, 0));
    gives!(t.sendto(from, b"quiet", 0, &to), 5);
    t.settle()?;
    err!(t.recv(fd, &mut [0; 9], 0), EAGAIN);
    ok!(t.set_option(from, level, name, 1));
    gives!(t.sendto(from, b"loud", 0, &to), 4);
    eq!(t.read_some(fd, 9)?, b"loud");
    t.shut(&[from, fd])
}

fn interface(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let mut value = [9; 4];
    gives!(t.getsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &mut value), 4);
    eq!(value, [0; 4]);
    ok!(t.setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &[10, 0, 2, 15]));
    gives!(t.getsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &mut value), 4);
    eq!(value, [10, 0, 2, 15]);
    ok!(t.setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &[0; 4]));
    gives!(t.getsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &mut value), 4);
    eq!(value, [0; 4]);
    t.shut(&[fd])
}

fn wrong_interface(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &[192, 0, 2, 1]), EADDRNOTAVAIL);
    err!(t.setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &[127, 0, 0]), EINVAL);
    t.shut(&[fd])
}

fn close_leaves(t: &Test<'_>) -> Outcome {
    let (from, joined, other) = (sender(t)?, receiver(t)?, receiver(t)?);
    ok!(change(t, joined, true, group(t)));
    gives!(t.sendto(from, b"x", 0, &to(t)), 1);
    eq!(t.read_some(other, 9)?, b"x");
    t.shut(&[joined])?;
    gives!(t.sendto(from, b"y", 0, &to(t)), 1);
    t.settle()?;
    err!(t.recv(other, &mut [0; 9], 0), EAGAIN);
    t.shut(&[from, other])
}

fn by_index(t: &Test<'_>) -> Outcome {
    let (from, fd) = (t.sock()?, receiver(t)?);
    // Group, address, index.
    let IpAddr::V4(ip) = group(t) else { return Ok(()) };
    let bytes = [&ip.octets()[..], &[0; 4], &1i32.to_ne_bytes()].concat();
    ok!(t.setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &bytes));
    ok!(t.setsockopt(from, IPPROTO_IP, IP_MULTICAST_IF, &[&[0; 8][..], &1i32.to_ne_bytes()].concat()));
    gives!(t.sendto(from, b"x", 0, &to(t)), 1);
    eq!(t.read_some(fd, 9)?, b"x");
    t.shut(&[from, fd])
}

fn all_hosts(t: &Test<'_>) -> Outcome {
    let (from, fd) = (t.sock()?, receiver(t)?);
    ok!(t.setsockopt(from, IPPROTO_IP, IP_MULTICAST_IF, &[10, 0, 2, 15]));
    gives!(t.sendto(from, b"all", 0, &(IpAddr::from([224, 0, 0, 1]), t.port(0)).into()), 3);
    eq!(t.read_some(fd, 9)?, b"all");
    t.shut(&[from, fd])
}

fn all_nodes(t: &Test<'_>) -> Outcome {
    let (from, fd) = (sender(t)?, receiver(t)?);
    gives!(t.sendto(from, b"all", 0, &(IpAddr::from(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)), t.port(0)).into()), 3);
    eq!(t.read_some(fd, 9)?, b"all");
    t.shut(&[from, fd])
}

fn own_copies(t: &Test<'_>) -> Outcome {
    let (from, a, b) = (sender(t)?, receiver(t)?, receiver(t)?);
    for fd in [a, b] {
        ok!(change(t, fd, true, group(t)));
    }
    for data in [b"1", b"2"] {
        gives!(t.sendto(from, data, 0, &to(t)), 1);
    }
    for fd in [a, b] {
        eq!(t.read_some(fd, 9)?, b"1");
    }
    for fd in [b, a] {
        eq!(t.read_some(fd, 9)?, b"2");
    }
    t.shut(&[from, a, b])
}
