#!/usr/bin/env python3
"""The conformance suite in one of the worlds.

Usage: conformance.py linux|hosted|sel4 [PART OF A NAME]
       conformance.py system FOLDER   writes the system that hosted and sel4 run

Prints a line for each case that fails, and closes with `N passed, N failed`.
Succeeds if that says that none failed, and there are as many as the suite has.
All that the world says is in build/conformance/WORLD.log.

The system is that of microkit.system, with two clients in place of all others:
`conformance`, which may do anything, and after it `user`, which may not.
"""

import os
import queue
import re
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET

import world

ROOT = world.ROOT
OUT = os.path.join("build", "conformance")
DISK = f"{OUT}/disk.img"
ORACLE = "target/release/strait-conformance-linux"
PROGRAM = "conformance"
# Seconds in which some line must come; cases wait for some.
PATIENCE = {"linux": 60, "hosted": 60, "sel4": 180}
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed$")

# Of each client: sessions, heap, configuration, log: name, size, where, and who else
# maps it. The largest burst of a case is 400 sockets in one session.
CLIENTS = {
    "conformance": [
        ("net", 0x1000000, 0x18_0000_0000, "net_server"),
        ("vfs", 0x400000, 0x18_0100_0000, "vfs_server"),
        ("heap", 0x800000, 0x18_0200_0000, None),
        ("config", 0x1000, 0x18_0300_0000, None),
        ("log", 0x10000, 0x18_0300_1000, "console"),
    ],
    "user": [
        ("net", 0x100000, 0x18_0400_0000, "net_server"),
        ("vfs", 0x40000, 0x18_0500_0000, "vfs_server"),
        ("heap", 0x200000, 0x18_0600_0000, None),
        ("config", 0x1000, 0x18_0700_0000, None),
        ("log", 0x10000, 0x18_0700_1000, "console"),
    ],
}
PEERS = [("net_server", True), ("vfs_server", True), ("timer_driver", True), ("console", False)]


def clients(system):
    """The PDs that have a session with net_server."""
    regions = {region.get("name") for region in system.findall("memory_region")}
    return {pd.get("name") for pd in system.iter("protection_domain") if f"{pd.get('name')}_net" in regions}


def remove_clients(system, but=()):
    """Takes all clients out, with what belongs to them; returns their names."""
    gone = clients(system) - set(but)
    for parent in list(system.iter("protection_domain")):
        for child in parent.findall("protection_domain"):
            if child.get("name") in gone:
                parent.remove(child)
    prefixes = tuple(f"{name}_" for name in gone)
    for element in list(system):
        ends = [end.get("pd") for end in element.findall("end")]
        if element.get("name") in gone or (element.tag == "memory_region" and element.get("name").startswith(prefixes)) or gone & set(ends):
            system.remove(element)
    for pd in system.iter("protection_domain"):
        for mapping in pd.findall("map"):
            if mapping.get("mr").startswith(prefixes):
                pd.remove(mapping)
    return gone


def free_id(system, pd):
    taken = {int(end.get("id")) for end in system.iter("end") if end.get("pd") == pd}
    for element in system.iter("protection_domain"):
        if element.get("name") == pd:
            taken |= {int(irq.get("id")) for irq in element.findall("irq")}
    return next(number for number in range(62) if number not in taken)


def add_map(pd, region, at, symbols=()):
    perms = "r" if region.endswith("_config") else "rw"
    ET.SubElement(pd, "map", mr=region, vaddr=hex(at), perms=perms, **dict(symbols))


def add_suite(system):
    """Puts the clients in."""
    for client, regions in CLIENTS.items():
        add_client(system, client, regions, PROGRAM)


def add_client(system, client, regions, program=None):
    """Puts a client in, nested in the supervisor."""
    pds = {pd.get("name"): pd for pd in system.iter("protection_domain")}
    parent = pds["supervisor"]
    numbers = {int(child.get("id")) for child in parent.findall("protection_domain")}
    number = next(n for n in range(62) if n not in numbers)
    pd = ET.SubElement(
        parent, "protection_domain", name=client, id=str(number), priority="20", fpu="false", stack_size="0x20000"
    )
    ET.SubElement(pd, "program_image", path=f"{program or client}.elf")
    symbols = {
        "config": {"setvar_vaddr": "strait_config"},
        "heap": {"setvar_vaddr": "strait_heap", "setvar_size": "strait_heap_size"},
    }
    for suffix, size, at, other in regions:
        name = f"{client}_{suffix}"
        region = ET.Element("memory_region", name=name, size=hex(size))
        if suffix == "config":
            region.set("prefill_path", f"config/{client}.bin")
        if size >= 0x200000:
            region.set("page_size", "0x200000")
        system.insert(0, region)
        add_map(pd, name, at, symbols.get(suffix, {}))
        if other:
            add_map(pds[other], name, at)
    for peer, calls in PEERS:
        channel = ET.Element("channel")
        mine = ET.SubElement(channel, "end", pd=client, id=str(free_id(system, client)))
        if calls:
            mine.set("pp", "true")
        ET.SubElement(channel, "end", pd=peer, id=str(free_id(system, peer)))
        system.append(channel)


# The one does what root may do on Linux; the other what anybody may, but for
# what Linux cannot forbid.
SETTINGS = """
[net_server.family]
echo = true

[net_server.policy.conformance]
raw = true
administer = true
ports = ["1-65535"]

[net_server.policy.user]
destinations = ["127.0.0.0/8", "::1/128", "10.0.2.0/28"]
ephemeral = 12

[user]
after = "conformance"
"""


def settings_without(text, gone):
    """strait.toml without the tables of these PDs."""
    kept, keep = [], True
    for line in text.splitlines():
        table = re.match(r"\[+\s*(?:net_server\.policy\.)?([A-Za-z0-9_]+)", line)
        if table:
            keep = table.group(1) not in gone
        if keep:
            kept.append(line)
    return "\n".join(kept) + "\n"


def write_system(folder):
    """The description and the settings of the system."""
    os.makedirs(folder, exist_ok=True)
    tree = ET.parse(os.path.join(ROOT, "microkit.system"))
    gone = remove_clients(tree.getroot())
    add_suite(tree.getroot())
    ET.indent(tree, "    ")
    tree.write(os.path.join(folder, "conformance.system"), encoding="utf-8", xml_declaration=True)
    with open(os.path.join(ROOT, "strait.toml"), encoding="utf-8") as file:
        text = settings_without(file.read(), gone) + SETTINGS
    with open(os.path.join(folder, "conformance.toml"), "w", encoding="utf-8") as file:
        file.write(text)


def must(*command, **variables):
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def configure(only):
    """Makes all that the system is filled with."""
    must("make", "--no-print-directory", "archive")
    must("sh", "tools/setup.sh", "disk")
    disk = os.path.join(ROOT, DISK)
    if os.path.exists(disk):
        os.remove(disk)
    must("sh", "tools/disk.sh", DISK)
    write_system(os.path.join(ROOT, OUT))
    must(
        "cargo", "run", "--quiet", "--release", "-p", "strait-system", "--", "generate",
        "--system", f"{OUT}/conformance.system", "--config", f"{OUT}/conformance.toml",
        "--search", OUT, "--search", "build", "--out", f"{OUT}/config",
        *(word for client in CLIENTS for word in ("--set", f"{client}.only={only}")),
    )  # fmt: skip


def command(where, only):
    """Builds what runs in a world; the command that runs it."""
    must("cargo", "build", "--quiet", "--release", "-p", "strait-conformance-linux")
    if where == "linux":
        return [ORACLE, *([only] if only else [])]
    configure(only)
    if where == "hosted":
        must("cargo", "build", "--quiet", "--release", "-p", "strait-hosted")
        return [
            *("target/release/strait-hosted", "run", "--system", f"{OUT}/conformance.system", "--config", f"{OUT}/config"),
            *("--disk", DISK, "--json", f"{OUT}/hosted.json", "--http-port", "0", "--echo-port", "0"),
        ]  # fmt: skip
    must("sh", "tools/image.sh", SYSTEM=f"{OUT}/conformance.system", SEARCH=OUT, IMAGE=f"{OUT}/loader.img")
    # Nobody announces IPv6, as in the other worlds.
    return world.qemu_command("user,id=net0,ipv6=off", f"{OUT}/loader.img", DISK)


class Suite:
    """What is heard of the suite: from one client, or from several."""

    def __init__(self, clients):
        self.open = set(clients)
        self.passed = self.failed = 0
        self.case = None

    def hear(self, line):
        """A line of the world's; what of it is to be shown."""
        line = line.rstrip("\r\n")
        # Linux says nothing but what the suite says.
        client, _, text = (None, None, line) if None in self.open else line.partition("| ")
        if client not in self.open:
            # Others' lines, and what the kernel prints, are of interest only when it goes wrong.
            return line
        if text.startswith("case "):
            self.case = text.removeprefix("case ")
            return None
        closing = CLOSING.match(text)
        if not closing:
            return text
        self.open.remove(client)
        self.passed += int(closing.group(1))
        self.failed += int(closing.group(2))
        return None


def verdict(suite, silence, expected):
    """What is wrong with a run, besides cases that failed; None if nothing is."""
    if suite.open:
        where = f"in the case {suite.case}" if suite.case else "before the first case"
        return f"nothing was heard for {silence} seconds, {where}" if silence else f"the run ended {where}"
    if suite.passed + suite.failed != expected:
        return f"{suite.passed + suite.failed} cases ran, and there are {expected}"
    return None if expected else "there is no such case"


def run(where, only):
    child = subprocess.Popen(
        command(where, only), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    lines = queue.Queue()

    def read():
        for line in child.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    suite, silence = Suite([None] if where == "linux" else CLIENTS), None
    os.makedirs(os.path.join(ROOT, OUT), exist_ok=True)
    try:
        with open(os.path.join(ROOT, OUT, f"{where}.log"), "w", encoding="utf-8") as log:
            while suite.open and (line := lines.get(timeout=PATIENCE[where])) is not None:
                log.write(line)
                if (shown := suite.hear(line)) is not None:
                    print(shown, flush=True)
    except queue.Empty:
        silence = PATIENCE[where]
    finally:
        child.kill()
        child.wait()
    expected = int(subprocess.check_output([ORACLE, "--count", only], cwd=ROOT, text=True))
    problem = verdict(suite, silence, expected)
    if problem:
        print(problem, file=sys.stderr)
    else:
        print(f"{suite.passed} passed, {suite.failed} failed", flush=True)
    return 1 if problem or suite.failed else 0


def main(arguments):
    if arguments[:1] == ["system"] and len(arguments) == 2:
        write_system(arguments[1])
        return 0
    if len(arguments) not in (1, 2) or arguments[0] not in PATIENCE:
        sys.exit(__doc__)
    return run(arguments[0], arguments[1] if len(arguments) == 2 else "")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
