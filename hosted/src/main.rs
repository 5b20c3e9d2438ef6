//! `strait-hosted`: see the library.

use std::process::ExitCode;

use strait_hosted::devices::DRIVERS;

fn main() -> ExitCode {
    strait_hosted::main(DRIVERS)
}
