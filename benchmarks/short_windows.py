"""How many short windows around a GIL that is held throughout read 0.0, with the names of 0.4.

``python benchmarks/short_windows.py``: 60 windows each, from a start and from a reset, by looks and
counted. On a quiet machine none should; where nobody wakes our thread in time there is no look.
"""

from __future__ import annotations

import sys
import time

from gilknocker import KnockKnock

WINDOWS = 60
PAUSE_SECONDS = 0.15  # looks have backed off by then


def window(seconds: float, method: str, from_reset: bool) -> tuple[float, int]:
    """Return the metric and the number of looks of one window."""
    knocker = KnockKnock(polling_interval_micros=1, method=method)
    knocker.start()
    if from_reset:
        time.sleep(PAUSE_SECONDS)
        knocker.reset_contention_metric()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    metric, looks = knocker.contention_metric, knocker.snapshot().ticks
    knocker.stop()
    return metric, looks


def main() -> None:
    """Print a line for each kind of window."""
    sys.setswitchinterval(10)  # the GIL is let go of by nobody
    for method in ("look", "count"):
        for milliseconds in (1, 3):
            for from_reset in (False, True):
                found = [window(milliseconds / 1e3, method, from_reset) for _ in range(WINDOWS)]
                zeros = sum(metric == 0 for metric, _ in found)
                middle = sorted(looks for _, looks in found)[WINDOWS // 2]
                print(
                    f"{method}, {milliseconds} ms from a {'reset' if from_reset else 'start'}: "
                    f"{zeros} of {WINDOWS} read 0.0, lowest {min(found)[0]:.2f}, "
                    f"looks in the middle one {middle}"
                )


if __name__ == "__main__":
    main()
