//! `fetch`: see the crate `strait-fetch`.

#![no_std]
#![no_main]

strait_sel4::client!(main = strait_fetch::main);
