//! Socket options. Timeouts and what never changes are known here; the rest is
//! the server's.

use core::time::Duration;

use strait_abi::{
    Errno,
    net::{MAX_OPTION, Request},
    socket::{
        IPPROTO_IP, SO_DOMAIN, SO_ERROR, SO_LINGER, SO_OOBINLINE, SO_PROTOCOL, SO_RCVBUF, SO_RCVLOWAT, SO_RCVTIMEO,
        SO_SNDTIMEO, SO_TYPE, SOL_SOCKET,
    },
};

use crate::{Process, descriptor::Fd, process::nanos, socket::Socket};

/// Bytes of a `struct timeval` on 64-bit machines.
const TIMEVAL: usize = 16;

/// A time in nanoseconds, `None` for no limit. EDOM for microseconds beyond a
/// second.
pub fn timeval(value: &[u8]) -> Result<Option<u64>, Errno> {
    let word = |at: usize| value.get(at..at + 8).and_then(|b| b.try_into().ok()).map(i64::from_ne_bytes);
    let (seconds, micros) = (word(0).ok_or(Errno::EINVAL)?, word(8).ok_or(Errno::EINVAL)?);
    if !(0..1_000_000).contains(&micros) {
        return Err(Errno::EDOM);
    }
    if seconds < 0 {
        // Linux: at once, which is as good as no time at all.
        return Ok(Some(0));
    }
    let nanos = (seconds as u64).saturating_mul(1_000_000_000).saturating_add(micros as u64 * 1000);
    Ok((nanos != 0).then_some(nanos))
}

fn from_timeval(timeout: Option<u64>) -> [u8; TIMEVAL] {
    let nanos = timeout.unwrap_or(0);
    let mut value = [0; TIMEVAL];
    value[..8].copy_from_slice(&(nanos / 1_000_000_000).to_ne_bytes());
    value[8..].copy_from_slice(&(nanos % 1_000_000_000 / 1000).to_ne_bytes());
    value
}

fn put(value: &mut [u8], bytes: &[u8]) -> usize {
    let n = value.len().min(bytes.len());
    value[..n].copy_from_slice(&bytes[..n]);
    n
}

impl Process {
    /// setsockopt(2).
    pub fn setsockopt(&self, fd: Fd, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        let socket = self.socket_of(fd)?;
        socket.reached.clear();
        match (level, name) {
            (SOL_SOCKET, SO_RCVTIMEO | SO_SNDTIMEO) => {
                let time = timeval(value)?;
                self.tell(&socket, name, value)?;
                if name == SO_RCVTIMEO { &socket.receive_timeout } else { &socket.send_timeout }.set(time);
            }
            _ if value.len() > MAX_OPTION => return Err(Errno::EINVAL),
            _ => {
                socket.net.call(&Request::SetOption { socket: socket.handle, level, name, value }, |_| Ok(()))?;
                self.remember(&socket, level, name, value);
            }
        }
        Ok(())
    }

    /// Tells the server of an option that is kept here, for other clients that
    /// may get the socket in a message.
    fn tell(&self, socket: &Socket, name: i32, value: &[u8]) -> Result<(), Errno> {
        let request = Request::SetOption { socket: socket.handle, level: SOL_SOCKET, name, value };
        if value.len() > MAX_OPTION { Err(Errno::EINVAL) } else { socket.net.call(&request, |_| Ok(())) }
    }

    /// Notes what this side of the socket must know.
    fn remember(&self, socket: &Socket, level: i32, name: i32, value: &[u8]) {
        let word = |at: usize| value.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes);
        match (level, name) {
            (SOL_SOCKET, SO_OOBINLINE) => socket.oob_inline.set(word(0) != 0),
            (SOL_SOCKET, SO_LINGER) => socket.linger.set((word(0) != 0).then_some(word(4))),
            // What the server made of it: no more than the buffer can hold.
            (SOL_SOCKET, SO_RCVLOWAT | SO_RCVBUF) => {
                socket.low_water.set(socket.int_option(SO_RCVLOWAT).unwrap_or(1));
            }
            _ => {}
        }
    }

    /// getsockopt(2): writes the value, cut off at the end of `value`, and
    /// returns its length.
    pub fn getsockopt(&self, fd: Fd, level: i32, name: i32, value: &mut [u8]) -> Result<usize, Errno> {
        let socket = self.socket_of(fd)?;
        Ok(match (level, name) {
            (SOL_SOCKET, SO_RCVTIMEO) => put(value, &from_timeval(socket.receive_timeout.get())),
            (SOL_SOCKET, SO_SNDTIMEO) => put(value, &from_timeval(socket.send_timeout.get())),
            (SOL_SOCKET, SO_TYPE) => put(value, &u32::from(socket.kind).to_ne_bytes()),
            (SOL_SOCKET, SO_DOMAIN) => put(value, &u32::from(socket.family).to_ne_bytes()),
            (SOL_SOCKET, SO_PROTOCOL) if socket.protocol != 0 => put(value, &u32::from(socket.protocol).to_ne_bytes()),
            _ => socket.net.call(&Request::GetOption { socket: socket.handle, level, name }, |reply| {
                if (level, name) == (SOL_SOCKET, SO_ERROR) {
                    socket.error_taken(reply.bytes.first_chunk().map_or(0, |b| u32::from_ne_bytes(*b)));
                }
                // Linux: a short value of this level is one byte if it can be.
                let byte = level == IPPROTO_IP && reply.bytes.len() == 4 && (1..4).contains(&value.len());
                let small = reply.bytes.first_chunk().is_some_and(|b| u32::from_ne_bytes(*b) <= 255);
                Ok(put(value, if byte && small { &reply.bytes[..1] } else { reply.bytes }))
            })?,
        })
    }

    /// setsockopt(2) of an option whose value is an `int`.
    pub fn set_option(&self, fd: Fd, level: i32, name: i32, value: i32) -> Result<(), Errno> {
        self.setsockopt(fd, level, name, &value.to_ne_bytes())
    }

    /// getsockopt(2) of an option whose value is an `int`.
    pub fn option(&self, fd: Fd, level: i32, name: i32) -> Result<i32, Errno> {
        let mut value = [0; 4];
        self.getsockopt(fd, level, name, &mut value)?;
        Ok(i32::from_ne_bytes(value))
    }

    /// SO_RCVTIMEO or SO_SNDTIMEO; `None` is without limit.
    pub fn set_timeout(&self, fd: Fd, name: i32, timeout: Option<Duration>) -> Result<(), Errno> {
        let socket = self.socket_of(fd)?;
        let nanos = timeout.map(nanos);
        match name {
            SO_RCVTIMEO => socket.receive_timeout.set(nanos),
            SO_SNDTIMEO => socket.send_timeout.set(nanos),
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    /// The timeout that [`set_timeout`](Self::set_timeout) sets.
    pub fn timeout(&self, fd: Fd, name: i32) -> Result<Option<Duration>, Errno> {
        let socket = self.socket_of(fd)?;
        match name {
            SO_RCVTIMEO => Ok(socket.receive_timeout.get().map(Duration::from_nanos)),
            SO_SNDTIMEO => Ok(socket.send_timeout.get().map(Duration::from_nanos)),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }
}
