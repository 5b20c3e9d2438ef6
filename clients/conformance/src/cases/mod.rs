//! The cases, by subject.

use crate::case::Case;

mod socket;

/// All of them.
pub const ALL: &[(&str, &[Case])] = &[("socket", socket::CASES)];
