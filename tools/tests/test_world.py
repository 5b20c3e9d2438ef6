"""How the system is started."""

import os
import sys
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import world  # noqa: E402


class World(unittest.TestCase):
    def test_devices_sit_where_the_description_says(self):
        net, rng, blk = (world.virtio_bus(f"virtio_{name}") for name in ("net", "rng", "blk"))
        command = world.qemu_command(world.netdev(8080, 7007))
        self.assertIn(f"virtio-net-device,netdev=net0,bus={net}", command)
        self.assertIn(f"virtio-rng-device,bus={rng}", command)
        self.assertIn(f"virtio-blk-device,drive=disk0,bus={blk}", command)
        pages = {int(bus.rpartition(".")[2]) // 8 for bus in (net, rng, blk)}
        self.assertEqual(len(pages), 3)

    def test_forwarded_ports(self):
        self.assertEqual(
            world.netdev(1, 2),
            "user,id=net0,hostfwd=tcp:127.0.0.1:1-:80,hostfwd=tcp:127.0.0.1:2-:7,hostfwd=udp:127.0.0.1:2-:7",
        )
        self.assertEqual(world.netdev(0, 0), "user,id=net0")

    def test_further_ports(self):
        with mock.patch.dict(os.environ, {"FORWARD": "1234, 2000:80"}):
            more = world.forwards()
        self.assertEqual(more, [(1234, 1234), (2000, 80)])
        self.assertTrue(world.netdev(0, 0, more).endswith(",hostfwd=tcp:127.0.0.1:2000-:80,hostfwd=udp:127.0.0.1:2000-:80"))
        self.assertEqual(world.hosted_command(0, 0, more)[-4:], ["--forward", "1234:1234", "--forward", "2000:80"])
        for text in ("0", "1234:", "1:2:3", "1234-80", ":80"):
            with mock.patch.dict(os.environ, {"FORWARD": text}), self.assertRaisesRegex(SystemExit, "is no port"):
                world.forwards()

    def test_board_and_cores(self):
        with mock.patch.dict(os.environ, {"MICROKIT_BOARD": "qemu_virt_aarch64_el1", "MICROKIT_CONFIG": "smp-debug"}):
            command = world.qemu_command("user,id=net0")
        self.assertEqual(command[command.index("-machine") + 1], "virt")
        self.assertEqual(command[command.index("-smp") + 1], "4")

    def test_ports_are_checked(self):
        for text in ("0", "65536", "http", "-1"):
            with mock.patch.dict(os.environ, {"HTTP_PORT": text}), self.assertRaisesRegex(SystemExit, "is no port"):
                world.port("HTTP_PORT", "8080")

    def test_hosted_when_asked_for(self):
        with mock.patch.dict(os.environ, {"HOSTED": "1"}):
            self.assertEqual(world.decide(), ("hosted", "HOSTED=1"))

    def test_a_mistake_is_no_missing_network(self):
        stale = """error: cannot update the lock file sel4/Cargo.lock because --locked was passed to prevent this
help: to generate the lock file without accessing the network, remove the --locked flag and use --offline instead."""
        absent = """error: failed to get `sel4` as a dependency of package `strait-sel4`
Caused by:
  failed to clone into: /home/user/.cargo/git/db/rust-sel4"""
        self.assertIsNone(world.NETWORK.search(stale))
        self.assertIsNotNone(world.NETWORK.search(absent))


if __name__ == "__main__":
    unittest.main()
