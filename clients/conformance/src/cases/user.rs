//! What a component may do that was granted nothing, as a process of a normal
//! user on Linux: the default of [`policy`](strait_abi::policy), but for the
//! destinations and chosen ports that `tools/conformance.py` bounds.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::{case::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("a privileged port", "bind(2) EACCES, ip(7)", INET, privileged),
    Case::new("raw sockets", "raw(7) EPERM", RAW, raw),
    Case::new("frame sockets", "packet(7) EPERM", ONCE, frames),
    Case::new("echo sockets", "icmp(7)", PING, echo),
    Case::new("interfaces can be asked", "netdevice(7)", V4, questions),
    Case::new("interfaces and routes stay as they are", "netdevice(7) EPERM", V4, changes),
    Case::new("no descriptor is left", "socket(2) EMFILE", INET, no_socket),
    Case::new("no descriptor is left for a pair", "socketpair(2) EMFILE", UNIX, no_pair),
    Case::new("no descriptor is left for a connection", "accept(2) EMFILE", TCP, no_accept),
    Case::new("a destination that is not granted", "connect(2), send(2)", V4, destination)
        .differs("strait.toml says whom a component may reach: EACCES otherwise, as a rule of Landlock gives"),
    Case::new("more chosen ports than granted", "bind(2) EADDRINUSE", INET, ephemeral)
        .differs("strait.toml can bound the ports that are chosen for a component: one more is as if none were left"),
];

/// As `tools/conformance.py` has it.
const EPHEMERAL: usize = 12;

fn privileged(t: &Test<'_>) -> Outcome {
    let at = |ip: IpAddr, port: u16| Address::from((ip, port));
    for ip in [t.unspecified(), t.loopback()] {
        for port in [1, 80, 1023] {
            let fd = t.sock()?;
            err!(t.bind(fd, &at(ip, port)), EACCES);
            // It is as it was.
            ok!(t.bind(fd, &at(ip, 0)));
            t.shut(&[fd])?;
        }
    }
    let fd = t.sock()?;
    ok!(t.bind(fd, &at(t.loopback(), 1024)));
    t.shut(&[fd])
}

fn raw(t: &Test<'_>) -> Outcome {
    let On { family, protocol, .. } = t.on;
    err!(t.socket(family, SOCK_RAW.into(), protocol), EPERM);
    err!(t.socket(family, SOCK_RAW.into(), 255), EPERM);
    // What is wrong anyhow goes before.
    err!(t.socket(family, SOCK_RAW.into(), 0), EPROTONOSUPPORT);
    Ok(())
}

fn frames(t: &Test<'_>) -> Outcome {
    err!(t.socket(AF_PACKET, SOCK_RAW.into(), 3u16.to_be()), EPERM);
    err!(t.socket(AF_PACKET, SOCK_DGRAM.into(), 3u16.to_be()), EPERM);
    Ok(())
}

fn echo(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    ok!(t.bind(fd, &(t.loopback(), 0).into()));
    t.shut(&[fd])
}

/// A `struct ifreq` (40 bytes) or the beginning of a `struct rtentry` (120).
fn request(name: &str) -> [u8; 120] {
    let mut bytes = [0; 120];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

fn questions(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    for question in [SIOCGIFADDR, SIOCGIFFLAGS, SIOCGIFMTU, SIOCGIFHWADDR, SIOCGIFNETMASK, SIOCGIFBRDADDR] {
        ok!(t.ioctl(fd, question, &mut request("eth0")));
    }
    t.shut(&[fd])
}

fn changes(t: &Test<'_>) -> Outcome {
    const CHANGES: [u32; 8] =
        [SIOCSIFADDR, SIOCSIFFLAGS, SIOCSIFMTU, SIOCSIFHWADDR, SIOCSIFNETMASK, SIOCSIFBRDADDR, SIOCADDRT, SIOCDELRT];
    let fd = t.sock()?;
    for change in CHANGES {
        for name in ["eth0", "none0"] {
            err!(t.ioctl(fd, change, &mut request(name)), EPERM);
        }
    }
    t.shut(&[fd])
}

/// As many sockets as there can be; why there are no more.
fn fill(t: &Test<'_>) -> Result<(Vec<Fd>, Errno), Failure> {
    let mut all = Vec::new();
    while all.len() < 2000 {
        match t.socket(t.on.family, t.on.kind.into(), t.on.protocol) {
            Ok(fd) => all.push(fd),
            Err(e) => return Ok((all, e)),
        }
    }
    t.shut(&all)?;
    Err(Failure::new("socket() again and again", "an end", "2000 sockets"))
}

fn no_socket(t: &Test<'_>) -> Outcome {
    let (all, why) = fill(t)?;
    eq!(why, Errno::EMFILE);
    that!(all.len() > 8);
    t.shut(&all[..1])?;
    let again = t.sock()?;
    t.shut(&all[1..])?;
    t.shut(&[again])
}

fn no_pair(t: &Test<'_>) -> Outcome {
    let (all, why) = fill(t)?;
    eq!(why, Errno::EMFILE);
    let pair = || t.socketpair(AF_UNIX, t.on.kind.into(), t.on.protocol);
    err!(pair(), EMFILE);
    t.shut(&all[..1])?;
    // One is not enough, and is not lost.
    err!(pair(), EMFILE);
    t.shut(&all[1..2])?;
    let (a, b) = ok!(pair());
    t.shut(&all[2..])?;
    t.shut(&[a, b])
}

fn no_accept(t: &Test<'_>) -> Outcome {
    let (listener, client) = (t.listener(0)?, t.sock()?);
    t.join(client, &t.lo(0))?;
    t.wait(listener, POLLIN)?;
    let (all, _) = fill(t)?;
    err!(t.accept4(listener, 0), EMFILE);
    // It waits on.
    t.shut(&all)?;
    let server = t.take(listener)?;
    t.shut(&[listener, client, server])
}

fn destination(t: &Test<'_>) -> Outcome {
    let there = address("10.0.2.99:9");
    let fd = t.sock()?;
    let on_linux = if t.stream() { Err(Errno::EINPROGRESS) } else { Ok(()) };
    eq!(t.connect(fd, &there), t.by_world(on_linux, Err(Errno::EACCES)));
    t.shut(&[fd])?;
    if !t.stream() {
        let fd = t.sock()?;
        eq!(t.sendto(fd, b"x", 0, &there), t.by_world(Ok(1), Err(Errno::EACCES)));
        eq!(t.sendmsg(fd, &[b"x"], Some(&there), &[], 0), t.by_world(Ok(1), Err(Errno::EACCES)));
        t.shut(&[fd])?;
    }
    // What is granted.
    let fd = t.sock()?;
    t.join(fd, &address("10.0.2.15:9")).or_else(|e| if t.stream() { Ok(()) } else { Err(e) })?;
    t.shut(&[fd])
}

fn ephemeral(t: &Test<'_>) -> Outcome {
    let mut all = Vec::new();
    for _ in 0..EPHEMERAL {
        let fd = t.sock()?;
        ok!(t.bind(fd, &(t.loopback(), 0).into()));
        all.push(fd);
    }
    let fd = t.sock()?;
    eq!(t.bind(fd, &(t.loopback(), 0).into()), t.by_world(Ok(()), Err(Errno::EADDRINUSE)));
    t.shut(&all)?;
    t.shut(&[fd])
}
