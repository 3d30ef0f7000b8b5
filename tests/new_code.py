"""Code that is made, run for a moment and freed, so that the next is made in its place."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import cycle
from typing import Any

SECONDS = 0.01  # of CPU time, in each
FILE = "new.py"
SOURCE = """
def NAME(until):
    while thread_time() < until:
        pass
NAME(thread_time() + SECONDS)
"""


def compute_in_new_code(name: str) -> int:
    """Return where the code was of a function of that name, which is gone then."""
    space: dict[str, Any] = {"thread_time": time.thread_time, "SECONDS": SECONDS}
    exec(compile(SOURCE.replace("NAME", name), FILE, "exec"), space)
    place = id(space[name].__code__)
    space.clear()  # else it and its function keep each other
    return place


def names(stacks: Iterable[Any]) -> set[str]:
    """Return the functions of such code that are in the stacks of a snapshot."""
    frames = (frame for stack in stacks for frame in stack.frames)
    return {frame.function for frame in frames if frame.file == FILE} - {"<module>"}


if __name__ == "__main__":
    print("ready", flush=True)
    for number in cycle(range(10, 90)):
        compute_in_new_code(f"f{number}")
