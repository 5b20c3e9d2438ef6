//! What goes with messages by AF_UNIX: identities and descriptors (unix(7),
//! "Ancillary messages").

use alloc::vec::Vec;

use super::unix::recv_into;
use crate::{case::*, posix::*, test::*};

const STREAM: &[On] = &[UNIX_STREAM];
const S: i32 = SOL_SOCKET;

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("SO_PEERCRED of a pair", "unix(7) SO_PEERCRED", UNIX, peer_credentials),
    Case::new("SO_PEERCRED without a peer", "unix(7) SO_PEERCRED", UNIX, no_credentials),
    Case::new("SO_PASSCRED", "unix(7) SCM_CREDENTIALS", UNIX, pass_credentials),
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
];

fn credentials(t: &Test<'_>, fd: Fd) -> Result<[i32; 3], Errno> {
    let mut value = [0; 12];
    if t.getsockopt(fd, S, SO_PEERCRED, &mut value)? != 12 {
        return Err(Errno::EIO);
    }
    let word = |at: usize| i32::from_ne_bytes([value[at], value[at + 1], value[at + 2], value[at + 3]]);
    Ok([word(0), word(4), word(8)])
}

fn peer_credentials(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let mine = ok!(credentials(t, a));
    that!(mine[0] > 0);
    gives!(credentials(t, b), mine);
    t.shut(&[b])?;
    gives!(credentials(t, a), mine);
    t.shut(&[a])
}

fn no_credentials(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    gives!(credentials(t, fd), [0, -1, -1]);
    t.shut(&[fd])
}

/// One item as (type, value).
type Items = Vec<(i32, Vec<u8>)>;

fn receive(t: &Test<'_>, fd: Fd, max: usize, room: usize, flags: u32) -> Result<(Vec<u8>, Items, u32), Failure> {
    t.wait(fd, POLLIN)?;
    let (mut control, mut bytes) = (alloc::vec![0; room], alloc::vec![0; max]);
    let got = ok!(t.recvmsg(fd, &mut [&mut bytes], &mut control, flags));
    bytes.truncate(got.bytes);
    let items: Result<Items, Errno> =
        control::items(&control[..got.control]).map(|i| i.map(|i| (i.kind, i.value.to_vec()))).collect();
    Ok((bytes, ok!(items), got.flags))
}

fn pass_credentials(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let mine = ok!(credentials(t, a));
    gives!(t.option(b, S, SO_PASSCRED), 0);
    ok!(t.set_option(b, S, SO_PASSCRED, 1));
    gives!(t.option(b, S, SO_PASSCRED), 1);
    gives!(t.send(a, b"x", 0), 1);
    let (bytes, items, _) = receive(t, b, 9, 99, 0)?;
    eq!(bytes, b"x");
    let wanted: Vec<u8> = mine.iter().flat_map(|w| w.to_ne_bytes()).collect();
    eq!(items, [(SCM_CREDENTIALS, wanted.clone())]);
    // What one says of oneself must be true.
    let item = |value: &[u8]| {
        let mut bytes = alloc::vec![0; control::space(value.len())];
        control::put(&mut bytes, &mut 0, control::Item { level: S, kind: SCM_CREDENTIALS, value });
        bytes
    };
    gives!(t.sendmsg(a, &[b"y"], None, &item(&wanted), 0), 1);
    eq!(receive(t, b, 9, 99, 0)?.1, [(SCM_CREDENTIALS, wanted)]);
    err!(t.sendmsg(a, &[b"z"], None, &item(&[0; 11]), 0), EINVAL);
    t.shut(&[a, b])
}

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
    if t.stream() {
        // By Strait when the next one comes.
        gives!(t.send(a, b"y", 0), 1);
        eq!(t.read_some(b, 9)?, b"y");
    }
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
    for _ in 0..20 {
        let (a, b) = t.pair()?;
        gives!(t.sendmsg(a, &[b"x"], None, &rights(&[a, b]), 0), 1);
        gives!(t.sendmsg(b, &[b"x"], None, &rights(&[a, b]), 0), 1);
        t.shut(&[a, b])?;
    }
    Ok(())
}
