//! An address family of a crate of its own (`net-server/families/echo`).

use crate::{case::*, posix::*, test::*};

const AF_ECHO: u16 = 0xfe00;

/// The cases.
pub const CASES: &[Case] = &[Case::new("a family of a crate of its own", "socket(2) EAFNOSUPPORT", ONCE, echo).differs(
    "net_server can have families more, each a crate and a line; AF_ECHO, which sends back, is there if `family.echo` is set",
)];

fn echo(t: &Test<'_>) -> Outcome {
    let fd = t.socket(AF_ECHO, u32::from(SOCK_DGRAM) | SOCK_NONBLOCK, 0);
    if !t.by_world(false, true) {
        err!(fd, EAFNOSUPPORT);
        return Ok(());
    }
    let fd = ok!(fd);
    err!(t.socket(AF_ECHO, SOCK_STREAM.into(), 0), ESOCKTNOSUPPORT);
    err!(t.socket(AF_ECHO, SOCK_DGRAM.into(), 9), EPROTONOSUPPORT);
    err!(t.listen(fd, 1), EOPNOTSUPP);
    err!(t.getsockopt(fd, SOL_SOCKET + 99, 1, &mut [0; 4]), ENOPROTOOPT);
    gives!(t.getsockname(fd), raw_address(&AF_ECHO.to_ne_bytes()));
    err!(t.getpeername(fd), ENOTCONN);
    // What a datagram socket has by any family.
    let mut there = AF_ECHO.to_ne_bytes().to_vec();
    there.extend(b"somewhere");
    let there = raw_address(&there);
    for data in [&b"hello"[..], b"", b"again"] {
        gives!(t.sendto(fd, data, 0, &there), data.len());
        t.wait(fd, POLLIN)?;
        let mut back = [0; 10];
        let (n, from) = ok!(t.recvfrom(fd, &mut back, 0));
        eq!((&back[..n], from), (data, there));
    }
    err!(t.recv(fd, &mut [0; 1], 0), EAGAIN);
    t.shut(&[fd])
}
