//! Options of the levels IPPROTO_IP and IPPROTO_TCP: what they hold, which
//! values they take and how they are read (ip(7), tcp(7), and Linux where those
//! leave it open).

use strait_abi::{Errno, socket as c};

use super::{Inet, is_6, options6, tcp};
use crate::{
    core::Core,
    socket::{SocketId, int, put_int},
};

/// Greatest TCP_KEEPIDLE and TCP_KEEPINTVL, in seconds (Linux: MAX_TCP_KEEPIDLE).
const MAX_KEEP: i32 = 32_767;
/// Greatest TCP_KEEPCNT (Linux: MAX_TCP_KEEPCNT).
const MAX_KEEP_COUNT: i32 = 127;
/// Least and greatest TCP_MAXSEG (Linux: TCP_MIN_MSS, MAX_TCP_WINDOW).
const SEGMENT: core::ops::RangeInclusive<i32> = 88..=32_767;
/// What TCP_MAXSEG says of a socket that is not connected (RFC 9293 3.7.1).
const DEFAULT_SEGMENT: u16 = 536;
/// Bytes of a name of TCP_CONGESTION (Linux: TCP_CA_NAME_MAX).
const CONGESTION_NAME: usize = 16;
/// The one algorithm of TCP_CONGESTION, that of RFC 5681: smoltcp's other one,
/// CUBIC, needs std.
const CONGESTION: &[u8] = b"reno";
/// IP_TTL that is not set.
const DEFAULT_TTL: u8 = 64;
/// The bits of the type of service that are congestion notification.
const ECN: u8 = 3;

/// Which control data a socket wants with what it receives: bits of
/// [`IpOptions::receive`].
pub mod receive {
    /// IP_PKTINFO.
    pub const PKTINFO: u16 = 1;
    /// IP_RECVTTL.
    pub const TTL: u16 = 2;
    /// IP_RECVTOS.
    pub const TOS: u16 = 4;
    /// SO_TIMESTAMP or SO_TIMESTAMPNS.
    pub const TIME: u16 = 8;
    /// IPV6_RECVPKTINFO.
    pub const PKTINFO6: u16 = 16;
    /// IPV6_RECVHOPLIMIT.
    pub const HOPS: u16 = 32;
    /// IPV6_RECVTCLASS.
    pub const CLASS: u16 = 64;
}

/// Options of IPPROTO_IP.
#[derive(Debug, Clone, Copy)]
pub struct IpOptions {
    /// IP_TTL.
    pub ttl: u8,
    /// IP_TOS.
    pub tos: u8,
    /// IPV6_TCLASS.
    pub class: u8,
    /// Bits of [`receive`].
    pub receive: u16,
}

/// Options of IPPROTO_TCP.
#[derive(Debug, Clone, Copy)]
pub struct TcpOptions {
    /// TCP_NODELAY.
    pub nodelay: bool,
    /// TCP_CORK.
    pub cork: bool,
    /// TCP_KEEPIDLE, in seconds.
    pub keep_idle: u32,
    /// TCP_KEEPINTVL, in seconds.
    pub keep_interval: u32,
    /// TCP_KEEPCNT.
    pub keep_count: u32,
    /// TCP_USER_TIMEOUT in milliseconds; 0 for the default.
    pub user_timeout: u32,
    /// TCP_MAXSEG; 0 for what the link takes.
    pub max_segment: u16,
}

impl Default for IpOptions {
    fn default() -> Self {
        Self { ttl: DEFAULT_TTL, tos: 0, class: 0, receive: 0 }
    }
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            nodelay: false,
            cork: false,
            keep_idle: 7200,
            keep_interval: 75,
            keep_count: 9,
            user_timeout: 0,
            max_segment: 0,
        }
    }
}

/// What IP_TOS and IPV6_TCLASS make of `old`: a stream's congestion notification
/// is not the user's.
pub fn traffic_class(stream: bool, old: u8, new: u8) -> u8 {
    if stream { new & !ECN | old & ECN } else { new }
}

/// The value of an option of IPPROTO_IP, which may be one byte (Linux).
pub fn small_int(value: &[u8]) -> i32 {
    int(value).unwrap_or_else(|_| value.first().copied().unwrap_or(0).into())
}

fn within(value: i32, range: core::ops::RangeInclusive<i32>) -> Result<u32, Errno> {
    if range.contains(&value) { Ok(value as u32) } else { Err(Errno::EINVAL) }
}

impl IpOptions {
    /// setsockopt(2). ENOPROTOOPT for what is not one of these.
    pub fn set(&mut self, stream: bool, name: i32, value: &[u8]) -> Result<(), Errno> {
        let number = small_int(value);
        let bit = match name {
            c::IP_TTL => {
                if value.is_empty() {
                    return Err(Errno::EINVAL);
                }
                // -1 is the default (ip(7)).
                self.ttl = if number == -1 { DEFAULT_TTL } else { within(number, 1..=255)? as u8 };
                return Ok(());
            }
            c::IP_TOS => {
                self.tos = traffic_class(stream, self.tos, number as u8);
                return Ok(());
            }
            c::IP_PKTINFO => receive::PKTINFO,
            c::IP_RECVTTL => receive::TTL,
            c::IP_RECVTOS => receive::TOS,
            _ => return Err(Errno::ENOPROTOOPT),
        };
        self.want(bit, number != 0);
        Ok(())
    }

    /// Sets or clears a bit of [`receive`].
    pub fn want(&mut self, bit: u16, on: bool) {
        self.receive = if on { self.receive | bit } else { self.receive & !bit };
    }

    /// getsockopt(2).
    pub fn get(&self, name: i32) -> Result<i32, Errno> {
        let wanted = |bit: u16| i32::from(self.receive & bit != 0);
        Ok(match name {
            c::IP_TTL => self.ttl.into(),
            c::IP_TOS => self.tos.into(),
            c::IP_PKTINFO => wanted(receive::PKTINFO),
            c::IP_RECVTTL => wanted(receive::TTL),
            c::IP_RECVTOS => wanted(receive::TOS),
            _ => return Err(Errno::ENOPROTOOPT),
        })
    }
}

/// TCP_CONGESTION: ENOENT for an algorithm that is not there.
fn set_congestion(value: &[u8]) -> Result<(), Errno> {
    let value = &value[..value.len().min(CONGESTION_NAME - 1)];
    match value.split(|b| *b == 0).next() {
        _ if value.is_empty() => Err(Errno::EINVAL),
        Some(CONGESTION) => Ok(()),
        _ => Err(Errno::ENOENT),
    }
}

impl TcpOptions {
    /// setsockopt(2). ENOPROTOOPT for what is not one of these.
    pub fn set(&mut self, name: i32, value: &[u8]) -> Result<(), Errno> {
        if name == c::TCP_CONGESTION {
            return set_congestion(value);
        }
        let number = int(value)?;
        match name {
            c::TCP_NODELAY => self.nodelay = number != 0,
            c::TCP_CORK => self.cork = number != 0,
            c::TCP_MAXSEG if number == 0 => self.max_segment = 0,
            c::TCP_MAXSEG => self.max_segment = within(number, SEGMENT)? as u16,
            c::TCP_KEEPIDLE => self.keep_idle = within(number, 1..=MAX_KEEP)?,
            c::TCP_KEEPINTVL => self.keep_interval = within(number, 1..=MAX_KEEP)?,
            c::TCP_KEEPCNT => self.keep_count = within(number, 1..=MAX_KEEP_COUNT)?,
            c::TCP_USER_TIMEOUT => self.user_timeout = within(number, 0..=i32::MAX)?,
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    /// getsockopt(2), for what is here.
    fn get(&self, name: i32) -> Result<i32, Errno> {
        Ok(match name {
            c::TCP_NODELAY => self.nodelay.into(),
            c::TCP_CORK => self.cork.into(),
            c::TCP_KEEPIDLE => self.keep_idle as i32,
            c::TCP_KEEPINTVL => self.keep_interval as i32,
            c::TCP_KEEPCNT => self.keep_count as i32,
            c::TCP_USER_TIMEOUT => self.user_timeout as i32,
            _ => return Err(Errno::ENOPROTOOPT),
        })
    }
}

impl Inet {
    /// setsockopt(2) of IPPROTO_IP, and of IPPROTO_TCP on a stream socket.
    pub(super) fn set_level(
        &mut self,
        core: &mut Core,
        id: SocketId,
        level: i32,
        name: i32,
        value: &[u8],
    ) -> Result<(), Errno> {
        let (tcp, six) = (Self::is_tcp(core, id), is_6(core, id));
        if let Some(result) = self.set_multicast(core, id, level, name, value) {
            return result;
        }
        let endpoint = self.endpoint(core, id);
        if endpoint.raw.is_some()
            && let Some(result) = self.set_raw(core, id, level, name, value)
        {
            return result;
        }
        let endpoint = self.endpoint(core, id);
        match level {
            c::IPPROTO_IP => endpoint.ip.set(tcp, name, value)?,
            c::IPPROTO_TCP if tcp => endpoint.tcp.set(name, value)?,
            c::IPPROTO_IPV6 if six => options6::set(endpoint, tcp, name, value)?,
            _ => return Err(Errno::ENOPROTOOPT),
        }
        if tcp {
            self.tcp.apply_options(&mut self.shared, core, id);
            if (level, name) == (c::IPPROTO_TCP, c::TCP_NODELAY) {
                self.tcp.push(&self.shared, core, id);
            }
        }
        Ok(())
    }

    /// A generic option of a socket was set.
    pub(super) fn generic_option(&mut self, core: &mut Core, id: SocketId, name: i32) {
        match name {
            c::SO_KEEPALIVE if Self::is_tcp(core, id) => self.tcp.apply_options(&mut self.shared, core, id),
            c::SO_REUSEADDR | c::SO_REUSEPORT | c::SO_BINDTODEVICE => self.shared.share(core, id),
            c::SO_TIMESTAMP | c::SO_TIMESTAMPNS => {
                let on = core.sockets[id].options.timestamp.is_some();
                self.endpoint(core, id).ip.want(receive::TIME, on);
            }
            _ => {}
        }
    }

    /// getsockopt(2) of IPPROTO_IP, and of IPPROTO_TCP on a stream socket.
    pub(super) fn get_level(
        &mut self,
        core: &mut Core,
        id: SocketId,
        level: i32,
        name: i32,
        value: &mut [u8],
    ) -> Result<usize, Errno> {
        let (tcp, six) = (Self::is_tcp(core, id), is_6(core, id));
        if let Some(bytes) = self.get_multicast(core, id, level, name) {
            let n = value.len().min(bytes.len());
            value[..n].copy_from_slice(&bytes[..n]);
            return Ok(n);
        }
        if let Some(result) = self.get_raw(core, id, level, name, value) {
            return result;
        }
        let peer = self.endpoint(core, id).peer;
        // Of the way to the peer.
        let mtu = peer.map(|peer| core.links.mtu_to(peer.ip()) as i32);
        let endpoint = self.endpoint(core, id);
        let number = match (level, name) {
            (c::IPPROTO_IPV6, c::IPV6_MTU) if six => mtu.ok_or(Errno::ENOTCONN)?,
            (c::IPPROTO_IP, c::IP_MTU) => mtu.ok_or(Errno::ENOTCONN)?,
            (c::IPPROTO_IP, _) => endpoint.ip.get(name)?,
            (c::IPPROTO_TCP, c::TCP_MAXSEG) if tcp => {
                let endpoint = &self.shared.endpoints[core.sockets[id].state];
                match (self.tcp.segment(core, endpoint), endpoint.tcp.max_segment) {
                    (Some(segment), _) => segment.into(),
                    (None, 0) => DEFAULT_SEGMENT.into(),
                    (None, set) => set.into(),
                }
            }
            (c::IPPROTO_TCP, c::TCP_CONGESTION) if tcp => {
                let into = value.get_mut(..CONGESTION_NAME).ok_or(Errno::EINVAL)?;
                into.fill(0);
                into[..CONGESTION.len()].copy_from_slice(CONGESTION);
                return Ok(CONGESTION_NAME);
            }
            (c::IPPROTO_TCP, c::TCP_INFO) if tcp => {
                let info = self.tcp.info(&self.shared, core, id);
                value.get_mut(..info.len()).ok_or(Errno::EINVAL)?.copy_from_slice(&info);
                return Ok(tcp::INFO_BYTES);
            }
            (c::IPPROTO_TCP, _) if tcp => endpoint.tcp.get(name)?,
            (c::IPPROTO_IPV6, _) if six => return options6::get(endpoint, name, value),
            // Linux, by way of its older code for IPv4.
            _ if !six && ![c::SOL_SOCKET, c::IPPROTO_UDP, c::SOL_RAW].contains(&level) => {
                return Err(Errno::EOPNOTSUPP);
            }
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(put_int(value, number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_linuxs() {
        let mut o = TcpOptions::default();
        for (name, good, bad) in [
            (c::TCP_KEEPIDLE, [1, 32_767], [0, 32_768]),
            (c::TCP_KEEPINTVL, [1, 32_767], [0, 32_768]),
            (c::TCP_KEEPCNT, [1, 127], [0, 128]),
            (c::TCP_MAXSEG, [88, 32_767], [87, 32_768]),
            (c::TCP_USER_TIMEOUT, [0, i32::MAX], [-1, i32::MIN]),
        ] {
            for n in good {
                assert_eq!(o.set(name, &n.to_ne_bytes()), Ok(()), "{name} {n}");
                assert!(name == c::TCP_MAXSEG || o.get(name) == Ok(n));
            }
            for n in bad {
                assert_eq!(o.set(name, &n.to_ne_bytes()), Err(Errno::EINVAL), "{name} {n}");
            }
            assert_eq!(o.set(name, &[1, 0, 0]), Err(Errno::EINVAL));
        }
        assert_eq!(o.set(c::TCP_INFO, &[0; 4]), Err(Errno::ENOPROTOOPT));
        assert_eq!(o.set(99, &[0; 4]), Err(Errno::ENOPROTOOPT));
        for (name, want) in
            [(&b"reno\0"[..], Ok(())), (b"reno", Ok(())), (b"bbr", Err(Errno::ENOENT)), (b"", Err(Errno::EINVAL))]
        {
            assert_eq!(o.set(c::TCP_CONGESTION, name), want);
        }
    }

    #[test]
    fn ip_options_take_a_byte() {
        let mut o = IpOptions::default();
        assert_eq!(o.set(false, c::IP_TTL, &[7]), Ok(()));
        assert_eq!(o.get(c::IP_TTL), Ok(7));
        assert_eq!(o.set(false, c::IP_TTL, &[]), Err(Errno::EINVAL));
        assert_eq!(o.set(false, c::IP_TTL, &0i32.to_ne_bytes()), Err(Errno::EINVAL));
        assert_eq!(o.set(false, c::IP_TTL, &256i32.to_ne_bytes()), Err(Errno::EINVAL));
        assert_eq!(o.set(false, c::IP_TTL, &(-1i32).to_ne_bytes()), Ok(()));
        assert_eq!(o.get(c::IP_TTL), Ok(64));
        assert_eq!(o.set(false, c::IP_TOS, &[0x13]), Ok(()));
        assert_eq!(o.get(c::IP_TOS), Ok(0x13));
        assert_eq!(o.set(true, c::IP_TOS, &[0xfc]), Ok(()));
        assert_eq!(o.get(c::IP_TOS), Ok(0xff));
        assert_eq!(o.set(false, c::IP_HDRINCL, &[1; 4]), Err(Errno::ENOPROTOOPT));
        for name in [c::IP_PKTINFO, c::IP_RECVTTL, c::IP_RECVTOS] {
            assert_eq!((o.set(false, name, &[1, 0, 0, 0]), o.get(name)), (Ok(()), Ok(1)));
        }
        assert_eq!((o.set(false, c::IP_RECVTTL, &[0]), o.get(c::IP_RECVTTL)), (Ok(()), Ok(0)));
        assert_eq!(o.receive, receive::PKTINFO | receive::TOS);
    }
}
