//! `vfs_server`: see the crate `strait-vfs-server`.

#![no_std]
#![no_main]

strait_sel4::server!(main = strait_vfs_server::start);
