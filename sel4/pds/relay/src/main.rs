//! `relay`: see the crate `strait-relay`.

#![no_std]
#![no_main]

strait_sel4::client!(heap = 256 * 1024, main = strait_relay::main);
