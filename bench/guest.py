"""A Linux guest to compare with: Debian's kernel for arm64 and one program as
the first and only one of its system.

The kernel comes by apt from Debian, into build/bench/guest, once.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build/bench/guest"
TARGET = "aarch64-unknown-linux-gnu"
LINKER = "aarch64-linux-gnu-gcc"
# What an seL4 system does not do either.
CMDLINE = "nokaslr kpti=off mitigations=off quiet loglevel=1 panic=-1"


def apt(*arguments, cwd=None):
    """apt for arm64, with lists of its own: the system's stay as they are."""
    state = FOLDER / "apt"
    (state / "lists/partial").mkdir(parents=True, exist_ok=True)
    (state / "archives/partial").mkdir(parents=True, exist_ok=True)
    options = {
        "APT::Architecture": "arm64", "APT::Architectures": "arm64", "Dir::State::lists": state / "lists",
        "Dir::Cache": state, "Dir::State::status": "/dev/null", "APT::Sandbox::User": "root",
    }  # fmt: skip
    command = [arguments[0], *(word for k, v in options.items() for word in ("-o", f"{k}={v}")), *arguments[1:]]
    return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout


def kernel():
    """The path of the kernel image."""
    image = FOLDER / "vmlinuz"
    if image.exists():
        return image
    FOLDER.mkdir(parents=True, exist_ok=True)
    print("Getting Debian's kernel for arm64", file=sys.stderr)
    apt("apt-get", "update", "-q")
    depends = apt("apt-cache", "depends", "linux-image-arm64").split()
    package = depends[depends.index("Depends:") + 1]
    apt("apt-get", "download", "-q", package, cwd=FOLDER)
    (archive,) = FOLDER.glob(f"{package}_*.deb")
    subprocess.run(["dpkg-deb", "-x", archive, FOLDER / "unpacked"], check=True)
    (found,) = (FOLDER / "unpacked/boot").glob("vmlinuz-*")
    shutil.copy(found, image)
    return image


def program(package):
    """Builds a package's program for the guest, as one file without libraries."""
    if not shutil.which(LINKER):
        sys.exit(f"{LINKER} is missing: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross")
    subprocess.run(["rustup", "-q", "target", "add", TARGET], check=True)
    upper = TARGET.upper().replace("-", "_")
    variables = {f"CARGO_TARGET_{upper}_LINKER": LINKER, f"CARGO_TARGET_{upper}_RUSTFLAGS": "-Ctarget-feature=+crt-static"}
    command = ["cargo", "build", "--release", "--target", TARGET, "-p", package]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=True)
    return ROOT / "target" / TARGET / "release" / package


def cpio(files):
    """An archive as the kernel unpacks it (newc; initramfs buffer format)."""
    out = bytearray()
    for number, (name, mode, data) in enumerate([*files, ("TRAILER!!!", 0, b"")], 1):
        fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 5 if mode & 0o020000 else 0, 1 if mode & 0o020000 else 0, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def initrd(init):
    """An initrd with one program, and the console that it needs to be heard."""
    path = FOLDER / "initrd"
    node = ("dev/console", 0o020600, b"")
    path.write_bytes(cpio([("dev", 0o040755, b""), node, ("init", 0o100755, Path(init).read_bytes())]))
    return path


def qemu_command(init, arguments):
    """The command that boots the guest, on the machine that Strait gets."""
    return [
        "qemu-system-aarch64", "-machine", "virt,virtualization=on", "-cpu", "cortex-a53", "-m", "size=2G",
        "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot",
        "-kernel", str(kernel()), "-initrd", str(initrd(init)), "-append", f"{CMDLINE} console=ttyAMA0 -- {arguments}",
    ]  # fmt: skip
