"""How much of the machine the hypervisor kept for itself meanwhile: the noise of a benchmark."""

from __future__ import annotations


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
