//! poll(2) and select(2).

use alloc::vec::Vec;
use core::time::Duration;

use strait_abi::{
    Errno,
    socket::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDBAND, POLLRDNORM, POLLWRBAND, POLLWRNORM},
};

use crate::{Process, descriptor::Fd, process::nanos};

/// `struct pollfd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollFd {
    /// The descriptor; below zero, the entry is ignored.
    pub fd: Fd,
    /// What to wait for: POLLIN, POLLOUT, ...
    pub events: u16,
    /// What holds.
    pub revents: u16,
}

impl PollFd {
    /// An entry that waits for `events` on `fd`.
    pub const fn new(fd: Fd, events: u16) -> Self {
        Self { fd, events, revents: 0 }
    }
}

impl Process {
    /// poll(2): how many entries hold something. `timeout` is in milliseconds,
    /// below zero without limit. EINVAL for more entries than there can be
    /// descriptors. The cost is by the number of entries; see
    /// [`epoll_wait`](Self::epoll_wait) and [`wait_events`](Self::wait_events)
    /// for many.
    pub fn poll(&self, fds: &mut [PollFd], timeout: i32) -> Result<usize, Errno> {
        self.poll_for(fds, u64::try_from(timeout).ok().map(|ms| ms * 1_000_000))
    }

    /// ppoll(2) without a signal mask. Without a `timeout` it has no limit.
    pub fn ppoll(&self, fds: &mut [PollFd], timeout: Option<Duration>) -> Result<usize, Errno> {
        self.poll_for(fds, timeout.map(nanos))
    }

    fn poll_for(&self, fds: &mut [PollFd], timeout: Option<u64>) -> Result<usize, Errno> {
        if fds.len() > self.table().borrow().limit() {
            return Err(Errno::EINVAL);
        }
        let mut timed = false;
        let n = self.look(fds, &mut timed);
        if n != 0 || timeout == Some(0) {
            return Ok(n);
        }
        let result = self.until_timed(timeout, timed, || match self.look(fds, &mut false) {
            0 => Err(Errno::EAGAIN),
            n => Ok(n),
        });
        match result {
            Err(Errno::EAGAIN) => Ok(0),
            other => other,
        }
    }

    fn look(&self, fds: &mut [PollFd], timed: &mut bool) -> usize {
        let table = self.table().borrow();
        let mut n = 0;
        for entry in fds {
            entry.revents = 0;
            if entry.fd < 0 {
                continue;
            }
            entry.revents = match table.get(entry.fd) {
                Ok(descriptor) => {
                    let description = descriptor.object.description();
                    *timed |= description.timed();
                    description.poll() & (entry.events | POLLERR | POLLHUP | POLLNVAL)
                }
                Err(_) => POLLNVAL,
            };
            n += usize::from(entry.revents != 0);
        }
        n
    }

    /// select(2) on descriptors below `nfds`: how many bits are set in the
    /// sets, which then say what holds. EBADF if a set names a descriptor that
    /// is not open.
    pub fn select(
        &self,
        nfds: i32,
        read: Option<&mut FdSet>,
        write: Option<&mut FdSet>,
        except: Option<&mut FdSet>,
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        let nfds = usize::try_from(nfds).map_err(|_| Errno::EINVAL)?.min(FD_SETSIZE);
        let mut sets = [(read, SELECT_READ), (write, SELECT_WRITE), (except, POLLPRI)];
        let mut fds = Vec::new();
        for fd in 0..nfds as Fd {
            let asked = sets.iter().filter(|(set, _)| set.as_ref().is_some_and(|s| s.contains(fd)));
            let events = asked.fold(0, |events, (_, bits)| events | bits);
            if events != 0 {
                fds.push(PollFd::new(fd, events));
            }
        }
        {
            let table = self.table().borrow();
            fds.iter().try_for_each(|entry| table.get(entry.fd).map(drop))?;
        }
        // What poll reports unasked may be nothing to select.
        let holds = |fds: &[PollFd]| fds.iter().any(|e| e.revents & e.events != 0);
        let (mut timed, timeout) = (false, timeout.map(nanos));
        self.look(&mut fds, &mut timed);
        if !holds(&fds) && timeout != Some(0) {
            let result = self.until_timed(timeout, timed, || {
                self.look(&mut fds, &mut false);
                if holds(&fds) { Ok(()) } else { Err(Errno::EAGAIN) }
            });
            match result {
                Ok(()) | Err(Errno::EAGAIN) => {}
                Err(e) => return Err(e),
            }
        }
        let mut n = 0;
        for (set, bits) in &mut sets {
            let Some(set) = set else { continue };
            let before = core::mem::take(&mut **set);
            for entry in fds.iter().filter(|e| e.revents & *bits != 0 && before.contains(e.fd)) {
                set.insert(entry.fd);
                n += 1;
            }
        }
        Ok(n)
    }
}

const SELECT_READ: u16 = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR | POLLNVAL;
const SELECT_WRITE: u16 = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR | POLLNVAL;

/// How many descriptors a [`FdSet`] can hold.
pub const FD_SETSIZE: usize = 1024;

/// `fd_set`: descriptors below [`FD_SETSIZE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdSet([u64; FD_SETSIZE / 64]);

impl Default for FdSet {
    fn default() -> Self {
        Self::new()
    }
}

impl FdSet {
    /// None (FD_ZERO).
    pub const fn new() -> Self {
        Self([0; FD_SETSIZE / 64])
    }

    fn place(fd: Fd) -> Option<(usize, u64)> {
        let fd = usize::try_from(fd).ok().filter(|fd| *fd < FD_SETSIZE)?;
        Some((fd / 64, 1 << (fd % 64)))
    }

    /// Adds a descriptor (FD_SET). Returns false, and does nothing, if it is
    /// too large for the set.
    pub fn insert(&mut self, fd: Fd) -> bool {
        let place = Self::place(fd);
        if let Some((word, bit)) = place {
            self.0[word] |= bit;
        }
        place.is_some()
    }

    /// Removes one (FD_CLR).
    pub fn remove(&mut self, fd: Fd) {
        if let Some((word, bit)) = Self::place(fd) {
            self.0[word] &= !bit;
        }
    }

    /// Whether it is among them (FD_ISSET).
    pub fn contains(&self, fd: Fd) -> bool {
        Self::place(fd).is_some_and(|(word, bit)| self.0[word] & bit != 0)
    }
}
