//! One GET request (RFC 9112) over anything that reads and writes.

use alloc::{format, vec, vec::Vec};
use core::fmt;

use embedded_io::{Read, Write};
use sha2::{Digest, Sha256};
use strait_libsock::net::Error;

use crate::{Hex, Url};

/// Most bytes of a response before its body.
const MAX_HEAD: usize = 16384;
/// Most fields there.
const MAX_FIELDS: usize = 64;
/// Bytes read at once.
const PIECE: usize = 16384;

/// A response, in brief.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// 200 and so on.
    pub status: u16,
    /// Bytes of the body.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}, {} bytes, sha256 {}", self.status, self.bytes, Hex(&self.sha256))
    }
}

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The network.
    Net(Error),
    /// What came is not HTTP, or too long before the body.
    Malformed,
    /// The connection ended before the body did.
    Incomplete,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(e) => e.fmt(f),
            Self::Malformed => f.write_str("the response is not HTTP/1.1"),
            Self::Incomplete => f.write_str("the connection ended in the middle of the response"),
        }
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Net(e)
    }
}

/// How the end of a body is known (RFC 9112, 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Known(u64),
    Chunked,
    UntilClose,
}

struct Head {
    status: u16,
    length: Length,
}

/// What was read and not yet used.
struct Input<'a, S> {
    stream: &'a mut S,
    buffer: Vec<u8>,
    used: usize,
}

impl<S: Read<Error = Error>> Input<'_, S> {
    fn rest(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    fn skip(&mut self, n: usize) {
        self.used += n;
    }

    /// Reads more behind what is there. `false` at the end of the stream.
    fn more(&mut self) -> Result<bool, Failure> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let len = self.buffer.len();
        self.buffer.resize(len + PIECE, 0);
        let result = self.stream.read(&mut self.buffer[len..]);
        self.buffer.truncate(len + result.unwrap_or(0));
        Ok(result? != 0)
    }

    /// As [`more`](Self::more); the end of the stream is an error.
    fn need(&mut self) -> Result<(), Failure> {
        if self.rest().len() > MAX_HEAD {
            return Err(Failure::Malformed);
        }
        if self.more()? { Ok(()) } else { Err(Failure::Incomplete) }
    }
}

/// Sends the request for `url` and reads the response.
pub fn get<S: Read<Error = Error> + Write<Error = Error>>(stream: &mut S, url: &Url<'_>) -> Result<Fetched, Failure> {
    let (slash, path) = url.target();
    let request = format!(
        "GET {slash}{path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: strait-fetch\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        url.authority()
    );
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut input = Input { stream, buffer: vec![], used: 0 };
    let head = loop {
        match parse_head(input.rest())? {
            // An interim response; the final one follows.
            Some((n, head)) if head.status / 100 == 1 => input.skip(n),
            Some((n, head)) => {
                input.skip(n);
                break head;
            }
            None => input.need()?,
        }
    };
    let mut body = Body { bytes: 0, hash: Sha256::new() };
    match head.length {
        Length::Known(n) => body.take(&mut input, n)?,
        Length::Chunked => body.take_chunks(&mut input)?,
        Length::UntilClose => loop {
            body.add(input.rest());
            input.skip(input.rest().len());
            if !input.more()? {
                break;
            }
        },
    }
    Ok(Fetched { status: head.status, bytes: body.bytes, sha256: body.hash.finalize().into() })
}

/// The head at the beginning of `bytes` and its length; `None` if there must
/// be more.
fn parse_head(bytes: &[u8]) -> Result<Option<(usize, Head)>, Failure> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(n) = response.parse(bytes).map_err(|_| Failure::Malformed)? else {
        return Ok(None);
    };
    let status = response.code.ok_or(Failure::Malformed)?;
    let mut length = if matches!(status, 100..200 | 204 | 304) { Length::Known(0) } else { Length::UntilClose };
    for field in response.headers {
        let value = core::str::from_utf8(field.value).unwrap_or("").trim();
        if length == Length::Known(0) {
            break;
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            // Chunked comes last, and rules out a length.
            let chunked = value.rsplit(',').next().is_some_and(|v| v.trim().eq_ignore_ascii_case("chunked"));
            length = if chunked { Length::Chunked } else { Length::UntilClose };
        } else if field.name.eq_ignore_ascii_case("content-length") && length == Length::UntilClose {
            length = Length::Known(value.parse().map_err(|_| Failure::Malformed)?);
        }
    }
    Ok(Some((n, Head { status, length })))
}

struct Body {
    bytes: u64,
    hash: Sha256,
}

impl Body {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    /// The next `n` bytes of the input.
    fn take<S: Read<Error = Error>>(&mut self, input: &mut Input<'_, S>, mut n: u64) -> Result<(), Failure> {
        while n != 0 {
            if input.rest().is_empty() {
                input.need()?;
            }
            let part = usize::try_from(n).unwrap_or(usize::MAX).min(input.rest().len());
            self.add(&input.rest()[..part]);
            input.skip(part);
            n -= part as u64;
        }
        Ok(())
    }

    fn take_chunks<S: Read<Error = Error>>(&mut self, input: &mut Input<'_, S>) -> Result<(), Failure> {
        loop {
            match httparse::parse_chunk_size(input.rest()).map_err(|_| Failure::Malformed)? {
                // What follows the last chunk (trailers) is of no interest.
                httparse::Status::Complete((_, 0)) => return Ok(()),
                httparse::Status::Complete((n, size)) => {
                    input.skip(n);
                    self.take(input, size)?;
                    while input.rest().len() < 2 {
                        input.need()?;
                    }
                    if !input.rest().starts_with(b"\r\n") {
                        return Err(Failure::Malformed);
                    }
                    input.skip(2);
                }
                httparse::Status::Partial => input.need()?,
            }
        }
    }
}
