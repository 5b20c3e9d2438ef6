//! Running futures on one thread.

use alloc::{boxed::Box, rc::Rc, sync::Arc, task::Wake, vec::Vec};
use core::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
};

use futures_util::stream::{FuturesUnordered, Stream};
use strait_abi::Errno;

use crate::{Process, process::nanos};

type Job = Pin<Box<dyn Future<Output = ()>>>;

/// Runs futures. A clone is the same executor.
#[derive(Clone)]
pub struct Executor(Rc<Inner>);

struct Inner {
    process: Process,
    /// Those that were spawned since the tasks were polled.
    new: RefCell<Vec<Job>>,
    /// Polls only those that were woken.
    tasks: RefCell<FuturesUnordered<Job>>,
}

/// What a future wakes.
struct Flag(AtomicBool);

impl Flag {
    fn raised() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }

    fn is_up(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Executor {
    /// An executor that waits as `process` does.
    pub fn new(process: &Process) -> Self {
        Self(Rc::new(Inner { process: process.clone(), new: RefCell::default(), tasks: RefCell::default() }))
    }

    /// Starts a task. It goes on as long as somebody is in
    /// [`block_on`](Self::block_on), also if the [`Task`] is dropped.
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        let end = Rc::new(RefCell::new(End::Running(None)));
        let told = Rc::downgrade(&end);
        let mut job: Job = Box::pin(async move {
            let result = future.await;
            let Some(end) = told.upgrade() else { return };
            let before = end.replace(End::Done(result));
            if let End::Running(Some(waiting)) = before {
                waiting.wake();
            }
        });
        let process = self.0.process.clone();
        self.0.new.borrow_mut().push(Box::pin(poll_fn(move |context| {
            process.reactor().refill();
            job.as_mut().poll(context)
        })));
        Task(end)
    }

    /// Runs `future` to its end, and the tasks beside it. Sleeps when none of
    /// them can go on.
    ///
    /// Called from inside a task it runs `future` alone: the other tasks wait.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let Inner { process, .. } = &*self.0;
        let (ours, theirs) = (Flag::raised(), Flag::raised());
        let (waker, tasks) = (Waker::from(ours.clone()), Waker::from(theirs.clone()));
        // Inside a task, all others wait.
        let alone = self.0.tasks.try_borrow_mut().is_err();
        let tasks_can = || !alone && (theirs.is_up() || !self.0.new.borrow().is_empty());
        let mut future = pin!(future);
        loop {
            process.reactor().wake_due(|| nanos(process.now()));
            process.reactor().refill();
            if ours.take()
                && let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                process.flush();
                return result;
            }
            if tasks_can() {
                theirs.take();
                if self.poll_tasks(&mut Context::from_waker(&tasks)) {
                    // Some are left for the next turn.
                    tasks.wake_by_ref();
                }
            }
            self.look(|| ours.is_up() || tasks_can());
        }
    }

    /// Polls the tasks that were woken, but not for ever; whether some are left.
    fn poll_tasks(&self, context: &mut Context<'_>) -> bool {
        // Somebody above is at it.
        let Ok(mut tasks) = self.0.tasks.try_borrow_mut() else {
            return false;
        };
        tasks.extend(self.0.new.take());
        for _ in 0..super::BUDGET {
            match Pin::new(&mut *tasks).poll_next(context) {
                // One has ended.
                Poll::Ready(Some(())) => {}
                Poll::Ready(None) | Poll::Pending => return false,
            }
        }
        true
    }

    /// Takes in what is new; sleeps until there is something if `more` says
    /// that nothing is left to do.
    fn look(&self, more: impl Fn() -> bool) {
        let Inner { process, .. } = &*self.0;
        let reactor = process.reactor();
        let news = || {
            if let Ok(net) = process.net() {
                net.take_events();
            }
            if let Ok(vfs) = process.vfs() {
                vfs.take_events();
            }
            if process.timers().next().is_some() {
                process.timers().expire();
            }
            if process.waiter().has_foreign() {
                reactor.wake_foreign();
            }
            if more() { Ok(()) } else { Err(Errno::EAGAIN) }
        };
        if news().is_ok() {
            // Work without sleeping: what was put off goes now.
            process.flush();
            return;
        }
        let timeout = reactor.deadline().map(|at| at.saturating_sub(nanos(process.now())));
        // EAGAIN when it is time. There is no other error: who sets a deadline
        // has a timer.
        let _ = process.until_timed(timeout, true, news);
    }
}

enum End<T> {
    /// Going on, and who waits.
    Running(Option<Waker>),
    Done(T),
    Taken,
}

/// A task: the future of its result. Dropping it leaves the task running.
#[must_use = "drop it if nobody waits for the task's end"]
pub struct Task<T>(Rc<RefCell<End<T>>>);

impl<T> Task<T> {
    /// Whether it has come to its end.
    pub fn is_finished(&self) -> bool {
        !matches!(*self.0.borrow(), End::Running(_))
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    /// Must not be polled again when it is ready: then it stays pending.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut end = self.0.borrow_mut();
        match &mut *end {
            End::Running(waiting) => {
                *waiting = Some(context.waker().clone());
                Poll::Pending
            }
            End::Taken => Poll::Pending,
            End::Done(_) => match core::mem::replace(&mut *end, End::Taken) {
                End::Done(result) => Poll::Ready(result),
                _ => Poll::Pending,
            },
        }
    }
}
