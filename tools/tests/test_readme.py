"""How tests/readme.py reads the README, and that it cannot be pleased by anything."""

import os
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tests"))
import readme  # noqa: E402

TEXT = """Words.

New file `a/b`:

```toml
x = 1
```

In `list`, below
`two`:

```xml
new
```

```sh
echo 1 > out
```

```console
$ nc 127.0.0.1 1234
hello
```
"""


class Readme(unittest.TestCase):
    def test_steps_are_what_people_read(self):
        self.assertEqual(
            readme.steps(TEXT),
            [
                ("file", "a/b", "x = 1\n"),
                ("insert", "list", "below", "two", "new\n"),
                ("sh", "echo 1 > out\n"),
                ("console", "nc 127.0.0.1 1234", "hello\n"),
            ],
        )

    def test_steps_change_the_tree(self):
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder)
            (tree / "list").write_text("one\ntwo\nthree\n")
            self.assertEqual(readme.prepare(tree, readme.steps(TEXT)), [["nc 127.0.0.1 1234", "hello\n"]])
            self.assertEqual((tree / "list").read_text(), "one\ntwo\nnew\nthree\n")
            self.assertEqual((tree / "a/b").read_text(), "x = 1\n")
            self.assertEqual((tree / "out").read_text(), "1\n")
            with self.assertRaisesRegex(readme.Wrong, "a/b is there already"):
                readme.prepare(tree, readme.steps(TEXT))

    def test_what_does_not_fit_is_refused(self):
        for mark in ("none", "o"):
            with self.assertRaisesRegex(readme.Wrong, "lines contain"):
                readme.insert("one\ntwo\n", "above", mark, "new\n")
        with self.assertRaisesRegex(readme.Wrong, "nobody knows"):
            readme.steps("Somewhere:\n\n```toml\nx = 1\n```\n")
        with tempfile.TemporaryDirectory() as folder, self.assertRaisesRegex(readme.Wrong, "commands fail"):
            readme.prepare(Path(folder), [("sh", "false\ntrue\n")])

    def test_the_places_of_the_readme_are_there(self):
        steps = readme.steps(readme.section((readme.ROOT / "README.md").read_text()))
        inserts = [what for kind, *what in steps if kind == "insert"]
        self.assertEqual(len(inserts), 5)
        for name, side, mark, new in inserts:
            readme.insert((readme.ROOT / name).read_text(), side, mark, new)


if __name__ == "__main__":
    unittest.main()
