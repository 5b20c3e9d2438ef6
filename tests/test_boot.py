"""From the first instruction on: addresses, logs, the client that connects out."""

import os
import re
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

from harness import client, netns
from harness.worlds import ROOT, TROUBLE


@pytest.mark.worlds("qemu", "hosted")
def test_address_comes_by_dhcp(boot):
    system = boot(fresh=True)
    log = (system.link.directory / "dnsmasq.log").read_text()
    assert f"DHCPACK(peer0) {netns.GUEST}" in log
    assert client.counters()["misbehaved"] == 0


@pytest.mark.worlds("qemu", "hosted")
def test_fetch_resolves_and_gets(boot, web):
    """The system's own client: DNS, connect, HTTP, and the right bytes."""
    web.requests.clear()
    system = boot(fresh=True)
    system.wait_for_log(rf"fetch\W.*{web.sha256}", 60)
    assert web.requests and web.requests[0][0] == netns.GUEST
    log = (system.link.directory / "dnsmasq.log").read_text()
    assert re.search(r"query\[A\] \S+ from " + re.escape(netns.GUEST), log)


@pytest.mark.worlds("qemu", "hosted")
def test_every_component_speaks(boot):
    system = boot()
    for name in ("eth_driver", "net_server", "echo", "httpd"):
        system.wait_for_log(rf"(?m)^\W*{name}\b")


@pytest.mark.worlds("qemu", "hosted")
def test_many_boots(boot):
    """No boot is unlucky."""
    for _ in range(5):
        boot(fresh=True)
        with client.connect() as stream:
            assert client.exchange([stream], [b"hello"], 10) == [b"hello"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def make_run(world, tmp_path):
    """`make run` as a user types it, without a terminal, on free ports."""
    http, echo = free_port(), free_port()
    log = tmp_path / "make-run.log"
    with open(log, "wb") as output:
        child = subprocess.Popen(
            ["make", "run", f"HTTP_PORT={http}", f"ECHO_PORT={echo}", *(["HOSTED=1"] if world == "hosted" else [])],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        end = time.monotonic() + 300
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{http}/", timeout=2).read()
                break
            except OSError:
                assert child.poll() is None and time.monotonic() < end, log.read_text(errors="replace")[-3000:]
                time.sleep(0.2)
        yield http, echo, child, log
    finally:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()


def members(group):
    """Processes of a session that still run."""
    found = []
    for name in os.listdir("/proc"):
        try:
            fields = open(f"/proc/{name}/stat").read().rsplit(")", 1)[1].split() if name.isdigit() else None
        except OSError:
            continue
        if fields and int(fields[3]) == group and fields[0] != "Z":
            found.append(int(name))
    return found


@pytest.mark.worlds("qemu", "hosted")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_make_run_as_a_user_does(manager, make_run, how):
    """Forwarded ports on 127.0.0.1, hints in the log, and nothing left behind."""
    http, echo, child, log = make_run
    said = log.read_text(errors="replace")
    assert f"curl http://127.0.0.1:{http}/" in said
    done = subprocess.run(["curl", "-sSf", f"http://127.0.0.1:{http}/10m.bin"], capture_output=True, timeout=120)
    assert done.returncode == 0 and len(done.stdout) == 10 << 20
    data = client.payload(100_000)
    with socket.create_connection(("127.0.0.1", echo), 10) as stream:
        # Read to the end: user networking does not survive resets under load.
        assert client.exchange([stream], [data], 60) == [data]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(b"datagram", ("127.0.0.1", echo))
        assert sock.recv(100) == b"datagram"
    assert not TROUBLE.search(log.read_text(errors="replace"))
    os.kill(child.pid, how) if how == signal.SIGTERM else os.killpg(child.pid, how)
    child.wait(timeout=20)
    end = time.monotonic() + 5
    while members(child.pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert members(child.pid) == []
