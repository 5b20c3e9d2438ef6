//! Connections that are over but whose peer may not know (RFC 9293 3.3.2,
//! TIME-WAIT): a few words each, instead of a socket with its buffers.

use alloc::collections::VecDeque;

use hashbrown::HashMap;
use smoltcp::wire::{IpProtocol, TcpPacket, TcpSeqNumber};

use super::{Hold, LastSent, Tuple};
use crate::{
    core::Core,
    hash::Keyed,
    inet::{checksum, ip},
};

/// How long one is remembered, in nanoseconds (Linux: TCP_TIMEWAIT_LEN).
const LENGTH: u64 = 60_000_000_000;
/// How many are; the oldest is forgotten for a new one.
const MOST: usize = 4096;
const TCP_HEADER: usize = 20;

/// The table.
pub struct TimeWait {
    entries: HashMap<Tuple, (u64, LastSent, Hold), Keyed>,
    /// In the order of their end.
    queue: VecDeque<(u64, Tuple)>,
}

impl TimeWait {
    pub fn new() -> Self {
        // While it is half empty it is tidied up in place, and never grows.
        let entries = HashMap::with_capacity_and_hasher(2 * MOST, Keyed::default());
        Self { entries, queue: VecDeque::with_capacity(MOST) }
    }

    /// Forgets those whose time is over: `release` gets the port of each and
    /// how it was held.
    pub fn expire(&mut self, now: u64, mut release: impl FnMut(u16, &Hold)) {
        while let Some(&(end, _)) = self.queue.front()
            && end <= now
        {
            self.forget_oldest(&mut release);
        }
    }

    fn forget_oldest(&mut self, release: &mut impl FnMut(u16, &Hold)) {
        let Some((end, tuple)) = self.queue.pop_front() else { return };
        if self.entries.get(&tuple).is_some_and(|(e, ..)| *e == end)
            && let Some((_, _, hold)) = self.entries.remove(&tuple)
        {
            release(tuple.local.port(), &hold);
        }
    }

    /// Remembers a connection, which holds its port.
    pub fn insert(&mut self, tuple: Tuple, last: LastSent, hold: Hold, now: u64, mut release: impl FnMut(u16, &Hold)) {
        while self.queue.len() >= MOST {
            self.forget_oldest(&mut release);
        }
        let end = now + LENGTH;
        if let Some((_, _, old)) = self.entries.insert(tuple, (end, last, hold)) {
            release(tuple.local.port(), &old);
        }
        self.queue.push_back((end, tuple));
    }

    /// What the connection sent last, if it is remembered.
    pub fn get(&self, tuple: &Tuple, now: u64) -> Option<LastSent> {
        if self.entries.is_empty() {
            return None;
        }
        self.entries.get(tuple).filter(|(end, ..)| *end > now).map(|(_, last, _)| *last)
    }

    /// Forgets one; returns how it held its port.
    pub fn remove(&mut self, tuple: &Tuple) -> Option<Hold> {
        self.entries.remove(tuple).map(|(_, _, hold)| hold)
    }
}

/// Sends the last acknowledgement of a connection once more, with the urgent
/// pointer if that is not 0.
pub fn acknowledge(core: &mut Core, tuple: &Tuple, last: LastSent, urgent: u16) {
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
        tcp.set_window_len(last.window);
        tcp.set_urg(urgent != 0);
        tcp.set_urgent_at(urgent);
        let sum = checksum::transport(packet);
        TcpPacket::new_unchecked(&mut packet[header..]).set_checksum(sum);
    });
}
