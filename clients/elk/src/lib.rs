//! The calls of ELK's test program: socketpair, write and read over it, and
//! then for a regular file, a FIFO and a socket: mknod, open, read. One
//! descriptor space has them all. Whoever connects to TCP port 7200 gets a line
//! for each call, with what it gave; it is what Linux gives.
//!
//! Settings: `port`, where it listens (7200); `directory`, where it makes its
//! files (`/tmp`).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{format, string::String};
use core::{
    fmt::Write as _,
    net::{Ipv6Addr, SocketAddr},
};

use strait_abi::{
    log::Logger,
    vfs::{mode, open},
};
use strait_libsock::{
    Errno, Process,
    io::Write,
    net::{Error, TcpListener},
    posix::{AF_UNIX, Fd, SOCK_STREAM},
};
use strait_pd::Environment;

const DEFAULT_PORT: u16 = 7200;
const DEFAULT_DIRECTORY: &str = "/tmp";
const KINDS: [(&str, u32); 3] = [("S_IFREG", mode::REGULAR), ("S_IFIFO", mode::FIFO), ("S_IFSOCK", mode::SOCKET)];
/// What stands for a descriptor where open gave none.
const NONE: Fd = -1;

/// Runs the service.
pub fn main(env: Environment) -> ! {
    let port = env.config.setting("port").and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_PORT);
    let directory = env.config.setting("directory").unwrap_or(DEFAULT_DIRECTORY);
    Process::run(&env, |process, log| serve(process, port, directory, log))
}

fn serve(process: &Process, port: u16, directory: &str, log: &Logger) -> Result<(), Error> {
    let listener = TcpListener::bind(process, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
    log.line(format_args!("ELK's calls on TCP port {port}"));
    loop {
        let (mut stream, _) = listener.accept()?;
        // One peer that goes away does not stop the others.
        let _ = stream.write_all(report(process, directory).as_bytes());
    }
}

/// Makes the calls: a line for each.
pub fn report(process: &Process, directory: &str) -> String {
    let mut report = Report { process, text: String::new() };
    report.pair();
    for (name, format) in KINDS {
        report.node(name, format, &format!("{directory}/elk.{name}"));
    }
    report.text
}

struct Report<'a> {
    process: &'a Process,
    text: String,
}

impl Report<'_> {
    /// Notes what a call gave; gives what it did.
    fn line(&mut self, call: &str, result: Result<usize, Errno>) {
        // Writing to a string does not fail.
        let _ = match result {
            Ok(n) => writeln!(self.text, "{call}: {n}"),
            Err(e) => writeln!(self.text, "{call}: {}", e.name()),
        };
    }

    fn read(&mut self, what: &str, fd: Fd) {
        let mut bytes = [0; 16];
        let result = self.process.read(fd, &mut bytes);
        let text = core::str::from_utf8(&bytes[..result.unwrap_or(0)]).unwrap_or_default();
        self.line(&format!("read {what} \"{text}\""), result);
    }

    fn close(&self, fd: Fd) {
        // What was not open need not be closed.
        let _ = self.process.close(fd);
    }

    fn pair(&mut self) {
        let result = self.process.socketpair(AF_UNIX, SOCK_STREAM.into(), 0);
        let (a, b) = result.unwrap_or((NONE, NONE));
        self.line("socketpair", result.map(|_| 0));
        let result = self.process.write(a, b"ping");
        self.line("write socketpair", result);
        self.read("socketpair", b);
        self.close(a);
        self.close(b);
    }

    fn node(&mut self, name: &str, format: u32, path: &str) {
        // An earlier incarnation may have left it.
        let _ = self.process.unlink(path);
        let result = self.process.mknod(path, format | 0o644, 0).map(|()| 0);
        self.line(&format!("mknod {name}"), result);
        let result = self.process.open(path, open::RDONLY | open::NONBLOCK, 0);
        self.line(&format!("open {name}"), result.map(|_| 0));
        let fd = result.unwrap_or(NONE);
        self.read(name, fd);
        self.close(fd);
        let result = self.process.stat(path).map(|stat| stat.mode as usize);
        self.line(&format!("mode {name}"), result);
        let result = self.process.unlink(path).map(|()| 0);
        self.line(&format!("unlink {name}"), result);
    }
}
