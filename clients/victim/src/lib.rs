//! Uses the servers while another client does its worst (`strait-hostile`), and
//! says how it fares: for `tests/test_isolation.py`.
//!
//! Whoever connects to TCP port 6001 may write lines. Each is answered by a line:
//! its first word, an errno or 0, and a number.
//!
//! | line | what | the number |
//! |---|---|---|
//! | `ping` | one message there and back by AF_UNIX and by TCP, one file read | microseconds of the slowest |
//! | `move N` | N bytes through a local stream | microseconds |
//! | `connect` | a TCP connection to itself | |
//! | `pipe` | a pipe whose end to write is lost in a message says so | |
//! | `inbox` | reads what strangers sent | how many datagrams |
//! | `take NAME` | receives descriptors at `/tmp/NAME` | how many |
//! | `use` | uses them: see [`Victim::use_taken`] | how many work |
//! | `drop` | closes them | |
//! | `unlink PATH` | removes a file | |
//!
//! What nobody else may use: the socket `/tmp/private` and the file
//! `/tmp/private.file`, both with mode 0600. What anybody may: the sockets
//! `/tmp/stream`, `/tmp/packet` (SOCK_SEQPACKET) and `/tmp/inbox` (SOCK_DGRAM).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{format, vec, vec::Vec};
use core::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use strait_abi::{
    control::{Item, items, put, space},
    log::Logger,
    vfs::open,
};
use strait_libsock::{
    Address, Errno, Process,
    posix::{
        AF_INET, AF_UNIX, Fd, MSG_DONTWAIT, POLLHUP, POLLIN, POLLOUT, PollFd, SCM_RIGHTS, SO_RCVTIMEO, SO_REUSEADDR,
        SO_SNDTIMEO, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET,
    },
};
use strait_pd::Environment;

const PORT: u16 = 6001;
/// Where it connects to itself.
const OWN_PORT: u16 = 6011;
const MESSAGE: usize = 64;
/// Nothing takes longer than this.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes moved at once.
const STEP: usize = 32 * 1024;

/// Runs the service.
pub fn main(env: Environment) -> ! {
    let log = Logger::new(&env);
    match Process::new(&env) {
        Ok(process) => match Victim::new(process) {
            Ok(mut victim) => {
                log.line(format_args!("ready"));
                loop {
                    if let Err(e) = victim.serve() {
                        log.line(format_args!("a connection is lost: {e}"));
                    }
                }
            }
            Err(e) => log.line(format_args!("cannot start: {e}")),
        },
        Err(e) => log.line(format_args!("cannot start: {e}")),
    }
    loop {
        env.pd.wait();
    }
}

/// The service.
pub struct Victim {
    process: Process,
    listener: Fd,
    /// Where it connects to itself.
    own: Fd,
    /// Where others connect to: by stream, and by sequenced packets.
    strangers: [Fd; 2],
    inbox: Fd,
    local: (Fd, Fd),
    tcp: (Fd, Fd),
    taken: Vec<Fd>,
}

impl Victim {
    /// Makes all that it uses later, but for what others give it.
    pub fn new(process: Process) -> Result<Self, Errno> {
        let p = &process;
        let listen = |ip, port| {
            let fd = p.socket(AF_INET, SOCK_STREAM.into(), 0)?;
            p.set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1)?;
            p.bind(fd, &Address::from(SocketAddr::from((ip, port))))?;
            p.listen(fd, 8)?;
            Ok::<_, Errno>(fd)
        };
        let named = |kind: u16, path: &str, mode: u32| {
            let fd = p.socket(AF_UNIX, kind.into(), 0)?;
            let before = p.umask(!mode & 0o777);
            let bound = p.bind(fd, &address(path)?);
            p.umask(before);
            bound.map(|()| fd)
        };
        let strangers = [named(SOCK_STREAM, "/tmp/stream", 0o666)?, named(SOCK_SEQPACKET, "/tmp/packet", 0o666)?];
        strangers.iter().try_for_each(|fd| p.listen(*fd, 4))?;
        let inbox = named(SOCK_DGRAM, "/tmp/inbox", 0o666)?;
        let private = named(SOCK_STREAM, "/tmp/private", 0o600)?;
        p.listen(private, 4)?;
        let file = p.open("/tmp/private.file", open::CREAT | open::WRONLY, 0o600)?;
        p.write(file, b"nobody's business")?;
        p.close(file)?;
        let own = listen(Ipv4Addr::LOCALHOST, OWN_PORT)?;
        let (local, tcp) = (p.socketpair(AF_UNIX, SOCK_STREAM.into(), 0)?, to_itself(p, own)?);
        for fd in [local.0, local.1, tcp.0, tcp.1, strangers[0], strangers[1]] {
            for name in [SO_RCVTIMEO, SO_SNDTIMEO] {
                p.set_timeout(fd, name, Some(PATIENCE))?;
            }
        }
        let listener = listen(Ipv4Addr::UNSPECIFIED, PORT)?;
        Ok(Self { listener, own, strangers, inbox, local, tcp, taken: Vec::new(), process })
    }

    /// Serves one connection.
    fn serve(&mut self) -> Result<(), Errno> {
        let (peer, _) = self.process.accept(self.listener)?;
        let served = self.lines(peer);
        self.process.close(peer)?;
        served
    }

    fn lines(&mut self, peer: Fd) -> Result<(), Errno> {
        let (mut line, mut bytes) = (Vec::new(), [0; 256]);
        loop {
            let n = self.process.recv(peer, &mut bytes, 0)?;
            if n == 0 {
                return Ok(());
            }
            for byte in &bytes[..n] {
                if *byte != b'\n' {
                    line.push(*byte);
                    continue;
                }
                let text = core::mem::take(&mut line);
                let text = core::str::from_utf8(&text).unwrap_or_default();
                let (command, argument) = text.split_once(' ').unwrap_or((text, ""));
                let (errno, number) = match self.obey(command, argument) {
                    Ok(number) => (0, number),
                    Err(e) => (e.raw(), 0),
                };
                let answer = format!("{command} {errno} {number}\n");
                self.process.send(peer, answer.as_bytes(), 0)?;
            }
        }
    }

    fn obey(&mut self, command: &str, argument: &str) -> Result<u64, Errno> {
        match command {
            "ping" => self.ping(),
            "move" => self.timed(|v| v.carry(argument.parse().map_err(|_| Errno::EINVAL)?)),
            "connect" => {
                let (near, far) = to_itself(&self.process, self.own)?;
                let result = self.round_trip(near, far);
                self.process.close(near)?;
                self.process.close(far)?;
                result.map(|()| 0)
            }
            "pipe" => self.lose_a_pipe(),
            "inbox" => self.read_inbox(),
            "take" => self.take(self.strangers[usize::from(argument == "packet")]),
            "use" => self.use_taken(),
            "drop" => {
                for fd in core::mem::take(&mut self.taken) {
                    self.process.close(fd)?;
                }
                Ok(0)
            }
            "unlink" => self.process.unlink(argument).map(|()| 0),
            _ => Err(Errno::ENOSYS),
        }
    }

    fn timed(&self, act: impl FnOnce(&Self) -> Result<(), Errno>) -> Result<u64, Errno> {
        let begin = self.process.now();
        act(self)?;
        Ok((self.process.now() - begin).as_micros() as u64)
    }

    fn ping(&self) -> Result<u64, Errno> {
        let times = [
            self.timed(|v| v.round_trip(v.local.0, v.local.1))?,
            self.timed(|v| v.round_trip(v.tcp.0, v.tcp.1))?,
            self.timed(|v| {
                let (fd, mut bytes) = (v.process.open("/index.html", open::RDONLY, 0)?, [0; MESSAGE]);
                let n = v.process.read(fd, &mut bytes);
                v.process.close(fd)?;
                if n? == MESSAGE { Ok(()) } else { Err(Errno::EIO) }
            })?,
        ];
        Ok(times.into_iter().fold(0, u64::max))
    }

    /// One message from one end to the other, and back.
    fn round_trip(&self, near: Fd, far: Fd) -> Result<(), Errno> {
        for (from, to) in [(near, far), (far, near)] {
            let (sent, mut got, mut done) = ([0x5a; MESSAGE], [0; MESSAGE], 0);
            self.process.send(from, &sent, 0)?;
            while done < MESSAGE {
                match self.process.recv(to, &mut got[done..], 0)? {
                    0 => return Err(Errno::EPIPE),
                    n => done += n,
                }
            }
            if got != sent {
                return Err(Errno::EIO);
            }
        }
        Ok(())
    }

    /// Bytes through the local stream, whatever room there is.
    fn carry(&self, total: usize) -> Result<(), Errno> {
        let (p, (from, to)) = (&self.process, self.local);
        let pattern: Vec<u8> = (0..STEP + 251).map(|i| (i % 251) as u8).collect();
        let (mut sent, mut got, mut bytes) = (0, 0, vec![0; STEP]);
        let passed = |result: Result<usize, Errno>| match result {
            Err(Errno::EAGAIN) => Ok(0),
            other => other,
        };
        while got < total {
            let n = STEP.min(total - sent);
            let out = passed(p.send(from, &pattern[sent % 251..][..n], MSG_DONTWAIT))?;
            let into = passed(p.recv(to, &mut bytes, MSG_DONTWAIT))?;
            if bytes[..into] != pattern[got % 251..][..into] {
                return Err(Errno::EIO);
            }
            (sent, got) = (sent + out, got + into);
            if out == 0 && into == 0 {
                let mut ends = [PollFd::new(from, if sent < total { POLLOUT } else { 0 }), PollFd::new(to, POLLIN)];
                if p.poll(&mut ends, PATIENCE.as_millis() as i32)? == 0 {
                    return Err(Errno::ETIMEDOUT);
                }
            }
        }
        Ok(())
    }

    /// Sends the end to write of a pipe to itself and never receives it: the
    /// other end must hear that nobody will write.
    fn lose_a_pipe(&self) -> Result<u64, Errno> {
        let p = &self.process;
        let (read, write) = p.pipe2(0)?;
        let (a, b) = p.socketpair(AF_UNIX, SOCK_STREAM.into(), 0)?;
        let sent = p.sendmsg(a, &[b"x"], None, &rights(&[write]), 0);
        for fd in [write, a, b] {
            p.close(fd)?;
        }
        sent?;
        let mut end = [PollFd::new(read, POLLIN)];
        let heard = p.poll(&mut end, PATIENCE.as_millis() as i32)?;
        p.close(read)?;
        if heard == 1 && end[0].revents & POLLHUP != 0 { Ok(0) } else { Err(Errno::ETIMEDOUT) }
    }

    fn read_inbox(&self) -> Result<u64, Errno> {
        let mut bytes = [0; 1];
        for n in 0.. {
            match self.process.recv(self.inbox, &mut bytes, MSG_DONTWAIT) {
                Ok(_) => {}
                Err(Errno::EAGAIN) => return Ok(n),
                Err(e) => return Err(e),
            }
        }
        Ok(0)
    }

    fn take(&mut self, at: Fd) -> Result<u64, Errno> {
        let (stranger, _) = self.process.accept(at)?;
        self.process.set_timeout(stranger, SO_RCVTIMEO, Some(PATIENCE))?;
        let (mut data, mut control) = ([0; 16], [0; 256]);
        let got = self.process.recvmsg(stranger, &mut [&mut data], &mut control, 0);
        self.process.close(stranger)?;
        let control = &control[..got?.control];
        let given = items(control).filter_map(Result::ok).filter(|i| (i.level, i.kind) == (SOL_SOCKET, SCM_RIGHTS));
        let words = given.flat_map(|item| item.value.chunks_exact(4));
        self.taken.extend(words.filter_map(|w| w.try_into().ok().map(i32::from_ne_bytes)));
        Ok(self.taken.len() as u64)
    }

    /// Of what it took, in this order: says `alive` on a connection; reads `last
    /// words` and the end of file from a local stream; reads `written before` from
    /// a file; writes `through` into a pipe and reads it at the other end.
    fn use_taken(&self) -> Result<u64, Errno> {
        let p = &self.process;
        let &[tcp, local, file, write, read] = &self.taken[..] else { return Err(Errno::EBADF) };
        let says = |fd, text: &[u8]| {
            let mut bytes = [0; 64];
            let n = p.read(fd, &mut bytes)?;
            if bytes[..n] == *text { Ok(()) } else { Err(Errno::EIO) }
        };
        p.set_timeout(local, SO_RCVTIMEO, Some(PATIENCE))?;
        p.send(tcp, b"alive", 0)?;
        says(local, b"last words")?;
        says(local, b"")?;
        p.lseek(file, 0, strait_abi::vfs::seek::SET)?;
        says(file, b"written before")?;
        p.write(write, b"through")?;
        says(read, b"through")?;
        Ok(self.taken.len() as u64)
    }
}

fn address(path: &str) -> Result<Address, Errno> {
    Address::from_bytes(&[&AF_UNIX.to_ne_bytes()[..], path.as_bytes()].concat())
}

/// An SCM_RIGHTS item with these descriptors.
fn rights(fds: &[Fd]) -> Vec<u8> {
    let value: Vec<u8> = fds.iter().flat_map(|fd| fd.to_ne_bytes()).collect();
    let mut control = vec![0; space(value.len())];
    put(&mut control, &mut 0, Item { level: SOL_SOCKET, kind: SCM_RIGHTS, value: &value });
    control
}

/// Both ends of a connection of a process to its own listener.
fn to_itself(process: &Process, listener: Fd) -> Result<(Fd, Fd), Errno> {
    let near = process.socket(AF_INET, SOCK_STREAM.into(), 0)?;
    process.set_timeout(near, SO_SNDTIMEO, Some(PATIENCE))?;
    let to = Address::from(SocketAddr::from((Ipv4Addr::LOCALHOST, OWN_PORT)));
    match process.connect(near, &to).and_then(|()| process.accept(listener)) {
        Ok((far, _)) => Ok((near, far)),
        Err(e) => {
            process.close(near)?;
            Err(e)
        }
    }
}
