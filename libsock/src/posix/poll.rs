//! poll(2).

use strait_abi::{
    Errno,
    socket::{POLLERR, POLLHUP, POLLNVAL},
};

use crate::{Process, descriptor::Fd};

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
    /// below zero without limit. The cost is by the number of entries; see
    /// [`wait_events`](Self::wait_events) for many.
    pub fn poll(&self, fds: &mut [PollFd], timeout: i32) -> Result<usize, Errno> {
        let n = self.look(fds);
        if n != 0 || timeout == 0 {
            return Ok(n);
        }
        let timeout = u64::try_from(timeout).ok().map(|ms| ms * 1_000_000);
        let result = self.until(timeout, || match self.look(fds) {
            0 => Err(Errno::EAGAIN),
            n => Ok(n),
        });
        match result {
            Err(Errno::EAGAIN) => Ok(0),
            other => other,
        }
    }

    fn look(&self, fds: &mut [PollFd]) -> usize {
        let table = self.table().borrow();
        let mut n = 0;
        for entry in fds {
            entry.revents = 0;
            if entry.fd < 0 {
                continue;
            }
            entry.revents = match table.get(entry.fd) {
                Ok(descriptor) => descriptor.object.description().poll() & (entry.events | POLLERR | POLLHUP),
                Err(_) => POLLNVAL,
            };
            n += usize::from(entry.revents != 0);
        }
        n
    }
}
