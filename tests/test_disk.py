"""The disk: what the client `notes` keeps in a file, over boots that end badly."""

import os
import shutil
import socket
import subprocess
import time

import pytest

from harness.netns import GUEST

PORT = 1717
pytestmark = pytest.mark.worlds("qemu", "hosted")


def connect(seconds=30):
    end = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection((GUEST, PORT), timeout=20)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def send(*lines):
    """Sends notes; returns the answers."""
    with connect() as stream, stream.makefile("rb") as answers:
        stream.sendall(b"".join(line + b"\n" for line in lines))
        stream.shutdown(socket.SHUT_WR)
        return answers.read()


def file_on(disk, name="notes.txt"):
    """A file as mtools read it."""
    done = subprocess.run(["mcopy", "-n", "-i", str(disk), f"::{name}", "-"], check=True, capture_output=True)
    return done.stdout


def names_on(disk, directory):
    """The names in a directory, as mtools see them."""
    done = subprocess.run(["mdir", "-b", "-i", str(disk), f"::{directory}"], check=True, capture_output=True, text=True)
    return sorted(line.rstrip("/").rpartition("/")[2] for line in done.stdout.split())


def check(disk):
    """What fsck has to say of the volume."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    fsck = shutil.which("fsck.fat", path=path)
    return subprocess.run([fsck, "-n", str(disk)], check=False, capture_output=True, text=True)


def test_what_was_kept_outlives_the_plug(boot, tmp_path):
    disk = tmp_path / "disk.img"
    kept = b""
    for n in range(3):
        system = boot(fresh=True, disk=disk)
        lines = [b"note %d of boot %d %s" % (i, n, b"x" * (i * 30)) for i in range(20)]
        # All so far first, then an answer for each.
        assert send(*lines) == kept + b"kept\n" * len(lines)
        kept += b"".join(line + b"\n" for line in lines)
        system.pull_the_plug()
        assert file_on(disk) == kept
        done = check(disk)
        assert done.returncode == 0, done.stdout


def test_names_outlive_the_plug(boot, tmp_path):
    """A directory, names that come and go, a file cut off: all of it synced."""
    disk = tmp_path / "disk.img"
    system = boot(fresh=True, disk=disk)
    assert send(b"old", b"!file first", b"older", b"!file second") == b"kept\n" * 4
    assert send(b"new", b"!drop first", b"newer", b"!cut 6") == b"kept\n" * 4
    system.pull_the_plug()
    assert (file_on(disk), file_on(disk, "filed/second")) == (b"new\nne", b"older\n")
    assert names_on(disk, "filed") == ["second"]
    done = check(disk)
    assert done.returncode == 0, done.stdout
    system = boot(fresh=True, disk=disk)
    # Over what is there, and what is not there.
    missing = b"not kept: no such file or directory (ENOENT)\n"
    assert send(b"", b"!file second", b"!drop third", b"!cut 1") == b"new\nne" + b"kept\n" * 2 + missing * 2
    system.pull_the_plug()
    assert (names_on(disk, ""), file_on(disk, "filed/second")) == (["filed"], b"new\nne\n")
    done = check(disk)
    assert done.returncode == 0, done.stdout


def test_files_of_others(boot, tmp_path):
    """What mtools put on the disk is read; a disk without a file system harms nobody."""
    disk = tmp_path / "disk.img"
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    subprocess.run(["sh", os.path.join(root, "tools/disk.sh"), str(disk), "40"], check=True)
    text = b"".join(b"line %d of a file that is longer than a cluster\n" % n for n in range(2000))
    (tmp_path / "text").write_bytes(text)
    subprocess.run(["mcopy", "-i", str(disk), str(tmp_path / "text"), "::notes.txt"], check=True)
    boot(fresh=True, disk=disk)
    assert send(b"one more") == text + b"kept\n"
    system = boot(fresh=True, disk=disk)
    assert send() == text + b"one more\n"
    system.pull_the_plug()
    nothing = tmp_path / "nothing.img"
    nothing.write_bytes(bytes(1 << 20))
    system = boot(fresh=True, disk=nothing)
    assert send() == b""
    system.wait_for_log("the disk holds no FAT file system")
