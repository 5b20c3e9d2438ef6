//! `strait-system`: see [`USAGE`].

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::*;
use strait_system::{Problem, check, load, write};

const USAGE: &str = "\
Usage: strait-system check    [options]
       strait-system generate [options] --out FOLDER

check     compares the system description with what the code expects
generate  checks, then writes FOLDER/<pd>.bin, the configuration of each PD

  --system FILE       the system description (default: microkit.system)
  --config FILE       the settings (default: strait.toml)
  --search FOLDER     where the prefill files are; may be repeated
  --set PD.KEY=VALUE  takes the place of a setting; an empty value removes it";

struct Arguments {
    generate: bool,
    system: PathBuf,
    config: PathBuf,
    search: Vec<PathBuf>,
    set: Vec<(String, String, String)>,
    out: PathBuf,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(e) => {
            eprintln!("strait-system: {e}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => {
            for problem in &problems {
                eprintln!("{problem}");
            }
            let count = problems.len();
            eprintln!("{count} problem{}: nothing was built", if count == 1 { "" } else { "s" });
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Result<Option<Arguments>, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let mut command = None;
    let mut out = None;
    let mut a = Arguments {
        generate: false,
        system: "microkit.system".into(),
        config: "strait.toml".into(),
        search: Vec::new(),
        set: Vec::new(),
        out: PathBuf::new(),
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("system") => a.system = parser.value()?.into(),
            Long("config") => a.config = parser.value()?.into(),
            Long("search") => a.search.push(parser.value()?.into()),
            Long("out") => out = Some(PathBuf::from(parser.value()?)),
            Long("set") => a.set.push(assignment(&parser.value()?.string()?)?),
            Long("help") | Short('h') => return Ok(None),
            Value(word) if command.is_none() && (word == "check" || word == "generate") => command = Some(word),
            other => return Err(other.unexpected()),
        }
    }
    a.generate = command.ok_or("say `check` or `generate`")? == "generate";
    match (a.generate, out) {
        (true, Some(out)) => a.out = out,
        (true, None) => return Err("`generate` needs --out FOLDER".into()),
        (false, Some(_)) => return Err("`check` writes nothing; leave out --out".into()),
        (false, None) => {}
    }
    Ok(Some(a))
}

fn assignment(text: &str) -> Result<(String, String, String), lexopt::Error> {
    let (name, value) = text.split_once('=').ok_or("--set takes PD.KEY=VALUE")?;
    let (pd, key) = name.split_once('.').ok_or("--set takes PD.KEY=VALUE")?;
    Ok((pd.into(), key.into(), value.into()))
}

fn run(a: &Arguments) -> Result<(), Vec<Problem>> {
    let (system, mut settings) = load(&a.system, &a.config, &a.search)?;
    for (pd, key, value) in &a.set {
        match value.as_str() {
            "" => settings.unset(pd, key),
            value => settings.set(pd, key, value),
        }
    }
    let problems = check(&system, &settings);
    if !problems.is_empty() {
        return Err(problems);
    }
    if a.generate { write(&system, &settings, &a.out) } else { Ok(()) }
}
