"""Systems that are made of microkit.system, with other clients in place of its
own, each in a folder of its own below build/.
"""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import world

ROOT = world.ROOT
# Whom a client has a channel to, and whether it calls.
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
    perms = "r" if region.endswith(("_config", "_sealed")) else "rw"
    ET.SubElement(pd, "map", mr=region, vaddr=hex(at), perms=perms, **dict(symbols))


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


def must(*command, **variables):
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=False)
    if done.returncode:
        sys.exit(done.returncode)


class Derived:
    """The system NAME, in build/NAME.

    `clients` has, for each client, its regions: suffix of the name, size, where
    it is mapped, and who else maps it. `settings` is added to those of
    strait.toml. `but` stay of microkit.system's clients.
    """

    def __init__(self, name, clients, settings="", but=(), program=None):
        self.name, self.clients, self.settings, self.but, self.program = name, clients, settings, but, program
        self.out = f"build/{name}"
        self.system = f"{self.out}/{name}.system"
        self.disk = f"{self.out}/disk.img"

    def add_clients(self, system):
        for client, regions in self.clients.items():
            add_client(system, client, regions, self.program)

    def write(self, folder, settings=""):
        """The description and the settings."""
        os.makedirs(folder, exist_ok=True)
        tree = ET.parse(os.path.join(ROOT, "microkit.system"))
        gone = remove_clients(tree.getroot(), self.but)
        self.add_clients(tree.getroot())
        ET.indent(tree, "    ")
        tree.write(os.path.join(folder, f"{self.name}.system"), encoding="utf-8", xml_declaration=True)
        with open(os.path.join(ROOT, "strait.toml"), encoding="utf-8") as file:
            text = settings_without(file.read(), gone) + self.settings + settings
        with open(os.path.join(folder, f"{self.name}.toml"), "w", encoding="utf-8") as file:
            file.write(text)

    def generate(self, settings=""):
        """Makes all that its regions are filled with, and a new disk."""
        must("make", "--no-print-directory", "archive")
        must("sh", "tools/setup.sh", "disk")
        self.write(os.path.join(ROOT, self.out), settings)
        if os.path.exists(os.path.join(ROOT, self.disk)):
            os.remove(os.path.join(ROOT, self.disk))
        must("sh", "tools/disk.sh", self.disk)
        must(
            "cargo", "run", "--quiet", "--release", "-p", "strait-system", "--", "generate", "--system", self.system,
            "--config", f"{self.out}/{self.name}.toml", "--search", self.out, "--search", "build", "--out", f"{self.out}/config",
        )  # fmt: skip

    def hosted(self):
        """Builds it as processes; the command that runs them."""
        must("cargo", "build", "--quiet", "--release", "-p", "strait-hosted")
        return [
            *("target/release/strait-hosted", "run", "--system", self.system, "--config", f"{self.out}/config"),
            *("--disk", self.disk, "--json", f"{self.out}/hosted.json", "--http-port", "0", "--echo-port", "0"),
        ]  # fmt: skip

    def image(self, **variables):
        """Builds its image."""
        must("sh", "tools/image.sh", SYSTEM=self.system, SEARCH=self.out, IMAGE=f"{self.out}/loader.img", **variables)

    def qemu(self, **variables):
        """The same; the command that boots it."""
        self.image(**variables)
        # Nobody announces IPv6, as in the other worlds.
        return world.qemu_command("user,id=net0,ipv6=off", f"{self.out}/loader.img", self.disk)
