//! `elk`: see the crate `strait-elk`.

#![no_std]
#![no_main]

strait_sel4::client!(heap = 256 * 1024, main = strait_elk::main);
