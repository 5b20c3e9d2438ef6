//! Descriptors in messages by AF_UNIX (unix(7), SCM_RIGHTS).

use alloc::vec::Vec;

use super::{
    unix::{ioctl_int, name, named, recv_into},
    unix_messages::{Items, receive},
};
use crate::{
    case::*,
    files::{FilesHere, inside, open, put},
    posix::*,
    test::*,
};

const STREAM: &[On] = &[UNIX_STREAM];
const S: i32 = SOL_SOCKET;

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("a descriptor in a message", "unix(7) SCM_RIGHTS", UNIX, one_right),
    Case::new("data moves on a descriptor that came", "unix(7) SCM_RIGHTS", UNIX, right_works),
    Case::new("several descriptors", "unix(7) SCM_RIGHTS", UNIX, several_rights),
    Case::new("MSG_CMSG_CLOEXEC", "recvmsg(2)", UNIX, rights_cloexec),
    Case::new("a wrong descriptor in a message", "unix(7) EBADF", UNIX, wrong_right),
    Case::new("no room for descriptors", "recvmsg(2) MSG_CTRUNC", UNIX, rights_cut),
    Case::new("descriptors that nobody reads", "unix(7) SCM_RIGHTS", UNIX, rights_unread),
    Case::new("plain data goes with what comes before a descriptor", "unix(7)", STREAM, glued),
    Case::new("MSG_PEEK clones descriptors", "unix(7)", UNIX, peek_rights),
    Case::new("sockets sent over themselves", "unix(7) SCM_RIGHTS", UNIX, cycle),
    Case::new("a receive ends with a message that had descriptors", "unix(7) SCM_RIGHTS", STREAM, message_ends),
    Case::new("MSG_WAITALL ends with it too", "unix(7) SCM_RIGHTS", STREAM, wait_all_ends),
    Case::new("descriptors with no data", "unix(7) SCM_RIGHTS", UNIX, no_data),
    Case::new("descriptors that go before the sender is accepted", "unix(7) SCM_RIGHTS", UNIX_CONNECTED, early),
    Case::new("an error of one record loses no other", "send(2) EBADF", UNIX_CONNECTED, one_error),
    Case::new("SO_PASSRIGHTS", "socket(7) SO_PASSRIGHTS", UNIX, pass_rights),
    Case::new("files and pipes in messages", "unix(7) SCM_RIGHTS", UNIX, files),
    Case::new("TCP sockets in messages", "unix(7) SCM_RIGHTS", UNIX, tcp),
    Case::new("options that go with a socket", "unix(7) SCM_RIGHTS", ONCE, options),
    Case::new("a wrong descriptor behind a file", "unix(7) EBADF", UNIX, file_not_lost),
    Case::new("MSG_PEEK clones files", "unix(7) SCM_RIGHTS", UNIX, peek_files),
    Case::new("MSG_PEEK before a message with descriptors", "unix(7) SCM_RIGHTS", STREAM, peek_before).differs(
        "A peek that ends before such a message does not give its descriptors; by Linux it does.",
    ),
    Case::new("most descriptors in one message", "unix(7) EINVAL", UNIX, most).differs(
        "One message has at most 110 sockets, or 22 files (a file counts as five): they must fit a call. Linux: 253.",
    ),
    Case::new("most descriptors on their way", "unix(7) ETOOMANYREFS", UNIX, too_many).differs(
        "A client has no more of them on their way than it may have sockets; there are no capabilities that lift the limit.",
    ),
    Case::new("most messages with descriptors", "unix(7) SCM_RIGHTS", STREAM, many_messages).differs(
        "In one direction of a stream 128 messages with control data wait at most; then sendmsg waits or gives EAGAIN.",
    ),
    Case::new("eventfd, epoll and timerfd in messages", "unix(7) SCM_RIGHTS", UNIX, local_objects).differs(
        "They are the library's own and mean nothing to another client: EINVAL.",
    ),
];

fn rights(fds: &[Fd]) -> Vec<u8> {
    let value: Vec<u8> = fds.iter().flat_map(|fd| fd.to_ne_bytes()).collect();
    let mut bytes = alloc::vec![0; control::space(value.len())];
    control::put(&mut bytes, &mut 0, control::Item { level: S, kind: SCM_RIGHTS, value: &value });
    bytes
}

fn fds_of(items: &Items) -> Vec<Fd> {
    let rights = items.iter().filter(|(kind, _)| *kind == SCM_RIGHTS);
    rights.flat_map(|(_, v)| v.chunks_exact(4).map(|c| i32::from_ne_bytes([c[0], c[1], c[2], c[3]]))).collect()
}

/// A socket that is no part of the case otherwise.
fn cargo(t: &Test<'_>) -> Result<(Fd, Fd), Failure> {
    Ok(ok!(t.socketpair(AF_UNIX, u32::from(SOCK_STREAM) | SOCK_NONBLOCK, 0)))
}

fn one_right(t: &Test<'_>) -> Outcome {
    let ((a, b), (c, d)) = (t.pair()?, cargo(t)?);
    gives!(t.sendmsg(a, &[b"x"], None, &rights(&[d]), 0), 1);
    let (bytes, items, flags) = receive(t, b, 9, 99, 0)?;
    eq!((bytes, flags & MSG_CTRUNC), (b"x".to_vec(), 0));
    let got = fds_of(&items);
    eq!(got.len(), 1);
    that!(got[0] != d);
    // The description is the same, with its flags.
    that!(ok!(t.fcntl(got[0], F_GETFL, 0)) & O_NONBLOCK as i32 != 0);
    gives!(t.fcntl(got[0], F_GETFD, 0), 0);
    t.shut(&[a, b, c, d, got[0]])
}

fn right_works(t: &Test<'_>) -> Outcome {
    let ((a, b), (c, d)) = (t.pair()?, cargo(t)?);
    gives!(t.send(c, b"before", 0), 6);
    gives!(t.sendmsg(a, &[b"x"], None, &rights(&[d]), 0), 1);
    t.shut(&[d])?;
    let got = fds_of(&receive(t, b, 9, 99, 0)?.1);
    eq!(got.len(), 1);
    eq!(t.read_some(got[0], 99)?, b"before");
    gives!(t.send(c, b"after", 0), 5);
    eq!(t.read_some(got[0], 99)?, b"after");
    gives!(t.send(got[0], b"back", 0), 4);
    eq!(t.read_some(c, 99)?, b"back");
    t.shut(&got)?;
    t.wait_all(c, POLLHUP)?;
    t.shut(&[a, b, c])
}

fn several_rights(t: &Test<'_>) -> Outcome {
    let ((a, b), (c, d)) = (t.pair()?, cargo(t)?);
    gives!(t.sendmsg(a, &[b"x"], None, &rights(&[c, d, d]), 0), 1);
    t.shut(&[c, d])?;
    let got = fds_of(&receive(t, b, 9, 99, 0)?.1);
    eq!(got.len(), 3);
    gives!(t.send(got[0], b"1", 0), 1);
    eq!(t.read_some(got[1], 9)?, b"1");
    gives!(t.send(got[0], b"2", 0), 1);
    eq!(t.read_some(got[2], 9)?, b"2");
    t.shut(&got)?;
    t.shut(&[a, b])
}

fn rights_cloexec(t: &Test<'_>) -> Outcome {
    let ((a, b), (c, d)) = (t.pair()?, cargo(t)?);
    gives!(t.sendmsg(a, &[b"x"], None, &rights(&[d]), 0), 1);
    let got = fds_of(&receive(t, b, 9, 99, MSG_CMSG_CLOEXEC)?.1);
    eq!(got.len(), 1);
    gives!(t.fcntl(got[0], F_GETFD, 0), FD_CLOEXEC as i32);
    t.shut(&[a, b, c, d, got[0]])
}

fn wrong_right(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    err!(t.sendmsg(a, &[b"x"], None, &rights(&[a, 999]), 0), EBADF);
    err!(t.sendmsg(a, &[b"x"], None, &rights(&[-1]), 0), EBADF);
    err!(recv_into(t, b, 1, 0), EAGAIN);
    t.shut(&[a, b])
}

fn rights_cut(t: &Test<'_>) -> Outcome {
    let ((a, b), (c, d)) = (t.pair()?, cargo(t)?);
    gives!(t.sendmsg(a, &[b"x"], None, &rights(&[c, d]), 0), 1);
    t.shut(&[c])?;
    // Room for one: the other is closed.
    let (bytes, items, flags) = receive(t, b, 9, control::HEADER + 4, 0)?;
    eq!((bytes, flags & MSG_CTRUNC), (b"x".to_vec(), MSG_CTRUNC));
    let got = fds_of(&items);
    eq!(got.len(), 1);
    t.shut(&got)?;
    t.wait_all(d, POLLHUP)?;
    // Room for none.
    gives!(t.sendmsg(a, &[b"y"], None, &rights(&[d]), 0), 1);
    let (bytes, items, flags) = receive(t, b, 9, 0, 0)?;
    eq!((bytes, items.len(), flags & MSG_CTRUNC), (b"y".to_vec(), 0, MSG_CTRUNC));
    t.shut(&[a, b, d])
}

fn rights_unread(t: &Test<'_>) -> Outcome {
    let ((a, b), (c, d)) = (t.pair()?, cargo(t)?);
    gives!(t.sendmsg(a, &[b"x"], None, &rights(&[d]), 0), 1);
    t.shut(&[d])?;
    // Somebody could receive it yet.
    t.settle()?;
    eq!(t.ready(c, POLLIN)?, 0);
    // A read without a place for it drops it.
    eq!(t.read_some(b, 9)?, b"x");
    t.wait_all(c, POLLHUP)?;
    t.shut(&[c])?;
    let (c, d) = cargo(t)?;
    gives!(t.sendmsg(a, &[b"x"], None, &rights(&[d]), 0), 1);
    t.shut(&[d, b])?;
    t.wait_all(c, POLLHUP)?;
    t.shut(&[a, c])
}

fn glued(t: &Test<'_>) -> Outcome {
    let ((a, b), (c, d)) = (t.pair()?, cargo(t)?);
    gives!(t.send(a, b"cd", 0), 2);
    gives!(t.sendmsg(a, &[b"ab"], None, &rights(&[d]), 0), 2);
    gives!(t.send(a, b"ef", 0), 2);
    let mut count = [0; 4];
    t.until("all of it", || t.ioctl(b, FIONREAD, &mut count).is_ok() && i32::from_ne_bytes(count) == 6)?;
    let (bytes, items, _) = receive(t, b, 99, 99, 0)?;
    eq!(bytes, b"cdab");
    let got = fds_of(&items);
    eq!(got.len(), 1);
    let (bytes, items, _) = receive(t, b, 99, 99, 0)?;
    eq!((bytes, items.len()), (b"ef".to_vec(), 0));
    t.shut(&got)?;
    t.shut(&[a, b, c, d])
}

fn peek_rights(t: &Test<'_>) -> Outcome {
    let ((a, b), (c, d)) = (t.pair()?, cargo(t)?);
    gives!(t.sendmsg(a, &[b"x"], None, &rights(&[d]), 0), 1);
    let first = fds_of(&receive(t, b, 9, 99, MSG_PEEK)?.1);
    let second = fds_of(&receive(t, b, 9, 99, 0)?.1);
    eq!((first.len(), second.len()), (1, 1));
    t.shut(&[d, first[0]])?;
    gives!(t.send(c, b"on", 0), 2);
    eq!(t.read_some(second[0], 9)?, b"on");
    t.shut(&[a, b, c, second[0]])
}

fn cycle(t: &Test<'_>) -> Outcome {
    let before = t.open_sockets();
    // Many times as many as may be on their way.
    for _ in 0..400 {
        let (a, b) = t.pair()?;
        gives!(t.sendmsg(a, &[b"x"], None, &rights(&[a, b, a, b]), 0), 1);
        gives!(t.sendmsg(b, &[b"x"], None, &rights(&[a, b, a, b]), 0), 1);
        t.shut(&[a, b])?;
        // By Strait they are looked for now and then.
        if t.open_sockets() > before.map(|n| n + 20) {
            t.until("sockets are collected", || t.open_sockets() == before)?;
        }
    }
    t.until("all are collected", || t.open_sockets() == before)
}

fn message_ends(t: &Test<'_>) -> Outcome {
    // Whether the reader takes descriptors or not.
    for room in [None, Some(99)] {
        let ((a, b), (c, d)) = (t.pair()?, cargo(t)?);
        let take = |max: usize| -> Result<(Vec<u8>, usize), Failure> {
            match room {
                None => Ok((t.read_some(b, max)?, 0)),
                Some(room) => {
                    let (bytes, items, _) = receive(t, b, max, room, 0)?;
                    let fds = fds_of(&items);
                    t.shut(&fds)?;
                    Ok((bytes, fds.len()))
                }
            }
        };
        let some = usize::from(room.is_some());
        for _ in 0..2 {
            gives!(t.send(a, b"cd", 0), 2);
            gives!(t.sendmsg(a, &[b"ab"], None, &rights(&[d]), 0), 2);
            gives!(t.send(a, b"ef", 0), 2);
        }
        t.settle()?;
        eq!(take(99)?, (b"cdab".to_vec(), some));
        // What was begun before and what was taken are no borders.
        eq!(take(3)?, (b"efc".to_vec(), 0));
        eq!(take(2)?, (b"da".to_vec(), some));
        eq!(take(99)?, (b"bef".to_vec(), 0));
        t.shut(&[a, b, c, d])?;
    }
    Ok(())
}

fn wait_all_ends(t: &Test<'_>) -> Outcome {
    let (a, b) = ok!(t.socketpair(AF_UNIX, t.on.kind.into(), 0));
    let (c, d) = cargo(t)?;
    gives!(t.send(a, b"cd", 0), 2);
    gives!(t.sendmsg(a, &[b"ab"], None, &rights(&[d]), 0), 2);
    gives!(t.send(a, b"ef", 0), 2);
    let (bytes, items, _) = receive(t, b, 6, 99, MSG_WAITALL)?;
    eq!(bytes, b"cdab");
    let got = fds_of(&items);
    eq!(got.len(), 1);
    gives!(recv_into(t, b, 2, MSG_WAITALL), b"ef");
    t.shut(&got)?;
    t.shut(&[a, b, c, d])
}

fn no_data(t: &Test<'_>) -> Outcome {
    let ((a, b), (c, d)) = (t.pair()?, cargo(t)?);
    gives!(t.sendmsg(a, &[b""], None, &rights(&[d]), 0), 0);
    t.shut(&[d])?;
    if t.stream() {
        // There is nothing that they could go with.
        t.wait_all(c, POLLHUP)?;
        err!(recv_into(t, b, 9, 0), EAGAIN);
    } else {
        let (bytes, items, _) = receive(t, b, 9, 99, 0)?;
        let got = fds_of(&items);
        eq!((bytes.len(), got.len()), (0, 1));
        gives!(t.send(c, b"x", 0), 1);
        eq!(t.read_some(got[0], 9)?, b"x");
        t.shut(&got)?;
    }
    t.shut(&[a, b, c])
}

fn early(t: &Test<'_>) -> Outcome {
    let listener = named(t, 0)?;
    ok!(t.listen(listener, 5));
    let (a, (c, d)) = (t.sock()?, cargo(t)?);
    ok!(t.connect(a, &name(t, 0)));
    gives!(t.sendmsg(a, &[b"x"], None, &rights(&[d]), 0), 1);
    gives!(t.send(a, b"y", 0), 1);
    t.shut(&[d, a])?;
    // Its number is somebody else's now.
    let other = t.sock()?;
    let b = t.take(listener)?;
    let (bytes, items, _) = receive(t, b, 1, 99, 0)?;
    let got = fds_of(&items);
    eq!((bytes, got.len()), (b"x".to_vec(), 1));
    gives!(t.send(c, b"it", 0), 2);
    eq!(t.read_some(got[0], 9)?, b"it");
    eq!(t.read_some(b, 9)?, b"y");
    t.wait(b, POLLIN)?;
    gives!(recv_into(t, b, 9, 0), b"");
    t.shut(&got)?;
    t.shut(&[b, c, other, listener])
}

fn one_error(t: &Test<'_>) -> Outcome {
    let listener = named(t, 0)?;
    ok!(t.listen(listener, 5));
    let a = t.sock()?;
    ok!(t.connect(a, &name(t, 0)));
    gives!(t.send(a, b"one", 0), 3);
    err!(t.sendmsg(a, &[b"two"], None, &rights(&[a, 999]), 0), EBADF);
    if !t.stream() {
        err!(t.send(a, &alloc::vec![0; 230_000], 0), EMSGSIZE);
    }
    gives!(t.send(a, b"three", 0), 5);
    let b = t.take(listener)?;
    eq!(t.read_exactly(b, 8)?, b"onethree");
    t.shut(&[a, b, listener])
}

fn pass_rights(t: &Test<'_>) -> Outcome {
    let ((a, b), (c, d)) = (t.pair()?, cargo(t)?);
    gives!(t.option(b, S, SO_PASSRIGHTS), 1);
    ok!(t.set_option(b, S, SO_PASSRIGHTS, 0));
    gives!(t.option(b, S, SO_PASSRIGHTS), 0);
    err!(t.sendmsg(a, &[b"x"], None, &rights(&[d]), 0), EPERM);
    err!(recv_into(t, b, 9, 0), EAGAIN);
    gives!(t.send(a, b"y", 0), 1);
    eq!(t.read_some(b, 9)?, b"y");
    // What is on its way arrives.
    ok!(t.set_option(b, S, SO_PASSRIGHTS, 1));
    gives!(t.sendmsg(a, &[b"x"], None, &rights(&[d]), 0), 1);
    ok!(t.set_option(b, S, SO_PASSRIGHTS, 0));
    let got = fds_of(&receive(t, b, 9, 99, 0)?.1);
    eq!(got.len(), 1);
    t.shut(&got)?;
    t.shut(&[a, b, c, d])
}

fn files(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"content")?;
        let ((a, b), (c, d)) = (t.pair()?, cargo(t)?);
        let file = ok!(t.open("f", open::RDWR, 0));
        gives!(t.read(file, &mut [0; 3]), 3);
        let (r, w) = ok!(t.pipe2(O_NONBLOCK));
        gives!(t.write(w, b"by pipe"), 7);
        gives!(t.sendmsg(a, &[b"x"], None, &rights(&[file, d, r]), 0), 1);
        t.shut(&[d, r])?;
        let got = fds_of(&receive(t, b, 9, 99, 0)?.1);
        eq!(got.len(), 3);
        // One description, one position.
        let mut bytes = [0; 9];
        gives!(t.read(got[0], &mut bytes), 4);
        eq!(&bytes[..4], b"tent");
        gives!(t.read(file, &mut bytes), 0);
        gives!(t.send(c, b"on", 0), 2);
        eq!(t.read_some(got[1], 9)?, b"on");
        gives!(t.read(got[2], &mut bytes), 7);
        t.shut(&got)?;
        // Nobody reads any more.
        t.wait_all(w, POLLERR)?;
        t.shut(&[a, b, c, file, w])
    })
}

fn tcp(t: &Test<'_>) -> Outcome {
    let listener = ok!(t.socket(AF_INET, u32::from(SOCK_STREAM) | SOCK_NONBLOCK, 0));
    let address: Address = (core::net::Ipv4Addr::LOCALHOST.into(), t.port(0)).into();
    ok!(t.bind(listener, &address));
    ok!(t.listen(listener, 5));
    let ((a, b), client) = (t.pair()?, ok!(t.socket(AF_INET, u32::from(SOCK_STREAM) | SOCK_NONBLOCK, 0)));
    t.join(client, &address)?;
    gives!(t.sendmsg(a, &[b"x"], None, &rights(&[listener, client]), 0), 1);
    t.shut(&[listener, client])?;
    let got = fds_of(&receive(t, b, 9, 99, 0)?.1);
    eq!(got.len(), 2);
    let served = t.take(got[0])?;
    gives!(t.send(got[1], b"by TCP", 0), 6);
    eq!(t.read_some(served, 9)?, b"by TCP");
    gives!(t.send(served, b"back", 0), 4);
    eq!(t.read_some(got[1], 9)?, b"back");
    t.shut(&got)?;
    t.wait_all(served, POLLRDHUP)?;
    t.shut(&[a, b, served])
}

fn options(t: &Test<'_>) -> Outcome {
    let (a, b) = cargo(t)?;
    let fd = ok!(t.socket(AF_INET, SOCK_STREAM.into(), 0));
    let mut times = [[0; 16]; 2];
    times[0][..8].copy_from_slice(&7u64.to_ne_bytes());
    times[1][8..].copy_from_slice(&252_000u64.to_ne_bytes());
    ok!(t.setsockopt(fd, S, SO_RCVTIMEO, &times[0]));
    ok!(t.setsockopt(fd, S, SO_SNDTIMEO, &times[1]));
    ok!(t.set_option(fd, S, SO_RCVLOWAT, 5));
    ok!(t.set_option(fd, S, SO_OOBINLINE, 1));
    ok!(t.setsockopt(fd, S, SO_LINGER, &[1, 0, 0, 0, 3, 0, 0, 0]));
    gives!(t.sendmsg(a, &[b"x"], None, &rights(&[fd]), 0), 1);
    t.shut(&[fd])?;
    let got = fds_of(&receive(t, b, 9, 99, 0)?.1);
    eq!(got.len(), 1);
    for (name, wanted) in [(SO_RCVTIMEO, times[0]), (SO_SNDTIMEO, times[1])] {
        let mut time = [0; 16];
        gives!(t.getsockopt(got[0], S, name, &mut time), 16);
        eq!(time, wanted);
    }
    gives!(t.option(got[0], S, SO_RCVLOWAT), 5);
    gives!(t.option(got[0], S, SO_OOBINLINE), 1);
    let mut linger = [0; 8];
    gives!(t.getsockopt(got[0], S, SO_LINGER, &mut linger), 8);
    eq!(linger, [1, 0, 0, 0, 3, 0, 0, 0]);
    eq!(ok!(t.fcntl(got[0], F_GETFL, 0)) as u32 & O_NONBLOCK, 0);
    t.shut(&[a, b, got[0]])
}

fn file_not_lost(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"content")?;
        let (a, b) = t.pair()?;
        let file = ok!(t.open("f", open::RDONLY, 0));
        // More often than files may be on their way.
        for _ in 0..100 {
            err!(t.sendmsg(a, &[b"x"], None, &rights(&[file, -1]), 0), EBADF);
        }
        gives!(t.sendmsg(a, &[b"x"], None, &rights(&[file, file]), 0), 1);
        let got = fds_of(&receive(t, b, 9, 99, 0)?.1);
        eq!(got.len(), 2);
        t.shut(&got)?;
        t.shut(&[a, b, file])
    })
}

fn peek_files(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        put(t, "f", b"content")?;
        let ((a, b), (c, d)) = (t.pair()?, cargo(t)?);
        let file = ok!(t.open("f", open::RDONLY, 0));
        gives!(t.sendmsg(a, &[b"x"], None, &rights(&[file, d]), 0), 1);
        for flags in [MSG_PEEK, MSG_PEEK, 0] {
            let (_, items, flags) = receive(t, b, 9, 99, flags)?;
            let got = fds_of(&items);
            eq!((got.len(), flags & MSG_CTRUNC), (2, 0));
            gives!(t.read(got[0], &mut [0; 2]), 2);
            t.shut(&got)?;
        }
        gives!(t.read(file, &mut [0; 9]), 1);
        t.shut(&[a, b, c, d, file])
    })
}

fn peek_before(t: &Test<'_>) -> Outcome {
    let ((a, b), (c, d)) = (t.pair()?, cargo(t)?);
    gives!(t.send(a, b"cd", 0), 2);
    gives!(t.sendmsg(a, &[b"ab"], None, &rights(&[d]), 0), 2);
    t.settle()?;
    let (bytes, items, _) = receive(t, b, 1, 99, MSG_PEEK)?;
    let got = fds_of(&items);
    eq!((bytes, got.len()), (b"c".to_vec(), t.by_world(1, 0)));
    t.shut(&got)?;
    t.shut(&[a, b, c, d])
}

fn most(t: &Test<'_>) -> Outcome {
    let ((a, b), (c, d)) = (t.pair()?, cargo(t)?);
    let most = t.by_world(253, 110);
    err!(t.sendmsg(a, &[b"x"], None, &rights(&alloc::vec![d; most + 1]), 0), EINVAL);
    gives!(t.sendmsg(a, &[b"x"], None, &rights(&alloc::vec![d; most]), 0), 1);
    let got = fds_of(&receive(t, b, 9, 2000, 0)?.1);
    eq!(got.len(), most);
    t.shut(&got)?;
    t.shut(&[a, b, c, d])
}

fn too_many(t: &Test<'_>) -> Outcome {
    let ((a, b), (c, d)) = (t.pair()?, cargo(t)?);
    let message = rights(&[d; 100]);
    let sent = (0..60).map(|_| t.sendmsg(a, &[b"x"], None, &message, 0)).find(|r| r.is_err());
    // Who runs the suite on Linux has CAP_SYS_RESOURCE.
    eq!(sent, t.by_world(None, Some(Err(Errno::ETOOMANYREFS))));
    gives!(t.send(a, b"plain", 0), 5);
    let first = fds_of(&receive(t, b, 1, 1000, 0)?.1);
    eq!(first.len(), 100);
    t.shut(&first)?;
    gives!(t.sendmsg(a, &[b"x"], None, &message, 0), 1);
    t.shut(&[a, b, c, d])
}

fn many_messages(t: &Test<'_>) -> Outcome {
    let ((a, b), (c, d)) = (t.pair()?, cargo(t)?);
    let mut sent = 0;
    while sent < 200 && t.sendmsg(a, &[b"x"], None, &rights(&[d]), 0).is_ok() {
        sent += 1;
    }
    eq!(sent, t.by_world(200, 128));
    for _ in 0..sent {
        let got = fds_of(&receive(t, b, 9, 99, 0)?.1);
        eq!(got.len(), 1);
        t.shut(&got)?;
    }
    gives!(t.sendmsg(a, &[b"x"], None, &rights(&[d]), 0), 1);
    t.wait(b, POLLIN)?;
    gives!(ioctl_int(t, b, SIOCINQ), 1);
    t.shut(&[a, b, c, d])
}

fn local_objects(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    for fd in [ok!(t.eventfd(1, 0)), ok!(t.epoll_create1(0)), ok!(t.timerfd_create(CLOCK_MONOTONIC, 0))] {
        let sent = t.sendmsg(a, &[b"x"], None, &rights(&[fd]), 0);
        eq!(sent, t.by_world(Ok(1), Err(Errno::EINVAL)));
        if sent.is_ok() {
            let got = fds_of(&receive(t, b, 9, 99, 0)?.1);
            eq!(got.len(), 1);
            t.shut(&got)?;
        }
        t.shut(&[fd])?;
    }
    t.shut(&[a, b])
}
