//! The two components on Strait.
//!
//! Settings: `rounds`, how many round trips a figure takes, 2,000 if not given;
//! `only`, part of the names of what is measured.

use core::time::Duration;

use strait_abi::log::Logger;
use strait_libsock::Process;
use strait_pd::Environment;

use crate::Measure;

const ROUNDS: usize = 2000;

fn start(env: Environment, run: impl FnOnce(&Environment, &Process, &Logger)) -> ! {
    let log = Logger::new(&env);
    match Process::new(&env) {
        Ok(process) => run(&env, &process, &log),
        Err(e) => log.line(format_args!("cannot start: {e}")),
    }
    loop {
        env.pd.wait();
    }
}

/// Measures; the lines go to the log.
pub fn main(env: Environment) -> ! {
    start(env, |env, process, log| {
        let rounds = env.config.setting("rounds").and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
        Measure {
            world: process,
            rounds,
            only: env.config.setting("only").unwrap_or(""),
            pages: &|| process.counters().ok().map(|c| c.pages_all),
            say: &|line| {
                log.line(format_args!("{line}"));
                // The console has a lower priority: it must get to its turn.
                let _ = process.sleep(Duration::from_millis(20));
            },
        }
        .run();
    })
}

/// Answers.
pub fn main_partner(env: Environment) -> ! {
    start(env, |_, process, log| {
        if let Err(e) = crate::partner(process) {
            log.line(format_args!("stopped: {e}"));
        }
    })
}
