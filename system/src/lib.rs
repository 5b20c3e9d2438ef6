//! Reads `microkit.system` and `strait.toml`, checks them against what the
//! code expects, and derives from them the configuration of each protection
//! domain (PD).
//!
//! Numbers of channels, addresses and sizes of regions stand in
//! `microkit.system` alone. The binary `strait-system` is what the build runs;
//! the library serves whatever else needs the description, such as the hosted
//! world.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

mod check;
mod generate;
pub mod model;
mod parse;
mod problem;
pub mod programs;
mod settings;
mod value;

pub use check::check;
pub use generate::{config, write};
pub use model::System;
pub use problem::Problem;
pub use settings::{PdSettings, Setting, Settings};
pub use value::Kind;

/// Reads both files and completes the sizes of prefilled regions from the
/// files in `search`. Does not [`check`]. Without any folder to search, such
/// regions keep the size that the description gives them.
pub fn load(system: &Path, settings: &Path, search: &[PathBuf]) -> Result<(System, Settings), Vec<Problem>> {
    let mut problems = Vec::new();
    let system = read(system).and_then(|(text, name)| System::parse(&text, &name));
    let system = system.map_err(|p| problems.extend(p));
    let settings = read(settings).and_then(|(text, name)| Settings::parse(&text, &name));
    let settings = settings.map_err(|p| problems.extend(p));
    match (system, settings) {
        (Ok(mut system), Ok(settings)) => {
            if !search.is_empty() {
                system.resolve_prefill(search)?;
            }
            Ok((system, settings))
        }
        _ => Err(problems),
    }
}

fn read(path: &Path) -> Result<(String, String), Vec<Problem>> {
    let name = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => Ok((text, name)),
        Err(e) => Err(vec![Problem::new(&name, 0, format!("cannot read it: {e}"))]),
    }
}
