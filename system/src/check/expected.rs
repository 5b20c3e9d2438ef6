//! Holds each PD to what its program expects ([`crate::programs`]).

use super::Report;
use super::sharing::programs_of;
use super::structure::is_device;
use crate::model::{Pd, System};
use crate::programs::{Link, Need, Program, program};

pub fn check(system: &System, report: &mut Report<'_>) {
    for pd in &system.pds {
        if let Some(program) = program(pd.program()) {
            expectations(system, pd, program, report);
        }
        strangers(pd, report);
    }
}

fn expectations(system: &System, pd: &Pd, program: &Program, report: &mut Report<'_>) {
    let name = &pd.name;
    for need in program.regions {
        region(system, pd, need, report);
    }
    for region in program.physical {
        let symbol = format!("{region}_paddr");
        if !pd.setvars.iter().any(|s| s.symbol == symbol && s.region == *region) {
            report.at(pd.line, format!("`{name}` needs the physical address of `{region}`; add <setvar symbol=\"{symbol}\" region_paddr=\"{region}\"/>"));
        }
    }
    if let Some(device) = program.device {
        let mapped = pd.map(device).is_some() && system.region(device).is_some_and(|r| is_device(system, r));
        if !mapped {
            report.at(pd.line, format!("`{name}` drives the device `{device}`; give the memory region `{device}` its phys_addr and map it here, cached=\"false\""));
        }
    }
    match (&program.irq, &pd.irqs[..]) {
        (Some(irq), []) if irq.required => {
            report.at(pd.line, format!("`{name}` needs an interrupt; add <irq irq=\"...\" id=\"...\"/>"))
        }
        (Some(_), [_, second, ..]) => {
            report.at(second.line, format!("`{name}` takes one interrupt only; remove this one"))
        }
        (None, [first, ..]) => report.at(first.line, format!("`{name}` takes no interrupt; remove this one")),
        _ => {}
    }
    for link in program.channels.iter().filter(|l| l.with.is_none_or(|other| system.pd(other).is_some())) {
        channel(system, pd, link, report);
    }
    for service in program.sessions {
        let session = format!("{name}_{}", service.suffix);
        if system.region(&session).is_none() {
            report.at(
                pd.line,
                format!("`{name}` needs a session with {}; add <memory_region name=\"{session}\" size=\"0x200000\"/>, map it perms=\"rw\" in both, and add a channel with pp=\"true\" at the end of `{name}`", service.server),
            );
        }
    }
}

fn region(system: &System, pd: &Pd, need: &Need, report: &mut Report<'_>) {
    let Need { region: name, perms, min, unit, with } = need;
    if with.is_some_and(|other| system.pd(other).is_none()) {
        return;
    }
    let Some(map) = pd.map(name) else {
        report.at(pd.line, format!("PD `{}` must map the region `{name}`, perms=\"{perms}\"", pd.name));
        return;
    };
    if map.perms != *perms {
        report.at(map.line, format!("PD `{}` maps `{name}` {}; write perms=\"{perms}\"", pd.name, map.perms));
    }
    let Some(region) = system.region(name) else { return };
    // Without its file, the size of a prefilled region may not be known yet.
    let known = region.size > 0 || region.prefill_path.is_none();
    if known && region.size < *min {
        let up = min.next_multiple_of(0x1000);
        report.at(region.line, format!("`{name}` has {:#x} bytes; make it {up:#x} or more", region.size));
    } else if !region.size.is_multiple_of(*unit) {
        report.at(region.line, format!("size of `{name}` must be a multiple of {unit:#x}"));
    }
}

fn channel(system: &System, pd: &Pd, link: &Link, report: &mut Report<'_>) {
    let (name, Link { peer, call, .. }) = (&pd.name, link);
    let end = |call: bool| if call { " pp=\"true\"" } else { "" };
    match system.end_between(name, peer) {
        None if system.pd(peer).is_none() => report.at(pd.line, format!("`{name}` needs a PD called `{peer}`; add it, with a channel")),
        None => report.at(
            pd.line,
            format!("`{name}` needs a channel to {peer}; add <channel><end pd=\"{name}\" id=\"...\"{}/><end pd=\"{peer}\" id=\"...\"/></channel>", end(*call)),
        ),
        Some((mine, _)) if *call && !mine.can_call => report.at(mine.line, format!("`{name}` must be able to call {peer}; write pp=\"true\" at this end")),
        Some((mine, other)) => {
            for end in [mine, other].into_iter().filter(|e| !e.can_notify) {
                report.at(end.line, format!("`{}` must be able to signal the other end; remove notify=\"false\"", end.pd));
            }
        }
    }
}

/// A region that belongs to certain programs is mapped by no other.
fn strangers(pd: &Pd, report: &mut Report<'_>) {
    for map in &pd.maps {
        let programs = programs_of(&map.region);
        if !programs.is_empty() && !programs.contains(&pd.program()) {
            report.at(
                map.line,
                format!(
                    "`{}` is for {} alone; remove this map from PD `{}`",
                    map.region,
                    programs.join(" and "),
                    pd.name
                ),
            );
        }
    }
}
