//! SCM_RIGHTS between a client and `net_server`: the value of the item is a
//! sequence of words of four bytes. A socket is one word, its handle; a file is
//! [`FILE`] and the 16 bytes of number and code of a token of `vfs_server`
//! ([`crate::vfs`]).

/// Set in a word: the description has O_NONBLOCK.
pub const NONBLOCK: u32 = 1 << 30;
/// Set in a word: a file, whose token follows.
pub const FILE: u32 = 1 << 31;
/// Bytes of the token.
pub const TOKEN_BYTES: usize = 16;
/// A word that stands for a descriptor for which the receiver had no place.
pub const LOST: u32 = NONBLOCK | 0xffff;
/// Most bytes of such a value: 110 sockets, or 22 files. (Linux allows 253
/// descriptors in a message; here they must fit a call.)
pub const MAX_BYTES: usize = 440;
/// Most bytes of control data in a call, with an identity.
pub const MAX_CONTROL: usize = crate::control::space(MAX_BYTES) + crate::control::space(12);
