"""How to start and end the system in each world."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from .netns import GUEST, Link, run

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import world  # noqa: E402

BUILD = Path(os.environ.get("STRAIT_BUILD", ROOT / "build"))
ARCHIVE = BUILD / "archive.tar"

TROUBLE = re.compile(r"panicked at|MON\|ERROR|FAULT|supervisor\| .* ended|unhandled|ERROR: AddressSanitizer|runtime error:", re.I)
"""What a component's end looks like in the log."""


class NotBuilt(Exception):
    """The system is not there in this world; the text says what to do."""


def empty_disk(path):
    """Makes a disk at `path`, unless there is one."""
    subprocess.run(["sh", str(ROOT / "tools/disk.sh"), str(path)], check=True)
    return str(path)


def qemu_command(tap, disk, system=None):
    """QEMU as `make run` starts it, but with its network card on `tap` and its
    own disk. `system` is the folder of another system's image."""
    image = Path(system) / "loader.img" if system else Path(os.environ.get("STRAIT_IMAGE", BUILD / "loader.img"))
    if not image.exists():
        raise NotBuilt(f"{image} is missing: run `make {Path(system).name if system else 'image'}`")
    return world.qemu_command(f"tap,id=net0,ifname={tap},script=no,downscript=no", str(image), empty_disk(disk))


def hosted_command(tap, disk, system=None):
    """The hosted system, on a TAP device that is there."""
    command = world.hosted_command(0, 0)
    command[0] = str(ROOT / command[0])
    if not Path(command[0]).exists():
        raise NotBuilt(f"{command[0]} is missing: run `make hosted`")
    if system:
        system = Path(system)
        description = system / f"{system.name}.system"
        if not description.exists():
            raise NotBuilt(f"{description} is missing: run `make {system.name}`")
        command += ["--system", str(description), "--config", str(system / "config")]
    return [*command, "--json", str(BUILD / "hosted-test.json"), "--no-net-setup", "--tap", tap, "--disk", empty_disk(disk)]


def linux_command(tap, _disk, _system=None):
    if not ARCHIVE.exists():
        raise NotBuilt(f"{ARCHIVE} is missing: run `make archive`")
    return [sys.executable, str(Path(__file__).with_name("standin.py")), "--tap", tap, "--archive", str(ARCHIVE)]


WORLDS = {"qemu": qemu_command, "hosted": hosted_command, "linux": linux_command}


class System:
    """A running system."""

    def __init__(self, where, directory, faults=None, system=None, ipv6=False, disk=None, leases=None):
        self.disk = disk or Path(directory) / "disk.img"
        self.unplugged = False
        self.log_path = Path(directory) / "system.log"
        self.seen = 0
        self.link = Link(directory, faults, ipv6, leases)
        self.monitor = Path(directory) / "qmp" if where == "qemu" else None
        try:
            tap = self.link.guest_tap
            command = WORLDS[where](tap, self.disk, system)
            if self.monitor:
                command += ["-qmp", f"unix:{self.monitor},server=on,wait=off"]
            self.started = time.monotonic()
            with open(self.log_path, "wb") as log:
                self.process = subprocess.Popen(
                    command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except BaseException:
            self.link.close()
            raise

    def log(self):
        """What the components said so far."""
        return self.log_path.read_text(errors="replace")

    def wait_until_ready(self, ports=(80, 7, 15, 7007), seconds=60):
        """Waits until all `ports` accept connections: components start one after the other."""
        waiting = list(ports)
        while time.monotonic() < self.started + seconds:
            if self.process.poll() is not None or self.link.complaint():
                break
            try:
                socket.create_connection((GUEST, waiting[0]), timeout=1).close()
                waiting.pop(0)
                if not waiting:
                    return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"{self.link.complaint() or 'the system did not come up'}; its log:\n{self.log()[-4000:]}")

    def wait_for_log(self, pattern, seconds=30, since=0):
        """Waits until the log, from the character `since` on, has a match of
        `pattern`, and returns it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := re.search(pattern, self.log()[since:]):
                return found
            time.sleep(0.1)
        raise AssertionError(f"no {pattern!r} in the log:\n{self.log()[-4000:]}")

    def accept_log(self):
        """What the log says so far is as it should be."""
        self.seen = len(self.log())

    def complaint(self):
        """What is wrong with it since the last look, or None."""
        if self.unplugged:
            return None
        if self.process.poll() is not None:
            return f"the system ended by itself (status {self.process.returncode}):\n{self.log()[-4000:]}"
        new = self.log()[self.seen :]
        self.seen += len(new)
        if found := TROUBLE.search(new):
            return f"the log says {found.group()!r}:\n{new[-4000:]}"
        return None

    def set_carrier(self, up):
        """Takes the network cable away, or puts it back."""
        if not self.monitor:
            run("ip", "link", "set", self.link.guest_tap, "up" if up else "down")
            return
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.monitor))
            lines = sock.makefile("rw")
            assert "QMP" in json.loads(lines.readline())
            for command, arguments in (("qmp_capabilities", {}), ("set_link", {"name": "net0", "up": up})):
                lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
                lines.flush()
                # Events may come before.
                while not {"return", "error"} & (answer := json.loads(lines.readline())).keys():
                    pass
                assert "return" in answer, answer

    def pull_the_plug(self):
        """Ends it at once, whatever it is doing."""
        self.unplugged = True
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self):
        try:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGTERM)
                try:
                    self.process.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    os.killpg(self.process.pid, signal.SIGKILL)
                    self.process.wait()
        finally:
            self.link.close()
