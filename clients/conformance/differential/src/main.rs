//! The differential fuzzer: random sequences of calls on two sockets and what
//! they accept, on Linux and on Strait; every result, all data and all
//! readiness compared.
//!
//! Usage: `strait-differential [SEQUENCES [SEED [inet|unix]]]`. The sequence
//! numbered `n` depends on the seed and `n` alone. The first one that differs is made as
//! short as it can be, and shown with what both gave.
//!
//! A difference counts only if Linux, given time after each call, says the
//! same again: loopback there is mostly, but not always, done when a call
//! returns.

mod finds;
mod local;
mod op;
mod play;
mod world;

use std::{process::ExitCode, thread, time::Duration};

use local::Blur;
use op::{Kind, Op, Random};
use play::Play;
use strait_conformance::posix::{AF_UNIX, Posix, SOCK_DGRAM};
use strait_conformance_linux::{Linux, namespace};
use world::World;

/// Sequences in one network namespace: TIME-WAIT holds ports.
const IN_A_NAMESPACE: u64 = 4000;
const FIRST_PORT: u16 = 10_000;
/// How long Linux has after each call, in milliseconds, when it is asked again.
const PAUSES: [u64; 3] = [0, 5, 25];
/// The same for local sockets: its search for those that nobody can reach takes
/// its time.
const LOCAL_PAUSES: [u64; 4] = [0, 30, 30, 30];
/// How long Strait has after each call, in milliseconds: until what was delayed
/// is acknowledged.
const SETTLE: u64 = 60;

struct Both {
    linux: Linux,
    strait: World,
    /// Runs on Linux.
    runs: u64,
    /// Of them, those that took their time.
    slow: u64,
}

impl Both {
    fn new() -> std::io::Result<Self> {
        namespace::begin()?;
        namespace::enter_empty()?;
        Ok(Self { linux: Linux::new(), strait: World::new(), runs: 0, slow: 0 })
    }

    /// With a pause after each call, in milliseconds.
    fn linux(&mut self, kind: Kind, ops: &[Op], pause: u64) -> Vec<String> {
        self.runs += 1;
        if self.runs.is_multiple_of(IN_A_NAMESPACE) {
            namespace::enter_empty().expect("another network namespace");
        }
        let port = FIRST_PORT + (self.runs % IN_A_NAMESPACE) as u16 * 4;
        let settle = || {
            if kind.is_local() {
                // Closing one, Linux looks for those that nobody can reach.
                let fd = self.linux.socket(AF_UNIX, SOCK_DGRAM.into(), 0);
                let _ = fd.and_then(|fd| self.linux.close(fd));
            }
            if pause != 0 {
                thread::sleep(Duration::from_millis(pause));
            }
        };
        Play { posix: &self.linux, kind, port, settle: &settle, blur: Blur::default() }.run(ops)
    }

    fn strait(&self, kind: Kind, ops: &[Op]) -> Vec<String> {
        let settle = || self.strait.elapse(SETTLE);
        let posix = &self.strait.process;
        let notes = Play { posix, kind, port: FIRST_PORT, settle: &settle, blur: Blur::default() }.run(ops);
        // No connection lasts that long.
        self.strait.elapse(200_000);
        notes
    }

    /// The first call that differs, and all that both said.
    fn difference(&mut self, kind: Kind, ops: &[Op]) -> Option<(usize, Vec<String>, Vec<String>)> {
        let strait = self.strait(kind, ops);
        let mut linux = vec![];
        for pause in if kind.is_local() { &LOCAL_PAUSES[..] } else { &PAUSES } {
            self.slow += u64::from(*pause != 0);
            linux = self.linux(kind, ops, *pause);
            if linux == strait {
                return None;
            }
        }
        let at = linux.iter().zip(&strait).position(|(l, s)| l != s)?;
        if is_explained(ops[at], &linux[at], &strait[at]) { None } else { Some((at, linux, strait)) }
    }

    /// Shorter, as long as something differs.
    fn shrink(&mut self, kind: Kind, mut ops: Vec<Op>) -> Vec<Op> {
        if let Some((at, ..)) = self.difference(kind, &ops) {
            ops.truncate(at + 1);
        }
        let mut at = ops.len();
        while at > 0 {
            at -= 1;
            let mut fewer = ops.clone();
            fewer.remove(at);
            if self.difference(kind, &fewer).is_some() {
                ops = fewer;
            }
        }
        ops
    }

    fn show(&mut self, kind: Kind, ops: &[Op]) {
        let Some((_, linux, strait)) = self.difference(kind, ops) else { return };
        println!("(Kind::{kind:?}, &{ops:?}),");
        for ((op, linux), strait) in ops.iter().zip(linux).zip(strait) {
            let mark = if linux == strait { "  " } else { "! " };
            println!("{mark}{:32} Linux: {linux:40} Strait: {strait}", format!("{op:?}"));
        }
    }
}

/// What differs for good; what follows in the sequence then differs as well.
fn is_explained(op: Op, linux: &str, strait: &str) -> bool {
    // From a port that bind(2) gave, Linux opens a connection anew whose former
    // incarnation is in TIME-WAIT. That needs timestamps (RFC 6191).
    matches!(op, Op::Connect(..)) && linux.starts_with("EINPROGRESS ") && strait.starts_with("EADDRNOTAVAIL ")
}

fn main() -> ExitCode {
    // Three of four are of AF_INET and AF_INET6, unless one family is named.
    let only = std::env::args().nth(3);
    let mut arguments = std::env::args().skip(1).take(2).map(|a| a.parse::<u64>());
    let (count, seed) = match (arguments.next().unwrap_or(Ok(20_000)), arguments.next().unwrap_or(Ok(1))) {
        (Ok(count), Ok(seed)) => (count, seed),
        _ => {
            eprintln!("usage: strait-differential [SEQUENCES [SEED [inet|unix]]]");
            return ExitCode::from(2);
        }
    };
    let mut both = match Both::new() {
        Ok(both) => both,
        Err(e) => {
            eprintln!("no network namespace: {e}");
            return ExitCode::FAILURE;
        }
    };
    let (mut different, mut compared) = (0, 0);
    for (kind, ops) in finds::FINDS {
        compared += 1;
        if both.difference(*kind, ops).is_some() {
            both.show(*kind, ops);
            different += 1;
        }
    }
    let most = std::env::var("SHOW").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    for number in 0..count {
        compared += 1;
        let local = only.as_deref().map_or(number % 4 == 3, |family| family == "unix");
        let (kind, ops) = op::sequence(&mut Random(seed.wrapping_mul(1 << 40).wrapping_add(number)), local);
        if both.difference(kind, &ops).is_some() {
            let short = both.shrink(kind, ops);
            println!("sequence {number} of seed {seed}:");
            both.show(kind, &short);
            different += 1;
            if different >= most {
                break;
            }
        }
    }
    println!("{compared} sequences compared, {different} different; {} runs once more, slowly", both.slow);
    if different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
