//! What a case is, and how it says what went wrong.

use alloc::{
    format,
    string::{String, ToString},
};
use core::{fmt, panic::Location};

use crate::{posix::*, test::Test};

/// A kind of socket that a case runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct On {
    /// What it is called behind the name of a case.
    pub name: &'static str,
    /// AF_INET, ...
    pub family: u16,
    /// SOCK_STREAM, ...
    pub kind: u16,
    /// 0, or what socket(2) needs.
    pub protocol: u16,
}

const fn on(name: &'static str, family: u16, kind: u16, protocol: u16) -> On {
    On { name, family, kind, protocol }
}

/// A case that is no matter of the kind of socket.
pub const ONCE: &[On] = &[on("", AF_INET, SOCK_DGRAM, 0)];
/// On the disk.
pub const DISK: On = on("disk", AF_INET, SOCK_DGRAM, 0);
/// On both file systems that can be written: of a case that is no matter of what
/// only one of them has.
pub const FILES: &[On] = &[ONCE[0], DISK];
/// TCP over IPv4.
pub const TCP4: On = on("tcp4", AF_INET, SOCK_STREAM, 0);
/// TCP over IPv6.
pub const TCP6: On = on("tcp6", AF_INET6, SOCK_STREAM, 0);
/// UDP over IPv4.
pub const UDP4: On = on("udp4", AF_INET, SOCK_DGRAM, 0);
/// UDP over IPv6.
pub const UDP6: On = on("udp6", AF_INET6, SOCK_DGRAM, 0);
/// Raw sockets of IPv4; ICMP.
pub const RAW4: On = on("raw4", AF_INET, SOCK_RAW, IPPROTO_ICMP as u16);
/// Raw sockets of IPv6; ICMPv6.
pub const RAW6: On = on("raw6", AF_INET6, SOCK_RAW, IPPROTO_ICMPV6 as u16);
/// Echo sockets (icmp(7)).
pub const PING4: On = on("ping4", AF_INET, SOCK_DGRAM, IPPROTO_ICMP as u16);
/// The same over IPv6.
pub const PING6: On = on("ping6", AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6 as u16);
/// AF_UNIX streams.
pub const UNIX_STREAM: On = on("stream", AF_UNIX, SOCK_STREAM, 0);
/// AF_UNIX datagrams.
pub const UNIX_DGRAM: On = on("dgram", AF_UNIX, SOCK_DGRAM, 0);
/// AF_UNIX records in sequence.
pub const UNIX_SEQPACKET: On = on("seqpacket", AF_UNIX, SOCK_SEQPACKET, 0);

/// TCP.
pub const TCP: &[On] = &[TCP4, TCP6];
/// UDP.
pub const UDP: &[On] = &[UDP4, UDP6];
/// TCP and UDP.
pub const INET: &[On] = &[TCP4, TCP6, UDP4, UDP6];
/// TCP and UDP over IPv4.
pub const V4: &[On] = &[TCP4, UDP4];
/// TCP and UDP over IPv6.
pub const V6: &[On] = &[TCP6, UDP6];
/// Raw sockets.
pub const RAW: &[On] = &[RAW4, RAW6];
/// Echo sockets.
pub const PING: &[On] = &[PING4, PING6];
/// All of AF_UNIX.
pub const UNIX: &[On] = &[UNIX_STREAM, UNIX_DGRAM, UNIX_SEQPACKET];
/// Those of AF_UNIX that connect.
pub const UNIX_CONNECTED: &[On] = &[UNIX_STREAM, UNIX_SEQPACKET];

/// How a case ended.
pub type Outcome = Result<(), Failure>;

/// One case, for each of the kinds of socket in `on`.
pub struct Case {
    /// What it shows, in a few words; unique.
    pub name: &'static str,
    /// The section of a manual or standard that it checks.
    pub checks: &'static str,
    /// The kinds of socket that it runs on.
    pub on: &'static [On],
    /// Why, and how, Strait differs; the case checks both.
    pub differs: Option<&'static str>,
    /// The case.
    pub run: fn(&Test<'_>) -> Outcome,
}

impl Case {
    /// A case without difference.
    pub const fn new(
        name: &'static str,
        checks: &'static str,
        on: &'static [On],
        run: fn(&Test<'_>) -> Outcome,
    ) -> Self {
        Self { name, checks, on, differs: None, run }
    }

    /// Strait differs here, for this reason. The case asks
    /// [`Test::by_world`] what to expect.
    #[must_use]
    pub const fn differs(mut self, reason: &'static str) -> Self {
        self.differs = Some(reason);
        self
    }
}

/// Why a case failed.
#[derive(Debug)]
pub struct Failure {
    /// Where.
    pub at: &'static Location<'static>,
    /// What was tried.
    pub what: String,
    /// What should have come of it.
    pub wanted: String,
    /// What came.
    pub got: String,
}

impl Failure {
    /// A failure at the caller.
    #[track_caller]
    pub fn new(what: impl fmt::Display, wanted: impl fmt::Display, got: impl fmt::Display) -> Self {
        Self { at: Location::caller(), what: one_line(what), wanted: wanted.to_string(), got: got.to_string() }
    }
}

fn one_line(what: impl fmt::Display) -> String {
    let text = format!("{what}");
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.at.file().rsplit('/').next().unwrap_or_default();
        let Self { what, wanted, got, .. } = self;
        write!(f, "{file}:{}: {what}: wanted {wanted}, got {got}", self.at.line())
    }
}

/// A result as a failure says it.
pub fn told<T: fmt::Debug>(result: &Result<T, Errno>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(e) => e.name().into(),
    }
}

/// The value of a call that must succeed.
macro_rules! ok {
    ($call:expr) => {
        match $call {
            Ok(value) => value,
            Err(e) => return Err($crate::case::Failure::new(stringify!($call), "success", e.name())),
        }
    };
}

/// The call must fail with this errno.
macro_rules! err {
    ($call:expr, $errno:ident) => {
        err!($call, = $crate::posix::Errno::$errno)
    };
    ($call:expr, = $errno:expr) => {{
        let (result, errno) = ($call, $errno);
        if result.as_ref().err() != Some(&errno) {
            return Err($crate::case::Failure::new(stringify!($call), errno.name(), $crate::case::told(&result)));
        }
    }};
}

/// The call must succeed and give this value.
macro_rules! gives {
    ($call:expr, $value:expr) => {{
        let (result, value) = ($call, $value);
        if !matches!(&result, Ok(got) if *got == value) {
            let wanted = alloc::format!("{value:?}");
            return Err($crate::case::Failure::new(stringify!($call), wanted, $crate::case::told(&result)));
        }
    }};
}

/// Both must be equal.
macro_rules! eq {
    ($left:expr, $right:expr) => {
        match (&$left, &$right) {
            (left, right) => {
                if *left != *right {
                    let (wanted, got) = (alloc::format!("{right:?}"), alloc::format!("{left:?}"));
                    return Err($crate::case::Failure::new(stringify!($left), wanted, got));
                }
            }
        }
    };
}

/// It must hold.
macro_rules! that {
    ($condition:expr) => {
        if !$condition {
            return Err($crate::case::Failure::new(stringify!($condition), true, false));
        }
    };
}

pub(crate) use {eq, err, gives, ok, that};
