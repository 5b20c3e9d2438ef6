//! Keeps the lines that it is sent: whoever connects to TCP port 1717 gets all
//! notes so far; each line sent then is put at the end of the file
//! `/disk/notes.txt`, and answered with `kept` once it would be there after a
//! loss of power. So are these lines, which are no notes:
//!
//! | line | what becomes of the notes |
//! |---|---|
//! | `!file NAME` | those so far go to `/disk/filed/NAME`, in place of what was there |
//! | `!drop NAME` | those filed under this name are removed |
//! | `!cut BYTES` | of those so far this many bytes stay |
//!
//! An example of a client with sockets and files, one connection after the
//! other with blocking calls. A peer that is silent for [`PATIENCE`] is left.
//!
//! Setting `port`: where it listens, 1717 if not given.
//!
//! Limits: lines of up to [`MAX_LINE`] bytes.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{format, string::String, vec::Vec};
use core::{
    fmt,
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use strait_abi::log::Logger;
use strait_libsock::{
    Errno, Process,
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    net::{Error, TcpListener, TcpStream},
};
use strait_pd::Environment;

const DEFAULT_PORT: u16 = 1717;
/// Where the notes are.
pub const FILE: &str = "/disk/notes.txt";
/// Where they go when they are filed.
pub const FILED: &str = "/disk/filed";
/// Longest line, without its end.
pub const MAX_LINE: usize = 1000;
/// How long a peer may be silent.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the service.
pub fn main(env: Environment) -> ! {
    let port = env.config.setting("port").and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_PORT);
    Process::run(&env, |process, log| serve(process, port, log))
}

fn serve(process: &Process, port: u16, log: &Logger) -> Result<(), Error> {
    let listener = TcpListener::bind(process, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
    log.line(format_args!("notes on TCP port {port}, kept in {FILE}"));
    loop {
        let (mut stream, _) = listener.accept()?;
        // What goes wrong with one peer does not concern the others.
        if let Err(e) = converse(process, &mut stream) {
            log.line(format_args!("left a peer: {e}"));
        }
    }
}

/// What ends a conversation.
enum Failure {
    Net(Error),
    File(Errno),
    TooLong,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(e) => write!(f, "{e}"),
            Self::File(e) => write!(f, "{FILE}: {e}"),
            Self::TooLong => write!(f, "a line of more than {MAX_LINE} bytes"),
        }
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Net(e)
    }
}

impl From<Errno> for Failure {
    fn from(e: Errno) -> Self {
        Self::File(e)
    }
}

fn converse(process: &Process, stream: &mut TcpStream) -> Result<(), Failure> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (mut waiting, mut buffer) = (Vec::new(), [0; 512]);
    match File::open(process, FILE) {
        Ok(notes) => loop {
            match notes.read(&mut buffer)? {
                0 => break,
                n => stream.write_all(&buffer[..n])?,
            }
        },
        Err(Errno::ENOENT) => {}
        Err(e) => return Err(e.into()),
    }
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        waiting.extend_from_slice(&buffer[..n]);
        while let Some(line) = take_line(&mut waiting)? {
            match keep(process, &line) {
                Ok(()) => stream.write_all(b"kept\n")?,
                Err(e) => stream.write_all(format!("not kept: {e}\n").as_bytes())?,
            }
        }
    }
}

/// The first line of what arrived, with its end, if all of it is there.
fn take_line(waiting: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Failure> {
    match waiting.iter().position(|&b| b == b'\n') {
        Some(end) if end <= MAX_LINE => Ok(Some(waiting.drain(..=end).collect())),
        None if waiting.len() <= MAX_LINE => Ok(None),
        _ => Err(Failure::TooLong),
    }
}

/// Does what a line says, for good.
fn keep(process: &Process, line: &[u8]) -> Result<(), Errno> {
    let text = core::str::from_utf8(line).unwrap_or_default().trim_end();
    match text.split_once(' ') {
        Some(("!file", name)) => {
            match fs::create_dir(process, FILED) {
                Ok(()) => sync(process, "/disk")?,
                Err(Errno::EEXIST) => {}
                Err(e) => return Err(e),
            }
            fs::rename(process, FILE, filed(name)?)?;
            sync(process, FILED)
        }
        Some(("!drop", name)) => {
            fs::remove_file(process, filed(name)?)?;
            sync(process, FILED)
        }
        Some(("!cut", bytes)) => {
            let file = OpenOptions::new().write(true).open(process, FILE)?;
            file.set_len(bytes.parse().map_err(|_| Errno::EINVAL)?)?;
            file.sync_all()
        }
        _ => {
            let file = OpenOptions::new().append(true).create(true).open(process, FILE)?;
            file.write_all(line)?;
            file.sync_all()
        }
    }
}

/// The path of notes filed under this name. EINVAL if it is none.
fn filed(name: &str) -> Result<String, Errno> {
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Err(Errno::EINVAL);
    }
    Ok(format!("{FILED}/{name}"))
}

/// What has become of the names in a directory outlives a loss of power.
fn sync(process: &Process, directory: &str) -> Result<(), Errno> {
    File::open(process, directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let mut waiting = b"one\n\ntwo".to_vec();
        let mut next = || take_line(&mut waiting).ok().flatten();
        assert_eq!(next().as_deref(), Some(&b"one\n"[..]));
        assert_eq!(next().as_deref(), Some(&b"\n"[..]));
        assert_eq!(next(), None);
        waiting.resize(MAX_LINE, b'x');
        assert!(matches!(take_line(&mut waiting), Ok(None)));
        waiting.push(b'x');
        assert!(matches!(take_line(&mut waiting), Err(Failure::TooLong)));
        waiting.push(b'\n');
        assert!(matches!(take_line(&mut waiting), Err(Failure::TooLong)));
    }
}
