//! The process of one PD, from its manifest to its component.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Display;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::{panic, process};

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use strait_pd::{Channel, Component, Config, Environment};

use crate::control::{CONTROL_BYTES, Epitaph};
use crate::fault;
use crate::heap;
use crate::interrupt::Interrupt;
use crate::manifest::Manifest;
use crate::memory;
use crate::world::World;

/// What the name of a `program_image` stands for in this world.
#[derive(Clone, Copy)]
pub struct Program {
    /// The name of the image file without folder and extension.
    pub name: &'static str,
    /// Runs the PD.
    pub run: fn(Start) -> !,
    /// Whether it drives the network device.
    pub tap: bool,
    /// Whether it drives the disk.
    pub disk: bool,
    /// Regions that it may write to in this world, whatever the description
    /// says: here the driver itself does what a device does by DMA.
    pub writable: &'static [&'static str],
}

impl Program {
    /// A program without a device.
    pub const fn new(name: &'static str, run: fn(Start) -> !) -> Self {
        Self { name, run, tap: false, disk: false, writable: &[] }
    }
}

/// All that a PD has at its start.
pub struct Start {
    /// What components know.
    pub env: Environment,
    /// The network device, if the program asks for it.
    pub tap: Option<OwnedFd>,
    /// The file that is the disk, if the program asks for it.
    pub disk: Option<OwnedFd>,
    world: &'static World,
}

impl Start {
    /// Runs the server that `make` returns.
    pub fn serve<C: Component, E: Display>(self, make: impl FnOnce(Environment) -> Result<C, E>) -> ! {
        let world = self.world;
        match make(self.env) {
            Ok(mut component) => world.serve(&mut component),
            Err(e) => panic!("cannot start: {e}"),
        }
    }

    /// Runs a server that was made already.
    pub fn serve_component(self, component: &mut impl Component) -> ! {
        self.world.serve(component)
    }

    /// Makes `source` raise the interrupt `channel`; disabled at first.
    pub fn interrupt(&self, channel: Channel, source: Arc<OwnedFd>) -> Result<Arc<Interrupt>> {
        let interrupt = Interrupt::new(source, self.world.door(), 1 << channel.index())?;
        self.world.connect_interrupt(channel, interrupt.clone());
        Ok(interrupt)
    }

    /// Makes `source` raise the interrupt `channel` too. The device itself
    /// acknowledges that.
    pub fn further_interrupt(&self, channel: Channel, source: Arc<OwnedFd>) -> Result<Arc<Interrupt>> {
        Interrupt::new(source, self.world.door(), 1 << channel.index())
    }
}

/// Runs the PD. Returns only if it cannot be started.
pub fn run(programs: &[Program], manifest: &str) -> Result<()> {
    let manifest: Manifest = serde_json::from_str(manifest).context("the manifest makes no sense")?;
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot tie the process to the supervisor")?;
    if getppid().map(|p| p.as_raw_nonzero().get()) != Some(manifest.supervisor) {
        bail!("the supervisor is gone");
    }
    report_panics(manifest.name.clone());
    let program = programs.iter().find(|p| p.name == manifest.program);
    let program = program.with_context(|| format!("no program `{}`", manifest.program))?;
    let start = prepare(&manifest).with_context(|| format!("PD `{}`", manifest.name))?;
    (program.run)(start)
}

fn prepare(manifest: &Manifest) -> Result<Start> {
    let control = memory::map_anywhere(memory::inherit(manifest.control)?, CONTROL_BYTES)?;
    fault::write_down(Epitaph::new(control, manifest.index).context("impossible PD number in the manifest")?)?;
    let mut config = None;
    for region in &manifest.regions {
        let fd = memory::inherit(region.fd)?;
        let mapped = memory::map_at(fd, region.vaddr, region.size, region.writable)
            .with_context(|| format!("region `{}`", region.name))?;
        if region.name.strip_suffix("_config") == Some(&manifest.name) {
            let mut bytes = vec![0; mapped.len()];
            mapped.read(0, &mut bytes).context("cannot read the configuration")?;
            config = Some(Config::decode(&bytes)?);
        }
        if region.name.strip_suffix("_heap") == Some(&manifest.name) {
            heap::limit(region.size);
        }
    }
    let Some(mut config) = config else {
        bail!("map the region `{}_config` into it", manifest.name);
    };
    for region in &mut config.regions {
        match manifest.regions.iter().find(|m| m.name == region.name) {
            Some(m) if (m.vaddr, m.size) == (region.vaddr, region.size) => region.writable = m.writable,
            // A device's registers: there are none here.
            _ => region.vaddr = 0,
        }
    }
    let world = Box::leak(Box::new(World::new(control, manifest)?));
    // SAFETY: each region whose address is not zero was mapped above, at that
    // address, with that size and with the rights that the configuration now
    // states; nothing unmaps it and nothing else in this process uses it: the
    // only other value that reached it, `mapped`, is gone.
    let env = unsafe { Environment::new(world, config) };
    let tap = manifest.tap.map(memory::inherit).transpose()?;
    let disk = manifest.disk.map(memory::inherit).transpose()?;
    Ok(Start { env, tap, disk, world })
}

/// A panic anywhere in the process ends it and says which PD it was; with a
/// trace if RUST_BACKTRACE=1.
fn report_panics(name: String) {
    panic::set_hook(Box::new(move |info| {
        // The report is ours, its memory is not the PD's.
        heap::limit(u64::MAX);
        eprintln!("PD `{name}`: {info}");
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            eprintln!("{trace}");
        }
        process::exit(101);
    }));
}
