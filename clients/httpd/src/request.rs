//! What a request asks.

use alloc::string::String;

use crate::{
    path::Path,
    response::{After, Status},
};

/// Most bytes of a request line and header.
pub const MAX_HEAD: usize = 8 * 1024;
/// Most header lines.
const MAX_LINES: usize = 64;
/// A request's content is of no use here, but a small one is passed over so
/// that the connection can stay.
pub const MAX_CONTENT: u64 = 64 * 1024;

/// A part of a file, before its size is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// From the first to the last byte, both inclusive; or to the end.
    From(u64, Option<u64>),
    /// So many bytes before the end.
    Last(u64),
}

impl Range {
    /// Begin and end in a file of `size` bytes; `None` if it has none of them.
    pub fn within(self, size: u64) -> Option<(u64, u64)> {
        let (begin, end) = match self {
            Self::From(first, last) => (first, last.map_or(size, |last| last.saturating_add(1).min(size))),
            Self::Last(n) => (size.saturating_sub(n), size),
        };
        (begin < end).then_some((begin, end))
    }
}

/// A request that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Only the head of the response is asked for.
    pub head_only: bool,
    /// What is asked for.
    pub path: Path,
    /// The part of it.
    pub range: Option<Range>,
    /// What becomes of the connection.
    pub after: After,
    /// Bytes of content that follow the head.
    pub content: u64,
}

/// What the bytes received so far are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a request.
    Partial,
    /// A request, and bytes of its head.
    Request(Request, usize),
    /// An error: the connection cannot go on after the answer. Without content
    /// if the request was for the head only.
    Error(Status, bool),
}

/// Looks at the bytes that were received. `full` says that no more fit.
pub fn parse(bytes: &[u8], full: bool) -> Parsed {
    let mut lines = [httparse::EMPTY_HEADER; MAX_LINES];
    let mut head = httparse::Request::new(&mut lines);
    let len = match head.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= MAX_HEAD => len,
        Ok(httparse::Status::Complete(_)) => return Parsed::Error(Status::HeaderFieldsTooLarge, true),
        Ok(httparse::Status::Partial) if !full => return Parsed::Partial,
        // A request line that alone is too long has no end yet.
        Ok(httparse::Status::Partial) if head.path.is_none() => return Parsed::Error(Status::UriTooLong, true),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Parsed::Error(Status::HeaderFieldsTooLarge, true);
        }
        Err(httparse::Error::Version) if has_http_version(bytes) => {
            return Parsed::Error(Status::VersionNotSupported, true);
        }
        Err(_) => return Parsed::Error(Status::BadRequest, true),
    };
    match check(&head) {
        Ok(request) => Parsed::Request(request, len),
        Err(status) => Parsed::Error(status, head.method != Some("HEAD")),
    }
}

/// Whether the first line ends in a version of HTTP, known or not.
fn has_http_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|&b| b == b'\r' || b == b'\n').find(|line| !line.is_empty()).unwrap_or(bytes);
    line.rsplit(|&b| b == b' ').next().is_some_and(|word| {
        matches!(word, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                 if major.is_ascii_digit() && minor.is_ascii_digit())
    })
}

fn check(head: &httparse::Request<'_, '_>) -> Result<Request, Status> {
    let (Some(method), Some(target), Some(version)) = (head.method, head.path, head.version) else {
        return Err(Status::BadRequest);
    };
    let lines = Lines::read(head.headers)?;
    if version == 1 && lines.hosts != 1 || lines.hosts > 1 {
        return Err(Status::BadRequest);
    }
    if lines.transfer_encoding {
        // Both lengths at once is how requests are smuggled.
        return Err(if lines.content.is_some() { Status::BadRequest } else { Status::NotImplemented });
    }
    let head_only = match method {
        "GET" => false,
        "HEAD" => true,
        _ => return Err(Status::MethodNotAllowed),
    };
    let content = lines.content.unwrap_or(0);
    if content > MAX_CONTENT {
        return Err(Status::ContentTooLarge);
    }
    let after = if lines.close || lines.expects && content > 0 {
        After::Close
    } else if version == 1 {
        After::KeepAlive
    } else if lines.keep_alive {
        After::SayKeepAlive
    } else {
        After::Close
    };
    let range = if head_only { None } else { lines.range };
    Ok(Request { head_only, path: Path::from_target(target)?, range, after, content })
}

#[derive(Default)]
struct Lines {
    hosts: usize,
    content: Option<u64>,
    transfer_encoding: bool,
    close: bool,
    keep_alive: bool,
    expects: bool,
    range: Option<Range>,
}

impl Lines {
    fn read(headers: &[httparse::Header<'_>]) -> Result<Self, Status> {
        let mut lines = Self::default();
        let (mut conditional_range, mut ranges) = (false, 0);
        for line in headers {
            let is = |name: &str| line.name.eq_ignore_ascii_case(name);
            // Bytes that are not UTF-8 stand in no header that matters here.
            let value = core::str::from_utf8(line.value).unwrap_or("").trim();
            if is("host") {
                lines.hosts += 1;
            } else if is("content-length") {
                let n = digits(value).ok_or(Status::BadRequest)?;
                if lines.content.is_some_and(|other| other != n) {
                    return Err(Status::BadRequest);
                }
                lines.content = Some(n);
            } else if is("transfer-encoding") {
                lines.transfer_encoding = true;
            } else if is("connection") {
                for token in value.split(',').map(str::trim) {
                    lines.close |= token.eq_ignore_ascii_case("close");
                    lines.keep_alive |= token.eq_ignore_ascii_case("keep-alive");
                }
            } else if is("expect") {
                lines.expects = true;
            } else if is("range") {
                ranges += 1;
                lines.range = range(value);
            } else if is("if-range") {
                conditional_range = true;
            }
        }
        // A condition that cannot be checked asks for the whole.
        if conditional_range || ranges > 1 {
            lines.range = None;
        }
        Ok(lines)
    }
}

/// `1*DIGIT`; what does not fit is very long all the same.
fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

/// One byte range; anything else is as if there were none.
fn range(value: &str) -> Option<Range> {
    let (first, last) = value.strip_prefix("bytes=")?.trim().split_once('-')?;
    match (first.trim(), last.trim()) {
        ("", last) => Some(Range::Last(digits(last)?)),
        (first, "") => Some(Range::From(digits(first)?, None)),
        (first, last) => {
            let (first, last) = (digits(first)?, digits(last)?);
            (first <= last).then_some(Range::From(first, Some(last)))
        }
    }
}

/// The value of `Content-Range` (RFC 9110, 14.4).
pub fn content_range(part: Option<(u64, u64)>, size: u64) -> String {
    match part {
        Some((begin, end)) => alloc::format!("Content-Range: bytes {begin}-{}/{size}\r\n", end.saturating_sub(1)),
        None => alloc::format!("Content-Range: bytes */{size}\r\n"),
    }
}
