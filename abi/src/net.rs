//! Control calls of `net_server`: postcard in the registers of a protected
//! procedure call.
//!
//! A call never waits: what would block gives EAGAIN or EINPROGRESS, and the
//! socket's readiness word tells when to ask again. The label of the reply is
//! 0 or an errno.

use postcard::{from_bytes, to_slice};
use serde::{Deserialize, Serialize};
use strait_pd::{MESSAGE_BYTES, Message};

use crate::Errno;

/// A socket's number in its client's session.
pub type Handle = u16;

/// Longest value of a socket option or ioctl, in bytes.
pub const MAX_OPTION: usize = 256;

/// What a client asks. The order of the variants is the wire format: new ones
/// go to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// First call of a session: closes whatever an earlier incarnation of the
    /// client left. EPROTO if the server speaks another
    /// [`VERSION`](crate::session::VERSION).
    Hello {
        /// The client's version.
        version: u32,
    },
    /// socket(2). Reply: the handle.
    Socket {
        /// AF_INET, ...
        family: u16,
        /// SOCK_STREAM, ... without flags.
        kind: u16,
        /// IPPROTO_TCP, ... or 0.
        protocol: u16,
    },
    /// close(2).
    Close {
        /// Which socket.
        socket: Handle,
    },
    /// bind(2).
    Bind {
        /// Which socket.
        socket: Handle,
        /// A `sockaddr`.
        address: &'a [u8],
    },
    /// listen(2).
    Listen {
        /// Which socket.
        socket: Handle,
        /// Connections that may wait.
        backlog: u32,
    },
    /// accept(2). Reply: the new handle and the peer's address.
    Accept {
        /// Which socket.
        socket: Handle,
    },
    /// connect(2). EINPROGRESS where it takes time.
    Connect {
        /// Which socket.
        socket: Handle,
        /// A `sockaddr`.
        address: &'a [u8],
    },
    /// shutdown(2).
    Shutdown {
        /// Which socket.
        socket: Handle,
        /// SHUT_RD, SHUT_WR or SHUT_RDWR.
        how: u8,
    },
    /// getsockname(2). Reply: the address.
    LocalAddress {
        /// Which socket.
        socket: Handle,
    },
    /// getpeername(2). Reply: the address.
    PeerAddress {
        /// Which socket.
        socket: Handle,
    },
    /// setsockopt(2).
    SetOption {
        /// Which socket.
        socket: Handle,
        /// SOL_SOCKET, IPPROTO_TCP, ...
        level: i32,
        /// SO_REUSEADDR, ...
        name: i32,
        /// At most [`MAX_OPTION`] bytes.
        value: &'a [u8],
    },
    /// getsockopt(2). Reply: the value.
    GetOption {
        /// Which socket.
        socket: Handle,
        /// SOL_SOCKET, IPPROTO_TCP, ...
        level: i32,
        /// SO_ERROR, ...
        name: i32,
    },
    /// ioctl(2) on a socket. Reply: the argument as the server leaves it.
    Ioctl {
        /// Which socket.
        socket: Handle,
        /// SIOCGIFADDR, ...
        request: u32,
        /// At most [`MAX_OPTION`] bytes.
        argument: &'a [u8],
    },
    /// What the server counts about itself. Reply: [`Counters`], encoded.
    Counters,
    /// The addresses of the name servers that the network announced or the
    /// configuration names, with port and, where it matters, scope. Reply: a
    /// length byte and a socket address for each.
    NameServers,
    /// getentropy(3). Reply: unpredictable bytes. EIO for more than 256 of
    /// them, EAGAIN as long as the server has no entropy.
    Random {
        /// How many.
        bytes: u16,
    },
    /// socketpair(2). Reply: the first handle, and the second times 65,536.
    SocketPair {
        /// AF_UNIX, ...
        family: u16,
        /// SOCK_STREAM, ... without flags.
        kind: u16,
        /// 0, or what the family knows.
        protocol: u16,
    },
    /// send(2) with MSG_OOB, made just before the data is written to the tx
    /// ring: its last byte is urgent.
    SendUrgent {
        /// Which socket.
        socket: Handle,
        /// Bytes that are about to be written.
        bytes: u32,
    },
    /// recv(2) with MSG_OOB. Reply: the urgent byte; nothing if it will not
    /// come any more. EINVAL without one, EAGAIN if it is announced but not
    /// here.
    ReceiveUrgent {
        /// Which socket.
        socket: Handle,
        /// MSG_PEEK: it stays.
        peek: bool,
    },
    /// sendmsg(2) on a stream: the control data that goes with the next byte
    /// that is written to the tx ring. Said again before that byte, it takes
    /// the place of what was said before. EAGAIN if too much of it waits; an
    /// event tells when to try again.
    SendControl {
        /// Which socket.
        socket: Handle,
        /// Bytes of data that go with it, at least one.
        bytes: u32,
        /// As in a `msghdr`, at most
        /// [`MAX_CONTROL`](crate::rights::MAX_CONTROL) bytes.
        control: &'a [u8],
    },
    /// recvmsg(2) where the ring alone does not say what may be taken: see
    /// [`CONTROL`](crate::session::status::CONTROL),
    /// [`IDENTITY`](crate::session::status::IDENTITY) and
    /// [`OFFSET`](crate::session::status::OFFSET). Reply: a [`Portion`] and
    /// control data as in a `msghdr`; descriptors in it are handles of the
    /// caller ([`crate::rights`]).
    Receive {
        /// Which socket.
        socket: Handle,
        /// Bytes behind the head of the rx ring that this call has peeked at
        /// already.
        offset: u32,
        /// Bytes that the caller has room for.
        most: u32,
        /// Bits of [`receive`].
        how: u8,
    },
    /// send(2) on a socket whose sends fail at once (AF_UNIX with records): the
    /// client has written one record to the tx ring. Refused, it is not sent.
    /// EAGAIN if the receiver has no room; then an event tells when to try
    /// again. Without a record: the room that the client wishes for is given
    /// at once as far as it can be; EMSGSIZE if it never can.
    Send {
        /// Which socket.
        socket: Handle,
    },
    /// Brings the rings of a socket that another session shares
    /// ([`AWAY`](crate::session::status::AWAY)) here: its slot is as new, with
    /// what is not yet read and not yet taken in it. ENOBUFS without pages for
    /// that. Reply: as that of [`Describe`](Self::Describe).
    Acquire {
        /// Which socket.
        socket: Handle,
    },
    /// One entry of the list of interfaces and their addresses
    /// ([`crate::interface::Entry`]): each interface, then its addresses. Reply:
    /// how many there are, and the entry, if there is one at this place.
    Interface {
        /// Its place, from 0.
        at: u16,
    },
    /// What the library must know of a socket that came in a message. Reply: a
    /// [`Description`], encoded.
    Describe {
        /// Which socket.
        socket: Handle,
    },
}

/// Bits of `how` of [`Request::Receive`].
pub mod receive {
    /// MSG_PEEK: all stays.
    pub const PEEK: u8 = 1;
    /// The call has received something already: it goes on only with what
    /// belongs together.
    pub const GOES_ON: u8 = 2;
    /// The caller takes control data; without, descriptors are dropped.
    pub const CONTROL: u8 = 4;
}

/// The part of what lies in the rx ring that one receive may take.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
#[repr(C)]
pub struct Portion {
    /// Bytes to pass over: urgent ones that were taken, records that were
    /// peeked at before.
    pub skip: u32,
    /// Of a stream: bytes to take behind them. Of a record: bytes of its data
    /// to leave out.
    pub bytes: u32,
    /// Of a stream: 1 if the receive ends with them, 2 if it asks once more.
    pub next: u32,
}

impl Portion {
    /// Bytes of it in front of the control data.
    pub const BYTES: usize = 12;
    /// Value of `next`: nothing more in this receive.
    pub const END: u32 = 1;
    /// Value of `next`: what follows belongs to it as well.
    pub const MORE: u32 = 2;
}

/// What the library knows of a socket beside its rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Description {
    /// AF_INET, ...
    pub family: u16,
    /// SOCK_STREAM, ...
    pub kind: u16,
    /// IPPROTO_TCP, ...
    pub protocol: u16,
    /// It has a peer.
    pub has_peer: bool,
    /// SO_OOBINLINE.
    pub oob_inline: bool,
    /// SO_LINGER, in seconds.
    pub linger: Option<u32>,
    /// SO_RCVLOWAT.
    pub receive_low: u32,
    /// SO_RCVTIMEO and SO_SNDTIMEO, as they were set: a `struct timeval`.
    pub timeouts: [[u8; 16]; 2],
}

impl Description {
    /// Decodes the reply to [`Request::Describe`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Errno> {
        from_bytes(bytes).map_err(|_| Errno::EPROTO)
    }
}

/// What comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reply<'a> {
    /// A handle or another number.
    pub value: u32,
    /// An address or an option value.
    pub bytes: &'a [u8],
}

/// Numbers that the server keeps about itself, for tests and for `netstat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Sockets of the calling client.
    pub sockets: u32,
    /// Data pages of its session in use.
    pub pages: u32,
    /// Most that were ever in use at once.
    pub pages_peak: u32,
    /// Sockets of all clients, and connections not accepted or not yet ended.
    pub sockets_all: u32,
    /// Frames received.
    pub rx_frames: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// Frames dropped because they made no sense or had no receiver.
    pub rx_dropped: u64,
    /// Packets not sent for want of a buffer or a neighbour.
    pub tx_dropped: u64,
    /// Descriptors from the driver that made no sense.
    pub bad_descriptors: u64,
    /// Times a client broke the protocol of its session.
    pub misbehaved: u64,
    /// Notifications sent to the driver.
    pub notify_driver: u64,
    /// Notifications sent to clients.
    pub notify_clients: u64,
    /// Times the server was woken.
    pub wakeups: u64,
    /// Bytes of heap in use for sockets' private buffers.
    pub buffer_bytes: u64,
    /// Data pages in use in all sessions.
    pub pages_all: u32,
    /// Descriptors in messages that nobody has received yet, of all clients.
    pub flying_all: u32,
}

impl Counters {
    /// Decodes the reply to [`Request::Counters`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Errno> {
        from_bytes(bytes).map_err(|_| Errno::EPROTO)
    }
}

impl<'a> Request<'a> {
    /// Encodes it. EINVAL if it does not fit a message.
    pub fn encode(&self) -> Result<Message, Errno> {
        encode(0, self)
    }

    /// Decodes what [`encode`](Self::encode) made; EPROTO for anything else.
    pub fn decode(message: &Message, buffer: &'a mut [u8; MESSAGE_BYTES]) -> Result<Self, Errno> {
        from_bytes(message.bytes(buffer)).map_err(|_| Errno::EPROTO)
    }
}

fn encode<T: Serialize>(label: u64, value: &T) -> Result<Message, Errno> {
    let mut buffer = [0; MESSAGE_BYTES];
    let used = to_slice(value, &mut buffer).map_err(|_| Errno::EINVAL)?;
    let mut message = Message::new(label);
    message.set_bytes(used);
    Ok(message)
}

/// Encodes a result for the caller.
pub fn encode_reply(result: Result<Reply<'_>, Errno>) -> Message {
    result.and_then(|reply| encode(0, &reply)).unwrap_or_else(|errno| Message::new(errno.raw().into()))
}

/// Decodes a result.
pub fn decode_reply<'a>(message: &Message, buffer: &'a mut [u8; MESSAGE_BYTES]) -> Result<Reply<'a>, Errno> {
    if message.label != 0 {
        return Err(Errno::from_raw(message.label));
    }
    from_bytes(message.bytes(buffer)).map_err(|_| Errno::EPROTO)
}

/// Header of a datagram in a ring, in either direction. Then follow the
/// `sockaddr` and the data, each padded to eight bytes.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
#[repr(C)]
pub struct RecordHeader {
    /// Bytes of data.
    pub data: u32,
    /// Bytes of address, 0 for none.
    pub address: u16,
    /// Bytes of control data between address and data: headers and values as
    /// in a `msghdr` (cmsg(3)), see [`crate::control`].
    pub control: u16,
}

impl RecordHeader {
    /// Bytes of the header itself.
    pub const BYTES: usize = 8;

    /// Where the control data begins, from the header on.
    pub const fn control_offset(&self) -> u32 {
        // A multiple of 8.
        Self::BYTES as u32 + ((self.address as u32 + 7) & !7)
    }

    /// Where the data begins, from the header on.
    pub const fn data_offset(&self) -> u32 {
        self.control_offset() + ((self.control as u32 + 7) & !7)
    }

    /// Bytes of the whole record in the ring; `None` if they do not fit any.
    pub fn total(&self) -> Option<u32> {
        Some(self.data_offset().checked_add(self.data)?.checked_add(7)? & !7)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hot_calls_fit_four_registers() {
        let a = [7; 16];
        for r in [
            Request::Socket { family: 10, kind: 1, protocol: 6 },
            Request::Accept { socket: 1023 },
            Request::Close { socket: 1023 },
            Request::Connect { socket: 1023, address: &a },
        ] {
            assert!(r.encode().unwrap().words().len() <= 4, "{r:?}");
        }
    }

    #[test]
    fn counters_fit_an_option() {
        let c = Counters { rx_frames: u64::MAX, tx_frames: u64::MAX, ..Default::default() };
        let mut b = [0; MAX_OPTION];
        assert!(to_slice(&c, &mut b).is_ok());
    }

    proptest! {
        #[test]
        fn requests_round_trip(socket in any::<u16>(), level in any::<i32>(), name in any::<i32>(),
                               value in proptest::collection::vec(any::<u8>(), 0..MAX_OPTION)) {
            let r = Request::SetOption { socket, level, name, value: &value };
            let m = r.encode().unwrap();
            let mut b = [0; MESSAGE_BYTES];
            prop_assert_eq!(Request::decode(&m, &mut b), Ok(r));
        }

        #[test]
        fn no_message_is_fatal(label in any::<u64>(), words in proptest::collection::vec(any::<u64>(), 0..80)) {
            let m = Message::from_words(label, &words);
            let mut b = [0; MESSAGE_BYTES];
            let _ = Request::decode(&m, &mut b);
            let _ = decode_reply(&m, &mut b);
        }
    }
}
