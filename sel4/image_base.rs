// Included by the build script of each program: gives every one an address
// range of its own, so that an address in a fault report or a profile tells
// the protection domain. Programs that are not listed stay at the default.

fn main() {
    const PROGRAMS: &[&str] = &[
        "timer_driver",
        "entropy_driver",
        "eth_driver",
        "net_server",
        "vfs_server",
        "console",
        "echo",
        "httpd",
        "fetch",
        "probe",
        "netstat",
        "blk_driver",
        "spawner",
        "worker",
        "notes",
        "elk",
        "async_echo",
        "relay",
        "supervisor",
        "hostile",
        "victim",
        "host",
        "bench",
        "bench_partner",
    ];
    println!("cargo::rerun-if-changed=../../image_base.rs");
    let name = std::env::var("CARGO_PKG_NAME").unwrap_or_default();
    if let Some(n) = PROGRAMS.iter().position(|p| *p == name) {
        println!("cargo::rustc-link-arg=--image-base={:#x}", 0x400_0000 * (n + 1));
    }
}
