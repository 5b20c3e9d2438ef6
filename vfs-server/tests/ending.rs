//! A client ends, as its parent tells.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};

use common::*;
use proptest::{collection::vec, prelude::*};
use strait_abi::{
    Errno, end,
    socket::{POLLERR, POLLHUP, POLLIN},
    vfs::{Buffer, DATA, ROOT, Request, VERSION, mode, open, readiness::MET},
};
use strait_pd::{Channel, Component, Message};
use strait_vfs_server::VfsServer;

/// Who `caller` says has ended.
fn say(server: &mut VfsServer, caller: Channel, name: &str) -> u64 {
    let mut message = end::encode(name);
    server.protected(caller, &mut message);
    message.label
}

const EPERM: u64 = Errno::EPERM.raw() as u64;

#[test]
fn nobody_but_the_parent_is_believed() {
    let (mut server, mut a, mut b) = two_clients(&[("parent.b", "a")]);
    let s = &mut server;
    let file = b.create(s, "/tmp/f", open::CREAT | open::WRONLY, 0o600).unwrap();
    for (caller, name) in [(b.channel, "b"), (b.channel, "a"), (a.channel, "a"), (a.channel, "")] {
        assert_eq!(say(s, caller, name), EPERM, "{name}");
    }
    let mut message = Message::new(0);
    s.protected(a.channel, &mut message);
    assert_eq!(message.label, u64::from(Errno::ENOSYS.raw()));
    assert_eq!(b.write_at(s, file, 0, b"x", 0), Ok(1));
    assert_eq!(say(s, a.channel, "b"), 0);
    assert_eq!(a.counters(s).descriptions, 0);
}

#[test]
fn all_that_it_had_is_closed() {
    let (mut server, mut a, mut b) = two_clients(&[("parent.b", "a")]);
    let s = &mut server;
    let before = a.counters(s);
    a.mknod(s, "/tmp/in", mode::FIFO | 0o666).unwrap();
    a.mknod(s, "/tmp/out", mode::FIFO | 0o666).unwrap();
    let (reader, writer) = (
        a.create(s, "/tmp/in", open::RDONLY | open::NONBLOCK, 0).unwrap(),
        a.create(s, "/tmp/out", open::RDWR, 0).unwrap(),
    );
    let into = b.create(s, "/tmp/in", open::WRONLY, 0).unwrap();
    b.create(s, "/tmp/out", open::RDONLY, 0).unwrap();
    a.close(s, writer).unwrap();
    let writer = a.create(s, "/tmp/out", open::WRONLY, 0).unwrap();
    b.write_at(s, into, 0, b"last words", 0).unwrap();
    let file = b.create(s, "/tmp/f", open::CREAT | open::WRONLY, 0o600).unwrap();
    b.write_at(s, file, 0, &[1; 10_000], 0).unwrap();
    b.unlink(s, "/tmp/f").unwrap();
    assert!(a.counters(s).pages_all > before.pages_all);
    // A command that the server has not seen is as one that was not given.
    b.data(0, b"/tmp/late");
    let path = Buffer { offset: DATA as u32, len: 9 };
    b.submit(Request::MakeNode { directory: ROOT, path, mode: mode::REGULAR | 0o600 });
    b.commands.publish();
    a.region.to_client().arm();
    assert_eq!(say(s, a.channel, "b"), 0);
    // Others are told.
    assert!(!a.region.to_client().armed());
    assert_eq!(a.readiness(reader), MET | u32::from(POLLIN | POLLHUP));
    assert_ne!(a.readiness(writer) & u32::from(POLLERR), 0);
    assert_eq!(a.read_at(s, reader, 0, 99).unwrap(), b"last words");
    assert_eq!(a.read_at(s, reader, 0, 99).unwrap(), b"");
    for file in [reader, writer] {
        a.close(s, file).unwrap();
    }
    a.unlink(s, "/tmp/in").unwrap();
    a.unlink(s, "/tmp/out").unwrap();
    assert!(a.lstat(s, "/tmp/late").is_err());
    let after = a.counters(s);
    assert_eq!((after.pages_all, after.inodes_all, after.pipes), (before.pages_all, before.inodes_all, 0));
    assert_eq!((after.descriptions, after.exports_all), (0, 0));
    // It may begin anew.
    let mut b = Client::new(b.region.memory(), 1);
    assert_eq!(b.run(s, Request::Hello { version: VERSION }).result, 0);
    assert_eq!(b.create(s, "/tmp/f", open::CREAT | open::WRONLY, 0o600), Ok(0));
}

proptest! {
    /// Whatever it has written into its region.
    #[test]
    fn it_may_have_left_anything_behind(writes in vec((0usize..2100, any::<u32>(), any::<bool>()), 0..60)) {
        let (mut server, mut a, mut b) = two_clients(&[("parent.b", "a")]);
        let s = &mut server;
        let file = b.create(s, "/tmp/f", open::CREAT | open::WRONLY, 0o600).unwrap();
        b.write_at(s, file, 0, &[1; 10_000], 0).unwrap();
        for (word, value, small) in writes {
            let value = if small { value % 70 } else { value };
            b.region.memory().cell::<AtomicU32>(word * 4).unwrap().store(value, Ordering::Relaxed);
            if word % 7 == 0 {
                s.notified(set(b.channel));
            }
        }
        prop_assert_eq!(say(s, a.channel, "b"), 0);
        let counters = a.counters(s);
        prop_assert_eq!((counters.descriptions, counters.pipes, counters.exports_all), (0, 0, 0));
        let mut b = Client::new(b.region.memory(), 1);
        prop_assert_eq!(b.run(s, Request::Hello { version: VERSION }).result, 0);
    }
}
