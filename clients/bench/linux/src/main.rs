//! The measurements on Linux: two processes, as there are two components.
//!
//! Usage: `strait-bench-linux [ROUNDS [WORDS OF A NAME]]`. As the first program of a system it
//! makes what it needs there, and turns the machine off at the end.

use std::{env, io, process::Command};

use strait_bench::Measure;
use strait_conformance_linux::{Linux, files, machine, namespace};

fn main() -> io::Result<()> {
    let first = machine::is_first_process();
    if first {
        machine::prepare()?;
    }
    let arguments: Vec<String> = env::args().collect();
    if arguments.get(1).is_some_and(|a| a == "partner") {
        return strait_bench::partner(&Linux::new()).map_err(|e| io::Error::other(e.name()));
    }
    // Ports of its own.
    namespace::enter_empty()?;
    // A kernel hands on words of its command line that it does not know: before ours.
    let at = arguments.iter().position(|word| word.parse::<usize>().is_ok());
    let own = at.map_or(&[][..], |at| &arguments[at..]);
    let rounds = own.first().and_then(|word| word.parse().ok()).unwrap_or(2000);
    let only = &own.get(1..).unwrap_or_default().join(" ");
    let mut partner = Command::new(env::current_exe()?).arg("partner").spawn()?;
    Measure { world: &Linux::new(), rounds, only, pages: &|| None, say: &|line| println!("{line}") }.run();
    partner.wait()?;
    files::clean_up();
    if first {
        machine::turn_off();
    }
    Ok(())
}
