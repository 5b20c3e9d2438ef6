//! Plays a sequence in one world and notes what every call gives.

use std::fmt::Write;

use strait_conformance::posix::*;

use crate::{
    local,
    op::{Kind, Name, Op},
};

/// Options that are set and read: level and name.
const OPTIONS: &[(i32, i32)] = &[
    (SOL_SOCKET, SO_REUSEADDR),
    (SOL_SOCKET, SO_REUSEADDR),
    (SOL_SOCKET, SO_REUSEPORT),
    (SOL_SOCKET, SO_KEEPALIVE),
    (SOL_SOCKET, SO_BROADCAST),
    (SOL_SOCKET, SO_BROADCAST),
    (SOL_SOCKET, SO_OOBINLINE),
    (SOL_SOCKET, SO_OOBINLINE),
    (SOL_SOCKET, SO_DONTROUTE),
    (SOL_SOCKET, SO_LINGER),
    (SOL_SOCKET, SO_ACCEPTCONN),
    (SOL_SOCKET, SO_TYPE),
    (SOL_SOCKET, SO_DOMAIN),
    (SOL_SOCKET, SO_PROTOCOL),
    (SOL_SOCKET, SO_RCVLOWAT),
    (SOL_SOCKET, SO_SNDLOWAT),
    (SOL_SOCKET, SO_RCVTIMEO),
    (SOL_SOCKET, SO_BINDTODEVICE),
    (SOL_SOCKET, 999),
    (IPPROTO_TCP, TCP_NODELAY),
    (IPPROTO_TCP, TCP_KEEPIDLE),
    (IPPROTO_TCP, TCP_KEEPCNT),
    (IPPROTO_TCP, TCP_USER_TIMEOUT),
    (IPPROTO_IP, IP_TTL),
    (IPPROTO_IP, IP_TOS),
    (IPPROTO_IP, IP_PKTINFO),
    (IPPROTO_IP, IP_RECVTTL),
    (IPPROTO_IP, IP_RECVTOS),
    (IPPROTO_IP, IP_MULTICAST_LOOP),
    (IPPROTO_IPV6, IPV6_V6ONLY),
    (IPPROTO_IPV6, IPV6_V6ONLY),
    (IPPROTO_IPV6, IPV6_UNICAST_HOPS),
    (IPPROTO_IPV6, IPV6_TCLASS),
    (IPPROTO_IPV6, IPV6_RECVPKTINFO),
    (IPPROTO_IPV6, IPV6_RECVHOPLIMIT),
    (777, 1),
];

/// Those that are about what was received. On Linux they count when it is read,
/// here when it comes.
const LATER: [(i32, i32); 5] = [
    (IPPROTO_IP, IP_PKTINFO),
    (IPPROTO_IP, IP_RECVTTL),
    (IPPROTO_IP, IP_RECVTOS),
    (IPPROTO_IPV6, IPV6_RECVPKTINFO),
    (IPPROTO_IPV6, IPV6_RECVHOPLIMIT),
];

/// Requests of ioctl(2).
pub const REQUESTS: [u32; 4] = [FIONREAD, SIOCATMARK, SIOCOUTQ, 0x8999];

/// Bytes that one call of a flood sends, and calls of it.
const WAVE: usize = 10_000;
const WAVES: usize = 2000;

/// One run of a sequence.
pub struct Play<'a> {
    pub posix: &'a dyn Posix,
    pub kind: Kind,
    /// The first of two ports.
    pub port: u16,
    /// Waits until all that is under way has arrived.
    pub settle: &'a dyn Fn(),
    /// What cannot be compared at the moment.
    pub blur: local::Blur,
}

/// The descriptors of a run.
pub struct Table {
    pub fds: [Option<Fd>; 5],
    /// Which are of IPv6.
    six: [bool; 5],
    /// A descriptor of something else.
    other: Fd,
    /// The last byte sent.
    count: u8,
}

impl Table {
    pub fn at(&self, s: u8) -> Fd {
        match s {
            0..5 => self.fds[usize::from(s)].unwrap_or(900),
            5 => -1,
            _ => self.other,
        }
    }

    fn is_6(&self, s: u8) -> bool {
        self.six.get(usize::from(s)).is_some_and(|six| *six)
    }

    /// A place for a new descriptor; false if there is none.
    pub fn put(&mut self, fd: Fd, six: bool) -> bool {
        let Some(place) = (2..5).find(|place| self.fds[*place].is_none()) else { return false };
        (self.fds[place], self.six[place]) = (Some(fd), six);
        true
    }

    pub fn data(&mut self, len: usize) -> Vec<u8> {
        self.count = self.count.wrapping_add(1);
        vec![self.count; len]
    }
}

impl Play<'_> {
    /// What came of each call, and the readiness of all sockets after it.
    pub fn run(&self, ops: &[Op]) -> Vec<String> {
        let six = |place| self.kind.is_6(place);
        let mut table = Table {
            fds: [self.socket(six(0)), self.socket(six(1)), None, None, None],
            six: [six(0), six(1), false, false, false],
            other: self.posix.eventfd(0, 0).unwrap_or(-1),
            count: 0,
        };
        let notes = ops
            .iter()
            .map(|op| {
                let mut note = self.op(*op, &mut table);
                (self.settle)();
                for fd in table.fds {
                    match fd {
                        Some(fd) => {
                            let _ = write!(note, " {:x}", self.ready(fd));
                        }
                        None => note.push_str(" -"),
                    }
                }
                note
            })
            .collect();
        for fd in table.fds.into_iter().flatten() {
            self.abort(fd);
        }
        let _ = self.posix.close(table.other);
        notes
    }

    fn ready(&self, fd: Fd) -> u16 {
        let mut entry = [PollFd::new(fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP)];
        let _ = self.posix.poll(&mut entry, 0);
        entry[0].revents & !self.blur.events()
    }

    fn socket(&self, six: bool) -> Option<Fd> {
        let (family, kind) = match self.kind {
            kind if kind.is_local() => (AF_UNIX, local::type_of(kind)),
            kind => (if six { AF_INET6 } else { AF_INET }, if kind.is_stream() { SOCK_STREAM } else { SOCK_DGRAM }),
        };
        let fd = self.posix.socket(family, u32::from(kind) | SOCK_NONBLOCK, 0).ok()?;
        if self.kind.is_stream() {
            // When a small segment leaves must not depend on acknowledgements.
            let _ = self.posix.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &1i32.to_ne_bytes());
        }
        Some(fd)
    }

    pub fn abort(&self, fd: Fd) {
        let _ = self.posix.setsockopt(fd, SOL_SOCKET, SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0]);
        let _ = self.posix.close(fd);
    }

    fn address(&self, name: Name, v6: bool) -> Address {
        use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
        if self.kind.is_local() {
            return local::address(self.port, name);
        }
        let ip = |four: [u8; 4], six: Ipv6Addr| -> IpAddr { if v6 { six.into() } else { four.into() } };
        let mapped = |four: [u8; 4]| ip(four, Ipv4Addr::from(four).to_ipv6_mapped());
        let lo = ip([127, 0, 0, 1], Ipv6Addr::LOCALHOST);
        let at = |n: u8| self.port + u16::from(n);
        match name {
            Name::Lo(n) => (lo, at(n)).into(),
            Name::Any(n) => (ip([0; 4], Ipv6Addr::UNSPECIFIED), at(n)).into(),
            Name::Mapped(n) => (mapped([127, 0, 0, 1]), at(n)).into(),
            Name::Other(n) => (mapped([127, 0, 0, 2]), at(n)).into(),
            Name::Zero => (lo, 0).into(),
            Name::All(n) => (mapped([127, 255, 255, 255]), at(n)).into(),
            Name::Unspec => cut(&(lo, 0).into(), AF_UNSPEC, 28),
            Name::Cut(family, len) => cut(&(lo, at(0)).into(), family.into(), len.into()),
        }
    }

    /// A peer without what goes wrong on Linux. A stream of IPv6 that once
    /// connected by IPv4 cannot by IPv6 any more (its `af_ops` stay), and a
    /// datagram socket of both that had a peer of IPv4 hears nothing by IPv6 any
    /// more. When a connected datagram socket fails to connect to everyone, what
    /// it sends goes there none the less (`inet->cork.fl`).
    fn to_connect(&self, name: Name, fd: Fd, six: bool) -> Name {
        let of_4 = || self.posix.getpeername(fd).is_ok_and(|peer| self.told(&peer).starts_with("::ffff"));
        match (self.kind, name) {
            (Kind::TcpBoth, Name::Lo(n) | Name::Any(n)) if six => Name::Mapped(n),
            (Kind::TcpBoth, Name::Zero | Name::Cut(10, 24..)) if six => Name::Mapped(0),
            (Kind::Tcp6, Name::Mapped(n) | Name::Other(n) | Name::All(n)) => Name::Lo(n),
            (Kind::Udp4 | Kind::Udp6 | Kind::UdpBoth, Name::All(n)) => Name::Lo(n),
            (Kind::Udp6 | Kind::UdpBoth, Name::Unspec) if six && of_4() => Name::Mapped(0),
            _ => name,
        }
    }

    /// An address without the numbers that differ from run to run.
    pub fn told(&self, address: &Address) -> String {
        if self.kind.is_local() {
            return local::told(self.port, address);
        }
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

    fn op(&self, op: Op, table: &mut Table) -> String {
        let posix = self.posix;
        if self.kind.is_local()
            && let Some(note) = self.local_op(op, table)
        {
            return note;
        }
        match op {
            Op::Bind(s, name) => say(posix.bind(table.at(s), &self.address(name, table.is_6(s)))),
            Op::Listen(s, backlog) => say(posix.listen(table.at(s), backlog.into())),
            Op::Accept(s, wrong) => match posix.accept4(table.at(s), SOCK_NONBLOCK | u32::from(wrong)) {
                Ok((fd, from)) => {
                    if !table.put(fd, table.is_6(s)) {
                        self.abort(fd);
                    }
                    self.told(&from)
                }
                Err(e) => e.name().into(),
            },
            Op::Connect(s, name) => {
                let name = self.to_connect(name, table.at(s), table.is_6(s));
                say(posix.connect(table.at(s), &self.address(name, table.is_6(s))))
            }
            Op::Send(s, len, flags) => {
                let text = say(posix.send(table.at(s), &table.data(len as usize), flags));
                text + &self.complete(table, s, flags)
            }
            Op::SendTo(s, len, flags, name) => {
                // Streams have room for less.
                let len = if self.kind.is_stream() { len.min(1000) } else { len };
                let flags = self.with_name(flags);
                let to = self.address(name, table.is_6(s));
                // And buffers for datagrams for one such.
                if len > 1000 {
                    self.drain(table);
                }
                let mut text = say(posix.sendto(table.at(s), &table.data(len as usize), flags, &to));
                if len > 1000 {
                    (self.settle)();
                    let _ = write!(text, " {}", self.drain(table));
                }
                text + &self.complete(table, s, flags)
            }
            Op::SendMsg(s, len, flags, name, control) => {
                let to = name.map(|name| self.address(name, table.is_6(s)));
                let flags = if name.is_some() { self.with_name(flags) } else { flags };
                let data = table.data(len.into());
                let (first, rest) = data.split_at(data.len() / 2);
                let text = say(posix.sendmsg(table.at(s), &[first, rest], to.as_ref(), &control_data(control), flags));
                text + &self.complete(table, s, flags)
            }
            Op::Recv(s, len, flags) => {
                let mut bytes = vec![0; len.into()];
                match posix.recvfrom(table.at(s), &mut bytes, flags) {
                    Ok((n, from)) => format!("{n} from {}{}", self.told(&from), runs(&bytes, n)),
                    Err(e) => e.name().into(),
                }
            }
            Op::RecvMsg(s, len, flags, room) => {
                let (mut bytes, mut control) = (vec![0; len.into()], vec![0; room.into()]);
                match posix.recvmsg(table.at(s), &mut [&mut bytes], &mut control, flags) {
                    Ok(got) => {
                        let (from, n) = (self.told(&got.address), got.bytes);
                        let items = control::items(&control[..got.control]).filter_map(Result::ok);
                        let items: Vec<_> = items.map(|i| (i.level, i.kind, i.value.len())).collect();
                        format!("{n} from {from} flags {:x} {items:?}{}", got.flags, runs(&bytes, n))
                    }
                    Err(e) => e.name().into(),
                }
            }
            Op::Flood(s) => self.flood(table, s),
            Op::Shutdown(s, how) => say(posix.shutdown(table.at(s), how)),
            Op::Close(s) => {
                let text = say(posix.close(table.at(s)));
                match table.fds.get_mut(usize::from(s)) {
                    Some(place) => *place = None,
                    None if s != 5 => table.other = -1,
                    None => {}
                }
                text
            }
            Op::Reset(s) => {
                if let Some(fd) = table.fds.get_mut(usize::from(s)).and_then(Option::take) {
                    self.abort(fd);
                }
                String::new()
            }
            Op::Renew(s) => {
                let place = usize::from(s);
                if let Some(fd) = table.fds[place].take() {
                    let _ = posix.close(fd);
                }
                table.six[place] = self.kind.is_6(place);
                table.fds[place] = self.socket(table.six[place]);
                String::new()
            }
            Op::Dup(s) => match posix.dup(table.at(s)) {
                Ok(fd) => {
                    if s > 4 || !table.put(fd, table.is_6(s)) {
                        let _ = posix.close(fd);
                    }
                    String::new()
                }
                Err(e) => e.name().into(),
            },
            Op::Error(s) => say(option(posix, table.at(s), SOL_SOCKET, SO_ERROR)),
            Op::Names(s) => {
                let tell = |name: Result<Address>| name.map_or_else(|e| e.name().into(), |a| self.told(&a));
                format!("{} {}", tell(posix.getsockname(table.at(s))), tell(posix.getpeername(table.at(s))))
            }
            Op::Ioctl(s, which) => {
                let request = REQUESTS[usize::from(which) % REQUESTS.len()];
                match number(posix, table.at(s), request) {
                    // On Linux, the difference of two numbers, perhaps of former
                    // times; when something is acknowledged is a matter of time.
                    Ok(_) if request == SIOCOUTQ && self.kind.is_stream() => String::new(),
                    other => say(other),
                }
            }
            Op::Set(s, which, value, len) => {
                let (level, name) = OPTIONS[usize::from(which) % OPTIONS.len()];
                if LATER.contains(&(level, name)) {
                    self.drain(table);
                }
                let mut bytes = [0; 16];
                // The greatest is that of the buffer, which differs.
                let value = if name == SO_RCVLOWAT { value.max(0) } else { value };
                bytes[..4].copy_from_slice(&value.to_ne_bytes());
                say(posix.setsockopt(table.at(s), level, name, &bytes[..usize::from(len)]))
            }
            Op::Get(s, which, room) => {
                let (level, name) = OPTIONS[usize::from(which) % OPTIONS.len()];
                let mut bytes = vec![0; room.into()];
                match posix.getsockopt(table.at(s), level, name, &mut bytes) {
                    Ok(n) => format!("{:?}", &bytes[..n.min(bytes.len())]),
                    Err(e) => e.name().into(),
                }
            }
            Op::Pair | Op::Pass(..) | Op::Fill(..) | Op::Drain => String::new(),
        }
    }

    /// The flags of a datagram with a name. Without MSG_MORE: on Linux, what a
    /// connected socket sends after that goes to the same address, not to its
    /// peer (`inet->cork.fl`).
    fn with_name(&self, flags: u32) -> u32 {
        if self.kind.is_stream() { flags } else { flags & !MSG_MORE }
    }

    /// Reads all that is there; how much it was.
    fn drain(&self, table: &Table) -> usize {
        let mut bytes = vec![0; 1 << 18];
        let mut sum = 0;
        for s in 0..5 {
            for _ in 0..1000 {
                match self.posix.recv(table.at(s), &mut bytes, MSG_DONTWAIT) {
                    Ok(0) if self.kind.is_stream() => break,
                    Ok(n) => sum += n,
                    Err(Errno::ECONNREFUSED) => {}
                    Err(_) => break,
                }
            }
        }
        sum
    }

    /// After MSG_MORE comes more: on Linux, what is held back leaves earlier for
    /// many reasons.
    fn complete(&self, table: &mut Table, s: u8, flags: u32) -> String {
        if flags & MSG_MORE == 0 {
            return String::new();
        }
        format!(" {}", say(self.posix.send(table.at(s), &table.data(2), 0)))
    }

    /// Sends as much as goes, while the others read, and tells how both ended.
    /// How much that is differs from world to world; of a stream all must come.
    fn flood(&self, table: &mut Table, s: u8) -> String {
        let (mut sent, mut come) = (0, 0);
        let mut text = String::new();
        let all = (0..5).map(|s| self.ready(table.at(s)));
        if self.kind.is_stream() && all.fold(0, |all, one| all | one) & POLLRDHUP != 0 {
            // Linux tells no new window after shutdown(2) for reading, until it
            // is asked for one.
            return text;
        }
        for _ in 0..3 {
            let mut end = None;
            for _ in 0..WAVES {
                match self.posix.send(table.at(s), &[0; WAVE], MSG_DONTWAIT) {
                    Ok(n) => sent += n,
                    Err(e) => {
                        end = Some(e);
                        break;
                    }
                }
                if !self.kind.is_stream() && sent > 50 * WAVE {
                    break;
                }
            }
            let _ = write!(text, " {}", end.map_or("-", Errno::name));
            // In turns: what is read makes room for what waits.
            for _ in 0..WAVES {
                (self.settle)();
                let more = self.drain(table);
                come += more;
                if more == 0 {
                    break;
                }
            }
        }
        if self.kind.is_stream() {
            let _ = write!(text, " {}", come >= sent);
            if come < sent {
                // Nobody reads it. How full it is, and what that means from now
                // on, differs.
                let _ = self.posix.connect(table.at(s), &self.address(Name::Unspec, table.is_6(s)));
            }
        }
        text
    }
}

/// The bytes of an address with another family and length.
fn cut(address: &Address, family: u16, len: usize) -> Address {
    let mut bytes = [0; 128];
    bytes[..address.as_bytes().len()].copy_from_slice(address.as_bytes());
    bytes[..2].copy_from_slice(&family.to_ne_bytes());
    Address::from_bytes(&bytes[..len]).unwrap_or(Address::EMPTY)
}

/// Control data of several kinds.
fn control_data(which: u8) -> Vec<u8> {
    let int = |value: i32| value.to_ne_bytes().to_vec();
    let (level, kind, value) = match which % 16 {
        0 => (IPPROTO_IP, IP_TTL, int(9)),
        1 => (IPPROTO_IP, IP_TTL, int(0)),
        2 => (IPPROTO_IP, IP_TOS, vec![4]),
        3 => (IPPROTO_IP, IP_PKTINFO, vec![0; 12]),
        4 => (IPPROTO_IP, 99, int(1)),
        5 => (IPPROTO_IPV6, IPV6_HOPLIMIT, int(9)),
        6 => (IPPROTO_IPV6, IPV6_TCLASS, int(300)),
        7 => (IPPROTO_IPV6, IPV6_PKTINFO, vec![0; 20]),
        8 => (SOL_SOCKET, 77, int(1)),
        9 => (777, 1, vec![0; 400]),
        _ => return vec![],
    };
    let mut bytes = vec![0; control::space(value.len())];
    control::put(&mut bytes, &mut 0, control::Item { level, kind, value: &value });
    bytes
}

/// The runs of equal bytes that came.
pub fn runs(bytes: &[u8], n: usize) -> String {
    let mut text = String::new();
    for run in bytes[..n.min(bytes.len())].chunk_by(|a, b| a == b) {
        let _ = write!(text, " {}x{}", run.len(), run[0]);
    }
    text
}

pub fn option(posix: &dyn Posix, fd: Fd, level: i32, name: i32) -> Result<i32> {
    let mut value = [0; 4];
    posix.getsockopt(fd, level, name, &mut value)?;
    Ok(i32::from_ne_bytes(value))
}

pub fn number(posix: &dyn Posix, fd: Fd, request: u32) -> Result<i32> {
    let mut value = [0; 4];
    posix.ioctl(fd, request, &mut value)?;
    Ok(i32::from_ne_bytes(value))
}

pub fn say<T: core::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(e) => e.name().into(),
    }
}
