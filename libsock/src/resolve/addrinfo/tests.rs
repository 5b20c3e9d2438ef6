use super::*;
use crate::fake::Fake;
use strait_abi::socket::{IPPROTO_ICMP, SOCK_SEQPACKET};

fn process() -> Process {
    Process::new(&Fake::new(512, &[]).1).unwrap()
}

fn ask(node: &str, service: &str, hints: Hints) -> Result<Vec<AddrInfo>, GaiError> {
    let some = |text: &'static str| (text != "-").then_some(text);
    let leak = |text: &str| -> &'static str { alloc::boxed::Box::leak(text.to_string().into_boxed_str()) };
    process().getaddrinfo(some(leak(node)), some(leak(service)), &hints)
}

/// Type, protocol and address of each result.
fn short(found: &[AddrInfo]) -> Vec<(u16, u16, String)> {
    found.iter().map(|r| (r.kind, r.protocol, r.address.to_string())).collect()
}

const STREAM: Hints = Hints { flags: 0, family: 0, kind: SOCK_STREAM, protocol: 0 };

#[test]
fn every_transport_unless_one_is_asked_for() {
    let found = ask("10.0.2.2", "80", Hints::default()).unwrap();
    let at = String::from("10.0.2.2:80");
    assert_eq!(short(&found), [(1, 6, at.clone()), (2, 17, at.clone()), (3, 0, at.clone())]);
    assert_eq!(short(&ask("10.0.2.2", "http", Hints::default()).unwrap()), [(1, 6, at.clone())]);
    assert_eq!(short(&ask("10.0.2.2", "80", STREAM).unwrap()), [(1, 6, at)]);
    let icmp = Hints { protocol: IPPROTO_ICMP as u16, ..Hints::default() };
    assert_eq!(short(&ask("::1", "-", icmp).unwrap()), [(3, 1, "[::1]:0".into())]);
}

#[test]
fn no_node_is_this_host() {
    let passive = Hints { flags: AI_PASSIVE, ..STREAM };
    assert_eq!(ask("-", "7", STREAM).unwrap().len(), 2);
    let addresses: Vec<_> = ask("*", "7", passive).unwrap().iter().map(|r| r.address.to_string()).collect();
    assert!(addresses.contains(&"0.0.0.0:7".into()) && addresses.contains(&"[::]:7".into()), "{addresses:?}");
    let v6 = Hints { family: AF_INET6, ..passive };
    assert_eq!(short(&ask("-", "7", v6).unwrap()), [(1, 6, "[::]:7".into())]);
}

#[test]
fn addresses_in_text() {
    let family = |family, flags| Hints { family, flags, ..STREAM };
    assert_eq!(ask("10.0.2.2", "1", family(AF_INET6, 0)), Err(GaiError::AddrFamily));
    assert_eq!(ask("::1", "1", family(AF_INET, 0)), Err(GaiError::AddrFamily));
    let mapped = ask("10.0.2.2", "1", family(AF_INET6, AI_V4MAPPED)).unwrap();
    assert_eq!(mapped[0].address.to_string(), "[::ffff:10.0.2.2]:1");
    let plain = ask("::ffff:10.0.2.2", "1", family(AF_INET, 0)).unwrap();
    assert_eq!(plain[0].address.to_string(), "10.0.2.2:1");
    let scoped = ask("fe80::1%2", "1", family(0, AI_CANONNAME | AI_NUMERICHOST)).unwrap();
    assert!(matches!(scoped[0].address, SocketAddr::V6(a) if a.scope_id() == 2));
    assert_eq!(scoped[0].canonical_name.as_deref(), Some("fe80::1%2"));
    assert_eq!(ask("127.1", "1", STREAM).unwrap()[0].address.to_string(), "127.0.0.1:1");
    assert_eq!(ask("localhost", "1", family(0, AI_NUMERICHOST)), Err(GaiError::NoName));
    assert_eq!(ask("fe80::1%nowhere", "1", STREAM), Err(GaiError::NoName));
}

#[test]
fn names_without_a_server() {
    let found = ask("localhost", "1", Hints { flags: AI_CANONNAME, ..STREAM }).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].canonical_name.as_deref(), &found[1].canonical_name), (Some("localhost"), &None));
    let v4 = ask("localhost", "1", Hints { family: AF_INET, ..STREAM }).unwrap();
    assert_eq!(short(&v4), [(1, 6, "127.0.0.1:1".into())]);
    let both = ask("localhost", "1", Hints { family: AF_INET6, flags: AI_V4MAPPED | AI_ALL, ..STREAM }).unwrap();
    assert!(both.iter().any(|r| r.address.to_string() == "[::ffff:127.0.0.1]:1") && both.len() == 2);
}

#[test]
fn what_glibc_refuses() {
    let with = |kind, protocol| Hints { kind, protocol, ..Hints::default() };
    for (node, service, hints, error) in [
        ("-", "-", Hints::default(), GaiError::NoName),
        ("*", "*", Hints::default(), GaiError::NoName),
        ("10.0.2.2", "1", Hints { flags: 0x8000, ..STREAM }, GaiError::BadFlags),
        ("-", "1", Hints { flags: AI_CANONNAME, ..STREAM }, GaiError::BadFlags),
        ("10.0.2.2", "1", Hints { family: 1, ..STREAM }, GaiError::Family),
        ("10.0.2.2", "1", with(SOCK_SEQPACKET, 0), GaiError::SockType),
        ("10.0.2.2", "1", with(SOCK_STREAM, IPPROTO_UDP as u16), GaiError::SockType),
        ("10.0.2.2", "1", with(SOCK_RAW, 0), GaiError::Service),
        ("10.0.2.2", "http", with(SOCK_DGRAM, 0), GaiError::Service),
        ("10.0.2.2", "nothing", Hints::default(), GaiError::Service),
        ("10.0.2.2", "http", Hints { flags: AI_NUMERICSERV, ..STREAM }, GaiError::NoName),
        ("10.0.2.2", "65536", STREAM, GaiError::Service),
        ("a..b", "1", STREAM, GaiError::NoName),
        ("", "1", STREAM, GaiError::NoName),
        ("example.org", "1", STREAM, GaiError::Again),
    ] {
        assert_eq!(ask(node, service, hints), Err(error), "{node} {service} {hints:?}");
    }
}

#[test]
fn only_what_the_network_has() {
    let (fake, env) = Fake::new(512, &[]);
    let p = Process::new(&env).unwrap();
    let hints = Hints { flags: AI_ADDRCONFIG, ..STREAM };
    // The fake network has a way to everywhere or nowhere; then both are tried.
    assert_eq!(p.getaddrinfo(Some("localhost"), Some("1"), &hints).unwrap().len(), 2);
    fake.serve(|s| s.connect = Err(Errno::ENETUNREACH));
    assert_eq!(p.getaddrinfo(Some("localhost"), Some("1"), &hints).unwrap().len(), 2);
}

#[test]
fn names_of_addresses() {
    let p = process();
    let at = |text: &str| Address::from(text.parse::<SocketAddr>().unwrap());
    let names = |host: &str, service: &str| Ok((String::from(host), String::from(service)));
    assert_eq!(p.getnameinfo(&at("127.0.0.1:80"), 0), names("localhost", "http"));
    assert_eq!(p.getnameinfo(&at("127.0.0.1:123"), NI_DGRAM), names("localhost", "ntp"));
    assert_eq!(p.getnameinfo(&at("127.0.0.1:123"), 0), names("localhost", "123"));
    assert_eq!(p.getnameinfo(&at("[::1]:80"), NI_NUMERICHOST | NI_NUMERICSERV), names("::1", "80"));
    let scoped = SocketAddrV6::new("fe80::1".parse().unwrap(), 1, 0, 2);
    assert_eq!(p.getnameinfo(&SocketAddr::from(scoped).into(), NI_NUMERICHOST), names("fe80::1%2", "1"));
    // Without a server there are numbers, or nothing.
    assert_eq!(p.getnameinfo(&at("10.0.2.2:80"), 0), names("10.0.2.2", "http"));
    assert_eq!(p.getnameinfo(&at("10.0.2.2:80"), NI_NAMEREQD), Err(GaiError::NoName));
    assert_eq!(p.getnameinfo(&at("127.0.0.1:80"), NI_NAMEREQD | NI_NUMERICHOST), Err(GaiError::NoName));
    assert_eq!(p.getnameinfo(&at("127.0.0.1:80"), 0x100), Err(GaiError::BadFlags));
    assert_eq!(p.getnameinfo(&Address::from_bytes(&[1, 0]).unwrap(), 0), Err(GaiError::Family));
}

#[test]
fn inet_aton_takes_what_c_does() {
    for (text, value) in [
        ("10.0.2.2", Some([10, 0, 2, 2])),
        ("10.2", Some([10, 0, 0, 2])),
        ("10.1.258", Some([10, 1, 1, 2])),
        ("0x7f000001", Some([127, 0, 0, 1])),
        ("0177.0.0.01", Some([127, 0, 0, 1])),
        ("4294967295", Some([255; 4])),
        ("0", Some([0; 4])),
        ("4294967296", None),
        ("256.1.1.1", None),
        ("1.2.3.256", None),
        ("1.2.3.4.5", None),
        ("1..2", None),
        ("", None),
        (".1", None),
        ("1.", None),
        ("08.1.1.1", None),
        ("+1.2.3.4", None),
        ("0x", None),
        ("1.2.3.4 ", None),
        ("a.b", None),
    ] {
        assert_eq!(inet_aton(text), value.map(Ipv4Addr::from), "{text}");
    }
}
