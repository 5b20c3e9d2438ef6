"""A wire that loses, repeats and reorders: the bytes are the same all the same."""

import hashlib
import subprocess

import pytest

from harness import client, netns

FAULTS = [
    {"loss": 0.01},
    {"loss": 0.05},
    {"repeat": 0.05},
    {"reorder": 0.05},
    {"loss": 0.01, "repeat": 0.01, "reorder": 0.01},
    {"loss": 0.05, "repeat": 0.05, "reorder": 0.05},
]


def name(faults):
    return ",".join(f"{fault} {chance:.0%}" for fault, chance in faults.items())


@pytest.mark.parametrize("faults", FAULTS, ids=name)
def test_bytes_survive(bad_wire, archive, faults):
    bad_wire(**faults)
    before = client.settled()
    data = [client.payload(64 << 10, seed) for seed in range(8)]
    streams = [client.connect(timeout=60) for _ in data]
    assert client.exchange(streams, data, 240) == data
    for stream in streams:
        stream.close()
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "240", "--range", "0-1048575", f"http://{netns.GUEST}/10m.bin"],
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    whole = archive["10m.bin"]
    assert hashlib.sha256(done.stdout).digest() in (
        hashlib.sha256(whole[:1048576]).digest(),
        hashlib.sha256(whole).digest(),
    )
    client.assert_no_leak(before, 90)


def test_wire_is_fast_enough(bad_wire):
    """Without faults the wire itself must not be what is measured."""
    bad_wire()
    data = client.payload(4 << 20)
    with client.connect() as stream:
        assert client.exchange([stream], [data], 60) == [data]
