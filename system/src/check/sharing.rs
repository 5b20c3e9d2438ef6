//! Rules for what two PDs share: sessions, logs, and who may see them.

use super::Report;
use super::structure::is_device;
use crate::model::{Map, Pd, Perms, Region, System};
use crate::programs::{
    self, CONFIG_SYMBOL, CONSOLE, LOG_MIN, SERVICES, SESSION_MAX, SESSION_MIN, SUPERVISOR, Service, program,
};

pub fn check(system: &System, report: &mut Report<'_>) {
    for pd in &system.pds {
        config(system, pd, report);
        log(system, pd, report);
    }
    for service in SERVICES {
        for region in &system.regions {
            if let Some(client) = owner(system, region, service.suffix) {
                session(system, service, region, client, report);
            }
        }
        callers(system, service, report);
        parents(system, service, report);
    }
    for region in &system.regions {
        if let Some(pd) = owner(system, region, "log") {
            log_region(system, region, pd, report);
        }
    }
}

/// The name of the PD that a region called `<pd>_<suffix>` belongs to.
fn owner<'a>(system: &System, region: &'a Region, suffix: &str) -> Option<&'a str> {
    let name = region.name.strip_suffix(suffix)?.strip_suffix('_')?;
    (!is_device(system, region)).then_some(name)
}

fn config(system: &System, pd: &Pd, report: &mut Report<'_>) {
    let name = format!("{}_config", pd.name);
    let wanted = format!("config/{}.bin", pd.name);
    let (Some(region), Some(map)) = (system.region(&name), pd.map(&name)) else {
        let region = match system.region(&name) {
            None => {
                format!("<memory_region name=\"{name}\" size=\"0x1000\" prefill_path=\"{wanted}\"/> and, in the PD, ")
            }
            Some(_) => String::new(),
        };
        report.at(
            pd.line,
            format!("PD `{}` does not get its configuration; add {region}<map mr=\"{name}\" vaddr=\"...\" perms=\"r\" setvar_vaddr=\"{CONFIG_SYMBOL}\"/>", pd.name),
        );
        return;
    };
    match &region.prefill_path {
        Some(path) if *path == wanted => {}
        _ => report.at(
            region.line,
            format!("`{name}` must be filled with the PD's configuration; write prefill_path=\"{wanted}\""),
        ),
    }
    if map.setvar_vaddr.as_deref() != Some(CONFIG_SYMBOL) {
        report.at(map.line, format!("the program finds `{name}` by a symbol; write setvar_vaddr=\"{CONFIG_SYMBOL}\""));
    }
    if map.perms != Perms::R {
        report.at(map.line, format!("`{name}` is mapped {}; write perms=\"r\"", map.perms));
    }
    only(system, region, &[&pd.name], report);
}

fn session(system: &System, service: &Service, region: &Region, client: &str, report: &mut Report<'_>) {
    let Service { server, suffix } = service;
    let name = &region.name;
    if system.pd(client).is_none() {
        report.at(region.line, format!("`{name}` would be the session of a PD `{client}` with {server}, but there is no such PD; name it <pd>_{suffix}"));
        return;
    }
    if region.size < SESSION_MIN || region.size > SESSION_MAX {
        report.at(
            region.line,
            format!("session `{name}` has {:#x} bytes; it must have {SESSION_MIN:#x} (64 KiB) to {SESSION_MAX:#x} (256 MiB)", region.size),
        );
    }
    for pd in [client, server] {
        shared(system, region, pd, report);
    }
    only(system, region, &[client, server], report);
    match system.end_between(client, server) {
        Some((mine, _)) if mine.can_call => {}
        Some((mine, _)) => report.at(mine.line, format!("`{client}` must be able to call {server}; write pp=\"true\" at this end")),
        None => report.at(
            region.line,
            format!("session `{name}` has no channel; add <channel><end pd=\"{client}\" id=\"...\" pp=\"true\"/><end pd=\"{server}\" id=\"...\"/></channel>"),
        ),
    }
}

/// The PDs nested in the one called `parent` that have a session.
fn nested_clients<'a>(system: &'a System, service: &Service, parent: &'a str) -> impl Iterator<Item = &'a Pd> {
    let session = move |client: &str| format!("{client}_{}", service.suffix);
    system.children(parent).map(|(child, _)| child).filter(move |child| system.region(&session(&child.name)).is_some())
}

/// Whoever calls a server must have a session with it, or be the parent of one
/// who has.
fn callers(system: &System, service: &Service, report: &mut Report<'_>) {
    for (_, caller) in system.ends(service.server).filter(|(_, other)| other.can_call) {
        let name = format!("{}_{}", caller.pd, service.suffix);
        let parent = nested_clients(system, service, &caller.pd).next().is_some();
        if system.region(&name).is_none() && !parent && system.pd(&caller.pd).is_some() {
            report.at(
                caller.line,
                format!("`{}` calls {} but has no session; add <memory_region name=\"{name}\" size=\"0x200000\"/> and map it perms=\"rw\" in both", caller.pd, service.server),
            );
        }
    }
}

/// A supervisor must be able to tell the server when a client has ended.
fn parents(system: &System, service: &Service, report: &mut Report<'_>) {
    for pd in system.pds.iter().filter(|pd| pd.program() == SUPERVISOR) {
        let Some(client) = nested_clients(system, service, &pd.name).next() else { continue };
        if !system.end_between(&pd.name, service.server).is_some_and(|(mine, _)| mine.can_call) {
            report.at(
                pd.line,
                format!("`{}` must be able to tell {server} of the end of `{}`; add <channel><end pd=\"{0}\" id=\"...\" pp=\"true\"/><end pd=\"{server}\" id=\"...\"/></channel>", pd.name, client.name, server = service.server),
            );
        }
    }
}

fn log(system: &System, pd: &Pd, report: &mut Report<'_>) {
    let name = format!("{}_log", pd.name);
    let silent = program(pd.program()).is_some_and(|p| p.silent);
    if pd.name != CONSOLE && !silent && system.pd(CONSOLE).is_some() && system.region(&name).is_none() {
        report.at(
            pd.line,
            format!("PD `{}` has no log; add <memory_region name=\"{name}\" size=\"0x1000\"/>, map it perms=\"rw\" in it and in {CONSOLE}, and add a channel between them", pd.name),
        );
    }
}

fn log_region(system: &System, region: &Region, pd: &str, report: &mut Report<'_>) {
    if system.pd(pd).is_none() {
        report.at(
            region.line,
            format!("`{}` would be the log of a PD `{pd}`, but there is no such PD; name it <pd>_log", region.name),
        );
        return;
    }
    if region.size < LOG_MIN {
        report.at(region.line, format!("log `{}` must have {LOG_MIN:#x} bytes or more", region.name));
    }
    for user in [pd, CONSOLE] {
        shared(system, region, user, report);
    }
    only(system, region, &[pd, CONSOLE], report);
    if system.end_between(pd, CONSOLE).is_none() {
        report.at(
            region.line,
            format!("log `{}` has no channel; add <channel><end pd=\"{pd}\" id=\"...\"/><end pd=\"{CONSOLE}\" id=\"...\"/></channel>", region.name),
        );
    }
}

/// `region` must be mapped read-write and cached into `pd`.
fn shared(system: &System, region: &Region, pd: &str, report: &mut Report<'_>) {
    let Some(pd) = system.pd(pd) else {
        report.at(region.line, format!("`{}` is shared with `{pd}`, but there is no such PD", region.name));
        return;
    };
    match pd.map(&region.name) {
        None => report
            .at(pd.line, format!("PD `{}` must map `{}` (line {}), perms=\"rw\"", pd.name, region.name, region.line)),
        Some(Map { perms, line, .. }) if *perms != Perms::RW => {
            report.at(*line, format!("`{}` is mapped {perms}; write perms=\"rw\"", region.name));
        }
        Some(map) if !map.cached => {
            report.at(map.line, format!("`{}` must be cached; remove cached=\"false\"", region.name))
        }
        Some(_) => {}
    }
}

/// No PD but these may map `region`.
fn only(system: &System, region: &Region, pds: &[&str], report: &mut Report<'_>) {
    for (pd, map) in system.users(&region.name).filter(|(pd, _)| !pds.contains(&pd.name.as_str())) {
        let allowed = pds.join(" and ");
        report.at(map.line, format!("`{}` is for {allowed} alone; remove this map from PD `{}`", region.name, pd.name));
    }
}

/// The programs that expect a region of this name.
pub fn programs_of(region: &str) -> Vec<&'static str> {
    programs::PROGRAMS.iter().filter(|p| p.regions.iter().any(|n| n.region == region)).map(|p| p.name).collect()
}
