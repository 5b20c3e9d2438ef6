//! The two components on Strait.
//!
//! Settings: `rounds`, how many round trips a figure takes, 2,000 if not given;
//! `only`, part of the names of what is measured.

use core::{convert::Infallible, time::Duration};

use strait_libsock::Process;
use strait_pd::Environment;

use crate::Measure;

const ROUNDS: usize = 2000;

/// Measures; the lines go to the log.
pub fn main(env: Environment) -> ! {
    Process::run(&env, |process, log| {
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
        Ok::<_, Infallible>(())
    })
}

/// Answers.
pub fn main_partner(env: Environment) -> ! {
    Process::run(&env, |process, _| crate::partner(process))
}
