//! `bench_partner`: see the crate `strait-bench`.

#![no_std]
#![no_main]

strait_sel4::client!(heap = 512 * 1024, main = strait_bench::main_partner);
