//! Connections that are over but whose peer may not know (RFC 9293 3.3.2,
//! TIME-WAIT): a few words each, instead of a socket with its buffers.

use alloc::collections::VecDeque;

use hashbrown::HashMap;
use smoltcp::wire::{IpProtocol, TcpPacket, TcpSeqNumber};

use super::{LastSent, Tuple};
use crate::{
    core::Core,
    hash::Keyed,
    inet::{checksum, ip},
};

/// How long one is remembered, in nanoseconds (Linux: TCP_TIMEWAIT_LEN).
const LENGTH: u64 = 60_000_000_000;
/// How many are; the oldest is forgotten for a new one.
const MOST: usize = 8192;
const TCP_HEADER: usize = 20;

/// The table.
pub struct TimeWait {
    entries: HashMap<Tuple, (u64, LastSent), Keyed>,
    /// In the order of their end.
    queue: VecDeque<(u64, Tuple)>,
}

impl TimeWait {
    pub fn new() -> Self {
        Self { entries: HashMap::with_hasher(Keyed::default()), queue: VecDeque::new() }
    }

    /// Remembers a connection, and forgets those whose time is over.
    pub fn insert(&mut self, tuple: Tuple, last: LastSent, now: u64) {
        while let Some(&(end, old)) = self.queue.front()
            && (end <= now || self.queue.len() >= MOST)
        {
            self.queue.pop_front();
            if self.entries.get(&old).is_some_and(|(e, _)| *e == end) {
                self.entries.remove(&old);
            }
        }
        let end = now + LENGTH;
        self.entries.insert(tuple, (end, last));
        self.queue.push_back((end, tuple));
    }

    /// What the connection sent last, if it is remembered.
    pub fn get(&self, tuple: &Tuple, now: u64) -> Option<LastSent> {
        if self.entries.is_empty() {
            return None;
        }
        self.entries.get(tuple).filter(|(end, _)| *end > now).map(|(_, last)| *last)
    }

    /// Forgets one.
    pub fn remove(&mut self, tuple: &Tuple) {
        self.entries.remove(tuple);
    }
}

/// Sends the last acknowledgement of a connection once more.
pub fn acknowledge(core: &mut Core, tuple: &Tuple, last: LastSent) {
    let (source, target) = (tuple.local.ip(), tuple.remote.ip());
    let header = ip::header_for(target);
    let _ = core.links.emit(core.now, header + TCP_HEADER, |packet| {
        packet.fill(0);
        ip::write_header(packet, source, target, IpProtocol::Tcp, 64);
        let mut tcp = TcpPacket::new_unchecked(&mut packet[header..]);
        tcp.set_src_port(tuple.local.port());
        tcp.set_dst_port(tuple.remote.port());
        tcp.set_seq_number(TcpSeqNumber(last.next as i32));
        tcp.set_ack_number(TcpSeqNumber(last.ack as i32));
        tcp.set_header_len(TCP_HEADER as u8);
        tcp.set_ack(true);
        let sum = checksum::transport(packet);
        TcpPacket::new_unchecked(&mut packet[header..]).set_checksum(sum);
    });
}
