"""Clients of the system's services, over the host's own sockets."""

import random
import select
import socket
import struct
import time

from .netns import GUEST

ECHO, HTTP, NETSTAT = 7, 80, 15
ASYNC_ECHO = 7007
"""The same service by async tasks."""


def payload(size, seed=0):
    """Bytes that do not repeat, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def connect(port=ECHO, timeout=30, source=None):
    """A connected stream socket."""
    stream = socket.create_connection((GUEST, port), timeout, source_address=(source, 0) if source else None)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def read_to_end(stream):
    """All bytes up to the end of file."""
    parts = []
    while part := stream.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def exchange(streams, data, seconds):
    """Sends `data[i]` on `streams[i]`, all at once, ends each direction with
    a half-close and returns what each stream gave back."""
    poll = select.poll()
    sent, got = [0] * len(streams), [bytearray() for _ in streams]
    index = {}
    for i, stream in enumerate(streams):
        stream.setblocking(False)
        index[stream.fileno()] = i
        if not data[i]:
            stream.shutdown(socket.SHUT_WR)
        poll.register(stream, select.POLLIN | (select.POLLOUT if data[i] else 0))
    end, left = time.monotonic() + seconds, len(streams)
    while left:
        if time.monotonic() > end:
            behind = [(i, sent[i], len(got[i])) for i in range(len(streams)) if len(got[i]) < len(data[i])]
            raise TimeoutError(f"{left} streams not done; (stream, sent, received): {behind[:8]}")
        for fd, events in poll.poll(1000):
            i = index[fd]
            stream = streams[i]
            if events & select.POLLOUT and sent[i] < len(data[i]):
                sent[i] += stream.send(memoryview(data[i])[sent[i] : sent[i] + 65536])
                if sent[i] == len(data[i]):
                    stream.shutdown(socket.SHUT_WR)
                    poll.modify(fd, select.POLLIN)
            if events & (select.POLLIN | select.POLLHUP | select.POLLERR):
                part = stream.recv(1 << 16)
                got[i] += part
                if not part:
                    poll.unregister(fd)
                    left -= 1
    return got


def reset(stream):
    """Closes with RST, whatever is on the way."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


def counters():
    """The server's counters, by the netstat component."""
    stream = connect(NETSTAT)
    lines = read_to_end(stream).decode().splitlines()
    # The server closed first; a reset spares it TIME-WAIT, which would count.
    reset(stream)
    return {name: int(value) for name, value in (line.split() for line in lines if line)}


def resources(values=None):
    """Those counters that tell of something held."""
    values = values or counters()
    held = {"sockets_all", "pages_all", "buffer_bytes"}
    # The stand-in has neither.
    held |= {name for name in values if name == "flying_all" or name.startswith("files_")}
    return {name: values[name] for name in sorted(held)}


def settled(seconds=15):
    """What is held when nothing changes any more."""
    held = resources()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.3)
        before, held = held, resources()
        if held == before:
            break
    return held


def assert_no_leak(before, seconds=40, stir=lambda: None, spare=()):
    """Waits until no more is held than before, of some so much more at most as
    `spare` says; each look comes after `stir`."""
    most = {name: value + dict(spare).get(name, 0) for name, value in before.items()}
    end = time.monotonic() + seconds
    while True:
        stir()
        held = resources()
        if all(held[name] <= most[name] for name in most):
            return
        assert time.monotonic() < end, f"held before: {before}, after: {held}"
        time.sleep(0.25)
