//! The session with `net_server`: control calls, doorbells, signals.

use alloc::{
    collections::VecDeque,
    rc::{Rc, Weak},
    vec::Vec,
};
use core::cell::{Cell, RefCell};

use strait_abi::{
    Errno,
    net::{Handle, Reply, Request, decode_reply},
    session::{SessionRegion, VERSION},
};
use strait_pd::{Channel, MESSAGE_BYTES, PdRef};

use crate::socket::Socket;

/// Who is told when the socket of a handle changes.
#[derive(Default)]
struct Place {
    /// The socket that has the handle.
    own: Weak<Socket>,
    socket: Weak<Socket>,
    /// [`Process::wait_events`](crate::Process::wait_events) is, by this name.
    token: Option<usize>,
    /// It is in `changed`.
    queued: bool,
    /// The socket's watchers are.
    observed: bool,
}

/// The places by handle, and those whose socket changed and for which
/// `wait_events` was not told yet: each at most once, so that pushing does not
/// allocate.
struct Places {
    all: Vec<Place>,
    changed: VecDeque<Handle>,
}

/// The session.
pub struct Net {
    pd: PdRef,
    channel: Channel,
    region: SessionRegion,
    defer: Cell<bool>,
    deferred: Cell<bool>,
    places: RefCell<Places>,
}

impl Net {
    /// Opens the session. The server's error, above all EPROTO if it speaks
    /// another version.
    pub fn open(pd: PdRef, channel: Channel, region: SessionRegion) -> Result<Self, Errno> {
        let mut all = Vec::new();
        all.resize_with(region.sockets(), Place::default);
        let changed = VecDeque::with_capacity(all.len());
        let net = Self {
            pd,
            channel,
            region,
            defer: Cell::new(false),
            deferred: Cell::new(false),
            places: RefCell::new(Places { all, changed }),
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

    /// Gives changes of `socket` to `wait_events` under the name `token`.
    pub fn watch(&self, socket: &Socket, token: usize) {
        if let Some(place) = self.places.borrow_mut().all.get_mut(usize::from(socket.handle)) {
            place.socket = socket.me.clone();
            place.token = Some(token);
        }
    }

    /// Gives changes of `socket` to its watchers.
    pub fn observe(&self, socket: &Socket) {
        if let Some(place) = self.places.borrow_mut().all.get_mut(usize::from(socket.handle)) {
            place.socket = socket.me.clone();
            place.observed = true;
        }
    }

    /// The open socket that the server calls `handle`.
    pub fn known(&self, handle: u32) -> Option<Rc<Socket>> {
        self.places.borrow().all.get(handle as usize)?.own.upgrade()
    }

    /// Notes a new socket.
    pub fn enter(&self, socket: &Socket) {
        if let Some(place) = self.places.borrow_mut().all.get_mut(usize::from(socket.handle)) {
            place.own = socket.me.clone();
        }
    }

    /// The socket is closed.
    pub fn forget(&self, socket: Handle) {
        if let Ok(mut places) = self.places.try_borrow_mut()
            && let Some(place) = places.all.get_mut(usize::from(socket))
        {
            // What is queued stays so, and finds no socket.
            *place = Place { queued: place.queued, ..Place::default() };
        }
    }

    /// Takes the changes off the session: tells watchers, and keeps the rest
    /// for [`each_changed`](Self::each_changed).
    pub fn take_events(&self) {
        self.region.events().take(|handle| {
            let mut places = self.places.borrow_mut();
            let Places { all, changed } = &mut *places;
            let Some(place) = all.get_mut(handle) else { return };
            if place.token.is_some() && !place.queued {
                place.queued = true;
                changed.push_back(handle as Handle);
            }
            if place.observed {
                let socket = place.socket.upgrade();
                drop(places);
                if let Some(socket) = socket {
                    socket.watchers.wake();
                }
            }
        });
    }

    /// Calls `f` with sockets that have changed and their names in
    /// `wait_events`, until it gives false.
    pub fn each_changed(&self, mut f: impl FnMut(&Socket, usize) -> bool) {
        let mut places = self.places.borrow_mut();
        let Places { all, changed } = &mut *places;
        while let Some(handle) = changed.pop_front() {
            let Some(place) = all.get_mut(usize::from(handle)) else { continue };
            place.queued = false;
            if let (Some(socket), Some(token)) = (place.socket.upgrade(), place.token)
                && !f(&socket, token)
            {
                break;
            }
        }
    }

    /// Whether there is none: then [`take_events`](Self::take_events) may bring
    /// some.
    pub fn none_changed(&self) -> bool {
        self.places.borrow().changed.is_empty()
    }
}
