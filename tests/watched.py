"""Programs that are watched from outside, and what is seen of them: what those tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from waiting import wait_until

from gilknocker.snapshot.stacks import NO_FRAMES

if TYPE_CHECKING:  # not to be had on every system
    from gilknocker.meters.outside.watch import OutsideMeter


def fields(pid: int) -> list[list[str]]:
    """Return what /proc says of each thread, from its state on."""
    said = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it ended meanwhile
            said.append((task / "stat").read_text().rpartition(")")[2].split())
    return said


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of the process: what it does when it is ready takes it all the time."""
    return sum(int(one[11]) + int(one[12]) for one in fields(pid)) / os.sysconf("SC_CLK_TCK")


def all_sleep(pid: int) -> bool:
    return all(one[0] == "S" for one in fields(pid))


@contextmanager
def running(
    program: str,
    what: str,
    python: Sequence[str | Path] = (sys.executable,),
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Run a program until the block ends, which begins when it does what it is for."""
    process = subprocess.Popen(
        [*python, "-c", program, what],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        before = cpu_seconds(process.pid)
        if what == "idle":  # twice: one may have waited for the GIL of another
            wait_until(lambda: all_sleep(process.pid) and all_sleep(process.pid))
        else:
            wait_until(lambda: cpu_seconds(process.pid) > before + 0.1)
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def watch(meter: OutsideMeter, seconds: float) -> None:
    """Watch for so long, and until there were some looks."""
    with meter:
        wait_until(lambda: meter.snapshot().observed_seconds >= seconds)
        wait_until(lambda: meter.snapshot().ticks > 10)
        assert not meter.gone()


def leaves(meter: OutsideMeter) -> dict[str, int]:
    """Return how many looks found each function."""
    found: dict[str, int] = {}
    for _, _, _, frames, ticks in meter.read()["stacks"]:
        name = "unknown" if frames is None else (frames or NO_FRAMES)[-1][0]
        found[name] = found.get(name, 0) + ticks
    return found
