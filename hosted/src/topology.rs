//! From the system description to the manifests of the PDs.

use std::fs::{self, File};
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use strait_pd::Config;
use strait_system::model::{Pd, Region};
use strait_system::{Problem, Settings, System};

use crate::control::MAX_PDS;
use crate::manifest::{ChannelEnd, Manifest, Mapping};
use crate::memory;
use crate::process::Program;

/// First descriptor that a PD gets; the rest follow.
pub const FIRST_FD: RawFd = 3;

/// Where files are found.
pub struct Folders {
    /// Search path of prefill files.
    pub build: PathBuf,
    /// The configurations, instead of `config/` in the search path.
    pub config: PathBuf,
}

impl Folders {
    fn find(&self, path: &str) -> PathBuf {
        match path.strip_prefix("config/") {
            Some(file) => self.config.join(file),
            None => self.build.join(path),
        }
    }
}

fn explain(problems: Vec<Problem>) -> anyhow::Error {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("{}", lines.join("\n"))
}

/// Reads the system description and compares the configurations with it.
pub fn load(file: &Path, folders: &Folders) -> Result<System> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut system = System::parse(&text, &file.display().to_string()).map_err(explain)?;
    system.resolve_prefill(std::slice::from_ref(&folders.build)).map_err(explain)?;
    if system.pds.len() > MAX_PDS {
        bail!("{}: {} PDs; {MAX_PDS} is the limit", file.display(), system.pds.len());
    }
    for pd in &system.pds {
        let path = folders.config.join(format!("{}.bin", pd.name));
        let bytes = fs::read(&path).with_context(|| {
            format!("no configuration for PD `{}` in {}; run `make config`", pd.name, path.display())
        })?;
        let found = Config::decode(&bytes).with_context(|| path.display().to_string())?;
        let expected = strait_system::config(&system, &Settings::default(), pd);
        let same = |c: &Config| Config { settings: Vec::new(), ..c.clone() };
        if same(&found) != same(&expected) {
            bail!("{} is older than {}; run `make config`", path.display(), file.display());
        }
    }
    Ok(system)
}

/// The program that `pd` runs.
pub fn program_of<'a>(programs: &'a [Program], system: &System, pd: &Pd) -> Result<&'a Program> {
    programs.iter().find(|p| p.name == pd.program()).with_context(|| {
        format!(
            "{}:{}: PD `{}` runs `{}`, which this binary does not have; add it to its table of programs",
            system.file,
            pd.line,
            pd.name,
            pd.program()
        )
    })
}

/// Whether the region is memory; the registers of a device exist on seL4 only.
fn is_memory(region: &Region) -> bool {
    region.phys_addr.is_none()
}

/// Creates the memory of all regions, in the order of the description; `None`
/// for device registers.
pub fn create_regions(system: &System, folders: &Folders) -> Result<Vec<Option<OwnedFd>>> {
    let create = |region: &Region| {
        if !is_memory(region) {
            return Ok(None);
        }
        let mut file = match &region.prefill_path {
            None => None,
            Some(path) => {
                let path = folders.find(path);
                Some(File::open(&path).with_context(|| format!("cannot read {}; run `make`", path.display()))?)
            }
        };
        memory::create(&region.name, region.size, file.as_mut()).map(Some)
    };
    system.regions.iter().map(create).collect()
}

/// The manifest of PD number `index`, and for each region in it the number of
/// the region in the description. Descriptors are numbered from [`FIRST_FD`]:
/// the control region, then the regions, then the network device, then the
/// disk.
pub fn manifest(system: &System, index: usize, program: &Program, supervisor: i32) -> (Manifest, Vec<usize>) {
    let pd = &system.pds[index];
    let mut sources = Vec::new();
    let mut regions = Vec::new();
    for map in &pd.maps {
        let found = system.regions.iter().position(|r| r.name == map.region);
        let Some(at) = found.filter(|at| is_memory(&system.regions[*at])) else { continue };
        regions.push(Mapping {
            name: map.region.clone(),
            fd: FIRST_FD + 1 + sources.len() as RawFd,
            vaddr: map.vaddr,
            size: system.regions[at].size,
            writable: map.perms.write || program.writable.contains(&map.region.as_str()),
        });
        sources.push(at);
    }
    let channels = system.ends(&pd.name).filter_map(|(mine, other)| {
        Some(ChannelEnd {
            id: mine.id,
            peer: system.pds.iter().position(|p| p.name == other.pd)?,
            peer_id: other.id,
            can_call: mine.can_call,
            can_notify: mine.can_notify,
            peer_can_call: other.can_call,
        })
    });
    let number = |pd: &Pd| system.pds.iter().position(|p| p.name == pd.name);
    let children = system.children(&pd.name).filter_map(|(child, id)| Some((id, number(child)?)));
    let manifest = Manifest {
        name: pd.name.clone(),
        program: program.name.into(),
        index,
        supervisor,
        control: FIRST_FD,
        channels: channels.collect(),
        children: children.collect(),
        tap: program.tap.then_some(FIRST_FD + 1 + regions.len() as RawFd),
        disk: program.disk.then_some(FIRST_FD + 1 + regions.len() as RawFd + RawFd::from(program.tap)),
        regions,
    };
    (manifest, sources)
}
