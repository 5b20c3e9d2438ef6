//! eventfd(2): a counter to wait for.

use core::cell::Cell;

use strait_abi::{
    Errno,
    socket::{EFD_SEMAPHORE, O_NONBLOCK, O_RDWR, POLLIN, POLLOUT},
    vfs::Stat,
};

use super::{NEW, get_word, put_word, shared};
use crate::{
    Process,
    descriptor::Fd,
    object::{Description, Flags, Watchers, stat_of},
    parts::Scatter,
};

/// Most that the counter holds.
const MOST: u64 = u64::MAX - 1;

struct EventFd {
    count: Cell<u64>,
    semaphore: bool,
    flags: Flags,
    watchers: Watchers,
}

impl Process {
    /// eventfd(2). Flags: EFD_SEMAPHORE, EFD_NONBLOCK, EFD_CLOEXEC.
    pub fn eventfd(&self, initial: u32, flags: u32) -> Result<Fd, Errno> {
        if flags & !(NEW | EFD_SEMAPHORE) != 0 {
            return Err(Errno::EINVAL);
        }
        let event = EventFd {
            count: Cell::new(initial.into()),
            semaphore: flags & EFD_SEMAPHORE != 0,
            flags: Flags::new(O_RDWR | flags & O_NONBLOCK),
            watchers: Watchers::default(),
        };
        self.enter_local(shared(event), flags)
    }
}

impl EventFd {
    fn change(&self, count: u64) {
        self.count.set(count);
        self.watchers.wake();
    }
}

impl Description for EventFd {
    fn readv(&self, process: &Process, parts: &mut [&mut [u8]]) -> Result<usize, Errno> {
        if Scatter::len(parts) < 8 {
            return Err(Errno::EINVAL);
        }
        let taken = process.local_call(self.flags.may_wait(), false, || match self.count.get() {
            0 => Err(Errno::EAGAIN),
            count => Ok(if self.semaphore { 1 } else { count }),
        })?;
        self.change(self.count.get() - taken);
        put_word(parts, taken)
    }

    fn writev(&self, process: &Process, parts: &[&[u8]]) -> Result<usize, Errno> {
        let add = get_word(parts)?;
        if add == u64::MAX {
            return Err(Errno::EINVAL);
        }
        let count = process.local_call(self.flags.may_wait(), false, || {
            self.count.get().checked_add(add).filter(|sum| *sum <= MOST).ok_or(Errno::EAGAIN)
        })?;
        self.change(count);
        Ok(8)
    }

    fn poll(&self) -> u16 {
        let count = self.count.get();
        (if count > 0 { POLLIN } else { 0 }) | if count < MOST { POLLOUT } else { 0 }
    }

    fn watchers(&self) -> Option<&Watchers> {
        Some(&self.watchers)
    }

    fn stat(&self, _: &Process) -> Result<Stat, Errno> {
        Ok(stat_of(0o600))
    }

    fn flags(&self) -> u32 {
        self.flags.get()
    }

    fn set_flags(&self, flags: u32) -> Result<(), Errno> {
        self.flags.set(flags)
    }
}
