//! getsockopt(2), setsockopt(2): every option, its default, its range.

use alloc::vec::Vec;

use crate::{case::*, posix::*, test::*};

const S: i32 = SOL_SOCKET;
const T: i32 = IPPROTO_TCP;
const I: i32 = IPPROTO_IP;
const I6: i32 = IPPROTO_IPV6;
/// What any `int` but 0 becomes.
const FLAG: &[(i32, i32)] = &[(1, 1), (7, 1), (0, 0), (-1, 1)];
const NONE: &[(i32, Errno)] = &[];
const EINVAL: Errno = Errno::EINVAL;

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("SO_REUSEADDR", "socket(7)", INET, |t| int(t, S, SO_REUSEADDR, 0, FLAG, NONE)),
    Case::new("SO_REUSEPORT", "socket(7)", INET, |t| int(t, S, SO_REUSEPORT, 0, FLAG, NONE)),
    Case::new("SO_KEEPALIVE", "socket(7)", INET, |t| int(t, S, SO_KEEPALIVE, 0, FLAG, NONE)),
    Case::new("SO_BROADCAST", "socket(7)", INET, |t| int(t, S, SO_BROADCAST, 0, FLAG, NONE)),
    Case::new("SO_OOBINLINE", "socket(7)", INET, |t| int(t, S, SO_OOBINLINE, 0, FLAG, NONE)),
    Case::new("SO_DONTROUTE", "socket(7)", INET, |t| int(t, S, SO_DONTROUTE, 0, FLAG, NONE)),
    Case::new("SO_TIMESTAMP", "socket(7)", UDP, |t| int(t, S, SO_TIMESTAMP, 0, FLAG, NONE)),
    Case::new("SO_RCVLOWAT", "socket(7)", INET, |t| int(t, S, SO_RCVLOWAT, 1, &[(5, 5), (0, 1), (1, 1)], NONE)),
    Case::new("SO_SNDLOWAT cannot be set", "socket(7)", INET, |t| read_only(t, S, SO_SNDLOWAT, Some(1))),
    Case::new("SO_TYPE cannot be set", "socket(7)", INET, |t| read_only(t, S, SO_TYPE, Some(t.on.kind.into()))),
    Case::new("SO_DOMAIN cannot be set", "socket(7)", INET, |t| read_only(t, S, SO_DOMAIN, Some(t.on.family.into()))),
    Case::new("SO_PROTOCOL cannot be set", "socket(7)", INET, |t| {
        read_only(t, S, SO_PROTOCOL, Some(if t.stream() { IPPROTO_TCP } else { IPPROTO_UDP }))
    }),
    Case::new("SO_ERROR cannot be set", "socket(7)", INET, |t| read_only(t, S, SO_ERROR, Some(0))),
    Case::new("SO_SNDBUF is doubled", "socket(7)", INET, |t| buffer(t, SO_SNDBUF)),
    Case::new("SO_RCVBUF is doubled", "socket(7)", INET, |t| buffer(t, SO_RCVBUF)),
    Case::new("SO_LINGER", "socket(7)", INET, linger),
    Case::new("SO_RCVTIMEO", "socket(7)", INET, |t| timeout(t, SO_RCVTIMEO)),
    Case::new("SO_SNDTIMEO", "socket(7)", INET, |t| timeout(t, SO_SNDTIMEO)),
    Case::new("SO_BINDTODEVICE", "socket(7)", INET, bind_to_device),
    Case::new("SO_BINDTODEVICE: a port at each interface", "socket(7)", INET, port_of_device),
    Case::new("SO_BINDTODEVICE of a listener", "socket(7)", TCP, listener_of_device),
    Case::new("unknown options", "setsockopt(2) ENOPROTOOPT", INET, unknown),
    Case::new("unknown levels", "setsockopt(2) ENOPROTOOPT", INET, unknown_level),
    Case::new("options of another protocol", "setsockopt(2) ENOPROTOOPT", INET, other_protocol),
    Case::new("options of another family", "setsockopt(2) ENOPROTOOPT", V4, other_family),
    Case::new("a value cut off", "getsockopt(2)", INET, cut),
    Case::new("a value longer than needed", "setsockopt(2)", INET, long),
    Case::new("TCP_NODELAY", "tcp(7)", TCP, |t| int(t, T, TCP_NODELAY, 0, FLAG, NONE)),
    Case::new("TCP_CORK", "tcp(7)", TCP, |t| int(t, T, TCP_CORK, 0, FLAG, NONE)),
    Case::new("TCP_KEEPIDLE", "tcp(7)", TCP, |t| {
        int(t, T, TCP_KEEPIDLE, 7200, &[(1, 1), (32767, 32767)], &[(0, EINVAL), (32768, EINVAL), (-1, EINVAL)])
    }),
    Case::new("TCP_KEEPINTVL", "tcp(7)", TCP, |t| {
        int(t, T, TCP_KEEPINTVL, 75, &[(1, 1), (32767, 32767)], &[(0, EINVAL), (32768, EINVAL), (-1, EINVAL)])
    }),
    Case::new("TCP_KEEPCNT", "tcp(7)", TCP, |t| {
        int(t, T, TCP_KEEPCNT, 9, &[(1, 1), (127, 127)], &[(0, EINVAL), (128, EINVAL), (-1, EINVAL)])
    }),
    Case::new("TCP_USER_TIMEOUT", "tcp(7)", TCP, |t| {
        int(t, T, TCP_USER_TIMEOUT, 0, &[(5000, 5000), (0, 0)], &[(-1, EINVAL)])
    }),
    Case::new("TCP_MAXSEG", "tcp(7)", TCP, |t| int(t, T, TCP_MAXSEG, 536, &[], &[(1, EINVAL), (40_000, EINVAL)])),
    Case::new("TCP_MAXSEG of a connection", "tcp(7)", TCP, maxseg),
    Case::new("TCP_CONGESTION", "tcp(7)", TCP, congestion)
        .differs("Reno is the one algorithm: smoltcp's CUBIC does not compile without std (f64::powi)."),
    Case::new("TCP_INFO tells the state", "tcp(7)", TCP, info),
    Case::new("TCP_INFO tells round trips and segments", "tcp(7)", TCP, info_of_trips),
    Case::new("TCP_INFO tells the congestion window", "tcp(7)", TCP, info_of_window)
        .differs("0: smoltcp has it and does not tell; so it is with the retransmission timeout."),
    Case::new("IP_TTL", "ip(7)", V4, |t| {
        int(t, I, IP_TTL, 64, &[(1, 1), (255, 255), (-1, 64)], &[(0, EINVAL), (256, EINVAL), (-2, EINVAL)])
    }),
    Case::new("IP_TOS", "ip(7)", &[UDP4], |t| int(t, I, IP_TOS, 0, &[(0x10, 0x10), (0xb8, 0xb8), (0, 0)], NONE)),
    Case::new("IP_TOS of TCP leaves ECN alone", "ip(7)", &[TCP4], |t| {
        int(t, I, IP_TOS, 0, &[(0x10, 0x10), (0x13, 0x10), (0, 0)], NONE)
    }),
    Case::new("IP options in one byte", "ip(7)", V4, one_byte),
    Case::new("IP_PKTINFO", "ip(7)", V4, |t| int(t, I, IP_PKTINFO, 0, FLAG, NONE)),
    Case::new("IP_RECVTTL", "ip(7)", V4, |t| int(t, I, IP_RECVTTL, 0, FLAG, NONE)),
    Case::new("IP_RECVTOS", "ip(7)", V4, |t| int(t, I, IP_RECVTOS, 0, FLAG, NONE)),
    Case::new("IP_MULTICAST_TTL", "ip(7)", &[UDP4], |t| {
        int(t, I, IP_MULTICAST_TTL, 1, &[(0, 0), (255, 255), (-1, 1)], &[(256, EINVAL), (-2, EINVAL)])
    }),
    Case::new("IP_MULTICAST_TTL is not for streams", "ip(7)", &[TCP4], |t| set_refused(t, I, IP_MULTICAST_TTL, EINVAL)),
    Case::new("IP_MULTICAST_LOOP", "ip(7)", &[UDP4], |t| int(t, I, IP_MULTICAST_LOOP, 1, FLAG, NONE)),
    Case::new("IP_HDRINCL is for raw sockets", "raw(7)", V4, |t| set_refused(t, I, IP_HDRINCL, Errno::ENOPROTOOPT)),
    Case::new("IP_MTU needs a peer", "ip(7) ENOTCONN", V4, |t| no_mtu(t, I, IP_MTU)),
    Case::new("IP_MTU of a route", "ip(7)", &[UDP4], |t| mtu(t, I, IP_MTU, "10.0.2.2:9", 1500)),
    Case::new("IP_MTU of loopback", "ip(7)", &[UDP4], |t| mtu(t, I, IP_MTU, "127.0.0.1:9", 65_535)),
    Case::new("IPV6_MTU of loopback", "ipv6(7)", &[UDP6], |t| mtu(t, I6, IPV6_MTU, "[::1]:9", 65_536)),
    Case::new("IP options on an IPv6 socket", "ip(7)", V6, |t| int(t, I, IP_TTL, 64, &[(9, 9)], &[(0, EINVAL)])),
    Case::new("IPV6_V6ONLY", "ipv6(7)", V6, |t| int(t, I6, IPV6_V6ONLY, 0, FLAG, NONE)),
    Case::new("IPV6_V6ONLY after bind", "ipv6(7) EINVAL", V6, v6only_late),
    Case::new("IPV6_UNICAST_HOPS", "ipv6(7)", V6, |t| {
        int(t, I6, IPV6_UNICAST_HOPS, 64, &[(1, 1), (0, 0), (255, 255), (-1, 64)], &[(256, EINVAL), (-2, EINVAL)])
    }),
    Case::new("IPV6_UNICAST_HOPS of 0 within the host", "ipv6(7)", V6, no_hops),
    Case::new("IPV6_MULTICAST_HOPS", "ipv6(7)", &[UDP6], |t| {
        int(t, I6, IPV6_MULTICAST_HOPS, 1, &[(0, 0), (255, 255), (-1, 1)], &[(256, EINVAL), (-2, EINVAL)])
    }),
    Case::new("IPV6_MULTICAST_LOOP", "ipv6(7)", &[UDP6], |t| {
        int(t, I6, IPV6_MULTICAST_LOOP, 1, &[(0, 0), (1, 1)], &[(2, EINVAL), (-1, EINVAL)])
    }),
    Case::new("IPV6_MULTICAST_IF", "ipv6(7)", &[UDP6], |t| {
        int(t, I6, IPV6_MULTICAST_IF, 0, &[(1, 1), (0, 0)], &[(99, Errno::ENODEV)])
    }),
    Case::new("IPV6_TCLASS", "ipv6(7)", &[UDP6], |t| {
        int(t, I6, IPV6_TCLASS, 0, &[(0x10, 0x10), (255, 255), (-1, 0)], &[(256, EINVAL), (-2, EINVAL)])
    }),
    Case::new("IPV6_RECVPKTINFO", "ipv6(7)", V6, |t| int(t, I6, IPV6_RECVPKTINFO, 0, FLAG, NONE)),
    Case::new("IPV6_RECVHOPLIMIT", "ipv6(7)", V6, |t| int(t, I6, IPV6_RECVHOPLIMIT, 0, FLAG, NONE)),
    Case::new("IPV6_RECVTCLASS", "ipv6(7)", V6, |t| int(t, I6, IPV6_RECVTCLASS, 0, FLAG, NONE)),
    Case::new("IPV6_MTU needs a peer", "ipv6(7) ENOTCONN", V6, |t| no_mtu(t, I6, IPV6_MTU)),
];

/// A hop limit of 0 lets nothing out of the host, and all through within it.
fn no_hops(t: &Test<'_>) -> Outcome {
    for (n, late) in [(0, false), (1, true)] {
        let (b, a) = (if t.stream() { t.listener(n)? } else { t.bound(n)? }, t.sock()?);
        if !late {
            ok!(t.set_option(a, I6, IPV6_UNICAST_HOPS, 0));
            ok!(t.set_option(b, I6, IPV6_UNICAST_HOPS, 0));
        }
        t.join(a, &t.lo(n))?;
        if late {
            ok!(t.set_option(a, I6, IPV6_UNICAST_HOPS, 0));
        }
        gives!(t.send(a, b"hello", 0), 5);
        let end = if t.stream() { t.take(b)? } else { b };
        eq!(t.read_some(end, 9)?, b"hello");
        if t.stream() {
            gives!(t.option(end, I6, IPV6_UNICAST_HOPS), if late { 64 } else { 0 });
            gives!(t.send(end, b"you", 0), 3);
            eq!(t.read_some(a, 9)?, b"you");
            t.shut(&[end])?;
        }
        t.shut(&[a, b])?;
    }
    Ok(())
}

/// An option of a number: default, values that can be set and what they read
/// as, values that cannot, and lengths.
fn int(t: &Test<'_>, level: i32, name: i32, default: i32, good: &[(i32, i32)], bad: &[(i32, Errno)]) -> Outcome {
    let fd = t.sock()?;
    let mut last = default;
    gives!(t.option(fd, level, name), default);
    for (set, get) in good {
        ok!(t.set_option(fd, level, name, *set));
        gives!(t.option(fd, level, name), *get);
        last = *get;
    }
    for (set, errno) in bad {
        err!(t.set_option(fd, level, name, *set), = *errno);
    }
    if level == S || level == T {
        err!(t.setsockopt(fd, level, name, &[1, 0, 0]), EINVAL);
    }
    let multicast = matches!(name, IP_MULTICAST_TTL | IP_MULTICAST_LOOP);
    if level == I && !multicast && !bad.iter().any(|(value, _)| *value == 0) {
        // Linux takes no bytes for a zero.
        ok!(t.setsockopt(fd, level, name, &[]));
        last = 0;
    } else {
        err!(t.setsockopt(fd, level, name, &[]), EINVAL);
    }
    // None of the refused ones changed anything.
    gives!(t.option(fd, level, name), last);
    t.shut(&[fd])
}

fn read_only(t: &Test<'_>, level: i32, name: i32, value: Option<i32>) -> Outcome {
    let fd = t.sock()?;
    if let Some(value) = value {
        gives!(t.option(fd, level, name), value);
    }
    err!(t.set_option(fd, level, name, 1), ENOPROTOOPT);
    t.shut(&[fd])
}

fn set_refused(t: &Test<'_>, level: i32, name: i32, errno: Errno) -> Outcome {
    let fd = t.sock()?;
    err!(t.set_option(fd, level, name, 1), = errno);
    t.shut(&[fd])
}

fn buffer(t: &Test<'_>, name: i32) -> Outcome {
    let fd = t.sock()?;
    that!(ok!(t.option(fd, S, name)) >= 8192);
    ok!(t.set_option(fd, S, name, 20_000));
    gives!(t.option(fd, S, name), 40_000);
    // There is a least size.
    ok!(t.set_option(fd, S, name, 1));
    let least = if name == SO_SNDBUF { 4608 } else { 2304 };
    gives!(t.option(fd, S, name), least);
    err!(t.setsockopt(fd, S, name, &[1, 0]), EINVAL);
    t.shut(&[fd])
}

fn linger(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let pair = |on: i32, seconds: i32| [on.to_ne_bytes(), seconds.to_ne_bytes()].concat();
    let mut value = [9; 8];
    gives!(t.getsockopt(fd, S, SO_LINGER, &mut value), 8);
    eq!(value[..], pair(0, 0)[..]);
    ok!(t.setsockopt(fd, S, SO_LINGER, &pair(7, 30)));
    gives!(t.getsockopt(fd, S, SO_LINGER, &mut value), 8);
    eq!(value[..], pair(1, 30)[..]);
    ok!(t.setsockopt(fd, S, SO_LINGER, &pair(0, 30)));
    gives!(t.getsockopt(fd, S, SO_LINGER, &mut value), 8);
    eq!(value[..4], pair(0, 0)[..4]);
    err!(t.setsockopt(fd, S, SO_LINGER, &[0; 7]), EINVAL);
    err!(t.setsockopt(fd, S, SO_LINGER, &[0; 4]), EINVAL);
    t.shut(&[fd])
}

fn timeval(seconds: i64, micros: i64) -> Vec<u8> {
    [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat()
}

fn timeout(t: &Test<'_>, name: i32) -> Outcome {
    let fd = t.sock()?;
    let mut value = [9; 16];
    gives!(t.getsockopt(fd, S, name, &mut value), 16);
    eq!(value[..], timeval(0, 0)[..]);
    ok!(t.setsockopt(fd, S, name, &timeval(3, 500_000)));
    gives!(t.getsockopt(fd, S, name, &mut value), 16);
    eq!(value[..], timeval(3, 500_000)[..]);
    err!(t.setsockopt(fd, S, name, &timeval(0, 1_000_000)), EDOM);
    err!(t.setsockopt(fd, S, name, &timeval(0, -1)), EDOM);
    err!(t.setsockopt(fd, S, name, &[0; 15]), EINVAL);
    err!(t.set_option(fd, S, name, 1), EINVAL);
    gives!(t.getsockopt(fd, S, name, &mut value), 16);
    eq!(value[..], timeval(3, 500_000)[..]);
    ok!(t.setsockopt(fd, S, name, &timeval(0, 0)));
    gives!(t.getsockopt(fd, S, name, &mut value), 16);
    eq!(value[..], timeval(0, 0)[..]);
    t.shut(&[fd])
}

fn bind_to_device(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let mut value = [0; 16];
    gives!(t.getsockopt(fd, S, SO_BINDTODEVICE, &mut value), 0);
    ok!(t.setsockopt(fd, S, SO_BINDTODEVICE, b"lo\0"));
    gives!(t.getsockopt(fd, S, SO_BINDTODEVICE, &mut value), 3);
    eq!(&value[..3], b"lo\0");
    err!(t.setsockopt(fd, S, SO_BINDTODEVICE, b"nosuch0\0"), ENODEV);
    ok!(t.setsockopt(fd, S, SO_BINDTODEVICE, b"eth0\0"));
    ok!(t.setsockopt(fd, S, SO_BINDTODEVICE, b"\0"));
    gives!(t.getsockopt(fd, S, SO_BINDTODEVICE, &mut value), 0);
    t.shut(&[fd])
}

/// One that is bound to the case's first port at an interface.
fn at_device(t: &Test<'_>, device: &[u8]) -> Result<Fd, Failure> {
    let fd = t.sock()?;
    ok!(t.setsockopt(fd, S, SO_BINDTODEVICE, device));
    ok!(t.bind(fd, &t.any(0)));
    Ok(fd)
}

fn port_of_device(t: &Test<'_>) -> Outcome {
    let (far, near) = (at_device(t, b"eth0\0")?, at_device(t, b"lo\0")?);
    let more = t.sock()?;
    err!(t.bind(more, &t.any(0)), EADDRINUSE);
    ok!(t.setsockopt(more, S, SO_BINDTODEVICE, b"lo\0"));
    err!(t.bind(more, &t.any(0)), EADDRINUSE);
    t.shut(&[near])?;
    ok!(t.bind(more, &t.any(0)));
    t.shut(&[far, more])
}

fn listener_of_device(t: &Test<'_>) -> Outcome {
    let far = at_device(t, b"eth0\0")?;
    ok!(t.listen(far, 4));
    let client = t.waiting_sock()?;
    err!(t.connect(client, &t.lo(0)), ECONNREFUSED);
    let near = at_device(t, b"lo\0")?;
    ok!(t.listen(near, 4));
    ok!(t.connect(client, &t.lo(0)));
    let server = t.take(near)?;
    that!(t.ready(far, POLLIN)? == 0);
    t.shut(&[far, near, client, server])
}

fn unknown(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let own = if t.stream() { IPPROTO_TCP } else { IPPROTO_UDP };
    let ip = if t.v6() { IPPROTO_IPV6 } else { IPPROTO_IP };
    for level in [S, own, ip] {
        for name in [999, 0x7fff_ffff, -1] {
            err!(t.set_option(fd, level, name, 1), ENOPROTOOPT);
            err!(t.option(fd, level, name), ENOPROTOOPT);
        }
    }
    t.shut(&[fd])
}

fn unknown_level(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    for level in [12_345, -1] {
        err!(t.set_option(fd, level, 1, 1), ENOPROTOOPT);
        let got = t.option(fd, level, 1);
        // Linux, by way of its older code for IPv4.
        err!(got, = if t.v6() { Errno::ENOPROTOOPT } else { Errno::EOPNOTSUPP });
    }
    t.shut(&[fd])
}

fn other_protocol(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let (level, name) = if t.stream() { (IPPROTO_UDP, 1) } else { (IPPROTO_TCP, TCP_NODELAY) };
    err!(t.set_option(fd, level, name, 1), ENOPROTOOPT);
    t.shut(&[fd])
}

fn other_family(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    err!(t.set_option(fd, I6, IPV6_V6ONLY, 1), ENOPROTOOPT);
    err!(t.set_option(fd, SOL_PACKET, 1, 1), ENOPROTOOPT);
    err!(t.set_option(fd, SOL_RAW, ICMP_FILTER, 1), ENOPROTOOPT);
    t.shut(&[fd])
}

fn cut(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let mut value = [9; 8];
    gives!(t.getsockopt(fd, S, SO_TYPE, &mut value[..2]), 2);
    eq!(value[..4], [t.on.kind as u8, 0, 9, 9]);
    gives!(t.getsockopt(fd, S, SO_TYPE, &mut value), 4);
    eq!(value[4..], [9; 4]);
    gives!(t.getsockopt(fd, S, SO_TYPE, &mut []), 0);
    t.shut(&[fd])
}

fn long(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.setsockopt(fd, S, SO_REUSEADDR, &[1, 0, 0, 0, 99, 99]));
    gives!(t.option(fd, S, SO_REUSEADDR), 1);
    t.shut(&[fd])
}

fn maxseg(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    // Within the host no wire cuts it.
    that!(ok!(t.option(a, T, TCP_MAXSEG)) >= 16_000);
    t.shut(&[a, b])?;
    let fd = t.sock()?;
    ok!(t.set_option(fd, T, TCP_MAXSEG, 1000));
    t.shut(&[fd])
}

fn congestion(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let mut value = [0; 16];
    gives!(t.getsockopt(fd, T, TCP_CONGESTION, &mut value), 16);
    // Linux has what its administrator chose.
    that!(t.by_world(value[0] != 0, value.starts_with(b"reno\0")));
    ok!(t.setsockopt(fd, T, TCP_CONGESTION, b"reno"));
    gives!(t.getsockopt(fd, T, TCP_CONGESTION, &mut value), 16);
    eq!(&value[..5], b"reno\0");
    err!(t.setsockopt(fd, T, TCP_CONGESTION, b"nosuch"), ENOENT);
    err!(t.setsockopt(fd, T, TCP_CONGESTION, b""), EINVAL);
    t.shut(&[fd])
}

fn info(t: &Test<'_>) -> Outcome {
    let state = |fd: Fd| {
        let mut value = [0; 256];
        let n = t.getsockopt(fd, T, TCP_INFO, &mut value)?;
        if n < 104 { Err(Errno::EIO) } else { Ok(value[0]) }
    };
    let fresh = t.sock()?;
    gives!(state(fresh), 7);
    err!(t.set_option(fresh, T, TCP_INFO, 1), ENOPROTOOPT);
    let listener = t.listener(5)?;
    gives!(state(listener), 10);
    let (a, b) = t.pair()?;
    gives!(state(a), 1);
    gives!(state(b), 1);
    ok!(t.shutdown(a, SHUT_WR));
    t.wait(b, POLLIN)?;
    t.settle()?;
    // Closed, and acknowledged soon.
    that!(matches!(state(a), Ok(4 | 5)));
    gives!(state(b), 8);
    // A prefix is enough for who wants the state only.
    let mut one = [0];
    gives!(t.getsockopt(b, T, TCP_INFO, &mut one), 1);
    eq!(one, [8]);
    t.shut(&[fresh, listener, a, b])
}

/// Words of a `struct tcp_info`, after data went from the one to the other and back.
fn info_after_data(t: &Test<'_>, at: &[usize]) -> Result<Vec<u32>, Failure> {
    let (a, b) = t.pair()?;
    for (from, to) in [(a, b), (b, a)] {
        gives!(t.send(from, &[7; 100], 0), 100);
        t.read_exactly(to, 100)?;
    }
    let mut value = [0; 256];
    ok!(t.getsockopt(a, T, TCP_INFO, &mut value));
    t.shut(&[a, b])?;
    Ok(at.iter().map(|at| u32::from_ne_bytes([0, 1, 2, 3].map(|i| value[at + i]))).collect())
}

fn info_of_trips(t: &Test<'_>) -> Outcome {
    // tcpi_rtt, tcpi_total_retrans, tcpi_segs_out, tcpi_segs_in.
    let words = info_after_data(t, &[68, 100, 136, 140])?;
    that!((1..1_000_000).contains(&words[0]));
    eq!(words[1], 0);
    that!(words[2] >= 2 && words[3] >= 2);
    Ok(())
}

fn info_of_window(t: &Test<'_>) -> Outcome {
    let words = info_after_data(t, &[80])?;
    eq!(words[0] != 0, t.by_world(true, false));
    Ok(())
}

fn one_byte(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.setsockopt(fd, I, IP_TTL, &[9]));
    gives!(t.option(fd, I, IP_TTL), 9);
    err!(t.setsockopt(fd, I, IP_TTL, &[0]), EINVAL);
    // What fits in a byte is given in one, if no more is asked for.
    let mut one = [0];
    gives!(t.getsockopt(fd, I, IP_TTL, &mut one), 1);
    eq!(one, [9]);
    t.shut(&[fd])
}

fn no_mtu(t: &Test<'_>, level: i32, name: i32) -> Outcome {
    let fd = t.sock()?;
    err!(t.option(fd, level, name), ENOTCONN);
    t.shut(&[fd])
}

fn mtu(t: &Test<'_>, level: i32, name: i32, to: &str, bytes: i32) -> Outcome {
    let fd = t.sock()?;
    ok!(t.connect(fd, &address(to)));
    gives!(t.option(fd, level, name), bytes);
    t.shut(&[fd])
}

fn v6only_late(t: &Test<'_>) -> Outcome {
    let fd = t.bound(0)?;
    err!(t.set_option(fd, I6, IPV6_V6ONLY, 1), EINVAL);
    t.shut(&[fd])
}
