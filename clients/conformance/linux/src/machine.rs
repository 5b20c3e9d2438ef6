//! Being the first program of a machine: what it needs there, and its end.
#![allow(clippy::undocumented_unsafe_blocks)] // As in calls.rs.

use std::{ffi::CStr, fs, io, ptr};

/// Whether no other program was there before.
pub fn is_first_process() -> bool {
    std::process::id() == 1
}

/// Mounts /proc, /dev and /dev/shm, and writes to the console.
pub fn prepare() -> io::Result<()> {
    for (kind, at) in [(c"proc", c"/proc"), (c"devtmpfs", c"/dev"), (c"tmpfs", c"/dev/shm")] {
        let path = at.to_str().map_err(io::Error::other)?;
        fs::create_dir_all(path)?;
        mount(kind, at)?;
    }
    unsafe {
        let console = libc::open(c"/dev/console".as_ptr(), libc::O_RDWR);
        for fd in 0..3 {
            libc::dup2(console, fd);
        }
    }
    Ok(())
}

fn mount(kind: &CStr, at: &CStr) -> io::Result<()> {
    let result = unsafe { libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, ptr::null()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Turns the machine off.
pub fn turn_off() {
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
}
