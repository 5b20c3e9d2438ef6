//! Both sessions with no library between: calls, rings and commands as the
//! servers see them.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use strait_abi::{
    Errno,
    control::{Item, put, space},
    end,
    net::{self, Counters, RecordHeader, Request, decode_reply},
    session::{SessionRegion, VERSION, status},
    socket::{SCM_RIGHTS, SOL_SOCKET},
    vfs,
    vfs::{Buffer, Command, Completion, DATA, Receiver, Sender, VfsRegion, token::Token},
};
use strait_pd::{Channel, Environment, MESSAGE_BYTES, PdRef};
use strait_ring::{
    SharedMemory,
    paged::{ClientConsumer, ClientProducer},
};
use zerocopy::{FromZeros, IntoBytes};

/// The session with `net_server`.
pub struct Net {
    pd: PdRef,
    channel: Channel,
    pub region: SessionRegion,
}

/// A socket.
pub struct Socket {
    pub handle: net::Handle,
    pub rx: ClientConsumer,
    pub tx: ClientProducer,
}

impl Net {
    pub fn open(env: &Environment) -> Option<Self> {
        let region = env.region(&alloc::format!("{}_net", env.config.name)).ok()?;
        let region = SessionRegion::new(SharedMemory::attach(region))?;
        let net = Self { pd: env.pd, channel: env.channel("net_server").ok()?, region };
        net.call(&Request::Hello { version: VERSION }).ok()?;
        Some(net)
    }

    /// Says that a client has ended, which only its parent may.
    pub fn say_end(&self, client: &str) -> Result<(), Errno> {
        say_end(self.pd, self.channel, client)
    }

    /// A control call: number and bytes of the reply.
    pub fn call(&self, request: &Request<'_>) -> Result<(u32, Vec<u8>), Errno> {
        let (mut message, mut buffer) = (request.encode()?, [0; MESSAGE_BYTES]);
        self.pd.call(self.channel, &mut message);
        decode_reply(&message, &mut buffer).map(|reply| (reply.value, reply.bytes.to_vec()))
    }

    pub fn counters(&self) -> Result<Counters, Errno> {
        self.call(&Request::Counters).and_then(|(_, bytes)| Counters::decode(&bytes))
    }

    pub fn socket(&self, family: u16, kind: u16) -> Result<Socket, Errno> {
        self.call(&Request::Socket { family, kind, protocol: 0 }).and_then(|(handle, _)| self.attached(handle))
    }

    pub fn pair(&self, family: u16, kind: u16) -> Result<(Socket, Socket), Errno> {
        let (both, _) = self.call(&Request::SocketPair { family, kind, protocol: 0 })?;
        Ok((self.attached(both & 0xffff)?, self.attached(both >> 16)?))
    }

    /// The rings of a handle.
    pub fn attached(&self, handle: u32) -> Result<Socket, Errno> {
        let slot = self.region.slot(handle as usize).ok_or(Errno::EBADF)?;
        let memory = self.region.memory();
        let (rx, tx) = (ClientConsumer::new(memory, slot), ClientProducer::new(memory, slot));
        Ok(Socket { handle: handle as u16, rx, tx })
    }

    pub fn close(&self, handle: net::Handle) -> Result<(), Errno> {
        self.call(&Request::Close { socket: handle }).map(drop)
    }

    pub fn status(&self, handle: net::Handle) -> u32 {
        self.region.slot(handle.into()).map_or(0, |slot| slot.status.load(Ordering::Acquire))
    }

    /// Rings the doorbells of these sockets.
    pub fn ring(&self, handles: &[net::Handle]) {
        handles.iter().for_each(|handle| self.region.doorbells().set(usize::from(*handle)));
        if self.region.to_server().raise() {
            self.pd.notify(self.channel);
        }
    }

    /// Sleeps until `attempt` succeeds.
    pub fn until<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> T {
        loop {
            self.region.to_client().arm();
            if let Some(done) = attempt() {
                self.region.to_client().disarm();
                return done;
            }
            self.pd.wait();
        }
    }

    /// Makes `bytes` of room, as far as the server gives some at once.
    fn room(&self, socket: &Socket, bytes: usize) -> usize {
        let handle = socket.handle;
        if self.status(handle) & status::SHRINK != 0 {
            socket.tx.yield_room();
        }
        if (socket.tx.room() as usize) < bytes {
            socket.tx.want(bytes as u32);
            self.ring(&[handle]);
            // Returns when the server has seen the wish.
            let _ = self.call(&Request::LocalAddress { socket: handle });
        }
        socket.tx.room() as usize
    }

    /// send(2): as much as there is room for, which may be nothing.
    pub fn write(&self, socket: &mut Socket, bytes: &[u8]) -> usize {
        let n = self.room(socket, bytes.len()).min(bytes.len());
        if n == 0 || socket.tx.stage(0, &bytes[..n]).is_none() {
            return 0;
        }
        socket.tx.commit(n as u32);
        self.ring(&[socket.handle]);
        n
    }

    /// Writes a record; not more than that. EAGAIN without room.
    pub fn put_record(&self, socket: &mut Socket, to: &[u8], control: &[u8], data: &[u8]) -> Result<(), Errno> {
        let (address, len) = (to.len() as u16, control.len() as u16);
        let header = RecordHeader { data: data.len() as u32, address, control: len };
        let total = header.total().ok_or(Errno::EMSGSIZE)?;
        if self.room(socket, total as usize) < total as usize {
            return Err(Errno::EAGAIN);
        }
        let parts = [
            (0, header.as_bytes()),
            (RecordHeader::BYTES as u32, to),
            (header.control_offset(), control),
            (header.data_offset(), data),
        ];
        for (at, bytes) in parts {
            socket.tx.stage(at, bytes).ok_or(Errno::EIO)?;
        }
        socket.tx.commit(total);
        Ok(())
    }

    /// recv(2): what there is, which may be nothing.
    pub fn read(&self, socket: &mut Socket, into: &mut [u8]) -> usize {
        let n = (socket.rx.available() as usize).min(into.len());
        if n == 0 || socket.rx.copy(0, &mut into[..n]).is_none() {
            return 0;
        }
        socket.rx.consume(n as u32);
        if self.status(socket.handle) & status::RING_ON_DRAIN != 0 {
            self.ring(&[socket.handle]);
        }
        n
    }
}

fn say_end(pd: PdRef, channel: Channel, client: &str) -> Result<(), Errno> {
    let mut message = end::encode(client);
    pd.call(channel, &mut message);
    if message.label == 0 { Ok(()) } else { Err(Errno::from_raw(message.label)) }
}

/// A socket as a word of SCM_RIGHTS, and an open file.
pub fn words(sockets: &[net::Handle], files: &[Token]) -> Vec<u8> {
    let mut value: Vec<u8> = sockets.iter().flat_map(|s| u32::from(*s).to_ne_bytes()).collect();
    for token in files {
        value.extend(strait_abi::rights::FILE.to_ne_bytes());
        value.extend(token.node.to_ne_bytes());
        value.extend(token.mac.to_ne_bytes());
    }
    value
}

/// An SCM_RIGHTS item.
pub fn rights(value: &[u8]) -> Vec<u8> {
    let mut control = alloc::vec![0; space(value.len())];
    put(&mut control, &mut 0, Item { level: SOL_SOCKET, kind: SCM_RIGHTS, value });
    control
}

/// The session with `vfs_server`.
pub struct Files {
    pd: PdRef,
    channel: Channel,
    pub region: VfsRegion,
    commands: Sender<Command>,
    completions: Receiver<Completion>,
    next: u32,
}

/// What an operation gives.
pub type Done = Result<(i64, [u64; 2]), Errno>;

/// Where results go; paths lie before.
const RESULT: usize = DATA + 8192;

impl Files {
    /// Begins the session, or begins it anew.
    pub fn open(env: &Environment) -> Option<Self> {
        let region = env.region(&alloc::format!("{}_vfs", env.config.name)).ok()?;
        let region = VfsRegion::new(SharedMemory::attach(region))?;
        let (commands, mut completions) = (region.command_sender()?, region.completion_receiver()?);
        completions.resynchronise();
        let channel = env.channel("vfs_server").ok()?;
        // Completions of before have other numbers.
        let mut files = Self { pd: env.pd, channel, region, commands, completions, next: (env.pd.now() >> 10) as u32 };
        files.call(vfs::Request::Hello { version: vfs::VERSION }).ok()?;
        Some(files)
    }

    /// See [`Net::say_end`].
    pub fn say_end(&self, client: &str) -> Result<(), Errno> {
        say_end(self.pd, self.channel, client)
    }

    pub fn notify(&self) {
        if self.region.to_server().raise() {
            self.pd.notify(self.channel);
        }
    }

    /// Makes an operation and waits for its end. EIO if the session was reset.
    pub fn call(&mut self, request: vfs::Request) -> Done {
        self.next = self.next.wrapping_add(1);
        let (id, epoch) = (self.next, self.region.epoch());
        if !self.commands.put(&request.encode(id)).map_err(|_| Errno::EIO)? {
            return Err(Errno::EAGAIN);
        }
        self.commands.publish();
        self.notify();
        loop {
            self.region.to_client().arm();
            while let Some(completion) = self.completions.take().map_err(|_| Errno::EIO)? {
                self.completions.release();
                if completion.id != id {
                    continue;
                }
                let Completion { result, extra, .. } = completion;
                return if result < 0 { Err(Errno::from_raw(result.unsigned_abs())) } else { Ok((result, extra)) };
            }
            if self.region.epoch() != epoch {
                return Err(Errno::EIO);
            }
            self.pd.wait();
        }
    }

    /// Says that there are more commands than the ring has places, by `more`,
    /// and waits until the session is reset.
    pub fn lie(&self, more: u32) -> Result<(), Errno> {
        const TAIL: usize = 128;
        let (memory, epoch, mut tail) = (self.region.memory(), self.region.epoch(), [0; 4]);
        memory.read(TAIL, &mut tail).ok_or(Errno::EIO)?;
        let tail = u32::from_ne_bytes(tail).wrapping_add(vfs::ENTRIES + 1 + more);
        memory.write(TAIL, &tail.to_ne_bytes()).ok_or(Errno::EIO)?;
        self.notify();
        loop {
            self.region.to_client().arm();
            if self.region.epoch() != epoch {
                return Ok(());
            }
            self.pd.wait();
        }
    }

    /// Puts bytes into the data area.
    pub fn put(&self, at: usize, bytes: &[u8]) -> Buffer {
        let offset = DATA + at;
        // Out of the region only by a mistake in here.
        let _ = self.region.memory().write(offset, bytes);
        Buffer { offset: offset as u32, len: bytes.len() as u32 }
    }

    pub fn path(&self, path: &str) -> Buffer {
        self.put(0, path.as_bytes())
    }

    pub fn create(&mut self, path: &str, flags: u32) -> Result<vfs::Handle, Errno> {
        let path = self.path(path);
        let request = vfs::Request::Open { directory: vfs::ROOT, path, flags: flags | vfs::open::CREAT, mode: 0o666 };
        self.call(request).map(|(handle, _)| handle as vfs::Handle)
    }

    pub fn write(&mut self, file: vfs::Handle, bytes: &[u8]) -> Done {
        let from = self.put(0, bytes);
        self.call(vfs::Request::Write { file, flags: 0, offset: 0, from })
    }

    pub fn close(&mut self, file: vfs::Handle) -> Done {
        self.call(vfs::Request::Close { file })
    }

    /// The token that an operation gives.
    pub fn token(&mut self, request: impl FnOnce(Buffer) -> vfs::Request) -> Result<Token, Errno> {
        self.call(request(Buffer { offset: RESULT as u32, len: size_of::<Token>() as u32 }))?;
        let mut token = Token::new_zeroed();
        self.region.memory().read(RESULT, token.as_mut_bytes()).ok_or(Errno::EIO)?;
        Ok(token)
    }

    /// `flags` are what F_GETFL shall give the receiver.
    pub fn export(&mut self, file: vfs::Handle, flags: u32) -> Result<Token, Errno> {
        self.token(|into| vfs::Request::Export { file, flags, offset: 0, into })
    }

    pub fn import(&mut self, token: &Token) -> Result<vfs::Handle, Errno> {
        let token = self.put(0, token.as_bytes());
        self.call(vfs::Request::Import { token, keep: false }).map(|(handle, _)| handle as vfs::Handle)
    }
}
