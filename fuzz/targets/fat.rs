//! A FAT volume with damage anywhere, and operations on it: no panic, no
//! endless loop.
#![no_main]

mod pages;

use arbitrary::Arbitrary;
use std::sync::OnceLock;
use strait_abi::vfs::mode;
use strait_ring::memory::leak_for_tests;
use strait_vfs_server::{
    disk::fake::FakeDisk,
    fat::Fat,
    file_system::{FileSystem, New, Node, Window},
    identity::Caller,
};

const SECTOR: usize = 512;
const CALLER: Caller = Caller { payer: 0, uid: 0, gid: 0, now: 0 };
const NAMES: [&[u8]; 5] = [b"file", b"A longer name.txt", b"DIR", b"dir with a long name", b"x"];

#[derive(Arbitrary, Debug)]
enum Act {
    Make(u8, u8, bool),
    Write(u8, u8, u32, u16),
    Read(u8, u8, u32),
    Unlink(u8, u8, bool),
    Rename(u8, u8, u8, u8),
    Truncate(u8, u8, u32),
    List(u8),
    Name(u8),
    Sync,
    /// Damage while it is in use does not occur; a new start on what is there.
    Restart,
}

#[derive(Arbitrary, Debug)]
struct Input {
    kind: u8,
    /// Sectors of what describes the volume, of the FATs, of the root directory.
    near: Vec<(u16, u8)>,
    far: Vec<(u32, u8)>,
    acts: Vec<Act>,
}

/// Volumes of 512 KiB: FAT12, FAT16 by what its boot sector says, and with
/// files on them.
fn volumes() -> &'static Vec<Vec<u8>> {
    static VOLUMES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    VOLUMES.get_or_init(|| {
        use hadris_fat::{FatKind, FatOptions, sync};
        use hadris_storage::{BlockSize, MemDevice};
        [(FatKind::Fat12, 512 << 10), (FatKind::Fat16, 3 << 20), (FatKind::Fat32, 36 << 20)]
            .into_iter()
            .map(|(kind, size)| {
                let mut device = MemDevice::new(vec![0; size], BlockSize::new(SECTOR as u32).unwrap());
                let options = FatOptions::new().with_kind(kind).with_cluster_size(512);
                sync::format(&mut device, &options).unwrap();
                let mut volume = Volume::new(device.into_inner());
                for (n, name) in NAMES.iter().enumerate() {
                    let format = if n == 2 || n == 3 { mode::DIRECTORY } else { mode::REGULAR };
                    let new = New { mode: format | 0o644, target: b"" };
                    let node = volume.ask(|fat| fat.make(&CALLER, 1, name, new)).unwrap();
                    volume.nodes.push(node);
                    let window = Window::new(volume.memory, 0, 3000).unwrap();
                    if format == mode::REGULAR {
                        volume.ask(|fat| fat.write(&CALLER, node, 0, window)).unwrap();
                    } else {
                        volume.ask(|fat| fat.make(&CALLER, node, b"inner", new)).unwrap();
                    }
                }
                volume.sync();
                volume.disk.crash(1)
            })
            .collect()
    })
}

struct Volume {
    disk: FakeDisk,
    fat: Fat,
    memory: strait_ring::SharedMemory,
    nodes: Vec<Node>,
}

impl Volume {
    fn new(image: Vec<u8>) -> Self {
        let disk = FakeDisk::new(image);
        let fat = Fat::new(Box::new(disk.clone()));
        Self { disk, fat, memory: leak_for_tests(8192), nodes: vec![1] }
    }

    fn ask<T>(
        &mut self,
        mut operation: impl FnMut(&mut Fat) -> Result<T, strait_abi::Errno>,
    ) -> Result<T, strait_abi::Errno> {
        for _ in 0..50_000 {
            self.fat.begin(0);
            let result = operation(&mut self.fat);
            let again = self.fat.is_blocked();
            self.fat.finish(result.is_ok() && !again);
            if !again {
                return result;
            }
            if !self.fat.service() {
                self.disk.step();
                self.fat.service();
            }
        }
        panic!("never ready");
    }

    fn sync(&mut self) {
        let mut ticket = None;
        let _ = self.ask(|fat| {
            let ticket = *ticket.get_or_insert_with(|| fat.sync(1));
            fat.synced(ticket)
        });
    }

    fn node(&self, n: u8) -> Node {
        self.nodes[usize::from(n) % self.nodes.len()]
    }

    fn act(&mut self, act: &Act) {
        let name = |n: u8| NAMES[usize::from(n) % NAMES.len()];
        match *act {
            Act::Make(at, n, directory) => {
                let mode = if directory { mode::DIRECTORY } else { mode::REGULAR } | 0o644;
                let at = self.node(at);
                if let Ok(node) = self.ask(|fat| fat.make(&CALLER, at, name(n), New { mode, target: b"" })) {
                    self.nodes.push(node);
                }
            }
            Act::Write(at, n, offset, len) => {
                if let Some(node) = self.find(at, name(n)) {
                    let window = Window::new(self.memory, 0, usize::from(len) % 8192).unwrap();
                    let _ = self.ask(|fat| fat.write(&CALLER, node, u64::from(offset % 600_000), window));
                }
            }
            Act::Read(at, n, offset) => {
                if let Some(node) = self.find(at, name(n)) {
                    let window = Window::new(self.memory, 0, 8192).unwrap();
                    let _ = self.ask(|fat| fat.read(node, offset.into(), window));
                    let _ = self.ask(|fat| fat.stat(node));
                }
            }
            Act::Unlink(at, n, directory) => {
                let at = self.node(at);
                let _ = self.ask(|fat| fat.unlink(&CALLER, at, name(n), directory));
            }
            Act::Rename(at, n, to, m) => {
                let (at, to) = (self.node(at), self.node(to));
                let _ = self.ask(|fat| fat.rename(&CALLER, (at, name(n)), (to, name(m))));
            }
            Act::Truncate(at, n, size) => {
                if let Some(node) = self.find(at, name(n)) {
                    let _ = self.ask(|fat| fat.truncate(&CALLER, node, u64::from(size % 600_000)));
                }
            }
            Act::List(at) => {
                let at = self.node(at);
                let mut found = Vec::new();
                let _ = self.ask(|fat| {
                    found.clear();
                    fat.list(at, 0, &mut |entry| {
                        found.push(entry.ino);
                        found.len() < 50
                    })
                });
                self.nodes.extend(found.into_iter().take(5));
            }
            Act::Name(at) => {
                let at = self.node(at);
                let mut name = Vec::new();
                let _ = self.ask(|fat| {
                    name.clear();
                    fat.name(at, &mut name)
                });
                let _ = self.ask(|fat| fat.stat_vfs(&CALLER));
            }
            Act::Sync => self.sync(),
            Act::Restart => {
                self.disk.run();
                let disk = FakeDisk::new(self.disk.crash(1));
                self.fat = Fat::new(Box::new(disk.clone()));
                self.disk = disk;
            }
        }
    }

    fn find(&mut self, at: u8, name: &[u8]) -> Option<Node> {
        let at = self.node(at);
        self.ask(|fat| fat.lookup(at, name)).ok()
    }
}

libfuzzer_sys::fuzz_target!(|input: Input| {
    // Made before anything is reclaimed.
    let images = volumes();
    pages::reclaim(|| {
        // A copy of 36 MiB takes its time: FAT32 now and then.
        let which = [0, 0, 0, 0, 1, 1, 1, 2][usize::from(input.kind % 8)];
        let mut image = images[which].clone();
        let near = [20, 80, 700][which] * SECTOR;
        for (at, byte) in &input.near {
            let at = usize::from(*at) % near;
            image[at] = *byte;
        }
        let len = image.len();
        for (at, byte) in &input.far {
            image[*at as usize % len] = *byte;
        }
        let mut volume = Volume::new(image);
        for act in input.acts.iter().take(40) {
            volume.act(act);
        }
        volume.sync();
    });
});
