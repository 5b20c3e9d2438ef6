//! Socket addresses, as the bytes of a C `sockaddr`.
//!
//! The socket engine and the session transport move addresses without looking
//! into them; only a family does. So they travel as POSIX has them: two bytes
//! of family number, the rest is the family's.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::Errno;

/// No address.
pub const AF_UNSPEC: u16 = 0;
/// Local sockets (unix(7)).
pub const AF_UNIX: u16 = 1;
/// IPv4 (ip(7)).
pub const AF_INET: u16 = 2;
/// IPv6 (ipv6(7)).
pub const AF_INET6: u16 = 10;
/// Frames (packet(7)).
pub const AF_PACKET: u16 = 17;

/// Bytes in a `sockaddr_storage`: no address is longer.
pub const MAX_LEN: usize = 128;

/// A socket address.
#[derive(Clone, Copy)]
pub struct Address {
    len: u8,
    bytes: [u8; MAX_LEN],
}

impl Address {
    /// The address of no family and no length.
    pub const EMPTY: Self = Self { len: 0, bytes: [0; MAX_LEN] };

    /// Takes the bytes of a `sockaddr`; EINVAL if there are more than
    /// [`MAX_LEN`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Errno> {
        let mut address = Self::EMPTY;
        address.resize(bytes.len())?.copy_from_slice(bytes);
        Ok(address)
    }

    /// Makes it `len` bytes long and gives them out to be written; EINVAL if
    /// that is more than [`MAX_LEN`].
    #[inline]
    pub fn resize(&mut self, len: usize) -> Result<&mut [u8], Errno> {
        let bytes = self.bytes.get_mut(..len).ok_or(Errno::EINVAL)?;
        self.len = len as u8;
        Ok(bytes)
    }

    /// Makes it [`EMPTY`](Self::EMPTY).
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Its bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Its family; `None` if it is too short to have one.
    pub fn family(&self) -> Option<u16> {
        Some(u16::from_ne_bytes(*self.as_bytes().first_chunk()?))
    }

    /// It as an IP address and port. EINVAL if it is too short for its family,
    /// EAFNOSUPPORT if that is neither AF_INET nor AF_INET6.
    pub fn to_inet(&self) -> Result<SocketAddr, Errno> {
        decode_inet(self.as_bytes())
    }
}

/// Bytes of the longest address of the internet families.
pub const INET_LEN: usize = 28;

/// [`Address::to_inet`] for bytes that are no [`Address`] yet.
#[inline]
pub fn decode_inet(b: &[u8]) -> Result<SocketAddr, Errno> {
    let port = |b: &[u8]| u16::from_be_bytes([b[2], b[3]]);
    match u16::from_ne_bytes(*b.first_chunk().ok_or(Errno::EINVAL)?) {
        AF_INET if b.len() >= 16 => Ok(SocketAddrV4::new(Ipv4Addr::new(b[4], b[5], b[6], b[7]), port(b)).into()),
        // RFC 2133 had no sin6_scope_id; Linux takes that too.
        AF_INET6 if b.len() >= 24 => {
            let mut ip = [0; 16];
            ip.copy_from_slice(&b[8..24]);
            let word = |at: usize| u32::from_ne_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
            Ok(SocketAddrV6::new(Ipv6Addr::from(ip), port(b), word(4), if b.len() < INET_LEN { 0 } else { word(24) })
                .into())
        }
        AF_INET | AF_INET6 => Err(Errno::EINVAL),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// Writes a `sockaddr_in` (16 bytes) or `sockaddr_in6` (28 bytes) over zeros;
/// returns its length.
#[inline]
pub fn encode_inet(address: SocketAddr, into: &mut [u8; INET_LEN]) -> usize {
    into[2..4].copy_from_slice(&address.port().to_be_bytes());
    let (family, len) = match address {
        SocketAddr::V4(v4) => {
            into[4..8].copy_from_slice(&v4.ip().octets());
            (AF_INET, 16)
        }
        SocketAddr::V6(v6) => {
            into[4..8].copy_from_slice(&v6.flowinfo().to_ne_bytes());
            into[8..24].copy_from_slice(&v6.ip().octets());
            into[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
            (AF_INET6, INET_LEN)
        }
    };
    into[..2].copy_from_slice(&family.to_ne_bytes());
    len
}

impl From<SocketAddr> for Address {
    /// A `sockaddr_in` (16 bytes) or `sockaddr_in6` (28 bytes).
    fn from(address: SocketAddr) -> Self {
        let mut bytes = [0; INET_LEN];
        let len = encode_inet(address, &mut bytes);
        let mut a = Self::EMPTY;
        a.bytes[..INET_LEN].copy_from_slice(&bytes);
        a.len = len as u8;
        a
    }
}

impl From<(IpAddr, u16)> for Address {
    fn from(address: (IpAddr, u16)) -> Self {
        SocketAddr::from(address).into()
    }
}

impl core::fmt::Debug for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.to_inet() {
            Ok(a) => write!(f, "{a}"),
            Err(_) => write!(f, "Address({:?})", self.as_bytes()),
        }
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Address {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            match Address::from_bytes(&bytes) {
                Ok(a) => { prop_assert_eq!(a.as_bytes(), &bytes[..]); let _ = a.to_inet(); }
                Err(e) => { prop_assert!(bytes.len() > MAX_LEN); prop_assert_eq!(e, Errno::EINVAL); }
            }
        }

        #[test]
        fn inet_addresses_round_trip(ip in any::<IpAddr>(), port in any::<u16>()) {
            let a = SocketAddr::new(ip, port);
            prop_assert_eq!(Address::from(a).to_inet(), Ok(a));
        }
    }
}
