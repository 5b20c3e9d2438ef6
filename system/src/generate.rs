//! Derives the configuration of each PD.

use std::fs;
use std::path::{Path, PathBuf};

use strait_pd::{ChannelConfig, ChildConfig, Config, RegionConfig};

use crate::model::{Pd, System};
use crate::programs::{SERVICES, program};
use crate::{Problem, Settings};

const PAGE: u64 = 0x1000;
/// User and group of the first client, if nothing else is set.
const FIRST_ID: u32 = 1000;

impl System {
    /// Whether `pd` has a session with a server.
    pub fn is_client(&self, pd: &Pd) -> bool {
        SERVICES.iter().any(|service| self.region(&format!("{}_{}", pd.name, service.suffix)).is_some())
    }

    /// Looks for the files that regions are filled from in the folders
    /// `search`, and completes the sizes of these regions. The configurations
    /// themselves are left out: they are written later.
    pub fn resolve_prefill(&mut self, search: &[PathBuf]) -> Result<(), Vec<Problem>> {
        let own: Vec<String> = self.pds.iter().map(|pd| format!("config/{}.bin", pd.name)).collect();
        let mut problems = Vec::new();
        for region in &mut self.regions {
            let Some(path) = region.prefill_path.as_ref().filter(|path| !own.contains(path)) else { continue };
            let found = search.iter().find_map(|folder| fs::metadata(folder.join(path)).ok());
            match found.filter(|m| m.is_file()) {
                Some(file) => {
                    region.prefill = file.len();
                    if region.size == 0 {
                        region.size = file.len().next_multiple_of(region.page_size.unwrap_or(PAGE).max(1));
                    }
                }
                None => {
                    let folders: Vec<_> = search.iter().map(|s| s.display().to_string()).collect();
                    let text = format!(
                        "`{}` is filled from {path}, which is not in {}; build it first (`make image` does)",
                        region.name,
                        folders.join(", ")
                    );
                    problems.push(Problem::new(&self.file, region.line, text));
                }
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// The configuration of `pd`. It lists every region mapped into it but the
/// one that holds the configuration.
pub fn config(system: &System, settings: &Settings, pd: &Pd) -> Config {
    let own = format!("{}_config", pd.name);
    let regions = pd.maps.iter().filter(|map| map.region != own).filter_map(|map| {
        let region = system.region(&map.region)?;
        Some(RegionConfig {
            name: region.name.clone(),
            vaddr: map.vaddr,
            size: region.size,
            prefill: region.prefill,
            writable: map.perms.write,
        })
    });
    let channels = system.ends(&pd.name).map(|(mine, other)| ChannelConfig {
        peer: other.pd.clone(),
        id: mine.id,
        can_call: mine.can_call,
    });
    let set = settings.pd(&pd.name).map(|table| &table.entries[..]).unwrap_or_default();
    let set = set.iter().map(|s| (s.key.clone(), s.value.clone()));
    let clients = SERVICES.iter().any(|s| s.server == pd.name).then(|| clients(system, settings, &pd.name));
    Config {
        name: pd.name.clone(),
        regions: regions.collect(),
        channels: channels.collect(),
        irqs: pd.irqs.iter().map(|irq| (irq_name(pd, irq), irq.id)).collect(),
        children: system.children(&pd.name).map(|(child, id)| ChildConfig { name: child.name.clone(), id }).collect(),
        settings: set.chain(clients.unwrap_or_default()).collect(),
    }
}

/// What `server` must know of every client: `identity.<client>` is `uid:gid`,
/// its user and group; `parent.<client>` is the PD that may say that it has
/// ended, if there is one.
fn clients(system: &System, settings: &Settings, server: &str) -> Vec<(String, String)> {
    let mut told = Vec::new();
    for (i, pd) in system.pds.iter().filter(|pd| system.is_client(pd)).enumerate() {
        let set = |key| settings.pd(&pd.name).and_then(|table| Some(table.get(key)?.value.clone()));
        let default = (FIRST_ID + i as u32).to_string();
        let uid = set("identity.uid").unwrap_or_else(|| default.clone());
        let gid = set("identity.gid").unwrap_or(default);
        told.push((format!("identity.{}", pd.name), format!("{uid}:{gid}")));
        if let Some(parent) = &pd.parent
            && system.end_between(&parent.pd, server).is_some_and(|(mine, _)| mine.can_call)
        {
            told.push((format!("parent.{}", pd.name), parent.pd.clone()));
        }
    }
    told
}

/// An interrupt is called by its `setvar_id`, if it has one, or as the PD's
/// program calls its only interrupt, or by its number.
fn irq_name(pd: &Pd, irq: &crate::model::Irq) -> String {
    let known = || program(pd.program()).and_then(|p| p.irq.as_ref()).map(|i| i.name.to_string());
    irq.setvar_id.clone().or_else(known).unwrap_or_else(|| format!("irq{}", irq.number))
}

/// Writes the configuration of each PD to `<out>/<pd>.bin`. A file that would
/// not change is left alone, so that nothing is rebuilt for it.
pub fn write(system: &System, settings: &Settings, out: &Path) -> Result<(), Vec<Problem>> {
    let failed = |path: &Path, e: &dyn std::fmt::Display| {
        vec![Problem::new(&path.display().to_string(), 0, format!("cannot write it: {e}"))]
    };
    fs::create_dir_all(out).map_err(|e| failed(out, &e))?;
    for pd in &system.pds {
        let path = out.join(format!("{}.bin", pd.name));
        let bytes = config(system, settings, pd).encode().map_err(|e| failed(&path, &e))?;
        if let Some(region) = system.region(&format!("{}_config", pd.name)).filter(|r| r.size < bytes.len() as u64) {
            let up = (bytes.len() as u64).next_multiple_of(PAGE);
            let text = format!(
                "the configuration of PD `{}` has {} bytes; make the size of `{}` {up:#x}",
                pd.name,
                bytes.len(),
                region.name
            );
            return Err(vec![Problem::new(&system.file, region.line, text)]);
        }
        if fs::read(&path).ok().as_deref() != Some(&bytes[..]) {
            fs::write(&path, bytes).map_err(|e| failed(&path, &e))?;
        }
    }
    Ok(())
}
