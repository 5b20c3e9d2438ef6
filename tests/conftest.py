"""Fixtures of the system tests; see README.md."""

import hashlib
import http.server
import os
import tarfile
import threading

import pytest

from harness import client, netns
from harness.worlds import ARCHIVE, NotBuilt, System, WORLDS


def pytest_addoption(parser):
    parser.addoption("--world", choices=sorted(WORLDS), default=os.environ.get("WORLD", "qemu"))


def pytest_configure(config):
    config.addinivalue_line("markers", "worlds(*names): the worlds in which the test makes sense")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if missing := netns.missing_tools():
        raise pytest.UsageError(f"missing: {', '.join(missing)}; `make setup` installs them")
    try:
        netns.enter()
    except (RuntimeError, OSError) as problem:
        raise pytest.UsageError(str(problem)) from None


def pytest_collection_modifyitems(config, items):
    world = config.getoption("--world")
    for item in items:
        for mark in item.iter_markers("worlds"):
            if world not in mark.args:
                item.add_marker(pytest.mark.skip(reason=f"not for the world {world}"))


@pytest.fixture(scope="session")
def world(request):
    """The world under test."""
    return request.config.getoption("--world")


class Manager:
    """Keeps at most one system running: the one last asked for."""

    def __init__(self, world, directories):
        self.world = world
        self.directories = directories
        self.key = self.system = None

    def get(self, faults=None, system=None, fresh=False, ipv6=False, disk=None, ports=(80, 7, 15), leases=None):
        key = (tuple(faults or ()), system, ipv6, leases)
        if self.system is not None and (fresh or key != self.key or self.system.process.poll() is not None):
            self.stop()
        if self.system is None:
            try:
                self.system = System(self.world, self.directories.mktemp("run"), faults, system, ipv6, disk, leases)
            except NotBuilt as problem:
                pytest.fail(str(problem), pytrace=False)
            self.key = key
            self.system.wait_until_ready(ports)
        return self.system

    def stop(self):
        system, self.system = self.system, None
        if system is not None:
            system.close()


@pytest.fixture(scope="session")
def manager(world, tmp_path_factory):
    """Starts and ends systems."""
    manager = Manager(world, tmp_path_factory)
    yield manager
    manager.stop()


@pytest.fixture
def boot(manager):
    """Boots (or reuses) a system; afterwards the test fails if the system
    ended or a component did."""
    yield manager.get
    if manager.system is not None and (complaint := manager.system.complaint()):
        manager.stop()
        pytest.fail(complaint, pytrace=False)


@pytest.fixture
def system(boot):
    """The system on a good wire."""
    return boot()


@pytest.fixture
def bad_wire(boot):
    """Boots the system on a wire with faults, each with this chance."""

    def start(**faults):
        words = [word for name, chance in faults.items() for word in (f"--{name}", str(chance))]
        return boot(tuple(words))

    return start


@pytest.fixture
def no_leak(system):
    """What the server holds must be the same before and after the test."""
    before = client.settled()
    yield
    client.assert_no_leak(before)


@pytest.fixture(scope="session")
def archive():
    """Files of the boot archive: name and bytes."""
    if not ARCHIVE.exists():
        pytest.fail(f"{ARCHIVE} is missing: run `make image`", pytrace=False)
    with tarfile.open(ARCHIVE) as tar:
        return {m.name.removeprefix("./"): tar.extractfile(m).read() for m in tar if m.isfile()}


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the same 300,000 bytes under every name."""

    body = client.payload(300_000, seed=3)
    sha256 = hashlib.sha256(body).hexdigest()
    requests = []

    def do_GET(self):
        Handler.requests.append((self.client_address[0], self.headers.get("Host"), self.path))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session", autouse=True)
def web():
    """A web server on the host, for the system's own client."""
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 80), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Handler
    server.shutdown()
