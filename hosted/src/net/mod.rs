//! The network of a run: a namespace of its own with a TAP device, so that it
//! neither needs nor disturbs the machine's network.
//!
//! ```text
//!   original namespace       |  the run's namespace
//!   127.0.0.1:8080 --- relay |--- 10.0.2.2 ==TAP== 10.0.2.15 (net_server)
//!                            |    10.0.2.3, DHCP server
//! ```
//!
//! The addresses are those of QEMU's user networking, so that one
//! configuration serves both worlds.

mod dhcp;
mod namespace;
mod relay;
#[allow(unsafe_code)]
mod tap;

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use anyhow::Result;

pub use namespace::exec;

/// This side of the TAP device; the system's gateway.
const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// Also this side: where tests run a name server.
const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// What the DHCP server gives out.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const NETMASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);

/// What the command line says of the network.
pub struct NetworkOptions {
    /// Whether to make a namespace with addresses and a DHCP server.
    pub setup: bool,
    /// Name of the TAP device.
    pub tap: String,
    /// Port on 127.0.0.1 that leads to the system's port 80; 0 for none.
    pub http_port: u16,
    /// The same for port 7, TCP and UDP.
    pub echo_port: u16,
    /// Further ports on 127.0.0.1 and the system's that they lead to, TCP and
    /// UDP.
    pub more: Vec<(u16, u16)>,
}

/// The network, as long as the process lives.
pub struct Network {
    tap: OwnedFd,
    name: String,
}

impl Network {
    /// Sets it up. This process must have one thread, and moves into the new
    /// namespace.
    pub fn start(options: &NetworkOptions) -> Result<Self> {
        // Sockets stay in the namespace that they were made in.
        let ports = relay::Ports::bind(options.http_port, options.echo_port, &options.more)?;
        if options.setup {
            namespace::enter_new()?;
        }
        let tap = tap::open(&options.tap)?;
        if options.setup {
            tap::configure(&options.tap, &[HOST, NAME_SERVER], NETMASK)?;
            dhcp::start(&options.tap)?;
        }
        ports.serve(GUEST)?;
        Ok(Self { tap, name: options.tap.clone() })
    }

    /// The TAP device.
    pub fn tap(&self) -> &OwnedFd {
        &self.tap
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}
