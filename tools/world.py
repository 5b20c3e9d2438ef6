#!/usr/bin/env python3
"""The two worlds: which can be had here, and how the system is started in it.

Usage: world.py decide [--sel4]   prints "sel4 SDK-FOLDER" or "hosted REASON";
                                  with --sel4 it fails instead of "hosted"
       world.py setup             says the same to people
       world.py run               builds and runs the system in that world

The environment says what is wanted; `make` passes its variables on: HOSTED,
MICROKIT_SDK, MICROKIT_BOARD, MICROKIT_CONFIG, HTTP_PORT, ECHO_PORT, FORWARD.
"""

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOLS = os.path.join(ROOT, "tools")
IMAGE = "build/loader.img"
DISK = "build/disk.img"
BOARDS = ("qemu_virt_aarch64", "qemu_virt_aarch64_el1")

# Where QEMU's virtio-mmio bus begins, and how far apart its slots are.
VIRTIO_BASE, VIRTIO_STRIDE = 0xA000000, 0x200

# What cargo says when it does not get something from the network.
NETWORK = re.compile(r"failed to (clone|fetch|download|resolve|connect)|spurious network|timed out", re.I)


def setting(name, default):
    return os.environ.get(name) or default


def board():
    return setting("MICROKIT_BOARD", BOARDS[0])


def config():
    return setting("MICROKIT_CONFIG", "debug")


def port(name, default):
    text = setting(name, default)
    if not text.isdigit() or not 0 < int(text) < 65536:
        sys.exit(f"{name}={text} is no port; write a number from 1 to 65535")
    return int(text)


def forwards():
    """FORWARD: further ports, as [(port of 127.0.0.1, port of the system)]."""
    pairs = []
    for word in setting("FORWARD", "").replace(",", " ").split():
        here, colon, there = word.partition(":")
        there = there if colon else here
        for text in (here, there):
            if not text.isdigit() or not 0 < int(text) < 65536:
                sys.exit(f"FORWARD={word} is no port; write 1234, or 2000:1234 for 127.0.0.1:2000 to the system's port 1234")
        pairs.append((int(here), int(there)))
    return pairs


def last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it gave no reason"


def watched(*command):
    """Runs a command that may take long. Shows at once what it says that it
    does; returns its status, what it printed, and its last complaint."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        said = []
        for line in child.stderr:
            said.append(line)
            if line.startswith(("Installing", "Getting")):
                print(line, end="", file=sys.stderr, flush=True)
        printed = child.stdout.read().strip()
    return child.returncode, printed, last_line("".join(said))


def decide():
    """("sel4", SDK folder) or ("hosted", reason). Gets what is missing. Ends
    the program if something asked for is wrong."""
    if setting("HOSTED", "0") != "0":
        return "hosted", "HOSTED=1"
    status, _, complaint = watched("sh", "tools/setup.sh", "host", "sel4")
    if status:
        return "hosted", complaint
    status, sdk, complaint = watched(sys.executable, "tools/sdk.py")
    if status == 3:
        return "hosted", complaint
    if status:
        sys.exit(complaint)
    fetch = subprocess.run(
        ["cargo", "fetch"], cwd=os.path.join(ROOT, "sel4"), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if fetch.returncode and NETWORK.search(fetch.stderr):
        return "hosted", f"the crates of sel4/ (rust-sel4) could not be fetched: {last_line(fetch.stderr)}"
    if fetch.returncode:
        # A mistake in sel4/ must not look like a missing network.
        sys.exit(f"sel4/ cannot be built:\n{fetch.stderr.strip()}")
    return "sel4", sdk


def virtio_bus(region):
    """The slot of QEMU's virtio-mmio bus whose registers microkit.system
    places in `region`."""
    system = xml.etree.ElementTree.parse(os.path.join(ROOT, "microkit.system"))
    addresses = [r.get("phys_addr") for r in system.iter("memory_region") if r.get("name") == region]
    if not addresses or not addresses[0]:
        sys.exit(f"microkit.system has no memory region {region} with a phys_addr; QEMU would not know where the device goes")
    address = addresses[0]
    return f"virtio-mmio-bus.{(int(address.replace('_', ''), 0) - VIRTIO_BASE) // VIRTIO_STRIDE}"


def netdev(http_port, echo_port, more=()):
    """QEMU's user network with the forwarded ports; None or 0 leaves one out."""
    rules = []
    if http_port:
        rules.append(f"hostfwd=tcp:127.0.0.1:{http_port}-:80")
    if echo_port:
        more = [(echo_port, 7), *more]
    for here, there in more:
        rules += [f"hostfwd=tcp:127.0.0.1:{here}-:{there}", f"hostfwd=udp:127.0.0.1:{here}-:{there}"]
    return ",".join(["user", "id=net0", *rules])


def qemu_command(network, image=IMAGE, disk=DISK):
    """The command that boots the image. `network` is a -netdev with the
    identifier net0, `disk` a raw image."""
    machine = "virt" if board().endswith("_el1") else "virt,virtualization=on"
    command = [
        "qemu-system-aarch64",
        *("-machine", machine, "-cpu", "cortex-a53", "-m", "size=2G"),
        *("-display", "none", "-monitor", "none", "-serial", "stdio"),
        *("-global", "virtio-mmio.force-legacy=false"),
        *("-netdev", network),
        *("-device", f"virtio-net-device,netdev=net0,bus={virtio_bus('virtio_net')}"),
        *("-device", f"virtio-rng-device,bus={virtio_bus('virtio_rng')}"),
        *("-drive", f"if=none,id=disk0,format=raw,file={disk.replace(',', ',,')}"),
        *("-device", f"virtio-blk-device,drive=disk0,bus={virtio_bus('virtio_blk')}"),
        *("-device", f"loader,file={image},addr=0x70000000,cpu-num=0"),
    ]
    return command + (["-smp", "4"] if config().startswith("smp") else [])


def hosted_command(http_port, echo_port, more=()):
    """The command that runs the system as Linux processes."""
    command = ["target/release/strait-hosted", "run", "--http-port", str(http_port), "--echo-port", str(echo_port)]
    return command + [word for here, there in more for word in ("--forward", f"{here}:{there}")]


def check_free(kind, number, remedy):
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError as e:
            sys.exit(f"port {number} of 127.0.0.1 cannot be used ({e.strerror}); choose another: make run {remedy}")


def hints(world, http_port, echo_port, more=()):
    rest = "".join(f"    nc 127.0.0.1 {here}             # port {there} of the system, TCP and UDP\n" for here, there in more)
    return f"""
Strait runs {world}. Try in another terminal:

    curl http://127.0.0.1:{http_port}/
    nc 127.0.0.1 {echo_port}             # every line comes back: TCP
    nc -u 127.0.0.1 {echo_port}          # the same over UDP
{rest}
{"Ctrl-C ends it." if sys.stdin.isatty() else "It runs until it is ended (SIGTERM)."}
"""


def die_with_parent(parent):
    """The process, also after exec, ends when its parent does."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit(1)


def run():
    parent = os.getppid()
    http_port, echo_port = port("HTTP_PORT", "8080"), port("ECHO_PORT", "7007")
    more = forwards()
    if http_port == echo_port:
        sys.exit(f"HTTP_PORT and ECHO_PORT are both {http_port}; choose two")
    taken = {http_port, echo_port}
    for here, _ in more:
        if here in taken:
            sys.exit(f"FORWARD={here} is forwarded already; choose another port of 127.0.0.1")
        taken.add(here)
    check_free(socket.SOCK_STREAM, http_port, f"HTTP_PORT={http_port + 1}")
    for here, remedy in [(echo_port, f"ECHO_PORT={echo_port + 1}"), *((here, f"FORWARD={here + 1}:{there}") for here, there in more)]:
        check_free(socket.SOCK_STREAM, here, remedy)
        check_free(socket.SOCK_DGRAM, here, remedy)
    world, detail = decide()
    if world == "hosted" and detail != "HOSTED=1":
        print(f"No seL4 image here: {detail}. Running the same system as Linux processes instead.", flush=True)
    if world == "sel4" and board() not in BOARDS:
        sys.exit(f"QEMU does not boot {board()}; `make image` builds its image, {IMAGE}")
    built = subprocess.run(["make", "--no-print-directory", "image" if world == "sel4" else "hosted"], cwd=ROOT, check=False)
    if built.returncode:
        sys.exit(built.returncode)
    os.chdir(ROOT)
    if world == "sel4":
        command = qemu_command(netdev(http_port, echo_port, more))
        print(hints(f"on seL4 in QEMU ({board()}, {config()})", http_port, echo_port, more), flush=True)
    else:
        command = hosted_command(http_port, echo_port, more)
        print(hints("as Linux processes", http_port, echo_port, more), flush=True)
    if not sys.stdin.isatty():
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    die_with_parent(parent)
    try:
        os.execvp(command[0], command)
    except OSError as e:
        sys.exit(f"{command[0]}: {e.strerror}")


def main(arguments):
    if arguments == ["run"]:
        run()
    elif arguments == ["setup"]:
        world, detail = decide()
        print(f"Ready, with the Microkit SDK in {detail}" if world == "sel4" else f"Ready for the hosted world only: {detail}")
    elif arguments[:1] == ["decide"] and arguments[1:] in ([], ["--sel4"]):
        world, detail = decide()
        if world != "sel4" and arguments[1:]:
            sys.exit(f"The seL4 image cannot be built here: {detail}")
        print(world, detail)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
