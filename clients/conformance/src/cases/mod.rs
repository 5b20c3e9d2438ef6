//! The cases, by subject.

use crate::case::Case;

mod bind;
mod connect;
mod datagram;
mod descriptor;
mod listen;
mod socket;
mod stream;

/// All of them.
pub const ALL: &[(&str, &[Case])] = &[
    ("sockets", socket::CASES),
    ("names", bind::CASES),
    ("connecting", connect::CASES),
    ("listening", listen::CASES),
    ("streams", stream::CASES),
    ("datagrams", datagram::CASES),
    ("descriptors", descriptor::CASES),
];
