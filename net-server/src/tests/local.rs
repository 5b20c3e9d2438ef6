//! Local sockets as two clients use them that speak the ABI directly, each with
//! a session of its own.

extern crate std;

use std::{vec, vec::Vec};

use strait_abi::{
    Errno,
    net::{Portion, RecordHeader, Request, receive},
    session::status,
    socket as c,
};
use zerocopy::{FromBytes, IntoBytes};

use super::world::{CLIENT, ClientSocket, SECOND, World};

/// A socket of one of the clients.
pub struct Local {
    pub client: u8,
    pub socket: ClientSocket,
}

pub fn named(name: &[u8]) -> Vec<u8> {
    [&[1, 0], name].concat()
}

impl World {
    pub fn region_of(&self, client: u8) -> strait_abi::session::SessionRegion {
        if client == CLIENT { self.session } else { self.second }
    }

    pub fn taken(&self, client: u8, handle: u32) -> Local {
        Local { client, socket: Self::attached_in(&self.region_of(client), handle as u16) }
    }

    pub fn local_socket(&mut self, client: u8, kind: u16) -> Local {
        let (handle, _) = self.call_of(client, &Request::Socket { family: 1, kind, protocol: 0 }).unwrap();
        self.taken(client, handle)
    }

    pub fn local_pair(&mut self, client: u8, kind: u16) -> (Local, Local) {
        let (both, _) = self.call_of(client, &Request::SocketPair { family: 1, kind, protocol: 0 }).unwrap();
        (self.taken(client, both & 0xffff), self.taken(client, both >> 16))
    }

    pub fn bound(&mut self, client: u8, kind: u16, name: &[u8]) -> Local {
        let s = self.local_socket(client, kind);
        self.on(&s, |socket| Request::Bind { socket, address: &named(name) }.encode().unwrap()).unwrap();
        s
    }

    pub fn listener(&mut self, client: u8, kind: u16, name: &[u8], backlog: u32) -> Local {
        let s = self.bound(client, kind, name);
        self.call_of(client, &Request::Listen { socket: s.socket.handle, backlog }).unwrap();
        s
    }

    /// A call on a socket.
    pub fn on(&mut self, s: &Local, request: impl FnOnce(u16) -> strait_pd::Message) -> Result<(u32, Vec<u8>), Errno> {
        let message = request(s.socket.handle);
        let mut buffer = [0; strait_pd::MESSAGE_BYTES];
        let request = Request::decode(&message, &mut buffer).unwrap();
        self.call_of(s.client, &request)
    }

    pub fn join(&mut self, s: &Local, name: &[u8]) -> Result<(), Errno> {
        self.call_of(s.client, &Request::Connect { socket: s.socket.handle, address: &named(name) }).map(|_| ())
    }

    pub fn take_connection(&mut self, listener: &Local) -> Result<(Local, Vec<u8>), Errno> {
        let (handle, from) = self.call_of(listener.client, &Request::Accept { socket: listener.socket.handle })?;
        Ok((self.taken(listener.client, handle), from))
    }

    /// A connection from the second client to the first: its ends there.
    pub fn connection(&mut self, kind: u16) -> (Local, Local) {
        let listener = self.listener(CLIENT, kind, b"\0connection", 5);
        let a = self.local_socket(SECOND, kind);
        self.join(&a, b"\0connection").unwrap();
        let (b, _) = self.take_connection(&listener).unwrap();
        self.close(&listener);
        (a, b)
    }

    pub fn close(&mut self, s: &Local) {
        self.call_of(s.client, &Request::Close { socket: s.socket.handle }).unwrap();
    }

    pub fn state(&self, s: &Local) -> u32 {
        self.region_of(s.client).slot(s.socket.handle.into()).unwrap().status.load(std::sync::atomic::Ordering::Acquire)
    }

    pub fn mark(&self, s: &Local) -> u32 {
        self.region_of(s.client)
            .slot(s.socket.handle.into())
            .unwrap()
            .rx_mark
            .load(std::sync::atomic::Ordering::Acquire)
    }

    /// Writes as much as there is room for now.
    pub fn put(&mut self, s: &mut Local, data: &[u8]) -> usize {
        s.socket.tx.want(data.len() as u32);
        self.ring_of(s.client, s.socket.handle);
        let n = (s.socket.tx.room() as usize).min(data.len());
        s.socket.tx.stage(0, &data[..n]).unwrap();
        s.socket.tx.want((data.len() - n) as u32);
        s.socket.tx.commit(n as u32);
        self.ring_of(s.client, s.socket.handle);
        n
    }

    /// Reads what is there.
    pub fn get(&mut self, s: &mut Local) -> Vec<u8> {
        self.get_at_most(s, usize::MAX)
    }

    pub fn get_at_most(&mut self, s: &mut Local, most: usize) -> Vec<u8> {
        let n = (s.socket.rx.available() as usize).min(most);
        let mut bytes = vec![0; n];
        s.socket.rx.copy(0, &mut bytes).unwrap();
        s.socket.rx.consume(n as u32);
        if self.state(s) & status::RING_ON_DRAIN != 0 {
            self.ring_of(s.client, s.socket.handle);
        }
        bytes
    }

    /// What one receive of at most `most` bytes may take, and what comes with it.
    pub fn portion(&mut self, s: &Local, (offset, most): (u32, u32), how: u8) -> (Portion, Vec<u8>) {
        let request = Request::Receive { socket: s.socket.handle, offset, most, how };
        let (_, answer) = self.call_of(s.client, &request).unwrap();
        let (portion, control) = answer.split_at(Portion::BYTES);
        (Portion::read_from_bytes(portion).unwrap(), control.to_vec())
    }

    /// recv(2) on a stream, by asking.
    pub fn recv(&mut self, s: &mut Local, most: u32, how: u8) -> Vec<u8> {
        let (mut bytes, mut offset, mut on) = (vec![], 0, 0);
        loop {
            let (portion, _) = self.portion(s, (offset, most - bytes.len() as u32), how | on);
            let mut part = vec![0; portion.bytes as usize];
            s.socket.rx.copy(offset + portion.skip, &mut part).unwrap();
            if how & receive::PEEK != 0 {
                offset += portion.skip + portion.bytes;
            } else {
                s.socket.rx.consume(portion.skip + portion.bytes);
                self.ring_of(s.client, s.socket.handle);
            }
            bytes.extend(part);
            on = receive::GOES_ON;
            if portion.next != Portion::MORE {
                return bytes;
            }
        }
    }

    pub fn error_of(&mut self, s: &Local) -> Option<Errno> {
        let request = Request::GetOption { socket: s.socket.handle, level: 1, name: c::SO_ERROR };
        let (_, value) = self.call_of(s.client, &request).unwrap();
        match i32::from_ne_bytes(value[..4].try_into().unwrap()) {
            0 => None,
            n => Some(Errno::from_raw(n as u64)),
        }
    }

    /// send(2) of a record.
    pub fn send_record(&mut self, s: &mut Local, to: &[u8], control: &[u8], data: &[u8]) -> Result<(), Errno> {
        let header = RecordHeader { data: data.len() as u32, address: to.len() as u16, control: control.len() as u16 };
        let total = header.total().unwrap();
        if s.socket.tx.room() < total {
            s.socket.tx.want(total);
            self.call_of(s.client, &Request::Send { socket: s.socket.handle }).unwrap();
            if s.socket.tx.room() < total {
                return Err(Errno::EAGAIN);
            }
        }
        s.socket.tx.want(0);
        s.socket.tx.stage(0, header.as_bytes()).unwrap();
        s.socket.tx.stage(8, to).unwrap();
        s.socket.tx.stage(8 + (to.len() as u32).next_multiple_of(8), control).unwrap();
        s.socket.tx.stage(header.data_offset(), data).unwrap();
        s.socket.tx.commit(total);
        self.call_of(s.client, &Request::Send { socket: s.socket.handle }).map(|_| ())
    }

    /// recv(2) of a record: address, control data, data.
    pub fn receive_record(&mut self, s: &mut Local) -> Option<(Vec<u8>, Vec<u8>, Vec<u8>)> {
        if s.socket.rx.available() == 0 {
            return None;
        }
        let mut head = [0; 8];
        s.socket.rx.copy(0, &mut head).unwrap();
        let header = RecordHeader::read_from_bytes(&head).unwrap();
        let mut address = vec![0; header.address.into()];
        s.socket.rx.copy(8, &mut address).unwrap();
        let mut control = vec![0; header.control.into()];
        s.socket.rx.copy(8 + u32::from(header.address).next_multiple_of(8), &mut control).unwrap();
        let mut data = vec![0; header.data as usize];
        s.socket.rx.copy(header.data_offset(), &mut data).unwrap();
        s.socket.rx.consume(header.total().unwrap());
        if self.state(s) & status::RING_ON_DRAIN != 0 {
            self.ring_of(s.client, s.socket.handle);
        }
        Some((address, control, data))
    }
}
