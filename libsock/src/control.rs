//! Control data of messages (cmsg(3)) on its way through the library.

use alloc::vec::Vec;

use strait_abi::{
    Errno,
    address::AF_INET6,
    control::{HEADER, Item, OWN_LEVEL, items, put as append, space},
    socket::{
        IP_PKTINFO, IP_TOS, IP_TTL, IPPROTO_IP, IPPROTO_IPV6, IPV6_HOPLIMIT, IPV6_PKTINFO, IPV6_TCLASS, MSG_CTRUNC,
        SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET,
    },
};

use crate::socket::Socket;

/// Most control data of one message (`net.core.optmem_max` of Linux).
pub const MAX_CONTROL: usize = 20_480;

/// What comes with received data beside the data itself.
#[derive(Default)]
pub struct Extra {
    /// Of recvmsg(2): MSG_TRUNC, ...
    pub flags: u32,
    /// Control data as the server gave it with the data.
    pub control: Vec<u8>,
    /// Control data that had to be asked for: descriptors as handles.
    pub rights: Vec<u8>,
}

/// Refuses control data that the family does not take, as sendmsg(2) does.
/// Returns what the server is to know of it, for sockets of the internet
/// families.
pub fn check(socket: &Socket, control: &[u8]) -> Result<Vec<u8>, Errno> {
    if control.len() > MAX_CONTROL {
        return Err(Errno::ENOBUFS);
    }
    let mut kept: Vec<Item<'_>> = Vec::new();
    for item in items(control) {
        let item @ Item { level, kind, value } = item?;
        match level {
            // Linux takes them on any socket; only AF_UNIX does something.
            SOL_SOCKET if matches!(kind, SCM_RIGHTS | SCM_CREDENTIALS) => {}
            SOL_SOCKET => return Err(Errno::EINVAL),
            IPPROTO_IP if socket.is_inet() && !socket.is_stream() => check_ip(kind, value)?,
            IPPROTO_IPV6 if socket.family == AF_INET6 && !socket.is_stream() => check_ipv6(kind, value)?,
            // Linux: of another level, ignored.
            _ => continue,
        }
        if socket.is_inet() && level != SOL_SOCKET {
            // The last of a kind counts.
            kept.retain(|other| (other.level, other.kind) != (level, kind));
            kept.push(item);
        }
    }
    let mut bytes = alloc::vec![0; kept.iter().map(|item| space(item.value.len())).sum()];
    let mut used = 0;
    for item in kept {
        append(&mut bytes, &mut used, item);
    }
    Ok(bytes)
}

/// Adds what the library itself says of a datagram.
pub fn add_own(control: &mut Vec<u8>, kind: i32) {
    let mut used = control.len();
    control.resize(used + space(0), 0);
    append(control, &mut used, Item { level: OWN_LEVEL, kind, value: &[] });
}

fn int(value: &[u8]) -> Result<i32, Errno> {
    value.try_into().map(i32::from_ne_bytes).map_err(|_| Errno::EINVAL)
}

/// ip(7), "Ancillary messages".
fn check_ip(kind: i32, value: &[u8]) -> Result<(), Errno> {
    let good = match kind {
        IP_PKTINFO => value.len() == 12,
        IP_TTL => (1..=255).contains(&int(value)?),
        IP_TOS => value.len() == 1 || int(value).is_ok(),
        _ => false,
    };
    if good { Ok(()) } else { Err(Errno::EINVAL) }
}

/// RFC 3542, section 6.
fn check_ipv6(kind: i32, value: &[u8]) -> Result<(), Errno> {
    let good = match kind {
        IPV6_PKTINFO => value.len() >= 20,
        IPV6_HOPLIMIT | IPV6_TCLASS => (-1..=255).contains(&int(value)?),
        _ => false,
    };
    if good { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Writes an item behind the first `*used` bytes of `into` as recvmsg(2) does:
/// what does not fit is cut off, and MSG_CTRUNC set in `flags`.
pub fn put(into: &mut [u8], used: &mut usize, item: Item<'_>, flags: &mut u32) {
    let room = into.len().saturating_sub(*used);
    let len = (HEADER + item.value.len()).min(room);
    if len < HEADER {
        *flags |= MSG_CTRUNC;
        return;
    }
    if len < HEADER + item.value.len() {
        *flags |= MSG_CTRUNC;
    }
    let Some(bytes) = into.get_mut(*used..*used + space(len - HEADER).min(room)) else { return };
    bytes.fill(0);
    bytes[..8].copy_from_slice(&(len as u64).to_ne_bytes());
    bytes[8..12].copy_from_slice(&item.level.to_ne_bytes());
    bytes[12..16].copy_from_slice(&item.kind.to_ne_bytes());
    bytes[HEADER..len].copy_from_slice(&item.value[..len - HEADER]);
    *used += bytes.len();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_off() {
        let item = Item { level: 1, kind: 2, value: &[7; 12] };
        let full = |room: usize| {
            let (mut into, mut used, mut flags) = ([9; 64], 0, 0);
            put(&mut into[..room], &mut used, item, &mut flags);
            (used, flags, u64::from_ne_bytes(*into.first_chunk().unwrap()), into)
        };
        assert_eq!((full(40).0, full(40).1, full(40).2), (32, 0, 28));
        assert_eq!((full(28).0, full(28).1, full(28).2), (28, 0, 28));
        assert_eq!((full(20).0, full(20).1, full(20).2), (20, MSG_CTRUNC, 20));
        assert_eq!(&full(20).3[16..21], [7, 7, 7, 7, 9]);
        assert_eq!((full(15).0, full(15).1), (0, MSG_CTRUNC));
    }
}
