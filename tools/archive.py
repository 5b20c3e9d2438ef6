#!/usr/bin/env python3
"""Makes the boot archive: a tar file of folders, the same bytes every time.

Usage: archive.py OUT [--random NAME=BYTES]... FOLDER...

The contents of each FOLDER come to the root of the archive. Names are sorted;
times, owners and rights say nothing. --random adds a file of that many bytes
that look random but never change, for downloads to be compared with.
"""

import argparse
import hashlib
import io
import os
import sys
import tarfile


def random_bytes(name, count):
    """`count` bytes that follow from the name: SHAKE-128 of it."""
    return hashlib.shake_128(name.encode()).digest(count)


def entry(name, kind):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return info


def contents(folders, extra):
    """All files and folders by name: None for a folder, bytes for a file."""
    found = {name: data for name, data in extra}
    for folder in folders:
        for parent, below, files in os.walk(folder):
            inside = os.path.relpath(parent, folder)
            for name in below + files:
                path = os.path.join(parent, name)
                key = os.path.normpath(os.path.join(inside, name))
                if name in below:
                    found.setdefault(key, None)
                elif key in found:
                    sys.exit(f"archive.py: {key} is there twice; rename {path}")
                else:
                    with open(path, "rb") as file:
                        found[key] = file.read()
    return found


def write(out, folders, extra=()):
    """Writes the archive, unless it is there already."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in sorted(contents(folders, extra).items()):
            if data is None:
                archive.addfile(entry(name, tarfile.DIRTYPE))
            else:
                info = entry(name, tarfile.REGTYPE)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    data = buffer.getvalue()
    if os.path.exists(out):
        with open(out, "rb") as file:
            if file.read() == data:
                return
    os.makedirs(os.path.dirname(out) or ".", exist_ok=True)
    with open(out, "wb") as file:
        file.write(data)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("out")
    parser.add_argument("--random", action="append", default=[])
    parser.add_argument("folder", nargs="+")
    arguments = parser.parse_args()
    extra = []
    for item in arguments.random:
        name, _, count = item.partition("=")
        extra.append((name, random_bytes(name, int(count))))
    for folder in arguments.folder:
        if not os.path.isdir(folder):
            sys.exit(f"archive.py: there is no folder {folder}")
    write(arguments.out, arguments.folder, extra)


if __name__ == "__main__":
    main()
