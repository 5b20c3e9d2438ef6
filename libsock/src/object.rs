//! What every descriptor can be asked, whatever it stands for.

use alloc::{
    rc::{Rc, Weak},
    vec::Vec,
};
use core::cell::RefCell;

use strait_abi::{Errno, vfs::Stat};

use crate::Process;

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

    /// Tells `watch` of every change of what [`poll`](Self::poll) gives, under
    /// the name `key`, until [`unwatch`](Self::unwatch) or the end of the
    /// object. EPERM for objects that are always ready, as epoll_ctl(2) has it.
    fn watch(&self, _watch: Weak<dyn Watch>, _key: usize) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// Ends what [`watch`](Self::watch) began.
    fn unwatch(&self, _watch: &Weak<dyn Watch>, _key: usize) {}

    /// Whether [`poll`](Self::poll) can change by time alone.
    fn timed(&self) -> bool {
        false
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

    /// F_SETFL: takes the flags that can change, ignores the rest.
    fn set_flags(&self, flags: u32) -> Result<(), Errno>;
}

/// Who is told of changes.
pub trait Watch {
    /// What it watches under the name `key` has changed, or may have.
    fn changed(&self, key: usize);

    /// What it watched under the name `key` is no more.
    fn gone(&self, key: usize);
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

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
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

impl Drop for Watchers {
    fn drop(&mut self) {
        for (watch, key) in self.0.take() {
            if let Some(watch) = watch.upgrade() {
                watch.gone(key);
            }
        }
    }
}

/// The state that fstat(2) gives for what is no file: as Linux's anonymous
/// inodes.
pub fn anonymous(mode: u32) -> Stat {
    Stat { mode, nlink: 1, block_size: 4096, ..Stat::default() }
}

/// An object together with what it is as a description.
pub type Shared = Rc<dyn Description>;
