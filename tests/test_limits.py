"""What is asked of the server beyond what it has room for."""

import select
import socket
import time

import pytest

from harness import client, netns


def connect_many(port, number):
    """So many connects at once; they go on."""
    streams = []
    for _ in range(number):
        stream = socket.socket()
        stream.setblocking(False)
        stream.connect_ex((netns.GUEST, port))
        streams.append(stream)
    return streams


def established(streams, seconds):
    """Those that are connected when some time has passed, or sooner if all are."""
    poll, waiting, done = select.poll(), {}, []
    for stream in streams:
        waiting[stream.fileno()] = stream
        poll.register(stream, select.POLLOUT)
    end = time.monotonic() + seconds
    while waiting and time.monotonic() < end:
        for fd, _ in poll.poll(100):
            poll.unregister(fd)
            stream = waiting.pop(fd)
            if stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                done.append(stream)
    return done


def echo(stream, word):
    stream.settimeout(10)
    stream.sendall(word)
    return stream.recv(len(word)) == word


@pytest.mark.usefixtures("no_leak")
def test_more_connections_than_places():
    """Two clients have all the connections that they may; nothing else suffers."""
    streams = {port: connect_many(port, 300) for port in (client.ECHO, client.HTTP)}
    try:
        done = {port: established(some, 20) for port, some in streams.items()}
        assert all(len(some) >= 240 for some in done.values()), {port: len(some) for port, some in done.items()}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.connect((netns.GUEST, client.ECHO))
            udp.settimeout(5)
            for seed in range(10):
                data = client.payload(60_000, seed)
                udp.send(data)
                assert udp.recv(1 << 16) == data
        assert all(echo(stream, b"%d" % n) for n, stream in enumerate(done[client.ECHO][:200]))
        assert client.counters()["sockets_all"]
    finally:
        for stream in sum(streams.values(), []):
            stream.close()
    # Those who come when the others have left.
    end = time.monotonic() + 30
    while True:
        try:
            with client.connect(timeout=3) as stream, client.connect(client.HTTP, timeout=3) as http:
                assert echo(stream, b"again")
                http.settimeout(3)
                http.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
                assert client.read_to_end(http).startswith(b"HTTP/1.")
                return
        except OSError:
            assert time.monotonic() < end, "the services did not come back"
