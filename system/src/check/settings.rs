//! Rules for `strait.toml`.

use super::policy::POLICY;
use crate::programs::{IDENTITY, Key, NET, program};
use crate::settings::{PdSettings, Setting};
use crate::{Problem, Settings, System};

pub fn check(system: &System, settings: &Settings, problems: &mut Vec<Problem>) {
    for table in &settings.pds {
        let mut refuse = |line: u32, text: String| problems.push(Problem::new(&settings.file, line, text));
        match system.pd(&table.pd) {
            None => refuse(
                table.line,
                format!("[{}] is for no PD of {}; correct the name or remove it", table.pd, system.file),
            ),
            Some(pd) => {
                let identity = if system.is_client(pd) { IDENTITY } else { &[] };
                if let Some(program) = program(pd.program()) {
                    keys(program.name, &[program.settings, identity].concat(), table, &mut refuse);
                }
            }
        }
    }
}

fn keys(program: &str, takes: &[Key], table: &PdSettings, refuse: &mut impl FnMut(u32, String)) {
    for Setting { key, value, line } in &table.entries {
        // `policy` checks these.
        if program == NET.server && key.starts_with(POLICY) {
            continue;
        }
        match takes.iter().find(|k| k.name == key) {
            Some(known) => {
                if let Err(wanted) = known.kind.check(value) {
                    refuse(*line, format!("{key} = \"{value}\" is not valid; write {wanted}"));
                }
            }
            None => {
                let mut known: Vec<_> = takes.iter().map(|k| k.name).collect();
                if program == NET.server {
                    known.push("policy.<client>.<key>");
                }
                let known = if known.is_empty() { "nothing".into() } else { known.join(", ") };
                refuse(*line, format!("{program} has no setting `{key}`; it takes {known}"));
            }
        }
    }
    let is_static = table.get("ipv4.mode").is_some_and(|m| m.value == "static");
    match (is_static, table.get("ipv4.address")) {
        (true, None) => {
            let line = table.get("ipv4.mode").map_or(table.line, |m| m.line);
            refuse(line, "ipv4.mode = \"static\" needs ipv4.address, such as \"10.0.2.15/24\"".into());
        }
        (false, Some(address)) => refuse(
            address.line,
            "ipv4.address needs ipv4.mode = \"static\"; with DHCP the network gives the address".into(),
        ),
        _ => {}
    }
}
