//! What holds for descriptors of all kinds.

use alloc::rc::Rc;

use strait_abi::{
    Errno,
    net::Request,
    session::status,
    socket::{
        F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_SETFD, F_SETFL, FD_CLOEXEC, FIOCLEX, FIONBIO, FIONCLEX,
        O_CLOEXEC, O_NONBLOCK, SHUT_WR, SIOCATMARK,
    },
};

use crate::{
    Process,
    descriptor::{Descriptor, Fd, Object},
    socket::Socket,
};

impl Process {
    /// close(2). Bytes that were sent are still delivered; with SO_LINGER the
    /// call waits for that.
    pub fn close(&self, fd: Fd) -> Result<(), Errno> {
        let descriptor = self.table().borrow_mut().remove(fd)?;
        self.end(descriptor);
        Ok(())
    }

    /// Drops what a descriptor stood for.
    fn end(&self, descriptor: Descriptor) {
        if let Object::File(file) = &descriptor.object
            && Rc::strong_count(file) == 1
        {
            file.close_now(self.waiter());
        }
        if let Object::Socket(socket) = &descriptor.object
            && let Some(seconds) = socket.linger.get().filter(|s| *s > 0)
            && Rc::strong_count(socket) == 1
        {
            self.linger(socket, seconds);
        }
    }

    /// SO_LINGER: waits until the peer has acknowledged all, at most so long.
    /// Linux does so on sockets that may not wait too.
    #[cold]
    fn linger(&self, socket: &Socket, seconds: u32) {
        let unread = socket.rx.borrow().available() != 0;
        // What is not read makes of it a reset, at once.
        if !socket.is_stream() || !socket.is_inet() || socket.is_listening() || unread {
            return;
        }
        let request = Request::Shutdown { socket: socket.handle, how: SHUT_WR };
        if socket.net.call(&request, |_| Ok(())).is_ok() {
            // Whatever comes of it, the socket is closed.
            let _ = self.until(Some(u64::from(seconds) * 1_000_000_000), || {
                let over = socket.status() & (status::DRAINED | status::ERR | status::HUP) != 0;
                if over { Ok(()) } else { Err(Errno::EAGAIN) }
            });
        }
    }

    /// dup(2).
    pub fn dup(&self, fd: Fd) -> Result<Fd, Errno> {
        let object = self.object(fd)?;
        self.table().borrow_mut().insert(object, false, 0)
    }

    /// dup2(2).
    pub fn dup2(&self, fd: Fd, new: Fd) -> Result<Fd, Errno> {
        if fd == new { self.object(fd).map(|_| new) } else { self.dup3(fd, new, 0) }
    }

    /// dup3(2). `flags` is O_CLOEXEC or 0.
    pub fn dup3(&self, fd: Fd, new: Fd, flags: u32) -> Result<Fd, Errno> {
        if flags & !O_CLOEXEC != 0 || fd == new {
            return Err(Errno::EINVAL);
        }
        let object = self.object(fd)?;
        let old = self.table().borrow_mut().replace(new, object, flags & O_CLOEXEC != 0)?;
        if let Some(old) = old {
            self.end(old);
        }
        Ok(new)
    }

    /// fcntl(2): F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL
    /// (O_NONBLOCK and O_APPEND), and what the object knows besides. EINVAL
    /// for others.
    pub fn fcntl(&self, fd: Fd, command: i32, argument: i32) -> Result<i32, Errno> {
        let object = self.object(fd)?;
        match command {
            F_DUPFD | F_DUPFD_CLOEXEC => {
                let mut table = self.table().borrow_mut();
                let from = usize::try_from(argument).ok().filter(|n| *n < table.limit()).ok_or(Errno::EINVAL)?;
                table.insert(object, command == F_DUPFD_CLOEXEC, from)
            }
            F_GETFD => Ok(if self.table().borrow().get(fd)?.close_on_exec { FD_CLOEXEC as i32 } else { 0 }),
            F_SETFD => self.set_close_on_exec(fd, argument as u32 & FD_CLOEXEC != 0),
            F_GETFL => Ok(object.description().flags() as i32),
            F_SETFL => object.description().set_flags(argument as u32).map(|()| 0),
            _ => object.description().fcntl(command, argument),
        }
    }

    fn set_close_on_exec(&self, fd: Fd, on: bool) -> Result<i32, Errno> {
        self.table().borrow_mut().get_mut(fd)?.close_on_exec = on;
        Ok(0)
    }

    /// Sets or clears O_NONBLOCK (FIONBIO).
    pub fn set_nonblocking(&self, fd: Fd, on: bool) -> Result<(), Errno> {
        let object = self.object(fd)?;
        let description = object.description();
        let flags = description.flags() & !O_NONBLOCK;
        description.set_flags(if on { flags | O_NONBLOCK } else { flags })
    }

    /// ioctl(2). `argument` is what the pointer points to in C; it is read,
    /// and overwritten as far as the answer goes; EFAULT if it is too short.
    /// FIONBIO, FIOCLEX and FIONCLEX hold for all descriptors; ENOTTY if the
    /// object does not know the request either.
    pub fn ioctl(&self, fd: Fd, request: u32, argument: &mut [u8]) -> Result<i32, Errno> {
        match request {
            FIOCLEX | FIONCLEX => self.set_close_on_exec(fd, request == FIOCLEX),
            FIONBIO => {
                self.object(fd)?;
                let on = argument.first_chunk().map(|b| u32::from_ne_bytes(*b)).ok_or(Errno::EFAULT)? != 0;
                self.set_nonblocking(fd, on).map(|()| 0)
            }
            _ => self.object(fd)?.description().ioctl(self, request, argument),
        }
    }

    /// sockatmark(3): whether the next byte of the stream is the one at the
    /// urgent mark (SIOCATMARK).
    pub fn sockatmark(&self, fd: Fd) -> Result<bool, Errno> {
        let mut answer = [0; 4];
        self.ioctl(fd, SIOCATMARK, &mut answer)?;
        Ok(u32::from_ne_bytes(answer) != 0)
    }
}
