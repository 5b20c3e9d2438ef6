"""A private network for the tests: namespace, TAP devices, DHCP and DNS.

The test process moves itself into a fresh network namespace, so nothing of
the host's network is seen or changed. Without root it takes a user namespace
too, if the host allows that.
"""

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import time
from pathlib import Path

PEER = "10.0.2.2"
"""The host's side: an independent TCP, the kernel's."""
GUEST = "10.0.2.15"
"""The system under test, by DHCP."""
PREFIX6 = "fd00:5::"
"""The /64 that the host announces where a test asks for IPv6."""
PEER6 = PREFIX6 + "2"
"""The host's side in it."""
DEAD_SERVER = "10.0.2.3"
"""The first of the name servers that DHCP names: nobody has it."""
SECOND_PEER = "10.0.2.77"
"""A second address of the host, to be taken away in mid-transfer."""

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000

libc = ctypes.CDLL(None, use_errno=True)


def run(*command):
    """Runs a command that must succeed; its complaint is the error."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}")


def enter():
    """Moves this process (one thread only) into a new network namespace."""
    uid, gid = os.getuid(), os.getgid()
    flags = CLONE_NEWNET if uid == 0 else CLONE_NEWNET | CLONE_NEWUSER
    if libc.unshare(flags) != 0:
        problem = os.strerror(ctypes.get_errno())
        raise RuntimeError(f"no network namespace ({problem}): run the tests as root")
    if uid != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    run("ip", "link", "set", "lo", "up")


def missing_tools():
    """Names of tools that the tests need and the host lacks."""
    return [tool for tool in ("ip", "curl", "dnsmasq") if shutil.which(tool) is None]


def open_tap(name):
    """Attaches to the TAP device `name`, makes it if need be."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


def make_tap(name, ipv6=False):
    """A TAP device that stays when nobody holds it."""
    run("ip", "tuntap", "add", "dev", name, "mode", "tap")
    # Its addresses can be used at once.
    Path(f"/proc/sys/net/ipv6/conf/{name}/accept_dad").write_text("0")
    Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("0" if ipv6 else "1")
    run("ip", "link", "set", name, "txqueuelen", "4000", "up")


def raw_socket(interface):
    """A socket that sends and receives whole frames on `interface`."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    ignore_outgoing = 23
    sol_packet, rcvbufforce, sndbufforce = 263, 33, 32
    raw.setsockopt(sol_packet, ignore_outgoing, 1)
    raw.setsockopt(socket.SOL_SOCKET, rcvbufforce, 16 << 20)
    raw.setsockopt(socket.SOL_SOCKET, sndbufforce, 16 << 20)
    raw.bind((interface, 0))
    return raw


NAMES = [
    "--host-record=six.test,10.9.8.7,fd00:9::7",
    "--cname=alias.test,other.test,six.test",
    "--host-record=brief.test,10.9.8.9,2",
    # More than a datagram holds.
    *(f"--host-record=many.test,10.8.0.{i}" for i in range(1, 101)),
    # Is not there.
    "--address=/none.test/",
    # Everything else is the host.
    f"--address=/#/{PEER}",
]
"""What dnsmasq knows."""


class Link:
    """The wire between the host and one run of the system.

    `guest_tap` is where the system attaches. Without faults it is the host's
    own interface; with faults `wire.py` sits between the two. With `ipv6` the
    host announces a prefix, and itself as a name server by its address of the link.
    With `leases`, the text of a file for `dhcp.py`, that leases addresses instead
    of dnsmasq.
    """

    def __init__(self, directory, faults=None, ipv6=False, leases=None):
        self.directory = Path(directory)
        self.children = []
        self.taps = ["peer0"]
        make_tap("peer0", ipv6)
        run("ip", "address", "add", f"{PEER}/24", "dev", "peer0")
        announce, dns = [], f"{DEAD_SERVER},{PEER}"
        if ipv6:
            dns = DEAD_SERVER
            run("ip", "address", "add", f"{PEER6}/64", "dev", "peer0", "nodad")
            announce = ["--enable-ra", f"--dhcp-range={PREFIX6},ra-only,64,1h", "--ra-param=peer0,4,1800"]
            announce.append("--dhcp-option=option6:dns-server,[fe80::]")
        self.guest_tap = "peer0"
        if faults is not None:
            self.taps.append("guest0")
            make_tap("guest0")
            self.guest_tap = "guest0"
            self.wire_report = self.directory / "wire.json"
            script = Path(__file__).with_name("wire.py")
            self.start("wire", "python3", str(script), "peer0", "guest0", "--report", str(self.wire_report), *faults)
            self.wait_until(self.wire_report.exists)
        dhcp = [
            f"--dhcp-range={GUEST},{GUEST},255.255.255.0,1h", f"--dhcp-option=3,{PEER}", f"--dhcp-option=6,{dns}",
            f"--dhcp-leasefile={self.directory}/leases", "--dhcp-authoritative", "--log-dhcp",
        ]  # fmt: skip
        self.start(
            "dnsmasq", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--interface=peer0",
            "--bind-dynamic", "--except-interface=lo", "--no-resolv", "--no-hosts", *NAMES, "--no-ping", "--user=root",
            "--log-queries", "--log-facility=-", "--pid-file=", *([] if leases else dhcp), *announce,
        )  # fmt: skip
        self.dnsmasq = self.children[-1]
        self.leases = self.directory / "lease"
        if leases:
            self.leases.write_text(leases)
            self.start("dhcp", "python3", str(Path(__file__).with_name("dhcp.py")), "peer0", str(self.leases))
        dhcp_port = f":{67:04X} "
        self.wait_until(lambda: dhcp_port in Path("/proc/net/udp").read_text())

    def start(self, name, *command):
        log = open(self.directory / f"{name}.log", "wb")
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        log.close()
        self.children.append(child)

    def wait_until(self, ready):
        """Waits for a helper that just started: the system's first frame must
        not be lost, or it comes again only after seconds."""
        end = time.monotonic() + 10
        while not ready():
            if self.complaint() or time.monotonic() > end:
                problem = self.complaint() or f"a helper does not start; see {self.directory}"
                self.close()
                raise RuntimeError(problem)
            time.sleep(0.02)

    def complaint(self):
        """Which helper ended by itself, or None."""
        for child in self.children:
            if child.poll() is not None:
                return f"`{child.args[0]} {child.args[1]}` ended; see {self.directory}"
        return None

    def close(self):
        for child in self.children:
            if child.poll() is None:
                child.terminate()
        for child in self.children:
            child.wait(timeout=10)
        for tap in self.taps:
            run("ip", "link", "delete", tap)
