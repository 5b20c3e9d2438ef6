//! Does what a client must not do: for `tests/test_isolation.py`, which looks
//! whether others (`strait-victim`) go on and everything comes back.
//!
//! It speaks to the servers by `strait-abi` alone, so no library keeps it from
//! anything. Whoever connects to TCP port 6002 may write lines; each is an act,
//! and is answered by a line: its name, an errno or 0, and a number.
//!
//! | act | what | the answer when the servers hold |
//! |---|---|---|
//! | `handles` | every handle that is not its own, with every request | EBADF, how many were refused |
//! | `tokens` | open files of others, by guessing | EBADF, how many were refused |
//! | `ends` | tells the servers that clients have ended | EPERM, how often |
//! | `names` | what belongs to `victim` | 0, how many were refused |
//! | `cycles N` | N times: a socket is sent over itself until no more | ETOOMANYREFS, how often |
//! | `arena N` | all sockets and all pages, for N milliseconds | EMFILE, pages |
//! | `inbox N` | N long datagrams to `victim` | 0, how many it took |
//! | `heap` | connections to itself that nobody accepts, then long datagrams | errno, how many |
//! | `releases N` | one open file in N messages that nobody receives | |
//! | `flood N` | N tiny datagrams | 0, N |
//! | `lies N` | N times anything in its rings | 0, how often it was punished |
//! | `drop` | closes what an act has kept | 0 |
//! | `die N` | gives away what it has, keeps the rest, and faults; N is 1 for SOCK_STREAM, 5 for SOCK_SEQPACKET | 0, how many it gave |
//! | `panic` | panics | none |

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod acts;
mod death;
mod raw;

use alloc::{format, string::String, vec::Vec};
use core::net::{Ipv4Addr, SocketAddr};

use strait_abi::{
    Address, Errno,
    address::AF_INET,
    log::Logger,
    net::{Handle, Request},
    session::status,
    socket::{SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET},
    timer,
};
use strait_pd::{Environment, Message};

use raw::{Files, Net, Socket};

const PORT: u16 = 6002;

/// Runs the service.
pub fn main(env: Environment) -> ! {
    let log = Logger::new(&env);
    match (Net::open(&env), Files::open(&env)) {
        (Some(net), Some(files)) => match listen(&net, Ipv4Addr::UNSPECIFIED, PORT) {
            Ok(listener) => {
                log.line(format_args!("ready"));
                let random = env.pd.now() | 1;
                Hostile { env: &env, net, files, listener, kept: Vec::new(), random }.serve()
            }
            Err(e) => log.line(format_args!("cannot start: {e}")),
        },
        _ => log.line(format_args!("cannot start: no sessions")),
    }
    loop {
        env.pd.wait();
    }
}

struct Hostile<'a> {
    env: &'a Environment,
    net: Net,
    files: Files,
    listener: Handle,
    /// Sockets that an act has left open.
    kept: Vec<Handle>,
    random: u64,
}

fn listen(net: &Net, ip: Ipv4Addr, port: u16) -> Result<Handle, Errno> {
    let socket = net.socket(AF_INET, SOCK_STREAM)?.handle;
    net.call(&Request::SetOption { socket, level: SOL_SOCKET, name: SO_REUSEADDR, value: &[1, 0, 0, 0] })?;
    net.call(&Request::Bind { socket, address: Address::from(SocketAddr::from((ip, port))).as_bytes() })?;
    net.call(&Request::Listen { socket, backlog: 4096 })?;
    Ok(socket)
}

impl Hostile<'_> {
    fn accept(&self) -> Result<Socket, Errno> {
        let socket = self.listener;
        self.net.until(|| (self.net.status(socket) & status::IN != 0).then_some(()));
        self.net.call(&Request::Accept { socket }).and_then(|(handle, _)| self.net.attached(handle))
    }

    /// The next line of a connection; `None` at its end.
    fn line(&self, from: &mut Socket) -> Option<String> {
        let (mut line, mut byte) = (Vec::new(), [0]);
        loop {
            let over = status::RDHUP | status::ERR | status::HUP;
            let n = self.net.until(|| match self.net.read(from, &mut byte) {
                0 => (self.net.status(from.handle) & over != 0 && from.rx.available() == 0).then_some(0),
                n => Some(n),
            });
            match (n, byte[0]) {
                (0, _) => return None,
                (_, b'\n') => return String::from_utf8(line).ok(),
                (_, b) => line.push(b),
            }
        }
    }

    fn serve(&mut self) {
        loop {
            let Ok(mut peer) = self.accept() else { continue };
            while let Some(line) = self.line(&mut peer) {
                let (act, argument) = line.split_once(' ').unwrap_or((&line, ""));
                let outcome = self.act(act, argument.parse().unwrap_or(0), &mut peer);
                self.answer(&mut peer, act, outcome);
            }
            let _ = self.net.close(peer.handle);
        }
    }

    /// Says what came of an act: an errno that it stands for, or the one that
    /// was in the way.
    fn answer(&self, peer: &mut Socket, act: &str, outcome: Outcome) {
        let (errno, number) = outcome.unwrap_or_else(|e| (Some(e), 0));
        let text = format!("{act} {} {number}\n", errno.map_or(0, Errno::raw));
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            rest = &rest[self.net.write(peer, rest)..];
        }
    }

    fn act(&mut self, act: &str, n: u64, peer: &mut Socket) -> Outcome {
        match act {
            "handles" => self.handles(peer.handle),
            "tokens" => self.tokens(),
            "ends" => self.ends(),
            "names" => self.names(),
            "cycles" => self.cycles(n),
            "arena" => self.arena(n),
            "inbox" => self.fill_inbox(n),
            "heap" => self.heap(),
            "releases" => self.releases(n),
            "flood" => self.flood(n),
            "lies" => self.lies(n),
            "drop" => self.drop_kept().map(|()| (None, 0)),
            "die" => self.die(n as u16, peer),
            "panic" => panic!("as it was told"),
            _ => Err(Errno::ENOSYS),
        }
    }

    fn drop_kept(&mut self) -> Result<(), Errno> {
        core::mem::take(&mut self.kept).into_iter().try_for_each(|handle| self.net.close(handle))
    }

    fn sleep(&self, milliseconds: u64) -> Result<(), Errno> {
        let channel = self.env.channel("timer_driver").map_err(|_| Errno::ENOSYS)?;
        self.env.pd.call(channel, &mut Message::from_words(timer::SET_TIMEOUT, &[milliseconds * 1_000_000]));
        while !self.env.pd.wait().contains(channel) {}
        Ok(())
    }

    /// An unpredictable number (xorshift64).
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

/// What the servers said to it, if that was one and the same, and a number.
type Outcome = Result<(Option<Errno>, u64), Errno>;
