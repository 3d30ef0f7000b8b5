"""What benchmarks/samplers.py measures: four functions, each a known part of the work.

Each does a fixed amount of work, by turns, until the time is up; prints its share of the thread's
CPU time, and how many rounds were done.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator


def c_code() -> None:
    for _ in range(40):
        sum(range(10_000))


def python_loop() -> None:
    number = 0
    while number < 80_000:
        number += 1


def deep_recursion(depth: int = 150) -> None:
    if depth:
        deep_recursion(depth - 1)
        return
    for _ in range(60_000):
        pass


def generator() -> None:
    def numbers() -> Iterator[int]:
        yield from range(20_000)

    for _ in numbers():
        pass


def main() -> None:
    """Work, and print what was done."""
    end = time.monotonic() + float(sys.argv[1])
    spent: Counter[str] = Counter()
    rounds = 0
    while time.monotonic() < end:
        for part in (c_code, python_loop, deep_recursion, generator):
            begun = time.thread_time()
            part()
            spent[part.__name__] += time.thread_time() - begun  # type: ignore[assignment]
        rounds += 1
    total = sum(spent.values())
    shares = {name: seconds / total for name, seconds in spent.items()}
    print(json.dumps({"rounds": rounds, "shares": shares}))


if __name__ == "__main__":
    main()
