use alloc::{format, vec::Vec};
use core::time::Duration;

use strait_abi::session::status;
use strait_libsock::fake::Fake;

use super::*;

const LISTENER: u16 = 0;
const NEAR: u16 = 1;
const FAR: u16 = 2;

/// A relay with one connection, that to the other host still under way.
fn begun() -> (&'static Fake, Process) {
    let (fake, env) = Fake::new(512, &[("to", "192.0.2.1:99")]);
    let (process, ..) = start(&env, &Rc::new(Logger::new(&env))).unwrap();
    fake.serve(|s| {
        s.connect = Err(Errno::EINPROGRESS);
        s.arrive(LISTENER, Address::EMPTY);
    });
    news(&process);
    (fake, process)
}

fn standing() -> (&'static Fake, Process) {
    let (fake, process) = begun();
    fake.serve(|s| s.change(FAR, status::CONNECTED, 0));
    news(&process);
    (fake, process)
}

fn news(process: &Process) {
    while process.dispatch_events(Some(Duration::ZERO)).unwrap() != 0 {}
}

#[test]
fn bytes_go_both_ways_and_half_closes_too() {
    let (fake, process) = begun();
    // What comes early waits.
    fake.serve(|s| s.push(NEAR, b"early"));
    news(&process);
    fake.serve(|s| s.change(FAR, status::CONNECTED, 0));
    news(&process);
    assert_eq!(fake.serve(|s| s.take(FAR)), b"early");
    fake.serve(|s| {
        s.push(NEAR, b"last");
        s.change(NEAR, status::RDHUP, 0);
    });
    news(&process);
    assert_eq!(fake.serve(|s| (s.take(FAR), s.status(FAR) & status::WRSHUT)), (b"last".to_vec(), status::WRSHUT));
    fake.serve(|s| s.push(FAR, b"answer"));
    news(&process);
    assert_eq!(fake.serve(|s| s.take(NEAR)), b"answer");
    fake.serve(|s| s.change(FAR, status::RDHUP | status::HUP, 0));
    news(&process);
    assert!(fake.serve(|s| s.socket(NEAR).closed.is_some() && s.socket(FAR).closed.is_some()));
    assert_eq!(fake.log.borrow().as_str(), "");
}

#[test]
fn what_there_is_no_room_for_waits() {
    let (fake, process) = standing();
    let all: Vec<u8> = (0..20_000u32).map(|i| i as u8).collect();
    let (mut pushed, mut got) = (0, Vec::new());
    while got.len() < all.len() {
        pushed += fake.serve(|s| s.push(FAR, &all[pushed..]));
        news(&process);
        let some = fake.serve(|s| s.take(NEAR));
        assert!(!some.is_empty(), "stuck at {}", got.len());
        got.extend(some);
    }
    assert_eq!(got, all);
}

#[test]
fn an_end_that_fails_resets_the_other() {
    let ends = [
        (FAR, Errno::ECONNREFUSED, "no connection to 192.0.2.1:99"),
        (NEAR, Errno::ECONNRESET, "the near side has failed"),
    ];
    for (end, errno, said) in ends {
        let (fake, process) = begun();
        fake.serve(|s| s.fail(end, errno, status::HUP));
        news(&process);
        assert!(fake.serve(|s| s.socket(NEAR).closed.is_some() && s.socket(FAR).closed.is_some()));
        assert_eq!(fake.log.borrow().as_str(), format!("{said}: {errno}\n"));
        let other = NEAR + FAR - end;
        let lingers = format!("SetOption {{ socket: {other}, level: {SOL_SOCKET}, name: {SO_LINGER}");
        assert!(fake.serve(|s| s.requests.iter().any(|r| r.starts_with(&lingers))));
    }
}

#[test]
fn an_urgent_byte_goes_on_in_its_place() {
    let (fake, process) = standing();
    fake.serve(|s| {
        s.push(NEAR, b"ab!cd");
        s.urgent = Some(b'!');
        s.region.slot(NEAR.into()).unwrap().rx_mark.store(2, core::sync::atomic::Ordering::Relaxed);
        s.change(NEAR, status::MARK | status::PRI, 0);
    });
    news(&process);
    assert_eq!(fake.serve(|s| s.take(FAR)), b"ab!cd");
    let urgent = format!("SendUrgent {{ socket: {FAR}, bytes: 1 }}");
    assert_eq!(fake.serve(|s| s.requests.iter().filter(|r| **r == urgent).count()), 1);
}
