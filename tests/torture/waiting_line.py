"""Whether a life hangs, or the machine is too busy to let it live."""

from __future__ import annotations

from pathlib import Path


def stood_in_line(group: int, seconds: float) -> bool:
    """Whether a group's threads waited for a CPU for more than half of the last `seconds`.

    The kernel keeps it in ``/proc/PID/task/TID/schedstat``: ns on a CPU, ns in line for one. What
    is deadlocked stands in no line.
    """
    waited_ns = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[2]) != group:
                continue
            for task in stat.parent.glob("task/*/schedstat"):
                waited_ns += int(task.read_text().split()[1])
        except OSError:  # it ended meanwhile
            continue
    return waited_ns > seconds / 2 * 1e9
