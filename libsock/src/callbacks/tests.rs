use alloc::{format, string::String, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::fake::{Fake, OTHER};
use strait_abi::{
    Address,
    socket::{MSG_DONTWAIT, SO_ERROR, SO_RCVLOWAT, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET},
};

const NOW: Option<Duration> = Some(Duration::ZERO);

type Then = alloc::boxed::Box<dyn Fn(&Process, Fd)>;

/// Writes down what it is told.
#[derive(Default)]
struct Log {
    lines: RefCell<Vec<String>>,
    /// Called after each line, with the descriptor.
    then: RefCell<Option<Then>>,
}

impl Log {
    fn add(&self, process: &Process, fd: Fd, line: String) {
        self.lines.borrow_mut().push(line);
        if let Some(then) = &*self.then.borrow() {
            then(process, fd);
        }
    }

    #[track_caller]
    fn says(&self, expected: &[&str]) {
        assert_eq!(self.lines.take(), expected);
    }
}

impl Callbacks for Log {
    fn connected(&self, process: &Process, fd: Fd) {
        self.add(process, fd, "connected".into());
    }

    fn disconnected(&self, process: &Process, fd: Fd, reason: Reason) {
        self.add(process, fd, format!("disconnected {reason:?}"));
    }

    fn newconn(&self, process: &Process, fd: Fd) {
        self.add(process, fd, "newconn".into());
    }

    fn recv(&self, process: &Process, fd: Fd, bytes: usize) {
        self.add(process, fd, format!("recv {bytes}"));
    }

    fn xmit(&self, process: &Process, fd: Fd, bytes: usize) {
        self.add(process, fd, format!("xmit {bytes}"));
    }

    fn exception(&self, process: &Process, fd: Fd, what: Exception) {
        self.add(process, fd, format!("exception {what:?}"));
    }
}

fn world() -> (&'static Fake, Process, Rc<Log>) {
    let (fake, env) = Fake::new(512, &[]);
    (fake, Process::new(&env).unwrap(), Rc::default())
}

/// A connected stream with callbacks, and what it was told at first.
fn stream(fake: &'static Fake, p: &Process, log: &Rc<Log>) -> Fd {
    let fd = p.socket(2, SOCK_STREAM.into(), 0).unwrap();
    p.connect(fd, &Address::EMPTY).unwrap();
    p.set_callbacks(fd, Some(log.clone())).unwrap();
    assert_eq!(p.dispatch_events(NOW), Ok(1));
    log.says(&["xmit 4096"]);
    assert_eq!(p.dispatch_events(NOW), Ok(0));
    assert!(fake.serve(|s| s.region.to_client().raise()), "it must be told of news");
    fake.woken.take();
    fd
}

#[test]
fn a_connection_from_its_beginning_to_its_end() {
    let (fake, p, log) = world();
    let fd = p.socket(2, u32::from(SOCK_STREAM) | SOCK_NONBLOCK, 0).unwrap();
    p.set_callbacks(fd, Some(log.clone())).unwrap();
    fake.serve(|s| s.connect = Err(Errno::EINPROGRESS));
    assert_eq!(p.connect(fd, &Address::EMPTY), Err(Errno::EINPROGRESS));
    // Nothing is told from inside a call, and nothing yet.
    while p.dispatch_events(NOW).unwrap() != 0 {}
    log.says(&[]);
    fake.serve(|s| s.change(0, status::CONNECTED, 0));
    p.dispatch_events(NOW).unwrap();
    log.says(&["connected", "xmit 4096"]);
    fake.serve(|s| s.push(0, b"hello"));
    p.dispatch_events(NOW).unwrap();
    log.says(&["recv 5"]);
    // What was told is not told again, more is.
    fake.serve(|s| s.event(0));
    p.dispatch_events(NOW).unwrap();
    log.says(&[]);
    fake.serve(|s| s.push(0, b"!"));
    p.dispatch_events(NOW).unwrap();
    log.says(&["recv 6"]);
    fake.serve(|s| s.change(0, status::RDHUP, 0));
    p.dispatch_events(NOW).unwrap();
    log.says(&["recv 0"]);
    fake.serve(|s| s.change(0, status::HUP | status::WRSHUT, 0));
    p.dispatch_events(NOW).unwrap();
    log.says(&["disconnected Closed"]);
    fake.serve(|s| s.change(0, status::PRI, 0));
    p.dispatch_events(NOW).unwrap();
    log.says(&[]);
}

#[test]
fn data_and_end_in_one_go() {
    let (fake, p, log) = world();
    stream(fake, &p, &log);
    fake.serve(|s| {
        s.push(0, b"bye");
        s.change(0, status::RDHUP, 0);
    });
    p.dispatch_events(NOW).unwrap();
    log.says(&["recv 3", "recv 0"]);
}

#[test]
fn an_end_does_not_overtake_the_data_before_it() {
    let (fake, p, log) = world();
    stream(fake, &p, &log);
    *log.then.borrow_mut() = Some(alloc::boxed::Box::new(move |_, _| {
        // The server goes on while callbacks are made.
        if fake.serve(|s| s.status(0)) & status::HUP == 0 {
            fake.serve(|s| {
                s.push(0, b"b");
                s.change(0, status::RDHUP | status::HUP | status::WRSHUT, 0);
            });
        }
    }));
    fake.serve(|s| s.push(0, b"a"));
    p.dispatch_events(NOW).unwrap();
    log.says(&["recv 1"]);
    p.dispatch_events(NOW).unwrap();
    log.says(&["recv 2", "recv 0", "disconnected Closed"]);
}

#[test]
fn failures_are_told_with_their_reason() {
    let (fake, p, log) = world();
    stream(fake, &p, &log);
    fake.serve(|s| {
        s.push(0, b"x");
        s.fail(0, Errno::ECONNRESET, status::HUP | status::RDHUP);
    });
    p.dispatch_events(NOW).unwrap();
    log.says(&["recv 1", "disconnected Failed(ECONNRESET(104))"]);
    let fd = p.socket(2, u32::from(SOCK_STREAM) | SOCK_NONBLOCK, 0).unwrap();
    p.set_callbacks(fd, Some(log.clone())).unwrap();
    fake.serve(|s| s.connect = Err(Errno::EINPROGRESS));
    let _ = p.connect(fd, &Address::EMPTY);
    fake.serve(|s| s.fail(1, Errno::ECONNREFUSED, status::HUP));
    p.dispatch_events(NOW).unwrap();
    log.says(&["disconnected Failed(ECONNREFUSED(111))"]);
    // Without connection an error ends nothing.
    let fd = p.socket(2, SOCK_DGRAM.into(), 0).unwrap();
    p.set_callbacks(fd, Some(log.clone())).unwrap();
    fake.serve(|s| s.fail(2, Errno::ECONNREFUSED, 0));
    p.dispatch_events(NOW).unwrap();
    log.says(&["exception Error(ECONNREFUSED(111))", "xmit 4096"]);
}

#[test]
fn the_reason_is_told_whoever_took_the_error() {
    for by_option in [false, true] {
        let (fake, p, log) = world();
        let fd = stream(fake, &p, &log);
        *log.then.borrow_mut() = Some(alloc::boxed::Box::new(move |p, fd| {
            if by_option {
                let _ = p.option(fd, SOL_SOCKET, SO_ERROR);
            } else {
                // Reads until there is no more, as it should.
                while p.recv(fd, &mut [0; 8], MSG_DONTWAIT).is_ok_and(|n| n != 0) {}
            }
        }));
        fake.serve(|s| {
            s.push(0, b"x");
            s.fail(0, Errno::ECONNRESET, status::HUP | status::RDHUP | status::WRSHUT);
        });
        while p.dispatch_events(NOW).unwrap() != 0 {}
        log.says(&["recv 1", "disconnected Failed(ECONNRESET(104))"]);
        assert_eq!(p.recv(fd, &mut [0; 8], MSG_DONTWAIT), Ok(usize::from(by_option)));
    }
}

#[test]
fn a_socket_that_is_connected_again_is_told_of_anew() {
    let (fake, p, log) = world();
    let fd = p.socket(2, u32::from(SOCK_STREAM) | SOCK_NONBLOCK, 0).unwrap();
    p.set_callbacks(fd, Some(log.clone())).unwrap();
    fake.serve(|s| s.connect = Err(Errno::EINPROGRESS));
    for _ in 0..2 {
        assert_eq!(p.connect(fd, &Address::EMPTY), Err(Errno::EINPROGRESS));
        fake.serve(|s| s.fail(0, Errno::ECONNREFUSED, status::HUP));
        while p.dispatch_events(NOW).unwrap() != 0 {}
        log.says(&["disconnected Failed(ECONNREFUSED(111))"]);
    }
    assert_eq!(p.connect(fd, &Address::EMPTY), Err(Errno::EINPROGRESS));
    fake.serve(|s| s.change(0, status::CONNECTED, 0));
    p.dispatch_events(NOW).unwrap();
    log.says(&["connected", "xmit 4096"]);
    fake.serve(|s| s.change(0, status::RDHUP | status::HUP | status::WRSHUT, 0));
    p.dispatch_events(NOW).unwrap();
    log.says(&["recv 0", "disconnected Closed"]);
}

/// `recv` tells what a receive gives.
#[test]
fn urgent_bytes_and_less_than_the_low_water_mark_are_not_told() {
    let (fake, p, log) = world();
    let fd = stream(fake, &p, &log);
    let mark = |at: u32| {
        fake.serve(|s| {
            s.region.slot(0).unwrap().rx_mark.store(at, Ordering::Relaxed);
            s.change(0, status::MARK | status::PRI, 0);
        });
        while p.dispatch_events(NOW).unwrap() != 0 {}
    };
    fake.serve(|s| s.push(0, b"!"));
    mark(0);
    log.says(&["exception Urgent"]);
    fake.serve(|s| {
        s.push(0, b"ab!cd");
        // The first one was urgent.
        s.region.slot(0).unwrap().rx_skip.store(1, Ordering::Relaxed);
        s.change(0, status::SKIP, 0);
    });
    mark(3);
    log.says(&["exception Urgent", "recv 4"]);
    let mut b = [0; 8];
    assert_eq!((p.recv(fd, &mut b, MSG_DONTWAIT), &b[..2]), (Ok(2), &b"ab"[..]));
    assert_eq!((p.recv(fd, &mut b, MSG_DONTWAIT), &b[..2]), (Ok(2), &b"cd"[..]));
    p.set_option(fd, SOL_SOCKET, SO_RCVLOWAT, 5).unwrap();
    for (piece, told) in [(&b"1234"[..], None), (b"5", Some("recv 5"))] {
        fake.serve(|s| s.push(0, piece));
        p.dispatch_events(NOW).unwrap();
        log.says(told.as_slice());
    }
    assert_eq!(p.recv(fd, &mut b, 0), Ok(5));
    fake.serve(|s| {
        s.push(0, b"end");
        s.change(0, status::RDHUP, 0);
    });
    p.dispatch_events(NOW).unwrap();
    log.says(&["recv 3", "recv 0"]);
}

#[test]
fn room_is_told_after_it_lacked() {
    let (fake, p, log) = world();
    let fd = stream(fake, &p, &log);
    assert_eq!(p.send(fd, &[1; 4000], 0), Ok(4000));
    fake.serve(|s| s.take(0));
    fake.serve(|s| s.event(0));
    p.dispatch_events(NOW).unwrap();
    log.says(&[]);
    let sent = p.send(fd, &[1; 20_000], MSG_DONTWAIT).unwrap();
    assert!(sent < 20_000);
    p.dispatch_events(NOW).unwrap();
    log.says(&[]);
    fake.serve(|s| s.take(0));
    p.dispatch_events(NOW).unwrap();
    assert!(log.lines.take()[0].starts_with("xmit "));
}

#[test]
fn listeners_urgent_data_and_records() {
    let (fake, p, log) = world();
    let fd = p.socket(2, SOCK_STREAM.into(), 0).unwrap();
    p.listen(fd, 5).unwrap();
    p.set_callbacks(fd, Some(log.clone())).unwrap();
    *log.then.borrow_mut() = Some(alloc::boxed::Box::new(|p, fd| {
        let (new, _) = p.accept(fd).unwrap();
        p.close(new).unwrap();
    }));
    fake.serve(|s| s.arrive(0, Address::EMPTY));
    p.dispatch_events(NOW).unwrap();
    log.says(&["newconn"]);
    *log.then.borrow_mut() = None;
    let fd = stream_at(&p, &log);
    fake.serve(|s| s.change(fd.1, status::PRI, 0));
    p.dispatch_events(NOW).unwrap();
    log.says(&["exception Urgent", "xmit 4096"]);
    let udp = p.socket(2, SOCK_DGRAM.into(), 0).unwrap();
    p.set_callbacks(udp, Some(log.clone())).unwrap();
    let handle = p.socket_of(udp).unwrap().handle;
    fake.serve(|s| {
        s.push_datagram(handle, &Address::EMPTY, b"seven77");
        s.push_datagram(handle, &Address::EMPTY, b"more")
    });
    p.dispatch_events(NOW).unwrap();
    log.says(&["recv 7", "xmit 4096"]);
}

fn stream_at(p: &Process, log: &Rc<Log>) -> (Fd, u16) {
    let fd = p.socket(2, SOCK_STREAM.into(), 0).unwrap();
    p.connect(fd, &Address::EMPTY).unwrap();
    p.set_callbacks(fd, Some(log.clone())).unwrap();
    (fd, p.socket_of(fd).unwrap().handle)
}

#[test]
fn a_callback_may_close_its_socket_and_never_nests() {
    let (fake, p, log) = world();
    let fd = stream(fake, &p, &log);
    *log.then.borrow_mut() = Some(alloc::boxed::Box::new(|p, fd| {
        assert_eq!(p.dispatch_events(NOW), Err(Errno::EDEADLK));
        p.close(fd).unwrap();
    }));
    fake.serve(|s| {
        s.push(0, b"x");
        s.change(0, status::RDHUP | status::HUP, 0);
    });
    p.dispatch_events(NOW).unwrap();
    log.says(&["recv 1"]);
    assert_eq!(p.set_callbacks(fd, None), Err(Errno::EBADF));
    assert!(p.dispatcher().entries.borrow().is_empty());
}

#[test]
fn they_are_off_when_the_descriptor_is_closed() {
    let (fake, p, log) = world();
    let fd = stream(fake, &p, &log);
    let other = p.dup(fd).unwrap();
    p.close(fd).unwrap();
    fake.serve(|s| s.push(0, b"x"));
    p.dispatch_events(NOW).unwrap();
    log.says(&[]);
    assert!(p.dispatcher().entries.borrow().is_empty());
    // They can be set again, and taken away.
    p.set_callbacks(other, Some(log.clone())).unwrap();
    p.dispatch_events(NOW).unwrap();
    log.says(&["recv 1", "xmit 4096"]);
    p.set_callbacks(other, None).unwrap();
    fake.serve(|s| s.push(0, b"y"));
    assert_eq!(p.dispatch_events(NOW), Ok(0));
    log.says(&[]);
    p.close(other).unwrap();
    assert_eq!(Rc::strong_count(&log), 1);
}

#[test]
fn waiting_for_news() {
    let (fake, p, log) = world();
    stream(fake, &p, &log);
    fake.then(|f| {
        f.serve(|s| s.push(0, b"x"));
    });
    assert_eq!(p.dispatch_events(None), Ok(1));
    log.says(&["recv 1"]);
    let before = p.now();
    assert_eq!(p.dispatch_events(Some(Duration::from_secs(2))), Ok(0));
    assert_eq!(p.now() - before, Duration::from_secs(2));
    fake.then(|f| f.woken.set(ChannelSet(1 << OTHER)));
    assert_eq!(p.dispatch_events(None), Ok(0));
    assert_eq!(p.take_foreign_notifications(), ChannelSet(1 << OTHER));
    // A notification that the component took itself.
    p.notified(ChannelSet(1 << OTHER));
    assert_eq!(p.take_foreign_notifications(), ChannelSet::EMPTY);
}

#[test]
fn beside_watched_sockets_and_blocking_calls() {
    let (fake, p, log) = world();
    let fd = stream(fake, &p, &log);
    p.watch(fd, 7).unwrap();
    fake.then(|f| {
        f.serve(|s| s.push(0, b"x"));
    });
    let mut byte = [0];
    assert_eq!(p.recv(fd, &mut byte, 0), Ok(1));
    fake.serve(|s| s.push(0, b"yz"));
    assert_eq!(p.dispatch_events(NOW), Ok(1));
    log.says(&["recv 2"]);
    let mut events = [crate::Event::default(); 4];
    assert_eq!(p.wait_events(&mut events, NOW), Ok(1));
    assert_eq!(events[0].token, 7);
}

#[derive(Debug, Clone)]
enum Act {
    Push(u16),
    Take,
    Read(u16),
    Send(u16),
    Set(u32),
    Event,
    Dispatch,
}

fn act() -> impl Strategy<Value = Act> {
    let bits = [status::PRI, status::RDHUP, status::WRSHUT, status::RDHUP | status::HUP | status::WRSHUT];
    prop_oneof![
        (0..6000u16).prop_map(Act::Push),
        Just(Act::Take),
        (0..6000u16).prop_map(Act::Read),
        (0..9000u16).prop_map(Act::Send),
        proptest::sample::select(bits.to_vec()).prop_map(Act::Set),
        Just(Act::Event),
        Just(Act::Dispatch),
        Just(Act::Dispatch),
    ]
}

proptest! {
    /// Whatever happens, what is told is so, in order, and nothing is left out.
    #[test]
    fn what_is_told_is_so(acts in proptest::collection::vec(act(), 0..60)) {
        let (fake, p, log) = world();
        let fd = stream(fake, &p, &log);
        let (mut ended, mut over, mut told, mut short) = (false, false, 0usize, false);
        let (mut arrived, mut read) = (0usize, 0usize);
        for act in acts.into_iter().chain([Act::Take, Act::Dispatch]) {
            let end = fake.serve(|s| s.status(0)) & status::RDHUP != 0;
            match act {
                // Nothing comes after the end.
                Act::Push(n) if !end => arrived += fake.serve(|s| s.push(0, &[7; 6000][..n.into()])),
                Act::Push(_) => {}
                Act::Take => drop(fake.serve(|s| s.take(0))),
                Act::Read(n) => {
                    read += p.recv(fd, &mut [0; 6000][..n.into()], MSG_DONTWAIT).unwrap_or(0);
                    // What was read need not be told.
                    told = told.max(read);
                }
                // Nothing is sent by it, whether there is room or not.
                Act::Send(0) => prop_assert!(p.send(fd, &[], MSG_DONTWAIT).unwrap_or(0) == 0),
                Act::Send(n) => {
                    let sent = p.send(fd, &[1; 9000][..n.into()], MSG_DONTWAIT);
                    short = sent.map_or(sent == Err(Errno::EAGAIN), |sent| sent < n.into());
                }
                Act::Set(bits) => fake.serve(|s| s.change(0, bits, 0)),
                Act::Event => fake.serve(|s| s.event(0)),
                Act::Dispatch => {
                    while p.dispatch_events(NOW).unwrap() != 0 {}
                    for line in log.lines.take() {
                        prop_assert!(!over, "{line} after the end");
                        match line.split(' ').collect::<Vec<_>>()[..] {
                            ["recv", "0"] => {
                                prop_assert!(!ended && told == arrived, "an end before the data");
                                ended = true;
                            }
                            ["recv", n] => {
                                prop_assert!(!ended);
                                let n: usize = n.parse().unwrap();
                                prop_assert!(n == arrived - read && told < arrived);
                                told = arrived;
                            }
                            ["xmit", n] => {
                                prop_assert!(short && n != "0", "{line} and nobody lacked any");
                                short = false;
                            }
                            ["disconnected", "Closed"] => over = true,
                            ["exception", "Urgent"] => {}
                            _ => prop_assert!(false, "{line}"),
                        }
                    }
                    prop_assert!(over || told == arrived, "{} bytes were not told", arrived - told);
                    let word = fake.serve(|s| s.status(0));
                    prop_assert_eq!(over, word & status::HUP != 0);
                    prop_assert!(over || ended == (word & status::RDHUP != 0));
                }
            }
        }
        let open = fake.serve(|s| s.status(0)) & (status::WRSHUT | status::HUP) == 0;
        prop_assert!(!(short && open), "room was not told");
    }
}
