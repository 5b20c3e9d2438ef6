//! Network namespaces: making one, joining one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::process::{getegid, geteuid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::supervisor::Running;

/// Moves this process, which must have one thread, into a new network
/// namespace; for a user without rights also into a new user namespace, in
/// which it has them.
pub fn enter_new() -> Result<()> {
    let (user, group) = (geteuid(), getegid());
    if user.is_root() {
        return super::tap::unshare(false)
            .context("cannot make a network namespace; it needs CAP_SYS_ADMIN, or run as a normal user");
    }
    super::tap::unshare(true).context(
        "cannot make a user and network namespace; allow them (sysctl kernel.unprivileged_userns_clone=1, \
         kernel.apparmor_restrict_unprivileged_userns=0) or run as root",
    )?;
    // A group map needs setgroups switched off first: user_namespaces(7).
    let maps = [
        ("setgroups", "deny".into()),
        ("uid_map", format!("0 {} 1", user.as_raw())),
        ("gid_map", format!("0 {} 1", group.as_raw())),
    ];
    for (file, text) in maps {
        fs::write(Path::new("/proc/self").join(file), text)
            .with_context(|| format!("cannot write /proc/self/{file} in the new user namespace"))?;
    }
    Ok(())
}

/// Runs a command in the namespace of the run that `json` describes. Does not
/// return if it can be started.
pub fn exec(json: &Path, command: &[OsString]) -> Result<()> {
    let text = fs::read_to_string(json)
        .with_context(|| format!("cannot read {}; is `strait-hosted run` running?", json.display()))?;
    let running: Running = serde_json::from_str(&text).with_context(|| json.display().to_string())?;
    let of_run = Path::new("/proc").join(running.pid.to_string()).join("ns");
    // The user namespace first: it gives the right to join the other.
    for (name, kind) in [("user", LinkNameSpaceType::User), ("net", LinkNameSpaceType::Network)] {
        let link = of_run.join(name);
        let theirs = fs::read_link(&link).with_context(|| format!("run {} is over", running.pid))?;
        if theirs == fs::read_link(Path::new("/proc/self/ns").join(name))? {
            continue;
        }
        let file = File::open(&link).with_context(|| format!("cannot open {}", link.display()))?;
        move_into_link_name_space(file.as_fd(), Some(kind))
            .with_context(|| format!("cannot join the {name} namespace of run {}", running.pid))?;
    }
    let Some((program, arguments)) = command.split_first() else { bail!("exec needs a command") };
    let e = Command::new(program).args(arguments).exec();
    Err(e).with_context(|| format!("cannot run {}", Path::new(program).display()))
}
