"""The system that the conformance suite runs in."""

import os
import sys
import unittest
import xml.etree.ElementTree as ET

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import conformance  # noqa: E402
import derived  # noqa: E402


class System(unittest.TestCase):
    def setUp(self):
        self.system = ET.parse(os.path.join(derived.ROOT, "microkit.system")).getroot()
        self.gone = derived.remove_clients(self.system)

    def text(self):
        return ET.tostring(self.system, encoding="unicode")

    def test_clients_leave_nothing_behind(self):
        self.assertIn("echo", self.gone)
        self.assertNotIn("net_server", self.gone)
        for name in self.gone:
            self.assertNotIn(f'"{name}"', self.text())
            self.assertNotIn(f'"{name}_', self.text())

    def test_the_suite_takes_free_channels(self):
        conformance.SYSTEM.add_clients(self.system)
        ends = [(end.get("pd"), end.get("id")) for end in self.system.iter("end")]
        self.assertEqual(len(ends), len(set(ends)))
        mapped = [m.get("mr") for m in self.system.iter("map")]
        for client in conformance.CLIENTS:
            self.assertIn(client, [pd for pd, _ in ends])
            self.assertEqual(mapped.count(f"{client}_net"), 2)

    def test_who_looks_after_clients_looks_after_the_suite(self):
        conformance.SYSTEM.add_clients(self.system)
        supervisor = next(pd for pd in self.system.iter("protection_domain") if pd.get("name") == "supervisor")
        self.assertEqual([pd.get("name") for pd in supervisor.findall("protection_domain")], list(conformance.CLIENTS))

    def test_some_clients_may_stay(self):
        system = ET.parse(os.path.join(derived.ROOT, "microkit.system")).getroot()
        gone = derived.remove_clients(system, but=["netstat"])
        self.assertEqual(derived.clients(system), {"netstat"})
        self.assertIn("echo", gone)

    def test_settings_of_clients_go_too(self):
        text = "# top\n[net_server.ipv4]\nmode = 1\n[echo]\nport = 7\n[echo.x]\na = 1\n[net_server.policy.echo]\nc = 3\n[vfs_server]\nb = 2\n"
        self.assertEqual(
            derived.settings_without(text, {"echo"}), "# top\n[net_server.ipv4]\nmode = 1\n[vfs_server]\nb = 2\n"
        )


class Lines(unittest.TestCase):
    def hear(self, clients, lines):
        self.suite = conformance.Suite(clients)
        return [shown for line in lines if (shown := self.suite.hear(line)) is not None]

    def test_the_closing_lines_of_all_end_it(self):
        shown = self.hear(
            ["conformance", "user"],
            ["net_server| up\n", "conformance| case x\n", "conformance| FAILED x\r\n", "conformance| 3 passed, 1 failed\r\n"],
        )
        self.assertEqual(shown, ["net_server| up", "FAILED x"])
        self.assertIn("ended in the case x", conformance.verdict(self.suite, None, 5))
        self.assertIsNone(self.suite.hear("user| 1 passed, 0 failed\n"))
        self.assertIsNone(conformance.verdict(self.suite, None, 5))
        self.assertEqual((self.suite.passed, self.suite.failed), (4, 1))
        self.assertIn("there are 6", conformance.verdict(self.suite, None, 6))

    def test_no_other_line_does(self):
        lines = ["echo| 1 passed, 0 failed\n", "user| 11 passed, 0 failed?\n", "user| case a | b\n"]
        self.assertEqual(len(self.hear(["user"], lines)), 2)
        self.assertIn("60 seconds, in the case a | b", conformance.verdict(self.suite, 60, 0))

    def test_linux_has_no_names(self):
        self.assertEqual(self.hear([None], ["case x\n", "FAILED | x\n", "0 passed, 1 failed\n"]), ["FAILED | x"])
        self.assertIsNone(conformance.verdict(self.suite, None, 1))


if __name__ == "__main__":
    unittest.main()
