"""What the blocks of README.md take for granted."""

import sys
from concurrent.futures import ThreadPoolExecutor  # noqa: F401 (for the cell)

sys.path.insert(0, "examples")
from parse_sources import names_in, sources, total  # noqa: F401

paths = sources(1)[:20]
data = bytes(1_000_000)
large_table = range(1_000)
export = sum


def work() -> None:
    sum(range(100_000))


handle_request = work
