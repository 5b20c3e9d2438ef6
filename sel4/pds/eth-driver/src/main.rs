//! `eth_driver`: virtio-net on virtio-mmio.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::{format, string::String};
use core::fmt::Display;

use strait_abi::log::Logger;
use strait_eth_driver::driver::Link;
use strait_eth_driver::virtio::{Memory, VirtioNet};
use strait_eth_driver::{EthDriver, NetDevice};
use strait_pd::{Component, Environment, Region};
use strait_ring::SharedMemory;
use strait_ring::net_queue::{Consumer, Producer, capacity_for};
use strait_sel4::virtio_drivers::transport::DeviceType;
use strait_sel4::{paddr, virtio};

strait_sel4::server!(heap = 64 * 1024, main = start);

fn start(env: Environment) -> Result<impl Component, String> {
    let text = |e: &dyn Display| format!("{e}");
    let region = |name: &str| env.region(name).map_err(|e| text(&e));
    let (rx_data, tx_data) = (region("eth_rx_data")?, region("eth_tx_data")?);
    let memory = Memory {
        own: SharedMemory::attach(region("eth_driver_dma")?),
        own_paddr: paddr!(eth_driver_dma_paddr),
        rx_data_paddr: paddr!(eth_rx_data_paddr),
        tx_data_paddr: paddr!(eth_tx_data_paddr),
    };

    let transport = virtio::find(region("virtio_net")?, DeviceType::Network).ok_or(
        "no virtio-net device in the page of virtio_net; give QEMU `-device virtio-net-device,bus=virtio-mmio-bus.0`",
    )?;
    let device = VirtioNet::new(transport, memory).map_err(|e| format!("the virtio-net device does not start: {e}"))?;
    let m = device.mac();
    let log = Logger::new(&env);
    log.line(format_args!(
        "virtio-net {:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}, link {}",
        m[0],
        m[1],
        m[2],
        m[3],
        m[4],
        m[5],
        if device.link_up() { "up" } else { "down" }
    ));

    let consumer = |name: &str| queue(region(name)?, Consumer::new).ok_or(format!("{name} is no queue"));
    let producer = |name: &str| queue(region(name)?, Producer::new).ok_or(format!("{name} is no queue"));
    let link = Link {
        rx_free: consumer("eth_rx_free")?,
        rx_active: producer("eth_rx_active")?,
        tx_active: consumer("eth_tx_active")?,
        tx_free: producer("eth_tx_free")?,
        rx_bytes: rx_data.size(),
        tx_bytes: tx_data.size(),
        server: env.channel("net_server").map_err(|e| text(&e))?,
    };
    let irq = env.config.irq("virtio_net").map_err(|e| text(&e))?;
    Ok(EthDriver::new(env.pd, device, irq, link))
}

fn queue<Q>(region: Region, new: impl Fn(SharedMemory, u16) -> Option<Q>) -> Option<Q> {
    new(SharedMemory::attach(region), capacity_for(region.size())?)
}
