//! Compares the description with what the code expects, before anything is
//! built or booted. Every rule names the line at fault and what to do.

mod expected;
mod heap;
mod policy;
mod settings;
mod sharing;
mod structure;

use crate::{Problem, Settings, System};

/// All that is wrong, in the order of the lines; nothing if all is well.
pub fn check(system: &System, settings: &Settings) -> Vec<Problem> {
    let mut report = Report { system, problems: Vec::new() };
    structure::check(system, &mut report);
    sharing::check(system, &mut report);
    expected::check(system, &mut report);
    heap::check(system, settings, &mut report);
    let mut problems = report.problems;
    settings::check(system, settings, &mut problems);
    policy::check(system, settings, &mut problems);
    problems.sort();
    problems.dedup();
    problems
}

/// Gathers problems of the system description.
struct Report<'a> {
    system: &'a System,
    problems: Vec<Problem>,
}

impl Report<'_> {
    fn at(&mut self, line: u32, text: impl Into<String>) {
        self.problems.push(Problem::new(&self.system.file, line, text));
    }
}
