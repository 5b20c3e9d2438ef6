//! What every descriptor can be asked, whatever it stands for.

use alloc::{
    rc::{Rc, Weak},
    vec::Vec,
};
use core::cell::{Cell, RefCell};

use strait_abi::{
    Errno,
    socket::{O_APPEND, O_DIRECT, O_NONBLOCK},
    vfs::Stat,
};

use crate::{
    Process,
    local::{Epoll, TimerFd},
};

/// An open file description in the words of POSIX. Sockets, files, pipes and
/// the descriptors of Linux's own kinds (epoll, eventfd, timerfd) answer here,
/// each in one place.
///
/// The calls on sockets alone (send, recv, ...) do not go this way: they find
/// the socket in [`Object`](crate::descriptor::Object) without a dynamic call.
pub trait Description {
    /// readv(2); read(2) is one part. It waits unless O_NONBLOCK is set.
    fn readv(&self, process: &Process, parts: &mut [&mut [u8]]) -> Result<usize, Errno>;

    /// writev(2); write(2) is one part. It waits unless O_NONBLOCK is set.
    fn writev(&self, process: &Process, parts: &[&[u8]]) -> Result<usize, Errno>;

    /// The bits of poll(2) that hold now, whether asked for or not.
    fn poll(&self) -> u16;

    /// Those who are told when what [`poll`](Self::poll) gives changes, or may
    /// have. `None` for objects that are always ready, which epoll_ctl(2)
    /// refuses (EPERM).
    fn watchers(&self) -> Option<&Watchers> {
        None
    }

    /// Somebody was added to the watchers.
    fn observed(&self) {}

    /// For edge-triggered events: something that differs from what it was
    /// before if there is news among `events`. `None` if every change is.
    fn news(&self, _events: u32) -> Option<News> {
        None
    }

    /// Whether [`poll`](Self::poll) can change by time alone.
    fn timed(&self) -> bool {
        false
    }

    /// The epoll instance that this is.
    fn as_epoll(&self) -> Option<&Epoll> {
        None
    }

    /// The timer that this is.
    fn as_timer(&self) -> Option<&TimerFd> {
        None
    }

    /// ioctl(2), but for what all descriptors have (FIONBIO, FIOCLEX, ...).
    fn ioctl(&self, _process: &Process, _request: u32, _argument: &mut [u8]) -> Result<i32, Errno> {
        Err(Errno::ENOTTY)
    }

    /// fcntl(2), but for what all descriptors have (F_DUPFD, F_GETFL, ...).
    fn fcntl(&self, _command: i32, _argument: i32) -> Result<i32, Errno> {
        Err(Errno::EINVAL)
    }

    /// fstat(2).
    fn stat(&self, process: &Process) -> Result<Stat, Errno>;

    /// What F_GETFL gives: access mode and status flags.
    fn flags(&self) -> u32;

    /// F_SETFL: takes the flags that can change, ignores the rest. EINVAL for
    /// O_DIRECT where it has no meaning.
    fn set_flags(&self, flags: u32) -> Result<(), Errno>;
}

/// See [`Description::news`].
pub type News = [u32; 5];

/// Who is told of changes. It must not ask the object or the process anything
/// then, which may be in the middle of something.
pub trait Watch {
    /// What it watches under the name `key` has changed, or may have.
    fn changed(&self, key: usize);

    /// What it watched under the name `key` is no more.
    fn gone(&self, key: usize);

    /// The epoll instance that this is.
    fn as_epoll(&self) -> Option<&Epoll> {
        None
    }
}

/// Those who watch one object.
#[derive(Default)]
pub struct Watchers(RefCell<Vec<(Weak<dyn Watch>, usize)>>);

impl Watchers {
    /// Adds one.
    pub fn add(&self, watch: Weak<dyn Watch>, key: usize) {
        self.0.borrow_mut().push((watch, key));
    }

    /// Removes one.
    pub fn remove(&self, watch: &Weak<dyn Watch>, key: usize) {
        self.0.borrow_mut().retain(|(w, k)| *k != key || !w.ptr_eq(watch));
    }

    /// Those that are not gone.
    pub fn all(&self) -> Vec<Rc<dyn Watch>> {
        self.0.borrow().iter().filter_map(|(watch, _)| watch.upgrade()).collect()
    }

    /// Tells all.
    pub fn wake(&self) {
        for (watch, key) in self.0.borrow().iter() {
            if let Some(watch) = watch.upgrade() {
                watch.changed(*key);
            }
        }
    }
}

impl Watchers {
    /// What they watch is no more.
    pub fn end(&self) {
        for (watch, key) in self.0.take() {
            if let Some(watch) = watch.upgrade() {
                watch.gone(key);
            }
        }
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.end();
    }
}

/// What fstat(2) gives for objects that are in no file system.
pub fn stat_of(mode: u32) -> Stat {
    Stat { mode, nlink: 1, block_size: 4096, ..Stat::default() }
}

/// An object together with what it is as a description.
pub type Shared = Rc<dyn Description>;

/// The status flags of an object for which they mean nothing but O_NONBLOCK.
pub struct Flags(Cell<u32>);

impl Flags {
    /// Opened with these flags; the access mode stays.
    pub const fn new(flags: u32) -> Self {
        Self(Cell::new(flags))
    }

    /// All of them.
    pub fn get(&self) -> u32 {
        self.0.get()
    }

    /// Whether a call may wait.
    pub fn may_wait(&self) -> bool {
        self.0.get() & O_NONBLOCK == 0
    }

    /// [`Description::set_flags`].
    pub fn set(&self, flags: u32) -> Result<(), Errno> {
        if flags & O_DIRECT != 0 {
            return Err(Errno::EINVAL);
        }
        self.change(flags, O_NONBLOCK | O_APPEND);
        Ok(())
    }

    /// Takes those in `mask` from `flags`.
    pub fn change(&self, flags: u32, mask: u32) {
        self.0.set(self.0.get() & !mask | flags & mask);
    }
}
