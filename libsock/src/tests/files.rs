//! The file calls against `vfs_server` itself, by two processes.

extern crate std;

use alloc::{boxed::Box, collections::VecDeque, format, vec, vec::Vec};
use core::cell::{Cell, RefCell};

use strait_abi::{
    Errno,
    vfs::{AT_FDCWD, PIPE_BUF, PIPE_BYTES, mode, open, seek, token},
};
use strait_pd::{Channel, ChannelConfig, ChannelSet, Component, Config, Environment, Message, Pd, RegionConfig};
use strait_ring::{
    PAGE, SharedMemory,
    memory::{environment_for_tests, leak_for_tests},
};
use strait_vfs_server::{VfsServer, start};

use super::*;
use crate::fs;

/// The machine: a server and its clients, of which one runs at a time.
#[derive(Default)]
pub struct Machine {
    server: RefCell<Option<VfsServer>>,
    /// Notifications of clients.
    woken: [Cell<bool>; 2],
    /// What happens while a client sleeps.
    steps: RefCell<VecDeque<Box<dyn FnOnce()>>>,
    waits: Cell<usize>,
}

/// A PD's view of it.
struct View {
    machine: &'static Machine,
    client: Option<usize>,
}

impl Pd for View {
    fn notify(&self, channel: Channel) {
        match self.client {
            // The server, to its client.
            None => self.machine.woken[channel.index()].set(true),
            Some(client) => {
                let mut server = self.machine.server.borrow_mut();
                let told = server.as_mut().unwrap().notified(ChannelSet(1 << client));
                if let Some(channel) = told {
                    self.machine.woken[channel.index()].set(true);
                }
            }
        }
    }

    fn irq_ack(&self, _: Channel) {}

    fn call(&self, _: Channel, message: &mut Message) {
        *message = Message::from_words(0, &[5, 6]);
    }

    fn wait(&self) -> ChannelSet {
        let client = self.client.unwrap();
        self.machine.waits.set(self.machine.waits.get() + 1);
        while !self.machine.woken[client].take() {
            let step = self.machine.steps.borrow_mut().pop_front();
            step.expect("sleeps for ever")();
        }
        ChannelSet(1)
    }

    fn poll(&self) -> ChannelSet {
        ChannelSet::EMPTY
    }

    fn now(&self) -> u64 {
        1_000_000_000
    }

    fn debug_write(&self, _: &[u8]) {}
}

fn view(machine: &'static Machine, client: Option<usize>) -> &'static View {
    Box::leak(Box::new(View { machine, client }))
}

fn environment(
    view: &'static View,
    name: &str,
    channels: &[(&str, u8)],
    regions: &[(&str, SharedMemory)],
) -> Environment {
    let config = Config {
        name: name.into(),
        regions: regions
            .iter()
            .map(|(name, _)| RegionConfig { name: (*name).into(), vaddr: 0, size: 0, prefill: 0, writable: true })
            .collect(),
        channels: channels
            .iter()
            .map(|(peer, id)| ChannelConfig { peer: (*peer).into(), id: *id, can_call: true })
            .collect(),
        irqs: vec![],
        children: vec![],
        settings: vec![("mounts".into(), "/ ramfs,/tmp ramfs".into())],
    };
    environment_for_tests(view, config, regions)
}

/// Two processes with sessions of `pages` pages.
fn processes_with(pages: usize) -> (&'static Machine, Process, Process) {
    let machine: &'static Machine = Box::leak(Box::default());
    let (a, b) = (leak_for_tests(pages * PAGE), leak_for_tests(pages * PAGE));
    let regions = [("a_vfs", a), ("b_vfs", b), (token::REGION, leak_for_tests(token::REGION_BYTES))];
    let channels = [("a", 0), ("b", 1), ("entropy_driver", 2)];
    let server = start(environment(view(machine, None), "vfs_server", &channels, &regions)).unwrap();
    *machine.server.borrow_mut() = Some(server);
    let client = |i, name: &str, region: &str, memory| {
        let env = environment(view(machine, Some(i)), name, &[("vfs_server", 0)], &[(region, memory)]);
        Process::new(&env).unwrap()
    };
    let (a, b) = (client(0, "a", "a_vfs", a), client(1, "b", "b_vfs", b));
    (machine, a, b)
}

pub fn processes() -> (&'static Machine, Process, Process) {
    processes_with(64)
}

const RW: u32 = open::RDWR | open::CREAT;

#[test]
fn files_are_written_and_read() {
    for pages in [16, 512] {
        let (machine, p, _) = processes_with(pages);
        let fd = p.open("/tmp/f", RW | open::EXCL, 0o666).unwrap();
        let data: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        assert_eq!(p.write(fd, &data), Ok(data.len()));
        assert_eq!(p.lseek(fd, 0, seek::CUR), Ok(100_000));
        assert_eq!(p.lseek(fd, -99_999, seek::END), Ok(1));
        let mut got = vec![0; 100_010];
        assert_eq!(p.read(fd, &mut got), Ok(99_999));
        assert!(got[..99_999] == data[1..]);
        assert_eq!(p.pwrite(fd, b"zz", 5), Ok(2));
        assert_eq!(p.pread(fd, &mut got[..4], 4), Ok(4));
        assert_eq!(&got[..4], b"\x04zz\x07");
        assert_eq!(p.read(fd, &mut got), Ok(0));
        assert_eq!(p.ftruncate(fd, 6), Ok(()));
        assert_eq!((p.fstat(fd).unwrap().size, p.fstat(fd).unwrap().mode), (6, mode::REGULAR | 0o644));
        assert_eq!(p.fsync(fd), Ok(()));
        assert_eq!(p.writev(fd, &[b"ab", b"", b"c"]), Ok(3));
        let (mut x, mut y) = ([0; 3], [0; 9]);
        p.lseek(fd, 99_999, seek::SET).unwrap();
        assert_eq!(p.readv(fd, &mut [&mut x, &mut y]), Ok(4));
        assert_eq!((&x, &y[..2]), (b"\0ab", &b"c\0"[..]));
        p.fcntl(fd, F_SETFL, O_APPEND as i32).unwrap();
        p.lseek(fd, 0, seek::SET).unwrap();
        assert_eq!(p.write(fd, b"!"), Ok(1));
        assert_eq!(p.lseek(fd, 0, seek::CUR), Ok(100_004));
        assert_eq!(p.truncate("/tmp/f", 2), Ok(()));
        assert_eq!(fs::read(&p, "/tmp/f").unwrap(), b"\0\x01");
        let again = p.dup(fd).unwrap();
        p.close(fd).unwrap();
        assert_eq!(p.write(again, b"x"), Ok(1));
        let reader = p.open("/tmp/f", open::RDONLY, 0).unwrap();
        assert_eq!(p.write(reader, b"x"), Err(Errno::EBADF));
        assert_eq!(p.ftruncate(reader, 0), Err(Errno::EINVAL));
        assert_eq!(p.open("/tmp/f", RW | open::EXCL, 0o666), Err(Errno::EEXIST));
        let path = p.open("/tmp/f", open::PATH, 0).unwrap();
        assert_eq!(p.read(path, &mut [0]), Err(Errno::EBADF));
        assert_eq!(p.lseek(path, 0, seek::CUR), Err(Errno::EBADF));
        assert_eq!(p.fchmod(path, 0o600), Err(Errno::EBADF));
        assert_eq!(p.fchmod(reader, 0o600), Ok(()));
        assert_eq!(p.fstat(path).unwrap().mode, mode::REGULAR | 0o600);
        assert_eq!(machine.waits.get(), 0);
    }
}

#[test]
fn paths_begin_at_the_working_directory() {
    let (_, p, _) = processes();
    let cwd = |p: &Process| {
        let mut path = [0; 4096];
        let n = p.getcwd(&mut path)?;
        Ok::<_, Errno>(alloc::string::String::from_utf8(path[..n].to_vec()).unwrap())
    };
    assert_eq!(cwd(&p), Ok("/".into()));
    p.chdir("tmp").unwrap();
    assert_eq!(p.umask(0o077), 0o022);
    p.mkdir("d", 0o777).unwrap();
    assert_eq!(p.stat("/tmp/d").unwrap().mode, mode::DIRECTORY | 0o700);
    p.chdir("d/../d/.").unwrap();
    assert_eq!(cwd(&p), Ok("/tmp/d".into()));
    assert_eq!(p.getcwd(&mut [0; 3]), Err(Errno::ERANGE));
    assert_eq!(p.getcwd(&mut []), Err(Errno::EINVAL));
    fs::write(&p, "f", "text").unwrap();
    assert_eq!(p.chdir("f"), Err(Errno::ENOTDIR));
    assert_eq!(p.chdir("none"), Err(Errno::ENOENT));
    p.rename("/tmp/d", "/tmp/e").unwrap();
    assert_eq!(cwd(&p), Ok("/tmp/e".into()));
    assert_eq!(fs::read(&p, "f").unwrap(), b"text");
    let d = p.open(".", open::DIRECTORY, 0).unwrap();
    p.chdir("/").unwrap();
    // The *at calls, at a descriptor.
    assert_eq!(p.symlinkat("f", d, "l"), Ok(()));
    let mut target = [0; 9];
    assert_eq!(p.readlinkat(d, "l", &mut target), Ok(1));
    assert_eq!(p.readlinkat(d, "l", &mut []), Err(Errno::EINVAL));
    assert_eq!(p.readlink("", &mut target), Err(Errno::ENOENT));
    assert_eq!(p.linkat(d, "f", AT_FDCWD, "/tmp/e/g", 0), Ok(()));
    assert_eq!(p.renameat(d, "g", d, "h"), Ok(()));
    assert_eq!(p.faccessat(d, "h", 6, 0), Ok(()));
    assert_eq!(p.fchmodat(d, "h", 0o400, 0), Ok(()));
    assert_eq!(p.faccessat(d, "h", 2, 0), Err(Errno::EACCES));
    assert_eq!(p.mknodat(d, "s", mode::SOCKET | 0o777, 0), Ok(()));
    assert_eq!(p.openat(d, "s", open::RDONLY, 0), Err(Errno::ENXIO));
    assert_eq!(p.fstatat(d, "f", 0).unwrap().nlink, 2);
    assert_eq!(p.mkdirat(d, "sub", 0o755), Ok(()));
    let mut names: Vec<_> = fs::read_dir(&p, "/tmp/e").unwrap().iter().map(|e| format!("{e:?}")).collect();
    names.sort();
    assert_eq!(names.len(), 5);
    for name in ["f", "h", "l", "s"] {
        assert_eq!(p.unlinkat(d, name, 0), Ok(()));
    }
    assert_eq!(p.rmdir("/tmp/e"), Err(Errno::ENOTEMPTY));
    p.rmdir("/tmp/e/sub").unwrap();
    p.fchdir(d).unwrap();
    p.rmdir("/tmp/e").unwrap();
    assert_eq!(cwd(&p), Err(Errno::ENOENT));
    assert_eq!(p.open("x", RW, 0o600), Err(Errno::ENOENT));
    assert_eq!(p.statvfs("/tmp").unwrap().namemax, 255);
    assert!(p.fstatvfs(d).unwrap().bfree > 0);
    let f = p.open("/tmp/plain", RW, 0o600).unwrap();
    assert_eq!(p.openat(f, "x", 0, 0), Err(Errno::ENOTDIR));
    assert_eq!(p.fchdir(f), Err(Errno::ENOTDIR));
    assert_eq!(p.list(f, |_| {}), Err(Errno::ENOTDIR));
}

#[test]
fn opening_a_fifo_waits_for_the_other_end() {
    let (machine, p, q) = processes();
    p.umask(0);
    p.mkfifo("/tmp/p", 0o666).unwrap();
    assert_eq!(p.open("/tmp/p", open::WRONLY | open::NONBLOCK, 0), Err(Errno::ENXIO));
    let other = q.clone();
    machine.steps.borrow_mut().push_back(Box::new(move || {
        let fd = other.open("/tmp/p", open::WRONLY, 0).unwrap();
        assert_eq!(fd, 3);
    }));
    let r = p.open("/tmp/p", open::RDONLY, 0).unwrap();
    // A read waits for what the other writes, and ends when it closes.
    let other = q.clone();
    machine.steps.borrow_mut().push_back(Box::new(move || assert_eq!(other.write(3, b"hello"), Ok(5))));
    let mut got = [0; 9];
    assert_eq!(p.read(r, &mut got), Ok(5));
    assert_eq!(p.poll(&mut [PollFd::new(r, POLLIN)], 0), Ok(0));
    let other = q.clone();
    machine.steps.borrow_mut().push_back(Box::new(move || other.close(3).unwrap()));
    let mut fds = [PollFd::new(r, POLLIN)];
    assert_eq!(p.poll(&mut fds, -1), Ok(1));
    assert_eq!(fds[0].revents, POLLHUP);
    assert_eq!(p.read(r, &mut got), Ok(0));
    assert_eq!(p.pread(r, &mut got, 0), Err(Errno::ESPIPE));
    assert_eq!(p.lseek(r, 0, seek::SET), Err(Errno::ESPIPE));
    p.close(r).unwrap();
    let r = p.open("/tmp/p", open::RDONLY | open::NONBLOCK, 0).unwrap();
    assert_eq!(p.read(r, &mut got), Ok(0));
    let w = q.open("/tmp/p", open::WRONLY | open::NONBLOCK, 0).unwrap();
    assert_eq!(p.read(r, &mut got), Err(Errno::EAGAIN));
    p.close(r).unwrap();
    assert_eq!(q.write(w, b"x"), Err(Errno::EPIPE));
    assert!(machine.steps.borrow().is_empty());
}

#[test]
fn a_long_write_to_a_pipe_waits_for_room_and_is_whole() {
    let (machine, p, _) = processes();
    let (r, w) = p.pipe2(0).unwrap();
    let data: Vec<u8> = (0..3 * PIPE_BYTES).map(|i| (i % 253) as u8).collect();
    let got = alloc::rc::Rc::new(RefCell::new(Vec::new()));
    for _ in 0..60 {
        let (p, got) = (p.clone(), got.clone());
        machine.steps.borrow_mut().push_back(Box::new(move || {
            let mut part = vec![0; 5000];
            let n = p.read(r, &mut part).unwrap();
            got.borrow_mut().extend_from_slice(&part[..n]);
        }));
    }
    assert_eq!(p.write(w, &data), Ok(data.len()));
    machine.steps.borrow_mut().clear();
    let n = data.len() - got.borrow().len();
    let mut rest = vec![0; n];
    let mut done = 0;
    while done < n {
        done += p.read(r, &mut rest[done..]).unwrap();
    }
    got.borrow_mut().extend_from_slice(&rest);
    assert!(*got.borrow() == data);
    // Without waiting, what fits; small writes whole or not at all.
    p.fcntl(w, F_SETFL, O_NONBLOCK as i32).unwrap();
    assert_eq!(p.write(w, &data), Ok(PIPE_BYTES));
    assert_eq!(p.write(w, b"x"), Err(Errno::EAGAIN));
    p.read(r, &mut vec![0; PIPE_BUF - 1]).unwrap();
    assert_eq!(p.write(w, &[0; PIPE_BUF]), Err(Errno::EAGAIN));
    assert_eq!(p.writev(w, &[&[1; PIPE_BUF - 1], b"y"]), Err(Errno::EAGAIN));
    assert_eq!(p.writev(w, &[&[1; PIPE_BUF - 2], b"y"]), Ok(PIPE_BUF - 1));
    let mut n = [0; 4];
    p.ioctl(r, FIONREAD, &mut n).unwrap();
    assert_eq!(u32::from_ne_bytes(n) as usize, PIPE_BYTES);
    assert_eq!(p.fstat(r).unwrap().mode & mode::FORMAT, mode::FIFO);
    assert_eq!(p.pipe2(open::APPEND), Err(Errno::EINVAL));
}

#[test]
fn an_open_file_is_shared_with_another_process() {
    let (_, p, q) = processes();
    fs::write(&p, "/tmp/f", "0123456789").unwrap();
    p.chmod("/tmp/f", 0o600).unwrap();
    let fd = p.open("/tmp/f", open::RDWR, 0).unwrap();
    let mut got = [0; 2];
    p.read(fd, &mut got).unwrap();
    assert_eq!(q.open("/tmp/f", open::RDONLY, 0), Err(Errno::EACCES));
    let token = p.export_file(fd).unwrap();
    let theirs = q.import_file(&token, true).unwrap();
    assert_eq!(q.import_file(&token, true), Err(Errno::EBADF));
    assert_eq!(q.fcntl(theirs, F_GETFD, 0), Ok(FD_CLOEXEC as i32));
    assert_eq!(q.read(theirs, &mut got), Ok(2));
    assert_eq!(&got, b"23");
    assert_eq!(p.read(fd, &mut got), Ok(2));
    assert_eq!(&got, b"45");
    assert_eq!(q.lseek(theirs, 0, seek::CUR), Ok(6));
    assert_eq!(p.lseek(fd, -1, seek::END), Ok(9));
    assert_eq!(q.write(theirs, b"xyz"), Ok(3));
    assert_eq!(p.lseek(fd, 0, seek::CUR), Ok(12));
    assert_eq!(p.pread(fd, &mut got, 9), Ok(2));
    assert_eq!(&got, b"xy");
    // The giver closes its own, and all goes on.
    p.close(fd).unwrap();
    p.unlink("/tmp/f").unwrap();
    assert_eq!(q.lseek(theirs, 0, seek::SET), Ok(0));
    assert_eq!(q.readv(theirs, &mut [&mut [0; 2], &mut got]), Ok(4));
    assert_eq!(&got, b"23");
    // A pipe too.
    let (r, w) = p.pipe2(open::NONBLOCK).unwrap();
    let reader = q.import_file(&p.export_file(r).unwrap(), false).unwrap();
    p.close(r).unwrap();
    assert_eq!(p.write(w, b"to you"), Ok(6));
    assert_eq!(q.poll(&mut [PollFd::new(reader, POLLIN)], 0), Ok(1));
    assert_eq!(q.read(reader, &mut [0; 9]), Ok(6));
    assert_eq!(q.read(reader, &mut [0; 9]), Err(Errno::EAGAIN));
}

#[test]
fn tokens_for_socket_nodes() {
    let (_, p, q) = processes();
    let bind = p.socket_token_make(b"/tmp/s", 0o777).unwrap();
    assert_eq!(p.socket_token_make(b"/tmp/s", 0o777), Err(Errno::EEXIST));
    let connect = p.socket_token(b"/tmp/s").unwrap();
    assert_eq!((bind[8..16] == connect[8..16], bind == connect), (true, false));
    assert_eq!(q.socket_token(b"/tmp/s"), Err(Errno::EACCES));
    assert_eq!(q.socket_token(b"/tmp/none"), Err(Errno::ENOENT));
    assert_eq!(p.stat("/tmp/s").unwrap().mode, mode::SOCKET | 0o755);
}

#[test]
fn types_as_in_std() {
    let (_, p, _) = processes();
    fs::create_dir(&p, "/tmp/d").unwrap();
    let file = fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(&p, "/tmp/d/f").unwrap();
    file.write_all(b"line\n").unwrap();
    assert_eq!(file.write_at(b"L", 0), Ok(1));
    file.sync_all().unwrap();
    drop(file);
    let file = fs::OpenOptions::new().append(true).open(&p, "/tmp/d/f").unwrap();
    file.write_all(b"more").unwrap();
    assert_eq!(fs::read(&p, "/tmp/d/f").unwrap(), b"Line\nmore");
    assert_eq!(fs::metadata(&p, "/tmp/d/f").unwrap().mode(), 0o640);
    file.set_len(4).unwrap();
    fs::hard_link(&p, "/tmp/d/f", "/tmp/d/g").unwrap();
    fs::rename(&p, "/tmp/d/g", "/tmp/d/h").unwrap();
    fs::remove_file(&p, "/tmp/d/f").unwrap();
    assert_eq!(fs::metadata(&p, "/tmp/d/h").unwrap().len(), 4);
    p.symlink("h", "/tmp/d/l").unwrap();
    assert_eq!(fs::read_link(&p, "/tmp/d/l").unwrap(), b"h");
    assert!(fs::symlink_metadata(&p, "/tmp/d/l").unwrap().is_symlink());
    assert!(fs::metadata(&p, "/tmp/d/l").unwrap().is_file());
    assert_eq!(fs::remove_dir(&p, "/tmp/d"), Err(Errno::ENOTEMPTY));
    assert_eq!(fs::OpenOptions::new().open(&p, "/tmp/d/h").err(), Some(Errno::EINVAL));
}
