//! Sequences on local sockets, and what is said of them.

use std::{cell::Cell, fmt::Write};

use strait_conformance::posix::*;

use crate::{
    op::{BOTH, Kind, NAMED, NEW, Name, Op, Random},
    play::{Play, REQUESTS, Table, number, option, runs, say},
};

/// Options that are set and read.
const OPTIONS: [i32; 10] = [
    SO_PASSCRED,
    SO_PASSRIGHTS,
    SO_PEEK_OFF,
    SO_OOBINLINE,
    SO_RCVLOWAT,
    SO_ACCEPTCONN,
    SO_TYPE,
    SO_REUSEADDR,
    SO_SNDBUF,
    SO_PROTOCOL,
];

/// A stream that was filled holds more than this.
const FULL: usize = 50_000;

/// What Linux counts otherwise, so that it is not compared for a while.
#[derive(Default)]
pub struct Blur {
    /// A stream was filled: how much fits, and from when on it is said to be
    /// writable again, is not the same.
    filled: Cell<bool>,
    /// Urgent data was sent. (Linux counts a byte that was passed over as
    /// unread.)
    urgent: Cell<bool>,
    /// Something was sent; and perhaps its sender got a name later. (By Linux a
    /// datagram has the name that its sender has when it is received.)
    sent: Cell<bool>,
    /// A socket of the sequence went with a message: when those that nobody can
    /// reach end is only known between two calls.
    own: Cell<bool>,
    late_name: Cell<bool>,
}

impl Blur {
    /// The bits of poll(2) that are not compared.
    pub fn events(&self) -> u16 {
        if self.filled.get() { POLLOUT } else { 0 }
    }
}

/// The type of its sockets.
pub fn type_of(kind: Kind) -> u16 {
    match kind {
        Kind::UnixStream => SOCK_STREAM,
        Kind::UnixDgram => SOCK_DGRAM,
        _ => SOCK_SEQPACKET,
    }
}

/// The sequence's names: those of `port`.
pub fn address(port: u16, name: Name) -> Address {
    let bytes = match name {
        Name::Lo(n) => [&AF_UNIX.to_ne_bytes()[..], format!("\0d{}", port + u16::from(n)).as_bytes()].concat(),
        // A name that is longer by a zero is another one.
        Name::Any(n) => [&AF_UNIX.to_ne_bytes()[..], format!("\0d{}\0", port + u16::from(n)).as_bytes()].concat(),
        Name::Zero => AF_UNIX.to_ne_bytes().to_vec(),
        Name::Cut(family, len) => {
            let mut bytes = vec![0; len.max(1).into()];
            bytes[0] = family;
            bytes
        }
        _ => vec![0; 16],
    };
    Address::from_bytes(&bytes).unwrap_or(Address::EMPTY)
}

/// An address without what differs from run to run.
pub fn told(port: u16, of: &Address) -> String {
    for n in 0..2 {
        for (name, text) in [(Name::Lo(n), "n"), (Name::Any(n), "m")] {
            if *of == address(port, name) {
                return format!("{text}{n}");
            }
        }
    }
    match of.as_bytes() {
        [] => "nobody".into(),
        [_, _] => "unnamed".into(),
        bytes if bytes.len() == 8 && bytes[2] == 0 => "chosen".into(),
        bytes => format!("{bytes:?}"),
    }
}

/// A sequence of up to 25 calls.
pub fn sequence(r: &mut Random) -> (Kind, Vec<Op>) {
    let kind = r.of(&[Kind::UnixStream, Kind::UnixStream, Kind::UnixDgram, Kind::UnixSeqpacket]);
    let start: &[Op] = match (kind, r.next() % 4) {
        (_, 0) => &[],
        (_, 1) => &[Op::Pair],
        (Kind::UnixDgram, _) => &[Op::Bind(0, Name::Lo(0)), Op::Bind(1, Name::Lo(1)), Op::Connect(1, Name::Lo(0))],
        (_, 2) => &[Op::Bind(0, Name::Lo(0)), Op::Listen(0, 3), Op::Connect(1, Name::Lo(0))],
        _ => &[Op::Bind(0, Name::Lo(0)), Op::Listen(0, 3), Op::Connect(1, Name::Lo(0)), Op::Accept(0, false)],
    };
    let mut ops = start.to_vec();
    for _ in 0..4 + r.next() % 17 {
        ops.push(op(r, kind));
    }
    (kind, ops)
}

fn op(r: &mut Random, kind: Kind) -> Op {
    let s = r.of(&[0, 0, 1, 1, 1, 2, 2, 3, 4]);
    let name = r.of(&[
        Name::Lo(0),
        Name::Lo(0),
        Name::Lo(1),
        Name::Lo(1),
        Name::Any(0),
        Name::Zero,
        Name::Cut(1, 1),
        Name::Cut(99, 20),
        Name::Unspec,
    ]);
    let len = r.of(&[0, 1, 3, 10, 100, 1000]);
    // MSG_PEEK, MSG_TRUNC, MSG_OOB, MSG_WAITALL.
    let flags = r.of(&[0, 0, 0, 2, 0x20, 0x22, 1, 3, 0x100]);
    // Linux gives an urgent byte also where there is no room for it, and peeks
    // further than there is.
    let most = r.of(&[0, 1, 2, 5, 50, 4000]).max(u16::from(flags & 3 != 0));
    match r.next() % 40 {
        0..2 => Op::Bind(s, name),
        2..4 => Op::Listen(s, r.of(&[0, 1, 5])),
        4..6 => Op::Accept(s, false),
        6..9 => Op::Connect(s, name),
        9..12 => Op::Send(s, len.into(), 0),
        12..14 => Op::SendTo(s, len.into(), 0, name),
        14..19 => {
            let carries = r.of(&[0, 1, 2, NEW, NEW, NEW, NAMED, BOTH]);
            // One that is in a message gets no datagrams.
            let carries = if kind == Kind::UnixDgram { carries.max(NEW) } else { carries };
            Op::Pass(s, len, carries, r.of(&[0, 0, 0, 1]))
        }
        19..22 => Op::Recv(s, most, flags),
        22..27 => Op::RecvMsg(s, most, flags, r.of(&[0, 0, 20, 99, 99])),
        27 => Op::Shutdown(s, r.of(&[0, 1, 1, 2, 3])),
        28 => Op::Close(s),
        29 => Op::Renew(s & 1),
        30 => Op::Error(s),
        31 => Op::Names(s),
        32 => Op::Send(s, 1, MSG_OOB),
        // FIONREAD, SIOCATMARK, SIOCOUTQ.
        33 => Op::Ioctl(s, r.of(&[0, 1, 2])),
        34 => Op::Fill(s, if kind == Kind::UnixStream { 1000 } else { r.of(&[0, 10, 1000, 20_000]) }),
        35 => Op::Drain,
        36..39 => Op::Set(s, r.next() as u8, r.of(&[0, 0, 1, 1, 2, -1, 3, 300]), 4),
        _ => Op::Get(s, r.next() as u8, 4),
    }
}

impl Play<'_> {
    fn own_identity(&self) -> [u8; 12] {
        let mut value = [0; 12];
        if let Ok((a, b)) = self.posix.socketpair(AF_UNIX, SOCK_STREAM.into(), 0) {
            let _ = self.posix.getsockopt(a, SOL_SOCKET, SO_PEERCRED, &mut value);
            let _ = (self.posix.close(a), self.posix.close(b));
        }
        value
    }

    /// A descriptor that came: it takes the place of a socket if one is free.
    fn take(&self, fd: Fd, table: &mut Table) {
        if !table.put(fd, false) {
            let _ = self.posix.close(fd);
        }
    }

    fn send_message(&self, fd: Fd, data: &[u8], carries: u8, flags: u32, fds: &[Option<Fd>; 5]) -> String {
        let mut control = vec![];
        let mut add = |kind: i32, value: &[u8]| {
            let mut used = control.len();
            control.resize(used + control::space(value.len()), 0);
            control::put(&mut control, &mut used, control::Item { level: SOL_SOCKET, kind, value });
        };
        let mut made = vec![];
        if matches!(carries, NEW | BOTH) {
            made.extend(self.posix.socketpair(AF_UNIX, u32::from(SOCK_DGRAM) | SOCK_NONBLOCK, 0).ok());
        }
        if matches!(carries, NAMED | BOTH) {
            add(SCM_CREDENTIALS, &self.own_identity());
        }
        let carried = match carries {
            NEW | BOTH => made.first().map(|(a, _)| *a),
            NAMED => None,
            s => fds[usize::from(s)],
        };
        if let Some(carried) = carried {
            add(SCM_RIGHTS, &carried.to_ne_bytes());
        }
        let note = say(self.posix.sendmsg(fd, &[data], None, &control, flags));
        for (a, b) in made {
            let _ = (self.posix.close(a), self.posix.close(b));
        }
        note
    }

    fn receive_message(&self, fd: Fd, len: u16, flags: u32, room: u8, table: &mut Table) -> String {
        let (mut bytes, mut control) = (vec![0; len.into()], vec![0; room.into()]);
        let got = match self.posix.recvmsg(fd, &mut [&mut bytes], &mut control, flags) {
            Ok(got) => got,
            Err(e) => return e.name().into(),
        };
        let told = MSG_TRUNC | MSG_CTRUNC;
        // Of a peek on a stream Linux also gives what comes after it.
        let ahead = self.kind == Kind::UnixStream && flags & MSG_PEEK != 0;
        let told = if ahead { MSG_TRUNC } else { told };
        let mut note = format!("{} from {} {:x}", got.bytes, self.sender(&got.address), got.flags & told);
        note += &runs(&bytes, got.bytes);
        for item in control::items(&control[..got.control]).filter_map(core::result::Result::ok) {
            match item.kind {
                SCM_RIGHTS => {
                    for fd in item.value.chunks_exact(4) {
                        let fd = fd.try_into().map_or(-1, i32::from_ne_bytes);
                        if ahead {
                            let _ = self.posix.close(fd);
                        } else {
                            note.push_str(" fd");
                            self.take(fd, table);
                        }
                    }
                }
                SCM_CREDENTIALS if item.value == self.own_identity() => note.push_str(" me"),
                SCM_CREDENTIALS if item.value.len() < 12 => {
                    let _ = write!(note, " identity of {}", item.value.len());
                }
                _ => {
                    let _ = write!(note, " {}:{:?}", item.kind, item.value);
                }
            }
        }
        note
    }

    /// Who sent it, as far as that is compared.
    fn sender(&self, of: &Address) -> String {
        if self.blur.late_name.get() && self.kind == Kind::UnixDgram { String::new() } else { self.told(of) }
    }

    /// What only local sockets do, or do otherwise.
    pub fn local_op(&self, op: Op, table: &mut Table) -> Option<String> {
        let posix = self.posix;
        let stream = self.kind == Kind::UnixStream;
        let kind = type_of(self.kind);
        // There is room at other times.
        let sending = matches!(op, Op::Send(..) | Op::SendTo(..) | Op::Pass(..) | Op::Fill(..));
        if self.blur.filled.get() && sending {
            return Some(String::new());
        }
        match op {
            Op::Send(_, _, 0) | Op::SendTo(..) | Op::Pass(..) | Op::Fill(..) => self.blur.sent.set(true),
            Op::Bind(..) | Op::Set(..) if self.blur.sent.get() => self.blur.late_name.set(true),
            _ => {}
        }
        Some(match op {
            Op::Ioctl(s, 1) if option(posix, table.at(s), SOL_SOCKET, SO_ACCEPTCONN) == Ok(1) => String::new(),
            Op::Recv(s, len, flags) => {
                let mut bytes = vec![0; len.into()];
                match posix.recvfrom(table.at(s), &mut bytes, flags) {
                    Ok((n, from)) => {
                        let note = format!("{n} from {}", self.sender(&from));
                        note + &runs(&bytes, n)
                    }
                    Err(e) => e.name().into(),
                }
            }
            Op::Pair => {
                table.fds[..2].iter_mut().filter_map(Option::take).for_each(|fd| self.abort(fd));
                if let Ok((a, b)) = posix.socketpair(AF_UNIX, u32::from(kind) | SOCK_NONBLOCK, 0) {
                    (table.fds[0], table.fds[1]) = (Some(a), Some(b));
                }
                String::new()
            }
            Op::Pass(s, len, carries, flags) => {
                self.blur.own.set(self.blur.own.get() || carries < NEW);
                self.blur.urgent.set(self.blur.urgent.get() || flags & MSG_OOB != 0);
                let data = table.data(len.into());
                self.send_message(table.at(s), &data, carries, flags, &table.fds)
            }
            Op::RecvMsg(s, len, flags, room) => self.receive_message(table.at(s), len, flags, room, table),
            Op::Send(_, _, MSG_OOB) => {
                self.blur.urgent.set(true);
                return None;
            }
            Op::Ioctl(s, 0) => {
                let note = say(number(posix, table.at(s), REQUESTS[0]));
                if self.blur.urgent.get() || self.blur.filled.get() { String::new() } else { note }
            }
            Op::Ioctl(s, 2) => match number(posix, table.at(s), REQUESTS[2]) {
                // Of a stream Linux tells what it needs to keep it.
                Ok(n) if stream && !self.blur.urgent.get() => (n != 0).to_string(),
                Ok(_) if stream => String::new(),
                other => say(other),
            },
            Op::Fill(s, len) => {
                let data = table.data(len.into());
                let mut sent = 0;
                let end = loop {
                    match posix.send(table.at(s), &data, 0) {
                        Ok(_) if sent < 1000 => sent += 1,
                        Ok(_) => break "no end".into(),
                        Err(e) => break e.name().to_string(),
                    }
                };
                if stream && sent != 0 {
                    self.blur.filled.set(true);
                    return Some(end);
                }
                format!("{sent} {end}")
            }
            Op::Drain => {
                let (mut note, mut most) = (String::new(), 0);
                for fd in table.fds.iter().flatten() {
                    let mut sum = 0;
                    let mut bytes = vec![0; 100_000];
                    for _ in 0..2000 {
                        match posix.recv(*fd, &mut bytes, 0) {
                            Ok(0) if kind != SOCK_DGRAM => sum += 1_000_000,
                            Ok(n) => sum += n,
                            Err(e) => {
                                note.push_str(if self.blur.own.get() { "" } else { e.name() });
                                break;
                            }
                        }
                        if sum >= 1_000_000 && kind != SOCK_DGRAM {
                            sum -= 1_000_000;
                            note.push_str(if self.blur.own.get() { "" } else { "end" });
                            break;
                        }
                    }
                    most = most.max(sum);
                    if !self.blur.filled.get() {
                        let _ = write!(note, " {sum} ");
                    }
                }
                // What was filled may not have arrived anywhere yet.
                self.blur.filled.set(self.blur.filled.get() && most < FULL);
                note
            }
            Op::Set(s, which, value, _) => {
                let name = OPTIONS[usize::from(which) % OPTIONS.len()];
                // The most that buffers can be is not the same, nor what of a
                // stream they bound.
                let value = if matches!(name, SO_SNDBUF | SO_RCVLOWAT) { value.max(0) } else { value };
                let name = if name == SO_SNDBUF && stream { SO_TYPE } else { name };
                say(posix.setsockopt(table.at(s), SOL_SOCKET, name, &value.to_ne_bytes()))
            }
            Op::Get(s, which, _) => {
                say(option(posix, table.at(s), SOL_SOCKET, OPTIONS[usize::from(which) % OPTIONS.len()]))
            }
            _ => return None,
        })
    }
}
