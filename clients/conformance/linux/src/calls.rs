//! The calls of Linux, by way of the C library.

use std::{io, ptr, time::Duration};

use libc::{c_int, c_void, socklen_t};
use strait_conformance::posix::{
    AddrInfo, Address, Errno, Fd, FdSet, Hints, IfAddr, Outgoing, PollFd, Posix, Received, Result, TimerSpec, Watch,
};

use crate::{messages, names, waiting};

/// This process.
pub struct Linux(());

impl Default for Linux {
    fn default() -> Self {
        Self::new()
    }
}

impl Linux {
    /// Signals, of which Strait has none, are out of the way.
    pub fn new() -> Self {
        // SAFETY: no handler is installed.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        Self(())
    }
}

/// The result of a call that gives -1 and an errno.
pub fn check<T: Copy + PartialOrd + Default>(result: T) -> Result<T> {
    if result >= T::default() {
        return Ok(result);
    }
    Err(last())
}

/// errno.
pub fn last() -> Errno {
    Errno::from_raw(io::Error::last_os_error().raw_os_error().unwrap_or(0) as u64)
}

pub fn sockaddr(address: &Address) -> (*const libc::sockaddr, socklen_t) {
    let bytes = address.as_bytes();
    (bytes.as_ptr().cast(), bytes.len() as socklen_t)
}

/// A call that writes an address.
pub fn addressed<T>(call: impl FnOnce(*mut libc::sockaddr, *mut socklen_t) -> Result<T>) -> Result<(T, Address)> {
    let mut bytes = [0u8; 128];
    let mut len = bytes.len() as socklen_t;
    let value = call(bytes.as_mut_ptr().cast(), &mut len)?;
    Ok((value, Address::from_bytes(&bytes[..(len as usize).min(bytes.len())])?))
}

fn size(result: isize) -> Result<usize> {
    check(result).map(|n| n as usize)
}

// SAFETY of this block: each call is given pointers to memory that lives as
// long as the call, with the lengths of that memory.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Posix for Linux {
    fn is_strait(&self) -> bool {
        false
    }

    fn now(&self) -> Duration {
        waiting::now()
    }

    fn getaddrinfo(&self, node: Option<&str>, service: Option<&str>, hints: &Hints) -> Result<Vec<AddrInfo>, i32> {
        names::getaddrinfo(node, service, hints)
    }

    fn getnameinfo(&self, address: &Address, flags: i32) -> Result<(String, String), i32> {
        names::getnameinfo(address, flags)
    }

    fn socket(&self, family: u16, kind: u32, protocol: u16) -> Result<Fd> {
        check(unsafe { libc::socket(family.into(), kind as c_int, protocol.into()) })
    }

    fn socketpair(&self, family: u16, kind: u32, protocol: u16) -> Result<(Fd, Fd)> {
        let mut fds = [0; 2];
        check(unsafe { libc::socketpair(family.into(), kind as c_int, protocol.into(), fds.as_mut_ptr()) })?;
        Ok((fds[0], fds[1]))
    }

    fn bind(&self, fd: Fd, address: &Address) -> Result<()> {
        let (at, len) = sockaddr(address);
        check(unsafe { libc::bind(fd, at, len) }).map(drop)
    }

    fn listen(&self, fd: Fd, backlog: i32) -> Result<()> {
        check(unsafe { libc::listen(fd, backlog) }).map(drop)
    }

    fn accept4(&self, fd: Fd, flags: u32) -> Result<(Fd, Address)> {
        addressed(|at, len| check(unsafe { libc::accept4(fd, at, len, flags as c_int) }))
    }

    fn connect(&self, fd: Fd, address: &Address) -> Result<()> {
        let (at, len) = sockaddr(address);
        check(unsafe { libc::connect(fd, at, len) }).map(drop)
    }

    fn shutdown(&self, fd: Fd, how: u8) -> Result<()> {
        check(unsafe { libc::shutdown(fd, how.into()) }).map(drop)
    }

    fn getsockname(&self, fd: Fd) -> Result<Address> {
        addressed(|at, len| check(unsafe { libc::getsockname(fd, at, len) })).map(|(_, address)| address)
    }

    fn getpeername(&self, fd: Fd) -> Result<Address> {
        addressed(|at, len| check(unsafe { libc::getpeername(fd, at, len) })).map(|(_, address)| address)
    }

    fn getsockopt(&self, fd: Fd, level: i32, name: i32, value: &mut [u8]) -> Result<usize> {
        let mut len = value.len() as socklen_t;
        check(unsafe { libc::getsockopt(fd, level, name, value.as_mut_ptr().cast(), &mut len) })?;
        Ok(len as usize)
    }

    fn setsockopt(&self, fd: Fd, level: i32, name: i32, value: &[u8]) -> Result<()> {
        let len = value.len() as socklen_t;
        check(unsafe { libc::setsockopt(fd, level, name, value.as_ptr().cast(), len) }).map(drop)
    }

    fn send(&self, fd: Fd, from: &[u8], flags: u32) -> Result<usize> {
        size(unsafe { libc::send(fd, from.as_ptr().cast(), from.len(), flags as c_int) })
    }

    fn sendto(&self, fd: Fd, from: &[u8], flags: u32, to: &Address) -> Result<usize> {
        let (at, len) = sockaddr(to);
        size(unsafe { libc::sendto(fd, from.as_ptr().cast(), from.len(), flags as c_int, at, len) })
    }

    fn recv(&self, fd: Fd, into: &mut [u8], flags: u32) -> Result<usize> {
        size(unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), flags as c_int) })
    }

    fn recvfrom(&self, fd: Fd, into: &mut [u8], flags: u32) -> Result<(usize, Address)> {
        addressed(|at, len| {
            size(unsafe { libc::recvfrom(fd, into.as_mut_ptr().cast(), into.len(), flags as c_int, at, len) })
        })
    }

    fn sendmsg(&self, fd: Fd, bufs: &[&[u8]], to: Option<&Address>, control: &[u8], flags: u32) -> Result<usize> {
        messages::sendmsg(fd, &Outgoing { bufs, to, control }, flags)
    }

    fn recvmsg(&self, fd: Fd, bufs: &mut [&mut [u8]], control: &mut [u8], flags: u32) -> Result<Received> {
        messages::recvmsg(fd, bufs, control, flags)
    }

    fn sendmmsg(&self, fd: Fd, messages: &[Outgoing<'_>], flags: u32) -> Result<Vec<usize>> {
        messages::sendmmsg(fd, messages, flags)
    }

    fn recvmmsg(&self, fd: Fd, bufs: &mut [&mut [u8]], flags: u32, timeout: Option<Duration>) -> Result<Vec<Received>> {
        messages::recvmmsg(fd, bufs, flags, timeout)
    }

    fn read(&self, fd: Fd, into: &mut [u8]) -> Result<usize> {
        size(unsafe { libc::read(fd, into.as_mut_ptr().cast(), into.len()) })
    }

    fn write(&self, fd: Fd, from: &[u8]) -> Result<usize> {
        size(unsafe { libc::write(fd, from.as_ptr().cast(), from.len()) })
    }

    fn readv(&self, fd: Fd, parts: &mut [&mut [u8]]) -> Result<usize> {
        let parts = messages::parts_mut(parts);
        size(unsafe { libc::readv(fd, parts.as_ptr(), parts.len() as c_int) })
    }

    fn writev(&self, fd: Fd, parts: &[&[u8]]) -> Result<usize> {
        let parts = messages::parts(parts);
        size(unsafe { libc::writev(fd, parts.as_ptr(), parts.len() as c_int) })
    }

    fn close(&self, fd: Fd) -> Result<()> {
        check(unsafe { libc::close(fd) }).map(drop)
    }

    fn dup(&self, fd: Fd) -> Result<Fd> {
        check(unsafe { libc::dup(fd) })
    }

    fn dup2(&self, fd: Fd, new: Fd) -> Result<Fd> {
        check(unsafe { libc::dup2(fd, new) })
    }

    fn fcntl(&self, fd: Fd, command: i32, argument: i32) -> Result<i32> {
        check(unsafe { libc::fcntl(fd, command, argument) })
    }

    fn ioctl(&self, fd: Fd, request: u32, argument: &mut [u8]) -> Result<i32> {
        // The longest structure that the requests in use know; the kernel
        // takes no length.
        let mut room = [0u8; 256];
        room[..argument.len()].copy_from_slice(argument);
        let result = check(unsafe { libc::ioctl(fd, request.into(), room.as_mut_ptr().cast::<c_void>()) })?;
        argument.copy_from_slice(&room[..argument.len()]);
        Ok(result)
    }

    fn poll(&self, fds: &mut [PollFd], timeout: i32) -> Result<usize> {
        waiting::poll(fds, |entries, n| unsafe { libc::poll(entries, n, timeout) })
    }

    fn ppoll(&self, fds: &mut [PollFd], timeout: Option<Duration>) -> Result<usize> {
        let timeout = timeout.map(waiting::timespec);
        let at = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        waiting::poll(fds, |entries, n| unsafe { libc::ppoll(entries, n, at, ptr::null()) })
    }

    fn select(
        &self,
        nfds: i32,
        read: Option<&mut FdSet>,
        write: Option<&mut FdSet>,
        except: Option<&mut FdSet>,
        timeout: Option<Duration>,
    ) -> Result<usize> {
        waiting::select(nfds, read, write, except, timeout)
    }

    fn epoll_create1(&self, flags: u32) -> Result<Fd> {
        check(unsafe { libc::epoll_create1(flags as c_int) })
    }

    fn epoll_ctl(&self, epoll: Fd, operation: i32, fd: Fd, watch: Watch) -> Result<()> {
        let mut event = libc::epoll_event { events: watch.events, u64: watch.data };
        check(unsafe { libc::epoll_ctl(epoll, operation, fd, &mut event) }).map(drop)
    }

    fn epoll_wait(&self, epoll: Fd, into: &mut [Watch], timeout: i32) -> Result<usize> {
        waiting::epoll_wait(epoll, into, timeout)
    }

    fn eventfd(&self, initial: u32, flags: u32) -> Result<Fd> {
        check(unsafe { libc::eventfd(initial, flags as c_int) })
    }

    fn timerfd_create(&self, clock: i32, flags: u32) -> Result<Fd> {
        check(unsafe { libc::timerfd_create(clock, flags as c_int) })
    }

    fn timerfd_settime(&self, fd: Fd, flags: u32, new: TimerSpec) -> Result<TimerSpec> {
        waiting::timerfd_settime(fd, flags, new)
    }

    fn timerfd_gettime(&self, fd: Fd) -> Result<TimerSpec> {
        waiting::timerfd_gettime(fd)
    }

    fn gethostname(&self) -> Result<String> {
        names::gethostname()
    }

    fn if_nametoindex(&self, name: &str) -> Result<u32> {
        names::if_nametoindex(name)
    }

    fn if_indextoname(&self, index: u32) -> Result<String> {
        names::if_indextoname(index)
    }

    fn getifaddrs(&self) -> Result<Vec<IfAddr>> {
        names::getifaddrs()
    }

    fn pipe2(&self, flags: u32) -> Result<(Fd, Fd)> {
        let mut fds = [0; 2];
        check(unsafe { libc::pipe2(fds.as_mut_ptr(), flags as c_int) })?;
        Ok((fds[0], fds[1]))
    }
}
