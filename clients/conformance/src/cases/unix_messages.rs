//! What goes with messages by AF_UNIX: identities and descriptors (unix(7),
//! "Ancillary messages").

use alloc::vec::Vec;

use super::unix::{connection, name};
use crate::{case::*, posix::*, test::*};

const STREAM: &[On] = &[UNIX_STREAM];
const S: i32 = SOL_SOCKET;

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("SO_PEERCRED of a pair", "unix(7) SO_PEERCRED", UNIX, peer_credentials),
    Case::new("SO_PEERCRED without a peer", "unix(7) SO_PEERCRED", UNIX, no_credentials),
    Case::new("SO_PASSCRED", "unix(7) SCM_CREDENTIALS", UNIX, pass_credentials),
    Case::new("SO_PEERCRED of a connection", "unix(7) SO_PEERCRED", UNIX_CONNECTED, connection_credentials),
    Case::new("SO_PASSCRED set late", "unix(7) SCM_CREDENTIALS", UNIX, pass_late),
    Case::new("who is told is not glued to who is not", "unix(7) SO_PASSCRED", STREAM, not_glued),
    Case::new("an identity that nobody asked for", "unix(7) SCM_CREDENTIALS", UNIX, named),
    Case::new("identities before accept", "unix(7) SO_PASSCRED", UNIX_CONNECTED, early_identity),
    Case::new("the identity at the end of file", "unix(7) SO_PASSCRED", UNIX_CONNECTED, end_identity),
    Case::new("SO_PASSCRED gives a name", "unix(7) Autobind feature", UNIX, pass_binds),
    Case::new("no room for an identity", "recvmsg(2) MSG_CTRUNC", UNIX, identity_cut),
    Case::new("MSG_PEEK with identities", "unix(7) SO_PASSCRED", UNIX, peek_identity),
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
pub type Items = Vec<(i32, Vec<u8>)>;

/// Waits for a message: data, control data, flags.
pub fn receive(t: &Test<'_>, fd: Fd, max: usize, room: usize, flags: u32) -> Result<(Vec<u8>, Items, u32), Failure> {
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

fn identity(of: [i32; 3]) -> (i32, Vec<u8>) {
    (SCM_CREDENTIALS, of.iter().flat_map(|w| w.to_ne_bytes()).collect())
}

/// Who sent what was sent before anybody wanted to know.
const UNKNOWN: [i32; 3] = [0, 65534, 65534];

fn connection_credentials(t: &Test<'_>) -> Outcome {
    let (a, b) = connection(t)?;
    let mine = ok!(credentials(t, a));
    that!(mine[0] > 0);
    gives!(credentials(t, b), mine);
    t.shut(&[a])?;
    gives!(credentials(t, b), mine);
    t.shut(&[b])
}

fn pass_late(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let mine = ok!(credentials(t, a));
    gives!(t.send(a, b"x", 0), 1);
    ok!(t.set_option(b, S, SO_PASSCRED, 1));
    eq!(receive(t, b, 9, 99, 0)?.1, [identity(UNKNOWN)]);
    gives!(t.send(a, b"y", 0), 1);
    eq!(receive(t, b, 9, 99, 0)?.1, [identity(mine)]);
    gives!(t.send(a, b"z", 0), 1);
    ok!(t.set_option(b, S, SO_PASSCRED, 0));
    eq!(receive(t, b, 9, 99, 0)?.1, []);
    // It is enough that the sender has it.
    ok!(t.set_option(a, S, SO_PASSCRED, 1));
    gives!(t.send(a, b"s", 0), 1);
    ok!(t.set_option(b, S, SO_PASSCRED, 1));
    eq!(receive(t, b, 9, 99, 0)?.1, [identity(mine)]);
    t.shut(&[a, b])
}

fn not_glued(t: &Test<'_>) -> Outcome {
    let (a, b) = ok!(t.socketpair(AF_UNIX, t.on.kind.into(), 0));
    let mine = ok!(credentials(t, a));
    gives!(t.send(a, b"mm", 0), 2);
    ok!(t.set_option(b, S, SO_PASSCRED, 1));
    gives!(t.send(a, b"nn", 0), 2);
    t.settle()?;
    // Neither does waiting for all go on, nor a call without control data.
    let (bytes, items, _) = receive(t, b, 4, 99, MSG_WAITALL)?;
    eq!((bytes, items), (b"mm".to_vec(), alloc::vec![identity(UNKNOWN)]));
    let (bytes, items, _) = receive(t, b, 4, 99, 0)?;
    eq!((bytes, items), (b"nn".to_vec(), alloc::vec![identity(mine)]));
    ok!(t.set_option(b, S, SO_PASSCRED, 0));
    gives!(t.send(a, b"m", 0), 1);
    ok!(t.set_option(b, S, SO_PASSCRED, 1));
    gives!(t.send(a, b"n", 0), 1);
    t.settle()?;
    eq!(t.read_some(b, 9)?, b"m");
    eq!(t.read_some(b, 9)?, b"n");
    // The same writer is glued.
    gives!(t.send(a, b"o", 0), 1);
    gives!(t.send(a, b"p", 0), 1);
    t.settle()?;
    eq!(t.read_some(b, 9)?, b"op");
    t.shut(&[a, b])
}

/// Control data that says who sends.
fn naming(of: [i32; 3]) -> Vec<u8> {
    let (kind, value) = identity(of);
    let mut bytes = alloc::vec![0; control::space(value.len())];
    control::put(&mut bytes, &mut 0, control::Item { level: S, kind, value: &value });
    bytes
}

fn named(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let mine = ok!(credentials(t, a));
    gives!(t.send(a, b"x", 0), 1);
    gives!(t.sendmsg(a, &[b"yy"], None, &naming(mine), 0), 2);
    gives!(t.send(a, b"z", 0), 1);
    t.settle()?;
    ok!(t.set_option(b, S, SO_PASSCRED, 1));
    for (data, who) in [(&b"x"[..], UNKNOWN), (b"yy", mine), (b"z", UNKNOWN)] {
        let (bytes, items, _) = receive(t, b, 9, 99, 0)?;
        eq!((&bytes[..], items), (data, alloc::vec![identity(who)]));
    }
    t.shut(&[a, b])
}

fn early_identity(t: &Test<'_>) -> Outcome {
    let listener = t.sock()?;
    ok!(t.bind(listener, &name(t, 0)));
    ok!(t.listen(listener, 5));
    let a = t.sock()?;
    ok!(t.connect(a, &name(t, 0)));
    gives!(t.send(a, b"x", 0), 1);
    let b = t.take(listener)?;
    ok!(t.set_option(b, S, SO_PASSCRED, 1));
    let mine = ok!(credentials(t, b));
    eq!(receive(t, b, 9, 99, 0)?.1, [identity(mine)]);
    t.shut(&[a, b])?;
    // A listener hands it on.
    ok!(t.set_option(listener, S, SO_PASSCRED, 1));
    let a = t.sock()?;
    ok!(t.connect(a, &name(t, 0)));
    ok!(t.set_option(listener, S, SO_PASSCRED, 0));
    let b = t.take(listener)?;
    gives!(t.option(b, S, SO_PASSCRED), 1);
    t.shut(&[a, b, listener])
}

fn end_identity(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(b, S, SO_PASSCRED, 1));
    t.shut(&[a])?;
    t.wait_all(b, POLLHUP)?;
    let (bytes, items, _) = receive(t, b, 9, 99, 0)?;
    // By a stream of Linux nobody sends it, with the numbers of root.
    let wanted = if t.stream() { alloc::vec![identity([0; 3])] } else { Vec::new() };
    eq!((bytes, items), (Vec::new(), wanted));
    t.shut(&[b])
}

fn pass_binds(t: &Test<'_>) -> Outcome {
    let to = t.sock()?;
    ok!(t.bind(to, &name(t, 0)));
    let a = t.sock()?;
    ok!(t.set_option(a, S, SO_PASSCRED, 1));
    eq!(ok!(t.getsockname(a)).as_bytes().len(), 2);
    if t.on.kind == SOCK_DGRAM {
        gives!(t.sendto(a, b"x", 0, &name(t, 0)), 1);
        eq!(ok!(t.getsockname(a)).as_bytes().len(), 8);
        let b = t.sock()?;
        ok!(t.set_option(b, S, SO_PASSCRED, 1));
        ok!(t.connect(b, &name(t, 0)));
        eq!(ok!(t.getsockname(b)).as_bytes().len(), 8);
        t.shut(&[b])?;
    } else {
        ok!(t.listen(to, 1));
        ok!(t.connect(a, &name(t, 0)));
        eq!(ok!(t.getsockname(a)).as_bytes().len(), 8);
    }
    t.shut(&[a, to])
}

fn identity_cut(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    ok!(t.set_option(b, S, SO_PASSCRED, 1));
    for room in [0, control::HEADER - 1] {
        gives!(t.send(a, b"x", 0), 1);
        let (bytes, items, flags) = receive(t, b, 9, room, 0)?;
        eq!((bytes, items.len(), flags & MSG_CTRUNC), (b"x".to_vec(), 0, MSG_CTRUNC));
    }
    t.shut(&[a, b])
}

fn peek_identity(t: &Test<'_>) -> Outcome {
    let (a, b) = t.pair()?;
    let mine = ok!(credentials(t, a));
    ok!(t.set_option(b, S, SO_PASSCRED, 1));
    gives!(t.send(a, b"x", 0), 1);
    for flags in [MSG_PEEK, 0] {
        let (bytes, items, _) = receive(t, b, 9, 99, flags)?;
        eq!((bytes, items), (b"x".to_vec(), alloc::vec![identity(mine)]));
    }
    t.shut(&[a, b])
}
