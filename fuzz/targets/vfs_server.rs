//! A client of `vfs_server` that does anything. A good one is served all the
//! same.
#![no_main]

mod pages;

#[path = "../../vfs-server/tests/common/mod.rs"]
mod common;

use arbitrary::Arbitrary;
use common::{Client, World, environment, sample, set};
use strait_abi::vfs::{DATA, Request, VERSION};
use strait_pd::Component;
use strait_ring::{PAGE, memory::leak_for_tests};

#[derive(Arbitrary, Debug)]
enum Act {
    /// A word anywhere in the header and the rings.
    Scribble(u16, u32),
    /// Bytes in the data area.
    Data(u16, Vec<u8>),
    /// A command as it is, put into the ring's next place.
    Command([u64; 8]),
    Path(Vec<u8>, u32),
    Notify,
}

libfuzzer_sys::fuzz_target!(|acts: Vec<Act>| {
    pages::reclaim(|| {
        // Interior locks only: leaked once for each input, a few bytes.
        let world: &'static World = Box::leak(Box::default());
        let (bad, good) = (leak_for_tests(16 * PAGE), leak_for_tests(16 * PAGE));
        let mut server =
            strait_vfs_server::start(environment(world, &sample(), &[("bad", bad), ("good", good)])).unwrap();
        let (mut bad, mut good) = (Client::new(bad, 0), Client::new(good, 1));
        let memory = bad.region.memory();
        for act in acts.into_iter().take(100) {
            match act {
                Act::Scribble(word, value) => {
                    let _ = memory.write(usize::from(word) * 4 % DATA, &value.to_le_bytes());
                }
                Act::Data(at, bytes) => {
                    let _ = memory.write(DATA + usize::from(at), &bytes);
                }
                Act::Command(words) => {
                    use zerocopy::{FromBytes, IntoBytes};
                    if let Ok((command, _)) = strait_abi::vfs::Command::read_from_prefix(words.as_bytes()) {
                        let _ = bad.commands.put(&command);
                    }
                    let _ = bad.commands.publish();
                }
                Act::Path(path, flags) => {
                    let path = bad.data(0, &path[..path.len().min(8192)]);
                    let request = Request::Open { directory: u32::MAX, path, flags, mode: 0 };
                    let _ = bad.commands.put(&request.encode(0));
                    let _ = bad.commands.publish();
                }
                Act::Notify => {
                    server.notified(set(bad.channel));
                }
            }
        }
        server.notified(set(bad.channel));
        good.run(&mut server, Request::Hello { version: VERSION });
        let file = good.open(&mut server, b"/index.html", 0);
        assert_eq!(file, 0);
        let into = good.data(500, &[0; 14]);
        assert_eq!(good.run(&mut server, Request::Read { file: 0, offset: 0, into }).result, 14);
        assert_eq!(good.fetch(into), b"<h1>hello</h1>");
    });
});
