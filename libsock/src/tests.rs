//! The library against a server of its own making.

mod calls;
mod descriptors;
mod epoll;
mod events;
mod files;
mod interfaces;
mod local;
mod messages;
mod model;
mod names;
mod urgent;

use core::net::SocketAddr;

use strait_abi::{Address, net::Handle};

use crate::{Process, fake::Fake, posix::*};

fn process() -> (&'static Fake, Process) {
    let (fake, env) = Fake::new(512, &[]);
    (fake, Process::new(&env).unwrap())
}

fn address(text: &str) -> Address {
    text.parse::<SocketAddr>().unwrap().into()
}

/// A connected TCP socket; the first socket has handle 0.
fn connected() -> (&'static Fake, Process, Fd) {
    let (fake, p) = process();
    let fd = p.socket(AF_INET, SOCK_STREAM.into(), 0).unwrap();
    p.connect(fd, &address("10.0.2.2:80")).unwrap();
    (fake, p, fd)
}

const FIRST: Handle = 0;
