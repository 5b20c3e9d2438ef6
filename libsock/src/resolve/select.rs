//! Which address to try first: RFC 6724, section 6, as far as a stub host can
//! tell. Rules 3 and 4 (deprecated and home addresses) and 7 (tunnels) speak of
//! what there is not.

use core::{
    cmp::Reverse,
    net::{IpAddr, Ipv6Addr},
};

/// An address, and the one that packets to it leave from; `None` if none does.
pub type Candidate = (IpAddr, Option<IpAddr>);

/// The policy table of RFC 6724, 2.1: prefix, its length, precedence, label.
const TABLE: [(u128, u32, u8, u8); 9] = [
    (1, 128, 50, 0),
    (0, 0, 40, 1),
    (0xffff << 32, 96, 35, 4),
    (0x2002 << 112, 16, 30, 2),
    (0x2001_0000 << 96, 32, 5, 5),
    (0xfc00 << 112, 7, 3, 13),
    (0, 96, 1, 3),
    (0xfec0 << 112, 10, 1, 11),
    (0x3ffe << 112, 16, 1, 12),
];

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(a) => a.to_ipv6_mapped(),
        IpAddr::V6(a) => a,
    }
}

/// Precedence and label.
fn policy(address: IpAddr) -> (u8, u8) {
    let bits = u128::from(v6(address));
    let fits = |&&(prefix, len, ..): &&(u128, u32, u8, u8)| (bits ^ prefix).leading_zeros() >= len;
    TABLE
        .iter()
        .filter(fits)
        .max_by_key(|(_, len, ..)| *len)
        .map_or((40, 1), |(.., precedence, label)| (*precedence, *label))
}

/// RFC 6724, 3.1 and 3.2: 2 for the link, 5 for the site, 14 for the world, or
/// what a multicast address says.
fn scope(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(a) if a.is_loopback() || a.is_link_local() => 2,
        IpAddr::V4(_) => 14,
        IpAddr::V6(a) if a.is_multicast() => a.octets()[1] & 15,
        IpAddr::V6(a) if a.is_loopback() || a.is_unicast_link_local() => 2,
        IpAddr::V6(a) if a.segments()[0] & 0xffc0 == 0xfec0 => 5,
        IpAddr::V6(_) => 14,
    }
}

/// Bits that both have in common, for IPv6 up to the interface part. Of IPv4
/// the order of the name server is kept: it may spread load.
fn common(one: IpAddr, other: IpAddr) -> u32 {
    match (one, other) {
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a) ^ u128::from(b)).leading_zeros().min(64),
        _ => 0,
    }
}

/// Puts the best first; what is equally good keeps its order.
pub fn sort(candidates: &mut [Candidate]) {
    candidates.sort_by_key(|(address, source)| {
        let (precedence, label) = policy(*address);
        let reach = scope(*address);
        let differs = |f: &dyn Fn(IpAddr) -> bool| source.is_none_or(f);
        (
            source.is_none(),
            differs(&|s| scope(s) != reach),
            differs(&|s| policy(s).1 != label),
            Reverse(precedence),
            reach,
            Reverse(source.map_or(0, |s| common(s, *address))),
        )
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{
        string::{String, ToString},
        vec::Vec,
    };

    /// `address<source` each; the addresses in order.
    fn sorted(list: &str) -> Vec<String> {
        let mut candidates: Vec<Candidate> = list
            .split(' ')
            .map(|pair| {
                let (address, source) = pair.split_once('<').unwrap();
                (address.parse().unwrap(), source.parse().ok())
            })
            .collect();
        sort(&mut candidates);
        candidates.iter().map(|(a, _)| a.to_string()).collect()
    }

    #[test]
    fn examples_of_the_rfc() {
        // RFC 6724, 10.2.
        for (list, first) in [
            ("198.51.100.121<198.51.100.117 2001:db8:1::1<2001:db8:1::2", "2001:db8:1::1"),
            ("2001:db8:1::1<fe80::1 198.51.100.121<198.51.100.117", "198.51.100.121"),
            ("2001:db8:1::1<2001:db8:1::2 10.1.2.3<10.1.2.4", "2001:db8:1::1"),
            ("2001:db8:1::1<2001:db8:1::2 fe80::1<fe80::2", "fe80::1"),
            ("2002:c633:6401::1<2002:c633:6401::2 2001:db8:1::1<2002:c633:6401::2", "2002:c633:6401::1"),
        ] {
            assert_eq!(sorted(list)[0], first, "{list}");
        }
    }

    #[test]
    fn what_cannot_be_reached_comes_last() {
        assert_eq!(sorted("2001:db8::1< 10.0.2.2<10.0.2.15"), ["10.0.2.2", "2001:db8::1"]);
        assert_eq!(sorted("127.0.0.1<127.0.0.1 ::1<::1"), ["::1", "127.0.0.1"]);
        // A wildcard: Linux gives that of IPv4 first.
        assert_eq!(sorted("::<::1 0.0.0.0<127.0.0.1"), ["0.0.0.0", "::"]);
    }

    #[test]
    fn equals_keep_their_order_and_near_prefixes_win() {
        assert_eq!(sorted("10.9.9.9<10.0.2.15 10.0.2.2<10.0.2.15"), ["10.9.9.9", "10.0.2.2"]);
        let near = sorted("2001:db9::1<2001:db8::5 2001:db8::1<2001:db8::5");
        assert_eq!(near, ["2001:db8::1", "2001:db9::1"]);
    }
}
