//! Sequences that once differed.

use crate::op::{Kind, Op};

/// Played first in every run.
pub const FINDS: &[(Kind, &[Op])] = &[];
