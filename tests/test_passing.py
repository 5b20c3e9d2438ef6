"""Descriptors handed from one component to another (SCM_RIGHTS).

`spawner` accepts a connection, opens a file, hands both to `worker` and closes
its own; what answers is the worker, which may do neither itself: it has no
sockets of the network, and the file is the spawner's alone.
"""

import subprocess

import pytest

from harness import client, netns

SPAWNER = 7100
FILE = "".join(f"line {line} of what the spawner alone may open\n" for line in range(2000)).encode()

pytestmark = pytest.mark.worlds("qemu", "hosted")


def check():
    with client.connect(SPAWNER) as stream:
        assert client.read_to_end(stream) == FILE


@pytest.fixture
def no_leak_later(system):
    """Both must know each other before what they hold can be compared."""
    check()
    before = client.settled()
    yield
    client.assert_no_leak(before)


def test_the_worker_serves_what_the_spawner_gave(no_leak_later):
    for _ in range(5):
        check()


def test_who_goes_away_meanwhile_harms_nobody(no_leak_later):
    for _ in range(5):
        client.reset(client.connect(SPAWNER))
    check()


def test_nobody_else_may_open_the_file(system):
    url = f"http://{netns.GUEST}/tmp/spawner.txt"
    done = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", url], capture_output=True, text=True, timeout=30)
    assert done.stdout == "403", done.stderr
