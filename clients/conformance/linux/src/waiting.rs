//! poll(2) and its kin, and timers.
#![allow(clippy::undocumented_unsafe_blocks)] // As in calls.rs.

use std::{mem, ptr, time::Duration};

use libc::{c_int, nfds_t, pollfd, timespec};
use strait_conformance::posix::{Fd, FdSet, PollFd, Result, TimerSpec, Watch};

use crate::calls::check;

pub fn timespec(duration: Duration) -> timespec {
    timespec { tv_sec: duration.as_secs() as _, tv_nsec: duration.subsec_nanos().into() }
}

fn duration(time: timespec) -> Duration {
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

pub fn now() -> Duration {
    let mut time = timespec(Duration::ZERO);
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    duration(time)
}

pub fn poll(fds: &mut [PollFd], call: impl FnOnce(*mut pollfd, nfds_t) -> c_int) -> Result<usize> {
    let mut entries: Vec<pollfd> =
        fds.iter().map(|f| pollfd { fd: f.fd, events: f.events as i16, revents: f.revents as i16 }).collect();
    let n = check(call(entries.as_mut_ptr(), entries.len() as nfds_t))?;
    for (fd, entry) in fds.iter_mut().zip(&entries) {
        fd.revents = entry.revents as u16;
    }
    Ok(n as usize)
}

pub fn select(
    nfds: i32,
    read: Option<&mut FdSet>,
    write: Option<&mut FdSet>,
    except: Option<&mut FdSet>,
    timeout: Option<Duration>,
) -> Result<usize> {
    // Both are 1,024 bits in words.
    let at = |set: Option<&mut FdSet>| set.map_or(ptr::null_mut(), |set| set.0.as_mut_ptr().cast::<libc::fd_set>());
    let timeout = timeout.map(timespec);
    let until = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    let n = unsafe { libc::pselect(nfds, at(read), at(write), at(except), until, ptr::null()) };
    check(n).map(|n| n as usize)
}

pub fn epoll_wait(epoll: Fd, into: &mut [Watch], timeout: i32) -> Result<usize> {
    let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; into.len()];
    let n = check(unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), events.len() as c_int, timeout) })? as usize;
    for (watch, event) in into.iter_mut().zip(&events[..n]) {
        *watch = Watch { events: event.events, data: event.u64 };
    }
    Ok(n)
}

fn spec(c: libc::itimerspec) -> TimerSpec {
    TimerSpec { interval: duration(c.it_interval), value: duration(c.it_value) }
}

pub fn timerfd_settime(fd: Fd, flags: u32, new: TimerSpec) -> Result<TimerSpec> {
    let new = libc::itimerspec { it_interval: timespec(new.interval), it_value: timespec(new.value) };
    // SAFETY: a C structure of numbers.
    let mut old = unsafe { mem::zeroed() };
    check(unsafe { libc::timerfd_settime(fd, flags as c_int, &new, &mut old) })?;
    Ok(spec(old))
}

pub fn timerfd_gettime(fd: Fd) -> Result<TimerSpec> {
    // SAFETY: a C structure of numbers.
    let mut now = unsafe { mem::zeroed() };
    check(unsafe { libc::timerfd_gettime(fd, &mut now) })?;
    Ok(spec(now))
}
