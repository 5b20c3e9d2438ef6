//! What cases are given: the world's calls, the kind of socket they run on,
//! ports of their own, and what nearly all of them need.

use alloc::{format, vec::Vec};
use core::{
    cell::Cell,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::Deref,
};

use crate::{
    case::{Failure, On},
    posix::*,
};

/// Ports that each case has for itself.
pub const PORTS: u16 = 12;
/// Where they begin; they end below those that systems choose.
pub const FIRST_PORT: u16 = 9000;
/// Milliseconds after which what should have happened is not going to.
const PATIENCE: i32 = 3000;

/// A case that runs.
pub struct Test<'a> {
    posix: &'a dyn Posix,
    /// The kind of socket.
    pub on: On,
    base: u16,
    pub(crate) differed: Cell<bool>,
}

impl<'a> Deref for Test<'a> {
    type Target = dyn Posix + 'a;

    fn deref(&self) -> &Self::Target {
        self.posix
    }
}

/// As `Ok` or a failure that names the caller.
#[track_caller]
fn done<T>(what: &str, result: Result<T>) -> Result<T, Failure> {
    match result {
        Ok(value) => Ok(value),
        Err(e) => Err(Failure::new(what, "success", e.name())),
    }
}

impl<'a> Test<'a> {
    /// The case numbered `number` on this kind of socket.
    pub fn new(posix: &'a dyn Posix, on: On, number: usize) -> Self {
        Self { posix, on, base: FIRST_PORT + number as u16 * PORTS, differed: Cell::new(false) }
    }

    /// The one or the other: where Strait differs from Linux. The case says
    /// why ([`Case::differs`](crate::case::Case::differs)).
    pub fn by_world<T>(&self, linux: T, strait: T) -> T {
        self.differed.set(true);
        if self.is_strait() { strait } else { linux }
    }

    /// One of the case's ports.
    pub fn port(&self, n: u16) -> u16 {
        assert!(n < PORTS);
        self.base + n
    }

    /// Whether it runs on IPv6.
    pub fn v6(&self) -> bool {
        self.on.family == AF_INET6
    }

    /// Whether it runs on streams.
    pub fn stream(&self) -> bool {
        self.on.kind == SOCK_STREAM
    }

    /// The unspecified address of the family.
    pub fn unspecified(&self) -> IpAddr {
        if self.v6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
    }

    /// The loopback address of the family.
    pub fn loopback(&self) -> IpAddr {
        if self.v6() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() }
    }

    /// The case's port `n` at the unspecified address.
    pub fn any(&self, n: u16) -> Address {
        (self.unspecified(), self.port(n)).into()
    }

    /// The case's port `n` at the loopback address.
    pub fn lo(&self, n: u16) -> Address {
        (self.loopback(), self.port(n)).into()
    }

    /// A socket of the case's kind that does not wait.
    #[track_caller]
    pub fn sock(&self) -> Result<Fd, Failure> {
        let On { family, kind, protocol, .. } = self.on;
        done("socket()", self.socket(family, u32::from(kind) | SOCK_NONBLOCK, protocol))
    }

    /// One that waits.
    #[track_caller]
    pub fn waiting_sock(&self) -> Result<Fd, Failure> {
        let On { family, kind, protocol, .. } = self.on;
        done("socket()", self.socket(family, kind.into(), protocol))
    }

    /// One that is bound to the case's port `n` at the loopback address.
    #[track_caller]
    pub fn bound(&self, n: u16) -> Result<Fd, Failure> {
        let fd = self.sock()?;
        done("bind()", self.bind(fd, &self.lo(n)))?;
        Ok(fd)
    }

    /// One that listens there.
    #[track_caller]
    pub fn listener(&self, n: u16) -> Result<Fd, Failure> {
        let fd = self.bound(n)?;
        done("listen()", self.listen(fd, 16))?;
        Ok(fd)
    }

    /// Connects, and waits until that is done.
    #[track_caller]
    pub fn join(&self, fd: Fd, to: &Address) -> Result<(), Failure> {
        match self.connect(fd, to) {
            Err(Errno::EINPROGRESS) => {
                self.wait(fd, POLLOUT)?;
                match self.take_error(fd)? {
                    0 => Ok(()),
                    e => Err(Failure::new("connect()", "success", Errno::from_raw(e as u64).name())),
                }
            }
            other => done("connect()", other),
        }
    }

    /// accept(2) once somebody is there.
    #[track_caller]
    pub fn take(&self, listener: Fd) -> Result<Fd, Failure> {
        self.wait(listener, POLLIN)?;
        done("accept4()", self.accept4(listener, SOCK_NONBLOCK)).map(|(fd, _)| fd)
    }

    /// Two sockets of the case's kind that are connected with each other: who
    /// connected and who accepted. Datagram sockets have the case's ports 0
    /// and 1, the accepted one has port 0.
    #[track_caller]
    pub fn pair(&self) -> Result<(Fd, Fd), Failure> {
        if self.on.family == AF_UNIX {
            return done(
                "socketpair()",
                self.socketpair(AF_UNIX, u32::from(self.on.kind) | SOCK_NONBLOCK, self.on.protocol),
            );
        }
        if !self.stream() {
            let (a, b) = (self.bound(0)?, self.bound(1)?);
            self.join(a, &self.lo(1))?;
            self.join(b, &self.lo(0))?;
            return Ok((a, b));
        }
        let listener = self.listener(0)?;
        let client = self.sock()?;
        self.join(client, &self.lo(0))?;
        let server = self.take(listener)?;
        self.shut(&[listener])?;
        Ok((client, server))
    }

    /// close(2) of each.
    #[track_caller]
    pub fn shut(&self, fds: &[Fd]) -> Result<(), Failure> {
        fds.iter().try_for_each(|fd| done("close()", self.close(*fd)))
    }

    /// Waits for one of `events`, at most for some seconds; what holds.
    #[track_caller]
    pub fn wait(&self, fd: Fd, events: u16) -> Result<u16, Failure> {
        let mut entry = [PollFd::new(fd, events)];
        match done("poll()", self.poll(&mut entry, PATIENCE))? {
            0 => Err(Failure::new(format!("poll for {events:#x}"), "readiness", "nothing for 3 s")),
            _ => Ok(entry[0].revents),
        }
    }

    /// Waits until all of `events` hold.
    #[track_caller]
    pub fn wait_all(&self, fd: Fd, events: u16) -> Result<u16, Failure> {
        let mut now = Ok(0);
        self.until(&format!("all of {events:#x} in poll()"), || {
            now = self.ready(fd, events);
            now.as_ref().map_or(true, |now| now & events == events)
        })?;
        now
    }

    /// What of `events` holds now, with POLLERR, POLLHUP and POLLNVAL.
    #[track_caller]
    pub fn ready(&self, fd: Fd, events: u16) -> Result<u16, Failure> {
        let mut entry = [PollFd::new(fd, events)];
        done("poll()", self.poll(&mut entry, 0))?;
        Ok(entry[0].revents)
    }

    /// Waits some milliseconds: for what is to be seen not to happen.
    #[track_caller]
    pub fn pause(&self, milliseconds: i32) -> Result<(), Failure> {
        done("poll()", self.poll(&mut [], milliseconds)).map(|_| ())
    }

    /// All that is under way arrives: the server has done what it was told when
    /// it answers a call, and the pause is longer than an acknowledgement is put
    /// off (smoltcp: 10 ms).
    #[track_caller]
    pub fn settle(&self) -> Result<(), Failure> {
        self.open_sockets();
        self.pause(20)
    }

    /// Waits until `holds`, at most for some seconds: for what poll(2) does not
    /// tell.
    #[track_caller]
    pub fn until(&self, what: &str, mut holds: impl FnMut() -> bool) -> Result<(), Failure> {
        let end = self.now() + core::time::Duration::from_millis(PATIENCE as u64);
        while !holds() {
            if self.now() > end {
                return Err(Failure::new(what, true, "false for 3 s"));
            }
            self.pause(1)?;
        }
        Ok(())
    }

    /// getsockopt(2) of an `int`.
    pub fn option(&self, fd: Fd, level: i32, name: i32) -> Result<i32> {
        let mut value = [0; 4];
        match self.getsockopt(fd, level, name, &mut value)? {
            4 => Ok(i32::from_ne_bytes(value)),
            // A byte (IP_MULTICAST_TTL and its kin as other systems have them).
            1 => Ok(value[0].into()),
            _ => Err(Errno::EIO),
        }
    }

    /// setsockopt(2) of an `int`.
    pub fn set_option(&self, fd: Fd, level: i32, name: i32, value: i32) -> Result<()> {
        self.setsockopt(fd, level, name, &value.to_ne_bytes())
    }

    /// SO_ERROR.
    #[track_caller]
    pub fn take_error(&self, fd: Fd) -> Result<i32, Failure> {
        done("SO_ERROR", self.option(fd, SOL_SOCKET, SO_ERROR))
    }

    /// Sends until nothing more is taken; how much was.
    #[track_caller]
    pub fn fill_up(&self, fd: Fd) -> Result<usize, Failure> {
        let part = alloc::vec![0x5a; 8192];
        let (mut sent, mut tries) = (0, 0);
        while tries < 3 {
            // The last ones byte by byte.
            match self.send(fd, &part[..if tries == 0 { part.len() } else { 1 }], 0) {
                Ok(n) => (sent, tries) = (sent + n, 0),
                Err(Errno::EAGAIN) => {
                    // What is under way, and acknowledged late, may make room yet.
                    self.pause([3, 50, 200][tries])?;
                    tries += 1;
                }
                Err(e) => return Err(Failure::new("send()", "success or EAGAIN", e.name())),
            }
            if sent > 64 << 20 {
                return Err(Failure::new("send()", "a limit", "none after 64 MiB"));
            }
        }
        Ok(sent)
    }

    /// Waits for data and reads it, at most `max` bytes.
    #[track_caller]
    pub fn read_some(&self, fd: Fd, max: usize) -> Result<Vec<u8>, Failure> {
        self.wait(fd, POLLIN)?;
        let mut bytes = alloc::vec![0; max];
        let n = done("recv()", self.recv(fd, &mut bytes, 0))?;
        bytes.truncate(n);
        Ok(bytes)
    }

    /// Reads until there are `n` bytes, or the end.
    #[track_caller]
    pub fn read_exactly(&self, fd: Fd, n: usize) -> Result<Vec<u8>, Failure> {
        let mut all = Vec::new();
        while all.len() < n {
            let some = self.read_some(fd, n - all.len())?;
            if some.is_empty() {
                break;
            }
            all.extend(some);
        }
        Ok(all)
    }
}

/// An address of bytes as they are; for wrong ones.
pub fn raw_address(bytes: &[u8]) -> Address {
    Address::from_bytes(bytes).unwrap_or(Address::EMPTY)
}

/// The port of an address; 0 if it has none.
pub fn port_of(address: &Address) -> u16 {
    address.to_inet().map_or(0, |a| a.port())
}

/// The IP address in an address.
pub fn ip_of(address: &Address) -> Option<IpAddr> {
    address.to_inet().ok().map(|a| a.ip())
}

/// The bytes of an address, cut off or filled with zeros.
pub fn resized(address: &Address, len: usize) -> Address {
    let mut bytes = address.as_bytes().to_vec();
    bytes.resize(len, 0);
    raw_address(&bytes)
}

/// A text address with a port.
pub fn address(text: &str) -> Address {
    text.parse::<SocketAddr>().map_or(Address::EMPTY, Address::from)
}
