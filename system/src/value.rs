//! What the value of a setting may be.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A unicast IPv4 address.
    Ipv4,
    /// One or more unicast IPv4 addresses with their prefix lengths.
    Ipv4Prefixes,
    /// One or more IPv4 addresses.
    Ipv4List,
    /// A unicast IPv6 address.
    Ipv6,
    /// One or more unicast IPv6 addresses with their prefix lengths.
    Ipv6Prefixes,
    /// One or more IPv6 addresses.
    Ipv6List,
    /// One or more multicast addresses.
    Groups,
    /// A TCP or UDP port.
    Port,
    /// An address with a TCP or UDP port.
    Endpoint,
    /// A path from the root.
    AbsolutePath,
    /// A URL that starts with `http://`.
    HttpUrl,
    /// Any text.
    Text,
    /// A whole number of 32 bits.
    Number,
    /// Permissions, in octal.
    Permissions,
    /// What is mounted where: paths and kinds of file systems, first the root.
    Mounts,
}

impl Kind {
    /// Whether `value` is of this kind; if not, what to write.
    pub fn check(self, value: &str) -> Result<(), String> {
        let (good, wanted) = match self {
            Self::OneOf(words) => {
                (words.contains(&value), words.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(" or "))
            }
            Self::Ipv4 => (is_ipv4(value), "an IPv4 address such as \"10.0.2.2\"".into()),
            Self::Ipv4Prefixes => (
                value.split(',').all(|v| is_prefix(v, is_ipv4, 32)),
                "an IPv4 address with its prefix, such as \"10.0.2.15/24\", or a list of them".into(),
            ),
            Self::Ipv4List => (
                !value.is_empty() && value.split(',').all(is_ipv4),
                "a list of IPv4 addresses such as [\"10.0.2.3\"]".into(),
            ),
            Self::Ipv6 => (is_ipv6(value), "an IPv6 address such as \"fe80::1\"".into()),
            Self::Ipv6Prefixes => (
                value.split(',').all(|v| is_prefix(v, is_ipv6, 128)),
                "an IPv6 address with its prefix, such as \"2001:db8::5/64\", or a list of them".into(),
            ),
            Self::Ipv6List => {
                (value.split(',').all(is_ipv6), "a list of IPv6 addresses such as [\"2001:db8::53\"]".into())
            }
            Self::Groups => (
                value.split(',').all(|v| v.parse::<IpAddr>().is_ok_and(|a| a.is_multicast())),
                "a list of multicast addresses such as [\"239.255.7.7\", \"ff05::7:7\"]".into(),
            ),
            Self::Port => (value.parse::<u16>().is_ok_and(|port| port != 0), "a port from 1 to 65535".into()),
            Self::Endpoint => (
                value.parse::<SocketAddr>().is_ok_and(|a| a.port() != 0),
                "an address and a port such as \"10.0.2.2:7007\" or \"[fd00::2]:7007\"".into(),
            ),
            Self::AbsolutePath => (value.starts_with('/') && !value.contains('\0'), "a path that starts with /".into()),
            Self::HttpUrl => (is_http_url(value), "a URL such as \"http://example.org/index.html\"".into()),
            Self::Text => (true, String::new()),
            Self::Number => (value.parse::<u32>().is_ok(), "a whole number from 0 to 4294967295".into()),
            Self::Permissions => (
                u32::from_str_radix(value, 8).is_ok_and(|p| p <= 0o777) && !value.starts_with('+'),
                "permissions in octal such as \"022\"".into(),
            ),
            Self::Mounts => {
                (are_mounts(value), "a list such as [\"/ archive\", \"/tmp ramfs\"], which begins with the root".into())
            }
        };
        if good { Ok(()) } else { Err(wanted) }
    }
}

/// Which kinds there are, vfs_server says.
fn are_mounts(value: &str) -> bool {
    let path_of = |mount: &str| {
        let (path, kind) = mount.split_once(' ')?;
        (path.starts_with('/') && !kind.is_empty() && !kind.contains(' ')).then(|| path.to_string())
    };
    let paths: Option<Vec<_>> = value.split(',').map(path_of).collect();
    paths.is_some_and(|paths| paths[0] == "/" && paths[1..].iter().all(|p| p.len() > 1))
}

fn is_ipv4(value: &str) -> bool {
    value.parse::<Ipv4Addr>().is_ok_and(|a| !a.is_unspecified() && !a.is_broadcast() && !a.is_multicast())
}

fn is_ipv6(value: &str) -> bool {
    value.parse::<Ipv6Addr>().is_ok_and(|a| !a.is_unspecified() && !a.is_loopback() && !a.is_multicast())
}

fn is_prefix(value: &str, address: fn(&str) -> bool, most: u8) -> bool {
    value
        .split_once('/')
        .is_some_and(|(ip, prefix)| address(ip) && prefix.parse::<u8>().is_ok_and(|p| (1..=most).contains(&p)))
}

fn is_hostname(value: &str) -> bool {
    value.len() <= 253
        && value.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

fn is_http_url(value: &str) -> bool {
    let Some(rest) = value.strip_prefix("http://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = authority.split_once(':').unwrap_or((authority, "80"));
    is_hostname(host) && Kind::Port.check(port).is_ok() && value.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_take_what_they_say() {
        let table: &[(Kind, &[&str], &[&str])] = &[
            (Kind::OneOf(&["dhcp", "static"]), &["dhcp"], &["", "DHCP"]),
            (Kind::Ipv4, &["10.0.2.2"], &["", "10.0.2", "0.0.0.0", "255.255.255.255", "224.0.0.1", "fe80::1"]),
            (
                Kind::Ipv4Prefixes,
                &["10.0.2.15/24", "1.2.3.4/32", "10.0.2.15/24,192.168.7.1/16"],
                &["10.0.2.15", "10.0.2.15/0", "10.0.2.15/33", "/24", "", "10.0.2.15/24,"],
            ),
            (Kind::Ipv6, &["fe80::1", "2001:db8::1"], &["", "::", "::1", "ff02::1", "10.0.2.2"]),
            (
                Kind::Ipv6Prefixes,
                &["2001:db8::5/64", "2001:db8::5/128,fd00::1/48"],
                &["2001:db8::5", "::1/128", "2001:db8::5/129", ""],
            ),
            (Kind::Ipv6List, &["2001:db8::53", "2001:db8::53,fd00::1"], &["", "10.0.2.3"]),
            (Kind::Ipv4List, &["10.0.2.3", "10.0.2.3,9.9.9.9"], &["", "10.0.2.3,"]),
            (Kind::Groups, &["239.255.7.7", "224.0.0.251,ff05::1"], &["", "10.0.2.2", "239.1.2.3,"]),
            (Kind::Port, &["1", "65535"], &["0", "65536", "http", "-1"]),
            (Kind::Permissions, &["0", "022", "777"], &["", "8", "1000", "-1", "+7", "rwx"]),
            (Kind::Number, &["0", "4294967295"], &["", "-1", "4294967296", "x"]),
            (
                Kind::Mounts,
                &["/ archive", "/ archive,/tmp ramfs"],
                &["", "/", "/tmp ramfs", "/ archive,/ ramfs", "/ archive,tmp ramfs", "/ a b"],
            ),
            (Kind::Endpoint, &["10.0.2.2:7007", "[fd00::2]:7"], &["", "10.0.2.2", "10.0.2.2:0", "host:7"]),
            (Kind::AbsolutePath, &["/", "/www"], &["", "www"]),
            (
                Kind::HttpUrl,
                &["http://h/", "http://h:8000/a?b", "http://10.0.2.2"],
                &["https://h/", "http://", "h", "http://h:0/", "http://h/a b"],
            ),
        ];
        for (kind, good, bad) in table {
            for value in *good {
                assert_eq!(kind.check(value), Ok(()), "{value}");
            }
            for value in *bad {
                assert!(kind.check(value).is_err(), "{value}");
            }
        }
    }
}
