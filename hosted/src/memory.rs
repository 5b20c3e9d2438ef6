//! Regions as memory files (memfd), and their mapping. The only place where
//! this crate meets raw memory.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};

use anyhow::{Context, Result, bail};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use strait_ring::SharedMemory;

/// A zeroed memory file of `size` bytes that begins with what `prefill` holds.
/// Nobody can change its size, so no process can take it away from another.
pub fn create(name: &str, size: u64, prefill: Option<&mut File>) -> Result<OwnedFd> {
    let fd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .with_context(|| format!("cannot create shared memory for `{name}`"))?;
    ftruncate(&fd, size).with_context(|| format!("cannot reserve {size} bytes for `{name}`"))?;
    let fd = match prefill {
        None => fd,
        Some(from) => {
            let mut file = File::from(fd);
            let copied = io::copy(from, &mut file).with_context(|| format!("cannot fill region `{name}`"))?;
            if copied > size {
                bail!("the file for region `{name}` has {copied} bytes; make the region's size {copied:#x} or more");
            }
            file.into()
        }
    };
    fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
        .with_context(|| format!("cannot seal the shared memory of `{name}`"))?;
    Ok(fd)
}

/// Maps `size` bytes of `fd` at exactly `vaddr` until the process ends.
pub fn map_at(fd: impl AsFd, vaddr: u64, size: u64, writable: bool) -> Result<SharedMemory> {
    let at = ptr::with_exposed_provenance_mut::<u8>(usize::try_from(vaddr)?);
    map(fd, at, usize::try_from(size)?, writable, MapFlags::SHARED | MapFlags::FIXED_NOREPLACE)
        .with_context(|| format!("cannot map {size:#x} bytes at {vaddr:#x}; choose another vaddr in microkit.system"))
}

/// Maps `size` bytes of `fd` for reading and writing, anywhere.
pub fn map_anywhere(fd: impl AsFd, size: usize) -> Result<SharedMemory> {
    map(fd, ptr::null_mut(), size, true, MapFlags::SHARED)
}

fn map(fd: impl AsFd, at: *mut u8, size: usize, writable: bool, flags: MapFlags) -> Result<SharedMemory> {
    let rights = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
    // SAFETY: a new mapping. It replaces none: the address is either the
    // kernel's choice or refused if anything is there (FIXED_NOREPLACE).
    let base = unsafe { mmap(at.cast(), size, rights, flags, fd, 0) }?;
    // Kernels before 4.17 take FIXED_NOREPLACE for a hint.
    if !at.is_null() && base != at.cast() {
        bail!("something else is mapped there");
    }
    base.expose_provenance();
    let base = NonNull::new(base.cast::<u8>()).context("mapped at address zero")?;
    // SAFETY: mapped just now, page aligned, with the rights asked for, and
    // never unmapped; the file cannot shrink (sealed). The address goes nowhere
    // but into this value and the `Region` of the same name, which the process
    // hands to the component (the configuration region is not among those).
    Ok(unsafe { SharedMemory::new(base, size) })
}

/// Takes over a descriptor that the supervisor passed to this process.
pub fn inherit(fd: RawFd) -> Result<OwnedFd> {
    if fd < 3 || rustix::io::fcntl_getfd(borrow(fd)).is_err() {
        bail!("descriptor {fd} was not passed; PDs are started by `strait-hosted run`");
    }
    // SAFETY: it is open (just checked), and by the agreement with the
    // supervisor (`launch`) it is this process's own: the manifest names each
    // number once and nothing else here knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn borrow<'a>(fd: RawFd) -> std::os::fd::BorrowedFd<'a> {
    // SAFETY: only used to ask whether the number is open; it is at least 3.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_mappings_share_and_one_address_is_taken_once() {
        let fd = create("test", 8192, None).unwrap();
        let a = map_anywhere(&fd, 8192).unwrap();
        let b = map_at(&fd, 0x20_0000_0000, 8192, false).unwrap();
        a.write(5000, b"hello").unwrap();
        let mut got = [0; 5];
        b.read(5000, &mut got).unwrap();
        assert_eq!(&got, b"hello");
        assert!(map_at(&fd, 0x20_0000_1000, 4096, false).is_err());
    }

    #[test]
    fn descriptors_that_were_not_passed_are_refused() {
        assert!(inherit(1).is_err());
        assert!(inherit(900).is_err());
    }
}
