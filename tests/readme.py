#!/usr/bin/env python3
"""Does what README.md says under "Adding a component that uses a socket", on a
copy of this tree, and sees whether the component answers.

Usage: tests/readme.py     in the world that `make run` would choose (HOSTED=1)

The section is taken at its word. What it tells people to do is what is done:

  New file `F`:                       the next block is that file
  In `F`, above `X`:                  the next block goes above the one line
  In `F`, below `X`:                  that contains X
  a block of sh                       is run
  `$ make run FORWARD=N` (console)    is started, on free ports of this machine
  `$ nc 127.0.0.1 N` (console)        must be answered with the lines that follow
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import world  # noqa: E402

HEADING = "## Adding a component that uses a socket\n"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
NEW = re.compile(r"New file `([^`]+)`:\s*$")
PLACE = re.compile(r"In `([^`]+)`,\s+(above|below)\s+`([^`]+)`:\s*$")

BUILD_SECONDS = 1800
ANSWER_SECONDS = 60


class Wrong(Exception):
    """README.md does not hold; the text says where."""


def section(text):
    """What the README says about components."""
    _, found, rest = text.partition(HEADING)
    if not found:
        raise Wrong(f"README.md has no {HEADING.strip()!r}")
    return rest.partition("\n## ")[0]


def steps(text):
    """The steps, in order: ("file", path, content), ("insert", path, above or
    below, mark, content), ("sh", commands), ("console", command, answer)."""
    found, end = [], 0
    for block in BLOCK.finditer(text):
        before, (kind, content) = text[end : block.start()], block.groups()
        end = block.end()
        if new := NEW.search(before):
            found.append(("file", new[1], content))
        elif place := PLACE.search(before):
            found.append(("insert", *place.groups(), content))
        elif kind == "sh":
            found.append(("sh", content))
        elif kind == "console" and content.startswith("$ "):
            command, _, answer = content[2:].partition("\n")
            found.append(("console", command, answer))
        else:
            raise Wrong(f"nobody knows where this block goes:\n{content}")
    return found


def insert(content, side, mark, new):
    """`content` with `new` above or below the one line that contains `mark`."""
    lines = content.splitlines(keepends=True)
    at = [n for n, line in enumerate(lines) if mark in line]
    if len(at) != 1:
        raise Wrong(f"{len(at)} lines contain {mark!r}, not one")
    lines.insert(at[0] + (side == "below"), new)
    return "".join(lines)


def prepare(tree, todo):
    """Changes the files of `tree` as the steps say; returns the console steps."""
    console = []
    for kind, *what in todo:
        if kind == "file":
            path = tree / what[0]
            if path.exists():
                raise Wrong(f"{what[0]} is there already")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(what[1])
        elif kind == "insert":
            name, side, mark, new = what
            path = tree / name
            try:
                path.write_text(insert(path.read_text(), side, mark, new))
            except (OSError, Wrong) as e:
                raise Wrong(f"{name}: {e}") from None
        elif kind == "sh":
            if subprocess.run(["sh", "-e"], cwd=tree, input=what[0], text=True, check=False).returncode:
                raise Wrong(f"these commands fail:\n{what[0]}")
        else:
            console.append(what)
    return console


def copy(tree):
    """This tree. Of what was built in it only cargo's folders come along, so
    that the copy builds no more than what differs."""
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".sdk", "target", "build", "__pycache__"), symlinks=True)
    for folder in ("target/release", f"build/sel4/{world.config()}"):
        if (ROOT / folder).is_dir():
            (tree / folder).parent.mkdir(parents=True, exist_ok=True)
            # Times are kept: cargo goes by them.
            subprocess.run(["cp", "-a", "--reflink=auto", ROOT / folder, tree / folder], check=True)


def free_ports(n):
    """Ports of 127.0.0.1 that nobody uses, for TCP."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def ask(port):
    """What 127.0.0.1:port says until it hangs up; nothing if it does not answer."""
    said = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
            while piece := peer.recv(1000):
                said += piece
    except OSError:
        pass
    return said.decode(errors="replace")


def wait_for_answer(process, log, port, answer):
    """Waits until the port gives the answer. Building may take long, what was
    built may not."""
    end, started = time.monotonic() + BUILD_SECONDS, False
    said = ""
    while time.monotonic() < end and process.poll() is None:
        if not started and "Strait runs" in log.read_text(errors="replace"):
            started, end = True, time.monotonic() + ANSWER_SECONDS
        if started and (said := ask(port) or said) == answer:
            return
        time.sleep(0.2)
    fault = f"port {port} says {said!r}, not {answer!r}" if started else "the system was not started"
    raise Wrong(f"{fault}; what `make run` printed:\n{log.read_text(errors='replace')[-6000:]}")


def run(tree, console):
    """Starts the system and asks it what the README asks."""
    (make, nothing), *questions = console
    forward = re.fullmatch(r"make run FORWARD=(\d+)", make)
    if not forward or nothing or not questions:
        raise Wrong("the console blocks are to be `$ make run FORWARD=N`, then `$ nc 127.0.0.1 N` with its answer")
    here, http, echo = free_ports(3)
    log = tree / "make.log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            ["make", "run", f"FORWARD={here}:{forward[1]}", f"HTTP_PORT={http}", f"ECHO_PORT={echo}"],
            cwd=tree, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )
    try:
        for command, answer in questions:
            if command != f"nc 127.0.0.1 {forward[1]}":
                raise Wrong(f"unknown command: {command}")
            wait_for_answer(process, log, here, answer)
    finally:
        try:
            os.killpg(process.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        process.wait()


def main():
    where, detail = world.decide()
    todo = steps(section((ROOT / "README.md").read_text()))
    if any(kind == "file" and (ROOT / what[0]).exists() for kind, *what in todo):
        print("!!! SKIPPED: the README's example, because its files are in this tree already")
        return
    if where == "sel4":
        os.environ["MICROKIT_SDK"] = detail
    # make's own variables, among them the ports of a `make test`, are not the copy's.
    for name in ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory(prefix="strait-readme-") as folder:
        tree = Path(folder) / "strait"
        copy(tree)
        run(tree, prepare(tree, todo))
    print(f"README.md holds: its component answers, {'on seL4 in QEMU' if where == 'sel4' else 'hosted'}")


if __name__ == "__main__":
    # Whoever ends it ends what it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except Wrong as e:
        sys.exit(f"README.md: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
