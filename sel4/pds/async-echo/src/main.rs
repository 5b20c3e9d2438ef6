//! `async_echo`: see the crate `strait-async-echo`.

#![no_std]
#![no_main]

strait_sel4::client!(heap = 1024 * 1024, main = strait_async_echo::main);
