"""What a benchmark says about the machine it ran on."""

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
