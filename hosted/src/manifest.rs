//! What the supervisor tells the process of a PD: one JSON argument. It names
//! descriptors by their number in that process.

use std::os::fd::RawFd;

use serde::{Deserialize, Serialize};

/// A PD as its process sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// The program it runs.
    pub program: String,
    /// Its number: which area of the control region is its own.
    pub index: usize,
    /// Process id of the supervisor.
    pub supervisor: i32,
    /// The control region.
    pub control: RawFd,
    /// Its regions.
    pub regions: Vec<Mapping>,
    /// Its channels.
    pub channels: Vec<ChannelEnd>,
    /// The PDs nested in it: their numbers there, and in the description.
    pub children: Vec<(u8, usize)>,
    /// The network device, if its program wants one.
    pub tap: Option<RawFd>,
    /// The disk, if its program wants one.
    pub disk: Option<RawFd>,
}

/// A region to map.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mapping {
    /// Its name.
    pub name: String,
    /// The memory file.
    pub fd: RawFd,
    /// Where to map it.
    pub vaddr: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Whether for writing too.
    pub writable: bool,
}

/// One end of a channel, with the rights of both ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChannelEnd {
    /// Its number here.
    pub id: u8,
    /// Number of the PD at the other end.
    pub peer: usize,
    /// The channel's number there.
    pub peer_id: u8,
    /// Whether this PD may call.
    pub can_call: bool,
    /// Whether this PD may notify.
    pub can_notify: bool,
    /// Whether the other end may call.
    pub peer_can_call: bool,
}
