//! A network of its own.

use std::{fs, io, process::Command};

/// Moves the process, which must have one thread, into a new network
/// namespace.
pub fn enter() -> io::Result<()> {
    // SAFETY: they take no pointers.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    let flags = if uid == 0 { libc::CLONE_NEWNET } else { libc::CLONE_NEWNET | libc::CLONE_NEWUSER };
    // SAFETY: it takes no pointers; there is one thread.
    if unsafe { libc::unshare(flags) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if uid != 0 {
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    }
    ip("link set lo up")?;
    // A TAP device stands without a module more; nobody reads from it.
    ip("tuntap add dev eth0 mode tap")?;
    fs::write("/proc/sys/net/ipv6/conf/eth0/accept_dad", "0")?;
    fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0")?;
    ip("link set eth0 address 52:54:00:12:34:56 up")?;
    ip("address add 10.0.2.15/24 broadcast 10.0.2.255 dev eth0")?;
    ip("route add default via 10.0.2.2")
}

fn ip(arguments: &str) -> io::Result<()> {
    let done = Command::new("ip").args(arguments.split(' ')).env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("ip {arguments}: {}", String::from_utf8_lossy(&done.stderr).trim())))
}
