//! `supervisor`: see the crate `strait-supervisor`.

#![no_std]
#![no_main]

strait_sel4::server!(heap = 64 * 1024, main = strait_supervisor::Supervisor::new);
