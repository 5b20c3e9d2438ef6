//! Copies of what passes the links, for packet sockets. Without such sockets
//! there is no tap, and a frame costs one look at that.

use alloc::{collections::VecDeque, vec::Vec};

use super::ETH_HEADER;
use crate::socket::SocketId;

/// Frames that may wait to be given out, and bytes of them; beyond, they are not
/// copied.
const MOST_FRAMES: usize = 1024;
const MOST: usize = 512 * 1024;

/// A frame that passed.
pub struct Captured {
    /// The index of its interface.
    pub device: u32,
    /// This host sent it.
    pub outgoing: bool,
    /// The packet socket that sent it.
    pub sender: Option<SocketId>,
    /// With Ethernet header.
    pub bytes: Vec<u8>,
}

/// See the module.
#[derive(Default)]
pub struct Tap {
    frames: VecDeque<Captured>,
    held: usize,
    /// Who sends at the moment.
    pub sender: Option<SocketId>,
}

impl Tap {
    /// A frame passes.
    pub fn put(&mut self, device: u32, outgoing: bool, bytes: &[u8]) {
        if self.held + bytes.len() > MOST || self.frames.len() >= MOST_FRAMES {
            return;
        }
        self.held += bytes.len();
        self.frames.push_back(Captured { device, outgoing, sender: self.sender, bytes: bytes.to_vec() });
    }

    /// A packet passes loopback, which has no headers of its own: Linux shows
    /// one without addresses.
    pub fn put_packet(&mut self, device: u32, outgoing: bool, packet: &[u8]) {
        let Some(first) = packet.first() else { return };
        let mut frame = Vec::with_capacity(ETH_HEADER + packet.len());
        frame.extend([0; 12]);
        frame.extend(if first >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] });
        frame.extend(packet);
        self.put(device, outgoing, &frame);
    }

    /// Whether something waits.
    pub fn waits(&self) -> bool {
        !self.frames.is_empty()
    }

    /// What passed first.
    pub fn take(&mut self) -> Option<Captured> {
        let frame = self.frames.pop_front()?;
        self.held -= frame.bytes.len();
        Some(frame)
    }
}
