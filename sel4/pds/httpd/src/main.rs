//! `httpd`: see the crate `strait-httpd`.

#![no_std]
#![no_main]

strait_sel4::client!(main = strait_httpd::main);
