"""One client does its worst; another goes on, and everything comes back.

The system is that of tools/isolation.py: `hostile` speaks to the servers by
their protocols alone (clients/hostile says what its acts are), `victim` uses
them as everybody does.
"""

import errno
import os
import signal
import socket
import threading
import time

import pytest

from harness import client
from harness.netns import GUEST
from harness.worlds import BUILD

VICTIM, HOSTILE = 6001, 6002
SYSTEM = str(BUILD / "isolation")
PORTS = (client.NETSTAT, VICTIM, HOSTILE)
KINDS = {"stream": socket.SOCK_STREAM.value, "packet": socket.SOCK_SEQPACKET.value}
# The longest that the victim's slowest round trip may take, in microseconds:
# what a busy test machine adds is most of it.
BOUND = 3_000_000

pytestmark = pytest.mark.worlds("qemu", "hosted")


class Lines:
    """A component that answers each line with `name errno number`."""

    def __init__(self, port):
        self.stream = client.connect(port, timeout=120)
        self.answers = self.stream.makefile("r")

    def ask(self, line):
        self.stream.sendall(f"{line}\n".encode())
        return self.answer(line)

    def answer(self, line):
        name, number, count = self.answers.readline().split()
        assert name == line.split()[0]
        return int(number), int(count)

    def close(self):
        self.answers.close()
        self.stream.close()


class Watch:
    """Asks the victim to go on while something else happens."""

    def __init__(self, line="ping"):
        self.victim = Lines(VICTIM)
        self.line, self.longest, self.asked, self.complaint = line, 0, 0, None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while self.complaint is None:
            number, taken = self.victim.ask(self.line)
            self.asked += 1
            self.longest = max(self.longest, taken)
            if number:
                self.complaint = f"{self.line}: {os.strerror(number)}"
            if self.over.wait(0.01):
                break

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.victim.close()
        assert self.complaint is None, self.complaint
        assert self.asked > 0
        assert self.longest < BOUND, f"{self.longest} us for one of {self.asked}"


def ping():
    """The victim uses its sockets: what room they have and do not use goes back
    then."""
    victim = Lines(VICTIM)
    assert victim.ask("ping")[0] == 0
    victim.close()


def settled():
    """What is held when nothing changes any more."""
    ping()
    return client.settled()


def assert_no_leak(before):
    # The room that each of the victim's sockets keeps lies in one page or across two.
    client.assert_no_leak(before, stir=ping, spare={"pages_all": 8})


@pytest.fixture
def hostile(boot):
    boot(system=SYSTEM, ports=PORTS)
    before = settled()
    lines = Lines(HOSTILE)
    yield lines
    lines.close()
    assert_no_leak(before)


def test_handles_of_others_are_not_there(hostile):
    with Watch():
        number, refused = hostile.ask("handles")
    assert (number, refused > 70_000) == (errno.EBADF, True)


def test_open_files_cannot_be_guessed(hostile):
    with Watch():
        number, refused = hostile.ask("tokens")
    assert (number, refused) == (errno.EBADF, 1000 + 192 + 128)


def test_nobody_ends_another(hostile):
    with Watch():
        assert hostile.ask("ends") == (errno.EPERM, 8)


def test_names_belong_to_their_owner(hostile):
    with Watch():
        assert hostile.ask("names") == (0, 7 + 6 * 128)


def test_descriptors_in_cycles_come_back(hostile):
    with Watch():
        assert hostile.ask("cycles 100") == (errno.ETOOMANYREFS, 100)
    end = time.monotonic() + 10
    while client.counters()["flying_all"]:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_who_fills_its_memory_fills_no_one_elses(hostile):
    with Watch("move 1000000"):
        number, pages = hostile.ask("arena 1000")
    assert number == errno.EMFILE
    assert pages > 1500


def test_a_full_inbox_stops_nothing_else(hostile):
    victim = Lines(VICTIM)
    number, taken = hostile.ask("inbox 200")
    assert (number, taken > 0) == (0, True)
    assert victim.ask("move 1000000")[0] == 0
    victim.close()
    with Watch("move 1000000"):
        assert hostile.ask("inbox 2000")[0] == 0
    victim = Lines(VICTIM)
    assert victim.ask("inbox")[1] >= taken
    victim.close()


def test_connections_that_nobody_accepts_leave_room_for_others(hostile):
    number, count = hostile.ask("heap")
    assert number in (errno.EMFILE, errno.ENOBUFS)
    assert count > 20
    with Watch("connect"):
        time.sleep(1)
    assert hostile.ask("drop") == (0, 0)


def test_releases_are_not_lost(hostile):
    for _ in range(3):
        hostile.ask("releases 5000")
        victim = Lines(VICTIM)
        assert victim.ask("pipe")[0] == 0
        victim.close()


def test_a_flood_is_its_own_affair(hostile):
    with Watch():
        assert hostile.ask("flood 1000000") == (0, 1_000_000)


def test_lies_in_the_rings_are_punished(hostile):
    with Watch():
        number, punished = hostile.ask("lies 200")
    assert (number, punished > 100) == (0, True)


@pytest.mark.parametrize("by", ["stream", "packet"])
def test_who_dies_leaves_what_it_gave_and_nothing_else(boot, by):
    system = boot(system=SYSTEM, ports=PORTS, fresh=True)
    before = settled()
    hostile, victim = Lines(HOSTILE), Lines(VICTIM)
    given, half_read = client.connect(HOSTILE), client.connect(HOSTILE)
    half_read.sendall(bytes(100))
    assert hostile.ask(f"die {KINDS[by]}") == (0, 5)
    system.wait_for_log(r"hostile ended: memory fault at 0x1803002008, instruction 0x[0-9a-f]+\n")
    system.accept_log()
    # As Linux ends the connections of a process that is killed.
    expected = linux_ends()
    for stream, wanted in ((hostile.stream, "end"), (half_read, "reset")):
        assert how_it_ends(stream) == wanted == expected[wanted]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((GUEST, HOSTILE), timeout=10)
    # What it gave away was on its way when it died.
    assert victim.ask(f"take {by}") == (0, 5)
    assert victim.ask("use") == (0, 5)
    given.settimeout(20)
    assert given.recv(100) == b"alive"
    assert victim.ask("unlink /disk/kept.txt") == (0, 0)
    assert victim.ask("ping")[0] == 0
    assert victim.ask("drop") == (0, 0)
    assert how_it_ends(given) == "end"
    for stream in (hostile, victim, given, half_read):
        stream.close()
    assert_no_leak(before)


def test_a_panic_is_an_end_like_others(boot, world):
    system = boot(system=SYSTEM, ports=PORTS, fresh=True)
    before = settled()
    hostile = Lines(HOSTILE)
    hostile.stream.sendall(b"panic\n")
    system.wait_for_log("(?s)panicked at .*as it was told" if world == "qemu" else "as it was told")
    system.wait_for_log(r"hostile ended: exception 0x" if world == "qemu" else r"hostile ended: exit 101\n")
    system.accept_log()
    assert how_it_ends(hostile.stream) == "end"
    hostile.close()
    assert_no_leak(before)


def how_it_ends(stream):
    """`end` or `reset`, whichever the connection comes to."""
    stream.settimeout(20)
    try:
        while stream.recv(4096):
            pass
        return "end"
    except ConnectionResetError:
        return "reset"


def linux_ends():
    """What happens to the peers of a process that faults: one that has said all
    and whose words were read, and one whose were read in part."""
    listener = socket.create_server(("127.0.0.1", 0))
    child = os.fork()
    if child == 0:
        peers = [listener.accept()[0] for _ in range(2)]
        peers[0].recv(100)
        peers[1].recv(50)
        os.kill(os.getpid(), signal.SIGKILL)
    port = listener.getsockname()[1]
    listener.close()
    read, half_read = (socket.create_connection(("127.0.0.1", port)) for _ in range(2))
    read.sendall(bytes(100))
    half_read.sendall(bytes(100))
    os.waitpid(child, 0)
    return {"end": how_it_ends(read), "reset": how_it_ends(half_read)}
