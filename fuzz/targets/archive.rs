//! The boot archive: whatever is in it, indexing ends, and what it lists is
//! there.
#![no_main]

mod pages;

#[path = "../../vfs-server/tests/common/mod.rs"]
mod common;

use strait_vfs_server::{
    archive::Archive,
    identity::Caller,
    tree::{Links, Tree},
};

const ROOT: Caller = Caller { payer: 0, uid: 0, gid: 0, now: 0 };

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    pages::reclaim(|| {
        // A fuzzer does not guess checksums.
        let mut bytes = bytes.to_vec();
        for header in bytes.chunks_exact_mut(512).filter(|h| &h[257..262] == b"ustar") {
            common::fix_checksum(header);
        }
        let Ok(archive) = Archive::new(common::memory(&bytes), bytes.len()) else { return };
        let mut tree = Tree::new(Box::new(archive));
        let root = tree.root();
        let mut names = Vec::new();
        tree.list(root, 0, &mut |entry| {
            names.push(entry.name.to_vec());
            names.len() < 1000
        })
        .unwrap();
        for name in names {
            let place = tree.find(&ROOT, root, &name, Links::Follow).unwrap();
            tree.stat(place).unwrap();
        }
    });
});
