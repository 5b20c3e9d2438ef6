//! Looks names up, as host(1) does: on TCP port 7400, each line is a question,
//! and the answer is lines up to an empty one.
//!
//! | question | answer |
//! |---|---|
//! | `example.org` | its addresses, best first |
//! | `10.0.2.2` | the names of the address |
//! | `example.org http` | addresses with the port of the service |
//!
//! An example of [`strait_libsock::resolve`]: `/etc/hosts` and `/etc/services` of
//! the archive go before name servers. One connection at a time is served; one
//! that is silent for [`IDLE`] is closed.
//!
//! Setting `port`: where it listens.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use strait_abi::log::Logger;
use strait_libsock::{
    Process,
    io::{Read, Write},
    net::{Error, TcpListener, TcpStream},
    posix::SOCK_STREAM,
    resolve::addrinfo::Hints,
};
use strait_pd::Environment;

/// How long nothing may come.
pub const IDLE: Duration = Duration::from_secs(30);
const DEFAULT_PORT: u16 = 7400;
/// No question is longer: a host name has 253 bytes.
const LONGEST: usize = 300;

/// Runs the service.
pub fn main(env: Environment) -> ! {
    let port = env.config.setting("port").and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_PORT);
    Process::run(&env, |process, log| serve(process, port, log))
}

fn serve(process: &Process, port: u16, log: &Logger) -> Result<(), Error> {
    let listener = TcpListener::bind(process, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
    log.line(format_args!("names on TCP port {port}"));
    loop {
        let (stream, _) = listener.accept()?;
        // One peer that goes away does not stop the others.
        let _ = converse(process, stream);
    }
}

/// Answers questions until there are no more.
fn converse(process: &Process, mut stream: TcpStream) -> Result<(), Error> {
    stream.set_read_timeout(Some(IDLE))?;
    let mut text = Vec::new();
    loop {
        if let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let answer = answer(process, String::from_utf8_lossy(&line).trim());
            stream.write_all(answer.as_bytes())?;
            continue;
        }
        let mut piece = [0; LONGEST];
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            n if text.len() + n > LONGEST => return Ok(()),
            n => text.extend_from_slice(&piece[..n]),
        }
    }
}

/// The answer to one question.
pub fn answer(process: &Process, question: &str) -> String {
    let lines = match question.split_once(' ') {
        Some((host, service)) => endpoints(process, host, service.trim()),
        None => match question.parse::<IpAddr>() {
            Ok(address) => process.resolve_address(address).map_err(|e| e.to_string()),
            Err(_) => match process.resolve(question) {
                Ok(all) => Ok(all.iter().map(IpAddr::to_string).collect()),
                Err(e) => Err(e.to_string()),
            },
        },
    };
    let mut text = String::new();
    for line in lines.unwrap_or_else(|e| [e].into()) {
        text += &line;
        text.push('\n');
    }
    text.push('\n');
    text
}

fn endpoints(process: &Process, host: &str, service: &str) -> Result<Vec<String>, String> {
    let hints = Hints { kind: SOCK_STREAM, ..Hints::default() };
    match process.getaddrinfo(Some(host), Some(service), &hints) {
        Ok(all) => Ok(all.iter().map(|info| info.address.to_string()).collect()),
        Err(e) => Err(e.to_string()),
    }
}
