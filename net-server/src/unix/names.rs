//! Names of local sockets (unix(7)).
//!
//! A name in the file system is checked by `vfs_server`, not here: the client
//! shows a token that it got there, behind the padded `sockaddr_un`.

use alloc::{boxed::Box, collections::BTreeMap};

use strait_abi::{Address, Errno, address::AF_UNIX};

use crate::socket::SocketId;

/// Bytes of a whole `sockaddr_un`.
pub const SOCKADDR: usize = 110;
/// Bytes of the two words of a token that travel behind it.
pub const TOKEN: usize = 16;
/// Names that autobind chooses from.
const AUTOMATIC: u64 = 1 << 20;

/// A name as a client gives it.
pub enum Name<'a> {
    /// Only the family: bind(2) chooses a name.
    Unnamed,
    /// With its leading zero.
    Abstract(&'a [u8]),
    /// A path, and number and code of the token if there is one.
    Path(&'a [u8], Option<[u64; 2]>),
}

impl<'a> Name<'a> {
    /// The name in a `sockaddr_un`; EINVAL if it is none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Errno> {
        let (name, token) = match bytes.len() {
            n if n == SOCKADDR + TOKEN => bytes.split_at(SOCKADDR),
            2..=SOCKADDR => (bytes, &[][..]),
            _ => return Err(Errno::EINVAL),
        };
        let (family, name) = name.split_first_chunk().ok_or(Errno::EINVAL)?;
        if u16::from_ne_bytes(*family) != AF_UNIX {
            return Err(Errno::EINVAL);
        }
        Ok(match name.first() {
            None => Self::Unnamed,
            Some(0) if token.is_empty() => Self::Abstract(name),
            Some(0) => return Err(Errno::EINVAL),
            Some(_) => {
                let path = name.split(|b| *b == 0).next().unwrap_or_default();
                let word = |at: usize| token.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_ne_bytes);
                Self::Path(path, word(0).zip(word(8)).map(|(a, b)| [a, b]))
            }
        })
    }
}

impl Name<'_> {
    /// EINVAL if nobody can be called so.
    pub fn known(&self) -> Result<(), Errno> {
        if matches!(self, Self::Unnamed) { Err(Errno::EINVAL) } else { Ok(()) }
    }
}

/// An address of no name.
pub fn unnamed() -> Address {
    address(&[], false)
}

/// The `sockaddr_un` of a name; that of a path ends with a zero.
pub fn address(name: &[u8], path: bool) -> Address {
    let mut address = Address::EMPTY;
    if let Ok(bytes) = address.resize(2 + name.len() + usize::from(path)) {
        bytes.fill(0);
        bytes[..2].copy_from_slice(&AF_UNIX.to_ne_bytes());
        bytes[2..2 + name.len()].copy_from_slice(name);
    }
    address
}

/// What a bound name is found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Type of the socket and name: each type has names of its own.
    Abstract(u16, Box<[u8]>),
    /// A node of the file system.
    Node(u64),
}

/// All bound names.
#[derive(Default)]
pub struct Names(BTreeMap<Key, SocketId>);

impl Names {
    /// EADDRINUSE if it is taken.
    pub fn bind(&mut self, key: &Key, id: SocketId) -> Result<(), Errno> {
        if self.0.contains_key(key) {
            return Err(Errno::EADDRINUSE);
        }
        self.0.insert(key.clone(), id);
        Ok(())
    }

    pub fn unbind(&mut self, key: &Key) {
        self.0.remove(key);
    }

    pub fn find(&self, key: &Key) -> Option<SocketId> {
        self.0.get(key).copied()
    }

    /// A free abstract name: a zero and five hexadecimal digits. ENOSPC if
    /// there is none.
    pub fn automatic(&self, kind: u16, random: u64) -> Result<Box<[u8]>, Errno> {
        // There are never as many sockets as names: ends soon.
        for i in 0..AUTOMATIC {
            let number = (random.wrapping_add(i)) % AUTOMATIC;
            let mut name = [0; 6];
            for (at, digit) in name[1..].iter_mut().enumerate() {
                *digit = b"0123456789abcdef"[(number >> (16 - 4 * at)) as usize & 15];
            }
            let name: Box<[u8]> = Box::new(name);
            if self.find(&Key::Abstract(kind, name.clone())).is_none() {
                return Ok(name);
            }
        }
        Err(Errno::ENOSPC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let parse = |b: &[u8]| match Name::parse(b) {
            Ok(Name::Unnamed) => "unnamed".into(),
            Ok(Name::Abstract(n)) => alloc::format!("abstract {n:?}"),
            Ok(Name::Path(p, t)) => alloc::format!("path {p:?} {t:?}"),
            Err(e) => alloc::format!("{}", e.raw()),
        };
        assert_eq!(parse(&[1]), "22");
        assert_eq!(parse(&[2, 0, 1]), "22");
        assert_eq!(parse(&[1, 0]), "unnamed");
        assert_eq!(parse(&[1, 0, 0, 7]), "abstract [0, 7]");
        assert_eq!(parse(&[1, 0, 47, 65, 0, 9]), "path [47, 65] None");
        let mut long = [0; SOCKADDR + TOKEN];
        long[..3].copy_from_slice(&[1, 0, 47]);
        (long[SOCKADDR], long[SOCKADDR + 8]) = (5, 6);
        assert_eq!(parse(&long), "path [47] Some([5, 6])");
        assert_eq!(parse(&long[..SOCKADDR + 1]), "22");
        assert_eq!(unnamed().as_bytes(), [1, 0]);
        assert_eq!(address(b"/a", true).as_bytes(), [1, 0, 47, 97, 0]);
    }

    #[test]
    fn automatic_names_are_free_ones() {
        let mut names = Names::default();
        let first = names.automatic(1, 0xabcde).unwrap();
        assert_eq!(&*first, b"\0abcde");
        names.bind(&Key::Abstract(1, first), 1).unwrap();
        assert_eq!(&*names.automatic(1, 0xabcde).unwrap(), b"\0abcdf");
        assert_eq!(&*names.automatic(2, 0xabcde).unwrap(), b"\0abcde");
    }
}
