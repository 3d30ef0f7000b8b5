"""What a busy machine took from us: for how long threads were ready to run and had no CPU.

The kernel counts that for each thread (``/proc/.../schedstat``). A thread that is preempted while
it holds the GIL goes on holding it: that looks like a long hold, and is not the call's doing.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from typing import NamedTuple

_SIZE = 64


class Delays:
    """The delays of some threads of this process, read without letting go of the GIL."""

    def __init__(self, *threads: int) -> None:
        self._files = []
        self._buffer = ctypes.create_string_buffer(_SIZE)
        # PyDLL: os.pread() would let go of the GIL, and so move what is to be measured.
        self._pread = ctypes.PyDLL(None).pread
        self._pread.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long)
        for thread in threads or (threading.get_native_id(),):
            self._files.append(os.open(f"/proc/self/task/{thread}/schedstat", os.O_RDONLY))

    def read(self) -> tuple[int, int]:
        """Return for how long they have had a CPU and for how long they waited for one, in ns."""
        ran = waited = 0
        for file in self._files:
            size = self._pread(file, self._buffer, _SIZE, 0)
            first, second, _ = self._buffer.raw[:size].split()
            ran += int(first)
            waited += int(second)
        return ran, waited

    def ns(self) -> int:
        """Return the sum of their delays so far, in ns."""
        return self.read()[1]

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            os.close(file)
        self._files.clear()


class Gap(NamedTuple):
    """A time between two marks of a thread; of it the call's thread ran, or waited for a CPU."""

    start: int
    end: int
    ran: int
    delayed: int

    def own(self, length: int) -> int:
        """Return what of a hold in this gap was the call's doing, in ns.

        Not the time without a CPU; but some of that may be after the hold. It is at least the time
        with a CPU; but some of that may be after the hold too, if it let go to compute.
        """
        return max(length - self.delayed, min(length, self.ran))


class Gaps:
    """The times between two marks of a thread, and what the call's thread did meanwhile.

    Those under 2 ms are not kept. Written and read by one thread at a time.
    """

    LEAST_NS = 2_000_000

    def __init__(self, delays: Delays) -> None:
        self._delays = delays
        self._last, self._ran, self._delayed = 0, 0, 0
        self.kept: list[Gap] = []

    def start(self) -> None:
        """Begin now."""
        self._last, self._ran, self._delayed = self._now()

    def mark(self, expected: int = 0) -> None:
        """Add the gap that ends now; `expected` of it is the thread's own sleep."""
        now, ran, delayed = self._now()
        if now - self._last - expected > self.LEAST_NS:
            gap = Gap(self._last, now - expected, ran - self._ran, delayed - self._delayed)
            self.kept.append(gap)
        self._last, self._ran, self._delayed = now, ran, delayed

    def _now(self) -> tuple[int, int, int]:
        # The GIL may be lost between two lines: then they are not of one instant.
        while True:
            before = time.monotonic_ns()
            ran, delayed = self._delays.read()
            now = time.monotonic_ns()
            if now - before < self.LEAST_NS // 2:
                return now, ran, delayed
