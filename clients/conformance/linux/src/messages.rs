//! Calls with `struct msghdr`.
#![allow(clippy::undocumented_unsafe_blocks)] // As in calls.rs.

use std::{mem, ptr, time::Duration};

use libc::{c_int, c_uint, iovec, mmsghdr, msghdr};
use strait_conformance::posix::{Address, Fd, Outgoing, Received, Result};

use crate::{
    calls::{check, sockaddr},
    waiting::timespec,
};

pub fn parts(parts: &[&[u8]]) -> Vec<iovec> {
    parts.iter().map(|p| iovec { iov_base: p.as_ptr().cast_mut().cast(), iov_len: p.len() }).collect()
}

pub fn parts_mut(parts: &mut [&mut [u8]]) -> Vec<iovec> {
    parts.iter_mut().map(|p| iovec { iov_base: p.as_mut_ptr().cast(), iov_len: p.len() }).collect()
}

fn empty() -> msghdr {
    // SAFETY: a C structure of numbers and pointers.
    unsafe { mem::zeroed() }
}

/// The header of a message whose parts are in `vector`.
fn outgoing(message: &Outgoing<'_>, vector: &mut [iovec]) -> msghdr {
    let mut header = empty();
    if let Some(to) = message.to {
        let (at, len) = sockaddr(to);
        header.msg_name = at.cast_mut().cast();
        header.msg_namelen = len;
    }
    header.msg_iov = vector.as_mut_ptr();
    header.msg_iovlen = vector.len();
    if !message.control.is_empty() {
        header.msg_control = message.control.as_ptr().cast_mut().cast();
        header.msg_controllen = message.control.len();
    }
    header
}

pub fn sendmsg(fd: Fd, message: &Outgoing<'_>, flags: u32) -> Result<usize> {
    let mut vector = parts(message.bufs);
    let header = outgoing(message, &mut vector);
    check(unsafe { libc::sendmsg(fd, &header, flags as c_int) }).map(|n| n as usize)
}

pub fn sendmmsg(fd: Fd, messages: &[Outgoing<'_>], flags: u32) -> Result<Vec<usize>> {
    let mut vectors: Vec<Vec<iovec>> = messages.iter().map(|m| parts(m.bufs)).collect();
    let mut headers: Vec<mmsghdr> = messages
        .iter()
        .zip(&mut vectors)
        .map(|(m, vector)| mmsghdr { msg_hdr: outgoing(m, vector), msg_len: 0 })
        .collect();
    let n = check(unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), headers.len() as c_uint, flags as c_int) })?;
    Ok(headers[..n as usize].iter().map(|h| h.msg_len as usize).collect())
}

fn received(header: &msghdr, name: &[u8], bytes: usize) -> Result<Received> {
    Ok(Received {
        bytes,
        address: Address::from_bytes(&name[..(header.msg_namelen as usize).min(name.len())])?,
        control: header.msg_controllen,
        flags: header.msg_flags as u32,
    })
}

pub fn recvmsg(fd: Fd, bufs: &mut [&mut [u8]], control: &mut [u8], flags: u32) -> Result<Received> {
    let mut name = [0u8; 128];
    let mut vector = parts_mut(bufs);
    let mut header = empty();
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = name.len() as u32;
    header.msg_iov = vector.as_mut_ptr();
    header.msg_iovlen = vector.len();
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = control.len();
    let n = check(unsafe { libc::recvmsg(fd, &mut header, flags as c_int) })?;
    received(&header, &name, n as usize)
}

pub fn recvmmsg(fd: Fd, bufs: &mut [&mut [u8]], flags: u32, timeout: Option<Duration>) -> Result<Vec<Received>> {
    let mut names = vec![[0u8; 128]; bufs.len()];
    let mut vectors = parts_mut(bufs);
    let mut headers: Vec<mmsghdr> = names
        .iter_mut()
        .zip(&mut vectors)
        .map(|(name, vector)| {
            let mut header = empty();
            header.msg_name = name.as_mut_ptr().cast();
            header.msg_namelen = name.len() as u32;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            mmsghdr { msg_hdr: header, msg_len: 0 }
        })
        .collect();
    let mut timeout = timeout.map(timespec);
    let at = timeout.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    let n = check(unsafe { libc::recvmmsg(fd, headers.as_mut_ptr(), headers.len() as c_uint, flags as c_int, at) })?;
    headers
        .iter()
        .zip(&names)
        .take(n as usize)
        .map(|(h, name)| received(&h.msg_hdr, name, h.msg_len as usize))
        .collect()
}
