//! What sockets between two components, and files, cost: the same program on
//! Linux and on Strait, so that figures of one run can be compared
//! (`bench/local.py`).
//!
//! One component measures ([`measure`]), the other answers ([`partner`]). Each
//! figure is a line `name: number unit`, on Strait's own clock or Linux'; under
//! QEMU's `-icount shift=0` its nanoseconds are guest instructions.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod strait;

use alloc::{format, string::String, vec, vec::Vec};
use core::time::Duration;

use strait_conformance::{
    files::{AT_FDCWD, open},
    posix::*,
};

pub use strait::{main, main_partner};

/// The last line.
pub const CLOSING: &str = "bench: done";

/// Bytes of a small message.
const SMALL: usize = 64;
/// Bytes of one write of a stream, and of one read of a file.
const LARGE: usize = 64 * 1024;
/// Bytes of a file.
const FILE: usize = 4 << 20;

/// Where the partner listens.
#[derive(Clone, Copy)]
struct Place {
    name: &'static str,
    family: u16,
    kind: u16,
}

const PLACES: [Place; 3] = [
    Place { name: "unix stream", family: AF_UNIX, kind: SOCK_STREAM },
    Place { name: "unix seqpacket", family: AF_UNIX, kind: SOCK_SEQPACKET },
    Place { name: "tcp loopback", family: AF_INET, kind: SOCK_STREAM },
];

impl Place {
    fn address(self) -> Address {
        match self.family {
            // In the abstract name space, which has a name for each type.
            AF_UNIX => Address::from_bytes(b"\x01\0\0strait-bench").unwrap_or(Address::EMPTY),
            _ => Address::from(core::net::SocketAddr::from(([127, 0, 0, 1], 9999))),
        }
    }

    fn socket(self, world: &dyn Posix) -> Result<Fd> {
        let fd = world.socket(self.family, self.kind.into(), 0)?;
        if self.family == AF_INET {
            world.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &1i32.to_ne_bytes())?;
        }
        Ok(fd)
    }
}

/// What the first byte of a connection asks the partner for.
mod ask {
    /// All that comes goes back.
    pub const ECHO: u8 = b'e';
    /// All that comes is read; at the end one byte goes back.
    pub const SINK: u8 = b's';
    /// The partner ends.
    pub const QUIT: u8 = b'q';
}

/// Answers whoever connects, until it is told to end.
pub fn partner(world: &dyn Posix) -> Result<()> {
    let mut listeners = Vec::new();
    for place in PLACES {
        let fd = place.socket(world)?;
        world.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &1i32.to_ne_bytes())?;
        world.bind(fd, &place.address())?;
        world.listen(fd, 4)?;
        listeners.push(PollFd::new(fd, POLLIN));
    }
    let mut buffer = vec![0; LARGE];
    loop {
        world.poll(&mut listeners, -1)?;
        for listener in listeners.iter().filter(|l| l.revents != 0) {
            let (fd, _) = world.accept4(listener.fd, 0)?;
            let mut first = [0];
            world.recv(fd, &mut first, 0)?;
            match first[0] {
                ask::QUIT => return Ok(()),
                ask::ECHO => echo(world, fd, &mut buffer)?,
                _ => {
                    while world.recv(fd, &mut buffer, 0)? != 0 {}
                    world.send(fd, &first, 0)?;
                }
            }
            world.close(fd)?;
        }
    }
}

fn echo(world: &dyn Posix, fd: Fd, buffer: &mut [u8]) -> Result<()> {
    loop {
        match world.recv(fd, buffer, 0)? {
            0 => return Ok(()),
            n => send_all(world, fd, &buffer[..n])?,
        }
    }
}

fn send_all(world: &dyn Posix, fd: Fd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        bytes = &bytes[world.send(fd, bytes, 0)?..];
    }
    Ok(())
}

/// What is measured, and how often.
pub struct Measure<'a> {
    /// The calls.
    pub world: &'a dyn Posix,
    /// Round trips of one figure; bulk is 4 KiB for each of them.
    pub rounds: usize,
    /// Only what has this in its name.
    pub only: &'a str,
    /// Pages of all sockets' data in use, where that can be asked.
    pub pages: &'a dyn Fn() -> Option<u32>,
    /// Takes the lines.
    pub say: &'a dyn Fn(&str),
}

impl Measure<'_> {
    /// Measures everything, ends the partner, and says the closing line.
    pub fn run(&self) {
        for place in PLACES {
            self.figure(place.name, "64 B round trip", "ns", &|| self.round_trips(place));
            if place.kind == SOCK_STREAM {
                self.figure(place.name, "64 KiB writes", "MB/s", &|| self.bulk(place));
            }
        }
        self.figure("file", "64 KiB reads", "MB/s", &|| self.file());
        if let Some(pages) = (self.pages)() {
            self.figure("pages", "at rest", "of 4 KiB", &|| Ok(f64::from(pages)));
        }
        if let Ok(fd) = self.join(PLACES[0], ask::QUIT) {
            // It is gone either way.
            let _ = self.world.close(fd);
        }
        (self.say)(CLOSING);
    }

    fn figure(&self, what: &str, how: &str, unit: &str, measure: &dyn Fn() -> Result<f64>) {
        let name = format!("{what}, {how}");
        if name.contains(self.only) {
            let value = measure().map_or_else(|e| String::from(e.name()), |v| format!("{v:.1}"));
            (self.say)(&format!("{name}: {value} {unit}"));
        }
    }

    /// A connection to the partner, which may not listen yet.
    fn join(&self, place: Place, what: u8) -> Result<Fd> {
        let mut tries = 0;
        let fd = loop {
            let fd = place.socket(self.world)?;
            match self.world.connect(fd, &place.address()) {
                Ok(()) => break fd,
                Err(Errno::ECONNREFUSED) if tries < 1000 => {
                    tries += 1;
                    self.world.close(fd)?;
                    self.world.poll(&mut [], 10)?;
                }
                Err(e) => return Err(e),
            }
        };
        self.world.send(fd, &[what], 0)?;
        Ok(fd)
    }

    /// Nanoseconds for a small message there and back.
    fn round_trips(&self, place: Place) -> Result<f64> {
        let fd = self.join(place, ask::ECHO)?;
        let turn = |count: usize| {
            let mut back = [0; SMALL];
            for i in 0..count {
                let message = [i as u8; SMALL];
                self.world.send(fd, &message, 0)?;
                let mut got = 0;
                while got < SMALL {
                    match self.world.recv(fd, &mut back[got..], 0)? {
                        0 => return Err(Errno::ECONNRESET),
                        n => got += n,
                    }
                }
                if back != message {
                    return Err(Errno::EBADMSG);
                }
            }
            Ok(())
        };
        turn(self.rounds / 10 + 1)?;
        let before = self.world.now();
        turn(self.rounds)?;
        let took = self.world.now() - before;
        self.world.close(fd)?;
        Ok(took.as_nanos() as f64 / self.rounds as f64)
    }

    /// Megabytes in a second, all of them read by the partner.
    fn bulk(&self, place: Place) -> Result<f64> {
        let fd = self.join(place, ask::SINK)?;
        let data = vec![0x5a; LARGE];
        let writes = (self.rounds / 16).max(16);
        let (before, mut most) = (self.world.now(), 0);
        for n in 0..writes {
            send_all(self.world, fd, &data)?;
            if n % 16 == 15 {
                most = most.max((self.pages)().unwrap_or(0));
            }
        }
        self.world.shutdown(fd, SHUT_WR)?;
        self.world.recv(fd, &mut [0], 0)?;
        let took = self.world.now() - before;
        self.world.close(fd)?;
        if most != 0 {
            self.figure("pages", &format!("peak of {}", place.name), "of 4 KiB", &|| Ok(f64::from(most)));
        }
        Ok(speed(writes * LARGE, took))
    }

    /// Megabytes in a second of a file in memory.
    fn file(&self) -> Result<f64> {
        let path = format!("{}/strait-bench", self.world.scratch());
        let fd = self.world.openat(AT_FDCWD, &path, open::RDWR | open::CREAT | open::TRUNC, 0o600)?;
        let mut data = vec![0x5a; LARGE];
        for at in (0..FILE).step_by(LARGE) {
            let mut done = 0;
            while done < LARGE {
                done += self.world.pwrite(fd, &data[done..], (at + done) as u64)?;
            }
        }
        let passes = (self.rounds * 4096 / FILE).max(1);
        let before = self.world.now();
        for _ in 0..passes {
            let mut at = 0;
            while at < FILE {
                match self.world.pread(fd, &mut data, at as u64)? {
                    0 => return Err(Errno::EIO),
                    n => at += n,
                }
            }
        }
        let took = self.world.now() - before;
        self.world.close(fd)?;
        self.world.unlinkat(AT_FDCWD, &path, 0)?;
        Ok(speed(passes * FILE, took))
    }
}

fn speed(bytes: usize, took: Duration) -> f64 {
    bytes as f64 / took.as_secs_f64() / 1e6
}
