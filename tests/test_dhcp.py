"""A lease from its beginning to its end (RFC 2131 4.4.5), and the next one."""

import re
import socket
import time

import pytest

from harness import client, netns
from harness.dhcp import LEASE, REBIND, RENEW

pytestmark = pytest.mark.worlds("qemu", "hosted")

OTHER = "10.0.2.16"


def wait_for(path, pattern, count=1, seconds=15):
    """Waits until a line has been said so often; when that was."""
    end = time.monotonic() + seconds
    while len(re.findall(rf"(?m)^{pattern}$", path.read_text())) < count:
        assert time.monotonic() < end, path.read_text()
        time.sleep(0.02)
    return time.monotonic()


def echo(address):
    with socket.create_connection((address, client.ECHO), 5) as stream:
        assert client.exchange([stream], [b"hello"], 10) == [b"hello"]


def test_renewed_rebound_lost_and_found(boot):
    system = boot(leases=netns.GUEST)
    said, lease = system.link.directory / "dhcp.log", system.link.leases
    had = f"REQUEST {netns.GUEST}"
    # At T1 it asks the server that it has it from, and the connection goes on.
    with client.connect() as standing:
        began = wait_for(said, f"{had} {netns.PEER}")
        lease.write_text(f"{OTHER} deaf")
        # The next time nobody answers: at T2 it asks all, then the lease ends.
        renewed = wait_for(said, f"{had} {netns.PEER}", 2)
        assert renewed - began > RENEW - 1
        assert client.exchange([standing], [b"still there"], 10) == [b"still there"]
    rebound = wait_for(said, f"{had} 255.255.255.255")
    assert rebound - renewed > REBIND - RENEW - 1
    echo(netns.GUEST)
    system.wait_for_log(r"eth0 has no address(?s:.*)eth0 has no address")
    assert time.monotonic() - rebound > LEASE - REBIND - 1
    # At once it asks for another.
    system.wait_for_log(rf"eth0 has {OTHER}/24")
    echo(OTHER)
    with pytest.raises(OSError):
        socket.create_connection((netns.GUEST, client.ECHO), 0.5)

    # A server that refuses it (DHCPNAK) ends a lease at once, as after a move.
    lease.write_text(netns.GUEST)
    system.wait_for_log(rf"eth0 has {OTHER}(?s:.*)eth0 has no address(?s:.*)eth0 has {netns.GUEST}/24", RENEW + 5)
    echo(netns.GUEST)
