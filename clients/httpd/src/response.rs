//! Status lines and heads of responses.

use alloc::{format, string::String, vec::Vec};

use strait_abi::Errno;

macro_rules! statuses {
    ($($name:ident = $code:literal $text:literal,)*) => {
        /// A status code (RFC 9110, 15; RFC 6585).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum Status { $($name = $code,)* }

        impl Status {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Number and phrase.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => concat!($code, " ", $text),)* }
            }
        }
    };
}

statuses! {
    Ok = 200 "OK",
    PartialContent = 206 "Partial Content",
    MovedPermanently = 301 "Moved Permanently",
    BadRequest = 400 "Bad Request",
    Forbidden = 403 "Forbidden",
    NotFound = 404 "Not Found",
    MethodNotAllowed = 405 "Method Not Allowed",
    RequestTimeout = 408 "Request Timeout",
    ContentTooLarge = 413 "Content Too Large",
    UriTooLong = 414 "URI Too Long",
    RangeNotSatisfiable = 416 "Range Not Satisfiable",
    HeaderFieldsTooLarge = 431 "Request Header Fields Too Large",
    InternalServerError = 500 "Internal Server Error",
    NotImplemented = 501 "Not Implemented",
    ServiceUnavailable = 503 "Service Unavailable",
    VersionNotSupported = 505 "HTTP Version Not Supported",
}

impl From<Errno> for Status {
    /// What it means that a file cannot be opened.
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG | Errno::ELOOP | Errno::ENXIO => Self::NotFound,
            Errno::EACCES | Errno::EPERM => Self::Forbidden,
            Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EAGAIN | Errno::ENOBUFS => Self::ServiceUnavailable,
            _ => Self::InternalServerError,
        }
    }
}

/// What becomes of the connection after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It is closed.
    Close,
    /// The next request may come.
    KeepAlive,
    /// As before, and the client (HTTP/1.0) needs to be told.
    SayKeepAlive,
}

/// The head of a response with `len` bytes of content, and `extra` header
/// lines, each ended by CR LF.
pub fn head(status: Status, after: After, content_type: &str, len: u64, extra: &str) -> Vec<u8> {
    let connection = match after {
        After::Close => "Connection: close\r\n",
        After::KeepAlive => "",
        After::SayKeepAlive => "Connection: keep-alive\r\n",
    };
    format!(
        "HTTP/1.1 {}\r\nServer: Strait\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\n{extra}{connection}\r\n",
        status.text(),
    )
    .into_bytes()
}

/// A whole response that consists of its status, for errors and redirections.
pub fn plain(status: Status, after: After, with_content: bool, location: Option<&str>) -> Vec<u8> {
    let extra = match (status, location) {
        (_, Some(location)) => format!("Location: {location}\r\n"),
        (Status::MethodNotAllowed, _) => String::from("Allow: GET, HEAD\r\n"),
        _ => String::new(),
    };
    let content = format!("{}\n", status.text());
    let mut response = head(status, after, "text/plain; charset=utf-8", content.len() as u64, &extra);
    if with_content {
        response.extend_from_slice(content.as_bytes());
    }
    response
}

const TYPES: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("json", "application/json"),
    ("xml", "application/xml"),
    ("pdf", "application/pdf"),
    ("wasm", "application/wasm"),
    ("gz", "application/gzip"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("ico", "image/x-icon"),
    ("woff2", "font/woff2"),
];

/// The content type of files whose names end so.
pub fn content_type(extension: &[u8]) -> &'static str {
    TYPES
        .iter()
        .find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(extension))
        .map_or("application/octet-stream", |(_, content_type)| content_type)
}
