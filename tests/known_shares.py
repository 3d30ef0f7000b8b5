"""Work of four functions, each of a known share, and threads that come and go: for held stacks."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gilknocker import Snapshot


def c_code(until: float) -> None:
    while time.thread_time() < until:
        sum(range(20_000))


def python_loop(until: float) -> None:
    while time.thread_time() < until:
        pass


def deep_recursion(until: float, depth: int = 150) -> None:
    if depth:
        deep_recursion(until, depth - 1)
        return
    while time.thread_time() < until:
        pass


def generator(until: float) -> None:
    def numbers() -> Iterator[int]:
        while time.thread_time() < until:
            yield 1

    for _ in numbers():
        pass


# What each does of all the work.
PARTS: dict[Callable[[float], None], float] = {
    c_code: 0.4,
    python_loop: 0.3,
    deep_recursion: 0.2,
    generator: 0.1,
}


def shares(snapshot: Snapshot) -> dict[str, float]:
    """Return each part's share of the time held by stacks that are of any of them."""
    names = {part.__name__ for part in PARTS}
    seen: Counter[str] = Counter()
    for stack in snapshot.stacks:
        for name in names.intersection(frame.function for frame in stack.frames):
            seen[name] += stack.held_seconds  # type: ignore[assignment]
    total = sum(seen.values())
    return {name: seconds / total for name, seconds in seen.items()}


@contextmanager
def churning() -> Iterator[None]:
    """Have four threads start others, which end, and wait for them."""
    stop = threading.Event()

    def live() -> None:
        for _ in range(200):
            sum(range(200))

    def churn() -> None:
        while not stop.is_set():
            thread = threading.Thread(target=live)
            thread.start()
            thread.join()

    churners = [threading.Thread(target=churn) for _ in range(4)]
    for one in churners:
        one.start()
    try:
        yield
    finally:
        stop.set()
        for one in churners:
            one.join()
