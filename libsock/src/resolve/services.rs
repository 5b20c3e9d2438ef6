//! Services: names of ports (services(5)).

use alloc::string::String;

/// Where the table is in the file system, if there is a larger one.
pub const PATH: &str = "/etc/services";

/// Transport protocols, a bit each.
const TCP: u8 = 1;
const UDP: u8 = 2;

/// What is known without a file (IANA's registry): name, port, protocols,
/// alias.
const TABLE: &[(&str, u16, u8, &str)] = &[
    ("echo", 7, TCP | UDP, ""),
    ("discard", 9, TCP | UDP, "sink"),
    ("systat", 11, TCP, "users"),
    ("daytime", 13, TCP | UDP, ""),
    ("netstat", 15, TCP, ""),
    ("chargen", 19, TCP | UDP, "ttytst"),
    ("ftp-data", 20, TCP, ""),
    ("ftp", 21, TCP, ""),
    ("ssh", 22, TCP, ""),
    ("telnet", 23, TCP, ""),
    ("smtp", 25, TCP, "mail"),
    ("time", 37, TCP | UDP, "timserver"),
    ("domain", 53, TCP | UDP, ""),
    ("bootps", 67, UDP, ""),
    ("bootpc", 68, UDP, ""),
    ("tftp", 69, UDP, ""),
    ("http", 80, TCP, "www"),
    ("pop3", 110, TCP, "pop-3"),
    ("sunrpc", 111, TCP | UDP, "portmapper"),
    ("ntp", 123, UDP, ""),
    ("imap2", 143, TCP, "imap"),
    ("snmp", 161, TCP | UDP, ""),
    ("ldap", 389, TCP | UDP, ""),
    ("https", 443, TCP | UDP, ""),
    ("syslog", 514, UDP, ""),
    ("submission", 587, TCP, ""),
    ("ldaps", 636, TCP | UDP, ""),
    ("domain-s", 853, TCP | UDP, ""),
    ("imaps", 993, TCP, ""),
    ("pop3s", 995, TCP, ""),
    ("nfs", 2049, TCP | UDP, ""),
    ("mqtt", 1883, TCP, ""),
    ("http-alt", 8080, TCP | UDP, "webcache"),
];

fn bit(protocol: &str) -> u8 {
    match protocol {
        "tcp" => TCP,
        "udp" => UDP,
        _ => 0,
    }
}

/// Port, protocol and names of each line of a file.
fn lines(text: &str) -> impl Iterator<Item = (u16, &str, core::str::SplitAsciiWhitespace<'_>)> {
    text.lines().filter_map(|line| {
        let line = line.split('#').next()?;
        let names = line.split_ascii_whitespace();
        let (port, protocol) = names.clone().nth(1)?.split_once('/')?;
        Some((port.parse().ok()?, protocol, names))
    })
}

/// getservbyname(3): the port of the service `name` of `protocol`, `"tcp"` or
/// `"udp"`. `file` goes before what is built in.
pub fn by_name(file: Option<&str>, name: &str, protocol: &str) -> Option<u16> {
    let mut found = file.into_iter().flat_map(lines);
    let port =
        found.find(|(_, p, names)| *p == protocol && names.clone().enumerate().any(|(i, n)| i != 1 && n == name));
    if let Some((port, ..)) = port {
        return Some(port);
    }
    let known = |&&(n, _, protocols, alias): &&(&str, u16, u8, &str)| {
        (n == name || alias == name) && !name.is_empty() && protocols & bit(protocol) != 0
    };
    TABLE.iter().find(known).map(|(_, port, ..)| *port)
}

/// getservbyport(3): the name of the service at `port` of `protocol`.
pub fn by_port(file: Option<&str>, port: u16, protocol: &str) -> Option<String> {
    let mut found = file.into_iter().flat_map(lines);
    if let Some((.., mut names)) = found.find(|(p, proto, _)| *p == port && *proto == protocol) {
        return names.next().map(Into::into);
    }
    TABLE
        .iter()
        .find(|(_, p, protocols, _)| *p == port && protocols & bit(protocol) != 0)
        .map(|(name, ..)| (*name).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_built_in_table() {
        assert_eq!(by_name(None, "http", "tcp"), Some(80));
        assert_eq!(by_name(None, "www", "tcp"), Some(80));
        assert_eq!(by_name(None, "ntp", "tcp"), None);
        assert_eq!(by_name(None, "", "tcp"), None);
        assert_eq!(by_port(None, 53, "udp").as_deref(), Some("domain"));
        assert_eq!(by_port(None, 69, "tcp"), None);
        assert_eq!(by_port(None, 53, "sctp"), None);
    }

    #[test]
    fn a_file_goes_before_it() {
        let file = "# services\nhttp\t8000/tcp web\t# ours\nbad 70000/tcp\nodd 5\nmine 1234/udp 9\n";
        assert_eq!(by_name(Some(file), "http", "tcp"), Some(8000));
        assert_eq!(by_name(Some(file), "web", "tcp"), Some(8000));
        assert_eq!(by_name(Some(file), "www", "tcp"), Some(80));
        assert_eq!(by_name(Some(file), "bad", "tcp"), None);
        assert_eq!(by_name(Some(file), "1234/udp", "udp"), None);
        assert_eq!(by_port(Some(file), 1234, "udp").as_deref(), Some("mine"));
        assert_eq!(by_port(Some(file), 80, "tcp").as_deref(), Some("http"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_file(text in "([a-z0-9/ \t#\n]|\\PC){0,200}", name in "[a-z0-9/]{0,6}") {
            let _ = by_name(Some(&text), &name, "tcp");
            let _ = by_port(Some(&text), 7, "udp");
        }
    }
}
