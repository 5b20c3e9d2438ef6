"""UDP, by the echo service."""

import socket
import time

import pytest

from harness import client, netns

MOST = 1472
"""Bytes of data in one unfragmented datagram over Ethernet."""


@pytest.fixture
def udp(system):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((netns.GUEST, client.ECHO))
        sock.settimeout(5)
        yield sock


def test_every_size(udp):
    for size in range(MOST + 1):
        data = client.payload(size, seed=size)
        udp.send(data)
        assert udp.recv(2048) == data, f"{size} bytes"


@pytest.mark.parametrize("size", [MOST + 1, 8192, 40_000, 65_507])
def test_datagrams_in_fragments(udp, size):
    """Longer than a frame (RFC 791 3.2): in pieces both ways."""
    data = client.payload(size, seed=size)
    for _ in range(5):
        udp.send(data)
        assert udp.recv(1 << 16) == data


def test_many_outstanding(udp):
    """With a window of 32 nothing is lost, repeated or reordered."""
    total, sent, received = 4000, 0, 0
    while received < total:
        while sent < min(total, received + 32):
            udp.send(b"%08d" % sent + b"." * (sent % 200))
            sent += 1
        assert udp.recv(2048) == b"%08d" % received + b"." * (received % 200)
        received += 1


def test_answers_go_to_who_asked(system):
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(50)]
    for number, sock in enumerate(socks):
        sock.settimeout(5)
        sock.sendto(b"%d" % number, (netns.GUEST, client.ECHO))
    for number, sock in enumerate(socks):
        assert sock.recvfrom(100) == (b"%d" % number, (netns.GUEST, client.ECHO))
        sock.close()


def test_closed_port_is_unreachable(system):
    """ICMP port unreachable becomes ECONNREFUSED at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((netns.GUEST, 4444))
        sock.settimeout(3)
        sock.send(b"anyone?")
        with pytest.raises(ConnectionRefusedError):
            sock.recv(10)


def test_flood_ends_and_service_goes_on(udp):
    """More than it can take: some are lost, the service is not."""
    udp.setblocking(False)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        try:
            udp.send(b"f" * 1400)
        except (BlockingIOError, ConnectionRefusedError):
            pass
    time.sleep(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as fresh:
        fresh.settimeout(5)
        fresh.sendto(b"still there?", (netns.GUEST, client.ECHO))
        assert fresh.recv(100) == b"still there?"
    data = client.payload(100_000)
    with client.connect() as stream:
        assert client.exchange([stream], [data], 30) == [data]
