//! The act that it does not survive.

use strait_abi::{
    Errno,
    address::AF_UNIX,
    net::Request,
    socket as c,
    vfs::{self, ROOT, open},
};
use strait_ring::SharedMemory;

use crate::{
    Hostile, Outcome,
    acts::path_address,
    raw::{Socket, rights, words},
};

impl Hostile<'_> {
    /// Takes two more connections. The first it gives to `victim`, together with
    /// one end of a local stream into whose other end it has written, a file,
    /// and both ends of a pipe. The second it reads in part. It keeps a file on
    /// the disk, one without a name, and one that it offers to nobody. Then it
    /// writes where it may only read.
    pub fn die(&mut self, kind: u16, peer: &mut Socket) -> Outcome {
        let given = self.accept()?;
        let mut read = self.accept()?;
        self.net.until(|| (read.rx.available() >= 100).then_some(()));
        self.net.read(&mut read, &mut [0; 50]);

        let (mut end, passed) = self.net.pair(AF_UNIX, c::SOCK_STREAM)?;
        self.net.write(&mut end, b"last words");

        let file = self.nameless()?;
        self.files.write(file, b"written before")?;
        let (reads, [writes, _]) = self.files.call(vfs::Request::Pipe)?;
        let kept = self.files.create("/disk/kept.txt", open::WRONLY)?;
        self.files.write(kept, b"kept")?;
        let nameless = self.nameless()?;
        self.files.write(nameless, &[4; 4096])?;
        let gift = self.files.export(file, open::RDWR)?;
        let writes = self.files.export(writes as vfs::Handle, open::WRONLY)?;
        let reads = self.files.export(reads as vfs::Handle, open::RDONLY)?;
        self.files.export(nameless, open::RDWR)?;

        let mut over = self.net.socket(AF_UNIX, kind)?;
        let name = if kind == c::SOCK_STREAM { "/tmp/stream" } else { "/tmp/packet" };
        let path = self.files.path(name);
        let token = self.files.token(|into| vfs::Request::FindSocket { directory: ROOT, path, into })?;
        let address = path_address(name, [token.node, token.mac]);
        self.net.call(&Request::Connect { socket: over.handle, address: &address })?;
        let control = rights(&words(&[given.handle, passed.handle], &[gift, writes, reads]));
        if kind == c::SOCK_STREAM {
            self.net.call(&Request::SendControl { socket: over.handle, bytes: 1, control: &control })?;
            self.net.write(&mut over, b"x");
        } else {
            self.net.put_record(&mut over, &[], &control, b"x")?;
            self.net.call(&Request::Send { socket: over.handle })?;
        }

        self.answer(peer, "die", Ok((None, 5)));
        let sealed = self.env.region("hostile_sealed").map_err(|_| Errno::ENOENT)?;
        // Ends here.
        let _ = SharedMemory::attach(sealed).write(8, &[1]);
        Err(Errno::EPROTO)
    }
}
