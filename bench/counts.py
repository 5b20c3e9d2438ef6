"""Reads what count.c counts, and says which program and function it was."""

import array
import bisect
import collections
import errno
import os
import re
import struct
import subprocess

LOW_BYTES = 8 << 30
KERNEL_BASE = 1 << 39


class Snapshot:
    """The counters at one moment: page of the file -> words."""

    PAGE = 4096

    def __init__(self, path):
        self.pages = {}
        fd = os.open(path, os.O_RDONLY)
        try:
            at = 0
            while True:
                try:
                    start = os.lseek(fd, at, os.SEEK_DATA)
                except OSError as e:
                    if e.errno == errno.ENXIO:
                        break
                    raise
                at = os.lseek(fd, start, os.SEEK_HOLE)
                for offset in range(start, at, self.PAGE):
                    self.pages[offset] = os.pread(fd, self.PAGE, offset)
        finally:
            os.close(fd)

    def since(self, earlier):
        """Executions by virtual address between two snapshots."""
        counts = {}
        zero = bytes(self.PAGE)
        for offset, page in self.pages.items():
            old = earlier.pages.get(offset, zero)
            if page == old:
                continue
            new, before = array.array("Q", page), array.array("Q", old)
            for i, value in enumerate(new):
                if value != before[i]:
                    counts[address(offset + 8 * i)] = value - before[i]
        return counts


def address(offset):
    """The virtual address whose counter is at `offset`; a kernel's as far as
    30 bits tell."""
    if offset < LOW_BYTES:
        return offset // 2
    return KERNEL_BASE + (offset - LOW_BYTES) // 2


class Program:
    """The functions of an ELF file (64-bit, little-endian)."""

    def __init__(self, name, path):
        self.name = name
        data = open(path, "rb").read()
        (table,) = struct.unpack_from("<Q", data, 40)
        size, count = struct.unpack_from("<HH", data, 58)
        heads = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * size) for i in range(count)]
        self.ranges = [(h[3], h[3] + h[5]) for h in heads if h[2] & 4]  # SHF_EXECINSTR
        self.sizes = collections.Counter()
        for h in heads:
            if h[2] & 2:  # SHF_ALLOC
                self.sizes["code" if h[2] & 4 else "bss" if h[1] == 8 else "data"] += h[5]
        symbols = {}
        for h in heads:
            if h[1] != 2:  # SHT_SYMTAB
                continue
            names = heads[h[6]]
            for at in range(h[4], h[4] + h[5], 24):
                name_at, info, _, section, value, length = struct.unpack_from("<IBBHQQ", data, at)
                # Functions, and what is written in assembly.
                if section and (info & 15 == 2 or info & 15 == 0 and length == 0):
                    start = names[4] + name_at
                    text = data[start : data.index(b"\0", start)].decode(errors="replace")
                    if text and not text.startswith("$") and (value not in symbols or info & 15 == 2):
                        symbols[value] = text
        self.starts = sorted(symbols)
        self.names = [symbols[start] for start in self.starts]

    def function(self, at):
        i = bisect.bisect_right(self.starts, at) - 1
        return self.names[i] if i >= 0 else "?"

    def has(self, at):
        return any(low <= at < high for low, high in self.ranges)


class Kernel(Program):
    """The kernel, whose addresses are known by 30 bits only."""

    def __init__(self, path):
        super().__init__("seL4", path)
        mask = (1 << 30) - 1
        self.ranges = [(KERNEL_BASE + (low & mask), KERNEL_BASE + (low & mask) + high - low) for low, high in self.ranges]
        pairs = sorted((KERNEL_BASE + (start & mask), name) for start, name in zip(self.starts, self.names))
        self.starts, self.names = [p[0] for p in pairs], [p[1] for p in pairs]

    def has(self, at):
        return at >= KERNEL_BASE


def demangled(names):
    """Rust symbols as they stand in the source, as far as c++filt can tell."""
    try:
        done = subprocess.run(["c++filt", "--format=rust"], input="\n".join(names), capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {name: name for name in names}
    return dict(zip(names, (re.sub(r"\[[0-9a-f]{8,}\]", "", name) for name in done.stdout.splitlines())))


def attribute(counts, programs):
    """Sums of executions: by program, and by (program, function)."""
    by_program, by_function = collections.Counter(), collections.Counter()
    cache = None
    for at, count in sorted(counts.items()):
        if cache is None or not cache.has(at):
            cache = next((p for p in programs if p.has(at)), None)
        name = cache.name if cache else "elsewhere"
        by_program[name] += count
        by_function[name, cache.function(at) if cache else hex(at & ~0xFFFF)] += count
    return by_program, by_function
