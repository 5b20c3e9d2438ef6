//! What each of Strait's programs expects of the system description: the one
//! place where code and `microkit.system` meet.
//!
//! A program is known by the name of its image file (`net_server.elf`). One
//! that is not in [`PROGRAMS`], say a user's own component, is held to the
//! general rules only. Whoever changes what a program looks up by name
//! (`Environment::region`, `channel`, `Config::irq`, `Config::setting`)
//! changes its entry here.

use crate::model::Perms;
use crate::value::Kind;

/// One program.
#[derive(Debug)]
pub struct Program {
    /// Name of its image file, without extension.
    pub name: &'static str,
    /// Regions that it must map, and that no other program may.
    pub regions: &'static [Need],
    /// Regions whose physical address it must get, in the symbol
    /// `<region>_paddr`.
    pub physical: &'static [&'static str],
    /// The region of the registers that it drives: to be mapped uncached.
    pub device: Option<&'static str>,
    /// Its interrupt, by name, if it takes one.
    pub irq: Option<Interrupt>,
    /// PDs that it must have a channel to.
    pub channels: &'static [Link],
    /// Whether it does without a log.
    pub silent: bool,
    /// Servers that it must have a session with.
    pub sessions: &'static [&'static Service],
    /// What `strait.toml` may set for it.
    pub settings: &'static [Key],
    /// The port that it binds if the setting `port` does not say another.
    pub port: Option<u16>,
}

/// A region that a program must map.
#[derive(Debug)]
pub struct Need {
    /// Its name.
    pub region: &'static str,
    /// The rights, exactly.
    pub perms: Perms,
    /// The least size in bytes.
    pub min: u64,
    /// The size must be a multiple of this.
    pub unit: u64,
    /// Needed only in a system that has this PD.
    pub with: Option<&'static str>,
}

/// An interrupt of a driver.
#[derive(Debug)]
pub struct Interrupt {
    /// Its name in the PD's configuration.
    pub name: &'static str,
    /// Whether the driver cannot do without.
    pub required: bool,
}

/// A channel that a program must have.
#[derive(Debug)]
pub struct Link {
    /// Name of the PD at the other end.
    pub peer: &'static str,
    /// Whether the program makes protected procedure calls over it.
    pub call: bool,
    /// Needed only where there is a PD of this name.
    pub with: Option<&'static str>,
}

/// A server that clients have sessions with: a region and a channel for each.
#[derive(Debug, PartialEq, Eq)]
pub struct Service {
    /// Name of the server's PD.
    pub server: &'static str,
    /// The session region of the client `c` is called `c_<suffix>`.
    pub suffix: &'static str,
}

/// A key of `strait.toml`.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name, dotted.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
}

/// Sockets.
pub const NET: Service = Service { server: "net_server", suffix: "net" };
/// Files.
pub const VFS: Service = Service { server: "vfs_server", suffix: "vfs" };
/// The heap of `net_server`, whose size the number of sockets decides.
pub const NET_HEAP: &str = "net_server_heap";
/// The heap of `vfs_server`, whose size the number of clients decides.
pub const VFS_HEAP: &str = "vfs_server_heap";
/// All services.
pub const SERVICES: [&Service; 2] = [&NET, &VFS];
/// Least size of a session region: 16 pages.
pub const SESSION_MIN: u64 = 16 * 0x1000;
/// Greatest size of a session region.
pub const SESSION_MAX: u64 = 256 * 1024 * 1024;
/// The PD that gathers the logs.
pub const CONSOLE: &str = "console";
/// The program that looks after the PDs nested in its own.
pub const SUPERVISOR: &str = "supervisor";
/// Least size of a log region.
pub const LOG_MIN: u64 = 0x1000;
/// The symbol through which a PD finds its configuration.
pub const CONFIG_SYMBOL: &str = "strait_config";

/// Bytes of a driver queue: header and 512 descriptors (sDDF's `net_queue`).
const QUEUE: u64 = 8 + 16 * 512;
/// Bytes of the queues to a block driver (`strait_abi::blk`).
const BLK_QUEUE: u64 = 0x3000;
/// Bytes in whose multiples their client divides the data region.
const BLK_DATA: u64 = 0x4000;
/// Bytes of a frame buffer.
const FRAME: u64 = 2048;

const fn queue(region: &'static str) -> Need {
    Need { region, perms: Perms::RW, min: QUEUE, unit: 1, with: None }
}

/// At least 64 frames.
const fn frames(region: &'static str, perms: Perms) -> Need {
    Need { region, perms, min: 64 * FRAME, unit: FRAME, with: None }
}

/// The key of what clients carry from `vfs_server` to `net_server`, and what
/// the latter dropped of it.
const TOKENS: Need = Need { region: "vfs_tokens", perms: Perms::RW, min: 0x9000, unit: 1, with: Some("vfs_server") };

const fn blk_data(perms: Perms) -> Need {
    Need { region: "blk_data", perms, min: BLK_DATA, unit: BLK_DATA, with: Some("blk_driver") }
}

const BLK_QUEUES: Need =
    Need { region: "blk_queue", perms: Perms::RW, min: BLK_QUEUE, unit: 1, with: Some("blk_driver") };

const fn notify(peer: &'static str) -> Link {
    Link { peer, call: false, with: None }
}

const fn call(peer: &'static str) -> Link {
    Link { peer, call: true, with: None }
}

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind }
}

/// Every client's settings: its user and group, for all servers.
pub const IDENTITY: &[Key] = &[key("identity.uid", Kind::Number), key("identity.gid", Kind::Number)];

/// Expects nothing.
const NOTHING: Program = Program {
    name: "",
    regions: &[],
    physical: &[],
    device: None,
    irq: None,
    channels: &[],
    silent: false,
    sessions: &[],
    settings: &[],
    port: None,
};

/// All programs of this repository.
pub const PROGRAMS: &[Program] = &[
    Program {
        name: "eth_driver",
        regions: &[
            queue("eth_rx_free"),
            queue("eth_rx_active"),
            queue("eth_tx_free"),
            queue("eth_tx_active"),
            // The driver passes frames on and never looks into them.
            frames("eth_rx_data", Perms::R),
            frames("eth_tx_data", Perms::R),
            Need { region: "eth_driver_dma", perms: Perms::RW, min: 0x1_0000, unit: 1, with: None },
        ],
        physical: &["eth_rx_data", "eth_tx_data", "eth_driver_dma"],
        device: Some("virtio_net"),
        irq: Some(Interrupt { name: "virtio_net", required: true }),
        channels: &[notify("net_server")],
        ..NOTHING
    },
    Program { name: "timer_driver", irq: Some(Interrupt { name: "timer", required: true }), silent: true, ..NOTHING },
    Program {
        name: "entropy_driver",
        regions: &[Need { region: "entropy_driver_dma", perms: Perms::RW, min: 0x1000, unit: 1, with: None }],
        physical: &["entropy_driver_dma"],
        device: Some("virtio_rng"),
        irq: Some(Interrupt { name: "virtio_rng", required: false }),
        ..NOTHING
    },
    Program {
        name: "blk_driver",
        regions: &[
            BLK_QUEUES,
            // The driver never looks into the data.
            blk_data(Perms::R),
            Need { region: "blk_driver_dma", perms: Perms::RW, min: 0x4000, unit: 1, with: None },
        ],
        physical: &["blk_data", "blk_driver_dma"],
        device: Some("virtio_blk"),
        irq: Some(Interrupt { name: "virtio_blk", required: true }),
        channels: &[notify("vfs_server")],
        ..NOTHING
    },
    Program {
        name: "console",
        device: Some("pl011"),
        irq: Some(Interrupt { name: "pl011", required: false }),
        ..NOTHING
    },
    Program {
        name: "net_server",
        regions: &[
            queue("eth_rx_free"),
            queue("eth_rx_active"),
            queue("eth_tx_free"),
            queue("eth_tx_active"),
            frames("eth_rx_data", Perms::RW),
            frames("eth_tx_data", Perms::RW),
            TOKENS,
            Need { region: NET_HEAP, perms: Perms::RW, min: 1, unit: 1, with: None },
        ],
        channels: &[
            call("eth_driver"),
            call("timer_driver"),
            call("entropy_driver"),
            // Open files that clients passed on and nobody got.
            Link { with: Some("vfs_server"), ..notify("vfs_server") },
        ],
        settings: &[
            key("ipv4.mode", Kind::OneOf(&["dhcp", "static"])),
            key("ipv4.address", Kind::Ipv4Prefixes),
            key("ipv4.gateway", Kind::Ipv4),
            key("ipv4.dns", Kind::Ipv4List),
            key("ipv6.mode", Kind::OneOf(&["auto", "static", "off"])),
            key("ipv6.address", Kind::Ipv6Prefixes),
            key("ipv6.gateway", Kind::Ipv6),
            key("ipv6.dns", Kind::Ipv6List),
            key("family.echo", Kind::OneOf(&["true", "false"])),
        ],
        ..NOTHING
    },
    Program {
        name: "vfs_server",
        regions: &[
            Need { region: "vfs_archive", perms: Perms::R, min: 1024, unit: 1, with: None },
            TOKENS,
            BLK_QUEUES,
            blk_data(Perms::RW),
            Need { region: VFS_HEAP, perms: Perms::RW, min: 1, unit: 1, with: None },
        ],
        channels: &[call("entropy_driver"), Link { with: Some("blk_driver"), ..call("blk_driver") }],
        settings: &[
            key("mounts", Kind::Mounts),
            key("quota.pages", Kind::Number),
            key("quota.inodes", Kind::Number),
            key("fat.uid", Kind::Number),
            key("fat.gid", Kind::Number),
            key("fat.umask", Kind::Permissions),
        ],
        ..NOTHING
    },
    Program { name: SUPERVISOR, ..NOTHING },
    Program {
        name: "echo",
        sessions: &[&NET],
        settings: &[key("port", Kind::Port), key("groups", Kind::Groups)],
        port: Some(7),
        ..NOTHING
    },
    Program {
        name: "httpd",
        sessions: &[&NET, &VFS],
        settings: &[key("port", Kind::Port), key("root", Kind::AbsolutePath)],
        port: Some(80),
        ..NOTHING
    },
    Program {
        name: "notes",
        sessions: &[&NET, &VFS],
        settings: &[key("port", Kind::Port)],
        port: Some(1717),
        ..NOTHING
    },
    Program { name: "netstat", sessions: &[&NET], settings: &[key("port", Kind::Port)], port: Some(15), ..NOTHING },
    Program {
        name: "spawner",
        sessions: &[&NET, &VFS],
        settings: &[key("port", Kind::Port), key("file", Kind::AbsolutePath), key("worker", Kind::AbsolutePath)],
        port: Some(7100),
        ..NOTHING
    },
    Program {
        name: "worker",
        sessions: &[&NET, &VFS],
        settings: &[key("socket", Kind::AbsolutePath), key("serves", Kind::Number)],
        ..NOTHING
    },
    Program {
        name: "elk",
        sessions: &[&NET, &VFS],
        settings: &[key("port", Kind::Port), key("directory", Kind::AbsolutePath)],
        port: Some(7200),
        ..NOTHING
    },
    Program {
        name: "async_echo",
        sessions: &[&NET],
        settings: &[key("port", Kind::Port)],
        port: Some(7007),
        ..NOTHING
    },
    Program {
        name: "relay",
        sessions: &[&NET],
        settings: &[key("port", Kind::Port), key("to", Kind::Endpoint)],
        port: Some(7300),
        ..NOTHING
    },
    Program { name: "hostile", sessions: &[&NET, &VFS], ..NOTHING },
    Program { name: "victim", sessions: &[&NET, &VFS], ..NOTHING },
    Program {
        name: "host",
        sessions: &[&NET, &VFS],
        settings: &[key("port", Kind::Port)],
        port: Some(7400),
        ..NOTHING
    },
    Program {
        name: "conformance",
        sessions: &[&NET],
        settings: &[key("only", Kind::Text), key("after", Kind::Text)],
        ..NOTHING
    },
    Program {
        name: "bench",
        sessions: &[&NET, &VFS],
        settings: &[key("rounds", Kind::Number), key("only", Kind::Text)],
        ..NOTHING
    },
    Program { name: "bench_partner", sessions: &[&NET, &VFS], ..NOTHING },
    Program { name: "fetch", sessions: &[&NET], settings: &[key("url", Kind::HttpUrl)], ..NOTHING },
];

/// The program called `name`, if it is one of this repository.
pub fn program(name: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|p| p.name == name)
}
