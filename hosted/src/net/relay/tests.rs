use super::*;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Forwards a free port to `port`, TCP and UDP, and returns it.
fn forward(port: u16) -> u16 {
    let tcp = TcpListener::bind((LOCALHOST, 0)).unwrap();
    let at = tcp.local_addr().unwrap().port();
    let udp = UdpSocket::bind((LOCALHOST, at)).unwrap();
    tcp.set_nonblocking(true).unwrap();
    udp.set_nonblocking(true).unwrap();
    Ports { tcp: vec![(tcp, port)], udp: vec![(udp, port)] }.serve(LOCALHOST).unwrap();
    at
}

#[test]
fn half_close_is_relayed_on_64_connections() {
    let server = TcpListener::bind((LOCALHOST, 0)).unwrap();
    let port = forward(server.local_addr().unwrap().port());
    thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            // Answers only after the end of file.
            thread::spawn(move || {
                let mut all = Vec::new();
                stream.read_to_end(&mut all).unwrap();
                stream.write_all(&all).unwrap();
            });
        }
    });
    let client = move |i: u8| {
        let mut stream = TcpStream::connect((LOCALHOST, port)).unwrap();
        let sent = vec![i; 200_000];
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        assert_eq!(got, sent);
    };
    let clients: Vec<_> = (0..64).map(|i| thread::spawn(move || client(i))).collect();
    clients.into_iter().for_each(|c| c.join().unwrap());
}

#[test]
fn udp_sessions_go_by_source_port() {
    let server = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    let port = forward(server.local_addr().unwrap().port());
    thread::spawn(move || {
        let mut buffer = [0; 2000];
        loop {
            let (n, from) = server.recv_from(&mut buffer).unwrap();
            server.send_to(&buffer[..n], from).unwrap();
        }
    });
    let clients: Vec<_> = (0..8).map(|_| UdpSocket::bind((LOCALHOST, 0)).unwrap()).collect();
    for (i, client) in clients.iter().enumerate() {
        client.send_to(&vec![i as u8; i * 200], (LOCALHOST, port)).unwrap();
    }
    for (i, client) in clients.iter().enumerate() {
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut buffer = [0; 2000];
        let n = client.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..n], vec![i as u8; i * 200]);
    }
}
