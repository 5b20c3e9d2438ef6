"""Names, by the component `host`: from files of the archive, and from dnsmasq."""

import re
import time

import pytest

from harness import client, netns

pytestmark = pytest.mark.worlds("qemu", "hosted")

HOST = 7400


class Host:
    """A connection to the component."""

    def __init__(self, system):
        system.wait_for_log(rf"host\W+names on TCP port {HOST}")
        self.stream = client.connect(HOST)
        self.lines = self.stream.makefile("rw", newline="\n")
        self.queries = system.link.directory / "dnsmasq.log"

    def ask(self, question):
        """The lines of the answer."""
        self.send(question)
        return self.receive()

    def send(self, question):
        self.lines.write(question + "\n")
        self.lines.flush()

    def receive(self):
        answer = []
        while line := self.lines.readline().rstrip("\n"):
            answer.append(line)
        return answer

    def asked(self, name):
        """How many questions about a name dnsmasq has seen, of any kind."""
        return len(re.findall(rf"(?i)query\[\w+\] {re.escape(name)} from", self.queries.read_text()))

    def close(self):
        self.lines.close()
        self.stream.close()


@pytest.fixture
def host(system):
    host = Host(system)
    yield host
    host.close()


def test_a_server_that_is_dead_costs_time_once(host):
    """Whoever answered last is asked first."""
    assert host.ask("first.example") == [netns.PEER]
    began = time.monotonic()
    for number in range(5):
        assert host.ask(f"n{number}.example") == [netns.PEER]
    assert time.monotonic() - began < 0.9


def test_addresses_of_both_kinds(host):
    # With one IPv4 address and no way for IPv6 there is nothing to choose.
    assert host.ask("six.test 80") == ["10.9.8.7:80", "[fd00:9::7]:80"]


def test_aliases(host):
    assert host.ask("alias.test") == ["10.9.8.7"]
    assert host.ask("alias.test 80") == ["10.9.8.7:80", "[fd00:9::7]:80"]


def test_more_than_a_datagram_holds(host):
    """The answer is cut off (RFC 1035 4.2.1) and asked for again by TCP."""
    found = host.ask("many.test")
    assert len(found) == 32 and len(set(found)) == 32
    assert all(re.fullmatch(r"10\.8\.0\.\d+", address) for address in found)


def test_what_is_not_there(host):
    assert host.ask("none.test") == ["host not found"]
    assert host.ask("-..") == ["not a host name"]


def test_names_of_addresses(host):
    assert host.ask("10.9.8.7") == ["six.test"]
    assert host.ask("fd00:9::7") == ["six.test"]


def test_an_answer_holds_for_its_time(host):
    for _ in range(3):
        assert host.ask("brief.test") == ["10.9.8.9"]
    before = host.asked("brief.test")
    assert before <= 2
    time.sleep(2.2)
    assert host.ask("brief.test") == ["10.9.8.9"]
    assert host.asked("brief.test") > before


def test_files_go_before_servers(host):
    assert host.ask("gateway") == [netns.PEER]
    assert host.ask("Gateway.Strait names") == [f"{netns.PEER}:7400"]
    assert host.ask(netns.PEER) == ["gateway.strait"]
    assert host.asked("gateway") == host.asked("gateway.strait") == 0
    assert host.ask("10.0.2.2 relay") == ["10.0.2.2:7300"]
    # What no file says.
    assert host.ask("10.0.2.2 http") == ["10.0.2.2:80"]
    assert host.ask("10.0.2.2 nothing-such") == ["servname not supported for ai_socktype"]
