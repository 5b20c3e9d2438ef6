//! Interfaces as `net_server` lists them, and the numbers of netdevice(7) and
//! rtnetlink(7) that belong to them (Linux).

use serde::{Deserialize, Serialize};

use crate::Errno;

/// Bytes of an interface's name, the zero at its end included (IFNAMSIZ).
pub const NAME_BYTES: usize = 16;
/// Bytes of a C `struct ifreq`.
pub const IFREQ_BYTES: usize = 40;

/// It is switched on.
pub const IFF_UP: u32 = 1;
/// It has broadcasts.
pub const IFF_BROADCAST: u32 = 2;
/// It is loopback.
pub const IFF_LOOPBACK: u32 = 8;
/// It has a carrier.
pub const IFF_RUNNING: u32 = 0x40;
/// It has multicast.
pub const IFF_MULTICAST: u32 = 0x1000;

/// Hardware type of Ethernet.
pub const ARPHRD_ETHER: u16 = 1;
/// Hardware type of loopback.
pub const ARPHRD_LOOPBACK: u16 = 772;

/// A route that is there.
pub const RTF_UP: u16 = 1;
/// A route by way of a gateway.
pub const RTF_GATEWAY: u16 = 2;
/// A route to one host.
pub const RTF_HOST: u16 = 4;

/// One entry of the list: an interface, or one of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// The interface's index, from 1.
    pub index: u32,
    /// Its name.
    pub name: &'a str,
    /// IFF_UP and the like.
    pub flags: u32,
    /// Its MTU, in bytes.
    pub mtu: u32,
    /// ARPHRD_ETHER or ARPHRD_LOOPBACK.
    pub kind: u16,
    /// Its hardware address.
    pub hardware: [u8; 6],
    /// The address: 4 or 16 bytes, or none for the interface itself.
    pub address: &'a [u8],
    /// Bits of the address that are its network's.
    pub prefix: u8,
}

impl<'a> Entry<'a> {
    /// Encodes it into `buffer`; EINVAL if that is too short.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
        postcard::to_slice(self, buffer).map(|b| &*b).map_err(|_| Errno::EINVAL)
    }

    /// Decodes what [`encode`](Self::encode) made; EPROTO for anything else.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Errno> {
        postcard::from_bytes(bytes).map_err(|_| Errno::EPROTO)
    }
}

/// A name out of zero-terminated bytes; `None` if they are none.
pub fn name(bytes: &[u8]) -> Option<&str> {
    let bytes = bytes.get(..NAME_BYTES)?;
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(NAME_BYTES - 1);
    core::str::from_utf8(&bytes[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_fits_an_answer() {
        let entry = Entry {
            index: u32::MAX,
            name: "fifteen-letters",
            flags: u32::MAX,
            mtu: u32::MAX,
            kind: u16::MAX,
            hardware: [255; 6],
            address: &[255; 16],
            prefix: 128,
        };
        let mut buffer = [0; 64];
        let bytes = entry.encode(&mut buffer).unwrap();
        assert_eq!(Entry::decode(bytes), Ok(entry));
        for n in 0..bytes.len() {
            assert_eq!(Entry::decode(&bytes[..n]), Err(Errno::EPROTO));
        }
    }

    #[test]
    fn names_end_with_a_zero() {
        assert_eq!(name(b"eth0\0\0\0\0\0\0\0\0\0\0\0\0rest"), Some("eth0"));
        assert_eq!(name(&[b'x'; 16]), Some("xxxxxxxxxxxxxxx"));
        assert_eq!(name(&[0xff; 16]), None);
        assert_eq!(name(b"eth0"), None);
    }
}
