"""The system that the conformance suite runs in."""

import os
import sys
import unittest
import xml.etree.ElementTree as ET

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import conformance  # noqa: E402


class System(unittest.TestCase):
    def setUp(self):
        self.system = ET.parse(os.path.join(conformance.ROOT, "microkit.system")).getroot()
        self.gone = conformance.remove_clients(self.system)

    def text(self):
        return ET.tostring(self.system, encoding="unicode")

    def test_clients_leave_nothing_behind(self):
        self.assertIn("echo", self.gone)
        self.assertNotIn("net_server", self.gone)
        for name in self.gone:
            self.assertNotIn(f'"{name}"', self.text())
            self.assertNotIn(f'"{name}_', self.text())

    def test_the_suite_takes_free_channels(self):
        conformance.add_suite(self.system)
        ends = [(end.get("pd"), end.get("id")) for end in self.system.iter("end")]
        self.assertEqual(len(ends), len(set(ends)))
        self.assertIn("conformance", [pd for pd, _ in ends])
        mapped = [m.get("mr") for m in self.system.iter("map")]
        self.assertEqual(mapped.count("conformance_net"), 2)

    def test_who_looks_after_clients_looks_after_the_suite(self):
        conformance.add_suite(self.system)
        supervisor = next(pd for pd in self.system.iter("protection_domain") if pd.get("name") == "supervisor")
        self.assertEqual([pd.get("name") for pd in supervisor.findall("protection_domain")], ["conformance"])

    def test_some_clients_may_stay(self):
        system = ET.parse(os.path.join(conformance.ROOT, "microkit.system")).getroot()
        gone = conformance.remove_clients(system, but=["netstat"])
        self.assertEqual(conformance.clients(system), {"netstat"})
        self.assertIn("echo", gone)

    def test_settings_of_clients_go_too(self):
        text = "# top\n[net_server.ipv4]\nmode = 1\n[echo]\nport = 7\n[echo.x]\na = 1\n[net_server.policy.echo]\nc = 3\n[vfs_server]\nb = 2\n"
        self.assertEqual(
            conformance.settings_without(text, {"echo"}), "# top\n[net_server.ipv4]\nmode = 1\n[vfs_server]\nb = 2\n"
        )


class Lines(unittest.TestCase):
    def test_the_closing_line_ends_it(self):
        seen = []
        lines = ["net_server| up\n", "conformance| FAILED x\r\n", "conformance| 3 passed, 1 failed\r\n", "never read\n"]
        self.assertEqual(conformance.follow(lines, seen.append), (3, 1))
        self.assertEqual(seen, ["net_server| up", "FAILED x", "3 passed, 1 failed"])

    def test_no_other_line_does(self):
        self.assertIsNone(conformance.follow(["echo| 1 passed, 0 failed\n", "11 passed, 0 failed?\n"], lambda _: None))


if __name__ == "__main__":
    unittest.main()
