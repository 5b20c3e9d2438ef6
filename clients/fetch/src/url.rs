//! The part of URLs (RFC 3986) that is needed: `http://host[:port][/path][?query]`.

use core::fmt;

/// A URL, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Url<'a> {
    text: &'a str,
    authority: &'a str,
    host: &'a str,
    port: u16,
    path: &'a str,
}

/// Why a text is no URL to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadUrl {
    /// It does not begin with `http://`.
    Scheme,
    /// There is no host, or one with a user name.
    Host,
    /// The port is not a number from 1 to 65535.
    Port,
    /// There are characters that must be written as `%XX`.
    Character,
}

impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "must begin with http:// (there is no TLS)",
            Self::Host => "there must be a host and no user name after http://",
            Self::Port => "the port must be a number from 1 to 65535",
            Self::Character => "only printable ASCII characters without spaces may be in it",
        })
    }
}

impl<'a> Url<'a> {
    /// Takes `text` apart.
    pub fn parse(text: &'a str) -> Result<Self, BadUrl> {
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(BadUrl::Character);
        }
        let text = text.split('#').next().unwrap_or(text);
        let rest = text.strip_prefix("http://").ok_or(BadUrl::Scheme)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // The colon of a port stands behind the bracket of an IPv6 address.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (authority, "80"),
        };
        if host.is_empty() || host.contains('@') {
            return Err(BadUrl::Host);
        }
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(BadUrl::Port)?;
        Ok(Self { text, authority, host, port, path })
    }

    /// The host: a name, or an address.
    pub fn host(&self) -> &'a str {
        self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as they were given, for the field `Host`.
    pub fn authority(&self) -> &'a str {
        self.authority
    }

    /// Path and query, for the request line: what stands before it if it does
    /// not begin with a slash, and the rest.
    pub fn target(&self) -> (&'static str, &'a str) {
        (if self.path.starts_with('/') { "" } else { "/" }, self.path)
    }
}

impl fmt::Display for Url<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let u = Url::parse("http://example.org").unwrap();
        assert_eq!((u.host(), u.port(), u.target()), ("example.org", 80, ("/", "")));
        let u = Url::parse("http://10.0.2.2:8000/a/b?c#d").unwrap();
        assert_eq!(
            (u.host(), u.port(), u.target(), u.authority()),
            ("10.0.2.2", 8000, ("", "/a/b?c"), "10.0.2.2:8000")
        );
        let u = Url::parse("http://[::1]:81?q").unwrap();
        assert_eq!((u.host(), u.port(), u.target()), ("[::1]", 81, ("/", "?q")));
        assert_eq!(Url::parse("http://[::1]").unwrap().port(), 80);
        for (text, error) in [
            ("https://x", BadUrl::Scheme),
            ("http://", BadUrl::Host),
            ("http://:80/", BadUrl::Host),
            ("http://me@x/", BadUrl::Host),
            ("http://x:0/", BadUrl::Port),
            ("http://x:65536", BadUrl::Port),
            ("http://x/a b", BadUrl::Character),
            ("http://x/\r\nEvil: 1", BadUrl::Character),
        ] {
            assert_eq!(Url::parse(text), Err(error), "{text}");
        }
    }
}
