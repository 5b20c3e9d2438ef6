//! `fetch`: see the crate `strait-fetch`.

#![no_std]
#![no_main]

strait_sel4::client!(heap = 1024 * 1024, main = strait_fetch::main);
