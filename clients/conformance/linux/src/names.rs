//! Names of hosts, services and interfaces.
#![allow(clippy::undocumented_unsafe_blocks)] // As in calls.rs.

use std::{
    ffi::{CStr, CString, c_char},
    mem, ptr, slice,
};

use strait_conformance::posix::{AF_INET6, AddrInfo, Address, Errno, Hints, IfAddr, Result};

use crate::calls::{check, last, sockaddr};

fn c(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

/// # Safety
/// `at` must be null or a C string.
unsafe fn text(at: *const c_char) -> Option<String> {
    if at.is_null() { None } else { Some(unsafe { CStr::from_ptr(at) }.to_string_lossy().into_owned()) }
}

/// # Safety
/// `at` must be null or an address of `len` bytes.
unsafe fn address(at: *const libc::sockaddr, len: usize) -> Option<Address> {
    if at.is_null() {
        return None;
    }
    Address::from_bytes(unsafe { slice::from_raw_parts(at.cast(), len) }).ok()
}

pub fn getaddrinfo(node: Option<&str>, service: Option<&str>, hints: &Hints) -> Result<Vec<AddrInfo>, i32> {
    let (node, service) = (node.map(c), service.map(c));
    let at = |name: &Option<CString>| name.as_ref().map_or(ptr::null(), |n| n.as_ptr());
    // SAFETY: a C structure of numbers and pointers.
    let mut wanted: libc::addrinfo = unsafe { mem::zeroed() };
    wanted.ai_flags = hints.flags;
    wanted.ai_family = hints.family.into();
    wanted.ai_socktype = hints.kind.into();
    wanted.ai_protocol = hints.protocol.into();
    let mut list = ptr::null_mut();
    match unsafe { libc::getaddrinfo(at(&node), at(&service), &wanted, &mut list) } {
        0 => {}
        error => return Err(error),
    }
    let mut results = vec![];
    let mut next = list;
    while let Some(info) = unsafe { next.as_ref() } {
        results.push(AddrInfo {
            kind: info.ai_socktype as u16,
            protocol: info.ai_protocol as u16,
            address: unsafe { address(info.ai_addr, info.ai_addrlen as usize) }.unwrap_or(Address::EMPTY),
            name: unsafe { text(info.ai_canonname) },
        });
        next = info.ai_next;
    }
    unsafe { libc::freeaddrinfo(list) };
    Ok(results)
}

pub fn getnameinfo(address: &Address, flags: i32) -> Result<(String, String), i32> {
    let (at, len) = sockaddr(address);
    let (mut node, mut service) = ([0 as c_char; 1025], [0 as c_char; 32]);
    match unsafe { libc::getnameinfo(at, len, node.as_mut_ptr(), 1025, service.as_mut_ptr(), 32, flags) } {
        0 => Ok(unsafe { (text(node.as_ptr()).unwrap_or_default(), text(service.as_ptr()).unwrap_or_default()) }),
        error => Err(error),
    }
}

pub fn gethostname() -> Result<String> {
    let mut name = [0 as c_char; 256];
    check(unsafe { libc::gethostname(name.as_mut_ptr(), 255) })?;
    Ok(unsafe { text(name.as_ptr()) }.unwrap_or_default())
}

pub fn if_nametoindex(name: &str) -> Result<u32> {
    match unsafe { libc::if_nametoindex(c(name).as_ptr()) } {
        0 => Err(last()),
        index => Ok(index),
    }
}

pub fn if_indextoname(index: u32) -> Result<String> {
    let mut name = [0 as c_char; libc::IF_NAMESIZE];
    if unsafe { libc::if_indextoname(index, name.as_mut_ptr()) }.is_null() {
        return Err(last());
    }
    unsafe { text(name.as_ptr()) }.ok_or(Errno::EIO)
}

pub fn getifaddrs() -> Result<Vec<IfAddr>> {
    let mut list = ptr::null_mut();
    check(unsafe { libc::getifaddrs(&mut list) })?;
    let mut results = vec![];
    let mut next = list;
    while let Some(entry) = unsafe { next.as_ref() } {
        let family = unsafe { entry.ifa_addr.as_ref() }.map_or(0, |a| a.sa_family);
        let len = match family {
            AF_INET6 => 28,
            17 => 20,
            _ => 16,
        };
        results.push(IfAddr {
            name: unsafe { text(entry.ifa_name) }.unwrap_or_default(),
            flags: entry.ifa_flags,
            address: unsafe { address(entry.ifa_addr, len) },
            netmask: unsafe { address(entry.ifa_netmask, len) },
        });
        next = entry.ifa_next;
    }
    unsafe { libc::freeifaddrs(list) };
    Ok(results)
}
