"""NAR archives against archives written out by hand."""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from nar_hash import nar_hash, write_nar  # noqa: E402


def nar(path):
    pieces = []
    write_nar(path, pieces.append)
    return b"".join(pieces)


def framed(*strings):
    """Each string with its length before it and zeros up to eight bytes."""
    out = b""
    for s in strings:
        s = s.encode() if isinstance(s, str) else s
        out += len(s).to_bytes(8, "little") + s + b"\0" * ((8 - len(s) % 8) % 8)
    return out


class Nar(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = temporary.name

    def path(self, *names):
        return os.path.join(self.root, *names)

    def put(self, name, data, mode=0o644):
        with open(self.path(name), "wb") as file:
            file.write(data)
        os.chmod(self.path(name), mode)

    def test_frame(self):
        # The framing itself, byte by byte.
        self.assertEqual(framed("(")[:16], b"\x01\0\0\0\0\0\0\0(\0\0\0\0\0\0\0")
        self.put("f", b"x")
        self.assertTrue(nar(self.path("f")).startswith(b"\x0d\0\0\0\0\0\0\0nix-archive-1\0\0\0"))

    def test_file(self):
        self.put("f", b"hello")
        expected = framed("nix-archive-1", "(", "type", "regular", "contents", "hello", ")")
        self.assertEqual(nar(self.path("f")), expected)

    def test_tree(self):
        os.mkdir(self.path("t"))
        self.put("t/b", b"")
        self.put("t/B", b"#!/bin/sh", 0o755)
        os.symlink("B", self.path("t", "a"))
        os.mkdir(self.path("t", "c"))
        expected = framed(
            "nix-archive-1", "(", "type", "directory",
            "entry", "(", "name", "B", "node",
            "(", "type", "regular", "executable", "", "contents", "#!/bin/sh", ")", ")",
            "entry", "(", "name", "a", "node", "(", "type", "symlink", "target", "B", ")", ")",
            "entry", "(", "name", "b", "node", "(", "type", "regular", "contents", "", ")", ")",
            "entry", "(", "name", "c", "node", "(", "type", "directory", ")", ")",
            ")",
        )  # fmt: skip
        self.assertEqual(nar(self.path("t")), expected)

    def test_large_file(self):
        data = bytes(range(256)) * 8192 + b"odd"
        self.put("f", data)
        expected = framed("nix-archive-1", "(", "type", "regular", "contents", data, ")")
        self.assertEqual(nar(self.path("f")), expected)

    def test_empty_folder_as_nix_hashes_it(self):
        self.assertEqual(nar_hash(self.root), "pQpattmS9VmO3ZIQUFn66az8GSmB4IvYhTTCFn6SUmo=")

    def test_times_and_group_rights_do_not_count(self):
        self.put("f", b"x", 0o644)
        before = nar_hash(self.root)
        os.chmod(self.path("f"), 0o600)
        os.utime(self.path("f"), (0, 0))
        self.assertEqual(nar_hash(self.root), before)
        os.chmod(self.path("f"), 0o700)
        self.assertNotEqual(nar_hash(self.root), before)

    def test_other_things_are_refused(self):
        os.mkfifo(self.path("p"))
        with self.assertRaises(ValueError):
            nar_hash(self.root)


if __name__ == "__main__":
    unittest.main()
