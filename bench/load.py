"""The loads that are measured. Each is a generator: it prepares and warms up,
yields, does the work, and yields the number of operations and the time of each
(or of all)."""

import select
import socket
import time

PATTERN = bytes(i % 251 for i in range(251 * 1024))


def tcp(host, port):
    stream = socket.create_connection((host, port), 30)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def receive(stream, size):
    data = b""
    while len(data) < size:
        part = stream.recv(size - len(data))
        if not part:
            raise ConnectionError("the echo ended early")
        data += part
    return data


def tcp_round_trips(host, port, count, size=64):
    """One message at a time over one connection."""
    with tcp(host, port) as stream:
        times = []

        def turns(n):
            for i in range(n):
                message = i.to_bytes(4, "little") * (size // 4)
                began = time.perf_counter()
                stream.sendall(message)
                if receive(stream, size) != message:
                    raise ValueError("not what was sent")
                times.append(time.perf_counter() - began)

        turns(count // 10 + 1)
        times.clear()
        yield
        turns(count)
        yield count, times


def udp_round_trips(host, port, count, size=64):
    """One datagram at a time."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((host, port))
        sock.settimeout(2)
        times = []

        def turns(n):
            for i in range(n):
                message = i.to_bytes(4, "little") * (size // 4)
                began = time.perf_counter()
                sock.send(message)
                if sock.recv(65536) != message:
                    raise ValueError("not what was sent")
                times.append(time.perf_counter() - began)

        turns(count // 10 + 1)
        times.clear()
        yield
        turns(count)
        yield count, times


def udp_window(host, port, count, size=64, window=32):
    """Always `window` datagrams on the way. What is lost is sent again."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((host, port))
        sock.settimeout(1)
        message = b"w" * size

        def turns(n):
            done = out = 0
            while done < n:
                while out < window and done + out < n:
                    sock.send(message)
                    out += 1
                try:
                    sock.recv(65536)
                    done, out = done + 1, out - 1
                except TimeoutError:
                    out = 0

        turns(count // 10 + 1)
        yield
        began = time.perf_counter()
        turns(count)
        yield count, [time.perf_counter() - began]


def tcp_stream(host, port, count):
    """`count` times 1,460 bytes echoed over one connection, all compared."""
    with tcp(host, port) as stream:

        def transfer(total):
            sent = got = 0
            stream.setblocking(False)
            while got < total:
                readable, writable, _ = select.select([stream], [stream] if sent < total else [], [], 10)
                if not readable and not writable:
                    raise TimeoutError(f"stalled after {got} bytes")
                if writable:
                    at = sent % 251
                    sent += stream.send(memoryview(PATTERN)[at : at + min(65536, total - sent)])
                if readable:
                    part = stream.recv(1 << 17)
                    at = got % 251
                    if not part or part != PATTERN[at : at + len(part)]:
                        raise ValueError("not what was sent")
                    got += len(part)
            stream.setblocking(True)

        transfer(251 * 2048)
        yield
        began = time.perf_counter()
        transfer(count * 1460)
        yield count, [time.perf_counter() - began]
