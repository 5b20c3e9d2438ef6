extern crate std;

use alloc::{format, string::String, vec::Vec};
use strait_libsock::fake::Fake;

use super::*;

/// A stream that gives `data` in pieces.
struct Pieces(Vec<Vec<u8>>, String);

impl embedded_io::ErrorType for Pieces {
    type Error = Error;
}

impl embedded_io::Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let piece = self.0.remove(0);
        into[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

impl embedded_io::Write for Pieces {
    fn write(&mut self, from: &[u8]) -> Result<usize, Error> {
        self.1.push_str(core::str::from_utf8(from).unwrap());
        Ok(from.len())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

fn fetch(response: &str, piece: usize) -> Result<Fetched, Failure> {
    let pieces = response.as_bytes().chunks(piece).map(<[u8]>::to_vec).collect();
    let mut stream = Pieces(pieces, String::new());
    let result = http::get(&mut stream, &Url::parse("http://h:8/p?q").unwrap());
    assert!(stream.1.starts_with("GET /p?q HTTP/1.1\r\nHost: h:8\r\n"));
    result
}

/// SHA-256 of "hello world".
const HELLO: &str = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";

#[test]
fn all_kinds_of_length_in_all_pieces() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
        "HTTP/1.1 200 OK\r\n\r\nhello world",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nContent-Length: 3\r\n\r\n6\r\nhello \r\n5;x=y\r\nworld\r\n0\r\n\r\n",
        "HTTP/1.1 103 Early\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello worldEXTRA",
    ] {
        for piece in [1, 2, 7, 1000] {
            let got = fetch(response, piece).unwrap();
            assert_eq!(
                (got.status, got.bytes, format!("{}", Hex(&got.sha256)).as_str()),
                (200, 11, HELLO),
                "{response}"
            );
        }
    }
    assert_eq!(fetch("HTTP/1.1 304 Not\r\nContent-Length: 5\r\n\r\n", 1000).unwrap().bytes, 0);
}

#[test]
fn what_is_no_response() {
    for (response, failure) in [
        ("", Failure::Incomplete),
        ("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello world", Failure::Incomplete),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", Failure::Incomplete),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", Failure::Malformed),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", Failure::Malformed),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Failure::Malformed),
        ("SSH-2.0-x\r\n", Failure::Malformed),
    ] {
        assert_eq!(fetch(response, 1000), Err(failure), "{response}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(40_000));
    assert_eq!(fetch(&endless, 1000), Err(Failure::Malformed));
}

#[test]
fn from_a_socket_after_a_failure() {
    let (fake, env) = Fake::new(512, &[]);
    let process = Process::new(&env).unwrap();
    fake.serve(|s| s.connect = Err(strait_libsock::Errno::ENETUNREACH));
    // While it pauses, the network comes up.
    fake.then(|f| {
        f.serve(|s| s.connect = Ok(()));
        f.now.set(f.now.get() + FIRST_PAUSE.as_nanos() as u64);
        f.woken.set(strait_pd::ChannelSet(1 << strait_libsock::fake::TIMER));
    });
    fake.then(|f| {
        f.serve(|s| {
            assert!(s.take(0).starts_with(b"GET / HTTP/1.1\r\n"));
            s.push(0, b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world");
        });
    });
    run(&process, &Url::parse("http://10.0.2.2/").unwrap(), &Logger::new(&env));
    let log = fake.log.borrow();
    assert!(log.contains("trying again in 1 s"), "{log}");
    assert!(log.contains(&format!("status 200, 11 bytes, sha256 {HELLO}")), "{log}");
}
