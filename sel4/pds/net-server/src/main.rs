//! `net_server`: see the crate `strait-net-server`.

#![no_std]
#![no_main]

strait_sel4::server!(main = |env| strait_net_server::start_with(env, &[strait_family_echo::FAMILY]));
