//! Control data of messages (cmsg(3)) on its way through the library.

use alloc::vec::Vec;

use strait_abi::{
    Errno,
    control::{HEADER, Item, OWN_LEVEL, items, put as append, space},
    net::MAX_OPTION,
    socket::{IPPROTO_IP, IPPROTO_IPV6, MSG_CTRUNC, SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET},
};

/// Most control data of one message (`net.core.optmem_max` of Linux).
pub const MAX_CONTROL: usize = 20_480;
/// Bytes of a value that the server looks at, and one more.
const LONGEST_VALUE: usize = 21;

/// What comes with received data beside the data itself.
#[derive(Default)]
pub struct Extra {
    /// Of recvmsg(2): MSG_TRUNC, ...
    pub flags: u32,
    /// Control data as the server gave it with the data.
    pub control: Vec<u8>,
    /// Control data that had to be asked for: descriptors as handles.
    pub rights: Vec<u8>,
    /// There was a record.
    pub record: bool,
}

/// Refuses control data that no socket takes, as sendmsg(2) does.
pub fn check(control: &[u8]) -> Result<(), Errno> {
    if control.len() > MAX_CONTROL {
        return Err(Errno::ENOBUFS);
    }
    for item in items(control) {
        let Item { level, kind, .. } = item?;
        // Linux takes some on any socket; only AF_UNIX does something. What is of
        // another level is ignored.
        if level == SOL_SOCKET && !matches!(kind, SCM_RIGHTS | SCM_CREDENTIALS) {
            return Err(Errno::EINVAL);
        }
    }
    Ok(())
}

/// What the server is to know of the control data of a datagram: what is of no
/// level that it looks at is left out. ENOBUFS if that is too much.
pub fn for_server(control: &[u8]) -> Result<Vec<u8>, Errno> {
    if control.len() > MAX_CONTROL {
        return Err(Errno::ENOBUFS);
    }
    let (mut bytes, mut used) = (alloc::vec![0; MAX_OPTION - space(0)], 0);
    for item in items(control) {
        let item = match item {
            Ok(item) if matches!(item.level, SOL_SOCKET | IPPROTO_IP | IPPROTO_IPV6) => item,
            Ok(_) => continue,
            // That it is none of these is for the server to say, too.
            Err(_) => Item { level: SOL_SOCKET, kind: -1, value: &[] },
        };
        // The longest that means something is shorter.
        let value = &item.value[..item.value.len().min(LONGEST_VALUE)];
        if !append(&mut bytes, &mut used, Item { value, ..item }) {
            return Err(Errno::ENOBUFS);
        }
    }
    bytes.truncate(used);
    Ok(bytes)
}

/// Adds what the library itself says of a datagram.
pub fn add_own(control: &mut Vec<u8>, kind: i32) {
    let mut used = control.len();
    control.resize(used + space(0), 0);
    append(control, &mut used, Item { level: OWN_LEVEL, kind, value: &[] });
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
