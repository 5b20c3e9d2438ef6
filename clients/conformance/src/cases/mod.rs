//! The cases, by subject.

use crate::case::Case;

mod bind;
mod connect;
mod listen;
mod socket;
mod stream;

/// All of them.
pub const ALL: &[(&str, &[Case])] = &[
    ("socket", socket::CASES),
    ("bind", bind::CASES),
    ("connect", connect::CASES),
    ("listen", listen::CASES),
    ("stream", stream::CASES),
];
