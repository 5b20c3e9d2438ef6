//! One call of a sequence, made from random numbers.

/// Which sockets a sequence is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Tcp4,
    Tcp6,
    /// The first socket is of IPv6, the second of IPv4.
    TcpBoth,
    Udp4,
    Udp6,
    /// As [`TcpBoth`](Self::TcpBoth).
    UdpBoth,
    UnixStream,
    UnixDgram,
    UnixSeqpacket,
}

impl Kind {
    /// AF_UNIX.
    pub fn is_local(self) -> bool {
        matches!(self, Self::UnixStream | Self::UnixDgram | Self::UnixSeqpacket)
    }

    /// Whether the sockets are TCP's.
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Tcp4 | Self::Tcp6 | Self::TcpBoth)
    }

    /// Whether the socket in a place, 0 or 1, is of IPv6.
    pub fn is_6(self, place: usize) -> bool {
        match self {
            Self::Tcp4 | Self::Udp4 | Self::UnixStream | Self::UnixDgram | Self::UnixSeqpacket => false,
            Self::Tcp6 | Self::Udp6 => true,
            Self::TcpBoth | Self::UdpBoth => place == 0,
        }
    }
}

/// An address: two ports of the sequence, and what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// The sequence's port, 0 or 1, at the loopback address.
    Lo(u8),
    /// The same at the unspecified address.
    Any(u8),
    /// The same at the IPv4 loopback address, mapped for a socket of IPv6.
    Mapped(u8),
    /// The same at another address of this host's.
    Other(u8),
    /// Port 0 at the loopback address.
    Zero,
    /// Everyone; by IPv6, a group.
    All(u8),
    /// AF_UNSPEC.
    Unspec,
    /// The bytes of [`Lo`](Self::Lo), with this family and so many of them.
    Cut(u8, u8),
}

/// A call on one of the sockets 0 to 4: two at first, the others accepted or
/// duplicates. 5 is no descriptor, 6 that of an eventfd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Bind(u8, Name),
    Listen(u8, i8),
    /// With flags that are none, sometimes.
    Accept(u8, bool),
    Connect(u8, Name),
    /// Length, flags.
    Send(u8, u32, u32),
    SendTo(u8, u32, u32, Name),
    /// Length, flags, destination, control data (index into a table).
    SendMsg(u8, u16, u32, Option<Name>, u8),
    /// Length, flags.
    Recv(u8, u16, u32),
    /// Length, flags, room for control data.
    RecvMsg(u8, u16, u32, u8),
    /// As much as goes, and all others read until it has come.
    Flood(u8),
    Shutdown(u8, u8),
    Close(u8),
    Reset(u8),
    /// Closes it if it is open, and makes a new one.
    Renew(u8),
    Dup(u8),
    Error(u8),
    Names(u8),
    /// FIONREAD, SIOCATMARK, SIOCOUTQ or none.
    Ioctl(u8, u8),
    /// Index into the table of options, value, bytes of it.
    Set(u8, u8, i32, u8),
    /// Index, room for the value.
    Get(u8, u8, u8),
    /// Joins the sockets 0 and 1, new ones (socketpair).
    Pair,
    /// Length, the socket that goes with it, or one of [`NEW`], [`NAMED`] and
    /// [`BOTH`]; flags.
    Pass(u8, u16, u8, u32),
    /// Sends pieces of so many bytes until there is no room.
    Fill(u8, u16),
    /// Reads all that all have.
    Drain,
}

/// What goes with a message: a socket made for it, ...
pub const NEW: u8 = 5;
/// ... who sends it, ...
pub const NAMED: u8 = 6;
/// ... and both.
pub const BOTH: u8 = 7;

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[(self.next() % choices.len() as u64) as usize]
    }

    /// Whether it happens once in `n` times.
    fn once_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }
}

/// A sequence of up to 20 calls; `local` of AF_UNIX.
pub fn sequence(random: &mut Random, local: bool) -> (Kind, Vec<Op>) {
    if local {
        return crate::local::sequence(random);
    }
    let kind = random.of(&[Kind::Tcp4, Kind::Tcp4, Kind::Tcp6, Kind::TcpBoth, Kind::Udp4, Kind::Udp6, Kind::UdpBoth]);
    let mut ops = vec![];
    // Half of them begin with sockets that are joined.
    if random.once_in(2) {
        let both = matches!(kind, Kind::TcpBoth | Kind::UdpBoth);
        let first = if both { Name::Any(0) } else { Name::Lo(0) };
        let start: &[Op] = if kind.is_stream() {
            &[Op::Bind(0, first), Op::Listen(0, 3), Op::Connect(1, Name::Lo(0)), Op::Accept(0, false)]
        } else {
            &[Op::Bind(0, first), Op::Bind(1, Name::Lo(1)), Op::Connect(1, Name::Lo(0))]
        };
        ops.extend_from_slice(start);
    }
    for _ in 0..4 + random.next() % 13 {
        ops.push(op(random));
    }
    (kind, ops)
}

fn name(r: &mut Random) -> Name {
    let n = r.of(&[0, 0, 1]);
    match r.next() % 16 {
        0..7 => Name::Lo(n),
        7 | 8 => Name::Any(n),
        9 | 10 => Name::Mapped(n),
        11 => r.of(&[Name::Other(n), Name::Zero]),
        12 => r.of(&[Name::All(n), Name::Zero]),
        13 => Name::Unspec,
        _ => Name::Cut(r.of(&[0, 1, 2, 2, 10, 10, 99]), r.of(&[0, 1, 2, 3, 8, 15, 16, 17, 23, 24, 27, 28, 29, 128])),
    }
}

/// MSG_DONTWAIT, MSG_NOSIGNAL, MSG_DONTROUTE, MSG_OOB, MSG_MORE, MSG_EOR.
const SENDING: [u32; 6] = [0x40, 0x4000, 4, 1, 0x8000, 0x80];
/// MSG_PEEK, MSG_TRUNC, MSG_OOB, MSG_WAITALL, MSG_DONTWAIT, MSG_ERRQUEUE,
/// MSG_CMSG_CLOEXEC.
const RECEIVING: [u32; 7] = [2, 0x20, 1, 0x100, 0x40, 0x2000, 0x4000_0000];

fn flags(r: &mut Random, all: &[u32]) -> u32 {
    let mut flags = 0;
    while r.once_in(3) {
        flags |= r.of(all);
    }
    flags
}

fn op(r: &mut Random) -> Op {
    let s = match r.next() % 64 {
        0..20 => 0,
        20..40 => 1,
        40..54 => 2,
        54..59 => 3,
        59..62 => 4,
        62 => 5,
        _ => 6,
    };
    let len = r.of(&[0, 1, 3, 10, 100, 1000]);
    match r.next() % 40 {
        0..3 => Op::Bind(s, name(r)),
        3..5 => Op::Listen(s, r.of(&[0, 1, 5, -1])),
        5..7 => Op::Accept(s, r.once_in(8)),
        7..10 => Op::Connect(s, name(r)),
        10..14 => Op::Send(s, len.into(), flags(r, &SENDING)),
        14 => Op::SendTo(s, r.of(&[65_507, 65_508, 65_527, 65_528, 65_535, 65_536]), 0, name(r)),
        15..17 => Op::SendTo(s, len.into(), flags(r, &SENDING), name(r)),
        17 => {
            let to = if r.once_in(2) { Some(name(r)) } else { None };
            Op::SendMsg(s, len, flags(r, &SENDING), to, r.next() as u8)
        }
        18..22 => Op::Recv(s, r.of(&[0, 1, 5, 50, 4000]), flags(r, &RECEIVING)),
        22 => Op::RecvMsg(s, r.of(&[0, 1, 5, 50, 4000]), flags(r, &RECEIVING), r.of(&[0, 10, 24, 100])),
        23 => Op::Flood(s),
        24..26 => Op::Shutdown(s, r.of(&[0, 1, 1, 2, 3])),
        26 => Op::Close(s),
        27 => Op::Reset(s),
        28 => Op::Renew(s & 1),
        29 => r.of(&[Op::Dup(s), Op::Error(s)]),
        30 => Op::Error(s),
        31 => Op::Names(s),
        32 => Op::Send(s, 1, 1),
        33 => Op::Ioctl(s, r.next() as u8),
        34..38 => Op::Set(s, r.next() as u8, r.of(&[0, 1, 1, 2, -1, 64, 300]), r.of(&[4, 4, 4, 4, 4, 8, 0, 1, 3, 16])),
        _ => Op::Get(s, r.next() as u8, r.of(&[4, 4, 4, 8, 0, 1, 3, 16])),
    }
}
