//! Waiting for a descriptor without blocking.

use alloc::{
    rc::{Rc, Weak},
    vec::Vec,
};
use core::{
    cell::RefCell,
    future::poll_fn,
    task::{Poll, Waker},
};

use strait_abi::{
    Errno,
    session::status,
    socket::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP},
};

use crate::{
    Process,
    net::{Descriptor, Error},
    object::{Description, Watch},
    posix::Fd,
    posix::PollFd,
};

/// Those who wait for one descriptor.
#[derive(Default)]
struct Waiting(RefCell<Vec<Waker>>);

impl Waiting {
    fn wake(&self) {
        let wakers = self.0.take();
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Watch for Waiting {
    fn changed(&self, _: usize) {
        self.wake();
    }

    fn gone(&self, _: usize) {
        self.wake();
    }
}

/// A socket type of [`net`](crate::net), or an [`OwnedFd`](crate::net::OwnedFd),
/// that is awaited instead of blocking.
///
/// Reading and writing take a shared reference too, so two tasks can do both at
/// once. An operation that is dropped before its end has done nothing.
pub struct Async<T: Descriptor> {
    inner: T,
    waiting: Rc<Waiting>,
    object: Weak<dyn Description>,
}

impl<T: Descriptor> Async<T> {
    /// Makes `inner` non-blocking and awaits it from here on. EPERM for files,
    /// which are always ready.
    pub fn new(inner: T) -> Result<Self, Error> {
        let process = inner.process();
        let object = process.object(inner.fd())?.shared();
        let watchers = object.watchers().ok_or(Errno::EPERM)?;
        process.set_nonblocking(inner.fd(), true)?;
        let waiting: Rc<Waiting> = Rc::default();
        watchers.add(watch(&waiting), 0);
        object.observed();
        Ok(Self { inner, waiting, object: Rc::downgrade(&object) })
    }

    /// The socket below, for its options and addresses.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Does `attempt` until it gives something else than EAGAIN, each time that
    /// something has changed.
    pub async fn until<R>(&self, mut attempt: impl FnMut(&T) -> Result<R, Error>) -> Result<R, Error> {
        let reactor = self.inner.process().reactor();
        poll_fn(|context| {
            if reactor.spend(context).is_pending() {
                return Poll::Pending;
            }
            match attempt(&self.inner) {
                Err(Error::System(Errno::EAGAIN)) => {
                    // News are taken in between polls only, so none is missed.
                    super::add(&mut self.waiting.0.borrow_mut(), context.waker());
                    Poll::Pending
                }
                done => Poll::Ready(done),
            }
        })
        .await
    }

    /// Waits until reading would not wait.
    pub async fn readable(&self) -> Result<(), Error> {
        self.ready(POLLIN | POLLRDHUP).await
    }

    /// Waits until writing would not wait, or a connect has come to its end.
    pub async fn writable(&self) -> Result<(), Error> {
        self.ready(POLLOUT).await
    }

    async fn ready(&self, events: u16) -> Result<(), Error> {
        let attempt = |inner: &T| {
            let mut entry = [PollFd::new(inner.fd(), events)];
            inner.process().poll(&mut entry, 0)?;
            let ready = entry[0].revents & (events | POLLERR | POLLHUP) != 0;
            if ready { Ok(()) } else { Err(Errno::EAGAIN.into()) }
        };
        self.until(attempt).await
    }
}

fn watch(waiting: &Rc<Waiting>) -> Weak<dyn Watch> {
    let weak: Weak<Waiting> = Rc::downgrade(waiting);
    weak
}

impl<T: Descriptor> Drop for Async<T> {
    fn drop(&mut self) {
        // It may live on in another descriptor.
        if let Some(object) = self.object.upgrade()
            && let Some(watchers) = object.watchers()
        {
            watchers.remove(&watch(&self.waiting), 0);
        }
    }
}

impl Process {
    /// Whether a connect that was begun has come to its end; EAGAIN if not.
    pub(super) fn connected(&self, fd: Fd) -> Result<(), Errno> {
        let socket = self.socket_of(fd)?;
        let word = socket.status();
        if word & status::ERR != 0 {
            socket.check_error()?;
        }
        if word & status::CONNECTED != 0 {
            socket.connecting.set(false);
            Ok(())
        } else if word & status::HUP != 0 {
            // Failed, and somebody else took the error.
            Err(Errno::ECONNABORTED)
        } else {
            Err(Errno::EAGAIN)
        }
    }
}
