//! A socket as any descriptor.

use alloc::rc::Weak;

use strait_abi::{
    Errno,
    net::{MAX_OPTION, Request},
    session::status,
    socket::{
        FIONREAD, O_APPEND, O_NONBLOCK, O_RDWR, POLLIN, POLLOUT, POLLRDNORM, POLLWRBAND, POLLWRNORM, SIOCATMARK,
        SIOCGIFCONF,
    },
    vfs::{Stat, mode},
};

use crate::{
    Process,
    object::{Description, Watch, anonymous},
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

    fn watch(&self, watch: Weak<dyn Watch>, key: usize) -> Result<(), Errno> {
        self.watchers.add(watch, key);
        self.net.observe(self);
        Ok(())
    }

    fn unwatch(&self, watch: &Weak<dyn Watch>, key: usize) {
        self.watchers.remove(watch, key);
    }

    fn ioctl(&self, process: &Process, request: u32, argument: &mut [u8]) -> Result<i32, Errno> {
        if request == FIONREAD {
            if self.listening.get() {
                return Err(Errno::EINVAL);
            }
            let n = if self.is_stream() { self.readable() as usize } else { self.next_datagram()? };
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

    fn stat(&self, _: &Process) -> Result<Stat, Errno> {
        Ok(anonymous(mode::SOCKET | 0o777))
    }

    fn flags(&self) -> u32 {
        let flag = |on: bool, flag| if on { flag } else { 0 };
        O_RDWR | flag(self.nonblocking.get(), O_NONBLOCK) | flag(self.append.get(), O_APPEND)
    }

    fn set_flags(&self, flags: u32) -> Result<(), Errno> {
        self.nonblocking.set(flags & O_NONBLOCK != 0);
        self.append.set(flags & O_APPEND != 0);
        Ok(())
    }
}
