//! `hostile`: see the crate `strait-hostile`.

#![no_std]
#![no_main]

strait_sel4::client!(main = strait_hostile::main);
