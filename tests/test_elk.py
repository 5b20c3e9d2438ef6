"""ELK's test program as a component: what its calls give is what they give here, on Linux."""

import errno
import os
import socket
import stat

import pytest

from harness import client

ELK = 7200

pytestmark = pytest.mark.worlds("qemu", "hosted")


class Report:
    """The calls of the component `elk`, made on this machine."""

    def __init__(self):
        self.lines = []

    def call(self, name, function):
        """Notes what a call gives; gives what it did, or None."""
        try:
            result = function()
        except OSError as e:
            self.lines.append(f"{name}: {errno.errorcode[e.errno]}")
            return None
        self.lines.append(f"{name}: {result if name.startswith(('write', 'mode')) else 0}")
        return result

    def read(self, what, fd):
        try:
            data = os.read(fd, 16)
            self.lines.append(f'read {what} "{data.decode()}": {len(data)}')
        except OSError as e:
            self.lines.append(f'read {what} "": {errno.errorcode[e.errno]}')

    def pair(self):
        a, b = self.call("socketpair", socket.socketpair)
        with a, b:
            self.call("write socketpair", lambda: os.write(a.fileno(), b"ping"))
            self.read("socketpair", b.fileno())

    def node(self, name, kind, path):
        self.call(f"mknod {name}", lambda: os.mknod(path, kind | 0o644))
        fd = self.call(f"open {name}", lambda: os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        self.read(name, -1 if fd is None else fd)
        if fd is not None:
            os.close(fd)
        self.call(f"mode {name}", lambda: os.stat(path).st_mode)
        self.call(f"unlink {name}", lambda: os.unlink(path))


def of_linux(folder):
    report = Report()
    before = os.umask(0o022)
    try:
        report.pair()
        for name in ("S_IFREG", "S_IFIFO", "S_IFSOCK"):
            report.node(name, getattr(stat, name), folder / f"elk.{name}")
    finally:
        os.umask(before)
    return report.lines


def test_elk_gets_what_linux_gives(no_leak, tmp_path):
    expected = of_linux(tmp_path)
    assert "open S_IFSOCK: ENXIO" in expected and 'read socketpair "ping": 4' in expected
    for _ in range(2):
        with client.connect(ELK) as stream:
            assert client.read_to_end(stream).decode().splitlines() == expected
