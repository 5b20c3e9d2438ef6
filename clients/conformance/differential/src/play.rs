//! Plays a sequence in one world and notes what every call gives.

use std::fmt::Write;

use strait_conformance::posix::*;

use crate::op::{Kind, Name, Op};

/// Options that are set and read: level and name.
const OPTIONS: [(i32, i32); 12] = [
    (SOL_SOCKET, SO_REUSEADDR),
    (SOL_SOCKET, SO_REUSEPORT),
    (SOL_SOCKET, SO_KEEPALIVE),
    (SOL_SOCKET, SO_BROADCAST),
    (SOL_SOCKET, SO_OOBINLINE),
    (SOL_SOCKET, SO_ACCEPTCONN),
    (SOL_SOCKET, SO_TYPE),
    (SOL_SOCKET, SO_RCVLOWAT),
    (IPPROTO_TCP, TCP_KEEPCNT),
    (IPPROTO_TCP, TCP_USER_TIMEOUT),
    (IPPROTO_IP, IP_TTL),
    (SOL_SOCKET, 999),
];

/// One run of a sequence.
pub struct Play<'a> {
    pub posix: &'a dyn Posix,
    pub kind: Kind,
    /// The first of two ports.
    pub port: u16,
    /// Waits until all that is under way has arrived.
    pub settle: &'a dyn Fn(),
}

impl Play<'_> {
    /// What came of each call, and the readiness of all sockets after it.
    pub fn run(&self, ops: &[Op]) -> Vec<String> {
        let mut fds = [None; 5];
        let mut count = 0u8;
        fds[0] = self.socket();
        fds[1] = self.socket();
        let notes = ops
            .iter()
            .map(|op| {
                let mut note = self.op(*op, &mut fds, &mut count);
                (self.settle)();
                for fd in fds {
                    match fd {
                        Some(fd) => {
                            let mut entry = [PollFd::new(fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP)];
                            let _ = self.posix.poll(&mut entry, 0);
                            let _ = write!(note, " {:x}", entry[0].revents);
                        }
                        None => note.push_str(" -"),
                    }
                }
                note
            })
            .collect();
        for fd in fds.into_iter().flatten() {
            self.abort(fd);
        }
        notes
    }

    fn socket(&self) -> Option<Fd> {
        let (family, kind) = match self.kind {
            Kind::Tcp4 => (AF_INET, SOCK_STREAM),
            Kind::Tcp6 => (AF_INET6, SOCK_STREAM),
            Kind::Udp4 => (AF_INET, SOCK_DGRAM),
            Kind::Udp6 => (AF_INET6, SOCK_DGRAM),
        };
        let fd = self.posix.socket(family, u32::from(kind) | SOCK_NONBLOCK, 0).ok()?;
        if kind == SOCK_STREAM {
            // When a small segment leaves must not depend on acknowledgements.
            let _ = self.posix.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &1i32.to_ne_bytes());
        }
        Some(fd)
    }

    fn abort(&self, fd: Fd) {
        let _ = self.posix.setsockopt(fd, SOL_SOCKET, SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0]);
        let _ = self.posix.close(fd);
    }

    fn address(&self, name: Name) -> Address {
        let v6 = matches!(self.kind, Kind::Tcp6 | Kind::Udp6);
        let ip = |any: bool| -> core::net::IpAddr {
            match (v6, any) {
                (false, false) => [127, 0, 0, 1].into(),
                (false, true) => [0; 4].into(),
                (true, false) => core::net::Ipv6Addr::LOCALHOST.into(),
                (true, true) => core::net::Ipv6Addr::UNSPECIFIED.into(),
            }
        };
        let bytes = |family: u16| {
            let mut bytes = [0; 28];
            bytes[..2].copy_from_slice(&family.to_ne_bytes());
            Address::from_bytes(&bytes).unwrap_or(Address::EMPTY)
        };
        match name {
            Name::Lo(n) => (ip(false), self.port + u16::from(n)).into(),
            Name::Any(n) => (ip(true), self.port + u16::from(n)).into(),
            Name::Zero => (ip(false), 0).into(),
            Name::Short => Address::from_bytes(&[if v6 { 10 } else { 2 }, 0, 0, 9]).unwrap_or(Address::EMPTY),
            Name::Family => bytes(99),
            Name::Unspec => bytes(AF_UNSPEC),
        }
    }

    /// An address without the numbers that differ from run to run.
    fn told(&self, address: &Address) -> String {
        match address.to_inet() {
            Ok(a) => {
                let port = match a.port() {
                    0 => "0".into(),
                    p if (self.port..self.port + 2).contains(&p) => format!("p{}", p - self.port),
                    _ => "chosen".to_string(),
                };
                format!("{}:{port}", a.ip())
            }
            Err(_) => format!("{:?}", address.as_bytes()),
        }
    }

    fn op(&self, op: Op, fds: &mut [Option<Fd>; 5], count: &mut u8) -> String {
        let posix = self.posix;
        let at = |s: u8| fds[usize::from(s)].unwrap_or(900);
        let mut data = |len: u16| {
            *count = count.wrapping_add(1);
            vec![*count; len.into()]
        };
        match op {
            Op::Bind(s, name) => say(posix.bind(at(s), &self.address(name))),
            Op::Listen(s, backlog) => say(posix.listen(at(s), backlog.into())),
            Op::Accept(s) => match posix.accept4(at(s), SOCK_NONBLOCK) {
                Ok((fd, from)) => {
                    let text = self.told(&from);
                    match fds.iter_mut().skip(2).find(|fd| fd.is_none()) {
                        Some(place) => *place = Some(fd),
                        None => self.abort(fd),
                    }
                    text
                }
                Err(e) => e.name().into(),
            },
            Op::Connect(s, name) => say(posix.connect(at(s), &self.address(name))),
            Op::Send(s, len) => say(posix.send(at(s), &data(len), 0)),
            Op::SendTo(s, len, name) => say(posix.sendto(at(s), &data(len), 0, &self.address(name))),
            Op::Urgent(s) => say(posix.send(at(s), &data(1), MSG_OOB)),
            Op::Recv(s, len, flags) => {
                let mut bytes = vec![0; len.into()];
                match posix.recvfrom(at(s), &mut bytes, flags) {
                    Ok((n, from)) => {
                        // The runs of equal bytes that came.
                        let mut text = format!("{n} from {}", self.told(&from));
                        for run in bytes[..n.min(bytes.len())].chunk_by(|a, b| a == b) {
                            let _ = write!(text, " {}x{}", run.len(), run[0]);
                        }
                        text
                    }
                    Err(e) => e.name().into(),
                }
            }
            Op::Shutdown(s, how) => say(posix.shutdown(at(s), how)),
            Op::Close(s) => {
                let text = say(posix.close(at(s)));
                fds[usize::from(s)] = None;
                text
            }
            Op::Reset(s) => {
                if let Some(fd) = fds[usize::from(s)].take() {
                    self.abort(fd);
                }
                String::new()
            }
            Op::Renew(s) => {
                if let Some(fd) = fds[usize::from(s)].take() {
                    let _ = posix.close(fd);
                }
                fds[usize::from(s)] = self.socket();
                String::new()
            }
            Op::Error(s) => say(option(posix, at(s), SOL_SOCKET, SO_ERROR)),
            Op::Names(s) => {
                let tell = |name: Result<Address>| name.map_or_else(|e| e.name().into(), |a| self.told(&a));
                format!("{} {}", tell(posix.getsockname(at(s))), tell(posix.getpeername(at(s))))
            }
            Op::Unread(s) => say(number(posix, at(s), FIONREAD)),
            Op::AtMark(s) => say(number(posix, at(s), SIOCATMARK)),
            Op::Set(s, which, value) => {
                let (level, name) = OPTIONS[usize::from(which) % OPTIONS.len()];
                say(posix.setsockopt(at(s), level, name, &value.to_ne_bytes()))
            }
            Op::Get(s, which) => {
                let (level, name) = OPTIONS[usize::from(which) % OPTIONS.len()];
                say(option(posix, at(s), level, name))
            }
        }
    }
}

fn option(posix: &dyn Posix, fd: Fd, level: i32, name: i32) -> Result<i32> {
    let mut value = [0; 4];
    posix.getsockopt(fd, level, name, &mut value)?;
    Ok(i32::from_ne_bytes(value))
}

fn number(posix: &dyn Posix, fd: Fd, request: u32) -> Result<i32> {
    let mut value = [0; 4];
    posix.ioctl(fd, request, &mut value)?;
    Ok(i32::from_ne_bytes(value))
}

fn say<T: core::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(e) => e.name().into(),
    }
}
