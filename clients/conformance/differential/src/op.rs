//! One call of a sequence, made from random numbers.

/// Which sockets a sequence is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Tcp4,
    Tcp6,
    Udp4,
    Udp6,
}

/// An address: two ports of the sequence, and what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// The sequence's port, 0 or 1, at the loopback address.
    Lo(u8),
    /// The same at the unspecified address.
    Any(u8),
    /// Port 0 at the loopback address.
    Zero,
    /// Too short.
    Short,
    /// A family that is none.
    Family,
    /// AF_UNSPEC.
    Unspec,
}

/// A call on one of the sockets 0 to 4: two at first, the others accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Bind(u8, Name),
    Listen(u8, u8),
    Accept(u8),
    Connect(u8, Name),
    Send(u8, u16),
    SendTo(u8, u16, Name),
    /// Length, flags.
    Recv(u8, u16, u32),
    Shutdown(u8, u8),
    Close(u8),
    Reset(u8),
    /// Closes it if it is open, and makes a new one.
    Renew(u8),
    Error(u8),
    Names(u8),
    Urgent(u8),
    Unread(u8),
    AtMark(u8),
    /// Index into the table of options, value.
    Set(u8, u8, i32),
    Get(u8, u8),
}

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

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[(self.next() % choices.len() as u64) as usize]
    }
}

/// A sequence of up to 20 calls.
pub fn sequence(random: &mut Random) -> (Kind, Vec<Op>) {
    let kind = random.of(&[Kind::Tcp4, Kind::Tcp4, Kind::Tcp6, Kind::Udp4, Kind::Udp6]);
    let tcp = matches!(kind, Kind::Tcp4 | Kind::Tcp6);
    let mut ops = vec![];
    // Half of them begin with sockets that are joined.
    if random.next() & 1 == 0 {
        let start: &[Op] = if tcp {
            &[Op::Bind(0, Name::Lo(0)), Op::Listen(0, 3), Op::Connect(1, Name::Lo(0)), Op::Accept(0)]
        } else {
            &[Op::Bind(0, Name::Lo(0)), Op::Bind(1, Name::Lo(1)), Op::Connect(1, Name::Lo(0))]
        };
        ops.extend_from_slice(start);
    }
    for _ in 0..4 + random.next() % 13 {
        ops.push(op(random));
    }
    (kind, ops)
}

fn op(r: &mut Random) -> Op {
    let s = r.of(&[0, 0, 1, 1, 2, 2, 3]);
    let name = r.of(&[
        Name::Lo(0),
        Name::Lo(0),
        Name::Lo(1),
        Name::Lo(1),
        Name::Any(0),
        Name::Any(1),
        Name::Zero,
        Name::Short,
        Name::Family,
        Name::Unspec,
    ]);
    let len = r.of(&[0, 1, 3, 10, 100, 1000]);
    match r.next() % 32 {
        0..3 => Op::Bind(s, name),
        3..5 => Op::Listen(s, r.of(&[0, 1, 5])),
        5..7 => Op::Accept(s),
        7..10 => Op::Connect(s, name),
        10..14 => Op::Send(s, len),
        14..16 => Op::SendTo(s, len, name),
        // MSG_PEEK, MSG_TRUNC, MSG_OOB, MSG_WAITALL.
        16..21 => Op::Recv(s, r.of(&[0, 1, 5, 50, 4000]), r.of(&[0, 0, 0, 2, 0x20, 0x22, 1, 0x100])),
        21..23 => Op::Shutdown(s, r.of(&[0, 1, 1, 2, 3])),
        23 => Op::Close(s),
        24 => Op::Reset(s),
        25 => Op::Renew(s & 1),
        26 => Op::Error(s),
        27 => Op::Names(s),
        28 => Op::Urgent(s),
        29 => r.of(&[Op::Unread(s), Op::AtMark(s)]),
        30 => Op::Set(s, r.next() as u8, r.of(&[0, 1, 2, -1, 300])),
        _ => Op::Get(s, r.next() as u8),
    }
}
