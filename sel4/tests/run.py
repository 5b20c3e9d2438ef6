#!/usr/bin/env python3
"""Boots the drivers under the probe in QEMU, with modern and legacy virtio.

Usage: run.py IMAGE, which was built from drivers.system with the program
`probe` as net_server.elf. Succeeds if the probe says that all is well.
"""

import subprocess
import sys
import threading

SENTINEL = "probe: all well"
FAILURES = ("FAILED", "checks failed", "panicked", "cannot start")
PATIENCE = 60


def boot(image, legacy):
    command = (
        "qemu-system-aarch64 -machine virt,virtualization=on -cpu cortex-a53 -m size=2G -display none"
        " -monitor none -serial stdio"
        f" -device loader,file={image},addr=0x70000000,cpu-num=0"
        f" -global virtio-mmio.force-legacy={'true' if legacy else 'false'}"
        " -netdev user,id=net0 -device virtio-net-device,netdev=net0,bus=virtio-mmio-bus.0"
        " -device virtio-rng-device,bus=virtio-mmio-bus.8"
    ).split()
    qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
    timer = threading.Timer(PATIENCE, qemu.kill)
    timer.start()
    lines = []
    try:
        for line in qemu.stdout:
            lines.append(line.rstrip())
            if SENTINEL in line:
                return True, lines
            if any(text in line for text in FAILURES):
                break
        return False, lines
    finally:
        timer.cancel()
        qemu.kill()
        qemu.wait()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    failed = False
    for legacy in (False, True):
        well, lines = boot(sys.argv[1], legacy)
        name = "legacy" if legacy else "modern"
        print(f"{name} virtio: {'ok' if well else 'FAILED'}")
        if not well:
            failed = True
            print("\n".join(lines[-40:]))
    sys.exit(failed)


if __name__ == "__main__":
    main()
