//! `strait-hosted`: the programs of this repository as Linux processes. See
//! the library.

use std::process::ExitCode;

use strait_hosted::Program;
use strait_hosted::devices::DRIVERS;

const PROGRAMS: &[Program] = &[
    Program::new("net_server", |s| s.serve(|env| strait_net_server::start_with(env, &[strait_family_echo::FAMILY]))),
    Program::new("vfs_server", |s| s.serve(strait_vfs_server::start)),
    Program::new("supervisor", |s| s.serve(strait_supervisor::Supervisor::new)),
    Program::new("echo", |s| strait_echo::main(s.env)),
    Program::new("httpd", |s| strait_httpd::main(s.env)),
    Program::new("fetch", |s| strait_fetch::main(s.env)),
    Program::new("notes", |s| strait_notes::main(s.env)),
    Program::new("netstat", |s| strait_netstat::main(s.env)),
    Program::new("spawner", |s| strait_spawner::main(s.env)),
    Program::new("worker", |s| strait_worker::main(s.env)),
    Program::new("elk", |s| strait_elk::main(s.env)),
    Program::new("async_echo", |s| strait_async_echo::main(s.env)),
    Program::new("relay", |s| strait_relay::main(s.env)),
    Program::new("hostile", |s| strait_hostile::main(s.env)),
    Program::new("victim", |s| strait_victim::main(s.env)),
    Program::new("host", |s| strait_host::main(s.env)),
    Program::new("conformance", |s| strait_conformance::main(s.env)),
    Program::new("bench", |s| strait_bench::main(s.env)),
    Program::new("bench_partner", |s| strait_bench::main_partner(s.env)),
];

fn main() -> ExitCode {
    strait_hosted::main(&[DRIVERS, PROGRAMS].concat())
}
