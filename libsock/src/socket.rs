//! One socket: its rings, and what the library itself knows of it.

use alloc::{
    rc::{Rc, Weak},
    vec::Vec,
};
use core::{
    cell::{Cell, RefCell},
    sync::atomic::{Ordering, fence},
};

use strait_abi::{
    Address, Errno,
    address::{AF_INET, AF_INET6, AF_PACKET, AF_UNIX},
    net::{Handle, Request},
    session::status,
    socket::{
        IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_UDP, O_RDWR, SO_ERROR, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM,
        SOL_SOCKET,
    },
};
use strait_ring::paged::{ClientConsumer, ClientProducer, Slot};

use crate::{
    object::{Flags, Watchers},
    reached::Reached,
    session::Net,
};

/// The beginning of a datagram, and what its first part said of it.
pub struct Corked {
    pub data: Vec<u8>,
    pub to: Option<Address>,
    pub control: Vec<u8>,
}

/// A socket of the session; the server closes its end when it is dropped.
pub struct Socket {
    pub net: Rc<Net>,
    pub handle: Handle,
    pub family: u16,
    pub kind: u16,
    pub protocol: u16,
    pub slot: &'static Slot,
    pub rx: RefCell<ClientConsumer>,
    pub tx: RefCell<ClientProducer>,
    pub flags: Flags,
    /// SO_RCVTIMEO and SO_SNDTIMEO in nanoseconds.
    pub receive_timeout: Cell<Option<u64>>,
    pub send_timeout: Cell<Option<u64>>,
    /// SO_RCVLOWAT.
    pub low_water: Cell<u32>,
    /// SO_OOBINLINE.
    pub oob_inline: Cell<bool>,
    /// SO_LINGER, in seconds.
    pub linger: Cell<Option<u32>>,
    /// The last send said that more follows (MSG_MORE).
    pub held: Cell<bool>,
    /// Then, for UDP: the datagram as far as it is known.
    pub corked: RefCell<Option<Corked>>,
    /// The last receive that asked ended where none goes on.
    pub ended: Cell<bool>,
    /// Of a local stream: what its peer is called, if that was asked.
    pub peer_name: RefCell<Option<Address>>,
    /// A connect was begun, and callbacks were not told what came of it.
    pub connecting: Cell<bool>,
    /// How often one began.
    pub connects: Cell<u32>,
    /// The last error that was taken (SO_ERROR) since then.
    pub failure: Cell<Option<Errno>>,
    /// A datagram socket of AF_UNIX has a peer.
    pub has_peer: Cell<bool>,
    /// Its permissions, which bind(2) gives its node.
    pub mode: Cell<u32>,
    /// Of a datagram socket.
    pub reached: Reached,
    /// Bytes of room that the last send lacked; 0 if it did not.
    pub wanted: Cell<u32>,
    /// How often the server was asked for room.
    pub full: Cell<u32>,
    /// How often the pending error was asked for.
    pub errors: Cell<u32>,
    pub watchers: Watchers,
    /// Itself, for those who watch.
    pub me: Weak<Self>,
}

impl Socket {
    /// The socket that the server calls `handle`. EPROTO if there is none such.
    pub fn new(net: &Rc<Net>, handle: u32, family: u16, kind: u16, protocol: u16) -> Result<Rc<Self>, Errno> {
        let slot = net.region().slot(handle as usize).ok_or(Errno::EPROTO)?;
        // Linux: by AF_UNIX the one is the other.
        let kind = if family == AF_UNIX && kind == SOCK_RAW { SOCK_DGRAM } else { kind };
        let memory = net.region().memory();
        let socket = Rc::new_cyclic(|me| Self {
            net: net.clone(),
            handle: handle as Handle,
            family,
            kind,
            protocol,
            slot,
            rx: RefCell::new(ClientConsumer::new(memory, slot)),
            tx: RefCell::new(ClientProducer::new(memory, slot)),
            flags: Flags::new(O_RDWR),
            receive_timeout: Cell::new(None),
            send_timeout: Cell::new(None),
            low_water: Cell::new(1),
            oob_inline: Cell::new(false),
            linger: Cell::new(None),
            held: Cell::new(false),
            corked: RefCell::default(),
            ended: Cell::new(false),
            peer_name: RefCell::default(),
            connecting: Cell::new(false),
            connects: Cell::new(0),
            failure: Cell::new(None),
            has_peer: Cell::new(false),
            mode: Cell::new(0o777),
            reached: Reached::new(),
            wanted: Cell::new(0),
            full: Cell::new(0),
            errors: Cell::new(0),
            watchers: Watchers::default(),
            me: me.clone(),
        });
        net.enter(&socket);
        Ok(socket)
    }

    /// A raw or packet socket or one for ICMP: it has no port, and its sends
    /// fail at once.
    pub fn is_raw(&self) -> bool {
        self.family == AF_PACKET
            || self.is_inet()
                && (self.kind == SOCK_RAW || matches!(i32::from(self.protocol), IPPROTO_ICMP | IPPROTO_ICMPV6))
    }

    /// A socket whose datagrams are UDP's.
    pub fn is_udp(&self) -> bool {
        self.is_inet() && self.kind == SOCK_DGRAM && matches!(i32::from(self.protocol), 0 | IPPROTO_UDP)
    }

    /// Takes over what a listener hands to its connections (Linux clones it, but
    /// by AF_UNIX).
    pub fn inherit(&self, listener: &Self) {
        if listener.is_local() {
            return;
        }
        self.low_water.set(listener.low_water.get());
        self.oob_inline.set(listener.oob_inline.get());
        self.linger.set(listener.linger.get());
        self.receive_timeout.set(listener.receive_timeout.get());
        self.send_timeout.set(listener.send_timeout.get());
    }

    /// Whether data is a sequence of bytes, without records.
    #[inline]
    pub fn is_stream(&self) -> bool {
        self.kind == SOCK_STREAM
    }

    /// Whether it must be connected before data can move.
    pub fn is_connected_type(&self) -> bool {
        self.kind == SOCK_STREAM || self.kind == SOCK_SEQPACKET
    }

    pub fn is_inet(&self) -> bool {
        self.family == AF_INET || self.family == AF_INET6
    }

    /// Whether a connection of this stream is under way.
    #[inline]
    pub fn is_opening(&self) -> bool {
        self.status() & (status::CONNECTED | status::HUP | status::LISTEN) == 0
    }

    /// Whether this stream never had a connection, or all of it is forgotten.
    pub fn is_new(&self) -> bool {
        self.status() & (status::CONNECTED | status::HUP | status::RDHUP) == status::HUP
    }

    /// Whether it waits for connections.
    #[inline]
    pub fn is_listening(&self) -> bool {
        self.status() & status::LISTEN != 0
    }

    /// A socket of AF_UNIX.
    pub fn is_local(&self) -> bool {
        self.family == AF_UNIX
    }

    #[inline]
    pub fn status(&self) -> u32 {
        self.slot.status.load(Ordering::Acquire)
    }

    #[inline]
    pub fn doorbell(&self) {
        self.net.doorbell(self.handle);
    }

    /// [`taken`](Self::taken) after `n` of `available` bytes were: who sends by
    /// AF_UNIX learns of each datagram, and on a stream of every half of what a
    /// ring holds.
    #[inline]
    pub fn taken_of(&self, available: u32, n: u32) {
        const HALF: u32 = strait_ring::paged::RING_BYTES / 2;
        let half = || !self.is_stream() || available > HALF && available - n <= HALF;
        self.taken(n == available || self.is_local() && half());
    }

    /// After data was taken: tells the server if it waits for that.
    #[inline]
    pub fn taken(&self, all: bool) {
        if all {
            // Our head before its flag: pairs with the server's fence between
            // setting the flag and looking at the head.
            fence(Ordering::SeqCst);
            if self.slot.status.load(Ordering::Relaxed) & status::RING_ON_DRAIN != 0 {
                self.doorbell();
            }
        }
    }

    /// Asks the server for room for `bytes` more bytes. EMSGSIZE if there never
    /// is as much for one record.
    pub fn want(&self, tx: &ClientProducer, bytes: u32) -> Result<(), Errno> {
        tx.want(bytes);
        self.wanted.set(bytes);
        self.full.set(self.full.get().wrapping_add(1));
        if !self.is_local() {
            self.doorbell();
            return Ok(());
        }
        self.send_now().inspect_err(|_| self.want_nothing(tx))
    }

    /// The last send was complete: no more room is wanted.
    #[inline]
    pub fn want_nothing(&self, tx: &ClientProducer) {
        if self.wanted.get() != 0 {
            self.wanted.set(0);
            tx.want(0);
        }
    }

    /// Takes the pending error (SO_ERROR): the error, or `Ok` if there is none.
    pub fn check_error(&self) -> Result<(), Errno> {
        self.connecting.set(false);
        let request = Request::GetOption { socket: self.handle, level: SOL_SOCKET, name: SO_ERROR };
        let raw = self
            .net
            .call(&request, |reply| Ok(reply.bytes.first_chunk().map_or(reply.value, |b| u32::from_ne_bytes(*b))))?;
        self.error_taken(raw);
        if raw == 0 { Ok(()) } else { Err(Errno::from_raw(raw.into())) }
    }

    /// The pending error was asked for and is this; 0 if there was none.
    pub fn error_taken(&self, raw: u32) {
        self.errors.set(self.errors.get().wrapping_add(1));
        if raw != 0 {
            self.failure.set(Some(Errno::from_raw(raw.into())));
        }
    }

    /// A connect begins.
    pub fn begin(&self) {
        self.connects.set(self.connects.get().wrapping_add(1));
        self.failure.set(None);
    }

    /// The bits of poll(2) that hold now.
    pub fn readiness(&self) -> u32 {
        let status = self.status();
        let mut ready = status & status::POLL;
        if status & status::LISTEN != 0 {
            // Linux: errors of its time before are not told.
            return if self.is_inet() { ready & status::IN } else { ready };
        }
        if status & status::ATTEND != 0 {
            if status & status::AWAY != 0 {
                // What its rings hold, the server says.
                return ready;
            }
            let _ = self.attend(status);
        }
        if status & status::SKIP != 0 && !self.is_stream() {
            self.pass_purged();
        }
        let mut enough = if self.is_stream() && self.is_inet() { self.low_water.get() } else { 1 };
        if status & status::MARK != 0 && self.is_inet() {
            match self.mark_distance() {
                // The urgent byte itself is not to be read.
                Some(0) if !self.oob_inline.get() => enough += 1,
                None => ready &= !status::PRI,
                _ => {}
            }
        }
        let rx = self.rx.borrow();
        if status & status::RDHUP != 0 || rx.available() - self.skipped(&rx) >= enough {
            ready |= status::IN;
        }
        if status & status::WRSHUT != 0 {
            // By AF_UNIX the server says it.
            ready |= if self.is_local() { 0 } else { status::OUT };
        } else if ready & status::OUT != 0 && ready & status::HUP == 0 {
            // Records by AF_UNIX get their room when they are sent.
            let least = if self.is_local() && !self.is_stream() { 0 } else { 1 };
            let enough = if self.is_stream() { 1 } else { self.wanted.get().max(least) };
            if self.tx.borrow().room() < enough {
                ready &= !status::OUT;
            }
        }
        ready
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.net.forget(self.handle);
        // It can fail only if the session is gone, and with it the socket.
        let _ = self.net.call(&Request::Close { socket: self.handle }, |_| Ok(()));
    }
}
