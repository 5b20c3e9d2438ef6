#!/usr/bin/env python3
"""A bad wire: carries frames between two TAP devices and loses, repeats and
reorders some, in both directions, by a seeded random number generator.

    wire.py PEER GUEST [--loss P] [--repeat P] [--reorder P] [--seed N] [--report FILE]

PEER is a TAP device whose kernel side has the host's address; the wire holds
its other side. GUEST is a TAP device that the system under test holds; the
wire takes its kernel side. A reordered frame is held back until some later
frames have passed, or 20 ms. The counts are written to FILE at the end.
"""

import argparse
import heapq
import json
import os
import random
import select
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness.netns import open_tap, raw_socket  # noqa: E402

FRAME = 65536
BATCH = 64


class Direction:
    """One direction of the wire."""

    def __init__(self, arguments, seed, send):
        self.faults = arguments
        self.random = random.Random(seed)
        self.send = send
        self.passed = 0
        self.held = []
        self.counts = {"frames": 0, "lost": 0, "repeated": 0, "reordered": 0}

    def carry(self, frame):
        f, counts, chance = self.faults, self.counts, self.random.random
        counts["frames"] += 1
        self.passed += 1
        if chance() < f.loss:
            counts["lost"] += 1
        elif chance() < f.reorder:
            counts["reordered"] += 1
            due = self.passed + self.random.randint(1, 8)
            heapq.heappush(self.held, (due, time.monotonic() + 0.02, frame))
        else:
            self.send(frame)
            if chance() < f.repeat:
                counts["repeated"] += 1
                self.send(frame)
        self.release()

    def release(self):
        now = time.monotonic() if self.held else 0
        while self.held and (self.held[0][0] <= self.passed or self.held[0][1] <= now):
            self.send(heapq.heappop(self.held)[2])


def quiet(write):
    """A write that drops the frame when the other side has no room."""

    def send(frame):
        try:
            write(frame)
        except OSError:
            pass

    return send


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer")
    parser.add_argument("guest")
    for fault in ("loss", "repeat", "reorder"):
        parser.add_argument(f"--{fault}", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report")
    arguments = parser.parse_args()

    tap, guest = open_tap(arguments.peer), raw_socket(arguments.guest)
    guest.setblocking(False)
    to_guest = Direction(arguments, arguments.seed, quiet(guest.send))
    to_peer = Direction(arguments, arguments.seed + 1, quiet(lambda frame: os.write(tap, frame)))
    ends = {
        tap: (lambda: os.read(tap, FRAME), to_guest),
        guest.fileno(): (lambda: guest.recv(FRAME), to_peer),
    }

    if arguments.report:
        # Tells that frames are carried from now on.
        Path(arguments.report).touch()
    running = [True]
    signal.signal(signal.SIGTERM, lambda *_: running.clear())
    poll = select.poll()
    for fd in ends:
        poll.register(fd, select.POLLIN)
    while running:
        for fd, _ in poll.poll(10 if to_guest.held or to_peer.held else 200):
            read, direction = ends[fd]
            for _ in range(BATCH):
                try:
                    frame = read()
                except OSError:
                    break
                direction.carry(frame)
        to_guest.release()
        to_peer.release()
    if arguments.report:
        Path(arguments.report).write_text(json.dumps({"to_guest": to_guest.counts, "to_peer": to_peer.counts}))


if __name__ == "__main__":
    main()
