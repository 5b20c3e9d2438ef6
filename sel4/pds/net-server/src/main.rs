//! `net_server`: see the crate `strait-net-server`.

#![no_std]
#![no_main]

strait_sel4::server!(main = strait_net_server::start);
