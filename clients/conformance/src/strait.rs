//! Strait: the calls of libsock, and the suite as a component.
//!
//! Settings: `only` runs only the cases whose name contains it; `after` names the
//! component whose cases go before, and makes this one run those of a
//! [user](Who::User).

use alloc::{format, string::String, vec::Vec};
use core::time::Duration;

use strait_abi::log::Logger;
use strait_libsock::{Process, posix, resolve::addrinfo};
use strait_pd::Environment;

use crate::{Who, posix::*, test::raw_address};

/// Runs the suite; its lines go to the log.
pub fn main(env: Environment) -> ! {
    let log = Logger::new(&env);
    let process = Process::new(&env);
    match &process {
        Ok(process) => {
            let mut say = |line: &str| {
                log.line(format_args!("{line}"));
                // The console has a lower priority: it must get to its turn.
                let _ = process.sleep(Duration::from_millis(2));
            };
            let after = env.config.setting("after");
            if let Some(other) = after {
                wait_for(process, other);
            }
            let who = if after.is_some() { Who::User } else { Who::Root };
            let tally = crate::run(process, who, env.config.setting("only").unwrap_or_default(), &mut say);
            say(&format!("{tally}"));
            if let Err(e) = stand(process, env.config.name.as_str()) {
                say(&format!("cannot tell that it is over: {e}"));
            }
        }
        Err(e) => log.line(format_args!("cannot start: {e}")),
    }
    loop {
        env.pd.wait();
    }
}

/// Whoever has run all its cases has a local socket with its name.
fn stand(process: &Process, name: &str) -> Result<()> {
    let fd = process.socket(AF_UNIX, SOCK_STREAM.into(), 0)?;
    process.bind(fd, &abstract_name(name))?;
    process.listen(fd, 1)
}

fn abstract_name(name: &str) -> Address {
    raw_address(&[&AF_UNIX.to_ne_bytes()[..], &[0], name.as_bytes()].concat())
}

fn wait_for(process: &Process, name: &str) {
    let connected = || {
        let fd = process.socket(AF_UNIX, SOCK_STREAM.into(), 0)?;
        let done = process.connect(fd, &abstract_name(name));
        process.close(fd)?;
        done
    };
    while connected().is_err() {
        let _ = process.sleep(Duration::from_millis(20));
    }
}

/// The set as libsock has it.
fn of_bits(set: &FdSet) -> posix::FdSet {
    let mut own = posix::FdSet::new();
    for fd in (0..posix::FD_SETSIZE as Fd).filter(|fd| set.has(*fd)) {
        own.insert(fd);
    }
    own
}

/// Passes the calls on.
macro_rules! same {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(&self $(, $arg: $type)*) -> Result<$result> {
            Process::$name(self $(, $arg)*)
        })*
    };
}

impl Posix for Process {
    fn is_strait(&self) -> bool {
        true
    }

    fn now(&self) -> Duration {
        Process::now(self)
    }

    fn open_sockets(&self) -> Option<u32> {
        self.counters().ok().map(|c| c.sockets)
    }

    fn getaddrinfo(&self, node: Option<&str>, service: Option<&str>, hints: &Hints) -> Result<Vec<AddrInfo>, i32> {
        let Hints { flags, family, kind, protocol } = *hints;
        let hints = addrinfo::Hints { flags: flags as u32, family, kind, protocol };
        let all = Process::getaddrinfo(self, node, service, &hints).map_err(|e| e.raw())?;
        Ok(all
            .into_iter()
            .map(|a| AddrInfo { kind: a.kind, protocol: a.protocol, address: a.address.into(), name: a.canonical_name })
            .collect())
    }

    fn getnameinfo(&self, address: &Address, flags: i32) -> Result<(String, String), i32> {
        Process::getnameinfo(self, address, flags as u32).map_err(|e| e.raw())
    }

    fn gethostname(&self) -> Result<String> {
        Ok(Process::gethostname(self).into())
    }

    fn sendmsg(&self, fd: Fd, bufs: &[&[u8]], to: Option<&Address>, control: &[u8], flags: u32) -> Result<usize> {
        Process::sendmsg(self, fd, bufs, to, control, flags)
    }

    fn recvmsg(&self, fd: Fd, bufs: &mut [&mut [u8]], control: &mut [u8], flags: u32) -> Result<Received> {
        let got = Process::recvmsg(self, fd, bufs, control, flags)?;
        Ok(Received { bytes: got.bytes, address: got.address, control: got.control, flags: got.flags })
    }

    fn sendmmsg(&self, fd: Fd, messages: &[Outgoing<'_>], flags: u32) -> Result<Vec<usize>> {
        let mut messages: Vec<_> = messages
            .iter()
            .map(|m| posix::Outgoing { to: m.to, control: m.control, ..posix::Outgoing::new(m.bufs) })
            .collect();
        let n = Process::sendmmsg(self, fd, &mut messages, flags)?;
        Ok(messages[..n].iter().map(|m| m.sent).collect())
    }

    fn recvmmsg(&self, fd: Fd, bufs: &mut [&mut [u8]], flags: u32, timeout: Option<Duration>) -> Result<Vec<Received>> {
        let mut controls: Vec<[u8; 0]> = bufs.iter().map(|_| []).collect();
        let mut messages: Vec<_> =
            bufs.chunks_mut(1).zip(&mut controls).map(|(buf, control)| posix::Incoming::new(buf, control)).collect();
        let n = Process::recvmmsg(self, fd, &mut messages, flags, timeout)?;
        let of = |m: &posix::Incoming<'_, '_>| {
            let posix::Received { bytes, address, control, flags } = m.received;
            Received { bytes, address, control, flags }
        };
        Ok(messages[..n].iter().map(of).collect())
    }

    fn select(
        &self,
        nfds: i32,
        read: Option<&mut FdSet>,
        write: Option<&mut FdSet>,
        except: Option<&mut FdSet>,
        timeout: Option<Duration>,
    ) -> Result<usize> {
        let mut sets = [read, write, except];
        let mut own = sets.each_ref().map(|set| set.as_ref().map(|set| of_bits(set)));
        let [read, write, except] = own.each_mut().map(|set| set.as_mut());
        let n = Process::select(self, nfds, read, write, except, timeout)?;
        for (set, own) in sets.iter_mut().zip(&own) {
            if let (Some(set), Some(own)) = (set, own) {
                **set = FdSet::of(&(0..posix::FD_SETSIZE as Fd).filter(|fd| own.contains(*fd)).collect::<Vec<_>>());
            }
        }
        Ok(n)
    }

    fn epoll_ctl(&self, epoll: Fd, operation: i32, fd: Fd, watch: Watch) -> Result<()> {
        Process::epoll_ctl(self, epoll, operation, fd, posix::EpollEvent { events: watch.events, data: watch.data })
    }

    fn epoll_wait(&self, epoll: Fd, into: &mut [Watch], timeout: i32) -> Result<usize> {
        let mut events = alloc::vec![posix::EpollEvent::default(); into.len()];
        let n = Process::epoll_wait(self, epoll, &mut events, timeout)?;
        for (watch, event) in into.iter_mut().zip(&events[..n]) {
            *watch = Watch { events: event.events, data: event.data };
        }
        Ok(n)
    }

    fn timerfd_settime(&self, fd: Fd, flags: u32, new: TimerSpec) -> Result<TimerSpec> {
        let new = posix::ITimerSpec { interval: new.interval, value: new.value };
        let posix::ITimerSpec { interval, value } = Process::timerfd_settime(self, fd, flags, new)?;
        Ok(TimerSpec { interval, value })
    }

    fn timerfd_gettime(&self, fd: Fd) -> Result<TimerSpec> {
        let posix::ITimerSpec { interval, value } = Process::timerfd_gettime(self, fd)?;
        Ok(TimerSpec { interval, value })
    }

    fn getifaddrs(&self) -> Result<Vec<IfAddr>> {
        let all = Process::getifaddrs(self)?;
        Ok(all
            .into_iter()
            .map(|entry| IfAddr {
                netmask: entry.netmask().map(|mask| (mask, 0).into()),
                address: entry.address.map(|ip| (ip, 0).into()),
                flags: entry.flags,
                name: entry.name,
            })
            .collect())
    }

    same! {
        fn epoll_create1(flags: u32) -> Fd;
        fn eventfd(initial: u32, flags: u32) -> Fd;
        fn timerfd_create(clock: i32, flags: u32) -> Fd;
        fn ppoll(fds: &mut [PollFd], timeout: Option<Duration>) -> usize;
        fn if_nametoindex(name: &str) -> u32;
        fn if_indextoname(index: u32) -> String;
        fn pipe2(flags: u32) -> (Fd, Fd);
        fn socket(family: u16, kind: u32, protocol: u16) -> Fd;
        fn socketpair(family: u16, kind: u32, protocol: u16) -> (Fd, Fd);
        fn bind(fd: Fd, address: &Address) -> ();
        fn listen(fd: Fd, backlog: i32) -> ();
        fn accept4(fd: Fd, flags: u32) -> (Fd, Address);
        fn connect(fd: Fd, address: &Address) -> ();
        fn shutdown(fd: Fd, how: u8) -> ();
        fn getsockname(fd: Fd) -> Address;
        fn getpeername(fd: Fd) -> Address;
        fn getsockopt(fd: Fd, level: i32, name: i32, value: &mut [u8]) -> usize;
        fn setsockopt(fd: Fd, level: i32, name: i32, value: &[u8]) -> ();
        fn send(fd: Fd, from: &[u8], flags: u32) -> usize;
        fn sendto(fd: Fd, from: &[u8], flags: u32, to: &Address) -> usize;
        fn recv(fd: Fd, into: &mut [u8], flags: u32) -> usize;
        fn recvfrom(fd: Fd, into: &mut [u8], flags: u32) -> (usize, Address);
        fn read(fd: Fd, into: &mut [u8]) -> usize;
        fn write(fd: Fd, from: &[u8]) -> usize;
        fn readv(fd: Fd, parts: &mut [&mut [u8]]) -> usize;
        fn writev(fd: Fd, parts: &[&[u8]]) -> usize;
        fn close(fd: Fd) -> ();
        fn dup(fd: Fd) -> Fd;
        fn dup2(fd: Fd, new: Fd) -> Fd;
        fn fcntl(fd: Fd, command: i32, argument: i32) -> i32;
        fn ioctl(fd: Fd, request: u32, argument: &mut [u8]) -> i32;
        fn poll(fds: &mut [PollFd], timeout: i32) -> usize;
    }
}
