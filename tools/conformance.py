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

import json
import os
import queue
import re
import subprocess
import sys
import threading

import derived

ROOT = derived.ROOT
OUT = os.path.join("build", "conformance")
ORACLE = "target/release/strait-conformance-linux"
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
"""
SYSTEM = derived.Derived("conformance", CLIENTS, SETTINGS, program="conformance")


def command(where, only):
    """Builds what runs in a world; the command that runs it."""
    derived.must("cargo", "build", "--quiet", "--release", "-p", "strait-conformance-linux")
    if where == "linux":
        return [ORACLE, *([only] if only else [])]
    SYSTEM.generate(f"\n[conformance]\nonly = {json.dumps(only)}\n\n[user]\nafter = \"conformance\"\nonly = {json.dumps(only)}\n")
    return SYSTEM.hosted() if where == "hosted" else SYSTEM.qemu()


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
        SYSTEM.write(arguments[1])
        return 0
    if len(arguments) not in (1, 2) or arguments[0] not in PATIENCE:
        sys.exit(__doc__)
    return run(arguments[0], arguments[1] if len(arguments) == 2 else "")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
