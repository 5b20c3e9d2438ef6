//! A network of its own.

use std::{fs, io, os::fd::AsRawFd, process::Command};

/// Moves the process, which must have one thread, into a new network
/// namespace in which it may do everything.
pub fn begin() -> io::Result<()> {
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
    Ok(())
}

/// [`begin`], with a network like that of Strait.
pub fn enter() -> io::Result<()> {
    begin()?;
    ip("link set lo up")?;
    open_tap("eth0")?;
    fs::write("/proc/sys/net/ipv6/conf/eth0/accept_dad", "0")?;
    fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0")?;
    ip("link set eth0 address 52:54:00:12:34:56 up")?;
    ip("address add 10.0.2.15/24 broadcast 10.0.2.255 dev eth0")?;
    ip("route add default via 10.0.2.2")
}

/// A TAP device, which stands without a module more. It is up as long as the
/// process lives; nobody reads from it.
fn open_tap(name: &str) -> io::Result<()> {
    let file = fs::File::options().read(true).write(true).open("/dev/net/tun")?;
    // struct ifreq: name and flags.
    let mut request = [0u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..18].copy_from_slice(&((libc::IFF_TAP | libc::IFF_NO_PI) as u16).to_ne_bytes());
    // SAFETY: the request is a `struct ifreq`, which lives as long as the call.
    if unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, request.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    std::mem::forget(file);
    Ok(())
}

/// Moves the thread, after [`begin`], into a network namespace that has nothing
/// but `lo`. What was in the one before ends with it.
pub fn enter_empty() -> io::Result<()> {
    // SAFETY: it takes no pointers.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // struct ifreq: name and flags.
    let mut request = [0u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16..18].copy_from_slice(&(libc::IFF_UP as u16).to_ne_bytes());
    // SAFETY: the request is a `struct ifreq`, which lives as long as the call.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, request.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Makes the process that of a normal user: without capabilities, and with few
/// descriptors.
pub fn drop_privileges() -> io::Result<()> {
    // _LINUX_CAPABILITY_VERSION_3 and this process; three sets of two words.
    let header = [0x2008_0522u32, 0];
    let none = [0u32; 6];
    // SAFETY: the header and the sets are as capset(2) wants them.
    if unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let few = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: the limit lives as long as the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &few) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn ip(arguments: &str) -> io::Result<()> {
    let done = Command::new("ip").args(arguments.split(' ')).env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("ip {arguments}: {}", String::from_utf8_lossy(&done.stderr).trim())))
}
