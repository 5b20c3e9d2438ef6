//! The same with async: sockets that are awaited, and an executor that sleeps
//! on the PD's notifications when nothing is left to do.
//!
//! ```no_run
//! use strait_libsock::{Process, aio::{self, Executor, Read, TcpListener, Write}, net::Error};
//!
//! fn serve(process: &Process) -> Result<(), Error> {
//!     let executor = Executor::new(process);
//!     let tasks = executor.clone();
//!     let listener = TcpListener::bind(process, "0.0.0.0:7000")?;
//!     executor.block_on(async move {
//!         loop {
//!             let (stream, _) = listener.accept().await?;
//!             // One task for each connection; nobody waits for its end.
//!             drop(tasks.spawn(async move {
//!                 let mut buffer = [0; 512];
//!                 while let Ok(n @ 1..) = (&stream).read(&mut buffer).await {
//!                     if (&stream).write_all(&buffer[..n]).await.is_err() {
//!                         break;
//!                     }
//!                 }
//!             }));
//!         }
//!     })
//! }
//! ```
//!
//! | what | for |
//! |---|---|
//! | [`Executor`] | running futures: one that is waited for, and tasks beside it |
//! | [`Async`] | waiting for any socket type; [`TcpListener`], [`TcpStream`], [`UdpSocket`], [`UnixStream`], ... are such; of an [`OwnedFd`](crate::net::OwnedFd) it is a pipe, a timerfd, ... |
//! | [`sleep`], [`timeout`] | time; they need a channel to `timer_driver` |
//! | [`resolve`] | names, while other tasks go on |
//! | [`notifications`] | the PD's own channels |
//!
//! Reading and writing are the traits of `embedded-io-async`. `join`, `select`
//! and streams are those of `futures-util`: futures here need no particular
//! executor, only one that lets the library look for news, as this one does.
//!
//! Cost: a task is polled when something that it waits for has changed; news
//! come through the same bitmap as those of
//! [`Process::wait_events`](crate::Process::wait_events), so the number of idle
//! sockets does not matter.
//!
//! Mixing: what blocks (the calls of [`posix`](crate::posix) on a blocking
//! socket, [`net`](crate::net)) blocks the whole component, as it would without
//! tasks, and loses nothing. Callbacks and events can be used beside it.

mod adapter;
mod executor;
mod net;
mod time;

use alloc::{collections::BTreeMap, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Context, Poll, Waker},
};

pub use self::{
    adapter::Async,
    executor::{Executor, Task},
    net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream},
    time::{Sleep, sleep, timeout},
};
/// Names to addresses, while other tasks go on.
pub use crate::resolve::resolve;
/// The traits that reading and writing go by.
pub use embedded_io_async::{Read, Write};

use strait_pd::ChannelSet;

use crate::Process;

/// Operations that a task can do in one turn. Then it takes a break: nobody with
/// much to do keeps the others from their turn.
const BUDGET: u32 = 64;

/// Who waits for what the server's events do not tell.
#[derive(Default)]
pub(crate) struct Reactor {
    /// By deadline, in nanoseconds, and a number.
    timers: RefCell<BTreeMap<(u64, u64), Waker>>,
    last: Cell<u64>,
    /// Those who wait for foreign notifications.
    foreign: RefCell<Vec<Waker>>,
    budget: Cell<u32>,
}

impl Reactor {
    /// A task gets its turn.
    fn refill(&self) {
        self.budget.set(BUDGET);
    }

    /// Wakes those whose time has come by `now`.
    fn wake_due(&self, now: impl FnOnce() -> u64) {
        if self.timers.borrow().is_empty() {
            return;
        }
        let now = now();
        while let Some(waker) = {
            let mut timers = self.timers.borrow_mut();
            timers.first_entry().filter(|first| first.key().0 <= now).map(|first| first.remove())
        } {
            waker.wake();
        }
    }

    /// The next deadline.
    fn deadline(&self) -> Option<u64> {
        self.timers.borrow().first_key_value().map(|((at, _), _)| *at)
    }

    /// A number for a timer.
    fn number(&self) -> u64 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    /// Uses one operation up; pending until the task's next turn if none is left.
    fn spend(&self, context: &mut Context<'_>) -> Poll<()> {
        match self.budget.get() {
            0 => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            left => {
                self.budget.set(left - 1);
                Poll::Ready(())
            }
        }
    }

    fn wake_foreign(&self) {
        self.foreign.take().into_iter().for_each(Waker::wake);
    }
}

/// Adds a waker to a list, once.
fn add(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|w| w.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}

/// Waits for notifications on channels that are not the library's, and takes
/// them.
pub async fn notifications(process: &Process) -> ChannelSet {
    poll_fn(|context| {
        let foreign = process.take_foreign_notifications();
        if foreign.is_empty() {
            add(&mut process.reactor().foreign.borrow_mut(), context.waker());
            Poll::Pending
        } else {
            Poll::Ready(foreign)
        }
    })
    .await
}

#[cfg(test)]
mod tests;
