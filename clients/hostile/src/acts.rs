//! The acts that it survives.

use alloc::vec::Vec;
use core::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::Ordering,
};

use strait_abi::{
    Address, Errno,
    address::{AF_INET, AF_UNIX},
    net::{Handle, Request},
    socket as c,
    vfs::{
        self, Buffer, DATA, ROOT,
        token::{BIND, CONNECT, FILE, Token},
    },
};
use zerocopy::IntoBytes;

use crate::{
    Hostile, Outcome, listen,
    raw::{Files, Socket, rights, words},
};

/// Handles below this are tried with every request, the others with one.
const THOROUGH: u16 = 512;
/// Where nobody listens.
const DISCARD: u16 = 9;
const OWN_PORT: u16 = 6012;
/// Bytes of a long datagram to a local socket, and of one to a network.
const LONG: usize = 250_000;
const LONG_INET: usize = 60_000;

/// Requests on a socket.
const ON_SOCKETS: [fn(Handle) -> Request<'static>; 18] = [
    |socket| Request::Close { socket },
    |socket| Request::Bind { socket, address: &[1, 0] },
    |socket| Request::Listen { socket, backlog: 1 },
    |socket| Request::Accept { socket },
    |socket| Request::Connect { socket, address: &[1, 0, 0, b'x'] },
    |socket| Request::Shutdown { socket, how: 2 },
    |socket| Request::LocalAddress { socket },
    |socket| Request::PeerAddress { socket },
    |socket| Request::SetOption { socket, level: 1, name: 7, value: &[1, 0, 0, 0] },
    |socket| Request::GetOption { socket, level: 1, name: 4 },
    |socket| Request::Ioctl { socket, request: c::SIOCOUTQ, argument: &[0; 4] },
    |socket| Request::SendUrgent { socket, bytes: 1 },
    |socket| Request::ReceiveUrgent { socket, peek: false },
    |socket| Request::SendControl { socket, bytes: 1, control: &[] },
    |socket| Request::Receive { socket, offset: u32::MAX, most: 1, how: u8::MAX },
    |socket| Request::Describe { socket },
    |socket| Request::Send { socket },
    |socket| Request::Acquire { socket },
];

/// Requests on an open file; the buffer is one in the data area.
const ON_FILES: [fn(vfs::Handle, Buffer) -> vfs::Request; 9] = [
    |file, _| vfs::Request::Close { file },
    |file, into| vfs::Request::Read { file, offset: 0, into },
    |file, from| vfs::Request::Write { file, flags: 0, offset: 0, from },
    |file, into| vfs::Request::FileStat { file, into },
    |file, _| vfs::Request::Truncate { file, size: 0 },
    |file, _| vfs::Request::Sync { file },
    |file, into| vfs::Request::ReadDirectory { file, offset: 0, into },
    |file, _| vfs::Request::Seek { file, offset: 0, whence: 0 },
    |file, into| vfs::Request::Export { file, flags: 0, offset: 0, into },
];

/// Counts refusals that must be `wanted`; anything else ends the act.
struct Refusals {
    wanted: Errno,
    count: u64,
}

impl Refusals {
    fn note<T>(&mut self, result: Result<T, Errno>) -> Result<(), Outcome> {
        match result {
            Err(errno) if errno == self.wanted => {
                self.count += 1;
                Ok(())
            }
            Err(errno) => Err(Ok((Some(errno), self.count))),
            Ok(_) => Err(Ok((None, self.count))),
        }
    }

    fn end(self, result: Result<(), Outcome>) -> Outcome {
        result.err().unwrap_or(Ok((Some(self.wanted), self.count)))
    }
}

impl Hostile<'_> {
    pub fn handles(&mut self, peer: Handle) -> Outcome {
        let mut refusals = Refusals { wanted: Errno::EBADF, count: 0 };
        let result = self.try_handles(peer, &mut refusals);
        refusals.end(result)
    }

    fn try_handles(&mut self, peer: Handle, refusals: &mut Refusals) -> Result<(), Outcome> {
        let own = [peer, self.listener];
        for handle in (0..=Handle::MAX).filter(|handle| !own.contains(handle)) {
            let requests = match handle {
                0..THOROUGH | Handle::MAX => &ON_SOCKETS[..],
                _ => core::slice::from_ref(&ON_SOCKETS[usize::from(handle) % ON_SOCKETS.len()]),
            };
            for request in requests {
                refusals.note(self.net.call(&request(handle)))?;
            }
        }
        let buffer = Buffer { offset: DATA as u32, len: 128 };
        let powers = (8..32).flat_map(|n| [(1 << n) - 1, 1 << n]);
        for file in (0..vfs::MAX_OPEN as u32 + 8).chain(powers).filter(|file| *file != ROOT) {
            for request in ON_FILES {
                refusals.note(self.files.call(request(file, buffer)))?;
            }
            let path = self.files.path("x");
            refusals.note(self.files.call(vfs::Request::Open { directory: file, path, flags: 0, mode: 0 }))?;
        }
        Ok(())
    }

    pub fn tokens(&mut self) -> Outcome {
        let file = self.nameless()?;
        let genuine = self.files.export(file, vfs::open::RDWR)?;
        let (mut over, under) = self.net.pair(AF_UNIX, c::SOCK_STREAM)?;
        let mut refusals = Refusals { wanted: Errno::EBADF, count: 0 };
        let result = self.try_tokens(&genuine, &mut over, &mut refusals);
        for socket in [over.handle, under.handle] {
            self.net.close(socket)?;
        }
        let own = self.files.import(&genuine)?;
        self.files.close(own)?;
        self.files.close(file)?;
        refusals.end(result)
    }

    fn try_tokens(&mut self, genuine: &Token, over: &mut Socket, refusals: &mut Refusals) -> Result<(), Outcome> {
        for _ in 0..1000 {
            let (node, mac) = (self.random() % 200, self.random());
            refusals.note(self.files.import(&Token { kind: FILE, reserved: 0, node, mac }))?;
        }
        for bit in 0..8 * size_of::<Token>() {
            let mut token = *genuine;
            token.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
            refusals.note(self.files.import(&token))?;
            // Its kind does not travel in a message.
            if bit >= 64 {
                let control = rights(&words(&[], &[token]));
                let request = Request::SendControl { socket: over.handle, bytes: 1, control: &control };
                refusals.note(self.net.call(&request))?;
            }
        }
        Ok(())
    }

    pub fn ends(&mut self) -> Outcome {
        let mut refusals = Refusals { wanted: Errno::EPERM, count: 0 };
        let clients = ["victim", "netstat", "hostile", ""];
        let result = clients.into_iter().try_for_each(|client| {
            refusals.note(self.net.say_end(client))?;
            refusals.note(self.files.say_end(client))
        });
        refusals.end(result)
    }

    /// Each step, and the errno that it must give.
    pub fn names(&mut self) -> Outcome {
        let files = &mut self.files;
        let open = |path, flags| vfs::Request::Open { directory: ROOT, path, flags, mode: 0 };
        let steps: [(Errno, vfs::Request); 7] = {
            let (private, file) = (files.put(0, b"/tmp/private"), files.put(100, b"/tmp/private.file"));
            let (to, into) = (files.put(200, b"/tmp/mine"), Buffer { offset: DATA as u32 + 300, len: 24 });
            [
                (Errno::EACCES, open(file, vfs::open::RDONLY)),
                (Errno::EACCES, vfs::Request::FindSocket { directory: ROOT, path: private, into }),
                (Errno::EEXIST, vfs::Request::MakeSocket { directory: ROOT, path: private, mode: 0o777, into }),
                (Errno::EPERM, vfs::Request::Unlink { directory: ROOT, path: private, flags: 0 }),
                (Errno::EPERM, vfs::Request::Unlink { directory: ROOT, path: file, flags: 0 }),
                (Errno::EPERM, vfs::Request::Rename { directory: ROOT, path: file, to_directory: ROOT, to, flags: 0 }),
                (Errno::EPERM, vfs::Request::ChangeMode { directory: ROOT, path: file, flags: 0, mode: 0o777 }),
            ]
        };
        for (step, (wanted, request)) in steps.into_iter().enumerate() {
            match self.files.call(request) {
                Err(errno) if errno == wanted => {}
                other => return Ok((Some(other.err().unwrap_or(Errno::EPROTO)), step as u64)),
            }
        }
        self.forge_names().map(|forged| (None, steps.len() as u64 + forged))
    }

    /// Tokens for sockets in the file system; EPROTO if one is believed.
    fn forge_names(&mut self) -> Result<u64, Errno> {
        let path = self.files.path("/tmp/hostile.socket");
        let bind = self.files.token(|into| vfs::Request::MakeSocket { directory: ROOT, path, mode: 0o600, into })?;
        let path = self.files.path("/tmp/hostile.socket");
        let connect = self.files.token(|into| vfs::Request::FindSocket { directory: ROOT, path, into })?;
        let path = self.files.path("/tmp/hostile.socket");
        self.files.call(vfs::Request::Unlink { directory: ROOT, path, flags: 0 })?;
        let socket = self.net.socket(AF_UNIX, c::SOCK_STREAM)?.handle;
        let mut forged = 0;
        for bit in 0..128 {
            let noise = Token { node: self.random(), mac: self.random(), ..bind };
            // Of one kind for the other, with a bit flipped, made up.
            for (kind, other) in
                [(BIND, connect), (CONNECT, bind), (BIND, bind), (CONNECT, connect), (BIND, noise), (CONNECT, noise)]
            {
                let mut pair = [other.node, other.mac];
                if other.kind == kind {
                    pair[bit / 64] ^= 1 << (bit % 64);
                }
                let address = path_address("/tmp/private", pair);
                let request = match kind {
                    BIND => Request::Bind { socket, address: &address },
                    _ => Request::Connect { socket, address: &address },
                };
                match self.net.call(&request) {
                    Err(Errno::EACCES | Errno::ESTALE) => forged += 1,
                    Err(other) => return Err(other),
                    Ok(_) => return Err(Errno::EPROTO),
                }
            }
        }
        self.net.close(socket)?;
        Ok(forged)
    }

    pub fn cycles(&mut self, rounds: u64) -> Outcome {
        let mut seen = 0;
        for _ in 0..rounds {
            let (mut a, b) = self.net.pair(AF_UNIX, c::SOCK_STREAM)?;
            let control = rights(&words(&[a.handle, b.handle].repeat(20), &[]));
            loop {
                let announced = Request::SendControl { socket: a.handle, bytes: 1, control: &control };
                match self.net.call(&announced) {
                    Ok(_) => {}
                    Err(Errno::ETOOMANYREFS) => break seen += 1,
                    Err(other) => return Err(other),
                }
                if self.net.write(&mut a, b"x") == 0 {
                    return Err(Errno::EAGAIN);
                }
            }
            for handle in [a.handle, b.handle] {
                self.net.close(handle)?;
            }
        }
        Ok((Some(Errno::ETOOMANYREFS), seen))
    }

    pub fn arena(&mut self, milliseconds: u64) -> Outcome {
        let mut pairs = Vec::new();
        let full = loop {
            match self.net.pair(AF_UNIX, c::SOCK_STREAM) {
                Ok(pair) => {
                    self.kept.extend([pair.0.handle, pair.1.handle]);
                    pairs.push(pair);
                }
                Err(errno) => break errno,
            }
        };
        if let Ok(last) = self.net.socket(AF_UNIX, c::SOCK_STREAM) {
            self.kept.push(last.handle);
        }
        let bytes = alloc::vec![1; 64 * 1024];
        let mut moved = true;
        while core::mem::take(&mut moved) {
            for (a, _) in &mut pairs {
                moved |= self.net.write(a, &bytes) != 0;
            }
        }
        let pages = self.net.counters()?.pages.into();
        self.sleep(milliseconds)?;
        self.drop_kept()?;
        Ok((Some(full), pages))
    }

    pub fn fill_inbox(&mut self, tries: u64) -> Outcome {
        let mut socket = self.net.socket(AF_UNIX, c::SOCK_DGRAM)?;
        self.net.call(&Request::SetOption {
            socket: socket.handle,
            level: c::SOL_SOCKET,
            name: c::SO_SNDBUF,
            value: &(LONG as i32 + 4096).to_ne_bytes(),
        })?;
        let path = self.files.path("/tmp/inbox");
        let token = self.files.token(|into| vfs::Request::FindSocket { directory: ROOT, path, into })?;
        let to = path_address("/tmp/inbox", [token.node, token.mac]);
        let data = alloc::vec![2; LONG];
        let mut taken = 0;
        for n in 0..tries {
            // Long ones, then shorter ones for what room is left.
            let data = &data[..LONG >> (n * 17 / tries.max(1))];
            match self.net.put_record(&mut socket, &to, &[], data) {
                Ok(()) => {}
                Err(Errno::EAGAIN) => continue,
                Err(other) => return Err(other),
            }
            match self.net.call(&Request::Send { socket: socket.handle }) {
                Ok(_) => taken += 1,
                // The longest never have room.
                Err(Errno::EAGAIN | Errno::EMSGSIZE) => {}
                Err(other) => return Err(other),
            }
        }
        self.net.close(socket.handle)?;
        Ok((None, taken))
    }

    pub fn heap(&mut self) -> Outcome {
        let listener = listen(&self.net, Ipv4Addr::LOCALHOST, OWN_PORT)?;
        self.kept.push(listener);
        let to = Address::from(SocketAddr::from((Ipv4Addr::LOCALHOST, OWN_PORT)));
        let mut count = 0;
        let full = loop {
            let socket = match self.net.socket(AF_INET, c::SOCK_STREAM) {
                Ok(socket) => socket.handle,
                Err(errno) => break errno,
            };
            self.kept.push(socket);
            match self.net.call(&Request::Connect { socket, address: to.as_bytes() }) {
                Ok(_) | Err(Errno::EINPROGRESS) => count += 1,
                Err(errno) => break errno,
            }
        };
        // One place for who sends.
        if let Some(last) = self.kept.pop() {
            self.net.close(last)?;
        }
        self.send_datagrams(100, &alloc::vec![3; LONG_INET])?;
        Ok((Some(full), count))
    }

    pub fn flood(&mut self, count: u64) -> Outcome {
        self.send_datagrams(count, b"x").map(|()| (None, count))
    }

    fn send_datagrams(&mut self, count: u64, data: &[u8]) -> Result<(), Errno> {
        let mut socket = self.net.socket(AF_INET, c::SOCK_DGRAM)?;
        let to = Address::from(SocketAddr::from((Ipv4Addr::LOCALHOST, DISCARD)));
        let mut left = count;
        while left != 0 {
            // As many as there is room for behind one doorbell.
            while left != 0 && self.net.put_record(&mut socket, to.as_bytes(), &[], data).is_ok() {
                left -= 1;
            }
            self.net.ring(&[socket.handle]);
        }
        self.net.close(socket.handle)
    }

    /// An open file without a name.
    pub fn nameless(&mut self) -> Result<vfs::Handle, Errno> {
        let file = self.files.create("/tmp/hostile", vfs::open::RDWR)?;
        let path = self.files.path("/tmp/hostile");
        self.files.call(vfs::Request::Unlink { directory: ROOT, path, flags: 0 })?;
        Ok(file)
    }

    pub fn releases(&mut self, count: u64) -> Outcome {
        let file = self.nameless()?;
        let token = self.files.export(file, vfs::open::RDWR)?;
        let control = rights(&words(&[], &[token]));
        let mut sent = 0;
        let mut refused = None;
        while sent < count && refused.is_none() {
            let (mut a, b) = self.net.pair(AF_UNIX, c::SOCK_STREAM)?;
            for _ in 0..60 {
                let request = Request::SendControl { socket: a.handle, bytes: 1, control: &control };
                match self.net.call(&request) {
                    Ok(_) => sent += 1,
                    Err(errno) => {
                        refused = Some(errno);
                        break;
                    }
                }
                self.net.write(&mut a, b"x");
            }
            for handle in [a.handle, b.handle] {
                self.net.close(handle)?;
            }
        }
        self.files.close(file)?;
        Ok((refused, sent))
    }

    pub fn lies(&mut self, rounds: u64) -> Outcome {
        let before = self.net.counters()?.misbehaved;
        let kinds = [(AF_INET, c::SOCK_STREAM), (AF_INET, c::SOCK_DGRAM), (AF_UNIX, c::SOCK_DGRAM)];
        for _ in 0..rounds {
            let mut handles: Vec<Handle> = Vec::new();
            for (family, kind) in kinds {
                handles.push(self.net.socket(family, kind)?.handle);
            }
            for kind in [c::SOCK_STREAM, c::SOCK_SEQPACKET] {
                let (a, b) = self.net.pair(AF_UNIX, kind)?;
                handles.extend([a.handle, b.handle]);
            }
            for _ in 0..8 {
                for handle in &handles {
                    self.lie(*handle);
                }
                self.net.ring(&handles);
                let socket = handles[self.random() as usize % handles.len()];
                let _ = self.net.call(&Request::Send { socket });
            }
            for handle in handles {
                self.net.close(handle)?;
            }
        }
        self.lie_about_files()?;
        Ok((None, self.net.counters()?.misbehaved - before))
    }

    /// Writes anything to the shared words of a socket.
    fn lie(&mut self, handle: Handle) {
        let (what, value) = (self.random(), self.random() as u32);
        let Some(slot) = self.net.region.slot(handle.into()) else { return };
        let value = if what & 1 == 0 { value } else { value % 9000 };
        let word = match what >> 1 & 7 {
            0 => &slot.rx_head,
            1 | 2 => &slot.tx_tail,
            3 => &slot.tx_want,
            4 => &slot.tx_yielded,
            5 => &slot.tx_limit,
            6 => &slot.rx_tail,
            _ => &slot.status,
        };
        word.store(value, Ordering::Release);
        slot.tx_pages[value as usize % slot.tx_pages.len()].store(what as u16, Ordering::Relaxed);
    }

    /// Impossible positions in the rings of `vfs_server`: the session is reset,
    /// and may begin again.
    fn lie_about_files(&mut self) -> Result<(), Errno> {
        for _ in 0..20 {
            let more = self.random() as u32 % (1 << 30);
            self.files.lie(more)?;
            self.files = Files::open(self.env).ok_or(Errno::EIO)?;
        }
        Ok(())
    }
}

/// A path as an address, with the number and code of a token behind it.
pub fn path_address(path: &str, token: [u64; 2]) -> Vec<u8> {
    let mut address = [&AF_UNIX.to_ne_bytes()[..], path.as_bytes()].concat();
    address.resize(110, 0);
    address.extend(token.iter().flat_map(|word| word.to_ne_bytes()));
    address
}
