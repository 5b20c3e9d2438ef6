//! `console`: the PL011 UART of the board.

#![no_std]
#![no_main]

use strait_console::{Console, Output};
use strait_pd::{Component, ConfigError, Environment};
use strait_sel4::pl011::Pl011;

strait_sel4::server!(heap = 64 * 1024, main = start);

struct Uart(Pl011);

impl Output for Uart {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }
}

fn start(env: Environment) -> Result<impl Component, ConfigError> {
    let uart = Uart(Pl011::new(env.region("pl011")?));
    Ok(Console::new(&env, uart))
}
