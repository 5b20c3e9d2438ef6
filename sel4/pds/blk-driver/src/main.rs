//! `blk_driver`: virtio-blk on virtio-mmio.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::{format, string::String};

use strait_abi::blk::DriverEnd;
use strait_abi::log::Logger;
use strait_blk_driver::virtio::{Memory, VirtioBlk};
use strait_blk_driver::{BlkDriver, BlockDevice};
use strait_pd::{Component, Environment};
use strait_ring::SharedMemory;
use strait_sel4::virtio_drivers::transport::DeviceType;
use strait_sel4::{paddr, virtio};

strait_sel4::server!(heap = 64 * 1024, main = start);

fn start(env: Environment) -> Result<impl Component, String> {
    let region = |name: &str| env.region(name).map_err(|e| format!("{e}"));
    let memory = Memory {
        own: SharedMemory::attach(region("blk_driver_dma")?),
        own_paddr: paddr!(blk_driver_dma_paddr),
        data_paddr: paddr!(blk_data_paddr),
    };
    let transport = virtio::find(region("virtio_blk")?, DeviceType::Block).ok_or(
        "no virtio-blk device in the page of virtio_blk; give QEMU `-device virtio-blk-device,bus=virtio-mmio-bus.16,drive=...`",
    )?;
    let disk = VirtioBlk::new(transport, memory).map_err(|e| format!("the virtio-blk device does not start: {e}"))?;
    Logger::new(&env).line(format_args!(
        "virtio-blk, {} KiB{}",
        disk.capacity() / 2,
        if disk.read_only() { ", read-only" } else { "" }
    ));
    let link = DriverEnd::new(SharedMemory::attach(region("blk_queue")?)).ok_or("blk_queue is no queue")?;
    let client = env.channel("vfs_server").map_err(|e| format!("{e}"))?;
    let irq = env.config.irq("virtio_blk").map_err(|e| format!("{e}"))?;
    Ok(BlkDriver::new(env.pd, disk, irq, client, link, region("blk_data")?.size()))
}
