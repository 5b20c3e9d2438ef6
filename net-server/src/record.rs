//! Records between a family and its clients, for families that need no more
//! than whole messages: a socket that moves many of them each second reads and
//! writes its rings itself, as UDP does.

use alloc::{vec, vec::Vec};

use strait_abi::{Address, net::RecordHeader};
use strait_ring::Misbehaved;
use zerocopy::{FromBytes, IntoBytes};

use crate::{core::Core, socket::SocketId};

/// A message.
pub struct Record {
    /// Where it goes, or comes from; empty if the client named nobody.
    pub address: Address,
    /// As in a `msghdr`, see [`strait_abi::control`].
    pub control: Vec<u8>,
    /// What the client wrote.
    pub data: Vec<u8>,
}

impl Core {
    /// Takes the next message that the client of a socket has written; `None`
    /// if there is none. On an error everything written is gone, and the
    /// socket has it (EPROTO).
    pub fn take_record(&mut self, id: SocketId) -> Option<Record> {
        match self.next_record(id) {
            Ok(record) => record,
            Err(error) => {
                // Nobody can tell where the next one begins.
                if let Some((rings, arena, _)) = self.rings(id) {
                    rings.tx.consume(u32::MAX, arena);
                }
                self.punish(id, error);
                None
            }
        }
    }

    fn next_record(&mut self, id: SocketId) -> Result<Option<Record>, Misbehaved> {
        let Some((rings, arena, _)) = self.rings(id) else { return Ok(None) };
        let available = rings.tx.available()?;
        if available == 0 {
            return Ok(None);
        }
        let mut head = [0; RecordHeader::BYTES];
        rings.tx.copy(0, &mut head).ok_or(Misbehaved)?;
        let header = RecordHeader::read_from_bytes(&head).map_err(|_| Misbehaved)?;
        let total = header.total().filter(|total| *total <= available).ok_or(Misbehaved)?;
        // All lengths are below that of the ring.
        let mut address = Address::EMPTY;
        let mut control = vec![0; header.control.into()];
        let mut data = vec![0; header.data as usize];
        let name = address.resize(header.address.into()).map_err(|_| Misbehaved)?;
        rings.tx.copy(RecordHeader::BYTES as u32, name).ok_or(Misbehaved)?;
        rings.tx.copy(header.control_offset(), &mut control).ok_or(Misbehaved)?;
        rings.tx.copy(header.data_offset(), &mut data).ok_or(Misbehaved)?;
        rings.tx.consume(total, arena);
        Ok(Some(Record { address, control, data }))
    }

    /// Gives a message to the client of a socket, its data in parts. Returns
    /// whether there was room (SO_RCVBUF, pages): without, it is lost.
    pub fn give_record(&mut self, id: SocketId, from: &Address, control: &[u8], data: &[&[u8]]) -> bool {
        let Some((rings, arena, options)) = self.rings(id) else { return false };
        let bytes = data.iter().map(|part| part.len()).sum::<usize>();
        let name = from.as_bytes();
        let header = RecordHeader { data: bytes as u32, address: name.len() as u16, control: control.len() as u16 };
        let (Some(total), data_at) = (header.total(), header.data_offset() as usize) else { return false };
        let mut head = vec![0; data_at];
        head[..RecordHeader::BYTES].copy_from_slice(header.as_bytes());
        head[RecordHeader::BYTES..][..name.len()].copy_from_slice(name);
        head[header.control_offset() as usize..][..control.len()].copy_from_slice(control);
        let parts: Vec<&[u8]> = [&head[..]].into_iter().chain(data.iter().copied()).collect();
        if let Err(error) = rings.rx.reclaim(arena) {
            self.punish(id, error);
            return false;
        }
        if !rings.rx.push_record(arena, options.receive_buffer, total as usize, &parts) {
            return false;
        }
        rings.rx.publish();
        self.event(id);
        true
    }

    /// Lets the client of a socket write messages of up to `longest` bytes, and
    /// tells it if it waits for that. A family calls this when it made a socket
    /// and whenever it looks after it.
    pub fn grant_records(&mut self, id: SocketId, longest: u32) {
        let Some((rings, arena, options)) = self.rings(id) else { return };
        // What the client read is given back here as well.
        let error = rings.rx.reclaim(arena).err();
        let waits = rings.grant(arena, options.send_buffer.max(longest));
        match error {
            Some(error) => self.punish(id, error),
            None if waits => self.event(id),
            None => {}
        }
    }
}
