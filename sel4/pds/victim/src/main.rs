//! `victim`: see the crate `strait-victim`.

#![no_std]
#![no_main]

strait_sel4::client!(main = strait_victim::main);
