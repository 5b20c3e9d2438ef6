//! The calls that the cases are written against, named and shaped as those of
//! libsock's [`Process`](strait_libsock::Process).
//!
//! What a world does not have yet gives ENOSYS, so that its cases fail and
//! say why.

use alloc::{string::String, vec::Vec};
use core::time::Duration;

pub use strait_abi::{Address, Errno, address::*, control, socket::*};
pub use strait_libsock::posix::{Fd, PollFd};

/// What a call gives.
pub type Result<T, E = Errno> = core::result::Result<T, E>;

/// What recvmsg(2) gives.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// Bytes of data.
    pub bytes: usize,
    /// The sender, empty where the protocol gives none.
    pub address: Address,
    /// Bytes used in the control buffer.
    pub control: usize,
    /// MSG_TRUNC, MSG_CTRUNC, ...
    pub flags: u32,
}

/// One message of sendmmsg(2).
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The data.
    pub bufs: &'a [&'a [u8]],
    /// Where it goes, if not to the peer.
    pub to: Option<&'a Address>,
    /// Control data.
    pub control: &'a [u8],
}

/// `fd_set` of select(2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FdSet(pub [u64; 16]);

impl FdSet {
    /// The set of these.
    pub fn of(fds: &[Fd]) -> Self {
        let mut set = Self::default();
        for fd in fds {
            set.0[*fd as usize / 64] |= 1 << (fd % 64);
        }
        set
    }

    /// Whether `fd` is in it.
    pub fn has(&self, fd: Fd) -> bool {
        self.0[fd as usize / 64] & 1 << (fd % 64) != 0
    }
}

/// `struct epoll_event`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watch {
    /// EPOLLIN, ...
    pub events: u32,
    /// The user's.
    pub data: u64,
}

/// `struct itimerspec`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimerSpec {
    /// Period.
    pub interval: Duration,
    /// Time until it is due first; zero disarms it.
    pub value: Duration,
}

/// `hints` of getaddrinfo(3).
#[derive(Debug, Clone, Copy, Default)]
pub struct Hints {
    /// AI_PASSIVE, ...
    pub flags: i32,
    /// AF_UNSPEC, AF_INET or AF_INET6.
    pub family: u16,
    /// 0, SOCK_STREAM, ...
    pub kind: u16,
    /// 0, IPPROTO_TCP, ...
    pub protocol: u16,
}

/// One result of getaddrinfo(3).
#[derive(Debug, Clone)]
pub struct AddrInfo {
    /// SOCK_STREAM, ...
    pub kind: u16,
    /// IPPROTO_TCP, ...
    pub protocol: u16,
    /// The address; its family is that of the socket to be made.
    pub address: Address,
    /// With AI_CANONNAME.
    pub name: Option<String>,
}

/// One result of getifaddrs(3).
#[derive(Debug, Clone)]
pub struct IfAddr {
    /// Name of the interface.
    pub name: String,
    /// IFF_UP, ...
    pub flags: u32,
    /// One of its addresses.
    pub address: Option<Address>,
    /// The network mask to it.
    pub netmask: Option<Address>,
}

macro_rules! calls {
    ($($(#[$doc:meta])* fn $name:ident(&self $(, $arg:ident: $type:ty)*) -> $result:ty;)*) => {
        $(
            $(#[$doc])*
            fn $name(&self $(, $arg: $type)*) -> Result<$result> {
                let _ = ($($arg,)*);
                Err(Errno::ENOSYS)
            }
        )*
    };
}

/// A world with sockets.
#[allow(clippy::too_many_arguments)]
pub trait Posix: crate::files::Files {
    /// Whether this is Strait, and not Linux.
    fn is_strait(&self) -> bool;

    /// Time since some fixed point in the past; monotonic.
    fn now(&self) -> Duration;

    /// Sockets that the server holds for this client; `None` if that cannot be
    /// asked.
    fn open_sockets(&self) -> Option<u32> {
        None
    }

    /// getaddrinfo(3); the error is one of EAI_*.
    fn getaddrinfo(&self, node: Option<&str>, service: Option<&str>, hints: &Hints) -> Result<Vec<AddrInfo>, i32> {
        let _ = (node, service, hints);
        Err(-11)
    }

    /// getnameinfo(3): node and service; the error is one of EAI_*.
    fn getnameinfo(&self, address: &Address, flags: i32) -> Result<(String, String), i32> {
        let _ = (address, flags);
        Err(-11)
    }

    calls! {
        /// socket(2)
        fn socket(&self, family: u16, kind: u32, protocol: u16) -> Fd;
        /// socketpair(2)
        fn socketpair(&self, family: u16, kind: u32, protocol: u16) -> (Fd, Fd);
        /// bind(2)
        fn bind(&self, fd: Fd, address: &Address) -> ();
        /// listen(2)
        fn listen(&self, fd: Fd, backlog: i32) -> ();
        /// accept4(2)
        fn accept4(&self, fd: Fd, flags: u32) -> (Fd, Address);
        /// connect(2)
        fn connect(&self, fd: Fd, address: &Address) -> ();
        /// shutdown(2)
        fn shutdown(&self, fd: Fd, how: u8) -> ();
        /// getsockname(2)
        fn getsockname(&self, fd: Fd) -> Address;
        /// getpeername(2)
        fn getpeername(&self, fd: Fd) -> Address;
        /// getsockopt(2)
        fn getsockopt(&self, fd: Fd, level: i32, name: i32, value: &mut [u8]) -> usize;
        /// setsockopt(2)
        fn setsockopt(&self, fd: Fd, level: i32, name: i32, value: &[u8]) -> ();
        /// send(2)
        fn send(&self, fd: Fd, from: &[u8], flags: u32) -> usize;
        /// sendto(2)
        fn sendto(&self, fd: Fd, from: &[u8], flags: u32, to: &Address) -> usize;
        /// recv(2)
        fn recv(&self, fd: Fd, into: &mut [u8], flags: u32) -> usize;
        /// recvfrom(2)
        fn recvfrom(&self, fd: Fd, into: &mut [u8], flags: u32) -> (usize, Address);
        /// sendmsg(2)
        fn sendmsg(&self, fd: Fd, bufs: &[&[u8]], to: Option<&Address>, control: &[u8], flags: u32) -> usize;
        /// recvmsg(2)
        fn recvmsg(&self, fd: Fd, bufs: &mut [&mut [u8]], control: &mut [u8], flags: u32) -> Received;
        /// sendmmsg(2): bytes of each message that was sent.
        fn sendmmsg(&self, fd: Fd, messages: &[Outgoing<'_>], flags: u32) -> Vec<usize>;
        /// recvmmsg(2): one buffer for each message, no control data.
        fn recvmmsg(&self, fd: Fd, bufs: &mut [&mut [u8]], flags: u32, timeout: Option<Duration>) -> Vec<Received>;
        /// read(2)
        fn read(&self, fd: Fd, into: &mut [u8]) -> usize;
        /// write(2)
        fn write(&self, fd: Fd, from: &[u8]) -> usize;
        /// readv(2)
        fn readv(&self, fd: Fd, parts: &mut [&mut [u8]]) -> usize;
        /// writev(2)
        fn writev(&self, fd: Fd, parts: &[&[u8]]) -> usize;
        /// close(2)
        fn close(&self, fd: Fd) -> ();
        /// dup(2)
        fn dup(&self, fd: Fd) -> Fd;
        /// dup2(2)
        fn dup2(&self, fd: Fd, new: Fd) -> Fd;
        /// fcntl(2)
        fn fcntl(&self, fd: Fd, command: i32, argument: i32) -> i32;
        /// ioctl(2)
        fn ioctl(&self, fd: Fd, request: u32, argument: &mut [u8]) -> i32;
        /// poll(2)
        fn poll(&self, fds: &mut [PollFd], timeout: i32) -> usize;
        /// ppoll(2)
        fn ppoll(&self, fds: &mut [PollFd], timeout: Option<Duration>) -> usize;
        /// select(2)
        fn select(&self, nfds: i32, read: Option<&mut FdSet>, write: Option<&mut FdSet>, except: Option<&mut FdSet>, timeout: Option<Duration>) -> usize;
        /// epoll_create1(2)
        fn epoll_create1(&self, flags: u32) -> Fd;
        /// epoll_ctl(2)
        fn epoll_ctl(&self, epoll: Fd, operation: i32, fd: Fd, watch: Watch) -> ();
        /// epoll_wait(2)
        fn epoll_wait(&self, epoll: Fd, into: &mut [Watch], timeout: i32) -> usize;
        /// eventfd(2)
        fn eventfd(&self, initial: u32, flags: u32) -> Fd;
        /// timerfd_create(2)
        fn timerfd_create(&self, clock: i32, flags: u32) -> Fd;
        /// timerfd_settime(2): the setting before.
        fn timerfd_settime(&self, fd: Fd, flags: u32, new: TimerSpec) -> TimerSpec;
        /// timerfd_gettime(2)
        fn timerfd_gettime(&self, fd: Fd) -> TimerSpec;
        /// gethostname(2)
        fn gethostname(&self) -> String;
        /// if_nametoindex(3)
        fn if_nametoindex(&self, name: &str) -> u32;
        /// if_indextoname(3)
        fn if_indextoname(&self, index: u32) -> String;
        /// getifaddrs(3)
        fn getifaddrs(&self) -> Vec<IfAddr>;
        /// pipe2(2)
        fn pipe2(&self, flags: u32) -> (Fd, Fd);
    }
}
