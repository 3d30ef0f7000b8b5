"""A thread that takes the GIL back before others are awake: what does each advice do for those?

    python benchmarks/starvation.py [--seconds 2] [--rounds 3]

One thread computes 1 ms and reads a byte, over and over; another sleeps 0.2 to 1.2 ms and asks for
the GIL. Each way is traced in a process of its own, all of them in each round. What is printed is
the median of the rounds: how often it was let go of while the other waited, and taken back first,
the other's waits, and how much work the first did. Nothing is held to a bound.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

from machine import describe
from steal import StealTime

PROGRAM = """
import json, os, random, subprocess, sys, threading, time
from gilknocker import GilTracer

seconds, rest, switch, apart = json.loads(sys.argv[1])
if switch:
    sys.setswitchinterval(switch)
zero = os.open("/dev/zero", os.O_RDONLY)
rounds = 0

def compute(end):
    global rounds
    while time.monotonic() < end:
        until = time.monotonic() + 0.001
        while time.monotonic() < until:
            pass
        os.read(zero, 1)
        rounds += 1
        if rest is not None:
            time.sleep(rest)

def ask(end):
    while time.monotonic() < end:
        time.sleep(random.uniform(0.0002, 0.0012))  # not in step with it

end = time.monotonic() + seconds
if apart:  # the work in another process: this one has the GIL for itself
    code = f'''
import os, time
zero = os.open("/dev/zero", os.O_RDONLY); rounds = 0; end = {end}
while time.monotonic() < end:
    until = time.monotonic() + 0.001
    while time.monotonic() < until: pass
    os.read(zero, 1); rounds += 1
print(rounds)
'''
    work = lambda: subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
else:
    work = lambda: compute(end)
with GilTracer(events=0) as tracer:
    asks = threading.Thread(target=ask, args=(end,), name="asks")
    asks.start()
    done = work()
    asks.join()
    [row] = [one for one in tracer.threads() if one.name == "asks"]
    trace = tracer.snapshot()
print(json.dumps({
    "released": trace.wanted_releases, "retaken": trace.retakes, "waits": row.waits,
    "p50": trace.percentile(50) / 1e6 if trace.knocks else 0.0, "max": row.longest_wait_ns / 1e6,
    "waited": row.waited_ns / row.lifetime_ns * 100,
    "work": int(done.stdout) if apart else rounds,
}))
"""
# Way: how long to rest (s), the switch interval (s), and whether the work is in another process.
WAYS = {
    "as it is": (None, 0, False),
    "rests: time.sleep(0)": (0, 0, False),
    "rests 50 µs": (5e-5, 0, False),
    "rests 200 µs": (2e-4, 0, False),
    "sys.setswitchinterval(0.002)": (None, 2e-3, False),
    "sys.setswitchinterval(0.0005)": (None, 5e-4, False),
    "sys.setswitchinterval(0.0001)": (None, 1e-4, False),
    "work in another process": (None, 0, True),
}


def run(seconds: float, way: tuple[float | None, float, bool]) -> dict[str, float]:
    """Run one of the ways; return its figures."""
    command = [sys.executable, "-c", PROGRAM, json.dumps([seconds, *way])]
    # Not here: there is a folder gilknocker that is not installed.
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=60, cwd=os.sep
    )
    return dict(json.loads(done.stdout))


def main() -> None:
    """Run all ways by turns and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    steal = StealTime()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    for _ in range(asked.rounds):
        for name, way in WAYS.items():
            found[name].append(run(asked.seconds, way))
    print(describe())
    print("| | let go, waited for | retaken | waits, p50 | longest | waited | rounds of work |")
    print("|---|---|---|---|---|---|---|")
    for name, runs in found.items():
        row = {key: statistics.median(one[key] for one in runs) for key in runs[0]}
        print(
            f"| {name} | {row['released']:.0f} | {row['retaken']:.0f} | {row['p50']:.2f} ms | "
            f"{row['max']:.1f} ms | {row['waited']:.1f} % | {row['work']:.0f} |"
        )
    print(f"steal time {steal.share():.1%}")


if __name__ == "__main__":
    main()
