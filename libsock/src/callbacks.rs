//! Callbacks: six events of a socket, told to whoever set them for it. For
//! components that live in their `notified` handler, and for event loops.
//!
//! | callback | when |
//! |---|---|
//! | [`connected`](Callbacks::connected) | a connect(2) that was under way has succeeded |
//! | [`disconnected`](Callbacks::disconnected) | the connection is over or failed, once |
//! | [`newconn`](Callbacks::newconn) | connections wait to be accepted |
//! | [`recv`](Callbacks::recv) | data arrived; 0 bytes at the end of file, once |
//! | [`xmit`](Callbacks::xmit) | there is room to send: at first, and again after a send that lacked some |
//! | [`exception`](Callbacks::exception) | urgent data, or an error that ends nothing |
//!
//! They are called by [`Process::dispatch_events`] alone, never from inside
//! another call, and never one inside another. A callback may make any call,
//! also wait, close its socket, or set callbacks.
//!
//! They tell of changes: what was told and left is not told again until more
//! comes. They can be used beside everything else: descriptor calls,
//! [`Process::wait_events`], epoll.
//!
//! # A component without a loop of its own
//!
//! ```text
//! fn notified(&mut self, channels: ChannelSet) {
//!     self.process.notified(channels);
//!     while self.process.dispatch_events(Some(Duration::ZERO)).is_ok_and(|news| news != 0) {}
//! }
//! ```

use alloc::{
    collections::{BTreeMap, VecDeque},
    rc::{Rc, Weak},
};
use core::{
    cell::{Cell, RefCell},
    sync::atomic::Ordering,
    time::Duration,
};

use strait_abi::{Errno, session::status};
use strait_pd::ChannelSet;

use crate::{Process, descriptor::Fd, object::Watch, process::nanos, socket::Socket};

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Both sides have ended it.
    Closed,
    /// It failed, or could not be made: ECONNRESET, ECONNREFUSED, ETIMEDOUT, ...
    Failed(Errno),
}

/// What [`Callbacks::exception`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exception {
    /// Urgent data arrived (MSG_OOB).
    Urgent,
    /// The pending error (SO_ERROR) of a socket without connection, taken:
    /// ECONNREFUSED if nobody takes its datagrams, ...
    Error(Errno),
}

/// What is told of a socket. All do nothing unless written.
#[allow(unused_variables)]
pub trait Callbacks {
    /// The connection stands.
    fn connected(&self, process: &Process, fd: Fd) {}

    /// The connection is over, or could not be made. Nothing more is told until
    /// the socket is connected again; it is still to be closed.
    fn disconnected(&self, process: &Process, fd: Fd, reason: Reason) {}

    /// Connections wait for accept(2) at the listener `fd`.
    fn newconn(&self, process: &Process, fd: Fd) {}

    /// `bytes` can be read, in all or, where there are records, in the first;
    /// 0 at the end of file. It may take more than one receive: none goes across
    /// the urgent byte, which is not counted.
    fn recv(&self, process: &Process, fd: Fd, bytes: usize) {}

    /// There is room for `bytes` to be sent.
    fn xmit(&self, process: &Process, fd: Fd, bytes: usize) {}

    /// Something that needs attention.
    fn exception(&self, process: &Process, fd: Fd, what: Exception) {}
}

/// What was told of a socket since a connect began.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    /// Which: [`Socket::connects`].
    connects: u32,
    connected: bool,
    over: bool,
    /// The end of file.
    end: bool,
    /// The place of urgent data.
    urgent: Option<u32>,
    /// As far as data was told of.
    tail: Option<u32>,
    /// The state of the ring when room was told.
    room: Option<[u32; 3]>,
}

struct Entry {
    socket: Weak<Socket>,
    fd: Fd,
    callbacks: Rc<dyn Callbacks>,
    told: Cell<Told>,
    queued: Cell<bool>,
}

/// A callback that is due.
enum Call {
    Connected,
    Exception(Exception),
    NewConn,
    Recv(usize),
    Xmit(usize),
    Disconnected(Reason),
}

/// A callback that is due.
type Due = fn(&Socket, u32, &mut Told) -> Option<Call>;

/// The order in which callbacks of one socket are made. Each looks at one status,
/// which was read before anything else: what the server writes meanwhile comes
/// with the next event, or an end would overtake data.
const ORDER: [Due; 8] = [connected, urgent, newconn, received, end_of_file, failed, room, ended];

/// Does what the server asks for; the status. Rings that are elsewhere come here
/// if there is something in them: whoever has callbacks wants it.
fn attend(socket: &Socket) -> u32 {
    let word = socket.status();
    let here = word & status::AWAY == 0 || word & status::IN != 0;
    if word & status::ATTEND != 0 && here {
        // What it has no pages for stays where it is.
        let _ = socket.attend(word);
        return socket.status();
    }
    word
}

fn connected(socket: &Socket, word: u32, told: &mut Told) -> Option<Call> {
    if told.connected || !socket.is_connected_type() || word & status::CONNECTED == 0 {
        return None;
    }
    told.connected = true;
    socket.connecting.set(false);
    Some(Call::Connected)
}

fn urgent(socket: &Socket, _: u32, told: &mut Told) -> Option<Call> {
    let is = socket.readiness() & status::PRI != 0;
    // Of AF_UNIX the place is that of control data too.
    let place = is.then(|| if socket.is_inet() { socket.slot.rx_mark.load(Ordering::Acquire) } else { 0 });
    let new = is && told.urgent != place;
    told.urgent = place;
    new.then_some(Call::Exception(Exception::Urgent))
}

fn newconn(_: &Socket, word: u32, _: &mut Told) -> Option<Call> {
    let waits = status::LISTEN | status::IN;
    (word & waits == waits).then_some(Call::NewConn)
}

/// As far as there is data, if it was not told.
fn untold(socket: &Socket, told: &Told) -> Option<u32> {
    let tail = socket.slot.rx_tail.load(Ordering::Acquire);
    let some = if socket.is_stream() { socket.payload() != 0 } else { socket.rx.borrow().available() != 0 };
    (some && told.tail != Some(tail)).then_some(tail)
}

fn received(socket: &Socket, word: u32, told: &mut Told) -> Option<Call> {
    if word & (status::LISTEN | status::AWAY) != 0 {
        return None;
    }
    let tail = untold(socket, told)?;
    // Less than SO_RCVLOWAT is nothing yet.
    if socket.readiness() & status::IN == 0 {
        return None;
    }
    told.tail = Some(tail);
    Some(Call::Recv(if socket.is_stream() { socket.payload() as usize } else { socket.next_datagram().unwrap_or(0) }))
}

fn end_of_file(socket: &Socket, word: u32, told: &mut Told) -> Option<Call> {
    // It is believed only if all that goes before it was told.
    let end = socket.is_connected_type() && word & (status::RDHUP | status::ERR) == status::RDHUP;
    // What failed has none.
    if !end || told.end || failure(socket, word).is_some() || untold(socket, told).is_some() {
        return None;
    }
    told.end = true;
    Some(Call::Recv(0))
}

/// Why it is over, if somebody else took the error.
fn failure(socket: &Socket, word: u32) -> Option<Errno> {
    if word & status::HUP == 0 {
        return None;
    }
    // In another process, which has the socket too.
    let unknown = socket.connecting.get() && word & status::CONNECTED == 0;
    socket.failure.get().or(unknown.then_some(Errno::ECONNABORTED))
}

fn failed(socket: &Socket, word: u32, told: &mut Told) -> Option<Call> {
    let pending = if word & status::ERR != 0 { socket.check_error().err() } else { None };
    if !socket.is_connected_type() {
        return pending.map(|errno| Call::Exception(Exception::Error(errno)));
    }
    let errno = pending.or_else(|| failure(socket, word))?;
    told.over = true;
    Some(Call::Disconnected(Reason::Failed(errno)))
}

fn room(socket: &Socket, word: u32, told: &mut Told) -> Option<Call> {
    let open = word & (status::OUT | status::WRSHUT | status::HUP) == status::OUT
        && (!socket.is_connected_type() || word & status::CONNECTED != 0);
    if !open || word & (status::LISTEN | status::AWAY) != 0 {
        return None;
    }
    let slot = socket.slot;
    let state = [&slot.tx_limit, &slot.tx_tail, &slot.tx_revoked].map(|word| word.load(Ordering::Acquire));
    let room = socket.tx.borrow().room();
    let wanted = socket.wanted.get();
    let enough = if socket.is_stream() { 1 } else { wanted.max(1) };
    let first = told.room.is_none();
    if room < enough || told.room == Some(state) || !first && wanted == 0 {
        return None;
    }
    told.room = Some(state);
    Some(Call::Xmit(room as usize))
}

fn ended(_: &Socket, word: u32, told: &mut Told) -> Option<Call> {
    let all_told = told.end || word & status::RDHUP == 0;
    if told.connected && all_told && word & status::HUP != 0 {
        told.over = true;
        return Some(Call::Disconnected(Reason::Closed));
    }
    None
}

impl Entry {
    /// Makes the callbacks that are due. False if the descriptor is closed.
    fn run(&self, process: &Process) -> bool {
        let mut word = None;
        for due in ORDER {
            // Every callback may close it.
            let Ok(socket) = process.socket_of(self.fd) else { return false };
            if !core::ptr::eq(Rc::as_ptr(&socket), self.socket.as_ptr()) {
                return false;
            }
            let mut told = self.told.get();
            if told.connects != socket.connects.get() {
                told = Told { connects: socket.connects.get(), ..Told::default() };
                word = None;
            }
            if told.over {
                break;
            }
            let word = *word.get_or_insert_with(|| attend(&socket));
            let call = due(&socket, word, &mut told);
            self.told.set(told);
            drop(socket);
            let (c, fd) = (&self.callbacks, self.fd);
            match call {
                None => {}
                Some(Call::Connected) => c.connected(process, fd),
                Some(Call::Exception(what)) => c.exception(process, fd, what),
                Some(Call::NewConn) => c.newconn(process, fd),
                Some(Call::Recv(bytes)) => c.recv(process, fd, bytes),
                Some(Call::Xmit(bytes)) => c.xmit(process, fd, bytes),
                Some(Call::Disconnected(reason)) => c.disconnected(process, fd, reason),
            }
        }
        true
    }
}

/// The sockets with callbacks, by handle, and those that changed.
#[derive(Default)]
pub(crate) struct Dispatcher {
    entries: RefCell<BTreeMap<usize, Rc<Entry>>>,
    changed: RefCell<VecDeque<usize>>,
    running: Cell<bool>,
}

impl Watch for Dispatcher {
    fn changed(&self, key: usize) {
        let entries = self.entries.borrow();
        if let Some(entry) = entries.get(&key)
            && !entry.queued.replace(true)
        {
            self.changed.borrow_mut().push_back(key);
        }
    }

    fn gone(&self, key: usize) {
        let entry = self.entries.borrow_mut().remove(&key);
        // With it may go what does calls when it is dropped.
        drop(entry);
    }
}

impl Dispatcher {
    fn set(self: &Rc<Self>, socket: &Rc<Socket>, fd: Fd, callbacks: Option<Rc<dyn Callbacks>>) {
        let key = usize::from(socket.handle);
        let me: Weak<Self> = Rc::downgrade(self);
        let me: Weak<dyn Watch> = me;
        let old = self.entries.borrow_mut().remove(&key);
        if old.is_some() {
            socket.watchers.remove(&me, key);
        }
        if let Some(callbacks) = callbacks {
            let connected = socket.status() & status::CONNECTED != 0 && !socket.connecting.get();
            let told = Cell::new(Told { connected, connects: socket.connects.get(), ..Told::default() });
            let entry = Entry { socket: Rc::downgrade(socket), fd, callbacks, told, queued: Cell::new(false) };
            self.entries.borrow_mut().insert(key, Rc::new(entry));
            socket.watchers.add(me, key);
            socket.net.observe(socket);
            // For the state that it is in now.
            self.changed(key);
        }
        drop(old);
    }

    /// Whether there is something to do.
    fn any(&self) -> bool {
        !self.changed.borrow().is_empty()
    }

    /// Makes the callbacks of all that have changed until now; of how many.
    fn run(self: &Rc<Self>, process: &Process) -> usize {
        let count = self.changed.borrow().len();
        for _ in 0..count {
            let Some(key) = self.changed.borrow_mut().pop_front() else { break };
            let entry = self.entries.borrow().get(&key).cloned();
            let Some(entry) = entry else { continue };
            entry.queued.set(false);
            // The descriptor is closed; the socket may live on in another.
            if !entry.run(process)
                && let Some(socket) = entry.socket.upgrade()
                && self.entries.borrow().get(&key).is_some_and(|current| Rc::ptr_eq(current, &entry))
            {
                self.set(&socket, entry.fd, None);
            }
        }
        count
    }
}

impl Process {
    /// Sets the callbacks of the socket `fd`, in place of earlier ones; with
    /// `None` it has none. What is the case already is told by the next
    /// [`dispatch_events`](Self::dispatch_events). They end when `fd` is closed.
    pub fn set_callbacks(&self, fd: Fd, callbacks: Option<Rc<dyn Callbacks>>) -> Result<(), Errno> {
        let socket = self.socket_of(fd)?;
        self.dispatcher().set(&socket, fd, callbacks);
        Ok(())
    }

    /// Makes the callbacks that are due, and returns how many sockets had news.
    /// If there is none, waits for some until `timeout`, and gives 0 then; also
    /// a notification that is not the library's ends the wait (see
    /// [`take_foreign_notifications`](Self::take_foreign_notifications)).
    ///
    /// With a timeout of zero: when it gives 0, a notification will come with
    /// the next news, not before.
    ///
    /// EDEADLK from inside a callback.
    pub fn dispatch_events(&self, timeout: Option<Duration>) -> Result<usize, Errno> {
        let dispatcher = self.dispatcher();
        if dispatcher.running.replace(true) {
            return Err(Errno::EDEADLK);
        }
        let result = self.dispatch(timeout);
        dispatcher.running.set(false);
        result
    }

    fn dispatch(&self, timeout: Option<Duration>) -> Result<usize, Errno> {
        let net = self.net()?;
        let signal = net.region().to_client();
        let mut end = None;
        loop {
            net.take_events();
            let count = self.dispatcher().run(self);
            net.flush();
            if count != 0 {
                return Ok(count);
            }
            if timeout == Some(Duration::ZERO) {
                signal.arm();
                if !net.region().events().any() {
                    return Ok(0);
                }
                signal.disarm();
                continue;
            }
            if self.waiter().has_foreign() {
                return Ok(0);
            }
            end = end.or_else(|| timeout.map(|t| self.now() + t));
            let left = end.map(|end| nanos(end.saturating_sub(self.now())));
            let news = || {
                net.take_events();
                let any = self.dispatcher().any() || self.waiter().has_foreign();
                if any { Ok(()) } else { Err(Errno::EAGAIN) }
            };
            match self.until(left, news) {
                Err(Errno::EAGAIN) => return Ok(0),
                other => other?,
            }
        }
    }

    /// For components whose notifications are taken by somebody else, as a
    /// `notified` handler: tells the library which ones arrived.
    pub fn notified(&self, channels: ChannelSet) {
        self.waiter().note_own(channels);
    }
}

#[cfg(test)]
mod tests;
