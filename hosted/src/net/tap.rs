//! The kernel's calls for namespaces and TAP devices that have no safe
//! wrapper.

use std::ffi::c_ulong;
use std::fs::OpenOptions;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result, bail};
use rustix::thread::UnshareFlags;
use socket2::{Domain, Socket, Type};

/// Moves this process into a new network namespace, and user namespace if
/// `user`.
pub fn unshare(user: bool) -> Result<()> {
    let flags = if user { UnshareFlags::NEWUSER | UnshareFlags::NEWNET } else { UnshareFlags::NEWNET };
    // SAFETY: unsafe because of the flag FILES, which is not used.
    unsafe { rustix::thread::unshare_unsafe(flags) }?;
    Ok(())
}

fn request(name: &str) -> Result<libc::ifreq> {
    // SAFETY: a plain C structure for which zeros are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() {
        bail!("`{name}` is no name of a network device; it has 1 to 15 characters");
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

/// An ioctl(2) whose argument is a `struct ifreq`.
fn control(fd: &impl AsRawFd, operation: c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: all callers pass operations that take a `struct ifreq`
    // (netdevice(7), TUNSETIFF), which `request` is, and nothing keeps it.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), operation as _, request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Opens the TAP device `name`, or makes it. Reads and writes do not block.
pub fn open(name: &str) -> Result<OwnedFd> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .context("cannot open /dev/net/tun; load the module `tun` and make the file readable and writable")?;
    let mut request = request(name)?;
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    control(&device, libc::TUNSETIFF as c_ulong, &mut request)
        .with_context(|| format!("cannot attach to the TAP device `{name}`; is it in use, or are rights missing?"))?;
    Ok(device.into())
}

/// Gives the device these addresses, and takes it and the loopback up.
pub fn configure(name: &str, addresses: &[Ipv4Addr], netmask: Ipv4Addr) -> Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    for (i, address) in addresses.iter().enumerate() {
        // Further addresses are those of an alias, `strait0:1`.
        let alias = if i == 0 { name.into() } else { format!("{name}:{i}") };
        let mut request = request(&alias)?;
        for (operation, value) in [(libc::SIOCSIFADDR, *address), (libc::SIOCSIFNETMASK, netmask)] {
            request.ifr_ifru.ifru_addr = inet(value);
            control(&socket, operation as c_ulong, &mut request)
                .with_context(|| format!("cannot give {value} to {alias}"))?;
        }
    }
    for name in ["lo", name] {
        let mut request = request(name)?;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        control(&socket, libc::SIOCSIFFLAGS as c_ulong, &mut request)
            .with_context(|| format!("cannot take up {name}"))?;
    }
    Ok(())
}

/// The address as a `struct sockaddr`.
fn inet(address: Ipv4Addr) -> libc::sockaddr {
    let mut data = [0; 14];
    // Port, address, zeros.
    for (to, from) in data[2..6].iter_mut().zip(address.octets()) {
        *to = from as libc::c_char;
    }
    libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: data }
}
