//! getaddrinfo(3), getnameinfo(3), gethostname(2): names that need no server.

use alloc::vec::Vec;

use crate::{case::*, posix::*, test::*};

const PASSIVE: i32 = 1;
const CANONNAME: i32 = 2;
const NUMERICHOST: i32 = 4;
const V4MAPPED: i32 = 8;
const NUMERICSERV: i32 = 0x400;
const BADFLAGS: i32 = -1;
const NONAME: i32 = -2;
const FAMILY: i32 = -6;
const SOCKTYPE: i32 = -7;
const SERVICE: i32 = -8;
const NI_NUMERICHOST: i32 = 1;
const NI_NUMERICSERV: i32 = 2;
const NI_NAMEREQD: i32 = 8;
const NI_DGRAM: i32 = 16;

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("a number is an address", "getaddrinfo(3)", ONCE, numeric),
    Case::new("a number for each type of socket", "getaddrinfo(3)", ONCE, each_type),
    Case::new("one type asked for", "getaddrinfo(3)", ONCE, one_type),
    Case::new("no node: loopback", "getaddrinfo(3)", ONCE, no_node),
    Case::new("no node, passive: any address", "getaddrinfo(3) AI_PASSIVE", ONCE, passive),
    Case::new("neither node nor service", "getaddrinfo(3) EAI_NONAME", ONCE, nothing),
    Case::new("a name with AI_NUMERICHOST", "getaddrinfo(3) EAI_NONAME", ONCE, numeric_host),
    Case::new("a name with AI_NUMERICSERV", "getaddrinfo(3) EAI_NONAME", ONCE, numeric_service),
    Case::new("an address of another family", "getaddrinfo(3)", ONCE, other_family),
    Case::new("AI_V4MAPPED", "getaddrinfo(3) AI_V4MAPPED", ONCE, v4_mapped),
    Case::new("unknown flags", "getaddrinfo(3) EAI_BADFLAGS", ONCE, bad_flags),
    Case::new("unknown families", "getaddrinfo(3) EAI_FAMILY", ONCE, bad_family),
    Case::new("unknown types", "getaddrinfo(3) EAI_SOCKTYPE", ONCE, bad_type),
    Case::new("a service by name", "getaddrinfo(3)", ONCE, service),
    Case::new("a service that is none", "getaddrinfo(3) EAI_SERVICE", ONCE, no_service),
    Case::new("a service number too large", "getaddrinfo(3) EAI_SERVICE", ONCE, large_service)
        .differs("glibc cuts it to 16 bits, so that 65617 is port 81; Strait says that there is no such service"),
    Case::new("localhost", "getaddrinfo(3)", ONCE, localhost),
    Case::new("AI_CANONNAME", "getaddrinfo(3)", ONCE, canonical),
    Case::new("a scope", "getaddrinfo(3), RFC 4007 11", ONCE, scope),
    Case::new("old forms of numbers", "inet_aton(3)", ONCE, old_forms),
    Case::new("an address is a number", "getnameinfo(3)", ONCE, to_number),
    Case::new("a port has a name", "getnameinfo(3)", ONCE, port_name),
    Case::new("no name and one is required", "getnameinfo(3) EAI_NONAME", ONCE, required),
    Case::new("getnameinfo of no address", "getnameinfo(3) EAI_FAMILY", ONCE, no_address),
    Case::new("gethostname", "gethostname(2)", ONCE, host_name),
];

fn hints() -> Hints {
    Hints::default()
}

fn stream() -> Hints {
    Hints { kind: SOCK_STREAM, ..hints() }
}

/// The addresses, in order of the text.
fn ask(t: &Test<'_>, node: Option<&str>, service: Option<&str>, hints: &Hints) -> Result<Vec<Vec<u8>>, i32> {
    Ok(t.getaddrinfo(node, service, hints)?.iter().map(|a| a.address.as_bytes().to_vec()).collect())
}

fn one(text: &str) -> Result<Vec<Vec<u8>>, i32> {
    Ok(alloc::vec![address(text).as_bytes().to_vec()])
}

fn numeric(t: &Test<'_>) -> Outcome {
    eq!(ask(t, Some("192.0.2.7"), Some("80"), &stream()), one("192.0.2.7:80"));
    eq!(ask(t, Some("2001:db8::7"), Some("443"), &stream()), one("[2001:db8::7]:443"));
    eq!(ask(t, Some("192.0.2.7"), None, &stream()), one("192.0.2.7:0"));
    Ok(())
}

fn each_type(t: &Test<'_>) -> Outcome {
    let all = t.getaddrinfo(Some("192.0.2.7"), Some("80"), &hints());
    let kinds = all.map(|all| all.iter().map(|a| (a.kind, a.protocol)).collect::<Vec<_>>());
    eq!(kinds, Ok(alloc::vec![(SOCK_STREAM, 6), (SOCK_DGRAM, 17), (SOCK_RAW, 0)]));
    Ok(())
}

fn one_type(t: &Test<'_>) -> Outcome {
    let kinds = |hints: Hints| {
        t.getaddrinfo(Some("::1"), None, &hints).map(|all| all.iter().map(|a| (a.kind, a.protocol)).collect::<Vec<_>>())
    };
    eq!(kinds(stream()), Ok(alloc::vec![(SOCK_STREAM, 6)]));
    eq!(kinds(Hints { kind: SOCK_DGRAM, ..hints() }), Ok(alloc::vec![(SOCK_DGRAM, 17)]));
    eq!(kinds(Hints { protocol: 17, ..hints() }), Ok(alloc::vec![(SOCK_DGRAM, 17)]));
    Ok(())
}

fn sorted(result: Result<Vec<Vec<u8>>, i32>) -> Result<Vec<Vec<u8>>, i32> {
    result.map(|mut all| {
        all.sort();
        all
    })
}

fn no_node(t: &Test<'_>) -> Outcome {
    let want = [address("127.0.0.1:80"), address("[::1]:80")].map(|a| a.as_bytes().to_vec()).to_vec();
    eq!(sorted(ask(t, None, Some("80"), &stream())), sorted(Ok(want)));
    Ok(())
}

fn passive(t: &Test<'_>) -> Outcome {
    let want = [address("0.0.0.0:80"), address("[::]:80")].map(|a| a.as_bytes().to_vec()).to_vec();
    eq!(sorted(ask(t, None, Some("80"), &Hints { flags: PASSIVE, ..stream() })), sorted(Ok(want)));
    // With a node it has no effect.
    eq!(ask(t, Some("192.0.2.7"), Some("80"), &Hints { flags: PASSIVE, ..stream() }), one("192.0.2.7:80"));
    Ok(())
}

fn nothing(t: &Test<'_>) -> Outcome {
    eq!(ask(t, None, None, &hints()), Err(NONAME));
    Ok(())
}

fn numeric_host(t: &Test<'_>) -> Outcome {
    for name in ["localhost", "example.org", "1.2.3.4.5", "", "256.1.1.1"] {
        eq!(ask(t, Some(name), None, &Hints { flags: NUMERICHOST, ..stream() }), Err(NONAME));
    }
    Ok(())
}

fn numeric_service(t: &Test<'_>) -> Outcome {
    let hints = Hints { flags: NUMERICSERV, ..stream() };
    eq!(ask(t, Some("192.0.2.7"), Some("http"), &hints), Err(NONAME));
    eq!(ask(t, Some("192.0.2.7"), Some("8080"), &hints), one("192.0.2.7:8080"));
    Ok(())
}

fn other_family(t: &Test<'_>) -> Outcome {
    // EAI_ADDRFAMILY.
    eq!(ask(t, Some("192.0.2.7"), None, &Hints { family: AF_INET6, ..stream() }), Err(-9));
    eq!(ask(t, Some("::1"), None, &Hints { family: AF_INET, ..stream() }), Err(-9));
    Ok(())
}

fn v4_mapped(t: &Test<'_>) -> Outcome {
    let hints = Hints { family: AF_INET6, flags: V4MAPPED, ..stream() };
    eq!(ask(t, Some("192.0.2.7"), Some("1"), &hints), one("[::ffff:192.0.2.7]:1"));
    Ok(())
}

fn bad_flags(t: &Test<'_>) -> Outcome {
    eq!(ask(t, Some("::1"), None, &Hints { flags: 0x10_0000, ..stream() }), Err(BADFLAGS));
    eq!(ask(t, None, Some("80"), &Hints { flags: CANONNAME, ..stream() }), Err(BADFLAGS));
    Ok(())
}

fn bad_family(t: &Test<'_>) -> Outcome {
    eq!(ask(t, Some("::1"), None, &Hints { family: 99, ..stream() }), Err(FAMILY));
    eq!(ask(t, Some("::1"), None, &Hints { family: AF_UNIX, ..stream() }), Err(FAMILY));
    Ok(())
}

fn bad_type(t: &Test<'_>) -> Outcome {
    eq!(ask(t, Some("::1"), None, &Hints { kind: 9, ..hints() }), Err(SOCKTYPE));
    eq!(ask(t, Some("::1"), None, &Hints { kind: SOCK_STREAM, protocol: 17, ..hints() }), Err(SOCKTYPE));
    Ok(())
}

fn service(t: &Test<'_>) -> Outcome {
    eq!(ask(t, Some("192.0.2.7"), Some("http"), &stream()), one("192.0.2.7:80"));
    eq!(ask(t, Some("192.0.2.7"), Some("domain"), &Hints { kind: SOCK_DGRAM, ..hints() }), one("192.0.2.7:53"));
    Ok(())
}

fn no_service(t: &Test<'_>) -> Outcome {
    eq!(ask(t, Some("::1"), Some("nosuchservice"), &stream()), Err(SERVICE));
    // Raw sockets have no services by name.
    eq!(ask(t, Some("::1"), Some("http"), &Hints { kind: SOCK_RAW, ..hints() }), Err(SERVICE));
    Ok(())
}

fn large_service(t: &Test<'_>) -> Outcome {
    eq!(ask(t, Some("192.0.2.7"), Some("65617"), &stream()), t.by_world(one("192.0.2.7:81"), Err(SERVICE)));
    Ok(())
}

fn localhost(t: &Test<'_>) -> Outcome {
    eq!(ask(t, Some("localhost"), Some("1"), &Hints { family: AF_INET, ..stream() }), one("127.0.0.1:1"));
    Ok(())
}

fn canonical(t: &Test<'_>) -> Outcome {
    let all = t.getaddrinfo(Some("192.0.2.7"), None, &Hints { flags: CANONNAME, ..stream() });
    eq!(all.map(|all| all[0].name.clone()), Ok(Some("192.0.2.7".into())));
    Ok(())
}

fn scope(t: &Test<'_>) -> Outcome {
    eq!(ask(t, Some("fe80::1%1"), Some("9"), &stream()), one("[fe80::1%1]:9"));
    eq!(ask(t, Some("fe80::1%lo"), Some("9"), &stream()), one("[fe80::1%1]:9"));
    Ok(())
}

fn old_forms(t: &Test<'_>) -> Outcome {
    for (text, is) in [("127.1", "127.0.0.1:0"), ("0x7f000001", "127.0.0.1:0"), ("0300.0.2.7", "192.0.2.7:0")] {
        eq!(ask(t, Some(text), None, &stream()), one(is));
    }
    Ok(())
}

fn told(t: &Test<'_>, text: &str, flags: i32) -> Result<(alloc::string::String, alloc::string::String), i32> {
    t.getnameinfo(&address(text), flags)
}

fn to_number(t: &Test<'_>) -> Outcome {
    let flags = NI_NUMERICHOST | NI_NUMERICSERV;
    eq!(told(t, "192.0.2.7:80", flags), Ok(("192.0.2.7".into(), "80".into())));
    eq!(told(t, "[2001:db8::7]:443", flags), Ok(("2001:db8::7".into(), "443".into())));
    eq!(told(t, "[::ffff:192.0.2.7]:1", flags), Ok(("::ffff:192.0.2.7".into(), "1".into())));
    Ok(())
}

fn port_name(t: &Test<'_>) -> Outcome {
    eq!(told(t, "192.0.2.7:80", NI_NUMERICHOST).map(|n| n.1), Ok("http".into()));
    eq!(told(t, "192.0.2.7:53", NI_NUMERICHOST | NI_DGRAM).map(|n| n.1), Ok("domain".into()));
    eq!(told(t, "192.0.2.7:60001", NI_NUMERICHOST).map(|n| n.1), Ok("60001".into()));
    Ok(())
}

fn required(t: &Test<'_>) -> Outcome {
    eq!(told(t, "192.0.2.7:80", NI_NAMEREQD | NI_NUMERICHOST), Err(NONAME));
    Ok(())
}

fn no_address(t: &Test<'_>) -> Outcome {
    eq!(t.getnameinfo(&raw_address(&[99; 16]), 0), Err(FAMILY));
    eq!(t.getnameinfo(&resized(&address("1.2.3.4:5"), 8), 0), Err(FAMILY));
    Ok(())
}

fn host_name(t: &Test<'_>) -> Outcome {
    let name = ok!(t.gethostname());
    that!(!name.is_empty() && name.len() < 65);
    Ok(())
}
