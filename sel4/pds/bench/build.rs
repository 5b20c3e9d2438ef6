//! Gives the program an address range of its own.

include!("../../image_base.rs");
