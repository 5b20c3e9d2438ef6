//! A socket as any descriptor.

use core::sync::atomic::{AtomicU32, Ordering};

use strait_abi::{
    Errno,
    net::{MAX_OPTION, Request},
    session::status,
    socket::{
        FIONREAD, POLLIN, POLLOUT, POLLRDNORM, POLLWRBAND, POLLWRNORM, SIOCATMARK, SIOCGIFCONF, SOCK_SEQPACKET,
        SOCK_STREAM,
    },
    vfs::{Stat, mode},
};

use crate::{
    Process,
    object::{Description, News, Watchers, stat_of},
    socket::Socket,
};

impl Description for Socket {
    fn readv(&self, process: &Process, parts: &mut [&mut [u8]]) -> Result<usize, Errno> {
        process.receive(self, parts, 0, None, None)
    }

    fn writev(&self, process: &Process, parts: &[&[u8]]) -> Result<usize, Errno> {
        process.transmit(self, parts, 0, None, &[])
    }

    fn poll(&self) -> u16 {
        let mut ready = (self.readiness() & status::POLL) as u16;
        if ready & POLLIN != 0 {
            ready |= POLLRDNORM;
        }
        if ready & POLLOUT != 0 {
            ready |= POLLWRNORM;
            if !self.is_inet() || !self.is_stream() {
                ready |= POLLWRBAND;
            }
        }
        ready
    }

    fn watchers(&self) -> Option<&Watchers> {
        Some(&self.watchers)
    }

    fn observed(&self) {
        self.net.observe(self);
    }

    fn news(&self, events: u32) -> Option<News> {
        if self.is_listening() {
            return None;
        }
        let status = self.status() & status::POLL;
        let load = |word: &AtomicU32| word.load(Ordering::Relaxed);
        let read = events & u32::from(POLLIN | POLLRDNORM) != 0;
        // When there is room after there was none, it is news.
        let write = events & u32::from(POLLOUT | POLLWRNORM | POLLWRBAND) != 0;
        Some([
            if read { status } else { status & !status::IN },
            if read { load(&self.slot.rx_tail) } else { 0 },
            load(&self.slot.rx_mark),
            if write { self.full.get() } else { 0 },
            self.errors.get(),
        ])
    }

    fn ioctl(&self, process: &Process, request: u32, argument: &mut [u8]) -> Result<i32, Errno> {
        if request == FIONREAD {
            if self.is_listening() {
                return Err(Errno::EINVAL);
            }
            self.attend(self.status())?;
            let n = match self.kind {
                SOCK_STREAM if self.is_local() && self.status() & status::CONTROL != 0 => {
                    return self.ask_ioctl(request, argument);
                }
                SOCK_STREAM => self.readable() as usize,
                SOCK_SEQPACKET => self.all_packets()?,
                _ => self.next_datagram()?,
            };
            *argument.first_chunk_mut().ok_or(Errno::EFAULT)? = (n as u32).to_ne_bytes();
            return Ok(0);
        }
        if request == SIOCATMARK && self.is_inet() && self.is_stream() {
            let there = self.mark_distance() == Some(0);
            *argument.first_chunk_mut().ok_or(Errno::EFAULT)? = u32::from(there).to_ne_bytes();
            return Ok(0);
        }
        // `argument` is the buffer itself: its answer has no fixed size.
        if request == SIOCGIFCONF {
            return process.interface_configuration(argument).map(|n| n as i32);
        }
        self.ask_ioctl(request, argument)
    }

    fn stat(&self, _: &Process) -> Result<Stat, Errno> {
        // No two sockets that are open have one number.
        Ok(Stat { ino: u64::from(self.handle) + 1, ..stat_of(mode::SOCKET | self.mode.get()) })
    }

    fn flags(&self) -> u32 {
        self.flags.get()
    }

    fn set_flags(&self, flags: u32) -> Result<(), Errno> {
        self.flags.set(flags)
    }
}

impl Socket {
    /// ioctl(2) that the server knows.
    fn ask_ioctl(&self, request: u32, argument: &mut [u8]) -> Result<i32, Errno> {
        let given = &argument[..argument.len().min(MAX_OPTION)];
        let mut answer = [0; MAX_OPTION];
        let n = self.net.call(&Request::Ioctl { socket: self.handle, request, argument: given }, |reply| {
            let n = reply.bytes.len().min(MAX_OPTION);
            answer[..n].copy_from_slice(&reply.bytes[..n]);
            Ok(n)
        })?;
        let n = n.min(argument.len());
        argument[..n].copy_from_slice(&answer[..n]);
        Ok(0)
    }
}
