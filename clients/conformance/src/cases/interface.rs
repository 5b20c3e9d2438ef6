//! Interfaces: netdevice(7), if_nametoindex(3), getifaddrs(3).

use crate::{case::*, posix::*, test::*};

/// IFF_UP, IFF_LOOPBACK, IFF_RUNNING, IFF_BROADCAST, IFF_MULTICAST.
const UP: u16 = 1;
const BROADCAST: u16 = 2;
const LOOPBACK: u16 = 8;
const RUNNING: u16 = 0x40;
const MULTICAST: u16 = 0x1000;

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("SIOCGIFINDEX", "netdevice(7)", V4, index),
    Case::new("SIOCGIFNAME", "netdevice(7)", V4, name),
    Case::new("SIOCGIFFLAGS", "netdevice(7)", V4, flags),
    Case::new("SIOCGIFADDR", "netdevice(7)", V4, |t| inet(t, SIOCGIFADDR, [127, 0, 0, 1], [10, 0, 2, 15])),
    Case::new("SIOCGIFNETMASK", "netdevice(7)", V4, |t| inet(t, SIOCGIFNETMASK, [255, 0, 0, 0], [255, 255, 255, 0])),
    Case::new("SIOCGIFBRDADDR", "netdevice(7)", V4, |t| inet(t, SIOCGIFBRDADDR, [0; 4], [10, 0, 2, 255])),
    Case::new("SIOCGIFMTU", "netdevice(7)", V4, mtu),
    Case::new("SIOCGIFMETRIC", "netdevice(7)", V4, metric),
    Case::new("SIOCGIFHWADDR", "netdevice(7)", V4, hardware),
    Case::new("an interface that is none", "netdevice(7) ENODEV", INET, no_device),
    Case::new("interface requests on an IPv6 socket", "netdevice(7)", V6, by_v6),
    Case::new("SIOCSIFMTU", "netdevice(7)", &[UDP4], set_mtu),
    Case::new("SIOCSIFFLAGS takes the interface down", "netdevice(7)", &[UDP4], down),
    Case::new("if_nametoindex", "if_nametoindex(3)", ONCE, to_index),
    Case::new("if_indextoname", "if_indextoname(3) ENXIO", ONCE, to_name),
    Case::new("getifaddrs", "getifaddrs(3)", ONCE, addresses),
];

fn request(name: &str) -> [u8; 40] {
    let mut bytes = [0; 40];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

/// What comes behind the name of the interface.
fn ask(t: &Test<'_>, fd: Fd, code: u32, name: &str) -> Result<[u8; 16]> {
    let mut bytes = request(name);
    t.ioctl(fd, code, &mut bytes)?;
    let mut value = [0; 16];
    value.copy_from_slice(&bytes[16..32]);
    Ok(value)
}

fn int(value: &[u8]) -> i32 {
    i32::from_ne_bytes([value[0], value[1], value[2], value[3]])
}

fn index(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    gives!(ask(t, fd, SIOCGIFINDEX, "lo").map(|v| int(&v)), 1);
    that!(int(&ok!(ask(t, fd, SIOCGIFINDEX, "eth0"))) > 1);
    t.shut(&[fd])
}

fn name(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let mut bytes = [0; 40];
    bytes[16..20].copy_from_slice(&1i32.to_ne_bytes());
    ok!(t.ioctl(fd, SIOCGIFNAME, &mut bytes));
    eq!(&bytes[..3], b"lo\0");
    bytes[16..20].copy_from_slice(&99i32.to_ne_bytes());
    err!(t.ioctl(fd, SIOCGIFNAME, &mut bytes), ENODEV);
    t.shut(&[fd])
}

fn flags(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    for (name, set, clear) in
        [("lo", UP | LOOPBACK | RUNNING, BROADCAST), ("eth0", UP | RUNNING | BROADCAST | MULTICAST, LOOPBACK)]
    {
        let value = ok!(ask(t, fd, SIOCGIFFLAGS, name));
        let flags = u16::from_ne_bytes([value[0], value[1]]);
        eq!((flags & set, flags & clear), (set, 0));
    }
    t.shut(&[fd])
}

fn inet(t: &Test<'_>, code: u32, lo: [u8; 4], eth0: [u8; 4]) -> Outcome {
    let fd = t.sock()?;
    for (name, ip) in [("lo", lo), ("eth0", eth0)] {
        let value = ok!(ask(t, fd, code, name));
        eq!((u16::from_ne_bytes([value[0], value[1]]), &value[4..8]), (AF_INET, &ip[..]));
    }
    t.shut(&[fd])
}

fn mtu(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    gives!(ask(t, fd, SIOCGIFMTU, "lo").map(|v| int(&v)), 65_536);
    gives!(ask(t, fd, SIOCGIFMTU, "eth0").map(|v| int(&v)), 1500);
    t.shut(&[fd])
}

fn metric(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    gives!(ask(t, fd, SIOCGIFMETRIC, "lo").map(|v| int(&v)), 0);
    t.shut(&[fd])
}

fn hardware(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    // ARPHRD_LOOPBACK and ARPHRD_ETHER.
    let lo = ok!(ask(t, fd, SIOCGIFHWADDR, "lo"));
    eq!((u16::from_ne_bytes([lo[0], lo[1]]), &lo[2..8]), (772, &[0; 6][..]));
    let eth0 = ok!(ask(t, fd, SIOCGIFHWADDR, "eth0"));
    eq!((u16::from_ne_bytes([eth0[0], eth0[1]]), &eth0[2..5]), (1, &[0x52, 0x54, 0][..]));
    t.shut(&[fd])
}

fn no_device(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let of_ipv4: &[u32] = if t.v6() { &[] } else { &[SIOCGIFADDR, SIOCGIFNETMASK] };
    for code in [&[SIOCGIFINDEX, SIOCGIFFLAGS, SIOCGIFMTU, SIOCGIFHWADDR], of_ipv4].concat() {
        err!(ask(t, fd, code, "nosuch0"), ENODEV);
        err!(ask(t, fd, code, ""), ENODEV);
    }
    t.shut(&[fd])
}

fn by_v6(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    gives!(ask(t, fd, SIOCGIFINDEX, "lo").map(|v| int(&v)), 1);
    gives!(ask(t, fd, SIOCGIFMTU, "eth0").map(|v| int(&v)), 1500);
    t.shut(&[fd])
}

fn set_mtu(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let mut bytes = request("eth0");
    bytes[16..20].copy_from_slice(&1400i32.to_ne_bytes());
    ok!(t.ioctl(fd, SIOCSIFMTU, &mut bytes.clone()));
    gives!(ask(t, fd, SIOCGIFMTU, "eth0").map(|v| int(&v)), 1400);
    bytes[16..20].copy_from_slice(&10i32.to_ne_bytes());
    err!(t.ioctl(fd, SIOCSIFMTU, &mut bytes.clone()), EINVAL);
    bytes[16..20].copy_from_slice(&1500i32.to_ne_bytes());
    ok!(t.ioctl(fd, SIOCSIFMTU, &mut bytes));
    gives!(ask(t, fd, SIOCGIFMTU, "eth0").map(|v| int(&v)), 1500);
    t.shut(&[fd])
}

fn down(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    let before = ok!(ask(t, fd, SIOCGIFFLAGS, "eth0"));
    let flags = u16::from_ne_bytes([before[0], before[1]]);
    let set = |flags: u16| {
        let mut bytes = request("eth0");
        bytes[16..18].copy_from_slice(&flags.to_ne_bytes());
        t.ioctl(fd, SIOCSIFFLAGS, &mut bytes)
    };
    ok!(set(flags & !UP));
    let now = ask(t, fd, SIOCGIFFLAGS, "eth0").map(|v| v[0] & UP as u8);
    let sent = t.sendto(fd, b"x", 0, &address("10.0.2.2:9"));
    ok!(set(flags));
    gives!(now, 0);
    err!(sent, ENETUNREACH);
    t.shut(&[fd])
}

fn to_index(t: &Test<'_>) -> Outcome {
    gives!(t.if_nametoindex("lo"), 1);
    that!(ok!(t.if_nametoindex("eth0")) > 1);
    err!(t.if_nametoindex("nosuch0"), ENODEV);
    err!(t.if_nametoindex(""), ENODEV);
    Ok(())
}

fn to_name(t: &Test<'_>) -> Outcome {
    gives!(t.if_indextoname(1), "lo");
    let eth0 = ok!(t.if_nametoindex("eth0"));
    gives!(t.if_indextoname(eth0), "eth0");
    err!(t.if_indextoname(99), ENXIO);
    err!(t.if_indextoname(0), ENXIO);
    Ok(())
}

fn addresses(t: &Test<'_>) -> Outcome {
    let all = ok!(t.getifaddrs());
    let has = |name: &str, ip: &str, mask: &str| {
        let of = |text: &str| text.parse().ok();
        all.iter().any(|a| {
            a.name == name
                && a.address.as_ref().and_then(ip_of) == of(ip)
                && a.netmask.as_ref().and_then(ip_of) == of(mask)
                && a.flags & u32::from(UP) != 0
        })
    };
    that!(has("lo", "127.0.0.1", "255.0.0.0"));
    that!(has("lo", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    that!(has("eth0", "10.0.2.15", "255.255.255.0"));
    Ok(())
}
