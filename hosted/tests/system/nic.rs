//! The network of a run, with a whole host in one PD at the other end of the
//! TAP device: smoltcp, DHCP client, TCP and UDP echo on port 7.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use rustix::process::Signal;
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{dhcpv4, tcp, udp};
use smoltcp::time;
use smoltcp::wire::{EthernetAddress, IpCidr};
use strait_hosted::Start;

use super::{prepare, running, said, start_with, until};

const SYSTEM: &str = r#"<system>
    <memory_region name="nic_config" size="0x1000" prefill_path="config/nic.bin"/>
    <protection_domain name="nic" priority="20">
        <program_image path="nic.elf"/>
        <map mr="nic_config" vaddr="0x10_0000_0000" perms="r" setvar_vaddr="strait_config"/>
    </protection_domain>
</system>"#;

/// Whether this user may make TAP devices.
pub fn possible() -> bool {
    OpenOptions::new().read(true).write(true).open("/dev/net/tun").is_ok()
}

struct Tap(OwnedFd);
struct Received(Vec<u8>);
struct ToSend<'a>(&'a OwnedFd);

impl Device for Tap {
    type RxToken<'a> = Received;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, _: time::Instant) -> Option<(Received, ToSend<'_>)> {
        let mut frame = vec![0; 2048];
        let n = rustix::io::read(&self.0, &mut frame).ok()?;
        frame.truncate(n);
        Some((Received(frame), ToSend(&self.0)))
    }

    fn transmit(&mut self, _: time::Instant) -> Option<ToSend<'_>> {
        Some(ToSend(&self.0))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut c = DeviceCapabilities::default();
        (c.medium, c.max_transmission_unit) = (Medium::Ethernet, 1514);
        c
    }
}

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        let _ = rustix::io::write(self.0, &frame);
        result
    }
}

/// The PD: one connection after the other, and datagrams.
pub fn main(start: Start) -> ! {
    let mut device = Tap(start.tap.expect("a TAP device"));
    let begun = Instant::now();
    let now = || time::Instant::from_micros(begun.elapsed().as_micros() as i64);
    let mut iface = Interface::new(Config::new(EthernetAddress([2, 0, 0, 0, 0, 9]).into()), &mut device, now());
    let mut sockets = SocketSet::new(Vec::new());
    let dhcp = sockets.add(dhcpv4::Socket::new());
    let tcp =
        sockets.add(tcp::Socket::new(tcp::SocketBuffer::new(vec![0; 65535]), tcp::SocketBuffer::new(vec![0; 65535])));
    let queue = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 16], vec![0; 32768]);
    let udp = sockets.add(udp::Socket::new(queue(), queue()));
    loop {
        iface.poll(now(), &mut device, &mut sockets);
        if let Some(dhcpv4::Event::Configured(lease)) = sockets.get_mut::<dhcpv4::Socket>(dhcp).poll() {
            iface.update_ip_addrs(|a| a.push(IpCidr::Ipv4(lease.address)).unwrap());
            iface.routes_mut().add_default_ipv4_route(lease.router.unwrap()).unwrap();
            eprintln!("lease {} by {} dns {:?}", lease.address, lease.router.unwrap(), lease.dns_servers.as_slice());
        }
        let socket = sockets.get_mut::<tcp::Socket>(tcp);
        if !socket.is_open() {
            socket.listen(7).unwrap();
        }
        while socket.can_recv() && socket.can_send() {
            let room = socket.send_capacity() - socket.send_queue();
            let data = socket.recv(|d| (d.len().min(room), d[..d.len().min(room)].to_vec())).unwrap();
            socket.send_slice(&data).unwrap();
        }
        if socket.state() == tcp::State::CloseWait && !socket.can_recv() {
            socket.close();
        }
        let socket = sockets.get_mut::<udp::Socket>(udp);
        if !socket.is_open() {
            socket.bind(7).unwrap();
        }
        while let Ok((data, from)) = socket.recv().map(|(d, m)| (d.to_vec(), m)) {
            socket.send_slice(&data, from).unwrap();
        }
        iface.poll(now(), &mut device, &mut sockets);
        thread::sleep(Duration::from_micros(200));
    }
}

/// The test: DHCP, both forwarded protocols, and `exec`.
pub fn a_host_on_the_tap_is_reached() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    prepare(folder.path(), SYSTEM, "");
    // Free now; taken by nobody else, it is hoped, until the run has it.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let run = start_with(folder.path(), &["--http-port", "0", "--echo-port", &port.to_string()]);
    let json = folder.path().join("hosted.json");
    let info = running(folder.path());
    assert_eq!((info.tap.as_deref(), info.echo_port), (Some("strait0"), port));
    until("DHCP lease", || said(folder.path()).contains("lease 10.0.2.15/24 by 10.0.2.2 dns [10.0.2.3]"));

    let sent: Vec<u8> = (0..300_000u32).map(|i| (i.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut writer = stream.try_clone()?;
    let copy = sent.clone();
    let sending = thread::spawn(move || writer.write_all(&copy).and_then(|()| writer.shutdown(Shutdown::Write)));
    let mut got = Vec::new();
    stream.read_to_end(&mut got)?;
    sending.join().unwrap()?;
    assert!(got == sent, "{} of {} bytes came back", got.len(), sent.len());

    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    for n in [0, 1, 1472] {
        socket.send_to(&sent[..n], (Ipv4Addr::LOCALHOST, port))?;
        let mut buffer = [0; 2000];
        let received = socket.recv(&mut buffer)?;
        assert_eq!(buffer[..received], sent[..n]);
    }

    let inside = Command::new(std::env::current_exe()?)
        .args(["exec", "--json"])
        .arg(&json)
        .args(["--", "cat", "/proc/net/dev"])
        .output()?;
    assert!(String::from_utf8_lossy(&inside.stdout).contains("strait0"), "{inside:?}");
    run.signal(Signal::INT);
    assert!(run.finish().success());
    Ok(())
}
