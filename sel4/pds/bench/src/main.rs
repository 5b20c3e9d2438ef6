//! `bench`: see the crate `strait-bench`.

#![no_std]
#![no_main]

strait_sel4::client!(heap = 1024 * 1024, main = strait_bench::main);
