//! Addresses of all families and lengths, and which of loopback's mean what.

use core::net::{IpAddr, Ipv4Addr};

use crate::{case::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("addresses of all families and lengths", "bind(2), connect(2), send(2)", INET, forms),
    Case::new("addresses of raw sockets", "raw(7)", RAW, raw_forms),
    Case::new("addresses of echo sockets", "icmp(7)", PING, ping_forms),
    Case::new("everyone on loopback", "RFC 1122 3.2.1.3", V4, loopback_broadcast),
    Case::new("from loopback to others", "RFC 1122 3.2.1.3 EINVAL", V4, from_loopback),
    Case::new("from ::1 to others", "RFC 4291 2.5.3", &[UDP6], from_loopback6)
        .differs("an address of loopback leaves the host on Linux, against the RFC; here it does not"),
];

/// Families and lengths of addresses.
const FAMILIES: [u16; 5] = [AF_UNSPEC, AF_INET, AF_INET6, AF_UNIX, 99];
const LENGTHS: [usize; 9] = [1, 2, 15, 16, 23, 24, 27, 28, 128];

/// What a call on a new socket gives with each address of all families and
/// lengths; `want` says what of family and length.
fn each_form(
    t: &Test<'_>,
    port: u16,
    call: fn(&Test<'_>, Fd, &Address) -> Result<()>,
    want: impl Fn(u16, usize) -> Result<()>,
) -> Outcome {
    for family in FAMILIES {
        for len in LENGTHS {
            let mut bytes = resized(&(t.loopback(), port).into(), 128).as_bytes().to_vec();
            bytes[..2].copy_from_slice(&family.to_ne_bytes());
            let fd = t.sock()?;
            let (got, wanted) = (call(t, fd, &raw_address(&bytes[..len])), want(family, len));
            if got != wanted {
                return Err(Failure::new(alloc::format!("family {family}, {len} bytes"), told(&wanted), told(&got)));
            }
            t.shut(&[fd])?;
        }
    }
    Ok(())
}

fn binds(t: &Test<'_>, fd: Fd, address: &Address) -> Result<()> {
    t.bind(fd, address)
}

fn connects(t: &Test<'_>, fd: Fd, address: &Address) -> Result<()> {
    match t.connect(fd, address) {
        Err(Errno::EINPROGRESS) => Ok(()),
        other => other,
    }
}

fn sends(t: &Test<'_>, fd: Fd, address: &Address) -> Result<()> {
    // An echo request, for those who send nothing else.
    let data = [if t.v6() { 128 } else { 8 }, 0, 0, 0, 0, 0, 0, 0];
    t.sendto(fd, &data, 0, address).map(|_| ())
}

/// The bytes that an address of the socket has at least, and its family.
fn least(t: &Test<'_>) -> (usize, u16) {
    (if t.v6() { 24 } else { 16 }, t.on.family)
}

fn plain(t: &Test<'_>) -> impl Fn(u16, usize) -> Result<()> {
    let (least, own) = least(t);
    move |family, len| match family {
        _ if len < least => Err(Errno::EINVAL),
        _ if family == own => Ok(()),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

fn connecting(t: &Test<'_>) -> impl Fn(u16, usize) -> Result<()> {
    let (plain, dual) = (plain(t), t.v6() && !t.stream());
    move |family, len| match family {
        _ if len < 2 => Err(Errno::EINVAL),
        AF_UNSPEC => Ok(()),
        AF_INET if dual => {
            if len < 16 {
                Err(Errno::EINVAL)
            } else {
                Ok(())
            }
        }
        _ => plain(family, len),
    }
}

fn forms(t: &Test<'_>) -> Outcome {
    each_form(t, t.port(0), binds, plain(t))?;
    each_form(t, t.port(0), connects, connecting(t))?;
    let (plain, v6) = (plain(t), t.v6());
    match (t.stream(), v6) {
        (true, _) => each_form(t, t.port(0), sends, |_, _| Err(Errno::EPIPE)),
        (false, false) => each_form(t, t.port(0), sends, |family, len| match family {
            AF_UNSPEC => plain(AF_INET, len),
            _ => plain(family, len),
        }),
        (false, true) => each_form(t, t.port(0), sends, |family, len| match family {
            _ if len < 2 => Err(Errno::EINVAL),
            AF_UNSPEC => Err(Errno::EDESTADDRREQ),
            AF_INET if len >= 16 => Ok(()),
            AF_INET6 if len >= 24 => Ok(()),
            _ => Err(Errno::EINVAL),
        }),
    }?;
    // One of no length is none that is right.
    let fd = t.sock()?;
    match t.stream() {
        true => err!(t.sendto(fd, b"x", 0, &Address::EMPTY), EPIPE),
        false => err!(t.sendto(fd, b"x", 0, &Address::EMPTY), EINVAL),
    }
    t.shut(&[fd])
}

/// Of sockets that speak one version only: its family is looked at first.
fn connecting_one(t: &Test<'_>) -> impl Fn(u16, usize) -> Result<()> {
    let (connecting, v6) = (plain(t), t.v6());
    move |family, len| match family {
        _ if len < 2 => Err(Errno::EINVAL),
        AF_UNSPEC => Ok(()),
        _ if v6 && family != AF_INET6 => Err(Errno::EAFNOSUPPORT),
        _ => connecting(family, len),
    }
}

fn raw_forms(t: &Test<'_>) -> Outcome {
    let (plain, v6, (least, own)) = (plain(t), t.v6(), least(t));
    each_form(t, 0, binds, |family, len| match family {
        _ if len < least || v6 && family != own => Err(Errno::EINVAL),
        _ => Ok(()),
    })?;
    each_form(t, 0, connects, connecting_one(t))?;
    each_form(t, 0, sends, |family, len| match family {
        AF_UNSPEC => plain(own, len),
        _ => plain(family, len),
    })
}

fn ping_forms(t: &Test<'_>) -> Outcome {
    let (plain, v6) = (plain(t), t.v6());
    let whole = |family, len| if v6 && len < 28 { Err(Errno::EINVAL) } else { plain(family, len) };
    each_form(t, 0, binds, whole)?;
    each_form(t, 0, connects, connecting_one(t))?;
    each_form(t, 0, sends, whole)
}

fn loopback_broadcast(t: &Test<'_>) -> Outcome {
    let to: Address = (IpAddr::V4(Ipv4Addr::new(127, 255, 255, 255)), t.port(0)).into();
    let fd = t.sock()?;
    if t.stream() {
        err!(t.connect(fd, &to), ENETUNREACH);
        return t.shut(&[fd]);
    }
    let peers = [t.sock()?, t.sock()?];
    for peer in peers {
        ok!(t.set_option(peer, SOL_SOCKET, SO_REUSEADDR, 1));
        ok!(t.bind(peer, &t.any(0)));
    }
    err!(t.sendto(fd, b"x", 0, &to), EACCES);
    ok!(t.set_option(fd, SOL_SOCKET, SO_BROADCAST, 1));
    gives!(t.sendto(fd, b"x", 0, &to), 1);
    for peer in peers {
        eq!(t.read_some(peer, 9)?, b"x");
    }
    t.shut(&[fd, peers[0], peers[1]])
}

fn from_loopback(t: &Test<'_>) -> Outcome {
    let fd = t.bound(0)?;
    if !t.stream() {
        err!(t.sendto(fd, b"x", 0, &address("10.0.2.2:9")), EINVAL);
    }
    err!(t.connect(fd, &address("10.0.2.2:9")), EINVAL);
    err!(t.connect(fd, &address("8.8.8.8:9")), EINVAL);
    t.shut(&[fd])
}

fn from_loopback6(t: &Test<'_>) -> Outcome {
    let fd = t.bound(0)?;
    let mut bytes = Address::from((IpAddr::from([0xff02, 0, 0, 0, 0, 0, 0, 1]), 9)).as_bytes().to_vec();
    bytes[24..28].copy_from_slice(&ok!(t.if_nametoindex("eth0")).to_ne_bytes());
    let sent = t.sendto(fd, b"x", 0, &raw_address(&bytes));
    eq!(sent.is_ok(), t.by_world(true, false));
    t.shut(&[fd])
}
