//! Requests on interfaces and routes (netdevice(7)); expectations are Linux'.

extern crate std;

use std::{string::String, vec, vec::Vec};

use strait_abi::{
    Errno,
    interface::{Entry, IFF_RUNNING, IFF_UP},
    net::Request,
    socket as c,
};

use super::world::{ClientSocket, SERVER_MAC, World};

fn ioctl(w: &mut World, s: &ClientSocket, request: u32, argument: &[u8]) -> Result<Vec<u8>, Errno> {
    w.call(&Request::Ioctl { socket: s.handle, request, argument }).map(|(_, bytes)| bytes)
}

fn ifreq(name: &str, value: &[u8]) -> Vec<u8> {
    let mut r = vec![0; 40];
    r[..name.len()].copy_from_slice(name.as_bytes());
    r[16..16 + value.len()].copy_from_slice(value);
    r
}

fn get(w: &mut World, s: &ClientSocket, request: u32, name: &str) -> Result<Vec<u8>, Errno> {
    ioctl(w, s, request, &ifreq(name, &[0xaa; 24])).map(|r| {
        assert_eq!(r.len(), 40);
        r[16..].to_vec()
    })
}

fn sockaddr(ip: [u8; 4]) -> Vec<u8> {
    [&[2, 0, 0, 0][..], &ip].concat()
}

fn rtentry(to: [u8; 4], mask: [u8; 4], gateway: Option<[u8; 4]>) -> Vec<u8> {
    let mut r = vec![0; 120];
    r[8..16].copy_from_slice(&sockaddr(to));
    r[40..48].copy_from_slice(&sockaddr(mask));
    r[56] = 1;
    if let Some(gateway) = gateway {
        r[24..32].copy_from_slice(&sockaddr(gateway));
        r[56] = 3;
    }
    r
}

fn entries(w: &mut World) -> Vec<(u32, String, Vec<u8>, u8)> {
    let (count, _) = w.call(&Request::Interface { at: 0 }).unwrap();
    let all = (0..count as u16).map(|at| {
        let (_, bytes) = w.call(&Request::Interface { at }).unwrap();
        let e = Entry::decode(&bytes).unwrap();
        (e.index, e.name.into(), e.address.to_vec(), e.prefix)
    });
    let all = all.collect();
    assert_eq!(w.call(&Request::Interface { at: count as u16 }).unwrap().1, []);
    all
}

fn arp_reply(ip: [u8; 4]) -> Vec<u8> {
    let mut frame = SERVER_MAC.to_vec();
    frame.extend([2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 9]);
    frame.extend(ip);
    frame.extend(SERVER_MAC);
    frame.extend([192, 168, 7, 9]);
    frame
}

#[test]
fn what_interfaces_are() {
    let mut w = World::fresh();
    for s in [w.socket(c::SOCK_DGRAM), w.socket(c::SOCK_STREAM)] {
        for (name, index, flags, mtu, kind, address, mask) in [
            ("lo", 1u32, 0x49u16, 65_536i32, 772u16, [127, 0, 0, 1], [255, 0, 0, 0]),
            ("eth0", 2, 0x1043, 1500, 1, [10, 0, 2, 15], [255, 255, 255, 0]),
        ] {
            assert_eq!(get(&mut w, &s, c::SIOCGIFINDEX, name).unwrap()[..4], index.to_ne_bytes());
            assert_eq!(get(&mut w, &s, c::SIOCGIFFLAGS, name).unwrap()[..2], flags.to_ne_bytes());
            assert_eq!(get(&mut w, &s, c::SIOCGIFMTU, name).unwrap()[..4], mtu.to_ne_bytes());
            assert_eq!(get(&mut w, &s, c::SIOCGIFMETRIC, name).unwrap()[..4], [0; 4]);
            assert_eq!(get(&mut w, &s, c::SIOCGIFHWADDR, name).unwrap()[..2], kind.to_ne_bytes());
            assert_eq!(get(&mut w, &s, c::SIOCGIFADDR, name).unwrap()[..8], sockaddr(address));
            assert_eq!(get(&mut w, &s, c::SIOCGIFNETMASK, name).unwrap()[..8], sockaddr(mask));
            let mut request = ifreq("", &index.to_ne_bytes());
            request[0] = 0xff;
            let answer = ioctl(&mut w, &s, c::SIOCGIFNAME, &request).unwrap();
            assert_eq!(answer[..16], ifreq(name, &[])[..16]);
        }
        assert_eq!(get(&mut w, &s, c::SIOCGIFHWADDR, "eth0").unwrap()[2..8], SERVER_MAC);
        assert_eq!(get(&mut w, &s, c::SIOCGIFBRDADDR, "eth0").unwrap()[..8], sockaddr([10, 0, 2, 255]));
        assert_eq!(get(&mut w, &s, c::SIOCGIFBRDADDR, "lo").unwrap()[..8], sockaddr([0; 4]));
        assert_eq!(get(&mut w, &s, c::SIOCGIFADDR, "eth1"), Err(Errno::ENODEV));
        assert_eq!(ioctl(&mut w, &s, c::SIOCGIFNAME, &ifreq("", &[9])), Err(Errno::ENODEV));
        assert_eq!(ioctl(&mut w, &s, c::SIOCGIFADDR, &[0; 39]), Err(Errno::EFAULT));
        assert_eq!(ioctl(&mut w, &s, 0x8999, &[0; 40]), Err(Errno::ENOTTY));
    }
    w.elapse(2000);
    let link_local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 1].to_vec();
    let loopback = [&[0; 15][..], &[1]].concat();
    assert_eq!(
        entries(&mut w),
        [
            (1, "lo".into(), vec![], 0),
            (1, "lo".into(), vec![127, 0, 0, 1], 8),
            (1, "lo".into(), loopback, 128),
            (2, "eth0".into(), vec![], 0),
            (2, "eth0".into(), vec![10, 0, 2, 15], 24),
            (2, "eth0".into(), link_local, 64),
        ]
    );
}

#[test]
fn changing_them() {
    let mut w = World::fresh();
    let s = w.socket(c::SOCK_DGRAM);
    let set = |w: &mut World, request, name: &str, value: &[u8]| ioctl(w, &s, request, &ifreq(name, value)).map(|_| ());
    assert_eq!(set(&mut w, c::SIOCSIFADDR, "eth0", &sockaddr([192, 168, 7, 9])), Ok(()));
    assert_eq!(get(&mut w, &s, c::SIOCGIFNETMASK, "eth0").unwrap()[..8], sockaddr([255, 255, 255, 0]));
    assert_eq!(set(&mut w, c::SIOCSIFNETMASK, "eth0", &sockaddr([255, 255, 0, 0])), Ok(()));
    assert_eq!(get(&mut w, &s, c::SIOCGIFBRDADDR, "eth0").unwrap()[..8], sockaddr([192, 168, 255, 255]));
    assert_eq!(set(&mut w, c::SIOCSIFNETMASK, "eth0", &sockaddr([255, 0, 255, 0])), Err(Errno::EINVAL));
    for bad in [[127, 0, 0, 2], [224, 0, 0, 1], [255; 4]] {
        assert_eq!(set(&mut w, c::SIOCSIFADDR, "eth0", &sockaddr(bad)), Err(Errno::EINVAL));
    }
    assert_eq!(set(&mut w, c::SIOCSIFADDR, "lo", &sockaddr([10, 0, 0, 1])), Err(Errno::EOPNOTSUPP));
    assert_eq!(set(&mut w, c::SIOCSIFMTU, "eth0", &1500i32.to_ne_bytes()), Ok(()));
    for bad in [-1i32, 0, 67, 1501] {
        assert_eq!(set(&mut w, c::SIOCSIFMTU, "eth0", &bad.to_ne_bytes()), Err(Errno::EINVAL));
    }
    let longest = |w: &mut World, t: &ClientSocket| {
        w.sent();
        assert_eq!(w.connect(t, "192.168.1.1:9"), Err(Errno::EINPROGRESS));
        w.elapse(10);
        let mut s = w.socket(c::SOCK_DGRAM);
        w.inject(&arp_reply([192, 168, 1, 1]));
        w.send(&mut s, "192.168.1.1:9".parse().ok(), &[0; 3000]);
        w.elapse(10);
        let syn = w.sent().into_iter().filter(|f| f[12..14] == [8, 0]).collect::<Vec<_>>();
        // The segment size that is announced, and the longest packet.
        (u16::from_be_bytes([syn[0][56], syn[0][57]]), syn.iter().map(|f| f.len() - 14).max().unwrap())
    };
    for mtu in [1000, 1500] {
        assert_eq!(set(&mut w, c::SIOCSIFMTU, "eth0", &i32::from(mtu as u16).to_ne_bytes()), Ok(()));
        let t = w.socket(c::SOCK_STREAM);
        let (segment, packet) = longest(&mut w, &t);
        assert_eq!(usize::from(segment), mtu - 40);
        // A fragment's data is a multiple of eight bytes.
        assert_eq!(packet, 20 + (mtu - 20) / 8 * 8);
    }
    assert_eq!(set(&mut w, c::SIOCSIFHWADDR, "eth0", &[1, 0, 2, 0, 0, 0, 0, 9]), Err(Errno::EOPNOTSUPP));
    // Off and on.
    let t = w.socket(c::SOCK_STREAM);
    assert_eq!(set(&mut w, c::SIOCSIFFLAGS, "eth0", &[0, 0]), Ok(()));
    let flags = |w: &mut World| u32::from(get(w, &s, c::SIOCGIFFLAGS, "eth0").unwrap()[0]);
    assert_eq!(flags(&mut w) & (IFF_UP | IFF_RUNNING), 0);
    assert_eq!(w.connect(&t, "192.168.1.1:9"), Err(Errno::ENETUNREACH));
    assert_eq!(set(&mut w, c::SIOCSIFFLAGS, "eth0", &[1, 1]), Err(Errno::EOPNOTSUPP));
    assert_eq!(set(&mut w, c::SIOCSIFFLAGS, "eth0", &[1, 0]), Ok(()));
    assert_eq!(flags(&mut w) & (IFF_UP | IFF_RUNNING), IFF_UP | IFF_RUNNING);
    assert_eq!(w.connect(&t, "192.168.1.1:9"), Err(Errno::EINPROGRESS));
    assert_eq!(set(&mut w, c::SIOCSIFADDR, "eth0", &sockaddr([0; 4])), Ok(()));
    assert_eq!(get(&mut w, &s, c::SIOCGIFADDR, "eth0"), Err(Errno::EADDRNOTAVAIL));
}

#[test]
fn routes_and_addresses_of_ipv6() {
    let mut w = World::fresh();
    w.elapse(2000);
    let (s, six) = (w.socket(c::SOCK_DGRAM), w.socket6(c::SOCK_DGRAM));
    let route = |w: &mut World, request, r: &[u8]| ioctl(w, &s, request, r).map(|_| ());
    let default = rtentry([0; 4], [0; 4], None);
    let t = w.socket(c::SOCK_STREAM);
    assert_eq!(route(&mut w, c::SIOCDELRT, &default), Ok(()));
    assert_eq!(route(&mut w, c::SIOCDELRT, &default), Err(Errno::ESRCH));
    assert_eq!(w.connect(&t, "9.9.9.9:9"), Err(Errno::ENETUNREACH));
    let nine = rtentry([9, 9, 0, 0], [255, 255, 0, 0], Some([10, 0, 2, 2]));
    assert_eq!(route(&mut w, c::SIOCADDRT, &nine), Ok(()));
    assert_eq!(route(&mut w, c::SIOCADDRT, &nine), Err(Errno::EEXIST));
    assert_eq!(w.connect(&t, "9.9.9.9:9"), Err(Errno::EINPROGRESS));
    for bad in [
        rtentry([9, 9, 0, 1], [255, 255, 0, 0], Some([10, 0, 2, 2])),
        rtentry([9, 9, 0, 0], [255, 0, 255, 0], Some([10, 0, 2, 2])),
        rtentry([9, 9, 0, 0], [255, 255, 0, 0], Some([224, 0, 0, 1])),
    ] {
        assert_eq!(route(&mut w, c::SIOCADDRT, &bad), Err(Errno::EINVAL));
    }
    let far = rtentry([9, 8, 0, 0], [255, 255, 0, 0], Some([11, 0, 0, 1]));
    assert_eq!(route(&mut w, c::SIOCADDRT, &far), Err(Errno::ENETUNREACH));
    assert_eq!(route(&mut w, c::SIOCADDRT, &nine[..57]), Err(Errno::EFAULT));
    for n in 0..40 {
        let result = route(&mut w, c::SIOCADDRT, &rtentry([11, n, 0, 0], [255, 255, 0, 0], None));
        assert_eq!(result, if n < 31 { Ok(()) } else { Err(Errno::ENOBUFS) });
    }

    // struct in6_ifreq, struct in6_rtmsg.
    let ip: core::net::Ipv6Addr = "2001:db8::5".parse().unwrap();
    let address = |prefix: u32, index: u32| [&ip.octets()[..], &prefix.to_ne_bytes(), &index.to_ne_bytes()].concat();
    let call = |w: &mut World, request, r: &[u8]| ioctl(w, &six, request, r).map(|_| ());
    assert_eq!(call(&mut w, c::SIOCSIFADDR, &address(64, 3)), Err(Errno::ENODEV));
    assert_eq!(call(&mut w, c::SIOCSIFADDR, &address(129, 2)), Err(Errno::EINVAL));
    assert_eq!(call(&mut w, c::SIOCSIFADDR, &address(64, 2)), Ok(()));
    assert_eq!(call(&mut w, c::SIOCSIFADDR, &address(64, 2)), Err(Errno::EEXIST));
    w.elapse(1500);
    let u = w.socket6(c::SOCK_STREAM);
    assert_eq!(w.bind(&u, "[2001:db8::5]:9"), Ok(()));
    assert_eq!(w.connect(&u, "[2001:db8:9::1]:9"), Err(Errno::ENETUNREACH));
    let mut message = vec![0; 80];
    let gateway: core::net::Ipv6Addr = "fe80::1".parse().unwrap();
    message[32..48].copy_from_slice(&gateway.octets());
    message[72] = 3;
    assert_eq!(call(&mut w, c::SIOCADDRT, &message), Ok(()));
    assert_eq!(call(&mut w, c::SIOCADDRT, &message), Err(Errno::EEXIST));
    assert_eq!(w.connect(&u, "[2001:db8:9::1]:9"), Err(Errno::EINPROGRESS));
    assert_eq!(call(&mut w, c::SIOCDELRT, &message), Ok(()));
    assert_eq!(call(&mut w, c::SIOCDELRT, &message), Err(Errno::ESRCH));
    assert_eq!(call(&mut w, c::SIOCDIFADDR, &address(64, 2)), Ok(()));
    assert_eq!(call(&mut w, c::SIOCDIFADDR, &address(64, 2)), Err(Errno::EADDRNOTAVAIL));
}

#[test]
fn several_addresses_by_settings() {
    let settings = [("ipv4.address", "10.0.2.15/24, 192.168.7.1/16"), ("policy.client.ports", "1-65535")];
    let mut w = World::with_settings(2 << 20, &settings);
    let all: Vec<_> = entries(&mut w).into_iter().map(|e| e.2).collect();
    assert!(all.contains(&vec![192, 168, 7, 1]) && all.contains(&vec![10, 0, 2, 15]));
    let s = w.socket(c::SOCK_DGRAM);
    assert_eq!(w.connect(&s, "192.168.9.9:9"), Ok(()));
    assert!(w.local(&s).starts_with("192.168.7.1:"));
    // Who is not granted it changes nothing.
    assert_eq!(ioctl(&mut w, &s, c::SIOCSIFFLAGS, &ifreq("eth0", &[0, 0])), Err(Errno::EPERM));
}
