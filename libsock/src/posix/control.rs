//! What holds for descriptors of all kinds.

use strait_abi::{
    Errno,
    net::{MAX_OPTION, Request},
    socket::{
        F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_SETFD, F_SETFL, FD_CLOEXEC, FIONBIO, FIONREAD, O_NONBLOCK, O_RDWR,
    },
};

use crate::{
    Process,
    descriptor::{Fd, Object},
};

impl Process {
    /// close(2). Bytes that were sent are still delivered.
    pub fn close(&self, fd: Fd) -> Result<(), Errno> {
        let descriptor = self.table().borrow_mut().remove(fd)?;
        drop(descriptor);
        Ok(())
    }

    /// dup(2).
    pub fn dup(&self, fd: Fd) -> Result<Fd, Errno> {
        let object = self.object(fd)?;
        self.table().borrow_mut().insert(object, false, 0)
    }

    /// dup2(2).
    pub fn dup2(&self, fd: Fd, new: Fd) -> Result<Fd, Errno> {
        let object = self.object(fd)?;
        if fd != new {
            let old = self.table().borrow_mut().replace(new, object)?;
            drop(old);
        }
        Ok(new)
    }

    /// fcntl(2): F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL
    /// (of which O_NONBLOCK can be set).
    pub fn fcntl(&self, fd: Fd, command: i32, argument: i32) -> Result<i32, Errno> {
        let object = self.object(fd)?;
        match command {
            F_DUPFD | F_DUPFD_CLOEXEC => {
                let mut table = self.table().borrow_mut();
                let from = usize::try_from(argument).ok().filter(|n| *n < table.limit()).ok_or(Errno::EINVAL)?;
                table.insert(object, command == F_DUPFD_CLOEXEC, from)
            }
            F_GETFD => Ok(if self.table().borrow().get(fd)?.close_on_exec { FD_CLOEXEC as i32 } else { 0 }),
            F_SETFD => {
                self.table().borrow_mut().get_mut(fd)?.close_on_exec = argument as u32 & FD_CLOEXEC != 0;
                Ok(0)
            }
            F_GETFL => match object {
                Object::File(file) => Ok(file.flags.get() as i32),
                Object::Socket(socket) => Ok((O_RDWR | if socket.nonblocking.get() { O_NONBLOCK } else { 0 }) as i32),
            },
            F_SETFL => {
                self.set_nonblocking(fd, argument as u32 & O_NONBLOCK != 0)?;
                Ok(0)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// What F_SETFL and FIONBIO do: sets or clears O_NONBLOCK.
    pub fn set_nonblocking(&self, fd: Fd, on: bool) -> Result<(), Errno> {
        match self.object(fd)? {
            Object::Socket(socket) => socket.nonblocking.set(on),
            Object::File(file) => file.set_nonblocking(on),
        }
        Ok(())
    }

    /// ioctl(2). `argument` is what the pointer points to in C; it is read,
    /// and overwritten as far as the answer goes. FIONBIO and FIONREAD are
    /// answered here, the rest by the server.
    pub fn ioctl(&self, fd: Fd, request: u32, argument: &mut [u8]) -> Result<i32, Errno> {
        let int = argument.first_chunk().map(|b| u32::from_ne_bytes(*b));
        match (request, self.object(fd)?) {
            (FIONBIO, _) => self.set_nonblocking(fd, int.ok_or(Errno::EFAULT)? != 0)?,
            (FIONREAD, Object::Socket(socket)) => {
                if socket.listening.get() {
                    return Err(Errno::EINVAL);
                }
                let n = if socket.is_stream() {
                    socket.rx.borrow().available() as usize
                } else {
                    socket.next_datagram()?
                };
                *argument.first_chunk_mut().ok_or(Errno::EFAULT)? = (n as u32).to_ne_bytes();
            }
            (FIONREAD, Object::File(file)) => {
                let n = self.fstat(fd)?.size.saturating_sub(file.position()).min(i32::MAX as u64);
                *argument.first_chunk_mut().ok_or(Errno::EFAULT)? = (n as u32).to_ne_bytes();
            }
            (_, Object::File(_)) => return Err(Errno::ENOTTY),
            (_, Object::Socket(socket)) => {
                let given = &argument[..argument.len().min(MAX_OPTION)];
                let mut answer = [0; MAX_OPTION];
                let n =
                    socket.net.call(&Request::Ioctl { socket: socket.handle, request, argument: given }, |reply| {
                        let n = reply.bytes.len().min(MAX_OPTION);
                        answer[..n].copy_from_slice(&reply.bytes[..n]);
                        Ok(n)
                    })?;
                let n = n.min(argument.len());
                argument[..n].copy_from_slice(&answer[..n]);
            }
        }
        Ok(0)
    }
}
