"""Stacks of the holder against the truth: shares of four functions, whole stacks, cost.

    python benchmarks/stacks.py [SECONDS]

Each function does a known part of the work, by its thread's CPU time, which a thread that computes
spends with the GIL held. Prints the largest error of a share, with one and with three threads; the
share of looks that could not tell, there and beside four threads that start and end threads; the
time that a stack of 30 frames takes; and the watcher's and knocker's CPU with stacks and without.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from gilknocker import KnockKnock, Snapshot, _core

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from known_shares import PARTS, churning, shares

ROUND = 0.02  # seconds of CPU time in which each function has its turn


def work(end: float, spent: Counter[str]) -> None:
    while time.monotonic() < end:
        for part, share in PARTS.items():
            begun = time.thread_time()
            part(begun + share * ROUND)
            spent[part.__name__] += time.thread_time() - begun


def run(threads: int, seconds: float, stacks: bool = True) -> tuple[Snapshot, dict[str, float]]:
    """Return what was measured, and each function's true share."""
    spent: Counter[str] = Counter()
    end = time.monotonic() + seconds
    workers = [threading.Thread(target=work, args=(end, spent)) for _ in range(threads)]
    # Both look: who counts does not, and costs next to nothing.
    with KnockKnock(stacks=stacks, method="look") as knocker:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        snapshot = knocker.snapshot()
    total = sum(spent.values())
    return snapshot, {name: one / total for name, one in spent.items()}


def unknown(snapshot: Snapshot) -> float:
    """Return the share of the time held that no stack was found for."""
    lost = sum(stack.held_seconds for stack in snapshot.stacks if not stack.frames)
    return lost / snapshot.held_seconds


def beside_churn(seconds: float) -> Snapshot:
    """Return what was seen beside four threads that start and end others."""
    with KnockKnock(stacks=True) as knocker, churning():
        time.sleep(seconds)
        return knocker.snapshot()


def cost_of_a_stack(looks: int = 3_000) -> list[int]:
    """Return the ns of each look at a thread whose stack has 30 frames."""
    stop = threading.Event()

    def deeper(depth: int) -> None:
        if depth:
            deeper(depth - 1)
            return
        while not stop.is_set():
            pass

    thread = threading.Thread(target=deeper, args=(25,))
    thread.start()
    try:
        series = _core.held_stack_series(looks, 300_000)
    finally:
        stop.set()
        thread.join()
    return sorted(ns for outcome, ns, frames in series if outcome == 1 and len(frames) >= 29)


def main() -> None:
    """Measure, and print a line for each figure."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    print(f"Python {sys.version.split()[0]}, {seconds:g} s each, looks each 1 ms")
    for threads in (1, 3):
        snapshot, truth = run(threads, seconds)
        found = shares(snapshot)
        worst = max(abs(found[name] - truth[name]) for name in truth)
        rows = ", ".join(f"{name} {found[name]:.3f} ({truth[name]:.3f})" for name in truth)
        print(f"{threads} threads: error {worst:.3f}: {rows}; unknown {unknown(snapshot):.4f}")
    snapshot = beside_churn(seconds)
    print(f"beside churn: unknown {unknown(snapshot):.4f} of {snapshot.ticks_held} looks")
    ns = cost_of_a_stack()
    print(
        f"a stack of 30 frames: {ns[0] / 1e3:.1f} µs at best, "
        f"{ns[len(ns) // 10] / 1e3:.1f} in a tenth, {statistics.median(ns) / 1e3:.1f} median"
    )
    costs: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(6):  # interleaved
        for stacks in (False, True):
            snapshot, _ = run(1, seconds / 3, stacks)
            costs[stacks].append(snapshot.cpu_ns / snapshot.observed_ns)
    without, with_stacks = statistics.median(costs[False]), statistics.median(costs[True])
    print(
        f"own CPU: {100 * without:.2f} % of a core without, {100 * with_stacks:.2f} % with: "
        f"{with_stacks / without:.2f} times"
    )


if __name__ == "__main__":
    main()
