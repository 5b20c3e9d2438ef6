//! The carrier of a TAP device: its other side is an interface of the kernel,
//! and whether that is up is told by a socket of rtnetlink(7).

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use anyhow::{Context, Result};
use rustix::event::epoll::EventFlags;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netdevice, recv, socket_with};
use strait_pd::Channel;

use crate::interrupt::Interrupt;
use crate::process::Start;

/// The group of messages about interfaces.
const RTMGRP_LINK: u32 = 1;
const RTM_NEWLINK: u16 = 16;
const IFF_RUNNING: u32 = 0x40;
/// Bytes of a message's header, and where the index and the flags of the
/// interface are.
const HEADER: usize = 16;
const INDEX: usize = HEADER + 4;
const FLAGS: usize = HEADER + 8;

pub struct Carrier {
    socket: Arc<OwnedFd>,
    interrupt: Arc<Interrupt>,
    /// Of the interface.
    index: u32,
    up: bool,
}

impl Carrier {
    /// That of `tap`. A change raises `irq`.
    pub fn new(start: &Start, irq: Channel, tap: &OwnedFd) -> Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        // Without a protocol it is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, RTMGRP_LINK))?;
        let index = netdevice::name_to_index(&socket, &name_of(tap)?)?;
        let socket = Arc::new(socket);
        let interrupt = start.further_interrupt(irq, socket.clone())?;
        interrupt.enable(EventFlags::IN);
        Ok(Self { socket, interrupt, index, up: true })
    }

    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Takes in what was told; whether it has changed.
    pub fn look(&mut self) -> bool {
        if !self.interrupt.is_raised() {
            return false;
        }
        let before = self.up;
        let mut bytes = [0; 8192];
        while let Ok((n, _)) = recv(&self.socket, &mut bytes, RecvFlags::empty()) {
            if let Some(up) = running(&bytes[..n], self.index) {
                self.up = up;
            }
        }
        self.interrupt.acknowledge();
        self.up != before
    }
}

/// What messages say last of an interface.
fn running(mut messages: &[u8], index: u32) -> Option<bool> {
    let word = |bytes: &[u8], at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let mut last = None;
    while let Some(len) =
        word(messages, 0).map(|len| len as usize).filter(|len| (HEADER..=messages.len()).contains(len))
    {
        let (message, rest) = messages.split_at(len);
        if message[4..6] == RTM_NEWLINK.to_ne_bytes() && word(message, INDEX) == Some(index) {
            last = word(message, FLAGS).map(|flags| flags & IFF_RUNNING != 0).or(last);
        }
        messages = rest.get(len.next_multiple_of(4) - len..).unwrap_or_default();
    }
    last
}

/// The name of the interface, as the kernel tells of the descriptor.
fn name_of(tap: &OwnedFd) -> Result<String> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", tap.as_raw_fd()))?;
    let name = info.lines().find_map(|line| line.strip_prefix("iff:"));
    Ok(name.context("the descriptor is no TAP device")?.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, index: u32, flags: u32, more: usize) -> Vec<u8> {
        let len = 32 + more;
        let mut bytes = [&(len as u32).to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], &[0; 4]].concat();
        bytes.extend(index.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.resize(len.next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn the_last_word_on_an_interface_counts() {
        let (up, down) = (message(RTM_NEWLINK, 3, 0x1043, 5), message(RTM_NEWLINK, 3, 0x1002, 0));
        assert_eq!(running(&up, 3), Some(true));
        assert_eq!(running(&[up.clone(), down.clone()].concat(), 3), Some(false));
        assert_eq!(running(&[down, up.clone()].concat(), 3), Some(true));
        assert_eq!(running(&up, 4), None);
        assert_eq!(running(&message(17, 3, 0x1043, 0), 3), None);
        for n in 0..up.len() - 3 {
            assert_eq!(running(&up[..n], 3), None, "{n}");
        }
        assert_eq!(running(&[0; 40], 0), None);
    }
}
