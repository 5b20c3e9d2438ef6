//! The drivers' devices, by means of Linux.
//!
//! | PD | device |
//! |---|---|
//! | `eth_driver` | a TAP device, [`tap`] |
//! | `blk_driver` | a file, [`disk`] |
//! | `timer_driver` | a timerfd, [`timer`] |
//! | `entropy_driver` | getrandom(2) |
//! | `console` | standard output |

mod carrier;
mod disk;
mod tap;
mod timer;

use std::io::Write;

use anyhow::{Context, Result};
use rustix::rand::{GetRandomFlags, getrandom};
use strait_abi::blk::DriverEnd;
use strait_abi::log::Logger;
use strait_blk_driver::{BlkDriver, BlockDevice};
use strait_console::{Console, Output};
use strait_entropy_driver::{EntropyDriver, EntropySource};
use strait_eth_driver::driver::Link;
use strait_eth_driver::{EthDriver, NetDevice};
use strait_pd::Component;
use strait_ring::SharedMemory;
use strait_ring::net_queue::{Consumer, Producer, capacity_for};
use strait_timer_driver::TimerDriver;

use crate::process::{Program, Start};

/// The drivers, for a binary's table of programs.
pub const DRIVERS: &[Program] = &[
    // Here the driver copies the frames, for there is no DMA.
    Program { tap: true, writable: &["eth_rx_data"], ..Program::new("eth_driver", |s| run(s, eth_driver)) },
    Program { disk: true, writable: &["blk_data"], ..Program::new("blk_driver", |s| run(s, blk_driver)) },
    Program::new("timer_driver", |s| run(s, timer_driver)),
    Program::new("entropy_driver", |s| run(s, entropy_driver)),
    Program::new("console", |s| run(s, |s| Ok(Console::new(&s.env, Stdout)))),
];

fn run<C: Component>(mut start: Start, make: impl FnOnce(&mut Start) -> Result<C>) -> ! {
    match make(&mut start) {
        Ok(mut component) => start.serve_component(&mut component),
        Err(e) => panic!("cannot start: {e:#}"),
    }
}

fn eth_driver(start: &mut Start) -> Result<impl Component + use<>> {
    let queue = |name: &str| -> Result<(SharedMemory, u16)> {
        let region = start.env.region(name)?;
        let capacity = capacity_for(region.size()).with_context(|| format!("region `{name}` is too small"))?;
        Ok((SharedMemory::attach(region), capacity))
    };
    let consumer = |name| queue(name).and_then(|(m, n)| Consumer::new(m, n).context("the queue does not fit"));
    let producer = |name| queue(name).and_then(|(m, n)| Producer::new(m, n).context("the queue does not fit"));
    let rx_data = SharedMemory::attach(start.env.region("eth_rx_data")?);
    let tx_data = SharedMemory::attach(start.env.region("eth_tx_data")?);
    let link = Link {
        rx_free: consumer("eth_rx_free")?,
        rx_active: producer("eth_rx_active")?,
        tx_active: consumer("eth_tx_active")?,
        tx_free: producer("eth_tx_free")?,
        rx_bytes: rx_data.len(),
        tx_bytes: tx_data.len(),
        server: start.env.channel("net_server")?,
    };
    let irq = start.env.config.irq("virtio_net")?;
    let tap = start.tap.take().context("the supervisor passed no TAP device")?;
    let device = tap::Tap::new(start, irq, tap, rx_data, tx_data)?;
    let [a, b, c, d, e, f] = device.mac();
    Logger::new(&start.env).line(format_args!("TAP device, {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"));
    Ok(EthDriver::new(start.env.pd, device, irq, link))
}

fn blk_driver(start: &mut Start) -> Result<impl Component + use<>> {
    let data = SharedMemory::attach(start.env.region("blk_data")?);
    let queue = SharedMemory::attach(start.env.region("blk_queue")?);
    let link = DriverEnd::new(queue).context("region `blk_queue` is too small")?;
    let file = start.disk.take().context("the supervisor passed no disk")?;
    let disk = disk::Disk::new(file.into(), data)?;
    Logger::new(&start.env).line(format_args!("file as disk, {} KiB", disk.capacity() / 2));
    let irq = start.env.config.irq("virtio_blk")?;
    Ok(BlkDriver::new(start.env.pd, disk, irq, start.env.channel("vfs_server")?, link, data.len()))
}

fn timer_driver(start: &mut Start) -> Result<impl Component + use<>> {
    let irq = start.env.config.irq("timer")?;
    let device = timer::Timer::new(start, irq)?;
    Ok(TimerDriver::new(start.env.pd, device, irq))
}

fn entropy_driver(start: &mut Start) -> Result<impl Component + use<>> {
    Logger::new(&start.env).line(format_args!("getrandom"));
    Ok(EntropyDriver::new(Kernel))
}

/// The kernel's random numbers; never waits once the machine has booted.
struct Kernel;

impl EntropySource for Kernel {
    fn begin(&mut self) {}

    fn poll(&mut self, into: &mut [u8]) -> Option<usize> {
        getrandom(into, GetRandomFlags::empty()).ok()
    }
}

/// Standard output; lines end as on Linux.
struct Stdout;

impl Output for Stdout {
    fn write(&mut self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        // If nobody reads any more there is nobody to tell.
        let _ = match bytes.strip_suffix(b"\r\n") {
            Some(line) => out.write_all(line).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()),
            None => out.write_all(bytes),
        };
    }
}
