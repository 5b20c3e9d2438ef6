//! Control data of sendmsg(2) and recvmsg(2): what comes with a datagram.

use alloc::vec::Vec;

use crate::{case::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("IP_PKTINFO tells where it arrived", "ip(7) IP_PKTINFO", &[UDP4], pktinfo),
    Case::new("IPV6_PKTINFO tells where it arrived", "RFC 3542 6.1", &[UDP6], pktinfo6),
    Case::new("IP_RECVTTL", "ip(7) IP_RECVTTL", &[UDP4], |t| number(t, IPPROTO_IP, IP_RECVTTL, IP_TTL, IP_TTL, 77)),
    Case::new("IPV6_RECVHOPLIMIT", "RFC 3542 6.3", &[UDP6], |t| {
        number(t, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, IPV6_HOPLIMIT, IPV6_UNICAST_HOPS, 77)
    }),
    Case::new("IP_RECVTOS", "ip(7) IP_RECVTOS", &[UDP4], tos),
    Case::new("IPV6_RECVTCLASS", "RFC 3542 6.5", &[UDP6], |t| {
        number(t, IPPROTO_IPV6, IPV6_RECVTCLASS, IPV6_TCLASS, IPV6_TCLASS, 0x28)
    }),
    Case::new("SO_TIMESTAMP", "socket(7) SO_TIMESTAMP", UDP, timestamp),
    Case::new("several items", "cmsg(3)", &[UDP4], several),
    Case::new("control data that has no room", "recvmsg(2) MSG_CTRUNC", &[UDP4], cut),
    Case::new("control data is not asked for", "recvmsg(2)", UDP, unasked),
    Case::new("recv drops control data", "recv(2)", UDP, dropped),
    Case::new("TTL of one datagram", "ip(7)", &[UDP4], |t| send_with(t, IPPROTO_IP, IP_RECVTTL, IP_TTL, 33)),
    Case::new("hop limit of one datagram", "RFC 3542 6.3", &[UDP6], |t| {
        send_with(t, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, IPV6_HOPLIMIT, 33)
    }),
    Case::new("traffic class of one datagram", "RFC 3542 6.5", &[UDP6], |t| {
        send_with(t, IPPROTO_IPV6, IPV6_RECVTCLASS, IPV6_TCLASS, 0x10)
    }),
    Case::new("source of one datagram", "ip(7) IP_PKTINFO", &[UDP4], source),
    Case::new("a source that is not ours", "ip(7) ENETUNREACH", &[UDP4], foreign_source),
    Case::new("unknown control data", "sendmsg(2) EINVAL", UDP, unknown),
    Case::new("control data of another level is ignored", "cmsg(3)", UDP, other_level),
    Case::new("control data with a wrong length", "sendmsg(2) EINVAL", UDP, malformed),
    Case::new("a value out of range", "sendmsg(2) EINVAL", UDP, range),
    Case::new("SCM_RIGHTS is for AF_UNIX", "sendmsg(2) EINVAL", UDP, rights),
];

fn item(level: i32, kind: i32, value: &[u8]) -> Vec<u8> {
    let mut bytes = alloc::vec![0; control::space(value.len())];
    control::put(&mut bytes, &mut 0, control::Item { level, kind, value });
    bytes
}

/// Items as (level, type, value).
type Items = Vec<(i32, i32, Vec<u8>)>;

/// Receives one datagram with its control data.
fn receive(t: &Test<'_>, fd: Fd) -> Result<(Items, u32), Failure> {
    t.wait(fd, POLLIN)?;
    let mut room = [0; 256];
    let fail = |e: Errno| Failure::new("recvmsg()", "success", e.name());
    let got = t.recvmsg(fd, &mut [&mut [0; 99]], &mut room, 0).map_err(fail)?;
    let items = control::items(&room[..got.control])
        .map(|i| i.map(|i| (i.level, i.kind, i.value.to_vec())))
        .collect::<Result<_>>()
        .map_err(fail)?;
    Ok((items, got.flags))
}

fn int(value: i32) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

fn pktinfo(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(b, IPPROTO_IP, IP_PKTINFO, 1));
    gives!(t.send(a, b"x", 0), 1);
    // Index of lo, the address here, the address in the packet.
    let value = [&int(1)[..], &[127, 0, 0, 1], &[127, 0, 0, 1]].concat();
    eq!(receive(t, b)?, (alloc::vec![(IPPROTO_IP, IP_PKTINFO, value)], 0));
    t.shut(&[a, b])
}

fn pktinfo6(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(b, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1));
    gives!(t.send(a, b"x", 0), 1);
    let mut value = alloc::vec![0; 15];
    value.push(1);
    value.extend(int(1));
    eq!(receive(t, b)?, (alloc::vec![(IPPROTO_IPV6, IPV6_PKTINFO, value)], 0));
    t.shut(&[a, b])
}

/// What option `set` makes of a datagram is told when `ask` was set.
fn number(t: &Test<'_>, level: i32, ask: i32, kind: i32, set: i32, value: i32) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(b, level, ask, 1));
    ok!(t.set_option(a, level, set, value));
    gives!(t.send(a, b"x", 0), 1);
    eq!(receive(t, b)?, (alloc::vec![(level, kind, int(value))], 0));
    ok!(t.set_option(b, level, ask, 0));
    gives!(t.send(a, b"x", 0), 1);
    eq!(receive(t, b)?, (alloc::vec![], 0));
    t.shut(&[a, b])
}

fn tos(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(b, IPPROTO_IP, IP_RECVTOS, 1));
    ok!(t.set_option(a, IPPROTO_IP, IP_TOS, 0x28));
    gives!(t.send(a, b"x", 0), 1);
    // A byte, as set.
    eq!(receive(t, b)?, (alloc::vec![(IPPROTO_IP, IP_TOS, alloc::vec![0x28])], 0));
    t.shut(&[a, b])
}

fn timestamp(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(b, SOL_SOCKET, SO_TIMESTAMP, 1));
    gives!(t.send(a, b"x", 0), 1);
    let (items, _) = receive(t, b)?;
    eq!(items.iter().map(|i| (i.0, i.1, i.2.len())).collect::<Vec<_>>(), [(SOL_SOCKET, SO_TIMESTAMP, 16)]);
    t.shut(&[a, b])
}

fn several(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(b, IPPROTO_IP, IP_PKTINFO, 1));
    ok!(t.set_option(b, IPPROTO_IP, IP_RECVTTL, 1));
    ok!(t.set_option(b, IPPROTO_IP, IP_RECVTOS, 1));
    ok!(t.set_option(b, SOL_SOCKET, SO_TIMESTAMP, 1));
    gives!(t.send(a, b"x", 0), 1);
    let (items, flags) = receive(t, b)?;
    let mut kinds: Vec<_> = items.iter().map(|i| (i.0, i.1)).collect();
    kinds.sort_unstable();
    let wanted = [(IPPROTO_IP, IP_TOS), (IPPROTO_IP, IP_TTL), (IPPROTO_IP, IP_PKTINFO), (SOL_SOCKET, SO_TIMESTAMP)];
    eq!((kinds, flags), (wanted.to_vec(), 0));
    t.shut(&[a, b])
}

fn cut(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(b, IPPROTO_IP, IP_PKTINFO, 1));
    gives!(t.send(a, b"x", 0), 1);
    gives!(t.send(a, b"y", 0), 1);
    t.wait(b, POLLIN)?;
    let got = ok!(t.recvmsg(b, &mut [&mut [0; 9]], &mut [], 0));
    eq!((got.bytes, got.control, got.flags), (1, 0, MSG_CTRUNC));
    // A part is better than nothing.
    t.wait(b, POLLIN)?;
    let mut room = [0; 20];
    let got = ok!(t.recvmsg(b, &mut [&mut [0; 9]], &mut room, 0));
    eq!((got.bytes, got.control, got.flags), (1, 20, MSG_CTRUNC));
    t.shut(&[a, b])
}

fn unasked(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.send(a, b"x", 0), 1);
    eq!(receive(t, b)?, (alloc::vec![], 0));
    t.shut(&[a, b])
}

fn dropped(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(b, SOL_SOCKET, SO_TIMESTAMP, 1));
    gives!(t.send(a, b"x", 0), 1);
    eq!(t.read_some(b, 9)?, b"x");
    gives!(t.send(a, b"y", 0), 1);
    t.wait(b, POLLIN)?;
    let (n, from) = ok!(t.recvfrom(b, &mut [0; 9], 0));
    eq!(n, 1);
    eq!(from.as_bytes(), t.lo(0).as_bytes());
    t.shut(&[a, b])
}

/// Control data of a datagram goes before the socket's option.
fn send_with(t: &Test<'_>, level: i32, ask: i32, kind: i32, value: i32) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(b, level, ask, 1));
    gives!(t.sendmsg(a, &[b"x"], None, &item(level, kind, &int(value)), 0), 1);
    eq!(receive(t, b)?, (alloc::vec![(level, kind, int(value))], 0));
    gives!(t.send(a, b"x", 0), 1);
    that!(receive(t, b)?.0 != alloc::vec![(level, kind, int(value))]);
    t.shut(&[a, b])
}

fn source(t: &Test<'_>) -> Outcome {
    let (a, b) = (t.sock()?, t.bound(1)?);
    ok!(t.bind(a, &t.any(0)));
    let info = [&int(0)[..], &[127, 0, 0, 5], &[0; 4]].concat();
    gives!(t.sendmsg(a, &[b"x"], Some(&t.lo(1)), &item(IPPROTO_IP, IP_PKTINFO, &info), 0), 1);
    t.wait(b, POLLIN)?;
    let (_, from) = ok!(t.recvfrom(b, &mut [0; 9], 0));
    eq!(ip_of(&from), Some([127, 0, 0, 5].into()));
    t.shut(&[a, b])
}

fn foreign_source(t: &Test<'_>) -> Outcome {
    let (a, b) = (t.sock()?, t.bound(1)?);
    let info = [&int(0)[..], &[192, 0, 2, 1], &[0; 4]].concat();
    err!(t.sendmsg(a, &[b"x"], Some(&t.lo(1)), &item(IPPROTO_IP, IP_PKTINFO, &info), 0), ENETUNREACH);
    t.shut(&[a, b])
}

fn own_level(t: &Test<'_>) -> i32 {
    if t.v6() { IPPROTO_IPV6 } else { IPPROTO_IP }
}

fn unknown(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    err!(t.sendmsg(a, &[b"x"], None, &item(own_level(t), 999, &int(1)), 0), EINVAL);
    err!(t.sendmsg(a, &[b"x"], None, &item(SOL_SOCKET, 999, &int(1)), 0), EINVAL);
    t.shut(&[a, b])
}

fn other_level(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    gives!(t.sendmsg(a, &[b"x"], None, &item(IPPROTO_TCP, 1, &int(1)), 0), 1);
    eq!(t.read_some(b, 9)?, b"x");
    t.shut(&[a, b])
}

fn malformed(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let mut bytes = item(own_level(t), 999, &int(1));
    for len in [0u64, 15, 1000] {
        bytes[..8].copy_from_slice(&len.to_ne_bytes());
        err!(t.sendmsg(a, &[b"x"], None, &bytes, 0), EINVAL);
    }
    t.shut(&[a, b])
}

fn range(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let kind = if t.v6() { IPV6_HOPLIMIT } else { IP_TTL };
    for value in [256, -2] {
        err!(t.sendmsg(a, &[b"x"], None, &item(own_level(t), kind, &int(value)), 0), EINVAL);
    }
    err!(t.sendmsg(a, &[b"x"], None, &item(own_level(t), kind, &[1, 0]), 0), EINVAL);
    t.shut(&[a, b])
}

fn rights(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let sent = t.sendmsg(a, &[b"x"], None, &item(SOL_SOCKET, SCM_RIGHTS, &int(a)), 0);
    // Linux takes it and forgets it.
    gives!(sent, 1);
    eq!(receive(t, b)?, (alloc::vec![], 0));
    t.shut(&[a, b])
}
