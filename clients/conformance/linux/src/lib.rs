//! The sockets and files of Linux, as the conformance suite calls them, and
//! network namespaces to do that in.

mod calls;
pub mod files;
pub mod machine;
mod messages;
mod names;
pub mod namespace;
mod waiting;

pub use calls::Linux;
