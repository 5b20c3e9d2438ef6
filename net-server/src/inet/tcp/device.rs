//! The links as smoltcp sees them: one packet in, packets out, with the
//! connection's sequence numbers and the checksum put right on the way.

use smoltcp::{
    phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken},
    time::Instant,
    wire::{TcpPacket, TcpSeqNumber},
};

use super::{options::clamp_segment, urgent::after};
use crate::{
    inet::{checksum, ip},
    link::{Arrived, Links},
};

/// The largest packet to this host itself. Loopback takes larger ones; but of a
/// window there should be two segments, so that one is written while the other
/// is read.
pub const LOCAL_MTU: usize = super::BUFFER / 2 + 40;
/// The hop limit that smoltcp writes.
const HOPS: u8 = 64;

/// For one call of smoltcp.
pub struct Wire<'a> {
    /// What arrived.
    pub packet: Option<&'a [u8]>,
    pub links: &'a mut Links,
    pub now: u64,
    pub marks: Marks,
    pub last: &'a mut LastSent,
    /// Bytes of the last packet that left.
    pub sent: usize,
    /// Nothing leaves: smoltcp shall only believe so.
    pub dry: bool,
}

/// What is put into packets on their way out.
#[derive(Debug, Clone, Copy)]
pub struct Marks {
    /// IP_TOS.
    pub tos: u8,
    /// IP_TTL or IPV6_UNICAST_HOPS, which may be 0: smoltcp takes no 0.
    pub hops: u8,
    /// TCP_MAXSEG; 0 for what the link takes.
    pub segment: u16,
    /// The sequence number of a SYN.
    pub first: u32,
    /// The sequence number behind the urgent byte, as on the wire.
    pub urgent: Option<u32>,
    /// The peer is on this host.
    pub local: bool,
}

impl Marks {
    /// The largest packet.
    pub fn mtu(&self, links: &Links) -> usize {
        if self.local { LOCAL_MTU } else { links.mtu() }
    }
}

impl Default for Marks {
    fn default() -> Self {
        Self { tos: 0, hops: HOPS, segment: 0, first: 0, urgent: None, local: false }
    }
}

/// Numbers of what was sent.
#[derive(Debug, Default, Clone, Copy)]
pub struct LastSent {
    /// What is added to smoltcp's sequence numbers, since its SYN.
    pub shift: u32,
    /// The sequence number that follows all of it.
    pub next: u32,
    /// What the last segment acknowledged.
    pub ack: u32,
    /// The window that that announced.
    pub window: u16,
    /// The sequence number of the first byte of data.
    pub first: u32,
    /// A segment told of the urgent byte.
    pub urgent: bool,
    /// How often something was sent again since something was acknowledged, and
    /// when for the first time.
    pub repeats: u32,
    /// See `repeats`.
    pub repeated: u64,
}

pub struct Tx<'a> {
    links: &'a mut Links,
    now: u64,
    marks: Marks,
    last: &'a mut LastSent,
    sent: &'a mut usize,
    dry: bool,
}

impl<'a> Wire<'a> {
    pub fn new(links: &'a mut Links, now: u64, marks: Marks, last: &'a mut LastSent, packet: Option<&'a [u8]>) -> Self {
        Self { packet, links, now, marks, last, sent: 0, dry: false }
    }

    fn room(&mut self) -> bool {
        if self.marks.local { self.links.room_locally(LOCAL_MTU) } else { self.links.room() }
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let (marks, last, now) = (self.marks, self.last, self.now);
        *self.sent = len;
        if self.dry {
            let mut packet = alloc::vec![0; len];
            let result = f(&mut packet);
            finish(&mut packet, marks, last, now);
            return result;
        }
        let mut f = Some(f);
        let write = |packet: &mut [u8]| {
            let result = f.take().map(|f| f(packet));
            finish(packet, marks, last, now);
            result
        };
        let sent = if marks.local { self.links.emit_local(len, write) } else { self.links.emit(now, len, write) };
        match (sent, f) {
            (Ok(Some(result)), _) => result,
            // No buffer after all (room was asked for before): the packet is
            // lost, as it may be on any wire.
            (_, Some(f)) => f(&mut alloc::vec![0; len]),
            _ => unreachable!("emit calls its closure at most once"),
        }
    }
}

/// Completes a packet that smoltcp wrote, and notes its numbers.
fn finish(packet: &mut [u8], marks: Marks, last: &mut LastSent, now: u64) {
    let header = ip::header_len(packet);
    let Ok(mut tcp) = TcpPacket::new_checked(&mut packet[header..]) else { return };
    if tcp.syn() {
        last.shift = marks.first.wrapping_sub(tcp.seq_number().0 as u32);
    }
    let number = tcp.seq_number().0.wrapping_add(last.shift as i32);
    tcp.set_seq_number(TcpSeqNumber(number));
    let next = (number as u32).wrapping_add(tcp.segment_len() as u32);
    if last.first == 0 || after(next, last.next) {
        last.next = next;
    } else if tcp.segment_len() != 0 {
        if last.repeats == 0 {
            last.repeated = now;
        }
        last.repeats += 1;
    }
    last.ack = tcp.ack_number().0 as u32;
    last.window = tcp.window_len();
    if tcp.syn() {
        last.first = last.next;
    }
    if let Some(end) = marks.urgent {
        // As Linux: on everything that begins before the urgent byte's end.
        let distance = end.wrapping_sub(number as u32);
        if distance != 0 && distance < 1 << 31 {
            tcp.set_urg(true);
            tcp.set_urgent_at(distance.min(0xffff) as u16);
            last.urgent = true;
        }
    }
    tcp.set_checksum(0);
    if marks.segment != 0 && tcp.syn() {
        let _ = clamp_segment(&mut packet[header..], marks.segment);
    }
    if marks.tos != 0 {
        ip::set_tos(packet, marks.tos);
    }
    if marks.hops != HOPS {
        ip::set_hops(packet, marks.hops);
    }
    let sum = checksum::transport(packet);
    TcpPacket::new_unchecked(&mut packet[header..]).set_checksum(sum);
}

fn capabilities(mtu: usize) -> DeviceCapabilities {
    let mut caps = DeviceCapabilities::default();
    caps.medium = Medium::Ip;
    caps.max_transmission_unit = mtu;
    // What arrives is checked before it comes here; what leaves is completed
    // in `finish`.
    caps.checksum = ChecksumCapabilities::ignored();
    caps.checksum.ipv4 = Checksum::Tx;
    caps
}

impl Device for Wire<'_> {
    type RxToken<'b>
        = Arrived<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Tx<'b>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Arrived<'_>, Tx<'_>)> {
        // A packet is not taken without a buffer for its answer.
        if !self.room() {
            return None;
        }
        let rx = Arrived(self.packet.take()?);
        let (now, marks, dry) = (self.now, self.marks, self.dry);
        Some((rx, Tx { links: self.links, now, marks, last: self.last, sent: &mut self.sent, dry }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx<'_>> {
        self.room().then_some(Tx {
            links: self.links,
            now: self.now,
            marks: self.marks,
            last: self.last,
            sent: &mut self.sent,
            dry: self.dry,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.marks.mtu(self.links))
    }
}

/// A device that only says what it can do: for making the interface.
pub struct Probe(pub usize);

pub enum Never {}

impl RxToken for Never {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, _: F) -> R {
        match self {}
    }
}

impl TxToken for Never {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, _: usize, _: F) -> R {
        match self {}
    }
}

impl Device for Probe {
    type RxToken<'b> = Never;
    type TxToken<'b> = Never;

    fn receive(&mut self, _: Instant) -> Option<(Never, Never)> {
        None
    }

    fn transmit(&mut self, _: Instant) -> Option<Never> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.0)
    }
}
