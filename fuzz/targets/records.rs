//! A server whose session region holds anything: the library fails, but does
//! not panic, read elsewhere or spin.
#![no_main]

mod pages;

use arbitrary::Arbitrary;
use strait_abi::{
    address::AF_INET,
    session::status,
    socket::{MSG_DONTWAIT, SOCK_DGRAM, SOCK_STREAM},
};
use strait_libsock::{Address, Process, fake::Fake};

#[derive(Arbitrary, Debug)]
enum Act {
    Scribble(u16, u32),
    Status(u32),
    Datagram(Vec<u8>),
    /// Bytes in place of a record.
    Push(Vec<u8>),
    Receive(u16, u8),
    Send(u16),
    SendTo(u16),
    Run,
}

libfuzzer_sys::fuzz_target!(|input: (bool, Vec<Act>)| {
    let (stream, acts) = input;
    pages::reclaim(|| {
        let (fake, environment) = Fake::new(24, &[]);
        let process = Process::new(&environment).unwrap();
        let kind = u32::from(if stream { SOCK_STREAM } else { SOCK_DGRAM });
        let fd = process.socket(AF_INET, kind, 0).unwrap();
        process.set_nonblocking(fd, true).unwrap();
        let from = Address::from(std::net::SocketAddr::from(([10, 0, 2, 2], 53)));
        let memory = fake.serve(|server| server.region.memory());
        let mut buffer = [0; 4096];
        // Once the region was scribbled on, the honest server would notice
        // (and panic): it is not asked any more.
        let mut honest = true;
        for act in acts.into_iter().take(100) {
            match act {
                Act::Scribble(word, value) => {
                    honest = false;
                    let _ = memory.write(usize::from(word) * 4, &value.to_le_bytes());
                }
                Act::Status(bits) if honest => {
                    fake.serve(|server| server.change(0, bits & !status::ERR, !bits));
                }
                Act::Datagram(data) if honest => {
                    fake.serve(|server| server.push_datagram(0, &from, &data));
                }
                Act::Push(data) if honest => {
                    fake.serve(|server| server.push(0, &data));
                }
                Act::Receive(n, flags) => {
                    let into = &mut buffer[..usize::from(n) % 4097];
                    let _ = process.recvfrom(fd, into, u32::from(flags) | MSG_DONTWAIT);
                }
                Act::Send(n) if honest => {
                    let _ = process.send(fd, &buffer[..usize::from(n) % 4097], MSG_DONTWAIT);
                }
                Act::SendTo(n) if honest => {
                    let _ = process.sendto(fd, &buffer[..usize::from(n) % 4097], MSG_DONTWAIT, &from);
                }
                _ => {}
            }
        }
        // Without the close call to a server that was lied about.
        if !honest {
            std::mem::forget(process);
        }
    });
});
