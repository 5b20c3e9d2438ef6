//! The file system in a server that it is registered in.

#[path = "../../../tests/common/mod.rs"]
mod common;

use common::{Client, World, environment, sample};
use strait_abi::{
    Errno,
    vfs::{Request, VERSION, mode, open},
};
use strait_ring::{PAGE, memory::leak_for_tests};
use strait_vfs_server::start_with;

#[test]
fn a_file_system_of_another_crate_is_mounted() {
    let world: &'static World = Box::leak(Box::default());
    let memory = leak_for_tests(64 * PAGE);
    let mut env = environment(world, &sample(), &[("app", memory)]);
    env.config.settings.push(("mounts".into(), "/ archive,/tmp ramfs,/zeros zeros".into()));
    let mut server = start_with(env, &[("zeros", strait_zeros::open)]).unwrap();
    let s = &mut server;
    let mut c = Client::new(memory, 0);
    assert_eq!(c.run(s, Request::Hello { version: VERSION }).result, 0);
    assert_eq!(c.stat(s, b"/zeros").unwrap().mode, mode::DIRECTORY | 0o555);
    let stat = c.stat(s, b"/zeros/70000").unwrap();
    assert_eq!((stat.mode, stat.size), (mode::REGULAR | 0o444, 70_000));
    let file = c.open(s, b"/zeros/70000", open::RDONLY);
    c.data(8192, &[1; 100_000]);
    assert_eq!(c.read_at(s, file, 1, 100_000).unwrap(), vec![0; 69_999]);
    assert_eq!(c.read_at(s, file, 70_000, 10).unwrap(), b"");
    for (path, flags, errno) in [
        ("/zeros/007", open::RDONLY, Errno::ENOENT),
        ("/zeros/many", open::RDONLY, Errno::ENOENT),
        ("/zeros/7/7", open::RDONLY, Errno::ENOTDIR),
        ("/zeros/7", open::WRONLY, Errno::EROFS),
        ("/zeros/new", open::CREAT, Errno::EROFS),
    ] {
        assert_eq!(c.create(s, path, flags, 0o644), Err(errno), "{path}");
    }
    assert_eq!(c.rename(s, "/zeros/7", "/tmp/seven"), Err(Errno::EXDEV));
    assert_eq!(c.list(s, b"/zeros", 4096).unwrap().len(), 2);
}

#[test]
fn what_is_not_registered_is_not_there() {
    let world: &'static World = Box::leak(Box::default());
    let mut env = environment(world, &sample(), &[]);
    env.config.settings.push(("mounts".into(), "/ archive,/zeros zeros".into()));
    let error = start_with(env, &[]).err().unwrap().to_string();
    assert!(error.contains("there is no file system `zeros`; there are archive, fat, ramfs"), "{error}");
}
