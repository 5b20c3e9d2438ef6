//! sendfile(2).

use alloc::vec::Vec;

use crate::{case::*, files::*, posix::*, test::*};

const STREAMS: &[On] = &[TCP4, UNIX_STREAM];
const RECORDS: &[On] = &[UNIX_DGRAM, UNIX_SEQPACKET];

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("sendfile to a socket", "sendfile(2)", STREAMS, to_socket),
    Case::new("sendfile from an offset", "sendfile(2)", STREAMS, from_offset),
    Case::new("sendfile to a file", "sendfile(2)", FILES, to_file),
    Case::new("sendfile of a file to itself", "sendfile(2)", FILES, to_itself),
    Case::new("sendfile to a pipe", "sendfile(2)", FILES, to_pipe),
    Case::new("sendfile to records", "sendfile(2)", RECORDS, to_records),
    Case::new("sendfile by UDP", "sendfile(2)", &[UDP4], to_udp),
    Case::new("sendfile from what is no file", "sendfile(2) EINVAL, ESPIPE", FILES, wrong_source),
    Case::new("sendfile to what cannot be", "sendfile(2) EINVAL", FILES, wrong_target),
    Case::new("sendfile without the right", "sendfile(2) EBADF", FILES, wrong_access),
    Case::new("sendfile of nothing", "sendfile(2)", FILES, nothing),
    Case::new("sendfile at the end to a socket that is full", "sendfile(2)", &[UNIX_STREAM], full),
];

/// A file of `n` bytes that are not all the same.
fn file(t: &Test<'_>, n: usize) -> Result<(Fd, Vec<u8>), Failure> {
    let data: Vec<u8> = (0..n).map(|i| (i % 251) as u8).collect();
    let fd = ok!(t.open("f", open::RDWR | open::CREAT, 0o644));
    gives!(t.write(fd, &data), n);
    gives!(t.lseek(fd, 0, seek::SET), 0);
    Ok((fd, data))
}

fn to_socket(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (fd, data) = file(t, 10)?;
        gives!(t.lseek(fd, 2, seek::SET), 2);
        let (a, b) = t.pair()?;
        gives!(t.sendfile(a, fd, None, 5), 5);
        gives!(t.lseek(fd, 0, seek::CUR), 7);
        gives!(t.sendfile(a, fd, None, 50), 3);
        gives!(t.sendfile(a, fd, None, 50), 0);
        eq!(t.read_exactly(b, 8)?, data[2..].to_vec());
        t.shut(&[a, b, fd])
    })
}

fn from_offset(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (fd, data) = file(t, 30_000)?;
        gives!(t.lseek(fd, 5, seek::SET), 5);
        let (a, b) = t.pair()?;
        let mut at = 29_000;
        gives!(t.sendfile(a, fd, Some(&mut at), 500), 500);
        eq!(at, 29_500);
        gives!(t.sendfile(a, fd, Some(&mut at), 5000), 500);
        eq!(at, 30_000);
        gives!(t.sendfile(a, fd, Some(&mut at), 5000), 0);
        at = 1 << 40;
        gives!(t.sendfile(a, fd, Some(&mut at), 5000), 0);
        eq!(at, 1 << 40);
        eq!(t.read_exactly(b, 1000)?, data[29_000..].to_vec());
        // The position is another matter.
        gives!(t.lseek(fd, 0, seek::CUR), 5);
        err!(t.sendfile(a, fd, Some(&mut (-1i64 as u64)), 5), EINVAL);
        err!(t.sendfile(a, fd, Some(&mut (i64::MAX as u64)), 5), EINVAL);
        t.shut(&[a, b, fd])
    })
}

fn to_file(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (fd, data) = file(t, 200_000)?;
        let to = ok!(t.open("g", open::RDWR | open::CREAT, 0o644));
        gives!(t.lseek(to, 5, seek::SET), 5);
        let mut at = 3;
        gives!(t.sendfile(to, fd, Some(&mut at), 200_000), 199_997);
        gives!(t.lseek(to, 0, seek::CUR), 200_002);
        eq!(ok!(t.fstat(to)).size, 200_002);
        let mut got = alloc::vec![0; 199_997];
        gives!(t.pread(to, &mut got, 5), got.len());
        that!(got == data[3..]);
        t.shut(&[fd, to])
    })
}

fn to_itself(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (fd, data) = file(t, 5000)?;
        gives!(t.lseek(fd, 5000, seek::SET), 5000);
        gives!(t.sendfile(fd, fd, Some(&mut 100), 1000), 1000);
        gives!(t.lseek(fd, 0, seek::CUR), 6000);
        let mut got = alloc::vec![0; 1000];
        gives!(t.pread(fd, &mut got, 5000), 1000);
        that!(got == data[100..1100]);
        t.shut(&[fd])
    })
}

fn to_pipe(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (fd, data) = file(t, 100_000)?;
        let (r, w) = ok!(t.pipe2(open::NONBLOCK));
        gives!(t.sendfile(w, fd, Some(&mut 10), 100), 100);
        let mut got = alloc::vec![0; PIPE_BYTES];
        gives!(t.read(r, &mut got), 100);
        that!(got[..100] == data[10..110]);
        // As much as fits.
        gives!(t.sendfile(w, fd, None, 100_000), PIPE_BYTES);
        gives!(t.lseek(fd, 0, seek::CUR), PIPE_BYTES as u64);
        err!(t.sendfile(w, fd, None, 10), EAGAIN);
        gives!(t.read(r, &mut got), PIPE_BYTES);
        that!(got == data[..PIPE_BYTES]);
        ok!(t.close(r));
        err!(t.sendfile(w, fd, None, 10), EPIPE);
        t.shut(&[w, fd])
    })
}

fn to_records(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (fd, data) = file(t, 100_000)?;
        let (a, b) = t.pair()?;
        gives!(t.sendfile(a, fd, Some(&mut 7), 10_000), 10_000);
        eq!(t.read_some(b, 99_999)?, data[7..10_007]);
        // Sixteen pages of the file make a record.
        gives!(t.sendfile(a, fd, Some(&mut 5000), 70_000), 70_000);
        eq!(t.read_some(b, 99_999)?.len(), 65_536 - 904);
        eq!(t.read_some(b, 99_999)?, data[5000 + 64_632..75_000]);
        t.shut(&[a, b, fd])
    })
}

fn to_udp(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (fd, data) = file(t, 100_000)?;
        let (a, b) = t.pair()?;
        // The room for a long datagram may have to be waited for.
        gives!(t.fcntl(a, F_SETFL, 0), 0);
        gives!(t.sendfile(a, fd, None, 10_000), 10_000);
        eq!(t.read_some(b, 99_999)?, data[..10_000]);
        err!(t.sendfile(a, fd, Some(&mut 0), 100_000), EMSGSIZE);
        t.shut(&[a, b, fd])
    })
}

fn wrong_source(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (fd, _) = file(t, 10)?;
        let (a, b) = ok!(t.socketpair(AF_UNIX, SOCK_STREAM.into(), 0));
        let (r, w) = ok!(t.pipe2(open::NONBLOCK));
        gives!(t.write(w, b"x"), 1);
        let (directory, event) = (ok!(t.open(".", open::RDONLY, 0)), ok!(t.eventfd(1, 0)));
        for source in [r, a, directory, event] {
            err!(t.sendfile(fd, source, None, 5), EINVAL);
        }
        for source in [r, a, event] {
            err!(t.sendfile(fd, source, Some(&mut 0), 5), ESPIPE);
        }
        err!(t.sendfile(fd, directory, Some(&mut 0), 5), EINVAL);
        t.shut(&[fd, a, b, r, w, directory, event])
    })
}

fn wrong_target(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (fd, _) = file(t, 10)?;
        let append = ok!(t.open("g", open::WRONLY | open::APPEND | open::CREAT, 0o644));
        err!(t.sendfile(append, fd, None, 5), EINVAL);
        err!(t.sendfile(append, fd, None, 0), EINVAL);
        let event = ok!(t.eventfd(0, 0));
        err!(t.sendfile(event, fd, None, 8), EINVAL);
        gives!(t.sendfile(event, fd, None, 0), 0);
        t.shut(&[fd, append, event])
    })
}

fn wrong_access(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (fd, _) = file(t, 10)?;
        let (reads, writes) = (ok!(t.open("f", open::RDONLY, 0)), ok!(t.open("f", open::WRONLY, 0)));
        let path = ok!(t.open("f", open::PATH, 0));
        let (r, w) = ok!(t.pipe2(0));
        for (to, from) in [(reads, fd), (fd, writes), (path, fd), (fd, path), (r, fd), (fd, w), (-1, fd), (fd, -1)] {
            err!(t.sendfile(to, from, None, 5), EBADF);
            err!(t.sendfile(to, from, None, 0), EBADF);
        }
        t.shut(&[fd, reads, writes, path, r, w])
    })
}

fn nothing(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (fd, _) = file(t, 10)?;
        let to = ok!(t.open("g", open::WRONLY | open::CREAT, 0o644));
        gives!(t.sendfile(to, fd, None, 0), 0);
        gives!(t.lseek(fd, 10, seek::SET), 10);
        gives!(t.sendfile(to, fd, None, 5), 0);
        eq!(ok!(t.fstat(to)).size, 0);
        t.shut(&[fd, to])
    })
}

fn full(t: &Test<'_>) -> Outcome {
    inside(t, |t| {
        let (fd, _) = file(t, 10)?;
        let (a, b) = t.pair()?;
        while t.send(a, &[0; 8192], 0).is_ok() {}
        err!(t.sendfile(a, fd, None, 5), EAGAIN);
        gives!(t.lseek(fd, 0, seek::CUR), 0);
        gives!(t.lseek(fd, 10, seek::SET), 10);
        gives!(t.sendfile(a, fd, None, 5), 0);
        t.shut(&[a, b, fd])
    })
}
