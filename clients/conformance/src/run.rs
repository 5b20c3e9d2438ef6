//! Running the cases, and telling what came of them.

use alloc::{format, string::String};
use core::fmt::{self, Write};

use crate::{
    case::{Case, Failure, On, Outcome},
    cases::{ALL, USER},
    posix::*,
    test::Test,
};

/// How many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cases that passed.
    pub passed: usize,
    /// Cases that failed.
    pub failed: usize,
}

impl core::ops::Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// The name of a case on a kind of socket.
fn full_name(case: &Case, on: &On) -> String {
    if on.name.is_empty() { case.name.into() } else { format!("{} [{}]", case.name, on.name) }
}

/// Who runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// One who may do anything: root on Linux.
    Root,
    /// One who was granted nothing.
    User,
}

/// The cases of `who` whose name contains `only`, each on its kinds of socket:
/// with a number of its own and its name.
fn selected(who: Who, only: &str) -> impl Iterator<Item = (usize, String, &'static Case, &'static On)> {
    let each = |part: &'static [(&str, &[Case])], who| {
        let cases = part.iter().flat_map(|(_, cases)| *cases);
        cases.flat_map(move |case| case.on.iter().map(move |on| (who, case, on)))
    };
    let all = each(ALL, Who::Root).chain(each(USER, Who::User)).enumerate();
    all.filter(move |(_, (whose, ..))| *whose == who)
        .map(|(number, (_, case, on))| (number, full_name(case, on), case, on))
        .filter(move |(_, name, ..)| name.contains(only))
}

/// How many cases [`run`] runs in all, for both.
pub fn count(only: &str) -> usize {
    [Who::Root, Who::User].into_iter().map(|who| selected(who, only).count()).sum()
}

/// Runs the cases of `who` whose name contains `only`. Says `case NAME` when one
/// begins, and a line of each that fails.
pub fn run(posix: &dyn Posix, who: Who, only: &str, say: &mut dyn FnMut(&str)) -> Tally {
    let mut tally = Tally::default();
    for (number, name, case, on) in selected(who, only) {
        say(&format!("case {name}"));
        match one(posix, case, on, number) {
            Ok(()) => tally.passed += 1,
            Err(failure) => {
                tally.failed += 1;
                say(&format!("FAILED {name} ({}): {failure}", case.checks));
            }
        }
    }
    tally
}

fn one(posix: &dyn Posix, case: &Case, on: &On, number: usize) -> Outcome {
    let test = Test::new(posix, *on, number);
    let (first, sockets) = (lowest(posix)?, posix.open_sockets());
    let outcome = (case.run)(&test);
    let left = lowest(posix);
    if outcome.is_err() || !matches!(left, Ok(fd) if fd == first) {
        // What it left must not hurt the others.
        for fd in first..first + 512 {
            let _ = posix.close(fd);
        }
    }
    outcome?;
    if left? != first {
        return Err(Failure::new("the case leaves a descriptor behind", "none", "one"));
    }
    if test.differed.get() != case.differs.is_some() {
        return Err(Failure::new("by_world() and Case::differs", "both or none", "one"));
    }
    if on.family != AF_UNIX {
        // A connection of TCP may take its time to end.
        return Ok(());
    }
    test.until("the server keeps no socket of the case", || posix.open_sockets() <= sockets)
}

/// The lowest free descriptor.
fn lowest(posix: &dyn Posix) -> Result<Fd, Failure> {
    let fd = posix.socket(AF_INET, SOCK_DGRAM.into(), 0);
    let fd = fd.map_err(|e| Failure::new("socket() between two cases", "success", e.name()))?;
    posix.close(fd).map_err(|e| Failure::new("close() between two cases", "success", e.name()))?;
    Ok(fd)
}

/// The table of what differs from Linux for good: `docs/differences.md`.
pub fn differences() -> String {
    let mut text = String::from(
        "# What differs from Linux\n\n\
         Written by `make conformance-docs` from the cases of `clients/conformance`, each of\n\
         which checks both sides.\n\n\
         | case | says | Strait |\n|---|---|---|\n",
    );
    for case in ALL.iter().chain(USER).flat_map(|(_, cases)| *cases) {
        if let Some(reason) = case.differs {
            // Writing to a string does not fail.
            let _ = writeln!(text, "| {} | {} | {reason} |", case.name, case.checks);
        }
    }
    text
}
