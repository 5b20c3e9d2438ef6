//! `host`: see the crate `strait-host`.

#![no_std]
#![no_main]

strait_sel4::client!(heap = 512 * 1024, main = strait_host::main);
