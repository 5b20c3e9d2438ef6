"""The boot archive depends on names and contents alone."""

import hashlib
import os
import sys
import tarfile
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import archive  # noqa: E402


class Archive(unittest.TestCase):
    def test_same_bytes_whatever_the_order_and_times(self):
        with tempfile.TemporaryDirectory() as root:
            outs = []
            for turn, names in enumerate((["b", "a", "d/c"], ["d/c", "a", "b"])):
                folder = os.path.join(root, str(turn))
                os.makedirs(os.path.join(folder, "d"))
                for name in names:
                    path = os.path.join(folder, name)
                    with open(path, "w", encoding="utf-8") as file:
                        file.write(name)
                    os.chmod(path, 0o600 + turn * 0o77)
                    os.utime(path, (turn, turn))
                out = os.path.join(root, f"{turn}.tar")
                archive.write(out, [folder], [("r.bin", archive.random_bytes("r.bin", 1000))])
                with open(out, "rb") as file:
                    outs.append(file.read())
            self.assertEqual(outs[0], outs[1])
            with tarfile.open(os.path.join(root, "0.tar")) as found:
                self.assertEqual(found.getnames(), ["a", "b", "d", "d/c", "r.bin"])
                self.assertEqual(found.extractfile("d/c").read(), b"d/c")
                self.assertTrue(all(m.mtime == 0 and m.uid == 0 for m in found))

    def test_random_bytes_never_change(self):
        data = archive.random_bytes("10m.bin", 1000)
        self.assertEqual(data, archive.random_bytes("10m.bin", 2000)[:1000])
        self.assertEqual(hashlib.sha256(data).hexdigest()[:16], "328738e8396181b3")


if __name__ == "__main__":
    unittest.main()
