#!/usr/bin/env python3
"""The system of the isolation tests (tests/test_isolation.py).

Usage: isolation.py hosted|sel4   builds it, in build/isolation

It is that of microkit.system, with `hostile` and `victim` in place of all
clients but `netstat`.
"""

import sys

import derived

# Sessions, heap, configuration, log: name, size, where, and who else maps it.
# `hostile` has so many sockets that their connections would need more than the
# server's heap.
CLIENTS = {
    "hostile": [
        ("net", 0x800000, 0x18_0000_0000, "net_server"),
        ("vfs", 0x40000, 0x18_0100_0000, "vfs_server"),
        ("heap", 0x400000, 0x18_0200_0000, None),
        ("config", 0x1000, 0x18_0300_0000, None),
        ("log", 0x1000, 0x18_0300_1000, "console"),
        # It may only be read.
        ("sealed", 0x1000, 0x18_0300_2000, None),
    ],
    "victim": [
        ("net", 0x100000, 0x19_0000_0000, "net_server"),
        ("vfs", 0x40000, 0x19_0100_0000, "vfs_server"),
        ("heap", 0x400000, 0x19_0200_0000, None),
        ("config", 0x1000, 0x19_0300_0000, None),
        ("log", 0x1000, 0x19_0300_1000, "console"),
    ],
}
# What strangers may send is as much as the victim's pages.
POLICY = """
[net_server.policy.victim]
pages = 64
"""
SYSTEM = derived.Derived("isolation", CLIENTS, POLICY, but=["netstat"])


if __name__ == "__main__":
    if sys.argv[1:] not in (["hosted"], ["sel4"]):
        sys.exit(__doc__)
    SYSTEM.generate()
    if sys.argv[1] == "sel4":
        SYSTEM.image()
