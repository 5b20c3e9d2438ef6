//! socket(2), close(2): making sockets, and descriptors that are none.

use crate::{case::*, posix::*, test::*};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("a socket has the lowest free descriptor", "socket(2)", INET, lowest),
    Case::new("an unknown address family", "socket(2) EAFNOSUPPORT", ONCE, unknown_family),
    Case::new("unknown flags in the type", "socket(2) EINVAL", ONCE, unknown_flags),
    Case::new("a type that the family lacks", "socket(2) ESOCKTNOSUPPORT", &[TCP4, TCP6], unknown_type),
    Case::new("a protocol that the type lacks", "socket(2) EPROTONOSUPPORT", INET, wrong_protocol),
    Case::new("the protocol by its number", "socket(2)", INET, own_protocol),
    Case::new("a closed descriptor is none", "close(2) EBADF", INET, closed),
];

fn lowest(t: &Test<'_>) -> Outcome {
    let (a, b, c) = (t.sock()?, t.sock()?, t.sock()?);
    that!(a < b && b < c);
    t.shut(&[b])?;
    eq!(t.sock()?, b);
    t.shut(&[a, b, c])
}

fn unknown_family(t: &Test<'_>) -> Outcome {
    for family in [46, 100, 0xffff] {
        err!(t.socket(family, SOCK_STREAM.into(), 0), EAFNOSUPPORT);
    }
    err!(t.socket(AF_UNSPEC, SOCK_STREAM.into(), 0), EAFNOSUPPORT);
    Ok(())
}

fn unknown_flags(t: &Test<'_>) -> Outcome {
    err!(t.socket(AF_INET, u32::from(SOCK_STREAM) | 0x10, 0), EINVAL);
    err!(t.socket(AF_INET, u32::from(SOCK_STREAM) | 0x8000_0000, 0), EINVAL);
    err!(t.socket(AF_INET, 11, 0), EINVAL);
    Ok(())
}

fn unknown_type(t: &Test<'_>) -> Outcome {
    err!(t.socket(t.on.family, 4, 0), ESOCKTNOSUPPORT);
    err!(t.socket(t.on.family, SOCK_SEQPACKET.into(), 0), ESOCKTNOSUPPORT);
    err!(t.socket(t.on.family, 0, 0), ESOCKTNOSUPPORT);
    Ok(())
}

fn wrong_protocol(t: &Test<'_>) -> Outcome {
    let other = if t.stream() { IPPROTO_UDP } else { IPPROTO_TCP };
    err!(t.socket(t.on.family, t.on.kind.into(), other as u16), EPROTONOSUPPORT);
    err!(t.socket(t.on.family, t.on.kind.into(), 255), EPROTONOSUPPORT);
    err!(t.socket(t.on.family, t.on.kind.into(), 999), EINVAL);
    Ok(())
}

fn own_protocol(t: &Test<'_>) -> Outcome {
    let own = if t.stream() { IPPROTO_TCP } else { IPPROTO_UDP };
    let fd = ok!(t.socket(t.on.family, t.on.kind.into(), own as u16));
    gives!(t.option(fd, SOL_SOCKET, SO_PROTOCOL), own);
    gives!(t.option(fd, SOL_SOCKET, SO_TYPE), i32::from(t.on.kind));
    gives!(t.option(fd, SOL_SOCKET, SO_DOMAIN), i32::from(t.on.family));
    t.shut(&[fd])
}

fn closed(t: &Test<'_>) -> Outcome {
    let fd = t.sock()?;
    t.shut(&[fd])?;
    let mut byte = [0];
    for bad in [fd, -1, 100_000] {
        err!(t.close(bad), EBADF);
        err!(t.bind(bad, &t.lo(0)), EBADF);
        err!(t.listen(bad, 1), EBADF);
        err!(t.accept4(bad, 0), EBADF);
        err!(t.connect(bad, &t.lo(0)), EBADF);
        err!(t.send(bad, b"x", 0), EBADF);
        err!(t.recv(bad, &mut byte, 0), EBADF);
        err!(t.write(bad, b"x"), EBADF);
        err!(t.read(bad, &mut byte), EBADF);
        err!(t.shutdown(bad, SHUT_RDWR), EBADF);
        err!(t.getsockname(bad), EBADF);
        err!(t.getpeername(bad), EBADF);
        err!(t.option(bad, SOL_SOCKET, SO_ERROR), EBADF);
        err!(t.set_option(bad, SOL_SOCKET, SO_REUSEADDR, 1), EBADF);
        err!(t.dup(bad), EBADF);
        err!(t.fcntl(bad, F_GETFL, 0), EBADF);
        err!(t.ioctl(bad, FIONREAD, &mut [0; 4]), EBADF);
        err!(t.writev(bad, &[b"x"]), EBADF);
        err!(t.readv(bad, &mut [&mut byte]), EBADF);
    }
    Ok(())
}
