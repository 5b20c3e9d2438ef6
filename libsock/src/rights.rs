//! What AF_UNIX has beside the other families: names in the file system,
//! descriptors in messages, sockets that are shared with other clients.
//!
//! A descriptor means nothing to the server, which has handles for sockets, and
//! for files tokens that `vfs_server` gives out. They are translated here, in
//! both directions. Sent to oneself, a socket comes back as the description
//! that it is, also in its flags.
//!
//! A socket that two clients hold has its rings in the memory of one of them;
//! the other brings them over when it uses the socket. Two that use one at the
//! same time must agree among themselves, as for every shared description.

use alloc::{rc::Rc, vec::Vec};

use strait_abi::{
    Address, Errno,
    control::{HEADER, Item, items, put as put_item},
    net::{Description, Request},
    rights::{FILE, LOST, MAX_BYTES, MAX_CONTROL, NONBLOCK, TOKEN_BYTES},
    session::status,
    socket::{MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_PEEK, O_NONBLOCK, SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET},
    vfs::{self, token::Token},
};
use strait_ring::paged::{ClientConsumer, ClientProducer};
use zerocopy::{FromZeros, IntoBytes};

use crate::{
    Process,
    control::{Extra, put},
    descriptor::Object,
    file::OpenFile,
    posix::{Received, options::timeval},
    session::Net,
    socket::Socket,
};

/// Bytes of a whole `sockaddr_un`; a token follows in what the server gets.
const SOCKADDR: usize = 110;
/// Bytes of a token before number and code, which alone travel.
const KIND: usize = 8;
/// How often a right to connect that was taken away is asked for again.
const MOST_TRIES: u32 = 16;
/// Bytes of a `struct ucred`.
const CREDENTIALS: usize = 12;
/// Who is not known: no process, user and group 65534.
const UNKNOWN: [u8; CREDENTIALS] = [0, 0, 0, 0, 254, 255, 0, 0, 254, 255, 0, 0];

impl Socket {
    /// Sends the record that was written; without one, asks for the room that is
    /// wanted.
    pub fn send_now(&self) -> Result<(), Errno> {
        let sent = self.net.call(&Request::Send { socket: self.handle }, |_| Ok(()));
        // Perhaps it is the pending error.
        sent.inspect_err(|_| self.errors.set(self.errors.get().wrapping_add(1)))
    }

    /// Attends to what the server asks for by the status: gives back room that
    /// it takes back, and brings the rings of a shared socket here if they are
    /// elsewhere. Returns whether they were. ENOBUFS if the session has no pages
    /// for what is in them.
    #[cold]
    pub fn attend(&self, status: u32) -> Result<bool, Errno> {
        if status & status::SHRINK != 0 && self.tx.borrow().yield_room() {
            self.doorbell();
        }
        if status & status::AWAY == 0 {
            return Ok(false);
        }
        let request = Request::Acquire { socket: self.handle };
        let description = self.net.call(&request, |reply| Description::decode(reply.bytes))?;
        self.take_over(&description);
        let memory = self.net.region().memory();
        *self.rx.borrow_mut() = ClientConsumer::new(memory, self.slot);
        *self.tx.borrow_mut() = ClientProducer::new(memory, self.slot);
        Ok(true)
    }

    /// Throws away what was received (connect(2) that ends the association).
    pub fn purge(&self) {
        let mut rx = self.rx.borrow_mut();
        let n = rx.available();
        rx.consume(n);
        drop(rx);
        self.doorbell();
    }

    pub fn int_option(&self, name: i32) -> Result<u32, Errno> {
        let request = Request::GetOption { socket: self.handle, level: SOL_SOCKET, name };
        self.net.call(&request, |reply| Ok(reply.bytes.first_chunk().map_or(0, |b| u32::from_ne_bytes(*b))))
    }

    /// What the library keeps of a socket, as who used it last left it.
    fn take_over(&self, description: &Description) {
        let [receive, send] = description.timeouts.map(|t| timeval(&t).unwrap_or_default());
        self.receive_timeout.set(receive);
        self.send_timeout.set(send);
        self.low_water.set(description.receive_low);
        self.oob_inline.set(description.oob_inline);
        self.linger.set(description.linger);
        self.has_peer.set(description.has_peer);
    }
}

/// The socket of a handle that came in a message.
fn adopt(net: &Rc<Net>, handle: u32, nonblocking: bool) -> Result<Rc<Socket>, Errno> {
    if let Some(socket) = net.known(handle) {
        return Ok(socket);
    }
    let request = Request::Describe { socket: handle as u16 };
    let description = net.call(&request, |reply| Description::decode(reply.bytes))?;
    let Description { family, kind, protocol, .. } = description;
    let socket = Socket::new(net, handle, family, kind, protocol)?;
    socket.flags.change(if nonblocking { O_NONBLOCK } else { 0 }, O_NONBLOCK);
    socket.take_over(&description);
    Ok(socket)
}

/// Gives a handle back that nobody wants.
fn refuse(net: &Rc<Net>, handle: u32) {
    if net.known(handle).is_none() {
        let _ = net.call(&Request::Close { socket: handle as u16 }, |_| Ok(()));
    }
}

/// The words of an SCM_RIGHTS item from the server: each with its token, which
/// sockets do not have.
fn words(value: &[u8]) -> impl Iterator<Item = (u32, [u8; TOKEN_BYTES])> {
    let mut rest = value;
    core::iter::from_fn(move || {
        let (word, after) = rest.split_first_chunk()?;
        let word = u32::from_ne_bytes(*word);
        rest = after;
        let mut token = [0; TOKEN_BYTES];
        if word & FILE != 0 {
            let (bytes, after) = rest.split_first_chunk()?;
            (token, rest) = (*bytes, after);
        }
        Some((word, token))
    })
}

impl Process {
    /// Control data as the server gets it: descriptors as handles and tokens.
    /// What is for no local socket is left out. EBADF for what is no
    /// descriptor, EINVAL for too many in one message.
    pub(crate) fn rights_out(&self, control: &[u8]) -> Result<Vec<u8>, Errno> {
        let (mut value, mut identity) = (Vec::new(), None);
        for item in items(control).filter_map(Result::ok).filter(|item| item.level == SOL_SOCKET) {
            if item.kind == SCM_CREDENTIALS {
                identity = Some(item);
                continue;
            }
            for fd in item.value.chunks_exact(4) {
                let fd = fd.try_into().map_or(-1, i32::from_ne_bytes);
                let added = self.right_out(fd, &mut value);
                if let Err(errno) = added.and(if value.len() > MAX_BYTES { Err(Errno::EINVAL) } else { Ok(()) }) {
                    self.files_back(&value);
                    return Err(errno);
                }
            }
        }
        let rights = Item { level: SOL_SOCKET, kind: SCM_RIGHTS, value: &value };
        let (mut out, mut used) = (alloc::vec![0; MAX_CONTROL], 0);
        for item in identity.into_iter().chain(Some(rights).filter(|r| !r.value.is_empty())) {
            if !put_item(&mut out, &mut used, item) {
                self.files_back(&value);
                return Err(Errno::EINVAL);
            }
        }
        out.truncate(used);
        Ok(out)
    }

    /// Adds a descriptor to what the server gets.
    fn right_out(&self, fd: i32, value: &mut Vec<u8>) -> Result<(), Errno> {
        match self.object(fd)? {
            Object::Socket(socket) => {
                let flag = if socket.flags.may_wait() { 0 } else { NONBLOCK };
                value.extend_from_slice(&(u32::from(socket.handle) | flag).to_ne_bytes());
            }
            other => {
                let token = self.export(&other)?;
                value.extend_from_slice(&FILE.to_ne_bytes());
                value.extend_from_slice(&token);
            }
        }
        Ok(())
    }

    /// What [`rights_out`](Self::rights_out) gave did not leave: open files are
    /// taken back, so that nobody waits for them.
    pub(crate) fn rights_back(&self, control: &[u8]) {
        for item in items(control).filter_map(Result::ok) {
            if (item.level, item.kind) == (SOL_SOCKET, SCM_RIGHTS) {
                self.files_back(item.value);
            }
        }
    }

    fn files_back(&self, value: &[u8]) {
        for (_, token) in words(value).filter(|(word, _)| word & FILE != 0) {
            // Opened and closed again.
            let _ = self.import(&token, false);
        }
    }

    /// Writes control data from the server to the caller's buffer, with new
    /// descriptors. Those that it has no room for are closed, and MSG_CTRUNC is
    /// set.
    pub(crate) fn rights_in(
        &self,
        socket: &Socket,
        extra: &Extra,
        into: &mut [u8],
        flags: u32,
        received: &mut Received,
    ) {
        let Received { bytes, control: used, flags: result, .. } = received;
        let wanted = socket.status() & status::IDENTITY != 0;
        let mut identified = false;
        for item in items(&extra.control).chain(items(&extra.rights)).filter_map(Result::ok) {
            match item.kind {
                // Of a record, it only says that there are some.
                SCM_RIGHTS => {}
                SCM_CREDENTIALS if !wanted => {}
                kind => {
                    identified |= kind == SCM_CREDENTIALS;
                    put(into, used, item, result);
                }
            }
        }
        if wanted && !identified {
            // Linux: who sent a record is not known, and nobody the end of a stream.
            let nobody = [0; CREDENTIALS];
            let value = if extra.record { Some(UNKNOWN) } else { None };
            let value = value.or((*bytes == 0 && socket.is_stream()).then_some(nobody));
            if let Some(value) = value {
                put(into, used, Item { level: SOL_SOCKET, kind: SCM_CREDENTIALS, value: &value }, result);
            }
        }
        for item in items(&extra.rights).filter_map(Result::ok).filter(|item| item.kind == SCM_RIGHTS) {
            self.put_rights(&socket.net, item.value, flags, into, used, result);
        }
    }

    fn put_rights(&self, net: &Rc<Net>, value: &[u8], flags: u32, into: &mut [u8], used: &mut usize, result: &mut u32) {
        let room = into.len().saturating_sub(*used + HEADER) / 4;
        let mut fds: Vec<u8> = Vec::new();
        for (word, token) in words(value) {
            if word == LOST {
                *result |= MSG_CTRUNC;
                continue;
            }
            let object = if fds.len() / 4 >= room {
                Err(Errno::EMSGSIZE)
            } else if word & FILE != 0 {
                self.import(&token, flags & MSG_PEEK != 0)
            } else {
                adopt(net, word & !NONBLOCK, word & NONBLOCK != 0).map(Object::Socket)
            };
            let close_on_exec = flags & MSG_CMSG_CLOEXEC != 0;
            let fd = object.and_then(|object| self.table().borrow_mut().insert(object, close_on_exec, 0));
            match fd {
                Ok(fd) => fds.extend_from_slice(&fd.to_ne_bytes()),
                Err(_) => {
                    *result |= MSG_CTRUNC;
                    if word & FILE == 0 {
                        refuse(net, word & !NONBLOCK);
                    } else if flags & MSG_PEEK == 0 {
                        // Opened and closed again: nobody else can take it.
                        let _ = self.import(&token, false);
                    }
                }
            }
        }
        if !fds.is_empty() {
            put(into, used, Item { level: SOL_SOCKET, kind: SCM_RIGHTS, value: &fds }, result);
        }
    }

    /// The token of an open file that goes to another client. EINVAL for what
    /// is no file.
    fn export(&self, object: &Object) -> Result<[u8; TOKEN_BYTES], Errno> {
        let Object::File(file) = object else { return Err(Errno::EINVAL) };
        let mut token = Token::new_zeroed();
        file.export(self.waiter(), token.as_mut_bytes())?;
        Ok(travelling(&token))
    }

    /// The open file that a token stands for; with `keep` it can be shown again.
    fn import(&self, bytes: &[u8; TOKEN_BYTES], keep: bool) -> Result<Object, Errno> {
        let mut token = Token { kind: vfs::token::FILE, ..Token::default() };
        token.as_mut_bytes()[KIND..].copy_from_slice(bytes);
        let file = OpenFile::import(self.vfs()?, self.waiter(), token.as_bytes(), keep)?;
        Ok(Object::File(Rc::new(file)))
    }

    /// Does `f` with the address as the server gets it: that of a name in the
    /// file system with a token which says that this client may connect there.
    /// The errors of a path (path_resolution(7)); EACCES without permission to
    /// write; ECONNREFUSED if it is no socket.
    pub(crate) fn with_right<T>(
        &self,
        socket: &Socket,
        address: &Address,
        mut f: impl FnMut(&Address) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let Some(path) = path_of(address).filter(|_| socket.is_local()) else { return f(address) };
        // Names that change all the time must not keep anybody here for ever.
        for _ in 0..MOST_TRIES {
            let named = with_token(address, &self.socket_token(path).map_err(without_files)?)?;
            match f(&named) {
                // Some right was taken away meanwhile: perhaps this one.
                Err(Errno::ESTALE) => {}
                done => return done,
            }
        }
        Err(Errno::EACCES)
    }

    /// bind(2) of a local socket: makes its node in the file system.
    pub(crate) fn bind_local(&self, socket: &Socket, address: &Address) -> Result<(), Errno> {
        let bind = |address: &Address| {
            socket.net.call(&Request::Bind { socket: socket.handle, address: address.as_bytes() }, |_| Ok(()))
        };
        let Some(path) = path_of(address) else { return bind(address) };
        // Linux makes the node first, and takes it away if the socket has a name.
        let token = self.socket_token_make(path, socket.mode.get()).map_err(|e| match e {
            Errno::EEXIST => Errno::EADDRINUSE,
            e => without_files(e),
        })?;
        with_token(address, &token).and_then(|address| bind(&address)).inspect_err(|_| {
            let _ = self.unlink(path);
        })
    }
}

/// A process without a session with `vfs_server` finds no path.
fn without_files(errno: Errno) -> Errno {
    if errno == Errno::ENOSYS { Errno::ENOENT } else { errno }
}

/// Number and code of a token: its kind is clear from where it is shown.
fn travelling(token: &Token) -> [u8; TOKEN_BYTES] {
    let mut bytes = [0; TOKEN_BYTES];
    bytes.copy_from_slice(&token.as_bytes()[KIND..]);
    bytes
}

/// The path in an address of a local socket; `None` for other names.
fn path_of(address: &Address) -> Option<&[u8]> {
    let name = address.as_bytes().get(2..SOCKADDR.min(address.as_bytes().len()))?;
    let path = name.split(|b| *b == 0).next()?;
    (address.family() == Some(strait_abi::address::AF_UNIX) && !path.is_empty()).then_some(path)
}

fn with_token(address: &Address, token: &[u8; KIND + TOKEN_BYTES]) -> Result<Address, Errno> {
    let name = address.as_bytes();
    if name.len() > SOCKADDR {
        return Err(Errno::EINVAL);
    }
    let mut whole = Address::EMPTY;
    let bytes = whole.resize(SOCKADDR + TOKEN_BYTES)?;
    bytes.fill(0);
    bytes[..name.len()].copy_from_slice(name);
    bytes[SOCKADDR..].copy_from_slice(&token[KIND..]);
    Ok(whole)
}
