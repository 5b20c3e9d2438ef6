extern crate std;

use std::collections::VecDeque;
use strait_libsock::fake::{Fake, OTHER};

use super::*;

const LISTEN: u16 = 0;
const UDP: u16 = 1;

fn start() -> (&'static Fake, Echo) {
    let (fake, env) = Fake::new(1024, &[("port", "7007")]);
    let echo = Echo::new(&env).unwrap();
    assert_eq!(echo.port, 7007);
    (fake, echo)
}

fn peer(port: u16) -> Address {
    SocketAddr::from(([10, 0, 2, 2], port)).into()
}

/// Lets the service run until it sleeps with nothing more to do.
fn settle(fake: &'static Fake, echo: &mut Echo) {
    let mut events = [Event::default(); 64];
    fake.then(|f| f.woken.set(strait_pd::ChannelSet(1 << OTHER)));
    for _ in 0..1000 {
        echo.turn(&mut events).unwrap();
        if !echo.process.take_foreign_notifications().is_empty() {
            return;
        }
    }
    panic!("never settles");
}

#[test]
fn many_connections_at_once_each_at_its_own_pace() {
    let (fake, mut echo) = start();
    settle(fake, &mut echo);
    let sockets: std::vec::Vec<u16> = (0..64).map(|i| fake.serve(|s| s.arrive(LISTEN, peer(4000 + i)))).collect();
    let mut expected = std::vec![VecDeque::<u8>::new(); 64];
    for round in 0..40u32 {
        for (i, socket) in sockets.iter().enumerate() {
            let data: std::vec::Vec<u8> = (0..1000 + i as u32).map(|n| (n * 7 + round + i as u32) as u8).collect();
            let n = fake.serve(|s| s.push(*socket, &data));
            expected[i].extend(&data[..n]);
        }
        settle(fake, &mut echo);
        for (i, socket) in sockets.iter().enumerate() {
            // Some never read: they must not hold up the others.
            if i % 3 != 0 {
                let got = fake.serve(|s| s.take(*socket));
                assert!(!got.is_empty());
                assert!(expected[i].drain(..got.len()).eq(got.iter().copied()));
            }
        }
    }
    for (i, socket) in sockets.iter().enumerate() {
        while !expected[i].is_empty() {
            settle(fake, &mut echo);
            let got = fake.serve(|s| s.take(*socket));
            assert!(!got.is_empty(), "{i}: {} left", expected[i].len());
            assert!(expected[i].drain(..got.len()).eq(got.iter().copied()));
        }
    }
}

#[test]
fn the_end_of_file_follows_all_data() {
    use strait_abi::session::status;
    let (fake, mut echo) = start();
    let socket = fake.serve(|s| s.arrive(LISTEN, peer(4000)));
    fake.serve(|s| {
        assert_eq!(s.push(socket, &[1; 10_000]), 10_000);
        s.change(socket, status::RDHUP, 0);
    });
    let mut got = 0;
    loop {
        settle(fake, &mut echo);
        if let Some(rest) = fake.serve(|s| s.socket(socket).closed.clone()) {
            assert_eq!(got + rest.len(), 10_000);
            break;
        }
        got += fake.serve(|s| s.take(socket)).len();
    }
}

#[test]
fn datagrams_of_all_sizes() {
    let (fake, mut echo) = start();
    for n in [0, 1, 512, 1472, 9000, 65_507] {
        let data: std::vec::Vec<u8> = (0..n).map(|i| i as u8).collect();
        fake.serve(|s| assert!(s.push_datagram(UDP, &peer(5000), &data)));
        settle(fake, &mut echo);
        assert_eq!(fake.serve(|s| s.take_datagram(UDP)), Some((peer(5000), data)));
    }
}

#[test]
fn no_place_for_a_connection_is_not_for_ever() {
    use strait_abi::session::status;
    let (fake, mut echo) = start();
    echo.process.set_descriptor_limit(6);
    let first = fake.serve(|s| s.arrive(LISTEN, peer(1)));
    let second = fake.serve(|s| s.arrive(LISTEN, peer(2)));
    settle(fake, &mut echo);
    fake.serve(|s| s.push(second, b"hello"));
    settle(fake, &mut echo);
    assert_eq!(fake.serve(|s| s.take(second)), b"");
    fake.serve(|s| s.change(first, status::RDHUP, 0));
    settle(fake, &mut echo);
    assert_eq!(fake.serve(|s| s.take(second)), b"hello");
}

#[test]
fn a_bad_port_is_told() {
    for port in ["0", "65536", "x"] {
        let (_, env) = Fake::new(512, &[("port", port)]);
        assert!(matches!(Echo::new(&env), Err(Failure::Port)));
    }
}
