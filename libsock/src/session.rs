//! The session with `net_server`: control calls, doorbells, signals.

use alloc::{rc::Weak, vec::Vec};
use core::cell::{Cell, RefCell};

use strait_abi::{
    Errno,
    net::{Handle, Reply, Request, decode_reply},
    session::{SessionRegion, VERSION},
};
use strait_pd::{Channel, MESSAGE_BYTES, PdRef};

use crate::socket::Socket;

/// A socket whose changes are reported as events, and by which name.
pub type Watched = (Weak<Socket>, usize);

/// The session.
pub struct Net {
    pd: PdRef,
    channel: Channel,
    region: SessionRegion,
    defer: Cell<bool>,
    deferred: Cell<bool>,
    /// By handle.
    pub watched: RefCell<Vec<Option<Watched>>>,
}

impl Net {
    /// Opens the session. The server's error, above all EPROTO if it speaks
    /// another version.
    pub fn open(pd: PdRef, channel: Channel, region: SessionRegion) -> Result<Self, Errno> {
        let mut watched = Vec::new();
        watched.resize_with(region.sockets(), || None);
        let net = Self {
            pd,
            channel,
            region,
            defer: Cell::new(false),
            deferred: Cell::new(false),
            watched: RefCell::new(watched),
        };
        net.call(&Request::Hello { version: VERSION }, |_| Ok(()))?;
        Ok(net)
    }

    pub fn channel(&self) -> Channel {
        self.channel
    }

    pub fn region(&self) -> &SessionRegion {
        &self.region
    }

    /// Asks the server; `take` gets what it replied.
    pub fn call<T>(&self, request: &Request<'_>, take: impl FnOnce(Reply<'_>) -> Result<T, Errno>) -> Result<T, Errno> {
        let mut message = request.encode()?;
        self.pd.call(self.channel, &mut message);
        let mut buffer = [0; MESSAGE_BYTES];
        take(decode_reply(&message, &mut buffer)?)
    }

    /// Tells the server that something moved in the rings of `socket`.
    #[inline]
    pub fn doorbell(&self, socket: Handle) {
        self.region.doorbells().set(usize::from(socket));
        if self.region.to_server().raise() {
            if self.defer.get() {
                self.deferred.set(true);
            } else {
                self.pd.notify(self.channel);
            }
        }
    }

    /// Whether notifications of the server wait for the next sleep.
    pub fn set_defer(&self, defer: bool) {
        self.defer.set(defer);
        if !defer {
            self.flush();
        }
    }

    /// Sends a notification that was put off.
    pub fn flush(&self) {
        if let Some(channel) = self.take_deferred() {
            self.pd.notify(channel);
        }
    }

    /// The channel, if a notification of it was put off.
    #[inline]
    pub fn take_deferred(&self) -> Option<Channel> {
        self.deferred.take().then_some(self.channel)
    }
}
