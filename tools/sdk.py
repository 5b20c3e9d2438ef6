#!/usr/bin/env python3
"""Finds the Microkit SDK, or gets the official release.

Prints the SDK's folder. Looked for, in this order: $MICROKIT_SDK, .sdk/,
~/.local/share/, /opt/. If it is in none of them, the release archive for this
host is downloaded into .sdk/ and the unpacked tree compared with its known
hash. Ends with status 3 and one line if the SDK cannot be had, and with
status 1 if what was asked for is wrong.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import urllib.request

from nar_hash import nar_hash

VERSION = "2.3.0"
NAME = f"microkit-sdk-{VERSION}"
URL = f"https://github.com/seL4/microkit/releases/download/{VERSION}/{NAME}-{{host}}.tar.gz"
# NAR SHA-256 of the unpacked trees.
HASHES = {
    "linux-x86-64": "95nmS3e2Y0Mu3SC5Yy7lMDabyhEw7vjgwGMJpXAz4Hs=",
    "linux-aarch64": "Chv1S0xxaf2ROQ4OcATLorQ9iaNaiXrCresl+AW0iBI=",
    "macos-aarch64": "7WtFeEf/BbcpNLCKtsJDWcypYXHxAAEMElL+p4KsVXc=",
    "macos-x86-64": "ob07JxvpiG9DqCB5rdEeDlUYPK2X2wqj1MFJjFbge6k=",
}
TIMEOUT = 30  # seconds without a byte
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Unavailable(Exception):
    """The SDK cannot be had here; the hosted world needs none."""


class Wrong(Exception):
    """What was asked for does not exist."""


def host():
    """This host as the release archives call it."""
    system = {"Linux": "linux", "Darwin": "macos"}.get(platform.system())
    machine = {"x86_64": "x86-64", "amd64": "x86-64", "aarch64": "aarch64", "arm64": "aarch64"}.get(platform.machine())
    return f"{system}-{machine}"


def is_sdk(folder):
    return os.access(os.path.join(folder, "bin", "microkit"), os.X_OK) and os.path.isdir(os.path.join(folder, "board"))


def find(root=ROOT, environment=os.environ):
    """The SDK's folder, or None."""
    if asked := environment.get("MICROKIT_SDK"):
        if not is_sdk(asked):
            raise Wrong(f"MICROKIT_SDK={asked} holds no Microkit SDK (no bin/microkit); correct it or leave it out")
        return os.path.abspath(asked)
    home = os.path.expanduser("~")
    places = [
        os.path.join(root, ".sdk", NAME),
        os.path.join(root, ".sdk"),
        os.path.join(home, ".local", "share", NAME),
        os.path.join("/opt", NAME),
    ]
    return next((place for place in places if is_sdk(place)), None)


def download(url, expected, folder):
    """Gets the archive at `url` and places its tree in `folder`, if it is the
    expected one."""
    parent = os.path.dirname(folder)
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as temporary:
        archive = os.path.join(temporary, "sdk.tar.gz")
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, open(archive, "wb") as file:
                shutil.copyfileobj(answer, file)
        except OSError as e:
            raise Unavailable(f"the Microkit SDK could not be downloaded from {url}: {getattr(e, 'reason', e)}") from e
        tree = os.path.join(temporary, "tree")
        os.mkdir(tree)
        unpacked = subprocess.run(
            ["tar", "-xzf", archive, "-C", tree, "--strip-components=1"], capture_output=True, text=True, check=False
        )
        if unpacked.returncode:
            raise Unavailable(f"{url} could not be unpacked: {unpacked.stderr.strip()}")
        found = nar_hash(tree)
        if found != expected:
            raise Unavailable(f"{url} is not the expected release: its NAR SHA-256 is {found}, not {expected}")
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(tree, folder)
    return folder


def get():
    """Finds the SDK or gets it."""
    if found := find():
        return found
    name = host()
    if name not in HASHES:
        raise Unavailable(f"there is no Microkit SDK for this host ({platform.system()} {platform.machine()})")
    url = URL.format(host=name)
    print(f"Getting the Microkit SDK: {url}", file=sys.stderr)
    return download(url, HASHES[name], os.path.join(ROOT, ".sdk", NAME))


def check(folder, board, config):
    """Whether the SDK supports the board in this configuration."""
    boards = os.path.join(folder, "board")
    for parent, wanted, variable in [(boards, board, "MICROKIT_BOARD"), (os.path.join(boards, board), config, "MICROKIT_CONFIG")]:
        there = sorted(os.listdir(parent))
        if wanted not in there:
            raise Wrong(f"{variable}={wanted} is not in the SDK ({folder}); it has {', '.join(there)}")


def main():
    try:
        folder = get()
        check(folder, os.environ.get("MICROKIT_BOARD", "qemu_virt_aarch64"), os.environ.get("MICROKIT_CONFIG", "debug"))
    except Unavailable as e:
        print(e, file=sys.stderr)
        return 3
    except Wrong as e:
        print(e, file=sys.stderr)
        return 1
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
