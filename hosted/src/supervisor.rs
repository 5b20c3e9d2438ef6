//! `strait-hosted run`: starts a process for each PD and ends them together.
//!
//! The end of a PD that is nested in another is told to that one, as a fault is
//! on seL4. The end of any other ends the run, with a message: a server that is
//! gone would leave its callers waiting.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use command_fds::{CommandFdExt, FdMapping};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use strait_system::System;

use crate::control::{CONTROL_BYTES, Doorway, Epitaph};
use crate::fault;
use crate::memory;
use crate::net::{Network, NetworkOptions};
use crate::process::Program;
use crate::topology::{self, FIRST_FD, Folders};

/// What `run` is told.
pub struct Options {
    /// The system description.
    pub system: PathBuf,
    /// Where its files are.
    pub folders: Folders,
    /// Where to write what the run is, see [`Running`].
    pub json: PathBuf,
    /// The network.
    pub network: NetworkOptions,
    /// The file that is the disk, if the system has one.
    pub disk: PathBuf,
}

/// A run, as tests and tools find it in `hosted.json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Running {
    /// Process id of the supervisor; it is in the network namespace.
    pub pid: u32,
    /// The network device, if the system has one.
    pub tap: Option<String>,
    /// The address that the DHCP server gives out.
    pub guest: String,
    /// The forwarded ports, 0 for none.
    pub http_port: u16,
    /// The same, TCP and UDP.
    pub echo_port: u16,
    /// Process ids of the PDs.
    pub pds: BTreeMap<String, u32>,
}

/// The process of a PD.
struct Member {
    name: String,
    child: Child,
    /// Its number at the PD that it is nested in, and how to tell that one.
    parent: Option<(u8, Doorway)>,
    epitaph: Epitaph,
    ended: bool,
}

/// The processes of the PDs. Dropping it ends them.
struct Family(Vec<Member>);

impl Drop for Family {
    fn drop(&mut self) {
        for member in &mut self.0 {
            let _ = member.child.kill();
        }
        for member in &mut self.0 {
            let _ = member.child.wait();
        }
    }
}

impl Family {
    /// Looks who has ended.
    fn look(&mut self) -> Result<()> {
        for member in self.0.iter_mut().filter(|m| !m.ended) {
            let Some(status) = member.child.try_wait()? else { continue };
            let (name, how) = (&member.name, how(status));
            let Some((id, parent)) = &member.parent else { bail!("PD `{name}` {how}; the run is over") };
            eprintln!("PD `{name}` {how}");
            member.ended = true;
            member.epitaph.write(&fault::of_status(status));
            parent.tell_end(*id);
        }
        Ok(())
    }
}

/// Removes the file when the run is over.
struct Announcement(PathBuf);

impl Announcement {
    fn publish(path: &Path, running: &Running) -> Result<Self> {
        let partial = path.with_extension("tmp");
        let text = serde_json::to_string_pretty(running)?;
        fs::write(&partial, text + "\n")
            .and_then(|()| fs::rename(&partial, path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(path.into()))
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs the system until a signal ends it (`Ok`), or a PD does that is nested in
/// no other (`Err`).
pub fn run(programs: &[Program], options: &Options) -> Result<()> {
    let system = topology::load(&options.system, &options.folders)?;
    let chosen: Vec<&Program> =
        system.pds.iter().map(|pd| topology::program_of(programs, &system, pd)).collect::<Result<_>>()?;
    let regions = topology::create_regions(&system, &options.folders)?;
    let with_disk = chosen.iter().any(|p| p.disk);
    let disk = if with_disk { Some(open_disk(&options.disk)?) } else { None };
    let control = memory::create("control", CONTROL_BYTES as u64, None)?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGCHLD]).context("cannot catch signals")?;
    // Last before the children: from here on this process may be in another
    // network namespace and have threads.
    let with_network = chosen.iter().any(|p| p.tap);
    let network = if with_network { Some(Network::start(&options.network)?) } else { None };
    let tap = network.as_ref().map(Network::tap);

    let memory = memory::map_anywhere(&control, CONTROL_BYTES)?;
    let mut family = Family(Vec::new());
    for (index, program) in chosen.iter().enumerate() {
        let pd = &system.pds[index];
        let place = |name: &str| system.pds.iter().position(|p| p.name == name);
        let parent = pd.parent.as_ref().and_then(|p| Some((p.id, Doorway::new(memory, place(&p.pd)?)?)));
        let epitaph = Epitaph::new(memory, index).context("too many PDs")?;
        let child = launch(&system, index, program, &control, &regions, tap, disk.as_ref())
            .with_context(|| format!("cannot start PD `{}`", pd.name))?;
        family.0.push(Member { name: pd.name.clone(), child, parent, epitaph, ended: false });
    }
    let _announcement = Announcement::publish(
        &options.json,
        &Running {
            pid: std::process::id(),
            tap: network.as_ref().map(|n| n.name().into()),
            guest: crate::net::GUEST.to_string(),
            http_port: options.network.http_port,
            echo_port: options.network.echo_port,
            pds: family.0.iter().map(|m| (m.name.clone(), m.child.id())).collect(),
        },
    )?;
    for signal in signals.forever() {
        if signal != SIGCHLD {
            return Ok(());
        }
        family.look()?;
    }
    Ok(())
}

/// The disk is this run's alone: two systems that write it would destroy what
/// is on it.
fn open_disk(path: &Path) -> Result<OwnedFd> {
    let file = fs::OpenOptions::new().read(true).write(true).open(path);
    let file = file.with_context(|| format!("cannot open the disk {}; run `make disk`", path.display()))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .with_context(|| format!("the disk {} is in use by another run", path.display()))?;
    Ok(file.into())
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(101), _) => "panicked".into(),
        (Some(code), _) => format!("ended with code {code}"),
        (_, Some(libc::SIGSEGV)) => "was ended by a memory fault (SIGSEGV)".into(),
        (_, Some(signal)) => format!("was ended by signal {signal}"),
        _ => "ended".into(),
    }
}

fn launch(
    system: &System,
    index: usize,
    program: &Program,
    control: &OwnedFd,
    regions: &[Option<OwnedFd>],
    tap: Option<&OwnedFd>,
    disk: Option<&OwnedFd>,
) -> Result<Child> {
    let (manifest, sources) = topology::manifest(system, index, program, std::process::id().try_into()?);
    let mut passed = vec![control];
    passed.extend(sources.iter().filter_map(|at| regions[*at].as_ref()));
    passed.extend(tap.filter(|_| program.tap));
    passed.extend(disk.filter(|_| program.disk));
    let mut mappings = Vec::new();
    for (fd, child_fd) in passed.into_iter().zip(FIRST_FD..) {
        mappings.push(FdMapping { parent_fd: fd.as_fd().try_clone_to_owned()?, child_fd });
    }
    let mut command = Command::new(std::env::current_exe().context("cannot find this program's own file")?);
    command
        // For `ps`: the name comes first.
        .args(["pd", &manifest.name, &serde_json::to_string(&manifest)?])
        .stdin(Stdio::null())
        // A Ctrl-C is for the supervisor, which then ends the children.
        .process_group(0)
        .fd_mappings(mappings)
        .context("two descriptors with one number")?;
    Ok(command.spawn()?)
}
