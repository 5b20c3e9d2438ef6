//! The conformance suite against Linux: the oracle.
//!
//! It moves itself into a network namespace of its own, with `lo`, and `eth0`
//! as the system of the other worlds has it (10.0.2.15/24).
//!
//! Usage: `strait-conformance-linux [PART OF A NAME]`; `--count [PART]` tells how
//! many cases there are, `--differences` prints `docs/differences.md`.

use std::process::ExitCode;

use strait_conformance::{Tally, Who};
use strait_conformance_linux::{Linux, files, namespace};

fn main() -> ExitCode {
    let only = std::env::args().nth(1).unwrap_or_default();
    match &only[..] {
        "--differences" => {
            print!("{}", strait_conformance::differences());
            return ExitCode::SUCCESS;
        }
        "--count" => {
            println!("{}", strait_conformance::count(&std::env::args().nth(2).unwrap_or_default()));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    if let Err(e) = namespace::enter() {
        eprintln!("no network namespace: {e}");
        return ExitCode::FAILURE;
    }
    let mut tally = Tally::default();
    for who in [Who::Root, Who::User] {
        if who == Who::User
            && let Err(e) = namespace::drop_privileges()
        {
            eprintln!("cannot become a user: {e}");
            return ExitCode::FAILURE;
        }
        tally = tally + strait_conformance::run(&Linux::new(), who, &only, &mut |line| println!("{line}"));
    }
    println!("{tally}");
    files::clean_up();
    if tally.failed == 0 && tally.passed != 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_of_differences_is_up_to_date() {
        let text = include_str!("../../../../docs/differences.md");
        assert!(text == strait_conformance::differences(), "run `make conformance-docs`");
    }

    #[test]
    fn names_of_cases_are_unique() {
        let mut names: Vec<_> = strait_conformance::cases::ALL
            .iter()
            .chain(strait_conformance::cases::USER)
            .flat_map(|(_, cases)| *cases)
            .flat_map(|case| case.on.iter().map(move |on| (case.checks, case.name, on.name)))
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
