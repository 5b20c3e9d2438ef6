//! Reader of tar archives: POSIX.1-2024 `pax` and `ustar`, and GNU's long
//! names (the manual of GNU tar, "Basic Tar Format").
//!
//! It works on a region that it reads header by header; sizes, offsets and
//! names are checked here, so what comes out is inside the archive. Crates for
//! this want the whole archive as a slice and give regular files only.

use alloc::vec::Vec;
use core::fmt;

use strait_ring::SharedMemory;

/// Bytes of a header; everything begins at multiples of it.
pub const BLOCK: usize = 512;
/// Most bytes of an extended header or long name.
const MAX_EXTENDED: usize = 16 * 1024;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file with data.
    Regular,
    /// A directory.
    Directory,
    /// A further name of a file that stands before it in the archive.
    Link,
    /// A symbolic link.
    SymbolicLink,
    /// A device, ...
    Other(u8),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path as the archive has it.
    pub path: Vec<u8>,
    /// What a link leads to.
    pub target: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Where its data begins in the archive.
    pub offset: usize,
    /// Bytes of data; all of them are in the archive.
    pub len: usize,
    /// Permission bits.
    pub mode: u32,
    /// Time of change, in seconds since 1970.
    pub mtime: i64,
}

/// What is wrong with an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TarError {
    /// Where: offset of the header.
    pub at: usize,
    /// What.
    pub what: &'static str,
}

impl fmt::Display for TarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (header at byte {})", self.what, self.at)
    }
}

impl core::error::Error for TarError {}

/// The entries of an archive, in its order. Ends after the first error.
pub struct Reader {
    memory: SharedMemory,
    len: usize,
    at: usize,
}

#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    mtime: Option<i64>,
}

impl Reader {
    /// Reader of the first `len` bytes of `memory`.
    pub fn new(memory: SharedMemory, len: usize) -> Self {
        Self { memory, len: len.min(memory.len()), at: 0 }
    }

    fn entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extended = Extended::default();
        loop {
            let at = self.at;
            let error = |what| TarError { at, what };
            let mut header = [0; BLOCK];
            if self.len - at < BLOCK {
                return Ok(None);
            }
            self.memory.read(at, &mut header).ok_or(error("cannot be read"))?;
            if header.iter().all(|&b| b == 0) {
                return Ok(None);
            }
            if !checksum_is_right(&header) {
                return Err(error("not a tar header: wrong checksum"));
            }
            let kind = match header[156] {
                0 | b'0' | b'7' => Kind::Regular,
                b'1' => Kind::Link,
                b'2' => Kind::SymbolicLink,
                b'5' => Kind::Directory,
                other => Kind::Other(other),
            };
            let size = number(&header[124..136]).ok_or(error("bad size"))?;
            // The extended size is that of a file; headers speak for themselves.
            let size = if kind == Kind::Regular { extended.size.take().unwrap_or(size) } else { size };
            let size = match kind {
                Kind::Regular | Kind::Other(b'x' | b'g' | b'L' | b'K') => size,
                _ => 0,
            };
            let offset = at + BLOCK;
            let len = usize::try_from(size).ok().filter(|&n| n <= self.len - offset).ok_or(error("truncated"))?;
            // The last block may lack its padding.
            self.at = (offset + len.next_multiple_of(BLOCK)).min(self.len);
            match kind {
                Kind::Other(b'x') => extended.read(&self.data(offset, len).ok_or(error("long extended header"))?),
                Kind::Other(which @ (b'L' | b'K')) => {
                    let data = self.data(offset, len).ok_or(error("long name too long"))?;
                    let name = if which == b'L' { &mut extended.path } else { &mut extended.target };
                    *name = Some(until_nul(&data).to_vec());
                }
                Kind::Other(b'g') => {}
                _ => {
                    return Ok(Some(Entry {
                        path: extended.path.take().unwrap_or_else(|| path(&header)),
                        target: extended.target.take().unwrap_or_else(|| until_nul(&header[157..257]).to_vec()),
                        kind,
                        offset,
                        len,
                        mode: number(&header[100..108]).ok_or(error("bad mode"))? as u32 & 0o7777,
                        mtime: extended.mtime.or(number(&header[136..148]).map(|n| n as i64)).unwrap_or(0),
                    }));
                }
            }
        }
    }

    fn data(&self, offset: usize, len: usize) -> Option<Vec<u8>> {
        if len > MAX_EXTENDED {
            return None;
        }
        let mut bytes = alloc::vec![0; len];
        self.memory.read(offset, &mut bytes)?;
        Some(bytes)
    }
}

impl Iterator for Reader {
    type Item = Result<Entry, TarError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entry();
        if !matches!(entry, Ok(Some(_))) {
            self.at = self.len;
        }
        entry.transpose()
    }
}

impl Extended {
    /// Records `<length> <key>=<value>\n`; what is none ends the reading.
    fn read(&mut self, mut bytes: &[u8]) {
        while let Some((record, rest)) = split_record(bytes) {
            bytes = rest;
            let Some(equals) = record.iter().position(|&b| b == b'=') else { return };
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.target = Some(value.to_vec()),
                b"size" => self.size = decimal(value),
                b"mtime" => {
                    let seconds = value.split(|&b| b == b'.').next().unwrap_or(value);
                    self.mtime = decimal(seconds).and_then(|n| i64::try_from(n).ok());
                }
                _ => {}
            }
        }
    }
}

fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().take(8).position(|&b| b == b' ')?;
    let len = decimal(&bytes[..space])? as usize;
    let (record, rest) = bytes.split_at_checked(len)?;
    Some((record.get(space + 1..)?.strip_suffix(b"\n")?, rest))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    core::str::from_utf8(digits).ok()?.parse().ok()
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&b| b == 0).next().unwrap_or(bytes)
}

/// A number field: octal digits with spaces around, or GNU's base 256.
fn number(field: &[u8]) -> Option<u64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        return rest.iter().try_fold(u64::from(first & 0x7f), |n, &b| Some(n.checked_mul(256)? + u64::from(b)));
    }
    let text = core::str::from_utf8(until_nul(field)).ok()?.trim_matches(' ');
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

fn checksum_is_right(header: &[u8; BLOCK]) -> bool {
    let sum: u64 =
        header.iter().enumerate().map(|(i, &b)| u64::from(if (148..156).contains(&i) { b' ' } else { b })).sum();
    number(&header[148..156]) == Some(sum)
}

fn path(header: &[u8; BLOCK]) -> Vec<u8> {
    let mut path = Vec::new();
    // Only POSIX headers have the prefix; GNU's keep other things there.
    if &header[257..263] == b"ustar\0" && header[345] != 0 {
        path.extend_from_slice(until_nul(&header[345..500]));
        path.push(b'/');
    }
    path.extend_from_slice(until_nul(&header[..100]));
    path
}
