//! `echo`: see the crate `strait-echo`.

#![no_std]
#![no_main]

strait_sel4::client!(main = strait_echo::main);
