#!/usr/bin/env python3
"""The system of the isolation tests (tests/test_isolation.py).

Usage: isolation.py hosted|sel4   builds it, in build/isolation

It is that of microkit.system, with `hostile` and `victim` in place of all
clients but `netstat`.
"""

import os
import sys
import xml.etree.ElementTree as ET

from conformance import add_client, must, remove_clients, settings_without
from world import ROOT

OUT = os.path.join("build", "isolation")
KEPT = ["netstat"]
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


def write_system(folder):
    """The description and the settings of the system."""
    os.makedirs(folder, exist_ok=True)
    tree = ET.parse(os.path.join(ROOT, "microkit.system"))
    system = tree.getroot()
    gone = remove_clients(system, but=KEPT)
    for client, regions in CLIENTS.items():
        add_client(system, client, regions)
    for mapping in system.iter("map"):
        if mapping.get("mr").endswith("_sealed"):
            mapping.set("perms", "r")
    ET.indent(tree, "    ")
    tree.write(os.path.join(folder, "isolation.system"), encoding="utf-8", xml_declaration=True)
    with open(os.path.join(ROOT, "strait.toml"), encoding="utf-8") as file:
        text = settings_without(file.read(), gone) + POLICY
    with open(os.path.join(folder, "isolation.toml"), "w", encoding="utf-8") as file:
        file.write(text)


def build(where):
    must("make", "--no-print-directory", "archive")
    write_system(os.path.join(ROOT, OUT))
    must(
        "cargo", "run", "--quiet", "--release", "-p", "strait-system", "--", "generate",
        "--system", f"{OUT}/isolation.system", "--config", f"{OUT}/isolation.toml",
        "--search", OUT, "--search", "build", "--out", f"{OUT}/config",
    )  # fmt: skip
    if where == "sel4":
        must("sh", "tools/image.sh", SYSTEM=f"{OUT}/isolation.system", SEARCH=OUT, IMAGE=f"{OUT}/loader.img")


if __name__ == "__main__":
    if sys.argv[1:] not in (["hosted"], ["sel4"]):
        sys.exit(__doc__)
    build(sys.argv[1])
