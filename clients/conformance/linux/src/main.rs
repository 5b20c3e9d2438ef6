//! The conformance suite against Linux: the oracle.
//!
//! It moves itself into a network namespace of its own, with `lo`, and `eth0`
//! as the system of the other worlds has it (10.0.2.15/24).
//!
//! Usage: `strait-conformance-linux [PART OF A NAME]`, or `--differences` to
//! print `docs/differences.md`.

mod calls;
mod files;
mod messages;
mod names;
mod namespace;
mod waiting;

use std::process::ExitCode;

use calls::Linux;

fn main() -> ExitCode {
    let only = std::env::args().nth(1).unwrap_or_default();
    if only == "--differences" {
        print!("{}", strait_conformance::differences());
        return ExitCode::SUCCESS;
    }
    if let Err(e) = namespace::enter() {
        eprintln!("no network namespace: {e}");
        return ExitCode::FAILURE;
    }
    let tally = strait_conformance::run(&Linux::new(), &only, &mut |line| println!("{line}"));
    files::clean_up();
    if tally.failed == 0 && tally.passed != 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
