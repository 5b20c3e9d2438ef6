//! `entropy_driver`: virtio-rng on virtio-mmio.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::{format, string::String};

use strait_abi::log::Logger;
use strait_entropy_driver::{EntropyDriver, virtio::VirtioRng};
use strait_pd::{Component, Environment};
use strait_sel4::virtio_drivers::transport::DeviceType;
use strait_sel4::{dma, paddr, virtio};

strait_sel4::server!(heap = 64 * 1024, main = start);

fn start(env: Environment) -> Result<impl Component, String> {
    let region = |name: &str| env.region(name).map_err(|e| format!("{e}"));
    dma::init(region("entropy_driver_dma")?, paddr!(entropy_driver_dma_paddr));
    let transport = virtio::find(region("virtio_rng")?, DeviceType::EntropySource).ok_or(
        "no virtio-rng device in the page of virtio_rng; give QEMU `-device virtio-rng-device,bus=virtio-mmio-bus.8`",
    )?;
    let source = VirtioRng::<dma::Regions, _>::new(transport)
        .map_err(|e| format!("the virtio-rng device does not start: {e}"))?;
    Logger::new(&env).line(format_args!("virtio-rng"));
    Ok(EntropyDriver::new(source))
}
