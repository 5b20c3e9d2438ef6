//! The hosts file (hosts(5)) and the names that need none.

use alloc::{string::String, vec, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where it is in the file system.
pub const PATH: &str = "/etc/hosts";
/// Addresses taken for one name.
const MAX_ADDRESSES: usize = 32;

/// Address and names of each line; the first is the canonical one.
fn lines(text: &str) -> impl Iterator<Item = (IpAddr, core::str::SplitAsciiWhitespace<'_>)> {
    text.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        Some((words.next()?.parse().ok()?, words))
    })
}

fn same(one: &str, other: &str) -> bool {
    let bare = |name: &'_ str| name.strip_suffix('.').map_or(name.len(), str::len);
    one[..bare(one)].eq_ignore_ascii_case(&other[..bare(other)])
}

/// The addresses of `host` and its canonical name; `None` if no line has it.
pub fn by_name(text: &str, host: &str) -> Option<(Vec<IpAddr>, String)> {
    let mut found = Vec::new();
    let mut canonical = None;
    for (address, names) in lines(text) {
        let first = names.clone().next();
        if names.clone().any(|name| same(name, host)) {
            canonical = canonical.or(first);
            if !found.contains(&address) && found.len() < MAX_ADDRESSES {
                found.push(address);
            }
        }
    }
    Some((found, canonical?.into()))
}

/// The canonical name of `address`.
pub fn by_address(text: &str, address: IpAddr) -> Option<String> {
    lines(text).find(|(a, _)| *a == address).and_then(|(_, mut names)| names.next()).map(Into::into)
}

/// Names that are known without a file, and are never to be asked of a server
/// (RFC 6761, 6.3): `localhost` and what ends in it, and the component itself.
pub fn built_in(host: &str, own: &str) -> Option<Vec<IpAddr>> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next()?;
    if last.eq_ignore_ascii_case("localhost") || same(host, own) {
        return Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "# a comment\n127.0.0.1 localhost\n10.0.2.2\tgate.example.org Gate # the gateway\n\
                        fe80::x bad\n10.0.2.3\n::1 ip6-localhost\n2001:db8::2 gate\n10.0.2.2 gate";

    #[test]
    fn names_and_aliases() {
        let (found, canonical) = by_name(TEXT, "GATE.").unwrap();
        assert_eq!(found, ["10.0.2.2".parse::<IpAddr>().unwrap(), "2001:db8::2".parse().unwrap()]);
        assert_eq!(canonical, "gate.example.org");
        assert_eq!(by_name(TEXT, "bad"), None);
        assert_eq!(by_name(TEXT, "comment"), None);
        assert_eq!(by_name(TEXT, "gateway"), None);
        assert_eq!(by_address(TEXT, "10.0.2.2".parse().unwrap()).as_deref(), Some("gate.example.org"));
        assert_eq!(by_address(TEXT, "10.0.2.3".parse().unwrap()), None);
    }

    #[test]
    fn what_needs_no_file() {
        assert!(built_in("LocalHost.", "x").is_some() && built_in("a.b.localhost", "x").is_some());
        assert!(built_in("echo", "echo").is_some());
        assert!(built_in("localhost.org", "x").is_none() && built_in("notlocalhost", "x").is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_a_hosts_file(text in "([0-9a-f:. \t#\n]|\\PC){0,200}", host in "\\PC{0,10}") {
            let _ = by_name(&text, &host);
            let _ = by_address(&text, [0; 4].into());
        }
    }
}
