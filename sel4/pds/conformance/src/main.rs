//! `conformance`: see the crate `strait-conformance`.

#![no_std]
#![no_main]

strait_sel4::client!(main = strait_conformance::main);
