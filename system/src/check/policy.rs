//! Rules for the tables `[net_server.policy.<client>]` of `strait.toml`, which
//! `strait_abi::policy` reads.

use strait_abi::policy::{KEYS, Policy};
use strait_abi::socket::{IPPROTO_TCP, IPPROTO_UDP};

use crate::programs::{NET, program};
use crate::{Problem, Settings, System};

/// How the keys begin.
pub const POLICY: &str = "policy.";

/// The policy of a client, as far as it can be read.
pub fn policy_of(settings: &Settings, client: &str) -> Policy {
    let mut policy = Policy::default();
    let prefix = format!("{POLICY}{client}.");
    for setting in settings.pd(NET.server).map(|table| &table.entries[..]).unwrap_or_default() {
        if let Some(key) = setting.key.strip_prefix(&prefix) {
            // What is wrong with it is told by `check`.
            let _ = policy.set(key, &setting.value);
        }
    }
    policy
}

pub fn check(system: &System, settings: &Settings, problems: &mut Vec<Problem>) {
    let clients = system.regions.iter().filter_map(|r| r.name.strip_suffix(NET.suffix)?.strip_suffix('_'));
    let clients: Vec<&str> = clients.filter(|c| system.pd(c).is_some()).collect();
    // What is granted to each client, where that could be read.
    let mut policies: Vec<_> = clients.iter().map(|c| (*c, Some(Policy::default()), None)).collect();
    let entries = settings.pd(NET.server).map(|table| &table.entries[..]).unwrap_or_default();
    for setting in entries {
        let Some(rest) = setting.key.strip_prefix(POLICY) else { continue };
        let mut refuse = |text: String| problems.push(Problem::new(&settings.file, setting.line, text));
        let Some((client, key)) = rest.rsplit_once('.') else {
            refuse(format!("`{rest}` names no client; write it below [net_server.policy.<client>]"));
            continue;
        };
        let Some((_, policy, line)) = policies.iter_mut().find(|(name, ..)| *name == client) else {
            refuse(format!(
                "[net_server.policy.{client}] is for no client of net_server; they are {}",
                clients.join(", ")
            ));
            continue;
        };
        // Where a grant is missing is best said at the list of ports.
        if key == "ports" || line.is_none() {
            *line = Some(setting.line);
        }
        if !KEYS.contains(&key) {
            refuse(format!("a policy has no `{key}`; it takes {}", KEYS.join(", ")));
            *policy = None;
        } else if let Some(Err(wanted)) = policy.as_mut().map(|p| p.set(key, &setting.value)) {
            refuse(format!("{key} = \"{}\" is not valid; write {wanted}", setting.value));
            *policy = None;
        }
    }
    for (client, policy, line) in policies {
        let Some(pd) = system.pd(client) else { continue };
        let (Some(policy), Some(program)) = (policy, program(pd.program())) else { continue };
        let table = settings.pd(client);
        let set = table.and_then(|t| t.get("port"));
        let Some(port) = set.map_or(program.port, |s| s.value.parse().ok()).filter(|_| program.port.is_some()) else {
            continue;
        };
        if !policy.may_bind(IPPROTO_TCP as u16, port) && !policy.may_bind(IPPROTO_UDP as u16, port) {
            let line = line.or(set.map(|s| s.line)).or(table.map(|t| t.line)).unwrap_or(0);
            let text = format!(
                "{client} listens on port {port}, which is not granted; write ports = [{port}] below [net_server.policy.{client}]"
            );
            problems.push(Problem::new(&settings.file, line, text));
        }
    }
}
