use alloc::{rc::Rc, vec, vec::Vec};
use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures_util::future::{Either, join, select};
use proptest::prelude::*;
use strait_abi::{Address, Errno, session::status};

use super::*;
use crate::{
    fake::{Fake, OTHER},
    net::{self, Descriptor, Error},
    resolve::ResolveError,
};

fn world() -> (&'static Fake, Process, Executor) {
    let (fake, env) = Fake::new(512, &[]);
    let p = Process::new(&env).unwrap();
    let e = Executor::new(&p);
    (fake, p, e)
}

fn peer() -> SocketAddr {
    SocketAddr::from(([10, 0, 2, 2], 80))
}

/// A connection; its number in the server.
fn stream(p: &Process, e: &Executor) -> (TcpStream, u16) {
    let stream = e.block_on(TcpStream::connect(p, peer())).unwrap();
    let handle = p.socket_of(stream.get_ref().fd()).unwrap().handle;
    (stream, handle)
}

#[test]
fn a_server_with_a_task_for_each_connection() {
    let (fake, p, e) = world();
    let listener = TcpListener::bind(&p, "0.0.0.0:7").unwrap();
    for _ in 0..2 {
        fake.then(|f| {
            f.serve(|s| s.arrive(0, Address::from(peer())));
        });
    }
    // The second one speaks first.
    for handle in [2, 1] {
        fake.then(move |f| {
            f.serve(|s| s.push(handle, b"hello"));
        });
        fake.then(move |f| {
            f.serve(|s| {
                assert_eq!(s.take(handle), b"hello");
                s.change(handle, status::RDHUP, 0);
            });
        });
    }
    let ended = Rc::new(RefCell::new(Vec::new()));
    let (log, tasks) = (ended.clone(), e.clone());
    e.block_on(async move {
        let mut all = Vec::new();
        for i in 1..=2 {
            let (mut stream, from) = listener.accept().await.unwrap();
            assert_eq!(from, peer());
            let log = log.clone();
            all.push(tasks.spawn(async move {
                let mut buffer = [0; 16];
                loop {
                    match stream.read(&mut buffer).await.unwrap() {
                        0 => break,
                        n => stream.write_all(&buffer[..n]).await.unwrap(),
                    }
                }
                log.borrow_mut().push(i);
                i
            }));
        }
        for (i, task) in all.into_iter().enumerate() {
            assert_eq!(task.await, i + 1);
        }
    });
    assert_eq!(*ended.borrow(), [2, 1]);
    assert_eq!(fake.steps_left(), 0);
    assert!(fake.serve(|s| s.socket(1).closed.is_some() && s.socket(2).closed.is_some()));
}

#[test]
fn connecting_waits_and_may_fail() {
    let (fake, p, e) = world();
    fake.serve(|s| s.connect = Err(Errno::EINPROGRESS));
    fake.then(|f| f.serve(|s| s.change(0, status::CONNECTED, 0)));
    let (connected, handle) = stream(&p, &e);
    assert_eq!((handle, connected.get_ref().take_error()), (0, Ok(None)));
    fake.then(|f| f.serve(|s| s.fail(1, Errno::ECONNREFUSED, status::HUP)));
    let refused = e.block_on(TcpStream::connect(&p, peer())).err();
    assert_eq!(refused, Some(Error::System(Errno::ECONNREFUSED)));
    assert!(fake.serve(|s| s.socket(1).closed.is_some()));
    fake.serve(|s| s.connect = Err(Errno::ENETUNREACH));
    assert_eq!(e.block_on(TcpStream::connect(&p, peer())).err(), Some(Error::System(Errno::ENETUNREACH)));
}

#[test]
fn both_directions_at_once() {
    let (fake, p, e) = world();
    let (stream, handle) = stream(&p, &e);
    // The peer takes what was sent before it answers.
    fake.then(move |f| {
        assert_eq!(f.serve(|s| s.take(handle)).len(), 4096);
    });
    fake.then(move |f| {
        f.serve(|s| {
            assert_eq!(s.take(handle).len(), 904);
            s.push(handle, b"done")
        });
    });
    let mut answer = [0; 4];
    let data = vec![1; 5000];
    let (mut reader, mut writer) = (&stream, &stream);
    let (read, written) = e.block_on(join(reader.read_exact(&mut answer), writer.write_all(&data)));
    assert_eq!((read, written, &answer), (Ok(()), Ok(()), b"done"));
}

#[test]
fn time_goes_by() {
    let (_, p, e) = world();
    let before = p.now();
    e.block_on(sleep(&p, Duration::from_secs(3))).unwrap();
    assert_eq!(p.now() - before, Duration::from_secs(3));
    let slow = timeout(&p, Duration::from_secs(1), sleep(&p, Duration::from_secs(9)));
    assert_eq!(e.block_on(slow), Err(Errno::ETIMEDOUT));
    let quick = timeout(&p, Duration::from_secs(9), sleep(&p, Duration::from_secs(1)));
    assert_eq!(e.block_on(quick), Ok(Ok(())));
    assert_eq!(p.now() - before, Duration::from_secs(5));
    // Who gave up is not woken any more.
    assert_eq!(p.reactor().deadline(), None);
    // The same deadline for many.
    let all: Vec<_> = (0..50).map(|_| e.spawn(sleep(&p, Duration::from_secs(1)))).collect();
    e.block_on(async {
        for task in all {
            task.await.unwrap();
        }
    });
    assert_eq!(p.now() - before, Duration::from_secs(6));
}

#[test]
fn whoever_comes_first() {
    let (fake, p, e) = world();
    let (stream, handle) = stream(&p, &e);
    let mut byte = [0];
    fake.then(move |f| {
        f.serve(|s| s.push(handle, b"x"));
    });
    let mut reader = &stream;
    let first = e.block_on(async {
        match select(core::pin::pin!(reader.read(&mut byte)), sleep(&p, Duration::from_secs(5))).await {
            Either::Left((n, _)) => n,
            Either::Right(_) => panic!("there was data"),
        }
    });
    assert_eq!((first, byte), (Ok(1), *b"x"));
}

#[test]
fn who_has_much_to_do_leaves_others_their_turn() {
    let (fake, p, e) = world();
    let (busy, _) = stream(&p, &e);
    let (other, handle) = stream(&p, &e);
    let turns = Rc::new(Cell::new(0));
    let count = turns.clone();
    drop(e.spawn(async move {
        loop {
            busy.writable().await.unwrap();
            count.set(count.get() + 1);
        }
    }));
    fake.serve(|s| s.push(handle, b"x"));
    e.block_on(other.readable()).unwrap();
    let tasks = e.clone();
    let byte = e.block_on(async move {
        let mut byte = [0];
        let task = tasks.spawn(async move {
            (&other).read(&mut byte).await.unwrap();
            byte
        });
        task.await
    });
    assert_eq!(byte, *b"x");
    assert!(turns.get() >= BUDGET);
}

#[test]
fn datagrams() {
    let (fake, p, e) = world();
    let socket = UdpSocket::bind(&p, "0.0.0.0:7").unwrap();
    fake.then(|f| {
        f.serve(|s| s.push_datagram(0, &Address::from(peer()), b"ping"));
    });
    let mut buffer = [0; 16];
    let (n, from) = e.block_on(socket.recv_from(&mut buffer)).unwrap();
    assert_eq!((&buffer[..n], from), (&b"ping"[..], peer()));
    assert_eq!(e.block_on(socket.send_to(b"pong", from)), Ok(4));
    assert_eq!(fake.serve(|s| s.take_datagram(0).unwrap()), (Address::from(peer()), b"pong".to_vec()));
}

#[test]
fn the_components_own_channels() {
    let (fake, p, e) = world();
    fake.then(|f| f.woken.set(ChannelSet(1 << OTHER)));
    assert_eq!(e.block_on(notifications(&p)), ChannelSet(1 << OTHER));
}

#[test]
fn blocking_calls_inside_tasks_lose_nothing() {
    let (fake, p, e) = world();
    let (async_stream, handle) = stream(&p, &e);
    let blocking = net::TcpStream::connect(&p, peer()).unwrap();
    let process = p.clone();
    // While it blocks, the other task's data comes.
    fake.then(move |f| {
        f.serve(|s| s.push(handle, b"a"));
    });
    fake.then(move |f| {
        f.serve(|s| s.push(1, b"b"));
    });
    let task = e.spawn(async move {
        let mut byte = [0];
        (&async_stream).read(&mut byte).await.unwrap();
        byte[0]
    });
    let inner = e.clone();
    let got = e.block_on(async move {
        let mut byte = [0];
        assert_eq!(process.recv(blocking.fd(), &mut byte, 0), Ok(1));
        // One executor inside itself: only this future goes on.
        let nested = inner.block_on(async { 5 });
        (byte[0], nested, task.await)
    });
    assert_eq!(got, (b'b', 5, b'a'));
}

#[test]
fn an_executor_inside_a_task_sleeps() {
    let (_, p, e) = world();
    let (process, inner) = (p.clone(), e.clone());
    let task = e.spawn(async move {
        // Somebody else could go on, but does not.
        drop(inner.spawn(async {}));
        inner.block_on(sleep(&process, Duration::from_secs(2)))
    });
    let before = p.now();
    assert_eq!(e.block_on(task), Ok(()));
    assert_eq!(p.now() - before, Duration::from_secs(2));
}

#[test]
fn names_while_others_go_on() {
    let (fake, p, e) = world();
    assert_eq!(e.block_on(resolve(&p, "10.0.2.2")), Ok(vec![IpAddr::from([10, 0, 2, 2])]));
    assert_eq!(e.block_on(resolve(&p, "example.org")), Err(ResolveError::NoServers));
    let server = Address::from(SocketAddr::from(([10, 0, 2, 3], 53)));
    fake.serve(|s| s.name_servers = [&[server.as_bytes().len() as u8], server.as_bytes()].concat());
    let turns = Rc::new(Cell::new(0));
    let (count, process) = (turns.clone(), p.clone());
    drop(e.spawn(async move {
        loop {
            sleep(&process, Duration::from_secs(1)).await.unwrap();
            count.set(count.get() + 1);
        }
    }));
    // Two kinds of addresses at once, three rounds each.
    let before = p.now();
    assert_eq!(e.block_on(resolve(&p, "example.org")), Err(ResolveError::TimedOut));
    assert_eq!(p.now() - before, Duration::from_secs(7));
    assert!((6..=7).contains(&turns.get()), "{}", turns.get());
    assert_eq!(e.block_on(resolve(&p, "localhost")).unwrap().len(), 2);
}

#[test]
fn nothing_is_left_when_all_is_dropped() {
    let (fake, p, e) = world();
    let (stream, handle) = stream(&p, &e);
    let mut task = e.spawn(async move {
        let _ = (&stream).read(&mut [0]).await;
    });
    assert!(e.block_on(timeout(&p, Duration::from_millis(1), &mut task)).is_err());
    assert!(!task.is_finished());
    drop(e);
    assert!(fake.serve(|s| s.socket(handle).closed.is_some()));
    // A socket that lives on in another descriptor has one watcher less.
    let (_, p, e) = world();
    let (stream, _) = super::tests::stream(&p, &e);
    let fd = p.dup(stream.get_ref().fd()).unwrap();
    drop(stream);
    let socket = p.socket_of(fd).unwrap();
    assert_eq!(Rc::strong_count(&socket), 2);
    socket.watchers.wake();
}

#[test]
fn local_sockets() {
    let (fake, p, e) = world();
    let at = net::UnixAddr::from_abstract_name("door").unwrap();
    let listener = UnixListener::bind(&p, &at).unwrap();
    fake.then(|f| {
        f.serve(|s| s.arrive(0, Address::EMPTY));
    });
    fake.then(|f| {
        f.serve(|s| s.push(1, b"hi"));
    });
    let mut buffer = [0; 4];
    let n = e.block_on(async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read(&mut buffer).await.unwrap()
    });
    assert_eq!(&buffer[..n], b"hi");
    // While the queue is full, a connect is tried again.
    fake.serve(|s| s.connect = Err(Errno::EAGAIN));
    let (process, before) = (p.clone(), p.now());
    let task = e.spawn(async move { UnixStream::connect(&process, &at).await.is_ok() });
    e.block_on(sleep(&p, Duration::from_millis(25))).unwrap();
    fake.serve(|s| s.connect = Ok(()));
    assert!(e.block_on(task));
    assert_eq!(p.now() - before, Duration::from_millis(30));
}

proptest! {
    /// However pieces come and are taken, every byte comes back, in order.
    #[test]
    fn nothing_is_lost_on_the_way(pieces in proptest::collection::vec((0..9000usize, any::<bool>()), 0..30)) {
        let (fake, p, e) = world();
        let (mut stream, handle) = stream(&p, &e);
        let (sent, back) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
        let last = pieces.len();
        // In the end the peer sends no more, and takes what comes.
        for (i, (n, take)) in pieces.into_iter().chain((0..100).map(|_| (0, true))).enumerate() {
            let (sent, back) = (sent.clone(), back.clone());
            fake.then(move |f| {
                f.serve(|s| {
                    let mut sent = sent.borrow_mut();
                    let piece: Vec<u8> = (sent.len()..sent.len() + n).map(|at| (at % 251) as u8).collect();
                    let taken = s.push(handle, &piece);
                    sent.extend_from_slice(&piece[..taken]);
                    if take {
                        back.borrow_mut().extend(s.take(handle));
                    }
                    if i == last {
                        s.change(handle, status::RDHUP, 0);
                    }
                    // Nobody is left asleep for want of an event.
                    s.event(handle);
                });
            });
        }
        e.block_on(async move {
            let mut buffer = [0; 777];
            loop {
                match stream.read(&mut buffer).await.unwrap() {
                    0 => break,
                    n => stream.write_all(&buffer[..n]).await.unwrap(),
                }
            }
        });
        let rest = fake.serve(|s| s.socket(handle).closed.clone()).unwrap();
        back.borrow_mut().extend(rest);
        prop_assert!(*sent.borrow() == *back.borrow());
    }
}

#[test]
fn descriptors_of_other_kinds() {
    let (_, p, e) = world();
    let own = |fd| Async::new(net::OwnedFd::new(&p, fd)).unwrap();
    let mut counter = own(p.eventfd(0, 0).unwrap());
    let fd = counter.get_ref().fd();
    let task = e.spawn(async move {
        let mut count = [0; 8];
        counter.read_exact(&mut count).await.unwrap();
        u64::from_ne_bytes(count)
    });
    let process = p.clone();
    e.block_on(async move {
        sleep(&process, Duration::from_secs(1)).await.unwrap();
        process.write(fd, &5u64.to_ne_bytes()).unwrap();
    });
    assert_eq!(e.block_on(task), 5);
    let timer = p.timerfd_create(1, 0).unwrap();
    let second = Duration::from_secs(1);
    p.timerfd_settime(timer, 0, crate::posix::ITimerSpec { interval: second, value: second }).unwrap();
    let mut timer = own(timer);
    let before = p.now();
    for _ in 0..3 {
        let mut count = [0; 8];
        e.block_on(timer.read_exact(&mut count)).unwrap();
        assert_eq!(u64::from_ne_bytes(count), 1);
    }
    assert_eq!(p.now() - before, 3 * second);
}
