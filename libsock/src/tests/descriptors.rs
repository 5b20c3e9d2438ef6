//! The descriptor table, seen from outside.

use strait_abi::Errno;

use super::*;

#[test]
fn lowest_numbers_first_and_a_limit() {
    let (_, p) = process();
    let new = || p.socket(AF_INET, SOCK_DGRAM.into(), 0);
    assert_eq!((new(), new(), new()), (Ok(3), Ok(4), Ok(5)));
    p.close(4).unwrap();
    assert_eq!(p.close(4), Err(Errno::EBADF));
    assert_eq!(p.dup(3), Ok(4));
    assert_eq!(p.fcntl(3, F_DUPFD, 10), Ok(10));
    assert_eq!(p.fcntl(3, F_DUPFD, 10), Ok(11));
    assert_eq!(p.dup(3), Ok(6));
    p.set_descriptor_limit(7);
    assert_eq!(new(), Err(Errno::EMFILE));
    assert_eq!(p.dup(3), Err(Errno::EMFILE));
    assert_eq!(p.dup2(3, 7), Err(Errno::EBADF));
    assert_eq!(p.dup2(3, -1), Err(Errno::EBADF));
    assert_eq!(p.fcntl(3, F_DUPFD, 7), Err(Errno::EINVAL));
    assert_eq!(p.dup2(3, 3), Ok(3));
    assert_eq!(p.dup2(42, 42), Err(Errno::EBADF));
    p.close(3).unwrap();
    assert_eq!(new(), Ok(3));
}

#[test]
fn copies_share_the_socket_until_the_last_is_closed() {
    let (fake, p, fd) = connected();
    let other = p.dup(fd).unwrap();
    p.fcntl(fd, F_SETFL, O_NONBLOCK as i32).unwrap();
    assert_eq!(p.fcntl(other, F_GETFL, 0), Ok((O_RDWR | O_NONBLOCK) as i32));
    p.fcntl(fd, F_SETFD, 1).unwrap();
    assert_eq!((p.fcntl(fd, F_GETFD, 0), p.fcntl(other, F_GETFD, 0)), (Ok(1), Ok(0)));
    p.close(fd).unwrap();
    assert!(fake.serve(|s| s.socket(FIRST).closed.is_none()));
    assert_eq!(p.write(other, b"last words"), Ok(10));
    // dup2 closes what was there.
    let third = p.socket(AF_INET, SOCK_DGRAM.into(), 0).unwrap();
    p.dup2(third, other).unwrap();
    assert_eq!(fake.serve(|s| s.socket(FIRST).closed.clone()).as_deref(), Some(&b"last words"[..]));
}

#[test]
fn a_refused_socket_takes_no_descriptor() {
    let (fake, env) = Fake::new(16, &[]);
    let p = Process::new(&env).unwrap();
    for i in 0..8 {
        assert_eq!(p.socket(AF_INET, SOCK_STREAM.into(), 0), Ok(3 + i));
    }
    assert_eq!(p.socket(AF_INET, SOCK_STREAM.into(), 0), Err(Errno::ENOBUFS));
    p.set_descriptor_limit(11);
    let calls = fake.calls.get();
    assert_eq!(p.socket(AF_INET, SOCK_STREAM.into(), 0), Err(Errno::EMFILE));
    assert_eq!(fake.calls.get(), calls);
}
