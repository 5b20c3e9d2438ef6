//! epoll(7). What is ready is in a list, so waiting costs by what changed and
//! not by what is watched.
//!
//! Whatever changes puts the entries that watch it into the list
//! ([`Watch::changed`]; for sockets the session's event bitmap is taken off
//! first). [`Process::epoll_wait`] asks those in the list what holds, reports
//! it, and keeps in the list what is level-triggered and was ready.
//!
//! As on Linux, an entry is of a descriptor's number *and* what it stood for,
//! and ends with the latter, so not before the last copy (dup) is closed.

use alloc::{
    collections::{BTreeMap, VecDeque},
    rc::{Rc, Weak},
    vec::Vec,
};
use core::cell::RefCell;

use slab::Slab;
use strait_abi::{
    Errno,
    socket::{
        EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLERR, EPOLLET, EPOLLEXCLUSIVE, EPOLLHUP,
        EPOLLIN, EPOLLONESHOT, EPOLLOUT, EPOLLWAKEUP, O_RDWR, POLLIN, POLLNVAL, POLLRDNORM,
    },
    vfs::Stat,
};

use crate::{
    Process,
    descriptor::Fd,
    local::Timers,
    object::{Description, Flags, News, Shared, Watch, Watchers, stat_of},
    session::Net,
    vfs::Vfs,
};

/// Most instances within one another (Linux: EP_MAX_NESTS).
const MOST_NESTED: usize = 4;
/// What is no event to wait for (Linux: EP_PRIVATE_BITS).
const PRIVATE: u32 = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE;
/// What may stand beside EPOLLEXCLUSIVE.
const WITH_EXCLUSIVE: u32 = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

/// `struct epoll_event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EpollEvent {
    /// EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLPRI, EPOLLET, EPOLLONESHOT, ...
    pub events: u32,
    /// The caller's own.
    pub data: u64,
}

/// An instance.
pub struct Epoll {
    me: Weak<Self>,
    net: Option<Rc<Net>>,
    vfs: Option<Rc<Vfs>>,
    timers: Rc<Timers>,
    state: RefCell<State>,
    flags: Flags,
    watchers: Watchers,
}

#[derive(Default)]
struct State {
    entries: Slab<Entry>,
    /// By descriptor and address of the object.
    places: BTreeMap<(Fd, usize), usize>,
    /// Entries whose object may be ready, each once.
    ready: VecDeque<usize>,
    /// Entries whose object can become ready by time alone.
    timed: usize,
}

struct Entry {
    fd: Fd,
    object: Weak<dyn Description>,
    events: u32,
    data: u64,
    queued: bool,
    timed: bool,
    /// What was last asked of an edge-triggered entry.
    news: Option<News>,
}

fn address(object: &Shared) -> usize {
    Rc::as_ptr(object).cast::<()>() as usize
}

impl State {
    fn queue(&mut self, key: usize) -> bool {
        match self.entries.get_mut(key) {
            // Nothing is asked: EPOLLONESHOT after its event.
            Some(entry) if !entry.queued && entry.events & !PRIVATE != 0 => {
                entry.queued = true;
                self.ready.push_back(key);
                true
            }
            _ => false,
        }
    }

    /// The next in the list, out of it.
    fn take(&mut self) -> Option<(usize, Weak<dyn Description>, u32)> {
        loop {
            let key = self.ready.pop_front()?;
            if let Some(entry) = self.entries.get_mut(key).filter(|e| e.queued) {
                entry.queued = false;
                return Some((key, entry.object.clone(), entry.events));
            }
        }
    }

    fn remove(&mut self, key: usize) {
        let Some(entry) = self.entries.try_remove(key) else { return };
        let address = entry.object.as_ptr().cast::<()>() as usize;
        self.places.remove(&(entry.fd, address));
        self.timed -= usize::from(entry.timed);
        if entry.queued {
            self.ready.retain(|k| *k != key);
        }
    }
}

impl Epoll {
    /// Learns what has changed.
    fn learn(&self) {
        if let Some(net) = &self.net {
            net.take_events();
        }
        // Only pipes change by themselves.
        if let Some(vfs) = self.vfs.as_ref().filter(|vfs| vfs.has_pipes()) {
            vfs.take_events();
        }
        if self.state.borrow().timed != 0 {
            self.timers.expire();
        }
    }

    /// What holds of that which an entry asks for.
    fn ask(&self, object: &Weak<dyn Description>, events: u32) -> u32 {
        object.upgrade().map_or(0, |object| u32::from(object.poll()) & events)
    }

    fn collect(&self, into: &mut [EpollEvent]) -> usize {
        self.learn();
        let mut n = 0;
        // What is put back comes again in the next call.
        let mut left = self.state.borrow().ready.len();
        while n < into.len() && left > 0 {
            left -= 1;
            let Some((key, object, events)) = self.state.borrow_mut().take() else { break };
            // The object may call back: nothing is borrowed here.
            let ready = self.ask(&object, events & !PRIVATE);
            let news = if events & EPOLLET != 0 { object.upgrade().and_then(|o| o.news(events)) } else { None };
            let mut state = self.state.borrow_mut();
            let Some(entry) = state.entries.get_mut(key) else { continue };
            if ready == 0 || news.is_some() && news == entry.news {
                continue;
            }
            into[n] = EpollEvent { events: ready, data: entry.data };
            n += 1;
            entry.news = news;
            if events & EPOLLONESHOT != 0 {
                entry.events &= PRIVATE;
            } else if events & EPOLLET == 0 {
                state.queue(key);
            }
        }
        n
    }

    fn add(&self, fd: Fd, object: &Shared, event: EpollEvent) -> Result<(), Errno> {
        let watchers = object.watchers().ok_or(Errno::EPERM)?;
        let mut state = self.state.borrow_mut();
        let place = (fd, address(object));
        if state.places.contains_key(&place) {
            return Err(Errno::EEXIST);
        }
        let (events, data) = (event.events | EPOLLERR | EPOLLHUP, event.data);
        let timed = object.timed();
        let entry = Entry { fd, object: Rc::downgrade(object), events, data, queued: false, timed, news: None };
        let key = state.entries.insert(entry);
        state.places.insert(place, key);
        state.timed += usize::from(timed);
        drop(state);
        watchers.add(self.me.clone(), key);
        object.observed();
        self.begin(key, object);
        Ok(())
    }

    /// Looks at an entry that is new or changed.
    fn begin(&self, key: usize, object: &Shared) {
        let Some(events) = self.state.borrow().entries.get(key).map(|e| e.events) else { return };
        if u32::from(object.poll()) & events & !PRIVATE != 0 {
            self.changed(key);
        }
    }

    fn place(&self, fd: Fd, object: &Shared) -> Result<usize, Errno> {
        self.state.borrow().places.get(&(fd, address(object))).copied().ok_or(Errno::ENOENT)
    }

    fn modify(&self, fd: Fd, object: &Shared, event: EpollEvent) -> Result<(), Errno> {
        let key = self.place(fd, object)?;
        {
            let mut state = self.state.borrow_mut();
            let entry = state.entries.get_mut(key).ok_or(Errno::ENOENT)?;
            if entry.events & EPOLLEXCLUSIVE != 0 {
                return Err(Errno::EINVAL);
            }
            entry.events = event.events | EPOLLERR | EPOLLHUP;
            entry.data = event.data;
            entry.news = None;
        }
        self.begin(key, object);
        Ok(())
    }

    fn delete(&self, fd: Fd, object: &Shared) -> Result<(), Errno> {
        let key = self.place(fd, object)?;
        self.state.borrow_mut().remove(key);
        if let Some(watchers) = object.watchers() {
            let me: Weak<dyn Watch> = self.me.clone();
            watchers.remove(&me, key);
        }
        Ok(())
    }

    /// Instances that this one watches.
    fn nested(&self) -> Vec<Shared> {
        let state = self.state.borrow();
        state.entries.iter().filter_map(|(_, e)| e.object.upgrade()).filter(|o| o.as_epoll().is_some()).collect()
    }

    /// How deep the instances below this one go. ELOOP if `top` is among them,
    /// or if they go too deep.
    fn depth_below(&self, top: &Self, level: usize) -> Result<usize, Errno> {
        if core::ptr::eq(self, top) || level > MOST_NESTED {
            return Err(Errno::ELOOP);
        }
        let mut depth = 0;
        for object in self.nested() {
            if let Some(epoll) = object.as_epoll() {
                depth = depth.max(1 + epoll.depth_below(top, level + 1)?);
            }
        }
        Ok(depth)
    }

    /// How many levels of instances watch this one.
    fn depth_above(&self, level: usize) -> usize {
        if level > MOST_NESTED {
            return level;
        }
        let above = self.watchers.all();
        above.iter().filter_map(|w| w.as_epoll()).map(|epoll| 1 + epoll.depth_above(level + 1)).max().unwrap_or(0)
    }

    fn check_nesting(&self, target: &Self) -> Result<(), Errno> {
        let depth = target.depth_below(self, 0)? + 1 + self.depth_above(0);
        if depth > MOST_NESTED { Err(Errno::ELOOP) } else { Ok(()) }
    }
}

impl Watch for Epoll {
    fn changed(&self, key: usize) {
        let queued = self.state.borrow_mut().queue(key);
        if queued {
            self.watchers.wake();
        }
    }

    fn gone(&self, key: usize) {
        if let Ok(mut state) = self.state.try_borrow_mut() {
            state.remove(key);
        }
    }

    fn as_epoll(&self) -> Option<&Epoll> {
        Some(self)
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        let me: Weak<dyn Watch> = self.me.clone();
        for (key, entry) in &self.state.get_mut().entries {
            if let Some(object) = entry.object.upgrade()
                && let Some(watchers) = object.watchers()
            {
                watchers.remove(&me, key);
            }
        }
    }
}

impl Process {
    /// epoll_create1(2). Flags: EPOLL_CLOEXEC.
    pub fn epoll_create1(&self, flags: u32) -> Result<Fd, Errno> {
        if flags & !EPOLL_CLOEXEC != 0 {
            return Err(Errno::EINVAL);
        }
        let epoll = Rc::new_cyclic(|me: &Weak<Epoll>| Epoll {
            me: me.clone(),
            net: self.net().ok().cloned(),
            vfs: self.vfs().ok().cloned(),
            timers: self.timers().clone(),
            state: RefCell::default(),
            flags: Flags::new(O_RDWR),
            watchers: Watchers::default(),
        });
        self.enter_local(epoll, flags)
    }

    /// epoll_ctl(2). `event` means nothing to EPOLL_CTL_DEL.
    pub fn epoll_ctl(&self, epfd: Fd, op: i32, fd: Fd, event: EpollEvent) -> Result<(), Errno> {
        let instance = self.object(epfd)?.shared();
        let object = self.object(fd)?.shared();
        if object.poll() & POLLNVAL != 0 {
            return Err(Errno::EBADF);
        }
        object.watchers().ok_or(Errno::EPERM)?;
        let epoll = instance.as_epoll().ok_or(Errno::EINVAL)?;
        if Rc::ptr_eq(&instance, &object) {
            return Err(Errno::EINVAL);
        }
        if op != EPOLL_CTL_DEL && event.events & EPOLLEXCLUSIVE != 0 {
            let other = event.events & !WITH_EXCLUSIVE != 0 || object.as_epoll().is_some();
            if op == EPOLL_CTL_MOD || op == EPOLL_CTL_ADD && other {
                return Err(Errno::EINVAL);
            }
        }
        match op {
            EPOLL_CTL_ADD => {
                if let Some(target) = object.as_epoll() {
                    epoll.check_nesting(target)?;
                }
                epoll.add(fd, &object, event)
            }
            EPOLL_CTL_MOD => epoll.modify(fd, &object, event),
            EPOLL_CTL_DEL => epoll.delete(fd, &object),
            _ => Err(Errno::EINVAL),
        }
    }

    /// epoll_wait(2): how many of `events` were written. `timeout` is in
    /// milliseconds, below zero without limit. EINVAL if `events` is empty.
    pub fn epoll_wait(&self, epfd: Fd, events: &mut [EpollEvent], timeout: i32) -> Result<usize, Errno> {
        let instance = self.object(epfd)?.shared();
        let epoll = instance.as_epoll().ok_or(Errno::EINVAL)?;
        if events.is_empty() {
            return Err(Errno::EINVAL);
        }
        let n = epoll.collect(events);
        if n != 0 || timeout == 0 {
            // Work without sleeping: what was put off goes now.
            self.flush();
            return Ok(n);
        }
        let timeout = u64::try_from(timeout).ok().map(|ms| ms * 1_000_000);
        let timed = epoll.state.borrow().timed != 0;
        let result = self.until_timed(timeout, timed, || match epoll.collect(events) {
            0 => Err(Errno::EAGAIN),
            n => Ok(n),
        });
        match result {
            Err(Errno::EAGAIN) => Ok(0),
            other => other,
        }
    }
}

impl Description for Epoll {
    fn readv(&self, _: &Process, _: &mut [&mut [u8]]) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    fn writev(&self, _: &Process, _: &[&[u8]]) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    fn poll(&self) -> u16 {
        self.learn();
        let mut left = self.state.borrow().ready.len();
        while left > 0 {
            left -= 1;
            let Some((key, object, events)) = self.state.borrow_mut().take() else { break };
            if self.ask(&object, events & !PRIVATE) != 0 {
                let mut state = self.state.borrow_mut();
                if state.queue(key) {
                    state.ready.rotate_right(1);
                }
                return POLLIN | POLLRDNORM;
            }
        }
        0
    }

    fn watchers(&self) -> Option<&Watchers> {
        Some(&self.watchers)
    }

    fn timed(&self) -> bool {
        // There may be timers in it later.
        true
    }

    fn as_epoll(&self) -> Option<&Epoll> {
        Some(self)
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
