#!/usr/bin/env python3
"""Measures the image on seL4 in QEMU, from outside, through user networking.

    bench/run.py                  all figures (after `make image`)
    bench/run.py --functions 30   and the functions where the instructions go
    bench/run.py --only udp --rounds 1

Guest instructions are counted by the plugin count.c with `-icount shift=0`,
so they repeat; times are of a second boot without it, and depend on the host.
The tables go to standard output, all figures as JSON to build/bench/run.json.
"""

import argparse
import collections
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import xml.etree.ElementTree
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tools")]
import counts  # noqa: E402
import load  # noqa: E402
import world  # noqa: E402

BUILD = ROOT / "build"
OUT = BUILD / "bench"

LOADS = {
    # name: (generator, number counted, number timed)
    "tcp 64 B round trip": (load.tcp_round_trips, 1000, 2000),
    "udp 64 B round trip": (load.udp_round_trips, 1000, 2000),
    "udp 64 B, 32 outstanding": (load.udp_window, 4000, 30000),
    "tcp 1,460 B echoed": (load.tcp_stream, 3000, 40000),
}

YARDSTICKS = {
    # Same QEMU, same card, same CPU: sDDF 0.7's echo server, a Linux 6.1 guest.
    "tcp 64 B round trip": (15618, 25214),
    "udp 64 B round trip": (14050, 22148),
    "udp 64 B, 32 outstanding": (2774, 15018),
    "tcp 1,460 B echoed": (7239, 14593),
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Machine:
    """QEMU with the image, until the end of the `with` block."""

    def __init__(self, plugin=None, counters=None):
        self.http, self.echo, self.netstat = free_port(), free_port(), free_port()
        network = f"{world.netdev(self.http, self.echo)},hostfwd=tcp:127.0.0.1:{self.netstat}-:15"
        command = world.qemu_command(network, str(BUILD / "loader.img"))
        if plugin:
            command += ["-plugin", f"{plugin},out={counters}", "-icount", "shift=0,sleep=on"]
        self.log = open(OUT / "log.txt", "wb")
        self.began = time.perf_counter()
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)

    def __enter__(self):
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/", timeout=1) as answer:
                    answer.read(1)
                    self.first_byte = time.perf_counter() - self.began
                break
            except OSError:
                if self.process.poll() is not None or time.perf_counter() > self.began + 120:
                    sys.exit(f"the system did not come up; its log is in {OUT}/log.txt")
                time.sleep(0.01)
        time.sleep(1)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def counters(self):
        with socket.create_connection(("127.0.0.1", self.netstat), 5) as stream:
            text = b"".join(iter(lambda: stream.recv(4096), b"")).decode()
        return {name: int(value) for name, value in (line.split() for line in text.splitlines())}


def compile_plugin():
    plugin = OUT / "libcount.so"
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared", str(ROOT / "bench/count.c"), "-o", str(plugin)], check=True)
    return plugin


def programs(kernel):
    found = [counts.Kernel(kernel)] if kernel else []
    for path in sorted((BUILD / "elf").glob("*.elf")):
        found.append(counts.Program(path.stem, path))
    return found


def kernel_elf():
    decided = world.decide()
    if decided[0] != "sel4":
        sys.exit(f"no image here: {decided[1]}")
    path = Path(decided[1]) / "board" / world.board() / world.config() / "elf" / "sel4.elf"
    return path if path.exists() else None


def functions(by_function, operations):
    top = by_function.most_common(200)
    names = counts.demangled([f for (_, f), _ in top])
    return [(p, names[f], n / operations) for (p, f), n in top]


def count_instructions(wanted, rounds, elves):
    """Instructions for each operation: in all, by program, by function."""
    plugin = compile_plugin()
    folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.NamedTemporaryFile(prefix="strait-counts-", dir=folder) as file, Machine(plugin, file.name) as machine:
        results = {}
        for name in wanted:
            generator, number, _ = LOADS[name]
            for _ in range(rounds):
                work = generator("127.0.0.1", machine.echo, number)
                next(work)
                before = counts.Snapshot(file.name)
                operations, _ = next(work)
                executed = counts.Snapshot(file.name).since(before)
                work.close()
                by_program, by_function = counts.attribute(executed, elves)
                results.setdefault(name, []).append({
                    "total": sum(executed.values()) / operations,
                    "programs": {p: n / operations for p, n in by_program.most_common()},
                    "functions": functions(by_function, operations),
                })  # fmt: skip
        before = counts.Snapshot(file.name)
        time.sleep(2)
        by_program, _ = counts.attribute(counts.Snapshot(file.name).since(before), elves)
        idle = {p: n / 2 for p, n in by_program.most_common()}
    # The middle round stands for all.
    return {name: sorted(r, key=lambda x: x["total"])[len(r) // 2] | {"all": [x["total"] for x in r]} for name, r in results.items()}, idle


def measure_times(wanted, rounds):
    with Machine() as machine:
        results = {"boot to first byte, s": machine.first_byte}
        for name in wanted:
            generator, _, number = LOADS[name]
            runs = []
            for _ in range(rounds):
                work = generator("127.0.0.1", machine.echo, number)
                next(work)
                before = machine.counters()
                operations, times = next(work)
                work.close()
                after = machine.counters()
                runs.append({
                    "per second": operations / sum(times),
                    "median us": statistics.median(times) * 1e6 if len(times) > 1 else None,
                    "per operation": {k: (after[k] - before[k]) / operations for k in
                                      ("rx_frames", "tx_frames", "notify_driver", "notify_clients", "wakeups")},
                })  # fmt: skip
            results[name] = sorted(runs, key=lambda r: r["per second"])[len(runs) // 2]
    return results


def print_instructions(results, idle, functions):
    print("Guest instructions for each operation")
    print(f"{'':28}{'Strait':>9}{'sDDF':>9}{'Linux':>9}   Strait by program")
    for name, result in results.items():
        sddf, linux = YARDSTICKS[name]
        share = "  ".join(f"{p} {n:,.0f}" for p, n in result["programs"].items() if n >= result["total"] / 200)
        print(f"{name:28}{result['total']:9,.0f}{sddf:9,}{linux:9,}   {share}")
        print(f"{'':28}{'':9}{result['total'] / sddf:9.0%}{result['total'] / linux:9.0%}")
    share = "  ".join(f"{p} {n:,.0f}" for p, n in idle.items())
    print(f"{'idle, per second':28}{sum(idle.values()):9,.0f}{'':18}   {share}")
    for name, result in results.items() if functions else ():
        print(f"\n{name}: where the instructions go")
        for program, function, n in result["functions"][:functions]:
            print(f"{n:10,.1f} {n / result['total']:6.1%}  {program:15} {function[:120]}")


def print_times(results):
    print(f"\nOn this host's clock, through QEMU's user networking\n{'boot to first byte':28}{results['boot to first byte, s']:9.2f} s")
    for name, result in results.items():
        if not isinstance(result, dict):
            continue
        speed = f"{result['per second']:9,.0f} /s"
        if name.startswith("tcp 1,460"):
            speed += f"  {result['per second'] * 1460 / 1e6:.1f} MB/s"
        if result["median us"]:
            speed += f"  median {result['median us']:,.0f} us"
        print(f"{name:28}{speed}")
        print(f"{'':28}" + "  ".join(f"{k} {v:.2f}" for k, v in result["per operation"].items()))


def mapped_memory():
    """By protection domain: bytes of stack, of regions that it alone maps, and
    of regions that it shares."""
    system = xml.etree.ElementTree.parse(ROOT / "microkit.system").getroot()

    def number(text):
        return int(text.replace("_", ""), 0)

    def size(region):
        if region.get("size"):
            return number(region.get("size"))
        return -(-(BUILD / region.get("prefill_path")).stat().st_size // 4096) * 4096

    memory = [r for r in system.iter("memory_region") if not r.get("phys_addr")]
    regions = {r.get("name"): size(r) for r in memory}
    maps = {pd: [m.get("mr") for m in pd.findall("map") if m.get("mr") in regions] for pd in system.iter("protection_domain")}
    times = collections.Counter(name for names in maps.values() for name in names)
    return {
        pd.get("name"): {
            "stack": number(pd.get("stack_size", "0x2000")),
            "own": sum(regions[name] for name in names if times[name] == 1),
            "shared": sum(regions[name] for name in names if times[name] > 1),
        }
        for pd, names in maps.items()
    }


def print_sizes(elves):
    image = (BUILD / "loader.img").stat().st_size
    print(f"\nimage {image / 1024:,.0f} KiB, of which archive {(BUILD / 'archive.tar').stat().st_size / 1024:,.0f} KiB")
    print(f"{'KiB':16}{'code':>8}{'data':>8}{'bss':>9}{'stack':>8}{'own regions':>13}{'shared':>9}")
    mapped, sizes = mapped_memory(), {}
    for program in elves:
        sizes[program.name] = dict(program.sizes) | mapped.get(program.name, {})
        columns = (("code", 8), ("data", 8), ("bss", 9), ("stack", 8), ("own", 13), ("shared", 9))
        print(f"{program.name:16}" + "".join(f"{sizes[program.name].get(k, 0) / 1024:{w},.1f}" for k, w in columns))
    return {"image": image, "programs": sizes}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="loads whose name contains this")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--functions", type=int, default=0, help="how many functions to list for each load")
    parser.add_argument("--no-times", action="store_true")
    parser.add_argument("--no-counts", action="store_true")
    arguments = parser.parse_args()
    if not (BUILD / "loader.img").exists():
        sys.exit("build/loader.img is missing: run `make image`")
    if not shutil.which("cc"):
        sys.exit("a C compiler is missing: run `make setup`")
    OUT.mkdir(parents=True, exist_ok=True)
    wanted = [name for name in LOADS if arguments.only in name]
    elves = programs(kernel_elf())
    figures = {"config": world.config()}
    print(f"{world.board()}, {world.config()}")
    if not arguments.no_counts:
        figures["instructions"], figures["idle"] = count_instructions(wanted, arguments.rounds, elves)
        print_instructions(figures["instructions"], figures["idle"], arguments.functions)
    if not arguments.no_times:
        figures["times"] = measure_times(wanted, arguments.rounds)
        print_times(figures["times"])
    figures["sizes"] = print_sizes(elves)
    (OUT / "run.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
