"""Descriptors handed from one component to another (SCM_RIGHTS).

`spawner` accepts a connection, opens a file, hands both to `worker` and closes
its own; what answers is the worker, which may do neither itself.
"""

import pytest

from harness import client

SPAWNER = 7100

pytestmark = pytest.mark.worlds("qemu", "hosted")


def check(archive):
    with client.connect(SPAWNER) as stream:
        assert client.read_to_end(stream) == archive["index.html"]


@pytest.fixture
def no_leak_later(system, archive):
    """Both must know each other before what they hold can be compared."""
    check(archive)
    before = client.settled()
    yield
    client.assert_no_leak(before)


def test_the_worker_serves_what_the_spawner_gave(no_leak_later, archive):
    for _ in range(5):
        check(archive)


def test_who_goes_away_meanwhile_harms_nobody(no_leak_later, archive):
    for _ in range(5):
        client.reset(client.connect(SPAWNER))
    check(archive)
