use core::net::{IpAddr, Ipv4Addr};

use strait_abi::{
    Errno,
    interface::{ARPHRD_ETHER, Entry},
};

use crate::{fake::Fake, posix::*};

use super::process;

fn serve(fake: &Fake, entries: &[(u32, &'static str, &[u8], u8)]) {
    fake.serve(|s| {
        s.interfaces.clear();
        for &(index, name, address, prefix) in entries {
            let (flags, mtu, kind, hardware) = (0x1043, 1500, ARPHRD_ETHER, [2, 0, 0, 0, 0, 9]);
            let mut buffer = [0; 64];
            let entry = Entry { index, name, flags, mtu, kind, hardware, address, prefix };
            s.interfaces.push(entry.encode(&mut buffer).unwrap().to_vec());
        }
    });
}

const USUAL: &[(u32, &str, &[u8], u8)] = &[
    (1, "lo", &[], 0),
    (1, "lo", &[127, 0, 0, 1], 8),
    (2, "eth0", &[], 0),
    (2, "eth0", &[10, 0, 2, 15], 24),
    (2, "eth0", &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5], 64),
];

#[test]
fn interfaces_by_name_and_number() {
    let (fake, p) = process();
    serve(fake, USUAL);
    assert_eq!(p.if_nametoindex("eth0"), Ok(2));
    assert_eq!(p.if_nametoindex("eth"), Err(Errno::ENODEV));
    assert_eq!(p.if_indextoname(1).as_deref(), Ok("lo"));
    assert_eq!(p.if_indextoname(0), Err(Errno::ENXIO));
    assert_eq!(p.if_nameindex().unwrap(), [(1, "lo".into()), (2, "eth0".into())]);
}

#[test]
fn addresses_with_masks() {
    let (fake, p) = process();
    serve(fake, USUAL);
    let all = p.getifaddrs().unwrap();
    assert_eq!(all.len(), 5);
    assert_eq!((all[2].address, all[2].netmask(), all[2].broadcast()), (None, None, None));
    assert_eq!(all[3].netmask(), Some(IpAddr::from([255, 255, 255, 0])));
    assert_eq!(all[3].broadcast(), Some(Ipv4Addr::new(10, 0, 2, 255)));
    assert_eq!(all[4].netmask().unwrap(), "ffff:ffff:ffff:ffff::".parse::<IpAddr>().unwrap());
    assert_eq!(all[4].broadcast(), None);
    serve(fake, &[(1, "a", &[1, 2, 3, 4], 0), (1, "a", &[1, 2, 3, 4], 32)]);
    let all = p.getifaddrs().unwrap();
    assert_eq!(all[0].netmask(), Some(IpAddr::from([0; 4])));
    assert_eq!(all[1].netmask(), Some(IpAddr::from([255; 4])));
    // Nonsense of a server.
    for bad in [(1, "a", &[1, 2, 3, 4][..], 33), (1, "a", &[1, 2, 3][..], 8), (1, "a-name-of-sixteen", &[][..], 0)] {
        serve(fake, &[bad]);
        assert_eq!(p.getifaddrs(), Err(Errno::EPROTO));
    }
}

#[test]
fn siocgifconf() {
    let (fake, p) = process();
    serve(fake, USUAL);
    let fd = p.socket(AF_INET, SOCK_DGRAM.into(), 0).unwrap();
    assert_eq!(p.ioctl(fd, SIOCGIFCONF, &mut []), Ok(80));
    let mut buffer = [0xaa; 100];
    assert_eq!(p.ioctl(fd, SIOCGIFCONF, &mut buffer), Ok(80));
    assert_eq!((&buffer[..3], &buffer[16..24]), (&b"lo\0"[..], &[2, 0, 0, 0, 127, 0, 0, 1][..]));
    assert_eq!((&buffer[40..45], &buffer[56..64]), (&b"eth0\0"[..], &[2, 0, 0, 0, 10, 0, 2, 15][..]));
    assert_eq!(buffer[80..], [0xaa; 20]);
    assert_eq!(p.ioctl(fd, SIOCGIFCONF, &mut buffer[..79]), Ok(40));
}
