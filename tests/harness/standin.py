#!/usr/bin/env python3
"""A stand-in for the system under test: the same services by Linux's own TCP.

    standin.py --tap NAME --archive FILE

It attaches to a TAP device as the system does, in a network namespace of its
own, and serves echo (7 and 7007), HTTP (80) and the counters (15). The tests must pass
against it: Linux is the oracle that what they expect is right.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import netns  # noqa: E402

sockets = {"sockets_all": 0}


def cable(a, b):
    """Carries frames from one TAP device to another for ever."""
    os.set_blocking(a, True)
    while True:
        try:
            os.write(b, os.read(a, 65536))
        except OSError:
            pass


def counted(service):
    async def run(reader, writer):
        sockets["sockets_all"] += 1
        try:
            await service(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            sockets["sockets_all"] -= 1
            writer.close()

    return run


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def netstat(_, writer):
    text = "".join(f"{k} {v}\n" for k, v in sockets.items())
    writer.write((text + "pages_all 0\nbuffer_bytes 0\nrx_dropped 0\n").encode())
    await writer.drain()


def http(files):
    async def serve(reader, writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            try:
                method, path, version = head.split(b"\r\n")[0].decode().split(" ")
                if not version.startswith("HTTP/1."):
                    raise ValueError
            except ValueError:
                writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
                return
            if method not in ("GET", "HEAD"):
                writer.write(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
                return
            body = files.get(path.lstrip("/") or "index.html")
            status = "200 OK" if body is not None else "404 Not Found"
            body = body or b""
            close = b"connection: close" in head.lower() or version == "HTTP/1.0"
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n"
                f"Connection: {'close' if close else 'keep-alive'}\r\n\r\n".encode()
            )
            if method == "GET":
                writer.write(body)
            await writer.drain()
            if close:
                return

    return serve


def udp_echo(port):
    # Not by asyncio, which sends no empty datagrams.
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", port))
    while True:
        data, address = sock.recvfrom(65536)
        try:
            sock.sendto(data, address)
        except OSError:
            pass


async def main(files):
    for port in (7, 7007):
        await asyncio.start_server(counted(echo), None, port, backlog=1024)
        threading.Thread(target=udp_echo, args=[port], daemon=True).start()
    await asyncio.start_server(counted(http(files)), None, 80, backlog=1024, limit=16384)
    await asyncio.start_server(counted(netstat), None, 15)
    seen = set()
    while True:
        # As the system's own log has it.
        for line in subprocess.check_output(["ip", "-6", "-o", "address", "show", "dev", "eth0"], text=True).splitlines():
            address = line.split()[3].split("/")[0]
            if "tentative" not in line and address not in seen:
                seen.add(address)
                print(f"eth0 has {address}/64", flush=True)
        await asyncio.sleep(0.3)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tap", required=True)
    parser.add_argument("--archive", required=True)
    arguments = parser.parse_args()
    with tarfile.open(arguments.archive) as tar:
        contents = {m.name.removeprefix("./"): tar.extractfile(m).read() for m in tar if m.isfile()}
    outside = netns.open_tap(arguments.tap)
    netns.enter()
    inside = netns.open_tap("eth0")
    netns.run("ip", "address", "add", f"{netns.GUEST}/24", "dev", "eth0")
    netns.run("ip", "link", "set", "eth0", "up")
    for ends in ((outside, inside), (inside, outside)):
        threading.Thread(target=cable, args=ends, daemon=True).start()
    asyncio.run(main(contents))
