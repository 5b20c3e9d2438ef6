use alloc::{boxed::Box, vec, vec::Vec};

use super::{
    message::{ENTROPY, Query, Verdict, name, parse_servers, reverse_name},
    *,
};
use crate::fake::Fake;
use domain::{
    base::{
        Message, MessageBuilder, Record, Serial, Ttl,
        iana::{Class, Rcode},
    },
    rdata::{A, Aaaa, Cname, Ns, Ptr, Soa},
};
use proptest::prelude::*;

const SERVER: [u8; 4] = [10, 0, 2, 3];

fn n(text: &str) -> DnsName {
    name(text).unwrap()
}

/// An answer to `query`: aliases, then addresses of the last of them.
fn answer(query: &[u8], rcode: Rcode, aliases: &[(&str, &str)], addresses: &[(&str, &str)]) -> Vec<u8> {
    let query = Message::from_slice(query).unwrap();
    let mut b = MessageBuilder::new_vec().start_answer(query, rcode).unwrap();
    for (from, to) in aliases {
        b.push(Record::new(n(from), Class::IN, Ttl::HOUR, Cname::new(n(to)))).unwrap();
    }
    for (owner, ip) in addresses {
        match ip.parse().unwrap() {
            IpAddr::V4(ip) => b.push((n(owner), 60, A::new(ip))).unwrap(),
            IpAddr::V6(ip) => b.push((n(owner), 60, Aaaa::new(ip))).unwrap(),
        }
    }
    b.finish()
}

/// "There is nothing, for `ttl` seconds".
fn nothing(query: &[u8], rcode: Rcode, ttl: u32) -> Vec<u8> {
    let query = Message::from_slice(query).unwrap();
    let mut b = MessageBuilder::new_vec().start_answer(query, rcode).unwrap().authority();
    let (serial, t) = (Serial::from(1), Ttl::from_secs(1000));
    b.push((
        n("example.org"),
        1000,
        Soa::new(n("ns.example.org"), n("h.example.org"), serial, t, t, t, Ttl::from_secs(ttl)),
    ))
    .unwrap();
    b.finish()
}

fn ips(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|ip| ip.parse().unwrap()).collect()
}

/// What the server tells of name servers.
pub fn servers(list: &[&str]) -> Vec<u8> {
    let all = list.iter().map(|server| Address::from(server.parse::<SocketAddr>().unwrap()));
    all.flat_map(|a| [&[a.as_bytes().len() as u8], a.as_bytes()].concat()).collect()
}

fn world() -> (&'static Fake, Process) {
    let (fake, env) = Fake::new(512, &[]);
    // With what is no address, at the end.
    fake.serve(|s| s.name_servers = [&servers(&["10.0.2.3:53"])[..], &[9, 1]].concat());
    (fake, Process::new(&env).unwrap())
}

/// The next time the client sleeps, the question that it sent is answered.
fn then(fake: &'static Fake, answer: impl Fn(&[u8]) -> Vec<u8> + 'static) {
    fake.then(move |f| f.serve(|s| answered(s, 0, &answer)));
}

/// Answers the question that was sent by a socket.
fn answered(s: &mut crate::fake::Server, socket: u16, answer: &impl Fn(&[u8]) -> Vec<u8>) {
    let (_, question) = s.take_datagram(socket).unwrap();
    let from = Address::from(SocketAddr::from((SERVER, 53)));
    assert!(s.push_datagram(socket, &from, &answer(&question)));
}

/// What a server answers to a question.
type Said = Box<dyn Fn(&[u8]) -> Vec<u8>>;

fn resolve(answers: Vec<Said>) -> (&'static Fake, Result<Vec<IpAddr>, ResolveError>) {
    let (fake, p) = world();
    for answer in answers {
        then(fake, answer);
    }
    (fake, p.resolve_ipv4("www.example.org"))
}

fn asked(fake: &Fake) -> usize {
    fake.serve(|s| s.requests.iter().filter(|r| r.starts_with("Connect")).count())
}

#[test]
fn aliases_are_followed() {
    let (fake, got) = resolve(vec![Box::new(|q| {
        answer(
            q,
            Rcode::NOERROR,
            &[("www.example.org", "a.example.net"), ("a.example.net", "B.example.com")],
            &[("other.example.com", "6.6.6.6"), ("b.example.COM", "1.2.3.4"), ("b.example.com", "5.6.7.8")],
        )
    })]);
    assert_eq!(got, Ok(ips(&["1.2.3.4", "5.6.7.8"])));
    assert!(fake.serve(|s| s.socket(0).closed.is_some()));
}

#[test]
fn an_alias_without_its_address_is_asked_for() {
    let (fake, got) = resolve(vec![
        Box::new(|q| answer(q, Rcode::NOERROR, &[("www.example.org", "a.example.net")], &[])),
        Box::new(|q| {
            let name = Message::from_slice(q).unwrap().first_question().unwrap().qname().to_string();
            assert_eq!(name.to_lowercase(), "a.example.net");
            answer(q, Rcode::NOERROR, &[], &[("a.example.net", "1.2.3.4")])
        }),
    ]);
    assert_eq!((got, asked(fake)), (Ok(ips(&["1.2.3.4"])), 2));
}

#[test]
fn endless_aliases_end() {
    let (_, got) = resolve(vec![Box::new(|q| {
        answer(q, Rcode::NOERROR, &[("www.example.org", "a.b"), ("a.b", "www.example.org")], &[])
    })]);
    // The server failed; asked again, nobody answers.
    assert_eq!(got, Err(ResolveError::TimedOut));
    // The same, from question to question.
    let one: Vec<Said> = (0..9)
        .map(|i: u8| {
            let (from, to) = if i.is_multiple_of(2) { ("www.example.org", "a.b") } else { ("a.b", "www.example.org") };
            Box::new(move |q: &[u8]| answer(q, Rcode::NOERROR, &[(from, to)], &[])) as Said
        })
        .collect();
    let (fake, got) = resolve(one);
    assert_eq!((got, asked(fake), fake.steps_left()), (Err(ResolveError::ServerFailure), 9, 0));
}

#[test]
fn answers_that_tell_why_not() {
    let (_, got) = resolve(vec![Box::new(|q| answer(q, Rcode::NXDOMAIN, &[], &[]))]);
    assert_eq!(got, Err(ResolveError::NotFound));
    let (_, got) = resolve(vec![Box::new(|q| answer(q, Rcode::NOERROR, &[], &[("www.example.org", "::1")]))]);
    assert_eq!(got, Err(ResolveError::NoData));
    let (fake, got) = resolve(vec![
        Box::new(|q| answer(q, Rcode::SERVFAIL, &[], &[])),
        Box::new(|q| answer(q, Rcode::REFUSED, &[], &[])),
        Box::new(|q| answer(q, Rcode::SERVFAIL, &[], &[])),
    ]);
    assert_eq!((got, asked(fake)), (Err(ResolveError::ServerFailure), 3));
}

#[test]
fn a_server_without_edns_is_asked_without() {
    let (_, got) = resolve(vec![
        Box::new(|q| {
            assert_eq!(Message::from_slice(q).unwrap().header_counts().arcount(), 1);
            answer(q, Rcode::FORMERR, &[], &[])
        }),
        Box::new(|q| {
            assert_eq!(Message::from_slice(q).unwrap().header_counts().arcount(), 0);
            answer(q, Rcode::NOERROR, &[], &[("www.example.org", "1.2.3.4")])
        }),
    ]);
    assert_eq!(got, Ok(ips(&["1.2.3.4"])));
}

#[test]
fn what_does_not_fit_comes_by_tcp() {
    let (fake, p) = world();
    then(fake, |q| {
        let mut a = answer(q, Rcode::NOERROR, &[], &[]);
        a[2] |= 2;
        a
    });
    fake.then(|f| {
        f.serve(|s| {
            let request = s.take(0);
            assert_eq!(usize::from(u16::from_be_bytes([request[0], request[1]])), request.len() - 2);
            let all: Vec<_> = (0..40).map(|i| alloc::format!("10.1.0.{i}")).collect();
            let all: Vec<_> = all.iter().map(|ip| ("www.example.org", &ip[..])).collect();
            let a = answer(&request[2..], Rcode::NOERROR, &[], &all);
            // In two pieces.
            let a = [&(a.len() as u16).to_be_bytes()[..], &a].concat();
            s.push(0, &a[..1]);
            s.push(0, &a[1..]);
        });
    });
    let found = p.resolve_ipv4("www.example.org").unwrap();
    assert_eq!((found.len(), found[31]), (message::MAX_RECORDS, IpAddr::from([10, 1, 0, 31])));
    let streams =
        fake.serve(|s| s.requests.iter().filter(|r| r.starts_with("Socket") && r.contains("kind: 1")).count());
    assert_eq!(streams, 1);
}

#[test]
fn another_spelling_is_not_believed() {
    let (fake, p) = world();
    fn small(q: &[u8]) -> Vec<u8> {
        // Behind the header.
        [&q[..12], &q[12..].to_ascii_lowercase()].concat()
    }
    then(fake, |q| answer(&small(q), Rcode::NOERROR, &[], &[("www.example.org", "6.6.6.6")]));
    fake.then(|f| {
        f.serve(|s| {
            // By TCP nobody else can answer; the spelling may differ.
            let a = answer(&small(&s.take(0)[2..]), Rcode::NOERROR, &[], &[("www.example.org", "1.2.3.4")]);
            s.push(0, &[&(a.len() as u16).to_be_bytes()[..], &a].concat());
        });
    });
    assert_eq!(p.resolve_ipv4("www.example.org"), Ok(ips(&["1.2.3.4"])));
}

#[test]
fn a_silent_server_is_asked_again() {
    let (fake, env) = Fake::new(512, &[]);
    let p = Process::new(&env).unwrap();
    assert_eq!(p.resolve("example.org"), Err(ResolveError::NoServers));
    fake.serve(|s| {
        s.name_servers = servers(&["10.0.2.3:53", "10.0.2.4:53"]);
        s.requests.clear();
    });
    let before = p.now();
    assert_eq!(p.resolve_ipv4("example.org"), Err(ResolveError::TimedOut));
    assert_eq!(p.now() - before, 2 * Duration::from_secs(1 + 2 + 4));
    assert_eq!(asked(fake), 6);
}

#[test]
fn who_answered_last_is_asked_first() {
    let (fake, p) = world();
    fake.serve(|s| s.name_servers = servers(&["9.9.9.9:53", "10.0.2.3:53"]));
    // The first server is silent: the client sleeps until its time is over.
    let ask = |host: &str, wait: u64| {
        let before = p.now();
        fake.then(move |f| {
            f.serve(|s| s.take_datagram(0).unwrap());
            f.now.set(f.now.get() + wait * 1_000_000_000);
            f.woken.set(strait_pd::ChannelSet(1 << crate::fake::TIMER));
        });
        let name = alloc::string::String::from(host);
        then(fake, move |q| answer(q, Rcode::NOERROR, &[], &[(&name, "1.2.3.4")]));
        assert_eq!(p.resolve_ipv4(host), Ok(ips(&["1.2.3.4"])));
        p.now() - before
    };
    assert_eq!(ask("a.example", 1), Duration::from_secs(1));
    then(fake, |q| answer(q, Rcode::NOERROR, &[], &[("b.example", "1.2.3.4")]));
    let before = p.now();
    assert_eq!(p.resolve_ipv4("b.example"), Ok(ips(&["1.2.3.4"])));
    assert_eq!(p.now(), before);
    let last = fake.serve(|s| s.requests.iter().rfind(|r| r.starts_with("Connect")).unwrap().clone());
    assert!(last.contains("10, 0, 2, 3"), "{last}");
}

#[test]
fn what_was_said_is_remembered() {
    let (fake, p) = world();
    then(fake, |q| answer(q, Rcode::NOERROR, &[], &[("www.example.org", "1.2.3.4")]));
    assert_eq!(p.resolve_ipv4("www.example.org"), Ok(ips(&["1.2.3.4"])));
    assert_eq!(p.resolve_ipv4("WWW.Example.Org."), Ok(ips(&["1.2.3.4"])));
    assert_eq!(asked(fake), 1);
    fake.now.set(fake.now.get() + 61_000_000_000);
    then(fake, |q| nothing(q, Rcode::NXDOMAIN, 30));
    assert_eq!(p.resolve_ipv4("www.example.org"), Err(ResolveError::NotFound));
    fake.now.set(fake.now.get() + 29_000_000_000);
    assert_eq!(p.resolve_ipv4("www.example.org"), Err(ResolveError::NotFound));
    assert_eq!(asked(fake), 2);
    p.forget_names();
    then(fake, |q| nothing(q, Rcode::NOERROR, 30));
    assert_eq!(p.resolve_ipv4("www.example.org"), Err(ResolveError::NoData));
    assert_eq!(asked(fake), 3);
}

#[test]
fn addresses_and_names() {
    let (fake, env) = Fake::new(512, &[]);
    let p = Process::new(&env).unwrap();
    assert_eq!(p.resolve("10.0.2.2"), Ok(ips(&["10.0.2.2"])));
    assert_eq!(p.resolve("[::1]"), Ok(ips(&["::1"])));
    assert_eq!(p.resolve_ipv6("10.0.2.2"), Err(ResolveError::NoData));
    assert_eq!(p.resolve_ipv4("localhost"), Ok(ips(&["127.0.0.1"])));
    assert_eq!(p.resolve_ipv6("a.localhost"), Ok(ips(&["::1"])));
    assert_eq!(p.resolve_ipv4(p.gethostname()), Ok(ips(&["127.0.0.1"])));
    let long = alloc::format!("{}.org", "x".repeat(64));
    for bad in ["", ".", "a..b", &long, &"ab.".repeat(90), "bücher.example"] {
        assert_eq!(p.resolve_ipv4(bad), Err(ResolveError::BadName), "{bad}");
    }
    assert_eq!(asked(fake), 0);
}

fn is_for_ipv4(question: &[u8]) -> bool {
    Message::from_slice(question).unwrap().first_question().unwrap().qtype() == Rtype::A
}

#[test]
fn both_kinds_are_asked_for_at_once_and_one_is_enough() {
    let (fake, p) = world();
    // The second is answered first.
    fake.then(|f| {
        f.serve(|s| {
            let say = |q: &[u8]| {
                let address = if is_for_ipv4(q) { "1.2.3.4" } else { "2001:db8::1" };
                answer(q, Rcode::NOERROR, &[], &[("example.org", address)])
            };
            answered(s, 1, &say);
            answered(s, 0, &say);
        });
    });
    let (found, canonical) = p.host("Example.org", Kinds::BOTH).unwrap();
    assert_eq!((found, &canonical[..]), (ips(&["1.2.3.4", "2001:db8::1"]), "Example.org"));
    fake.then(|f| {
        f.serve(|s| {
            for socket in [0, 1] {
                answered(s, socket, &|q: &[u8]| match is_for_ipv4(q) {
                    true => nothing(q, Rcode::NOERROR, 30),
                    false => answer(q, Rcode::NOERROR, &[], &[("six.example.org", "2001:db8::1")]),
                });
            }
        });
    });
    assert_eq!(p.host("six.example.org", Kinds::BOTH).unwrap().0, ips(&["2001:db8::1"]));
    // That a name does not exist is said once.
    then(fake, |q| nothing(q, Rcode::NXDOMAIN, 30));
    assert_eq!(p.host("no.example.org", Kinds::BOTH), Err(ResolveError::NotFound));
    assert_eq!(fake.steps_left(), 0);
    assert!(fake.serve(|s| s.sockets.iter().flatten().all(|s| s.closed.is_some())));
}

#[test]
fn who_is_silent_of_one_kind_does_not_hold_up_the_other() {
    let (fake, p) = world();
    then(fake, |q| answer(q, Rcode::NOERROR, &[], &[("example.org", "1.2.3.4")]));
    let before = p.now();
    assert_eq!(p.host("example.org", Kinds::BOTH).unwrap().0, ips(&["1.2.3.4"]));
    assert_eq!(p.now() - before, GRACE);
    // Nothing is known of the kind that was not answered.
    fake.serve(|s| s.requests.clear());
    then(fake, |q| answer(q, Rcode::NOERROR, &[], &[("example.org", "2001:db8::1")]));
    assert_eq!(p.host("example.org", Kinds::BOTH).unwrap().0, ips(&["1.2.3.4", "2001:db8::1"]));
    assert_eq!(asked(fake), 1);
}

#[test]
fn who_knows_nothing_of_a_name_is_not_believed() {
    fn bits(mut answer: Vec<u8>, authoritative: bool, recursive: bool) -> Vec<u8> {
        answer[2] = answer[2] & !4 | u8::from(authoritative) << 2;
        answer[3] = answer[3] & 0x7f | u8::from(recursive) << 7;
        answer
    }
    fn refers(q: &[u8]) -> Vec<u8> {
        let query = Message::from_slice(q).unwrap();
        let mut b = MessageBuilder::new_vec().start_answer(query, Rcode::NOERROR).unwrap().authority();
        b.push((n("org"), 1000, Ns::new(n("ns.example.net")))).unwrap();
        b.finish()
    }
    let q = Query::new(&n("www.example.org"), Rtype::A, true, &[0; ENTROPY]).unwrap();
    let empty = || answer(q.as_slice(), Rcode::NOERROR, &[], &[]);
    let absent = Some(Verdict::Absent { exists: true, ttl: 0 });
    let table = [
        (bits(empty(), false, false), Some(Verdict::Failure)),
        (bits(empty(), true, false), absent.clone()),
        (bits(empty(), false, true), absent.clone()),
        (bits(refers(q.as_slice()), false, true), Some(Verdict::Failure)),
        (bits(refers(q.as_slice()), true, true), absent),
    ];
    for (answer, verdict) in table {
        assert_eq!(q.read(&answer, true), verdict);
    }
    // The next server is asked.
    let (fake, p) = world();
    fake.serve(|s| s.name_servers = servers(&["9.9.9.9:53", "10.0.2.3:53"]));
    then(fake, refers);
    then(fake, |q| answer(q, Rcode::NOERROR, &[], &[("www.example.org", "1.2.3.4")]));
    assert_eq!(p.resolve_ipv4("www.example.org"), Ok(ips(&["1.2.3.4"])));
}

#[test]
fn a_server_of_the_link_is_asked_on_the_link() {
    let (fake, p) = world();
    fake.serve(|s| s.name_servers = servers(&["[fe80::53%2]:53"]));
    then(fake, |q| answer(q, Rcode::NOERROR, &[], &[("www.example.org", "1.2.3.4")]));
    assert_eq!(p.resolve_ipv4("www.example.org"), Ok(ips(&["1.2.3.4"])));
    let to = alloc::format!("{:?}", Address::from("[fe80::53%2]:53".parse::<SocketAddr>().unwrap()).as_bytes());
    assert!(fake.serve(|s| s.requests.iter().any(|r| r.starts_with("Connect") && r.contains(&to))));
}

#[test]
fn names_of_addresses() {
    assert_eq!(reverse_name([10, 0, 2, 3].into()).unwrap().to_string(), "3.2.0.10.in-addr.arpa");
    let six = reverse_name("2001:db8::1".parse().unwrap()).unwrap().to_string();
    assert_eq!(six, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    let (fake, p) = world();
    then(fake, |q| {
        let query = Message::from_slice(q).unwrap();
        let mut b = MessageBuilder::new_vec().start_answer(query, Rcode::NOERROR).unwrap();
        for name in ["\\027[2Jevil", "gate.example.org"] {
            b.push((n("2.2.0.10.in-addr.arpa"), 60, Ptr::new(n(name)))).unwrap();
        }
        b.finish()
    });
    // What no host is called is left out: it may be shown to somebody.
    assert_eq!(p.resolve_address([10, 0, 2, 2].into()).unwrap(), ["gate.example.org"]);
    assert_eq!(p.resolve_address("::ffff:127.0.0.1".parse().unwrap()).unwrap(), ["localhost"]);
}

proptest! {
    #[test]
    fn no_answer_is_fatal(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), like in any::<bool>(), kind in 0..3) {
        let kind = [Rtype::A, Rtype::AAAA, Rtype::PTR][kind as usize];
        let q = Query::new(&n("example.org"), kind, true, &[7; ENTROPY]).unwrap();
        if like {
            // The header and the question are right, the rest is noise.
            let mut a = answer(q.as_slice(), Rcode::NOERROR, &[], &[]);
            a[7] = bytes.len() as u8 / 16;
            a.extend_from_slice(&bytes);
            bytes = a;
        }
        let _ = q.read(&bytes, false);
        let _ = q.read(&bytes, true);
        let _ = parse_servers(&bytes);
    }

    #[test]
    fn an_answer_to_something_else_is_none(id in any::<u8>(), host in "[a-z]{1,10}\\.org", kind in any::<bool>()) {
        let kind = if kind { Rtype::A } else { Rtype::AAAA };
        let ours = Query::new(&n("example.org"), Rtype::A, true, &[7; ENTROPY]).unwrap();
        let theirs = Query::new(&n(&host), kind, true, &[id; ENTROPY]).unwrap();
        let a = answer(theirs.as_slice(), Rcode::NOERROR, &[], &[(&host, "1.2.3.4")]);
        prop_assert_eq!(ours.read(&a, false).is_some(), id == 7 && host == "example.org" && kind == Rtype::A);
    }
}
