"""TCP, by the echo service and the host's own TCP on the other end."""

import errno
import random
import select
import socket
import struct
import time

import pytest

from harness import client, netns

pytestmark = pytest.mark.usefixtures("system")
MIB = 1 << 20


@pytest.fixture(params=[client.ECHO, client.ASYNC_ECHO], ids=["events", "async"])
def port(request):
    """Two components: an event loop of its own, and async tasks."""
    return request.param


def test_each_byte_comes_back(no_leak, port):
    for size in (0, 1, 2, 535, 536, 1459, 1460, 1461, 4095, 4096, 4097, 65535, 65536, 65537, 300_000):
        data = client.payload(size, seed=size)
        with client.connect(port) as stream:
            assert client.exchange([stream], [data], 60) == [data], f"{size} bytes"


def test_half_close_loses_nothing(no_leak, port):
    """The end of one direction leaves the other open until all is echoed."""
    for seed in range(20):
        data = client.payload(random.Random(seed).randint(1, 100_000), seed)
        with client.connect(port) as stream:
            stream.sendall(data)
            stream.shutdown(socket.SHUT_WR)
            assert client.read_to_end(stream) == data


def test_an_urgent_byte_is_no_part_of_the_stream(no_leak, port):
    """The echo services do not ask for it (tcp(7)): it is passed over."""
    for words in ((b"ab", b"!", b"cd"), (b"", b"!", b""), (b"a" * 5000, b"!", b"b" * 5000)):
        with client.connect(port) as stream:
            stream.sendall(words[0])
            stream.send(words[1], socket.MSG_OOB)
            stream.sendall(words[2])
            stream.shutdown(socket.SHUT_WR)
            assert client.read_to_end(stream) == words[0] + words[2]


def test_64_clients_at_once(no_leak):
    data = [client.payload(MIB, seed) for seed in range(64)]
    streams = [client.connect() for _ in data]
    try:
        assert client.exchange(streams, data, 300) == data
    finally:
        for stream in streams:
            stream.close()


def test_1000_short_connections(no_leak):
    for number in range(1000):
        word = f"connection {number}".encode()
        with client.connect() as stream:
            stream.sendall(word)
            stream.shutdown(socket.SHUT_WR)
            assert client.read_to_end(stream) == word, f"connection {number}"


def test_200_connections_that_the_client_resets(no_leak, port):
    for number in range(200):
        stream = client.connect(port)
        stream.sendall(b"x" * (number * 7 + 1))
        client.reset(stream)


def test_many_open_and_idle(no_leak, port):
    """Open connections cost little and all stay alive."""
    streams = [client.connect(port) for _ in range(60)]
    try:
        for number, stream in enumerate(streams):
            stream.sendall(b"%d" % number)
        for number, stream in enumerate(streams):
            assert stream.recv(10) == b"%d" % number
    finally:
        for stream in streams:
            stream.close()


@pytest.mark.parametrize("closed", [1, 9, 79, 81, 6999, 65535])
def test_closed_port_refuses_at_once(closed):
    began = time.monotonic()
    with pytest.raises(ConnectionRefusedError):
        client.connect(closed, timeout=5)
    assert time.monotonic() - began < 0.9, "a refusal that takes a second was a lost answer"


def stuff(stream):
    """Sends without reading until nothing more fits; returns how much did."""
    stream.setblocking(False)
    sent, quiet_since = 0, time.monotonic()
    while time.monotonic() < quiet_since + 0.5:
        try:
            sent += stream.send(b"s" * 16384)
            quiet_since = time.monotonic()
        except BlockingIOError:
            time.sleep(0.02)
    stream.setblocking(True)
    return sent


def test_reset_in_mid_transfer_harms_nobody(no_leak, port):
    data = [client.payload(256 << 10, seed) for seed in range(8)]
    streams = [client.connect(port) for _ in data]
    rude = [client.connect(port) for _ in range(8)]
    for stream in rude:
        assert stuff(stream) > 0
    for stream in rude:
        client.reset(stream)
    assert client.exchange(streams, data, 60) == data
    for stream in streams:
        stream.close()


def test_reader_that_stops_is_held_back(no_leak, port):
    """A client that does not read fills its own buffers, nobody else's; what
    it sent is there when it reads on."""
    lazy = client.connect(port)
    sent = stuff(lazy)
    data = client.payload(256 << 10)
    with client.connect(port) as other:
        assert client.exchange([other], [data], 60) == [data]
    lazy.shutdown(socket.SHUT_WR)
    lazy.settimeout(60)
    assert client.read_to_end(lazy) == b"s" * sent
    lazy.close()


def test_silent_departure_harms_nobody(system):
    """The client's address vanishes in mid-transfer: no FIN, no RST."""
    netns.run("ip", "address", "add", f"{netns.SECOND_PEER}/24", "dev", "peer0")
    gone = [client.connect(source=netns.SECOND_PEER) for _ in range(8)]
    for stream in gone:
        assert stuff(stream) > 0
    netns.run("ip", "address", "delete", f"{netns.SECOND_PEER}/24", "dev", "peer0")
    try:
        data = [client.payload(256 << 10, seed) for seed in range(8)]
        for _ in range(3):
            streams = [client.connect() for _ in data]
            assert client.exchange(streams, data, 60) == data
            for stream in streams:
                stream.close()
    finally:
        netns.run("ip", "address", "add", f"{netns.SECOND_PEER}/24", "dev", "peer0")
        for stream in gone:
            client.reset(stream)
        time.sleep(1)
        netns.run("ip", "address", "delete", f"{netns.SECOND_PEER}/24", "dev", "peer0")


def retransmissions(stream):
    """Segments sent again, the SYN too (tcpi_total_retrans of tcp(7))."""
    return struct.unpack_from("I", stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 100)[0]


def test_burst_of_200_connects(no_leak):
    """At once, with a backlog of 256: none is lost, or it would be sent again."""
    streams = []
    for _ in range(200):
        stream = socket.socket()
        stream.setblocking(False)
        assert stream.connect_ex((netns.GUEST, client.ECHO)) == errno.EINPROGRESS
        streams.append(stream)
    poll = select.poll()
    for stream in streams:
        poll.register(stream, select.POLLOUT)
    waiting = {stream.fileno() for stream in streams}
    deadline = time.monotonic() + 20
    while waiting and time.monotonic() < deadline:
        for fd, _ in poll.poll(1000):
            waiting.discard(fd)
            poll.unregister(fd)
    assert not waiting
    assert [stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for stream in streams] == [0] * 200
    # Before there is data, whose loss may be suspected by mistake (RFC 8985).
    assert [retransmissions(stream) for stream in streams] == [0] * 200
    data = [b"%d" % number for number in range(len(streams))]
    assert client.exchange(streams, data, 60) == data
    for stream in streams:
        stream.close()
