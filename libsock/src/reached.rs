//! Addresses that datagrams came from or went to without an error.
//!
//! A datagram leaves by the ring, and what its way lacks shows later. On Linux
//! sendto(2) tells at once that there is no way, or that the socket may not use
//! it; so the first datagram to an address goes by a call, and what follows
//! needs none. Answers to who has asked never do.
//!
//! What the socket may do can change with every call that changes the socket:
//! then nothing was reached.
//!
//! Two addresses that look alike in short count as one: an error of the second
//! is told late.

use core::cell::Cell;

use strait_abi::address::INET_LEN;

/// A few addresses, the later ones in place of earlier ones.
pub struct Reached([Cell<u64>; 16]);

impl Reached {
    pub const fn new() -> Self {
        Self([const { Cell::new(0) }; 16])
    }

    /// The place of an address of the internet families, and it in short.
    #[inline]
    fn place(&self, address: &[u8]) -> (&Cell<u64>, u64) {
        let word = |at: usize| address.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_ne_bytes);
        // Family, port and IPv4 address; the rest is of IPv6.
        let short = word(0) ^ word(8).rotate_left(17) ^ word(16).rotate_left(31) ^ (address.len() as u64) << 56;
        let mixed = short.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (&self.0[(mixed >> 60) as usize], short)
    }

    /// Enters an address; whether it was there already. One of another length is
    /// not entered.
    #[inline]
    pub fn enter(&self, address: &[u8]) -> bool {
        let (place, short) = self.place(address);
        matches!(address.len(), 16 | INET_LEN) && short != 0 && place.replace(short) == short
    }

    /// Forgets all.
    #[cold]
    pub fn clear(&self) {
        self.0.iter().for_each(|place| place.set(0));
    }

    /// A send to it failed.
    #[cold]
    pub fn forget(&self, address: &[u8]) {
        self.place(address).0.set(0);
    }
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    use super::*;
    use strait_abi::Address;

    #[test]
    fn remembers_the_last_ones_and_forgets_failures() {
        let reached = Reached::new();
        let a = Address::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 7)));
        let b = Address::from(SocketAddr::from((Ipv6Addr::LOCALHOST, 7)));
        for address in [&a, &b] {
            assert!(!reached.enter(address.as_bytes()));
        }
        for address in [&a, &b] {
            assert!(reached.enter(address.as_bytes()));
            reached.forget(address.as_bytes());
            assert!(!reached.enter(address.as_bytes()));
        }
        for port in 0..1000 {
            reached.enter(Address::from(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).as_bytes());
        }
        // Bytes of any length are an address like any other.
        for len in 0..30 {
            reached.enter(&[1; 30][..len]);
        }
    }
}
