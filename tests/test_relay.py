"""Callbacks, by the component `relay`, which passes connections on to the host:
what became of the one side is seen on the other. Both sides are Linux's TCP."""

import fcntl
import select
import socket
import struct
import threading

import pytest

from harness import client, netns

pytestmark = pytest.mark.worlds("qemu", "hosted")

RELAY = 7300
TARGET = 7007
"""Of the host: where the relay goes."""
SIOCATMARK = 0x8905


@pytest.fixture
def relay(system, no_leak):
    system.wait_for_log(rf"relay\W+connections to TCP port {RELAY} go to {netns.PEER}:{TARGET}")
    return system


@pytest.fixture
def target(relay):
    with socket.create_server((netns.PEER, TARGET), backlog=64) as listener:
        listener.settimeout(20)
        yield listener


@pytest.fixture
def ends(target):
    """Both sides of a connection through the relay."""
    with client.connect(RELAY) as near:
        far, _ = target.accept()
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far.settimeout(20)
        with far:
            yield near, far


def test_both_ways_at_once(ends):
    data = [client.payload(300_000, seed) for seed in range(2)]
    assert client.exchange(ends, data, 60) == data[::-1]


@pytest.mark.parametrize("first", [0, 1], ids=["near", "far"])
def test_half_close(ends, first):
    """The end of one direction is passed on, and the other goes on."""
    one, other = ends[first], ends[1 - first]
    one.sendall(b"question")
    one.shutdown(socket.SHUT_WR)
    assert client.read_to_end(other) == b"question"
    other.sendall(b"answer")
    other.close()
    assert client.read_to_end(one) == b"answer"


def test_more_connections_than_there_is_room_for(target):
    """They wait for their turn."""

    def echo(stream):
        with stream:
            stream.sendall(client.read_to_end(stream))

    def serve():
        for _ in range(80):
            threading.Thread(target=echo, args=[target.accept()[0]]).start()

    threading.Thread(target=serve).start()
    for _ in range(2):
        data = [client.payload(20_000, seed) for seed in range(40)]
        streams = [client.connect(RELAY) for _ in data]
        assert client.exchange(streams, data, 60) == data
        for stream in streams:
            stream.close()


def read_until_reset(stream):
    with pytest.raises(ConnectionResetError):
        client.read_to_end(stream)


def test_refusal(relay):
    """Nobody listens: `disconnected` says so."""
    with pytest.raises(ConnectionResetError):
        client.read_to_end(client.connect(RELAY))
    relay.wait_for_log(rf"no connection to {netns.PEER}:{TARGET}:.*ECONNREFUSED")


@pytest.mark.parametrize("first", [0, 1], ids=["near", "far"])
@pytest.mark.parametrize("data", [b"", b"x" * 1000], ids=["silent", "with-data"])
def test_reset(relay, ends, first, data):
    """Also when the reset comes together with data."""
    said = f"the {('near', 'far')[first]} side has failed: connection reset"
    before = relay.log().count(said)
    ends[first].sendall(data)
    client.reset(ends[first])
    read_until_reset(ends[1 - first])
    relay.wait_for_log(rf"(?s)({said}.*){{{before + 1}}}")


def test_a_side_that_does_not_read_holds_up_the_other(ends):
    """A full window, and everything after it."""
    near, far = ends
    near.setblocking(False)
    data = client.payload(20 << 20)
    sent = 0
    with pytest.raises(BlockingIOError):
        while sent < len(data):
            sent += near.send(data[sent : sent + 65536])
            if sent % (1 << 20) < 65536:
                # Time to pass it on.
                threading.Event().wait(0.02)
    near.settimeout(60)
    near.shutdown(socket.SHUT_WR)
    assert client.read_to_end(far) == data[:sent]


def at_mark(stream):
    return struct.unpack("i", fcntl.ioctl(stream, SIOCATMARK, b"\0" * 4))[0] != 0


def send_with_urgent(stream):
    stream.sendall(b"ab")
    stream.send(b"!", socket.MSG_OOB)
    stream.sendall(b"cd")
    stream.shutdown(socket.SHUT_WR)


def wait_for_urgent(stream):
    poll = select.poll()
    poll.register(stream, select.POLLPRI)
    assert poll.poll(10_000)


@pytest.mark.parametrize("first", [0, 1], ids=["near", "far"])
def test_urgent_data(ends, first):
    """The urgent byte comes in its place, marked (tcp(7))."""
    one, other = ends[first], ends[1 - first]
    send_with_urgent(one)
    wait_for_urgent(other)
    assert other.recv(1, socket.MSG_OOB) == b"!"
    assert client.read_to_end(other) == b"abcd"


@pytest.mark.parametrize("first", [0, 1], ids=["near", "far"])
def test_urgent_data_in_line(ends, first):
    one, other = ends[first], ends[1 - first]
    other.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    send_with_urgent(one)
    wait_for_urgent(other)
    got = b""
    while not at_mark(other):
        # No receive goes across the mark.
        got += other.recv(100)
    assert got == b"ab"
    assert client.read_to_end(other) == b"!cd"
