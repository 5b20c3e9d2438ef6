use super::*;
use crate::fake::Fake;
use domain::{base::Record, rdata::Cname};
use proptest::prelude::*;

fn n(text: &str) -> Name<Vec<u8>> {
    name(text).unwrap()
}

/// An answer to `query`: aliases, then addresses of the last of them.
fn answer(query: &[u8], rcode: Rcode, aliases: &[(&str, &str)], addresses: &[(&str, [u8; 4])]) -> Vec<u8> {
    let query = Message::from_slice(query).unwrap();
    let mut b = MessageBuilder::new_vec().start_answer(query, rcode).unwrap();
    for (from, to) in aliases {
        b.push(Record::new(n(from), domain::base::iana::Class::IN, domain::base::Ttl::HOUR, Cname::new(n(to))))
            .unwrap();
    }
    for (owner, ip) in addresses {
        b.push((n(owner), 60, A::new((*ip).into()))).unwrap();
    }
    b.finish()
}

/// Each time the client sleeps, the question that it sent is answered.
fn resolve(answers: Vec<impl Fn(&[u8]) -> Vec<u8> + 'static>) -> (&'static Fake, Result<Vec<IpAddr>, ResolveError>) {
    let (fake, env) = Fake::new(512, &[]);
    fake.serve(|s| s.name_servers = vec![4, 10, 0, 2, 3, 9, 1]);
    let p = Process::new(&env).unwrap();
    for answer in answers {
        fake.then(move |f| {
            f.serve(|s| {
                let (_, question) = s.take_datagram(0).unwrap();
                let from = Address::from(SocketAddr::from(([10, 0, 2, 3], 53)));
                assert!(s.push_datagram(0, &from, &answer(&question)));
            });
        });
    }
    (fake, p.resolve("www.example.org"))
}

#[test]
fn aliases_are_followed() {
    let (fake, got) = resolve(vec![|q: &[u8]| {
        answer(
            q,
            Rcode::NOERROR,
            &[("www.example.org", "a.example.net"), ("a.example.net", "B.example.com")],
            &[("other.example.com", [6, 6, 6, 6]), ("b.example.COM", [1, 2, 3, 4]), ("b.example.com", [5, 6, 7, 8])],
        )
    }]);
    assert_eq!(got, Ok(vec![IpAddr::from([1, 2, 3, 4]), IpAddr::from([5, 6, 7, 8])]));
    assert!(fake.serve(|s| s.socket(0).closed.is_some()));
}

#[test]
fn endless_aliases_end() {
    let (_, got) = resolve(vec![|q: &[u8]| {
        answer(q, Rcode::NOERROR, &[("www.example.org", "a.b"), ("a.b", "www.example.org")], &[])
    }]);
    // The server failed; asked again, nobody answers.
    assert_eq!(got, Err(ResolveError::TimedOut));
}

#[test]
fn answers_that_tell_why_not() {
    fn unknown(q: &[u8]) -> Vec<u8> {
        answer(q, Rcode::NXDOMAIN, &[], &[])
    }
    let (_, got) = resolve(vec![unknown as fn(&[u8]) -> Vec<u8>, unknown]);
    assert_eq!(got, Err(ResolveError::NotFound));
    let (_, got) = resolve(vec![|q: &[u8]| {
        let mut a = answer(q, Rcode::NOERROR, &[], &[]);
        a[2] |= 2;
        a
    }]);
    assert_eq!(got, Err(ResolveError::Truncated));
}

#[test]
fn a_silent_server_is_asked_again() {
    let (fake, env) = Fake::new(512, &[]);
    let p = Process::new(&env).unwrap();
    assert_eq!(p.resolve("example.org"), Err(ResolveError::NoServers));
    fake.serve(|s| s.name_servers = vec![4, 10, 0, 2, 3, 4, 10, 0, 2, 4]);
    let before = p.now();
    assert_eq!(p.resolve_ipv4("example.org"), Err(ResolveError::TimedOut));
    assert_eq!(p.now() - before, 2 * Duration::from_secs(1 + 2 + 4));
    let asked = fake.serve(|s| s.requests.iter().filter(|r| r.starts_with("Connect")).count());
    assert_eq!(asked, 6);
}

#[test]
fn addresses_and_names() {
    let (_, env) = Fake::new(512, &[]);
    let p = Process::new(&env).unwrap();
    assert_eq!(p.resolve("10.0.2.2"), Ok(vec![IpAddr::from([10, 0, 2, 2])]));
    assert_eq!(p.resolve("[::1]"), Ok(vec!["::1".parse().unwrap()]));
    assert_eq!(p.resolve("localhost"), Ok(vec![Ipv4Addr::LOCALHOST.into()]));
    let long = alloc::format!("{}.org", "x".repeat(64));
    for bad in ["", ".", "a..b", &long, &"ab.".repeat(90), "bücher.example"] {
        assert_eq!(p.resolve(bad), Err(ResolveError::BadName), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_answer_is_fatal(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), like in any::<bool>()) {
        let q = query(7, &n("example.org"), Rtype::A).unwrap();
        if like {
            // The header and the question are right, the rest is noise.
            let mut a = answer(q.as_slice(), Rcode::NOERROR, &[], &[]);
            a[7] = bytes.len() as u8 / 16;
            a.extend_from_slice(&bytes);
            bytes = a;
        }
        let _ = read_answer(&q, &bytes);
        let _ = parse_servers(&bytes);
    }

    #[test]
    fn an_answer_to_something_else_is_none(id in any::<u16>(), host in "[a-z]{1,10}\\.org") {
        let ours = query(7, &n("example.org"), Rtype::A).unwrap();
        let theirs = query(id, &n(&host), Rtype::A).unwrap();
        let a = answer(theirs.as_slice(), Rcode::NOERROR, &[], &[(&host, [1, 2, 3, 4])]);
        prop_assert_eq!(read_answer(&ours, &a).is_some(), id == 7 && host == "example.org");
    }
}
