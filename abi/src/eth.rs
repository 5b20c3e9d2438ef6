//! What `net_server` may ask of an Ethernet driver, by protected procedure
//! call. Frames move by the queues of `strait_ring::net_queue`.

/// Label: reply words are the MAC address (first octet lowest), whether the
/// link is up, and the MTU in bytes. When the link goes up or down the driver
/// notifies the server, with nothing in the queues.
pub const GET_LINK: u64 = 0;

/// Label: reply words are counts since the start: frames received, frames
/// sent, received frames dropped, descriptors refused, impossible queue
/// indices, interrupts, notifications sent.
pub const GET_COUNTERS: u64 = 1;
