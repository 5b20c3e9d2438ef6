//! The whole server, from connection to file.

mod common;

use common::*;
use proptest::prelude::*;
use strait_abi::session::status;

#[test]
fn serves_files_by_name() {
    let mut s = setup();
    for (target, body, content_type) in [
        ("/", INDEX, "text/html; charset=utf-8"),
        ("/index.html", INDEX, "text/html; charset=utf-8"),
        ("/sub/", b"sub", "text/html; charset=utf-8"),
        ("/sub/%61%20b.TXT?x=/../", b"0123456789", "text/plain; charset=utf-8"),
        ("http://h/sub/../sub/./a%20b.TXT#f", b"0123456789", "text/plain; charset=utf-8"),
        ("http://h", INDEX, "text/html; charset=utf-8"),
        ("/bare/x.css", b"", "text/css; charset=utf-8"),
        ("/big", &big(), "application/octet-stream"),
    ] {
        let r = s.get(target);
        assert_eq!((r.status, r.field("Content-Type")), (200, Some(content_type)), "{target}");
        assert!(r.body == body, "{target}");
        assert_eq!(r.field("Connection"), None);
    }
    assert_eq!(s.server.connections(), 0);
}

#[test]
fn says_what_is_wrong() {
    let mut s = setup();
    for (target, status) in [
        ("/nothing", 404),
        ("/index.html/", 404),
        ("/index.html/x", 404),
        ("/bare/", 404),
        ("/secret", 403),
        ("/..", 400),
        ("/%2e%2e/x", 400),
        ("/sub/..%2f..%2fx", 400),
        ("/%00", 400),
        ("/%g0", 400),
        ("/%4", 400),
        ("x", 400),
        ("*", 400),
    ] {
        assert_eq!(s.get(target).status, status, "{target}");
    }
    let r = s.get("/sub");
    assert_eq!((r.status, r.field("Location")), (301, Some("/sub/")));
    assert_eq!(s.get("//sub/.").status, 200);
    let long = "x".repeat(7000);
    for (request, status) in [
        ("POST / HTTP/1.1\r\nHost: h\r\n\r\n".to_string(), 405),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n".into(), 505),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(), 400),
        ("GET / FTP/1.1\r\nHost: h\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost : h\r\n\r\n".into(), 400),
        ("\0\u{1}\u{2}\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n".into(), 413),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), 501),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n".into(), 400),
        (format!("GET /{long}{long} HTTP/1.1\r\nHost: h\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nX: {long}\r\nY: {long}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(100)), 431),
    ] {
        let answer = s.exchange(request.as_bytes());
        let (r, rest) = Response::read(&answer, true);
        assert_eq!(r.status, status, "{request}");
        assert_eq!(r.field("Connection"), Some("close"), "{request}");
        assert!(rest.is_empty());
        if status == 405 {
            assert_eq!(r.field("Allow"), Some("GET, HEAD"));
        }
    }
}

#[test]
fn serves_below_its_root_only() {
    let mut s = setup_with("/sub/", 1024, 64);
    assert_eq!(s.get("/a%20b.TXT").status, 200);
    assert_eq!(s.get("/").body, b"sub");
    assert_eq!(s.get("/big").status, 404);
    assert_eq!(s.get("/../big").status, 400);
}

#[test]
fn heads_and_ranges() {
    let mut s = setup();
    let answer = s.exchange(b"HEAD /big HTTP/1.1\r\nHost: h\r\n\r\nHEAD /x HTTP/1.1\r\nHost: h\r\n\r\n");
    let (r, rest) = Response::read(&answer, false);
    assert_eq!((r.status, r.field("Content-Length")), (200, Some("300000")));
    let (r, rest) = Response::read(rest, false);
    assert_eq!((r.status, rest.len()), (404, 0));
    for (range, status, body, told) in [
        ("bytes=0-3", 206, &b"0123"[..], Some("bytes 0-3/10")),
        ("bytes=7-", 206, b"789", Some("bytes 7-9/10")),
        ("bytes=-4", 206, b"6789", Some("bytes 6-9/10")),
        ("bytes=-40", 206, b"0123456789", Some("bytes 0-9/10")),
        ("bytes=9-99999999999999999999", 206, b"9", Some("bytes 9-9/10")),
        ("bytes=10-", 416, b"", Some("bytes */10")),
        ("bytes=-0", 416, b"", Some("bytes */10")),
        ("bytes=3-1", 200, b"0123456789", None),
        ("bytes=1-2,4-5", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ] {
        let request = format!("GET /sub/a%20b.TXT HTTP/1.1\r\nHost: h\r\nRange: {range}\r\n\r\n");
        let answer = s.exchange(request.as_bytes());
        let (r, _) = Response::read(&answer, true);
        assert_eq!((r.status, &r.body[..], r.field("Content-Range")), (status, body, told), "{range}");
    }
}

#[test]
fn connections_persist_as_the_client_wishes() {
    let mut s = setup();
    for (request, connection) in [
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", Some("close")),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n", Some("close")),
        ("GET / HTTP/1.0\r\n\r\n", Some("close")),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", Some("keep-alive")),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", None),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", Some("close")),
    ] {
        let socket = s.connect();
        s.turn();
        s.send(socket, request.as_bytes());
        let answer = s.receive(socket);
        let (r, _) = Response::read(&answer, true);
        assert_eq!((r.status, r.field("Connection")), (200, connection), "{request}");
        let closing = connection == Some("close");
        let shut = s.fake.serve(|s| s.status(socket)) & status::WRSHUT != 0;
        assert!(s.is_closed(socket) || shut == closing, "{request}");
        if !closing {
            s.send(socket, b"GET /sub/ HTTP/1.1\r\nHost: h\r\n\r\n");
            let answer = s.receive(socket);
            assert_eq!(Response::read(&answer, true).0.body, b"sub");
        }
    }
}

#[test]
fn slow_clients_do_not_hurt_others() {
    let mut s = setup();
    let stuck: Vec<u16> = (0..40).map(|_| s.connect()).collect();
    s.turn();
    for &socket in &stuck {
        s.send(socket, b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    // They take nothing; others are served.
    assert_eq!(s.get("/").body, INDEX);
    assert!(s.get("/big").body == big());
    // Then they take all, page by page in turns, with few blocks to read ahead.
    let mut answers = vec![Vec::new(); stuck.len()];
    for _ in 0..200 {
        for (answer, &socket) in answers.iter_mut().zip(&stuck) {
            answer.extend(s.fake.serve(|s| s.take(socket)));
        }
        s.turn();
    }
    for answer in answers {
        assert!(Response::read(&answer, true).0.body == big());
    }
}

#[test]
fn who_takes_too_long_is_told_and_left() {
    let mut s = setup();
    let (idle, slow, stuck) = (s.connect(), s.connect(), s.connect());
    s.turn();
    s.send(slow, b"GET / HTTP/1.1\r\n");
    s.send(stuck, b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    let begin = s.fake.now.get();
    let mut answer = Vec::new();
    while s.server.connections() > 0 {
        s.turn();
        if !s.is_closed(slow) {
            answer.extend(s.fake.serve(|s| s.take(slow)));
        }
        assert!(s.fake.now.get() - begin < 40_000_000_000);
    }
    assert_eq!(Response::read(&answer, true).0.status, 408);
    assert!([idle, slow, stuck].iter().all(|&c| s.is_closed(c)));
    assert_eq!(s.get("/").status, 200);
}

#[test]
fn the_idle_make_room() {
    // Sixteen sockets.
    let mut s = setup_with("/", 128, 64);
    let mut idle = Vec::new();
    for _ in 0..15 {
        idle.push(s.connect());
        s.turn();
    }
    assert_eq!(s.server.connections(), 15);
    s.fake.now.set(s.fake.now.get() + 1000);
    // The network has no place either before one goes: play the queue.
    s.fake.serve(|f| f.change(idle[0], status::RDHUP, 0));
    s.turn();
    assert!(s.is_closed(idle[0]));
    assert_eq!(s.get("/").status, 200);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// However requests are cut into pieces and however slowly the answers are
    /// taken, the same comes back.
    #[test]
    fn pipelined_in_any_pieces(which in proptest::collection::vec(0usize..5, 1..12), cuts in proptest::collection::vec(1usize..400, 1..40),
                               pages in prop::sample::select(vec![16usize, 64, 512])) {
        let mut s = setup_with("/", 512, pages);
        let targets = ["/", "/sub/", "/nothing", "/big", "/sub/a%20b.TXT"];
        let big = big();
        let bodies: [&[u8]; 5] = [INDEX, b"sub", b"404 Not Found\n", &big, b"0123456789"];
        let all: String = which.iter().map(|&i| format!("GET {} HTTP/1.1\r\nHost: h\r\n\r\n", targets[i])).collect();
        let socket = s.connect();
        s.turn();
        let (mut rest, mut answer, mut cut) = (all.as_bytes(), Vec::new(), cuts.iter().cycle());
        while !rest.is_empty() {
            let n = (*cut.next().unwrap()).min(rest.len());
            s.send(socket, &rest[..n]);
            rest = &rest[n..];
            if n % 3 == 0 { answer.extend(s.receive(socket)); }
        }
        answer.extend(s.receive(socket));
        let mut answer = &answer[..];
        for i in which {
            let (r, later) = Response::read(answer, true);
            prop_assert!(r.body == bodies[i]);
            answer = later;
        }
        prop_assert!(answer.is_empty());
    }

    /// Noise never ends the server, and everybody gets an answer or an end.
    #[test]
    fn no_bytes_are_fatal(noise in proptest::collection::vec(any::<u8>(), 0..3000), text in "[A-Z]{1,5} [/%a-z.0-9]{0,30} HTTP/[0-3].[0-9]\r\n([A-Za-z-]{1,20}: [ -~]{0,30}\r\n){0,5}\r\n") {
        let mut s = setup_with("/", 256, 16);
        for bytes in [&noise[..], text.as_bytes()] {
            let socket = s.connect();
            s.turn();
            s.send(socket, bytes);
            let answer = s.receive(socket);
            if !answer.is_empty() { prop_assert!(answer.starts_with(b"HTTP/1.1 ")); }
        }
        prop_assert_eq!(s.get("/").status, 200);
    }
}
