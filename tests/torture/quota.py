"""A control group with a CPU quota: when it is used up all threads stop until the next period."""

from __future__ import annotations

import atexit
import os
from contextlib import suppress
from pathlib import Path

from subject import may

PERIOD_MICROS = 100_000
QUOTA_MICROS = 20_000
ROOT = Path("/sys/fs/cgroup")
PREFIX = "gilknocker-torture-"


def missing() -> str:
    """Say why no quota can be had here; if it can, its groups go when this process ends."""
    atexit.register(_sweep)  # what the lives leave, who cannot remove their own
    return "" if may(enter) else "control groups cannot be made here"


def enter() -> None:
    """Put this process into a group of its own.

    Raises
    ------
    OSError
        If it may not make one, or the system has no such groups.
    """
    _sweep()
    home = _home()
    group = home / f"{PREFIX}{os.getpid()}"
    group.mkdir()
    if (group / "cpu.max").exists():
        (group / "cpu.max").write_text(f"{QUOTA_MICROS} {PERIOD_MICROS}")
    else:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_MICROS))
        (group / "cpu.cfs_quota_us").write_text(str(QUOTA_MICROS))
    (group / "cgroup.procs").write_text(str(os.getpid()))


def _home() -> Path:
    """Return this process's group: of version 1, where that has the CPU, else of version 2."""
    groups = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), path.lstrip("/")))
    for controller in ("cpu", ""):
        folder = ROOT / controller / groups.get(controller, "")
        if controller in groups and (folder / "cgroup.procs").exists():
            return folder
    raise FileNotFoundError("no control groups")


def _sweep() -> None:
    """Remove the groups of those that have ended."""
    with suppress(OSError):
        for group in _home().glob(f"{PREFIX}*"):
            owner = Path("/proc", group.name.removeprefix(PREFIX))
            with suppress(OSError):
                if not owner.exists():  # else it may be on its way into it
                    group.rmdir()
