//! sendmsg, recvmsg and their kin.

use alloc::{vec, vec::Vec};

use strait_abi::{
    Errno,
    control::{Item, items, put},
    net::Portion,
    session::status,
};

use super::*;

fn control(of: &[(i32, i32, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut used) = (vec![0; 512], 0);
    for (level, kind, value) in of {
        assert!(put(&mut bytes, &mut used, Item { level: *level, kind: *kind, value }));
    }
    bytes.truncate(used);
    bytes
}

#[test]
fn a_pair_is_connected() {
    let (fake, p) = process();
    let (a, b) = p.socketpair(AF_UNIX, u32::from(SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0).unwrap();
    assert_eq!((a, b), (3, 4));
    assert_eq!(p.fcntl(b, F_GETFL, 0), Ok((O_RDWR | O_NONBLOCK) as i32));
    assert_eq!(p.fcntl(b, F_GETFD, 0), Ok(1));
    assert_eq!(p.send(b, b"x", 0), Ok(1));
    assert_eq!(fake.serve(|s| s.take(1)), b"x");
    assert_eq!(p.socketpair(AF_UNIX, 0x11, 0), Err(Errno::EINVAL));
    // Without a second descriptor both are closed.
    p.set_descriptor_limit(6);
    assert_eq!(p.socketpair(AF_UNIX, SOCK_STREAM.into(), 0), Err(Errno::EMFILE));
    assert!(fake.serve(|s| s.socket(2).closed.is_some() && s.socket(3).closed.is_some()));
}

#[test]
fn parts_are_one_datagram_with_control_data() {
    let (fake, p) = process();
    let fd = p.socket(AF_INET, SOCK_DGRAM.into(), 0).unwrap();
    let to = address("10.0.0.1:5000");
    let ttl = control(&[(IPPROTO_IP, IP_TTL, &7i32.to_ne_bytes())]);
    assert_eq!(p.sendmsg(fd, &[b"ab", b"", b"cde"], Some(&to), &ttl, 0), Ok(5));
    assert_eq!(fake.serve(|s| s.take_message(FIRST)), Some((to, ttl.clone(), b"abcde".to_vec())));
    // What the server looks at gets to it, and that the rest makes no sense.
    for (given, told) in [
        (control(&[(777, 1, &[0; 99])]), vec![]),
        (control(&[(IPPROTO_IP, 99, &[7; 99])]), control(&[(IPPROTO_IP, 99, &[7; 21])])),
        (vec![1; 16], control(&[(SOL_SOCKET, -1, &[])])),
    ] {
        assert_eq!(p.sendmsg(fd, &[b"x"], Some(&to), &given, 0), Ok(1));
        assert_eq!(fake.serve(|s| s.take_message(FIRST)), Some((to, told, b"x".to_vec())));
    }
    for long in [vec![0; 20_488], ttl.repeat(11)] {
        assert_eq!(p.sendmsg(fd, &[b"x"], Some(&to), &long, 0), Err(Errno::ENOBUFS));
    }
    let many = vec![&b""[..]; 1025];
    assert_eq!(p.sendmsg(fd, &many, Some(&to), &[], 0), Err(Errno::EMSGSIZE));
    assert_eq!(p.writev(fd, &many), Err(Errno::EINVAL));
    // Linux: writev of nothing does nothing.
    p.connect(fd, &to).unwrap();
    assert_eq!(p.writev(fd, &[b"", b""]), Ok(0));
    assert_eq!(fake.serve(|s| s.take_message(FIRST)), None);
    assert_eq!(p.write(fd, b""), Ok(0));
    assert_eq!(fake.serve(|s| s.take_datagram(FIRST)), Some((crate::Address::EMPTY, vec![])));
}

#[test]
fn receiving_says_what_was_cut_off() {
    let (fake, p) = process();
    let fd = p.socket(AF_INET, SOCK_DGRAM.into(), 0).unwrap();
    let from = address("10.0.0.1:5000");
    let info = control(&[(IPPROTO_IP, IP_PKTINFO, &[3; 12]), (IPPROTO_IP, IP_TTL, &64i32.to_ne_bytes())]);
    fake.serve(|s| {
        for _ in 0..3 {
            s.push_message(FIRST, &from, &info, b"abcdef");
        }
    });
    let (mut a, mut b, mut c) = ([0; 2], [0; 3], [0; 64]);
    let got = p.recvmsg(fd, &mut [&mut a, &mut b], &mut c, MSG_PEEK).unwrap();
    assert_eq!(got, Received { bytes: 5, address: from, control: info.len(), flags: MSG_TRUNC });
    assert_eq!((&a, &b, &c[..info.len()]), (b"ab", b"cde", &info[..]));
    let got = p.recvmsg(fd, &mut [&mut [0; 9]], &mut c[..32], MSG_TRUNC).unwrap();
    assert_eq!(got, Received { bytes: 6, address: from, control: 32, flags: MSG_CTRUNC });
    assert_eq!(items(&c[..32]).count(), 1);
    let got = p.recvmsg(fd, &mut [], &mut [], MSG_TRUNC).unwrap();
    assert_eq!((got.bytes, got.flags), (6, MSG_TRUNC | MSG_CTRUNC));
    assert_eq!(p.recv(fd, &mut [0; 9], 0), Ok(6));
    assert_eq!(p.recvmsg(fd, &mut [&mut a], &mut [], MSG_DONTWAIT), Err(Errno::EAGAIN));
    assert_eq!(p.recv(fd, &mut [0; 9], MSG_ERRQUEUE), Err(Errno::EAGAIN));
}

#[test]
fn streams_scatter_and_wait_for_all() {
    let (fake, p, fd) = connected();
    let parts: [&[u8]; 3] = [&[1; 3000], &[2; 3000], &[3; 3000]];
    for _ in 0..3 {
        fake.then(|f| {
            f.serve(|s| {
                let got = s.take(FIRST);
                s.push(FIRST, &got)
            });
        });
    }
    assert_eq!(p.sendmsg(fd, &parts, None, &[], 0), Ok(9000));
    let (mut a, mut b) = ([0; 4000], [0; 5000]);
    assert_eq!(p.recvmsg(fd, &mut [&mut a, &mut b], &mut [], MSG_WAITALL).unwrap().bytes, 9000);
    assert_eq!([&a[..], &b[..]].concat(), parts.concat());
    // TCP takes no control data, but looks at it.
    let rights = control(&[(SOL_SOCKET, SCM_RIGHTS, &[0; 4])]);
    assert_eq!(p.sendmsg(fd, &[b"x"], None, &rights, 0), Ok(1));
    assert_eq!(p.sendmsg(fd, &[b"x"], None, &control(&[(SOL_SOCKET, 77, &[])]), 0), Err(Errno::EINVAL));
    assert!(fake.serve(|s| s.requests.iter().all(|r| !r.contains("SendControl"))));
}

#[test]
fn control_data_of_a_stream_is_fetched_at_its_mark() {
    let (fake, p) = process();
    let (a, _) = p.socketpair(AF_UNIX, SOCK_STREAM.into(), 0).unwrap();
    let credentials = control(&[(SOL_SOCKET, SCM_CREDENTIALS, &[5; 12])]);
    assert_eq!(p.sendmsg(a, &[b"x"], None, &credentials, 0), Ok(1));
    assert!(fake.serve(|s| s.requests.iter().any(|r| r.contains("SendControl"))));
    // Three bytes before the mark, two behind.
    fake.serve(|s| {
        s.push(FIRST, b"abcde");
        s.region.slot(0).unwrap().rx_mark.store(3, core::sync::atomic::Ordering::Relaxed);
        s.change(FIRST, status::CONTROL, 0);
        s.control = credentials.clone();
        s.portion = Portion { skip: 0, bytes: 2, next: Portion::END };
    });
    let (mut b, mut c) = ([0; 8], [0; 64]);
    // As far as the mark nobody is asked.
    let asked = |fake: &Fake| fake.serve(|s| s.requests.iter().filter(|r| r.contains("Receive")).count());
    assert_eq!(p.recv(a, &mut b[..2], 0), Ok(2));
    assert_eq!(p.recv(a, &mut b[..1], 0), Ok(1));
    assert_eq!(asked(fake), 0);
    // A receive that would go on behind a message ends there.
    let got = p.recvmsg(a, &mut [&mut b], &mut c, MSG_WAITALL).unwrap();
    assert_eq!((got.bytes, got.control), (2, 0));
    assert_eq!(asked(fake), 1);
    // Who sent it is told to who wants that.
    fake.serve(|s| {
        s.push(FIRST, b"fg");
        s.change(FIRST, status::IDENTITY, status::CONTROL);
        s.control = credentials.clone();
    });
    let got = p.recvmsg(a, &mut [&mut b], &mut c, 0).unwrap();
    assert_eq!((got.bytes, got.control), (2, credentials.len()));
    assert_eq!(c[..got.control], credentials);
}

#[test]
fn low_water() {
    let (fake, p, fd) = connected();
    p.set_option(fd, SOL_SOCKET, SO_RCVLOWAT, 4).unwrap();
    fake.serve(|s| s.push(FIRST, b"abc"));
    assert_eq!(p.poll(&mut [PollFd::new(fd, POLLIN)], 0), Ok(0));
    assert_eq!(p.recv(fd, &mut [0; 8], MSG_PEEK | MSG_DONTWAIT), Ok(3));
    for _ in 0..2 {
        fake.then(|f| {
            f.serve(|s| s.push(FIRST, b"d"));
        });
    }
    let mut b = [0; 8];
    assert_eq!(p.recv(fd, &mut b, MSG_PEEK), Ok(4));
    assert_eq!(p.poll(&mut [PollFd::new(fd, POLLIN)], 0), Ok(1));
    // Less room than the mark is enough; nobody waits any more.
    assert_eq!(p.recv(fd, &mut b[..2], 0), Ok(2));
    assert_eq!(p.recv(fd, &mut b, MSG_DONTWAIT), Ok(2));
    assert_eq!(p.option(fd, SOL_SOCKET, SO_RCVLOWAT), Ok(4));
    p.set_option(fd, SOL_SOCKET, SO_RCVLOWAT, 0).unwrap();
    assert_eq!(p.option(fd, SOL_SOCKET, SO_RCVLOWAT), Ok(1));
}

#[test]
fn peeking_waits_for_all() {
    let (fake, p, fd) = connected();
    fake.serve(|s| s.push(FIRST, b"ab"));
    fake.then(|f| {
        f.serve(|s| s.push(FIRST, b"c"));
    });
    fake.then(|f| f.serve(|s| s.change(FIRST, status::RDHUP, 0)));
    let mut b = [0; 8];
    assert_eq!(p.recv(fd, &mut b, MSG_PEEK | MSG_WAITALL), Ok(3));
    assert_eq!(&b[..3], b"abc");
    assert_eq!(p.recv(fd, &mut b, 0), Ok(3));
}

#[test]
fn what_moved_is_told_and_the_error_stays() {
    let (fake, p, fd) = connected();
    fake.serve(|s| {
        s.push(FIRST, b"abc");
        s.fail(FIRST, Errno::ECONNRESET, status::RDHUP);
    });
    assert_eq!(p.recv(fd, &mut [0; 8], MSG_WAITALL), Ok(3));
    assert_eq!(p.recv(fd, &mut [0; 8], 0), Err(Errno::ECONNRESET));
    fake.then(|f| f.serve(|s| s.fail(FIRST, Errno::ETIMEDOUT, status::WRSHUT)));
    let sent = p.send(fd, &[0; 9000], 0).unwrap();
    assert!((1..9000).contains(&sent));
    assert_eq!(p.send(fd, b"x", 0), Err(Errno::ETIMEDOUT));
    assert_eq!(p.send(fd, b"x", 0), Err(Errno::EPIPE));
}
