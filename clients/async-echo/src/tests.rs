use strait_abi::{Address, session::status};
use strait_libsock::fake::Fake;

use super::*;

const LISTENER: u16 = 0;
const UDP: u16 = 1;

fn peer(port: u16) -> Address {
    SocketAddr::from(([10, 0, 2, 2], port)).into()
}

/// Runs the service for `time`; its end, if there was one.
fn run(process: &Process, executor: &Executor, time: Duration) -> Option<Error> {
    executor.block_on(timeout(process, time, serve(process, executor, 7007))).ok()
}

fn start() -> (&'static Fake, Process, Executor) {
    let (fake, env) = Fake::new(512, &[]);
    let process = Process::new(&env).unwrap();
    let executor = Executor::new(&process);
    (fake, process, executor)
}

#[test]
fn connections_and_datagrams_come_back() {
    let (fake, process, executor) = start();
    fake.then(|f| {
        f.serve(|s| {
            for i in 0..3 {
                s.arrive(LISTENER, peer(4000 + i));
            }
        });
    });
    for round in 0..3u8 {
        fake.then(move |f| {
            f.serve(|s| {
                for i in 2..5 {
                    assert_eq!(s.push(i, &[round; 1000]), 1000);
                }
                assert!(s.push_datagram(UDP, &peer(53), &[round; 10]));
            });
        });
        fake.then(move |f| {
            f.serve(|s| {
                for i in 2..5 {
                    assert_eq!(s.take(i), [round; 1000]);
                }
                assert_eq!(s.take_datagram(UDP).unwrap(), (peer(53), alloc::vec![round; 10]));
            });
        });
    }
    fake.then(|f| f.serve(|s| s.change(3, status::RDHUP, 0)));
    assert_eq!(run(&process, &executor, Duration::from_secs(1)), None);
    let closed = |i| fake.serve(|s| s.socket(i).closed.is_some());
    assert!(closed(3) && !closed(2) && !closed(4));
    assert_eq!(fake.steps_left(), 0);
}

#[test]
fn a_peer_that_does_not_read_holds_up_nobody() {
    let (fake, process, executor) = start();
    fake.then(|f| {
        f.serve(|s| {
            s.arrive(LISTENER, peer(1));
            s.arrive(LISTENER, peer(2));
        });
    });
    // There is room for 4096 bytes on the way back.
    fake.then(|f| {
        f.serve(|s| s.push(2, &[1; 10_000]));
    });
    fake.then(|f| {
        f.serve(|s| s.push(3, b"hello"));
    });
    assert_eq!(run(&process, &executor, Duration::from_secs(1)), None);
    assert_eq!(fake.serve(|s| (s.take(3), s.take(2).len())), (b"hello".to_vec(), 4096));
}

#[test]
fn silence_is_not_endured_for_ever() {
    let (fake, process, executor) = start();
    fake.then(|f| {
        f.serve(|s| s.arrive(LISTENER, peer(1)));
    });
    assert_eq!(run(&process, &executor, IDLE - Duration::from_secs(1)), None);
    assert!(fake.serve(|s| s.socket(2).closed.is_none()));
    let rest = executor.block_on(sleep(&process, Duration::from_secs(2)));
    assert_eq!(rest, Ok(()));
    assert!(fake.serve(|s| s.socket(2).closed.is_some()));
}
