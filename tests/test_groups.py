"""Multicast, broadcast and ping across the wire; test_ipv6.py has those of IPv6."""

import socket
import struct
import time

import pytest

from harness import client, netns

GROUP = "239.255.7.7"
"""What the echo service has joined (strait.toml)."""
IP_RECVTTL = 12
ROUTER_ALERT = bytes([0x94, 4, 0, 0])


def udp_socket():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(5)
    return sock


def received(sock):
    """A datagram, from whom, and its TTL."""
    data, control, _, address = sock.recvmsg(2048, 256)
    ttl = next(struct.unpack("i", value)[0] for level, kind, value in control if (level, kind) == (0, socket.IP_TTL))
    return data, address, ttl


@pytest.mark.worlds("qemu", "hosted")
@pytest.mark.parametrize("to", [GROUP, "10.0.2.255", "255.255.255.255"], ids=["multicast", "subnet", "limited"])
def test_datagrams_to_many_come_back_from_one(system, to):
    with udp_socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"peer0")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        for number in range(20):
            data = client.payload(number * 50, seed=number)
            sock.sendto(data, (to, client.ECHO))
            # The answer has the TTL of a host (RFC 1122 3.2.1.7).
            assert received(sock) == (data, (netns.GUEST, client.ECHO), 64)


@pytest.mark.worlds("qemu", "hosted")
def test_other_groups_are_not_heard(system):
    with udp_socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"peer0")
        sock.settimeout(0.5)
        sock.sendto(b"anybody?", ("239.255.7.8", client.ECHO))
        with pytest.raises(TimeoutError):
            sock.recv(100)


def reports(raw, number, seconds=3):
    """IPv4 packets of a protocol that the system sends meanwhile."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        raw.settimeout(left)
        try:
            frame = raw.recv(2048)
        except TimeoutError:
            return
        if frame[12:14] == b"\x08\x00" and frame[23] == number:
            yield frame[14:]


def query_igmp(message):
    """A general query (RFC 3376 4.1), from a router."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"peer0")
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, ROUTER_ALERT)
        total = sum(struct.unpack(f"!{len(message) // 2}H", message))
        total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        sock.sendto(message[:2] + struct.pack("!H", total) + message[4:], ("224.0.0.1", 0))


def groups_of(report):
    """The groups in an IGMPv3 report: address and type of record."""
    at, found = 8, {}
    for _ in range(struct.unpack_from("!H", report, 6)[0]):
        kind, more, sources = struct.unpack_from("!BBH", report, at)
        found[socket.inet_ntoa(report[at + 4 : at + 8])] = kind
        at += 8 + 4 * sources + 4 * more
    return found


@pytest.mark.worlds("qemu", "hosted")
def test_igmp_queries_are_answered(system):
    raw = netns.raw_socket("peer0")
    with raw:
        # IGMPv3: answers within a second.
        query_igmp(bytes([0x11, 10, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0]))
        for packet in reports(raw, 2):
            head = (packet[0] & 15) * 4
            if packet[head] == 0x22 and groups_of(packet[head:]).get(GROUP) == 2:
                # MODE_IS_EXCLUDE: to all routers of its kind, with a router alert.
                assert (packet[8], packet[16:20], packet[20:24]) == (1, socket.inet_aton("224.0.0.22"), ROUTER_ALERT)
                break
        else:
            raise AssertionError("no report of IGMPv3")
        # IGMPv2: one for the group, to the group (RFC 2236 3).
        query_igmp(bytes([0x11, 10, 0, 0, 0, 0, 0, 0]))
        wanted = (0x16, GROUP, GROUP)
        for packet in reports(raw, 2):
            head = (packet[0] & 15) * 4
            said = packet[head], socket.inet_ntoa(packet[head + 4 : head + 8]), socket.inet_ntoa(packet[16:20])
            if said == wanted:
                assert packet[8] == 1
                break
        else:
            raise AssertionError("no report of IGMPv2")


@pytest.mark.parametrize("size", [0, 56, 1400, 8000])
def test_ping(system, size):
    """Echo requests (RFC 792), also in fragments."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.connect((netns.GUEST, 0))
        sock.settimeout(5)
        body = bytes([0x12, 0x34, 0, 7]) + client.payload(size)
        words = struct.unpack(f"!{len(body) // 2}H", body)
        total = sum(words, 8 << 8)
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        sock.send(struct.pack("!BBH", 8, 0, ~total & 0xFFFF) + body)
        while (answer := sock.recv(16384))[20] != 0:
            pass
        assert answer[24:] == body and answer[8] == 64
