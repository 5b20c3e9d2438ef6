"""The carrier goes and comes back."""

import os
import signal
import time

import pytest

from harness import client, netns
from test_names import Host

pytestmark = pytest.mark.worlds("qemu", "hosted")


@pytest.fixture
def unplugged(boot):
    """A system whose cable can be taken away; at the end it has it again."""
    system = boot()
    yield system
    system.set_carrier(True)
    # Whoever comes next meets a system that answers.
    system.started = time.monotonic()
    system.wait_until_ready()


def test_what_stands_goes_on_and_what_begins_fails(unplugged):
    system = unplugged
    host = Host(system)
    with client.connect() as standing:
        # A component that waits for an answer and will ask again.
        os.kill(system.link.dnsmasq.pid, signal.SIGSTOP)
        try:
            host.send("slow.example")
            time.sleep(0.3)
            said = len(system.log())
            system.set_carrier(False)
            system.wait_for_log(r"net_server\W+eth0 is without carrier", since=said)
            standing.sendall(b"hello")
            # The first question has a second; the next ones have no way.
            time.sleep(2)
            system.set_carrier(True)
            system.wait_for_log(r"(?s)eth0 is without carrier.*eth0 is up", since=said)
        finally:
            os.kill(system.link.dnsmasq.pid, signal.SIGCONT)
        standing.settimeout(20)
        assert standing.recv(10) == b"hello"
    assert host.receive() == ["network is down (ENETDOWN)"]
    assert host.ask("quick.example") == [netns.PEER]
    host.close()


def test_the_lease_is_asked_for_anew(unplugged):
    system = unplugged
    leases = system.link.directory / "dnsmasq.log"
    before, said = leases.read_text().count("DHCPACK("), len(system.log())
    system.set_carrier(False)
    system.wait_for_log(r"eth0 is without carrier", since=said)
    system.set_carrier(True)
    end = time.monotonic() + 15
    while leases.read_text().count("DHCPACK(") <= before:
        assert time.monotonic() < end
        time.sleep(0.1)
