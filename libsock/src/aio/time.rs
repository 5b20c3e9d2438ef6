//! Sleeping and giving up.

use core::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{Either, select};
use strait_abi::Errno;

use crate::{Process, process::nanos};

/// See [`sleep`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    process: Process,
    /// Deadline and number.
    key: (u64, u64),
}

/// Waits for `duration`. ENOSYS without a channel to `timer_driver`.
pub fn sleep(process: &Process, duration: Duration) -> Sleep {
    let at = nanos(process.now()).saturating_add(nanos(duration));
    Sleep { process: process.clone(), key: (at, process.reactor().number()) }
}

impl Future for Sleep {
    type Output = Result<(), Errno>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Errno>> {
        if nanos(self.process.now()) >= self.key.0 {
            return Poll::Ready(Ok(()));
        }
        if !self.process.waiter().has_timer() {
            return Poll::Ready(Err(Errno::ENOSYS));
        }
        self.process.reactor().timers.borrow_mut().insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let waker = self.process.reactor().timers.borrow_mut().remove(&self.key);
        drop(waker);
    }
}

/// The result of `future`; ETIMEDOUT if it takes longer than `duration`, ENOSYS
/// if that would have to be waited for without a channel to `timer_driver`.
pub async fn timeout<F: Future>(process: &Process, duration: Duration, future: F) -> Result<F::Output, Errno> {
    match select(pin!(future), sleep(process, duration)).await {
        Either::Left((result, _)) => Ok(result),
        Either::Right((time, _)) => Err(time.err().unwrap_or(Errno::ETIMEDOUT)),
    }
}
