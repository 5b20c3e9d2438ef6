#!/usr/bin/env python3
"""SHA-256 of a file tree in Nix archive (NAR) form, in base64.

A NAR holds names, contents, symbolic links and the executable bit, and
nothing else: the hash of an unpacked release does not depend on times,
owners or the archive that it came in.

Usage: nar_hash.py PATH
"""

import base64
import hashlib
import os
import stat
import sys

CHUNK = 1 << 20


def _string(out, data):
    out(len(data).to_bytes(8, "little"))
    out(data)
    out(bytes(-len(data) % 8))


def _strings(out, *strings):
    for string in strings:
        _string(out, string)


def _file(out, path, size):
    """A file's contents, in pieces. Fails if its size changes meanwhile."""
    out(size.to_bytes(8, "little"))
    left = size
    with open(path, "rb") as file:
        while piece := file.read(CHUNK):
            left -= len(piece)
            out(piece)
    if left:
        raise OSError(f"{os.fsdecode(path)} changed while it was read")
    out(bytes(-size % 8))


def _node(out, path):
    status = os.lstat(path)
    _strings(out, b"(", b"type")
    if stat.S_ISREG(status.st_mode):
        _string(out, b"regular")
        if status.st_mode & stat.S_IXUSR:
            _strings(out, b"executable", b"")
        _string(out, b"contents")
        _file(out, path, status.st_size)
    elif stat.S_ISDIR(status.st_mode):
        _string(out, b"directory")
        for name in sorted(os.listdir(path)):
            _strings(out, b"entry", b"(", b"name", name, b"node")
            _node(out, os.path.join(path, name))
            _string(out, b")")
    elif stat.S_ISLNK(status.st_mode):
        _strings(out, b"symlink", b"target", os.readlink(path))
    else:
        raise ValueError(f"{os.fsdecode(path)}: neither a file, a folder nor a symbolic link")
    _string(out, b")")


def write_nar(path, out):
    """Gives the archive of `path` to `out`, piece by piece."""
    _string(out, b"nix-archive-1")
    _node(out, os.fsencode(path))


def nar_hash(path):
    """The SHA-256 of the archive of `path`, in base64."""
    digest = hashlib.sha256()
    write_nar(path, digest.update)
    return base64.b64encode(digest.digest()).decode()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(nar_hash(sys.argv[1]))
