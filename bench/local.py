#!/usr/bin/env python3
"""Measures what two components of one system do with each other, and files,
beside Linux in the same run.

    bench/local.py hosted        processes of this machine: Strait's and Linux' own
    bench/local.py qemu          seL4 in QEMU, and a Linux guest in the same QEMU
    bench/local.py qemu --clock  the same on the host's clock, not by instructions

The program is `clients/bench` in both. In QEMU time is counted in guest
instructions (`-icount shift=0`: one is a nanosecond). Figures of both are taken
in turns; the medians and their ratios are printed, all goes to
build/bench/local-*.json.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tools")]
import derived  # noqa: E402
import guest  # noqa: E402

OUT = ROOT / "build/bench"
FIGURE = re.compile(r"^(?:bench\| )?(.+): ([0-9.]+) (ns|MB/s|of 4 KiB)$")
CLOSING = "bench: done"
PATIENCE = 600


def regions(at):
    """Of one client."""
    return [
        ("net", 0x200000, at, "net_server"),
        ("vfs", 0x200000, at + 0x200000, "vfs_server"),
        ("config", 0x1000, at + 0x400000, None),
        ("log", 0x4000, at + 0x401000, "console"),
    ]


SYSTEM = derived.Derived("bench", {"bench": regions(0x18_0000_0000), "bench_partner": regions(0x18_0100_0000)})


def commands(where, rounds, only):
    """Builds both sides; the command that runs ours, and the one that runs Linux'."""
    SYSTEM.generate(f"\n[bench]\nrounds = {rounds}\nonly = {json.dumps(only)}\n")
    if where == "hosted":
        derived.must("cargo", "build", "--quiet", "--release", "-p", "strait-bench-linux")
        return SYSTEM.hosted(), ["target/release/strait-bench-linux", str(rounds), only]
    theirs = guest.qemu_command(guest.program("strait-bench-linux"), f"{rounds} {only}")
    return SYSTEM.qemu(MICROKIT_CONFIG="release"), theirs


def figures(command, cwd=ROOT):
    """Runs it until its closing line."""
    found = {}
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, text=True, errors="replace")
        try:
            for line in child.stdout:
                line = line.strip()
                if match := FIGURE.match(line):
                    found[match[1]] = (float(match[2]), match[3])
                elif line.endswith(CLOSING):
                    return found
        finally:
            child.terminate()
            child.wait(PATIENCE)
        said.seek(0)
        sys.exit(f"{command[0]} ended before `{CLOSING}`; it said:\n{said.read()[-2000:]}")


def median(runs):
    return {name: (statistics.median(run[name][0] for run in runs), unit) for name, (_, unit) in runs[0].items()}


def compare(ours, theirs, icount):
    print(f"{'':36}{'Strait':>12}{'Linux':>12}   Strait / Linux")
    for name, (value, unit) in ours.items():
        other = theirs.get(name, (None,))[0]
        shown = {"ns": "instructions" if icount else "ns"}.get(unit, unit)
        if icount and unit == "MB/s":
            # Instructions for each 4 KiB.
            value, other, shown = 4096e3 / value, other and 4096e3 / other, "instructions for 4 KiB"
        columns = f"{value:12,.0f}" + (f"{other:12,.0f}   {value / other:5.2f}" if other else f"{'':20}")
        print(f"{name:36}{columns}   {shown}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", choices=("hosted", "qemu"))
    parser.add_argument("--clock", action="store_true", help="QEMU by the host's clock")
    parser.add_argument("--rounds", type=int, help="round trips of a figure")
    parser.add_argument("--only", default="", help="part of the names of what is measured")
    parser.add_argument("--times", type=int, help="runs of each")
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    hosted = arguments.world == "hosted"
    icount = not hosted and not arguments.clock
    rounds = arguments.rounds or (50_000 if hosted else 5000)
    times = arguments.times or (5 if hosted else 1 if icount else 3)
    ours, theirs = commands(arguments.world, rounds, arguments.only)
    if icount:
        ours, theirs = ([*command, "-icount", "shift=0,sleep=on"] for command in (ours, theirs))
    runs = [(figures(ours), figures(theirs)) for _ in range(times)]
    ours, theirs = (median([run[i] for run in runs]) for i in (0, 1))
    compare(ours, theirs, icount)
    name = arguments.world + ("-clock" if arguments.clock else "")
    (OUT / f"local-{name}.json").write_text(json.dumps({"strait": ours, "linux": theirs}, indent=1))


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
