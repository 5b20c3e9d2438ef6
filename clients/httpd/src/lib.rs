//! A web server: HTTP/1.1 (RFC 9110, RFC 9112) for the files of the VFS.
//!
//! GET and HEAD, persistent connections, pipelining, byte ranges. All
//! connections are served by one event loop; file data goes from the memory
//! shared with `vfs_server` straight into that shared with `net_server`, so
//! that a connection needs almost no memory of its own.
//!
//! | module | what |
//! |---|---|
//! | [`server`] | the event loop, accepting, timeouts |
//! | [`connection`] | one connection: request after request |
//! | [`request`] | what a request asks, or which error it is |
//! | [`path`] | from a request target to a path in the VFS |
//! | [`response`] | status lines, heads, content types |
//!
//! Settings: `port`, 80 if not given; `root`, the directory that is served,
//! `/` if not given.
//!
//! Limits: heads of 8 KiB; no requests with chunked bodies; no conditional
//! requests; reading a file waits for `vfs_server`, which is at once as long
//! as files are in memory.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod connection;
pub mod path;
pub mod request;
pub mod response;
pub mod server;

use strait_abi::log::Logger;
use strait_pd::Environment;

pub use server::{Failure, Server};

/// Runs the service.
pub fn main(env: Environment) -> ! {
    let log = Logger::new(&env);
    match Server::new(&env) {
        Ok(mut server) => {
            log.line(format_args!("httpd on port {}, serving {}", server.port(), server.root()));
            let error = server.run();
            log.line(format_args!("stopped: {error}"));
        }
        Err(e) => log.line(format_args!("cannot start: {e}")),
    }
    loop {
        env.pd.wait();
    }
}
