//! Names in files, and pipes that are awaited, against `vfs_server` itself.

use alloc::{string::ToString, vec};
use core::net::IpAddr;

use strait_abi::{socket::SOCK_STREAM, vfs::open};

use super::files::processes;
use crate::{
    Process,
    aio::{Async, Executor, Read, Write},
    net::OwnedFd,
    resolve::addrinfo::{AI_CANONNAME, Hints},
};

fn write(p: &Process, path: &str, text: &str) {
    let fd = p.open(path, open::WRONLY | open::CREAT, 0o644).unwrap();
    assert_eq!(p.write(fd, text.as_bytes()), Ok(text.len()));
    p.close(fd).unwrap();
}

#[test]
fn hosts_and_services() {
    let (_, p, _) = processes();
    p.mkdir("/etc", 0o755).unwrap();
    assert_eq!(p.resolve_ipv4("localhost"), Ok(vec![IpAddr::from([127, 0, 0, 1])]));
    write(&p, "/etc/hosts", "10.0.2.2 gate.example.org gate # us\n127.0.0.2 localhost\n");
    write(&p, "/etc/services", "door 1234/tcp\n");
    assert_eq!(p.resolve_ipv4("GATE"), Ok(vec![IpAddr::from([10, 0, 2, 2])]));
    assert_eq!(p.resolve_address([10, 0, 2, 2].into()).unwrap(), ["gate.example.org"]);
    // The file goes before what is built in, for the kind that it has.
    assert_eq!(p.resolve_ipv4("localhost"), Ok(vec![IpAddr::from([127, 0, 0, 2])]));
    assert_eq!(p.resolve_ipv6("localhost").unwrap()[0].to_string(), "::1");
    let hints = Hints { kind: SOCK_STREAM, flags: AI_CANONNAME, ..Hints::default() };
    let found = p.getaddrinfo(Some("gate"), Some("door"), &hints).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].address.to_string(), found[0].canonical_name.as_deref()),
        ("10.0.2.2:1234".into(), Some("gate.example.org"))
    );
    let names = p.getnameinfo(&found[0].address.into(), 0).unwrap();
    assert_eq!(names, ("gate.example.org".into(), "door".into()));
}

#[test]
fn pipes_are_awaited() {
    let (_, p, _) = processes();
    let e = Executor::new(&p);
    let (reader, writer) = p.pipe2(0).unwrap();
    let own = |fd| Async::new(OwnedFd::new(&p, fd)).unwrap();
    let (mut reader, mut writer) = (own(reader), own(writer));
    let task = e.spawn(async move {
        let mut all = vec![0; 200_000];
        reader.read_exact(&mut all).await.unwrap();
        // The end of file is news too.
        assert_eq!(reader.read(&mut [0]).await, Ok(0));
        all.iter().all(|byte| *byte == 7)
    });
    e.block_on(async move { writer.write_all(&vec![7; 200_000]).await }).unwrap();
    assert!(e.block_on(task));
    // A file never waits.
    let fd = p.open("/f", open::RDWR | open::CREAT, 0o644).unwrap();
    assert!(Async::new(OwnedFd::new(&p, fd)).is_err());
}
