"""What a benchmark says about the machine it ran on, and the noise while it ran."""

from __future__ import annotations

import os
import platform
from datetime import date
from pathlib import Path

import numpy

import gilknocker


def describe() -> str:
    """Name the machine, the kernel and the versions, in one line."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    virtual = " (virtual)" if "hypervisor" in Path("/proc/cpuinfo").read_text() else ""
    return (
        f"{date.today().isoformat()}, {os.cpu_count()} CPUs {model}{virtual}, "
        f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}, "
        f"numpy {numpy.__version__}, gilknocker {gilknocker.__version__}"
    )


class StealTime:
    """The share of CPU time that the hypervisor kept for itself since this was made."""

    def __init__(self) -> None:
        self._before = self._read()

    @staticmethod
    def _read() -> tuple[int, int]:
        with open("/proc/stat", encoding="ascii") as stat:
            ticks = [int(field) for field in stat.readline().split()[1:9]]
        return ticks[7], sum(ticks)

    def share(self) -> float:
        """Return stolen ÷ all time, over all CPUs."""
        stolen, total = self._read()
        return (stolen - self._before[0]) / max(total - self._before[1], 1)
