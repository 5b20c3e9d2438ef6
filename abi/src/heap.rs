//! What `net_server` needs of heap: the checker refuses a system whose region
//! `net_server_heap` is smaller than [`least`], and the server never takes
//! more than is counted here, whatever clients and network do.
//!
//! | part | for |
//! |---|---|
//! | [`RESERVE`] | what does not grow with the clients: connections in TIME-WAIT, neighbours, groups, fragments, packets on loopback, frames for packet sockets, whatever one call or packet needs for a moment |
//! | [`PLACE`], for each place for a socket | sockets and their rings, those that are closed and not yet over, that wait to be accepted, that are on their way in messages; names, groups, datagrams and control data that wait |
//! | [`CONNECTION`], for each TCP connection | its private buffers |
//!
//! A session has a connection for each of its places, and a part of those for
//! which there is heap beyond that. So no client and no peer can take what
//! another needs.

use crate::{policy::Policy, session::sockets_for};

/// Bytes for what does not grow with the clients.
pub const RESERVE: u64 = 8 << 20;
/// Bytes for each place for a socket.
pub const PLACE: u64 = 16 << 10;
/// Bytes for each TCP connection.
pub const CONNECTION: u64 = 66 << 10;

/// Places for sockets in a session region of `bytes` bytes.
pub fn places(bytes: usize, policy: &Policy) -> usize {
    let all = sockets_for(bytes);
    policy.sockets.map_or(all, |most| all.min(usize::from(most)))
}

/// The least heap for so many places in all sessions together.
pub const fn least(places: u64) -> u64 {
    RESERVE + places * (PLACE + CONNECTION)
}

/// Connections that a session with `own` of all `places` may have at once. With
/// less heap than [`least`] none has any.
pub fn connections(heap: u64, own: usize, places: usize) -> usize {
    let (own, places) = (own as u64, places as u64);
    let left = heap.checked_sub(least(places)).map(|left| left / CONNECTION);
    left.map_or(0, |left| (own + left * own / places.max(1)) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_given_out_than_there_is() {
        for heap in [0, least(100) - 1, least(100), least(100) + 7 * CONNECTION, 1 << 30] {
            let shares: usize = [8, 28, 64].iter().map(|own| connections(heap, *own, 100)).sum();
            assert_eq!(shares >= 100, heap >= least(100), "{heap}");
            assert!(shares == 0 || RESERVE + 100 * PLACE + shares as u64 * CONNECTION <= heap);
        }
        assert_eq!(connections(least(608), 256, 608), 256);
        assert_eq!(connections(least(8) + 16 * CONNECTION, 8, 8), 24);
    }

    #[test]
    fn a_policy_limits_the_places() {
        let mut policy = Policy::default();
        assert_eq!(places(2 << 20, &policy), 64);
        policy.sockets = Some(10);
        assert_eq!(places(2 << 20, &policy), 10);
        policy.sockets = Some(100);
        assert_eq!(places(2 << 20, &policy), 64);
    }
}
