//! Gets a URL when the system starts and logs the status, the length and the
//! SHA-256 of what came: an example of a component that connects out.
//!
//! Setting `url`: what to get, `http://host[:port]/path`. Without it the
//! component says so and sleeps. As long as it fails it tries again, with
//! growing pauses. It needs a channel to `timer_driver`.
//!
//! Limits: HTTP/1.1 without TLS; redirections are reported, not followed.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod http;
mod url;

use core::{fmt, time::Duration};

use strait_abi::log::Logger;
use strait_libsock::{
    Process,
    net::{Error, TcpStream},
};
use strait_pd::Environment;

pub use http::{Failure, Fetched};
pub use url::Url;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long connecting, and each wait for data, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the component.
pub fn main(env: Environment) -> ! {
    let log = Logger::new(&env);
    match env.config.setting("url") {
        None => log.line(format_args!("no `url` in [fetch] of strait.toml: nothing to do")),
        Some(text) => match (Url::parse(text), Process::new(&env)) {
            (Err(e), _) => log.line(format_args!("`{text}`: {e}")),
            (_, Err(e)) => log.line(format_args!("cannot start: {e}")),
            (Ok(url), Ok(process)) => run(&process, &url, &log),
        },
    }
    loop {
        env.pd.wait();
    }
}

/// Tries until it succeeds, or until there is no timer to pause by.
pub fn run(process: &Process, url: &Url<'_>, log: &Logger) {
    let mut pause = FIRST_PAUSE;
    loop {
        let begin = process.now();
        match get(process, url) {
            Ok(fetched) => {
                let took = (process.now() - begin).as_millis();
                return log.line(format_args!("{url}: {fetched} in {took} ms"));
            }
            Err(e) => log.line(format_args!("{url}: {e}; trying again in {} s", pause.as_secs())),
        }
        if let Err(e) = process.sleep(pause) {
            return log.line(format_args!("cannot pause: {e}; add a channel to timer_driver"));
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Gets `url` once.
pub fn get(process: &Process, url: &Url<'_>) -> Result<Fetched, Failure> {
    let mut last = Error::from(strait_libsock::Errno::EHOSTUNREACH);
    for ip in process.resolve(url.host()).map_err(Error::from)? {
        match TcpStream::connect_timeout(process, &(ip, url.port()).into(), PATIENCE) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return http::get(&mut stream, url);
            }
            Err(e) => last = e,
        }
    }
    Err(last.into())
}

/// Bytes as hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

#[cfg(test)]
mod tests;
