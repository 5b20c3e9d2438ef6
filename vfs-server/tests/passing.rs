//! Pipes, socket nodes, and open files that go from one client to another.

mod common;

use common::*;
use strait_abi::{
    Errno,
    socket::{POLLERR, POLLHUP, POLLIN, POLLOUT},
    vfs::{
        Buffer, CURRENT, DATA, PIPE_BUF, PIPE_BYTES, ROOT, Request, VERSION, mode, open,
        readiness::MET,
        seek,
        token::{BIND, CONNECT, FILE, MAX_EXPORTS, REGION_BYTES, TOKEN_BYTES, Token, Verifier},
    },
};
use strait_pd::{ChannelConfig, ChannelSet, Component, RegionConfig};
use strait_ring::{PAGE, SharedMemory, memory::leak_for_tests};
use strait_vfs_server::{VfsServer, start};
use zerocopy::FromBytes;

const IN: u32 = POLLIN as u32;
const OUT: u32 = POLLOUT as u32;
const HUP: u32 = POLLHUP as u32;
const ERR: u32 = POLLERR as u32;

fn pipe(c: &mut Client, s: &mut VfsServer) -> (i64, i64) {
    let done = c.run(s, Request::Pipe);
    assert!(done.result >= 0);
    (done.result, done.extra[0] as i64)
}

fn at(offset: usize, len: usize) -> Buffer {
    Buffer { offset: (DATA + offset) as u32, len: len as u32 }
}

#[test]
fn a_pipe_carries_bytes_in_order() {
    let Setup { mut server, client: mut c, .. } = setup(&sample());
    let s = &mut server;
    let (r, w) = pipe(&mut c, s);
    assert_eq!((c.readiness(r), c.readiness(w)), (MET, MET | OUT));
    assert_eq!(c.read_at(s, r, 0, 10), Err(Errno::EAGAIN));
    assert_eq!(c.read_at(s, w, 0, 10), Err(Errno::EBADF));
    assert_eq!(c.write_at(s, r, 0, b"x", 0), Err(Errno::EBADF));
    assert_eq!(c.fstat(s, r).unwrap().mode, mode::FIFO | 0o600);
    let data: Vec<u8> = (0..PIPE_BYTES + 10_000).map(|i| (i % 251) as u8).collect();
    let (mut sent, mut got) = (0, Vec::new());
    for n in [1, 4095, 4096, 4097, 10_000, 60_000, 3, 60_000].into_iter().cycle() {
        match c.write_at(s, w, 77, &data[sent..(sent + n).min(data.len())], 0) {
            Ok(n) => sent += n as usize,
            Err(e) => {
                assert_eq!(e, Errno::EAGAIN);
                assert_eq!(c.readiness(w) & OUT, 0);
                got.extend(c.read_at(s, r, 77, 9_999).unwrap());
            }
        }
        assert_eq!(c.readiness(r) & IN != 0, sent > got.len());
        if sent == data.len() {
            break;
        }
    }
    while got.len() < sent {
        got.extend(c.read_at(s, r, 0, 7_000).unwrap());
    }
    assert!(got == data);
    assert_eq!(c.counters(s).pages, 0);
    assert_eq!(c.ask(s, Request::Truncate { file: w as u32, size: 0 }), Err(Errno::EINVAL));
    assert_eq!(c.ask(s, Request::Sync { file: w as u32 }), Err(Errno::EINVAL));
    assert_eq!(c.ask(s, Request::Seek { file: r as u32, offset: 0, whence: seek::SET }), Err(Errno::ESPIPE));
}

#[test]
fn small_writes_are_whole_or_nothing() {
    let Setup { mut server, client: mut c, .. } = setup(&sample());
    let s = &mut server;
    let (r, w) = pipe(&mut c, s);
    assert_eq!(c.write_at(s, w, 0, &[1; PIPE_BYTES - 100], 0), Ok((PIPE_BYTES - 100) as i64));
    assert_eq!(c.write_at(s, w, 0, &[2; 101], 0), Err(Errno::EAGAIN));
    assert_eq!(c.write_at(s, w, 0, &[2; PIPE_BUF], 0), Err(Errno::EAGAIN));
    assert_eq!(c.write_at(s, w, 0, &[2; PIPE_BUF + 1], 0), Ok(100));
    assert_eq!(c.write_at(s, w, 0, &[2; PIPE_BUF + 1], 0), Err(Errno::EAGAIN));
    assert_eq!(c.readiness(w), MET);
    c.read_at(s, r, 0, PIPE_BUF as u32).unwrap();
    assert_eq!(c.readiness(w), MET | OUT);
    assert_eq!(c.close(s, r), Ok(0));
    assert_eq!(c.readiness(w) & ERR, ERR);
    assert_eq!(c.write_at(s, w, 0, b"x", 0), Err(Errno::EPIPE));
    c.close(s, w).unwrap();
    let counters = c.counters(s);
    assert_eq!((counters.pages, counters.descriptions, counters.open), (0, 0, 0));
    let (r, w) = pipe(&mut c, s);
    c.write_at(s, w, 0, b"last", 0).unwrap();
    c.close(s, w).unwrap();
    assert_eq!(c.readiness(r), MET | IN | HUP);
    assert_eq!(c.read_at(s, r, 0, 10).unwrap(), b"last");
    assert_eq!(c.read_at(s, r, 0, 10).unwrap(), b"");
    assert_eq!(c.readiness(r), MET | HUP);
}

#[test]
fn a_fifo_joins_two_clients() {
    let (mut server, mut a, mut b) = two_clients(&[]);
    let s = &mut server;
    a.mknod(s, "/tmp/p", mode::FIFO | 0o666).unwrap();
    assert_eq!(a.create(s, "/tmp/p", open::WRONLY | open::NONBLOCK, 0), Err(Errno::ENXIO));
    let r = a.create(s, "/tmp/p", open::RDONLY | open::NONBLOCK, 0).unwrap();
    // No writer yet: end of file, but no hang-up.
    assert_eq!(a.readiness(r), 0);
    assert_eq!(a.read_at(s, r, 0, 1).unwrap(), b"");
    a.region.to_client().arm();
    let w = b.create(s, "/tmp/p", open::WRONLY | open::NONBLOCK, 0).unwrap();
    assert_eq!((a.readiness(r), b.readiness(w)), (MET, MET | OUT));
    // It was told.
    assert!(!a.region.to_client().armed());
    let mut events = vec![];
    a.region.events().take(|e| events.push(e as i64));
    assert_eq!(events, [r]);
    assert_eq!(a.read_at(s, r, 0, 1), Err(Errno::EAGAIN));
    assert_eq!(b.write_at(s, w, 0, b"over", 0), Ok(4));
    assert_eq!(a.readiness(r), MET | IN);
    assert_eq!(a.read_at(s, r, 0, 9).unwrap(), b"over");
    // The name is only for opening.
    a.unlink(s, "/tmp/p").unwrap();
    assert_eq!(b.write_at(s, w, 0, b"still", 0), Ok(5));
    // Whoever dies, closes.
    assert_eq!(b.run(s, Request::Hello { version: VERSION }).result, 0);
    assert_eq!(a.readiness(r), MET | IN | HUP);
    assert_eq!(a.read_at(s, r, 0, 9).unwrap(), b"still");
    a.close(s, r).unwrap();
    assert_eq!(a.counters(s).descriptions, 0);
    // An end for both directions never waits and is alone enough.
    a.mknod(s, "/tmp/p", mode::FIFO | 0o600).unwrap();
    let both = a.create(s, "/tmp/p", open::RDWR, 0).unwrap();
    assert_eq!(a.readiness(both), MET | OUT);
    assert_eq!(a.write_at(s, both, 0, b"x", 0), Ok(1));
    assert_eq!(a.read_at(s, both, 0, 9).unwrap(), b"x");
    assert_eq!(a.read_at(s, both, 0, 9), Err(Errno::EAGAIN));
    assert_eq!(b.create(s, "/tmp/p", open::RDONLY, 0), Err(Errno::EACCES));
}

#[test]
fn a_pipe_is_paid_for_by_its_writer() {
    let (mut server, mut a, mut b) = two_clients(&[("quota.pages", "3")]);
    let s = &mut server;
    let (r, w) = pipe(&mut a, s);
    assert_eq!(a.write_at(s, w, 0, &[0; 3 * PAGE + 1], 0), Err(Errno::ENOMEM));
    assert_eq!(a.counters(s).pages, 0);
    assert_eq!(a.write_at(s, w, 0, &[0; 3 * PAGE], 0), Ok(3 * PAGE as i64));
    let (_, w2) = pipe(&mut b, s);
    assert_eq!(b.write_at(s, w2, 0, b"x", 0), Ok(1));
    a.read_at(s, r, 0, 3 * PAGE as u32).unwrap();
    assert_eq!((a.counters(s).pages, b.counters(s).pages), (0, 1));
}

/// As `two_clients`, with the region that net_server sees.
fn with_tokens() -> (VfsServer, Client, Client, SharedMemory) {
    let world: &'static World = Box::leak(Box::default());
    let (a, b, tokens) = (leak_for_tests(64 * PAGE), leak_for_tests(64 * PAGE), leak_for_tests(REGION_BYTES));
    let region = |name: &str| RegionConfig { name: name.into(), vaddr: 0, size: 0, prefill: 0, writable: true };
    let channel = |peer: &str, id| ChannelConfig { peer: peer.into(), id, can_call: true };
    let config = strait_pd::Config {
        name: "vfs_server".into(),
        regions: vec![region("a_vfs"), region("b_vfs"), region("vfs_tokens")],
        channels: vec![channel("a", 0), channel("b", 1), channel("entropy_driver", 40)],
        irqs: vec![],
        children: vec![],
        settings: vec![("mounts".into(), "/ ramfs".into())],
    };
    let shared = [("a_vfs", a), ("b_vfs", b), ("vfs_tokens", tokens)];
    let mut server = start(strait_ring::memory::environment_for_tests(world, config, &shared)).unwrap();
    let (mut a, mut b) = (Client::new(a, 0), Client::new(b, 1));
    for client in [&mut a, &mut b] {
        assert_eq!(client.run(&mut server, Request::Hello { version: VERSION }).result, 0);
    }
    (server, a, b, tokens)
}

fn token(c: &mut Client, s: &mut VfsServer, request: impl FnOnce(Buffer) -> Request) -> Result<Token, Errno> {
    let into = at(8192, TOKEN_BYTES);
    c.ask(s, request(into))?;
    Ok(Token::read_from_bytes(&c.fetch(into)).unwrap())
}

#[test]
fn tokens_of_socket_nodes_say_what_was_checked() {
    let (mut server, mut a, mut b, memory) = with_tokens();
    let s = &mut server;
    let verifier = Verifier::new(memory).unwrap();
    let find = |c: &mut Client, s: &mut VfsServer, path: &str| {
        let path = c.data(0, path.as_bytes());
        token(c, s, |into| Request::FindSocket { directory: ROOT, path, into })
    };
    let make = |c: &mut Client, s: &mut VfsServer, path: &str, mode| {
        let path = c.data(0, path.as_bytes());
        token(c, s, |into| Request::MakeSocket { directory: ROOT, path, mode, into })
    };
    let bind = make(&mut a, s, "/sock", 0o755).unwrap();
    let node = verifier.check(&bind, BIND, "a").unwrap();
    assert_eq!(verifier.check(&bind, BIND, "b"), Err(Errno::EACCES));
    assert_eq!(verifier.check(&bind, CONNECT, "a"), Err(Errno::EACCES));
    assert_eq!(make(&mut a, s, "/sock", 0o755), Err(Errno::EEXIST));
    assert_eq!(make(&mut a, s, "/no/sock", 0o755), Err(Errno::ENOENT));
    assert_eq!(a.lstat(s, "/sock").unwrap().mode, mode::SOCKET | 0o755);
    assert_eq!(verifier.check(&find(&mut a, s, "/sock").unwrap(), CONNECT, "a"), Ok(node));
    // To connect needs the right to write.
    assert_eq!(find(&mut b, s, "/sock"), Err(Errno::EACCES));
    a.chmod(s, "/sock", 0o777).unwrap();
    a.symlink(s, "sock", "/link").unwrap();
    assert_eq!(verifier.check(&find(&mut b, s, "/link").unwrap(), CONNECT, "b"), Ok(node));
    assert_eq!(find(&mut b, s, "/none"), Err(Errno::ENOENT));
    a.mknod(s, "/file", 0o666).unwrap();
    assert_eq!(find(&mut b, s, "/file"), Err(Errno::ECONNREFUSED));
    // Renamed it is the same, made anew another. Whatever may have taken a right
    // away ends all there are; what cannot, does not.
    let valid = |token: &Token| verifier.check(token, CONNECT, "b").is_ok();
    let mut right = find(&mut b, s, "/sock").unwrap();
    a.mkdir(s, "/d", 0o755).unwrap();
    a.chmod(s, "/file", 0o600).unwrap();
    a.unlink(s, "/file").unwrap();
    assert_eq!(a.rename(s, "/none", "/sock"), Err(Errno::ENOENT));
    a.link(s, "/sock", "/second").unwrap();
    assert!(valid(&right));
    let changes: [fn(&mut Client, &mut VfsServer) -> Outcome; 4] = [
        |a, s| a.chmod(s, "/sock", 0o777),
        |a, s| a.chmod(s, "/d", 0o700),
        |a, s| a.unlink(s, "/second"),
        |a, s| a.rename(s, "/sock", "/d/moved"),
    ];
    for change in changes {
        assert!(valid(&right));
        change(&mut a, s).unwrap();
        assert!(!valid(&right));
        right = find(&mut b, s, "/sock").unwrap_or(right);
    }
    assert_eq!(verifier.check(&find(&mut a, s, "/d/moved").unwrap(), CONNECT, "a"), Ok(node));
    a.rename(s, "/d/moved", "/moved").unwrap();
    a.unlink(s, "/moved").unwrap();
    let again = make(&mut a, s, "/moved", 0o755).unwrap();
    assert_ne!(verifier.check(&again, BIND, "a"), Ok(node));
}

fn export(c: &mut Client, s: &mut VfsServer, file: i64, offset: u64) -> Result<Token, Errno> {
    token(c, s, |into| Request::Export { file: file as u32, flags: open::APPEND, offset, into })
}

fn import(c: &mut Client, s: &mut VfsServer, token: &Token) -> Result<i64, Errno> {
    use zerocopy::IntoBytes;
    let token = c.data(0, token.as_bytes());
    c.ask(s, Request::Import { token, keep: false })
}

#[test]
fn an_open_file_goes_to_another_client() {
    let (mut server, mut a, mut b, memory) = with_tokens();
    let s = &mut server;
    a.mkdir(s, "/d", 0o700).unwrap();
    let f = a.create(s, "/d/f", open::RDWR | open::CREAT, 0o600).unwrap();
    a.write_at(s, f, 0, b"0123456789", 0).unwrap();
    let t = export(&mut a, s, f, 2).unwrap();
    assert!(Verifier::new(memory).unwrap().check(&t, FILE, "").is_ok());
    a.unlink(s, "/d/f").unwrap();
    // One position for both.
    assert_eq!(a.read_at(s, f, CURRENT, 2).unwrap(), b"23");
    let done = {
        use zerocopy::IntoBytes;
        let token = b.data(0, t.as_bytes());
        b.run(s, Request::Import { token, keep: false })
    };
    let (g, status, more) = (done.result, done.extra[0] as u32, done.extra[1]);
    assert_eq!((status, more), (open::APPEND, u64::from(mode::REGULAR | 0o600)));
    assert_eq!(b.read_at(s, g, CURRENT, 3).unwrap(), b"456");
    assert_eq!(a.ask(s, Request::Seek { file: f as u32, offset: (-2i64) as u64, whence: seek::CUR }), Ok(5));
    a.close(s, f).unwrap();
    assert_eq!(b.read_at(s, g, CURRENT, 3).unwrap(), b"567");
    assert_eq!(b.write_at(s, g, CURRENT, b"!", open::APPEND), Ok(1));
    assert_eq!(b.ask(s, Request::Seek { file: g as u32, offset: 0, whence: seek::CUR }), Ok(11));
    // Once, and only what is genuine.
    assert_eq!(import(&mut b, s, &t), Err(Errno::EBADF));
    assert_eq!(import(&mut a, s, &Token { node: t.node + 1, ..t }), Err(Errno::EBADF));
    assert_eq!(import(&mut a, s, &Token { mac: 0, ..t }), Err(Errno::EBADF));
    b.close(s, g).unwrap();
    let counters = b.counters(s);
    assert_eq!((counters.pages_all, counters.descriptions), (0, 0));
}

#[test]
fn what_does_not_arrive_is_closed() {
    let (mut server, mut a, mut b, memory) = with_tokens();
    let s = &mut server;
    let f = a.create(s, "/f", open::RDWR | open::CREAT, 0o600).unwrap();
    let tokens: Vec<_> = (0..MAX_EXPORTS).map(|_| export(&mut a, s, f, 0).unwrap()).collect();
    assert_eq!(export(&mut a, s, f, 0), Err(Errno::ETOOMANYREFS));
    assert_eq!(a.counters(s).exports, MAX_EXPORTS as u64);
    // net_server drops one, another arrives.
    let net = Verifier::new(memory).unwrap();
    net.take(&tokens[0]).unwrap();
    assert!(net.lose(&tokens[0]));
    assert!(export(&mut a, s, f, 0).is_ok());
    assert_eq!(import(&mut b, s, &tokens[0]), Err(Errno::EBADF));
    assert!(import(&mut b, s, &tokens[1]).is_ok());
    assert!(export(&mut a, s, f, 0).is_ok());
    // What has arrived is not closed by what is said of its token, old or new.
    for token in &tokens[..2] {
        if net.take(token).is_ok() {
            net.lose(token);
        }
    }
    server.notified(ChannelSet::EMPTY);
    let s = &mut server;
    assert_eq!(b.fstat(s, 0).unwrap().size, 0);
    assert_eq!(a.counters(s).exports, MAX_EXPORTS as u64);
    // A pipe whose reader is only under way can be written; the reader is told
    // when it is not any more, whoever else does something.
    a.run(s, Request::Hello { version: VERSION });
    let (r, w) = pipe(&mut a, s);
    let t = export(&mut a, s, r, 0).unwrap();
    net.take(&t).unwrap();
    a.close(s, r).unwrap();
    assert_eq!(a.write_at(s, w, 0, b"wait", 0), Ok(4));
    a.region.to_client().arm();
    net.lose(&t);
    server.notified(ChannelSet::EMPTY);
    let s = &mut server;
    assert!(!a.region.to_client().armed());
    assert_eq!(a.readiness(w) & ERR, ERR);
    a.close(s, w).unwrap();
    let counters = a.counters(s);
    assert_eq!((counters.exports, counters.descriptions, counters.pages_all), (0, 1, 0));
}

#[test]
fn what_is_in_a_message_outlives_its_giver() {
    let (mut server, mut a, mut b, memory) = with_tokens();
    let s = &mut server;
    let net = Verifier::new(memory).unwrap();
    let f = a.create(s, "/f", open::RDWR | open::CREAT, 0o600).unwrap();
    a.write_at(s, f, 0, b"kept", 0).unwrap();
    a.unlink(s, "/f").unwrap();
    let [sent, unsent, refused] = [(); 3].map(|()| export(&mut a, s, f, 0).unwrap());
    net.take(&sent).unwrap();
    net.take(&refused).unwrap();
    net.refuse(&refused);
    a.run(s, Request::Hello { version: VERSION });
    assert_eq!(import(&mut b, s, &unsent), Err(Errno::EBADF));
    assert_eq!(import(&mut b, s, &refused), Err(Errno::EBADF));
    assert_eq!(a.counters(s).exports, 1);
    net.hand_over(&sent, "b");
    let f = import(&mut b, s, &sent).unwrap();
    assert_eq!(b.read_at(s, f, 0, 9).unwrap(), b"kept");
    b.close(s, f).unwrap();
    let counters = a.counters(s);
    assert_eq!((counters.exports, counters.descriptions, counters.pages_all), (0, 0, 0));
}

#[test]
fn who_is_handed_files_and_does_not_open_them_pays() {
    let (mut server, mut a, mut b, memory) = with_tokens();
    let s = &mut server;
    let net = Verifier::new(memory).unwrap();
    let f = a.create(s, "/f", open::RDWR | open::CREAT, 0o600).unwrap();
    let mut tokens = vec![];
    for _ in 0..3 * MAX_EXPORTS {
        let t = export(&mut a, s, f, 0).unwrap();
        net.take(&t).unwrap();
        net.hand_over(&t, "b");
        tokens.push(t);
    }
    server.notified(ChannelSet::EMPTY);
    let s = &mut server;
    assert_eq!((a.counters(s).exports, b.counters(s).exports), (0, MAX_EXPORTS as u64));
    // They are for this client alone, and the oldest had to go.
    let newest = &tokens[3 * MAX_EXPORTS - 1];
    assert_eq!(import(&mut a, s, newest), Err(Errno::EBADF));
    assert_eq!(import(&mut b, s, &tokens[2 * MAX_EXPORTS - 1]), Err(Errno::EBADF));
    let oldest = import(&mut b, s, &tokens[2 * MAX_EXPORTS]).unwrap();
    b.close(s, oldest).unwrap();
    assert_eq!(b.counters(s).exports, MAX_EXPORTS as u64 - 1);
    b.run(s, Request::Hello { version: VERSION });
    assert_eq!(import(&mut b, s, newest), Err(Errno::EBADF));
    assert_eq!((b.counters(s).exports, b.counters(s).descriptions), (0, 1));
}

#[test]
fn a_token_that_is_only_looked_at_can_be_shown_again() {
    let (mut server, mut a, mut b, _) = with_tokens();
    let s = &mut server;
    let f = a.create(s, "/f", open::RDWR | open::CREAT, 0o600).unwrap();
    let t = export(&mut a, s, f, 0).unwrap();
    let token = b.data(0, zerocopy::IntoBytes::as_bytes(&t));
    let first = b.ask(s, Request::Import { token, keep: true }).unwrap();
    let second = b.ask(s, Request::Import { token, keep: false }).unwrap();
    assert_eq!(b.ask(s, Request::Import { token, keep: true }), Err(Errno::EBADF));
    for file in [first, second] {
        b.close(s, file).unwrap();
    }
    a.close(s, f).unwrap();
    assert_eq!(a.counters(s).descriptions, 0);
}
