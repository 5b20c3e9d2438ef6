#!/usr/bin/env python3
"""`make test`: all tests, the nearest to a mistake first, and what was left out.

Every part runs, whatever became of the ones before; the closing lines say how
each ended. Where the seL4 image cannot be built, all else runs, and the last
line says loudly what did not.
"""

import os
import subprocess
import sys
import time

from world import ROOT, config, decide

# Microkit's configurations. All tests run in the one asked for, and a few in
# the others: a release kernel prints nothing, which must not be missed.
CONFIGS = ("debug", "release", "benchmark")


def make(target, **variables):
    """Whether `make target` succeeds."""
    words = [f"{name}={value}" for name, value in variables.items()]
    sys.stdout.flush()
    return subprocess.run(["make", "--no-print-directory", target, *words], cwd=ROOT, check=False).returncode == 0


def main():
    world, detail = decide()
    parts = [
        ("unit tests", "test-unit", {}),
        ("every interleaving of the rings", "verify", {}),
        ("the system tests themselves, on Linux's own sockets", "test-linux", {}),
        ("conformance, Linux", "conformance", {"WORLD": "linux"}),
        ("conformance, hosted", "conformance", {"WORLD": "hosted"}),
        ("random calls, Linux against Strait", "differential", {"SEQUENCES": "20000", "SEED": "1"}),
        ("system tests, hosted", "test-hosted", {}),
        ("the README's new component, hosted", "test-readme", {"HOSTED": "1"}),
    ]
    if world == "sel4":
        others = [c for c in CONFIGS if c != config()]
        parts += [(f"a few system tests, seL4 in QEMU, {other}", "test-qemu-few", {"MICROKIT_CONFIG": other}) for other in others]
        parts.append((f"conformance, seL4 in QEMU, {config()}", "conformance", {"WORLD": "sel4"}))
        # After those, so that build/loader.img is in the end the one asked for.
        parts.append((f"system tests, seL4 in QEMU, {config()}", "test-qemu", {}))
        parts.append(("the README's new component, seL4 in QEMU", "test-readme", {}))

    results = []
    for name, target, variables in parts:
        print(f"\n== {name}", flush=True)
        start = time.monotonic()
        results.append((make(target, **variables), name, time.monotonic() - start))

    print()
    for passed, name, seconds in results:
        print(f"{'passed' if passed else 'FAILED'}: {name} ({seconds:.0f} s)")
    failed = sum(not passed for passed, _, _ in results)
    if world != "sel4":
        print(f"\n!!! SKIPPED: every test on seL4 in QEMU, because {detail}")
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
