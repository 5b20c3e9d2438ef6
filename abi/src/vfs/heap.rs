//! What `vfs_server` needs of heap: the checker refuses a system whose region
//! `vfs_server_heap` is smaller than [`least`], and the server never takes more
//! than is counted here, whatever clients do.
//!
//! | part | for |
//! |---|---|
//! | [`RESERVE`] | what one operation needs for a moment, the mounts |
//! | [`CLIENT`], for each client | its open files, those that it gave away or was handed, its pipes |
//! | [`DISK`], where there is one | sectors in memory: as on the disk, changed, about to be written |
//! | [`PAGE`], [`FILE`] | what clients fill |
//!
//! What is left for the last is divided evenly; see [`share`].

/// Bytes for what does not grow with the clients.
pub const RESERVE: u64 = 2 << 20;
/// Bytes for each client, whatever it fills.
pub const CLIENT: u64 = 384 << 10;
/// Bytes for a disk.
pub const DISK: u64 = 11 << 20;
/// Bytes for a page of content, of 4 KiB.
pub const PAGE: u64 = 4352;
/// Bytes for a file, directory, or further name of a file, without content: with
/// the longest name, alone in its directory.
pub const FILE: u64 = 2048;
/// The least share of a client, of either.
const LEAST: u64 = 64;

/// The least heap for so many clients, and perhaps a disk.
pub const fn least(clients: u64, disk: bool) -> u64 {
    fixed(clients, disk) + clients * LEAST * (PAGE + FILE)
}

const fn fixed(clients: u64, disk: bool) -> u64 {
    RESERVE + clients * CLIENT + if disk { DISK } else { 0 }
}

/// The pages, and as many files, that each client may fill. `None` with less heap
/// than [`least`].
pub fn share(heap: u64, clients: u64, disk: bool) -> Option<u64> {
    if heap < least(clients, disk) {
        return None;
    }
    Some((heap - fixed(clients, disk)) / clients.max(1) / (PAGE + FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_given_out_than_there_is() {
        for (clients, disk) in [(1, false), (2, true), (12, true), (60, false)] {
            let least = least(clients, disk);
            assert_eq!(share(least - 1, clients, disk), None);
            assert!(share(least, clients, disk).unwrap() >= LEAST);
            let heap = least + 12_345_678;
            let each = share(heap, clients, disk).unwrap();
            assert!(fixed(clients, disk) + clients * each * (PAGE + FILE) <= heap);
        }
    }
}
