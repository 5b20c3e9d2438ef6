//! Packets and frames on their way out, and those that this host sends to
//! itself.

use alloc::vec::Vec;
use core::{
    hash::BuildHasher,
    net::{IpAddr, Ipv4Addr},
};

use smoltcp::wire::EthernetAddress;
use strait_abi::Errno;

use super::{
    ETH_HEADER, ETH_INDEX, LONGEST, LOOPBACK_BYTES, LOOPBACK_INDEX, LOOPBACK_MTU, LOOPBACK_PACKETS, Links, Route,
    eth::Frame, fragment::Fragments, neighbor::Resolution,
};
use crate::{hash::Keyed, socket::SocketId};

impl Links {
    /// Whether a packet can be emitted now. One to this host could also where there
    /// is no room here: some is left for what must not be lost.
    pub fn room(&mut self) -> bool {
        let room = self.tx.room() > 0 && self.loopback_room(0, 3);
        self.starved |= !room;
        room
    }

    /// Whether a packet of `len` bytes can be sent to this host itself.
    pub fn room_locally(&mut self, len: usize) -> bool {
        let room = self.loopback_room(len, 3);
        self.starved |= !room;
        room
    }

    /// Whether there was no room lately.
    pub fn starved(&self) -> bool {
        self.starved
    }

    /// Whether there was no room since this was asked last.
    pub fn take_starved(&mut self) -> bool {
        core::mem::take(&mut self.starved)
    }

    /// Emits an IP packet of `len` bytes (at most the MTU), written by `write`.
    /// ENOBUFS, and `write` not called, if there is no buffer.
    #[inline]
    pub fn emit<R>(&mut self, now: u64, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> Result<R, Errno> {
        let filled = self.fill(len, |packet| (write(packet), destination_of(packet)));
        let (frame, (result, destination)) = filled.inspect_err(|_| self.counters.tx_dropped += 1)?;
        let route = destination.and_then(|d| match d {
            IpAddr::V4(d) => self.route(d).ok(),
            IpAddr::V6(d) => self.route6(d).ok(),
        });
        match route {
            Some(route) => self.output(now, frame, route),
            None => {
                self.counters.tx_dropped += 1;
                self.tx.give_back(frame);
            }
        }
        Ok(result)
    }

    /// [`emit`](Self::emit) where the way is known, see [`path`](Self::path).
    #[inline]
    pub fn emit_on<R>(
        &mut self,
        now: u64,
        route: Route,
        len: usize,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, Errno> {
        if len > self.tx.mtu || matches!(route, Route::Loopback | Route::Back) {
            return self.emit_apart(now, route, len, write);
        }
        let (frame, result) = self.fill(len, write)?;
        self.output(now, frame, route);
        Ok(result)
    }

    /// A segment to this host itself, which may use more of the queue than
    /// datagrams: those wait elsewhere for room.
    pub fn emit_local<R>(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> Result<R, Errno> {
        self.emit_loopback(len, LOOPBACK_INDEX, 4, write)
    }

    /// What is no frame of its own. Apart, so that `write` is compiled into the
    /// usual way.
    #[cold]
    #[inline(never)]
    fn emit_apart<R>(
        &mut self,
        now: u64,
        route: Route,
        len: usize,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, Errno> {
        match route {
            Route::Loopback => self.emit_loopback(len, LOOPBACK_INDEX, 2, write),
            Route::Back => self.emit_loopback(len, ETH_INDEX, 2, write),
            _ => self.emit_in_fragments(now, route, len, write),
        }
    }

    /// A packet that is longer than the MTU: in fragments, or not at all.
    #[cold]
    fn emit_in_fragments<R>(
        &mut self,
        now: u64,
        route: Route,
        len: usize,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, Errno> {
        if len > LONGEST {
            return Err(Errno::EMSGSIZE);
        }
        let mut packet = alloc::vec![0; len];
        let result = write(&mut packet);
        if too_long(&packet) {
            return Err(Errno::EMSGSIZE);
        }
        let fragments = Fragments::new(&packet, self.tx.mtu).ok_or(Errno::EMSGSIZE)?;
        if !self.tx.room_for(fragments.len()) {
            self.starved = true;
            return Err(Errno::ENOBUFS);
        }
        let identification = self.identification();
        for fragment in fragments {
            let (frame, ()) = self.fill(fragment.len(), |bytes| fragment.write(identification, bytes))?;
            self.output(now, frame, route);
        }
        Ok(result)
    }

    /// An identification for a packet: unpredictable (RFC 7739), a counter that
    /// only we can follow, and never 0.
    pub fn identification(&mut self) -> u32 {
        self.identified += 1;
        Keyed::default().hash_one(self.identified) as u32 | 1 << 15
    }

    /// The largest packet that goes that way.
    pub fn mtu_of(&self, route: Route) -> usize {
        if route == Route::Loopback { LOOPBACK_MTU } else { self.tx.mtu }
    }

    /// The largest packet to a host; IPv4 can count one byte less than loopback
    /// takes.
    pub fn mtu_to(&self, host: IpAddr) -> usize {
        match self.is_local(host) {
            true if host.is_ipv4() => LOOPBACK_MTU - 1,
            true => LOOPBACK_MTU,
            false => self.tx.mtu,
        }
    }

    /// Straight into the loopback queue: its packets may be longer than a
    /// frame.
    fn emit_loopback<R>(
        &mut self,
        len: usize,
        on: u32,
        quarters: usize,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, Errno> {
        // Beyond the interface's MTU there would be fragments, which nobody sees.
        if len > LONGEST {
            return Err(Errno::EMSGSIZE);
        }
        if !self.loopback_room(len, quarters) {
            return Err(Errno::ENOBUFS);
        }
        let mut packet = alloc::vec![0; len];
        let result = write(&mut packet);
        if too_long(&packet) {
            return Err(Errno::EMSGSIZE);
        }
        self.looped += len;
        self.loopback.push_back((packet, on));
        Ok(result)
    }

    /// Whether a packet fits into so many quarters of the loopback queue.
    #[inline]
    fn loopback_room(&self, len: usize, quarters: usize) -> bool {
        self.loopback.len() < LOOPBACK_PACKETS * quarters / 4 && self.looped + len <= LOOPBACK_BYTES * quarters / 4
    }

    #[inline]
    fn fill<R>(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> Result<(Frame, R), Errno> {
        if len > self.tx.mtu {
            return Err(Errno::EMSGSIZE);
        }
        let Some(frame) = self.tx.alloc(ETH_HEADER + len) else {
            self.starved = true;
            return Err(Errno::ENOBUFS);
        };
        let bytes = self.tx.bytes(&frame).ok_or(Errno::ENOBUFS)?;
        let result = write(&mut bytes[ETH_HEADER..]);
        Ok((frame, result))
    }

    #[inline]
    fn output(&mut self, now: u64, frame: Frame, route: Route) {
        match route {
            Route::Loopback | Route::Back => {
                let packet = self.tx.bytes(&frame).map(|bytes| bytes[ETH_HEADER..].to_vec());
                if let Some(packet) = packet.filter(|p| self.loopback_room(p.len(), 4)) {
                    self.looped += packet.len();
                    self.loopback.push_back((packet, LOOPBACK_INDEX));
                } else {
                    self.counters.tx_dropped += 1;
                }
                self.tx.give_back(frame);
            }
            Route::Group(mac) => self.transmit(frame, mac),
            Route::GroupAndSelf(mac) => {
                let packet = self.tx.bytes(&frame).map(|bytes| bytes[ETH_HEADER..].to_vec());
                if let Some(packet) = packet {
                    let _ = self.emit_loopback(packet.len(), ETH_INDEX, 2, |into| into.copy_from_slice(&packet));
                }
                self.transmit(frame, mac);
            }
            Route::Neighbor(hop) => match self.neighbors.resolve(hop, now, frame) {
                Resolution::Known(mac, frame) => self.transmit(frame, mac),
                Resolution::Parked { solicit } => {
                    if solicit {
                        self.solicit(now, hop, None);
                    }
                }
                Resolution::Refused { frame, solicit } => {
                    self.counters.tx_dropped += 1;
                    self.tx.give_back(frame);
                    if solicit {
                        self.solicit(now, hop, None);
                    }
                }
            },
        }
    }

    pub(super) fn transmit(&mut self, frame: Frame, to: EthernetAddress) {
        let mac = self.tx.mac;
        if let Some(bytes) = self.tx.bytes(&frame) {
            // In one piece: destination, source, type.
            let mut header = [0; ETH_HEADER];
            header[..6].copy_from_slice(&to.0);
            header[6..12].copy_from_slice(&mac.0);
            header[12..].copy_from_slice(if bytes[ETH_HEADER] >> 4 == 4 { &[0x08, 0x00] } else { &[0x86, 0xdd] });
            bytes[..ETH_HEADER].copy_from_slice(&header);
            if let Some(tap) = &mut self.tap {
                tap.put(ETH_INDEX, true, bytes);
            }
        }
        self.counters.tx_frames += 1;
        self.tx.submit(frame);
    }

    /// The hardware address of the Ethernet port.
    pub fn mac(&self) -> [u8; 6] {
        self.tx.mac.0
    }

    /// A frame came in by an interface: whoever listens gets a copy.
    #[inline]
    pub fn pass(&mut self, device: u32, frame: &[u8]) {
        if let Some(tap) = &mut self.tap {
            tap.put(device, false, frame);
        }
    }

    /// Sends a frame of a packet socket, to the wire or to this host. What is
    /// no IP packet has no receiver on loopback. ENOBUFS without a buffer.
    pub fn send_frame(&mut self, loopback: bool, frame: &[u8], sender: SocketId) -> Result<(), Errno> {
        if loopback {
            let Some((header, packet)) = frame.split_at_checked(ETH_HEADER) else { return Err(Errno::EINVAL) };
            return match header[12..] {
                [0x08, 0x00] | [0x86, 0xdd] => {
                    self.emit_loopback(packet.len(), LOOPBACK_INDEX, 2, |bytes| bytes.copy_from_slice(packet))
                }
                _ => Ok(()),
            };
        }
        if !self.room() {
            return Err(Errno::ENOBUFS);
        }
        let set = |links: &mut Self, sender| {
            if let Some(tap) = &mut links.tap {
                tap.sender = sender;
            }
        };
        set(self, Some(sender));
        self.emit_frame(frame);
        set(self, None);
        Ok(())
    }

    /// Sends a whole Ethernet frame.
    pub fn emit_frame(&mut self, bytes: &[u8]) {
        let Some(frame) = self.tx.alloc(bytes.len()) else {
            self.counters.tx_dropped += 1;
            return;
        };
        if let Some(buffer) = self.tx.bytes(&frame) {
            buffer.copy_from_slice(bytes);
        }
        if let Some(tap) = &mut self.tap {
            tap.put(ETH_INDEX, true, bytes);
        }
        self.counters.tx_frames += 1;
        self.tx.submit(frame);
    }

    /// The next packet that this host sent to itself.
    pub fn next_loopback(&mut self) -> Option<Vec<u8>> {
        let (packet, on) = self.loopback.pop_front()?;
        self.looped -= packet.len();
        self.arrived_on = on;
        if let Some(tap) = &mut self.tap
            && on == LOOPBACK_INDEX
        {
            tap.put_packet(on, true, &packet);
            tap.put_packet(on, false, &packet);
        }
        Some(packet)
    }

    /// Makes everything emitted visible to the driver. Returns whether it must
    /// be notified.
    pub fn flush(&mut self) -> bool {
        self.tx.flush()
    }

    /// Descriptors from the driver that made no sense.
    pub fn bad_descriptors(&self) -> u64 {
        self.tx.bad
    }

    /// Whether someone waits for buffers that the driver has, and asks to be
    /// notified when they come back.
    pub fn want_buffers(&mut self) -> bool {
        self.tx.want_buffers()
    }
}

#[inline]
pub(super) fn destination_of(packet: &[u8]) -> Option<IpAddr> {
    let header = packet.first_chunk::<20>()?;
    if header[0] >> 4 == 4 {
        return Some(Ipv4Addr::new(header[16], header[17], header[18], header[19]).into());
    }
    let [.., a, b] = packet.first_chunk::<40>()?.as_chunks::<8>().0 else { return None };
    let mut address = [0; 16];
    address[..8].copy_from_slice(a);
    address[8..].copy_from_slice(b);
    Some(IpAddr::V6(address.into()))
}

/// Whether a packet is longer than its length can say.
fn too_long(packet: &[u8]) -> bool {
    packet.len() > 65_535 && packet[0] >> 4 == 4
}
