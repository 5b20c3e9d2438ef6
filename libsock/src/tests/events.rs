//! Event loops.

use core::time::Duration;

use strait_abi::session::status;
use strait_pd::ChannelSet;

use super::*;
use crate::{Event, fake::OTHER};

#[test]
fn a_round_trip_costs_one_wait() {
    let (fake, p, fd) = connected();
    p.defer_notify(true);
    p.watch(fd, 77).unwrap();
    let mut events = [Event::default(); 4];
    assert_eq!(p.wait_events(&mut events, None), Ok(1));
    assert_eq!(events[0], Event { token: 77, ready: POLLOUT });
    fake.woken.take();
    let (calls, notified, waits) = (fake.calls.get(), fake.notified.get(), fake.waits.get());
    for _ in 0..10 {
        fake.then(|f| {
            f.serve(|s| s.push(FIRST, b"ping"));
        });
        assert_eq!(p.wait_events(&mut events, None), Ok(1));
        assert_eq!(events[0], Event { token: 77, ready: POLLIN | POLLOUT });
        let mut b = [0; 64];
        let n = p.recv(fd, &mut b, 0).unwrap();
        p.send(fd, &b[..n], 0).unwrap();
        assert!(fake.serve(|s| s.take(FIRST)) == b"ping");
    }
    assert_eq!(fake.calls.get(), calls);
    assert_eq!(fake.waits.get() - waits, 10);
    assert!(fake.notified.get() - notified <= 10);
}

#[test]
fn more_events_than_places_come_later() {
    let (fake, p) = process();
    for token in 0..5 {
        let fd = p.socket(AF_INET, SOCK_DGRAM.into(), 0).unwrap();
        p.watch(fd, token).unwrap();
    }
    let mut events = [Event::default(); 3];
    assert_eq!(p.wait_events(&mut events, None), Ok(3));
    assert_eq!(events.map(|e| e.token), [0, 1, 2]);
    assert_eq!(p.wait_events(&mut events, None), Ok(2));
    assert_eq!(events[..2].iter().map(|e| e.token).collect::<alloc::vec::Vec<_>>(), [3, 4]);
    // A closed socket gives none.
    fake.serve(|s| s.event(4));
    p.close(7).unwrap();
    assert_eq!(p.wait_events(&mut events, Some(Duration::ZERO)), Ok(0));
    assert_eq!(p.wait_events(&mut events, Some(Duration::from_secs(1))), Ok(0));
}

#[test]
fn other_channels_are_handed_over() {
    let (fake, p, fd) = connected();
    fake.then(|f| f.woken.set(ChannelSet(1 << OTHER)));
    fake.then(|f| {
        f.serve(|s| s.push(FIRST, b"x"));
    });
    assert_eq!(p.recv(fd, &mut [0], 0), Ok(1));
    assert_eq!(p.wait_events(&mut [Event::default()], None), Ok(0));
    assert_eq!(p.take_foreign_notifications(), ChannelSet(1 << OTHER));
    assert!(p.take_foreign_notifications().is_empty());
}

#[test]
fn put_off_notifications_go_before_sleep() {
    let (fake, p, fd) = connected();
    p.defer_notify(true);
    fake.serve(crate::fake::Server::run);
    let before = fake.notified.get();
    p.send(fd, b"x", 0).unwrap();
    p.send(fd, b"y", 0).unwrap();
    assert_eq!(fake.notified.get(), before);
    fake.then(|f| f.serve(|s| s.change(FIRST, status::RDHUP, 0)));
    assert_eq!(p.recv(fd, &mut [0], 0), Ok(0));
    assert_eq!(fake.notified.get(), before + 1);
    p.send(fd, b"z", 0).unwrap();
    p.flush();
    assert_eq!(fake.notified.get(), before + 2);
}
