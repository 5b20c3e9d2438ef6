//! Objects that live in the library alone: no server knows of them.

mod epoll;
mod eventfd;
mod timerfd;

pub use epoll::{Epoll, EpollEvent};
pub use timerfd::{ITimerSpec, TimerFd, Timers};

use alloc::rc::Rc;

use strait_abi::{
    Errno,
    socket::{O_CLOEXEC, O_NONBLOCK},
};

use crate::{
    Process,
    descriptor::{Fd, Object},
    object::Shared,
};

impl Process {
    /// Gives a new object a descriptor.
    fn enter_local(&self, object: Shared, flags: u32) -> Result<Fd, Errno> {
        self.table().borrow_mut().insert(Object::Other(object), flags & O_CLOEXEC != 0, 0)
    }

    /// Does `attempt`, again and again if it may wait and gives EAGAIN.
    fn local_call<T>(
        &self,
        may_wait: bool,
        timed: bool,
        mut attempt: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        if may_wait { self.until_timed(None, timed, attempt) } else { attempt() }
    }
}

/// The flags that eventfd(2) and timerfd_create(2) take.
const NEW: u32 = O_CLOEXEC | O_NONBLOCK;

/// For reads and writes of one number: the first eight bytes of the parts.
/// EINVAL if there are fewer.
fn put_word(parts: &mut [&mut [u8]], word: u64) -> Result<usize, Errno> {
    use crate::parts::Scatter;
    let bytes = word.to_ne_bytes();
    parts
        .each_mut(0..8, |at, part| {
            part.copy_from_slice(bytes.get(at..at + part.len())?);
            Some(())
        })
        .map_or(Err(Errno::EINVAL), |()| Ok(8))
}

fn get_word(parts: &[&[u8]]) -> Result<u64, Errno> {
    use crate::parts::Gather;
    let mut bytes = [0; 8];
    parts
        .each(0..8, |at, part| {
            bytes.get_mut(at..at + part.len())?.copy_from_slice(part);
            Some(())
        })
        .map_or(Err(Errno::EINVAL), |()| Ok(u64::from_ne_bytes(bytes)))
}

fn shared<T: crate::object::Description + 'static>(object: T) -> Shared {
    Rc::new(object)
}
