//! `timer_driver`: the ARM generic timer of the board.

#![no_std]
#![no_main]

use strait_pd::{Component, ConfigError, Environment};
use strait_sel4::clock::PhysicalTimer;
use strait_timer_driver::{TimerDevice, TimerDriver};

strait_sel4::server!(heap = 64 * 1024, main = start);

struct Device(PhysicalTimer);

impl TimerDevice for Device {
    fn now(&self) -> u64 {
        strait_sel4::clock::now()
    }

    fn arm(&mut self, deadline: Option<u64>) {
        self.0.arm(deadline);
    }
}

fn start(env: Environment) -> Result<impl Component, ConfigError> {
    Ok(TimerDriver::new(env.pd, Device(PhysicalTimer::new()), env.config.irq("timer")?))
}
