//! From the target of a request to a path below the served directory.

use alloc::{string::String, vec::Vec};

use crate::response::Status;

/// A path without `.`, `..` and empty parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Without slash before or behind.
    bytes: Vec<u8>,
    /// The target ended in a slash: a directory is meant.
    pub directory: bool,
}

impl Path {
    /// The path that a request target means (RFC 9112, 3.2): origin form or
    /// absolute form. Escapes are decoded once, then the parts are walked, so
    /// that no escape hides a `..`; one that would leave the root is refused.
    pub fn from_target(target: &str) -> Result<Self, Status> {
        let target = match target.strip_prefix("http://").or_else(|| target.strip_prefix("https://")) {
            Some(rest) => rest.find(['/', '?']).map_or("/", |at| &rest[at..]),
            None => target,
        };
        let path = target.split(['?', '#']).next().unwrap_or(target);
        // `http://host?query` has an empty path.
        let is_path = path.starts_with('/') || path.is_empty() && target.starts_with('?');
        if !is_path {
            return Err(Status::BadRequest);
        }
        let decoded = decode(path.as_bytes())?;
        let mut parts: Vec<&[u8]> = Vec::new();
        let mut directory = true;
        for part in decoded.split(|&b| b == b'/') {
            directory = matches!(part, b"" | b"." | b"..");
            match part {
                b"" | b"." => {}
                b".." => drop(parts.pop().ok_or(Status::BadRequest)?),
                _ => parts.push(part),
            }
        }
        Ok(Self { bytes: parts.join(&b'/'), directory })
    }

    /// As a path of the VFS, below `root`; with `name` in it, if given.
    pub fn below(&self, root: &str, name: Option<&str>) -> Vec<u8> {
        let mut path = root.trim_end_matches('/').as_bytes().to_vec();
        for part in [&self.bytes[..], name.unwrap_or("").as_bytes()] {
            if !part.is_empty() {
                path.push(b'/');
                path.extend_from_slice(part);
            }
        }
        if path.is_empty() {
            path.push(b'/');
        }
        path
    }

    /// As a request target of a directory, for a redirection.
    pub fn as_directory_target(&self) -> String {
        let mut target = String::from("/");
        for &b in &self.bytes {
            if b.is_ascii_alphanumeric() || b"/-._~".contains(&b) {
                target.push(b.into());
            } else {
                target.push('%');
                for digit in [b >> 4, b & 15] {
                    target.push(b"0123456789ABCDEF"[usize::from(digit)].into());
                }
            }
        }
        if !self.bytes.is_empty() {
            target.push('/');
        }
        target
    }

    /// What follows the last dot of the last part.
    pub fn extension(&self) -> &[u8] {
        let name = self.bytes.rsplit(|&b| b == b'/').next().unwrap_or(&[]);
        match name.iter().rposition(|&b| b == b'.') {
            Some(dot) => &name[dot + 1..],
            None => &[],
        }
    }
}

fn decode(escaped: &[u8]) -> Result<Vec<u8>, Status> {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.iter();
    while let Some(&b) = rest.next() {
        let byte = if b == b'%' {
            let mut digit = || rest.next().and_then(|&b| char::from(b).to_digit(16)).ok_or(Status::BadRequest);
            (digit()? * 16 + digit()?) as u8
        } else {
            b
        };
        if byte == 0 {
            return Err(Status::BadRequest);
        }
        bytes.push(byte);
    }
    Ok(bytes)
}
