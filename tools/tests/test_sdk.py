"""Finding the SDK, and refusing an archive that is not the release."""

import os
import sys
import tarfile
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import sdk  # noqa: E402
from nar_hash import nar_hash  # noqa: E402


def make_sdk(folder):
    os.makedirs(os.path.join(folder, "bin"))
    os.makedirs(os.path.join(folder, "board", "some_board", "debug"))
    tool = os.path.join(folder, "bin", "microkit")
    with open(tool, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\n")
    os.chmod(tool, 0o755)
    return folder


class Sdk(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = temporary.name
        home = mock.patch.dict(os.environ, {"HOME": os.path.join(self.root, "home")})
        home.start()
        self.addCleanup(home.stop)

    def archive(self):
        tree = make_sdk(os.path.join(self.root, sdk.NAME))
        path = os.path.join(self.root, "a.tar.gz")
        with tarfile.open(path, "w:gz") as file:
            file.add(tree, sdk.NAME)
        return "file://" + path, nar_hash(tree)

    def test_order_of_places(self):
        local = make_sdk(os.path.join(self.root, "home", ".local", "share", sdk.NAME))
        self.assertEqual(sdk.find(self.root, {}), local)
        near = make_sdk(os.path.join(self.root, ".sdk", sdk.NAME))
        self.assertEqual(sdk.find(self.root, {}), near)
        asked = make_sdk(os.path.join(self.root, "asked"))
        self.assertEqual(sdk.find(self.root, {"MICROKIT_SDK": asked}), asked)

    def test_a_wrong_variable_is_no_reason_to_look_elsewhere(self):
        make_sdk(os.path.join(self.root, ".sdk", sdk.NAME))
        with self.assertRaisesRegex(sdk.Wrong, "MICROKIT_SDK=/nowhere holds no Microkit SDK"):
            sdk.find(self.root, {"MICROKIT_SDK": "/nowhere"})

    def test_download(self):
        url, expected = self.archive()
        folder = os.path.join(self.root, ".sdk", sdk.NAME)
        self.assertEqual(sdk.download(url, expected, folder), folder)
        self.assertTrue(sdk.is_sdk(folder))
        self.assertEqual(os.listdir(os.path.join(self.root, ".sdk")), [sdk.NAME])

    def test_another_tree_is_refused_and_removed(self):
        url, _ = self.archive()
        folder = os.path.join(self.root, ".sdk", sdk.NAME)
        with self.assertRaisesRegex(sdk.Unavailable, "not the expected release"):
            sdk.download(url, sdk.HASHES["linux-x86-64"], folder)
        self.assertEqual(os.listdir(os.path.join(self.root, ".sdk")), [])

    def test_noise_and_nothing_are_refused(self):
        noise = os.path.join(self.root, "noise")
        with open(noise, "wb") as file:
            file.write(b"<html>")
        with self.assertRaisesRegex(sdk.Unavailable, "could not be unpacked"):
            sdk.download("file://" + noise, "", os.path.join(self.root, "x", "y"))
        with self.assertRaisesRegex(sdk.Unavailable, "could not be downloaded"):
            sdk.download("file:///nowhere", "", os.path.join(self.root, "x", "y"))

    def test_board_and_configuration(self):
        folder = make_sdk(os.path.join(self.root, "s"))
        sdk.check(folder, "some_board", "debug")
        with self.assertRaisesRegex(sdk.Wrong, "MICROKIT_BOARD=x is not in the SDK .*; it has some_board"):
            sdk.check(folder, "x", "debug")
        with self.assertRaisesRegex(sdk.Wrong, "MICROKIT_CONFIG=x is not in the SDK .*; it has debug"):
            sdk.check(folder, "some_board", "x")


if __name__ == "__main__":
    unittest.main()
