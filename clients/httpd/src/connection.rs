//! One connection: it reads a request, sends the response, and so on.
//!
//! While a response is on its way nothing is read, so a client that does not
//! take its data is not listened to either. Of requests only what is left over
//! is kept; file data is never kept here.

use alloc::vec::Vec;

use strait_abi::vfs::open;
use strait_libsock::{
    Errno, Process,
    posix::{Fd, SHUT_WR},
};

use crate::{
    path::Path,
    request::{MAX_HEAD, Parsed, Request, content_range, parse},
    response::{After, Status, content_type, head, plain},
};

/// Steps that a connection gets before the others have theirs.
const STEPS: usize = 16;
/// Bytes of a file sent in one step.
const PIECE: u64 = 256 * 1024;
/// Bytes that are thrown away after the last response, so that the client
/// gets it before a reset.
const LINGER: usize = 256 * 1024;

/// What is left to do for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing until its next event.
    Wait,
    /// More, after the others.
    Again,
    /// It is over.
    Close,
}

/// What a connection waits for; how long it may, says the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A request.
    Idle,
    /// The rest of a request.
    Receiving,
    /// The client taking the response.
    Sending,
    /// The client's end, after the last response.
    Lingering,
}

struct Body {
    file: Fd,
    at: u64,
    end: u64,
}

/// The state of a connection.
pub struct Connection {
    fd: Fd,
    /// Received and not yet used.
    input: Vec<u8>,
    /// Bytes of a request's content still to be passed over.
    skip: u64,
    /// Head of a response, and how much of it is sent.
    output: Vec<u8>,
    sent: usize,
    body: Option<Body>,
    last: bool,
    lingering: Option<usize>,
    /// When the phase began or something moved in it.
    pub since: u64,
    phase: Phase,
}

impl Connection {
    /// The connection of a socket that does not block.
    pub fn new(fd: Fd, now: u64) -> Self {
        Self {
            fd,
            input: Vec::new(),
            skip: 0,
            output: Vec::new(),
            sent: 0,
            body: None,
            last: false,
            lingering: None,
            since: now,
            phase: Phase::Idle,
        }
    }

    /// What it waits for.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Goes on as far as it can, within bounds. `buffer` is scratch space of
    /// at least [`MAX_HEAD`] bytes.
    pub fn go_on(&mut self, process: &Process, root: &str, buffer: &mut [u8], now: u64) -> Next {
        for _ in 0..STEPS {
            match self.step(process, root, buffer, now) {
                Ok(()) => {}
                Err(Errno::EAGAIN) => return Next::Wait,
                Err(_) => return Next::Close,
            }
        }
        Next::Again
    }

    /// The client took too long with a request.
    pub fn time_out(&mut self, process: &Process, root: &str, buffer: &mut [u8], now: u64) -> Next {
        self.input.clear();
        self.answer_plain(Status::RequestTimeout, After::Close, true, None);
        self.go_on(process, root, buffer, now)
    }

    /// Lets go of what it holds; the socket stays.
    pub fn end(&mut self, process: &Process) {
        if let Some(body) = self.body.take() {
            let _ = process.close(body.file);
        }
    }

    /// One step. EAGAIN when there is nothing to do before the next event,
    /// another error when it is over.
    fn step(&mut self, process: &Process, root: &str, buffer: &mut [u8], now: u64) -> Result<(), Errno> {
        if self.sent < self.output.len() {
            self.enter(Phase::Sending, now);
            self.sent += process.send(self.fd, &self.output[self.sent..], 0)?;
            self.since = now;
            return Ok(());
        }
        if let Some(body) = &mut self.body {
            self.phase = Phase::Sending;
            if body.at < body.end {
                let count = (body.end - body.at).min(PIECE) as usize;
                let n = process.sendfile(self.fd, body.file, Some(&mut body.at), count)?;
                self.since = now;
                // The file has become shorter: the promised length cannot be kept.
                return if n == 0 { Err(Errno::EIO) } else { Ok(()) };
            }
            self.end(process);
        }
        // The response is out.
        self.output.clear();
        self.sent = 0;
        if self.last {
            return self.linger(process, buffer, now);
        }
        if self.skip > 0 && !self.input.is_empty() {
            let n = self.input.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.input.drain(..n);
            self.skip -= n as u64;
        }
        if self.skip == 0 && !self.input.is_empty() {
            match parse(&self.input, self.input.len() >= MAX_HEAD) {
                Parsed::Partial => {}
                Parsed::Request(request, len) => {
                    self.input.drain(..len);
                    self.skip = request.content;
                    self.answer(process, root, request);
                    return Ok(());
                }
                Parsed::Error(status, with_content) => {
                    self.answer_plain(status, After::Close, with_content, None);
                    return Ok(());
                }
            }
        }
        self.receive(process, buffer, now)
    }

    fn receive(&mut self, process: &Process, buffer: &mut [u8], now: u64) -> Result<(), Errno> {
        let idle = self.input.is_empty() && self.skip == 0;
        // How long a request takes counts from its first byte, whatever moves.
        self.enter(if idle { Phase::Idle } else { Phase::Receiving }, now);
        let room = MAX_HEAD.saturating_sub(self.input.len()).min(buffer.len());
        match process.recv(self.fd, &mut buffer[..room], 0)? {
            // The client sends no more, and all it asked for is sent.
            0 => Err(Errno::ECONNRESET),
            n => {
                self.enter(Phase::Receiving, now);
                self.input.extend_from_slice(&buffer[..n]);
                Ok(())
            }
        }
    }

    fn enter(&mut self, phase: Phase, now: u64) {
        if self.phase != phase {
            self.phase = phase;
            self.since = now;
        }
    }

    /// After the last response: tells the client, and waits for its end.
    fn linger(&mut self, process: &Process, buffer: &mut [u8], now: u64) -> Result<(), Errno> {
        let left = match self.lingering {
            Some(left) => left,
            None => {
                self.enter(Phase::Lingering, now);
                self.input = Vec::new();
                process.shutdown(self.fd, SHUT_WR)?;
                LINGER
            }
        };
        self.lingering = Some(left);
        match process.recv(self.fd, buffer, 0)? {
            0 => Err(Errno::ECONNRESET),
            n => {
                self.lingering = Some(left.checked_sub(n).ok_or(Errno::ECONNRESET)?);
                Ok(())
            }
        }
    }

    fn answer_plain(&mut self, status: Status, after: After, with_content: bool, location: Option<&str>) {
        self.output = plain(status, after, with_content, location);
        self.sent = 0;
        self.last |= after == After::Close;
    }

    fn answer(&mut self, process: &Process, root: &str, request: Request) {
        match self.find(process, root, &request.path) {
            Ok(Found::File(file, size, content_type)) => self.answer_file(process, &request, file, size, content_type),
            Ok(Found::Directory) => {
                let location = request.path.as_directory_target();
                self.answer_plain(Status::MovedPermanently, request.after, !request.head_only, Some(&location));
            }
            Err(status) => self.answer_plain(status, request.after, !request.head_only, None),
        }
    }

    fn find(&self, process: &Process, root: &str, path: &Path) -> Result<Found, Status> {
        let mut file = process.open(path.below(root, None), open::RDONLY, 0)?;
        let mut kind = content_type(path.extension());
        if process.is_directory(file)? {
            let _ = process.close(file);
            if !path.directory {
                return Ok(Found::Directory);
            }
            file = process.open(path.below(root, Some("index.html")), open::RDONLY, 0)?;
            kind = content_type(b"html");
            if process.is_directory(file)? {
                let _ = process.close(file);
                return Err(Status::NotFound);
            }
        } else if path.directory {
            let _ = process.close(file);
            return Err(Status::NotFound);
        }
        match process.size_at_open(file) {
            Ok(size) => Ok(Found::File(file, size, kind)),
            Err(e) => {
                let _ = process.close(file);
                Err(e.into())
            }
        }
    }

    fn answer_file(&mut self, process: &Process, request: &Request, file: Fd, size: u64, content_type: &str) {
        let part = request.range.map(|range| range.within(size));
        let (status, (begin, end), extra) = match part {
            None => (Status::Ok, (0, size), "Accept-Ranges: bytes\r\n".into()),
            Some(Some(part)) => (Status::PartialContent, part, content_range(Some(part), size)),
            Some(None) => (Status::RangeNotSatisfiable, (0, 0), content_range(None, size)),
        };
        self.output = head(status, request.after, content_type, end - begin, &extra);
        self.sent = 0;
        self.last |= request.after == After::Close;
        if request.head_only || begin == end {
            let _ = process.close(file);
        } else {
            self.body = Some(Body { file, at: begin, end });
        }
    }
}

enum Found {
    /// Descriptor, size, content type.
    File(Fd, u64, &'static str),
    /// A directory, asked for without the slash.
    Directory,
}
