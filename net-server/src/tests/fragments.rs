//! Datagrams that are longer than a frame.

extern crate std;

use core::net::{IpAddr, SocketAddr};
use std::{vec, vec::Vec};

use strait_abi::{Errno, socket as c};

use super::world::{PEER_IP, SERVER_IP, SERVER_MAC, World};
use crate::{
    inet::{checksum, fragment::Fragments, ip},
    link::fragment as link,
};

const ETH: usize = 14;

/// A UDP packet from the peer's port 9 to the server's port 7.
fn packet(data: &[u8]) -> Vec<u8> {
    let mut p = vec![0; 28 + data.len()];
    ip::write_header(&mut p, IpAddr::from(PEER_IP), IpAddr::from(SERVER_IP), 17.into(), 64);
    p[21] = 9;
    p[23] = 7;
    p[24..26].copy_from_slice(&(8 + data.len() as u16).to_be_bytes());
    p[28..].copy_from_slice(data);
    let sum = checksum::transport(&p);
    p[26..28].copy_from_slice(&sum.to_be_bytes());
    p
}

fn frame(fragment: &link::Fragment<'_>) -> Vec<u8> {
    let mut bytes = vec![0; ETH + fragment.len()];
    bytes[..6].copy_from_slice(&SERVER_MAC);
    bytes[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
    bytes[12] = 8;
    fragment.write(77, &mut bytes[ETH..]);
    bytes
}

#[test]
fn a_long_datagram_goes_both_ways() {
    let mut w = World::new();
    let mut s = w.socket(c::SOCK_DGRAM);
    w.bind(&s, "0.0.0.0:7").unwrap();
    let peer = SocketAddr::from((PEER_IP, 9));
    // The neighbour must be known: the frames of what follows are taken here.
    let before = w.counters().tx_frames;
    w.send(&mut s, Some(peer), b"who is there");
    w.until(100, |w| w.counters().tx_frames >= before + 2);
    for len in [1473, 20_000, 65_507] {
        let data: Vec<u8> = (0..len).map(|i| (i / 3) as u8).collect();
        let whole = packet(&data);
        for fragment in link::Fragments::new(&whole, 1500).unwrap() {
            assert!(w.receive(&mut s).is_none());
            assert!(w.inject(&frame(&fragment)));
        }
        assert_eq!(w.receive(&mut s).unwrap().1, data);

        w.take_frames();
        w.send(&mut s, Some(peer), &data);
        w.pass_rings();
        let mut fragments = Fragments::default();
        let mut got = None;
        for frame in w.take_frames() {
            let (packet, _) = frame[ETH..].split_at(ip::valid4(&frame[ETH..]).unwrap());
            assert!(packet.len() <= 1500 && got.is_none());
            let (key, piece) = ip::fragment4(packet);
            assert!(key.identification != 0);
            got = fragments.input(0, key, piece);
        }
        let got = got.unwrap_or_else(|| panic!("{len}: nothing; {:?}", w.error(&s)));
        assert_eq!(&got[8..], &data[..]);
        assert_eq!(w.error(&s), None);
    }
}

#[test]
fn a_datagram_too_long_for_ip_is_refused() {
    let mut w = World::new();
    let mut s = w.socket(c::SOCK_DGRAM);
    let peer = SocketAddr::from((PEER_IP, 9));
    w.send(&mut s, Some(peer), &[0; 65_508]);
    w.pass_rings();
    assert_eq!(w.error(&s), Some(Errno::EMSGSIZE));
    assert!(w.take_frames().is_empty());
}
