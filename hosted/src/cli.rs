//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use lexopt::prelude::*;

use crate::net;
use crate::net::NetworkOptions;
use crate::process::{self, Program};
use crate::supervisor::{self, Options};
use crate::topology::Folders;

const USAGE: &str = "\
strait-hosted run [options]         run the system as Linux processes
strait-hosted exec [--json FILE] -- COMMAND...
                                    run a command in the network of a run

  --system FILE     the system description        [microkit.system]
  --build DIR       where prefill files are       [build]
  --config DIR      the PDs' configurations       [<build>/config]
  --disk FILE       the disk                      [<build>/disk.img]
  --json FILE       what runs, for tools          [<build>/hosted.json]
  --http-port N     127.0.0.1:N to port 80, TCP   [8080; 0: not at all]
  --echo-port N     127.0.0.1:N to port 7, TCP and UDP   [7007; 0: not at all]
  --forward N[:M]   127.0.0.1:N to port M, TCP and UDP; may be repeated
  --no-net-setup    stay in this network namespace, use the device of --tap;
                    no addresses, no DHCP server; ports only if given
  --tap NAME        name of the network device    [strait0]

A run makes its own network namespace with a TAP device, 10.0.2.2/24 (also
10.0.2.3); the system gets 10.0.2.15 by DHCP. It ends with SIGINT or SIGTERM,
or when a PD
ends that is nested in no other.
";

enum Order {
    Run(Options),
    Exec(PathBuf, Vec<OsString>),
    Pd(String),
    Help,
}

/// The program: runs what the command line says, with these programs for the
/// PDs.
pub fn main(programs: &[Program]) -> ExitCode {
    let done = parse(lexopt::Parser::from_env()).and_then(|order| match order {
        Order::Run(options) => supervisor::run(programs, &options),
        Order::Exec(json, command) => net::exec(&json, &command),
        Order::Pd(manifest) => process::run(programs, &manifest),
        Order::Help => {
            print!("{USAGE}");
            Ok(())
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("strait-hosted: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut args: lexopt::Parser) -> Result<Order> {
    let command = match args.next()? {
        Some(Value(command)) => command.string()?,
        Some(Short('h') | Long("help")) => return Ok(Order::Help),
        Some(other) => return Err(other.unexpected().into()),
        None => bail!("no command\n{USAGE}"),
    };
    match command.as_str() {
        "run" => parse_run(args),
        "exec" => parse_exec(args),
        "pd" => {
            args.value()?;
            Ok(Order::Pd(args.value()?.string()?))
        }
        other => bail!("unknown command `{other}`\n{USAGE}"),
    }
}

fn parse_run(mut args: lexopt::Parser) -> Result<Order> {
    let (mut system, mut build, mut config, mut json) =
        (PathBuf::from("microkit.system"), PathBuf::from("build"), None, None);
    let (mut http_port, mut echo_port, mut setup, mut tap) = (None, None, true, None);
    let (mut more, mut disk) = (Vec::new(), None);
    while let Some(arg) = args.next()? {
        match arg {
            Long("system") => system = args.value()?.into(),
            Long("build") => build = args.value()?.into(),
            Long("config") => config = Some(args.value()?.into()),
            Long("disk") => disk = Some(args.value()?.into()),
            Long("json") => json = Some(args.value()?.into()),
            Long("http-port") => http_port = Some(args.value()?.parse()?),
            Long("echo-port") => echo_port = Some(args.value()?.parse()?),
            Long("forward") => more.push(ports(&args.value()?.string()?)?),
            Long("no-net-setup") => setup = false,
            Long("tap") => tap = Some(args.value()?.string()?),
            Short('h') | Long("help") => return Ok(Order::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    if !setup && tap.is_none() {
        bail!("--no-net-setup needs --tap NAME, an existing TAP device");
    }
    let forward = |port: Option<u16>, usual| port.unwrap_or(if setup { usual } else { 0 });
    Ok(Order::Run(Options {
        system,
        disk: disk.unwrap_or_else(|| build.join("disk.img")),
        json: json.unwrap_or_else(|| build.join("hosted.json")),
        folders: Folders { config: config.unwrap_or_else(|| build.join("config")), build },
        network: NetworkOptions {
            setup,
            tap: tap.unwrap_or_else(|| "strait0".into()),
            http_port: forward(http_port, 8080),
            echo_port: forward(echo_port, 7007),
            more,
        },
    }))
}

/// `N` or `N:M`.
fn ports(text: &str) -> Result<(u16, u16)> {
    let (here, there) = text.split_once(':').unwrap_or((text, text));
    match (here.parse(), there.parse()) {
        (Ok(here), Ok(there)) if here != 0 && there != 0 => Ok((here, there)),
        _ => bail!("--forward {text}: write N or N:M, two ports"),
    }
}

fn parse_exec(mut args: lexopt::Parser) -> Result<Order> {
    let mut json = PathBuf::from("build/hosted.json");
    let mut command: Vec<OsString> = Vec::new();
    while let Some(arg) = args.next()? {
        match arg {
            Long("json") => json = args.value()?.into(),
            Value(first) => {
                command.push(first);
                command.extend(args.raw_args().context("impossible arguments")?);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if command.is_empty() {
        bail!("exec needs a command");
    }
    Ok(Order::Exec(json, command))
}
