//! Any order of steps on both sides moves the bytes unchanged.

use alloc::{collections::VecDeque, vec, vec::Vec};

use proptest::prelude::*;
use strait_abi::Errno;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Send(usize),
    Receive(usize, bool),
    Push(usize),
    Take,
    Run,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0usize..20_000).prop_map(Step::Send),
        (0usize..20_000, any::<bool>()).prop_map(|(n, peek)| Step::Receive(n, peek)),
        (0usize..20_000).prop_map(Step::Push),
        Just(Step::Take),
        Just(Step::Run),
    ]
}

/// `n` bytes of an endless sequence.
fn sequence(at: u32, n: usize) -> Vec<u8> {
    (0..n).map(|i| ((at + i as u32).wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

proptest! {
    #[test]
    fn streams(steps in proptest::collection::vec(step(), 1..60), room in 1u32..100_000, defer in any::<bool>()) {
        let (fake, p, fd) = connected();
        p.set_nonblocking(fd, true).unwrap();
        p.defer_notify(defer);
        fake.serve(|s| s.room = room);
        let (mut sent, mut pushed) = (0u32, 0u32);
        let (mut to_server, mut to_client) = (VecDeque::<u8>::new(), VecDeque::<u8>::new());
        for step in steps {
            match step {
                Step::Send(n) => {
                    let data = sequence(sent, n);
                    match p.send(fd, &data, 0) {
                        Ok(n) => { sent += n as u32; to_server.extend(&data[..n]); }
                        Err(e) => prop_assert_eq!(e, Errno::EAGAIN),
                    }
                }
                Step::Push(n) => {
                    let data = sequence(pushed, n);
                    let n = fake.serve(|s| s.push(FIRST, &data));
                    pushed += n as u32;
                    to_client.extend(&data[..n]);
                }
                Step::Receive(n, peek) => {
                    let mut b = vec![0; n];
                    match p.recv(fd, &mut b, if peek { MSG_PEEK } else { 0 }) {
                        Ok(n) => {
                            prop_assert!(to_client.iter().take(n).eq(b[..n].iter()));
                            if !peek { to_client.drain(..n); }
                        }
                        Err(e) => { prop_assert_eq!(e, Errno::EAGAIN); prop_assert!(to_client.is_empty()); }
                    }
                }
                Step::Take => {
                    let data = fake.serve(|s| s.take(FIRST));
                    prop_assert!(to_server.drain(..).eq(data.iter().copied()));
                }
                Step::Run => fake.serve(|s| s.run()),
            }
        }
    }

    #[test]
    fn datagrams(steps in proptest::collection::vec((0usize..5_000, 0usize..5_000, any::<bool>()), 1..60)) {
        let (fake, p) = process();
        let fd = p.socket(AF_INET, (u32::from(SOCK_DGRAM)) | SOCK_NONBLOCK, 0).unwrap();
        let (mut there, mut back) = (VecDeque::new(), VecDeque::new());
        for (n, m, take) in steps {
            let to = address("10.0.0.1:1");
            let data = sequence(n as u32, n);
            match p.sendto(fd, &data, 0, &to) {
                Ok(_) => there.push_back(data),
                Err(e) => prop_assert_eq!(e, Errno::EAGAIN),
            }
            let data = sequence(m as u32, m);
            if fake.serve(|s| s.push_datagram(FIRST, &to, &data)) { back.push_back(data); }
            if take {
                let got = fake.serve(|s| s.take_datagram(FIRST));
                prop_assert_eq!(got.map(|g| g.1), there.pop_front());
                let mut b = [0; 5_000];
                match p.recv(fd, &mut b, 0) {
                    Ok(n) => prop_assert_eq!(Some(b[..n].to_vec()), back.pop_front()),
                    Err(e) => { prop_assert_eq!(e, Errno::EAGAIN); prop_assert!(back.is_empty()); }
                }
            }
        }
    }

    /// A header that makes no sense is an error and reads nothing outside.
    #[test]
    fn any_record_is_safe(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let (fake, p) = process();
        let fd = p.socket(AF_INET, u32::from(SOCK_DGRAM) | SOCK_NONBLOCK, 0).unwrap();
        fake.serve(|s| s.push(FIRST, &bytes));
        for _ in 0..10 {
            let _ = p.recvfrom(fd, &mut [0; 16], 0);
        }
    }
}
