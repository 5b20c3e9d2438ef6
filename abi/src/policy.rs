//! What a client of `net_server` may do: the settings `policy.<client>.<key>`
//! of `strait.toml` (a table `[net_server.policy.<client>]`), read by the
//! checker when the system is built and by `net_server` when it starts.
//!
//! | key | value | when it is not given |
//! |---|---|---|
//! | `families` | `inet`, `inet6`, `unix`, `packet` or AF numbers | all |
//! | `types` | `stream`, `dgram`, `seqpacket` | all |
//! | `raw` | whether raw and packet sockets | `false` |
//! | `administer` | whether interfaces and routes may be changed | `false` |
//! | `ports` | ports to bind: `80`, `"1024-65535"`, `"53/udp"` | `"1024-65535"` |
//! | `destinations` | `"10.0.2.0/24"`, `"2001:db8::/32 443/tcp"` | all |
//! | `sockets` | descriptors open at once | what the session has slots for |
//! | `pages` | pages of 4 KiB for data | what the session has |
//! | `ephemeral` | ports chosen for its sockets at once | no limit |
//!
//! A list that is given takes the place of the default: `ports = [80]` allows
//! port 80 and no other.

use alloc::vec::Vec;
use core::{net::IpAddr, str::FromStr};

use crate::{address as af, socket as c};

/// What one client may do. The default is what a normal user may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// AF numbers; `None` for all.
    pub families: Option<Vec<u16>>,
    /// SOCK_* numbers besides SOCK_RAW; `None` for all.
    pub types: Option<Vec<u16>>,
    /// SOCK_RAW of the internet families, and AF_PACKET.
    pub raw: bool,
    /// Changes to interfaces and routes.
    pub administer: bool,
    /// TCP and UDP ports that bind(2) takes.
    pub ports: Vec<Ports>,
    /// Internet addresses that may be reached; `None` for all.
    pub destinations: Option<Vec<Destination>>,
    /// Most descriptors open at once.
    pub sockets: Option<u16>,
    /// Most pages of the session in use at once.
    pub pages: Option<u16>,
    /// Most ports chosen by the server in use at once.
    pub ephemeral: Option<u16>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            families: None,
            types: None,
            raw: false,
            administer: false,
            ports: alloc::vec![Ports { first: 1024, last: u16::MAX, protocol: None }],
            destinations: None,
            sockets: None,
            pages: None,
            ephemeral: None,
        }
    }
}

/// A range of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The first.
    pub first: u16,
    /// The last; not less than the first.
    pub last: u16,
    /// IPPROTO_TCP or IPPROTO_UDP; `None` for both.
    pub protocol: Option<u16>,
}

/// Addresses with a common prefix, and ports there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// An address of them; its bits beyond the prefix are 0.
    pub address: IpAddr,
    /// Bits that are common: at most 32 or 128.
    pub prefix: u8,
    /// `None` for all ports and protocols.
    pub ports: Option<Ports>,
}

/// The keys, in the order of the table above.
pub const KEYS: [&str; 9] =
    ["families", "types", "raw", "administer", "ports", "destinations", "sockets", "pages", "ephemeral"];

/// Least value of `pages`: two for each ring of one socket.
pub const MIN_PAGES: u16 = 4;

/// Why a key or value is refused: what to write instead.
pub type Wanted = &'static str;

const FAMILIES: [(&str, u16); 4] =
    [("inet", af::AF_INET), ("inet6", af::AF_INET6), ("unix", af::AF_UNIX), ("packet", af::AF_PACKET)];
const TYPES: [(&str, u16); 3] =
    [("stream", c::SOCK_STREAM), ("dgram", c::SOCK_DGRAM), ("seqpacket", c::SOCK_SEQPACKET)];

fn list<T>(value: &str, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    // An empty list allows nothing.
    if value.is_empty() { Some(Vec::new()) } else { value.split(',').map(|word| item(word.trim())).collect() }
}

fn word(table: &[(&str, u16)], name: &str) -> Option<u16> {
    table.iter().find(|(n, _)| *n == name).map(|(_, number)| *number)
}

fn at_least<T: FromStr + PartialOrd>(least: T, value: &str) -> Option<T> {
    value.parse().ok().filter(|n| *n >= least)
}

impl Policy {
    /// Sets `key` to `value`, the elements of a list with commas between them.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), Wanted> {
        match key {
            "families" => {
                let family = |name: &str| word(&FAMILIES, name).or_else(|| at_least(1, name));
                let wanted = "a list of families such as [\"inet\", \"inet6\", \"unix\", \"packet\"]";
                self.families = Some(list(value, family).ok_or(wanted)?);
            }
            "types" => {
                let wanted = "a list of \"stream\", \"dgram\" and \"seqpacket\"; raw sockets are granted by raw = true";
                self.types = Some(list(value, |name| word(&TYPES, name)).ok_or(wanted)?);
            }
            "raw" => self.raw = value.parse().map_err(|_| "true or false")?,
            "administer" => self.administer = value.parse().map_err(|_| "true or false")?,
            "ports" => {
                let wanted = "a list of ports such as [80, \"1024-65535\", \"53/udp\"]";
                self.ports = list(value, |word| word.parse().ok()).ok_or(wanted)?;
            }
            "destinations" => {
                let wanted = "a list of destinations such as [\"10.0.2.0/24\", \"2001:db8::/32 443/tcp\"]";
                self.destinations = Some(list(value, |word| word.parse().ok()).ok_or(wanted)?);
            }
            "sockets" => self.sockets = Some(at_least(1, value).ok_or("a number of sockets from 1 to 65535")?),
            "pages" => self.pages = Some(at_least(MIN_PAGES, value).ok_or("a number of pages from 4 to 65535")?),
            "ephemeral" => self.ephemeral = Some(at_least(0, value).ok_or("a number of ports from 0 to 65535")?),
            _ => return Err("one of families, types, raw, administer, ports, destinations, sockets, pages, ephemeral"),
        }
        Ok(())
    }

    /// Whether it allows a bind(2) to `port` of `protocol`.
    pub fn may_bind(&self, protocol: u16, port: u16) -> bool {
        self.ports.iter().any(|range| range.contains(protocol, port))
    }

    /// Whether it allows sending to `port` of `protocol` at `address`. `port`
    /// is `None` for a protocol that has none.
    pub fn may_reach(&self, protocol: u16, address: IpAddr, port: Option<u16>) -> bool {
        let Some(destinations) = &self.destinations else { return true };
        let address = address.to_canonical();
        destinations.iter().any(|d| {
            d.contains(address) && d.ports.is_none_or(|range| port.is_some_and(|port| range.contains(protocol, port)))
        })
    }
}

impl Ports {
    /// Whether `port` of `protocol` is one of them.
    pub fn contains(&self, protocol: u16, port: u16) -> bool {
        (self.first..=self.last).contains(&port) && self.protocol.is_none_or(|p| p == protocol)
    }
}

impl FromStr for Ports {
    type Err = ();

    /// `80`, `1024-65535`, `53/udp`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (range, protocol) = match text.split_once('/') {
            None => (text, None),
            Some((range, "tcp")) => (range, Some(c::IPPROTO_TCP as u16)),
            Some((range, "udp")) => (range, Some(c::IPPROTO_UDP as u16)),
            Some(_) => return Err(()),
        };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse().map_err(|_| ())?, last.parse().map_err(|_| ())?);
        if first == 0 || first > last { Err(()) } else { Ok(Self { first, last, protocol }) }
    }
}

fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(a) => (u128::from(u32::from(a)) << 96, 32),
        IpAddr::V6(a) => (a.into(), 128),
    }
}

/// The first `prefix` bits.
fn mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl Destination {
    fn contains(&self, address: IpAddr) -> bool {
        let ((own, width), (other, other_width)) = (bits(self.address), bits(address));
        width == other_width && (own ^ other) & mask(self.prefix) == 0
    }
}

impl FromStr for Destination {
    type Err = ();

    /// `ADDRESS[/PREFIX] [PORTS]`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (network, ports) = match text.split_once(' ') {
            Some((network, ports)) => (network, Some(ports.trim().parse()?)),
            None => (text, None),
        };
        let (address, prefix) = match network.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| ())?)),
            None => (network, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let (value, width) = bits(address);
        let prefix = prefix.unwrap_or(width);
        // A bit beyond the prefix is a slip of the pen: 10.0.2.15/24.
        if prefix > width || value & !mask(prefix) != 0 {
            return Err(());
        }
        Ok(Self { address, prefix, ports })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TCP: u16 = c::IPPROTO_TCP as u16;
    const UDP: u16 = c::IPPROTO_UDP as u16;

    fn with(key: &str, value: &str) -> Policy {
        let mut policy = Policy::default();
        policy.set(key, value).unwrap();
        policy
    }

    #[test]
    fn a_normal_user_binds_what_is_not_privileged() {
        let policy = Policy::default();
        assert!(!policy.may_bind(TCP, 80) && !policy.may_bind(UDP, 1023));
        assert!(policy.may_bind(TCP, 1024) && policy.may_bind(UDP, 65535));
        assert!(policy.may_reach(TCP, [9, 9, 9, 9].into(), Some(53)));
        assert!(!policy.raw && !policy.administer);
    }

    #[test]
    fn ports_are_what_is_listed() {
        let policy = with("ports", "80,53/udp, 8000-8009/tcp");
        for (protocol, port, allowed) in [
            (TCP, 80, true),
            (UDP, 80, true),
            (UDP, 53, true),
            (TCP, 53, false),
            (TCP, 8000, true),
            (TCP, 8009, true),
            (TCP, 8010, false),
            (UDP, 8000, false),
            (TCP, 1024, false),
        ] {
            assert_eq!(policy.may_bind(protocol, port), allowed, "{protocol} {port}");
        }
        assert!(!with("ports", "").may_bind(TCP, 2000));
    }

    #[test]
    fn destinations_are_prefixes_with_ports() {
        let policy = with("destinations", "10.0.2.0/24,9.9.9.9 53/udp,2001:db8::/32 443,0.0.0.0/0 25/tcp");
        let reach = |protocol, address: &str, port| policy.may_reach(protocol, address.parse().unwrap(), port);
        assert!(reach(TCP, "10.0.2.255", Some(1)) && reach(UDP, "10.0.2.0", Some(9)));
        assert!(!reach(TCP, "10.0.3.0", Some(80)));
        assert!(reach(UDP, "9.9.9.9", Some(53)));
        assert!(!reach(TCP, "9.9.9.9", Some(53)) && !reach(UDP, "9.9.9.8", Some(53)));
        assert!(reach(TCP, "2001:db8:ffff::1", Some(443)) && !reach(TCP, "2001:db9::1", Some(443)));
        assert!(reach(TCP, "1.2.3.4", Some(25)) && !reach(TCP, "::1", Some(25)));
        // An IPv4 address in the clothes of IPv6 is one.
        assert!(reach(TCP, "::ffff:10.0.2.9", Some(80)));
        // Where there are no ports, only a rule without them speaks.
        assert!(reach(1, "10.0.2.9", None) && !reach(1, "9.9.9.9", None));
        assert!(!with("destinations", "").may_reach(TCP, [10, 0, 2, 2].into(), Some(80)));
    }

    #[test]
    fn names_and_numbers() {
        assert_eq!(with("families", "inet,unix,38").families, Some(alloc::vec![2, 1, 38]));
        assert_eq!(with("types", "stream,seqpacket").types, Some(alloc::vec![1, 5]));
        assert!(with("raw", "true").raw && with("administer", "true").administer);
        assert_eq!(with("sockets", "3").sockets, Some(3));
        assert_eq!(with("ephemeral", "0").ephemeral, Some(0));
    }

    #[test]
    fn wrong_values_are_refused_and_change_nothing() {
        for (key, values) in [
            ("families", &["ipv4", "inet,", "0", "65536"][..]),
            ("types", &["raw", "stream dgram", "1"]),
            ("raw", &["yes", ""]),
            ("administer", &["1"]),
            ("ports", &["0", "65536", "5-4", "http", "80/sctp", "1-", "-5", "80,"]),
            ("destinations", &["10.0.2.15/24", "10.0.2.0/33", "::/129", "host", "10.0.2.0/24:80", "1.2.3.4 0"]),
            ("sockets", &["0", "-1", "70000"]),
            ("pages", &["3", "all"]),
            ("ephemeral", &["-1"]),
            ("port", &["80"]),
        ] {
            for value in values {
                let mut policy = Policy::default();
                assert!(policy.set(key, value).is_err(), "{key} {value}");
                assert_eq!(policy, Policy::default());
            }
        }
        let keys = Policy::default().set("", "").unwrap_err();
        assert!(KEYS.iter().all(|key| keys.contains(key)), "{keys}");
    }

    proptest! {
        #[test]
        fn a_prefix_holds_what_begins_as_it_does(address in any::<u128>(), prefix in 0u8..=128, flip in 0u32..128) {
            let network = IpAddr::V6((address & mask(prefix)).into());
            let d: Destination = alloc::format!("{network}/{prefix}").parse().unwrap();
            let other = IpAddr::V6((address ^ (1 << 127 >> flip)).into());
            prop_assert!(d.contains(IpAddr::V6(address.into())));
            prop_assert_eq!(d.contains(other), flip >= u32::from(prefix));
        }

        #[test]
        fn any_text_is_taken_or_refused(key in 0..KEYS.len(), value in "[0-9a-f:./, -]{0,40}") {
            let _ = Policy::default().set(KEYS[key], &value);
        }
    }
}
