//! Clients and archives that mean harm.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};

use common::*;
use proptest::{collection::vec, prelude::*};
use strait_abi::vfs::{Buffer, DATA, ROOT, Request, VERSION};
use strait_pd::Component;
use strait_ring::{PAGE, memory::leak_for_tests};
use strait_vfs_server::{
    archive::Archive,
    file_system::FileSystem,
    identity::Caller,
    start,
    tar::Reader,
    tree::{Links, Tree},
};

/// A good client still gets what it wants from `server`.
fn is_served(server: &mut strait_vfs_server::VfsServer, client: &mut Client) {
    client.run(server, Request::Hello { version: VERSION });
    let file = client.open(server, b"/index.html", 0);
    assert_eq!(file, 0);
    let into = client.data(500, &[0; 14]);
    assert_eq!(client.run(server, Request::Read { file: 0, offset: 0, into }).result, 14);
    assert_eq!(client.fetch(into), b"<h1>hello</h1>");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any words anywhere in the rings and the header.
    #[test]
    fn no_region_content_is_fatal(writes in vec((0usize..3 * 1024, any::<u32>(), any::<bool>()), 0..200),
                                  heads in vec((0usize..2, any::<u32>()), 0..20)) {
        let world: &'static World = Box::leak(Box::default());
        let (bad, good) = (leak_for_tests(16 * PAGE), leak_for_tests(16 * PAGE));
        let mut server = start(environment(world, &sample(), &[("bad", bad), ("good", good)])).unwrap();
        let (bad, mut good) = (Client::new(bad, 0), Client::new(good, 1));
        let memory = bad.region.memory();
        for (word, value, small) in writes {
            let value = if small { value % 300 } else { value };
            memory.cell::<AtomicU32>(word * 4).unwrap().store(value, Ordering::Relaxed);
            if word % 7 == 0 {
                server.notified(set(bad.channel));
            }
        }
        for (which, value) in heads {
            memory.cell::<AtomicU32>(128 + which * 4).unwrap().store(value, Ordering::Relaxed);
            server.notified(set(bad.channel));
        }
        is_served(&mut server, &mut good);
    }

    /// Commands in order, with any content.
    #[test]
    fn no_command_is_fatal(commands in vec((0u16..30, any::<[u32; 12]>(), any::<bool>()), 0..300)) {
        let Setup { mut server, mut client, .. } = setup(&sample());
        client.data(0, b"/a/b/../../index.html");
        let size = client.region.memory().len() as u32;
        for (op, words, calm) in commands {
            let mut c = Request::Hello { version: VERSION }.encode(7);
            c.op = op;
            (c.file, c.flags, c.offset) = (words[0], words[1], u64::from(words[2]) << (words[3] % 64));
            c.buffer = Buffer { offset: words[4], len: words[5] };
            c.second = Buffer { offset: words[6], len: words[7] };
            if calm {
                c.file = if words[0] % 2 == 0 { ROOT } else { words[0] % 4 };
                c.flags &= 0o4_000;
                c.buffer = Buffer { offset: DATA as u32 + words[4] % 8, len: words[5] % 30 };
                c.second = Buffer { offset: DATA as u32 + words[6] % size, len: 200 };
            } else {
                c.reserved2[0] = words[8] % 2;
                c.directory2 = words[9];
            }
            prop_assert!(client.commands.put(&c).unwrap());
            client.commands.publish();
            server.notified(set(client.channel));
            let completion = client.completions.take().unwrap().unwrap();
            client.completions.release();
            prop_assert_eq!(completion.id, 7);
            prop_assert!(completion.result > -4096);
        }
        is_served(&mut server, &mut client);
    }

    /// A good archive with bytes changed, checksums put right or not.
    #[test]
    fn no_archive_is_fatal(changes in vec((0usize..4096, any::<u8>()), 0..30), fix in any::<bool>(), cut in 0usize..9000) {
        let mut tar = sample();
        for (at, byte) in changes {
            tar[at] = byte;
            if fix { fix_checksum(&mut tar[at / 512 * 512..]); }
        }
        if cut < tar.len() && cut % 2 == 0 { tar.truncate(cut); }
        let m = memory(&tar);
        for entry in Reader::new(m, tar.len()).flatten() {
            prop_assert!(entry.offset + entry.len <= tar.len());
        }
        if let Ok(mut archive) = Archive::new(m, tar.len()) {
            for node in 0..archive.nodes() as u64 + 2 {
                let _ = (archive.stat(node), archive.lookup(node, b"a"), archive.parent(node));
                let _ = archive.list(node, 0, &mut |_| true);
            }
        }
    }

    /// Headers of noise whose checksum is right.
    #[test]
    fn no_header_is_fatal(noise in vec(any::<u8>(), 512..2048), kind in prop::sample::select(b"05xgLK12\0".to_vec())) {
        let mut tar = noise;
        tar[156] = kind;
        tar[124..136].copy_from_slice(b"00000000700\0");
        tar[100..108].copy_from_slice(b"0000644\0");
        fix_checksum(&mut tar);
        let m = memory(&tar);
        prop_assert!(Reader::new(m, tar.len()).count() <= 4);
        let _ = Archive::new(m, tar.len());
    }

    /// The walk against a model with a stack of names.
    #[test]
    fn walks_as_the_model_does(parts in vec(prop::sample::select(vec!["", ".", "..", "a", "b", "c.txt", "x"]), 0..12),
                               absolute in any::<bool>()) {
        let tar = sample();
        let mut tree = Tree::new(Box::new(Archive::new(memory(&tar), tar.len()).unwrap()));
        let path = format!("{}{}", if absolute { "/" } else { "" }, parts.join("/"));
        let root = tree.root();
        let caller = Caller { payer: 0, uid: 0, gid: 0, now: 0 };
        let got = tree.find(&caller, root, path.as_bytes(), Links::Follow);

        let known = |stack: &[&str]| matches!(stack, [] | ["a"] | ["a", "b"] | ["a", "b", "c.txt"]);
        let is_file = |stack: &[&str]| stack.len() == 3;
        let (mut stack, mut ok) = (Vec::new(), !path.is_empty());
        for part in path.split('/').filter(|p| !p.is_empty()) {
            ok &= known(&stack) && !is_file(&stack);
            match part { "." => {} ".." => { stack.pop(); } name => stack.push(name) }
        }
        ok &= known(&stack) && !(is_file(&stack) && path.ends_with('/'));
        prop_assert_eq!(got.is_ok(), ok, "{} {:?}", path, got);
    }
}

#[test]
fn impossible_indices_cost_the_files_and_nothing_else() {
    let Setup { mut server, mut client, world } = setup(&sample());
    client.open(&mut server, b"big", 0);
    let epoch = client.region.epoch();
    client.region.to_client().arm();
    client.region.memory().cell::<AtomicU32>(128).unwrap().store(1000, Ordering::Relaxed);
    let fused = server.notified(set(client.channel));
    assert!(fused == Some(client.channel) || !world.0.lock().unwrap().is_empty());
    assert_eq!(client.region.epoch(), epoch + 1);
    // It begins again, as after a restart.
    let mut client = Client::new(client.region.memory(), 0);
    while client.completions.take().unwrap().is_some() {}
    client.completions.release();
    is_served(&mut server, &mut client);
}
