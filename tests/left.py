"""What a test has left behind: threads, children, tracers, objects."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

from own_threads import our_names

# What Python keeps until it exits.
KEPT = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")
STOP_TIMEOUT_NS = 10**9


class Left:
    """What is there now, for a test to leave no more than that."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._children = children()

    def more(self) -> dict[str, int]:
        """Return what there is by now that was not there, and anything of the meter's."""
        left = Counter(
            f"thread {thread.name}" for thread in set(threading.enumerate()) - self._threads
        )
        left.update(f"thread {name}" for name in our_names())
        left.update(f"child {command}" for command in self._new_children().values())
        core = sys.modules.get("gilknocker._core")  # a test that has not imported it left nothing
        if core is not None:
            left["redirected pointer"] = len(core.trace_slots())
            if core.DEBUG:
                left.update(core.live_objects())
        return {what: count for what, count in left.items() if count}

    def end_children(self) -> None:
        """Kill the children that were not there."""
        for pid in self._new_children():
            with suppress(OSError):  # it ended, or somebody else waits for it
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def end_meters(self) -> None:
        """Stop what still measures: its threads would be found by each test that looks for them."""
        lifecycle = sys.modules.get("gilknocker.meters.lifecycle")
        if lifecycle is not None:
            for runner in lifecycle._alive(lifecycle.PROCESS._known):
                lifecycle.PROCESS.stop(runner, STOP_TIMEOUT_NS)

    def _new_children(self) -> dict[int, str]:
        return {pid: name for pid, name in children().items() if pid not in self._children}


def children() -> dict[int, str]:
    """Return the command lines of the children by their numbers; those that ended, too."""
    found = {}
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            for pid in map(int, path.read_text().split()):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                if not any(kept in command for kept in KEPT):
                    found[pid] = command.replace(b"\0", b" ").decode(errors="replace")[:100]
    return found
