"""IPv6: addresses by router advertisement, and every service over them."""

import re
import socket
import struct
import subprocess
import time

import pytest

from harness import client, netns
from test_names import Host

GROUP = "ff05::7:7"
"""What the echo service has joined (strait.toml)."""
IPV6_HOPOPTS = 54
MOST = 1452
"""Bytes of data in one unfragmented datagram over Ethernet."""


@pytest.fixture
def address(boot):
    """The address that the system made from the announced prefix (SLAAC)."""
    system = boot(ipv6=True)
    return system.wait_for_log(rf"eth0 has ({netns.PREFIX6}[0-9a-f:]+)/64").group(1)


@pytest.fixture
def link_local(boot):
    system = boot(ipv6=True)
    return system.wait_for_log(r"eth0 has (fe80::[0-9a-f:]+)/").group(1) + "%peer0"


def connect(address, port=client.ECHO, seconds=30):
    return socket.create_connection((address, port), seconds)


def check_echo(address):
    data = client.payload(300_000)
    with connect(address) as stream:
        assert client.exchange([stream], [data], 30) == [data]


def test_tcp(address):
    check_echo(address)


def test_tcp_over_link_local(link_local):
    check_echo(link_local)


def test_many_connections(address):
    data = [client.payload(5000, seed=i) for i in range(64)]
    streams = [connect(address) for _ in data]
    assert client.exchange(streams, data, 60) == data
    for stream in streams:
        stream.close()


def test_udp_of_every_size(address):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.connect((address, client.ECHO))
        sock.settimeout(5)
        for size in [*range(0, MOST, 7), MOST]:
            data = client.payload(size, seed=size)
            sock.send(data)
            assert sock.recv(2048) == data, f"{size} bytes"


def test_file_by_curl(address, archive):
    name = max((n for n in archive if len(archive[n]) < 1 << 20), key=lambda n: len(archive[n]))
    done = subprocess.run(["curl", "-gsS", "--max-time", "30", f"http://[{address}]/{name}"], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == archive[name]


def test_closed_ports(address):
    with pytest.raises(ConnectionRefusedError):
        connect(address, 4444, 5)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.connect((address, 4444))
        sock.settimeout(5)
        sock.send(b"anyone?")
        with pytest.raises(ConnectionRefusedError):
            sock.recv(10)


@pytest.mark.parametrize("size", [0, 56, 1400])
def test_ping(address, size):
    """Echo requests (RFC 4443 4.1), by the kernel's own ping sockets."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        sock.connect((address, 0))
        sock.settimeout(5)
        body = client.payload(size)
        # The kernel fills in the checksum.
        sock.send(bytes([128, 0, 0, 0, 0x12, 0x34, 0, 7]) + body)
        while (answer := sock.recv(2048))[0] != 129:
            pass
        assert answer[4:] == bytes([0x12, 0x34, 0, 7]) + body


def test_both_versions_at_once(address):
    """The same listeners serve both: dual-stack sockets (RFC 3493 5.3)."""
    data = [client.payload(100_000, seed=i) for i in range(2)]
    streams = [connect(address), client.connect()]
    assert client.exchange(streams, data, 30) == data
    for stream in streams:
        stream.close()


@pytest.fixture
def index(address):
    """The number of the host's interface."""
    return socket.if_nametoindex("peer0")


@pytest.mark.worlds("qemu", "hosted")
def test_multicast(index):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 3)
        for number in range(10):
            data = client.payload(number * 100, seed=number)
            sock.sendto(data, (GROUP, client.ECHO))
            answer, address = sock.recvfrom(2048)
            assert answer == data and address[0].startswith((netns.PREFIX6, "fe80::"))


@pytest.mark.worlds("qemu", "hosted")
def test_mld_queries_are_answered(index):
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as router,
        netns.raw_socket("peer0") as raw,
    ):
        router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
        # Router alert (RFC 2711), and padding.
        router.setsockopt(socket.IPPROTO_IPV6, IPV6_HOPOPTS, bytes([0, 0, 5, 2, 0, 0, 1, 0]))
        # MLDv2: answers within a second (RFC 3810 5.1).
        router.sendto(struct.pack("!BBHHH16sBBH", 130, 0, 0, 1000, 0, bytes(16), 2, 125, 0), ("ff02::1", 0, 0, index))
        end = time.monotonic() + 3
        while True:
            raw.settimeout(max(end - time.monotonic(), 0.01))
            packet = raw.recv(2048)[14:]
            # Behind the hop-by-hop header.
            if packet[0] >> 4 != 6 or packet[6] != 0 or packet[40] != 58 or packet[48] != 143:
                continue
            if socket.inet_pton(socket.AF_INET6, GROUP) in packet[56:]:
                break
        assert (packet[7], packet[24:40]) == (1, socket.inet_pton(socket.AF_INET6, "ff02::16"))


@pytest.mark.worlds("qemu", "hosted")
def test_a_name_server_of_the_link(boot, address):
    """Announced by a router with its link-local address (RFC 8106)."""
    host = Host(boot(ipv6=True))
    assert host.ask("link.example") == [netns.PEER]
    host.close()
    assert re.search(r"(?i)query\[A\] link\.example from (fe80|fd00):", host.queries.read_text())
