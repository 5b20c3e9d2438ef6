//! `httpd`: see the crate `strait-httpd`.

#![no_std]
#![no_main]

strait_sel4::client!(heap = 4 * 1024 * 1024, main = strait_httpd::main);
