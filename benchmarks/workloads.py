"""Three programs with much, some and little use of the GIL, shared by benchmarks and tests."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np


def a_lotta_gil(loops: int = 4_000_000) -> None:
    """Count in pure Python: the GIL is held all the time."""
    for _ in range(loops):
        pass


def some_gil(rounds: int = 200) -> None:
    """Sleep briefly between allocations of 4 MB, which are made and zeroed under the GIL."""
    for _ in range(rounds):
        time.sleep(10e-6)
        bytearray(4 * 1024 * 1024)


def a_little_gil(rounds: int = 4) -> None:
    """Transform arrays with numpy, which lets go of the GIL meanwhile."""
    data = np.ones((512, 512))
    for _ in range(rounds):
        np.fft.fft2(data)


WORKLOADS: tuple[Callable[[], None], ...] = (a_lotta_gil, some_gil, a_little_gil)
