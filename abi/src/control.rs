//! Control data of a message (cmsg(3)): a sequence of headers and values, laid
//! out as C has them on a 64-bit machine, in either direction.
//!
//! ```text
//! 0   u64 length of header and value, without padding
//! 8   i32 level
//! 12  i32 type
//! 16  value, padded to eight bytes
//! ```

use crate::Errno;

/// Bytes of the header of one item.
pub const HEADER: usize = 16;

/// Level of what the client library itself says of a datagram; no level of
/// Linux.
pub const OWN_LEVEL: i32 = -1;
/// At [`OWN_LEVEL`], without value: the datagram goes to neighbours only
/// (MSG_DONTROUTE).
pub const DONT_ROUTE: i32 = 1;
/// At [`OWN_LEVEL`], without value: it is not sent, only what sending it would
/// give is asked for.
pub const ONLY_ASKED: i32 = 2;
/// At [`OWN_LEVEL`], without value: its data, which is not there, is longer than
/// a datagram can be.
pub const TOO_LONG: i32 = 3;
/// At [`OWN_LEVEL`], without value, beside [`TOO_LONG`]: it is longer than 65,535
/// bytes, which UDP over IPv4 refuses before it looks at anything.
pub const NO_LENGTH: i32 = 5;
/// At [`OWN_LEVEL`], without value: it came with MSG_OOB, which UDP over IPv4
/// refuses.
pub const URGENT: i32 = 4;

/// One item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// SOL_SOCKET, IPPROTO_IP, ...
    pub level: i32,
    /// SCM_RIGHTS, IP_PKTINFO, ...
    pub kind: i32,
    /// The value.
    pub value: &'a [u8],
}

/// CMSG_SPACE: what an item with a value of `len` bytes takes.
pub const fn space(len: usize) -> usize {
    HEADER + ((len + 7) & !7)
}

/// The items in `bytes`. One with an impossible length gives EINVAL and ends
/// the sequence, as sendmsg(2) would.
pub fn items(bytes: &[u8]) -> impl Iterator<Item = Result<Item<'_>, Errno>> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        // Fewer bytes than a header end the sequence (CMSG_FIRSTHDR, CMSG_NXTHDR).
        let header = rest.first_chunk::<HEADER>()?;
        let len = u64::from_ne_bytes(*header.first_chunk()?);
        let word = |at: usize| i32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (level, kind) = (word(8), word(12));
        let value = usize::try_from(len).ok().and_then(|len| rest.get(HEADER..len));
        Some(match value {
            Some(value) => {
                rest = rest.get(space(value.len())..).unwrap_or_default();
                Ok(Item { level, kind, value })
            }
            None => {
                rest = &[];
                Err(Errno::EINVAL)
            }
        })
    })
}

/// Appends an item at `*used` of `into`; false, and nothing changed, if it
/// does not fit.
pub fn put(into: &mut [u8], used: &mut usize, item: Item<'_>) -> bool {
    let end = *used + space(item.value.len());
    let Some(bytes) = into.get_mut(*used..end) else { return false };
    bytes.fill(0);
    bytes[..8].copy_from_slice(&((HEADER + item.value.len()) as u64).to_ne_bytes());
    bytes[8..12].copy_from_slice(&item.level.to_ne_bytes());
    bytes[12..16].copy_from_slice(&item.kind.to_ne_bytes());
    bytes[HEADER..HEADER + item.value.len()].copy_from_slice(item.value);
    *used = end;
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn items_round_trip(values in proptest::collection::vec((any::<i32>(), any::<i32>(),
                            proptest::collection::vec(any::<u8>(), 0..40)), 0..5)) {
            let (mut bytes, mut used) = ([0; 400], 0);
            for (level, kind, value) in &values {
                let fits = put(&mut bytes, &mut used, Item { level: *level, kind: *kind, value });
                prop_assert!(fits);
            }
            let mut back = items(&bytes[..used]);
            for (level, kind, value) in &values {
                prop_assert_eq!(back.next(), Some(Ok(Item { level: *level, kind: *kind, value })));
            }
            prop_assert_eq!(back.next(), None);
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(items(&bytes).count() <= bytes.len() / HEADER + 1);
        }
    }

    #[test]
    fn an_item_longer_than_the_rest_is_an_error() {
        let (mut bytes, mut used) = ([0; 64], 0);
        put(&mut bytes, &mut used, Item { level: 1, kind: 1, value: &[1; 4] });
        bytes[0] = 200;
        assert_eq!(items(&bytes[..used]).last(), Some(Err(Errno::EINVAL)));
        bytes[0] = 3;
        assert_eq!(items(&bytes[..used]).last(), Some(Err(Errno::EINVAL)));
        assert!(!put(&mut bytes[..10], &mut 0, Item { level: 0, kind: 0, value: &[] }));
    }
}
